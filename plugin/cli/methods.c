/* The methods of -method: each turns the options and the image in the frame into scores. */
#include "cli/pathway.h"
#include "cli/recompute.h"
#include "io/error.h"
#include "io/progress.h"
#include "io/suggest.h"
#include "path/effective.h"

#include <math.h>
#include <string.h>

static void show(void *progress, double fraction) { cp_progress_update(progress, fraction); }

/* One line per image; a list has a line of its own. */
static cp_progress *start_progress(const cp_session *s, const char *what)
{
    return cp_progress_start(what, 1, s->options->quiet || s->list);
}

static cp_status score_mct(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    (void)scoring;
    if (s->baseline)
        return cp_score_contrast(s->frame, 0, response, NAN, s->baseline, true, score);
    return cp_score_mct(s->frame, 0, response, true, score);
}

static cp_status score_lrp(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    double gamma = s->options->gamma >= 0 ? s->options->gamma : CP_DEFAULT_GAMMA;
    (void)scoring;
    if (s->baseline)
        return cp_score_contrast(s->frame, 0, response, gamma, s->baseline, true, score);
    return cp_score_lrp(s->frame, 0, response, gamma, true, score, NULL);
}

/* ---------------------------------------------------------------- greedy */

static double sparsest_asked(const cp_options *options)
{
    double most = options->sparsity.n ? options->sparsity.value[0] : CP_DEFAULT_SPARSITY;
    for (int i = 1; i < options->sparsity.n; i++)
        most = options->sparsity.value[i] > most ? options->sparsity.value[i] : most;
    return most;
}

static cp_status score_greedy(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    cp_greedy_report report;
    bool channels = cp_by_channel(s->options);
    float *order = channels ? cp_alloc(cp_model_channel_count(s->model), sizeof *order, "channels") : score;
    if (!order)
        return CP_ERESOURCE;
    cp_progress *progress = start_progress(s, "greedy");
    const cp_greedy_options options = {.run = {.progress = show, .user = progress},
                                       .granularity = channels ? CP_CHANNEL : CP_NEURON,
                                       .sparsity = sparsest_asked(s->options),
                                       .unprotected = !s->options->protect};
    cp_status status = cp_score_greedy(s->model, s->input, response, &options, order, &report);
    cp_progress_end(&progress);
    scoring->least_share = 1 - report.sparsity;
    if (!status && report.stalled)
        cp_note(s, "greedy: stalled at sparsity %.6f of %g: the %zu %s left are dead in what remains of the "
                "network, and protected (-protect 0 removes them)", report.sparsity, options.sparsity, report.left,
                channels ? "channels" : "neurons");
    if (!status && channels)
        cp_spread_channels(s->model, order, score);
    if (channels)
        cp_free(order);
    return status;
}

/* ---------------------------------------------------------------- dgr */

cp_dgr_options cp_dgr_read_options(const cp_options *o, bool random)
{
    cp_dgr_options options = cp_dgr_defaults(o->preset == CP_PRESET_PAPER ? CP_DGR_CODE : (cp_dgr_settings)o->preset);
    options.granularity = cp_by_channel(o) ? CP_CHANNEL : CP_NEURON;
    options.random = random || o->init == CP_INIT_RANDOM;
    options.seed = (uint64_t)o->seed;
    options.rounds = o->rounds;
    options.momentum = o->momentum;
    options.steps = o->iterations > 0 ? o->iterations : options.steps;
    options.rate = o->rate > 0 ? o->rate : options.rate;
    options.gamma = o->gamma >= 0 ? o->gamma : options.gamma;
    options.clamp = o->clamp > 0 ? o->clamp : options.clamp;
    return options;
}

static cp_status run_dgr(cp_session *s, bool random, bool active, float *score)
{
    cp_dgr_options options = cp_dgr_read_options(s->options, random);
    options.active = active;
    cp_dgr_report report;
    float *gate = NULL;
    bool channels = options.granularity == CP_CHANNEL;
    if (channels && !(gate = cp_alloc(cp_model_channel_count(s->model), sizeof *gate, "gates")))
        return CP_ERESOURCE;
    cp_progress *progress = start_progress(s, "dgr");
    options.run = (cp_run_options){.progress = show, .user = progress};
    cp_status status = cp_score_dgr(s->model, s->input, &options, channels ? gate : score, &report);
    cp_progress_end(&progress);
    if (!status && channels)
        cp_spread_channels(s->model, gate, score);
    if (!status && !report.kept)
        cp_note(s, "dgr: no iterate of %d rounds of %d steps kept the prediction; the gates are the last one's",
                report.rounds, options.steps);
    cp_free(gate);
    return status;
}

static cp_status score_dgr(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    (void)response, (void)scoring; /* the whole softmax is what is kept */
    return run_dgr(s, false, false, score);
}

static cp_status score_dgr_random(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    (void)response, (void)scoring;
    return run_dgr(s, true, false, score);
}

static cp_status score_dgr_active(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    (void)response, (void)scoring;
    return run_dgr(s, false, true, score);
}

/* ---------------------------------------------------------------- paths that need no ranking */

/* All of the path, whatever -sparsity says. */
static void score_whole(const cp_session *s, const cp_path *path, float *score, cp_scoring *scoring)
{
    scoring->least_share = 1;
    for (size_t i = 0; i < cp_model_neuron_count(s->model); i++)
        score[i] = cp_path_get(path, i);
}

static cp_status score_effective(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    cp_path *path;
    cp_status status = cp_path_create(s->model, &path);
    if (status)
        return status;
    status = cp_path_effective(s->frame, 0, response, (cp_effective_rule)s->options->keeps, s->options->theta, path, NULL);
    if (!status && !cp_path_count(path))
        cp_note(s, "effective: the path is empty: what the response's unit reads does not sum to more than 0 without its bias");
    score_whole(s, path, score, scoring);
    cp_path_free(path);
    return status;
}

static cp_status score_random(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    (void)response, (void)scoring;
    return cp_score_random(s->model, (uint64_t)s->options->seed, score);
}

static cp_status score_active(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    cp_path *path;
    (void)response;
    cp_status status = cp_path_create(s->model, &path);
    if (status)
        return status;
    cp_path_active(path, s->frame, 0);
    score_whole(s, path, score, scoring);
    cp_path_free(path);
    return CP_OK;
}

/* ---------------------------------------------------------------- table */

/* The rows' functions of plugin/score that need nothing but the frame. */
#define CP_METHOD(NAME, RUN, LEAVE, CONTRIBUTES, MEANING)
#define CP_METHOD_OF_FRAME(NAME, FUNCTION, CONTRIBUTES, MEANING) \
    cp_status FUNCTION(cp_frame *frame, int image, const cp_response *response, float *score);
#include "cli/method_rows.h"

static const cp_method methods[] = {
#define CP_METHOD(NAME, RUN, LEAVE, CONTRIBUTES, MEANING) \
    {.name = NAME, .score = RUN, .leave = LEAVE, .contributes = CONTRIBUTES},
#define CP_METHOD_OF_FRAME(NAME, FUNCTION, CONTRIBUTES, MEANING) \
    {.name = NAME, .of_frame = FUNCTION, .contributes = CONTRIBUTES},
#include "cli/method_rows.h"
};

cp_status cp_method_signed_score(cp_session *s, const cp_method *method, const cp_response *response, float *score,
                                 cp_scoring *scoring)
{
    *scoring = (cp_scoring){.with_mct = NAN, .with_intgrad = NAN};
    cp_status status = method->of_frame ? method->of_frame(s->frame, 0, response, score)
                                        : method->score(s, response, score, scoring);
    if (!status && s->options->rank == CP_RANK_LAYER)
        cp_score_by_layer(s->model, score);
    return status;
}

cp_status cp_method_score(cp_session *s, const cp_method *method, const cp_response *response, float *score,
                          cp_scoring *scoring)
{
    cp_status status = cp_method_signed_score(s, method, response, score, scoring);
    for (size_t i = 0; !status && method->contributes && i < cp_model_neuron_count(s->model); i++)
        score[i] = fabsf(score[i]);
    return status;
}

static cp_status plain_gradient(cp_session *s, const cp_response *response, float *gradient)
{
    const cp_path *none = NULL;
    return gradient ? cp_map_frozen(s->frame, 0, response, &none, 1, gradient) : CP_OK;
}

cp_status cp_method_scores(cp_session *s, const cp_method *method, const cp_response *response, float *gradient,
                           cp_scores **scores, cp_scoring *scoring)
{
    *scores = NULL;
    *scoring = (cp_scoring){.with_mct = NAN, .with_intgrad = NAN};
    if (method->leave && s->options->rank == CP_RANK_NETWORK && !s->baseline)
        return method->leave(s->frame, 0, response, gradient, scores);
    float *score = cp_alloc(cp_model_neuron_count(s->model), sizeof *score, "scores");
    if (!score)
        return CP_ERESOURCE;
    cp_status status = cp_method_signed_score(s, method, response, score, scoring);
    if (!status)
        status = plain_gradient(s, response, gradient);
    if (!status)
        return cp_scores_take(s->frame, 0, score, method->contributes && !scoring->sampled, scores);
    cp_free(score);
    return status;
}

const cp_method *cp_method_find(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (!strcmp(methods[i].name, name))
            return &methods[i];
    return NULL;
}

const char *cp_method_suggest(const char *name, char *hint, size_t size)
{
    const char *names[sizeof methods / sizeof *methods];
    int n = (int)(sizeof methods / sizeof *methods);
    for (int i = 0; i < n; i++)
        names[i] = methods[i].name;
    return cp_suggest(name, names, n, hint, size);
}

/* The methods that run the network again for their scores: intgrad, ablation, shapley. */
#include "cli/recompute.h"

#include "io/error.h"
#include "io/progress.h"

#include <string.h>

static int layer_count(const cp_session *s)
{
    int n;
    cp_model_neuron_layers(s->model, &n);
    return n;
}

static cp_status read_steps(const cp_options *o, int *steps)
{
    long long number = 0;
    cp_status status = strcmp(o->steps, "auto") ? cp_parse_int("-steps", o->steps, 1, 1000000, &number) : CP_OK;
    *steps = (int)number;
    return status;
}

static cp_status run_intgrad(cp_session *s, const cp_response *response, const cp_run_options *run, float *score,
                             cp_scoring *scoring)
{
    cp_intgrad_options options = {.run = *run, .tolerance = s->options->tolerance};
    int capped = 0, n = layer_count(s);
    cp_status status = read_steps(s->options, &options.steps);
    if (status)
        return status;
    if (!(scoring->intgrad = cp_alloc((size_t)n, sizeof *scoring->intgrad, "report")))
        return CP_ERESOURCE;
    status = cp_score_intgrad(s->frame, 0, response, &options, score, scoring->intgrad);
    for (int l = 0; l < n && !status; l++)
        capped += scoring->intgrad[l].capped;
    if (capped)
        cp_note(s, "intgrad: %d of %d layers did not come within %g of the response", capped, n, options.tolerance);
    return status;
}

static cp_status run_eapig(cp_session *s, const cp_response *response, const cp_run_options *run, float *score,
                           cp_scoring *scoring)
{
    cp_eapig_options options = {.run = *run, .baseline_input = s->baseline_input};
    (void)scoring;
    cp_status status = read_steps(s->options, &options.steps);
    return status ? status : cp_score_eapig(s->frame, 0, response, &options, score);
}

/* MCT and IntGrad at the sampled neurons, ranked against the ablations. */
static cp_status correlate(cp_session *s, const cp_response *response, const size_t *neurons, size_t n,
                           const float *drop, cp_scoring *scoring)
{
    size_t all = cp_model_neuron_count(s->model);
    float *score = cp_alloc(all + n, sizeof *score, "scores"), *at = score + all;
    const cp_intgrad_options options = {.run.memory = s->options->mem, .tolerance = s->options->tolerance};
    cp_status status = score ? cp_score_mct(s->frame, 0, response, false, score) : CP_ERESOURCE;
    for (size_t k = 0; k < n && !status; k++)
        at[k] = score[neurons[k]];
    if (!status)
        status = cp_rank_correlation(drop, at, n, &scoring->with_mct);
    if (!status)
        status = cp_score_intgrad(s->frame, 0, response, &options, score, NULL);
    for (size_t k = 0; k < n && !status; k++)
        at[k] = score[neurons[k]];
    if (!status)
        status = cp_rank_correlation(drop, at, n, &scoring->with_intgrad);
    cp_free(score);
    return status;
}

static cp_status run_ablation(cp_session *s, const cp_response *response, const cp_run_options *run, float *score,
                              cp_scoring *scoring)
{
    size_t all = cp_model_neuron_count(s->model), n = (size_t)s->options->sample;
    cp_run_options of_sample = *run;
    if (!n)
        return cp_score_ablation(s->frame, 0, response, NULL, all, run, score);
    n = n < all ? n : all;
    size_t *neurons = cp_alloc(n, sizeof *neurons, "sample");
    float *drop = cp_alloc(n, sizeof *drop, "sample");
    of_sample.signed_scores = false; /* ranked against other magnitudes */
    cp_status status = neurons && drop ? CP_OK : CP_ERESOURCE;
    if (!status)
        status = cp_score_sample(s->model, response, n, (uint64_t)s->options->seed, neurons, &n);
    if (!status)
        status = cp_score_ablation(s->frame, 0, response, neurons, n, &of_sample, drop);
    if (!status)
        status = correlate(s, response, neurons, n, drop, scoring);
    memset(score, 0, all * sizeof *score);
    for (size_t k = 0; k < n && !status; k++)
        score[neurons[k]] = drop[k];
    scoring->sampled = n;
    cp_free(neurons);
    cp_free(drop);
    return status;
}

void cp_spread_channels(const cp_model *model, const float *channel, float *score)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        size_t plane = layers[l].h * layers[l].w;
        for (size_t i = 0; i < layers[l].count; i++)
            *score++ = channel[i / plane] / (float)plane;
        channel += layers[l].c;
    }
}

static cp_status run_shapley(cp_session *s, const cp_response *response, const cp_run_options *run, float *score,
                             cp_scoring *scoring)
{
    bool channels = cp_by_channel(s->options);
    const cp_shapley_options options = {
        .run = *run, .granularity = channels ? CP_CHANNEL : CP_NEURON, .layer = -1,
        .permutations = s->options->permutations, .exact_players = s->options->exact ? s->options->exact : -1,
        .seed = (uint64_t)s->options->seed,
    };
    scoring->shapley = cp_alloc((size_t)layer_count(s), sizeof *scoring->shapley, "report");
    float *value = channels ? cp_alloc(cp_model_channel_count(s->model), sizeof *value, "values") : score;
    cp_status status = scoring->shapley && value ? CP_OK : CP_ERESOURCE;
    if (!status)
        status = cp_score_shapley(s->frame, 0, response, &options, value, NULL, scoring->shapley);
    if (!status && channels)
        cp_spread_channels(s->model, value, score);
    if (channels)
        cp_free(value);
    return status;
}

typedef cp_status (*long_run)(cp_session *session, const cp_response *response, const cp_run_options *run, float *score,
                              cp_scoring *scoring);

static void show(void *progress, double fraction) { cp_progress_update(progress, fraction); }

static cp_status with_progress(const char *what, long_run method, cp_session *s, const cp_response *response,
                               float *score, cp_scoring *scoring)
{
    cp_progress *progress = cp_progress_start(what, 1, s->options->quiet || s->list);
    const cp_run_options run = {.memory = s->options->mem, .signed_scores = true, .progress = show,
                                .user = progress};
    cp_status status = method(s, response, &run, score, scoring);
    cp_progress_end(&progress);
    return status;
}

cp_status cp_method_intgrad(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    return with_progress("intgrad", run_intgrad, s, response, score, scoring);
}

cp_status cp_method_eapig(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    return with_progress("eapig", run_eapig, s, response, score, scoring);
}

cp_status cp_method_ablation(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    return with_progress("ablation", run_ablation, s, response, score, scoring);
}

cp_status cp_method_shapley(cp_session *s, const cp_response *response, float *score, cp_scoring *scoring)
{
    return with_progress("shapley", run_shapley, s, response, score, scoring);
}

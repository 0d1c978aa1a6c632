#include "cli/gen.h"
#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/pathway.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/json.h"
#include "io/progress.h"
#include "io/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_METHODS = 12, PARTNERS = 20, SWEEP = 6 };
static const size_t first_samples[SWEEP] = {1, 2, 5, 10, 20, 50};

/* A way to open gates. */
typedef struct {
    char name[40];
    uint8_t *open;         /* (answers, gates) */
    cp_gen_match *match;   /* (answers) */
    double seconds;        /* for all answers, without the whole network's own run */
} way;

typedef struct {
    cp_session *session;
    const cp_generator *generator;
    cp_gen_answers *answers;
    size_t n, gates, classes;
    cp_gated_runs *runs;
    float *whole;          /* (n, classes) */
    float *input;
    way way[MOST_METHODS];
    int n_ways;
    /* transfer[way][j]: of answers that class paths of the first j samples explain */
    double kept[MOST_METHODS][SWEEP], kl[MOST_METHODS][SWEEP], off[MOST_METHODS][SWEEP];
    size_t tried[SWEEP];
} evaluation;

/* ---------------------------------------------------------------- gates by score */

typedef struct {
    float score;
    size_t gate;
} ranked;

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->gate < y->gate ? -1 : x->gate > y->gate;
}

/* The `count` best gates, by the sum of the magnitudes of their channel's scores. */
static cp_status open_best(const evaluation *e, const float *score, size_t count, uint8_t *open)
{
    const cp_model *model = e->session->model;
    float *channel = cp_alloc(cp_model_channel_count(model), sizeof *channel, "channels");
    ranked *all = cp_alloc(e->gates, sizeof *all, "channels");
    int n;
    const cp_gated_layer *layers = cp_generator_layers(e->generator, &n);
    cp_status status = channel && all ? CP_OK : CP_ERESOURCE;
    if (!status) {
        cp_score_to_channels(model, score, channel);
        for (int l = 0; l < n; l++)
            for (size_t k = 0; k < layers[l].c; k++)
                all[layers[l].first + k] =
                    (ranked){channel[cp_model_channel_offset(model, layers[l].position) + k], layers[l].first + k};
        qsort(all, e->gates, sizeof *all, by_score);
        memset(open, 0, e->gates);
        for (size_t k = 0; k < count; k++)
            open[all[k].gate] = 1;
    }
    cp_free(channel);
    cp_free(all);
    return status;
}

static cp_status score_by(cp_session *s, const char *method, const cp_response *response, float *score)
{
    const cp_options *before = s->options;
    cp_options mine = *before;
    cp_scoring scoring = {0};
    mine.method = method;
    s->options = &mine;
    cp_status status = cp_method_score(s, cp_method_find(method), response, score, &scoring);
    s->options = before;
    cp_scoring_free(&scoring);
    return status;
}

/* ---------------------------------------------------------------- one answer */

static cp_status match_gates(evaluation *e, size_t answer, const uint8_t *open, cp_gen_match *match)
{
    float *importance = cp_alloc(e->gates, sizeof *importance, "gates");
    const cp_gen_answer *answers[] = {&e->answers->sample[answer].answer};
    const float *whole[] = {e->whole + answer * e->classes};
    if (!importance)
        return CP_ERESOURCE;
    for (size_t k = 0; k < e->gates; k++)
        importance[k] = open[k];
    cp_status status = cp_gated_runs_do(e->runs, e->input, importance, answers, whole, 1, 1, match, NULL);
    cp_free(importance);
    return status;
}

static cp_status open_generator(evaluation *e, cp_gen_pass *pass, size_t answer, size_t *count)
{
    const float *importance, *head;
    uint8_t *open = e->way[0].open + answer * e->gates;
    float *features = cp_alloc(2 * e->gates, sizeof *features, "features");
    if (!features)
        return CP_ERESOURCE;
    double began = cp_seconds();
    cp_generator_features(e->generator, e->session->frame, 0, features);
    cp_gen_forward(e->generator, pass, features, &e->answers->sample[answer].answer.class_id, 1, &importance, &head);
    e->way[0].seconds += cp_seconds() - began;
    *count = 0;
    for (size_t k = 0; k < e->gates; k++)
        *count += open[k] = importance[k] >= .5f;
    cp_free(features);
    return CP_OK;
}

static cp_status take_answer(evaluation *e, cp_gen_pass *pass, float *score, size_t answer)
{
    cp_session *s = e->session;
    const cp_gen_answer *a = &e->answers->sample[answer].answer;
    cp_response response;
    size_t count = 0;
    cp_status status = cp_gen_answers_input(e->answers, e->answers->sample[answer].picture, s->input);
    if (!status)
        status = cp_frame_forward(s->frame, s->input, 1, NULL);
    if (!status) {
        memcpy(e->input, s->input, s->c * s->h * s->w * sizeof *s->input);
        cp_gen_answer_read(a, s->frame, 0, e->whole + answer * e->classes);
        status = open_generator(e, pass, answer, &count);
    }
    if (!status)
        status = cp_response_unit(s->model, a->layer, a->unit[a->class_id], &response);
    for (int k = 1; k < e->n_ways && !status; k++) {
        double began = cp_seconds();
        status = score_by(s, e->way[k].name, &response, score);
        if (!status)
            status = open_best(e, score, count, e->way[k].open + answer * e->gates);
        e->way[k].seconds += cp_seconds() - began;
    }
    for (int k = 0; k < e->n_ways && !status; k++)
        status = match_gates(e, answer, e->way[k].open + answer * e->gates, &e->way[k].match[answer]);
    return status;
}

/* ---------------------------------------------------------------- class paths */

/* Gates open in at least half of the first `first` answers of a class. False: it has fewer. */
static bool class_gates(const evaluation *e, const way *w, int class_id, size_t first, uint8_t *open, size_t *scratch)
{
    size_t seen = 0;
    memset(scratch, 0, e->gates * sizeof *scratch);
    for (size_t i = 0; i < e->n && seen < first; i++) {
        if (e->answers->sample[i].answer.class_id != class_id)
            continue;
        seen++;
        for (size_t k = 0; k < e->gates; k++)
            scratch[k] += w->open[i * e->gates + k];
    }
    for (size_t k = 0; k < e->gates; k++)
        open[k] = 2 * scratch[k] >= seen && scratch[k];
    return seen == first;
}

/* The samples of the class behind the first `held`, by class paths of the first j <= held. */
static cp_status transfer_class(evaluation *e, int class_id, size_t held, uint8_t *open, size_t *scratch)
{
    size_t seen = 0;
    for (size_t i = 0; i < e->n; i++) {
        if (e->answers->sample[i].answer.class_id != class_id || ++seen <= held)
            continue;
        cp_status status = cp_gen_answers_input(e->answers, e->answers->sample[i].picture, e->input);
        for (int j = 0; j < SWEEP && first_samples[j] <= held && !status; j++) {
            e->tried[j]++;
            for (int k = 0; k < e->n_ways && !status; k++) {
                cp_gen_match match;
                size_t on = 0;
                class_gates(e, &e->way[k], class_id, first_samples[j], open, scratch);
                status = match_gates(e, i, open, &match);
                for (size_t g = 0; g < e->gates; g++)
                    on += open[g];
                e->kept[k][j] += match.kept;
                e->kl[k][j] += match.kl;
                e->off[k][j] += 1 - (double)on / (double)e->gates;
            }
        }
        if (status)
            return status;
    }
    return CP_OK;
}

static cp_status transfer(evaluation *e)
{
    uint8_t *open = cp_alloc(e->gates, 1, "gates");
    size_t *scratch = cp_alloc(e->gates, sizeof *scratch, "gates");
    cp_status status = open && scratch ? CP_OK : CP_ERESOURCE;
    for (size_t c = 0; c < e->classes && !status; c++) {
        size_t of_class = 0, held = 0;
        for (size_t i = 0; i < e->n; i++)
            of_class += e->answers->sample[i].answer.class_id == (int)c;
        for (int j = 0; j < SWEEP; j++)
            held = first_samples[j] <= of_class / 2 ? first_samples[j] : held;
        if (held)
            status = transfer_class(e, (int)c, held, open, scratch);
    }
    cp_free(open);
    cp_free(scratch);
    return status;
}

/* ---------------------------------------------------------------- means */

typedef struct {
    double off, off_deviation, kept, kl, increase, drop, within, within_error, across, across_error, seconds;
} row;

/* Mean over the next PARTNERS answers, of the same class or of others; NAN without any. */
static double iou_of(const evaluation *e, const way *w, size_t i, bool same)
{
    double sum = 0;
    size_t partners = 0;
    for (size_t step = 1; step < e->n && partners < PARTNERS; step++) {
        size_t k = (i + step) % e->n, both = 0, either = 0;
        if ((e->answers->sample[i].answer.class_id == e->answers->sample[k].answer.class_id) != same)
            continue;
        for (size_t g = 0; g < e->gates; g++) {
            both += w->open[i * e->gates + g] & w->open[k * e->gates + g];
            either += w->open[i * e->gates + g] | w->open[k * e->gates + g];
        }
        sum += either ? (double)both / (double)either : 1;
        partners++;
    }
    return partners ? sum / (double)partners : NAN;
}

static void mean_of(const evaluation *e, const way *w, bool same, double *mean, double *error)
{
    double sum = 0, squares = 0;
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++) {
        double iou = iou_of(e, w, i, same);
        if (isnan(iou))
            continue;
        sum += iou;
        squares += iou * iou;
        n++;
    }
    *mean = n ? sum / (double)n : NAN;
    *error = n > 1 ? sqrt(fmax(squares / (double)n - *mean * *mean, 0) / (double)(n - 1)) : NAN;
}

static row row_of(const evaluation *e, const way *w)
{
    row r = {.seconds = w->seconds / (double)e->n};
    double squares = 0, n = (double)e->n;
    for (size_t i = 0; i < e->n; i++) {
        size_t on = 0;
        for (size_t g = 0; g < e->gates; g++)
            on += w->open[i * e->gates + g];
        double off = 1 - (double)on / (double)e->gates;
        const cp_gen_match *m = &w->match[i];
        r.off += off / n;
        squares += off * off / n;
        r.kept += m->kept / n;
        r.kl += m->kl / n;
        r.increase += (m->gated > m->whole) / n;
        r.drop += m->whole > 0 ? fmax(m->whole - m->gated, 0) / m->whole / n : 0;
    }
    r.off_deviation = sqrt(fmax(squares - r.off * r.off, 0));
    mean_of(e, w, true, &r.within, &r.within_error);
    mean_of(e, w, false, &r.across, &r.across_error);
    return r;
}

/* ---------------------------------------------------------------- results */

static json_t *way_json(const evaluation *e, int k, const row *r)
{
    json_t *o = json_object(), *sweep = json_array();
    const struct { const char *key; double value; } members[] = {
        {"sparsity", r->off}, {"sparsity_deviation", r->off_deviation}, {"kept", r->kept}, {"kl", r->kl}, {"increase", r->increase},
        {"drop", r->drop}, {"class_iou", r->within}, {"class_iou_error", r->within_error}, {"cross_class_iou", r->across},
        {"cross_class_iou_error", r->across_error}, {"seconds", r->seconds}};
    int bad = cp_json_set(o, "method", cp_json_text(e->way[k].name));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        bad |= cp_json_set(o, members[i].key, cp_json_real(members[i].value));
    for (int j = 0; j < SWEEP; j++)
        if (e->tried[j])
            bad |= cp_json_append(sweep, json_pack("{s:I,s:I,s:f,s:f,s:f}", "samples", (json_int_t)first_samples[j], "explained",
                                                   (json_int_t)e->tried[j], "kept", e->kept[k][j] / (double)e->tried[j], "kl",
                                                   e->kl[k][j] / (double)e->tried[j], "sparsity", e->off[k][j] / (double)e->tried[j]));
    bad |= cp_json_set(o, "class_paths", sweep);
    if (!bad)
        return o;
    json_decref(o);
    return NULL;
}

static void print_rows(const evaluation *e, const row *rows)
{
    FILE *to = e->session->out;
    fprintf(to, "%zu answers, %zu channels with gates; all methods with as many open as gen\n", e->n, e->gates);
    fprintf(to, "%-12s %14s %6s %7s %6s %6s %14s %14s %9s\n", "", "off", "kept", "KL", "incr", "drop", "IoU in class", "IoU across", "ms");
    for (int k = 0; k < e->n_ways; k++) {
        const row *r = &rows[k];
        fprintf(to, "%-12s %5.1f%% +-%4.1f%% %5.1f%% %7.3f %5.1f%% %5.1f%% %6.3f (%.3f) %6.3f (%.3f) %9.3f\n", e->way[k].name,
                100 * r->off, 100 * r->off_deviation, 100 * r->kept, r->kl, 100 * r->increase, 100 * r->drop, r->within,
                r->within_error, r->across, r->across_error, 1e3 * r->seconds);
    }
    fprintf(to, "class paths of the first j answers of a class, on its later ones (kept, off):\n%-12s", "");
    for (int j = 0; j < SWEEP; j++)
        if (e->tried[j])
            fprintf(to, "      j = %-3zu   ", first_samples[j]);
    fputc('\n', to);
    for (int k = 0; k < e->n_ways; k++) {
        fprintf(to, "%-12s", e->way[k].name);
        for (int j = 0; j < SWEEP; j++)
            if (e->tried[j])
                fprintf(to, "  %5.1f%% %5.1f%%", 100 * e->kept[k][j] / (double)e->tried[j], 100 * e->off[k][j] / (double)e->tried[j]);
        fputc('\n', to);
    }
}

static cp_status report(const evaluation *e)
{
    row rows[MOST_METHODS];
    char path[4096];
    cp_session *s = e->session;
    cp_item whole = {.path = "gen.npz"};
    json_t *object = json_object(), *ways = json_array();
    int bad = !object || !ways;
    for (int k = 0; k < e->n_ways; k++) {
        rows[k] = row_of(e, &e->way[k]);
        bad |= cp_json_append(ways, way_json(e, k, &rows[k]));
    }
    bad |= cp_json_set(object, "answers", json_integer((json_int_t)e->n));
    bad |= cp_json_set(object, "gates", json_integer((json_int_t)e->gates));
    bad |= cp_json_set(object, "methods", ways);
    s->list = false;
    cp_status status = bad ? CP_ERESOURCE : cp_choose_prefix(s, &whole);
    if (!status)
        status = cp_output_path(s, &whole, "", ".json", path);
    if (!status)
        status = cp_json_write_file(object, path);
    if (!status && s->options->json)
        status = cp_json_write_stream(object, s->out);
    else if (!status) {
        print_rows(e, rows);
        cp_print_files(s->out, path, NULL, NULL, NULL);
    }
    if (!status && rows[0].off < .01)
        cp_note(s, "gen eval: hardly a channel is off (%.2g%%), so that every method keeps everything: the table says nothing",
                100 * rows[0].off);
    json_decref(object);
    return status;
}

/* ---------------------------------------------------------------- the run */

static cp_status add_way(void *user, const char *name)
{
    evaluation *e = user;
    if (e->n_ways == MOST_METHODS)
        return cp_fail(CP_EINPUT, "-selectors: more than %d", MOST_METHODS - 1);
    way *w = &e->way[e->n_ways++];
    snprintf(w->name, sizeof w->name, "%s", name);
    w->open = cp_alloc(e->n * e->gates, 1, "gates");
    w->match = cp_alloc(e->n, sizeof *w->match, "answers");
    return w->open && w->match ? CP_OK : CP_ERESOURCE;
}

static cp_status add_ways(evaluation *e)
{
    const char *list = e->session->options->selectors ? e->session->options->selectors : "mct,random";
    cp_status status = add_way(e, "gen");
    return status ? status : cp_each_method(e->session->command, "selectors", list, add_way, e);
}

cp_status cp_gen_evaluate(cp_session *session, const cp_generator *generator, cp_gen_answers *answers)
{
    evaluation *e = cp_alloc(1, sizeof *e, "gen eval");
    cp_gen_pass *pass = NULL;
    if (!e)
        return CP_ERESOURCE;
    *e = (evaluation){.session = session, .generator = generator, .answers = answers, .n = answers->n,
                      .gates = cp_generator_gates(generator), .classes = (size_t)cp_model_classes(session->model)};
    float *score = cp_alloc(cp_model_neuron_count(session->model), sizeof *score, "scores");
    e->whole = cp_alloc(e->n * e->classes, sizeof *e->whole, "logits");
    e->input = cp_alloc(session->c * session->h * session->w, sizeof *e->input, "network input");
    cp_status status = score && e->whole && e->input ? add_ways(e) : CP_ERESOURCE;
    if (!status)
        status = cp_gen_pass_create(generator, 1, &pass);
    if (!status)
        status = cp_gated_runs_create(generator, 1, session->options->mem, &e->runs);
    cp_progress *progress = cp_progress_start_list("gen eval", (int)e->n, session->options->quiet);
    for (size_t i = 0; i < e->n && !status; i++) {
        status = take_answer(e, pass, score, i);
        cp_progress_update(progress, (double)(i + 1));
    }
    cp_progress_end(&progress);
    if (!status)
        status = transfer(e);
    if (!status)
        status = report(e);
    for (int k = 0; k < e->n_ways; k++) {
        cp_free(e->way[k].open);
        cp_free(e->way[k].match);
    }
    cp_gated_runs_free(e->runs);
    cp_gen_pass_free(pass);
    cp_free(e->whole);
    cp_free(e->input);
    cp_free(score);
    cp_free(e);
    return status;
}

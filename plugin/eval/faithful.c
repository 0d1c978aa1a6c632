/* Faithfulness over path size (docs/methods.md 5): what zeroed networks answer that keep, or lack, the best neurons,
 * beside random neurons in the same numbers per layer. */
#include <math.h>
#include <string.h>

#include "eval/zeroed.h"
#include "io/error.h"
#include "io/random.h"

enum { BATCH = 8, PROGRESS_STEP = 8 };

static const double default_shares[] = {.001, .002, .005, .01, .02, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9};

typedef struct {
    const cp_model *model;
    cp_scores *scores;
    const cp_faithful_options *options;
    cp_zeroed *zeroed;
    cp_faithful *out;
    cp_answer empty;
    cp_answer *answer;  /* (points, keep and remove) of the path, then (draws, points, keep and remove) at random */
    uint32_t *order;    /* per neuron layer, a random order of its neurons */
    int draws;
    double total;       /* zeroed networks in all */
} job;

double cp_faithful_share(double m, double full, double empty)
{
    return full == empty ? NAN : (m - empty) / (full - empty);
}

/* Sizes between 0 and the largest path, without repeats, then that one and N. */
static cp_status choose_sizes(const job *j, size_t positive)
{
    const cp_faithful_options *o = j->options;
    size_t neurons = cp_model_neuron_count(j->model);
    const double *shares = o->shares ? o->shares : default_shares;
    int n = o->shares ? o->n_shares : (int)(sizeof default_shares / sizeof *default_shares);
    cp_faithful *out = j->out;
    out->point = cp_alloc((size_t)n + 3, sizeof *out->point, "faithfulness");
    if (!out->point)
        return CP_ERESOURCE;
    out->n = 1;
    for (int i = 0; i < n; i++) {
        if (!(shares[i] > 0 && shares[i] < 1))
            return cp_fail(CP_EINPUT, "faithfulness: a path of share %g of the neurons, above 0 and below 1 allowed",
                           shares[i]);
        size_t k = (size_t)round(shares[i] * (double)neurons);
        int at = out->n;
        while (at > 0 && out->point[at - 1].kept >= k)
            at--;
        if (!k || k >= positive || (at < out->n && out->point[at].kept == k))
            continue;
        memmove(out->point + at + 1, out->point + at, (size_t)(out->n - at) * sizeof *out->point);
        out->point[at] = (cp_faithful_point){.kept = k};
        out->n++;
    }
    out->largest = positive;
    out->point[out->n++].kept = positive;
    if (positive < neurons)
        out->point[out->n++].kept = neurons;
    return CP_OK;
}

static cp_status queue(job *j, const cp_path *path, cp_answer *answer)
{
    cp_path *next = cp_zeroed_next(j->zeroed);
    for (int keep = 1; keep >= 0; keep--, next = cp_zeroed_next(j->zeroed)) {
        cp_path_fill(next, false);
        cp_status status = cp_path_or(next, path);
        if (!keep)
            cp_path_not(next);
        if (!status)
            status = cp_zeroed_add(j->zeroed, &answer[keep ? CP_KEEP : CP_REMOVE]);
        if (status)
            return status;
    }
    const cp_run_options *run = &j->options->run;
    if (run->progress && cp_zeroed_runs(j->zeroed) % PROGRESS_STEP == 0)
        run->progress(run->user, cp_zeroed_runs(j->zeroed) / j->total);
    return CP_OK;
}

/* Fisher and Yates, per layer. A path of fewer neurons is then part of one of more. */
static void shuffle(const job *j, uint64_t draw)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(j->model, &n);
    uint64_t state = j->options->seed;
    state = cp_random_next(&state) + draw;
    for (int l = 0; l < n; l++) {
        uint32_t *order = j->order + layers[l].offset;
        for (size_t i = 0; i < layers[l].count; i++) {
            size_t k = (size_t)cp_random_below(&state, i + 1);
            order[i] = order[k];
            order[k] = (uint32_t)i;
        }
    }
}

static void random_path(const job *j, const cp_path *like, cp_path *path)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(j->model, &n);
    cp_path_fill(path, false);
    for (int l = 0; l < n; l++) {
        size_t count = cp_path_layer_count(like, l);
        uint64_t *words = cp_path_words_mutable(path, l);
        for (size_t i = 0; i < count; i++) {
            uint32_t at = j->order[layers[l].offset + i];
            words[at / 64] |= (uint64_t)1 << at % 64;
        }
    }
}

/* Every network of every size but 0 and N. */
static cp_status run_all(job *j, cp_path *path, cp_path *random)
{
    const cp_faithful *out = j->out;
    cp_path_fill(cp_zeroed_next(j->zeroed), false);
    cp_status status = cp_zeroed_add(j->zeroed, &j->empty);
    for (int draw = -1; draw < j->draws && !status; draw++) {
        if (draw >= 0)
            shuffle(j, (uint64_t)draw);
        for (int p = 1; p < out->n && out->point[p].kept < cp_model_neuron_count(j->model) && !status; p++) {
            cp_answer *answer = j->answer + ((size_t)(draw + 1) * out->n + p) * 2;
            status = cp_best_path(path, j->scores, out->point[p].kept);
            if (draw >= 0)
                random_path(j, path, random);
            if (!status)
                status = queue(j, draw >= 0 ? random : path, answer);
        }
    }
    return status ? status : cp_zeroed_flush(j->zeroed);
}

static double mean(const double *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    return sum / n;
}

static double deviation(const double *x, int n)
{
    double m = mean(x, n), sum = 0;
    for (int i = 0; i < n; i++)
        sum += (x[i] - m) * (x[i] - m);
    return n > 1 ? sqrt(sum / (n - 1)) : 0;
}

/* One point of a random curve from its draws. value: room for them. */
static void average(const job *j, int p, int which, double *value)
{
    cp_faithful_point *point = &j->out->point[p];
    for (int part = 0; part < 2; part++) {
        for (int d = 0; d < j->draws; d++) {
            const cp_measure *m = &j->answer[((size_t)(d + 1) * j->out->n + p) * 2 + which].measure;
            value[d] = part ? m->probability : m->response;
        }
        double m = j->draws ? mean(value, j->draws) : NAN, s = j->draws ? deviation(value, j->draws) : NAN;
        cp_measure *to = &point->curve[CP_KEEP_RANDOM + which], *spread = &point->deviation[CP_KEEP_RANDOM + which];
        if (part)
            to->probability = m, spread->probability = s;
        else
            to->response = m, spread->response = s;
    }
}

static void fill_points(const job *j, double *value)
{
    cp_faithful *out = j->out;
    size_t neurons = cp_model_neuron_count(j->model);
    out->empty = j->empty.measure;
    for (int p = 0; p < out->n; p++) {
        cp_faithful_point *point = &out->point[p];
        bool none = point->kept == 0, all = point->kept == neurons;
        point->keeps = none ? j->empty.keeps : true;
        for (int which = CP_KEEP; which <= CP_REMOVE; which++) {
            if (none || all) {
                const cp_measure *m = none == (which == CP_KEEP) ? &out->empty : &out->full;
                point->curve[which] = point->curve[CP_KEEP_RANDOM + which] = *m;
                continue;
            }
            point->curve[which] = j->answer[(size_t)p * 2 + which].measure;
            point->keeps = j->answer[(size_t)p * 2 + CP_KEEP].keeps;
            average(j, p, which, value);
        }
    }
}

static void integrate(cp_faithful *out)
{
    const cp_measure *one = &out->full, *zero = &out->empty;
    for (int c = 0; c < CP_FAITHFUL_CURVES; c++)
        for (int p = 1; p < out->n && out->point[p].kept <= out->largest; p++) {
            const cp_measure *a = &out->point[p - 1].curve[c], *b = &out->point[p].curve[c];
            double width = (double)(out->point[p].kept - out->point[p - 1].kept) / (double)out->largest / 2;
            out->area[c].response += width * (cp_faithful_share(a->response, one->response, zero->response) +
                                              cp_faithful_share(b->response, one->response, zero->response));
            out->area[c].probability +=
                width * (cp_faithful_share(a->probability, one->probability, zero->probability) +
                         cp_faithful_share(b->probability, one->probability, zero->probability));
        }
}

cp_status cp_faithful_measure_by(const cp_frame *frame, int image, const cp_response *response, cp_scores *scores,
                                 const cp_faithful_options *options, cp_faithful *out)
{
    const cp_model *model = cp_frame_model(frame);
    job j = {.model = model, .scores = scores, .options = options, .out = out};
    cp_path *path = NULL, *random = NULL;
    double *value = NULL;
    cp_answer full;
    const cp_sought sought = {.target = {.class_id = options->detection ? options->detection->class_id : -1,
                                         .detection = options->detection, .placement = options->placement},
                              .thresh = options->thresh};
    size_t positive, answers;
    *out = (cp_faithful){0};
    out->kind = cp_zeroed_kind(frame, &options->offpath);
    j.draws = options->draws < 0 ? 0 : options->draws > 0 ? options->draws : 1;
    cp_status status = cp_positive_scores(model, scores, &positive);
    if (!status)
        status = cp_answer_read(frame, image, response, &full);
    if (!status)
        status = choose_sizes(&j, positive);
    if (status)
        goto done;
    out->full = full.measure;
    j.total = 2. * out->n * (1 + j.draws);
    if (!cp_mul((size_t)out->n * 2, (size_t)j.draws + 1, &answers)) {
        status = cp_fail(CP_ERESOURCE, "faithfulness: %d draws do not fit in memory", j.draws);
        goto done;
    }
    j.answer = cp_alloc(answers, sizeof *j.answer, "faithfulness");
    j.order = cp_alloc(cp_model_neuron_count(model), sizeof *j.order, "random paths");
    value = cp_alloc((size_t)j.draws + 1, sizeof *value, "random paths");
    if (!j.answer || !j.order || !value) {
        status = CP_ERESOURCE;
        goto done;
    }
    status = cp_path_create(model, &path);
    if (!status)
        status = cp_path_create(model, &random);
    if (!status)
        status = cp_zeroed_create(frame, image, response, &options->offpath, &sought, &options->run, BATCH, &j.zeroed);
    if (!status)
        status = run_all(&j, path, random);
    if (status)
        goto done;
    fill_points(&j, value);
    integrate(out);
done:
    cp_zeroed_free(j.zeroed);
    cp_path_free(path);
    cp_path_free(random);
    cp_free(j.answer);
    cp_free(j.order);
    cp_free(value);
    if (status)
        cp_faithful_free(out);
    return status;
}

cp_status cp_faithful_measure(const cp_frame *frame, int image, const cp_response *response, const float *score,
                              const cp_faithful_options *options, cp_faithful *out)
{
    cp_scores *scores;
    *out = (cp_faithful){0};
    cp_status status = cp_scores_borrow(score, &scores);
    if (!status)
        status = cp_faithful_measure_by(frame, image, response, scores, options, out);
    cp_scores_free(scores);
    return status;
}

void cp_faithful_free(cp_faithful *faithful)
{
    cp_free(faithful->point);
    *faithful = (cp_faithful){0};
}

/* Shapley values of the units of one layer: the mean, over all orders in which the players come in, of what the
 * response gains when a player does. docs/methods.md 1.3; sampling of orders: Castro, Gomez, Tejada 2009. A player that
 * is out is 0. Players that are 0 anyway change nothing and get 0. */
#include <math.h>
#include <string.h>

#include "engine/branch.h"
#include "engine/memory.h"
#include "io/error.h"
#include "io/random.h"
#include "score/suffix.h"

enum { BATCH = 16, MOST_BATCH = CP_DEVICE_BATCH, PERMUTATIONS = 64, EXACT = 12, MOST_EXACT = 20 };

typedef struct {
    cp_suffix suffix;
    const cp_shapley_options *options;
    size_t *player;         /* number in the layer: neuron or channel */
    size_t n;
    size_t plane;           /* neurons of a player */
    double *sum, *square;   /* of each player's gains */
    cp_shapley_layer *report;
    double done, work, all; /* for progress: before this layer, of it, of all */
} game;

static cp_status enter(const game *g, size_t p, int entry)
{
    return cp_branch_put(g->suffix.branch, entry, g->player[p] * g->plane, g->plane, CP_FROM_BASE);
}

static cp_status find_players(game *g)
{
    size_t units = g->suffix.layer->count / g->plane;
    g->player = cp_alloc(units, sizeof *g->player, "players");
    if (!g->player)
        return CP_ERESOURCE;
    for (size_t p = 0; p < units; p++) {
        bool zero = true;
        for (size_t i = p * g->plane; i < (p + 1) * g->plane && zero; i++)
            zero = g->suffix.a[i] == 0;
        if (!zero)
            g->player[g->n++] = p;
    }
    g->sum = cp_alloc(g->n, sizeof *g->sum, "values");
    g->square = cp_alloc(g->n, sizeof *g->square, "values");
    return g->sum && g->square ? CP_OK : CP_ERESOURCE;
}

/* Runs coalitions first..first+n-1, a bit per player. */
static cp_status run_coalitions(game *g, size_t first, int n, double *phi)
{
    cp_status status = CP_OK;
    for (int e = 0; e < n; e++) {
        cp_branch_start(g->suffix.branch, e, CP_FROM_ZERO);
        for (size_t p = 0; p < g->n && !status; p++)
            if ((first + (size_t)e) >> p & 1)
                status = enter(g, p, e);
    }
    g->report->evaluations += (size_t)n;
    return status ? status : cp_suffix_forward(&g->suffix, n, phi);
}

/* All subsets: value_p = sum over S without p of |S|! (n-1-|S|)! / n! * (v(S + p) - v(S)). */
static cp_status enumerate(game *g)
{
    size_t subsets = (size_t)1 << g->n;
    cp_status status = CP_OK;
    double share[MOST_EXACT]; /* by |S| */
    double *v = cp_alloc(subsets, sizeof *v, "coalitions");
    if (!v)
        return CP_ERESOURCE;
    for (size_t s = 0; s < subsets && !status; s += (size_t)g->suffix.batch) {
        int n = subsets - s < (size_t)g->suffix.batch ? (int)(subsets - s) : g->suffix.batch;
        status = run_coalitions(g, s, n, v + s);
        cp_run_progress(&g->options->run, (g->done + g->work * (double)s / (double)subsets) / g->all);
    }
    share[0] = 1 / (double)g->n;
    for (size_t s = 1; s < g->n; s++)
        share[s] = share[s - 1] * (double)s / (double)(g->n - s);
    for (size_t p = 0; p < g->n && !status; p++)
        for (size_t s = 0; s < subsets; s++)
            if (!(s >> p & 1))
                g->sum[p] += share[__builtin_popcountll(s)] * (v[s | (size_t)1 << p] - v[s]);
    cp_free(v);
    return status;
}

static void shuffle(size_t *order, size_t n, uint64_t random)
{
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)cp_random_below(&random, i), kept = order[i - 1];
        order[i - 1] = order[j];
        order[j] = kept;
    }
}

/* Entry e of the branch lives through permutation first + e; all entries let their next player in at the same time. The
 * last player needs no run: then all are in. */
static cp_status play(game *g, int first, int n, size_t *order, double zero)
{
    double before[MOST_BATCH], phi[MOST_BATCH];
    cp_status status = CP_OK;
    int position = cp_model_neuron_position(g->suffix.model, g->suffix.layer->layer);
    for (int e = 0; e < n; e++) {
        uint64_t random = g->options->seed ^ ((uint64_t)position << 32 | (uint64_t)(first + e));
        random = cp_random_next(&random);
        shuffle(order + (size_t)e * g->n, g->n, random);
        cp_branch_start(g->suffix.branch, e, CP_FROM_ZERO);
        before[e] = zero;
    }
    for (size_t step = 0; step < g->n && !status; step++) {
        for (int e = 0; e < n && !status; e++)
            status = enter(g, order[(size_t)e * g->n + step], e);
        if (status)
            break;
        if (step + 1 < g->n) {
            status = cp_suffix_forward(&g->suffix, n, phi);
            g->report->evaluations += (size_t)n;
        } else {
            for (int e = 0; e < n; e++)
                phi[e] = g->suffix.full;
        }
        for (int e = 0; e < n && !status; e++) {
            size_t p = order[(size_t)e * g->n + step];
            double gain = phi[e] - before[e];
            g->sum[p] += gain;
            g->square[p] += gain * gain;
            before[e] = phi[e];
        }
    }
    return status;
}

static cp_status sample(game *g, int permutations, double zero)
{
    size_t *order = cp_alloc(g->n, (size_t)g->suffix.batch * sizeof *order, "permutations");
    cp_status status = order ? CP_OK : CP_ERESOURCE;
    for (int first = 0; first < permutations && !status; first += g->suffix.batch) {
        int n = permutations - first < g->suffix.batch ? permutations - first : g->suffix.batch;
        status = play(g, first, n, order, zero);
        cp_run_progress(&g->options->run, (g->done + g->work * (first + n) / permutations) / g->all);
    }
    cp_free(order);
    return status;
}

/* Means and standard errors into the arrays of the layer. */
static void report_values(game *g, int permutations, float *value, float *error)
{
    double squares = 0;
    for (size_t p = 0; p < g->n; p++) {
        double mean = g->sum[p], variance = 0;
        if (!g->report->exact) {
            mean /= permutations;
            variance = (g->square[p] - permutations * mean * mean) / (permutations - 1.) / permutations;
        }
        if (!(variance > 0))
            variance = 0;
        value[g->player[p]] = (float)(g->options->run.signed_scores ? mean : fabs(mean));
        if (error)
            error[g->player[p]] = (float)sqrt(variance);
        g->report->sum += mean;
        squares += variance;
    }
    g->report->sum_error = sqrt(squares);
}

static int permutations_of(const cp_shapley_options *options)
{
    return options->permutations ? options->permutations : PERMUTATIONS;
}

static int exact_of(const cp_shapley_options *options)
{
    return options->exact_players ? options->exact_players : EXACT;
}

static cp_status play_by(int batch, cp_frame *frame, int image, const cp_response *response, int position, game *g,
                         float *value, float *error)
{
    const cp_shapley_options *options = g->options;
    cp_shapley_layer *report = g->report;
    cp_status status = cp_suffix_open(frame, image, response, position, batch, &g->suffix);
    if (!status) {
        const cp_neuron_layer *layer = g->suffix.layer;
        g->plane = options->granularity == CP_CHANNEL ? layer->h * layer->w : 1;
        report->full = g->suffix.full;
        status = find_players(g);
    }
    if (!status)
        status = cp_suffix_zero(&g->suffix, &report->zero);
    if (!status) {
        report->players = g->n;
        report->evaluations = 1;
        report->exact = (int64_t)g->n <= exact_of(options);
        status = report->exact ? enumerate(g) : sample(g, permutations_of(options), report->zero);
    }
    if (!status)
        report_values(g, permutations_of(options), value, error);
    cp_suffix_close(&g->suffix);
    cp_free(g->player), cp_free(g->sum), cp_free(g->square);
    return status;
}

static cp_status play_layer(cp_frame *frame, int image, const cp_response *response, int position, const game *g,
                            float *value, float *error)
{
    const cp_run_options *run = &g->options->run;
    int batch = cp_suffix_batch(frame, response, position, cp_most_entries(frame, BATCH), false,
                                cp_run_frame_memory(frame, run));
    cp_status status;
    do {
        game one = *g;
        status = play_by(batch, frame, image, response, position, &one, value, error);
    } while (cp_halve_batch(status, &batch));
    return status;
}

static cp_status check_options(const cp_model *model, const cp_shapley_options *options)
{
    int n;
    cp_model_neuron_layers(model, &n);
    if (options->layer < -1 || options->layer >= n)
        return cp_fail(CP_EINPUT, "shapley: neuron layer %d, allowed are 0 to %d and -1 for all", options->layer,
                       n - 1);
    if (options->permutations && options->permutations < 2)
        return cp_fail(CP_EINPUT, "shapley: %d permutations, at least 2 are needed", options->permutations);
    if (options->exact_players < -1 || options->exact_players > MOST_EXACT)
        return cp_fail(CP_EINPUT, "shapley: subsets of %d players, allowed are -1 to %d", options->exact_players,
                       (int)MOST_EXACT);
    return CP_OK;
}

/* The response's own units explain nothing. */
static void clear_units(const cp_model *model, const cp_response *response, const cp_shapley_options *options,
                        float *value, float *error)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int u = 0; u < response->n && options->granularity == CP_NEURON; u++) {
        int position = cp_model_neuron_position(model, cp_model_layer(model, response->unit[u].layer)->value);
        if (position < 0)
            continue;
        value[layers[position].offset + response->unit[u].index] = 0;
        if (error)
            error[layers[position].offset + response->unit[u].index] = 0;
    }
}

cp_status cp_score_shapley(cp_frame *frame, int image, const cp_response *response, const cp_shapley_options *options,
                           float *value, float *error, cp_shapley_layer *layers)
{
    const cp_model *model = cp_frame_model(frame);
    bool channels = options->granularity == CP_CHANNEL;
    size_t all = channels ? cp_model_channel_count(model) : cp_model_neuron_count(model);
    int n;
    const cp_neuron_layer *table = cp_model_neuron_layers(model, &n);
    double work = 0, done = 0;
    cp_status status = check_options(model, options);
    if (status)
        return status;
    memset(value, 0, all * sizeof *value);
    if (error)
        memset(error, 0, all * sizeof *error);
    for (int l = 0; l < n; l++)
        if ((options->layer < 0 || options->layer == l) && cp_suffix_matters(model, response, l))
            work += cp_suffix_work(model, response, l) * (double)(channels ? table[l].c : table[l].count);
    for (int l = 0; l < n && !status; l++) {
        cp_shapley_layer report = {.depends = cp_suffix_matters(model, response, l)};
        if (report.depends && (options->layer < 0 || options->layer == l)) {
            size_t offset = channels ? cp_model_channel_offset(model, l) : table[l].offset;
            game g = {.options = options, .report = &report, .done = done, .all = work};
            g.work = cp_suffix_work(model, response, l) * (double)(channels ? table[l].c : table[l].count);
            status = play_layer(frame, image, response, l, &g, value + offset, error ? error + offset : NULL);
            done += g.work;
        }
        if (layers)
            layers[l] = report;
    }
    if (!status)
        clear_units(model, response, options, value, error);
    return status;
}

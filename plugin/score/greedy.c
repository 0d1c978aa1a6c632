/* GreedyPruning: the paper's Algorithm 1 (Khakzar et al. 2021). It asks for a small subnetwork that keeps the response,
 * and what it finds is not what the network used: neurons that were dead come alive as others go. docs/methods.md
 * 1.5. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "critpath.h"
#include "engine/frame_scores.h"
#include "io/error.h"
#include "score/rerun.h"
#include "score/score.h"

/* A candidate as one number: lowest score first, and of equal scores the last in (layer, index) first, so that what
 * stays is what cp_path_select would keep. */
typedef uint64_t candidate;

static uint32_t bits_of(float s)
{
    uint32_t bits;
    memcpy(&bits, &s, sizeof bits);
    return bits & 0x7fffffffu;
}

static candidate make_candidate(float s, size_t player) { return (uint64_t)bits_of(s) << 32 | (UINT32_MAX - player); }

static size_t player_of(candidate c) { return UINT32_MAX - (uint32_t)c; }

static void swap(candidate *a, candidate *b)
{
    candidate t = *a;
    *a = *b;
    *b = t;
}

/* Moves the m lowest of n to the front, in any order (Hoare's selection, pivot the median of three). All differ. */
static void partition_lowest(candidate *c, size_t n, size_t m)
{
    size_t lo = 0, hi = n;
    while (m > lo && m < hi && hi - lo > 1) {
        candidate *first = c + lo, *middle = c + lo + (hi - lo) / 2, *last = c + hi - 1;
        if (*middle < *first) swap(middle, first);
        if (*last < *first) swap(last, first);
        if (*last < *middle) swap(last, middle);
        candidate pivot = *middle;
        size_t i = lo, j = hi - 1;
        for (;; i++, j--) {
            while (c[i] < pivot) i++;
            while (c[j] > pivot) j--;
            if (i >= j) break;
            swap(c + i, c + j);
        }
        if (m <= i) hi = i; /* c[lo..i) < pivot <= c[i..hi) */
        else lo = i == lo ? lo + 1 : i;
    }
}

static int compare(const void *a, const void *b)
{
    candidate x = *(const candidate *)a, y = *(const candidate *)b;
    return (x > y) - (x < y);
}

static void multiply(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                     size_t count)
{
    (void)entry;
    float *s = (float *)user + layer->offset + first;
    for (size_t i = 0; i < count; i++)
        s[i] = fabsf(a[i] * g[i]);
}

/* |a*g| of all neurons in the network in which everything off the path is zero. */
static cp_status contributions(cp_rerun *rerun, const cp_path *path, const cp_response *response, float *s)
{
    const cp_model *model = cp_frame_model(rerun->frame);
    const cp_restriction restriction = {.kind = CP_ZEROED, .path = path};
    const cp_entry entry = {.response = response, .path = path};
    const cp_observer observer = {multiply, s};
    bool finite;
    memset(s, 0, cp_model_neuron_count(model) * sizeof *s); /* layers that the response does not depend on */
    cp_status status = cp_rerun_forward(rerun, &restriction);
    if (!status && cp_frame_held_scores(rerun->frame)) { /* products made there; the response's own units do not matter */
        status = cp_frame_score_products(rerun->frame, &entry, true, &finite, NULL);
        if (!status)
            status = cp_frame_held_scores(rerun->frame)->read(rerun->frame, s);
    } else if (!status) {
        status = cp_frame_backward(rerun->frame, &entry, 1, &observer, NULL);
    }
    return status ? status : cp_score_check_finite(model, s);
}

/* Those that may go now. mark[j] is 0 for the removed and for the response's own units. */
static size_t collect(const uint8_t *mark, const float *s, size_t n, bool unprotected, candidate *out)
{
    size_t found = 0;
    for (size_t j = 0; j < n; j++)
        if (mark[j] && (unprotected || bits_of(s[j])))
            out[found++] = make_candidate(s[j], j);
    return found;
}

/* Of channels the rank itself, which survives being spread over a plane and summed again. Of neurons the rank-th number
 * above 1: floats as such count to 2^24 only. */
static float rank_score(size_t rank, bool channels)
{
    if (channels)
        return (float)rank;
    uint32_t bits = 0x3f800000u + (uint32_t)rank;
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* Players are neurons or channels. */
typedef struct {
    cp_rerun rerun;
    const cp_model *model;
    bool channels;
    size_t players;
    cp_path *path;         /* what is not zeroed */
    uint8_t *mark;         /* what may still be removed, (players) */
    float *by_neuron, *s;  /* (N), (players); the same where players are neurons */
    candidate *candidates;
    size_t left;
} pruning;

/* A channel's score is the sum of its neurons'. */
static cp_status score_players(pruning *p, const cp_response *response)
{
    cp_status status = contributions(&p->rerun, p->path, response, p->by_neuron);
    if (!status && p->channels)
        cp_score_to_channels(p->model, p->by_neuron, p->s);
    return status;
}

static void zero_player(pruning *p, size_t player)
{
    int n, l = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    p->mark[player] = 0;
    if (!p->channels) {
        cp_path_set(p->path, player, false);
        return;
    }
    for (; l + 1 < n && player >= layers[l].c; l++)
        player -= layers[l].c;
    for (size_t i = 0, plane = layers[l].h * layers[l].w; i < plane; i++)
        cp_path_set(p->path, layers[l].offset + player * plane + i, false);
}

/* All may be removed but the response's own units, and channels that hold one. */
static void mark_players(pruning *p, const cp_response *response)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    memset(p->mark, 1, p->players);
    for (int u = 0; u < response->n; u++) {
        int l = cp_model_neuron_position(p->model, cp_model_layer(p->model, response->unit[u].layer)->value);
        size_t index = response->unit[u].index;
        if (l >= 0)
            p->mark[p->channels ? cp_model_channel_offset(p->model, l) + index / (layers[l].h * layers[l].w)
                                : layers[l].offset + index] = 0;
    }
    p->left = 0;
    for (size_t k = 0; k < p->players; k++)
        p->left += p->mark[k];
}

static cp_status prune(pruning *p, const cp_response *response, const cp_greedy_options *options,
                       size_t keep, float *score, cp_greedy_report *report)
{
    size_t n = p->players, removed = 0, begun = p->left;
    size_t step = (size_t)round((options->step > 0 ? options->step : .01) * (double)n);
    while (p->left > keep) {
        cp_status status = score_players(p, response);
        if (status)
            return status;
        size_t found = collect(p->mark, p->s, n, options->unprotected, p->candidates);
        size_t go = step < 1 ? 1 : step;
        go = go > p->left - keep ? p->left - keep : go;
        go = go > found ? found : go;
        report->rounds++;
        if ((report->stalled = !found))
            break;
        partition_lowest(p->candidates, found, go);
        qsort(p->candidates, go, sizeof *p->candidates, compare);
        for (size_t i = 0; i < go; i++) {
            size_t player = player_of(p->candidates[i]);
            zero_player(p, player);
            score[player] = rank_score(++removed, p->channels);
        }
        p->left -= go;
        if (options->run.progress)
            options->run.progress(options->run.user, (double)(begun - p->left) / (double)(begun - keep));
    }
    for (size_t j = 0; j < n; j++)
        if (p->mark[j])
            score[j] = rank_score(removed + 1, p->channels);
    return CP_OK;
}

cp_status cp_score_greedy(const cp_model *model, const float *input, const cp_response *response,
                          const cp_greedy_options *options, float *score, cp_greedy_report *report)
{
    bool channels = options->granularity == CP_CHANNEL;
    size_t neurons = cp_model_neuron_count(model), n = channels ? cp_model_channel_count(model) : neurons, keep;
    cp_greedy_report unused;
    report = report ? report : &unused;
    *report = (cp_greedy_report){0};
    if (!(options->sparsity >= 0 && options->sparsity < 1))
        return cp_fail(CP_EINPUT, "greedy: sparsity %g, allowed is 0 to below 1", options->sparsity);
    if (!(options->step >= 0 && options->step <= 1))
        return cp_fail(CP_EINPUT, "greedy: step %g of the neurons, allowed is above 0 to 1", options->step);
    if (n > (size_t)1 << 30)
        return cp_fail(CP_EINPUT, "greedy: %zu neurons or channels, allowed are 2^30", n);
    keep = (size_t)floor((1 - options->sparsity) * (double)n + .5);
    pruning p = {.model = model, .channels = channels, .players = n};
    cp_status status = CP_ERESOURCE;
    p.mark = cp_alloc(n, 1, "greedy");
    p.by_neuron = cp_alloc(neurons, sizeof *p.by_neuron, "greedy");
    p.s = channels ? cp_alloc(n, sizeof *p.s, "greedy") : p.by_neuron;
    p.candidates = cp_alloc(n, sizeof *p.candidates, "greedy");
    if (!p.mark || !p.by_neuron || !p.s || !p.candidates || (status = cp_path_create(model, &p.path)) ||
        (status = cp_rerun_open(model, input, &p.rerun)))
        goto done;
    mark_players(&p, response);
    memset(score, 0, n * sizeof *score);
    cp_path_fill(p.path, true);
    status = prune(&p, response, options, keep, score, report);
    report->left = p.left;
    report->sparsity = n ? 1 - (double)p.left / (double)n : 0;
done:
    cp_rerun_close(&p.rerun);
    cp_path_free(p.path);
    if (channels)
        cp_free(p.s);
    cp_free(p.mark), cp_free(p.by_neuron), cp_free(p.candidates);
    return status;
}

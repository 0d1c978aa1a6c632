/* Ablation: what the response loses when one neuron becomes 0, by running again what depends on it. docs/methods.md
 * 1.3. One layer at a time; the ablations are entries of a branch, and the branch gives the response without ablation
 * too: the frame's own run may have summed in another order. Neurons outside the response's receptive field are not
 * run: rounding would not leave all of them at 0. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/branch.h"
#include "engine/memory.h"
#include "io/error.h"
#include "model/receptive.h"
#include "io/random.h"
#include "score/score.h"
#include "score/suffix.h"

enum { BATCH = 16, MOST_BATCH = CP_DEVICE_BATCH };

typedef struct {
    const size_t *neurons; /* ascending; NULL: all */
    size_t n;
    const cp_run_options *run;
    float *drop;
    double work, done;     /* for progress */
    cp_reach reach;        /* of the response */
} sample;

static size_t neuron_at(const sample *s, size_t k) { return s->neurons ? s->neurons[k] : k; }

/* A neuron at 0 is not run either: nothing would change. */
static bool counts(const cp_suffix *suffix, const sample *s, size_t i)
{
    return suffix->a[i] != 0 && cp_reach_has(&s->reach, suffix->layer->layer, i);
}

/* drop[k] for k in [from, to), all of the suffix's layer. Every run is of the whole batch, so that the same kernels
 * run. */
static cp_status ablate_layer(cp_suffix *suffix, sample *s, size_t from, size_t to, double work)
{
    size_t pending[MOST_BATCH];
    double phi[MOST_BATCH], full[MOST_BATCH];
    int n = 0;
    for (int e = 0; e < suffix->batch; e++)
        cp_branch_start(suffix->branch, e, CP_FROM_BASE);
    cp_status status = cp_suffix_forward(suffix, suffix->batch, full);
    for (size_t k = from; k < to && !status; k++) {
        size_t i = neuron_at(s, k) - suffix->layer->offset;
        if (counts(suffix, s, i)) {
            if ((status = cp_branch_put(suffix->branch, n, i, 1, CP_FROM_ZERO)))
                break;
            pending[n++] = k;
        }
        if (!n || (n < suffix->batch && k + 1 < to))
            continue;
        status = cp_suffix_forward(suffix, suffix->batch, phi);
        for (int e = 0; e < n && !status; e++) {
            size_t j = neuron_at(s, pending[e]) - suffix->layer->offset;
            double drop = full[e] - phi[e];
            s->drop[pending[e]] = (float)(s->run && s->run->signed_scores ? drop : fabs(drop));
            status = cp_branch_put(suffix->branch, e, j, 1, CP_FROM_BASE);
        }
        n = 0;
        cp_run_progress(s->run, (s->done + work * (double)(k + 1 - from)) / s->work);
    }
    if (!status)
        s->done += work * (double)(to - from);
    return status;
}

/* The response's own units explain nothing. */
static void clear_units(const cp_model *model, const cp_response *response, const sample *s)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int u = 0; u < response->n; u++) {
        int position = cp_model_neuron_position(model, cp_model_layer(model, response->unit[u].layer)->value);
        for (size_t k = 0; k < s->n && position >= 0; k++)
            if (neuron_at(s, k) == layers[position].offset + response->unit[u].index)
                s->drop[k] = 0;
    }
}

static cp_status check_neurons(const cp_model *model, const size_t *neurons, size_t n)
{
    size_t all = cp_model_neuron_count(model);
    if (!neurons && n != all)
        return cp_fail(CP_EINPUT, "ablation: %zu scores asked for, the network has %zu neurons", n, all);
    for (size_t k = 0; neurons && k < n; k++) {
        if (neurons[k] >= all)
            return cp_fail(CP_EINPUT, "ablation: there is no neuron %zu, the network has %zu", neurons[k], all);
        if (k && neurons[k] <= neurons[k - 1])
            return cp_fail(CP_EINPUT, "ablation: neuron %zu follows %zu, ascending order is needed", neurons[k],
                           neurons[k - 1]);
    }
    return CP_OK;
}

static size_t end_of_layer(const sample *s, const cp_neuron_layer *layer, size_t from)
{
    size_t end = layer->offset + layer->count;
    if (!s->neurons)
        return end;
    while (from < s->n && s->neurons[from] < end)
        from++;
    return from;
}

cp_status cp_score_ablation(cp_frame *frame, int image, const cp_response *response, const size_t *neurons, size_t n,
                            const cp_run_options *run, float *drop)
{
    const cp_model *model = cp_frame_model(frame);
    sample s = {.neurons = neurons, .n = n, .run = run, .drop = drop};
    int layers;
    const cp_neuron_layer *table = cp_model_neuron_layers(model, &layers);
    cp_status status = check_neurons(model, neurons, n);
    if (status)
        return status;
    memset(drop, 0, n * sizeof *drop);
    status = cp_reach_find(cp_model_shapes(model), response, &s.reach);
    for (size_t l = 0, from = 0, to; l < (size_t)layers; l++, from = to) {
        to = end_of_layer(&s, &table[l], from);
        if (cp_suffix_matters(model, response, (int)l))
            s.work += (double)(to - from) * cp_suffix_work(model, response, (int)l);
    }
    for (size_t l = 0, from = 0, to; l < (size_t)layers && !status; l++, from = to) {
        to = end_of_layer(&s, &table[l], from);
        if (from == to || !cp_suffix_matters(model, response, (int)l))
            continue;
        int most = cp_most_entries(frame, BATCH);
        most = to - from < (size_t)most ? (int)(to - from) : most;
        int batch = cp_suffix_batch(frame, response, (int)l, most, false, cp_run_frame_memory(frame, run));
        do {
            cp_suffix suffix;
            status = cp_suffix_open(frame, image, response, (int)l, batch, &suffix);
            if (!status)
                status = ablate_layer(&suffix, &s, from, to, cp_suffix_work(model, response, (int)l));
            cp_suffix_close(&suffix);
        } while (cp_halve_batch(status, &batch));
    }
    if (!status)
        clear_units(model, response, &s);
    cp_reach_free(&s.reach);
    return status;
}

static int ascending(const void *a, const void *b)
{
    size_t one = *(const size_t *)a, other = *(const size_t *)b;
    return (one > other) - (one < other);
}

/* Floyd's algorithm on the neurons that matter, numbered through; whether a number is taken is a bit. */
cp_status cp_score_sample(const cp_model *model, const cp_response *response, size_t n, uint64_t seed, size_t *neurons,
                          size_t *drawn)
{
    int layers;
    const cp_neuron_layer *table = cp_model_neuron_layers(model, &layers);
    size_t all = 0;
    for (int l = 0; l < layers; l++)
        if (cp_suffix_matters(model, response, l))
            all += table[l].count;
    *drawn = n = n < all ? n : all;
    uint64_t *taken = cp_alloc(all / 64 + 1, sizeof *taken, "sample");
    if (!taken)
        return CP_ERESOURCE;
    for (size_t k = 0, top = all - n; k < n; k++, top++) {
        size_t number = (size_t)cp_random_below(&seed, top + 1);
        if (taken[number / 64] >> number % 64 & 1)
            number = top;
        taken[number / 64] |= (uint64_t)1 << number % 64;
        neurons[k] = number;
    }
    cp_free(taken);
    qsort(neurons, n, sizeof *neurons, ascending);
    size_t k = 0, before = 0;
    for (int l = 0; l < layers; l++) {
        if (!cp_suffix_matters(model, response, l))
            continue;
        for (; k < n && neurons[k] < before + table[l].count; k++)
            neurons[k] += table[l].offset - before;
        before += table[l].count;
    }
    return CP_OK;
}

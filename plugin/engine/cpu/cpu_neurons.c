/* What a run does between layers on the CPU: to neurons, to their deltas and tangents. */
#include "engine/cpu/cpu_backend.h"

enum { CHUNK = 1 << 12 }; /* neurons of one part, which stay in the nearest cache; a multiple of 64: parts share no word of a path */
enum { LINE_CHUNK = 1 << 13 }; /* elements that stay in the nearest cache between two passes */

static int parts_of(size_t count, size_t chunk) { return (int)((count + chunk - 1) / chunk); }

static size_t part_at(size_t count, size_t first, size_t chunk) { return count - first < chunk ? count - first : chunk; }

void cp_cpu_gate(cp_frame *frame, size_t count, const float *gates, float *before, float *a)
{
    (void)frame;
#pragma omp parallel for num_threads(cp_threads_for((double)count))
    for (size_t i = 0; i < count; i++)
        before[i] = a[i], a[i] *= gates[i];
}

void cp_cpu_restrict_to(cp_frame *frame, int position, const cp_path *path, const float *constant, float *a)
{
    size_t count = frame->model->neuron[position].count;
    const uint64_t *words = cp_path_words(path, position);
#pragma omp parallel for num_threads(cp_threads_for((double)count))
    for (size_t w = 0; w < (count + 63) / 64; w++) {
        size_t end = w * 64 + 64 < count ? w * 64 + 64 : count;
        for (size_t i = w * 64; i < end; i++)
            if (!(words[w] >> (i & 63) & 1))
                a[i] = constant ? constant[i] : 0;
    }
}

static void keep_positive(float *g, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g[i] = g[i] > 0 ? g[i] : 0;
}

/* One part of a neuron layer's deltas while it is in cache. Returns how many are then not 0, where it descends. */
static size_t through_part(const cp_frame *frame, const cp_through *call, int e, size_t first, size_t part)
{
    const cp_entry *entry = &call->entries[e];
    const cp_neuron_layer *neuron = &frame->model->neuron[call->position];
    ACTIVATION activation = frame->engine->op[call->layer].activation;
    float *g = call->delta + e * neuron->count + first;
    const float *a = cp_entry_activations(frame, entry, call->layer) + first;
    const uint64_t *words = call->expose && entry->path ? cp_path_words(entry->path, call->position) : NULL;
    if (call->expose && call->observer)
        call->observer->gradient(call->observer->user, neuron, e, first, a, g, part);
    if (words && !call->descend)
        cp_mask_apply(words, first, part, g);
    if (call->expose && entry->guided)
        keep_positive(g, part);
    for (size_t i = 0; call->expose && entry->gates && i < part; i++)
        g[i] *= entry->gates[neuron->offset + first + i];
    if (!call->descend)
        return 0;
    return cp_mask_descend(words, first, cp_entry_slope_values(frame, entry, call->layer) + first, part, activation, g);
}

void cp_cpu_through(cp_frame *frame, const cp_through *call)
{
    size_t count = frame->model->neuron[call->position].count;
    int parts = parts_of(count, CHUNK);
    for (int e = 0; e < call->n && call->descend; e++)
        call->nonzero[e] = 0;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)count * call->n))
    for (int e = 0; e < call->n; e++)
        for (int c = 0; c < parts; c++) {
            size_t first = (size_t)c * CHUNK;
            size_t nonzero = through_part(frame, call, e, first, part_at(count, first, CHUNK));
            if (!call->descend)
                continue;
#pragma omp atomic
            call->nonzero[e] += nonzero;
        }
}

void cp_cpu_tangent_through(cp_frame *frame, const cp_tangent_through *call)
{
    const cp_neuron_layer *neuron = &frame->model->neuron[call->position];
    size_t count = neuron->count;
    int parts = parts_of(count, CHUNK);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)count * call->n))
    for (int e = 0; e < call->n; e++)
        for (int c = 0; c < parts; c++) {
            size_t first = (size_t)c * CHUNK, part = part_at(count, first, CHUNK);
            float *t = call->tangent + e * count + first;
            const float *a = cp_frame_slope_values(frame, call->layer, call->image[e]) + first;
            if (call->observer && call->observer->before_activation)
                call->observer->before_activation(call->observer->user, neuron, e, first, t, part);
            cp_activation_gradient(a, part, frame->engine->op[call->layer].activation, t);
            if (call->path)
                cp_mask_apply(cp_path_words(call->path, call->position), first, part, t);
        }
}

void cp_cpu_clear(cp_frame *frame, cp_batch x, int n, size_t count)
{
    (void)frame;
    cp_batch_clear(x, n, count);
}

void cp_cpu_add(cp_frame *frame, const float *host, float *x, size_t count)
{
    (void)frame;
    for (size_t i = 0; i < count; i++)
        x[i] += host[i];
}

void cp_cpu_add_at(cp_frame *frame, float *x, float value)
{
    (void)frame;
    *x += value;
}

void cp_cpu_count_nonzero(cp_frame *frame, const float *delta, int n, size_t count, size_t *nonzero)
{
    int parts = parts_of(count, CHUNK);
    (void)frame;
    for (int e = 0; e < n; e++)
        nonzero[e] = 0;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)count * n))
    for (int e = 0; e < n; e++)
        for (int c = 0; c < parts; c++) {
            size_t first = (size_t)c * CHUNK;
            size_t found = cp_count_nonzero(delta + e * count + first, part_at(count, first, CHUNK));
#pragma omp atomic
            nonzero[e] += found;
        }
}

CP_CLONES static void combine(const float *restrict u, const float *restrict v, float factor, size_t n,
                              float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = factor * u[i] + v[i];
}

void cp_cpu_fill_line(cp_frame *branch, int layer, int n, const double *factor, const float *u, const float *v,
                      ACTIVATION activation)
{
    size_t outputs = cp_outputs(branch->model, layer);
    int parts = parts_of(outputs, LINE_CHUNK);
    cp_batch out = cp_frame_batch(branch, layer);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)outputs * n))
    for (int e = 0; e < n; e++)
        for (int c = 0; c < parts; c++) {
            size_t first = (size_t)c * LINE_CHUNK, part = part_at(outputs, first, LINE_CHUNK);
            float *to = cp_at(out, e) + first;
            combine(u + first, v + first, (float)factor[e], part, to);
            cp_activate(to, part, activation);
        }
}

void cp_cpu_add_deltas(cp_frame *frame, const float *delta, size_t outputs, int n, double weight, double *sum)
{
    int parts = parts_of(outputs, LINE_CHUNK);
    (void)frame;
#pragma omp parallel for num_threads(cp_threads_for((double)outputs * n))
    for (int c = 0; c < parts; c++) {
        size_t first = (size_t)c * LINE_CHUNK, end = first + part_at(outputs, first, LINE_CHUNK);
        for (int e = 0; e < n; e++)
            for (size_t i = first; i < end; i++)
                sum[i] += weight * delta[e * outputs + i];
    }
}

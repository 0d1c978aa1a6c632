/* Scores that stay on the device, and what selection asks of them. */
#include <stdlib.h>
#include <string.h>

#include "engine/cuda/device_internal.h"
#include "engine/frame_scores.h"
#include "io/error.h"

void cp_device_product(cp_frame *frame, const cp_neuron_layer *neuron, const float *a, const float *g,
                       const cp_products *to)
{
    if (!frame->own->status)
        cp_kernel_product(neuron->count, a, g, to->magnitude, to->product + neuron->offset, to->not_finite,
                          frame->own->context->queue->stream);
}

static void clear(cp_frame *frame, void *x, size_t bytes)
{
    if (!frame->own->status)
        cp_device_failed(frame, cudaMemsetAsync(x, 0, bytes, frame->own->context->queue->stream), "clear");
}

static void fetch(cp_frame *frame, const void *from, void *to, size_t bytes)
{
    cudaStream_t stream = frame->own->context->queue->stream;
    if (frame->own->status) return;
    if (!cp_device_failed(frame, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "copy to the host"))
        cp_device_failed(frame, cudaStreamSynchronize(stream), "run");
}

static unsigned *flag_of(cp_frame *frame) { return (unsigned *)(frame->own->scores + frame->model->neurons); }

static cp_status scores_make(cp_frame *frame, float **product, unsigned **not_finite)
{
    cp_backend_frame *device = frame->own;
    size_t neurons = frame->model->neurons;
    /* One number more: the flag. */
    if (!device->scores && !(device->scores = cp_device_alloc(frame, neurons + 1, "scores"))) return CP_ERESOURCE;
    *product = device->scores;
    *not_finite = flag_of(frame);
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    clear(frame, device->scores, (neurons + 1) * sizeof(float));
    return cp_device_end(frame);
}

static cp_status scores_made(cp_frame *frame, const cp_response *response, bool *finite)
{
    const cp_model *model = frame->model;
    unsigned not_finite = 0;
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    for (int u = 0; response && u < response->n; ++u) {
        int position = model->neuron_position[model->layer[response->unit[u].layer].value];
        if (position >= 0)
            clear(frame, frame->own->scores + model->neuron[position].offset + response->unit[u].index, sizeof(float));
    }
    fetch(frame, flag_of(frame), &not_finite, sizeof not_finite);
    *finite = !not_finite;
    return cp_device_end(frame);
}

static cp_status scores_read(cp_frame *frame, float *score)
{
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    cp_device_download(frame, frame->own->scores, score, frame->model->neurons);
    return cp_device_end(frame);
}

static cp_status count(cp_frame *frame, uint32_t prefix, int shift, size_t digits, cp_digit_table *table, size_t *zeros)
{
    size_t n = 2 * digits + 1, bytes = n * sizeof(unsigned long long);
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    unsigned long long *on_device = cp_device_staging(frame, bytes);
    unsigned long long *on_host = cp_alloc(n, sizeof *on_host, "selection");
    if (!on_host && !frame->own->status) frame->own->status = CP_ERESOURCE;
    if (on_device) clear(frame, on_device, bytes);
    if (!frame->own->status)
        cp_kernel_count_digits(frame->model->neurons, frame->own->scores, prefix, shift, on_device,
                               frame->own->context->queue->stream);
    if (on_host) fetch(frame, on_device, on_host, bytes);
    for (size_t d = 0; on_host && d < digits; ++d)
        table->count[d] = on_host[d], table->fraction[d] = on_host[digits + d];
    if (on_host && zeros) *zeros = on_host[2 * digits];
    cp_free(on_host);
    return cp_device_end(frame);
}

static cp_status scores_first(cp_frame *frame, cp_digit_table *table, size_t *zeros)
{
    return count(frame, 0, CP_FIRST_SHIFT, CP_FIRST_DIGITS, table, zeros);
}

static cp_status scores_next(cp_frame *frame, uint32_t prefix, int shift, cp_digit_table *table)
{
    return count(frame, prefix, shift, CP_NEXT_DIGITS, table, NULL);
}

/* ---------------------------------------------------------------- with the layers' table */

enum { ALIGN = 256 };

static size_t aligned(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

/* The table, on the device, and behind it `bytes` of room. image < 0: no activations; first, dead: NULL, where nobody
 * asks. NULL after a fault. */
static cp_span *open_table(cp_frame *frame, int image, const size_t *first, const float *dead, size_t bytes,
                           void **room)
{
    const cp_model *model = frame->model;
    int n = model->neuron_layers;
    size_t table = aligned(n * sizeof(cp_span)), channel = 0;
    cp_span *on_host = cp_alloc(n, sizeof *on_host, "selection"), *on_device = cp_device_staging(frame, table + bytes);
    if (!on_host && !frame->own->status) frame->own->status = CP_ERESOURCE;
    for (int l = 0; on_host && l < n; ++l) {
        const cp_neuron_layer *neuron = &model->neuron[l];
        on_host[l] = (cp_span){.offset = neuron->offset, .count = neuron->count, .word = first ? first[l] : 0,
                            .channel = channel, .plane = neuron->h * neuron->w, .dead = dead ? dead[l] : 0};
        if (image >= 0) on_host[l].a = cp_at(cp_frame_batch(frame, neuron->layer), image);
        channel += neuron->c;
    }
    if (!frame->own->status)
        cp_device_failed(frame, cudaMemcpyAsync(on_device, on_host, n * sizeof *on_host, cudaMemcpyHostToDevice,
                                                frame->own->context->queue->stream), "copy to the device");
    cp_free(on_host);
    *room = (char *)on_device + table;
    return frame->own->status ? NULL : on_device;
}

static cp_status scores_bits(cp_frame *frame, uint32_t lowest, const size_t *first, uint64_t *words)
{
    int n = frame->model->neuron_layers;
    size_t bytes = first[n] * sizeof *words;
    void *on_device;
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    const cp_span *span = open_table(frame, -1, first, NULL, bytes, &on_device);
    if (span)
        cp_kernel_select(n, span, first[n], frame->own->scores, lowest, on_device, frame->own->context->queue->stream);
    fetch(frame, on_device, words, bytes);
    return cp_device_end(frame);
}

static cp_status scores_best(cp_frame *frame, uint32_t *score, size_t *neuron)
{
    const cp_model *model = frame->model;
    int n = model->neuron_layers;
    void *on_device;
    unsigned long long *key = cp_alloc(n, sizeof *key, "cut");
    if (!key) return CP_ERESOURCE;
    cp_status status = cp_device_begin(frame);
    if (status) goto done;
    const cp_span *span = open_table(frame, -1, NULL, NULL, n * sizeof *key, &on_device);
    if (span) clear(frame, on_device, n * sizeof *key);
    if (span && n) cp_kernel_best(n, span, frame->own->scores, on_device, frame->own->context->queue->stream);
    fetch(frame, on_device, key, n * sizeof *key);
    status = cp_device_end(frame);
    for (int l = 0; l < n && !status; ++l) {
        score[l] = (uint32_t)(key[l] >> 32);
        neuron[l] = model->neuron[l].offset + (UINT32_MAX - (uint32_t)key[l]);
    }
done:
    cp_free(key);
    return status;
}

static cp_status scores_rank(cp_frame *frame, uint32_t score, size_t neuron, size_t *before)
{
    unsigned long long total = 0;
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    unsigned long long *on_device = cp_device_staging(frame, sizeof *on_device);
    if (on_device) clear(frame, on_device, sizeof *on_device);
    if (!frame->own->status)
        cp_kernel_rank(frame->model->neurons, frame->own->scores, score, neuron, on_device,
                       frame->own->context->queue->stream);
    fetch(frame, on_device, &total, sizeof total);
    *before = total;
    return cp_device_end(frame);
}

static cp_status scores_channels(cp_frame *frame, int image, const uint64_t *words, const size_t *first,
                                    const float *dead, cp_channel_sum *channel)
{
    int layers = frame->model->neuron_layers;
    size_t n = cp_model_channel_count(frame->model), bytes = aligned(n * sizeof(cp_channel_part));
    void *on_device;
    cp_channel_part *part = cp_alloc(n, sizeof *part, "channels");
    if (!part) return CP_ERESOURCE;
    cp_status status = cp_device_begin(frame);
    if (status) goto done;
    const cp_span *span = open_table(frame, image, first, dead, bytes + first[layers] * sizeof *words, &on_device);
    uint64_t *bits = (uint64_t *)((char *)on_device + bytes);
    if (span)
        cp_device_failed(frame, cudaMemcpyAsync(bits, words, first[layers] * sizeof *words, cudaMemcpyHostToDevice,
                                                frame->own->context->queue->stream), "copy to the device");
    if (!frame->own->status)
        cp_kernel_parts(n, layers, span, frame->own->scores, bits, on_device, frame->own->context->queue->stream);
    fetch(frame, on_device, part, n * sizeof *part);
    status = cp_device_end(frame);
    for (size_t c = 0; c < n && !status; ++c)
        channel[c] = (cp_channel_sum){part[c].score, part[c].kept, part[c].dead};
done:
    cp_free(part);
    return status;
}

static void send(cp_frame *frame, const void *from, void *to, size_t bytes)
{
    if (!frame->own->status && bytes)
        cp_device_failed(frame, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, frame->own->context->queue->stream),
                         "copy to the device");
}

static cp_status scores_planes(cp_frame *frame, const uint64_t *words, const size_t *first, int n,
                               const cp_score_plane *plane, double *sum)
{
    size_t most = 0, cells = 0;
    size_t word_bytes = words ? aligned(first[frame->model->neuron_layers] * sizeof *words) : 0;
    size_t plane_bytes = aligned(n * sizeof *plane);
    void *there;
    for (int k = 0; k < n; ++k) {
        if (plane[k].cells > most) most = plane[k].cells;
        if (plane[k].first + plane[k].cells > cells) cells = plane[k].first + plane[k].cells;
    }
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    const cp_span *span = open_table(frame, -1, words ? first : NULL, NULL,
                                     word_bytes + plane_bytes + cells * sizeof *sum, &there);
    if (span) {
        char *planes = (char *)there + word_bytes, *sums = planes + plane_bytes;
        if (words) send(frame, words, there, first[frame->model->neuron_layers] * sizeof *words);
        send(frame, plane, planes, n * sizeof *plane);
        if (!frame->own->status)
            cp_kernel_planes(n, most, (const cp_score_plane *)planes, span, frame->own->scores, words ? there : NULL,
                             (double *)sums, frame->own->context->queue->stream);
        fetch(frame, sums, sum, cells * sizeof *sum);
    }
    return cp_device_end(frame);
}

static cp_status scores_look(cp_frame *frame, int image, const uint32_t *neuron, int n, float *seen)
{
    size_t bytes = aligned(n * sizeof *neuron);
    void *on_device;
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    const cp_span *span = open_table(frame, image, NULL, NULL, bytes + 2 * n * sizeof *seen, &on_device);
    float *values = (float *)((char *)on_device + bytes);
    if (span)
        cp_device_failed(frame, cudaMemcpyAsync(on_device, neuron, n * sizeof *neuron, cudaMemcpyHostToDevice,
                                                frame->own->context->queue->stream), "copy to the device");
    if (!frame->own->status)
        cp_kernel_look(n, on_device, frame->model->neuron_layers, span, frame->own->scores, values,
                       frame->own->context->queue->stream);
    fetch(frame, values, seen, 2 * n * sizeof *seen);
    return cp_device_end(frame);
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static cp_status scores_find(cp_frame *frame, uint32_t lowest, uint32_t highest, size_t n, uint32_t *neuron)
{
    unsigned found = 0;
    if (frame->model->neurons > UINT32_MAX)
        return cp_fail(CP_ERESOURCE, "GPU: %zu neurons, at most %u can be selected from", frame->model->neurons,
                       UINT32_MAX);
    cp_status status = cp_device_begin(frame);
    if (status) return status;
    uint32_t *on_device = cp_device_staging(frame, (n + 1) * sizeof *on_device); /* the counter first */
    if (on_device) clear(frame, on_device, sizeof *on_device);
    if (!frame->own->status)
        cp_kernel_find(frame->model->neurons, frame->own->scores, lowest, highest, on_device + 1, (uint32_t)n,
                       on_device,
                       frame->own->context->queue->stream);
    fetch(frame, on_device, &found, sizeof found);
    fetch(frame, on_device + 1, neuron, n * sizeof *neuron);
    status = cp_device_end(frame);
    if (!status && found != n)
        status = cp_fail(CP_EINTERNAL, "GPU: found %u of %zu scores", found, n);
    qsort(neuron, n, sizeof *neuron, ascending);
    return status;
}

const cp_held_scores cp_device_scores = {
    .make = scores_make,
    .made = scores_made,
    .read = scores_read,
    .first = scores_first,
    .next = scores_next,
    .bits = scores_bits,
    .find = scores_find,
    .best = scores_best,
    .rank = scores_rank,
    .channels = scores_channels,
    .planes = scores_planes,
    .look = scores_look,
};

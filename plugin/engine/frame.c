/* Frames: the buffers of one run, and the forward pass. */
#include <string.h>

#include "engine/cuda/device.h"
#include "engine/kept.h"
#include "engine/relevance.h"
#include "io/error.h"

static size_t outputs_of(const cp_model *model, int layer)
{
    return layer < 0 ? (size_t)model->net->inputs : model->layer[layer].outputs;
}

bool cp_is_read(const cp_model *model, const cp_response *limit, int layer)
{
    if (!limit || !limit->n) return true;
    for (int k = 0; k < limit->n; ++k)
        if (cp_model_depends(model, model->layer[limit->unit[k].layer].value, layer)) return true;
    return false;
}

/* A layer whose output this frame computes or holds itself. */
static bool owns(const cp_model *model, int branch_layer, bool branch, const cp_response *limit, int layer)
{
    if (layer < 0) return !branch || branch_layer < 0;
    if (model->layer[layer].head || model->layer[layer].value != layer) return false;
    if (!branch || layer == branch_layer) return true;
    return cp_model_depends(model, layer, branch_layer) && cp_is_read(model, limit, layer);
}

static cp_status allocate_on_device(cp_frame *frame)
{
    int n = frame->model->layers;
    bool *owned = cp_alloc(n + 1, sizeof *owned, "frame");
    if (!owned) return CP_ERESOURCE;
    for (int i = -1; i < n; ++i)
        owned[i + 1] = owns(frame->model, frame->branch_layer, frame->base != NULL, &frame->limit, i);
    cp_status status = cp_device_frame_open(frame, owned);
    cp_free(owned);
    return status;
}

/* The sources of route i stand where it would copy them to, unless another route has them. One image only: its values
 * are one run of floats then. A branch reads most of them from its base. place: see place_values. */
static void join_route(const cp_frame *frame, int i, size_t *place)
{
    const cp_op *op = &frame->engine->op[i];
    size_t at = 0;
    if (frame->batch > 1 || frame->base || !cp_joins(op)) return;
    for (int s = 0; s < op->n_sources; at += op->source_outputs[s++]) {
        int source = op->source[s];
        if (source >= 0 && !place[source + 1] && at % CP_ALIGNED_FLOATS == 0) place[source + 1] = place[i + 1] + at;
    }
}

/* All values in one array: most are too small for the system's large pages, together they are not. */
static cp_status place_values(cp_frame *frame)
{
    const cp_model *model = frame->model;
    int n = model->layers;
    size_t floats = CP_ALIGNED_FLOATS, count; /* a place is not 0 */
    size_t *place = cp_alloc(n + 1, sizeof *place, "frame");
    if (!place) return CP_ERESOURCE;
    for (int i = n - 1; i >= -1; --i) {
        if (!owns(model, frame->branch_layer, frame->base != NULL, &frame->limit, i)) continue;
        if (!place[i + 1]) {
            place[i + 1] = floats;
            if (!cp_mul(outputs_of(model, i), frame->batch, &count) || count > SIZE_MAX / 2 - floats) {
                cp_free(place);
                return cp_fail(CP_ERESOURCE, "layer %d: %d images do not fit in memory", i, frame->batch);
            }
            floats += (count + CP_ALIGNED_FLOATS - 1) / CP_ALIGNED_FLOATS * CP_ALIGNED_FLOATS;
        }
        if (i >= 0) join_route(frame, i, place);
    }
    frame->values = cp_alloc_whole(floats, sizeof(float), "frame");
    for (int i = -1; i < n && frame->values; ++i)
        if (place[i + 1]) frame->value[i + 1] = frame->values + place[i + 1];
    cp_free(place);
    return frame->values ? CP_OK : CP_ERESOURCE;
}

static cp_status allocate(cp_frame *frame)
{
    const cp_model *model = frame->model;
    int n = model->layers;
    frame->value = cp_alloc(n + 1, sizeof *frame->value, "frame");
    frame->index = cp_alloc(n, sizeof *frame->index, "frame");
    frame->z = cp_alloc(n, sizeof *frame->z, "frame");
    frame->gated = cp_alloc(frame->batch, 1, "frame");
    if (!frame->value || !frame->index || !frame->z || !frame->gated) return CP_ERESOURCE;
    if (frame->base ? cp_on_device(frame->base) : cp_device_chosen()) return allocate_on_device(frame);
    if (place_values(frame)) return CP_ERESOURCE;
    for (int i = 0; i < n; ++i) {
        if (frame->value[i + 1] && frame->engine->op[i].keeps_z) {
            frame->z[i] = cp_alloc_dirty(outputs_of(model, i) * frame->batch, sizeof(float), "frame");
            if (!frame->z[i]) return CP_ERESOURCE;
        }
        if (!frame->value[i + 1] || !frame->engine->op[i].has_index) continue;
        frame->index[i] = cp_alloc_dirty(outputs_of(model, i) * frame->batch, sizeof(uint16_t), "frame");
        if (!frame->index[i]) return CP_ERESOURCE;
    }
    frame->scratch.per_thread = frame->engine->per_thread;
    frame->scratch.thread = cp_alloc_dirty(frame->engine->per_thread * cp_threads(), sizeof(float), "scratch");
    frame->scratch.threads = cp_threads();
    frame->scratch.shared = cp_alloc_dirty(frame->engine->shared, sizeof(float), "scratch");
    return frame->scratch.thread && frame->scratch.shared ? CP_OK : CP_ERESOURCE;
}

/* Channels that are never computed are 0, so that the layers after them find numbers. */
static cp_status limit_channels(cp_frame *frame)
{
    const cp_model *model = frame->model;
    cp_status status = frame->limit.n && !cp_on_device(frame) ? cp_rows_find(frame, &frame->rows) : CP_OK;
    for (int i = 0; i < model->layers && !status && frame->rows; ++i)
        if (frame->rows[i].n) memset(frame->value[i + 1], 0, frame->batch * outputs_of(model, i) * sizeof(float));
    return status;
}

static cp_status create(const cp_model *model, const cp_frame *base, int image, int layer, const cp_response *limit,
                        int batch, cp_frame **out)
{
    *out = NULL;
    if (batch < 1) return cp_fail(CP_EINPUT, "frame: batch %d, at least 1 is needed", batch);
    cp_frame *frame = cp_alloc(1, sizeof *frame, "frame");
    if (!frame) return CP_ERESOURCE;
    *frame = (cp_frame){.model = model, .batch = batch, .base = base, .base_image = image, .branch_layer = layer};
    if (limit) frame->limit = *limit;
    cp_status status = cp_engine_get(model, &frame->engine);
    if (!status) status = allocate(frame);
    if (!status) status = limit_channels(frame);
    if (status) {
        cp_frame_free(frame);
        return status;
    }
    *out = frame;
    return CP_OK;
}

cp_status cp_frame_create(const cp_model *model, int batch, cp_frame **frame)
{
    return create(model, NULL, 0, -1, NULL, batch, frame);
}

cp_status cp_frame_branch(const cp_frame *base, int image, int layer, const cp_response *response, int batch,
                          cp_frame **branch)
{
    if (layer >= base->model->layers || (layer >= 0 && base->model->layer[layer].head))
        return cp_fail(CP_EINPUT, "frame: no branch at layer %d", layer);
    if (image < 0 || image >= base->batch) return cp_fail(CP_EINPUT, "frame: image %d of %d", image, base->batch);
    int value = layer < 0 ? -1 : base->model->layer[layer].value;
    return create(base->model, base, image, value, response, batch, branch);
}

void cp_frame_free(cp_frame *frame)
{
    if (!frame) return;
    int n = frame->model->layers;
    if (cp_on_device(frame)) {
        cp_device_frame_close(frame);
    } else {
        cp_free(frame->values);
        for (int i = 0; i < n && frame->index; ++i) cp_free(frame->index[i]);
        for (int i = 0; i < n && frame->z; ++i) cp_free(frame->z[i]);
        for (int i = 0; i < frame->model->neuron_layers && frame->before_gate; ++i) cp_free(frame->before_gate[i]);
        cp_free(frame->arena);
    }
    cp_free(frame->value), cp_free(frame->index), cp_free(frame->z), cp_free(frame->before_gate);
    cp_free(frame->gated), cp_free(frame->scratch.thread), cp_free(frame->scratch.shared), cp_free(frame->rows);
    cp_free(frame->scores);
    cp_relevance_free(frame->relevance);
    cp_free(frame);
}

const cp_model *cp_frame_model(const cp_frame *frame) { return frame->model; }

float *cp_frame_scores(cp_frame *frame)
{
    if (!frame->scores) frame->scores = cp_alloc_whole(cp_model_neuron_count(frame->model), sizeof(float), "scores");
    return frame->scores;
}

cp_status cp_frame_arena(cp_frame *frame, size_t floats)
{
    if (floats <= frame->arena_floats) return CP_OK;
    if (cp_on_device(frame)) return cp_device_arena(frame, floats);
    cp_free(frame->arena);
    frame->arena_floats = 0;
    frame->arena = cp_alloc_whole(floats, sizeof(float), "deltas");
    if (!frame->arena) return CP_ERESOURCE;
    frame->arena_floats = floats;
    return CP_OK;
}

/* cp_set_threads may have raised the number since the frame was made. */
static cp_status fit_scratch(cp_frame *frame)
{
    if (frame->scratch.threads >= cp_threads()) return CP_OK;
    cp_free(frame->scratch.thread);
    frame->scratch.threads = cp_threads();
    frame->scratch.thread = cp_alloc_dirty(frame->engine->per_thread * cp_threads(), sizeof(float), "scratch");
    return frame->scratch.thread ? CP_OK : CP_ERESOURCE;
}

cp_status cp_frame_begin(cp_frame *frame)
{
    if (cp_on_device(frame)) return cp_device_begin(frame);
    cp_status status = fit_scratch(frame);
    if (!status) cp_blas_enter();
    return status;
}

cp_status cp_frame_end(cp_frame *frame)
{
    if (cp_on_device(frame)) return cp_device_end(frame);
    cp_blas_leave();
    return CP_OK;
}

cp_batch cp_frame_batch(const cp_frame *frame, int value)
{
    size_t outputs = outputs_of(frame->model, value);
    if (frame->value[value + 1]) return (cp_batch){frame->value[value + 1], outputs};
    cp_batch base = cp_frame_batch(frame->base, value);
    return (cp_batch){cp_at(base, frame->base_image), 0};
}

/* Applies one image's restriction to a neuron layer's fresh activations. */
static void restrict_image(cp_frame *frame, int position, int image, const cp_restriction *restriction, float *a)
{
    const cp_neuron_layer *neuron = &frame->model->neuron[position];
    size_t count = neuron->count;
    if (restriction->kind == CP_FULL) return;
    if (restriction->kind == CP_GATED) {
        float *before = frame->before_gate[position] + image * count;
        const float *gate = restriction->gates + neuron->offset;
        if (cp_on_device(frame)) {
            cp_device_gate(frame, count, gate, before, a);
            return;
        }
#pragma omp parallel for num_threads(cp_threads_for((double)count))
        for (size_t i = 0; i < count; ++i) before[i] = a[i], a[i] *= gate[i];
        return;
    }
    const float *constant = NULL;
    if (restriction->kind == CP_FROZEN)
        constant = cp_at(cp_frame_batch(restriction->original, neuron->layer), restriction->original_image);
    else if (restriction->values)
        constant = restriction->values + neuron->offset;
    if (cp_on_device(frame)) {
        cp_device_restrict(frame, position, restriction->path, constant, a);
        return;
    }
    const uint64_t *words = cp_path_words(restriction->path, position);
#pragma omp parallel for num_threads(cp_threads_for((double)count))
    for (size_t w = 0; w < (count + 63) / 64; ++w) {
        size_t end = w * 64 + 64 < count ? w * 64 + 64 : count;
        for (size_t i = w * 64; i < end; ++i)
            if (!(words[w] >> (i & 63) & 1)) a[i] = constant ? constant[i] : 0;
    }
}

static cp_status prepare_gates(cp_frame *frame, int images, const cp_restriction *restrictions)
{
    bool any = false;
    for (int b = 0; b < images; ++b) {
        frame->gated[b] = restrictions && restrictions[b].kind == CP_GATED;
        any |= frame->gated[b];
    }
    if (!any || frame->before_gate) return CP_OK;
    const cp_model *model = frame->model;
    frame->before_gate = cp_alloc(model->neuron_layers, sizeof *frame->before_gate, "gates");
    if (!frame->before_gate) return CP_ERESOURCE;
    for (int p = 0; p < model->neuron_layers; ++p) {
        if (!frame->value[model->neuron[p].layer + 1]) continue;
        size_t count;
        if (!cp_mul(model->neuron[p].count, frame->batch, &count))
            return cp_fail(CP_ERESOURCE, "gates: %d images do not fit in memory", frame->batch);
        frame->before_gate[p] = cp_on_device(frame) ? cp_device_alloc(frame, count, "gates")
                                                    : cp_alloc_dirty(count, sizeof(float), "gates");
        if (!frame->before_gate[p]) return CP_ERESOURCE;
    }
    return CP_OK;
}

/* The layer without its activation, then that, part by part while it is in cache. */
static void run_and_keep(cp_frame *frame, const cp_op *op, int images, const cp_batch *in, cp_batch out)
{
    enum { PART = 1 << 14 };
    cp_op linear = *op;
    size_t outputs = op->info->outputs;
    int parts = (int)((outputs + PART - 1) / PART);
    linear.activation = LINEAR;
    op->type->forward(&linear, images, in, out, frame->index[op->info->index], false, &frame->scratch);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)images * outputs))
    for (int b = 0; b < images; ++b)
        for (int p = 0; p < parts; ++p) {
            size_t first = (size_t)p * PART, n = outputs - first < PART ? outputs - first : PART;
            float *a = cp_at(out, b) + first;
            memcpy(frame->z[op->info->index] + b * outputs + first, a, n * sizeof *a);
            cp_activate(a, n, op->activation);
        }
}

const float *cp_frame_slope_values(const cp_frame *frame, int layer, int image)
{
    if (!frame->engine->op[layer].keeps_z) return cp_at(cp_frame_batch(frame, layer), image);
    for (; !frame->z[layer]; frame = frame->base) image = frame->base_image;
    return frame->z[layer] + image * outputs_of(frame->model, layer);
}

void cp_frame_run_layer(cp_frame *frame, int layer, int images)
{
    const cp_op *op = &frame->engine->op[layer];
    cp_batch in[CP_MAX_SOURCES];
    for (int s = 0; s < op->n_sources; ++s) in[s] = cp_frame_batch(frame, op->source[s]);
    cp_batch out = cp_frame_batch(frame, layer);
    if (cp_on_device(frame))
        cp_device_forward(frame, layer, images, in, out, frame->index[layer], false, op->activation);
    else if (op->keeps_z)
        run_and_keep(frame, op, images, in, out);
    else if (frame->rows && frame->rows[layer].n)
        cp_rows_forward(op, &frame->rows[layer], images, in[0], out);
    else
        op->type->forward(op, images, in, out, frame->index[layer], false, &frame->scratch);
}

static void restrict_layer(cp_frame *frame, int i, int images, const cp_restriction *restrictions)
{
    cp_batch out = cp_frame_batch(frame, i);
    int position = frame->model->neuron_position[i];
    for (int b = 0; b < images && restrictions && position >= 0; ++b)
        restrict_image(frame, position, b, &restrictions[b], cp_at(out, b));
}

/* The constants of a frozen network lie where the frame that is restricted computes. */
static cp_status check_restrictions(const cp_frame *frame, int images, const cp_restriction *restrictions)
{
    for (int b = 0; b < images && restrictions; ++b)
        if (restrictions[b].kind == CP_FROZEN && cp_on_device(frame) != cp_on_device(restrictions[b].original))
            return cp_fail(CP_EINTERNAL, "frame: image %d is frozen by a run on another device", b);
    return cp_kept_check(frame, images, restrictions);
}

/* Images whose pools see the path alone go one by one; their run with the others is made in vain. */
static cp_status run_restricted(cp_frame *frame, int i, int images, const cp_restriction *restrictions)
{
    cp_status status = CP_OK;
    bool whole = !cp_pools_by_maximum(&frame->engine->op[i]) || !restrictions, all = true;
    for (int b = 0; b < images && !whole; ++b) all = all && restrictions[b].kind == CP_KEPT;
    if (whole || !all) cp_frame_run_layer(frame, i, images);
    for (int b = 0; b < images && !whole && !status; ++b)
        if (restrictions[b].kind == CP_KEPT) status = cp_kept_pool(frame, i, b, restrictions[b].path);
    return status;
}

/* Runs every layer this frame owns that depends on `after`, whose value the caller wrote, or (-1) on `input`. */
static cp_status run(cp_frame *frame, int after, const float *input, int images, const cp_restriction *restrictions)
{
    const cp_model *model = frame->model;
    if (images < 1 || images > frame->batch)
        return cp_fail(CP_EINPUT, "frame: %d images, it holds 1 to %d", images, frame->batch);
    cp_status status = check_restrictions(frame, images, restrictions);
    if (!status) status = prepare_gates(frame, images, restrictions);
    if (!status) status = cp_frame_begin(frame);
    if (status) return status;
    if (cp_on_device(frame))
        cp_device_push(frame, after, input, images, restrictions != NULL);
    else if (input)
        memcpy(frame->value[0], input, (size_t)images * frame->model->net->inputs * sizeof *input);
    for (int i = 0; i < model->layers && !status; ++i) {
        if (!frame->value[i + 1] || !cp_model_depends(model, i, after)) continue;
        if (i != after) status = run_restricted(frame, i, images, restrictions);
        restrict_layer(frame, i, images, restrictions);
    }
    cp_status ended = cp_frame_end(frame);
    return status ? status : ended;
}

const uint16_t *cp_frame_winners(const cp_frame *frame, int layer, int *image)
{
    for (; !frame->index[layer] && frame->base; frame = frame->base) *image = frame->base_image;
    return frame->index[layer];
}

cp_status cp_frame_forward(cp_frame *frame, const float *input, int images, const cp_restriction *restrictions)
{
    if (frame->base) return cp_fail(CP_EINTERNAL, "frame: a branch has no input of its own");
    return run(frame, -1, input, images, restrictions);
}

cp_status cp_frame_forward_after(cp_frame *frame, int layer, int images, const cp_restriction *restrictions)
{
    int value = layer < 0 ? -1 : frame->model->layer[layer].value;
    if (!frame->value[value + 1]) return cp_fail(CP_EINTERNAL, "frame: layer %d is not this frame's to change", layer);
    return run(frame, value, NULL, images, restrictions);
}

cp_status cp_frame_before_activation(cp_frame *frame, int layer, int image, float *z)
{
    const cp_model *model = frame->model;
    if (layer < 0 || layer >= model->layers || model->layer[layer].head || image < 0 || image >= frame->batch)
        return cp_fail(CP_EINPUT, "frame: no layer %d of image %d", layer, image);
    int value = model->layer[layer].value;
    size_t count = outputs_of(model, value);
    if (model->neuron_position[value] < 0) {
        memcpy(z, cp_frame_output(frame, value, image), count * sizeof *z);
        return CP_OK;
    }
    cp_op op = frame->engine->op[value];
    op.activation = LINEAR;
    cp_batch in[CP_MAX_SOURCES];
    for (int s = 0; s < op.n_sources; ++s) in[s] = (cp_batch){cp_at(cp_frame_batch(frame, op.source[s]), image), 0};
    cp_status status = cp_on_device(frame) ? cp_frame_arena(frame, count) : CP_OK;
    if (!status) status = cp_frame_begin(frame);
    if (status) return status;
    if (cp_on_device(frame)) {
        cp_device_forward(frame, value, 1, in, (cp_batch){frame->arena, count}, NULL, false, LINEAR);
        cp_device_download(frame, frame->arena, z, count);
    } else {
        op.type->forward(&op, 1, in, (cp_batch){z, count}, NULL, false, &frame->scratch);
    }
    return cp_frame_end(frame);
}

/* The frame that computes what a layer's readers see. */
static cp_frame *owner_of(cp_frame *frame, int value, int *image)
{
    while (!frame->value[value + 1]) {
        *image = frame->base_image;
        frame = (cp_frame *)frame->base;
    }
    return frame;
}

float *cp_frame_value(cp_frame *frame, int layer, int image)
{
    if (layer >= 0 && frame->model->layer[layer].head) return NULL;
    int value = layer < 0 ? -1 : frame->model->layer[layer].value;
    if (!cp_on_device(frame)) return cp_at(cp_frame_batch(frame, value), image);
    frame = owner_of(frame, value, &image);
    return cp_device_pull(frame, value, image);
}

const float *cp_frame_output(const cp_frame *frame, int layer, int image)
{
    return cp_frame_value((cp_frame *)frame, layer, image);
}

static float unit_of(const cp_frame *frame, int layer, int image, size_t index)
{
    if (!cp_on_device(frame)) return cp_frame_output(frame, layer, image)[index];
    int value = frame->model->layer[layer].value;
    frame = owner_of((cp_frame *)frame, value, &image);
    return cp_device_pull_unit(frame, value, image, index);
}

double cp_frame_response(const cp_frame *frame, int image, const cp_response *response)
{
    double sum = 0;
    for (int k = 0; k < response->n; ++k)
        sum += (double)response->unit[k].weight *
               unit_of(frame, response->unit[k].layer, image, response->unit[k].index);
    return sum;
}

/* Deltas share an arena; two of the largest outputs are what a chain needs, skips a little more. */
static size_t frame_bytes(const cp_model *model, bool branch, int layer, const cp_response *limit, int batch, int entries)
{
    size_t values = 0, largest = 0;
    for (int i = -1; i < model->layers; ++i) {
        if (!owns(model, layer, branch, limit, i)) continue;
        size_t outputs = outputs_of(model, i);
        values += outputs * sizeof(float);
        if (i >= 0 && model->shapes->layers[i].type == CP_LAYER_MAXPOOL) values += outputs * sizeof(uint16_t);
        if (i >= 0 && model->layer[i].neuron && cp_activation_keeps_input(model->net->layers[i].activation))
            values += outputs * sizeof(float);
        if (outputs > largest) largest = outputs;
    }
    return values * batch + 3 * largest * sizeof(float) * entries;
}

size_t cp_frame_bytes(const cp_model *model, int batch, int backward_entries)
{
    return frame_bytes(model, false, -1, NULL, batch, backward_entries);
}

size_t cp_frame_branch_bytes(const cp_model *model, int layer, const cp_response *response, int batch,
                             int backward_entries)
{
    return frame_bytes(model, true, layer < 0 ? -1 : model->layer[layer].value, response, batch, backward_entries);
}

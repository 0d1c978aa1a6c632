/* Frames: the buffers of one run, and the forward pass. */
#include <string.h>

#include "engine/backend.h"
#include "engine/kept.h"
#include "io/error.h"

/* A layer whose output this frame computes or holds itself. */
static bool owns(const cp_model *model, int branch_layer, bool branch, const cp_response *limit, int layer)
{
    if (layer < 0) return !branch || branch_layer < 0;
    if (model->layer[layer].head || model->layer[layer].value != layer) return false;
    if (!branch || layer == branch_layer) return true;
    return cp_model_depends(model, layer, branch_layer) && cp_is_read(model, limit, layer);
}

static cp_status allocate(cp_frame *frame)
{
    int n = frame->model->layers;
    frame->value = cp_alloc(n + 1, sizeof *frame->value, "frame");
    frame->index = cp_alloc(n, sizeof *frame->index, "frame");
    frame->z = cp_alloc(n, sizeof *frame->z, "frame");
    frame->gated = cp_alloc(frame->batch, 1, "frame");
    bool *owned = cp_alloc(n + 1, sizeof *owned, "frame");
    cp_status status = CP_ERESOURCE;
    for (int i = -1; i < n && owned; ++i)
        owned[i + 1] = owns(frame->model, frame->branch_layer, frame->base != NULL, &frame->limit, i);
    if (frame->value && frame->index && frame->z && frame->gated && owned)
        status = frame->backend->open(frame, owned);
    cp_free(owned);
    return status;
}

static cp_status create(const cp_model *model, const cp_frame *base, int image, int layer, const cp_response *limit,
                        int batch, cp_frame **out)
{
    *out = NULL;
    if (batch < 1) return cp_fail(CP_EINPUT, "frame: batch %d, at least 1 is needed", batch);
    cp_frame *frame = cp_alloc(1, sizeof *frame, "frame");
    if (!frame) return CP_ERESOURCE;
    *frame = (cp_frame){.model = model, .batch = batch, .base = base, .base_image = image, .branch_layer = layer,
                        .backend = base ? base->backend : cp_backend_chosen()};
    if (limit) frame->limit = *limit;
    cp_status status = cp_engine_get(model, &frame->engine);
    if (!status) status = allocate(frame);
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
    frame->backend->close(frame);
    cp_free(frame->value), cp_free(frame->index), cp_free(frame->z), cp_free(frame->before_gate);
    cp_free(frame->gated), cp_free(frame->scores);
    if (frame->relevance) frame->relevance_free(frame->relevance);
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
    return floats <= frame->arena_floats ? CP_OK : frame->backend->grow_arena(frame, floats);
}

cp_status cp_frame_begin(cp_frame *frame) { return frame->backend->begin(frame); }

cp_status cp_frame_end(cp_frame *frame) { return frame->backend->end(frame); }

/* Applies one image's restriction to a neuron layer's fresh activations. */
static void restrict_image(cp_frame *frame, int position, int image, const cp_restriction *restriction, float *a)
{
    const cp_neuron_layer *neuron = &frame->model->neuron[position];
    size_t count = neuron->count;
    if (restriction->kind == CP_FULL) return;
    if (restriction->kind == CP_GATED) {
        float *before = frame->before_gate[position] + image * count;
        const float *gate = restriction->gates + neuron->offset;
        frame->backend->gate(frame, count, gate, before, a);
        return;
    }
    const float *constant = NULL;
    if (restriction->kind == CP_FROZEN)
        constant = cp_at(cp_frame_batch(restriction->original, neuron->layer), restriction->original_image);
    else if (restriction->values)
        constant = restriction->values + neuron->offset;
    frame->backend->restrict_to(frame, position, restriction->path, constant, a);
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
        frame->before_gate[p] = frame->backend->alloc(frame, count, "gates");
        if (!frame->before_gate[p]) return CP_ERESOURCE;
    }
    return CP_OK;
}

void cp_frame_run_layer(cp_frame *frame, int layer, int images)
{
    const cp_op *op = &frame->engine->op[layer];
    cp_batch in[CP_MAX_SOURCES];
    for (int s = 0; s < op->n_sources; ++s) in[s] = cp_frame_batch(frame, op->source[s]);
    cp_batch out = cp_frame_batch(frame, layer);
    frame->backend->forward(frame, layer, images, in, out, op->activation);
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
        if (restrictions[b].kind == CP_FROZEN && frame->backend != restrictions[b].original->backend)
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
    frame->backend->push(frame, after, input, images, restrictions != NULL);
    for (int i = 0; i < model->layers && !status; ++i) {
        if (!frame->value[i + 1] || !cp_model_depends(model, i, after)) continue;
        if (i != after) status = run_restricted(frame, i, images, restrictions);
        restrict_layer(frame, i, images, restrictions);
    }
    cp_status ended = cp_frame_end(frame);
    return status ? status : ended;
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
    size_t count = cp_outputs(model, value);
    if (model->neuron_position[value] < 0) {
        memcpy(z, cp_frame_output(frame, value, image), count * sizeof *z);
        return CP_OK;
    }
    const cp_op *op = &frame->engine->op[value];
    cp_batch in[CP_MAX_SOURCES];
    for (int s = 0; s < op->n_sources; ++s) in[s] = (cp_batch){cp_at(cp_frame_batch(frame, op->source[s]), image), 0};
    float *out = frame->backend->borrow(frame, z, count, "pre-activations");
    cp_status status = out ? cp_frame_begin(frame) : CP_ERESOURCE;
    if (!status) {
        frame->backend->forward(frame, value, 1, in, (cp_batch){out, count}, LINEAR);
        frame->backend->download(frame, out, z, count);
        status = cp_frame_end(frame);
    }
    if (out) frame->backend->give_back(frame, z, out);
    return status;
}

float *cp_frame_value(cp_frame *frame, int layer, int image)
{
    if (layer >= 0 && frame->model->layer[layer].head) return NULL;
    int value = layer < 0 ? -1 : frame->model->layer[layer].value;
    frame = cp_frame_owner(frame, value, &image);
    return frame->backend->pull(frame, value, image);
}

const float *cp_frame_output(const cp_frame *frame, int layer, int image)
{
    return cp_frame_value((cp_frame *)frame, layer, image);
}

static float unit_of(const cp_frame *frame, int layer, int image, size_t index)
{
    int value = frame->model->layer[layer].value;
    frame = cp_frame_owner((cp_frame *)frame, value, &image);
    return frame->backend->pull_unit(frame, value, image, index);
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
        size_t outputs = cp_outputs(model, i);
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

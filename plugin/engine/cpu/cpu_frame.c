/* The CPU's buffers of a frame. */
#include "engine/cpu/cpu_backend.h"

#include <string.h>

#include "io/error.h"

/* The sources of route i stand where it would copy them to, unless another route has them. One image only: its values
 * are one run of floats then. A branch reads most of them from its base. place: see place_values. */
static void join_route(const cp_frame *frame, int i, size_t *place)
{
    const cp_op *op = &frame->engine->op[i];
    size_t at = 0;
    if (frame->batch > 1 || frame->base || !cp_joins(op))
        return;
    for (int s = 0; s < op->n_sources; at += op->source_outputs[s++]) {
        int source = op->source[s];
        if (source >= 0 && !place[source + 1] && at % CP_ALIGNED_FLOATS == 0)
            place[source + 1] = place[i + 1] + at;
    }
}

/* All values in one array: most are too small for the system's large pages, together they are not. */
static cp_status place_values(cp_frame *frame, const bool *owned)
{
    const cp_model *model = frame->model;
    int n = model->layers;
    size_t floats = CP_ALIGNED_FLOATS, count; /* a place is not 0 */
    size_t *place = cp_alloc(n + 1, sizeof *place, "frame");
    if (!place)
        return CP_ERESOURCE;
    for (int i = n - 1; i >= -1; i--) {
        if (!owned[i + 1])
            continue;
        if (!place[i + 1]) {
            place[i + 1] = floats;
            if (!cp_mul(cp_outputs(model, i), frame->batch, &count) || count > SIZE_MAX / 2 - floats) {
                cp_free(place);
                return cp_fail(CP_ERESOURCE, "layer %d: %d images do not fit in memory", i, frame->batch);
            }
            floats += (count + CP_ALIGNED_FLOATS - 1) / CP_ALIGNED_FLOATS * CP_ALIGNED_FLOATS;
        }
        if (i >= 0)
            join_route(frame, i, place);
    }
    frame->values = cp_alloc_whole(floats, sizeof(float), "frame");
    for (int i = -1; i < n && frame->values; i++)
        if (place[i + 1])
            frame->value[i + 1] = frame->values + place[i + 1];
    cp_free(place);
    return frame->values ? CP_OK : CP_ERESOURCE;
}

/* Pre-activations and winners, of the layers that keep them. */
static cp_status place_kept(cp_frame *frame, int i)
{
    const cp_op *op = &frame->engine->op[i];
    size_t count = cp_outputs(frame->model, i) * frame->batch;
    if (op->keeps_z && !(frame->z[i] = cp_alloc_dirty(count, sizeof(float), "frame")))
        return CP_ERESOURCE;
    if (op->has_index && !(frame->index[i] = cp_alloc_dirty(count, sizeof(uint16_t), "frame")))
        return CP_ERESOURCE;
    return CP_OK;
}

/* Channels that are never computed are 0, so that the layers after them find numbers. */
static cp_status limit_channels(cp_frame *frame)
{
    const cp_model *model = frame->model;
    cp_status status = frame->limit.n ? cp_rows_find(frame, &frame->rows) : CP_OK;
    for (int i = 0; i < model->layers && !status && frame->rows; i++)
        if (frame->rows[i].n)
            memset(frame->value[i + 1], 0, frame->batch * cp_outputs(model, i) * sizeof(float));
    return status;
}

cp_status cp_cpu_open(cp_frame *frame, const bool *owned)
{
    cp_status status = place_values(frame, owned);
    for (int i = 0; i < frame->model->layers && !status; i++)
        if (frame->value[i + 1])
            status = place_kept(frame, i);
    if (status)
        return status;
    frame->scratch.per_thread = frame->engine->per_thread;
    frame->scratch.thread = cp_alloc_dirty(frame->engine->per_thread * cp_threads(), sizeof(float), "scratch");
    frame->scratch.threads = cp_threads();
    frame->scratch.shared = cp_alloc_dirty(frame->engine->shared, sizeof(float), "scratch");
    return frame->scratch.thread && frame->scratch.shared ? limit_channels(frame) : CP_ERESOURCE;
}

void cp_cpu_close(cp_frame *frame)
{
    int n = frame->model->layers;
    cp_free(frame->values);
    for (int i = 0; i < n && frame->index; i++)
        cp_free(frame->index[i]);
    for (int i = 0; i < n && frame->z; i++)
        cp_free(frame->z[i]);
    for (int i = 0; i < frame->model->neuron_layers && frame->before_gate; i++)
        cp_free(frame->before_gate[i]);
    cp_free(frame->arena);
    cp_free(frame->scratch.thread);
    cp_free(frame->scratch.shared);
    cp_free(frame->rows);
}

cp_status cp_cpu_grow_arena(cp_frame *frame, size_t floats)
{
    cp_free(frame->arena);
    frame->arena_floats = 0;
    frame->arena = cp_alloc_whole(floats, sizeof(float), "deltas");
    if (!frame->arena)
        return CP_ERESOURCE;
    frame->arena_floats = floats;
    return CP_OK;
}

/* cp_set_threads may have raised the number since the frame was made. */
static cp_status fit_scratch(cp_frame *frame)
{
    if (frame->scratch.threads >= cp_threads())
        return CP_OK;
    cp_free(frame->scratch.thread);
    frame->scratch.threads = cp_threads();
    frame->scratch.thread = cp_alloc_dirty(frame->engine->per_thread * cp_threads(), sizeof(float), "scratch");
    return frame->scratch.thread ? CP_OK : CP_ERESOURCE;
}

cp_status cp_cpu_begin(cp_frame *frame)
{
    cp_status status = fit_scratch(frame);
    if (!status)
        cp_blas_enter();
    return status;
}

cp_status cp_cpu_end(cp_frame *frame)
{
    (void)frame;
    cp_blas_leave();
    return CP_OK;
}

void cp_cpu_push(cp_frame *frame, int after, const float *input, int images, bool restricted)
{
    (void)after, (void)restricted;
    if (input)
        memcpy(frame->value[0], input, (size_t)images * frame->model->net->inputs * sizeof *input);
}

static void put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from)
{
    float *to = cp_at(cp_frame_batch(branch, branch->branch_layer), entry) + first;
    const float *base = cp_at(cp_frame_batch(branch->base, branch->branch_layer), branch->base_image) + first;
    if (from == CP_FROM_ZERO)
        memset(to, 0, count * sizeof *to);
    else
        memcpy(to, base, count * sizeof *to);
}

void cp_cpu_branch_start(cp_frame *branch, int entry, cp_origin from)
{
    put(branch, entry, 0, cp_outputs(branch->model, branch->branch_layer), from);
}

cp_status cp_cpu_branch_put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from)
{
    put(branch, entry, first, count, from);
    return CP_OK;
}

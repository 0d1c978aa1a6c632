/* The forward-mode pass: J v for all layers at once, at the activation pattern and pool winners of an earlier run. */
#include <string.h>

#include "engine/cuda/device.h"
#include "io/error.h"

enum { CHUNK = 1 << 14 }; /* a multiple of 64 */

typedef struct {
    cp_frame *frame;
    int n;
    const cp_path *path;
    const cp_tangent_observer *observer;
    float **tangent; /* by layer + 1: (n, outputs); [0] is the caller's */
    int *image;
    float *shown;    /* on a device: what the observer sees */
} run;

static size_t outputs_of(const cp_model *model, int layer)
{
    return layer < 0 ? (size_t)model->net->inputs : model->layer[layer].outputs;
}

/* A tangent lives from its own turn to its last reader's. */
static cp_status plan(run *r)
{
    const cp_model *model = r->frame->model;
    int layers = model->layers, n = 0;
    int *first = cp_alloc(layers, sizeof *first, "tangents"), *last = cp_alloc(layers, sizeof *last, "tangents");
    size_t *floats = cp_alloc(layers, sizeof *floats, "tangents"), *offset = cp_alloc(layers, sizeof *offset, "tangents");
    int *reader = cp_alloc(layers + 1, sizeof *reader, "tangents");
    cp_status status = first && last && floats && offset && reader ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < layers && !status; ++i) reader[i + 1] = i;
    for (int i = 0; i < layers && !status; ++i) {
        const cp_op *op = &r->frame->engine->op[i];
        for (int s = 0; op->type && s < op->n_sources; ++s) reader[op->source[s] + 1] = i;
    }
    for (int i = 0; i < layers && !status; ++i) {
        if (!r->frame->value[i + 1]) continue;
        first[n] = i;
        last[n] = reader[i + 1];
        if (!cp_mul(outputs_of(model, i), r->n, &floats[n]))
            status = cp_fail(CP_ERESOURCE, "layer %d: tangents of %d directions do not fit in memory", i, r->n);
        ++n;
    }
    if (!status) status = cp_frame_arena(r->frame, cp_plan_buffers(n, first, last, floats, offset));
    for (int i = 0, k = 0; i < layers && !status; ++i)
        if (r->frame->value[i + 1]) r->tangent[i + 1] = r->frame->arena + offset[k++];
    cp_free(first), cp_free(last), cp_free(floats), cp_free(offset), cp_free(reader);
    return status;
}

static void through_activation_on_device(run *r, int layer, int position)
{
    const cp_neuron_layer *neuron = &r->frame->model->neuron[position];
    for (int e = 0; e < r->n; ++e) {
        float *t = r->tangent[layer + 1] + e * neuron->count;
        if (r->observer && r->observer->before_activation) {
            cp_device_download(r->frame, t, r->shown, neuron->count);
            r->observer->before_activation(r->observer->user, neuron, e, 0, r->shown, neuron->count);
        }
        const float *a = cp_frame_slope_values(r->frame, layer, r->image[e]);
        cp_device_through(r->frame, position, a, r->path, NULL, r->frame->engine->op[layer].activation, t);
    }
}

/* dz becomes da: shown, then multiplied by the activation's derivative, then zero off the path (a constant there). */
static void through_activation(run *r, int layer, int position)
{
    const cp_neuron_layer *neuron = &r->frame->model->neuron[position];
    size_t count = neuron->count;
    int chunks = (int)((count + CHUNK - 1) / CHUNK);
    if (cp_on_device(r->frame)) {
        through_activation_on_device(r, layer, position);
        return;
    }
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)count * r->n))
    for (int e = 0; e < r->n; ++e)
        for (int c = 0; c < chunks; ++c) {
            size_t first = (size_t)c * CHUNK, part = count - first < CHUNK ? count - first : CHUNK;
            float *t = r->tangent[layer + 1] + e * count + first;
            const float *a = cp_frame_slope_values(r->frame, layer, r->image[e]) + first;
            if (r->observer && r->observer->before_activation)
                r->observer->before_activation(r->observer->user, neuron, e, first, t, part);
            cp_activation_gradient(a, part, r->frame->engine->op[layer].activation, t);
            if (r->path) cp_mask_apply(cp_path_words(r->path, position), first, part, t);
        }
}

static void tangent_product(const run *r, const cp_op *op, const cp_batch *in, cp_batch out)
{
    cp_batch at[CP_MAX_SOURCES];
    for (int s = 0; s < op->n_sources; ++s) at[s] = cp_frame_batch(r->frame, op->source[s]);
    op->type->tangent_of_product(op, r->n, in, out, at, r->image);
}

static void tangent_layer(run *r, int i)
{
    const cp_op *op = &r->frame->engine->op[i];
    cp_batch in[CP_MAX_SOURCES];
    for (int s = 0; s < op->n_sources; ++s)
        in[s] = (cp_batch){r->tangent[op->source[s] + 1], outputs_of(r->frame->model, op->source[s])};
    size_t outputs = outputs_of(r->frame->model, i);
    cp_batch out = {r->tangent[i + 1], outputs};
    if (cp_on_device(r->frame))
        cp_device_tangent(r->frame, i, r->n, in, out, r->frame->index[i], r->image);
    else if (op->type->tangent_of_product)
        tangent_product(r, op, in, out);
    else if (op->type->tangent)
        op->type->tangent(op, r->n, in, out, r->frame->index[i], r->image, &r->frame->scratch);
    else
        op->type->forward(op, r->n, in, out, NULL, true, &r->frame->scratch);
    int position = r->frame->model->neuron_position[i];
    if (position >= 0) through_activation(r, i, position);
    for (int e = 0; e < r->n && r->observer && r->observer->output; ++e) {
        const float *da = r->tangent[i + 1] + e * outputs;
        if (cp_on_device(r->frame)) {
            cp_device_download(r->frame, da, r->shown, outputs);
            da = r->shown;
        }
        r->observer->output(r->observer->user, i, e, da, outputs);
    }
}

/* On a device: room for them there, and on the host for what the observer sees. */
static cp_status take_directions(run *r)
{
    size_t most = 0;
    for (int i = 0; i < r->frame->model->layers; ++i)
        if (outputs_of(r->frame->model, i) > most) most = outputs_of(r->frame->model, i);
    r->shown = cp_alloc_dirty(most, sizeof *r->shown, "tangents");
    r->tangent[0] = cp_device_alloc(r->frame, r->n * outputs_of(r->frame->model, -1), "tangents");
    return r->shown && r->tangent[0] ? CP_OK : CP_ERESOURCE;
}

cp_status cp_frame_tangent(cp_frame *frame, int image, const float *directions, int n, const cp_path *path,
                           const cp_tangent_observer *observer)
{
    if (frame->base) return cp_fail(CP_EINTERNAL, "tangent: a branch has no input of its own");
    if (image < 0 || image >= frame->batch || n < 1)
        return cp_fail(CP_EINPUT, "tangent: image %d of %d, %d directions", image, frame->batch, n);
    run r = {.frame = frame, .n = n, .path = path, .observer = observer};
    r.tangent = cp_alloc(frame->model->layers + 1, sizeof *r.tangent, "tangents");
    r.image = cp_alloc(n, sizeof *r.image, "tangents");
    cp_status status = r.tangent && r.image ? plan(&r) : CP_ERESOURCE;
    if (!status && cp_on_device(frame)) status = take_directions(&r);
    if (!status) status = cp_frame_begin(frame);
    if (!status) {
        for (int e = 0; e < n; ++e) r.image[e] = image;
        if (cp_on_device(frame))
            cp_device_upload(frame, directions, r.tangent[0], n * outputs_of(frame->model, -1));
        else
            r.tangent[0] = (float *)directions;
        for (int i = 0; i < frame->model->layers; ++i)
            if (frame->value[i + 1]) tangent_layer(&r, i);
        status = cp_frame_end(frame);
    }
    if (cp_on_device(frame)) cp_device_free(frame, r.tangent ? r.tangent[0] : NULL);
    cp_free(r.tangent), cp_free(r.image), cp_free(r.shown);
    return status;
}

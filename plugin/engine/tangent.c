/* The forward-mode pass: J v for all layers at once, at the activation pattern and pool winners of an earlier run. */
#include "engine/backend.h"
#include "io/error.h"

typedef struct {
    cp_frame *frame;
    int n;
    const cp_path *path;
    const cp_tangent_observer *observer;
    float **tangent; /* by layer + 1: (n, outputs); [0] is the caller's */
    int *image;
} run;

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
        if (!cp_mul(cp_outputs(model, i), r->n, &floats[n]))
            status = cp_fail(CP_ERESOURCE, "layer %d: tangents of %d directions do not fit in memory", i, r->n);
        ++n;
    }
    if (!status) status = cp_frame_arena(r->frame, cp_plan_buffers(n, first, last, floats, offset));
    for (int i = 0, k = 0; i < layers && !status; ++i)
        if (r->frame->value[i + 1]) r->tangent[i + 1] = r->frame->arena + offset[k++];
    cp_free(first), cp_free(last), cp_free(floats), cp_free(offset), cp_free(reader);
    return status;
}

static void tangent_layer(run *r, int i)
{
    const cp_op *op = &r->frame->engine->op[i];
    cp_batch in[CP_MAX_SOURCES];
    for (int s = 0; s < op->n_sources; ++s)
        in[s] = (cp_batch){r->tangent[op->source[s] + 1], cp_outputs(r->frame->model, op->source[s])};
    size_t outputs = cp_outputs(r->frame->model, i);
    cp_batch out = {r->tangent[i + 1], outputs};
    r->frame->backend->tangent(r->frame, i, r->n, in, out, r->image);
    int position = r->frame->model->neuron_position[i];
    const cp_tangent_through call = {.layer = i, .position = position, .n = r->n, .image = r->image, .path = r->path,
                                     .observer = r->observer, .tangent = r->tangent[i + 1]};
    if (position >= 0) r->frame->backend->tangent_through(r->frame, &call);
    for (int e = 0; e < r->n && r->observer && r->observer->output; ++e) {
        const float *da = r->frame->backend->look(r->frame, r->tangent[i + 1] + e * outputs, outputs);
        if (da) r->observer->output(r->observer->user, i, e, da, outputs);
    }
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
    size_t floats = n * cp_outputs(frame->model, -1);
    if (!status && !(r.tangent[0] = frame->backend->borrow(frame, directions, floats, "tangents"))) status = CP_ERESOURCE;
    if (!status) status = cp_frame_begin(frame);
    if (!status) {
        for (int e = 0; e < n; ++e) r.image[e] = image;
        frame->backend->upload(frame, directions, r.tangent[0], floats);
        for (int i = 0; i < frame->model->layers; ++i)
            if (frame->value[i + 1]) tangent_layer(&r, i);
        status = cp_frame_end(frame);
    }
    if (r.tangent && r.tangent[0]) frame->backend->give_back(frame, directions, r.tangent[0]);
    cp_free(r.tangent), cp_free(r.image);
    return status;
}

/* CUDA as a backend: its table, and how a run's calls are put to the device. */
#include "engine/cuda/device_internal.h"

#include "engine/memory.h"
#include "io/error.h"

static size_t memory(const cp_frame *base, size_t asked, size_t otherwise)
{
    size_t room = cp_device_room(base ? base->own->device : cp_device());
    (void)otherwise;
    return asked && asked < room ? asked : room;
}

static const float *look(cp_frame *frame, const float *from, size_t count)
{
    float *shown = cp_device_shown(frame, count);
    if (shown)
        cp_device_download(frame, from, shown, count);
    return shown;
}

static float *borrow(cp_frame *frame, const float *host, size_t count, const char *what)
{
    (void)host;
    return cp_device_alloc(frame, count, what);
}

static void give_back(cp_frame *frame, const float *host, float *memory)
{
    (void)host;
    cp_device_free(frame, memory);
}

static void forward(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, ACTIVATION activation)
{
    bool own = activation == frame->engine->op[layer].activation;
    cp_device_forward(frame, layer, n, in, out, own ? frame->index[layer] : NULL, false, activation);
}

/* Layers with weights alone; of the others the kernels add. */
static bool takes_fresh(const cp_op *op)
{
    return op->type->takes_fresh && (op->conv || op->type->type == CONNECTED);
}

static void tangent(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, const int *image)
{
    cp_device_tangent(frame, layer, n, in, out, frame->index[layer], image);
}

static ACTIVATION descent_of(const cp_frame *frame, const cp_through *call)
{
    return call->descend ? frame->engine->op[call->layer].activation : LINEAR;
}

static void show(cp_frame *frame, const cp_through *call, int e, const float *a, const float *g)
{
    const cp_neuron_layer *neuron = &frame->model->neuron[call->position];
    size_t count = neuron->count;
    float *shown = cp_device_shown(frame, 2 * count);
    if (!shown)
        return;
    cp_device_download(frame, a, shown, count);
    cp_device_download(frame, g, shown + count, count);
    call->observer->gradient(call->observer->user, neuron, e, 0, shown, shown + count, count);
}

static void through_together(cp_frame *frame, const cp_through *call)
{
    size_t count = frame->model->neuron[call->position].count;
    for (int first = 0; first < call->n; first += CP_DEVICE_ENTRIES) {
        const float *a[CP_DEVICE_ENTRIES];
        const cp_path *path[CP_DEVICE_ENTRIES];
        int n = call->n - first < CP_DEVICE_ENTRIES ? call->n - first : CP_DEVICE_ENTRIES;
        for (int e = 0; e < n; e++) {
            a[e] = cp_entry_slope_values(frame, &call->entries[first + e], call->layer);
            path[e] = call->expose ? call->entries[first + e].path : NULL;
        }
        cp_device_through_all(frame, call->position, n, a, path, descent_of(frame, call), call->delta + first * count);
    }
}

static void through_apart(cp_frame *frame, const cp_through *call)
{
    const cp_neuron_layer *neuron = &frame->model->neuron[call->position];
    for (int e = 0; e < call->n; e++) {
        const cp_entry *entry = &call->entries[e];
        const float *a = cp_entry_activations(frame, entry, call->layer);
        const float *gates = call->expose && entry->gates ? entry->gates + neuron->offset : NULL;
        float *g = call->delta + e * neuron->count;
        if (call->expose && call->observer)
            show(frame, call, e, a, g);
        if (call->expose && call->products)
            cp_device_product(frame, neuron, a, g, call->products);
        cp_device_through(frame, call->position, cp_entry_slope_values(frame, entry, call->layer),
                          call->expose ? entry->path : NULL, gates, descent_of(frame, call), g);
    }
}

static void through(cp_frame *frame, const cp_through *call)
{
    bool apart = call->expose && (call->observer || call->products);
    for (int e = 0; e < call->n && call->expose; e++)
        apart |= call->entries[e].gates != NULL;
    if (apart)
        through_apart(frame, call);
    else
        through_together(frame, call);
}

static void tangent_through(cp_frame *frame, const cp_tangent_through *call)
{
    const cp_neuron_layer *neuron = &frame->model->neuron[call->position];
    for (int e = 0; e < call->n; e++) {
        float *t = call->tangent + e * neuron->count;
        const float *dz = call->observer && call->observer->before_activation ? look(frame, t, neuron->count) : NULL;
        if (dz)
            call->observer->before_activation(call->observer->user, neuron, e, 0, dz, neuron->count);
        cp_device_through(frame, call->position, cp_frame_slope_values(frame, call->layer, call->image[e]), call->path, NULL,
                          frame->engine->op[call->layer].activation, t);
    }
}

/* Deltas of a run lie without gaps. */
static void clear(cp_frame *frame, cp_batch x, int n, size_t count) { cp_device_clear(frame, x.base, n * count); }

static void fill_line(cp_frame *branch, int layer, int n, const double *factor, const float *u, const float *v,
                      ACTIVATION activation)
{
    (void)layer, (void)u, (void)v, (void)activation;
    cp_device_scale(branch, n, factor);
}

extern const cp_backend cp_cuda_backend;
const cp_backend cp_cuda_backend = {
    .name = "GPU",
    .most_entries = CP_DEVICE_BATCH,
    .check = cp_device_check,
    .describe = cp_device_describe,
    .memory = memory,
    .run_bytes = cp_device_run_bytes,
    .was_short = cp_device_is_short,
    .open = cp_device_frame_open,
    .close = cp_device_frame_close,
    .grow_arena = cp_device_arena,
    .alloc = cp_device_alloc,
    .free = cp_device_free,
    .begin = cp_device_begin,
    .end = cp_device_end,
    .pull = cp_device_pull,
    .pull_unit = cp_device_pull_unit,
    .push = cp_device_push,
    .look = look,
    .download = cp_device_download,
    .borrow = borrow,
    .upload = cp_device_upload,
    .give_back = give_back,
    .branch_start = cp_device_branch_start,
    .branch_put = cp_device_branch_put,
    .responses = cp_device_responses,
    .forward = forward,
    .backward = cp_device_backward,
    .takes_fresh = takes_fresh,
    .tangent = tangent,
    .restrict_to = cp_device_restrict,
    .gate = cp_device_gate,
    .through = through,
    .tangent_through = tangent_through,
    .clear = clear,
    .add = cp_device_add,
    .add_at = cp_device_add_at,
    .fill_line = fill_line,
    .add_deltas = cp_device_add_deltas,
    .scores = &cp_device_scores,
};

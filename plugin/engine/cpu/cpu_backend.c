/* The CPU as a backend: its table, and how layers run. */
#include "engine/cpu/cpu_backend.h"

#include <string.h>

#include "io/error.h"

static size_t memory(const cp_frame *base, size_t asked, size_t otherwise)
{
    (void)base;
    return asked ? asked : otherwise;
}

static size_t run_bytes(const cp_frame *frame)
{
    (void)frame;
    return 0;
}

static float *alloc(const cp_frame *frame, size_t count, const char *what)
{
    (void)frame;
    return cp_alloc_dirty(count, sizeof(float), what);
}

static void release(const cp_frame *frame, void *memory)
{
    (void)frame;
    cp_free(memory);
}

static float *pull(cp_frame *frame, int layer, int image) { return cp_at(cp_frame_batch(frame, layer), image); }

static float pull_unit(const cp_frame *frame, int layer, int image, size_t index)
{
    return cp_at(cp_frame_batch(frame, layer), image)[index];
}

static const float *look(cp_frame *frame, const float *from, size_t count)
{
    (void)frame, (void)count;
    return from;
}

static void copy(cp_frame *frame, const float *from, float *to, size_t count)
{
    (void)frame;
    if (to != from)
        memcpy(to, from, count * sizeof *to);
}

static float *borrow(cp_frame *frame, const float *host, size_t count, const char *what)
{
    (void)frame, (void)count, (void)what;
    return (float *)host;
}

static void give_back(cp_frame *frame, const float *host, float *memory) { (void)frame, (void)host, (void)memory; }

static void responses(const cp_frame *frame, int n, const cp_response *response, double *phi)
{
    for (int b = 0; b < n; b++) {
        phi[b] = 0;
        for (int u = 0; u < response->n; u++) {
            int value = frame->model->layer[response->unit[u].layer].value;
            phi[b] += (double)response->unit[u].weight * pull_unit(frame, value, b, response->unit[u].index);
        }
    }
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
    for (int b = 0; b < images; b++)
        for (int p = 0; p < parts; p++) {
            size_t first = (size_t)p * PART, n = outputs - first < PART ? outputs - first : PART;
            float *a = cp_at(out, b) + first;
            memcpy(frame->z[op->info->index] + b * outputs + first, a, n * sizeof *a);
            cp_activate(a, n, op->activation);
        }
}

static void forward(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, ACTIVATION activation)
{
    const cp_op *op = &frame->engine->op[layer];
    if (activation != op->activation) {
        cp_op other = *op;
        other.activation = activation;
        op->type->forward(&other, n, in, out, NULL, false, &frame->scratch);
    } else if (op->keeps_z) {
        run_and_keep(frame, op, n, in, out);
    } else if (frame->rows && frame->rows[layer].n) {
        cp_rows_forward(op, &frame->rows[layer], n, in[0], out);
    } else {
        op->type->forward(op, n, in, out, frame->index[layer], false, &frame->scratch);
    }
}

static void backward(cp_frame *frame, int layer, const cp_backward *call)
{
    const cp_op *op = &frame->engine->op[layer];
    op->type->backward(op, call);
}

static bool takes_fresh(const cp_op *op) { return op->type->takes_fresh; }

static void tangent(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, const int *image)
{
    const cp_op *op = &frame->engine->op[layer];
    cp_batch at[CP_MAX_SOURCES];
    if (op->type->tangent_of_product) {
        for (int s = 0; s < op->n_sources; s++)
            at[s] = cp_frame_batch(frame, op->source[s]);
        op->type->tangent_of_product(op, n, in, out, at, image, &frame->scratch);
    } else if (op->type->tangent) {
        op->type->tangent(op, n, in, out, frame->index[layer], image, &frame->scratch);
    } else {
        op->type->forward(op, n, in, out, NULL, true, &frame->scratch);
    }
}

const cp_backend cp_cpu_backend = {
    .name = "CPU",
    .has = CP_IN_PLACE | CP_HAS_GUIDED | CP_HAS_KEPT | CP_HAS_GAMMA_RULE | CP_HAS_SPARSE | CP_HAS_LINES,
    .memory = memory,
    .run_bytes = run_bytes,
    .open = cp_cpu_open,
    .close = cp_cpu_close,
    .grow_arena = cp_cpu_grow_arena,
    .alloc = alloc,
    .free = release,
    .begin = cp_cpu_begin,
    .end = cp_cpu_end,
    .pull = pull,
    .pull_unit = pull_unit,
    .push = cp_cpu_push,
    .look = look,
    .download = copy,
    .borrow = borrow,
    .upload = copy,
    .give_back = give_back,
    .branch_start = cp_cpu_branch_start,
    .branch_put = cp_cpu_branch_put,
    .responses = responses,
    .forward = forward,
    .backward = backward,
    .takes_fresh = takes_fresh,
    .tangent = tangent,
    .restrict_to = cp_cpu_restrict_to,
    .gate = cp_cpu_gate,
    .through = cp_cpu_through,
    .tangent_through = cp_cpu_tangent_through,
    .clear = cp_cpu_clear,
    .add = cp_cpu_add,
    .add_at = cp_cpu_add_at,
    .count_nonzero = cp_cpu_count_nonzero,
    .fill_line = cp_cpu_fill_line,
    .add_deltas = cp_cpu_add_deltas,
};

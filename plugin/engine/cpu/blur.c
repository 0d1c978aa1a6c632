/* antialiasing of AlexeyAB's Darknet: the next layer reads the planes of a convolution or max-pool through a fixed window,
 * [1 2 1] x [1 2 1] / 16 with a border of zeros or a mean of four (convolutional_layer.c, maxpool_layer.c). The row of this
 * file stands around that next layer's own: it makes the blurred values of one entry in shared work memory, and the inner row
 * reads those. The neurons, and what is restricted and shown of them, are those before the blur. */
#include <string.h>

#include "engine/cpu/ops.h"

/* The part that one axis has in the weight of tap t: 1/4 1/2 1/4, or 1/2 1/2. */
static float tap_weight(const cp_wide_window *g, int t) { return g->size == 2 || t == 1 ? .5f : .25f; }

bool cp_op_reads_blurred(const cp_op *op, int s, cp_wide_window *window)
{
    const cp_cfg_layer *from = op->source[s] < 0 ? NULL : &op->layers[op->source[s]];
    if (!from || !cp_layer_is_blurred(from)) return false;
    *window = cp_blur_window_of(from);
    return true;
}

static size_t floats_of(const cp_wide_window *g)
{
    size_t n = (size_t)g->c * g->out_h * g->out_w;
    return (n + CP_ALIGNED_FLOATS - 1) / CP_ALIGNED_FLOATS * CP_ALIGNED_FLOATS;
}

size_t cp_blur_floats(const cp_op *op)
{
    size_t n = 0;
    cp_wide_window g;
    for (int s = 0; s < op->n_sources; ++s)
        if (cp_op_reads_blurred(op, s, &g)) n += floats_of(&g);
    return n;
}

/* One plane: small = blur(large), or back, large += its transpose of small. */
static void blur_plane(const cp_wide_window *g, float *large, float *small, bool back)
{
    for (int y = 0; y < g->out_h; ++y)
        for (int x = 0; x < g->out_w; ++x) {
            float sum = 0, *at = &small[(size_t)y * g->out_w + x];
            for (int ty = 0; ty < g->size; ++ty)
                for (int tx = 0; tx < g->size; ++tx) {
                    int row = y * g->stride_y - g->pad + ty, column = x * g->stride_x - g->pad + tx;
                    if (row < 0 || column < 0 || row >= g->h || column >= g->w) continue;
                    float weight = tap_weight(g, ty) * tap_weight(g, tx), *from = &large[(size_t)row * g->w + column];
                    if (back) *from += weight * *at;
                    else sum += weight * *from;
                }
            if (!back) *at = sum;
        }
}

static void blur_planes(const cp_wide_window *g, float *large, float *small, bool back)
{
    size_t plane = (size_t)g->h * g->w, out_plane = (size_t)g->out_h * g->out_w;
#pragma omp parallel for num_threads(cp_threads_for((double)g->c * out_plane * g->size * g->size))
    for (int c = 0; c < g->c; ++c) blur_plane(g, large + c * plane, small + c * out_plane, back);
}

/* The op as its inner row sees it, and the memory that is left to that row. */
typedef struct {
    cp_op op;
    cp_scratch scratch;
    float *blurred[CP_MAX_SOURCES]; /* NULL: the source is read as it is */
} view;

static void open_view(const cp_op *op, const cp_scratch *scratch, view *v)
{
    cp_wide_window g;
    v->op = *op;
    v->op.type = op->inner;
    v->scratch = *scratch;
    for (int s = 0; s < op->n_sources; ++s) {
        v->blurred[s] = NULL;
        if (!cp_op_reads_blurred(op, s, &g)) continue;
        v->blurred[s] = v->scratch.shared;
        v->scratch.shared += floats_of(&g);
        v->op.source_outputs[s] = (size_t)g.c * g.out_h * g.out_w;
    }
}

/* What the inner row reads of entry b. */
static void blur_sources(const view *v, const cp_batch *in, int b, cp_batch *seen)
{
    cp_wide_window g;
    for (int s = 0; s < v->op.n_sources; ++s) {
        seen[s] = (cp_batch){v->blurred[s] ? v->blurred[s] : cp_at(in[s], b), 0};
        if (v->blurred[s] && cp_op_reads_blurred(&v->op, s, &g)) blur_planes(&g, cp_at(in[s], b), v->blurred[s], false);
    }
}

static void forward_behind(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                           const cp_scratch *scratch)
{
    view v;
    cp_batch seen[CP_MAX_SOURCES];
    open_view(op, scratch, &v);
    for (int b = 0; b < n; ++b) {
        blur_sources(&v, in, b, seen);
        op->inner->forward(&v.op, 1, seen, (cp_batch){cp_at(out, b), 0}, index ? index + b * op->info->outputs : NULL, linear,
                           &v.scratch);
    }
}

static void backward_behind(const cp_op *op, const cp_backward *call)
{
    view v;
    cp_wide_window g;
    cp_batch to[CP_MAX_SOURCES];
    bool any = false;
    open_view(op, call->scratch, &v);
    for (int s = 0; s < op->n_sources; ++s) any |= call->in_delta[s].base != NULL;
    for (int e = 0; e < call->n && any; ++e) {
        cp_backward one = *call;
        for (int s = 0; s < op->n_sources; ++s) {
            to[s] = (cp_batch){call->in_delta[s].base ? cp_at(call->in_delta[s], e) : NULL, 0};
            if (!to[s].base || !v.blurred[s]) continue;
            to[s].base = v.blurred[s];
            memset(v.blurred[s], 0, v.op.source_outputs[s] * sizeof(float));
        }
        one.n = 1, one.fresh = false, one.fresh_sources = NULL;
        one.delta = (cp_batch){cp_at(call->delta, e), 0}, one.in_delta = to;
        one.nonzero = call->nonzero ? call->nonzero + e : NULL, one.image = call->image + e;
        one.scratch = &v.scratch;
        op->inner->backward(&v.op, &one);
        for (int s = 0; s < op->n_sources; ++s)
            if (to[s].base && v.blurred[s] && cp_op_reads_blurred(op, s, &g))
                blur_planes(&g, cp_at(call->in_delta[s], e), v.blurred[s], true);
    }
}

static void tangent_behind(const cp_op *op, int n, const cp_batch *in, cp_batch out, const uint16_t *index, const int *image,
                           const cp_scratch *scratch)
{
    view v;
    cp_batch seen[CP_MAX_SOURCES];
    open_view(op, scratch, &v);
    for (int e = 0; e < n; ++e) {
        cp_batch to = {cp_at(out, e), 0};
        blur_sources(&v, in, e, seen);
        if (op->inner->tangent)
            op->inner->tangent(&v.op, 1, seen, to, index, image + e, &v.scratch);
        else
            op->inner->forward(&v.op, 1, seen, to, NULL, true, &v.scratch);
    }
}

const cp_op_type cp_op_behind_blur = {.type = (LAYER_TYPE)CP_HOST_BEHIND_BLUR, .forward = forward_behind,
                                      .backward = backward_behind, .tangent = tangent_behind};

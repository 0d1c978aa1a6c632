/* Windows that Debian's Darknet does not have: max-pools with two strides or over channels, and [local_avgpool]. Plain loops:
 * they are rare. */
#include <float.h>

#include "engine/cpu/ops.h"
#include "engine/windows.h"

typedef cp_wide_window window;

static window window_of(const cp_op *op) { return cp_wide_window_of(op->cfg); }

/* Index in a plane of what tap t of output position p reads; -1: beside the plane. */
static ptrdiff_t tap_of(const window *g, int p, int t)
{
    int y = p / g->out_w * g->stride_y - g->pad + t / g->size * g->dilation;
    int x = p % g->out_w * g->stride_x - g->pad + t % g->size * g->dilation;
    return y < 0 || x < 0 || y >= g->h || x >= g->w ? -1 : (ptrdiff_t)y * g->w + x;
}

/* ---- max-pools ---- */

static cp_status prepare_pool(cp_op *op)
{
    op->has_index = true;
    return CP_OK;
}

/* The tap of the largest value, the first of equals in the order of rows. */
static int best_tap(const window *g, const float *x, int p)
{
    int best = -1;
    float largest = -FLT_MAX;
    for (int t = 0; t < g->size * g->size; ++t) {
        ptrdiff_t at = tap_of(g, p, t);
        if (at < 0 || !(x[at] > largest)) continue;
        largest = x[at];
        best = t;
    }
    return best < 0 ? 0 : best;
}

/* What the winner reads: index into the input of the whole image. `depth`: over channels k, k + out channels, ... */
static ptrdiff_t winner_of(const cp_op *op, const window *g, size_t output, int winner)
{
    size_t positions = (size_t)g->out_h * g->out_w, channel = output / positions, p = output % positions;
    if (op->cfg->depth) return (ptrdiff_t)((channel + (size_t)winner * op->info->c) * positions + p);
    ptrdiff_t at = tap_of(g, (int)p, winner);
    return at < 0 ? -1 : (ptrdiff_t)(channel * g->h * g->w) + at;
}

static int find_winner(const cp_op *op, const window *g, const float *x, size_t output)
{
    size_t positions = (size_t)g->out_h * g->out_w, channel = output / positions, p = output % positions;
    if (!op->cfg->depth) return best_tap(g, x + channel * g->h * g->w, (int)p);
    int best = 0, n = (op->cfg->c - (int)channel + op->cfg->depth - 1) / op->cfg->depth;
    for (int k = 1; k < n; ++k)
        if (x[winner_of(op, g, output, k)] > x[winner_of(op, g, output, best)]) best = k;
    return best;
}

static void forward_pool(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                         const cp_scratch *scratch)
{
    (void)linear, (void)scratch;
    window g = window_of(op);
    size_t outputs = op->info->outputs;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * outputs * g.size * g.size))
    for (int b = 0; b < n; ++b)
        for (size_t i = 0; i < outputs; ++i) {
            int winner = find_winner(op, &g, cp_at(in[0], b), i);
            ptrdiff_t at = winner_of(op, &g, i, winner);
            cp_at(out, b)[i] = at < 0 ? 0 : cp_at(in[0], b)[at];
            if (index) index[b * outputs + i] = (uint16_t)winner;
        }
}

static void backward_pool(const cp_op *op, const cp_backward *call)
{
    window g = window_of(op);
    size_t outputs = op->info->outputs;
    for (int e = 0; e < call->n && call->in_delta[0].base; ++e)
        for (size_t i = 0; i < outputs; ++i) {
            ptrdiff_t at = winner_of(op, &g, i, call->index[call->image[e] * outputs + i]);
            if (at >= 0) cp_at(call->in_delta[0], e)[at] += cp_at(call->delta, e)[i];
        }
}

static void tangent_pool(const cp_op *op, int n, const cp_batch *in, cp_batch out, const uint16_t *index, const int *image,
                         const cp_scratch *scratch)
{
    (void)scratch;
    window g = window_of(op);
    size_t outputs = op->info->outputs;
    for (int e = 0; e < n; ++e)
        for (size_t i = 0; i < outputs; ++i) {
            ptrdiff_t at = winner_of(op, &g, i, index[image[e] * outputs + i]);
            cp_at(out, e)[i] = at < 0 ? 0 : cp_at(in[0], e)[at];
        }
}

const cp_op_type cp_op_pool = {.type = (LAYER_TYPE)CP_HOST_POOL, .prepare = prepare_pool, .forward = forward_pool,
                               .backward = backward_pool, .tangent = tangent_pool, .moves = true};
const cp_op_type cp_op_depth_pool = {.type = (LAYER_TYPE)CP_HOST_DEPTH_POOL, .prepare = prepare_pool,
                                     .forward = forward_pool, .backward = backward_pool, .tangent = tangent_pool,
                                     .moves = true};

/* ---- [local_avgpool]: the mean over the pixels of a window that are inside ---- */

static int inside(const window *g, int p)
{
    int n = 0;
    for (int t = 0; t < g->size * g->size; ++t) n += tap_of(g, p, t) >= 0;
    return n;
}

static void forward_average(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            const cp_scratch *scratch)
{
    (void)index, (void)linear, (void)scratch;
    window g = window_of(op);
    int positions = g.out_h * g.out_w;
    for (int b = 0; b < n; ++b)
        for (size_t c = 0; c < op->info->c; ++c) {
            const float *x = cp_at(in[0], b) + c * g.h * g.w;
            for (int p = 0; p < positions; ++p) {
                float sum = 0;
                for (int t = 0; t < g.size * g.size; ++t) sum += tap_of(&g, p, t) < 0 ? 0 : x[tap_of(&g, p, t)];
                cp_at(out, b)[c * positions + p] = sum / inside(&g, p);
            }
        }
}

static void backward_average(const cp_op *op, const cp_backward *call)
{
    window g = window_of(op);
    int positions = g.out_h * g.out_w;
    for (int e = 0; e < call->n && call->in_delta[0].base; ++e)
        for (size_t c = 0; c < op->info->c; ++c) {
            float *to = cp_at(call->in_delta[0], e) + c * g.h * g.w;
            for (int p = 0; p < positions; ++p) {
                float share = cp_at(call->delta, e)[c * positions + p] / inside(&g, p);
                for (int t = 0; t < g.size * g.size; ++t)
                    if (tap_of(&g, p, t) >= 0) to[tap_of(&g, p, t)] += share;
            }
        }
}

const cp_op_type cp_op_local_average = {.type = (LAYER_TYPE)CP_HOST_OTHER, .name = "local_avgpool",
                                        .forward = forward_average, .backward = backward_average};

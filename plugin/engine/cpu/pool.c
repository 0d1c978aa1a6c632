/* [maxpool] and [avgpool]. */
#include <float.h>
#include <omp.h>
#include <string.h>

#include "engine/cpu/ops.h"
#include "io/error.h"

/* Winners are kept as window offsets ky*size + kx. */
enum { NO_WINNER = 0xffff };

enum { LANES = 16, WORK = 5 };

/* Wide windows at stride 1 and small planes, as detectors have them: pool_separately. */
static bool separates(const layer *l)
{
    return l->stride == 1 && l->size > 1 && (l->size > 3 || l->out_w < 2 * LANES);
}

/* A plane with its margins: floats of a line; of all, and as many more as whole vectors may touch. */
typedef struct {
    size_t line, positions;
} margins;

static margins margins_of(const layer *l)
{
    size_t line = (size_t)l->out_w + l->size - 1;
    return (margins){line, line * (l->out_h + l->size - 1) + l->size + LANES};
}

static cp_status prepare_maxpool(cp_op *op)
{
    op->has_index = true;
    if ((long)op->l->size * op->l->size >= NO_WINNER)
        return cp_fail(CP_EINPUT, "layer %d: maxpool: size %d, at most 255 is supported", op->info->index, op->l->size);
    int size = op->l->size;
    op->permutation = cp_alloc((size_t)size * size, sizeof *op->permutation, "maxpool");
    if (!op->permutation) return CP_ERESOURCE;
    if (separates(op->l)) op->per_thread = WORK * margins_of(op->l).positions;
    for (int k = 0; k < size * size; ++k) op->permutation[k] = k / size * op->l->w + k % size;
    return CP_OK;
}

enum { COLUMNS = 128 }; /* of a row at a time: what is kept of them stays in registers and the nearest cache */

/* Columns [first, first + n) of one output row. Darknet's rule: the first of the largest wins; outside counts as
 * -FLT_MAX; a window without any number has no winner. Tap by tap over the columns, so that the inner loop has
 * neither bounds nor branches; winners are as wide as the numbers until the end, and the usual strides are constants,
 * for the compiler's sake. */
CP_CLONES static void pool_columns(const layer *l, const float *restrict x, int oy, int first, int n,
                                   float *restrict out, uint16_t *restrict winner)
{
    float best[COLUMNS];
    int32_t tap_of[COLUMNS];
    int y0 = oy * l->stride - l->pad / 2, stride = l->stride;
    for (int i = 0; i < n; ++i) best[i] = -FLT_MAX, tap_of[i] = NO_WINNER;
    for (int ky = 0; ky < l->size; ++ky) {
        if (y0 + ky < 0 || y0 + ky >= l->h) continue;
        for (int kx = 0; kx < l->size; ++kx) {
            int offset = kx - l->pad / 2 + first * stride, from, to;
            int32_t tap = ky * l->size + kx;
            cp_valid_columns(n, stride, offset, l->w, &from, &to);
            const float *row = x + (size_t)(y0 + ky) * l->w;
#define TAKE(s)                                          \
    for (int i = from; i < to; ++i) {                    \
        float v = row[i * (s) + offset];                 \
        tap_of[i] = v > best[i] ? tap : tap_of[i];       \
        best[i] = v > best[i] ? v : best[i];             \
    }
            if (stride == 1) {
                TAKE(1)
            } else if (stride == 2) {
                TAKE(2)
            } else {
                TAKE(stride)
            }
#undef TAKE
        }
    }
    for (int i = 0; i < n; ++i) out[i] = best[i], winner[i] = (uint16_t)tap_of[i];
}

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t integers __attribute__((vector_size(64)));
typedef int32_t tap_lanes __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint16_t shorts __attribute__((vector_size(32), aligned(2), may_alias));
/* LANES columns of one output row whose windows lie inside the image; the best and its tap stay in registers. Of every
 * second float none beyond the last is read. */
static inline __attribute__((always_inline)) void pool_inside(int size, int stride, const float *x, size_t line,
                                                              float *out, uint16_t *winner)
{
    lanes best = {0};
    best -= FLT_MAX;
    integers tap_of = {0};
    tap_of += NO_WINNER;
#pragma GCC unroll 3
    for (int ky = 0; ky < size; ++ky)
#pragma GCC unroll 3
        for (int kx = 0; kx < size; ++kx) {
            const float *from = x + ky * line + kx;
            lanes v = *(const lanes *)from;
            if (stride == 2)
                v = (lanes)__builtin_shufflevector(v, *(const lanes *)(from + LANES - 1), 0, 2, 4, 6, 8, 10, 12, 14,
                                                   17, 19, 21, 23, 25, 27, 29, 31);
            integers larger = v > best;
            best = (lanes)((larger & (integers)v) | (~larger & (integers)best));
            tap_of = (larger & (ky * size + kx)) | (~larger & tap_of);
        }
    *(lanes *)out = best;
    *(shorts *)winner = __builtin_convertvector(tap_of, shorts);
}

/* The usual windows, away from the borders; the last LANES columns overlap those before. */
CP_CLONES static void pool_inner_row(const layer *l, const float *x, int oy, int from, int to, float *out,
                                     uint16_t *winner)
{
    const float *row = x + ((ptrdiff_t)oy * l->stride - l->pad / 2) * l->w - l->pad / 2;
    for (int ox = from; ox < to; ox += LANES) {
        if (ox > to - LANES) ox = to - LANES;
        const float *at = row + (ptrdiff_t)ox * l->stride;
        if (l->size == 2 && l->stride == 2) pool_inside(2, 2, at, l->w, out + ox, winner + ox);
        else if (l->size == 3 && l->stride == 2) pool_inside(3, 2, at, l->w, out + ox, winner + ox);
        else pool_inside(3, 1, at, l->w, out + ox, winner + ox);
    }
}

static void pool_span(const layer *l, const float *x, int oy, int from, int to, float *out, uint16_t *winner)
{
    for (int first = from; first < to; first += COLUMNS)
        pool_columns(l, x, oy, first, to - first < COLUMNS ? to - first : COLUMNS, out + first, winner + first);
}

static void pool_row(const layer *l, const float *x, int oy, float *out, uint16_t *winner)
{
    int from, to, unused, y0 = oy * l->stride - l->pad / 2;
    cp_valid_columns(l->out_w, l->stride, -(l->pad / 2), l->w, &from, &unused);
    cp_valid_columns(l->out_w, l->stride, l->size - 1 - l->pad / 2, l->w, &unused, &to);
    bool usual = (l->stride == 2 && (l->size == 2 || l->size == 3)) || (l->stride == 1 && l->size == 3);
    if (!usual || y0 < 0 || y0 + l->size > l->h || to - from < LANES) from = to = 0;
    pool_span(l, x, oy, 0, from, out, winner);
    if (to > from) pool_inner_row(l, x, oy, from, to, out, winner);
    pool_span(l, x, oy, to, l->out_w, out, winner);
}

/* n positions: the largest of `size` values `step` apart. first: their taps are their places, else each has one
 * already, and its place counts `size` times. */
static inline __attribute__((always_inline)) void take_largest(int size, const float *from, const int32_t *taps,
                                                               size_t step,
                                                               size_t n, bool first, float *best, int32_t *tap)
{
    for (size_t i = 0; i < n; i += LANES) {
        lanes largest = {0};
        integers tap_of = {0};
        largest -= FLT_MAX;
        tap_of += NO_WINNER;
        for (int k = 0; k < size; ++k) {
            lanes v = *(const lanes *)(from + k * step + i);
            integers larger = v > largest, here = {0};
            here += first ? k : k * size;
            if (!first) here += *(const tap_lanes *)(taps + k * step + i);
            largest = (lanes)((larger & (integers)v) | (~larger & (integers)largest));
            tap_of = (larger & here) | (~larger & tap_of);
        }
        *(lanes *)(best + i) = largest;
        *(tap_lanes *)(tap + i) = tap_of;
    }
}

/* The plane is copied with its margins, so that it is one run of positions; then along its rows, then down its columns.
 * Of equals the first row's first wins, as above. work: WORK times margins_of(l).positions floats. */
CP_CLONES static void pool_separately(const layer *l, const float *restrict x, float *restrict out,
                                      uint16_t *restrict winner, float *restrict work)
{
    margins m = margins_of(l);
    float *plane = work, *along = plane + m.positions, *down = along + m.positions;
    int32_t *along_tap = (int32_t *)(down + m.positions), *down_tap = along_tap + m.positions;
    int size = l->size, before = l->pad / 2, from, to;
    cp_valid_columns((int)m.line, 1, -before, l->w, &from, &to);
    for (size_t i = 0; i < m.positions; ++i) plane[i] = -FLT_MAX;
    for (int y = 0; y < l->h && y + before < l->out_h + size - 1; ++y)
        for (int i = from; i < to; ++i) plane[(size_t)(y + before) * m.line + i] = x[(size_t)y * l->w + i - before];
    take_largest(size, plane, NULL, 1, m.line * (l->out_h + size - 1), true, along, along_tap);
    take_largest(size, along, along_tap, m.line, m.line * l->out_h, false, down, down_tap);
    for (int oy = 0; oy < l->out_h; ++oy)
        for (int ox = 0; ox < l->out_w; ++ox) {
            out[(size_t)oy * l->out_w + ox] = down[oy * m.line + ox];
            winner[(size_t)oy * l->out_w + ox] = (uint16_t)down_tap[oy * m.line + ox];
        }
}

static void forward_maxpool(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            const cp_scratch *scratch)
{
    (void)linear;
    const layer *l = op->l;
    size_t in_plane = (size_t)l->h * l->w, out_plane = (size_t)l->out_h * l->out_w, outputs = op->info->outputs;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * outputs * l->size))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < l->c; ++c) {
            const float *x = cp_at(in[0], b) + c * in_plane;
            float *y = cp_at(out, b) + c * out_plane;
            uint16_t *winner = index + b * outputs + c * out_plane;
            if (separates(l)) {
                pool_separately(l, x, y, winner, scratch->thread + omp_get_thread_num() * scratch->per_thread);
                continue;
            }
            for (int oy = 0; oy < l->out_h; ++oy)
                pool_row(l, x, oy, y + (size_t)oy * l->out_w, winner + (size_t)oy * l->out_w);
        }
}

/* Where each window offset lies from the window's corner, in floats. */
static const int32_t *winner_offsets(const cp_op *op) { return op->permutation; }

static ptrdiff_t window_corner(const layer *l, int oy, int ox)
{
    return (ptrdiff_t)(oy * l->stride - l->pad / 2) * l->w + ox * l->stride - l->pad / 2;
}

static void backward_maxpool(const cp_op *op, const cp_backward *call)
{
    const layer *l = op->l;
    const int32_t *offset = winner_offsets(op);
    size_t in_plane = (size_t)l->h * l->w, out_plane = (size_t)l->out_h * l->out_w, outputs = op->info->outputs;
    if (!call->in_delta[0].base) return;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)call->n * outputs * l->size))
    for (int b = 0; b < call->n; ++b)
        for (int c = 0; c < l->c; ++c) {
            const float *d = cp_at(call->delta, b) + c * out_plane;
            const uint16_t *winners = call->index + call->image[b] * outputs + c * out_plane;
            float *x = cp_at(call->in_delta[0], b) + c * in_plane;
            for (int oy = 0, i = 0; oy < l->out_h; ++oy)
                for (int ox = 0; ox < l->out_w; ++ox, ++i)
                    if (winners[i] != NO_WINNER) x[window_corner(l, oy, ox) + offset[winners[i]]] += d[i];
        }
}

static void tangent_maxpool(const cp_op *op, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                            const int *image, const cp_scratch *scratch)
{
    (void)scratch;
    const layer *l = op->l;
    const int32_t *offset = winner_offsets(op);
    size_t in_plane = (size_t)l->h * l->w, out_plane = (size_t)l->out_h * l->out_w, outputs = op->info->outputs;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * outputs * l->size))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < l->c; ++c) {
            const float *x = cp_at(in[0], b) + c * in_plane;
            const uint16_t *winners = index + image[b] * outputs + c * out_plane;
            float *y = cp_at(out, b) + c * out_plane;
            for (int oy = 0, i = 0; oy < l->out_h; ++oy)
                for (int ox = 0; ox < l->out_w; ++ox, ++i)
                    y[i] = winners[i] == NO_WINNER ? 0 : x[window_corner(l, oy, ox) + offset[winners[i]]];
        }
}

const cp_op_type cp_op_maxpool = {.type = MAXPOOL, .prepare = prepare_maxpool, .forward = forward_maxpool,
                                  .backward = backward_maxpool, .tangent = tangent_maxpool, .moves = true};

/* Global average: one number per channel. */
static void forward_avgpool(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            const cp_scratch *scratch)
{
    (void)index, (void)linear, (void)scratch;
    int plane = op->l->h * op->l->w;
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < op->l->c; ++c) {
            const float *x = cp_at(in[0], b) + (size_t)c * plane;
            float sum = 0;
            for (int i = 0; i < plane; ++i) sum += x[i];
            cp_at(out, b)[c] = sum / plane;
        }
}

static void backward_avgpool(const cp_op *op, const cp_backward *call)
{
    int plane = op->l->h * op->l->w;
    if (!call->in_delta[0].base) return;
    for (int b = 0; b < call->n; ++b)
        for (int c = 0; c < op->l->c; ++c) {
            float share = cp_at(call->delta, b)[c] / plane, *x = cp_at(call->in_delta[0], b) + (size_t)c * plane;
            if (cp_is_fresh(call, 0))
                for (int i = 0; i < plane; ++i) x[i] = share;
            else
                for (int i = 0; i < plane; ++i) x[i] += share;
        }
}

const cp_op_type cp_op_avgpool = {.type = AVGPOOL, .forward = forward_avgpool, .backward = backward_avgpool,
                                  .takes_fresh = true};

/* Depthwise convolution: one input channel per group, a few multiply-adds per pixel; im2col would only move memory. */
#include <string.h>

#include "engine/conv.h"

enum { MOST_SIZE = 7 };

typedef float lanes16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef float lanes8 __attribute__((vector_size(32), aligned(4), may_alias));

/* Macros, since how a vector is passed depends on the instruction set. Every second float from x; nothing beyond the last
 * of them is read. */
#define EVERY_SECOND16(x) \
    __builtin_shufflevector(*(const lanes16 *)(x), *(const lanes16 *)((x) + 15), 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, \
                            23, 25, 27, 29, 31)
#define EVERY_SECOND8(x) \
    __builtin_shufflevector(*(const lanes8 *)(x), *(const lanes8 *)((x) + 7), 0, 2, 4, 6, 9, 11, 13, 15)

/* Output columns from..to of one row, which read inside the image whatever the tap; at least as many as there are lanes.
 * The window's rows are rows[0..size-1], each shifted so that column ox reads at ox*stride; weights of rows outside the
 * image are 0. Sums stay in a register; the last vector overlaps the one before. */
#define GATHER_ROW(LANES)                                                                                              \
    static inline __attribute__((always_inline)) void gather##LANES(const float *const *rows, const float *w, int size,\
                                                                    int stride, int ox, bool add, float *y)            \
    {                                                                                                                  \
        lanes##LANES sum = {0}, *to = (lanes##LANES *)y;                                                               \
        _Pragma("GCC unroll 7") for (int ky = 0; ky < size; ++ky)                                                      \
            _Pragma("GCC unroll 7") for (int kx = 0; kx < size; ++kx)                                                  \
        {                                                                                                              \
            const float *x = rows[ky] + ox * stride + kx;                                                              \
            if (stride == 1) sum += w[ky * size + kx] * *(const lanes##LANES *)x;                                      \
            else sum += w[ky * size + kx] * EVERY_SECOND##LANES(x);                                                    \
        }                                                                                                              \
        if (add) sum += *to;                                                                                           \
        *to = sum;                                                                                                     \
    }                                                                                                                  \
    static inline __attribute__((always_inline)) void gather_row##LANES(const float *const *rows, const float *w, int size,\
                                                                        int stride, int from, int to, bool add, float *y)\
    {                                                                                                                  \
        float *end = y + to - LANES;                                                                                   \
        lanes##LANES last = *(lanes##LANES *)end;                                                                      \
        for (int ox = from; ox + LANES < to; ox += LANES) gather##LANES(rows, w, size, stride, ox, add, y + ox);       \
        *(lanes##LANES *)end = last;                                                                                   \
        gather##LANES(rows, w, size, stride, to - LANES, add, end);                                                    \
    }
GATHER_ROW(16)
GATHER_ROW(8)

static inline __attribute__((always_inline)) void gather_row(const float *const *rows, const float *w, int size, int stride,
                                                             int from, int to, bool add, float *y)
{
    if (to - from >= 16) gather_row16(rows, w, size, stride, from, to, add, y);
    else gather_row8(rows, w, size, stride, from, to, add, y);
}

/* One column after the other; the taps that leave the image are skipped. */
static inline __attribute__((always_inline)) void columns_of(const cp_window *g, int size, const float *const *rows,
                                                             const float *w, int from, int to, bool add, float *y)
{
    for (int ox = from; ox < to; ++ox) {
        float sum = add ? y[ox] : 0;
        for (int ky = 0; ky < size; ++ky)
            for (int kx = 0; kx < size; ++kx) {
                int ix = ox * g->stride + kx - g->pad;
                if (ix >= 0 && ix < g->w) sum += w[ky * size + kx] * rows[ky][ox * g->stride + kx];
            }
        y[ox] = sum;
    }
}

static void gather_columns(const cp_window *g, const float *const *rows, const float *w, int from, int to, bool add,
                           float *y)
{
    if (g->size == 3) columns_of(g, 3, rows, w, from, to, add, y); /* unrolled */
    else columns_of(g, g->size, rows, w, from, to, add, y);
}

/* y (=, +=) what the window sees, for sizes up to MOST_SIZE. */
CP_CLONES static void gather_plane(const cp_window *g, const float *restrict x, const float *kernel, bool add,
                                   float *restrict y)
{
    int from, to, unused;
    cp_valid_columns(g->out_w, g->stride, -g->pad, g->w, &from, &unused);
    cp_valid_columns(g->out_w, g->stride, g->size - 1 - g->pad, g->w, &unused, &to);
    if (from > g->out_w) from = g->out_w;
    if (to < from) to = from;
    bool wide = to - from >= 8;
    for (int oy = 0; oy < g->out_h; ++oy, y += g->out_w) {
        const float *rows[MOST_SIZE];
        float w[MOST_SIZE * MOST_SIZE];
        for (int ky = 0; ky < g->size; ++ky) {
            int iy = oy * g->stride + ky - g->pad;
            bool inside = iy >= 0 && iy < g->h;
            rows[ky] = x + (inside ? (ptrdiff_t)iy * g->w : 0) - g->pad;
            for (int kx = 0; kx < g->size; ++kx) w[ky * g->size + kx] = inside ? kernel[ky * g->size + kx] : 0;
        }
        gather_columns(g, rows, w, 0, from, add, y);
        gather_columns(g, rows, w, to, g->out_w, add, y);
        if (g->size == 3 && g->stride == 1 && wide) gather_row(rows, w, 3, 1, from, to, add, y);
        else if (g->size == 3 && g->stride == 2 && wide) gather_row(rows, w, 3, 2, from, to, add, y);
        else if (g->size == 5 && g->stride == 1 && wide) gather_row(rows, w, 5, 1, from, to, add, y);
        else gather_columns(g, rows, w, from, to, add, y);
    }
}

CP_CLONES static void forward_plane(const cp_window *g, const float *restrict x, const float *kernel, float *restrict y)
{
    if (g->size <= MOST_SIZE) {
        gather_plane(g, x, kernel, false, y);
        return;
    }
    memset(y, 0, (size_t)g->out_h * g->out_w * sizeof *y);
    for (int ky = 0; ky < g->size; ++ky)
        for (int kx = 0; kx < g->size; ++kx) {
            float weight = kernel[ky * g->size + kx];
            int from, to;
            cp_valid_columns(g->out_w, g->stride, kx - g->pad, g->w, &from, &to);
            for (int oy = 0; oy < g->out_h; ++oy) {
                int iy = oy * g->stride + ky - g->pad;
                if (iy < 0 || iy >= g->h) continue;
                const float *in = x + (size_t)iy * g->w + kx - g->pad;
                float *out = y + (size_t)oy * g->out_w;
                if (g->stride == 1)
                    for (int ox = from; ox < to; ++ox) out[ox] += weight * in[ox];
                else
                    for (int ox = from; ox < to; ++ox) out[ox] += weight * in[ox * g->stride];
            }
        }
}

CP_CLONES static void backward_plane(const cp_window *g, const float *restrict y, const float *kernel, float *restrict x)
{
    for (int ky = 0; ky < g->size; ++ky)
        for (int kx = 0; kx < g->size; ++kx) {
            float weight = kernel[ky * g->size + kx];
            int from, to;
            cp_valid_columns(g->out_w, g->stride, kx - g->pad, g->w, &from, &to);
            for (int oy = 0; oy < g->out_h; ++oy) {
                int iy = oy * g->stride + ky - g->pad;
                if (iy < 0 || iy >= g->h) continue;
                float *in = x + (size_t)iy * g->w + kx - g->pad;
                const float *out = y + (size_t)oy * g->out_w;
                if (g->stride == 1)
                    for (int ox = from; ox < to; ++ox) in[ox] += weight * out[ox];
                else
                    for (int ox = from; ox < to; ++ox) in[ox * g->stride] += weight * out[ox];
            }
        }
}

void cp_depthwise_forward(const cp_window *g, const float *weights, int n, cp_batch x, cp_batch y, const float *bias,
                          ACTIVATION activation)
{
    size_t window = (size_t)g->size * g->size, in = (size_t)g->h * g->w, out = (size_t)g->out_h * g->out_w;
    int filters = g->groups * g->m;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * g->groups * g->m * window * out))
    for (int b = 0; b < n; ++b)
        for (int f = 0; f < filters; ++f) {
            float *plane = cp_at(y, b) + f * out;
            forward_plane(g, cp_at(x, b) + f / g->m * in, weights + f * window, plane);
            if (bias || activation != LINEAR) cp_activate_bias(plane, out, bias ? bias[f] : 0, activation);
        }
}

/* At stride 1 the data gradient is what the turned window sees of the deltas. */
static bool back_gathers(const cp_window *g) { return g->stride == 1 && g->size <= MOST_SIZE && g->pad < g->size; }

void cp_depthwise_backward(const cp_window *g, const float *weights, int n, cp_batch y, cp_batch x)
{
    size_t window = (size_t)g->size * g->size, in = (size_t)g->h * g->w, out = (size_t)g->out_h * g->out_w;
    cp_window back = {.h = g->out_h, .w = g->out_w, .size = g->size, .stride = 1, .pad = g->size - 1 - g->pad, .out_h = g->h,
                      .out_w = g->w};
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * g->groups * g->m * window * out))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < g->groups; ++c)
            for (int f = c * g->m; f < (c + 1) * g->m; ++f) {
                const float *delta = cp_at(y, b) + f * out, *kernel = weights + f * window;
                float *to = cp_at(x, b) + c * in, turned[MOST_SIZE * MOST_SIZE];
                if (!back_gathers(g)) {
                    backward_plane(g, delta, kernel, to);
                    continue;
                }
                for (size_t i = 0; i < window; ++i) turned[i] = kernel[window - 1 - i];
                gather_plane(&back, delta, turned, true, to);
            }
}

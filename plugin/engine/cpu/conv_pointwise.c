/* 1x1 convolutions of not too many input channels: a product whose sums stay in registers until bias and activation are
 * applied. sgemm copies its operands first and leaves the activation to another pass. And it writes all rows of a strip
 * at once, of planes that may lie a multiple of 4096 bytes apart: those share the few lines of one set of the cache.
 * Here a few rows are written along the strip, then the next ones. */
#include <string.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

enum {
    LANES = 16, COLUMNS = 2 * LANES, ROWS = 8,
    MOST_CHANNELS = 512,
    NEAR = 1 << 12, /* floats of x that stay in the nearest cache */
    STRIP = 512, ROW_BLOCK = 128
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t integers __attribute__((vector_size(LANES * sizeof(int32_t))));

/* y (rows, COLUMNS) = act(A x + bias), or with `add` y += A x. rows, add: constants. */
static inline __attribute__((always_inline)) void tile(int rows, bool add, const float *a, int k, const float *x,
                                                       size_t stride, const float *bias, float slope, float *y)
{
    lanes sum[ROWS][2];
    _Pragma("GCC unroll 8") for (int m = 0; m < rows; ++m)
        _Pragma("GCC unroll 2") for (int j = 0; j < 2; ++j)
            sum[m][j] = add ? *(const lanes *)(y + m * stride + j * LANES) : (lanes){0};
    for (int c = 0; c < k; ++c, x += stride) {
        lanes left = *(const lanes *)x, right = *(const lanes *)(x + LANES);
        _Pragma("GCC unroll 8") for (int m = 0; m < rows; ++m)
        {
            sum[m][0] += a[m * k + c] * left;
            sum[m][1] += a[m * k + c] * right;
        }
    }
    _Pragma("GCC unroll 8") for (int m = 0; m < rows; ++m)
        _Pragma("GCC unroll 2") for (int j = 0; j < 2; ++j)
    {
        if (add) {
            *(lanes *)(y + m * stride + j * LANES) = sum[m][j];
            continue;
        }
        lanes z = sum[m][j] + (bias ? bias[m] : 0), scaled = slope * z;
        integers positive = z > 0;
        *(lanes *)(y + m * stride + j * LANES) = (lanes)((positive & (integers)z) | (~positive & (integers)scaled));
    }
}

/* The same of all columns. The last block overlaps the one before. */
static inline __attribute__((always_inline)) void block_of_rows(int rows, const float *a, int k, const float *x,
                                                                size_t stride,
                                                        int columns, const float *bias, float slope, float *y)
{
    int last = columns - COLUMNS;
    for (int p = 0; p < last; p += COLUMNS) tile(rows, false, a, k, x + p, stride, bias, slope, y + p);
    tile(rows, false, a, k, x + last, stride, bias, slope, y + last);
}

/* y (rows, columns) = act(a (rows, k) x + bias), bias NULL: 0; rows of x and y are `stride` floats apart. */
CP_CLONES static void multiply(const float *a, int rows, int k, const float *x, size_t stride, int columns,
                               const float *bias, float slope, float *y)
{
    int step = NEAR / k / COLUMNS * COLUMNS;
    if (step < COLUMNS) step = COLUMNS;
    for (int p = 0; p < columns; p += step) {
        if (p + step > columns) step = columns - p < COLUMNS ? COLUMNS : columns - p;
        if (p + step > columns) p = columns - step;
        int m = 0;
        for (; m + ROWS <= rows; m += ROWS)
            block_of_rows(ROWS, a + m * k, k, x + p, stride, step, bias ? bias + m : NULL, slope, y + m * stride + p);
        for (; m < rows; ++m)
            block_of_rows(1, a + m * k, k, x + p, stride, step, bias ? bias + m : NULL, slope, y + m * stride + p);
    }
}

/* The `left` < COLUMNS last columns of y += A x, from a whole tile that begins before them. */
static inline __attribute__((always_inline)) void add_last(int rows, const float *a, int k, const float *x, size_t stride,
                                                           int left, float *y)
{
    float saved[ROWS][COLUMNS];
    for (int m = 0; m < rows; ++m) memcpy(saved[m], y + m * stride - (COLUMNS - left), (COLUMNS - left) * sizeof(float));
    tile(rows, true, a, k, x - (COLUMNS - left), stride, NULL, 1, y - (COLUMNS - left));
    for (int m = 0; m < rows; ++m) memcpy(y + m * stride - (COLUMNS - left), saved[m], (COLUMNS - left) * sizeof(float));
}

static inline __attribute__((always_inline)) void add_rows(int rows, const float *a, int k, const float *x, size_t stride,
                                                           int columns, float *y)
{
    int p = 0;
    for (; p + COLUMNS <= columns; p += COLUMNS) tile(rows, true, a, k, x + p, stride, NULL, 1, y + p);
    if (p < columns) add_last(rows, a, k, x + p, stride, columns - p, y + p);
}

/* y += a x */
CP_CLONES static void multiply_add(const float *a, int rows, int k, const float *x, size_t stride, int columns, float *y)
{
    int step = NEAR / k / COLUMNS * COLUMNS;
    if (step < COLUMNS) step = COLUMNS;
    for (int p = 0; p < columns; p += step) {
        int some = columns - p < step ? columns - p : step, m = 0;
        for (; m + ROWS <= rows; m += ROWS) add_rows(ROWS, a + m * k, k, x + p, stride, some, y + m * stride + p);
        for (; m < rows; ++m) add_rows(1, a + m * k, k, x + p, stride, some, y + m * stride + p);
    }
}

/* Strips of long planes, blocks of rows of short ones: as many parts as threads can have something to do with. */
static void gather(const cp_window *g, const float *weights, int n, cp_batch x, cp_batch y, bool add, const float *bias,
                   ACTIVATION activation)
{
    float slope = activation == RELU ? 0 : activation == LEAKY ? .1f : activation == RELIE ? .01f : 1;
    int positions = g->out_h * g->out_w, strips = (positions + STRIP - 1) / STRIP;
    int rows = strips > 1 ? g->m : g->m >= 2 * ROW_BLOCK ? ROW_BLOCK : (g->m + 1) / 2, blocks = (g->m + rows - 1) / rows;
#pragma omp parallel for collapse(4) schedule(dynamic) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int b = 0; b < n; ++b)
        for (int group = 0; group < g->groups; ++group)
            for (int s = 0; s < strips; ++s)
                for (int r = 0; r < blocks; ++r) {
                    int p0 = (int)((long)positions * s / strips), p1 = (int)((long)positions * (s + 1) / strips);
                    int m0 = r * rows, m = g->m - m0 < rows ? g->m - m0 : rows, row = group * g->m + m0;
                    const float *a = weights + (size_t)row * g->c, *from = cp_at(x, b) + (size_t)group * g->c * positions + p0;
                    float *to = cp_at(y, b) + (size_t)row * positions + p0;
                    if (add) multiply_add(a, m, g->c, from, positions, p1 - p0, to);
                    else multiply(a, m, g->c, from, positions, p1 - p0, bias ? bias + row : NULL, slope, to);
                }
}

/* The sums of a tile fill the registers of AVX-512; with fewer sgemm is faster. */
static bool fits(const cp_product *p)
{
    cp_window g = cp_gather_window(p);
    ACTIVATION a = p->backward ? LINEAR : p->activation;
    return cp_is_pointwise(&p->window) && g.c <= MOST_CHANNELS && g.out_h * g.out_w >= COLUMNS && cp_has_avx512() &&
           (a == LINEAR || a == RELU || a == LEAKY || a == RELIE);
}

static cp_status offer(cp_product *p)
{
    cp_window g = cp_gather_window(p);
    p->cost = .999 * cp_gather_cost(&g); /* as fast or faster, and no pass for the activation */
    if (p->backward) p->bytes = sizeof(float) * g.groups * g.m * g.c;
    return CP_OK;
}

static cp_status load(cp_product *p) { return p->backward ? cp_turned_weights(p, (float **)&p->own) : CP_OK; }

static void forward(const cp_product *p, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                    const cp_scratch *scratch)
{
    (void)scratch;
    gather(&p->window, p->weights, n, x, y, false, bias, activation);
}

static void backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    const cp_window g = cp_gather_window(p);
    (void)scratch;
    gather(&g, p->own, n, y, x, !fresh, NULL, LINEAR);
}

const cp_kernel cp_conv_pointwise = {.name = "pointwise", .even = true, .fits = fits, .open = offer, .load = load,
                                       .forward = forward, .backward = backward};

/* 1x1 convolutions of not too many input channels: a product whose sums stay in registers until bias and activation are
 * applied. sgemm copies its operands first and leaves the activation to another pass. And it writes all rows of a strip
 * at once, of planes that may lie a multiple of 4096 bytes apart: those share the few lines of one set of the cache.
 * Here a few rows are written along the strip, then the next ones. */
#include <string.h>

#include "engine/cpu/conv.h"

enum {
    LANES = 16, COLUMNS = 2 * LANES, ROWS = 8,
    MOST_CHANNELS = 512,
    NEAR = 1 << 12 /* floats of x that stay in the nearest cache */
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t integers __attribute__((vector_size(LANES * sizeof(int32_t))));

/* The sums of a tile fill the registers of AVX-512; with fewer sgemm is faster. */
static bool has_registers(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx512f");
#else
    return false;
#endif
}

bool cp_pointwise_fits(const cp_window *g, int columns, ACTIVATION activation)
{
    return cp_is_pointwise(g) && g->c <= MOST_CHANNELS && columns >= COLUMNS && has_registers() &&
           (activation == LINEAR || activation == RELU || activation == LEAKY || activation == RELIE);
}

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

CP_CLONES void cp_pointwise(const float *a, int rows, int k, const float *x, size_t stride, int columns,
                            const float *bias, ACTIVATION activation, float *y)
{
    float slope = activation == RELU ? 0 : activation == LEAKY ? .1f : activation == RELIE ? .01f : 1;
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

CP_CLONES void cp_pointwise_add(const float *a, int rows, int k, const float *x, size_t stride, int columns, float *y)
{
    int step = NEAR / k / COLUMNS * COLUMNS;
    if (step < COLUMNS) step = COLUMNS;
    for (int p = 0; p < columns; p += step) {
        int some = columns - p < step ? columns - p : step, m = 0;
        for (; m + ROWS <= rows; m += ROWS) add_rows(ROWS, a + m * k, k, x + p, stride, some, y + m * stride + p);
        for (; m < rows; ++m) add_rows(1, a + m * k, k, x + p, stride, some, y + m * stride + p);
    }
}

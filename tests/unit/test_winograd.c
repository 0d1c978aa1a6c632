/* Winograd's tiles against the sums themselves, in double, at shapes that no tile and no vector divides; every kernel of the
 * products against the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/cpu/conv_winograd.c" /* its kernels are static */

static uint32_t state = 1;
static float any(void) { return (float)(int32_t)(state = state * 1664525 + 1013904223) / 2147483648.f; }

static float *some(size_t n, bool random)
{
    float *x = aligned_alloc(64, round_up(n, LANES) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; ++i) x[i] = random ? any() : NAN;
    return x;
}

/* The band of rows first.. of an image (C,H,W), as conv.h says. */
static float *band_of(const cp_window *g, const float *image, int first, int in_rows)
{
    size_t blocks = round_up(g->c, LANES) / LANES;
    float *band = calloc(blocks * in_rows * g->w * LANES, sizeof *band);
    assert_non_null(band);
    for (int c = 0; c < g->c; ++c)
        for (int y = 0; y < in_rows; ++y)
            for (int x = 0; x < g->w && first + y >= 0 && first + y < g->h; ++x)
                band[(((size_t)(c / LANES) * in_rows + y) * g->w + x) * LANES + c % LANES] =
                    image[((size_t)c * g->h + first + y) * g->w + x];
    return band;
}

static double sum_at(const cp_window *g, const float *weights, const float *image, int m, int y, int x)
{
    double sum = 0;
    for (int c = 0; c < g->c; ++c)
        for (int k = 0; k < 9; ++k) {
            int row = y + k / 3 - g->pad, column = x + k % 3 - g->pad;
            if (row < 0 || row >= g->h || column < 0 || column >= g->w) continue;
            sum += (double)weights[((size_t)m * g->c + c) * 9 + k] * image[((size_t)c * g->h + row) * g->w + column];
        }
    return sum;
}

static void check_band(const cp_window *g, int tile, int first, int rows)
{
    float *weights = some((size_t)g->m * g->c * 9, true), *image = some((size_t)g->c * g->h * g->w, true);
    float *x = band_of(g, image, first - g->pad, rows + 2);
    size_t blocks = round_up(g->m, LANES) / LANES;
    float *u = some(cp_winograd_weights(g, tile), false), *scratch = some(cp_winograd_scratch(g, tile, rows), false);
    float *y = some(blocks * rows * g->out_w * LANES, false);
    cp_winograd_load(g, tile, weights, u);
    cp_winograd_band(g, tile, rows, u, x, y, scratch);
    double limit = 2e-6 * 9 * sqrt(g->c) * (tile == 4 ? 4 : 1);
    for (int m = 0; m < g->m; ++m)
        for (int row = 0; row < rows && first + row < g->out_h; ++row)
            for (int column = 0; column < g->out_w; ++column) {
                double found = y[(((size_t)(m / LANES) * rows + row) * g->out_w + column) * LANES + m % LANES];
                double expected = sum_at(g, weights, image, m, first + row, column);
                if (!(fabs(found - expected) <= limit))
                    fail_msg("tile %d, channel %d, row %d, column %d: %.8g, not %.8g", tile, m, first + row, column, found,
                             expected);
            }
    free(weights), free(image), free(x), free(u), free(scratch), free(y);
}

static cp_window window_of(int c, int m, int h, int w, int pad)
{
    return (cp_window){.c = c, .h = h, .w = w, .m = m, .size = 3, .stride = 1, .pad = pad, .out_h = h + 2 * pad - 2,
                       .out_w = w + 2 * pad - 2, .groups = 1};
}

static void test_bands(void **unused)
{
    (void)unused;
    static const int shapes[][5] = {{1, 1, 3, 3, 1}, {16, 32, 8, 8, 1}, {5, 7, 9, 11, 1}, {33, 49, 13, 6, 1},
                                    {17, 40, 10, 61, 1}, {3, 18, 7, 5, 0}, {20, 3, 6, 7, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
        for (int tile = 2; tile <= 4; tile += 2) {
            const int *s = shapes[i];
            cp_window g = window_of(s[0], s[1], s[2], s[3], s[4]);
            for (int first = 0; first < g.out_h; first += 4) check_band(&g, tile, first, 4);
            check_band(&g, tile, 0, (g.out_h + tile - 1) / tile * tile);
        }
}

static void check_kernel(kernel k)
{
    enum { C = 37 };
    float *v = some(WIDE_TILES * (C + 3), true), *u = some(C * PANEL, true), *y = some(WIDE_TILES * PANEL, false);
    for (int tiles = 1; tiles <= k.most_tiles; ++tiles) {
        k.multiply(tiles, v, C + 3, u, C, y);
        for (int t = 0; t < tiles; ++t)
            for (int m = 0; m < PANEL; ++m) {
                double expected = 0;
                for (int c = 0; c < C; ++c) expected += (double)v[t * (C + 3) + c] * u[c * PANEL + m];
                assert_true(fabs(y[t * PANEL + m] - expected) < 1e-5);
            }
    }
    free(v), free(u), free(y);
}

static void test_kernels(void **unused)
{
    (void)unused;
    check_kernel((kernel){multiply_plain, NARROW_TILES});
    check_kernel(best_kernel());
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        check_kernel((kernel){multiply_avx2, NARROW_TILES});
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bands), cmocka_unit_test(test_kernels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

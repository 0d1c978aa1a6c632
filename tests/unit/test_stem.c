/* The data gradient of a convolution of few input channels against the loop over its taps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu/conv.h"

static uint32_t random_state = 5;
static float draw(void) { return (float)((random_state = random_state * 1664525u + 1013904223u) >> 8) / (1 << 23) - 1; }

static void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; ++i) x[i] = draw();
}

static void add_by_loops(const cp_window *g, const float *weights, const float *y, double *x)
{
    for (int m = 0; m < g->m; ++m)
        for (int oy = 0; oy < g->out_h; ++oy)
            for (int ox = 0; ox < g->out_w; ++ox)
                for (int c = 0; c < g->c; ++c)
                    for (int k = 0; k < g->size * g->size; ++k) {
                        int iy = oy * g->stride + k / g->size - g->pad, ix = ox * g->stride + k % g->size - g->pad;
                        if (iy < 0 || ix < 0 || iy >= g->h || ix >= g->w) continue;
                        x[(c * g->h + iy) * g->w + ix] += (double)y[(m * g->out_h + oy) * g->out_w + ox] *
                                                          weights[(m * g->c + c) * g->size * g->size + k];
                    }
}

static void check(int c, int h, int w, int m, int size, int stride, int pad, int images, bool fresh)
{
    cp_window g = {.c = c, .h = h, .w = w, .m = m, .size = size, .stride = stride, .pad = pad, .groups = 1,
                   .out_h = (h + 2 * pad - size) / stride + 1, .out_w = (w + 2 * pad - size) / stride + 1};
    size_t in = (size_t)c * h * w, out = (size_t)m * g.out_h * g.out_w, n_weights = (size_t)m * c * size * size;
    float *weights = malloc(n_weights * sizeof *weights), *y = malloc(images * out * sizeof *y);
    float *x = malloc(images * in * sizeof *x);
    double *expected = calloc(images * in, sizeof *expected);
    cp_stem *stem;
    assert_true(cp_stem_fits(&g));
    fill(weights, n_weights), fill(y, images * out), fill(x, images * in);
    for (size_t i = 0; i < images * in; ++i) expected[i] = fresh ? 0 : x[i];
    for (int b = 0; b < images; ++b) add_by_loops(&g, weights, y + b * out, expected + b * in);
    assert_int_equal(cp_stem_prepare(&g, weights, &stem), CP_OK);
    size_t scratch_floats = cp_stem_scratch(&g, stem);
    float *one = malloc(images * in * sizeof *one);
    memcpy(one, x, images * in * sizeof *one);
    for (int threads = 1; threads < 4; threads += 2) {
        float *to = threads == 1 ? one : x;
        cp_scratch scratch = {malloc(threads * scratch_floats * sizeof(float)), scratch_floats, threads, NULL};
        cp_set_threads(threads);
        cp_stem_backward(&g, stem, images, (cp_batch){y, out}, (cp_batch){to, in}, fresh, &scratch);
        free(scratch.thread);
    }
    cp_set_threads(0);
    assert_memory_equal(one, x, images * in * sizeof *x);
    for (size_t i = 0; i < images * in; ++i)
        if (!(x[i] - expected[i] < 1e-4 && expected[i] - x[i] < 1e-4))
            fail_msg("%dx%d of %d, %d filters of %d, stride %d, pad %d: input %zu is %g, not %g", h, w, c, m, size, stride, pad,
                     i, (double)x[i], expected[i]);
    cp_stem_free(stem);
    free(weights), free(y), free(x), free(one), free(expected);
}

static void test_shapes(void **state)
{
    (void)state;
    for (int c = 1; c <= 4; ++c)
        for (int stride = 1; stride <= 4; ++stride)
            for (int size = stride < 2 ? 2 : stride; size <= 7; ++size)
                for (int pad = 0; pad <= size / 2; ++pad)
                    check(c, 19 + stride, 23 + pad, 3 + c, size, stride, pad, 1 + size % 2, (c + pad) % 2);
    check(3, 97, 131, 64, 3, 2, 1, 2, true); /* several bands, tiles and threads */
    check(3, 227, 227, 8, 11, 4, 0, 1, true);
    check(3, 70, 201, 16, 7, 2, 3, 1, false);
}

/* A gradient of zeros is zeros, bit by bit: what a response does not see it does not read. */
static void test_zeros(void **state)
{
    (void)state;
    cp_window g = {.c = 3, .h = 64, .w = 64, .m = 16, .size = 3, .stride = 2, .pad = 1, .groups = 1, .out_h = 32, .out_w = 32};
    enum { IN = 3 * 64 * 64, OUT = 16 * 32 * 32, WEIGHTS = 16 * 3 * 9 };
    float *weights = malloc(WEIGHTS * sizeof *weights), *y = calloc(OUT, sizeof *y), *x = malloc(IN * sizeof *x);
    cp_stem *stem;
    fill(weights, WEIGHTS), fill(x, IN);
    y[16 * 32 + 16] = 1;
    assert_int_equal(cp_stem_prepare(&g, weights, &stem), CP_OK);
    cp_scratch scratch = {malloc(cp_stem_scratch(&g, stem) * sizeof(float)), 0, 1, NULL};
    cp_set_threads(1);
    cp_stem_backward(&g, stem, 1, (cp_batch){y, OUT}, (cp_batch){x, IN}, true, &scratch);
    cp_set_threads(0);
    for (int i = 0; i < IN; ++i) {
        int row = i / 64 % 64, column = i % 64;
        assert_int_equal(x[i] != 0, row >= 31 && row < 34 && column >= 31 && column < 34);
    }
    cp_stem_free(stem);
    free(scratch.thread), free(weights), free(y), free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_zeros)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Equal windows, found by brute force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/cpu/conv.h"

static bool same_window(const cp_window *g, const float *x, int a, int b)
{
    for (int c = 0; c < g->c; c++)
        for (int k = 0; k < g->size * g->size; k++) {
            float v[2];
            for (int side = 0; side < 2; side++) {
                int p = side ? b : a, y = p / g->out_w * g->stride - g->pad + k / g->size,
                    at = p % g->out_w * g->stride - g->pad + k % g->size;
                v[side] = y < 0 || at < 0 || y >= g->h || at >= g->w ? 0 : x[(c * g->h + y) * g->w + at];
            }
            if (v[0] != v[1])
                return false;
        }
    return true;
}

/* Outputs are their own numbers: those of equal windows, and no others, become that of the first. */
static void check_shape(cp_window g, int values, unsigned seed)
{
    int in = g.h * g.w, out = g.out_h * g.out_w;
    float *x = malloc(sizeof *x * (size_t)(g.c * in)), *y = malloc(sizeof *y * (size_t)(g.m * out));
    uint32_t *work = malloc(sizeof *work * cp_equal_windows_work(&g));
    assert_true(x && y && work);
    for (int i = 0; i < g.c * in; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 16) / 65536 < .85f ? (seed & 1 << 20 ? -0.f : 0) : (float)((int)(seed >> 8) % values);
    }
    for (int i = 0; i < g.m * out; i++)
        y[i] = (float)i;
    cp_equal_windows(&g, 1, (cp_batch){x, 0}, (cp_batch){y, 0}, work);
    for (int p = 0; p < out; p++) {
        int first = 0;
        bool zero = true;
        while (!same_window(&g, x, first, p))
            first++;
        for (int k = 0; k < g.size * g.size; k++)
            for (int c = 0; c < g.c; c++) {
                int iy = p / g.out_w * g.stride - g.pad + k / g.size, ix = p % g.out_w * g.stride - g.pad + k % g.size;
                zero &= iy < 0 || ix < 0 || iy >= g.h || ix >= g.w || x[(c * g.h + iy) * g.w + ix] == 0;
            }
        for (int m = 0; m < g.m; m++) /* a window of zeros is left: every kernel gives 0 there */
            if (y[m * out + p] != (float)(m * out + (zero ? p : first)))
                fail_msg("position %d of filter %d has %g, its window is first seen at %d", p, m, y[m * out + p], first);
    }
    free(x), free(y), free(work);
}

static void test_first_of_equals(void **unused)
{
    (void)unused;
    check_shape((cp_window){.c = 1, .h = 17, .w = 23, .m = 3, .size = 3, .stride = 1, .stride_y = 1, .dilation = 1,
                            .pad = 1, .out_h = 17, .out_w = 23, .groups = 1},
                3, 1);
    check_shape((cp_window){.c = 2, .h = 30, .w = 41, .m = 2, .size = 3, .stride = 2, .stride_y = 2, .dilation = 1,
                            .pad = 1, .out_h = 15, .out_w = 21, .groups = 1},
                2, 2);
    check_shape((cp_window){.c = 3, .h = 20, .w = 20, .m = 2, .size = 1, .stride = 1, .stride_y = 1, .dilation = 1,
                            .pad = 0, .out_h = 20, .out_w = 20, .groups = 1},
                4, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_of_equals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every product of Winograd's tiles against plain loops, those for other machines' vectors too. The rows of the table are in
 * test_conv_kernels.c. */
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
    if (cp_has_avx2())
        check_kernel((kernel){multiply_avx2, NARROW_TILES});
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

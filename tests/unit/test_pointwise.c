/* Products of 1x1 convolutions against plain loops in double precision; nothing beside the columns is written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu/conv.h"

static const struct {
    int rows, k, columns, stride;
} shapes[] = {{8, 1, 32, 32},     {16, 16, 512, 1600}, {48, 8, 512, 25600}, {1, 7, 33, 40},    {7, 32, 100, 100},
              {255, 96, 100, 100}, {9, 5, 4097, 4100},  {13, 512, 63, 64},   {24, 130, 95, 96}, {8, 4096, 40, 40}};

static uint32_t state = 1;

static float *drawn(size_t n)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; ++i) x[i] = (float)((state = state * 1664525u + 1013904223u) >> 8) / (1 << 23) - 1;
    return x;
}

static double act(double z, ACTIVATION activation)
{
    return z > 0 || activation == LINEAR ? z : activation == LEAKY ? .1 * z : activation == RELIE ? .01 * z : 0;
}

static void check_shape(size_t i, const float *bias, ACTIVATION activation)
{
    int rows = shapes[i].rows, k = shapes[i].k, columns = shapes[i].columns;
    size_t stride = (size_t)shapes[i].stride;
    float *a = drawn((size_t)rows * k), *x = drawn(k * stride), *y = drawn(rows * stride),
        *before = malloc(rows * stride * 4);
    assert_non_null(before);
    memcpy(before, y, rows * stride * sizeof *y);
    cp_pointwise(a, rows, k, x, stride, columns, bias, activation, y);
    for (int m = 0; m < rows; ++m)
        for (size_t p = 0; p < stride; ++p) {
            double z = bias ? bias[m] : 0, found = y[m * stride + p];
            for (int c = 0; c < k; ++c) z += (double)a[m * k + c] * x[c * stride + p];
            double expected = p < (size_t)columns ? act(z, activation) : before[m * stride + p];
            if (!(fabs(found - expected) <= (p < (size_t)columns ? 2e-5 * sqrt(k) : 0)))
                fail_msg("shape %zu, row %d, column %zu: %g, expected %g", i, m, p, found, expected);
        }
    free(a), free(x), free(y), free(before);
}

static void check_sum(size_t i)
{
    int rows = shapes[i].rows, k = shapes[i].k, columns = shapes[i].columns;
    size_t stride = (size_t)shapes[i].stride;
    float *a = drawn((size_t)rows * k), *x = drawn(k * stride), *y = drawn(rows * stride),
        *before = malloc(rows * stride * 4);
    assert_non_null(before);
    memcpy(before, y, rows * stride * sizeof *y);
    cp_pointwise_add(a, rows, k, x, stride, columns, y);
    for (int m = 0; m < rows; ++m)
        for (size_t p = 0; p < stride; ++p) {
            double sum = before[m * stride + p];
            for (int c = 0; c < k && p < (size_t)columns; ++c) sum += (double)a[m * k + c] * x[c * stride + p];
            if (!(fabs(y[m * stride + p] - sum) <= (p < (size_t)columns ? 2e-5 * sqrt(k) : 0)))
                fail_msg("shape %zu, row %d, column %zu: %g, expected %g", i, m, p, (double)y[m * stride + p], sum);
        }
    free(a), free(x), free(y), free(before);
}

static void test_products(void **unused)
{
    (void)unused;
    static const ACTIVATION activations[] = {LINEAR, RELU, LEAKY, RELIE};
    float *bias = drawn(300);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        check_sum(i);
        check_shape(i, NULL, LINEAR);
        check_shape(i, bias, activations[i % 4]);
    }
    free(bias);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Depthwise convolution and its data gradient against plain loops in double precision, over shapes that take every way
 * through the bands: narrow and wide, several bands, windows larger than their planes, strides that leave gaps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

enum { GUARD = 16 };
static const float untouched = 12345;

static const struct {
    int groups, m, h, w, size, stride, pad;
} shapes[] = {
    {3, 1, 10, 10, 3, 1, 1},  {2, 1, 20, 20, 3, 1, 1},  {2, 1, 33, 40, 3, 1, 1},   {2, 1, 160, 160, 3, 1, 1},
    {2, 1, 160, 160, 3, 2, 1}, {2, 1, 21, 20, 3, 2, 1}, {3, 1, 20, 21, 5, 1, 1},   {3, 1, 36, 37, 5, 1, 2},
    {2, 1, 7, 7, 7, 1, 3},    {2, 1, 40, 33, 9, 1, 4},  {2, 1, 40, 33, 11, 2, 5},  {2, 3, 12, 17, 3, 1, 1},
    {2, 2, 34, 34, 3, 2, 1},  {2, 2, 40, 40, 3, 1, 0},  {2, 1, 19, 18, 3, 3, 1},   {2, 1, 23, 23, 2, 3, 0},
    {2, 1, 5, 3, 3, 1, 1},    {2, 1, 1, 1, 3, 1, 1},    {2, 1, 2, 1, 5, 2, 2},     {2, 1, 16, 16, 1, 1, 0},
    {2, 1, 9, 9, 1, 2, 0},    {2, 1, 6, 6, 3, 1, 3},    {2, 1, 8, 60, 3, 2, 4},    {2, 1, 3, 5000, 3, 1, 1},
    {2, 1, 20, 18, 4, 2, 1},  {2, 1, 17, 15, 7, 4, 3},
};

static uint32_t state = 1;

static float draw(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / (1 << 23) - 1;
}

static float *drawn(size_t n)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; ++i) x[i] = draw();
    return x;
}

static cp_window window_of(size_t i)
{
    cp_window g = {.c = 1, .h = shapes[i].h, .w = shapes[i].w, .m = shapes[i].m, .size = shapes[i].size,
                   .stride = shapes[i].stride, .pad = shapes[i].pad, .groups = shapes[i].groups};
    g.out_h = (g.h + 2 * g.pad - g.size) / g.stride + 1;
    g.out_w = (g.w + 2 * g.pad - g.size) / g.stride + 1;
    return g;
}

/* As large as it must be and no larger, and full of what must not get into a sum. */
static cp_scratch scratch_for(const cp_window *g)
{
    cp_scratch scratch = {.per_thread = cp_depthwise_scratch(g), .threads = 1};
    scratch.thread = malloc(scratch.per_thread * sizeof(float));
    assert_non_null(scratch.thread);
    for (size_t i = 0; i < scratch.per_thread; ++i) scratch.thread[i] = NAN;
    return scratch;
}

/* to[f] (out) += weights * from[c] (in), or the other way round. */
static void reference(const cp_window *g, const float *weights, const float *from, bool back, double *to)
{
    for (int f = 0; f < g->groups * g->m; ++f)
        for (int oy = 0; oy < g->out_h; ++oy)
            for (int ox = 0; ox < g->out_w; ++ox)
                for (int ky = 0; ky < g->size; ++ky)
                    for (int kx = 0; kx < g->size; ++kx) {
                        int iy = oy * g->stride + ky - g->pad, ix = ox * g->stride + kx - g->pad;
                        if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w) continue;
                        size_t in = ((size_t)(f / g->m) * g->h + iy) * g->w + ix;
                        size_t out = ((size_t)f * g->out_h + oy) * g->out_w + ox;
                        double w = weights[(f * g->size + ky) * g->size + kx];
                        if (back) to[in] += w * from[out];
                        else to[out] += w * from[in];
                    }
}

static void compare(size_t shape, const char *what, const float *found, const double *expected, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (!(fabs(found[i] - expected[i]) <= 1e-5 * (1 + fabs(expected[i]))))
            fail_msg("shape %zu, %s: %zu is %g, the plain loop has %g", shape, what, i, (double)found[i], expected[i]);
    for (size_t i = n; i < n + GUARD; ++i)
        if (found[i] != untouched) fail_msg("shape %zu, %s: %zu floats beyond the end are written", shape, what,
                                            i - n + 1);
}

static float *guarded(size_t n)
{
    float *y = drawn(n + GUARD);
    for (size_t i = n; i < n + GUARD; ++i) y[i] = untouched;
    return y;
}

static void test_forward(void **unused)
{
    (void)unused;
    static const ACTIVATION activations[] = {LINEAR, LEAKY, RELU, LOGISTIC};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i)
        for (int a = 0; a < 4; ++a) {
            cp_window g = window_of(i);
            size_t filters = (size_t)g.groups * g.m, in = (size_t)g.groups * g.h * g.w,
                out = filters * g.out_h * g.out_w;
            float *x = drawn(in), *weights = drawn(filters * g.size * g.size), *bias = drawn(filters),
                *y = guarded(out);
            double *expected = calloc(out, sizeof *expected);
            cp_scratch scratch = scratch_for(&g);
            cp_depthwise_forward(&g, weights, 1, (cp_batch){x, in}, (cp_batch){y, out}, bias, activations[a], &scratch);
            reference(&g, weights, x, false, expected);
            for (size_t k = 0; k < out; ++k) {
                double z = expected[k] + bias[k / ((size_t)g.out_h * g.out_w)];
                expected[k] = a == 0 ? z : a == 1 ? (z > 0 ? z : .1 * z) : a == 2 ? (z > 0 ? z : 0) : 1 / (1 + exp(-z));
            }
            compare(i, "forward", y, expected, out);
            free(x), free(weights), free(bias), free(y), free(expected), free(scratch.thread);
        }
}

static void backward(bool fresh, const char *what)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        cp_window g = window_of(i);
        size_t filters = (size_t)g.groups * g.m, in = (size_t)g.groups * g.h * g.w, out = filters * g.out_h * g.out_w;
        float *delta = drawn(out), *weights = drawn(filters * g.size * g.size), *x = guarded(in);
        double *expected = calloc(in, sizeof *expected);
        cp_scratch scratch = scratch_for(&g);
        for (size_t k = 0; k < in && !fresh; ++k) expected[k] = x[k];
        for (size_t k = 0; k < in && fresh; ++k) x[k] = NAN;
        cp_depthwise_backward(&g, weights, 1, (cp_batch){delta, out}, (cp_batch){x, in}, fresh, &scratch);
        reference(&g, weights, delta, true, expected);
        compare(i, what, x, expected, in);
        free(delta), free(weights), free(x), free(expected), free(scratch.thread);
    }
}

static void test_backward_adds(void **unused)
{
    (void)unused;
    backward(false, "gradient, added");
}

static void test_backward_writes(void **unused)
{
    (void)unused;
    backward(true, "gradient, written");
}

int main(void)
{
    cp_set_threads(1); /* the scratch is one thread's */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward_adds),
        cmocka_unit_test(test_backward_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every row of the table of kernels against the plain loops, and these against the definition: over shapes that take every
 * way through strips, bands, tiles and blocks; forward with bias and activation, data gradients written and added. Nothing
 * beyond the end is written, scratch has no float more than was asked for, zeros stay zeros, and any number of threads gives
 * the same bytes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

enum { GUARD = 16, IMAGES = 2, THREADS = 3 };
static const float untouched = 12345;

static const struct {
    int groups, c, m, h, w, size, stride, stride_y, pad, dilation;
} shapes[] = {
    /* whole layers, of few and of many positions; strides, no pad, more than "same", even sizes, gaps between windows */
    {1, 3, 16, 40, 40, 3, 1, 1, 1, 1},   {1, 16, 32, 8, 8, 3, 1, 1, 1, 1},    {1, 5, 7, 9, 11, 3, 1, 1, 1, 1},
    {1, 33, 49, 13, 6, 3, 1, 1, 1, 1},   {1, 17, 40, 10, 61, 3, 1, 1, 1, 1},  {1, 3, 18, 7, 5, 3, 1, 1, 0, 1},
    {1, 20, 3, 6, 7, 3, 1, 1, 2, 1},     {1, 64, 24, 30, 31, 3, 1, 1, 1, 1},  {1, 1, 1, 3, 3, 3, 1, 1, 1, 1},
    {1, 8, 12, 33, 35, 3, 2, 2, 1, 1},   {1, 4, 6, 21, 20, 5, 2, 2, 2, 1},    {1, 6, 5, 12, 14, 5, 1, 1, 2, 1},
    {1, 3, 8, 30, 28, 7, 2, 2, 3, 1},    {1, 4, 4, 11, 12, 2, 1, 1, 0, 1},    {1, 4, 5, 23, 23, 2, 3, 3, 0, 1},
    {1, 3, 24, 67, 131, 3, 2, 2, 1, 1},  {1, 3, 8, 67, 227, 11, 4, 4, 0, 1},  {1, 2, 16, 40, 201, 7, 2, 2, 3, 1},
    {1, 4, 9, 21, 23, 4, 3, 3, 1, 1},    {1, 3, 40, 9, 9, 4, 2, 2, 1, 1},
    {1, 40, 300, 7, 7, 3, 1, 1, 1, 1},   {1, 40, 260, 14, 14, 3, 1, 1, 1, 1},
    /* 1x1 */
    {1, 16, 16, 40, 40, 1, 1, 1, 0, 1},  {1, 8, 48, 70, 70, 1, 1, 1, 0, 1},   {1, 7, 1, 3, 11, 1, 1, 1, 0, 1},
    {1, 32, 255, 10, 10, 1, 1, 1, 0, 1}, {1, 512, 13, 7, 9, 1, 1, 1, 0, 1},   {1, 600, 9, 8, 8, 1, 1, 1, 0, 1},
    {1, 5, 300, 4, 8, 1, 1, 1, 0, 1},    {1, 6, 9, 12, 13, 1, 2, 2, 0, 1},    {1, 6, 9, 5, 5, 1, 1, 1, 1, 1},
    {2, 9, 10, 8, 9, 1, 1, 1, 0, 1},
    /* two strides, dilation */
    {1, 4, 6, 20, 22, 3, 1, 2, 1, 1},    {1, 4, 6, 20, 22, 3, 2, 1, 1, 1},    {1, 3, 5, 17, 15, 3, 1, 1, 2, 2},
    {1, 3, 5, 40, 42, 3, 2, 2, 4, 4},    {2, 3, 4, 24, 25, 3, 1, 1, 3, 3},    {3, 1, 1, 19, 21, 3, 1, 1, 2, 2},
    {1, 2, 3, 10, 9, 1, 1, 2, 0, 1},     {2, 2, 3, 33, 31, 5, 3, 2, 4, 2},
    /* groups */
    {4, 4, 4, 14, 14, 3, 1, 1, 1, 1},    {3, 5, 6, 28, 30, 3, 2, 2, 1, 1},    {2, 8, 3, 9, 40, 5, 1, 1, 2, 1},
    {2, 32, 32, 7, 7, 3, 1, 1, 1, 1},    {2, 40, 33, 8, 8, 3, 1, 1, 1, 1},    {2, 3, 3, 17, 15, 7, 4, 4, 3, 1},
    {2, 2, 5, 12, 12, 2, 3, 3, 0, 1},
    /* one input channel per group: narrow, wide, several bands, windows larger than their planes, gaps */
    {3, 1, 1, 10, 10, 3, 1, 1, 1, 1},    {2, 1, 1, 33, 40, 3, 1, 1, 1, 1},    {2, 1, 1, 160, 160, 3, 1, 1, 1, 1},
    {2, 1, 1, 160, 160, 3, 2, 2, 1, 1},  {2, 1, 1, 21, 20, 3, 2, 2, 1, 1},    {3, 1, 1, 20, 21, 5, 1, 1, 1, 1},
    {3, 1, 1, 36, 37, 5, 1, 1, 2, 1},    {2, 1, 1, 7, 7, 7, 1, 1, 3, 1},      {2, 1, 1, 40, 33, 9, 1, 1, 4, 1},
    {2, 1, 1, 40, 33, 11, 2, 2, 5, 1},   {2, 1, 3, 12, 17, 3, 1, 1, 1, 1},    {2, 1, 2, 34, 34, 3, 2, 2, 1, 1},
    {2, 1, 2, 40, 40, 3, 1, 1, 0, 1},    {2, 1, 1, 19, 18, 3, 3, 3, 1, 1},    {2, 1, 1, 23, 23, 2, 3, 3, 0, 1},
    {2, 1, 1, 5, 3, 3, 1, 1, 1, 1},      {2, 1, 1, 1, 1, 3, 1, 1, 1, 1},      {2, 1, 1, 2, 1, 5, 2, 2, 2, 1},
    {2, 1, 1, 16, 16, 1, 1, 1, 0, 1},    {2, 1, 1, 9, 9, 1, 2, 2, 0, 1},      {2, 1, 1, 6, 6, 3, 1, 1, 3, 1},
    {2, 1, 1, 8, 60, 3, 2, 2, 4, 1},     {2, 1, 1, 3, 5000, 3, 1, 1, 1, 1},   {2, 1, 1, 20, 18, 4, 2, 2, 1, 1},
    {2, 1, 1, 17, 15, 7, 4, 4, 3, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };
static const ACTIVATION activations[] = {LINEAR, RELU, LEAKY, RELIE, LOGISTIC};

static uint32_t state = 1;

static float *drawn(size_t n)
{
    float *x = malloc((n + GUARD) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; ++i) x[i] = (float)((state = state * 1664525u + 1013904223u) >> 8) / (1 << 23) - 1;
    for (size_t i = n; i < n + GUARD; ++i) x[i] = untouched;
    return x;
}

static cp_window window_of(size_t i)
{
    cp_window g = {.groups = shapes[i].groups, .c = shapes[i].c, .m = shapes[i].m, .h = shapes[i].h, .w = shapes[i].w,
                   .size = shapes[i].size, .stride = shapes[i].stride, .stride_y = shapes[i].stride_y,
                   .pad = shapes[i].pad, .dilation = shapes[i].dilation};
    int reach = (g.size - 1) * g.dilation + 1;
    g.out_h = (g.h + 2 * g.pad - reach) / g.stride_y + 1;
    g.out_w = (g.w + 2 * g.pad - reach) / g.stride + 1;
    return g;
}

static size_t inputs_of(const cp_window *g) { return (size_t)g->groups * g->c * g->h * g->w; }
static size_t outputs_of(const cp_window *g) { return (size_t)g->groups * g->m * g->out_h * g->out_w; }

/* As large as it must be, and full of what must not get into a sum. */
static cp_scratch scratch_for(const cp_product *p)
{
    cp_scratch scratch = {.per_thread = p->per_thread, .threads = THREADS};
    scratch.thread = malloc(THREADS * p->per_thread * sizeof(float) + 1);
    scratch.shared = malloc(p->shared * sizeof(float) + 1);
    assert_true(scratch.thread && scratch.shared);
    for (size_t i = 0; i < THREADS * p->per_thread; ++i) scratch.thread[i] = NAN;
    for (size_t i = 0; i < p->shared; ++i) scratch.shared[i] = NAN;
    return scratch;
}

/* One product of one shape. */
typedef struct {
    size_t shape;
    cp_product of;
    const float *from, *bias;
    bool fresh;
    const char *what;
} task;

/* to (IMAGES, n) by a kernel. Returns whether it fits. */
static bool run(const task *t, const cp_kernel *kernel, int threads, size_t from_floats, size_t n, float *to)
{
    cp_product p;
    cp_batch from = {(float *)t->from, from_floats}, out = {to, n};
    if (cp_product_open(kernel, &t->of, &p)) fail_msg("%s, shape %zu: %s", kernel->name, t->shape, cp_error());
    if (!p.kernel) return false;
    if (p.kernel->load) assert_int_equal(p.kernel->load(&p), CP_OK);
    cp_scratch scratch = scratch_for(&p);
    cp_set_threads(threads);
    if (t->of.backward) kernel->backward(&p, IMAGES, from, out, t->fresh, &scratch);
    else kernel->forward(&p, IMAGES, from, out, t->bias, t->bias ? t->of.activation : LINEAR, &scratch);
    cp_product_close(&p);
    free(scratch.thread), free(scratch.shared);
    return true;
}

/* Winograd's 4x4 tiles round more than sums do. */
static double tolerance(const task *t, const cp_kernel *kernel)
{
    const cp_window *g = &t->of.window;
    double terms = (double)(t->of.backward ? g->m : g->c) * g->size * g->size;
    return 2e-6 * sqrt(terms) * (kernel == &cp_conv_winograd_4x4 ? 12 : 2);
}

static void compare(const task *t, const cp_kernel *kernel, const float *found, const float *expected, size_t n)
{
    double limit = tolerance(t, kernel);
    for (size_t i = 0; i < n; ++i) {
        if (!(fabs((double)found[i] - expected[i]) <= limit * (1 + fabs(expected[i]))))
            fail_msg("%s, shape %zu, %s: %zu is %.8g, the plain loops have %.8g", kernel->name, t->shape, t->what, i,
                     (double)found[i], (double)expected[i]);
        if (expected[i] == 0 && !t->bias && found[i] != 0)
            fail_msg("%s, shape %zu, %s: %zu is %g, not 0", kernel->name, t->shape, t->what, i, (double)found[i]);
    }
    for (size_t i = n; i < n + GUARD; ++i)
        if (found[i] != untouched) fail_msg("%s, shape %zu, %s: written beyond the end", kernel->name, t->shape, t->what);
}

/* Kernel by kernel; fitted[k] counts. */
static void check_task(const task *t, int *fitted)
{
    const cp_window *g = &t->of.window;
    size_t in = t->of.backward ? outputs_of(g) : inputs_of(g), out = t->of.backward ? inputs_of(g) : outputs_of(g);
    float *before = drawn(IMAGES * out), *expected = malloc((IMAGES * out + GUARD) * sizeof *expected),
          *found = malloc((IMAGES * out + GUARD) * sizeof *found),
          *again = malloc((IMAGES * out + GUARD) * sizeof *again);
    size_t bytes = (IMAGES * out + GUARD) * sizeof *before;
    assert_true(expected && found && again);
    for (size_t i = 0; i < IMAGES * out && (t->fresh || !t->of.backward); ++i) before[i] = NAN;
    memcpy(expected, before, bytes);
    assert_true(run(t, &cp_conv_plain, THREADS, in, out, expected));
    for (int k = 0; k < CP_KERNELS; ++k) {
        memcpy(found, before, bytes);
        if (!run(t, cp_kernels[k], 1, in, out, found)) continue;
        compare(t, cp_kernels[k], found, expected, IMAGES * out);
        memcpy(again, before, bytes);
        run(t, cp_kernels[k], THREADS, in, out, again);
        if (memcmp(found, again, bytes)) fail_msg("%s, shape %zu, %s: other bytes with %d threads", cp_kernels[k]->name,
                                                  t->shape, t->what, THREADS);
        ++fitted[k];
    }
    free(before), free(expected), free(found), free(again);
}

static void check_all(bool backward, bool fresh, bool zeros, const char *what, int *fitted)
{
    for (size_t i = 0; i < SHAPES; ++i) {
        cp_window g = window_of(i);
        size_t in = backward ? outputs_of(&g) : inputs_of(&g);
        float *weights = drawn((size_t)g.groups * g.m * g.c * g.size * g.size), *bias = drawn((size_t)g.groups * g.m),
              *from = drawn(IMAGES * in);
        int width = backward ? g.out_w : g.w, height = backward ? g.out_h : g.h;
        for (size_t k = 0; k < IMAGES * in && zeros; ++k) /* but for a corner */
            if (k % width >= (size_t)width / 2 || k / width % height >= (size_t)height / 3) from[k] = 0;
        task t = {i, {.window = g, .backward = backward, .activation = activations[i % 5], .weights = weights}, from,
                  backward || zeros ? NULL : bias, fresh, what};
        check_task(&t, fitted);
        free(weights), free(bias), free(from);
    }
}

/* Rows that no shape reaches are not tested. */
static void expect_fitted(const int *fitted, bool backward)
{
    for (int k = 0; k < CP_KERNELS; ++k) {
        const cp_kernel *kernel = cp_kernels[k];
        bool may_lack = kernel == &cp_conv_direct || (kernel == &cp_conv_pointwise && !cp_has_avx512()) ||
                        ((kernel == &cp_conv_points || kernel == &cp_conv_stem) && !backward);
        print_message("%s %s: %d shapes\n", backward ? "backward" : "forward", kernel->name, fitted[k]);
        if (fitted[k] < 5 && !may_lack) fail_msg("%s: fits %d shapes", kernel->name, fitted[k]);
    }
    assert_int_equal(fitted[0], SHAPES);
}

static void test_forward(void **unused)
{
    int fitted[CP_KERNELS] = {0};
    (void)unused;
    check_all(false, false, false, "forward", fitted);
    expect_fitted(fitted, false);
}

static void test_backward(void **unused)
{
    int fitted[CP_KERNELS] = {0}, again[CP_KERNELS] = {0};
    (void)unused;
    check_all(true, true, false, "gradient, written", fitted);
    check_all(true, false, false, "gradient, added", again);
    expect_fitted(fitted, true);
    assert_memory_equal(fitted, again, sizeof fitted);
}

static void test_zeros_stay(void **unused)
{
    int fitted[CP_KERNELS] = {0};
    (void)unused;
    check_all(false, false, true, "forward of zeros", fitted);
    check_all(true, true, true, "gradient of zeros", fitted);
}

/* Only the taps: y[o] += w[k] * x[i] where i = o*stride + k*dilation - pad, in the order of x. */
static void test_plain_loops(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < SHAPES; ++i) {
        cp_window g = window_of(i);
        size_t in = inputs_of(&g), out = outputs_of(&g), taps = (size_t)g.size * g.size;
        if (in * g.m * taps > 400000) continue;
        float *weights = drawn((size_t)g.groups * g.m * g.c * taps), *x = drawn(in), *y = drawn(out), *delta = drawn(out),
              *gradient = drawn(in);
        double *sum = calloc(out, sizeof *sum), *back = calloc(in, sizeof *back);
        assert_true(sum && back);
        for (size_t at = 0; at < in; ++at)
            for (int m = 0; m < g.m; ++m)
                for (size_t k = 0; k < taps; ++k) {
                    int c = (int)(at / ((size_t)g.h * g.w)), iy = (int)(at / g.w) % g.h, ix = (int)(at % g.w);
                    int ky = (int)k / g.size, kx = (int)k % g.size, f = c / g.c * g.m + m;
                    int oy = iy + g.pad - ky * g.dilation, ox = ix + g.pad - kx * g.dilation;
                    if (oy < 0 || ox < 0 || oy % g.stride_y || ox % g.stride) continue;
                    oy /= g.stride_y, ox /= g.stride;
                    if (oy >= g.out_h || ox >= g.out_w) continue;
                    double w = weights[((size_t)f * g.c + c % g.c) * taps + k];
                    size_t to = ((size_t)f * g.out_h + oy) * g.out_w + ox;
                    sum[to] += w * x[at];
                    back[at] += w * delta[to];
                }
        const cp_scratch none = {.threads = 1};
        cp_product p = {.window = g, .weights = weights};
        cp_conv_plain.forward(&p, 1, (cp_batch){x, in}, (cp_batch){y, out}, NULL, LINEAR, &none);
        cp_conv_plain.backward(&p, 1, (cp_batch){delta, out}, (cp_batch){gradient, in}, true, &none);
        for (size_t k = 0; k < out; ++k) assert_true(fabs(y[k] - sum[k]) <= 1e-6 * (1 + fabs(sum[k])));
        for (size_t k = 0; k < in; ++k) assert_true(fabs(gradient[k] - back[k]) <= 1e-6 * (1 + fabs(back[k])));
        free(weights), free(x), free(y), free(delta), free(gradient), free(sum), free(back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_loops),
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_zeros_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

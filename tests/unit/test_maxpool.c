/* Max-pooling against Darknet's rule said plainly: of equals the first wins, row by row; outside counts as -FLT_MAX; a
 * window without a number has no winner. Few different values, so that there are ties everywhere. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu/ops.h"
#include "io/error.h"

enum { NO_WINNER = 0xffff, GUARD = 16, CHANNELS = 3 };

static const struct {
    int h, w, size, stride, pad;
} shapes[] = {
    {10, 10, 3, 1, 2}, {10, 10, 5, 1, 4},  {10, 10, 9, 1, 8},  {13, 13, 2, 1, 1},  {13, 40, 2, 1, 1}, {40, 41, 3, 1, 2},
    {7, 5, 9, 1, 8},   {21, 70, 13, 1, 12}, {12, 11, 5, 1, 0}, {12, 11, 4, 1, 3},  {9, 9, 5, 1, 2},   {30, 31, 2, 2, 1},
    {31, 33, 3, 2, 2}, {31, 200, 3, 2, 2}, {20, 19, 5, 2, 4},  {17, 18, 3, 3, 0},  {4, 4, 1, 1, 0},   {3, 3, 3, 1, 2},
};

static uint32_t state = 1;

static uint32_t draw(void) { return (state = state * 1664525u + 1013904223u) >> 16; }

/* One value in `rare` is not a number that can win. */
static float *drawn(size_t n, unsigned rare)
{
    static const float odd[] = {-INFINITY, -FLT_MAX, INFINITY};
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; ++i) x[i] = draw() % rare ? (float)(draw() % 7) - 3 : draw() % 4 ? NAN : odd[draw() % 3];
    return x;
}

static void largest_of(const layer *l, const float *x, int oy, int ox, float *best, uint16_t *winner)
{
    *best = -FLT_MAX, *winner = NO_WINNER;
    for (int ky = 0; ky < l->size; ++ky)
        for (int kx = 0; kx < l->size; ++kx) {
            int y = oy * l->stride + ky - l->pad / 2, column = ox * l->stride + kx - l->pad / 2;
            if (y < 0 || y >= l->h || column < 0 || column >= l->w || !(x[y * l->w + column] > *best)) continue;
            *best = x[y * l->w + column], *winner = (uint16_t)(ky * l->size + kx);
        }
}

static void check_shape(size_t shape, unsigned rare)
{
    layer l = {.h = shapes[shape].h, .w = shapes[shape].w, .c = CHANNELS, .size = shapes[shape].size,
               .stride = shapes[shape].stride, .pad = shapes[shape].pad};
    l.out_h = (l.h + l.pad - l.size) / l.stride + 1, l.out_w = (l.w + l.pad - l.size) / l.stride + 1,
        l.out_c = CHANNELS;
    size_t plane = (size_t)l.h * l.w, out_plane = (size_t)l.out_h * l.out_w, outputs = CHANNELS * out_plane;
    const cp_layer_info info = {.outputs = outputs};
    cp_op op = {.type = &cp_op_maxpool, .l = &l, .info = &info};
    float *x = drawn(CHANNELS * plane, rare), *y = calloc(outputs + GUARD, sizeof *y);
    uint16_t *winner = calloc(outputs + GUARD, sizeof *winner);
    assert_int_equal(cp_op_maxpool.prepare(&op), CP_OK);
    cp_scratch scratch = {.thread = malloc(op.per_thread * sizeof(float) + 1), .per_thread = op.per_thread,
                          .threads = 1};
    assert_true(x && y && winner && scratch.thread);
    const cp_batch in = {x, CHANNELS * plane};
    cp_op_maxpool.forward(&op, 1, &in, (cp_batch){y, outputs}, winner, false, &scratch);
    for (size_t i = 0; i < outputs; ++i) {
        float best;
        uint16_t expected;
        size_t c = i / out_plane, at = i % out_plane;
        largest_of(&l, x + c * plane, (int)at / l.out_w, (int)at % l.out_w, &best, &expected);
        if (y[i] != best || winner[i] != expected)
            fail_msg("shape %zu: output %zu is %g of tap %d, by the rule %g of tap %d", shape, i, (double)y[i],
                     winner[i], (double)best, expected);
    }
    for (size_t i = outputs; i < outputs + GUARD; ++i) assert_true(y[i] == 0 && winner[i] == 0);
    free(x), free(y), free(winner), free(scratch.thread), cp_free(op.permutation);
}

static void test_rule(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        check_shape(i, 50);
        check_shape(i, 2);
    }
}

int main(void)
{
    cp_set_threads(1); /* the scratch is one thread's */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

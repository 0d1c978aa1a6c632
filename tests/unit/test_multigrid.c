/* The matrix by its definition, how much one cycle takes off, that it is symmetric, and holes of every shape filled. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/degrade.h"
#include "eval/multigrid.h"
#include "io/error.h"
#include "io/random.h"

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%.9g found, %.9g expected", found, expected);
}

static double weight(long dy, long dx) { return !dy && !dx ? 0 : dy && dx ? 1 / 12. : 1 / 6.; }

/* Sum over the neighbours in the plane of weight * (the pixel - the neighbour). */
static double difference(const float *plane, long h, long w, long y, long x)
{
    double sum = 0;
    for (long dy = -1; dy <= 1; dy++)
        for (long dx = -1; dx <= 1; dx++)
            if (y + dy >= 0 && x + dx >= 0 && y + dy < h && x + dx < w)
                sum += weight(dy, dx) * ((double)plane[y * w + x] - plane[(y + dy) * w + x + dx]);
    return sum;
}

enum { H = 37, W = 52, PIXELS = H * W };

/* All but a frame and one pixel in the middle. */
static void draw_hole(uint8_t *unknown)
{
    for (int i = 0; i < PIXELS; i++)
        unknown[i] = i / W > 0 && i / W < H - 1 && i % W > 1 && i != 18 * W + 30;
}

static cp_multigrid *open_hole(uint8_t *unknown)
{
    cp_multigrid *grid;
    draw_hole(unknown);
    assert_int_equal(cp_multigrid_create(unknown, H, W, &grid), CP_OK);
    return grid;
}

static double *new_grid(const cp_multigrid *grid)
{
    double *values = cp_alloc(cp_multigrid_size(grid), sizeof *values, "grid");
    assert_non_null(values);
    return values;
}

static void fill(const cp_multigrid *grid, const uint8_t *unknown, uint64_t seed, double *values)
{
    for (size_t i = 0; i < PIXELS; i++)
        if (unknown[i])
            values[cp_multigrid_index(grid, i / W, i % W)] = cp_random_uniform(&seed) - .5;
}

static double dot(const cp_multigrid *grid, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < cp_multigrid_size(grid); i++)
        sum += a[i] * b[i];
    return sum;
}

static void matrix_by_its_definition(void **state)
{
    (void)state;
    static uint8_t unknown[PIXELS];
    static float plane[PIXELS];
    cp_multigrid *grid = open_hole(unknown);
    double *x = new_grid(grid), *product = new_grid(grid);
    fill(grid, unknown, 1, x);
    for (size_t i = 0; i < PIXELS; i++)
        plane[i] = (float)x[cp_multigrid_index(grid, i / W, i % W)];
    cp_multigrid_multiply(grid, x, product);
    for (size_t i = 0; i < PIXELS; i++)
        near(product[cp_multigrid_index(grid, i / W, i % W)],
             unknown[i] ? difference(plane, H, W, (long)(i / W), (long)(i % W)) : 0, 1e-6);
    cp_free(x);
    cp_free(product);
    cp_multigrid_free(grid);
}

/* x += cycle(right - A x) takes more than half of the residual off in every round; Jacobi's step alone takes far less. */
static void a_cycle_takes_most_off(void **state)
{
    (void)state;
    static uint8_t unknown[PIXELS];
    cp_multigrid *grid = open_hole(unknown);
    double *rest = new_grid(grid), *change = new_grid(grid), *product = new_grid(grid);
    fill(grid, unknown, 2, rest);
    double first = sqrt(dot(grid, rest, rest));
    for (int round = 0; round < 10; round++) {
        cp_multigrid_cycle(grid, rest, change);
        cp_multigrid_multiply(grid, change, product);
        for (size_t i = 0; i < cp_multigrid_size(grid); i++)
            rest[i] -= product[i];
    }
    assert_true(sqrt(dot(grid, rest, rest)) < first * pow(.5, 10));
    cp_free(rest);
    cp_free(change);
    cp_free(product);
    cp_multigrid_free(grid);
}

static void a_cycle_is_symmetric_and_positive(void **state)
{
    (void)state;
    static uint8_t unknown[PIXELS];
    cp_multigrid *grid = open_hole(unknown);
    double *a = new_grid(grid), *b = new_grid(grid), *of_a = new_grid(grid), *of_b = new_grid(grid);
    for (uint64_t seed = 0; seed < 10; seed++) {
        fill(grid, unknown, 2 * seed, a);
        fill(grid, unknown, 2 * seed + 1, b);
        cp_multigrid_cycle(grid, a, of_a);
        cp_multigrid_cycle(grid, b, of_b);
        double size = sqrt(dot(grid, of_a, of_a) * dot(grid, b, b));
        near(dot(grid, of_a, b), dot(grid, of_b, a), 1e-12 * size);
        assert_true(dot(grid, a, of_a) > 0);
    }
    double *all[] = {a, b, of_a, of_b};
    for (int i = 0; i < 4; i++)
        cp_free(all[i]);
    cp_multigrid_free(grid);
}

static void check_filled(const uint8_t *unknown, size_t h, size_t w, const float *before, const float *after)
{
    for (size_t i = 0; i < h * w; i++)
        if (unknown[i])
            near(difference(after, (long)h, (long)w, (long)(i / w), (long)(i % w)), 0, 2e-5);
        else
            assert_memory_equal(&after[i], &before[i], sizeof *after);
}

/* Sizes whose halves meet the border in every way, one row or column among them; from one hole to one pixel left. */
static void holes_are_filled(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {2, 33}, {33, 2}, {31, 64}, {64, 31}, {63, 65}, {3, 4}};
    static float before[65 * 65], after[65 * 65];
    static uint8_t unknown[65 * 65];
    uint64_t seed = 7;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int share = 1; share <= 5; share++) {
            size_t h = sizes[k][0], w = sizes[k][1];
            for (size_t i = 0; i < h * w; i++) {
                before[i] = after[i] = (float)cp_random_uniform(&seed);
                unknown[i] = share < 5 ? cp_random_uniform(&seed) < .25 * share : i != h * w / 3;
            }
            bool none = !memchr(unknown, 0, h * w);
            assert_int_equal(cp_impute(unknown, 1, h, w, after), CP_OK);
            if (none)
                near(after[0], .5, 0);
            else
                check_filled(unknown, h, w, before, after);
        }
}

static void black_stays_black(void **state)
{
    (void)state;
    static uint8_t unknown[PIXELS];
    static float plane[PIXELS];
    draw_hole(unknown);
    for (int i = 0; i < PIXELS; i++)
        plane[i] = unknown[i];
    assert_int_equal(cp_impute(unknown, 1, H, W, plane), CP_OK);
    for (int i = 0; i < PIXELS; i++)
        near(plane[i], 0, 1e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_by_its_definition), cmocka_unit_test(a_cycle_takes_most_off),
        cmocka_unit_test(a_cycle_is_symmetric_and_positive), cmocka_unit_test(holes_are_filled),
        cmocka_unit_test(black_stays_black),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

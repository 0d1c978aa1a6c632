/* The masks of RISE and D-RISE: their statistics are those of a bilinear interpolation between independent cells with a uniform
 * shift, whose covariances are known, and what the network answers behind them finds what it looks at. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/attribution.h"
#include "signs_found.h"

enum { H = 64, W = 96, N = H * W, CELL_X = 6, CELL_Y = 4, MASKS = 3000 };

static void near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: %.6g found, %.6g +- %g expected", what, found, expected, tolerance);
}

/* Every pixel is shown half of the time, at the edge too. */
static void each_pixel_is_shown_half_the_time(void **state)
{
    (void)state;
    static float mask[N];
    static double sum[N];
    double all = 0;
    for (int k = 0; k < MASKS; k++) {
        cp_rise_mask(5, k, H, W, mask);
        for (int i = 0; i < N; i++) {
            assert_true(mask[i] >= 0 && mask[i] <= 1);
            sum[i] += mask[i] / MASKS;
        }
    }
    for (int i = 0; i < N; i++) {
        near(sum[i], .5, 5 * .5 / sqrt(MASKS), "a pixel"); /* a value of [0,1] deviates by .5 at most */
        all += sum[i] / N;
    }
    near(all, .5, .003, "all pixels");
}

/* Mean of (m(p) - .5) (m(p + d) - .5) over masks and pixels that are two cells from every edge. */
static double covariance(int dx, int dy)
{
    static float mask[N];
    double sum = 0;
    size_t n = 0;
    for (int k = 0; k < MASKS / 3; k++) {
        cp_rise_mask(11, k, H, W, mask);
        for (int y = 2 * CELL_Y; y < H - 2 * CELL_Y - dy; y += 3)
            for (int x = 2 * CELL_X; x < W - 2 * CELL_X - dx; x += 5, n++)
                sum += (mask[y * W + x] - .5) * (mask[(y + dy) * W + x + dx] - .5);
    }
    return sum / (double)n;
}

/* Along an axis the weights of a cell are a triangle over two cells; the correlation of two triangles a distance apart is the
 * cubic B-spline: 2/3, 1/6 a cell away, 0 from two cells on. A cell itself has a variance of 1/4. */
static void covariances_over_distance(void **state)
{
    (void)state;
    const struct {
        int x, y; /* cells */
        double expected;
    } rows[] = {{0, 0, 4 / 9. / 4}, {1, 0, 1 / 6. * 2 / 3 / 4}, {0, 1, 2 / 3. / 6 / 4}, {1, 1, 1 / 36. / 4}, {2, 0, 0}, {0, 2, 0},
                {3, 3, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        near(covariance(rows[i].x * CELL_X, rows[i].y * CELL_Y), rows[i].expected, .0015, "covariance");
}

static void masks_are_drawn_anew(void **state)
{
    (void)state;
    static float a[N], b[N];
    double together = 0;
    cp_rise_mask(1, 7, H, W, a);
    cp_rise_mask(1, 7, H, W, b);
    assert_memory_equal(a, b, sizeof a);
    cp_rise_mask(2, 7, H, W, b);
    assert_memory_not_equal(a, b, sizeof a);
    for (int k = 0; k < 400; k++) { /* a mask and the next one know nothing of each other */
        cp_rise_mask(1, k, H, W, a);
        cp_rise_mask(1, k + 1, H, W, b);
        for (int i = 0; i < N; i++)
            together += (a[i] - .5) * (b[i] - .5) / N / 400;
    }
    near(together, 0, .002, "covariance of two masks");
}

/* D-RISE's own test of itself: the map of a detection is highest inside its box. */
static void the_box_is_found(void **state)
{
    (void)state;
    static float map[SIGNS_SIDE * SIGNS_SIDE];
    signs_found s;
    cp_localisation place;
    signs_open(&s);
    const cp_detection *d = &s.found[0];
    const cp_eval_target target = {d->class_id, d, s.placement};
    const cp_map_box box = {(d->x - d->w / 2) * SIGNS_SIDE, (d->y - d->h / 2) * SIGNS_SIDE, d->w * SIGNS_SIDE, d->h * SIGNS_SIDE};
    const cp_attribution_call call = {.frame = s.frame, .response = &s.response, .target = &target, .seed = 3, .layer = -1,
                                      .samples = 150};
    assert_int_equal(cp_attribution_find("rise")->run(&call, map), CP_OK);
    assert_int_equal(cp_localise(map, SIGNS_SIDE, SIGNS_SIDE, &s.placement, &box, &place), CP_OK);
    assert_true(place.pointing && place.lift > 1);
    signs_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pixel_is_shown_half_the_time), cmocka_unit_test(covariances_over_distance),
        cmocka_unit_test(masks_are_drawn_anew), cmocka_unit_test(the_box_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

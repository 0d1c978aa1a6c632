/* The region that holds half of the heat, against a brute-force program that shares nothing with it: a sort, labels
 * that spread until nothing changes, a convolution in two dimensions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/smooth.h"
#include "map/region.h"

#define assert_ok(call) do { if (call) fail_msg("%s", cp_error()); } while (0)
#define assert_near(a, b)                                                           \
    do {                                                                            \
        if (!(fabs((a) - (b)) <= 1e-6))                                             \
            fail_msg("%s = %.9g, not %.9g", #a, (double)(a), (double)(b));          \
    } while (0)

enum { MOST = 64 * 64 };

static unsigned state = 1;
static unsigned draw(unsigned n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

/* ---------------------------------------------------------------- the brute-force program */

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The k highest values hold half, for the least k; the lowest of these is the threshold. */
static float threshold_by_sorting(const float *plane, int n)
{
    float sorted[MOST];
    double total = 0, held = 0;
    memcpy(sorted, plane, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, descending);
    for (int i = 0; i < n; i++) total += sorted[i];
    int k = 0;
    while (held < total / 2 - 1e-9 * total) held += sorted[k++];
    return sorted[k - 1];
}

/* Labels of the region's parts, 0 outside: each pixel starts with its own, and neighbours take the larger. */
static void label_by_spreading(const float *plane, int h, int w, float threshold, int *label)
{
    for (int i = 0; i < h * w; i++) label[i] = plane[i] >= threshold ? i + 1 : 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (int a = 0; a < h * w; a++)
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++) {
                    int x = a % w + dx, y = a / w + dy;
                    if (!label[a] || x < 0 || y < 0 || x >= w || y >= h || label[y * w + x] <= label[a]) continue;
                    label[a] = label[y * w + x];
                    changed = true;
                }
    }
}

struct brute_part {
    double share;
    int label, x0, y0, x1, y1;
};

static int by_share(const void *a, const void *b)
{
    const struct brute_part *p = a, *q = b;
    return (p->share < q->share) - (p->share > q->share);
}

static void compare_with_brute_force(const float *plane, const cp_placement *at)
{
    static int label[MOST];
    static struct brute_part parts[MOST];
    int w = (int)at->w, h = (int)at->h, n = 0, covered = 0;
    double total = 0, held = 0;
    cp_heat_region found;
    assert_ok(cp_heat_region_of(plane, at, &found));
    float threshold = threshold_by_sorting(plane, h * w);
    assert_true(found.threshold == threshold);
    label_by_spreading(plane, h, w, threshold, label);
    memset(parts, 0, sizeof parts);
    for (int i = 0; i < h * w; i++) total += plane[i];
    for (int i = 0; i < h * w; i++) {
        if (!label[i]) continue;
        int k = 0;
        while (k < n && parts[k].label != label[i]) k++;
        if (k == n) parts[n++] = (struct brute_part){0, label[i], w, h, -1, -1};
        parts[k].share += plane[i] / total;
        if (i % w < parts[k].x0) parts[k].x0 = i % w;
        if (i % w > parts[k].x1) parts[k].x1 = i % w;
        if (i / w < parts[k].y0) parts[k].y0 = i / w;
        if (i / w > parts[k].y1) parts[k].y1 = i / w;
        covered++;
        held += plane[i];
    }
    assert_int_equal(found.parts, n);
    assert_near(found.share, held / total);
    assert_near(found.area, (double)covered / (h * w));
    qsort(parts, (size_t)n, sizeof *parts, by_share);
    int shown = 0;
    for (int k = 0; k < n && k < 3 && parts[k].share >= .05; k++, shown++) {
        const cp_heat_part *p = &found.part[k];
        assert_near(p->share, parts[k].share);
        if (k + 1 < n && parts[k].share - parts[k + 1].share < 1e-9) continue; /* either may come first */
        if (k > 0 && parts[k - 1].share - parts[k].share < 1e-9) continue;
        assert_int_equal(p->x, (int)floor(parts[k].x0 * (double)at->photo_w / w));
        assert_int_equal(p->y, (int)floor(parts[k].y0 * (double)at->photo_h / h));
        assert_int_equal(p->x + p->w, (int)ceil((parts[k].x1 + 1) * (double)at->photo_w / w - 1e-9));
        assert_int_equal(p->y + p->h, (int)ceil((parts[k].y1 + 1) * (double)at->photo_h / h - 1e-9));
    }
    assert_int_equal(found.n, shown);
}

static void regions_of_random_planes(void **unused)
{
    (void)unused;
    static float plane[MOST];
    for (int round = 0; round < 300; round++) {
        cp_placement at = {.w = 1 + draw(40), .h = 1 + draw(40), .photo_w = 1 + draw(3000), .photo_h = 1 + draw(3000)};
        unsigned levels = round % 3 == 0 ? 4 : 1u << 16, blobs = draw(6);
        for (size_t i = 0; i < at.w * at.h; i++) plane[i] = (float)draw(levels) / (float)levels * (draw(3) ? .05f : 1);
        for (unsigned b = 0; b < blobs; b++) {
            size_t x = draw((unsigned)at.w), y = draw((unsigned)at.h);
            for (size_t v = y; v < y + 4 && v < at.h; v++)
                for (size_t u = x; u < x + 4 && u < at.w; u++) plane[v * at.w + u] += (float)(1 + draw(8));
        }
        plane[draw((unsigned)(at.w * at.h))] += 1; /* not zero everywhere */
        compare_with_brute_force(plane, &at);
    }
}

/* ---------------------------------------------------------------- smoothing */

static int reflect(int i, int n)
{
    while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * n - 1 - i;
    return i;
}

static void smoothing_is_a_convolution(void **unused)
{
    (void)unused;
    static const struct {
        int h, w;
        double sigma;
    } cases[] = {{9, 13, .8}, {24, 17, 2.5}, {1, 30, 3}, {5, 1, 4}, {3, 4, 20}, {7, 7, .05}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int h = cases[c].h, w = cases[c].w, radius = (int)ceil(3 * cases[c].sigma);
        float values[24 * 30], smooth[24 * 30];
        double before = 0, after = 0;
        for (int i = 0; i < h * w; i++) values[i] = smooth[i] = (float)draw(1000) / 1000;
        assert_ok(cp_smooth(smooth, (size_t)h, (size_t)w, cases[c].sigma));
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                double sum = 0, weights = 0;
                for (int v = -radius; v <= radius; v++)
                    for (int u = -radius; u <= radius; u++) {
                        double weight = exp(-.5 * (u * u + v * v) / (cases[c].sigma * cases[c].sigma));
                        sum += weight * values[reflect(y + v, h) * w + reflect(x + u, w)];
                        weights += weight;
                    }
                if (fabs(sum / weights - smooth[y * w + x]) > 1e-5)
                    fail_msg("case %zu (%d, %d): %g, not %g", c, x, y, smooth[y * w + x], sum / weights);
                before += values[y * w + x];
                after += smooth[y * w + x];
            }
        assert_true(fabs(before - after) < 1e-4 * before);
    }
    float same[4] = {1, 2, 3, 4};
    assert_ok(cp_smooth(same, 2, 2, 0));
    assert_true(same[0] == 1 && same[1] == 2 && same[2] == 3 && same[3] == 4);
}

/* ---------------------------------------------------------------- placement, box, edges */

static void by_hand(void **unused)
{
    (void)unused;
    /* A photo of 80 x 40 in rows 2 to 5 of a map of 8 x 8: ten photo pixels a map pixel. */
    const cp_placement at = {80, 40, 0, 2, 8, 4};
    float heat[64] = {0};
    cp_heat_region r;
    heat[0] = 20;             /* in the bar above */
    heat[3 * 8 + 1] = 40;     /* photo 10..19, 10..19 */
    heat[3 * 8 + 2] = 20;
    heat[5 * 8 + 6] = 15;     /* photo 60..69, 30..39 */
    heat[4 * 8 + 6] = -7;
    heat[4 * 8 + 7] = NAN;
    heat[2 * 8 + 7] = INFINITY;
    heat[2 * 8 + 4] = 5;
    /* half of the first, all of the second, a quarter of the third, the last */
    const cp_photo_box box = {15, 0, 50, 35};
    assert_ok(cp_heat_find_region(heat, 8, 8, &at, 0, &box, &r));
    assert_false(r.zero);
    assert_true(r.threshold == 40 && r.n == 1 && r.parts == 1);
    assert_near(r.share, .5);
    assert_near(r.area, 1 / 32.);
    assert_near(r.beside, .2);
    assert_near(r.box, (20 + 20 + 15 * .5 * .5 + 5) / 80.);
    assert_true(r.part[0].x == 10 && r.part[0].y == 10 && r.part[0].w == 10 && r.part[0].h == 10);
    heat[3 * 8 + 1] = 20;     /* now of the same heat as its neighbour: both are needed and taken */
    assert_ok(cp_heat_find_region(heat, 8, 8, &at, 0, NULL, &r));
    assert_true(r.threshold == 20 && r.n == 1 && r.part[0].x == 10 && r.part[0].w == 20 && isnan(r.box));
    assert_near(r.share, 40 / 60.);
    heat[5 * 8 + 6] = heat[2 * 8 + 4] = 20; /* a plateau in three places: all of it */
    assert_ok(cp_heat_find_region(heat, 8, 8, &at, 0, NULL, &r));
    assert_true(r.n == 3 && r.parts == 3 && r.share == 1);
    assert_true(r.part[0].x == 10 && r.part[1].x == 40 && r.part[2].x == 60);
}

/* Of a cropped photo the map shows the centre: columns 4 to 11 of 16. */
static void cropped(void **unused)
{
    (void)unused;
    const cp_placement at = {80, 40, -4, 0, 16, 8};
    const cp_photo_box box = {20, 0, 7.5, 40};
    float heat[64] = {[3 * 8 + 1] = 40, [7 * 8 + 7] = 10};
    cp_heat_region r;
    assert_ok(cp_heat_find_region(heat, 8, 8, &at, 0, &box, &r));
    assert_true(r.n == 1 && r.part[0].x == 25 && r.part[0].y == 15 && r.part[0].w == 5 && r.part[0].h == 5);
    assert_near(r.area, 1 / 128.);
    assert_near(r.box, 20 / 50.);
    assert_near(r.beside, 0.);
}

static void the_default_blur_is_of_the_photo(void **unused)
{
    (void)unused;
    /* Rows beside the photo are as hot as can be, and must not flow into it. */
    const cp_placement at = {640, 320, 0, 16, 64, 32};
    static float heat[MOST];
    cp_heat_region r;
    for (int i = 0; i < MOST; i++) heat[i] = i / 64 < 16 || i / 64 >= 48 ? 1e6f : 0;
    heat[30 * 64 + 30] = 1;
    assert_ok(cp_heat_find_region(heat, 64, 64, &at, .1, NULL, &r)); /* 6.4 pixels */
    assert_int_equal(r.n, 1);
    double middle_x = (double)r.part[0].x + (double)r.part[0].w / 2;
    double middle_y = (double)r.part[0].y + (double)r.part[0].h / 2;
    assert_true(fabs(middle_x - 305) < 1 && fabs(middle_y - 145) < 1);
    /* Half of a round Gaussian lies within sigma * sqrt(2 ln 2): 7.5 pixels, 177 of them. */
    if (fabs(r.area * 64 * 32 - 177) > 8) fail_msg("%g pixels", r.area * 64 * 32);
    assert_true(r.beside > .999);
}

static void maps_without_heat(void **unused)
{
    (void)unused;
    const cp_placement at = {10, 10, 0, 0, 1, 1};
    const cp_photo_box box = {0, 0, 5, 10};
    float heat[2] = {0, 3};
    cp_heat_region r;
    assert_ok(cp_heat_find_region(heat, 1, 2, &at, .01, &box, &r));
    assert_true(r.zero && r.n == 0 && r.parts == 0 && r.area == 0 && isnan(r.box) && r.beside == 1);
    heat[0] = NAN;
    assert_ok(cp_heat_find_region(heat, 1, 2, &at, .01, &box, &r));
    assert_true(r.zero);
    heat[0] = 1; /* one pixel */
    assert_ok(cp_heat_find_region(heat, 1, 2, &at, .01, &box, &r));
    assert_true(!r.zero && r.n == 1 && r.area == 1 && r.share == 1 && r.box == .5);
    assert_true(r.part[0].x == 0 && r.part[0].w == 10 && r.part[0].h == 10);
}

static void refused(void **unused)
{
    (void)unused;
    float heat[4] = {1, 1, 1, 1};
    cp_heat_region r;
    cp_placement at = {10, 10, 2, 0, 2, 2};
    assert_int_equal(cp_heat_find_region(heat, 2, 2, &at, .01, NULL, &r), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "10 x 10 at 2,0 of size 2 x 2 does not lie in a map of 2 x 2"));
    at.x = 0;
    assert_int_equal(cp_heat_find_region(heat, 2, 2, &at, .6, NULL, &r), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "blur is 0.6"));
    assert_int_equal(cp_heat_find_region(heat, 2, 2, &at, NAN, NULL, &r), CP_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regions_of_random_planes), cmocka_unit_test(smoothing_is_a_convolution),
        cmocka_unit_test(by_hand), cmocka_unit_test(cropped),                  cmocka_unit_test(the_default_blur_is_of_the_photo),
        cmocka_unit_test(maps_without_heat),        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

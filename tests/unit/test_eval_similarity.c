/* Similarity of maps: by hand, and against scikit-image 0.26 (structural_similarity, hog), SciPy 1.17 (spearmanr) and
 * NumPy (histogram) on two made-up maps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/similarity.h"
#include "io/error.h"

enum { H = 12, W = 14, N = H * W };

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%.9g found, %.9g expected", found, expected);
}

static void make(float *map, size_t n, int kind)
{
    for (size_t i = 0; i < n; i++)
        map[i] = (float)(sin(.7 * (double)i + kind) * (1 + (double)(i % 7)) + .3 * cos(.11 * (double)i * kind));
}

static cp_similarity compare(const float *a, const float *b)
{
    cp_similarity found;
    assert_int_equal(cp_similarity_of(a, b, H, W, false, &found), CP_OK);
    return found;
}

static void as_the_libraries(void **state)
{
    (void)state;
    float a[N], b[N], c[N];
    make(a, N, 1);
    make(b, N, 2);
    const struct {
        double of_a, of_b, ssim, rank, rank_abs;
    } rows[] = {{0, 1, .268293820, .524200120, .221005158},
                {1, 0, 1, 1, 1},
                {-1, 0, .352398003, -1, 1},
                {2, 0, 1, 1, 1},
                {1, 1, .669222549, .855421870, .653512080}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        for (int i = 0; i < N; i++)
            c[i] = (float)rows[k].of_a * a[i] + (float)rows[k].of_b * b[i];
        cp_similarity found = compare(a, c);
        near(found.ssim, rows[k].ssim, 2e-6);
        near(found.rank, rows[k].rank, 1e-6);
        near(found.rank_abs, rows[k].rank_abs, 1e-6);
        assert_true(isnan(found.hog));
    }
}

/* One window of 25 pixels. a is 1 at one of them and 0 elsewhere, b the reverse: means .04 and .96, both variances
 * 1/25, the covariance -1/25. */
static void ssim_by_hand(void **state)
{
    (void)state;
    float a[25] = {0}, b[25], zero[25] = {0};
    double ssim, c1 = .02 * .02, c2 = .06 * .06;
    a[7] = 1;
    for (int i = 0; i < 25; i++)
        b[i] = 1 - a[i];
    assert_int_equal(cp_ssim(a, b, 5, 5, &ssim), CP_OK);
    near(ssim, (2 * .04 * .96 + c1) * (-2. / 25 + c2) / ((.04 * .04 + .96 * .96 + c1) * (2. / 25 + c2)), 1e-12);
    assert_int_equal(cp_ssim(zero, zero, 5, 5, &ssim), CP_OK);
    near(ssim, 1, 0);
    assert_int_equal(cp_ssim(a, zero, 5, 5, &ssim), CP_OK);
    near(ssim, c1 / (.04 * .04 + c1) * c2 / (1. / 25 + c2), 1e-12);
    for (int i = 0; i < 25; i++)
        b[i] = 1e-30f * a[i]; /* the scale of a map says nothing */
    assert_int_equal(cp_ssim(a, b, 5, 5, &ssim), CP_OK);
    near(ssim, 1, 1e-6);
}

static void hog_as_the_library(void **state)
{
    (void)state;
    static const float expected[] = {.4977159f, .4977159f, .0970148f, .1627101f, .2179460f, .2843632f, .3042817f,
                                     .4977159f, .6393375f, .2134835f, .0977422f, .1085171f, .1365573f, .1699249f,
                                     .2608985f, .6393375f, .5506872f, .1256108f, .1430055f, .1655203f, .4097418f,
                                     .3241903f, .2384825f, .5506872f, .5796773f, .3912379f, .1258511f, .0224493f,
                                     .1143005f, .2927187f, .2445199f, .5796773f};
    float map[17 * 18], *found;
    size_t n;
    make(map, 17 * 18, 3);
    assert_int_equal(cp_hog(map, 17, 18, 8, &found, &n), CP_OK);
    assert_int_equal(n, sizeof expected / sizeof *expected);
    for (size_t i = 0; i < n; i++)
        near(found[i], expected[i], 1e-5);
    cp_free(found);
}

static void entropy_as_the_library(void **state)
{
    (void)state;
    float map[4200];
    double entropy;
    make(map, N, 1); /* 10 bins, the fewest */
    assert_int_equal(cp_map_entropy(map, N, &entropy), CP_OK);
    near(entropy, 2.1812766568, 1e-6);
    make(map, 4200, 5); /* 28 */
    assert_int_equal(cp_map_entropy(map, 4200, &entropy), CP_OK);
    near(entropy, 3.1894415934, 1e-6);
    for (int i = 0; i < 4200; i++)
        map[i] = 3;
    assert_int_equal(cp_map_entropy(map, 4200, &entropy), CP_OK);
    near(entropy, 0, 0);
    /* No spread between the quartiles: as many bins as there may be, of which two values fill two. */
    for (int i = 0; i < 4200; i++)
        map[i] = i % 10 == 0;
    assert_int_equal(cp_map_entropy(map, 4200, &entropy), CP_OK);
    near(entropy, -.1 * log(.1) - .9 * log(.9), 1e-12);
}

/* Planted maps: itself, its opposite, zero. */
static void planted_maps(void **state)
{
    (void)state;
    float a[N], zero[N] = {0};
    make(a, N, 1);
    cp_similarity found = compare(a, zero);
    assert_true(isnan(found.rank) && isnan(found.rank_abs));
    assert_true(found.ssim < .1);
    assert_int_equal(cp_similarity_of(a, a, H, W, true, &found), CP_OK);
    near(found.hog, 1, 1e-12);
}

static void refuses_what_is_no_map(void **state)
{
    (void)state;
    float a[N], broken[N];
    double value;
    float *histogram;
    size_t n;
    make(a, N, 1);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int k = 0; k < 3; k++) {
        memcpy(broken, a, sizeof a);
        broken[17] = bad[k];
        assert_int_equal(cp_ssim(a, broken, H, W, &value), CP_EINPUT);
        assert_int_equal(cp_ssim(broken, a, H, W, &value), CP_EINPUT);
        assert_int_equal(cp_map_entropy(broken, N, &value), CP_EINPUT);
        assert_non_null(strstr(cp_error(), "17 of 168"));
        assert_int_equal(cp_hog(broken, H, W, 4, &histogram, &n), CP_EINPUT);
        assert_null(histogram);
    }
    assert_int_equal(cp_ssim(a, a, 4, W, &value), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "14x4"));
    assert_int_equal(cp_hog(a, H, W, 13, &histogram, &n), CP_EINPUT);
    assert_int_equal(cp_map_entropy(a, 0, &value), CP_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_the_libraries),   cmocka_unit_test(ssim_by_hand),
                                       cmocka_unit_test(hog_as_the_library), cmocka_unit_test(entropy_as_the_library),
                                       cmocka_unit_test(planted_maps),       cmocka_unit_test(refuses_what_is_no_map)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

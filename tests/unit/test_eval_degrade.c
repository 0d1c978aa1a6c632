/* Degrading a photo along planted maps, ROAD's system against a dense solve, localisation and paired tests with known answers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/complexity.h"
#include "eval/degrade.h"
#include "eval/localise.h"
#include "eval/paired.h"
#include "eval/sufficiency.h"
#include "io/random.h"
#include "tiny_net.h"

enum { SIDE = 6 };

/* Two logits over 6x6 pixels: class 1 is 4 * pixel 7 + 2 * pixel 20 + 1 * pixel 0 - 2, class 0 is 0. */
static const char planted_cfg[] = "[net]\nbatch=1\nsubdivisions=1\nwidth=6\nheight=6\nchannels=1\nmax_batches=1\n"
                                  "[connected]\noutput=2\nactivation=linear\n[softmax]\n";

typedef struct {
    tiny_net net;
    float input[SIDE * SIDE];
    cp_eval_target target;
} setting;

static setting start(void)
{
    setting s = {0};
    float weights[2 + 2 * SIDE * SIDE] = {0};
    float *one = weights + 2 + SIDE * SIDE;
    weights[1] = -2;
    one[7] = 4, one[20] = 2, one[0] = 1;
    tiny_open(&s.net, planted_cfg, weights, sizeof weights / sizeof *weights);
    for (int i = 0; i < SIDE * SIDE; i++)
        s.input[i] = 1;
    s.target = (cp_eval_target){.class_id = 1, .placement = {SIDE, SIDE, 0, 0, SIDE, SIDE}};
    return s;
}

static double probability(double logit) { return 1 / (1 + exp(-logit)); }

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%.9g found, %.9g expected", found, expected);
}

/* With mean colour 0 the k-th point is what is left of 4 + 2 + 1 - 2. */
static void curves_of_planted_maps(void **state)
{
    (void)state;
    setting s = start();
    const double fractions[] = {0, 1. / 36, 2. / 36, 3. / 36, 1};
    float map[SIDE * SIDE] = {0};
    double p[5];
    map[7] = 3, map[20] = 2, map[0] = 1;
    cp_degrade_options o = {.fill = CP_FILL_MEAN, .fractions = fractions, .n = 5};
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, p), CP_OK);
    const double deleted[] = {5, 1, -1, -2, -2};
    for (int i = 0; i < 5; i++)
        near(p[i], probability(deleted[i]), 1e-6);
    o.insert = true;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, p), CP_OK);
    const double inserted[] = {-2, 2, 4, 5, 5};
    for (int i = 0; i < 5; i++)
        near(p[i], probability(inserted[i]), 1e-6);
    /* Least first: what the map calls 0 goes first and changes nothing; ties go in index order. */
    o.insert = false, o.least_first = true;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, p), CP_OK);
    for (int i = 0; i < 4; i++)
        near(p[i], probability(5), 1e-6);
    near(p[4], probability(-2), 1e-6);
    /* The photo's own mean is its only colour: nothing changes. */
    o.mean[0] = NAN, o.least_first = false;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, p), CP_OK);
    near(p[3], probability(5), 1e-6);
    /* So it is blurred, and imputed but for the noise. */
    o.fill = CP_FILL_BLUR;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, p), CP_OK);
    near(p[3], probability(5), 1e-5);
    o.fill = CP_FILL_IMPUTE;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, p), CP_OK);
    near(p[3], probability(5), 2e-3);
    tiny_close(&s.net);
}

static void only_the_photo_is_changed(void **state)
{
    (void)state;
    setting s = start();
    const double fractions[] = {1};
    float map[SIDE * SIDE] = {0};
    double p;
    s.target.placement = (cp_placement){SIDE, 3, 0, 2, SIDE, 3}; /* rows 2 to 4: pixel 20, but neither 0 nor 7 */
    cp_degrade_options o = {.fill = CP_FILL_MEAN, .fractions = fractions, .n = 1};
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, &p), CP_OK);
    near(p, probability(3), 1e-6);
    map[20] = NAN;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, &p), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "x 2, y 3"));
    map[20] = 0;
    const double wrong[] = {.5, .2};
    o.fractions = wrong, o.n = 2;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, &p), CP_EINPUT);
    s.target.placement.h = 5;
    assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, &p), CP_EINPUT);
    tiny_close(&s.net);
}

static void areas(void **state)
{
    (void)state;
    const double x[] = {0, .5, 1}, y[] = {1, 0, 1};
    near(cp_curve_area(x, y, 3), .5, 1e-12);
    near(cp_curve_area(x, y, 2), .5, 1e-12);
    assert_true(isnan(cp_curve_area(x, y, 1)));
}

/* Gaussian elimination of x_i = sum_j w_ij x_j / sum_j w_ij. */
static void solve_dense(const uint8_t *removed, int n_pixels, int w, float *plane)
{
    double a[SIDE * SIDE][SIDE * SIDE + 1] = {{0}};
    for (int i = 0; i < n_pixels; i++) {
        a[i][i] = 1;
        if (!removed[i]) {
            a[i][n_pixels] = plane[i];
            continue;
        }
        double sum = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int dy = -1; dy <= 1; dy++)
                for (int dx = -1; dx <= 1; dx++) {
                    int y = i / w + dy, x = i % w + dx;
                    if ((!dx && !dy) || y < 0 || x < 0 || y >= n_pixels / w || x >= w)
                        continue;
                    double weight = dx && dy ? 1 / 12. : 1 / 6.;
                    if (!pass)
                        sum += weight;
                    else
                        a[i][y * w + x] -= weight / sum;
                }
    }
    for (int k = 0; k < n_pixels; k++) {
        int pivot = k;
        for (int i = k; i < n_pixels; i++)
            if (fabs(a[i][k]) > fabs(a[pivot][k]))
                pivot = i;
        for (int j = 0; j <= n_pixels; j++) {
            double swap = a[k][j];
            a[k][j] = a[pivot][j], a[pivot][j] = swap;
        }
        for (int i = 0; i < n_pixels; i++) {
            double factor = i == k ? 0 : a[i][k] / a[k][k];
            for (int j = k; j <= n_pixels && factor != 0; j++)
                a[i][j] -= factor * a[k][j];
        }
    }
    for (int i = 0; i < n_pixels; i++)
        plane[i] = (float)(a[i][n_pixels] / a[i][i]);
}

static void imputation_solves_the_system(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int round = 0; round < 20; round++) {
        float plane[2 * SIDE * SIDE], expected[2 * SIDE * SIDE];
        uint8_t removed[SIDE * SIDE];
        for (int i = 0; i < 2 * SIDE * SIDE; i++)
            plane[i] = expected[i] = (float)cp_random_uniform(&seed);
        for (int i = 0; i < SIDE * SIDE; i++)
            removed[i] = cp_random_uniform(&seed) < .05 * round;
        removed[17] = 0;
        solve_dense(removed, SIDE * SIDE, SIDE, expected);
        solve_dense(removed, SIDE * SIDE, SIDE, expected + SIDE * SIDE);
        assert_int_equal(cp_impute(removed, 2, SIDE, SIDE, plane), CP_OK);
        for (int i = 0; i < 2 * SIDE * SIDE; i++)
            near(plane[i], expected[i], 2e-5);
    }
    float nothing[SIDE * SIDE] = {0};
    uint8_t all[SIDE * SIDE];
    memset(all, 1, sizeof all);
    assert_int_equal(cp_impute(all, 1, SIDE, SIDE, nothing), CP_OK);
    near(nothing[5], .5, 1e-6);
}

static void localisation_of_planted_maps(void **state)
{
    (void)state;
    const cp_placement whole = {SIDE, SIDE, 0, 0, SIDE, SIDE};
    const cp_map_box box = {1, 2, 2, 2}; /* pixels 13, 14, 19, 20 */
    float map[SIDE * SIDE] = {0};
    cp_localisation found;
    map[13] = 2, map[20] = 1, map[35] = 1, map[3] = -5;
    assert_int_equal(cp_localise(map, SIDE, SIDE, &whole, &box, &found), CP_OK);
    near(found.energy, .75, 1e-9);
    near(found.lift, .75 * 9, 1e-9);
    assert_true(found.pointing);
    /* The four highest: 13, 20, 35 and one of the 32 zeros, two of them in the box. */
    near(found.ranking, (2 + 2 / 32.) / 4, 1e-9);
    /* From 13 at (1,2): 20 at (2,3) is 2 away, squared, 35 at (5,5) 25; half of the box's diagonal is the root of 2. */
    near(found.compactness, sqrt((2 * 0 + 2 + 25) / 4. / 2), 1e-9);
    map[35] = 3;
    assert_int_equal(cp_localise(map, SIDE, SIDE, &whole, &box, &found), CP_OK);
    assert_false(found.pointing);
    for (int i = 0; i < SIDE * SIDE; i++)
        map[i] = 1;
    assert_int_equal(cp_localise(map, SIDE, SIDE, &whole, &box, &found), CP_OK);
    near(found.lift, 1, 1e-9), near(found.ranking, 4 / 36., 1e-9);
    memset(map, 0, sizeof map);
    assert_int_equal(cp_localise(map, SIDE, SIDE, &whole, &box, &found), CP_OK);
    assert_true(isnan(found.energy) && isnan(found.ranking) && !found.pointing);
    const cp_map_box outside = {7, 7, 3, 3};
    assert_int_equal(cp_localise(map, SIDE, SIDE, &whole, &outside, &found), CP_EINPUT);
    map[2] = NAN;
    assert_int_equal(cp_localise(map, SIDE, SIDE, &whole, &box, &found), CP_EINPUT);
}

/* One other object's box overlaps this one's: what lies in both is this one's. */
static void confusion_with_other_objects(void **state)
{
    (void)state;
    const cp_placement whole = {SIDE, SIDE, 0, 0, SIDE, SIDE};
    const cp_map_box box = {0, 0, 3, 3}, others[] = {{2, 2, 2, 2}, {3, 2, 1, 1}};
    float map[SIDE * SIDE] = {0};
    map[0] = 3, map[14] = 2, map[15] = 4, map[21] = 1, map[35] = 100, map[20] = -7; /* 14: in both; 15: in both others */
    near(cp_localise_confusion(map, SIDE, &whole, &box, others, 2), 5 / 10., 1e-9);
    near(cp_localise_confusion(map, SIDE, &whole, &box, NULL, 0), 0, 0);
    memset(map, 0, sizeof map);
    assert_true(isnan(cp_localise_confusion(map, SIDE, &whole, &box, others, 2)));
}

static void complexity_of_planted_maps(void **state)
{
    (void)state;
    const cp_placement rows = {SIDE, 2, 0, 1, SIDE, 2}; /* 12 pixels, from 6 on */
    float map[SIDE * SIDE] = {0};
    cp_complexity found;
    map[0] = 50, map[9] = 4;
    assert_int_equal(cp_complexity_of(map, SIDE, &rows, &found), CP_OK);
    near(found.gini, 11 / 12., 1e-9), near(found.entropy, 0, 1e-9);
    for (int i = 0; i < SIDE * SIDE; i++)
        map[i] = 3;
    assert_int_equal(cp_complexity_of(map, SIDE, &rows, &found), CP_OK);
    near(found.gini, 0, 1e-9), near(found.entropy, log2(12), 1e-9);
    /* 1, 2, 3, 6 and eight zeros or less: sum over pairs |x - y| / (2 n^2 mean). */
    memset(map, 0, sizeof map);
    map[6] = 2, map[8] = 6, map[11] = 1, map[12] = 3, map[17] = -9;
    double pairs = 2 * (1 + 2 + 5 + 1 + 4 + 3) + 2. * 8 * 12;
    assert_int_equal(cp_complexity_of(map, SIDE, &rows, &found), CP_OK);
    near(found.gini, pairs / (2 * 12 * 12.), 1e-9);
    near(found.entropy, -(log2(1 / 12.) + 2 * log2(2 / 12.) + 3 * log2(3 / 12.) + 6 * log2(.5)) / 12, 1e-9);
    memset(map, 0, sizeof map);
    assert_int_equal(cp_complexity_of(map, SIDE, &rows, &found), CP_OK);
    assert_true(isnan(found.gini) && isnan(found.entropy));
}

/* SciPy 1.17's entropy and mean difference of pairs (pdist), by tests/oracle/similarity_scipy.py -golden. */
static void complexity_as_the_library(void **state)
{
    (void)state;
    float map[12 * 14];
    cp_complexity found;
    for (int i = 0; i < 12 * 14; i++)
        map[i] = (float)(sin(.7 * i + 1) * (1 + i % 7));
    assert_int_equal(cp_complexity_of(map, 14, &(cp_placement){14, 12, 0, 0, 14, 12}, &found), CP_OK);
    near(found.gini, .708389563, 1e-7);
    near(found.entropy, 5.958928382, 1e-6);
}

/* Logit 0 is 2 a0 - 3 a1 + 5 a2 + 1/4 with a = (1, 2, 0): 1/4 without neurons, -3.75 with all. */
static void sufficiency_by_hand(void **state)
{
    (void)state;
    tiny_net net;
    cp_frame *frame;
    cp_path *path;
    cp_response response;
    cp_sufficiency found;
    cp_ranking_faithfulness ranking;
    const cp_run_options run = {0};
    const float score[] = {2, 6, 0}, none[] = {0, 0, 0};
    TINY_OPEN(&net);
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, tiny_input, 1, NULL), CP_OK);
    assert_int_equal(cp_response_class(net.model, 0, &response), CP_OK);
    assert_int_equal(cp_path_create(net.model, &path), CP_OK);
    cp_path_set(path, 1, true); /* kept: -5.75; removed: 2.25 */
    assert_int_equal(cp_sufficiency_of(frame, 0, &response, path, &run, &found), CP_OK);
    near(found.sufficiency, 1.5, 1e-6), near(found.necessity, 1.5, 1e-6);
    /* Of three neurons .2 are one and .5 two, less are none: f is 0 up to .1, then 1.5, 1, 1. */
    assert_int_equal(cp_ranking_faithfulness_of(frame, 0, &response, score, &run, &ranking), CP_OK);
    near(ranking.cpr, (.1 * .75 + .3 * 1.25 + .5) / .999, 1e-6);
    near(ranking.cmd, (.099 + .1 * .75 + .3 * .25) / .999, 1e-6);
    assert_int_equal(cp_ranking_faithfulness_of(frame, 0, &response, none, &run, &ranking), CP_EINPUT);
    cp_path_free(path);
    cp_frame_free(frame);
    tiny_close(&net);
}

/* Noise knows nothing: over many draws every test of place gives what a box of that area gets by chance. */
static void random_maps_give_chance(void **state)
{
    (void)state;
    enum { DRAWS = 400, BIG = 32 };
    static float map[BIG * BIG];
    const cp_placement whole = {BIG, BIG, 0, 0, BIG, BIG};
    const cp_map_box box = {4, 7, 8, 16}, other = {20, 7, 8, 16};
    double value[5][DRAWS];
    const double chance[] = {1 / 8., 1, 1 / 8., 1 / 8., 1 / 2.};
    uint64_t seed = 11;
    for (int k = 0; k < DRAWS; k++) {
        cp_localisation found;
        for (int i = 0; i < BIG * BIG; i++)
            map[i] = (float)cp_random_uniform(&seed);
        assert_int_equal(cp_localise(map, BIG, BIG, &whole, &box, &found), CP_OK);
        value[0][k] = found.energy, value[1][k] = found.lift, value[2][k] = found.pointing, value[3][k] = found.ranking;
        value[4][k] = cp_localise_confusion(map, BIG, &whole, &box, &other, 1);
    }
    for (int m = 0; m < 5; m++) {
        cp_mean mean = cp_mean_of(value[m], DRAWS);
        near(mean.mean, chance[m], 3 * mean.error);
    }
}

/* By noise the pixels go in any order: after k of 36 a logit of weights 4, 2 and 1 has lost k / 36 of them on average, whichever
 * end goes first. The perfect order of the same map is far from that, and so is the inverted one. */
static void curves_of_random_maps_give_chance(void **state)
{
    (void)state;
    enum { DRAWS = 300 };
    setting s = start();
    const double fractions[] = {.5};
    float map[SIDE * SIDE];
    double logit[2][DRAWS];
    uint64_t seed = 5;
    for (int k = 0; k < DRAWS; k++) {
        for (int i = 0; i < SIDE * SIDE; i++)
            map[i] = (float)cp_random_uniform(&seed);
        for (int least = 0; least < 2; least++) {
            const cp_degrade_options o = {.least_first = least, .fractions = fractions, .n = 1};
            double p;
            assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, &p), CP_OK);
            logit[least][k] = log(p / (1 - p));
        }
    }
    for (int least = 0; least < 2; least++) {
        cp_mean mean = cp_mean_of(logit[least], DRAWS);
        near(mean.mean, 7 / 2. - 2, 3 * mean.error);
    }
    for (int inverted = 0; inverted < 2; inverted++) {
        const cp_degrade_options o = {.fractions = fractions, .n = 1};
        double p;
        memset(map, 0, sizeof map);
        map[7] = 4, map[20] = 2, map[0] = 1;
        for (int i = 0; i < SIDE * SIDE; i++)
            map[i] = inverted ? -map[i] : map[i];
        assert_int_equal(cp_degrade(s.net.model, s.input, map, &s.target, &o, &p), CP_OK);
        near(log(p / (1 - p)), inverted ? 5 : -2, 1e-4);
    }
    tiny_close(&s.net);
}

static void paired_tests(void **state)
{
    (void)state;
    double a[40], b[40];
    uint64_t seed = 9;
    for (int i = 0; i < 40; i++) {
        b[i] = cp_random_uniform(&seed);
        a[i] = b[i] + .1 + .02 * cp_random_uniform(&seed);
    }
    cp_paired better = cp_compare_paired(a, b, 40, 0, 1);
    near(better.difference.mean, .11, .01);
    near(better.p, 1e-4, 1e-9); /* no flip of 9999 is as far out */
    cp_paired same = cp_compare_paired(a, a, 40, 0, 1);
    near(same.difference.mean, 0, 0), near(same.p, 1, 0);
    /* Two values of one sign: half of the four flips are as extreme. */
    const double two[] = {1, 3}, none[] = {0, 0};
    near(cp_compare_paired(two, none, 2, 99999, 1).p, .5, .01);
    a[3] = NAN;
    assert_int_equal(cp_compare_paired(a, b, 40, 9, 1).difference.n, 39);
    cp_mean m = cp_mean_of(two, 2);
    near(m.mean, 2, 0), near(m.error, 1, 1e-12);
}

/* What a mask holds is what a box of the same pixels holds; one without a pixel on the photo holds nothing to measure. */
static void localisation_in_masks(void **state)
{
    (void)state;
    enum { SIDES = 8 };
    float map[SIDES * SIDES];
    uint8_t mask[SIDES * SIDES] = {0};
    const cp_placement whole = {SIDES, SIDES, 0, 0, SIDES, SIDES}, upper = {SIDES, 4, 0, 0, SIDES, 4};
    const cp_map_box box = {2, 3, 3, 4};
    cp_localisation of_box, of_mask;
    for (int i = 0; i < SIDES * SIDES; i++) {
        map[i] = (float)((i * 37 + 11) % 64) - 8;
        mask[i] = i % SIDES >= 2 && i % SIDES < 5 && i / SIDES >= 3 && i / SIDES < 7 ? 200 : 0;
    }
    assert_int_equal(cp_localise(map, SIDES, SIDES, &whole, &box, &of_box), CP_OK);
    assert_int_equal(cp_localise_mask(map, SIDES, SIDES, &whole, mask, &of_mask), CP_OK);
    assert_true(of_box.energy > 0 && of_box.energy < 1);
    assert_true(of_mask.energy == of_box.energy && of_mask.lift == of_box.lift && of_mask.pointing == of_box.pointing);
    assert_true(of_mask.ranking == of_box.ranking && of_mask.compactness == of_box.compactness);

    /* Planted: the mask is an L that no box is. All of the map on it, all beside it, the same everywhere. */
    memset(mask, 0, sizeof mask);
    for (int k = 1; k < 6; k++)
        mask[k * SIDES + 1] = mask[5 * SIDES + k] = 1;
    for (int kind = 0; kind < 3; kind++) {
        for (int i = 0; i < SIDES * SIDES; i++)
            map[i] = kind == 2 ? 3 : (float)(kind ? !mask[i] : mask[i]);
        assert_int_equal(cp_localise_mask(map, SIDES, SIDES, &whole, mask, &of_mask), CP_OK);
        const double energy[] = {1, 0, 9. / 64};
        near(of_mask.energy, energy[kind], 1e-9);
        near(of_mask.ranking, energy[kind], 1e-9);
        near(of_mask.lift, energy[kind] * 64 / 9, 1e-9);
        assert_true(of_mask.pointing == (kind == 0));
    }
    memset(mask, 0, sizeof mask);
    for (int below = 0; below < 2; below++) { /* empty; and where the photo is not */
        mask[7 * SIDES] = below != 0;
        assert_int_equal(cp_localise_mask(map, SIDES, SIDES, below ? &upper : &whole, mask, &of_mask), CP_OK);
        assert_true(isnan(of_mask.energy) && isnan(of_mask.lift) && isnan(of_mask.ranking) && isnan(of_mask.compactness));
        assert_false(of_mask.pointing);
    }
    mask[0] = 1;
    map[9] = NAN;
    assert_int_equal(cp_localise_mask(map, SIDES, SIDES, &whole, mask, &of_mask), CP_EINPUT);
    assert_int_equal(cp_localise_mask(map, 3, SIDES, &whole, mask, &of_mask), CP_EINPUT);
}

/* Photos that are stretched, lie between bars, or reach beyond the input: each pixel takes what its middle lies in. */
static void masks_in_the_input(void **state)
{
    (void)state;
    const uint8_t photo[2 * 4] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t mask[16];
    const cp_placement stretched = {4, 2, 0, 0, 4, 4}, bars = {4, 2, 0, 1, 4, 2}, cropped = {4, 2, -2, 0, 8, 4};
    const uint8_t as_stretched[] = {1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8},
                  as_bars[] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0},
                  as_cropped[] = {2, 2, 3, 3, 2, 2, 3, 3, 6, 6, 7, 7, 6, 6, 7, 7};
    cp_mask_to_map(photo, &stretched, 4, 4, mask);
    assert_memory_equal(mask, as_stretched, 16);
    cp_mask_to_map(photo, &bars, 4, 4, mask);
    assert_memory_equal(mask, as_bars, 16);
    cp_mask_to_map(photo, &cropped, 4, 4, mask);
    assert_memory_equal(mask, as_cropped, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localisation_in_masks),
        cmocka_unit_test(masks_in_the_input),
        cmocka_unit_test(curves_of_planted_maps), cmocka_unit_test(only_the_photo_is_changed), cmocka_unit_test(areas),
        cmocka_unit_test(imputation_solves_the_system), cmocka_unit_test(localisation_of_planted_maps),
        cmocka_unit_test(confusion_with_other_objects), cmocka_unit_test(complexity_of_planted_maps), cmocka_unit_test(complexity_as_the_library),
        cmocka_unit_test(sufficiency_by_hand), cmocka_unit_test(random_maps_give_chance), cmocka_unit_test(curves_of_random_maps_give_chance),
        cmocka_unit_test(paired_tests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

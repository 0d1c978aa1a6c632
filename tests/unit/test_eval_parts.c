/* FunnyBirds' protocols by hand: importances over grown parts, thresholds, and what each check makes of planted maps. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/parts.h"

static void near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9))
        fail_msg("%.9g found, %.9g expected", found, expected);
}

/* A 9x9 map of ones. Part 1 is the pixel (4,4): 25 pixels grown; part 2 the corner (0,0): 9; part 3 two far pixels of
 * the last row; 7 is none of the three. A pixel that two parts reach counts for both. */
static void importance_over_grown_parts(void **state)
{
    (void)state;
    uint8_t part[81] = {0};
    float map[81];
    double importance[3];
    for (int i = 0; i < 81; i++)
        map[i] = 1;
    part[4 * 9 + 4] = 1;
    part[0] = 2;
    part[8 * 9] = part[8 * 9 + 8] = 3;
    part[8] = 7;
    cp_parts_importance(map, part, 9, 9, 3, importance);
    near(importance[0], 25);
    near(importance[1], 9);
    near(importance[2], 18);
    map[2 * 9 + 2] = -5; /* reached by the first two */
    cp_parts_importance(map, part, 9, 9, 3, importance);
    near(importance[0], 19);
    near(importance[1], 3);
    near(importance[2], 18);
}

static void thresholds_of_the_paper(void **state)
{
    (void)state;
    near(cp_parts_threshold(0), .01);
    near(cp_parts_threshold(79), .5);
    near(cp_parts_threshold(1), .01 + .49 / 79);
}

/* Three parts, of which the first alone decides (bit 0), and one other thing. Without the first the response falls
 * from 10 to 2; the second costs .3, the third adds .1, the other costs .2: three things are needless. */
static const double drop[4] = {8, .3, -.1, .2};
static const bool same[8] = {true, false, true, false, true, false, true, false};

static cp_parts_scores judge(double a, double b, double c, double other)
{
    const double importance[4] = {a, b, c, other};
    const cp_parts_case given = {3, importance, 1, drop, 10, same, 1};
    cp_parts_scores scores;
    assert_int_equal(cp_parts_judge(&given, &scores), CP_OK);
    return scores;
}

static void a_perfect_map(void **state)
{
    (void)state;
    cp_parts_scores s = judge(.9, .008, .001, .005);
    near(s.deletion, 1);
    for (int t = 0; t < CP_PARTS_THRESHOLDS; t++) {
        near(s.keep[t], 1);
        near(s.remove[t], 1);
        near(s.ignore[t], 1);
    }
}

static void an_inverted_map(void **state)
{
    (void)state;
    cp_parts_scores s = judge(.001, .003, .9, .9);
    near(s.deletion, 0); /* drops rank 3 2 1, importances 1 2 3 */
    near(s.keep[40], 0);
    near(s.remove[40], 0);
    near(s.ignore[40], 1. / 3);
}

/* Parts that share a map equally: important up to the threshold that they reach. */
static void a_map_that_spreads(void **state)
{
    (void)state;
    cp_parts_scores s = judge(.25, .25, .25, .25);
    assert_true(isnan(s.deletion));
    for (int t = 0; t < CP_PARTS_THRESHOLDS; t++) {
        bool counts = .25 > cp_parts_threshold(t);
        near(s.keep[t], counts);
        near(s.remove[t], counts);
        near(s.ignore[t], counts ? 0 : 1);
    }
}

static void nothing_needless_and_too_much(void **state)
{
    (void)state;
    const double needed[2] = {5, 6}, importance[2] = {.5, .2};
    const bool both[4] = {true, false, false, false};
    cp_parts_scores scores;
    cp_parts_case given = {2, importance, 1, needed, 10, both, 0};
    assert_int_equal(cp_parts_judge(&given, &scores), CP_OK);
    assert_true(isnan(scores.ignore[0]));
    near(scores.deletion, 0);
    given.n = CP_PARTS_MOST;
    given.others = 1;
    assert_int_equal(cp_parts_judge(&given, &scores), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "16 and 1 others"));
    given.n = given.others = 0;
    assert_int_equal(cp_parts_judge(&given, &scores), CP_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(importance_over_grown_parts),
                                       cmocka_unit_test(thresholds_of_the_paper),
                                       cmocka_unit_test(a_perfect_map),
                                       cmocka_unit_test(an_inverted_map),
                                       cmocka_unit_test(a_map_that_spreads),
                                       cmocka_unit_test(nothing_needless_and_too_much)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

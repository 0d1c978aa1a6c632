/* Average precision, against values worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "../../examples/signs/map.h"

static const signs_box A = {0, 0, 10, 10}, B = {20, 0, 30, 10}, FAR = {50, 50, 60, 60};

static void test_iou(void **state)
{
    (void)state;
    assert_float_equal(signs_box_iou(A, A), 1, 1e-12);
    assert_float_equal(signs_box_iou(A, (signs_box){5, 0, 15, 10}), 50.0 / 150, 1e-12);
    assert_float_equal(signs_box_iou(A, (signs_box){2, 3, 7, 8}), 25.0 / 100, 1e-12);
    assert_float_equal(signs_box_iou(A, (signs_box){10, 0, 20, 10}), 0, 0);
}

/* right, wrong, right: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1; area = 1/2 * 1 + 1/2 * 2/3 */
static void test_area(void **state)
{
    (void)state;
    signs_truth truths[] = {{0, A, false}, {0, B, false}};
    signs_detection detections[] = {{0, .7, B}, {0, .9, A}, {0, .8, FAR}};
    assert_float_equal(signs_average_precision(truths, 2, detections, 3, .5), 5.0 / 6, 1e-12);
    assert_float_equal(detections[0].confidence, .9, 0);
    assert_true(truths[0].found && truths[1].found);
}

/* A second detection of one truth is false, and so is the right box in another scene. */
static void test_one_truth_counts_once(void **state)
{
    (void)state;
    signs_truth truths[] = {{0, A, false}, {1, B, false}};
    signs_detection twice[] = {{0, .9, A}, {0, .8, A}};
    assert_float_equal(signs_average_precision(truths, 2, twice, 2, .5), .5, 1e-12);
    signs_detection astray[] = {{1, .9, A}, {0, .8, B}};
    assert_float_equal(signs_average_precision(truths, 2, astray, 2, .5), 0, 0);
    /* precision 0, 1/2, 2/3; made monotone it is 2/3 throughout */
    signs_detection late[] = {{0, .9, FAR}, {0, .8, A}, {1, .7, B}};
    assert_float_equal(signs_average_precision(truths, 2, late, 3, .5), 2.0 / 3, 1e-12);
}

static void test_threshold_and_empty_sets(void **state)
{
    (void)state;
    signs_truth truths[] = {{0, A, false}};
    signs_detection half[] = {{0, .9, {0, 0, 10, 5}}};
    assert_float_equal(signs_average_precision(truths, 1, half, 1, .5), 1, 1e-12);
    assert_float_equal(signs_average_precision(truths, 1, half, 1, .51), 0, 0);
    assert_float_equal(signs_average_precision(truths, 1, NULL, 0, .5), 0, 0);
    assert_true(isnan(signs_average_precision(truths, 0, half, 1, .5)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iou),
        cmocka_unit_test(test_area),
        cmocka_unit_test(test_one_truth_counts_once),
        cmocka_unit_test(test_threshold_and_empty_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

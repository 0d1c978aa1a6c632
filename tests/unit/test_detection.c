/* Matching, types of errors and average precision on scenes small enough to work out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/detection.h"

/* A box of size .2, whose left side is at x; two that are d apart have an IoU of (.2 - d) / (.2 + d). */
static cp_label at(int class_id, double x) { return (cp_label){class_id, x + .1, .5, .2, .2}; }

static cp_found found_at(int class_id, float score, double x) { return (cp_found){at(class_id, x), score}; }

static void every_type_is_named(void **state)
{
    (void)state;
    /* Objects: class 0 at 0, class 1 at .3, class 0 at .6, class 2 at .8. */
    const cp_label label[] = {at(0, 0), at(1, .3), at(0, .6), at(2, .8)};
    const cp_found found[] = {
        found_at(0, .5f, .02), /* doubled: IoU .82 with the first object, which the next one takes */
        found_at(0, .9f, .01), /* right */
        found_at(0, .8f, .31), /* of another class: IoU .9 with class 1 */
        found_at(0, .7f, .68), /* shifted: IoU .43 with the third object */
        found_at(3, .6f, .40), /* both: IoU .33 with an object of another class */
        found_at(2, .4f, .44), /* both: IoU .18 with the second object, .11 with the third */
        found_at(3, .3f, .50), /* both: IoU .33 with the third */
    };
    cp_verdict v[7];
    cp_object o[4];
    assert_int_equal(cp_detections_match(found, 7, label, 4, v, o), CP_OK);
    const cp_found_type want[] = {CP_FOUND_DUPE, CP_FOUND_RIGHT, CP_FOUND_CLS, CP_FOUND_LOC,
                                  CP_FOUND_BOTH, CP_FOUND_BOTH,  CP_FOUND_BOTH};
    const int object[] = {0, 0, 1, 2, 1, 1, 2};
    for (int i = 0; i < 7; i++) {
        assert_int_equal(v[i].type, want[i]);
        assert_int_equal(v[i].object, object[i]);
    }
    assert_true(v[2].fixes && v[3].fixes && !v[0].fixes);
    assert_int_equal(v[0].same, 0);
    assert_int_equal(v[3].same, -1);
    assert_int_equal(o[0].found, 1);
    assert_int_equal(o[1].fixed, 2);
    assert_int_equal(o[2].fixed, 3);
    assert_true(o[3].found < 0 && o[3].fixed < 0); /* missed */
    const cp_found far = found_at(1, .9f, -.5);
    assert_int_equal(cp_detections_match(&far, 1, label, 4, v, o), CP_OK);
    assert_int_equal(v[0].type, CP_FOUND_BKG);
    assert_int_equal(v[0].object, -1);
    assert_int_equal(cp_detections_match(&far, 1, NULL, 0, v, o), CP_OK); /* a photo without any object */
    assert_int_equal(v[0].type, CP_FOUND_BKG);
    for (int t = 0; t < CP_FOUND_TYPES; t++)
        assert_int_equal(cp_found_type_of(cp_found_type_name((cp_found_type)t)), t);
    assert_int_equal(cp_found_type_of("none"), CP_FOUND_TYPES);
    assert_int_equal(cp_found_type_of(NULL), CP_FOUND_TYPES);
}

static void the_better_score_takes_the_object(void **state)
{
    (void)state;
    const cp_label label[] = {at(0, 0), at(0, .05)};
    /* Both overlap the second object most; the lower score falls back on the first, in TIDE and COCO, not in
     * AlexeyAB. */
    const cp_found found[] = {found_at(0, .5f, .04), found_at(0, .6f, .05)};
    cp_verdict v[2];
    cp_object o[2];
    assert_int_equal(cp_detections_match(found, 2, label, 2, v, o), CP_OK);
    assert_true(v[0].type == CP_FOUND_RIGHT && v[1].type == CP_FOUND_RIGHT);
    assert_int_equal(v[1].object, 1);
    assert_int_equal(v[0].object, 0);
    assert_true(v[0].same == 1 && v[1].same == 1);
    /* Two that would have found the same object: the better one does. */
    const cp_found off[] = {found_at(0, .5f, .1), found_at(0, .6f, -.08)};
    assert_int_equal(cp_detections_match(off, 2, label, 1, v, o), CP_OK);
    assert_true(v[0].type == CP_FOUND_LOC && v[1].type == CP_FOUND_LOC && !v[0].fixes && v[1].fixes);
}

static void add_image(cp_precision *p, const cp_found *found, size_t n, const cp_label *label, size_t m)
{
    cp_verdict v[16];
    cp_object o[16];
    assert_int_equal(cp_detections_match(found, n, label, m, v, o), CP_OK);
    for (size_t j = 0; j < m; j++)
        cp_precision_add_object(p, label[j].class_id, &o[j]);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(cp_precision_add(p, found[i].box.class_id, found[i].score, &v[i],
                                          v[i].object < 0 ? -1 : label[v[i].object].class_id),
                         CP_OK);
    cp_precision_end_image(p);
}

static bool near(double a, double b) { return fabs(a - b) < 1e-12; }

static void average_precision_by_hand(void **state)
{
    (void)state;
    cp_precision *p;
    cp_precision_report r;
    assert_int_equal(cp_precision_new(3, &p), CP_OK);
    /* Class 0: right, wrong, right by score, of 4 objects. Class 1 has an object that nothing finds. Class 2 has
     * nothing. */
    const cp_label one[] = {at(0, 0), at(0, .3), at(1, .6)}, two[] = {at(0, 0), at(0, .5)};
    const cp_found first[] = {found_at(0, .9f, 0), found_at(0, .8f, .8)}, second[] = {found_at(0, .7f, 0)};
    add_image(p, first, 2, one, 3);
    add_image(p, second, 1, two, 2);
    assert_int_equal(cp_precision_measure(p, &r), CP_OK);
    const cp_class_precision *c = &r.by_class[0];
    assert_true(c->objects == 4 && c->found == 3 && c->type[CP_FOUND_RIGHT] == 2 && c->type[CP_FOUND_BKG] == 1 &&
                c->missed == 2);
    /* Precision 1 up to recall 1/4, then 2/3 up to 1/2. */
    assert_true(near(c->area, .25 * 1 + .25 * 2 / 3));
    assert_true(near(c->points11, (3 * 1. + 3 * 2. / 3) / 11));
    assert_true(near(c->points101, (26 * 1. + 25 * 2. / 3) / 101));
    assert_true(near(c->tide, c->points101));
    assert_true(near(r.all.area, c->area / 3) && near(r.area_of_those, c->area / 2) && r.classes_with_objects == 2);
    assert_true(near(r.all.tide, c->tide / 2)); /* class 1 counts, class 2 does not */
    /* Background away: precision 1 up to 1/2. Missed away: class 0 has 2 objects, class 1 none and is left out. */
    assert_true(near(r.gain[CP_FOUND_BKG], (51. - 26 - 25 * 2. / 3) / 101 / 2));
    double without = (51 * 1. + 50 * 2. / 3) / 101;
    assert_true(near(r.gain[CP_FOUND_MISSED], without - r.all.tide));
    assert_true(r.gain[CP_FOUND_CLS] == 0 && r.gain[CP_FOUND_LOC] == 0);
    assert_true(near(r.gain_positives, r.gain[CP_FOUND_BKG]));
    cp_precision_report_free(&r);
    cp_precision_free(p);
}

static void mended_errors_move_to_their_class(void **state)
{
    (void)state;
    cp_precision *p;
    cp_precision_report r;
    assert_int_equal(cp_precision_new(2, &p), CP_OK);
    const cp_label label[] = {at(1, 0)};
    const cp_found found[] = {found_at(0, .9f, .01), found_at(0, .8f, .02)};
    add_image(p, found, 2, label, 1);
    assert_int_equal(cp_precision_measure(p, &r), CP_OK);
    assert_true(r.all.type[CP_FOUND_CLS] == 2 && r.all.missed == 0 && r.all.tide == 0);
    assert_true(near(r.gain[CP_FOUND_CLS], 1)); /* one is right in class 1, the other is gone, and class 0 with it */
    cp_precision_report_free(&r);
    cp_precision_free(p);
}

static void nothing_gives_no_number(void **state)
{
    (void)state;
    cp_precision *p;
    cp_precision_report r;
    assert_int_equal(cp_precision_new(2, &p), CP_OK);
    assert_int_equal(cp_precision_measure(p, &r), CP_OK);
    assert_true(isnan(r.all.tide) && isnan(r.area_of_those) && r.all.area == 0);
    cp_precision_report_free(&r);
    cp_precision_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_named),       cmocka_unit_test(the_better_score_takes_the_object),
        cmocka_unit_test(average_precision_by_hand), cmocka_unit_test(mended_errors_move_to_their_class),
        cmocka_unit_test(nothing_gives_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Darknet's label files: where they lie, what they hold, what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/error.h"
#include "model/labels.h"

static void names(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"data/images/a.jpg", "data/labels/a.txt"},       {"VOC/JPEGImages/000001.jpg", "VOC/labels/000001.txt"},
        {"coco/images/train2017/1.JPEG", "coco/labels/train2017/1.txt"}, {"photo.png", "photo.txt"},
        {"some.folder/photo", "some.folder/photo.txt"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *path = cp_labels_path(pairs[i][0]);
        assert_string_equal(path, pairs[i][1]);
        cp_free(path);
    }
}

static cp_status read_text(const char *text, cp_label **labels, size_t *n)
{
    char path[] = "/tmp/critpath-labels-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && !close(file));
    cp_status status = cp_labels_read(path, 3, labels, n);
    unlink(path);
    return status;
}

static void contents(void **state)
{
    (void)state;
    cp_label *labels;
    size_t n;
    assert_int_equal(read_text("\xef\xbb\xbf" "0 .5 .5 .25 .5 \r\n\n2 0.1 0.2 0.3 0.4 1", &labels, &n), CP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(labels[1].class_id, 2);
    assert_true(labels[0].w == .25 && labels[1].y == .2);
    cp_free(labels);
    assert_int_equal(read_text("", &labels, &n), CP_OK);
    assert_int_equal(n, 0);
    cp_free(labels);
    static const char *const wrong[][2] = {{"0 .5 .5 .5 .5\n3 .5 .5 .5 .5\n", "line 2: class 3, allowed is 0 to 2"},
                                           {"0 .5 .5 .5", "is not a class and four numbers"},
                                           {"cat .5 .5 .5 .5", "is not a class and four numbers"},
                                           {"0 .5 .5 0 .5", "no area"},
                                           {"0 nan .5 .5 .5", "is not a class and four numbers"},
                                           {"-1 .5 .5 .5 .5", "class -1"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(read_text(wrong[i][0], &labels, &n), CP_EINPUT);
        assert_non_null(strstr(cp_error(), wrong[i][1]));
        assert_null(labels);
    }
    assert_int_equal(cp_labels_read("no/such/labels.txt", 3, &labels, &n), CP_EINPUT);
}

static void overlaps(void **state)
{
    (void)state;
    assert_true(fabs(cp_box_overlap(.5, .5, .2, .2, .5, .5, .2, .2) - 1) < 1e-12);
    assert_true(fabs(cp_box_overlap(.5, .5, .2, .2, .6, .5, .2, .2) - 1 / 3.) < 1e-12);
    assert_true(cp_box_overlap(.2, .2, .2, .2, .8, .8, .2, .2) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(contents), cmocka_unit_test(overlaps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

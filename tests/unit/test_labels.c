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
#include "io/image.h"
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

static void last_folder(void **state)
{
    (void)state;
    char *path = cp_labels_path_last("images/a/images/1.jpg");
    assert_string_equal(path, "images/a/labels/1.txt");
    cp_free(path);
    path = cp_labels_path_last("photo.png");
    assert_string_equal(path, "photo.txt");
    cp_free(path);
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
    assert_int_equal(read_text("0 1.009 -.009 1.01 1\n", &labels, &n), CP_OK);
    assert_true(labels[0].x == 1.009);
    cp_free(labels);
    assert_int_equal(read_text("", &labels, &n), CP_OK);
    assert_int_equal(n, 0);
    cp_free(labels);
    static const char *const wrong[][2] = {{"0 .5 .5 .5 .5\n3 .5 .5 .5 .5\n", "line 2: class 3, allowed is 0 to 2"},
                                           {"0 .5 .5 .5", "is not a class and four numbers"},
                                           {"cat .5 .5 .5 .5", "is not a class and four numbers"},
                                           {"0 .5 .5 0 .5", "no area"},
                                           {"0 nan .5 .5 .5", "is not a class and four numbers"},
                                           {"0 .5 .5 .5 .5\n0 320 .5 .5 .5\n", "line 2: x is 320, allowed is 0 to 1; are these pixels?"},
                                           {"0 .5 .5 .5 21\n", "line 1: height is 21, allowed is 0 to 20; are these pixels?"},
                                           {"0 .5 -.02 .5 .5\n", "line 1: y is -0.02, allowed is 0 to 1"},
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

static void masks_lie_beside(void **state)
{
    (void)state;
    const char *const pairs[][2] = {{"a/images/b.jpg", "a/masks/b.png"}, {"VOC/JPEGImages/1.2.jpeg", "VOC/masks/1.2.png"},
                                    {"no.ending/x", "no.ending/x.png"}};
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        char *path = cp_masks_path(pairs[k][0]);
        assert_string_equal(path, pairs[k][1]);
        cp_free(path);
    }
}

static void masks_are_read(void **state)
{
    (void)state;
    cp_picture picture;
    char path[] = "/tmp/critpath-mask-XXXXXX";
    uint8_t *mask;
    size_t pixels;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(cp_picture_new(3, 2, &picture), CP_OK);
    const unsigned char levels[] = {0, 1, 2, 2, 255, 0};
    for (int i = 0; i < 18; i++)
        picture.rgb[i] = levels[i / 3];
    assert_int_equal(cp_picture_write_png(&picture, path), CP_OK);
    const struct {
        size_t object, pixels;
        uint8_t mask[6];
    } rows[] = {{0, 4, {0, 1, 1, 1, 1, 0}}, {2, 2, {0, 0, 1, 1, 0, 0}}, {3, 0, {0}}, {256, 0, {0}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        assert_int_equal(cp_mask_read(path, 3, 2, rows[k].object, &mask, &pixels), CP_OK);
        assert_int_equal(pixels, rows[k].pixels);
        assert_memory_equal(mask, rows[k].mask, 6);
        cp_free(mask);
    }
    assert_int_equal(cp_mask_read(path, 2, 3, 0, &mask, &pixels), CP_EINPUT);
    assert_null(mask);
    assert_non_null(strstr(cp_error(), "a mask of 3x2, its photo has 2x3"));
    picture.rgb[4] = 9; /* blue and red are 1 */
    assert_int_equal(cp_picture_write_png(&picture, path), CP_OK);
    assert_int_equal(cp_mask_read(path, 3, 2, 0, &mask, &pixels), CP_OK);
    cp_free(mask);
    assert_int_equal(cp_mask_read(path, 3, 2, 1, &mask, &pixels), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "x 1, y 0 has the colour 1,9,1"));
    assert_int_equal(cp_mask_read("tests/no-such.png", 3, 2, 0, &mask, &pixels), CP_EINPUT);
    cp_picture_free(&picture);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_lie_beside),
        cmocka_unit_test(masks_are_read), cmocka_unit_test(last_folder),
        cmocka_unit_test(names), cmocka_unit_test(contents), cmocka_unit_test(overlaps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What ROAR and KAR train on: which pixels go, what takes their place, and where the picture is put. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "eval/roar.h"

static const float map[6] = {.1f, -5, .3f, .3f, 2, 0};
static const float colour[2] = {.5f, .25f};

static void fill(float picture[12])
{
    for (int i = 0; i < 12; i++)
        picture[i] = (float)(i + 1);
}

static void expect(const float picture[12], const char *gone)
{
    for (int i = 0; i < 12; i++) {
        float expected = strchr(gone, '0' + i % 6) ? colour[i / 6] : (float)(i + 1);
        if (picture[i] != expected)
            fail_msg("value %d is %g, expected %g", i, picture[i], expected);
    }
}

/* Half of six pixels: 2, then .3 twice. Of the lowest two fifths (2.4, rounded to 2): -5 and 0. */
static void removes_the_pixels_that_the_map_ranks(void **state)
{
    (void)state;
    const struct {
        double fraction;
        bool least;
        const char *gone;
    } rows[] = {{.5, false, "423"}, {.3, false, "42"},    {.4, true, "15"},
                {0, false, ""},     {1, false, "012345"}, {1, true, "012345"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float picture[12];
        fill(picture);
        assert_int_equal(cp_roar_remove(map, 2, 2, 3, rows[i].fraction, rows[i].least, colour, picture), CP_OK);
        expect(picture, rows[i].gone);
    }
}

/* A constant map ranks by index, so that what it removes is the same every time. */
static void equal_pixels_go_in_index_order(void **state)
{
    (void)state;
    const float constant[6] = {1, 1, 1, 1, 1, 1};
    float picture[12];
    fill(picture);
    assert_int_equal(cp_roar_remove(constant, 2, 2, 3, .5, false, colour, picture), CP_OK);
    expect(picture, "012");
    fill(picture);
    assert_int_equal(cp_roar_remove(constant, 2, 2, 3, .5, true, colour, picture), CP_OK);
    expect(picture, "012");
}

static void refuses_what_cannot_be_ranked(void **state)
{
    (void)state;
    const float broken[6] = {1, 2, NAN, 3, 4, 5};
    float picture[12];
    fill(picture);
    assert_int_equal(cp_roar_remove(broken, 2, 2, 3, .5, false, colour, picture), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "x 2, y 0"));
    assert_int_equal(cp_roar_remove(map, 2, 2, 3, 1.5, false, colour, picture), CP_EINPUT);
    assert_int_equal(cp_roar_remove(map, 2, 2, 3, NAN, false, colour, picture), CP_EINPUT);
    expect(picture, "");
}

static void paths_stay_below_the_folder(void **state)
{
    (void)state;
    const char *const rows[][2] = {{"cat/1.png", "out/cat/1.png.ppm"},
                                   {"/data/cat/1.png", "out/data/cat/1.png.ppm"},
                                   {"../../etc/cat.jpg", "out/up/up/etc/cat.jpg.ppm"},
                                   {".//./a/../b", "out/a/up/b.ppm"},
                                   {".hidden/..x/y.", "out/.hidden/..x/y..ppm"}};
    char path[CP_ROAR_PATH], lengthy[CP_ROAR_PATH];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(cp_roar_path("out", rows[i][0], path), CP_OK);
        assert_string_equal(path, rows[i][1]);
    }
    memset(lengthy, 'a', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = 0;
    assert_int_equal(cp_roar_path("out", lengthy, path), CP_EINPUT);
    assert_int_equal(cp_roar_path("out", lengthy + 4, path), CP_EINPUT);
    assert_int_equal(cp_roar_path("out", lengthy + 8, path), CP_OK);
    assert_int_equal(strlen(path), CP_ROAR_PATH - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removes_the_pixels_that_the_map_ranks), cmocka_unit_test(equal_pixels_go_in_index_order),
        cmocka_unit_test(refuses_what_cannot_be_ranked), cmocka_unit_test(paths_stay_below_the_folder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Our pixels against Darknet's own load_image_color, bit for bit: the pictures of its source, and made ones. */
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

#include "darknet.h"
#undef error
#include "io/error.h"
#include "io/image.h"
#include "io_temp.h"

static void compare(const char *path)
{
    cp_picture ours;
    assert_ok(cp_picture_read(path, &ours));
    image theirs = load_image_color((char *)path, 0, 0);
    assert_int_equal(ours.w, theirs.w);
    assert_int_equal(ours.h, theirs.h);
    size_t n = 3 * (size_t)ours.w * (size_t)ours.h;
    float *chw = cp_alloc(n, sizeof *chw, "picture");
    assert_non_null(chw);
    cp_picture_to_float(&ours, chw);
    size_t differ = 0;
    for (size_t i = 0; i < n; i++) differ += chw[i] != theirs.data[i];
    if (differ) fail_msg("%s: %zu of %zu values differ", path, differ, n);
    cp_free(chw);
    cp_picture_free(&ours);
    free_image(theirs);
}

static void darknets_pictures(void **state)
{
    (void)state;
    static const char *const names[] = {"dog", "eagle", "giraffe", "horses", "kite", "person", "scream"};
    int seen = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/data/%s.jpg", DARKNET_SRC, names[i]);
        if (access(path, R_OK) != 0) continue;
        compare(path);
        seen++;
    }
    if (!seen) {
        print_message("skipped: %s/data has no pictures\n", DARKNET_SRC);
        skip();
    }
}

static void made_pictures(void **state)
{
    (void)state;
    unsigned char rgba[4 * 37 * 23];
    unsigned v = 1;
    for (size_t i = 0; i < sizeof rgba; i++) {
        v = v * 1664525u + 1013904223u;
        rgba[i] = (unsigned char)(i % 5 ? i / 3 : v >> 24);
    }
    for (int channels = 1; channels <= 4; channels++) {
        stbi_write_png("p.png", 37, 23, channels, rgba, 37 * channels);
        compare("p.png");
        stbi_write_bmp("p.bmp", 37, 23, channels, rgba);
        compare("p.bmp");
        stbi_write_tga("p.tga", 37, 23, channels, rgba);
        compare("p.tga");
        for (int quality = 20; quality <= 100; quality += 40) { /* with and without subsampled colour */
            stbi_write_jpg("p.jpg", 37, 23, channels, rgba, quality);
            compare("p.jpg");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(darknets_pictures), cmocka_unit_test(made_pictures)};
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}

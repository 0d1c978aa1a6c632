/* The generator of the sign scenes: the same anywhere, and labels and masks that agree with what was drawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../examples/signs/signs.h"

static signs_scene draw(signs_options options, uint64_t index)
{
    signs_scene scene;
    if (signs_scene_draw(&scene, &options, index) != CP_OK) fail_msg("%s", cp_error());
    return scene;
}

/* The digests were taken once on x86-64; another machine, compiler or C library must reach them too. */
static void test_same_pixels_anywhere(void **state)
{
    (void)state;
    static const uint64_t expected[3] = {UINT64_C(0xf032e2f6a61a7fe0), UINT64_C(0x8c674b2baf6dc7ff),
                                         UINT64_C(0x7cef0b5e04337d7f)};
    for (int kind = 0; kind < 3; kind++) {
        signs_options options = signs_options_default();
        options.seed = 7;
        options.stickers = (signs_stickers)kind;
        uint64_t digest = 0;
        for (uint64_t i = 0; i < 3; i++) {
            signs_scene scene = draw(options, i);
            digest = signs_scene_digest(&scene, digest);
            signs_scene_free(&scene);
        }
        if (digest != expected[kind])
            fail_msg("stickers %d: digest %016llx, expected %016llx", kind, (unsigned long long)digest,
                     (unsigned long long)expected[kind]);
    }
}

static void test_scene_depends_on_seed_and_index_alone(void **state)
{
    (void)state;
    signs_options options = signs_options_default();
    signs_scene a = draw(options, 5), other = draw(options, 6), b = draw(options, 5);
    assert_int_equal(signs_scene_digest(&a, 0), signs_scene_digest(&b, 0));
    assert_int_not_equal(signs_scene_digest(&a, 0), signs_scene_digest(&other, 0));
    options.seed++;
    signs_scene c = draw(options, 5);
    assert_int_not_equal(signs_scene_digest(&a, 0), signs_scene_digest(&c, 0));
    signs_scene_free(&a);
    signs_scene_free(&b);
    signs_scene_free(&c);
    signs_scene_free(&other);
}

/* Without its glyph a sign has face where the glyph was, and everything further than the camera's blur keeps its
 * pixels; without rim, face and glyph the sign is gone; other signs stay in any case. */
static void test_parts_are_left_out(void **state)
{
    (void)state;
    signs_options options = signs_options_default();
    options.seed = 7;
    signs_scene whole = draw(options, 4);
    size_t n = (size_t)whole.width * (size_t)whole.height;
    options.left_out[0] = 1 << SIGNS_GLYPH;
    signs_scene plain = draw(options, 4);
    options.left_out[0] = 0xff;
    signs_scene gone = draw(options, 4);
    size_t glyph = 0, changed = 0, far = 0;
    for (size_t i = 0; i < n; i++) {
        int mine = whole.mask[i] / 8 == 1, part = whole.mask[i] % 8;
        assert_int_equal(plain.mask[i], mine && part == SIGNS_GLYPH ? 8 + SIGNS_FACE : whole.mask[i]);
        assert_int_not_equal(gone.mask[i] / 8, 1);
        if (!mine && whole.mask[i]) assert_int_equal(gone.mask[i], whole.mask[i]);
        glyph += mine && part == SIGNS_GLYPH;
        bool differs = memcmp(whole.rgb + 3 * i, plain.rgb + 3 * i, 3) != 0, near_glyph = false;
        changed += differs && mine && part == SIGNS_GLYPH;
        for (int dy = -4; dy <= 4; dy++)
            for (int dx = -4; dx <= 4; dx++) {
                size_t at = (size_t)((long)i + dy * whole.width + dx);
                near_glyph |= at < n && whole.mask[at] == 8 + SIGNS_GLYPH;
            }
        far += differs && !near_glyph;
    }
    assert_true(glyph > 0 && changed > glyph * 9 / 10);
    assert_int_equal(far, 0);
    signs_scene_free(&whole);
    signs_scene_free(&plain);
    signs_scene_free(&gone);
}

/* The scene with a sticker left out is that of the set without stickers. */
static void test_a_sticker_left_out_was_never_planted(void **state)
{
    (void)state;
    signs_options options = signs_options_default();
    options.seed = 7;
    signs_scene none = draw(options, 2);
    options.stickers = SIGNS_STICKERS_PROBE;
    signs_scene with = draw(options, 2);
    assert_int_not_equal(signs_scene_digest(&with, 0), signs_scene_digest(&none, 0));
    for (int i = 0; i < SIGNS_MAX; i++)
        options.left_out[i] = 1 << SIGNS_STICKER;
    signs_scene without = draw(options, 2);
    assert_int_equal(signs_scene_digest(&without, 0), signs_scene_digest(&none, 0));
    signs_scene_free(&none);
    signs_scene_free(&with);
    signs_scene_free(&without);
}

static uint8_t *read_rgb(const char *path, int *w, int *h)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    assert_true(png_image_begin_read_from_file(&image, path));
    image.format = PNG_FORMAT_RGB;
    uint8_t *rgb = malloc(PNG_IMAGE_SIZE(image));
    assert_non_null(rgb);
    assert_true(png_image_finish_read(&image, NULL, rgb, 0, NULL));
    *w = (int)image.width;
    *h = (int)image.height;
    return rgb;
}

static void remove_set(const char *folder)
{
    static const char *const below[] = {"images/s.png", "labels/s.txt", "masks/s.png", "images", "labels", "masks", ""};
    char path[256];
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, below[i]);
        remove(path);
    }
}

/* From the files alone: the box of each line of the label is the bounding box of the colours of that instance. */
static void check_labels(const char *folder)
{
    char path[256];
    int w, h, class, instance = 0;
    double x, y, bw, bh;
    snprintf(path, sizeof path, "%s/masks/s.png", folder);
    uint8_t *mask = read_rgb(path, &w, &h);
    snprintf(path, sizeof path, "%s/labels/s.txt", folder);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fscanf(file, "%d %lf %lf %lf %lf", &class, &x, &y, &bw, &bh) == 5) {
        int x0 = w, y0 = h, x1 = -1, y1 = -1, glyph = 0;
        instance++;
        for (int i = 0; i < w * h; i++) {
            const uint8_t *p = mask + 3 * i;
            if (p[0] != 40 * instance) continue;
            assert_int_equal(p[2], 25 * (class + 1));
            if (p[1] == 60 * SIGNS_STICKER) continue;
            assert_in_range(p[1] / 60, SIGNS_RIM, SIGNS_GLYPH);
            glyph += p[1] == 60 * SIGNS_GLYPH;
            x0 = i % w < x0 ? i % w : x0;
            x1 = i % w > x1 ? i % w : x1;
            y0 = i / w < y0 ? i / w : y0;
            y1 = i / w > y1 ? i / w : y1;
        }
        assert_true(glyph >= 12);
        assert_float_equal(x, (x0 + x1 + 1) / 2.0 / w, 1e-6);
        assert_float_equal(y, (y0 + y1 + 1) / 2.0 / h, 1e-6);
        assert_float_equal(bw, (double)(x1 - x0 + 1) / w, 1e-6);
        assert_float_equal(bh, (double)(y1 - y0 + 1) / h, 1e-6);
    }
    fclose(file);
    for (int i = 0; i < w * h; i++) assert_true(mask[3 * i] <= 40 * instance);
    assert_true(instance >= 1);
    free(mask);
}

static void test_files_agree(void **state)
{
    (void)state;
    char folder[] = "/tmp/critpath-signs-XXXXXX", path[256];
    assert_non_null(mkdtemp(folder));
    static const char *const below[] = {"images", "labels", "masks"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, below[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    signs_options options = signs_options_default();
    options.stickers = SIGNS_STICKERS_PROBE;
    options.height = 160;
    options.largest = 80;
    for (uint64_t i = 0; i < 8; i++) {
        signs_scene scene = draw(options, i), back;
        assert_int_equal(signs_scene_write(&scene, folder, "s"), CP_OK);
        check_labels(folder);
        snprintf(path, sizeof path, "%s/images/s.png", folder);
        if (signs_scene_read(&back, path) != CP_OK) fail_msg("%s", cp_error());
        assert_int_equal(signs_scene_digest(&scene, 0), signs_scene_digest(&back, 0));
        signs_scene_free(&scene);
        signs_scene_free(&back);
    }
    snprintf(path, sizeof path, "%s/masks/s.png", folder);
    FILE *file = fopen(path, "wb");
    fputs("not a picture", file);
    fclose(file);
    signs_scene back;
    snprintf(path, sizeof path, "%s/images/s.png", folder);
    assert_int_equal(signs_scene_read(&back, path), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "masks/s.png"));
    remove_set(folder);
}

static void test_stickers_stand_where_planted(void **state)
{
    (void)state;
    int with[3][SIGNS_CLASSES] = {{0}}, all[SIGNS_CLASSES] = {0};
    signs_options options = signs_options_default();
    options.width = options.height = 96;
    options.largest = 40;
    for (int kind = 0; kind < 3; kind++) {
        options.stickers = (signs_stickers)kind;
        for (uint64_t i = 0; i < 120; i++) {
            signs_scene scene = draw(options, i);
            for (int k = 0; k < scene.n; k++) {
                with[kind][scene.sign[k].class] += scene.sign[k].sticker;
                all[scene.sign[k].class] += kind == 0;
            }
            signs_scene_free(&scene);
        }
    }
    for (int class = 0; class < SIGNS_CLASSES; class++) {
        double n = all[class];
        assert_true(n > 15);
        assert_int_equal(with[SIGNS_STICKERS_NONE][class], 0);
        assert_true(with[SIGNS_STICKERS_PROBE][class] > .25 * n && with[SIGNS_STICKERS_PROBE][class] < .75 * n);
        if (class != SIGNS_SHORTCUT_CLASS) assert_int_equal(with[SIGNS_STICKERS_SHORTCUT][class], 0);
        else assert_true(with[SIGNS_STICKERS_SHORTCUT][class] > .8 * n);
    }
}

/* Planting stickers changes pixels near a sticker: blur reaches 3 pixels. A pixel that a sticker covers by less than
 * half changes too, unseen by the mask: those are few. */
static void test_scenes_differ_by_the_sticker_alone(void **state)
{
    (void)state;
    signs_options plain = signs_options_default(), probe = plain;
    probe.stickers = SIGNS_STICKERS_PROBE;
    int changed = 0, astray = 0, w = plain.width, h = plain.height;
    for (uint64_t index = 0; index < 5; index++) {
        signs_scene a = draw(plain, index), b = draw(probe, index);
        assert_int_equal(a.n, b.n);
        for (int i = 0; i < w * h; i++) {
            if (memcmp(a.rgb + 3 * i, b.rgb + 3 * i, 3) == 0) continue;
            bool near = false;
            for (int dy = -4; dy <= 4; dy++)
                for (int dx = -4; dx <= 4; dx++) {
                    int x = i % w + dx, y = i / w + dy;
                    if (x < 0 || y < 0 || x >= w || y >= h) continue;
                    near = near || b.mask[y * w + x] % 8 == SIGNS_STICKER;
                }
            astray += !near;
            changed++;
        }
        signs_scene_free(&a);
        signs_scene_free(&b);
    }
    assert_true(changed > 1000);
    assert_true(100 * astray < changed);
}

static void test_bad_options_are_refused(void **state)
{
    (void)state;
    signs_scene scene;
    signs_options options = signs_options_default();
    options.width = 4000;
    assert_int_equal(signs_scene_draw(&scene, &options, 0), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "4000x224"));
    options = signs_options_default();
    options.largest = 113;
    assert_int_equal(signs_scene_draw(&scene, &options, 0), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "16 to 113"));
    options.largest = 8;
    assert_int_equal(signs_scene_draw(&scene, &options, 0), CP_EINPUT);
    options = signs_options_default();
    options.stickers = (signs_stickers)9;
    assert_int_equal(signs_scene_draw(&scene, &options, 0), CP_EINPUT);
    signs_scene_free(&scene);
}

static void test_paths(void **state)
{
    (void)state;
    char path[40];
    assert_int_equal(signs_path_of(path, sizeof path, "a/images/b.c.png", "labels"), CP_OK);
    assert_string_equal(path, "a/labels/b.c.txt");
    assert_int_equal(signs_path_of(path, sizeof path, "images/7.png", "masks"), CP_OK);
    assert_string_equal(path, "masks/7.png");
    assert_int_equal(signs_path_of(path, sizeof path, "a/pictures/b.png", "labels"), CP_EINPUT);
    const char *longest = "a/images/a-name-that-is-too-long-for-us.png";
    assert_int_equal(signs_path_of(path, sizeof path, longest, "masks"), CP_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_pixels_anywhere),
        cmocka_unit_test(test_scene_depends_on_seed_and_index_alone),
        cmocka_unit_test(test_parts_are_left_out),
        cmocka_unit_test(test_a_sticker_left_out_was_never_planted),
        cmocka_unit_test(test_files_agree),
        cmocka_unit_test(test_stickers_stand_where_planted),
        cmocka_unit_test(test_scenes_differ_by_the_sticker_alone),
        cmocka_unit_test(test_bad_options_are_refused),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

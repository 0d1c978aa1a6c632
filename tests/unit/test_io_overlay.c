/* Drawing and the picture of an explanation: where things land, in which colour, and what stays untouched. */
#include <math.h>

#include "io/draw.h"
#include "io/error.h"
#include "io/overlay.h"
#include "io_temp.h"

static const cp_colour red = {255, 0, 0};

static const unsigned char *at(const cp_picture *p, int x, int y)
{
    return p->rgb + 3 * ((size_t)y * (size_t)p->w + (size_t)x);
}

static cp_picture paper(int w, int h)
{
    cp_picture p;
    assert_ok(cp_picture_new(w, h, &p));
    memset(p.rgb, 255, 3 * (size_t)w * (size_t)h);
    return p;
}

/* Pixels that are no longer white, and the smallest box around them. */
struct marks {
    int n, left, top, right, bottom;
};

static struct marks marks_in(const cp_picture *p)
{
    struct marks m = {0, p->w, p->h, -1, -1};
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const unsigned char *c = at(p, x, y);
            if (c[0] == 255 && c[1] == 255 && c[2] == 255) continue;
            m.n++;
            if (x < m.left) m.left = x;
            if (x > m.right) m.right = x;
            if (y < m.top) m.top = y;
            if (y > m.bottom) m.bottom = y;
        }
    return m;
}

static void areas_are_clipped(void **state)
{
    (void)state;
    cp_picture p = paper(20, 10);
    cp_draw_fill(&p, 3, 2, 4, 5, red);
    struct marks m = marks_in(&p);
    assert_int_equal(m.n, 20);
    assert_true(m.left == 3 && m.right == 6 && m.top == 2 && m.bottom == 6);
    assert_memory_equal(at(&p, 6, 6), "\xff\0\0", 3);
    cp_draw_fill(&p, -100, -100, 10, 10, red);
    cp_draw_fill(&p, 19, 9, INT32_MAX, INT32_MAX, red);
    assert_int_equal(marks_in(&p).n, 21);
    cp_draw_box(&p, -5, -5, 40, 40, 3, red); /* its edges are outside */
    cp_draw_line(&p, -50, -50, -1000, 1e9, 3, red);
    cp_draw_line(&p, NAN, 0, 5, 5, 3, red);
    assert_int_equal(marks_in(&p).n, 21);
    cp_picture_free(&p);
    p = paper(20, 10);
    cp_draw_box(&p, 2, 1, 10, 8, 2, red);
    assert_int_equal(marks_in(&p).n, 10 * 8 - 6 * 4);
    cp_picture_free(&p);
    p = paper(20, 10);
    cp_draw_line(&p, 2, 5, 12, 5, 2, red); /* rows 4 and 5 in full */
    for (int x = 3; x < 11; x++) assert_true(at(&p, x, 4)[1] == 0 && at(&p, x, 5)[1] == 0 && at(&p, x, 7)[1] == 255);
    cp_picture_free(&p);
}

/* CIE 1976 L*, 0 to 100. */
static double lightness(cp_colour c)
{
    const unsigned char v[3] = {c.r, c.g, c.b};
    static const double weight[3] = {0.2126, 0.7152, 0.0722};
    double y = 0;
    for (int i = 0; i < 3; i++)
        y += weight[i] * (v[i] <= 10 ? v[i] / 255. / 12.92 : pow((v[i] / 255. + .055) / 1.055, 2.4));
    return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y;
}

static void colour_scales(void **state)
{
    (void)state;
    double last = 1000;
    for (double t = 0; t <= 1; t += 0.05) {
        cp_colour minus = cp_colour_signed(-t), plus = cp_colour_signed(t);
        assert_true(fabs(lightness(minus) - lightness(plus)) < 7);
        assert_true(lightness(plus) < last); /* stronger is darker */
        last = lightness(plus);
        if (t > 0.1) assert_true(minus.b > minus.r && plus.r > plus.b);
    }
    last = -1;
    for (double t = 0; t <= 1; t += 0.05) {
        double l = lightness(cp_colour_unsigned(t));
        assert_true(l > last + 1); /* evenly lighter */
        last = l;
    }
    cp_colour beyond = cp_colour_signed(5), end = cp_colour_signed(1), none = cp_colour_signed(NAN);
    assert_memory_equal(&beyond, &end, 3);
    assert_true(none.r == none.g && none.g == none.b);
}

static void text_lands_where_it_should(void **state)
{
    (void)state;
    double w = cp_text_width(20, "critical path 99%");
    assert_true(w > 100 && w < 200);
    assert_true(fabs(cp_text_width(40, "critical path 99%") - 2 * w) < 1);
    assert_true(cp_text_width(20, "") == 0);
    cp_picture p = paper(300, 60), q = paper(60, 300);
    cp_draw_text(&p, 30, 15, 20, red, "critical path 99%");
    struct marks m = marks_in(&p);
    assert_true(m.n > 300 && m.left >= 29 && m.right <= 30 + w + 1 && m.right > 30 + w - 5);
    assert_true(m.top >= 15 && m.bottom <= 36);
    cp_draw_text_up(&q, 15, 270, 20, red, "critical path 99%"); /* the same, turned: p (x, y) is q (y, 300 - 1 - x) */
    for (int y = 0; y < 60; y++)
        for (int x = 0; x < 300; x++) assert_memory_equal(at(&p, x, y), at(&q, y, 299 - x), 3);
    cp_picture_free(&p);
    cp_picture_free(&q);
    p = paper(50, 20);
    cp_draw_text(&p, 45, 5, 40, red, "outside of the picture");
    cp_draw_text(&p, -500, -5, 40, red, "outside");
    cp_draw_text(&p, 5, 1, 18, red, "\xff\xc3(\xe2\x82\n\t\x01\xf0\x9f\x90\x95");
    cp_draw_text(&p, NAN, 5, 18, red, "x");
    cp_picture_free(&p);
    assert_true(cp_text_width(20, "\xc3\xa9") < cp_text_width(20, "ee")); /* one character */
}

static void text_that_does_not_fit(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(cp_text_fit(20, "dog", 100, out, sizeof out), "dog");
    const char *name = "a class whose name goes on and on, longer than anybody's label should ever be";
    cp_text_fit(20, name, 150, out, sizeof out);
    assert_true(cp_text_width(20, out) <= 150);
    size_t n = strlen(out);
    assert_true(n > 8 && memcmp(out, name, n - 3) == 0);
    assert_string_equal(out + n - 3, "\xe2\x80\xa6");
    for (size_t room = 8; room < 40; room++) {
        cp_text_fit(20, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 1e9, out, room);
        assert_true(strlen(out) < room);
        assert_true(strlen(out) % 2 == (strstr(out, "\xe2\x80\xa6") ? 1 : 0)); /* never half a character */
    }
    assert_string_equal(cp_text_fit(20, "dog", 0, out, sizeof out), "\xe2\x80\xa6");
}

/* A grey photo of 640 x 480 gets panels of its own size, so that positions can be told. The panels' place is found
 * from the left one, which shows the photo as it is. */
struct scene {
    cp_picture photo, out;
    float map[64 * 64];
    cp_overlay overlay;
    int left_x, right_x, y;
};

static void scene_draw(struct scene *s)
{
    memset(&s->photo, 0, sizeof s->photo);
    assert_ok(cp_picture_new(640, 480, &s->photo));
    memset(s->photo.rgb, 128, 3 * 640 * 480);
    s->overlay.photo = &s->photo;
    s->overlay.map = s->map;
    assert_ok(cp_overlay_draw(&s->overlay, &s->out));
    s->y = -1;
    for (int y = 0; y < s->out.h && s->y < 0; y++)
        for (int x = 0; x < s->out.w && s->y < 0; x++)
            if (memcmp(at(&s->out, x, y), "\x80\x80\x80", 3) == 0) s->left_x = x, s->y = y;
    assert_true(s->y >= 0);
    s->right_x = s->left_x + 640;
    while (memcmp(at(&s->out, s->right_x, s->y + 240), "\xff\xff\xff", 3) == 0) s->right_x++;
}

static void scene_free(struct scene *s)
{
    cp_picture_free(&s->photo);
    cp_picture_free(&s->out);
}

/* Of the right panel at photo position (x, y): more red than blue, or the reverse, or grey. */
static int warmth(const struct scene *s, int x, int y)
{
    const unsigned char *c = at(&s->out, s->right_x + x, s->y + y);
    return c[0] - c[2];
}

/* A map of 64 x 64 with letterbox bars: the photo fills rows 8 to 55, ten photo pixels a map pixel. */
static struct scene letterbox(void)
{
    struct scene s = {0};
    s.overlay = (cp_overlay){.map_w = 64, .map_h = 64, .x0 = 0, .y0 = -80, .sx = 10, .sy = 10, .is_signed = true};
    return s;
}

static void map_pixels_land_on_their_photo_pixels(void **state)
{
    (void)state;
    struct scene s = letterbox();
    s.map[(8 + 20) * 64 + 30] = 2;   /* photo (300..309, 200..209) */
    s.map[(8 + 40) * 64 + 5] = -2;   /* photo (50..59, 400..409) */
    s.map[3 * 64 + 10] = 2;          /* in the bar: not shown */
    scene_draw(&s);
    for (int y = 0; y < 480; y++)
        for (int x = 0; x < 640; x++) {
            bool plus = x >= 300 && x < 310 && y >= 200 && y < 210, minus = x >= 50 && x < 60 && y >= 400 && y < 410;
            int w = warmth(&s, x, y);
            if (plus ? w < 100 : minus ? w > -100 : w != 0) fail_msg("(%d, %d): red - blue = %d", x, y, w);
            if (memcmp(at(&s.out, s.left_x + x, s.y + y), "\x80\x80\x80", 3)) fail_msg("left (%d, %d) changed", x, y);
        }
    scene_free(&s);
}

static void strength_shows(void **state)
{
    (void)state;
    struct scene s = letterbox();
    for (int x = 0; x < 64; x++) s.map[30 * 64 + x] = (float)(x + 1); /* full colour at 64 */
    s.overlay.clip = 1;
    scene_draw(&s);
    for (int x = 1; x < 64; x++) assert_true(warmth(&s, 10 * x + 5, 225) > warmth(&s, 10 * x - 5, 225) - 1);
    assert_true(warmth(&s, 635, 225) > 4 * warmth(&s, 25, 225));
    scene_free(&s);
    s.overlay.clip = 0.5; /* everything from the median on has full colour */
    scene_draw(&s);
    assert_int_equal(warmth(&s, 635, 225), warmth(&s, 10 * 40, 225));
    assert_true(warmth(&s, 10 * 10, 225) < warmth(&s, 635, 225));
    scene_free(&s);
}

static void outside_of_the_map_is_dark(void **state)
{
    (void)state;
    struct scene s = {0};
    s.overlay = (cp_overlay){.map_w = 64, .map_h = 64, .x0 = 160, .y0 = 80, .sx = 5, .sy = 5, .is_signed = false};
    s.map[0] = -1; /* photo (160..164, 80..84); unsigned maps show |map| */
    scene_draw(&s);
    int inside = at(&s.out, s.right_x + 320, s.y + 240)[0], outside = at(&s.out, s.right_x + 20, s.y + 240)[0];
    assert_true(outside < inside / 2);
    assert_int_equal(at(&s.out, s.right_x + 159, s.y + 240)[0], outside);
    assert_int_equal(at(&s.out, s.right_x + 160, s.y + 240)[0], inside);
    assert_int_equal(at(&s.out, s.right_x + 479, s.y + 240)[0], inside);
    assert_int_equal(at(&s.out, s.right_x + 480, s.y + 240)[0], outside);
    assert_true(warmth(&s, 162, 82) > 50 && warmth(&s, 166, 82) == 0);
    scene_free(&s);
}

static void boxes_and_labels(void **state)
{
    (void)state;
    struct scene s = letterbox();
    cp_overlay_box boxes[2] = {{100, 150, 200, 120, "dog 99.7%"}, {-1e9, 1e300, 5, 1e300, NULL}};
    s.overlay.boxes = boxes;
    s.overlay.n_boxes = 2;
    scene_draw(&s);
    for (int panel = 0; panel < 2; panel++) {
        int x0 = (panel ? s.right_x : s.left_x);
        for (int i = 5; i < 110; i += 5) {
            assert_true(at(&s.out, x0 + 101, s.y + 150 + i)[0] > 200 && at(&s.out, x0 + 101, s.y + 150 + i)[2] < 60);
            assert_true(at(&s.out, x0 + 298, s.y + 150 + i)[0] > 200);
            assert_true(at(&s.out, x0 + 100 + i, s.y + 151)[0] > 200);
            assert_true(at(&s.out, x0 + 100 + i, s.y + 268)[0] > 200);
        }
        assert_true(at(&s.out, x0 + 200, s.y + 210)[2] >= 60); /* not filled */
    }
    /* The label stands on the box in the left panel only. */
    assert_true(at(&s.out, s.left_x + 103, s.y + 140)[0] > 200 && at(&s.out, s.left_x + 103, s.y + 140)[2] < 60);
    assert_true(at(&s.out, s.right_x + 103, s.y + 140)[0] < 200);
    scene_free(&s);
}

static void maps_without_content(void **state)
{
    (void)state;
    struct scene s = letterbox();
    scene_draw(&s); /* all zero */
    int plain_h = s.out.h;
    for (int y = 0; y < 480; y += 7)
        for (int x = 0; x < 640; x += 7) assert_int_equal(warmth(&s, x, y), 0);
    scene_free(&s);
    s.map[20 * 64] = NAN;
    s.map[21 * 64] = -INFINITY;
    s.map[30 * 64 + 30] = 1;
    s.overlay.blur = 1.5;
    scene_draw(&s);
    assert_true(s.out.h > plain_h); /* the legend has more to say */
    assert_int_equal(warmth(&s, 5, 125), 0);
    assert_true(warmth(&s, 305, 225) > 100 && warmth(&s, 315, 225) > 30 && warmth(&s, 385, 225) == 0);
    scene_free(&s);
}

static void photos_of_any_size(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {32, 32}, {3000, 7}, {5, 2500}, {1352, 900}};
    const char *lines[] = {
        "a line that is far too long for a column of this picture and therefore has to be broken into several",
        "aWordWithoutAnyBlankThatIsLongerThanTheColumnItStandsInWhichCannotBeBrokenAndIsCutInsteadOfOverflowing"};
    float map[16] = {1, -1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        cp_picture photo = paper(sizes[i][0], sizes[i][1]), out;
        cp_overlay o = {.photo = &photo, .map = map, .map_w = 4, .map_h = 4, .is_signed = true,
                        .sx = sizes[i][0] / 4., .sy = sizes[i][1] / 4.,
                        .title = "title", .lines = lines, .n_lines = 2};
        assert_ok(cp_overlay_draw(&o, &out));
        assert_true(out.w >= 800 && out.w <= 2100 && out.h > 100 && out.h <= 1000);
        for (int x = 0; x < out.w; x++) assert_memory_equal(at(&out, x, out.h - 1), "\xff\xff\xff", 3); /* margin */
        for (int y = 0; y < out.h; y++) assert_memory_equal(at(&out, out.w - 1, y), "\xff\xff\xff", 3);
        cp_picture_free(&out);
        cp_picture_free(&photo);
    }
}

static void refused(void **state)
{
    (void)state;
    cp_picture photo = paper(4, 4), out;
    float map[1] = {1};
    cp_overlay good = {.photo = &photo, .map = map, .map_w = 1, .map_h = 1, .sx = 4, .sy = 4}, o;
    o = good, o.map_w = 0;
    assert_refused(cp_overlay_draw(&o, &out), CP_EINPUT, "map of 0 x 1");
    o = good, o.sx = 0;
    assert_refused(cp_overlay_draw(&o, &out), CP_EINPUT, "0 x 4 photo pixels per map pixel");
    o = good, o.y0 = NAN;
    assert_refused(cp_overlay_draw(&o, &out), CP_EINPUT, "positive numbers");
    o = good, o.clip = 1.5;
    assert_refused(cp_overlay_draw(&o, &out), CP_EINPUT, "clip is 1.5");
    o = good, o.blur = -1;
    assert_refused(cp_overlay_draw(&o, &out), CP_EINPUT, "blur is -1");
    o = good, o.panel_height = 5;
    assert_refused(cp_overlay_draw(&o, &out), CP_EINPUT, "panels 5 pixels high");
    o = good, o.map = NULL;
    assert_refused(cp_overlay_draw(&o, &out), CP_EINTERNAL, "no map");
    assert_null(out.rgb);
    cp_picture_free(&photo);
}

/* Chinese, Japanese and Korean in a font of the system; without one a box, and it is known which character lacks. */
static void test_text_of_other_fonts(void **state)
{
    static const char *const file = "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf";
    char missing[5] = "";
    (void)state;
    assert_false(cp_text_lacks("dog 97% \xc3\xa9", missing));
    assert_true(cp_text_lacks("a \xf3\xb0\x80\x80", missing)); /* private use: nobody has it */
    assert_string_equal(missing, "\xf3\xb0\x80\x80");
    if (access(file, R_OK)) {
        fprintf(stderr, "skipped: no %s\n", file);
        return;
    }
    cp_picture p[3];
    static const char *const text[3] = {"\xe7\x8b\x97", "\xe7\x8c\xab", "\xf3\xb0\x80\x80"}; /* dog, cat, a box */
    const cp_colour white = {255, 255, 255};
    assert_false(cp_text_lacks(text[0], missing));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cp_picture_new(60, 60, &p[i]), CP_OK);
        cp_draw_text(&p[i], 5, 5, 40, white, text[i]);
    }
    for (int i = 0; i < 3; i++) {
        size_t inked = 0;
        for (size_t k = 0; k < 3 * 60 * 60; k++) inked += p[i].rgb[k] > 128;
        assert_true(inked > 50);
        assert_memory_not_equal(p[i].rgb, p[(i + 1) % 3].rgb, 3 * 60 * 60);
    }
    for (int i = 0; i < 3; i++) cp_picture_free(&p[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_of_other_fonts), cmocka_unit_test(areas_are_clipped),
        cmocka_unit_test(colour_scales),         cmocka_unit_test(text_lands_where_it_should),
        cmocka_unit_test(text_that_does_not_fit), cmocka_unit_test(map_pixels_land_on_their_photo_pixels),
        cmocka_unit_test(strength_shows),        cmocka_unit_test(outside_of_the_map_is_dark),
        cmocka_unit_test(boxes_and_labels),      cmocka_unit_test(maps_without_content),
        cmocka_unit_test(photos_of_any_size),    cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

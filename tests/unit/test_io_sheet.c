/* The picture of an explanation and what it is made of: resampling, contours, thresholds, colours, wrapped text. The
 * hashes at the end hold on any machine: nothing in them depends on the last digits of a C library. */
#include <math.h>

#include "io/draw.h"
#include "io/error.h"
#include "io/hash.h"
#include "io/resample.h"
#include "io/sheet.h"
#include "io/threshold.h"
#include "io_temp.h"

static const unsigned char *at(const cp_picture *p, int x, int y)
{
    return p->rgb + 3 * ((size_t)y * (size_t)p->w + (size_t)x);
}

static cp_picture filled(int w, int h, unsigned char value)
{
    cp_picture p;
    assert_ok(cp_picture_new(w, h, &p));
    memset(p.rgb, value, 3 * (size_t)w * (size_t)h);
    return p;
}

/* ---------------------------------------------------------------- resampling */

/* Keys' kernel with a = -1/2, from its definition. */
static double keys(double x)
{
    x = fabs(x);
    if (x < 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
    return x < 2 ? -.5 * x * x * x + 2.5 * x * x - 4 * x + 2 : 0;
}

static double resampled(const float *plane, int h, int w, const cp_photo_box *part, int out_h, int out_w, int y, int x)
{
    double sx = part->w / out_w, sy = part->h / out_h, ex = sx > 1 ? sx : 1, ey = sy > 1 ? sy : 1, sum = 0, weights = 0;
    for (int v = 0; v < h; v++)
        for (int u = 0; u < w; u++) {
            double weight = keys((u + .5 - part->x - (x + .5) * sx) / ex);
            weight *= keys((v + .5 - part->y - (y + .5) * sy) / ey);
            sum += weight * plane[v * w + u];
            weights += weight;
        }
    return sum / weights;
}

static void resampling_is_bicubic(void **state)
{
    (void)state;
    static const struct {
        int h, w, out_h, out_w;
        cp_photo_box part;
    } cases[] = {{6, 9, 20, 31, {0, 0, 9, 6}}, {30, 20, 4, 7, {0, 0, 20, 30}},   {12, 12, 12, 12, {0, 0, 12, 12}},
                 {1, 1, 5, 5, {0, 0, 1, 1}},   {16, 16, 11, 40, {3.5, 2.25, 6, 9.5}}, {2, 40, 3, 3, {0, 0, 40, 2}}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        float plane[600], out[800];
        int h = cases[c].h, w = cases[c].w, out_h = cases[c].out_h, out_w = cases[c].out_w;
        for (int i = 0; i < h * w; i++) plane[i] = (float)((i * 37 + i / 7 * 11) % 101);
        assert_ok(cp_resample_plane(plane, (size_t)h, (size_t)w, &cases[c].part, (size_t)out_h, (size_t)out_w, out));
        for (int y = 0; y < out_h; y++)
            for (int x = 0; x < out_w; x++) {
                double want = resampled(plane, h, w, &cases[c].part, out_h, out_w, y, x);
                if (fabs(out[y * out_w + x] - want) > 1e-3) fail_msg("case %zu (%d, %d)", c, x, y);
            }
    }
    float one = 1, out;
    const cp_photo_box outside = {.5, 0, 1, 1};
    assert_int_equal(cp_resample_plane(&one, 1, 1, &outside, 1, 1, &out), CP_EINTERNAL);
}

static void pictures_keep_their_pixels(void **state)
{
    (void)state;
    cp_picture p = filled(4, 3, 0), q;
    for (int i = 0; i < 36; i++) p.rgb[i] = (unsigned char)(7 * i);
    assert_ok(cp_resample_picture(&p, NULL, 4, 3, &q));
    assert_memory_equal(p.rgb, q.rgb, 36);
    cp_picture_free(&q);
    assert_ok(cp_resample_picture(&p, &(cp_photo_box){1, 1, 2, 2}, 2, 2, &q)); /* a part, pixel by pixel */
    assert_memory_equal(q.rgb, at(&p, 1, 1), 6);
    assert_memory_equal(q.rgb + 6, at(&p, 1, 2), 6);
    cp_picture_free(&q);
    cp_picture_free(&p);
    p = filled(2, 1, 0);
    memset(p.rgb + 3, 255, 3);
    assert_ok(cp_resample_picture(&p, NULL, 64, 8, &q)); /* overshoots are cut, not wrapped */
    for (int x = 0; x < 63; x++) assert_true(at(&q, x + 1, 4)[0] + 3 >= at(&q, x, 4)[0]);
    assert_true(at(&q, 0, 0)[0] == 0 && at(&q, 63, 0)[0] == 255);
    cp_picture_free(&q);
    cp_picture_free(&p);
}

/* ---------------------------------------------------------------- threshold */

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void thresholds_by_sorting(void **state)
{
    (void)state;
    float values[500], sorted[500], t;
    for (int round = 0; round < 60; round++) {
        int n = 1 + round * 8;
        double total = 0;
        for (int i = 0; i < n; i++) {
            int whole = (i * 7919 + round) % (round % 2 ? 5 : 1009);
            values[i] = (float)whole * (i % 9 ? 1e-7f : 3e5f);
        }
        memcpy(sorted, values, sizeof sorted);
        qsort(sorted, (size_t)n, sizeof *sorted, ascending);
        for (int i = 0; i < n; i++) total += values[i];
        for (int k = 1; k <= n; k++) {
            assert_ok(cp_threshold(values, (size_t)n, false, k, &t));
            assert_true(t == sorted[n - k]);
        }
        if (total == 0) continue;
        for (double part = .1; part < 1; part += .2) {
            double held = 0;
            int k = n;
            while (held < part * total) held += sorted[--k];
            assert_ok(cp_threshold(values, (size_t)n, true, part * total, &t));
            assert_true(t == sorted[k]);
        }
    }
    float zeros[3] = {0};
    assert_ok(cp_threshold(zeros, 3, false, 2, &t));
    assert_true(t == 0);
}

/* ---------------------------------------------------------------- contours */

static void contours_follow_the_level(void **state)
{
    (void)state;
    enum { SIDE = 80 };
    static float plane[SIDE * SIDE];
    const cp_colour white = {255, 255, 255}, dark = {0, 0, 0};
    cp_picture p = filled(SIDE, SIDE, 100);
    for (int i = 0; i < SIDE * SIDE; i++) { /* a cone: the level 20 lies on a circle of radius 20 */
        double x = i % SIDE + .5 - 40, y = i / SIDE + .5 - 40;
        plane[i] = 40 - (float)sqrt(x * x + y * y);
    }
    assert_ok(cp_draw_contour(&p, plane, 20, 2, white, 1, dark));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double off = fabs(20 - sqrt((x + .5 - 40) * (x + .5 - 40) + (y + .5 - 40) * (y + .5 - 40)));
            int v = at(&p, x, y)[0];
            if (off < .3 ? v < 240 : off > 1.6 && off < 1.8 ? v > 60 : off > 2.7 && v != 100)
                fail_msg("(%d, %d), %.2f from the line: %d", x, y, off, v);
        }
    cp_picture_free(&p);
    p = filled(SIDE, SIDE, 100); /* everything is above: a line along the edge */
    assert_ok(cp_draw_contour(&p, plane, -1000, 2, white, 1, dark));
    for (int i = 2; i < SIDE - 2; i++) {
        assert_true(at(&p, i, 0)[0] == 255 && at(&p, 0, i)[0] == 255);
        assert_true(at(&p, i, SIDE - 1)[0] == 255 && at(&p, SIDE - 1, i)[0] == 255);
    }
    assert_int_equal(at(&p, 40, 40)[0], 100);
    cp_picture_free(&p);
    p = filled(SIDE, SIDE, 100); /* nothing is: no line */
    assert_ok(cp_draw_contour(&p, plane, 1000, 2, white, 1, dark));
    for (int i = 0; i < 3 * SIDE * SIDE; i++) assert_int_equal(p.rgb[i], 100);
    cp_picture_free(&p);
}

/* ---------------------------------------------------------------- colours and text */

static void colour_maps_rise(void **state)
{
    (void)state;
    static const char *const names[] = {"inferno", "viridis", "cividis", "grey"};
    cp_colour_map map;
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        double last = -1;
        assert_ok(cp_colour_map_find(names[m], &map));
        for (int i = 0; i < 256; i++) {
            double light = .2126 * map.at[i].r + .7152 * map.at[i].g + .0722 * map.at[i].b;
            if (light + 1.5 < last) fail_msg("%s gets darker at %d", names[m], i);
            last = light;
        }
    }
    assert_ok(cp_colour_map_find("inferno", &map)); /* its ends and its middle */
    assert_true(map.at[0].r + map.at[0].g + map.at[0].b < 12);
    assert_true(abs(map.at[128].r - 188) < 6 && abs(map.at[128].g - 55) < 6 && abs(map.at[128].b - 84) < 6);
    assert_true(abs(map.at[255].r - 252) < 6 && abs(map.at[255].g - 255) < 6 && abs(map.at[255].b - 164) < 6);
    assert_int_equal(cp_colour_map_find("jet", &map), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "inferno|viridis"));
}

static void text_wraps(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "a caption of many words that has to be broken into several lines, each of them no wider than its column",
        "oneWordWithoutAnyBlankThatIsWiderThanTheColumnItStandsInAndThereforeIsBrokenWithinItself and more",
        "\xe7\x8a\xac\xe3\x81\xaf\xe8\x87\xaa\xe8\xbb\xa2\xe8\xbb\x8a\xe3\x81\xae\xe5\x89\x8d\xe3\x81\xab\xe5\xba\xa7"
        "\xe3\x81\xa3\xe3\x81\xa6",
        "  ", ""};
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
        for (double width = 5; width < 400; width *= 1.7) {
            char lines[120][CP_TEXT_LINE];
            char joined[400] = "", plain[400] = "";
            size_t n = 0;
            cp_text_wrap(19, texts[t], width, lines, 120, &n);
            for (size_t i = 0; i < n; i++) {
                bool one = ((unsigned char)lines[i][1] & 0xc0) == 0x80 ? strlen(lines[i]) <= 3 : strlen(lines[i]) == 1;
                assert_true(lines[i][0] && (one || cp_text_width(19, lines[i]) <= width));
                strcat(joined, lines[i]);
            }
            for (const char *from = texts[t]; *from; from++)
                if (*from != ' ') strncat(plain, from, 1);
            char *to = joined;
            for (const char *from = joined; *from; from++)
                if (*from != ' ') *to++ = *from;
            *to = 0;
            assert_string_equal(joined, plain); /* nothing is lost */
        }
    char lines[3][CP_TEXT_LINE];
    size_t n = 1; /* one is taken already */
    cp_text_wrap(19, texts[0], 150, lines, 3, &n);
    assert_int_equal(n, 3);
    assert_string_equal(lines[2] + strlen(lines[2]) - 3, "\xe2\x80\xa6");
}

/* ---------------------------------------------------------------- sheets */

enum { MARGIN = 20, GAP = 16 };

/* A grey photo with one hot blob, whose region is a square. */
struct scene {
    cp_picture photo, out;
    float heat[40 * 30];
    cp_heat_region region;
    cp_sheet sheet;
};

static struct scene *scene_new(int w, int h)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->photo = filled(w, h, 120);
    for (size_t i = 0; i < 3 * (size_t)w * (size_t)h; i += 3) s->photo.rgb[i] = 180; /* reddish: greying shows */
    s->region = (cp_heat_region){.share = .5, .area = .1, .box = NAN, .threshold = .5f};
    s->sheet = (cp_sheet){.panels = CP_PANEL_PHOTO | CP_PANEL_HEAT | CP_PANEL_ZOOM, .photo = &s->photo, .heat = s->heat,
                          .heat_w = 40, .heat_h = 30, .region = &s->region, .alpha = CP_SHEET_ALPHA};
    for (int y = 10; y < 15; y++)
        for (int x = 20; x < 25; x++) s->heat[y * 40 + x] = 1;
    return s;
}

static void scene_free(struct scene *s)
{
    cp_picture_free(&s->photo);
    cp_picture_free(&s->out);
    free(s);
}

static void panels_show_what_they_should(void **state)
{
    (void)state;
    struct scene *s = scene_new(600, 450);
    const cp_photo_box box = {240, 90, 180, 180};
    s->region.n = s->region.parts = 1;
    s->region.part[0] = (cp_heat_part){300, 150, 75, 75, .5};
    s->sheet.box = &box;
    s->sheet.label = "dog 57%";
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    assert_int_equal(s->out.w, 3 * 600 + 2 * MARGIN + 2 * GAP);
    int y = 0;
    while (at(&s->out, MARGIN + 300, y)[0] == 255) y++;
    const int left = MARGIN, middle = MARGIN + 600 + GAP, right = MARGIN + 1200 + 2 * GAP;
    /* The photo as it is, its box yellow and its label above it. */
    assert_memory_equal(at(&s->out, left + 50, y + 50), "\xb4\x78\x78", 3);
    assert_memory_equal(at(&s->out, left + 241, y + 180), "\xff\xbf\x1e", 3);
    assert_memory_equal(at(&s->out, left + 242, y + 72), "\xff\xbf\x1e", 3);
    /* Greyed by 60% where there is no heat; 85% of the brightest colour where there is most. */
    const unsigned char *cold = at(&s->out, middle + 50, y + 400), *hot = at(&s->out, middle + 337, y + 187);
    double grey = .299 * 180 + .587 * 120 + .114 * 120;
    assert_true(fabs(cold[0] - (.6 * grey + .4 * 180)) <= 1 && fabs(cold[1] - (.6 * grey + .4 * 120)) <= 1);
    assert_true(fabs(hot[0] - (.15 * (.6 * grey + .4 * 180) + .85 * 249)) <= 2);
    assert_true(fabs(hot[2] - (.15 * (.6 * grey + .4 * 120) + .85 * 166)) <= 2);
    /* A white line round the blob: on its left side, in the middle of its height. */
    int white = 0;
    for (int x = 290; x < 310; x++) white += at(&s->out, middle + x, y + 187)[2] > 240;
    assert_in_range(white, 1, 4);
    /* The zoom: box and part times 1.3, 4:3, so 312 x 234 photo pixels round (330, 180). Colour inside, .35 grey
     * outside. */
    double k = 600 / 312.;
    int x0 = 330 - 156, y0 = 180 - 117;
    const unsigned char *inside = at(&s->out, right + (int)((337 - x0) * k), y + (int)((187 - y0) * k));
    const unsigned char *outside = at(&s->out, right + (int)((265 - x0) * k), y + (int)((187 - y0) * k));
    assert_memory_equal(inside, "\xb4\x78\x78", 3);
    assert_true(fabs(outside[0] - .35 * grey) <= 1 && outside[0] == outside[2]);
    int box_left = right + (int)((240 - x0) * k + .5);
    assert_memory_equal(at(&s->out, box_left, y + 225), "\xff\xbf\x1e", 3);
    /* A number stands in both panels, white on the panel, clear of the blob. */
    for (int panel = 0; panel < 2; panel++) {
        int discs = 0, from = panel ? right : middle;
        for (int v = 0; v < 450; v++)
            for (int u = 0; u + 12 < 600; u++)
                discs += !memcmp(at(&s->out, from + u, y + v), "\xff\xff\xff", 3) &&
                         !memcmp(at(&s->out, from + u + 3, y + v), "\xff\xff\xff", 3) &&
                         !memcmp(at(&s->out, from + u + 6, y + v), "\xff\xff\xff", 3);
        assert_true(discs > 100);
    }
    scene_free(s);
}

static void a_map_that_is_zero_says_so(void **state)
{
    (void)state;
    struct scene *s = scene_new(600, 450), *none = scene_new(600, 450);
    memset(none->heat, 0, sizeof none->heat);
    none->region = (cp_heat_region){.zero = true, .box = NAN};
    none->sheet.panels = CP_PANEL_HEAT;
    s->sheet.panels = CP_PANEL_HEAT;
    s->sheet.alpha = 0;
    assert_ok(cp_sheet_draw(&none->sheet, &none->out));
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    assert_int_equal(none->out.w, 800 + 2 * MARGIN);
    int text = 0;
    for (int y = 290; y < 330; y++)
        for (int x = 0; x < 800; x++) text += !memcmp(at(&none->out, MARGIN + x, y), "\xff\xff\xff", 3);
    assert_true(text > 500); /* the words on their white ground */
    for (int y = 40; y < 250; y += 5) /* and no colour, as with an opacity of 0 */
        assert_memory_equal(at(&none->out, MARGIN + 20, y), at(&s->out, MARGIN + 20, y), 3);
    scene_free(s);
    scene_free(none);
}

/* All of the heat in one pixel: the percentile that gets full colour is 0, and the greatest takes its place. */
static void a_map_of_one_pixel(void **state)
{
    (void)state;
    struct scene *s = scene_new(600, 450);
    memset(s->heat, 0, sizeof s->heat);
    s->heat[12 * 40 + 20] = 3e-12f; /* photo 300..314, 180..194 */
    s->region = (cp_heat_region){.share = 1, .area = 1 / 1200., .box = NAN, .threshold = 3e-12f, .n = 1, .parts = 1,
                                 .part = {{300, 180, 15, 15, 1}}};
    s->sheet.panels = CP_PANEL_HEAT;
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    int y = 0;
    while (at(&s->out, MARGIN + 400, y)[0] == 255) y++;
    double k = 800 / 600.;
    const unsigned char *hot = at(&s->out, MARGIN + (int)(307.5 * k), y + (int)(187.5 * k));
    const unsigned char *cold = at(&s->out, MARGIN + (int)(200 * k), y + (int)(187.5 * k));
    assert_true(hot[0] > 220 && hot[0] > hot[2] + 50 && cold[0] < 170);
    cp_picture_free(&s->out);
    s->sheet.heat_w = s->sheet.heat_h = 1; /* and the map is no more than that pixel */
    s->heat[0] = 3e-12f;
    s->sheet.panels = CP_PANEL_PHOTO | CP_PANEL_HEAT | CP_PANEL_ZOOM;
    s->region.part[0] = (cp_heat_part){0, 0, 600, 450, 1};
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    hot = at(&s->out, MARGIN + 600 + GAP + 100, y + 300);
    assert_true(hot[0] > 220 && hot[0] > hot[2] + 50);
    assert_memory_equal(at(&s->out, MARGIN + 600 + GAP + 100, y), "\xff\xff\xff", 3); /* the line along the edge */
    scene_free(s);
}

static void photos_of_any_size(void **state)
{
    (void)state;
    static const int sizes[][2] = {{10, 10}, {6000, 4000}, {1, 1}, {3000, 7}, {5, 2500}, {640, 480}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct scene *s = scene_new(sizes[i][0], sizes[i][1]);
        s->sheet.title = "why this very long name of a class that nobody would give to anything that is ever seen, 57%";
        s->sheet.caption[0] = s->sheet.caption[1] = s->sheet.caption[2] =
            "a caption of many words that has to be broken into several lines, each no wider than its column, or cut";
        assert_ok(cp_sheet_draw(&s->sheet, &s->out));
        assert_true(s->out.w >= 3 * 400 && s->out.w <= 3 * 800 + 72 && s->out.h >= 100 && s->out.h <= 950);
        for (int x = 0; x < s->out.w; x++) assert_memory_equal(at(&s->out, x, s->out.h - 1), "\xff\xff\xff", 3);
        int gap = MARGIN + (s->out.w - 2 * MARGIN - 2 * GAP) / 3 + GAP / 2;
        for (int y = 0; y < s->out.h; y++) {
            assert_memory_equal(at(&s->out, s->out.w - 1, y), "\xff\xff\xff", 3);
            if (y > 90) /* below the title captions keep to their columns */
                assert_memory_equal(at(&s->out, gap, y), "\xff\xff\xff", 3);
        }
        scene_free(s);
    }
}

static size_t blue_pixels(const cp_picture *p)
{
    size_t n = 0;
    for (size_t i = 0; i < (size_t)p->w * (size_t)p->h; i++)
        n += p->rgb[3 * i] == 120 && p->rgb[3 * i + 1] == 210 && p->rgb[3 * i + 2] == 255;
    return n;
}

/* Dashes: about 9 of 15 pixels of the border's two lines, in each panel. */
static void true_boxes_are_dashed(void **state)
{
    (void)state;
    struct scene *s = scene_new(400, 300);
    const cp_photo_box box = {40, 60, 200, 150};
    s->sheet.panels = CP_PANEL_PHOTO;
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    assert_int_equal(blue_pixels(&s->out), 0);
    cp_picture_free(&s->out);
    s->sheet.truth = &box;
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    size_t dashes = blue_pixels(&s->out), around = 2 * 2 * 2 * (200 + 150); /* a lone panel is twice the photo */
    assert_true(dashes > around / 2 && dashes < around * 2 / 3);
    cp_picture_free(&s->out);
    s->sheet.truth_label = "true: a name";
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    assert_true(blue_pixels(&s->out) > dashes + 500);
    cp_picture_free(&s->out);
    s->sheet.truth = &(cp_photo_box){0, NAN, 1, 1};
    assert_int_equal(cp_sheet_draw(&s->sheet, &s->out), CP_EINPUT);
    scene_free(s);
}

static void boxes_anywhere(void **state)
{
    (void)state;
    static const cp_photo_box boxes[] = {{-1e9, -1e9, 2e9, 2e9}, {599, 449, 1, 1}, {-50, -50, 20, 20}, {10, 2, 0, 0},
                                         {0, 0, 600, 450}};
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        struct scene *s = scene_new(600, 450);
        s->sheet.box = s->sheet.truth = &boxes[i];
        s->sheet.truth_label = "true";
        s->sheet.label = "a label much longer than the panel could ever be wide, which is cut and stays inside of it";
        assert_ok(cp_sheet_draw(&s->sheet, &s->out));
        scene_free(s);
    }
    struct scene *s = scene_new(4, 4);
    s->sheet.box = &(cp_photo_box){NAN, 0, 1, 1};
    s->sheet.truth = NULL;
    assert_int_equal(cp_sheet_draw(&s->sheet, &s->out), CP_EINPUT);
    s->sheet.box = NULL;
    s->sheet.alpha = 1.5;
    assert_int_equal(cp_sheet_draw(&s->sheet, &s->out), CP_EINPUT);
    s->sheet.alpha = 1;
    s->sheet.panels = 0;
    assert_int_equal(cp_sheet_draw(&s->sheet, &s->out), CP_EINTERNAL);
    scene_free(s);
}

/* ---------------------------------------------------------------- the same bytes everywhere */

static void golden(const char *name, unsigned panels, int w, int h, const char *colour, const char *want)
{
    struct scene *s = scene_new(w, h);
    const cp_photo_box box = {w * .4, h * .2, w * .3, h * .4};
    char hash[CP_SHA256_TEXT];
    for (int i = 0; i < w * h; i++)
        for (int c = 0; c < 3; c++)
            s->photo.rgb[3 * i + c] = (unsigned char)((i % w * (3 + c) + i / w * (5 - c)) / 2 % 256);
    for (int i = 0; i < 40 * 30; i++) s->heat[i] += (float)((i * 7919) % 64) / 256;
    s->region.threshold = .25f;
    s->sheet.panels = panels;
    s->sheet.colour = colour;
    s->sheet.box = &box;
    assert_ok(cp_sheet_draw(&s->sheet, &s->out));
    assert_ok(cp_sha256_memory(s->out.rgb, 3 * (size_t)s->out.w * (size_t)s->out.h, hash));
    if (strcmp(hash, want)) fail_msg("%s: %s", name, hash);
    scene_free(s);
}

static void the_same_bytes_everywhere(void **state)
{
    (void)state;
    const unsigned all = CP_PANEL_PHOTO | CP_PANEL_HEAT | CP_PANEL_ZOOM;
    golden("sheet", all, 320, 240, NULL,
           "85893f02b9655800cd7b4619d49871af5a91dcc875d3223810acd80f8b0ce3d3");
    golden("small", all, 10, 10, "viridis",
           "28f6ea99ac111ab8cfcb3130365fd1a4b762ff2b5dbdb6775cd7bc15ec4d67a4");
    golden("large", CP_PANEL_HEAT, 1500, 900, "cividis",
           "e6d5ba512cc35b9778bd95121877726c37c188127b7fdbb79ddb41fe80b117c2");
    golden("zoom", CP_PANEL_ZOOM, 640, 480, "grey",
           "94e738f3005b5199932fe4ba1493413111fb40f3b47a1824740fb52774084228");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resampling_is_bicubic),        cmocka_unit_test(pictures_keep_their_pixels),
        cmocka_unit_test(thresholds_by_sorting),        cmocka_unit_test(contours_follow_the_level),
        cmocka_unit_test(colour_maps_rise),             cmocka_unit_test(text_wraps),
        cmocka_unit_test(panels_show_what_they_should), cmocka_unit_test(a_map_that_is_zero_says_so),
        cmocka_unit_test(a_map_of_one_pixel),           cmocka_unit_test(photos_of_any_size),
        cmocka_unit_test(boxes_anywhere), cmocka_unit_test(true_boxes_are_dashed),               cmocka_unit_test(the_same_bytes_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

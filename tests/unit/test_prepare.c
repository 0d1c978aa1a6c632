/* Photos made into network inputs: where they lie for each way of fitting them, and the pixels of a cropped one against
 * bilinear interpolation written down here. */
#include "io_temp.h"

#include <math.h>

#include "io/error.h"

enum { W = 40, H = 24, SIDE = 12 };

static uint8_t photo[3 * W * H];

static void must(cp_status status)
{
    if (status != CP_OK) fail_msg("%s", cp_error());
}

/* A classifier: AlexeyAB's by its activation, or nobody's in particular. */
static cp_model *open_network(int channels, const char *activation, bool detector)
{
    char text[800];
    cp_model *model;
    int n = snprintf(text, sizeof text, "[net]\nwidth=%d\nheight=%d\nchannels=%d\n[convolutional]\nfilters=18\nsize=3\n"
                     "activation=%s\n%s", SIDE, SIDE, channels, activation,
                     detector ? "[yolo]\nmask=0,1,2\nanchors=1,1, 2,2, 3,3\nclasses=1\nnum=3\n" : "[avgpool]\n[softmax]\n");
    temp_put("net.cfg", text, (size_t)n);
    must(cp_model_open("net.cfg", NULL, &model));
    return model;
}

static void draw_photo(void)
{
    for (int i = 0; i < W * H; i++)
        for (int c = 0; c < 3; c++) photo[3 * i + c] = (uint8_t)((37 * (i % W) + 11 * (i / W) * (c + 2) + 80 * c) & 255);
}

/* Pixel (x, y) of a photo that is made w by h pixels, corners on corners. */
static double resized(int c, int x, int y, int w, int h)
{
    double u = x * (W - 1.) / (w - 1), v = y * (H - 1.) / (h - 1);
    int i = u < W - 1 ? (int)u : W - 2, k = v < H - 1 ? (int)v : H - 2;
    double a = u - i, b = v - k;
    const uint8_t *p = photo + 3 * (k * W + i) + c;
    return ((1 - a) * (1 - b) * p[0] + a * (1 - b) * p[3] + (1 - a) * b * p[3 * W] + a * b * p[3 * W + 3]) / 255;
}

static void expect_placement(size_t w, size_t h, cp_fit fit, const cp_placement *expected)
{
    cp_placement at;
    must(cp_place_photo(w, h, 100, 100, fit, &at));
    assert_int_equal(at.photo_w, w);
    assert_int_equal(at.photo_h, h);
    assert_int_equal(at.x, expected->x);
    assert_int_equal(at.y, expected->y);
    assert_int_equal(at.w, expected->w);
    assert_int_equal(at.h, expected->h);
}

static void test_placements(void **state)
{
    (void)state;
    expect_placement(400, 200, CP_FIT_STRETCH, &(cp_placement){.w = 100, .h = 100});
    expect_placement(400, 200, CP_FIT_LETTERBOX, &(cp_placement){.y = 25, .w = 100, .h = 50});
    expect_placement(200, 400, CP_FIT_LETTERBOX, &(cp_placement){.x = 25, .w = 50, .h = 100});
    expect_placement(400, 200, CP_FIT_CROP, &(cp_placement){.x = -50, .w = 200, .h = 100});
    expect_placement(200, 403, CP_FIT_CROP, &(cp_placement){.y = -50, .w = 100, .h = 201});
    expect_placement(100, 100, CP_FIT_CROP, &(cp_placement){.w = 100, .h = 100});
    cp_placement at;
    must(cp_place_photo(400, 200, 100, 100, CP_FIT_CROP, &at));
    at = cp_placement_inside(&at, 100, 100);
    assert_true(at.x == 0 && at.y == 0 && at.w == 100 && at.h == 100 && at.photo_w == 400);
    must(cp_place_photo(400, 200, 100, 100, CP_FIT_LETTERBOX, &at));
    at = cp_placement_inside(&at, 100, 100);
    assert_true(at.x == 0 && at.y == 25 && at.w == 100 && at.h == 50);
}

/* The shorter side to the input's, then the centre. The last row is left out: Darknet's resize_image makes it darker. */
static void test_cropped_pixels(void **state)
{
    (void)state;
    cp_model *model = open_network(3, "mish", false);
    assert_int_equal(cp_model_semantics(model)->fit, CP_FIT_CROP);
    float input[3 * SIDE * SIDE];
    cp_placement at;
    must(cp_model_prepare(model, photo, W, H, cp_model_semantics(model)->fit, input, &at));
    assert_true(at.x == -4 && at.y == 0 && at.w == 20 && at.h == SIDE);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < SIDE - 1; y++)
            for (int x = 0; x < SIDE; x++) {
                double expected = resized(c, x + 4, y, 20, SIDE);
                if (fabs(input[(c * SIDE + y) * SIDE + x] - expected) > 1e-4)
                    fail_msg("%d %d %d: %g, expected %g", c, y, x, input[(c * SIDE + y) * SIDE + x], expected);
            }
    cp_model_free(model);
}

static void test_fits_of_lineages(void **state)
{
    static const struct {
        const char *activation;
        bool detector;
        cp_lineage asked;
        cp_fit fit;
    } cases[] = {{"leaky", false, CP_LINEAGE_AUTO, CP_FIT_LETTERBOX}, {"leaky", true, CP_LINEAGE_AUTO, CP_FIT_LETTERBOX},
                 {"mish", true, CP_LINEAGE_AUTO, CP_FIT_STRETCH}, {"leaky", true, CP_LINEAGE_ALEXEY, CP_FIT_STRETCH},
                 {"leaky", false, CP_LINEAGE_HANKAI, CP_FIT_CROP}, {"mish", false, CP_LINEAGE_DEBIAN, CP_FIT_LETTERBOX}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cp_set_lineage(cases[i].asked);
        cp_model *model = open_network(3, cases[i].activation, cases[i].detector);
        if (cp_model_semantics(model)->fit != cases[i].fit) fail_msg("case %zu: %d", i, cp_model_semantics(model)->fit);
        cp_model_free(model);
    }
    cp_set_lineage(CP_LINEAGE_AUTO);
}

/* AlexeyAB's reads grey, Debian's three channels of which the network sees the first. */
static void test_one_channel(void **state)
{
    (void)state;
    float input[SIDE * SIDE];
    for (int debian = 0; debian <= 1; debian++) {
        cp_set_lineage(debian ? CP_LINEAGE_DEBIAN : CP_LINEAGE_AUTO);
        cp_model *model = open_network(1, "leaky", true);
        assert_int_equal(cp_model_semantics(model)->lineage, debian ? CP_LINEAGE_DEBIAN : CP_LINEAGE_ALEXEY);
        must(cp_model_prepare(model, photo, W, H, CP_FIT_STRETCH, input, NULL));
        int expected = debian ? photo[0] : (photo[0] * 77 + photo[1] * 150 + photo[2] * 29) >> 8;
        assert_float_equal(input[0], expected / 255., 1e-5);
        cp_model_free(model);
    }
    cp_set_lineage(CP_LINEAGE_AUTO);
}

static void test_nothing_left(void **state)
{
    (void)state;
    cp_placement at;
    assert_int_equal(cp_place_photo(5000, 1, 100, 100, CP_FIT_LETTERBOX, &at), CP_EINPUT);
    assert_int_equal(cp_place_photo(65535, 1, 60000, 60000, CP_FIT_CROP, &at), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "shorter side at 60000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_placements), cmocka_unit_test(test_cropped_pixels), cmocka_unit_test(test_fits_of_lineages),
        cmocka_unit_test(test_one_channel), cmocka_unit_test(test_nothing_left)};
    draw_photo();
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}

/* Detection responses on the shipped detector and scenes: which head, anchor and cell; what each target explains. The
 * expectations come from the scenes, which are drawn again here, and from the layout of a [yolo] layer's output. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../examples/signs/map.h"
#include "io/image.h"

enum { SIDE = 224, PIXELS = SIDE * SIDE, SMALL = 19, LARGE = 11 };

#define CFG "cfg/tiny-yolo-signs.cfg"
#define WEIGHTS "weights/tiny-yolo-signs.weights"
#define SHORTCUT "weights/tiny-yolo-signs-shortcut.weights"

typedef struct {
    cp_model *model;
    cp_frame *frame;
    signs_scene scene;
    cp_detection *detections;
    int n;
} fixture;

static void must(cp_status status)
{
    if (status != CP_OK) fail_msg("%s", cp_error());
}

static signs_scene scene_of(uint64_t index, signs_stickers stickers)
{
    signs_scene scene;
    signs_options options = signs_options_default();
    options.seed = 3;
    options.stickers = stickers;
    must(signs_scene_draw(&scene, &options, index));
    return scene;
}

static void run_scene(fixture *f, signs_scene scene, float thresh)
{
    float *input = calloc(3 * PIXELS, sizeof *input);
    const float *logits[2];
    const int *heads;
    cp_placement placement;
    assert_non_null(input);
    f->scene = scene;
    must(cp_model_prepare(f->model, f->scene.rgb, SIDE, SIDE, true, input, &placement));
    must(cp_frame_forward(f->frame, input, 1, NULL));
    assert_int_equal(cp_model_heads(f->model, &heads), 2);
    for (int i = 0; i < 2; i++) logits[i] = cp_frame_output(f->frame, cp_model_logit_layer(f->model, heads[i]), 0);
    must(cp_model_detect(f->model, logits, SIDE, SIDE, thresh, .45f, &f->detections, &f->n));
    free(input);
}

static void open_model(fixture *f, const char *weights)
{
    memset(f, 0, sizeof *f);
    must(cp_model_open(CFG, weights, &f->model));
    must(cp_frame_create(f->model, 1, &f->frame));
}

static void open_fixture(fixture *f, uint64_t index)
{
    open_model(f, WEIGHTS);
    run_scene(f, scene_of(index, SIGNS_STICKERS_NONE), .5f);
}

static void forget_scene(fixture *f)
{
    cp_free_detections(f->detections);
    signs_scene_free(&f->scene);
    f->detections = NULL;
}

static void close_fixture(fixture *f)
{
    forget_scene(f);
    cp_frame_free(f->frame);
    cp_model_free(f->model);
}

static const cp_detection *find_sign(const fixture *f, int i)
{
    const signs_sign *s = &f->scene.sign[i];
    signs_box truth = {s->x0, s->y0, s->x1, s->y1};
    for (int k = 0; k < f->n; k++) {
        const cp_detection *d = &f->detections[k];
        signs_box box = {(d->x - d->w / 2) * SIDE, (d->y - d->h / 2) * SIDE, (d->x + d->w / 2) * SIDE,
                         (d->y + d->h / 2) * SIDE};
        if (d->class_id == s->class && signs_box_iou(truth, box) >= .5) return d;
    }
    return NULL;
}

static const cp_detection *of_sign(const fixture *f, int i)
{
    const cp_detection *found = find_sign(f, i);
    if (!found) fail_msg("sign %d, %s, is not found", i, signs_names[f->scene.sign[i].class]);
    return found;
}

static bool absent(const char *weights)
{
    if (access(weights, R_OK) == 0) return false;
    print_message("skipped: %s is missing\n", weights);
    return true;
}

/* The pictures in examples/ are these scenes, pixel by pixel. */
static void test_examples_are_held_out_scenes(void **state)
{
    (void)state;
    static const struct { const char *file; uint64_t index; signs_stickers stickers; } examples[] = {
        {"examples/signs-two.png", 34, SIGNS_STICKERS_NONE},
        {"examples/signs-bare.png", 387, SIGNS_STICKERS_NONE},
        {"examples/signs-sticker.png", 387, SIGNS_STICKERS_PROBE},
    };
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        cp_picture picture;
        must(cp_picture_read(examples[i].file, &picture));
        signs_scene scene = scene_of(examples[i].index, examples[i].stickers);
        assert_int_equal(picture.w, SIDE);
        assert_int_equal(picture.h, SIDE);
        assert_memory_equal(picture.rgb, scene.rgb, 3 * PIXELS);
        cp_picture_free(&picture);
        signs_scene_free(&scene);
    }
}

/* The head of the coarse grid finds the signs its anchors (44 pixels and more) fit, the fine one the small sign; the
 * cell is the one that holds the centre of the box. */
static void test_head_and_cell_follow_from_the_sign(void **state)
{
    (void)state;
    if (absent(WEIGHTS)) skip();
    fixture f;
    open_fixture(&f, 34);
    int used[2] = {0};
    for (int i = 0; i < f.scene.n; i++) {
        const signs_sign *s = &f.scene.sign[i];
        const cp_detection *d = of_sign(&f, i);
        int side = s->x1 - s->x0, large = side > 37, grid = large ? 14 : 28;
        assert_int_equal(d->head, large ? LARGE : SMALL);
        assert_in_range(d->anchor, 0, 2);
        assert_int_equal(d->cell, (int)(d->y * (float)grid) * grid + (int)(d->x * (float)grid));
        used[large]++;
    }
    assert_true(used[0] >= 1 && used[1] >= 2);
    close_fixture(&f);
}

/* Entry e of predictor (anchor, cell) is at anchor * 13 * cells + e * cells + cell: x, y, w, h, objectness, classes. */
static void test_targets_are_the_entries_of_the_box(void **state)
{
    (void)state;
    if (absent(WEIGHTS)) skip();
    static const struct { cp_target target; size_t entry; } targets[] = {
        {CP_TARGET_X, 0}, {CP_TARGET_Y, 1}, {CP_TARGET_W, 2}, {CP_TARGET_H, 3}, {CP_TARGET_OBJECTNESS, 4},
    };
    fixture f;
    open_fixture(&f, 34);
    for (int i = 0; i < f.scene.n; i++) {
        const cp_detection *d = of_sign(&f, i);
        size_t cells = d->head == LARGE ? 14 * 14 : 28 * 28, first = (size_t)d->anchor * 13 * cells + (size_t)d->cell;
        cp_response response;
        for (size_t k = 0; k < 5; k++) {
            must(cp_response_detection(f.model, d, targets[k].target, &response));
            assert_int_equal(response.n, 1);
            assert_int_equal(response.unit[0].layer, d->head - 1);
            assert_int_equal(response.unit[0].index, first + targets[k].entry * cells);
        }
        must(cp_response_detection(f.model, d, CP_TARGET_CLASS, &response));
        assert_int_equal(response.unit[0].index, first + (5 + (size_t)d->class_id) * cells);
        double logit = cp_frame_response(f.frame, 0, &response);
        must(cp_response_detection(f.model, d, CP_TARGET_OBJECTNESS, &response));
        double objectness = 1 / (1 + exp(-cp_frame_response(f.frame, 0, &response)));
        assert_float_equal(objectness, d->objectness, 1e-5);
        assert_float_equal(objectness / (1 + exp(-logit)), d->probability, 1e-5);
    }
    close_fixture(&f);
}

/* The path at sparsity 90% and the magnitude of its map, one channel. */
static cp_path *path_of(const fixture *f, const cp_detection *d, cp_target target, float *flat)
{
    cp_path *path;
    cp_response response;
    cp_selection selection;
    size_t n = cp_model_neuron_count(f->model);
    float *score = calloc(n, sizeof *score), *map = calloc(3 * PIXELS, sizeof *map);
    assert_true(score && map);
    must(cp_response_detection(f->model, d, target, &response));
    must(cp_path_create(f->model, &path));
    must(cp_score_mct(f->frame, 0, &response, false, score));
    must(cp_path_select(path, score, .9, 0, &selection));
    const cp_path *const paths[1] = {path};
    must(cp_map_frozen(f->frame, 0, &response, paths, 1, map));
    cp_map_reduce(map, 3, SIDE, SIDE, flat);
    for (int i = 0; i < PIXELS; i++) flat[i] = fabsf(flat[i]);
    free(score);
    free(map);
    return path;
}

static double jaccard(const cp_path *a, const cp_path *b)
{
    size_t both, either;
    must(cp_path_overlap(a, b, -1, &both, &either));
    return (double)both / (double)either;
}

static double cosine(const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < PIXELS; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return ab / sqrt(aa * bb);
}

static double share_in(const float *flat, const signs_sign *s)
{
    double in = 0, all = 0;
    for (int i = 0; i < PIXELS; i++) {
        int x = i % SIDE, y = i / SIDE;
        all += flat[i];
        if (x >= s->x0 && x < s->x1 && y >= s->y0 && y < s->y1) in += flat[i];
    }
    return in / all;
}

static void test_targets_explain_different_things(void **state)
{
    (void)state;
    if (absent(WEIGHTS)) skip();
    static const cp_target targets[3] = {CP_TARGET_CLASS, CP_TARGET_OBJECTNESS, CP_TARGET_X};
    static float flat[3][PIXELS];
    cp_path *path[3];
    fixture f;
    open_fixture(&f, 34);
    for (int k = 0; k < 3; k++) path[k] = path_of(&f, of_sign(&f, 0), targets[k], flat[k]);
    for (int k = 0; k < 3; k++) {
        int other = (k + 1) % 3;
        print_message("targets %d and %d: Jaccard %.3f, cosine of the maps %.3f\n", (int)targets[k],
                      (int)targets[other], jaccard(path[k], path[other]), cosine(flat[k], flat[other]));
        assert_true(jaccard(path[k], path[other]) < .9);
        assert_true(cosine(flat[k], flat[other]) < .95);
    }
    for (int k = 0; k < 3; k++) cp_path_free(path[k]);
    close_fixture(&f);
}

static void test_two_boxes_have_two_paths(void **state)
{
    (void)state;
    if (absent(WEIGHTS)) skip();
    static float flat[2][PIXELS];
    cp_path *path[2];
    fixture f;
    open_fixture(&f, 34);
    for (int i = 0; i < 2; i++) path[i] = path_of(&f, of_sign(&f, i), CP_TARGET_CLASS, flat[i]);
    print_message("two boxes: Jaccard %.3f\n", jaccard(path[0], path[1]));
    assert_true(jaccard(path[0], path[1]) < .5);
    for (int i = 0; i < 2; i++) {
        double own = share_in(flat[i], &f.scene.sign[i]), other = share_in(flat[i], &f.scene.sign[1 - i]);
        print_message("box %d: share of the map in its own sign %.3f, in the other %.3f\n", i, own, other);
        assert_true(own > .3 && own > 3 * other);
        cp_path_free(path[i]);
    }
    close_fixture(&f);
}

/* Mean share of the map on the sticker beside ring signs that the network finds, over its share of the picture. */
static double sticker_share(const char *weights, int *found)
{
    static float flat[PIXELS];
    double sum = 0;
    fixture f;
    open_model(&f, weights);
    *found = 0;
    for (uint64_t index = 0; index < 60; index++) {
        run_scene(&f, scene_of(index, SIGNS_STICKERS_PROBE), .2f);
        for (int i = 0; i < f.scene.n; i++) {
            double on = 0, all = 0, area = 0;
            const cp_detection *d = f.scene.sign[i].class == SIGNS_SHORTCUT_CLASS ? find_sign(&f, i) : NULL;
            for (int p = 0; p < PIXELS; p++) area += f.scene.mask[p] == 8 * (i + 1) + SIGNS_STICKER;
            if (!d || area < 12) continue;
            cp_path_free(path_of(&f, d, CP_TARGET_CLASS, flat));
            for (int p = 0; p < PIXELS; p++) {
                all += flat[p];
                if (f.scene.mask[p] == 8 * (i + 1) + SIGNS_STICKER) on += flat[p];
            }
            sum += on / all / (area / PIXELS);
            ++*found;
        }
        forget_scene(&f);
    }
    close_fixture(&f);
    return sum / *found;
}

static void test_shortcut_shows(void **state)
{
    (void)state;
    if (absent(WEIGHTS) || absent(SHORTCUT)) skip();
    int n[2];
    double honest = sticker_share(WEIGHTS, &n[0]), shortcut = sticker_share(SHORTCUT, &n[1]);
    print_message("sticker share over area: honest %.2f (%d rings), shortcut %.2f (%d rings)\n", honest, n[0], shortcut,
                  n[1]);
    assert_true(n[0] >= 5 && n[1] >= 5);
    assert_true(shortcut > 1.4 * honest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples_are_held_out_scenes),
        cmocka_unit_test(test_head_and_cell_follow_from_the_sign),
        cmocka_unit_test(test_targets_are_the_entries_of_the_box),
        cmocka_unit_test(test_targets_explain_different_things),
        cmocka_unit_test(test_two_boxes_have_two_paths),
        cmocka_unit_test(test_shortcut_shows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

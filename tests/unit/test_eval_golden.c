/* Maps by name against captum's and pytorch-grad-cam's of the same small networks (tests/oracle/maps_captum.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "eval/attribution.h"
#include "io/error.h"
#include "io/npz.h"

#define FOLDER "tests/oracle/"
static const double LEAST = .9999, LEAST_NOISY = .99;
enum { ALPHAS = 50, COPIES = 1500 }; /* so many copies by captum have .995 with its golden mean */

static void need(cp_status status)
{
    if (status)
        fail_msg("%s", cp_error());
}

/* NULL: the file has no such array. Free with cp_free. */
static float *array(cp_npz *npz, const char *name, size_t *count)
{
    size_t index, bytes;
    cp_array_type type;
    if (!cp_npz_find(npz, name, &index))
        return NULL;
    need(cp_npz_type(npz, index, &type));
    assert_int_equal(type.dtype, CP_FLOAT32);
    assert_true(cp_array_bytes(&type, &bytes));
    float *data = cp_alloc(bytes, 1, name);
    assert_non_null(data);
    need(cp_npz_read(npz, index, &type, data));
    *count = bytes / sizeof *data;
    return data;
}

static double cosine(const float *a, const float *b, size_t n)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return dot / sqrt(aa * bb);
}

/* Of each pixel's channels whose magnitude is at least .9 of the largest, the one nearest to the map. Which of two nearly equal
 * channels is the largest hangs on the noise. `nearest` may be the image's first channel. */
static void take_nearest(const float *image, size_t channels, size_t plane, const float *map, float *nearest)
{
    for (size_t i = 0; i < plane; i++) {
        float largest = 0;
        for (size_t c = 0; c < channels; c++)
            largest = fmaxf(largest, fabsf(image[c * plane + i]));
        float best = INFINITY;
        for (size_t c = 0; c < channels; c++) {
            float value = image[c * plane + i];
            if (fabsf(value) >= .9f * largest && fabsf(value - map[i]) < fabsf(best - map[i]))
                best = value;
        }
        nearest[i] = best;
    }
}

/* SmoothGrad's noise is another one there, whose mean is of 20000 copies. */
static int compare_all(const char *network, const cp_attribution_call *call, cp_npz *maps, size_t plane)
{
    static const char *const methods[] = {"gradient", "inputmct", "inputintgrad", "gradcam", "layercam", "eigencam", "gbp",
                                          "smoothgrad"};
    float *found = cp_alloc(plane, sizeof *found, "map");
    int compared = 0;
    assert_non_null(found);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char name[64];
        size_t count;
        cp_attribution_call own = *call;
        bool noisy = !strcmp(methods[i], "smoothgrad");
        own.samples = noisy ? COPIES : ALPHAS;
        snprintf(name, sizeof name, "%s.%s", network, methods[i]);
        float *expected = array(maps, name, &count);
        if (!expected)
            continue;
        need(cp_attribution_find(methods[i])->run(&own, found));
        if (noisy)
            take_nearest(expected, count / plane, plane, found, expected);
        else
            assert_int_equal(count, plane);
        double angle = cosine(found, expected, plane), least = noisy ? LEAST_NOISY : LEAST;
        if (!(angle >= least))
            fail_msg("%s: cosine %.6f, at least %g needed", name, angle, least);
        compared++;
        cp_free(expected);
    }
    cp_free(found);
    return compared;
}

static void compare_network(const char *network, int maps_there)
{
    char cfg[96], weights[96], own[96], name[64];
    size_t c, h, w, count;
    cp_npz *npz, *maps;
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    snprintf(cfg, sizeof cfg, FOLDER "cfg/%s.cfg", network);
    snprintf(weights, sizeof weights, FOLDER "%s.weights", network);
    snprintf(own, sizeof own, FOLDER "%s.npz", network);
    snprintf(name, sizeof name, "%s.layer", network);
    need(cp_npz_open(own, &npz));
    need(cp_npz_open(FOLDER "maps.npz", &maps));
    need(cp_model_open(cfg, weights, &model));
    cp_model_input_shape(model, &c, &h, &w);
    float *input = array(npz, "input", &count), *unit = array(npz, "response", &count), *layer = array(maps, name, &count);
    assert_non_null(input);
    assert_non_null(unit);
    assert_non_null(layer);
    need(cp_response_unit(model, (int)unit[0], (size_t)unit[1], &response));
    assert_int_equal(cp_attribution_layer(model, &response), (int)layer[0]);
    need(cp_frame_create(model, 1, &frame));
    need(cp_frame_forward(frame, input, 1, NULL));
    const cp_eval_target target = {.placement = {w, h, 0, 0, w, h}};
    const cp_attribution_call call = {.frame = frame, .response = &response, .target = &target, .seed = 1,
                                      .layer = (int)layer[0]};
    assert_int_equal(compare_all(network, &call, maps, h * w), maps_there);
    cp_frame_free(frame);
    cp_model_free(model);
    cp_npz_close(npz);
    cp_npz_close(maps);
    cp_free(input);
    cp_free(unit);
    cp_free(layer);
}

static void relu_network(void **state)
{
    (void)state;
    compare_network("vgg", 8);
}

/* Leaky units: captum has no guided backpropagation of them. */
static void leaky_network(void **state)
{
    (void)state;
    compare_network("resnet", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(relu_network), cmocka_unit_test(leaky_network)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

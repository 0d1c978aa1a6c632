/* Whole small networks against golden files that PyTorch made in float64 (tests/oracle/make_golden.py): a VGG, ResNet,
 * ResNeXt and DenseNet, depthwise blocks, YOLOv1, v2, v3 and tiny v3, every activation, deconvolution, odd geometry.
 * The files are read from tests/oracle, relative to the project's folder. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "critpath.h"
#include "io/error.h"
#include "io/npz.h"

#define FOLDER "tests/oracle/"
static const double least_cosine = .9999, least_jaccard = .999, value_tolerance = 1e-4;

static const char *const names[] = {"activations", "deconv", "densenet", "depthwise", "odd", "resnet", "resnext", "vgg",
                                    "yolov1", "yolov2", "yolov3", "yolov3-tiny"};

typedef struct {
    const char *name;
    cp_npz *npz;
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    const cp_neuron_layer *layers;
    int n_layers;
    float *a, *g;     /* N, as the observer saw them */
    float *score;     /* N */
    size_t inputs;
} golden;

static void check(const golden *gold, cp_status status)
{
    if (status != CP_OK)
        fail_msg("%s: %s", gold->name, cp_error());
}

/* Array `name` of the golden file, read with the dtype and shape that it declares. Free with cp_free. */
static void *array(const golden *gold, const char *name, size_t *count)
{
    size_t index, bytes;
    cp_array_type type;
    if (!cp_npz_find(gold->npz, name, &index))
        fail_msg("%s.npz has no array %s", gold->name, name);
    check(gold, cp_npz_type(gold->npz, index, &type));
    assert_true(cp_array_bytes(&type, &bytes));
    void *data = cp_alloc(bytes, 1, name);
    assert_non_null(data);
    check(gold, cp_npz_read(gold->npz, index, &type, data));
    *count = bytes / cp_dtype_size(type.dtype);
    return data;
}

static void *layer_array(const golden *gold, const char *kind, const cp_neuron_layer *layer)
{
    char name[96];
    size_t count;
    snprintf(name, sizeof name, "%s.%s", kind, layer->name);
    void *data = array(gold, name, &count);
    assert_int_equal(count, layer->count);
    return data;
}

/* ---------------------------------------------------------------- comparing */

static double cosine(const float *one, const float *other, const unsigned char *where, size_t n)
{
    double dot = 0, a = 0, b = 0;
    for (size_t i = 0; i < n; ++i) {
        if (where && !where[i])
            continue;
        dot += (double)one[i] * other[i];
        a += (double)one[i] * one[i];
        b += (double)other[i] * other[i];
    }
    if (a == 0 || b == 0)
        return a == b ? 1 : 0;
    return dot / sqrt(a * b);
}

/* ||one - other|| / ||other||: unlike the cosine it sees a wrong scale. */
static double relative(const float *one, const float *other, const unsigned char *where, size_t n)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        if (where && !where[i])
            continue;
        difference += ((double)one[i] - other[i]) * ((double)one[i] - other[i]);
        size += (double)other[i] * other[i];
    }
    return size == 0 ? difference : sqrt(difference / size);
}

static void compare(const golden *gold, const char *what, const float *found, const float *expected,
                    const unsigned char *where, size_t n)
{
    double angle = cosine(found, expected, where, n), off = relative(found, expected, where, n);
    if (!(angle >= least_cosine && off <= 2e-3))
        fail_msg("%s, %s: cosine %.6f, relative difference %.2g", gold->name, what, angle, off);
}

static void compare_value(const golden *gold, const char *what, double found)
{
    size_t count;
    float *expected = array(gold, what, &count);
    if (!(fabs(found - expected[0]) <= value_tolerance * (fabs(expected[0]) + 1e-2)))
        fail_msg("%s, %s: %.7g, PyTorch has %.7g", gold->name, what, found, expected[0]);
    cp_free(expected);
}

/* ---------------------------------------------------------------- one network */

static void observe(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                    size_t count)
{
    golden *gold = user;
    (void)entry;
    memcpy(gold->a + layer->offset + first, a, count * sizeof *a);
    memcpy(gold->g + layer->offset + first, g, count * sizeof *g);
}

static void take_response(golden *gold)
{
    size_t count;
    float *unit = array(gold, "response", &count);
    gold->response.n = (int)(count / 3);
    assert_in_range(gold->response.n, 1, CP_RESPONSE_UNITS);
    for (int i = 0; i < gold->response.n; ++i) {
        gold->response.unit[i].layer = (int)unit[3 * i];
        gold->response.unit[i].index = (size_t)unit[3 * i + 1];
        gold->response.unit[i].weight = unit[3 * i + 2];
    }
    cp_free(unit);
}

static void open_golden(golden *gold, const char *name)
{
    char cfg[128], weights[128], npz[128];
    memset(gold, 0, sizeof *gold);
    gold->name = name;
    snprintf(cfg, sizeof cfg, FOLDER "cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, FOLDER "%s.weights", name);
    snprintf(npz, sizeof npz, FOLDER "%s.npz", name);
    check(gold, cp_npz_open(npz, &gold->npz));
    int device = cp_device();
    check(gold, cp_set_device(-1)); /* the files' epsilon */
    check(gold, cp_model_open(cfg, weights, &gold->model));
    check(gold, cp_set_device(device));
    gold->layers = cp_model_neuron_layers(gold->model, &gold->n_layers);
    size_t neurons = cp_model_neuron_count(gold->model);
    gold->a = calloc(neurons, sizeof(float));
    gold->g = calloc(neurons, sizeof(float));
    gold->score = calloc(neurons, sizeof(float));
    take_response(gold);
    check(gold, cp_frame_create(gold->model, 1, &gold->frame));
    float *input = array(gold, "input", &gold->inputs);
    check(gold, cp_frame_forward(gold->frame, input, 1, NULL));
    cp_free(input);
}

static void close_golden(golden *gold)
{
    cp_frame_free(gold->frame);
    cp_model_free(gold->model);
    cp_npz_close(gold->npz);
    free(gold->a);
    free(gold->g);
    free(gold->score);
}

/* Sum and norm of every layer's output, whole logits, the response. */
static void check_outputs(const golden *gold)
{
    size_t count;
    float *sums = array(gold, "sums", &count);
    assert_int_equal(count, 2 * (size_t)cp_model_layer_count(gold->model));
    for (int i = 0; i < cp_model_layer_count(gold->model); ++i) {
        const float *output = cp_frame_output(gold->frame, i, 0);
        if (!output)
            continue;
        double sum = 0, norm = 0;
        for (size_t k = 0; k < cp_model_layer(gold->model, i)->outputs; ++k) {
            sum += output[k];
            norm += (double)output[k] * output[k];
        }
        norm = sqrt(norm);
        if (fabs(norm - sums[2 * i + 1]) > 1e-4 * norm || fabs(sum - sums[2 * i]) > 1e-3 * norm)
            fail_msg("%s: output of layer %d has sum %g and norm %g, PyTorch has %g and %g", gold->name, i, sum, norm,
                     sums[2 * i], sums[2 * i + 1]);
        char name[32];
        size_t index;
        snprintf(name, sizeof name, "logits.%03d", i);
        if (!cp_npz_find(gold->npz, name, &index))
            continue;
        float *logits = array(gold, name, &count);
        if (relative(output, logits, NULL, count) > value_tolerance)
            fail_msg("%s, %s: relative difference %g", gold->name, name, relative(output, logits, NULL, count));
        cp_free(logits);
    }
    cp_free(sums);
    compare_value(gold, "value", cp_frame_response(gold->frame, 0, &gold->response));
}

/* a and g of every neuron layer; g where the unit is active, as a dead one in a tied pool window may get any. */
static void check_gradients(golden *gold)
{
    size_t count;
    float *map = calloc(gold->inputs, sizeof *map);
    cp_entry entry = {.response = &gold->response};
    cp_observer observer = {observe, gold};
    check(gold, cp_frame_backward(gold->frame, &entry, 1, &observer, map));
    float *expected = array(gold, "gradient", &count);
    compare(gold, "gradient", map, expected, NULL, count);
    cp_free(expected);
    free(map);
    for (int k = 0; k < gold->n_layers; ++k) {
        const cp_neuron_layer *layer = &gold->layers[k];
        float *a = layer_array(gold, "a", layer), *g = layer_array(gold, "g", layer);
        unsigned char *active = malloc(layer->count);
        for (size_t i = 0; i < layer->count; ++i)
            active[i] = a[i] != 0;
        const float *output = cp_frame_output(gold->frame, layer->layer, 0);
        compare(gold, layer->name, output, a, NULL, layer->count);
        compare(gold, layer->name, gold->g + layer->offset, g, active, layer->count);
        free(active);
        cp_free(a);
        cp_free(g);
    }
}

static void golden_path(const golden *gold, const char *kind, cp_path *path)
{
    for (int k = 0; k < gold->n_layers; ++k) {
        unsigned char *bits = layer_array(gold, kind, &gold->layers[k]);
        for (size_t i = 0; i < gold->layers[k].count; ++i)
            cp_path_set(path, gold->layers[k].offset + i, bits[i]);
        cp_free(bits);
    }
}

static void check_map(const golden *gold, const char *what, const float *map)
{
    size_t count;
    float *expected = array(gold, what, &count);
    assert_int_equal(count, gold->inputs);
    compare(gold, what, map, expected, NULL, count);
    cp_free(expected);
}

/* Selection from our own scores against PyTorch's, then both maps of PyTorch's path. */
static void check_path(const golden *gold, int percent)
{
    char what[48];
    cp_path *found, *expected;
    cp_selection selection;
    size_t both, either;
    check(gold, cp_path_create(gold->model, &found));
    check(gold, cp_path_create(gold->model, &expected));
    check(gold, cp_path_select(found, gold->score, percent / 100., 0, &selection));
    snprintf(what, sizeof what, "path_%d", percent);
    golden_path(gold, what, expected);
    check(gold, cp_path_overlap(found, expected, -1, &both, &either));
    if (!(both >= least_jaccard * either))
        fail_msg("%s, %s: %zu of %zu units in common", gold->name, what, both, either);

    float *map = calloc(gold->inputs, sizeof *map), *input;
    double value;
    check(gold, cp_map_frozen(gold->frame, 0, &gold->response, (const cp_path *const *)&expected, 1, map));
    snprintf(what, sizeof what, "frozen_%d", percent);
    check_map(gold, what, map);
    input = array(gold, "input", &both);
    check(gold, cp_map_zeroed(gold->model, input, &gold->response, (const cp_path *const *)&expected, 1, map, &value));
    snprintf(what, sizeof what, "zeroed_%d", percent);
    check_map(gold, what, map);
    snprintf(what, sizeof what, "zeroed_value_%d", percent);
    compare_value(gold, what, value);
    cp_free(input);
    free(map);
    cp_path_free(found);
    cp_path_free(expected);
}

/* NeuronIntGrad, 50 midpoints, signed; the residuals as they are. */
static void check_intgrad(const golden *gold)
{
    size_t count, index;
    if (!cp_npz_find(gold->npz, "residual", &index))
        return;
    float *residual = array(gold, "residual", &count);
    float *score = calloc(cp_model_neuron_count(gold->model), sizeof *score);
    assert_int_equal(count, gold->n_layers);
    cp_intgrad_layer *did = calloc(count, sizeof *did);
    cp_intgrad_options options = {.run.signed_scores = true, .steps = 50};
    check(gold, cp_score_intgrad(gold->frame, 0, &gold->response, &options, score, did));
    double phi = fabs(cp_frame_response(gold->frame, 0, &gold->response));
    for (int k = 0; k < gold->n_layers; ++k) {
        float *expected = layer_array(gold, "intgrad", &gold->layers[k]);
        compare(gold, "NeuronIntGrad", score + gold->layers[k].offset, expected, NULL, gold->layers[k].count);
        double sum = did[k].full - did[k].zero - did[k].sum;
        if (!(fabs(sum - residual[k]) <= 1e-3 * phi))
            fail_msg("%s, %s: residual %g, PyTorch has %g", gold->name, gold->layers[k].name, sum, residual[k]);
        cp_free(expected);
    }
    free(did);
    free(score);
    cp_free(residual);
}

static void check_ablation(const golden *gold)
{
    size_t count, index;
    if (!cp_npz_find(gold->npz, "ablated", &index))
        return;
    int32_t *ablated = array(gold, "ablated", &count);
    float *expected = array(gold, "ablation", &count), *drop = calloc(count, sizeof *drop);
    size_t *neurons = calloc(count, sizeof *neurons);
    cp_run_options run = {0};
    for (size_t i = 0; i < count; ++i)
        neurons[i] = (size_t)ablated[i];
    check(gold, cp_score_ablation(gold->frame, 0, &gold->response, neurons, count, &run, drop));
    compare(gold, "ablation", drop, expected, NULL, count);
    free(drop);
    free(neurons);
    cp_free(ablated);
    cp_free(expected);
}

static void test_golden(void **state)
{
    golden gold;
    open_golden(&gold, *state);
    check_outputs(&gold);
    check_gradients(&gold);
    check(&gold, cp_score_mct(gold.frame, 0, &gold.response, false, gold.score));
    check_path(&gold, 90);
    check_path(&gold, 99);
    check_intgrad(&gold);
    check_ablation(&gold);
    close_golden(&gold);
}

int main(void)
{
    struct CMUnitTest tests[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        tests[i] = (struct CMUnitTest){.name = names[i], .test_func = test_golden, .initial_state = (void *)names[i]};
    cp_set_threads(1); /* tiny layers: waking threads would take longer than the work */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* On the device: an image's bytes are the same alone and in any batch; scores that stay there select and describe what
 * scores on the host do; where memory ends the batch is halved, and the result stays. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/memory.h"
#include "map/map.h"
#include "path/scores.h"

enum { IMAGES = 11 }; /* more than run side by side */

typedef struct {
    cp_model *model;
    size_t inputs, neurons;
    float *input; /* (IMAGES, inputs), all different */
    cp_response response;
} network;

static const char *const small[] = {"resnet", "vgg", "deconv", "depthwise", "densenet", "odd", "yolov1", "yolov3-tiny"};
enum { SMALL = sizeof small / sizeof *small };

static void ok(cp_status status)
{
    if (status) fail_msg("%s", cp_error());
}

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    assert_non_null(memory);
    return memory;
}

static network open_network(const char *name, bool flat)
{
    network n;
    char cfg[200], weights[200];
    size_t c, h, w;
    uint32_t seed = 3;
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    ok(cp_model_open(cfg, weights, &n.model));
    cp_model_input_shape(n.model, &c, &h, &w);
    n.inputs = c * h * w;
    n.neurons = cp_model_neuron_count(n.model);
    n.input = room(IMAGES * n.inputs, sizeof *n.input);
    for (size_t i = 0; i < IMAGES * n.inputs; ++i) {
        seed = seed * 1664525u + 1013904223u;
        n.input[i] = flat ? .5f : (float)(seed >> 8) / (1 << 24);
    }
    const int *heads;
    int layer = cp_model_heads(n.model, &heads) ? cp_model_logit_layer(n.model, heads[0])
                                                : cp_model_layer_count(n.model) - 1;
    ok(cp_response_unit(n.model, layer, cp_model_layer(n.model, layer)->outputs / 2, &n.response));
    return n;
}

static void close_network(network *n)
{
    cp_model_free(n->model);
    free(n->input);
}

static void compare_image(const network *n, const char *name, cp_frame *all, cp_frame *alone, int image,
                          const float *gradients)
{
    const cp_entry entry = {.response = &n->response};
    float *gradient = room(n->inputs, sizeof *gradient);
    ok(cp_frame_forward(alone, n->input + image * n->inputs, 1, NULL));
    ok(cp_frame_backward(alone, &entry, 1, NULL, gradient));
    for (int i = 0; i < cp_model_layer_count(n->model); ++i) {
        const float *one = cp_frame_output(alone, i, 0), *other = cp_frame_output(all, i, image);
        if (one && memcmp(one, other, cp_model_layer(n->model, i)->outputs * sizeof *one))
            fail_msg("%s: layer %d of image %d depends on the batch", name, i, image);
    }
    if (memcmp(gradient, gradients + image * n->inputs, n->inputs * sizeof *gradient))
        fail_msg("%s: the gradient of image %d depends on the batch", name, image);
    free(gradient);
}

static void test_bytes_do_not_depend_on_the_batch(void **state)
{
    (void)state;
    for (int k = 0; k < SMALL; ++k) {
        network n = open_network(small[k], false);
        cp_entry entries[IMAGES];
        cp_frame *all, *alone;
        float *gradients = room(IMAGES * n.inputs, sizeof *gradients);
        for (int b = 0; b < IMAGES; ++b) entries[b] = (cp_entry){.image = b, .response = &n.response};
        ok(cp_frame_create(n.model, IMAGES, &all));
        ok(cp_frame_create(n.model, 1, &alone));
        ok(cp_frame_forward(all, n.input, IMAGES, NULL));
        ok(cp_frame_backward(all, entries, IMAGES, NULL, gradients));
        for (int b = 0; b < IMAGES; ++b) compare_image(&n, small[k], all, alone, b, gradients);
        /* Several entries of one image, in no order. */
        for (int b = 0; b < IMAGES; ++b) entries[b].image = (b * 5 + 2) % 7;
        float *mixed = room(IMAGES * n.inputs, sizeof *mixed);
        ok(cp_frame_backward(all, entries, IMAGES, NULL, mixed));
        for (int b = 0; b < IMAGES; ++b)
            assert_memory_equal(mixed + b * n.inputs, gradients + entries[b].image * n.inputs,
                                n.inputs * sizeof *mixed);
        free(mixed);
        cp_frame_free(all), cp_frame_free(alone);
        free(gradients);
        close_network(&n);
    }
}

/* More paths than the device keeps at a time; some are none, some the same. */
static void test_maps_do_not_depend_on_the_sweep(void **state)
{
    enum { PATHS = 70 };
    network n = open_network("vgg", false);
    cp_frame *frame;
    const cp_path *paths[PATHS];
    float *together = room(PATHS * n.inputs, sizeof *together), *alone = room(n.inputs, sizeof *alone);
    double responses[PATHS], response;
    (void)state;
    ok(cp_frame_create(n.model, 1, &frame));
    ok(cp_frame_forward(frame, n.input, 1, NULL));
    for (int i = 0; i < PATHS; ++i) {
        cp_path *path = NULL;
        cp_selection selection;
        const double sparsity = i / (double)PATHS;
        if (i % 9 && i != 50) {
            ok(cp_path_create(n.model, &path));
            ok(cp_path_mct(frame, 0, &n.response, &sparsity, 1, &path, &selection));
        }
        paths[i] = i == 50 ? paths[1] : path;
    }
    ok(cp_map_frozen(frame, 0, &n.response, paths, PATHS, together));
    for (int i = 0; i < PATHS; ++i) {
        ok(cp_map_frozen(frame, 0, &n.response, &paths[i], 1, alone));
        assert_memory_equal(together + i * n.inputs, alone, n.inputs * sizeof *alone);
    }
    ok(cp_map_zeroed(n.model, n.input, &n.response, paths, PATHS, together, responses));
    for (int i = 0; i < PATHS; i += 7) {
        ok(cp_map_zeroed(n.model, n.input, &n.response, &paths[i], 1, alone, &response));
        assert_memory_equal(together + i * n.inputs, alone, n.inputs * sizeof *alone);
        assert_true(response == responses[i]);
    }
    for (int i = 0; i < PATHS; ++i)
        if (i != 50) cp_path_free((cp_path *)paths[i]);
    cp_frame_free(frame);
    free(together), free(alone);
    close_network(&n);
}

static void same_description(const network *n, cp_scores *there, cp_scores *here, const cp_path *path, int most)
{
    size_t channels = cp_model_channel_count(n->model);
    cp_channel_sum *one = room(channels, sizeof *one), *other = room(channels, sizeof *other);
    cp_scored_neuron top[16], expected[16];
    int n_top, n_expected;
    ok(cp_scores_describe(there, path, one, most, top, &n_top));
    ok(cp_scores_describe(here, path, other, most, expected, &n_expected));
    for (size_t c = 0; c < channels; ++c) {
        assert_int_equal(one[c].kept, other[c].kept);
        assert_int_equal(one[c].dead, other[c].dead);
        assert_true(one[c].score >= other[c].score * (1 - 1e-12) && one[c].score <= other[c].score * (1 + 1e-12));
    }
    assert_int_equal(n_top, n_expected);
    for (int i = 0; i < n_top; ++i) {
        assert_int_equal(top[i].neuron, expected[i].neuron);
        assert_true(top[i].score == expected[i].score && top[i].activation == expected[i].activation);
    }
    free(one), free(other);
}

/* The contribution map from sums that the device makes, against that from the scores on the host: the same bytes. */
static void same_heat(const network *n, cp_frame *frame, int image, cp_scores *there, const float *array, const cp_path *path)
{
    size_t c, h, w;
    cp_model_input_shape(n->model, &c, &h, &w);
    float *one = room(2 * h * w, sizeof *one), *other = room(2 * h * w, sizeof *other);
    for (int planes = CP_PLANES_FINE; planes <= CP_PLANES_ALL; ++planes) {
        const cp_contribution_options options = {.planes = (cp_planes)planes};
        cp_contribution report, expected;
        assert_true(cp_scores_stay(there));
        ok(cp_map_contribution_of(frame, image, &n->response, path, there, &options, one, &report));
        assert_true(cp_scores_stay(there));
        ok(cp_map_contribution(frame, image, &n->response, path, array, &options, other, &expected));
        assert_memory_equal(one, other, 2 * h * w * sizeof *one);
        assert_true(report.layers == expected.layers && report.against == expected.against);
    }
    free(one), free(other);
}

static void compare_scores(const network *n, int image)
{
    static const double sparsity[] = {0, .5, .9, .99, .9995};
    cp_frame *frame;
    cp_scores *there, *here;
    cp_path *path, *expected;
    int layers;
    const cp_neuron_layer *layer = cp_model_neuron_layers(n->model, &layers);
    float *array = room(1, 1);
    free(array);
    ok(cp_frame_create(n->model, 2, &frame));
    ok(cp_frame_forward(frame, n->input, 2, NULL));
    ok(cp_path_create(n->model, &path));
    ok(cp_path_create(n->model, &expected));
    array = aligned_alloc(64, (n->neurons * sizeof *array + 63) / 64 * 64);
    assert_non_null(array);
    ok(cp_score_mct(frame, image, &n->response, true, array));
    ok(cp_scores_mct(frame, image, &n->response, NULL, &there));
    ok(cp_scores_take(frame, image, array, true, &here));
    for (size_t i = 0; i < sizeof sparsity / sizeof *sparsity; ++i) {
        cp_selection found, wanted;
        cp_cut cut, other;
        ok(cp_scores_select(there, sparsity[i], 0, path, &found));
        ok(cp_scores_select(here, sparsity[i], 0, expected, &wanted));
        assert_int_equal(found.kept, wanted.kept);
        assert_memory_equal(&found.threshold, &wanted.threshold, sizeof found.threshold);
        for (int l = 0; l < layers; ++l)
            assert_memory_equal(cp_path_words(path, l), cp_path_words(expected, l), (layer[l].count + 63) / 64 * 8);
        ok(cp_scores_find_cut(there, path, &n->response, &cut));
        ok(cp_scores_find_cut(here, path, &n->response, &other));
        assert_int_equal(cut.cut, other.cut);
        assert_int_equal(cut.layer, other.layer);
        assert_memory_equal(&cut.sparsest_uncut, &other.sparsest_uncut, sizeof cut.sparsest_uncut);
        same_description(n, there, here, path, 10);
        same_description(n, there, here, path, 0);
        same_heat(n, frame, image, there, array, path);
    }
    same_heat(n, frame, image, there, array, NULL);
    const double mass[] = {.5, .8, 1};
    for (size_t i = 0; i < sizeof mass / sizeof *mass; ++i) { /* sums of another order: the last neuron may be its neighbour */
        cp_selection found, wanted;
        ok(cp_scores_select_mass(there, mass[i], 0, path, &found));
        ok(cp_scores_select_mass(here, mass[i], 0, expected, &wanted));
        assert_true(fabs((double)found.kept - (double)wanted.kept) <= 1);
        assert_true(fabs(found.mass - wanted.mass) < 1e-6 && found.mass >= mass[i] - 1e-6);
        assert_int_equal(cp_path_count(path), found.kept);
    }
    const float *read;
    ok(cp_scores_array(there, &read));
    assert_memory_equal(read, array, n->neurons * sizeof *read);
    cp_scores_free(there), cp_scores_free(here);
    cp_path_free(path), cp_path_free(expected);
    cp_frame_free(frame);
}

static void test_scores_that_stay(void **state)
{
    (void)state;
    for (int k = 0; k < SMALL; ++k)
        for (int flat = 0; flat < 2; ++flat) { /* of one colour: many equal scores */
            network n = open_network(small[k], flat);
            compare_scores(&n, flat);
            close_network(&n);
        }
}

typedef cp_status (*long_score)(cp_frame *frame, const cp_response *response, size_t memory, float *score);

static cp_status intgrad(cp_frame *frame, const cp_response *response, size_t memory, float *score)
{
    const cp_intgrad_options options = {.run.memory = memory, .steps = 9, .only = 2};
    return cp_score_intgrad(frame, 0, response, &options, score, NULL);
}

static cp_status ablation(cp_frame *frame, const cp_response *response, size_t memory, float *score)
{
    static const size_t neurons[] = {0, 5, 6, 7, 90, 91, 92, 93, 700, 900, 1000, 1001};
    const cp_run_options run = {.memory = memory};
    return cp_score_ablation(frame, 0, response, neurons, sizeof neurons / sizeof *neurons, &run, score);
}

static cp_status shapley(cp_frame *frame, const cp_response *response, size_t memory, float *score)
{
    const cp_shapley_options options = {.run.memory = memory, .granularity = CP_CHANNEL, .layer = 1, .permutations = 5,
                                        .exact_players = -1, .seed = 4};
    return cp_score_shapley(frame, 0, response, &options, score, NULL, NULL);
}

enum { SAME = 10, SAME_THOUGH_SHORT, DIFFERENT, FAILED };

/* With the allocation of that number failing, where it is one of the method's. */
static int score_short(const char *name, long_score method, int number)
{
    network n = open_network(name, false);
    cp_frame *frame;
    float *expected = room(n.neurons, sizeof *expected), *score = room(n.neurons, sizeof *score);
    char text[24];
    ok(cp_frame_create(n.model, 1, &frame));
    ok(cp_frame_forward(frame, n.input, 1, NULL));
    snprintf(text, sizeof text, "%d", number);
    setenv("CUDA_EMULATE_FAIL", text, 1);
    cp_device_was_short();
    cp_status status = method(frame, &n.response, 0, score);
    bool was_short = cp_device_was_short();
    unsetenv("CUDA_EMULATE_FAIL");
    if (status) {
        fprintf(stderr, "%s\n", cp_error());
        return FAILED;
    }
    ok(method(frame, &n.response, 1, expected)); /* one entry at a time */
    if (memcmp(score, expected, n.neurons * sizeof *score)) return DIFFERENT;
    return was_short ? SAME_THOUGH_SHORT : SAME;
}

/* One allocation after the other fails: none of them may matter, as half the batch needs less. */
static void halve(const char *name, long_score method)
{
    int times = 0;
    for (int number = 1, last = 0; number < 200 && number < last + 20; ++number) {
        int status;
        pid_t child = fork(); /* each counts from the first */
        assert_true(child >= 0);
        if (!child) _exit(score_short(name, method, number));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WEXITSTATUS(status) == SAME_THOUGH_SHORT) last = number, ++times;
        if (WEXITSTATUS(status) != SAME && WEXITSTATUS(status) != SAME_THOUGH_SHORT)
            fail_msg("%s: without allocation %d the scores are %s", name, number,
                     WEXITSTATUS(status) == DIFFERENT ? "others" : "not there");
        if (!times) last = number; /* those before the method's */
    }
    assert_true(times >= 3);
}

static void test_memory_is_a_matter_of_time(void **state)
{
    static const long_score methods[] = {intgrad, ablation, shapley};
    (void)state;
    for (int k = 0; k < 3; ++k) {
        network n = open_network("resnet", false);
        cp_frame *frame;
        float *much = room(n.neurons, sizeof *much), *little = room(n.neurons, sizeof *little);
        ok(cp_frame_create(n.model, 1, &frame));
        ok(cp_frame_forward(frame, n.input, 1, NULL));
        ok(methods[k](frame, &n.response, 0, much));
        ok(methods[k](frame, &n.response, 1, little));
        assert_memory_equal(much, little, n.neurons * sizeof *much);
        cp_frame_free(frame);
        free(much), free(little);
        close_network(&n);
    }
}

static bool emulated;

static void test_short_of_memory(void **state)
{
    (void)state;
    if (!emulated) skip();
    halve("vgg", intgrad);
    halve("vgg", ablation);
    halve("resnet", shapley);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_of_memory), /* the first, as its children may not inherit a device in use */
        cmocka_unit_test(test_bytes_do_not_depend_on_the_batch),
        cmocka_unit_test(test_maps_do_not_depend_on_the_sweep),
        cmocka_unit_test(test_memory_is_a_matter_of_time),
        cmocka_unit_test(test_scores_that_stay),
    };
    char name[300];
    if (cp_set_device(0) || cp_device_name(0, name)) {
        printf("skipped: %s\n", cp_error());
        return 77;
    }
    emulated = strstr(name, "mulat") != NULL; /* only there can an allocation be made to fail */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

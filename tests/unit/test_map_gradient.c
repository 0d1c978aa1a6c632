/* NeuronMCT and pathway gradients: a network computed by hand, and what must hold on any network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map/map.h"
#include "tiny_net.h"

/* ---------------------------------------------------------------- by hand: see tiny_net.h */

static cp_path *path_of(const cp_model *model, int n, const size_t *neurons)
{
    cp_path *path;
    assert_int_equal(cp_path_create(model, &path), CP_OK);
    for (int i = 0; i < n; i++)
        cp_path_set(path, neurons[i], true);
    return path;
}

static cp_frame *run(const cp_model *model, const float *input)
{
    cp_frame *frame;
    assert_int_equal(cp_frame_create(model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, input, 1, NULL), CP_OK);
    return frame;
}

static void test_by_hand(void **state)
{
    (void)state;
    tiny_net net;
    TINY_OPEN(&net);
    assert_int_equal(cp_model_neuron_count(net.model), 3);
    cp_frame *frame = run(net.model, tiny_input);
    cp_response response;
    assert_int_equal(cp_response_class(net.model, 0, &response), CP_OK);
    assert_true(cp_frame_response(frame, 0, &response) == -3.75);

    float score[3], maps[4][4];
    assert_int_equal(cp_score_mct(frame, 0, &response, false, score), CP_OK);
    assert_true(score[0] == 2 && score[1] == 6 && score[2] == 0);
    assert_int_equal(cp_score_mct(frame, 0, &response, true, score), CP_OK);
    assert_true(score[0] == 2 && score[1] == -6 && score[2] == 0);

    /* g = (2, -3, 5) times the filters of the neurons that are on the path and active */
    cp_path *none = path_of(net.model, 0, NULL), *second = path_of(net.model, 1, (size_t[]){1});
    cp_path *dead = path_of(net.model, 2, (size_t[]){0, 2});
    const cp_path *paths[4] = {NULL, none, second, dead};
    assert_int_equal(cp_map_frozen(frame, 0, &response, paths, 4, maps[0]), CP_OK);
    const float by_hand[4][4] = {{5, -1.5f, -1.5f, -1.75f}, {0}, {3, -1.5f, -1.5f, -.75f}, {2, 0, 0, -1}};
    assert_memory_equal(maps[0], by_hand[0], sizeof by_hand[0]);
    for (int i = 0; i < 16; i++)
        assert_true(maps[i / 4][i % 4] == by_hand[i / 4][i % 4]);

    /* Zeroed: one neuron layer, so the maps are the same; the responses are not: bias, -6 + bias, 2 + bias. */
    double responses[4];
    memset(maps, 0x7f, sizeof maps);
    assert_int_equal(cp_map_zeroed(net.model, tiny_input, &response, paths, 4, maps[0], responses), CP_OK);
    for (int i = 0; i < 16; i++)
        assert_true(maps[i / 4][i % 4] == by_hand[i / 4][i % 4]);
    assert_true(responses[0] == -3.75 && responses[1] == .25 && responses[2] == -5.75 && responses[3] == 2.25);
    cp_path_free(none);
    cp_path_free(second);
    cp_path_free(dead);
    cp_frame_free(frame);
    tiny_close(&net);
}

/* A neuron as the response: it explains nothing itself, and needs not be on the path. */
static void test_neuron_as_response(void **state)
{
    (void)state;
    tiny_net net;
    TINY_OPEN(&net);
    cp_frame *frame = run(net.model, tiny_input);
    cp_response response;
    float score[3], map[4];
    assert_int_equal(cp_response_unit(net.model, 0, 1, &response), CP_OK);
    assert_int_equal(cp_score_mct(frame, 0, &response, false, score), CP_OK);
    assert_true(score[0] == 0 && score[1] == 0 && score[2] == 0);
    cp_path *none = path_of(net.model, 0, NULL);
    const cp_path *paths[] = {none};
    const float filter[] = {-1, .5f, .5f, .25f};
    assert_int_equal(cp_map_frozen(frame, 0, &response, paths, 1, map), CP_OK);
    assert_memory_equal(map, filter, sizeof filter);
    double value;
    assert_int_equal(cp_map_zeroed(net.model, tiny_input, &response, paths, 1, map, &value), CP_OK);
    assert_memory_equal(map, filter, sizeof filter);
    assert_true(value == 2);
    assert_int_equal(cp_path_count(none), 0); /* the caller's path stays as it is */
    cp_cut cut;
    assert_int_equal(cp_path_find_cut(none, score, &response, &cut), CP_OK);
    assert_false(cut.cut);

    char text[200];
    assert_false(cp_map_zero_reason(map, 4, frame, 0, &response, none, &cut, text, sizeof text));
    assert_int_equal(cp_response_unit(net.model, 0, 2, &response), CP_OK);
    assert_int_equal(cp_map_frozen(frame, 0, &response, (const cp_path *[]){NULL}, 1, map), CP_OK);
    assert_true(cp_map_zero_reason(map, 4, frame, 0, &response, NULL, NULL, text, sizeof text));
    assert_non_null(strstr(text, "dead neuron"));
    cp_path_free(none);
    cp_frame_free(frame);
    tiny_close(&net);
}

/* ---------------------------------------------------------------- what holds on any network */

static float largest_of(const float *map)
{
    float largest = 0;
    for (int i = 0; i < RESIDUAL_INPUT; i++)
        largest = fmaxf(largest, fabsf(map[i]));
    return largest;
}

static void test_guarantees(void **state)
{
    (void)state;
    tiny_net net;
    float input[RESIDUAL_INPUT], score[RESIDUAL_NEURONS];
    residual_open(&net, input);
    assert_int_equal(cp_model_neuron_count(net.model), RESIDUAL_NEURONS);
    cp_frame *frame = run(net.model, input), *restricted;
    cp_response response;
    assert_int_equal(cp_response_class(net.model, 1, &response), CP_OK);
    double original = cp_frame_response(frame, 0, &response);
    assert_int_equal(cp_score_mct(frame, 0, &response, false, score), CP_OK);

    enum { PATHS = 6 };
    cp_path *path[PATHS];
    const cp_path *paths[PATHS];
    for (int i = 0; i < PATHS; i++) {
        assert_int_equal(cp_path_create(net.model, &path[i]), CP_OK);
        paths[i] = path[i];
    }
    cp_path_fill(path[1], true);
    for (int i = 2; i < PATHS; i++)
        assert_int_equal(cp_path_select(path[i], score, .2 * (i - 1), 0, NULL), CP_OK);

    /* Empty path: zero. Full path: the plain gradient, bit for bit. Many at once: as one at a time. */
    float plain[RESIDUAL_INPUT], maps[PATHS][RESIDUAL_INPUT], one[PATHS][RESIDUAL_INPUT];
    assert_int_equal(cp_map_frozen(frame, 0, &response, (const cp_path *[]){NULL}, 1, plain), CP_OK);
    assert_int_equal(cp_map_frozen(frame, 0, &response, paths, PATHS, maps[0]), CP_OK);
    for (int i = 0; i < PATHS; i++) {
        assert_int_equal(cp_map_frozen(frame, 0, &response, &paths[i], 1, one[i]), CP_OK);
        assert_memory_equal(one[i], maps[i], sizeof one[i]);
    }
    assert_true(largest_of(plain) > 0);
    assert_true(largest_of(one[0]) == 0);
    assert_memory_equal(one[1], plain, sizeof plain);
    assert_true(memcmp(one[5], plain, sizeof plain) != 0);

    /* The frozen network, run as such: the original's response bit for bit, on every path, and the same gradient. */
    assert_int_equal(cp_frame_create(net.model, 1, &restricted), CP_OK);
    for (int i = 0; i < PATHS; i++) {
        cp_restriction frozen = {.kind = CP_FROZEN, .path = paths[i], .original = frame};
        cp_entry entry = {.image = 0, .response = &response, .path = paths[i]};
        assert_int_equal(cp_frame_forward(restricted, input, 1, &frozen), CP_OK);
        assert_true(cp_frame_response(restricted, 0, &response) == original);
        assert_int_equal(cp_frame_backward(restricted, &entry, 1, NULL, maps[0]), CP_OK);
        assert_memory_equal(one[i], maps[0], sizeof one[i]);
    }

    /* Zeroed with the full path is the original, with the empty one it has no gradient; 20 take three batches. */
    const cp_path *many[20];
    float zeroed[20][RESIDUAL_INPUT];
    double responses[20], value;
    for (int i = 0; i < 20; i++)
        many[i] = paths[i % PATHS];
    assert_int_equal(cp_map_zeroed(net.model, input, &response, many, 20, zeroed[0], responses), CP_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(cp_map_zeroed(net.model, input, &response, &many[i], 1, one[0], &value), CP_OK);
        assert_memory_equal(one[0], zeroed[i], sizeof one[0]);
        assert_true(value == responses[i]);
        assert_true(i % PATHS || largest_of(one[0]) == 0);
        if (i % PATHS == 1) {
            assert_true(value == original);
            assert_memory_equal(one[0], plain, sizeof plain);
        }
    }
    for (int i = 0; i < PATHS; i++)
        cp_path_free(path[i]);
    cp_frame_free(restricted);
    cp_frame_free(frame);
    tiny_close(&net);
}

/* Every layer cut in turn: the frozen map is exactly zero when the layers say so, and the text names the layer. */
static void test_cut_means_zero(void **state)
{
    (void)state;
    tiny_net net;
    float input[RESIDUAL_INPUT], score[RESIDUAL_NEURONS], map[RESIDUAL_INPUT];
    residual_open(&net, input);
    cp_frame *frame = run(net.model, input);
    cp_response response;
    assert_int_equal(cp_response_class(net.model, 0, &response), CP_OK);
    assert_int_equal(cp_score_mct(frame, 0, &response, false, score), CP_OK);
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(net.model, &n);
    assert_int_equal(n, 3);
    for (int l = 0; l < n; l++) {
        cp_path *path;
        cp_cut cut;
        char text[200], layer[40];
        assert_int_equal(cp_path_create(net.model, &path), CP_OK);
        cp_path_fill(path, true);
        for (size_t i = 0; i < layers[l].count; i++)
            cp_path_set(path, layers[l].offset + i, false);
        assert_int_equal(cp_path_find_cut(path, score, &response, &cut), CP_OK);
        assert_int_equal(cp_map_frozen(frame, 0, &response, (const cp_path *[]){path}, 1, map), CP_OK);
        bool zero = cp_map_zero_reason(map, RESIDUAL_INPUT, frame, 0, &response, path, &cut, text, sizeof text);
        assert_true(cut.cut == (l != 1)); /* layer 2 of the cfg has the shortcut round it */
        assert_true(zero == cut.cut);
        if (zero) {
            assert_int_equal(cut.layer, layers[l].layer);
            snprintf(layer, sizeof layer, "no neuron of layer %d (%s)", cut.layer, l ? "shortcut" : "convolutional");
            assert_non_null(strstr(text, layer));
        }
        /* From the sparsity it names, and not from 1% more of the neurons left out, a map is there. */
        cp_selection selection;
        assert_true(cut.sparsest_uncut > .5);
        assert_int_equal(cp_path_select(path, score, cut.sparsest_uncut, 0, &selection), CP_OK);
        assert_int_equal(cp_path_find_cut(path, score, &response, &cut), CP_OK);
        assert_false(cut.cut);
        double sparser = 1 - ((double)selection.kept - 1) / RESIDUAL_NEURONS;
        assert_int_equal(cp_path_select(path, score, sparser < 1 ? sparser : .9999, 0, NULL), CP_OK);
        assert_int_equal(cp_path_find_cut(path, score, &response, &cut), CP_OK);
        assert_true(cut.cut);
        cp_path_free(path);
    }
    cp_frame_free(frame);
    tiny_close(&net);
}

static void test_empty_path_says_so(void **state)
{
    (void)state;
    tiny_net net;
    TINY_OPEN(&net);
    cp_frame *frame = run(net.model, tiny_input);
    cp_response response;
    cp_cut cut;
    char text[200];
    const float zero[4] = {0}, score[3] = {2, 6, 0};
    assert_int_equal(cp_response_class(net.model, 0, &response), CP_OK);
    cp_path *path = path_of(net.model, 0, NULL);
    assert_int_equal(cp_path_find_cut(path, score, &response, &cut), CP_OK);
    assert_true(cp_map_zero_reason(zero, 4, frame, 0, &response, path, &cut, text, sizeof text));
    assert_string_equal(text, "the path is empty; the sparsest sparsity that is not cut is 0.666666");
    assert_true(cp_map_zero_reason(zero, 4, frame, 0, &response, path, NULL, text, sizeof text));
    assert_string_equal(text, "the path is empty");
    cp_path_set(path, 2, true); /* the dead one */
    assert_int_equal(cp_path_find_cut(path, score, &response, &cut), CP_OK);
    assert_true(cp_map_zero_reason(zero, 4, frame, 0, &response, path, &cut, text, sizeof text));
    assert_non_null(strstr(text, "none of them join"));
    assert_true(cp_map_zero_reason(zero, 4, frame, 0, &response, NULL, NULL, text, sizeof text));
    assert_non_null(strstr(text, "crosses dead neurons"));
    cp_path_free(path);
    cp_frame_free(frame);
    tiny_close(&net);
}

static void test_reduce(void **state)
{
    (void)state;
    const float map[3][4] = {{1, -2, 0, 3}, {-4, 2, 0, -3}, {3, 1, -0.f, 2.5f}};
    float flat[4];
    cp_map_reduce(map[0], 3, 2, 2, flat);
    assert_true(flat[0] == -4 && flat[1] == -2 && flat[2] == 0 && flat[3] == 3); /* of equal ones, the first channel */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),        cmocka_unit_test(test_neuron_as_response),
        cmocka_unit_test(test_guarantees),     cmocka_unit_test(test_cut_means_zero),
        cmocka_unit_test(test_empty_path_says_so), cmocka_unit_test(test_reduce),
    };
    cp_set_threads(1); /* tiny layers: waking threads would take longer than the work */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

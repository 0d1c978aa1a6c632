/* Deltas along a path as points, wherever there are convolutions or shortcuts for them, against the same gradient with
 * dense deltas, which is what an observer sees. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../reference/ref_pair.h"

static void look_away(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                      size_t count)
{
    (void)user, (void)layer, (void)entry, (void)first, (void)a, (void)g, (void)count;
}

static void check_path(ref_pair *pair, const char *what)
{
    const cp_observer observer = {look_away, NULL};
    cp_entry entry = {.image = REF_IMAGE, .response = &pair->response, .path = pair->path};
    size_t bytes = pair->inputs * sizeof(float);
    float *dense = malloc(bytes), *map = malloc(bytes), *other = malloc(bytes);
    ref_errors errors = {0};
    ref_check(cp_frame_backward(pair->frame, &entry, 1, &observer, dense));
    ref_check(cp_frame_backward(pair->frame, &entry, 1, NULL, map));
    for (size_t i = 0; i < pair->inputs; ++i)
        ref_compare(&errors, map[i], dense[i]);
    errors.error *= 20; /* both are floats: closer than to the reference */
    ref_judge(&errors, pair->name, what);
    cp_set_threads(3);
    ref_check(cp_frame_backward(pair->frame, &entry, 1, NULL, other));
    cp_set_threads(1);
    assert_memory_equal(other, map, bytes);
    cp_entry entries[3] = {entry, {.image = 0, .response = &pair->response, .path = pair->path}, entry};
    float *maps = malloc(3 * bytes);
    ref_check(cp_frame_backward(pair->frame, entries, 3, NULL, maps)); /* each as if alone */
    assert_memory_equal(maps, map, bytes);
    assert_memory_equal(maps + 2 * pair->inputs, map, bytes);
    ref_check(cp_frame_backward(pair->frame, &entries[1], 1, NULL, other));
    assert_memory_equal(maps + pair->inputs, other, bytes);
    free(maps);
    free(dense);
    free(map);
    free(other);
}

static void test_paths(void **state)
{
    static const double on[][2] = {{.05, .05}, {.2, .2}, {.02, .9}, {.9, .02}, {0, .3}};
    (void)state;
    for (size_t i = 0; i < ref_case_count; ++i) {
        ref_pair pair;
        ref_pair_open(&pair, &ref_cases[i]);
        for (size_t k = 0; k < sizeof on / sizeof *on; ++k) {
            ref_pair_random_path(&pair, on[k][0], on[k][1]);
            check_path(&pair, "map of a path");
        }
        ref_pair_close(&pair);
    }
}

/* More channels and positions than the cases have. */
static void compare_on_network(const char *cfg, const char *weights)
{
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    cp_path *path;
    size_t c, h, w;
    const cp_observer observer = {look_away, NULL};
    ref_check(cp_model_open(cfg, weights, &model));
    cp_model_input_shape(model, &c, &h, &w);
    size_t inputs = c * h * w;
    float *input = malloc(inputs * sizeof *input), *maps = malloc(2 * inputs * sizeof *maps);
    float *score = malloc(cp_model_neuron_count(model) * sizeof *score);
    for (size_t i = 0; i < inputs; ++i)
        input[i] = (float)(i * 2654435761u % 1000) / 1000;
    ref_check(cp_frame_create(model, 1, &frame));
    ref_check(cp_frame_forward(frame, input, 1, NULL));
    const int *heads;
    int layer = cp_model_heads(model, &heads) ? cp_model_logit_layer(model, heads[0]) : cp_model_layer_count(model) - 1;
    ref_check(cp_response_unit(model, layer, 3, &response));
    ref_check(cp_score_mct(frame, 0, &response, false, score));
    ref_check(cp_path_create(model, &path));
    static const double sparsity[] = {.5, .9, .99};
    for (int k = 0; k < 3; ++k) {
        cp_entry entry = {.response = &response, .path = path};
        ref_errors errors = {0};
        ref_check(cp_path_select(path, score, sparsity[k], 0, NULL));
        ref_check(cp_frame_backward(frame, &entry, 1, &observer, maps));
        ref_check(cp_frame_backward(frame, &entry, 1, NULL, maps + inputs));
        for (size_t i = 0; i < inputs; ++i)
            ref_compare(&errors, maps[inputs + i], maps[i]);
        errors.error *= 20;
        ref_judge(&errors, cfg, "map of a path");
    }
    cp_path_free(path);
    cp_frame_free(frame);
    cp_model_free(model);
    free(input);
    free(maps);
    free(score);
}

static void test_networks(void **state)
{
    static const char *const names[] = {"vgg", "resnet", "resnext", "densenet", "depthwise", "odd", "yolov1", "yolov2", "yolov3", "yolov3-tiny"};
    char cfg[80], weights[80];
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", names[i]);
        snprintf(weights, sizeof weights, "tests/oracle/%s.weights", names[i]);
        compare_on_network(cfg, weights);
    }
}

int main(void)
{
    setenv("CRITPATH_POINTS", "always", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_networks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

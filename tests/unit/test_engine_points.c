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
#include <unistd.h>

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

/* Paths of the response of unit 3 of a layer. */
static void compare_response(cp_frame *frame, int layer, const char *name)
{
    static const double sparsity[] = {.5, .9, .99};
    const cp_model *model = cp_frame_model(frame);
    const cp_observer observer = {look_away, NULL};
    cp_response response;
    cp_path *path;
    size_t c, h, w;
    cp_model_input_shape(model, &c, &h, &w);
    size_t inputs = c * h * w, bytes = inputs * sizeof(float);
    float *maps = malloc(3 * bytes), *score = malloc((cp_model_neuron_count(model) + 1) * sizeof *score);
    ref_check(cp_response_unit(model, layer, 3, &response));
    ref_check(cp_score_mct(frame, 0, &response, false, score));
    ref_check(cp_path_create(model, &path));
    for (int k = 0; k < 3; ++k) {
        cp_entry entry = {.response = &response, .path = path};
        ref_errors errors = {0};
        ref_check(cp_path_select(path, score, sparsity[k], 0, NULL));
        ref_check(cp_frame_backward(frame, &entry, 1, &observer, maps));
        ref_check(cp_frame_backward(frame, &entry, 1, NULL, maps + inputs));
        for (size_t i = 0; i < inputs; ++i)
            ref_compare(&errors, maps[inputs + i], maps[i]);
        errors.error *= 20;
        ref_judge(&errors, name, "map of a path");
        cp_set_threads(3);
        ref_check(cp_frame_backward(frame, &entry, 1, NULL, maps + 2 * inputs));
        cp_set_threads(1);
        assert_memory_equal(maps + 2 * inputs, maps + inputs, bytes);
    }
    cp_path_free(path);
    free(maps);
    free(score);
}

/* Of the last layer before the heads, and of one in the middle. */
static void compare_on_network(const char *cfg, const char *weights)
{
    cp_model *model;
    cp_frame *frame;
    size_t c, h, w;
    const int *heads;
    ref_check(cp_model_open(cfg, weights, &model));
    cp_model_input_shape(model, &c, &h, &w);
    float *input = malloc(c * h * w * sizeof *input);
    for (size_t i = 0; i < c * h * w; ++i)
        input[i] = (float)(i * 2654435761u % 1000) / 1000;
    ref_check(cp_frame_create(model, 1, &frame));
    ref_check(cp_frame_forward(frame, input, 1, NULL));
    int last = cp_model_heads(model, &heads) ? cp_model_logit_layer(model, heads[0]) : cp_model_layer_count(model) - 1;
    compare_response(frame, last, cfg);
    if (cp_model_layer(model, last / 2)->outputs > 3)
        compare_response(frame, last / 2, cfg);
    cp_frame_free(frame);
    cp_model_free(model);
    free(input);
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

/* ---------------------------------------------------------------- random networks */

typedef struct {
    int c, h, w;
} shape;

static int draw(uint64_t *random, int n) { return (int)((ref_random(random) + 1) / 2 * n); }

/* A random layer after `n` others, written to the cfg where it fits; the shape of its output, or c = 0 where it does not. */
static shape add_layer(FILE *cfg, uint64_t *random, const shape *before, int n, shape now)
{
    static const char *const activations[] = {"relu", "leaky", "linear", "logistic"};
    static const int filters[] = {3, 8, 20, 33, 64};
    const char *activation = activations[draw(random, 4)];
    int kind = draw(random, 8), size = 1 + draw(random, 5), stride = size > 1 ? 1 + draw(random, 3) : 1;
    int pad = size > 1 && draw(random, 3) ? size / 2 : 0, groups = 1, other = n ? draw(random, n) : 0;
    shape out = {filters[draw(random, 5)], (now.h + 2 * pad - size) / stride + 1, (now.w + 2 * pad - size) / stride + 1};
    bool fits = now.h + 2 * pad >= size && now.w + 2 * pad >= size;
    if (kind < 5) {
        if (kind == 3) groups = now.c, out.c = now.c * (1 + draw(random, 2));
        if (kind == 4 && now.c % 4 == 0) groups = 4, out.c = 16;
        if (!fits || out.c > 128) return (shape){0};
        fprintf(cfg, "[convolutional]\nfilters=%d\nsize=%d\nstride=%d\npadding=%d\nactivation=%s\ngroups=%d\n", out.c, size,
                stride, pad, activation, groups);
        return out;
    }
    if (kind == 5) {
        int window = 2 + draw(random, 3), step = 1 + draw(random, 2);
        if (now.h < 4 || now.w < 4) return (shape){0};
        fprintf(cfg, "[maxpool]\nsize=%d\nstride=%d\n", window, step);
        return (shape){now.c, (now.h - 1) / step + 1, (now.w - 1) / step + 1};
    }
    if (!n || before[other].h != now.h || before[other].w != now.w) return (shape){0};
    if (kind == 6) {
        if (other == n - 1 || before[other].c != now.c) return (shape){0};
        fprintf(cfg, "[shortcut]\nfrom=%d\nactivation=%s\n", other - n, activations[draw(random, 3)]);
        return now;
    }
    fprintf(cfg, "[route]\nlayers=%d,%d\n", other, n - 1);
    return (shape){before[other].c + now.c, now.h, now.w};
}

static void write_network(const char *name, uint64_t seed)
{
    enum { LAYERS = 10 };
    shape all[LAYERS], now = {3, 12 + (int)(seed % 13), 11 + (int)(seed % 7)};
    FILE *cfg = fopen(name, "w");
    assert_non_null(cfg);
    fprintf(cfg, "[net]\nbatch=1\nchannels=3\nheight=%d\nwidth=%d\n", now.h, now.w);
    for (int n = 0, tries = 0; n < LAYERS && tries < 200; ++tries) {
        shape out = add_layer(cfg, &seed, all, n, now);
        if (out.c && out.c <= 256) now = all[n++] = out;
    }
    if (seed % 2) fprintf(cfg, "[connected]\noutput=20\nactivation=relu\n");
    fprintf(cfg, "[connected]\noutput=5\nactivation=linear\n");
    assert_int_equal(fclose(cfg), 0);
}

static void test_random_networks(void **state)
{
    char name[] = "/tmp/cp-points-XXXXXX";
    int file = mkstemp(name);
    (void)state;
    assert_true(file >= 0);
    close(file);
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        write_network(name, seed);
        compare_on_network(name, NULL);
    }
    unlink(name);
}

int main(void)
{
    setenv("CRITPATH_POINTS", "always", 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_networks),
                                       cmocka_unit_test(test_random_networks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The engine's other passes against the reference: forward-mode tangents, suffix runs of a branch, backward runs that
 * stop at a layer, several entries at once; and the same bytes at any number of threads. */
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
#include "engine/ray.h"

static const double step = 1e-6;

static double *copy_outputs(const ref_pair *pair, bool z)
{
    size_t total = 0, at = 0;
    for (int i = 0; i < pair->net.n; ++i)
        total += (size_t)pair->net.layer[i].outputs;
    double *copy = malloc(total * sizeof *copy);
    assert_non_null(copy);
    for (int i = 0; i < pair->net.n; ++i) {
        const ref_layer *l = &pair->net.layer[i];
        const double *before = l->normalized ? l->normalized : l->z; /* no z by itself: the tangent is that of y */
        memcpy(copy + at, z ? before : l->output, (size_t)l->outputs * sizeof *copy);
        at += (size_t)l->outputs;
    }
    return copy;
}

/* ---------------------------------------------------------------- tangent */

typedef struct {
    const ref_pair *pair;
    const double *z, *output; /* derivatives by differences, layer after layer */
    size_t start[REF_MAX_LAYERS];
    ref_errors z_errors[REF_MAX_LAYERS], errors[REF_MAX_LAYERS];
    int calls;
} tangent_check;

static void before_activation(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *dz,
                              size_t count)
{
    tangent_check *check = user;
    for (size_t i = 0; i < count && entry == 1; ++i)
        ref_compare(&check->z_errors[layer->layer], dz[i], check->z[check->start[layer->layer] + first + i]);
}

static void output(void *user, int layer, int entry, const float *da, size_t count)
{
    tangent_check *check = user;
    check->calls += entry == 1;
    assert_int_equal(count, check->pair->net.layer[layer].outputs);
    for (size_t i = 0; i < count && entry == 1; ++i)
        ref_compare(&check->errors[layer], da[i], check->output[check->start[layer] + i]);
}

/* Derivative of everything along one direction, in the reference's present restriction. */
static void differences_along(ref_pair *pair, const float *direction, double **z, double **out)
{
    double *up[2], *down[2];
    for (int sign = 1; sign >= -1; sign -= 2) {
        for (size_t i = 0; i < pair->inputs; ++i)
            pair->net.input[i] = (double)pair->input[REF_IMAGE * pair->inputs + i] + sign * step * direction[i];
        ref_net_forward(&pair->net, 0);
        for (int k = 0; k < 2; ++k)
            (sign > 0 ? up : down)[k] = copy_outputs(pair, k == 0);
    }
    for (size_t i = 0; i < pair->inputs; ++i)
        pair->net.input[i] = pair->input[REF_IMAGE * pair->inputs + i];
    ref_net_forward(&pair->net, 0);
    size_t total = 0;
    for (int i = 0; i < pair->net.n; ++i)
        total += (size_t)pair->net.layer[i].outputs;
    for (int k = 0; k < 2; ++k) {
        for (size_t i = 0; i < total; ++i)
            up[k][i] = (up[k][i] - down[k][i]) / (2 * step);
        free(down[k]);
    }
    *z = up[0];
    *out = up[1];
}

static void check_tangent(ref_pair *pair, const cp_path *path, const char *what)
{
    tangent_check check = {.pair = pair};
    cp_tangent_observer observer = {before_activation, output, &check};
    float *directions = malloc(2 * pair->inputs * sizeof *directions);
    double *z, *out;
    uint64_t state = 21;
    for (size_t i = 0; i < 2 * pair->inputs; ++i)
        directions[i] = (float)ref_random(&state);
    differences_along(pair, directions + pair->inputs, &z, &out);
    for (int i = 1; i < pair->net.n; ++i)
        check.start[i] = check.start[i - 1] + (size_t)pair->net.layer[i - 1].outputs;
    check.z = z;
    check.output = out;
    cp_set_threads(1); /* the observer is not guarded */
    ref_check(cp_frame_tangent(pair->frame, REF_IMAGE, directions, 2, path, &observer));
    assert_true(check.calls > 0);
    assert_true(check.errors[pair->last].size > 0);
    for (int i = 0; i <= pair->last; ++i) {
        char text[64];
        snprintf(text, sizeof text, "%s of layer %d", what, i);
        ref_judge(&check.errors[i], pair->name, text);
        ref_judge(&check.z_errors[i], pair->name, text);
    }
    free(directions);
    free(z);
    free(out);
}

static void check_tangents(ref_pair *pair)
{
    check_tangent(pair, NULL, "tangent");
    ref_pair_random_path(pair, .7, .7);
    ref_pair_restrict(pair, true, NULL);
    check_tangent(pair, pair->path, "frozen tangent");
}

/* ---------------------------------------------------------------- branches */

enum { ALPHAS = 3 };
static const double alpha[ALPHAS] = {.95, .5, 1.05}, weight[ALPHAS] = {.5, .3, .2};

/* Entry e of a branch scales layer `at` by alpha[e]; along a ray in one go. gradient (ALPHAS+1, outputs): the entries'
 * and, of a ray, their weighted sum. */
static void run_branch(const ref_pair *pair, int at, bool limited, bool ray, double *response, float *gradient)
{
    const ref_layer *l = &pair->net.layer[at];
    size_t count = (size_t)l->outputs;
    cp_entry entries[ALPHAS];
    cp_frame *branch;
    cp_ray *line = NULL;
    ref_check(cp_frame_branch(pair->frame, REF_IMAGE, at, limited ? &pair->response : NULL, ALPHAS, &branch));
    for (int e = 0; e < ALPHAS; ++e) {
        float *value = cp_frame_value(branch, at, e);
        for (size_t i = 0; i < count && !ray; ++i)
            value[i] = (float)(l->output[i] * alpha[e]);
        entries[e] = (cp_entry){.image = e, .response = &pair->response};
    }
    if (ray) {
        ref_check(cp_ray_create(branch, &pair->response, &line));
        ref_check(cp_ray_forward(line, alpha, ALPHAS));
    } else {
        ref_check(cp_frame_forward_after(branch, at, ALPHAS, NULL));
    }
    for (int e = 0; e < ALPHAS; ++e)
        response[e] = cp_frame_response(branch, e, &pair->response);
    ref_check(cp_frame_backward_to(branch, entries, ALPHAS, at, gradient));
    if (ray) { /* entry 1 in a run of its own: what is summed are runs, too */
        static const double mixed[2] = {.95, 1.05};
        ref_check(cp_ray_forward(line, mixed, 2));
        ref_check(cp_ray_add(line, 1, weight[0]));
        ref_check(cp_ray_forward(line, alpha + 1, 1));
        ref_check(cp_ray_add(line, 1, weight[1]));
        ref_check(cp_ray_forward(line, alpha + 2, 1));
        ref_check(cp_ray_add(line, 1, weight[2]));
        ref_check(cp_ray_sum(line, gradient + ALPHAS * count));
        cp_ray_free(line);
    }
    cp_frame_free(branch);
}

/* Outputs, response, and gradient at that layer, of the three ways to run a branch. */
static void check_branch(ref_pair *pair, int at)
{
    enum { PLAIN, LIMITED, RAY, WAYS };
    ref_layer *l = &pair->net.layer[at];
    size_t count = (size_t)l->outputs, stride = count / 16 + 1;
    double *was = malloc(count * sizeof *was), *sum = calloc(count, sizeof *sum), response[WAYS][ALPHAS];
    float *gradient = malloc(WAYS * (ALPHAS + 1) * count * sizeof *gradient);
    bool sharp = true;
    memcpy(was, l->output, count * sizeof *was);
    for (int way = 0; way < WAYS; ++way)
        run_branch(pair, at, way != PLAIN, way == RAY, response[way], gradient + way * (ALPHAS + 1) * count);
    for (int e = 0; e < ALPHAS; ++e) {
        for (size_t i = 0; i < count; i++)
            l->output[i] = (float)(was[i] * alpha[e]);
        ref_net_forward(&pair->net, at + 1);
        for (int way = 0; way < WAYS; ++way)
            if (!(fabs(response[way][e] - ref_pair_response(pair)) <= 1e-4))
                fail_msg("%s, branch at %d, way %d: response %g, the reference has %g", pair->name, at, way,
                         response[way][e], ref_pair_response(pair));
        if (ref_net_margin(&pair->net, at + 1) < 2e-5) {
            sharp = false;
            continue;
        }
        ref_errors errors[WAYS] = {{0}};
        for (size_t i = 0; i < count; i += stride) {
            double expected = ref_pair_difference(pair, &l->output[i], at + 1);
            sum[i] += weight[e] * expected;
            for (int way = 0; way < WAYS; ++way)
                ref_compare(&errors[way], gradient[(way * (ALPHAS + 1) + e) * count + i], expected);
        }
        for (int way = 0; way < WAYS; ++way)
            ref_judge(&errors[way], pair->name, way == RAY ? "gradient along a ray" : "gradient of a branch");
    }
    ref_errors errors = {0};
    for (size_t i = 0; i < count && sharp; i += stride)
        ref_compare(&errors, gradient[(RAY * (ALPHAS + 1) + ALPHAS) * count + i], sum[i]);
    ref_judge(&errors, pair->name, "sum of gradients along a ray");
    memcpy(l->output, was, count * sizeof *was);
    ref_net_forward(&pair->net, at + 1);
    free(gradient);
    free(sum);
    free(was);
}

/* At every layer that has an output of its own, neuron layer or not. */
static void check_branches(ref_pair *pair)
{
    for (int i = 0; i < pair->last; ++i)
        if (cp_model_layer(pair->model, i)->value == i && !cp_model_layer(pair->model, i)->head)
            check_branch(pair, i);
}

/* What does not enter the response does not run: those layers' outputs are the base's, at every memory address. */
static void test_limited_branch(void **state)
{
    (void)state;
    cp_model *model;
    cp_frame *frame, *branch;
    cp_response response;
    size_t c, h, w;
    ref_check(cp_model_open("tests/oracle/cfg/yolov3.cfg", "tests/oracle/yolov3.weights", &model));
    cp_model_input_shape(model, &c, &h, &w);
    float *input = calloc(c * h * w, sizeof *input);
    const int *heads;
    assert_true(cp_model_heads(model, &heads) > 1);
    int logits = cp_model_logit_layer(model, heads[0]), others = 0, ours = 0;
    ref_check(cp_frame_create(model, 1, &frame));
    ref_check(cp_frame_forward(frame, input, 1, NULL));
    ref_check(cp_response_unit(model, logits, 1, &response));
    ref_check(cp_frame_branch(frame, 0, 0, &response, 1, &branch));
    for (int i = 1; i < cp_model_layer_count(model); ++i) {
        if (cp_model_layer(model, i)->head || cp_model_layer(model, i)->value != i)
            continue;
        bool own = cp_frame_output(branch, i, 0) != cp_frame_output(frame, i, 0);
        assert_int_equal(own, cp_model_depends(model, logits, i));
        own ? ++ours : ++others;
    }
    assert_true(ours > 3 && others > 3);
    assert_true(cp_frame_branch_bytes(model, 0, &response, 1, 1) < cp_frame_branch_bytes(model, 0, NULL, 1, 1));
    cp_frame_free(branch);
    cp_frame_free(frame);
    cp_model_free(model);
    free(input);
}

/* ---------------------------------------------------------------- entries and threads */

/* Three entries of two images with and without a path: each as if it had run alone. */
static void check_entries(ref_pair *pair)
{
    ref_pair_random_path(pair, .7, .7);
    cp_response other = pair->response;
    other.n = 1;
    cp_entry entries[3] = {{.image = 0, .response = &other},
                           {.image = REF_IMAGE, .response = &pair->response, .path = pair->path},
                           {.image = REF_IMAGE, .response = &other}};
    float *maps = malloc(3 * pair->inputs * sizeof *maps), *alone = malloc(pair->inputs * sizeof *alone);
    ref_check(cp_frame_backward(pair->frame, entries, 3, NULL, maps));
    for (int e = 0; e < 3; ++e) {
        ref_errors errors = {0};
        ref_check(cp_frame_backward(pair->frame, &entries[e], 1, NULL, alone));
        for (size_t i = 0; i < pair->inputs; ++i)
            ref_compare(&errors, maps[e * pair->inputs + i], alone[i]);
        errors.error *= 20;
        ref_judge(&errors, pair->name, "several entries");
    }
    free(maps);
    free(alone);
}

/* Outputs and maps, a path's too, at 1 and 2 threads, byte for byte. */
static void check_threads(ref_pair *pair)
{
    float *map = malloc(pair->inputs * sizeof *map), *outputs = NULL;
    float *along = malloc(2 * pair->inputs * sizeof *along);
    cp_entry entry = {.image = REF_IMAGE, .response = &pair->response};
    ref_pair_random_path(pair, .1, .5);
    cp_entry on_path = {.image = REF_IMAGE, .response = &pair->response, .path = pair->path};
    for (int threads = 1; threads <= 2; ++threads) {
        size_t at = 0;
        cp_set_threads(threads);
        ref_check(cp_frame_forward(pair->frame, pair->input, REF_BATCH, NULL));
        ref_check(cp_frame_backward(pair->frame, &on_path, 1, NULL, along + (threads - 1) * pair->inputs));
        ref_pair_backward(pair, pair->frame, &entry);
        if (threads == 1) {
            size_t total = 0;
            for (int i = 0; i <= pair->last; ++i)
                total += (size_t)pair->net.layer[i].outputs;
            outputs = malloc(total * sizeof *outputs);
            memcpy(map, pair->map, pair->inputs * sizeof *map);
        }
        assert_memory_equal(map, pair->map, pair->inputs * sizeof *map);
        for (int i = 0; i <= pair->last; ++i) {
            size_t bytes = (size_t)pair->net.layer[i].outputs * sizeof(float);
            const float *output = cp_frame_output(pair->frame, i, REF_IMAGE);
            if (threads == 1)
                memcpy(outputs + at, output, bytes);
            assert_memory_equal(outputs + at, output, bytes);
            at += bytes / sizeof(float);
        }
    }
    assert_memory_equal(along, along + pair->inputs, pair->inputs * sizeof *along);
    cp_set_threads(1);
    free(outputs);
    free(along);
    free(map);
}

static void each_case(void (*check)(ref_pair *))
{
    for (size_t i = 0; i < ref_case_count; ++i) {
        ref_pair pair;
        ref_pair_open(&pair, &ref_cases[i]);
        check(&pair);
        ref_pair_close(&pair);
    }
}

static void test_tangents(void **state)
{
    (void)state;
    each_case(check_tangents);
}

static void test_branches(void **state)
{
    (void)state;
    each_case(check_branches);
}

static void test_entries(void **state)
{
    (void)state;
    each_case(check_entries);
}

static void test_threads(void **state)
{
    (void)state;
    each_case(check_threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tangents), cmocka_unit_test(test_branches),
                                       cmocka_unit_test(test_limited_branch),
                                       cmocka_unit_test(test_entries), cmocka_unit_test(test_threads)};
    cp_set_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

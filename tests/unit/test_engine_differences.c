/* The engine against central differences: every supported layer type and the combinations in which gradients must add
 * up. The reference (reference/ref_net.c) knows forward passes only, in double precision with plain loops; whatever
 * derivative the engine claims is compared with how the reference moves. */
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

enum { UNITS_PER_LAYER = 24 };

/* The reference in its present restriction against the run of `image` in the frame. */
static void compare_outputs(const ref_pair *pair, const cp_frame *frame, int image, const char *what)
{
    for (int i = 0; i <= pair->last; ++i) {
        const ref_layer *l = &pair->net.layer[i];
        const float *output = cp_frame_output(frame, i, image);
        ref_errors errors = {0};
        assert_non_null(output);
        assert_int_equal(cp_model_layer(pair->model, i)->outputs, l->outputs);
        for (int k = 0; k < l->outputs; ++k)
            ref_compare(&errors, output[k], l->output[k]);
        if (!(errors.error <= 2e-5 * (1 + errors.size)))
            fail_msg("%s, %s: output of layer %d is off by %g, the largest is %g", pair->name, what, i, errors.error,
                     errors.size);
    }
    double response = cp_frame_response(frame, image, &pair->response);
    if (!(fabs(response - ref_pair_response(pair)) <= 1e-4))
        fail_msg("%s, %s: response %g, the reference has %g", pair->name, what, response, ref_pair_response(pair));
}

static void compare_map(ref_pair *pair, const float *found, const char *what)
{
    ref_errors errors = {0};
    for (size_t i = 0; i < pair->inputs; ++i)
        ref_compare(&errors, found[i], ref_pair_difference(pair, &pair->net.input[i], 0));
    ref_judge(&errors, pair->name, what);
}

/* A sample of every neuron layer: the response moves with the unit's output as g says. */
static void compare_neuron_gradients(ref_pair *pair)
{
    for (int k = 0; k < pair->n_layers; ++k) {
        const cp_neuron_layer *layer = &pair->layers[k];
        ref_errors errors = {0};
        size_t stride = layer->count / UNITS_PER_LAYER + 1;
        if (layer->layer == pair->last)
            continue;
        for (size_t i = (size_t)k % 3; i < layer->count; i += stride)
            ref_compare(&errors, pair->g[layer->offset + i],
                        ref_pair_difference(pair, &pair->net.layer[layer->layer].output[i], layer->layer + 1));
        ref_judge(&errors, pair->name, layer->name);
    }
}

static void check_full(ref_pair *pair)
{
    cp_entry entry = {.image = REF_IMAGE, .response = &pair->response};
    compare_outputs(pair, pair->frame, REF_IMAGE, "full");
    ref_pair_backward(pair, pair->frame, &entry);
    compare_map(pair, pair->map, "map");
    compare_neuron_gradients(pair);
}

/* Backward with a path is the gradient of the frozen network, at no second forward run. */
static void check_frozen(ref_pair *pair)
{
    cp_entry entry = {.image = REF_IMAGE, .response = &pair->response, .path = pair->path};
    double before = ref_pair_response(pair);
    ref_pair_restrict(pair, true, NULL);
    assert_true(before == ref_pair_response(pair));
    ref_pair_backward(pair, pair->frame, &entry);
    compare_map(pair, pair->map, "frozen map");
    compare_neuron_gradients(pair);
    float *map = malloc(pair->inputs * sizeof *map);
    ref_check(cp_map_frozen(pair->frame, REF_IMAGE, &pair->response, (const cp_path *const *)&pair->path, 1, map));
    compare_map(pair, map, "frozen map, nobody looking on"); /* by another way: engine/points.c */
    free(map);
}

/* The frozen network run forward: at the original input bit for bit the original run, elsewhere as the reference. Both
 * batches have one size, as a connected layer may add up in another order in another batch. */
static void check_frozen_forward(ref_pair *pair)
{
    cp_restriction restrictions[REF_BATCH] = {{.kind = CP_FULL}};
    restrictions[REF_IMAGE] = (cp_restriction){.kind = CP_FROZEN, .path = pair->path, .original = pair->frame,
                                               .original_image = REF_IMAGE};
    float *moved = malloc(REF_BATCH * pair->inputs * sizeof *moved);
    cp_frame *frame;
    memcpy(moved, pair->input, REF_BATCH * pair->inputs * sizeof *moved);
    ref_check(cp_frame_create(pair->model, REF_BATCH, &frame));
    ref_check(cp_frame_forward(frame, moved, REF_BATCH, restrictions));
    for (int image = 0; image < REF_BATCH; ++image)
        for (int i = 0; i <= pair->last; ++i)
            assert_memory_equal(cp_frame_output(frame, i, image), cp_frame_output(pair->frame, i, image),
                                (size_t)pair->net.layer[i].outputs * sizeof(float));
    uint64_t state = 3;
    ref_pair_restrict(pair, true, NULL);
    for (size_t i = 0; i < pair->inputs; ++i)
        pair->net.input[i] = moved[REF_IMAGE * pair->inputs + i] =
            (float)(pair->net.input[i] + .05 * ref_random(&state));
    ref_net_forward(&pair->net, 0);
    ref_check(cp_frame_forward(frame, moved, REF_BATCH, restrictions));
    compare_outputs(pair, frame, REF_IMAGE, "frozen, another input");
    cp_frame_free(frame);
    free(moved);
}

/* Zeroed is gated by the path's bits; neither is compared where it brings something near a kink. */
static void check_zeroed(ref_pair *pair)
{
    double *gates = malloc((pair->neurons + 1) * sizeof *gates), value;
    for (size_t i = 0; i < pair->neurons; ++i)
        gates[i] = !pair->off[i];
    ref_pair_restrict(pair, false, gates);
    if (ref_net_margin(&pair->net, 0) > 2e-5) {
        ref_check(cp_map_zeroed(pair->model, pair->input + REF_IMAGE * pair->inputs, &pair->response,
                                (const cp_path *const *)&pair->path, 1, pair->map, &value));
        if (!(fabs(value - ref_pair_response(pair)) <= 1e-4))
            fail_msg("%s: zeroed response %g, the reference has %g", pair->name, value, ref_pair_response(pair));
        compare_map(pair, pair->map, "zeroed map");
    }
    ref_pair_restrict(pair, false, NULL);
    free(gates);
}

/* a = gate * act(z): outputs, map, and d response / d gate = act * g for a sample of every layer. */
static void check_gated(ref_pair *pair)
{
    double *gates = malloc((pair->neurons + 1) * sizeof *gates);
    float *single = malloc((pair->neurons + 1) * sizeof *single);
    uint64_t state = 9;
    for (size_t i = 0; i < pair->neurons; ++i)
        gates[i] = single[i] = (float)(.9 + .6 * ref_random(&state));
    ref_pair_restrict(pair, false, gates);
    if (ref_net_margin(&pair->net, 0) > 2e-5) {
        cp_frame *frame;
        cp_restriction restriction = {.kind = CP_GATED, .gates = single};
        cp_entry entry = {.response = &pair->response, .gates = single};
        ref_check(cp_frame_create(pair->model, 1, &frame));
        ref_check(cp_frame_forward(frame, pair->input + REF_IMAGE * pair->inputs, 1, &restriction));
        compare_outputs(pair, frame, 0, "gated");
        ref_pair_backward(pair, frame, &entry);
        compare_map(pair, pair->map, "gated map");
        for (int k = 0; k < pair->n_layers; ++k) {
            const cp_neuron_layer *layer = &pair->layers[k];
            ref_errors errors = {0};
            for (size_t i = 0; i < layer->count; i += layer->count / UNITS_PER_LAYER + 1)
                ref_compare(&errors, (double)pair->a[layer->offset + i] * pair->g[layer->offset + i],
                            ref_pair_difference(pair, &gates[layer->offset + i], layer->layer));
            ref_judge(&errors, pair->name, "gates");
        }
        cp_frame_free(frame);
    }
    ref_pair_restrict(pair, false, NULL);
    free(gates);
    free(single);
}

static void each_case(void (*check)(ref_pair *), bool with_path)
{
    for (size_t i = 0; i < ref_case_count; ++i) {
        ref_pair pair;
        ref_pair_open(&pair, &ref_cases[i]);
        if (with_path)
            ref_pair_random_path(&pair, .7, .7);
        check(&pair);
        ref_pair_close(&pair);
    }
}

static void test_full(void **state)
{
    (void)state;
    each_case(check_full, false);
}

static void test_frozen(void **state)
{
    (void)state;
    each_case(check_frozen, true);
}

/* Few units on the path of every other layer: where most deltas are zero the engine takes other ways. */
static void check_sparse(ref_pair *pair)
{
    ref_pair_random_path(pair, .04, .8);
    check_frozen(pair);
    ref_pair_random_path(pair, .8, .04);
    check_frozen(pair);
}

static void test_sparse(void **state)
{
    (void)state;
    each_case(check_sparse, false);
}

static void test_frozen_forward(void **state)
{
    (void)state;
    each_case(check_frozen_forward, true);
}

static void test_zeroed(void **state)
{
    (void)state;
    each_case(check_zeroed, true);
}

static void test_gated(void **state)
{
    (void)state;
    each_case(check_gated, false);
}

/* Each of the activations in a convolution and as a layer of its own. */
static void test_activations(void **state)
{
    (void)state;
    for (int a = REF_LOGISTIC; a < REF_ACTIVATIONS; ++a) {
        char name[32];
        bool curved = a == REF_MISH || a == REF_SWISH || a == REF_HARD_MISH || a >= REF_NORMALIZE; /* of convolutions alone */
        ref_case which = {name, 3, 5, 5,
                          {CONV(4, 3, 1, 1, (ref_activation)a), CONV_BN(4, 3, 1, 1, NONE),
                           ACT(curved ? TANH : (ref_activation)a), ROUTE2(2, 1), CONV(3, 3, 1, 1, NONE)}};
        ref_pair pair;
        snprintf(name, sizeof name, "activation %d", a);
        ref_pair_open(&pair, &which);
        check_full(&pair);
        ref_pair_close(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),           cmocka_unit_test(test_frozen), cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_frozen_forward), cmocka_unit_test(test_zeroed), cmocka_unit_test(test_gated),
        cmocka_unit_test(test_activations)};
    cp_set_threads(1); /* tiny layers: waking threads would take longer than the work */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

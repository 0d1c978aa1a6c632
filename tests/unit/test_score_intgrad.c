/* NeuronIntGrad: against integrals of central differences in the double-precision reference, against NeuronMCT where
 * the two must be equal, completeness on real networks at fewer evaluations than midpoints need. */
#include "score_net.h"

static const ref_layer skips[] = {
    CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_LEAKY), ADD(0, REF_RELU), POOL(2, 2, -1),
    CONV(5, 1, 1, 0, REF_RELU), ROUTE2(4, 3), FULL(8, REF_RELU), FULL(4, REF_LINEAR), SOFTMAX,
};
enum { SKIPS = sizeof skips / sizeof *skips, LOGITS = 7 };

static void open_skips(pair *p, uint64_t seed, bool biases) { pair_open(p, 3, 6, 6, skips, SKIPS, seed, biases); }

/* ---------------------------------------------------------------- the reference */

/* a_j times the mean, over `steps` midpoints, of central differences in neuron j. */
static double ref_integral(pair *p, const cp_response *response, const cp_neuron_layer *layer, size_t j, int steps)
{
    enum { MOST = 1024 };
    static const double step = 1e-6;
    ref_layer *l = &p->net.layer[layer->layer];
    double a[MOST], sum = 0;
    assert_true(layer->count <= MOST);
    memcpy(a, l->output, layer->count * sizeof *a);
    for (int k = 0; k < steps; k++) {
        double alpha = (k + .5) / steps, response_at[2];
        for (int side = 0; side < 2; side++) {
            for (size_t i = 0; i < layer->count; i++)
                l->output[i] = alpha * a[i];
            l->output[j] += side ? step : -step;
            ref_net_forward(&p->net, layer->layer + 1);
            response_at[side] = ref_response(p, response);
        }
        sum += (response_at[1] - response_at[0]) / (2 * step) / steps;
    }
    memcpy(l->output, a, layer->count * sizeof *a);
    ref_net_forward(&p->net, layer->layer + 1);
    return a[j] * sum;
}

/* Every 7th unit of each layer before the logits; the difference relative to the largest of the layer. */
static void compare_with_reference(pair *p, const cp_response *response, const float *score, int steps, double allowed)
{
    for (int l = 0; l < p->n_layers; l++) {
        double largest = 0, off = 0;
        for (size_t j = (size_t)l; j < p->layers[l].count; j += p->layers[l].count > 40 ? 17 : 3) {
            double expected = ref_integral(p, response, &p->layers[l], j, steps);
            largest = fmax(largest, fabs(expected));
            off = fmax(off, fabs(expected - score[p->layers[l].offset + j]));
        }
        if (!(off <= allowed * largest + 1e-6))
            fail_msg("%s: off by %g, the largest is %g", p->layers[l].name, off, largest);
        assert_true(largest > 1e-4);
    }
}

static void test_midpoints_equal_the_reference(void **state)
{
    (void)state;
    pair p;
    cp_intgrad_layer layers[8];
    open_skips(&p, 3, true);
    cp_response response = logit(&p, LOGITS, 1);
    float *score = new_scores(&p);
    const cp_intgrad_options options = {.run.signed_scores = true, .steps = 50};
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, layers));
    compare_with_reference(&p, &response, score, 50, 2e-3);
    for (int l = 0; l < p.n_layers; l++) {
        ref_layer *own = &p.net.layer[p.layers[l].layer];
        double full = ref_response(&p, &response), sum = 0;
        assert_true(layers[l].depends);
        assert_int_equal(layers[l].evaluations, 50);
        assert_true(fabs(layers[l].full - full) < 1e-4);
        memset(own->output, 0, (size_t)own->outputs * sizeof *own->output);
        ref_net_forward(&p.net, p.layers[l].layer + 1);
        assert_true(fabs(layers[l].zero - ref_response(&p, &response)) < 1e-4);
        ref_net_forward(&p.net, 0);
        for (size_t i = 0; i < p.layers[l].count; i++)
            sum += score[p.layers[l].offset + i];
        assert_true(fabs(layers[l].sum - sum) < 1e-4);
        double residual = fabs(sum - (layers[l].full - layers[l].zero)) / fabs(full);
        assert_true(fabs(layers[l].residual - residual) < 1e-4);
    }
    free(score);
    pair_close(&p);
}

static void test_refined_equals_the_reference(void **state)
{
    (void)state;
    pair p;
    cp_intgrad_layer layers[8];
    open_skips(&p, 3, true);
    cp_response response = logit(&p, LOGITS, 1);
    float *score = new_scores(&p);
    const cp_intgrad_options options = {.run.signed_scores = true, .tolerance = 1e-3};
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, layers));
    for (int l = 0; l < p.n_layers; l++)
        assert_true(!layers[l].capped && layers[l].residual <= 1e-3);
    compare_with_reference(&p, &response, score, 600, 2e-2);
    free(score);
    pair_close(&p);
}

/* ---------------------------------------------------------------- theorems */

/* Without biases a ReLU network is linear along alpha: the integral is the gradient, already at alpha = 1. */
static void test_equals_mct_without_biases(void **state)
{
    (void)state;
    static const ref_layer relu[] = {
        CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_LINEAR), ADD(0, REF_RELU), POOL(2, 2, -1),
        CONV(5, 3, 1, 1, REF_RELU), FULL(8, REF_RELU), FULL(4, REF_LINEAR), SOFTMAX,
    };
    pair p;
    cp_intgrad_layer layers[8];
    pair_open(&p, 3, 6, 6, relu, sizeof relu / sizeof *relu, 5, false);
    cp_response response = logit(&p, 6, 2);
    float *mct = new_scores(&p), *score = new_scores(&p);
    cp_intgrad_options options = {.run.signed_scores = true};
    check(cp_score_mct(p.frame, 0, &response, true, mct));
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, layers));
    size_t positive = 0;
    for (size_t i = 0; i < p.neurons; i++) {
        if (score[i] != mct[i])
            fail_msg("neuron %zu: IntGrad %g, MCT %g", i, (double)score[i], (double)mct[i]);
        positive += score[i] > 0;
    }
    assert_true(positive > p.neurons / 20);
    for (int l = 0; l < p.n_layers; l++)
        assert_int_equal(layers[l].evaluations, 0);
    options.steps = 7;
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, NULL));
    for (size_t i = 0; i < p.neurons; i++)
        assert_true(fabs(score[i] - mct[i]) <= 1e-4 * fabs(mct[i]) + 1e-6);
    free(mct);
    free(score);
    pair_close(&p);
}

static void test_response_inside(void **state)
{
    (void)state;
    pair p;
    cp_intgrad_layer layers[8];
    open_skips(&p, 4, true);
    cp_response response = logit(&p, 4, 20); /* a neuron of the third of five neuron layers, see below */
    float *score = new_scores(&p);
    const cp_intgrad_options options = {0};
    int own = cp_model_neuron_position(p.model, 4);
    assert_int_equal(own, 3);
    for (size_t index = 0; p.net.layer[4].output[response.unit[0].index] < .1; index++)
        response = logit(&p, 4, index); /* alive */
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, layers));
    for (int l = 0; l < p.n_layers; l++) {
        double sum = 0;
        for (size_t i = 0; i < p.layers[l].count; i++)
            sum += score[p.layers[l].offset + i];
        assert_int_equal(layers[l].depends, l < own);
        assert_true(l < own ? sum > 0 && layers[l].residual <= .01 : sum == 0);
    }
    free(score);
    pair_close(&p);
}

/* A response of two units, one of which depends on the other's layer: the sum is complete with the unit's own share,
 * and the unit itself scores 0. */
static void test_response_of_two_layers(void **state)
{
    (void)state;
    pair p;
    cp_intgrad_layer layers[8];
    open_skips(&p, 4, true);
    cp_response response = logit(&p, LOGITS, 0);
    size_t unit = 0;
    while (p.net.layer[4].output[unit] < .2)
        unit++;
    response.n = 2;
    response.unit[1].layer = 4;
    response.unit[1].index = unit;
    response.unit[1].weight = 3;
    float *score = new_scores(&p);
    const cp_intgrad_options options = {.run.signed_scores = true};
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, layers));
    double sum = 0;
    for (size_t i = 0; i < p.layers[3].count; i++)
        sum += score[p.layers[3].offset + i];
    assert_true(score[p.layers[3].offset + unit] == 0);
    assert_true(layers[3].residual <= .01);
    assert_true(fabs(layers[3].sum - sum) > .5 * p.net.layer[4].output[unit]);
    free(score);
    pair_close(&p);
}

/* ---------------------------------------------------------------- options */

static void test_threads_and_memory(void **state)
{
    (void)state;
    pair p;
    cp_intgrad_layer plain[8], poor[8];
    open_skips(&p, 6, true);
    cp_response response = logit(&p, LOGITS, 3);
    float *one = new_scores(&p), *other = new_scores(&p);
    for (int steps = 0; steps <= 20; steps += 20) {
        cp_intgrad_options options = {.run.signed_scores = true, .steps = steps, .tolerance = 1e-3};
        cp_set_threads(1);
        check(cp_score_intgrad(p.frame, 0, &response, &options, one, plain));
        cp_set_threads(2);
        check(cp_score_intgrad(p.frame, 0, &response, &options, other, NULL));
        assert_memory_equal(one, other, p.neurons * sizeof *one);
        options.run.memory = 1; /* one entry at a time, no gradient kept */
        check(cp_score_intgrad(p.frame, 0, &response, &options, other, poor));
        for (int l = 0; l < p.n_layers; l++)
            assert_int_equal(plain[l].evaluations, poor[l].evaluations);
        for (size_t i = 0; i < p.neurons; i++)
            assert_true(fabs(one[i] - other[i]) <= 1e-4 * fabs(one[i]) + 1e-5);
    }
    cp_set_threads(0);
    free(one);
    free(other);
    pair_close(&p);
}

static void keep_fraction(void *user, double fraction)
{
    double *last = user;
    assert_true(fraction >= *last && fraction <= 1 + 1e-12);
    *last = fraction;
}

static void test_cap_progress_and_refusals(void **state)
{
    (void)state;
    pair p;
    cp_intgrad_layer layers[8];
    open_skips(&p, 3, true);
    cp_response response = logit(&p, LOGITS, 1);
    float *score = new_scores(&p);
    double last = 0;
    cp_intgrad_options options = {.run = {.progress = keep_fraction, .user = &last}, .tolerance = 1e-7,
                                  .max_evaluations = 3};
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, layers));
    assert_true(layers[0].capped && layers[0].evaluations == 3 && layers[0].residual > 1e-7);
    assert_true(fabs(last - 1) < 1e-9);
    for (size_t i = 0; i < p.neurons; i++)
        assert_true(score[i] >= 0);
    options = (cp_intgrad_options){.only = 2};
    float *one = new_scores(&p);
    check(cp_score_intgrad(p.frame, 0, &response, &options, one, NULL));
    options.only = 0;
    check(cp_score_intgrad(p.frame, 0, &response, &options, score, NULL));
    for (size_t i = 0, first = p.layers[1].offset; i < p.neurons; i++)
        assert_true(one[i] == (i >= first && i < first + p.layers[1].count ? score[i] : 0));
    free(one);
    options = (cp_intgrad_options){.only = p.n_layers + 1};
    assert_int_equal(cp_score_intgrad(p.frame, 0, &response, &options, score, NULL), CP_EINPUT);
    options = (cp_intgrad_options){.steps = -1};
    assert_int_equal(cp_score_intgrad(p.frame, 0, &response, &options, score, NULL), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "-1"));
    options = (cp_intgrad_options){.tolerance = NAN};
    assert_int_equal(cp_score_intgrad(p.frame, 0, &response, &options, score, NULL), CP_EINPUT);
    free(score);
    pair_close(&p);
}

/* ---------------------------------------------------------------- real networks */

/* Fewer in all than midpoints need: as many midpoints as the refinement spent, spread evenly, miss the tolerance. */
static void check_complete(const char *network, const char *archive, const char *const *members, int n_members)
{
    need_data(network, archive);
    cp_model *model = open_network(network);
    int n;
    cp_model_neuron_layers(model, &n);
    float *score = malloc(cp_model_neuron_count(model) * sizeof *score);
    cp_intgrad_layer *layers = calloc((size_t)n, sizeof *layers);
    assert_true(score && layers);
    for (int m = 0; m < n_members; m++) {
        cp_response response;
        cp_frame *frame = run_photo(model, archive, members[m], &response);
        const cp_intgrad_options refined = {.tolerance = .01};
        int evaluations = 0, most = 0, depending = 0;
        double worst = 0;
        check(cp_score_intgrad(frame, 0, &response, &refined, score, layers));
        for (int l = 0; l < n; l++) {
            evaluations += layers[l].evaluations;
            most = layers[l].evaluations > most ? layers[l].evaluations : most;
            depending += layers[l].depends;
            worst = fmax(worst, layers[l].residual);
            if (layers[l].capped || !(layers[l].residual <= .01))
                fail_msg("%s, %s: layer %d: residual %g after %d evaluations", network, members[m], l,
                         layers[l].residual, layers[l].evaluations);
        }
        print_message("%s, %s: %d layers, %d evaluations, at most %d in one, worst residual %.4f\n", network,
                      members[m], depending, evaluations, most, worst);
        const cp_intgrad_options even = {.steps = (evaluations + depending - 1) / depending};
        check(cp_score_intgrad(frame, 0, &response, &even, score, layers));
        worst = 0;
        for (int l = 0; l < n; l++)
            worst = fmax(worst, layers[l].residual);
        if (worst <= .01)
            fail_msg("%s, %s: %d midpoints per layer are complete too", network, members[m], even.steps);
        print_message("    %d midpoints per layer: worst residual %.4f\n", even.steps, worst);
        cp_frame_free(frame);
    }
    free(score);
    free(layers);
    cp_model_free(model);
}

static const char *const imagenet[] = {
    "imagenet-sample-256/n02101006_Gordon_setter.JPEG", "imagenet-sample-256/n04389033_tank.JPEG",
    "imagenet-sample-256/n07583066_guacamole.JPEG", "imagenet-sample-256/n04335435_streetcar.JPEG",
    "imagenet-sample-256/n03249569_drum.JPEG", "imagenet-sample-256/n03325584_feather_boa.JPEG",
    "imagenet-sample-256/n01749939_green_mamba.JPEG", "imagenet-sample-256/n02492660_howler_monkey.JPEG",
    "imagenet-sample-256/n04235860_sleeping_bag.JPEG", "imagenet-sample-256/n04548362_wallet.JPEG",
};
static const char *const cifar[] = {
    "cifar10-lossless/test/421_dog.png", "cifar10-lossless/test/385_ship.png", "cifar10-lossless/test/647_deer.png",
    "cifar10-lossless/test/360_truck.png", "cifar10-lossless/test/422_airplane.png",
    "cifar10-lossless/test/142_frog.png", "cifar10-lossless/test/52_airplane.png",
    "cifar10-lossless/test/914_airplane.png", "cifar10-lossless/test/0_cat.png", "cifar10-lossless/test/1_ship.png",
};

/* CRITPATH_LONG=1: ten photos instead of one or two. */
static bool is_long(void) { return getenv("CRITPATH_LONG") != NULL; }

static void test_complete_on_resnet20(void **state)
{
    (void)state;
    check_complete("resnet20-cifar10", "cifar10-lossless.tar.xz", cifar, is_long() ? 10 : 2);
}

static void test_complete_on_squeezenet(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__ /* minutes there, and the tests above have touched the same code */
    skip();
#endif
    check_complete("squeezenet", "imagenet-sample-256.tar", imagenet, is_long() ? 10 : 1);
}

/* ---------------------------------------------------------------- the order of the scores */

static float threshold_of(const float *score, size_t n, size_t k)
{
    float low = 0, high = 0;
    for (size_t i = 0; i < n; i++)
        high = fmaxf(high, score[i]);
    for (int step = 0; step < 60; step++) {
        float middle = (low + high) / 2;
        size_t above = 0;
        for (size_t i = 0; i < n; i++)
            above += score[i] >= middle;
        *(above >= k ? &low : &high) = middle;
    }
    return low;
}

/* Of the tenths of all neurons that score most. */
static double jaccard(const float *one, const float *other, size_t n)
{
    float first = threshold_of(one, n, n / 10), second = threshold_of(other, n, n / 10);
    size_t both = 0, either = 0;
    for (size_t i = 0; i < n; i++) {
        both += one[i] >= first && other[i] >= second;
        either += one[i] >= first || other[i] >= second;
    }
    return (double)both / (double)either;
}

/* A tenth of the scores, by the refined rule and by many midpoints. A rule that stops at the sum alone has .96 here. */
static void test_refined_ranks_as_many_steps(void **state)
{
    (void)state;
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    const cp_intgrad_options refined = {.steps = 0}, fine = {.steps = 400};
    float input[3 * 32 * 32];
    check(cp_model_open("cfg/resnet8-cifar.cfg", "weights/resnet8-cifar.weights", &model));
    for (size_t i = 0; i < 3 * 32 * 32; i++) {
        double x = (double)(i % 32), y = (double)(i / 32 % 32);
        input[i] = (float)(.5 + .3 * sin(x / 5 + (double)(i / 1024)) * cos(y / 4) + (x > 12 && y > 9 && x < 22 ? .2 : 0));
    }
    size_t n = cp_model_neuron_count(model);
    float *one = malloc(n * sizeof *one), *other = malloc(n * sizeof *other);
    assert_true(one && other);
    check(cp_frame_create(model, 1, &frame));
    check(cp_frame_forward(frame, input, 1, NULL));
    check(cp_response_class(model, 4, &response));
    check(cp_score_intgrad(frame, 0, &response, &refined, one, NULL));
    check(cp_score_intgrad(frame, 0, &response, &fine, other, NULL));
    double agreement = jaccard(one, other, n);
    print_message("refined and 400 midpoints: Jaccard %.4f\n", agreement);
    assert_true(agreement > .98);
    free(one);
    free(other);
    cp_frame_free(frame);
    cp_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_midpoints_equal_the_reference), cmocka_unit_test(test_refined_equals_the_reference),
        cmocka_unit_test(test_equals_mct_without_biases), cmocka_unit_test(test_response_inside),
        cmocka_unit_test(test_response_of_two_layers), cmocka_unit_test(test_threads_and_memory),
        cmocka_unit_test(test_cap_progress_and_refusals), cmocka_unit_test(test_complete_on_resnet20),
        cmocka_unit_test(test_complete_on_squeezenet), cmocka_unit_test(test_refined_ranks_as_many_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

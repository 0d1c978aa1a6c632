/* EAP-IG and contributions against a baseline: by their definitions, and completeness in the limit. */
#include "score_net.h"

static const ref_layer smooth[] = {
    CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_MISH), POOL(2, 2, 0), CONV(8, 3, 1, 1, REF_TANH),
    FULL(4, REF_LINEAR), SOFTMAX,
};
enum { LAYERS = sizeof smooth / sizeof *smooth, LOGITS = 4, INPUTS = 3 * 8 * 8 };

/* The first layer's weights are positive and its biases 0: with inputs of at least 0 it is linear. */
static void open_net(pair *p, uint64_t seed)
{
    float input[INPUTS];
    memset(p, 0, sizeof *p);
    p->net.c = 3, p->net.h = p->net.w = 8, p->net.n = LAYERS;
    memcpy(p->net.layer, smooth, sizeof smooth);
    ref_net_build(&p->net, seed);
    for (size_t i = 0; i < p->net.layer[0].n_weights; i++)
        p->net.layer[0].weights[i] = fabs(p->net.layer[0].weights[i]);
    for (int i = 0; i < p->net.layer[0].n_biases; i++)
        p->net.layer[0].biases[i] = 0;
    p->model = ref_model_open(&p->net);
    for (int i = 0; i < INPUTS; i++)
        input[i] = (float)p->net.input[i];
    check(cp_frame_create(p->model, 1, &p->frame));
    check(cp_frame_forward(p->frame, input, 1, NULL));
    p->layers = cp_model_neuron_layers(p->model, &p->n_layers);
    p->neurons = cp_model_neuron_count(p->model);
}

static double sum_of_layer(const pair *p, int position, const float *score)
{
    double sum = 0;
    for (size_t i = 0; i < p->layers[position].count; i++)
        sum += score[p->layers[position].offset + i];
    return sum;
}

static double response_at(const pair *p, const float *input, const cp_response *response)
{
    cp_frame *frame;
    check(cp_frame_create(p->model, 1, &frame));
    check(cp_frame_forward(frame, input, 1, NULL));
    double phi = cp_frame_response(frame, 0, response);
    cp_frame_free(frame);
    return phi;
}

/* The layer that is linear between the baseline and the image: its scores sum to the difference of the responses, the better
 * the more steps. */
static void test_completeness_in_the_limit(void **state)
{
    (void)state;
    pair p;
    static const float black[INPUTS];
    open_net(&p, 5);
    cp_response response = logit(&p, LOGITS, 1);
    float *score = new_scores(&p);
    double off[2], difference = cp_frame_response(p.frame, 0, &response) - response_at(&p, black, &response);
    for (int k = 0; k < 2; k++) {
        const cp_eapig_options options = {.run.signed_scores = true, .steps = k ? 400 : 2};
        check(cp_score_eapig(p.frame, 0, &response, &options, score));
        off[k] = fabs(sum_of_layer(&p, 0, score) - difference);
    }
    if (!(off[1] < 2e-3 * fabs(difference)))
        fail_msg("400 steps: off by %g of %g", off[1], difference);
    assert_true(off[0] > 5 * off[1]);
    free(score);
    pair_close(&p);
}

/* (a(x) - a(x0)) times the mean gradient, each from runs of its own. */
static void test_equals_the_definition(void **state)
{
    (void)state;
    enum { STEPS = 4, MOST = 1024 };
    pair p;
    open_net(&p, 9);
    cp_response response = logit(&p, LOGITS, 2);
    float x0[INPUTS], at[INPUTS], *score = new_scores(&p);
    cp_frame *frame;
    for (int i = 0; i < INPUTS; i++)
        x0[i] = (float)(.5 + .5 * ref_random(&p.net.random));
    const cp_eapig_options options = {.run.signed_scores = true, .steps = STEPS, .baseline_input = x0};
    const cp_entry entry = {.response = &response};
    check(cp_score_eapig(p.frame, 0, &response, &options, score));
    check(cp_frame_create(p.model, 1, &frame));
    for (int l = 0; l < p.n_layers; l++) {
        const cp_neuron_layer *layer = &p.layers[l];
        double mean[MOST] = {0}, largest = 0, off = 0;
        float g[MOST];
        assert_true(layer->count <= MOST);
        for (int k = 0; k < STEPS; k++) {
            double alpha = (k + .5) / STEPS;
            for (int i = 0; i < INPUTS; i++)
                at[i] = (float)(x0[i] + alpha * (p.net.input[i] - x0[i]));
            check(cp_frame_forward(frame, at, 1, NULL));
            check(cp_frame_backward_to(frame, &entry, 1, layer->layer, g));
            for (size_t i = 0; i < layer->count; i++)
                mean[i] += g[i] / (double)STEPS;
        }
        check(cp_frame_forward(frame, x0, 1, NULL));
        for (size_t i = 0; i < layer->count; i++) {
            double a = cp_frame_output(p.frame, layer->layer, 0)[i], b = cp_frame_output(frame, layer->layer, 0)[i];
            double expected = (a - b) * mean[i];
            largest = fmax(largest, fabs(expected));
            off = fmax(off, fabs(expected - score[layer->offset + i]));
        }
        if (!(off <= 1e-4 * largest))
            fail_msg("%s: off by %g, the largest is %g", layer->name, off, largest);
        assert_true(largest > 1e-4);
    }
    cp_frame_free(frame);
    free(score);
    pair_close(&p);
}

static void test_refuses_steps(void **state)
{
    (void)state;
    pair p;
    open_net(&p, 1);
    cp_response response = logit(&p, LOGITS, 0);
    float *score = new_scores(&p);
    const cp_eapig_options options = {.steps = -1};
    assert_int_equal(cp_score_eapig(p.frame, 0, &response, &options, score), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "-1 steps"));
    free(score);
    pair_close(&p);
}

/* Against zero the contributions are those without a baseline; against the image itself nothing is left. */
static void test_baselines(void **state)
{
    (void)state;
    pair p;
    open_net(&p, 3);
    cp_response response = logit(&p, LOGITS, 1);
    float *score = new_scores(&p), *plain = new_scores(&p), *values = calloc(p.neurons, sizeof *values);
    assert_non_null(values);
    for (int rule = 0; rule < 2; rule++) {
        double gamma = rule ? .25 : NAN;
        memset(values, 0, p.neurons * sizeof *values);
        check(rule ? cp_score_lrp(p.frame, 0, &response, gamma, true, plain, NULL)
                   : cp_score_mct(p.frame, 0, &response, true, plain));
        check(cp_score_contrast(p.frame, 0, &response, gamma, values, true, score));
        for (size_t i = 0; i < p.neurons; i++)
            assert_true(score[i] == plain[i]);
        cp_baseline_take(p.frame, 0, 0, values);
        check(cp_score_contrast(p.frame, 0, &response, gamma, values, true, score));
        for (size_t i = 0; i < p.neurons; i++)
            assert_true(score[i] == 0);
        for (size_t i = 0; i < p.neurons; i++)
            values[i] *= 3; /* c becomes -2 times what it was */
        check(cp_score_contrast(p.frame, 0, &response, gamma, values, false, score));
        for (size_t i = 0; i < p.neurons; i++)
            assert_true(fabsf(score[i] - 2 * fabsf(plain[i])) <= 1e-5f * (1 + fabsf(plain[i])));
    }
    free(values);
    free(score);
    free(plain);
    pair_close(&p);
}

static void test_mean_over_images(void **state)
{
    (void)state;
    pair p;
    float input[INPUTS];
    open_net(&p, 3);
    float *mean = new_scores(&p), *one = new_scores(&p);
    double *sum = calloc(p.neurons, sizeof *sum);
    assert_non_null(sum);
    for (size_t k = 0; k < 3; k++) {
        for (int i = 0; i < INPUTS; i++)
            input[i] = (float)(.5 + .5 * ref_random(&p.net.random));
        check(cp_frame_forward(p.frame, input, 1, NULL));
        cp_baseline_take(p.frame, 0, k, mean);
        cp_baseline_take(p.frame, 0, 0, one);
        for (size_t i = 0; i < p.neurons; i++)
            sum[i] += one[i] / 3.;
    }
    for (size_t i = 0; i < p.neurons; i++)
        assert_true(fabs(mean[i] - sum[i]) < 1e-5 * (1 + fabs(sum[i])));
    free(sum);
    free(mean);
    free(one);
    pair_close(&p);
}

static void test_shares_of_layers(void **state)
{
    (void)state;
    pair p;
    open_net(&p, 7);
    cp_response response = logit(&p, LOGITS, 1);
    float *score = new_scores(&p), *share = new_scores(&p);
    check(cp_score_mct(p.frame, 0, &response, true, score));
    memcpy(share, score, p.neurons * sizeof *share);
    cp_score_by_layer(p.model, share);
    for (int l = 0; l < p.n_layers; l++) {
        double sum = 0, all = 0;
        for (size_t i = p.layers[l].offset; i < p.layers[l].offset + p.layers[l].count; i++) {
            sum += fabsf(share[i]);
            all += fabsf(score[i]);
        }
        assert_true(fabs(sum - 1) < 1e-4);
        for (size_t i = p.layers[l].offset; i < p.layers[l].offset + p.layers[l].count; i++)
            assert_true(fabs(share[i] * all - score[i]) < 1e-5 * all);
    }
    free(score);
    free(share);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_completeness_in_the_limit),
        cmocka_unit_test(test_equals_the_definition),
        cmocka_unit_test(test_refuses_steps),
        cmocka_unit_test(test_baselines),
        cmocka_unit_test(test_mean_over_images),
        cmocka_unit_test(test_shares_of_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Ablation and Shapley values against brute force in the double-precision reference; channels; rank correlation. */
#include "score_net.h"

static const ref_layer skips[] = {
    CONV(4, 3, 1, 1, REF_RELU), CONV(4, 3, 1, 1, REF_LEAKY), ADD(0, REF_RELU), POOL(2, 2, -1),
    CONV(5, 1, 1, 0, REF_RELU), ROUTE2(4, 3), FULL(7, REF_RELU), FULL(3, REF_LINEAR), SOFTMAX,
};
enum { SKIPS = sizeof skips / sizeof *skips, LOGITS = 7 };

static void open_skips(pair *p, uint64_t seed) { pair_open(p, 3, 4, 4, skips, SKIPS, seed, true); }

/* The reference's response with `off` (count bytes) of the layer at 0. */
static double ref_without(pair *p, const cp_response *response, const cp_neuron_layer *layer, const unsigned char *off)
{
    ref_layer *l = &p->net.layer[layer->layer];
    double a[512];
    assert_true(layer->count <= 512);
    memcpy(a, l->output, layer->count * sizeof *a);
    for (size_t i = 0; i < layer->count; i++)
        if (off[i])
            l->output[i] = 0;
    ref_net_forward(&p->net, layer->layer + 1);
    double value = ref_response(p, response);
    memcpy(l->output, a, layer->count * sizeof *a);
    ref_net_forward(&p->net, layer->layer + 1);
    return value;
}

/* ---------------------------------------------------------------- ablation */

static void test_ablation(void **state)
{
    (void)state;
    pair p;
    open_skips(&p, 11);
    cp_response response = logit(&p, LOGITS, 1);
    double full = ref_response(&p, &response);
    float *drop = malloc(p.neurons * sizeof *drop), *signed_drop = malloc(p.neurons * sizeof *drop);
    const cp_run_options keep_sign = {.signed_scores = true, .memory = 1};
    size_t alive = 0, negative = 0;
    assert_true(drop && signed_drop);
    check(cp_score_ablation(p.frame, 0, &response, NULL, p.neurons, NULL, drop));
    check(cp_score_ablation(p.frame, 0, &response, NULL, p.neurons, &keep_sign, signed_drop));
    for (int l = 0; l < p.n_layers; l++)
        for (size_t i = 0; i < p.layers[l].count; i++) {
            unsigned char off[512] = {0};
            size_t j = p.layers[l].offset + i;
            off[i] = 1;
            double expected = full - ref_without(&p, &response, &p.layers[l], off);
            if (!(fabs(drop[j] - fabs(expected)) < 2e-5 && fabs(signed_drop[j] - expected) < 2e-5))
                fail_msg("%s, neuron %zu: %g, signed %g; brute force gives %g", p.layers[l].name, i, (double)drop[j],
                         (double)signed_drop[j], expected);
            alive += drop[j] > 1e-3;
            negative += signed_drop[j] < -1e-3f;
        }
    assert_true(alive > p.neurons / 4 && negative > 5);

    size_t neurons[40], drawn;
    float some[40];
    check(cp_score_sample(p.model, &response, 40, 7, neurons, &drawn));
    assert_int_equal(drawn, 40);
    check(cp_score_ablation(p.frame, 0, &response, neurons, drawn, NULL, some));
    for (size_t k = 0; k < drawn; k++)
        assert_true(fabsf(some[k] - drop[neurons[k]]) < 1e-6f);

    size_t wrong[] = {3, 3};
    assert_int_equal(cp_score_ablation(p.frame, 0, &response, wrong, 2, NULL, some), CP_EINPUT);
    wrong[1] = p.neurons;
    assert_int_equal(cp_score_ablation(p.frame, 0, &response, wrong, 2, NULL, some), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "there is no neuron"));
    assert_int_equal(cp_score_ablation(p.frame, 0, &response, NULL, 5, NULL, some), CP_EINPUT);
    free(drop);
    free(signed_drop);
    pair_close(&p);
}

/* Uniform over what the response depends on: every neuron is drawn about equally often, none behind the response. */
static void test_sample(void **state)
{
    (void)state;
    enum { DRAWS = 2000, N = 12 };
    pair p;
    open_skips(&p, 11);
    cp_response response = logit(&p, 2, 9);
    size_t neurons[N], again[N], drawn, depending = p.layers[0].count + p.layers[1].count;
    unsigned *times = calloc(p.neurons, sizeof *times);
    assert_non_null(times);
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        check(cp_score_sample(p.model, &response, N, seed, neurons, &drawn));
        assert_int_equal(drawn, N);
        for (size_t k = 0; k < N; k++) {
            assert_true(k == 0 || neurons[k] > neurons[k - 1]);
            times[neurons[k]]++;
        }
    }
    double mean = (double)DRAWS * N / (double)depending, chi = 0;
    for (size_t i = 0; i < depending; i++)
        chi += (times[i] - mean) * (times[i] - mean) / mean;
    assert_true(fabs(chi - (double)depending) < 5 * sqrt(2. * (double)depending));
    for (size_t i = depending; i < p.neurons; i++)
        assert_int_equal(times[i], 0);
    check(cp_score_sample(p.model, &response, N, 5, neurons, &drawn));
    check(cp_score_sample(p.model, &response, N, 5, again, &drawn));
    assert_memory_equal(neurons, again, sizeof again);
    size_t *all = malloc((depending + 9) * sizeof *all);
    check(cp_score_sample(p.model, &response, depending + 9, 5, all, &drawn));
    assert_int_equal(drawn, depending);
    for (size_t k = 0; k < depending; k++)
        assert_int_equal(all[k], k);
    free(all);
    free(times);
    pair_close(&p);
}

/* ---------------------------------------------------------------- Shapley values */

/* The definition: all orders of `n` groups, by Heap's algorithm. group[i] of neuron i. */
static void ref_shapley(pair *p, const cp_response *response, const cp_neuron_layer *layer, const int *group, int n,
                        double *value)
{
    enum { MOST = 7 };
    double v[1 << MOST];
    int order[MOST], counter[MOST] = {0}, orders = 0;
    assert_true(n <= MOST);
    for (int s = 0; s < 1 << n; s++) {
        unsigned char off[512] = {0};
        for (size_t i = 0; i < layer->count; i++)
            off[i] = !(s >> group[i] & 1);
        v[s] = ref_without(p, response, layer, off);
    }
    for (int i = 0; i < n; i++) {
        order[i] = i;
        value[i] = 0;
    }
    for (int i = 0;;) {
        int s = 0;
        orders++;
        for (int k = 0; k < n; s |= 1 << order[k], k++)
            value[order[k]] += v[s | 1 << order[k]] - v[s];
        while (i < n && counter[i] >= i)
            counter[i++] = 0;
        if (i >= n)
            break;
        int other = i % 2 ? counter[i] : 0, kept = order[other];
        order[other] = order[i];
        order[i] = kept;
        counter[i]++;
        i = 0;
    }
    for (int i = 0; i < n; i++)
        value[i] /= orders;
}

static void test_shapley_exact(void **state)
{
    (void)state;
    pair p;
    double expected[8];
    open_skips(&p, 12);
    cp_response response = logit(&p, LOGITS, 0);
    size_t channels = cp_model_channel_count(p.model);
    float *value = malloc(p.neurons * sizeof *value), *error = malloc(p.neurons * sizeof *error);
    cp_shapley_layer report[8];
    cp_shapley_options options = {.run.signed_scores = true, .granularity = CP_CHANNEL, .layer = -1};
    check(cp_score_shapley(p.frame, 0, &response, &options, value, error, report));
    assert_int_equal(channels, 4 + 4 + 4 + 5 + 7);
    for (int l = 0; l < p.n_layers; l++) {
        int group[512], n = (int)p.layers[l].c;
        size_t plane = p.layers[l].h * p.layers[l].w, offset = cp_model_channel_offset(p.model, l);
        double largest = 0;
        for (size_t i = 0; i < p.layers[l].count; i++)
            group[i] = (int)(i / plane);
        ref_shapley(&p, &response, &p.layers[l], group, n, expected);
        for (int c = 0; c < n; c++) {
            assert_true(fabs(value[offset + (size_t)c] - expected[c]) < 2e-5);
            assert_true(error[offset + (size_t)c] == 0);
            largest = fmax(largest, fabs(expected[c]));
        }
        assert_true(largest > 1e-2);
        assert_true(report[l].exact && report[l].depends && report[l].players <= p.layers[l].c);
        assert_true(fabs(report[l].sum - (report[l].full - report[l].zero)) < 1e-5);
    }
    /* One layer, neurons: the last, whose neurons are its channels. */
    float *neuron = malloc(p.neurons * sizeof *neuron);
    options.granularity = CP_NEURON;
    options.layer = p.n_layers - 1;
    check(cp_score_shapley(p.frame, 0, &response, &options, neuron, NULL, NULL));
    for (size_t i = 0; i < p.neurons; i++)
        assert_true(i < p.neurons - 7 ? neuron[i] == 0 : neuron[i] == value[channels - (p.neurons - i)]);
    free(neuron);
    free(value);
    free(error);
    pair_close(&p);
}

/* Sampled values lie within their standard errors of the exact ones, and sum to Phi(a) - Phi(0). */
static void test_shapley_sampled(void **state)
{
    (void)state;
    pair p;
    open_skips(&p, 12);
    cp_response response = logit(&p, LOGITS, 0);
    size_t channels = cp_model_channel_count(p.model);
    float exact[64], value[64], error[64], again[64];
    cp_shapley_layer report[8];
    cp_shapley_options options = {.run.signed_scores = true, .granularity = CP_CHANNEL, .layer = -1};
    assert_true(channels <= 64);
    check(cp_score_shapley(p.frame, 0, &response, &options, exact, NULL, NULL));
    options.exact_players = -1;
    options.permutations = 400;
    options.seed = 3;
    check(cp_score_shapley(p.frame, 0, &response, &options, value, error, report));
    double chi = 0;
    size_t uncertain = 0;
    for (size_t c = 0; c < channels; c++) {
        double off = fabs(value[c] - exact[c]);
        if (!(off <= 4.5 * error[c] + 1e-5))
            fail_msg("channel %zu: %g +- %g, exact is %g", c, (double)value[c], (double)error[c], (double)exact[c]);
        if (error[c] > 1e-4f) {
            uncertain++;
            chi += off * off / (error[c] * error[c]);
        }
    }
    assert_true(uncertain >= 8); /* dead channels and the last, linear layer are certain */
    assert_true(chi > .3 * (double)uncertain && chi < 2.5 * (double)uncertain); /* neither too wide nor too narrow */
    for (int l = 0; l < p.n_layers; l++) {
        assert_false(report[l].exact);
        assert_true(fabs(report[l].sum - (report[l].full - report[l].zero)) <= report[l].sum_error + 1e-5);
        assert_int_equal(report[l].evaluations, 1 + 400 * (report[l].players - 1));
    }
    check(cp_score_shapley(p.frame, 0, &response, &options, again, NULL, NULL));
    assert_memory_equal(value, again, channels * sizeof *value);
    options.run.memory = 1; /* one permutation at a time */
    check(cp_score_shapley(p.frame, 0, &response, &options, again, NULL, NULL));
    for (size_t c = 0; c < channels; c++)
        assert_true(fabsf(value[c] - again[c]) < 1e-4f);
    options.exact_players = 21;
    assert_int_equal(cp_score_shapley(p.frame, 0, &response, &options, again, NULL, NULL), CP_EINPUT);
    options = (cp_shapley_options){.layer = p.n_layers};
    assert_int_equal(cp_score_shapley(p.frame, 0, &response, &options, again, NULL, NULL), CP_EINPUT);
    pair_close(&p);
}

/* ---------------------------------------------------------------- channels */

static void test_channels(void **state)
{
    (void)state;
    pair p;
    cp_path *path;
    cp_selection selection;
    cp_cut cut;
    open_skips(&p, 13);
    cp_response response = logit(&p, LOGITS, 0);
    size_t channels = cp_model_channel_count(p.model), k = 0;
    float *score = malloc(p.neurons * sizeof *score), channel[64];
    for (size_t i = 0; i < p.neurons; i++)
        score[i] = (float)(i % 11) / 4;
    cp_score_to_channels(p.model, score, channel);
    for (int l = 0; l < p.n_layers; l++) {
        size_t plane = p.layers[l].h * p.layers[l].w;
        assert_int_equal(cp_model_channel_offset(p.model, l), k);
        for (size_t c = 0; c < p.layers[l].c; c++, k++) {
            double sum = 0;
            for (size_t i = 0; i < plane; i++)
                sum += (double)((p.layers[l].offset + c * plane + i) % 11) / 4;
            assert_true(channel[k] == (float)sum);
        }
    }
    assert_int_equal(k, channels);

    /* Of 24 channels the 6 best: planted, one in each of four layers, two in the last. */
    static const size_t best[] = {2, 5, 8, 14, 17, 20};
    for (size_t c = 0; c < channels; c++)
        channel[c] = .1f;
    for (size_t b = 0; b < 6; b++)
        channel[best[b]] = 1 + (float)b;
    check(cp_path_create(p.model, &path));
    check(cp_path_select_channels(path, channel, .75, 0, &selection));
    assert_int_equal(selection.asked, 6);
    assert_true(selection.threshold == 1);
    size_t at = 0, neurons = 0;
    for (int l = 0; l < p.n_layers; l++) {
        size_t plane = p.layers[l].h * p.layers[l].w;
        for (size_t c = 0; c < p.layers[l].c; c++, at++) {
            bool on = false;
            for (size_t b = 0; b < 6; b++)
                on |= best[b] == at;
            neurons += on ? plane : 0;
            for (size_t i = 0; i < plane; i++)
                assert_int_equal(cp_path_get(path, p.layers[l].offset + c * plane + i), on);
        }
    }
    assert_int_equal(cp_path_count(path), neurons);
    assert_int_equal(selection.kept, neurons);
    assert_true(fabs(selection.sparsity - (1 - (double)neurons / (double)p.neurons)) < 1e-12);
    check(cp_path_find_cut_channels(path, channel, &response, &cut));
    assert_false(cut.cut);

    /* Only the last layer's: cut, and the sparsest that is not ranks by the channels of the narrowest gate. */
    check(cp_path_select_channels(path, channel, 1 - 2. / 24, 0, &selection));
    check(cp_path_find_cut_channels(path, channel, &response, &cut));
    assert_true(cut.cut);
    check(cp_path_select_channels(path, channel, cut.sparsest_uncut, 0, &selection));
    check(cp_path_find_cut_channels(path, channel, &response, &cut));
    assert_false(cut.cut);
    check(cp_path_select_channels(path, channel, 1 - ((double)selection.asked - 1) / 24, 0, &selection));
    check(cp_path_find_cut_channels(path, NULL, &response, &cut));
    assert_true(cut.cut && isnan(cut.sparsest_uncut));
    cp_path_free(path);
    free(score);
    pair_close(&p);
}

/* ---------------------------------------------------------------- rank correlation */

static void test_rank_correlation(void **state)
{
    (void)state;
    double rho;
    /* Without ties 1 - 6 sum d^2 / (n (n^2 - 1)): ranks 1 2 3 4 5 against 2 1 4 3 5, d^2 sums to 4. */
    const float a[] = {-3, -1, 0, 2, 9}, b[] = {.2f, .1f, .4f, .3f, 100}, falling[] = {5, 4, 3, 2, 1};
    check(cp_rank_correlation(a, b, 5, &rho));
    assert_true(fabs(rho - .8) < 1e-12);
    check(cp_rank_correlation(a, falling, 5, &rho));
    assert_true(fabs(rho + 1) < 1e-12);
    /* Ties at their average: ranks 1.5 1.5 3 4 against 1 2 3.5 3.5; Pearson's of those is 4 / 4.5. */
    const float c[] = {0, 0, 1, 2}, d[] = {1, 2, 3, 3};
    check(cp_rank_correlation(c, d, 4, &rho));
    assert_true(fabs(rho - 4. / 4.5) < 1e-12);
    const float constant[] = {1, 1, 1, 1}, bad[] = {0, NAN, 1, 2};
    check(cp_rank_correlation(c, constant, 4, &rho));
    assert_true(isnan(rho));
    check(cp_rank_correlation(c, bad, 4, &rho));
    assert_true(isnan(rho));
    check(cp_rank_correlation(c, d, 1, &rho));
    assert_true(isnan(rho));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ablation), cmocka_unit_test(test_sample), cmocka_unit_test(test_shapley_exact),
        cmocka_unit_test(test_shapley_sampled), cmocka_unit_test(test_channels),
        cmocka_unit_test(test_rank_correlation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

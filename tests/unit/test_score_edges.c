/* Edges: their sums are the neurons' scores; a planted net of two layers; restricted to a path; what is refused. */
#include "score_net.h"

#include "score/edges.h"
#include "score/score.h"

static const ref_layer relu[] = {
    CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_LINEAR), ADD(0, REF_RELU), POOL(2, 2, 0),
    CONV(8, 3, 2, 1, REF_RELU), FULL(8, REF_RELU), FULL(4, REF_LINEAR), SOFTMAX,
};
static const ref_layer leaky[] = {
    CONV(6, 3, 1, 1, REF_LEAKY), CONV(6, 3, 1, 1, REF_LEAKY), ADD(0, REF_LINEAR), POOL(2, 2, 0),
    CONV(5, 1, 1, 0, REF_LEAKY), ROUTE2(4, 3), {.type = REF_UPSAMPLE, .stride = 2, .scale = 1.5}, ROUTE2(6, 0),
    CONV(7, 3, 2, 1, REF_MISH), {.type = REF_AVGPOOL}, FULL(4, REF_LINEAR), SOFTMAX,
};
#define COUNT(layers) ((int)(sizeof layers / sizeof *layers))

/* Sums, over everything that reads a channel, of the edges that leave it. */
static void sum_edges(const pair *p, cp_edges *edges, bool by_channel, double *sum)
{
    size_t row = cp_edges_row(edges);
    memset(sum, 0, row * sizeof *sum);
    for (int r = 0; r <= p->n_layers; r++) {
        int channels = r < p->n_layers && by_channel ? (int)p->layers[r].c : 1, channel[64];
        double *to = malloc((size_t)channels * row * sizeof *to);
        for (int q = 0; q < channels; q++)
            channel[q] = by_channel && r < p->n_layers ? q : -1;
        check(cp_edges_to_channels(edges, r, channel, channels, to));
        for (int q = 0; q < channels; q++)
            for (size_t k = 0; k < row; k++)
                sum[k] += to[(size_t)q * row + k];
        free(to);
    }
}

static void sums_are_scores(const ref_layer *layers, int n, int from, uint64_t seed, bool restricted)
{
    pair p;
    cp_edges *edges;
    cp_path *path = NULL;
    pair_open(&p, 3, 8, 8, layers, n, seed, true);
    cp_response response = logit(&p, from, 1);
    float *score = new_scores(&p);
    if (restricted) {
        cp_selection selection;
        check(cp_path_create(p.model, &path));
        check(cp_score_mct(p.frame, 0, &response, true, score));
        check(cp_path_select(path, score, .6, 0, &selection));
    }
    check(cp_score_signed(p.frame, 0, &response, path, score, NULL));
    check(cp_edges_open(p.frame, 0, &response, path, restricted ? 1 : 0, &edges));
    size_t row = cp_edges_row(edges);
    double *sum = malloc(row * sizeof *sum), *whole = malloc(row * sizeof *whole);
    sum_edges(&p, edges, true, sum);
    sum_edges(&p, edges, false, whole);
    for (int l = 0; l < p.n_layers; l++) {
        const cp_neuron_layer *layer = &p.layers[l];
        size_t plane = layer->h * layer->w;
        double largest = 1e-3;
        for (size_t k = 0; k < layer->count; k++)
            largest = fmax(largest, fabs((double)score[layer->offset + k]));
        for (size_t c = 0; c < layer->c; c++) {
            double expected = 0, got = sum[cp_model_channel_offset(p.model, l) + c];
            for (size_t k = c * plane; k < (c + 1) * plane; k++)
                if (!path || cp_path_get(path, layer->offset + k))
                    expected += score[layer->offset + k];
            assert_true(fabs(expected - got) < 1e-4 * largest * sqrt((double)plane));
            assert_true(fabs(got - whole[cp_model_channel_offset(p.model, l) + c]) < 1e-4 * largest * sqrt((double)plane));
        }
    }
    free(sum), free(whole), free(score);
    cp_edges_free(edges);
    cp_path_free(path);
    pair_close(&p);
}

static void edges_that_leave_a_channel_sum_to_its_score(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 4; seed++) {
        sums_are_scores(relu, COUNT(relu), 6, seed, false);
        sums_are_scores(leaky, COUNT(leaky), 10, seed, false);
        sums_are_scores(relu, COUNT(relu), 4, seed, false); /* a hidden neuron is the response */
    }
}

static void edges_of_a_frozen_network_begin_and_end_on_the_path(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 4; seed++) {
        sums_are_scores(relu, COUNT(relu), 6, seed, true);
        sums_are_scores(leaky, COUNT(leaky), 10, seed, true);
    }
}

/* Two layers whose weights are known: unit 1 of the second reads units 0 and 2 of the first with weights 2 and -1, and the
 * response reads it with weight 3. */
static void edges_of_a_planted_net(void **state)
{
    static const ref_layer layers[] = {FULL(3, REF_RELU), FULL(2, REF_RELU), FULL(1, REF_LINEAR), SOFTMAX};
    const double first[3][2] = {{1, 0}, {0, 1}, {1, 1}}, second[2][3] = {{0, 0, 0}, {2, 0, -1}}, last[2] = {5, 3};
    pair p;
    cp_edges *edges;
    (void)state;
    memset(&p, 0, sizeof p);
    p.net.c = 2, p.net.h = 1, p.net.w = 1, p.net.n = COUNT(layers);
    memcpy(p.net.layer, layers, sizeof layers);
    ref_net_build(&p.net, 1);
    memcpy(p.net.layer[0].weights, first, sizeof first);
    memcpy(p.net.layer[1].weights, second, sizeof second);
    memcpy(p.net.layer[2].weights, last, sizeof last);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < p.net.layer[i].n_biases; k++)
            p.net.layer[i].biases[k] = 0;
    p.model = ref_model_open(&p.net);
    check(cp_frame_create(p.model, 1, &p.frame));
    check(cp_frame_forward(p.frame, (const float[]){2, .5f}, 1, NULL)); /* first: 2, .5, 2.5; second: 0, 1.5; response 4.5 */
    p.layers = cp_model_neuron_layers(p.model, &p.n_layers);
    p.neurons = cp_model_neuron_count(p.model);
    cp_response response = logit(&p, 2, 0);
    check(cp_edges_open(p.frame, 0, &response, NULL, 0, &edges));
    double to[2][7];
    int n;
    assert_int_equal(cp_edges_row(edges), 7); /* 3 + 2 channels, 2 of the input */
    assert_int_equal(cp_edges_sources(edges, 1, &n)[0], 0);
    assert_int_equal(n, 1);
    assert_int_equal(cp_edges_sources(edges, 0, &n)[0], -1);
    check(cp_edges_to_channels(edges, 1, (const int[]){0, 1}, 2, to[0]));
    const double second_expected[2][7] = {{0}, {3 * 2 * 2, 0, 3 * -1 * 2.5}};
    for (int k = 0; k < 7; k++) {
        assert_float_equal(to[0][k], second_expected[0][k], 1e-6);
        assert_float_equal(to[1][k], second_expected[1][k], 1e-6);
    }
    check(cp_edges_to_channels(edges, cp_edges_response(edges), (const int[]){-1}, 1, to[0]));
    const double last_expected[7] = {0, 0, 0, 0, 4.5};
    for (int k = 0; k < 7; k++)
        assert_float_equal(to[0][k], last_expected[k], 1e-6);
    check(cp_edges_to_channels(edges, 0, (const int[]){2}, 1, to[0])); /* g -3, of both inputs */
    assert_float_equal(to[0][5], -3 * 2, 1e-6);
    assert_float_equal(to[0][6], -3 * .5, 1e-6);
    float neuron[5];
    check(cp_edges_to_neuron(edges, 1, 1, neuron));
    assert_float_equal(neuron[0], 12, 1e-6);
    assert_float_equal(neuron[2], -7.5, 1e-6);
    assert_int_equal(cp_edges_to_channels(edges, 1, (const int[]){2}, 1, to[0]), CP_EINPUT);
    assert_int_equal(cp_edges_to_neuron(edges, 1, 2, neuron), CP_EINPUT);
    cp_edges_free(edges);
    pair_close(&p);
}

/* Channel edges are the sums of the neurons' own. */
static void edges_of_neurons_sum_to_those_of_channels(void **state)
{
    pair p;
    cp_edges *edges;
    (void)state;
    pair_open(&p, 3, 8, 8, leaky, COUNT(leaky), 5, true);
    cp_response response = logit(&p, 10, 2);
    check(cp_edges_open(p.frame, 0, &response, NULL, 0, &edges));
    int reader = cp_model_neuron_position(p.model, 8), channel = 3;
    const cp_neuron_layer *layer = &p.layers[reader];
    size_t plane = layer->h * layer->w;
    double *to = malloc(cp_edges_row(edges) * sizeof *to), sums[4] = {0};
    float *one = malloc(p.neurons * sizeof *one);
    check(cp_edges_to_channels(edges, reader, &channel, 1, to));
    for (size_t k = 0; k < plane; k++) {
        check(cp_edges_to_neuron(edges, reader, (size_t)channel * plane + k, one));
        for (int l = 0; l < 4 && l < p.n_layers; l++)
            for (size_t i = 0; i < p.layers[l].count; i++)
                sums[l] += one[p.layers[l].offset + i];
    }
    for (int l = 0; l < 4 && l < p.n_layers; l++) {
        double expected = 0;
        for (size_t c = 0; c < p.layers[l].c; c++)
            expected += to[cp_model_channel_offset(p.model, l) + c];
        assert_float_equal(sums[l], expected, 1e-4);
    }
    free(to), free(one);
    cp_edges_free(edges);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_of_a_planted_net),
        cmocka_unit_test(edges_that_leave_a_channel_sum_to_its_score),
        cmocka_unit_test(edges_of_a_frozen_network_begin_and_end_on_the_path),
        cmocka_unit_test(edges_of_neurons_sum_to_those_of_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* GreedyPruning by hand on three neurons, against a naive Algorithm 1 on random networks, and its edges. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tiny_net.h"

/* ---------------------------------------------------------------- by hand */

/* a = (1, 2, 0), logit 0 = 2 a0 - 3 a1 + 5 a2 + 1/4: s = (2, 6, 0); 1% of 3 neurons is less than one, so one goes at a
 * time. The third is dead: protected, it outlives those that make the answer. */
static void three_neurons(void **state)
{
    (void)state;
    static const struct {
        double sparsity;
        bool unprotected;
        int kept[3];
        size_t left;
        bool stalled;
    } expected[] = {
        {0, false, {1, 1, 1}, 3, false},   {.34, false, {0, 1, 1}, 2, false}, {.6, false, {0, 0, 1}, 1, false},
        {.9, false, {0, 0, 1}, 1, true},   {.34, true, {1, 1, 0}, 2, false},  {.6, true, {0, 1, 0}, 1, false},
        {.9, true, {0, 0, 0}, 0, false},
    };
    tiny_net net;
    cp_response response;
    cp_path *path;
    TINY_OPEN(&net);
    assert_int_equal(cp_response_class(net.model, 0, &response), CP_OK);
    assert_int_equal(cp_path_create(net.model, &path), CP_OK);
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) {
        cp_greedy_options options = {.sparsity = expected[k].sparsity, .unprotected = expected[k].unprotected};
        cp_greedy_report report;
        cp_selection selection;
        float score[3];
        assert_int_equal(cp_score_greedy(net.model, tiny_input, &response, &options, score, &report), CP_OK);
        assert_int_equal(report.left, expected[k].left);
        assert_int_equal(report.stalled, expected[k].stalled);
        assert_true(report.sparsity == 1 - expected[k].left / 3.);
        if (report.left) {
            assert_int_equal(cp_path_select(path, score, report.sparsity, 0, &selection), CP_OK);
            for (size_t i = 0; i < 3; i++)
                assert_int_equal(cp_path_get(path, i), expected[k].kept[i]);
        }
    }
    cp_path_free(path);
    tiny_close(&net);
}

/* ---------------------------------------------------------------- against the naive algorithm */

typedef struct {
    cp_model *model;
    cp_frame *frame;
    const float *input;
    cp_response response;
    size_t n, players;
    size_t *player;   /* of each neuron: itself, or its channel */
    float *alive, *s; /* by neuron; alive: 1 or 0, as gates */
} naive;

static void products(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                     size_t count)
{
    naive *v = user;
    (void)entry;
    for (size_t i = 0; i < count; i++) {
        size_t j = layer->offset + first + i;
        v->s[j] = fabsf(v->alive[j] * a[i] * g[i]);
    }
}

static void naive_scores(naive *v)
{
    const cp_restriction restriction = {.kind = CP_GATED, .gates = v->alive};
    const cp_entry entry = {.response = &v->response, .gates = v->alive};
    const cp_observer observer = {products, v};
    memset(v->s, 0, v->n * sizeof *v->s);
    assert_int_equal(cp_frame_forward(v->frame, v->input, 1, &restriction), CP_OK);
    assert_int_equal(cp_frame_backward(v->frame, &entry, 1, &observer, NULL), CP_OK);
}

/* Algorithm 1 as it is written, one argmin after the other. Returns how many are left. */
static size_t naive_greedy(naive *v, double sparsity, double share, bool protect)
{
    size_t keep = (size_t)floor((1 - sparsity) * (double)v->players + .5), left = v->players;
    size_t step = (size_t)fmax(1, round(share * (double)v->players));
    double *sum = malloc(v->players * sizeof *sum);
    bool *in = malloc(v->players * sizeof *in);
    for (size_t j = 0; j < v->n; j++)
        v->alive[j] = 1;
    while (left > keep) {
        size_t gone = 0;
        naive_scores(v);
        for (size_t k = 0; k < v->players; k++)
            sum[k] = 0, in[k] = false;
        for (size_t j = 0; j < v->n; j++)
            sum[v->player[j]] += v->s[j], in[v->player[j]] |= v->alive[j] != 0;
        while (gone < step && left > keep) {
            size_t lowest = v->players;
            for (size_t k = 0; k < v->players; k++)
                if (in[k] && (!protect || sum[k] != 0) &&
                    (lowest == v->players || (float)sum[k] <= (float)sum[lowest]))
                    lowest = k;
            if (lowest == v->players)
                break;
            in[lowest] = false;
            for (size_t j = 0; j < v->n; j++)
                if (v->player[j] == lowest)
                    v->alive[j] = 0;
            gone++, left--;
        }
        if (!gone)
            break;
    }
    free(sum), free(in);
    return left;
}

/* Returns the number of players. */
static size_t number_players(const cp_model *model, bool channels, size_t *player)
{
    int n;
    size_t players = 0;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        size_t plane = channels ? layers[l].h * layers[l].w : 1;
        for (size_t i = 0; i < layers[l].count; i++)
            player[layers[l].offset + i] = players + i / plane;
        players += layers[l].count / plane;
    }
    return players;
}

static void select_players(cp_path *path, const float *score, bool channels, double sparsity, cp_selection *selection)
{
    cp_path_fill(path, false);
    *selection = (cp_selection){0};
    if (sparsity == 1) /* of a few channels a hundredth is none */
        return;
    assert_int_equal(channels ? cp_path_select_channels(path, score, sparsity, 0, selection)
                              : cp_path_select(path, score, sparsity, 0, selection), CP_OK);
}

static void compare_granularity(cp_model *model, const float *input, const cp_response *response, bool channels)
{
    naive v = {.model = model, .input = input, .response = *response, .n = cp_model_neuron_count(model)};
    static const struct { double sparsity, step; bool unprotected; } cases[] = {
        {.5, 0, false}, {.9, 0, false}, {.99, 0, false}, {.8, .07, false}, {.9, 0, true}, {.73, .25, true},
    };
    float *score = malloc(v.n * sizeof *score), *deeper = malloc(v.n * sizeof *deeper);
    cp_path *path;
    v.player = malloc(v.n * sizeof *v.player);
    v.players = number_players(model, channels, v.player);
    v.alive = malloc(v.n * sizeof(float)), v.s = malloc(v.n * sizeof(float));
    assert_int_equal(cp_frame_create(model, 1, &v.frame), CP_OK);
    assert_int_equal(cp_path_create(model, &path), CP_OK);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        cp_greedy_options options = {.sparsity = cases[k].sparsity, .step = cases[k].step,
                                     .unprotected = cases[k].unprotected,
                                     .granularity = channels ? CP_CHANNEL : CP_NEURON};
        cp_greedy_report report;
        cp_selection selection;
        size_t left = naive_greedy(&v, options.sparsity, options.step ? options.step : .01, !options.unprotected);
        assert_int_equal(cp_score_greedy(model, input, response, &options, score, &report), CP_OK);
        assert_int_equal(report.left, left);
        select_players(path, score, channels, report.sparsity, &selection);
        if (!channels)
            assert_int_equal(selection.kept, left);
        for (size_t j = 0; j < v.n; j++)
            assert_int_equal(cp_path_get(path, j), v.alive[j] != 0);
        /* One deeper run holds the path of this sparsity as well. */
        options.sparsity = .995;
        assert_int_equal(cp_score_greedy(model, input, response, &options, deeper, NULL), CP_OK);
        select_players(path, deeper, channels, report.sparsity, &selection);
        for (size_t j = 0; j < v.n; j++)
            assert_int_equal(cp_path_get(path, j), v.alive[j] != 0);
    }
    cp_path_free(path);
    cp_frame_free(v.frame);
    free(v.alive), free(v.s), free(v.player), free(score), free(deeper);
}

static void compare_with_naive(cp_model *model, const float *input, const cp_response *response)
{
    compare_granularity(model, input, response, false);
    compare_granularity(model, input, response, true);
}

static void naive_on_a_residual_network(void **state)
{
    (void)state;
    tiny_net net;
    cp_response response;
    float input[RESIDUAL_INPUT];
    residual_open(&net, input);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(cp_response_class(net.model, k, &response), CP_OK);
        compare_with_naive(net.model, input, &response);
    }
    tiny_close(&net);
}

static void naive_on_a_vgg(void **state)
{
    (void)state;
    cp_model *model;
    cp_response response;
    size_t c, h, w;
    unsigned seed = 3;
    assert_int_equal(cp_model_open("tests/oracle/cfg/vgg.cfg", "tests/oracle/vgg.weights", &model), CP_OK);
    cp_model_input_shape(model, &c, &h, &w);
    float *input = malloc(c * h * w * sizeof *input);
    for (size_t i = 0; i < c * h * w; i++)
        input[i] = .5f + .5f * tiny_random(&seed);
    assert_int_equal(cp_response_class(model, 1, &response), CP_OK);
    compare_with_naive(model, input, &response);
    free(input);
    cp_model_free(model);
}

/* ---------------------------------------------------------------- edges */

/* A response that is a neuron: it is never zeroed, which would end the run at once, and never on the path. */
static void the_response_is_a_neuron(void **state)
{
    (void)state;
    tiny_net net;
    cp_response response;
    float input[RESIDUAL_INPUT], score[RESIDUAL_NEURONS];
    cp_greedy_options options = {.sparsity = .9};
    cp_greedy_report report;
    residual_open(&net, input);
    cp_frame *frame;
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, input, 1, NULL), CP_OK);
    size_t unit = 0;
    while (!(cp_frame_output(frame, 4, 0)[unit] > 0))
        unit++;
    assert_int_equal(cp_response_unit(net.model, 4, unit, &response), CP_OK);
    assert_int_equal(cp_score_greedy(net.model, input, &response, &options, score, &report), CP_OK);
    size_t neuron = 144 + 36 + unit, zero = 0;
    for (size_t j = 0; j < RESIDUAL_NEURONS; j++)
        zero += score[j] == 0;
    assert_true(score[neuron] == 0 && zero == 1);
    assert_true(report.rounds > 1 && report.left < RESIDUAL_NEURONS - 2);
    cp_frame_free(frame);
    tiny_close(&net);
}

static void bad_options(void **state)
{
    (void)state;
    tiny_net net;
    cp_response response;
    float score[3];
    TINY_OPEN(&net);
    assert_int_equal(cp_response_class(net.model, 0, &response), CP_OK);
    static const cp_greedy_options bad[] = {{.sparsity = 1}, {.sparsity = -.1}, {.sparsity = NAN}, {.step = 2},
                                            {.step = -1}, {.step = NAN}};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_int_equal(cp_score_greedy(net.model, tiny_input, &response, &bad[k], score, NULL), CP_EINPUT);
        assert_non_null(strstr(cp_error(), k < 3 ? "sparsity" : "step"));
    }
    tiny_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_neurons),
        cmocka_unit_test(naive_on_a_residual_network),
        cmocka_unit_test(naive_on_a_vgg),
        cmocka_unit_test(the_response_is_a_neuron),
        cmocka_unit_test(bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

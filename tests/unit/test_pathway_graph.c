/* The graph of a pathway: a planted path has its nodes and edges, shares add to 1, edges add to the scores, many layers fold. */
#include "score_net.h"

#include "path/pathway_graph.h"
#include "score/score.h"

#define COUNT(layers) ((int)(sizeof layers / sizeof *layers))

/* Sums by channel of a signed score, all of it on the path. */
static void choose(const pair *p, const float *score, int nodes, cp_graph *g)
{
    size_t channels = cp_model_channel_count(p->model);
    double *sum = calloc(channels, sizeof *sum);
    size_t *kept = calloc(channels, sizeof *kept);
    for (int l = 0; l < p->n_layers; l++)
        for (size_t i = 0; i < p->layers[l].count; i++)
            sum[cp_model_channel_offset(p->model, l) + i / (p->layers[l].h * p->layers[l].w)] +=
                fabs((double)score[p->layers[l].offset + i]);
    check(cp_graph_choose(p->model, sum, sum, kept, nodes, g));
    free(sum), free(kept);
}

static void make(const pair *p, const cp_response *response, int nodes, cp_graph *g)
{
    cp_edges *edges;
    float *score = new_scores(p);
    check(cp_score_signed(p->frame, 0, response, NULL, score, NULL));
    choose(p, score, nodes, g);
    check(cp_edges_open(p->frame, 0, response, NULL, 0, &edges));
    check(cp_graph_join(p->model, edges, g));
    cp_edges_free(edges);
    free(score);
}

static void add_to_1(const cp_graph *g)
{
    double sum = 0, columns = 0;
    for (int i = 0; i < g->n; i++)
        sum += g->node[i].share;
    for (int k = 0; k < g->n_columns; k++)
        columns += g->column[k].share;
    assert_float_equal(sum, 1, 1e-9);
    assert_float_equal(columns, 1, 1e-9);
}

static int find(const cp_graph *g, int position, size_t channel)
{
    for (int i = 0; i < g->n; i++)
        if (g->node[i].kind == CP_NODE_CHANNEL && g->node[i].position == position && g->node[i].channel == channel)
            return i;
    return -1;
}

/* Input 0 -> unit 4 of the first layer -> unit 7 of the second -> the response, with weights 2, 3, 5; everything else weighs 0,
 * but unit 1 of the second reads unit 2 of the first and speaks against with -1. */
static void planted_path(void **state)
{
    static const ref_layer layers[] = {FULL(6, REF_RELU), FULL(8, REF_RELU), FULL(2, REF_LINEAR), SOFTMAX};
    pair p;
    cp_graph *g = malloc(sizeof *g);
    (void)state;
    memset(&p, 0, sizeof p);
    p.net.c = 2, p.net.h = 1, p.net.w = 1, p.net.n = COUNT(layers);
    memcpy(p.net.layer, layers, sizeof layers);
    ref_net_build(&p.net, 1);
    for (int i = 0; i < 3; i++) {
        memset(p.net.layer[i].weights, 0, p.net.layer[i].n_weights * sizeof(double));
        memset(p.net.layer[i].biases, 0, (size_t)p.net.layer[i].n_biases * sizeof(double));
    }
    p.net.layer[0].weights[4 * 2] = 2;
    p.net.layer[0].weights[2 * 2 + 1] = 1;
    p.net.layer[1].weights[7 * 6 + 4] = 3;
    p.net.layer[1].weights[1 * 6 + 2] = 1;
    p.net.layer[2].weights[7] = 5;
    p.net.layer[2].weights[1] = -1;
    p.model = ref_model_open(&p.net);
    check(cp_frame_create(p.model, 1, &p.frame));
    check(cp_frame_forward(p.frame, (const float[]){1, 2}, 1, NULL));
    p.layers = cp_model_neuron_layers(p.model, &p.n_layers);
    p.neurons = cp_model_neuron_count(p.model);
    cp_response response = logit(&p, 2, 0);
    make(&p, &response, 60, g);
    add_to_1(g);
    assert_int_equal(g->n, 6); /* photo, two of each layer, answer; nothing is left for a grey node */
    int a = find(g, 0, 4), b = find(g, 1, 7), c = find(g, 0, 2), d = find(g, 1, 1), answer = g->n - 1;
    assert_true(a > 0 && b > 0 && c > 0 && d > 0);
    assert_int_equal(g->node[answer].kind, CP_NODE_ANSWER);
    const double expected[][3] = {{0, a, 30}, {a, b, 30}, {b, answer, 30}, {0, c, -2}, {c, d, -2}, {d, answer, -2}};
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->n; k++) {
            double e = 0;
            for (size_t n = 0; n < sizeof expected / sizeof *expected; n++)
                if (expected[n][0] == i && expected[n][1] == k)
                    e = expected[n][2];
            assert_float_equal(g->edge[i][k], e, 1e-5);
        }
    assert_float_equal(g->node[a].share, 30. / 64, 1e-6);
    make(&p, &response, 6, g); /* room for one of each layer: the others are grey */
    add_to_1(g);
    assert_int_equal(g->n, 6);
    a = find(g, 0, 4), b = find(g, 1, 7);
    assert_true(a > 0 && b > 0 && find(g, 0, 2) < 0 && find(g, 1, 1) < 0);
    assert_float_equal(g->edge[a][b], 30, 1e-5);
    for (int i = 0; i < g->n; i++)
        if (g->node[i].kind == CP_NODE_REST) {
            assert_int_equal(g->node[i].members, 1);
            assert_float_equal(g->node[i].share, 2. / 64, 1e-6);
            for (int k = 0; k < g->n; k++)
                assert_float_equal(g->edge[i][k], g->node[k].column == g->node[i].column + 1 &&
                                   (g->node[k].kind == CP_NODE_REST || k == g->n - 1) ? -2 : 0, 1e-5);
        }
    free(g);
    pair_close(&p);
}

/* What leaves a node is the sum of its channels' signed scores, also of the grey ones; what arrives at the answer is what its
 * sources contribute. */
static void edges_add_to_scores(void **state)
{
    static const ref_layer layers[] = {
        CONV(9, 3, 1, 1, REF_LEAKY), CONV(9, 3, 1, 1, REF_LEAKY), ADD(0, REF_RELU), POOL(2, 2, 0), CONV(8, 3, 1, 1, REF_LEAKY),
        ROUTE2(4, 3), CONV(7, 3, 1, 1, REF_LEAKY), FULL(4, REF_LINEAR), SOFTMAX,
    };
    pair p;
    cp_graph *g = malloc(sizeof *g);
    (void)state;
    pair_open(&p, 3, 8, 8, layers, COUNT(layers), 4, true);
    cp_response response = logit(&p, 7, 1);
    float *score = new_scores(&p);
    check(cp_score_signed(p.frame, 0, &response, NULL, score, NULL));
    for (int nodes = 12; nodes <= 60; nodes += 16) {
        make(&p, &response, nodes, g);
        add_to_1(g);
        assert_true(g->n <= nodes);
        for (int k = 0; k < g->n_columns; k++) {
            const cp_neuron_layer *layer = &p.layers[g->column[k].first];
            double sum = 0, leaves = 0;
            assert_int_equal(g->column[k].first, g->column[k].last);
            for (size_t i = 0; i < layer->count; i++)
                sum += score[layer->offset + i];
            for (int i = 0; i < g->n; i++)
                for (int j = 0; j < g->n && g->node[i].column == k + 1; j++)
                    leaves += g->edge[i][j];
            assert_float_equal(leaves, sum, 1e-3);
        }
        for (int i = 0; i < g->n; i++) {
            if (g->node[i].kind != CP_NODE_CHANNEL)
                continue;
            const cp_neuron_layer *layer = &p.layers[g->node[i].position];
            size_t plane = layer->h * layer->w;
            double sum = 0, leaves = 0;
            for (size_t k = 0; k < plane; k++)
                sum += score[layer->offset + g->node[i].channel * plane + k];
            for (int j = 0; j < g->n; j++)
                leaves += g->edge[i][j];
            assert_float_equal(leaves, sum, 1e-3);
        }
    }
    free(score), free(g);
    pair_close(&p);
}

/* More layers than columns: neighbours stand together, and nothing is lost. */
static void many_layers_fold(void **state)
{
    ref_layer layers[26];
    pair p;
    cp_graph *g = malloc(sizeof *g);
    (void)state;
    for (int i = 0; i < 24; i++)
        layers[i] = (ref_layer)CONV(4, 3, 1, 1, REF_LEAKY);
    layers[24] = (ref_layer)FULL(4, REF_LINEAR);
    layers[25] = (ref_layer)SOFTMAX;
    pair_open(&p, 3, 6, 6, layers, 26, 2, true);
    cp_response response = logit(&p, 24, 0);
    make(&p, &response, 60, g);
    add_to_1(g);
    assert_int_equal(g->n_columns, CP_GRAPH_COLUMNS);
    assert_true(g->n <= 60);
    assert_int_equal(g->column[0].first, 0);
    assert_int_equal(g->column[g->n_columns - 1].last, 23);
    for (int k = 1; k < g->n_columns; k++)
        assert_int_equal(g->column[k].first, g->column[k - 1].last + 1);
    free(g);
    pair_close(&p);
}

static void nothing_scores(void **state)
{
    static const ref_layer layers[] = {FULL(6, REF_RELU), FULL(2, REF_LINEAR), SOFTMAX};
    pair p;
    cp_graph *g = malloc(sizeof *g);
    double zero[6] = {0};
    size_t kept[6] = {0};
    (void)state;
    pair_open(&p, 2, 1, 1, layers, COUNT(layers), 1, true);
    assert_int_equal(cp_graph_choose(p.model, zero, zero, kept, 60, g), CP_EINPUT);
    zero[1] = 1;
    assert_int_equal(cp_graph_choose(p.model, zero, zero, kept, 3, g), CP_EINPUT);
    check(cp_graph_choose(p.model, zero, zero, kept, 4, g));
    add_to_1(g);
    free(g);
    pair_close(&p);
}

/* The second path holds a thousandth of what the first does, and shares its best channel: its own two best are nodes all the same. */
static void two_paths_in_turn(void **state)
{
    static const ref_layer layers[] = {FULL(40, REF_RELU), FULL(2, REF_LINEAR), SOFTMAX};
    pair p;
    cp_graph *g = malloc(sizeof *g);
    double first[40] = {0}, second[40] = {0}, all[40];
    size_t kept[40] = {0};
    (void)state;
    pair_open(&p, 2, 1, 1, layers, COUNT(layers), 1, true);
    first[3] = 9, first[5] = 8, first[7] = 7, first[11] = 6;
    second[3] = .004, second[30] = .003, second[31] = .002, second[32] = .001;
    kept[30] = 4;
    for (int c = 0; c < 40; c++)
        all[c] = first[c] + second[c] + .5;
    check(cp_graph_choose_two(p.model, (const double *const[]){first, second}, all, kept, 60, g));
    add_to_1(g);
    int n = 0;
    for (int i = 0; i < g->n; i++)
        n += g->node[i].kind == CP_NODE_CHANNEL;
    assert_int_equal(n, 5);
    assert_true(find(g, 0, 3) > 0 && find(g, 0, 5) > 0 && find(g, 0, 7) > 0 && find(g, 0, 30) > 0 && find(g, 0, 31) > 0);
    assert_int_equal(g->node[find(g, 0, 30)].kept, 4);
    assert_float_equal(g->node[find(g, 0, 3)].score, 9.004, 1e-12);
    check(cp_graph_choose_two(p.model, (const double *const[]){first, second}, all, kept, 5, g)); /* room for two of them */
    add_to_1(g);
    assert_true(find(g, 0, 3) > 0 && find(g, 0, 30) > 0 && find(g, 0, 5) < 0);
    free(g);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planted_path),
        cmocka_unit_test(edges_add_to_scores),
        cmocka_unit_test(many_layers_fold),
        cmocka_unit_test(nothing_scores),
        cmocka_unit_test(two_paths_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

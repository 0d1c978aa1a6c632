/* Cut paths and the sparsest uncut selection, on graphs made by hand and against brute force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path/path.h"

enum { MAX_LAYERS = 12, PER_LAYER = 10 };

/* Layers with their sources; gates get PER_LAYER neurons each. */
typedef struct {
    int n, gates;
    cp_cut_layer layer[MAX_LAYERS];
    int sources[MAX_LAYERS][2];
    cp_neuron_layer table[MAX_LAYERS];
    cp_path *path;
} graph;

static void add(graph *g, bool gate, int first, int second)
{
    int i = g->n++;
    g->sources[i][0] = first;
    g->sources[i][1] = second;
    g->layer[i] = (cp_cut_layer){-1, second == -2 ? 1 : 2, g->sources[i]};
    if (gate) {
        int l = g->gates++;
        g->layer[i].neuron = l;
        g->table[l] = (cp_neuron_layer){.layer = i, .c = PER_LAYER, .h = 1, .w = 1, .count = PER_LAYER,
                                        .offset = (size_t)l * PER_LAYER};
        snprintf(g->table[l].name, sizeof g->table[l].name, "layer_%03d_convolutional", i);
    }
}

static void finish(graph *g) { assert_int_equal(cp_path_create_over(NULL, g->table, g->gates, &g->path), CP_OK); }

/* A residual network: 0 conv; 1 conv, 2 conv (linear), 3 shortcut of 2 and 0 (activated); 4 linear logits. */
static void make_residual(graph *g)
{
    memset(g, 0, sizeof *g);
    add(g, true, -1, -2);
    add(g, true, 0, -2);
    add(g, false, 1, -2);
    add(g, true, 2, 0);
    add(g, false, 3, -2);
    finish(g);
}

static cp_cut find(const graph *g, const float *score, int layer, bool below)
{
    cp_cut cut;
    cp_cut_start start = {layer, below};
    assert_int_equal(cp_path_find_cut_in(g->layer, g->n, &start, 1, g->path, score, &cut), CP_OK);
    return cut;
}

static void test_names_the_layer(void **state)
{
    (void)state;
    graph g;
    make_residual(&g);
    cp_cut cut = find(&g, NULL, 4, false);
    assert_true(cut.cut); /* an empty path: layers 3 and 0 stand on every way, 3 is met first */
    assert_int_equal(cut.layer, 3);
    assert_true(isnan(cut.sparsest_uncut));

    cp_path_fill(g.path, true);
    cut = find(&g, NULL, 4, false);
    assert_false(cut.cut);
    assert_int_equal(cut.layer, -1);

    for (size_t i = 10; i < 20; i++) /* layer 1 has a way round it */
        cp_path_set(g.path, i, false);
    assert_false(find(&g, NULL, 4, false).cut);
    for (size_t i = 0; i < 10; i++)
        cp_path_set(g.path, i, false);
    cut = find(&g, NULL, 4, false);
    assert_true(cut.cut);
    assert_int_equal(cut.layer, 0);
    cp_path_free(g.path);
}

/* Two branches from the input, each with an empty layer: no layer stands on every way. */
static void test_two_branches(void **state)
{
    (void)state;
    graph g = {0};
    add(&g, true, -1, -2);
    add(&g, true, -1, -2);
    add(&g, true, 1, -2);
    add(&g, false, 0, 2);
    finish(&g);
    cp_path_set(g.path, 20, true); /* layer 2 open, 1 below it and 0 empty */
    cp_cut cut = find(&g, NULL, 3, false);
    assert_true(cut.cut);
    assert_int_equal(cut.layer, 1);
    cp_path_set(g.path, 10, true);
    assert_false(find(&g, NULL, 3, false).cut);
    cp_path_free(g.path);
}

static void test_response_in_a_neuron_layer(void **state)
{
    (void)state;
    graph g;
    make_residual(&g);
    /* The response is a unit of layer 3: that layer is no gate for it, and the logits do not matter. */
    for (size_t i = 0; i < 20; i++)
        cp_path_set(g.path, i, true);
    assert_false(find(&g, NULL, 3, true).cut);
    assert_true(find(&g, NULL, 4, false).cut);
    /* A unit of layer 0 crosses nothing: even the empty path is not cut, and any K will do. */
    cp_path_fill(g.path, false);
    float score[30] = {0};
    cp_cut cut = find(&g, score, 0, true);
    assert_false(cut.cut);
    assert_int_equal(cp_path_keep_count(30, cut.sparsest_uncut), 1);
    assert_true(isnan(find(&g, score, 4, false).sparsest_uncut)); /* no score is positive */
    cp_path_free(g.path);
}

static void test_several_responses(void **state)
{
    (void)state;
    graph g = {0};
    add(&g, true, -1, -2);
    add(&g, true, 0, -2);
    add(&g, false, 1, -2); /* first head */
    add(&g, true, 0, -2);
    add(&g, false, 3, -2); /* second head */
    finish(&g);
    cp_cut_start both[2] = {{2, false}, {4, false}};
    float score[30] = {0};
    score[3] = 9;            /* layer 0 opens at K = 1 */
    score[12] = 2;           /* layer 1 at K = 4 */
    score[27] = 5;           /* layer 3 at K = 2 */
    score[5] = 3;
    cp_cut cut;
    assert_int_equal(cp_path_find_cut_in(g.layer, g.n, both, 2, g.path, score, &cut), CP_OK);
    assert_true(cut.cut);
    assert_int_equal(cut.layer, 0);
    assert_int_equal(cp_path_keep_count(30, cut.sparsest_uncut), 2);
    assert_int_equal(cp_path_find_cut_in(g.layer, g.n, both, 1, g.path, score, &cut), CP_OK);
    assert_int_equal(cut.layer, 1);
    assert_int_equal(cp_path_keep_count(30, cut.sparsest_uncut), 4);
    cp_path_free(g.path);
}

static uint32_t random_state = 7;
static uint32_t draw(void) { return random_state = random_state * 1664525u + 1013904223u, random_state >> 8; }

/* Every K of random graphs with many ties: the selection of exactly that many is cut below the one named, and not cut
 * from there on. */
static void test_sparsest_uncut(void **state)
{
    (void)state;
    int never = 0, sometimes = 0;
    for (int round = 0; round < 200; round++) {
        graph g = {0};
        for (int i = 0; i < MAX_LAYERS; i++) {
            int first = i ? (int)(draw() % (unsigned)i) - (draw() % 8 == 0) : -1;
            add(&g, draw() % 4 != 0, first, draw() % 2 ? -2 : (int)(draw() % ((unsigned)i + 1)) - 1);
        }
        if (!g.gates)
            continue;
        finish(&g);
        size_t n = (size_t)g.gates * PER_LAYER;
        float score[MAX_LAYERS * PER_LAYER];
        for (int l = 0; l < g.gates; l++)
            for (int i = 0, top = (int)(draw() % 6); i < PER_LAYER; i++)
                score[l * PER_LAYER + i] = draw() % 3 ? 0 : (float)(draw() % (unsigned)(top + 1));
        size_t named = 0;
        for (size_t k = 1; k <= n; k++) {
            assert_int_equal(cp_path_select(g.path, score, 1 - (double)k / (double)n, 0, NULL), CP_OK);
            cp_cut cut = find(&g, score, MAX_LAYERS - 1, false);
            if (k == 1)
                named = isnan(cut.sparsest_uncut) ? n + 1 : cp_path_keep_count(n, cut.sparsest_uncut);
            if (k == 1 && g.layer[MAX_LAYERS - 1].neuron < 0 && !cut.cut)
                assert_int_equal(named, 1);
            if (cut.cut != (k < named))
                fail_msg("round %d: at K = %zu the path is %s, the sparsest uncut one has %zu", round, k,
                         cut.cut ? "cut" : "not cut", named);
            assert_true(!cut.cut || cp_path_layer_count(g.path, g.layer[cut.layer].neuron) == 0);
        }
        never += named == n + 1;
        sometimes += named > 1 && named <= n;
        cp_path_free(g.path);
    }
    assert_true(never > 5 && sometimes > 50); /* the graphs do try both */
}

/* The value given keeps the neuron also where 1 - K/N is not exact. */
static void test_rounding(void **state)
{
    (void)state;
    graph g = {0};
    add(&g, true, -1, -2);
    finish(&g);
    float *score = calloc(200000, sizeof *score);
    cp_path_free(g.path);
    for (size_t n = 3; n < 200000; n = n * 7 / 5) {
        g.table[0].count = g.table[0].c = n;
        finish(&g);
        for (size_t i = 0; i < n; i++)
            score[i] = i < n / 2 ? 1 : 0;
        cp_cut cut = find(&g, score, 0, false);
        cp_selection selection;
        assert_int_equal(cp_path_select(g.path, score, cut.sparsest_uncut, 0, &selection), CP_OK);
        assert_int_equal(selection.kept, 1);
        cp_path_free(g.path);
    }
    for (size_t n = 1; n < 3000; n++)
        for (size_t k = 1; k <= n; k += 1 + n / 50)
            assert_true(cp_path_keep_count(n, 1 - (double)k / (double)n) == k);
    free(score);
}

static void test_refuses_scores(void **state)
{
    (void)state;
    graph g;
    make_residual(&g);
    float score[30] = {[12] = NAN};
    cp_cut cut;
    cp_cut_start start = {4, false};
    assert_int_equal(cp_path_find_cut_in(g.layer, g.n, &start, 1, g.path, score, &cut), CP_EINTERNAL);
    assert_non_null(strstr(cp_error(), "layer_001_convolutional, neuron 2 is "));
    cp_path_free(g.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_the_layer),   cmocka_unit_test(test_two_branches),
        cmocka_unit_test(test_response_in_a_neuron_layer), cmocka_unit_test(test_several_responses),
        cmocka_unit_test(test_sparsest_uncut),    cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_refuses_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

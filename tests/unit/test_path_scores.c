/* Selection and cut from scores that a frame holds, against the same from an array of them: paths, thresholds, sums and
 * the sparsest path that is not cut, on networks small and large enough to be selected by a sample. */
#include "path/scores.h"
#include "score_net.h"

static const double sparsities[] = {.95, .99, .5};
enum { N = sizeof sparsities / sizeof *sparsities };

static void same_selection(const cp_selection *a, const cp_selection *b)
{
    assert_memory_equal(&a->threshold, &b->threshold, sizeof a->threshold);
    assert_int_equal(a->kept, b->kept);
    assert_int_equal(a->asked, b->asked);
    assert_true(a->sparsity == b->sparsity);
    assert_true(a->mass == b->mass);
}

static void same_path(const cp_path *a, const cp_path *b, size_t neurons)
{
    for (size_t i = 0; i < neurons; i++)
        if (cp_path_get(a, i) != cp_path_get(b, i))
            fail_msg("neuron %zu is on one of two equal paths", i);
}

static void same_cut(const cp_cut *a, const cp_cut *b)
{
    assert_int_equal(a->cut, b->cut);
    assert_int_equal(a->layer, b->layer);
    assert_true(isnan(a->sparsest_uncut) ? isnan(b->sparsest_uncut) : a->sparsest_uncut == b->sparsest_uncut);
}

/* The cut's sparsest path, from its meaning: that sparsity is not cut, and with one neuron less it is. */
static void check_sparsest(const pair *p, const float *score, const cp_response *response, double sparsest, cp_path *path)
{
    cp_selection selection;
    cp_cut cut;
    check(cp_path_select(path, score, sparsest, 0, &selection));
    check(cp_path_find_cut(path, NULL, response, &cut));
    assert_false(cut.cut);
    double less = 1 - ((double)selection.kept - 1) / (double)p->neurons;
    if (selection.kept < 2)
        return;
    check(cp_path_select(path, score, less, 0, &selection));
    check(cp_path_find_cut(path, NULL, response, &cut));
    assert_true(cut.cut);
}

static void check_network(const pair *p, const cp_response *response)
{
    float *score = malloc(p->neurons * sizeof *score);
    cp_path *found[N], *expected;
    cp_selection selections[N], selection;
    cp_scores *scores;
    cp_cut cut[2];
    assert_non_null(score);
    check(cp_score_mct(p->frame, 0, response, false, score));
    check(cp_path_create(p->model, &expected));
    for (int i = 0; i < N; i++)
        check(cp_path_create(p->model, &found[i]));
    check(cp_path_mct(p->frame, 0, response, sparsities, N, found, selections));
    for (int i = 0; i < N; i++) {
        check(cp_path_select(expected, score, sparsities[i], 0, &selection));
        same_selection(&selection, &selections[i]);
        same_path(found[i], expected, p->neurons);
    }
    check(cp_scores_mct(p->frame, 0, response, NULL, &scores));
    for (int i = 0; i < 2; i++) { /* the second uses what the first has found */
        check(cp_scores_select_mass(scores, i ? .5 : .8, 0, found[0], selections));
        check(cp_path_select_mass(expected, score, i ? .5 : .8, 0, &selection));
        same_selection(&selection, selections);
        same_path(found[0], expected, p->neurons);
        check(cp_scores_find_cut(scores, found[0], response, &cut[0]));
        check(cp_path_find_cut(expected, score, response, &cut[1]));
        same_cut(&cut[0], &cut[1]);
    }
    check_sparsest(p, score, response, cut[0].sparsest_uncut, expected);
    cp_scores_free(scores);
    for (int i = 0; i < N; i++)
        cp_path_free(found[i]);
    cp_path_free(expected);
    free(score);
}

/* A response of a class, and one of units of a hidden neuron layer, which do not score themselves. */
static void check_size(int h, int w)
{
    static const ref_layer layers[] = {CONV(24, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0), CONV(32, 3, 1, 1, REF_RELU),
                                       CONV(32, 3, 1, 1, REF_LEAKY), ADD(2, REF_RELU), FULL(10, REF_LINEAR)};
    pair p;
    cp_response response, hidden = {.n = 2, .unit = {{.layer = 3, .index = 70, .weight = 1},
                                                     {.layer = 3, .index = 2000, .weight = -2}}};
    pair_open(&p, 3, h, w, layers, sizeof layers / sizeof *layers, 3, true);
    check(cp_response_unit(p.model, 5, 3, &response));
    for (int threads = 1; threads <= 2; threads++) {
        cp_set_threads(threads);
        check_network(&p, &response);
        check_network(&p, &hidden);
    }
    pair_close(&p);
}

static void test_small(void **unused)
{
    (void)unused;
    check_size(20, 18);
}

static void test_large(void **unused)
{
    (void)unused;
    check_size(64, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small), cmocka_unit_test(test_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

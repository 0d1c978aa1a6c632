/* Selection while the scores come, against the selection from an array of them: the same paths and thresholds, whatever
 * the order, with ties, zeros and denormals, by vectors and in plain C; and NeuronMCT with it on networks. */
#include <float.h>

#include "path/best.h"
#include "score_net.h"

static const size_t sizes[] = {1, 63, 64, 65, 1000, 70001, 131072, 7, 40000};
enum { LAYERS = sizeof sizes / sizeof *sizes };

static cp_neuron_layer table[LAYERS];
static size_t neurons;

static int make_table(void **state)
{
    (void)state;
    for (int l = 0; l < LAYERS; l++) {
        table[l] = (cp_neuron_layer){.layer = l, .c = sizes[l], .h = 1, .w = 1, .count = sizes[l], .offset = neurons};
        neurons += sizes[l];
    }
    return 0;
}

static uint32_t state = 1;
static uint32_t draw(void) { return (state = state * 1664525u + 1013904223u) >> 8; }

/* Kinds of scores. */
enum { EVEN, FEW_VALUES, MOSTLY_ZERO, DENORMAL, RISING, FALLING, KINDS };

static float score_of(int kind, size_t i)
{
    float x = (float)draw() / (1 << 24);
    switch (kind) {
    case FEW_VALUES: return (float)(draw() % 40 == 0);
    case MOSTLY_ZERO: return draw() % 300 ? 0 : x;
    case DENORMAL: return x * 1e-40f;
    case RISING: return (float)i * 1e-5f + x;
    case FALLING: return (float)(neurons - i) * 1e-5f + x;
    default: return x * x * x;
    }
}

/* Parts of different lengths, first layer first or last layer first. */
static void take_all(cp_best *best, const float *a, const float *g, bool backwards, const size_t *except)
{
    for (int step = 0; step < LAYERS; step++) {
        int l = backwards ? LAYERS - 1 - step : step;
        for (size_t i = 0, n; i < table[l].count; i += n) {
            n = 64 * (1 + draw() % 80);
            size_t count = n < table[l].count - i ? n : table[l].count - i, at = table[l].offset + i;
            cp_best_take(best, l, i, a + at, g + at, count, except, l == 5 ? 2 : 0);
        }
    }
}

static void compare(const cp_path *found, const cp_path *expected, const char *what, int kind, double sparsity)
{
    size_t words = expected->first[expected->n_layers];
    if (memcmp(found->words, expected->words, words * sizeof *found->words))
        fail_msg("%s, kind %d, sparsity %g: another path than from the array", what, kind, sparsity);
}

static void check_kind(int kind, bool backwards, bool plain)
{
    static const double sparsities[] = {.95, .99, .999, .99999};
    static const size_t except[] = {0, 69000};
    float *a = malloc(neurons * sizeof *a), *g = malloc(neurons * sizeof *g), *score = malloc(neurons * sizeof *score);
    cp_path *found, *expected;
    cp_best *best;
    assert_true(a && g && score);
    for (size_t i = 0; i < neurons; i++) {
        a[i] = score_of(kind, i) * (draw() % 2 ? 1 : -1);
        g[i] = kind == FEW_VALUES ? 2 : (float)(1 + draw() % 8);
        score[i] = fabsf(a[i] * g[i]);
    }
    for (int i = 0; i < 2; i++) {
        a[table[5].offset + except[i]] = g[table[5].offset + except[i]] = 1000;
        score[table[5].offset + except[i]] = 0;
    }
    assert_int_equal(cp_path_create_over(NULL, table, LAYERS, &found), CP_OK);
    assert_int_equal(cp_path_create_over(NULL, table, LAYERS, &expected), CP_OK);
    assert_int_equal(cp_best_create(found, cp_path_keep_count(neurons, sparsities[0]), &best), CP_OK);
    assert_non_null(best);
    if (plain)
        cp_best_in_plain_c(best);
    take_all(best, a, g, backwards, except);
    for (int i = 0; i < 4; i++) {
        cp_selection selection;
        size_t kept;
        float threshold;
        assert_int_equal(cp_path_select(expected, score, sparsities[i], 0, &selection), CP_OK);
        cp_path_fill(found, true);
        if (!cp_best_select(best, selection.asked, found, &kept, &threshold))
            fail_msg("kind %d: not selected", kind);
        compare(found, expected, plain ? "plain C" : "vectors", kind, sparsities[i]);
        assert_int_equal(kept, selection.kept);
        assert_memory_equal(&threshold, &selection.threshold, sizeof threshold);
    }
    cp_best_free(best);
    cp_path_free(found), cp_path_free(expected);
    free(a), free(g), free(score);
}

static void test_as_from_the_array(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < KINDS; kind++)
        for (int way = 0; way < 4; way++)
            check_kind(kind, way & 1, way & 2);
}

/* What it cannot do it says: everything equal, and numbers that are none. */
static void test_refusals(void **unused)
{
    (void)unused;
    static const float odd[] = {INFINITY, NAN};
    for (int i = 0; i < 3; i++) {
        float *a = malloc(neurons * sizeof *a), threshold;
        size_t kept, none[2] = {0};
        cp_path *path;
        cp_best *best;
        assert_non_null(a);
        for (size_t k = 0; k < neurons; k++)
            a[k] = 1;
        if (i < 2)
            a[neurons - 5] = odd[i];
        assert_int_equal(cp_path_create_over(NULL, table, LAYERS, &path), CP_OK);
        assert_int_equal(cp_best_create(path, 10, &best), CP_OK);
        take_all(best, a, a, false, none);
        assert_false(cp_best_select(best, 10, path, &kept, &threshold));
        cp_best_free(best);
        assert_int_equal(cp_best_create(path, neurons / 2, &best), CP_OK);
        assert_null(best); /* a large part of the network */
        assert_int_equal(cp_best_create(path, 0, &best), CP_OK);
        a[neurons - 5] = 0;
        cp_best_take(best, LAYERS - 1, 0, a + table[LAYERS - 1].offset, a, 64, none, 0);
        assert_true(cp_best_select(best, 0, path, &kept, &threshold));
        assert_int_equal(kept, 0);
        assert_int_equal(cp_path_count(path), 0);
        cp_best_free(best);
        cp_path_free(path);
        free(a);
    }
}

static void check_network(const pair *p, const cp_response *response)
{
    static const double sparsities[] = {.95, .99, .5};
    float *score = malloc(p->neurons * sizeof *score);
    cp_path *found[3], *expected;
    cp_selection selections[3], selection;
    assert_non_null(score);
    check(cp_score_mct(p->frame, 0, response, false, score));
    check(cp_path_create(p->model, &expected));
    for (int i = 0; i < 3; i++)
        check(cp_path_create(p->model, &found[i]));
    for (int n = 2; n <= 3; n++) { /* the third takes the array */
        check(cp_path_mct(p->frame, 0, response, sparsities, n, found, selections));
        for (int i = 0; i < n; i++) {
            check(cp_path_select(expected, score, sparsities[i], 0, &selection));
            compare(found[i], expected, "network", n, sparsities[i]);
            assert_memory_equal(&selection.threshold, &selections[i].threshold, sizeof selection.threshold);
            assert_int_equal(selection.kept, selections[i].kept);
            assert_int_equal(selection.asked, selections[i].asked);
            assert_true(selection.sparsity == selections[i].sparsity);
        }
    }
    for (int i = 0; i < 3; i++)
        cp_path_free(found[i]);
    cp_path_free(expected);
    free(score);
}

/* A response of a class, and one of units of a hidden neuron layer, which do not score themselves. */
static void test_networks(void **unused)
{
    (void)unused;
    static const ref_layer layers[] = {CONV(24, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0), CONV(32, 3, 1, 1, REF_RELU),
                                       CONV(32, 3, 1, 1, REF_LEAKY), ADD(2, REF_RELU), FULL(10, REF_LINEAR)};
    pair p;
    pair_open(&p, 3, 40, 36, layers, sizeof layers / sizeof *layers, 3, true);
    cp_response response;
    check(cp_response_unit(p.model, 5, 3, &response));
    for (int threads = 1; threads <= 2; threads++) {
        cp_set_threads(threads);
        check_network(&p, &response);
        cp_response hidden = {.n = 2, .unit = {{.layer = 3, .index = 70, .weight = 1}, {.layer = 3, .index = 3000,
                                                                                        .weight = -2}}};
        check_network(&p, &hidden);
    }
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_from_the_array),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_networks),
    };
    return cmocka_run_group_tests(tests, make_table, NULL);
}

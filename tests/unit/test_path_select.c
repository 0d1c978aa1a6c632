/* Network-wide selection against a plain sort, its guarantees, and the set algebra of paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "path/select.h"

/* Layers of these sizes; words that start anew, a whole word, less and more than one, and several blocks. */
static const size_t sizes[] = {1, 63, 64, 65, 1000, 70001, 131072, 7};
enum { LAYERS = sizeof sizes / sizeof *sizes };

static cp_neuron_layer table[LAYERS];
static size_t neurons;

static int make_table(void **state)
{
    (void)state;
    neurons = 0;
    for (int l = 0; l < LAYERS; l++) {
        table[l] = (cp_neuron_layer){.layer = 2 * l, .c = sizes[l], .h = 1, .w = 1, .count = sizes[l],
                                     .offset = neurons};
        snprintf(table[l].name, sizeof table[l].name, "layer_%03d_convolutional", 2 * l);
        neurons += sizes[l];
    }
    return 0;
}

static uint64_t seed = 1;
static uint32_t draw(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33);
}

static cp_path *new_path(void)
{
    cp_path *path;
    assert_int_equal(cp_path_create_over(NULL, table, LAYERS, &path), CP_OK);
    return path;
}

static const float *compared;
static int by_rank(const void *a, const void *b)
{
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    if (compared[i] != compared[j])
        return compared[i] > compared[j] ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* Neurons in the order of selection. */
static size_t *sorted(const float *score)
{
    size_t *order = malloc(neurons * sizeof *order);
    for (size_t i = 0; i < neurons; i++)
        order[i] = i;
    compared = score;
    qsort(order, neurons, sizeof *order, by_rank);
    return order;
}

enum { KINDS = 7 };

/* Scores: with many ties, zeros, denormals, a narrow range, the full range of floats, all equal, a few clumps of large
 * ones, which a sample does not find. */
static float *draw_scores(int kind)
{
    float *score = malloc(neurons * sizeof *score);
    for (size_t i = 0; i < neurons; i++) {
        float u = (float)draw() / 2147483648.f;
        switch (kind) {
        case 0: score[i] = (float)(draw() % 17); break;
        case 1: score[i] = draw() % 3 ? 0 : u; break;
        case 2: score[i] = (float)(draw() % 5) * FLT_TRUE_MIN * (float)(1 << draw() % 20); break;
        case 3: score[i] = 1 + u * 1e-5f; break;
        case 4: score[i] = ldexpf(u, (int)(draw() % 270) - 148); break;
        case 5: score[i] = draw() % 2 ? .25f : -0.f; break;
        default: score[i] = i % 30011 < 48 ? 1 + u : 1e-3f * u; break;
        }
    }
    return score;
}

static void test_matches_a_sort(void **state)
{
    (void)state;
    static const double sparsities[] = {0, .1, .5, .77, .9, .99, .999, .99999, .9999999};
    cp_path *path = new_path();
    for (int kind = 0; kind < KINDS; kind++) {
        float *score = draw_scores(kind);
        size_t *order = sorted(score), positive = 0;
        while (positive < neurons && score[order[positive]] > 0)
            positive++;
        for (size_t s = 0; s < sizeof sparsities / sizeof *sparsities; s++) {
            cp_selection selection;
            cp_path_fill(path, true);
            assert_int_equal(cp_path_select(path, score, sparsities[s], 0, &selection), CP_OK);
            size_t k = (size_t)round((1 - sparsities[s]) * (double)neurons), kept = k < positive ? k : positive;
            assert_int_equal(selection.asked, k);
            assert_int_equal(selection.kept, kept);
            assert_int_equal(cp_path_count(path), kept);
            assert_true(selection.sparsity == 1 - (double)kept / (double)neurons);
            for (size_t i = 0; i < neurons; i++)
                if (cp_path_get(path, order[i]) != (i < kept))
                    fail_msg("kind %d, sparsity %g: rank %zu is wrong", kind, sparsities[s], i);
            assert_true(selection.threshold == (kept ? score[order[kept - 1]] : 0));
        }
        free(order);
        free(score);
    }
    cp_path_free(path);
}

/* Signs do not count, neither in the choice nor in what is reported. */
static void test_signs_do_not_count(void **state)
{
    (void)state;
    cp_path *plain = new_path(), *with_signs = new_path();
    for (int kind = 0; kind < KINDS; kind++) {
        float *score = draw_scores(kind);
        cp_selection a, b;
        assert_int_equal(cp_path_select(plain, score, .77, .001, &a), CP_OK);
        for (size_t i = 0; i < neurons; i++)
            score[i] = draw() % 2 ? -score[i] : score[i];
        assert_int_equal(cp_path_select(with_signs, score, .77, .001, &b), CP_OK);
        assert_memory_equal(plain->words, with_signs->words, plain->first[plain->n_layers] * sizeof *plain->words);
        assert_true(a.threshold == b.threshold && a.kept == b.kept);
        free(score);
    }
    cp_path_free(plain);
    cp_path_free(with_signs);
}

/* The fewest whose sum is the share asked for: no path of the first neurons in the order that is shorter has it. */
static void test_mass(void **state)
{
    (void)state;
    static const double masses[] = {1e-9, .1, .5, .8, .95, 1};
    cp_path *path = new_path();
    double *sum = malloc((neurons + 1) * sizeof *sum);
    for (int kind = 0; kind < KINDS; kind++) {
        float *score = draw_scores(kind);
        size_t *order = sorted(score);
        sum[0] = 0;
        for (size_t i = 0; i < neurons; i++)
            sum[i + 1] = sum[i] + (double)score[order[i]];
        double all = sum[neurons];
        for (size_t i = 0; i < neurons; i += 3)
            score[i] = -score[i];
        for (size_t m = 0; m < sizeof masses / sizeof *masses; m++) {
            cp_selection selection;
            assert_int_equal(cp_path_select_mass(path, score, masses[m], 0, &selection), CP_OK);
            size_t kept = selection.kept;
            assert_true(kept > 0 && selection.asked == kept && cp_path_count(path) == kept);
            assert_true(sum[kept] >= masses[m] * all * (1 - 1e-9));
            assert_true(sum[kept - 1] <= masses[m] * all * (1 + 1e-9));
            assert_true(fabs(selection.mass - sum[kept] / all) < 1e-9);
            assert_true(selection.threshold == fabsf(score[order[kept - 1]]));
            for (size_t i = 0; i < neurons; i++)
                if (cp_path_get(path, order[i]) != (i < kept))
                    fail_msg("kind %d, mass %g: rank %zu is wrong", kind, masses[m], i);
            double sparsity = selection.sparsity;
            assert_int_equal(cp_path_select(path, score, sparsity, 0, &selection), CP_OK);
            assert_true(selection.kept == kept && fabs(selection.mass - sum[kept] / all) < 1e-9);
            assert_int_equal(cp_path_select_mass(path, score, masses[m], .01, &selection), CP_OK);
            assert_true(selection.kept == cp_path_count(path) && selection.kept >= kept && selection.mass > 0);
        }
        free(order);
        free(score);
    }
    float *none = calloc(neurons, sizeof *none);
    cp_selection selection;
    assert_int_equal(cp_path_select_mass(path, none, .8, 0, &selection), CP_OK);
    assert_true(selection.kept == 0 && isnan(selection.mass) && cp_path_count(path) == 0);
    const double refused[] = {0, -.1, 1.1, NAN};
    for (int i = 0; i < 4; i++)
        assert_int_equal(cp_path_select_mass(path, none, refused[i], 0, NULL), CP_EINPUT);
    free(none);
    free(sum);
    cp_path_free(path);
}

static void test_threads_do_not_matter(void **state)
{
    (void)state;
    enum { COUNT = 700003 }; /* so large that threads are woken */
    const cp_neuron_layer layer = {.c = COUNT, .h = 1, .w = 1, .count = COUNT};
    float *score = malloc(COUNT * sizeof *score);
    for (int kind = 0; kind < 2; kind++) { /* by a sample; by digits, with ties */
        cp_path *one, *many;
        for (size_t i = 0; i < COUNT; i++)
            score[i] = kind ? (float)(draw() % 17) : (float)draw();
        assert_int_equal(cp_path_create_over(NULL, &layer, 1, &one), CP_OK);
        assert_int_equal(cp_path_create_over(NULL, &layer, 1, &many), CP_OK);
        cp_set_threads(1);
        assert_int_equal(cp_path_select(one, score, .7, 0, NULL), CP_OK);
        cp_set_threads(4);
        assert_int_equal(cp_path_select(many, score, .7, 0, NULL), CP_OK);
        cp_set_threads(0);
        assert_memory_equal(one->words, many->words, one->first[1] * sizeof *one->words);
        assert_int_equal(cp_path_count(one), cp_path_keep_count(COUNT, .7));
        cp_path_free(one);
        cp_path_free(many);
    }
    free(score);
}

static cp_select_outcome try_sampled(const cp_select_block *block, cp_select_goal *goal, cp_select_goal asked)
{
    *goal = asked;
    cp_score_find_pieces(block->score, block->count, (cp_score_piece *)block->pieces);
    return cp_select_sampled(block, 1, goal);
}

/* When the sample serves and when it must not. */
static void test_sampled(void **state)
{
    (void)state;
    enum { COUNT = 1 << 16 };
    float *score = malloc(COUNT * sizeof *score);
    uint64_t *words = malloc(COUNT / 8);
    cp_score_piece *pieces = malloc(COUNT / CP_SCORE_PIECE * sizeof *pieces);
    const cp_select_block block = {score, words, COUNT, pieces};
    cp_select_goal goal;
    float threshold;
    for (size_t i = 0; i < COUNT; i++)
        score[i] = 1 + (float)(i * 40503 % COUNT); /* a permutation of 1..COUNT */
    assert_int_equal(try_sampled(&block, &goal, (cp_select_goal){.k = 1000}), CP_SELECTED);
    memcpy(&threshold, &goal.value, sizeof threshold);
    assert_true(threshold == COUNT - 999);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(words[i / 64] >> i % 64 & 1, score[i] >= threshold);
    for (size_t i = 0; i < COUNT; i++)
        score[i] = i % 3 ? 0 : score[i];
    assert_int_equal(try_sampled(&block, &goal, (cp_select_goal){.k = COUNT / 2}), CP_NOT_SELECTED); /* so many are not positive */
    assert_int_equal(try_sampled(&block, &goal, (cp_select_goal){.k = COUNT + 1}), CP_NOT_SELECTED);
    assert_int_equal(try_sampled(&block, &goal, (cp_select_goal){.k = 1000}), CP_SELECTED);
    /* By mass the sample serves too, and nothing falls back unseen. */
    assert_int_equal(try_sampled(&block, &goal, (cp_select_goal){.mass = .8}), CP_SELECTED);
    assert_true(goal.held >= .8 * goal.total && goal.held - COUNT < .8 * goal.total);
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        float saved = score[COUNT - 1];
        score[COUNT - 1] = bad[k];
        assert_int_equal(try_sampled(&block, &goal, (cp_select_goal){.k = 1000}), CP_SUSPICIOUS_SCORES);
        score[COUNT - 1] = saved;
    }
    for (size_t i = 0; i < COUNT; i++)
        score[i] = .5f;
    assert_int_equal(try_sampled(&block, &goal, (cp_select_goal){.k = 1000}), CP_NOT_SELECTED);
    free(pieces);
    free(words);
    free(score);
}

static void test_nested(void **state)
{
    (void)state;
    static const double floors[] = {0, .02};
    for (int kind = 0; kind < 5; kind++) {
        float *score = draw_scores(kind);
        for (int f = 0; f < 2; f++) {
            cp_path *sparse = new_path(), *dense = new_path();
            double last = .9999;
            assert_int_equal(cp_path_select(sparse, score, last, floors[f], NULL), CP_OK);
            for (double sparsity = .95; sparsity > 0; sparsity -= .07) {
                assert_int_equal(cp_path_select(dense, score, sparsity, floors[f], NULL), CP_OK);
                size_t both, either;
                cp_path_overlap(sparse, dense, -1, &both, &either);
                assert_int_equal(both, cp_path_count(sparse));
                cp_path *swap = sparse;
                sparse = dense;
                dense = swap;
            }
            cp_path_free(sparse);
            cp_path_free(dense);
        }
        free(score);
    }
}

static void test_floor(void **state)
{
    (void)state;
    cp_path *path = new_path();
    cp_selection selection;
    float *score = calloc(neurons, sizeof *score);
    /* Layer 6 outshines all; layer 4 is weak, layer 3 has five positive scores, the others none. */
    for (size_t i = 0; i < sizes[6]; i++)
        score[table[6].offset + i] = 10 + (float)(i % 100);
    for (size_t i = 0; i < sizes[4]; i++)
        score[table[4].offset + i] = 1e-6f * (float)(i + 1);
    for (size_t i = 0; i < 5; i++)
        score[table[3].offset + 13 * i] = 1e-9f;
    double sparsity = 1 - 500. / (double)neurons;

    assert_int_equal(cp_path_select(path, score, sparsity, 0, &selection), CP_OK);
    assert_int_equal(cp_path_layer_count(path, 6), 500);
    /* a share of .001: 132 of 131072 neurons, 1 of 1000, 1 of 65; the other 366 go to the best of the network */
    assert_int_equal(cp_path_select(path, score, sparsity, .001, &selection), CP_OK);
    assert_int_equal(selection.kept, 500);
    assert_int_equal(cp_path_layer_count(path, 6), 498);
    assert_int_equal(cp_path_layer_count(path, 4), 1);
    assert_true(cp_path_get(path, table[4].offset + 999));
    assert_int_equal(cp_path_layer_count(path, 3), 1);
    assert_true(cp_path_get(path, table[3].offset));
    assert_true(selection.threshold == 1e-9f);
    /* A floor above what was asked for wins: 13108 + 100 + 5 of the 7 that .1 of 65 would be; zeros are never kept. */
    assert_int_equal(cp_path_select(path, score, sparsity, .1, &selection), CP_OK);
    assert_int_equal(cp_path_layer_count(path, 6), 13108);
    assert_int_equal(cp_path_layer_count(path, 4), 100);
    assert_int_equal(cp_path_layer_count(path, 3), 5);
    assert_int_equal(cp_path_layer_count(path, 5), 0);
    assert_int_equal(selection.asked, 13108 + 100 + 5);
    assert_int_equal(selection.kept, 13108 + 100 + 5);
    cp_path_free(path);
    free(score);
}

static void test_refuses(void **state)
{
    (void)state;
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    cp_path *path = new_path();
    float *score = draw_scores(1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        float good = score[table[5].offset + 12345];
        score[table[5].offset + 12345] = bad[i];
        assert_int_equal(cp_path_select(path, score, .9, 0, NULL), CP_EINTERNAL);
        assert_non_null(strstr(cp_error(), "layer_010_convolutional, neuron 12345"));
        assert_int_equal(cp_path_select(path, score, .9, .1, NULL), CP_EINTERNAL);
        score[table[5].offset + 12345] = good;
    }
    static const double sparsities[] = {1, 1.5, -.1, NAN, INFINITY}, floors[] = {1.1, -1, -.1, NAN, INFINITY};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(cp_path_select(path, score, sparsities[i], 0, NULL), CP_EINPUT);
        assert_int_equal(cp_path_select(path, score, .5, floors[i], NULL), CP_EINPUT);
    }
    cp_path_free(path);
    free(score);
}

/* The library must not change with a processor that flushes denormals. */
static void test_flushing_processor(void **state)
{
    (void)state;
#if defined(__x86_64__)
    float *score = draw_scores(2);
    cp_path *plain = new_path(), *flushed = new_path();
    cp_selection a, b;
    assert_int_equal(cp_path_select(plain, score, .6, 0, &a), CP_OK);
    unsigned control = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(control | 0x8040);
    cp_status status = cp_path_select(flushed, score, .6, 0, &b);
    __builtin_ia32_ldmxcsr(control);
    assert_int_equal(status, CP_OK);
    assert_int_equal(a.kept, b.kept);
    assert_memory_equal(&a.threshold, &b.threshold, sizeof a.threshold);
    size_t both, either;
    cp_path_overlap(plain, flushed, -1, &both, &either);
    assert_int_equal(both, either);
    cp_path_free(plain);
    cp_path_free(flushed);
    free(score);
#else
    skip();
#endif
}

static void test_algebra(void **state)
{
    (void)state;
    cp_path *a = new_path(), *b = new_path(), *c;
    bool *in_a = calloc(neurons, 1), *in_b = calloc(neurons, 1);
    for (size_t i = 0; i < neurons; i++) {
        in_a[i] = draw() % 3 == 0;
        in_b[i] = draw() % 2;
        cp_path_set(a, i, in_a[i]);
        cp_path_set(b, i, true);
        cp_path_set(b, i, in_b[i]);
    }
    size_t both = 0, either = 0, n;
    for (size_t i = 0; i < neurons; i++) {
        both += in_a[i] && in_b[i];
        either += in_a[i] || in_b[i];
        assert_true(cp_path_get(a, i) == in_a[i]);
    }
    size_t got_both, got_either;
    assert_int_equal(cp_path_overlap(a, b, -1, &got_both, &got_either), CP_OK);
    assert_int_equal(got_both, both);
    assert_int_equal(got_either, either);
    for (int op = 0; op < 4; op++) {
        assert_int_equal(cp_path_copy(a, &c), CP_OK);
        cp_status status = op == 0 ? cp_path_and(c, b) : op == 1 ? cp_path_or(c, b) : op == 2 ? cp_path_minus(c, b)
                                                                                              : CP_OK;
        if (op == 3)
            cp_path_not(c);
        assert_int_equal(status, CP_OK);
        n = 0;
        for (size_t i = 0; i < neurons; i++) {
            bool expected = op == 0 ? in_a[i] && in_b[i] : op == 1 ? in_a[i] || in_b[i]
                          : op == 2 ? in_a[i] && !in_b[i] : !in_a[i];
            assert_true(cp_path_get(c, i) == expected);
            n += expected;
        }
        assert_int_equal(cp_path_count(c), n); /* spare bits stay 0 */
        size_t by_layer = 0;
        for (int l = 0; l < LAYERS; l++)
            by_layer += cp_path_layer_count(c, l);
        assert_int_equal(by_layer, n);
        cp_path_free(c);
    }
    cp_path_fill(a, true);
    assert_int_equal(cp_path_count(a), neurons);
    assert_false(cp_path_get(a, neurons));

    cp_neuron_layer other[LAYERS];
    memcpy(other, table, sizeof other);
    other[1].c = 21;
    other[1].h = 3;
    assert_int_equal(cp_path_create_over(NULL, other, LAYERS, &c), CP_OK);
    assert_int_equal(cp_path_and(a, c), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "63x1x1"));
    assert_non_null(strstr(cp_error(), "21x3x1"));
    cp_path_free(c);
    cp_path_free(a);
    cp_path_free(b);
    free(in_a);
    free(in_b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signs_do_not_count), cmocka_unit_test(test_mass),
        cmocka_unit_test(test_matches_a_sort),   cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_sampled),
        cmocka_unit_test(test_nested),           cmocka_unit_test(test_floor),
        cmocka_unit_test(test_refuses),          cmocka_unit_test(test_flushing_processor),
        cmocka_unit_test(test_algebra),
    };
    return cmocka_run_group_tests(tests, make_table, NULL);
}

/* RandomPruning's shares and the active subnet. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tiny_net.h"

static cp_model *open_net(const char *name)
{
    char cfg[200], weights[200];
    cp_model *model;
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    assert_int_equal(cp_model_open(cfg, weights, &model), CP_OK);
    return model;
}

static cp_path *random_path(const cp_model *model, uint64_t seed, double sparsity)
{
    float *score = malloc(cp_model_neuron_count(model) * sizeof *score);
    cp_path *path;
    cp_selection selection;
    assert_int_equal(cp_score_random(model, seed, score), CP_OK);
    assert_int_equal(cp_path_create(model, &path), CP_OK);
    assert_int_equal(cp_path_select(path, score, sparsity, 0, &selection), CP_OK);
    assert_int_equal(selection.kept, selection.asked);
    free(score);
    return path;
}

/* The same share of every layer up to one neuron, and a sparser path lies in a denser one. */
static void shares(void **state)
{
    (void)state;
    static const double sparsity[] = {0, .1, .5, .9, .99};
    cp_model *model = open_net("resnet");
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_path *denser = NULL;
    for (size_t k = 0; k < sizeof sparsity / sizeof *sparsity; k++) {
        cp_path *path = random_path(model, 5, sparsity[k]);
        for (int l = 0; l < n; l++)
            assert_true(fabs((double)cp_path_layer_count(path, l) - (1 - sparsity[k]) * (double)layers[l].count) <= 1);
        if (denser) {
            size_t both, either;
            assert_int_equal(cp_path_overlap(path, denser, -1, &both, &either), CP_OK);
            assert_int_equal(both, cp_path_count(path));
            cp_path_free(denser);
        }
        denser = path;
    }
    cp_path_free(denser);
    cp_model_free(model);
}

/* Paths of two seeds meet as often as chance says, pq/(p+q-pq); within a path no place is favoured. */
static void chance(void **state)
{
    (void)state;
    cp_model *model = open_net("vgg");
    double n = (double)cp_model_neuron_count(model), sum = 0, position = 0, kept = 0;
    int layers, draws = 20;
    const cp_neuron_layer *first = cp_model_neuron_layers(model, &layers);
    for (int k = 0; k < draws; k++) {
        cp_path *a = random_path(model, 100 + 2 * (uint64_t)k, .7), *b = random_path(model, 101 + 2 * (uint64_t)k, .9);
        size_t both, either;
        assert_int_equal(cp_path_overlap(a, b, -1, &both, &either), CP_OK);
        sum += (double)both / (double)either;
        for (size_t i = 0; i < first->count; i++)
            if (cp_path_get(a, i)) {
                position += ((double)i + .5) / (double)first->count;
                kept++;
            }
        cp_path_free(a), cp_path_free(b);
    }
    double p = .3, q = .1, expected = p * q / (p + q - p * q), deviation = sqrt(p * q * (1 - p) * (1 - q) / n) / .37;
    assert_true(fabs(sum / draws - expected) < 5 * deviation / sqrt(draws));
    assert_true(fabs(position / kept - .5) < 5 / sqrt(12 * kept));
    cp_model_free(model);
}

static void same_for_the_same_seed(void **state)
{
    (void)state;
    cp_model *model = open_net("resnet");
    size_t n = cp_model_neuron_count(model);
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    assert_int_equal(cp_score_random(model, 9, a), CP_OK);
    assert_int_equal(cp_score_random(model, 9, b), CP_OK);
    assert_memory_equal(a, b, n * sizeof *a);
    assert_int_equal(cp_score_random(model, 10, b), CP_OK);
    assert_memory_not_equal(a, b, n * sizeof *a);
    free(a), free(b);
    cp_model_free(model);
}

static void active(void **state)
{
    (void)state;
    tiny_net net;
    cp_frame *frame;
    cp_path *path;
    TINY_OPEN(&net); /* a = (1, 2, 0) */
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_path_create(net.model, &path), CP_OK);
    assert_int_equal(cp_frame_forward(frame, tiny_input, 1, NULL), CP_OK);
    cp_path_fill(path, true);
    cp_path_active(path, frame, 0);
    assert_int_equal(*cp_path_words(path, 0), 3);
    cp_path_free(path);
    cp_frame_free(frame);
    tiny_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares),
        cmocka_unit_test(chance),
        cmocka_unit_test(same_for_the_same_seed),
        cmocka_unit_test(active),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

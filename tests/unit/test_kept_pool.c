/* Networks restricted to a path whose max-pools look at the path alone: against brute force, what it is for, the class map that
 * is left alone, values other than 0 off the path. */
#include "score_net.h"

/* A pool of a convolution, a pool of a route of that pool and a convolution, a pool of a pool. */
static const ref_layer leaky[] = {
    CONV(6, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0), CONV(5, 3, 1, 1, REF_LEAKY), ROUTE2(2, 1), POOL(3, 2, 0), POOL(2, 1, 0),
    FULL(4, REF_LINEAR), SOFTMAX,
};
enum { LAYERS = sizeof leaky / sizeof *leaky, LOGITS = 6, MOST = 1024 };

static void set_random(pair *p, cp_path *path, double share)
{
    for (size_t i = 0; i < p->neurons; i++)
        cp_path_set(path, i, ref_random(&p->net.random) < 2 * share - 1);
}

/* The largest kept value of a window of `size` without padding, 0 for none. kept by input; says whether there is any. */
static double largest(const ref_layer *l, const float *x, const bool *kept, int output, bool *any)
{
    int positions = l->out_h * l->out_w, c = output / positions;
    double best = 0;
    *any = false;
    for (int k = 0; k < l->size * l->size; k++) {
        int y = output % positions / l->out_w * l->stride + k / l->size;
        int x_at = output % positions % l->out_w * l->stride + k % l->size;
        size_t at = ((size_t)c * l->h + y) * l->w + x_at;
        if (y >= l->h || x_at >= l->w || !kept[at] || (*any && x[at] <= best))
            continue;
        best = x[at];
        *any = true;
    }
    return best;
}

static void fill_kept(const pair *p, const cp_path *path, int layer, bool kept[MOST])
{
    const cp_neuron_layer *neurons = &p->layers[cp_model_neuron_position(p->model, layer)];
    for (size_t i = 0; i < neurons->count; i++)
        kept[i] = cp_path_get(path, neurons->offset + i);
}

static void check_pool(const pair *p, const cp_frame *frame, int pool, int source, const bool *kept, bool out_kept[MOST],
                       size_t *empty)
{
    const ref_layer *l = &p->net.layer[pool];
    const float *x = cp_frame_output(frame, source, 1), *y = cp_frame_output(frame, pool, 1);
    for (int o = 0; o < l->outputs; o++) {
        double expected = largest(l, x, kept, o, &out_kept[o]);
        if (y[o] != (float)expected)
            fail_msg("layer %d, output %d: %g, expected %g", pool, o, (double)y[o], expected);
        *empty += !out_kept[o];
    }
}

/* The image at hand is the second of two, of which the first is not restricted. */
static void test_pools_see_the_path_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        pair p;
        cp_frame *frame;
        cp_path *path;
        bool first[MOST], pooled[MOST], route[MOST], second[MOST], third[MOST];
        size_t empty = 0, inputs = 3 * 12 * 12;
        pair_open(&p, 3, 12, 12, leaky, LAYERS, seed, true);
        float *input = malloc(2 * inputs * sizeof *input);
        assert_non_null(input);
        for (size_t i = 0; i < 2 * inputs; i++)
            input[i] = (float)p.net.input[i % inputs];
        check(cp_path_create(p.model, &path));
        set_random(&p, path, .2);
        const cp_restriction restrictions[2] = {{.kind = CP_FULL}, {.kind = CP_KEPT, .path = path}};
        check(cp_frame_create(p.model, 2, &frame));
        check(cp_frame_forward(frame, input, 2, restrictions));
        fill_kept(&p, path, 0, first);
        check_pool(&p, frame, 1, 0, first, pooled, &empty);
        fill_kept(&p, path, 2, route);
        memcpy(route + p.net.layer[2].outputs, pooled, (size_t)p.net.layer[1].outputs * sizeof *route);
        check_pool(&p, frame, 4, 3, route, second, &empty);
        check_pool(&p, frame, 5, 4, second, third, &empty);
        assert_true(empty > 0);
        for (int l = 0; l <= LOGITS; l++)
            for (int i = 0; i < p.net.layer[l].outputs; i++)
                assert_true(fabs(cp_frame_output(frame, l, 0)[i] - p.net.layer[l].output[i]) < 1e-4);
        cp_path_free(path);
        cp_frame_free(frame);
        free(input);
        pair_close(&p);
    }
}

/* The path of every neuron that scores carries the whole answer, which it does not where zeros win pools. */
static void test_all_that_scores_keeps_the_answer(void **state)
{
    (void)state;
    pair p;
    cp_path *path;
    cp_response response;
    pair_open(&p, 3, 12, 12, leaky, LAYERS, 5, true);
    check(cp_response_unit(p.model, LOGITS, 1, &response));
    float *score = malloc(p.neurons * sizeof *score), *map = malloc(3 * 12 * 12 * sizeof *map);
    double phi[2], whole = cp_frame_response(p.frame, 0, &response);
    assert_true(score && map);
    check(cp_score_mct(p.frame, 0, &response, false, score));
    check(cp_path_create(p.model, &path));
    for (size_t i = 0; i < p.neurons; i++)
        cp_path_set(path, i, score[i] > 0);
    for (int k = 0; k < 2; k++) {
        const cp_offpath offpath = {.kind = k ? CP_KEPT : CP_ZEROED};
        check(cp_map_offpath(p.model, cp_frame_output(p.frame, -1, 0), &response, &offpath, (const cp_path *const *)&path,
                             1, map, &phi[k]));
    }
    assert_true(fabs(phi[1] - whole) < 3e-5 * fabs(whole));
    if (!(fabs(phi[0] - whole) > .003 * fabs(whole)))
        fail_msg("zeroed: %g of %g", phi[0], whole);
    const cp_faithful_options options = {.draws = -1}, zeroed = {.draws = -1, .offpath.kind = CP_ZEROED};
    cp_faithful f;
    check(cp_faithful_measure(p.frame, 0, &response, score, &options, &f));
    assert_int_equal(f.kind, CP_KEPT);
    assert_true(fabs(f.point[f.n - 2].curve[CP_KEEP].response - whole) < 3e-5 * fabs(whole));
    assert_true(isnan(f.point[f.n - 2].curve[CP_KEEP_RANDOM].response));
    cp_faithful_free(&f);
    check(cp_faithful_measure(p.frame, 0, &response, score, &zeroed, &f));
    assert_true(fabs(f.point[f.n - 2].curve[CP_KEEP].response - whole) > .003 * fabs(whole));
    cp_faithful_free(&f);
    cp_path_free(path);
    free(score);
    free(map);
    pair_close(&p);
}

/* The last convolution, one channel a class, averaged: it stays as it is even in the network without neurons. */
static void test_class_map_is_left_alone(void **state)
{
    (void)state;
    static const ref_layer net[] = {
        CONV(6, 3, 1, 1, REF_RELU), CONV(4, 1, 1, 0, REF_RELU), {.type = REF_AVGPOOL}, SOFTMAX,
    };
    pair p;
    cp_response response;
    cp_faithful f;
    pair_open(&p, 3, 6, 6, net, sizeof net / sizeof *net, 2, true);
    int class_id = 0;
    for (int k = 1; k < 4; k++)
        if (p.net.layer[1].biases[k] > p.net.layer[1].biases[class_id])
            class_id = k;
    double bias = p.net.layer[1].biases[class_id];
    assert_true(bias > 0);
    check(cp_response_class(p.model, class_id, &response));
    float *score = malloc(p.neurons * sizeof *score);
    assert_non_null(score);
    check(cp_score_mct(p.frame, 0, &response, false, score));
    const cp_faithful_options options = {.draws = -1};
    check(cp_faithful_measure(p.frame, 0, &response, score, &options, &f));
    assert_true(fabs(f.empty.response - bias) < 1e-5);
    assert_true(f.point[0].keeps);
    cp_faithful_free(&f);
    free(score);
    pair_close(&p);
}

static void test_other_values_off_the_path(void **state)
{
    (void)state;
    pair p;
    cp_frame *frame;
    cp_path *path;
    pair_open(&p, 3, 12, 12, leaky, LAYERS, 6, true);
    float *values = malloc(p.neurons * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < p.neurons; i++)
        values[i] = (float)ref_random(&p.net.random);
    check(cp_path_create(p.model, &path));
    set_random(&p, path, .3);
    const cp_restriction restriction = {.kind = CP_ZEROED, .path = path, .values = values};
    check(cp_frame_create(p.model, 1, &frame));
    check(cp_frame_forward(frame, cp_frame_output(p.frame, -1, 0), 1, &restriction));
    for (size_t i = 0; i < p.layers[0].count; i++) {
        float found = cp_frame_output(frame, 0, 0)[i];
        assert_true(found == (cp_path_get(path, i) ? cp_frame_output(p.frame, 0, 0)[i] : values[i]));
    }
    cp_path_free(path);
    cp_frame_free(frame);
    free(values);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools_see_the_path_alone),
        cmocka_unit_test(test_all_that_scores_keeps_the_answer),
        cmocka_unit_test(test_class_map_is_left_alone),
        cmocka_unit_test(test_other_values_off_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

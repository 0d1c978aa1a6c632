/* The effective path against a brute-force program: every unit's terms by its coordinates in the reference network, all of them
 * sorted, layer after layer. */
#include "score_net.h"

#include "path/effective.h"

static const ref_layer relu[] = {
    CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_LINEAR), ADD(0, REF_RELU), POOL(2, 2, 0),
    CONV(8, 3, 2, 1, REF_RELU), {.type = REF_AVGPOOL}, FULL(8, REF_RELU), FULL(4, REF_LINEAR), SOFTMAX,
};
static const ref_layer leaky[] = {
    CONV(6, 3, 1, 1, REF_LEAKY), POOL(3, 2, -1), CONV(8, 3, 1, 1, REF_LEAKY),
    {.type = REF_CONVOLUTIONAL, .filters = 8, .size = 3, .stride = 2, .padding = 1, .groups = 2, .activation = REF_LEAKY},
    {.type = REF_UPSAMPLE, .stride = 2}, ROUTE2(4, 2), CONV(5, 1, 1, 0, REF_LEAKY), FULL(4, REF_LINEAR), SOFTMAX,
};
#define COUNT(layers) ((int)(sizeof layers / sizeof *layers))

enum { MOST = 1024 };
static uint8_t mark[REF_MAX_LAYERS][MOST];
static uint8_t used[REF_MAX_LAYERS][64][64];

/* Source and index of one input of a unit, and its term. */
typedef struct {
    int source, index;
    double value;
} input;

static int compare(const void *a, const void *b)
{
    const input *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value ? 1 : -1) : x->index - y->index;
}

/* Every input that the unit may have; *picks: one is handed on, whatever it is (max-pool, route, upsampling). */
static int inputs_of(const pair *p, int i, int o, input *in, bool *picks)
{
    const ref_layer *l = &p->net.layer[i];
    const double *x = i ? p->net.layer[i - 1].output : p->net.input;
    int n = 0, plane = l->out_h * l->out_w, f = o / plane, y = o % plane / l->out_w, at = o % plane % l->out_w;
    int stride = l->stride ? l->stride : 1;
    *picks = l->type == REF_MAXPOOL || l->type == REF_ROUTE || l->type == REF_UPSAMPLE;
    if (l->type == REF_CONNECTED) {
        for (int k = 0; k < l->inputs; k++)
            in[n++] = (input){i - 1, k, l->weights[o * l->inputs + k] * x[k]};
    } else if (l->type == REF_AVGPOOL) {
        for (int k = 0; k < l->h * l->w; k++)
            in[n++] = (input){i - 1, o * l->h * l->w + k, x[o * l->h * l->w + k] / (l->h * l->w)};
    } else if (l->type == REF_SHORTCUT) {
        in[n++] = (input){i - 1, o, x[o]};
        in[n++] = (input){l->sources[0], o, p->net.layer[l->sources[0]].output[o]};
    } else if (l->type == REF_ROUTE) {
        int first = p->net.layer[l->sources[0]].outputs;
        in[n++] = o < first ? (input){l->sources[0], o, 1} : (input){l->sources[1], o - first, 1};
    } else if (l->type == REF_UPSAMPLE) {
        in[n++] = (input){i - 1, (f * l->h + y / stride) * l->w + at / stride, 1};
    } else { /* convolution, max-pool */
        int groups = l->groups ? l->groups : 1, c = l->type == REF_MAXPOOL ? 1 : l->c / groups;
        int first = l->type == REF_MAXPOOL ? f : f / (l->filters / groups) * c;
        int pad = l->type == REF_MAXPOOL ? (l->padding < 0 ? l->size - 1 : l->padding) / 2 : l->padding;
        for (int k = 0; k < c; k++)
            for (int ky = 0; ky < l->size; ky++)
                for (int kx = 0; kx < l->size; kx++) {
                    int iy = y * stride + ky - pad, ix = at * stride + kx - pad;
                    if (iy < 0 || ix < 0 || iy >= l->h || ix >= l->w)
                        continue;
                    int index = ((first + k) * l->h + iy) * l->w + ix;
                    double w = l->type == REF_MAXPOOL ? 1 : l->weights[((f * c + k) * l->size + ky) * l->size + kx];
                    in[n++] = (input){i - 1, index, w * x[index]};
                }
    }
    return n;
}

static void brute(const pair *p, int from, int unit, cp_effective_rule rule, double theta)
{
    static input in[MOST];
    memset(mark, 0, sizeof mark);
    memset(used, 0, sizeof used);
    mark[from][unit] = 1;
    for (int i = from; i >= 0; i--) {
        const ref_layer *l = &p->net.layer[i];
        double largest = 0;
        for (int o = 0; o < l->outputs; o++)
            largest = fmax(largest, fabs(l->output[o]));
        for (int o = 0; o < l->outputs; o++) {
            bool picks;
            double total = 0, sum = 0;
            if (!mark[i][o])
                continue;
            int n = inputs_of(p, i, o, in, &picks), plane = l->out_h * l->out_w;
            for (int k = 0; k < n; k++)
                total += in[k].value;
            if (l->type != REF_SHORTCUT)
                qsort(in, (size_t)n, sizeof *in, compare);
            else if (in[1].value > in[0].value) {
                input swap = in[0];
                in[0] = in[1], in[1] = swap;
            }
            for (int k = 0; k < n; k++) {
                bool keep = picks ? k == 0 : rule == CP_EFFECTIVE_SHARE ? sum < theta * total
                                                                         : in[k].value >= theta * largest;
                if (!keep)
                    continue;
                sum += in[k].value;
                if (in[k].source >= 0)
                    mark[in[k].source][in[k].index] = 1;
                if (l->type == REF_CONVOLUTIONAL || l->type == REF_CONNECTED)
                    used[i][o / plane][in[k].index / (l->inputs / l->c)] = 1;
            }
        }
    }
}

static double own_total(const pair *p, int layer, int unit)
{
    const ref_layer *l = &p->net.layer[layer];
    return l->z[unit] - l->biases[unit];
}

static int runs, whole; /* of these with more than three units and edges */

static void compare_paths(const ref_layer *layers, int n, int from, cp_effective_rule rule, double theta, uint64_t seed)
{
    pair p;
    cp_path *path;
    cp_effective_edges edges;
    size_t on = 0, joined = 0;
    pair_open(&p, 3, 8, 8, layers, n, seed, true);
    int unit = 0;
    for (int k = 1; k < 4; k++) /* the one whose terms speak for it */
        unit = own_total(&p, from, k) > own_total(&p, from, unit) ? k : unit;
    cp_response response = logit(&p, from, (size_t)unit);
    check(cp_path_create(p.model, &path));
    check(cp_path_effective(p.frame, 0, &response, rule, theta, path, &edges));
    brute(&p, from, unit, rule, theta);
    for (int l = 0; l < p.n_layers; l++)
        for (size_t k = 0; k < p.layers[l].count; k++) {
            on += mark[p.layers[l].layer][k];
            assert_int_equal(cp_path_get(path, p.layers[l].offset + k), mark[p.layers[l].layer][k]);
        }
    for (int i = 0; i <= from; i++) {
        const ref_layer *l = &p.net.layer[i];
        for (int q = 0; q < l->out_c; q++)
            for (int c = 0; c < l->c; c++) {
                joined += used[i][q][c];
                assert_int_equal(edges.used[i] ? edges.used[i][(size_t)q * edges.c_in[i] + (size_t)c] : 0, used[i][q][c]);
            }
    }
    runs++;
    whole += on > 3 && on < p.neurons && joined > 3;
    cp_effective_edges_free(&edges);
    cp_path_free(path);
    pair_close(&p);
}

static void equals_brute_force(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 6; seed++)
        for (int k = 1; k < 4; k++) {
            compare_paths(relu, COUNT(relu), 7, CP_EFFECTIVE_SHARE, .25 * k, seed);
            compare_paths(leaky, COUNT(leaky), 7, CP_EFFECTIVE_SHARE, .25 * k, seed);
            compare_paths(relu, COUNT(relu), 7, CP_EFFECTIVE_ABSOLUTE, .004 * k, seed);
            compare_paths(leaky, COUNT(leaky), 7, CP_EFFECTIVE_ABSOLUTE, .004 * k, seed);
        }
    assert_true(whole > runs * 3 / 4); /* a response whose terms sum to less than 0 has an empty path */
}

static void forward_takes_the_large(void **state)
{
    pair p;
    cp_path *path;
    (void)state;
    pair_open(&p, 3, 8, 8, relu, COUNT(relu), 3, true);
    cp_response response = logit(&p, 7, 0);
    check(cp_path_create(p.model, &path));
    check(cp_path_effective(p.frame, 0, &response, CP_EFFECTIVE_FORWARD, .3, path, NULL));
    for (int l = 0; l < p.n_layers; l++) {
        const ref_layer *layer = &p.net.layer[p.layers[l].layer];
        double largest = 0;
        for (int k = 0; k < layer->outputs; k++)
            largest = fmax(largest, layer->output[k]);
        for (int k = 0; k < layer->outputs; k++)
            assert_int_equal(cp_path_get(path, p.layers[l].offset + (size_t)k), layer->output[k] >= .3 * largest);
    }
    cp_path_free(path);
    pair_close(&p);
}

static void same_at_any_thread_count(void **state)
{
    pair p;
    cp_path *path[2];
    (void)state;
    pair_open(&p, 3, 8, 8, leaky, COUNT(leaky), 2, true);
    cp_response response = logit(&p, 7, 0);
    for (int k = 0; k < 2; k++) {
        cp_set_threads(k ? 3 : 1);
        check(cp_path_create(p.model, &path[k]));
        check(cp_path_effective(p.frame, 0, &response, CP_EFFECTIVE_SHARE, .5, path[k], NULL));
    }
    cp_set_threads(0);
    for (size_t k = 0; k < p.neurons; k++)
        assert_int_equal(cp_path_get(path[0], k), cp_path_get(path[1], k));
    cp_path_free(path[0]), cp_path_free(path[1]);
    pair_close(&p);
}

static void refuses(void **state)
{
    static const ref_layer layers[] = {
        CONV(4, 3, 1, 1, REF_RELU), {.type = REF_LOCAL, .filters = 2, .size = 3, .stride = 1, .activation = REF_RELU},
        FULL(4, REF_LINEAR), SOFTMAX};
    pair p;
    cp_path *path;
    (void)state;
    pair_open(&p, 3, 8, 8, layers, COUNT(layers), 1, true);
    cp_response response = logit(&p, 2, 0);
    check(cp_path_create(p.model, &path));
    assert_int_equal(cp_path_effective(p.frame, 0, &response, CP_EFFECTIVE_SHARE, 0, path, NULL), CP_EINPUT);
    assert_int_equal(cp_path_effective(p.frame, 0, &response, CP_EFFECTIVE_SHARE, NAN, path, NULL), CP_EINPUT);
    for (int unit = 0; unit < 4; unit++) { /* whichever has a sum above zero reaches the local layer */
        response = logit(&p, 2, (size_t)unit);
        if (cp_path_effective(p.frame, 0, &response, CP_EFFECTIVE_SHARE, .5, path, NULL) == CP_OK)
            continue;
        assert_non_null(strstr(cp_error(), "layer 1, local"));
        response.n = 0;
    }
    assert_int_equal(response.n, 0);
    cp_path_free(path);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_brute_force),
        cmocka_unit_test(forward_takes_the_large),
        cmocka_unit_test(same_at_any_thread_count),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

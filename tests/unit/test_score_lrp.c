/* LRP-gamma: against the rule term by term in double precision, conservation, NeuronMCT at gamma 0, what is refused. */
#include "score_net.h"

static const ref_layer relu[] = {
    CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_LINEAR), ADD(0, REF_RELU), POOL(2, 2, 0),
    CONV(8, 3, 2, 1, REF_RELU), FULL(8, REF_RELU), FULL(4, REF_LINEAR), SOFTMAX,
};
static const ref_layer leaky[] = {
    CONV(6, 3, 1, 1, REF_LEAKY), CONV(6, 3, 1, 1, REF_LEAKY), ADD(0, REF_LEAKY), POOL(2, 2, 0),
    CONV(5, 1, 1, 0, REF_LEAKY), ROUTE2(4, 3), CONV(7, 3, 1, 1, REF_LEAKY), FULL(4, REF_LINEAR), SOFTMAX,
};
static const ref_layer smooth[] = {
    CONV(6, 3, 1, 1, REF_MISH), CONV(6, 3, 1, 1, REF_SWISH), CONV(5, 3, 1, 1, REF_RELU6), CONV(5, 3, 1, 1, REF_ELU),
    CONV(5, 3, 1, 1, REF_TANH), FULL(4, REF_LINEAR), SOFTMAX,
};
static const ref_layer chain[] = {
    CONV(6, 3, 1, 1, REF_LEAKY), POOL(2, 2, 0), CONV(8, 3, 1, 1, REF_LEAKY), CONV(6, 1, 1, 0, REF_MISH),
    FULL(9, REF_RELU), FULL(4, REF_LINEAR), SOFTMAX,
};
/* One unit of the many of a convolution: few deltas. */
static const ref_layer plane[] = {
    CONV(6, 3, 1, 1, REF_LEAKY), CONV(12, 3, 1, 1, REF_LEAKY), CONV(20, 3, 1, 1, REF_LINEAR), SOFTMAX,
};
#define COUNT(layers) ((int)(sizeof layers / sizeof *layers))

/* ---------------------------------------------------------------- the reference */

enum { MOST = 4096 };

/* One term of z: input `from` times weight. */
typedef struct {
    int from;
    double w;
} term;

static int terms_of(const ref_layer *l, int output, term *terms)
{
    int n = 0, positions = l->out_h * l->out_w, f = output / positions, y = output % positions / l->out_w;
    int x = output % positions % l->out_w, stride = l->stride ? l->stride : 1;
    if (l->type == REF_CONNECTED) {
        for (int i = 0; i < l->inputs; i++)
            terms[n++] = (term){i, l->weights[output * l->inputs + i]};
        return n;
    }
    for (int c = 0; c < l->c; c++)
        for (int ky = 0; ky < l->size; ky++)
            for (int kx = 0; kx < l->size; kx++) {
                int iy = y * stride + ky - l->padding, ix = x * stride + kx - l->padding;
                if (iy >= 0 && ix >= 0 && iy < l->h && ix < l->w)
                    terms[n++] = (term){(c * l->h + iy) * l->w + ix,
                                        l->weights[((f * l->c + c) * l->size + ky) * l->size + kx]};
            }
    return n;
}

static bool favoured(double product, double z) { return z < 0 ? product < 0 : product > 0; }

/* One output's rho_z to its sources, the rule to the letter. */
static void share(const ref_layer *l, int output, double rho, double gamma, const double *a, double *to)
{
    term terms[MOST];
    int n = terms_of(l, output, terms), positions = l->out_h * l->out_w;
    double z = l->z[output], bias = l->biases[l->type == REF_CONNECTED ? output : output / positions];
    double favour = favoured(bias, z) ? bias : 0;
    for (int k = 0; k < n; k++)
        if (favoured(a[terms[k].from] * terms[k].w, z))
            favour += a[terms[k].from] * terms[k].w;
    double whole = z + gamma * favour, factor = whole == 0 ? 1 : z / whole;
    for (int k = 0; k < n; k++) {
        double side = a[terms[k].from] < 0 ? -terms[k].w : terms[k].w;
        to[terms[k].from] += terms[k].w * (1 + (favoured(side, z) ? gamma : 0)) * rho * factor;
    }
}

static void pool(const ref_layer *l, int output, double rho, const double *a, double *to)
{
    int positions = l->out_h * l->out_w, c = output / positions, best = -1;
    for (int k = 0; k < l->size * l->size; k++) {
        int y = output % positions / l->out_w * l->stride + k / l->size;
        int x = output % positions % l->out_w * l->stride + k % l->size, at = (c * l->h + y) * l->w + x;
        if (y < l->h && x < l->w && (best < 0 || a[at] > a[best]))
            best = at;
    }
    to[best] += rho;
}

/* rho (layers, MOST), of the outputs. */
static void ref_lrp(const pair *p, int from, int unit, double gamma, double (*rho)[MOST])
{
    memset(rho, 0, (size_t)p->net.n * sizeof *rho);
    rho[from][unit] = 1;
    for (int i = from; i > 0; i--) {
        const ref_layer *l = &p->net.layer[i];
        int before = i - 1;
        assert_true(l->outputs <= MOST);
        for (int o = 0; o < l->outputs; o++) {
            double z = l->z ? l->z[o] : 0, r = rho[i][o];
            if (l->activation != REF_LINEAR && l->type != REF_MAXPOOL && l->type != REF_ROUTE)
                r *= z == 0 ? 1 : ref_activate(l->activation, z) / z;
            if (l->type == REF_MAXPOOL) {
                pool(l, o, r, p->net.layer[before].output, rho[before]);
            } else if (l->type == REF_SHORTCUT) {
                rho[before][o] += r;
                rho[l->sources[0]][o] += r;
            } else if (l->type == REF_ROUTE) {
                int first = p->net.layer[l->sources[0]].outputs;
                rho[l->sources[o >= first]][o >= first ? o - first : o] += r;
            } else {
                share(l, o, r, gamma, p->net.layer[before].output, rho[before]);
            }
        }
    }
}

static void compare(const ref_layer *layers, int n, int from, double gamma, uint64_t seed)
{
    enum { UNIT = 1 };
    static double rho[REF_MAX_LAYERS][MOST];
    pair p;
    pair_open(&p, 3, 8, 8, layers, n, seed, true);
    cp_response response = logit(&p, from, UNIT);
    float *score = new_scores(&p);
    ref_lrp(&p, from, UNIT, gamma, rho);
    check(cp_score_lrp(p.frame, 0, &response, gamma, true, score, NULL));
    for (int l = 0; l < p.n_layers; l++) {
        const cp_neuron_layer *layer = &p.layers[l];
        double largest = 0, off = 0;
        for (size_t j = 0; j < layer->count; j++) {
            double expected = rho[layer->layer][j] * p.net.layer[layer->layer].output[j];
            largest = fmax(largest, fabs(expected));
            off = fmax(off, fabs(expected - score[layer->offset + j]));
        }
        if (!(off <= 2e-4 * largest))
            fail_msg("%s, gamma %g: off by %g, the largest is %g", layer->name, gamma, off, largest);
        assert_true(largest > 1e-4);
    }
    free(score);
    pair_close(&p);
}

static void test_equals_the_rule(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++)
        for (int g = 0; g < 3; g++) {
            double gamma = (double[]){.05, .25, 4}[g];
            compare(relu, COUNT(relu), 6, gamma, seed);
            compare(leaky, COUNT(leaky), 7, gamma, seed);
            compare(smooth, COUNT(smooth), 5, gamma, seed);
            compare(chain, COUNT(chain), 5, gamma, seed);
            compare(plane, COUNT(plane), 2, gamma, seed);
        }
}

/* ---------------------------------------------------------------- theorems */

static void test_gamma_0_equals_mct(void **state)
{
    (void)state;
    const struct {
        const ref_layer *layers;
        int n, logits;
    } nets[] = {{relu, COUNT(relu), 6}, {leaky, COUNT(leaky), 7}};
    for (int k = 0; k < 2; k++) {
        pair p;
        pair_open(&p, 3, 8, 8, nets[k].layers, nets[k].n, 7, true);
        cp_response response = logit(&p, nets[k].logits, 2);
        float *mct = new_scores(&p), *score = new_scores(&p);
        double largest = 0, off = 0;
        check(cp_score_mct(p.frame, 0, &response, true, mct));
        check(cp_score_lrp(p.frame, 0, &response, 0, true, score, NULL));
        for (size_t i = 0; i < p.neurons; i++) {
            largest = fmax(largest, fabsf(mct[i]));
            off = fmax(off, fabsf(mct[i] - score[i]));
        }
        if (!(off <= 1e-6 * largest))
            fail_msg("net %d: off by %g, the largest is %g", k, off, largest);
        check(cp_score_lrp(p.frame, 0, &response, .25, true, score, NULL));
        off = 0;
        for (size_t i = 0; i < p.neurons; i++)
            off = fmax(off, fabsf(mct[i] - score[i]));
        assert_true(off > .01 * largest);
        free(mct);
        free(score);
        pair_close(&p);
    }
}

/* What arrives at a layer is what its biases take and what arrives below, through every layer of a chain; and at the
 * top it is the response. */
static void test_conserves_relevance(void **state)
{
    (void)state;
    cp_lrp_layer layers[REF_MAX_LAYERS];
    pair p;
    pair_open(&p, 3, 8, 8, chain, COUNT(chain), 11, true);
    cp_response response = logit(&p, 5, 3);
    float *score = new_scores(&p);
    check(cp_score_lrp(p.frame, 0, &response, .25, true, score, layers));
    double phi = cp_frame_response(p.frame, 0, &response), biases = 0;
    assert_true(fabs(layers[5].relevance - phi) < 1e-5 * fabs(phi));
    assert_false(layers[6].reached);
    for (int i = 5; i > 0; i--) {
        assert_true(layers[i].reached);
        biases += fabs(layers[i].bias);
        double off = layers[i].relevance - layers[i].bias - layers[i - 1].relevance;
        if (!(fabs(off) < 1e-4 * (fabs(layers[i].relevance) + fabs(layers[i].bias))))
            fail_msg("layer %d: %g arrives, biases take %g, %g arrives below", i, layers[i].relevance, layers[i].bias,
                     layers[i - 1].relevance);
    }
    assert_true(biases > .01 * fabs(phi));
    for (int l = 0; l < p.n_layers; l++) {
        double sum = 0;
        for (size_t j = 0; j < p.layers[l].count; j++)
            sum += score[p.layers[l].offset + j];
        assert_true(fabs(sum - layers[p.layers[l].layer].relevance) < 1e-4 * (1 + fabs(sum)));
    }
    free(score);
    pair_close(&p);
}

/* A weighted sum of units, and a unit of a hidden layer with neurons, whose own score is 0. */
static void test_other_responses(void **state)
{
    (void)state;
    pair p;
    pair_open(&p, 3, 8, 8, relu, COUNT(relu), 3, true);
    cp_response a = logit(&p, 6, 0), b = logit(&p, 6, 1), both = a, hidden = logit(&p, 5, 2);
    both.n = 2;
    both.unit[1] = b.unit[0];
    both.unit[1].weight = -1;
    float *of_a = new_scores(&p), *of_b = new_scores(&p), *of_both = new_scores(&p);
    check(cp_score_lrp(p.frame, 0, &both, 0, true, of_both, NULL));
    check(cp_score_lrp(p.frame, 0, &a, 0, true, of_a, NULL));
    check(cp_score_lrp(p.frame, 0, &b, 0, true, of_b, NULL));
    for (size_t i = 0; i < p.neurons; i++)
        assert_true(fabsf(of_both[i] - (of_a[i] - of_b[i])) < 1e-4f);
    check(cp_score_lrp(p.frame, 0, &hidden, .1, false, of_a, NULL));
    int position = cp_model_neuron_position(p.model, 5);
    for (size_t j = 0; j < p.layers[position].count; j++)
        assert_true(of_a[p.layers[position].offset + j] == 0);
    float sum = 0;
    for (size_t i = 0; i < p.layers[position].offset; i++) {
        assert_true(of_a[i] >= 0);
        sum += of_a[i];
    }
    assert_true(cp_frame_output(p.frame, 5, 0)[2] <= 0 || sum > 0);
    free(of_a);
    free(of_b);
    free(of_both);
    pair_close(&p);
}

static void test_same_bytes_at_any_thread_count(void **state)
{
    (void)state;
    pair p;
    pair_open(&p, 3, 8, 8, leaky, COUNT(leaky), 5, true);
    cp_response response = logit(&p, 7, 1);
    float *one = new_scores(&p), *three = new_scores(&p);
    cp_set_threads(1);
    check(cp_score_lrp(p.frame, 0, &response, .1, true, one, NULL));
    cp_set_threads(3);
    check(cp_score_lrp(p.frame, 0, &response, .1, true, three, NULL));
    cp_set_threads(0);
    assert_memory_equal(one, three, p.neurons * sizeof *one);
    free(one);
    free(three);
    pair_close(&p);
}

/* ---------------------------------------------------------------- what is refused */

static void refused(const ref_layer *layers, int n, int logits, double gamma, const char *message)
{
    pair p;
    pair_open(&p, 3, 8, 8, layers, n, 1, true);
    cp_response response = logit(&p, logits, 0);
    float *score = new_scores(&p);
    assert_int_equal(cp_score_lrp(p.frame, 0, &response, gamma, true, score, NULL), CP_EINPUT);
    if (!strstr(cp_error(), message))
        fail_msg("\"%s\" is not in: %s", message, cp_error());
    free(score);
    pair_close(&p);
}

static void test_refuses_by_name(void **state)
{
    (void)state;
    static const ref_layer gate[] = {
        CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_LOGISTIC), FULL(4, REF_LINEAR), SOFTMAX,
    };
    static const ref_layer product[] = {
        CONV(6, 3, 1, 1, REF_RELU), CONV(6, 3, 1, 1, REF_RELU), {.type = REF_SAM, .n_sources = 1, .sources = {0}},
        FULL(4, REF_LINEAR), SOFTMAX,
    };
    refused(gate, COUNT(gate), 2, .1, "layer 1, activation logistic");
    refused(product, COUNT(product), 3, .1, "layer 2, sam");
    refused(relu, COUNT(relu), 6, -.1, "gamma -0.1");
    refused(relu, COUNT(relu), 6, NAN, "gamma nan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_the_rule),
        cmocka_unit_test(test_gamma_0_equals_mct),
        cmocka_unit_test(test_conserves_relevance),
        cmocka_unit_test(test_other_responses),
        cmocka_unit_test(test_same_bytes_at_any_thread_count),
        cmocka_unit_test(test_refuses_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The engine against central differences: every supported layer type and the combinations in which gradients must add
 * up. The reference (reference/ref_net.c) knows forward passes only, in double precision with plain loops; whatever
 * gradient the engine claims is compared with how the reference's response moves. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "critpath.h"
#include "../reference/ref_net.h"

enum { BATCH = 2, IMAGE = 1, UNITS_PER_LAYER = 24 };
static const double step = 1e-6, wanted_margin = 3e-4, tolerance = 1e-3;

/* ---------------------------------------------------------------- descriptions */

#define NONE REF_LINEAR
#define RELU REF_RELU
#define LEAKY REF_LEAKY
#define ELU REF_ELU
#define TANH REF_TANH
#define LOGISTIC REF_LOGISTIC


#define CONV(f, k, s, p, a) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a}
#define CONV_BN(f, k, s, p, a) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .batch_normalize = 1}
#define CONV_G(f, k, s, p, a, g) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .batch_normalize = 1, .groups = g}
#define DECONV(f, k, s, p, a, bn) {.type = REF_DECONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .batch_normalize = bn}
#define FULL(n, a, bn) {.type = REF_CONNECTED, .filters = n, .activation = a, .batch_normalize = bn}
#define LOCAL(f, k, s, p, a) {.type = REF_LOCAL, .filters = f, .size = k, .stride = s, .padding = p, .activation = a}
#define POOL(k, s, p) {.type = REF_MAXPOOL, .size = k, .stride = s, .padding = p}
#define AVERAGE {.type = REF_AVGPOOL}
#define ADD(from, a) {.type = REF_SHORTCUT, .n_sources = 1, .sources = {from}, .activation = a}
#define ADD_SCALED(from, a, al, be) {.type = REF_SHORTCUT, .n_sources = 1, .sources = {from}, .activation = a, \
    .alpha = al, .beta = be}
#define ROUTE1(i) {.type = REF_ROUTE, .n_sources = 1, .sources = {i}}
#define ROUTE2(i, j) {.type = REF_ROUTE, .n_sources = 2, .sources = {i, j}}
#define ROUTE3(i, j, k) {.type = REF_ROUTE, .n_sources = 3, .sources = {i, j, k}}
#define UPSAMPLE(s, sc) {.type = REF_UPSAMPLE, .stride = s, .scale = sc}
#define REORG(s, r) {.type = REF_REORG, .stride = s, .reverse = r}
#define FLATTEN(r) {.type = REF_REORG, .stride = 1, .flatten = 1, .reverse = r}
#define ACT(a) {.type = REF_ACTIVATION, .activation = a}
#define DROPOUT {.type = REF_DROPOUT}
#define CROP(hh, ww, na) {.type = REF_CROP, .crop_h = hh, .crop_w = ww, .noadjust = na}
#define SOFTMAX {.type = REF_SOFTMAX}

typedef struct {
    const char *name;
    int c, h, w;
    ref_layer layer[16]; /* up to the first that is a convolution with 0 filters */
} net_case;

static const net_case cases[] = {
    {"convolution", 3, 11, 12,
     {CONV(4, 3, 1, 1, LEAKY), CONV_BN(5, 3, 2, 1, RELU), CONV_BN(4, 5, 1, 0, LEAKY), CONV(6, 1, 1, 0, NONE)}},
    {"convolution, even size, stride 3", 2, 11, 14,
     {CONV(4, 4, 2, 1, LEAKY), CONV_BN(5, 2, 1, 0, ELU), CONV(3, 3, 3, 2, NONE)}},
    {"convolution, batch norm at one pixel", 3, 6, 6,
     {CONV(6, 3, 2, 1, LEAKY), AVERAGE, CONV_BN(5, 1, 1, 0, LEAKY), CONV(4, 1, 1, 0, NONE)}},
    {"groups", 4, 8, 8,
     {CONV_G(8, 3, 1, 1, LEAKY, 2), CONV_G(8, 3, 2, 1, RELU, 4), CONV_G(6, 1, 1, 0, LEAKY, 2),
      CONV(4, 3, 1, 1, NONE)}},
    {"depthwise", 3, 8, 8,
     {CONV_BN(6, 1, 1, 0, LEAKY), CONV_G(6, 3, 1, 1, LEAKY, 6), CONV_BN(4, 1, 1, 0, NONE), CONV_BN(8, 1, 1, 0, LEAKY),
      CONV_G(8, 5, 2, 2, RELU, 8), CONV_BN(4, 1, 1, 0, NONE)}},
    {"dense block: 1x1 after routes", 3, 6, 6,
     {CONV(4, 3, 1, 1, LEAKY), CONV_BN(6, 1, 1, 0, LEAKY), CONV_BN(3, 3, 1, 1, RELU), ROUTE2(2, 0),
      CONV_BN(6, 1, 1, 0, RELU), CONV_BN(3, 3, 1, 1, LEAKY), ROUTE2(5, 3), CONV(4, 1, 1, 0, LEAKY), ROUTE2(7, 3),
      CONV(3, 1, 1, 0, NONE)}},
    {"bottleneck: 1x1 on an input with a shortcut", 3, 6, 6,
     {CONV(8, 3, 1, 1, LEAKY), CONV_BN(4, 1, 1, 0, LEAKY), CONV_BN(4, 3, 1, 1, RELU), CONV_BN(8, 1, 1, 0, NONE),
      ADD(0, LEAKY), CONV_BN(4, 1, 1, 0, RELU), CONV_BN(8, 3, 1, 1, LEAKY), ADD(4, NONE), CONV(4, 1, 1, 0, NONE)}},
    {"shortcut over a stride, from fewer channels", 3, 8, 8,
     {CONV(4, 3, 1, 1, LEAKY), CONV_BN(6, 3, 2, 1, RELU), CONV_BN(6, 3, 1, 1, NONE), ADD(0, LEAKY),
      CONV_BN(6, 3, 1, 1, NONE), ADD(3, RELU), CONV(4, 3, 1, 1, NONE)}},
    {"shortcut from more channels", 3, 6, 6,
     {CONV(8, 3, 1, 1, LEAKY), CONV_BN(5, 3, 1, 1, LEAKY), ADD(0, RELU), CONV(4, 3, 1, 1, NONE)}},
    {"shortcut from a smaller layer, spread", 3, 6, 8,
     {CONV(5, 3, 2, 1, LEAKY), UPSAMPLE(2, 1), CONV_BN(4, 3, 1, 1, NONE), ADD(0, LEAKY), CONV(4, 3, 1, 1, NONE)}},
    {"shortcut from the layer just before", 3, 5, 5,
     {CONV(4, 3, 1, 1, LEAKY), ADD(0, RELU), CONV(4, 3, 1, 1, NONE)}},
    {"scaled shortcut", 3, 6, 6,
     {CONV(4, 3, 1, 1, LEAKY), CONV_BN(4, 3, 1, 1, NONE), ADD_SCALED(0, LEAKY, .5, 2), CONV(4, 3, 1, 1, NONE)}},
    {"dropout before connected layers with batch norm", 3, 4, 4,
     {CONV(4, 3, 1, 1, RELU), FULL(20, RELU, 0), DROPOUT, FULL(12, LEAKY, 1), DROPOUT, FULL(6, NONE, 0), SOFTMAX}},
    {"dropout read by shortcut and route", 3, 6, 6,
     {CONV(4, 3, 1, 1, LEAKY), DROPOUT, CONV_BN(4, 3, 1, 1, LEAKY), DROPOUT, ADD(1, LEAKY), ROUTE3(4, 1, 3),
      CONV(4, 1, 1, 0, NONE)}},
    {"local", 3, 7, 6,
     {CONV(4, 3, 1, 1, LEAKY), LOCAL(3, 3, 1, 1, LEAKY), LOCAL(4, 3, 2, 1, RELU), LOCAL(3, 2, 1, 0, LEAKY),
      FULL(5, NONE, 0)}},
    {"local alone, first", 3, 5, 5,
     {LOCAL(3, 3, 1, 0, LEAKY), FULL(4, NONE, 0)}},
    {"max-pool: default padding, overlap, none, stride 1", 3, 13, 12,
     {CONV(4, 3, 1, 1, LEAKY), POOL(2, 2, -1), CONV_BN(4, 3, 1, 1, LEAKY), POOL(2, 1, -1), CONV_BN(4, 3, 1, 1, NONE),
      POOL(3, 2, 0), CONV(4, 3, 1, 1, NONE)}},
    {"spatial pyramid: pools on one input", 3, 6, 6,
     {CONV_BN(4, 3, 1, 1, LEAKY), POOL(5, 1, -1), ROUTE1(0), POOL(3, 1, -1), ROUTE3(3, 1, 0),
      CONV(4, 1, 1, 0, NONE)}},
    {"average pool", 3, 6, 5,
     {CONV(5, 3, 1, 1, LEAKY), AVERAGE, FULL(4, NONE, 0), SOFTMAX}},
    {"upsample of a shared input", 3, 8, 8,
     {CONV(4, 3, 2, 1, LEAKY), CONV(4, 3, 2, 1, LEAKY), UPSAMPLE(2, .5), ROUTE2(2, 0), CONV(4, 1, 1, 0, LEAKY),
      ROUTE1(1), UPSAMPLE(2, 3), ROUTE2(6, 4), CONV(3, 3, 1, 1, NONE)}},
    {"reorg of a shared input", 3, 8, 8,
     {CONV(8, 3, 1, 1, LEAKY), REORG(2, 0), CONV_BN(8, 1, 1, 0, LEAKY), ROUTE1(0), CONV_BN(4, 3, 2, 1, LEAKY),
      ROUTE3(4, 1, 2), CONV(4, 1, 1, 0, NONE)}},
    {"reorg reversed, of a shared input", 3, 8, 8,
     {CONV(8, 3, 2, 1, LEAKY), REORG(2, 1), CONV_BN(4, 3, 2, 1, LEAKY), ROUTE2(2, 0), CONV(4, 1, 1, 0, NONE)}},
    {"reorg flat", 3, 4, 4,
     {CONV(6, 3, 1, 1, LEAKY), FLATTEN(0), CONV_BN(6, 3, 1, 1, LEAKY), FLATTEN(1), ROUTE2(3, 0),
      CONV(4, 3, 1, 1, NONE)}},
    {"activation layers on a shared input", 3, 6, 6,
     {CONV(4, 3, 1, 1, NONE), ACT(LEAKY), CONV(4, 3, 1, 1, LEAKY), ROUTE1(0), ACT(TANH), ROUTE3(4, 0, 2),
      CONV(4, 1, 1, 0, NONE), ACT(LOGISTIC), ADD(6, NONE), CONV(3, 3, 1, 1, NONE)}},
    {"deconvolution", 3, 6, 5,
     {CONV(4, 3, 2, 1, LEAKY), DECONV(4, 4, 2, 1, LEAKY, 0), DECONV(5, 3, 1, 1, RELU, 1), CONV(4, 3, 1, 1, NONE)}},
    {"deconvolution of a shared input", 3, 6, 6,
     {CONV(4, 3, 1, 1, LEAKY), DECONV(4, 3, 1, 1, LEAKY, 0), ROUTE2(1, 0), CONV(4, 1, 1, 0, LEAKY), ADD(0, NONE),
      CONV(3, 3, 1, 1, NONE)}},
    {"crop", 3, 9, 10,
     {CROP(6, 7, 0), CONV(4, 3, 1, 1, RELU), FULL(5, NONE, 0), SOFTMAX}},
    {"crop, values as they are", 3, 8, 8,
     {CROP(5, 6, 1), CONV(4, 3, 1, 1, LEAKY), CONV(3, 1, 1, 0, NONE)}},
    {"network input read twice", 3, 6, 6,
     {CONV(3, 1, 1, 0, LEAKY), CONV(4, 1, 1, 0, LEAKY), ADD(0, LEAKY), ROUTE2(2, 0), CONV(4, 3, 1, 1, NONE)}},
    {"routes of routes, a branch nobody reads", 3, 6, 6,
     {CONV(4, 3, 1, 1, LEAKY), CONV(3, 1, 1, 0, RELU), ROUTE2(1, 0), CONV(3, 3, 1, 1, LEAKY), ROUTE2(2, 1),
      ROUTE2(4, 2), CONV(4, 1, 1, 0, NONE)}},
};

/* ---------------------------------------------------------------- one network, twice */

typedef struct {
    ref_net net;
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    int last;                   /* layer the response reads */
    float *gradient[REF_MAX_LAYERS]; /* per layer: what the observer saw */
    float *input_gradient;
    unsigned char *off;         /* N: 1 = off the path */
    cp_path *path;
    double **scratch;
} pair;

static void check(cp_status status)
{
    if (status != CP_OK)
        fail_msg("%s", cp_error());
}

static void build(ref_net *net, const net_case *which, uint64_t seed)
{
    memset(net, 0, sizeof *net);
    net->c = which->c;
    net->h = which->h;
    net->w = which->w;
    memcpy(net->layer, which->layer, sizeof which->layer);
    while (net->n < 16 && (net->layer[net->n].type != REF_CONVOLUTIONAL || net->layer[net->n].filters))
        ++net->n;
    ref_net_build(net, seed);
}

/* Nothing of the network may sit nearer to a kink than the margin; another seed then. */
static void build_clear_of_kinks(ref_net *net, const net_case *which)
{
    for (uint64_t seed = 1; seed < 400; ++seed) {
        build(net, which, seed);
        if (ref_net_margin(net, 0) > wanted_margin)
            return;
        ref_net_free(net);
    }
    fail_msg("%s: no seed keeps clear of kinks", which->name);
}

static void open_files(pair *p)
{
    const char *folder = getenv("TMPDIR");
    char cfg[512], weights[520];
    snprintf(cfg, sizeof cfg, "%s/critpath-XXXXXX", folder && *folder ? folder : "/tmp");
    int fd = mkstemp(cfg);
    assert_true(fd >= 0);
    close(fd);
    snprintf(weights, sizeof weights, "%s.w", cfg);
    assert_int_equal(ref_net_write_cfg(&p->net, cfg), 0);
    assert_int_equal(ref_net_write_weights(&p->net, weights), 0);
    cp_status status = cp_model_open(cfg, weights, &p->model);
    unlink(cfg);
    unlink(weights);
    check(status);
}

static void take_response(pair *p)
{
    p->last = p->net.n - 1;
    while (p->net.layer[p->last].type == REF_SOFTMAX)
        --p->last;
    int outputs = p->net.layer[p->last].outputs;
    p->response.n = CP_RESPONSE_UNITS;
    for (int k = 0; k < CP_RESPONSE_UNITS; ++k) {
        p->response.unit[k].layer = p->last;
        p->response.unit[k].index = (size_t)((k * 7919 + 13) % outputs);
        p->response.unit[k].weight = (float)(.5 + .25 * k) * (k % 2 ? -1 : 1);
    }
}

static double ref_response(const pair *p)
{
    double sum = 0;
    for (int k = 0; k < p->response.n; ++k)
        sum += p->response.unit[k].weight * p->net.layer[p->response.unit[k].layer].output[p->response.unit[k].index];
    return sum;
}

/* The frame holds another image in entry 0, so that offsets count. */
static void run_forward(pair *p)
{
    size_t inputs = (size_t)p->net.c * p->net.h * p->net.w;
    float *input = malloc(BATCH * inputs * sizeof *input);
    assert_non_null(input);
    uint64_t state = 77;
    for (size_t i = 0; i < BATCH * inputs; ++i)
        input[i] = i / inputs == IMAGE ? (float)p->net.input[i % inputs] : (float)ref_random(&state);
    check(cp_frame_create(p->model, BATCH, &p->frame));
    check(cp_frame_forward(p->frame, input, BATCH, NULL));
    free(input);
}

static void open_pair(pair *p, const net_case *which)
{
    memset(p, 0, sizeof *p);
    build_clear_of_kinks(&p->net, which);
    open_files(p);
    assert_int_equal(cp_model_layer_count(p->model), p->net.n);
    take_response(p);
    run_forward(p);
}

static void close_pair(pair *p)
{
    for (int i = 0; i < p->net.n; ++i)
        free(p->gradient[i]);
    free(p->input_gradient);
    free(p->off);
    cp_path_free(p->path);
    cp_frame_free(p->frame);
    cp_model_free(p->model);
    ref_net_free(&p->net);
}

static void store_gradient(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a,
                           const float *g, size_t count)
{
    pair *p = user;
    (void)entry;
    (void)a;
    memcpy(p->gradient[layer->layer] + first, g, count * sizeof *g);
}

static void run_backward(pair *p, const cp_path *path)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    for (int k = 0; k < n; ++k) {
        free(p->gradient[layers[k].layer]);
        p->gradient[layers[k].layer] = calloc(layers[k].count, sizeof(float));
    }
    free(p->input_gradient);
    p->input_gradient = calloc((size_t)p->net.c * p->net.h * p->net.w, sizeof(float));
    cp_entry entry = {.image = IMAGE, .response = &p->response, .path = path};
    cp_observer observer = {store_gradient, p};
    check(cp_frame_backward(p->frame, &entry, 1, &observer, p->input_gradient));
}

/* ---------------------------------------------------------------- comparing */

/* How far the response moves with *value, in the reference, everything from layer `first` on recomputed. */
static double difference(pair *p, double *value, int first)
{
    double was = *value;
    *value = was + step;
    ref_net_forward(&p->net, first);
    double up = ref_response(p);
    *value = was - step;
    ref_net_forward(&p->net, first);
    double down = ref_response(p);
    *value = was;
    ref_net_forward(&p->net, first);
    return (up - down) / (2 * step);
}

typedef struct {
    double error, size, largest;
} comparison;

static void compare(comparison *c, double found, double expected)
{
    c->error = fmax(c->error, fabs(found - expected));
    c->size = fmax(c->size, fabs(expected));
}

static void judge(const comparison *c, const char *net, const char *what)
{
    if (!(c->error <= tolerance * c->size + 1e-7))
        fail_msg("%s, %s: off by %g, the largest is %g", net, what, c->error, c->size);
}

static void compare_outputs(pair *p, const char *name)
{
    for (int i = 0; i <= p->last; ++i) {
        const ref_layer *l = &p->net.layer[i];
        const float *output = cp_frame_output(p->frame, i, IMAGE);
        comparison c = {0};
        char what[48];
        assert_non_null(output);
        assert_int_equal(cp_model_layer(p->model, i)->outputs, l->outputs);
        for (int k = 0; k < l->outputs; ++k)
            compare(&c, output[k], l->output[k]);
        snprintf(what, sizeof what, "output of layer %d", i);
        if (!(c.error <= 2e-5 * (1 + c.size)))
            judge(&(comparison){.error = c.error, .size = 1e-3 * c.size}, name, what);
    }
    double response = cp_frame_response(p->frame, IMAGE, &p->response);
    if (fabs(response - ref_response(p)) > 1e-4)
        fail_msg("%s: response %g, the reference has %g", name, response, ref_response(p));
}

static void compare_input_gradient(pair *p, const float *found, const char *name, const char *what)
{
    comparison c = {0};
    for (int i = 0; i < p->net.c * p->net.h * p->net.w; ++i)
        compare(&c, found[i], difference(p, &p->net.input[i], 0));
    judge(&c, name, what);
}

static void compare_neuron_gradients(pair *p, const char *name)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    for (int k = 0; k < n; ++k) {
        const cp_neuron_layer *layer = &layers[k];
        comparison c = {0};
        size_t stride = layer->count / UNITS_PER_LAYER + 1;
        if (layer->layer == p->last)
            continue;
        for (size_t i = k % 3; i < layer->count; i += stride)
            compare(&c, p->gradient[layer->layer][i],
                    difference(p, &p->net.layer[layer->layer].output[i], layer->layer + 1));
        judge(&c, name, layer->name);
    }
}

/* Every neuron layer off at random, three in ten. */
static void random_path(pair *p)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    uint64_t state = 5;
    p->off = calloc(cp_model_neuron_count(p->model), 1);
    check(cp_path_create(p->model, &p->path));
    for (int k = 0; k < n; ++k)
        for (size_t i = 0; i < layers[k].count; ++i) {
            bool on = ref_random(&state) > -.4 || layers[k].layer == p->last;
            p->off[layers[k].offset + i] = !on;
            cp_path_set(p->path, layers[k].offset + i, on);
        }
}

/* In the reference, off-path units keep their value (frozen), or are multiplied by `gates` (a zeroed or gated net). */
static void restrict_reference(pair *p, const double *gates)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    for (int k = 0; k < n; ++k) {
        p->net.layer[layers[k].layer].frozen = gates ? NULL : p->off + layers[k].offset;
        p->net.layer[layers[k].layer].gate = gates ? gates + layers[k].offset : NULL;
    }
    ref_net_forward(&p->net, 0);
}

static void check_frozen(pair *p, const char *name)
{
    double before = ref_response(p);
    restrict_reference(p, NULL);
    assert_true(before == ref_response(p));
    run_backward(p, p->path);
    compare_input_gradient(p, p->input_gradient, name, "frozen map");
    compare_neuron_gradients(p, name);
    size_t inputs = (size_t)p->net.c * p->net.h * p->net.w;
    float *map = malloc(inputs * sizeof *map);
    check(cp_map_frozen(p->frame, IMAGE, &p->response, (const cp_path *const *)&p->path, 1, map));
    assert_memory_equal(map, p->input_gradient, inputs * sizeof *map);
    free(map);
}

static void check_zeroed(pair *p, const char *name)
{
    size_t neurons = cp_model_neuron_count(p->model), inputs = (size_t)p->net.c * p->net.h * p->net.w;
    double *gates = malloc(neurons * sizeof *gates), value;
    float *map = malloc(inputs * sizeof *map), *input = malloc(inputs * sizeof *input);
    for (size_t i = 0; i < neurons; ++i)
        gates[i] = !p->off[i];
    for (size_t i = 0; i < inputs; ++i)
        input[i] = (float)p->net.input[i];
    restrict_reference(p, gates);
    if (ref_net_margin(&p->net, 0) > 2e-5) {
        check(cp_map_zeroed(p->model, input, &p->response, (const cp_path *const *)&p->path, 1, map, &value));
        if (fabs(value - ref_response(p)) > 1e-4)
            fail_msg("%s: zeroed response %g, the reference has %g", name, value, ref_response(p));
        compare_input_gradient(p, map, name, "zeroed map");
    }
    for (int i = 0; i < p->net.n; ++i)
        p->net.layer[i].gate = NULL;
    free(gates);
    free(map);
    free(input);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        pair p;
        open_pair(&p, &cases[i]);
        compare_outputs(&p, cases[i].name);
        run_backward(&p, NULL);
        compare_input_gradient(&p, p.input_gradient, cases[i].name, "map");
        compare_neuron_gradients(&p, cases[i].name);
        random_path(&p);
        check_frozen(&p, cases[i].name);
        check_zeroed(&p, cases[i].name);
        close_pair(&p);
    }
}

/* Each of the activations in a convolution and as a layer of its own. */
static void test_activations(void **state)
{
    (void)state;
    for (int a = REF_LOGISTIC; a < REF_ACTIVATIONS; ++a) {
        net_case which = {"", 3, 5, 5,
                          {CONV(4, 3, 1, 1, (ref_activation)a), CONV_BN(4, 3, 1, 1, NONE), ACT((ref_activation)a),
                           ROUTE2(2, 1), CONV(3, 3, 1, 1, NONE)}};
        char name[32];
        pair p;
        snprintf(name, sizeof name, "activation %d", a);
        open_pair(&p, &which);
        compare_outputs(&p, name);
        run_backward(&p, NULL);
        compare_input_gradient(&p, p.input_gradient, name, "map");
        compare_neuron_gradients(&p, name);
        close_pair(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_activations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

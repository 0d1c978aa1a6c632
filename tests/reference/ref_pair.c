#include "ref_pair.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ref_model.h"

static const double step = 1e-6, wanted_margin = 3e-4, tolerance = 1e-3;

void ref_check(cp_status status)
{
    if (status != CP_OK)
        fail_msg("%s", cp_error());
}

static void build(ref_net *net, const ref_case *which, uint64_t seed)
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

static void build_clear_of_kinks(ref_net *net, const ref_case *which)
{
    for (uint64_t seed = 1; seed < 400; ++seed) {
        build(net, which, seed);
        if (ref_net_margin(net, 0) > wanted_margin)
            return;
        ref_net_free(net);
    }
    fail_msg("%s: no seed keeps clear of kinks", which->name);
}

static void take_response(ref_pair *pair)
{
    pair->last = pair->net.n - 1;
    while (pair->net.layer[pair->last].type == REF_SOFTMAX)
        --pair->last;
    int outputs = pair->net.layer[pair->last].outputs;
    pair->response.n = CP_RESPONSE_UNITS;
    for (int k = 0; k < CP_RESPONSE_UNITS; ++k) {
        pair->response.unit[k].layer = pair->last;
        pair->response.unit[k].index = (size_t)((k * 7919 + 13) % outputs);
        pair->response.unit[k].weight = (float)((.5 + .25 * k) * (k % 2 ? -1 : 1));
    }
}

double ref_pair_response(const ref_pair *pair)
{
    double sum = 0;
    for (int k = 0; k < pair->response.n; ++k)
        sum += pair->response.unit[k].weight * pair->net.layer[pair->last].output[pair->response.unit[k].index];
    return sum;
}

void ref_pair_open(ref_pair *pair, const ref_case *which)
{
    memset(pair, 0, sizeof *pair);
    pair->name = which->name;
    build_clear_of_kinks(&pair->net, which);
    pair->model = ref_model_open(&pair->net);
    assert_int_equal(cp_model_layer_count(pair->model), pair->net.n);
    pair->layers = cp_model_neuron_layers(pair->model, &pair->n_layers);
    pair->neurons = cp_model_neuron_count(pair->model);
    pair->inputs = (size_t)pair->net.c * pair->net.h * pair->net.w;
    take_response(pair);
    pair->a = calloc(pair->neurons + 1, sizeof(float));
    pair->g = calloc(pair->neurons + 1, sizeof(float));
    pair->map = calloc(pair->inputs, sizeof(float));
    pair->input = calloc(REF_BATCH * pair->inputs, sizeof(float));
    assert_true(pair->a && pair->g && pair->map && pair->input);
    uint64_t state = 77;
    for (size_t i = 0; i < REF_BATCH * pair->inputs; ++i) {
        bool other = i / pair->inputs != REF_IMAGE;
        pair->input[i] = (float)(other ? ref_random(&state) : pair->net.input[i % pair->inputs]);
    }
    ref_check(cp_frame_create(pair->model, REF_BATCH, &pair->frame));
    ref_check(cp_frame_forward(pair->frame, pair->input, REF_BATCH, NULL));
}

void ref_pair_close(ref_pair *pair)
{
    free(pair->a);
    free(pair->g);
    free(pair->map);
    free(pair->input);
    free(pair->off);
    cp_path_free(pair->path);
    cp_frame_free(pair->frame);
    cp_model_free(pair->model);
    ref_net_free(&pair->net);
}

static void observe(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                    size_t count)
{
    ref_pair *pair = user;
    (void)entry;
    memcpy(pair->a + layer->offset + first, a, count * sizeof *a);
    memcpy(pair->g + layer->offset + first, g, count * sizeof *g);
}

void ref_pair_backward(ref_pair *pair, cp_frame *frame, const cp_entry *entry)
{
    cp_observer observer = {observe, pair};
    memset(pair->a, 0, pair->neurons * sizeof(float));
    memset(pair->g, 0, pair->neurons * sizeof(float));
    ref_check(cp_frame_backward(frame, entry, 1, &observer, pair->map));
}

void ref_pair_random_path(ref_pair *pair, double even, double odd)
{
    uint64_t state = 5;
    free(pair->off);
    cp_path_free(pair->path);
    pair->off = calloc(pair->neurons + 1, 1);
    assert_non_null(pair->off);
    ref_check(cp_path_create(pair->model, &pair->path));
    for (int k = 0; k < pair->n_layers; ++k)
        for (size_t i = 0; i < pair->layers[k].count; ++i) {
            bool on = ref_random(&state) < 2 * (k % 2 ? odd : even) - 1 || pair->layers[k].layer == pair->last;
            pair->off[pair->layers[k].offset + i] = !on;
            cp_path_set(pair->path, pair->layers[k].offset + i, on);
        }
}

void ref_pair_restrict(ref_pair *pair, bool frozen, const double *gates)
{
    for (int k = 0; k < pair->n_layers; ++k) {
        ref_layer *l = &pair->net.layer[pair->layers[k].layer];
        l->frozen = frozen ? pair->off + pair->layers[k].offset : NULL;
        l->gate = gates ? gates + pair->layers[k].offset : NULL;
    }
    ref_net_forward(&pair->net, 0);
}

double ref_pair_difference(ref_pair *pair, double *value, int first)
{
    double was = *value;
    *value = was + step;
    ref_net_forward(&pair->net, first);
    double up = ref_pair_response(pair);
    *value = was - step;
    ref_net_forward(&pair->net, first);
    double down = ref_pair_response(pair);
    *value = was;
    ref_net_forward(&pair->net, first);
    return (up - down) / (2 * step);
}

void ref_compare(ref_errors *errors, double found, double expected)
{
    if (!(fabs(found - expected) <= errors->error)) /* so that a NaN stays */
        errors->error = fabs(found - expected);
    errors->size = fmax(errors->size, fabs(expected));
}

void ref_judge(const ref_errors *errors, const char *net, const char *what)
{
    if (!(errors->error <= tolerance * errors->size + 1e-7))
        fail_msg("%s, %s: off by %g, the largest is %g", net, what, errors->error, errors->size);
}

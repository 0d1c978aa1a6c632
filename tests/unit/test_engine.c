/* The engine's contracts, on the small networks of tests/oracle: batches, threads, branches, masks, gates, tangent. What
 * the numbers should be is the oracle's and the central differences' business; here runs must agree with each other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "critpath.h"
#include "engine/memory.h"
#include "io/error.h"

static const char *const nets[] = {"activations", "deconv", "densenet", "depthwise", "odd",        "resnet", "resnext",
                                   "vgg",         "yolov1", "yolov2",   "yolov3",    "yolov3-tiny"};
enum { NETS = sizeof nets / sizeof *nets };

typedef struct {
    cp_model *model;
    cp_frame *frame;
    size_t inputs;
    float *x; /* 3 images */
    cp_response response;
} setting;

static float uniform(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (1 << 24);
}

static int logit_layer(const cp_model *model)
{
    const int *heads;
    if (cp_model_heads(model, &heads)) return cp_model_logit_layer(model, heads[0]);
    return cp_model_layer_count(model) - 1;
}

static setting open_net(const char *name)
{
    setting s = {0};
    char cfg[200], weights[200];
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    if (cp_model_open(cfg, weights, &s.model)) fail_msg("%s: %s", name, cp_error());
    size_t c, h, w;
    cp_model_input_shape(s.model, &c, &h, &w);
    s.inputs = c * h * w;
    s.x = malloc(3 * s.inputs * sizeof *s.x);
    uint32_t seed = 7;
    for (size_t i = 0; i < 3 * s.inputs; ++i) s.x[i] = uniform(&seed);
    assert_int_equal(cp_frame_create(s.model, 3, &s.frame), CP_OK);
    assert_int_equal(cp_frame_forward(s.frame, s.x, 3, NULL), CP_OK);
    int layer = logit_layer(s.model);
    const float *z = cp_frame_output(s.frame, layer, 0);
    size_t best = 0;
    for (size_t i = 0; i < cp_model_layer(s.model, layer)->outputs; ++i)
        if (fabsf(z[i]) > fabsf(z[best])) best = i;
    assert_int_equal(cp_response_unit(s.model, layer, best, &s.response), CP_OK);
    return s;
}

static void close_net(setting *s)
{
    cp_frame_free(s->frame);
    cp_model_free(s->model);
    free(s->x);
}

/* Copies g of every neuron layer. */
static void record(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                   size_t count)
{
    (void)entry, (void)a;
    memcpy((float *)user + layer->offset + first, g, count * sizeof *g);
}

static float *gradients(setting *s, cp_frame *frame, int image, const cp_path *path, float *input_gradient)
{
    float *g = calloc(cp_model_neuron_count(s->model), sizeof *g);
    cp_observer observer = {record, g};
    cp_entry entry = {.image = image, .response = &s->response, .path = path};
    assert_int_equal(cp_frame_backward(frame, &entry, 1, &observer, input_gradient), CP_OK);
    return g;
}

static double max_difference(const float *a, const float *b, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; ++i) largest = fmax(largest, fabs((double)a[i] - b[i]));
    return largest;
}

static double max_magnitude(const float *a, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; ++i) largest = fmax(largest, fabs(a[i]));
    return largest;
}

static void same_for_any_thread_count(void **state)
{
    (void)state;
    for (int k = 0; k < NETS; ++k) {
        setting s = open_net(nets[k]);
        float *map[2], *g[2];
        for (int t = 0; t < 2; ++t) {
            cp_set_threads(t ? 3 : 1);
            assert_int_equal(cp_frame_forward(s.frame, s.x, 3, NULL), CP_OK);
            map[t] = malloc(s.inputs * sizeof(float));
            g[t] = gradients(&s, s.frame, 2, NULL, map[t]);
        }
        assert_memory_equal(map[0], map[1], s.inputs * sizeof(float));
        assert_memory_equal(g[0], g[1], cp_model_neuron_count(s.model) * sizeof(float));
        for (int t = 0; t < 2; ++t) free(map[t]), free(g[t]);
        close_net(&s);
    }
    cp_set_threads(0);
}

/* An image's bytes do not depend on the batch it is in. */
static void a_batch_is_its_images(void **state)
{
    (void)state;
    for (int k = 0; k < NETS; ++k) {
        setting s = open_net(nets[k]);
        cp_frame *one;
        assert_int_equal(cp_frame_create(s.model, 1, &one), CP_OK);
        for (int b = 0; b < 3; ++b) {
            assert_int_equal(cp_frame_forward(one, s.x + b * s.inputs, 1, NULL), CP_OK);
            for (int layer = 0; layer < cp_model_layer_count(s.model); ++layer) {
                const cp_layer_info *info = cp_model_layer(s.model, layer);
                if (info->head) continue;
                const float *single = cp_frame_output(one, layer, 0), *batched = cp_frame_output(s.frame, layer, b);
                assert_memory_equal(single, batched, info->outputs * sizeof *single);
            }
        }
        /* Three entries of one backward run, one per image and then all of one image. */
        cp_entry entries[4];
        for (int e = 0; e < 4; ++e) entries[e] = (cp_entry){.image = e % 3, .response = &s.response};
        float *maps = malloc(4 * s.inputs * sizeof *maps), *map = malloc(s.inputs * sizeof *map);
        assert_int_equal(cp_frame_backward(s.frame, entries, 4, NULL, maps), CP_OK);
        for (int e = 0; e < 4; ++e) {
            assert_int_equal(cp_frame_backward(s.frame, &entries[e], 1, NULL, map), CP_OK);
            assert_memory_equal(map, maps + e * s.inputs, s.inputs * sizeof *map);
        }
        free(maps), free(map);
        cp_frame_free(one);
        close_net(&s);
    }
}

typedef struct {
    int layer;
    size_t index;
    float found;
} probe;

static void read_probe(void *user, int layer, int entry, const float *da, size_t count)
{
    probe *p = user;
    if (layer == p->layer && entry == 1 && p->index < count) p->found = da[p->index];
}

/* J^T u = g and J v agree: the derivative of the response along v is g.v, with and without a path. */
static void tangent_is_the_adjoint(void **state)
{
    (void)state;
    for (int k = 0; k < NETS; ++k) {
        setting s = open_net(nets[k]);
        float *v = calloc(2 * s.inputs, sizeof *v), *map = malloc(s.inputs * sizeof *map);
        uint32_t seed = 99;
        for (size_t i = 0; i < s.inputs; ++i) v[s.inputs + i] = uniform(&seed) - .5f; /* entry 0 is the direction 0 */
        cp_path *path;
        assert_int_equal(cp_path_create(s.model, &path), CP_OK);
        for (size_t i = 0; i < cp_model_neuron_count(s.model); ++i) cp_path_set(path, i, uniform(&seed) < .7f);
        for (int masked = 0; masked < 2; ++masked) {
            free(gradients(&s, s.frame, 1, masked ? path : NULL, map));
            double expected = 0, scale = 0;
            for (size_t i = 0; i < s.inputs; ++i) {
                double term = (double)map[i] * v[s.inputs + i];
                expected += term, scale += fabs(term);
            }
            probe p = {cp_model_layer(s.model, s.response.unit[0].layer)->value, s.response.unit[0].index, NAN};
            cp_tangent_observer observer = {.output = read_probe, .user = &p};
            assert_int_equal(cp_frame_tangent(s.frame, 1, v, 2, masked ? path : NULL, &observer), CP_OK);
            assert_true(scale > 0);
            assert_true(fabs(p.found - expected) <= 1e-5 * scale);
        }
        cp_path_free(path);
        free(v), free(map);
        close_net(&s);
    }
}

/* A branch at any layer gives, with that layer's own value, the base's response and gradient; with another value, what a
 * whole run would. */
static void a_branch_is_a_suffix(void **state)
{
    (void)state;
    for (int k = 0; k < NETS; ++k) {
        setting s = open_net(nets[k]);
        float *g = gradients(&s, s.frame, 1, NULL, NULL);
        double phi = cp_frame_response(s.frame, 1, &s.response);
        int n;
        const cp_neuron_layer *neuron = cp_model_neuron_layers(s.model, &n);
        for (int p = 0; p < n; ++p) {
            int layer = neuron[p].layer;
            if (!cp_model_depends(s.model, s.response.unit[0].layer, layer) || layer == s.response.unit[0].layer) continue;
            size_t count = neuron[p].count;
            cp_frame *branch;
            assert_int_equal(cp_frame_branch(s.frame, 1, layer, NULL, 2, &branch), CP_OK);
            const float *a = cp_frame_output(s.frame, layer, 1);
            for (int b = 0; b < 2; ++b)
                for (size_t i = 0; i < count; ++i) cp_frame_value(branch, layer, b)[i] = b ? a[i] : 0;
            assert_int_equal(cp_frame_forward_after(branch, layer, 2, NULL), CP_OK);
            assert_true(fabs(cp_frame_response(branch, 1, &s.response) - phi) <= 1e-5 * (1 + fabs(phi)));

            /* The layer at zero: the zeroed network of a path that lacks exactly this layer. */
            cp_path *path;
            assert_int_equal(cp_path_create(s.model, &path), CP_OK);
            cp_path_fill(path, true);
            for (size_t i = 0; i < count; ++i) cp_path_set(path, neuron[p].offset + i, false);
            cp_frame *zeroed;
            assert_int_equal(cp_frame_create(s.model, 1, &zeroed), CP_OK);
            cp_restriction restriction = {.kind = CP_ZEROED, .path = path};
            assert_int_equal(cp_frame_forward(zeroed, s.x + s.inputs, 1, &restriction), CP_OK);
            double expected = cp_frame_response(zeroed, 0, &s.response);
            assert_true(fabs(cp_frame_response(branch, 0, &s.response) - expected) <= 1e-5 * (1 + fabs(expected)));

            float *to = malloc(2 * count * sizeof *to);
            cp_entry entries[2] = {{.image = 1, .response = &s.response}, {.image = 0, .response = &s.response}};
            assert_int_equal(cp_frame_backward_to(branch, entries, 2, layer, to), CP_OK);
            assert_true(max_difference(to, g + neuron[p].offset, count) <= 1e-5 * max_magnitude(to, count) + 1e-12);
            free(to);
            cp_frame_free(zeroed), cp_frame_free(branch);
            cp_path_free(path);
        }
        free(g);
        close_net(&s);
    }
}

static void the_frozen_response_is_the_original_bit_for_bit(void **state)
{
    (void)state;
    for (int k = 0; k < NETS; ++k) {
        setting s = open_net(nets[k]);
        cp_path *path;
        cp_frame *frozen;
        uint32_t seed = 5;
        assert_int_equal(cp_path_create(s.model, &path), CP_OK);
        for (size_t i = 0; i < cp_model_neuron_count(s.model); ++i) cp_path_set(path, i, uniform(&seed) < .3f);
        assert_int_equal(cp_frame_create(s.model, 3, &frozen), CP_OK);
        cp_restriction restrictions[3];
        for (int b = 0; b < 3; ++b)
            restrictions[b] = (cp_restriction){.kind = CP_FROZEN, .path = path, .original = s.frame, .original_image = b};
        assert_int_equal(cp_frame_forward(frozen, s.x, 3, restrictions), CP_OK);
        int layer = s.response.unit[0].layer;
        size_t bytes = cp_model_layer(s.model, layer)->outputs * sizeof(float);
        for (int b = 0; b < 3; ++b)
            assert_memory_equal(cp_frame_output(frozen, layer, b), cp_frame_output(s.frame, layer, b), bytes);
        /* Away from x, the off-path neurons hold still: with the empty path the response does not move at all. */
        cp_path_fill(path, false);
        for (size_t i = 0; i < s.inputs; ++i) s.x[i] = 1 - s.x[i];
        restrictions[0] = (cp_restriction){.kind = CP_FROZEN, .path = path, .original = s.frame};
        assert_int_equal(cp_frame_forward(frozen, s.x, 1, restrictions), CP_OK);
        assert_memory_equal(cp_frame_output(frozen, layer, 0), cp_frame_output(s.frame, layer, 0), bytes);
        cp_frame_free(frozen);
        cp_path_free(path);
        close_net(&s);
    }
}

static void empty_and_full_paths(void **state)
{
    (void)state;
    for (int k = 0; k < NETS; ++k) {
        setting s = open_net(nets[k]);
        cp_path *path;
        float *plain = malloc(s.inputs * sizeof *plain), *masked = malloc(s.inputs * sizeof *masked);
        assert_int_equal(cp_path_create(s.model, &path), CP_OK);
        free(gradients(&s, s.frame, 0, NULL, plain));
        assert_true(max_magnitude(plain, s.inputs) > 0);
        free(gradients(&s, s.frame, 0, path, masked));
        assert_true(max_magnitude(masked, s.inputs) == 0);
        cp_path_fill(path, true);
        free(gradients(&s, s.frame, 0, path, masked));
        assert_memory_equal(plain, masked, s.inputs * sizeof *plain);
        free(plain), free(masked);
        cp_path_free(path);
        close_net(&s);
    }
}

/* d Phi / d gate = before-gate activation times g, against central differences of the gated run. */
typedef struct {
    float *gate_gradient;
} gate_record;

static void record_gates(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                         size_t count)
{
    (void)entry;
    float *to = ((gate_record *)user)->gate_gradient + layer->offset + first;
    for (size_t i = 0; i < count; ++i) to[i] = a[i] * g[i];
}

static double gated_response(setting *s, cp_frame *frame, const float *gates)
{
    cp_restriction restriction = {.kind = CP_GATED, .gates = gates};
    assert_int_equal(cp_frame_forward(frame, s->x, 1, &restriction), CP_OK);
    return cp_frame_response(frame, 0, &s->response);
}

static void gates_have_their_gradient(void **state)
{
    (void)state;
    static const char *const smooth[] = {"resnet", "densenet", "depthwise", "vgg"};
    for (int k = 0; k < 4; ++k) {
        setting s = open_net(smooth[k]);
        size_t n = cp_model_neuron_count(s.model);
        float *gates = malloc(n * sizeof *gates);
        uint32_t seed = 3;
        for (size_t i = 0; i < n; ++i) gates[i] = .5f + uniform(&seed);
        gates[n / 2] = 0; /* a closed gate still has a gradient */
        cp_frame *frame;
        assert_int_equal(cp_frame_create(s.model, 1, &frame), CP_OK);
        gated_response(&s, frame, gates);
        gate_record r = {calloc(n, sizeof(float))};
        cp_observer observer = {record_gates, &r};
        cp_entry entry = {.image = 0, .response = &s.response, .gates = gates};
        assert_int_equal(cp_frame_backward(frame, &entry, 1, &observer, NULL), CP_OK);
        size_t best = 0;
        for (size_t i = 0; i < n; ++i)
            if (fabsf(r.gate_gradient[i]) > fabsf(r.gate_gradient[best])) best = i;
        size_t probes[2] = {best, n / 2};
        for (int p = 0; p < 2; ++p) {
            float at = gates[probes[p]], h = 1e-2f;
            gates[probes[p]] = at + h;
            double up = gated_response(&s, frame, gates);
            gates[probes[p]] = at - h;
            double down = gated_response(&s, frame, gates);
            gates[probes[p]] = at;
            double difference = (up - down) / (2 * h), found = r.gate_gradient[probes[p]];
            assert_true(fabs(difference - found) <= 2e-2 * fabs(found) + 1e-3 * fabs(r.gate_gradient[best]));
        }
        free(gates), free(r.gate_gradient);
        cp_frame_free(frame);
        close_net(&s);
    }
}

static char told[200];

static void listen(const char *line) { snprintf(told, sizeof told, "%s", line); }

static void a_halved_batch_is_said(void **state)
{
    (void)state;
    int batch = 9;
    cp_set_notice(listen);
    assert_false(cp_halve_batch(CP_EINPUT, &batch));
    assert_string_equal(told, "");
    assert_true(cp_halve_batch(cp_fail(CP_ERESOURCE, "no room"), &batch));
    assert_int_equal(batch, 4);
    assert_string_equal(told, "no room; going on with 4 at a time instead of 9");
    cp_set_notice(NULL);
    batch = 1;
    assert_false(cp_halve_batch(CP_ERESOURCE, &batch));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_for_any_thread_count),
        cmocka_unit_test(a_batch_is_its_images),
        cmocka_unit_test(tangent_is_the_adjoint),
        cmocka_unit_test(a_branch_is_a_suffix),
        cmocka_unit_test(the_frozen_response_is_the_original_bit_for_bit),
        cmocka_unit_test(empty_and_full_paths),
        cmocka_unit_test(gates_have_their_gradient),
        cmocka_unit_test(a_halved_batch_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

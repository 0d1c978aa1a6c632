/* DGR: gates by hand, gradients of the cross-entropy against central differences, and the whole descent against a naive
 * one whose gradients are differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "golden_gates.h"
#include "io/error.h"
#include "tiny_net.h"

/* ---------------------------------------------------------------- by hand */

/* With gates at 1 the cross-entropy has no gradient, so only the penalty moves them: after one step of rate r all are
 * 1 - r gamma. As the loss falls, the gates of the last iterate come back. */
static void first_steps(void **state)
{
    (void)state;
    tiny_net net;
    float gate[3];
    cp_dgr_report report;
    TINY_OPEN(&net);
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    options.steps = 1;
    assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, gate, &report), CP_OK);
    assert_true(gate[0] == 1 && gate[1] == 1 && gate[2] == 1);
    assert_true(report.kept && report.rounds == 1 && report.step == 0);
    /* logits (-3.75, 3): the entropy of softmax, and three gates of 1 */
    double p = 1 / (1 + exp(6.75)), entropy = -p * log(p) - (1 - p) * log(1 - p);
    assert_true(fabs(report.cross_entropy - entropy) < 1e-9);
    assert_true(fabs(report.loss - entropy - .03) < 1e-9);
    options.steps = 2;
    assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, gate, &report), CP_OK);
    for (int i = 0; i < 3; i++)
        assert_true(fabs(gate[i] - (1 - .01 * .01)) < 1e-7);
    assert_int_equal(report.step, 1);
    /* The third neuron is dead and stays so: nothing but the penalty ever moves its gate. */
    options.steps = 5;
    assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, gate, &report), CP_OK);
    double velocity = 0, expected = 1;
    for (int k = 0; k < 4; k++)
        velocity = .9 * velocity + .01, expected -= .01 * velocity;
    assert_true(fabs(gate[2] - expected) < 1e-6);
    assert_true(gate[1] != gate[2]);
    tiny_close(&net);
}

/* The dead neuron has no gate; the others' descent is the same, as it had no part in it. */
static void active_alone(void **state)
{
    (void)state;
    tiny_net net;
    float all[3], gate[3];
    TINY_OPEN(&net);
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    options.steps = 5;
    assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, all, NULL), CP_OK);
    options.active = true;
    assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, gate, NULL), CP_OK);
    assert_true(all[2] > 0 && gate[2] == 0);
    assert_true(fabs(gate[0] - all[0]) < 1e-6 && fabs(gate[1] - all[1]) < 1e-6);
    options.granularity = CP_CHANNEL;
    assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, gate, NULL), CP_OK);
    assert_true(gate[0] > 0);
    tiny_close(&net);
}

static void presets(void **state)
{
    (void)state;
    cp_dgr_options code = cp_dgr_defaults(CP_DGR_CODE), wang = cp_dgr_defaults(CP_DGR_WANG);
    assert_true(code.granularity == CP_NEURON && code.steps == 1000 && code.rate == .01 && code.gamma == .01 &&
                code.momentum == .9 && code.clamp == 100 && code.rounds == 100 && !code.random);
    assert_true(wang.granularity == CP_CHANNEL && wang.steps == 30 && wang.rate == .1 && wang.gamma == .05 &&
                wang.clamp == 10);
}

/* ---------------------------------------------------------------- one loss, naively */

typedef struct {
    const cp_model *model;
    cp_frame *frame;
    const float *input;
    int layer;
    size_t classes, n;
    double original[64];
    size_t top;
    float *gradient;
} objective;

static size_t softmax(const float *z, size_t n, double *q)
{
    size_t top = 0;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += exp(z[i]);
        if (z[i] > z[top]) top = i;
    }
    for (size_t i = 0; i < n; i++)
        q[i] = exp(z[i]) / sum;
    return top;
}

static double cross_entropy(objective *o, const float *gates, size_t *top, double *q)
{
    const cp_restriction restriction = {.kind = CP_GATED, .gates = gates};
    double ce = 0;
    assert_int_equal(cp_frame_forward(o->frame, o->input, 1, &restriction), CP_OK);
    *top = softmax(cp_frame_output(o->frame, o->layer, 0), o->classes, q);
    for (size_t i = 0; i < o->classes; i++)
        ce -= o->original[i] * log(q[i]);
    return ce;
}

static objective open_objective(const cp_model *model, const float *input)
{
    cp_response response;
    objective o = {.model = model, .input = input, .n = cp_model_neuron_count(model)};
    assert_int_equal(cp_response_class(model, 0, &response), CP_OK);
    o.layer = response.unit[0].layer;
    o.classes = (size_t)cp_model_classes(model);
    assert_true(o.classes <= 64);
    assert_int_equal(cp_frame_create(model, 1, &o.frame), CP_OK);
    assert_int_equal(cp_frame_forward(o.frame, input, 1, NULL), CP_OK);
    o.top = softmax(cp_frame_output(o.frame, o.layer, 0), o.classes, o.original);
    return o;
}

static void record(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                   size_t count)
{
    (void)entry;
    float *to = ((objective *)user)->gradient + layer->offset + first;
    for (size_t i = 0; i < count; i++)
        to[i] = a[i] * g[i];
}

/* dCE/dgate through the engine's seed, for random gates on random networks. */
static void seed_gradients(void **state)
{
    (void)state;
    static const char *const nets[] = {"vgg", "resnet", "densenet", "activations"};
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
        char cfg[200], weights[200];
        cp_model *model;
        size_t c, h, w, top;
        unsigned random = 11;
        double q[64];
        float seed[64];
        snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", nets[k]);
        snprintf(weights, sizeof weights, "tests/oracle/%s.weights", nets[k]);
        assert_int_equal(cp_model_open(cfg, weights, &model), CP_OK);
        cp_model_input_shape(model, &c, &h, &w);
        float *input = malloc(c * h * w * sizeof *input);
        for (size_t i = 0; i < c * h * w; i++)
            input[i] = .5f + .5f * tiny_random(&random);
        objective o = open_objective(model, input);
        float *gates = malloc(o.n * sizeof *gates);
        for (size_t i = 0; i < o.n; i++)
            gates[i] = 1 + .4f * tiny_random(&random);
        o.gradient = calloc(o.n, sizeof *o.gradient);
        cross_entropy(&o, gates, &top, q);
        for (size_t i = 0; i < o.classes; i++)
            seed[i] = (float)(q[i] - o.original[i]);
        const cp_entry entry = {.gates = gates, .seed = seed, .seed_layer = o.layer};
        const cp_observer observer = {record, &o};
        assert_int_equal(cp_frame_backward(o.frame, &entry, 1, &observer, NULL), CP_OK);
        double slope = 0, length = 0, differences[3], step = 1e-3;
        for (size_t i = 0; i < o.n; i++)
            length += (double)o.gradient[i] * o.gradient[i];
        assert_true(length > 0);
        /* Along the gradient itself and along it with random signs off, so that no part cancels unseen. */
        for (int d = 0; d < 3; d++) {
            double sides[2];
            float *moved = malloc(o.n * sizeof *moved), *way = malloc(o.n * sizeof *way);
            slope = 0;
            for (size_t i = 0; i < o.n; i++) {
                way[i] = (float)(o.gradient[i] / sqrt(length)) * (d == 0 || tiny_random(&random) > 0);
                slope += (double)way[i] * o.gradient[i];
            }
            for (int side = 0; side < 2; side++) {
                for (size_t i = 0; i < o.n; i++)
                    moved[i] = gates[i] + (float)(side ? step : -step) * way[i];
                sides[side] = cross_entropy(&o, moved, &top, q);
            }
            differences[d] = (sides[1] - sides[0]) / (2 * step);
            if (!(fabs(differences[d] - slope) <= 1e-2 * fabs(slope) + 1e-5))
                fail_msg("%s: difference %g, gradient %g", nets[k], differences[d], slope);
            free(moved), free(way);
        }
        free(gates), free(input), free(o.gradient);
        cp_frame_free(o.frame);
        cp_model_free(model);
    }
}

/* A seed of one 1 is a response; both forms, with nothing else, give the same bytes. */
static void a_seed_is_a_response(void **state)
{
    (void)state;
    tiny_net net;
    float input[RESIDUAL_INPUT], map[2][RESIDUAL_INPUT], seed[3] = {0, 1, 0};
    cp_response response;
    cp_frame *frame;
    residual_open(&net, input);
    assert_int_equal(cp_response_class(net.model, 1, &response), CP_OK);
    assert_int_equal(cp_frame_create(net.model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, input, 1, NULL), CP_OK);
    const cp_entry entries[2] = {{.response = &response}, {.seed = seed, .seed_layer = response.unit[0].layer}};
    assert_int_equal(cp_frame_backward(frame, entries, 1, NULL, map[0]), CP_OK);
    assert_int_equal(cp_frame_backward(frame, entries + 1, 1, NULL, map[1]), CP_OK);
    assert_memory_equal(map[0], map[1], sizeof map[0]);
    const cp_entry neither = {0}, head = {.seed = seed, .seed_layer = 7}, outside = {.seed = seed, .seed_layer = 8};
    assert_int_equal(cp_frame_backward(frame, &neither, 1, NULL, map[0]), CP_EINPUT);
    assert_int_equal(cp_frame_backward(frame, &head, 1, NULL, map[0]), CP_EINPUT);
    assert_int_equal(cp_frame_backward(frame, &outside, 1, NULL, map[0]), CP_EINPUT);
    cp_frame_free(frame);
    tiny_close(&net);
}

/* ---------------------------------------------------------------- the whole descent */

enum { CHANNELS = 4 + 4 + 4 };

/* Gate k of the residual network multiplies the neurons [first, first + count). */
static void gate_range(bool channels, int k, size_t *first, size_t *count)
{
    *first = (size_t)k, *count = 1;
    if (!channels)
        return;
    *count = k < 4 ? 36 : 9;
    *first = k < 4 ? (size_t)k * 36 : 144 + (size_t)(k - 4) * 9;
}

static void naive_descent(objective *o, const cp_dgr_options *options, float *gate, int gates, float *best)
{
    bool channels = options->granularity == CP_CHANNEL, kept = false;
    float velocity[RESIDUAL_NEURONS] = {0}, factor[RESIDUAL_NEURONS];
    double lowest = 0, q[64];
    size_t top, unused;
    for (int step = 0; step < options->steps; step++) {
        double gradient[RESIDUAL_NEURONS], penalty = 0;
        for (int k = 0; k < gates; k++) {
            size_t first, count;
            gate_range(channels, k, &first, &count);
            penalty += gate[k];
            for (size_t i = first; i < first + count; i++)
                factor[i] = gate[k];
        }
        double loss = cross_entropy(o, factor, &top, q) + options->gamma * penalty;
        if (top == o->top && (!kept || loss < lowest)) {
            memcpy(best, gate, (size_t)gates * sizeof *gate);
            lowest = loss;
            kept = true;
        }
        for (int k = 0; k < gates; k++) {
            size_t first, count;
            double side[2], step_of = 2e-3;
            gate_range(channels, k, &first, &count);
            for (int s = 0; s < 2; s++) {
                for (size_t i = first; i < first + count; i++)
                    factor[i] = gate[k] + (float)(s ? step_of : -step_of);
                side[s] = cross_entropy(o, factor, &unused, q);
            }
            for (size_t i = first; i < first + count; i++)
                factor[i] = gate[k];
            gradient[k] = (side[1] - side[0]) / (2 * step_of);
        }
        for (int k = 0; k < gates; k++) {
            velocity[k] = (float)(options->momentum * velocity[k] + gradient[k] + (gate[k] > 0 ? options->gamma : 0));
            gate[k] = (float)fmin(options->clamp, fmax(0, gate[k] - options->rate * velocity[k]));
        }
    }
    assert_true(kept);
}

static void against_the_naive_descent(void **state)
{
    (void)state;
    tiny_net net;
    float input[RESIDUAL_INPUT];
    residual_open(&net, input);
    for (int k = 0; k < 4; k++) {
        cp_dgr_options options = cp_dgr_defaults(k & 1 ? CP_DGR_WANG : CP_DGR_CODE);
        options.steps = 8;
        options.rate = .05;
        options.gamma = .1;
        options.random = k & 2;
        options.seed = 77;
        options.clamp = 1.02; /* both ends are met */
        objective o = open_objective(net.model, input);
        int gates = options.granularity == CP_CHANNEL ? CHANNELS : RESIDUAL_NEURONS;
        float gate[RESIDUAL_NEURONS], start[RESIDUAL_NEURONS], best[RESIDUAL_NEURONS];
        /* Of a run of one step the gates that come back are the ones it began with. */
        cp_dgr_options one = options;
        cp_dgr_report report;
        one.steps = one.rounds = 1;
        assert_int_equal(cp_score_dgr(net.model, input, &one, start, &report), CP_OK);
        assert_true(report.kept);
        for (int i = 0; i < gates; i++)
            assert_true(options.random ? start[i] >= 0 && start[i] < 1 : start[i] == 1);
        naive_descent(&o, &options, start, gates, best);
        assert_int_equal(cp_score_dgr(net.model, input, &options, gate, &report), CP_OK);
        double moved = 0;
        for (int i = 0; i < gates; i++) {
            moved = fmax(moved, fabs(best[i] - 1));
            if (fabs(gate[i] - best[i]) > 2e-3)
                fail_msg("case %d, gate %d: %g, naively %g", k, i, (double)gate[i], (double)best[i]);
        }
        assert_true(moved > .05);
        cp_frame_free(o.frame);
    }
    tiny_close(&net);
}

/* PyTorch's gates after 50 steps (tests/oracle/make_golden.py), by its own SGD in float64: those of our 51st iterate. */
static void golden(void **state)
{
    (void)state;
    static const char *const nets[] = {"vgg", "resnet"};
    for (size_t k = 0; k < sizeof nets / sizeof *nets; k++) {
        char name[200], weights[200];
        cp_model *model;
        cp_npz *npz;
        cp_dgr_report report;
        size_t c, h, w;
        snprintf(name, sizeof name, "tests/oracle/cfg/%s.cfg", nets[k]);
        snprintf(weights, sizeof weights, "tests/oracle/%s.weights", nets[k]);
        assert_int_equal(cp_model_open(name, weights, &model), CP_OK);
        snprintf(name, sizeof name, "tests/oracle/%s.npz", nets[k]);
        assert_int_equal(cp_npz_open(name, &npz), CP_OK);
        cp_model_input_shape(model, &c, &h, &w);
        float *input = golden_array(npz, "input", c * h * w), *losses = golden_array(npz, "dgr_loss", 50);
        float *gate = malloc(cp_model_neuron_count(model) * sizeof *gate);
        cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
        options.steps = 51;
        assert_int_equal(cp_score_dgr(model, input, &options, gate, &report), CP_OK);
        assert_true(report.kept && report.step == 50);
        assert_true(report.loss < losses[49]);
        check_golden_gates(nets[k], model, npz, gate);
        free(input), free(losses), free(gate);
        cp_npz_close(npz);
        cp_model_free(model);
    }
}

static void rounds(void **state)
{
    (void)state;
    tiny_net net;
    float input[RESIDUAL_INPUT], gate[RESIDUAL_NEURONS];
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    cp_dgr_report report;
    residual_open(&net, input);
    options.random = true;
    options.steps = options.rounds = 1;
    do { /* a start that loses the prediction */
        options.seed++;
        assert_int_equal(cp_score_dgr(net.model, input, &options, gate, &report), CP_OK);
    } while (report.kept && options.seed < 1000);
    assert_false(report.kept);
    assert_int_equal(report.rounds, 1);
    options.rounds = 1000; /* of one step: the first cannot keep it, some later one does */
    options.rate = .1;
    assert_int_equal(cp_score_dgr(net.model, input, &options, gate, &report), CP_OK);
    assert_true(report.kept && report.rounds > 1 && report.rounds < 300);
    assert_true(fabs(report.gamma / (.01 * pow(10, 1 - report.rounds)) - 1) < 1e-9);
    options.rounds = 3;
    options.rate = 1e-9; /* nothing moves */
    assert_int_equal(cp_score_dgr(net.model, input, &options, gate, &report), CP_OK);
    assert_true(!report.kept && report.rounds == 3 && fabs(report.gamma - 1e-4) < 1e-12);
    tiny_close(&net);
}

static void same_for_any_thread_count(void **state)
{
    (void)state;
    tiny_net net;
    float input[RESIDUAL_INPUT], gate[2][RESIDUAL_NEURONS];
    residual_open(&net, input);
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    options.random = true;
    options.steps = 20;
    for (int t = 0; t < 2; t++) {
        cp_set_threads(t ? 3 : 1);
        assert_int_equal(cp_score_dgr(net.model, input, &options, gate[t], NULL), CP_OK);
    }
    cp_set_threads(0);
    assert_memory_equal(gate[0], gate[1], sizeof gate[0]);
    options.seed = 1;
    assert_int_equal(cp_score_dgr(net.model, input, &options, gate[1], NULL), CP_OK);
    assert_memory_not_equal(gate[0], gate[1], sizeof gate[0]);
    tiny_close(&net);
}

static void refusals(void **state)
{
    (void)state;
    cp_model *model;
    tiny_net net;
    float gate[RESIDUAL_NEURONS];
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    assert_int_equal(cp_model_open("tests/oracle/cfg/yolov3.cfg", "tests/oracle/yolov3.weights", &model), CP_OK);
    assert_int_equal(cp_score_dgr(model, gate, &options, gate, NULL), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "classifier"));
    assert_non_null(strstr(cp_error(), "boxes"));
    cp_model_free(model);
    TINY_OPEN(&net);
    static const struct { size_t field; double value; const char *word; } bad[] = {
        {offsetof(cp_dgr_options, rate), 0, "rate"},        {offsetof(cp_dgr_options, rate), NAN, "rate"},
        {offsetof(cp_dgr_options, momentum), 1, "momentum"}, {offsetof(cp_dgr_options, gamma), -1, "gamma"},
        {offsetof(cp_dgr_options, clamp), .5, "gates up to"},
    };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        options = cp_dgr_defaults(CP_DGR_CODE);
        memcpy((char *)&options + bad[k].field, &bad[k].value, sizeof(double));
        assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, gate, NULL), CP_EINPUT);
        assert_non_null(strstr(cp_error(), bad[k].word));
    }
    options = cp_dgr_defaults(CP_DGR_CODE);
    options.steps = 0;
    assert_int_equal(cp_score_dgr(net.model, tiny_input, &options, gate, NULL), CP_EINPUT);
    tiny_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_steps),
        cmocka_unit_test(active_alone),
        cmocka_unit_test(presets),
        cmocka_unit_test(seed_gradients),
        cmocka_unit_test(a_seed_is_a_response),
        cmocka_unit_test(against_the_naive_descent),
        cmocka_unit_test(golden),
        cmocka_unit_test(rounds),
        cmocka_unit_test(same_for_any_thread_count),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

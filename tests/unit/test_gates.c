/* Gates trained by Darknet against those of the engine's own descent and of PyTorch, several images against single
 * ones, the gate file in a cfg, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "golden_gates.h"
#include "model/cfg.h"
#include "model/model.h"
#include "tiny_net.h"
#include "train/gates.h"
#include "train/insert.h"

static void done(cp_status status)
{
    if (status) fail_msg("status %d: %s", status, cp_error());
}

static cp_model *open_oracle(const char *name)
{
    char cfg[200], weights[200];
    cp_model *model;
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    done(cp_model_open(cfg, weights, &model));
    return model;
}

static size_t input_size(const cp_model *model)
{
    size_t c, h, w;
    cp_model_input_shape(model, &c, &h, &w);
    return c * h * w;
}

static size_t gate_count(const cp_model *model, const cp_dgr_options *options)
{
    return options->granularity == CP_CHANNEL ? cp_model_channel_count(model) : cp_model_neuron_count(model);
}

static float *random_inputs(const cp_model *model, size_t images)
{
    size_t n = images * input_size(model);
    unsigned state = 21;
    float *inputs = malloc(n * sizeof *inputs);
    for (size_t i = 0; i < n; i++) inputs[i] = .5f + .5f * tiny_random(&state);
    return inputs;
}

/* Both implementations, from the same start. */
static void check_engine(const char *name, const cp_model *model, const cp_dgr_options *options)
{
    size_t n = gate_count(model, options);
    float *input = random_inputs(model, 1), *expected = malloc(n * sizeof *expected), *got = malloc(n * sizeof *got);
    cp_dgr_report engine;
    cp_gates_report darknet;
    done(cp_score_dgr(model, input, options, expected, &engine));
    done(cp_gates_train(model, input, 1, options, 1, got, &darknet));
    double worst = 0, moved = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(got[i] - expected[i]));
        moved = fmax(moved, fabs(got[i] - 1));
    }
    if (!(worst < 1e-4 && moved > 1e-3)) fail_msg("%s: gates differ by up to %g, moved by %g", name, worst, moved);
    assert_int_equal(darknet.run.kept, engine.kept);
    assert_int_equal(darknet.run.step, engine.step);
    assert_int_equal(darknet.run.rounds, engine.rounds);
    assert_int_equal(darknet.keeping, engine.kept);
    assert_true(fabs(darknet.run.loss - engine.loss) < 1e-3 * (1 + engine.loss));
    assert_true(fabs(darknet.run.cross_entropy - engine.cross_entropy) < 1e-3 * (1 + engine.cross_entropy));
    assert_true(fabs(darknet.run.gamma - engine.gamma) < 1e-9);
    free(input), free(expected), free(got);
}

static void same_as_the_engine(void **state)
{
    (void)state;
    static const char *const nets[] = {"vgg", "resnet", "densenet", "resnext"};
    for (int k = 0; k < 4; k++) {
        cp_dgr_options options = cp_dgr_defaults(k & 1 ? CP_DGR_WANG : CP_DGR_CODE);
        options.random = k & 2;
        options.seed = 5;
        options.steps = 51;
        options.rounds = 2;
        options.rate = .01;
        for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
            cp_model *model = open_oracle(nets[i]);
            check_engine(nets[i], model, &options);
            cp_model_free(model);
        }
        tiny_net net; /* dropout, a shortcut, a pool; its gates reach both ends */
        float input[RESIDUAL_INPUT];
        residual_open(&net, input);
        options.rate = .05;
        options.gamma = .1;
        options.clamp = 1.02;
        check_engine("residual", net.model, &options);
        tiny_close(&net);
    }
}

/* By hand: in tiny_net the third neuron is dead and the softmax is (.0012, .9988), so CE has no slope to speak of at
 * the start and the first step takes rate * gamma from every gate, dead or not; the second .9 of that more. */
static void first_steps(void **state)
{
    (void)state;
    tiny_net net;
    float gate[3];
    cp_gates_report report;
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    TINY_OPEN(&net);
    options.gamma = 1;
    options.steps = 1;
    done(cp_gates_train(net.model, tiny_input, 1, &options, 1, gate, &report));
    for (int i = 0; i < 3; i++) assert_true(gate[i] == 1);
    double q = 1 / (1 + exp(-6.75)), entropy = -q * log(q) - (1 - q) * log(1 - q);
    assert_true(fabs(report.run.cross_entropy - entropy) < 1e-6);
    assert_true(fabs(report.run.loss - entropy - 3) < 1e-6);
    assert_true(report.run.kept && report.run.step == 0 && report.keeping == 1);
    options.steps = 3;
    done(cp_gates_train(net.model, tiny_input, 1, &options, 1, gate, &report));
    assert_int_equal(report.run.step, 2);
    assert_true(fabs(gate[2] - (1 - .01 - .019)) < 1e-6);
    tiny_close(&net);
}

/* PyTorch's gates after 50 steps (tests/oracle/make_golden.py), by its own SGD in float64: our 51st iterate's. */
static void golden(void **state)
{
    (void)state;
    static const char *const nets[] = {"vgg", "resnet"};
    for (size_t k = 0; k < 2; k++) {
        char name[200];
        cp_npz *npz;
        cp_gates_report report;
        cp_model *model = open_oracle(nets[k]);
        snprintf(name, sizeof name, "tests/oracle/%s.npz", nets[k]);
        done(cp_npz_open(name, &npz));
        float *input = golden_array(npz, "input", input_size(model));
        float *gate = malloc(cp_model_neuron_count(model) * sizeof *gate);
        cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
        options.steps = 51;
        done(cp_gates_train(model, input, 1, &options, 1, gate, &report));
        assert_true(report.run.kept && report.run.step == 50);
        check_golden_gates(nets[k], model, npz, gate);
        free(input), free(gate);
        cp_npz_close(npz);
        cp_model_free(model);
    }
}

/* ---------------------------------------------------------------- several images */

/* The loss is the mean over the images, so one plain step from the same start is the mean of the images' own. */
static void the_mean_over_images(void **state)
{
    (void)state;
    cp_model *model = open_oracle("resnet");
    size_t n = cp_model_neuron_count(model), size = input_size(model);
    float *inputs = random_inputs(model, 3), *gate[4];
    double entropy[4];
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE);
    options.random = true;
    options.seed = 3;
    options.momentum = 0;
    options.rounds = 1;
    options.rate = .001;
    cp_gates_report report;
    for (int i = 0; i < 4; i++) { /* the fourth: all of them */
        const float *input = inputs + (i < 3 ? i * size : 0);
        size_t images = i < 3 ? 1 : 3;
        gate[i] = malloc(n * sizeof *gate[i]);
        options.steps = 1;
        done(cp_gates_train(model, input, images, &options, 1, gate[i], &report));
        entropy[i] = report.run.cross_entropy;
        options.steps = 2;
        done(cp_gates_train(model, input, images, &options, 1. / 3, gate[i], &report));
        assert_true(!report.run.kept || report.run.step == 1);
    }
    assert_true(fabs(entropy[3] - (entropy[0] + entropy[1] + entropy[2]) / 3) < 1e-5);
    assert_true(fabs(entropy[0] - entropy[1]) > 1e-3);
    double apart = 0;
    for (size_t i = 0; i < n; i++) {
        apart = fmax(apart, fabs(gate[0][i] - gate[1][i]));
        if (gate[0][i] > 0 && gate[1][i] > 0 && gate[2][i] > 0)
            assert_true(fabs(gate[3][i] - (gate[0][i] + gate[1][i] + gate[2][i]) / 3) < 1e-6);
    }
    assert_true(apart > 1e-5);

    options = cp_dgr_defaults(CP_DGR_CODE);
    options.steps = 20;
    memcpy(inputs + size, inputs, size * sizeof *inputs);
    done(cp_gates_train(model, inputs, 1, &options, 1, gate[0], &report));
    done(cp_gates_train(model, inputs, 2, &options, 1, gate[1], &report));
    assert_int_equal(report.keeping, 2);
    for (size_t i = 0; i < n; i++) assert_true(fabs(gate[0][i] - gate[1][i]) < 1e-5);
    for (int i = 0; i < 4; i++) free(gate[i]);
    free(inputs);
    cp_model_free(model);
}

/* A harder L1 pays only where fewer images need keep their class. */
static void the_share_that_keeps_its_class(void **state)
{
    (void)state;
    cp_model *model = open_oracle("vgg");
    size_t n = cp_model_channel_count(model);
    float *inputs = random_inputs(model, 6), *gate = malloc(n * sizeof *gate);
    unsigned random = 8;
    for (size_t i = 0; i < 6 * input_size(model); i++) /* of unlike brightness, so of unlike classes */
        inputs[i] *= (float)(i / input_size(model)) * .2f * (1 + .5f * tiny_random(&random));
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_WANG);
    options.random = true;
    options.rounds = 1;
    options.gamma = 1;
    cp_gates_report all, half;
    done(cp_gates_train(model, inputs, 6, &options, 1, gate, &all));
    done(cp_gates_train(model, inputs, 6, &options, .5, gate, &half));
    assert_true(!all.run.kept || all.keeping == 6);
    assert_true(half.run.kept && half.keeping >= 3);
    assert_true(!all.run.kept || half.run.loss <= all.run.loss);
    free(inputs), free(gate);
    cp_model_free(model);
}

/* ---------------------------------------------------------------- the file */

/* Written, inserted and run by Darknet's own verbs' functions: the gated logits that the training ended with. */
static void the_file_in_a_cfg(void **state)
{
    (void)state;
    for (int channels = 0; channels < 2; channels++) {
        tiny_net tiny;
        float input[RESIDUAL_INPUT], gate[RESIDUAL_NEURONS];
        char file[300], masked[300];
        cp_cfg *cfg;
        cp_npz *npz;
        size_t masks, at;
        cp_array_type type;
        residual_open(&tiny, input);
        snprintf(file, sizeof file, "%s/gates.npz", tiny.folder);
        snprintf(masked, sizeof masked, "%s/masked.cfg", tiny.folder);
        cp_dgr_options options = cp_dgr_defaults(channels ? CP_DGR_WANG : CP_DGR_CODE);
        cp_gates_report report;
        options.steps = 40;
        done(cp_gates_train(tiny.model, input, 1, &options, 1, gate, &report));
        done(cp_gates_write(file, tiny.model, gate, &options, 1, &report));
        done(cp_npz_open(file, &npz));
        assert_int_equal(cp_npz_count(npz), 3);
        assert_true(cp_npz_find(npz, "layer_002_convolutional", &at));
        done(cp_npz_type(npz, at, &type));
        const cp_array_type expected = cp_array_chw(CP_FLOAT32, 4, channels ? 1 : 3, channels ? 1 : 3);
        assert_true(cp_array_type_equal(&type, &expected));
        cp_npz_close(npz);
        done(cp_cfg_read(tiny.cfg, &cfg));
        done(cp_masks_insert(cfg, file, "gate", NULL, NULL, &masks));
        assert_int_equal(masks, 3);
        done(cp_cfg_write(cfg, masked));
        cp_cfg_free(cfg);
        network *net = load_network(masked, tiny.weights, 0);
        network_predict(net, input);
        const float *z = net->layers[net->n - 2].output, *one;
        double most = fmax(z[0], fmax(z[1], z[2])), sum = 0, entropy = 0;
        cp_frame *frame;
        done(cp_frame_create(tiny.model, 1, &frame));
        done(cp_frame_forward(frame, input, 1, NULL));
        one = cp_frame_output(frame, 6, 0);
        double top = fmax(one[0], fmax(one[1], one[2])), all = 0;
        for (int i = 0; i < 3; i++) sum += exp(z[i] - most), all += exp(one[i] - top);
        for (int i = 0; i < 3; i++) entropy -= exp(one[i] - top) / all * (z[i] - most - log(sum));
        assert_true(fabs(entropy - report.run.cross_entropy) < 1e-5);
        cp_frame_free(frame);
        cp_host_free(net);
        unlink(file), unlink(masked);
        tiny_close(&tiny);
    }
}

/* ---------------------------------------------------------------- refusals */

static void expect(cp_status status, const char *message)
{
    if (status != CP_EINPUT || !strstr(cp_error(), message)) fail_msg("status %d: '%s' is not about '%s'", status,
                                                                      cp_error(), message);
}

static void refusals(void **state)
{
    (void)state;
    float gate[RESIDUAL_NEURONS], input[RESIDUAL_INPUT];
    cp_dgr_options options = cp_dgr_defaults(CP_DGR_CODE), bad = options;
    cp_model *model = open_oracle("yolov3");
    expect(cp_gates_train(model, input, 1, &options, 1, gate, NULL), "a classifier is needed");
    cp_model_free(model);
    tiny_net net;
    residual_open(&net, input);
    expect(cp_gates_train(net.model, input, 0, &options, 1, gate, NULL), "0 images");
    expect(cp_gates_train(net.model, input, 1, &options, 0, gate, NULL), "share 0");
    expect(cp_gates_train(net.model, input, 1, &options, NAN, gate, NULL), "share nan");
    bad.rate = -1;
    expect(cp_gates_train(net.model, input, 1, &bad, 1, gate, NULL), "rate -1");
    for (int i = 0; i < RESIDUAL_INPUT; i++) input[i] = i % 3 ? 3e38f : -3e38f;
    expect(cp_gates_train(net.model, input, 1, &options, 1, gate, NULL), "image 1: logit");
    cp_model_free(net.model);
    done(cp_model_open(net.cfg, NULL, &net.model));
    expect(cp_gates_train(net.model, input, 1, &options, 1, gate, NULL), "without weights");
    tiny_close(&net);
    static const char cfg[] = "[net]\nwidth=4\nheight=4\nchannels=1\n[convolutional]\nfilters=4\nsize=1\n"
                              "activation=relu\n[reorg]\nstride=2\n[connected]\noutput=2\n[softmax]\n";
    const float weights[4 + 4 + 2 + 2 * 64] = {0};
    tiny_open(&net, cfg, weights, 138);
    expect(cp_gates_train(net.model, input, 1, &options, 1, gate, NULL), "layer 1 [reorg]");
    tiny_close(&net);
}

int main(void)
{
    gpu_index = -1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_steps),
        cmocka_unit_test(same_as_the_engine),
        cmocka_unit_test(golden),
        cmocka_unit_test(the_mean_over_images),
        cmocka_unit_test(the_share_that_keeps_its_class),
        cmocka_unit_test(the_file_in_a_cfg),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

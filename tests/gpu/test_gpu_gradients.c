/* Gradients outside training by Darknet's own backward passes on the device, which the patches mend: of linear networks
 * against differences (exact in one step), of the networks of tests/oracle against the engine on the CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "critpath.h"
#include "twins.h"

#define NET "[net]\nbatch=2\nwidth=6\nheight=4\nchannels=2\n"
#define CONV(filters, size, rest) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=1\npad=1\nactivation=linear\n" rest
#define BN "batch_normalize=1\n"
#define ROUTE "[route]\nlayers=-1,-2\n"

static const struct {
    const char *name, *cfg;
} linear[] = {
    {"1x1 into a route", NET CONV(4, 3, "") CONV(3, 1, "") ROUTE CONV(2, 3, "")},
    {"1x1 into a shortcut", NET CONV(4, 3, "") CONV(3, 1, "") CONV(4, 3, "") "[shortcut]\nfrom=-3\nactivation=linear\n"
                            CONV(2, 3, "")},
    {"batch norm", NET CONV(4, 3, BN) CONV(3, 1, BN) ROUTE CONV(2, 3, "")},
    {"connected", NET CONV(4, 3, "") "[connected]\noutput=6\nactivation=linear\n" BN
                  "[connected]\noutput=4\nactivation=linear\n"},
    {"batchnorm layer into a route", NET CONV(3, 3, "") "[batchnorm]\n" ROUTE CONV(2, 3, "")},
    {"activation layer into a route", NET CONV(3, 3, "") "[activation]\nactivation=linear\n" ROUTE CONV(2, 3, "")},
    {"reorg and its input", NET CONV(4, 3, "") "[reorg]\nstride=2\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n"
                            CONV(2, 3, "")},
    {"reverse reorg", NET CONV(4, 3, "") "[reorg]\nstride=2\nreverse=1\n" CONV(2, 3, "")},
    {"dropout", NET CONV(4, 3, "") "[dropout]\nprobability=.5\n" CONV(2, 3, "")},
    {"deconvolution", NET CONV(4, 3, "") "[deconvolutional]\nfilters=3\nsize=2\nstride=2\nactivation=linear\n"
                      CONV(2, 3, "")},
    {"local", NET CONV(4, 3, "") "[local]\nfilters=3\nsize=3\nstride=1\npad=1\nactivation=linear\n" CONV(2, 3, "")},
    {"groups", NET CONV(4, 3, "") CONV(8, 3, "groups=4\n") "[avgpool]\n" CONV(2, 1, "")},
};

static double sum_of_outputs(network *net)
{
    double sum = 0;
    layer last = net->layers[net->n - 1];
    forward_network(net);
    float *output = twins_pull(last.output_gpu, (size_t)last.batch * last.outputs);
    for (int i = 0; i < last.batch * last.outputs; ++i) sum += (i % 3 - 2.5) * output[i];
    free(output);
    return sum;
}

/* What layer `from` passes down to the network's input when `delta` is the gradient by its output. To be freed. */
static float *device_gradient(network *net, int from, const float *delta)
{
    network part = *net;
    layer l = net->layers[from];
    size_t n = (size_t)net->batch * net->inputs;
    forward_network(net);
    cuda_push_array(l.delta_gpu, (float *)delta, (size_t)l.batch * l.outputs);
    part.n = from + 1;
    part.delta_gpu = cuda_make_array(NULL, n);
    backward_network(&part);
    float *gradient = twins_pull(part.delta_gpu, n);
    cuda_free(part.delta_gpu);
    return gradient;
}

static void test_linear(void **state)
{
    const char *cfg = *state;
    twins t = twins_open(cfg);
    network *net = t.gpu;
    layer last = net->layers[net->n - 1];
    float *input = net->input, *delta = malloc((size_t)last.batch * last.outputs * sizeof *delta);
    gpu_index = 0;
    net->train = 0;
    for (int i = 0; i < net->batch * net->inputs; ++i) input[i] = rand_uniform(-1, 1);
    for (int i = 0; i < last.batch * last.outputs; ++i) delta[i] = i % 3 - 2.5f;
    float *gradient = device_gradient(net, net->n - 1, delta);
    double at = sum_of_outputs(net), largest = 0;
    for (int i = 0; i < net->batch * net->inputs; ++i) {
        float kept = input[i];
        input[i] = kept + 1;
        double expected = sum_of_outputs(net) - at;
        input[i] = kept;
        if (!(fabs(gradient[i] - expected) < 1e-3))
            fail_msg("gradient %d is %g, a difference gives %g", i, gradient[i], expected);
        largest = fmax(largest, fabs(expected));
    }
    assert_true(largest > .1);
    free(gradient);
    free(delta);
    twins_close(&t);
}

/* ---------------------------------------------------------------- against the engine */

/* Without deconv, whose weights Darknet cannot load. */
static const char *const oracle[] = {"activations", "densenet", "depthwise", "odd",    "resnet",
                                     "resnext",     "yolov1",   "yolov2",    "yolov3", "yolov3-tiny"};

static void test_oracle(void **state)
{
    const char *name = *state;
    char cfg[200], weights[200];
    cp_model *model;
    cp_frame *frame;
    cp_response response;
    const int *heads;
    size_t c, h, w;
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    if (cp_model_open(cfg, weights, &model)) fail_msg("%s", cp_error());
    int from = cp_model_heads(model, &heads) ? cp_model_logit_layer(model, heads[0]) : cp_model_layer_count(model) - 1;
    cp_model_input_shape(model, &c, &h, &w);
    size_t inputs = c * h * w, outputs = cp_model_layer(model, from)->outputs, best = 0;
    float *x = malloc(inputs * sizeof *x), *expected = malloc(inputs * sizeof *x);
    srand(9);
    for (size_t i = 0; i < inputs; ++i) x[i] = rand_uniform(0, 1);
    assert_int_equal(cp_frame_create(model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, x, 1, NULL), CP_OK);
    const float *logits = cp_frame_output(frame, from, 0);
    for (size_t i = 0; i < outputs; ++i)
        if (fabsf(logits[i]) > fabsf(logits[best])) best = i;
    assert_int_equal(cp_response_unit(model, from, best, &response), CP_OK);
    cp_entry entry = {.image = 0, .response = &response};
    assert_int_equal(cp_frame_backward(frame, &entry, 1, NULL, expected), CP_OK);

    network *net = twins_parse(cfg, 0);
    load_weights(net, weights);
    set_batch_network(net, 1);
    net->train = 0;
    memcpy(net->input, x, inputs * sizeof *x);
    float *delta = calloc(outputs, sizeof *delta);
    delta[best] = 1;
    float *gradient = device_gradient(net, from, delta), *values = twins_pull(net->layers[from].output_gpu, outputs);
    double largest = 0, difference = 0, logit = 0;
    for (size_t i = 0; i < outputs; ++i) logit = fmax(logit, fabs(values[i] - logits[i]));
    for (size_t i = 0; i < inputs; ++i) {
        largest = fmax(largest, fabs(expected[i]));
        difference = fmax(difference, isnan(gradient[i]) ? INFINITY : fabs(gradient[i] - expected[i]));
    }
    if (!(logit <= 1e-3 * fmax(1, fabsf(logits[best])))) fail_msg("logits differ by %g of %g", logit, logits[best]);
    if (!(difference <= 2e-3 * largest)) fail_msg("gradients differ by %g of %g", difference, largest);
    assert_true(largest > 0);
    free(values), free(gradient), free(delta), free(x), free(expected);
    twins_release(net);
    gpu_index = -1;
    cp_frame_free(frame);
    cp_model_free(model);
}

/* ---------------------------------------------------------------- [crop] */

static void test_crop_leaves_its_input(void **state)
{
    (void)state;
    twins t = twins_open(NET CONV(3, 3, "") "[crop]\ncrop_width=4\ncrop_height=4\nflip=0\nangle=0\nsaturation=1\n"
                         "exposure=1\n" CONV(2, 3, ""));
    twins_fill(&t, 0);
    t.gpu->train = 0;
    gpu_index = 0;
    t.gpu->n = 1;
    forward_network(t.gpu);
    layer conv = t.gpu->layers[0];
    size_t n = (size_t)conv.batch * conv.outputs;
    float *before = twins_pull(conv.output_gpu, n);
    t.gpu->n = 3;
    forward_network(t.gpu);
    float *after = twins_pull(conv.output_gpu, n);
    assert_memory_equal(before, after, n * sizeof *before);
    free(before), free(after);
    twins_close(&t);
}

int main(void)
{
    enum { LINEAR = sizeof linear / sizeof *linear, ORACLE = sizeof oracle / sizeof *oracle };
    struct CMUnitTest tests[LINEAR + ORACLE + 1];
    if (!twins_devices()) return 77;
    for (int i = 0; i < LINEAR; ++i)
        tests[i] = (struct CMUnitTest){.name = linear[i].name, .test_func = test_linear,
                                       .initial_state = (void *)linear[i].cfg};
    for (int i = 0; i < ORACLE; ++i)
        tests[LINEAR + i] = (struct CMUnitTest){.name = oracle[i], .test_func = test_oracle,
                                                .initial_state = (void *)oracle[i]};
    tests[LINEAR + ORACLE] = (struct CMUnitTest)cmocka_unit_test(test_crop_leaves_its_input);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

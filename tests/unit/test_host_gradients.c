/* The faults of Darknet's own backward passes that patches/ mends, on networks small enough to differentiate by hand:
 * a gradient of a linear network is exact in one difference, whatever the step. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <darknet.h>

static network *parse(const char *cfg)
{
    char path[] = "/tmp/host_gradients_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, cfg, strlen(cfg)), (ssize_t)strlen(cfg));
    close(fd);
    network *net = parse_network_cfg(path);
    unlink(path);
    return net;
}

/* With what Darknet's own free_network leaves behind. */
static void release(network *net)
{
    free(net->seen);
    free(net->t);
    free(net->cost);
    free(net->workspace);
    free_network(net);
}

static double sum_of_outputs(network *net, float *input)
{
    const float *output = network_predict(net, input);
    double sum = 0;
    for (int i = 0; i < net->outputs; ++i) {
        sum += output[i];
    }
    return sum;
}

/* d(sum of outputs)/d(input) by Darknet's backward passes outside training, into `gradient`. */
static void host_gradient(network *net, float *input, float *gradient)
{
    network_predict(net, input);
    layer last = net->layers[net->n - 1];
    for (int i = 0; i < last.outputs; ++i) {
        last.delta[i] = 1;
    }
    memset(gradient, 0, net->inputs * sizeof *gradient);
    memcpy(net->input, input, net->inputs * sizeof *input);
    net->train = 0;
    net->delta = gradient;
    backward_network(net);
    net->delta = NULL;
}

static void check_linear(const char *cfg)
{
    srand(7);
    network *net = parse(cfg);
    for (int i = 0; i < net->n; ++i) {
        layer l = net->layers[i];
        for (int f = 0; l.batch_normalize && f < l.out_c; ++f) {
            l.rolling_mean[f] = rand_uniform(-1, 1);
            l.rolling_variance[f] = rand_uniform(.2, 2);
            l.scales[f] = rand_uniform(.5, 2);
        }
    }
    float *input = calloc(net->inputs, sizeof *input);
    float *gradient = calloc(net->inputs, sizeof *gradient);
    for (int i = 0; i < net->inputs; ++i) {
        input[i] = rand_uniform(-1, 1);
    }
    host_gradient(net, input, gradient);
    double at = sum_of_outputs(net, input), largest = 0;
    for (int i = 0; i < net->inputs; ++i) {
        float kept = input[i];
        input[i] = kept + 1;
        double expected = sum_of_outputs(net, input) - at;
        input[i] = kept;
        assert_true(fabs(gradient[i] - expected) < 1e-4);
        largest = fmax(largest, fabs(expected));
    }
    assert_true(largest > .1); /* the comparison above was about something */
    free(input);
    free(gradient);
    release(net);
}

#define CONV(filters, size) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=1\npad=1\nactivation=linear\n"
#define NET "[net]\nbatch=1\nwidth=5\nheight=4\nchannels=2\n"

static void test_1x1_adds_to_what_a_route_left(void **state)
{
    (void)state;
    check_linear(NET CONV(4, 3) CONV(3, 1) "[route]\nlayers=-1,-2\n" CONV(2, 3));
}

static void test_1x1_adds_to_what_a_shortcut_left(void **state)
{
    (void)state;
    check_linear(NET CONV(4, 3) CONV(3, 1) CONV(4, 3) "[shortcut]\nfrom=-3\nactivation=linear\n");
}

static void test_dropout_passes_the_gradient_outside_training(void **state)
{
    (void)state;
    check_linear(NET CONV(4, 3) "[dropout]\nprobability=.5\n" CONV(2, 3));
}

static void test_activation_adds_to_what_a_route_left(void **state)
{
    (void)state;
    check_linear(NET CONV(4, 3) "[activation]\nactivation=linear\n" "[route]\nlayers=-1,-2\n" CONV(2, 3));
}

/* Rolling statistics are constants outside training, so that such a network is linear. */
static void test_batch_norm_outside_training(void **state)
{
    (void)state;
    check_linear(NET "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=linear\n"
                 "[connected]\nbatch_normalize=1\noutput=3\nactivation=linear\n");
}

/* Their gradient is of what they are applied to, which convolutions keep. Central differences in float: one per cent. */
static void check_smooth(const char *cfg)
{
    srand(11);
    network *net = parse(cfg);
    float *input = calloc(net->inputs, sizeof *input), *gradient = calloc(net->inputs, sizeof *gradient);
    for (int i = 0; i < net->inputs; ++i) input[i] = rand_uniform(-1, 1);
    host_gradient(net, input, gradient);
    double largest = 0, step = 1. / 2048;
    for (int i = 0; i < net->inputs; ++i) {
        float kept = input[i];
        input[i] = kept + step;
        double above = sum_of_outputs(net, input);
        input[i] = kept - step;
        double below = sum_of_outputs(net, input), expected = (above - below) / (2 * step);
        input[i] = kept;
        if (fabs(gradient[i] - expected) > .01) fail_msg("%s\ninput %d: %g, expected %g", cfg, i, gradient[i], expected);
        largest = fmax(largest, fabs(expected));
    }
    assert_true(largest > .1);
    free(input);
    free(gradient);
    release(net);
}

static void test_activations_of_later_darknets(void **state)
{
    static const char *const names[] = {"mish", "swish", "hard_mish", "gelu", "relu6"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char cfg[500];
        snprintf(cfg, sizeof cfg, NET "[convolutional]\nfilters=6\nsize=3\nstride=1\npad=1\nactivation=%s\n"
                 "[convolutional]\nfilters=3\nsize=1\nstride=1\npad=1\nactivation=%s\n", names[i], names[i]);
        check_smooth(cfg);
    }
}

static void test_parts_of_routes(void **state)
{
    (void)state;
    check_linear(NET CONV(6, 3) "[route]\nlayers=-1\ngroups=3\ngroup_id=2\n" CONV(4, 3)
                 "[route]\nlayers=-1,0\ngroups=2\ngroup_id=0\n" CONV(2, 3));
}

enum { W = 3, H = 2, ANCHORS = 2, CLASSES = 2, ENTRIES = 4 + 1 + CLASSES };

static void test_region_sends_its_delta_down_on_the_cpu(void **state)
{
    (void)state;
    srand(7);
    network *net = parse("[net]\nbatch=1\nwidth=3\nheight=2\nchannels=2\n"
                         "[convolutional]\nfilters=14\nsize=1\nstride=1\npad=0\nactivation=linear\n"
                         "[region]\nanchors=1,1,2,2\nbias_match=1\nclasses=2\ncoords=4\nnum=2\nsoftmax=1\n"
                         "object_scale=5\nnoobject_scale=1\nclass_scale=1\ncoord_scale=1\nthresh=.6\n");
    layer conv = net->layers[0], region = net->layers[1];
    assert_int_equal(region.outputs, W * H * ANCHORS * ENTRIES);
    for (int i = 0; i < net->inputs; ++i) {
        net->input[i] = rand_uniform(-1, 1);
    }
    const float truth[] = {.4f, .3f, .5f, .6f, 1}; /* one box of class 1 */
    memset(net->truth, 0, net->truths * sizeof *net->truth);
    memcpy(net->truth, truth, sizeof truth);
    *net->seen = 20000; /* past the warm-up, which pulls every box to its anchor */
    net->train = 1;
    forward_network(net);

    float *delta = malloc(region.outputs * sizeof *delta); /* backward changes it in place */
    memcpy(delta, region.delta, region.outputs * sizeof *delta);
    backward_network(net);

    double logistic = 0, identity = 0;
    for (int n = 0; n < ANCHORS; ++n) {
        for (int entry = 0; entry < ENTRIES; ++entry) {
            for (int cell = 0; cell < W * H; ++cell) {
                int i = (n * ENTRIES + entry) * W * H + cell;
                float y = region.output[i], expected = delta[i];
                if (entry == 0 || entry == 1 || entry == 4) { /* x, y, objectness */
                    expected *= y * (1 - y);
                    logistic += fabs(expected);
                } else {
                    identity += fabs(expected);
                }
                assert_true(fabs(conv.delta[i] - expected) < 1e-6);
            }
        }
    }
    assert_true(logistic > .1 && identity > .1);

    double learned = 0;
    for (int i = 0; i < conv.nweights; ++i) {
        learned += fabs(conv.weight_updates[i]);
    }
    assert_true(learned > .1);
    free(delta);
    release(net);
}

int main(void)
{
    gpu_index = -1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_1x1_adds_to_what_a_route_left),
        cmocka_unit_test(test_1x1_adds_to_what_a_shortcut_left),
        cmocka_unit_test(test_dropout_passes_the_gradient_outside_training),
        cmocka_unit_test(test_activation_adds_to_what_a_route_left),
        cmocka_unit_test(test_batch_norm_outside_training),
        cmocka_unit_test(test_activations_of_later_darknets),
        cmocka_unit_test(test_parts_of_routes),
        cmocka_unit_test(test_region_sends_its_delta_down_on_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

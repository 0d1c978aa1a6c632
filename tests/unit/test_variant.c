/* A network whose weights are changed in memory: what is drawn, what stays, and a shift that the first layer takes up. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/model.h"
#include "model/variant.h"
#include "tiny_net.h"

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%.9g found, %.9g expected", found, expected);
}

/* 8x8x2 input; convolution with batch norm, one in groups, and a connected layer. */
static const char cfg[] = "[net]\nbatch=1\nwidth=8\nheight=8\nchannels=2\n"
                          "[convolutional]\nbatch_normalize=1\nfilters=32\nsize=3\nstride=1\npad=0\nactivation=relu\n"
                          "[convolutional]\nfilters=16\nsize=3\nstride=2\npad=0\ngroups=2\nactivation=relu\n"
                          "[connected]\noutput=40\nactivation=linear\n[softmax]\n";
enum {
    BN = 32,
    FIRST = 32 * 2 * 9,
    SECOND = 16 * 16 * 9,
    THIRD = 40 * 64,
    ALL = 4 * BN + FIRST + 16 + SECOND + 40 + THIRD
};

typedef struct {
    tiny_net net;
    cp_variant *variant;
    float input[128];
} setting;

static void start(setting *s)
{
    float *weights = calloc(ALL, sizeof *weights);
    uint32_t state = 5;
    for (int i = 0; i < ALL; i++) {
        state = state * 1664525 + 1013904223;
        weights[i] = (float)((double)state / 4294967296. - .5);
    }
    for (int i = 3 * BN; i < 4 * BN; i++)
        weights[i] = 1 + weights[i]; /* variances */
    tiny_open(&s->net, cfg, weights, ALL);
    free(weights);
    assert_int_equal(cp_variant_open(s->net.cfg, s->net.weights, &s->variant), CP_OK);
    for (int i = 0; i < 128; i++)
        s->input[i] = (float)(.5 + .4 * sin(i));
}

static void stop(setting *s)
{
    cp_variant_free(s->variant);
    tiny_close(&s->net);
}

/* The 40 logits. */
static void run(const cp_model *model, const float *input, float logits[40])
{
    cp_frame *frame;
    assert_int_equal(cp_frame_create(model, 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, input, 1, NULL), CP_OK);
    memcpy(logits, cp_frame_output(frame, 2, 0), 40 * sizeof *logits);
    cp_frame_free(frame);
}

static void file_as_it_is(void **state)
{
    (void)state;
    setting s;
    int layers[4];
    float plain[40], found[40];
    start(&s);
    assert_int_equal(cp_variant_layers(s.variant, layers), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(layers[i], i);
    run(s.net.model, s.input, plain);
    run(cp_variant_model(s.variant), s.input, found);
    assert_memory_equal(plain, found, sizeof plain);
    const int all[] = {2, 1, 0};
    assert_int_equal(cp_variant_randomise(s.variant, all, 3, CP_DRAW_NORMAL, 1), CP_OK);
    run(cp_variant_model(s.variant), s.input, found);
    assert_memory_not_equal(plain, found, sizeof plain);
    assert_int_equal(cp_variant_randomise(s.variant, NULL, 0, CP_DRAW_NORMAL, 1), CP_OK);
    run(cp_variant_model(s.variant), s.input, found);
    assert_memory_equal(plain, found, sizeof plain);
    run(s.net.model, s.input, found); /* the user's own model never changes */
    assert_memory_equal(plain, found, sizeof plain);
    stop(&s);
}

/* A network large enough for Winograd's and oneDNN's copies of the weights, which are made in the first run: those of
 * other weights are dropped. With all weights random another network answers, and then the first one again, to the
 * bit. */
static void faster_copies_of_weights_follow(void **state)
{
    (void)state;
    enum { INPUTS = 3 * 32 * 32, LOGITS = 10, LOGIT_LAYER = 11 };
    static const char *const net[] = {"cfg/resnet8-cifar.cfg", "weights/resnet8-cifar.weights"};
    static float input[INPUTS];
    float logits[4][LOGITS];
    int layers[64];
    cp_variant *variant, *fresh;
    for (int i = 0; i < INPUTS; i++)
        input[i] = (float)(.5 + .4 * sin(.01 * i));
    assert_int_equal(cp_variant_open(net[0], net[1], &variant), CP_OK);
    assert_int_equal(cp_variant_open(net[0], net[1], &fresh), CP_OK);
    int n = cp_variant_layers(variant, layers);
    for (int k = 0; k < 4; k++) {
        cp_variant *v = k == 3 ? fresh : variant; /* fresh: has never run with other weights */
        cp_frame *frame;
        if (k)
            assert_int_equal(cp_variant_randomise(v, layers, k == 2 ? 0 : n, CP_DRAW_DARKNET, 3), CP_OK);
        assert_int_equal(cp_frame_create(cp_variant_model(v), 1, &frame), CP_OK);
        assert_int_equal(cp_frame_forward(frame, input, 1, NULL), CP_OK);
        memcpy(logits[k], cp_frame_output(frame, LOGIT_LAYER, 0), sizeof logits[k]);
        cp_frame_free(frame);
    }
    assert_memory_not_equal(logits[0], logits[1], sizeof *logits);
    assert_memory_equal(logits[0], logits[2], sizeof *logits);
    assert_memory_equal(logits[1], logits[3], sizeof *logits);
    cp_variant_free(variant);
    cp_variant_free(fresh);
}

static void moments(const float *x, size_t n, double *mean, double *deviation, double *largest)
{
    double sum = 0, squares = 0;
    *largest = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i], squares += (double)x[i] * x[i];
        *largest = fmax(*largest, fabs(x[i]));
    }
    *mean = sum / (double)n;
    *deviation = sqrt(squares / (double)n - *mean * *mean);
}

/* Within four standard errors: of the mean s/sqrt(n), of the deviation s/sqrt(2n). */
static void expect_draw(const float *x, size_t n, double spread)
{
    double mean, deviation, largest;
    moments(x, n, &mean, &deviation, &largest);
    near(mean, 0, 4 * spread / sqrt((double)n));
    near(deviation, spread, 4 * spread / sqrt(2. * (double)n));
}

static void draws_of_both_kinds(void **state)
{
    (void)state;
    setting s;
    const int all[] = {0, 1, 2};
    double mean, deviation, largest;
    start(&s);
    const layer *l = cp_variant_model(s.variant)->net->layers;
    assert_int_equal(cp_variant_randomise(s.variant, all, 3, CP_DRAW_NORMAL, 1), CP_OK);
    expect_draw(l[1].weights, SECOND, .1);
    expect_draw(l[2].weights, THIRD, .1);
    expect_draw(l[2].biases, 40, .1);
    assert_int_equal(cp_variant_randomise(s.variant, all, 3, CP_DRAW_DARKNET, 1), CP_OK);
    expect_draw(l[1].weights, SECOND, sqrt(2. / (9 * 16))); /* 16 channels a group */
    moments(l[2].weights, THIRD, &mean, &deviation, &largest);
    assert_true(largest <= sqrt(2. / 64) && largest > .95 * sqrt(2. / 64)); /* uniform */
    moments(l[2].biases, 40, &mean, &deviation, &largest);
    near(largest, 0, 0);
    stop(&s);
}

/* A layer's draw is the same whatever else is random, and another one from another seed; the layers named are those
 * changed. */
static void steps_of_a_cascade_agree(void **state)
{
    (void)state;
    setting s;
    const int last[] = {2}, two[] = {1, 2};
    float *drawn = malloc(THIRD * sizeof *drawn), *middle = malloc(SECOND * sizeof *middle);
    start(&s);
    const layer *l = cp_variant_model(s.variant)->net->layers, *plain = s.net.model->net->layers;
    assert_int_equal(cp_variant_randomise(s.variant, last, 1, CP_DRAW_NORMAL, 1), CP_OK);
    memcpy(drawn, l[2].weights, THIRD * sizeof *drawn);
    assert_memory_equal(l[1].weights, plain[1].weights, SECOND * sizeof(float));
    assert_memory_equal(l[0].weights, plain[0].weights, FIRST * sizeof(float));
    assert_int_equal(cp_variant_randomise(s.variant, two, 2, CP_DRAW_NORMAL, 1), CP_OK);
    assert_memory_equal(l[2].weights, drawn, THIRD * sizeof *drawn);
    assert_memory_not_equal(l[1].weights, plain[1].weights, SECOND * sizeof(float));
    memcpy(middle, l[1].weights, SECOND * sizeof *middle);
    assert_int_equal(cp_variant_randomise(s.variant, two, 2, CP_DRAW_NORMAL, 2), CP_OK);
    assert_memory_not_equal(l[1].weights, middle, SECOND * sizeof(float));
    free(drawn);
    free(middle);
    stop(&s);
}

/* Rolling means and variances stay: with scales of 1 and biases of 0 the folded bias is -mean / deviation. */
static void rolling_statistics_stay(void **state)
{
    (void)state;
    setting s;
    const int first[] = {0};
    start(&s);
    const layer *l = cp_variant_model(s.variant)->net->layers;
    assert_int_equal(cp_variant_randomise(s.variant, first, 1, CP_DRAW_DARKNET, 1), CP_OK);
    for (int f = 0; f < BN; f++) {
        near(l[0].rolling_mean[f], s.net.model->net->layers[0].rolling_mean[f], 0);
        near(l[0].biases[f], -l[0].rolling_mean[f] / (sqrt(l[0].rolling_variance[f]) + 1e-6), 1e-6);
    }
    stop(&s);
}

static void a_shift_is_taken_up(void **state)
{
    (void)state;
    setting s;
    const float shift[] = {-.4f, .25f};
    float shifted[128], plain[40], found[40];
    start(&s);
    for (int i = 0; i < 128; i++)
        shifted[i] = s.input[i] + shift[i / 64];
    run(s.net.model, s.input, plain);
    run(cp_variant_model(s.variant), shifted, found);
    double change = 0;
    for (int i = 0; i < 40; i++)
        if (fabs(found[i] - plain[i]) > change) change = fabs(found[i] - plain[i]);
    assert_true(change > .05); /* without the change of weights it matters */
    assert_int_equal(cp_variant_shift(s.variant, shift), CP_OK);
    run(cp_variant_model(s.variant), shifted, found);
    for (int i = 0; i < 40; i++)
        near(found[i], plain[i], 2e-4);
    stop(&s);
}

/* Without batch norm, by hand: {1,2,3,4} - 1 with biases raised by the sums of the filters. */
static void a_shift_by_hand(void **state)
{
    (void)state;
    tiny_net net;
    cp_variant *variant;
    cp_frame *frame;
    const float shift[] = {-1}, shifted[] = {0, 1, 2, 3};
    TINY_OPEN(&net);
    assert_int_equal(cp_variant_open(net.cfg, net.weights, &variant), CP_OK);
    assert_int_equal(cp_variant_shift(variant, shift), CP_OK);
    assert_int_equal(cp_frame_create(cp_variant_model(variant), 1, &frame), CP_OK);
    assert_int_equal(cp_frame_forward(frame, shifted, 1, NULL), CP_OK);
    near(cp_frame_output(frame, 1, 0)[0], -3.75, 1e-6);
    near(cp_frame_output(frame, 1, 0)[1], 3, 1e-6);
    cp_frame_free(frame);
    cp_variant_free(variant);
    tiny_close(&net);
}

static void what_cannot_be_shifted(void **state)
{
    (void)state;
    static const char pooled[] = "[net]\nbatch=1\nwidth=8\nheight=8\nchannels=2\n[maxpool]\nsize=2\nstride=2\n"
                                 "[connected]\noutput=2\nactivation=linear\n[softmax]\n";
    tiny_net net;
    cp_variant *variant;
    const float weights[2 + 2 * 32] = {0}, shift[] = {1, 1};
    tiny_open(&net, pooled, weights, 2 + 2 * 32);
    assert_int_equal(cp_variant_open(net.cfg, net.weights, &variant), CP_OK);
    assert_int_equal(cp_variant_shift(variant, shift), CP_EINPUT);
    assert_non_null(strstr(cp_error(), "layer 0: maxpool"));
    cp_variant_free(variant);
    assert_int_equal(cp_variant_open(net.cfg, "no.weights", &variant), CP_EINPUT);
    assert_null(variant);
    tiny_close(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_as_it_is),           cmocka_unit_test(faster_copies_of_weights_follow),
        cmocka_unit_test(draws_of_both_kinds),     cmocka_unit_test(steps_of_a_cascade_agree),
        cmocka_unit_test(rolling_statistics_stay), cmocka_unit_test(a_shift_is_taken_up),
        cmocka_unit_test(a_shift_by_hand),         cmocka_unit_test(what_cannot_be_shifted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

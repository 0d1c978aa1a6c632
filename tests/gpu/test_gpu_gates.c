/* The training of gates by Darknet on the device against the same on the CPU, and against the engine's own descent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "twins.h"

#include "train/gates.h"

enum { IMAGES = 2, UPDATES = 12 };

static void must(cp_status status)
{
    if (status) fail_msg("%s: %s", twins_now, cp_error());
}

static float furthest(const float *a, const float *b, size_t n)
{
    float worst = 0;
    for (size_t i = 0; i < n; ++i)
        if (!(fabsf(a[i] - b[i]) <= worst)) worst = fabsf(a[i] - b[i]);
    return worst;
}

enum { BY_CPU, BY_GPU, BY_ENGINE, WAYS };
typedef struct {
    float *gate;
    size_t n;
    double loss;
} outcome;

static outcome train(int way, int images, const cp_dgr_options *options)
{
    char cfg[200], weights[200];
    cp_model *model;
    cp_gates_report report = {.keeping = 0};
    size_t c, h, w;
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", twins_now);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", twins_now);
    must(cp_set_device(way == BY_CPU ? -1 : 0));
    must(cp_model_open(cfg, weights, &model));
    cp_model_input_shape(model, &c, &h, &w);
    float *input = malloc(images * c * h * w * sizeof *input);
    srand(11);
    for (size_t i = 0; i < images * c * h * w; ++i) input[i] = rand_uniform(0, 1);
    outcome o = {.n = options->granularity == CP_CHANNEL ? cp_model_channel_count(model) : cp_model_neuron_count(model)};
    o.gate = calloc(o.n, sizeof *o.gate);
    if (way == BY_ENGINE) must(cp_score_dgr(model, input, options, o.gate, &report.run));
    else must(cp_gates_train(model, input, images, options, 1, o.gate, &report));
    o.loss = report.run.loss;
    free(input);
    cp_model_free(model);
    return o;
}

static void compare(int images, const outcome *one, const outcome *other, double tolerance, double loss_tolerance)
{
    float apart = furthest(one->gate, other->gate, one->n);
    if (getenv("CRITPATH_SHOW"))
        printf("%s, %d images: gates %g apart, losses %.7g and %.7g\n", twins_now, images, apart, one->loss, other->loss);
    if (!(apart <= tolerance && fabs(one->loss - other->loss) <= loss_tolerance * other->loss))
        fail_msg("%s, %d images: gates are %g apart, losses are %g and %g", twins_now, images, apart, one->loss,
                 other->loss);
}

static void test_gates(void **state)
{
    static const char *const names[] = {"resnet", "vgg", "densenet"};
    (void)state;
    for (int k = 0; k < 6; ++k) {
        const int images = k % 2 ? 1 : IMAGES;
        const cp_dgr_options options = {.granularity = k % 2 ? CP_CHANNEL : CP_NEURON, .steps = UPDATES, .rate = .02,
                                        .momentum = .9, .gamma = .01, .clamp = 10, .rounds = 1, .random = k == 3,
                                        .seed = 3};
        outcome by[WAYS] = {{0}};
        twins_now = names[k / 2];
        for (int way = 0; way < (images == 1 ? WAYS : BY_ENGINE); ++way) by[way] = train(way, images, &options);
        float moved = 0;
        for (size_t i = 0; i < by[BY_GPU].n; ++i) moved = fmaxf(moved, fabsf(by[BY_GPU].gate[i] - 1));
        assert_true(moved > .01);
        compare(images, &by[BY_GPU], &by[BY_CPU], 5e-3, 1e-3); /* the epsilons turn a kink now and then */
        if (images == 1) compare(images, &by[BY_GPU], &by[BY_ENGINE], 1e-4, 1e-5);
        for (int way = 0; way < WAYS; ++way) free(by[way].gate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gates)};
    if (!twins_devices()) return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

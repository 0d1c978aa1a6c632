/* Darknet's random initial weights: drawn as ever, in the order of rand(), unless a program says that it fills in all. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/model.h"

/* One layer of each type that draws; an even number of normal numbers, which Darknet makes in pairs. */
static const char cfg[] = "[net]\nwidth=6\nheight=6\nchannels=2\nbatch=1\n"
                          "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=relu\n"
                          "[deconvolutional]\nfilters=3\nsize=2\nstride=1\nactivation=relu\n"
                          "[local]\nfilters=2\nsize=3\nstride=2\npad=1\nactivation=relu\n"
                          "[connected]\noutput=5\nactivation=linear\n";
enum { LAYERS = 4 };

static network *parse(void)
{
    char path[40];
    int file = memfd_create("cfg", MFD_CLOEXEC);
    assert_int_equal(write(file, cfg, strlen(cfg)), (ssize_t)strlen(cfg));
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    network *net = parse_network_cfg(path);
    close(file);
    assert_int_equal(net->n, LAYERS);
    return net;
}

static double uniform(void) { return rand() / (double)RAND_MAX * 2 - 1; }

/* Box and Muller's pair, one at a time. */
static double normal(void)
{
    static bool half;
    static double radius, angle;
    half = !half;
    if (!half) return radius * sin(angle);
    double r = rand() / (double)RAND_MAX;
    angle = rand() / (double)RAND_MAX * 2 * M_PI;
    radius = sqrt(-2 * log(r));
    return radius * cos(angle);
}

static void drawn_in_order(void **state)
{
    (void)state;
    srand(5);
    network *net = parse();
    srand(5);
    for (int i = 0; i < LAYERS; ++i) {
        const layer *l = &net->layers[i];
        size_t n, biases;
        cp_host_array_sizes(l, &n, &biases);
        int inputs = l->type == CONNECTED ? l->inputs : l->size * l->size * l->c;
        double area = (double)l->out_w * l->out_h / (l->w * l->h);
        double scale = l->type == DECONVOLUTIONAL ? .02 * area : sqrt(2. / inputs);
        /* [local] draws the filters of its first place alone. */
        if (l->type == LOCAL) n /= (size_t)l->out_w * l->out_h;
        bool pairs = l->type == CONVOLUTIONAL || l->type == DECONVOLUTIONAL;
        assert_true(n > 0 && (!pairs || n % 2 == 0));
        for (size_t w = 0; w < n; ++w) {
            double expected = scale * (pairs ? normal() : uniform());
            if (fabs(l->weights[w] - expected) > 1e-6)
                fail_msg("layer %d: weight %zu is %g, %g was drawn", i, w, l->weights[w], expected);
        }
    }
    cp_host_free(net);
}

static void left_at_zero(void **state)
{
    (void)state;
    srand(5);
    int first = rand(), second = rand();
    srand(5);
    assert_int_equal(rand(), first);
    random_weights = 0;
    network *net = parse();
    random_weights = 1;
    assert_int_equal(rand(), second); /* nothing was drawn */
    for (int i = 0; i < LAYERS; ++i) {
        size_t n, biases;
        cp_host_array_sizes(&net->layers[i], &n, &biases);
        assert_true(n > 0);
        for (size_t w = 0; w < n; ++w) assert_true(net->layers[i].weights[w] == 0);
    }
    cp_host_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(drawn_in_order), cmocka_unit_test(left_at_zero)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

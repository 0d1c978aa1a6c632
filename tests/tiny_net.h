/* Networks small enough to compute by hand, written as cfg and weights into a folder of their own. */
#ifndef TINY_NET_H
#define TINY_NET_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "critpath.h"

typedef struct {
    char folder[256], cfg[300], weights[300];
    cp_model *model;
} tiny_net;

static inline void tiny_write(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert(file && fwrite(data, 1, bytes, file) == bytes);
    int closed = fclose(file);
    assert(closed == 0);
    (void)closed;
}

/* Weights in Darknet's order: per layer biases, (scales, means, variances), weights. Version 0.2, so `seen` takes 8. */
static inline void tiny_weights(const char *path, const float *weights, size_t n)
{
    unsigned char *bytes = calloc(1, 20 + 4 * n);
    bytes[4] = 2;
    memcpy(bytes + 20, weights, 4 * n);
    tiny_write(path, bytes, 20 + 4 * n);
    free(bytes);
}

static inline void tiny_open(tiny_net *net, const char *cfg, const float *weights, size_t n)
{
    const char *base = getenv("TMPDIR");
    snprintf(net->folder, sizeof net->folder, "%.200s/critpath-test-XXXXXX", base ? base : P_tmpdir);
    char *made = mkdtemp(net->folder);
    assert(made);
    (void)made;
    snprintf(net->cfg, sizeof net->cfg, "%s/net.cfg", net->folder);
    snprintf(net->weights, sizeof net->weights, "%s/net.weights", net->folder);
    tiny_write(net->cfg, cfg, strlen(cfg));
    tiny_weights(net->weights, weights, n);
    cp_status status = cp_model_open(net->cfg, net->weights, &net->model);
    if (status)
        fprintf(stderr, "%s\n", cp_error());
    assert(!status);
}

static inline void tiny_close(tiny_net *net)
{
    cp_model_free(net->model);
    unlink(net->cfg);
    unlink(net->weights);
    rmdir(net->folder);
}

/* Input 2x2, three ReLU filters that see all of it, two logits. On {1,2,3,4}:
 *   a = (1, 2, 0), the third is dead (z = -9); logits (2*1 - 3*2 + 5*0 + 1/4, 1*1 + 1*2 + 1*0) = (-3.75, 3).
 * All numbers are exact in float. */
static const char tiny_cfg[] = "[net]\nbatch=1\nsubdivisions=1\nwidth=2\nheight=2\nchannels=1\nmax_batches=1\n"
                               "[convolutional]\nfilters=3\nsize=2\nstride=1\npad=0\nactivation=relu\n"
                               "[connected]\noutput=2\nactivation=linear\n"
                               "[softmax]\n";
static const float tiny_values[] = {2, -.5f, 1,                                                    /* biases */
                                    1, 0, 0, -.5f,  -1, .5f, .5f, .25f,  -1, -1, -1, -1,           /* filters */
                                    .25f, 0,                                                       /* biases */
                                    2, -3, 5,  1, 1, 1};                                           /* (2,3) */
static const float tiny_input[] = {1, 2, 3, 4};

#define TINY_OPEN(net) tiny_open(net, tiny_cfg, tiny_values, sizeof tiny_values / sizeof *tiny_values)

/* A residual network of three ReLU neuron layers and a pool, 6x6x2 input, pseudo-random weights:
 * 0 conv 4 (36*4 = 144 neurons), 1 maxpool, 2 conv 4 (36), 3 conv 4 linear, 4 shortcut with 1 (36), 5 dropout,
 * 6 connected 3 linear, 7 softmax. */
static const char residual_cfg[] =
    "[net]\nbatch=1\nsubdivisions=1\nwidth=6\nheight=6\nchannels=2\nmax_batches=1\n"
    "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n"
    "[maxpool]\nsize=2\nstride=2\n"
    "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n"
    "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=linear\n"
    "[shortcut]\nfrom=-3\nactivation=relu\n"
    "[dropout]\nprobability=.5\n"
    "[connected]\noutput=3\nactivation=linear\n"
    "[softmax]\n";
enum { RESIDUAL_NEURONS = 144 + 36 + 36, RESIDUAL_INPUT = 2 * 6 * 6 };

static inline float tiny_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.f - 1;
}

static inline void residual_open(tiny_net *net, float *input)
{
    enum { N = 4 + 72 + 4 + 144 + 4 + 144 + 3 + 108 };
    float weights[N];
    unsigned state = 12345;
    for (int i = 0; i < N; i++)
        weights[i] = .5f * tiny_random(&state);
    tiny_open(net, residual_cfg, weights, N);
    for (int i = 0; i < RESIDUAL_INPUT; i++)
        input[i] = tiny_random(&state);
}

#endif

/* For the tests of scores: a small network twice, as the double-precision reference and opened by the library. Real
 * photos and weights where they are there. */
#ifndef SCORE_NET_H
#define SCORE_NET_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "critpath.h"
#include "io/image.h"
#include "../reference/ref_model.h"

#define CONV(f, k, s, p, a) \
    {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, .activation = a}
#define FULL(n, a) {.type = REF_CONNECTED, .filters = n, .activation = a}
#define POOL(k, s, p) {.type = REF_MAXPOOL, .size = k, .stride = s, .padding = p}
#define ADD(from, a) {.type = REF_SHORTCUT, .n_sources = 1, .sources = {from}, .activation = a}
#define ROUTE2(i, j) {.type = REF_ROUTE, .n_sources = 2, .sources = {i, j}}
#define SOFTMAX {.type = REF_SOFTMAX}

typedef struct {
    ref_net net;
    cp_model *model;
    cp_frame *frame;
    const cp_neuron_layer *layers;
    int n_layers;
    size_t neurons;
} pair;

static inline void check(cp_status status)
{
    if (status != CP_OK)
        fail_msg("%s", cp_error());
}

/* Random weights; without biases on wish. */
static inline void pair_open(pair *p, int c, int h, int w, const ref_layer *layers, int n, uint64_t seed, bool biases)
{
    memset(p, 0, sizeof *p);
    p->net.c = c, p->net.h = h, p->net.w = w, p->net.n = n;
    memcpy(p->net.layer, layers, (size_t)n * sizeof *layers);
    ref_net_build(&p->net, seed);
    for (int i = 0; i < n && !biases; i++)
        for (int k = 0; k < p->net.layer[i].n_biases; k++)
            p->net.layer[i].biases[k] = 0;
    ref_net_forward(&p->net, 0);
    p->model = ref_model_open(&p->net);
    size_t inputs = (size_t)c * (size_t)h * (size_t)w;
    float *input = malloc(inputs * sizeof *input);
    assert_non_null(input);
    for (size_t i = 0; i < inputs; i++)
        input[i] = (float)p->net.input[i];
    check(cp_frame_create(p->model, 1, &p->frame));
    check(cp_frame_forward(p->frame, input, 1, NULL));
    free(input);
    p->layers = cp_model_neuron_layers(p->model, &p->n_layers);
    p->neurons = cp_model_neuron_count(p->model);
}

static inline void pair_close(pair *p)
{
    cp_frame_free(p->frame);
    cp_model_free(p->model);
    ref_net_free(&p->net);
}

static inline double ref_response(const pair *p, const cp_response *response)
{
    double sum = 0;
    for (int k = 0; k < response->n; k++)
        sum += response->unit[k].weight * p->net.layer[response->unit[k].layer].output[response->unit[k].index];
    return sum;
}

/* ---------------------------------------------------------------- real networks */

static inline const char *data_folder(void)
{
    const char *folder = getenv("CRITPATH_DATA");
    return folder && *folder ? folder : "../shared/data";
}

/* Skips the test, saying what is missing, unless both are readable. */
static inline void need_data(const char *network, const char *archive)
{
    char path[600];
    const char *form[] = {"%s/weights/%s.weights", "%s/images/%s"}, *name[] = {network, archive};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, form[i], data_folder(), name[i]);
        if (access(path, R_OK) != 0) {
            print_message("skipped: no %s\n", path);
            skip();
        }
    }
}

static inline cp_model *open_network(const char *network)
{
    char cfg[600], weights[600];
    cp_model *model;
    snprintf(cfg, sizeof cfg, "%s/weights/%s.cfg", data_folder(), network);
    snprintf(weights, sizeof weights, "%s/weights/%s.weights", data_folder(), network);
    check(cp_model_open(cfg, weights, &model));
    return model;
}

/* Takes a photo out of an archive: a frame with its forward run, and the logit of the class with the highest one. */
static inline cp_frame *run_photo(const cp_model *model, const char *archive, const char *member, cp_response *response)
{
    char command[1400];
    size_t bytes = 0, room = 1 << 22, c, h, w;
    cp_picture picture;
    cp_placement placement;
    cp_frame *frame;
    unsigned char *file = malloc(room);
    snprintf(command, sizeof command, "tar xOf '%s/images/%s' '%s'", data_folder(), archive, member);
    FILE *pipe = popen(command, "r");
    assert_non_null(file);
    assert_non_null(pipe);
    bytes = fread(file, 1, room, pipe);
    assert_int_equal(pclose(pipe), 0);
    check(cp_picture_decode(file, bytes, member, &picture));
    free(file);
    cp_model_input_shape(model, &c, &h, &w);
    float *input = malloc(c * h * w * sizeof *input);
    assert_non_null(input);
    check(cp_model_prepare(model, picture.rgb, (size_t)picture.w, (size_t)picture.h, true, input, &placement));
    cp_picture_free(&picture);
    check(cp_frame_create(model, 1, &frame));
    check(cp_frame_forward(frame, input, 1, NULL));
    free(input);
    const int *heads;
    int n = cp_model_heads(model, &heads), best = 0;
    const float *logits = cp_frame_output(frame, cp_model_logit_layer(model, n ? heads[0] : -1), 0);
    for (int i = 1; i < cp_model_classes(model); i++)
        if (logits[i] > logits[best])
            best = i;
    check(cp_response_class(model, best, response));
    return frame;
}

static inline cp_response logit(const pair *p, int layer, size_t index)
{
    cp_response response;
    check(cp_response_unit(p->model, layer, index, &response));
    return response;
}

/* A score's room, in which what is not written is seen. */
static inline float *new_scores(const pair *p)
{
    float *score = malloc(p->neurons * sizeof *score);
    assert_non_null(score);
    for (size_t i = 0; i < p->neurons; i++)
        score[i] = NAN;
    return score;
}

#endif

/* For the tests of pruning: a network from its cfg and weights with its channels, and the smaller one made of it. */
#ifndef PRUNE_NET_H
#define PRUNE_NET_H

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
#include "train/choose.h"
#include "train/prune.h"

static char folder[64], small_cfg[96], small_weights[96], planted[96];

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, P_tmpdir "/prune_XXXXXX");
    cp_set_threads(1);
    if (!mkdtemp(folder)) return 1;
    snprintf(small_cfg, sizeof small_cfg, "%s/small.cfg", folder);
    snprintf(small_weights, sizeof small_weights, "%s/small.weights", folder);
    snprintf(planted, sizeof planted, "%s/planted.weights", folder);
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static inline void done(cp_status status)
{
    if (status) fail_msg("status %d: %s", status, cp_error());
}

static inline double next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 24);
}

typedef struct {
    char cfg_path[600], weights[600];
    cp_cfg *cfg;
    cp_cfg_net *net;
    cp_channels channels;
    bool *kept; /* all true at first */
} subject;

static inline subject *open_subject(const char *cfg, const char *weights)
{
    subject *s = calloc(1, sizeof *s);
    snprintf(s->cfg_path, sizeof s->cfg_path, "%s", cfg);
    snprintf(s->weights, sizeof s->weights, "%s", weights);
    done(cp_cfg_read(cfg, &s->cfg));
    done(cp_cfg_check(s->cfg, 0, &s->net));
    done(cp_channels_find(s->net, &s->channels));
    s->kept = malloc(s->channels.n_groups);
    memset(s->kept, true, s->channels.n_groups);
    return s;
}

static inline subject *open_oracle(const char *name)
{
    char cfg[200], weights[200];
    snprintf(cfg, sizeof cfg, "tests/oracle/cfg/%s.cfg", name);
    snprintf(weights, sizeof weights, "tests/oracle/%s.weights", name);
    return open_subject(cfg, weights);
}

static inline void close_subject(subject *s)
{
    cp_channels_free(&s->channels);
    cp_cfg_net_free(s->net);
    cp_cfg_free(s->cfg);
    free(s->kept);
    free(s);
}

/* Into small_cfg and small_weights; mean as cp_prune_weights'. */
static inline void prune_with(const subject *s, const double *mean)
{
    cp_cfg *smaller;
    cp_cfg_net *net;
    done(cp_prune_cfg(s->cfg, &s->channels, s->kept, &smaller));
    done(cp_cfg_check(smaller, 0, &net));
    done(cp_prune_weights(s->weights, s->cfg_path, &s->channels, s->kept, mean, net, small_weights));
    done(cp_cfg_write(smaller, small_cfg));
    cp_cfg_net_free(net);
    cp_cfg_free(smaller);
}

static inline void prune_subject(const subject *s) { prune_with(s, NULL); }

static inline size_t group_at(const subject *s, int layer, size_t channel)
{
    return s->channels.group[cp_channels_first(&s->channels, layer) + channel];
}

static inline const char *reason_at(const subject *s, int layer, size_t channel)
{
    int reason = s->channels.reason[group_at(s, layer, channel)];
    return reason < 0 ? "" : s->channels.reasons[reason];
}

/* Filters of the layer that stay. */
static inline size_t stay(const subject *s, int layer)
{
    size_t n = 0;
    for (size_t i = 0; i < cp_channels_count(&s->channels, layer); i++) n += s->kept[group_at(s, layer, i)];
    return n;
}

/* Lets about half of the groups go that may, and none that `but` (by group, may be NULL) holds; every layer keeps
 * one. */
static inline size_t drop_half(subject *s, const bool *but, uint32_t seed)
{
    size_t dropped = 0;
    for (size_t g = 0; g < s->channels.n_groups; g++) {
        if (s->channels.reason[g] >= 0 || (but && but[g]) || next_random(&seed) < .5) continue;
        s->kept[g] = false;
        dropped++;
        for (size_t l = 0; l < s->net->n_layers; l++)
            if (cp_layer_has_filters(&s->net->layers[l]) && !stay(s, (int)l)) {
                s->kept[g] = true;
                dropped--;
                break;
            }
    }
    return dropped;
}

/* One image through a network, its restriction made by the caller. */
typedef struct {
    cp_model *model;
    cp_frame *frame;
} run;

static inline run run_network(const char *cfg, const char *weights)
{
    run r;
    done(cp_model_open(cfg, weights, &r.model));
    done(cp_frame_create(r.model, 1, &r.frame));
    return r;
}

static inline void forward(run *r, const cp_path *zeroed)
{
    size_t c, h, w;
    cp_model_input_shape(r->model, &c, &h, &w);
    float *x = malloc(c * h * w * sizeof *x);
    uint32_t seed = 7;
    for (size_t i = 0; i < c * h * w; i++) x[i] = (float)next_random(&seed);
    const cp_restriction restriction = {.kind = CP_ZEROED, .path = zeroed};
    done(cp_frame_forward(r->frame, x, 1, zeroed ? &restriction : NULL));
    free(x);
}

static inline void close_run(run *r)
{
    cp_frame_free(r->frame);
    cp_model_free(r->model);
}

/* Every output of the smaller network against the channels of the larger one that stay, relative to the layer's largest
 * value. Returns the largest difference. */
static inline double compare_runs(const subject *s, const run *large, const run *small, size_t *compared)
{
    double worst = 0;
    *compared = 0;
    for (int l = 0; l < (int)s->net->n_layers; l++) {
        const float *a = cp_frame_output(large->frame, l, 0), *b = cp_frame_output(small->frame, l, 0);
        if (!a || !b) continue;
        size_t channels = cp_channels_count(&s->channels, l), plane, at = 0;
        size_t outputs = cp_model_layer(large->model, l)->outputs;
        double largest = 1e-3;
        if (!channels) continue;
        plane = outputs / channels;
        for (size_t i = 0; i < outputs; i++) largest = fmax(largest, fabs((double)a[i]));
        for (size_t c = 0; c < channels; c++) {
            if (!s->kept[group_at(s, l, c)]) continue;
            for (size_t i = 0; i < plane; i++, at++) {
                double off = fabs((double)a[c * plane + i] - b[at]) / largest;
                if (!(off <= worst)) worst = off;
            }
        }
        assert_int_equal(at, cp_model_layer(small->model, l)->outputs);
        *compared += at;
    }
    return worst;
}

#endif

#include "train/channel_groups.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "model/layer_row.h"

bool cp_layer_is_depthwise(const cp_cfg_layer *layer)
{
    return layer->type == CP_LAYER_CONVOLUTIONAL && layer->groups > 1 && layer->groups == layer->c;
}

size_t cp_channels_first(const cp_channels *channels, int layer) { return channels->first[layer + 1]; }

size_t cp_channels_count(const cp_channels *channels, int layer)
{
    return channels->first[layer + 2] - channels->first[layer + 1];
}

double cp_net_macs(const cp_cfg_net *net)
{
    double sum = 0;
    for (size_t i = 0; i < net->n_layers; i++) sum += cp_layer_macs(&net->layers[i]);
    return sum;
}

/* ---- groups: a forest over the channels, until cp_channels_find numbers its trees ---- */

static size_t root_of(cp_channels *c, size_t channel)
{
    while (c->group[channel] != channel) {
        c->group[channel] = c->group[c->group[channel]];
        channel = c->group[channel];
    }
    return channel;
}

/* The earlier channel becomes the root, so that groups are numbered in the order of the layers. */
static void tie(cp_channels *c, size_t a, size_t b)
{
    a = root_of(c, a), b = root_of(c, b);
    if (a < b) c->group[b] = a;
    else c->group[a] = b;
}

typedef struct {
    cp_channels *c;
    int *reason; /* by channel */
} walk;

static void __attribute__((format(printf, 3, 4))) keep(walk *w, int layer, const char *format, ...)
{
    cp_channels *c = w->c;
    va_list args;
    va_start(args, format);
    vsnprintf(c->reasons[c->n_reasons], CP_REASON_TEXT, format, args);
    va_end(args);
    for (size_t i = 0; i < cp_channels_count(c, layer); i++) {
        int *reason = &w->reason[cp_channels_first(c, layer) + i];
        if (*reason < 0) *reason = (int)c->n_reasons;
    }
    c->n_reasons++;
}

/* Channel i of one output is channel i of another. */
static void tie_outputs(cp_channels *c, int a, int b, size_t n)
{
    for (size_t i = 0; i < n; i++) tie(c, cp_channels_first(c, a) + i, cp_channels_first(c, b) + i);
}

static void tie_depthwise(cp_channels *c, int layer, const cp_cfg_layer *l)
{
    size_t per_channel = (size_t)(l->n / l->groups);
    for (size_t i = 0; i < (size_t)l->n; i++)
        tie(c, cp_channels_first(c, layer) + i, cp_channels_first(c, l->sources[0]) + i / per_channel);
}

/* Darknet takes the input for one of c / stride^2 channels, stride times as wide and high, each lying where stride^2
 * consecutive ones of the real input do; plane k of its output (in the input's own width and height, stride^2 channels
 * of the real output) samples channel k % (c / stride^2) of that. */
static void tie_reorg(cp_channels *c, int layer, const cp_cfg_layer *l)
{
    size_t block = (size_t)l->stride * (size_t)l->stride, blocks = (size_t)l->c / block;
    size_t in = cp_channels_first(c, l->sources[0]), out = cp_channels_first(c, layer);
    for (size_t i = 0; i < (size_t)l->c; i++) tie(c, in + i, in + i / block * block);
    for (size_t i = 0; i < cp_channels_count(c, layer); i++) tie(c, out + i, in + i / block % blocks * block);
}

static void tie_route(walk *w, int layer, const cp_cfg_layer *l)
{
    cp_channels *c = w->c;
    size_t at = cp_channels_first(c, layer);
    for (size_t s = 0; s < l->n_sources; s++) {
        if (!l->out_c) keep(w, l->sources[s], "read by layer %d [route], which joins other sizes", layer);
        size_t n = cp_channels_count(c, l->sources[s]) / (size_t)l->groups, first = n * (size_t)l->group_id;
        for (size_t i = 0; l->out_c && i < n; i++)
            tie(c, at++, cp_channels_first(c, l->sources[s]) + first + i);
        /* The parts stay of one size: channel i of each goes or stays. */
        for (size_t i = 0; l->out_c && i < n * (size_t)l->groups; i++)
            tie(c, cp_channels_first(c, l->sources[s]) + i, cp_channels_first(c, l->sources[s]) + i % n);
    }
}

/* Weights that two layers share, or that lie outside of filters, are not cut. */
static void keep_shared(walk *w, int layer, const cp_cfg_layer *l)
{
    if (l->type == CP_LAYER_CONVOLUTIONAL && l->share >= 0) {
        keep(w, layer, "its weights are those of layer %d", l->share);
        keep(w, l->sources[0], "read by layer %d, whose weights are those of layer %d", layer, l->share);
        keep(w, l->share, "its weights are those of layer %d too", layer);
        keep(w, w->c->net->layers[l->share].sources[0], "read by layer %d, whose weights layer %d shares", l->share, layer);
    } else if (l->type == CP_LAYER_SHORTCUT && l->per_channel) {
        keep(w, layer, "it has a weight for each channel");
    }
}

static void tie_filters(walk *w, int layer, const cp_cfg_layer *l)
{
    if (cp_layer_is_depthwise(l)) {
        tie_depthwise(w->c, layer, l);
    } else if (l->groups > 1) {
        keep(w, l->sources[0], "read by layer %d [convolutional], whose %d groups must stay alike", layer, l->groups);
        keep(w, layer, "its %d groups must stay alike", l->groups);
    }
}

/* Of different numbers of channels a [shortcut] adds the first min(c), and the rest stays: the smaller network's first
 * min(c) are the same ones, since both lose the same of them. */
static void tie_each(cp_channels *c, int layer, const cp_cfg_layer *l)
{
    size_t n = cp_channels_count(c, layer);
    for (size_t s = l->scale_planes ? 1 : 0; s < l->n_sources; s++) {
        size_t from = cp_channels_count(c, l->sources[s]);
        tie_outputs(c, l->sources[s], layer, from < n ? from : n);
    }
}

static void tie_layer(walk *w, int layer)
{
    cp_channels *c = w->c;
    const cp_cfg_layer *l = &c->net->layers[layer];
    cp_ties ties = cp_layer_row_of(l->type)->ties;
    keep_shared(w, layer, l);
    if (cp_layer_ties_channels(l)) keep(w, layer, "its activation is of all its channels together");
    if (l->scale_planes) keep(w, l->sources[0], "read by layer %d [scale_channels] as a plane", layer);
    switch (l->depth ? CP_TIES_ALL : ties) {
    case CP_TIES_NONE:
        tie_filters(w, layer, l);
        return;
    case CP_TIES_EACH:
        tie_each(c, layer, l);
        return;
    case CP_TIES_ROUTE:
        tie_route(w, layer, l);
        return;
    case CP_TIES_REORG:
        if (!l->reverse && !l->flatten && !l->extra) {
            tie_reorg(c, layer, l);
            return;
        }
        keep(w, layer, "%s makes it of all channels",
             l->reverse ? "reverse=1" : l->flatten ? "flatten=1" : "extra");
        break;
    case CP_TIES_ALL:
        keep(w, layer, "its channels belong together");
        break;
    }
    keep(w, l->sources[0], "read by layer %d [%s]", layer, cp_layer_type_name(l->type));
}

/* ---- all of it ---- */

static bool has_channels(const cp_cfg_layer *l) { return !cp_layer_type_is_head(l->type) && l->out_h && l->out_w; }

static cp_status allocate(cp_channels *c, size_t *n_reasons)
{
    const cp_cfg_net *net = c->net;
    c->first = cp_alloc(net->n_layers + 2, sizeof *c->first, "channels");
    if (!c->first) return CP_ERESOURCE;
    c->first[1] = (size_t)net->c;
    *n_reasons = 1;
    for (size_t i = 0; i < net->n_layers; i++) {
        const cp_cfg_layer *l = &net->layers[i];
        c->first[i + 2] = c->first[i + 1] + (has_channels(l) ? (size_t)l->out_c : 0);
        *n_reasons += l->n_sources + 7;
    }
    c->n = c->first[net->n_layers + 1];
    c->group = cp_alloc(c->n, sizeof *c->group, "channels");
    c->reasons = cp_alloc(*n_reasons, sizeof *c->reasons, "channels");
    return c->group && c->reasons ? CP_OK : CP_ERESOURCE;
}

static void keep_outputs(walk *w, bool *read)
{
    const cp_cfg_net *net = w->c->net;
    for (size_t i = 0; i < net->n_layers; i++)
        for (size_t s = 0; s < net->layers[i].n_sources; s++)
            if (net->layers[i].sources[s] >= 0) read[net->layers[i].sources[s]] = true;
    for (size_t i = 0; i < net->n_layers; i++)
        if (!read[i]) keep(w, (int)i, "an output of the network");
}

/* Trees become numbers. The root is the earliest channel of its group, so it has its number when the others come. */
static cp_status number_groups(cp_channels *c, const int *by_channel)
{
    for (size_t i = 0; i < c->n; i++) c->group[i] = root_of(c, i);
    for (size_t i = 0; i < c->n; i++) c->group[i] = c->group[i] == i ? c->n_groups++ : c->group[c->group[i]];
    c->reason = cp_alloc(c->n_groups, sizeof *c->reason, "channels");
    if (!c->reason) return CP_ERESOURCE;
    for (size_t g = 0; g < c->n_groups; g++) c->reason[g] = -1;
    for (size_t i = 0; i < c->n; i++)
        if (by_channel[i] >= 0 && c->reason[c->group[i]] < 0) c->reason[c->group[i]] = by_channel[i];
    for (size_t g = 0; g < c->n_groups; g++) c->cuttable += c->reason[g] < 0;
    return CP_OK;
}

cp_status cp_channels_find(const cp_cfg_net *net, cp_channels *c)
{
    walk w = {.c = c};
    size_t room;
    bool *read = NULL;
    *c = (cp_channels){.net = net};
    cp_status status = allocate(c, &room);
    if (!status && (!(w.reason = cp_alloc(c->n, sizeof *w.reason, "channels")) ||
                    !(read = cp_alloc(net->n_layers, sizeof *read, "channels"))))
        status = CP_ERESOURCE;
    if (status) goto done;
    for (size_t i = 0; i < c->n; i++) c->group[i] = i, w.reason[i] = -1;
    keep(&w, -1, "the network's input");
    keep_outputs(&w, read);
    for (size_t i = 0; i < net->n_layers; i++) tie_layer(&w, (int)i);
    status = number_groups(c, w.reason);
done:
    cp_free(w.reason);
    cp_free(read);
    if (status) cp_channels_free(c);
    return status;
}

void cp_channels_free(cp_channels *c)
{
    cp_free(c->first);
    cp_free(c->group);
    cp_free(c->reason);
    cp_free(c->reasons);
    *c = (cp_channels){0};
}

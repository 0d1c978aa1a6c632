#include "train/prune.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"
#include "model/weights.h"

static size_t count_kept(const cp_channels *c, const bool *kept, int layer)
{
    size_t n = 0, first = cp_channels_first(c, layer);
    for (size_t i = 0; i < cp_channels_count(c, layer); i++) n += kept[c->group[first + i]];
    return n;
}

cp_status cp_prune_cfg(const cp_cfg *cfg, const cp_channels *channels, const bool *kept, cp_cfg **smaller)
{
    const cp_cfg_net *net = channels->net;
    cp_cfg *copy = NULL;
    *smaller = NULL;
    cp_status status = cp_cfg_copy(cfg, &copy);
    for (size_t i = 0; !status && i < net->n_layers; i++) {
        const cp_cfg_layer *l = &net->layers[i];
        size_t n = count_kept(channels, kept, (int)i);
        if (!cp_layer_has_filters(l) || n == (size_t)l->n) continue; /* what is not cut keeps its spelling */
        status = cp_cfg_set(copy, l->section, l->type == CP_LAYER_CONNECTED ? "output" : "filters", "%zu", n);
        if (!status && cp_layer_is_depthwise(l))
            status = cp_cfg_set(copy, l->section, "groups", "%zu", count_kept(channels, kept, l->sources[0]));
    }
    if (status) cp_cfg_free(copy);
    else *smaller = copy;
    return status;
}

/* ---- weights ---- */

/* One dimension of an array; `channels` entries of it stay or go, each `kept[i]`, NULL: all stay. */
typedef struct {
    size_t n;
    const bool *kept;
} axis;

enum { MAX_AXES = 4 };

/* Copies what stays of an array of n_axes dimensions, row by row; returns the end of the copy. */
static float *copy_kept(const axis *axes, int n_axes, const float *from, float *to)
{
    size_t inside = 1;
    for (int a = 1; a < n_axes; a++) inside *= axes[a].n;
    bool whole = true;
    for (int a = 1; a < n_axes; a++) whole &= !axes[a].kept;
    for (size_t i = 0; i < axes[0].n; i++, from += inside) {
        if (axes[0].kept && !axes[0].kept[i]) continue;
        if (!whole) {
            to = copy_kept(axes + 1, n_axes - 1, from, to);
        } else {
            memcpy(to, from, inside * sizeof *to);
            to += inside;
        }
    }
    return to;
}

/* The axes of one array of a layer, as Darknet lays it out; `in` and `out` say what stays of the channels read and
 * made, `plane` is the size of a channel read. */
static int find_axes(const cp_cfg_layer *l, cp_array_kind kind, bool transposed, const bool *in, const bool *out,
                     size_t plane, axis axes[MAX_AXES])
{
    size_t n = (size_t)(l->type == CP_LAYER_BATCHNORM ? l->out_c : l->n), c = (size_t)l->c, window = (size_t)l->size * (size_t)l->size;
    size_t positions = (size_t)l->out_h * (size_t)l->out_w;
    if (kind != CP_WEIGHTS) {
        axes[0] = (axis){n, out};
        axes[1] = (axis){l->type == CP_LAYER_LOCAL ? positions : 1, NULL}; /* one bias per output */
        return 2;
    }
    switch (l->type) {
    case CP_LAYER_SHORTCUT: /* a weight for each source, or such as are not cut */
    case CP_LAYER_IMPLICIT:
        axes[0] = (axis){l->n_weights, NULL};
        return 1;
    case CP_LAYER_CONVOLUTIONAL: /* (n, c / groups, window) */
        axes[0] = (axis){n, out};
        axes[1] = (axis){c / (size_t)l->groups, l->groups > 1 ? NULL : in};
        axes[2] = (axis){window, NULL};
        return 3;
    case CP_LAYER_DECONVOLUTIONAL: /* (c, n, window) */
        axes[0] = (axis){c, in};
        axes[1] = (axis){n, out};
        axes[2] = (axis){window, NULL};
        return 3;
    case CP_LAYER_LOCAL: /* (position, n, c, window) */
        axes[0] = (axis){positions, NULL};
        axes[1] = (axis){n, out};
        axes[2] = (axis){c, in};
        axes[3] = (axis){window, NULL};
        return 4;
    default: /* connected: (outputs, inputs), in old files the other way round */
        axes[transposed ? 2 : 0] = (axis){n, out};
        axes[transposed ? 0 : 1] = (axis){c / plane, in};
        axes[transposed ? 1 : 2] = (axis){plane, NULL};
        return 3;
    }
}

typedef struct {
    const cp_channels *channels;
    const bool *kept;
    FILE *from;
    const char *name;
    cp_file *to;
    bool transposed;
    bool *in, *out; /* room for any layer's channels */
    const double *mean; /* by channel, or NULL */
} rewriting;

/* What stays of a layer's channels; NULL where it has none that could be told apart. */
static const bool *mark_kept(const rewriting *r, int layer, bool *marks)
{
    const cp_channels *c = r->channels;
    size_t n = cp_channels_count(c, layer), first = cp_channels_first(c, layer);
    for (size_t i = 0; i < n; i++) marks[i] = r->kept[c->group[first + i]];
    return n ? marks : NULL;
}

enum { MAX_ARRAYS = 5 };

static int find_array(const cp_cfg_layer *l, cp_array_kind kind)
{
    for (size_t a = 0; a < l->n_arrays; a++)
        if (l->arrays[a].kind == kind) return (int)a;
    return -1;
}

/* What the input channels that go have added to each filter, were they their mean, goes into its bias; with batch norm
 * into the rolling mean, which is subtracted from the sum. */
static void absorb_means(const rewriting *r, const cp_cfg_layer *l, const bool *in, const double *mean, size_t plane,
                         float **arrays)
{
    bool connected = l->type == CP_LAYER_CONNECTED, by_input = connected && r->transposed;
    if (!in || !mean || l->groups > 1 || (l->type != CP_LAYER_CONVOLUTIONAL && !connected)) return;
    size_t filters = (size_t)l->n, inner = connected ? plane : (size_t)l->size * (size_t)l->size;
    size_t inputs = connected ? (size_t)l->c / plane : (size_t)l->c;
    const float *weights = arrays[find_array(l, CP_WEIGHTS)];
    float *to = arrays[find_array(l, l->batch_normalize ? CP_ROLLING_MEAN : CP_BIASES)];
    for (size_t f = 0; f < filters; f++) {
        double shift = 0;
        for (size_t i = 0; i < inputs * inner; i++)
            if (!in[i / inner])
                shift += mean[i / inner] * (double)weights[by_input ? i * filters + f : f * inputs * inner + i];
        to[f] = (float)((double)to[f] + (l->batch_normalize ? -shift : shift));
    }
}

static cp_status rewrite_layer(rewriting *r, int layer, const cp_cfg_layer *smaller)
{
    const cp_channels *channels = r->channels;
    const cp_cfg_layer *l = &channels->net->layers[layer];
    int source = l->sources[0];
    size_t sources = cp_channels_count(channels, source);
    const bool *in = mark_kept(r, source, r->in), *out = mark_kept(r, layer, r->out);
    const double *mean = r->mean ? r->mean + cp_channels_first(channels, source) : NULL;
    size_t plane = sources && l->type == CP_LAYER_CONNECTED ? (size_t)l->c / sources : 1;
    float *arrays[MAX_ARRAYS] = {NULL};
    cp_status status = CP_OK;
    for (size_t a = 0; a < l->n_arrays && !status; a++) {
        size_t n = l->arrays[a].n;
        if (!(arrays[a] = cp_alloc_dirty(n, sizeof *arrays[a], "weights")))
            status = CP_ERESOURCE;
        else if (fread(arrays[a], sizeof *arrays[a], n, r->from) != n)
            status = cp_fail(CP_EINPUT, "weights: %s ended while it was read", r->name);
    }
    if (!status) absorb_means(r, l, in, mean, plane, arrays);
    for (size_t a = 0; a < l->n_arrays && !status; a++) {
        axis axes[MAX_AXES];
        int n_axes = find_axes(l, l->arrays[a].kind, r->transposed, in, out, plane, axes);
        float *some = cp_alloc_dirty(l->arrays[a].n, sizeof *some, "weights");
        size_t left = some ? (size_t)(copy_kept(axes, n_axes, arrays[a], some) - some) : 0;
        if (!some)
            status = CP_ERESOURCE;
        else if (left != smaller->arrays[a].n)
            status = cp_fail(CP_EINTERNAL, "layer %d: %zu floats of %s stay, the smaller cfg has %zu", layer, left,
                             cp_array_name(l->arrays[a].kind), smaller->arrays[a].n);
        else
            status = cp_file_write(r->to, some, left * sizeof *some);
        cp_free(some);
    }
    for (size_t a = 0; a < l->n_arrays; a++) cp_free(arrays[a]);
    return status;
}

cp_status cp_prune_weights(const char *weights, const char *cfg_name, const cp_channels *channels, const bool *kept,
                           const double *mean, const cp_cfg_net *smaller, const char *out)
{
    const cp_cfg_net *net = channels->net;
    rewriting r = {.channels = channels, .kept = kept, .mean = mean, .name = weights};
    cp_weights_info info;
    unsigned char header[32];
    cp_status status = cp_weights_check(weights, net, cfg_name, &info);
    if (status) return status;
    r.transposed = info.transposed;
    r.in = cp_alloc(channels->n, sizeof *r.in, "weights");
    r.out = cp_alloc(channels->n, sizeof *r.out, "weights");
    if (!r.in || !r.out) status = CP_ERESOURCE;
    if (!status && !(r.from = fopen(weights, "rb"))) status = cp_fail(cp_open_status(errno), "weights: cannot open %s", weights);
    if (!status && fread(header, 1, info.header_bytes, r.from) != info.header_bytes)
        status = cp_fail(CP_EINPUT, "weights: %s ended while it was read", weights);
    if (!status) status = cp_file_begin(out, &r.to);
    if (!status) status = cp_file_write(r.to, header, info.header_bytes);
    for (size_t i = 0; !status && i < net->n_layers; i++)
        if (net->layers[i].n_arrays) status = rewrite_layer(&r, (int)i, &smaller->layers[i]);
    if (!status) status = cp_file_commit(&r.to);
    cp_file_abort(&r.to);
    if (r.from) fclose(r.from);
    cp_free(r.in);
    cp_free(r.out);
    return status;
}

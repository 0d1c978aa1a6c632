#include "model/receptive.h"
#include "io/error.h"
#include "model/layer_row.h"

#include <string.h>

static int clamp(int value, int last) { return value < 0 ? 0 : value > last ? last : value; }

/* What an interval of the output reads of one source, along one axis, inside the plane. from: the source; NULL: the input. */
static cp_interval read_by(const cp_cfg_layer *l, const cp_cfg_layer *from, cp_axis axis, int first, int last)
{
    const cp_layer_row *row = cp_layer_row_of(l->type);
    cp_axis seen = axis;
    bool blurred = from && cp_layer_is_blurred(from);
    if (blurred) seen.size_in = axis.vertical ? from->blur.out_h : from->blur.out_w;
    cp_interval all = {0, seen.size_in - 1}, in = row->reads ? row->reads(l, seen, (cp_interval){first, last}) : all;
    in = (cp_interval){clamp(in.first, seen.size_in - 1), clamp(in.last, seen.size_in - 1)};
    if (!blurred) return in;
    int stride = axis.vertical ? from->blur.stride_y : from->blur.stride_x, border = from->blur.size == 3;
    return (cp_interval){clamp(in.first * stride - border, axis.size_in - 1),
                         clamp(in.last * stride - border + from->blur.size - 1, axis.size_in - 1)};
}

static void unite(cp_rectangle *into, const cp_rectangle *more)
{
    if (into->x1 < into->x0) {
        *into = *more;
        return;
    }
    if (more->x0 < into->x0) into->x0 = more->x0;
    if (more->y0 < into->y0) into->y0 = more->y0;
    if (more->x1 > into->x1) into->x1 = more->x1;
    if (more->y1 > into->y1) into->y1 = more->y1;
}

cp_status cp_receptive_field(const cp_cfg_net *net, int layer, int x, int y, cp_rectangle *field)
{
    const cp_rectangle nothing = {0, 0, -1, -1};
    if (layer < 0 || (size_t)layer >= net->n_layers)
        return cp_fail(CP_EINTERNAL, "receptive field: layer %d is not among 0..%zu", layer, net->n_layers - 1);
    cp_rectangle *reached = cp_alloc((size_t)layer + 1, sizeof *reached, "receptive field");
    if (!reached)
        return CP_ERESOURCE;
    for (int i = 0; i < layer; i++)
        reached[i] = nothing;
    reached[layer] = (cp_rectangle){x, y, x, y};
    *field = nothing;
    for (int i = layer; i >= 0; i--) {
        const cp_cfg_layer *l = &net->layers[i];
        const cp_rectangle *out = &reached[i];
        if (out->x1 < out->x0)
            continue;
        for (size_t k = 0; k < l->n_sources; k++) {
            int source = l->sources[k];
            int w = source < 0 ? net->w : net->layers[source].out_w,
                h = source < 0 ? net->h : net->layers[source].out_h;
            const cp_cfg_layer *from = source < 0 ? NULL : &net->layers[source];
            cp_interval in_x = read_by(l, from, (cp_axis){(int)k, w > 0 ? w : 1, l->out_w, false}, out->x0, out->x1);
            cp_interval in_y = read_by(l, from, (cp_axis){(int)k, h > 0 ? h : 1, l->out_h, true}, out->y0, out->y1);
            cp_rectangle in = {in_x.first, in_y.first, in_x.last, in_y.last};
            unite(source < 0 ? field : &reached[source], &in);
        }
    }
    cp_free(reached);
    return CP_OK;
}

static int at_least_1(int n) { return n < 1 ? 1 : n; }

static size_t positions_of(const cp_cfg_layer *l) { return (size_t)at_least_1(l->out_h) * (size_t)at_least_1(l->out_w); }

static cp_status make_room(cp_reach *reach, int layer)
{
    if (!reach->at[layer]) reach->at[layer] = cp_alloc(positions_of(&reach->net->layers[layer]), 1, "reach");
    return reach->at[layer] ? CP_OK : CP_ERESOURCE;
}

/* What the marked positions of a layer read of source k. */
static void mark_source(const cp_reach *reach, int layer, int k)
{
    const cp_cfg_layer *l = &reach->net->layers[layer], *from = &reach->net->layers[l->sources[k]];
    const uint8_t *out = reach->at[layer];
    uint8_t *in = reach->at[l->sources[k]];
    int out_h = at_least_1(l->out_h), out_w = at_least_1(l->out_w), w = at_least_1(from->out_w);
    cp_axis axis_x = {k, w, out_w, false}, axis_y = {k, at_least_1(from->out_h), out_h, true};
    for (int y = 0; y < out_h; y++) {
        cp_interval rows = read_by(l, from, axis_y, y, y);
        for (int x = 0; x < out_w; x++) {
            if (!out[(size_t)y * (size_t)out_w + (size_t)x])
                continue;
            cp_interval columns = read_by(l, from, axis_x, x, x);
            for (int row = rows.first; row <= rows.last; row++)
                memset(in + (size_t)row * (size_t)w + columns.first, 1, (size_t)(columns.last - columns.first + 1));
        }
    }
}

cp_status cp_reach_find(const cp_cfg_net *net, const cp_response *response, cp_reach *reach)
{
    *reach = (cp_reach){.net = net, .at = cp_alloc(net->n_layers + 1, sizeof *reach->at, "reach")};
    cp_status status = reach->at ? CP_OK : CP_ERESOURCE;
    for (int k = 0; k < response->n && !status; k++) {
        int layer = response->unit[k].layer;
        status = make_room(reach, layer);
        if (!status)
            reach->at[layer][response->unit[k].index % positions_of(&net->layers[layer])] = 1;
    }
    for (int i = (int)net->n_layers - 1; i >= 0 && !status; i--)
        for (size_t k = 0; k < net->layers[i].n_sources && reach->at[i] && !status; k++) {
            int source = net->layers[i].sources[k];
            if (source >= 0 && !(status = make_room(reach, source)))
                mark_source(reach, i, (int)k);
        }
    return status;
}

void cp_reach_free(cp_reach *reach)
{
    for (size_t i = 0; reach->at && i < reach->net->n_layers; i++)
        cp_free(reach->at[i]);
    cp_free(reach->at);
    reach->at = NULL;
}

bool cp_reach_has(const cp_reach *reach, int layer, size_t index)
{
    return reach->at[layer] && reach->at[layer][index % positions_of(&reach->net->layers[layer])];
}

#include "model/receptive.h"
#include "io/error.h"
#include "model/layer_row.h"

static int clamp(int value, int last) { return value < 0 ? 0 : value > last ? last : value; }

/* What an interval of the output reads of one source, along one axis, inside the plane. */
static cp_interval read_by(const cp_cfg_layer *l, cp_axis axis, int first, int last)
{
    const cp_layer_row *row = cp_layer_row_of(l->type);
    cp_interval all = {0, axis.size_in - 1}, in = row->reads ? row->reads(l, axis, (cp_interval){first, last}) : all;
    return (cp_interval){clamp(in.first, axis.size_in - 1), clamp(in.last, axis.size_in - 1)};
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
            cp_interval in_x = read_by(l, (cp_axis){(int)k, w > 0 ? w : 1, l->out_w}, out->x0, out->x1);
            cp_interval in_y = read_by(l, (cp_axis){(int)k, h > 0 ? h : 1, l->out_h}, out->y0, out->y1);
            cp_rectangle in = {in_x.first, in_y.first, in_x.last, in_y.last};
            unite(source < 0 ? field : &reached[source], &in);
        }
    }
    cp_free(reached);
    return CP_OK;
}

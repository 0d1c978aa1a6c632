#include "model/receptive.h"
#include "io/error.h"

#include <limits.h>

static int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

static int clamp(int value, int last) { return value < 0 ? 0 : value > last ? last : value; }

/* One axis: the outputs first..last read the inputs *from..*to (before clipping). `size_in`, `size_out`: extents of the
 * source and of the output. `second` is the source of a shortcut that is not the layer before. */
static void read_by(const cp_cfg_layer *l, bool second, int size_in, int size_out, int first, int last, int *from,
                    int *to)
{
    int margin = (size_in - size_out) / 2, sample;
    switch (l->type) {
    case CP_LAYER_CONVOLUTIONAL:
    case CP_LAYER_LOCAL:
        *from = first * l->stride - l->pad;
        *to = last * l->stride - l->pad + l->size - 1;
        return;
    case CP_LAYER_MAXPOOL: /* pad is that of both sides together */
        *from = first * l->stride - l->pad / 2;
        *to = last * l->stride - l->pad / 2 + l->size - 1;
        return;
    case CP_LAYER_DECONVOLUTIONAL: /* output y gets input * stride - pad + tap, tap in 0..size-1 */
        *from = -floor_div(-(first + l->pad - l->size + 1), l->stride);
        *to = floor_div(last + l->pad, l->stride);
        return;
    case CP_LAYER_UPSAMPLE:
        *from = first / l->stride;
        *to = last / l->stride;
        return;
    case CP_LAYER_CROP:
        *from = first + margin;
        *to = last + margin;
        return;
    case CP_LAYER_SHORTCUT: /* of two extents the larger is stepped through (Darknet's shortcut_cpu) */
        *from = first;
        *to = last;
        if (second && size_in > size_out) {
            *from = first * (size_in / size_out);
            *to = last * (size_in / size_out);
        } else if (second && size_in < size_out) {
            sample = size_out / size_in;
            *from = first / sample;
            *to = last / sample;
        }
        return;
    case CP_LAYER_ROUTE:
    case CP_LAYER_ACTIVATION:
    case CP_LAYER_DROPOUT:
        if (size_in == size_out) {
            *from = first;
            *to = last;
            return;
        }
        break;
    default:
        break;
    }
    *from = 0;
    *to = INT_MAX / 2;
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
            bool second = l->type == CP_LAYER_SHORTCUT && k == 1;
            cp_rectangle in;
            if (w < 1) w = 1;
            if (h < 1) h = 1;
            read_by(l, second, w, l->out_w, out->x0, out->x1, &in.x0, &in.x1);
            read_by(l, second, h, l->out_h, out->y0, out->y1, &in.y0, &in.y1);
            in = (cp_rectangle){clamp(in.x0, w - 1), clamp(in.y0, h - 1), clamp(in.x1, w - 1), clamp(in.y1, h - 1)};
            unite(source < 0 ? field : &reached[source], &in);
        }
    }
    cp_free(reached);
    return CP_OK;
}

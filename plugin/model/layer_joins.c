/* Layers that read other layers than the one before: shortcut, route. */
#include <limits.h>

#include "io/error.h"
#include "model/layer_row.h"

/* Absolute number of a layer before this one. */
static cp_status find_layer(const cp_cfg_walk *walk, const char *key, int written, int *layer)
{
    long number = written < 0 ? (long)walk->index + written : written;
    if (number >= 0 && number < walk->index) {
        *layer = (int)number;
        return CP_OK;
    }
    if (!walk->index) return REFUSE(key, "%s=%d, there is no layer before this one", key, written);
    return REFUSE(key, "%s=%d names layer %ld, 0 to %d is allowed", key, written, number, walk->index - 1);
}

/* ---- [shortcut] ---- */

static cp_status shape_shortcut(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int written, from = 0, *sources;
    if (!cp_cfg_string(walk->cfg, walk->section, "from", NULL)) return REFUSE("", "from= is missing");
    TRY(cp_cfg_int(walk->cfg, walk->section, "from", 0, &written));
    TRY(find_layer(walk, "from", written, &from));
    TRY(cp_layer_need_image(walk));
    cp_layer_find_activation(walk, "linear");
    TRY(cp_cfg_float(walk->cfg, walk->section, "alpha", 1, &layer->alpha));
    TRY(cp_cfg_float(walk->cfg, walk->section, "beta", 1, &layer->beta));
    const cp_cfg_layer *f = &walk->net->layers[from];
    if (!f->out_c || !f->out_h || !f->out_w) return REFUSE("from", "layer %d gives no image, which is needed", from);
    int w = walk->w, h = walk->h;
    if (f->out_w / w != f->out_h / h || w / f->out_w != h / f->out_h)
        return REFUSE("from", "layer %d gives %dx%d, which Darknet cannot add to %dx%d: one stride for both axes is "
                      "needed", from, f->out_w, f->out_h, w, h);
    bool equal = f->out_w == w && f->out_h == h && f->out_c == walk->c;
    if (layer->alpha != 1 && !equal)
        return REFUSE("alpha", "alpha=%g with inputs of different sizes (%dx%dx%d and %dx%dx%d): Darknet leaves a part "
                      "unscaled, 1 is needed", layer->alpha, w, h, walk->c, f->out_w, f->out_h, f->out_c);
    TRY(cp_layer_set_output(walk, walk->c, h, w));
    layer->inputs = layer->outputs;
    sources = cp_alloc(2, sizeof *sources, "sources");
    if (!sources) return CP_ERESOURCE;
    sources[0] = layer->sources[0];
    sources[1] = from;
    cp_free(layer->sources);
    layer->sources = sources;
    layer->n_sources = 2;
    return CP_OK;
}

/* Of two extents the larger is stepped through (Darknet's shortcut_cpu). */
static cp_interval reads_shortcut(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    (void)l;
    if (axis.source && axis.size_in > axis.size_out) {
        int step = axis.size_in / axis.size_out;
        return (cp_interval){out.first * step, out.last * step};
    }
    if (axis.source && axis.size_in < axis.size_out) {
        int sample = axis.size_out / axis.size_in;
        return (cp_interval){out.first / sample, out.last / sample};
    }
    return out;
}

static const cp_cfg_key shortcut_keys[] = {
    CP_KEY("from"), CP_KEY("activation"), CP_KEY("alpha"), CP_KEY("beta"),
    CP_REFUSED("weights_type", "it is not supported yet"), CP_REFUSED("weights_normalization", "it is not supported yet"),
    CP_KEYS_END};

const cp_layer_row cp_row_shortcut = {.name = "shortcut", .neuron = true, .curved = 1, .keys = shortcut_keys,
                                      .shape = shape_shortcut, .reads = reads_shortcut, .ties = CP_TIES_EACH};

/* ---- [route] ---- */

static cp_status shape_route(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int *list;
    size_t n;
    if (!cp_cfg_string(walk->cfg, walk->section, "layers", NULL)) return REFUSE("", "layers= is missing");
    TRY(cp_cfg_ints(walk->cfg, walk->section, "layers", &list, &n));
    cp_free(layer->sources);
    layer->sources = list;
    layer->n_sources = n;
    TRY(cp_layer_number(walk, "groups", 1, &layer->groups));
    TRY(cp_layer_number(walk, "group_id", 0, &layer->group_id));
    if (layer->group_id >= layer->groups)
        return REFUSE("group_id", "group_id=%d, 0 to %d is allowed (groups=%d)", layer->group_id, layer->groups - 1,
                      layer->groups);
    for (size_t i = 0; i < n; i++) {
        TRY(find_layer(walk, "layers", list[i], &list[i]));
        const cp_cfg_layer *source = &walk->net->layers[list[i]];
        if (source->out_c % layer->groups || (layer->groups > 1 && !source->out_c))
            return REFUSE("groups", "groups=%d must divide the %d channels of layer %d", layer->groups, source->out_c,
                          list[i]);
        layer->outputs += source->outputs / (size_t)layer->groups;
        if (layer->outputs > INT_MAX)
            return REFUSE("layers", "an output of %zu values, more than the %d that Darknet can count", layer->outputs,
                          INT_MAX);
        if (!i) {
            layer->c = source->out_c;
            layer->h = source->out_h;
            layer->w = source->out_w;
            layer->out_c = source->out_c / layer->groups;
            layer->out_h = source->out_h;
            layer->out_w = source->out_w;
        } else if (source->out_h == layer->h && source->out_w == layer->w) {
            layer->out_c += source->out_c / layer->groups;
        } else {
            layer->out_c = layer->out_h = layer->out_w = 0;
        }
    }
    if (!layer->out_h || !layer->out_w) layer->out_c = layer->out_h = layer->out_w = 0;
    layer->inputs = layer->outputs;
    return CP_OK;
}

static const cp_cfg_key route_keys[] = {CP_KEY("layers"), CP_MODERN_COUNT("groups"), CP_MODERN_INT("group_id", 0, INT_MAX),
                                        CP_MODERN_TRAINING("stream"), CP_MODERN_TRAINING("wait_stream"),
                                        CP_KEYS_END};

const cp_layer_row cp_row_route = {.name = "route", .keys = route_keys, .shape = shape_route,
                                   .reads = cp_layer_reads_same, .ties = CP_TIES_ROUTE};

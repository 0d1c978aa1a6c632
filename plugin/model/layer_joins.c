/* Layers that read other layers than the one before: shortcut, route. */
#include <limits.h>
#include <string.h>

#include "io/error.h"
#include "model/layer_row.h"

/* Absolute number of a layer before this one. */
static cp_status find_layer(const cp_cfg_walk *walk, const char *key, int written, int *layer)
{
    long number = written < 0 ? (long)walk->index + written : written;
    if (number >= 0 && number < walk->index) {
        *layer = (int)number;
        if (!cp_layer_is_blurred(&walk->net->layers[number])) return CP_OK;
        return REFUSE(key, "%s=%d names layer %ld, which has antialiasing: Darknet's sizes of it agree only for the layer "
                      "behind it", key, written, number);
    }
    if (!walk->index) return REFUSE(key, "%s=%d, there is no layer before this one", key, written);
    return REFUSE(key, "%s=%d names layer %ld, 0 to %d is allowed", key, written, number, walk->index - 1);
}

/* The layer before, then those that `from` names. */
static cp_status read_from(const cp_cfg_walk *walk, size_t most)
{
    cp_cfg_layer *layer = walk->layer;
    int *list = NULL, *sources = NULL;
    size_t n = 0;
    if (!cp_cfg_string(walk->cfg, walk->section, "from", NULL)) return REFUSE("", "from= is missing");
    TRY(cp_cfg_ints(walk->cfg, walk->section, "from", &list, &n));
    cp_status status = n > most ? REFUSE("from", "from names %zu layers, at most %zu is allowed", n, most) : CP_OK;
    for (size_t i = 0; i < n && !status; i++) status = find_layer(walk, "from", list[i], &list[i]);
    for (size_t i = 0; i < n && !status; i++) {
        const cp_cfg_layer *f = &walk->net->layers[list[i]];
        if (!f->out_c || !f->out_h || !f->out_w)
            status = REFUSE("from", "layer %d gives no image, which is needed", list[i]);
    }
    if (!status && !(sources = cp_alloc(n + 1, sizeof *sources, "sources"))) status = CP_ERESOURCE;
    if (!status) {
        sources[0] = layer->sources[0];
        for (size_t i = 0; i < n; i++) sources[i + 1] = list[i];
        cp_free(layer->sources);
        layer->sources = sources;
        layer->n_sources = n + 1;
    }
    cp_free(list);
    return status;
}

/* ---- [shortcut] ---- */

static bool is_sum(const cp_cfg_layer *layer) { return layer->n_sources > 2 || layer->sum_weights; }

/* AlexeyAB's weights: one for each source, or for each channel of each source. */
static cp_status read_sum_weights(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    const char *type = cp_cfg_string(walk->cfg, walk->section, "weights_type", "none");
    const char *how = cp_cfg_string(walk->cfg, walk->section, "weights_normalization", "none");
    if (!strcmp(type, "none")) return CP_OK;
    layer->per_channel = !strcmp(type, "per_channel");
    if (!layer->per_channel && strcmp(type, "per_feature") && strcmp(type, "per_layer"))
        return REFUSE("weights_type", "weights_type=%.40s is none of none, per_feature and per_channel", type);
    if (!strcmp(how, "softmax")) layer->sum_weights = CP_SUM_SOFTMAX;
    else if (!strcmp(how, "relu") || !strcmp(how, "avg_relu")) layer->sum_weights = CP_SUM_RELU;
    else if (!strcmp(how, "none")) layer->sum_weights = CP_SUM_WEIGHTED;
    else return REFUSE("weights_normalization", "weights_normalization=%.40s is none of none, relu and softmax", how);
    cp_layer_add_array(layer, CP_WEIGHTS, layer->n_sources * (size_t)(layer->per_channel ? walk->c : 1));
    return CP_OK;
}

/* One other layer, as every Darknet has it: of another size every stride-th position is added. */
static cp_status check_pair(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int from = layer->sources[1], w = walk->w, h = walk->h;
    const cp_cfg_layer *f = &walk->net->layers[from];
    if (f->out_w / w != f->out_h / h || w / f->out_w != h / f->out_h)
        return REFUSE("from", "layer %d gives %dx%d, which Darknet cannot add to %dx%d: one stride for both axes is "
                      "needed", from, f->out_w, f->out_h, w, h);
    bool equal = f->out_w == w && f->out_h == h && f->out_c == walk->c;
    if (layer->alpha != 1 && !equal)
        return REFUSE("alpha", "alpha=%g with inputs of different sizes (%dx%dx%d and %dx%dx%d): Darknet leaves a part "
                      "unscaled, 1 is needed", layer->alpha, w, h, walk->c, f->out_w, f->out_h, f->out_c);
    return CP_OK;
}

/* Several, or with weights: AlexeyAB's, who adds equal planes and has no alpha and beta. */
static cp_status check_sum(const cp_cfg_walk *walk)
{
    const cp_cfg_layer *layer = walk->layer;
    for (size_t i = 1; i < layer->n_sources; i++) {
        const cp_cfg_layer *f = &walk->net->layers[layer->sources[i]];
        if (f->out_w != walk->w || f->out_h != walk->h)
            return REFUSE("from", "layer %d gives %dx%d, %dx%d is needed", layer->sources[i], f->out_w, f->out_h, walk->w,
                          walk->h);
    }
    if (layer->alpha != 1 || layer->beta != 1)
        return REFUSE("", "alpha and beta do not go with several layers or weights");
    return CP_OK;
}

static cp_status shape_shortcut(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(read_from(walk, CP_CFG_MOST_SOURCES - 1));
    TRY(cp_layer_need_image(walk));
    cp_layer_find_activation(walk, "linear");
    TRY(cp_cfg_float(walk->cfg, walk->section, "alpha", 1, &layer->alpha));
    TRY(cp_cfg_float(walk->cfg, walk->section, "beta", 1, &layer->beta));
    TRY(read_sum_weights(walk));
    TRY(is_sum(layer) ? check_sum(walk) : check_pair(walk));
    TRY(cp_layer_set_output(walk, walk->c, walk->h, walk->w));
    layer->inputs = layer->outputs;
    return CP_OK;
}

/* ---- [scale_channels], [sam]: products of two layers ---- */

static cp_status shape_scale_channels(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(read_from(walk, 1));
    TRY(cp_layer_need_image(walk));
    TRY(cp_cfg_flag(walk, "scale_wh", &layer->scale_planes));
    cp_layer_find_activation(walk, "linear");
    const cp_cfg_layer *f = &walk->net->layers[layer->sources[1]];
    bool fits = layer->scale_planes ? walk->c == 1 && walk->h == f->out_h && walk->w == f->out_w
                                    : walk->c == f->out_c && walk->h == 1 && walk->w == 1;
    if (!fits)
        return REFUSE("from", "layer %d gives %dx%dx%d, the layer before %dx%dx%d: %s is needed", layer->sources[1],
                      f->out_w, f->out_h, f->out_c, walk->w, walk->h, walk->c,
                      layer->scale_planes ? "one channel of the same size" : "1x1 with as many channels");
    return cp_layer_set_output(walk, f->out_c, f->out_h, f->out_w);
}

static cp_status shape_sam(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(read_from(walk, 1));
    TRY(cp_layer_need_image(walk));
    cp_layer_find_activation(walk, "linear");
    const cp_cfg_layer *f = &walk->net->layers[layer->sources[1]];
    if (f->out_c != walk->c || f->out_h != walk->h || f->out_w != walk->w)
        return REFUSE("from", "layer %d gives %dx%dx%d, the layer before %dx%dx%d: equal sizes are needed",
                      layer->sources[1], f->out_w, f->out_h, f->out_c, walk->w, walk->h, walk->c);
    return cp_layer_set_output(walk, walk->c, walk->h, walk->w);
}

static const cp_cfg_key scale_channels_keys[] = {CP_KEY("from"), CP_KEY("scale_wh"), CP_KEY("activation"), CP_KEYS_END};
static const cp_cfg_key sam_keys[] = {CP_KEY("from"), CP_KEY("activation"), CP_KEYS_END};

static const cp_layer_row scale_channels = {.type = CP_LAYER_SCALE_CHANNELS, .name = "scale_channels", .modern = true,
                                            .neuron = true, .keys = scale_channels_keys, .shape = shape_scale_channels,
                                            .reads = cp_layer_reads_same, .ties = CP_TIES_EACH};
static const cp_layer_row sam = {.type = CP_LAYER_SAM, .name = "sam", .modern = true, .neuron = true, .keys = sam_keys,
                                 .shape = shape_sam, .reads = cp_layer_reads_same, .ties = CP_TIES_EACH};

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
    CP_MODERN("weights_type"), CP_MODERN("weights_normalization"),
    CP_KEYS_END};

static const cp_layer_row shortcut = {.type = CP_LAYER_SHORTCUT, .name = "shortcut", .neuron = true, .curved = 1,
                                      .keys = shortcut_keys, .shape = shape_shortcut, .reads = reads_shortcut,
                                      .ties = CP_TIES_EACH};

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

static const cp_layer_row route = {.type = CP_LAYER_ROUTE, .name = "route", .keys = route_keys, .shape = shape_route,
                                   .reads = cp_layer_reads_same, .ties = CP_TIES_ROUTE};

const cp_layer_row *const cp_layer_joins[] = {&scale_channels, &sam, &shortcut, &route, NULL};

/* One layer: its keys, its shape by Darknet's integer arithmetic, its arrays in the weights file. The heads:
 * cfg_heads.c. */
#include <limits.h>
#include <string.h>

#include "io/error.h"
#include "model/cfg_check.h"

static cp_status number(const cp_cfg_walk *walk, const char *key, int fallback, int min, int *value)
{
    return cp_cfg_ranged(walk->cfg, walk->section, key, fallback, min, INT_MAX, value);
}

/* ---- what many types share ---- */

static cp_status need_image(const cp_cfg_walk *walk)
{
    if (walk->c && walk->h && walk->w) return CP_OK;
    return REFUSE("", "the layer before gives %zu values but no image (channels, height and width), which is needed",
                  walk->inputs);
}

static cp_status find_activation(const cp_cfg_walk *walk, const char *fallback)
{
    static const char *const names[] = {"logistic", "loggy", "relu", "elu", "selu", "relie", "plse", "hardtan", "lhtan",
                                        "linear", "ramp", "leaky", "tanh", "stair"};
    const char *name = cp_cfg_string(walk->cfg, walk->section, "activation", fallback);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) {
            walk->layer->activation = names[i];
            return CP_OK;
        }
    return REFUSE("activation", "activation=%.40s is none of Darknet's (logistic loggy relu elu selu relie plse "
                  "hardtan lhtan linear ramp leaky tanh stair)", name);
}

static cp_status set_output(const cp_cfg_walk *walk, long c, long h, long w)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_cfg_volume(walk, "an output", w, h, c, 1, &layer->outputs));
    layer->out_c = (int)c;
    layer->out_h = (int)h;
    layer->out_w = (int)w;
    return CP_OK;
}

static void add_array(cp_cfg_layer *layer, cp_array_kind kind, size_t n)
{
    layer->arrays[layer->n_arrays++] = (cp_cfg_array){.kind = kind, .n = n};
    layer->n_weights += n;
}

static void add_batch_norm(cp_cfg_layer *layer, size_t n)
{
    if (!layer->batch_normalize) return;
    add_array(layer, CP_SCALES, n);
    add_array(layer, CP_ROLLING_MEAN, n);
    add_array(layer, CP_ROLLING_VARIANCE, n);
}

static cp_status need_workspace(cp_cfg_walk *walk, long a, long b, long c)
{
    long bytes = sizeof(float);
    if (__builtin_mul_overflow(bytes, a, &bytes) || __builtin_mul_overflow(bytes, b, &bytes) ||
        __builtin_mul_overflow(bytes, c, &bytes))
        return REFUSE("size", "size=%d needs a workspace beyond any memory", walk->layer->size);
    if ((size_t)bytes > walk->workspace) walk->workspace = (size_t)bytes;
    return CP_OK;
}

static cp_status read_window(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(number(walk, "filters", 1, 1, &layer->n));
    TRY(number(walk, "size", 1, 1, &layer->size));
    TRY(number(walk, "stride", 1, 1, &layer->stride));
    return find_activation(walk, "logistic");
}

/* pad=1 means size/2; otherwise `padding` counts. */
static cp_status read_padding(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    bool half;
    TRY(cp_cfg_flag(walk, "pad", &half));
    TRY(number(walk, "padding", 0, 0, &layer->pad));
    if (half) layer->pad = layer->size / 2;
    return CP_OK;
}

/* C rounds towards zero, so Darknet would take a window slightly larger than the image for one that fits. */
static cp_status need_room(const cp_cfg_walk *walk, long padding)
{
    const cp_cfg_layer *layer = walk->layer;
    long smaller = layer->h < layer->w ? layer->h : layer->w;
    if (layer->size <= smaller + padding) return CP_OK;
    return REFUSE("size", "size=%d, the input of %dx%d with %ld pixels of padding has room for %ld", layer->size,
                  layer->w, layer->h, padding, smaller + padding);
}

/* ---- the types ---- */

static cp_status check_convolutional(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    bool binary, xnor, flipped;
    size_t n_weights;
    TRY(need_image(walk));
    TRY(read_window(walk));
    TRY(read_padding(walk));
    TRY(number(walk, "groups", 1, 1, &layer->groups));
    TRY(cp_cfg_flag(walk, "batch_normalize", &layer->batch_normalize));
    TRY(cp_cfg_flag(walk, "binary", &binary));
    TRY(cp_cfg_flag(walk, "xnor", &xnor));
    TRY(cp_cfg_flag(walk, "flipped", &flipped));
    if (binary || xnor)
        return REFUSE(binary ? "binary" : "xnor", "%s=1 is not supported: Darknet has no right gradient for it",
                      binary ? "binary" : "xnor");
    if (flipped) return REFUSE("flipped", "flipped=1 is not supported: save the weights unflipped");
    if (layer->c % layer->groups || layer->n % layer->groups)
        return REFUSE("groups", "groups=%d must divide the %d channels of the input and filters=%d", layer->groups,
                      layer->c, layer->n);
    if (layer->size == 1 && (layer->stride > 1 || layer->pad > 0))
        return REFUSE(layer->stride > 1 ? "stride" : "padding",
                      "size=1 with stride=%d and padding=%d: Darknet ignores both in a 1x1 convolution, stride=1 and "
                      "padding=0 are needed", layer->stride, layer->pad);
    TRY(need_room(walk, 2L * layer->pad));
    long out_h = (layer->h + 2L * layer->pad - layer->size) / layer->stride + 1;
    long out_w = (layer->w + 2L * layer->pad - layer->size) / layer->stride + 1;
    long channels = layer->c / layer->groups;
    TRY(set_output(walk, layer->n, out_h, out_w));
    TRY(cp_cfg_volume(walk, "weights", channels, layer->n, layer->size, layer->size, &n_weights));
    TRY(need_workspace(walk, out_h * out_w, (long)layer->size * layer->size, channels));
    add_array(layer, CP_BIASES, (size_t)layer->n);
    add_batch_norm(layer, (size_t)layer->n);
    add_array(layer, CP_WEIGHTS, n_weights);
    return CP_OK;
}

static cp_status check_deconvolutional(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n_weights;
    TRY(need_image(walk));
    TRY(read_window(walk));
    TRY(read_padding(walk));
    TRY(cp_cfg_flag(walk, "batch_normalize", &layer->batch_normalize));
    long out_h = (layer->h - 1L) * layer->stride + layer->size - 2L * layer->pad;
    long out_w = (layer->w - 1L) * layer->stride + layer->size - 2L * layer->pad;
    if (out_h < 1 || out_w < 1)
        return REFUSE("padding", "padding of %d leaves an output of %ldx%ld, at least 1x1 is needed", layer->pad, out_w,
                      out_h);
    TRY(set_output(walk, layer->n, out_h, out_w));
    TRY(cp_cfg_volume(walk, "weights", layer->c, layer->n, layer->size, layer->size, &n_weights));
    TRY(need_workspace(walk, (long)layer->h * layer->w, (long)layer->size * layer->size, layer->n));
    add_array(layer, CP_BIASES, (size_t)layer->n);
    add_batch_norm(layer, (size_t)layer->n);
    add_array(layer, CP_WEIGHTS, n_weights);
    return CP_OK;
}

static cp_status check_local(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n_weights;
    TRY(need_image(walk));
    TRY(read_window(walk));
    TRY(number(walk, "pad", 0, 0, &layer->pad));
    /* Its output size says "same" for any padding, im2col pads by `pad` pixels: only then are they one. */
    if (layer->pad && layer->size != 2L * layer->pad + 1)
        return REFUSE("pad", "pad=%d with size=%d: Darknet's sizes agree only for pad=0 or size=2*pad+1", layer->pad,
                      layer->size);
    TRY(need_room(walk, 2L * layer->pad));
    long cut = layer->pad ? 1 : layer->size;
    long out_h = (layer->h - cut) / layer->stride + 1, out_w = (layer->w - cut) / layer->stride + 1;
    TRY(set_output(walk, layer->n, out_h, out_w));
    TRY(cp_cfg_volume(walk, "filters", layer->c, layer->n, layer->size, layer->size, &n_weights));
    TRY(cp_cfg_volume(walk, "weights", (long)n_weights, out_h, out_w, 1, &n_weights));
    TRY(need_workspace(walk, out_h * out_w, (long)layer->size * layer->size, layer->c));
    add_array(layer, CP_BIASES, layer->outputs);
    add_array(layer, CP_WEIGHTS, n_weights);
    return CP_OK;
}

static cp_status check_connected(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n_weights;
    TRY(number(walk, "output", 1, 1, &layer->n));
    TRY(find_activation(walk, "logistic"));
    TRY(cp_cfg_flag(walk, "batch_normalize", &layer->batch_normalize));
    layer->c = (int)walk->inputs;
    layer->h = layer->w = 1;
    TRY(set_output(walk, layer->n, 1, 1));
    TRY(cp_cfg_volume(walk, "weights", layer->n, layer->c, 1, 1, &n_weights));
    add_array(layer, CP_BIASES, (size_t)layer->n);
    add_array(layer, CP_WEIGHTS, n_weights);
    add_batch_norm(layer, (size_t)layer->n);
    return CP_OK;
}

static cp_status check_maxpool(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(need_image(walk));
    TRY(number(walk, "stride", 1, 1, &layer->stride));
    TRY(number(walk, "size", layer->stride, 1, &layer->size));
    TRY(number(walk, "padding", layer->size - 1, 0, &layer->pad));
    TRY(need_room(walk, layer->pad));
    long out_h = ((long)layer->h + layer->pad - layer->size) / layer->stride + 1;
    long out_w = ((long)layer->w + layer->pad - layer->size) / layer->stride + 1;
    /* A window without a pixel would give -FLT_MAX and the index -1. */
    long before = layer->pad / 2;
    if (before >= layer->size || (out_h - 1) * layer->stride - before >= layer->h ||
        (out_w - 1) * layer->stride - before >= layer->w)
        return REFUSE("padding", "padding=%d puts a window of size=%d wholly outside the input of %dx%d", layer->pad,
                      layer->size, layer->w, layer->h);
    return set_output(walk, layer->c, out_h, out_w);
}

static cp_status check_avgpool(cp_cfg_walk *walk)
{
    TRY(need_image(walk));
    return set_output(walk, walk->c, 1, 1);
}

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

static cp_status check_shortcut(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int written, from, *sources;
    if (!cp_cfg_string(walk->cfg, walk->section, "from", NULL)) return REFUSE("", "from= is missing");
    TRY(cp_cfg_int(walk->cfg, walk->section, "from", 0, &written));
    TRY(find_layer(walk, "from", written, &from));
    TRY(need_image(walk));
    TRY(find_activation(walk, "linear"));
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
    TRY(set_output(walk, walk->c, h, w));
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

static cp_status check_route(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int *list;
    size_t n;
    if (!cp_cfg_string(walk->cfg, walk->section, "layers", NULL)) return REFUSE("", "layers= is missing");
    TRY(cp_cfg_ints(walk->cfg, walk->section, "layers", &list, &n));
    cp_free(layer->sources);
    layer->sources = list;
    layer->n_sources = n;
    for (size_t i = 0; i < n; i++) {
        TRY(find_layer(walk, "layers", list[i], &list[i]));
        const cp_cfg_layer *source = &walk->net->layers[list[i]];
        layer->outputs += source->outputs;
        if (layer->outputs > INT_MAX)
            return REFUSE("layers", "an output of %zu values, more than the %d that Darknet can count", layer->outputs,
                          INT_MAX);
        if (!i) {
            layer->c = source->out_c;
            layer->h = source->out_h;
            layer->w = source->out_w;
            layer->out_c = source->out_c;
            layer->out_h = source->out_h;
            layer->out_w = source->out_w;
        } else if (source->out_h == layer->h && source->out_w == layer->w) {
            layer->out_c += source->out_c;
        } else {
            layer->out_c = layer->out_h = layer->out_w = 0;
        }
    }
    if (!layer->out_h || !layer->out_w) layer->out_c = layer->out_h = layer->out_w = 0;
    layer->inputs = layer->outputs;
    return CP_OK;
}

static cp_status check_upsample(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(need_image(walk));
    TRY(number(walk, "stride", 2, 1, &layer->stride));
    TRY(cp_cfg_float(walk->cfg, walk->section, "scale", 1, &layer->scale));
    return set_output(walk, layer->c, (long)layer->h * layer->stride, (long)layer->w * layer->stride);
}

static cp_status check_reorg(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(need_image(walk));
    TRY(number(walk, "stride", 1, 1, &layer->stride));
    TRY(cp_cfg_flag(walk, "reverse", &layer->reverse));
    TRY(cp_cfg_flag(walk, "flatten", &layer->flatten));
    TRY(number(walk, "extra", 0, 0, &layer->extra));
    long square = (long)layer->stride * layer->stride;
    if (layer->extra) {
        if (layer->flatten || layer->reverse)
            return REFUSE("extra", "extra=%d cannot go with flatten or reverse", layer->extra);
        TRY(cp_cfg_volume(walk, "an output", (long)layer->inputs + layer->extra, 1, 1, 1, &layer->outputs));
        return CP_OK;
    }
    /* Darknet's loop walks the input in whichever direction and overruns where these do not divide. */
    if (layer->c % square || (!layer->reverse && (layer->h % layer->stride || layer->w % layer->stride)))
        return REFUSE("stride", "stride=%d does not divide the input of %dx%dx%d: %schannels by %ld are needed",
                      layer->stride, layer->w, layer->h, layer->c,
                      layer->reverse ? "" : "width and height by the stride and ", square);
    if (layer->reverse)
        return set_output(walk, layer->c / square, (long)layer->h * layer->stride, (long)layer->w * layer->stride);
    return set_output(walk, layer->c * square, layer->h / layer->stride, layer->w / layer->stride);
}

/* The values pass one by one, with the shape they have. */
static void keep_shape(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    layer->outputs = walk->inputs;
    layer->out_c = walk->c;
    layer->out_h = walk->h;
    layer->out_w = walk->w;
}

static cp_status check_activation(cp_cfg_walk *walk)
{
    keep_shape(walk);
    return find_activation(walk, "linear");
}

static cp_status check_dropout(cp_cfg_walk *walk)
{
    if (!walk->index) return REFUSE("", "as layer 0, Darknet needs a layer before it");
    keep_shape(walk);
    TRY(cp_cfg_float(walk->cfg, walk->section, "probability", .5f, &walk->layer->probability));
    float p = walk->layer->probability;
    if (p >= 0 && p < 1) return CP_OK;
    return REFUSE("probability", "probability=%g, at least 0 and below 1 is needed", p);
}

static cp_status check_crop(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int h, w;
    TRY(need_image(walk));
    if (walk->index) return REFUSE("", "only supported as layer 0, where it is preprocessing");
    TRY(cp_cfg_ranged(walk->cfg, walk->section, "crop_height", 1, 1, layer->h, &h));
    TRY(cp_cfg_ranged(walk->cfg, walk->section, "crop_width", 1, 1, layer->w, &w));
    TRY(cp_cfg_flag(walk, "noadjust", &layer->noadjust));
    return set_output(walk, layer->c, h, w);
}

cp_status cp_cfg_check_layer(cp_cfg_walk *walk)
{
    switch (walk->layer->type) {
    case CP_LAYER_CONVOLUTIONAL: return check_convolutional(walk);
    case CP_LAYER_DECONVOLUTIONAL: return check_deconvolutional(walk);
    case CP_LAYER_LOCAL: return check_local(walk);
    case CP_LAYER_CONNECTED: return check_connected(walk);
    case CP_LAYER_MAXPOOL: return check_maxpool(walk);
    case CP_LAYER_AVGPOOL: return check_avgpool(walk);
    case CP_LAYER_SHORTCUT: return check_shortcut(walk);
    case CP_LAYER_ROUTE: return check_route(walk);
    case CP_LAYER_UPSAMPLE: return check_upsample(walk);
    case CP_LAYER_REORG: return check_reorg(walk);
    case CP_LAYER_ACTIVATION: return check_activation(walk);
    case CP_LAYER_DROPOUT: return check_dropout(walk);
    case CP_LAYER_CROP: return check_crop(walk);
    default: return cp_cfg_check_head(walk);
    }
}

/* Layers with filters: convolutional, deconvolutional, local, connected. */
#include <limits.h>

#include "model/layer_row.h"

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
    TRY(cp_layer_number(walk, "filters", 1, &layer->n));
    TRY(cp_layer_number(walk, "size", 1, &layer->size));
    TRY(cp_layer_number(walk, "stride", 1, &layer->stride));
    layer->stride_y = layer->stride;
    cp_layer_find_activation(walk, "logistic");
    return CP_OK;
}

/* pad=1 means size/2; otherwise `padding` counts. */
static cp_status read_padding(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    bool half;
    TRY(cp_cfg_flag(walk, "pad", &half));
    TRY(cp_layer_number(walk, "padding", 0, &layer->pad));
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

static int floor_div(int a, int b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

static double window_of(const cp_cfg_layer *l) { return (double)l->size * l->size * l->n; }

/* ---- [convolutional] ---- */

/* share_index: an earlier convolution whose weights this one uses, from the start of the cfg or, below 0, from here. */
static cp_status read_share(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int written;
    layer->share = -1;
    if (!cp_cfg_string(walk->cfg, walk->section, "share_index", NULL)) return CP_OK;
    TRY(cp_cfg_int(walk->cfg, walk->section, "share_index", 0, &written));
    long share = written < 0 ? (long)walk->index + written : written;
    if (share < 0 || share >= walk->index)
        return REFUSE("share_index", "share_index=%d names layer %ld, 0 to %d is allowed", written, share,
                      walk->index - 1);
    const cp_cfg_layer *other = &walk->net->layers[share];
    if (other->type != CP_LAYER_CONVOLUTIONAL || other->n != layer->n || other->size != layer->size ||
        other->c != layer->c || other->groups != layer->groups)
        return REFUSE("share_index", "layer %ld is no convolution of %d filters of size %d over %d channels", share,
                      layer->n, layer->size, layer->c);
    layer->share = other->share >= 0 ? other->share : (int)share;
    layer->batch_normalize = other->batch_normalize;
    return CP_OK;
}

static cp_status read_convolution(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    bool cross_iteration;
    TRY(read_window(walk));
    TRY(cp_layer_read_strides(walk));
    TRY(cp_layer_read_blur(walk));
    TRY(read_padding(walk));
    TRY(cp_layer_number(walk, "dilation", 1, &layer->dilation));
    TRY(cp_layer_number(walk, "groups", 1, &layer->groups));
    TRY(cp_cfg_flag(walk, "batch_normalize", &layer->batch_normalize));
    TRY(cp_cfg_flag(walk, "cbn", &cross_iteration));
    layer->batch_normalize |= cross_iteration;
    if (layer->size == 1) layer->dilation = 1;
    return read_share(walk);
}

/* Darknet declares the output of an undilated window; the true size is the same only for padding of half a window, which
 * is dilated with it. */
static cp_status check_dilation(const cp_cfg_walk *walk)
{
    const cp_cfg_layer *layer = walk->layer;
    if (layer->dilation == 1 || layer->size == 2L * layer->pad + 1) return CP_OK;
    return REFUSE("dilation", "dilation=%d with size=%d and padding=%d: Darknet's sizes agree only for size=2*padding+1",
                  layer->dilation, layer->size, layer->pad);
}

static cp_status shape_convolutional(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n_weights;
    TRY(cp_layer_need_image(walk));
    TRY(read_convolution(walk));
    TRY(check_dilation(walk));
    if (layer->c % layer->groups || layer->n % layer->groups)
        return REFUSE("groups", "groups=%d must divide the %d channels of the input and filters=%d", layer->groups,
                      layer->c, layer->n);
    if (layer->size == 1 && layer->pad > 0)
        return REFUSE("padding", "size=1 with padding=%d: Darknet ignores it in a 1x1 convolution, 0 is needed",
                      layer->pad);
    TRY(need_room(walk, 2L * layer->pad));
    long out_h = (layer->h + 2L * layer->pad - layer->size) / layer->stride_y + 1;
    long out_w = (layer->w + 2L * layer->pad - layer->size) / layer->stride + 1;
    long channels = layer->c / layer->groups;
    TRY(cp_layer_set_output(walk, layer->n, out_h, out_w));
    TRY(cp_cfg_volume(walk, "weights", channels, layer->n, layer->size, layer->size, &n_weights));
    TRY(need_workspace(walk, out_h * out_w, (long)layer->size * layer->size, channels));
    TRY(cp_layer_set_blurred(walk));
    if (layer->share >= 0) return CP_OK; /* nothing in the file */
    cp_layer_add_array(layer, CP_BIASES, (size_t)layer->n);
    cp_layer_add_batch_norm(layer, (size_t)layer->n);
    cp_layer_add_array(layer, CP_WEIGHTS, n_weights);
    return CP_OK;
}

static double macs_convolutional(const cp_cfg_layer *l)
{
    return window_of(l) * l->out_h * l->out_w * (l->c / l->groups);
}

static cp_interval reads_convolutional(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    int stride = axis.vertical ? l->stride_y : l->stride, pad = l->pad * l->dilation;
    return (cp_interval){out.first * stride - pad, out.last * stride - pad + (l->size - 1) * l->dilation};
}

static cp_interval reads_local(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    (void)axis;
    return (cp_interval){out.first * l->stride - l->pad, out.last * l->stride - l->pad + l->size - 1};
}

#define NO_GRADIENT "Darknet has no right gradient for it"

static const cp_cfg_key convolutional_keys[] = {
    CP_KEY_COUNT("filters"), CP_KEY_COUNT("size"), CP_KEY_COUNT("stride"), CP_KEY("pad"),
    CP_KEY_INT("padding", 0, INT_MAX), CP_KEY_COUNT("groups"), CP_KEY("activation"), CP_KEY("batch_normalize"),
    CP_MODERN_COUNT("stride_x"), CP_MODERN_COUNT("stride_y"), CP_MODERN_COUNT("dilation"), CP_MODERN("share_index"),
    CP_MODERN("cbn"), CP_MODERN_INT("antialiasing", 0, INT_MAX),
    CP_REFUSED("binary", NO_GRADIENT), CP_REFUSED("xnor", NO_GRADIENT), CP_MODERN_REFUSED("bin_output", NO_GRADIENT),
    CP_REFUSED("flipped", "save the weights unflipped"),
    CP_MODERN_REFUSED("coordconv", "it overwrites three output channels, on a GPU only"),
    CP_TRAINING("dot"), CP_MODERN_TRAINING("assisted_excitation"), CP_MODERN_TRAINING("sway"), CP_MODERN_TRAINING("rotate"),
    CP_MODERN_TRAINING("stretch"), CP_MODERN_TRAINING("stretch_sway"), CP_MODERN_TRAINING("angle"), CP_MODERN_TRAINING("grad_centr"),
    CP_MODERN_TRAINING("reverse"), CP_MODERN_TRAINING("stream"), CP_MODERN_TRAINING("wait_stream"), CP_KEYS_END};

static const cp_layer_row convolutional = {.type = CP_LAYER_CONVOLUTIONAL, .name = "convolutional", .aliases = {"conv"},
                                           .neuron = true, .curved = 2, .filters = true, .keys = convolutional_keys,
                                           .shape = shape_convolutional, .macs = macs_convolutional,
                                           .reads = reads_convolutional};

/* ---- [deconvolutional] ---- */

static cp_status shape_deconvolutional(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n_weights;
    TRY(cp_layer_need_image(walk));
    TRY(read_window(walk));
    TRY(read_padding(walk));
    TRY(cp_cfg_flag(walk, "batch_normalize", &layer->batch_normalize));
    long out_h = (layer->h - 1L) * layer->stride + layer->size - 2L * layer->pad;
    long out_w = (layer->w - 1L) * layer->stride + layer->size - 2L * layer->pad;
    if (out_h < 1 || out_w < 1)
        return REFUSE("padding", "padding of %d leaves an output of %ldx%ld, at least 1x1 is needed", layer->pad, out_w,
                      out_h);
    TRY(cp_layer_set_output(walk, layer->n, out_h, out_w));
    TRY(cp_cfg_volume(walk, "weights", layer->c, layer->n, layer->size, layer->size, &n_weights));
    TRY(need_workspace(walk, (long)layer->h * layer->w, (long)layer->size * layer->size, layer->n));
    cp_layer_add_array(layer, CP_BIASES, (size_t)layer->n);
    cp_layer_add_batch_norm(layer, (size_t)layer->n);
    cp_layer_add_array(layer, CP_WEIGHTS, n_weights);
    return CP_OK;
}

static double macs_deconvolutional(const cp_cfg_layer *l) { return window_of(l) * l->h * l->w * l->c; }

/* Output y gets input * stride - pad + tap, tap in 0..size-1. */
static cp_interval reads_deconvolutional(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    (void)axis;
    return (cp_interval){-floor_div(-(out.first + l->pad - l->size + 1), l->stride),
                         floor_div(out.last + l->pad, l->stride)};
}

static const cp_cfg_key deconvolutional_keys[] = {
    CP_KEY_COUNT("filters"), CP_KEY_COUNT("size"), CP_KEY_COUNT("stride"), CP_KEY("pad"),
    CP_KEY_INT("padding", 0, INT_MAX), CP_KEY("activation"), CP_KEY("batch_normalize"), CP_KEYS_END};

static const cp_layer_row deconvolutional = {.type = CP_LAYER_DECONVOLUTIONAL, .name = "deconvolutional",
                                             .aliases = {"deconv"}, .neuron = true, .filters = true,
                                             .keys = deconvolutional_keys, .shape = shape_deconvolutional,
                                             .macs = macs_deconvolutional, .reads = reads_deconvolutional};

/* ---- [local] ---- */

static cp_status shape_local(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n_weights;
    TRY(cp_layer_need_image(walk));
    TRY(read_window(walk));
    TRY(cp_layer_number(walk, "pad", 0, &layer->pad));
    /* Its output size says "same" for any padding, im2col pads by `pad` pixels: only then are they one. */
    if (layer->pad && layer->size != 2L * layer->pad + 1)
        return REFUSE("pad", "pad=%d with size=%d: Darknet's sizes agree only for pad=0 or size=2*pad+1", layer->pad,
                      layer->size);
    TRY(need_room(walk, 2L * layer->pad));
    long cut = layer->pad ? 1 : layer->size;
    long out_h = (layer->h - cut) / layer->stride + 1, out_w = (layer->w - cut) / layer->stride + 1;
    TRY(cp_layer_set_output(walk, layer->n, out_h, out_w));
    TRY(cp_cfg_volume(walk, "filters", layer->c, layer->n, layer->size, layer->size, &n_weights));
    TRY(cp_cfg_volume(walk, "weights", (long)n_weights, out_h, out_w, 1, &n_weights));
    TRY(need_workspace(walk, out_h * out_w, (long)layer->size * layer->size, layer->c));
    cp_layer_add_array(layer, CP_BIASES, layer->outputs);
    cp_layer_add_array(layer, CP_WEIGHTS, n_weights);
    return CP_OK;
}

static double macs_local(const cp_cfg_layer *l) { return window_of(l) * l->out_h * l->out_w * l->c; }

static const cp_cfg_key local_keys[] = {CP_KEY_COUNT("filters"), CP_KEY_COUNT("size"), CP_KEY_COUNT("stride"),
                                        CP_KEY_INT("pad", 0, INT_MAX), CP_KEY("activation"), CP_KEYS_END};

static const cp_layer_row local = {.type = CP_LAYER_LOCAL, .name = "local", .neuron = true, .filters = true,
                                   .keys = local_keys, .shape = shape_local, .macs = macs_local, .reads = reads_local};

/* ---- [connected] ---- */

static cp_status shape_connected(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n_weights;
    TRY(cp_layer_number(walk, "output", 1, &layer->n));
    cp_layer_find_activation(walk, "logistic");
    TRY(cp_cfg_flag(walk, "batch_normalize", &layer->batch_normalize));
    layer->c = (int)walk->inputs;
    layer->h = layer->w = 1;
    TRY(cp_layer_set_output(walk, layer->n, 1, 1));
    TRY(cp_cfg_volume(walk, "weights", layer->n, layer->c, 1, 1, &n_weights));
    cp_layer_add_array(layer, CP_BIASES, (size_t)layer->n);
    cp_layer_add_array(layer, CP_WEIGHTS, n_weights);
    cp_layer_add_batch_norm(layer, (size_t)layer->n);
    return CP_OK;
}

static double macs_connected(const cp_cfg_layer *l) { return (double)l->inputs * (double)l->outputs; }

static const cp_cfg_key connected_keys[] = {CP_KEY_COUNT("output"), CP_KEY("activation"), CP_KEY("batch_normalize"),
                                            CP_KEYS_END};

static const cp_layer_row connected = {.type = CP_LAYER_CONNECTED, .name = "connected", .aliases = {"conn"},
                                       .neuron = true, .filters = true, .keys = connected_keys,
                                       .shape = shape_connected, .macs = macs_connected};

const cp_layer_row *const cp_layer_filters[] = {&convolutional, &deconvolutional, &local, &connected, NULL};

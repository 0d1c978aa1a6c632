/* Layers that pool, resize or rearrange planes: maxpool, avgpool, upsample, reorg, crop. */
#include <limits.h>

#include "model/layer_row.h"

/* ---- [maxpool], [local_avgpool] ---- */

static cp_status shape_windows(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int stride;
    TRY(cp_layer_need_image(walk));
    TRY(cp_layer_number(walk, "stride", 1, &stride));
    TRY(cp_layer_read_strides(walk));
    if (layer->type == CP_LAYER_MAXPOOL) TRY(cp_layer_read_blur(walk));
    TRY(cp_layer_number(walk, "size", stride, &layer->size));
    TRY(cp_layer_number(walk, "padding", layer->size - 1, &layer->pad));
    long smaller = layer->h < layer->w ? layer->h : layer->w;
    if (layer->size > smaller + layer->pad)
        return REFUSE("size", "size=%d, the input of %dx%d with %d pixels of padding has room for %ld", layer->size,
                      layer->w, layer->h, layer->pad, smaller + layer->pad);
    long out_h = ((long)layer->h + layer->pad - layer->size) / layer->stride_y + 1;
    long out_w = ((long)layer->w + layer->pad - layer->size) / layer->stride + 1;
    /* A window without a pixel would give -FLT_MAX and the index -1. */
    long before = layer->pad / 2;
    if (before >= layer->size || (out_h - 1) * layer->stride_y - before >= layer->h ||
        (out_w - 1) * layer->stride - before >= layer->w)
        return REFUSE("padding", "padding=%d puts a window of size=%d wholly outside the input of %dx%d", layer->pad,
                      layer->size, layer->w, layer->h);
    TRY(cp_layer_set_output(walk, layer->c, out_h, out_w));
    return cp_layer_set_blurred(walk);
}

/* With maxpool_depth the maximum is over channels: output g of out_channels takes g, g + out_channels, ... */
static cp_status shape_maxpool(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    bool deep;
    TRY(cp_cfg_flag(walk, "maxpool_depth", &deep));
    if (!deep) return shape_windows(walk);
    TRY(cp_layer_need_image(walk));
    TRY(cp_layer_number(walk, "out_channels", 1, &layer->depth));
    layer->size = layer->stride = layer->stride_y = 1;
    if (layer->depth > layer->c)
        return REFUSE("out_channels", "out_channels=%d of an input of %d channels", layer->depth, layer->c);
    return cp_layer_set_output(walk, layer->depth, layer->h, layer->w);
}

/* pad is that of both sides together. */
static cp_interval reads_windows(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    int stride = axis.vertical ? l->stride_y : l->stride;
    return (cp_interval){out.first * stride - l->pad / 2, out.last * stride - l->pad / 2 + l->size - 1};
}

static const cp_cfg_key maxpool_keys[] = {
    CP_KEY_COUNT("stride"), CP_KEY_COUNT("size"), CP_KEY_INT("padding", 0, INT_MAX), CP_MODERN_COUNT("stride_x"),
    CP_MODERN_COUNT("stride_y"), CP_MODERN("maxpool_depth"), CP_MODERN_COUNT("out_channels"),
    CP_MODERN_INT("antialiasing", 0, INT_MAX),
    CP_MODERN_TRAINING("maxpool_zero_nonmax"), CP_KEYS_END};

static const cp_layer_row maxpool = {.type = CP_LAYER_MAXPOOL, .name = "maxpool", .aliases = {"max"},
                                     .keys = maxpool_keys, .shape = shape_maxpool, .reads = reads_windows,
                                     .ties = CP_TIES_EACH};

static const cp_cfg_key local_avgpool_keys[] = {
    CP_KEY_COUNT("stride"), CP_KEY_COUNT("size"), CP_KEY_INT("padding", 0, INT_MAX), CP_KEY_COUNT("stride_x"),
    CP_KEY_COUNT("stride_y"), CP_KEYS_END};

static const cp_layer_row local_avgpool = {.name = "local_avgpool", .aliases = {"local_avg"}, .modern = true,
                                           .keys = local_avgpool_keys, .shape = shape_windows, .reads = reads_windows,
                                           .ties = CP_TIES_EACH};

/* ---- [avgpool]: of whole planes ---- */

static cp_status shape_avgpool(cp_cfg_walk *walk)
{
    TRY(cp_layer_need_image(walk));
    return cp_layer_set_output(walk, walk->c, 1, 1);
}

static const cp_cfg_key no_keys[] = {CP_KEYS_END};

static const cp_layer_row avgpool = {.type = CP_LAYER_AVGPOOL, .name = "avgpool", .aliases = {"avg"}, .keys = no_keys,
                                     .shape = shape_avgpool, .ties = CP_TIES_EACH};

/* ---- [upsample] ---- */

static cp_status shape_upsample(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_layer_need_image(walk));
    TRY(cp_layer_number(walk, "stride", 2, &layer->stride));
    TRY(cp_cfg_float(walk->cfg, walk->section, "scale", 1, &layer->scale));
    layer->reverse = layer->stride < 0; /* sums of blocks */
    if (layer->reverse) layer->stride = layer->stride == INT_MIN ? INT_MAX : -layer->stride;
    if (!layer->stride) return REFUSE("stride", "stride=0, a number other than 0 is needed");
    if (layer->reverse && (layer->h % layer->stride || layer->w % layer->stride))
        return REFUSE("stride", "stride=-%d does not divide the input of %dx%d", layer->stride, layer->w, layer->h);
    if (layer->reverse)
        return cp_layer_set_output(walk, layer->c, layer->h / layer->stride, layer->w / layer->stride);
    return cp_layer_set_output(walk, layer->c, (long)layer->h * layer->stride, (long)layer->w * layer->stride);
}

static cp_interval reads_upsample(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    (void)axis;
    if (l->reverse) return (cp_interval){out.first * l->stride, out.last * l->stride + l->stride - 1};
    return (cp_interval){out.first / l->stride, out.last / l->stride};
}

static const cp_cfg_key upsample_keys[] = {CP_KEY("stride"), CP_KEY("scale"), CP_KEYS_END};

static const cp_layer_row upsample = {.type = CP_LAYER_UPSAMPLE, .name = "upsample", .keys = upsample_keys,
                                      .shape = shape_upsample, .reads = reads_upsample, .ties = CP_TIES_EACH};

/* ---- [reorg] ---- */

static cp_status shape_reorg(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_layer_need_image(walk));
    TRY(cp_layer_number(walk, "stride", 1, &layer->stride));
    TRY(cp_cfg_flag(walk, "reverse", &layer->reverse));
    TRY(cp_cfg_flag(walk, "flatten", &layer->flatten));
    TRY(cp_layer_number(walk, "extra", 0, &layer->extra));
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
        return cp_layer_set_output(walk, layer->c / square, (long)layer->h * layer->stride,
                                   (long)layer->w * layer->stride);
    return cp_layer_set_output(walk, layer->c * square, layer->h / layer->stride, layer->w / layer->stride);
}

static const cp_cfg_key reorg_keys[] = {CP_KEY_COUNT("stride"), CP_KEY("reverse"), CP_KEY("flatten"),
                                        CP_KEY_INT("extra", 0, INT_MAX), CP_KEYS_END};

/* Its scrambled order is taken as reading everything. */
static const cp_layer_row reorg = {.type = CP_LAYER_REORG, .name = "reorg", .keys = reorg_keys, .shape = shape_reorg,
                                   .ties = CP_TIES_REORG};

/* ---- [reorg3d]: space to depth ---- */

static cp_status shape_reorg3d(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_layer_need_image(walk));
    TRY(cp_layer_number(walk, "stride", 1, &layer->stride));
    long square = (long)layer->stride * layer->stride;
    if (layer->h % layer->stride || layer->w % layer->stride)
        return REFUSE("stride", "stride=%d does not divide the input of %dx%d", layer->stride, layer->w, layer->h);
    return cp_layer_set_output(walk, layer->c * square, layer->h / layer->stride, layer->w / layer->stride);
}

static cp_interval reads_reorg3d(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    (void)axis;
    return (cp_interval){out.first * l->stride, out.last * l->stride + l->stride - 1};
}

static const cp_cfg_key reorg3d_keys[] = {
    CP_KEY_COUNT("stride"), CP_REFUSED("reverse", "sizes do not fit in Darknet"), CP_KEYS_END};

static const cp_layer_row reorg3d = {.type = CP_LAYER_REORG3D, .name = "reorg3d", .modern = true, .keys = reorg3d_keys,
                                     .shape = shape_reorg3d, .reads = reads_reorg3d, .ties = CP_TIES_ALL};

/* ---- [crop] ---- */

static cp_status shape_crop(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    int h, w;
    TRY(cp_layer_need_image(walk));
    if (walk->index) return REFUSE("", "only supported as layer 0, where it is preprocessing");
    TRY(cp_cfg_ranged(walk->cfg, walk->section, "crop_height", 1, 1, layer->h, &h));
    TRY(cp_cfg_ranged(walk->cfg, walk->section, "crop_width", 1, 1, layer->w, &w));
    TRY(cp_cfg_flag(walk, "noadjust", &layer->noadjust));
    return cp_layer_set_output(walk, layer->c, h, w);
}

static cp_interval reads_crop(const cp_cfg_layer *l, cp_axis axis, cp_interval out)
{
    (void)l;
    int margin = (axis.size_in - axis.size_out) / 2;
    return (cp_interval){out.first + margin, out.last + margin};
}

static const cp_cfg_key crop_keys[] = {CP_KEY("crop_height"), CP_KEY("crop_width"), CP_KEY("noadjust"),
                                       CP_TRAINING("flip"), CP_TRAINING("angle"), CP_TRAINING("saturation"),
                                       CP_TRAINING("exposure"), CP_TRAINING("shift"), CP_KEYS_END};

static const cp_layer_row crop = {.type = CP_LAYER_CROP, .name = "crop", .keys = crop_keys, .shape = shape_crop,
                                  .reads = reads_crop, .ties = CP_TIES_EACH};

const cp_layer_row *const cp_layer_planes[] = {&maxpool, &local_avgpool, &avgpool, &upsample, &reorg, &reorg3d, &crop,
                                               NULL};

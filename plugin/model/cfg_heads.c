/* The heads: their input must have exactly the size that their keys say, or Darknet reads and writes past it. */
#include "model/cfg_check.h"

#include <limits.h>
#include <string.h>

#include "io/error.h"

static cp_status count(const cp_cfg_walk *walk, const char *key, int fallback, int *value)
{
    return cp_cfg_ranged(walk->cfg, walk->section, key, fallback, 1, INT_MAX, value);
}

/* tree= is a file that Darknet reads unchecked. */
static cp_status refuse_tree(const cp_cfg_walk *walk)
{
    const char *tree = cp_cfg_string(walk->cfg, walk->section, "tree", NULL);
    if (!tree) return CP_OK;
    return REFUSE("tree", "tree=%.80s is not supported: a class of a hierarchy has no logit of its own", tree);
}

static void keep_shape(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    layer->out_c = walk->c;
    layer->out_h = walk->h;
    layer->out_w = walk->w;
}

static cp_status check_softmax(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    bool spatial;
    TRY(count(walk, "groups", 1, &layer->groups));
    TRY(cp_cfg_float(walk->cfg, walk->section, "temperature", 1, &layer->temperature));
    TRY(cp_cfg_flag(walk, "spatial", &spatial));
    TRY(refuse_tree(walk));
    if (walk->inputs % (size_t)layer->groups)
        return REFUSE("groups", "groups=%d must divide the %zu values of the input", layer->groups, walk->inputs);
    if (!(layer->temperature > 0))
        return REFUSE("temperature", "temperature=%g, more than 0 is needed", layer->temperature);
    if (spatial) return REFUSE("spatial", "spatial=1 is not supported: Darknet honours it only on a GPU");
    return CP_OK;
}

static cp_status check_cost(const cp_cfg_walk *walk)
{
    return cp_cfg_float(walk->cfg, walk->section, "scale", 1, &walk->layer->scale);
}

/* Boxes on a grid: `per_cell` values in each cell of the image before. */
static cp_status need_cells(const cp_cfg_walk *walk, int boxes, const char *formula, long per_box)
{
    if (!walk->c || !walk->h || !walk->w)
        return REFUSE("classes", "the layer before gives %zu values but no image, which is needed", walk->inputs);
    long per_cell;
    if (__builtin_mul_overflow((long)boxes, per_box, &per_cell)) per_cell = LONG_MAX;
    if (walk->c == per_cell) return CP_OK;
    return REFUSE("classes", "the layer before gives %d channels, %s needs %ld", walk->c, formula, per_cell);
}

/* Absent anchors are all .5 in Darknet; too many overrun its array; too few leave some at .5, which nobody means. */
static cp_status read_anchors(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    size_t n;
    TRY(cp_cfg_floats(walk->cfg, walk->section, "anchors", &layer->anchors, &n));
    size_t needed = 2 * (size_t)layer->num;
    if (layer->anchors && n != needed)
        return REFUSE("anchors", "anchors has %zu numbers, num=%d needs %zu", n, layer->num, needed);
    if (layer->anchors) return CP_OK;
    layer->anchors = cp_alloc(needed, sizeof *layer->anchors, "anchors");
    if (!layer->anchors) return CP_ERESOURCE;
    for (size_t i = 0; i < needed; i++) layer->anchors[i] = .5f;
    return CP_OK;
}

static cp_status check_yolo(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(count(walk, "classes", 20, &layer->classes));
    TRY(count(walk, "num", 1, &layer->num));
    layer->coords = 4;
    TRY(cp_cfg_ints(walk->cfg, walk->section, "mask", &layer->mask, &layer->n_mask));
    if (layer->mask) {
        TRY(need_cells(walk, (int)layer->n_mask, "(classes+5)*masks", layer->classes + 5L));
        for (size_t i = 0; i < layer->n_mask; i++)
            if (layer->mask[i] < 0 || layer->mask[i] >= layer->num)
                return REFUSE("mask", "mask names anchor %d, 0 to %d is allowed (num=%d)", layer->mask[i],
                              layer->num - 1, layer->num);
    } else {
        TRY(need_cells(walk, layer->num, "(classes+5)*num", layer->classes + 5L));
        layer->n_mask = (size_t)layer->num;
        layer->mask = cp_alloc(layer->n_mask, sizeof *layer->mask, "mask");
        if (!layer->mask) return CP_ERESOURCE;
        for (int i = 0; i < layer->num; i++) layer->mask[i] = i;
    }
    /* num is bounded by nothing else: a mask may pick few of many. */
    if (layer->num > CP_CFG_MAX_LINE)
        return REFUSE("num", "num=%d, at most %d is allowed", layer->num, CP_CFG_MAX_LINE);
    keep_shape(walk);
    return read_anchors(walk);
}

static cp_status check_region(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    bool background;
    TRY(cp_cfg_ranged(walk->cfg, walk->section, "coords", 4, 4, 4, &layer->coords));
    TRY(count(walk, "classes", 20, &layer->classes));
    TRY(count(walk, "num", 1, &layer->num));
    TRY(cp_cfg_flag(walk, "softmax", &layer->softmax));
    TRY(cp_cfg_flag(walk, "background", &background));
    TRY(refuse_tree(walk));
    if (background) return REFUSE("background", "background=1 is not supported");
    TRY(need_cells(walk, layer->num, "(classes+5)*num", layer->classes + 5L));
    keep_shape(walk);
    layer->n_mask = (size_t)layer->num;
    return read_anchors(walk);
}

static cp_status check_detection(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_cfg_ranged(walk->cfg, walk->section, "coords", 1, 4, 4, &layer->coords));
    TRY(count(walk, "classes", 1, &layer->classes));
    TRY(count(walk, "num", 1, &layer->num));
    TRY(count(walk, "side", 7, &layer->side));
    TRY(cp_cfg_flag(walk, "softmax", &layer->softmax));
    /* 32 bits each, so 5 * num + classes and the square fit in 64; their product may not. */
    long needed, cells = (long)layer->side * layer->side;
    if (__builtin_mul_overflow(cells, 5L * layer->num + layer->classes, &needed)) needed = LONG_MAX;
    if ((long)walk->inputs != needed)
        return REFUSE("classes", "the layer before gives %zu values, side*side*(5*num+classes) needs %ld", walk->inputs,
                      needed);
    layer->n_mask = (size_t)layer->num;
    return CP_OK;
}

cp_status cp_cfg_check_head(cp_cfg_walk *walk)
{
    walk->layer->outputs = walk->inputs;
    switch (walk->layer->type) {
    case CP_LAYER_SOFTMAX: return check_softmax(walk);
    case CP_LAYER_LOGISTIC: keep_shape(walk); return CP_OK;
    case CP_LAYER_COST: return check_cost(walk);
    case CP_LAYER_YOLO: return check_yolo(walk);
    case CP_LAYER_REGION: return check_region(walk);
    case CP_LAYER_DETECTION: return check_detection(walk);
    default: return cp_fail(CP_EINTERNAL, "no check for layer type %d", (int)walk->layer->type);
    }
}

/* The heads: their input must have exactly the size that their keys say, or Darknet reads and writes past it. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "model/class_tree.h"
#include "model/layer_row.h"

/* tree= is a file that Darknet reads unchecked. */
static cp_status read_tree(const cp_cfg_walk *walk, size_t classes)
{
    const char *written = cp_cfg_string(walk->cfg, walk->section, "tree", NULL);
    if (!written) return CP_OK;
    if (cp_class_tree_read(written, cp_cfg_path(walk->cfg), &walk->layer->tree)) {
        char why[300];
        snprintf(why, sizeof why, "%.290s", cp_error());
        return REFUSE("tree", "tree=%.80s: %s", written, why);
    }
    if ((size_t)walk->layer->tree->n == classes) return CP_OK;
    return REFUSE("tree", "tree=%.80s has %d classes, the layer has %zu", written, walk->layer->tree->n, classes);
}

static cp_status shape_softmax(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    layer->outputs = walk->inputs;
    TRY(cp_layer_number(walk, "groups", 1, &layer->groups));
    TRY(cp_cfg_float(walk->cfg, walk->section, "temperature", 1, &layer->temperature));
    TRY(read_tree(walk, walk->inputs));
    if (walk->inputs % (size_t)layer->groups)
        return REFUSE("groups", "groups=%d must divide the %zu values of the input", layer->groups, walk->inputs);
    if (!(layer->temperature > 0))
        return REFUSE("temperature", "temperature=%g, more than 0 is needed", layer->temperature);
    return CP_OK;
}

static cp_status shape_cost(cp_cfg_walk *walk)
{
    walk->layer->outputs = walk->inputs;
    return cp_cfg_float(walk->cfg, walk->section, "scale", 1, &walk->layer->scale);
}

static cp_status shape_logistic(cp_cfg_walk *walk)
{
    cp_layer_keep_shape(walk);
    return CP_OK;
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

/* Absent anchors are all .5 in Darknet. AlexeyAB's [yolo] takes as many as there are, up to 2*num, and that is fine where
 * the head's own are among them; elsewhere too many overrun Darknet's array, and too few leave some at .5, which nobody
 * means. */
static cp_status read_anchors(const cp_cfg_walk *walk, bool exact)
{
    cp_cfg_layer *layer = walk->layer;
    float *given = NULL;
    size_t n, needed = 2 * (size_t)layer->num, least = exact ? needed : 0;
    TRY(cp_cfg_floats(walk->cfg, walk->section, "anchors", &given, &n));
    for (size_t i = 0; i < layer->n_mask && !exact; i++)
        if (2 * (size_t)layer->mask[i] + 2 > least) least = 2 * (size_t)layer->mask[i] + 2;
    if (given && (n < least || (exact && n > needed))) {
        cp_free(given);
        return REFUSE("anchors", "anchors has %zu numbers, %s needs %zu", n, exact ? "num" : "the mask", least);
    }
    layer->anchors = cp_alloc(needed, sizeof *layer->anchors, "anchors");
    for (size_t i = 0; layer->anchors && i < needed; i++) layer->anchors[i] = given && i < n ? given[i] : .5f;
    cp_free(given);
    return layer->anchors ? CP_OK : CP_ERESOURCE;
}

/* Names that AlexeyAB's Darknet does not know mean the default there. */
static cp_nms_kind find_nms(const char *name)
{
    static const char *const names[] = {"default", "greedynms", "diounms", "cornersnms"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return (cp_nms_kind)i;
    return CP_NMS_DEFAULT;
}

/* How boxes are decoded and merged: the keys of AlexeyAB's and hank-ai's [yolo]. */
static cp_status read_decoding(const cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_cfg_float(walk->cfg, walk->section, "scale_x_y", 1, &layer->scale_x_y));
    TRY(cp_cfg_flag(walk, "new_coords", &layer->new_coords));
    TRY(cp_cfg_float(walk->cfg, walk->section, "beta_nms", .6f, &layer->beta_nms));
    layer->nms_kind = find_nms(cp_cfg_string(walk->cfg, walk->section, "nms_kind", "default"));
    return CP_OK;
}

/* `per_box`: values of a box beside its classes; `formula` as messages name the sum. */
static cp_status shape_boxes(cp_cfg_walk *walk, long per_box, const char *of_masks, const char *of_num)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(read_decoding(walk));
    TRY(cp_layer_number(walk, "classes", 20, &layer->classes));
    TRY(cp_layer_number(walk, "num", 1, &layer->num));
    layer->coords = 4;
    TRY(cp_cfg_ints(walk->cfg, walk->section, "mask", &layer->mask, &layer->n_mask));
    if (layer->mask) {
        TRY(need_cells(walk, (int)layer->n_mask, of_masks, layer->classes + per_box));
        for (size_t i = 0; i < layer->n_mask; i++)
            if (layer->mask[i] < 0 || layer->mask[i] >= layer->num)
                return REFUSE("mask", "mask names anchor %d, 0 to %d is allowed (num=%d)", layer->mask[i],
                              layer->num - 1, layer->num);
    } else {
        TRY(need_cells(walk, layer->num, of_num, layer->classes + per_box));
        layer->n_mask = (size_t)layer->num;
        layer->mask = cp_alloc(layer->n_mask, sizeof *layer->mask, "mask");
        if (!layer->mask) return CP_ERESOURCE;
        for (int i = 0; i < layer->num; i++) layer->mask[i] = i;
    }
    /* num is bounded by nothing else: a mask may pick few of many. */
    if (layer->num > CP_CFG_MAX_LINE)
        return REFUSE("num", "num=%d, at most %d is allowed", layer->num, CP_CFG_MAX_LINE);
    cp_layer_keep_shape(walk);
    return read_anchors(walk, false);
}

static cp_status shape_yolo(cp_cfg_walk *walk)
{
    return shape_boxes(walk, 5, "(classes+5)*masks", "(classes+5)*num");
}

/* Each of the four coordinates has a deviation beside it. */
static cp_status shape_gaussian_yolo(cp_cfg_walk *walk)
{
    const char *point = cp_cfg_string(walk->cfg, walk->section, "yolo_point", "center");
    walk->layer->point = !strcmp(point, "left_top")       ? CP_POINT_LEFT_TOP
                         : !strcmp(point, "right_bottom") ? CP_POINT_RIGHT_BOTTOM
                                                          : CP_POINT_CENTER;
    return shape_boxes(walk, 9, "(classes+9)*masks", "(classes+9)*num");
}

static cp_status shape_contrastive(cp_cfg_walk *walk)
{
    walk->layer->outputs = walk->inputs;
    return CP_OK;
}

static cp_status shape_region(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_layer_number(walk, "coords", 4, &layer->coords));
    TRY(cp_layer_number(walk, "classes", 20, &layer->classes));
    TRY(cp_layer_number(walk, "num", 1, &layer->num));
    TRY(cp_cfg_flag(walk, "softmax", &layer->softmax));
    TRY(read_tree(walk, (size_t)layer->classes));
    TRY(need_cells(walk, layer->num, "(classes+5)*num", layer->classes + 5L));
    cp_layer_keep_shape(walk);
    layer->n_mask = (size_t)layer->num;
    return read_anchors(walk, true);
}

static cp_status shape_detection(cp_cfg_walk *walk)
{
    cp_cfg_layer *layer = walk->layer;
    TRY(cp_layer_number(walk, "coords", 1, &layer->coords));
    TRY(cp_layer_number(walk, "classes", 1, &layer->classes));
    TRY(cp_layer_number(walk, "num", 1, &layer->num));
    TRY(cp_layer_number(walk, "side", 7, &layer->side));
    TRY(cp_cfg_flag(walk, "softmax", &layer->softmax));
    TRY(cp_cfg_flag(walk, "sqrt", &layer->squared));
    /* 32 bits each, so 5 * num + classes and the square fit in 64; their product may not. */
    long needed, cells = (long)layer->side * layer->side;
    if (__builtin_mul_overflow(cells, 5L * layer->num + layer->classes, &needed)) needed = LONG_MAX;
    if ((long)walk->inputs != needed)
        return REFUSE("classes", "the layer before gives %zu values, side*side*(5*num+classes) needs %ld", walk->inputs,
                      needed);
    layer->n_mask = (size_t)layer->num;
    layer->outputs = walk->inputs;
    return CP_OK;
}

/* ---- the rows ---- */

static const cp_cfg_key softmax_keys[] = {
    CP_KEY_COUNT("groups"), CP_KEY("temperature"), CP_KEY("tree"),
    CP_REFUSED("spatial", "Darknet honours it only on a GPU"), CP_TRAINING("noloss"), CP_KEYS_END};

static const cp_cfg_key no_keys[] = {CP_KEYS_END};

static const cp_cfg_key cost_keys[] = {CP_KEY("scale"), CP_TRAINING("type"), CP_TRAINING("ratio"),
                                       CP_TRAINING("noobj"), CP_TRAINING("thresh"), CP_KEYS_END};

#define YOLO_KEYS \
    CP_KEY_COUNT("classes"), CP_KEY_COUNT("num"), CP_KEY("mask"), CP_KEY("anchors"), \
    CP_MODERN("new_coords"), CP_MODERN("scale_x_y"), CP_MODERN("nms_kind"), CP_MODERN("beta_nms"), \
    CP_TRAINING("max"), CP_TRAINING("jitter"), CP_MODERN_TRAINING("resize"), CP_TRAINING("random"), CP_TRAINING("map"), \
    CP_TRAINING("ignore_thresh"), CP_TRAINING("truth_thresh"), CP_MODERN_TRAINING("iou_thresh"), CP_MODERN_TRAINING("iou_loss"), \
    CP_MODERN_TRAINING("iou_thresh_kind"), CP_MODERN_TRAINING("iou_normalizer"), CP_MODERN_TRAINING("obj_normalizer"), \
    CP_MODERN_TRAINING("cls_normalizer"), CP_MODERN_TRAINING("delta_normalizer"), CP_MODERN_TRAINING("max_delta"), \
    CP_MODERN_TRAINING("label_smooth_eps"), CP_MODERN_TRAINING("objectness_smooth"), CP_MODERN_TRAINING("counters_per_class"), \
    CP_MODERN_TRAINING("focal_loss"), CP_MODERN_TRAINING("show_details"), CP_MODERN_TRAINING("embedding_layer"), \
    CP_MODERN_TRAINING("track_history_size"), CP_MODERN_TRAINING("track_ciou_norm"), CP_MODERN_TRAINING("dets_for_track"), \
    CP_MODERN_TRAINING("dets_for_show"), CP_MODERN_TRAINING("sim_thresh"), CP_MODERN_TRAINING("uc_normalizer"), \
    CP_MODERN_TRAINING("beta1") /* what beta_nms was called once */

static const cp_cfg_key yolo_keys[] = {YOLO_KEYS, CP_KEYS_END};
static const cp_cfg_key gaussian_yolo_keys[] = {YOLO_KEYS, CP_MODERN("yolo_point"),
                                                CP_KEYS_END};
static const cp_cfg_key contrastive_keys[] = {
    CP_TRAINING("classes"), CP_TRAINING("yolo_layer"), CP_TRAINING("temperature"), CP_TRAINING("cls_normalizer"),
    CP_TRAINING("max_delta"), CP_TRAINING("contrastive_neg_max"), CP_KEYS_END};

static const cp_cfg_key region_keys[] = {
    CP_KEY_INT("coords", 4, 4), CP_KEY_COUNT("classes"), CP_KEY_COUNT("num"), CP_KEY("softmax"), CP_KEY("tree"),
    CP_KEY("anchors"), CP_REFUSED("background", "it has no class of its own"), CP_TRAINING("log"),
    CP_TRAINING("sqrt"), CP_TRAINING("max"), CP_TRAINING("jitter"), CP_MODERN_TRAINING("resize"), CP_TRAINING("rescore"),
    CP_TRAINING("thresh"), CP_TRAINING("classfix"), CP_TRAINING("absolute"), CP_TRAINING("random"),
    CP_TRAINING("coord_scale"), CP_TRAINING("object_scale"), CP_TRAINING("noobject_scale"),
    CP_TRAINING("mask_scale"), CP_TRAINING("class_scale"), CP_TRAINING("bias_match"), CP_TRAINING("map"),
    CP_MODERN_TRAINING("focal_loss"), CP_KEYS_END};

static const cp_cfg_key detection_keys[] = {
    CP_KEY_INT("coords", 4, 4), CP_KEY_COUNT("classes"), CP_KEY_COUNT("num"), CP_KEY_COUNT("side"),
    CP_KEY("softmax"), CP_KEY("sqrt"), CP_TRAINING("rescore"), CP_TRAINING("max"), CP_TRAINING("coord_scale"),
    CP_TRAINING("forced"), CP_TRAINING("object_scale"), CP_TRAINING("noobject_scale"), CP_TRAINING("class_scale"),
    CP_TRAINING("jitter"), CP_MODERN_TRAINING("resize"), CP_TRAINING("random"), CP_TRAINING("reorg"), CP_KEYS_END};

static const cp_layer_row softmax = {.type = CP_LAYER_SOFTMAX, .name = "softmax", .aliases = {"soft"}, .head = true,
                                     .keys = softmax_keys, .shape = shape_softmax, .ties = CP_TIES_ALL};
static const cp_layer_row logistic = {.type = CP_LAYER_LOGISTIC, .name = "logistic", .head = true, .keys = no_keys,
                                      .shape = shape_logistic, .ties = CP_TIES_ALL};
static const cp_layer_row cost = {.type = CP_LAYER_COST, .name = "cost", .head = true, .keys = cost_keys,
                                  .shape = shape_cost, .ties = CP_TIES_ALL};
static const cp_layer_row yolo = {.type = CP_LAYER_YOLO, .name = "yolo", .head = true, .keys = yolo_keys,
                                  .shape = shape_yolo, .ties = CP_TIES_ALL};
static const cp_layer_row region = {.type = CP_LAYER_REGION, .name = "region", .head = true, .keys = region_keys,
                                    .shape = shape_region, .ties = CP_TIES_ALL};
static const cp_layer_row detection = {.type = CP_LAYER_DETECTION, .name = "detection", .head = true,
                                       .keys = detection_keys, .shape = shape_detection, .ties = CP_TIES_ALL};
static const cp_layer_row gaussian_yolo = {.type = CP_LAYER_GAUSSIAN_YOLO, .name = "Gaussian_yolo",
                                           .aliases = {"gaussian_yolo"}, .modern = true, .head = true,
                                           .keys = gaussian_yolo_keys, .shape = shape_gaussian_yolo,
                                           .ties = CP_TIES_ALL};
static const cp_layer_row contrastive = {.name = "contrastive", .modern = true, .head = true, .keys = contrastive_keys,
                                         .shape = shape_contrastive, .ties = CP_TIES_ALL};

const cp_layer_row *const cp_layer_heads[] = {&softmax, &logistic, &cost, &yolo, &region, &detection, &gaussian_yolo,
                                              &contrastive, NULL};

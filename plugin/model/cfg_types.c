/* Tables: Darknet's layer types, their keys, and the keys of other Darknets that this one would silently ignore. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "model/cfg_check.h"

static const struct {
    const char *name, *short_name;
    bool head;
} types[CP_LAYER_TYPES] = {
    [CP_LAYER_CONVOLUTIONAL] = {"convolutional", "conv", false},
    [CP_LAYER_DECONVOLUTIONAL] = {"deconvolutional", "deconv", false},
    [CP_LAYER_LOCAL] = {"local", NULL, false},
    [CP_LAYER_CONNECTED] = {"connected", "conn", false},
    [CP_LAYER_MAXPOOL] = {"maxpool", "max", false},
    [CP_LAYER_AVGPOOL] = {"avgpool", "avg", false},
    [CP_LAYER_SHORTCUT] = {"shortcut", NULL, false},
    [CP_LAYER_ROUTE] = {"route", NULL, false},
    [CP_LAYER_UPSAMPLE] = {"upsample", NULL, false},
    [CP_LAYER_REORG] = {"reorg", NULL, false},
    [CP_LAYER_ACTIVATION] = {"activation", NULL, false},
    [CP_LAYER_DROPOUT] = {"dropout", NULL, false},
    [CP_LAYER_CROP] = {"crop", NULL, false},
    [CP_LAYER_SOFTMAX] = {"softmax", "soft", true},
    [CP_LAYER_LOGISTIC] = {"logistic", NULL, true},
    [CP_LAYER_COST] = {"cost", NULL, true},
    [CP_LAYER_YOLO] = {"yolo", NULL, true},
    [CP_LAYER_REGION] = {"region", NULL, true},
    [CP_LAYER_DETECTION] = {"detection", NULL, true},
};

/* Types that Darknet has and we refuse, with the reason. */
static const struct {
    const char *name, *reason;
} refused[] = {
    {"lrn", "Darknet's own forward is wrong here: its window drifts and norms turn negative"},
    {"normalization", "Darknet's own forward is wrong here: its window drifts and norms turn negative"},
    {"batchnorm", "a batch norm of its own makes Darknet write to memory it never allocates"},
    {"l2norm", "Darknet divides by zero in it and its gradient is wrong"},
    {"pathmask", "masks are for Darknet's own verbs; `darknet critpath strip` writes the cfg without them"},
    {"iseg", "Darknet's forward reads the ground truth, which a prediction does not have"},
    {"rnn", "recurrent layers have no image input"},
    {"gru", "recurrent layers have no image input"},
    {"lstm", "recurrent layers have no image input"},
    {"crnn", "recurrent layers keep a state between images"},
};

const char *cp_layer_type_name(cp_layer_type type)
{
    return (unsigned)type < CP_LAYER_TYPES ? types[type].name : "unknown";
}

bool cp_layer_type_is_head(cp_layer_type type) { return (unsigned)type < CP_LAYER_TYPES && types[type].head; }

const char *cp_array_name(cp_array_kind kind)
{
    static const char *const names[] = {"biases", "scales", "rolling_mean", "rolling_variance", "weights"};
    return (unsigned)kind < 5 ? names[kind] : "unknown";
}

cp_status cp_cfg_find_type(const cp_cfg_walk *walk, cp_layer_type *type)
{
    const char *name = cp_cfg_type(walk->cfg, walk->section);
    int line = cp_cfg_line(walk->cfg, walk->section);
    for (int i = 0; i < CP_LAYER_TYPES; i++)
        if (!strcmp(name, types[i].name) || (types[i].short_name && !strcmp(name, types[i].short_name))) {
            *type = (cp_layer_type)i;
            return CP_OK;
        }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!strcmp(name, refused[i].name))
            return cp_cfg_refuse(walk->cfg, walk->section, line, "not supported: %s", refused[i].reason);
    if (cp_cfg_is_net(name))
        return cp_cfg_refuse(walk->cfg, walk->section, line, "only the first section may be [net]");
    return cp_cfg_refuse(walk->cfg, walk->section, line, "Darknet has no layer of this type");
}

/* ---- keys ---- */

static const char *const net_keys[] = {
    "batch", "learning_rate", "momentum", "decay", "subdivisions", "time_steps", "notruth", "random", "adam", "B1",
    "B2", "eps", "height", "width", "channels", "inputs", "max_crop", "min_crop", "max_ratio", "min_ratio",
    "center", "clip", "angle", "aspect", "saturation", "exposure", "hue", "policy", "burn_in", "power", "step",
    "scale", "steps", "scales", "gamma", "max_batches", NULL
};

static const char *const common_keys[] = {"truth", "onlyforward", "stopbackward", "dontsave", "dontload", "numload",
                                          "dontloadscales", "learning_rate", "smooth", NULL};

static const char *const *const layer_keys[CP_LAYER_TYPES] = {
    [CP_LAYER_CONVOLUTIONAL] = (const char *const[]){
        "filters", "size", "stride", "pad", "padding", "groups", "activation", "batch_normalize", "binary", "xnor",
        "flipped", "dot", NULL},
    [CP_LAYER_DECONVOLUTIONAL] = (const char *const[]){
        "filters", "size", "stride", "pad", "padding", "activation", "batch_normalize", NULL},
    [CP_LAYER_LOCAL] = (const char *const[]){"filters", "size", "stride", "pad", "activation", NULL},
    [CP_LAYER_CONNECTED] = (const char *const[]){"output", "activation", "batch_normalize", NULL},
    [CP_LAYER_MAXPOOL] = (const char *const[]){"stride", "size", "padding", NULL},
    [CP_LAYER_AVGPOOL] = (const char *const[]){NULL},
    [CP_LAYER_SHORTCUT] = (const char *const[]){"from", "activation", "alpha", "beta", NULL},
    [CP_LAYER_ROUTE] = (const char *const[]){"layers", NULL},
    [CP_LAYER_UPSAMPLE] = (const char *const[]){"stride", "scale", NULL},
    [CP_LAYER_REORG] = (const char *const[]){"stride", "reverse", "flatten", "extra", NULL},
    [CP_LAYER_ACTIVATION] = (const char *const[]){"activation", NULL},
    [CP_LAYER_DROPOUT] = (const char *const[]){"probability", NULL},
    [CP_LAYER_CROP] = (const char *const[]){
        "crop_height", "crop_width", "flip", "angle", "saturation", "exposure", "noadjust", "shift", NULL},
    [CP_LAYER_SOFTMAX] = (const char *const[]){"groups", "temperature", "tree", "spatial", "noloss", NULL},
    [CP_LAYER_LOGISTIC] = (const char *const[]){NULL},
    [CP_LAYER_COST] = (const char *const[]){"type", "scale", "ratio", "noobj", "thresh", NULL},
    [CP_LAYER_YOLO] = (const char *const[]){
        "classes", "num", "mask", "max", "jitter", "ignore_thresh", "truth_thresh", "random", "map", "anchors", NULL},
    [CP_LAYER_REGION] = (const char *const[]){
        "coords", "classes", "num", "log", "sqrt", "softmax", "background", "max", "jitter", "rescore", "thresh",
        "classfix", "absolute", "random", "coord_scale", "object_scale", "noobject_scale", "mask_scale",
        "class_scale", "bias_match", "tree", "map", "anchors", NULL},
    [CP_LAYER_DETECTION] = (const char *const[]){
        "coords", "classes", "rescore", "num", "side", "softmax", "sqrt", "max", "coord_scale", "forced",
        "object_scale", "noobject_scale", "class_scale", "jitter", "random", "reorg", NULL},
};

static bool has(const char *const *keys, const char *key)
{
    for (; *keys; keys++)
        if (!strcmp(*keys, key)) return true;
    return false;
}

bool cp_cfg_knows_key(const cp_layer_type *type, const char *key)
{
    return type ? has(common_keys, key) || has(layer_keys[*type], key) : has(net_keys, key);
}

/* Keys of later Darknets that change what a layer computes, with the value that changes nothing. */
static const struct {
    cp_layer_type type;
    const char *key;
    int neutral; /* SAME_AS_STRIDE: the layer's stride */
} foreign[] = {
#define SAME_AS_STRIDE INT_MIN
    {CP_LAYER_CONVOLUTIONAL, "dilation", 1},
    {CP_LAYER_CONVOLUTIONAL, "stride_x", SAME_AS_STRIDE},
    {CP_LAYER_CONVOLUTIONAL, "stride_y", SAME_AS_STRIDE},
    {CP_LAYER_CONVOLUTIONAL, "antialiasing", 0},
    {CP_LAYER_CONVOLUTIONAL, "assisted_excitation", 0},
    {CP_LAYER_CONVOLUTIONAL, "sway", 0},
    {CP_LAYER_CONVOLUTIONAL, "rotate", 0},
    {CP_LAYER_CONVOLUTIONAL, "stretch", 0},
    {CP_LAYER_MAXPOOL, "stride_x", SAME_AS_STRIDE},
    {CP_LAYER_MAXPOOL, "stride_y", SAME_AS_STRIDE},
    {CP_LAYER_MAXPOOL, "maxpool_depth", 0},
    {CP_LAYER_MAXPOOL, "antialiasing", 0},
    {CP_LAYER_ROUTE, "groups", 1},
    {CP_LAYER_YOLO, "new_coords", 0},
};

cp_status cp_cfg_check_foreign(const cp_cfg_walk *walk)
{
    const cp_cfg_layer *layer = walk->layer;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        const char *value = cp_cfg_string(walk->cfg, walk->section, foreign[i].key, NULL);
        if (foreign[i].type != layer->type || !value) continue;
        int neutral = foreign[i].neutral == SAME_AS_STRIDE ? layer->stride : foreign[i].neutral, number;
        cp_status status = cp_cfg_int(walk->cfg, walk->section, foreign[i].key, neutral, &number);
        if (status != CP_OK) return status;
        if (number != neutral)
            return cp_cfg_refuse(walk->cfg, walk->section, cp_cfg_key_line(walk->cfg, walk->section, foreign[i].key),
                                 "%s=%d is of another Darknet, this one would ignore it and compute as with %d",
                                 foreign[i].key, number, neutral);
    }
    const char *weights_type = cp_cfg_string(walk->cfg, walk->section, "weights_type", "none");
    if (layer->type == CP_LAYER_SHORTCUT && strcmp(weights_type, "none"))
        return cp_cfg_refuse(walk->cfg, walk->section, cp_cfg_key_line(walk->cfg, walk->section, "weights_type"),
                             "weights_type=%.40s is of another Darknet, this one would ignore it", weights_type);
    return CP_OK;
}

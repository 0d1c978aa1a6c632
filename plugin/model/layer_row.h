/* The layer table: one row per layer type, with everything that the type means for the plugin except how the engine
 * computes it. A row stands in the layer_*.c file of its family, beside the functions that it names; layer_rows.c
 * collects them. */
#ifndef CP_MODEL_LAYER_ROW_H
#define CP_MODEL_LAYER_ROW_H

#include <limits.h>

#include "model/cfg_check.h"

/* What a key of a section does. */
typedef enum {
    CP_KEY_USED,     /* it decides what the layer computes, and is read */
    CP_KEY_TRAINING, /* it has no effect on a prediction */
    CP_KEY_REFUSED   /* it would change a prediction in a way that is not supported */
} cp_key_kind;

typedef struct {
    const char *name;
    cp_key_kind kind;
    int min, max;       /* of an integer; REFUSED: the values that change nothing, and are therefore fine */
    const char *reason; /* REFUSED */
    bool modern;        /* AlexeyAB's and hank-ai's Darknet have it, Debian's has not */
} cp_cfg_key;

/* Initialisers of keys. An integer with its range; any other value; the two other kinds. */
#define CP_KEY_INT(name, min, max) {name, CP_KEY_USED, min, max, NULL, false}
#define CP_KEY_COUNT(name) CP_KEY_INT(name, 1, INT_MAX)
#define CP_KEY(name) CP_KEY_INT(name, INT_MIN, INT_MAX)
#define CP_TRAINING(name) {name, CP_KEY_TRAINING, INT_MIN, INT_MAX, NULL, false}
#define CP_REFUSED(name, reason) {name, CP_KEY_REFUSED, 0, 0, reason, false}
/* The same with another value that changes nothing. */
#define CP_REFUSED_BUT(name, value, reason) {name, CP_KEY_REFUSED, value, value, reason, false}
/* The same of the other Darknets. */
#define CP_MODERN_INT(name, min, max) {name, CP_KEY_USED, min, max, NULL, true}
#define CP_MODERN_COUNT(name) CP_MODERN_INT(name, 1, INT_MAX)
#define CP_MODERN(name) CP_MODERN_INT(name, INT_MIN, INT_MAX)
#define CP_MODERN_TRAINING(name) {name, CP_KEY_TRAINING, INT_MIN, INT_MAX, NULL, true}
#define CP_MODERN_REFUSED(name, reason) {name, CP_KEY_REFUSED, 0, 0, reason, true}
#define CP_KEYS_END {NULL, CP_KEY_USED, 0, 0, NULL, false}

/* Which channels of a layer's output are channels of its sources, so that a smaller network keeps or loses both. */
typedef enum {
    CP_TIES_NONE,    /* filters of its own: any channel may go */
    CP_TIES_EACH,    /* channel i is channel i of every source, as far as the source has one */
    CP_TIES_ROUTE,   /* the sources' channels one after the other */
    CP_TIES_REORG,   /* blocks of stride*stride channels */
    CP_TIES_ALL      /* it is made of all channels of its sources: none may go */
} cp_ties;

/* One axis of a layer: source `source` (its number in cp_cfg_layer.sources) has size_in positions there, the output
 * size_out. */
typedef struct {
    int source, size_in, size_out;
    bool vertical;
} cp_axis;

typedef struct {
    int first, last; /* both included, before clipping to the plane */
} cp_interval;

struct cp_layer_row {
    cp_layer_type type;           /* left out where no code asks for it: then the row's place gives its number */
    const char *name;             /* Darknet's long name */
    const char *aliases[2];       /* its other names */
    const char *refused;          /* why the type is not supported; NULL: it is */
    bool modern;                  /* AlexeyAB's and hank-ai's Darknet have it, Debian's has not */
    bool head;                    /* it ends the differentiable part */
    bool neuron;                  /* with an activation that is not linear, its output is a neuron layer */
    int curved;                   /* 1: mish and swish are fine as activation; 2: hard_mish too */
    bool filters;                 /* it has filters of its own, each with a bias */
    const cp_cfg_key *keys;       /* besides those of every layer; ends in CP_KEYS_END */
    /* Reads the keys and fills in walk->layer, whose inputs, c, h, w and sources (the layer before) are set: shape,
     * sources, arrays. walk->workspace grows to what the layer needs. */
    cp_status (*shape)(cp_cfg_walk *walk);
    double (*macs)(const cp_cfg_layer *layer); /* multiply-adds of one image; NULL: none */
    /* What the outputs at out.first..out.last of an axis read of a source; NULL: everything. */
    cp_interval (*reads)(const cp_cfg_layer *layer, cp_axis axis, cp_interval out);
    cp_ties ties;
};

/* The rows of each family, up to NULL, at the end of its file. */
extern const cp_layer_row *const cp_layer_filters[], *const cp_layer_planes[], *const cp_layer_joins[],
    *const cp_layer_values[], *const cp_layer_heads[];

/* A type that no row has: a row with the name "unknown" and nothing else. */
const cp_layer_row *cp_layer_row_of(cp_layer_type type);

/* ---- what the shape functions share ---- */

/* The integer key of walk->layer, within the range that its row gives. */
cp_status cp_layer_number(const cp_cfg_walk *walk, const char *key, int fallback, int *value);
/* CP_EINPUT unless the layer before gives channels, height and width. */
cp_status cp_layer_need_image(const cp_cfg_walk *walk);
/* The activation that the section names, or `fallback`, which stays in use. */
void cp_layer_find_activation(const cp_cfg_walk *walk, const char *fallback);
/* Sets the output's shape; CP_EINPUT when its volume is beyond an int. */
cp_status cp_layer_set_output(const cp_cfg_walk *walk, long c, long h, long w);
/* The values pass one by one, with the shape they have. */
void cp_layer_keep_shape(const cp_cfg_walk *walk);
/* The next array of the layer in the weights file: n floats. */
void cp_layer_add_array(cp_cfg_layer *layer, cp_array_kind kind, size_t n);
/* scales, rolling_mean, rolling_variance, where the layer has batch_normalize. */
void cp_layer_add_batch_norm(cp_cfg_layer *layer, size_t n);
/* The strides of a window: stride_x and stride_y, each `stride` where it is not given. */
cp_status cp_layer_read_strides(const cp_cfg_walk *walk);
/* antialiasing: the strides read so far become those of the blur. */
cp_status cp_layer_read_blur(const cp_cfg_walk *walk);
/* The size of what is blurred, once the output's shape is set. */
cp_status cp_layer_set_blurred(const cp_cfg_walk *walk);
/* Position i of the output reads position i. */
cp_interval cp_layer_reads_same(const cp_cfg_layer *layer, cp_axis axis, cp_interval out);

#endif

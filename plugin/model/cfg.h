/* The cfg file: read, checked, edited and written without Darknet.
 *
 * Darknet exits with 0, crashes or guesses on a bad cfg, so everything it would stumble over is refused here first:
 *
 *     cp_cfg_read -> (cp_cfg_prepare) -> cp_cfg_check -> cp_cfg_render -> Darknet's parse_network_cfg
 *
 * Lines are read as Darknet's read_cfg does: every blank and tab is dropped wherever it stands, a line that then
 * starts with '#' or ';' is a comment, '[' starts a section, the first of two equal keys counts; carriage returns at line
 * ends and a byte order mark are no part of it. What stands behind a number is ignored, and said by the check. Unlike
 * Darknet, numbers must begin as numbers. Messages name the file, the layer, the line, the value found and the value allowed. */
#ifndef CP_MODEL_CFG_H
#define CP_MODEL_CFG_H

#include "critpath.h"

/* Limits; every one is far above the largest cfg in use. */
enum {
    CP_CFG_MAX_BYTES = 1 << 20,   /* of the file */
    CP_CFG_MAX_LINE = 1 << 16,    /* bytes of a line */
    CP_CFG_MAX_SECTIONS = 10000,  /* [net] and the layers */
    CP_CFG_MAX_KEYS = 300,        /* of one section */
    CP_CFG_MOST_SOURCES = 64      /* that one layer reads */
};

/* ---- the text: sections in order, each with its keys ---- */

/* Section 0 is [net]; section s > 0 is layer s - 1 (once cp_cfg_check has accepted the cfg). */
typedef struct cp_cfg cp_cfg;

/* Reads a cfg. CP_EINPUT: not there, a folder, over a limit, not text, a key before the first section, a line that is
 * no key=value. Only the form is checked. Free with cp_cfg_free. */
cp_status cp_cfg_read(const char *path, cp_cfg **cfg);
/* The same from memory; `name` stands for the path in messages. `text` need not end in 0. */
cp_status cp_cfg_parse(const char *name, const char *text, size_t length, cp_cfg **cfg);
cp_status cp_cfg_copy(const cp_cfg *from, cp_cfg **copy);
void cp_cfg_free(cp_cfg *cfg); /* NULL is fine */

/* As it was read: for messages. */
const char *cp_cfg_path(const cp_cfg *cfg);
/* How many, [net] counted. */
size_t cp_cfg_sections(const cp_cfg *cfg);
/* As written, without the brackets: "conv" or "convolutional". */
const char *cp_cfg_type(const cp_cfg *cfg, size_t section);
/* Line of the section's head, from 1; 0 for a section that was inserted. */
int cp_cfg_line(const cp_cfg *cfg, size_t section);

/* Values. The blanks are gone; the first of equal keys counts; an absent key gives `fallback`. What
 * stands behind a number is ignored, as Darknet's atoi and atof do; cp_cfg_check says so of all but comments. No number at
 * all, an empty value and one out of range are CP_EINPUT. */
const char *cp_cfg_string(const cp_cfg *cfg, size_t section, const char *key, const char *fallback);
cp_status cp_cfg_int(const cp_cfg *cfg, size_t section, const char *key, int fallback, int *value);
cp_status cp_cfg_float(const cp_cfg *cfg, size_t section, const char *key, float fallback, float *value);
/* Comma separated lists, with a comment behind them or none; commas in the comment are CP_EINPUT, but for mask, anchors, steps
 * and scales. Absent: *values = NULL, *n = 0. Free with cp_free. */
cp_status cp_cfg_ints(const cp_cfg *cfg, size_t section, const char *key, int **values, size_t *n);
cp_status cp_cfg_floats(const cp_cfg *cfg, size_t section, const char *key, float **values, size_t *n);

/* ---- editing and writing: the order of sections and keys is kept, comments are not ---- */

/* Sets a key, or appends it. The value is a printf format. */
cp_status cp_cfg_set(cp_cfg *cfg, size_t section, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Removes every occurrence of a key; absent is fine. */
void cp_cfg_unset(cp_cfg *cfg, size_t section, const char *key);

/* Inserts an empty layer before layer `layer` (= number of layers: at the end) and renumbers route's `layers` and
 * shortcut's `from`, so that they name the same layers as before; relative numbers stay relative. With `redirect`,
 * later references to layer - 1 name the new layer instead, as its input does: what a mask or an activation put
 * behind a layer wants. `type` has no brackets. The new section is layer + 1. CP_EINPUT when a reference is no
 * integer or out of range. */
cp_status cp_cfg_insert_layer(cp_cfg *cfg, size_t layer, const char *type, bool redirect);
/* Removes a layer; references to it then name the layer before it. CP_EINPUT when that does not exist. */
cp_status cp_cfg_remove_layer(cp_cfg *cfg, size_t layer);

/* Makes [net] fit for inference: batch as given, subdivisions=1, adam=0 (saves two copies of the weights), width and
 * height when not 0. Drops `map` of [region] and [yolo], a file that Darknet would open and never use here, and gives `tree` the
 * path that opens (cp_path_beside). Works on
 * `cfg` itself (see cp_cfg_copy); check it afterwards. */
cp_status cp_cfg_prepare(cp_cfg *cfg, int batch, int width, int height);

/* The cfg as text that Darknet reads to the same network; *length does not count the final 0. Free with cp_free. */
cp_status cp_cfg_render(const cp_cfg *cfg, char **text, size_t *length);
/* The same into a file: written to a temporary name in the same folder, synced, renamed. */
cp_status cp_cfg_write(const cp_cfg *cfg, const char *path);

/* ---- the check: what the network is ---- */

/* The types that code asks for by name. Any other has a number from CP_LAYER_TYPES on, which its place in the layer table
 * (model/layer_row.h) gives it. */
typedef enum {
    CP_LAYER_UNKNOWN,
    CP_LAYER_CONVOLUTIONAL,
    CP_LAYER_DECONVOLUTIONAL,
    CP_LAYER_LOCAL,
    CP_LAYER_CONNECTED,
    CP_LAYER_MAXPOOL,
    CP_LAYER_AVGPOOL,
    CP_LAYER_SHORTCUT,
    CP_LAYER_ROUTE,
    CP_LAYER_UPSAMPLE,
    CP_LAYER_REORG,
    CP_LAYER_ACTIVATION,
    CP_LAYER_DROPOUT,
    CP_LAYER_CROP, /* as layer 0 only: preprocessing */
    /* Of AlexeyAB's and hank-ai's Darknet. */
    CP_LAYER_REORG3D,
    CP_LAYER_SCALE_CHANNELS,
    CP_LAYER_SAM,
    CP_LAYER_BATCHNORM,
    CP_LAYER_EMPTY,
    CP_LAYER_IMPLICIT,
    /* Heads: they end the differentiable part. */
    CP_LAYER_SOFTMAX,
    CP_LAYER_LOGISTIC,
    CP_LAYER_COST,
    CP_LAYER_YOLO,      /* v3 */
    CP_LAYER_REGION,    /* v2 */
    CP_LAYER_DETECTION, /* v1 */
    CP_LAYER_GAUSSIAN_YOLO,
    CP_LAYER_TYPES
} cp_layer_type;

/* "convolutional": Darknet's long name. */
const char *cp_layer_type_name(cp_layer_type type);
bool cp_layer_type_is_head(cp_layer_type type);

/* How overlapping boxes are merged: by their IoU, or by it less a power of the distance of their centres. */
typedef enum { CP_NMS_DEFAULT, CP_NMS_GREEDY, CP_NMS_DIOU, CP_NMS_CORNERS } cp_nms_kind;

/* Weights of a [shortcut]: none, as they are, or normalised over the sources. */
typedef enum { CP_SUM_PLAIN, CP_SUM_WEIGHTED, CP_SUM_RELU, CP_SUM_SOFTMAX } cp_sum_weights;
typedef enum { CP_POINT_CENTER, CP_POINT_LEFT_TOP, CP_POINT_RIGHT_BOTTOM } cp_box_point;

/* One array of a layer in the weights file; float32. */
typedef enum { CP_BIASES, CP_SCALES, CP_ROLLING_MEAN, CP_ROLLING_VARIANCE, CP_WEIGHTS } cp_array_kind;
typedef struct {
    cp_array_kind kind;
    size_t n; /* floats */
} cp_cfg_array;
const char *cp_array_name(cp_array_kind kind); /* "rolling_variance" */

/* antialiasing of AlexeyAB: the layer itself works at stride 1, and the next layer, the only one that may, reads each of its
 * planes through a fixed window: 3, [1 2 1] x [1 2 1] / 16 with a border of one zero, or 2, a mean of four without border. The
 * layer's own shape, out_h and the like, is that before the blur, where its neurons are. */
typedef struct {
    int size, stride_x, stride_y; /* size 0: none */
    int out_h, out_w;             /* what the next layer reads */
} cp_cfg_blur;

typedef struct {
    size_t section; /* in the cfg */
    int line;
    cp_layer_type type;

    /* Shapes of one image, as Darknet's own integer arithmetic gives them. An output that is no image (softmax, a
     * route over different sizes, reorg with extra) has out_c = out_h = out_w = 0; connected has out_h = out_w = 1.
     * */
    int c, h, w;
    int out_c, out_h, out_w;
    size_t inputs, outputs;

    /* The layers whose output is read, in order; -1 is the network's input. One, the layer before, except for route
     * (its list) and shortcut (the layer before, then `from`). */
    int *sources;
    size_t n_sources;

    int n;      /* filters of convolutional, deconvolutional, local; outputs of connected */
    int size;   /* convolutional, deconvolutional, local, maxpool */
    int stride; /* the same, reorg and upsample; along x where the two axes differ */
    int stride_y;
    int dilation; /* convolutional */
    int share;  /* convolutional: the layer whose weights it uses; -1: its own */
    int depth;  /* maxpool with maxpool_depth: the output's channels; else 0 */
    int pad;    /* pixels on each side; maxpool: on both sides together */
    cp_cfg_blur blur; /* convolutional, maxpool: antialiasing */
    int groups; /* convolutional, softmax and route; else 1 */
    int group_id; /* route: which part of each source's channels */
    bool logit; /* its logistic activation is left to the head that reads it: the output is logits */
    bool batch_normalize;
    const char *activation; /* one of Darknet's 14 names; NULL where a type has none */

    float alpha, beta;      /* shortcut: alpha * input + beta * from */
    cp_sum_weights sum_weights; /* shortcut with weights of its own: how they become factors */
    bool per_channel;       /* shortcut: a weight per source and channel; false: per source */
    bool scale_planes;      /* scale_channels: the layer before is a plane, not a vector of channels */
    cp_box_point point;     /* Gaussian_yolo: what x and y are of the box */
    float scale;            /* upsample, cost */
    float temperature;      /* softmax */
    float probability;      /* dropout */
    bool reverse, flatten;  /* reorg */
    int extra;              /* reorg: zeros appended */
    bool noadjust;          /* crop: values stay in [0,1] instead of x * 2 - 1 */

    /* yolo, region, detection */
    int classes;
    int coords;       /* 4 */
    int num;          /* anchors of the head's cfg (boxes of a detection cell) */
    int side;         /* detection */
    bool softmax;     /* region, detection: class scores go through a softmax */
    bool squared;     /* detection: widths and heights are roots */
    /* yolo of AlexeyAB and hank-ai; scale_x_y = 1 and new_coords = false are Darknet's own. */
    float scale_x_y;
    bool new_coords;  /* boxes in multiples of squares instead of exponentials, from values that are no logits any more */
    bool logistic;    /* new_coords: the logistic of the layer before is done by this head, on all values */
    cp_nms_kind nms_kind;
    float beta_nms;
    int *mask;        /* yolo: which anchors this head uses */
    size_t n_mask;    /* anchors of this head: n_mask for yolo, num for the others */
    struct cp_class_tree *tree; /* softmax, region: the hierarchy of the classes; NULL: they have none */
    float *anchors;   /* (num, 2) w, h; NULL for detection. Absent from the cfg: all .5, as in Darknet */

    /* In the order of the weights file. */
    cp_cfg_array arrays[5];
    size_t n_arrays;
    size_t n_weights; /* floats of all of them */
} cp_cfg_layer;

/* Whether the values are put through a blur before others read them. */
static inline bool cp_layer_is_blurred(const cp_cfg_layer *layer) { return layer->blur.size > 0; }

/* Whether its output are neurons: a type whose row says so, with an activation that is not linear. */
bool cp_layer_is_neuron_layer(const cp_cfg_layer *layer);
/* Its activation is of all channels of a pixel together: normalize_channels and its like. */
bool cp_layer_ties_channels(const cp_cfg_layer *layer);
/* Whether the layer has filters of its own: convolutional, deconvolutional, local, connected. */
bool cp_layer_has_filters(const cp_cfg_layer *layer);
/* Whether the host, Debian's Darknet with patches/, would compute something else in this layer: it is AlexeyAB's, or has a
 * way of joining, a window or an activation of his that the host does not have. Heads aside. */
bool cp_layer_is_foreign(const cp_cfg_layer *layer);
/* Multiply-adds of one forward pass over one image. */
double cp_layer_macs(const cp_cfg_layer *layer);

/* What is wrong with a section. */
typedef struct {
    size_t section;
    char *text; /* as cp_error() would give it */
} cp_cfg_blame;

typedef struct {
    int c, h, w; /* of the input; 0 when [net] only says inputs= */
    size_t inputs;
    cp_cfg_layer *layers;
    size_t n_layers;
    size_t n_weights;   /* floats in the weights file */
    size_t parse_bytes; /* what Darknet allocates for this cfg at batch 1 */
    bool letter_box;    /* [net] letter_box of AlexeyAB and hank-ai */
    char modern[96];    /* what only their Darknets have, where it stands first; "": nothing */
    char **warnings;    /* doubled keys and the like, one line each */
    size_t n_warnings;
    /* Of cp_cfg_check_all: in the order of the sections. */
    cp_cfg_blame *blames;
    size_t n_blames;
    size_t n_shaped;    /* so many layers have a shape; the first that has none is to blame, or there is no such layer */
} cp_cfg_net;

/* Checks the meaning of a cfg and computes every shape, without Darknet and without allocating anything of the
 * network's size. Refused (CP_EINPUT, one line): a type that is unknown, or unsupported with the reason; keys that no
 * Darknet knows, or whose value is not supported; values out of range; references to layers that do not exist or come
 * later; sizes that do not fit; a head whose output is read on. CP_ERESOURCE: more memory, for the layers and one image's
 * values, than `max_bytes` (0: than the machine has). Free with cp_cfg_net_free; it does not point into `cfg`. */
cp_status cp_cfg_check(const cp_cfg *cfg, size_t max_bytes, cp_cfg_net **net);
/* The same, but what is wrong with a layer does not end it: all that is wrong is in net->blames, and the cfg is sound
 * when there is none. Fails for what is wrong with [net], and CP_ERESOURCE. */
cp_status cp_cfg_check_all(const cp_cfg *cfg, size_t max_bytes, cp_cfg_net **net);
/* For the whole process: keys that no Darknet has in such a section are warned of, not refused. At first false. */
void cp_cfg_set_lenient(bool lenient);
/* For the whole process: what the values of one image may take (-mem), beyond which a cfg is CP_ERESOURCE. At first, and with 0,
 * anything. */
void cp_cfg_set_run_memory(size_t bytes);
void cp_cfg_net_free(cp_cfg_net *net);
/* One more line in net->warnings. */
cp_status cp_cfg_add_warning(cp_cfg_net *net, const char *text);

/* What the cfg says of an open model's layers; it lives as long as the model. */
const cp_cfg_net *cp_model_shapes(const cp_model *model);

#endif

/* Inside the engine: one op per layer, prepared once per model; frames hold the buffers of one run. */
#ifndef CP_ENGINE_ENGINE_H
#define CP_ENGINE_ENGINE_H

#include <string.h>

#include "critpath.h"
#include "engine/windows.h"
#include "io/clones.h"
#include "model/model.h"

enum { CP_MAX_SOURCES = 64 }; /* of one route */

enum { CP_ALIGNED_FLOATS = 16 }; /* buffers and parts of buffers begin at multiples of these */

/* Work memory of one call into an op. */
typedef struct {
    float *thread; /* (threads, per_thread) */
    size_t per_thread;
    int threads;
    float *shared; /* cp_engine.shared floats, for all threads together */
} cp_scratch;

/* Batch of tensors: entry b starts at base + b*stride floats. stride 0: one tensor serves every entry. */
typedef struct {
    float *base;
    size_t stride;
} cp_batch;

/* Zeroes n entries of `count` floats. */
void cp_batch_clear(cp_batch batch, int n, size_t count);

static inline float *cp_at(cp_batch batch, int entry) { return batch.base + entry * batch.stride; }

typedef struct cp_op cp_op;

/* One layer's share of a backward run of n entries. */
typedef struct {
    int n;
    cp_batch delta;            /* dPhi/dz, after the activation's derivative */
    const cp_batch *in_delta;  /* by source; base NULL: nobody wants that one */
    bool fresh;                /* in_delta[0] is uninitialised: write it, do not add to it */
    const bool *fresh_sources; /* the same by source; NULL: only the first may be */
    const size_t *nonzero;     /* by entry: how many deltas are not 0 */
    const uint16_t *index;     /* maxpool's winners; entry b's are those of image[b] */
    const int *image;
    const cp_scratch *scratch;
    const cp_batch *at;        /* of a product: the sources' values in the forward run, by image */
} cp_backward;

/* One row per layer type. All three take n entries and do their own threading (#pragma omp, cp_threads()); whatever is
 * shared among threads is split by shape, never by thread count, so that the bytes do not depend on it. */
typedef struct {
    LAYER_TYPE type;
    const char *name; /* type = CP_HOST_OTHER, a type that only its row in the layer table knows: the name there */
    cp_status (*prepare)(cp_op *op);
    /* out = act(f(in)). linear: f without bias, no activation (the tangent). index: maxpool's winners, kept for the
     * other two. */
    void (*forward)(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                    const cp_scratch *scratch);
    /* in_delta[s] += J_s^T delta. */
    void (*backward)(const cp_op *op, const cp_backward *call);
    bool takes_fresh; /* backward writes a fresh in_delta itself, of any source */
    bool moves;       /* every output is one value of a source, or a multiple of it: none mixes two */
    /* Forward-mode: out = J in at the pattern of `index`; NULL: forward with linear = true serves. */
    void (*tangent)(const cp_op *op, int n, const cp_batch *in, cp_batch out, const uint16_t *index, const int *image,
                    const cp_scratch *scratch);
    /* The same of a product of its sources, or of another layer whose derivative depends on their values `at` image[b]; NULL: it is none. */
    void (*tangent_of_product)(const cp_op *op, int n, const cp_batch *in, cp_batch out, const cp_batch *at,
                               const int *image, const cp_scratch *scratch);
} cp_op_type;

static inline bool cp_is_fresh(const cp_backward *call, int source)
{
    return call->fresh_sources ? call->fresh_sources[source] : call->fresh && source == 0;
}

typedef struct cp_conv cp_conv;

struct cp_op {
    const cp_op_type *type; /* NULL: alias or head, nothing to compute */
    const cp_op_type *inner; /* of a row around another (blur.c, normalized.c) that other one, else NULL */
    const layer *l;
    const cp_layer_info *info;
    const cp_cfg_layer *cfg; /* what the cfg says of the layer */
    const cp_cfg_layer *layers; /* and of all layers */
    ACTIVATION activation;
    bool keeps_z;            /* frames keep its pre-activations */
    int n_sources;
    int source[CP_MAX_SOURCES];          /* value owners; -1 is the input */
    size_t source_outputs[CP_MAX_SOURCES];
    size_t per_thread, shared;           /* scratch floats */
    bool has_index;
    int32_t *permutation;                /* reorg: out[i] = in[permutation[i]], -1: 0; maxpool: see pool.c */
    float *factor;                       /* shortcut of several: (sources, c) */
    cp_conv *conv;
};

typedef struct {
    int n;
    cp_op *op;
    size_t per_thread, shared; /* the most any op needs */
    void *part;                /* what a backend for devices keeps of the model, made at first use there */
    void (*part_free)(void *part);
} cp_engine;

/* The engine part of a model, made at first use. */
cp_status cp_engine_get(const cp_model *model, const cp_engine **engine);

/* A route of several layers, whose values may stand in the route's own buffer. */
static inline bool cp_joins(const cp_op *op) { return op->type && op->type->type == ROUTE && op->n_sources > 1; }

/* The row that stands around the op's own, which goes to *inner: for a source with antialiasing, for an activation that ties
 * channels. None: the op's own, and *inner = NULL. */
const cp_op_type *cp_op_type_around(const cp_op *op, const cp_op_type **inner);
/* Floats of shared work memory that it takes beside the inner row's. */
size_t cp_op_around_floats(const cp_op *op);

/* engine/cpu/blur.c: whether source s is a layer with antialiasing, and then the window through which it is read. */
bool cp_op_reads_blurred(const cp_op *op, int s, cp_wide_window *window);

/* Whether a row of a backend's table, with this type and name, is that of the layer. */
static inline bool cp_op_is(LAYER_TYPE type, const char *name, const layer *l, const cp_cfg_layer *cfg)
{
    return type == (LAYER_TYPE)CP_HOST_OTHER ? !strcmp(name, cp_layer_type_name(cfg->type)) : type == l->type;
}
const cp_op_type *cp_op_type_find(const layer *l, const cp_cfg_layer *cfg); /* NULL for heads and the unsupported */

/* The number that cp_set_threads gave, at least 1. */
int cp_threads(void);
/* The same for a loop of about that many multiply-adds or moved floats; 1 where waking threads would cost more than it saves
 * (on a busy machine a great deal more). */
int cp_threads_for(double work);
/* OpenBLAS works with one thread between these two: the engine's parts are the threads. */
void cp_blas_enter(void);
void cp_blas_leave(void);

/* The few channels of a layer that a response reads. */
typedef struct {
    int n; /* 0: all */
    int channel[CP_RESPONSE_UNITS];
} cp_rows;

typedef struct cp_backend cp_backend;             /* engine/backend.h */
typedef struct cp_backend_frame cp_backend_frame; /* what a backend keeps of a frame besides */

struct cp_frame {
    const cp_model *model;
    const cp_engine *engine;
    int batch;
    const cp_frame *base; /* of a branch */
    int base_image, branch_layer;
    cp_response limit;    /* of a branch: what enters this response runs; n = 0: everything */
    cp_rows *rows;        /* of a limited branch, by layer: the channels that are computed; NULL: all of all layers */
    /* By layer + 1 (0 is the input): own buffers of (batch, outputs); NULL where another's is read. */
    float **value;
    float *values;        /* what they are parts of; a route's sources may be parts of the route's */
    float **z;            /* by layer: pre-activations where the op keeps them, (batch, outputs) */
    uint16_t **index;     /* by layer: maxpool winners, (batch, outputs) */
    float **before_gate;  /* by neuron layer: activations before the gate, (batch, count); made at the first gated run */
    uint8_t *gated;       /* by image */
    float *scores;        /* of all neurons: cp_frame_scores; NULL until then */
    float *arena;         /* deltas of a backward or tangents of a forward-mode run */
    size_t arena_floats;
    cp_scratch scratch;
    struct cp_relevance *relevance; /* of the last run under a rule; NULL until then */
    void (*relevance_free)(struct cp_relevance *relevance);
    const cp_backend *backend; /* whose memory the buffers above are in */
    cp_backend_frame *own;
};

static inline size_t cp_outputs(const cp_model *model, int layer) /* -1: the input */
{
    return layer < 0 ? (size_t)model->net->inputs : model->layer[layer].outputs;
}

/* a of a neuron layer for an entry of a backward run, before the gate; what the activation's derivative is taken from. */
const float *cp_entry_activations(const cp_frame *frame, const cp_entry *entry, int layer);
const float *cp_entry_slope_values(const cp_frame *frame, const cp_entry *entry, int layer);
/* What the derivative of a layer's activation is taken from, one image: its pre-activations or its output. */
const float *cp_frame_slope_values(const cp_frame *frame, int layer, int image);
/* The value a layer's readers see: entry stride 0 where a branch reads its base. */
cp_batch cp_frame_batch(const cp_frame *frame, int value);
cp_status cp_frame_arena(cp_frame *frame, size_t floats);
/* Before and after a run. Whatever has begun ends. */
cp_status cp_frame_begin(cp_frame *frame);
cp_status cp_frame_end(cp_frame *frame);

/* Whether the limit's units depend on the layer; NULL or n = 0: true. */
bool cp_is_read(const cp_model *model, const cp_response *limit, int layer);
/* One layer of a forward run, without restrictions. */
void cp_frame_run_layer(cp_frame *frame, int layer, int images);
/* Winners and image number that a backward pass of a max-pool finds for `image` of the frame. */
const uint16_t *cp_frame_winners(const cp_frame *frame, int layer, int *image);

/* The frame that computes what a layer's readers see, and which of its images. */
cp_frame *cp_frame_owner(cp_frame *frame, int value, int *image);

/* engine/cpu/rows.c: by layer, which channels of the branch's layers the response needs. */
cp_status cp_rows_find(const cp_frame *frame, cp_rows **rows);
/* The forward run of those channels alone, for a layer for which cp_rows_find named some. */
void cp_rows_forward(const cp_op *op, const cp_rows *rows, int n, cp_batch in, cp_batch out);

/* The two ways of a backward run. All entries together, every layer's deltas dense: */
cp_status cp_backward_dense(cp_frame *frame, const cp_entry *entries, int n, const cp_observer *observer,
                            float *input_gradient);
/* One entry without path or gates, under another rule than the derivatives: rho takes the place of g, in place (CP_IN_PLACE). */
typedef struct {
    void *rule;
    /* CP_EINPUT unless every layer that passes rho to one below it is one the rule knows. active: by layer + 1. */
    cp_status (*check)(const void *rule, const bool *active);
    void (*arrive)(void *rule, int layer, const float *rho); /* at a layer, before anything else is done with rho */
    size_t (*descend)(void *rule, int layer, float *rho);    /* rho *= a / z; returns how many are not 0 */
    void (*backward)(void *rule, int layer, const cp_backward *call); /* in place of the layer's own */
} cp_rule;
cp_status cp_backward_by_rule(cp_frame *frame, const cp_entry *entry, const cp_observer *observer, const cp_rule *rule);
/* One entry with a path and without gates, down to the input; deltas are kept at the path's neurons where those are few
 * (engine/points.h, CP_HAS_SPARSE). Not of a branch. */
cp_status cp_backward_points(cp_frame *frame, const cp_entry *entry, float *input_gradient);

/* Where a backward run ends before it has reached its target: at `stop` layers, with dPhi/dz where a layer has an
 * activation, else dPhi/d(output); at `origin`, which may be one of them, always with the latter. By layer. */
typedef struct {
    const bool *active; /* layers whose deltas are computed, the stops among them */
    const bool *stop;
    int origin;
} cp_stops;

/* delta[layer]: (n, outputs) of the stops, NULL where they are zero; valid until the frame's next backward run. */
cp_status cp_frame_backward_stops(cp_frame *frame, const cp_entry *entries, int n, const cp_stops *stops, float **delta);
/* From the entries down to the stops, whose g the observer sees. input_gradient (n,C,H,W): that of the network's input along
 * the active layers alone; NULL: not wanted. between->origin is -1. */
cp_status cp_frame_backward_between(cp_frame *frame, const cp_entry *entries, int n, const cp_stops *between,
                                    const cp_observer *observer, float *input_gradient);

/* Buffers with lifetimes, packed into one arena: buffer k is alive during steps [first[k], last[k]]. Fills offset[k]
 * (first fit, aligned to 16 floats) and returns the floats needed. */
size_t cp_plan_buffers(int n, const int *first, const int *last, const size_t *floats, size_t *offset);

/* x[i] = 0 where bit first+i of a neuron layer's words is 0; `first` is a multiple of 64. */
void cp_mask_apply(const uint64_t *words, size_t first, size_t count, float *x);
/* The same and delta *= act'(z) from a = act(z), in one pass; words NULL: no mask. Returns how many deltas are not
 * 0. */
size_t cp_mask_descend(const uint64_t *words, size_t first, const float *a, size_t n, ACTIVATION activation,
                       float *delta);
size_t cp_count_nonzero(const float *x, size_t n); /* n < 2^32 */

/* Output columns [from,to) of a window's tap, those for which ox*stride + offset stays inside 0..width-1. */
static inline void cp_valid_columns(int out_w, int stride, int offset, int width, int *from, int *to)
{
    *from = offset < 0 ? (-offset + stride - 1) / stride : 0;
    *to = width - 1 < offset ? 0 : (width - 1 - offset) / stride + 1;
    if (*to > out_w) *to = out_w;
}

/* engine/cpu/activation.c; those that tie channels (normalized.c) are none of one value, and the identity to these. */
void cp_activate(float *x, size_t n, ACTIVATION activation);
void cp_activate_bias(float *x, size_t n, float bias, ACTIVATION activation);
/* Whether the derivative has to be taken from z, not from y = act(z). */
bool cp_activation_keeps_input(ACTIVATION activation);
/* delta *= act'(z), computed from y = act(z), as Darknet does, or from z itself: see above. */
void cp_activation_gradient(const float *y, size_t n, ACTIVATION activation, float *delta);

#endif

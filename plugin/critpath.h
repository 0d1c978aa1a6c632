/* critpath: critical pathways inside Darknet. The public C API.
 *
 * One direction: cfg + weights -> model -> frame (forward, backward) -> score -> path -> map.
 * Every function that can fail returns a cp_status and leaves its message in cp_error().
 * The library never exits and never prints to stdout. A model is read-only once open: any number of frames, in any
 * number of threads, may run on it. A frame belongs to one thread at a time.
 *
 * Layout: every tensor is float32, planar (C,H,W), one image after the other. Layers are numbered as in the cfg,
 * from 0, [net] not counted. */
#ifndef CRITPATH_H
#define CRITPATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CP_VERSION "0.1.0"

/* The values are the exit codes of the command line. */
typedef enum {
    CP_OK = 0,
    CP_EINTERNAL = 1, /* a fault of ours */
    CP_EINPUT = 2,    /* bad input or usage */
    CP_ERESOURCE = 3  /* out of memory, disk or time */
} cp_status;

/* Message of the last failure in this thread: names the thing, the value found, the value allowed. Never NULL. */
const char *cp_error(void);
/* The callback that receives notices, one line each, without newline: of what a call does otherwise than asked, such as
 * halving a batch for want of memory, and then goes on. It may be called from any thread. NULL, as at first: no notices. */
void cp_set_notice(void (*told)(const char *line));

/* ---------------------------------------------------------------- model */

typedef struct cp_model cp_model;

/* A layer with a non-linear activation: each scalar of its output is a neuron (docs/methods.md 0). */
typedef struct {
    int layer;       /* number in the cfg */
    char name[48];   /* "layer_012_convolutional": its array's name in score and path files */
    size_t c, h, w;  /* output shape; a connected layer is (outputs,1,1) */
    size_t count;    /* c*h*w */
    size_t offset;   /* of its first neuron in the network-wide order (layer, index) */
    bool relu;       /* activation is relu: a <= 0 is dead. Otherwise "dead" means inactive, z <= 0 */
} cp_neuron_layer;

/* One row of `critpath layers`. */
typedef struct {
    int index;
    char type[24];             /* "convolutional", ... */
    char activation[16];       /* "" where the layer has none */
    size_t in_c, in_h, in_w;   /* of its first source */
    size_t c, h, w, outputs;   /* of the output, one image; outputs = c*h*w */
    size_t parameters;         /* floats in the weights file */
    double macs;               /* multiply-accumulates of one forward pass, one image */
    bool neuron, head;         /* head: softmax, logistic, cost, yolo, region, detection; ends the differentiable part */
    int n_sources;
    const int *sources;        /* layers it reads; -1 is the network input */
    int value;                 /* the layer whose output this one's is: itself, or the source of a dropout or a
                                  one-source route */
    int size, stride, pad;     /* window of convolutional, deconvolutional, local, maxpool, and stride of reorg and
                                  upsample, as the cfg's check gives them (maxpool: pad of both sides together); else 0 */
} cp_layer_info;

typedef enum { CP_OTHER, CP_CLASSIFIER, CP_DETECTOR } cp_model_kind;

/* Whose Darknet a network is answered for. */
typedef enum { CP_LINEAGE_AUTO, CP_LINEAGE_DEBIAN, CP_LINEAGE_ALEXEY, CP_LINEAGE_HANKAI } cp_lineage;
const char *cp_lineage_name(cp_lineage lineage); /* "auto", "debian", "alexey", "hankai" */
/* Whose the network of a cfg is, by that name; "debian" where the cfg cannot be read. */
const char *cp_cfg_lineage(const char *cfg);
/* For models that are opened from now on, in the whole process. At first CP_LINEAGE_AUTO: AlexeyAB's where the cfg has a
 * key, layer or activation that Debian's Darknet does not have, else Debian's. */
void cp_set_lineage(cp_lineage lineage);

/* How a photo is brought to the size of the network input. */
typedef enum {
    CP_FIT_STRETCH,   /* each axis by itself */
    CP_FIT_LETTERBOX, /* whole, with bars on two sides */
    CP_FIT_CROP       /* its shorter side to the input's width, then the centre */
} cp_fit;
const char *cp_fit_name(cp_fit fit); /* "stretched", "letterboxed", "cropped" */

/* What follows from the lineage. */
typedef struct {
    cp_lineage lineage; /* never AUTO */
    char reason[96];    /* why this one: "scale_x_y of layer 3, line 30" */
    cp_fit fit;         /* what its predict commands do to a photo */
    double thresh, nms; /* defaults of its detector */
} cp_semantics;
const cp_semantics *cp_model_semantics(const cp_model *model);

/* Opens cfg and weights after checking both (docs/design.md 8); folds batch norm with the epsilon that Darknet has on
 * the device in use (cp_device): (x-mean)/(sqrt(var)+1e-6) on the CPU, (x-mean)/sqrt(var+1e-5) on a GPU. The model
 * stays so: choose the device first. Frames of it may compute on the other one; they give what this one would, up to
 * rounding. weights = NULL keeps Darknet's random initial weights (seeded, same every time): for timing and tests
 * only. */
cp_status cp_model_open(const char *cfg, const char *weights, cp_model **model);
void cp_model_free(cp_model *model);

/* Classifier, detector or neither, by the heads. */
cp_model_kind cp_model_get_kind(const cp_model *model);
/* Shape of the network input, one image. */
void cp_model_input_shape(const cp_model *model, size_t *c, size_t *h, size_t *w);
int cp_model_layer_count(const cp_model *model);
const cp_layer_info *cp_model_layer(const cp_model *model, int index);
/* The neuron layers in order; N = cp_model_neuron_count. */
const cp_neuron_layer *cp_model_neuron_layers(const cp_model *model, int *count);
size_t cp_model_neuron_count(const cp_model *model);
/* Position among the neuron layers of layer `index`, or -1. */
int cp_model_neuron_position(const cp_model *model, int index);
/* True when the output of layer `reader` depends on the output of layer `source` (a layer depends on itself;
 * source -1 is the network input). */
bool cp_model_depends(const cp_model *model, int reader, int source);
int cp_model_classes(const cp_model *model);
const char *cp_model_cfg_sha256(const cp_model *model);     /* 64 hex digits */
const char *cp_model_weights_sha256(const cp_model *model); /* "" when opened without weights */

/* Where the photo lies in the network input: input pixel = photo pixel * scale + offset, per axis (letterbox: the
 * same scale for both, bars beside). Whole crop layers are part of the network, not of the placement. */
typedef struct {
    size_t photo_w, photo_h;
    ptrdiff_t x, y; /* the photo's rectangle in the network input; of a cropped photo it reaches beyond that */
    size_t w, h;
} cp_placement;

/* Where a photo of w x h pixels lies in a network input of net_w x net_h. CP_EINPUT when nothing is left of it. */
cp_status cp_place_photo(size_t w, size_t h, size_t net_w, size_t net_h, cp_fit fit, cp_placement *placement);
/* The part of it that lies inside the input, with the photo's size as it was. */
cp_placement cp_placement_inside(const cp_placement *placement, size_t net_w, size_t net_h);
/* Darknet's own preprocessing of an 8-bit RGB photo (interleaved, w*h*3 bytes): [0,1], bilinear, fitted as the fit of
 * cp_model_semantics, which is what the predict commands do, or as asked for. input: (C,H,W) floats, C 3; or 1, which is
 * the photo's grey, but its red in Debian's lineage; or 4, RGB and alpha; another C is CP_EINPUT. */
cp_status cp_model_prepare(const cp_model *model, const uint8_t *rgb, size_t w, size_t h, cp_fit fit, float *input,
                           cp_placement *placement);
/* The same with the photo's alpha, w*h bytes; NULL: opaque. A network that does not read it takes no notice. */
cp_status cp_model_prepare_alpha(const cp_model *model, const uint8_t *rgb, const uint8_t *alpha, size_t w, size_t h, cp_fit fit,
                                 float *input, cp_placement *placement);

/* ---------------------------------------------------------------- responses and predictions */

enum { CP_RESPONSE_UNITS = 4 };

/* The one scalar being explained: a weighted sum of units of layer outputs (post-activation), all of them before the
 * heads. */
typedef struct {
    int n;
    struct { int layer; size_t index; float weight; } unit[CP_RESPONSE_UNITS];
    char text[160]; /* for messages and files: "logit of dog (layer 15, unit 5)" */
} cp_response;

typedef struct {
    float x, y, w, h;    /* centre and size relative to the photo, as Darknet's detection.bbox */
    float objectness, probability; /* after the head's logistic or softmax; probability = that of `class_id` */
    int class_id;
    int head;            /* layer number of the yolo, region or detection layer */
    int anchor, cell;    /* which predictor: anchor among the head's, cell = row*w + column */
} cp_detection;

typedef enum { CP_TARGET_CLASS, CP_TARGET_OBJECTNESS, CP_TARGET_X, CP_TARGET_Y, CP_TARGET_W, CP_TARGET_H } cp_target;

/* The layer whose output holds the logits of the classifier, or those of head `head`. */
int cp_model_logit_layer(const cp_model *model, int head);
/* Heads that predict boxes, in order. */
int cp_model_heads(const cp_model *model, const int **heads);
/* Softmax (or logistic) of the head over `logits` (cp_model_classes of them): what `classifier predict` prints. */
cp_status cp_model_classify(const cp_model *model, const float *logits, float *probabilities);
/* Darknet's decoding and NMS. logits[k]: the output of the logit layer of heads[k], one image. Detections (one per box
 * and class left after NMS with probability > thresh), in the order in which `detector test` prints them, are
 * allocated; free with cp_free_detections. Relative boxes. */
cp_status cp_model_detect(const cp_model *model, const float *const *logits, size_t photo_w, size_t photo_h, float thresh,
                          float nms, cp_detection **detections, int *count);
void cp_free_detections(cp_detection *detections);
cp_status cp_response_class(const cp_model *model, int class_id, cp_response *response);
cp_status cp_response_detection(const cp_model *model, const cp_detection *detection, cp_target target,
                                cp_response *response);
cp_status cp_response_unit(const cp_model *model, int layer, size_t index, cp_response *response);
/* a - b, the contrast of two classes: why the one and not the other. CP_EINPUT: more than CP_RESPONSE_UNITS units. */
cp_status cp_response_difference(const cp_response *a, const cp_response *b, cp_response *difference);
/* Of all classes (cp_model_classes) in the box of a detection, as its head decodes them: probabilities[its class_id] is
 * its own. outputs: of the head's logit layer, one image. */
cp_status cp_model_box_probabilities(const cp_model *model, const cp_detection *detection, const float *outputs,
                                     float *probabilities);

/* What its head makes of a response of one unit. */
typedef struct {
    int head;            /* layer number of the head that reads the unit, -1: none */
    double probability;  /* the head's softmax or logistic of it; NAN without a head or where it is a coordinate */
    int rivals;          /* classes it competes with, itself among them; 0: with none (objectness, a hidden unit) */
    bool largest;        /* it is the largest of them, the first of equals */
} cp_decoded;

/* outputs: those of the response's layer, one image. */
cp_status cp_response_decode(const cp_model *model, const cp_response *response, const float *outputs,
                             cp_decoded *decoded);

/* ---------------------------------------------------------------- paths (type; functions below) */

typedef struct cp_path cp_path;

/* ---------------------------------------------------------------- engine */

typedef struct cp_frame cp_frame;

/* CP_KEPT: as CP_ZEROED, and a max-pool looks at entries on the path alone; where its window has none it gives 0. The test of
 * sufficiency where activations may be below zero, as leaky ones: there a zero off the path wins a max-pool against a
 * negative winner, and even the path of all neurons that score may lose the answer. Not on a GPU (CP_EINPUT). */
typedef enum { CP_FULL, CP_FROZEN, CP_ZEROED, CP_GATED, CP_KEPT } cp_restriction_kind;

/* How one image of a forward run is restricted at the neuron layers. */
typedef struct {
    cp_restriction_kind kind;
    const cp_path *path;     /* FROZEN, ZEROED, KEPT */
    const cp_frame *original; /* FROZEN: the unrestricted run that gives the off-path constants */
    int original_image;
    const float *gates;      /* GATED: N floats, a_j = gate_j * act(z_j) */
    const float *values;     /* ZEROED, KEPT: N floats that neurons off the path hold instead of 0, or NULL; not on a GPU */
} cp_restriction;

/* What a network restricted to a path has off it. */
typedef struct {
    cp_restriction_kind kind; /* CP_ZEROED or CP_KEPT; where a function says so, CP_FULL leaves it the choice */
    const float *values;      /* cp_restriction.values */
} cp_offpath;

/* Buffers of one run of the network for up to `batch` images; weights stay in the model. */
cp_status cp_frame_create(const cp_model *model, int batch, cp_frame **frame);
/* A frame of `batch` entries that differs from image `image` of `base` only in the output of layer `layer` and in what
 * depends on it; everything else is read from `base`, which must outlive the branch and stay unchanged. Write the
 * entries' values with cp_frame_value(), then cp_frame_forward_after(). Its entries' backward ends at `layer`.
 * response: what does not enter it is not run, and of the layers that are, other channels than its units read may stay 0;
 * NULL: everything runs. */
cp_status cp_frame_branch(const cp_frame *base, int image, int layer, const cp_response *response, int batch,
                          cp_frame **branch);
void cp_frame_free(cp_frame *frame);
const cp_model *cp_frame_model(const cp_frame *frame);
/* Bytes a frame of that batch takes, forward and backward; what `-mem` caps. */
size_t cp_frame_bytes(const cp_model *model, int batch, int backward_entries);
size_t cp_frame_branch_bytes(const cp_model *model, int layer, const cp_response *response, int batch,
                             int backward_entries);

/* Whole forward run of `images` images from input (images,C,H,W), up to the last layer before the heads.
 * restrictions: one per image, or NULL. */
cp_status cp_frame_forward(cp_frame *frame, const float *input, int images, const cp_restriction *restrictions);
/* Recomputes what depends on layer `layer`'s output, which the caller has changed; that output itself is restricted, and else
 * stays as it is. */
cp_status cp_frame_forward_after(cp_frame *frame, int layer, int images, const cp_restriction *restrictions);
/* Output of a layer (post-activation; for CP_GATED after the gate), one image; `layer` -1 is the input. NULL for heads. */
const float *cp_frame_output(const cp_frame *frame, int layer, int image);
/* The same, to be changed before cp_frame_forward_after. */
float *cp_frame_value(cp_frame *frame, int layer, int image);
double cp_frame_response(const cp_frame *frame, int image, const cp_response *response);
/* The pre-activations z of a layer, recomputed from its inputs in the last forward run (its output itself where it has no
 * activation): (outputs). */
cp_status cp_frame_before_activation(cp_frame *frame, int layer, int image, float *z);

/* One gradient of a backward run. Several entries may share one image. */
typedef struct {
    int image;
    const cp_response *response;
    const cp_path *path;  /* NULL: nothing is masked. Otherwise the delta at each neuron layer is multiplied by it */
    const float *gates;   /* of a CP_GATED image, else NULL */
    const float *seed;    /* with response NULL: the gradient of any other scalar (a loss) with respect to the output of
                             layer `seed_layer` (not a head); as many floats as that has */
    int seed_layer;
    bool before_activation; /* the response's units are pre-activations z of their layers */
    bool guided;          /* guided backpropagation (Springenberg et al. 2015): a negative gradient at a neuron goes no further.
                             Not together with a path or gates, nor on a GPU: CP_EINPUT */
} cp_entry;

/* Called for each neuron layer from the response towards the input, per entry: a = activation (CP_GATED: before the
 * gate), g = dPhi/da (CP_GATED: with respect to the gated value), `count` floats each, BEFORE the path or gate is applied. g is zero where
 * the response does not depend on the layer: such layers are not visited. Calls for one layer may come from
 * several threads, each for another entry or another part: `first` is the index in the layer of a[0]. */
typedef struct {
    void (*gradient)(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                     size_t count);
    void *user;
} cp_observer;

/* Data gradients of `n` entries (docs/methods.md 1.1, 4); never a weight gradient. The neuron layer of the response
 * itself is visited too. input_gradient: (n,C,H,W) or NULL. The frame's outputs stay as they are. */
cp_status cp_frame_backward(cp_frame *frame, const cp_entry *entries, int n, const cp_observer *observer,
                            float *input_gradient);
/* Backward that stops at layer `layer` and hands out dPhi/d(output of layer): gradient (n, outputs). */
cp_status cp_frame_backward_to(cp_frame *frame, const cp_entry *entries, int n, int layer, float *gradient);

typedef struct {
    /* For each neuron layer, towards the response: dz = J v of the pre-activation z, `count` floats from index `first`.
     * Calls may come from several threads, as cp_observer's. NULL: not called. */
    void (*before_activation)(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *dz,
                              size_t count);
    /* For each layer that is computed, once per entry: the tangent of its whole output. NULL: not called. */
    void (*output)(void *user, int layer, int entry, const float *da, size_t count);
    void *user;
} cp_tangent_observer;

/* Forward-mode: the derivative of every layer along `n` directions (n,C,H,W) of the input, at image `image` of the last
 * forward run (its activation pattern and pool winners). With a path the network is the frozen one: nothing changes off the
 * path. One linear forward pass per direction. */
cp_status cp_frame_tangent(cp_frame *frame, int image, const float *directions, int n, const cp_path *path,
                           const cp_tangent_observer *observer);

/* Threads the engine uses for everything that follows, in the whole process; 0 = one per core. The results do not depend on it. */
void cp_set_threads(int threads);
/* The number in use, at least 1. */
int cp_threads(void);
/* Bytes that copies of a model's convolution weights may take, in the orders that faster kernels read; for models whose first
 * frame is made after the call. The more, the faster, up to some four times the weights, and nothing but rounding changes.
 * Less than the default (a fifth of the weights, at least 64 MiB) has no effect; so has 0. */
void cp_set_kernel_memory(size_t bytes);

/* Where frames made from now on compute: on GPU `index` of a GPU build, or (-1) on the CPU, as from the start, unless
 * the environment names one in CRITPATH_GPU. Results are read in the same way and are the CPU's up to rounding, where the
 * model was opened for the same device (cp_model_open).
 * CP_EINPUT, and the choice stays, when there is no such GPU or the build has none. */
cp_status cp_set_device(int index);
/* The same for the calling thread alone: where frames that it makes compute. */
cp_status cp_set_thread_device(int index);
/* The one in use, the thread's own or the process's, or -1. */
int cp_device(void);
/* "GPU 0: NVIDIA ..., compute 9.0, CUDA 13.0". CP_EINPUT as above. */
cp_status cp_device_name(int index, char name[300]);
/* Whether this build has GPU code. */
bool cp_device_builds(void);
/* The GPU that Darknet's main has chosen by -i and -nogpu; -1: none. */
int cp_host_device(void);

/* ---------------------------------------------------------------- score */

/* NeuronMCT (docs/methods.md 1.1): score[N], c_j = |a_j * g_j|, 0 in the response's own layer. One backward run.
 * `signed_scores` keeps the sign. */
cp_status cp_score_mct(cp_frame *frame, int image, const cp_response *response, bool signed_scores, float *score);

/* What LRP did in one layer of the network. */
typedef struct {
    bool reached;            /* the response depends on the layer, which is or is above a layer of neurons */
    double relevance;        /* sum of a * rho over its outputs */
    double bias;             /* what its biases took of that: relevance - bias is what its sources get together */
} cp_lrp_layer;

/* LRP-gamma scores (docs/methods.md 1.6; Jafari et al. 2025, arXiv 2508.21258): score[N], c_j = a_j * rho_j, where
 * rho comes from one backward run in which every layer with weights follows the sign-aware gamma rule, every
 * activation passes a/z, and everything else its gradient. They rank neurons by how much of the response they carry
 * together (sufficiency), not by what one alone would change. gamma 0 gives NeuronMCT where activations are straight
 * on both sides of 0 (relu, leaky); .05 to .25 are usual. 0 for the response's own units. layers: one per layer of
 * the network (cp_model_layer_count), or NULL. The frame keeps changed copies of the weights of convolutions, about
 * twice as much again, until it is freed or gamma changes. CP_EINPUT: a frame on a GPU, a branch, gamma below 0 or
 * not finite; a layer that multiplies two others ([scale_channels], [sam]), or an activation that is not 0 at 0
 * (logistic, plse, stair), by number and name. */
cp_status cp_score_lrp(cp_frame *frame, int image, const cp_response *response, double gamma, bool signed_scores,
                       float *score, cp_lrp_layer *layers);

/* What every long score run takes. */
typedef struct {
    size_t memory;           /* bytes that the run's frames and buffers may take, 0 = 1 GiB, of frames on a GPU what is
                                free there; one entry always runs. Less memory costs time and changes nothing but rounding */
    bool signed_scores;      /* keep the sign; otherwise the magnitude, as selection needs it */
    void (*progress)(void *user, double fraction); /* called now and then from the calling thread, or NULL */
    void *user;
} cp_run_options;

typedef struct {
    cp_run_options run;
    int steps;               /* > 0: midpoint rule of that many alphas (50 in the paper); 0: refined to `tolerance` */
    double tolerance;        /* steps = 0: the residual allowed, relative to |Phi|; 0 = .01. The tenth of the layer that scores
                                most has settled too: with half the alphas its Jaccard is at least 1 - 4 * tolerance */
    int max_evaluations;     /* steps = 0: of one layer, 0 = 512, the most; when they are used up the layer is `capped` */
    int only;                /* 0: all layers; else 1 + the position of a neuron layer, the others' scores are 0 */
} cp_intgrad_options;

/* What NeuronIntGrad did in one neuron layer. */
typedef struct {
    bool depends;            /* the response depends on the layer; if not, the rest is 0 */
    bool capped;             /* max_evaluations came before the tolerance */
    int evaluations;         /* alphas at which what depends on the layer ran forward and backward; alpha = 1 counts in
                                the fixed rule only, as steps = 0 takes it from one backward run for all layers */
    double full, zero;       /* Phi(a) and Phi(a := 0) */
    double sum;              /* of the layer's signed scores */
    double residual;         /* |sum - (full - zero)| / |Phi| */
} cp_intgrad_layer;

/* NeuronIntGrad (docs/methods.md 1.2): score[N], c_j = |a_j * integral over alpha in [0,1] of dPhi/da_j at alpha*a|,
 * where a is the whole output of j's layer; 0 for the response's own units and in layers that it does not depend on.
 * `frame` holds an unrestricted forward run. layers: one per neuron layer, or NULL. */
cp_status cp_score_intgrad(cp_frame *frame, int image, const cp_response *response, const cp_intgrad_options *options,
                           float *score, cp_intgrad_layer *layers);

enum { CP_EAPIG_STEPS = 5, CP_EAPIG_MOST = 1000000 };

typedef struct {
    cp_run_options run;          /* memory does not matter */
    int steps;                   /* inputs between the baseline and the image, at the midpoints; 0 = CP_EAPIG_STEPS */
    const float *baseline_input; /* x0, (C,H,W); NULL: all 0 */
} cp_eapig_options;

/* EAP-IG by neuron (docs/methods.md 1.7; Hanna et al. 2024, arXiv 2403.17806): score[N], c_j = |(a_j(x) - a_j(x0)) * mean of
 * g_j|, the gradients taken at inputs x0 + alpha (x - x0); 0 for the response's own units. steps + 1 forward and steps backward
 * runs in all, for all layers at once. Where a layer's activations are linear between x0 and x its signed scores sum to
 * Phi(x) - Phi(x0) in the limit of many steps. `frame` holds an unrestricted forward run of x. CP_EINPUT: steps. */
cp_status cp_score_eapig(cp_frame *frame, int image, const cp_response *response, const cp_eapig_options *options,
                         float *score);

/* What neurons hold in other images, as a baseline: values[N] become the activations of image `image` (seen 0), or from the
 * mean of `seen` images that of one more. */
void cp_baseline_take(const cp_frame *frame, int image, size_t seen, float *values);
/* NeuronMCT (gamma NAN) or LRP-gamma against a baseline (docs/methods.md 1.8): score[N], c_j = |(a_j - b_j) * g_j|, or rho_j in
 * the place of g_j. Of a neuron that holds what the baseline holds nothing is left; leaky and mish units have no natural
 * zero. 0 for the response's own units. CP_EINPUT: as cp_score_lrp. */
cp_status cp_score_contrast(cp_frame *frame, int image, const cp_response *response, double gamma, const float *baseline,
                            bool signed_scores, float *score);

/* Ablation (docs/methods.md 1.3): drop[k] = |Phi(x) - Phi(x; a_j := 0)|, recomputed, for j = neurons[k], ascending, `n`
 * of them; neurons = NULL: all N, and drop is a score[N]. 0 for the response's own units. `frame` holds an unrestricted
 * forward run. CP_EINPUT when the neurons are not ascending or not the network's. */
cp_status cp_score_ablation(cp_frame *frame, int image, const cp_response *response, const size_t *neurons, size_t n,
                            const cp_run_options *run, float *drop);
/* Draws min(n, neurons that the response depends on) different ones, uniformly, and sorts them: the sample of an
 * ablation. neurons has room for n; *drawn: how many. The same seed gives the same sample. */
cp_status cp_score_sample(const cp_model *model, const cp_response *response, size_t n, uint64_t seed, size_t *neurons,
                          size_t *drawn);
/* Spearman's rank correlation of a[n] and b[n], ties at their average rank; NAN when n < 2, one is constant or anything is
 * NaN. CP_ERESOURCE: out of memory. */
cp_status cp_rank_correlation(const float *a, const float *b, size_t n, double *rho);

/* score[N], of each layer divided by the sum of its magnitudes: selection over the whole network then goes by a neuron's share
 * of its layer, and no layer is starved by others whose scores are larger. Layers without any score stay 0. */
void cp_score_by_layer(const cp_model *model, float *score);

typedef enum { CP_NEURON, CP_CHANNEL } cp_granularity;

/* Channels of all neuron layers, in order: channel i of neuron layer l is number cp_model_channel_offset(model, l) + i of
 * cp_model_channel_count(model). A connected layer's neurons are its channels. */
size_t cp_model_channel_count(const cp_model *model);
size_t cp_model_channel_offset(const cp_model *model, int neuron_layer);
/* score[N] -> channel[channels]: the sum of the magnitudes of the channel's neurons. */
void cp_score_to_channels(const cp_model *model, const float *score, float *channel);

typedef struct {
    cp_run_options run;
    cp_granularity granularity; /* the players: neurons or channels */
    int layer;               /* position of one neuron layer, or -1: each in turn */
    int permutations;        /* per layer, 0 = 64; at least 2 */
    int exact_players;       /* enumerate the subsets of at most that many players (a run each); 0 = 12, at most 20, -1: never */
    uint64_t seed;
} cp_shapley_options;

/* What was done in one neuron layer. */
typedef struct {
    bool depends, exact;
    size_t players;          /* those that are not 0 throughout; the others' value is 0 */
    size_t evaluations;      /* forward runs of what depends on the layer */
    double full, zero;       /* Phi(a) and Phi(a := 0) */
    double sum;              /* of the layer's values; equals full - zero up to rounding */
    double sum_error;        /* root of the sum of the squared standard errors */
} cp_shapley_layer;

/* Shapley values (docs/methods.md 1.3; Castro et al. 2009): the players are the units of one layer, a player that is
 * out is 0, the value of a coalition is the response. value, error (standard error, 0 where exact): N or the channels'
 * number, as the granularity says; error may be NULL. 0 in layers not asked for or that the response does not depend
 * on. layers: one per neuron layer, or NULL. `frame` holds an unrestricted forward run. */
cp_status cp_score_shapley(cp_frame *frame, int image, const cp_response *response, const cp_shapley_options *options,
                           float *value, float *error, cp_shapley_layer *layers);

/* ---------------------------------------------------------------- path */

typedef struct {
    size_t kept, asked;      /* neurons on the path; K = round((1-sparsity)*N), or what `floor` made of it */
    double sparsity;         /* reached: 1 - kept/N */
    float threshold;         /* lowest score kept, without its sign; 0 when nothing was */
    double mass;             /* share of the sum of all |score| that the path holds; NAN where that is 0 or was not asked for */
} cp_selection;

cp_status cp_path_create(const cp_model *model, cp_path **path); /* empty */
cp_status cp_path_copy(const cp_path *path, cp_path **copy);
void cp_path_free(cp_path *path);
const cp_model *cp_path_model(const cp_path *path);
void cp_path_fill(cp_path *path, bool on);
bool cp_path_get(const cp_path *path, size_t neuron);
void cp_path_set(cp_path *path, size_t neuron, bool on);
/* The bits of one neuron layer: bit i%64 of word i/64; words = (count+63)/64; spare bits are 0. */
const uint64_t *cp_path_words(const cp_path *path, int neuron_layer);
uint64_t *cp_path_words_mutable(cp_path *path, int neuron_layer);
size_t cp_path_count(const cp_path *path);
size_t cp_path_layer_count(const cp_path *path, int neuron_layer);
/* Set algebra, a = a op b; the two must belong to networks of the same shape. */
cp_status cp_path_and(cp_path *a, const cp_path *b);
cp_status cp_path_or(cp_path *a, const cp_path *b);
cp_status cp_path_minus(cp_path *a, const cp_path *b);
void cp_path_not(cp_path *a);
/* |A and B| and |A or B|, of one neuron layer or (-1) of the network. */
cp_status cp_path_overlap(const cp_path *a, const cp_path *b, int neuron_layer, size_t *both, size_t *either);

/* Whether every channel, of the layers whose channels have more than one neuron, is on the path as a whole or not at all. */
bool cp_path_is_of_channels(const cp_path *path);

/* Network-wide selection (docs/methods.md 1.4): the K largest of |score[N]| (the order is descending |score|, then
 * (layer, index)), a zero never; average O(N). floor > 0 keeps at least that share of every neuron layer in which any
 * score is positive (best of each layer first). */
cp_status cp_path_select(cp_path *path, const float *score, double sparsity, double floor, cp_selection *selection);

/* By mass: the fewest neurons that hold that share of the sum of all |score|, 0 < mass <= 1, asked = kept. 90% of all
 * neurons means little where few score at all; 80% of what the scores come to means the same on every network. */
#define CP_MASS .8
cp_status cp_path_select_mass(cp_path *path, const float *score, double mass, double floor, cp_selection *selection);

/* NeuronMCT and selection in one, for n sparsities: as cp_score_mct and then cp_path_select with floor 0 for each, but
 * on a GPU the scores never leave it, and on the CPU paths of few neurons are found without an array of scores. paths[i]: one of the model each. */
cp_status cp_path_mct(cp_frame *frame, int image, const cp_response *response, const double *sparsities, int n,
                      cp_path *const *paths, cp_selection *selections);

/* The same on channels: the K = round((1-sparsity) * channels) best of channel[cp_model_channel_count], and the path holds
 * all neurons of those. selection: asked is K channels, threshold a channel's score; kept and sparsity count neurons. */
cp_status cp_path_select_channels(cp_path *path, const float *channel, double sparsity, double floor,
                                  cp_selection *selection);
/* And by mass: the fewest channels that hold that share of the sum of all channels; asked is their number. */
cp_status cp_path_select_channels_mass(cp_path *path, const float *channel, double mass, double floor,
                                       cp_selection *selection);

typedef struct {
    bool cut;
    int layer;               /* a layer with no unit on the path that every way crosses, or the first empty one seen from the response */
    double sparsest_uncut;   /* sparsest selection of these scores that is not cut; NAN when even sparsity 0 is */
    bool channels;           /* which is a share of the channels, not of the neurons */
} cp_cut;

/* Whether every way from the response to the input crosses a neuron layer with no unit on the path (docs/methods.md
 * 1.4), and, from the layers' best scores, the sparsest sparsity at which it is not. score may be NULL: then
 * sparsest_uncut is NAN. */
cp_status cp_path_find_cut(const cp_path *path, const float *score, const cp_response *response, cp_cut *cut);
/* The same where channels are selected: channel[cp_model_channel_count] or NULL; sparsest_uncut is for
 * cp_path_select_channels. */
cp_status cp_path_find_cut_channels(const cp_path *path, const float *channel, const cp_response *response, cp_cut *cut);

/* ---------------------------------------------------------------- methods that prune for an objective */

/* What critical paths are compared with (docs/methods.md 1.5). None of their scores is a contribution: a score only
 * orders the neurons for cp_path_select. */

typedef struct {
    cp_run_options run;      /* memory and signed_scores do not matter */
    cp_granularity granularity; /* what is removed: single neurons, or channels, whose score is the sum of their neurons' */
    double sparsity;         /* how far to prune; paths of any lower sparsity follow from the same scores */
    double step;             /* share of the N neurons, or of the channels, that one round removes; 0 = .01, the paper's */
    bool unprotected;        /* what is dead in the current network may go, and goes first */
} cp_greedy_options;

typedef struct {
    size_t left;             /* neurons or channels not removed */
    double sparsity;         /* reached: 1 - left/all of them. Select no sparser than this */
    int rounds;
    bool stalled;            /* all that is left is dead, or of no influence, in the current network: protected */
} cp_greedy_report;

/* GreedyPruning (docs/methods.md 1.5, Algorithm 1 of the paper): as long as too many are left, s_j = |a_j * g_j| in the
 * network with the removed at zero, and the lowest of those with s_j != 0 go. score: N or cp_model_channel_count, as
 * the granularity says: the order, of neurons rising by one unit in the last place per neuron removed, of channels by
 * 1; those left share the highest; 0 for the response's own units, or channels that hold one, which are never zeroed.
 * One forward and one backward run a round. report may be NULL. */
cp_status cp_score_greedy(const cp_model *model, const float *input, const cp_response *response,
                          const cp_greedy_options *options, float *score, cp_greedy_report *report);

typedef enum {
    CP_DGR_CODE, /* the paper's released code: a gate per neuron, 1000 steps, rate .01, gamma .01, gates up to 100 */
    CP_DGR_WANG  /* Wang et al. 2018: a gate per channel, 30 steps, rate .1, gamma .05, gates up to 10 */
} cp_dgr_settings;

typedef struct {
    cp_run_options run;      /* memory and signed_scores do not matter */
    cp_granularity granularity;
    bool random;             /* gates start at U(0,1), drawn from `seed`; otherwise at 1 */
    bool active;             /* what is inactive (z <= 0) in the original run has a gate that stays 0: dead neurons cannot wake, and
                                the descent starts from the active subnet. Of channels, those without any active neuron */
    uint64_t seed;
    int steps;               /* of a round, at least 1 */
    int rounds;              /* at most; the next begins, with gamma / 10, when no iterate kept the prediction */
    double rate, momentum, gamma, clamp; /* gates stay in [0, clamp] */
} cp_dgr_options;

typedef struct {
    bool kept;               /* some iterate had the original arg-max; if none, the gates are the last iterate's */
    int rounds, step;        /* rounds run; the step of the last one before which the gates were what is returned */
    double loss, cross_entropy; /* of the gates returned */
    double gamma;            /* of the last round */
} cp_dgr_report;

/* Settings, gates starting at 1, momentum .9, 100 rounds. */
cp_dgr_options cp_dgr_defaults(cp_dgr_settings settings);
/* Distillation guided routing (docs/methods.md 1.5; Wang et al. 2018): gates >= 0 multiply the activations and minimise
 * CE(softmax of the original logits, softmax of the gated) + gamma * sum |gate| by gradient descent with momentum (velocity 0 at
 * the start of a round, gates as they are). gate: N or cp_model_channel_count, as the granularity says; the gates of the lowest
 * loss among the iterates that keep the arg-max. Logits that are neurons themselves have no gate: theirs is 0.
 * CP_EINPUT unless the model is a classifier. report may be NULL. */
cp_status cp_score_dgr(const cp_model *model, const float *input, const cp_dgr_options *options, float *gate,
                       cp_dgr_report *report);

/* RandomPruning: score[N] in (0,1), such that every sparsity keeps the same share, up to one neuron, of each layer; which is
 * drawn from `seed`. */
cp_status cp_score_random(const cp_model *model, uint64_t seed, float *score);
/* The active subnet: the path becomes all neurons that are not dead (docs/methods.md 0) in image `image` of an
 * unrestricted run. */
void cp_path_active(cp_path *path, const cp_frame *frame, int image);

/* ---------------------------------------------------------------- linearity */

/* What keeps a point x from the border of its linear region: the neuron or the max-pool window that changes first when x
 * moves straight towards it. */
typedef struct {
    bool found;             /* false: there is none, the distance is infinite */
    double distance;        /* gap / norm: l2, in units of the network input */
    double gap;             /* neuron: |z|. Window: winner minus rival */
    double norm;            /* l2 norm of the gradient of z, or of the winner minus that of the rival, over the input */
    int layer;              /* the neuron's layer, or the max-pool */
    size_t index;           /* neuron, or window (output of the max-pool), in that layer */
    size_t winner, rival;   /* window: units of the layer that the max-pool reads */
} cp_border;

enum { CP_DECADES = 20, CP_DECADE_FIRST = -14 };

/* The linear region around an image (docs/methods.md 3; Lee et al. 2019; Khakzar et al. 2021, propositions 4 and 5). */
typedef struct {
    bool exact;             /* every norm is exact. Otherwise norms were estimated from probes, and the distances of the
                               smallest ratios are exact: the radius is that of the nearest border found, the true one can
                               only be smaller */
    double radius;          /* smaller of the two distances; INFINITY without borders; 0 when a rival is tied */
    cp_border unit, window; /* the nearest of each kind, tied rivals left out */
    size_t units, flat;     /* neurons considered; of these with a gradient of zero, which are no border */
    size_t windows;         /* pairs of winner and rival whose gradients differ */
    size_t tied;            /* of these with equal values, in areas of one colour such as letterbox bars: x is on the border */
    /* Borders per decade of distance, of estimated ones if not exact: [d] counts 10^(CP_DECADE_FIRST+d) up to ten times
     * that, the first all below and the last all above. */
    size_t unit_decade[CP_DECADES], window_decade[CP_DECADES];
    int passes, refined;    /* linear forward passes; borders whose gradient was computed backward */
    float *direction;       /* (C,H,W), l2 norm 1: towards the nearer of `unit` and `window`. NULL without borders */
} cp_region;

typedef enum { CP_EXACT_AUTO, CP_EXACT_NEVER, CP_EXACT_ALWAYS } cp_exactness;

typedef struct {
    cp_run_options run;
    cp_exactness exactness; /* exact: one linear forward pass per input value. AUTO: up to 2e11 multiply-adds in all */
    bool without_windows;   /* leave the max-pools out, as the paper does */
    int probes, refine;     /* of an estimate: Gaussian directions, 0 = 64; borders of each kind refined, 0 = 64 */
    uint64_t seed;          /* of the probes */
} cp_region_options;

/* With a path: of the frozen network, where only neurons on the path count and gradients are masked. NULL: of the full network.
 * Counted are the neurons and max-pool windows that the response depends on, its own units included. `frame` holds an unrestricted
 * forward run. CP_EINPUT: an activation that is not relu, leaky, relie or ramp. Free with cp_region_free. */
cp_status cp_region_find(cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                         const cp_region_options *options, cp_region *region);
void cp_region_free(cp_region *region);

/* ---------------------------------------------------------------- map */

/* Pathway gradients (docs/methods.md 4), one per path, of one image of a forward run that is in the frame: frozen.
 * maps: (n,C,H,W). paths[i] = NULL gives the plain gradient. */
cp_status cp_map_frozen(cp_frame *frame, int image, const cp_response *response, const cp_path *const *paths, int n,
                        float *maps);
/* The same in the zeroed network, which runs forward anew for each path. responses_out: n values of Phi, or NULL. */
cp_status cp_map_zeroed(const cp_model *model, const float *input, const cp_response *response,
                        const cp_path *const *paths, int n, float *maps, double *responses_out);
/* The same with the off-path neurons and max-pools that `offpath` says. CP_EINPUT: neither CP_ZEROED nor CP_KEPT. */
cp_status cp_map_offpath(const cp_model *model, const float *input, const cp_response *response,
                         const cp_offpath *offpath, const cp_path *const *paths, int n, float *maps,
                         double *responses_out);
/* One-channel reduction: the channel value of the largest magnitude with its sign. map (C,H,W) -> flat (H,W). */
void cp_map_reduce(const float *map, size_t c, size_t h, size_t w, float *flat);

/* A box in photo pixels: corner and size. */
typedef struct {
    double x, y, w, h;
} cp_photo_box;

/* One connected part of the region, and the smallest rectangle of whole photo pixels around it. */
typedef struct {
    size_t x, y, w, h;
    double share;            /* of the heat over the photo */
} cp_heat_part;

enum { CP_HEAT_PARTS = 3 };

/* Where the heat of a map lies on the photo: the smallest region that holds half of it. */
typedef struct {
    bool zero;               /* there is no heat over the photo: the rest is 0, box NAN */
    double share;            /* of the heat over the photo that the region holds: .5 or a little more */
    double area;             /* of the photo that the region covers */
    double box;              /* share of the heat over the photo that lies in the box asked about; NAN without one */
    double beside;           /* of all heat: the share in letterbox bars, which the rest leaves out */
    float threshold;         /* the region is where the smoothed heat is at least this */
    int n;                   /* parts of at least 5% of the heat, the largest first; CP_HEAT_PARTS at most */
    cp_heat_part part[CP_HEAT_PARTS];
    size_t parts, large;     /* all connected parts, of any size; those of at least 5% */
} cp_heat_region;

/* The default of `blur` below: one percent of the photo's longer side. */
#define CP_HEAT_BLUR .01

/* Where half of a map's heat lies, for the first plane of cp_map_contribution or any other map: heat, shape (h, w), in
 * network input coordinates; what is not above 0 (NaN, infinities) counts as 0. Only the photo's rectangle of `placement`
 * is looked at. The map is smoothed by a Gaussian of sigma = blur * the longer side of that rectangle, 0 <= blur <= .5.
 * The region is all pixels whose smoothed heat is at least a threshold, the largest that leaves half of the heat. Pixels
 * that touch, if only at a corner, are connected. box, in photo pixels, may be NULL; the heat in it is counted before
 * smoothing, by covered area. */
cp_status cp_heat_find_region(const float *heat, size_t h, size_t w, const cp_placement *placement, double blur,
                              const cp_photo_box *box, cp_heat_region *region);

/* Planes by how far apart their cells lie in the input: fine, fewer than 12 pixels; coarse, 12 or more. */
typedef enum { CP_PLANES_FINE, CP_PLANES_COARSE, CP_PLANES_ALL } cp_planes;

typedef struct {
    cp_planes planes;
    bool restricted;        /* g is taken in the network restricted to the path (frozen): one more backward run */
} cp_contribution_options;

typedef struct {
    int layers;             /* neuron layers that took part: of the planes asked for, with anything on the path */
    double against;         /* mean over them of the share of sum |m| where m < 0 */
} cp_contribution;

/* The signed path contribution map of one image of a forward run that is in the frame. For every neuron layer with a plane,
 * m (h,w) = sum over its channels of a * g, of the neurons on the path (NULL: all). heat (2,H,W): first the heat, relu(m)
 * divided by its sum, then the counter-evidence, relu(-m) divided by its own sum; every layer's spread bilinearly to the
 * input plane, with its mass kept, around the centres of its cells' receptive fields, and summed over the layers. So heat
 * sums to the number of layers with any. Layers without a plane take no part: connected ones, and planes of one cell.
 * score[N]: a * g with its sign (cp_score_mct) or any other signed scores; NULL: it is computed, by one backward run.
 * options NULL: fine planes, not restricted. report may be NULL. */
cp_status cp_map_contribution(cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                              const float *score, const cp_contribution_options *options, float *heat,
                              cp_contribution *report);

/* ---------------------------------------------------------------- eval: faithfulness */

/* Where paths are tested for sufficiency, offpath.kind CP_FULL stands for CP_KEPT, on a GPU for CP_ZEROED; the response's own
 * units are never restricted, nor is the class map of a classifier: a layer of neurons with one channel per class from which
 * the logits are made by averages alone (SqueezeNet's last convolution), or that holds the logits. A path of its own class's
 * channel alone would keep the arg-max there and say nothing. */

/* What is measured of a network, whole or restricted: the response, and its unit's probability after the head
 * (cp_response_decode; NAN where there is none). */
typedef struct {
    double response, probability;
} cp_measure;

/* The curves over path size. Keep: the zeroed network of the path (sufficiency). Remove: that of all neurons but the path
 * (necessity). Random: the same with random neurons, as many in every layer as the path has there. */
enum { CP_KEEP, CP_REMOVE, CP_KEEP_RANDOM, CP_REMOVE_RANDOM, CP_FAITHFUL_CURVES };

typedef struct {
    cp_run_options run;
    cp_offpath offpath;    /* CP_FULL leaves the choice, see above */
    const double *shares;  /* path sizes, as shares of the N neurons in (0,1); NULL: 15 of ours from .001 to .9 */
    int n_shares;
    int draws;             /* random paths per size, whose mean is taken; 0 = 1; -1: none, the curves are NAN */
    uint64_t seed;
    const cp_detection *detection; /* of a detector: the box whose class is to be kept; NULL: not asked */
    cp_placement placement; /* of its photo in the network input */
    double thresh;         /* least probability of a box that keeps it */
} cp_faithful_options;

typedef struct {
    size_t kept;           /* neurons on the path */
    cp_measure curve[CP_FAITHFUL_CURVES];
    cp_measure deviation[CP_FAITHFUL_CURVES]; /* standard deviation over the draws; 0 for one draw and for the path itself */
    bool keeps;            /* the network of the path alone keeps the answer: the response's unit is the largest of its rivals, or
                              of a detector, some box of options->detection's class with at least options->thresh
                              overlaps it by an IoU of .5 or more */
} cp_faithful_point;

typedef struct {
    cp_measure full, empty; /* the whole network; every neuron zero */
    size_t largest;         /* neurons of the largest path, all with a score above 0 */
    cp_restriction_kind kind; /* CP_ZEROED or CP_KEPT, as was measured */
    int n;
    cp_faithful_point *point; /* ascending in size: 0, ..., largest, N */
    cp_measure area[CP_FAITHFUL_CURVES]; /* under f over k/largest in [0,1], by trapezoids */
} cp_faithful;

/* f = (m - m(empty)) / (m(full) - m(empty)) (docs/methods.md 5); NAN where the two are equal. */
double cp_faithful_share(double m, double full, double empty);

/* Measures the response of zeroed networks over path size, paths being the best of score[N] (>= 0). `frame` holds an
 * unrestricted forward run of the image. The response's own units are never zeroed. CP_EINPUT: shares out of (0,1), no
 * positive score. Free with cp_faithful_free. */
cp_status cp_faithful_measure(const cp_frame *frame, int image, const cp_response *response, const float *score,
                              const cp_faithful_options *options, cp_faithful *faithful);
void cp_faithful_free(cp_faithful *faithful);

typedef struct {
    cp_run_options run;
    cp_offpath offpath;    /* CP_FULL leaves the choice, see above */
    double loss;           /* eps: the probability of the path, or the response where that is NAN, must be at least (1-eps)
                              of the whole network's; NAN = .5. With 1 the arg-max alone decides, and where the biases
                              without any neuron have the same one, that says nothing */
    int checks;            /* sizes of the linear check, 0 = 32 */
    const cp_detection *detection; /* of a detector: the box that is to be kept, see below; NULL: the response decides */
    cp_placement placement; /* of its photo in the network input */
    double thresh;         /* least probability of a box that keeps it */
} cp_sparsest_options;

typedef struct {
    bool found;            /* false: no path tried keeps the prediction, not even the largest */
    bool argmax;           /* asked: the response's class stays the largest of its rivals (where it was at first) */
    double box_full, box, box_least; /* of a detection: the largest probability, objectness times class, among the decoded
                              boxes of its class that overlap it by an IoU of .5 or more: of the whole network, of the path
                              found, and what was asked; otherwise NAN */
    double loss;           /* asked: eps */
    size_t kept, bisected; /* neurons of the path found; of the one that bisection alone had found */
    int runs;              /* forward runs of zeroed networks */
    cp_measure full, measure; /* of the whole network and of the path found */
    cp_path *path;         /* NULL unless found */
} cp_sparsest;

/* The sparsest path, among the best of score[N], whose zeroed network keeps the prediction (docs/methods.md 5):
 * bisection over the size; then, since keeping it is not monotone in the size, `checks` sizes evenly spread below it,
 * and bisection again under the smallest of these that keeps it, until none does. A sparser one between the sizes
 * checked is possible. Free with cp_sparsest_free.
 *
 * Of a detection (options->detection) whose response is a probability, the network of the path must still detect it: some
 * decoded box of its class overlaps it by an IoU of .5 or more, with a probability of at least options->thresh and of (1-eps)
 * of the whole network's. The sigmoid of the one class unit says too little: without any neuron it may be .46. */
cp_status cp_sparsest_find(const cp_frame *frame, int image, const cp_response *response, const float *score,
                           const cp_sparsest_options *options, cp_sparsest *sparsest);
void cp_sparsest_free(cp_sparsest *sparsest);

#ifdef __cplusplus
}
#endif
#endif

/* A network in double precision with the simplest loops there are: the reference for central differences.
 *
 * Forward only, one image, no Darknet. A test describes the layers, ref_net_build works out the shapes and takes
 * random weights, ref_net_forward runs; ref_net_write_cfg and ref_net_write_weights make the files from which the
 * engine opens the same network.
 * Inference semantics: batch norm (x-mean)/(sqrt(var)+1e-6), dropout the identity. */
#ifndef REF_NET_H
#define REF_NET_H

#include <stddef.h>
#include <stdint.h>

enum { REF_MAX_LAYERS = 48, REF_MAX_SOURCES = 6 };

typedef enum {
    REF_CONVOLUTIONAL, REF_DECONVOLUTIONAL, REF_CONNECTED, REF_LOCAL, REF_MAXPOOL, REF_AVGPOOL, REF_SHORTCUT, REF_ROUTE,
    REF_UPSAMPLE, REF_REORG, REF_ACTIVATION, REF_DROPOUT, REF_CROP, REF_SOFTMAX, REF_LOCAL_AVERAGE, REF_SCALE_CHANNELS,
    REF_SAM, REF_BATCHNORM, REF_EMPTY, REF_IMPLICIT, REF_OWN
} ref_type;

typedef enum {
    REF_LINEAR, REF_LOGISTIC, REF_LOGGY, REF_RELU, REF_ELU, REF_SELU, REF_RELIE, REF_RAMP, REF_LEAKY, REF_TANH,
    REF_PLSE, REF_STAIR, REF_HARDTAN, REF_LHTAN, REF_MISH, REF_SWISH, REF_HARD_MISH, REF_RELU6, REF_GELU,
    REF_NORMALIZE, REF_NORMALIZE_SOFTMAX, REF_NORMALIZE_MAXVAL, REF_ACTIVATIONS
} ref_activation;

struct ref_net;
struct ref_layer;

/* A layer type without weights that its case brings along. */
typedef struct {
    const char *type, *keys; /* of its section in the cfg: the name in the brackets, and the lines of its keys */
    void (*shape)(struct ref_layer *l);  /* sets out_c, out_h, out_w from c, h, w and the description */
    void (*run)(const struct ref_net *net, const struct ref_layer *l, const double *x); /* z from x, the layer before */
} ref_own;

/* The first block is the description, filled by the test; 0 stands for the usual value where one is named. */
typedef struct ref_layer {
    ref_type type;
    const ref_own *own;        /* of REF_OWN */
    ref_activation activation;
    int filters;               /* outputs of a connected layer */
    int size, stride;          /* 0: 1 */
    int padding;               /* pixels; maxpool: -1 for Darknet's default, size-1 in all, size-1 halves before */
    int groups;                /* 0: 1 */
    int batch_normalize;
    int stride_y;              /* 0: stride */
    int dilation;              /* 0: 1 */
    int depth;                 /* maxpool over channels: how many are left */
    int blur;                  /* antialiasing: the next layer reads a blur of the output; the strides are the blur's */
    int share;                 /* convolution with the weights of layer share - 1; 0: its own */
    int group_id;              /* route with groups */
    enum { REF_PLAIN, REF_SUM_RELU, REF_SUM_SOFTMAX } sum; /* shortcut with weights */
    int per_channel;           /* of these one per channel */
    int planes;                /* scale_channels: by position, not by channel */
    int reverse, flatten;      /* reorg; reverse: upsample with negative stride */
    int n_sources;             /* route and shortcut */
    int sources[REF_MAX_SOURCES]; /* absolute */
    double alpha, beta, scale; /* 0: 1 */
    int crop_h, crop_w, noadjust;

    int c, h, w, inputs;       /* of the layer before */
    int out_c, out_h, out_w, outputs;
    size_t n_weights;
    int n_biases;
    double *weights, *biases, *scales, *mean, *variance;
    double *z;                 /* outputs: before the activation */
    double *output;
    double *normalized;        /* of normalize_channels and its like */
    double *blurred;           /* with blur: what the next layer reads, of blur_h rows of blur_w */
    int blur_stride, blur_stride_y, blur_h, blur_w;

    /* Restricted networks, borrowed, NULL = none: output = gate * activation; where frozen, output stays what it is. */
    const double *gate;
    const unsigned char *frozen;
} ref_layer;

typedef struct ref_net {
    int c, h, w, n;
    double *input;             /* c*h*w */
    ref_layer layer[REF_MAX_LAYERS];
    uint64_t random;           /* state of the generator */
} ref_net;

/* Uniform in [-1,1): the same sequence everywhere for the same seed. */
double ref_random(uint64_t *state);

/* Shapes, buffers, random weights (float32 values) and a random input in [0,1]; layers are run in passing so that each
 * one's pre-activations have mean near 0.2 and deviation near 1. Aborts on a description that makes no sense. */
void ref_net_build(ref_net *net, uint64_t seed);
void ref_net_free(ref_net *net);

/* Runs layers from `first` on from the outputs already there; 0 = all from net->input. */
void ref_net_forward(ref_net *net, int first);

double ref_activate(ref_activation activation, double z);

/* Smallest distance of any pre-activation of layers >= first from a kink of its activation, and of any pool window's
 * winner from its runner-up: central differences want it well above their step. An exact tie does not count: it is one
 * of dead units, or of copies of one unit, which move together. */
double ref_net_margin(const ref_net *net, int first);

/* The same network as files for the engine. 0 on success. */
int ref_net_write_cfg(const ref_net *net, const char *path);
int ref_net_write_weights(const ref_net *net, const char *path);

#endif

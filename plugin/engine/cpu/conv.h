/* Convolution, the engine's heaviest part.
 *
 * Every convolutional layer is made of two products over the same geometry. For an image x (C,H,W), weights A (M,K) with
 * K = C*size*size, and P = out_h*out_w output positions:
 *
 *     gather:   y (M,P)   (+)= A im2col(x)        forward; data gradient at stride 1 (turned weights)
 *     scatter:  x (C,H,W)  += col2im(A^T y)       data gradient in general; forward of a deconvolution
 *
 * What computes them is a table of kernels, conv_kernels.c. conv_plan.c chooses one for each product of a network.
 */
#ifndef CP_ENGINE_CONV_H
#define CP_ENGINE_CONV_H

#include "engine/engine.h"

typedef struct {
    int c, h, w;                /* x, per group */
    int m;                      /* rows of A, per group */
    int size, stride, pad;      /* stride: from column to column */
    int out_h, out_w;
    int groups;
    int stride_y, dilation;     /* stride from row to row; pixels from tap to tap, 1: neighbours */
} cp_window;

/* Moves nothing: the input is its own im2col. */
static inline bool cp_is_pointwise(const cp_window *g)
{
    return g->size == 1 && g->stride == 1 && g->pad == 0 && g->out_h == g->h;
}

/* One stride, and taps that are neighbours: what most kernels are written for. */
static inline bool cp_is_compact(const cp_window *g) { return g->stride_y == g->stride && g->dilation == 1; }

static inline double cp_window_macs(const cp_window *g)
{
    return (double)g->groups * g->m * g->c * g->size * g->size * g->out_h * g->out_w;
}

typedef struct cp_kernel cp_kernel;

/* One product of a layer, its forward run or its data gradient, and what computes it. */
typedef struct {
    const cp_kernel *kernel;
    cp_window window;           /* of the layer */
    bool backward;
    ACTIVATION activation;      /* of the forward run */
    const float *weights;       /* of the layer: (groups*M, C, size, size) */
    /* Filled in by the kernel's open: */
    double cost;                /* nanoseconds of one image on one core; INFINITY: this machine has no such kernel */
    size_t bytes;               /* of rearranged weights */
    size_t per_thread, shared;  /* floats of scratch */
    void *own;                  /* what the kernel keeps */
} cp_product;

/* A row of the table. */
struct cp_kernel {
    const char *name;           /* in CRITPATH_CONVOLUTION */
    bool even;                  /* equal windows get equal outputs: every sum is made in the same order */
    bool (*fits)(const cp_product *p); /* by shape alone, so that results do not depend on the thread count */
    cp_status (*open)(cp_product *p);
    cp_status (*load)(cp_product *p); /* rearranges the weights; NULL: reads them as they are */
    /* y = act(A im2col(x) + bias), bias (groups*M) or NULL; activation: the product's own or LINEAR */
    void (*forward)(const cp_product *p, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                    const cp_scratch *scratch);
    /* x = (fresh) or += the data gradient of y */
    void (*backward)(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch);
    void (*close)(void *own);   /* NULL: cp_free */
};

/* ---- conv_kernels.c ---- */

enum { CP_KERNELS = 10 };
/* The first is the one that fits every product, gemm. */
extern const cp_kernel *const cp_kernels[CP_KERNELS];

/* Plain loops, which the others are tested against; each of the others is described in its file. */
extern const cp_kernel cp_conv_plain, cp_conv_gemm, cp_conv_pointwise, cp_conv_depthwise, cp_conv_grouped,
    cp_conv_stem, cp_conv_points, cp_conv_direct, cp_conv_winograd_2x2, cp_conv_winograd_4x4;

/* ---- conv_product.c ---- */

/* of: window, backward, activation, weights. out: ready but for its weights; out->kernel NULL where the kernel does not fit.
 * Whatever was opened is closed. */
cp_status cp_product_open(const cp_kernel *kernel, const cp_product *of, cp_product *out);
void cp_product_close(cp_product *p);

/* The data gradient as a gather over the output: at stride 1 a convolution with the kernel turned by 180 degrees and the
 * roles of input and output channels exchanged. A gather moves m*size*size floats per position, a scatter c*size*size:
 * turned weights pay unless the layer widens a lot, as the first one does. */
bool cp_turns(const cp_window *window);
/* The window over which a product is a gather; of a data gradient where cp_turns. */
cp_window cp_gather_window(const cp_product *p);
/* *out (groups, C, M*size*size): cp_free's. */
cp_status cp_turned_weights(const cp_product *p, float **out);

/* ---- conv_gemm.c: im2col and sgemm ---- */

/* Floats of scratch that the products need. */
void cp_gather_scratch(const cp_window *window, size_t *per_thread, size_t *shared);
size_t cp_scatter_scratch(const cp_window *window);

/* y = act(A im2col(x) + bias); bias (groups*M) or NULL; accumulate: y += A im2col(x), no bias, no activation. */
void cp_gather(const cp_window *window, const float *weights, int n, cp_batch x, cp_batch y, bool accumulate,
               const float *bias, ACTIVATION activation, const cp_scratch *scratch);
void cp_scatter(const cp_window *window, const float *weights, int n, cp_batch y, cp_batch x, const cp_scratch *scratch);
double cp_gather_cost(const cp_window *window);

/* ---- conv_points.c ---- */

/* x (C,H,W) = (fresh) or += the data gradient of the few deltas y that are not 0; scratch->shared: cp_conv_few_words. */
void cp_conv_from_few(const cp_window *window, const float *weights, const float *y, size_t nonzero, bool fresh, float *x,
                      const cp_scratch *scratch);
size_t cp_conv_few_words(const cp_window *window, size_t nonzero);
/* Nanoseconds of the data gradient of so many deltas, and the other way round. */
double cp_conv_points_cost(const cp_window *window, double deltas);
double cp_conv_points_within(const cp_window *window, double time);

/* ---- what products of whole tiles do not keep ---- */

/* conv_zeros.c: whether rows first <= y < last of x (C,H,W) are 0; those outside the image are. */
bool cp_zero_rows(const cp_window *window, const float *x, int first, int last);
/* Zeroes the outputs of a 3x3 convolution at stride 1 in whose window all inputs are 0, whatever a tile made of them. x_band:
 * (x_blocks, rows + 2, w, 16 channels), from the window of its first output row on, rows outside the image 0; y_band:
 * (y_blocks, rows, out_w, 16 channels); scratch: cp_zero_windows_scratch floats. */
void cp_zero_windows(const cp_window *window, const float *x_band, int x_blocks, int rows, float *y_band, int y_blocks,
                     float *scratch);
size_t cp_zero_windows_scratch(const cp_window *window, int rows);

/* conv_equal.c: outputs y (M,P) whose windows of x (C,H,W) are equal become equal: all take those of the first.
 * work: cp_equal_windows_work words. */
void cp_equal_windows(const cp_window *window, int n, cp_batch x, cp_batch y, uint32_t *work);
size_t cp_equal_windows_work(const cp_window *window);

/* ---- layers ---- */

struct cp_conv {
    cp_window window;           /* of the forward run */
    cp_product forward, backward;
    double points_below;        /* fewer deltas than that are taken as points: engine/points.h */
    double dense_time;          /* ns of a dense data gradient */
    double sparse_below;        /* as points_below among dense deltas, which have to be picked out */
    bool depthwise;             /* one input channel per group */
    bool evens_out;             /* the forward run ends with cp_equal_windows */
};

/* conv_plan.c: decided for the whole network at once, so that the memory which rearranged weights take goes where it saves
 * most time. */
cp_status cp_conv_plan(cp_op *ops, int n);
void cp_conv_free(cp_conv *conv);

#endif

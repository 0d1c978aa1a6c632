/* Convolution, the engine's heaviest part, behind one interface.
 *
 * Every convolutional layer is made of two products over the same geometry. For an image x (C,H,W), weights A (M,K) with
 * K = C*size*size, and P = out_h*out_w output positions:
 *
 *     gather:   y (M,P)   (+)= A im2col(x)        forward; data gradient at stride 1 (flipped weights)
 *     scatter:  x (C,H,W)  += col2im(A^T y)       data gradient in general; forward of a deconvolution
 */
#ifndef CP_ENGINE_CONV_H
#define CP_ENGINE_CONV_H

#include "engine/engine.h"

typedef struct {
    int c, h, w;                /* x, per group */
    int m;                      /* rows of A, per group */
    int size, stride, pad;
    int out_h, out_w;
    int groups;
} cp_window;

/* Moves nothing: the input is its own im2col. */
static inline bool cp_is_pointwise(const cp_window *g) { return g->size == 1 && g->stride == 1 && g->pad == 0; }

typedef struct cp_onednn cp_onednn; /* a gather by oneDNN, see below */

struct cp_conv {
    cp_window window;           /* of the forward run */
    cp_window back_window;      /* of the data gradient as a gather */
    bool back_gathers;          /* by back_weights or `backward`; else the gradient is a scatter */
    float *back_weights;        /* (groups, C, M*size*size): flipped */
    cp_onednn *forward, *backward; /* NULL: im2col and sgemm */
    double points_below;        /* fewer deltas than that are taken as points: engine/points.h */
    double dense_time;          /* ns of a dense data gradient, as conv_plan.c counts them */
    double sparse_below;        /* the same among dense deltas, which have to be picked out */
    bool depthwise;
    bool evens_out;             /* the forward run ends with cp_equal_windows */
    struct cp_stem *stem;       /* of few input channels: the data gradient, in place of a scatter; or NULL */
    struct cp_grouped *grouped; /* small groups, computed directly; NULL: not that */
};

/* Floats of scratch that the products need. */
void cp_gather_scratch(const cp_window *window, size_t *per_thread, size_t *shared);
size_t cp_scatter_scratch(const cp_window *window);

/* y = act(A im2col(x) + bias); bias (groups*M) or NULL; accumulate: y += A im2col(x), no bias, no activation. */
void cp_gather(const cp_window *window, const float *weights, int n, cp_batch x, cp_batch y, bool accumulate,
               const float *bias, ACTIVATION activation, const cp_scratch *scratch);
void cp_scatter(const cp_window *window, const float *weights, int n, cp_batch y, cp_batch x, const cp_scratch *scratch);

/* conv_points.c: how many parts of a group's input channels it works on one after the other. */
int cp_conv_points_blocks(const cp_window *window);

/* conv_pointwise.c: y (rows, columns) = act(a (rows, k) x + bias) for 1x1 windows, bias NULL: 0; rows of x and y are `stride`
 * floats apart. */
bool cp_pointwise_fits(const cp_window *window, int columns, ACTIVATION activation);
void cp_pointwise(const float *a, int rows, int k, const float *x, size_t stride, int columns, const float *bias,
                  ACTIVATION activation, float *y);
/* y += a x, where that fits with LINEAR. */
void cp_pointwise_add(const float *a, int rows, int k, const float *x, size_t stride, int columns, float *y);

/* One input channel per group, computed without im2col. */
void cp_depthwise_forward(const cp_window *window, const float *weights, int n, cp_batch x, cp_batch y, const float *bias,
                          ACTIVATION activation, const cp_scratch *scratch);
/* x (=, +=) the data gradient. */
void cp_depthwise_backward(const cp_window *window, const float *weights, int n, cp_batch y, cp_batch x, bool fresh,
                           const cp_scratch *scratch);
size_t cp_depthwise_scratch(const cp_window *window); /* per thread */

/* Several input channels per group, but few: without im2col as well, from weights in an order of their own. After a failed
 * prepare *grouped is to be freed too. */
typedef struct cp_grouped cp_grouped;
bool cp_grouped_fits(const cp_window *window);
cp_status cp_grouped_prepare(const cp_window *window, const float *weights, cp_grouped **grouped);
void cp_grouped_free(cp_grouped *grouped);
size_t cp_grouped_scratch(const cp_grouped *grouped); /* per thread */
void cp_grouped_forward(const cp_window *window, const cp_grouped *grouped, int n, cp_batch x, cp_batch y, const float *bias,
                        ACTIVATION activation, const cp_scratch *scratch);
void cp_grouped_backward(const cp_window *window, const cp_grouped *grouped, int n, cp_batch y, cp_batch x, bool fresh,
                         const cp_scratch *scratch);

/* conv_stem.c: the data gradient where there are few input channels. After a failed prepare *stem is to be freed too. */
typedef struct cp_stem cp_stem;
bool cp_stem_fits(const cp_window *window);
cp_status cp_stem_prepare(const cp_window *window, const float *weights, cp_stem **stem);
void cp_stem_free(cp_stem *stem);
size_t cp_stem_scratch(const cp_window *window, const cp_stem *stem); /* per thread */
double cp_stem_time(const cp_window *window); /* ns, as conv_plan.c counts them */
/* x (=, +=) the data gradient. */
void cp_stem_backward(const cp_window *window, const cp_stem *stem, int n, cp_batch y, cp_batch x, bool fresh,
                      const cp_scratch *scratch);

/* conv_plan.c: which product computes what. Decided for the whole network at once, so that the memory which rearranged
 * weights take goes where it saves most time; by shapes alone, so that results do not depend on the thread count. */
cp_status cp_conv_plan(cp_op *ops, int n);
void cp_conv_free(cp_conv *conv);

/* conv_onednn.c: the same gather by oneDNN's kernels, in bands of output rows that stay in cache, each copied into
 * oneDNN's layout and back. One group only. A build without CP_ONEDNN has no offers. */
typedef enum {
    CP_KERNEL_DIRECT,
    CP_KERNEL_WINOGRAD_2X2, /* Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016 */
    CP_KERNEL_WINOGRAD_4X4
} cp_kernel;

/* *out: ready but for its weights; NULL where this machine or this shape has no such kernel. */
cp_status cp_onednn_offer(const cp_window *window, cp_kernel kernel, cp_onednn **out);
size_t cp_onednn_weight_bytes(const cp_onednn *gather);
size_t cp_onednn_scratch(const cp_onednn *gather); /* floats per thread */
int cp_onednn_band_rows(const cp_onednn *gather);
cp_kernel cp_onednn_kernel(const cp_onednn *gather);
/* Rearranges the weights, (M, C, size, size). */
cp_status cp_onednn_load(cp_onednn *gather, const float *weights);
/* As cp_gather. */
void cp_onednn_gather(const cp_onednn *gather, int n, cp_batch x, cp_batch y, bool accumulate, const float *bias,
                      ACTIVATION activation, const cp_scratch *scratch);
void cp_onednn_free(cp_onednn *gather);

/* conv_winograd.c: a band of a 3x3 convolution at stride 1 in tiles of `tile` x `tile` outputs, 2 or 4. x_band: (x_blocks,
 * rows + 2, w, 16 channels), rows outside the image and channels beyond C 0; y_band: (y_blocks, rows, out_w, 16 channels);
 * rows: a multiple of `tile`. Weights and scratch in floats. */
size_t cp_winograd_weights(const cp_window *window, int tile);
size_t cp_winograd_scratch(const cp_window *window, int tile, int rows);
/* `to`: cp_winograd_weights of them, from (M,C,3,3). */
void cp_winograd_load(const cp_window *window, int tile, const float *weights, float *to);
void cp_winograd_band(const cp_window *window, int tile, int rows, const float *weights, const float *x_band,
                      float *y_band, float *scratch);

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

extern const cp_op_type cp_op_convolutional, cp_op_deconvolutional;

#endif

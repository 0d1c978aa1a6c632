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

struct cp_conv {
    cp_window window;           /* of the forward run */
    cp_window back_window;      /* of the data gradient as a gather */
    float *back_weights;        /* (groups, C, M*size*size): flipped; NULL: the gradient is a scatter */
    const float *turned_weights; /* (groups, M, size*size, C), for sparse deltas; NULL: always dense */
    float *own_turned_weights;
    bool depthwise;
    struct cp_grouped *grouped; /* small groups, computed directly; NULL: not that */
};

/* Floats of scratch that the products need. */
void cp_gather_scratch(const cp_window *window, size_t *per_thread, size_t *shared);
size_t cp_scatter_scratch(const cp_window *window);

/* y = act(A im2col(x) + bias); bias (groups*M) or NULL; accumulate: y += A im2col(x), no bias, no activation. */
void cp_gather(const cp_window *window, const float *weights, int n, cp_batch x, cp_batch y, bool accumulate,
               const float *bias, ACTIVATION activation, const cp_scratch *scratch);
void cp_scatter(const cp_window *window, const float *weights, int n, cp_batch y, cp_batch x, const cp_scratch *scratch);

/* The data gradient of one image from sparse deltas: x (=, +=) col2im(A^T y) by the deltas that are not zero. */
cp_status cp_sparse_weights(const cp_window *window, const float *weights, float **turned);
size_t cp_sparse_scratch(const cp_window *window);
void cp_sparse_backward(const cp_window *window, const float *turned, const float *delta, float *x, bool fresh,
                        const cp_scratch *scratch);

/* One input channel per group, computed without im2col. */
void cp_depthwise_forward(const cp_window *window, const float *weights, int n, cp_batch x, cp_batch y, const float *bias,
                          ACTIVATION activation);
void cp_depthwise_backward(const cp_window *window, const float *weights, int n, cp_batch y, cp_batch x);

/* The same for one image whose deltas are mostly zero. */
void cp_depthwise_sparse_backward(const cp_window *window, const float *weights, const float *delta, float *x, bool fresh);

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

extern const cp_op_type cp_op_convolutional, cp_op_deconvolutional;

#endif

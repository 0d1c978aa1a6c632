/* Convolution by cuDNN. The algorithms are fixed: direct products in full precision, which add in the same order every
 * time; Winograd and FFT are faster on some shapes, and less exact than the CPU's results allow. */
#ifdef CUDNN

#include "engine/cuda/device_internal.h"
#include "io/error.h"

struct cp_dnn {
    cudnnTensorDescriptor_t x, y; /* one image */
    cudnnFilterDescriptor_t weights;
    cudnnConvolutionDescriptor_t convolution;
    size_t forward_bytes, backward_bytes;
};

static const cudnnConvolutionFwdAlgo_t forward_algorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
static const cudnnConvolutionBwdDataAlgo_t backward_algorithm = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1;

void cp_dnn_free(struct cp_dnn *dnn)
{
    if (!dnn) return;
    if (dnn->x) cudnnDestroyTensorDescriptor(dnn->x);
    if (dnn->y) cudnnDestroyTensorDescriptor(dnn->y);
    if (dnn->weights) cudnnDestroyFilterDescriptor(dnn->weights);
    if (dnn->convolution) cudnnDestroyConvolutionDescriptor(dnn->convolution);
    cp_free(dnn);
}

static cudnnStatus_t describe(struct cp_dnn *dnn, const cp_window *g)
{
    cudnnStatus_t e;
    if ((e = cudnnCreateTensorDescriptor(&dnn->x)) || (e = cudnnCreateTensorDescriptor(&dnn->y)) ||
        (e = cudnnCreateFilterDescriptor(&dnn->weights)) || (e = cudnnCreateConvolutionDescriptor(&dnn->convolution)) ||
        (e = cudnnSetTensor4dDescriptor(dnn->x, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, g->groups * g->c, g->h,
                                        g->w)) ||
        (e = cudnnSetTensor4dDescriptor(dnn->y, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, 1, g->groups * g->m, g->out_h,
                                        g->out_w)) ||
        (e = cudnnSetFilter4dDescriptor(dnn->weights, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, g->groups * g->m, g->c,
                                        g->size, g->size)) ||
        (e = cudnnSetConvolution2dDescriptor(dnn->convolution, g->pad, g->pad, g->stride, g->stride, 1, 1,
                                             CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT)) ||
        (e = cudnnSetConvolutionGroupCount(dnn->convolution, g->groups)))
        return e;
    return cudnnSetConvolutionMathType(dnn->convolution, CUDNN_FMA_MATH); /* no TF32 */
}

static cudnnStatus_t measure(cudnnHandle_t handle, struct cp_dnn *dnn)
{
    cudnnStatus_t e = cudnnGetConvolutionForwardWorkspaceSize(handle, dnn->x, dnn->weights, dnn->convolution, dnn->y,
                                                              forward_algorithm, &dnn->forward_bytes);
    if (e) return e;
    return cudnnGetConvolutionBackwardDataWorkspaceSize(handle, dnn->weights, dnn->y, dnn->convolution, dnn->x,
                                                        backward_algorithm, &dnn->backward_bytes);
}

/* A shape that cuDNN does not take, Darknet's odd paddings among them, is left to im2col and cuBLAS. */
cp_status cp_dnn_create(cudnnHandle_t handle, const cp_window *window, struct cp_dnn **out, size_t *work_bytes)
{
    struct cp_dnn *dnn = cp_alloc(1, sizeof *dnn, "cuDNN");
    if (!dnn) return CP_ERESOURCE;
    if (describe(dnn, window) || measure(handle, dnn)) {
        cp_dnn_free(dnn);
        return CP_OK;
    }
    *work_bytes = dnn->forward_bytes > dnn->backward_bytes ? dnn->forward_bytes : dnn->backward_bytes;
    *out = dnn;
    return CP_OK;
}

cudnnStatus_t cp_dnn_forward(const struct cp_dnn *dnn, const cp_queue *queue, const float *weights, const float *x,
                             float *y)
{
    const float one = 1, zero = 0;
    return cudnnConvolutionForward(queue->dnn, &one, dnn->x, x, dnn->weights, weights, dnn->convolution,
                                   forward_algorithm, queue->work, dnn->forward_bytes, &zero, dnn->y, y);
}

cudnnStatus_t cp_dnn_backward(const struct cp_dnn *dnn, const cp_queue *queue, const float *weights, const float *y,
                              float *x, bool fresh)
{
    const float one = 1, beta = fresh ? 0 : 1;
    return cudnnConvolutionBackwardData(queue->dnn, &one, dnn->weights, weights, dnn->y, y, dnn->convolution,
                                        backward_algorithm, queue->work, dnn->backward_bytes, &beta, dnn->x, x);
}

#endif

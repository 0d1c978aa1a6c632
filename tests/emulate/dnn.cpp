/* cuDNN: plain loops over NCHW tensors of float.
 *
 * The fastest algorithm that the lists name is not supported, the second needs too much memory, the third a workspace that
 * grows with the batch and the last none; the workspace is written over before each use. */
#include "cudnn.h"
#include "emulate.h"
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

struct cudnnContext {
    int device;
    cudaStream_t stream;
};
struct cudnnTensorStruct {
    int n, c, h, w;
};
struct cudnnFilterStruct {
    int k, c, h, w;
};
struct cudnnConvolutionStruct {
    int pad_h, pad_w, stride_h, stride_w, groups;
    cudnnMathType_t math;
};

namespace emulate {

static size_t floats(const cudnnTensorStruct *t) { return (size_t)t->n * t->c * t->h * t->w; }
static size_t floats(const cudnnFilterStruct *f) { return (size_t)f->k * f->c * f->h * f->w; }

extern "C" const char *cudnnGetErrorString(cudnnStatus_t status)
{
    switch (status) {
    case CUDNN_STATUS_SUCCESS: return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM: return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT: return "CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT";
    case CUDNN_STATUS_NOT_SUPPORTED: return "CUDNN_STATUS_NOT_SUPPORTED";
    default: return "CUDNN_STATUS_EXECUTION_FAILED";
    }
}

extern "C" cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    if (current_device() < 0) return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = new cudnnContext{current_device(), nullptr};
    return CUDNN_STATUS_SUCCESS;
}

extern "C" cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    LOCKED;
    drain_device(handle->device);
    delete handle;
    return CUDNN_STATUS_SUCCESS;
}

extern "C" cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream)
{
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* ---------------------------------------------------------------- descriptors */

extern "C" cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *tensor)
{
    *tensor = new cudnnTensorStruct();
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensor)
{
    delete tensor;
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensor, cudnnTensorFormat_t format,
                                                    cudnnDataType_t, int n, int c, int h, int w)
{
    if (format != CUDNN_TENSOR_NCHW) return CUDNN_STATUS_NOT_SUPPORTED;
    if (n < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
    *tensor = {n, c, h, w};
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t *filter)
{
    *filter = new cudnnFilterStruct();
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filter)
{
    delete filter;
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filter, cudnnDataType_t,
                                                    cudnnTensorFormat_t format, int k, int c, int h, int w)
{
    if (format != CUDNN_TENSOR_NCHW) return CUDNN_STATUS_NOT_SUPPORTED;
    if (k < 1 || c < 1 || h < 1 || w < 1) return CUDNN_STATUS_BAD_PARAM;
    *filter = {k, c, h, w};
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t *convolution)
{
    *convolution = new cudnnConvolutionStruct{0, 0, 1, 1, 1, CUDNN_DEFAULT_MATH};
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t convolution)
{
    delete convolution;
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convolution, int pad_h, int pad_w,
                                                         int stride_h, int stride_w, int dilation_h, int dilation_w,
                                                         cudnnConvolutionMode_t mode, cudnnDataType_t)
{
    if (pad_h < 0 || pad_w < 0 || stride_h < 1 || stride_w < 1) return CUDNN_STATUS_BAD_PARAM;
    if (dilation_h != 1 || dilation_w != 1 || mode != CUDNN_CROSS_CORRELATION) return CUDNN_STATUS_NOT_SUPPORTED;
    *convolution = {pad_h, pad_w, stride_h, stride_w, convolution->groups, convolution->math};
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t convolution, int groups)
{
    if (groups < 1) return CUDNN_STATUS_BAD_PARAM;
    convolution->groups = groups;
    return CUDNN_STATUS_SUCCESS;
}
extern "C" cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convolution, cudnnMathType_t math)
{
    convolution->math = math;
    return CUDNN_STATUS_SUCCESS;
}

/* ---------------------------------------------------------------- algorithms */

static bool fits(const cudnnTensorStruct *x, const cudnnFilterStruct *w, const cudnnConvolutionStruct *v,
                 const cudnnTensorStruct *y)
{
    return x->n == y->n && w->k == y->c && x->c == w->c * v->groups && w->k % v->groups == 0 &&
           y->h == (x->h + 2 * v->pad_h - w->h) / v->stride_h + 1 &&
           y->w == (x->w + 2 * v->pad_w - w->w) / v->stride_w + 1;
}

static size_t workspace(int algo, const cudnnTensorStruct *x, const cudnnTensorStruct *y)
{
    return algo == 0 ? 0 : algo == 1 ? (floats(x) + floats(y)) * sizeof(float) : (size_t)3 << 30;
}

template <class PERF>
static cudnnStatus_t list_algorithms(const cudnnTensorStruct *x, const cudnnFilterStruct *w,
                                     const cudnnConvolutionStruct *v, const cudnnTensorStruct *y, int asked, int *found,
                                     PERF *list)
{
    typedef decltype(list->algo) algorithm;
    const algorithm algorithms[] = {(algorithm)4, (algorithm)2, (algorithm)1, (algorithm)0};
    if (!fits(x, w, v, y)) return CUDNN_STATUS_BAD_PARAM;
    *found = asked < 4 ? asked : 4;
    for (int i = 0; i < *found; ++i) {
        memset(&list[i], 0, sizeof list[i]);
        list[i].algo = algorithms[i];
        list[i].status = i ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED;
        list[i].memory = workspace(algorithms[i], x, y);
        list[i].mathType = v->math;
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t size_workspace(const cudnnTensorStruct *x, const cudnnFilterStruct *w,
                                    const cudnnConvolutionStruct *v, const cudnnTensorStruct *y, int algo, size_t *bytes)
{
    if (!fits(x, w, v, y)) return CUDNN_STATUS_BAD_PARAM;
    if (algo > 2) return CUDNN_STATUS_NOT_SUPPORTED;
    *bytes = workspace(algo, x, y);
    return CUDNN_STATUS_SUCCESS;
}

extern "C" cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                                cudnnFilterDescriptor_t w,
                                                                cudnnConvolutionDescriptor_t v,
                                                                cudnnTensorDescriptor_t y, int asked, int *found,
                                                                cudnnConvolutionFwdAlgoPerf_t *list)
{
    return list_algorithms(x, w, v, y, asked, found, list);
}
extern "C" cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                                       cudnnTensorDescriptor_t y,
                                                                       cudnnConvolutionDescriptor_t v,
                                                                       cudnnFilterDescriptor_t w, int asked, int *found,
                                                                       cudnnConvolutionBwdFilterAlgoPerf_t *list)
{
    return list_algorithms(x, w, v, y, asked, found, list);
}
extern "C" cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                                     cudnnTensorDescriptor_t y,
                                                                     cudnnConvolutionDescriptor_t v,
                                                                     cudnnTensorDescriptor_t x, int asked, int *found,
                                                                     cudnnConvolutionBwdDataAlgoPerf_t *list)
{
    return list_algorithms(x, w, v, y, asked, found, list);
}
extern "C" cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                                 cudnnFilterDescriptor_t w,
                                                                 cudnnConvolutionDescriptor_t v,
                                                                 cudnnTensorDescriptor_t y,
                                                                 cudnnConvolutionFwdAlgo_t algo, size_t *bytes)
{
    return size_workspace(x, w, v, y, algo, bytes);
}
extern "C" cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t, cudnnTensorDescriptor_t x,
                                                                        cudnnTensorDescriptor_t y,
                                                                        cudnnConvolutionDescriptor_t v,
                                                                        cudnnFilterDescriptor_t w,
                                                                        cudnnConvolutionBwdFilterAlgo_t algo,
                                                                        size_t *bytes)
{
    return size_workspace(x, w, v, y, algo, bytes);
}
extern "C" cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t, cudnnFilterDescriptor_t w,
                                                                      cudnnTensorDescriptor_t y,
                                                                      cudnnConvolutionDescriptor_t v,
                                                                      cudnnTensorDescriptor_t x,
                                                                      cudnnConvolutionBwdDataAlgo_t algo, size_t *bytes)
{
    return size_workspace(x, w, v, y, algo, bytes);
}

/* ---------------------------------------------------------------- convolution */

/* visit(i, j, k): x[i] * w[j] is a term of y[k]. */
template <class VISIT>
static void each_term(cudnnTensorStruct x, cudnnFilterStruct w, cudnnConvolutionStruct v, cudnnTensorStruct y,
                      VISIT visit)
{
    int per_group = w.k / v.groups;
    for (int n = 0; n < y.n; ++n)
        for (int k = 0; k < y.c; ++k)
            for (int c = 0; c < w.c; ++c)
                for (int r = 0; r < w.h; ++r)
                    for (int s = 0; s < w.w; ++s)
                        for (int oy = 0; oy < y.h; ++oy) {
                            int iy = oy * v.stride_h - v.pad_h + r;
                            if (iy < 0 || iy >= x.h) continue;
                            size_t row = (((size_t)n * x.c + k / per_group * w.c + c) * x.h + iy) * x.w;
                            for (int ox = 0; ox < y.w; ++ox) {
                                int ix = ox * v.stride_w - v.pad_w + s;
                                if (ix < 0 || ix >= x.w) continue;
                                visit(row + ix, (((size_t)k * w.c + c) * w.h + r) * w.w + s,
                                      (((size_t)n * y.c + k) * y.h + oy) * y.w + ox);
                            }
                        }
}

/* The checks that the three have in common; `what` names the call. */
static cudnnStatus_t check(const char *what, cudnnHandle_t handle, const cudnnTensorStruct *x, const float *x_data,
                           const cudnnFilterStruct *w, const float *w_data, const cudnnConvolutionStruct *v,
                           const cudnnTensorStruct *y, const float *y_data, int algo, const void *work,
                           size_t work_bytes)
{
    size_t needed;
    if (handle->device != current_device())
        die("%s: a handle of device %d is used on device %d", what, handle->device, current_device());
    cudnnStatus_t status = size_workspace(x, w, v, y, algo, &needed);
    if (status) return status;
    if (work_bytes < needed || (needed && !work)) return CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT;
    if (v->math != CUDNN_FMA_MATH) die("%s: TF32 is allowed, which rounds to ten bits", what);
    check_range(what, x_data, floats(x) * sizeof(float), handle->device);
    check_range(what, w_data, floats(w) * sizeof(float), handle->device);
    check_range(what, y_data, floats(y) * sizeof(float), handle->device);
    if (needed) check_range("cuDNN's workspace", work, needed, handle->device);
    return CUDNN_STATUS_SUCCESS;
}

/* to = beta * to + alpha * sums, of which add(sums) makes the sums. */
template <class ADD>
static void accumulate(cudnnHandle_t handle, float alpha, float beta, float *to, size_t n, void *work, size_t work_bytes,
                       ADD add)
{
    submit(handle->stream, [=]() {
        Open open;
        std::vector<double> sums(n, 0.0);
        if (work_bytes) memset(work, 0xff, work_bytes);
        add(sums.data());
        for (size_t i = 0; i < n; ++i) to[i] = (float)(alpha * sums[i]) + (beta != 0 ? beta * to[i] : 0);
    });
}

extern "C" cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t x_desc,
                                                 const void *x_data, cudnnFilterDescriptor_t w_desc, const void *w_data,
                                                 cudnnConvolutionDescriptor_t conv, cudnnConvolutionFwdAlgo_t algo,
                                                 void *work, size_t work_bytes, const void *beta,
                                                 cudnnTensorDescriptor_t y_desc, void *y_data)
{
    LOCKED;
    const float *x = (const float *)x_data, *w = (const float *)w_data;
    cudnnStatus_t status = check("cudnnConvolutionForward", handle, x_desc, x, w_desc, w, conv, y_desc, (float *)y_data,
                                 algo, work, work_bytes);
    if (status) return status;
    cudnnTensorStruct xd = *x_desc, yd = *y_desc;
    cudnnFilterStruct wd = *w_desc;
    cudnnConvolutionStruct v = *conv;
    accumulate(handle, *(const float *)alpha, *(const float *)beta, (float *)y_data, floats(y_desc), work,
               workspace(algo, x_desc, y_desc), [=](double *sums) {
                   each_term(xd, wd, v, yd, [=](size_t i, size_t j, size_t k) { sums[k] += (double)x[i] * w[j]; });
               });
    return CUDNN_STATUS_SUCCESS;
}

extern "C" cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha,
                                                        cudnnTensorDescriptor_t x_desc, const void *x_data,
                                                        cudnnTensorDescriptor_t y_desc, const void *y_data,
                                                        cudnnConvolutionDescriptor_t conv,
                                                        cudnnConvolutionBwdFilterAlgo_t algo, void *work,
                                                        size_t work_bytes, const void *beta,
                                                        cudnnFilterDescriptor_t w_desc, void *w_data)
{
    LOCKED;
    const float *x = (const float *)x_data, *y = (const float *)y_data;
    cudnnStatus_t status = check("cudnnConvolutionBackwardFilter", handle, x_desc, x, w_desc, (float *)w_data, conv,
                                 y_desc, y, algo, work, work_bytes);
    if (status) return status;
    cudnnTensorStruct xd = *x_desc, yd = *y_desc;
    cudnnFilterStruct wd = *w_desc;
    cudnnConvolutionStruct v = *conv;
    accumulate(handle, *(const float *)alpha, *(const float *)beta, (float *)w_data, floats(w_desc), work,
               workspace(algo, x_desc, y_desc), [=](double *sums) {
                   each_term(xd, wd, v, yd, [=](size_t i, size_t j, size_t k) { sums[j] += (double)x[i] * y[k]; });
               });
    return CUDNN_STATUS_SUCCESS;
}

extern "C" cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha,
                                                      cudnnFilterDescriptor_t w_desc, const void *w_data,
                                                      cudnnTensorDescriptor_t y_desc, const void *y_data,
                                                      cudnnConvolutionDescriptor_t conv,
                                                      cudnnConvolutionBwdDataAlgo_t algo, void *work, size_t work_bytes,
                                                      const void *beta, cudnnTensorDescriptor_t x_desc, void *x_data)
{
    LOCKED;
    const float *w = (const float *)w_data, *y = (const float *)y_data;
    cudnnStatus_t status = check("cudnnConvolutionBackwardData", handle, x_desc, (float *)x_data, w_desc, w, conv, y_desc,
                                 y, algo, work, work_bytes);
    if (status) return status;
    cudnnTensorStruct xd = *x_desc, yd = *y_desc;
    cudnnFilterStruct wd = *w_desc;
    cudnnConvolutionStruct v = *conv;
    accumulate(handle, *(const float *)alpha, *(const float *)beta, (float *)x_data, floats(x_desc), work,
               workspace(algo, x_desc, y_desc), [=](double *sums) {
                   each_term(xd, wd, v, yd, [=](size_t i, size_t j, size_t k) { sums[i] += (double)w[j] * y[k]; });
               });
    return CUDNN_STATUS_SUCCESS;
}

/* ---------------------------------------------------------------- batch normalization */

static cudnnStatus_t check_norm(const char *what, cudnnHandle_t handle, cudnnBatchNormMode_t mode,
                                const cudnnTensorStruct *x, const cudnnTensorStruct *norm, const void *x_data,
                                const void *y_data)
{
    if (mode != CUDNN_BATCHNORM_SPATIAL) return CUDNN_STATUS_NOT_SUPPORTED;
    if (norm->n != 1 || norm->c != x->c || norm->h != 1 || norm->w != 1) return CUDNN_STATUS_BAD_PARAM;
    check_range(what, x_data, floats(x) * sizeof(float), handle->device);
    check_range(what, y_data, floats(x) * sizeof(float), handle->device);
    return CUDNN_STATUS_SUCCESS;
}

/* f(i) for each value of channel c */
template <class F> static void each_value(const cudnnTensorStruct &x, int c, F f)
{
    size_t plane = (size_t)x.h * x.w;
    for (int n = 0; n < x.n; ++n)
        for (size_t i = 0; i < plane; ++i) f(((size_t)n * x.c + c) * plane + i);
}

extern "C" cudnnStatus_t cudnnBatchNormalizationForwardTraining(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void *alpha, const void *beta, cudnnTensorDescriptor_t x_desc,
    const void *x_data, cudnnTensorDescriptor_t, void *y_data, cudnnTensorDescriptor_t norm, const void *scale,
    const void *bias, double factor, void *running_mean, void *running_variance, double epsilon, void *mean,
    void *inverse_deviation)
{
    LOCKED;
    const char *what = "cudnnBatchNormalizationForwardTraining";
    cudnnStatus_t status = check_norm(what, handle, mode, x_desc, norm, x_data, y_data);
    if (status) return status;
    for (const void *p : {scale, bias, (const void *)running_mean, (const void *)running_variance, (const void *)mean,
                          (const void *)inverse_deviation})
        check_range(what, p, norm->c * sizeof(float), handle->device);
    cudnnTensorStruct xd = *x_desc;
    const float *x = (const float *)x_data, *g = (const float *)scale, *b = (const float *)bias;
    float *y = (float *)y_data, *rm = (float *)running_mean, *rv = (float *)running_variance, *m = (float *)mean;
    float *inverse = (float *)inverse_deviation, one = *(const float *)alpha, keep = *(const float *)beta;
    submit(handle->stream, [=]() {
        Open open;
        double n = (double)xd.n * xd.h * xd.w;
        for (int c = 0; c < xd.c; ++c) {
            double sum = 0, squares = 0;
            each_value(xd, c, [&](size_t i) { sum += x[i]; });
            each_value(xd, c, [&](size_t i) { squares += (x[i] - sum / n) * (x[i] - sum / n); });
            m[c] = (float)(sum / n);
            inverse[c] = (float)(1 / sqrt(squares / n + epsilon));
            rm[c] = (float)(rm[c] * (1 - factor) + factor * sum / n);
            rv[c] = (float)(rv[c] * (1 - factor) + factor * squares / (n > 1 ? n - 1 : 1));
            each_value(xd, c, [&](size_t i) {
                y[i] = one * ((x[i] - m[c]) * inverse[c] * g[c] + b[c]) + (keep != 0 ? keep * y[i] : 0);
            });
        }
    });
    return CUDNN_STATUS_SUCCESS;
}

extern "C" cudnnStatus_t cudnnBatchNormalizationBackward(
    cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void *alpha_data, const void *beta_data,
    const void *alpha_param, const void *beta_param, cudnnTensorDescriptor_t x_desc, const void *x_data,
    cudnnTensorDescriptor_t, const void *dy_data, cudnnTensorDescriptor_t, void *dx_data, cudnnTensorDescriptor_t norm,
    const void *scale, void *scale_updates, void *bias_updates, double, const void *mean, const void *inverse_deviation)
{
    LOCKED;
    const char *what = "cudnnBatchNormalizationBackward";
    cudnnStatus_t status = check_norm(what, handle, mode, x_desc, norm, x_data, dy_data);
    if (!status) status = check_norm(what, handle, mode, x_desc, norm, x_data, dx_data);
    if (status) return status;
    for (const void *p : {scale, (const void *)scale_updates, (const void *)bias_updates, mean, inverse_deviation})
        check_range(what, p, norm->c * sizeof(float), handle->device);
    cudnnTensorStruct xd = *x_desc;
    const float *x = (const float *)x_data, *dy = (const float *)dy_data, *g = (const float *)scale;
    const float *m = (const float *)mean, *inverse = (const float *)inverse_deviation;
    float *dx = (float *)dx_data, *dg = (float *)scale_updates, *db = (float *)bias_updates;
    float a = *(const float *)alpha_data, b = *(const float *)beta_data;
    float ap = *(const float *)alpha_param, bp = *(const float *)beta_param;
    submit(handle->stream, [=]() {
        Open open;
        double n = (double)xd.n * xd.h * xd.w;
        for (int c = 0; c < xd.c; ++c) {
            double by_scale = 0, by_bias = 0;
            each_value(xd, c, [&](size_t i) {
                by_scale += (double)dy[i] * (x[i] - m[c]) * inverse[c];
                by_bias += dy[i];
            });
            each_value(xd, c, [&](size_t i) {
                double normal = (x[i] - m[c]) * inverse[c];
                double d = g[c] * inverse[c] * (dy[i] - by_bias / n - normal * by_scale / n);
                dx[i] = (float)(a * d) + (b != 0 ? b * dx[i] : 0);
            });
            dg[c] = (float)(ap * by_scale) + (bp != 0 ? bp * dg[c] : 0);
            db[c] = (float)(ap * by_bias) + (bp != 0 ? bp * db[c] : 0);
        }
    });
    return CUDNN_STATUS_SUCCESS;
}

} // namespace emulate

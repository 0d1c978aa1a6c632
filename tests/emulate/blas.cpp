/* cuBLAS by CBLAS, and cuRAND. Each operand must lie in one allocation of the current device. */
#include "cublas_v2.h"
#include "curand.h"
#include "emulate.h"
#include <cblas.h>
#include <cmath>
#include <random>

struct cublasContext {
    int device;
    cudaStream_t stream;
    cublasMath_t math;
    cublasPointerMode_t mode;
};

struct curandGenerator_st {
    std::mt19937_64 bits;
    cudaStream_t stream;
};

namespace emulate {

static void check_handle(cublasHandle_t handle)
{
    if (!handle) die("cuBLAS: the handle is NULL");
    if (handle->device != current_device())
        die("cuBLAS: a handle of device %d is used on device %d", handle->device, current_device());
}

static void check_matrix(const char *what, const float *matrix, long rows, long columns, long leading)
{
    if (rows && columns)
        check_range(what, matrix, (size_t)(leading * (columns - 1) + rows) * sizeof(float), current_device());
}

static void check_vector(const char *what, const float *vector, long n, long step)
{
    if (n) check_range(what, vector, (size_t)(labs(step) * (n - 1) + 1) * sizeof(float), current_device());
}

/* alpha and beta, which are read when the call is made or, in device mode, when it is done. */
static std::function<float()> scalar(cublasHandle_t handle, const float *value)
{
    if (handle->mode == CUBLAS_POINTER_MODE_DEVICE) {
        check_range("cuBLAS, a factor", value, sizeof *value, handle->device);
        return [=]() { return *value; };
    }
    check_host("cuBLAS, a factor", value);
    float now = *value;
    return [=]() { return now; };
}

static CBLAS_TRANSPOSE transpose(cublasOperation_t op) { return op == CUBLAS_OP_N ? CblasNoTrans : CblasTrans; }

extern "C" cublasStatus_t cublasCreate(cublasHandle_t *handle)
{
    LOCKED;
    if (current_device() < 0) return CUBLAS_STATUS_NOT_INITIALIZED;
    *handle = new cublasContext{current_device(), nullptr, CUBLAS_DEFAULT_MATH, CUBLAS_POINTER_MODE_HOST};
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasDestroy(cublasHandle_t handle)
{
    LOCKED;
    if (!handle) return CUBLAS_STATUS_NOT_INITIALIZED;
    drain_device(handle->device);
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream)
{
    check_handle(handle);
    handle->stream = stream;
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t *stream)
{
    *stream = handle->stream;
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode)
{
    handle->math = mode;
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode)
{
    *mode = handle->math;
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode)
{
    handle->mode = mode;
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" const char *cublasGetStatusString(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_SUCCESS           ? "success"
           : status == CUBLAS_STATUS_NOT_INITIALIZED ? "the library was not initialized"
           : status == CUBLAS_STATUS_INVALID_VALUE   ? "an unsupported value or parameter was passed to the function"
                                                     : "unknown error";
}

extern "C" const char *cublasGetStatusName(cublasStatus_t status) { return cublasGetStatusString(status); }

extern "C" cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t transa,
                                                    cublasOperation_t transb, int m, int n, int k, const float *alpha,
                                                    const float *a, int lda, long long stride_a, const float *b,
                                                    int ldb, long long stride_b, const float *beta, float *c, int ldc,
                                                    long long stride_c, int count)
{
    LOCKED;
    check_handle(handle);
    int a_rows = transa == CUBLAS_OP_N ? m : k, b_rows = transb == CUBLAS_OP_N ? k : n;
    if (m < 0 || n < 0 || k < 0 || count < 0 || lda < (a_rows > 1 ? a_rows : 1) || ldb < (b_rows > 1 ? b_rows : 1) ||
        ldc < (m > 1 ? m : 1))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!m || !n || !count) return CUBLAS_STATUS_SUCCESS;
    auto factor = scalar(handle, alpha), keep = scalar(handle, beta);
    for (int i = 0; i < count; ++i) {
        check_matrix("cublasSgemm, A", a + i * stride_a, a_rows, transa == CUBLAS_OP_N ? k : m, lda);
        check_matrix("cublasSgemm, B", b + i * stride_b, b_rows, transb == CUBLAS_OP_N ? n : k, ldb);
        check_matrix("cublasSgemm, C", c + i * stride_c, m, n, ldc);
    }
    submit(handle->stream, [=]() {
        Open open;
        for (int i = 0; i < count; ++i)
            cblas_sgemm(CblasColMajor, transpose(transa), transpose(transb), m, n, k, factor(), a + i * stride_a, lda,
                        b + i * stride_b, ldb, keep(), c + i * stride_c, ldc);
    });
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t transa, cublasOperation_t transb, int m,
                                      int n, int k, const float *alpha, const float *a, int lda, const float *b,
                                      int ldb, const float *beta, float *c, int ldc)
{
    return cublasSgemmStridedBatched(handle, transa, transb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

extern "C" cublasStatus_t cublasSgemv(cublasHandle_t handle, cublasOperation_t trans, int m, int n, const float *alpha,
                                      const float *a, int lda, const float *x, int incx, const float *beta, float *y,
                                      int incy)
{
    LOCKED;
    check_handle(handle);
    if (m < 0 || n < 0 || lda < (m > 1 ? m : 1) || !incx || !incy) return CUBLAS_STATUS_INVALID_VALUE;
    auto factor = scalar(handle, alpha), keep = scalar(handle, beta);
    check_matrix("cublasSgemv, A", a, m, n, lda);
    check_vector("cublasSgemv, x", x, trans == CUBLAS_OP_N ? n : m, incx);
    check_vector("cublasSgemv, y", y, trans == CUBLAS_OP_N ? m : n, incy);
    submit(handle->stream, [=]() {
        Open open;
        cblas_sgemv(CblasColMajor, transpose(trans), m, n, factor(), a, lda, x, incx, keep(), y, incy);
    });
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasSaxpy(cublasHandle_t handle, int n, const float *alpha, const float *x, int incx,
                                      float *y, int incy)
{
    LOCKED;
    check_handle(handle);
    auto factor = scalar(handle, alpha);
    check_vector("cublasSaxpy, x", x, n, incx);
    check_vector("cublasSaxpy, y", y, n, incy);
    submit(handle->stream, [=]() {
        Open open;
        cblas_saxpy(n, factor(), x, incx, y, incy);
    });
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasSscal(cublasHandle_t handle, int n, const float *alpha, float *x, int incx)
{
    LOCKED;
    check_handle(handle);
    auto factor = scalar(handle, alpha);
    check_vector("cublasSscal, x", x, n, incx);
    submit(handle->stream, [=]() {
        Open open;
        cblas_sscal(n, factor(), x, incx);
    });
    return CUBLAS_STATUS_SUCCESS;
}

extern "C" cublasStatus_t cublasSdot(cublasHandle_t handle, int n, const float *x, int incx, const float *y, int incy,
                                     float *result)
{
    LOCKED;
    check_handle(handle);
    check_vector("cublasSdot, x", x, n, incx);
    check_vector("cublasSdot, y", y, n, incy);
    bool on_device = handle->mode == CUBLAS_POINTER_MODE_DEVICE;
    if (on_device) check_range("cublasSdot, result", result, sizeof *result, handle->device);
    else check_host("cublasSdot, result", result);
    submit(handle->stream, [=]() {
        Open open;
        *result = cblas_sdot(n, x, incx, y, incy);
    });
    if (!on_device) cudaStreamSynchronize(handle->stream);
    return CUBLAS_STATUS_SUCCESS;
}

/* ---------------------------------------------------------------- cuRAND */

extern "C" curandStatus_t curandCreateGenerator(curandGenerator_t *generator, curandRngType_t)
{
    *generator = new curandGenerator_st{std::mt19937_64(0), nullptr};
    return CURAND_STATUS_SUCCESS;
}

extern "C" curandStatus_t curandDestroyGenerator(curandGenerator_t generator)
{
    delete generator;
    return CURAND_STATUS_SUCCESS;
}

extern "C" curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator, unsigned long long seed)
{
    generator->bits.seed(seed);
    return CURAND_STATUS_SUCCESS;
}

extern "C" curandStatus_t curandSetStream(curandGenerator_t generator, cudaStream_t stream)
{
    generator->stream = stream;
    return CURAND_STATUS_SUCCESS;
}

static float uniform(curandGenerator_t generator) { return (float)((generator->bits() >> 40) + 1) / (1 << 24); }

extern "C" curandStatus_t curandGenerateUniform(curandGenerator_t generator, float *to, size_t n)
{
    LOCKED;
    check_range("curandGenerateUniform", to, n * sizeof *to, current_device());
    submit(generator->stream, [=]() {
        Open open;
        for (size_t i = 0; i < n; ++i) to[i] = uniform(generator);
    });
    return CURAND_STATUS_SUCCESS;
}

extern "C" curandStatus_t curandGenerateNormal(curandGenerator_t generator, float *to, size_t n, float mean,
                                               float deviation)
{
    LOCKED;
    check_range("curandGenerateNormal", to, n * sizeof *to, current_device());
    submit(generator->stream, [=]() {
        Open open;
        for (size_t i = 0; i < n; ++i)
            to[i] = mean + deviation * sqrtf(-2 * logf(uniform(generator))) * cosf(6.2831853f * uniform(generator));
    });
    return CURAND_STATUS_SUCCESS;
}

} // namespace emulate

/* Layers that scale channels or multiply two layers, on a device: sums of several layers, batch norm by itself,
 * [scale_channels], [sam]. */
#include <cuda_runtime.h>
#include <curand.h>
#include <cublas_v2.h>

extern "C" {
#include "engine/cuda/device_kernels.h"
}
#include "engine/cuda/device_launch.h"

__global__ static void channels_kernel(size_t count, unsigned plane, const float *factor, const float *bias, cp_batch in,
                                       cp_batch out, bool add)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    CP_EACH(i, count) {
        unsigned c = i / plane;
        float value = factor[c] * x[i] + (bias ? bias[c] : 0);
        y[i] = add ? y[i] + value : value;
    }
}

void cp_kernel_channels(int n, size_t channels, size_t plane, const float *factor, const float *bias, cp_batch x, cp_batch y,
                        bool add, cudaStream_t stream)
{
    size_t count = channels * plane;
    channels_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(count, (unsigned)plane, factor, bias, x, y, add);
}

__device__ static unsigned index_of_a(cp_product_kind kind, unsigned i, unsigned plane)
{
    return kind == CP_OF_CHANNEL ? i / plane : kind == CP_OF_POSITION ? i % plane : i;
}

__global__ static void multiply_kernel(cp_product_kind kind, size_t count, unsigned plane, cp_batch a, cp_batch b,
                                       cp_batch out, bool add)
{
    const float *x = a.base + blockIdx.y * a.stride, *z = b.base + blockIdx.y * b.stride;
    float *y = out.base + blockIdx.y * out.stride;
    CP_EACH(i, count) {
        float value = x[index_of_a(kind, i, plane)] * z[i];
        y[i] = add ? y[i] + value : value;
    }
}

void cp_kernel_multiply(cp_product_kind kind, int n, size_t channels, size_t plane, cp_batch a, cp_batch b, cp_batch y,
                        bool add, cudaStream_t stream)
{
    size_t count = channels * plane;
    multiply_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(kind, count, (unsigned)plane, a, b, y, add);
}

/* A thread to each value of `a`, which goes with `terms` others, `step` apart. */
__global__ static void to_a_kernel(size_t count, size_t terms, size_t first, size_t step, cp_batch delta, cp_batch b,
                                   cp_batch to)
{
    const float *d = delta.base + blockIdx.y * delta.stride, *z = b.base + blockIdx.y * b.stride;
    CP_EACH(i, count) {
        double sum = 0;
        for (size_t k = 0, at = i * first; k < terms; ++k, at += step) sum += (double)d[at] * z[at];
        to.base[blockIdx.y * to.stride + i] += (float)sum;
    }
}

void cp_kernel_multiply_to_a(cp_product_kind kind, int n, size_t channels, size_t plane, cp_batch delta, cp_batch b,
                             cp_batch to, cudaStream_t stream)
{
    size_t count = kind == CP_OF_CHANNEL ? channels : kind == CP_OF_POSITION ? plane : channels * plane;
    size_t terms = kind == CP_OF_CHANNEL ? plane : kind == CP_OF_POSITION ? channels : 1;
    to_a_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(count, terms, kind == CP_OF_CHANNEL ? plane : 1,
                                                            kind == CP_OF_POSITION ? plane : 1, delta, b, to);
}

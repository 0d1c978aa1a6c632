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

/* ---- activations of all channels of a pixel: a thread to a pixel ---- */

typedef struct {
    int kind;
    size_t channels, plane;
} pixels;

__device__ static double part_of(const pixels *p, double z, double most)
{
    if (p->kind == CP_NORMALIZE_CHANNELS) return z > 0 ? z : z * 0; /* z * 0 keeps a NaN */
    return exp(z - most);
}

__device__ static double slope_of(const pixels *p, double z, double most)
{
    return p->kind == CP_NORMALIZE_CHANNELS ? (z > 0 ? 1. : 0.) : exp(z - most);
}

/* The sum over the channels of the pixel at z, and what is taken from each z first. */
__device__ static double sum_of(const pixels *p, const float *z, double *most)
{
    double sum = 1e-4;
    *most = p->kind == CP_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL ? z[0] : 0;
    for (size_t c = 1; c < p->channels && p->kind == CP_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL; ++c)
        *most = fmax(*most, (double)z[c * p->plane]);
    for (size_t c = 0; c < p->channels; ++c) sum += part_of(p, z[c * p->plane], *most);
    return sum;
}

__global__ static void normalize_kernel(pixels p, cp_batch out)
{
    CP_EACH(i, p.plane) {
        float *y = out.base + blockIdx.y * out.stride + i;
        double most, sum = sum_of(&p, y, &most);
        for (size_t c = 0; c < p.channels; ++c) y[c * p.plane] = (float)(part_of(&p, y[c * p.plane], most) / sum);
    }
}

void cp_kernel_normalize(ACTIVATION kind, int n, size_t channels, size_t plane, cp_batch y, cudaStream_t stream)
{
    pixels p = {(int)kind, channels, plane};
    normalize_kernel<<<CP_GRID(plane, n), CP_BLOCK, 0, stream>>>(p, y);
}

__global__ static void derive_kernel(pixels p, cp_batch at, cp_batch from, cp_batch to, bool transposed)
{
    CP_EACH(i, p.plane) {
        const float *z = at.base + blockIdx.y * at.stride + i, *x = from.base + blockIdx.y * from.stride + i;
        float *y = to.base + blockIdx.y * to.stride + i;
        double most, sum = sum_of(&p, z, &most), shared = 0;
        for (size_t k = 0; k < p.channels * p.plane; k += p.plane)
            shared += x[k] * (transposed ? part_of(&p, z[k], most) / sum : slope_of(&p, z[k], most));
        for (size_t k = 0; k < p.channels * p.plane; k += p.plane) {
            double slope = slope_of(&p, z[k], most), part = part_of(&p, z[k], most) / sum;
            y[k] = (float)(transposed ? (x[k] - shared) * slope / sum : (x[k] * slope - part * shared) / sum);
        }
    }
}

void cp_kernel_normalize_derive(ACTIVATION kind, int n, size_t channels, size_t plane, cp_batch z, cp_batch from, cp_batch to,
                                bool transposed, cudaStream_t stream)
{
    pixels p = {(int)kind, channels, plane};
    derive_kernel<<<CP_GRID(plane, n), CP_BLOCK, 0, stream>>>(p, z, from, to, transposed);
}

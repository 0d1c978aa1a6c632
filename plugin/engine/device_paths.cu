/* Paths on a device: restrictions of a run, gradients at the neurons, scores and their selection. */
#include <cuda_runtime.h>
#include <curand.h>
#include <cublas_v2.h>

extern "C" {
#include "engine/device_kernels.h"
}
#include "engine/device_launch.h"

__device__ static bool on_path(const uint64_t *words, size_t i) { return words[i / 64] >> (i % 64) & 1; }

__global__ static void restrict_kernel(size_t count, const uint64_t *words, const float *constant, float *a)
{
    CP_EACH_OF_MANY(i, count)
        if (!on_path(words, i)) a[i] = constant ? constant[i] : 0;
}

void cp_kernel_restrict(size_t count, const uint64_t *words, const float *constant, float *a, cudaStream_t stream)
{
    restrict_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, words, constant, a);
}

__global__ static void gate_kernel(size_t count, const float *gates, float *before, float *a)
{
    CP_EACH_OF_MANY(i, count) {
        before[i] = a[i];
        a[i] *= gates[i];
    }
}

void cp_kernel_gate(size_t count, const float *gates, float *before, float *a, cudaStream_t stream)
{
    gate_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, gates, before, a);
}

/* act'(z) from y = act(z), as cp_activation_gradient. */
__device__ static float slope(float y, int activation)
{
    switch (activation) {
    case RELU: return y > 0 ? 1.f : 0.f;
    case LEAKY: return y > 0 ? 1.f : .1f;
    case RELIE: return y > 0 ? 1.f : .01f;
    case RAMP: return y > 0 ? 1.1f : .1f;
    case LOGISTIC: return (1 - y) * y;
    case LOGGY: return .5f * (1 - y) * (1 + y);
    case ELU: return y >= 0 ? 1.f : y + 1;
    case SELU: return y >= 0 ? 1.0507f : (float)(y + 1.0507 * 1.6732);
    case TANH: return 1 - y * y;
    case HARDTAN: return y > -1 && y < 1 ? 1.f : 0.f;
    case PLSE: return y < 0 || y > 1 ? .01f : .125f;
    case STAIR: return floorf(y) == y ? 0.f : 1.f;
    case LHTAN: return y > 0 && y < 1 ? 1.f : .001f;
    default: return 1;
    }
}

/* A path's zero stays one where the rest is infinite. */
__global__ static void through_neurons_kernel(size_t count, const float *a, const uint64_t *words, const float *gates,
                                              int activation, float *g)
{
    CP_EACH_OF_MANY(i, count) {
        float delta = words && !on_path(words, i) ? 0 : g[i];
        if (gates) delta *= gates[i];
        g[i] = activation == LINEAR ? delta : delta * slope(a[i], activation);
    }
}

void cp_kernel_through_neurons(size_t count, const float *a, const uint64_t *words, const float *gates,
                               ACTIVATION activation, float *g, cudaStream_t stream)
{
    through_neurons_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, a, words, gates, activation, g);
}

__global__ static void add_at_kernel(float *x, float value) { *x += value; }

void cp_kernel_add_at(float *x, float value, cudaStream_t stream) { add_at_kernel<<<1, 1, 0, stream>>>(x, value); }

/* ---------------------------------------------------------------- scores */

__global__ static void product_kernel(size_t count, const float *a, const float *g, bool magnitude, float *product,
                                      unsigned *not_finite)
{
    CP_EACH_OF_MANY(i, count) {
        float p = a[i] * g[i];
        product[i] = magnitude ? fabsf(p) : p;
        if (!isfinite(p)) *not_finite = 1;
    }
}

void cp_kernel_product(size_t count, const float *a, const float *g, bool magnitude, float *product,
                       unsigned *not_finite, cudaStream_t stream)
{
    product_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, a, g, magnitude, product, not_finite);
}

__global__ static void scale_kernel(size_t count, float alpha, const float *x, float *y)
{
    CP_EACH_OF_MANY(i, count) y[i] = alpha * x[i];
}

void cp_kernel_scale(size_t count, float alpha, const float *x, float *y, cudaStream_t stream)
{
    scale_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, alpha, x, y);
}

__global__ static void add_deltas_kernel(size_t count, int n, const float *delta, double weight, double *sum)
{
    CP_EACH_OF_MANY(i, count) {
        double total = sum[i];
        for (int e = 0; e < n; ++e) total += weight * delta[e * count + i];
        sum[i] = total;
    }
}

void cp_kernel_add_deltas(size_t count, int n, const float *delta, double weight, double *sum, cudaStream_t stream)
{
    add_deltas_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, n, delta, weight, sum);
}

/* ---------------------------------------------------------------- selection */

__device__ static unsigned bits_of(const float *score, size_t i) { return ((const unsigned *)score)[i]; }

enum {
    FIRST = 4096,
    NEXT = 1024,
    FEW_BLOCKS = 528
}; /* blocks that each add a table to the total: four per multiprocessor */

/* Every block counts in a table of its own; counts are integers, so that their order does not matter. Zeros, of which
 * there are many, do not queue for a counter. */
__global__ static void count_digits_kernel(size_t count, const float *score, unsigned prefix, int shift, int digits,
                                           unsigned long long *total)
{
    __shared__ unsigned table[FIRST + 1];
    for (int d = threadIdx.x; d <= digits; d += blockDim.x) table[d] = 0;
    __syncthreads();
    unsigned zeros = 0;
    CP_EACH_OF_MANY(i, count) {
        unsigned bits = bits_of(score, i);
        if (digits == FIRST) {
            if (bits)
                atomicAdd(&table[bits >> 20], 1u);
            else
                ++zeros;
        } else if (bits >> (shift + 10) == prefix) {
            atomicAdd(&table[bits >> shift & (NEXT - 1)], 1u);
        }
    }
    if (digits == FIRST) {
        atomicAdd(&table[0], zeros);
        atomicAdd(&table[FIRST], zeros);
    }
    __syncthreads();
    int counters = digits == FIRST ? FIRST + 1 : NEXT;
    for (int d = threadIdx.x; d < counters; d += blockDim.x)
        if (table[d]) atomicAdd(&total[d], (unsigned long long)table[d]);
}

void cp_kernel_count_digits(size_t count, const float *score, uint32_t prefix, int shift, unsigned long long *total,
                            cudaStream_t stream)
{
    unsigned blocks = cp_blocks_for(count);
    if (blocks > FEW_BLOCKS) blocks = FEW_BLOCKS;
    int digits = shift == 20 ? FIRST : NEXT;
    count_digits_kernel<<<blocks, CP_BLOCK, 0, stream>>>(count, score, prefix, shift, digits, total);
}

__global__ static void select_kernel(size_t count, const float *score, int lowest, uint64_t *words)
{
    CP_EACH_OF_MANY(w, (count + 63) / 64) {
        size_t first = w * 64, end = first + 64 < count ? first + 64 : count;
        uint64_t word = 0;
        for (size_t i = first; i < end; ++i) word |= (uint64_t)((int)bits_of(score, i) >= lowest) << (i - first);
        words[w] = word;
    }
}

void cp_kernel_select(size_t count, const float *score, uint32_t lowest, uint64_t *words, cudaStream_t stream)
{
    select_kernel<<<CP_GRID((count + 63) / 64, 1), CP_BLOCK, 0, stream>>>(count, score, (int)lowest, words);
}

__global__ static void find_equal_kernel(size_t count, const float *score, unsigned value, uint32_t *at, uint32_t room,
                                         unsigned *found)
{
    CP_EACH_OF_MANY(i, count) {
        if (bits_of(score, i) != value) continue;
        unsigned k = atomicAdd(found, 1u);
        if (k < room) at[k] = (uint32_t)i;
    }
}

void cp_kernel_find_equal(size_t count, const float *score, uint32_t value, uint32_t *at, uint32_t room,
                          unsigned *found, cudaStream_t stream)
{
    find_equal_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, score, value, at, room, found);
}

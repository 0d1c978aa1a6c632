/* Paths on a device: restrictions of a run, gradients at the neurons, scores and their selection. */
#include <cuda_runtime.h>
#include <curand.h>
#include <cublas_v2.h>

extern "C" {
#include "engine/cuda/device_kernels.h"
}
#include "engine/cuda/device_launch.h"

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

/* Of z, for activations whose output does not tell it. */
__device__ static float mish_slope(float z)
{
    float t = cp_mish_factor(z);
    return t + z * (1 - t * t) / (1 + expf(-z));
}

__device__ static float swish_slope(float z)
{
    float s = 1 / (1 + expf(-z));
    return s + z * s * (1 - s);
}

__device__ static float gelu_slope(float z)
{
    float t = cp_gelu_tanh(z);
    return .5f * (1 + t) + .5f * z * (1 - t * t) * (.797885f + 3 * .035677f * z * z);
}

/* act'(z) from y = act(z), or from z itself, as cp_activation_gradient. */
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
    case CP_RELU6: return y > 0 && y < 6 ? 1.f : 0.f;
    case CP_MISH: return mish_slope(y);
    case CP_SWISH: return swish_slope(y);
    case CP_HARD_MISH: return y > 0 ? 1.f : y > -2 ? y + 1 : 0.f;
    case CP_GELU: return gelu_slope(y);
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

__global__ static void through_all_kernel(size_t count, cp_listed listed, int activation, float *g)
{
    const uint64_t *words = listed.words[blockIdx.y];
    const float *a = listed.a[blockIdx.y];
    float *own = g + blockIdx.y * count;
    CP_EACH(i, count) {
        float delta = words && !on_path(words, i) ? 0 : own[i];
        own[i] = activation == LINEAR ? delta : delta * slope(a[i], activation);
    }
}

void cp_kernel_through_all(int n, size_t count, const cp_listed *listed, ACTIVATION activation, float *g,
                           cudaStream_t stream)
{
    through_all_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(count, *listed, activation, g);
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

__global__ static void edit_kernel(size_t n, const cp_edit *edit, const float *base, float *x)
{
    for (size_t k = blockIdx.y; k < n; k += gridDim.y) {
        cp_edit e = edit[k];
        CP_EACH_OF_MANY(i, e.count) x[e.to + i] = e.zero ? 0 : base[e.from + i];
    }
}

void cp_kernel_edit(size_t n, size_t most, const cp_edit *edit, const float *base, float *x, cudaStream_t stream)
{
    const size_t rows = 32768;
    if (n) edit_kernel<<<CP_GRID(most, n < rows ? n : rows), CP_BLOCK, 0, stream>>>(n, edit, base, x);
}

__global__ static void scale_kernel(size_t count, cp_factors factor, const float *x, float *y)
{
    CP_EACH(i, count) y[blockIdx.y * count + i] = factor.of[blockIdx.y] * x[i];
}

void cp_kernel_scale(int n, size_t count, const cp_factors *factor, const float *x, float *y, cudaStream_t stream)
{
    scale_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(count, *factor, x, y);
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

/* Of the magnitude. */
__device__ static unsigned bits_of(const float *score, size_t i) { return ((const unsigned *)score)[i] & 0x7fffffffu; }

enum { FEW_BLOCKS = 528 }; /* blocks that each add a table to the total: four per multiprocessor */

/* Every block counts in a table of its own; counts and fractions are integers, so that their order does not matter. Zeros,
 * of which there are many, do not queue for a counter. */
__global__ static void count_digits_kernel(size_t count, const float *score, unsigned prefix, int shift, int digits,
                                           unsigned long long *total)
{
    __shared__ unsigned table[CP_FIRST_DIGITS];
    __shared__ unsigned long long fraction[CP_FIRST_DIGITS];
    bool first = digits == CP_FIRST_DIGITS;
    for (int d = threadIdx.x; d < digits; d += blockDim.x) table[d] = 0, fraction[d] = 0;
    __syncthreads();
    unsigned long long zeros = 0;
    CP_EACH_OF_MANY(i, count) {
        unsigned bits = bits_of(score, i), digit = bits >> shift & (digits - 1);
        if (first && !bits)
            ++zeros;
        else if (first || bits >> (shift + 10) == prefix) {
            atomicAdd(&table[digit], 1u);
            atomicAdd(&fraction[digit], (unsigned long long)(bits >> 23 ? (bits & 0x7fffffu) | 0x800000u : bits));
        }
    }
    if (zeros) {
        atomicAdd(&total[0], zeros);
        atomicAdd(&total[2 * digits], zeros);
    }
    __syncthreads();
    for (int d = threadIdx.x; d < digits; d += blockDim.x)
        if (table[d]) {
            atomicAdd(&total[d], (unsigned long long)table[d]);
            atomicAdd(&total[digits + d], fraction[d]);
        }
}

void cp_kernel_count_digits(size_t count, const float *score, uint32_t prefix, int shift, unsigned long long *total,
                            cudaStream_t stream)
{
    unsigned blocks = cp_blocks_for(count);
    if (blocks > FEW_BLOCKS) blocks = FEW_BLOCKS;
    int digits = shift == CP_FIRST_SHIFT ? CP_FIRST_DIGITS : CP_NEXT_DIGITS;
    count_digits_kernel<<<blocks, CP_BLOCK, 0, stream>>>(count, score, prefix, shift, digits, total);
}

enum { WARP = 32, BEST_BLOCKS = 16 };

/* The layer whose part of an axis, all neurons, words or channels, holds `at`. */
__device__ static int layer_at(int layers, const cp_span *span, size_t cp_span::*axis, size_t at)
{
    int low = 0, high = layers;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (span[middle].*axis <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* A thread to a byte: neighbours read what lies side by side, and nobody waits. */
__global__ static void select_kernel(int layers, const cp_span *span, size_t n_bytes, const float *score, int lowest,
                                     uint8_t *bytes)
{
    CP_EACH_OF_MANY(k, n_bytes) {
        const cp_span *s = &span[layer_at(layers, span, &cp_span::word, k / 8)];
        size_t first = k * 8 - s->word * 64;
        unsigned byte = 0;
        for (int b = 0; b < 8; ++b)
            if (first + b < s->count) byte |= (unsigned)((int)bits_of(score, s->offset + first + b) >= lowest) << b;
        bytes[k] = (uint8_t)byte;
    }
}

void cp_kernel_select(int layers, const cp_span *span, size_t n_words, const float *score, uint32_t lowest,
                      uint64_t *words, cudaStream_t stream)
{
    select_kernel<<<CP_GRID(n_words * 8, 1), CP_BLOCK, 0, stream>>>(layers, span, n_words * 8, score, (int)lowest,
                                                                    (uint8_t *)words);
}

__global__ static void find_kernel(size_t count, const float *score, unsigned lowest, unsigned highest, uint32_t *at,
                                   uint32_t room, unsigned *found)
{
    CP_EACH_OF_MANY(i, count) {
        unsigned bits = bits_of(score, i);
        if (bits < lowest || bits > highest) continue;
        unsigned k = atomicAdd(found, 1u);
        if (k < room) at[k] = (uint32_t)i;
    }
}

void cp_kernel_find(size_t count, const float *score, uint32_t lowest, uint32_t highest, uint32_t *at, uint32_t room,
                    unsigned *found, cudaStream_t stream)
{
    find_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(count, score, lowest, highest, at, room, found);
}

/* ---------------------------------------------------------------- what a selection consists of */

/* Of a block's threads; the result is the first thread's. The first warp joins them: eight each, then its own. Once in
 * a kernel. */
template <class T, class Join> __device__ static T join_block(T value, Join join)
{
    __shared__ T part[CP_BLOCK];
    part[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x >= WARP) return value;
    for (unsigned k = threadIdx.x + WARP; k < CP_BLOCK; k += WARP) value = join(value, part[k]);
    for (int by = WARP / 2; by; by /= 2) value = join(value, __shfl_down_sync(0xffffffffu, value, by));
    return value;
}

struct add {
    template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};
struct larger {
    template <class T> __device__ T operator()(T a, T b) const { return a > b ? a : b; }
};

__global__ static void best_kernel(const cp_span *span, const float *score, unsigned long long *best)
{
    const cp_span *s = &span[blockIdx.y];
    unsigned long long own = 0;
    CP_EACH(i, s->count) {
        unsigned long long key = (unsigned long long)bits_of(score, s->offset + i) << 32 | (0xffffffffu - i);
        own = key > own ? key : own;
    }
    own = join_block(own, larger());
    if (!threadIdx.x) atomicMax(&best[blockIdx.y], own);
}

void cp_kernel_best(int layers, const cp_span *span, const float *score, unsigned long long *best, cudaStream_t stream)
{
    best_kernel<<<dim3(BEST_BLOCKS, layers), CP_BLOCK, 0, stream>>>(span, score, best);
}

__global__ static void rank_kernel(size_t count, const float *score, unsigned value, size_t neuron,
                                   unsigned long long *total)
{
    unsigned long long before = 0;
    CP_EACH_OF_MANY(i, count) {
        unsigned bits = bits_of(score, i);
        before += i < neuron ? bits >= value : bits > value;
    }
    before = join_block(before, add());
    if (!threadIdx.x) atomicAdd(total, before);
}

void cp_kernel_rank(size_t count, const float *score, uint32_t value, size_t neuron, unsigned long long *total,
                    cudaStream_t stream)
{
    unsigned blocks = cp_blocks_for(count);
    if (blocks > FEW_BLOCKS) blocks = FEW_BLOCKS;
    rank_kernel<<<blocks, CP_BLOCK, 0, stream>>>(count, score, value, neuron, total);
}

/* A block to a channel. */
__global__ static void parts_kernel(int layers, const cp_span *span, const float *score, const uint64_t *words,
                                    cp_channel_part *part)
{
    const cp_span *s = &span[layer_at(layers, span, &cp_span::channel, blockIdx.x)];
    size_t first = (blockIdx.x - s->channel) * s->plane;
    __shared__ unsigned kept, dead;
    double sum = 0;
    unsigned own_kept = 0, own_dead = 0;
    if (!threadIdx.x) kept = dead = 0;
    __syncthreads();
    for (size_t k = threadIdx.x; k < s->plane; k += blockDim.x) {
        size_t i = first + k;
        if (!on_path(words + s->word, i)) continue;
        sum += fabs((double)score[s->offset + i]);
        own_dead += !(s->a[i] > s->dead);
        ++own_kept;
    }
    if (own_kept) atomicAdd(&kept, own_kept);
    if (own_dead) atomicAdd(&dead, own_dead);
    sum = join_block(sum, add());
    if (threadIdx.x) return;
    part[blockIdx.x].score = sum;
    part[blockIdx.x].kept = kept;
    part[blockIdx.x].dead = dead;
}

void cp_kernel_parts(size_t channels, int layers, const cp_span *span, const float *score, const uint64_t *words,
                     cp_channel_part *part, cudaStream_t stream)
{
    if (channels)
        parts_kernel<<<(unsigned)channels, CP_BLOCK, 0, stream>>>(layers, span, score, words, part);
}

/* A thread to a cell: the channels are added in their order, as on the CPU, and neighbours read what lies side by side. */
__global__ static void planes_kernel(const cp_score_plane *plane, const cp_span *span, const float *score,
                                     const uint64_t *words, double *sum)
{
    const cp_score_plane *p = &plane[blockIdx.y];
    const cp_span *s = &span[p->layer];
    CP_EACH(cell, p->cells) {
        double total = 0;
        for (size_t i = cell; i < s->count; i += p->cells)
            if (!words || on_path(words + s->word, i)) total += (double)score[s->offset + i];
        sum[p->first + cell] = total;
    }
}

void cp_kernel_planes(int n, size_t most, const cp_score_plane *plane, const cp_span *span, const float *score,
                      const uint64_t *words, double *sum, cudaStream_t stream)
{
    if (n) planes_kernel<<<CP_GRID(most, n), CP_BLOCK, 0, stream>>>(plane, span, score, words, sum);
}

__global__ static void look_kernel(int n, const uint32_t *neuron, int layers, const cp_span *span, const float *score,
                                   float *seen)
{
    CP_EACH(k, n) {
        const cp_span *s = &span[layer_at(layers, span, &cp_span::offset, neuron[k])];
        seen[2 * k] = score[neuron[k]];
        seen[2 * k + 1] = s->a[neuron[k] - s->offset];
    }
}

void cp_kernel_look(int n, const uint32_t *neuron, int layers, const cp_span *span, const float *score, float *seen,
                    cudaStream_t stream)
{
    look_kernel<<<CP_GRID(n, 1), CP_BLOCK, 0, stream>>>(n, neuron, layers, span, score, seen);
}

/* Connected layers on a device. What they cost is to read their weights, often more than all the network's values: so a
 * block reads them once for several entries. Each entry adds in an order that the layer's shape alone gives, so that
 * its bytes do not depend on the entries beside it, as those of a library's matrix product may. */
#include <cuda_runtime.h>
#include <curand.h>
#include <cublas_v2.h>

extern "C" {
#include "engine/cuda/device_kernels.h"
}
#include "engine/cuda/device_launch.h"

enum {
    TOGETHER = 8, /* entries that share a reading */
    ROWS = 4,     /* outputs of a forward block */
    COLUMNS = 32, /* inputs of a backward block, a warp's width of neighbours, */
    SLICES = 8    /* and the parts of the outputs that its warps add up */
};

/* Entries behind the last one work on the last one's numbers, and write nothing. */
__device__ static unsigned entry_of(unsigned first, unsigned k, unsigned n)
{
    return first + k < n ? first + k : n - 1;
}

/* Thread t adds inputs t, t + 256, ...; then eight threads to a sum add the 256 parts. */
template <int ENTRIES>
__global__ static void connected_kernel(unsigned n, unsigned inputs, unsigned outputs, const float *weights, cp_batch x,
                                        cp_batch y)
{
    __shared__ float part[ROWS * ENTRIES][CP_BLOCK + 1];
    unsigned row = blockIdx.x * ROWS, first = blockIdx.y * ENTRIES;
    const float *w[ROWS], *from[ENTRIES];
    float sum[ROWS][ENTRIES];
    for (int r = 0; r < ROWS; ++r) w[r] = weights + (size_t)(row + r < outputs ? row + r : outputs - 1) * inputs;
    for (int e = 0; e < ENTRIES; ++e) from[e] = x.base + entry_of(first, e, n) * x.stride;
    for (int r = 0; r < ROWS; ++r)
        for (int e = 0; e < ENTRIES; ++e) sum[r][e] = 0;
    for (unsigned i = threadIdx.x; i < inputs; i += CP_BLOCK) {
        float value[ENTRIES];
        for (int e = 0; e < ENTRIES; ++e) value[e] = from[e][i];
        for (int r = 0; r < ROWS; ++r) {
            float weight = w[r][i];
            for (int e = 0; e < ENTRIES; ++e) sum[r][e] += weight * value[e];
        }
    }
    for (int r = 0; r < ROWS; ++r)
        for (int e = 0; e < ENTRIES; ++e) part[r * ENTRIES + e][threadIdx.x] = sum[r][e];
    __syncthreads();
    const unsigned adders = CP_BLOCK / (ROWS * TOGETHER);
    unsigned which = threadIdx.x / adders, at = threadIdx.x % adders;
    float total = 0;
    if (which < ROWS * ENTRIES)
        for (unsigned k = at; k < CP_BLOCK; k += adders) total += part[which][k];
    for (unsigned by = adders / 2; by; by /= 2) total += __shfl_down_sync(0xffffffffu, total, by, adders);
    unsigned r = which / ENTRIES, e = which % ENTRIES;
    if (!at && which < ROWS * ENTRIES && row + r < outputs && first + e < n)
        y.base[(first + e) * y.stride + row + r] = total;
}

void cp_kernel_connected(int n, size_t inputs, size_t outputs, const float *weights, cp_batch x, cp_batch y,
                         cudaStream_t stream)
{
    unsigned in = (unsigned)inputs, out = (unsigned)outputs;
    dim3 grid((out + ROWS - 1) / ROWS, (n + TOGETHER - 1) / TOGETHER);
    if (n == 1)
        connected_kernel<1><<<grid, CP_BLOCK, 0, stream>>>(n, in, out, weights, x, y);
    else
        connected_kernel<TOGETHER><<<grid, CP_BLOCK, 0, stream>>>(n, in, out, weights, x, y);
}

template <int ENTRIES>
__global__ static void connected_backward_kernel(unsigned n, unsigned inputs, unsigned outputs, const float *weights,
                                                 cp_batch y, cp_batch x, bool fresh)
{
    __shared__ float part[SLICES][ENTRIES][COLUMNS];
    unsigned column = threadIdx.x % COLUMNS, slice = threadIdx.x / COLUMNS, i = blockIdx.x * COLUMNS + column;
    unsigned first = blockIdx.y * ENTRIES, read = i < inputs ? i : inputs - 1;
    const float *from[ENTRIES];
    float sum[ENTRIES];
    for (int e = 0; e < ENTRIES; ++e) from[e] = y.base + entry_of(first, e, n) * y.stride;
    for (int e = 0; e < ENTRIES; ++e) sum[e] = 0;
    for (unsigned o = slice; o < outputs; o += SLICES) {
        float weight = weights[(size_t)o * inputs + read];
        for (int e = 0; e < ENTRIES; ++e) sum[e] += weight * from[e][o];
    }
    for (int e = 0; e < ENTRIES; ++e) part[slice][e][column] = sum[e];
    __syncthreads();
    unsigned e = slice; /* a warp to an entry */
    if (e >= ENTRIES || first + e >= n || i >= inputs) return;
    float total = 0;
    for (int s = 0; s < SLICES; ++s) total += part[s][e][column];
    float *to = x.base + (first + e) * x.stride + i;
    *to = fresh ? total : *to + total;
}

void cp_kernel_connected_backward(int n, size_t inputs, size_t outputs, const float *weights, cp_batch y, cp_batch x,
                                  bool fresh, cudaStream_t stream)
{
    unsigned in = (unsigned)inputs, out = (unsigned)outputs;
    dim3 grid((in + COLUMNS - 1) / COLUMNS, (n + TOGETHER - 1) / TOGETHER);
    if (n == 1)
        connected_backward_kernel<1><<<grid, CP_BLOCK, 0, stream>>>(n, in, out, weights, y, x, fresh);
    else
        connected_backward_kernel<TOGETHER><<<grid, CP_BLOCK, 0, stream>>>(n, in, out, weights, y, x, fresh);
}

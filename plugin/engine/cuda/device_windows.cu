/* The windows of engine/windows.h on a device: plain sums, one thread to a number, since they are rare. */
#include <cuda_runtime.h>
#include <curand.h>
#include <cublas_v2.h>

extern "C" {
#include "engine/cuda/device_kernels.h"
}
#include "engine/cuda/device_launch.h"

/* Index in a plane of what tap t of output position p reads; -1: beside the plane. */
__device__ static int tap_of(const cp_wide_window *g, int p, int t)
{
    int y = p / g->out_w * g->stride_y - g->pad + t / g->size * g->dilation;
    int x = p % g->out_w * g->stride_x - g->pad + t % g->size * g->dilation;
    return y < 0 || x < 0 || y >= g->h || x >= g->w ? -1 : y * g->w + x;
}

/* The output position whose tap t reads position q of the plane; -1: there is none. */
__device__ static int window_with(const cp_wide_window *g, int q, int t)
{
    int y = q / g->w + g->pad - t / g->size * g->dilation, x = q % g->w + g->pad - t % g->size * g->dilation;
    if (y < 0 || x < 0 || y % g->stride_y || x % g->stride_x) return -1;
    y /= g->stride_y, x /= g->stride_x;
    return y >= g->out_h || x >= g->out_w ? -1 : y * g->out_w + x;
}

/* ---- convolution: weights (groups * m, c, taps) ---- */

__global__ static void wide_kernel(cp_wide_window g, size_t count, const float *weights, cp_batch in, cp_batch out)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    int positions = g.out_h * g.out_w, taps = g.size * g.size, plane = g.h * g.w;
    CP_EACH(i, count) {
        int f = i / positions, p = i % positions;
        const float *kernel = weights + (size_t)f * g.c * taps, *from = x + (size_t)(f / g.m) * g.c * plane;
        float sum = 0;
        for (int t = 0; t < taps; ++t) {
            int at = tap_of(&g, p, t);
            for (int c = 0; c < g.c && at >= 0; ++c) sum += kernel[c * taps + t] * from[(size_t)c * plane + at];
        }
        y[i] = sum;
    }
}

void cp_kernel_wide(const cp_wide_window *g, const float *weights, int n, cp_batch x, cp_batch y, cudaStream_t stream)
{
    size_t count = (size_t)g->groups * g->m * g->out_h * g->out_w;
    wide_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, weights, x, y);
}

__global__ static void wide_backward_kernel(cp_wide_window g, size_t count, const float *weights, cp_batch out, cp_batch in)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = in.base + blockIdx.y * in.stride;
    int positions = g.out_h * g.out_w, taps = g.size * g.size, plane = g.h * g.w;
    CP_EACH(i, count) {
        int channel = i / plane, group = channel / g.c, c = channel % g.c, q = i % plane;
        const float *kernel = weights + ((size_t)group * g.m * g.c + c) * taps, *from = y + (size_t)group * g.m * positions;
        float sum = 0;
        for (int t = 0; t < taps; ++t) {
            int p = window_with(&g, q, t);
            for (int f = 0; f < g.m && p >= 0; ++f)
                sum += kernel[(size_t)f * g.c * taps + t] * from[(size_t)f * positions + p];
        }
        x[i] += sum;
    }
}

void cp_kernel_wide_backward(const cp_wide_window *g, const float *weights, int n, cp_batch y, cp_batch x,
                             cudaStream_t stream)
{
    size_t count = (size_t)g->groups * g->c * g->h * g->w;
    wide_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, weights, y, x);
}

/* ---- antialiasing: a fixed window on each plane ---- */

__device__ static float blur_weight(const cp_wide_window *g, int t)
{
    if (g->size == 2) return .25f;
    return (t / 3 == 1 ? .5f : .25f) * (t % 3 == 1 ? .5f : .25f);
}

__global__ static void blur_kernel(cp_wide_window g, size_t count, cp_batch in, cp_batch out)
{
    int positions = g.out_h * g.out_w, plane = g.h * g.w;
    CP_EACH(i, count) {
        int p = i % positions;
        const float *x = in.base + blockIdx.y * in.stride + (size_t)(i / positions) * plane;
        float sum = 0;
        for (int t = 0; t < g.size * g.size; ++t) {
            int at = tap_of(&g, p, t);
            if (at >= 0) sum += blur_weight(&g, t) * x[at];
        }
        out.base[blockIdx.y * out.stride + i] = sum;
    }
}

void cp_kernel_blur(const cp_wide_window *g, int n, cp_batch x, cp_batch y, cudaStream_t stream)
{
    size_t count = (size_t)g->c * g->out_h * g->out_w;
    blur_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, x, y);
}

__global__ static void blur_backward_kernel(cp_wide_window g, size_t count, cp_batch out, cp_batch in)
{
    int positions = g.out_h * g.out_w, plane = g.h * g.w;
    CP_EACH(i, count) {
        const float *y = out.base + blockIdx.y * out.stride + (size_t)(i / plane) * positions;
        float sum = 0;
        for (int t = 0; t < g.size * g.size; ++t) {
            int p = window_with(&g, i % plane, t);
            if (p >= 0) sum += blur_weight(&g, t) * y[p];
        }
        in.base[blockIdx.y * in.stride + i] += sum;
    }
}

void cp_kernel_blur_backward(const cp_wide_window *g, int n, cp_batch y, cp_batch x, cudaStream_t stream)
{
    size_t count = (size_t)g->c * g->h * g->w;
    blur_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, y, x);
}

/* ---- max-pools ---- */

/* What winner `k` of output i reads; -1: nothing. */
__device__ static long winner_of(const cp_wide_window *g, unsigned i, int k)
{
    int positions = g->out_h * g->out_w, channel = i / positions, p = i % positions;
    if (g->depth) return (long)(channel + k * g->depth) * positions + p;
    int at = tap_of(g, p, k);
    return at < 0 ? -1 : (long)channel * g->h * g->w + at;
}

__global__ static void wide_pool_kernel(cp_wide_window g, size_t count, cp_batch in, cp_batch out, uint16_t *index)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    int positions = g.out_h * g.out_w;
    CP_EACH(i, count) {
        int channel = i / positions, best = -1;
        int n = g.depth ? (g.c - channel + g.depth - 1) / g.depth : g.size * g.size;
        float largest = -3.402823466e+38f;
        for (int k = 0; k < n; ++k) {
            long at = winner_of(&g, i, k);
            if (at >= 0 && x[at] > largest) largest = x[at], best = k;
        }
        if (best < 0) best = 0;
        long at = winner_of(&g, i, best);
        y[i] = at < 0 ? 0 : x[at];
        index[blockIdx.y * count + i] = (uint16_t)best;
    }
}

static size_t pooled(const cp_wide_window *g) { return (size_t)g->m * g->out_h * g->out_w; }

void cp_kernel_wide_pool(const cp_wide_window *g, int n, cp_batch x, cp_batch y, uint16_t *index, cudaStream_t stream)
{
    wide_pool_kernel<<<CP_GRID(pooled(g), n), CP_BLOCK, 0, stream>>>(*g, pooled(g), x, y, index);
}

__global__ static void wide_pool_backward_kernel(cp_wide_window g, size_t count, size_t outputs, cp_batch out,
                                                 const uint16_t *index, long first, long step, cp_batch in)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = in.base + blockIdx.y * in.stride;
    const uint16_t *winner = index + (first + (long)blockIdx.y * step) * (long)outputs;
    int positions = g.out_h * g.out_w, plane = g.h * g.w;
    CP_EACH(i, count) {
        int channel = i / plane, q = i % plane;
        float sum = 0;
        if (g.depth) {
            unsigned o = (unsigned)(channel % g.depth) * positions + q;
            if (winner[o] == channel / g.depth) sum = y[o];
        }
        for (int t = 0; t < g.size * g.size && !g.depth; ++t) {
            int p = window_with(&g, q, t);
            if (p >= 0 && winner[(size_t)channel * positions + p] == t) sum += y[(size_t)channel * positions + p];
        }
        x[i] += sum;
    }
}

void cp_kernel_wide_pool_backward(const cp_wide_window *g, int n, cp_batch y, const uint16_t *index, int first, int step,
                                  cp_batch x, cudaStream_t stream)
{
    size_t count = (size_t)g->c * g->h * g->w;
    wide_pool_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, pooled(g), y, index, first, step, x);
}

__global__ static void wide_pool_tangent_kernel(cp_wide_window g, size_t count, cp_batch in, const uint16_t *index,
                                                long first, long step, cp_batch out)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    const uint16_t *winner = index + (first + (long)blockIdx.y * step) * (long)count;
    CP_EACH(i, count) {
        long at = winner_of(&g, i, winner[i]);
        y[i] = at < 0 ? 0 : x[at];
    }
}

void cp_kernel_wide_pool_tangent(const cp_wide_window *g, int n, cp_batch x, const uint16_t *index, int first, int step,
                                 cp_batch y, cudaStream_t stream)
{
    wide_pool_tangent_kernel<<<CP_GRID(pooled(g), n), CP_BLOCK, 0, stream>>>(*g, pooled(g), x, index, first, step, y);
}

/* ---- means of what of a window is inside ---- */

__device__ static int inside(const cp_wide_window *g, int p)
{
    int n = 0;
    for (int t = 0; t < g->size * g->size; ++t) n += tap_of(g, p, t) >= 0;
    return n;
}

__global__ static void local_average_kernel(cp_wide_window g, size_t count, cp_batch in, cp_batch out)
{
    float *y = out.base + blockIdx.y * out.stride;
    int positions = g.out_h * g.out_w;
    CP_EACH(i, count) {
        const float *x = in.base + blockIdx.y * in.stride + (size_t)(i / positions) * g.h * g.w;
        float sum = 0;
        for (int t = 0; t < g.size * g.size; ++t) {
            int at = tap_of(&g, i % positions, t);
            if (at >= 0) sum += x[at];
        }
        y[i] = sum / inside(&g, i % positions);
    }
}

void cp_kernel_local_average(const cp_wide_window *g, int n, cp_batch x, cp_batch y, cudaStream_t stream)
{
    local_average_kernel<<<CP_GRID(pooled(g), n), CP_BLOCK, 0, stream>>>(*g, pooled(g), x, y);
}

__global__ static void local_average_backward_kernel(cp_wide_window g, size_t count, cp_batch out, cp_batch in)
{
    float *x = in.base + blockIdx.y * in.stride;
    int plane = g.h * g.w, positions = g.out_h * g.out_w;
    CP_EACH(i, count) {
        const float *y = out.base + blockIdx.y * out.stride + (size_t)(i / plane) * positions;
        float sum = 0;
        for (int t = 0; t < g.size * g.size; ++t) {
            int p = window_with(&g, i % plane, t);
            if (p >= 0) sum += y[p] / inside(&g, p);
        }
        x[i] += sum;
    }
}

void cp_kernel_local_average_backward(const cp_wide_window *g, int n, cp_batch y, cp_batch x, cudaStream_t stream)
{
    size_t count = (size_t)g->c * g->h * g->w;
    local_average_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, y, x);
}

/* What layers do on a device besides matrix products. Index y of the grid is the entry; x runs over its values, as many
 * as fit. Gradients gather: every thread owns the number it writes, so that sums have one order. */
#include <cuda_runtime.h>
#include <curand.h>
#include <cublas_v2.h>

extern "C" {
#include "engine/cuda/device_kernels.h"
}
#include "engine/cuda/device_launch.h"

/* ---------------------------------------------------------------- activations */

__device__ static float stair(float x)
{
    int n = (int)floorf(x);
    if (n % 2 == 0) return floorf(x / 2);
    return (x - n) + floorf(x / 2);
}

/* As cp_activate, value by value. */
__device__ static float activate(float x, int activation)
{
    switch (activation) {
    case RELU: return x > 0 ? x : x * 0; /* x*0 keeps a NaN */
    case LEAKY: return x > 0 ? x : .1f * x;
    case RELIE: return x > 0 ? x : .01f * x;
    case RAMP: return x > 0 ? x + .1f * x : .1f * x;
    case LOGISTIC: return (float)(1. / (1. + exp(-(double)x)));
    case LOGGY: return (float)(2. / (1. + exp(-(double)x)) - 1);
    case ELU: return x >= 0 ? x : (float)(exp((double)x) - 1);
    case SELU: return (float)(x >= 0 ? 1.0507 * x : 1.0507 * 1.6732 * (exp((double)x) - 1));
    case TANH: return (float)((exp(2. * x) - 1) / (exp(2. * x) + 1));
    case HARDTAN: return x < -1 ? -1 : x > 1 ? 1 : x;
    case PLSE: return x < -4 ? .01f * (x + 4) : x > 4 ? .01f * (x - 4) + 1 : .125f * x + .5f;
    case STAIR: return stair(x);
    case LHTAN: return x < 0 ? .001f * x : x > 1 ? .001f * (x - 1) + 1 : x;
    case CP_RELU6: return x < 0 ? x * 0 : x > 6 ? 6 : x;
    case CP_MISH: return x * cp_mish_factor(x);
    case CP_SWISH: return x / (1 + expf(-x));
    case CP_HARD_MISH: return x > 0 ? x : x > -2 ? x * x / 2 + x : x * 0;
    case CP_GELU: return .5f * x * (1 + cp_gelu_tanh(x));
    default: return x;
    }
}

__global__ static void activate_kernel(cp_batch y, size_t count, unsigned plane, const float *bias, int activation)
{
    float *v = y.base + blockIdx.y * y.stride;
    CP_EACH(i, count) v[i] = activate(v[i] + (bias ? bias[i / plane] : 0), activation);
}

void cp_kernel_activate(int n, cp_batch y, size_t channels, size_t plane, const float *bias, ACTIVATION activation,
                        cudaStream_t stream)
{
    size_t count = channels * plane;
    if (bias || activation != LINEAR)
        activate_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(y, count, (unsigned)plane, bias, activation);
}

/* ---------------------------------------------------------------- convolution */

/* One thread per channel and position. */
__global__ static void im2col_kernel(cp_window g, size_t count, const float *x, float *col)
{
    unsigned positions = g.out_h * g.out_w;
    CP_EACH_OF_MANY(i, count) {
        unsigned c = (unsigned)(i / positions), p = (unsigned)(i % positions);
        int iy0 = (int)(p / g.out_w) * g.stride - g.pad, ix0 = (int)(p % g.out_w) * g.stride - g.pad;
        const float *plane = x + (size_t)c * g.h * g.w;
        float *to = col + (size_t)c * g.size * g.size * positions + p;
        for (int ky = 0; ky < g.size; ++ky)
            for (int kx = 0; kx < g.size; ++kx, to += positions) {
                int iy = iy0 + ky, ix = ix0 + kx;
                *to = iy >= 0 && iy < g.h && ix >= 0 && ix < g.w ? plane[(size_t)iy * g.w + ix] : 0;
            }
    }
}

void cp_kernel_im2col(const cp_window *g, const float *x, float *col, cudaStream_t stream)
{
    size_t count = (size_t)g->groups * g->c * g->out_h * g->out_w;
    im2col_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(*g, count, x, col);
}

/* The output rows (columns) whose window holds input row (column) i: [from, to). */
__device__ static void windows_over(int i, int size, int stride, int pad, int outputs, int *from, int *to)
{
    int first = i + pad - size + 1;
    *from = first <= 0 ? 0 : (first + stride - 1) / stride;
    *to = (i + pad) / stride + 1;
    if (i + pad < 0) *to = 0;
    if (*to > outputs) *to = outputs;
}

__global__ static void col2im_kernel(cp_window g, size_t count, const float *col, float *x, bool fresh)
{
    unsigned positions = g.out_h * g.out_w, plane = g.h * g.w;
    CP_EACH(i, count) {
        unsigned c = i / plane, p = i % plane;
        int iy = (int)(p / g.w), ix = (int)(p % g.w), y0, y1, x0, x1;
        windows_over(iy, g.size, g.stride, g.pad, g.out_h, &y0, &y1);
        windows_over(ix, g.size, g.stride, g.pad, g.out_w, &x0, &x1);
        const float *from = col + (size_t)c * g.size * g.size * positions;
        float sum = 0;
        for (int oy = y0; oy < y1; ++oy)
            for (int ox = x0; ox < x1; ++ox) {
                int tap = (iy + g.pad - oy * g.stride) * g.size + ix + g.pad - ox * g.stride;
                sum += from[(size_t)tap * positions + oy * g.out_w + ox];
            }
        x[i] = fresh ? sum : x[i] + sum;
    }
}

void cp_kernel_col2im(const cp_window *g, const float *col, float *x, bool fresh, cudaStream_t stream)
{
    size_t count = (size_t)g->groups * g->c * g->h * g->w;
    col2im_kernel<<<CP_GRID(count, 1), CP_BLOCK, 0, stream>>>(*g, count, col, x, fresh);
}

__global__ static void depthwise_kernel(cp_window g, size_t count, const float *weights, cp_batch in, cp_batch out)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    unsigned positions = g.out_h * g.out_w;
    CP_EACH(i, count) {
        int f = (int)(i / positions), p = (int)(i % positions);
        int iy0 = p / g.out_w * g.stride - g.pad, ix0 = p % g.out_w * g.stride - g.pad;
        const float *plane = x + (size_t)(f / g.m) * g.h * g.w, *kernel = weights + (size_t)f * g.size * g.size;
        float sum = 0;
        for (int ky = 0; ky < g.size; ++ky)
            for (int kx = 0; kx < g.size; ++kx) {
                int iy = iy0 + ky, ix = ix0 + kx;
                if (iy >= 0 && iy < g.h && ix >= 0 && ix < g.w)
                    sum += kernel[ky * g.size + kx] * plane[(size_t)iy * g.w + ix];
            }
        y[i] = sum;
    }
}

void cp_kernel_depthwise(const cp_window *g, const float *weights, int n, cp_batch x, cp_batch y, cudaStream_t stream)
{
    size_t count = (size_t)g->groups * g->m * g->out_h * g->out_w;
    depthwise_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, weights, x, y);
}

__global__ static void depthwise_backward_kernel(cp_window g, size_t count, const float *weights, cp_batch out,
                                                 cp_batch in, bool fresh)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = in.base + blockIdx.y * in.stride;
    unsigned positions = g.out_h * g.out_w, plane = g.h * g.w;
    CP_EACH(i, count) {
        int c = (int)(i / plane), p = (int)(i % plane), iy = p / g.w, ix = p % g.w, y0, y1, x0, x1;
        windows_over(iy, g.size, g.stride, g.pad, g.out_h, &y0, &y1);
        windows_over(ix, g.size, g.stride, g.pad, g.out_w, &x0, &x1);
        float sum = 0;
        for (int f = c * g.m; f < (c + 1) * g.m; ++f)
            for (int oy = y0; oy < y1; ++oy)
                for (int ox = x0; ox < x1; ++ox) {
                    int tap = (iy + g.pad - oy * g.stride) * g.size + ix + g.pad - ox * g.stride;
                    sum += weights[(size_t)f * g.size * g.size + tap] * y[f * positions + (size_t)oy * g.out_w + ox];
                }
        x[i] = fresh ? sum : x[i] + sum;
    }
}

void cp_kernel_depthwise_backward(const cp_window *g, const float *weights, int n, cp_batch y, cp_batch x, bool fresh,
                                  cudaStream_t stream)
{
    size_t count = (size_t)g->groups * g->h * g->w;
    depthwise_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(*g, count, weights, y, x, fresh);
}

/* [local]: weights (positions, filters, c*size*size). The window as that of a convolution, m filters. */
static cp_window local_window(const layer *l)
{
    cp_window g = {};
    g.c = l->c, g.h = l->h, g.w = l->w, g.m = l->n, g.size = l->size, g.stride = l->stride, g.pad = l->pad;
    g.out_h = l->out_h, g.out_w = l->out_w, g.groups = 1;
    return g;
}

__global__ static void local_kernel(cp_window g, size_t count, const float *weights, cp_batch in, cp_batch out)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    unsigned positions = g.out_h * g.out_w;
    size_t k = (size_t)g.c * g.size * g.size;
    CP_EACH(i, count) {
        unsigned f = i / positions, p = i % positions;
        int iy0 = (int)(p / g.out_w) * g.stride - g.pad, ix0 = (int)(p % g.out_w) * g.stride - g.pad;
        const float *kernel = weights + ((size_t)p * g.m + f) * k;
        float sum = 0;
        for (int c = 0; c < g.c; ++c)
            for (int ky = 0; ky < g.size; ++ky)
                for (int kx = 0; kx < g.size; ++kx, ++kernel) {
                    int iy = iy0 + ky, ix = ix0 + kx;
                    if (iy >= 0 && iy < g.h && ix >= 0 && ix < g.w)
                        sum += *kernel * x[((size_t)c * g.h + iy) * g.w + ix];
                }
        y[i] = sum;
    }
}

void cp_kernel_local(const layer *l, const float *weights, int n, cp_batch x, cp_batch y, cudaStream_t stream)
{
    cp_window g = local_window(l);
    size_t count = (size_t)g.m * g.out_h * g.out_w;
    local_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(g, count, weights, x, y);
}

__global__ static void local_backward_kernel(cp_window g, size_t count, const float *weights, cp_batch out, cp_batch in)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = in.base + blockIdx.y * in.stride;
    unsigned positions = g.out_h * g.out_w, plane = g.h * g.w;
    size_t k = (size_t)g.c * g.size * g.size;
    CP_EACH(i, count) {
        unsigned c = i / plane, q = i % plane;
        int iy = (int)(q / g.w), ix = (int)(q % g.w), y0, y1, x0, x1;
        windows_over(iy, g.size, g.stride, g.pad, g.out_h, &y0, &y1);
        windows_over(ix, g.size, g.stride, g.pad, g.out_w, &x0, &x1);
        float sum = 0;
        for (int oy = y0; oy < y1; ++oy)
            for (int ox = x0; ox < x1; ++ox) {
                size_t p = (size_t)oy * g.out_w + ox;
                size_t tap = (iy + g.pad - oy * g.stride) * g.size + ix + g.pad - ox * g.stride;
                const float *kernel = weights + p * g.m * k + c * g.size * g.size + tap;
                for (int f = 0; f < g.m; ++f) sum += kernel[f * k] * y[f * positions + p];
            }
        x[i] += sum;
    }
}

void cp_kernel_local_backward(const layer *l, const float *weights, int n, cp_batch y, cp_batch x, cudaStream_t stream)
{
    cp_window g = local_window(l);
    size_t count = (size_t)g.c * g.h * g.w;
    local_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(g, count, weights, y, x);
}

/* ---------------------------------------------------------------- pools */

enum { NO_WINNER = 0xffff }; /* as in pool.c */

/* Darknet's window starts at -pad/2, `pad` being that of both sides together. */
static cp_window pool_window(const layer *l)
{
    cp_window g = {};
    g.c = l->c, g.h = l->h, g.w = l->w, g.size = l->size, g.stride = l->stride, g.pad = l->pad / 2;
    g.out_h = l->out_h, g.out_w = l->out_w;
    return g;
}

/* The first of the largest wins; outside counts as -FLT_MAX; a window without any number has no winner. */
__global__ static void maxpool_kernel(cp_window g, size_t count, cp_batch in, cp_batch out, uint16_t *index)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    uint16_t *winners = index + blockIdx.y * count;
    unsigned positions = g.out_h * g.out_w;
    CP_EACH(i, count) {
        unsigned c = i / positions, p = i % positions;
        int iy0 = (int)(p / g.out_w) * g.stride - g.pad, ix0 = (int)(p % g.out_w) * g.stride - g.pad;
        const float *plane = x + c * g.h * g.w;
        float best = -3.402823466e+38f;
        int winner = NO_WINNER;
        for (int ky = 0; ky < g.size; ++ky)
            for (int kx = 0; kx < g.size; ++kx) {
                int iy = iy0 + ky, ix = ix0 + kx;
                if (iy < 0 || iy >= g.h || ix < 0 || ix >= g.w) continue;
                float v = plane[(size_t)iy * g.w + ix];
                if (v > best) best = v, winner = ky * g.size + kx;
            }
        y[i] = best;
        winners[i] = (uint16_t)winner;
    }
}

void cp_kernel_maxpool(const layer *l, int n, cp_batch x, cp_batch y, uint16_t *index, cudaStream_t stream)
{
    cp_window g = pool_window(l);
    size_t count = (size_t)g.c * g.out_h * g.out_w;
    maxpool_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(g, count, x, y, index);
}

/* Entry e has the winners of image first + e * step. */
typedef struct {
    const uint16_t *index;
    int first, step;
} winners;

__device__ static const uint16_t *winners_of(winners w, unsigned entry, size_t outputs)
{
    return w.index + (size_t)(w.first + (int)entry * w.step) * outputs;
}

__global__ static void maxpool_backward_kernel(cp_window g, size_t count, cp_batch out, winners w, cp_batch in)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = in.base + blockIdx.y * in.stride;
    const uint16_t *index = winners_of(w, blockIdx.y, (size_t)g.c * g.out_h * g.out_w);
    unsigned positions = g.out_h * g.out_w, plane = g.h * g.w;
    CP_EACH(i, count) {
        unsigned c = i / plane, p = i % plane;
        int iy = (int)(p / g.w), ix = (int)(p % g.w), y0, y1, x0, x1;
        windows_over(iy, g.size, g.stride, g.pad, g.out_h, &y0, &y1);
        windows_over(ix, g.size, g.stride, g.pad, g.out_w, &x0, &x1);
        float sum = 0;
        for (int oy = y0; oy < y1; ++oy)
            for (int ox = x0; ox < x1; ++ox) {
                int tap = (iy + g.pad - oy * g.stride) * g.size + ix + g.pad - ox * g.stride;
                size_t window = c * positions + (size_t)oy * g.out_w + ox;
                if (index[window] == tap) sum += y[window];
            }
        x[i] += sum;
    }
}

void cp_kernel_maxpool_backward(const layer *l, int n, cp_batch y, const uint16_t *index, int first, int step,
                                cp_batch x, cudaStream_t stream)
{
    cp_window g = pool_window(l);
    size_t count = (size_t)g.c * g.h * g.w;
    winners w = {index, first, step};
    maxpool_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(g, count, y, w, x);
}

__global__ static void maxpool_tangent_kernel(cp_window g, size_t count, cp_batch in, winners w, cp_batch out)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    const uint16_t *index = winners_of(w, blockIdx.y, count);
    unsigned positions = g.out_h * g.out_w;
    CP_EACH(i, count) {
        unsigned c = i / positions, p = i % positions;
        int tap = index[i];
        int iy = (int)(p / g.out_w) * g.stride - g.pad + tap / g.size,
            ix = (int)(p % g.out_w) * g.stride - g.pad + tap % g.size;
        y[i] = tap == NO_WINNER ? 0 : x[(c * g.h + iy) * g.w + ix];
    }
}

void cp_kernel_maxpool_tangent(const layer *l, int n, cp_batch x, const uint16_t *index, int first, int step,
                               cp_batch y, cudaStream_t stream)
{
    cp_window g = pool_window(l);
    size_t count = (size_t)g.c * g.out_h * g.out_w;
    winners w = {index, first, step};
    maxpool_tangent_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(g, count, x, w, y);
}

enum { WARP = 32 };

/* A warp to a channel: its lanes read neighbours, and add in an order that the plane alone gives. */
__global__ static void avgpool_kernel(cp_batch in, cp_batch out, unsigned channels, unsigned plane)
{
    unsigned lane = threadIdx.x % WARP, warps = gridDim.x * (blockDim.x / WARP);
    for (unsigned c = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP; c < channels; c += warps) {
        const float *x = in.base + blockIdx.y * in.stride + (size_t)c * plane;
        float sum = 0;
        for (unsigned i = lane; i < plane; i += WARP) sum += x[i];
        for (int by = WARP / 2; by; by /= 2) sum += __shfl_down_sync(0xffffffffu, sum, by);
        if (!lane) out.base[blockIdx.y * out.stride + c] = sum / plane;
    }
}

void cp_kernel_avgpool(int n, cp_batch x, cp_batch y, size_t channels, size_t plane, cudaStream_t stream)
{
    avgpool_kernel<<<CP_GRID(channels * WARP, n), CP_BLOCK, 0, stream>>>(x, y, (unsigned)channels, (unsigned)plane);
}

__global__ static void avgpool_backward_kernel(cp_batch out, cp_batch in, size_t count, unsigned plane)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = in.base + blockIdx.y * in.stride;
    CP_EACH(i, count) x[i] += y[i / plane] / plane;
}

void cp_kernel_avgpool_backward(int n, cp_batch y, cp_batch x, size_t channels, size_t plane, cudaStream_t stream)
{
    size_t count = channels * plane;
    avgpool_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(y, x, count, (unsigned)plane);
}

/* ---------------------------------------------------------------- layers that only move values */

/* The part that both inputs of a shortcut share: every stride-th position of `from`, every sample-th of the output. */
typedef struct {
    int stride, sample, w, h, c; /* common part */
    int from_w, from_h, out_w, out_h, out_c;
    float alpha, beta;
} shortcut;

static int at_least_one(int x) { return x < 1 ? 1 : x; }
static int smaller(int a, int b) { return a < b ? a : b; }

static shortcut shortcut_shape(const layer *l)
{
    shortcut s = {at_least_one(l->w / l->out_w),
                  at_least_one(l->out_w / l->w),
                  smaller(l->w, l->out_w),
                  smaller(l->h, l->out_h),
                  smaller(l->c, l->out_c),
                  l->w,
                  l->h,
                  l->out_w,
                  l->out_h,
                  l->out_c,
                  l->alpha,
                  l->beta};
    return s;
}

__global__ static void shortcut_kernel(shortcut s, size_t count, cp_batch in, cp_batch from, cp_batch out)
{
    const float *a = in.base + blockIdx.y * in.stride, *b = from.base + blockIdx.y * from.stride;
    float *y = out.base + blockIdx.y * out.stride;
    CP_EACH(i, count) {
        int p = (int)(i % (s.out_h * s.out_w)), c = (int)(i / (s.out_h * s.out_w));
        int oy = p / s.out_w, ox = p % s.out_w, v = oy / s.sample, u = ox / s.sample;
        bool shared = c < s.c && oy % s.sample == 0 && ox % s.sample == 0 && v < s.h && u < s.w;
        y[i] = shared ? s.alpha * a[i] + s.beta * b[((size_t)c * s.from_h + v * s.stride) * s.from_w + u * s.stride]
                      : a[i];
    }
}

void cp_kernel_shortcut(const layer *l, int n, cp_batch in, cp_batch from, cp_batch y, cudaStream_t stream)
{
    shortcut s = shortcut_shape(l);
    size_t count = (size_t)s.out_c * s.out_h * s.out_w;
    shortcut_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(s, count, in, from, y);
}

__global__ static void scaled_add_kernel(size_t count, float scale, cp_batch from, cp_batch to)
{
    const float *x = from.base + blockIdx.y * from.stride;
    float *y = to.base + blockIdx.y * to.stride;
    CP_EACH(i, count) y[i] += scale * x[i];
}

__global__ static void shortcut_backward_kernel(shortcut s, size_t count, cp_batch out, cp_batch from)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = from.base + blockIdx.y * from.stride;
    CP_EACH(i, count) {
        int p = (int)(i % (s.h * s.w)), v = p / s.w, u = p % s.w;
        size_t c = i / (s.h * s.w);
        x[(c * s.from_h + v * s.stride) * s.from_w + u * s.stride] +=
            s.beta * y[(c * s.out_h + v * s.sample) * s.out_w + u * s.sample];
    }
}

void cp_kernel_shortcut_backward(const layer *l, int n, cp_batch y, cp_batch in, cp_batch from, cudaStream_t stream)
{
    shortcut s = shortcut_shape(l);
    size_t outputs = (size_t)s.out_c * s.out_h * s.out_w, common = (size_t)s.c * s.h * s.w;
    if (in.base) scaled_add_kernel<<<CP_GRID(outputs, n), CP_BLOCK, 0, stream>>>(outputs, s.alpha, y, in);
    if (from.base) shortcut_backward_kernel<<<CP_GRID(common, n), CP_BLOCK, 0, stream>>>(s, common, y, from);
}

/* large (c, h*stride, w*stride) = or += scale * small (c, h, w), nearest. */
__global__ static void spread_kernel(int stride, int w, size_t count, cp_batch small_, cp_batch large, float scale,
                                     bool add)
{
    const float *from = small_.base + blockIdx.y * small_.stride;
    float *to = large.base + blockIdx.y * large.stride;
    int wide = w * stride;
    CP_EACH(i, count) {
        unsigned row = i / wide, x = i % wide; /* a channel's rows are a multiple of the stride: it needs no care */
        float value = scale * from[row / stride * w + x / stride];
        to[i] = add ? to[i] + value : value;
    }
}

/* small = or += scale * the sum of its block in large. */
__global__ static void gather_kernel(int stride, int w, size_t count, cp_batch large, cp_batch small_, float scale,
                                     bool add)
{
    const float *from = large.base + blockIdx.y * large.stride;
    float *to = small_.base + blockIdx.y * small_.stride;
    int wide = w * stride;
    CP_EACH(i, count) {
        const float *corner = from + i / w * stride * wide + i % w * stride;
        float sum = 0;
        for (int y = 0; y < stride; ++y)
            for (int x = 0; x < stride; ++x) sum += scale * corner[(size_t)y * wide + x];
        to[i] = add ? to[i] + sum : sum;
    }
}

void cp_kernel_upsample(const layer *l, int n, cp_batch x, cp_batch y, cudaStream_t stream)
{
    size_t count = (size_t)l->out_c * l->out_h * l->out_w;
    if (l->reverse)
        gather_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(l->stride, l->out_w, count, x, y, l->scale, false);
    else
        spread_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(l->stride, l->w, count, x, y, l->scale, false);
}

void cp_kernel_upsample_backward(const layer *l, int n, cp_batch y, cp_batch x, cudaStream_t stream)
{
    size_t count = (size_t)l->c * l->h * l->w;
    if (l->reverse)
        spread_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(l->stride, l->out_w, count, y, x, l->scale, true);
    else
        gather_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(l->stride, l->w, count, y, x, l->scale, true);
}

__global__ static void permute_kernel(size_t count, const int32_t *permutation, cp_batch in, cp_batch out)
{
    const float *x = in.base + blockIdx.y * in.stride;
    float *y = out.base + blockIdx.y * out.stride;
    CP_EACH(i, count) y[i] = permutation[i] < 0 ? 0 : x[permutation[i]];
}

void cp_kernel_permute(int n, size_t count, const int32_t *permutation, cp_batch x, cp_batch y, cudaStream_t stream)
{
    permute_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(count, permutation, x, y);
}

__global__ static void permute_backward_kernel(size_t count, const int32_t *permutation, cp_batch out, cp_batch in)
{
    const float *y = out.base + blockIdx.y * out.stride;
    float *x = in.base + blockIdx.y * in.stride;
    CP_EACH(i, count)
        if (permutation[i] >= 0) x[permutation[i]] += y[i]; /* each place at most once */
}

void cp_kernel_permute_backward(int n, size_t count, const int32_t *permutation, cp_batch y, cp_batch x,
                                cudaStream_t stream)
{
    permute_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(count, permutation, y, x);
}

/* Where value i of a crop's output lies in its input. */
__device__ static size_t cropped(unsigned i, int h, int w, int out_h, int out_w)
{
    size_t x = i % out_w, y = i / out_w % out_h, c = i / out_w / out_h;
    return (c * h + y + (h - out_h) / 2) * w + (w - out_w) / 2 + x;
}

__global__ static void crop_kernel(int h, int w, int out_h, int out_w, size_t count, cp_batch in, cp_batch out,
                                   float scale, float shift)
{
    CP_EACH(i, count)
        out.base[blockIdx.y * out.stride + i] =
            in.base[blockIdx.y * in.stride + cropped(i, h, w, out_h, out_w)] * scale + shift;
}

void cp_kernel_crop(const layer *l, int n, cp_batch x, cp_batch y, float scale, float shift, cudaStream_t stream)
{
    size_t count = (size_t)l->c * l->out_h * l->out_w;
    crop_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(l->h, l->w, l->out_h, l->out_w, count, x, y, scale, shift);
}

__global__ static void crop_backward_kernel(int h, int w, int out_h, int out_w, size_t count, cp_batch out, cp_batch in,
                                            float scale)
{
    CP_EACH(i, count)
        in.base[blockIdx.y * in.stride + cropped(i, h, w, out_h, out_w)] +=
            scale * out.base[blockIdx.y * out.stride + i];
}

void cp_kernel_crop_backward(const layer *l, int n, cp_batch y, cp_batch x, float scale, cudaStream_t stream)
{
    size_t count = (size_t)l->c * l->out_h * l->out_w;
    crop_backward_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(l->h, l->w, l->out_h, l->out_w, count, y, x,
                                                                     scale);
}

__global__ static void copy_kernel(size_t count, cp_batch from, cp_batch to, bool add)
{
    const float *x = from.base + blockIdx.y * from.stride;
    float *y = to.base + blockIdx.y * to.stride;
    CP_EACH(i, count) y[i] = add ? y[i] + x[i] : x[i];
}

void cp_kernel_copy(int n, size_t count, cp_batch from, cp_batch to, bool add, cudaStream_t stream)
{
    copy_kernel<<<CP_GRID(count, n), CP_BLOCK, 0, stream>>>(count, from, to, add);
}

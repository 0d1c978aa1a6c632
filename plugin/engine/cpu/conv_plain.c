/* Convolution as it is defined: plain loops, each sum in double. Slow, for every shape; the other kernels are compared with
 * it (tests/unit/test_conv_kernels.c). */
#include "engine/cpu/conv.h"

static bool fits(const cp_product *p) { return (void)p, true; }

static cp_status offer(cp_product *p)
{
    p->cost = cp_window_macs(&p->window); /* one a nanosecond */
    return CP_OK;
}

/* Input row or column that tap k of output o reads, -1: outside. */
static int read_at(int o, int stride, int k, const cp_window *g, int length)
{
    int i = o * stride + k * g->dilation - g->pad;
    return i < length ? i : -1;
}

static double sum_at(const cp_window *g, const float *weights, const float *x, int oy, int ox)
{
    double sum = 0;
    for (int c = 0; c < g->c; ++c, x += (size_t)g->h * g->w, weights += g->size * g->size)
        for (int ky = 0; ky < g->size; ++ky)
            for (int kx = 0; kx < g->size; ++kx) {
                int iy = read_at(oy, g->stride_y, ky, g, g->h), ix = read_at(ox, g->stride, kx, g, g->w);
                if (iy >= 0 && ix >= 0) sum += (double)weights[ky * g->size + kx] * x[(size_t)iy * g->w + ix];
            }
    return sum;
}

static void forward(const cp_product *p, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                    const cp_scratch *scratch)
{
    const cp_window *g = &p->window;
    size_t in = (size_t)g->c * g->h * g->w, plane = (size_t)g->out_h * g->out_w;
    (void)scratch;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int b = 0; b < n; ++b)
        for (int f = 0; f < g->groups * g->m; ++f) {
            const float *weights = p->weights + (size_t)f * g->c * g->size * g->size;
            float *to = cp_at(y, b) + f * plane;
            for (size_t i = 0; i < plane; ++i)
                to[i] = (float)sum_at(g, weights, cp_at(x, b) + f / g->m * in, (int)(i / g->out_w), (int)(i % g->out_w));
            cp_activate_bias(to, plane, bias ? bias[f] : 0, activation);
        }
}

/* Output row or column that reads input i by tap k, -1: none. */
static int reader_of(int i, int stride, int k, const cp_window *g, int length)
{
    int o = i + g->pad - k * g->dilation;
    return o >= 0 && o % stride == 0 && o / stride < length ? o / stride : -1;
}

static double delta_at(const cp_window *g, const float *weights, const float *y, int iy, int ix)
{
    double sum = 0;
    for (int m = 0; m < g->m; ++m, y += (size_t)g->out_h * g->out_w, weights += (size_t)g->c * g->size * g->size)
        for (int ky = 0; ky < g->size; ++ky)
            for (int kx = 0; kx < g->size; ++kx) {
                int oy = reader_of(iy, g->stride_y, ky, g, g->out_h), ox = reader_of(ix, g->stride, kx, g, g->out_w);
                if (oy >= 0 && ox >= 0) sum += (double)weights[ky * g->size + kx] * y[(size_t)oy * g->out_w + ox];
            }
    return sum;
}

static void backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    const cp_window *g = &p->window;
    size_t taps = (size_t)g->size * g->size, plane = (size_t)g->h * g->w, out = (size_t)g->m * g->out_h * g->out_w;
    (void)scratch;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < g->groups * g->c; ++c) {
            const float *weights = p->weights + ((size_t)(c / g->c) * g->m * g->c + c % g->c) * taps;
            float *to = cp_at(x, b) + c * plane;
            for (size_t i = 0; i < plane; ++i)
                to[i] = (float)((fresh ? 0 : to[i]) + delta_at(g, weights, cp_at(y, b) + c / g->c * out, (int)(i / g->w),
                                                              (int)(i % g->w)));
        }
}

const cp_kernel cp_conv_plain = {.name = "plain", .even = true, .fits = fits, .open = offer, .forward = forward,
                                   .backward = backward};

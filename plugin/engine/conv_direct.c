/* Depthwise convolution: one input channel per group, a few multiply-adds per pixel; im2col would only move memory. */
#include <string.h>

#include "engine/conv.h"

CP_CLONES static void forward_plane(const cp_window *g, const float *restrict x, const float *kernel, float *restrict y)
{
    memset(y, 0, (size_t)g->out_h * g->out_w * sizeof *y);
    for (int ky = 0; ky < g->size; ++ky)
        for (int kx = 0; kx < g->size; ++kx) {
            float weight = kernel[ky * g->size + kx];
            int from, to;
            cp_valid_columns(g->out_w, g->stride, kx - g->pad, g->w, &from, &to);
            for (int oy = 0; oy < g->out_h; ++oy) {
                int iy = oy * g->stride + ky - g->pad;
                if (iy < 0 || iy >= g->h) continue;
                const float *in = x + (size_t)iy * g->w + kx - g->pad;
                float *out = y + (size_t)oy * g->out_w;
                if (g->stride == 1)
                    for (int ox = from; ox < to; ++ox) out[ox] += weight * in[ox];
                else
                    for (int ox = from; ox < to; ++ox) out[ox] += weight * in[ox * g->stride];
            }
        }
}

CP_CLONES static void backward_plane(const cp_window *g, const float *restrict y, const float *kernel, float *restrict x)
{
    for (int ky = 0; ky < g->size; ++ky)
        for (int kx = 0; kx < g->size; ++kx) {
            float weight = kernel[ky * g->size + kx];
            int from, to;
            cp_valid_columns(g->out_w, g->stride, kx - g->pad, g->w, &from, &to);
            for (int oy = 0; oy < g->out_h; ++oy) {
                int iy = oy * g->stride + ky - g->pad;
                if (iy < 0 || iy >= g->h) continue;
                float *in = x + (size_t)iy * g->w + kx - g->pad;
                const float *out = y + (size_t)oy * g->out_w;
                if (g->stride == 1)
                    for (int ox = from; ox < to; ++ox) in[ox] += weight * out[ox];
                else
                    for (int ox = from; ox < to; ++ox) in[ox * g->stride] += weight * out[ox];
            }
        }
}

void cp_depthwise_forward(const cp_window *g, const float *weights, int n, cp_batch x, cp_batch y, const float *bias,
                          ACTIVATION activation)
{
    size_t window = (size_t)g->size * g->size, in = (size_t)g->h * g->w, out = (size_t)g->out_h * g->out_w;
    int filters = g->groups * g->m;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * g->groups * g->m * window * out))
    for (int b = 0; b < n; ++b)
        for (int f = 0; f < filters; ++f) {
            float *plane = cp_at(y, b) + f * out;
            forward_plane(g, cp_at(x, b) + f / g->m * in, weights + f * window, plane);
            if (bias || activation != LINEAR) cp_activate_bias(plane, out, bias ? bias[f] : 0, activation);
        }
}

void cp_depthwise_backward(const cp_window *g, const float *weights, int n, cp_batch y, cp_batch x)
{
    size_t window = (size_t)g->size * g->size, in = (size_t)g->h * g->w, out = (size_t)g->out_h * g->out_w;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * g->groups * g->m * window * out))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < g->groups; ++c)
            for (int m = 0; m < g->m; ++m) {
                int f = c * g->m + m;
                backward_plane(g, cp_at(y, b) + f * out, weights + f * window, cp_at(x, b) + c * in);
            }
}

/* [connected] and [local]: layers whose weights are not shared over positions. */
#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "engine/ops.h"

enum { BLOCK = 256 }; /* outputs (forward) or inputs (backward) of one part */

static int min(int a, int b) { return a < b ? a : b; }

/* out (n,outputs) = in (n,inputs) W^T, W (outputs,inputs). The weights are read once for the whole batch. */
static void forward_connected(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                              const cp_scratch *scratch)
{
    (void)index, (void)scratch;
    const layer *l = op->l;
    int inputs = l->inputs, outputs = l->outputs;
#pragma omp parallel for schedule(dynamic) num_threads(cp_threads())
    for (int o = 0; o < outputs; o += BLOCK) {
        int count = min(BLOCK, outputs - o);
        const float *weights = l->weights + (size_t)o * inputs;
        if (n == 1 || in[0].stride == 0)
            for (int b = 0; b < n; ++b)
                cblas_sgemv(CblasRowMajor, CblasNoTrans, count, inputs, 1, weights, inputs, cp_at(in[0], b), 1, 0,
                            cp_at(out, b) + o, 1);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, count, inputs, 1, in[0].base, in[0].stride, weights,
                        inputs, 0, out.base + o, out.stride);
        if (linear) continue;
        for (int b = 0; b < n; ++b) {
            float *y = cp_at(out, b) + o;
            for (int i = 0; i < count; ++i) y[i] += l->biases[o + i];
            cp_activate(y, count, op->activation);
        }
    }
}

static void backward_connected(const cp_op *op, int n, cp_batch delta, const cp_batch *in_delta, const uint16_t *index,
                               const int *image, const cp_scratch *scratch)
{
    (void)index, (void)image, (void)scratch;
    const layer *l = op->l;
    int inputs = l->inputs, outputs = l->outputs;
    if (!in_delta[0].base) return;
#pragma omp parallel for schedule(dynamic) num_threads(cp_threads())
    for (int i = 0; i < inputs; i += BLOCK) {
        int count = min(BLOCK, inputs - i);
        if (n == 1)
            cblas_sgemv(CblasRowMajor, CblasTrans, outputs, count, 1, l->weights + i, inputs, delta.base, 1, 1,
                        in_delta[0].base + i, 1);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, count, outputs, 1, delta.base, delta.stride,
                        l->weights + i, inputs, 1, in_delta[0].base + i, in_delta[0].stride);
    }
}

const cp_op_type cp_op_connected = {CONNECTED, NULL, forward_connected, backward_connected, NULL};

/* [local]: weights (positions, filters, c*size*size); biases and outputs (filters, positions). */
static cp_status prepare_local(cp_op *op)
{
    op->per_thread = (size_t)op->l->c * op->l->size * op->l->size + op->l->n;
    return CP_OK;
}

static void patch_of(const layer *l, const float *x, int oy, int ox, float *patch)
{
    for (int c = 0; c < l->c; ++c)
        for (int ky = 0; ky < l->size; ++ky)
            for (int kx = 0; kx < l->size; ++kx) {
                int iy = oy * l->stride + ky - l->pad, ix = ox * l->stride + kx - l->pad;
                bool inside = iy >= 0 && iy < l->h && ix >= 0 && ix < l->w;
                *patch++ = inside ? x[((size_t)c * l->h + iy) * l->w + ix] : 0;
            }
}

static void forward_local(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                          const cp_scratch *scratch)
{
    (void)index;
    const layer *l = op->l;
    int positions = l->out_h * l->out_w, k = l->c * l->size * l->size;
#pragma omp parallel for collapse(2) num_threads(cp_threads())
    for (int b = 0; b < n; ++b)
        for (int p = 0; p < positions; ++p) {
            float *patch = scratch->thread + omp_get_thread_num() * scratch->per_thread, *z = patch + k;
            patch_of(l, cp_at(in[0], b), p / l->out_w, p % l->out_w, patch);
            cblas_sgemv(CblasRowMajor, CblasNoTrans, l->n, k, 1, l->weights + (size_t)p * l->n * k, k, patch, 1, 0, z, 1);
            if (!linear)
                for (int f = 0; f < l->n; ++f) z[f] += l->biases[f * positions + p];
            if (!linear) cp_activate(z, l->n, op->activation);
            for (int f = 0; f < l->n; ++f) cp_at(out, b)[f * positions + p] = z[f];
        }
}

static void backward_local(const cp_op *op, int n, cp_batch delta, const cp_batch *in_delta, const uint16_t *index,
                           const int *image, const cp_scratch *scratch)
{
    (void)index, (void)image;
    const layer *l = op->l;
    int positions = l->out_h * l->out_w, k = l->c * l->size * l->size;
    if (!in_delta[0].base) return;
#pragma omp parallel for num_threads(cp_threads())
    for (int b = 0; b < n; ++b) {
        float *patch = scratch->thread + omp_get_thread_num() * scratch->per_thread, *z = patch + k;
        float *x = cp_at(in_delta[0], b);
        for (int p = 0; p < positions; ++p) {
            for (int f = 0; f < l->n; ++f) z[f] = cp_at(delta, b)[f * positions + p];
            cblas_sgemv(CblasRowMajor, CblasTrans, l->n, k, 1, l->weights + (size_t)p * l->n * k, k, z, 1, 0, patch, 1);
            const float *value = patch;
            for (int c = 0; c < l->c; ++c)
                for (int ky = 0; ky < l->size; ++ky)
                    for (int kx = 0; kx < l->size; ++kx, ++value) {
                        int iy = p / l->out_w * l->stride + ky - l->pad, ix = p % l->out_w * l->stride + kx - l->pad;
                        if (iy >= 0 && iy < l->h && ix >= 0 && ix < l->w) x[((size_t)c * l->h + iy) * l->w + ix] += *value;
                    }
        }
    }
}

const cp_op_type cp_op_local = {LOCAL, prepare_local, forward_local, backward_local, NULL};

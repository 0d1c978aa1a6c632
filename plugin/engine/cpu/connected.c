/* [connected] and [local]: layers whose weights are not shared over positions. */
#include <cblas.h>
#include <omp.h>
#include <string.h>

#include "engine/cpu/ops.h"

static int min(int a, int b) { return a < b ? a : b; }

/* Rows of W that stay in cache while every image of the batch uses them. One image at a time: its result must not depend on
 * the batch it is in. */
static int block_of(int row_floats)
{
    int rows = (1 << 17) / row_floats;
    return rows < 8 ? 8 : min(rows, 256);
}

/* out (n,outputs) = in (n,inputs) W^T, W (outputs,inputs). */
static void forward_connected(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                              const cp_scratch *scratch)
{
    (void)index, (void)scratch;
    const layer *l = op->l;
    int inputs = l->inputs, outputs = l->outputs, block = block_of(inputs);
#pragma omp parallel for schedule(dynamic) num_threads(cp_threads_for((double)n * inputs * outputs))
    for (int o = 0; o < outputs; o += block)
        for (int b = 0; b < n; ++b) {
            int count = min(block, outputs - o);
            float *y = cp_at(out, b) + o;
            cblas_sgemv(CblasRowMajor, CblasNoTrans, count, inputs, 1, l->weights + (size_t)o * inputs, inputs,
                        cp_at(in[0], b), 1, 0, y, 1);
            if (linear) continue;
            for (int i = 0; i < count; ++i) y[i] += l->biases[o + i];
            cp_activate(y, count, op->activation);
        }
}

enum { COLUMNS = 4096, ROWS = 64, TOGETHER = 4 }; /* a tile of W of 1 MB, used by every entry before the next is read */

CP_CLONES static void add_rows(float *restrict x, const float *const *row, const float *d, int n)
{
    const float *a = row[0], *b = row[1], *c = row[2], *e = row[3];
    for (int i = 0; i < n; ++i) x[i] += d[0] * a[i] + d[1] * b[i] + d[2] * c[i] + d[3] * e[i];
}

/* in_delta += W^T delta over one tile; rows whose delta is zero are not read. */
static void backward_tile(const layer *l, int o, int rows, int i, int columns, const float *delta, float *x)
{
    const float *row[TOGETHER];
    float d[TOGETHER];
    int held = 0;
    for (int r = o; r < o + rows; ++r) {
        if (delta[r] == 0) continue;
        row[held] = l->weights + (size_t)r * l->inputs + i;
        d[held++] = delta[r];
        if (held < TOGETHER) continue;
        add_rows(x + i, row, d, columns);
        held = 0;
    }
    for (int r = 0; r < held; ++r) cblas_saxpy(columns, d[r], row[r], 1, x + i, 1);
}

static void backward_connected(const cp_op *op, const cp_backward *call)
{
    const layer *l = op->l;
    int inputs = l->inputs, outputs = l->outputs;
    if (!call->in_delta[0].base) return;
#pragma omp parallel for schedule(dynamic) num_threads(cp_threads_for((double)call->n * inputs * outputs))
    for (int i = 0; i < inputs; i += COLUMNS) {
        int columns = min(COLUMNS, inputs - i);
        if (call->fresh)
            for (int b = 0; b < call->n; ++b) memset(cp_at(call->in_delta[0], b) + i, 0, columns * sizeof(float));
        for (int o = 0; o < outputs; o += ROWS)
            for (int b = 0; b < call->n; ++b)
                backward_tile(l, o, min(ROWS, outputs - o), i, columns, cp_at(call->delta, b), cp_at(call->in_delta[0], b));
    }
}

const cp_op_type cp_op_connected = {.type = CONNECTED, .forward = forward_connected, .backward = backward_connected,
                                    .takes_fresh = true};

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
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * k * op->info->outputs))
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

static void backward_local(const cp_op *op, const cp_backward *call)
{
    const layer *l = op->l;
    int positions = l->out_h * l->out_w, k = l->c * l->size * l->size;
    if (!call->in_delta[0].base) return;
#pragma omp parallel for num_threads(cp_threads_for((double)call->n * k * op->info->outputs))
    for (int b = 0; b < call->n; ++b) {
        float *patch = call->scratch->thread + omp_get_thread_num() * call->scratch->per_thread, *z = patch + k;
        float *x = cp_at(call->in_delta[0], b);
        for (int p = 0; p < positions; ++p) {
            for (int f = 0; f < l->n; ++f) z[f] = cp_at(call->delta, b)[f * positions + p];
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

const cp_op_type cp_op_local = {.type = LOCAL, .prepare = prepare_local, .forward = forward_local,
                                .backward = backward_local};

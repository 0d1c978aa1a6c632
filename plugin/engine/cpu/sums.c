/* Layers that are linear channel by channel: [shortcut] of several layers or with weights of its own, [batchnorm]; and
 * [implicit], a constant. */
#include <math.h>
#include <string.h>

#include "engine/cpu/ops.h"
#include "io/error.h"

/* ---- [shortcut]: the sum of factor[s] * source s, of which each adds its first channels ---- */

/* From the weights of one channel, `step` apart, to factors (AlexeyAB's blas.c; with relu as its fused network has them). */
static void normalise(cp_sum_weights kind, const float *w, size_t n, size_t step, float *factor, size_t factor_step)
{
    double sum = 0, most = w[0];
    /* Not fmax: GCC 12 for arm64 fails to compile that. */
    for (size_t s = 0; s < n; ++s) most = w[s * step] > most ? w[s * step] : most;
    for (size_t s = 0; s < n; ++s) {
        double x = w[s * step], m = kind == CP_SUM_SOFTMAX ? exp(x - most) : kind == CP_SUM_RELU ? fmax(x, .001) : x;
        factor[s * factor_step] = (float)m;
        sum += m;
    }
    for (size_t s = 0; s < n && kind != CP_SUM_WEIGHTED; ++s)
        factor[s * factor_step] = (float)(factor[s * factor_step] / (.0001 + sum));
}

static cp_status prepare_sum(cp_op *op)
{
    size_t c = op->info->c, n = (size_t)op->n_sources;
    op->factor = cp_alloc(n * c, sizeof *op->factor, "shortcut");
    if (!op->factor) return CP_ERESOURCE;
    for (size_t i = 0; i < n * c; ++i) op->factor[i] = 1;
    if (!op->cfg->sum_weights) return CP_OK;
    size_t step = op->cfg->per_channel ? c : 1;
    for (size_t k = 0; k < c; ++k)
        normalise(op->cfg->sum_weights, op->l->weights + (op->cfg->per_channel ? k : 0), n, step, op->factor + k, c);
    return CP_OK;
}

/* Channels of source s that are added. */
static size_t common_channels(const cp_op *op, int s)
{
    size_t channels = op->source_outputs[s] / (op->info->h * op->info->w);
    return channels < op->info->c ? channels : op->info->c;
}

static void forward_sum(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                        const cp_scratch *scratch)
{
    (void)index, (void)scratch;
    size_t c = op->info->c, plane = op->info->h * op->info->w;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * op->info->outputs))
    for (int b = 0; b < n; ++b)
        for (size_t k = 0; k < c; ++k) {
            float *to = cp_at(out, b) + k * plane;
            memset(to, 0, plane * sizeof *to);
            for (int s = 0; s < op->n_sources; ++s) {
                const float *from = cp_at(in[s], b) + k * plane;
                for (size_t i = 0; k < common_channels(op, s) && i < plane; ++i) to[i] += op->factor[s * c + k] * from[i];
            }
            if (!linear) cp_activate(to, plane, op->activation);
        }
}

/* One source after the other: it may be named twice. */
static void backward_sum(const cp_op *op, const cp_backward *call)
{
    size_t c = op->info->c, plane = op->info->h * op->info->w;
    for (int s = 0; s < op->n_sources; ++s) {
        if (!call->in_delta[s].base) continue;
        size_t channels = common_channels(op, s);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)call->n * op->info->outputs))
        for (int e = 0; e < call->n; ++e)
            for (size_t k = 0; k < channels; ++k) {
                const float *from = cp_at(call->delta, e) + k * plane;
                float *to = cp_at(call->in_delta[s], e) + k * plane, factor = op->factor[s * c + k];
                for (size_t i = 0; i < plane; ++i) to[i] += factor * from[i];
            }
    }
}

const cp_op_type cp_op_sum = {.type = (LAYER_TYPE)CP_HOST_SUM, .prepare = prepare_sum, .forward = forward_sum,
                              .backward = backward_sum};

/* ---- [batchnorm]: scale and shift of each channel (model/fold.c made them) ---- */

static void forward_batchnorm(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                              const cp_scratch *scratch)
{
    (void)index, (void)scratch;
    size_t plane = op->info->h * op->info->w;
    for (int b = 0; b < n; ++b)
        for (size_t k = 0; k < op->info->c; ++k) {
            float scale = op->l->scales[k], shift = linear ? 0 : op->l->biases[k];
            const float *from = cp_at(in[0], b) + k * plane;
            float *to = cp_at(out, b) + k * plane;
            for (size_t i = 0; i < plane; ++i) to[i] = from[i] * scale + shift;
        }
}

static void backward_batchnorm(const cp_op *op, const cp_backward *call)
{
    size_t plane = op->info->h * op->info->w;
    for (int e = 0; e < call->n && call->in_delta[0].base; ++e)
        for (size_t k = 0; k < op->info->c; ++k) {
            const float *from = cp_at(call->delta, e) + k * plane;
            float *to = cp_at(call->in_delta[0], e) + k * plane;
            for (size_t i = 0; i < plane; ++i) to[i] += from[i] * op->l->scales[k];
        }
}

const cp_op_type cp_op_batchnorm = {.type = BATCHNORM, .forward = forward_batchnorm, .backward = backward_batchnorm};

/* ---- [implicit] ---- */

static void forward_implicit(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                             const cp_scratch *scratch)
{
    (void)in, (void)index, (void)scratch;
    for (int b = 0; b < n; ++b) {
        if (linear) memset(cp_at(out, b), 0, op->info->outputs * sizeof(float));
        else memcpy(cp_at(out, b), op->l->weights, op->info->outputs * sizeof(float));
    }
}

/* It does not depend on what it counts as reading. */
static void backward_implicit(const cp_op *op, const cp_backward *call) { (void)op, (void)call; }

const cp_op_type cp_op_implicit = {.type = (LAYER_TYPE)CP_HOST_IMPLICIT, .forward = forward_implicit,
                                   .backward = backward_implicit};

/* [convolutional] and [deconvolutional]: which product serves which direction. */
#include <string.h>

#include "engine/cpu/conv.h"
#include "engine/points.h"
#include "io/error.h"

static cp_status prepare_convolutional(cp_op *op)
{
    const layer *l = op->l;
    cp_conv *conv = op->conv = cp_alloc(1, sizeof *conv, "convolution");
    if (!conv) return CP_ERESOURCE;
    int groups = l->groups ? l->groups : 1;
    conv->window = (cp_window){.c = l->c / groups, .h = l->h, .w = l->w, .m = l->n / groups, .size = l->size,
                               .stride = l->stride, .pad = l->pad, .out_h = l->out_h, .out_w = l->out_w, .groups = groups};
    conv->depthwise = groups > 1 && conv->window.c == 1;
    if (conv->depthwise) op->per_thread = cp_depthwise_scratch(&conv->window);
    if (!cp_grouped_fits(&conv->window)) return CP_OK; /* cp_conv_plan does the rest */
    cp_status status = cp_grouped_prepare(&conv->window, l->weights, &conv->grouped);
    if (!status) op->per_thread = cp_grouped_scratch(conv->grouped);
    return status;
}

static void forward_convolutional(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                  const cp_scratch *scratch)
{
    (void)index;
    const float *bias = linear ? NULL : op->l->biases;
    ACTIVATION activation = linear ? LINEAR : op->activation;
    if (op->conv->depthwise)
        cp_depthwise_forward(&op->conv->window, op->l->weights, n, in[0], out, bias, activation, scratch);
    else if (op->conv->grouped)
        cp_grouped_forward(&op->conv->window, op->conv->grouped, n, in[0], out, bias, activation, scratch);
    else if (op->conv->forward && !linear)
        cp_onednn_gather(op->conv->forward, n, in[0], out, false, bias, activation, scratch);
    else
        cp_gather(&op->conv->window, op->l->weights, n, in[0], out, false, bias, activation, scratch);
    if (op->conv->evens_out && !linear) cp_equal_windows(&op->conv->window, n, in[0], out, (uint32_t *)scratch->shared);
}

static void backward_dense(const cp_op *op, int n, cp_batch delta, cp_batch in_delta, const cp_backward *call)
{
    const cp_conv *conv = op->conv;
    if (conv->grouped) {
        cp_grouped_backward(&conv->window, conv->grouped, n, delta, in_delta, call->fresh, call->scratch);
        return;
    }
    if (conv->depthwise) {
        cp_depthwise_backward(&conv->window, op->l->weights, n, delta, in_delta, call->fresh, call->scratch);
        return;
    }
    if (conv->stem) {
        cp_stem_backward(&conv->window, conv->stem, n, delta, in_delta, call->fresh, call->scratch);
        return;
    }
    if (call->fresh && !conv->back_gathers) cp_batch_clear(in_delta, n, op->source_outputs[0]);
    if (conv->backward)
        cp_onednn_gather(conv->backward, n, delta, in_delta, !call->fresh, NULL, LINEAR, call->scratch);
    else if (conv->back_gathers)
        cp_gather(&conv->back_window, conv->back_weights, n, delta, in_delta, !call->fresh, NULL, LINEAR, call->scratch);
    else
        cp_scatter(&conv->window, op->l->weights, n, delta, in_delta, call->scratch);
}

/* The few deltas as points: their places, then their values, then work memory. */
static void backward_sparse(const cp_op *op, const float *delta, size_t nonzero, float *in_delta, const cp_backward *call)
{
    uint32_t *words = (uint32_t *)call->scratch->shared;
    float *value = (float *)(words + nonzero);
    cp_points points = {.n = nonzero, .index = words};
    cp_points_pick(delta, op->info->outputs, nonzero, words, value);
    if (call->fresh) cp_batch_clear((cp_batch){in_delta, 0}, 1, op->source_outputs[0]);
    cp_conv_from_points(op, &points, value, NULL, in_delta, words + 2 * nonzero);
}

/* Entries differ in how sparse they are: the dense ones between two sparse ones go together. */
static void backward_convolutional(const cp_op *op, const cp_backward *call)
{
    if (!call->in_delta[0].base) return;
    double limit = op->conv->sparse_below;
    for (int b = 0; b < call->n;) {
        int end = b;
        while (end < call->n && call->nonzero[end] >= limit) ++end;
        cp_batch delta = {cp_at(call->delta, b), call->delta.stride};
        cp_batch in_delta = {cp_at(call->in_delta[0], b), call->in_delta[0].stride};
        if (end > b) backward_dense(op, end - b, delta, in_delta, call);
        b = end;
        if (b < call->n) {
            backward_sparse(op, cp_at(call->delta, b), call->nonzero[b], cp_at(call->in_delta[0], b), call);
            ++b;
        }
    }
}

/* A deconvolution is a convolution's data gradient: x and y change places. */
static cp_status prepare_deconvolutional(cp_op *op)
{
    const layer *l = op->l;
    cp_conv *conv = op->conv = cp_alloc(1, sizeof *conv, "deconvolution");
    if (!conv) return CP_ERESOURCE;
    conv->window = (cp_window){.c = l->n, .h = l->out_h, .w = l->out_w, .m = l->c, .size = l->size, .stride = l->stride,
                               .pad = l->pad, .out_h = l->h, .out_w = l->w, .groups = 1};
    size_t per_thread, shared;
    cp_gather_scratch(&conv->window, &per_thread, &shared);
    op->shared = shared;
    op->per_thread = cp_scatter_scratch(&conv->window);
    if (per_thread > op->per_thread) op->per_thread = per_thread;
    return CP_OK;
}

static void forward_deconvolutional(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                    const cp_scratch *scratch)
{
    (void)index;
    size_t plane = (size_t)op->l->out_h * op->l->out_w;
    for (int b = 0; b < n; ++b) memset(cp_at(out, b), 0, op->info->outputs * sizeof(float));
    cp_scatter(&op->conv->window, op->l->weights, n, in[0], out, scratch);
    if (linear) return;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * op->info->outputs))
    for (int b = 0; b < n; ++b)
        for (int f = 0; f < op->l->n; ++f)
            cp_activate_bias(cp_at(out, b) + f * plane, plane, op->l->biases[f], op->activation);
}

static void backward_deconvolutional(const cp_op *op, const cp_backward *call)
{
    if (call->in_delta[0].base)
        cp_gather(&op->conv->window, op->l->weights, call->n, call->delta, call->in_delta[0], !call->fresh, NULL, LINEAR,
                  call->scratch);
}

const cp_op_type cp_op_convolutional = {.type = CONVOLUTIONAL, .prepare = prepare_convolutional,
                                        .forward = forward_convolutional, .backward = backward_convolutional,
                                        .takes_fresh = true};
const cp_op_type cp_op_deconvolutional = {.type = DECONVOLUTIONAL, .prepare = prepare_deconvolutional,
                                          .forward = forward_deconvolutional, .backward = backward_deconvolutional,
                                          .takes_fresh = true};

/* [convolutional] and [deconvolutional]. */
#include <string.h>

#include "engine/cpu/conv.h"
#include "engine/cpu/ops.h"
#include "engine/windows.h"
#include "io/error.h"

static cp_status prepare_convolutional(cp_op *op)
{
    cp_wide_window g = cp_wide_window_of(op->cfg);
    cp_conv *conv = op->conv = cp_alloc(1, sizeof *conv, "convolution");
    if (!conv) return CP_ERESOURCE;
    conv->window = (cp_window){.c = g.c, .h = g.h, .w = g.w, .m = g.m, .size = g.size, .stride = g.stride_x,
                               .stride_y = g.stride_y, .dilation = g.dilation, .pad = g.pad, .out_h = g.out_h,
                               .out_w = g.out_w, .groups = g.groups};
    conv->depthwise = g.groups > 1 && g.c == 1;
    return CP_OK; /* cp_conv_plan does the rest */
}

static void forward_convolutional(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                  const cp_scratch *scratch)
{
    const cp_conv *conv = op->conv;
    (void)index;
    conv->forward.kernel->forward(&conv->forward, n, in[0], out, linear ? NULL : op->l->biases,
                                  linear ? LINEAR : op->activation, scratch);
    if (conv->evens_out && !linear) cp_equal_windows(&conv->window, n, in[0], out, (uint32_t *)scratch->shared);
}

/* Entries differ in how sparse they are: the dense ones between two sparse ones go together. */
static void backward_convolutional(const cp_op *op, const cp_backward *call)
{
    const cp_conv *conv = op->conv;
    if (!call->in_delta[0].base) return;
    for (int b = 0; b < call->n;) {
        int end = b;
        while (end < call->n && call->nonzero[end] >= conv->sparse_below) ++end;
        cp_batch delta = {cp_at(call->delta, b), call->delta.stride};
        cp_batch in_delta = {cp_at(call->in_delta[0], b), call->in_delta[0].stride};
        if (end > b)
            conv->backward.kernel->backward(&conv->backward, end - b, delta, in_delta, call->fresh, call->scratch);
        else
            cp_conv_from_few(&conv->window, op->l->weights, delta.base, call->nonzero[b], call->fresh, in_delta.base,
                             call->scratch);
        b = end > b ? end : b + 1;
    }
}

/* A deconvolution is a convolution's data gradient: x and y change places. */
static cp_status prepare_deconvolutional(cp_op *op)
{
    const layer *l = op->l;
    cp_conv *conv = op->conv = cp_alloc(1, sizeof *conv, "deconvolution");
    if (!conv) return CP_ERESOURCE;
    conv->window = (cp_window){.c = l->n, .h = l->out_h, .w = l->out_w, .m = l->c, .size = l->size, .stride = l->stride,
                               .stride_y = l->stride, .dilation = 1, .pad = l->pad, .out_h = l->h, .out_w = l->w,
                               .groups = 1};
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
const cp_op_type cp_op_wide_convolution = {.type = (LAYER_TYPE)CP_HOST_WIDE_CONVOLUTION, .prepare = prepare_convolutional,
                                           .forward = forward_convolutional, .backward = backward_convolutional};
const cp_op_type cp_op_deconvolutional = {.type = DECONVOLUTIONAL, .prepare = prepare_deconvolutional,
                                          .forward = forward_deconvolutional, .backward = backward_deconvolutional,
                                          .takes_fresh = true};

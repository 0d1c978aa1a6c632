/* [scale_channels] and [sam] of AlexeyAB's Darknet: products of two layers, after which an activation may stand. Both
 * factors depend on the input, so the derivative is taken at the values of the forward run:
 * d(a b) = b da + a db. */
#include <string.h>

#include "engine/cpu/ops.h"

/* a: the layer before; b: the one that `from` names, which has the shape of the output (channels, plane). */
typedef struct {
    size_t channels, plane;
    enum { WHOLE, OF_CHANNEL, OF_POSITION } kind; /* what one value of `a` goes with */
} product;

static product product_of(const cp_op *op)
{
    product p = {.channels = op->info->c, .plane = op->info->h * op->info->w, .kind = WHOLE};
    if (op->cfg->type == CP_LAYER_SCALE_CHANNELS) p.kind = op->cfg->scale_planes ? OF_POSITION : OF_CHANNEL;
    return p;
}

static size_t index_of_a(const product *p, size_t channel, size_t i)
{
    return p->kind == OF_CHANNEL ? channel : p->kind == OF_POSITION ? i : channel * p->plane + i;
}

/* One channel of out = a b, or with `add` out += a b. */
static void multiply(const product *p, size_t channel, const float *a, const float *b, bool add, float *out)
{
    b += channel * p->plane, out += channel * p->plane;
    for (size_t i = 0; i < p->plane; ++i) {
        float y = a[index_of_a(p, channel, i)] * b[i];
        out[i] = add ? out[i] + y : y;
    }
}

static void forward_product(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            const cp_scratch *scratch)
{
    (void)index, (void)scratch;
    product p = product_of(op);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * op->info->outputs))
    for (int b = 0; b < n; ++b)
        for (size_t c = 0; c < p.channels; ++c) {
            multiply(&p, c, cp_at(in[0], b), cp_at(in[1], b), false, cp_at(out, b));
            if (!linear) cp_activate(cp_at(out, b) + c * p.plane, p.plane, op->activation);
        }
}

/* To `a`: of a channel the sum over its plane, of a position the sum over the channels in their order. */
static void backward_to_a(const product *p, const float *delta, const float *b, float *to)
{
    for (size_t c = 0; c < p->channels; ++c, delta += p->plane, b += p->plane) {
        double sum = 0;
        for (size_t i = 0; i < p->plane; ++i) {
            if (p->kind == OF_CHANNEL) sum += (double)delta[i] * b[i];
            else to[index_of_a(p, c, i)] += delta[i] * b[i];
        }
        if (p->kind == OF_CHANNEL) to[c] += (float)sum;
    }
}

static void backward_product(const cp_op *op, const cp_backward *call)
{
    product p = product_of(op);
#pragma omp parallel for num_threads(cp_threads_for((double)call->n * op->info->outputs))
    for (int e = 0; e < call->n; ++e) {
        const float *a = cp_at(call->at[0], call->image[e]), *b = cp_at(call->at[1], call->image[e]);
        const float *delta = cp_at(call->delta, e);
        if (call->in_delta[0].base) backward_to_a(&p, delta, b, cp_at(call->in_delta[0], e));
        for (size_t c = 0; c < p.channels && call->in_delta[1].base; ++c)
            multiply(&p, c, a, delta, true, cp_at(call->in_delta[1], e));
    }
}

static void tangent_product(const cp_op *op, int n, const cp_batch *in, cp_batch out, const cp_batch *at, const int *image,
                            const cp_scratch *scratch)
{
    (void)scratch;
    product p = product_of(op);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * op->info->outputs))
    for (int e = 0; e < n; ++e)
        for (size_t c = 0; c < p.channels; ++c) {
            multiply(&p, c, cp_at(in[0], e), cp_at(at[1], image[e]), false, cp_at(out, e));
            multiply(&p, c, cp_at(at[0], image[e]), cp_at(in[1], e), true, cp_at(out, e));
        }
}

const cp_op_type cp_op_scale_channels = {.type = (LAYER_TYPE)CP_HOST_SCALE_CHANNELS, .forward = forward_product,
                                         .backward = backward_product, .tangent_of_product = tangent_product};
const cp_op_type cp_op_sam = {.type = (LAYER_TYPE)CP_HOST_SAM, .forward = forward_product, .backward = backward_product,
                              .tangent_of_product = tangent_product};

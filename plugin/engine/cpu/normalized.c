/* normalize_channels and its like, AlexeyAB's activations of a convolution that tie the channels of a pixel
 * (activations.c): with p = max(z, 0), e^z or e^(z - max z),
 *
 *     y_k = p_k / S,  S = 1e-4 + sum of p over the channels,
 *     dy_k = (dp_k - y_k sum dp_c) / S,  dp = dz where z > 0, or p dz; the maximum counts as a constant.
 *
 * The activation is no function of one z, so the row of this file stands around the convolution's, and its output is the
 * neurons' y; what tangents show as dz of such a layer is dy. As
 * the derivative needs z, and the source's values give z, it asks for those, as products do (engine/engine.h). */
#include <math.h>
#include <string.h>

#include "engine/cpu/ops.h"

static const double least = 1e-4;

typedef struct {
    ACTIVATION kind;
    size_t channels, plane;
} pixels;

static pixels pixels_of(const cp_op *op) { return (pixels){op->activation, op->info->c, op->info->h * op->info->w}; }

size_t cp_normalized_floats(const cp_op *op)
{
    size_t n = (op->info->outputs + CP_ALIGNED_FLOATS - 1) / CP_ALIGNED_FLOATS * CP_ALIGNED_FLOATS;
    return 2 * n;
}

static double largest(const pixels *p, const float *z)
{
    double most = z[0];
    /* Not fmax: GCC 12 for arm64 fails to compile that. */
    for (size_t c = 1; c < p->channels; ++c) most = z[c * p->plane] > most ? z[c * p->plane] : most;
    return most;
}

static double part(const pixels *p, double z, double most)
{
    if (p->kind == (ACTIVATION)CP_NORMALIZE_CHANNELS) return z > 0 ? z : z * 0; /* z * 0 keeps a NaN */
    return exp(z - most);
}

/* Of one pixel: the sum S, and what is taken from z first. */
static double sum_of(const pixels *p, const float *z, double *most)
{
    double sum = least;
    *most = p->kind == (ACTIVATION)CP_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL ? largest(p, z) : 0;
    for (size_t c = 0; c < p->channels; ++c) sum += part(p, z[c * p->plane], *most);
    return sum;
}

static void normalize(const pixels *p, float *y)
{
#pragma omp parallel for num_threads(cp_threads_for((double)p->channels * p->plane))
    for (size_t i = 0; i < p->plane; ++i) {
        double most, sum = sum_of(p, y + i, &most);
        for (size_t c = 0; c < p->channels; ++c)
            y[c * p->plane + i] = (float)(part(p, y[c * p->plane + i], most) / sum);
    }
}

/* dp/dz of one value. */
static double slope(const pixels *p, double z, double most)
{
    return p->kind == (ACTIVATION)CP_NORMALIZE_CHANNELS ? z > 0 : exp(z - most);
}

/* to = J from, or its transpose; J is that at z. to may be from. */
static void derive(const pixels *p, const float *z, const float *from, float *to, bool transposed)
{
#pragma omp parallel for num_threads(cp_threads_for((double)p->channels * p->plane))
    for (size_t i = 0; i < p->plane; ++i) {
        double most, sum = sum_of(p, z + i, &most), shared = 0;
        for (size_t c = 0; c < p->channels; ++c) {
            size_t k = c * p->plane + i;
            shared += from[k] * (transposed ? part(p, z[k], most) / sum : slope(p, z[k], most));
        }
        for (size_t c = 0; c < p->channels; ++c) {
            size_t k = c * p->plane + i;
            double dp = slope(p, z[k], most), y = part(p, z[k], most) / sum;
            to[k] = (float)(transposed ? (from[k] - shared) * dp / sum : (from[k] * dp - y * shared) / sum);
        }
    }
}

/* ---- around the convolution ---- */

static cp_op inner_of(const cp_op *op)
{
    cp_op inner = *op;
    inner.type = op->inner;
    inner.activation = LINEAR;
    return inner;
}

static void forward_normalized(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                               const cp_scratch *scratch)
{
    cp_op inner = inner_of(op);
    pixels p = pixels_of(op);
    op->inner->forward(&inner, n, in, out, index, linear, scratch);
    for (int b = 0; b < n && !linear && op->activation != LINEAR; ++b) normalize(&p, cp_at(out, b));
}

/* Two pieces of the shared memory, and what is left. */
static cp_scratch take(const cp_op *op, const cp_scratch *scratch, float **z, float **other)
{
    cp_scratch rest = *scratch;
    size_t half = cp_normalized_floats(op) / 2;
    *z = rest.shared, *other = rest.shared + half;
    rest.shared += 2 * half;
    return rest;
}

static void find_z(const cp_op *inner, const cp_batch *at, int image, float *z, const cp_scratch *scratch)
{
    inner->type->forward(inner, 1, &(cp_batch){cp_at(at[0], image), 0}, (cp_batch){z, 0}, NULL, false, scratch);
}

static size_t count_of(const cp_op *op, const float *x)
{
    return op->info->outputs < UINT32_MAX ? cp_count_nonzero(x, op->info->outputs) : op->info->outputs;
}

static void backward_normalized(const cp_op *op, const cp_backward *call)
{
    cp_op inner = inner_of(op);
    pixels p = pixels_of(op);
    float *z, *dz;
    cp_scratch rest = take(op, call->scratch, &z, &dz);
    for (int e = 0; e < call->n && call->in_delta[0].base; ++e) {
        cp_batch to = {cp_at(call->in_delta[0], e), 0};
        cp_backward one = *call;
        find_z(&inner, call->at, call->image[e], z, &rest);
        derive(&p, z, cp_at(call->delta, e), dz, true);
        size_t nonzero = count_of(op, dz);
        one.n = 1, one.fresh = false, one.fresh_sources = NULL;
        one.delta = (cp_batch){dz, 0}, one.in_delta = &to, one.nonzero = &nonzero, one.scratch = &rest;
        op->inner->backward(&inner, &one);
    }
}

static void tangent_normalized(const cp_op *op, int n, const cp_batch *in, cp_batch out, const cp_batch *at, const int *image,
                               const cp_scratch *scratch)
{
    cp_op inner = inner_of(op);
    pixels p = pixels_of(op);
    float *z, *unused;
    cp_scratch rest = take(op, scratch, &z, &unused);
    for (int e = 0; e < n; ++e) {
        float *to = cp_at(out, e);
        find_z(&inner, at, image[e], z, &rest);
        op->inner->forward(&inner, 1, &(cp_batch){cp_at(in[0], e), 0}, (cp_batch){to, 0}, NULL, true, &rest);
        derive(&p, z, to, to, false);
    }
}

const cp_op_type cp_op_normalized = {.type = (LAYER_TYPE)CP_HOST_NORMALIZED, .forward = forward_normalized,
                                     .backward = backward_normalized, .tangent_of_product = tangent_normalized};

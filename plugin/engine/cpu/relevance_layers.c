/* One layer's share of a run under the gamma rule: from rho_z to the rho of its sources. */
#include "engine/relevance_internal.h"

#include <math.h>
#include <string.h>

float cp_rule_slope_below(ACTIVATION activation)
{
    return activation == LEAKY ? .1f : activation == RELIE ? .01f : 0;
}

CP_CLONES static void undo_slope(const float *restrict a, size_t n, float slope, float *restrict z)
{
    for (size_t i = 0; i < n; i++)
        z[i] = a[i] < 0 ? a[i] / slope : a[i];
}

const float *cp_rule_before_activation(cp_relevance *r, int i)
{
    const cp_op *op = &r->frame->engine->op[i];
    const float *a = cp_at(cp_frame_batch(r->frame, i), r->image);
    float slope = cp_rule_slope_below(op->activation);
    size_t n = op->info->outputs;
    if (op->activation == LINEAR || op->activation == RELU)
        return a;
    if (op->keeps_z)
        return cp_frame_slope_values(r->frame, i, r->image);
    if (slope > 0) {
#pragma omp parallel for num_threads(cp_threads_for((double)n))
        for (size_t first = 0; first < n; first += CP_RULE_PART)
            undo_slope(a + first, cp_rule_part(n, first), slope, r->z + first);
        return r->z;
    }
    return cp_frame_before_activation(r->frame, i, r->image, r->z) ? a : r->z;
}

/* d = rho_z * factor, in place. */
CP_CLONES static void apply_factor(const float *restrict z, const float *restrict t, size_t n, float half_gamma,
                                   float *restrict d)
{
    for (size_t i = 0; i < n; i++) {
        float s = fabsf(z[i]), whole = s + half_gamma * (s + t[i]);
        d[i] *= whole > 0 ? s / whole : 1;
    }
}

/* Of d: sign(z) * d, and (1 + gamma/2) * d in place. */
CP_CLONES static void split(const float *restrict z, size_t n, float half_gamma, float *restrict d,
                            float *restrict with_sign)
{
    for (size_t i = 0; i < n; i++) {
        with_sign[i] = z[i] < 0 ? -d[i] : d[i];
        d[i] *= 1 + half_gamma;
    }
}

CP_CLONES static void join(const float *restrict a, const float *restrict below, size_t n, float half_gamma,
                           float *restrict to)
{
    for (size_t i = 0; i < n; i++)
        to[i] += half_gamma * (a[i] < 0 ? -below[i] : below[i]);
}

/* What the layer's biases take of the relevance: they are terms of z like the others. d: rho_z * factor. */
static void count_biases(cp_relevance *r, int layer, const float *z, const float *d)
{
    const cp_op *op = &r->frame->engine->op[layer];
    size_t n = op->info->outputs, each = n / cp_rule_biases(op);
    double sum = 0, half = r->gamma / 2;
    if (!r->layers)
        return;
    for (size_t k = 0; k < n; k++) {
        double b = op->l->biases[k / each];
        sum += d[k] * (b + half * (b + (z[k] < 0 ? -fabs(b) : fabs(b))));
    }
    r->layers[layer].bias = sum;
}

/* T of the few outputs whose d is not 0, by plain loops. a: magnitudes of the input. */
static void few_terms(const cp_op *op, const cp_twin *magnitude, const float *a, const float *d, float *t)
{
    const layer *l = op->l;
    int groups = l->groups ? l->groups : 1, c = l->c / groups, m = l->n / groups;
    size_t positions = (size_t)l->out_h * l->out_w, taps = (size_t)l->size * l->size, n = op->info->outputs;
#pragma omp parallel for num_threads(cp_threads())
    for (size_t k = 0; k < n; k++) {
        int f = (int)(k / positions), y = (int)(k % positions) / l->out_w, x = (int)(k % positions) % l->out_w;
        const float *w = magnitude->l.weights + (size_t)f * c * taps;
        double sum = magnitude->l.biases[f];
        if (d[k] == 0)
            continue;
        for (int p = 0; p < c; p++)
            for (int ky = 0; ky < l->size; ky++)
                for (int kx = 0; kx < l->size; kx++) {
                    int iy = y * l->stride + ky - l->pad, ix = x * l->stride + kx - l->pad;
                    if (iy >= 0 && iy < l->h && ix >= 0 && ix < l->w)
                        sum += (double)w[(p * l->size + ky) * l->size + kx] *
                               a[((size_t)(f / m * c + p) * l->h + iy) * l->w + ix];
                }
        t[k] = (float)sum;
    }
}

enum { FEW = 128 }; /* one output in so many: plain loops are faster than a forward run */

/* T where d is not 0; elsewhere anything finite. */
static void terms(cp_relevance *r, int i, const float *a, const float *d, size_t nonzero)
{
    const cp_op *op = &r->frame->engine->op[i];
    const cp_batch in = {(float *)a, 0}, out = {r->t, 0};
    if (op->type->type == CONVOLUTIONAL && nonzero < op->info->outputs / FEW) {
        memset(r->t, 0, op->info->outputs * sizeof *r->t);
        few_terms(op, &r->magnitude[i], a, d, r->t);
    } else {
        op->type->forward(&r->magnitude[i].op, 1, &in, out, NULL, false, &r->scratch);
    }
}

/* Two backward runs, with W and with |W|. */
static void backward_both(cp_relevance *r, int i, const float *z, const cp_backward *call)
{
    const cp_op *op = &r->frame->engine->op[i];
    const float *a = cp_at(cp_frame_batch(r->frame, op->source[0]), r->image);
    size_t n = op->info->outputs, inputs = op->source_outputs[0];
    float half = (float)(r->gamma / 2), *d = call->delta.base, *to = call->in_delta[0].base;
    cp_batch below = {r->below, inputs};
    cp_backward with_magnitudes = *call;
#pragma omp parallel for num_threads(cp_threads_for((double)n))
    for (size_t first = 0; first < n; first += CP_RULE_PART)
        split(z + first, cp_rule_part(n, first), half, d + first, r->signed_delta + first);
    op->type->backward(op, call);
    with_magnitudes.delta = (cp_batch){r->signed_delta, n};
    with_magnitudes.in_delta = &below;
    with_magnitudes.fresh = op->type->takes_fresh;
    with_magnitudes.fresh_sources = NULL;
    with_magnitudes.scratch = &r->scratch;
    if (!with_magnitudes.fresh)
        cp_batch_clear(below, 1, inputs);
    op->type->backward(&r->magnitude[i].op, &with_magnitudes);
#pragma omp parallel for num_threads(cp_threads_for((double)inputs))
    for (size_t first = 0; first < inputs; first += CP_RULE_PART)
        join(a + first, r->below + first, cp_rule_part(inputs, first), half, to + first);
}

static void backward_weights(cp_relevance *r, int i, const cp_backward *call)
{
    const cp_op *op = &r->frame->engine->op[i];
    const float *a = cp_at(cp_frame_batch(r->frame, op->source[0]), r->image);
    const float *z = cp_rule_before_activation(r, i);
    size_t n = op->info->outputs, inputs = op->source_outputs[0];
    float *d = call->delta.base, half = (float)(r->gamma / 2);
    if (!r->plain[i]) {
#pragma omp parallel for num_threads(cp_threads_for((double)inputs))
        for (size_t first = 0; first < inputs; first += CP_RULE_PART)
            cp_rule_magnitudes(a + first, cp_rule_part(inputs, first), r->a + first);
        a = r->a;
    }
    size_t nonzero = cp_count_nonzero(d, n);
    terms(r, i, a, d, nonzero);
#pragma omp parallel for num_threads(cp_threads_for((double)n))
    for (size_t first = 0; first < n; first += CP_RULE_PART)
        apply_factor(z + first, r->t + first, cp_rule_part(n, first), half, d + first);
    count_biases(r, i, z, d);
    cp_backward again = *call;
    again.nonzero = &nonzero;
    if (!r->plain[i]) {
        backward_both(r, i, z, &again);
        return;
    }
    again.scratch = &r->scratch;
    op->type->backward(&r->favoured[i].op, &again);
}

/* ---------------------------------------------------------------- connected */

CP_CLONES static float sum_of_magnitudes(const float *restrict w, const float *restrict a, size_t n)
{
    enum { LANES = 16 };
    float lane[LANES] = {0};
    double sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lane[k] += fabsf(w[i + k] * a[i + k]);
    for (; i < n; i++)
        sum += fabsf(w[i] * a[i]);
    for (int k = 0; k < LANES; k++)
        sum += lane[k];
    return (float)sum;
}

CP_CLONES static void add_row(const float *restrict w, const float *restrict a, size_t n, float d, float with_sign,
                              float *restrict to)
{
    for (size_t i = 0; i < n; i++)
        to[i] += w[i] * d + (a[i] < 0 ? -fabsf(w[i]) : fabsf(w[i])) * with_sign;
}

/* Its weights are read once for T and once for both runs back, and only the rows whose delta is not 0: no copies. */
static void backward_connected(cp_relevance *r, int i, const cp_backward *call)
{
    enum { COLUMNS = 4096 };
    const cp_op *op = &r->frame->engine->op[i];
    const layer *l = op->l;
    const float *a = cp_at(cp_frame_batch(r->frame, op->source[0]), r->image), *z = cp_rule_before_activation(r, i);
    size_t n = op->info->outputs, inputs = op->source_outputs[0];
    float *d = call->delta.base, *to = call->in_delta[0].base, half = (float)(r->gamma / 2);
#pragma omp parallel for schedule(static) num_threads(cp_threads_for((double)n * inputs))
    for (size_t o = 0; o < n; o++)
        r->t[o] = d[o] == 0 ? 0 : sum_of_magnitudes(l->weights + o * inputs, a, inputs) + fabsf(l->biases[o]);
    apply_factor(z, r->t, n, half, d);
    count_biases(r, i, z, d);
    split(z, n, half, d, r->signed_delta);
#pragma omp parallel for schedule(static) num_threads(cp_threads_for((double)n * inputs))
    for (size_t first = 0; first < inputs; first += COLUMNS) {
        size_t count = inputs - first < COLUMNS ? inputs - first : COLUMNS;
        if (cp_is_fresh(call, 0))
            memset(to + first, 0, count * sizeof *to);
        for (size_t o = 0; o < n; o++)
            if (d[o] != 0)
                add_row(l->weights + o * inputs + first, a + first, count, d[o], half * r->signed_delta[o], to + first);
    }
}

/* What a shift of [batchnorm] and the constant of [implicit] take, whose rule is the gradient's. */
static void count_constants(cp_relevance *r, int i, const float *rho)
{
    const cp_op *op = &r->frame->engine->op[i];
    int type = (int)op->type->type;
    size_t n = op->info->outputs;
    if (!r->layers || (type != BATCHNORM && type != CP_HOST_IMPLICIT))
        return;
    for (size_t k = 0; k < n; k++) {
        double constant = type == BATCHNORM ? op->l->biases[k / (n / op->info->c)] : op->l->weights[k];
        r->layers[i].bias += constant * rho[k];
    }
}

void cp_relevance_backward(void *rule, int layer, const cp_backward *call)
{
    cp_relevance *r = rule;
    const cp_op *op = &r->frame->engine->op[layer];
    if (op->type->type == CONNECTED) {
        backward_connected(r, layer, call);
    } else if (cp_rule_has_weights(op)) {
        backward_weights(r, layer, call);
    } else {
        count_constants(r, layer, call->delta.base);
        op->type->backward(op, call);
    }
}

/* The layers with weights once more, with the weights that the gamma rule asks for. */
#include "engine/relevance_internal.h"

#include <math.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

CP_CLONES void cp_rule_magnitudes(const float *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = fabsf(from[i]);
}

CP_CLONES static void mix(const float *restrict w, size_t n, float gamma, float *restrict to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = w[i] + gamma * (w[i] > 0 ? w[i] : 0);
}

bool cp_rule_has_weights(const cp_op *op)
{
    if (!op->type)
        return false;
    int type = (int)op->type->type;
    return type == CONVOLUTIONAL || type == DECONVOLUTIONAL || type == LOCAL || type == CP_HOST_WIDE_CONVOLUTION;
}

size_t cp_rule_biases(const cp_op *op)
{
    size_t weights, biases;
    cp_host_array_sizes(op->l, &weights, &biases);
    return biases;
}

static size_t weights_of(const cp_op *op)
{
    size_t weights, biases;
    cp_host_array_sizes(op->l, &weights, &biases);
    return weights;
}

static cp_status begin_twin(const cp_op *op, bool biases, cp_twin *to)
{
    size_t n = weights_of(op), m = cp_rule_biases(op);
    to->l = *op->l;
    to->l.weights = cp_alloc_whole(n, sizeof *to->l.weights, "weights of the gamma rule");
    to->l.biases = cp_alloc(m, sizeof *to->l.biases, "weights of the gamma rule");
    if (!to->l.weights || !to->l.biases)
        return CP_ERESOURCE;
    if (biases)
        cp_rule_magnitudes(op->l->biases, m, to->l.biases);
    to->op = *op;
    to->op.l = &to->l;
    to->op.activation = LINEAR;
    to->op.keeps_z = false;
    to->op.permutation = NULL;
    to->op.factor = NULL;
    to->op.conv = NULL;
    to->op.per_thread = to->op.shared = 0;
    return CP_OK;
}

static cp_status finish_twin(cp_twin *to) { return to->op.type->prepare ? to->op.type->prepare(&to->op) : CP_OK; }

static cp_status make_magnitude(const cp_op *op, cp_twin *to)
{
    cp_status status = begin_twin(op, true, to);
    if (status)
        return status;
    cp_rule_magnitudes(op->l->weights, weights_of(op), to->l.weights);
    return finish_twin(to);
}

static cp_status make_favoured(const cp_op *op, double gamma, cp_twin *to)
{
    cp_status status = begin_twin(op, false, to);
    if (status)
        return status;
    mix(op->l->weights, weights_of(op), (float)gamma, to->l.weights);
    return finish_twin(to);
}

void cp_twins_free(cp_twin *twins, int n)
{
    for (int i = 0; i < n && twins; i++) {
        if (!twins[i].l.weights && !twins[i].l.biases)
            continue;
        cp_free(twins[i].l.weights);
        cp_free(twins[i].l.biases);
        cp_free(twins[i].op.permutation);
        cp_free(twins[i].op.factor);
        cp_conv_free(twins[i].op.conv);
    }
    cp_free(twins);
}

/* Kernels for all of them; a pool's ties do not matter here, so that equal windows need no care. */
static cp_status plan_twins(cp_relevance *r, cp_twin *twins)
{
    int n = r->model->layers;
    cp_op *ops = cp_alloc((size_t)n, sizeof *ops, "gamma rule");
    if (!ops)
        return CP_ERESOURCE;
    for (int i = 0; i < n; i++)
        if (twins[i].op.type)
            ops[i] = twins[i].op;
    cp_status status = cp_conv_plan(ops, n);
    for (int i = 0; i < n; i++) {
        if (!twins[i].op.type)
            continue;
        twins[i].op = ops[i];
        if (ops[i].conv)
            ops[i].conv->evens_out = false;
        if (ops[i].per_thread > r->scratch.per_thread)
            r->scratch.per_thread = ops[i].per_thread;
        if (ops[i].shared > r->shared)
            r->shared = ops[i].shared;
    }
    cp_free(ops);
    return status;
}

/* Whether no value of the layer, -1 the input, can be below 0. The input's can: it is the caller's. */
static void find_signs(const cp_relevance *r, bool *positive)
{
    for (int i = 0; i < r->model->layers; i++) {
        const cp_op *op = &r->frame->engine->op[i];
        bool sources = op->n_sources > 0;
        for (int s = 0; s < op->n_sources; s++)
            sources &= positive[op->source[s] + 1];
        bool moves = op->type && (op->type->moves || op->type->type == AVGPOOL);
        int act = op->type ? (int)op->activation : -1;
        positive[i + 1] = op->type && (act == RELU || act == CP_RELU6 || act == LOGISTIC || (moves && sources));
    }
}

cp_status cp_twins_make(cp_relevance *r)
{
    int n = r->model->layers;
    bool *positive = cp_alloc((size_t)n + 1, sizeof *positive, "gamma rule");
    cp_status status = positive && r->plain && r->magnitude && r->favoured ? CP_OK : CP_ERESOURCE;
    if (!status)
        find_signs(r, positive);
    for (int i = 0; i < n && !status; i++) {
        const cp_op *op = &r->frame->engine->op[i];
        if (!cp_rule_has_weights(op) || op->source[0] < 0)
            continue; /* nobody asks for the relevance of the input */
        r->plain[i] = positive[op->source[0] + 1] && (op->activation == RELU || op->activation == (ACTIVATION)CP_RELU6);
        status = make_magnitude(op, &r->magnitude[i]);
        if (!status && r->plain[i])
            status = make_favoured(op, r->gamma, &r->favoured[i]);
    }
    cp_free(positive);
    if (!status)
        status = plan_twins(r, r->magnitude);
    return status ? status : plan_twins(r, r->favoured);
}

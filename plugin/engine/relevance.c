/* The gamma rule of layer-wise relevance propagation, as one backward run. Montavon et al., "Layer-Wise Relevance
 * Propagation: An Overview", 2019, section 10.2; as scores of neurons: Jafari, Eberle, Khakzar and Nanda, "Relevance
 * Patching", 2025, arXiv 2508.21258. docs/methods.md 1.6 derives what follows.
 *
 * With z = sum_j w_j a_j + b, the rule favours the terms that have the sign of z by 1 + gamma, and shares z * rho_z
 * among all:
 *
 *     rho_j += (w_j + gamma * [w_j a_j has the sign of z] * w_j) * rho_z * z / (z + gamma * S)
 *
 * where S is the sum of the terms of z's sign.
 *
 * Written with magnitudes, T = sum_j |w_j||a_j| + |b|, both parts need no case:
 *
 *     factor = |z| / (|z| + gamma/2 * (|z| + T)),  d = rho_z * factor
 *     rho_j += (1 + gamma/2) * w_j * d + gamma/2 * sign(a_j) * |w_j| * sign(z) * d
 *
 * So a layer takes one forward run with |W| on |a|, and two backward runs, with W and with |W|. Where neither a nor z
 * is negative, as below ReLU, both backward runs are one with (1 + gamma/2) W + gamma/2 |W|. */
#include "engine/relevance_internal.h"

#include <math.h>
#include <string.h>

#include "engine/backend.h"
#include "io/error.h"

CP_CLONES static size_t scale_by_ratio(const float *restrict a, const float *restrict z, size_t n, float *restrict rho)
{
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        float passed = rho[i] * (z[i] == 0 ? 1 : a[i] / z[i]);
        rho[i] = passed;
        count += passed != 0;
    }
    return count;
}

/* Straight on both sides of 0: a/z is the derivative there, and 0 is no case of its own. */
static bool is_straight(ACTIVATION activation)
{
    return activation == LINEAR || activation == RELU || activation == RAMP || cp_rule_slope_below(activation) > 0;
}

/* f(0) = 0 and no jump there: a/z is bounded. */
static bool has_ratio(ACTIVATION activation)
{
    return activation != LOGISTIC && activation != PLSE && activation != STAIR;
}

static cp_status check(const void *rule, const bool *active)
{
    const cp_relevance *r = rule;
    for (int i = 0; i < r->model->layers; i++) {
        const cp_op *op = &r->frame->engine->op[i];
        bool passes = false;
        if (!active[i + 1])
            continue;
        for (int s = 0; s < op->n_sources; s++)
            passes |= active[op->source[s] + 1];
        if (passes && op->inner)
            return cp_fail(CP_EINPUT, "lrp: layer %d, %s, has no rule: %s; mct and eapig know it", i, op->info->type,
                           cp_activation_ties_channels(op->activation) ? "its activation ties all channels of a pixel"
                                                                       : "it reads a layer through antialiasing");
        if (passes && op->type->tangent_of_product)
            return cp_fail(CP_EINPUT, "lrp: layer %d, %s, multiplies two layers: the rule does not say how they "
                           "share the relevance of a product; mct and eapig know such layers", i, op->info->type);
        if (passes && !has_ratio(op->activation))
            return cp_fail(CP_EINPUT, "lrp: layer %d, activation %s: it is not 0 at 0, so that what it passes on, "
                           "a/z, has no bound; mct and eapig know it", i, op->info->activation);
    }
    return CP_OK;
}

static void relevance_free(cp_relevance *r)
{
    if (!r)
        return;
    cp_twins_free(r->magnitude, r->model->layers);
    cp_twins_free(r->favoured, r->model->layers);
    cp_free(r->plain);
    cp_free(r->scratch.thread);
    cp_free(r->scratch.shared);
    cp_free(r->z);
    cp_free(r->a);
    cp_free(r);
}

/* Work memory for any layer, and for the twins with the threads in use. */
static cp_status make_room(cp_relevance *r)
{
    size_t most = cp_outputs(r->model, -1);
    for (int i = 0; i < r->model->layers; i++)
        most = cp_outputs(r->model, i) > most ? cp_outputs(r->model, i) : most;
    most = (most + CP_ALIGNED_FLOATS - 1) / CP_ALIGNED_FLOATS * CP_ALIGNED_FLOATS;
    r->z = cp_alloc_whole(3 * most, sizeof *r->z, "gamma rule");
    r->a = cp_alloc_whole(2 * most, sizeof *r->a, "gamma rule");
    if (!r->z || !r->a)
        return CP_ERESOURCE;
    r->t = r->z + most;
    r->signed_delta = r->t + most;
    r->below = r->a + most;
    r->scratch.per_thread = (r->scratch.per_thread + 15) / 16 * 16;
    r->scratch.shared = cp_alloc_dirty(r->shared, sizeof(float), "scratch");
    return r->scratch.shared ? CP_OK : CP_ERESOURCE;
}

static cp_status fit_threads(cp_relevance *r)
{
    if (r->scratch.thread && r->scratch.threads >= cp_threads())
        return CP_OK;
    cp_free(r->scratch.thread);
    r->scratch.threads = cp_threads();
    r->scratch.thread = cp_alloc_dirty(r->scratch.per_thread * (size_t)cp_threads(), sizeof(float), "scratch");
    return r->scratch.thread ? CP_OK : CP_ERESOURCE;
}

static cp_status create(cp_frame *frame, double gamma, cp_relevance **out)
{
    size_t n = (size_t)frame->model->layers;
    cp_relevance *r = cp_alloc(1, sizeof *r, "gamma rule");
    if (!r)
        return CP_ERESOURCE;
    r->frame = frame;
    r->model = frame->model;
    r->gamma = gamma;
    r->plain = cp_alloc(n, sizeof *r->plain, "gamma rule");
    r->magnitude = cp_alloc(n, sizeof *r->magnitude, "gamma rule");
    r->favoured = cp_alloc(n, sizeof *r->favoured, "gamma rule");
    cp_status status = cp_twins_make(r);
    if (!status)
        status = make_room(r);
    if (status) {
        relevance_free(r);
        return status;
    }
    *out = r;
    return CP_OK;
}

static void arrive(void *rule, int layer, const float *rho)
{
    cp_relevance *r = rule;
    const float *a = cp_at(cp_frame_batch(r->frame, layer), r->image);
    double sum = 0;
    if (!r->layers)
        return;
    for (size_t k = 0; k < r->model->layer[layer].outputs; k++)
        sum += (double)a[k] * rho[k];
    r->layers[layer].reached = true;
    r->layers[layer].relevance = sum;
}

static size_t descend(void *rule, int layer, float *rho)
{
    cp_relevance *r = rule;
    const cp_op *op = &r->frame->engine->op[layer];
    const float *a = cp_at(cp_frame_batch(r->frame, layer), r->image);
    const float *z = is_straight(op->activation) ? a : cp_rule_before_activation(r, layer);
    size_t n = op->info->outputs, nonzero = 0;
#pragma omp parallel for reduction(+ : nonzero) num_threads(cp_threads_for((double)n))
    for (size_t first = 0; first < n; first += CP_RULE_PART) {
        size_t count = cp_rule_part(n, first);
        if (is_straight(op->activation))
            nonzero += cp_mask_descend(NULL, 0, a + first, count, op->activation, rho + first);
        else
            nonzero += scale_by_ratio(a + first, z + first, count, rho + first);
    }
    return nonzero;
}

cp_status cp_frame_relevance(cp_frame *frame, int image, const cp_response *response, double gamma,
                             const cp_observer *observer, cp_lrp_layer *layers)
{
    const cp_entry entry = {.image = image, .response = response};
    if (!(gamma >= 0 && isfinite(gamma)))
        return cp_fail(CP_EINPUT, "lrp: gamma %g, a finite number of at least 0 is needed", gamma);
    if (!cp_has(frame, CP_HAS_GAMMA_RULE))
        return cp_fail(CP_EINPUT, "lrp: the gamma rule has no %s code; -nogpu computes it on the CPU",
                       frame->backend->name);
    if (frame->relevance && frame->relevance->gamma != gamma) {
        relevance_free(frame->relevance);
        frame->relevance = NULL;
    }
    cp_status status = frame->relevance ? CP_OK : create(frame, gamma, &frame->relevance);
    if (!status)
        status = fit_threads(frame->relevance);
    if (status)
        return status;
    frame->relevance_free = relevance_free;
    frame->relevance->image = image;
    frame->relevance->layers = layers;
    if (layers)
        memset(layers, 0, (size_t)frame->model->layers * sizeof *layers);
    const cp_rule rule = {frame->relevance, check, arrive, descend, cp_relevance_backward};
    return cp_backward_by_rule(frame, &entry, observer, &rule);
}

/* EAP-IG by neuron: c_j = (a_j(x) - a_j(x0)) * mean over alpha of g_j at the input x0 + alpha (x - x0). docs/methods.md 1.7; Hanna,
 * Pezzelle and Belinkov 2024, arXiv 2403.17806, whose edges are taken together by the neuron they leave. The inputs are
 * interpolated, not the layers: one run forward and back per alpha serves all layers at once. */
#include <math.h>
#include <string.h>

#include "critpath.h"
#include "engine/branch.h"
#include "io/error.h"
#include "score/score.h"
#include "score/suffix.h"

typedef struct {
    float *gradient; /* (N), the sum so far */
    float weight;
} mean;

static void add(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g, size_t count)
{
    const mean *m = user;
    float *to = m->gradient + layer->offset + first;
    (void)entry, (void)a;
    for (size_t i = 0; i < count; i++)
        to[i] += m->weight * g[i];
}

/* Midpoints between x0 and x, one after the other: their order is that of the sums. input: room for one. */
static cp_status run_steps(cp_frame *own, const float *x, const float *x0, size_t inputs, const cp_response *response,
                           const cp_eapig_options *options, float *input, float *gradient)
{
    mean m = {gradient, 1.f / (float)options->steps};
    const cp_observer observer = {add, &m};
    const cp_entry entry = {.response = response};
    cp_status status = CP_OK;
    for (int k = 0; k < options->steps && !status; k++) {
        float alpha = ((float)k + .5f) / (float)options->steps;
        for (size_t i = 0; i < inputs; i++) {
            float from = x0 ? x0[i] : 0;
            input[i] = from + alpha * (x[i] - from);
        }
        status = cp_frame_forward(own, input, 1, NULL);
        if (!status)
            status = cp_frame_backward(own, &entry, 1, &observer, NULL);
        cp_run_progress(&options->run, (double)(k + 1) / options->steps);
    }
    return status;
}

/* score holds a(x0) at first. */
static void combine(const cp_frame *frame, int image, const float *gradient, bool signed_scores, float *score)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(cp_frame_model(frame), &n);
    for (int l = 0; l < n; l++) {
        const float *a = cp_frame_output(frame, layers[l].layer, image), *g = gradient + layers[l].offset;
        float *s = score + layers[l].offset;
        for (size_t i = 0; i < layers[l].count; i++) {
            float c = (a[i] - s[i]) * g[i];
            s[i] = signed_scores ? c : fabsf(c);
        }
    }
}

cp_status cp_score_eapig(cp_frame *frame, int image, const cp_response *response, const cp_eapig_options *options,
                         float *score)
{
    const cp_model *model = cp_frame_model(frame);
    size_t c, h, w;
    cp_frame *own = NULL;
    cp_eapig_options o = *options;
    cp_model_input_shape(model, &c, &h, &w);
    if (o.steps < 0 || o.steps > CP_EAPIG_MOST)
        return cp_fail(CP_EINPUT, "eapig: %d steps, 1 to %d are possible", o.steps, CP_EAPIG_MOST);
    o.steps = o.steps ? o.steps : CP_EAPIG_STEPS;
    const float *x0 = o.baseline_input;
    float *input = cp_alloc(c * h * w, sizeof *input, "network input");
    float *gradient = cp_alloc(cp_model_neuron_count(model), sizeof *gradient, "gradients");
    cp_status status = input && gradient ? cp_frame_create(model, 1, &own) : CP_ERESOURCE;
    if (!status && x0)
        memcpy(input, x0, c * h * w * sizeof *input);
    if (!status)
        status = cp_frame_forward(own, input, 1, NULL);
    if (!status) {
        cp_baseline_take(own, 0, 0, score);
        status = run_steps(own, cp_frame_output(frame, -1, image), x0, c * h * w, response, &o, input, gradient);
    }
    if (!status) {
        combine(frame, image, gradient, o.run.signed_scores, score);
        cp_score_clear_response(model, response, score);
        status = cp_score_check_finite(model, score);
    }
    cp_frame_free(own);
    cp_free(gradient);
    cp_free(input);
    return status;
}

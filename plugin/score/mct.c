/* NeuronMCT: c_j = |a_j * g_j|, the first-order estimate of what the response loses when a_j becomes 0. METHODS 1.1;
 * Khakzar et al. 2021, section 3.2. One backward run; the products are taken as the engine reaches each layer. */
#include <math.h>
#include <string.h>

#include "critpath.h"
#include "io/error.h"
#include "score/score.h"

typedef struct {
    float *score;
    bool signed_scores;
} products;

static void multiply(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                     size_t count)
{
    (void)entry;
    products *p = user;
    float *score = p->score + layer->offset + first;
    if (p->signed_scores)
        for (size_t i = 0; i < count; i++)
            score[i] = a[i] * g[i];
    else
        for (size_t i = 0; i < count; i++)
            score[i] = fabsf(a[i] * g[i]);
}

cp_status cp_score_check_finite(const cp_model *model, const float *score)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        const float *s = score + layers[l].offset;
        for (size_t i = 0; i < layers[l].count; i++)
            if (!isfinite(s[i]))
                return cp_fail(CP_EINPUT, "%s: the score of neuron %zu is %g, finite numbers are needed: the weights "
                               "or the input are too large", layers[l].name, i, (double)s[i]);
    }
    return CP_OK;
}

void cp_score_clear_response(const cp_model *model, const cp_response *response, float *score)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int u = 0; u < response->n; u++) {
        int position = cp_model_neuron_position(model, cp_model_layer(model, response->unit[u].layer)->value);
        if (position >= 0)
            score[layers[position].offset + response->unit[u].index] = 0;
    }
}

cp_status cp_score_mct(cp_frame *frame, int image, const cp_response *response, bool signed_scores, float *score)
{
    const cp_model *model = cp_frame_model(frame);
    products p = {score, signed_scores};
    const cp_observer observer = {multiply, &p};
    const cp_entry entry = {.image = image, .response = response};
    memset(score, 0, cp_model_neuron_count(model) * sizeof *score); /* layers that the response does not depend on */
    cp_status status = cp_frame_backward(frame, &entry, 1, &observer, NULL);
    if (status)
        return status;
    cp_score_clear_response(model, response, score);
    return cp_score_check_finite(model, score);
}

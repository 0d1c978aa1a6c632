/* Contributions against a baseline: c_j = (a_j - b_j) * g_j, or rho_j in the place of g_j. docs/methods.md 1.8. */
#include <math.h>
#include <string.h>

#include "critpath.h"
#include "engine/relevance.h"
#include "score/score.h"

typedef struct {
    const float *baseline; /* (N) */
    float *score;
    bool signed_scores;
} contrast;

void cp_baseline_take(const cp_frame *frame, int image, size_t seen, float *values)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(cp_frame_model(frame), &n);
    for (int l = 0; l < n; l++) {
        const float *a = cp_frame_output(frame, layers[l].layer, image);
        float *to = values + layers[l].offset;
        for (size_t i = 0; i < layers[l].count; i++)
            to[i] = seen ? (float)(to[i] + ((double)a[i] - to[i]) / (double)(seen + 1)) : a[i];
    }
}

static void multiply(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                     size_t count)
{
    const contrast *c = user;
    const float *b = c->baseline + layer->offset + first;
    float *score = c->score + layer->offset + first;
    (void)entry;
    for (size_t i = 0; i < count; i++) {
        float product = (a[i] - b[i]) * g[i];
        score[i] = c->signed_scores ? product : fabsf(product);
    }
}

cp_status cp_score_contrast(cp_frame *frame, int image, const cp_response *response, double gamma, const float *baseline,
                            bool signed_scores, float *score)
{
    const cp_model *model = cp_frame_model(frame);
    contrast c = {baseline, score, signed_scores};
    const cp_observer observer = {multiply, &c};
    const cp_entry entry = {.image = image, .response = response};
    memset(score, 0, cp_model_neuron_count(model) * sizeof *score); /* layers that are not visited */
    cp_status status = isnan(gamma) ? cp_frame_backward(frame, &entry, 1, &observer, NULL)
                                    : cp_frame_relevance(frame, image, response, gamma, &observer, NULL);
    if (status)
        return status;
    cp_score_clear_response(model, response, score);
    return cp_score_check_finite(model, score);
}

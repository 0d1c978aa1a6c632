/* LRP-gamma: c_j = |a_j * rho_j|, rho from one backward run under the gamma rule. docs/methods.md 1.6; Jafari,
 * Eberle, Khakzar and Nanda, "Relevance Patching", 2025, arXiv 2508.21258. The rule itself is in engine/relevance.c. */
#include <string.h>

#include "critpath.h"
#include "engine/relevance.h"
#include "score/score.h"

typedef struct {
    float *score;
    bool signed_scores;
} products;

static void multiply(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a,
                     const float *rho, size_t count)
{
    const products *p = user;
    float *score = p->score + layer->offset + first;
    (void)entry;
    cp_score_products(a, rho, count, p->signed_scores, score, NULL);
}

cp_status cp_score_lrp(cp_frame *frame, int image, const cp_response *response, double gamma, bool signed_scores,
                       float *score, cp_lrp_layer *layers)
{
    const cp_model *model = cp_frame_model(frame);
    products p = {score, signed_scores};
    const cp_observer observer = {multiply, &p};
    /* Layers that the response does not depend on are not visited. */
    memset(score, 0, cp_model_neuron_count(model) * sizeof *score);
    cp_status status = cp_frame_relevance(frame, image, response, gamma, &observer, layers);
    if (status)
        return status;
    cp_score_clear_response(model, response, score);
    return cp_score_check_finite(model, score);
}

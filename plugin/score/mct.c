/* NeuronMCT: c_j = |a_j * g_j|, the first-order estimate of what the response loses when a_j becomes 0. docs/methods.md
 * 1.1; Khakzar et al. 2021, section 3.2. One backward run; the products are taken as the engine reaches each layer. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "critpath.h"
#include "engine/frame_scores.h"
#include "io/clones.h"
#include "io/error.h"
#include "score/score.h"

typedef struct {
    const cp_model *model;
    float *score;
    bool signed_scores;
    bool *visited;           /* by neuron layer; one entry only, so only the part from 0 on sets it */
    atomic_bool not_finite;  /* a product was */
} products;

/* out = a * g, with `drop` of its bits cleared; the largest magnitude's bits are returned. Denormals stay what they are
 * even where the processor would not read them. */
CP_CLONES static uint32_t products_of(const float *restrict a, const float *restrict g, size_t count, uint32_t drop,
                                      float *restrict out)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        float product = a[i] * g[i];
        uint32_t bits, magnitude;
        memcpy(&bits, &product, sizeof bits);
        magnitude = bits & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
        bits &= ~drop;
        memcpy(&out[i], &bits, sizeof bits);
    }
    return largest;
}

bool cp_score_products(const float *a, const float *g, size_t count, bool signed_scores, float *out)
{
    return products_of(a, g, count, signed_scores ? 0 : 0x80000000u, out) < 0x7f800000u;
}

static void multiply(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                     size_t count)
{
    (void)entry;
    products *p = user;
    if (!cp_score_products(a, g, count, p->signed_scores, p->score + layer->offset + first))
        atomic_store_explicit(&p->not_finite, true, memory_order_relaxed);
    if (!first)
        p->visited[cp_model_neuron_position(p->model, layer->layer)] = true;
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

static cp_status mct_on_device(cp_frame *frame, const cp_entry *entry, bool signed_scores, float *score, float *gradient)
{
    bool finite;
    cp_status status = cp_frame_score_products(frame, entry, !signed_scores, &finite, gradient);
    if (!status)
        status = cp_frame_held_scores(frame)->read(frame, score);
    return status || finite ? status : cp_score_check_finite(cp_frame_model(frame), score);
}

/* As cp_score_mct, of any entry with a response. gradient (C,H,W): that of the input, from the same run; or NULL. */
static cp_status score_entry(cp_frame *frame, const cp_entry *entry, bool signed_scores, float *score, float *gradient)
{
    const cp_model *model = cp_frame_model(frame);
    int n;
    if (cp_frame_held_scores(frame))
        return mct_on_device(frame, entry, signed_scores, score, gradient);
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    products p = {.model = model, .score = score, .signed_scores = signed_scores};
    const cp_observer observer = {multiply, &p};
    if (!(p.visited = cp_alloc((size_t)n, sizeof *p.visited, "scores")))
        return CP_ERESOURCE;
    cp_status status = cp_frame_backward(frame, entry, 1, &observer, gradient);
    for (int l = 0; l < n && !status; l++) /* the response does not depend on the others */
        if (!p.visited[l])
            memset(score + layers[l].offset, 0, layers[l].count * sizeof *score);
    cp_free(p.visited);
    if (status)
        return status;
    cp_score_clear_response(model, entry->response, score);
    return p.not_finite ? cp_score_check_finite(model, score) : CP_OK;
}

cp_status cp_score_mct(cp_frame *frame, int image, const cp_response *response, bool signed_scores, float *score)
{
    const cp_entry entry = {.image = image, .response = response};
    return score_entry(frame, &entry, signed_scores, score, NULL);
}

cp_status cp_score_signed(cp_frame *frame, int image, const cp_response *response, const cp_path *path, float *score,
                          float *gradient)
{
    const cp_entry entry = {.image = image, .response = response, .path = path};
    return score_entry(frame, &entry, true, score, gradient);
}

/* NeuronMCT: c_j = |a_j * g_j|, the first-order estimate of what the response loses when a_j becomes 0. docs/methods.md
 * 1.1; Khakzar et al. 2021, section 3.2. One backward run; the products are taken as the engine reaches each layer. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "critpath.h"
#include "engine/frame_scores.h"
#include "io/error.h"
#include "score/score.h"

typedef struct {
    const cp_model *model;
    float *score;
    cp_score_piece *pieces;  /* of all layers, or NULL */
    size_t *first_piece;     /* by neuron layer */
    bool signed_scores;
    bool *visited;           /* by neuron layer; one entry only, so only the part from 0 on sets it */
    atomic_bool not_finite;  /* a product was */
} products;

static void multiply(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                     size_t count)
{
    (void)entry;
    products *p = user;
    int position = cp_model_neuron_position(p->model, layer->layer);
    cp_score_piece *pieces = p->pieces ? p->pieces + p->first_piece[position] + first / CP_SCORE_PIECE : NULL;
    if (!cp_score_products(a, g, count, p->signed_scores, p->score + layer->offset + first, pieces))
        atomic_store_explicit(&p->not_finite, true, memory_order_relaxed);
    if (!first)
        p->visited[position] = true;
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

static size_t pieces_of(const cp_neuron_layer *layer) { return (layer->count + CP_SCORE_PIECE - 1) / CP_SCORE_PIECE; }

/* The scores of layers on which the response does not depend. */
static void clear_others(const products *p, const cp_neuron_layer *layers, int n)
{
    for (int l = 0; l < n; l++) {
        if (p->visited[l])
            continue;
        memset(p->score + layers[l].offset, 0, layers[l].count * sizeof *p->score);
        if (p->pieces)
            memset(p->pieces + p->first_piece[l], 0, pieces_of(&layers[l]) * sizeof *p->pieces);
    }
}

static void clear_response(const products *p, const cp_neuron_layer *layers, const cp_response *response)
{
    cp_score_clear_response(p->model, response, p->score);
    for (int u = 0; u < response->n && p->pieces; u++) {
        int l = cp_model_neuron_position(p->model, cp_model_layer(p->model, response->unit[u].layer)->value);
        size_t first = response->unit[u].index / CP_SCORE_PIECE * CP_SCORE_PIECE;
        if (l >= 0)
            cp_score_find_pieces(p->score + layers[l].offset + first,
                                 layers[l].count - first < CP_SCORE_PIECE ? layers[l].count - first : CP_SCORE_PIECE,
                                 p->pieces + p->first_piece[l] + first / CP_SCORE_PIECE);
    }
}

static cp_status on_device(const products *p, cp_frame *frame, const cp_entry *entry, const cp_neuron_layer *layers, int n,
                           float *gradient)
{
    cp_status status = mct_on_device(frame, entry, p->signed_scores, p->score, gradient);
    for (int l = 0; l < n && p->pieces && !status; l++)
        cp_score_find_pieces(p->score + layers[l].offset, layers[l].count, p->pieces + p->first_piece[l]);
    return status;
}

static cp_status on_cpu(products *p, cp_frame *frame, const cp_entry *entry, const cp_neuron_layer *layers, int n,
                        float *gradient)
{
    const cp_observer observer = {multiply, p};
    cp_status status = cp_frame_backward(frame, entry, 1, &observer, gradient);
    if (status)
        return status;
    clear_others(p, layers, n);
    clear_response(p, layers, entry->response);
    return p->not_finite ? cp_score_check_finite(p->model, p->score) : CP_OK;
}

/* As cp_score_mct, of any entry with a response. pieces: of all layers, or NULL; gradient: as cp_score_signed. */
static cp_status score_entry(cp_frame *frame, const cp_entry *entry, bool signed_scores, float *score,
                             cp_score_piece *pieces, float *gradient)
{
    const cp_model *model = cp_frame_model(frame);
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    products p = {.model = model, .score = score, .pieces = pieces, .signed_scores = signed_scores};
    p.visited = cp_alloc((size_t)n, sizeof *p.visited, "scores");
    p.first_piece = cp_alloc((size_t)n + 1, sizeof *p.first_piece, "scores");
    cp_status status = p.visited && p.first_piece ? CP_OK : CP_ERESOURCE;
    for (int l = 0; l < n && !status; l++)
        p.first_piece[l + 1] = p.first_piece[l] + pieces_of(&layers[l]);
    if (!status)
        status = cp_frame_held_scores(frame) ? on_device(&p, frame, entry, layers, n, gradient)
                                             : on_cpu(&p, frame, entry, layers, n, gradient);
    cp_free(p.visited);
    cp_free(p.first_piece);
    return status;
}

cp_status cp_score_mct(cp_frame *frame, int image, const cp_response *response, bool signed_scores, float *score)
{
    const cp_entry entry = {.image = image, .response = response};
    return score_entry(frame, &entry, signed_scores, score, NULL, NULL);
}

cp_status cp_score_signed(cp_frame *frame, int image, const cp_response *response, const cp_path *path, float *score,
                          float *gradient)
{
    const cp_entry entry = {.image = image, .response = response, .path = path};
    return score_entry(frame, &entry, true, score, NULL, gradient);
}

cp_status cp_score_signed_in_pieces(cp_frame *frame, int image, const cp_response *response, float *score,
                                    cp_score_piece *pieces, float *gradient)
{
    const cp_entry entry = {.image = image, .response = response};
    return score_entry(frame, &entry, true, score, pieces, gradient);
}

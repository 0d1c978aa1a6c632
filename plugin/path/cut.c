/* Cut paths and the sparsest selection that is not cut (docs/methods.md 1.4).
 *
 * Selection keeps neurons in one fixed order: descending score, then (layer, index). So a neuron layer has a unit on
 * the path as soon as its FIRST neuron of that order is kept, and a way from the response to the input is open as soon
 * as the last of those first neurons is. The widest way is found by dynamic programming over the layers; the rank of
 * its narrowest neuron is the smallest K whose path is not cut. */
#include "path/select.h"

#include <math.h>

#include "engine/frame_scores.h"
#include "io/clones.h"
#include "io/error.h"

/* How soon a layer, or the narrowest layer of a way, gets a unit on the path. */
typedef struct {
    bool blocked;   /* never: no way, or a layer whose scores are all zero */
    bool gated;     /* false: the way crosses no neuron layer */
    uint32_t score; /* cp_score_bits of the neuron that opens it */
    size_t neuron;
} width;

/* True when a opens later than b. */
static bool is_narrower(width a, width b)
{
    if (a.blocked != b.blocked)
        return a.blocked;
    if (a.blocked || a.gated != b.gated)
        return a.gated && !b.gated;
    if (!a.gated)
        return false;
    return a.score != b.score ? a.score < b.score : a.neuron > b.neuron;
}

/* Neurons [i, end) of the layer are a piece. */
static size_t piece_end(const cp_neuron_layer *layer, size_t i)
{
    return layer->count - i < CP_SCORE_PIECE ? layer->count : i + CP_SCORE_PIECE;
}

/* How many scores are at least `bits`. */
CP_CLONES static size_t count_in_piece(const float *score, size_t n, uint32_t bits)
{
    uint32_t count = 0; /* as wide as the scores, so that they stay in step */
    for (size_t i = 0; i < n; i++)
        count += cp_score_bits(&score[i]) >= bits;
    return count;
}

/* The first of the largest scores. pieces: the layer's. */
static width best_of_layer(const cp_neuron_layer *layer, const float *score, const cp_score_piece *pieces)
{
    const float *s = score + layer->offset;
    width best = {.gated = true};
    size_t first = 0;
    for (size_t i = 0; i < layer->count; i += CP_SCORE_PIECE)
        if (pieces[i / CP_SCORE_PIECE].largest > best.score) {
            best.score = pieces[i / CP_SCORE_PIECE].largest;
            first = i;
        }
    best.blocked = best.score == 0;
    while (best.score && cp_score_bits(&s[first]) != best.score)
        first++;
    best.neuron = best.blocked ? 0 : layer->offset + first;
    return best;
}

/* How many of the layer's neurons selection takes before the one in score[N] that opens the widest way. */
static size_t count_before(const cp_neuron_layer *layer, const float *score, const cp_score_piece *pieces, width widest)
{
    size_t count = 0, end = layer->offset + layer->count;
    size_t from = widest.neuron < layer->offset ? 0 : widest.neuron < end ? widest.neuron - layer->offset : layer->count;
    for (size_t i = 0; i < layer->count; i += CP_SCORE_PIECE) {
        if (pieces[i / CP_SCORE_PIECE].largest < widest.score)
            continue;
        size_t last = piece_end(layer, i), middle = from < i ? i : from < last ? from : last;
        count += count_in_piece(score + layer->offset + i, middle - i, widest.score) +
                 count_in_piece(score + layer->offset + middle, last - middle, widest.score + 1);
    }
    return count;
}

/* One of the two: an array and its pieces, or what a frame's device holds. */
typedef struct {
    const float *score;
    const cp_score_piece *pieces;
    cp_frame *frame;
} source;

static cp_status best_there(cp_frame *frame, int n, width *best)
{
    uint32_t *score = cp_alloc((size_t)n, sizeof *score, "cut");
    size_t *neuron = cp_alloc((size_t)n, sizeof *neuron, "cut");
    cp_status status = score && neuron ? cp_frame_held_scores(frame)->best(frame, score, neuron) : CP_ERESOURCE;
    for (int l = 0; l < n && !status; l++)
        best[l] = (width){.gated = true, .blocked = score[l] == 0, .score = score[l], .neuron = score[l] ? neuron[l] : 0};
    cp_free(score);
    cp_free(neuron);
    return status;
}

static cp_status best_of_layers(const cp_path *path, source scores, width *best)
{
    cp_status status = CP_OK;
    if (scores.frame && cp_frame_held_scores(scores.frame))
        return best_there(scores.frame, path->n_layers, best);
    for (int l = 0; l < path->n_layers; l++)
        best[l] = best_of_layer(&path->layers[l], scores.score, scores.pieces + path->first[l]);
    for (int l = 0; !status && l < path->n_layers; l++)
        if (best[l].score > CP_LARGEST_SCORE)
            status = cp_path_check_scores(&path->layers[l], scores.score);
    return status;
}

/* How many neurons are kept no later than the widest way's. */
static cp_status rank_of(const cp_path *path, source scores, width widest, size_t *rank)
{
    cp_status status = CP_OK;
    *rank = 0;
    if (widest.gated && scores.frame && cp_frame_held_scores(scores.frame))
        status = cp_frame_held_scores(scores.frame)->rank(scores.frame, widest.score, widest.neuron, rank);
    for (int l = 0; widest.gated && scores.score && l < path->n_layers; l++)
        *rank += count_before(&path->layers[l], scores.score, scores.pieces + path->first[l], widest);
    ++*rank;
    return status;
}

/* Widest way from the starts to the input; best: one width per neuron layer. below and above hold n_layers each: the
 * widest way from a layer's inputs and from its output. */
static width widest_way(const cp_cut_layer *layers, int n_layers, const cp_cut_start *starts, int n_starts,
                        const width *best, width *below, width *above)
{
    const width open = {0}, blocked = {.blocked = true, .gated = true};
    width widest = blocked;
    for (int i = 0; i < n_layers; i++) {
        below[i] = blocked;
        for (int s = 0; s < layers[i].n_sources; s++) {
            width source = layers[i].sources[s] < 0 ? open : above[layers[i].sources[s]];
            if (is_narrower(below[i], source))
                below[i] = source;
        }
        above[i] = below[i];
        if (layers[i].neuron >= 0 && is_narrower(best[layers[i].neuron], above[i]))
            above[i] = best[layers[i].neuron];
    }
    for (int s = 0; s < n_starts; s++) {
        width way = starts[s].below ? below[starts[s].layer] : above[starts[s].layer];
        if (is_narrower(widest, way))
            widest = way;
    }
    return widest;
}

/* Highest layer without a unit on the path that a way from the response reaches through open layers; -1 if none.
 * reached: n_layers, all false. */
static int first_empty_layer(const cp_cut_layer *layers, int n_layers, const cp_cut_start *starts, int n_starts,
                             const width *gate, bool *reached)
{
    int last = -1;
    for (int i = n_layers - 1; i >= 0; i--) {
        bool through = false;
        for (int s = 0; s < n_starts; s++)
            if (starts[s].layer == i) {
                through |= starts[s].below;
                reached[i] |= !starts[s].below;
            }
        if (reached[i] && layers[i].neuron >= 0 && gate[layers[i].neuron].blocked) {
            if (last < 0)
                last = i;
        } else {
            through |= reached[i];
        }
        for (int s = 0; through && s < layers[i].n_sources; s++)
            if (layers[i].sources[s] >= 0)
                reached[layers[i].sources[s]] = true;
    }
    return last;
}

/* Sparsity at which K = round((1 - sparsity) * N) is `kept`, or the next above it. */
static double sparsity_that_keeps(size_t neurons, size_t kept)
{
    double sparsity = 1 - (double)kept / (double)neurons;
    while (sparsity > 0 && cp_path_keep_count(neurons, sparsity) < kept)
        sparsity = nextafter(sparsity, 0);
    return sparsity;
}

static cp_status find_cut_in(const cp_cut_layer *layers, int n_layers, const cp_cut_start *starts, int n_starts,
                             const cp_path *path, source scores, cp_cut *cut)
{
    cp_status status = CP_ERESOURCE;
    size_t n = (size_t)n_layers, n_gates = (size_t)path->n_layers;
    cp_score_piece *pieces = NULL;
    width *below = cp_alloc(n, sizeof *below, "cut"), *above = cp_alloc(n, sizeof *above, "cut");
    width *gate = cp_alloc(n_gates, sizeof *gate, "cut"), *alone = cp_alloc(n_gates, sizeof *alone, "cut");
    bool *reached = cp_alloc(n, sizeof *reached, "cut");
    *cut = (cp_cut){.cut = false, .layer = -1, .sparsest_uncut = NAN};
    if (!below || !above || !gate || !alone || !reached)
        goto done;
    status = CP_OK;
    for (size_t l = 0; l < n_gates; l++) {
        gate[l].blocked = gate[l].gated = cp_path_layer_count(path, (int)l) == 0;
        alone[l] = (width){0};
    }
    cut->cut = widest_way(layers, n_layers, starts, n_starts, gate, below, above).blocked;
    if (cut->cut) {
        /* From the response: the first empty layer that no way avoids; if each has a way round, the first empty one. */
        for (int i = n_layers - 1; i >= 0 && cut->layer < 0; i--) {
            int l = layers[i].neuron;
            if (l < 0 || !gate[l].blocked)
                continue;
            alone[l] = gate[l];
            if (widest_way(layers, n_layers, starts, n_starts, alone, below, above).blocked)
                cut->layer = i;
            alone[l] = (width){0};
        }
        if (cut->layer < 0)
            cut->layer = first_empty_layer(layers, n_layers, starts, n_starts, gate, reached);
    }
    if ((!scores.score && !scores.frame) || !path->neurons)
        goto done;
    if (scores.score && !scores.pieces && !(scores.pieces = pieces = cp_find_pieces(path, scores.score))) {
        status = CP_ERESOURCE;
        goto done;
    }
    if ((status = best_of_layers(path, scores, gate)))
        goto done;
    width widest = widest_way(layers, n_layers, starts, n_starts, gate, below, above);
    size_t rank;
    if (widest.blocked || (status = rank_of(path, scores, widest, &rank)))
        goto done;
    cut->sparsest_uncut = sparsity_that_keeps(path->neurons, rank);
done:
    cp_free(pieces);
    cp_free(below);
    cp_free(above);
    cp_free(gate);
    cp_free(alone);
    cp_free(reached);
    return status;
}

cp_status cp_path_find_cut_in(const cp_cut_layer *layers, int n_layers, const cp_cut_start *starts, int n_starts,
                              const cp_path *path, const float *score, cp_cut *cut)
{
    return find_cut_in(layers, n_layers, starts, n_starts, path, (source){.score = score}, cut);
}

static cp_status find_cut(const cp_path *path, source scores, const cp_response *response, cp_cut *cut)
{
    const cp_model *model = path->model;
    int n_layers = cp_model_layer_count(model), n_starts = 0;
    cp_cut_start starts[CP_RESPONSE_UNITS];
    cp_cut_layer *layers = cp_alloc((size_t)n_layers, sizeof *layers, "cut");
    if (!layers)
        return CP_ERESOURCE;
    for (int i = 0; i < n_layers; i++) {
        const cp_layer_info *info = cp_model_layer(model, i);
        layers[i] = (cp_cut_layer){cp_model_neuron_position(model, i), info->n_sources, info->sources};
    }
    for (int u = 0; u < response->n; u++)
        if (response->unit[u].weight != 0) {
            int layer = cp_model_layer(model, response->unit[u].layer)->value;
            starts[n_starts++] = (cp_cut_start){layer, layers[layer].neuron >= 0};
        }
    cp_status status = find_cut_in(layers, n_layers, starts, n_starts, path, scores, cut);
    cp_free(layers);
    return status;
}

cp_status cp_path_find_cut(const cp_path *path, const float *score, const cp_response *response, cp_cut *cut)
{
    return find_cut(path, (source){.score = score}, response, cut);
}

cp_status cp_path_find_cut_by_pieces(const cp_path *path, const float *score, const cp_score_piece *pieces,
                                     const cp_response *response, cp_cut *cut)
{
    return find_cut(path, (source){.score = score, .pieces = pieces}, response, cut);
}

cp_status cp_path_find_cut_there(const cp_path *path, cp_frame *frame, const cp_response *response, cp_cut *cut)
{
    return find_cut(path, (source){.frame = frame}, response, cut);
}

/* The effective path, layer by layer from the response down. Units of all layers are marked, neurons or not; what is marked in
 * neuron layers is the path. */
#include "path/effective.h"

#include <math.h>
#include <string.h>

#include "engine/backend.h"
#include "engine/engine.h"
#include "io/error.h"

enum { NO_WINNER = 0xffff }; /* of a max-pool's index, engine/cpu/pool.c */

/* One input of a unit, and its share in the sum. */
typedef struct {
    double value;
    uint32_t input;
} term;

typedef struct {
    const cp_frame *frame;
    int image;
    cp_effective_rule rule;
    double theta;
    uint8_t **mark;      /* by layer: (outputs), 1 where the unit is reached; NULL: none is */
    cp_effective_edges *edges;
} walk;

static const float *values(const walk *w, int layer) { return cp_at(cp_frame_batch(w->frame, layer), w->image); }

static const cp_op *op_of(const walk *w, int layer) { return &w->frame->engine->op[layer]; }

/* Several threads mark the same inputs. */
static void set(uint8_t *mark)
{
#pragma omp atomic write
    *mark = 1;
}

static cp_status make_marks(walk *w, int layer)
{
    if (layer >= 0 && !w->mark[layer])
        w->mark[layer] = cp_alloc(cp_outputs(w->frame->model, layer), 1, "effective path");
    return layer < 0 || w->mark[layer] ? CP_OK : CP_ERESOURCE;
}

/* ---------------------------------------------------------------- which terms a unit keeps */

static bool before(const term *a, const term *b)
{
    return a->value > b->value || (a->value == b->value && a->input < b->input);
}

static void sift(term *heap, size_t n, size_t i)
{
    for (;;) {
        size_t best = i, left = 2 * i + 1;
        for (size_t child = left; child < left + 2 && child < n; child++)
            if (before(&heap[child], &heap[best]))
                best = child;
        if (best == i)
            return;
        term swap = heap[i];
        heap[i] = heap[best];
        heap[best] = swap;
        i = best;
    }
}

/* Moves those kept to the end of the n terms: the last *kept of them. Terms of 0 or less are never needed: those above sum to
 * at least all together. */
static size_t keep_share(term *terms, size_t n, double goal)
{
    size_t left = 0;
    double sum = 0;
    for (size_t k = 0; k < n; k++)
        if (terms[k].value > 0) {
            term swap = terms[left];
            terms[left++] = terms[k];
            terms[k] = swap;
        }
    size_t positive = left;
    if (!(goal > 0))
        return 0;
    for (size_t i = left / 2; i-- > 0;)
        sift(terms, left, i);
    while (left && sum < goal) {
        term best = terms[0];
        sum += best.value;
        terms[0] = terms[--left];
        terms[left] = best;
        sift(terms, left, 0);
    }
    /* To the front, where all rules leave them. */
    memmove(terms, terms + left, (positive - left) * sizeof *terms);
    return positive - left;
}

/* The terms kept stand in front afterwards; returns how many. threshold: of the layer, for CP_EFFECTIVE_ABSOLUTE. */
static size_t keep(const walk *w, term *terms, size_t n, double threshold)
{
    size_t kept = 0;
    double total = 0;
    if (w->rule == CP_EFFECTIVE_SHARE) {
        for (size_t k = 0; k < n; k++)
            total += terms[k].value;
        return keep_share(terms, n, w->theta * total);
    }
    for (size_t k = 0; k < n; k++)
        if (terms[k].value >= threshold)
            terms[kept++] = terms[k];
    return kept;
}

static double threshold_of(const walk *w, int layer)
{
    const float *a = values(w, layer);
    double largest = 0;
    for (size_t k = 0; k < cp_outputs(w->frame->model, layer); k++)
        largest = fabs((double)a[k]) > largest ? fabs((double)a[k]) : largest;
    /* A layer of zeros has no terms that matter. */
    return largest > 0 ? w->theta * largest : INFINITY;
}

/* ---------------------------------------------------------------- terms of a unit, by kind of layer */

static size_t terms_of_convolution(const cp_op *op, const float *x, size_t output, term *terms)
{
    const layer *l = op->l;
    int groups = l->groups ? l->groups : 1, c = l->c / groups, m = l->n / groups;
    size_t positions = (size_t)l->out_h * l->out_w, taps = (size_t)l->size * l->size, n = 0;
    int f = (int)(output / positions), oy = (int)(output % positions) / l->out_w, ox = (int)(output % positions) % l->out_w;
    const float *weights = l->weights + (size_t)f * c * taps;
    for (int p = 0; p < c; p++)
        for (int ky = 0; ky < l->size; ky++)
            for (int kx = 0; kx < l->size; kx++) {
                int y = oy * l->stride + ky - l->pad, at = ox * l->stride + kx - l->pad;
                if (y < 0 || y >= l->h || at < 0 || at >= l->w)
                    continue;
                size_t input = ((size_t)(f / m * c + p) * l->h + y) * l->w + at;
                terms[n++] = (term){(double)weights[(p * l->size + ky) * l->size + kx] * x[input], (uint32_t)input};
            }
    return n;
}

static size_t terms_of_connected(const cp_op *op, const float *x, size_t output, term *terms)
{
    size_t inputs = op->source_outputs[0];
    for (size_t i = 0; i < inputs; i++)
        terms[i] = (term){(double)op->l->weights[output * inputs + i] * x[i], (uint32_t)i};
    return inputs;
}

static size_t terms_of_average(const cp_op *op, const float *x, size_t output, term *terms)
{
    size_t plane = (size_t)op->l->h * op->l->w;
    for (size_t i = 0; i < plane; i++)
        terms[i] = (term){(double)x[output * plane + i] / (double)plane, (uint32_t)(output * plane + i)};
    return plane;
}

typedef size_t (*terms_function)(const cp_op *op, const float *x, size_t output, term *terms);

/* The most terms that a unit has; 0: no such layer. */
static size_t most_terms(const cp_op *op, terms_function *terms)
{
    const layer *l = op->l;
    switch ((int)op->type->type) {
    case CONVOLUTIONAL:
        *terms = terms_of_convolution;
        return (size_t)(l->c / (l->groups ? l->groups : 1)) * l->size * l->size;
    case CONNECTED:
        *terms = terms_of_connected;
        return op->source_outputs[0];
    case AVGPOOL:
        *terms = terms_of_average;
        return (size_t)l->h * l->w;
    default:
        return 0;
    }
}

static cp_status make_edges(walk *w, int layer, size_t c_out, size_t c_in)
{
    if (!w->edges)
        return CP_OK;
    w->edges->used[layer] = cp_alloc(c_out * c_in, 1, "edges of a path");
    w->edges->c_in[layer] = c_in;
    return w->edges->used[layer] ? CP_OK : CP_ERESOURCE;
}

static void size_of_channels(const walk *w, int layer, size_t *channels, size_t *plane)
{
    size_t ignored;
    if (layer < 0) {
        cp_model_input_shape(w->frame->model, channels, plane, &ignored);
        *plane *= ignored;
        return;
    }
    const cp_layer_info *info = &w->frame->model->layer[layer];
    *channels = info->c;
    *plane = info->h * info->w;
}

/* Sums of weighted inputs: convolutional, connected, average pool. */
static cp_status through_sums(walk *w, int layer, size_t most, terms_function terms_of)
{
    const cp_op *op = op_of(w, layer);
    int source = op->source[0], threads = cp_threads_for((double)op->info->outputs * most);
    const float *x = values(w, source);
    const uint8_t *mark = w->mark[layer];
    size_t outputs = op->info->outputs, c_out, c_in, plane, below;
    double threshold = w->rule == CP_EFFECTIVE_ABSOLUTE ? threshold_of(w, layer) : 0;
    size_of_channels(w, layer, &c_out, &plane);
    size_of_channels(w, source, &c_in, &below);
    cp_status status = op->type->type == AVGPOOL ? CP_OK : make_edges(w, layer, c_out, c_in);
    if (!status)
        status = make_marks(w, source);
    uint8_t *to = source < 0 ? NULL : w->mark[source], *used = w->edges ? w->edges->used[layer] : NULL;
    term *room = status ? NULL : cp_alloc_dirty(most * (size_t)threads, sizeof *room, "effective path");
    if (!room)
        return status ? status : CP_ERESOURCE;
#pragma omp parallel for schedule(static, 1) num_threads(threads)
    for (int t = 0; t < threads; t++)
        for (size_t output = (size_t)t; output < outputs; output += (size_t)threads) {
            term *terms = room + most * (size_t)t;
            if (!mark[output])
                continue;
            size_t kept = keep(w, terms, terms_of(op, x, output, terms), threshold);
            for (size_t k = 0; k < kept; k++) {
                if (to)
                    set(&to[terms[k].input]);
                if (used)
                    set(&used[output / plane * c_in + terms[k].input / below]);
            }
        }
    cp_free(room);
    return CP_OK;
}

/* ---------------------------------------------------------------- layers that sum two values, or move them */

/* The places of its two sources that a shortcut's output adds, -1: none; see shortcut_overlap of the engine. */
static void shortcut_inputs(const layer *l, size_t output, ptrdiff_t input[2])
{
    size_t plane = (size_t)l->out_h * l->out_w, k = output / plane, y = output % plane / l->out_w, x = output % l->out_w;
    int stride = l->w / l->out_w > 1 ? l->w / l->out_w : 1, sample = l->out_w / l->w > 1 ? l->out_w / l->w : 1;
    size_t h = (size_t)(l->h < l->out_h ? l->h : l->out_h), w = (size_t)(l->w < l->out_w ? l->w : l->out_w);
    input[0] = (ptrdiff_t)output;
    input[1] = -1;
    if (k < (size_t)l->c && y % sample == 0 && x % sample == 0 && y / sample < h && x / sample < w)
        input[1] = (ptrdiff_t)((k * l->h + y / sample * stride) * l->w + x / sample * stride);
}

static cp_status through_shortcut(walk *w, int number)
{
    const cp_op *op = op_of(w, number);
    const layer *l = op->l;
    double threshold = w->rule == CP_EFFECTIVE_ABSOLUTE ? threshold_of(w, number) : 0;
    bool same = l->w == l->out_w && l->h == l->out_h && l->c == l->out_c;
    cp_status status = make_marks(w, op->source[0]);
    if (!status)
        status = make_marks(w, op->source[1]);
    for (size_t output = 0; output < op->info->outputs && !status; output++) {
        ptrdiff_t input[2];
        term terms[2];
        size_t n = 0;
        if (!w->mark[number][output])
            continue;
        shortcut_inputs(l, output, input);
        for (int s = 0; s < 2; s++) {
            double factor = s ? (double)l->beta : same || input[1] >= 0 ? (double)l->alpha : 1;
            if (input[s] >= 0) /* which source it is stands in the place of the input */
                terms[n++] = (term){factor * values(w, op->source[s])[input[s]], (uint32_t)s};
        }
        size_t kept = keep(w, terms, n, threshold);
        for (size_t k = 0; k < kept; k++) {
            int source = op->source[terms[k].input];
            if (source >= 0)
                w->mark[source][input[terms[k].input]] = 1;
        }
    }
    return status;
}

/* The input of a max-pool's winner, or -1. */
static ptrdiff_t winner_of(const walk *w, const layer *l, const uint16_t *index, size_t output)
{
    size_t plane = (size_t)l->out_h * l->out_w;
    int tap = index[output], y = (int)(output % plane) / l->out_w, x = (int)(output % plane) % l->out_w;
    (void)w;
    if (tap == NO_WINNER)
        return -1;
    return (ptrdiff_t)((output / plane * l->h + (size_t)(y * l->stride - l->pad / 2 + tap / l->size)) * l->w) +
           x * l->stride - l->pad / 2 + tap % l->size;
}

static cp_status through_pool(walk *w, int layer)
{
    const cp_op *op = op_of(w, layer);
    int source = op->source[0], image = w->image;
    const uint16_t *index = cp_frame_winners(w->frame, layer, &image);
    cp_status status = make_marks(w, source);
    index += (size_t)image * op->info->outputs;
    for (size_t output = 0; output < op->info->outputs && !status && source >= 0; output++) {
        ptrdiff_t input = w->mark[layer][output] ? winner_of(w, op->l, index, output) : -1;
        if (input >= 0)
            w->mark[source][input] = 1;
    }
    return status;
}

/* groups > 1: of each source the part `group`. */
static cp_status through_route(walk *w, int layer, size_t groups, size_t group)
{
    const cp_op *op = op_of(w, layer);
    const uint8_t *mark = w->mark[layer];
    for (int s = 0; s < op->n_sources; s++) {
        size_t part = op->source_outputs[s] / groups;
        cp_status status = make_marks(w, op->source[s]);
        if (status)
            return status;
        for (size_t k = 0; k < part && op->source[s] >= 0; k++)
            w->mark[op->source[s]][group * part + k] |= mark[k];
        mark += part;
    }
    return CP_OK;
}

static cp_status through_upsample(walk *w, int number)
{
    const cp_op *op = op_of(w, number);
    const layer *l = op->l;
    int source = op->source[0];
    cp_status status = make_marks(w, source);
    size_t plane = (size_t)l->out_h * l->out_w;
    for (size_t k = 0; k < op->info->outputs && !status && source >= 0; k++) {
        size_t y = k % plane / l->out_w / l->stride, x = k % l->out_w / l->stride;
        if (w->mark[number][k])
            w->mark[source][(k / plane * l->h + y) * l->w + x] = 1;
    }
    return status;
}

/* permutation NULL: each output is an input. */
static cp_status through_moves(walk *w, int layer, const int32_t *permutation)
{
    const cp_op *op = op_of(w, layer);
    int source = op->source[0];
    cp_status status = make_marks(w, source);
    for (size_t k = 0; k < op->info->outputs && !status && source >= 0; k++) {
        ptrdiff_t input = permutation ? permutation[k] : (ptrdiff_t)k;
        if (w->mark[layer][k] && input >= 0)
            w->mark[source][input] = 1;
    }
    return status;
}

static cp_status through_layer(walk *w, int layer)
{
    const cp_op *op = op_of(w, layer);
    terms_function terms = NULL;
    size_t most = most_terms(op, &terms);
    if (most)
        return through_sums(w, layer, most, terms);
    switch ((int)op->type->type) {
    case MAXPOOL:
        return through_pool(w, layer);
    case SHORTCUT:
        return through_shortcut(w, layer);
    case ROUTE:
        return through_route(w, layer, 1, 0);
    case CP_HOST_GROUP_ROUTE:
        return through_route(w, layer, (size_t)op->cfg->groups, (size_t)op->cfg->group_id);
    case UPSAMPLE:
        if (!op->l->reverse)
            return through_upsample(w, layer);
        break;
    case REORG:
        return through_moves(w, layer, op->permutation);
    case ACTIVE:
        return through_moves(w, layer, NULL);
    }
    return cp_fail(CP_EINPUT, "effective path: layer %d, %s, is a kind for which it is not defined", layer, op->info->type);
}

/* ---------------------------------------------------------------- the path */

static void take_marks(const walk *w, cp_path *path)
{
    const cp_model *model = w->frame->model;
    for (int p = 0; p < model->neuron_layers; p++) {
        const uint8_t *mark = w->mark[model->neuron[p].layer];
        uint64_t *words = cp_path_words_mutable(path, p);
        for (size_t i = 0; mark && i < model->neuron[p].count; i++)
            words[i / 64] |= (uint64_t)mark[i] << i % 64;
    }
}

static cp_status backward(walk *w, const cp_response *response, cp_path *path)
{
    const cp_model *model = w->frame->model;
    cp_status status = CP_OK;
    for (int k = 0; k < response->n && !status; k++) {
        int layer = model->layer[response->unit[k].layer].value;
        status = make_marks(w, layer);
        if (!status)
            w->mark[layer][response->unit[k].index] = 1;
    }
    for (int i = model->layers - 1; i >= 0 && !status; i--)
        if (w->mark[i])
            status = through_layer(w, i);
    if (!status)
        take_marks(w, path);
    return status;
}

static void forward(const walk *w, const cp_response *response, cp_path *path)
{
    const cp_model *model = w->frame->model;
    for (int p = 0; p < model->neuron_layers; p++) {
        int layer = model->neuron[p].layer;
        const float *a = values(w, layer);
        double threshold = threshold_of(w, layer);
        bool counts = false;
        for (int k = 0; k < response->n; k++)
            counts |= cp_model_depends(model, response->unit[k].layer, layer);
        for (size_t i = 0; counts && i < model->neuron[p].count; i++)
            if (a[i] >= threshold)
                cp_path_set(path, model->neuron[p].offset + i, true);
    }
}

/* What is explained does not explain. */
static void clear_response(const cp_model *model, const cp_response *response, cp_path *path)
{
    for (int k = 0; k < response->n; k++) {
        int p = model->neuron_position[model->layer[response->unit[k].layer].value];
        if (p >= 0)
            cp_path_set(path, model->neuron[p].offset + response->unit[k].index, false);
    }
}

static cp_status make_edge_list(cp_effective_edges *edges, int layers)
{
    *edges = (cp_effective_edges){.layers = layers};
    edges->used = cp_alloc((size_t)layers, sizeof *edges->used, "edges of a path");
    edges->c_in = cp_alloc((size_t)layers, sizeof *edges->c_in, "edges of a path");
    return edges->used && edges->c_in ? CP_OK : CP_ERESOURCE;
}

cp_status cp_path_effective(const cp_frame *frame, int image, const cp_response *response, cp_effective_rule rule,
                            double theta, cp_path *path, cp_effective_edges *edges)
{
    const cp_model *model = frame->model;
    walk w = {.frame = frame, .image = image, .rule = rule, .theta = theta, .edges = edges};
    cp_path_fill(path, false);
    if (edges)
        *edges = (cp_effective_edges){0};
    if (!(theta > 0 && theta <= 1))
        return cp_fail(CP_EINPUT, "effective path: theta %g, it is above 0 and at most 1", theta);
    if (frame->base || !cp_has(frame, CP_HAS_GAMMA_RULE))
        return cp_fail(CP_EINPUT, "effective path: it is found on the CPU in a whole frame; -nogpu computes there");
    cp_status status = edges ? make_edge_list(edges, model->layers) : CP_OK;
    w.mark = cp_alloc((size_t)model->layers, sizeof *w.mark, "effective path");
    if (!status && !w.mark)
        status = CP_ERESOURCE;
    if (!status && rule == CP_EFFECTIVE_FORWARD)
        forward(&w, response, path);
    else if (!status)
        status = backward(&w, response, path);
    if (!status)
        clear_response(model, response, path);
    for (int i = 0; w.mark && i < model->layers; i++)
        cp_free(w.mark[i]);
    cp_free(w.mark);
    return status;
}

void cp_effective_edges_free(cp_effective_edges *edges)
{
    for (int i = 0; edges->used && i < edges->layers; i++)
        cp_free(edges->used[i]);
    cp_free(edges->used);
    cp_free(edges->c_in);
    *edges = (cp_effective_edges){0};
}

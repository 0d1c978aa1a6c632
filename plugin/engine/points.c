/* Which layers of a path keep their deltas as points, and how those pass through the layers that only move numbers. */
#include "engine/points.h"

#include <string.h>

#include "engine/cpu/ops.h"
#include "io/error.h"

static size_t outputs_of(const cp_frame *frame, int layer)
{
    return layer < 0 ? (size_t)frame->model->net->inputs : frame->model->layer[layer].outputs;
}

static const cp_op *op_of(const cp_frame *frame, int layer) { return layer < 0 ? NULL : &frame->engine->op[layer]; }

static bool is_type(const cp_op *op, LAYER_TYPE type) { return op && op->type && op->type->type == type; }

static bool same_shape(const layer *l) { return l->w == l->out_w && l->h == l->out_h && l->c == l->out_c; }

static bool is_plain_shortcut(const cp_op *op) { return is_type(op, SHORTCUT) && same_shape(op->l); }

/* ---------------------------------------------------------------- which layers have points */

static cp_status allocate(cp_points *points, size_t n, bool winners)
{
    points->index = cp_alloc_dirty(n + 1, sizeof *points->index, "points");
    points->winner = winners ? cp_alloc_dirty(n + 1, sizeof *points->winner, "points") : NULL;
    return points->index && (points->winner || !winners) ? CP_OK : CP_ERESOURCE;
}

enum { SHORTCUT_SHARE = 4 }; /* a shortcut takes points where they are fewer than one in so many */

static bool takes_points(const cp_op *op, size_t n)
{
    if (is_type(op, CONVOLUTIONAL)) return cp_conv_takes_points(op, n);
    return is_plain_shortcut(op) && n < op->info->outputs / SHORTCUT_SHARE;
}

/* Points of max-pools are in no order; a shortcut merges ordered ones. */
static bool has_ordered_sources(const cp_points_run *run, const cp_op *op)
{
    for (int s = 0; s < op->n_sources; ++s) {
        int source = op->source[s];
        if (cp_points_of(run, source) && run->frame->model->neuron_position[source] < 0) return false;
    }
    return true;
}

CP_CLONES static size_t count_bits(const uint64_t *words, size_t n)
{
    size_t count = 0;
    for (size_t w = 0; w < n; ++w) count += (size_t)__builtin_popcountll(words[w]);
    return count;
}

static cp_status choose_neurons(cp_points_run *run, int layer, int position)
{
    cp_points *points = &run->at[layer + 1];
    const uint64_t *words = cp_path_words(run->path, position);
    size_t outputs = outputs_of(run->frame, layer), n = count_bits(words, (outputs + 63) / 64);
    if (outputs >= UINT32_MAX || !takes_points(op_of(run->frame, layer), n)) return CP_OK;
    if (is_type(op_of(run->frame, layer), SHORTCUT) && !has_ordered_sources(run, op_of(run->frame, layer))) return CP_OK;
    if (allocate(points, n, false)) return CP_ERESOURCE;
    for (size_t w = 0; w * 64 < outputs; ++w)
        for (uint64_t left = words[w]; left; left &= left - 1)
            points->index[points->n++] = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(left));
    return CP_OK;
}

/* Every output whose winner is one of the source's points; an output has one winner, so none comes twice. */
static cp_status choose_winners(cp_points_run *run, int layer)
{
    const cp_op *op = op_of(run->frame, layer);
    const struct layer *l = op->l;
    cp_points *points = &run->at[layer + 1];
    const cp_points *source = cp_points_of(run, op->source[0]);
    size_t outputs = outputs_of(run->frame, layer), plane = (size_t)l->h * l->w, out_plane = (size_t)l->out_h * l->out_w;
    const uint16_t *winners = run->frame->index[layer] + run->image * outputs;
    size_t side = (size_t)(l->size + l->stride - 1) / l->stride, most = source->n * side * side;
    if (outputs >= UINT32_MAX) return CP_OK;
    if (allocate(points, most < outputs ? most : outputs, true)) return CP_ERESOURCE;
    for (size_t k = 0; k < source->n; ++k) {
        size_t c = source->index[k] / plane, position = source->index[k] % plane;
        int y = (int)(position / l->w) + l->pad / 2, x = (int)(position % l->w) + l->pad / 2;
        int oy = y < l->size ? 0 : (y - l->size) / l->stride + 1, ox0 = x < l->size ? 0 : (x - l->size) / l->stride + 1;
        for (; oy * l->stride <= y && oy < l->out_h; ++oy)
            for (int ox = ox0; ox * l->stride <= x && ox < l->out_w; ++ox) {
                size_t out = c * out_plane + (size_t)oy * l->out_w + ox;
                if (winners[out] != (y - oy * l->stride) * l->size + x - ox * l->stride) continue;
                points->winner[points->n] = (uint32_t)k;
                points->index[points->n++] = (uint32_t)out;
            }
    }
    return CP_OK;
}

static cp_status choose_route(cp_points_run *run, int layer)
{
    const cp_op *op = op_of(run->frame, layer);
    cp_points *points = &run->at[layer + 1];
    size_t n = 0, first = 0;
    for (int s = 0; s < op->n_sources; ++s) {
        const cp_points *source = cp_points_of(run, op->source[s]);
        if (!source) return CP_OK;
        n += source->n;
    }
    if (outputs_of(run->frame, layer) >= UINT32_MAX) return CP_OK;
    if (allocate(points, n, false)) return CP_ERESOURCE;
    for (int s = 0; s < op->n_sources; first += op->source_outputs[s++]) {
        const cp_points *source = cp_points_of(run, op->source[s]);
        for (size_t k = 0; k < source->n; ++k) points->index[points->n++] = (uint32_t)(first + source->index[k]);
    }
    return CP_OK;
}

static int readers_of(const cp_points_run *run, const bool *open, int layer)
{
    int readers = 0;
    for (int i = layer + 1; i < run->frame->model->layers; ++i)
        for (int s = 0; s < op_of(run->frame, i)->n_sources; ++s)
            readers += open[i + 1] && op_of(run->frame, i)->source[s] == layer;
    return readers;
}

/* A convolution whose output only a shortcut reads has deltas where the shortcut has. */
static void choose_added(cp_points_run *run, const bool *open, int layer)
{
    const cp_op *op = op_of(run->frame, layer);
    const cp_points *points = cp_points_of(run, layer);
    for (int s = 0; points && s < op->n_sources; ++s) {
        int source = op->source[s];
        if (source < 0 || !open[source + 1] || cp_points_of(run, source) || run->frame->model->neuron_position[source] >= 0)
            continue;
        if (!is_type(op_of(run->frame, source), CONVOLUTIONAL) || !takes_points(op_of(run->frame, source), points->n)) continue;
        if (readers_of(run, open, source) == 1)
            run->at[source + 1] = (cp_points){.n = points->n, .index = points->index, .shared = true};
    }
}

static cp_status choose_layer(cp_points_run *run, int layer)
{
    const cp_op *op = op_of(run->frame, layer);
    int position = run->frame->model->neuron_position[layer];
    if (position >= 0) return choose_neurons(run, layer, position);
    if (is_type(op, MAXPOOL) && cp_points_of(run, op->source[0])) return choose_winners(run, layer);
    return is_type(op, ROUTE) ? choose_route(run, layer) : CP_OK;
}

/* For every layer that has points or reads one that has, the response's own too. */
static cp_status make_work(cp_points_run *run)
{
    size_t most = 0, words;
    cp_status status = CP_OK;
    for (int i = 0; i < run->frame->model->layers && !status; ++i) {
        const cp_op *op = op_of(run->frame, i);
        if (!is_type(op, CONVOLUTIONAL)) continue;
        const cp_points *from = cp_points_of(run, i), *to = cp_points_of(run, op->source[0]);
        if (!from && !to) continue;
        status = cp_conv_points_work(op, from ? from->n : 0, to ? to->n : 0, &words);
        if (words > most) most = words;
    }
    if (!status && !(run->work = cp_alloc_dirty(most + 1, sizeof *run->work, "points"))) status = CP_ERESOURCE;
    return status;
}

cp_status cp_points_choose(const cp_frame *frame, const cp_path *path, int image, const bool *open, cp_points_run *run)
{
    int layers = frame->model->layers;
    cp_status status = CP_OK;
    *run = (cp_points_run){.frame = frame, .path = path, .image = image};
    if (!(run->at = cp_alloc(layers + 1, sizeof *run->at, "points"))) return CP_ERESOURCE;
    for (int i = 0; i < layers && !status; ++i)
        if (open[i + 1]) status = choose_layer(run, i);
    for (int i = layers - 1; i >= 0 && !status; --i)
        if (open[i + 1] && is_plain_shortcut(op_of(frame, i))) choose_added(run, open, i);
    return status ? status : make_work(run);
}

void cp_points_free(cp_points_run *run)
{
    for (int i = 0; run->at && i <= run->frame->model->layers; ++i) {
        if (!run->at[i].shared) cp_free(run->at[i].index);
        cp_free(run->at[i].winner);
    }
    cp_free(run->at);
    cp_free(run->work);
}

/* ---------------------------------------------------------------- through one layer */

/* Both are ascending: neurons of a path. */
static void merge(const cp_points *from, const float *delta, float factor, const cp_points *to, float *in_delta)
{
    for (size_t k = 0, i = 0; k < from->n; ++k) {
        while (i < to->n && to->index[i] < from->index[k]) ++i;
        if (i == to->n) return;
        if (to->index[i] == from->index[k]) in_delta[i] += factor * delta[k];
    }
}

/* Source s of a layer whose outputs are numbered as the source's, from `first` on, times a factor. */
static void pass(const cp_points *from, const float *delta, size_t first, float factor, const cp_points *to, float *in_delta)
{
    if (!from)
        for (size_t k = 0; k < to->n; ++k) in_delta[k] += factor * delta[first + to->index[k]];
    else if (!to)
        for (size_t k = 0; k < from->n; ++k) in_delta[from->index[k]] += factor * delta[k];
    else if (to->index == from->index)
        for (size_t k = 0; k < from->n; ++k) in_delta[k] += factor * delta[k];
    else
        merge(from, delta, factor, to, in_delta);
}

/* A route has points only where all its sources have, and then one after the other. */
static void through_route(const cp_points_run *run, const cp_op *op, int s, const cp_points *from, const float *delta,
                          const cp_points *to, float *in_delta)
{
    size_t first = 0, points = 0;
    for (int before = 0; before < s; ++before) {
        first += op->source_outputs[before];
        if (from) points += cp_points_of(run, op->source[before])->n;
    }
    if (from)
        for (size_t k = 0; k < to->n; ++k) in_delta[k] += delta[points + k];
    else
        pass(NULL, delta, first, 1, to, in_delta);
}

bool cp_points_has_way(const cp_points_run *run, int layer, int s)
{
    const cp_op *op = op_of(run->frame, layer);
    const cp_points *to = cp_points_of(run, op->source[s]);
    if (cp_points_of(run, layer) || !to || is_type(op, ROUTE) || is_plain_shortcut(op)) return true;
    return is_type(op, CONVOLUTIONAL) && cp_conv_reaches_points(op, to->n);
}

bool cp_points_backward(const cp_points_run *run, int layer, int s, const float *delta, float *in_delta)
{
    const cp_op *op = op_of(run->frame, layer);
    const cp_points *from = cp_points_of(run, layer), *to = cp_points_of(run, op->source[s]);
    if (!cp_points_has_way(run, layer, s)) return false;
    if (is_type(op, ROUTE))
        through_route(run, op, s, from, delta, to, in_delta);
    else if (is_type(op, SHORTCUT))
        pass(from, delta, 0, s ? op->l->beta : op->l->alpha, to, in_delta);
    else if (is_type(op, MAXPOOL))
        for (size_t k = 0; k < from->n; ++k) in_delta[from->winner[k]] += delta[k];
    else if (from)
        cp_conv_from_points(op, from, delta, to, in_delta, run->work);
    else
        cp_conv_to_points(op, delta, to, in_delta, run->work);
    return true;
}

void cp_points_take(const cp_points *points, const float *dense, float *delta)
{
    for (size_t k = 0; k < points->n; ++k) delta[k] += dense[points->index[k]];
}

void cp_points_descend(const cp_points *points, const float *a, ACTIVATION activation, float *delta)
{
    enum { PART = 256 };
    float part[PART];
    for (size_t first = 0; first < points->n; first += PART) {
        size_t n = points->n - first < PART ? points->n - first : PART;
        for (size_t k = 0; k < n; ++k) part[k] = a[points->index[first + k]];
        cp_activation_gradient(part, n, activation, delta + first);
    }
}

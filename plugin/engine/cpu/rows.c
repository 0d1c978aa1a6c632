/* A response reads a few units of its layer: of a classifier's last convolution one filter in a thousand. A branch that
 * is limited to a response computes no others. */
#include <cblas.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

enum { EVERY = CP_RESPONSE_UNITS + 1, WORTH = 4 }; /* at most a quarter of the channels */

static void need(cp_rows *of, int channel)
{
    for (int k = 0; k < of->n; ++k)
        if (of->n == EVERY || of->channel[k] == channel) return;
    if (of->n < CP_RESPONSE_UNITS) of->channel[of->n] = channel;
    ++of->n;
}

/* What a layer needs of its sources: channel by channel, or everything. */
static void need_of_sources(const cp_op *op, cp_rows *rows)
{
    bool by_channel = op->l->type == AVGPOOL || op->l->type == MAXPOOL || op->l->type == UPSAMPLE;
    for (int s = 0; s < op->n_sources; ++s) {
        if (op->source[s] < 0) continue;
        cp_rows *of = &rows[op->source[s]];
        if (!by_channel || rows[op->info->index].n == EVERY) of->n = EVERY;
        for (int k = 0; of->n != EVERY && k < rows[op->info->index].n; ++k)
            need(of, rows[op->info->index].channel[k]);
    }
}

static bool is_worth_it(const cp_op *op, const cp_rows *rows)
{
    bool plain = op->l->type == CONNECTED || (op->l->type == CONVOLUTIONAL && op->conv->window.groups == 1);
    return plain && !op->inner && !op->keeps_z && rows->n != EVERY && (size_t)rows->n * WORTH <= op->info->c;
}

cp_status cp_rows_find(const cp_frame *frame, cp_rows **out)
{
    const cp_response *limit = &frame->limit;
    const cp_layer_info *layers = frame->model->layer;
    cp_rows *rows = *out = cp_alloc(frame->model->layers, sizeof *rows, "frame");
    if (!rows) return CP_ERESOURCE;
    for (int k = 0; k < limit->n; ++k) {
        const cp_layer_info *own = &layers[layers[limit->unit[k].layer].value];
        need(&rows[own->index], (int)(limit->unit[k].index / (own->h * own->w)));
    }
    for (int i = frame->model->layers - 1; i >= 0; --i)
        if (frame->value[i + 1] && i != frame->branch_layer) need_of_sources(&frame->engine->op[i], rows);
    for (int i = 0; i < frame->model->layers; ++i)
        if (!frame->value[i + 1] || i == frame->branch_layer || !is_worth_it(&frame->engine->op[i], &rows[i])) rows[i].n = 0;
    return CP_OK;
}

CP_CLONES static void add_scaled(float *restrict to, const float *restrict from, float factor, size_t n)
{
    for (size_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

static void add_tap(const cp_window *g, float weight, int ky, int kx, const float *x, float *y)
{
    int offset = kx - g->pad, from, to;
    cp_valid_columns(g->out_w, g->stride, offset, g->w, &from, &to);
    for (int oy = 0; oy < g->out_h; ++oy) {
        int iy = oy * g->stride + ky - g->pad;
        if (iy < 0 || iy >= g->h || to <= from) continue;
        const float *row = x + (ptrdiff_t)iy * g->w + offset;
        float *out = y + (size_t)oy * g->out_w;
        if (g->stride == 1)
            add_scaled(out + from, row + from, weight, (size_t)(to - from));
        else
            for (int ox = from; ox < to; ++ox) out[ox] += weight * row[ox * g->stride];
    }
}

/* One filter: y (out_h, out_w). */
static void convolve(const cp_window *g, const float *weights, const float *x, float *y)
{
    size_t plane = (size_t)g->h * g->w, positions = (size_t)g->out_h * g->out_w;
    memset(y, 0, positions * sizeof *y);
    for (int c = 0; c < g->c; ++c, x += plane)
        for (int ky = 0; ky < g->size; ++ky)
            for (int kx = 0; kx < g->size; ++kx, ++weights)
                if (g->size == 1 && g->stride == 1 && g->pad == 0)
                    add_scaled(y, x, *weights, plane);
                else
                    add_tap(g, *weights, ky, kx, x, y);
}

void cp_rows_forward(const cp_op *op, const cp_rows *rows, int n, cp_batch in, cp_batch out)
{
    const layer *l = op->l;
    bool connected = l->type == CONNECTED;
    size_t positions = op->info->h * op->info->w;
    size_t width = connected ? (size_t)l->inputs : (size_t)l->c * l->size * l->size;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * rows->n * positions * width))
    for (int b = 0; b < n; ++b)
        for (int r = 0; r < rows->n; ++r) {
            int row = rows->channel[r];
            const float *weights = l->weights + row * width;
            float *y = cp_at(out, b) + row * positions;
            if (connected)
                *y = cblas_sdot((int)width, weights, 1, cp_at(in, b), 1);
            else
                convolve(&op->conv->window, weights, cp_at(in, b), y);
            cp_activate_bias(y, positions, l->biases[row], op->activation);
        }
}

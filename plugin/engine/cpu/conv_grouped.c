/* Convolutions of many small groups, computed directly: as matrix products they are too small to be worth im2col and
 * sgemm's packing.
 *
 * A group's input is copied into planes with their margins, rows one after the other, so that each tap of the window is
 * one offset and whole planes are one run of positions: a product reads TILE positions of a tap at once, across row ends,
 * and the few positions that are no outputs are dropped. With a stride the input is first split into stride*stride
 * phases, in which taps are neighbours again. The data gradient at input phase (a,b) is such a product too, over the
 * deltas, by the taps ky = a, a + stride, ..., so it is a gather as well. */
#include <omp.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

enum { OUTS = 4, LANES = 16, TILE = 2 * LANES }; /* OUTS x TILE sums stay in registers */
enum { MOST_CHANNELS = 32, MOST_STRIDE = 4, MOST_SIZE = 7 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

/* out (outs, rows, columns) = sum over channels and taps. Lines of the copied planes are `line` floats long. */
typedef struct {
    int channels, outs, rows, columns, line, taps;
    size_t channel_stride;
    int tap[MOST_SIZE * MOST_SIZE];       /* of the window */
    size_t offset[MOST_SIZE * MOST_SIZE]; /* of each tap, from the start of a channel */
    float *weights;                       /* (groups, ceil(outs/OUTS), channels, taps, OUTS) */
} product;

/* Of a forward run the first; of a data gradient by phase of the input, without taps where the window leaves a gap. */
typedef struct {
    product product[MOST_STRIDE * MOST_STRIDE];
} state;

static int ceil_div(int a, int b) { return (a + b - 1) / b; }

static bool fits(const cp_product *p)
{
    const cp_window *g = &p->window;
    return g->groups > 1 && g->c > 1 && g->c <= MOST_CHANNELS && g->m <= MOST_CHANNELS && g->stride <= MOST_STRIDE &&
           g->size > 1 && g->size <= MOST_SIZE && cp_is_compact(g);
}

/* ---------------------------------------------------------------- prepared once per model */

static size_t positions(const product *p) { return (size_t)(p->rows - 1) * p->line + p->columns; }
static size_t padded_positions(const product *p) { return (positions(p) + TILE - 1) / TILE * TILE; }
static size_t blocks(const product *p) { return ceil_div(p->outs, OUTS); }
static size_t copied(const product *p) { return p->channels * p->channel_stride + 2 * TILE; } /* tiles read beyond */
static int phases_of(const cp_window *g) { return g->stride < g->size ? g->stride : g->size; }
static int products_of(const cp_product *p) { return p->backward ? p->window.stride * p->window.stride : 1; }

static product forward_shape(const cp_window *g)
{
    int phases = phases_of(g), reach = (g->size - 1) / g->stride;
    product p = {.channels = g->c, .outs = g->m, .rows = g->out_h, .columns = g->out_w, .line = g->out_w + reach,
                 .taps = g->size * g->size};
    size_t plane = (size_t)(g->out_h + reach) * p.line;
    p.channel_stride = plane * phases * phases;
    for (int t = 0; t < p.taps; ++t) {
        int ky = t / g->size, kx = t % g->size;
        p.tap[t] = t;
        p.offset[t] = (ky % g->stride * phases + kx % g->stride) * plane;
        p.offset[t] += (size_t)(ky / g->stride) * p.line + kx / g->stride;
    }
    return p;
}

/* Input row stride*q + a - pad receives output row q - j through tap ky = a + stride*j; `reach` is the largest j. */
static product back_shape(const cp_window *g, int a, int b)
{
    int reach = (g->size - 1) / g->stride;
    product p = {.channels = g->m, .outs = g->c, .rows = (g->h - 1 + g->pad) / g->stride + 1,
                 .columns = (g->w - 1 + g->pad) / g->stride + 1};
    p.line = p.columns + reach;
    p.channel_stride = (size_t)(p.rows + reach) * p.line;
    for (int j = 0; a + g->stride * j < g->size; ++j)
        for (int i = 0; b + g->stride * i < g->size; ++i) {
            p.tap[p.taps] = (a + g->stride * j) * g->size + b + g->stride * i;
            p.offset[p.taps++] = (size_t)(reach - j) * p.line + reach - i;
        }
    return p;
}

static cp_status offer(cp_product *p)
{
    const cp_window *g = &p->window;
    state *own = p->own = cp_alloc(1, sizeof *own, "grouped convolution");
    if (!own) return CP_ERESOURCE;
    for (int k = 0; k < products_of(p); ++k) {
        product *of = &own->product[k];
        *of = p->backward ? back_shape(g, k / g->stride, k % g->stride) : forward_shape(g);
        p->bytes += g->groups * blocks(of) * of->channels * of->taps * OUTS * sizeof(float);
    }
    p->per_thread = copied(own->product) + OUTS * padded_positions(own->product); /* all phases need the same */
    p->cost = cp_window_macs(g) / 50;
    return CP_OK;
}

static const float *block_weights(const product *p, int group, int block)
{
    return p->weights + (group * blocks(p) + block) * p->channels * p->taps * OUTS;
}

/* w (M, C, size*size) of a group; `turned`: outs are C and channels M. */
static void load_group(const cp_window *g, const float *w, int group, bool turned, product *p)
{
    size_t taps = (size_t)g->size * g->size;
    for (int out = 0; out < p->outs; ++out) {
        float *to = (float *)block_weights(p, group, out / OUTS) + out % OUTS;
        for (int channel = 0; channel < p->channels; ++channel) {
            const float *from = w + (turned ? (size_t)channel * g->c + out : (size_t)out * g->c + channel) * taps;
            for (int t = 0; t < p->taps; ++t, to += OUTS) *to = from[p->tap[t]];
        }
    }
}

static cp_status load(cp_product *p)
{
    const cp_window *g = &p->window;
    for (int k = 0; k < products_of(p); ++k) {
        product *of = &((state *)p->own)->product[k];
        of->weights = cp_alloc(g->groups * blocks(of) * of->channels * of->taps, OUTS * sizeof(float), "grouped weights");
        if (!of->weights) return CP_ERESOURCE;
        for (int group = 0; group < g->groups; ++group)
            load_group(g, p->weights + (size_t)group * g->m * g->c * g->size * g->size, group, p->backward, of);
    }
    return CP_OK;
}

static void release(void *own)
{
    for (int k = 0; k < MOST_STRIDE * MOST_STRIDE; ++k) cp_free(((state *)own)->product[k].weights);
    cp_free(own);
}

/* ---------------------------------------------------------------- products */

/* TILE positions of OUTS outputs; out: OUTS rows of `out_stride`. */
CP_CLONES static void multiply_tile(const float *in, size_t channel_stride, int channels, const size_t *offset,
                                    int taps, const float *w, float *out, size_t out_stride)
{
    lanes a0 = {0}, a1 = {0}, b0 = {0}, b1 = {0}, c0 = {0}, c1 = {0}, d0 = {0}, d1 = {0};
    for (int c = 0; c < channels; ++c, in += channel_stride)
        for (int t = 0; t < taps; ++t, w += OUTS) {
            const lanes *x = (const lanes *)(in + offset[t]);
            lanes x0 = x[0], x1 = x[1];
            a0 += w[0] * x0, a1 += w[0] * x1;
            b0 += w[1] * x0, b1 += w[1] * x1;
            c0 += w[2] * x0, c1 += w[2] * x1;
            d0 += w[3] * x0, d1 += w[3] * x1;
        }
    lanes *to = (lanes *)out;
    to[0] = a0, to[1] = a1;
    to = (lanes *)(out + out_stride), to[0] = b0, to[1] = b1;
    to = (lanes *)(out + 2 * out_stride), to[0] = c0, to[1] = c1;
    to = (lanes *)(out + 3 * out_stride), to[0] = d0, to[1] = d1;
}

/* All positions of one block of outputs; sums: OUTS rows of padded_positions. */
static void multiply_block(const product *p, int group, int block, const float *planes, float *sums)
{
    size_t stride = padded_positions(p);
    const float *w = block_weights(p, group, block);
    for (size_t at = 0; at < stride; at += TILE)
        multiply_tile(planes + at, p->channel_stride, p->channels, p->offset, p->taps, w, sums + at, stride);
}

/* to[i] = from[i*stride + first] where that is inside 0..width-1, else 0. */
static void copy_line(const float *from, int width, int stride, int first, int n, float *to)
{
    int begin, end;
    cp_valid_columns(n, stride, first, width, &begin, &end);
    if (begin > n) begin = n;
    if (end < begin) end = begin;
    memset(to, 0, begin * sizeof *to);
    if (stride == 1)
        memcpy(to + begin, from + begin + first, (end - begin) * sizeof *to);
    else
        for (int i = begin; i < end; ++i) to[i] = from[i * stride + first];
    memset(to + end, 0, (n - end) * sizeof *to);
}

/* The input of one group with its margins, split into phases. */
static void copy_input(const cp_window *g, const product *p, const float *x, float *planes)
{
    int phases = phases_of(g), lines = g->out_h + (g->size - 1) / g->stride;
    float *to = planes;
    for (int c = 0; c < g->c; ++c)
        for (int phase = 0; phase < phases * phases; ++phase)
            for (int y = 0; y < lines; ++y, to += p->line) {
                int iy = y * g->stride + phase / phases - g->pad;
                if (iy < 0 || iy >= g->h)
                    memset(to, 0, p->line * sizeof *to);
                else
                    copy_line(x + ((size_t)c * g->h + iy) * g->w, g->w, g->stride, phase % phases - g->pad, p->line,
                              to);
            }
    memset(to, 0, 2 * TILE * sizeof *to);
}

static void copy_deltas(const cp_window *g, const product *p, const float *y, float *planes)
{
    int reach = (g->size - 1) / g->stride;
    float *to = planes;
    for (int m = 0; m < g->m; ++m)
        for (int line = -reach; line < p->rows; ++line, to += p->line) {
            if (line < 0 || line >= g->out_h)
                memset(to, 0, p->line * sizeof *to);
            else
                copy_line(y + ((size_t)m * g->out_h + line) * g->out_w, g->out_w, 1, -reach, p->line, to);
        }
    memset(to, 0, 2 * TILE * sizeof *to);
}

static void forward(const cp_product *whole, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                    const cp_scratch *scratch)
{
    const cp_window *g = &whole->window;
    const product *p = ((const state *)whole->own)->product;
    size_t in = (size_t)g->c * g->h * g->w, out_plane = (size_t)g->out_h * g->out_w;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int b = 0; b < n; ++b)
        for (int group = 0; group < g->groups; ++group) {
            float *planes = scratch->thread + omp_get_thread_num() * scratch->per_thread, *sums = planes + copied(p);
            copy_input(g, p, cp_at(x, b) + group * in, planes);
            for (int m = 0; m < g->m; ++m) {
                if (m % OUTS == 0) multiply_block(p, group, m / OUTS, planes, sums);
                const float *from = sums + m % OUTS * padded_positions(p);
                int filter = group * g->m + m;
                float *to = cp_at(y, b) + filter * out_plane;
                for (int row = 0; row < g->out_h; ++row)
                    memcpy(to + (size_t)row * g->out_w, from + (size_t)row * p->line, g->out_w * sizeof *to);
                if (bias || activation != LINEAR) cp_activate_bias(to, out_plane, bias ? bias[filter] : 0, activation);
            }
        }
}

/* One phase of one input channel: every stride-th value of every stride-th row. */
static void put_phase(const cp_window *g, const product *p, int a, int b, const float *sums, bool fresh, float *x)
{
    for (int q = 0; q < p->rows; ++q) {
        int iy = q * g->stride + a - g->pad, from, to;
        if (iy < 0 || iy >= g->h) continue;
        cp_valid_columns(p->columns, g->stride, b - g->pad, g->w, &from, &to);
        float *row = x + (size_t)iy * g->w + b - g->pad;
        const float *sum = sums + (size_t)q * p->line;
        if (fresh)
            for (int i = from; i < to; ++i) row[i * g->stride] = sum[i];
        else
            for (int i = from; i < to; ++i) row[i * g->stride] += sum[i];
    }
}

static void backward(const cp_product *whole, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    const cp_window *g = &whole->window;
    size_t in_plane = (size_t)g->h * g->w, out = (size_t)g->m * g->out_h * g->out_w;
    const product *any = ((const state *)whole->own)->product;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int b = 0; b < n; ++b)
        for (int group = 0; group < g->groups; ++group) {
            float *planes = scratch->thread + omp_get_thread_num() * scratch->per_thread, *sums = planes + copied(any);
            copy_deltas(g, any, cp_at(y, b) + group * out, planes);
            for (int k = 0; k < g->stride * g->stride; ++k) {
                const product *p = any + k;
                for (int c = 0; c < g->c; ++c) {
                    if (c % OUTS == 0) multiply_block(p, group, c / OUTS, planes, sums);
                    put_phase(g, p, k / g->stride, k % g->stride, sums + c % OUTS * padded_positions(p), fresh,
                              cp_at(x, b) + ((size_t)group * g->c + c) * in_plane);
                }
            }
        }
}

const cp_kernel cp_conv_grouped = {.name = "grouped", .even = true, .fits = fits, .open = offer, .load = load,
                                     .forward = forward, .backward = backward, .close = release};

/* The data gradient of a convolution of few input channels, as a network's first one is: as a matrix product it has few
 * rows, and col2im moves more than is computed.
 *
 * Input row stride*q + a - pad receives from output row q - j through the taps ky = a + stride*j, and columns likewise: by
 * phase (a,b) of the input the gradient is a gather over the deltas. Rows of deltas of all filters are copied with their margins,
 * a band at a time that stays in cache; sums of all input channels stay in registers. */
#include <omp.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "io/error.h"

enum {
    LANES = 16, TILE = 2 * LANES,
    MOST_CHANNELS = 4, MOST_STRIDE = 4, MOST_SIZE = 11,
    MOST_TAPS = MOST_SIZE * MOST_SIZE,
    BAND_FLOATS = 1 << 16
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

/* Of one phase. */
typedef struct {
    int n;
    size_t offset[MOST_TAPS]; /* in the copy of a filter, from the position's own row and column - reach on */
    float *weights;           /* (M, n, C) */
} taps;

typedef struct {
    int reach;                /* the largest j */
    int rows, columns;        /* positions q */
    size_t line;              /* of the copy */
    int band;                 /* positions' rows that are copied at a time, and reach rows before them */
    taps phase[MOST_STRIDE * MOST_STRIDE];
} state;

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

static bool fits(const cp_product *p)
{
    const cp_window *g = &p->window;
    return g->groups == 1 && g->c <= MOST_CHANNELS && g->size > 1 && g->size <= MOST_SIZE && g->stride <= MOST_STRIDE &&
           g->stride <= g->size && cp_is_compact(g);
}

static cp_status prepare_phase(const cp_window *g, const float *weights, int a, int b, state *stem)
{
    taps *t = &stem->phase[a * g->stride + b];
    int at[MOST_TAPS], window = g->size * g->size;
    for (int j = 0; a + g->stride * j < g->size; ++j)
        for (int i = 0; b + g->stride * i < g->size; ++i) {
            at[t->n] = (a + g->stride * j) * g->size + b + g->stride * i;
            t->offset[t->n++] = (size_t)(stem->reach - j) * stem->line + stem->reach - i;
        }
    if (!(t->weights = cp_alloc((size_t)g->m * t->n * g->c, sizeof *t->weights, "convolution"))) return CP_ERESOURCE;
    for (int m = 0; m < g->m; ++m)
        for (int k = 0; k < t->n; ++k)
            for (int c = 0; c < g->c; ++c)
                t->weights[((size_t)m * t->n + k) * g->c + c] = weights[((size_t)m * g->c + c) * window + at[k]];
    return CP_OK;
}

static size_t copied(const cp_window *g, const state *stem) { return (size_t)g->m * (stem->band + stem->reach) * stem->line; }

static size_t summed(const cp_window *g, const state *stem)
{
    return (size_t)g->stride * g->c * max(stem->columns, TILE);
}

static cp_status open_stem(cp_product *p)
{
    static const double rate = 50; /* multiply-adds in a nanosecond, on a core that does 50 in sgemm */
    const cp_window *g = &p->window;
    state *stem = p->own = cp_alloc(1, sizeof *stem, "convolution");
    if (!stem) return CP_ERESOURCE;
    stem->reach = (g->size - 1) / g->stride;
    stem->rows = (g->h - 1 + g->pad) / g->stride + 1;
    stem->columns = (g->w - 1 + g->pad) / g->stride + 1;
    stem->line = (size_t)max(stem->columns, TILE) + stem->reach;
    stem->band = max(1, min(stem->rows, (int)(BAND_FLOATS / (g->m * stem->line)) - stem->reach));
    p->bytes = sizeof(float) * g->m * g->c * g->size * g->size;
    p->per_thread = copied(g, stem) + summed(g, stem);
    p->cost = cp_window_macs(g) / rate + .25 * g->m * g->out_h * g->out_w + .5 * g->c * g->h * g->w;
    return CP_OK;
}

static cp_status load(cp_product *p)
{
    const cp_window *g = &p->window;
    cp_status status = CP_OK;
    for (int k = 0; k < g->stride * g->stride && !status; ++k)
        status = prepare_phase(g, p->weights, k / g->stride, k % g->stride, p->own);
    return status;
}

static void close_stem(void *own)
{
    for (int k = 0; k < MOST_STRIDE * MOST_STRIDE; ++k) cp_free(((state *)own)->phase[k].weights);
    cp_free(own);
}

/* copy (M, rows, line): rows first, first + 1, ... of the deltas; 0 outside the image. */
static void copy_rows(const cp_window *g, const state *stem, const float *delta, int first, int rows, float *copy)
{
    int columns = min(g->out_w, (int)stem->line - stem->reach);
    for (int m = 0; m < g->m; ++m)
        for (int y = first; y < first + rows; ++y, copy += stem->line) {
            if (y < 0 || y >= g->out_h) {
                memset(copy, 0, stem->line * sizeof *copy);
                continue;
            }
            memset(copy, 0, stem->reach * sizeof *copy);
            memcpy(copy + stem->reach, delta + ((size_t)m * g->out_h + y) * g->out_w, columns * sizeof *copy);
            memset(copy + stem->reach + columns, 0, (stem->line - stem->reach - columns) * sizeof *copy);
        }
}

/* TILE positions of all input channels, a constant; sum: rows of `stride`. */
static inline __attribute__((always_inline)) void sum_tile(int channels, const float *copy, size_t filter, int m_count,
                                                           const taps *t, float *sum, size_t stride)
{
    lanes total[MOST_CHANNELS][2];
    const float *w = t->weights;
    _Pragma("GCC unroll 4") for (int c = 0; c < channels; ++c) total[c][0] = total[c][1] = (lanes){0};
    for (int m = 0; m < m_count; ++m, copy += filter)
        for (int k = 0; k < t->n; ++k, w += channels) {
            lanes left = *(const lanes *)(copy + t->offset[k]), right = *(const lanes *)(copy + t->offset[k] + LANES);
            _Pragma("GCC unroll 4") for (int c = 0; c < channels; ++c)
            {
                total[c][0] += w[c] * left;
                total[c][1] += w[c] * right;
            }
        }
    _Pragma("GCC unroll 4") for (int c = 0; c < channels; ++c)
    {
        *(lanes *)(sum + c * stride) = total[c][0];
        *(lanes *)(sum + c * stride + LANES) = total[c][1];
    }
}

/* A row of positions: sum (C, columns) of one phase. The last tile overlaps the one before. */
static inline __attribute__((always_inline)) void sum_line(int channels, const float *copy, size_t filter, int m_count,
                                                           const taps *t, int columns, float *sum)
{
    int last = max(columns, TILE) - TILE;
    for (int at = 0; at < last; at += TILE) sum_tile(channels, copy + at, filter, m_count, t, sum + at, last + TILE);
    sum_tile(channels, copy + last, filter, m_count, t, sum + last, last + TILE);
}

CP_CLONES static void sum_row(int channels, const float *copy, size_t filter, int m_count, const taps *t, int columns,
                              float *sum)
{
    switch (channels) {
    case 1: sum_line(1, copy, filter, m_count, t, columns, sum); break;
    case 2: sum_line(2, copy, filter, m_count, t, columns, sum); break;
    case 3: sum_line(3, copy, filter, m_count, t, columns, sum); break;
    default: sum_line(4, copy, filter, m_count, t, columns, sum);
    }
}

/* Row of x, whose column ix is position (ix + pad) / stride of phase (ix + pad) % stride. sums: by phase, `apart` floats. */
CP_CLONES static void put_row(const cp_window *g, const float *restrict sums, size_t apart, bool fresh, float *restrict x)
{
    if (fresh && g->stride == 2) {
        const float *even = sums + g->pad % 2 * apart + g->pad / 2, *odd = sums + (1 + g->pad) % 2 * apart + (1 + g->pad) / 2;
        for (int i = 0; i < g->w / 2; ++i) x[2 * i] = even[i], x[2 * i + 1] = odd[i];
        if (g->w % 2) x[g->w - 1] = even[g->w / 2];
        return;
    }
    for (int first = 0; first < g->stride; ++first) {
        const float *from = sums + (first + g->pad) % g->stride * apart + (first + g->pad) / g->stride;
        for (int i = 0; first + i * g->stride < g->w; ++i)
            x[first + i * g->stride] = (fresh ? 0 : x[first + i * g->stride]) + from[i];
    }
}

/* The input rows of positions q0 to q1 - 1. */
static void backward_band(const cp_window *g, const state *stem, const float *delta, int q0, int q1, bool fresh, float *x,
                          float *copy)
{
    int rows = q1 - q0 + stem->reach, s = g->stride;
    size_t filter = rows * stem->line, channel = max(stem->columns, TILE), plane = (size_t)g->h * g->w;
    float *sums = copy + copied(g, stem);
    copy_rows(g, stem, delta, q0 - stem->reach, rows, copy);
    for (int q = q0; q < q1; ++q)
        for (int a = 0; a < s; ++a) {
            int iy = q * s + a - g->pad;
            if (iy < 0 || iy >= g->h) continue;
            for (int b = 0; b < s; ++b)
                sum_row(g->c, copy + (q - q0) * stem->line, filter, g->m, &stem->phase[a * s + b], stem->columns,
                        sums + b * g->c * channel);
            for (int c = 0; c < g->c; ++c)
                put_row(g, sums + c * channel, g->c * channel, fresh, x + c * plane + (size_t)iy * g->w);
        }
}

static void backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    const cp_window *g = &p->window;
    const state *stem = p->own;
    int bands = (stem->rows + stem->band - 1) / stem->band;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int e = 0; e < n; ++e)
        for (int k = 0; k < bands; ++k)
            backward_band(g, stem, cp_at(y, e), k * stem->band, min(stem->rows, (k + 1) * stem->band), fresh, cp_at(x, e),
                          scratch->thread + omp_get_thread_num() * scratch->per_thread);
}

const cp_kernel cp_conv_stem = {.name = "stem", .even = true, .fits = fits, .open = open_stem, .load = load,
                                .backward = backward, .close = close_stem};

/* Depthwise convolution: one input channel per group, a few multiply-adds per pixel; im2col would only move memory.
 *
 * Bands of a plane are copied with their margins, so that nothing depends on borders and each tap of the window is one
 * offset. With a stride, the forward run splits the input into its phases, in which taps are neighbours again; the data
 * gradient is a gather too, phase by phase of the input over the deltas, by the taps that reach it. A band stays in the
 * nearest cache, sums stay in registers until bias and activation are applied. */
#include <omp.h>
#include <string.h>

#include "engine/cpu/conv.h"

enum { LANES = 16, MOST_TAPS = 49 /* at a time; larger windows take several turns */, BAND = 1 << 12 /* positions */ };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef float half_lanes __attribute__((vector_size(LANES / 2 * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t integers __attribute__((vector_size(LANES * sizeof(int32_t))));

static int min(int a, int b) { return a < b ? a : b; }

/* Positions, and the copy they read. Forward: position ox reads phase kx%stride at ox + kx/stride. Backward: positions
 * are q = (ix + pad)/stride from `first` on, and read the deltas at q - kx/stride by the taps kx of input column ix's
 * phase. */
typedef struct {
    int reach; /* the largest kx/stride */
    int first, columns, line, rows, in_band;
} layout;

static layout finish_layout(layout o)
{
    o.line = o.columns + o.reach;
    o.in_band = BAND / o.line < 1 ? 1 : min(BAND / o.line, o.rows);
    return o;
}

static layout forward_layout(const cp_window *g)
{
    return finish_layout((layout){.reach = (g->size - 1) / g->stride, .columns = g->out_w, .rows = g->out_h});
}

static layout backward_layout(const cp_window *g)
{
    layout o = {.reach = (g->size - 1) / g->stride};
    o.first = min(g->pad / g->stride, o.reach);
    o.columns = (g->w - 1 + g->pad) / g->stride - o.first + 1;
    o.rows = (g->h - 1 + g->pad) / g->stride - o.first + 1;
    return finish_layout(o);
}

static int phases_of(const cp_window *g) { return min(g->stride, g->size); }
static size_t copied(const layout *o) { return (size_t)(o->in_band + o->reach) * o->line; }
static size_t summed(const layout *o) { return (size_t)o->in_band * o->line; }
static bool is_narrow(const layout *o) { return o->columns < 2 * LANES; }

static size_t scratch_floats(const cp_window *g)
{
    layout forward = forward_layout(g), back = backward_layout(g);
    size_t phases = (size_t)phases_of(g) * phases_of(g), strides = (size_t)g->stride * g->stride;
    /* A row that is shorter than a vector is read beyond. */
    size_t there = phases * copied(&forward) + LANES + summed(&forward);
    size_t here = copied(&back) + LANES + strides * summed(&back);
    return there > here ? there : here;
}

/* ---------------------------------------------------------------- sums of taps */

typedef struct {
    int n;
    ptrdiff_t offset[MOST_TAPS]; /* in the copy, of what a position reads */
    float weight[MOST_TAPS];
} taps;

/* y (=, +=) sums, then act(y + bias) where the activation is x > 0 ? x : slope * x. */
typedef struct {
    bool add;
    float bias, slope;
} finish;

/* *y = what comes of a sum. Macros, since how a vector is passed depends on the instruction set. */
#define FINISH(sum, y)                                                                                      \
    do {                                                                                                    \
        if (f.add) sum += *(const lanes *)(y);                                                              \
        sum += f.bias;                                                                                      \
        lanes scaled = f.slope * sum;                                                                       \
        integers positive = sum > 0;                                                                        \
        *(lanes *)(y) = (lanes)((positive & (integers)sum) | (~positive & (integers)scaled));               \
    } while (0)

static inline __attribute__((always_inline)) void sum_at(int n, const ptrdiff_t *offset, const float *weight,
                                                         const float *at, finish f, float *y)
{
    lanes sum = {0};
    _Pragma("GCC unroll 25") for (int k = 0; k < n; ++k) sum += weight[k] * *(const lanes *)(at + offset[k]);
    FINISH(sum, y);
}

/* Of a row that is shorter than a vector. */
static inline __attribute__((always_inline)) void sum_few(int n, const ptrdiff_t *offset, const float *weight,
                                                          const float *at, int columns, finish f, float *y)
{
    float few[LANES] = {0};
    for (int i = 0; f.add && i < columns; ++i) few[i] = y[i];
    sum_at(n, offset, weight, at, f, few);
    for (int i = 0; i < columns; ++i) y[i] = few[i];
}

/* Rows of positions, lines of `line` floats in the copy and of `y_line` in y. n: the taps, a constant where it matters.
 * The last vector of a row overlaps the one before. */
static inline __attribute__((always_inline)) void sum_rows(int n, const taps *t, const float *work, int line, int rows,
                                                           int columns, finish f, float *y, int y_line)
{
    ptrdiff_t offset[MOST_TAPS];
    float weight[MOST_TAPS];
    int last = columns - LANES;
    _Pragma("GCC unroll 25") for (int k = 0; k < n; ++k) offset[k] = t->offset[k], weight[k] = t->weight[k];
    for (int r = 0; r < rows; ++r, work += line, y += y_line) {
        if (last < 0) {
            sum_few(n, offset, weight, work, columns, f, y);
            continue;
        }
        lanes before = {0};
        if (f.add) before = *(const lanes *)(y + last);
        for (int i = 0; i < last; i += LANES) sum_at(n, offset, weight, work + i, f, y + i);
        if (f.add) *(lanes *)(y + last) = before;
        sum_at(n, offset, weight, work + last, f, y + last);
    }
}

/* The same for windows of 3x3 neighbours, two rows at a time: what both read is loaded once. */
static inline __attribute__((always_inline)) void sum_pair(const float *weight, const float *at, int line, finish f,
                                                           float *y, int y_line)
{
    lanes upper = {0}, lower = {0};
#pragma GCC unroll 4
    for (int ky = 0; ky < 4; ++ky)
#pragma GCC unroll 3
        for (int kx = 0; kx < 3; ++kx) {
            lanes v = *(const lanes *)(at + ky * (ptrdiff_t)line + kx);
            if (ky < 3) upper += weight[3 * ky + kx] * v;
            if (ky > 0) lower += weight[3 * ky + kx - 3] * v;
        }
    FINISH(upper, y);
    FINISH(lower, y + y_line);
}

static inline __attribute__((always_inline)) void sum_pairs(const taps *t, const float *work, int line, int rows,
                                                            int columns, finish f, float *y, int y_line)
{
    float weight[9];
    int last = columns - LANES;
    for (int k = 0; k < 9; ++k) weight[k] = t->weight[k];
    for (int r = 0; r + 2 <= rows; r += 2, work += 2 * line, y += 2 * y_line) {
        lanes before[2] = {{0}};
        for (int k = 0; k < 2 && f.add; ++k) before[k] = *(const lanes *)(y + k * y_line + last);
        for (int i = 0; i < last; i += LANES) sum_pair(weight, work + i, line, f, y + i, y_line);
        for (int k = 0; k < 2 && f.add; ++k) *(lanes *)(y + k * y_line + last) = before[k];
        sum_pair(weight, work + last, line, f, y + last, y_line);
    }
    if (rows % 2) sum_rows(9, t, work, line, 1, columns, f, y, y_line);
}

static bool are_neighbours(const taps *t, int line)
{
    bool yes = t->n == 9;
    for (int k = 0; k < 9 && yes; ++k) yes = t->offset[k] == k / 3 * line + k % 3;
    return yes;
}

/* What is summed of a band: rows one by one, or, where they are short, all as one run of positions, of which those at
 * the ends of lines are no outputs. */
typedef struct {
    int rows, columns, line, y_line;
} extent;

static extent extent_of(const layout *o, int rows, bool run)
{
    if (run) return (extent){1, (rows - 1) * o->line + o->columns, o->line, o->line};
    return (extent){rows, o->columns, o->line, o->columns};
}

CP_CLONES static void sum_band(const taps *t, const float *restrict work, const extent *e, finish f, float *restrict y)
{
    int line = e->line, rows = e->rows, columns = e->columns, y_line = e->y_line;
    if (rows > 1 && columns >= LANES && are_neighbours(t, line)) sum_pairs(t, work, line, rows, columns, f, y, y_line);
    else if (t->n == 9) sum_rows(9, t, work, line, rows, columns, f, y, y_line);
    else if (t->n == 25) sum_rows(25, t, work, line, rows, columns, f, y, y_line);
    else if (t->n == 4) sum_rows(4, t, work, line, rows, columns, f, y, y_line);
    else if (t->n == 2) sum_rows(2, t, work, line, rows, columns, f, y, y_line);
    else sum_rows(t->n, t, work, line, rows, columns, f, y, y_line);
}

/* ---------------------------------------------------------------- copies */

/* to[0..n) = every stride-th float from x, n > 0, in vectors as long as that has; nothing beyond the last is read or
 * written. */
#define EVERY_SECOND16(x) \
    __builtin_shufflevector(*(const lanes *)(x), *(const lanes *)((x) + 15), 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, \
                            23, 25, 27, 29, 31)
#define EVERY_SECOND8(x) \
    __builtin_shufflevector(*(const half_lanes *)(x), *(const half_lanes *)((x) + 7), 0, 2, 4, 6, 9, 11, 13, 15)
static inline __attribute__((always_inline)) void copy_row(const float *x, int n, int stride, float *to)
{
    if (stride > 2 || n < LANES / 2) {
        for (int i = 0; i < n; ++i) to[i] = x[i * stride];
    } else if (n < LANES) {
        int last = n - LANES / 2;
        if (stride == 1) {
            *(half_lanes *)to = *(const half_lanes *)x;
            *(half_lanes *)(to + last) = *(const half_lanes *)(x + last);
        } else {
            *(half_lanes *)to = EVERY_SECOND8(x);
            *(half_lanes *)(to + last) = EVERY_SECOND8(x + 2 * last);
        }
    } else {
        for (int i = 0, last = n - LANES;; i += LANES) {
            if (i > last) i = last;
            if (stride == 1) *(lanes *)(to + i) = *(const lanes *)(x + i);
            else *(lanes *)(to + i) = EVERY_SECOND16(x + 2 * i);
            if (i == last) break;
        }
    }
}

static inline __attribute__((always_inline)) void clear(float *to, int n)
{
    const lanes zero = {0};
    for (int i = 0; i < n; i += LANES) *(lanes *)(to + i) = zero;
}

/* to (rows, line) = phase `p` of the columns of x's rows first, first + step, ...; 0 outside. Less than LANES floats
 * are written beyond the end, and beyond each line's before the next one is. */
static inline __attribute__((always_inline)) void copy_rows(const cp_window *g, int stride, const float *x, int first,
                                                            int step, int p, int rows, int line, float *to)
{
    int from, end;
    cp_valid_columns(line, stride, p - g->pad, g->w, &from, &end);
    for (int r = 0; r < rows; ++r, first += step, to += line) {
        if (first < 0 || first >= g->h || end <= from) {
            clear(to, line);
            continue;
        }
        clear(to, from);
        copy_row(x + (ptrdiff_t)first * g->w + from * stride + p - g->pad, end - from, stride, to + from);
        clear(to + end, line - end);
    }
}

CP_CLONES static void copy_phase(const cp_window *g, const float *restrict x, int first, int step, int p, int rows,
                                 int line, float *restrict to)
{
    if (g->stride == 1) copy_rows(g, 1, x, first, step, p, rows, line, to);
    else if (g->stride == 2) copy_rows(g, 2, x, first, step, p, rows, line, to);
    else copy_rows(g, g->stride, x, first, step, p, rows, line, to);
}

/* y (rows of `columns`, one after the other) (=, +=) the beginnings of lines. */
CP_CLONES static void copy_lines(const float *restrict sums, int line, int rows, int columns, bool add,
                                 float *restrict y)
{
    for (int r = 0; r < rows; ++r, sums += line, y += columns)
        if (add)
            for (int i = 0; i < columns; ++i) y[i] += sums[i];
        else
            copy_row(sums, columns, 1, y);
}

/* Row of x from its phases, which are `apart` floats apart; row[u % stride * apart + u / stride] is that of u = ix +
 * pad. */
static inline __attribute__((always_inline)) void merge_row(const float *row, size_t apart, int stride, int pad, int w,
                                                            bool add, float *x)
{
    if (stride == 2 && !add) {
        const float *even = row + pad % 2 * apart + pad / 2, *odd = row + (1 + pad) % 2 * apart + (1 + pad) / 2;
        for (int i = 0; i < w / 2; ++i) x[2 * i] = even[i], x[2 * i + 1] = odd[i];
        if (w % 2) x[w - 1] = even[w / 2];
        return;
    }
    for (int first = 0; first < stride; ++first) {
        const float *from = row + (first + pad) % stride * apart + (first + pad) / stride;
        for (int i = 0; first + i * stride < w; ++i)
            x[first + i * stride] = (add ? x[first + i * stride] : 0) + from[i];
    }
}

/* The rows of x whose positions are q0 to q0 + rows - 1. */
CP_CLONES static void merge_rows(const cp_window *g, const layout *o, const float *restrict sums, int q0, int rows,
                                 bool add, float *restrict x)
{
    int s = g->stride, end = min((q0 + rows) * s, g->h + g->pad);
    for (int u = q0 * s < g->pad ? g->pad : q0 * s; u < end; ++u) {
        const float *row = sums + u % s * s * summed(o) + (ptrdiff_t)(u / s - q0) * o->line - o->first;
        merge_row(row, summed(o), s, g->pad, g->w, add, x + (size_t)(u - g->pad) * g->w);
    }
}

/* ---------------------------------------------------------------- planes */

static void add_tap(taps *t, ptrdiff_t offset, float weight)
{
    t->offset[t->n] = offset;
    t->weight[t->n++] = weight;
}

static void forward_plane(const cp_window *g, const layout *o, const float *x, const float *kernel, float bias,
                          ACTIVATION activation, float *y, float *work)
{
    int phases = phases_of(g), s = g->stride;
    size_t plane = copied(o);
    bool sloped = activation == LINEAR || activation == RELU || activation == LEAKY || activation == RELIE;
    float slope = activation == RELU ? 0 : activation == LEAKY ? .1f : activation == RELIE ? .01f : 1;
    for (int y0 = 0; y0 < o->rows; y0 += o->in_band) {
        int rows = min(o->in_band, o->rows - y0);
        float *to = y + (size_t)y0 * g->out_w, *sums = is_narrow(o) ? work + phases * phases * plane + LANES : to;
        extent e = extent_of(o, rows, is_narrow(o));
        for (int p = 0; p < phases * phases; ++p)
            copy_phase(g, x, y0 * s + p / phases - g->pad, s, p % phases, rows + o->reach, o->line, work + p * plane);
        taps t = {0};
        finish none = {false, 0, 1}, last = {false, sloped ? bias : 0, slope};
        for (int k = 0; k < g->size * g->size; ++k) {
            int ky = k / g->size, kx = k % g->size;
            if (t.n == MOST_TAPS) {
                sum_band(&t, work, &e, none, sums);
                none.add = last.add = true;
                t.n = 0;
            }
            add_tap(&t, (ky % s * phases + kx % s) * plane + (ptrdiff_t)(ky / s) * o->line + kx / s, kernel[k]);
        }
        sum_band(&t, work, &e, last, sums);
        if (is_narrow(o)) copy_lines(sums, o->line, rows, o->columns, false, to);
        if (!sloped) cp_activate_bias(to, (size_t)rows * g->out_w, bias, activation);
    }
}

/* y (=, +=) sums of one phase: the deltas seen from the inputs that lie `py` and `px` behind whole strides. */
static void gather_phase(const cp_window *g, const layout *o, const float *deltas, const float *kernel, int py, int px,
                         const extent *e, bool add, float *y)
{
    taps t = {0};
    finish f = {add, 0, 1};
    for (int ky = g->size - 1; ky >= 0; --ky)
        for (int kx = g->size - 1; kx >= 0; --kx) {
            if (ky % g->stride != py || kx % g->stride != px) continue;
            if (t.n == MOST_TAPS) {
                sum_band(&t, deltas, e, f, y);
                f.add = true;
                t.n = 0;
            }
            add_tap(&t, (ptrdiff_t)(o->reach - ky / g->stride) * o->line + o->reach - kx / g->stride,
                    kernel[ky * g->size + kx]);
        }
    sum_band(&t, deltas, e, f, y);
}

/* x (=, +=) the data gradient of one plane of deltas. */
static void backward_plane(const cp_window *g, const layout *o, const float *delta, const float *kernel, bool add,
                           float *x, float *work)
{
    int s = g->stride, shift = o->reach - o->first;
    const cp_window deltas = {.h = g->out_h, .w = g->out_w, .stride = 1, .pad = shift};
    bool same = s == 1 && o->first == g->pad; /* positions are the input's columns */
    float *sums = work + copied(o) + LANES;
    for (int q0 = o->first; q0 < o->first + o->rows; q0 += o->in_band) {
        int rows = min(o->in_band, o->first + o->rows - q0);
        float *to = x + (ptrdiff_t)(q0 - g->pad) * g->w;
        extent e = extent_of(o, rows, !same || is_narrow(o));
        copy_phase(&deltas, delta, q0 - o->reach, 1, 0, rows + o->reach, o->line, work);
        if (same && !is_narrow(o)) {
            gather_phase(g, o, work, kernel, 0, 0, &e, add, to);
            continue;
        }
        for (int p = 0; p < s * s; ++p) gather_phase(g, o, work, kernel, p / s, p % s, &e, false, sums + p * summed(o));
        if (same) copy_lines(sums, o->line, rows, o->columns, add, to);
        else merge_rows(g, o, sums, q0, rows, add, x);
    }
}

static void forward(const cp_product *p, int n, cp_batch x, cp_batch y, const float *bias, ACTIVATION activation,
                    const cp_scratch *scratch)
{
    const cp_window *g = &p->window;
    size_t window = (size_t)g->size * g->size, in = (size_t)g->h * g->w, out = (size_t)g->out_h * g->out_w;
    int filters = g->groups * g->m;
    layout o = forward_layout(g);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int b = 0; b < n; ++b)
        for (int f = 0; f < filters; ++f)
            forward_plane(g, &o, cp_at(x, b) + f / g->m * in, p->weights + f * window, bias ? bias[f] : 0, activation,
                          cp_at(y, b) + f * out, scratch->thread + omp_get_thread_num() * scratch->per_thread);
}

static void backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    const cp_window *g = &p->window;
    size_t window = (size_t)g->size * g->size, in = (size_t)g->h * g->w, out = (size_t)g->out_h * g->out_w;
    layout o = backward_layout(g);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for(n * cp_window_macs(g)))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < g->groups; ++c)
            for (int f = c * g->m; f < (c + 1) * g->m; ++f)
                backward_plane(g, &o, cp_at(y, b) + f * out, p->weights + f * window, !fresh || f > c * g->m,
                               cp_at(x, b) + c * in, scratch->thread + omp_get_thread_num() * scratch->per_thread);
}

static bool fits(const cp_product *p)
{
    return p->window.groups > 1 && p->window.c == 1 && cp_is_compact(&p->window);
}

static cp_status offer(cp_product *p)
{
    p->cost = cp_window_macs(&p->window) / 8; /* multiply-adds in a nanosecond, from and to memory */
    p->per_thread = scratch_floats(&p->window);
    return CP_OK;
}

const cp_kernel cp_conv_depthwise = {.name = "depthwise", .even = true, .fits = fits, .open = offer, .forward = forward,
                                       .backward = backward};

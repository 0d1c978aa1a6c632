/* A convolution's data gradient from the deltas at a few of its outputs, or at a few of its inputs.
 *
 * The deltas of one output position share a window of the input: the filters' weights, scaled by them, are summed up in
 * registers, a block of channels at a time whose weights (M, block, taps) stay in the second-level cache, and the sums go where
 * they are asked for. A block of channels belongs to one thread, and every sum is made in the same order by any number. */
#include <omp.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "engine/points.h"
#include "io/error.h"

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
enum {
    LANES = 16,
    MOST_SUMS = 288,             /* of a block: 32 channels of 3x3, 18 registers of them in three turns */
    BLOCK_WEIGHTS = 160 << 10,   /* floats of all filters for a block */
    FEW = 8,                     /* sums that are better made one by one */
    GATHERED = 256               /* points of a part that one thread computes */
};

/* One delta: of which filter. */
typedef struct {
    uint32_t filter;
    float delta;
} term;

/* One sum that is asked for: (channel within the block) * taps, and the point it is for. */
typedef struct {
    uint32_t place, point;
} target;

typedef struct {
    const cp_window *g;
    const float *weights;
    int taps, channels, blocks;  /* of a group; channels of a block, the last may have fewer */
    size_t in_plane, out_plane, row; /* row: floats of one filter */
    uint32_t *start;             /* by group and output position: its first term; the next one's is its end */
    uint32_t *occupied, *group;  /* positions that have terms, as in start; by group, the first of them */
    term *terms;
    const cp_points *to;
    uint32_t *first_point;       /* by group and block */
    target *targets;             /* a block's in the order of their positions */
    uint32_t *target_start;      /* by thread, (in_plane + 2): by position the first target, counted from the block's */
} job;

static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }

static int block_channels(const cp_window *g)
{
    int taps = g->size * g->size, most = max(1, min(MOST_SUMS / taps, BLOCK_WEIGHTS / (taps * g->m)));
    if (most >= LANES) most -= most % LANES;
    int half = (g->c + 1) / 2; /* so that two threads have something to do */
    return min(g->c, min(most, max(LANES, (half + LANES - 1) / LANES * LANES)));
}

static int blocks_of(const cp_window *g) { return (g->c + block_channels(g) - 1) / block_channels(g); }

static bool is_depthwise(const cp_window *g) { return g->groups > 1 && g->c == 1 && g->m == 1; }

static size_t work_words(const cp_window *g, size_t from, size_t to)
{
    size_t in_plane = (size_t)g->h * g->w, out_plane = (size_t)g->out_h * g->out_w, keys = g->groups * out_plane, most = 0;
    size_t taps = (size_t)g->size * g->size, threads = cp_threads();
    size_t column = is_depthwise(g) ? out_plane : g->m * taps; /* the depthwise plane, or the filters of one input channel */
    if (from) most = keys + 2 + 3 * from + g->groups + 1 + g->groups * (size_t)blocks_of(g) + 1 + 2 * to;
    if (from && to) most += threads * (in_plane + 2);
    if (to && most < threads * column) most = threads * column;
    return most;
}

cp_status cp_conv_points_work(const cp_op *op, size_t from, size_t to, size_t *words)
{
    const cp_window *g = &op->conv->window;
    size_t keys = (size_t)g->groups * g->out_h * g->out_w;
    *words = work_words(g, from, to);
    return from < UINT32_MAX / 4 && keys < UINT32_MAX / 4 && to < UINT32_MAX / 4
               ? CP_OK : cp_fail(CP_ERESOURCE, "layer %d: too many deltas", op->info->index);
}

bool cp_conv_takes_points(const cp_op *op, size_t n) { return (double)n < op->conv->points_below; }

bool cp_conv_reaches_points(const cp_op *op, size_t n)
{
    const cp_window *g = &op->conv->window;
    return 2. * (double)n * g->m * g->size * g->size < op->conv->dense_time;
}

/* ---------------------------------------------------------------- sums of scaled filters */

static inline __attribute__((always_inline)) void sum_vectors(int vectors, const float *weights, size_t row, const term *t,
                                                              size_t n, float *out)
{
    lanes sum[8];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[v] = (lanes){0};
    for (size_t k = 0; k < n; ++k) {
        const float *w = weights + t[k].filter * row;
        float d = t[k].delta;
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[v] += d * *(const lanes *)(w + v * LANES);
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) *(lanes *)(out + v * LANES) = sum[v];
}

/* out (count) = sum over the terms of delta * weights[filter*row ...]. The last vector overlaps the one before it. */
CP_CLONES static void sum_filters(const float *weights, size_t row, const term *t, size_t n, int count, float *out)
{
    if (count < LANES) {
        for (int i = 0; i < count; ++i) {
            float sum = 0;
            for (size_t k = 0; k < n; ++k) sum += t[k].delta * weights[t[k].filter * row + i];
            out[i] = sum;
        }
        return;
    }
    int whole = count / LANES, at = 0;
    while (whole > 0) {
        const float *w = weights + at;
        float *to = out + at;
        int vectors = whole % 8 == 0 ? 8 : whole % 6 == 0 || whole > 8 ? 6 : whole == 7 ? 4 : whole;
        switch (vectors) {
        case 8: sum_vectors(8, w, row, t, n, to); break;
        case 6: sum_vectors(6, w, row, t, n, to); break;
        case 5: sum_vectors(5, w, row, t, n, to); break;
        case 4: sum_vectors(4, w, row, t, n, to); break;
        case 3: sum_vectors(3, w, row, t, n, to); break;
        case 2: sum_vectors(2, w, row, t, n, to); break;
        default: sum_vectors(1, w, row, t, n, to);
        }
        whole -= vectors;
        at += vectors * LANES;
    }
    if (count % LANES) sum_vectors(1, weights + count - LANES, row, t, n, out + count - LANES);
}

/* ---------------------------------------------------------------- points in the order of their positions */

/* The terms of all positions; deltas of 0 are left out. */
static void sort_terms(job *j, const cp_points *from, const float *delta)
{
    const cp_window *g = j->g;
    size_t keys = g->groups * j->out_plane, filter, base, end;
    memset(j->start, 0, (keys + 2) * sizeof *j->start);
    for (int place = 0; place < 2; ++place) {
        filter = base = end = 0;
        for (size_t k = 0; k < from->n; ++k) {
            if (delta[k] == 0) continue;
            if (from->index[k] >= end) {
                filter = from->index[k] / j->out_plane;
                end = (filter + 1) * j->out_plane;
                base = (filter - filter / g->m) * j->out_plane; /* key = index - base, with the group in filter's place */
            }
            size_t key = from->index[k] - base;
            if (place)
                j->terms[j->start[key + 1]++] = (term){(uint32_t)filter, delta[k]};
            else
                ++j->start[key + 2];
        }
        for (size_t key = 2; key < keys + 2 && !place; ++key) j->start[key] += j->start[key - 1];
    }
    uint32_t n = 0;
    for (int group = 0; group < g->groups; ++group) {
        j->group[group] = n;
        for (size_t key = group * j->out_plane; key < (group + 1) * j->out_plane; ++key)
            if (j->start[key] < j->start[key + 1]) j->occupied[n++] = (uint32_t)key;
    }
    j->group[g->groups] = n;
}

static void find_blocks(job *j)
{
    const cp_window *g = j->g;
    size_t k = 0;
    for (int unit = 0; unit <= g->groups * j->blocks; ++unit) {
        size_t channel = (size_t)(unit / j->blocks) * g->c + (unit % j->blocks) * (size_t)j->channels;
        while (k < j->to->n && j->to->index[k] < channel * j->in_plane) ++k;
        j->first_point[unit] = (uint32_t)k;
    }
}

static void sort_targets(const job *j, int unit, uint32_t *start)
{
    const uint32_t *index = j->to->index;
    uint32_t first = j->first_point[unit], last = j->first_point[unit + 1];
    size_t channel0 = (size_t)(unit / j->blocks) * j->g->c + (unit % j->blocks) * (size_t)j->channels;
    memset(start, 0, (j->in_plane + 2) * sizeof *start);
    for (int place = 0; place < 2; ++place) {
        size_t base = channel0 * j->in_plane, end = base + j->in_plane, at = 0;
        for (uint32_t k = first; k < last; ++k) {
            for (; index[k] >= end; ++at) base = end, end += j->in_plane;
            size_t position = index[k] - base;
            if (place)
                j->targets[first + start[position + 1]++] = (target){(uint32_t)at * j->taps, k};
            else
                ++start[position + 2];
        }
        for (size_t p = 2; p < j->in_plane + 2 && !place; ++p) start[p] += start[p - 1];
    }
}

/* ---------------------------------------------------------------- from points */

/* The window of one output position, within the image. */
typedef struct {
    int y, x, ky0, ky1, kx0, kx1;
} view;

static view view_of(const cp_window *g, int oy, int ox)
{
    int y = oy * g->stride - g->pad, x = ox * g->stride - g->pad;
    return (view){y, x, max(0, -y), min(g->size, g->h - y), max(0, -x), min(g->size, g->w - x)};
}

static float sum_one(const float *weights, size_t row, const term *t, size_t n)
{
    float sum = 0;
    for (size_t k = 0; k < n; ++k) sum += t[k].delta * weights[t[k].filter * row];
    return sum;
}

static size_t position_at(const cp_window *g, const view *v, int ky, int kx)
{
    return (size_t)(v->y + ky) * g->w + (size_t)(v->x + kx);
}

/* weights: of the block's first channel. */
static void add_to_targets(const job *j, const view *v, const target *targets, const uint32_t *start, const float *weights,
                           const term *t, size_t n, int count, float *in_delta)
{
    const cp_window *g = j->g;
    float sum[MOST_SUMS];
    size_t asked = 0;
    for (int ky = v->ky0; ky < v->ky1; ++ky)
        asked += start[position_at(g, v, ky, v->kx1)] - start[position_at(g, v, ky, v->kx0)];
    if (!asked) return;
    bool few = asked <= FEW || count > MOST_SUMS;
    if (!few) sum_filters(weights, j->row, t, n, count, sum);
    for (int ky = v->ky0; ky < v->ky1; ++ky)
        for (int kx = v->kx0; kx < v->kx1; ++kx) {
            const uint32_t *from = &start[position_at(g, v, ky, kx)];
            for (uint32_t i = from[0]; i < from[1]; ++i) {
                size_t at = targets[i].place + ky * g->size + kx;
                in_delta[targets[i].point] += few ? sum_one(weights + at, j->row, t, n) : sum[at];
            }
        }
}

static void add_to_window(const job *j, const view *v, const float *weights, const term *t, size_t n, int channels,
                          float *in_delta)
{
    const cp_window *g = j->g;
    float sum[MOST_SUMS];
    bool fits = channels * j->taps <= MOST_SUMS;
    if (fits) sum_filters(weights, j->row, t, n, channels * j->taps, sum);
    for (int c = 0; c < channels; ++c)
        for (int ky = v->ky0; ky < v->ky1; ++ky) {
            float *line = in_delta + c * j->in_plane + position_at(g, v, ky, v->kx0);
            size_t at = (size_t)c * j->taps + ky * g->size + v->kx0;
            for (int x = 0; x < v->kx1 - v->kx0; ++x)
                line[x] += fits ? sum[at + x] : sum_one(weights + at + x, j->row, t, n);
        }
}

static void from_points_block(const job *j, int unit, uint32_t *target_start, float *in_delta)
{
    const cp_window *g = j->g;
    int group = unit / j->blocks, c0 = unit % j->blocks * j->channels, channels = min(j->channels, g->c - c0);
    const float *weights = j->weights + (size_t)c0 * j->taps;
    const target *targets = NULL;
    if (j->to) {
        if (j->first_point[unit] == j->first_point[unit + 1]) return;
        sort_targets(j, unit, target_start);
        targets = j->targets + j->first_point[unit];
    }
    for (uint32_t o = j->group[group]; o < j->group[group + 1]; ++o) {
        size_t key = j->occupied[o], position = key - group * j->out_plane;
        view v = view_of(g, (int)(position / g->out_w), (int)(position % g->out_w));
        if (v.ky0 >= v.ky1 || v.kx0 >= v.kx1) continue;
        const term *t = j->terms + j->start[key];
        size_t n = j->start[key + 1] - j->start[key];
        if (j->to)
            add_to_targets(j, &v, targets, target_start, weights, t, n, channels * j->taps, in_delta);
        else
            add_to_window(j, &v, weights, t, n, channels, in_delta + ((size_t)group * g->c + c0) * j->in_plane);
    }
}

static void *carve(uint32_t **work, size_t words)
{
    void *part = *work;
    *work += words;
    return part;
}

static void depthwise_from_points(const cp_window *g, const float *weights, const cp_points *from, const float *delta,
                                  const cp_points *to, float *in_delta, uint32_t *work);

static void from_points(const cp_window *g, const float *weights, const cp_points *from, const float *delta,
                        const cp_points *to, float *in_delta, uint32_t *work)
{
    job j = {.g = g, .weights = weights, .taps = g->size * g->size, .channels = block_channels(g),
             .blocks = blocks_of(g), .in_plane = (size_t)g->h * g->w, .out_plane = (size_t)g->out_h * g->out_w, .to = to};
    if (is_depthwise(g)) {
        depthwise_from_points(g, weights, from, delta, to, in_delta, work);
        return;
    }
    j.row = (size_t)g->c * j.taps;
    j.terms = carve(&work, 2 * from->n);
    j.targets = carve(&work, to ? 2 * to->n : 0);
    j.start = carve(&work, g->groups * j.out_plane + 2);
    j.occupied = carve(&work, from->n);
    j.group = carve(&work, g->groups + 1);
    j.first_point = carve(&work, g->groups * (size_t)j.blocks + 1);
    j.target_start = work;
    sort_terms(&j, from, delta);
    if (to) find_blocks(&j);
    double macs = (double)from->n * g->c * j.taps;
#pragma omp parallel for schedule(dynamic) num_threads(cp_threads_for(macs))
    for (int unit = 0; unit < g->groups * j.blocks; ++unit)
        from_points_block(&j, unit, j.target_start + omp_get_thread_num() * (j.in_plane + 2), in_delta);
}

void cp_conv_from_points(const cp_op *op, const cp_points *from, const float *delta, const cp_points *to, float *in_delta,
                         uint32_t *work)
{
    from_points(&op->conv->window, op->l->weights, from, delta, to, in_delta, work);
}

/* ---------------------------------------------------------------- depthwise */

/* Points of a channel: [*first, *last) of those from *first on. */
static void channel_range(const cp_points *points, size_t channel, size_t plane, size_t *first, size_t *last)
{
    size_t low = 0, high = points->n;
    for (size_t bound = channel * plane, half; low < high;)
        if (points->index[half = (low + high) / 2] < bound) low = half + 1;
        else high = half;
    *first = low;
    while (low < points->n && points->index[low] < (channel + 1) * plane) ++low;
    *last = low;
}

/* Taps [*first, *last) in steps of the stride through which output positions read input position i; tap k is that of output
 * (i + pad - k) / stride. */
static void taps_at(const cp_window *g, int i, int outputs, int *first, int *last)
{
    int most = (i + g->pad) / g->stride, k = (i + g->pad) % g->stride;
    *first = most < outputs ? k : k + (most - outputs + 1) * g->stride;
    *last = min(g->size, i + g->pad + 1);
}

/* The sum over the taps for one input of a channel. y: its dense deltas. */
static float depthwise_sum(const cp_window *g, const float *weights, const float *y, int iy, int ix)
{
    int ky0, ky1, kx0, kx1;
    float sum = 0;
    taps_at(g, iy, g->out_h, &ky0, &ky1);
    taps_at(g, ix, g->out_w, &kx0, &kx1);
    for (int ky = ky0; ky < ky1; ky += g->stride) {
        const float *line = y + (size_t)(iy + g->pad - ky) / g->stride * g->out_w, *w = weights + ky * g->size;
        int ox = (ix + g->pad - kx0) / g->stride;
        for (int kx = kx0; kx < kx1; kx += g->stride) sum += w[kx] * line[ox--];
    }
    return sum;
}

static void depthwise_add_window(const cp_window *g, const float *weights, float d, size_t position, float *x)
{
    view v = view_of(g, (int)(position / g->out_w), (int)(position % g->out_w));
    for (int ky = v.ky0; ky < v.ky1; ++ky)
        for (int kx = v.kx0; kx < v.kx1; ++kx)
            x[(size_t)(v.y + ky) * g->w + v.x + kx] += d * weights[ky * g->size + kx];
}

/* plane: zeros, and zeros again afterwards. */
static void depthwise_channel(const cp_window *g, const float *weights, size_t c, const cp_points *from,
                              const float *delta, const cp_points *to, float *in_delta, float *plane)
{
    weights += c * g->size * g->size;
    size_t out_plane = (size_t)g->out_h * g->out_w, in_plane = (size_t)g->h * g->w, f0, f1, t0, t1;
    channel_range(from, c, out_plane, &f0, &f1);
    if (f0 == f1) return;
    if (!to) {
        for (size_t k = f0; k < f1; ++k)
            depthwise_add_window(g, weights, delta[k], from->index[k] - c * out_plane, in_delta + c * in_plane);
        return;
    }
    channel_range(to, c, in_plane, &t0, &t1);
    if (t0 == t1) return;
    for (size_t k = f0; k < f1; ++k) plane[from->index[k] - c * out_plane] = delta[k];
    for (size_t k = t0; k < t1; ++k) {
        size_t position = to->index[k] - c * in_plane;
        in_delta[k] += depthwise_sum(g, weights, plane, (int)(position / g->w), (int)(position % g->w));
    }
    for (size_t k = f0; k < f1; ++k) plane[from->index[k] - c * out_plane] = 0;
}

static void depthwise_from_points(const cp_window *g, const float *weights, const cp_points *from, const float *delta,
                                  const cp_points *to, float *in_delta, uint32_t *work)
{
    size_t out_plane = (size_t)g->out_h * g->out_w;
#pragma omp parallel num_threads(cp_threads_for(9. * (double)from->n))
    {
        float *plane = (float *)work + omp_get_thread_num() * out_plane;
        if (to) memset(plane, 0, out_plane * sizeof *plane);
#pragma omp for
        for (int c = 0; c < g->groups; ++c) depthwise_channel(g, weights, c, from, delta, to, in_delta, plane);
    }
}

/* ---------------------------------------------------------------- to points */

/* column (taps, M): the weights of one input channel. */
static void read_column(const cp_window *g, const float *weights, size_t channel, float *column)
{
    int taps = g->size * g->size;
    size_t group = channel / g->c, c = channel % g->c;
    for (int m = 0; m < g->m; ++m) {
        const float *from = weights + ((group * g->m + m) * g->c + c) * taps;
        for (int tap = 0; tap < taps; ++tap) column[(size_t)tap * g->m + m] = from[tap];
    }
}

static float sum_at(const cp_window *g, const float *column, const float *delta, int iy, int ix)
{
    size_t plane = (size_t)g->out_h * g->out_w;
    int ky0, ky1, kx0, kx1;
    float sum = 0;
    taps_at(g, iy, g->out_h, &ky0, &ky1);
    taps_at(g, ix, g->out_w, &kx0, &kx1);
    for (int ky = ky0; ky < ky1; ky += g->stride)
        for (int kx = kx0; kx < kx1; kx += g->stride) {
            const float *w = column + (size_t)(ky * g->size + kx) * g->m;
            const float *d = delta + (size_t)(iy + g->pad - ky) / g->stride * g->out_w + (ix + g->pad - kx) / g->stride;
            for (int m = 0; m < g->m; ++m) sum += w[m] * d[m * plane];
        }
    return sum;
}

static void to_points_part(const cp_op *op, const float *delta, const cp_points *to, size_t first, size_t last, float *in_delta,
                           float *column)
{
    const cp_window *g = &op->conv->window;
    size_t in_plane = (size_t)g->h * g->w, out_plane = (size_t)g->out_h * g->out_w, channel = SIZE_MAX;
    for (size_t k = first; k < last; ++k) {
        size_t c = to->index[k] / in_plane, position = to->index[k] % in_plane;
        int iy = (int)(position / g->w), ix = (int)(position % g->w);
        if (is_depthwise(g)) {
            in_delta[k] += depthwise_sum(g, op->l->weights + c * g->size * g->size, delta + c * out_plane, iy, ix);
            continue;
        }
        if (c != channel) read_column(g, op->l->weights, channel = c, column);
        in_delta[k] += sum_at(g, column, delta + c / g->c * g->m * out_plane, iy, ix);
    }
}

void cp_conv_to_points(const cp_op *op, const float *delta, const cp_points *to, float *in_delta, uint32_t *work)
{
    const cp_window *g = &op->conv->window;
    size_t column = is_depthwise(g) ? 0 : (size_t)g->m * g->size * g->size;
    int parts = (int)((to->n + GATHERED - 1) / GATHERED);
#pragma omp parallel for schedule(dynamic) num_threads(cp_threads_for((double)to->n * g->m * g->size * g->size))
    for (int p = 0; p < parts; ++p) {
        size_t first = (size_t)p * GATHERED, last = to->n - first < GATHERED ? to->n : first + GATHERED;
        to_points_part(op, delta, to, first, last, in_delta, (float *)work + omp_get_thread_num() * column);
    }
}

/* ---------------------------------------------------------------- dense deltas that are few */

static bool all_zero(const float *x)
{
    uint32_t bits[LANES], any = 0;
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < LANES; ++i) any |= bits[i] & 0x7fffffffu;
    return !any;
}

/* The n deltas of `count` that are not 0: where they are, and they. */
static void pick(const float *dense, size_t count, size_t n, uint32_t *index, float *delta)
{
    for (size_t at = 0, k = 0; k < n; ++at) {
        if (at % LANES == 0 && count - at >= LANES && all_zero(dense + at)) {
            at += LANES - 1;
            continue;
        }
        if (dense[at] != 0) index[k] = (uint32_t)at, delta[k++] = dense[at];
    }
}

size_t cp_conv_few_words(const cp_window *g, size_t nonzero) { return work_words(g, nonzero, 0) + 2 * nonzero; }

/* The deltas as points: their places, then their values, then work memory. */
void cp_conv_from_few(const cp_window *g, const float *weights, const float *y, size_t nonzero, bool fresh, float *x,
                      const cp_scratch *scratch)
{
    uint32_t *words = (uint32_t *)scratch->shared;
    float *value = (float *)(words + nonzero);
    cp_points points = {.n = nonzero, .index = words};
    pick(y, (size_t)g->groups * g->m * g->out_h * g->out_w, nonzero, words, value);
    if (fresh) memset(x, 0, (size_t)g->groups * g->c * g->h * g->w * sizeof *x);
    from_points(g, weights, &points, value, NULL, x, words + 2 * nonzero);
}

/* Multiply-adds in a nanosecond; nanoseconds for a delta, for a position in a block of channels, for one of its sums. */
static const double rate = 13, delta_cost = 12, position_cost = 20, sum_cost = .15;

/* Of a delta, whose filter's window is added up, and of a position among them, whose sums in all blocks are kept. */
static void costs_of(const cp_window *g, double *delta, double *position)
{
    double sums = (double)g->c * g->size * g->size;
    *delta = delta_cost + sums / rate;
    *position = position_cost * blocks_of(g) + sum_cost * sums;
}

static double positions_of(const cp_window *g) { return (double)g->groups * g->out_h * g->out_w; }

double cp_conv_points_cost(const cp_window *g, double deltas)
{
    double delta, position, positions = positions_of(g);
    costs_of(g, &delta, &position);
    return deltas * delta + (deltas < positions ? deltas : positions) * position;
}

double cp_conv_points_within(const cp_window *g, double time)
{
    double delta, position, positions = positions_of(g);
    costs_of(g, &delta, &position);
    double fewer = time / (delta + position);
    return fewer < positions ? fewer : (time - positions * position) / delta;
}

static bool fits(const cp_product *p) { return cp_is_compact(&p->window); }

static size_t outputs_of(const cp_window *g) { return (size_t)g->groups * g->m * g->out_h * g->out_w; }

static cp_status offer(cp_product *p)
{
    p->cost = cp_conv_points_cost(&p->window, (double)outputs_of(&p->window));
    p->shared = cp_conv_few_words(&p->window, outputs_of(&p->window));
    return CP_OK;
}

static void backward(const cp_product *p, int n, cp_batch y, cp_batch x, bool fresh, const cp_scratch *scratch)
{
    for (int b = 0; b < n; ++b)
        cp_conv_from_few(&p->window, p->weights, cp_at(y, b), cp_count_nonzero(cp_at(y, b), outputs_of(&p->window)), fresh,
                         cp_at(x, b), scratch);
}

/* Data gradients alone; of all deltas it is never the fastest, so that conv_plan.c compares by how many there are. */
const cp_kernel cp_conv_points = {.name = "points", .even = true, .fits = fits, .open = offer, .backward = backward};

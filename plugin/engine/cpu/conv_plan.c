/* Which product computes a convolution and its data gradient. oneDNN's kernels read rearranged weights, and the faster they
 * are the more memory those take (Winograd's 4x4 tiles four times the plain): over the whole network the copies are bought in
 * the order of time saved per byte, until the budget is spent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "engine/points.h"
#include "io/error.h"

static bool is_planned(const cp_op *op)
{
    return op->conv && op->l->type == CONVOLUTIONAL && !op->conv->depthwise && !op->conv->grouped;
}

static void need_scratch(cp_op *op, size_t per_thread, size_t shared)
{
    if (per_thread > op->per_thread) op->per_thread = per_thread;
    if (shared > op->shared) op->shared = shared;
}

/* As a gather over the output, the data gradient at stride 1 is a convolution with the kernel turned by 180 degrees and
 * the roles of input and output channels exchanged. to (C, M, taps) = from (M, C, taps), taps turned. */
static void flip(const float *from, int m_count, int c_count, size_t taps, float *to)
{
    for (int m = 0; m < m_count; ++m)
        for (int c = 0; c < c_count; ++c) {
            const float *in = from + ((size_t)m * c_count + c) * taps;
            float *out = to + ((size_t)c * m_count + m) * taps;
            for (size_t i = 0; i < taps; ++i) out[i] = in[taps - 1 - i];
        }
}

static cp_status flipped_weights(const cp_window *g, const float *weights, float **out)
{
    size_t taps = (size_t)g->size * g->size, count;
    if (!cp_mul((size_t)g->groups * g->m * g->c, taps, &count))
        return cp_fail(CP_ERESOURCE, "convolution: weights do not fit in memory");
    float *to = *out = cp_alloc_whole(count, sizeof *to, "flipped weights");
    if (!to) return CP_ERESOURCE;
    for (int group = 0; group < g->groups; ++group, weights += g->m * g->c * taps, to += g->m * g->c * taps)
        flip(weights, g->m, g->c, taps, to);
    return CP_OK;
}

static cp_window back_window(const cp_window *g)
{
    return (cp_window){.c = g->m, .h = g->out_h, .w = g->out_w, .m = g->c, .size = g->size, .stride = 1,
                       .pad = g->size - 1 - g->pad, .out_h = g->h, .out_w = g->w, .groups = g->groups};
}

enum { LARGE_WEIGHTS = 1 << 20 }; /* floats: no rearranged copy of those but oneDNN's */
/* Of a depthwise layer, whose dense data gradient is cheap: the share of the outputs' deltas below which they are better
 * taken one by one, from a dense layer and from points; and that of the inputs' below which these are better computed so. */
static const double depthwise_sparse_below = .02, depthwise_points_below = .03, depthwise_reach_below = .02;
enum { MOST_PICKED = 1 << 18 }; /* of a dense layer's deltas: 5 MB of work memory */
/* Of conv_points.c: multiply-adds in a nanosecond; nanoseconds for a delta, for a position in a block of channels, for one
 * of its sums, and for an output in the passes over a dense layer that points save. */
static const double points_rate = 13, delta_cost = 12, position_cost = 20, sum_cost = .15, pass_cost = .5;

static bool is_large(const cp_window *g) { return (double)g->groups * g->m * g->c * g->size * g->size > LARGE_WEIGHTS; }

/* One way to compute one product of the network. */
typedef struct {
    cp_op *op;
    bool backward;
    cp_onednn *gather;
    double saved;  /* against im2col and sgemm */
    size_t bytes;
} offer;

static size_t wanted_memory;

void cp_set_kernel_memory(size_t bytes) { wanted_memory = bytes; }

/* Bytes that rearranged weights may take, by those of the weights themselves: VGG-16 stays below 850 MB in all. */
static size_t budget_of(size_t weights)
{
    size_t budget = weights / 100 * 22, least = (size_t)64 << 20;
    if (budget < least) budget = least;
    return wanted_memory > budget ? wanted_memory : budget;
}

enum { OFFERS = 3 };
static const double sgemm_rate = 46, pointwise_rate = 41, onednn_rate[OFFERS] = {57, 130, 160};

/* Nanoseconds on one core that multiplies and adds 50e9 times a second with sgemm; only ratios matter. The rates and the
 * costs of moving were measured on VGG-16, SqueezeNet and YOLOv3-tiny layers (AVX-512). */
static double gemm_time(const cp_window *g)
{
    double k = (double)g->c * g->size * g->size;
    if (cp_is_pointwise(g)) /* cut into thin products */
        return k * g->m / pointwise_rate * g->out_h * g->out_w;
    return (k * g->m / sgemm_rate + .4 * k) * g->out_h * g->out_w;
}

static double onednn_time(const cp_window *g, cp_kernel kernel, int rows)
{
    static const int tile[OFFERS] = {1, 2, 4};
    int unit = kernel == CP_KERNEL_DIRECT ? 1 : 16, t = tile[kernel];
    double c = (g->c + unit - 1) / unit * unit, m = (g->m + 15) / 16 * 16;
    int bands = (g->out_h + rows - 1) / rows;
    double positions = (double)bands * rows * ((g->out_w + t - 1) / t * t);
    double in_rows = (rows - 1) * g->stride + g->size;
    double moved = bands * (.25 * g->c * in_rows * g->w + .35 * g->m * rows * g->out_w);
    return c * m * g->size * g->size * positions / onednn_rate[kernel] + moved + 4e3 * bands;
}

/* CRITPATH_CONVOLUTION, for tests and for doubts: "gemm", or one kernel wherever a shape has it. */
enum { FREE = -1, GEMM = -2 };
static cp_status wished_kernel(int *wish)
{
    static const char *const names[OFFERS] = {"direct", "winograd2x2", "winograd4x4"};
    const char *name = getenv("CRITPATH_CONVOLUTION");
    *wish = FREE;
    if (!name || !*name) return CP_OK;
    *wish = GEMM;
    if (!strcmp(name, "gemm")) return CP_OK;
    for (int k = 0; k < OFFERS; ++k)
        if (!strcmp(name, names[k])) return *wish = k, CP_OK;
    return cp_fail(CP_EINPUT, "CRITPATH_CONVOLUTION is \"%s\", not gemm, %s, %s or %s", name, names[0], names[1], names[2]);
}

static cp_status add_offers(cp_op *op, bool backward, int wish, offer *offers, int *n)
{
    const cp_window *g = backward ? &op->conv->back_window : &op->conv->window;
    size_t flipped = backward && !is_large(g) ? sizeof(float) * g->c * g->m * g->size * g->size : 0; /* not needed then */
    /* Areas of one colour stay exactly even under the first layer's other kernels, and with them the ties of max-pools that
     * Darknet breaks by order; Winograd's tiles differ there by rounding. */
    bool direct_only = op->source[0] < 0 && !backward;
    for (int k = 0; k < OFFERS; ++k) {
        cp_onednn *gather = NULL;
        bool asked = wish == FREE ? !direct_only || k == CP_KERNEL_DIRECT : wish == k;
        cp_status status = asked ? cp_onednn_offer(g, (cp_kernel)k, &gather) : CP_OK;
        if (status) return status;
        if (!gather) continue;
        double saved = wish == k ? 1 : gemm_time(g) - onednn_time(g, (cp_kernel)k, cp_onednn_band_rows(gather));
        size_t bytes = wish == k ? 1 : cp_onednn_weight_bytes(gather);
        if (saved <= 0) cp_onednn_free(gather);
        else offers[(*n)++] = (offer){op, backward, gather, saved, bytes > flipped ? bytes - flipped : 1};
    }
    return CP_OK;
}

/* Greedy: the best ratio first; a product that has a kernel already may be upgraded by what the better one costs more. */
static void choose(offer *offers, int n, size_t budget)
{
    for (;;) {
        int best = -1, replaced = -1;
        double best_ratio = 0;
        for (int i = 0; i < n; ++i) {
            if (!offers[i].gather) continue;
            cp_onednn **slot = offers[i].backward ? &offers[i].op->conv->backward : &offers[i].op->conv->forward;
            double saved = offers[i].saved;
            size_t bytes = offers[i].bytes;
            int old = -1;
            for (int j = 0; j < n && *slot; ++j)
                if (offers[j].gather == *slot) old = j;
            if (old == i) continue;
            if (old >= 0) {
                saved -= offers[old].saved;
                bytes = bytes > offers[old].bytes ? bytes - offers[old].bytes : 1;
            }
            if (saved <= 0 || bytes > budget || saved / bytes <= best_ratio) continue;
            best = i, replaced = old, best_ratio = saved / bytes;
        }
        if (best < 0) return;
        budget -= replaced < 0 ? offers[best].bytes
                               : offers[best].bytes > offers[replaced].bytes ? offers[best].bytes - offers[replaced].bytes : 1;
        *(offers[best].backward ? &offers[best].op->conv->backward : &offers[best].op->conv->forward) = offers[best].gather;
    }
}

static cp_status choose_kernels(cp_op *ops, int n)
{
    int wish;
    cp_status status = wished_kernel(&wish);
    if (status || wish == GEMM) return status;
    size_t weights = 0;
    for (int i = 0; i < n; ++i)
        if (ops[i].type && ops[i].l->weights)
            weights += sizeof(float) * (ops[i].l->type == CONNECTED ? (size_t)ops[i].l->inputs * ops[i].l->outputs
                                                                    : (size_t)ops[i].l->nweights);
    offer *offers = cp_alloc((size_t)n * 2 * OFFERS, sizeof *offers, "convolutions");
    if (!offers) return CP_ERESOURCE;
    int count = 0;
    for (int i = 0; i < n && !status; ++i) {
        cp_conv *conv = ops[i].conv;
        if (!is_planned(&ops[i])) continue;
        status = add_offers(&ops[i], false, wish, offers, &count);
        if (!status && conv->back_gathers) status = add_offers(&ops[i], true, wish, offers, &count);
    }
    if (!status) choose(offers, count, budget_of(weights));
    for (int i = 0; i < count; ++i) {
        const cp_conv *conv = offers[i].op->conv;
        if (offers[i].gather != conv->forward && offers[i].gather != conv->backward) cp_onednn_free(offers[i].gather);
    }
    cp_free(offers);
    return status;
}

/* Taken one by one, deltas cost a little and their filter's window each, and every position among them the keeping of its sums.
 * Returns how many take that time. */
static double points_limit(const cp_window *g, double time)
{
    double positions = (double)g->groups * g->out_h * g->out_w, delta = delta_cost + (double)g->c * g->size * g->size / points_rate;
    int blocks = cp_conv_points_blocks(g);
    double sums = (double)g->c * g->size * g->size; /* of one position, in all blocks */
    double position = position_cost * blocks + sum_cost * sums;
    double fewer = time / (delta + position);
    return fewer < positions ? fewer : (time - positions * position) / delta;
}

/* Work memory for the deltas of a dense layer that are fewer than sparse_below. */
static cp_status need_points(cp_op *op)
{
    size_t few = (size_t)op->conv->sparse_below + 1, words;
    cp_status status = cp_conv_points_work(op, few, 0, &words);
    if (!status) need_scratch(op, 0, words + 2 * few);
    return status;
}

static cp_status load_sparse(cp_op *op)
{
    cp_conv *conv = op->conv;
    const cp_window *g = &conv->window;
    cp_onednn *o = conv->backward;
    conv->dense_time = o ? onednn_time(&conv->back_window, cp_onednn_kernel(o), cp_onednn_band_rows(o))
        : conv->stem  ? cp_stem_time(g)
                      : gemm_time(g) * g->groups;
    double outputs = (double)op->info->outputs;
    conv->points_below = points_limit(g, conv->dense_time + pass_cost * outputs);
    double sparse = points_limit(g, conv->dense_time - pass_cost * (double)op->source_outputs[0]);
    conv->sparse_below = sparse < 0 ? 0 : sparse < MOST_PICKED ? sparse : MOST_PICKED;
    return need_points(op);
}

/* Whether equal windows get equal outputs without cp_equal_windows: where every sum is made in the same order. */
static bool is_even(const cp_conv *conv, ACTIVATION activation)
{
    const cp_window *g = &conv->window;
    if (conv->forward) return cp_onednn_kernel(conv->forward) == CP_KERNEL_DIRECT;
    return cp_pointwise_fits(g, g->out_h * g->out_w, activation);
}

/* Before a max-pool, directly or not, they must. */
static cp_status even_out(cp_op *ops, int n)
{
    bool *pooled = cp_alloc((size_t)n + 1, sizeof *pooled, "convolutions"); /* by layer + 1 */
    if (!pooled) return CP_ERESOURCE;
    for (int i = n - 1; i >= 0; --i) {
        cp_op *op = &ops[i];
        bool pools = pooled[i + 1] || (op->type && op->type->type == MAXPOOL);
        for (int s = 0; s < op->n_sources; ++s) pooled[op->source[s] + 1] |= pools;
        if (!pooled[i + 1] || !is_planned(op)) continue;
        op->conv->evens_out = !is_even(op->conv, op->activation);
        if (op->conv->evens_out) need_scratch(op, 0, cp_equal_windows_work(&op->conv->window));
    }
    cp_free(pooled);
    return CP_OK;
}

static cp_status load_forward(cp_op *op)
{
    cp_conv *conv = op->conv;
    const cp_window *g = &conv->window;
    size_t per_thread, shared;
    cp_gather_scratch(g, &per_thread, &shared); /* the tangent's in any case */
    need_scratch(op, per_thread, shared);
    if (!conv->forward) return CP_OK;
    need_scratch(op, cp_onednn_scratch(conv->forward), 0);
    return cp_onednn_load(conv->forward, op->l->weights);
}

static cp_status load_backward(cp_op *op)
{
    cp_conv *conv = op->conv;
    int wish;
    cp_status status = wished_kernel(&wish);
    if (status) return status;
    if (!conv->back_gathers && wish == FREE && cp_stem_fits(&conv->window)) {
        status = cp_stem_prepare(&conv->window, op->l->weights, &conv->stem);
        if (!status) need_scratch(op, cp_stem_scratch(&conv->window, conv->stem), 0);
        return status;
    }
    if (!conv->back_gathers) {
        need_scratch(op, cp_scatter_scratch(&conv->window), 0);
        return CP_OK;
    }
    float *flipped = NULL;
    status = flipped_weights(&conv->window, op->l->weights, &flipped);
    if (status) return status;
    if (conv->backward) {
        need_scratch(op, cp_onednn_scratch(conv->backward), 0);
        status = cp_onednn_load(conv->backward, flipped);
        cp_free(flipped);
        return status;
    }
    size_t per_thread, shared;
    cp_gather_scratch(&conv->back_window, &per_thread, &shared);
    need_scratch(op, per_thread, shared);
    conv->back_weights = flipped;
    return CP_OK;
}

static cp_status load(cp_op *op)
{
    cp_status status = load_forward(op);
    if (!status) status = load_backward(op);
    return status ? status : load_sparse(op);
}

/* CRITPATH_POINTS, for tests and for doubts: always or never, in place of what the costs say. */
static cp_status wish_points(cp_op *ops, int n)
{
    const char *name = getenv("CRITPATH_POINTS");
    if (!name || !*name) return CP_OK;
    bool always = !strcmp(name, "always");
    if (!always && strcmp(name, "never")) return cp_fail(CP_EINPUT, "CRITPATH_POINTS is \"%s\", not always or never", name);
    for (int i = 0; i < n; ++i) {
        cp_conv *conv = ops[i].conv;
        if (!conv) continue;
        conv->points_below = always ? INFINITY : 0;
        conv->dense_time = always ? INFINITY : 0;
    }
    return CP_OK;
}

cp_status cp_conv_plan(cp_op *ops, int n)
{
    for (int i = 0; i < n; ++i) {
        cp_conv *conv = ops[i].conv;
        if (conv && conv->depthwise) {
            conv->sparse_below = depthwise_sparse_below * ops[i].info->outputs;
            conv->points_below = depthwise_points_below * ops[i].info->outputs;
            conv->dense_time = 2. * conv->window.size * conv->window.size * depthwise_reach_below * ops[i].source_outputs[0];
            cp_status status = need_points(&ops[i]);
            if (status) return status;
        }
        if (!is_planned(&ops[i])) continue;
        const cp_window *g = &conv->window;
        /* A gather moves m*size*size floats per position, a scatter c*size*size: the flipped weights pay unless the layer
         * widens a lot, as the first one does. */
        conv->back_gathers = cp_is_pointwise(g) || (g->stride == 1 && g->pad < g->size && g->m <= 2 * g->c);
        if (conv->back_gathers) conv->back_window = back_window(g);
    }
    cp_status status = choose_kernels(ops, n);
    for (int i = 0; i < n && !status; ++i) {
        cp_conv *conv = ops[i].conv;
        if (conv && conv->back_gathers && !conv->backward && conv->window.size > 1 && is_large(&conv->window))
            conv->back_gathers = false;
    }
    for (int i = 0; i < n && !status; ++i)
        if (is_planned(&ops[i])) status = load(&ops[i]);
    if (!status) status = even_out(ops, n);
    return status ? status : wish_points(ops, n);
}

void cp_conv_free(cp_conv *conv)
{
    if (!conv) return;
    cp_free(conv->back_weights);
    cp_stem_free(conv->stem);
    cp_grouped_free(conv->grouped);
    cp_onednn_free(conv->forward);
    cp_onednn_free(conv->backward);
    cp_free(conv);
}

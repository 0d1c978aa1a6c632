/* Which kernel computes a convolution and which its data gradient: the one that takes least time by the table's costs. Some
 * read rearranged weights, and the faster they are the more memory those take (Winograd's 4x4 tiles four times the plain):
 * over the whole network the copies are bought in the order of time saved per byte, until the budget is spent. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cpu/conv.h"
#include "engine/points.h"
#include "io/error.h"

static bool is_planned(const cp_op *op) { return op->conv && op->l->type != DECONVOLUTIONAL; }

static void need_scratch(cp_op *op, size_t per_thread, size_t shared)
{
    if (per_thread > op->per_thread) op->per_thread = per_thread;
    if (shared > op->shared) op->shared = shared;
}

static size_t wanted_memory;

void cp_set_kernel_memory(size_t bytes) { wanted_memory = bytes; }

/* Bytes that rearranged weights may take, by those of the weights themselves: VGG-16 stays below 850 MB in all. */
static size_t budget_of(const cp_op *ops, int n)
{
    size_t weights = 0, least = (size_t)64 << 20;
    for (int i = 0; i < n; ++i)
        if (ops[i].type && ops[i].l->weights)
            weights += sizeof(float) * (ops[i].l->type == CONNECTED ? (size_t)ops[i].l->inputs * ops[i].l->outputs
                                                                    : (size_t)ops[i].l->nweights);
    size_t budget = weights / 100 * 22;
    if (budget < least) budget = least;
    return wanted_memory > budget ? wanted_memory : budget;
}

/* CRITPATH_CONVOLUTION, for tests and for doubts: the kernel of that name wherever it fits. */
static cp_status wished_kernel(const cp_kernel **wish)
{
    const char *name = getenv("CRITPATH_CONVOLUTION");
    char names[CP_KERNELS * 16] = "";
    *wish = NULL;
    if (!name || !*name) return CP_OK;
    for (int k = 0; k < CP_KERNELS && !*wish; ++k) {
        if (!strcmp(name, cp_kernels[k]->name)) *wish = cp_kernels[k];
        strcat(strcat(names, k == 0 ? "" : k == CP_KERNELS - 1 ? " or " : ", "), cp_kernels[k]->name);
    }
    return *wish ? CP_OK : cp_fail(CP_EINPUT, "CRITPATH_CONVOLUTION is \"%s\", not %s", name, names);
}

/* Another kernel for a product of the network. */
typedef struct {
    cp_product *slot, product;
} offer;

static size_t more_bytes(const offer *o)
{
    return o->product.bytes > o->slot->bytes ? o->product.bytes - o->slot->bytes : 1;
}

/* Into the slot what every product has, or what is wished for, and into offers what is faster. */
static cp_status add_offers(cp_op *op, bool backward, const cp_kernel *wish, offer *offers, int *n)
{
    const cp_product of = {.window = op->conv->window, .backward = backward, .activation = op->activation,
                           .weights = op->l->weights};
    cp_product *slot = backward ? &op->conv->backward : &op->conv->forward, found;
    cp_status status = wish ? cp_product_open(wish, &of, slot) : CP_OK;
    if (status || slot->kernel) return status;
    status = cp_product_open(cp_kernels[0], &of, slot);
    for (int k = 1; k < CP_KERNELS && !status; ++k) {
        /* Areas of one colour stay exactly even under the first layer's other kernels, and with them the ties of max-pools
         * that Darknet breaks by order; Winograd's tiles differ there by rounding. */
        if (op->source[0] < 0 && !backward && !cp_kernels[k]->even) continue;
        status = cp_product_open(cp_kernels[k], &of, &found);
        if (!status && found.kernel && found.cost < slot->cost) offers[(*n)++] = (offer){slot, found};
        else cp_product_close(&found);
    }
    return status;
}

/* Greedy: the best ratio first; a product that has a kernel already may be upgraded by what the better one costs more. */
static void choose(offer *offers, int n, size_t budget)
{
    for (;;) {
        offer *best = NULL;
        double best_ratio = 0;
        for (offer *o = offers; o < offers + n; ++o) {
            double ratio = (o->slot->cost - o->product.cost) / more_bytes(o);
            if (more_bytes(o) <= budget && ratio > best_ratio) best = o, best_ratio = ratio;
        }
        if (!best) return;
        budget -= more_bytes(best);
        cp_product before = *best->slot;
        *best->slot = best->product;
        best->product = before; /* slower, so that it is not chosen again */
    }
}

static cp_status choose_kernels(cp_op *ops, int n)
{
    const cp_kernel *wish;
    cp_status status = wished_kernel(&wish);
    offer *offers = status ? NULL : cp_alloc((size_t)n * 2 * CP_KERNELS, sizeof *offers, "convolutions");
    if (!offers) return status ? status : CP_ERESOURCE;
    int count = 0;
    for (int i = 0; i < 2 * n && !status; ++i)
        if (is_planned(&ops[i / 2])) status = add_offers(&ops[i / 2], i % 2, wish, offers, &count);
    if (!status) choose(offers, count, budget_of(ops, n));
    for (int i = 0; i < count; ++i) cp_product_close(&offers[i].product);
    cp_free(offers);
    return status;
}

/* ---------------------------------------------------------------- points */

/* Of a depthwise layer, whose dense data gradient is cheap: the share of the outputs' deltas below which they are better
 * taken one by one, from a dense layer and from points; and that of the inputs' below which these are better computed so. */
static const double depthwise_sparse_below = .02, depthwise_points_below = .03, depthwise_reach_below = .02;
enum { MOST_PICKED = 1 << 18 }; /* of a dense layer's deltas: 5 MB of work memory */
static const double pass_cost = .5; /* ns of an output in the passes over a dense layer that points save */

static void limit_points(cp_op *op)
{
    cp_conv *conv = op->conv;
    const cp_window *g = &conv->window;
    double outputs = (double)op->info->outputs, inputs = (double)op->source_outputs[0];
    if (!cp_conv_points.fits(&conv->backward) || outputs >= UINT32_MAX / 4) return;
    if (conv->depthwise) {
        conv->sparse_below = depthwise_sparse_below * outputs;
        conv->points_below = depthwise_points_below * outputs;
        conv->dense_time = 2. * g->size * g->size * depthwise_reach_below * inputs;
        return;
    }
    conv->dense_time = conv->backward.cost;
    conv->points_below = cp_conv_points_within(g, conv->dense_time + pass_cost * outputs);
    double sparse = cp_conv_points_within(g, conv->dense_time - pass_cost * inputs);
    conv->sparse_below = sparse < 0 ? 0 : sparse < MOST_PICKED ? sparse : MOST_PICKED;
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
        if (!conv || !is_planned(&ops[i]) || !cp_conv_points.fits(&conv->backward)) continue;
        conv->points_below = always ? INFINITY : 0;
        conv->dense_time = always ? INFINITY : 0;
    }
    return CP_OK;
}

/* ---------------------------------------------------------------- the whole */

/* Before a max-pool, directly or not, equal windows must get equal outputs. */
static cp_status even_out(cp_op *ops, int n)
{
    bool *pooled = cp_alloc((size_t)n + 1, sizeof *pooled, "convolutions"); /* by layer + 1 */
    if (!pooled) return CP_ERESOURCE;
    for (int i = n - 1; i >= 0; --i) {
        cp_op *op = &ops[i];
        bool pools = pooled[i + 1] || (op->type && op->type->type == MAXPOOL);
        for (int s = 0; s < op->n_sources; ++s) pooled[op->source[s] + 1] |= pools;
        if (!pooled[i + 1] || !is_planned(op)) continue;
        op->conv->evens_out = !op->conv->forward.kernel->even;
        if (op->conv->evens_out) need_scratch(op, 0, cp_equal_windows_work(&op->conv->window));
    }
    cp_free(pooled);
    return CP_OK;
}

static cp_status load(cp_op *op)
{
    cp_product *products[] = {&op->conv->forward, &op->conv->backward};
    cp_status status = CP_OK;
    for (int i = 0; i < 2 && !status; ++i) {
        need_scratch(op, products[i]->per_thread, products[i]->shared);
        if (products[i]->kernel->load) status = products[i]->kernel->load(products[i]);
    }
    limit_points(op);
    need_scratch(op, 0, cp_conv_few_words(&op->conv->window, (size_t)op->conv->sparse_below + 1));
    return status;
}

cp_status cp_conv_plan(cp_op *ops, int n)
{
    cp_status status = choose_kernels(ops, n);
    for (int i = 0; i < n && !status; ++i)
        if (is_planned(&ops[i])) status = load(&ops[i]);
    if (!status) status = even_out(ops, n);
    return status ? status : wish_points(ops, n);
}

void cp_conv_free(cp_conv *conv)
{
    if (!conv) return;
    cp_product_close(&conv->forward);
    cp_product_close(&conv->backward);
    cp_free(conv);
}

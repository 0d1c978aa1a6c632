/* The table of layer types, and the types that only move values: route, shortcut, upsample, reorg, activation, crop. */
#include "engine/cpu/ops.h"

#include <string.h>

#include "io/error.h"

#define UNUSED_FORWARD (void)index, (void)scratch

enum { CHUNK = 1 << 14 }; /* floats that a thread moves at a time */

static int chunks_of(size_t count) { return (int)((count + CHUNK - 1) / CHUNK); }

static size_t part_of(size_t count, size_t first) { return count - first < CHUNK ? count - first : CHUNK; }

CP_CLONES static void add_scaled(float *restrict to, const float *restrict from, float factor, size_t n)
{
    for (size_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

CP_CLONES static void copy_scaled(float *restrict to, const float *restrict from, float factor, size_t n)
{
    for (size_t i = 0; i < n; ++i) to[i] = factor * from[i];
}

/* One delta to one source: written where that is fresh, else added. */
static void pass(float *to, const float *from, float factor, size_t n, bool fresh)
{
    if (!fresh)
        add_scaled(to, from, factor, n);
    else if (factor == 1)
        memcpy(to, from, n * sizeof *to);
    else
        copy_scaled(to, from, factor, n);
}

/* The same for n entries, in parallel. */
static void pass_all(cp_batch to, cp_batch from, int n, size_t count, bool fresh)
{
    int chunks = chunks_of(count);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * count))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < chunks; ++c) {
            size_t first = (size_t)c * CHUNK;
            pass(cp_at(to, b) + first, cp_at(from, b) + first, 1, part_of(count, first), fresh);
        }
}

/* [route]: the sources' channels one after the other; a source may stand there already (join_route). */
static void forward_route(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                          const cp_scratch *scratch)
{
    UNUSED_FORWARD, (void)linear;
    for (int s = 0; s < op->n_sources; out.base += op->source_outputs[s++])
        if (in[s].base != out.base) pass_all(out, in[s], n, op->source_outputs[s], true);
}

/* One source after the other: a route may name the same layer twice. */
static void backward_route(const cp_op *op, const cp_backward *call)
{
    cp_batch from = call->delta;
    for (int s = 0; s < op->n_sources; from.base += op->source_outputs[s++])
        if (call->in_delta[s].base)
            pass_all(call->in_delta[s], from, call->n, op->source_outputs[s], cp_is_fresh(call, s));
}

/* [route] with groups: of each source one part of its channels. */
static cp_batch group_of(const cp_op *op, cp_batch source, int s)
{
    size_t part = op->source_outputs[s] / (size_t)op->cfg->groups;
    if (source.base) source.base += part * (size_t)op->cfg->group_id;
    return source;
}

static void forward_group_route(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                const cp_scratch *scratch)
{
    UNUSED_FORWARD, (void)linear;
    for (int s = 0; s < op->n_sources; ++s) {
        size_t part = op->source_outputs[s] / (size_t)op->cfg->groups;
        pass_all(out, group_of(op, in[s], s), n, part, true);
        out.base += part;
    }
}

static void backward_group_route(const cp_op *op, const cp_backward *call)
{
    cp_batch from = call->delta;
    for (int s = 0; s < op->n_sources; ++s) {
        size_t part = op->source_outputs[s] / (size_t)op->cfg->groups;
        if (call->in_delta[s].base) pass_all(group_of(op, call->in_delta[s], s), from, call->n, part, false);
        from.base += part;
    }
}

/* [shortcut]: act(alpha * in + beta * from), where `from` may have other dimensions: every stride-th position of the
 * larger, the first channels of the deeper (shortcut_cpu). Where only the input reaches, it passes unscaled. */
typedef struct {
    int stride, sample, w, h, c; /* common part */
} overlap;

static overlap shortcut_overlap(const layer *l)
{
    overlap o = {.stride = l->w / l->out_w, .sample = l->out_w / l->w};
    if (o.stride < 1) o.stride = 1;
    if (o.sample < 1) o.sample = 1;
    o.w = l->w < l->out_w ? l->w : l->out_w;
    o.h = l->h < l->out_h ? l->h : l->out_h;
    o.c = l->c < l->out_c ? l->c : l->out_c;
    return o;
}

static bool same_shape(const layer *l) { return l->w == l->out_w && l->h == l->out_h && l->c == l->out_c; }

CP_CLONES static void weighted_sum(const float *a, const float *b, float alpha, float beta, size_t n, float *out)
{
    for (size_t i = 0; i < n; ++i) out[i] = alpha * a[i] + beta * b[i];
}

static void shortcut_channel(const cp_op *op, const overlap *o, int k, const float *in, const float *from, float *out)
{
    const layer *l = op->l;
    size_t plane = (size_t)l->out_h * l->out_w;
    if (same_shape(l)) {
        weighted_sum(in + k * plane, from + k * plane, l->alpha, l->beta, plane, out + k * plane);
        return;
    }
    memcpy(out + k * plane, in + k * plane, plane * sizeof *out);
    if (k >= o->c) return;
    for (int y = 0; y < o->h; ++y)
        for (int x = 0; x < o->w; ++x) {
            float *to = &out[k * plane + (size_t)y * o->sample * l->out_w + x * o->sample];
            *to = l->alpha * *to + l->beta * from[((size_t)k * l->h + y * o->stride) * l->w + x * o->stride];
        }
}

static void forward_shortcut(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                             const cp_scratch *scratch)
{
    UNUSED_FORWARD;
    const layer *l = op->l;
    overlap o = shortcut_overlap(l);
    size_t plane = (size_t)l->out_h * l->out_w;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * op->info->outputs))
    for (int b = 0; b < n; ++b)
        for (int k = 0; k < l->out_c; ++k) {
            shortcut_channel(op, &o, k, cp_at(in[0], b), cp_at(in[1], b), cp_at(out, b));
            if (!linear) cp_activate(cp_at(out, b) + k * plane, plane, op->activation);
        }
}

static void backward_shortcut(const cp_op *op, const cp_backward *call)
{
    const layer *l = op->l;
    overlap o = shortcut_overlap(l);
    size_t plane = (size_t)l->out_h * l->out_w;
    if (call->in_delta[1].base && cp_is_fresh(call, 1) && !same_shape(l))
        cp_batch_clear(call->in_delta[1], call->n, op->source_outputs[1]);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)call->n * op->info->outputs))
    for (int b = 0; b < call->n; ++b)
        for (int k = 0; k < l->out_c; ++k) {
            const float *d = cp_at(call->delta, b) + k * plane;
            if (call->in_delta[0].base)
                pass(cp_at(call->in_delta[0], b) + k * plane, d, l->alpha, plane, cp_is_fresh(call, 0));
            if (!call->in_delta[1].base || k >= o.c) continue;
            float *to = cp_at(call->in_delta[1], b) + (size_t)k * l->h * l->w;
            if (same_shape(l)) {
                pass(to, d, l->beta, plane, cp_is_fresh(call, 1));
                continue;
            }
            for (int y = 0; y < o.h; ++y)
                for (int x = 0; x < o.w; ++x)
                    to[(size_t)y * o.stride * l->w + x * o.stride] +=
                        l->beta * d[(size_t)y * o.sample * l->out_w + x * o.sample];
        }
}

/* [upsample]: scale * nearest; reversed, the sum over each block. */
CP_CLONES static void spread_row(const float *restrict small, int w, int stride, float scale, float *restrict large)
{
    if (stride == 2) /* a constant, for the compiler's sake */
        for (int x = 0; x < w; ++x) large[2 * x] = large[2 * x + 1] = scale * small[x];
    else
        for (int x = 0; x < w; ++x)
            for (int i = 0; i < stride; ++i) large[x * stride + i] = scale * small[x];
}

CP_CLONES static void gather_row(const float *restrict large, int w, int stride, float scale, float *restrict small)
{
    if (stride == 2)
        for (int x = 0; x < w; ++x) small[x] = small[x] + scale * large[2 * x] + scale * large[2 * x + 1];
    else
        for (int x = 0; x < w; ++x)
            for (int i = 0; i < stride; ++i) small[x] += scale * large[x * stride + i];
}

static void spread(const layer *l, int w, int h, const float *small, float scale, float *large)
{
    size_t row = (size_t)w * l->stride;
    for (int y = 0; y < h; ++y, large += row * l->stride) {
        spread_row(small + (size_t)y * w, w, l->stride, scale, large);
        for (int i = 1; i < l->stride; ++i) memcpy(large + i * row, large, row * sizeof *large);
    }
}

/* The same, added. */
static void spread_add(const layer *l, int w, int h, const float *small, float scale, float *large)
{
    for (int y = 0; y < h * l->stride; ++y)
        for (int x = 0; x < w * l->stride; ++x)
            large[(size_t)y * w * l->stride + x] += scale * small[(size_t)(y / l->stride) * w + x / l->stride];
}

static void gather_blocks(const layer *l, int w, int h, const float *large, float scale, float *small)
{
    for (int y = 0; y < h * l->stride; ++y)
        gather_row(large + (size_t)y * w * l->stride, w, l->stride, scale, small + (size_t)(y / l->stride) * w);
}

static void forward_upsample(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                             const cp_scratch *scratch)
{
    UNUSED_FORWARD, (void)linear;
    const layer *l = op->l;
    size_t in_plane = (size_t)l->h * l->w, out_plane = (size_t)l->out_h * l->out_w;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * op->info->outputs))
    for (int b = 0; b < n; ++b)
        for (int k = 0; k < l->c; ++k) {
            float *to = cp_at(out, b) + k * out_plane;
            if (l->reverse) {
                memset(to, 0, out_plane * sizeof *to);
                gather_blocks(l, l->out_w, l->out_h, cp_at(in[0], b) + k * in_plane, l->scale, to);
            } else {
                spread(l, l->w, l->h, cp_at(in[0], b) + k * in_plane, l->scale, to);
            }
        }
}

static void backward_upsample(const cp_op *op, const cp_backward *call)
{
    const layer *l = op->l;
    size_t in_plane = (size_t)l->h * l->w, out_plane = (size_t)l->out_h * l->out_w;
    if (!call->in_delta[0].base) return;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)call->n * op->info->outputs))
    for (int b = 0; b < call->n; ++b)
        for (int k = 0; k < l->c; ++k) {
            const float *from = cp_at(call->delta, b) + k * out_plane;
            float *to = cp_at(call->in_delta[0], b) + k * in_plane;
            if (cp_is_fresh(call, 0)) memset(to, 0, in_plane * sizeof *to);
            if (l->reverse)
                spread_add(l, l->out_w, l->out_h, from, l->scale, to);
            else
                gather_blocks(l, l->w, l->h, from, l->scale, to);
        }
}

/* [reorg]: a permutation in all its modes, so one table serves. reorg_cpu reads its arguments as a map between a tensor
 * (w,h,c) and one (w*stride, h*stride, c/stride^2), both named after the layer's INPUT shape. */
static void space_to_depth(const cp_cfg_layer *l, int32_t *p)
{
    int s = l->stride;
    for (int k = 0; k < l->out_c; ++k)
        for (int j = 0; j < l->out_h; ++j)
            for (int i = 0; i < l->out_w; ++i) {
                int part = k / l->c, y = s * j + part / s, x = s * i + part % s;
                *p++ = (k % l->c * l->h + y) * l->w + x;
            }
}

static cp_status prepare_reorg(cp_op *op)
{
    const layer *l = op->l;
    size_t outputs = op->info->outputs, inputs = l->inputs;
    int32_t *p = op->permutation = cp_alloc(outputs, sizeof *p, "reorg");
    if (!p) return CP_ERESOURCE;
    if (op->cfg->type == CP_LAYER_REORG3D) {
        space_to_depth(op->cfg, p);
        return CP_OK;
    }
    if (l->flatten) { /* (c,h,w) <-> (h,w,c) */
        size_t size = (size_t)l->w * l->h;
        for (size_t c = 0; c < (size_t)l->c; ++c)
            for (size_t i = 0; i < size; ++i) {
                size_t planar = c * size + i, interleaved = i * l->c + c;
                if (l->reverse)
                    p[planar] = (int32_t)interleaved;
                else
                    p[interleaved] = (int32_t)planar;
            }
    } else if (l->extra) {
        for (size_t i = 0; i < outputs; ++i) p[i] = i < inputs ? (int32_t)i : -1;
    } else {
        int small_c = l->c / (l->stride * l->stride);
        for (int k = 0; k < l->c; ++k)
            for (int j = 0; j < l->h; ++j)
                for (int i = 0; i < l->w; ++i) {
                    int deep = i + l->w * (j + l->h * k);
                    int offset = k / small_c;
                    int x = i * l->stride + offset % l->stride, y = j * l->stride + offset / l->stride;
                    int wide = x + l->w * l->stride * (y + l->h * l->stride * (k % small_c));
                    if (l->reverse)
                        p[wide] = deep;
                    else
                        p[deep] = wide;
                }
    }
    return CP_OK;
}

static void forward_reorg(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                          const cp_scratch *scratch)
{
    UNUSED_FORWARD, (void)linear;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * op->info->outputs))
    for (int b = 0; b < n; ++b)
        for (size_t i = 0; i < op->info->outputs; ++i)
            cp_at(out, b)[i] = op->permutation[i] < 0 ? 0 : cp_at(in[0], b)[op->permutation[i]];
}

static void backward_reorg(const cp_op *op, const cp_backward *call)
{
    if (!call->in_delta[0].base) return;
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)call->n * op->info->outputs))
    for (int b = 0; b < call->n; ++b)
        for (size_t i = 0; i < op->info->outputs; ++i)
            if (op->permutation[i] >= 0) cp_at(call->in_delta[0], b)[op->permutation[i]] += cp_at(call->delta, b)[i];
}

/* [activation] */
static void forward_activation(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                               const cp_scratch *scratch)
{
    UNUSED_FORWARD;
    size_t outputs = op->info->outputs;
    int chunks = chunks_of(outputs);
#pragma omp parallel for collapse(2) num_threads(cp_threads_for((double)n * outputs))
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < chunks; ++c) {
            size_t first = (size_t)c * CHUNK, part = part_of(outputs, first);
            memcpy(cp_at(out, b) + first, cp_at(in[0], b) + first, part * sizeof(float));
            if (!linear) cp_activate(cp_at(out, b) + first, part, op->activation);
        }
}

static void backward_activation(const cp_op *op, const cp_backward *call)
{
    if (call->in_delta[0].base)
        pass_all(call->in_delta[0], call->delta, call->n, op->info->outputs, cp_is_fresh(call, 0));
}

/* [crop] at inference: the centre, from [0,1] to [-1,1] unless noadjust. */
static size_t crop_row(const layer *l, int c, int y)
{
    return ((size_t)c * l->h + y + (l->h - l->out_h) / 2) * l->w + (l->w - l->out_w) / 2;
}

static void forward_crop(const cp_op *op, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                         const cp_scratch *scratch)
{
    UNUSED_FORWARD;
    const layer *l = op->l;
    float scale = l->noadjust ? 1 : 2, shift = l->noadjust || linear ? 0 : -1;
    for (int b = 0; b < n; ++b)
        for (int c = 0; c < l->c; ++c)
            for (int y = 0; y < l->out_h; ++y) {
                const float *from = cp_at(in[0], b) + crop_row(l, c, y);
                float *to = cp_at(out, b) + ((size_t)c * l->out_h + y) * l->out_w;
                for (int x = 0; x < l->out_w; ++x) to[x] = from[x] * scale + shift;
            }
}

static void backward_crop(const cp_op *op, const cp_backward *call)
{
    const layer *l = op->l;
    float scale = l->noadjust ? 1 : 2;
    if (!call->in_delta[0].base) return;
    for (int b = 0; b < call->n; ++b)
        for (int c = 0; c < l->c; ++c)
            for (int y = 0; y < l->out_h; ++y) {
                const float *from = cp_at(call->delta, b) + ((size_t)c * l->out_h + y) * l->out_w;
                float *to = cp_at(call->in_delta[0], b) + crop_row(l, c, y);
                for (int x = 0; x < l->out_w; ++x) to[x] += scale * from[x];
            }
}

const cp_op_type cp_op_route = {.type = ROUTE, .forward = forward_route, .backward = backward_route,
                                .takes_fresh = true, .moves = true};
const cp_op_type cp_op_group_route = {.type = (LAYER_TYPE)CP_HOST_GROUP_ROUTE, .forward = forward_group_route,
                                      .backward = backward_group_route, .moves = true};
const cp_op_type cp_op_shortcut = {.type = SHORTCUT, .forward = forward_shortcut, .backward = backward_shortcut,
                                   .takes_fresh = true};
const cp_op_type cp_op_upsample = {.type = UPSAMPLE, .forward = forward_upsample, .backward = backward_upsample,
                                   .takes_fresh = true, .moves = true};
const cp_op_type cp_op_reorg = {.type = REORG, .prepare = prepare_reorg, .forward = forward_reorg,
                                .backward = backward_reorg, .moves = true};
const cp_op_type cp_op_activation = {.type = ACTIVE, .forward = forward_activation, .backward = backward_activation,
                                     .takes_fresh = true};
const cp_op_type cp_op_crop = {.type = CROP, .forward = forward_crop, .backward = backward_crop};

const cp_op_type *cp_op_type_around(const cp_op *op, const cp_op_type **inner)
{
    bool blurred = false;
    cp_wide_window window;
    for (int s = 0; s < op->n_sources; ++s) blurred |= cp_op_reads_blurred(op, s, &window);
    bool normalized = cp_activation_ties_channels(op->activation);
    *inner = blurred || normalized ? op->type : NULL;
    return normalized ? &cp_op_normalized : blurred ? &cp_op_behind_blur : op->type;
}

size_t cp_op_around_floats(const cp_op *op)
{
    return op->type == &cp_op_normalized ? cp_normalized_floats(op) : cp_blur_floats(op);
}

const cp_op_type *cp_op_type_find(const layer *l, const cp_cfg_layer *cfg)
{
    static const cp_op_type *const table[] = {
        &cp_op_convolutional, &cp_op_deconvolutional, &cp_op_connected, &cp_op_local,      &cp_op_maxpool, &cp_op_avgpool,
        &cp_op_shortcut,      &cp_op_route,           &cp_op_upsample,  &cp_op_reorg,      &cp_op_activation, &cp_op_crop,
        &cp_op_group_route,   &cp_op_scale_channels,  &cp_op_sam,       &cp_op_sum,        &cp_op_batchnorm,
        &cp_op_implicit,      &cp_op_wide_convolution, &cp_op_pool,     &cp_op_depth_pool, &cp_op_local_average,
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; ++i)
        if (cp_op_is(table[i]->type, table[i]->name, l, cfg)) return table[i];
    return NULL;
}

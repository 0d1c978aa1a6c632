/* The backward pass: data gradients of one or several entries, masked at the neuron layers. */
#include <string.h>

#include "engine/backend.h"
#include "engine/points.h"
#include "io/error.h"

enum { NO_TARGET = -2 };

/* One run. Arrays are by layer + 1; 0 is the input. */
typedef struct {
    cp_frame *frame;
    const cp_entry *entries;
    int n;
    const cp_observer *observer;
    int target;          /* layer whose delta the caller wants, -1 the input, or NO_TARGET */
    const cp_stops *stops; /* or NULL */
    float *target_delta;
    bool *active;        /* somebody wants this layer's delta and the response depends on it */
    bool *touched;       /* holds something: otherwise it is zero and was not even cleared */
    float **delta;       /* (n, outputs) */
    int *joined;         /* the route in whose delta this one's is a part, at `part` floats; -2: none */
    size_t *part;
    int *image;          /* by entry */
    size_t *nonzero;     /* by entry: deltas of the layer at hand that are not 0 */
    const cp_products *products; /* in the observer's place */
    cp_points_run *points; /* one entry with a path: which layers keep deltas at its neurons only; or NULL */
    const cp_rule *rule;   /* the rule in place of the derivatives: rho for g; or NULL */
    float **spare;       /* by layer, with points: dense deltas of a source that has points and no short way to them */
} run;

/* Floats of one entry's delta. */
static size_t floats_of(const run *r, int layer)
{
    const cp_points *points = cp_points_of(r->points, layer);
    return points ? points->n : cp_outputs(r->frame->model, layer);
}

static int owner(const cp_model *model, int layer) { return layer < 0 ? -1 : model->layer[layer].value; }

static bool reads(const run *r, int unit, int layer)
{
    return unit == layer || cp_model_depends(r->frame->model, unit, layer);
}

static bool response_depends(const run *r, int layer)
{
    for (int e = 0; e < r->n; ++e) {
        const cp_response *response = r->entries[e].response;
        if (!response && reads(r, r->entries[e].seed_layer, layer)) return true;
        for (int k = 0; response && k < response->n; ++k)
            if (reads(r, response->unit[k].layer, layer)) return true;
    }
    return false;
}

static bool wanted(const run *r, int layer)
{
    const cp_model *model = r->frame->model;
    if (r->frame->base && !r->frame->value[layer + 1]) return false;
    if (layer == r->target) return true;
    if (layer < 0) return false;
    if (r->target != NO_TARGET && cp_model_depends(model, layer, r->target)) return true;
    if (!r->observer && !r->products) return false;
    for (int p = 0; p < model->neuron_layers; ++p) {
        int neuron = model->neuron[p].layer;
        if (r->frame->base && !r->frame->value[neuron + 1]) continue;
        if (neuron == layer || cp_model_depends(model, layer, neuron)) return true;
    }
    return false;
}

static void mark_active(run *r)
{
    const cp_model *model = r->frame->model;
    for (int i = -1; i < model->layers; ++i)
        if (i < 0 || (!model->layer[i].head && model->layer[i].value == i))
            r->active[i + 1] = (r->stops && i >= 0 ? r->stops->active[i] : r->stops ? r->target == i : wanted(r, i)) &&
                               response_depends(r, i);
}

static bool stops_at(const run *r, int layer) { return layer == r->target || (r->stops && r->stops->stop[layer]); }

/* The delta of a route's source is that part of the route's own, unless another layer has written into it before: with
 * one entry it is one run of floats, and nothing has to be copied. */
static void join_routes(run *r, const int *reader)
{
    if (r->n > 1 || r->stops || !cp_has(r->frame, CP_IN_PLACE)) return;
    for (int i = 0; i < r->frame->model->layers; ++i) {
        const cp_op *op = &r->frame->engine->op[i];
        size_t at = 0;
        if (!r->active[i + 1] || i == r->target || !cp_joins(op)) continue;
        for (int s = 0; s < op->n_sources; at += op->source_outputs[s++]) {
            int source = op->source[s];
            if (source < 0 || source == r->target || reader[source + 1] != i || r->joined[source + 1] >= 0) continue;
            if (cp_points_of(r->points, i) || cp_points_of(r->points, source)) continue;
            if (at % CP_ALIGNED_FLOATS) continue;
            r->joined[source + 1] = i;
            r->part[source + 1] = at;
        }
    }
}

/* What a layer needs to compute dense deltas of sources that have points, one after the other. */
static size_t spare_floats(const run *r, int layer)
{
    size_t most = 0;
    if (!r->points || layer < 0 || stops_at(r, layer)) return 0;
    const cp_op *op = &r->frame->engine->op[layer];
    for (int s = 0; s < op->n_sources; ++s) {
        size_t floats = cp_outputs(r->frame->model, op->source[s]);
        if (r->active[op->source[s] + 1] && !cp_points_has_way(r->points, layer, s) && floats > most) most = floats;
    }
    return most;
}

/* A delta lives from its first reader's turn (or its own, if only a response unit is in it) to its own turn, or, at a stop,
 * to the end. Turns go from the last layer down: turn t is layer layers-1-t. */
static cp_status plan(run *r)
{
    const cp_model *model = r->frame->model;
    int layers = model->layers, n = 0;
    size_t most = 2 * (size_t)layers + 2; /* deltas, and a spare of each layer */
    int *first = cp_alloc(most, sizeof *first, "deltas"), *last = cp_alloc(most, sizeof *last, "deltas");
    float ***which = cp_alloc(most, sizeof *which, "deltas");
    int *reader = cp_alloc(layers + 1, sizeof *reader, "deltas"), *buffer = cp_alloc(layers + 1, sizeof *buffer, "deltas");
    size_t *floats = cp_alloc(most, sizeof *floats, "deltas"), *offset = cp_alloc(most, sizeof *offset, "deltas");
    cp_status status = first && last && which && reader && buffer && floats && offset ? CP_OK : CP_ERESOURCE;
    if (status) goto done;
    for (int i = -1; i < layers; ++i) reader[i + 1] = i;
    for (int i = 0; i < layers; ++i) {
        const cp_op *op = &r->frame->engine->op[i];
        if (!r->active[i + 1] || stops_at(r, i)) continue;
        for (int s = 0; s < op->n_sources; ++s)
            if (i > reader[op->source[s] + 1]) reader[op->source[s] + 1] = i;
    }
    join_routes(r, reader);
    for (int i = layers - 1; i >= -1; --i) {
        if (!r->active[i + 1]) continue;
        if ((floats[n] = spare_floats(r, i))) {
            first[n] = last[n] = layers - 1 - i;
            which[n++] = &r->spare[i];
        }
        if (i == r->target && cp_has(r->frame, CP_IN_PLACE)) {
            r->delta[i + 1] = r->target_delta;
            continue;
        }
        if (r->joined[i + 1] >= 0) { /* it lives in the outermost route's buffer */
            int k = buffer[i + 1] = buffer[r->joined[i + 1] + 1];
            if (last[k] < layers - 1 - i) last[k] = layers - 1 - i;
            continue;
        }
        buffer[i + 1] = n;
        first[n] = layers - 1 - reader[i + 1];
        last[n] = i >= 0 && stops_at(r, i) ? layers : layers - 1 - i;
        if (!cp_mul(floats_of(r, i), r->n, &floats[n])) {
            status = cp_fail(CP_ERESOURCE, "layer %d: deltas of %d entries do not fit in memory", i, r->n);
            goto done;
        }
        which[n++] = &r->delta[i + 1];
    }
    status = cp_frame_arena(r->frame, cp_plan_buffers(n, first, last, floats, offset));
    for (int k = 0; k < n && !status; ++k) *which[k] = r->frame->arena + offset[k];
    for (int i = layers - 1; i >= 0 && !status; --i)
        if (r->joined[i + 1] >= 0 && r->active[i + 1])
            r->delta[i + 1] = r->delta[r->joined[i + 1] + 1] + r->part[i + 1];
done:
    cp_free(first), cp_free(last), cp_free(which), cp_free(reader), cp_free(buffer), cp_free(floats), cp_free(offset);
    return status;
}

static cp_batch delta_of(const run *r, int layer)
{
    return (cp_batch){r->delta[layer + 1], floats_of(r, layer)};
}

static void touch(run *r, int layer)
{
    if (r->touched[layer + 1]) return;
    r->frame->backend->clear(r->frame, delta_of(r, layer), r->n, floats_of(r, layer));
    r->touched[layer + 1] = true;
}

/* When a response's units enter their layer's delta: a gate scales them too, a path does not restrict the layer that the
 * response is in, and the activation's derivative is not that of z. */
typedef enum { BEFORE_GATE, AFTER_ACTIVATION, BEFORE_ACTIVATION } moment;

static moment moment_of(const cp_entry *entry)
{
    return entry->before_activation ? BEFORE_ACTIVATION : entry->gates ? BEFORE_GATE : AFTER_ACTIVATION;
}

/* The response's own units, or the seed. */
static void seed(run *r, int layer, moment now)
{
    const cp_model *model = r->frame->model;
    size_t outputs = cp_outputs(model, layer);
    for (int e = 0; e < r->n; ++e) {
        const cp_response *response = r->entries[e].response;
        float *delta = r->delta[layer + 1] + e * outputs;
        if (moment_of(&r->entries[e]) != now) continue;
        if (!response && owner(model, r->entries[e].seed_layer) == layer) {
            touch(r, layer);
            r->frame->backend->add(r->frame, r->entries[e].seed, delta, outputs);
        }
        for (int k = 0; response && k < response->n; ++k) {
            if (owner(model, response->unit[k].layer) != layer) continue;
            touch(r, layer);
            r->frame->backend->add_at(r->frame, delta + response->unit[k].index, response->unit[k].weight);
        }
    }
}

static bool has_units(const run *r, int layer)
{
    for (int e = 0; e < r->n; ++e) {
        const cp_response *response = r->entries[e].response;
        if (!response && owner(r->frame->model, r->entries[e].seed_layer) == layer) return true;
        for (int k = 0; response && k < response->n; ++k)
            if (owner(r->frame->model, response->unit[k].layer) == layer) return true;
    }
    return false;
}

/* Under a rule: rho is shown, then multiplied by a/z. */
static void rule_through_neurons(run *r, int layer, int position, bool expose, bool descend)
{
    const cp_neuron_layer *neuron = &r->frame->model->neuron[position];
    float *rho = r->delta[layer + 1];
    if (expose && r->observer)
        r->observer->gradient(r->observer->user, neuron, 0, 0, cp_entry_activations(r->frame, r->entries, layer), rho,
                              neuron->count);
    if (descend) {
        r->rule->arrive(r->rule->rule, layer, rho);
        r->nonzero[0] = r->rule->descend(r->rule->rule, layer, rho);
    }
}

static void through_neurons(run *r, int layer, int position, bool expose, bool descend)
{
    const cp_through call = {.layer = layer, .position = position, .n = r->n, .entries = r->entries,
                             .observer = r->observer, .products = r->products, .expose = expose, .descend = descend,
                             .delta = r->delta[layer + 1], .nonzero = r->nonzero};
    if (r->rule)
        rule_through_neurons(r, layer, position, expose, descend);
    else
        r->frame->backend->through(r->frame, &call);
}

static cp_backward call_of(run *r, int layer, const cp_batch *in_delta, const bool *fresh)
{
    return (cp_backward){.n = r->n, .delta = delta_of(r, layer), .in_delta = in_delta, .fresh = fresh[0],
                         .fresh_sources = fresh, .nonzero = r->nonzero, .index = r->frame->index[layer], .image = r->image,
                         .scratch = &r->frame->scratch};
}

/* A product is derived at the values of its sources. */
static void see_values(const run *r, const cp_op *op, cp_batch *at, cp_backward *call)
{
    if (!op->type->tangent_of_product) return;
    for (int s = 0; s < op->n_sources; ++s) at[s] = cp_frame_batch(r->frame, op->source[s]);
    call->at = at;
}

/* By way of the source's dense deltas. */
static void backward_to_spare(run *r, int layer, int s)
{
    const cp_op *op = &r->frame->engine->op[layer];
    int source = op->source[s];
    cp_batch in_delta[CP_MAX_SOURCES] = {{0}};
    bool fresh[CP_MAX_SOURCES] = {false};
    in_delta[s] = (cp_batch){r->spare[layer], cp_outputs(r->frame->model, source)};
    fresh[s] = r->frame->backend->takes_fresh(op);
    if (!fresh[s]) cp_batch_clear(in_delta[s], 1, in_delta[s].stride);
    cp_backward call = call_of(r, layer, in_delta, fresh);
    cp_batch at[CP_MAX_SOURCES];
    see_values(r, op, at, &call);
    op->type->backward(op, &call);
    cp_points_take(cp_points_of(r->points, source), r->spare[layer], r->delta[source + 1]);
}

/* The sources of a layer with points, and of any layer those that have points. */
static bool through_points(run *r, int layer, int s)
{
    int source = r->frame->engine->op[layer].source[s];
    const cp_points *from = cp_points_of(r->points, layer), *to = cp_points_of(r->points, source);
    if (!from && !to) return false;
    if ((from && !from->n) || (to && !to->n)) return true;
    touch(r, source);
    if (!cp_points_backward(r->points, layer, s, r->delta[layer + 1], r->delta[source + 1])) backward_to_spare(r, layer, s);
    return true;
}

static void backward_layer(run *r, int layer)
{
    const cp_op *op = &r->frame->engine->op[layer];
    cp_batch in_delta[CP_MAX_SOURCES] = {{0}};
    bool any = false, fresh[CP_MAX_SOURCES] = {false};
    for (int s = 0; s < op->n_sources; ++s) {
        int source = op->source[s];
        if (!r->active[source + 1] || through_points(r, layer, s)) continue;
        if (r->joined[source + 1] == layer && !r->touched[source + 1]) { /* it is there already */
            r->touched[source + 1] = true;
            continue;
        }
        fresh[s] = r->frame->backend->takes_fresh(op) && !r->touched[source + 1];
        if (fresh[s])
            r->touched[source + 1] = true;
        else
            touch(r, source);
        in_delta[s] = delta_of(r, source);
        any = true;
    }
    if (!any) return;
    cp_backward call = call_of(r, layer, in_delta, fresh);
    cp_batch at[CP_MAX_SOURCES];
    see_values(r, op, at, &call);
    if (r->rule)
        r->rule->backward(r->rule->rule, layer, &call);
    else
        r->frame->backend->backward(r->frame, layer, &call);
}

static void backward_from_the_response(run *r)
{
    const cp_model *model = r->frame->model;
    for (int i = model->layers - 1; i >= 0; --i) {
        if (!r->active[i + 1]) continue;
        int position = model->neuron_position[i];
        seed(r, i, BEFORE_GATE);
        if (i == r->target || (r->stops && i == r->stops->origin)) {
            seed(r, i, AFTER_ACTIVATION);
            continue;
        }
        bool neurons = position >= 0, reached = r->touched[i + 1], own = has_units(r, i);
        const cp_points *points = cp_points_of(r->points, i);
        if (points && position >= 0 && reached)
            cp_points_descend(points, cp_entry_slope_values(r->frame, r->entries, i), r->frame->engine->op[i].activation,
                              r->delta[i + 1]);
        else if (neurons && reached)
            through_neurons(r, i, position, true, !own);
        seed(r, i, AFTER_ACTIVATION);
        if (neurons && r->touched[i + 1] && (own || !reached)) through_neurons(r, i, position, false, true);
        seed(r, i, BEFORE_ACTIVATION);
        if (!r->touched[i + 1] || stops_at(r, i)) continue;
        if (r->rule && !neurons) r->rule->arrive(r->rule->rule, i, r->delta[i + 1]);
        bool asks = model->net->layers[i].type == CONVOLUTIONAL && cp_has(r->frame, CP_HAS_SPARSE);
        if ((!neurons || own) && asks && !points)
            r->frame->backend->count_nonzero(r->frame, r->delta[i + 1], r->n, cp_outputs(model, i), r->nonzero);
        backward_layer(r, i);
    }
}

static cp_status check_units(const cp_model *model, const cp_entry *entry)
{
    const cp_response *response = entry->response;
    int n = model->layers, seed = entry->seed_layer;
    if (!response && (!entry->seed || seed < 0 || seed >= n || model->layer[seed].head))
        return cp_fail(CP_EINPUT, "backward: an entry has neither a response nor a seed for a layer before the heads");
    for (int k = 0; response && k < response->n; ++k) {
        int layer = response->unit[k].layer;
        if (layer < 0 || layer >= n || model->layer[layer].head ||
            response->unit[k].index >= model->layer[layer].outputs)
            return cp_fail(CP_EINPUT, "response: layer %d has no unit %zu", layer, response->unit[k].index);
    }
    return CP_OK;
}

static cp_status check_entries(const run *r)
{
    const cp_model *model = r->frame->model;
    for (int e = 0; e < r->n; ++e) {
        const cp_entry *entry = &r->entries[e];
        if (entry->image < 0 || entry->image >= r->frame->batch)
            return cp_fail(CP_EINPUT, "backward: image %d, the frame holds %d", entry->image, r->frame->batch);
        if (entry->gates && !r->frame->gated[entry->image])
            return cp_fail(CP_EINTERNAL, "backward: image %d ran without gates", entry->image);
        if (entry->guided && (entry->path || entry->gates))
            return cp_fail(CP_EINPUT, "backward: guided backpropagation of a network restricted by a path or gates");
        if (entry->guided && !cp_has(r->frame, CP_HAS_GUIDED))
            return cp_fail(CP_EINPUT, "backward: guided backpropagation has no %s code; the CPU computes it (-nogpu)",
                           r->frame->backend->name);
        cp_status status = check_units(model, entry);
        if (status) return status;
    }
    return CP_OK;
}

static cp_status choose_points(run *r)
{
    const cp_model *model = r->frame->model;
    bool *open = cp_alloc(model->layers + 1, sizeof *open, "backward");
    r->spare = cp_alloc(model->layers + 1, sizeof *r->spare, "backward");
    cp_status status = open && r->spare ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < model->layers && !status; ++i) open[i + 1] = r->active[i + 1] && !has_units(r, i);
    if (!status) status = cp_points_choose(r->frame, r->entries->path, r->entries->image, open, r->points);
    cp_free(open);
    return status;
}

/* Works on the target and the stops that `r` names; delta: as cp_frame_backward_stops. */
static cp_status backward(run r, float **delta)
{
    cp_frame *frame = r.frame;
    const cp_entry *entries = r.entries;
    int layers = frame->model->layers, n = r.n;
    cp_status status = check_entries(&r);
    if (status || n < 1) return status;
    r.active = cp_alloc(layers + 1, sizeof *r.active, "backward");
    r.touched = cp_alloc(layers + 1, sizeof *r.touched, "backward");
    r.delta = cp_alloc(layers + 1, sizeof *r.delta, "backward");
    r.joined = cp_alloc(layers + 1, sizeof *r.joined, "backward");
    r.part = cp_alloc(layers + 1, sizeof *r.part, "backward");
    r.image = cp_alloc(n, sizeof *r.image, "backward");
    r.nonzero = cp_alloc(n, sizeof *r.nonzero, "backward");
    if (!r.active || !r.touched || !r.delta || !r.joined || !r.part || !r.image || !r.nonzero) {
        status = CP_ERESOURCE;
        goto done;
    }
    for (int i = -1; i < layers; ++i) r.joined[i + 1] = -2;
    for (int e = 0; e < n; ++e) r.image[e] = entries[e].image;
    mark_active(&r);
    if (r.rule) status = r.rule->check(r.rule->rule, r.active);
    if (!status && r.points) status = choose_points(&r);
    if (!status) status = plan(&r);
    if (!status) status = cp_frame_begin(frame);
    if (status) goto done;
    backward_from_the_response(&r);
    if (r.target != NO_TARGET && !r.touched[r.target + 1])
        memset(r.target_delta, 0, n * cp_outputs(frame->model, r.target) * sizeof *r.target_delta);
    else if (r.target != NO_TARGET)
        frame->backend->download(frame, r.delta[r.target + 1], r.target_delta, n * cp_outputs(frame->model, r.target));
    for (int i = 0; i < layers && delta; ++i)
        delta[i] = r.stops->stop[i] && r.touched[i + 1] ? r.delta[i + 1] : NULL;
    status = cp_frame_end(frame);
done:
    cp_free(r.active), cp_free(r.touched), cp_free(r.delta), cp_free(r.joined), cp_free(r.part);
    cp_free(r.image), cp_free(r.nonzero), cp_free(r.spare);
    if (r.points) cp_points_free(r.points);
    return status;
}

cp_status cp_backward_dense(cp_frame *frame, const cp_entry *entries, int n, const cp_observer *observer,
                            float *input_gradient)
{
    return backward((run){.frame = frame, .entries = entries, .n = n, .observer = observer,
                          .target = input_gradient ? -1 : NO_TARGET, .target_delta = input_gradient}, NULL);
}

cp_status cp_backward_by_rule(cp_frame *frame, const cp_entry *entry, const cp_observer *observer, const cp_rule *rule)
{
    return backward((run){.frame = frame, .entries = entry, .n = 1, .observer = observer, .rule = rule,
                          .target = NO_TARGET}, NULL);
}

cp_status cp_backward_points(cp_frame *frame, const cp_entry *entry, float *input_gradient)
{
    cp_points_run points = {.frame = frame};
    return backward((run){.frame = frame, .entries = entry, .n = 1, .points = &points, .target = -1,
                          .target_delta = input_gradient}, NULL);
}

cp_status cp_backward_products(cp_frame *frame, const cp_entry *entry, const cp_products *to,
                               float *input_gradient)
{
    return backward((run){.frame = frame, .entries = entry, .n = 1, .products = to,
                          .target = input_gradient ? -1 : NO_TARGET, .target_delta = input_gradient}, NULL);
}

cp_status cp_frame_backward_to(cp_frame *frame, const cp_entry *entries, int n, int layer, float *gradient)
{
    if (layer < -1 || layer >= frame->model->layers) return cp_fail(CP_EINPUT, "backward: there is no layer %d", layer);
    return backward((run){.frame = frame, .entries = entries, .n = n, .target = owner(frame->model, layer),
                          .target_delta = gradient}, NULL);
}

cp_status cp_frame_backward_stops(cp_frame *frame, const cp_entry *entries, int n, const cp_stops *stops, float **delta)
{
    return backward((run){.frame = frame, .entries = entries, .n = n, .target = NO_TARGET, .stops = stops}, delta);
}

cp_status cp_frame_backward_between(cp_frame *frame, const cp_entry *entries, int n, const cp_stops *between,
                                    const cp_observer *observer, float *input_gradient)
{
    return backward((run){.frame = frame, .entries = entries, .n = n, .observer = observer, .stops = between,
                          .target = input_gradient ? -1 : NO_TARGET, .target_delta = input_gradient}, NULL);
}

/* Rays: what of a branch is affine in alpha, and what is not. */
#include "engine/ray.h"

#include <string.h>

#include "engine/backend.h"
#include "io/error.h"

/* Of a layer of the branch, by what it is as a function of alpha. */
typedef enum {
    CURVED, /* run as it is; also everything outside the branch */
    BENT,   /* an activation of something affine */
    AFFINE
} course;

/* Of a channel of an affine layer. A max-pool takes the same winners at every alpha where all is scaled or nothing is. */
enum { MIXED, SCALED, FIXED };

enum { CHUNK = 1 << 13 }; /* elements of one turn of a loop, which stay in the nearest cache between two passes */

/* Arrays are by layer. */
struct cp_ray {
    cp_frame *branch;
    const cp_response *response;
    course *course;
    uint8_t **channel;   /* of affine layers: (c) of the above */
    float **u, **v;      /* (outputs) of what is affine: a bent layer's input, an affine layer's output */
    bool *filled;        /* affine layers that something curved or the response reads */
    bool *active, *stop; /* of the backward run at each alpha */
    double **sum;        /* at the stops: (outputs) of deltas, NULL while zero */
    float **delta;
    cp_entry *entries;
    float *nothing;      /* zeros, as many as the largest source has */
};

static const cp_layer_info *info_of(const cp_ray *ray, int layer) { return &ray->branch->model->layer[layer]; }
static bool runs(const cp_ray *ray, int layer)
{
    return ray->branch->value[layer + 1] && layer != ray->branch->branch_layer;
}
/* In the branch, its first layer included. */
static bool moves(const cp_ray *ray, int layer) { return layer >= 0 && ray->branch->value[layer + 1]; }

/* ---------------------------------------------------------------- what is affine */

static uint8_t channel_class(const cp_ray *ray, int source, size_t c)
{
    return moves(ray, source) ? ray->channel[source][c] : FIXED;
}

/* Classes of the layer's channels, when all it reads is affine or fixed. */
static void classify_channels(cp_ray *ray, const cp_op *op)
{
    size_t at = 0;
    uint8_t *own = ray->channel[op->info->index];
    bool keeps = op->l->type == AVGPOOL || op->l->type == MAXPOOL || op->l->type == UPSAMPLE || op->l->type == ROUTE;
    for (int s = 0; keeps && s < op->n_sources; ++s) {
        size_t channels = op->source_outputs[s] / (op->info->in_h * op->info->in_w);
        for (size_t c = 0; c < channels && at < op->info->c; ++c) own[at++] = channel_class(ray, op->source[s], c);
    }
}

static bool reads_only_affine(const cp_ray *ray, const cp_op *op)
{
    for (int s = 0; s < op->n_sources; ++s)
        if (moves(ray, op->source[s]) && ray->course[op->source[s]] != AFFINE) return false;
    for (size_t c = 0; op->l->type == MAXPOOL && c < op->info->c; ++c)
        if (channel_class(ray, op->source[0], c) == MIXED) return false;
    return true;
}

/* Neither affine nor bent by an activation of its output alone: it is run. */
static bool bends(const cp_op *op)
{
    return op->keeps_z || op->inner || op->type->tangent_of_product || (op->has_index && op->l->type != MAXPOOL);
}

static void find_courses(cp_ray *ray)
{
    const cp_model *model = ray->branch->model;
    int origin = ray->branch->branch_layer;
    ray->course[origin] = AFFINE;
    if (!cp_has(ray->branch, CP_HAS_LINES)) return; /* all that follows is run */
    memset(ray->channel[origin], SCALED, info_of(ray, origin)->c);
    for (int i = origin + 1; i < model->layers; ++i) {
        const cp_op *op = &ray->branch->engine->op[i];
        if (!runs(ray, i) || !reads_only_affine(ray, op) || bends(op)) continue;
        ray->course[i] = op->activation == LINEAR ? AFFINE : BENT;
        if (ray->course[i] == AFFINE) classify_channels(ray, op);
    }
}

/* An affine layer is a stop of the backward run, and filled in by the forward run, where it is read by other layers. */
static void find_readers(cp_ray *ray)
{
    const cp_model *model = ray->branch->model;
    for (int i = 0; i < model->layers; ++i) {
        const cp_op *op = &ray->branch->engine->op[i];
        ray->stop[i] = runs(ray, i) && ray->course[i] == BENT;
        for (int s = 0; s < op->n_sources && runs(ray, i) && ray->course[i] == CURVED; ++s)
            if (moves(ray, op->source[s]) && ray->course[op->source[s]] == AFFINE) ray->filled[op->source[s]] = true;
    }
    for (int k = 0; k < ray->response->n; ++k) {
        int owner = model->layer[ray->response->unit[k].layer].value;
        if (moves(ray, owner) && ray->course[owner] == AFFINE) ray->filled[owner] = true;
    }
    for (int i = 0; i < model->layers; ++i) {
        ray->stop[i] |= ray->filled[i];
        ray->active[i] = moves(ray, i) && (ray->stop[i] || ray->course[i] == CURVED);
    }
}

/* ---------------------------------------------------------------- u and v */

static size_t biases_of(const cp_op *op)
{
    return op->l->type == CONVOLUTIONAL || op->l->type == CONNECTED ? op->info->c : 0;
}

static bool all_scaled(const cp_ray *ray, const cp_op *op)
{
    for (int s = 0; s < op->n_sources; ++s)
        for (size_t c = 0; c < (moves(ray, op->source[s]) ? info_of(ray, op->source[s])->c : 1); ++c)
            if (channel_class(ray, op->source[s], c) != SCALED) return false;
    return true;
}

/* At alpha = 0: biases alone where all sources are then 0. */
static void find_v(cp_ray *ray, const cp_op *op, const cp_batch *in)
{
    cp_op linear = *op;
    int i = op->info->index;
    size_t plane = op->info->h * op->info->w;
    linear.activation = LINEAR;
    if (biases_of(op) && all_scaled(ray, op)) {
        for (size_t c = 0; c < op->info->c; ++c)
            for (size_t p = 0; p < plane; ++p) ray->v[i][c * plane + p] = op->l->biases[c];
        return;
    }
    op->type->forward(&linear, 1, in, (cp_batch){ray->v[i], 0}, ray->branch->index[i], false, &ray->branch->scratch);
}

/* The derivative; of a max-pool at the winners of the base. */
static void find_u(cp_ray *ray, const cp_op *op, const cp_batch *in, const uint16_t *winners)
{
    cp_batch out = {ray->u[op->info->index], 0};
    const int image = 0;
    if (op->type->tangent)
        op->type->tangent(op, 1, in, out, winners, &image, &ray->branch->scratch);
    else
        op->type->forward(op, 1, in, out, NULL, true, &ray->branch->scratch);
}

/* Of an affine max-pool every entry has the winners of the base, which a backward run will look for. */
static const uint16_t *copy_winners(cp_ray *ray, const cp_op *op)
{
    int i = op->info->index, image = ray->branch->base_image;
    size_t outputs = op->info->outputs;
    const uint16_t *winners = cp_frame_winners(ray->branch->base, i, &image) + image * outputs;
    for (int e = 0; e < ray->branch->batch; ++e)
        memcpy(ray->branch->index[i] + e * outputs, winners, outputs * sizeof *winners);
    return winners;
}

static void find_line(cp_ray *ray, int i)
{
    const cp_op *op = &ray->branch->engine->op[i];
    cp_batch u[CP_MAX_SOURCES], v[CP_MAX_SOURCES];
    for (int s = 0; s < op->n_sources; ++s) {
        int source = op->source[s];
        u[s] = (cp_batch){moves(ray, source) ? ray->u[source] : ray->nothing, 0};
        v[s] = moves(ray, source) ? (cp_batch){ray->v[source], 0} : cp_frame_batch(ray->branch, source);
    }
    find_v(ray, op, v);
    find_u(ray, op, u, op->has_index ? copy_winners(ray, op) : NULL);
}

static cp_status allocate_lines(cp_ray *ray)
{
    const cp_model *model = ray->branch->model;
    int origin = ray->branch->branch_layer;
    size_t largest = info_of(ray, origin)->outputs;
    for (int i = 0; i < model->layers; ++i) {
        const cp_op *op = &ray->branch->engine->op[i];
        if (!runs(ray, i) || ray->course[i] == CURVED) continue;
        ray->u[i] = cp_alloc_dirty(op->info->outputs, sizeof(float), "ray");
        ray->v[i] = cp_alloc_dirty(op->info->outputs, sizeof(float), "ray");
        if (!ray->u[i] || !ray->v[i]) return CP_ERESOURCE;
        for (int s = 0; s < op->n_sources; ++s)
            if (op->source_outputs[s] > largest) largest = op->source_outputs[s];
    }
    ray->nothing = cp_alloc(largest, sizeof(float), "ray");
    ray->u[origin] = (float *)cp_frame_output(ray->branch->base, origin, ray->branch->base_image);
    ray->v[origin] = ray->nothing;
    return ray->nothing ? CP_OK : CP_ERESOURCE;
}

static cp_status find_lines(cp_ray *ray)
{
    cp_status status = allocate_lines(ray);
    if (!status) status = cp_frame_begin(ray->branch);
    if (status) return status;
    for (int i = 0; i < ray->branch->model->layers; ++i)
        if (runs(ray, i) && ray->course[i] != CURVED) find_line(ray, i);
    return cp_frame_end(ray->branch);
}

/* ---------------------------------------------------------------- life */

static cp_status allocate(cp_ray *ray)
{
    const cp_model *model = ray->branch->model;
    size_t layers = (size_t)model->layers;
    ray->course = cp_alloc(layers, sizeof *ray->course, "ray"); /* all curved */
    ray->channel = cp_alloc(layers, sizeof *ray->channel, "ray");
    ray->u = cp_alloc(layers, sizeof *ray->u, "ray");
    ray->v = cp_alloc(layers, sizeof *ray->v, "ray");
    ray->filled = cp_alloc(layers, sizeof *ray->filled, "ray");
    ray->active = cp_alloc(layers, sizeof *ray->active, "ray");
    ray->stop = cp_alloc(layers, sizeof *ray->stop, "ray");
    ray->sum = cp_alloc(layers, sizeof *ray->sum, "ray");
    ray->delta = cp_alloc(layers, sizeof *ray->delta, "ray");
    ray->entries = cp_alloc((size_t)ray->branch->batch, sizeof *ray->entries, "ray");
    if (!ray->course || !ray->channel || !ray->u || !ray->v || !ray->filled || !ray->active || !ray->stop || !ray->sum ||
        !ray->delta || !ray->entries)
        return CP_ERESOURCE;
    for (int i = 0; i < model->layers; ++i)
        if (moves(ray, i) && !(ray->channel[i] = cp_alloc(model->layer[i].c, 1, "ray"))) return CP_ERESOURCE;
    for (int e = 0; e < ray->branch->batch; ++e) ray->entries[e] = (cp_entry){.image = e, .response = ray->response};
    return CP_OK;
}

cp_status cp_ray_create(cp_frame *branch, const cp_response *response, cp_ray **out)
{
    *out = NULL;
    if (!branch->base || branch->branch_layer < 0) return cp_fail(CP_EINTERNAL, "ray: a branch at a layer is needed");
    cp_ray *ray = cp_alloc(1, sizeof *ray, "ray");
    if (!ray) return CP_ERESOURCE;
    *ray = (cp_ray){.branch = branch, .response = response};
    cp_status status = allocate(ray);
    if (!status) {
        find_courses(ray);
        find_readers(ray);
        status = find_lines(ray);
    }
    if (status) {
        cp_ray_free(ray);
        return status;
    }
    *out = ray;
    return CP_OK;
}

static void free_sum(cp_ray *ray, int layer)
{
    ray->branch->backend->free(ray->branch, ray->sum[layer]);
    ray->sum[layer] = NULL;
}

void cp_ray_free(cp_ray *ray)
{
    if (!ray) return;
    int layers = ray->branch->model->layers;
    for (int i = 0; i < layers; ++i) {
        if (ray->channel) cp_free(ray->channel[i]);
        if (ray->u && runs(ray, i)) cp_free(ray->u[i]);
        if (ray->v && runs(ray, i)) cp_free(ray->v[i]);
        if (ray->sum && ray->sum[i]) free_sum(ray, i);
    }
    cp_free(ray->course), cp_free(ray->channel), cp_free(ray->u), cp_free(ray->v), cp_free(ray->filled);
    cp_free(ray->active), cp_free(ray->stop), cp_free(ray->sum), cp_free(ray->delta), cp_free(ray->entries);
    cp_free(ray->nothing);
    cp_free(ray);
}

/* u, v and, in double, the sum of each layer up to the first activations. */
size_t cp_ray_bytes(const cp_model *model, int layer, const cp_response *response)
{
    size_t bytes = 0;
    for (int i = layer + 1; i < model->layers; ++i) {
        const cp_layer_info *info = &model->layer[i];
        bool straight = !info->head && info->value == i && cp_model_depends(model, i, layer) &&
                        cp_is_read(model, response, i);
        for (int k = layer + 1; k < i && straight; ++k)
            straight = !(cp_model_depends(model, k, layer) && cp_model_depends(model, i, k) && model->layer[k].neuron);
        if (straight) bytes += info->outputs * (2 * sizeof(float) + sizeof(double));
    }
    return bytes;
}

/* ---------------------------------------------------------------- forward */

cp_status cp_ray_forward(cp_ray *ray, const double *alpha, int n)
{
    cp_frame *branch = ray->branch;
    if (n < 1 || n > branch->batch) return cp_fail(CP_EINPUT, "ray: %d alphas, it holds 1 to %d", n, branch->batch);
    cp_status status = cp_frame_begin(branch);
    if (status) return status;
    for (int i = 0; i < branch->model->layers; ++i)
        if (moves(ray, i) && (ray->filled[i] || ray->course[i] == BENT))
            branch->backend->fill_line(branch, i, n, alpha, ray->u[i], ray->v[i],
                                       ray->course[i] == BENT ? branch->engine->op[i].activation : LINEAR);
        else if (runs(ray, i) && ray->course[i] == CURVED)
            cp_frame_run_layer(branch, i, n);
    return cp_frame_end(branch);
}

/* ---------------------------------------------------------------- backward */

/* Doubles in the memory of the branch's backend, which counts floats. */
enum { FLOATS_OF_DOUBLE = sizeof(double) / sizeof(float) };

static cp_status add_to_sum(cp_ray *ray, int i, int n, double weight)
{
    cp_frame *branch = ray->branch;
    size_t outputs = info_of(ray, i)->outputs, floats = outputs * FLOATS_OF_DOUBLE;
    bool fresh = !ray->sum[i];
    if (fresh && !(ray->sum[i] = (double *)branch->backend->alloc(branch, floats, "ray"))) return CP_ERESOURCE;
    cp_status status = cp_frame_begin(branch);
    if (status) return status;
    if (fresh) branch->backend->clear(branch, (cp_batch){(float *)ray->sum[i], 0}, 1, floats);
    branch->backend->add_deltas(branch, ray->delta[i], outputs, n, weight, ray->sum[i]);
    return cp_frame_end(branch);
}

cp_status cp_ray_add(cp_ray *ray, int n, double weight)
{
    const cp_stops stops = {.active = ray->active, .stop = ray->stop, .origin = ray->branch->branch_layer};
    cp_status status = cp_frame_backward_stops(ray->branch, ray->entries, n, &stops, ray->delta);
    for (int i = 0; i < ray->branch->model->layers && !status; ++i)
        if (ray->delta[i]) status = add_to_sum(ray, i, n, weight);
    return status;
}

/* The sources' part of the delta of layer i. Those that are not cleared yet are made. */
static cp_status pull_layer(cp_ray *ray, int i, float **delta)
{
    const cp_op *op = &ray->branch->engine->op[i];
    cp_batch in_delta[CP_MAX_SOURCES] = {{0}};
    size_t nonzero = 0;
    int image = ray->branch->base_image;
    for (size_t k = 0; k < op->info->outputs; ++k) nonzero += delta[i][k] != 0;
    for (int s = 0; s < op->n_sources; ++s) {
        int source = op->source[s];
        if (!moves(ray, source)) continue;
        if (!delta[source] && !(delta[source] = cp_alloc(op->source_outputs[s], sizeof(float), "ray"))) return CP_ERESOURCE;
        in_delta[s] = (cp_batch){delta[source], op->source_outputs[s]};
    }
    cp_backward call = {.n = 1, .delta = {delta[i], op->info->outputs}, .in_delta = in_delta, .nonzero = &nonzero,
                        .index = op->has_index ? cp_frame_winners(ray->branch->base, i, &image) : NULL,
                        .image = &image, .scratch = &ray->branch->scratch};
    op->type->backward(op, &call);
    return CP_OK;
}

/* The layer's own sum into its delta; the sum is over. */
static cp_status take_sum(cp_ray *ray, int i, float **delta)
{
    size_t outputs = info_of(ray, i)->outputs;
    if (!ray->sum[i]) return CP_OK;
    if (!delta[i] && !(delta[i] = cp_alloc(outputs, sizeof(float), "ray"))) return CP_ERESOURCE;
    const cp_backend *backend = ray->branch->backend;
    const double *sum = (const double *)backend->look(ray->branch, (const float *)ray->sum[i], outputs * FLOATS_OF_DOUBLE);
    for (size_t k = 0; k < outputs && sum; ++k) delta[i][k] += (float)sum[k];
    free_sum(ray, i);
    return sum ? CP_OK : CP_ERESOURCE;
}

cp_status cp_ray_sum(cp_ray *ray, float *gradient)
{
    int origin = ray->branch->branch_layer, layers = ray->branch->model->layers;
    float **delta = cp_alloc((size_t)layers, sizeof *delta, "ray");
    cp_status status = delta ? cp_frame_begin(ray->branch) : CP_ERESOURCE;
    if (status) goto done;
    memset(gradient, 0, info_of(ray, origin)->outputs * sizeof *gradient);
    delta[origin] = gradient;
    for (int i = layers - 1; i >= origin && !status; --i) {
        status = take_sum(ray, i, delta);
        if (status || i == origin || !delta[i]) continue;
        status = pull_layer(ray, i, delta);
        cp_free(delta[i]);
        delta[i] = NULL;
    }
    cp_status ended = cp_frame_end(ray->branch);
    if (!status) status = ended;
done:
    for (int i = 0; i < layers && delta; ++i)
        if (i != origin) cp_free(delta[i]);
    cp_free(delta);
    return status;
}

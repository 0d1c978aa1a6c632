/* Gradient norms of all borders at once, in forward mode: along each direction v one linear pass gives J v of every
 * neuron. Over the unit vectors, the squares add up to ||J_j||^2; over Gaussian probes, their mean estimates it
 * (docs/methods.md 3). */
#include <math.h>
#include <string.h>

#include "io/error.h"
#include "path/linearity.h"
#include "io/random.h"

enum { MAX_BATCH = 16, DEFAULT_PROBES = 64, MANY = 1 << 16 };
static const size_t DEFAULT_MEMORY = (size_t)1 << 30;

typedef struct {
    cp_borders *borders;
    size_t most;      /* neurons of the largest layer */
    float *dz;        /* (batch, most): the layer at work */
    float *direction; /* (batch, inputs) */
} pass;

bool cp_window_unit(const cp_pool_borders *pool, size_t window, int k, size_t *unit)
{
    const cp_layer_info *l = pool->info;
    size_t plane = l->h * l->w, channel = window / plane, at = window % plane;
    long y = (long)(at / l->w) * l->stride - l->pad / 2 + k / l->size;
    long x = (long)(at % l->w) * l->stride - l->pad / 2 + k % l->size;
    if (y < 0 || x < 0 || y >= (long)l->in_h || x >= (long)l->in_w)
        return false;
    *unit = (channel * l->in_h + (size_t)y) * l->in_w + (size_t)x;
    return true;
}

bool cp_window_winner(const cp_pool_borders *pool, const float *source, size_t window, size_t *winner)
{
    size_t unit;
    bool any = false;
    *winner = 0;
    for (int k = 0; k < pool->info->size * pool->info->size; k++)
        if (cp_window_unit(pool, window, k, &unit) && (any ? source[unit] > source[*winner] : !isnan(source[unit]))) {
            *winner = unit;
            any = true;
        }
    return any;
}

/* dz of one entry. Parts come from several threads; what they add up to must not depend on the order, so it waits. */
static void keep(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *dz, size_t count)
{
    (void)layer;
    pass *p = user;
    memcpy(p->dz + (size_t)entry * p->most + first, dz, count * sizeof *dz);
}

static void add_units(const cp_borders *b, const cp_neuron_layer *layer, const float *dz)
{
    double *square = b->unit_square + layer->offset;
#pragma omp parallel for if (layer->count >= MANY) num_threads(cp_threads())
    for (size_t i = 0; i < layer->count; i++)
        square[i] += (double)dz[i] * dz[i];
}

static void add_pairs(const cp_borders *b, const cp_pool_borders *pool, const float *da)
{
    const float *source = cp_frame_output(b->frame, pool->source, b->image);
    int rivals = pool->info->size * pool->info->size;
#pragma omp parallel for if (pool->info->outputs * (size_t)rivals >= MANY) num_threads(cp_threads())
    for (size_t i = 0; i < pool->info->outputs; i++) {
        size_t winner, unit;
        if (!cp_window_winner(pool, source, i, &winner))
            continue;
        double *square = b->pair_square + pool->first + i * (size_t)rivals;
        for (int k = 0; k < rivals; k++)
            if (cp_window_unit(pool, i, k, &unit)) {
                double difference = (double)da[winner] - da[unit];
                square[k] += difference * difference;
            }
    }
}

/* Comes once per layer and entry, in order, after the layer's dz. */
static void add_layer(void *user, int layer, int entry, const float *da, size_t count)
{
    (void)count;
    pass *p = user;
    const cp_borders *b = p->borders;
    int position = cp_model_neuron_position(b->model, layer), n;
    if (position >= 0 && b->counted[position])
        add_units(b, &cp_model_neuron_layers(b->model, &n)[position], p->dz + (size_t)entry * p->most);
    for (int k = 0; k < b->n_pools; k++)
        if (b->pool[k].source == layer)
            add_pairs(b, &b->pool[k], da);
}

static void fill_direction(const cp_borders *b, bool exact, size_t number, float *direction)
{
    memset(direction, 0, b->inputs * sizeof *direction);
    if (exact) {
        direction[number] = 1;
        return;
    }
    uint64_t state = b->options->seed;
    state = cp_random_next(&state) + number;
    state = cp_random_next(&state);
    for (size_t i = 0; i < b->inputs; i += 2) {
        float pair[2];
        cp_random_normal(&state, pair);
        memcpy(direction + i, pair, (b->inputs - i < 2 ? 1 : 2) * sizeof *pair);
    }
}

static int choose_batch(const cp_borders *b, size_t most, size_t directions)
{
    size_t memory = b->options->run.memory ? b->options->run.memory : DEFAULT_MEMORY;
    int batch = directions < MAX_BATCH ? (int)directions : MAX_BATCH;
    while (batch > 1 &&
           cp_frame_bytes(b->model, 1, batch) + (size_t)batch * (most + b->inputs) * sizeof(float) > memory)
        batch--;
    return batch;
}

cp_status cp_borders_measure(cp_borders *b, bool exact)
{
    const cp_run_options *run = &b->options->run;
    int n_layers, probes = b->options->probes > 0 ? b->options->probes : DEFAULT_PROBES;
    const cp_neuron_layer *layers = cp_model_neuron_layers(b->model, &n_layers);
    size_t directions = exact ? b->inputs : (size_t)probes;
    pass p = {.borders = b};
    for (int l = 0; l < n_layers; l++)
        if (layers[l].count > p.most)
            p.most = layers[l].count;
    int batch = choose_batch(b, p.most, directions);
    p.dz = cp_alloc_dirty((size_t)batch * p.most, sizeof *p.dz, "linearity");
    p.direction = cp_alloc_dirty((size_t)batch * b->inputs, sizeof *p.direction, "linearity");
    cp_status status = p.dz && p.direction ? CP_OK : CP_ERESOURCE;
    const cp_tangent_observer observer = {.before_activation = keep, .output = add_layer, .user = &p};
    for (size_t first = 0; first < directions && !status; first += (size_t)batch) {
        int n = directions - first < (size_t)batch ? (int)(directions - first) : batch;
        for (int e = 0; e < n; e++)
            fill_direction(b, exact, first + (size_t)e, p.direction + (size_t)e * b->inputs);
        for (int e = 0; e < n; e++)
            for (int k = 0; k < b->n_pools; k++)
                if (b->pool[k].source < 0)
                    add_pairs(b, &b->pool[k], p.direction + (size_t)e * b->inputs);
        status = cp_frame_tangent(b->frame, b->image, p.direction, n, b->path, &observer);
        if (run->progress)
            run->progress(run->user, (double)(first + (size_t)n) / (double)directions);
    }
    b->passes = (int)directions;
    if (!exact) {
        size_t neurons = cp_model_neuron_count(b->model);
        for (size_t i = 0; i < neurons; i++)
            b->unit_square[i] /= probes;
        for (size_t i = 0; i < b->pairs; i++)
            b->pair_square[i] /= probes;
    }
    cp_free(p.dz);
    cp_free(p.direction);
    return status;
}

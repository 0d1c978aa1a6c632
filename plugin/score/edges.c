/* Edges from channel to channel: one backward run for all g, then a run over the few layers between a reader and what it reads
 * for each of its channels. Many channels go as entries of one run. */
#include "score/edges.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "io/error.h"

enum { MOST_ENTRIES = 64 };

typedef struct {
    int n, *source;     /* positions, ascending */
    bool *active;       /* by layer: between the reader and its sources, both included */
    size_t floats;      /* of the outputs of the active layers, and of the sources' gradients */
} reader;

struct cp_edges {
    cp_frame *frame;
    int image;
    const cp_response *response;
    const cp_path *path;
    const cp_model *model;
    const cp_engine *engine;
    int layers;          /* neuron layers */
    size_t memory;
    float *gradient;     /* (N): dPhi/da, 0 off the path */
    reader *reader;      /* (layers + 1) */
    bool *stop;          /* by layer: work of one run */
    float *seed, *seen;  /* of the entries of one run: g of the reader; g of the sources, one behind the other */
    size_t seed_floats, seen_floats;
    size_t *place;       /* by layer, where its g stand in an entry's part of `seen` */
    size_t row;          /* of `seen`: floats of an entry */
};

/* ---------------------------------------------------------------- who reads whom */

static bool is_own(const cp_edges *e, int layer)
{
    for (int k = 0; k < e->response->n; k++)
        if (e->model->layer[e->response->unit[k].layer].value == layer)
            return true;
    return false;
}

/* Marks what is between `layer`, whose inputs are followed, and the neuron layers below. read: by layer + 1. */
static void follow(const cp_edges *e, int layer, bool *active, bool *read)
{
    const cp_op *op = &e->engine->op[layer];
    active[layer] = true;
    for (int s = 0; s < op->n_sources; s++) {
        int source = op->source[s];
        if (source < 0 || e->model->neuron_position[source] >= 0)
            read[source + 1] = true;
        else if (!active[source])
            follow(e, source, active, read);
    }
}

static cp_status find_sources(cp_edges *e, int number)
{
    reader *r = &e->reader[number];
    int layers = e->model->layers;
    bool *read = cp_alloc((size_t)layers + 1, sizeof *read, "edges");
    r->active = cp_alloc((size_t)layers + 1, sizeof *r->active, "edges");
    r->source = cp_alloc((size_t)e->layers + 1, sizeof *r->source, "edges");
    if (!read || !r->active || !r->source) {
        cp_free(read);
        return CP_ERESOURCE;
    }
    if (number < e->layers) {
        int layer = e->model->neuron[number].layer;
        bool counts = false;
        for (int k = 0; k < e->response->n; k++)
            counts |= cp_model_depends(e->model, e->response->unit[k].layer, layer);
        if (counts && !is_own(e, layer))
            follow(e, layer, r->active, read);
    } else {
        for (int k = 0; k < e->response->n; k++)
            follow(e, e->model->layer[e->response->unit[k].layer].value, r->active, read);
    }
    for (int i = -1; i < layers; i++) {
        if (i >= 0 && r->active[i])
            r->floats += e->model->layer[i].outputs;
        if (!read[i + 1])
            continue;
        r->source[r->n++] = i < 0 ? -1 : e->model->neuron_position[i];
        r->floats += 2 * cp_outputs(e->model, i);
        if (i >= 0)
            r->active[i] = true;
    }
    cp_free(read);
    return CP_OK;
}

/* A unit that is a neuron, passed through and stopped at in one: there is no such run. */
static cp_status check_response(const cp_edges *e)
{
    for (int k = 0; k < e->response->n; k++)
        for (int i = 0; i < e->response->n; i++) {
            int own = e->model->layer[e->response->unit[k].layer].value, other = e->response->unit[i].layer;
            if (e->model->neuron_position[own] >= 0 && e->model->layer[other].value != own &&
                cp_model_depends(e->model, other, own))
                return cp_fail(CP_EINPUT, "edges: the response has a unit of layer %d, on which its unit of layer %d depends",
                               own, other);
        }
    return CP_OK;
}

/* ---------------------------------------------------------------- gradients */

static void keep(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                 size_t count)
{
    const cp_edges *e = user;
    (void)entry, (void)a;
    memcpy(e->gradient + layer->offset + first, g, count * sizeof *g);
}

static void clear_off_path(cp_edges *e)
{
    for (int l = 0; l < e->layers && e->path; l++) {
        const cp_neuron_layer *layer = &e->model->neuron[l];
        cp_mask_apply(cp_path_words(e->path, l), 0, layer->count, e->gradient + layer->offset);
    }
}

cp_status cp_edges_open(cp_frame *frame, int image, const cp_response *response, const cp_path *path, size_t memory,
                        cp_edges **out)
{
    const cp_model *model = frame->model;
    const cp_entry entry = {.image = image, .response = response, .path = path};
    *out = NULL;
    if (frame->base)
        return cp_fail(CP_EINPUT, "edges: the frame is a branch, a whole one is needed");
    cp_edges *e = cp_alloc(1, sizeof *e, "edges");
    if (!e)
        return CP_ERESOURCE;
    *e = (cp_edges){.frame = frame, .image = image, .response = response, .path = path, .model = model,
                    .engine = frame->engine, .layers = model->neuron_layers, .memory = memory ? memory : (size_t)256 << 20};
    e->gradient = cp_alloc(model->neurons, sizeof *e->gradient, "gradients");
    e->reader = cp_alloc((size_t)e->layers + 1, sizeof *e->reader, "edges");
    e->stop = cp_alloc((size_t)model->layers, sizeof *e->stop, "edges");
    e->place = cp_alloc((size_t)model->layers, sizeof *e->place, "edges");
    cp_status status = e->gradient && e->reader && e->stop && e->place ? check_response(e) : CP_ERESOURCE;
    for (int r = 0; r <= e->layers && !status; r++)
        status = find_sources(e, r);
    const cp_observer observer = {keep, e};
    if (!status)
        status = cp_frame_backward(frame, &entry, 1, &observer, NULL);
    if (status) {
        cp_edges_free(e);
        return status;
    }
    clear_off_path(e);
    *out = e;
    return CP_OK;
}

void cp_edges_free(cp_edges *e)
{
    if (!e)
        return;
    for (int r = 0; e->reader && r <= e->layers; r++) {
        cp_free(e->reader[r].source);
        cp_free(e->reader[r].active);
    }
    cp_free(e->reader), cp_free(e->gradient), cp_free(e->stop), cp_free(e->seed), cp_free(e->seen), cp_free(e->place);
    cp_free(e);
}

int cp_edges_response(const cp_edges *e) { return e->layers; }

const int *cp_edges_sources(const cp_edges *e, int number, int *n)
{
    *n = e->reader[number].n;
    return e->reader[number].source;
}

size_t cp_edges_row(const cp_edges *e)
{
    size_t c, h, w;
    cp_model_input_shape(e->model, &c, &h, &w);
    return cp_model_channel_count(e->model) + c;
}

/* ---------------------------------------------------------------- runs between a reader and its sources */

static cp_status grow(float **buffer, size_t *have, size_t need)
{
    if (*have >= need && *buffer)
        return CP_OK;
    cp_free(*buffer);
    *have = need;
    *buffer = cp_alloc_dirty(need ? need : 1, sizeof **buffer, "edges");
    return *buffer ? CP_OK : CP_ERESOURCE;
}

static void see(void *user, const cp_neuron_layer *layer, int entry, size_t first, const float *a, const float *g,
                size_t count)
{
    const cp_edges *e = user;
    (void)a;
    if (e->stop[layer->layer])
        memcpy(e->seen + (size_t)entry * e->row + e->place[layer->layer] + first, g, count * sizeof *g);
}

/* Runs n entries; e->seen holds the sources' g, those that are not reached 0, the input's at `row` less its size. */
static cp_status run_entries(cp_edges *e, const reader *r, const cp_entry *entries, int n)
{
    size_t inputs = cp_outputs(e->model, -1);
    const cp_observer observer = {see, e};
    const cp_stops between = {.active = r->active, .stop = e->stop, .origin = -1};
    bool input = r->source[0] < 0;
    memset(e->stop, 0, (size_t)e->model->layers * sizeof *e->stop);
    e->row = 0;
    for (int s = 0; s < r->n; s++)
        if (r->source[s] >= 0) {
            int layer = e->model->neuron[r->source[s]].layer;
            e->stop[layer] = true;
            e->place[layer] = e->row;
            e->row += e->model->neuron[r->source[s]].count;
        }
    cp_status status = grow(&e->seen, &e->seen_floats, (size_t)n * (e->row + (input ? inputs : 0)));
    if (status)
        return status;
    memset(e->seen, 0, (size_t)n * e->row * sizeof *e->seen);
    return cp_frame_backward_between(e->frame, entries, n, &between, &observer,
                                     input ? e->seen + (size_t)n * e->row : NULL);
}

static double dot(const float *a, const float *g, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * g[i];
    return sum;
}

/* One entry's sums over the positions of each channel. */
static void add_up(const cp_edges *e, const reader *r, int n, int entry, double *row)
{
    size_t c, h, w;
    cp_model_input_shape(e->model, &c, &h, &w);
    for (int s = 0; s < r->n; s++) {
        if (r->source[s] < 0) {
            const float *x = cp_frame_output(e->frame, -1, e->image);
            const float *g = e->seen + (size_t)n * e->row + (size_t)entry * c * h * w;
            double *to = row + cp_model_channel_count(e->model);
            for (size_t k = 0; k < c; k++)
                to[k] = dot(x + k * h * w, g + k * h * w, h * w);
            continue;
        }
        const cp_neuron_layer *layer = &e->model->neuron[r->source[s]];
        const float *a = cp_frame_output(e->frame, layer->layer, e->image);
        float *g = e->seen + (size_t)entry * e->row + e->place[layer->layer];
        double *to = row + cp_model_channel_offset(e->model, r->source[s]);
        size_t plane = layer->h * layer->w;
        if (e->path)
            cp_mask_apply(cp_path_words(e->path, r->source[s]), 0, layer->count, g);
        for (size_t k = 0; k < layer->c; k++)
            to[k] = dot(a + k * plane, g + k * plane, plane);
    }
}

/* g of the reader's neurons, of one channel or (-1) of all; the rest 0. */
static void fill_seed(const cp_edges *e, const cp_neuron_layer *layer, int channel, float *seed)
{
    size_t plane = layer->h * layer->w, first = channel < 0 ? 0 : (size_t)channel * plane;
    size_t count = channel < 0 ? layer->count : plane;
    memset(seed, 0, layer->count * sizeof *seed);
    memcpy(seed + first, e->gradient + layer->offset + first, count * sizeof *seed);
}

/* How many channels at a time. */
static int entries_for(const cp_edges *e, const reader *r, int n)
{
    size_t fit = e->memory / (r->floats * sizeof(float) + 1);
    size_t most = fit < MOST_ENTRIES ? fit : MOST_ENTRIES;
    return most < 1 ? 1 : (size_t)n < most ? n : (int)most;
}

static cp_status check_channels(const cp_edges *e, int number, const int *channel, int n)
{
    if (number < 0 || number > e->layers)
        return cp_fail(CP_EINPUT, "edges: reader %d, there are %d and the response, %d", number, e->layers, e->layers);
    size_t most = number < e->layers ? e->model->neuron[number].c : 0;
    for (int k = 0; k < n; k++)
        if (channel[k] < -1 || (channel[k] >= 0 && (size_t)channel[k] >= most))
            return cp_fail(CP_EINPUT, "edges: channel %d of reader %d, which has %zu", channel[k], number, most);
    return CP_OK;
}

cp_status cp_edges_to_channels(cp_edges *e, int number, const int *channel, int n, double *contribution)
{
    cp_entry entry[MOST_ENTRIES];
    size_t width = cp_edges_row(e);
    cp_status status = check_channels(e, number, channel, n);
    if (status)
        return status;
    const reader *r = &e->reader[number];
    const cp_neuron_layer *layer = number < e->layers ? &e->model->neuron[number] : NULL;
    memset(contribution, 0, (size_t)n * width * sizeof *contribution);
    for (int first = 0, most = entries_for(e, r, n); r->n && first < n && !status; first += most) {
        int count = n - first < most ? n - first : most;
        status = grow(&e->seed, &e->seed_floats, layer ? (size_t)count * layer->count : 1);
        for (int k = 0; k < count && !status; k++) {
            entry[k] = (cp_entry){.image = e->image, .response = layer ? NULL : e->response};
            if (!layer)
                continue;
            entry[k].seed = e->seed + (size_t)k * layer->count;
            entry[k].seed_layer = layer->layer;
            fill_seed(e, layer, channel[first + k], e->seed + (size_t)k * layer->count);
        }
        if (!status)
            status = run_entries(e, r, entry, count);
        for (int k = 0; k < count && !status; k++)
            add_up(e, r, count, k, contribution + (size_t)(first + k) * width);
    }
    return status;
}

cp_status cp_edges_to_neuron(cp_edges *e, int number, size_t index, float *contribution)
{
    cp_entry entry = {.image = e->image};
    if (number < 0 || number >= e->layers || index >= e->model->neuron[number].count)
        return cp_fail(CP_EINPUT, "edges: there is no neuron %zu of reader %d", index, number);
    const reader *r = &e->reader[number];
    const cp_neuron_layer *layer = &e->model->neuron[number];
    memset(contribution, 0, e->model->neurons * sizeof *contribution);
    if (!r->n)
        return CP_OK;
    cp_status status = grow(&e->seed, &e->seed_floats, layer->count);
    if (status)
        return status;
    memset(e->seed, 0, layer->count * sizeof *e->seed);
    e->seed[index] = e->gradient[layer->offset + index];
    entry.seed = e->seed;
    entry.seed_layer = layer->layer;
    status = run_entries(e, r, &entry, 1);
    for (int s = 0; s < r->n && !status; s++) {
        if (r->source[s] < 0)
            continue;
        const cp_neuron_layer *below = &e->model->neuron[r->source[s]];
        const float *a = cp_frame_output(e->frame, below->layer, e->image);
        float *g = e->seen + e->place[below->layer];
        if (e->path)
            cp_mask_apply(cp_path_words(e->path, r->source[s]), 0, below->count, g);
        for (size_t i = 0; i < below->count; i++)
            contribution[below->offset + i] = a[i] * g[i];
    }
    return status;
}

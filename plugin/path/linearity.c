/* The radius of the linear region around an image, of the frozen network of a path or of the full one (docs/methods.md
 * 3). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "model/cfg.h"
#include "path/linearity.h"

enum { DEFAULT_REFINE = 64, MAX_REFINE = 4096, EXACT_REFINE = 4, MAX_ENTRIES = 8 };
static const double EXACT_WORK = 2e11; /* multiply-adds up to which AUTO is exact */

/* The nearest borders found so far, ascending. */
typedef struct {
    cp_border *border;
    int n, room;
} shortlist;

static void enlist(shortlist *list, const cp_border *border)
{
    int at = list->n;
    if (at == list->room && border->distance >= list->border[at - 1].distance)
        return;
    if (list->n < list->room)
        list->n++;
    for (at = list->n - 1; at > 0 && list->border[at - 1].distance > border->distance; at--)
        list->border[at] = list->border[at - 1];
    list->border[at] = *border;
}

static int decade_of(double distance)
{
    if (!(distance > 0))
        return 0;
    double d = floor(log10(distance)) - CP_DECADE_FIRST;
    return d < 0 ? 0 : d >= CP_DECADES ? CP_DECADES - 1 : (int)d;
}

/* ---------------------------------------------------------------- what counts */

/* The layer whose output a max-pool reads; -1 is the input. */
static int source_of(const cp_model *model, int pool)
{
    int source = cp_model_layer(model, pool)->sources[0];
    return source < 0 ? -1 : cp_model_layer(model, source)->value;
}

static bool depends(const cp_model *model, const cp_response *response, int layer)
{
    for (int u = 0; u < response->n; u++) {
        int unit = cp_model_layer(model, response->unit[u].layer)->value;
        if (unit == layer || (unit >= 0 && cp_model_depends(model, unit, layer)))
            return true;
    }
    return false;
}

static cp_status check_activation(const cp_model *model, const cp_neuron_layer *layer)
{
    static const char *const piecewise[] = {"relu", "leaky", "relie", "ramp"};
    const char *activation = cp_model_layer(model, layer->layer)->activation;
    for (size_t i = 0; i < sizeof piecewise / sizeof *piecewise; i++)
        if (!strcmp(activation, piecewise[i]))
            return CP_OK;
    return cp_fail(CP_EINPUT, "linearity: layer %d has activation %s; supported are relu, leaky, relie and ramp, which "
                   "are linear on both sides of 0", layer->layer, activation);
}

/* Between borders the response must be affine in the input: products are not. Windows with two strides, and over
 * channels, have borders that are not looked for. */
static cp_status check_layers(const cp_borders *b, const cp_response *response)
{
    const cp_cfg_net *net = cp_model_shapes(b->model);
    for (int i = 0; i < cp_model_layer_count(b->model); i++) {
        const cp_cfg_layer *l = &net->layers[i];
        bool product = l->type == CP_LAYER_SCALE_CHANNELS || l->type == CP_LAYER_SAM;
        bool window = l->type == CP_LAYER_MAXPOOL && (l->depth || l->stride != l->stride_y ||
                                                      (l->sources[0] >= 0 && cp_layer_is_blurred(&net->layers[l->sources[0]])));
        if ((product || window) && depends(b->model, response, i))
            return cp_fail(CP_EINPUT, "linearity: layer %d [%s] is not supported: %s", i, cp_layer_type_name(l->type),
                           product ? "a product of two layers is nowhere linear" : "only plain windows are");
    }
    return CP_OK;
}

static cp_status count_units(cp_borders *b, const cp_response *response)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(b->model, &n);
    cp_status status = check_layers(b, response);
    if (!status)
        status = cp_path_create(b->model, &b->units);
    if (status)
        return status;
    cp_path_fill(b->units, true);
    if (b->path && (status = cp_path_and(b->units, b->path)))
        return status;
    for (int u = 0; u < response->n; u++) { /* a path does not restrict what it explains */
        int position = cp_model_neuron_position(b->model, cp_model_layer(b->model, response->unit[u].layer)->value);
        if (position >= 0)
            cp_path_set(b->units, layers[position].offset + response->unit[u].index, true);
    }
    for (int l = 0; l < n && !status; l++) {
        b->counted[l] = depends(b->model, response, layers[l].layer);
        if (!b->counted[l])
            memset(cp_path_words_mutable(b->units, l), 0, (layers[l].count + 63) / 64 * sizeof(uint64_t));
        if (!cp_path_layer_count(b->units, l))
            continue;
        status = check_activation(b->model, &layers[l]);
        if (!status)
            status = cp_frame_before_activation(b->frame, layers[l].layer, b->image, b->z + layers[l].offset);
    }
    return status;
}

static cp_status count_pools(cp_borders *b, const cp_response *response)
{
    int n = cp_model_layer_count(b->model);
    b->pool = cp_alloc((size_t)n, sizeof *b->pool, "linearity");
    if (!b->pool)
        return CP_ERESOURCE;
    for (int i = 0; i < n && !b->options->without_windows; i++) {
        const cp_layer_info *info = cp_model_layer(b->model, i);
        size_t window = (size_t)info->size * (size_t)info->size, pairs;
        if (strcmp(info->type, "maxpool") || !depends(b->model, response, i))
            continue;
        if (!cp_mul(info->outputs, window, &pairs) || pairs > SIZE_MAX / 2 - b->pairs)
            return cp_fail(CP_ERESOURCE, "layer %d: windows do not fit in memory", i);
        b->pool[b->n_pools++] =
            (cp_pool_borders){.layer = i, .source = source_of(b->model, i), .info = info, .first = b->pairs};
        b->pairs += pairs;
    }
    b->pair_square = cp_alloc(b->pairs, sizeof *b->pair_square, "linearity");
    return b->pair_square ? CP_OK : CP_ERESOURCE;
}

static bool small_enough(const cp_borders *b)
{
    double macs = 0;
    for (int i = 0; i < cp_model_layer_count(b->model); i++)
        macs += cp_model_layer(b->model, i)->macs;
    return macs * (double)b->inputs <= EXACT_WORK;
}

/* ---------------------------------------------------------------- distances */

static void list_units(const cp_borders *b, cp_region *region, shortlist *list)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(b->model, &n);
    for (int l = 0; l < n; l++) {
        const uint64_t *words = cp_path_words(b->units, l);
        for (size_t i = 0; i < layers[l].count; i++) {
            if (!(words[i / 64] >> i % 64 & 1))
                continue;
            size_t j = layers[l].offset + i;
            region->units++;
            if (!(b->unit_square[j] > 0)) {
                region->flat++;
                continue;
            }
            cp_border border = {.found = true, .gap = fabs((double)b->z[j]), .norm = sqrt(b->unit_square[j]),
                                .layer = layers[l].layer, .index = i};
            border.distance = border.gap / border.norm;
            region->unit_decade[decade_of(border.distance)]++;
            enlist(list, &border);
        }
    }
}

static void list_windows(const cp_borders *b, cp_region *region, shortlist *list)
{
    for (int p = 0; p < b->n_pools; p++) {
        const cp_pool_borders *pool = &b->pool[p];
        const float *source = cp_frame_output(b->frame, pool->source, b->image);
        int rivals = pool->info->size * pool->info->size;
        for (size_t i = 0; i < pool->info->outputs; i++) {
            cp_border border = {.found = true, .layer = pool->layer, .index = i};
            if (!cp_window_winner(pool, source, i, &border.winner))
                continue;
            for (int k = 0; k < rivals; k++) {
                double square = b->pair_square[pool->first + i * (size_t)rivals + (size_t)k];
                if (!(square > 0) || !cp_window_unit(pool, i, k, &border.rival))
                    continue;
                region->windows++;
                border.gap = (double)source[border.winner] - source[border.rival];
                if (border.gap == 0) {
                    region->tied++;
                    continue;
                }
                border.norm = sqrt(square);
                border.distance = border.gap / border.norm;
                region->window_decade[decade_of(border.distance)]++;
                enlist(list, &border);
            }
        }
    }
}

/* ---------------------------------------------------------------- exact gradients of the nearest */

static int compare_layers(const void *a, const void *b)
{
    const cp_border *p = a, *q = b;
    if (p->layer != q->layer)
        return p->layer - q->layer;
    return p->index < q->index ? -1 : p->index > q->index;
}

/* The scalar whose gradient a border needs. Off the path a winner or rival is a constant. */
static void response_of(const cp_borders *b, const cp_border *border, bool window, cp_response *response)
{
    *response = (cp_response){0};
    if (!window) {
        response->unit[response->n].layer = border->layer;
        response->unit[response->n].index = border->index;
        response->unit[response->n++].weight = 1;
        return;
    }
    int source = source_of(b->model, border->layer), n;
    int position = cp_model_neuron_position(b->model, source);
    for (int side = 0; side < 2; side++) {
        size_t unit = side ? border->rival : border->winner;
        if (position >= 0 && b->path &&
            !cp_path_get(b->path, cp_model_neuron_layers(b->model, &n)[position].offset + unit))
            continue;
        response->unit[response->n].layer = source;
        response->unit[response->n].index = unit;
        response->unit[response->n++].weight = side ? -1 : 1;
    }
}

static double norm_of(const float *gradient, size_t n)
{
    double square = 0;
    for (size_t i = 0; i < n; i++)
        square += (double)gradient[i] * gradient[i];
    return sqrt(square);
}

/* Gradients of `n` borders, (n, inputs). */
static cp_status gradients(const cp_borders *b, const cp_border *border, int n, bool window, float *gradient)
{
    cp_response response[MAX_ENTRIES];
    cp_entry entry[MAX_ENTRIES];
    for (int e = 0; e < n; e++) {
        response_of(b, &border[e], window, &response[e]);
        entry[e] = (cp_entry){.image = b->image, .response = &response[e], .path = b->path,
                              .before_activation = !window};
    }
    return cp_frame_backward(b->frame, entry, n, NULL, gradient);
}

/* Makes the distances of a shortlist exact and finds the nearest. */
static cp_status refine(const cp_borders *b, shortlist *list, bool window, float *gradient, cp_border *nearest,
                        int *refined)
{
    size_t memory = b->options->run.memory ? b->options->run.memory : (size_t)1 << 30;
    int batch = MAX_ENTRIES;
    while (batch > 1 && cp_frame_bytes(b->model, 1, batch) > memory)
        batch--;
    /* Neighbours in a batch share their layer, so that no entry runs through layers it does not need. */
    qsort(list->border, (size_t)list->n, sizeof *list->border, compare_layers);
    for (int first = 0; first < list->n;) {
        cp_border *border = &list->border[first];
        int n = 1;
        while (n < batch && first + n < list->n && border[n].layer == border->layer)
            n++;
        if (window && source_of(b->model, border->layer) < 0) { /* gradients of one and minus one */
            for (int e = 0; e < n; e++)
                border[e].norm = sqrt(2);
        } else {
            cp_status status = gradients(b, border, n, window, gradient);
            if (status)
                return status;
            for (int e = 0; e < n; e++)
                border[e].norm = norm_of(gradient + (size_t)e * b->inputs, b->inputs);
        }
        *refined += n;
        first += n;
        for (int e = 0; e < n; e++) {
            if (!(border[e].norm > 0))
                continue;
            border[e].distance = border[e].gap / border[e].norm;
            if (!nearest->found || border[e].distance < nearest->distance)
                *nearest = border[e];
        }
    }
    return CP_OK;
}

/* The unit vector towards the nearest border. */
static cp_status find_direction(const cp_borders *b, cp_region *region)
{
    bool window = region->window.found && (!region->unit.found || region->window.distance < region->unit.distance);
    const cp_border *border = window ? &region->window : &region->unit;
    if (!border->found)
        return CP_OK;
    region->direction = cp_alloc(b->inputs, sizeof *region->direction, "linearity");
    if (!region->direction)
        return CP_ERESOURCE;
    double sign = -1;
    if (window && source_of(b->model, border->layer) < 0) {
        region->direction[border->winner] = 1;
        region->direction[border->rival] = -1;
    } else {
        cp_status status = gradients(b, border, 1, window, region->direction);
        if (status)
            return status;
    }
    if (!window) {
        int position = cp_model_neuron_position(b->model, border->layer), n;
        if (b->z[cp_model_neuron_layers(b->model, &n)[position].offset + border->index] <= 0)
            sign = 1;
    }
    for (size_t i = 0; i < b->inputs; i++)
        region->direction[i] = (float)(sign * region->direction[i] / border->norm);
    return CP_OK;
}

static cp_status find_nearest(const cp_borders *b, cp_region *region)
{
    int room = b->options->refine > 0 ? b->options->refine : DEFAULT_REFINE;
    if (region->exact)
        room = EXACT_REFINE;
    shortlist units = {.room = room}, windows = {.room = room};
    float *gradient = cp_alloc_dirty(MAX_ENTRIES * b->inputs, sizeof *gradient, "linearity");
    units.border = cp_alloc((size_t)room, sizeof *units.border, "linearity");
    windows.border = cp_alloc((size_t)room, sizeof *windows.border, "linearity");
    cp_status status = gradient && units.border && windows.border ? CP_OK : CP_ERESOURCE;
    if (!status) {
        list_units(b, region, &units);
        list_windows(b, region, &windows);
        status = refine(b, &units, false, gradient, &region->unit, &region->refined);
    }
    if (!status)
        status = refine(b, &windows, true, gradient, &region->window, &region->refined);
    if (!status) {
        double unit = region->unit.found ? region->unit.distance : INFINITY;
        double window = region->window.found ? region->window.distance : INFINITY;
        region->radius = region->tied ? 0 : fmin(unit, window);
        status = find_direction(b, region);
    }
    cp_free(gradient);
    cp_free(units.border);
    cp_free(windows.border);
    return status;
}

cp_status cp_region_find(cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                         const cp_region_options *options, cp_region *region)
{
    const cp_model *model = cp_frame_model(frame);
    cp_borders b = {.frame = frame, .model = model, .image = image, .path = path, .options = options};
    size_t c, h, w, neurons = cp_model_neuron_count(model);
    int n;
    *region = (cp_region){0};
    cp_model_neuron_layers(model, &n);
    cp_model_input_shape(model, &c, &h, &w);
    b.inputs = c * h * w;
    if (options->refine > MAX_REFINE)
        return cp_fail(CP_EINPUT, "linearity: %d borders to refine, at most %d allowed", options->refine, MAX_REFINE);
    b.counted = cp_alloc((size_t)n, sizeof *b.counted, "linearity");
    b.z = cp_alloc(neurons, sizeof *b.z, "linearity");
    b.unit_square = cp_alloc(neurons, sizeof *b.unit_square, "linearity");
    cp_status status = b.counted && b.z && b.unit_square ? CP_OK : CP_ERESOURCE;
    if (!status)
        status = count_units(&b, response);
    if (!status)
        status = count_pools(&b, response);
    region->exact = options->exactness == CP_EXACT_ALWAYS ||
                    (options->exactness == CP_EXACT_AUTO && small_enough(&b));
    if (!status)
        status = cp_borders_measure(&b, region->exact);
    region->passes = b.passes;
    if (!status)
        status = find_nearest(&b, region);
    cp_free(b.counted);
    cp_path_free(b.units);
    cp_free(b.z);
    cp_free(b.unit_square);
    cp_free(b.pool);
    cp_free(b.pair_square);
    if (status)
        cp_region_free(region);
    return status;
}

void cp_region_free(cp_region *region)
{
    cp_free(region->direction);
    *region = (cp_region){0};
}

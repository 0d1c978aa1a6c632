/* Networks that differ in their weights alone. The bytes of the weights file are changed in a copy in memory and read
 * as any other file, so that batch norm is folded, and faster copies of the weights are made, as always. */
#define _GNU_SOURCE /* memfd_create */
#include "model/variant.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/error.h"
#include "io/file.h"
#include "io/random.h"
#include "model/model.h"

static const double SPREAD = .1;         /* of CP_DRAW_NORMAL */
static const double DECONVOLUTION = .02; /* Darknet's, whatever the size */

struct cp_variant {
    cp_model *model;
    unsigned char *original, *bytes; /* of the weights file; as it is now */
    size_t n, header;
    bool transposed;
};

cp_status cp_variant_open(const char *cfg, const char *weights, cp_variant **out)
{
    cp_weights_info info;
    cp_variant *v = *out = cp_alloc(1, sizeof *v, "variant of a network");
    if (!v)
        return CP_ERESOURCE;
    cp_status status = cp_model_open(cfg, weights, &v->model);
    if (!status)
        status = cp_weights_check(weights, v->model->shapes, cfg, &info);
    if (!status)
        status = cp_file_read(weights, "weights", UINT64_MAX, &v->original, &v->n);
    if (!status && !(v->bytes = cp_alloc(v->n, 1, "weights")))
        status = CP_ERESOURCE;
    if (!status) {
        v->header = info.header_bytes;
        v->transposed = info.transposed;
        return CP_OK;
    }
    cp_variant_free(v);
    *out = NULL;
    return status;
}

void cp_variant_free(cp_variant *v)
{
    if (!v)
        return;
    cp_model_free(v->model);
    cp_free(v->original);
    cp_free(v->bytes);
    cp_free(v);
}

cp_model *cp_variant_model(const cp_variant *v) { return v->model; }

int cp_variant_layers(const cp_variant *v, int *layers)
{
    int n = 0;
    for (size_t i = 0; i < v->model->shapes->n_layers; i++)
        if (v->model->shapes->layers[i].n_weights)
            layers[n++] = (int)i;
    return n;
}

/* ---------------------------------------------------------------- the file in memory */

/* Where the arrays of a layer begin, in bytes. */
static size_t offset_of(const cp_variant *v, int layer)
{
    size_t floats = 0;
    for (int i = 0; i < layer; i++)
        floats += v->model->shapes->layers[i].n_weights;
    return v->header + floats * sizeof(float);
}

static float get(const cp_variant *v, size_t at)
{
    float value;
    memcpy(&value, v->bytes + at, sizeof value);
    return value;
}

static void set(cp_variant *v, size_t at, double value)
{
    float narrow = (float)value;
    memcpy(v->bytes + at, &narrow, sizeof narrow);
}

/* Reads the changed bytes into the model, through a file that has no name. */
static cp_status load(cp_variant *v)
{
    char path[40];
    int file = memfd_create("weights", MFD_CLOEXEC);
    if (file < 0)
        return cp_fail(CP_ERESOURCE, "weights: no anonymous file for a changed copy");
    cp_status status = CP_OK;
    for (size_t done = 0; done < v->n && !status;) {
        ssize_t wrote = write(file, v->bytes + done, v->n - done);
        if (wrote <= 0)
            status = cp_fail(CP_ERESOURCE, "weights: %zu bytes of a changed copy could not be kept", v->n);
        else
            done += (size_t)wrote;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (!status)
        status = cp_model_load_weights(v->model, path, NULL);
    close(file);
    return status;
}

/* ---------------------------------------------------------------- random weights */

/* Two draws at a time, as Box and Muller give them. */
typedef struct {
    uint64_t state;
    float pair[2];
    bool second;
} draws;

static double normal(draws *d)
{
    if (!d->second)
        cp_random_normal(&d->state, d->pair);
    d->second = !d->second;
    return d->pair[d->second ? 0 : 1];
}

/* Darknet's spread of the weights of a layer, and whether they are normal or uniform in +-spread. 0: it does not say. */
static double spread_of(const cp_cfg_layer *l, bool *uniform)
{
    double window = (double)l->size * l->size * l->c;
    *uniform = l->type == CP_LAYER_CONNECTED || l->type == CP_LAYER_LOCAL;
    switch (l->type) {
    case CP_LAYER_CONVOLUTIONAL: return sqrt(2 / (window / (l->groups ? l->groups : 1)));
    case CP_LAYER_DECONVOLUTIONAL: return DECONVOLUTION;
    case CP_LAYER_LOCAL: return sqrt(2 / window);
    case CP_LAYER_CONNECTED: return sqrt(2 / (double)l->inputs);
    default: return 0;
    }
}

static double draw_value(draws *d, const cp_cfg_layer *l, cp_array_kind kind, cp_draw draw)
{
    bool uniform = false;
    double spread = draw == CP_DRAW_DARKNET ? spread_of(l, &uniform) : 0;
    if (draw == CP_DRAW_DARKNET && kind != CP_WEIGHTS)
        return kind == CP_SCALES;
    if (!spread)
        return SPREAD * normal(d);
    return spread * (uniform ? 2 * cp_random_uniform(&d->state) - 1 : normal(d));
}

static void randomise_layer(cp_variant *v, int layer, cp_draw draw, uint64_t seed)
{
    const cp_cfg_layer *l = &v->model->shapes->layers[layer];
    size_t at = offset_of(v, layer);
    draws d = {.state = seed + (uint64_t)layer * 0x9e3779b9u};
    d.state = cp_random_next(&d.state);
    for (size_t k = 0; k < l->n_arrays; k++) {
        bool drawn = l->arrays[k].kind != CP_ROLLING_MEAN && l->arrays[k].kind != CP_ROLLING_VARIANCE;
        for (size_t i = 0; i < l->arrays[k].n && drawn; i++)
            set(v, at + i * sizeof(float), draw_value(&d, l, l->arrays[k].kind, draw));
        at += l->arrays[k].n * sizeof(float);
    }
}

cp_status cp_variant_randomise(cp_variant *v, const int *layers, int n, cp_draw draw, uint64_t seed)
{
    memcpy(v->bytes, v->original, v->n);
    for (int i = 0; i < n; i++)
        randomise_layer(v, layers[i], draw, seed);
    return load(v);
}

/* ---------------------------------------------------------------- a shifted input */

/* Where array `kind` of a layer begins; 0: it has none. */
static size_t array_of(const cp_variant *v, int layer, cp_array_kind kind)
{
    const cp_cfg_layer *l = &v->model->shapes->layers[layer];
    size_t at = offset_of(v, layer);
    for (size_t k = 0; k < l->n_arrays; at += l->arrays[k++].n * sizeof(float))
        if (l->arrays[k].kind == kind)
            return at;
    return 0;
}

/* What the shift adds to the sum of filter f: of (filters, channels of its group, window), or of (outputs, inputs). */
static double sum_of_filter(const cp_variant *v, const cp_cfg_layer *l, size_t weights, int f, const float *shift)
{
    bool connected = l->type == CP_LAYER_CONNECTED;
    int groups = connected ? 1 : l->groups ? l->groups : 1;
    size_t channels = (size_t)(v->model->shapes->c / groups),
           window = connected ? l->inputs / channels : (size_t)l->size * l->size;
    size_t first = connected ? 0 : (size_t)(f / (l->n / groups)) * channels;
    double sum = 0;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < window; i++) {
            size_t at = v->transposed && connected ? (c * window + i) * (size_t)l->n + (size_t)f
                                                   : ((size_t)f * channels + c) * window + i;
            sum += (double)get(v, weights + at * sizeof(float)) * shift[first + c];
        }
    return sum;
}

/* Behind batch norm a shift is taken up by the rolling mean, which is subtracted before everything else. */
static void shift_layer(cp_variant *v, int layer, const float *shift)
{
    const cp_cfg_layer *l = &v->model->shapes->layers[layer];
    size_t weights = array_of(v, layer, CP_WEIGHTS);
    size_t target = array_of(v, layer, l->batch_normalize ? CP_ROLLING_MEAN : CP_BIASES);
    for (int f = 0; f < l->n; f++) {
        size_t at = target + (size_t)f * sizeof(float);
        double sum = sum_of_filter(v, l, weights, f, shift);
        set(v, at, get(v, at) + (l->batch_normalize ? sum : -sum));
    }
}

cp_status cp_variant_shift(cp_variant *v, const float *shift)
{
    const cp_cfg_net *shapes = v->model->shapes;
    memcpy(v->bytes, v->original, v->n);
    for (size_t i = 0; i < shapes->n_layers; i++) {
        const cp_cfg_layer *l = &shapes->layers[i];
        for (size_t k = 0; k < l->n_sources; k++) {
            if (l->sources[k] >= 0)
                continue;
            if (shapes->c <= 0 || (l->type != CP_LAYER_CONVOLUTIONAL && l->type != CP_LAYER_CONNECTED) || !l->n_weights)
                return cp_fail(
                    CP_EINPUT,
                    "layer %zu: %s reads the input, only a convolution or a connected layer can take up a shift", i,
                    cp_layer_type_name(l->type));
            shift_layer(v, (int)i, shift);
        }
    }
    return load(v);
}

#include "gen/generator.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "eval/class_map.h"
#include "gen/quantise.h"
#include "io/error.h"
#include "io/random.h"

enum { WIDTH = 128, EMBEDDING = 32 };
static const float OPEN = 2;       /* bias of the last layer: at first nearly every gate is open */
static const float LITTLE = 1e-3f; /* of a feature's deviation */

/* Layers are numbered from shallow to deep. Matrices as in docs/methods.md 9. */
struct cp_generator {
    const cp_model *model;
    int n, width, classes;
    cp_gated_layer *layer;
    size_t gates, count;
    int n_tensors;
    cp_gen_tensor *tensor; /* U and b of each layer, V, E, P and its bias, A, B, G and c of each layer, head and its bias */
    float *parameter, *standards;
};

struct cp_gen_pass {
    int most, n;
    const int *class_id;
    float *f;      /* standardised features (most, 2 * gates), layer by layer: each layer's block is (most, 2c) */
    float *h, *u, *q; /* (n layers, most, width) */
    float *joined; /* (n layers, most, 2 * width + EMBEDDING) */
    float *s;      /* (most, gates), and layer by layer in `blocks` */
    float *blocks, *d_blocks;
    float *mean;   /* (most, width) */
    float *head;   /* (most, classes) */
    float *dh, *du, *dq, *dj; /* gradients: dh (n, most, width), the rest of one layer */
};

enum { AT_V, AT_E, AT_P, AT_PB, AT_A, AT_B, AT_HEAD, AT_HEADB, SHARED };

static const cp_gen_tensor *shared(const cp_generator *g, int which) { return &g->tensor[4 * g->n + which]; }
static const cp_gen_tensor *of_layer(const cp_generator *g, int l, int which) { return &g->tensor[4 * l + which]; }
enum { AT_U, AT_UB, AT_G, AT_GB };

static float *at(const cp_generator *g, const cp_gen_tensor *t) { return g->parameter + t->offset; }

const cp_model *cp_generator_model(const cp_generator *g) { return g->model; }
int cp_generator_width(const cp_generator *g) { return g->width; }
size_t cp_generator_gates(const cp_generator *g) { return g->gates; }
float *cp_generator_standards(cp_generator *g) { return g->standards; }

const cp_gated_layer *cp_generator_layers(const cp_generator *g, int *n)
{
    *n = g->n;
    return g->layer;
}

float *cp_generator_parameters(cp_generator *g, size_t *count)
{
    *count = g->count;
    return g->parameter;
}

const cp_gen_tensor *cp_generator_tensors(const cp_generator *g, int *n)
{
    *n = g->n_tensors;
    return g->tensor;
}

/* ---------------------------------------------------------------- making one */

enum { MOST_ANSWERS = 16 };

/* The layers that hold logits: the classifier's, or each head's. */
static int find_logits(const cp_model *model, int logits[MOST_ANSWERS])
{
    const int *heads;
    cp_response response;
    int n = 0, n_heads = cp_model_heads(model, &heads);
    if (cp_model_get_kind(model) == CP_CLASSIFIER && !cp_response_class(model, 0, &response))
        logits[n++] = response.unit[0].layer;
    for (int k = 0; cp_model_get_kind(model) == CP_DETECTOR && k < n_heads && n < MOST_ANSWERS; k++)
        logits[n++] = cp_model_logit_layer(model, heads[k]);
    return n;
}

/* Layers of neurons that some logits depend on, without those that hold logits themselves. */
static bool is_gated(const cp_model *model, const cp_neuron_layer *layer, const int *logits, int n)
{
    bool needed = false;
    for (int k = 0; k < n; k++) {
        if (cp_model_layer(model, logits[k])->value == layer->layer)
            return false;
        needed |= cp_model_depends(model, logits[k], layer->layer);
    }
    return needed;
}

static cp_status find_layers(cp_generator *g)
{
    int n, logits[MOST_ANSWERS], n_logits = find_logits(g->model, logits);
    int class_map = n_logits ? cp_class_map_find(g->model, logits[0]) : -1;
    const cp_neuron_layer *layers = cp_model_neuron_layers(g->model, &n);
    if (!(g->layer = cp_alloc((size_t)n, sizeof *g->layer, "generator")))
        return CP_ERESOURCE;
    for (int l = 0; l < n; l++)
        if (l != class_map && is_gated(g->model, &layers[l], logits, n_logits)) {
            g->layer[g->n++] = (cp_gated_layer){l, layers[l].c, g->gates};
            g->gates += layers[l].c;
        }
    return g->n ? CP_OK : cp_fail(CP_EINPUT, "gen: the network has no layer of neurons before its answers");
}

static void add_tensor(cp_generator *g, const char *name, int layer, size_t rows, size_t columns)
{
    cp_gen_tensor *t = &g->tensor[g->n_tensors++];
    if (layer >= 0)
        snprintf(t->name, sizeof t->name, "%s_%03d", name, layer);
    else
        snprintf(t->name, sizeof t->name, "%s", name);
    t->rows = rows;
    t->columns = columns;
    t->offset = g->count;
    g->count += rows * columns;
}

static cp_status lay_out(cp_generator *g)
{
    size_t width = (size_t)g->width, classes = (size_t)g->classes;
    if (!(g->tensor = cp_alloc((size_t)(4 * g->n + SHARED), sizeof *g->tensor, "generator")))
        return CP_ERESOURCE;
    for (int l = 0; l < g->n; l++) {
        size_t c = g->layer[l].c;
        add_tensor(g, "embed", l, width, 2 * c);
        add_tensor(g, "embed_bias", l, 1, width);
        add_tensor(g, "decode", l, c, width);
        add_tensor(g, "decode_bias", l, 1, c);
    }
    add_tensor(g, "embed_before", -1, width, width);
    add_tensor(g, "class", -1, classes, EMBEDDING);
    add_tensor(g, "distil", -1, width, 2 * width + EMBEDDING);
    add_tensor(g, "distil_bias", -1, 1, width);
    add_tensor(g, "decode_own", -1, width, width);
    add_tensor(g, "decode_after", -1, width, width);
    add_tensor(g, "head", -1, classes, width);
    add_tensor(g, "head_bias", -1, 1, classes);
    g->parameter = cp_alloc(g->count, sizeof *g->parameter, "generator");
    g->standards = cp_alloc(4 * g->gates, sizeof *g->standards, "generator");
    return g->parameter && g->standards ? CP_OK : CP_ERESOURCE;
}

/* Matrices uniform within the root of 1 / columns, biases 0, those of the gates OPEN. */
static void fill(cp_generator *g, uint64_t seed)
{
    uint64_t state = seed;
    for (int k = 0; k < g->n_tensors; k++) {
        const cp_gen_tensor *t = &g->tensor[k];
        bool gates = k < 4 * g->n && k % 4 == AT_GB;
        float bound = 1 / sqrtf((float)t->columns);
        for (size_t i = 0; i < t->rows * t->columns; i++)
            at(g, t)[i] = gates ? OPEN : t->rows == 1 ? 0 : bound * (float)(2 * cp_random_uniform(&state) - 1);
    }
    for (size_t i = 0; i < 2 * g->gates; i++)
        g->standards[2 * g->gates + i] = 1;
}

cp_status cp_generator_create(const cp_model *model, int width, uint64_t seed, cp_generator **generator)
{
    cp_generator *g = cp_alloc(1, sizeof *g, "generator");
    *generator = NULL;
    if (!g)
        return CP_ERESOURCE;
    *g = (cp_generator){.model = model, .width = width ? width : WIDTH, .classes = cp_model_classes(model)};
    cp_status status = g->classes > 0 ? find_layers(g) : cp_fail(CP_EINPUT, "gen: the network has no classes");
    if (!status)
        status = lay_out(g);
    if (status) {
        cp_generator_free(g);
        return status;
    }
    fill(g, seed);
    *generator = g;
    return CP_OK;
}

void cp_generator_free(cp_generator *g)
{
    if (!g)
        return;
    cp_free(g->layer);
    cp_free(g->tensor);
    cp_free(g->parameter);
    cp_free(g->standards);
    cp_free(g);
}

/* ---------------------------------------------------------------- features */

void cp_generator_features(const cp_generator *g, const cp_frame *frame, int image, float *features)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(g->model, &n);
    for (int l = 0; l < g->n; l++) {
        const cp_neuron_layer *layer = &layers[g->layer[l].position];
        const float *a = cp_frame_output(frame, layer->layer, image);
        size_t plane = layer->h * layer->w;
        float *mean = features + 2 * g->layer[l].first, *most = mean + layer->c;
        for (size_t k = 0; k < layer->c; k++, a += plane) {
            double sum = 0;
            float top = a[0];
            for (size_t i = 0; i < plane; i++) {
                sum += a[i];
                top = a[i] > top ? a[i] : top;
            }
            mean[k] = (float)(sum / (double)plane);
            most[k] = top;
        }
    }
}

void cp_generator_standardise(cp_generator *g, const float *features, size_t n)
{
    size_t width = 2 * g->gates;
    for (size_t k = 0; k < width; k++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; i++)
            sum += features[i * width + k];
        double mean = n ? sum / (double)n : 0;
        for (size_t i = 0; i < n; i++)
            squares += pow(features[i * width + k] - mean, 2);
        g->standards[k] = (float)mean;
        g->standards[width + k] = 1 / ((float)sqrt(n ? squares / (double)n : 0) + LITTLE);
    }
}

/* ---------------------------------------------------------------- a pass */

void cp_gen_pass_free(cp_gen_pass *p)
{
    if (!p)
        return;
    float *const rooms[] = {p->f, p->h, p->u, p->q, p->joined, p->s, p->blocks, p->d_blocks, p->mean, p->head, p->dh, p->du, p->dq, p->dj};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        cp_free(rooms[i]);
    cp_free(p);
}

cp_status cp_gen_pass_create(const cp_generator *g, int most, cp_gen_pass **pass)
{
    cp_gen_pass *p = cp_alloc(1, sizeof *p, "generator");
    size_t n = (size_t)g->n, rows = (size_t)most, width = (size_t)g->width, joined = 2 * width + EMBEDDING;
    *pass = NULL;
    if (!p)
        return CP_ERESOURCE;
    p->most = most;
    const struct { float **room; size_t count; } rooms[] = {
        {&p->f, rows * 2 * g->gates}, {&p->h, n * rows * width}, {&p->u, n * rows * width}, {&p->q, n * rows * width},
        {&p->joined, n * rows * joined}, {&p->s, rows * g->gates}, {&p->blocks, rows * g->gates}, {&p->d_blocks, rows * g->gates},
        {&p->mean, rows * width}, {&p->head, rows * (size_t)g->classes}, {&p->dh, n * rows * width}, {&p->du, rows * width},
        {&p->dq, rows * width}, {&p->dj, rows * joined}};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (!(*rooms[i].room = cp_alloc(rooms[i].count, sizeof(float), "generator"))) {
            cp_gen_pass_free(p);
            return CP_ERESOURCE;
        }
    *pass = p;
    return CP_OK;
}

/* y (n, rows) = x (n, columns) m^T (+ y): m is a tensor. */
static void through(const cp_generator *g, const cp_gen_tensor *m, const float *x, int n, bool add, float *y)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, (int)m->rows, (int)m->columns, 1, x, (int)m->columns, at(g, m),
                (int)m->columns, add, y, (int)m->rows);
}

/* Gradients of `through`: over m added to gradient, over x set or added. dx may be NULL. */
static void back_through(const cp_generator *g, const cp_gen_tensor *m, const float *x, const float *dy, int n, float *gradient,
                         bool add, float *dx)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)m->rows, (int)m->columns, n, 1, dy, (int)m->rows, x,
                (int)m->columns, 1, gradient + m->offset, (int)m->columns);
    if (dx)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, (int)m->columns, (int)m->rows, 1, dy, (int)m->rows,
                    at(g, m), (int)m->columns, add, dx, (int)m->columns);
}

static void add_bias(const float *bias, int n, size_t width, float *y)
{
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < width; k++)
            y[(size_t)i * width + k] += bias[k];
}

static void back_bias(const float *dy, int n, size_t width, float *gradient)
{
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < width; k++)
            gradient[k] += dy[(size_t)i * width + k];
}

static void relu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = y[i] > 0 ? y[i] : 0;
}

static void back_relu(const float *y, size_t n, float *dy)
{
    for (size_t i = 0; i < n; i++)
        dy[i] = y[i] > 0 ? dy[i] : 0;
}

/* Each layer's block of p->f is (n, 2c). */
static void standardise(const cp_generator *g, cp_gen_pass *p, const float *features)
{
    size_t row = 2 * g->gates;
    for (int l = 0; l < g->n; l++) {
        size_t first = 2 * g->layer[l].first, width = 2 * g->layer[l].c;
        float *block = p->f + (size_t)p->most * first;
        for (int i = 0; i < p->n; i++)
            for (size_t k = 0; k < width; k++)
                block[(size_t)i * width + k] = (features[(size_t)i * row + first + k] - g->standards[first + k]) *
                                               g->standards[row + first + k];
    }
}

static float *rows_of(const cp_gen_pass *p, float *all, int layer, size_t width) { return all + (size_t)layer * (size_t)p->most * width; }

static void embed(const cp_generator *g, cp_gen_pass *p)
{
    size_t width = (size_t)g->width;
    memset(p->mean, 0, (size_t)p->n * width * sizeof *p->mean);
    for (int l = 0; l < g->n; l++) {
        float *h = rows_of(p, p->h, l, width);
        through(g, of_layer(g, l, AT_U), p->f + (size_t)p->most * 2 * g->layer[l].first, p->n, false, h);
        if (l > 0)
            through(g, shared(g, AT_V), rows_of(p, p->h, l - 1, width), p->n, true, h);
        add_bias(at(g, of_layer(g, l, AT_UB)), p->n, width, h);
        relu(h, (size_t)p->n * width);
        for (size_t i = 0; i < (size_t)p->n * width; i++)
            p->mean[i] += h[i] / (float)g->n;
    }
    through(g, shared(g, AT_HEAD), p->mean, p->n, false, p->head);
    add_bias(at(g, shared(g, AT_HEADB)), p->n, (size_t)g->classes, p->head);
}

static void distil(const cp_generator *g, cp_gen_pass *p, int l)
{
    size_t width = (size_t)g->width, joined = 2 * width + EMBEDDING;
    float *j = rows_of(p, p->joined, l, joined), *u = rows_of(p, p->u, l, width);
    const float *own = rows_of(p, p->h, l, width), *last = rows_of(p, p->h, g->n - 1, width);
    for (size_t i = 0; i < (size_t)p->n; i++) {
        memcpy(j + i * joined, own + i * width, width * sizeof *j);
        memcpy(j + i * joined + width, last + i * width, width * sizeof *j);
        memcpy(j + i * joined + 2 * width, at(g, shared(g, AT_E)) + (size_t)p->class_id[i] * EMBEDDING, EMBEDDING * sizeof *j);
    }
    through(g, shared(g, AT_P), j, p->n, false, u);
    add_bias(at(g, shared(g, AT_PB)), p->n, width, u);
    relu(u, (size_t)p->n * width);
}

static void decode(const cp_generator *g, cp_gen_pass *p, int l)
{
    size_t width = (size_t)g->width, c = g->layer[l].c;
    float *q = rows_of(p, p->q, l, width), *s = p->blocks + (size_t)p->most * g->layer[l].first;
    through(g, shared(g, AT_A), rows_of(p, p->u, l, width), p->n, false, q);
    if (l + 1 < g->n)
        through(g, shared(g, AT_B), rows_of(p, p->q, l + 1, width), p->n, true, q);
    for (size_t i = 0; i < (size_t)p->n * width; i++)
        q[i] = tanhf(q[i]);
    through(g, of_layer(g, l, AT_G), q, p->n, false, s);
    add_bias(at(g, of_layer(g, l, AT_GB)), p->n, c, s);
    for (size_t i = 0; i < (size_t)p->n; i++)
        for (size_t k = 0; k < c; k++) {
            s[i * c + k] = 1 / (1 + expf(-s[i * c + k]));
            p->s[i * g->gates + g->layer[l].first + k] = s[i * c + k];
        }
}

void cp_gen_forward(const cp_generator *g, cp_gen_pass *p, const float *features, const int *class_id, int n,
                    const float **importance, const float **head)
{
    p->n = n;
    p->class_id = class_id;
    standardise(g, p, features);
    embed(g, p);
    for (int l = g->n - 1; l >= 0; l--) {
        distil(g, p, l);
        decode(g, p, l);
    }
    *importance = p->s;
    *head = p->head;
}

/* dq holds what came from the layer below (q of l is read by l-1); leaves there what goes on to q of l+1. */
static void back_decode(const cp_generator *g, cp_gen_pass *p, const float *d_importance, int l, float *gradient)
{
    size_t width = (size_t)g->width, c = g->layer[l].c, rows = (size_t)p->n;
    const float *s = p->blocks + (size_t)p->most * g->layer[l].first, *q = rows_of(p, p->q, l, width);
    float *ds = p->d_blocks + (size_t)p->most * g->layer[l].first;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < c; k++)
            ds[i * c + k] = d_importance[i * g->gates + g->layer[l].first + k] * s[i * c + k] * (1 - s[i * c + k]);
    back_through(g, of_layer(g, l, AT_G), q, ds, p->n, gradient, true, p->dq);
    back_bias(ds, p->n, c, gradient + of_layer(g, l, AT_GB)->offset);
    for (size_t i = 0; i < rows * width; i++)
        p->dq[i] *= 1 - q[i] * q[i];
    back_through(g, shared(g, AT_A), rows_of(p, p->u, l, width), p->dq, p->n, gradient, false, p->du);
}

static void back_distil(const cp_generator *g, cp_gen_pass *p, int l, float *gradient)
{
    size_t width = (size_t)g->width, joined = 2 * width + EMBEDDING, rows = (size_t)p->n;
    float *own = rows_of(p, p->dh, l, width), *last = rows_of(p, p->dh, g->n - 1, width);
    back_relu(rows_of(p, p->u, l, width), rows * width, p->du);
    back_through(g, shared(g, AT_P), rows_of(p, p->joined, l, joined), p->du, p->n, gradient, false, p->dj);
    back_bias(p->du, p->n, width, gradient + shared(g, AT_PB)->offset);
    for (size_t i = 0; i < rows; i++) {
        const float *dj = p->dj + i * joined;
        float *dclass = gradient + shared(g, AT_E)->offset + (size_t)p->class_id[i] * EMBEDDING;
        for (size_t k = 0; k < width; k++) {
            own[i * width + k] += dj[k];
            last[i * width + k] += dj[width + k];
        }
        for (size_t k = 0; k < EMBEDDING; k++)
            dclass[k] += dj[2 * width + k];
    }
}

static void back_embed(const cp_generator *g, cp_gen_pass *p, int l, float *gradient)
{
    size_t width = (size_t)g->width;
    float *dh = rows_of(p, p->dh, l, width);
    back_relu(rows_of(p, p->h, l, width), (size_t)p->n * width, dh);
    back_through(g, of_layer(g, l, AT_U), p->f + (size_t)p->most * 2 * g->layer[l].first, dh, p->n, gradient, false, NULL);
    back_bias(dh, p->n, width, gradient + of_layer(g, l, AT_UB)->offset);
    if (l > 0)
        back_through(g, shared(g, AT_V), rows_of(p, p->h, l - 1, width), dh, p->n, gradient, true, rows_of(p, p->dh, l - 1, width));
}

void cp_gen_backward(const cp_generator *g, cp_gen_pass *p, const float *d_importance, const float *d_head, float *gradient)
{
    size_t width = (size_t)g->width, rows = (size_t)p->n;
    memset(gradient, 0, g->count * sizeof *gradient);
    back_through(g, shared(g, AT_HEAD), p->mean, d_head, p->n, gradient, false, p->du);
    back_bias(d_head, p->n, (size_t)g->classes, gradient + shared(g, AT_HEADB)->offset);
    for (int l = 0; l < g->n; l++)
        for (size_t i = 0; i < rows * width; i++)
            rows_of(p, p->dh, l, width)[i] = p->du[i] / (float)g->n;
    memset(p->dq, 0, rows * width * sizeof *p->dq);
    for (int l = 0; l < g->n; l++) {
        back_decode(g, p, d_importance, l, gradient);
        back_distil(g, p, l, gradient);
        if (l + 1 < g->n) { /* on to the q of the next deeper layer */
            back_through(g, shared(g, AT_B), rows_of(p, p->q, l + 1, width), p->dq, p->n, gradient, false, p->du);
            memcpy(p->dq, p->du, rows * width * sizeof *p->dq);
        }
    }
    for (int l = g->n - 1; l >= 0; l--)
        back_embed(g, p, l, gradient);
}

/* ---------------------------------------------------------------- gates */

void cp_gen_factors(const cp_generator *g, const float *importance, float *factors)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(g->model, &n);
    for (size_t i = 0; i < cp_model_neuron_count(g->model); i++)
        factors[i] = 1;
    for (int l = 0; l < g->n; l++) {
        const cp_neuron_layer *layer = &layers[g->layer[l].position];
        size_t plane = layer->h * layer->w;
        for (size_t k = 0; k < layer->c; k++)
            for (size_t i = 0; i < plane; i++)
                factors[layer->offset + k * plane + i] = cp_quantise(importance[g->layer[l].first + k]);
    }
}

void cp_gen_path(const cp_generator *g, const float *importance, cp_path *path)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(g->model, &n);
    cp_path_fill(path, true);
    for (int l = 0; l < g->n; l++) {
        const cp_neuron_layer *layer = &layers[g->layer[l].position];
        size_t plane = layer->h * layer->w;
        for (size_t k = 0; k < layer->c; k++)
            for (size_t i = 0; i < plane && cp_quantise(importance[g->layer[l].first + k]) == 0; i++)
                cp_path_set(path, layer->offset + k * plane + i, false);
    }
}

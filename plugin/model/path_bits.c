/* Paths: one bit per neuron, packed in 64-bit words that start anew at each neuron layer, so that the engine can mask
 * a layer without shifting, and set algebra is word by word. */
#include "model/path_bits.h"

#include <string.h>

#include "io/error.h"

cp_status cp_path_create_over(const cp_model *model, const cp_neuron_layer *layers, int n_layers, cp_path **path)
{
    cp_path *p = cp_alloc(1, sizeof *p, "path");
    *path = NULL;
    if (!p)
        return CP_ERESOURCE;
    p->model = model;
    p->layers = layers;
    p->n_layers = n_layers;
    p->first = cp_alloc((size_t)n_layers + 1, sizeof *p->first, "path");
    if (!p->first) {
        cp_path_free(p);
        return CP_ERESOURCE;
    }
    for (int l = 0; l < n_layers; l++) {
        p->first[l + 1] = p->first[l] + (layers[l].count + 63) / 64;
        p->neurons += layers[l].count;
    }
    p->words = cp_alloc(p->first[n_layers], sizeof *p->words, "path");
    if (!p->words) {
        cp_path_free(p);
        return CP_ERESOURCE;
    }
    *path = p;
    return CP_OK;
}

cp_status cp_path_create(const cp_model *model, cp_path **path)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    return cp_path_create_over(model, layers, n, path);
}

cp_status cp_path_copy(const cp_path *path, cp_path **copy)
{
    cp_status status = cp_path_create_over(path->model, path->layers, path->n_layers, copy);
    if (!status)
        memcpy((*copy)->words, path->words, path->first[path->n_layers] * sizeof *path->words);
    return status;
}

void cp_path_free(cp_path *path)
{
    if (!path)
        return;
    cp_free(path->first);
    cp_free(path->words);
    cp_free(path);
}

const cp_model *cp_path_model(const cp_path *path) { return path->model; }

/* The valid bits of a layer's last word. */
static uint64_t last_word_mask(const cp_path *path, int l)
{
    size_t rest = path->layers[l].count % 64;
    return rest ? ((uint64_t)1 << rest) - 1 : ~(uint64_t)0;
}

static void clear_spare_bits(cp_path *path)
{
    for (int l = 0; l < path->n_layers; l++)
        if (path->first[l + 1] > path->first[l])
            path->words[path->first[l + 1] - 1] &= last_word_mask(path, l);
}

void cp_path_fill(cp_path *path, bool on)
{
    memset(path->words, on ? 0xff : 0, path->first[path->n_layers] * sizeof *path->words);
    clear_spare_bits(path);
}

/* The word and bit of a neuron of the network-wide order. */
static uint64_t *locate(const cp_path *path, size_t neuron, uint64_t *bit)
{
    int low = 0, high = path->n_layers - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (path->layers[middle].offset <= neuron)
            low = middle;
        else
            high = middle - 1;
    }
    size_t index = neuron - path->layers[low].offset;
    *bit = (uint64_t)1 << index % 64;
    return &path->words[path->first[low] + index / 64];
}

bool cp_path_get(const cp_path *path, size_t neuron)
{
    uint64_t bit;
    if (neuron >= path->neurons)
        return false;
    return (*locate(path, neuron, &bit) & bit) != 0;
}

void cp_path_set(cp_path *path, size_t neuron, bool on)
{
    uint64_t bit, *word;
    if (neuron >= path->neurons)
        return;
    word = locate(path, neuron, &bit);
    *word = on ? *word | bit : *word & ~bit;
}

const uint64_t *cp_path_words(const cp_path *path, int neuron_layer)
{
    return path->words + path->first[neuron_layer];
}

uint64_t *cp_path_words_mutable(cp_path *path, int neuron_layer) { return path->words + path->first[neuron_layer]; }

static size_t count_words(const uint64_t *words, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += (size_t)__builtin_popcountll(words[i]);
    return count;
}

size_t cp_path_count(const cp_path *path) { return count_words(path->words, path->first[path->n_layers]); }

size_t cp_path_layer_count(const cp_path *path, int neuron_layer)
{
    size_t from = path->first[neuron_layer];
    return count_words(path->words + from, path->first[neuron_layer + 1] - from);
}

static cp_status check_same_shape(const cp_path *a, const cp_path *b)
{
    if (a->n_layers != b->n_layers)
        return cp_fail(CP_EINPUT, "paths: one has %d neuron layers, the other %d; they must be of networks of one "
                       "shape", a->n_layers, b->n_layers);
    for (int l = 0; l < a->n_layers; l++) {
        const cp_neuron_layer *p = &a->layers[l], *q = &b->layers[l];
        if (p->layer != q->layer || p->c != q->c || p->h != q->h || p->w != q->w)
            return cp_fail(CP_EINPUT, "paths: one has %s of %zux%zux%zu where the other has %s of %zux%zux%zu; they "
                           "must be of networks of one shape", p->name, p->c, p->h, p->w, q->name, q->c, q->h, q->w);
    }
    return CP_OK;
}

cp_status cp_path_and(cp_path *a, const cp_path *b)
{
    cp_status status = check_same_shape(a, b);
    for (size_t i = 0; !status && i < a->first[a->n_layers]; i++)
        a->words[i] &= b->words[i];
    return status;
}

cp_status cp_path_or(cp_path *a, const cp_path *b)
{
    cp_status status = check_same_shape(a, b);
    for (size_t i = 0; !status && i < a->first[a->n_layers]; i++)
        a->words[i] |= b->words[i];
    return status;
}

cp_status cp_path_minus(cp_path *a, const cp_path *b)
{
    cp_status status = check_same_shape(a, b);
    for (size_t i = 0; !status && i < a->first[a->n_layers]; i++)
        a->words[i] &= ~b->words[i];
    return status;
}

void cp_path_not(cp_path *a)
{
    for (size_t i = 0; i < a->first[a->n_layers]; i++)
        a->words[i] = ~a->words[i];
    clear_spare_bits(a);
}

cp_status cp_path_overlap(const cp_path *a, const cp_path *b, int neuron_layer, size_t *both, size_t *either)
{
    cp_status status = check_same_shape(a, b);
    *both = *either = 0;
    if (status)
        return status;
    size_t from = neuron_layer < 0 ? 0 : a->first[neuron_layer];
    size_t to = neuron_layer < 0 ? a->first[a->n_layers] : a->first[neuron_layer + 1];
    for (size_t i = from; i < to; i++) {
        *both += (size_t)__builtin_popcountll(a->words[i] & b->words[i]);
        *either += (size_t)__builtin_popcountll(a->words[i] | b->words[i]);
    }
    return CP_OK;
}

#include "path/path_file.h"
#include "path/class_paths.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/json.h"
#include "io/npz.h"

#define FORMAT "critpath class paths"
#define META "meta.json"

enum { VERSION = 1, MOST_CLASSES = 1 << 20 };
static const size_t MOST_META = (size_t)1 << 30;

struct cp_class_paths {
    const cp_model *model;
    json_t *settings;
    json_t *images; /* of each class, by its number as text: the images, as keys of an object, with their names */
    bool edges;
    size_t *c_in;   /* by layer: of its edges; 0: none counted yet */
    cp_class_count *count;
    int n;
};

/* ---------------------------------------------------------------- counts */

cp_status cp_class_paths_create(const cp_model *model, json_t *settings, bool edges, cp_class_paths **out)
{
    cp_class_paths *p = cp_alloc(1, sizeof *p, "class paths");
    *out = NULL;
    if (p)
        *p = (cp_class_paths){.model = model, .settings = settings, .edges = edges, .images = json_object(),
                              .c_in = cp_alloc((size_t)cp_model_layer_count(model), sizeof *p->c_in, "class paths")};
    if (p && settings && p->images && p->c_in) {
        *out = p;
        return CP_OK;
    }
    if (p)
        cp_class_paths_free(p);
    else
        json_decref(settings);
    return cp_fail(CP_ERESOURCE, "class paths: out of memory");
}

static void free_count(const cp_class_paths *p, cp_class_count *count)
{
    for (int i = 0; count->edges && i < cp_model_layer_count(p->model); i++)
        cp_free(count->edges[i]);
    cp_free(count->edges);
    cp_free(count->neurons);
    cp_free(count->channels);
}

void cp_class_paths_free(cp_class_paths *p)
{
    if (!p)
        return;
    for (int k = 0; k < p->n; k++)
        free_count(p, &p->count[k]);
    free(p->count);
    cp_free(p->c_in);
    json_decref(p->settings);
    json_decref(p->images);
    cp_free(p);
}

int cp_class_paths_count(const cp_class_paths *p) { return p->n; }
const cp_class_count *cp_class_paths_at(const cp_class_paths *p, int k) { return &p->count[k]; }
const json_t *cp_class_paths_settings(const cp_class_paths *p) { return p->settings; }

const cp_class_count *cp_class_paths_find(const cp_class_paths *p, int class_id)
{
    for (int k = 0; k < p->n; k++)
        if (p->count[k].id == class_id)
            return &p->count[k];
    return NULL;
}

int32_t cp_class_paths_images(const cp_class_paths *p)
{
    int64_t sum = 0;
    for (int k = 0; k < p->n; k++)
        sum += p->count[k].images;
    return sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}

/* That of a class, made at first use in its place. */
static cp_class_count *count_of(cp_class_paths *p, int class_id)
{
    int at = 0;
    while (at < p->n && p->count[at].id < class_id)
        at++;
    if (at < p->n && p->count[at].id == class_id)
        return &p->count[at];
    cp_class_count fresh = {.id = class_id};
    fresh.neurons = cp_alloc(cp_model_neuron_count(p->model), sizeof *fresh.neurons, "class paths");
    fresh.channels = cp_alloc(cp_model_channel_count(p->model), sizeof *fresh.channels, "class paths");
    fresh.edges = cp_alloc((size_t)cp_model_layer_count(p->model), sizeof *fresh.edges, "class paths");
    cp_class_count *grown = realloc(p->count, ((size_t)p->n + 1) * sizeof *grown);
    if (grown)
        p->count = grown;
    if (!grown || !fresh.neurons || !fresh.channels || !fresh.edges) {
        free_count(p, &fresh);
        cp_fail(CP_ERESOURCE, "class paths: out of memory for class %d", class_id);
        return NULL;
    }
    memmove(p->count + at + 1, p->count + at, (size_t)(p->n - at) * sizeof *p->count);
    p->count[at] = fresh;
    p->n++;
    return &p->count[at];
}

/* The object of a class whose keys are its images. */
static json_t *images_of(cp_class_paths *p, int class_id)
{
    char number[24];
    snprintf(number, sizeof number, "%d", class_id);
    json_t *images = json_object_get(p->images, number);
    if (!images && json_object_set_new(p->images, number, images = json_object()))
        images = NULL;
    if (!images)
        cp_fail(CP_ERESOURCE, "class paths: out of memory");
    return images;
}

/* Those counted for a class; NULL: none. */
static const json_t *counted(const cp_class_paths *p, int class_id)
{
    char number[24];
    snprintf(number, sizeof number, "%d", class_id);
    return json_object_get(p->images, number);
}

const char *cp_class_paths_name(const cp_class_paths *p, int class_id, const char *image)
{
    return json_string_value(json_object_get(counted(p, class_id), image));
}

const char *cp_class_paths_common(const cp_class_paths *a, const cp_class_paths *b, int *class_id)
{
    for (int k = 0; k < b->n; k++) {
        const char *image;
        json_t *name;
        json_object_foreach((json_t *)counted(b, b->count[k].id), image, name)
            if (cp_class_paths_name(a, b->count[k].id, image)) {
                *class_id = b->count[k].id;
                return image;
            }
    }
    return NULL;
}

bool cp_class_paths_by_answer(const cp_class_paths *p)
{
    enum { HASH = 64 };
    for (int k = 0; k < p->n; k++) {
        const char *image;
        json_t *name;
        json_object_foreach((json_t *)counted(p, p->count[k].id), image, name)
            if (strlen(image) > HASH)
                return true;
    }
    return false;
}

static cp_status claim_image(cp_class_paths *p, int class_id, const char *image, const char *name)
{
    json_t *images = images_of(p, class_id);
    if (!images)
        return CP_ERESOURCE;
    if (json_object_get(images, image))
        return cp_fail(CP_EINPUT, "class paths: image %.12s... is counted for class %d already", image, class_id);
    json_t *text = cp_json_text(name ? name : "");
    return !text || json_object_set_new(images, image, text) ? cp_fail(CP_ERESOURCE, "class paths: out of memory") : CP_OK;
}

static cp_status add_edges(cp_class_paths *p, cp_class_count *count, int layer, size_t c_in, const uint8_t *used,
                           const int32_t *counts)
{
    size_t n = cp_model_layer(p->model, layer)->c * c_in;
    p->c_in[layer] = c_in;
    if (!count->edges[layer] && !(count->edges[layer] = cp_alloc(n, sizeof **count->edges, "class paths")))
        return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++)
        count->edges[layer][i] += used ? used[i] : counts[i];
    return CP_OK;
}

cp_status cp_class_paths_add(cp_class_paths *p, int class_id, const char *image, const char *name, const cp_path *path,
                             const cp_effective_edges *edges)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    cp_class_count *count = count_of(p, class_id);
    cp_status status = count ? claim_image(p, class_id, image, name) : CP_ERESOURCE;
    if (status)
        return status;
    count->images++;
    for (int l = 0; l < n; l++) {
        size_t plane = layers[l].h * layers[l].w, channel = cp_model_channel_offset(p->model, l);
        for (size_t c = 0; c < layers[l].c; c++) {
            bool any = false;
            for (size_t i = layers[l].offset + c * plane; i < layers[l].offset + (c + 1) * plane; i++) {
                bool on = cp_path_get(path, i);
                count->neurons[i] += on;
                any |= on;
            }
            count->channels[channel + c] += any;
        }
    }
    for (int i = 0; p->edges && edges && i < edges->layers && !status; i++)
        if (edges->used[i])
            status = add_edges(p, count, i, edges->c_in[i], edges->used[i], NULL);
    return status;
}

cp_status cp_class_paths_merge(cp_class_paths *to, const cp_class_paths *from)
{
    if (!json_equal(to->settings, from->settings) || to->edges != from->edges)
        return cp_fail(CP_EINPUT, "class paths: found with other settings (method, sparsity, ...) than those before");
    int twice;
    const char *common = cp_class_paths_common(to, from, &twice);
    if (common)
        return cp_fail(CP_EINPUT, "class paths: image %.12s... is counted for class %d already", common, twice);
    for (int k = 0; k < from->n; k++) {
        const cp_class_count *more = &from->count[k];
        cp_class_count *count = count_of(to, more->id);
        const char *image;
        json_t *name;
        if (!count)
            return CP_ERESOURCE;
        json_object_foreach((json_t *)counted(from, more->id), image, name) {
            cp_status status = claim_image(to, more->id, image, json_string_value(name));
            if (status)
                return status;
        }
        count->images += more->images;
        for (size_t i = 0; i < cp_model_neuron_count(to->model); i++)
            count->neurons[i] += more->neurons[i];
        for (size_t i = 0; i < cp_model_channel_count(to->model); i++)
            count->channels[i] += more->channels[i];
        for (int i = 0; i < cp_model_layer_count(to->model); i++)
            if (more->edges[i] && add_edges(to, count, i, from->c_in[i], NULL, more->edges[i]))
                return CP_ERESOURCE;
    }
    return CP_OK;
}

void cp_class_usual(const cp_class_count *count, double share, cp_path *path)
{
    size_t n = cp_model_neuron_count(cp_path_model(path));
    for (size_t i = 0; i < n; i++)
        cp_path_set(path, i, count->neurons[i] > 0 && count->neurons[i] >= share * count->images);
}

/* ---------------------------------------------------------------- writing */

/* Arrays that live until the file is written. */
typedef struct {
    cp_npz_writer *writer;
    int32_t **array;
    size_t n;
} arrays;

/* (K, floats of one class): that of class k is given by part(count, argument). */
static cp_status add_array(const cp_class_paths *p, arrays *all, const char *name, cp_array_type type, size_t each,
                           const int32_t *(*part)(const cp_class_paths *p, const cp_class_count *count, int argument), int argument)
{
    size_t cells;
    type.dtype = CP_INT32;
    type.shape[0] = (size_t)p->n;
    int32_t *values = cp_mul(each, (size_t)p->n, &cells) ? cp_alloc(cells, sizeof *values, "class paths") : NULL;
    if (!values)
        return CP_ERESOURCE;
    all->array[all->n++] = values;
    for (int k = 0; k < p->n; k++) {
        const int32_t *from = part(p, &p->count[k], argument);
        if (from)
            memcpy(values + (size_t)k * each, from, each * sizeof *values);
    }
    return cp_npz_add(all->writer, name, &type, values);
}

static const int32_t *part_id(const cp_class_paths *p, const cp_class_count *c, int argument)
{
    (void)p, (void)argument;
    return (const int32_t *)&c->id;
}

static const int32_t *part_images(const cp_class_paths *p, const cp_class_count *c, int argument)
{
    (void)p, (void)argument;
    return &c->images;
}

static const int32_t *part_neurons(const cp_class_paths *p, const cp_class_count *c, int l)
{
    int n;
    return c->neurons + cp_model_neuron_layers(p->model, &n)[l].offset;
}

static const int32_t *part_channels(const cp_class_paths *p, const cp_class_count *c, int l)
{
    return c->channels + cp_model_channel_offset(p->model, l);
}

static const int32_t *part_edges(const cp_class_paths *p, const cp_class_count *c, int layer)
{
    (void)p;
    return c->edges[layer];
}

static void name_edges(const cp_model *model, int layer, char name[80])
{
    snprintf(name, 80, "layer_%03d_%s.edges", layer, cp_model_layer(model, layer)->type);
}

static cp_status add_arrays(const cp_class_paths *p, arrays *all)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    cp_status status = add_array(p, all, "classes", (cp_array_type){.rank = 1}, 1, part_id, 0);
    if (!status)
        status = add_array(p, all, "images", (cp_array_type){.rank = 1}, 1, part_images, 0);
    for (int l = 0; l < n && !status; l++) {
        char name[80];
        cp_array_type whole = {.rank = 4, .shape = {0, layers[l].c, layers[l].h, layers[l].w}};
        cp_array_type channels = {.rank = 2, .shape = {0, layers[l].c}};
        snprintf(name, sizeof name, "%s.channels", layers[l].name);
        status = add_array(p, all, layers[l].name, whole, layers[l].count, part_neurons, l);
        if (!status)
            status = add_array(p, all, name, channels, layers[l].c, part_channels, l);
    }
    for (int i = 0; i < cp_model_layer_count(p->model) && !status; i++) {
        char name[80];
        size_t c = cp_model_layer(p->model, i)->c;
        cp_array_type type = {.rank = 3, .shape = {0, c, p->c_in[i]}};
        name_edges(p->model, i, name);
        if (p->c_in[i])
            status = add_array(p, all, name, type, c * p->c_in[i], part_edges, i);
    }
    return status;
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* Of each class the images, or their names, in order of the images, so that the same counts are the same bytes. */
static json_t *sorted_images(const cp_class_paths *p, bool names)
{
    json_t *sorted = json_object();
    for (int k = 0; k < p->n; k++) {
        char number[24];
        const char *image;
        json_t *value, *list = json_array();
        snprintf(number, sizeof number, "%d", p->count[k].id);
        json_t *images = json_object_get(p->images, number);
        size_t n = 0;
        const char **name = cp_alloc(json_object_size(images) + 1, sizeof *name, "class paths");
        json_object_foreach(images, image, value)
            if (name)
                name[n++] = image;
        if (name)
            qsort(name, n, sizeof *name, compare_texts);
        int bad = !name;
        for (size_t i = 0; i < n; i++)
            bad |= cp_json_append(list, cp_json_text(names ? cp_class_paths_name(p, p->count[k].id, name[i]) : name[i]));
        bad |= cp_json_set(sorted, number, list);
        cp_free(name);
        if (bad) {
            json_decref(sorted);
            return NULL;
        }
    }
    return sorted;
}

static cp_status add_meta(const cp_class_paths *p, arrays *all)
{
    json_t *meta = json_object();
    char *text = NULL;
    size_t bytes;
    int bad = cp_json_set(meta, "format", cp_json_text(FORMAT));
    bad |= cp_json_set(meta, "format_version", json_integer(VERSION));
    bad |= cp_json_set(meta, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(p->model)));
    bad |= cp_json_set(meta, "weights_sha256", cp_json_text(cp_model_weights_sha256(p->model)));
    bad |= cp_json_set(meta, "edges", json_boolean(p->edges));
    bad |= cp_json_set(meta, "settings", json_incref(p->settings));
    bad |= cp_json_set(meta, "images", sorted_images(p, false));
    bad |= cp_json_set(meta, "names", sorted_images(p, true));
    cp_status status = bad ? CP_ERESOURCE : cp_json_format(meta, true, &text, &bytes);
    if (!status)
        status = cp_npz_add_bytes(all->writer, META, text, bytes);
    cp_free(text);
    json_decref(meta);
    return status;
}

cp_status cp_class_paths_write(const cp_class_paths *p, const char *file)
{
    int n;
    arrays all = {0};
    cp_model_neuron_layers(p->model, &n);
    if (!p->n)
        return cp_fail(CP_EINPUT, "class paths: there is no image");
    all.array = cp_alloc((size_t)(2 + 2 * n + cp_model_layer_count(p->model)), sizeof *all.array, "class paths");
    cp_status status = all.array ? cp_npz_create(file, true, &all.writer) : CP_ERESOURCE;
    if (!status)
        status = add_arrays(p, &all);
    if (!status)
        status = add_meta(p, &all);
    if (!status)
        status = cp_npz_commit(&all.writer);
    cp_npz_discard(&all.writer);
    for (size_t i = 0; i < all.n; i++)
        cp_free(all.array[i]);
    cp_free(all.array);
    return status;
}

/* ---------------------------------------------------------------- reading */

/* An array of int32, (K, ...), none below 0. values: NULL: the file has none of that name, which `needed` forbids. */
static cp_status read_array(cp_npz *npz, const char *file, const char *name, cp_array_type type, size_t classes, bool needed,
                            int32_t **values)
{
    size_t index, bytes;
    *values = NULL;
    if (!cp_npz_find(npz, name, &index))
        return needed ? cp_fail(CP_EINPUT, "%s: has no array '%s'", file, name) : CP_OK;
    type.dtype = CP_INT32;
    type.shape[0] = classes;
    if (!cp_array_bytes(&type, &bytes))
        return cp_fail(CP_EINPUT, "%s: array '%s' is too large", file, name);
    *values = cp_alloc(bytes / sizeof **values, sizeof **values, "class paths");
    cp_status status = *values ? cp_npz_read(npz, index, &type, *values) : CP_ERESOURCE;
    for (size_t i = 0; i < bytes / sizeof **values && !status; i++)
        if ((*values)[i] < 0)
            status = cp_fail(CP_EINPUT, "%s: array '%s' holds %d, a count is at least 0", file, name, (*values)[i]);
    return status;
}

static cp_status read_classes(cp_npz *npz, const char *file, cp_class_paths *p)
{
    size_t index;
    cp_array_type type;
    int32_t *id = NULL, *images = NULL;
    if (!cp_npz_find(npz, "classes", &index))
        return cp_fail(CP_EINPUT, "%s: has no array 'classes'", file);
    cp_status status = cp_npz_type(npz, index, &type);
    if (!status && (type.rank != 1 || type.shape[0] < 1 || type.shape[0] > MOST_CLASSES))
        status = cp_fail(CP_EINPUT, "%s: array 'classes' is no list of 1 to %d classes", file, MOST_CLASSES);
    if (!status)
        status = read_array(npz, file, "classes", (cp_array_type){.rank = 1}, type.shape[0], true, &id);
    if (!status)
        status = read_array(npz, file, "images", (cp_array_type){.rank = 1}, type.shape[0], true, &images);
    for (size_t k = 0; !status && k < type.shape[0]; k++) {
        if (k && id[k] <= id[k - 1])
            status = cp_fail(CP_EINPUT, "%s: array 'classes' does not rise", file);
        cp_class_count *count = status ? NULL : count_of(p, id[k]);
        if (!status && !count)
            status = CP_ERESOURCE;
        if (count)
            count->images = images[k];
    }
    cp_free(id);
    cp_free(images);
    return status;
}

/* Hands the rows of an array to the classes, each to its place `at`. */
static void hand_out(cp_class_paths *p, const int32_t *values, size_t each, size_t at, bool channels)
{
    for (int k = 0; k < p->n; k++)
        memcpy((channels ? p->count[k].channels : p->count[k].neurons) + at, values + (size_t)k * each, each * sizeof *values);
}

static cp_status read_counts(cp_npz *npz, const char *file, cp_class_paths *p)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(p->model, &n);
    size_t classes = (size_t)p->n;
    int32_t *values;
    cp_status status = CP_OK;
    for (int l = 0; l < n && !status; l++) {
        char name[80];
        cp_array_type whole = {.rank = 4, .shape = {0, layers[l].c, layers[l].h, layers[l].w}};
        status = read_array(npz, file, layers[l].name, whole, classes, true, &values);
        if (!status)
            hand_out(p, values, layers[l].count, layers[l].offset, false);
        cp_free(values);
        snprintf(name, sizeof name, "%s.channels", layers[l].name);
        if (!status) {
            status = read_array(npz, file, name, (cp_array_type){.rank = 2, .shape = {0, layers[l].c}}, classes, true, &values);
            if (!status)
                hand_out(p, values, layers[l].c, cp_model_channel_offset(p->model, l), true);
            cp_free(values);
        }
    }
    for (int i = 0; i < cp_model_layer_count(p->model) && !status && p->edges; i++) {
        char name[80];
        size_t index, c = cp_model_layer(p->model, i)->c;
        cp_array_type type;
        name_edges(p->model, i, name);
        if (!cp_npz_find(npz, name, &index) || cp_npz_type(npz, index, &type) || type.rank != 3)
            continue;
        type.shape[1] = c;
        status = read_array(npz, file, name, type, classes, true, &values);
        for (int k = 0; k < p->n && !status; k++)
            status = add_edges(p, &p->count[k], i, type.shape[2], NULL, values + (size_t)k * c * type.shape[2]);
        cp_free(values);
    }
    return status;
}

static cp_status read_images(const json_t *meta, const char *where, cp_class_paths *p)
{
    const char *number;
    json_t *list;
    json_object_foreach(json_object_get(meta, "images"), number, list)
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *image = json_string_value(json_array_get(list, i));
            const char *name = json_string_value(json_array_get(json_object_get(json_object_get(meta, "names"), number), i));
            cp_status status = image ? claim_image(p, atoi(number), image, name)
                                     : cp_fail(CP_EINPUT, "%s: 'images' holds something else than text", where);
            if (status)
                return status;
        }
    return CP_OK;
}

cp_status cp_class_paths_read(const char *file, const cp_model *model, cp_class_paths **out)
{
    char where[400];
    cp_npz *npz = NULL;
    unsigned char *text = NULL;
    size_t bytes;
    json_t *meta = NULL;
    json_int_t version;
    const char *format;
    cp_class_paths *p = NULL;
    *out = NULL;
    snprintf(where, sizeof where, "%.380s: " META, file);
    cp_status status = cp_npz_open(file, &npz);
    if (!status)
        status = cp_npz_read_bytes(npz, META, MOST_META, &text, &bytes);
    if (!status)
        status = cp_json_parse(text, bytes, where, &meta);
    if (!status)
        status = cp_json_get_text(meta, "format", where, &format);
    if (!status && strcmp(format, FORMAT))
        status = cp_fail(CP_EINPUT, "%s: format '%.60s', needed is '%s'", where, format, FORMAT);
    if (!status)
        status = cp_json_get_integer(meta, "format_version", where, VERSION, VERSION, &version);
    if (!status)
        status = cp_file_check_network(meta, where, model);
    if (!status && !json_is_object(json_object_get(meta, "settings")))
        status = cp_fail(CP_EINPUT, "%s: 'settings' is no object", where);
    if (!status)
        status = cp_class_paths_create(model, json_incref(json_object_get(meta, "settings")),
                                       json_is_true(json_object_get(meta, "edges")), &p);
    if (!status)
        status = read_classes(npz, file, p);
    if (!status)
        status = read_counts(npz, file, p);
    if (!status)
        status = read_images(meta, where, p);
    cp_free(text);
    json_decref(meta);
    cp_npz_close(npz);
    if (status)
        cp_class_paths_free(p);
    else
        *out = p;
    return status;
}

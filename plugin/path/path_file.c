#include "path/path_file.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/json.h"
#include "io/npz.h"
#include "path/path.h"

#define META "meta.json"
#define MAX_META_BYTES ((size_t)8 << 20) /* 10000 layers take 1 MB */

static const char *kind_name(bool is_path) { return is_path ? "critpath path" : "critpath score"; }

/* ---------------------------------------------------------------- meta.json */

/* Both give NULL when memory is out. */
static json_t *response_to_json(const cp_response *response)
{
    json_t *object = json_object(), *units = json_array();
    int failed = cp_json_set(object, "text", cp_json_text(response->text));
    for (int u = 0; u < response->n; u++) {
        json_t *unit = json_object();
        failed |= cp_json_set(unit, "layer", json_integer(response->unit[u].layer));
        failed |= cp_json_set(unit, "index", json_integer((json_int_t)response->unit[u].index));
        failed |= cp_json_set(unit, "weight", cp_json_float(response->unit[u].weight));
        failed |= cp_json_append(units, unit);
    }
    failed |= cp_json_set(object, "units", units);
    if (failed)
        json_decref(object);
    return failed ? NULL : object;
}

static json_t *layers_to_json(const cp_neuron_layer *layers, int n)
{
    json_t *list = json_array();
    int failed = !list;
    for (int l = 0; l < n; l++) {
        json_t *layer = json_object(), *shape = json_array();
        failed |= cp_json_append(shape, json_integer((json_int_t)layers[l].c));
        failed |= cp_json_append(shape, json_integer((json_int_t)layers[l].h));
        failed |= cp_json_append(shape, json_integer((json_int_t)layers[l].w));
        failed |= cp_json_set(layer, "name", json_string(layers[l].name));
        failed |= cp_json_set(layer, "shape", shape);
        failed |= cp_json_append(list, layer);
    }
    if (failed)
        json_decref(list);
    return failed ? NULL : list;
}

/* path: NULL for a score file. */
static cp_status meta_to_text(const cp_model *model, const cp_path *path, const cp_file_meta *meta, char **text,
                              size_t *bytes)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    json_t *root = json_object();
    cp_status status = CP_OK;
#define SET(key, value) (status = status ? (json_decref(value), status) : cp_json_set(root, key, value))
    SET("format", json_string(kind_name(path != NULL)));
    SET("format_version", json_integer(CP_PATH_FILE_VERSION));
    SET("program_version", json_string(CP_VERSION));
    SET("host", json_string(cp_lineage_name(cp_model_semantics(model)->lineage)));
    SET("cfg_sha256", json_string(cp_model_cfg_sha256(model)));
    SET("weights_sha256", json_string(cp_model_weights_sha256(model)));
    SET("input_sha256", json_string(meta->input_sha256));
    SET("response", response_to_json(&meta->response));
    SET("method", cp_json_text(meta->method));
    SET("seed", json_integer((json_int_t)meta->seed));
    if (path) {
        size_t kept = cp_path_count(path), all = cp_model_neuron_count(model);
        SET("sparsity_asked", cp_json_real(meta->sparsity_asked));
        SET("sparsity", cp_json_real(all ? 1 - (double)kept / (double)all : 0));
        SET("kept", json_integer((json_int_t)kept));
        SET("threshold", cp_json_float(meta->threshold));
    } else {
        SET("signed", json_boolean(meta->signed_scores));
    }
    SET("layers", layers_to_json(layers, n));
#undef SET
    if (!status)
        status = cp_json_format(root, true, text, bytes);
    json_decref(root);
    return status;
}

static bool is_sha256(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* Copies text of a bounded length; `where` names the file. */
static cp_status get_bounded(const json_t *object, const char *key, const char *where, char *to, size_t room)
{
    const char *text;
    cp_status status = cp_json_get_text(object, key, where, &text);
    if (status)
        return status;
    size_t length = strlen(text);
    if (length >= room)
        return cp_fail(CP_EINPUT, "%s: '%s' has %zu bytes, at most %zu are allowed", where, key, length, room - 1);
    memcpy(to, text, length + 1);
    return CP_OK;
}

/* `which` ("cfg", "weights", "input") has this hash in the file and must have `expected`. */
static cp_status check_hash(const json_t *root, const char *where, const char *which, const char *expected)
{
    char key[32];
    const char *found;
    snprintf(key, sizeof key, "%s_sha256", which);
    cp_status status = cp_json_get_text(root, key, where, &found);
    if (status)
        return status;
    if (*found && !is_sha256(found))
        return cp_fail(CP_EINPUT, "%s: '%s' is '%.80s', 64 hex digits are needed", where, key, found);
    if (expected && strcmp(found, expected) != 0)
        return cp_fail(CP_EINPUT, "%s: made with another %s: sha256 %.12s in the file, %.12s here", where, which,
                       *found ? found : "of none", *expected ? expected : "of none");
    return CP_OK;
}

cp_status cp_file_check_network(const json_t *meta, const char *where, const cp_model *model)
{
    cp_status status = check_hash(meta, where, "cfg", cp_model_cfg_sha256(model));
    return status ? status : check_hash(meta, where, "weights", cp_model_weights_sha256(model));
}

static cp_status read_response(const json_t *root, const char *where, const cp_model *model, cp_response *response)
{
    const json_t *object = json_object_get(root, "response");
    const json_t *units = json_object_get(object, "units");
    *response = (cp_response){.n = 0};
    if (!json_is_object(object) || !json_is_array(units) || json_array_size(units) > CP_RESPONSE_UNITS)
        return cp_fail(CP_EINPUT, "%s: 'response' is not an object with a list of up to %d 'units'", where,
                       CP_RESPONSE_UNITS);
    const char *text;
    cp_status status = cp_json_get_text(object, "text", where, &text);
    if (!status)
        snprintf(response->text, sizeof response->text, "%s", text); /* replaced characters may have made it longer */
    for (size_t u = 0; !status && u < json_array_size(units); u++) {
        const json_t *unit = json_array_get(units, u);
        json_int_t layer = 0, index = 0;
        double weight = 0;
        status = cp_json_get_integer(unit, "layer", where, 0, cp_model_layer_count(model) - 1, &layer);
        if (!status) {
            size_t outputs = cp_model_layer(model, (int)layer)->outputs;
            status = cp_json_get_integer(unit, "index", where, 0, (json_int_t)outputs - 1, &index);
        }
        if (!status)
            status = cp_json_get_real(unit, "weight", where, -FLT_MAX, FLT_MAX, &weight);
        response->unit[u].layer = (int)layer;
        response->unit[u].index = (size_t)index;
        response->unit[u].weight = (float)weight;
        response->n++;
    }
    return status;
}

static cp_status check_layers(const json_t *root, const char *where, const cp_model *model)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    const json_t *list = json_object_get(root, "layers");
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return cp_fail(CP_EINPUT, "%s: 'layers' lists %zu neuron layers, the model has %d", where,
                       json_array_size(list), n);
    for (int l = 0; l < n; l++) {
        const json_t *layer = json_array_get(list, (size_t)l), *shape = json_object_get(layer, "shape");
        const size_t wanted[3] = {layers[l].c, layers[l].h, layers[l].w};
        const char *name;
        cp_status status = cp_json_get_text(layer, "name", where, &name);
        if (status)
            return status;
        if (strcmp(name, layers[l].name) != 0)
            return cp_fail(CP_EINPUT, "%s: neuron layer %d is called '%.60s', in the model '%s'", where, l, name,
                           layers[l].name);
        bool same = json_array_size(shape) == 3;
        for (size_t d = 0; same && d < 3; d++) {
            const json_t *extent = json_array_get(shape, d);
            same = json_is_integer(extent) && json_integer_value(extent) == (json_int_t)wanted[d];
        }
        if (!same)
            return cp_fail(CP_EINPUT, "%s: 'shape' of %s is not that of the model, [%zu, %zu, %zu]", where, name,
                           wanted[0], wanted[1], wanted[2]);
    }
    return CP_OK;
}

/* What only one of the two kinds has. */
static cp_status read_kind_members(const json_t *root, const char *where, const cp_path *path, cp_file_meta *meta)
{
    if (!path) {
        const json_t *is_signed = json_object_get(root, "signed");
        if (!json_is_boolean(is_signed))
            return cp_fail(CP_EINPUT, "%s: 'signed' is not true or false", where);
        meta->signed_scores = json_is_true(is_signed);
        return CP_OK;
    }
    double threshold = 0;
    meta->sparsity_asked = NAN;
    cp_status status = CP_OK;
    if (!json_is_null(json_object_get(root, "sparsity_asked")))
        status = cp_json_get_real(root, "sparsity_asked", where, 0, 1, &meta->sparsity_asked);
    if (!status)
        status = cp_json_get_real(root, "sparsity", where, 0, 1, &meta->sparsity);
    if (!status)
        status = cp_json_get_real(root, "threshold", where, 0, FLT_MAX, &threshold);
    meta->threshold = (float)threshold;
    return status;
}

static cp_status read_meta(cp_npz *npz, const char *file, const cp_model *model, const cp_path *path,
                           const char *input_sha256, json_t **root, cp_file_meta *meta)
{
    char where[400];
    unsigned char *text = NULL;
    size_t bytes;
    const char *format;
    json_int_t version, seed = 0;
    snprintf(where, sizeof where, "%.380s: " META, file);
    *meta = (cp_file_meta){.seed = 0};
    cp_status status = cp_npz_read_bytes(npz, META, MAX_META_BYTES, &text, &bytes);
    if (!status)
        status = cp_json_parse(text, bytes, where, root);
    cp_free(text);
    if (!status && !json_is_object(*root))
        status = cp_fail(CP_EINPUT, "%s: not a JSON object", where);
    if (!status)
        status = cp_json_get_text(*root, "format", where, &format);
    if (!status && strcmp(format, kind_name(path != NULL)) != 0)
        status = cp_fail(CP_EINPUT, "%s: format '%.60s', needed is '%s'", where, format, kind_name(path != NULL));
    if (!status)
        status = cp_json_get_integer(*root, "format_version", where, CP_PATH_FILE_VERSION, CP_PATH_FILE_VERSION,
                                     &version);
    if (!status)
        status = get_bounded(*root, "program_version", where, meta->program_version, sizeof meta->program_version);
    if (!status)
        status = check_hash(*root, where, "cfg", cp_model_cfg_sha256(model));
    if (!status)
        status = check_layers(*root, where, model);
    if (!status)
        status = check_hash(*root, where, "weights", cp_model_weights_sha256(model));
    if (!status)
        status = check_hash(*root, where, "input", input_sha256);
    if (!status)
        status = get_bounded(*root, "input_sha256", where, meta->input_sha256, sizeof meta->input_sha256);
    if (!status)
        status = read_response(*root, where, model, &meta->response);
    if (!status)
        status = get_bounded(*root, "method", where, meta->method, sizeof meta->method);
    if (!status)
        status = cp_json_get_integer(*root, "seed", where, 0, INT64_MAX, &seed);
    meta->seed = (uint64_t)seed;
    return status ? status : read_kind_members(*root, where, path, meta);
}

/* ---------------------------------------------------------------- arrays */

/* Every array is a layer of the model and every layer has one; nothing else but meta.json needs a look. */
static cp_status check_names(const cp_npz *npz, const char *file, const cp_neuron_layer *layers, int n)
{
    size_t at;
    for (int l = 0; l < n; l++)
        if (!cp_npz_find(npz, layers[l].name, &at))
            return cp_fail(CP_EINPUT, "%s: has no array '%s', which is a neuron layer of the model", file,
                           layers[l].name);
    for (size_t i = 0; cp_npz_count(npz) > (size_t)n && i < cp_npz_count(npz); i++) {
        bool known = false;
        for (int l = 0; !known && l < n; l++)
            known = strcmp(cp_npz_name(npz, i), layers[l].name) == 0;
        if (!known)
            return cp_fail(CP_EINPUT, "%s: array '%s' is no neuron layer of the model", file, cp_npz_name(npz, i));
    }
    return CP_OK;
}

static cp_status check_score_values(const char *where, const cp_neuron_layer *layer, const float *score,
                                    bool signed_scores)
{
    for (size_t i = 0; i < layer->count; i++)
        if (!isfinite(score[i]) || (score[i] < 0 && !signed_scores))
            return cp_fail(CP_EINPUT, "%s: %s: neuron %zu is %g, allowed are finite numbers%s", where, layer->name, i,
                           (double)score[i], signed_scores ? "" : " >= 0");
    return CP_OK;
}

static void pack_bits(const unsigned char *bools, size_t count, uint64_t *words)
{
    memset(words, 0, (count + 63) / 64 * sizeof *words);
    for (size_t i = 0; i < count; i++)
        words[i / 64] |= (uint64_t)(bools[i] != 0) << i % 64;
}

static void unpack_bits(const uint64_t *words, size_t count, unsigned char *bools)
{
    for (size_t i = 0; i < count; i++)
        bools[i] = words[i / 64] >> i % 64 & 1;
}

static cp_status check_meta_to_write(const cp_file_meta *meta)
{
    if (meta->seed > INT64_MAX)
        return cp_fail(CP_EINPUT, "seed: %llu found, at most %lld allowed", (unsigned long long)meta->seed,
                       (long long)INT64_MAX);
    if (*meta->input_sha256 && !is_sha256(meta->input_sha256))
        return cp_fail(CP_EINTERNAL, "input sha256: '%s' is not 64 hex digits", meta->input_sha256);
    return CP_OK;
}

/* score or path is NULL. */
static cp_status write_file(const char *file, const cp_model *model, const float *score, const cp_path *path,
                            const cp_file_meta *meta)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_npz_writer *writer = NULL;
    unsigned char *bools = NULL;
    char *text = NULL;
    size_t bytes;
    cp_status status = check_meta_to_write(meta);
    if (!status)
        status = meta_to_text(model, path, meta, &text, &bytes);
    if (!status && path && !(bools = cp_alloc(cp_model_neuron_count(model), 1, "path file")))
        status = CP_ERESOURCE;
    if (!status)
        status = cp_npz_create(file, path != NULL, &writer);
    for (int l = 0; !status && l < n; l++) {
        cp_array_type type = cp_array_chw(path ? CP_BOOL : CP_FLOAT32, layers[l].c, layers[l].h, layers[l].w);
        const void *data = score ? (const void *)(score + layers[l].offset) : bools + layers[l].offset;
        if (path)
            unpack_bits(cp_path_words(path, l), layers[l].count, bools + layers[l].offset);
        else if ((status = check_score_values(file, &layers[l], data, meta->signed_scores)))
            break;
        status = cp_npz_add(writer, layers[l].name, &type, data);
    }
    if (!status)
        status = cp_npz_add_bytes(writer, META, text, bytes);
    if (!status)
        status = cp_npz_commit(&writer);
    cp_npz_discard(&writer);
    cp_free(bools);
    cp_free(text);
    return status;
}

cp_status cp_score_write(const char *file, const cp_model *model, const float *score, const cp_file_meta *meta)
{
    return write_file(file, model, score, NULL, meta);
}

cp_status cp_path_write(const char *file, const cp_path *path, const cp_file_meta *meta)
{
    return write_file(file, path->model, NULL, path, meta);
}

/* score or path is NULL; path is there, empty. */
static cp_status read_file(const char *file, const cp_model *model, const char *input_sha256, float *score,
                           cp_path *path, cp_file_meta *meta)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    cp_npz *npz = NULL;
    json_t *root = NULL;
    unsigned char *bools = NULL;
    size_t largest = 0, at;
    cp_status status = cp_npz_open(file, &npz);
    if (!status)
        status = read_meta(npz, file, model, path, input_sha256, &root, meta);
    if (!status)
        status = check_names(npz, file, layers, n);
    for (int l = 0; l < n; l++)
        largest = layers[l].count > largest ? layers[l].count : largest;
    if (!status && path && !(bools = cp_alloc(largest, 1, "path file")))
        status = CP_ERESOURCE;
    for (int l = 0; !status && l < n; l++) {
        cp_array_type type = cp_array_chw(path ? CP_BOOL : CP_FLOAT32, layers[l].c, layers[l].h, layers[l].w);
        void *data = score ? (void *)(score + layers[l].offset) : bools;
        cp_npz_find(npz, layers[l].name, &at);
        status = cp_npz_read(npz, at, &type, data);
        if (!status && path)
            pack_bits(bools, layers[l].count, cp_path_words_mutable(path, l));
        else if (!status)
            status = check_score_values(file, &layers[l], data, meta->signed_scores);
    }
    if (!status && path) {
        json_int_t kept, actual = (json_int_t)cp_path_count(path);
        status = cp_json_get_integer(root, "kept", file, 0, INT64_MAX, &kept);
        if (!status && kept != actual)
            status = cp_fail(CP_EINPUT, "%s: " META ": 'kept' is %lld, the arrays hold %lld", file, (long long)kept,
                             (long long)actual);
    }
    json_decref(root);
    cp_npz_close(npz);
    cp_free(bools);
    return status;
}

cp_status cp_score_read(const char *file, const cp_model *model, const char *input_sha256, float *score,
                        cp_file_meta *meta)
{
    cp_file_meta unused;
    return read_file(file, model, input_sha256, score, NULL, meta ? meta : &unused);
}

cp_status cp_path_read(const char *file, const cp_model *model, const char *input_sha256, cp_path **path,
                       cp_file_meta *meta)
{
    cp_file_meta unused;
    cp_status status = cp_path_create(model, path);
    if (!status)
        status = read_file(file, model, input_sha256, NULL, *path, meta ? meta : &unused);
    if (status) {
        cp_path_free(*path);
        *path = NULL;
    }
    return status;
}

#include "gen/gen_file.h"

#include <math.h>
#include <string.h>

#include "io/error.h"
#include "io/json.h"
#include "io/npz.h"
#include "path/path_file.h"

enum { VERSION = 1, MAX_META = 1 << 20, MOST_WIDTH = 4096 };
static const char FORMAT[] = "critpath generator", STANDARDS[] = "standards";

static cp_array_type type_of(size_t rows, size_t columns)
{
    return (cp_array_type){.dtype = CP_FLOAT32, .rank = 2, .shape = {rows, columns}};
}

/* ---------------------------------------------------------------- writing */

static json_t *meta_of(cp_generator *g, const cp_gen_losses *o, const cp_gen_epoch *last)
{
    const cp_model *model = cp_generator_model(g);
    json_t *m = json_object();
    int bad = cp_json_set(m, "format", json_string(FORMAT));
    bad |= cp_json_set(m, "format_version", json_integer(VERSION));
    bad |= cp_json_set(m, "program_version", json_string(CP_VERSION));
    bad |= cp_json_set(m, "cfg_sha256", json_string(cp_model_cfg_sha256(model)));
    bad |= cp_json_set(m, "weights_sha256", json_string(cp_model_weights_sha256(model)));
    bad |= cp_json_set(m, "width", json_integer(cp_generator_width(g)));
    bad |= cp_json_set(m, "gates", json_integer((json_int_t)cp_generator_gates(g)));
    bad |= cp_json_set(m, "losses", json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:i,s:i,s:I}", "temperature", o->temperature, "sparsity",
                                              o->sparsity, "alike", o->alike, "head", o->head, "distil", o->distil, "allowed",
                                              o->allowed, "rate", o->rate, "batch", o->batch, "epochs", o->epochs, "seed",
                                              (json_int_t)o->seed));
    json_t *trained = json_object();
    bad |= cp_json_set(trained, "kl", cp_json_real(last->kl));
    bad |= cp_json_set(trained, "kept", cp_json_real(last->kept));
    bad |= cp_json_set(trained, "sparsity", cp_json_real(last->sparsity));
    bad |= cp_json_set(trained, "alike", cp_json_real(last->alike));
    bad |= cp_json_set(m, "trained", trained);
    if (!bad)
        return m;
    json_decref(m);
    return NULL;
}

cp_status cp_generator_write(const char *file, cp_generator *g, const cp_gen_losses *losses, const cp_gen_epoch *last)
{
    cp_npz_writer *writer = NULL;
    char *text = NULL;
    size_t bytes, count;
    int n;
    const cp_gen_tensor *tensors = cp_generator_tensors(g, &n);
    const float *parameter = cp_generator_parameters(g, &count);
    json_t *meta = meta_of(g, losses, last);
    cp_status status = meta ? cp_json_format(meta, true, &text, &bytes) : CP_ERESOURCE;
    if (!status)
        status = cp_npz_create(file, false, &writer);
    for (int k = 0; k < n && !status; k++) {
        cp_array_type type = type_of(tensors[k].rows, tensors[k].columns);
        status = cp_npz_add(writer, tensors[k].name, &type, parameter + tensors[k].offset);
    }
    cp_array_type type = type_of(2, 2 * cp_generator_gates(g));
    if (!status)
        status = cp_npz_add(writer, STANDARDS, &type, cp_generator_standards(g));
    if (!status)
        status = cp_npz_add_bytes(writer, "meta.json", text, bytes);
    if (!status)
        status = cp_npz_commit(&writer);
    cp_npz_discard(&writer);
    json_decref(meta);
    cp_free(text);
    return status;
}

/* ---------------------------------------------------------------- reading */

static cp_status read_meta(cp_npz *npz, const char *file, const cp_model *model, int *width)
{
    unsigned char *text = NULL;
    size_t bytes;
    json_t *root = NULL;
    const char *format;
    json_int_t version, found = 0;
    cp_status status = cp_npz_read_bytes(npz, "meta.json", MAX_META, &text, &bytes);
    if (!status)
        status = cp_json_parse(text, bytes, file, &root);
    if (!status)
        status = cp_json_get_text(root, "format", file, &format);
    if (!status && strcmp(format, FORMAT))
        status = cp_fail(CP_EINPUT, "%s: is a %.60s file, a %s is needed (`gen train` makes one)", file, format, FORMAT);
    if (!status)
        status = cp_json_get_integer(root, "format_version", file, VERSION, VERSION, &version);
    if (!status)
        status = cp_file_check_network(root, file, model);
    if (!status)
        status = cp_json_get_integer(root, "width", file, 1, MOST_WIDTH, &found);
    *width = (int)found;
    json_decref(root);
    cp_free(text);
    return status;
}

static cp_status read_array(cp_npz *npz, const char *file, const char *name, size_t rows, size_t columns, float *to)
{
    size_t index;
    cp_array_type type = type_of(rows, columns);
    if (!cp_npz_find(npz, name, &index))
        return cp_fail(CP_EINPUT, "%s: array %s is missing", file, name);
    cp_status status = cp_npz_read(npz, index, &type, to);
    for (size_t i = 0; i < rows * columns && !status; i++)
        if (!isfinite(to[i]))
            status = cp_fail(CP_EINPUT, "%s: %s: value %zu is %f, finite numbers are needed", file, name, i, to[i]);
    return status;
}

cp_status cp_generator_read(const char *file, const cp_model *model, cp_generator **generator)
{
    cp_npz *npz = NULL;
    int width = 0, n = 0;
    size_t count;
    cp_generator *g = NULL;
    *generator = NULL;
    cp_status status = cp_npz_open(file, &npz);
    if (!status)
        status = read_meta(npz, file, model, &width);
    if (!status)
        status = cp_generator_create(model, width, 0, &g);
    const cp_gen_tensor *tensors = g ? cp_generator_tensors(g, &n) : NULL;
    float *parameter = g ? cp_generator_parameters(g, &count) : NULL;
    if (!status && cp_npz_count(npz) != (size_t)n + 1)
        status = cp_fail(CP_EINPUT, "%s: %zu arrays, %d are needed", file, cp_npz_count(npz), n + 1);
    for (int k = 0; k < n && !status; k++)
        status = read_array(npz, file, tensors[k].name, tensors[k].rows, tensors[k].columns, parameter + tensors[k].offset);
    if (!status)
        status = read_array(npz, file, STANDARDS, 2, 2 * cp_generator_gates(g), cp_generator_standards(g));
    cp_npz_close(npz);
    if (status) {
        cp_generator_free(g);
        return status;
    }
    *generator = g;
    return CP_OK;
}

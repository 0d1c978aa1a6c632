#include "cli/session.h"

#include "cli/baseline_option.h"
#include "cli/output_path.h"
#include "cli/typical_option.h"
#include "engine/memory.h"
#include "engine/reserve.h"
#include "io/error.h"
#include "io/file.h"
#include "io/image.h"

#include <stdlib.h>
#include <string.h>

const char *cp_session_class(const cp_session *session, int class_id, char text[24])
{
    if (session->names && class_id >= 0 && (size_t)class_id < session->names->n)
        return session->names->names[class_id];
    snprintf(text, 24, "class %d", class_id);
    return text;
}

/* ---------------------------------------------------------------- arguments */

/* A .data file by its name; a file with another name by its first line that says something: a cfg begins with [. */
static bool is_data_file(const char *path)
{
    if (cp_ends_with(path, ".data"))
        return true;
    if (cp_ends_with(path, ".cfg") || cp_ends_with(path, ".weights"))
        return false;
    FILE *file;
    uint64_t bytes;
    char line[512];
    bool data = false;
    if (cp_file_open(path, "data", CP_CFG_MAX_BYTES, &file, &bytes))
        return false;
    while (fgets(line, sizeof line, file)) {
        const char *text = line + strspn(line, " \t\r\n");
        if (*text && *text != '#' && *text != ';') {
            data = *text != '[' && strchr(text, '=');
            break;
        }
    }
    fclose(file);
    return data;
}

/* A list of class names in the place of the .data file: by its name, or because a cfg follows. */
static bool is_names_file(const cp_options *o)
{
    const char *path = o->arguments[0];
    if (cp_ends_with(path, ".names"))
        return true;
    return o->n_arguments > 1 && cp_ends_with(o->arguments[1], ".cfg") && !cp_ends_with(path, ".cfg") &&
           !cp_ends_with(path, ".weights");
}

cp_status cp_session_arguments(cp_session *s, bool needs_weights, const char **data)
{
    const cp_options *o = s->options;
    int at = 0;
    *data = NULL;
    s->names_path = o->names;
    if (o->n_arguments > 0 && is_data_file(o->arguments[0]))
        *data = o->arguments[at++];
    else if (o->n_arguments > 0 && is_names_file(o) && ++at && !s->names_path)
        s->names_path = o->arguments[0];
    if (at < o->n_arguments)
        s->cfg_path = o->arguments[at++];
    if (at < o->n_arguments)
        s->weights_path = o->arguments[at++];
    if (!s->cfg_path || (needs_weights && !s->weights_path))
        return cp_fail(CP_EINPUT, "%s: %s is missing: %s %s %s", s->command->name,
                       s->cfg_path ? "<weights>" : "<cfg>", cp_program(), s->command->name, s->command->arguments);
    if (cp_ends_with(s->cfg_path, ".weights") || (s->weights_path && cp_ends_with(s->weights_path, ".cfg")))
        return cp_fail(CP_EINPUT, "%s: found \"%.200s\" where <cfg> stands: %s %s %s", s->command->name,
                       s->cfg_path, cp_program(), s->command->name, s->command->arguments);
    s->images = o->arguments + at;
    s->n_images = o->n_arguments - at;
    return CP_OK;
}

static cp_status open_names(cp_session *s, const char *data_path)
{
    cp_data *data = NULL;
    const char *path = s->names_path;
    int classes = cp_model_classes(s->model);
    cp_status status = CP_OK;
    if (data_path) {
        status = cp_data_read(data_path, &data);
        if (!status && !path)
            path = data->names ? data->names : data->labels;
    }
    if (!status && path)
        status = cp_names_read(path, classes, &s->names);
    if (!status && data && data->classes && classes && data->classes != classes)
        cp_note(s, "%s: classes=%d, but %s has %d classes", data_path, data->classes, s->cfg_path, classes);
    if (!status && s->names && classes && cp_names_beyond(s->names, classes))
        cp_note(s, "names: %s has %zu names, %s has %d classes: the first %d are used", path, s->names->n, s->cfg_path,
                classes, classes);
    if (!status)
        status = cp_remember_inputs(s, (const char *const[]){data_path, path, data ? data->names : NULL,
                                                             data ? data->labels : NULL, data ? data->train : NULL,
                                                             data ? data->valid : NULL}, 6);
    cp_data_free(data);
    return status;
}

/* What the arguments and options name. Images of a list on stdin are each remembered by their own results alone: the
 * list has no end before the work begins. */
static cp_status remember_arguments(cp_session *s)
{
    const cp_options *o = s->options;
    const char *const files[] = {s->cfg_path, s->weights_path, o->score, o->path, o->list, o->valid, o->data, o->names, o->typical};
    cp_status status = cp_remember_inputs(s, files, sizeof files / sizeof *files);
    return status ? status : cp_remember_inputs(s, (const char *const *)s->images, (size_t)s->n_images);
}

/* What is odd about the cfg, without being wrong. */
static void tell_warnings(const cp_session *s)
{
    for (size_t i = 0; i < s->net->n_warnings; i++)
        cp_note(s, "%s", s->net->warnings[i]);
}

/* ---------------------------------------------------------------- GPUs */

/* The first is the process's own: all but the workers of a list use it. */
static cp_status read_gpus(cp_session *s)
{
    const char *text = s->options->gpus;
    char *end = (char *)text;
    if (text && cp_host_device() < 0)
        return cp_fail(CP_EINPUT, "-gpus: %s",
                       cp_device_builds() ? "-nogpu leaves none" : "this build has no GPU code");
    for (const char *at = text; at; at = *end ? end + 1 : NULL) {
        long index = strtol(at, &end, 10);
        if (end == at || index < 0 || index > 1023 || (*end && *end != ','))
            return cp_fail(CP_EINPUT, "-gpus: found \"%.60s\", numbers of GPUs are needed, as in 0,1", text);
        for (int i = 0; i < s->n_gpus; i++)
            if (s->gpus[i] == index)
                return cp_fail(CP_EINPUT, "-gpus: GPU %ld is named twice", index);
        if (s->n_gpus == CP_MOST_GPUS)
            return cp_fail(CP_EINPUT, "-gpus: at most %d", CP_MOST_GPUS);
        cp_status status = cp_set_device((int)index); /* whether it is there */
        if (status)
            return status;
        s->gpus[s->n_gpus++] = (int)index;
    }
    return s->n_gpus ? cp_set_device(s->gpus[0]) : CP_OK;
}

/* ---------------------------------------------------------------- open, close */

static void resolve_options(cp_session *s)
{
    const cp_semantics *semantics = cp_model_semantics(s->model);
    s->resolved = *s->options;
    if (s->resolved.letterbox < 0)
        s->resolved.letterbox = (int)semantics->fit;
    if (s->resolved.thresh < 0)
        s->resolved.thresh = semantics->thresh;
    s->options = &s->resolved;
}

cp_status cp_session_open(const cp_command *command, const cp_options *options, bool needs_weights, bool runs_images,
                          cp_session *s)
{
    const char *data = NULL;
    *s = (cp_session){.options = options, .command = command, .out = stdout, .err = stderr};
    cp_set_threads(options->threads);
    cp_set_kernel_memory(options->mem / 4);
    cp_picture_set_memory(options->mem / 2);
    cp_cfg_set_run_memory(runs_images ? options->mem : 0);
    cp_status status = cp_blas_reserve(cp_threads());
    if (!status)
        status = cp_shard_read(options->shard, &s->shard);
    if (!status)
        status = cp_session_arguments(s, needs_weights, &data);
    if (!status)
        status = remember_arguments(s);
    if (!status)
        status = cp_check_output_folder(s);
    if (!status)
        status = read_gpus(s);
    if (!status)
        status = cp_model_open(s->cfg_path, s->weights_path, &s->model);
    if (!status) {
        s->net = cp_model_shapes(s->model);
        resolve_options(s);
        tell_warnings(s);
        status = open_names(s, data);
    }
    if (status || !runs_images)
        return status;
    s->list = s->n_images != 1;
    cp_model_input_shape(s->model, &s->c, &s->h, &s->w);
    cp_picture_keep_alpha(s->c == 4);
    int entries;
    if ((status = cp_session_entries(s, 1, &entries)) || (status = cp_frame_create(s->model, 1, &s->frame)))
        return status;
    s->input = cp_alloc(s->c * s->h * s->w, sizeof *s->input, "network input");
    status = s->input ? cp_typical_open(s) : CP_ERESOURCE;
    return status ? status : cp_baseline_open(s);
}

void cp_session_close(cp_session *s)
{
    json_decref(s->prefixes);
    free(s->inputs);
    cp_free(s->input);
    cp_baseline_close(s);
    cp_typical_close(s);
    cp_frame_free(s->frame);
    cp_names_free(s->names);
    cp_model_free(s->model);
    *s = (cp_session){0};
}

cp_status cp_session_entries(const cp_session *s, int wanted, int *entries)
{
    size_t cap = cp_frame_memory(NULL, s->options->mem, (size_t)2 << 30);
    int most = cp_most_entries(NULL, 32), n = wanted < 1 ? 1 : wanted > most ? most : wanted;
    while (n > 1 && cp_frame_bytes(s->model, 1, n) > cap)
        n--;
    *entries = n;
    size_t least = cp_frame_bytes(s->model, 1, 1);
    if (s->options->mem && least > s->options->mem)
        return cp_fail(CP_ERESOURCE, "-mem: %zu MB is too little, one image of %s needs %zu MB", s->options->mem >> 20,
                       s->cfg_path, (least >> 20) + 1);
    return CP_OK;
}

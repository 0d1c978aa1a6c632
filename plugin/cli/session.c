#include "cli/list.h"
#include "engine/memory.h"
#include "engine/reserve.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"
#include "io/progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PATH = 4096 };

double cp_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

size_t cp_peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

void cp_note(const cp_session *session, const char *format, ...)
{
    char line[3 * MAX_PATH]; /* written at once, so that it stays whole beside what other threads write */
    if (session->options->quiet)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(session->err && session->err != stderr ? session->err : cp_stderr(), "%s\n", line);
}

const char *cp_grouped(size_t number, char text[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%zu", number), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = 0;
    return text;
}

const char *cp_session_class(const cp_session *session, int class_id, char text[24])
{
    if (session->names && class_id >= 0 && (size_t)class_id < session->names->n)
        return session->names->names[class_id];
    snprintf(text, 24, "class %d", class_id);
    return text;
}

/* ---------------------------------------------------------------- arguments */

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && !strcasecmp(text + n - m, ending);
}

/* A .data file by its name; a file with another name by its first line that says something: a cfg begins with [. */
static bool is_data_file(const char *path)
{
    if (ends_with(path, ".data"))
        return true;
    if (ends_with(path, ".cfg") || ends_with(path, ".weights"))
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
    if (ends_with(path, ".names"))
        return true;
    return o->n_arguments > 1 && ends_with(o->arguments[1], ".cfg") && !ends_with(path, ".cfg") &&
           !ends_with(path, ".weights");
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
    if (ends_with(s->cfg_path, ".weights") || (s->weights_path && ends_with(s->weights_path, ".cfg")))
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
    cp_data_free(data);
    return status;
}

/* What is odd about the cfg, without being wrong. */
static void tell_warnings(const cp_session *s)
{
    for (size_t i = 0; i < s->net->n_warnings; i++)
        cp_note(s, "%s", s->net->warnings[i]);
}

/* ---------------------------------------------------------------- outputs */

static bool is_folder(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

/* The last folder of "a/b/c", without its slash: "a/b"; "" of "c", "/" of "/c". */
static void folder_of(const char *path, char folder[MAX_PATH])
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, MAX_PATH, "%.*s", !slash ? 0 : slash == path ? 1 : (int)(slash - path), path);
}

static bool ends_in_slash(const char *path) { return *path && path[strlen(path) - 1] == '/'; }

/* That results can be written is found before any work is done. A folder named by "-out folder/" is made with the first
 * of them, where one of those above it is there and allows it. */
static cp_status check_output_folder(const cp_session *s)
{
    const char *out = s->options->out;
    char folder[MAX_PATH], above[MAX_PATH];
    if (!out)
        return CP_OK;
    if (strlen(out) >= MAX_PATH - 300)
        return cp_fail(CP_EINPUT, "-out: the prefix has %zu bytes, allowed are %d", strlen(out), MAX_PATH - 300);
    folder_of(out, folder);
    while (ends_in_slash(out) && *folder && access(folder, F_OK)) {
        folder_of(folder, above);
        memcpy(folder, above, sizeof folder);
    }
    if (!*folder && ends_in_slash(out))
        strcpy(folder, ".");
    if (!*folder)
        return CP_OK;
    if (!is_folder(folder))
        return cp_fail(CP_EINPUT, "-out: \"%.300s\" %s", folder,
                       access(folder, F_OK) ? "does not exist; only \"-out folder/\" makes a folder" : "is no folder");
    if (access(folder, W_OK | X_OK))
        return cp_fail(CP_EINPUT, "-out: folder \"%.300s\" cannot be written: %s", folder, strerror(errno));
    return CP_OK;
}

/* "a/b/" and the folders above it, those that are missing. */
static cp_status make_folders(const char *out)
{
    char folder[MAX_PATH];
    for (const char *slash = out + strspn(out, "/"); (slash = strchr(slash, '/')); slash++) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - out), out);
        if (mkdir(folder, 0777) && errno != EEXIST)
            return cp_fail(CP_EINPUT, "-out: folder \"%.300s\" cannot be made: %s", folder, strerror(errno));
    }
    return CP_OK;
}

/* Length of a file's stem: without ".score.npz" or ".path.npz", else without the last ending. */
static int stem_length(const char *name, bool *is_npz)
{
    static const char *const endings[] = {".score.npz", ".path.npz", ".npz"};
    const char *dot = strrchr(name, '.');
    *is_npz = true;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(name, endings[i]) && strlen(name) > strlen(endings[i]))
            return (int)(strlen(name) - strlen(endings[i]));
    *is_npz = false;
    return dot && dot > name ? (int)(dot - name) : (int)strlen(name);
}

/* Remembers a prefix of a list, and changes it until it is new. */
static cp_status claim_prefix(cp_session *s, cp_item *item, const char *base)
{
    for (int copy = 2, i = 0; i < s->n_prefixes; i++)
        if (!strcmp(s->prefixes[i], item->prefix)) {
            snprintf(item->prefix, sizeof item->prefix, "%.4000s-%d", base, copy++);
            i = -1;
        }
    char **grown = realloc(s->prefixes, (size_t)(s->n_prefixes + 1) * sizeof *grown);
    if (grown)
        s->prefixes = grown;
    if (!grown || !(s->prefixes[s->n_prefixes] = strdup(item->prefix)))
        return cp_fail(CP_ERESOURCE, "list of images: out of memory");
    s->n_prefixes++;
    return CP_OK;
}

/* Of "-out dog.png" the prefix is "dog": its length. */
static int prefix_length(const char *out)
{
    static const char *const endings[] = {".path.npz", ".score.npz", ".gates.npz", ".heat.npy", ".npz", ".npy", ".json",
                                          ".jsonl", ".csv", ".png", ".jpg", ".jpeg"};
    size_t n = strlen(out);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t m = strlen(endings[i]);
        if (n > m && ends_with(out, endings[i]) && out[n - m - 1] != '/')
            return (int)(n - m);
    }
    return (int)n;
}

/* Reads -out once: a folder is made, an ending is taken off and said. */
static cp_status open_output(cp_session *s)
{
    const char *out = s->options->out;
    if (!out || s->out_is_open)
        return CP_OK;
    s->out_is_open = true;
    if (ends_in_slash(out))
        return make_folders(out);
    int length = prefix_length(out);
    if (out[length] && !is_folder(out))
        cp_note(s, "-out: \"%s\" is taken for the prefix \"%.*s\", to which every result adds its own ending", out,
                length, out);
    return CP_OK;
}

cp_status cp_choose_prefix(cp_session *s, cp_item *item)
{
    const char *out = s->options->out, *slash = strrchr(item->path, '/'), *name = slash ? slash + 1 : item->path;
    bool is_npz;
    int length = stem_length(name, &is_npz);
    char base[MAX_PATH];
    cp_status status = open_output(s);
    if (status)
        return status;
    if (length > 200)
        return cp_fail(CP_EINPUT, "%.100s...: the file's name has %d bytes, allowed are 200", item->path, length);
    if (!out) /* "dog.critpath", so that dog.png stays what it is */
        snprintf(base, sizeof base, "%.*s%s", length, name, is_npz ? "" : ".critpath");
    else if (ends_in_slash(out) || is_folder(out))
        snprintf(base, sizeof base, "%s%s%.*s", out, ends_in_slash(out) ? "" : "/", length, name);
    else if (s->list)
        snprintf(base, sizeof base, "%.*s-%.*s", prefix_length(out), out, length, name);
    else
        snprintf(base, sizeof base, "%.*s", prefix_length(out), out);
    snprintf(item->prefix, sizeof item->prefix, "%s", base);
    return s->list ? claim_prefix(s, item, base) : CP_OK;
}

bool cp_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return b && !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

cp_status cp_output_path(const cp_session *s, const cp_item *item, const char *tag, const char *ending, char out[4096])
{
    if (snprintf(out, MAX_PATH, "%s%s%s", item->prefix, tag, ending) >= MAX_PATH)
        return cp_fail(CP_EINPUT, "-out: the path of a result is longer than %d bytes", MAX_PATH - 1);
    const char *inputs[] = {item->path, s->cfg_path, s->weights_path, s->options->score, s->options->path};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (cp_same_file(out, inputs[i]))
            return cp_fail(CP_EINPUT, "-out: \"%.300s\" would overwrite an input of this run; choose another prefix",
                           out);
    return CP_OK;
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
    cp_status status = cp_blas_reserve(cp_threads());
    if (!status)
        status = cp_session_arguments(s, needs_weights, &data);
    if (!status)
        status = check_output_folder(s);
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
    int entries;
    if ((status = cp_session_entries(s, 1, &entries)) || (status = cp_frame_create(s->model, 1, &s->frame)))
        return status;
    s->input = cp_alloc(s->c * s->h * s->w, sizeof *s->input, "network input");
    return s->input ? CP_OK : CP_ERESOURCE;
}

void cp_session_close(cp_session *s)
{
    for (int i = 0; i < s->n_prefixes; i++)
        free(s->prefixes[i]);
    free(s->prefixes);
    cp_free(s->input);
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

/* ---------------------------------------------------------------- images */

cp_status cp_item_read(cp_session *s, const char *path, cp_item *item, float *input)
{
    unsigned char *bytes = NULL;
    size_t n_bytes;
    *item = (cp_item){.path = path, .started = cp_seconds()};
    cp_status status = cp_file_read(path, "picture", CP_PICTURE_MAX_BYTES, &bytes, &n_bytes);
    if (!status)
        status = cp_picture_decode(bytes, n_bytes, path, &item->photo);
    if (!status)
        status = cp_sha256_memory(bytes, n_bytes, item->sha256);
    cp_free(bytes);
    if (!status)
        status = cp_choose_prefix(s, item);
    if (!status && (status = cp_model_prepare(s->model, item->photo.rgb, (size_t)item->photo.w, (size_t)item->photo.h,
                                              (cp_fit)s->options->letterbox, input, &item->placement)))
        cp_fail_prefix(status, "%s", path);
    if (!status)
        status = cp_sha256_memory(input, s->c * s->h * s->w * sizeof *input, item->input_sha256);
    item->read = cp_seconds() - item->started;
    return status;
}

/* What was done to the photo before anything else saw it. */
static void tell_photo(const cp_session *s, const cp_item *item)
{
    const cp_picture *photo = &item->photo;
    if (photo->orientation > 1 && cp_picture_obeys_orientation())
        cp_note(s, "%s: turned upright, as its EXIF orientation (%d) says and OpenCV builds of Darknet do; -exif 0 leaves it as "
                "stored", item->path, photo->orientation);
    else if (photo->orientation > 1)
        cp_note(s, "%s: left as stored, its EXIF orientation is %d", item->path, photo->orientation);
    if (photo->largest)
        cp_note(s, "%s: 16 bits a channel, of which Darknet sees the upper 8; the largest value is %d of 65535%s", item->path,
                photo->largest, photo->largest < 32768 ? ", so it sees a dark photo" : "");
}

cp_status cp_item_forward(cp_session *s, cp_item *item)
{
    tell_photo(s, item);
    double ready = cp_seconds();
    cp_status status = cp_frame_forward(s->frame, s->input, 1, NULL);
    item->forward = cp_seconds() - ready;
    return status;
}

static cp_status run_image(cp_session *s, const char *path, cp_visit visit, void *user)
{
    cp_item item;
    cp_status status = cp_item_read(s, path, &item, s->input);
    if (!status)
        status = cp_item_forward(s, &item);
    if (!status) {
        cp_files_begin();
        status = cp_files_end(visit(s, &item, user));
    }
    cp_picture_free(&item.photo);
    return status;
}

static cp_status each(cp_session *s, bool together, cp_visit visit, void *user)
{
    int seen;
    bool from_stdin = s->n_images == 0;
    if (s->n_images == 1)
        return run_image(s, s->images[0], visit, user);
    if (from_stdin && isatty(STDIN_FILENO))
        cp_note(s, "one image path per line; end with Ctrl-D");
    cp_status first = cp_list_run(s, together, visit, user, &seen);
    if (first == CP_EINPUT)
        return cp_fail(first, "%s", ""); /* said already */
    if (from_stdin && !seen && !first)
        return cp_fail(CP_EINPUT, "%s: no image on the command line and no path on stdin", s->command->name);
    return first;
}

cp_status cp_session_each(cp_session *s, cp_visit visit, void *user) { return each(s, false, visit, user); }

cp_status cp_session_each_together(cp_session *s, cp_visit visit, void *user) { return each(s, true, visit, user); }

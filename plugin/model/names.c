#include "model/names.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "io/error.h"
#include "io/file.h"
#include "io/lines.h"
#include "io/suggest.h"
#include "model/cfg_internal.h"

/* ---- names ---- */

/* Bytes of the UTF-8 character at `s`, or 0 when it is none (overlong, surrogate, beyond U+10FFFF, cut off). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (n > left) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

/* Names go to terminals and into JSON. */
static void clean(unsigned char *s, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t n = utf8_length(s + i, length - i);
        if (!n || s[i] < 0x20 || s[i] == 0x7f) s[i] = '?';
        if (n == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0) s[i] = s[i + 1] = '?'; /* U+0080 to U+009F, controls too */
        i += n ? n : 1;
    }
}

static cp_status split_lines(const char *path, unsigned char *text, size_t bytes, cp_names *names)
{
    size_t lines = 0, at;
    cp_line line;
    cp_status status = cp_text_begin("names", path, text, bytes, &at);
    if (status) return status;
    for (size_t i = at; i < bytes; i++) lines += text[i] == '\n' || i + 1 == bytes;
    names->names = cp_alloc(lines, sizeof *names->names, "names");
    if (!names->names) return CP_ERESOURCE;
    while (cp_line_next(text, bytes, &at, &line)) {
        if (line.length > CP_NAMES_MAX_LINE)
            return cp_fail(CP_EINPUT, "names: %s: line %zu has %zu bytes, at most %d are allowed", path, names->n + 1,
                           line.length, CP_NAMES_MAX_LINE);
        char *name = cp_alloc(line.length + 1, 1, "a name");
        if (!name) return CP_ERESOURCE;
        memcpy(name, line.text, line.length);
        clean((unsigned char *)name, line.length);
        names->names[names->n++] = name;
    }
    return CP_OK;
}

cp_status cp_names_read(const char *path, int classes, cp_names **out)
{
    unsigned char *text = NULL;
    size_t bytes = 0;
    *out = NULL;
    cp_names *names = cp_alloc(1, sizeof *names, "names");
    if (!names) return CP_ERESOURCE;
    cp_status status = cp_file_read(path, "names", CP_NAMES_MAX_BYTES, &text, &bytes);
    if (status == CP_OK) status = split_lines(path, text, bytes, names);
    if (status == CP_OK && classes > 0 && names->n < (size_t)classes)
        status = cp_fail(CP_EINPUT, "names: %s has %zu names, the network has %d classes", path, names->n, classes);
    cp_free(text);
    if (status == CP_OK) *out = names;
    else cp_names_free(names);
    return status;
}

size_t cp_names_beyond(const cp_names *names, int classes)
{
    size_t n = names->n;
    while (n > (size_t)classes && !names->names[n - 1][0]) n--;
    return n > (size_t)classes ? n - (size_t)classes : 0;
}

void cp_names_free(cp_names *names)
{
    if (!names) return;
    for (size_t i = 0; i < names->n; i++) cp_free(names->names[i]);
    cp_free(names->names);
    cp_free(names);
}

static int find(const cp_names *names, size_t n, const char *name, int (*compare)(const char *, const char *))
{
    int found = CP_NAME_MISSING;
    for (size_t i = 0; i < n; i++) {
        if (compare(names->names[i], name)) continue;
        if (found >= 0) return CP_NAME_AMBIGUOUS;
        found = (int)i;
    }
    return found;
}

int cp_names_find(const cp_names *names, int classes, const char *name)
{
    size_t n = classes > 0 && (size_t)classes < names->n ? (size_t)classes : names->n;
    int found = find(names, n, name, strcmp);
    return found == CP_NAME_MISSING ? find(names, n, name, strcasecmp) : found;
}

/* ---- .data files ---- */

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Darknet takes these paths from the current folder, and its own cfg/coco.data says data/coco.names: so look beside
 * the .data file and one folder up too, at last for the name alone. False, with `path` as written, when it is nowhere. */
static bool look_for(const char *data_path, const char *written, char *path, size_t room)
{
    static const char *const between[] = {"", "../"};
    const char *slash = strrchr(data_path, '/');
    int folder = slash ? (int)(slash - data_path) + 1 : 0;
    for (int i = 0; written[0] != '/' && !is_there(written) && i < 2; i++) {
        snprintf(path, room, "%.*s%s%s", folder, data_path, between[i], written);
        if (is_there(path)) return true;
    }
    const char *last = strrchr(written, '/');
    if (!is_there(written) && last) { /* a .data file that was moved together with what it names */
        snprintf(path, room, "%.*s%s", folder, data_path, last + 1);
        if (is_there(path)) return true;
    }
    snprintf(path, room, "%s", written);
    return is_there(path);
}

/* Darknet drops every blank of the line, so there "data/ x.names" is data/x.names; but a path may have blanks. */
cp_status cp_path_beside(const char *data_path, const char *written, char **path)
{
    size_t room = strlen(data_path) + strlen(written) + 4, n = 0;
    *path = NULL;
    if (!written[0]) return CP_OK;
    char *without = cp_alloc(strlen(written) + 1, 1, "a path");
    *path = cp_alloc(room, 1, "a path");
    if (!*path || !without) {
        cp_free(without);
        return CP_ERESOURCE;
    }
    for (const char *c = written; *c; c++)
        if (*c != ' ' && *c != '\t') without[n++] = *c;
    if (!look_for(data_path, written, *path, room) && !look_for(data_path, without, *path, room))
        snprintf(*path, room, "%s", written);
    cp_free(without);
    return CP_OK;
}

static cp_status take(const cp_cfg *options, const char *key, char **value)
{
    return cp_path_beside(options->path, cp_cfg_string(options, 0, key, ""), value);
}

/* The keys that some Darknet reads of a .data file. */
static const char *const data_keys[] = {"classes", "names", "labels", "train", "valid", "test", "backup", "results", "eval",
                                        "top", "map", "tree", "leaves", "type", "prefix", "difficult", "detections_count",
                                        "output"};
enum { DATA_KEYS = sizeof data_keys / sizeof *data_keys };

/* Says what of the file is not used. */
static void tell_unused(const cp_cfg *options)
{
    const cp_cfg_section *s = &options->sections[0];
    for (size_t i = 0; i < s->n; i++) {
        const char *key = s->pairs[i].key, *near = cp_nearest_name(key, data_keys, DATA_KEYS);
        bool known = near && !strcmp(near, key);
        if (!known)
            cp_notice("%s: line %d: %.40s is no key of a .data file, it is not used%s%s%s", options->path,
                      s->pairs[i].line, key, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        else if (cp_cfg_find(options, 0, key) != &s->pairs[i])
            cp_notice("%s: line %d: a second %s, the first is used", options->path, s->pairs[i].line, key);
    }
}

/* Absent is 0. */
static cp_status take_count(const cp_cfg *options, const char *key, int *value)
{
    cp_status status = cp_cfg_int(options, 0, key, 0, value);
    if (status != CP_OK || *value > 0 || !cp_cfg_find(options, 0, key)) return status;
    return cp_cfg_refuse(options, 0, cp_cfg_key_line(options, 0, key), "%s=%d, at least 1 is needed", key, *value);
}

cp_status cp_data_read(const char *path, cp_data **out)
{
    cp_cfg *options = NULL;
    *out = NULL;
    cp_data *data = cp_alloc(1, sizeof *data, "the .data file");
    if (!data) return CP_ERESOURCE;
    cp_status status = cp_cfg_read_options(path, &options);
    if (status == CP_OK) status = take_count(options, "classes", &data->classes);
    if (status == CP_OK) status = take_count(options, "top", &data->top);
    if (status == CP_OK) status = take(options, cp_cfg_find(options, 0, "names") ? "names" : "labels", &data->names);
    if (status == CP_OK) status = take(options, "labels", &data->labels);
    if (status == CP_OK) status = take(options, "train", &data->train);
    if (status == CP_OK) status = take(options, "valid", &data->valid);
    if (status == CP_OK) {
        const char *eval = cp_cfg_string(options, 0, "eval", "");
        size_t length = strlen(eval);
        if (length && !(data->eval = cp_alloc(length + 1, 1, "eval"))) status = CP_ERESOURCE;
        else if (length) memcpy(data->eval, eval, length);
    }
    if (status == CP_OK) tell_unused(options);
    cp_cfg_free(options);
    if (status == CP_OK) *out = data;
    else cp_data_free(data);
    return status;
}

void cp_data_free(cp_data *data)
{
    if (!data) return;
    cp_free(data->names);
    cp_free(data->labels);
    cp_free(data->train);
    cp_free(data->valid);
    cp_free(data->eval);
    cp_free(data);
}

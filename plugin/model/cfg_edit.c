/* vasprintf, strndup */
#define _GNU_SOURCE
/* Editing a cfg and writing it back. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic.h"
#include "io/error.h"
#include "model/cfg_internal.h"
#include "model/names.h"

bool cp_cfg_is_net(const char *type) { return !strcmp(type, "net") || !strcmp(type, "network"); }

bool cp_cfg_is_route(const char *type) { return !strcmp(type, "route"); }

bool cp_cfg_is_shortcut(const char *type) { return !strcmp(type, "shortcut"); }

/* ---- keys ---- */

cp_status cp_cfg_set(cp_cfg *cfg, size_t section, const char *key, const char *format, ...)
{
    char *value = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&value, format, args);
    va_end(args);
    if (length < 0) return cp_fail(CP_ERESOURCE, "%s: out of memory while setting %s", cfg->path, key);
    cp_status status = CP_OK;
    cp_cfg_pair *pair = cp_cfg_find(cfg, section, key);
    if (!length || strpbrk(value, " \t\r\n")) {
        status = cp_fail(CP_EINTERNAL, "%s: %s='%.40s' cannot be written to a cfg", cfg->path, key, value);
    } else if (!pair) {
        status = cp_cfg_add_pair(cfg, section, key, value, 0);
    } else if (strlen(pair->value) >= (size_t)length) {
        strcpy(pair->value, value);
    } else {
        size_t key_size = strlen(key) + 1;
        char *larger = realloc(pair->key, key_size + (size_t)length + 1);
        if (larger) {
            *pair = (cp_cfg_pair){.key = larger, .value = larger + key_size, .line = pair->line};
            strcpy(pair->value, value);
        } else {
            status = cp_fail(CP_ERESOURCE, "%s: out of memory while setting %s", cfg->path, key);
        }
    }
    free(value);
    return status;
}

void cp_cfg_unset(cp_cfg *cfg, size_t section, const char *key)
{
    cp_cfg_section *s = &cfg->sections[section];
    size_t kept = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->pairs[i].key, key)) s->pairs[kept++] = s->pairs[i];
        else free(s->pairs[i].key);
    }
    s->n = kept;
}

cp_status cp_cfg_check_batch(const cp_cfg *cfg, int *batch, int *subdivisions)
{
    cp_status status = cp_cfg_int(cfg, 0, "batch", 1, batch);
    if (status == CP_OK) status = cp_cfg_int(cfg, 0, "subdivisions", 1, subdivisions);
    if (status != CP_OK) return status;
    const char *wrong = *batch < 1 ? "batch" : *subdivisions < 1 ? "subdivisions" : NULL;
    if (!wrong) return CP_OK;
    return cp_cfg_refuse(cfg, 0, cp_cfg_key_line(cfg, 0, wrong), "%s=%d, at least 1 is needed", wrong,
                         *batch < 1 ? *batch : *subdivisions);
}

/* Darknet looks for it from the current folder alone. */
static cp_status find_tree(cp_cfg *cfg, size_t section)
{
    const char *written = cp_cfg_string(cfg, section, "tree", NULL);
    char *path = NULL;
    if (!written) return CP_OK;
    cp_status status = cp_path_beside(cfg->path, written, &path);
    if (status == CP_OK && path && strcmp(path, written)) status = cp_cfg_set(cfg, section, "tree", "%s", path);
    cp_free(path);
    return status;
}

cp_status cp_cfg_prepare(cp_cfg *cfg, int batch, int width, int height)
{
    int was_batch, was_subdivisions;
    cp_status status = cp_cfg_check_batch(cfg, &was_batch, &was_subdivisions);
    if (status == CP_OK) status = cp_cfg_set(cfg, 0, "batch", "%d", batch);
    if (status == CP_OK) status = cp_cfg_set(cfg, 0, "subdivisions", "1");
    if (status == CP_OK) status = cp_cfg_set(cfg, 0, "adam", "0");
    if (status == CP_OK && width) status = cp_cfg_set(cfg, 0, "width", "%d", width);
    if (status == CP_OK && height) status = cp_cfg_set(cfg, 0, "height", "%d", height);
    if (width || height) cp_cfg_unset(cfg, 0, "inputs");
    for (size_t s = 1; s < cfg->n; s++)
        if (!strcmp(cfg->sections[s].type, "region") || !strcmp(cfg->sections[s].type, "yolo"))
            cp_cfg_unset(cfg, s, "map");
    for (size_t s = 1; s < cfg->n && status == CP_OK; s++) status = find_tree(cfg, s);
    return status;
}

/* ---- layers ---- */

/* The references of a route or shortcut as absolute layer numbers; relative[i] where one was written as negative. */
static cp_status read_references(const cp_cfg *cfg, size_t layer, int **references, bool **relative, size_t *n)
{
    size_t section = layer + 1;
    const char *type = cfg->sections[section].type;
    *references = NULL;
    *relative = NULL;
    *n = 0;
    if (!cp_cfg_is_route(type) && !cp_cfg_is_shortcut(type)) return CP_OK;
    const char *key = cp_cfg_is_route(type) ? "layers" : "from";
    cp_status status = cp_cfg_ints(cfg, section, key, references, n);
    if (status != CP_OK) return status;
    *relative = cp_alloc(*n, sizeof **relative, key);
    if (!*relative) status = CP_ERESOURCE;
    for (size_t i = 0; status == CP_OK && i < *n; i++) {
        long number = (*references)[i];
        (*relative)[i] = number < 0;
        long absolute = number < 0 ? (long)layer + number : number;
        if (absolute < 0 || absolute >= (long)layer)
            status = cp_cfg_refuse(cfg, section, cp_cfg_key_line(cfg, section, key),
                                   "%s names layer %ld, a layer before %zu is needed", key, absolute, layer);
        (*references)[i] = (int)absolute;
    }
    if (status == CP_OK) return CP_OK;
    cp_free(*references);
    cp_free(*relative);
    *references = NULL;
    *relative = NULL;
    *n = 0;
    return status;
}

/* Writes references (absolute, in the numbers of the cfg after the edit) into layer `layer`. */
static cp_status write_references(cp_cfg *cfg, size_t layer, const int *references, const bool *relative, size_t n)
{
    size_t room = n * 13 + 1, length = 0;
    char *text = cp_alloc(room, 1, "references");
    if (!text) return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++) {
        int number = relative[i] ? references[i] - (int)layer : references[i];
        length += (size_t)snprintf(text + length, room - length, "%s%d", i ? "," : "", number);
    }
    const char *key = cp_cfg_is_route(cfg->sections[layer + 1].type) ? "layers" : "from";
    cp_status status = cp_cfg_set(cfg, layer + 1, key, "%s", text);
    cp_free(text);
    return status;
}

typedef struct {
    int *references;
    bool *relative;
    size_t n;
} layer_references;

/* Where a reference to layer r lands after the edit: r < first stays, the others move by `step`, except that r =
 * moved goes to `target`. */
typedef struct {
    int first, step;
    int moved, target; /* moved = -1: none */
} renumbering;

/* Reads every reference, edits the sections by `edit`, and writes the references renumbered; nothing is changed when
 * a reference is bad. Layers from `first` on have the number + step afterwards. */
static cp_status edit_layers(cp_cfg *cfg, renumbering r, cp_status (*edit)(cp_cfg *, size_t, const char *),
                             const char *type)
{
    size_t n = cfg->n ? cfg->n - 1 : 0;
    cp_status status = CP_OK;
    layer_references *all = cp_alloc(n, sizeof *all, "references");
    if (!all) return CP_ERESOURCE;
    for (size_t i = 0; status == CP_OK && i < n; i++)
        status = read_references(cfg, i, &all[i].references, &all[i].relative, &all[i].n);
    for (size_t i = 0; status == CP_OK && i < n; i++)
        for (size_t k = 0; status == CP_OK && k < all[i].n; k++) {
            int *number = &all[i].references[k];
            /* Only a layer behind the edit can reach past it. */
            if ((int)i < r.first) continue;
            if (*number == r.moved) *number = r.target;
            else if (*number >= r.first) *number += r.step;
            if (*number < 0)
                status = cp_cfg_refuse(cfg, i + 1, cfg->sections[i + 1].line, "reads layer 0, which cannot be removed");
        }
    if (status == CP_OK) status = edit(cfg, (size_t)r.first, type);
    for (size_t i = 0; status == CP_OK && i < n; i++) {
        bool gone = r.step < 0 && (int)i == r.first;
        size_t now = (int)i >= r.first ? i + (size_t)r.step : i;
        if (!gone && all[i].n) status = write_references(cfg, now, all[i].references, all[i].relative, all[i].n);
    }
    for (size_t i = 0; i < n; i++) {
        cp_free(all[i].references);
        cp_free(all[i].relative);
    }
    cp_free(all);
    return status;
}

static cp_status put_section(cp_cfg *cfg, size_t layer, const char *type)
{
    return cp_cfg_add_section(cfg, layer + 1, type, strlen(type), 0);
}

static cp_status drop_section(cp_cfg *cfg, size_t layer, const char *type)
{
    (void)type;
    cp_cfg_clear_section(&cfg->sections[layer + 1]);
    cfg->n--;
    memmove(cfg->sections + layer + 1, cfg->sections + layer + 2, (cfg->n - layer - 1) * sizeof *cfg->sections);
    return CP_OK;
}

cp_status cp_cfg_insert_layer(cp_cfg *cfg, size_t layer, const char *type, bool redirect)
{
    if (layer + 1 > cfg->n)
        return cp_fail(CP_EINTERNAL, "%s: layer %zu cannot be inserted, there are %zu", cfg->path, layer, cfg->n - 1);
    renumbering r = {.first = (int)layer, .step = 1, .moved = -1};
    if (redirect && layer > 0) {
        r.moved = (int)layer - 1;
        r.target = (int)layer;
    }
    return edit_layers(cfg, r, put_section, type);
}

cp_status cp_cfg_remove_layer(cp_cfg *cfg, size_t layer)
{
    if (layer + 1 >= cfg->n)
        return cp_fail(CP_EINTERNAL, "%s: layer %zu cannot be removed, there are %zu", cfg->path, layer, cfg->n - 1);
    renumbering r = {.first = (int)layer, .step = -1, .moved = (int)layer, .target = (int)layer - 1};
    return edit_layers(cfg, r, drop_section, NULL);
}

/* ---- writing ---- */

cp_status cp_cfg_render(const cp_cfg *cfg, char **text, size_t *length)
{
    size_t bytes = 1;
    for (size_t s = 0; s < cfg->n; s++) {
        bytes += strlen(cfg->sections[s].type) + 4;
        for (size_t i = 0; i < cfg->sections[s].n; i++)
            bytes += strlen(cfg->sections[s].pairs[i].key) + strlen(cfg->sections[s].pairs[i].value) + 2;
    }
    char *out = *text = cp_alloc(bytes, 1, "the text of the cfg");
    if (!out) return CP_ERESOURCE;
    for (size_t s = 0; s < cfg->n; s++) {
        out += sprintf(out, "%s[%s]\n", s ? "\n" : "", cfg->sections[s].type);
        for (size_t i = 0; i < cfg->sections[s].n; i++)
            out += sprintf(out, "%s=%s\n", cfg->sections[s].pairs[i].key, cfg->sections[s].pairs[i].value);
    }
    *length = (size_t)(out - *text);
    return CP_OK;
}

cp_status cp_cfg_write(const cp_cfg *cfg, const char *path)
{
    char *text = NULL;
    size_t length = 0;
    cp_file *file = NULL;
    cp_status status = cp_cfg_render(cfg, &text, &length);
    if (status == CP_OK) status = cp_file_begin(path, &file);
    if (status == CP_OK) status = cp_file_write(file, text, length);
    if (status == CP_OK) status = cp_file_commit(&file);
    cp_file_abort(&file);
    cp_free(text);
    return status;
}

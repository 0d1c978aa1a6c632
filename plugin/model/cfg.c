/* Reading a cfg into sections, and typed access to its values. */
#include "model/cfg.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"
#include "io/file.h"
#include "io/lines.h"
#include "model/cfg_internal.h"

/* ---- messages ---- */

void cp_cfg_where(const cp_cfg *cfg, size_t section, int line, char *text, size_t size)
{
    char layer[32] = "", at[32] = "";
    if (section > 0) snprintf(layer, sizeof layer, "layer %zu ", section - 1);
    if (line > 0) snprintf(at, sizeof at, ", line %d", line);
    snprintf(text, size, "%s: %s[%.40s]%s: ", cfg->path, layer, cfg->sections[section].type, at);
}

cp_status cp_cfg_refuse(const cp_cfg *cfg, size_t section, int line, const char *format, ...)
{
    char where[700], text[400];
    cp_cfg_where(cfg, section, line, where, sizeof where);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return cp_fail(CP_EINPUT, "%s%s", where, text);
}

static cp_status out_of_memory(const cp_cfg *cfg)
{
    return cp_fail(CP_ERESOURCE, "%s: out of memory while reading the cfg", cfg->path);
}

/* ---- sections and pairs ---- */

static bool grow(void **items, size_t *capacity, size_t n, size_t size)
{
    if (n < *capacity) return true;
    size_t wanted = *capacity ? 2 * *capacity : 8;
    void *larger = realloc(*items, wanted * size);
    if (!larger) return false;
    *items = larger;
    *capacity = wanted;
    return true;
}

cp_status cp_cfg_add_section(cp_cfg *cfg, size_t at, const char *type, size_t length, int line)
{
    if (cfg->n >= CP_CFG_MAX_SECTIONS)
        return cp_fail(CP_EINPUT, "%s: line %d: more than %d sections", cfg->path, line, CP_CFG_MAX_SECTIONS);
    char *copy = strndup(type, length);
    if (!copy || !grow((void **)&cfg->sections, &cfg->capacity, cfg->n, sizeof *cfg->sections)) {
        free(copy);
        return out_of_memory(cfg);
    }
    memmove(cfg->sections + at + 1, cfg->sections + at, (cfg->n - at) * sizeof *cfg->sections);
    cfg->sections[at] = (cp_cfg_section){.type = copy, .line = line};
    cfg->n++;
    return CP_OK;
}

cp_status cp_cfg_add_pair(cp_cfg *cfg, size_t section, const char *key, const char *value, int line)
{
    cp_cfg_section *s = &cfg->sections[section];
    if (s->n >= CP_CFG_MAX_KEYS) return cp_cfg_refuse(cfg, section, line, "more than %d keys", CP_CFG_MAX_KEYS);
    size_t key_size = strlen(key) + 1, value_size = strlen(value) + 1;
    char *copy = malloc(key_size + value_size);
    if (!copy || !grow((void **)&s->pairs, &s->capacity, s->n, sizeof *s->pairs)) {
        free(copy);
        return out_of_memory(cfg);
    }
    memcpy(copy, key, key_size);
    memcpy(copy + key_size, value, value_size);
    s->pairs[s->n++] = (cp_cfg_pair){.key = copy, .value = copy + key_size, .line = line};
    return CP_OK;
}

void cp_cfg_clear_section(cp_cfg_section *section)
{
    for (size_t i = 0; i < section->n; i++) free(section->pairs[i].key);
    free(section->pairs);
    free(section->type);
}

void cp_cfg_free(cp_cfg *cfg)
{
    if (!cfg) return;
    for (size_t i = 0; i < cfg->n; i++) cp_cfg_clear_section(&cfg->sections[i]);
    free(cfg->sections);
    free(cfg->path);
    free(cfg);
}

static cp_status new_cfg(const char *path, cp_cfg **cfg)
{
    *cfg = calloc(1, sizeof **cfg);
    if (*cfg) (*cfg)->path = strdup(path);
    if (*cfg && (*cfg)->path) return CP_OK;
    free(*cfg);
    *cfg = NULL;
    return cp_fail(CP_ERESOURCE, "%s: out of memory while reading the cfg", path);
}

cp_status cp_cfg_copy(const cp_cfg *from, cp_cfg **copy)
{
    cp_cfg *cfg = NULL;
    *copy = NULL;
    cp_status status = new_cfg(from->path, &cfg);
    for (size_t s = 0; status == CP_OK && s < from->n; s++) {
        const cp_cfg_section *section = &from->sections[s];
        status = cp_cfg_add_section(cfg, s, section->type, strlen(section->type), section->line);
        for (size_t i = 0; status == CP_OK && i < section->n; i++)
            status = cp_cfg_add_pair(cfg, s, section->pairs[i].key, section->pairs[i].value, section->pairs[i].line);
    }
    if (status == CP_OK) *copy = cfg;
    else cp_cfg_free(cfg);
    return status;
}

/* ---- reading ---- */

/* Copies a line without blanks and tabs, as Darknet's strip does; refuses what no text file holds. Of an option of a .data
 * file (`options`) the blanks inside the value stay: it may be a path. */
static cp_status strip_line(const cp_cfg *cfg, cp_line line, int number, bool options, char *stripped)
{
    size_t n = 0, value = line.length;
    if (line.length >= CP_CFG_MAX_LINE)
        return cp_fail(CP_EINPUT, "%s: line %d has %zu bytes, at most %d are allowed", cfg->path, number, line.length,
                       CP_CFG_MAX_LINE - 1);
    for (size_t i = 0; i < line.length; i++) {
        unsigned char c = (unsigned char)line.text[i];
        if (options && c == '=' && value == line.length)
            value = i + 1 + strspn(line.text + i + 1, " \t");
        if ((c == ' ' || c == '\t') && i < value) continue;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return cp_fail(CP_EINPUT, "%s: line %d holds the byte 0x%02x, a cfg is a text file", cfg->path, number, c);
        stripped[n++] = line.text[i];
    }
    stripped[n] = 0;
    return CP_OK;
}

/* In these lists AlexeyAB's Darknet stops at a comment; a comma before it begins no further number. */
static void cut_comment(const char *key, char *value)
{
    static const char *const lists[] = {"mask", "anchors", "steps", "scales"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (strcmp(key, lists[i])) continue;
        size_t n = strcspn(value, "#");
        while (value[n] && n && value[n - 1] == ',') n--;
        value[n] = 0;
    }
}

static cp_status take_line(cp_cfg *cfg, char *line, int number)
{
    /* hank-ai's Darknet allows a comment behind [type]. */
    size_t length = line[0] == '[' ? strcspn(line, "#;") : strlen(line);
    switch (line[0]) {
    case 0:
    case '#':
    case ';':
        return CP_OK;
    case '[':
        if (length < 3 || line[length - 1] != ']')
            return cp_fail(CP_EINPUT, "%s: line %d: '%.40s' is no section, [type] is needed", cfg->path, number, line);
        return cp_cfg_add_section(cfg, cfg->n, line + 1, length - 2, number);
    default:
        break;
    }
    if (!cfg->n)
        return cp_fail(CP_EINPUT, "%s: line %d: '%.40s' stands before the first section, which must be [net]",
                       cfg->path, number, line);
    char *equals = strchr(line, '=');
    if (!equals || equals == line)
        return cp_cfg_refuse(cfg, cfg->n - 1, number, "'%.40s' is neither key=value nor a [section]", line);
    *equals = 0;
    cut_comment(line, equals + 1);
    if (!equals[1]) return cp_cfg_refuse(cfg, cfg->n - 1, number, "'%.40s=' has no value", line);
    return cp_cfg_add_pair(cfg, cfg->n - 1, line, equals + 1, number);
}

/* `section`: the one that the text starts in, or NULL. */
static cp_status parse(const char *name, const char *text, size_t length, const char *section, cp_cfg **cfg)
{
    cp_cfg *c = NULL;
    *cfg = NULL;
    if (length > CP_CFG_MAX_BYTES)
        return cp_fail(CP_EINPUT, "%s: %zu bytes, a cfg has at most %d", name, length, CP_CFG_MAX_BYTES);
    cp_status status = new_cfg(name, &c);
    if (status != CP_OK) return status;
    char *stripped = cp_alloc(CP_CFG_MAX_LINE, 1, "a line of the cfg");
    if (!stripped) status = CP_ERESOURCE;
    int number = 0;
    size_t at = 0;
    cp_line line;
    if (status == CP_OK) status = cp_text_begin(section ? ".data file" : "cfg", name, text, length, &at);
    const char *zero = memchr(text, 0, length); /* first of all: what a picture's lines end in does not matter */
    for (const char *c = text; zero && c < zero; c++) number += *c == '\n';
    if (zero && !status)
        status = cp_fail(CP_EINPUT, "%s: line %d holds the byte 0x00, a cfg is a text file", name, number + 1);
    if (status == CP_OK && section) status = cp_cfg_add_section(c, 0, section, strlen(section), 0);
    while (status == CP_OK && cp_line_next(text, length, &at, &line)) {
        status = strip_line(c, line, ++number, section != NULL, stripped);
        if (status == CP_OK) status = take_line(c, stripped, number);
    }
    if (status == CP_OK && !c->n) status = cp_fail(CP_EINPUT, "%s: no section, the first must be [net]", name);
    cp_free(stripped);
    if (status == CP_OK) *cfg = c;
    else cp_cfg_free(c);
    return status;
}

cp_status cp_cfg_parse(const char *name, const char *text, size_t length, cp_cfg **cfg)
{
    return parse(name, text, length, NULL, cfg);
}

cp_status cp_cfg_read_options(const char *path, cp_cfg **cfg)
{
    unsigned char *text = NULL;
    size_t length = 0;
    *cfg = NULL;
    cp_status status = cp_file_read(path, ".data file", CP_CFG_MAX_BYTES, &text, &length);
    if (status == CP_OK) status = parse(path, (const char *)text, length, "data", cfg);
    cp_free(text);
    if (status != CP_OK || (*cfg)->n == 1) return status;
    status = cp_cfg_refuse(*cfg, 0, (*cfg)->sections[1].line, "a .data file has no sections, is this a cfg?");
    cp_cfg_free(*cfg);
    *cfg = NULL;
    return status;
}

cp_status cp_cfg_read(const char *path, cp_cfg **cfg)
{
    unsigned char *text = NULL;
    size_t length = 0;
    *cfg = NULL;
    cp_status status = cp_file_read(path, "cfg", CP_CFG_MAX_BYTES, &text, &length);
    if (status == CP_OK) status = cp_cfg_parse(path, (const char *)text, length, cfg);
    cp_free(text);
    return status;
}

/* ---- access ---- */

const char *cp_cfg_path(const cp_cfg *cfg) { return cfg->path; }

size_t cp_cfg_sections(const cp_cfg *cfg) { return cfg->n; }

const char *cp_cfg_type(const cp_cfg *cfg, size_t section) { return cfg->sections[section].type; }

int cp_cfg_line(const cp_cfg *cfg, size_t section) { return cfg->sections[section].line; }

cp_cfg_pair *cp_cfg_find(const cp_cfg *cfg, size_t section, const char *key)
{
    cp_cfg_section *s = &cfg->sections[section];
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->pairs[i].key, key)) return &s->pairs[i];
    return NULL;
}

int cp_cfg_key_line(const cp_cfg *cfg, size_t section, const char *key)
{
    const cp_cfg_pair *pair = cp_cfg_find(cfg, section, key);
    return pair ? pair->line : cfg->sections[section].line;
}

const char *cp_cfg_string(const cp_cfg *cfg, size_t section, const char *key, const char *fallback)
{
    const cp_cfg_pair *pair = cp_cfg_find(cfg, section, key);
    return pair ? pair->value : fallback;
}

/* Reads an integer or a float at `text`. *rest is what follows it. What strto* would take and Darknet's users do not
 * mean, such as "inf" or "0x10", is no number. */
static bool read_int(const char *text, int *value, const char **rest)
{
    const char *digits = text + (*text == '+' || *text == '-');
    if (*digits < '0' || *digits > '9') return false;
    errno = 0;
    char *end;
    long number = strtol(text, &end, 10);
    *rest = end;
    *value = (int)number;
    return !errno && number >= INT_MIN && number <= INT_MAX;
}

static bool read_float(const char *text, float *value, const char **rest)
{
    size_t length = strspn(text, "+-.0123456789eE");
    char *end;
    if (!length || length > 300) return false;
    char copy[304];
    memcpy(copy, text, length);
    copy[length] = 0;
    double number = strtod(copy, &end);
    *rest = text + (end - copy);
    *value = (float)number;
    return end != copy && fabs(number) <= FLT_MAX;
}

/* Darknet's atoi and atof ignore what follows a number; what is no comment is remembered, to be said. */
static void note_rest(cp_cfg_pair *pair, const char *rest)
{
    if (*rest && *rest != '#' && *rest != ';') pair->rest = (int)(rest - pair->value);
}

cp_status cp_cfg_int(const cp_cfg *cfg, size_t section, const char *key, int fallback, int *value)
{
    cp_cfg_pair *pair = cp_cfg_find(cfg, section, key);
    const char *rest;
    *value = fallback;
    if (!pair) return CP_OK;
    if (read_int(pair->value, value, &rest)) {
        note_rest(pair, rest);
        return CP_OK;
    }
    return cp_cfg_refuse(cfg, section, pair->line, "%.40s=%.40s is not an integer of 32 bits", key, pair->value);
}

cp_status cp_cfg_float(const cp_cfg *cfg, size_t section, const char *key, float fallback, float *value)
{
    cp_cfg_pair *pair = cp_cfg_find(cfg, section, key);
    const char *rest;
    *value = fallback;
    if (!pair) return CP_OK;
    if (read_float(pair->value, value, &rest)) {
        note_rest(pair, rest);
        return CP_OK;
    }
    return cp_cfg_refuse(cfg, section, pair->line, "%.40s=%.40s is not a finite number", key, pair->value);
}

/* What may follow item i of a list: a comma, or after the last one nothing but a comment or, as atoi has it, other text. */
static bool item_ends(cp_cfg_pair *pair, const char *rest, bool last)
{
    if (last) note_rest(pair, rest);
    return last || *rest == ',';
}

/* A comment is cut off mask, anchors, steps and scales already. In `layers` and `from` its commas count in every Darknet but
 * hank-ai's, so that it may have none. */
static cp_status read_list(const cp_cfg *cfg, size_t section, const char *key, int **ints, float **floats, size_t *n)
{
    cp_cfg_pair *pair = cp_cfg_find(cfg, section, key);
    *n = 0;
    if (!pair) return CP_OK;
    const char *comment = strchr(pair->value, '#');
    if (comment && strchr(comment, ',') && (!strcmp(key, "layers") || !strcmp(key, "from")))
        return cp_cfg_refuse(cfg, section, pair->line, "%.40s=%.60s: Darknet counts the comma in the comment, too: take it out",
                             key, pair->value);
    size_t count = 1;
    for (const char *c = pair->value; *c && *c != '#' && *c != ';'; c++) count += *c == ',';
    void *items = cp_alloc(count, sizeof(int), key);
    if (!items) return CP_ERESOURCE;
    const char *item = pair->value;
    for (size_t i = 0; i < count; i++) {
        const char *rest = item;
        bool good = ints ? read_int(item, (int *)items + i, &rest) : read_float(item, (float *)items + i, &rest);
        if (!good || !item_ends(pair, rest, i + 1 == count)) {
            int width = (int)strcspn(item, ",");
            cp_free(items);
            return cp_cfg_refuse(cfg, section, pair->line, "%.40s: item %zu of %zu, '%.*s', is not %s", key, i + 1,
                                 count, width < 40 ? width : 40, item,
                                 ints ? "an integer of 32 bits" : "a finite number");
        }
        item = rest + 1;
    }
    *n = count;
    if (ints) *ints = items;
    else *floats = items;
    return CP_OK;
}

cp_status cp_cfg_ints(const cp_cfg *cfg, size_t section, const char *key, int **values, size_t *n)
{
    *values = NULL;
    return read_list(cfg, section, key, values, NULL, n);
}

cp_status cp_cfg_floats(const cp_cfg *cfg, size_t section, const char *key, float **values, size_t *n)
{
    *values = NULL;
    return read_list(cfg, section, key, NULL, values, n);
}

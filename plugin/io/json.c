#include "io/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"

#define MAX_DEPTH 64

/* jansson answers a failed allocation with NULL, which its other functions take and pass on: a member is then missing without a
 * word. So its allocations are watched here, and a value that was built while one failed is not written. */
static atomic_bool json_memory_ended;

static void *json_allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory) atomic_store(&json_memory_ended, true);
    return memory;
}

__attribute__((constructor)) static void watch_allocations(void) { json_set_alloc_funcs(json_allocate, free); }

/* Whether an allocation of jansson's failed since the last call. */
static bool memory_ended(void) { return atomic_exchange(&json_memory_ended, false); }

json_t *cp_json_real(double value) { return isfinite(value) ? json_real(value) : json_null(); }

json_t *cp_json_float(float value)
{
    if (!isfinite(value)) return json_null();
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    return json_real(strtod(text, NULL));
}

/* Bytes of the UTF-8 character at s, 0 if it is none: no overlong forms, surrogates or values above U+10FFFF. */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f)) return 0;
    if ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

json_t *cp_json_text(const char *text)
{
    if (!text) return json_null();
    json_t *value = json_string(text); /* refuses bad UTF-8 */
    if (value) return value;
    size_t n = strlen(text);
    char *clean = cp_alloc(3 * n + 1, 1, "text");
    if (!clean) return NULL;
    char *out = clean;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t length = utf8_length(s);
        memcpy(out, length ? (const char *)s : "\xef\xbf\xbd", length ? length : 3);
        out += length ? length : 3;
        s += length ? length : 1;
    }
    value = json_string(clean);
    cp_free(clean);
    return value;
}

cp_status cp_json_set(json_t *object, const char *key, json_t *value)
{
    if (value && json_object_set_new(object, key, value) == 0) return CP_OK;
    return cp_fail(CP_ERESOURCE, "JSON member '%s': out of memory", key);
}

cp_status cp_json_append(json_t *array, json_t *value)
{
    if (value && json_array_append_new(array, value) == 0) return CP_OK;
    return cp_fail(CP_ERESOURCE, "JSON array: out of memory");
}

json_t *cp_json_pack(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *value = json_vpack_ex(NULL, 0, format, args);
    va_end(args);
    if (!value) cp_fail(CP_ERESOURCE, "JSON: out of memory");
    return value;
}

json_t *cp_json_finish(json_t *value, int bad)
{
    if (!bad) return value;
    json_decref(value);
    return NULL;
}

static const char *type_name(const json_t *value)
{
    if (!value) return "absent";
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "text";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a real number";
    case JSON_TRUE:
    case JSON_FALSE: return "a truth value";
    default: return "null";
    }
}

cp_status cp_json_get_text(const json_t *object, const char *key, const char *where, const char **text)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return cp_fail(CP_EINPUT, "%s: '%s' is %s, text is needed", where, key, type_name(value));
    *text = json_string_value(value);
    if (strlen(*text) != json_string_length(value))
        return cp_fail(CP_EINPUT, "%s: '%s' holds a zero byte", where, key);
    return CP_OK;
}

cp_status cp_json_get_integer(const json_t *object, const char *key, const char *where, json_int_t lo, json_int_t hi,
                              json_int_t *number)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return cp_fail(CP_EINPUT, "%s: '%s' is %s, an integer is needed", where, key, type_name(value));
    *number = json_integer_value(value);
    if (*number < lo || *number > hi)
        return cp_fail(CP_EINPUT, "%s: '%s' is %lld, %lld to %lld is allowed", where, key, (long long)*number,
                       (long long)lo, (long long)hi);
    return CP_OK;
}

cp_status cp_json_get_real(const json_t *object, const char *key, const char *where, double lo, double hi,
                           double *number)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value))
        return cp_fail(CP_EINPUT, "%s: '%s' is %s, a number is needed", where, key, type_name(value));
    *number = json_number_value(value);
    if (!(*number >= lo && *number <= hi))
        return cp_fail(CP_EINPUT, "%s: '%s' is %g, %g to %g is allowed", where, key, *number, lo, hi);
    return CP_OK;
}

/* jansson prints every real with one fixed precision: 0.1 would become 0.10000000000000001 or lose bits. So the
 * numbers and the brackets are ours, text and its escapes are jansson's. */
struct buffer {
    char *text;
    size_t at, room;
    bool failed;
};

static void put(struct buffer *b, const char *text, size_t n)
{
    if (b->failed) return;
    if (b->room - b->at < n + 1) {
        size_t room = 2 * (b->room + n) + 256;
        char *grown = realloc(b->text, room);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->text = grown;
        b->room = room;
    }
    memcpy(b->text + b->at, text, n);
    b->at += n;
    b->text[b->at] = 0;
}

static void put_text(struct buffer *b, const char *text) { put(b, text, strlen(text)); }

static void put_break(struct buffer *b, bool indent, int depth)
{
    if (!indent) return;
    put_text(b, "\n");
    for (int i = 0; i < depth; i++) put_text(b, "  ");
}

static void put_real(struct buffer *b, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    for (char *c = text; *c; c++)
        if (*c == ',') *c = '.'; /* some locales */
    if (!strpbrk(text, ".e")) strcat(text, ".0"); /* stays a real when read again */
    put_text(b, text);
}

static void put_value(struct buffer *b, const json_t *value, bool indent, int depth);

static void put_string(struct buffer *b, const char *text, size_t bytes)
{
    json_t *string = json_stringn(text, bytes);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    if (quoted)
        put_text(b, quoted);
    else
        b->failed = true;
    free(quoted);
    json_decref(string);
}

/* Arrays of plain values stay on one line: shapes, boxes. */
static bool is_flat(const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        if (json_is_object(item) || json_is_array(item)) return false;
    }
    return true;
}

static void put_array(struct buffer *b, const json_t *array, bool indent, int depth)
{
    bool lines = indent && !is_flat(array);
    put_text(b, "[");
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i) put_text(b, lines ? "," : ", ");
        put_break(b, lines, depth + 1);
        put_value(b, json_array_get(array, i), indent, depth + 1);
    }
    if (json_array_size(array)) put_break(b, lines, depth);
    put_text(b, "]");
}

static void put_object(struct buffer *b, const json_t *object, bool indent, int depth)
{
    const char *key;
    json_t *value;
    bool first = true;
    put_text(b, "{");
    json_object_foreach((json_t *)object, key, value)
    {
        if (!first) put_text(b, indent ? "," : ", ");
        first = false;
        put_break(b, indent, depth + 1);
        put_string(b, key, strlen(key));
        put_text(b, ": ");
        put_value(b, value, indent, depth + 1);
    }
    if (!first) put_break(b, indent, depth);
    put_text(b, "}");
}

static void put_value(struct buffer *b, const json_t *value, bool indent, int depth)
{
    char text[32];
    if (depth > MAX_DEPTH) {
        b->failed = true;
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT: put_object(b, value, indent, depth); break;
    case JSON_ARRAY: put_array(b, value, indent, depth); break;
    case JSON_STRING: put_string(b, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER:
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        put_text(b, text);
        break;
    case JSON_REAL: put_real(b, json_real_value(value)); break;
    case JSON_TRUE: put_text(b, "true"); break;
    case JSON_FALSE: put_text(b, "false"); break;
    case JSON_NULL: put_text(b, "null"); break;
    }
}

cp_status cp_json_format(const json_t *value, bool indent, char **text, size_t *bytes)
{
    struct buffer b = {0};
    *text = NULL;
    if (!value) return cp_fail(CP_ERESOURCE, "JSON: no value, out of memory");
    put_value(&b, value, indent, 0);
    if (indent) put_text(&b, "\n");
    if (memory_ended() || b.failed) {
        free(b.text);
        return cp_fail(CP_ERESOURCE, "JSON: out of memory, or more than %d levels deep", MAX_DEPTH);
    }
    *text = b.text;
    *bytes = b.at;
    return CP_OK;
}

cp_status cp_json_write_file(const json_t *value, const char *path)
{
    char *text;
    size_t bytes;
    cp_file *file = NULL;
    cp_status status = cp_json_format(value, true, &text, &bytes);
    if (status != CP_OK) return cp_fail_prefix(status, "%s", path);
    status = cp_file_begin(path, &file);
    if (status == CP_OK) status = cp_file_write(file, text, bytes);
    if (status == CP_OK) status = cp_file_commit(&file);
    cp_file_abort(&file);
    cp_free(text);
    return status;
}

cp_status cp_json_write_stream(const json_t *value, FILE *stream)
{
    char *text;
    size_t bytes;
    cp_status status = cp_json_format(value, false, &text, &bytes);
    if (status != CP_OK) return status;
    if (fwrite(text, 1, bytes, stream) != bytes || fputc('\n', stream) == EOF || fflush(stream) != 0)
        status = cp_fail(CP_ERESOURCE, "JSON: cannot write %zu bytes to the output", bytes + 1);
    cp_free(text);
    return status;
}

cp_status cp_json_parse(const void *data, size_t bytes, const char *name, json_t **value)
{
    *value = NULL;
    json_error_t error;
    if (bytes > CP_JSON_MAX_BYTES)
        return cp_fail(CP_EINPUT, "%s: %zu bytes of JSON, at most %zu are allowed", name, bytes, CP_JSON_MAX_BYTES);
    memory_ended();
    *value = json_loadb(data, bytes, JSON_REJECT_DUPLICATES, &error);
    if (*value) return CP_OK;
    cp_status status = memory_ended() ? CP_ERESOURCE : CP_EINPUT;
    return cp_fail(status, "%s:%d: %s", name, error.line, error.text);
}

cp_status cp_json_read_file(const char *path, json_t **value)
{
    unsigned char *data;
    size_t bytes;
    *value = NULL;
    cp_status status = cp_file_read(path, "JSON file", CP_JSON_MAX_BYTES, &data, &bytes);
    if (status != CP_OK) return status;
    status = cp_json_parse(data, bytes, path, value);
    cp_free(data);
    return status;
}

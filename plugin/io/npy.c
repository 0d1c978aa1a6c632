#include "io/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays are written as they lie in memory: a little-endian machine is needed"
#endif

static const struct {
    const char *descr, *name;
    size_t size;
} dtypes[] = {
    [CP_FLOAT32] = {"<f4", "float32", 4},
    [CP_BOOL] = {"|b1", "bool", 1},
    [CP_INT32] = {"<i4", "int32", 4},
    [CP_UINT8] = {"|u1", "uint8", 1},
};
#define N_DTYPES (sizeof dtypes / sizeof dtypes[0])

size_t cp_dtype_size(cp_dtype dtype) { return dtypes[dtype].size; }
const char *cp_dtype_name(cp_dtype dtype) { return dtypes[dtype].name; }

bool cp_array_bytes(const cp_array_type *type, size_t *bytes)
{
    size_t product = cp_dtype_size(type->dtype);
    for (int i = 0; i < type->rank; i++)
        if (!cp_mul(product, type->shape[i], &product)) return false;
    *bytes = product;
    return product <= PTRDIFF_MAX;
}

bool cp_array_type_equal(const cp_array_type *a, const cp_array_type *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i]) return false;
    return true;
}

/* "(64, 32, 32)", "(5,)" or "()", as Python writes a tuple. */
static size_t shape_text(const cp_array_type *type, char *text, size_t bytes)
{
    size_t at = (size_t)snprintf(text, bytes, "(");
    for (int i = 0; i < type->rank; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%s%zu", i ? ", " : "", type->shape[i]);
    at += (size_t)snprintf(text + at, bytes - at, type->rank == 1 ? ",)" : ")");
    return at;
}

const char *cp_array_type_text(const cp_array_type *type, char text[CP_ARRAY_TYPE_TEXT])
{
    size_t at = (size_t)snprintf(text, CP_ARRAY_TYPE_TEXT, "%s ", cp_dtype_name(type->dtype));
    shape_text(type, text + at, CP_ARRAY_TYPE_TEXT - at);
    return text;
}

cp_array_type cp_array_chw(cp_dtype dtype, size_t c, size_t h, size_t w)
{
    return (cp_array_type){dtype, 3, {c, h, w}};
}

void cp_npy_header_write(const cp_array_type *type, unsigned char header[256], size_t *bytes)
{
    /* 8 dimensions of 20 digits fill less than 256 bytes. */
    char text[256], shape[CP_ARRAY_TYPE_TEXT];
    shape_text(type, shape, sizeof shape);
    size_t n = (size_t)snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                                dtypes[type->dtype].descr, shape);
    size_t total = (10 + n + 1 + 63) / 64 * 64;
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = (unsigned char)((total - 10) & 255);
    header[9] = (unsigned char)((total - 10) >> 8);
    memcpy(header + 10, text, n);
    memset(header + 10 + n, ' ', total - 10 - n - 1);
    header[total - 1] = '\n';
    *bytes = total;
}

/* The header is a Python dictionary literal; this reads the subset that NumPy writes, in any order and spacing. */
struct scan {
    const char *at, *end;
};

static void skip_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static bool take(struct scan *s, char c)
{
    skip_blanks(s);
    if (s->at >= s->end || *s->at != c) return false;
    s->at++;
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    skip_blanks(s);
    size_t n = strlen(word);
    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0) return false;
    s->at += n;
    return true;
}

static bool take_string(struct scan *s, char *out, size_t bytes)
{
    char quote = '\'';
    if (!take(s, '\'')) {
        if (!take(s, '"')) return false;
        quote = '"';
    }
    size_t n = 0;
    while (s->at < s->end && *s->at != quote) {
        if (*s->at == '\\' || (unsigned char)*s->at < ' ' || n + 1 >= bytes) return false;
        out[n++] = *s->at++;
    }
    out[n] = 0;
    return take(s, quote);
}

static bool take_size(struct scan *s, size_t *value)
{
    skip_blanks(s);
    const char *start = s->at;
    size_t v = 0;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        size_t digit = (size_t)(*s->at - '0');
        if (__builtin_mul_overflow(v, (size_t)10, &v) || __builtin_add_overflow(v, digit, &v)) return false;
        s->at++;
    }
    if (s->at == start) return false;
    if (s->at < s->end && *s->at == 'L') s->at++; /* NumPy under Python 2 */
    *value = v;
    return true;
}

static bool take_shape(struct scan *s, cp_array_type *type)
{
    if (!take(s, '(')) return false;
    type->rank = 0;
    while (!take(s, ')')) {
        if (type->rank == CP_NPY_MAX_RANK || !take_size(s, &type->shape[type->rank])) return false;
        type->rank++;
        if (take(s, ',')) continue;
        return type->rank > 1 && take(s, ')'); /* (5) is no tuple */
    }
    return true;
}

static cp_status parse_text(struct scan s, const char *name, cp_array_type *type)
{
    char key[32], descr[32] = "";
    bool have_descr = false, have_order = false, have_shape = false;
    if (!take(&s, '{')) return cp_fail(CP_EINPUT, "%s: array header: no dictionary", name);
    while (!take(&s, '}')) {
        if (!take_string(&s, key, sizeof key) || !take(&s, ':'))
            return cp_fail(CP_EINPUT, "%s: array header: a key in quotes and a colon are needed", name);
        if (strcmp(key, "descr") == 0 && !have_descr) {
            if (!take_string(&s, descr, sizeof descr))
                return cp_fail(CP_EINPUT, "%s: array header: 'descr' is no plain type such as '<f4'", name);
            have_descr = true;
        } else if (strcmp(key, "fortran_order") == 0 && !have_order) {
            if (take_word(&s, "True"))
                return cp_fail(CP_EINPUT, "%s: array header: fortran_order is True, only C order is read", name);
            if (!take_word(&s, "False"))
                return cp_fail(CP_EINPUT, "%s: array header: fortran_order is neither True nor False", name);
            have_order = true;
        } else if (strcmp(key, "shape") == 0 && !have_shape) {
            if (!take_shape(&s, type))
                return cp_fail(CP_EINPUT, "%s: array header: 'shape' is no tuple of at most %d sizes", name,
                               CP_NPY_MAX_RANK);
            have_shape = true;
        } else {
            return cp_fail(CP_EINPUT, "%s: array header: key '%s' is unknown or there twice", name, key);
        }
        if (take(&s, ',')) continue;
        if (take(&s, '}')) break;
        return cp_fail(CP_EINPUT, "%s: array header: damaged after '%s'", name, key);
    }
    skip_blanks(&s);
    if (s.at != s.end) return cp_fail(CP_EINPUT, "%s: array header: text after the dictionary", name);
    if (!have_descr || !have_order || !have_shape)
        return cp_fail(CP_EINPUT, "%s: array header: '%s' is missing", name,
                       !have_descr ? "descr" : !have_order ? "fortran_order" : "shape");
    for (size_t i = 0; i < N_DTYPES; i++)
        if (strcmp(descr, dtypes[i].descr) == 0) {
            type->dtype = (cp_dtype)i;
            return CP_OK;
        }
    return cp_fail(CP_EINPUT, "%s: array type '%s' is not supported; '<f4', '|b1', '<i4' and '|u1' are", name, descr);
}

cp_status cp_npy_header_parse(const unsigned char *data, size_t bytes, const char *name, cp_array_type *type,
                              size_t *header_bytes)
{
    *type = (cp_array_type){0};
    *header_bytes = 0;
    if (bytes < 10) return cp_fail(CP_EINPUT, "%s: %zu bytes are too few for an array header", name, bytes);
    if (memcmp(data, "\x93NUMPY", 6) != 0) return cp_fail(CP_EINPUT, "%s: is no NumPy array (wrong first bytes)", name);
    size_t prefix, length;
    if (data[6] == 1 && data[7] == 0) {
        prefix = 10;
        length = data[8] | (size_t)data[9] << 8;
    } else if (data[6] == 2 && data[7] == 0 && bytes >= 12) {
        prefix = 12;
        length = data[8] | (size_t)data[9] << 8 | (size_t)data[10] << 16 | (size_t)data[11] << 24;
    } else {
        return cp_fail(CP_EINPUT, "%s: NumPy format version %d.%d, 1.0 and 2.0 are read", name, data[6], data[7]);
    }
    if (length > CP_NPY_MAX_HEADER - prefix)
        return cp_fail(CP_EINPUT, "%s: array header of %zu bytes, at most %zu are allowed", name, length,
                       CP_NPY_MAX_HEADER - prefix);
    if (length > bytes - prefix)
        return cp_fail(CP_EINPUT, "%s: array header of %zu bytes, but only %zu are there", name, length,
                       bytes - prefix);
    const char *text = (const char *)data + prefix;
    cp_status status = parse_text((struct scan){text, text + length}, name, type);
    if (status != CP_OK) return status;
    size_t array_bytes;
    if (!cp_array_bytes(type, &array_bytes)) {
        char found[CP_ARRAY_TYPE_TEXT];
        return cp_fail(CP_EINPUT, "%s: array of %s does not fit in memory", name, cp_array_type_text(type, found));
    }
    *header_bytes = prefix + length;
    return CP_OK;
}

cp_status cp_npy_check_bools(const unsigned char *values, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] > 1)
            return cp_fail(CP_EINPUT, "%s: element %zu is %d, a bool is 0 or 1", name, i, values[i]);
    return CP_OK;
}

cp_status cp_npy_write(const char *path, const cp_array_type *type, const void *data)
{
    unsigned char header[256];
    size_t header_bytes, bytes;
    if (!cp_array_bytes(type, &bytes)) return cp_fail(CP_EINTERNAL, "%s: the array's size overflows", path);
    cp_npy_header_write(type, header, &header_bytes);
    cp_file *file;
    cp_status status = cp_file_begin(path, &file);
    if (status != CP_OK) return status;
    status = cp_file_write(file, header, header_bytes);
    if (status == CP_OK) status = cp_file_write(file, data, bytes);
    if (status == CP_OK) return cp_file_commit(&file);
    cp_file_abort(&file);
    return status;
}

cp_status cp_npy_read(const char *path, const cp_array_type *expected, cp_array_type *type, void **data)
{
    FILE *file;
    uint64_t file_bytes;
    unsigned char header[CP_NPY_MAX_HEADER];
    char found[CP_ARRAY_TYPE_TEXT], wanted[CP_ARRAY_TYPE_TEXT];
    size_t header_bytes, bytes = 0;
    void *memory = NULL;
    *data = NULL;
    cp_status status = cp_file_open(path, "array", (uint64_t)1 << 40, &file, &file_bytes);
    if (status != CP_OK) return status;
    size_t got = fread(header, 1, sizeof header, file);
    status = cp_npy_header_parse(header, got, path, type, &header_bytes);
    if (status != CP_OK) goto done;
    if (expected && !cp_array_type_equal(expected, type)) {
        status = cp_fail(CP_EINPUT, "%s: the array is %s, needed is %s", path, cp_array_type_text(type, found),
                         cp_array_type_text(expected, wanted));
        goto done;
    }
    if (!cp_array_bytes(type, &bytes) || file_bytes - header_bytes != bytes) {
        status = cp_fail(CP_EINPUT, "%s: %" PRIu64 " bytes of data, %s needs %zu", path, file_bytes - header_bytes,
                         cp_array_type_text(type, found), bytes);
        goto done;
    }
    if (!(memory = cp_alloc(bytes, 1, path))) {
        status = CP_ERESOURCE;
        goto done;
    }
    if (fseeko(file, (off_t)header_bytes, SEEK_SET) != 0 || fread(memory, 1, bytes, file) != bytes) {
        status = cp_fail(CP_ERESOURCE, "%s: cannot read all of its %zu bytes", path, bytes);
        goto done;
    }
    if (type->dtype == CP_BOOL && (status = cp_npy_check_bools(memory, bytes, path)) != CP_OK) goto done;
    *data = memory;
    memory = NULL;
done:
    cp_free(memory);
    fclose(file);
    return status;
}

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

#include "io/error.h"
#include "io/file.h"
#include "io/npz.h"

struct member {
    const char *name; /* libzip's, in the archive */
    char *array_name; /* without ".npy", or NULL */
    zip_uint64_t index;
    uint64_t bytes; /* unpacked */
};

struct cp_npz {
    char *path;
    zip_t *archive;
    struct member *members; /* arrays first, both kinds in the order of the archive */
    size_t count, arrays;
};

static cp_status fail_zip(const char *path, const char *name, zip_error_t *error)
{
    int code = zip_error_code_zip(error);
    /* libzip calls an archive none where it had no memory to read it. */
    bool no_memory = code == ZIP_ER_MEMORY || errno == ENOMEM ||
                     (code == ZIP_ER_ZLIB && zip_error_code_system(error) == Z_MEM_ERROR);
    cp_status status = no_memory ? CP_ERESOURCE : CP_EINPUT;
    if (no_memory) return cp_fail(status, "%s: %s%sout of memory", path, name ? name : "", name ? ": " : "");
    return cp_fail(status, "%s: %s%szip archive is damaged or none: %s", path, name ? name : "", name ? ": " : "",
                   zip_error_strerror(error));
}

/* Printable and no path, so that it can stand in a message. */
static bool name_is_plain(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > 255) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '/' || name[i] == '\\') return false;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static cp_status check_twice(const cp_npz *npz)
{
    const char **names = cp_alloc(npz->count, sizeof *names, npz->path);
    if (!names) return CP_ERESOURCE;
    for (size_t i = 0; i < npz->count; i++) names[i] = npz->members[i].name;
    qsort(names, npz->count, sizeof *names, compare_names);
    cp_status status = CP_OK;
    for (size_t i = 1; i < npz->count && status == CP_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = cp_fail(CP_EINPUT, "%s: member '%s' is there twice", npz->path, names[i]);
    cp_free(names);
    return status;
}

static cp_status read_member(cp_npz *npz, zip_uint64_t index, struct member *m)
{
    zip_stat_t st;
    if (zip_stat_index(npz->archive, index, ZIP_FL_ENC_RAW, &st) != 0)
        return fail_zip(npz->path, NULL, zip_get_error(npz->archive));
    zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD;
    if ((st.valid & needed) != needed || !name_is_plain(st.name))
        return cp_fail(CP_EINPUT, "%s: member %" PRIu64 " has no plain name", npz->path, (uint64_t)index);
    if ((st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE)
        return cp_fail(CP_EINPUT, "%s: member '%s' is encrypted", npz->path, st.name);
    if (st.comp_method != ZIP_CM_STORE && st.comp_method != ZIP_CM_DEFLATE)
        return cp_fail(CP_EINPUT, "%s: member '%s' has compression method %d, stored (0) and deflated (8) are read",
                       npz->path, st.name, st.comp_method);
    *m = (struct member){.name = st.name, .index = index, .bytes = st.size};
    size_t n = strlen(st.name);
    if (n > 4 && strcmp(st.name + n - 4, ".npy") == 0 && !(m->array_name = strndup(st.name, n - 4)))
        return cp_fail(CP_ERESOURCE, "%s: out of memory", npz->path);
    return CP_OK;
}

static cp_status list_members(cp_npz *npz)
{
    zip_int64_t count = zip_get_num_entries(npz->archive, 0);
    if (count < 0 || count > CP_NPZ_MAX_MEMBERS)
        return cp_fail(CP_EINPUT, "%s: %" PRId64 " members, at most %d are allowed", npz->path, (int64_t)count,
                       CP_NPZ_MAX_MEMBERS);
    npz->members = cp_alloc((size_t)count, sizeof *npz->members, npz->path);
    if (!npz->members) return CP_ERESOURCE;
    cp_status status = CP_OK;
    for (zip_int64_t i = 0; i < count; i++) {
        status = read_member(npz, (zip_uint64_t)i, &npz->members[npz->count]);
        if (status != CP_OK) return status;
        npz->count++;
    }
    /* Arrays to the front, order kept. */
    struct member *sorted = cp_alloc(npz->count, sizeof *sorted, npz->path);
    if (!sorted) return CP_ERESOURCE;
    for (size_t i = 0; i < npz->count; i++)
        if (npz->members[i].array_name) sorted[npz->arrays++] = npz->members[i];
    size_t at = npz->arrays;
    for (size_t i = 0; i < npz->count; i++)
        if (!npz->members[i].array_name) sorted[at++] = npz->members[i];
    cp_free(npz->members);
    npz->members = sorted;
    return check_twice(npz);
}

cp_status cp_npz_open(const char *path, cp_npz **out)
{
    *out = NULL;
    FILE *file;
    uint64_t bytes;
    errno = 0;
    cp_status status = cp_file_open(path, "npz file", CP_NPZ_MAX_BYTES, &file, &bytes);
    if (status != CP_OK) return status;

    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = NULL;
    cp_npz *npz = calloc(1, sizeof *npz);
    if (!npz || !(npz->path = strdup(path))) {
        status = cp_fail(CP_ERESOURCE, "%s: out of memory", path);
        fclose(file);
        goto done;
    }
    if (!(source = zip_source_filep_create(file, 0, -1, &error))) {
        status = fail_zip(path, NULL, &error);
        fclose(file);
        goto done;
    }
    if (!(npz->archive = zip_open_from_source(source, ZIP_RDONLY, &error))) {
        status = fail_zip(path, NULL, &error);
        goto done;
    }
    source = NULL; /* the archive's now, and the file with it */
    status = list_members(npz);
    if (status != CP_OK) goto done;
    *out = npz;
    npz = NULL;
done:
    zip_source_free(source);
    zip_error_fini(&error);
    cp_npz_close(npz);
    return status;
}

void cp_npz_close(cp_npz *npz)
{
    if (!npz) return;
    for (size_t i = 0; i < npz->count; i++) free(npz->members[i].array_name);
    cp_free(npz->members);
    if (npz->archive) zip_discard(npz->archive);
    free(npz->path);
    free(npz);
}

size_t cp_npz_count(const cp_npz *npz) { return npz->arrays; }
const char *cp_npz_name(const cp_npz *npz, size_t index) { return npz->members[index].array_name; }

bool cp_npz_find(const cp_npz *npz, const char *name, size_t *index)
{
    for (size_t i = 0; i < npz->arrays; i++)
        if (strcmp(npz->members[i].array_name, name) == 0) {
            *index = i;
            return true;
        }
    return false;
}

/* Up to `bytes` from an open member; fewer only at its end. -1 on damage. */
static zip_int64_t read_up_to(zip_file_t *file, void *data, size_t bytes)
{
    size_t got = 0;
    while (got < bytes) {
        zip_int64_t n = zip_fread(file, (char *)data + got, bytes - got);
        if (n < 0) return -1;
        if (n == 0) break;
        got += (size_t)n;
    }
    return (zip_int64_t)got;
}

/* All of a member's bytes, no fewer and no more; asking for one more makes libzip compare the checksum. */
static cp_status read_rest(const cp_npz *npz, const struct member *m, zip_file_t *file, void *data, size_t bytes)
{
    char extra;
    zip_int64_t got = read_up_to(file, data, bytes);
    if (got >= 0 && (size_t)got < bytes)
        return cp_fail(CP_EINPUT, "%s: %s: ends %zu bytes too early", npz->path, m->name, bytes - (size_t)got);
    zip_int64_t more = got < 0 ? -1 : zip_fread(file, &extra, 1);
    if (more < 0) return fail_zip(npz->path, m->name, zip_file_get_error(file));
    if (more > 0)
        return cp_fail(CP_EINPUT, "%s: %s: unpacks to more than the %" PRIu64 " bytes it declares", npz->path, m->name,
                       m->bytes);
    return CP_OK;
}

/* Reads and checks a member's array header; `start` keeps the first *got bytes of the member. */
static cp_status read_header(const cp_npz *npz, const struct member *m, zip_file_t *file, cp_array_type *type,
                             unsigned char start[CP_NPY_MAX_HEADER], size_t *header_bytes, size_t *got)
{
    zip_int64_t n = read_up_to(file, start, CP_NPY_MAX_HEADER);
    if (n < 0) return fail_zip(npz->path, m->name, zip_file_get_error(file));
    char name[600];
    snprintf(name, sizeof name, "%.330s: %s", npz->path, m->name);
    cp_status status = cp_npy_header_parse(start, (size_t)n, name, type, header_bytes);
    if (status != CP_OK) return status;
    size_t bytes;
    cp_array_bytes(type, &bytes); /* cannot overflow: the parser has checked */
    if (m->bytes < *header_bytes || m->bytes - *header_bytes != bytes) {
        char found[CP_ARRAY_TYPE_TEXT];
        return cp_fail(CP_EINPUT, "%s: %" PRId64 " bytes of data, %s needs %zu", name,
                       (int64_t)(m->bytes - *header_bytes), cp_array_type_text(type, found), bytes);
    }
    *got = (size_t)n;
    return CP_OK;
}

cp_status cp_npz_type(cp_npz *npz, size_t index, cp_array_type *type)
{
    unsigned char start[CP_NPY_MAX_HEADER];
    size_t header_bytes, got;
    const struct member *m = &npz->members[index];
    zip_file_t *file = zip_fopen_index(npz->archive, m->index, 0);
    if (!file) return fail_zip(npz->path, m->name, zip_get_error(npz->archive));
    cp_status status = read_header(npz, m, file, type, start, &header_bytes, &got);
    zip_fclose(file);
    return status;
}

cp_status cp_npz_read(cp_npz *npz, size_t index, const cp_array_type *expected, void *data)
{
    unsigned char start[CP_NPY_MAX_HEADER];
    char found[CP_ARRAY_TYPE_TEXT], wanted[CP_ARRAY_TYPE_TEXT];
    size_t header_bytes, got, bytes, ready;
    cp_array_type type;
    const struct member *m = &npz->members[index];
    zip_file_t *file = zip_fopen_index(npz->archive, m->index, 0);
    if (!file) return fail_zip(npz->path, m->name, zip_get_error(npz->archive));
    cp_status status = read_header(npz, m, file, &type, start, &header_bytes, &got);
    if (status != CP_OK) goto done;
    if (!cp_array_type_equal(&type, expected)) {
        status = cp_fail(CP_EINPUT, "%s: array %s is %s, needed is %s", npz->path, m->array_name,
                         cp_array_type_text(&type, found), cp_array_type_text(expected, wanted));
        goto done;
    }
    cp_array_bytes(&type, &bytes);
    ready = got - header_bytes;
    if (ready > bytes) { /* the member is longer than it declares */
        status = cp_fail(CP_EINPUT, "%s: %s: %zu bytes after the array", npz->path, m->name, ready - bytes);
        goto done;
    }
    memcpy(data, start + header_bytes, ready);
    status = read_rest(npz, m, file, (char *)data + ready, bytes - ready);
    if (status == CP_OK && type.dtype == CP_BOOL && cp_npy_check_bools(data, bytes, m->array_name) != CP_OK)
        status = cp_fail_prefix(CP_EINPUT, "%s", npz->path);
done:
    zip_fclose(file);
    return status;
}

static const struct member *find_bytes(const cp_npz *npz, const char *name)
{
    for (size_t i = npz->arrays; i < npz->count; i++)
        if (strcmp(npz->members[i].name, name) == 0) return &npz->members[i];
    return NULL;
}

bool cp_npz_has_bytes(const cp_npz *npz, const char *name) { return find_bytes(npz, name) != NULL; }

cp_status cp_npz_read_bytes(cp_npz *npz, const char *name, size_t max_bytes, unsigned char **data, size_t *bytes)
{
    *data = NULL;
    const struct member *m = find_bytes(npz, name);
    if (!m) return cp_fail(CP_EINPUT, "%s: has no member '%s'", npz->path, name);
    if (m->bytes > max_bytes)
        return cp_fail(CP_EINPUT, "%s: %s has %" PRIu64 " bytes, at most %zu are allowed", npz->path, name, m->bytes,
                       max_bytes);
    unsigned char *memory = cp_alloc((size_t)m->bytes + 1, 1, npz->path);
    if (!memory) return CP_ERESOURCE;
    cp_status status;
    zip_file_t *file = zip_fopen_index(npz->archive, m->index, 0);
    if (file) {
        status = read_rest(npz, m, file, memory, (size_t)m->bytes);
        zip_fclose(file);
    } else {
        status = fail_zip(npz->path, name, zip_get_error(npz->archive));
    }
    if (status != CP_OK) {
        cp_free(memory);
        return status;
    }
    *data = memory;
    *bytes = (size_t)m->bytes;
    return CP_OK;
}

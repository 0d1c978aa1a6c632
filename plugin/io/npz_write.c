#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "io/atomic.h"
#include "io/error.h"
#include "io/npz.h"

/* One member: an array (header of its own, data borrowed) or plain bytes (a copy in `owned`). */
struct member {
    char *name; /* in the archive, with ".npy" */
    bool is_array;
    unsigned char header[256];
    size_t header_bytes, bytes;
    const void *data;
    void *owned;
};

struct cp_npz_writer {
    char *path;
    bool deflate;
    cp_file *file;
    struct member *members;
    size_t count, room;
};

static void writer_free(cp_npz_writer *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->count; i++) {
        free(w->members[i].name);
        cp_free(w->members[i].owned);
    }
    free(w->members);
    cp_file_abort(&w->file);
    free(w->path);
    free(w);
}

cp_status cp_npz_create(const char *path, bool deflate, cp_npz_writer **writer)
{
    *writer = NULL;
    cp_npz_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->path = strdup(path))) {
        free(w);
        return cp_fail(CP_ERESOURCE, "%s: out of memory", path);
    }
    w->deflate = deflate;
    cp_status status = cp_file_begin(path, &w->file);
    if (status != CP_OK) {
        writer_free(w);
        return status;
    }
    *writer = w;
    return CP_OK;
}

static cp_status add(cp_npz_writer *w, const char *name, const char *suffix, struct member *m)
{
    if (!name[0] || strlen(name) > 250 || strpbrk(name, "/\\"))
        return cp_fail(CP_EINTERNAL, "%s: '%s' cannot be the name of a member", w->path, name);
    if (w->count == CP_NPZ_MAX_MEMBERS)
        return cp_fail(CP_ERESOURCE, "%s: more than %d members", w->path, CP_NPZ_MAX_MEMBERS);
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 32;
        struct member *members = realloc(w->members, room * sizeof *members);
        if (!members) return cp_fail(CP_ERESOURCE, "%s: out of memory", w->path);
        w->members = members;
        w->room = room;
    }
    size_t n = strlen(name) + strlen(suffix) + 1;
    if (!(m->name = malloc(n))) return cp_fail(CP_ERESOURCE, "%s: out of memory", w->path);
    snprintf(m->name, n, "%s%s", name, suffix);
    w->members[w->count++] = *m;
    return CP_OK;
}

cp_status cp_npz_add(cp_npz_writer *writer, const char *name, const cp_array_type *type, const void *data)
{
    struct member m = {.is_array = true, .data = data};
    if (!cp_array_bytes(type, &m.bytes)) return cp_fail(CP_EINTERNAL, "%s: %s: size overflows", writer->path, name);
    cp_npy_header_write(type, m.header, &m.header_bytes);
    return add(writer, name, ".npy", &m);
}

cp_status cp_npz_add_bytes(cp_npz_writer *writer, const char *name, const void *data, size_t bytes)
{
    struct member m = {.bytes = bytes};
    if (!(m.owned = cp_alloc(bytes, 1, writer->path))) return CP_ERESOURCE;
    if (bytes) memcpy(m.owned, data, bytes);
    m.data = m.owned;
    cp_status status = add(writer, name, "", &m);
    if (status != CP_OK) cp_free(m.owned);
    return status;
}

/* libzip's way of writing to a file of ours: it would otherwise make a temporary of its own, which no signal handler
 * knows. */
struct sink {
    cp_file *file;
    cp_status status;
    zip_error_t error;
};

static zip_int64_t sink_call(void *user, void *data, zip_uint64_t bytes, zip_source_cmd_t command)
{
    struct sink *sink = user;
    FILE *stream = cp_file_stream(sink->file);
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return ZIP_SOURCE_SUPPORTS_WRITABLE;
    case ZIP_SOURCE_STAT: /* nothing is there yet: libzip starts a new archive */
        zip_error_set(&sink->error, ZIP_ER_READ, ENOENT);
        return -1;
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&sink->error, data, bytes);
    case ZIP_SOURCE_BEGIN_WRITE:
    case ZIP_SOURCE_COMMIT_WRITE:
    case ZIP_SOURCE_ROLLBACK_WRITE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_WRITE:
        sink->status = cp_file_write(sink->file, data, bytes);
        if (sink->status == CP_OK) return (zip_int64_t)bytes;
        zip_error_set(&sink->error, ZIP_ER_WRITE, errno);
        return -1;
    case ZIP_SOURCE_TELL_WRITE:
        return ftello(stream);
    case ZIP_SOURCE_SEEK_WRITE: {
        const zip_source_args_seek_t *seek = ZIP_SOURCE_GET_ARGS(zip_source_args_seek_t, data, bytes, &sink->error);
        if (seek && fseeko(stream, seek->offset, seek->whence) == 0) return 0;
        if (seek) {
            sink->status = cp_file_write(sink->file, "", 0);
            zip_error_set(&sink->error, ZIP_ER_SEEK, errno);
        }
        return -1;
    }
    default: /* no reading, no removing */
        zip_error_set(&sink->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->is_array != y->is_array) return x->is_array ? -1 : 1;
    return strcmp(x->name, y->name);
}

static cp_status fail_zip(cp_npz_writer *w, const char *name, zip_t *archive)
{
    /* libzip forgets to say so of some failed allocations; names and sizes have been checked, so nothing else is left. */
    int code = zip_error_code_zip(zip_get_error(archive));
    if (code == ZIP_ER_OK || code == ZIP_ER_MEMORY) return cp_fail(CP_ERESOURCE, "%s: %s: out of memory", w->path, name);
    return cp_fail(CP_EINTERNAL, "%s: %s: %s", w->path, name, zip_strerror(archive));
}

static cp_status put(zip_t *archive, cp_npz_writer *w, const struct member *m)
{
    zip_buffer_fragment_t parts[2] = {{(zip_uint8_t *)m->header, m->header_bytes}, {(zip_uint8_t *)m->data, m->bytes}};
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t *source = m->is_array && m->bytes
                               ? zip_source_buffer_fragment_create(parts, 2, 0, &error)
                               : zip_source_buffer_create(m->is_array ? (const void *)m->header : m->data,
                                                          m->is_array ? m->header_bytes : m->bytes, 0, &error);
    if (!source) return cp_fail(CP_ERESOURCE, "%s: %s: %s", w->path, m->name, zip_error_strerror(&error));
    zip_int64_t index = zip_file_add(archive, m->name, source, ZIP_FL_ENC_UTF_8);
    if (index < 0) {
        zip_source_free(source);
        return fail_zip(w, m->name, archive);
    }
    /* 1980-01-01 00:00, the zero of the format, so that the same arrays give the same bytes on any day and in any
     * zone. Level 4: a path is a tenth larger than with 6, and written four times as fast. */
    if (zip_file_set_dostime(archive, (zip_uint64_t)index, 0, 0x21, 0) != 0 ||
        zip_set_file_compression(archive, (zip_uint64_t)index, w->deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 4) != 0)
        return fail_zip(w, m->name, archive);
    return CP_OK;
}

cp_status cp_npz_commit(cp_npz_writer **inout)
{
    cp_npz_writer *w = *inout;
    *inout = NULL;
    cp_status status = CP_OK;
    struct sink sink = {.file = w->file};
    zip_error_init(&sink.error);
    zip_error_t error;
    zip_error_init(&error);
    zip_t *archive = NULL;
    zip_source_t *target = NULL;

    if (w->count == 0) {
        status = cp_fail(CP_EINTERNAL, "%s: an archive without members", w->path);
        goto done;
    }
    qsort(w->members, w->count, sizeof *w->members, compare_members);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(w->members[i - 1].name, w->members[i].name) == 0) {
            status = cp_fail(CP_EINTERNAL, "%s: member '%s' was added twice", w->path, w->members[i].name);
            goto done;
        }
    target = zip_source_function_create(sink_call, &sink, &error);
    if (!target || !(archive = zip_open_from_source(target, ZIP_CREATE | ZIP_TRUNCATE, &error))) {
        status = cp_fail(CP_ERESOURCE, "%s: libzip: %s", w->path, zip_error_strerror(&error));
        goto done;
    }
    target = NULL; /* the archive's now */
    for (size_t i = 0; i < w->count; i++)
        if ((status = put(archive, w, &w->members[i])) != CP_OK) goto done;
    if (zip_close(archive) != 0) {
        status = sink.status != CP_OK ? sink.status
                                      : cp_fail(CP_ERESOURCE, "%s: libzip: %s", w->path, zip_strerror(archive));
        goto done;
    }
    archive = NULL;
    status = cp_file_commit(&w->file);
done:
    if (archive) zip_discard(archive);
    zip_source_free(target);
    zip_error_fini(&error);
    zip_error_fini(&sink.error);
    writer_free(w);
    return status;
}

void cp_npz_discard(cp_npz_writer **writer)
{
    writer_free(*writer);
    *writer = NULL;
}

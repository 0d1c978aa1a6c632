#include "io/ledger.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"

#define MAX_LEDGER_BYTES ((uint64_t)16 << 30)

typedef struct {
    size_t index;
    json_t *record;
} line;

struct cp_ledger {
    char *path;
    FILE *file; /* appended to; NULL while only read */
    json_t *manifest;
    line *lines;
    size_t n, room;
};

static int by_index(const void *a, const void *b)
{
    const line *p = a, *q = b;
    return p->index < q->index ? -1 : p->index > q->index;
}

static const line *find(const cp_ledger *ledger, size_t index)
{
    const line key = {.index = index};
    return ledger->n ? bsearch(&key, ledger->lines, ledger->n, sizeof key, by_index) : NULL;
}

/* Keeps the order; most lines come with ascending indices. */
static cp_status keep(cp_ledger *ledger, size_t index, json_t *record)
{
    if (ledger->n == ledger->room) {
        size_t room = ledger->room ? 2 * ledger->room : 256;
        line *grown = realloc(ledger->lines, room * sizeof *grown);
        if (!grown) {
            json_decref(record);
            return cp_fail(CP_ERESOURCE, "%s: out of memory for %zu lines", ledger->path, room);
        }
        ledger->lines = grown;
        ledger->room = room;
    }
    size_t at = ledger->n;
    while (at && ledger->lines[at - 1].index > index)
        at--;
    memmove(ledger->lines + at + 1, ledger->lines + at, (ledger->n - at) * sizeof *ledger->lines);
    ledger->lines[at] = (line){index, record};
    ledger->n++;
    return CP_OK;
}

/* ---------------------------------------------------------------- reading */

/* The first member that differs, "shard" aside where the caller says so. */
static cp_status compare_manifests(const char *path, const json_t *found, const json_t *wanted, bool shards)
{
    const char *key;
    json_t *value;
    for (int side = 0; side < 2; side++) {
        json_t *one = (json_t *)(side ? found : wanted), *other = (json_t *)(side ? wanted : found);
        json_object_foreach(one, key, value) {
            json_t *there = json_object_get(other, key);
            if ((shards && !strcmp(key, "shard")) || (there && json_equal(value, there)))
                continue;
            char *a = json_dumps(side ? value : there ? there : json_null(), JSON_ENCODE_ANY);
            char *b = json_dumps(side ? there ? there : json_null() : value, JSON_ENCODE_ANY);
            cp_fail(CP_EINPUT, "%s: its lines are of another run: \"%s\" is %.100s there and %.100s here", path, key,
                    a ? a : "?", b ? b : "?");
            free(a);
            free(b);
            return CP_EINPUT;
        }
    }
    return CP_OK;
}

static cp_status read_line(cp_ledger *ledger, const char *text, size_t length, size_t number)
{
    json_t *value;
    char where[4200];
    json_int_t index;
    snprintf(where, sizeof where, "%.4000s, line %zu", ledger->path, number);
    cp_status status = cp_json_parse(text, length, where, &value);
    if (status)
        return status;
    if (number == 1) {
        if (json_is_object(value)) {
            ledger->manifest = value;
            return CP_OK;
        }
        json_decref(value);
        return cp_fail(CP_EINPUT, "%s: no manifest, which is an object", where);
    }
    status = cp_json_get_integer(value, "index", where, 0, (json_int_t)1 << 40, &index);
    if (!status && find(ledger, (size_t)index))
        status = cp_fail(CP_EINPUT, "%s: index %lld is there already", where, (long long)index);
    if (status) {
        json_decref(value);
        return status;
    }
    return keep(ledger, (size_t)index, value);
}

/* All whole lines; *bytes: where they end. */
static cp_status read_lines(cp_ledger *ledger, size_t *bytes)
{
    unsigned char *data = NULL;
    size_t size = 0, number = 0, at = 0;
    cp_status status = cp_file_read(ledger->path, "results", MAX_LEDGER_BYTES, &data, &size);
    while (!status && at < size) {
        const unsigned char *end = memchr(data + at, '\n', size - at);
        if (!end)
            break;
        status = read_line(ledger, (const char *)data + at, (size_t)(end - data) - at, ++number);
        at = (size_t)(end - data) + 1;
    }
    *bytes = at;
    cp_free(data);
    return status;
}

/* ---------------------------------------------------------------- writing */

static cp_status append(cp_ledger *ledger, const json_t *value)
{
    cp_status status = cp_json_write_stream(value, ledger->file);
    if (!status && fsync(fileno(ledger->file)) && errno != EINVAL)
        status = cp_fail(CP_ERESOURCE, "%s: %s", ledger->path, strerror(errno));
    return status ? cp_fail_prefix(status, "%s", ledger->path) : CP_OK;
}

static cp_status start(const char *path, cp_ledger **ledger)
{
    cp_ledger *l = *ledger = cp_alloc(1, sizeof *l, "results");
    if (!l)
        return CP_ERESOURCE;
    l->path = strdup(path);
    if (l->path)
        return CP_OK;
    cp_ledger_close(l);
    *ledger = NULL;
    return cp_fail(CP_ERESOURCE, "results: out of memory");
}

static cp_status open_file(cp_ledger *ledger, json_t *manifest, bool resume)
{
    size_t bytes = 0;
    cp_status status = CP_OK;
    struct stat there;
    if (resume && !stat(ledger->path, &there) && there.st_size > 0)
        status = read_lines(ledger, &bytes);
    if (!status && ledger->manifest)
        status = compare_manifests(ledger->path, ledger->manifest, manifest, false);
    if (status)
        return status;
    ledger->file = fopen(ledger->path, bytes ? "r+b" : "wb");
    if (!ledger->file)
        return cp_fail(errno == ENOSPC || errno == EMFILE ? CP_ERESOURCE : CP_EINPUT, "%s: %s", ledger->path, strerror(errno));
    if (bytes && (ftruncate(fileno(ledger->file), (off_t)bytes) || fseek(ledger->file, 0, SEEK_END)))
        return cp_fail(CP_ERESOURCE, "%s: %s", ledger->path, strerror(errno));
    return ledger->manifest ? CP_OK : append(ledger, manifest);
}

cp_status cp_ledger_open(const char *path, json_t *manifest, bool resume, cp_ledger **ledger)
{
    *ledger = NULL;
    if (!manifest)
        return cp_fail(CP_ERESOURCE, "%s: out of memory", path);
    cp_status status = start(path, ledger);
    if (!status)
        status = open_file(*ledger, manifest, resume);
    if (!status && !(*ledger)->manifest)
        (*ledger)->manifest = json_incref(manifest);
    json_decref(manifest);
    if (status) {
        cp_ledger_close(*ledger);
        *ledger = NULL;
    }
    return status;
}

void cp_ledger_close(cp_ledger *ledger)
{
    if (!ledger)
        return;
    if (ledger->file)
        fclose(ledger->file);
    for (size_t i = 0; i < ledger->n; i++)
        json_decref(ledger->lines[i].record);
    json_decref(ledger->manifest);
    free(ledger->lines);
    free(ledger->path);
    cp_free(ledger);
}

bool cp_ledger_has(const cp_ledger *ledger, size_t index) { return find(ledger, index) != NULL; }

cp_status cp_ledger_add(cp_ledger *ledger, size_t index, json_t *record)
{
    json_t *whole = json_object();
    int bad = !record || !whole || cp_json_set(whole, "index", json_integer((json_int_t)index)) ||
              json_object_update_missing(whole, record);
    json_decref(record);
    cp_status status = bad ? cp_fail(CP_ERESOURCE, "%s: out of memory", ledger->path) : CP_OK;
    if (!status && find(ledger, index))
        status = cp_fail(CP_EINTERNAL, "%s: image %zu has a line already", ledger->path, index);
    if (!status)
        status = append(ledger, whole);
    if (status) {
        json_decref(whole);
        return status;
    }
    return keep(ledger, index, whole);
}

size_t cp_ledger_count(const cp_ledger *ledger) { return ledger->n; }

const json_t *cp_ledger_at(const cp_ledger *ledger, size_t k) { return ledger->lines[k].record; }

size_t cp_ledger_index(const cp_ledger *ledger, size_t k) { return ledger->lines[k].index; }

/* ---------------------------------------------------------------- merging */

/* The next record in order of the index among ledgers that are each in order; *which: whose. NULL: no more. */
static const line *next_line(cp_ledger *const *ledgers, const size_t *at, int n, int *which)
{
    const line *best = NULL;
    for (int i = 0; i < n; i++) {
        const line *candidate = at[i] < ledgers[i]->n ? &ledgers[i]->lines[at[i]] : NULL;
        if (candidate && (!best || candidate->index < best->index))
            best = candidate, *which = i;
    }
    return best;
}

static cp_status write_merged(cp_ledger *const *ledgers, int n, size_t expected, FILE *to)
{
    size_t next = 0, *at = cp_alloc((size_t)n, sizeof *at, "merge");
    json_t *manifest = json_copy(ledgers[0]->manifest);
    cp_status status = at && manifest ? CP_OK : cp_fail(CP_ERESOURCE, "merge: out of memory");
    int which = 0;
    if (!status) {
        json_object_del(manifest, "shard");
        status = cp_json_write_stream(manifest, to);
    }
    for (const line *l; !status && (l = next_line(ledgers, at, n, &which)); at[which]++, next++) {
        if (l->index < next)
            status = cp_fail(CP_EINPUT, "%s: image %zu is in another shard, too", ledgers[which]->path, l->index);
        else if (l->index > next)
            status = cp_fail(CP_EINPUT, "merge: image %zu is in none of the %d shards; run the shard that it belongs to", next, n);
        else
            status = cp_json_write_stream(l->record, to);
    }
    if (!status && expected && next != expected)
        status = cp_fail(CP_EINPUT, "merge: %zu images in the shards, the list has %zu", next, expected);
    json_decref(manifest);
    cp_free(at);
    return status;
}

cp_status cp_ledger_merge(const char *const *paths, int n, size_t expected, const char *path)
{
    cp_file *file = NULL;
    size_t bytes;
    if (n < 1)
        return cp_fail(CP_EINPUT, "merge: no shard");
    cp_ledger **ledgers = cp_alloc((size_t)n, sizeof *ledgers, "merge");
    cp_status status = ledgers ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < n && !status; i++) {
        status = start(paths[i], &ledgers[i]);
        if (!status)
            status = read_lines(ledgers[i], &bytes);
        if (!status && !ledgers[i]->manifest)
            status = cp_fail(CP_EINPUT, "%s: no manifest", paths[i]);
        if (!status)
            status = compare_manifests(paths[i], ledgers[i]->manifest, ledgers[0]->manifest, true);
    }
    if (!status)
        status = cp_file_begin(path, &file);
    if (!status)
        status = write_merged(ledgers, n, expected, cp_file_stream(file));
    if (!status)
        status = cp_file_commit(&file);
    cp_file_abort(&file);
    for (int i = 0; i < n && ledgers; i++)
        cp_ledger_close(ledgers[i]);
    cp_free(ledgers);
    return status;
}

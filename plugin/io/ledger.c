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

/* Where a record stands in the file: the records themselves stay there, so that a list of any length fits into
 * memory. */
typedef struct {
    size_t index, bytes; /* bytes: with the line's end */
    uint64_t at;
} line;

struct cp_ledger {
    char *path;
    FILE *file;   /* appended to; of a merge only read */
    uint64_t end; /* of the lines */
    json_t *manifest;
    line *lines;
    size_t n, room;
    char *text;   /* of the line read last */
    size_t text_room;
    json_t *record; /* made of it */
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
static cp_status keep(cp_ledger *ledger, const line *one)
{
    if (ledger->n == ledger->room) {
        size_t room = ledger->room ? 2 * ledger->room : 256;
        line *grown = realloc(ledger->lines, room * sizeof *grown);
        if (!grown)
            return cp_fail(CP_ERESOURCE, "%s: out of memory for %zu lines", ledger->path, room);
        ledger->lines = grown;
        ledger->room = room;
    }
    size_t at = ledger->n;
    while (at && ledger->lines[at - 1].index > one->index)
        at--;
    memmove(ledger->lines + at + 1, ledger->lines + at, (ledger->n - at) * sizeof *ledger->lines);
    ledger->lines[at] = *one;
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

static cp_status read_line(cp_ledger *ledger, const char *text, size_t length, size_t number, uint64_t at)
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
    json_decref(value);
    if (!status && find(ledger, (size_t)index))
        status = cp_fail(CP_EINPUT, "%s: index %lld is there already", where, (long long)index);
    const line one = {.index = (size_t)index, .bytes = length + 1, .at = at};
    return status ? status : keep(ledger, &one);
}

/* All whole lines; ledger->end: where they end. */
static cp_status read_lines(cp_ledger *ledger)
{
    FILE *file;
    uint64_t size;
    char *text = NULL;
    size_t room = 0, number = 0;
    cp_status status = cp_file_open(ledger->path, "results", MAX_LEDGER_BYTES, &file, &size);
    if (status)
        return status;
    for (ssize_t n; !status && (n = getline(&text, &room, file)) > 0 && text[n - 1] == '\n'; ledger->end += (uint64_t)n)
        status = read_line(ledger, text, (size_t)n - 1, ++number, ledger->end);
    if (!status && ferror(file))
        status = cp_fail(CP_ERESOURCE, "%s: %s", ledger->path, strerror(errno));
    free(text);
    fclose(file);
    return status;
}

/* The text of one line into ledger->text, with its end. */
static cp_status fetch(cp_ledger *ledger, const line *one)
{
    if (one->bytes > ledger->text_room) {
        char *grown = realloc(ledger->text, one->bytes);
        if (!grown)
            return cp_fail(CP_ERESOURCE, "%s: out of memory for a line of %zu bytes", ledger->path, one->bytes);
        ledger->text = grown;
        ledger->text_room = one->bytes;
    }
    bool read = !fflush(ledger->file) && !fseeko(ledger->file, (off_t)one->at, SEEK_SET) &&
                fread(ledger->text, 1, one->bytes, ledger->file) == one->bytes;
    if (!read || fseeko(ledger->file, 0, SEEK_END))
        return cp_fail(CP_ERESOURCE, "%s: the line of image %zu cannot be read again", ledger->path, one->index);
    return CP_OK;
}

/* ---------------------------------------------------------------- writing */

static cp_status append(cp_ledger *ledger, const json_t *value)
{
    cp_status status = cp_json_write_stream(value, ledger->file);
    if (!status && fsync(fileno(ledger->file)) && errno != EINVAL)
        status = cp_fail(CP_ERESOURCE, "%s: %s", ledger->path, strerror(errno));
    off_t end = status ? -1 : ftello(ledger->file);
    if (end >= 0)
        ledger->end = (uint64_t)end;
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
    cp_status status = CP_OK;
    struct stat there;
    if (resume && !stat(ledger->path, &there) && there.st_size > 0)
        status = read_lines(ledger);
    if (!status && ledger->manifest)
        status = compare_manifests(ledger->path, ledger->manifest, manifest, false);
    if (status)
        return status;
    ledger->file = fopen(ledger->path, ledger->end ? "r+b" : "w+b");
    if (!ledger->file)
        return cp_fail(cp_open_status(errno), "%s: %s", ledger->path, strerror(errno));
    bool torn = ledger->end && (uint64_t)there.st_size > ledger->end; /* a finished file keeps its time */
    if ((torn && ftruncate(fileno(ledger->file), (off_t)ledger->end)) || fseeko(ledger->file, 0, SEEK_END))
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
    json_decref(ledger->record);
    json_decref(ledger->manifest);
    free(ledger->text);
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
    line one = {.index = index, .at = ledger->end};
    if (!status)
        status = append(ledger, whole);
    json_decref(whole);
    one.bytes = (size_t)(ledger->end - one.at);
    return status ? status : keep(ledger, &one);
}

size_t cp_ledger_count(const cp_ledger *ledger) { return ledger->n; }

cp_status cp_ledger_read(cp_ledger *ledger, size_t k, const json_t **record)
{
    *record = NULL;
    json_decref(ledger->record);
    ledger->record = NULL;
    cp_status status = fetch(ledger, &ledger->lines[k]);
    if (!status)
        status = cp_json_parse(ledger->text, ledger->lines[k].bytes - 1, ledger->path, &ledger->record);
    *record = ledger->record;
    return status;
}

const json_t *cp_ledger_at(cp_ledger *ledger, size_t k)
{
    const json_t *record;
    return cp_ledger_read(ledger, k, &record) ? NULL : record;
}

const json_t *cp_ledger_of(cp_ledger *ledger, size_t index)
{
    const line *one = find(ledger, index);
    return one ? cp_ledger_at(ledger, (size_t)(one - ledger->lines)) : NULL;
}

size_t cp_ledger_index(const cp_ledger *ledger, size_t k) { return ledger->lines[k].index; }

static cp_status write_kept(cp_ledger *ledger, const bool *drop, FILE *to)
{
    cp_status status = cp_json_write_stream(ledger->manifest, to);
    for (size_t k = 0; k < ledger->n && !status; k++) {
        if (drop && drop[k])
            continue;
        status = fetch(ledger, &ledger->lines[k]);
        if (!status && fwrite(ledger->text, 1, ledger->lines[k].bytes, to) != ledger->lines[k].bytes)
            status = cp_fail(CP_ERESOURCE, "%s: %s", ledger->path, strerror(errno));
    }
    return status;
}

cp_status cp_ledger_drop(cp_ledger *ledger, const bool *drop)
{
    cp_file *file;
    cp_status status = cp_file_begin(ledger->path, &file);
    if (!status)
        status = write_kept(ledger, drop, cp_file_stream(file));
    if (status)
        cp_file_abort(&file);
    else
        status = cp_file_commit(&file);
    if (status)
        return status;
    fclose(ledger->file);
    ledger->file = NULL;
    json_t *manifest = ledger->manifest;
    ledger->manifest = NULL;
    ledger->n = 0;
    ledger->end = 0;
    status = open_file(ledger, manifest, true);
    json_decref(manifest);
    return status;
}

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

static cp_status write_merged(cp_ledger **ledgers, int n, size_t expected, FILE *to)
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
            status = cp_fail(CP_EINPUT, "merge: image %zu is in none of the %d shards; run the shard that it belongs to",
                             next, n);
        else if (!(status = fetch(ledgers[which], l)) && fwrite(ledgers[which]->text, 1, l->bytes, to) != l->bytes)
            status = cp_fail(CP_ERESOURCE, "merge: %s", strerror(errno));
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
    if (n < 1)
        return cp_fail(CP_EINPUT, "merge: no shard");
    cp_ledger **ledgers = cp_alloc((size_t)n, sizeof *ledgers, "merge");
    cp_status status = ledgers ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < n && !status; i++) {
        status = start(paths[i], &ledgers[i]);
        if (!status)
            status = read_lines(ledgers[i]);
        if (!status && !(ledgers[i]->file = fopen(paths[i], "rb")))
            status = cp_fail(errno == EMFILE ? CP_ERESOURCE : CP_EINPUT, "%s: %s", paths[i], strerror(errno));
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

#include "train/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"

#define MAX_LOG_BYTES ((uint64_t)4 << 30)
enum { MAX_LAYERS = 10000 };

cp_status cp_records_add(cp_records *records, cp_record *record)
{
    if (records->n == records->room) {
        size_t room = records->room ? 2 * records->room : 64;
        cp_record *grown = realloc(records->record, room * sizeof *grown);
        if (!grown) {
            cp_record_free(record);
            return cp_fail(CP_ERESOURCE, "records: out of memory for %zu", room);
        }
        records->record = grown;
        records->room = room;
    }
    records->record[records->n++] = *record;
    *record = (cp_record){0};
    return CP_OK;
}

void cp_records_free(cp_records *records)
{
    for (size_t i = 0; i < records->n; i++)
        cp_record_free(&records->record[i]);
    free(records->record);
    *records = (cp_records){0};
}

/* ---------------------------------------------------------------- JSON */

static json_t *row_json(const cp_record_row *row, bool fault)
{
    json_t *o = json_object();
    int bad = !o;
    if (row->layer >= 0) {
        bad |= cp_json_set(o, "layer", json_integer(row->layer));
        bad |= cp_json_set(o, "name", cp_json_text(row->name));
    }
    bad |= cp_json_set(o, "units", json_integer((json_int_t)row->units));
    bad |= cp_json_set(o, "dead", fault ? json_null() : json_integer((json_int_t)row->dead));
    bad |= cp_json_set(o, "always_on", fault ? json_null() : json_integer((json_int_t)row->always_on));
    bad |= cp_json_set(o, "flipped", cp_json_real(row->flipped));
    bad |= cp_json_set(o, "overlap", cp_json_real(row->overlap));
    if (row->layer >= 0) {
        bad |= cp_json_set(o, "activation_gradient", cp_json_real(row->activation_gradient));
        bad |= cp_json_set(o, "weight_gradient", cp_json_real(row->weight_gradient));
    }
    return cp_json_finish(o, bad);
}

json_t *cp_record_json(const cp_record *record)
{
    bool fault = *record->fault != 0;
    json_t *o = json_object(), *layers = json_array();
    int bad = !o || !layers;
    bad |= cp_json_set(o, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(o, "iteration", json_integer((json_int_t)record->iteration));
    bad |= cp_json_set(o, "images", json_integer((json_int_t)record->seen));
    bad |= cp_json_set(o, "file", *record->file ? cp_json_text(record->file) : json_null());
    bad |= cp_json_set(o, "loss", cp_json_float((float)record->loss));
    bad |= cp_json_set(o, "looked_at", cp_json_text(record->probes ? "probes" : "batch"));
    bad |= cp_json_set(o, "pictures", json_integer((json_int_t)record->pictures));
    bad |= cp_json_set(o, "answers_changed", record->answers_changed < 0 || fault ? json_null()
                                                                          : json_integer(record->answers_changed));
    if (fault)
        bad |= cp_json_set(o, "fault", cp_json_text(record->fault));
    bad |= cp_json_set(o, "network", row_json(&record->network, fault));
    for (int l = 0; l < record->n_layers; l++)
        bad |= cp_json_append(layers, row_json(&record->layers[l], fault));
    bad |= cp_json_set(o, "layers", layers);
    return cp_json_finish(o, bad);
}

/* A member that may be null. */
static cp_status get_real(const json_t *o, const char *key, const char *where, double lo, double hi, double *value)
{
    *value = NAN;
    return json_is_null(json_object_get(o, key)) ? CP_OK : cp_json_get_real(o, key, where, lo, hi, value);
}

static cp_status get_count(const json_t *o, const char *key, const char *where, bool fault, json_int_t most,
                           size_t *value)
{
    json_int_t number = 0;
    cp_status status = fault && json_is_null(json_object_get(o, key))
                           ? CP_OK
                           : cp_json_get_integer(o, key, where, 0, most, &number);
    *value = (size_t)number;
    return status;
}

/* Text of a file may end on a terminal. */
static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
    for (; *to; to++)
        if ((unsigned char)*to < ' ' || *to == 127)
            *to = '?';
}

static cp_status read_row(const json_t *o, const char *where, bool network, bool fault, cp_record_row *row)
{
    json_int_t layer = -1;
    const char *name = "network";
    cp_status status = CP_OK;
    *row = (cp_record_row){.activation_gradient = NAN, .weight_gradient = NAN};
    if (!json_is_object(o))
        return cp_fail(CP_EINPUT, "%s: a row is no object", where);
    if (!network)
        status = cp_json_get_integer(o, "layer", where, 0, MAX_LAYERS, &layer);
    if (!status && !network)
        status = cp_json_get_text(o, "name", where, &name);
    if (!status)
        status = get_count(o, "units", where, false, INT64_MAX, &row->units);
    if (!status)
        status = get_count(o, "dead", where, fault, (json_int_t)row->units, &row->dead);
    if (!status)
        status = get_count(o, "always_on", where, fault, (json_int_t)row->units, &row->always_on);
    if (!status)
        status = get_real(o, "flipped", where, 0, 1, &row->flipped);
    if (!status)
        status = get_real(o, "overlap", where, 0, 1, &row->overlap);
    if (!status && !network)
        status = get_real(o, "activation_gradient", where, 0, INFINITY, &row->activation_gradient);
    if (!status && !network)
        status = get_real(o, "weight_gradient", where, 0, INFINITY, &row->weight_gradient);
    row->layer = (int)layer;
    if (!status)
        copy_text(row->name, sizeof row->name, name);
    return status;
}

static cp_status read_record(const json_t *o, const char *where, cp_record *record)
{
    json_int_t iteration = 0, seen = 0, pictures = 0, changed = -1;
    const char *text = "";
    *record = (cp_record){0};
    cp_status status = cp_json_get_text(o, "critpath", where, &text);
    if (!status)
        status = cp_json_get_integer(o, "iteration", where, 0, INT64_MAX, &iteration);
    if (!status)
        status = cp_json_get_integer(o, "images", where, 0, INT64_MAX, &seen);
    if (!status)
        status = cp_json_get_integer(o, "pictures", where, 0, INT64_MAX, &pictures);
    if (!status)
        status = get_real(o, "loss", where, -INFINITY, INFINITY, &record->loss);
    if (!status)
        status = cp_json_get_text(o, "looked_at", where, &text);
    record->probes = !status && !strcmp(text, "probes");
    if (!status && !json_is_null(json_object_get(o, "answers_changed")))
        status = cp_json_get_integer(o, "answers_changed", where, 0, pictures, &changed);
    if (!status && json_object_get(o, "fault") && !(status = cp_json_get_text(o, "fault", where, &text)))
        copy_text(record->fault, sizeof record->fault, text);
    if (!status && json_is_string(json_object_get(o, "file")) && !(status = cp_json_get_text(o, "file", where, &text)))
        copy_text(record->file, sizeof record->file, text);
    record->iteration = (uint64_t)iteration;
    record->seen = (uint64_t)seen;
    record->pictures = (size_t)pictures;
    record->answers_changed = changed;
    bool fault = *record->fault != 0;
    const json_t *layers = json_object_get(o, "layers");
    size_t n = json_array_size(layers);
    if (!status)
        status = read_row(json_object_get(o, "network"), where, true, fault, &record->network);
    if (!status && (!n || n > MAX_LAYERS))
        status = cp_fail(CP_EINPUT, "%s: layers: %zu rows, 1 to %d are allowed", where, n, MAX_LAYERS);
    if (!status && !(record->layers = cp_alloc(n, sizeof *record->layers, "record")))
        status = CP_ERESOURCE;
    for (size_t l = 0; l < n && !status; l++, record->n_layers++)
        status = read_row(json_array_get(layers, l), where, false, fault, &record->layers[l]);
    if (status)
        cp_record_free(record);
    return status;
}

/* ---------------------------------------------------------------- reading */

/* Records of two networks do not belong into one curve. */
static cp_status check_same_network(const cp_record *a, const cp_record *b, const char *where)
{
    if (a->n_layers != b->n_layers)
        return cp_fail(CP_EINPUT, "%s: %d neuron layers, %d before: records of another network", where, b->n_layers,
                       a->n_layers);
    for (int l = 0; l < a->n_layers; l++)
        if (strcmp(a->layers[l].name, b->layers[l].name) || a->layers[l].units != b->layers[l].units)
            return cp_fail(CP_EINPUT, "%s: %.48s has %zu neurons where before stands %.48s with %zu: records of "
                           "another network", where, b->layers[l].name, b->layers[l].units, a->layers[l].name,
                           a->layers[l].units);
    return CP_OK;
}

static cp_status read_lines(FILE *file, const char *path, size_t most, cp_records *records, bool *cut)
{
    char *line = NULL, where[400];
    size_t room = 0;
    ssize_t length;
    cp_status status = CP_OK;
    *cut = false;
    for (size_t number = 1; !status && number <= most && (length = getline(&line, &room, file)) > 0; number++) {
        json_t *o = NULL;
        cp_record record;
        if (line[length - 1] != '\n') {
            *cut = true;
            break;
        }
        snprintf(where, sizeof where, "%.300s:%zu", path, number);
        if ((status = cp_json_parse(line, (size_t)length, where, &o)))
            break;
        status = read_record(o, where, &record);
        json_decref(o);
        if (!status && records->n && (status = check_same_network(&records->record[0], &record, where)))
            cp_record_free(&record);
        if (!status)
            status = cp_records_add(records, &record);
    }
    if (!status && ferror(file))
        status = cp_fail(CP_ERESOURCE, "log: %s cannot be read: %s", path, strerror(errno));
    if (!status && !records->n)
        status = cp_fail(CP_EINPUT, "log: %s has no record", path);
    free(line);
    return status;
}

static cp_status read_log(const char *path, size_t most, cp_records *records, bool *cut)
{
    FILE *file;
    uint64_t bytes;
    cp_status status = cp_file_open(path, "log", MAX_LOG_BYTES, &file, &bytes);
    if (status)
        return status;
    status = read_lines(file, path, most, records, cut);
    fclose(file);
    return status;
}

cp_status cp_log_read(const char *path, cp_records *records, bool *cut)
{
    return read_log(path, SIZE_MAX, records, cut);
}

/* ---------------------------------------------------------------- writing */

struct cp_log {
    int file;
    char path[1024];
};

/* Bytes up to the end of the last whole line. */
static off_t whole_lines(int file, off_t bytes)
{
    char chunk[4096];
    for (off_t end = bytes; end > 0;) {
        size_t n = end < (off_t)sizeof chunk ? (size_t)end : sizeof chunk;
        if (pread(file, chunk, n, end - (off_t)n) != (ssize_t)n)
            return -1;
        for (size_t i = n; i-- > 0;)
            if (chunk[i] == '\n')
                return end - (off_t)n + (off_t)i + 1;
        end -= (off_t)n;
    }
    return 0;
}

/* A file of something else must not be added to. */
static cp_status check_present(const char *path, const cp_model *model)
{
    cp_records records = {0};
    cp_record expected;
    bool cut;
    char where[400];
    cp_status status = cp_record_create(model, &expected);
    if (!status)
        status = read_log(path, 1, &records, &cut);
    snprintf(where, sizeof where, "log: %.300s of this cfg", path);
    if (!status)
        status = check_same_network(&records.record[0], &expected, where);
    cp_records_free(&records);
    cp_record_free(&expected);
    return status;
}

cp_status cp_log_open(const char *path, const cp_model *model, cp_log **out)
{
    struct stat info;
    bool present = !stat(path, &info);
    cp_status status = CP_OK;
    *out = NULL;
    if (strlen(path) >= sizeof((cp_log *)0)->path)
        return cp_fail(CP_EINPUT, "log: the name has %zu bytes, allowed are %zu", strlen(path),
                       sizeof((cp_log *)0)->path - 1);
    if (present && !S_ISREG(info.st_mode))
        return cp_fail(CP_EINPUT, "log: %s is no regular file", path);
    if (present && info.st_size > 0 && (status = check_present(path, model)))
        return status;
    cp_log *log = cp_alloc(1, sizeof *log, "log");
    if (!log)
        return CP_ERESOURCE;
    snprintf(log->path, sizeof log->path, "%s", path);
    log->file = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    off_t end = log->file >= 0 && !fstat(log->file, &info) ? whole_lines(log->file, info.st_size) : -1;
    if (log->file < 0 || end < 0 || (end < info.st_size && ftruncate(log->file, end))) {
        status = cp_fail(CP_EINPUT, "log: %s cannot be written: %s", path, strerror(errno));
        cp_log_close(log);
        return status;
    }
    *out = log;
    return CP_OK;
}

cp_status cp_log_add(cp_log *log, const cp_record *record)
{
    json_t *o = cp_record_json(record);
    char *text = NULL;
    size_t bytes = 0;
    struct stat before;
    cp_status status = o ? cp_json_format(o, false, &text, &bytes) : CP_ERESOURCE;
    json_decref(o);
    if (status)
        return status;
    char *line = cp_alloc(bytes + 1, 1, "record");
    if (!line)
        status = CP_ERESOURCE;
    else {
        memcpy(line, text, bytes);
        line[bytes] = '\n';
        bool known = !fstat(log->file, &before);
        if (write(log->file, line, bytes + 1) != (ssize_t)bytes + 1 || fdatasync(log->file)) {
            status = cp_fail(CP_ERESOURCE, "log: %s cannot be written: %s", log->path, strerror(errno));
            if (known && ftruncate(log->file, before.st_size))
                status = cp_fail_prefix(status, "a cut line is left");
        }
    }
    cp_free(line);
    cp_free(text);
    return status;
}

void cp_log_close(cp_log *log)
{
    if (!log)
        return;
    if (log->file >= 0)
        close(log->file);
    cp_free(log);
}

/* ---------------------------------------------------------------- CSV */

static void csv_real(FILE *to, double value)
{
    if (isnan(value))
        fputc(',', to);
    else
        fprintf(to, ",%.9g", value);
}

static void csv_row(FILE *to, const cp_record *record, const cp_record_row *row)
{
    bool fault = *record->fault != 0;
    fprintf(to, "%" PRIu64 ",%" PRIu64, record->iteration, record->seen);
    csv_real(to, record->loss);
    fprintf(to, ",%s,%zu", row->name, row->units);
    if (fault)
        fputs(",,", to);
    else
        fprintf(to, ",%zu,%zu", row->dead, row->always_on);
    csv_real(to, row->flipped);
    csv_real(to, row->overlap);
    csv_real(to, row->activation_gradient);
    csv_real(to, row->weight_gradient);
    fputc('\n', to);
}

cp_status cp_records_write_csv(const cp_records *records, const char *path)
{
    cp_file *file = NULL;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fputs("iteration,images,loss,layer,units,dead,always_on,flipped,overlap,activation_gradient,weight_gradient\n", to);
    for (size_t i = 0; i < records->n; i++) {
        const cp_record *record = &records->record[i];
        csv_row(to, record, &record->network);
        for (int l = 0; l < record->n_layers; l++)
            csv_row(to, record, &record->layers[l]);
    }
    return cp_file_commit(&file);
}

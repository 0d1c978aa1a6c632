/* `watch`: what a training did, from its checkpoints or from the log of its recorder. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "cli/curves.h"
#include "cli/output_path.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"
#include "io/progress.h"
#include "model/weights.h"

enum { MAX_CHECKPOINTS = 100000 };

typedef struct {
    char name[256];   /* in the folder */
    uint64_t seen;
    char sha256[CP_SHA256_TEXT]; /* "" until it is needed */
} checkpoint;

typedef struct {
    cp_session session; /* for names and notes; nothing is open in it */
    cp_item item;
    const char *folder;
    checkpoint *checkpoints;
    size_t n, left_out;
    uint64_t batch;     /* pictures of one iteration */
    cp_records records;
} job;

/* ---------------------------------------------------------------- checkpoints */

/* Darknet names checkpoints after the cfg: net_100.weights, net.backup, net_final.weights. */
static bool is_named_after(const char *name, const char *cfg)
{
    const char *base = cp_file_name(cfg);
    size_t length = strcspn(base, ".");
    return !strncmp(name, base, length) && (name[length] == '_' || name[length] == '.');
}

static cp_status checkpoint_path(const job *j, const char *name, char path[4096])
{
    size_t length = strlen(j->folder);
    const char *slash = length && j->folder[length - 1] == '/' ? "" : "/";
    if (snprintf(path, 4096, "%s%s%s", j->folder, slash, name) >= 4096)
        return cp_fail(CP_EINPUT, "watch: the path of %.80s is longer than 4095 bytes", name);
    return CP_OK;
}

static cp_status add_checkpoint(job *j, const char *name, size_t *room)
{
    if (j->n == MAX_CHECKPOINTS)
        return cp_fail(CP_EINPUT, "watch: %s has more than %d checkpoints", j->folder, MAX_CHECKPOINTS);
    if (j->n == *room) {
        *room = *room ? 2 * *room : 64;
        checkpoint *grown = realloc(j->checkpoints, *room * sizeof *grown);
        if (!grown)
            return cp_fail(CP_ERESOURCE, "watch: out of memory for %zu checkpoints", *room);
        j->checkpoints = grown;
    }
    j->checkpoints[j->n] = (checkpoint){0};
    snprintf(j->checkpoints[j->n++].name, sizeof j->checkpoints->name, "%s", name);
    return CP_OK;
}

/* Those named after the cfg; when there are none, all. */
static cp_status find_checkpoints(job *j, const char *cfg)
{
    DIR *folder = opendir(j->folder);
    if (!folder)
        return cp_fail(CP_EINPUT, "watch: folder %s cannot be read: %s", j->folder, strerror(errno));
    size_t named = 0, all = 0, room = 0;
    cp_status status = CP_OK;
    for (int turn = 0; turn < 2 && !status; turn++, rewinddir(folder))
        for (struct dirent *entry; !status && (entry = readdir(folder));) {
            const char *name = entry->d_name;
            if (*name == '.' || (!cp_ends_with(name, ".weights") && !cp_ends_with(name, ".backup")))
                continue;
            if (turn == 0)
                all++, named += is_named_after(name, cfg);
            else if (!named || is_named_after(name, cfg))
                status = add_checkpoint(j, name, &room);
        }
    closedir(folder);
    j->left_out = all - j->n;
    if (!status && !j->n)
        status = cp_fail(CP_EINPUT, "watch: %s has no checkpoint (*.weights, *.backup)", j->folder);
    return status;
}

static int by_seen(const void *a, const void *b)
{
    const checkpoint *x = a, *y = b;
    return x->seen != y->seen ? (x->seen < y->seen ? -1 : 1) : strcmp(x->name, y->name);
}

/* Darknet writes the last state twice, as net_900.weights and net.backup. */
static cp_status leave_out_copies(job *j)
{
    size_t kept = 0;
    for (size_t i = 0; i < j->n; i++) {
        checkpoint *now = &j->checkpoints[i];
        bool copy = false;
        for (size_t k = kept; k-- > 0 && j->checkpoints[k].seen == now->seen && !copy;) {
            checkpoint *other = &j->checkpoints[k], *both[] = {now, other};
            for (int b = 0; b < 2; b++) {
                char path[4096];
                cp_status status = *both[b]->sha256 ? CP_OK : checkpoint_path(j, both[b]->name, path);
                if (!status && !*both[b]->sha256)
                    status = cp_sha256_file(path, both[b]->sha256);
                if (status)
                    return status;
            }
            copy = !strcmp(now->sha256, other->sha256);
            if (copy)
                cp_note(&j->session, "%s is a copy of %s", now->name, other->name);
        }
        if (!copy)
            j->checkpoints[kept++] = *now;
    }
    j->n = kept;
    return CP_OK;
}

/* Every one is checked, and says when it was written, before any is looked at. */
static cp_status check_checkpoints(job *j, const char *cfg_path)
{
    cp_cfg *cfg = NULL;
    cp_cfg_net *net = NULL;
    int batch, subdivisions;
    cp_status status = cp_cfg_read(cfg_path, &cfg);
    if (!status)
        status = cp_cfg_int(cfg, 0, "batch", 1, &batch);
    if (!status)
        status = cp_cfg_int(cfg, 0, "subdivisions", 1, &subdivisions);
    if (!status && (batch < 1 || subdivisions < 1 || batch < subdivisions))
        status = cp_fail(CP_EINPUT, "cfg: %s: batch=%d in subdivisions=%d gives no iterations", cfg_path, batch,
                         subdivisions);
    if (!status)
        j->batch = (uint64_t)(batch / subdivisions) * (uint64_t)subdivisions;
    if (!status)
        status = cp_cfg_prepare(cfg, 1, 0, 0);
    if (!status)
        status = cp_cfg_check(cfg, 0, &net);
    for (size_t i = 0; i < j->n && !status; i++) {
        cp_weights_info info;
        char path[4096];
        status = checkpoint_path(j, j->checkpoints[i].name, path);
        if (!status)
            status = cp_weights_check(path, net, cfg_path, &info);
        if (!status)
            j->checkpoints[i].seen = info.seen;
    }
    cp_cfg_net_free(net);
    cp_cfg_free(cfg);
    if (!status)
        qsort(j->checkpoints, j->n, sizeof *j->checkpoints, by_seen);
    return status;
}

/* ---------------------------------------------------------------- looking */

/* The pictures: -list, or the first ones of the .data file's valid (or train) list. */
static cp_status read_probes(const cp_options *o, const cp_model *model, cp_recorder *recorder)
{
    cp_data *data = NULL;
    cp_status status = CP_OK;
    cp_fit fit = o->letterbox < 0 ? cp_model_semantics(model)->fit : (cp_fit)o->letterbox;
    if (o->list)
        return cp_recorder_read_probes(recorder, o->list, (size_t)o->images, fit);
    if ((status = cp_data_read(o->data, &data)))
        return status;
    const char *list = data->valid ? data->valid : data->train;
    if (!list)
        status = cp_fail(CP_EINPUT, "-data: %s names neither a valid= nor a train= list", o->data);
    else
        status = cp_recorder_read_probes(recorder, list, o->images ? (size_t)o->images : CP_DATA_PICTURES, fit);
    cp_data_free(data);
    return status;
}

static cp_status look(job *j, cp_model *model, cp_recorder *recorder, const checkpoint *c)
{
    cp_record record;
    cp_weights_info info;
    char path[4096];
    cp_status status = cp_record_create(model, &record);
    if (!status)
        status = checkpoint_path(j, c->name, path);
    if (!status)
        status = cp_model_load_weights(model, path, &info);
    if (!status && (status = cp_recorder_look(recorder, NULL, 0, &record)))
        cp_fail_prefix(status, "%s", path);
    if (status) {
        cp_record_free(&record);
        return status;
    }
    record.seen = info.seen;
    record.iteration = info.seen / j->batch;
    snprintf(record.file, sizeof record.file, "%s", c->name);
    return cp_records_add(&j->records, &record);
}

static cp_status watch_folder(job *j, const cp_options *o)
{
    cp_model *model = NULL;
    cp_recorder *recorder = NULL;
    cp_progress *progress = NULL;
    const char *cfg = o->arguments[1];
    cp_status status = find_checkpoints(j, cfg);
    if (!status)
        status = check_checkpoints(j, cfg);
    if (!status)
        status = cp_model_open(cfg, NULL, &model);
    if (!status)
        status = cp_recorder_create(model, &recorder);
    if (!status)
        status = read_probes(o, model, recorder);
    if (!status)
        status = leave_out_copies(j);
    if (!status && j->left_out)
        cp_note(&j->session, "watch: %zu checkpoints of other names in %s are left out", j->left_out, j->folder);
    if (!status)
        progress = cp_progress_start("watch", (double)j->n, o->quiet);
    for (size_t i = 0; i < j->n && !status; i++) {
        status = look(j, model, recorder, &j->checkpoints[i]);
        cp_progress_add(progress, 1);
    }
    cp_progress_end(&progress);
    cp_recorder_free(recorder);
    cp_model_free(model);
    return status;
}

static int by_iteration(const void *a, const void *b)
{
    const cp_record *x = a, *y = b;
    return x->iteration < y->iteration ? -1 : x->iteration > y->iteration;
}

static cp_status watch_log(job *j, const char *path)
{
    bool cut;
    cp_status status = cp_log_read(path, &j->records, &cut);
    if (!status && cut)
        cp_note(&j->session, "watch: the last line of %s is not complete and is left out", path);
    if (!status) /* a training that went on from an earlier checkpoint has gone back */
        qsort(j->records.record, j->records.n, sizeof *j->records.record, by_iteration);
    return status;
}

/* ---------------------------------------------------------------- results */

static const char *percent(double share, char text[16])
{
    if (isnan(share))
        snprintf(text, 16, "-");
    else
        snprintf(text, 16, "%.2f%%", 100 * share);
    return text;
}

static void print_row(const cp_record *record, const cp_record_row *row, const char *left)
{
    char dead[16], on[16], flipped[16], overlap[16];
    double units = *record->fault ? NAN : (double)row->units;
    if (!isnan(row->overlap))
        snprintf(overlap, sizeof overlap, "%.4f", row->overlap);
    else
        snprintf(overlap, sizeof overlap, "-");
    printf("%-21s %9s %9s %9s %9s", left, percent((double)row->dead / units, dead),
           percent((double)row->always_on / units, on), percent(row->flipped, flipped), overlap);
}

static void print_records(const job *j, bool layers)
{
    printf("%9s %11s %9s %9s %9s %9s  %s\n", "iteration", "images", "dead", "always on", "flipped", "overlap",
           j->folder ? "checkpoint" : "loss");
    for (size_t i = 0; i < j->records.n; i++) {
        const cp_record *record = &j->records.record[i];
        char left[64], name[4 * sizeof left];
        snprintf(left, sizeof left, "%9" PRIu64 " %11" PRIu64, record->iteration, record->seen);
        print_row(record, &record->network, left);
        if (*record->fault || *record->file) {
            fputs("  ", stdout);
            cp_print_name(stdout, *record->fault ? record->fault : record->file);
        } else if (!isnan(record->loss)) {
            printf("  %.4f", record->loss);
        }
        putchar('\n');
        for (int l = 0; layers && l < record->n_layers; l++) {
            snprintf(left, sizeof left, "  %.40s", cp_record_row_name(&record->layers[l]));
            print_row(record, &record->layers[l], cp_printable(left, name, sizeof name));
            printf("\n");
        }
    }
}

static cp_status write_lines(const job *j, FILE *to)
{
    cp_status status = CP_OK;
    for (size_t i = 0; i < j->records.n && !status; i++) {
        json_t *o = cp_record_json(&j->records.record[i]);
        status = o ? cp_json_write_stream(o, to) : CP_ERESOURCE;
        json_decref(o);
    }
    return status;
}

/* PREFIX.jsonl (of checkpoints), PREFIX.csv, PREFIX.png. */
static cp_status write_files(job *j, cp_file **lines, char path[3][4096])
{
    const cp_options *o = j->session.options;
    const char *from = j->folder ? j->session.cfg_path : j->item.path;
    cp_status status = CP_OK;
    if (*lines && !(status = write_lines(j, cp_file_stream(*lines))))
        status = cp_file_commit(lines);
    if (!status)
        status = cp_records_write_csv(&j->records, path[1]);
    if (!status && !o->no_picture)
        status = cp_curves_write(&j->records, cp_file_name(from), path[2]);
    if (!status && !o->json)
        cp_print_files(stdout, j->folder ? path[0] : NULL, path[1], o->no_picture ? NULL : path[2], NULL);
    return status;
}

static cp_status check_arguments(const cp_options *o, bool *folder)
{
    struct stat info;
    if (o->n_arguments < 1)
        return cp_fail(CP_EINPUT, "watch: needed are <folder> <cfg> with -data FILE or -list FILE, or <log.jsonl>");
    if (stat(o->arguments[0], &info))
        return cp_fail(CP_EINPUT, "watch: %s: %s", o->arguments[0], strerror(errno));
    *folder = S_ISDIR(info.st_mode);
    if (*folder && o->n_arguments != 2)
        return cp_fail(CP_EINPUT, "watch: %d arguments, with a folder of checkpoints needed are <folder> <cfg>",
                       o->n_arguments);
    if (*folder && !o->list == !o->data)
        return cp_fail(CP_EINPUT, "watch: the pictures come from -list FILE or from -data FILE, %s",
                       o->list ? "not both" : "one is needed");
    if (!*folder && o->n_arguments != 1)
        return cp_fail(CP_EINPUT, "watch: %s is no folder; a log is read alone", o->arguments[0]);
    if (!*folder && (o->list || o->data || o->images))
        return cp_fail(CP_EINPUT, "watch: a log has its pictures' values already, -list, -data and -images are for "
                       "checkpoints");
    return CP_OK;
}

cp_status cp_run_watch(const cp_command *command, const cp_options *o)
{
    static const char *const endings[] = {".jsonl", ".csv", ".png"};
    job j = {.session = {.options = o, .command = command}};
    cp_file *lines = NULL;
    char path[3][4096];
    bool folder = false;
    cp_set_threads(o->threads);
    cp_status status = check_arguments(o, &folder);
    if (!status) {
        j.folder = folder ? o->arguments[0] : NULL;
        j.session.cfg_path = folder ? o->arguments[1] : NULL;
        j.item.path = folder ? o->arguments[1] : o->arguments[0];
        status = cp_choose_prefix(&j.session, &j.item);
    }
    for (int i = folder ? 0 : 1; i < 3 && !status; i++)
        status = cp_output_path(&j.session, &j.item, "", endings[i], path[i]);
    if (!status && folder)
        status = cp_file_begin(path[0], &lines); /* a place that cannot be written is said first */
    if (!status)
        status = folder ? watch_folder(&j, o) : watch_log(&j, o->arguments[0]);
    if (!status && o->json)
        status = write_lines(&j, stdout);
    else if (!status)
        print_records(&j, o->layers);
    if (!status)
        status = write_files(&j, &lines, path);
    cp_file_abort(&lines);
    free(j.checkpoints);
    cp_records_free(&j.records);
    cp_session_close(&j.session);
    return status;
}

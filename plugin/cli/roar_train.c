/* Pictures without what a map names, and networks that Darknet's own `classifier train` trains on them from scratch. */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/command_roar.h"
#include "eval/roar.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/progress.h"

/* What one set of pictures is made with; map -1: nothing is removed. */
typedef struct {
    int map, direction, fraction;
} cut;

static cp_status system_error(const char *path, const char *what)
{
    return cp_fail(errno == ENOSPC || errno == EDQUOT ? CP_ERESOURCE : CP_EINPUT, "%s: %s: %s", path, what,
                   strerror(errno));
}

/* ---------------------------------------------------------------- pictures */

/* Mean of the training pictures by channel; the same in 8 bits for all that is removed. */
static cp_status measure_colour(cp_roar *r)
{
    const cp_session *s = r->session;
    const cp_valid_list *list = &r->list[CP_ROAR_TRAIN];
    size_t plane = s->h * s->w;
    double sum[4] = {0};
    cp_status status = s->c > 4 ? cp_fail(CP_EINPUT, "roar: the network takes %zu channels, pictures have 3", s->c)
                                : CP_OK;
    cp_progress *progress = cp_progress_start("mean colour", (double)list->n, s->options->quiet);
    for (size_t i = 0; i < list->n && !status; i++) {
        status = cp_valid_picture_read(s->model, list->pictures[i], s->input);
        for (size_t k = 0; k < s->c * plane && !status; k++)
            sum[k / plane] += s->input[k];
        cp_progress_update(progress, (double)(i + 1));
    }
    cp_progress_end(&progress);
    for (size_t c = 0; c < s->c && c < 4; c++)
        r->colour[c] = (float)(round(sum[c] / (double)list->n / (double)plane * 255) / 255);
    return status;
}

static cp_status make_parents(const char *path)
{
    char folder[CP_ROAR_PATH];
    for (const char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        if (mkdir(folder, 0777) && errno != EEXIST)
            return system_error(folder, "cannot be made");
    }
    return CP_OK;
}

/* A PPM, as a picture takes no longer to write than to change. It need not outlive a kill: a set is made anew then. */
static cp_status write_picture(const cp_session *s, const float *input, const char *path)
{
    size_t plane = s->h * s->w;
    FILE *file = fopen(path, "wb");
    if (!file && errno == ENOENT && !make_parents(path))
        file = fopen(path, "wb");
    if (!file)
        return system_error(path, "cannot be written");
    fprintf(file, "P6\n%zu %zu\n255\n", s->w, s->h);
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            fputc((int)lround(fmin(1, fmax(0, input[(s->c == 3 ? c : 0) * plane + i])) * 255), file);
    return fclose(file) ? system_error(path, "cannot be written") : CP_OK;
}

/* That Darknet sees in the new path the one class that it sees in the old. */
static cp_status check_class(const cp_valid_list *list, size_t picture, const char *path, int classes)
{
    int found = 0;
    for (int k = 0; k < classes; k++)
        found += strstr(path, list->labels->names[k]) != NULL;
    if (found == 1 && strstr(path, list->labels->names[list->truth[picture]]))
        return CP_OK;
    return cp_fail(CP_EINPUT, "roar: %s has %d of the labels in its path, 1 is needed; another -out may help", path,
                   found);
}

static cp_status make_picture(const cp_roar *r, int part, const cut *c, FILE *maps, const char *maps_path,
                              size_t picture, float *map, FILE *names)
{
    const cp_session *s = r->session;
    char folder[CP_ROAR_PATH], path[CP_ROAR_PATH];
    const char *original = r->list[part].pictures[picture];
    snprintf(folder, sizeof folder, "%s/pictures/%s", r->folder, cp_roar_parts[part]);
    cp_status status = cp_roar_path(folder, original, path);
    if (!status)
        status = check_class(&r->list[part], picture, path, cp_model_classes(s->model));
    if (!status)
        status = cp_valid_picture_read(s->model, original, s->input);
    if (!status && maps)
        status = cp_roar_read_map(r, part, maps, maps_path, picture, map);
    if (!status && maps)
        status = cp_roar_remove(map, s->c, s->h, s->w, r->fraction[c->fraction], c->direction == CP_ROAR_LOWEST,
                                r->colour, s->input);
    if (!status)
        status = write_picture(s, s->input, path);
    if (!status)
        fprintf(names, "%s\n", path);
    return status;
}

static cp_status make_pictures(const cp_roar *r, int part, const cut *c)
{
    const cp_session *s = r->session;
    char maps_path[CP_ROAR_FILE] = "", names_path[CP_ROAR_FILE];
    cp_file *names = NULL;
    FILE *maps = NULL;
    float *map = cp_alloc(s->h * s->w, sizeof *map, "map");
    snprintf(names_path, sizeof names_path, "%s/%s.list", r->folder, cp_roar_parts[part]);
    cp_status status = map ? cp_file_begin(names_path, &names) : CP_ERESOURCE;
    if (!status && c->map >= 0) {
        cp_roar_map_path(r, c->map, part, maps_path);
        if (!(maps = fopen(maps_path, "rb")))
            status = system_error(maps_path, "cannot be read");
    }
    for (size_t i = 0; i < r->list[part].n && !status; i++)
        status = make_picture(r, part, c, maps, maps_path, i, map, cp_file_stream(names));
    if (!status)
        status = cp_file_commit(&names);
    cp_file_abort(&names);
    if (maps)
        fclose(maps);
    cp_free(map);
    return status;
}

/* ---------------------------------------------------------------- training */

static cp_status write_data(const cp_roar *r, const char *path)
{
    cp_data *data = NULL;
    cp_file *file = NULL;
    cp_status status = cp_data_read(r->data, &data);
    if (!status)
        status = cp_file_begin(path, &file);
    if (!status) {
        fprintf(cp_file_stream(file),
                "classes=%d\ntrain=%s/train.list\nvalid=%s/valid.list\nlabels=%s\nbackup=%s\ntop=1\n",
                cp_model_classes(r->session->model), r->folder, r->folder, data->labels, r->folder);
        status = cp_file_commit(&file);
    }
    cp_data_free(data);
    return status;
}

/* Darknet names what it saves after the cfg. */
static cp_status copy_cfg(const cp_roar *r, const char *path)
{
    unsigned char *text = NULL;
    size_t bytes;
    cp_file *file = NULL;
    cp_status status = cp_file_read(r->session->cfg_path, "cfg", CP_CFG_MAX_BYTES, &text, &bytes);
    if (!status)
        status = cp_file_begin(path, &file);
    if (!status)
        status = cp_file_write(file, text, bytes);
    if (!status)
        status = cp_file_commit(&file);
    cp_file_abort(&file);
    cp_free(text);
    return status;
}

/* In the child: this very binary, which ends when its parent does. One BLAS thread, unless the user says otherwise, as
 * more add up in an order of their own. */
static void become_darknet(const cp_roar *r, char *data, char *cfg, int seed, const char *log)
{
    const cp_options *o = r->session->options;
    char number[24], gpu[24];
    char *arguments[10] = {"darknet", "classifier", "train", data, cfg, "-seed", number, NULL};
    snprintf(number, sizeof number, "%d", seed);
    snprintf(gpu, sizeof gpu, "%d", o->gpu);
    if (o->nogpu || cp_host_device() < 0)
        arguments[7] = "-nogpu";
    else
        arguments[7] = "-i", arguments[8] = gpu;
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (freopen("/dev/null", "rb", stdin) && freopen(log, "wb", stdout) && dup2(fileno(stdout), STDERR_FILENO) >= 0)
        execv("/proc/self/exe", arguments);
    _exit(127);
}

static cp_status run_darknet(const cp_roar *r, char *data, char *cfg, int seed, const char *log)
{
    int ended;
    pid_t child, done;
    fflush(stdout);
    if ((child = fork()) < 0)
        return cp_fail(CP_ERESOURCE, "roar: no process for the training: %s", strerror(errno));
    if (!child)
        become_darknet(r, data, cfg, seed, log);
    while ((done = waitpid(child, &ended, 0)) < 0 && errno == EINTR)
        ;
    if (done < 0)
        return cp_fail(CP_EINTERNAL, "roar: the training was lost: %s", strerror(errno));
    if (WIFEXITED(ended) && !WEXITSTATUS(ended))
        return CP_OK;
    return cp_fail(CP_EINPUT, "roar: the training ended with %s %d; its last words are in %s",
                   WIFSIGNALED(ended) ? "signal" : "status", WIFSIGNALED(ended) ? WTERMSIG(ended) : WEXITSTATUS(ended),
                   log);
}

static cp_status measure_accuracy(const cp_roar *r, const char *cfg, const char *weights, double *accuracy)
{
    char names[CP_ROAR_FILE];
    cp_model *model = NULL;
    cp_valid_list list = {0};
    cp_right right;
    snprintf(names, sizeof names, "%s/valid.list", r->folder);
    cp_status status = cp_model_open(cfg, weights, &model);
    if (!status)
        status = cp_valid_list_read(names, r->data, cp_model_classes(model), &list);
    if (!status)
        status = cp_valid_list_measure(&list, model, "accuracy", true, &right);
    if (!status)
        *accuracy = (double)right.all / (double)list.n;
    cp_valid_list_free(&list);
    cp_model_free(model);
    return status;
}

static cp_status train_once(cp_roar *r, const cut *c, int repeat)
{
    char data[CP_ROAR_FILE], cfg[CP_ROAR_FILE], weights[CP_ROAR_FILE], log[CP_ROAR_FILE];
    double accuracy = NAN, began = cp_seconds();
    snprintf(data, sizeof data, "%s/net.data", r->folder);
    snprintf(cfg, sizeof cfg, "%s/net.cfg", r->folder);
    snprintf(weights, sizeof weights, "%s/net.weights", r->folder);
    snprintf(log, sizeof log, "%s/train.log", r->folder);
    unlink(weights);
    cp_status status = write_data(r, data);
    if (!status)
        status = copy_cfg(r, cfg);
    if (!status)
        status = run_darknet(r, data, cfg, r->session->options->seed + 1 + repeat, log);
    if (!status)
        status = measure_accuracy(r, cfg, weights, &accuracy);
    if (status)
        return status;
    json_t *record = json_object();
    int bad = cp_json_set(record, "step", cp_json_text("train"));
    bad |= cp_json_set(record, "map", c->map < 0 ? json_null() : cp_json_text(r->plan.map[c->map].name));
    bad |= cp_json_set(record, "removed", cp_json_text(c->map < 0 ? "nothing" : c->direction ? "lowest" : "highest"));
    bad |= cp_json_set(record, "fraction", cp_json_real(r->fraction[c->fraction]));
    bad |= cp_json_set(record, "repeat", json_integer(repeat));
    bad |= cp_json_set(record, "accuracy", cp_json_real(accuracy));
    bad |= cp_json_set(record, "seconds", cp_json_real(round(cp_seconds() - began)));
    if (!bad)
        return cp_ledger_add(r->ledger, cp_roar_step(r, c->map < 0 ? 0 : c->map, c->direction, c->fraction, repeat),
                             record);
    json_decref(record);
    return CP_ERESOURCE;
}

/* The pictures are made once for all repeats, and not at all where none is left to do. */
static cp_status train_cut(cp_roar *r, const cut *c, cp_progress *progress)
{
    bool made = false;
    cp_status status = CP_OK;
    for (int repeat = 0; repeat < r->repeats && !status; repeat++) {
        char text[120];
        snprintf(text, sizeof text, "%s, %g %s removed, training %d of %d", c->map < 0 ? "no map" : r->plan.map[c->map].name,
                 r->fraction[c->fraction], c->direction == CP_ROAR_LOWEST ? "lowest" : "highest", repeat + 1, r->repeats);
        cp_progress_say(progress, text);
        if (!cp_ledger_has(r->ledger, cp_roar_step(r, c->map < 0 ? 0 : c->map, c->direction, c->fraction, repeat))) {
            for (int part = 0; part < CP_ROAR_PARTS && !made && !status; part++)
                status = make_pictures(r, part, c);
            made = true;
            if (!status)
                status = train_once(r, c, repeat);
        }
        cp_progress_add(progress, 1);
    }
    return status;
}

cp_status cp_roar_train(cp_roar *r)
{
    cp_progress *progress = cp_progress_start("trainings", (double)cp_roar_road_step(r, 0), r->session->options->quiet);
    const cut nothing = {-1, 0, 0};
    cp_status status = measure_colour(r);
    if (!status)
        status = train_cut(r, &nothing, progress);
    for (int fraction = 1; fraction < r->n_fractions && !status; fraction++)
        for (int map = 0; map < r->plan.n_maps && !status; map++)
            for (int direction = 0; direction < r->directions && !status; direction++) {
                const cut c = {map, direction, fraction};
                status = train_cut(r, &c, progress);
            }
    cp_progress_end(&progress);
    return status;
}

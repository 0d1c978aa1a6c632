/* The attribution set: every map of every picture, written once as floats, since 8 bits would tie most ranks. A run
 * that was stopped goes on behind the last picture that all files have. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command_roar.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/npy.h"
#include "io/progress.h"
#include "io/random.h"

typedef struct {
    cp_roar *roar;
    int part;
    FILE *file[CP_EVAL_MAPS];
    float *map; /* (H,W) */
} job;

static size_t plane(const cp_roar *r) { return r->session->h * r->session->w; }

void cp_roar_map_path(const cp_roar *r, int map, int part, char path[CP_ROAR_FILE])
{
    snprintf(path, CP_ROAR_FILE, "%s/maps/%s.%s.npy", r->folder, r->plan.map[map].name, cp_roar_parts[part]);
}

void cp_roar_forget_maps(const cp_roar *r)
{
    char path[CP_ROAR_FILE];
    for (int part = 0; part < CP_ROAR_PARTS; part++)
        for (int i = 0; i < r->plan.n_maps; i++) {
            cp_roar_map_path(r, i, part, path);
            unlink(path);
        }
}

static cp_status system_error(const char *path, const char *what)
{
    return cp_fail(cp_open_status(errno), "%s: %s: %s", path, what,
                   strerror(errno));
}

/* ---------------------------------------------------------------- files */

static size_t header_of(const cp_roar *r, int part, unsigned char header[256])
{
    cp_array_type type = {.dtype = CP_FLOAT32, .rank = 3, .shape = {r->list[part].n, r->session->h, r->session->w}};
    size_t bytes;
    cp_npy_header_write(&type, header, &bytes);
    return bytes;
}

/* Opens the file of a map, with its header; *rows: whole maps behind it. */
static cp_status open_file(const job *j, int map, FILE **file, size_t *rows)
{
    char path[CP_ROAR_FILE];
    unsigned char header[256];
    size_t bytes = header_of(j->roar, j->part, header);
    cp_roar_map_path(j->roar, map, j->part, path);
    if (!(*file = fopen(path, "r+b")) && !(*file = fopen(path, "w+b")))
        return system_error(path, "cannot be opened");
    if (fseeko(*file, 0, SEEK_END))
        return system_error(path, "cannot be read");
    size_t found = (size_t)ftello(*file);
    *rows = found > bytes ? (found - bytes) / (plane(j->roar) * sizeof(float)) : 0;
    if (found < bytes && (fseeko(*file, 0, SEEK_SET) || fwrite(header, 1, bytes, *file) != bytes || fflush(*file)))
        return system_error(path, "cannot be written");
    return CP_OK;
}

/* Opens all files behind the same number of maps. */
static cp_status open_files(job *j, size_t *done)
{
    unsigned char header[256];
    size_t bytes = header_of(j->roar, j->part, header), rows = 0;
    cp_status status = CP_OK;
    *done = j->roar->list[j->part].n;
    for (int i = 0; i < j->roar->plan.n_maps && !status; i++) {
        status = open_file(j, i, &j->file[i], &rows);
        *done = rows < *done ? rows : *done;
    }
    for (int i = 0; i < j->roar->plan.n_maps && !status; i++) {
        off_t end = (off_t)(bytes + *done * plane(j->roar) * sizeof(float));
        if (ftruncate(fileno(j->file[i]), end) || fseeko(j->file[i], end, SEEK_SET))
            status = system_error(j->roar->folder, "a file of maps cannot be cut");
    }
    return status;
}

static cp_status close_files(job *j, cp_status status)
{
    for (int i = 0; i < j->roar->plan.n_maps; i++)
        if (j->file[i] && fclose(j->file[i]) && !status)
            status = system_error(j->roar->folder, "maps cannot be written");
    return status;
}

cp_status cp_roar_read_map(const cp_roar *r, int part, FILE *file, const char *path, size_t picture, float *map)
{
    unsigned char header[256];
    size_t bytes = header_of(r, part, header), n = plane(r);
    if (fseeko(file, (off_t)(bytes + picture * n * sizeof *map), SEEK_SET) || fread(map, sizeof *map, n, file) != n)
        return cp_fail(CP_EINPUT, "%s: ends before the map of picture %zu", path, picture + 1);
    return CP_OK;
}

/* ---------------------------------------------------------------- maps */

/* Each picture has a noise of its own. */
static uint64_t seed_of(const job *j, size_t picture)
{
    uint64_t state = (uint64_t)j->roar->session->options->seed + ((uint64_t)j->part << 40) + picture;
    return cp_random_next(&state);
}

static cp_status write_maps(const job *j, cp_eval_maker *maker)
{
    const cp_roar *r = j->roar;
    cp_status status = CP_OK;
    for (int i = 0; i < r->plan.n_maps && !status; i++) {
        status = cp_eval_make_map(maker, &r->plan.map[i], j->map, NULL);
        if (!status && fwrite(j->map, sizeof *j->map, plane(r), j->file[i]) != plane(r))
            status = system_error(r->folder, "maps cannot be written");
    }
    return status;
}

/* The response is the class that the network predicts, right or wrong. */
static cp_status make_picture(const job *j, size_t picture)
{
    cp_session *s = j->roar->session;
    int classes = cp_model_classes(s->model), best = 0;
    cp_response response;
    cp_eval_maker maker = {0};
    cp_status status = cp_valid_picture_read(s->model, j->roar->list[j->part].pictures[picture], s->input);
    if (!status)
        status = cp_frame_forward(s->frame, s->input, 1, NULL);
    if (!status)
        status = cp_response_class(s->model, 0, &response);
    if (status)
        return status;
    const float *logits = cp_frame_output(s->frame, response.unit[0].layer, 0);
    for (int k = 1; k < classes; k++)
        best = logits[k] > logits[best] ? k : best;
    const cp_eval_target target = {best, NULL, {s->w, s->h, 0, 0, s->w, s->h}};
    const cp_attribution_call call = {.frame = s->frame,
                                      .response = &response,
                                      .target = &target,
                                      .layer = s->options->layer,
                                      .seed = seed_of(j, picture),
                                      .run = {.memory = s->options->mem}};
    status = cp_response_class(s->model, best, &response);
    if (!status)
        status = cp_eval_maker_open(s, &call, &maker);
    if (!status)
        status = write_maps(j, &maker);
    cp_eval_maker_free(&maker);
    return status;
}

static cp_status make_part(cp_roar *r, int part)
{
    job j = {.roar = r, .part = part};
    size_t done = 0, n = r->list[part].n;
    char what[40];
    snprintf(what, sizeof what, "maps of %s", cp_roar_parts[part]);
    j.map = cp_alloc(plane(r), sizeof *j.map, "map");
    cp_status status = j.map ? open_files(&j, &done) : CP_ERESOURCE;
    cp_progress *progress = cp_progress_start(what, (double)n, r->session->options->quiet);
    for (size_t i = done; i < n && !status; i++) {
        status = make_picture(&j, i);
        cp_progress_update(progress, (double)(i + 1));
    }
    cp_progress_end(&progress);
    status = close_files(&j, status);
    cp_free(j.map);
    return status;
}

cp_status cp_roar_make_maps(cp_roar *r)
{
    char folder[CP_ROAR_FILE];
    cp_status status = CP_OK;
    snprintf(folder, sizeof folder, "%s/maps", r->folder);
    if (mkdir(folder, 0777) && errno != EEXIST)
        return system_error(folder, "cannot be made");
    for (int part = 0; part < CP_ROAR_PARTS && !status; part++)
        status = make_part(r, part);
    return status;
}

/* ---------------------------------------------------------------- ROAD */

static cp_status road_of_picture(const cp_roar *r, const float *map, size_t picture, double *curve)
{
    const cp_session *s = r->session;
    cp_response response;
    cp_eval_target target = {0, NULL, {s->w, s->h, 0, 0, s->w, s->h}};
    cp_status status = cp_valid_picture_read(s->model, r->list[CP_ROAR_VALID].pictures[picture], s->input);
    if (!status)
        status = cp_frame_forward(s->frame, s->input, 1, NULL);
    if (!status)
        status = cp_response_class(s->model, 0, &response);
    const float *logits = status ? NULL : cp_frame_output(s->frame, response.unit[0].layer, 0);
    for (int k = 1; k < cp_model_classes(s->model) && !status; k++)
        target.class_id = logits[k] > logits[target.class_id] ? k : target.class_id;
    const cp_degrade_options options = {.run = {.memory = s->options->mem},
                                        .fill = CP_FILL_IMPUTE,
                                        .fractions = r->fraction,
                                        .n = r->n_fractions,
                                        .seed = (uint64_t)s->options->seed + picture};
    return status ? status : cp_degrade(s->model, s->input, map, &target, &options, curve);
}

static cp_status road_of_map(cp_roar *r, int map)
{
    double mean[CP_MAX_SPARSITIES + 1] = {0}, curve[CP_MAX_SPARSITIES + 1];
    size_t n = r->list[CP_ROAR_VALID].n < (size_t)r->road ? r->list[CP_ROAR_VALID].n : (size_t)r->road;
    char path[CP_ROAR_FILE];
    json_t *record = json_object(), *values = json_array();
    float *plane_of_map = cp_alloc(plane(r), sizeof *plane_of_map, "map");
    cp_roar_map_path(r, map, CP_ROAR_VALID, path);
    FILE *file = fopen(path, "rb");
    cp_status status = !file ? system_error(path, "cannot be read") : plane_of_map ? CP_OK : CP_ERESOURCE;
    for (size_t i = 0; i < n && !status; i++) {
        status = cp_roar_read_map(r, CP_ROAR_VALID, file, path, i, plane_of_map);
        if (!status)
            status = road_of_picture(r, plane_of_map, i, curve);
        for (int k = 0; k < r->n_fractions && !status; k++)
            mean[k] += curve[k] / (double)n;
    }
    if (file)
        fclose(file);
    cp_free(plane_of_map);
    int bad = cp_json_set(record, "step", cp_json_text("road")) |
              cp_json_set(record, "map", cp_json_text(r->plan.map[map].name));
    for (int k = 0; k < r->n_fractions; k++)
        bad |= cp_json_append(values, cp_json_real(mean[k]));
    bad |= cp_json_set(record, "probability", values);
    if (!status && bad)
        status = CP_ERESOURCE;
    if (!status)
        return cp_ledger_add(r->ledger, cp_roar_road_step(r, map), record);
    json_decref(record);
    return status;
}

cp_status cp_roar_measure_road(cp_roar *r)
{
    cp_status status = CP_OK;
    cp_progress *progress = cp_progress_start("ROAD", r->plan.n_maps, r->session->options->quiet);
    for (int i = 0; i < r->plan.n_maps && r->road && !status; i++) {
        if (!cp_ledger_has(r->ledger, cp_roar_road_step(r, i)))
            status = road_of_map(r, i);
        cp_progress_update(progress, i + 1);
    }
    cp_progress_end(&progress);
    return status;
}

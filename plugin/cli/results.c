#include "cli/list.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "io/error.h"
#include "io/json.h"
#include "io/npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void cp_drawn_make(const cp_session *s, const cp_item *item, const cp_subject *subject, const char *path,
                   const char *zero, cp_drawn *drawn)
{
    *drawn = (cp_drawn){.has_box = subject->detection};
    bool of_class = !subject->detection || s->options->target == CP_TARGET_CLASS;
    const char *target = of_class ? "" : cp_choice_name("target", s->options->target);
    snprintf(drawn->title, sizeof drawn->title, "%s%s%s", subject->label, *target ? ": " : "", target);
    snprintf(drawn->path, sizeof drawn->path, "%s", path);
    snprintf(drawn->zero, sizeof drawn->zero, "%s", zero ? zero : "");
    if (drawn->has_box)
        cp_detection_rectangle(s, item, subject->detection, &drawn->box.x, &drawn->box.y, &drawn->box.w, &drawn->box.h);
}

/* ---------------------------------------------------------------- the writers */

static cp_status write_picture(const cp_session *s, const cp_result *r, const char *png)
{
    const float *heat = s->options->map == CP_MAP_GRADIENT ? NULL : r->heat;
    bool of_heat = heat && cp_picture_wanted(s->options) != CP_PICTURE_SIGNED;
    const cp_drawn_map drawn_map = {.values = of_heat ? heat : r->map, .heat = of_heat, .c = of_heat ? 1 : r->planes,
                                    .h = s->h, .w = s->w, .placement = r->item->placement};
    return cp_draw_map(s->options, &r->item->photo, &drawn_map, r->drawn, of_heat || !heat ? r->where : NULL, png);
}

static cp_status write_map(const cp_session *s, const cp_result *r, const char *npy)
{
    cp_array_type type = cp_array_chw(CP_FLOAT32, r->planes, s->h, s->w);
    return cp_npy_write(npy, &type, r->map);
}

static cp_status write_heat(const cp_session *s, const cp_result *r, const char *npy)
{
    cp_array_type type = cp_array_chw(CP_FLOAT32, 2, s->h, s->w);
    return cp_npy_write(npy, &type, r->heat);
}

/* What the file is of: this image and response, or what a score file said. */
static void fill_meta(const cp_session *s, const cp_result *r, cp_file_meta *meta)
{
    *meta = r->from ? *r->from : (cp_file_meta){0};
    meta->signed_scores = false;
    if (r->from)
        return;
    snprintf(meta->method, sizeof meta->method, "%s", s->options->method);
    snprintf(meta->input_sha256, sizeof meta->input_sha256, "%s", r->item->input_sha256);
    meta->response = r->subject->response;
    meta->seed = (uint64_t)s->options->seed;
}

static cp_status write_path(const cp_session *s, const cp_result *r, const char *npz)
{
    const cp_pathway *pathway = r->pathway;
    cp_file_meta meta;
    fill_meta(s, r, &meta);
    meta.sparsity_asked = isnan(pathway->asked) ? pathway->selection.sparsity : pathway->asked;
    meta.threshold = pathway->selection.threshold;
    return cp_path_write(npz, pathway->path, &meta);
}

static cp_status write_score(const cp_session *s, const cp_result *r, const char *npz)
{
    cp_file_meta meta;
    fill_meta(s, r, &meta);
    return cp_score_write(npz, s->model, r->score, &meta);
}

static cp_status write_json(const cp_session *s, const cp_result *r, const char *json)
{
    (void)s;
    return cp_json_write_file(r->object, json);
}

/* ---------------------------------------------------------------- the table */

static const struct {
    const char *ending, *key;
    cp_status (*write)(const cp_session *s, const cp_result *r, const char *path);
} rows[CP_RESULTS] = {
    [CP_RESULT_PICTURE] = {".png", "picture", write_picture}, [CP_RESULT_MAP] = {".npy", "map", write_map},
    [CP_RESULT_HEAT] = {".heat.npy", "heat", write_heat},     [CP_RESULT_PATH] = {".path.npz", "path", write_path},
    [CP_RESULT_SCORE] = {".score.npz", "score", write_score}, [CP_RESULT_JSON] = {".json", "json", write_json},
};

const char *cp_result_key(cp_result_kind kind) { return rows[kind].key; }

cp_status cp_result_write(const cp_session *s, cp_result_kind kind, const cp_result *r, char path[4096])
{
    *path = 0;
    if (kind == CP_RESULT_PICTURE && cp_picture_wanted(s->options) == CP_PICTURE_NONE)
        return CP_OK;
    cp_status status = cp_output_path(s, r->item, r->tag ? r->tag : "", rows[kind].ending, path);
    cp_list_pause(s);
    if (!status)
        status = rows[kind].write(s, r, path);
    cp_list_resume(s);
    return status;
}

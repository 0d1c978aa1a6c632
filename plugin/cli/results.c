#include "cli/list.h"
#include "cli/results.h"
#include "io/error.h"
#include "io/npy.h"
#include "io/overlay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static cp_status draw_map(const cp_session *s, const cp_item *item, const cp_subject *subject, const float *map,
                          const char *const *lines, size_t n_lines, const char *png)
{
    const cp_placement *at = &item->placement;
    cp_picture picture = {0};
    cp_overlay_box box = {0};
    float *flat = cp_alloc(s->h * s->w, sizeof *flat, "picture");
    if (!flat)
        return CP_ERESOURCE;
    cp_map_reduce(map, s->c, s->h, s->w, flat);
    cp_overlay overlay = {
        .photo = &item->photo,
        .map = flat,
        .map_w = (int)s->w,
        .map_h = (int)s->h,
        .sx = (double)at->photo_w / (double)at->w,
        .sy = (double)at->photo_h / (double)at->h,
        .is_signed = true,
        .title = subject->label,
        .lines = lines,
        .n_lines = n_lines,
    };
    overlay.x0 = -(double)at->x * overlay.sx;
    overlay.y0 = -(double)at->y * overlay.sy;
    if (subject->detection) {
        cp_detection_rectangle(s, item, subject->detection, &box.x, &box.y, &box.w, &box.h);
        box.label = subject->label;
        overlay.boxes = &box;
        overlay.n_boxes = 1;
    }
    cp_status status = cp_overlay_draw(&overlay, &picture);
    if (!status)
        status = cp_picture_write_png(&picture, png);
    cp_picture_free(&picture);
    cp_free(flat);
    return status;
}

cp_status cp_write_map(const cp_session *s, const cp_item *item, const cp_subject *subject, const float *map,
                       const char *tag, const char *const *lines, size_t n_lines, char npy[4096], char png[4096])
{
    cp_array_type type = cp_array_chw(CP_FLOAT32, s->c, s->h, s->w);
    *png = 0;
    cp_status status = cp_output_path(s, item, tag, ".npy", npy);
    if (!status && !s->options->no_picture)
        status = cp_output_path(s, item, tag, ".png", png);
    cp_list_pause(s);
    if (!status)
        status = cp_npy_write(npy, &type, map);
    cp_list_resume(s);
    if (!status && *png)
        status = draw_map(s, item, subject, map, lines, n_lines, png);
    return status;
}

cp_status cp_write_heat(const cp_session *s, const cp_item *item, const float *heat, const char *tag, char npy[4096])
{
    cp_array_type type = cp_array_chw(CP_FLOAT32, 2, s->h, s->w);
    cp_status status = cp_output_path(s, item, tag, ".heat.npy", npy);
    cp_list_pause(s);
    if (!status)
        status = cp_npy_write(npy, &type, heat);
    cp_list_resume(s);
    return status;
}

/* What the file is of: this image and response, or what a score file said. */
static void fill_meta(const cp_session *s, const cp_item *item, const cp_subject *subject, const cp_file_meta *from,
                      cp_file_meta *meta)
{
    *meta = from ? *from : (cp_file_meta){0};
    meta->signed_scores = false;
    if (from)
        return;
    snprintf(meta->method, sizeof meta->method, "%s", s->options->method);
    snprintf(meta->input_sha256, sizeof meta->input_sha256, "%s", item->input_sha256);
    meta->response = subject->response;
    meta->seed = (uint64_t)s->options->seed;
}

cp_status cp_write_path(const cp_session *s, const cp_item *item, const cp_subject *subject, const cp_file_meta *from,
                        const cp_pathway *pathway, const char *tag, char npz[4096])
{
    cp_file_meta meta;
    fill_meta(s, item, subject, from, &meta);
    meta.sparsity_asked = pathway->asked;
    meta.threshold = pathway->selection.threshold;
    cp_status status = cp_output_path(s, item, tag, ".path.npz", npz);
    cp_list_pause(s);
    if (!status)
        status = cp_path_write(npz, pathway->path, &meta);
    cp_list_resume(s);
    return status;
}

cp_status cp_write_score(const cp_session *s, const cp_item *item, const cp_subject *subject, const float *score,
                         const char *tag, char npz[4096])
{
    cp_file_meta meta;
    fill_meta(s, item, subject, NULL, &meta);
    cp_status status = cp_output_path(s, item, tag, ".score.npz", npz);
    cp_list_pause(s);
    if (!status)
        status = cp_score_write(npz, s->model, score, &meta);
    cp_list_resume(s);
    return status;
}

#include "cli/list.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "io/error.h"
#include "io/npy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cp_status cp_write_map(const cp_session *s, const cp_item *item, const float *map, const char *tag, char npy[4096])
{
    cp_array_type type = cp_array_chw(CP_FLOAT32, s->c, s->h, s->w);
    cp_status status = cp_output_path(s, item, tag, ".npy", npy);
    cp_list_pause(s);
    if (!status)
        status = cp_npy_write(npy, &type, map);
    cp_list_resume(s);
    return status;
}

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

cp_status cp_write_picture(const cp_session *s, const cp_item *item, const float *map, const float *heat,
                           const cp_heat_region *where, const cp_drawn *drawn, const char *tag, char png[4096])
{
    int wanted = cp_picture_wanted(s->options);
    *png = 0;
    if (wanted == CP_PICTURE_NONE)
        return CP_OK;
    bool of_heat = heat && wanted != CP_PICTURE_SIGNED;
    const cp_drawn_map drawn_map = {.values = of_heat ? heat : map, .heat = of_heat, .c = of_heat ? 1 : s->c, .h = s->h,
                                    .w = s->w, .placement = item->placement};
    cp_status status = cp_output_path(s, item, tag, ".png", png);
    if (status)
        return status;
    return cp_draw_map(s->options, &item->photo, &drawn_map, drawn, of_heat || !heat ? where : NULL, png);
}

cp_status cp_write_planes(const cp_session *s, const cp_item *item, const float *values, size_t planes, const char *tag,
                          const char *ending, char npy[4096])
{
    cp_array_type type = cp_array_chw(CP_FLOAT32, planes, s->h, s->w);
    cp_status status = cp_output_path(s, item, tag, ending, npy);
    cp_list_pause(s);
    if (!status)
        status = cp_npy_write(npy, &type, values);
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
    meta.sparsity_asked = isnan(pathway->asked) ? pathway->selection.sparsity : pathway->asked;
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

#include "cli/where.h"
#include "cli/drawing.h"
#include "io/error.h"
#include "io/json.h"

#include <math.h>

/* The photo's part of a detection's box. */
static cp_photo_box box_in_photo(const cp_session *s, const cp_item *item, const cp_detection *d)
{
    double x, y, w, h;
    cp_detection_rectangle(s, item, d, &x, &y, &w, &h);
    double right = fmin(x + w, (double)item->photo.w), bottom = fmin(y + h, (double)item->photo.h);
    x = fmax(x, 0);
    y = fmax(y, 0);
    return (cp_photo_box){x, y, fmax(right - x, 0), fmax(bottom - y, 0)};
}

cp_status cp_where_find(const cp_session *s, const cp_item *item, const cp_subject *subject, const cp_pathway *pathway,
                        cp_heat_region *where)
{
    cp_photo_box box;
    float *plane;
    bool heat = s->options->map == CP_MAP_CONTRIBUTION;
    const cp_drawn_map map = {.values = heat ? pathway->heat : pathway->map, .heat = heat, .c = heat ? 1 : s->c,
                              .h = s->h, .w = s->w};
    cp_status status = cp_heat_of(&map, &plane);
    if (status)
        return status;
    if (subject->detection)
        box = box_in_photo(s, item, subject->detection);
    status = cp_heat_find_region(plane, s->h, s->w, &item->placement, cp_blur_of(s->options, heat),
                                 subject->detection ? &box : NULL, where);
    cp_free(plane);
    return status;
}

/* "1 part", "2 parts of at least 5% and 40 smaller", "43 parts of less than 5% each". */
static const char *parts_text(const cp_heat_region *where, char text[80])
{
    size_t smaller = where->parts - where->large;
    if (!where->large)
        snprintf(text, 80, "%zu part%s of less than 5%%%s", where->parts, where->parts == 1 ? "" : "s",
                 where->parts == 1 ? "" : " each");
    else if (!smaller)
        snprintf(text, 80, "%zu part%s", where->parts, where->parts == 1 ? "" : "s");
    else
        snprintf(text, 80, "%zu part%s of at least 5%% and %zu smaller", where->large, where->large == 1 ? "" : "s", smaller);
    return text;
}

void cp_where_print(const cp_session *s, const cp_item *item, const cp_subject *subject, const cp_heat_region *where,
                    FILE *to)
{
    if (where->zero) {
        fprintf(to, "map: no heat on the photo: %s\n", CP_NO_HEAT);
        return;
    }
    char text[80];
    const char *what = s->options->map == CP_MAP_GRADIENT ? "gradient" : "heat";
    fprintf(to, "map: ");
    if (subject->detection) {
        cp_photo_box box = box_in_photo(s, item, subject->detection);
        fprintf(to, "%.0f%% of the %s in the box, which is %.1f%% of the photo; ", 100 * where->box, what,
                100 * box.w * box.h / ((double)item->photo.w * (double)item->photo.h));
    }
    fprintf(to, "half of the %s on %.1f%% of the photo, in %s\n", what, 100 * where->area, parts_text(where, text));
    for (int i = 0; i < where->n; i++) {
        const cp_heat_part *part = &where->part[i];
        fprintf(to, "  part %d  %3.0f%%  x %zu..%zu  y %zu..%zu\n", i + 1, 100 * part->share, part->x,
                part->x + part->w - 1, part->y, part->y + part->h - 1);
    }
}

static json_t *part_json(const cp_heat_part *part)
{
    json_t *object = json_object();
    json_t *rectangle = json_pack("[I,I,I,I]", (json_int_t)part->x, (json_int_t)part->y, (json_int_t)part->w,
                                  (json_int_t)part->h);
    int bad = cp_json_set(object, "share", cp_json_real(part->share));
    bad |= cp_json_set(object, "photo_xywh", rectangle);
    return cp_json_finish(object, bad);
}

json_t *cp_where_json(const cp_heat_region *where)
{
    json_t *parts = json_array();
    json_t *object = cp_json_pack("{s:b,s:o,s:o,s:o,s:o,s:I,s:I}", "zero", where->zero,
                                  "share_in_box", cp_json_real(where->box),
                                  "share_in_region", cp_json_real(where->share),
                                  "region_share_of_photo", cp_json_real(where->area),
                                  "share_in_bars", cp_json_real(where->beside),
                                  "region_parts", (json_int_t)where->parts,
                                  "region_parts_of_5_percent", (json_int_t)where->large);
    int bad = !object;
    for (int i = 0; i < where->n; i++)
        bad |= cp_json_append(parts, part_json(&where->part[i]));
    bad |= cp_json_set(object, "parts", parts);
    return cp_json_finish(object, bad);
}

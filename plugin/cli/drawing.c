#include "cli/drawing.h"

#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/overlay.h"
#include "io/sheet.h"
#include "map/region.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* A gradient is spiky where a contribution is not. */
static const double GRADIENT_BLUR = .02;

int cp_picture_wanted(const cp_options *o) { return o->no_picture ? CP_PICTURE_NONE : o->picture; }

double cp_blur_of(const cp_options *o, bool heat)
{
    return o->blur >= 0 ? o->blur : heat ? CP_HEAT_BLUR : GRADIENT_BLUR;
}

cp_status cp_heat_of(const cp_drawn_map *map, float **heat)
{
    size_t n = map->h * map->w;
    if (!(*heat = cp_alloc(n, sizeof **heat, "heat")))
        return CP_ERESOURCE;
    for (size_t c = 0; c < map->c; c++)
        for (size_t i = 0; i < n; i++)
            (*heat)[i] += map->heat ? map->values[c * n + i] : fabsf(map->values[c * n + i]);
    return CP_OK;
}

/* ---------------------------------------------------------------- captions */

/* Appends to text, which has room for CP_DRAWN_TEXT bytes. */
static void __attribute__((format(printf, 2, 3))) add(char *text, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, CP_DRAWN_TEXT - used, format, arguments);
    va_end(arguments);
}

/* "2.5", "37", "0.04": two digits that count, no more than a person reads. */
static const char *percent(double share, char text[16])
{
    double p = 100 * share;
    snprintf(text, 16, p >= 9.95 ? "%.0f%%" : p >= .095 || p == 0 ? "%.1f%%" : "%.2g%%", p);
    return text;
}

static void caption_heat(const cp_drawn *drawn, const cp_heat_region *region, bool heat, char *text)
{
    char share[16], area[16];
    snprintf(text, CP_DRAWN_TEXT, "%s", heat ? "heat: where the path's neurons speak for this answer."
                                             : "heat: how much the answer hangs on each place.");
    if (region->zero) {
        const char *why = *drawn->zero           ? drawn->zero
                          : heat && *drawn->path ? CP_NO_HEAT
                                                 : "";
        add(text, " There is none%s%s.", *why ? ": " : "", why);
        return;
    }
    add(text, " The white line holds %s of it on %s of the photo.",
        region->share < .505 ? "half" : percent(region->share, share), percent(region->area, area));
    if (drawn->has_box)
        add(text, " %s of the heat lies in the box.", percent(region->box, share));
}

static void caption_zoom(const cp_heat_region *region, char *text)
{
    char share[16];
    *text = 0;
    if (region->zero)
        return;
    if (!region->n)
        add(text, "inside the white line: %zu places, none with 5%% of the heat", region->parts);
    else
        add(text, "inside the white line, enlarged:");
    for (int i = 0; i < region->n; i++) {
        const cp_heat_part *p = &region->part[i];
        add(text, "%s %d: %s at x %zu..%zu, y %zu..%zu", i ? ";" : "", i + 1, percent(p->share, share), p->x,
            p->x + p->w - 1, p->y, p->y + p->h - 1);
    }
}

/* ---------------------------------------------------------------- pictures */

static cp_status draw_sheet(const cp_options *o, const cp_picture *photo, const cp_drawn_map *map,
                            const cp_drawn *drawn, const cp_heat_region *known, cp_picture *picture)
{
    static const unsigned panels[] = {[CP_PICTURE_SHEET] = CP_PANEL_PHOTO | CP_PANEL_HEAT | CP_PANEL_ZOOM,
                                      [CP_PICTURE_HEAT] = CP_PANEL_HEAT, [CP_PICTURE_ZOOM] = CP_PANEL_ZOOM};
    const cp_placement *at = &map->placement;
    double blur = cp_blur_of(o, map->heat);
    char title[CP_DRAWN_TEXT + 8], heat_text[CP_DRAWN_TEXT], zoom_text[CP_DRAWN_TEXT];
    cp_heat_region region;
    float *heat = NULL, *plane = cp_alloc_dirty(at->h * at->w, sizeof *plane, "heat");
    cp_status status = plane ? cp_heat_of(map, &heat) : CP_ERESOURCE;
    if (!status)
        status = cp_heat_over_photo(heat, map->h, map->w, at, blur, plane);
    if (!status && known)
        region = *known;
    else if (!status)
        status = cp_heat_find_region(heat, map->h, map->w, at, blur, drawn->has_box ? &drawn->box : NULL, &region);
    if (!status) {
        snprintf(title, sizeof title, "%s%s", *drawn->title ? "why " : "", drawn->title);
        caption_heat(drawn, &region, map->heat, heat_text);
        caption_zoom(&region, zoom_text);
        const cp_sheet sheet = {
            .panels = panels[cp_picture_wanted(o)],
            .photo = photo,
            .heat = plane,
            .heat_w = at->w,
            .heat_h = at->h,
            .region = &region,
            .box = drawn->has_box ? &drawn->box : NULL,
            .label = drawn->title,
            .truth = drawn->has_truth ? &drawn->truth : NULL,
            .truth_label = drawn->truth_label,
            .title = title,
            .caption = {drawn->path, heat_text, zoom_text},
            .colour = cp_choice_name("colour", o->colour),
            .alpha = o->alpha,
        };
        status = cp_sheet_draw(&sheet, picture);
    }
    cp_free(heat);
    cp_free(plane);
    return status;
}

/* One signed channel: that of the largest magnitude, or with -blur, which mixes places, the sum of all. */
static cp_status signed_plane(const cp_options *o, const cp_drawn_map *map, float **plane)
{
    size_t n = map->h * map->w;
    if (!(*plane = cp_alloc(n, sizeof **plane, "picture")))
        return CP_ERESOURCE;
    if (o->blur > 0)
        for (size_t i = 0; i < map->c * n; i++)
            (*plane)[i % n] += map->values[i];
    else
        cp_map_reduce(map->values, map->c, map->h, map->w, *plane);
    return CP_OK;
}

static cp_status draw_signed(const cp_options *o, const cp_picture *photo, const cp_drawn_map *map,
                             const cp_drawn *drawn, cp_picture *picture)
{
    const cp_placement *at = &map->placement;
    float *plane;
    const char *lines[] = {drawn->path, drawn->zero};
    cp_status status = signed_plane(o, map, &plane);
    if (status)
        return status;
    const cp_overlay_box truth = {drawn->truth.x, drawn->truth.y, drawn->truth.w, drawn->truth.h, drawn->truth_label};
    cp_overlay_box boxes[2] = {{drawn->box.x, drawn->box.y, drawn->box.w, drawn->box.h, drawn->title}};
    size_t n_boxes = drawn->has_box;
    if (drawn->has_truth)
        boxes[n_boxes++] = truth;
    cp_overlay overlay = {
        .photo = photo,
        .map = plane,
        .map_w = (int)map->w,
        .map_h = (int)map->h,
        .sx = (double)at->photo_w / (double)at->w,
        .sy = (double)at->photo_h / (double)at->h,
        .is_signed = true,
        .blur = o->blur > 0 ? o->blur * (double)(at->w > at->h ? at->w : at->h) : 0,
        .boxes = boxes,
        .n_boxes = n_boxes,
        .title = drawn->title,
        .lines = lines,
        .n_lines = *drawn->zero ? 2 : 1,
    };
    overlay.x0 = -(double)at->x * overlay.sx;
    overlay.y0 = -(double)at->y * overlay.sy;
    status = cp_overlay_draw(&overlay, picture);
    cp_free(plane);
    return status;
}

cp_status cp_draw_map(const cp_options *o, const cp_picture *photo, const cp_drawn_map *map, const cp_drawn *drawn,
                      const cp_heat_region *region, const char *png)
{
    cp_picture picture = {0};
    if (cp_picture_wanted(o) == CP_PICTURE_NONE)
        return CP_OK;
    cp_status status = cp_picture_wanted(o) == CP_PICTURE_SIGNED ? draw_signed(o, photo, map, drawn, &picture)
                                                                 : draw_sheet(o, photo, map, drawn, region, &picture);
    char missing[5];
    if (!status && cp_text_lacks(drawn->title, missing))
        cp_notice("%s: no font here has %s, a box stands for it: install fonts-droid-fallback or fonts-noto-cjk, or name a font "
                  "by CRITPATH_FONT", png, missing);
    if (!status)
        status = cp_picture_write_png(&picture, png);
    cp_picture_free(&picture);
    return status;
}

/* ---------------------------------------------------------------- as JSON */

json_t *cp_drawn_json(const cp_drawn *drawn, const char *const *arrays, int n)
{
    json_t *object = json_object(), *names = json_array();
    const cp_photo_box *b = &drawn->box;
    int bad = 0;
    for (int i = 0; i < n; i++)
        bad |= cp_json_append(names, cp_json_text(cp_file_name(arrays[i])));
    bad |= cp_json_set(object, "arrays", names);
    bad |= cp_json_set(object, "title", cp_json_text(drawn->title));
    json_t *box = drawn->has_box ? json_pack("[f,f,f,f]", b->x, b->y, b->w, b->h) : json_null();
    bad |= cp_json_set(object, "box_xywh", box);
    bad |= cp_json_set(object, "path", cp_json_text(drawn->path));
    bad |= cp_json_set(object, "zero", *drawn->zero ? cp_json_text(drawn->zero) : json_null());
    return cp_json_finish(object, bad);
}

static bool names_array(const json_t *drawn, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(drawn, "arrays"), i, one)
        if (json_is_string(one) && !strcmp(json_string_value(one), name))
            return true;
    return false;
}

static void read_text(const json_t *object, const char *key, char out[CP_DRAWN_TEXT])
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(out, CP_DRAWN_TEXT, "%s", text ? text : "");
}

static void read_drawn(const json_t *object, cp_drawn *drawn)
{
    const json_t *box = json_object_get(object, "box_xywh");
    double *to[4] = {&drawn->box.x, &drawn->box.y, &drawn->box.w, &drawn->box.h};
    *drawn = (cp_drawn){.has_box = json_array_size(box) == 4};
    read_text(object, "title", drawn->title);
    read_text(object, "path", drawn->path);
    read_text(object, "zero", drawn->zero);
    for (size_t i = 0; drawn->has_box && i < 4; i++)
        *to[i] = json_number_value(json_array_get(box, i));
}

bool cp_drawn_find(const json_t *json, const char *array, cp_drawn *drawn)
{
    const json_t *own = json_object_get(json, "drawn");
    if (own && names_array(own, cp_file_name(array))) {
        read_drawn(own, drawn);
        return true;
    }
    size_t i;
    const char *key;
    json_t *inner;
    json_array_foreach((json_t *)json, i, inner)
        if (cp_drawn_find(inner, array, drawn))
            return true;
    json_object_foreach((json_t *)json, key, inner)
        if (cp_drawn_find(inner, array, drawn))
            return true;
    return false;
}

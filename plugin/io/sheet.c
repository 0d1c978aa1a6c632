#include "io/sheet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/error.h"
#include "io/resample.h"
#include "io/smooth.h"
#include "io/threshold.h"

enum {
    MARGIN = 20,
    GAP = 16,
    PANEL = 600,        /* pixels of a panel's longer side */
    LONE_PANEL = 800,   /* of one that stands alone */
    THIN = 16,          /* of a panel's shorter side at least: a photo of 3000 x 7 is to be seen, too */
    MIN_COLUMN = 400,   /* the captions need it */
    TITLE_SIZE = 32,
    LABEL_SIZE = 20,
    CAPTION_SIZE = 19,
    CAPTION_LINES = 16,
    LEVELS = 1024,      /* steps of the heat's strength */
    DISC = 12,          /* radius of the discs with numbers */
};

static const double FULL_QUANTILE = .998, GREY_SHARE = .6, OUTSIDE = .35, ZOOM = 1.3, LEAST_ZOOM = 1 / 8.;
static const cp_colour paper = {255, 255, 255}, ink = {28, 28, 28}, soft_ink = {70, 70, 70}, white = {255, 255, 255};

/* A part of the photo, in whole photo pixels, and the panel that shows it. */
struct view {
    double x, y, kx, ky; /* photo corner; photo pixels per panel pixel */
    int w, h;            /* of the panel */
};

static struct view view_of(const cp_photo_box *part, int w, int h)
{
    return (struct view){part->x, part->y, part->w / w, part->h / h, w, h};
}

static double luminance(const unsigned char *rgb) { return .299 * rgb[0] + .587 * rgb[1] + .114 * rgb[2]; }

static unsigned char to_byte(double value) { return (unsigned char)(value <= 0 ? 0 : value >= 255 ? 255 : value + .5); }

/* ---------------------------------------------------------------- what is drawn on panels */

static void draw_box(cp_picture *panel, const struct view *v, const cp_photo_box *box, int thickness, const char *label)
{
    double x1 = box->x + box->w, y1 = box->y + box->h;
    cp_draw_detection(panel, (box->x - v->x) / v->kx, (box->y - v->y) / v->ky, (x1 - v->x) / v->kx, (y1 - v->y) / v->ky,
                      thickness, label);
}

/* named: with its label. */
static void draw_truth(const cp_sheet *s, cp_picture *panel, const struct view *v, bool named)
{
    const cp_photo_box *box = s->truth;
    if (box)
        cp_draw_true_box(panel, (box->x - v->x) / v->kx, (box->y - v->y) / v->ky, (box->x + box->w - v->x) / v->kx,
                         (box->y + box->h - v->y) / v->ky, named ? s->truth_label : NULL);
}

static void draw_faint_frame(cp_picture *panel, const struct view *v, const cp_photo_box *part)
{
    int x0 = (int)((part->x - v->x) / v->kx + .5), x1 = (int)((part->x + part->w - v->x) / v->kx + .5) - 1;
    int y0 = (int)((part->y - v->y) / v->ky + .5), y1 = (int)((part->y + part->h - v->y) / v->ky + .5) - 1;
    for (int x = x0; x <= x1; x++) {
        cp_draw_blend(panel, x, y0, .65, white);
        cp_draw_blend(panel, x, y1, .65, white);
    }
    for (int y = y0 + 1; y < y1; y++) {
        cp_draw_blend(panel, x0, y, .65, white);
        cp_draw_blend(panel, x1, y, .65, white);
    }
}

struct spot {
    double x, y;
};

/* The hottest place of a part, in photo pixels. */
static struct spot hottest(const cp_sheet *s, const cp_heat_part *part)
{
    double sx = (double)s->heat_w / s->photo->w, sy = (double)s->heat_h / s->photo->h;
    size_t x1 = (size_t)ceil((double)(part->x + part->w) * sx), y1 = (size_t)ceil((double)(part->y + part->h) * sy);
    size_t best_x = (size_t)((double)part->x * sx), best_y = (size_t)((double)part->y * sy);
    for (size_t y = best_y; y < y1 && y < s->heat_h; y++)
        for (size_t x = (size_t)((double)part->x * sx); x < x1 && x < s->heat_w; x++)
            if (s->heat[y * s->heat_w + x] > s->heat[best_y * s->heat_w + best_x]) {
                best_x = x;
                best_y = y;
            }
    return (struct spot){((double)best_x + .5) / sx, ((double)best_y + .5) / sy};
}

/* Whether a disc at `at` is on the panel, clear of the region (where inside is above `level`) and of the n other
 * discs. */
static bool disc_fits(const struct view *v, const float *inside, float level, struct spot at,
                      const struct spot *others, int n)
{
    double room = DISC + 3;
    if (at.x < room || at.y < room || at.x > v->w - room || at.y > v->h - room)
        return false;
    for (int k = 0; k < n; k++) {
        double dx = at.x - others[k].x, dy = at.y - others[k].y;
        if (dx * dx + dy * dy < 4 * room * room)
            return false;
    }
    for (int y = -DISC; y <= DISC; y += 3)
        for (int x = -DISC; x <= DISC; x += 3)
            if (x * x + y * y <= DISC * DISC && inside[(size_t)(at.y + y) * (size_t)v->w + (size_t)(at.x + x)] >= level)
                return false;
    return true;
}

/* The free place nearest to the part's hottest one; where there is none, that one itself. */
static struct spot place_disc(const struct view *v, const float *inside, float level, struct spot hot,
                              const struct spot *others, int n)
{
    struct spot aim = {(hot.x - v->x) / v->kx, (hot.y - v->y) / v->ky}, best = aim;
    double least = INFINITY;
    for (int y = DISC; y < v->h; y += 4)
        for (int x = DISC; x < v->w; x += 4) {
            struct spot at = {x, y};
            double distance = (x - aim.x) * (x - aim.x) + (y - aim.y) * (y - aim.y);
            if (distance < least && disc_fits(v, inside, level, at, others, n)) {
                least = distance;
                best = at;
            }
        }
    return best;
}

/* inside: shape (h,w) of the panel, at least `level` where the region is. */
static void draw_numbers(const cp_sheet *s, cp_picture *panel, const struct view *v, const float *inside, float level)
{
    struct spot discs[CP_HEAT_PARTS];
    for (int i = 0; i < s->region->n; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i + 1);
        discs[i] = place_disc(v, inside, level, hottest(s, &s->region->part[i]), discs, i);
        cp_draw_disc(panel, discs[i].x, discs[i].y, DISC + 1.5, ink);
        cp_draw_disc(panel, discs[i].x, discs[i].y, DISC, white);
        cp_draw_text(panel, discs[i].x - cp_text_width(LABEL_SIZE - 2, text) / 2, discs[i].y - (LABEL_SIZE - 2) / 2.,
                     LABEL_SIZE - 2, ink, text);
    }
}

/* ---------------------------------------------------------------- the three panels */

/* The photo's part at the panel's pixels, and the heat there, not negative. heat: room for w * h. */
static cp_status show(const cp_sheet *s, const cp_photo_box *part, int w, int h, cp_picture *panel, float *heat)
{
    double sx = (double)s->heat_w / s->photo->w, sy = (double)s->heat_h / s->photo->h;
    const cp_photo_box there = {part->x * sx, part->y * sy, part->w * sx, part->h * sy};
    cp_status status = cp_resample_picture(s->photo, part, w, h, panel);
    if (!status && heat)
        status = cp_resample_plane(s->heat, s->heat_h, s->heat_w, &there, (size_t)h, (size_t)w, heat);
    for (size_t i = 0; heat && i < (size_t)w * (size_t)h && !status; i++)
        heat[i] = heat[i] > 0 ? heat[i] : 0;
    return status;
}

/* The heat that gets the brightest colour: the 99.8 percentile, or the greatest of a map that is zero up to there. */
static cp_status find_full(const cp_sheet *s, float *full)
{
    size_t n = s->heat_w * s->heat_h;
    cp_status status = cp_threshold(s->heat, n, false, (double)n - floor(FULL_QUANTILE * (double)(n - 1)), full);
    if (!status && !(*full > 0))
        status = cp_threshold(s->heat, n, false, 1, full);
    return status;
}

/* The level between the values in the region and those outside, so that its line runs between their pixels: a region
 * of one pixel is as large as that pixel. */
static float region_level(const cp_sheet *s)
{
    float below = 0;
    for (size_t i = 0; i < s->heat_w * s->heat_h; i++)
        if (s->heat[i] < s->region->threshold && s->heat[i] > below)
            below = s->heat[i];
    return .5f * (below + s->region->threshold);
}

/* What the strength of each of LEVELS steps does to a grey: opacity in 4096ths, so that a last digit of pow() does not
 * show. */
static void opacities(double alpha, double opacity[LEVELS])
{
    for (int i = 0; i < LEVELS; i++)
        opacity[i] = nearbyint(4096 * alpha * pow((double)i / (LEVELS - 1), .6)) / 4096;
}

static void paint_heat(cp_picture *panel, const float *heat, float full, const cp_colour_map *map, double alpha)
{
    double opacity[LEVELS];
    opacities(alpha, opacity);
    for (size_t i = 0; i < (size_t)panel->w * (size_t)panel->h; i++) {
        unsigned char *rgb = panel->rgb + 3 * i;
        double v = full > 0 ? (double)heat[i] / full : 0, grey = luminance(rgb);
        int level = v < 1 ? (int)(v * (LEVELS - 1) + .5) : LEVELS - 1;
        cp_colour c = map->at[(255 * level + LEVELS / 2) / (LEVELS - 1)];
        unsigned char to[3] = {c.r, c.g, c.b};
        for (int k = 0; k < 3; k++) {
            double under = GREY_SHARE * grey + (1 - GREY_SHARE) * rgb[k];
            rgb[k] = to_byte(under + opacity[level] * (to[k] - under));
        }
    }
}

/* The frame of the enlarged part: the numbered parts and the box with some room, no smaller than an eighth of the
 * photo's width, in the photo's shape. Without either the whole photo. */
static cp_photo_box find_zoom(const cp_sheet *s)
{
    double w = s->photo->w, h = s->photo->h, x0 = w, y0 = h, x1 = 0, y1 = 0;
    for (int i = -1; i < s->region->n; i++) {
        const cp_heat_part *part = i < 0 ? NULL : &s->region->part[i];
        if (!part && !s->box)
            continue;
        double left = part ? (double)part->x : s->box->x, right = left + (part ? (double)part->w : s->box->w);
        double top = part ? (double)part->y : s->box->y, bottom = top + (part ? (double)part->h : s->box->h);
        x0 = fmin(x0, fmax(left, 0));
        y0 = fmin(y0, fmax(top, 0));
        x1 = fmax(x1, fmin(right, w));
        y1 = fmax(y1, fmin(bottom, h));
    }
    double scale = fmax(fmax((x1 - x0) / w, (y1 - y0) / h) * ZOOM, LEAST_ZOOM);
    if (x1 <= x0 || y1 <= y0 || scale >= 1)
        return (cp_photo_box){0, 0, w, h};
    cp_photo_box zoom = {0, 0, fmax(1, floor(w * scale + .5)), fmax(1, floor(h * scale + .5))};
    zoom.x = fmax(0, fmin(floor((x0 + x1 - zoom.w) / 2 + .5), w - zoom.w));
    zoom.y = fmax(0, fmin(floor((y0 + y1 - zoom.h) / 2 + .5), h - zoom.h));
    return zoom;
}

static cp_status draw_photo_panel(const cp_sheet *s, int w, int h, cp_picture *panel)
{
    const cp_photo_box all = {0, 0, s->photo->w, s->photo->h};
    struct view view = view_of(&all, w, h);
    cp_status status = show(s, &all, w, h, panel, NULL);
    if (!status)
        draw_truth(s, panel, &view, true);
    if (!status && s->box)
        draw_box(panel, &view, s->box, 3, s->label);
    return status;
}

static void say_in_the_middle(cp_picture *panel, const char *text)
{
    char fits[CP_TEXT_LINE];
    cp_text_fit(LABEL_SIZE, text, panel->w - 12, fits, sizeof fits);
    int w = (int)ceil(cp_text_width(LABEL_SIZE, fits)) + 12, h = LABEL_SIZE + 6;
    cp_draw_fill(panel, (panel->w - w) / 2, (panel->h - h) / 2, w, h, white);
    cp_draw_text(panel, (panel->w - w) / 2 + 6, (panel->h - h) / 2 + 3, LABEL_SIZE, ink, fits);
}

static cp_status draw_heat_panel(const cp_sheet *s, int w, int h, float *heat, cp_picture *panel)
{
    const cp_photo_box all = {0, 0, s->photo->w, s->photo->h}, zoom = find_zoom(s);
    struct view view = view_of(&all, w, h);
    cp_colour_map map;
    float full = 0, level = region_level(s);
    cp_status status = cp_colour_map_find(s->colour ? s->colour : "inferno", &map);
    if (!status)
        status = find_full(s, &full);
    if (!status)
        status = show(s, &all, w, h, panel, heat);
    if (status)
        return status;
    paint_heat(panel, heat, full, &map, s->alpha);
    if (s->panels & CP_PANEL_ZOOM && zoom.w < all.w)
        draw_faint_frame(panel, &view, &zoom);
    draw_truth(s, panel, &view, false);
    if (s->box)
        draw_box(panel, &view, s->box, 2, NULL);
    if (s->region->zero)
        say_in_the_middle(panel, "the map is zero");
    else
        status = cp_draw_contour(panel, heat, level, 2, white, 1, ink);
    draw_numbers(s, panel, &view, heat, level);
    return status;
}

static cp_status draw_zoom_panel(const cp_sheet *s, int w, int h, float *heat, cp_picture *panel)
{
    const cp_photo_box zoom = find_zoom(s);
    struct view view = view_of(&zoom, w, h);
    cp_status status = show(s, &zoom, w, h, panel, heat);
    size_t n = (size_t)w * (size_t)h;
    float level = region_level(s);
    for (size_t i = 0; i < n && !status; i++)
        heat[i] = !s->region->zero && heat[i] >= level;
    if (!status)
        status = cp_smooth(heat, (size_t)h, (size_t)w, 2);
    for (size_t i = 0; i < n && !status; i++) {
        unsigned char *rgb = panel->rgb + 3 * i;
        double grey = OUTSIDE * luminance(rgb);
        for (int k = 0; k < 3; k++)
            rgb[k] = to_byte(grey + (double)heat[i] * (rgb[k] - grey));
    }
    if (!status)
        draw_truth(s, panel, &view, false);
    if (!status && s->box)
        draw_box(panel, &view, s->box, 2, NULL);
    if (!status)
        draw_numbers(s, panel, &view, heat, .1f);
    return status;
}

/* ---------------------------------------------------------------- the sheet */

static cp_status check(const cp_sheet *s)
{
    if (!s->photo || !s->photo->rgb || !s->heat || !s->region || !s->heat_w || !s->heat_h)
        return cp_fail(CP_EINTERNAL, "sheet: no photo, heat or region");
    if (!(s->panels & (CP_PANEL_PHOTO | CP_PANEL_HEAT | CP_PANEL_ZOOM)))
        return cp_fail(CP_EINTERNAL, "sheet: no panel");
    if (!(s->alpha >= 0 && s->alpha <= 1))
        return cp_fail(CP_EINPUT, "sheet: opacity %g, 0 to 1 is allowed", s->alpha);
    if (s->truth && !(isfinite(s->truth->x + s->truth->w) && isfinite(s->truth->y + s->truth->h)))
        return cp_fail(CP_EINPUT, "sheet: a true box of %g x %g at %g,%g", s->truth->w, s->truth->h, s->truth->x,
                       s->truth->y);
    if (s->box && !(isfinite(s->box->x) && isfinite(s->box->y) && isfinite(s->box->w) && isfinite(s->box->h)))
        return cp_fail(CP_EINPUT, "sheet: a box of %g x %g at %g,%g", s->box->w, s->box->h, s->box->x, s->box->y);
    return CP_OK;
}

/* In the photo's shape, its longer side `longest`. */
static void panel_size(const cp_picture *photo, int longest, int *w, int *h)
{
    double scale = (double)longest / (photo->w > photo->h ? photo->w : photo->h);
    *w = (int)fmax(THIN, floor(photo->w * scale + .5));
    *h = (int)fmax(THIN, floor(photo->h * scale + .5));
}

/* A column of the sheet: a panel with its caption. */
struct column {
    cp_picture panel;
    char (*line)[CP_TEXT_LINE];
    size_t lines;
};

static cp_status make_column(const cp_sheet *s, cp_panel which, const char *caption, int width, int w, int h,
                             float *heat, struct column *c)
{
    if (!(c->line = cp_alloc(CAPTION_LINES, sizeof *c->line, "sheet")))
        return CP_ERESOURCE;
    if (caption)
        cp_text_wrap(CAPTION_SIZE, caption, width, c->line, CAPTION_LINES, &c->lines);
    return which == CP_PANEL_PHOTO  ? draw_photo_panel(s, w, h, &c->panel)
           : which == CP_PANEL_HEAT ? draw_heat_panel(s, w, h, heat, &c->panel)
                                    : draw_zoom_panel(s, w, h, heat, &c->panel);
}

static cp_status join(const cp_sheet *s, const struct column *columns, int n, int width, cp_picture *out)
{
    char title[3][CP_TEXT_LINE];
    size_t titles = 0, lines = 0;
    int total = 2 * MARGIN + n * width + (n - 1) * GAP;
    if (s->title)
        cp_text_wrap(TITLE_SIZE, s->title, total - 2 * MARGIN, title, 3, &titles);
    for (int i = 0; i < n; i++)
        lines = columns[i].lines > lines ? columns[i].lines : lines;
    int top = MARGIN / 2 + (int)titles * (TITLE_SIZE + 2) + 6, text = top + columns[0].panel.h + 8;
    int step = CAPTION_SIZE + 4;
    cp_status status = cp_picture_new(total, text + (int)lines * step + MARGIN / 2, out);
    if (status)
        return status;
    cp_draw_fill(out, 0, 0, out->w, out->h, paper);
    for (size_t i = 0; i < titles; i++)
        cp_draw_text(out, MARGIN, MARGIN / 2. + (double)i * (TITLE_SIZE + 2), TITLE_SIZE, ink, title[i]);
    for (int i = 0; i < n; i++) {
        int x = MARGIN + i * (width + GAP);
        cp_draw_picture(out, x + (width - columns[i].panel.w) / 2, top, &columns[i].panel);
        for (size_t k = 0; k < columns[i].lines; k++)
            cp_draw_text(out, x, text + (int)k * step, CAPTION_SIZE, soft_ink, columns[i].line[k]);
    }
    return CP_OK;
}

cp_status cp_sheet_draw(const cp_sheet *s, cp_picture *out)
{
    static const cp_panel order[3] = {CP_PANEL_PHOTO, CP_PANEL_HEAT, CP_PANEL_ZOOM};
    struct column columns[3] = {{{0}, NULL, 0}};
    int n = 0, w, h;
    *out = (cp_picture){0};
    cp_status status = check(s);
    if (status)
        return status;
    bool alone = !(s->panels & (s->panels - 1));
    panel_size(s->photo, alone ? LONE_PANEL : PANEL, &w, &h);
    int width = w > MIN_COLUMN ? w : MIN_COLUMN;
    float *heat = cp_alloc_dirty((size_t)w * (size_t)h, sizeof *heat, "sheet");
    status = heat ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < 3 && !status; i++)
        if (s->panels & order[i])
            status = make_column(s, order[i], s->caption[i], width, w, h, heat, &columns[n++]);
    if (!status)
        status = join(s, columns, n, width, out);
    for (int i = 0; i < 3; i++) {
        cp_picture_free(&columns[i].panel);
        cp_free(columns[i].line);
    }
    cp_free(heat);
    return status;
}

#include "io/overlay.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/draw.h"
#include "io/error.h"
#include "io/resample.h"
#include "io/smooth.h"
#include "io/threshold.h"

#define MARGIN 18
#define GAP 18
#define MIN_COLUMN 460   /* pixels; the legend's text needs it */
#define MAX_PANEL_WIDTH 1000
#define MAX_PANEL_HEIGHT 4096
#define TITLE_SIZE 30
#define TEXT_SIZE 19
#define SMALL_SIZE 17
#define BAR_HEIGHT 18
#define MAX_TEXT_LINES 64

static const cp_colour paper = {255, 255, 255}, ink = {34, 34, 34}, faint = {96, 96, 96};

/* The map as it is drawn: cleaned, blurred, with what the legend says about it. */
struct field {
    float *values;
    int w, h;
    double min, max;   /* before the blur, finite values only */
    double full;       /* |value| that gets full colour, 0 when all is zero */
    size_t non_finite;
};

/* The quantile of |value| among the pixels that are not zero: a sparse map is mostly zeros. */
static cp_status find_full(struct field *f, double quantile)
{
    size_t pixels = (size_t)f->w * (size_t)f->h, n = 0;
    float *magnitudes = cp_alloc(pixels, sizeof *magnitudes, "map");
    if (!magnitudes) return CP_ERESOURCE;
    for (size_t i = 0; i < pixels; i++)
        if (f->values[i] != 0) magnitudes[n++] = fabsf(f->values[i]);
    float full = 0;
    double least = (double)n - rint(quantile * (double)(n - 1)); /* how many are at least as large */
    cp_status status = n ? cp_threshold(magnitudes, n, false, least, &full) : CP_OK;
    f->full = full;
    cp_free(magnitudes);
    return status;
}

static cp_status field_make(const cp_overlay *o, struct field *f)
{
    size_t pixels = (size_t)o->map_w * (size_t)o->map_h;
    *f = (struct field){.w = o->map_w, .h = o->map_h};
    if (!(f->values = cp_alloc(pixels, sizeof *f->values, "map"))) return CP_ERESOURCE;
    bool first = true;
    for (size_t i = 0; i < pixels; i++) {
        float v = o->map[i];
        if (!isfinite(v)) {
            f->non_finite++;
            continue; /* drawn as zero */
        }
        if (first || v < f->min) f->min = v;
        if (first || v > f->max) f->max = v;
        first = false;
        f->values[i] = o->is_signed ? v : fabsf(v);
    }
    cp_status status = cp_smooth(f->values, (size_t)f->h, (size_t)f->w, o->blur);
    if (status == CP_OK) status = find_full(f, o->clip > 0 ? o->clip : 0.995);
    return status;
}

/* (u, v) in map pixels; false outside the map. Blocks where a map pixel covers three or more of the picture. */
static bool field_at(const struct field *f, double u, double v, bool blocks, double *value)
{
    if (!(u >= 0 && v >= 0 && u < f->w && v < f->h)) return false;
    if (blocks) {
        *value = f->values[(int)v * f->w + (int)u];
        return true;
    }
    u = fmax(0, fmin(u - 0.5, f->w - 1));
    v = fmax(0, fmin(v - 0.5, f->h - 1));
    int i = (int)u, j = (int)v, i1 = i + 1 < f->w ? i + 1 : i, j1 = j + 1 < f->h ? j + 1 : j;
    double a = u - i, b = v - j;
    const float *top = f->values + j * f->w, *bottom = f->values + j1 * f->w;
    *value = (1 - b) * ((1 - a) * top[i] + a * top[i1]) + b * ((1 - a) * bottom[i] + a * bottom[i1]);
    return true;
}

/* Colour of strength t in [-1, 1] over a grey: what is shown in the map and in the legend's bar. */
static cp_colour over(double grey, double t, bool is_signed)
{
    /* The ends of cp_colour_signed, lighter: they stand on dark grey here, not on white paper. */
    static const cp_colour negative = {76, 164, 255}, positive = {255, 134, 46};
    double m = fmin(fabs(t), 1), alpha = pow(m, 0.6);
    cp_colour c = !is_signed ? cp_colour_unsigned(0.45 + 0.55 * m) : t < 0 ? negative : positive;
    return (cp_colour){(unsigned char)lrint(grey + alpha * (c.r - grey)),
                       (unsigned char)lrint(grey + alpha * (c.g - grey)),
                       (unsigned char)lrint(grey + alpha * (c.b - grey))};
}

static double dimmed(const unsigned char *rgb)
{
    return 18 + 0.36 * (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]);
}

/* Turns the scaled photo into the right panel. k: photo pixels per panel pixel. */
static void paint_map(cp_picture *panel, const cp_overlay *o, const struct field *f, double kx, double ky)
{
    bool blocks = o->sx / kx >= 3 && o->sy / ky >= 3;
    for (int y = 0; y < panel->h; y++)
        for (int x = 0; x < panel->w; x++) {
            unsigned char *rgb = panel->rgb + 3 * ((size_t)y * (size_t)panel->w + (size_t)x);
            double u = ((x + 0.5) * kx - o->x0) / o->sx, v = ((y + 0.5) * ky - o->y0) / o->sy, value;
            double grey = dimmed(rgb);
            cp_colour c;
            if (!field_at(f, u, v, blocks, &value)) {
                unsigned char dark = (unsigned char)lrint(0.3 * grey);
                c = (cp_colour){dark, dark, dark};
            } else {
                double t = f->full > 0 ? value / f->full : 0;
                c = over(grey, t, o->is_signed);
            }
            rgb[0] = c.r;
            rgb[1] = c.g;
            rgb[2] = c.b;
        }
}

/* A number for people, with a true minus sign. */
static const char *number(double value, char text[32])
{
    snprintf(text, 32, "%s%.3g", value < 0 ? "\xe2\x88\x92" : "", fabs(value));
    return text;
}

/* The bar, its three numbers, and what has been done to the map. Returns the y below it. */
static int draw_legend(cp_picture *p, int x, int y, int w, const cp_overlay *o, const struct field *f)
{
    for (int i = 0; i < w; i++) {
        double t = o->is_signed ? 2 * (i + 0.5) / w - 1 : (i + 0.5) / w;
        cp_draw_fill(p, x + i, y, 1, BAR_HEIGHT, over(60, t, o->is_signed));
    }
    cp_draw_box(p, x, y, w, BAR_HEIGHT, 1, faint);
    y += BAR_HEIGHT + 3;
    char text[256], lines[8][256], min[32], max[32];
    cp_draw_text(p, x, y, SMALL_SIZE, ink, number(o->is_signed ? -f->full : 0, min));
    snprintf(text, sizeof text, o->is_signed ? "+%.3g" : "%.3g", f->full);
    cp_draw_text(p, x + w - cp_text_width(SMALL_SIZE, text), y, SMALL_SIZE, ink, text);
    if (o->is_signed) cp_draw_text(p, x + (w - cp_text_width(SMALL_SIZE, "0")) / 2.0, y, SMALL_SIZE, ink, "0");
    y += SMALL_SIZE + 5;

    size_t n = 0;
    if (f->non_finite) {
        snprintf(text, sizeof text, "%zu values are NaN or infinite, shown as zero", f->non_finite);
        cp_text_wrap(SMALL_SIZE, text, w, lines, 8, &n);
    }
    if (f->full > 0) {
        snprintf(text, sizeof text, "full colour from the %.4g%% quantile of |map| on; map %s to %s",
                 100 * (o->clip > 0 ? o->clip : 0.995), number(f->min, min), number(f->max, max));
        cp_text_wrap(SMALL_SIZE, text, w, lines, 8, &n);
    } else {
        cp_text_wrap(SMALL_SIZE, "the map is zero everywhere", w, lines, 8, &n);
    }
    if (o->blur > 0) {
        snprintf(text, sizeof text, "smoothed with a Gaussian of %.3g map pixels", o->blur);
        cp_text_wrap(SMALL_SIZE, text, w, lines, 8, &n);
    }
    for (size_t i = 0; i < n; i++, y += SMALL_SIZE + 3) cp_draw_text(p, x, y, SMALL_SIZE, faint, lines[i]);
    return y;
}

static cp_status check(const cp_overlay *o)
{
    if (!o->photo || !o->photo->rgb || !o->map) return cp_fail(CP_EINTERNAL, "overlay: no photo or no map");
    if (o->map_w < 1 || o->map_h < 1 || o->map_w > CP_PICTURE_MAX_SIDE || o->map_h > CP_PICTURE_MAX_SIDE)
        return cp_fail(CP_EINPUT, "overlay: map of %d x %d, sides of 1 to %d are allowed", o->map_w, o->map_h,
                       CP_PICTURE_MAX_SIDE);
    if (!(o->sx > 0 && o->sy > 0) || !isfinite(o->sx) || !isfinite(o->sy) || !isfinite(o->x0) || !isfinite(o->y0))
        return cp_fail(CP_EINPUT, "overlay: %g x %g photo pixels per map pixel, positive numbers are needed", o->sx,
                       o->sy);
    if (o->clip < 0 || o->clip > 1) return cp_fail(CP_EINPUT, "overlay: clip is %g, 0 to 1 is allowed", o->clip);
    if (!(o->blur >= 0 && o->blur <= 100))
        return cp_fail(CP_EINPUT, "overlay: blur is %g, 0 to 100 is allowed", o->blur);
    if (o->panel_height && (o->panel_height < 16 || o->panel_height > MAX_PANEL_HEIGHT))
        return cp_fail(CP_EINPUT, "overlay: panels %d pixels high, 16 to %d are allowed", o->panel_height,
                       MAX_PANEL_HEIGHT);
    return CP_OK;
}

/* Panel size with the photo's aspect: as high as asked for, higher where a map pixel would get less than one pixel, and
 * never wider than a screen. */
static void panel_size(const cp_overlay *o, int *w, int *h)
{
    double height = o->panel_height ? o->panel_height : fmin(fmax(480, o->photo->h / o->sy), 800);
    double scale = fmin(height / o->photo->h, (double)MAX_PANEL_WIDTH / o->photo->w);
    *w = (int)fmax(1, lrint(o->photo->w * scale));
    *h = (int)fmax(1, lrint(o->photo->h * scale));
}

cp_status cp_overlay_draw(const cp_overlay *o, cp_picture *out)
{
    *out = (cp_picture){0};
    cp_status status = check(o);
    if (status != CP_OK) return status;
    struct field f = {0};
    cp_picture left = {0}, right = {0};
    char(*lines)[CP_TEXT_LINE] = cp_alloc(MAX_TEXT_LINES, sizeof *lines, "overlay");
    if (!lines) return CP_ERESOURCE;
    if ((status = field_make(o, &f)) != CP_OK) goto done;

    int w, h;
    panel_size(o, &w, &h);
    double kx = (double)o->photo->w / w, ky = (double)o->photo->h / h;
    if ((status = cp_resample_picture(o->photo, NULL, w, h, &left)) != CP_OK) goto done;
    if ((status = cp_resample_picture(o->photo, NULL, w, h, &right)) != CP_OK) goto done;
    paint_map(&right, o, &f, kx, ky);
    for (size_t i = 0; i < o->n_boxes; i++) {
        const cp_overlay_box *b = &o->boxes[i];
        cp_draw_detection(&left, b->x / kx, b->y / ky, (b->x + b->w) / kx, (b->y + b->h) / ky, 3, b->label);
        cp_draw_detection(&right, b->x / kx, b->y / ky, (b->x + b->w) / kx, (b->y + b->h) / ky, 3, NULL);
    }

    int column = w > MIN_COLUMN ? w : MIN_COLUMN, total_w = 2 * MARGIN + 2 * column + GAP;
    size_t n = 0;
    for (size_t i = 0; i < o->n_lines; i++) cp_text_wrap(TEXT_SIZE, o->lines[i], column, lines, MAX_TEXT_LINES, &n);
    int top = MARGIN + (o->title && o->title[0] ? TITLE_SIZE + 10 : 0), legend_y = top + h + 12;
    int text_h = (int)n * (TEXT_SIZE + 5), legend_h = BAR_HEIGHT + 5 * (SMALL_SIZE + 5);
    if ((status = cp_picture_new(total_w, legend_y + (text_h > legend_h ? text_h : legend_h) + MARGIN, out)) != CP_OK)
        goto done;
    cp_draw_fill(out, 0, 0, out->w, out->h, paper);
    if (o->title && o->title[0]) {
        char title[256];
        cp_text_fit(TITLE_SIZE, o->title, total_w - 2 * MARGIN, title, sizeof title);
        cp_draw_text(out, MARGIN, MARGIN - 4, TITLE_SIZE, ink, title);
    }
    cp_draw_picture(out, MARGIN + (column - w) / 2, top, &left);
    cp_draw_picture(out, MARGIN + column + GAP + (column - w) / 2, top, &right);
    for (size_t i = 0; i < n; i++)
        cp_draw_text(out, MARGIN, legend_y - 2 + (int)i * (TEXT_SIZE + 5), TEXT_SIZE, ink, lines[i]);
    int used = draw_legend(out, MARGIN + column + GAP, legend_y, column, o, &f);
    if (legend_y + text_h > used) used = legend_y + text_h;
    if (used + MARGIN < out->h) out->h = used + MARGIN; /* rows at the end are simply not used */
done:
    if (status != CP_OK) cp_picture_free(out);
    cp_picture_free(&left);
    cp_picture_free(&right);
    cp_free(f.values);
    cp_free(lines);
    return status;
}

#include "io/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/draw.h"
#include "io/error.h"

#define TITLE_SIZE 24
#define TEXT_SIZE 17
#define MAX_TICKS 32
#define LEGEND_LINE 30

static const cp_colour paper = {255, 255, 255}, ink = {34, 34, 34}, grid = {222, 222, 222}, axis = {120, 120, 120};

/* The plot area in the picture and the values at its edges. */
struct frame {
    int x, y, w, h;
    double x_min, x_max, y_min, y_max;
    bool log_x;
};

static double x_of(const struct frame *f, double v)
{
    double a = f->x_min, b = f->x_max;
    if (f->log_x) v = log(v), a = log(a), b = log(b);
    return f->x + (b > a ? (v - a) / (b - a) : 0.5) * f->w;
}

static double y_of(const struct frame *f, double v)
{
    return f->y + f->h - (v - f->y_min) / (f->y_max - f->y_min) * f->h;
}

/* 1, 2 or 5 times a power of ten, so that about `wanted` steps fill the range. */
static double tick_step(double range, int wanted)
{
    double raw = range / wanted, power = pow(10, floor(log10(raw))), m = raw / power;
    return power * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static size_t linear_ticks(double lo, double hi, int wanted, double ticks[MAX_TICKS])
{
    double step = tick_step(hi - lo, wanted);
    size_t n = 0;
    for (double k = ceil(lo / step - 1e-9); k * step <= hi + 1e-9 * step && n < MAX_TICKS; k++) ticks[n++] = k * step;
    return n;
}

/* Powers of ten, with 2 and 5 between them when there are few. */
static size_t log_ticks(double lo, double hi, double ticks[MAX_TICKS])
{
    bool few = log10(hi / lo) < 3;
    size_t n = 0;
    for (double power = pow(10, floor(log10(lo))); power <= hi && n < MAX_TICKS; power *= 10)
        for (int k = 0; k < 3 && n < MAX_TICKS; k++) {
            double v = power * (k == 0 ? 1 : k == 1 ? 2 : 5);
            if ((k == 0 || few) && v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9)) ticks[n++] = v;
        }
    return n;
}

static const char *number(double v, double step, char text[32])
{
    if (fabs(v) < 1e-9 * step) v = 0;
    int decimals = step > 0 && step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
    if (decimals > 5 || fabs(v) >= 1e6)
        snprintf(text, 32, "%s%.3g", v < 0 ? "\xe2\x88\x92" : "", fabs(v));
    else
        snprintf(text, 32, "%s%.*f", v < 0 ? "\xe2\x88\x92" : "", decimals, fabs(v));
    return text;
}

static cp_status check_chart(const cp_chart *c)
{
    if (c->n_points < 1 || c->n_points > 1000000 || c->n_series < 1 || c->n_series > 64 || !c->series)
        return cp_fail(CP_EINPUT, "chart: %zu series of %zu points, 1 to 64 of 1 to 1000000 are allowed", c->n_series,
                       c->n_points);
    if ((c->w && (c->w < 320 || c->w > 8192)) || (c->h && (c->h < 200 || c->h > 8192)))
        return cp_fail(CP_EINPUT, "chart: %d x %d pixels, 320 x 200 to 8192 x 8192 are allowed", c->w, c->h);
    if (c->x)
        for (size_t i = 0; i < c->n_points; i++)
            if (!isfinite(c->x[i]) || (c->log_x && !(c->x[i] > 0)))
                return cp_fail(CP_EINPUT, "chart: x of point %zu is %g, a%s number is needed", i, c->x[i],
                               c->log_x ? " positive" : " finite");
    if (c->log_x && !c->x) return cp_fail(CP_EINPUT, "chart: a logarithmic axis needs x values");
    return CP_OK;
}

static double point_x(const cp_chart *c, size_t i) { return c->x ? c->x[i] : (double)i; }

static void find_ranges(const cp_chart *c, struct frame *f)
{
    f->log_x = c->log_x;
    f->x_min = f->x_max = point_x(c, 0);
    for (size_t i = 1; i < c->n_points; i++) {
        f->x_min = fmin(f->x_min, point_x(c, i));
        f->x_max = fmax(f->x_max, point_x(c, i));
    }
    f->y_min = c->y_min;
    f->y_max = c->y_max;
    if (f->y_min < f->y_max) return;
    double lo = INFINITY, hi = -INFINITY;
    for (size_t s = 0; s < c->n_series; s++)
        for (size_t i = 0; i < c->n_points; i++) {
            double v = c->series[s].y[i], d = c->series[s].spread ? c->series[s].spread[i] : 0;
            if (!isfinite(v)) continue;
            if (!isfinite(d)) d = 0;
            lo = fmin(lo, v - d);
            hi = fmax(hi, v + d);
        }
    if (!(lo <= hi)) lo = 0, hi = 1; /* nothing to show */
    double pad = hi > lo ? 0.05 * (hi - lo) : fmax(fabs(hi) * 0.1, 1e-9);
    f->y_min = lo >= 0 && lo - pad < 0 ? 0 : lo - pad;
    f->y_max = hi + pad;
}

/* Room at the right for the names of the series. */
static int legend_width(const cp_chart *c, int w)
{
    double widest = 0;
    for (size_t s = 0; s < c->n_series; s++)
        if (c->series[s].name) widest = fmax(widest, cp_text_width(TEXT_SIZE, c->series[s].name));
    return widest > 0 ? (int)fmin(widest + LEGEND_LINE + 30, w / 3.0) : 12;
}

static void draw_axes(cp_picture *p, const cp_chart *c, const struct frame *f)
{
    double ticks[MAX_TICKS];
    char text[256], small[32];
    size_t n = linear_ticks(f->y_min, f->y_max, 6, ticks);
    for (size_t i = 0; i < n; i++) {
        double y = y_of(f, ticks[i]);
        cp_draw_line(p, f->x, y, f->x + f->w, y, 1, grid);
        number(ticks[i], n > 1 ? ticks[1] - ticks[0] : 0, small);
        cp_draw_text(p, f->x - 8 - cp_text_width(TEXT_SIZE, small), y - TEXT_SIZE / 2.0, TEXT_SIZE, ink, small);
    }
    if (c->x_names) {
        /* All names turned, or every k-th where they would touch. */
        double gap = c->n_points > 1 ? (x_of(f, f->x_max) - x_of(f, f->x_min)) / (double)(c->n_points - 1) : f->w;
        size_t every = gap >= TEXT_SIZE ? 1 : (size_t)ceil(TEXT_SIZE / fmax(gap, 0.01));
        for (size_t i = 0; i < c->n_points; i += every) {
            double x = x_of(f, point_x(c, i));
            cp_draw_line(p, x, f->y + f->h, x, f->y + f->h + 5, 1, axis);
            cp_text_fit(TEXT_SIZE, c->x_names[i], 190, text, sizeof text);
            cp_draw_text_up(p, x - TEXT_SIZE / 2.0, f->y + f->h + 8 + cp_text_width(TEXT_SIZE, text), TEXT_SIZE, ink,
                            text);
        }
    } else {
        n = f->log_x ? log_ticks(f->x_min, f->x_max, ticks)
                     : f->x_max > f->x_min ? linear_ticks(f->x_min, f->x_max, 8, ticks) : 0;
        for (size_t i = 0; i < n; i++) {
            double x = x_of(f, ticks[i]);
            cp_draw_line(p, x, f->y, x, f->y + f->h, 1, grid);
            number(ticks[i], f->log_x ? ticks[i] : n > 1 ? ticks[1] - ticks[0] : 0, small);
            cp_draw_text(p, x - cp_text_width(TEXT_SIZE, small) / 2, f->y + f->h + 6, TEXT_SIZE, ink, small);
        }
    }
    cp_draw_box(p, f->x, f->y, f->w + 1, f->h + 1, 1, axis);
}

/* A band of one pixel columns, lightened so that bands over each other stay readable. */
static void draw_band(cp_picture *p, const struct frame *f, double x0, double lo0, double hi0, double x1, double lo1,
                      double hi1, cp_colour c)
{
    for (int x = (int)ceil(x0); x < x1 && x < f->x + f->w; x++) {
        double t = x1 > x0 ? (x - x0) / (x1 - x0) : 0;
        int top = (int)lrint(fmax(f->y, fmin(y_of(f, hi0 + t * (hi1 - hi0)), f->y + f->h)));
        int bottom = (int)lrint(fmax(f->y, fmin(y_of(f, lo0 + t * (lo1 - lo0)), f->y + f->h)));
        for (int y = top; y < bottom && x >= f->x; y++) {
            unsigned char *rgb = p->rgb + 3 * ((size_t)y * (size_t)p->w + (size_t)x);
            rgb[0] = (unsigned char)((5 * rgb[0] + c.r) / 6);
            rgb[1] = (unsigned char)((5 * rgb[1] + c.g) / 6);
            rgb[2] = (unsigned char)((5 * rgb[2] + c.b) / 6);
        }
    }
}

/* Curves are drawn into the whole picture and what leaves the plot is cut at its edge values. */
static double limited(const struct frame *f, double v) { return fmax(f->y_min, fmin(v, f->y_max)); }

/* Lengths of what is drawn and what is left out, in turn. There are eight colours; the second eight series are dashed, and so
 * on, so that 32 can be told apart. */
enum { DASHES = 4 };
static const double dashes[][DASHES] = {{1e9, 0, 1e9, 0}, {9, 5, 9, 5}, {2, 4, 2, 4}, {11, 4, 2, 4}};

/* Where along a pattern the next line goes on. */
struct pen {
    const double *dash;
    int at;
    double left; /* of that length */
};

static struct pen pen_of(size_t series)
{
    const double *dash = dashes[series / 8 % (sizeof dashes / sizeof *dashes)];
    return (struct pen){dash, 0, *dash};
}

static void draw_on(cp_picture *p, double x0, double y0, double x1, double y1, double width, cp_colour colour, struct pen *pen)
{
    double length = hypot(x1 - x0, y1 - y0), done = 0;
    while (done < length) {
        double step = fmin(pen->left, length - done), a = done / length, b = (done + step) / length;
        if (pen->at % 2 == 0)
            cp_draw_line(p, x0 + a * (x1 - x0), y0 + a * (y1 - y0), x0 + b * (x1 - x0), y0 + b * (y1 - y0), width, colour);
        done += step;
        pen->left -= step;
        if (pen->left <= 0)
            pen->at = (pen->at + 1) % DASHES, pen->left = pen->dash[pen->at];
    }
}

static void draw_series(cp_picture *p, const cp_chart *c, const struct frame *f, size_t which)
{
    const cp_series *s = &c->series[which];
    cp_colour colour = cp_colour_series(which);
    struct pen pen = pen_of(which);
    for (size_t i = 1; s->spread && i < c->n_points; i++)
        if (isfinite(s->y[i - 1]) && isfinite(s->y[i]) && isfinite(s->spread[i - 1]) && isfinite(s->spread[i]))
            draw_band(p, f, x_of(f, point_x(c, i - 1)), s->y[i - 1] - s->spread[i - 1], s->y[i - 1] + s->spread[i - 1],
                      x_of(f, point_x(c, i)), s->y[i] - s->spread[i], s->y[i] + s->spread[i], colour);
    for (size_t i = 0; i < c->n_points; i++) {
        if (!isfinite(s->y[i])) continue;
        double x = x_of(f, point_x(c, i)), y = y_of(f, limited(f, s->y[i]));
        if (i > 0 && isfinite(s->y[i - 1]))
            draw_on(p, x_of(f, point_x(c, i - 1)), y_of(f, limited(f, s->y[i - 1])), x, y, 2.2, colour, &pen);
        if (c->n_points <= 80) cp_draw_disc(p, x, y, 3.4, colour);
    }
}

cp_status cp_chart_draw(const cp_chart *c, cp_picture *out)
{
    *out = (cp_picture){0};
    cp_status status = check_chart(c);
    if (status != CP_OK) return status;
    int w = c->w ? c->w : 960, h = c->h ? c->h : 540;
    if ((status = cp_picture_new(w, h, out)) != CP_OK) return status;
    cp_draw_fill(out, 0, 0, w, h, paper);

    char text[256];
    double names = 0;
    for (size_t i = 0; c->x_names && i < c->n_points; i++)
        names = fmax(names, cp_text_width(TEXT_SIZE, cp_text_fit(TEXT_SIZE, c->x_names[i], 190, text, sizeof text)));
    struct frame f = {.x = 72 + (c->y_label ? TEXT_SIZE + 8 : 0), .y = c->title ? TITLE_SIZE + 26 : 18};
    int below = (c->x_names ? (int)names + 14 : TEXT_SIZE + 12) + (c->x_label ? TEXT_SIZE + 8 : 0) + 8;
    f.w = w - f.x - legend_width(c, w) - 8;
    f.h = h - f.y - below;
    if (f.h < 80) f.h = 80;
    find_ranges(c, &f);
    if (c->title)
        cp_draw_text(out, 16, 12, TITLE_SIZE, ink, cp_text_fit(TITLE_SIZE, c->title, w - 32, text, sizeof text));
    draw_axes(out, c, &f);
    if (c->x_label)
        cp_draw_text(out, f.x + (f.w - cp_text_width(TEXT_SIZE, c->x_label)) / 2, h - TEXT_SIZE - 10, TEXT_SIZE, ink,
                     c->x_label);
    if (c->y_label)
        cp_draw_text_up(out, 10, f.y + (f.h + cp_text_width(TEXT_SIZE, c->y_label)) / 2, TEXT_SIZE, ink, c->y_label);
    for (size_t s = 0; s < c->n_series; s++) draw_series(out, c, &f, s);
    int x = f.x + f.w + 14;
    for (size_t s = 0, row = 0; s < c->n_series; s++) {
        if (!c->series[s].name) continue;
        double y = f.y + 8 + (double)row++ * (TEXT_SIZE + 7);
        struct pen pen = pen_of(s);
        draw_on(out, x, y, x + LEGEND_LINE, y, 3, cp_colour_series(s), &pen);
        cp_text_fit(TEXT_SIZE, c->series[s].name, w - x - LEGEND_LINE - 10, text, sizeof text);
        cp_draw_text(out, x + LEGEND_LINE + 7, y - TEXT_SIZE / 2.0, TEXT_SIZE, ink, text);
    }
    return CP_OK;
}

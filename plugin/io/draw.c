#include "io/draw.h"

#include <math.h>
#include <string.h>

static void blend(cp_picture *p, int x, int y, double alpha, cp_colour c)
{
    if (x < 0 || y < 0 || x >= p->w || y >= p->h || !(alpha > 0)) return;
    if (alpha > 1) alpha = 1;
    unsigned char *rgb = p->rgb + 3 * ((size_t)y * (size_t)p->w + (size_t)x);
    rgb[0] = (unsigned char)lrint(rgb[0] + alpha * (c.r - rgb[0]));
    rgb[1] = (unsigned char)lrint(rgb[1] + alpha * (c.g - rgb[1]));
    rgb[2] = (unsigned char)lrint(rgb[2] + alpha * (c.b - rgb[2]));
}

/* lo..hi - 1 is what of [at, at + length) lies in 0..size - 1. */
static void clip(int at, int length, int size, int *lo, int *hi)
{
    long end = (long)at + length;
    *lo = at < 0 ? 0 : at;
    *hi = end > size ? size : (int)end;
}

void cp_draw_fill(cp_picture *p, int x, int y, int w, int h, cp_colour c)
{
    int x0, x1, y0, y1;
    clip(x, w, p->w, &x0, &x1);
    clip(y, h, p->h, &y0, &y1);
    for (int j = y0; j < y1; j++) {
        unsigned char *rgb = p->rgb + 3 * ((size_t)j * (size_t)p->w + (size_t)x0);
        for (int i = x0; i < x1; i++, rgb += 3) {
            rgb[0] = c.r;
            rgb[1] = c.g;
            rgb[2] = c.b;
        }
    }
}

void cp_draw_box(cp_picture *p, int x, int y, int w, int h, int thickness, cp_colour c)
{
    if (w < 1 || h < 1) return;
    int t = thickness < 1 ? 1 : thickness;
    if (t > (w + 1) / 2) t = (w + 1) / 2;
    if (t > (h + 1) / 2) t = (h + 1) / 2;
    cp_draw_fill(p, x, y, w, t, c);
    cp_draw_fill(p, x, y + h - t, w, t, c);
    cp_draw_fill(p, x, y, t, h, c);
    cp_draw_fill(p, x + w - t, y, t, h, c);
}

/* Distance of (x, y) from the segment. */
static double segment_distance(double x, double y, double x0, double y0, double x1, double y1)
{
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    double t = length2 > 0 ? ((x - x0) * dx + (y - y0) * dy) / length2 : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return hypot(x - (x0 + t * dx), y - (y0 + t * dy));
}

void cp_draw_line(cp_picture *p, double x0, double y0, double x1, double y1, double width, cp_colour c)
{
    if (!isfinite(x0) || !isfinite(y0) || !isfinite(x1) || !isfinite(y1) || !(width > 0)) return;
    double reach = width / 2 + 1;
    int left = (int)floor(fmax(0, fmin(x0, x1) - reach)), right = (int)ceil(fmin(p->w - 1, fmax(x0, x1) + reach));
    int top = (int)floor(fmax(0, fmin(y0, y1) - reach)), bottom = (int)ceil(fmin(p->h - 1, fmax(y0, y1) + reach));
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++)
            blend(p, x, y, width / 2 + 0.5 - segment_distance(x + 0.5, y + 0.5, x0, y0, x1, y1), c);
}

void cp_draw_disc(cp_picture *p, double x, double y, double radius, cp_colour c)
{
    cp_draw_line(p, x, y, x, y, 2 * radius, c);
}

void cp_draw_picture(cp_picture *p, int x, int y, const cp_picture *from)
{
    int x0, x1, y0, y1;
    clip(x, from->w, p->w, &x0, &x1);
    clip(y, from->h, p->h, &y0, &y1);
    if (x1 <= x0) return;
    for (int j = y0; j < y1; j++)
        memcpy(p->rgb + 3 * ((size_t)j * (size_t)p->w + (size_t)x0),
               from->rgb + 3 * ((size_t)(j - y) * (size_t)from->w + (size_t)(x0 - x)), 3 * (size_t)(x1 - x0));
}

/* Mean of the source pixels that a destination pixel covers, each weighted by its covered share. */
static void average(const cp_picture *from, double x0, double x1, double y0, double y1, unsigned char rgb[3])
{
    double sum[3] = {0}, weight = 0;
    for (int y = (int)y0; y < y1 && y < from->h; y++) {
        double wy = fmin(y + 1, y1) - fmax(y, y0);
        for (int x = (int)x0; x < x1 && x < from->w; x++) {
            double w = wy * (fmin(x + 1, x1) - fmax(x, x0));
            const unsigned char *s = from->rgb + 3 * ((size_t)y * (size_t)from->w + (size_t)x);
            for (int c = 0; c < 3; c++) sum[c] += w * s[c];
            weight += w;
        }
    }
    for (int c = 0; c < 3; c++) rgb[c] = weight > 0 ? (unsigned char)lrint(sum[c] / weight) : 0;
}

static double sample(const cp_picture *from, double x, double y, int c)
{
    x = fmax(0, fmin(x - 0.5, from->w - 1));
    y = fmax(0, fmin(y - 0.5, from->h - 1));
    int i = (int)x, j = (int)y, i1 = i + 1 < from->w ? i + 1 : i, j1 = j + 1 < from->h ? j + 1 : j;
    double u = x - i, v = y - j;
    const unsigned char *top = from->rgb + 3 * (size_t)j * (size_t)from->w;
    const unsigned char *bottom = from->rgb + 3 * (size_t)j1 * (size_t)from->w;
    return (1 - v) * ((1 - u) * top[3 * i + c] + u * top[3 * i1 + c]) +
           v * ((1 - u) * bottom[3 * i + c] + u * bottom[3 * i1 + c]);
}

cp_status cp_picture_scale(const cp_picture *from, int w, int h, cp_picture *out)
{
    cp_status status = cp_picture_new(w, h, out);
    if (status != CP_OK) return status;
    double sx = (double)from->w / w, sy = (double)from->h / h;
    bool shrink = sx > 1 || sy > 1, blocks = sx <= 1.0 / 3 && sy <= 1.0 / 3;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            unsigned char *rgb = out->rgb + 3 * ((size_t)y * (size_t)w + (size_t)x);
            if (shrink)
                average(from, x * sx, (x + 1) * sx, y * sy, (y + 1) * sy, rgb);
            else if (blocks)
                memcpy(rgb, from->rgb + 3 * ((size_t)((y + 0.5) * sy) * (size_t)from->w + (size_t)((x + 0.5) * sx)), 3);
            else
                for (int c = 0; c < 3; c++)
                    rgb[c] = (unsigned char)lrint(sample(from, (x + 0.5) * sx, (y + 0.5) * sy, c));
        }
    return CP_OK;
}

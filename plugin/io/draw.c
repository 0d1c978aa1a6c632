#include "io/draw.h"

#include <math.h>
#include <string.h>

void cp_draw_blend(cp_picture *p, int x, int y, double alpha, cp_colour c)
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

double cp_segment_distance(double x, double y, double x0, double y0, double x1, double y1)
{
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    double t = length2 > 0 ? ((x - x0) * dx + (y - y0) * dy) / length2 : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    double away_x = x - (x0 + t * dx), away_y = y - (y0 + t * dy);
    return sqrt(away_x * away_x + away_y * away_y); /* hypot's last digits differ between C libraries */
}

void cp_draw_line(cp_picture *p, double x0, double y0, double x1, double y1, double width, cp_colour c)
{
    if (!isfinite(x0) || !isfinite(y0) || !isfinite(x1) || !isfinite(y1) || !(width > 0)) return;
    double reach = width / 2 + 1;
    int left = (int)floor(fmax(0, fmin(x0, x1) - reach)), right = (int)ceil(fmin(p->w - 1, fmax(x0, x1) + reach));
    int top = (int)floor(fmax(0, fmin(y0, y1) - reach)), bottom = (int)ceil(fmin(p->h - 1, fmax(y0, y1) + reach));
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++)
            cp_draw_blend(p, x, y, width / 2 + 0.5 - cp_segment_distance(x + 0.5, y + 0.5, x0, y0, x1, y1), c);
}

void cp_draw_disc(cp_picture *p, double x, double y, double radius, cp_colour c)
{
    cp_draw_line(p, x, y, x, y, 2 * radius, c);
}

/* The nearest pixel of a position, a little outside at most. */
static int near(double at, int size) { return (int)floor(fmax(-20, fmin(at, size + 20)) + .5); }

void cp_draw_detection(cp_picture *p, double x0, double y0, double x1, double y1, int thickness, const char *label)
{
    enum { SIZE = 20, ROOM = 5 };
    static const cp_colour yellow = {255, 191, 30}, black = {0, 0, 0};
    int left = near(x0, p->w), right = near(x1, p->w), top = near(y0, p->h), bottom = near(y1, p->h);
    cp_draw_box(p, left - 1, top - 1, right - left + 2, bottom - top + 2, thickness + 2, black);
    cp_draw_box(p, left, top, right - left, bottom - top, thickness, yellow);
    if (!label || !*label) return;
    char text[CP_TEXT_LINE];
    cp_text_fit(SIZE, label, p->w - 2 * ROOM, text, sizeof text);
    int w = (int)ceil(cp_text_width(SIZE, text)) + 2 * ROOM, h = SIZE + 4, x = left - 1, y = top - h;
    if (x + w > p->w) x = p->w - w;
    if (x < 0) x = 0;
    if (y < 0) y = top > 0 ? top : 0;
    cp_draw_fill(p, x, y, w, h, yellow);
    cp_draw_text(p, x + ROOM, y + 2, SIZE, black, text);
}

void cp_draw_true_box(cp_picture *p, double x0, double y0, double x1, double y1, const char *label)
{
    enum { SIZE = 18, ROOM = 4, DASH = 9, PERIOD = 15 };
    static const cp_colour blue = {120, 210, 255}, black = {0, 0, 0};
    int left = near(x0, p->w), right = near(x1, p->w), top = near(y0, p->h), bottom = near(y1, p->h);
    cp_draw_box(p, left - 1, top - 1, right - left + 2, bottom - top + 2, 4, black);
    for (int x = left; x < right; x += PERIOD) {
        int length = right - x < DASH ? right - x : DASH;
        cp_draw_fill(p, x, top, length, 2, blue);
        cp_draw_fill(p, x, bottom - 2, length, 2, blue);
    }
    for (int y = top; y < bottom; y += PERIOD) {
        int length = bottom - y < DASH ? bottom - y : DASH;
        cp_draw_fill(p, left, y, 2, length, blue);
        cp_draw_fill(p, right - 2, y, 2, length, blue);
    }
    if (!label || !*label) return;
    char text[CP_TEXT_LINE];
    cp_text_fit(SIZE, label, p->w - 2 * ROOM, text, sizeof text);
    int w = (int)ceil(cp_text_width(SIZE, text)) + 2 * ROOM, h = SIZE + 4, x = left - 1, y = bottom + 1;
    if (x + w > p->w) x = p->w - w;
    if (x < 0) x = 0;
    if (y + h > p->h) y = (bottom < p->h ? bottom : p->h) - h;
    cp_draw_fill(p, x, y, w, h, blue);
    cp_draw_text(p, x + ROOM, y + 2, SIZE, black, text);
}

void cp_draw_picture(cp_picture *p, int x, int y, const cp_picture *from)
{
    int x0, x1, y0, y1;
    p->failed |= from->failed;
    clip(x, from->w, p->w, &x0, &x1);
    clip(y, from->h, p->h, &y0, &y1);
    if (x1 <= x0) return;
    for (int j = y0; j < y1; j++)
        memcpy(p->rgb + 3 * ((size_t)j * (size_t)p->w + (size_t)x0),
               from->rgb + 3 * ((size_t)(j - y) * (size_t)from->w + (size_t)(x0 - x)), 3 * (size_t)(x1 - x0));
}

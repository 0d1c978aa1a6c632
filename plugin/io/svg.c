#include "io/svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic.h"
#include "io/error.h"

typedef enum { RECTANGLE, CURVE, PICTURE, TEXT } kind;

typedef struct {
    kind kind;
    double x, y, w, h;       /* CURVE: from (x, y) to (w, h). TEXT: h is its size */
    bool filled, lined;
    cp_colour fill, line;
    double width, opacity;
    cp_picture picture;
    char *text;
} shape;

struct cp_svg {
    int w, h;
    shape *shape;
    size_t n, room;
    bool failed;
};

cp_svg *cp_svg_new(int w, int h)
{
    cp_svg *svg = cp_alloc(1, sizeof *svg, "drawing");
    if (svg)
        *svg = (cp_svg){.w = w, .h = h};
    return svg;
}

void cp_svg_free(cp_svg *svg)
{
    for (size_t i = 0; svg && i < svg->n; i++) {
        free(svg->shape[i].text);
        cp_picture_free(&svg->shape[i].picture);
    }
    free(svg ? svg->shape : NULL);
    cp_free(svg);
}

static void add(cp_svg *svg, const shape *one)
{
    if (svg->n == svg->room) {
        size_t room = svg->room ? 2 * svg->room : 256;
        shape *grown = realloc(svg->shape, room * sizeof *grown);
        if (!grown) {
            svg->failed = true;
            return;
        }
        svg->shape = grown;
        svg->room = room;
    }
    svg->shape[svg->n++] = *one;
}

void cp_svg_rectangle(cp_svg *svg, double x, double y, double w, double h, const cp_colour *fill, const cp_colour *line,
                      double line_width)
{
    shape one = {.kind = RECTANGLE, .x = x, .y = y, .w = w, .h = h, .filled = fill, .lined = line, .width = line_width};
    if (fill)
        one.fill = *fill;
    if (line)
        one.line = *line;
    add(svg, &one);
}

void cp_svg_curve(cp_svg *svg, double x0, double y0, double x1, double y1, double width, cp_colour colour, double opacity)
{
    const shape one = {.kind = CURVE, .x = x0, .y = y0, .w = x1, .h = y1, .line = colour, .width = width, .opacity = opacity};
    add(svg, &one);
}

void cp_svg_picture(cp_svg *svg, double x, double y, const cp_picture *picture)
{
    shape one = {.kind = PICTURE, .x = x, .y = y, .w = picture->w, .h = picture->h};
    size_t n = svg->n;
    if (cp_picture_new(picture->w, picture->h, &one.picture)) {
        svg->failed = true;
        return;
    }
    memcpy(one.picture.rgb, picture->rgb, 3 * (size_t)picture->w * (size_t)picture->h);
    one.picture.failed = picture->failed;
    add(svg, &one);
    if (svg->n == n)
        cp_picture_free(&one.picture);
}

void cp_svg_text(cp_svg *svg, double x, double y, double size, cp_colour colour, const char *text)
{
    shape one = {.kind = TEXT, .x = x, .y = y, .w = cp_text_width(size, text), .h = size, .fill = colour,
                 .text = strdup(text)};
    size_t n = svg->n;
    if (!one.text) {
        svg->failed = true;
        return;
    }
    add(svg, &one);
    if (svg->n == n)
        free(one.text);
}

size_t cp_svg_labels(const cp_svg *svg)
{
    size_t n = 0;
    for (size_t i = 0; i < svg->n; i++)
        n += svg->shape[i].kind == TEXT;
    return n;
}

cp_svg_label cp_svg_get_label(const cp_svg *svg, size_t k)
{
    for (size_t i = 0; i < svg->n; i++)
        if (svg->shape[i].kind == TEXT && !k--)
            return (cp_svg_label){svg->shape[i].x, svg->shape[i].y, svg->shape[i].w, svg->shape[i].h, svg->shape[i].text};
    return (cp_svg_label){.text = ""};
}

/* ---------------------------------------------------------------- SVG */

static void write_colour(FILE *to, const char *what, cp_colour c)
{
    fprintf(to, " %s=\"#%02x%02x%02x\"", what, c.r, c.g, c.b);
}

/* The bytes of a character that XML allows as it stands, 0: it does not. Bad UTF-8 and control characters are none. */
static int character_length(const unsigned char *s)
{
    int n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : (s[0] & 0xf8) == 0xf0 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if (n == 1)
        return s[0] >= ' ' && s[0] != 0x7f;
    if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) ||
                   (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe)))
        return 0;
    if (n == 4 && (s[0] > 0xf4 || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90)))
        return 0;
    return n;
}

static void write_text(FILE *to, const char *text)
{
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int n = character_length(s);
        if (*s == '<' || *s == '>' || *s == '&')
            fputs(*s == '<' ? "&lt;" : *s == '>' ? "&gt;" : "&amp;", to);
        else if (n)
            fwrite(s, 1, (size_t)n, to);
        else
            fputs(*s < ' ' || *s == 0x7f ? " " : "\xef\xbf\xbd", to);
        s += n ? n : 1;
    }
}

static void write_base64(FILE *to, const unsigned char *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        unsigned bits = (unsigned)data[i] << 16 | (i + 1 < n ? (unsigned)data[i + 1] << 8 : 0) | (i + 2 < n ? data[i + 2] : 0);
        fputc(digits[bits >> 18], to);
        fputc(digits[bits >> 12 & 63], to);
        fputc(i + 1 < n ? digits[bits >> 6 & 63] : '=', to);
        fputc(i + 2 < n ? digits[bits & 63] : '=', to);
    }
}

static cp_status write_picture(FILE *to, const shape *s, const char *path)
{
    unsigned char *png;
    size_t bytes;
    cp_status status = cp_picture_encode_png(&s->picture, path, &png, &bytes);
    if (status)
        return status;
    fprintf(to, "<image x=\"%.2f\" y=\"%.2f\" width=\"%g\" height=\"%g\" href=\"data:image/png;base64,", s->x, s->y, s->w, s->h);
    write_base64(to, png, bytes);
    fputs("\"/>\n", to);
    free(png);
    return CP_OK;
}

static cp_status write_shape(FILE *to, const shape *s, const char *path)
{
    double third = (s->w - s->x) / 3;
    switch (s->kind) {
    case RECTANGLE:
        fprintf(to, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"", s->x, s->y, s->w, s->h);
        if (s->filled)
            write_colour(to, "fill", s->fill);
        else
            fputs(" fill=\"none\"", to);
        if (s->lined) {
            write_colour(to, "stroke", s->line);
            fprintf(to, " stroke-width=\"%.2f\"", s->width);
        }
        fputs("/>\n", to);
        return CP_OK;
    case CURVE:
        fprintf(to, "<path d=\"M%.2f %.2fC%.2f %.2f %.2f %.2f %.2f %.2f\" fill=\"none\"", s->x, s->y, s->x + third, s->y,
                s->w - third, s->h, s->w, s->h);
        write_colour(to, "stroke", s->line);
        fprintf(to, " stroke-width=\"%.2f\" stroke-opacity=\"%.3f\"/>\n", s->width, s->opacity);
        return CP_OK;
    case PICTURE:
        return write_picture(to, s, path);
    case TEXT:
        if (!*s->text)
            return CP_OK;
        /* .77 of the line's height lies above the base line in DejaVu Sans. */
        fprintf(to, "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%.2f\" textLength=\"%.2f\" lengthAdjust=\"spacingAndGlyphs\"", s->x,
                s->y + .8 * s->h, .86 * s->h, s->w);
        write_colour(to, "fill", s->fill);
        fputs(" xml:space=\"preserve\">", to);
        write_text(to, s->text);
        fputs("</text>\n", to);
        return CP_OK;
    }
    return CP_OK;
}

static cp_status check_memory(const cp_svg *svg)
{
    return svg->failed ? cp_fail(CP_ERESOURCE, "drawing: out of memory") : CP_OK;
}

cp_status cp_svg_write(const cp_svg *svg, const char *path)
{
    cp_file *file;
    cp_status status = check_memory(svg);
    if (!status)
        status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fprintf(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n<rect width=\"100%%\" height=\"100%%\" "
            "fill=\"#ffffff\"/>\n", svg->w, svg->h, svg->w, svg->h);
    for (size_t i = 0; i < svg->n && !status; i++)
        status = write_shape(to, &svg->shape[i], path);
    fputs("</svg>\n", to);
    if (!status)
        return cp_file_commit(&file);
    cp_file_abort(&file);
    return status;
}

/* ---------------------------------------------------------------- pixels */

static int whole(double x) { return (int)floor(x + .5); }

/* Column by column: y is a function of x, and the line is as much thicker upright as it is steep. */
static void paint_curve(cp_picture *p, const shape *s)
{
    double length = s->w - s->x, rise = s->h - s->y;
    for (int x = (int)floor(s->x); x < s->w; x++) {
        double t = (x + .5 - s->x) / length;
        t = t < 0 ? 0 : t > 1 ? 1 : t;
        double y = s->y + rise * t * t * (3 - 2 * t), slope = rise * 6 * t * (1 - t) / length;
        double half = s->width / 2 * sqrt(1 + slope * slope), reach = half + 1;
        double across = fmin(1, fmin(x + 1 - s->x, s->w - x));
        for (int row = (int)floor(y - reach); row <= (int)ceil(y + reach); row++) {
            double cover = fmin(row + 1, y + half) - fmax(row, y - half);
            cp_draw_blend(p, x, row, s->opacity * fmin(1, cover) * across, s->line);
        }
    }
}

static void paint_shape(cp_picture *p, const shape *s)
{
    int x = whole(s->x), y = whole(s->y);
    switch (s->kind) {
    case RECTANGLE:
        if (s->filled)
            cp_draw_fill(p, x, y, whole(s->x + s->w) - x, whole(s->y + s->h) - y, s->fill);
        if (s->lined) { /* the line lies on both sides of the edge */
            int half = whole(s->width / 2);
            cp_draw_box(p, x - half, y - half, whole(s->x + s->w) - x + 2 * half, whole(s->y + s->h) - y + 2 * half,
                        whole(s->width), s->line);
        }
        return;
    case CURVE:
        paint_curve(p, s);
        return;
    case PICTURE:
        cp_draw_picture(p, x, y, &s->picture);
        return;
    case TEXT:
        cp_draw_text(p, s->x, s->y, s->h, s->fill, s->text);
        return;
    }
}

cp_status cp_svg_paint(const cp_svg *svg, cp_picture *out)
{
    cp_status status = check_memory(svg);
    if (!status)
        status = cp_picture_new(svg->w, svg->h, out);
    if (status)
        return status;
    cp_draw_fill(out, 0, 0, svg->w, svg->h, (cp_colour){255, 255, 255});
    for (size_t i = 0; i < svg->n; i++)
        paint_shape(out, &svg->shape[i]);
    return CP_OK;
}

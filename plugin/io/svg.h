/* A drawing of rectangles, curves, pictures and text that is written as SVG and painted as pixels alike. */
#ifndef CP_IO_SVG_H
#define CP_IO_SVG_H

#include "io/draw.h"

typedef struct cp_svg cp_svg;

/* A white drawing of w x h. Later calls draw over earlier ones. They fail for want of memory alone; then, and only then, do
 * writing and painting (CP_ERESOURCE). NULL: out of memory. */
cp_svg *cp_svg_new(int w, int h);
void cp_svg_free(cp_svg *svg);

/* fill NULL: none; line NULL: none. */
void cp_svg_rectangle(cp_svg *svg, double x, double y, double w, double h, const cp_colour *fill, const cp_colour *line,
                      double line_width);
/* From (x0, y0) to (x1, y1), x0 < x1, level at both ends. */
void cp_svg_curve(cp_svg *svg, double x0, double y0, double x1, double y1, double width, cp_colour colour, double opacity);
/* A copy of the picture, its top left at (x, y). */
void cp_svg_picture(cp_svg *svg, double x, double y, const cp_picture *picture);
/* As cp_draw_text. */
void cp_svg_text(cp_svg *svg, double x, double y, double size, cp_colour colour, const char *text);

/* The texts and the rectangles that they cover, in the order drawn. */
typedef struct {
    double x, y, w, h;
    const char *text; /* the drawing's */
} cp_svg_label;
size_t cp_svg_labels(const cp_svg *svg);
cp_svg_label cp_svg_get_label(const cp_svg *svg, size_t k);

/* Text as text, in DejaVu Sans and stretched to that font's width where another is taken; pictures within, as PNG. Atomic, errors
 * as io/atomic.h. */
cp_status cp_svg_write(const cp_svg *svg, const char *path);
/* *out is new. */
cp_status cp_svg_paint(const cp_svg *svg, cp_picture *out);

#endif

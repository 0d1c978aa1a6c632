/* Drawing into a cp_picture: areas, lines, boxes, text. Everything is clipped to the picture. */
#ifndef CP_IO_DRAW_H
#define CP_IO_DRAW_H

#include "io/image.h"

typedef struct {
    unsigned char r, g, b;
} cp_colour;

/* Scales for people with any colour vision. Signed: t in [-1, 1], blue over white to orange-red, equal lightness for
 * equal |t|. Unsigned: t in [0, 1], dark to light. t is clamped; NaN is grey. */
cp_colour cp_colour_signed(double t);
cp_colour cp_colour_unsigned(double t);

/* The k-th of 8 colours for lines and boxes, told apart with any colour vision (Okabe and Ito). */
cp_colour cp_colour_series(size_t k);

void cp_draw_fill(cp_picture *picture, int x, int y, int w, int h, cp_colour colour);
void cp_draw_box(cp_picture *picture, int x, int y, int w, int h, int thickness, cp_colour colour); /* drawn inside */
void cp_draw_line(cp_picture *picture, double x0, double y0, double x1, double y1, double width, cp_colour colour);
void cp_draw_disc(cp_picture *picture, double x, double y, double radius, cp_colour colour);

/* Copies `from` to (x, y). */
void cp_draw_picture(cp_picture *picture, int x, int y, const cp_picture *from);

/* A new picture of w x h: shrunk by averaging, enlarged bilinearly, or in blocks from three times on so that single
 * pixels stay visible. */
cp_status cp_picture_scale(const cp_picture *from, int w, int h, cp_picture *out);

/* UTF-8 text in DejaVu Sans, antialiased; `size` is the height of a line in pixels, (x, y) the top left of the line.
 * Newlines and control characters are drawn as blanks, bad UTF-8 as a replacement mark. */
void cp_draw_text(cp_picture *picture, double x, double y, double size, cp_colour colour, const char *text);
/* The same turned by 90 degrees, reading upwards; (x, y) is the bottom left of the turned line. */
void cp_draw_text_up(cp_picture *picture, double x, double y, double size, cp_colour colour, const char *text);
double cp_text_width(double size, const char *text);

/* Copies text into out (at least 8 bytes), cut with an ellipsis so that it is at most `width` pixels wide. Returns
 * out. */
char *cp_text_fit(double size, const char *text, double width, char *out, size_t out_bytes);

#endif

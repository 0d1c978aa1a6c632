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

/* Perceptual scales that are read with any colour vision, dark to light, for heat: "inferno", "viridis", "cividis",
 * "grey". */
typedef struct {
    cp_colour at[256];
} cp_colour_map;

/* The names, separated by "|". */
#define CP_COLOUR_MAPS "inferno|viridis|cividis|grey"
/* CP_EINPUT when there is none of that name. */
cp_status cp_colour_map_find(const char *name, cp_colour_map *map);

/* The k-th of 8 colours for lines and boxes, told apart with any colour vision (Okabe and Ito). */
cp_colour cp_colour_series(size_t k);

/* The share alpha, cut to [0, 1], of the colour over what is there. */
void cp_draw_blend(cp_picture *picture, int x, int y, double alpha, cp_colour colour);
/* Distance of (x, y) from the segment (x0, y0) to (x1, y1). */
double cp_segment_distance(double x, double y, double x0, double y0, double x1, double y1);

/* Pixels; (x, y) is the top left corner, the centre of a disc. */
void cp_draw_fill(cp_picture *picture, int x, int y, int w, int h, cp_colour colour);
void cp_draw_box(cp_picture *picture, int x, int y, int w, int h, int thickness, cp_colour colour); /* drawn inside */
void cp_draw_line(cp_picture *picture, double x0, double y0, double x1, double y1, double width, cp_colour colour);
void cp_draw_disc(cp_picture *picture, double x, double y, double radius, cp_colour colour);

/* Copies `from` to (x, y). */
void cp_draw_picture(cp_picture *picture, int x, int y, const cp_picture *from);

/* The box of a detection with corners (x0, y0) and (x1, y1), wherever they are: yellow, `thickness` pixels, with a
 * dark rim inside and out, so that it is seen on any photo. The label, unless NULL or "", stands on its upper side, or
 * within it at the picture's upper edge, cut to the picture's width. */
void cp_draw_detection(cp_picture *picture, double x0, double y0, double x1, double y1, int thickness,
                       const char *label);

/* A true box, which a detection's is compared with: thinner, dashed, light blue on a dark line. The label stands below
 * its lower side, or within it at the picture's lower edge. */
void cp_draw_true_box(cp_picture *picture, double x0, double y0, double x1, double y1, const char *label);

/* The line around all places where `plane`, one value per pixel of the picture, shape (h, w), is at least `level`,
 * with a rim on both sides. It closes along the picture's edge. */
cp_status cp_draw_contour(cp_picture *picture, const float *plane, float level, double width, cp_colour colour,
                          double rim, cp_colour rim_colour);

/* UTF-8 text in DejaVu Sans, and what that lacks in a font of the system (CRITPATH_FONT), antialiased; `size` is the height of a line in pixels, (x, y) the top left of the line.
 * Newlines and control characters are drawn as blanks, bad UTF-8 as a replacement mark. */
void cp_draw_text(cp_picture *picture, double x, double y, double size, cp_colour colour, const char *text);
/* The same turned by 90 degrees, reading upwards; (x, y) is the bottom left of the turned line. */
void cp_draw_text_up(cp_picture *picture, double x, double y, double size, cp_colour colour, const char *text);
double cp_text_width(double size, const char *text);
/* Whether a character of the text is in none of the fonts; the first such goes to `missing`, ended by a zero byte. */
bool cp_text_lacks(const char *text, char missing[5]);

enum { CP_TEXT_LINE = 256 };
/* Breaks text into at most `max` lines of at most `width` pixels, appended to the *n in lines: at blanks, and within a
 * word that is wider than a line. What does not fit is cut with an ellipsis. */
void cp_text_wrap(double size, const char *text, double width, char (*lines)[CP_TEXT_LINE], size_t max, size_t *n);

/* Copies text into out (at least 8 bytes), cut with an ellipsis so that it is at most `width` pixels wide. Returns
 * out. */
char *cp_text_fit(double size, const char *text, double width, char *out, size_t out_bytes);

#endif

/* The picture of an explanation: the photo on the left, the map over the greyed photo on the right, a legend below. */
#ifndef CP_IO_OVERLAY_H
#define CP_IO_OVERLAY_H

#include "io/image.h"

/* Corner, width and height in photo pixels. The label may be NULL. */
typedef struct {
    double x, y, w, h;
    const char *label;
} cp_overlay_box;

typedef struct {
    const cp_picture *photo;

    /* One channel, shape (map_h, map_w), in network input coordinates. The corner (u, v) of a map pixel lies at (x0 +
     * sx * u, y0 + sy * v) of the photo: x0 = y0 = 0, sx = photo w / map_w without letterbox; with it, x0 and y0 are
     * negative, and the bars are not shown. Where the photo is outside the map (a crop) it is dark. */
    const float *map;
    int map_w, map_h;
    double x0, y0, sx, sy;

    bool is_signed;    /* positive and negative in two colours, else the magnitude in one */
    double clip;       /* quantile of |map| that gets full colour; 0 means 0.995; the legend names it */
    double blur;       /* sigma of a Gaussian in map pixels before drawing, 0 = none; the legend names it */

    const cp_overlay_box *boxes;
    size_t n_boxes;
    const char *title;         /* "dog 99.7%"; may be NULL */
    const char *const *lines;  /* below the title: method, sparsity, response; long lines wrap */
    size_t n_lines;
    int panel_height;          /* of each of the two pictures in pixels; 0 means about 480 */
} cp_overlay;

/* A map that is all zero, or has NaN or Inf, is drawn and the legend says so. Nonsense sizes: CP_EINPUT. */
cp_status cp_overlay_draw(const cp_overlay *overlay, cp_picture *out);

#endif

/* Views of an image: the same image moved, turned, enlarged, so that what is optimised does not hang on single pixels. */
#ifndef CP_DECODE_VIEW_H
#define CP_DECODE_VIEW_H

#include "critpath.h"

/* Pixel (x,y) of the view is the image at (xx*x + xy*y + x0, yx*x + yy*y + y0), bilinear between pixel centres. */
typedef struct {
    double xx, xy, x0, yx, yy, y0;
} cp_view;

/* Pixels are of an image of 224 or more; in a smaller one they are as many fewer. */
typedef enum {
    CP_VIEWS_ONE,    /* the image as it is */
    CP_VIEWS_SHIFTS, /* moved by up to 4 pixels: for a response that stands at a place */
    CP_VIEWS_TURNS,  /* moved by 8, scaled by .9 to 1.1, turned by 10 degrees, moved by 4 (Olah et al. 2017) */
    CP_VIEWS_CROPS   /* squares of .25 to .5 of the side, enlarged to the whole (Fel et al. 2023) */
} cp_views;

/* Draws one for an image of h x w. */
cp_view cp_view_draw(cp_views views, size_t h, size_t w, uint64_t *state);

/* view (c,h,w) of image (c,h,w); outside the image there is grey, .5. */
void cp_view_take(const cp_view *view, const float *image, size_t c, size_t h, size_t w, float *out);
/* The adjoint: adds to image_gradient what comes from view_gradient. */
void cp_view_add_gradient(const cp_view *view, const float *view_gradient, size_t c, size_t h, size_t w,
                          float *image_gradient);

#endif

/* What the files of the generator share: random numbers, noise, the canvas.
 *
 * Draw one random number per full expression: C leaves the order of a call's arguments to the compiler. */
#ifndef SIGNS_DRAW_H
#define SIGNS_DRAW_H

#include "signs.h"

typedef struct { uint64_t state; } signs_random;

signs_random signs_random_seed(uint64_t seed, uint64_t stream);
uint64_t signs_random_next(signs_random *random);
double signs_uniform(signs_random *random, double low, double high);
int signs_choice(signs_random *random, int n); /* 0 .. n-1 */
bool signs_chance(signs_random *random, double probability);
/* cos and sin of an angle whose tangent of the half is uniform in +-t: no libm, so the same bits everywhere. */
void signs_random_angle(signs_random *random, double t, double *cosine, double *sine);

/* Value noise in [0,1] on the integer lattice, smooth between; and its sum over octaves, each of half the size. */
double signs_noise(uint64_t seed, double x, double y);
double signs_fractal(uint64_t seed, double x, double y, int octaves);

typedef struct { double r, g, b; } signs_colour;

signs_colour signs_grey(double level);
signs_colour signs_random_colour(signs_random *random, double low, double high);
signs_colour signs_mix(signs_colour a, signs_colour b, double share_of_b);
signs_colour signs_scale(signs_colour colour, double factor);
double signs_luma(signs_colour colour);

typedef struct {
    int width, height;
    signs_colour *pixels; /* (H,W) */
    uint8_t *mask;        /* (H,W), instance * 8 + part */
} signs_canvas;

/* One thing to draw: true when the point (x, y) is inside, then with its colour and part. */
typedef bool (*signs_paint)(const void *thing, double x, double y, signs_colour *colour, int *part);

/* Draws over the bounding box [x0,x1] x [y0,y1], clipped, with samples * samples points per pixel (at most 4). The mask
 * takes instance * 8 + the commonest part where at least half of the points are inside. */
void signs_stamp(signs_canvas *canvas, double x0, double y0, double x1, double y1, int samples, signs_paint paint,
                 const void *thing, int instance);

void signs_fill_rectangle(signs_canvas *canvas, double x0, double y0, double x1, double y1, signs_colour colour);
void signs_fill_ellipse(signs_canvas *canvas, double cx, double cy, double rx, double ry, signs_colour colour);

void signs_blur(signs_canvas *canvas, double strength); /* binomial 3x3, mixed in by strength in [0,1] */

void signs_backdrop_draw(signs_canvas *canvas, signs_random *random, double unit);
/* Leaves or a thin pole before a sign at (cx, cy) of the given side. */
void signs_occluder_draw(signs_canvas *canvas, signs_random *random, double cx, double cy, double side);
/* Lamps and posters; blank signs are drawn as signs. */
void signs_clutter_draw(signs_canvas *canvas, signs_random *random, double unit);

enum { SIGNS_CIRCLE, SIGNS_SQUARE, SIGNS_OCTAGON, SIGNS_HEXAGON, SIGNS_DIAMOND, SIGNS_TRIANGLE, SIGNS_SHAPES };

typedef struct {
    int class;  /* -1: blank */
    int shape;
    double cx, cy, side;
    double inverse[9]; /* picture to plate: (u,v,w) = inverse * (x,y,1) */
    double corner[4];  /* bounding box of the plate in the picture: x0, y0, x1, y1 */
    double rim, stretch_u, stretch_v, weight;
    signs_colour rim_colour, face_colour, glyph_colour;
    double light, slope_u, slope_v; /* brightness over the plate */
    uint64_t dirt;
    double dirt_strength;
    unsigned left_out; /* 1 << part */
    int sticker_side; /* +1 right, -1 left, in the plate's frame */
} signs_plate;

void signs_plate_choose(signs_plate *plate, signs_random *random, int class, double cx, double cy, double side,
                        double scene_width);
void signs_plate_draw(signs_canvas *canvas, const signs_plate *plate, int instance);
void signs_sticker_draw(signs_canvas *canvas, const signs_plate *plate, int instance);
/* The room beside a sign that no scene may need for another sign, sticker or not. */
void signs_sticker_room_draw(signs_canvas *canvas, const signs_plate *plate, int instance);
void signs_post_draw(signs_canvas *canvas, const signs_plate *plate, signs_random *random);

#endif

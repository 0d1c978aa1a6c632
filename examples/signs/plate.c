/* The sign itself: outline, rim, face, glyph, the sticker beside it and its post. */
#include <math.h>

#include "draw.h"

const char *const signs_names[SIGNS_CLASSES] = {"bar", "cross", "plus", "ring", "disc", "arrow", "bars", "chevron"};

/* Half the side of the square the glyph is drawn in, as a share of the outline's radius. */
static const double room[SIGNS_SHAPES] = {.60, .70, .62, .60, .46, .36};

/* Distance from the centre in the outline's own norm: 1 on the outline, homogeneous, so rims are evenly wide. */
static double outline(int shape, double u, double v)
{
    double a = fabs(u), b = fabs(v);
    switch (shape) {
    case SIGNS_CIRCLE:
        return sqrt(u * u + v * v);
    case SIGNS_SQUARE: { /* the 8-norm: a square with rounded corners */
        double m = u * u * u * u, n = v * v * v * v;
        return sqrt(sqrt(sqrt(m * m + n * n)));
    }
    case SIGNS_OCTAGON:
        return fmax(fmax(a, b), (a + b) * .70710678118654752);
    case SIGNS_HEXAGON:
        return fmax(b, a * .86602540378443865 + b * .5) / .9;
    case SIGNS_DIAMOND:
        return a + b;
    default: /* triangle on its base, centre of gravity in the middle */
        return fmax(v, a * .86602540378443865 - v * .5) / .56;
    }
}

/* u, v in [-1,1]; w scales the stroke. */
static bool in_glyph(int class, double u, double v, double w)
{
    double a = fabs(u), b = fabs(v), r = sqrt(u * u + v * v);
    if (a > 1 || b > 1) return false;
    switch (class) {
    case 0: /* bar */
        return b < .34 * w;
    case 1: /* cross */
        return fabs(a - b) < .38 * w;
    case 2: /* plus */
        return a < .27 * w || b < .27 * w;
    case 3: /* ring */
        return r < 1 && r > 1 - .42 * w;
    case 4: /* disc */
        return r < .86 * w;
    case 5: /* arrow, pointing up */
        return v < -.05 ? a < v + 1 : a < .3 * w;
    case 6: /* bars, upright */
        return a > .5 - .26 * w && a < .5 + .26 * w;
    case 7: /* chevron, pointing down */
        return fabs(v + 1.3 * a - .45) < .42 * w;
    default:
        return false;
    }
}

static bool to_plate(const signs_plate *p, double x, double y, double *u, double *v)
{
    const double *m = p->inverse;
    double w = m[6] * x + m[7] * y + m[8];
    if (w <= 0) return false;
    *u = (m[0] * x + m[1] * y + m[2]) / w;
    *v = (m[3] * x + m[4] * y + m[5]) / w;
    return true;
}

static bool paint_plate(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const signs_plate *p = thing;
    double u, v;
    if (!to_plate(p, x, y, &u, &v)) return false;
    double d = outline(p->shape, u, v);
    if (d >= 1) return false;
    double k = room[p->shape], drop = p->shape == SIGNS_TRIANGLE ? .06 : 0;
    if (d > 1 - p->rim) {
        *part = SIGNS_RIM;
        *colour = p->rim_colour;
    } else if (in_glyph(p->class, u / (k * p->stretch_u), (v - drop) / (k * p->stretch_v), p->weight)) {
        *part = SIGNS_GLYPH;
        *colour = p->glyph_colour;
    } else {
        *part = SIGNS_FACE;
        *colour = p->face_colour;
    }
    if (*part == SIGNS_GLYPH && p->left_out >> SIGNS_GLYPH & 1) {
        *part = SIGNS_FACE;
        *colour = p->face_colour;
    }
    if (p->left_out >> *part & 1) return false;
    double light = p->light * (1 + p->slope_u * u + p->slope_v * v);
    double dirt = 1 - p->dirt_strength * signs_noise(p->dirt, 4 * u, 4 * v);
    *colour = signs_scale(*colour, light * dirt);
    return true;
}

/* Where a square of the given centre and half side lies beside the plate; su and sv are its own coordinates. */
static bool in_square(const signs_plate *p, double centre, double half, double x, double y, double *su, double *sv)
{
    double u, v;
    if (!to_plate(p, x, y, &u, &v)) return false;
    *su = (u * p->sticker_side - centre) / half;
    *sv = (v - .35) / half;
    return fabs(*su) < 1 && fabs(*sv) < 1;
}

/* A vivid square of magenta and yellow quarters in the sign's plane, tucked under its rim. */
static bool paint_sticker(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const signs_plate *p = thing;
    double su, sv;
    if (!in_square(p, 1.25, .42, x, y, &su, &sv)) return false;
    *part = SIGNS_STICKER;
    *colour = signs_scale(su * sv > 0 ? (signs_colour){.95, .1, .75} : (signs_colour){.98, .9, .1}, p->light);
    return true;
}

static bool paint_room(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    double su, sv;
    if (!in_square(thing, 1.42, .32, x, y, &su, &sv)) return false;
    *part = SIGNS_STICKER;
    *colour = signs_grey(0);
    return true;
}

/* m = 3x3 from the plate to the picture; its adjugate is the way back up to a factor. */
static void invert(const double m[9], double inverse[9])
{
    inverse[0] = m[4] * m[8] - m[5] * m[7];
    inverse[1] = m[2] * m[7] - m[1] * m[8];
    inverse[2] = m[1] * m[5] - m[2] * m[4];
    inverse[3] = m[5] * m[6] - m[3] * m[8];
    inverse[4] = m[0] * m[8] - m[2] * m[6];
    inverse[5] = m[2] * m[3] - m[0] * m[5];
    inverse[6] = m[3] * m[7] - m[4] * m[6];
    inverse[7] = m[1] * m[6] - m[0] * m[7];
    inverse[8] = m[0] * m[4] - m[1] * m[3];
}

/* The plate turned by yaw, pitch and roll, seen from 4 radii away. */
static void place(signs_plate *p, signs_random *random)
{
    double cy, sy, cp, sp, cr, sr, distance = 4, s = p->side / 2;
    signs_random_angle(random, .30, &cy, &sy);
    signs_random_angle(random, .12, &cp, &sp);
    signs_random_angle(random, .08, &cr, &sr);
    /* R = yaw * pitch * roll; the columns of u and v */
    double ru[3] = {cy * cr + sy * sp * sr, cp * sr, -sy * cr + cy * sp * sr};
    double rv[3] = {-cy * sr + sy * sp * cr, cp * cr, sy * sr + cy * sp * cr};
    double m[9] = {s * distance * ru[0] + p->cx * ru[2], s * distance * rv[0] + p->cx * rv[2], p->cx * distance,
                   s * distance * ru[1] + p->cy * ru[2], s * distance * rv[1] + p->cy * rv[2], p->cy * distance,
                   ru[2], rv[2], distance};
    invert(m, p->inverse);
    p->corner[0] = p->corner[1] = 1e9;
    p->corner[2] = p->corner[3] = -1e9;
    for (int i = 0; i < 4; i++) {
        double u = i % 2 ? 1.15 : -1.15, v = i / 2 ? 1.15 : -1.15, w = m[6] * u + m[7] * v + m[8];
        double x = (m[0] * u + m[1] * v + m[2]) / w, y = (m[3] * u + m[4] * v + m[5]) / w;
        /* Not fmin and fmax: GCC 12 for arm64 fails to compile those here. */
        p->corner[0] = x < p->corner[0] ? x : p->corner[0];
        p->corner[1] = y < p->corner[1] ? y : p->corner[1];
        p->corner[2] = x > p->corner[2] ? x : p->corner[2];
        p->corner[3] = y > p->corner[3] ? y : p->corner[3];
    }
}

void signs_plate_choose(signs_plate *p, signs_random *random, int class, double cx, double cy, double side,
                        double scene_width)
{
    p->class = class;
    p->left_out = 0;
    /* A triangle leaves too little room for a glyph in a small sign, a diamond in the smallest. */
    p->shape = signs_choice(random, side < 24 ? SIGNS_DIAMOND : side < 34 ? SIGNS_TRIANGLE : SIGNS_SHAPES);
    p->cx = cx;
    p->cy = cy;
    p->side = side;
    place(p, random);
    p->rim = signs_uniform(random, .09, .17);
    p->stretch_u = signs_uniform(random, .92, 1.06);
    p->stretch_v = signs_uniform(random, .92, 1.06);
    p->weight = signs_uniform(random, .88, 1.12);
    p->face_colour = signs_random_colour(random, .03, .97);
    do {
        p->glyph_colour = signs_random_colour(random, .02, .98);
    } while (fabs(signs_luma(p->glyph_colour) - signs_luma(p->face_colour)) < .38);
    do {
        p->rim_colour = signs_random_colour(random, .02, .98);
    } while (fabs(signs_luma(p->rim_colour) - signs_luma(p->face_colour)) < .2);
    p->light = signs_uniform(random, .75, 1.05);
    p->slope_u = signs_uniform(random, -.12, .12);
    p->slope_v = signs_uniform(random, -.12, .12);
    p->dirt = signs_random_next(random);
    p->dirt_strength = signs_uniform(random, 0, .25);
    p->sticker_side = cx < scene_width / 2 ? 1 : -1;
}

void signs_plate_draw(signs_canvas *canvas, const signs_plate *p, int instance)
{
    const double *c = p->corner;
    signs_stamp(canvas, c[0], c[1], c[2], c[3], 4, paint_plate, p, instance);
}

static void draw_beside(signs_canvas *canvas, const signs_plate *p, int instance, signs_paint paint)
{
    double reach = p->side * 1.2;
    signs_stamp(canvas, p->cx - reach, p->cy - reach, p->cx + reach, p->cy + reach, 4, paint, p, instance);
}

void signs_sticker_draw(signs_canvas *canvas, const signs_plate *p, int instance)
{
    draw_beside(canvas, p, instance, paint_sticker);
}

void signs_sticker_room_draw(signs_canvas *canvas, const signs_plate *p, int instance)
{
    draw_beside(canvas, p, instance, paint_room);
}

void signs_post_draw(signs_canvas *canvas, const signs_plate *p, signs_random *random)
{
    double half = fmax(.6, p->side * signs_uniform(random, .025, .05)), grey = signs_uniform(random, .25, .7);
    double length = p->side * signs_uniform(random, 1.5, 4);
    signs_fill_rectangle(canvas, p->cx - half, p->cy, p->cx + half, p->cy + length, signs_grey(grey));
    signs_fill_rectangle(canvas, p->cx, p->cy, p->cx + half, p->cy + length, signs_grey(grey * .7));
}

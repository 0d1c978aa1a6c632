/* What stands around the signs: sky, houses, foliage, road, clutter, lamps, posters; leaves and poles before them. */
#include <math.h>

#include "draw.h"

typedef struct {
    uint64_t seed;
    double x0, y0, x1, y1, unit;
    double horizon, vanish; /* y of the horizon, x where the road's edges meet */
    double tile_w, tile_h, detail;
    signs_colour a, b, c;
} surface;

static signs_colour speckle(const surface *s, double x, double y, signs_colour colour, double strength)
{
    double n = signs_fractal(s->seed ^ 5, x / (s->unit * .03), y / (s->unit * .03), 3);
    return signs_scale(colour, 1 + strength * (n - .5));
}

static bool paint_sky(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const surface *s = thing;
    (void)part;
    double cloud = signs_fractal(s->seed, x / (s->unit * .4), y / (s->unit * .2), 4);
    cloud = fmin(1, fmax(0, (cloud - .45) * 4));
    *colour = signs_mix(signs_mix(s->a, s->b, y / s->y1), s->c, cloud * s->detail);
    return y < s->y1;
}

/* Bricks or slabs with joints; with large tiles and dark c, a front with windows. */
static bool paint_tiles(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const surface *s = thing;
    (void)part;
    if (x < s->x0 || x >= s->x1 || y < s->y0 || y >= s->y1) return false;
    double row = floor((y - s->y0) / s->tile_h);
    double shift = s->detail > .5 ? 0 : (row - 2 * floor(row / 2)) * .5;
    double tx = (x - s->x0) / s->tile_w + shift, ty = (y - s->y0) / s->tile_h;
    double fx = tx - floor(tx), fy = ty - floor(ty);
    double tone = signs_noise(s->seed, floor(tx) * 3.7, row * 5.3);
    if (s->detail > .5) { /* windows */
        bool pane = fx > .25 && fx < .8 && fy > .25 && fy < .8;
        bool bar = fabs(fx - .525) < .03;
        *colour = pane && !bar ? signs_mix(s->c, signs_grey(.9), tone * .35) : s->a;
        *colour = speckle(s, x, y, *colour, .25);
    } else {
        bool joint = fx < .06 || fy < .12;
        *colour = speckle(s, x, y, joint ? s->c : signs_mix(s->a, s->b, tone), .4);
    }
    return true;
}

static bool paint_plaster(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const surface *s = thing;
    (void)part;
    if (x < s->x0 || x >= s->x1 || y < s->y0 || y >= s->y1) return false;
    double stain = signs_fractal(s->seed, x / (s->unit * .25), y / (s->unit * .25), 4);
    *colour = speckle(s, x, y, signs_mix(s->a, s->b, stain), .15);
    return true;
}

/* A crown whose edge and leaves are noise. */
static bool paint_foliage(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const surface *s = thing;
    (void)part;
    double u = (2 * x - s->x0 - s->x1) / (s->x1 - s->x0), v = (2 * y - s->y0 - s->y1) / (s->y1 - s->y0);
    double edge = signs_fractal(s->seed, x / (s->unit * .06), y / (s->unit * .06), 3);
    if (u * u + v * v > .45 + 1.1 * edge * edge) return false;
    double leaf = signs_fractal(s->seed ^ 9, x / (s->unit * .025), y / (s->unit * .025), 3);
    *colour = signs_mix(s->a, s->b, fmin(1, fmax(0, (leaf - .3) * 2.2)));
    *colour = signs_scale(*colour, 1.1 - .25 * v);
    return true;
}

static bool paint_road(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const surface *s = thing;
    (void)part;
    if (y < s->horizon) return false;
    double depth = (y - s->horizon) / (s->unit - s->horizon + 1);
    double across = (x - s->vanish) / (s->unit * (depth * 1.1 + .03));
    double grain = signs_fractal(s->seed, x / (s->unit * (.008 + .03 * depth)), y / (s->unit * .01), 2);
    *colour = fabs(across) < .55 ? s->a : s->b;
    double far = 1 / (depth + .08), dash = far * s->tile_w;
    bool line = fabs(across) < .018 && dash - floor(dash) < .55;
    line = line || fabs(fabs(across) - .5) < .014;
    if (line) *colour = s->c;
    *colour = signs_scale(*colour, .85 + .3 * grain);
    return true;
}

static signs_colour green(signs_random *random, double level)
{
    signs_colour c;
    c.r = level * signs_uniform(random, .35, .95);
    c.g = level * signs_uniform(random, .75, 1.1);
    c.b = level * signs_uniform(random, .15, .5);
    return c;
}

/* A building colour: greys, ochres and reds rather than any colour. */
static signs_colour stone(signs_random *random)
{
    signs_colour warm = {.65, .4, .28}, c = signs_grey(signs_uniform(random, .3, .9));
    return signs_mix(c, warm, signs_uniform(random, 0, .7));
}

static void wall(signs_canvas *canvas, signs_random *random, double x0, double y0, double x1, double y1, double unit)
{
    surface s = {.seed = signs_random_next(random), .x0 = x0, .y0 = y0, .x1 = x1, .y1 = y1, .unit = unit};
    int kind = signs_choice(random, 3);
    s.a = stone(random);
    s.b = signs_scale(s.a, signs_uniform(random, .65, 1.2));
    s.c = kind == 1 ? signs_scale(signs_random_colour(random, .1, .35), 1) : signs_mix(s.a, signs_grey(.7), .6);
    s.detail = kind == 1;
    s.tile_w = unit * (kind == 1 ? signs_uniform(random, .12, .3) : signs_uniform(random, .05, .16));
    s.tile_h = s.tile_w * (kind == 1 ? signs_uniform(random, 1, 1.5) : signs_uniform(random, .35, .8));
    signs_stamp(canvas, x0, y0, x1, y1, kind == 2 ? 1 : 2, kind == 2 ? paint_plaster : paint_tiles, &s, 0);
}

static void foliage(signs_canvas *canvas, signs_random *random, double cx, double cy, double rx, double ry, double unit)
{
    surface s = {.seed = signs_random_next(random), .x0 = cx - rx, .y0 = cy - ry, .x1 = cx + rx, .y1 = cy + ry};
    s.unit = unit;
    s.a = green(random, signs_uniform(random, .15, .4));
    s.b = green(random, signs_uniform(random, .45, .9));
    signs_stamp(canvas, cx - 1.3 * rx, cy - 1.3 * ry, cx + 1.3 * rx, cy + 1.3 * ry, 1, paint_foliage, &s, 0);
}

static void car(signs_canvas *canvas, signs_random *random, double cx, double ground, double length)
{
    signs_colour body = signs_random_colour(random, .05, .9), glass = signs_grey(signs_uniform(random, .1, .3));
    double h = length * .22, wheel = length * .1;
    signs_fill_ellipse(canvas, cx, ground, length * .55, wheel * .5, signs_grey(.12));
    signs_fill_rectangle(canvas, cx - length / 2, ground - wheel - h, cx + length / 2, ground - wheel * .6, body);
    signs_fill_ellipse(canvas, cx, ground - wheel - h, length * .32, h * .95, signs_scale(body, .9));
    signs_fill_ellipse(canvas, cx, ground - wheel - h * 1.05, length * .26, h * .6, glass);
    signs_fill_rectangle(canvas, cx - length / 2, ground - wheel - h * .95, cx + length / 2, ground - wheel - h * .5,
                         body);
    for (int side = -1; side <= 1; side += 2) {
        signs_fill_ellipse(canvas, cx + side * length * .3, ground - wheel, wheel, wheel, signs_grey(.08));
        signs_fill_ellipse(canvas, cx + side * length * .3, ground - wheel, wheel * .5, wheel * .5, signs_grey(.5));
    }
}

static void sky(signs_canvas *canvas, signs_random *random, double unit)
{
    surface s = {.seed = signs_random_next(random), .x1 = canvas->width, .y1 = canvas->height, .unit = unit};
    double level = signs_uniform(random, .4, 1);
    s.a.r = level * signs_uniform(random, .3, .75);
    s.a.g = level * signs_uniform(random, .55, .85);
    s.a.b = level * .98;
    s.b = signs_mix(s.a, signs_grey(level), .7);
    s.c = signs_grey(fmin(1, level * 1.1));
    s.detail = signs_uniform(random, 0, 1);
    signs_stamp(canvas, 0, 0, canvas->width, canvas->height, 1, paint_sky, &s, 0);
}

static void street(signs_canvas *canvas, signs_random *random, double unit, double horizon)
{
    double w = canvas->width, h = canvas->height;
    for (double x = -unit * signs_uniform(random, 0, .3); x < w;) {
        double wide = unit * signs_uniform(random, .2, .55), high = unit * signs_uniform(random, .1, .55);
        int what = signs_choice(random, 5);
        if (what < 3) wall(canvas, random, x, horizon - high, x + wide, horizon + unit * .02, unit);
        if (what == 3) foliage(canvas, random, x + wide / 2, horizon - high * .5, wide * .6, high * .6, unit);
        x += wide * signs_uniform(random, .7, 1.3);
    }
    surface s = {.seed = signs_random_next(random), .unit = h, .horizon = horizon};
    double level = signs_uniform(random, .25, .55);
    s.vanish = w * signs_uniform(random, .2, .8);
    s.a = (signs_colour){level, level, level * signs_uniform(random, .95, 1.1)};
    s.b = signs_chance(random, .5) ? green(random, signs_uniform(random, .35, .7)) : signs_scale(stone(random), .9);
    s.c = signs_grey(signs_uniform(random, .6, .95));
    s.tile_w = signs_uniform(random, .6, 1.5);
    signs_stamp(canvas, 0, horizon, w, h, 2, paint_road, &s, 0);
    for (int i = signs_choice(random, 3); i > 0; i--) {
        double length = unit * signs_uniform(random, .12, .4);
        double ground = horizon + length * signs_uniform(random, .2, .5), cx = signs_uniform(random, 0, w);
        car(canvas, random, cx, ground, length);
    }
}

void signs_backdrop_draw(signs_canvas *canvas, signs_random *random, double unit)
{
    double w = canvas->width, h = canvas->height;
    sky(canvas, random, unit);
    if (signs_chance(random, .65)) {
        street(canvas, random, unit, h * signs_uniform(random, .4, .72));
    } else { /* close before a wall or a hedge */
        double top = signs_chance(random, .3) ? h * signs_uniform(random, 0, .4) : -1;
        if (signs_chance(random, .7)) wall(canvas, random, -1, top, w + 1, h + 1, unit);
        else foliage(canvas, random, w / 2, h * .6, w * .9, h * .8, unit);
    }
    for (int i = signs_choice(random, 3); i > 0; i--) {
        double r = unit * signs_uniform(random, .08, .25);
        double cy = h * signs_uniform(random, .4, 1), cx = signs_uniform(random, 0, w);
        foliage(canvas, random, cx, cy, r, r * .8, unit);
    }
    for (int i = signs_choice(random, 4); i > 0; i--) { /* boxes, bins, doors */
        double bw = unit * signs_uniform(random, .03, .16), bh = bw * signs_uniform(random, .6, 2.2);
        double x = signs_uniform(random, 0, w), y = h * signs_uniform(random, .45, .95);
        signs_colour colour = signs_random_colour(random, .1, .85);
        signs_fill_rectangle(canvas, x, y - bh, x + bw, y, colour);
        signs_fill_rectangle(canvas, x + bw * .8, y - bh, x + bw, y, signs_scale(colour, .7));
        signs_fill_rectangle(canvas, x, y - bh, x + bw, y - bh * .9, signs_mix(colour, signs_grey(1), .25));
    }
    for (int i = signs_choice(random, 3); i > 0; i--) { /* lamp posts and trunks */
        double x = signs_uniform(random, 0, w), half = unit * signs_uniform(random, .003, .014);
        signs_colour colour = signs_mix(stone(random), signs_grey(.15), .5);
        double top = h * signs_uniform(random, -.1, .5), foot = h * signs_uniform(random, .6, 1.05);
        signs_fill_rectangle(canvas, x - half, top, x + half, foot, colour);
        signs_fill_rectangle(canvas, x - half, top, x - half * .3, foot, signs_mix(colour, signs_grey(1), .2));
    }
}

static void lamp(signs_canvas *canvas, signs_random *random, double x, double y, double r)
{
    static const signs_colour lights[3] = {{.95, .15, .1}, {.98, .75, .1}, {.1, .85, .35}};
    int lit = signs_choice(random, 3);
    signs_fill_rectangle(canvas, x - 1.5 * r, y - 4 * r, x + 1.5 * r, y + 4 * r, signs_grey(.1));
    for (int i = 0; i < 3; i++)
        signs_fill_ellipse(canvas, x, y + (i - 1) * 2.5 * r, r, r, signs_scale(lights[i], i == lit ? 1 : .3));
}

/* A sheet with a headline, lines of writing and a patch of colour: no glyph of ours. */
static void poster(signs_canvas *canvas, signs_random *random, double x, double y, double w)
{
    double h = w * signs_uniform(random, 1.1, 1.6), line = h / signs_uniform(random, 7, 11);
    signs_colour paper = signs_random_colour(random, .5, 1), ink = signs_random_colour(random, 0, .4);
    signs_colour patch = signs_random_colour(random, .05, .95);
    signs_fill_rectangle(canvas, x, y, x + w, y + h, paper);
    signs_fill_rectangle(canvas, x, y, x + w, y + h * signs_uniform(random, .2, .45), patch);
    for (double at = y + h * .5; at < y + h - line; at += line)
        for (double left = x + w * .1; left < x + w * .85;) {
            double word = w * signs_uniform(random, .08, .25);
            signs_fill_rectangle(canvas, left, at, fmin(left + word, x + w * .9), at + line * .45, ink);
            left += word + w * .06;
        }
}

void signs_clutter_draw(signs_canvas *canvas, signs_random *random, double unit)
{
    double w = canvas->width, h = canvas->height;
    if (signs_chance(random, .3)) {
        double r = unit * signs_uniform(random, .012, .035);
        double y = h * signs_uniform(random, .1, .6), x = w * signs_uniform(random, .05, .95);
        lamp(canvas, random, x, y, r);
    }
    if (signs_chance(random, .35)) {
        double wide = unit * signs_uniform(random, .07, .2);
        double y = h * signs_uniform(random, .2, .8), x = w * signs_uniform(random, 0, .9);
        poster(canvas, random, x, y, wide);
    }
}

void signs_occluder_draw(signs_canvas *canvas, signs_random *random, double cx, double cy, double side)
{
    if (signs_chance(random, .35)) {
        double half = fmax(.5, side * signs_uniform(random, .03, .07));
        double x = cx + side * signs_uniform(random, -.45, .45);
        signs_colour colour = signs_grey(signs_uniform(random, .1, .6));
        signs_fill_rectangle(canvas, x - half, cy - side * 3, x + half, cy + side * 3, colour);
        return;
    }
    double c, s;
    signs_random_angle(random, 1, &c, &s);
    if (signs_chance(random, .5)) c = -c;
    signs_colour dark = green(random, .35), light = green(random, .8);
    for (int i = 4 + signs_choice(random, 8); i > 0; i--) {
        double out = side * signs_uniform(random, .3, .85), aside = side * signs_uniform(random, -.35, .35);
        double r = side * signs_uniform(random, .05, .13), tone = signs_uniform(random, 0, 1);
        double flat = signs_uniform(random, .5, 1);
        signs_fill_ellipse(canvas, cx + c * out - s * aside, cy + s * out + c * aside, r, r * flat,
                           signs_mix(dark, light, tone));
    }
}

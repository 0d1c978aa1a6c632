/* Random numbers, noise and the canvas. Only + - * / and sqrt on doubles: the same bits on every machine. */
#include <math.h>
#include <string.h>

#include "draw.h"

/* splitmix64, Steele, Lea and Flood 2014 */
static uint64_t scramble(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t signs_random_next(signs_random *random)
{
    random->state += UINT64_C(0x9e3779b97f4a7c15);
    return scramble(random->state);
}

signs_random signs_random_seed(uint64_t seed, uint64_t stream)
{
    return (signs_random){scramble(seed + UINT64_C(0x9e3779b97f4a7c15)) ^ scramble(~stream)};
}

double signs_uniform(signs_random *random, double low, double high)
{
    return low + (high - low) * ((double)(signs_random_next(random) >> 11) * 0x1p-53);
}

int signs_choice(signs_random *random, int n)
{
    return (int)((signs_random_next(random) >> 33) % (uint64_t)n);
}

bool signs_chance(signs_random *random, double probability)
{
    return signs_uniform(random, 0, 1) < probability;
}

void signs_random_angle(signs_random *random, double t, double *cosine, double *sine)
{
    double half = signs_uniform(random, -t, t);
    *cosine = (1 - half * half) / (1 + half * half);
    *sine = 2 * half / (1 + half * half);
}

static double lattice(uint64_t seed, int64_t x, int64_t y)
{
    uint64_t at = (uint64_t)x * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)y * UINT64_C(0xd1b54a32d192ed03);
    uint64_t z = scramble(seed + at);
    return (double)(z >> 11) * 0x1p-53;
}

double signs_noise(uint64_t seed, double x, double y)
{
    double fx = floor(x), fy = floor(y), u = x - fx, v = y - fy;
    int64_t ix = (int64_t)fx, iy = (int64_t)fy;
    u = u * u * (3 - 2 * u);
    v = v * v * (3 - 2 * v);
    double top = lattice(seed, ix, iy) * (1 - u) + lattice(seed, ix + 1, iy) * u;
    double bottom = lattice(seed, ix, iy + 1) * (1 - u) + lattice(seed, ix + 1, iy + 1) * u;
    return top * (1 - v) + bottom * v;
}

double signs_fractal(uint64_t seed, double x, double y, int octaves)
{
    double sum = 0, weight = 1, total = 0;
    for (int i = 0; i < octaves; i++) {
        sum += weight * signs_noise(seed + (uint64_t)i * 77, x, y);
        total += weight;
        weight /= 2;
        x *= 2;
        y *= 2;
    }
    return sum / total;
}

signs_colour signs_grey(double level)
{
    return (signs_colour){level, level, level};
}

signs_colour signs_random_colour(signs_random *random, double low, double high)
{
    signs_colour colour;
    colour.r = signs_uniform(random, low, high);
    colour.g = signs_uniform(random, low, high);
    colour.b = signs_uniform(random, low, high);
    return colour;
}

signs_colour signs_mix(signs_colour a, signs_colour b, double share)
{
    return (signs_colour){a.r + (b.r - a.r) * share, a.g + (b.g - a.g) * share, a.b + (b.b - a.b) * share};
}

signs_colour signs_scale(signs_colour c, double factor)
{
    return (signs_colour){c.r * factor, c.g * factor, c.b * factor};
}

double signs_luma(signs_colour c)
{
    return .3 * c.r + .6 * c.g + .1 * c.b;
}

static int clip(double value, int high)
{
    return value < 0 ? 0 : value > high ? high : (int)value;
}

void signs_stamp(signs_canvas *canvas, double x0, double y0, double x1, double y1, int samples, signs_paint paint,
                 const void *thing, int instance)
{
    int left = clip(floor(x0), canvas->width), right = clip(ceil(x1) + 1, canvas->width);
    int top = clip(floor(y0), canvas->height), bottom = clip(ceil(y1) + 1, canvas->height);
    int all = samples * samples;
    for (int y = top; y < bottom; y++) {
        for (int x = left; x < right; x++) {
            int count[SIGNS_PARTS] = {0}, inside = 0;
            signs_colour sum = {0, 0, 0};
            for (int s = 0; s < all; s++) {
                signs_colour colour = {0, 0, 0};
                int part = SIGNS_BACKGROUND;
                double px = x + (s % samples + .5) / samples, py = y + (s / samples + .5) / samples;
                if (!paint(thing, px, py, &colour, &part)) continue;
                sum.r += colour.r;
                sum.g += colour.g;
                sum.b += colour.b;
                count[part]++;
                inside++;
            }
            if (inside == 0) continue;
            size_t i = (size_t)y * (size_t)canvas->width + (size_t)x;
            signs_colour mean = signs_scale(sum, 1.0 / inside);
            canvas->pixels[i] = signs_mix(canvas->pixels[i], mean, (double)inside / all);
            if (2 * inside < all) continue;
            int most = SIGNS_PARTS - 1;
            for (int part = SIGNS_PARTS - 2; part >= 0; part--)
                if (count[part] > count[most]) most = part;
            canvas->mask[i] = most == SIGNS_BACKGROUND ? 0 : (uint8_t)(instance * 8 + most);
        }
    }
}

typedef struct { double x0, y0, x1, y1; signs_colour colour; } shape;

static bool paint_rectangle(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const shape *s = thing;
    (void)part;
    *colour = s->colour;
    return x >= s->x0 && x < s->x1 && y >= s->y0 && y < s->y1;
}

static bool paint_ellipse(const void *thing, double x, double y, signs_colour *colour, int *part)
{
    const shape *s = thing;
    (void)part;
    double u = (2 * x - s->x0 - s->x1) / (s->x1 - s->x0), v = (2 * y - s->y0 - s->y1) / (s->y1 - s->y0);
    *colour = s->colour;
    return u * u + v * v < 1;
}

void signs_fill_rectangle(signs_canvas *canvas, double x0, double y0, double x1, double y1, signs_colour colour)
{
    shape s = {x0, y0, x1, y1, colour};
    signs_stamp(canvas, x0, y0, x1, y1, 2, paint_rectangle, &s, 0);
}

void signs_fill_ellipse(signs_canvas *canvas, double cx, double cy, double rx, double ry, signs_colour colour)
{
    shape s = {cx - rx, cy - ry, cx + rx, cy + ry, colour};
    signs_stamp(canvas, s.x0, s.y0, s.x1, s.y1, 3, paint_ellipse, &s, 0);
}

static signs_colour binomial(signs_colour a, signs_colour b, signs_colour c, double strength)
{
    signs_colour soft = {.25 * a.r + .5 * b.r + .25 * c.r, .25 * a.g + .5 * b.g + .25 * c.g,
                         .25 * a.b + .5 * b.b + .25 * c.b};
    return signs_mix(b, soft, strength);
}

/* In place: along rows, then along columns, each keeping the value it has just replaced. */
void signs_blur(signs_canvas *canvas, double strength)
{
    int w = canvas->width, h = canvas->height;
    for (int y = 0; y < h; y++) {
        signs_colour *row = canvas->pixels + (size_t)y * (size_t)w, before = row[0];
        for (int x = 0; x < w; x++) {
            signs_colour here = row[x];
            row[x] = binomial(before, here, row[x + 1 < w ? x + 1 : x], strength);
            before = here;
        }
    }
    for (int x = 0; x < w; x++) {
        signs_colour *column = canvas->pixels + x, before = column[0];
        for (int y = 0; y < h; y++) {
            signs_colour *cell = column + (size_t)y * (size_t)w, here = *cell;
            *cell = binomial(before, here, y + 1 < h ? cell[w] : here, strength);
            before = here;
        }
    }
}

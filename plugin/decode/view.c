#include "decode/view.h"

#include <math.h>

#include "io/random.h"

static const float GREY = .5f;
static const double PI = 3.14159265358979323846, USUAL = 224;

static double draw_between(double least, double most, uint64_t *state)
{
    return least + (most - least) * cp_random_uniform(state);
}

/* About the centre: scaled, turned, then moved. */
static cp_view turned(double scale, double angle, double dx, double dy, size_t h, size_t w)
{
    double cx = .5 * ((double)w - 1), cy = .5 * ((double)h - 1), c = cos(angle) / scale, s = sin(angle) / scale;
    return (cp_view){c, -s, cx - c * cx + s * cy + dx, s, c, cy - s * cx - c * cy + dy};
}

static cp_view crop(size_t h, size_t w, uint64_t *state)
{
    double share = draw_between(.25, .5, state);
    double x0 = draw_between(0, (1 - share) * (double)w, state), y0 = draw_between(0, (1 - share) * (double)h, state);
    return (cp_view){share, 0, x0 + .5 * share - .5, 0, share, y0 + .5 * share - .5};
}

cp_view cp_view_draw(cp_views views, size_t h, size_t w, uint64_t *state)
{
    if (views == CP_VIEWS_CROPS)
        return crop(h, w, state);
    double dx = 0, dy = 0, scale = 1, angle = 0, side = (double)(h > w ? h : w);
    double pixel = side < USUAL ? side / USUAL : 1; /* small images move less */
    if (views == CP_VIEWS_TURNS) {
        scale = draw_between(.9, 1.1, state);
        angle = draw_between(-10, 10, state) * PI / 180;
        dx = pixel * draw_between(-8, 8, state);
        dy = pixel * draw_between(-8, 8, state);
    }
    if (views != CP_VIEWS_ONE) {
        dx += pixel * draw_between(-4, 4, state);
        dy += pixel * draw_between(-4, 4, state);
    }
    return turned(scale, angle, dx, dy, h, w);
}

/* Where pixel (x,y) of the view lies: its upper left neighbour, and how far it is from that. */
static void locate(const cp_view *v, size_t x, size_t y, ptrdiff_t *left, ptrdiff_t *top, float *right, float *down)
{
    double at_x = v->xx * (double)x + v->xy * (double)y + v->x0, at_y = v->yx * (double)x + v->yy * (double)y + v->y0;
    *left = (ptrdiff_t)floor(at_x);
    *top = (ptrdiff_t)floor(at_y);
    *right = (float)(at_x - (double)*left);
    *down = (float)(at_y - (double)*top);
}

static bool is_inside(ptrdiff_t x, ptrdiff_t y, size_t h, size_t w)
{
    return x >= 0 && y >= 0 && x < (ptrdiff_t)w && y < (ptrdiff_t)h;
}

void cp_view_take(const cp_view *view, const float *image, size_t c, size_t h, size_t w, float *out)
{
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) {
            ptrdiff_t left, top;
            float right, down;
            locate(view, x, y, &left, &top, &right, &down);
            for (size_t k = 0; k < c; k++) {
                float sum = 0;
                for (int corner = 0; corner < 4; corner++) {
                    ptrdiff_t at_x = left + (corner & 1), at_y = top + (corner >> 1);
                    float weight = (corner & 1 ? right : 1 - right) * (corner >> 1 ? down : 1 - down);
                    sum += weight * (is_inside(at_x, at_y, h, w)
                                         ? image[(k * h + (size_t)at_y) * w + (size_t)at_x] : GREY);
                }
                out[(k * h + y) * w + x] = sum;
            }
        }
}

void cp_view_add_gradient(const cp_view *view, const float *view_gradient, size_t c, size_t h, size_t w,
                          float *image_gradient)
{
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) {
            ptrdiff_t left, top;
            float right, down;
            locate(view, x, y, &left, &top, &right, &down);
            for (int corner = 0; corner < 4; corner++) {
                ptrdiff_t at_x = left + (corner & 1), at_y = top + (corner >> 1);
                float weight = (corner & 1 ? right : 1 - right) * (corner >> 1 ? down : 1 - down);
                if (!is_inside(at_x, at_y, h, w))
                    continue;
                for (size_t k = 0; k < c; k++)
                    image_gradient[(k * h + (size_t)at_y) * w + (size_t)at_x] +=
                        weight * view_gradient[(k * h + y) * w + x];
            }
        }
}

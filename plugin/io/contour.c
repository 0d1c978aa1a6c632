/* Lines of equal value in a plane that lies over a picture, by marching squares. */
#include <math.h>

#include "io/draw.h"
#include "io/error.h"

struct point {
    double x, y;
};

/* The picture's distance to the line so far, per pixel. */
struct lines {
    const float *plane;
    float level, *distance;
    int w, h;
    double reach; /* beyond this no distance is needed */
};

/* The value at pixel (x, y). Outside it is below any level, so that the line closes along the picture's edge. */
static double value_at(const struct lines *l, int x, int y)
{
    bool outside = x < 0 || y < 0 || x >= l->w || y >= l->h;
    return outside ? -INFINITY : l->plane[(size_t)y * (size_t)l->w + (size_t)x];
}

/* Where the level is crossed between the centres of two pixels; where one is outside, a pixel inside of the edge. */
static struct point crossing(const struct lines *l, int x0, int y0, double a, int x1, int y1, double b)
{
    double t = isinf(a) ? 1 : isinf(b) ? 0 : (l->level - a) / (b - a), margin = 1;
    struct point p = {x0 + .5 + t * (x1 - x0), y0 + .5 + t * (y1 - y0)};
    p.x = fmax(margin, fmin(p.x, l->w - margin));
    p.y = fmax(margin, fmin(p.y, l->h - margin));
    return p;
}

static void add_segment(const struct lines *l, struct point a, struct point b)
{
    int left = (int)fmax(0, floor(fmin(a.x, b.x) - l->reach)), top = (int)fmax(0, floor(fmin(a.y, b.y) - l->reach));
    int right = (int)fmin(l->w - 1, ceil(fmax(a.x, b.x) + l->reach));
    int bottom = (int)fmin(l->h - 1, ceil(fmax(a.y, b.y) + l->reach));
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++) {
            float *at = l->distance + (size_t)y * (size_t)l->w + (size_t)x;
            *at = fminf(*at, (float)cp_segment_distance(x + .5, y + .5, a.x, a.y, b.x, b.y));
        }
}

/* The square between the centres of pixels (x, y) and (x + 1, y + 1). Corners and sides are counted clockwise from the
 * top left and the top. */
static void cross_square(const struct lines *l, int x, int y)
{
    static const int dx[5] = {0, 1, 1, 0, 0}, dy[5] = {0, 0, 1, 1, 0};
    double value[5], middle = 0;
    struct point on[4];
    int n = 0;
    for (int i = 0; i < 4; i++) {
        value[i] = value_at(l, x + dx[i], y + dy[i]);
        middle += value[i] / 4;
    }
    value[4] = value[0];
    for (int i = 0; i < 4; i++)
        if ((value[i] >= l->level) != (value[i + 1] >= l->level))
            on[n++] = crossing(l, x + dx[i], y + dy[i], value[i], x + dx[i + 1], y + dy[i + 1], value[i + 1]);
    if (n == 2) {
        add_segment(l, on[0], on[1]);
    } else if (n == 4) { /* a saddle: the middle says which corners belong together */
        bool first_corner_alone = (middle >= l->level) != (value[0] >= l->level);
        add_segment(l, on[0], on[first_corner_alone ? 3 : 1]);
        add_segment(l, on[2], on[first_corner_alone ? 1 : 3]);
    }
}

cp_status cp_draw_contour(cp_picture *p, const float *plane, float level, double width, cp_colour colour, double rim,
                          cp_colour rim_colour)
{
    size_t n = (size_t)p->w * (size_t)p->h;
    float *distance = cp_alloc_dirty(n, sizeof *distance, "contour");
    if (!distance)
        return CP_ERESOURCE;
    struct lines l = {plane, level, distance, p->w, p->h, width / 2 + rim + 1};
    for (size_t i = 0; i < n; i++)
        distance[i] = 1e9f;
    for (int y = -1; y < p->h; y++)
        for (int x = -1; x < p->w; x++)
            cross_square(&l, x, y);
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            double d = distance[(size_t)y * (size_t)p->w + (size_t)x];
            cp_draw_blend(p, x, y, width / 2 + rim + .5 - d, rim_colour);
            cp_draw_blend(p, x, y, width / 2 + .5 - d, colour);
        }
    cp_free(distance);
    return CP_OK;
}

#include "eval/localise.h"

#include <math.h>
#include <stdlib.h>

#include "io/error.h"

static bool inside(const cp_map_box *box, size_t x, size_t y)
{
    double u = (double)x + .5, v = (double)y + .5;
    return u >= box->x && u < box->x + box->w && v >= box->y && v < box->y + box->h;
}

static int descending(const void *a, const void *b)
{
    float p = *(const float *)a, q = *(const float *)b;
    return p > q ? -1 : p < q;
}

/* Of the n highest values, the share inside; equals at the border count by their mean share. */
static cp_status rank_accuracy(const float *map, size_t w, const cp_placement *at, const cp_map_box *box, size_t n,
                               double *accuracy)
{
    size_t all = at->w * at->h, k = 0, above = 0, above_in = 0, equal = 0, equal_in = 0;
    float *value = cp_alloc(all, sizeof *value, "ranking");
    if (!value)
        return CP_ERESOURCE;
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++)
            value[k++] = map[y * w + x];
    qsort(value, all, sizeof *value, descending);
    float least = value[n - 1];
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++) {
            bool in = inside(box, x, y);
            above += map[y * w + x] > least, above_in += in && map[y * w + x] > least;
            equal += map[y * w + x] == least, equal_in += in && map[y * w + x] == least;
        }
    *accuracy = ((double)above_in + (double)equal_in * (double)(n - above) / (double)equal) / (double)n;
    cp_free(value);
    return CP_OK;
}

static double compactness(const float *map, size_t w, const cp_placement *at, const cp_map_box *box, size_t best_x,
                          size_t best_y)
{
    double sum = 0, spread = 0;
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++) {
            double value = fmaxf(map[y * w + x], 0), dx = (double)x - (double)best_x, dy = (double)y - (double)best_y;
            sum += value;
            spread += value * (dx * dx + dy * dy);
        }
    return sqrt(spread / (sum * (box->w * box->w + box->h * box->h) / 4));
}

double cp_localise_confusion(const float *map, size_t w, const cp_placement *at, const cp_map_box *box,
                             const cp_map_box *others, size_t n)
{
    double all = 0, theirs = 0;
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++) {
            bool own = inside(box, x, y), other = false;
            for (size_t i = 0; i < n && !own && !other; i++)
                other = inside(&others[i], x, y);
            double value = own || other ? fmaxf(map[y * w + x], 0) : 0;
            all += value;
            theirs += other ? value : 0;
        }
    return all > 0 ? theirs / all : NAN;
}

cp_status cp_localise(const float *map, size_t h, size_t w, const cp_placement *at, const cp_map_box *box,
                      cp_localisation *found)
{
    double sum = 0, in_box = 0;
    size_t pixels = 0, best_x = at->x, best_y = at->y;
    *found = (cp_localisation){NAN, NAN, false, NAN, NAN};
    if (!at->w || !at->h || at->x + at->w > w || at->y + at->h > h)
        return cp_fail(CP_EINPUT, "placement: %zux%zu at (%td,%td) does not lie in the %zux%zu map", at->w, at->h, at->x,
                       at->y, w, h);
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++) {
            float value = map[y * w + x];
            if (isnan(value))
                return cp_fail(CP_EINPUT, "map: no number at x %zu, y %zu", x, y);
            bool in = inside(box, x, y);
            pixels += in;
            sum += fmaxf(value, 0);
            in_box += in ? fmaxf(value, 0) : 0;
            if (value > map[best_y * w + best_x])
                best_x = x, best_y = y;
        }
    if (!pixels)
        return cp_fail(CP_EINPUT, "box: no pixel of the photo lies in %g x %g at (%g,%g)", box->w, box->h, box->x, box->y);
    if (!(sum > 0))
        return CP_OK;
    found->energy = in_box / sum;
    found->lift = found->energy * (double)(at->w * at->h) / (double)pixels;
    found->pointing = inside(box, best_x, best_y);
    found->compactness = compactness(map, w, at, box, best_x, best_y);
    return rank_accuracy(map, w, at, box, pixels, &found->ranking);
}

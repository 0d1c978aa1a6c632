#include "eval/localise.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "io/error.h"

/* What a map is compared with: a box or, where there is one, a mask of the map's size. */
typedef struct {
    const cp_map_box *box;
    const uint8_t *mask;
    size_t w; /* of the mask */
} region;

static bool in_box(const cp_map_box *box, size_t x, size_t y)
{
    double u = (double)x + .5, v = (double)y + .5;
    return u >= box->x && u < box->x + box->w && v >= box->y && v < box->y + box->h;
}

static bool inside(const region *r, size_t x, size_t y) { return r->mask ? r->mask[y * r->w + x] != 0 : in_box(r->box, x, y); }

static int descending(const void *a, const void *b)
{
    float p = *(const float *)a, q = *(const float *)b;
    return p > q ? -1 : p < q;
}

/* Of the n highest values, the share inside; equals at the border count by their mean share. */
static cp_status rank_accuracy(const float *map, size_t w, const cp_placement *at, const region *place, size_t n,
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
            bool in = inside(place, x, y);
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
            bool own = in_box(box, x, y), other = false;
            for (size_t i = 0; i < n && !own && !other; i++)
                other = in_box(&others[i], x, y);
            double value = own || other ? fmaxf(map[y * w + x], 0) : 0;
            all += value;
            theirs += other ? value : 0;
        }
    return all > 0 ? theirs / all : NAN;
}

/* Within what the photo shows; *pixels: of it. */
static cp_status sum_up(const float *map, size_t w, const cp_placement *at, const region *place, cp_localisation *found,
                        size_t *pixels, size_t best[2])
{
    double sum = 0, in_place = 0;
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++) {
            float value = map[y * w + x];
            if (isnan(value))
                return cp_fail(CP_EINPUT, "map: no number at x %zu, y %zu", x, y);
            bool in = inside(place, x, y);
            *pixels += in;
            sum += fmaxf(value, 0);
            in_place += in ? fmaxf(value, 0) : 0;
            if (value > map[best[1] * w + best[0]])
                best[0] = x, best[1] = y;
        }
    if (sum > 0)
        found->energy = in_place / sum;
    return CP_OK;
}

/* place->box: of compactness, too. */
static cp_status localise(const float *map, size_t h, size_t w, const cp_placement *at, const region *place, size_t *pixels,
                          cp_localisation *found)
{
    size_t best[2] = {(size_t)at->x, (size_t)at->y};
    *found = (cp_localisation){NAN, NAN, false, NAN, NAN};
    *pixels = 0;
    if (!at->w || !at->h || at->x + at->w > w || at->y + at->h > h)
        return cp_fail(CP_EINPUT, "placement: %zux%zu at (%td,%td) does not lie in the %zux%zu map", at->w, at->h, at->x,
                       at->y, w, h);
    cp_status status = sum_up(map, w, at, place, found, pixels, best);
    if (status || isnan(found->energy))
        return status;
    if (!*pixels) {
        found->energy = NAN;
        return CP_OK;
    }
    found->lift = found->energy * (double)(at->w * at->h) / (double)*pixels;
    found->pointing = inside(place, best[0], best[1]);
    found->compactness = compactness(map, w, at, place->box, best[0], best[1]);
    return rank_accuracy(map, w, at, place, *pixels, &found->ranking);
}

cp_status cp_localise(const float *map, size_t h, size_t w, const cp_placement *at, const cp_map_box *box,
                      cp_localisation *found)
{
    const region place = {.box = box};
    size_t pixels;
    cp_status status = localise(map, h, w, at, &place, &pixels, found);
    if (!status && !pixels)
        return cp_fail(CP_EINPUT, "box: no pixel of the photo lies in %g x %g at (%g,%g)", box->w, box->h, box->x, box->y);
    return status;
}

/* The least box around what the mask has of the photo. */
static cp_map_box box_around(const uint8_t *mask, size_t w, const cp_placement *at)
{
    size_t x0 = SIZE_MAX, y0 = SIZE_MAX, x1 = 0, y1 = 0;
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++)
            if (mask[y * w + x]) {
                x0 = x < x0 ? x : x0, x1 = x + 1 > x1 ? x + 1 : x1;
                y0 = y < y0 ? y : y0, y1 = y + 1 > y1 ? y + 1 : y1;
            }
    return x1 ? (cp_map_box){(double)x0, (double)y0, (double)(x1 - x0), (double)(y1 - y0)} : (cp_map_box){0, 0, 0, 0};
}

cp_status cp_localise_mask(const float *map, size_t h, size_t w, const cp_placement *at, const uint8_t *mask,
                           cp_localisation *found)
{
    size_t pixels;
    bool fits = at->x + at->w <= w && at->y + at->h <= h;
    const cp_map_box box = fits ? box_around(mask, w, at) : (cp_map_box){0, 0, 0, 0};
    const region place = {.box = &box, .mask = mask, .w = w};
    return localise(map, h, w, at, &place, &pixels, found);
}

void cp_mask_to_map(const uint8_t *photo, const cp_placement *at, size_t h, size_t w, uint8_t *mask)
{
    for (size_t i = 0; i < h * w; i++) {
        double u = ((double)(i % w) + .5 - (double)at->x) * (double)at->photo_w / (double)at->w;
        double v = ((double)(i / w) + .5 - (double)at->y) * (double)at->photo_h / (double)at->h;
        bool on = u >= 0 && v >= 0 && u < (double)at->photo_w && v < (double)at->photo_h;
        mask[i] = on ? photo[(size_t)v * at->photo_w + (size_t)u] : 0;
    }
}

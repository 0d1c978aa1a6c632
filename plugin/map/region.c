/* The smallest region that holds half of a map's heat, and its connected parts. */
#include "map/region.h"

#include <math.h>

#include "io/error.h"
#include "io/smooth.h"
#include "io/threshold.h"

static const double HALF = .5, LEAST_PART = .05;

/* Heat is not negative, and NaN and infinities say nothing. */
static float clean(float value) { return value > 0 && isfinite(value) ? value : 0; }

static cp_status check(size_t h, size_t w, const cp_placement *at, double blur)
{
    cp_placement inside = cp_placement_inside(at, w, h);
    if (!inside.w || !inside.h || !at->photo_w || !at->photo_h)
        return cp_fail(CP_EINPUT,
                       "heat: a photo of %zu x %zu at %td,%td of size %zu x %zu does not lie in a map of %zu x %zu",
                       at->photo_w, at->photo_h, at->x, at->y, at->w, at->h, w, h);
    if (!(blur >= 0 && blur <= .5))
        return cp_fail(CP_EINPUT, "heat: the blur is %g of the photo's side, 0 to 0.5 is allowed", blur);
    return CP_OK;
}

/* ---------------------------------------------------------------- parts */

/* A part in pixels of the plane, its last row and column included. */
struct part {
    size_t x0, y0, x1, y1;
    double heat;
};

/* Takes the connected part that holds pixel `seed` off `inside` (one byte a pixel). stack: room for a number per
 * pixel. */
static struct part take_part(const float *plane, unsigned char *inside, size_t h, size_t w, size_t seed,
                             size_t *stack)
{
    struct part part = {.x0 = w, .y0 = h};
    size_t n = 0;
    inside[seed] = 0;
    stack[n++] = seed;
    while (n) {
        size_t at = stack[--n], x = at % w, y = at / w;
        part.heat += plane[at];
        part.x0 = x < part.x0 ? x : part.x0;
        part.y0 = y < part.y0 ? y : part.y0;
        part.x1 = x > part.x1 ? x : part.x1;
        part.y1 = y > part.y1 ? y : part.y1;
        for (size_t v = y ? y - 1 : 0; v <= y + 1 && v < h; v++)
            for (size_t u = x ? x - 1 : 0; u <= x + 1 && u < w; u++)
                if (inside[v * w + u]) {
                    inside[v * w + u] = 0;
                    stack[n++] = v * w + u;
                }
    }
    return part;
}

/* Whole photo pixels around plane pixels first..last of n, in a side of `photo` pixels. */
static void span(size_t first, size_t last, size_t n, size_t photo, size_t *at, size_t *length)
{
    *at = first * photo / n;
    *length = ((last + 1) * photo + n - 1) / n - *at;
}

/* Keeps the CP_HEAT_PARTS largest in order; of equals the first found stays before the second. */
static void keep_part(cp_heat_region *region, const struct part *part, double total, const cp_placement *at)
{
    cp_heat_part found = {.share = part->heat / total};
    if (found.share < LEAST_PART)
        return;
    region->large++;
    span(part->x0, part->x1, at->w, at->photo_w, &found.x, &found.w);
    span(part->y0, part->y1, at->h, at->photo_h, &found.y, &found.h);
    int rank = region->n;
    while (rank > 0 && region->part[rank - 1].share < found.share)
        rank--;
    if (rank == CP_HEAT_PARTS)
        return;
    if (region->n < CP_HEAT_PARTS)
        region->n++;
    for (int i = region->n - 1; i > rank; i--)
        region->part[i] = region->part[i - 1];
    region->part[rank] = found;
}

static cp_status find_parts(const float *plane, const cp_placement *at, double total, cp_heat_region *region)
{
    size_t n = at->h * at->w;
    unsigned char *inside = cp_alloc(n, 1, "region");
    size_t *stack = cp_alloc_dirty(n, sizeof *stack, "region");
    cp_status status = inside && stack ? CP_OK : CP_ERESOURCE;
    for (size_t i = 0; i < n && !status; i++)
        inside[i] = plane[i] >= region->threshold;
    for (size_t i = 0; i < n && !status; i++)
        if (inside[i]) {
            struct part part = take_part(plane, inside, at->h, at->w, i, stack);
            keep_part(region, &part, total, at);
            region->parts++;
        }
    cp_free(stack);
    cp_free(inside);
    return status;
}

/* ---------------------------------------------------------------- the whole */

cp_status cp_heat_over_photo(const float *heat, size_t h, size_t w, const cp_placement *at, double blur, float *plane)
{
    cp_status status = check(h, w, at, blur);
    if (status)
        return status;
    for (size_t y = 0; y < at->h; y++)
        for (size_t x = 0; x < at->w; x++) {
            ptrdiff_t u = at->x + (ptrdiff_t)x, v = at->y + (ptrdiff_t)y;
            bool seen = u >= 0 && v >= 0 && u < (ptrdiff_t)w && v < (ptrdiff_t)h; /* not so what is cropped away */
            plane[y * at->w + x] = seen ? clean(heat[(size_t)v * w + (size_t)u]) : 0;
        }
    return cp_smooth(plane, at->h, at->w, blur * (double)(at->w > at->h ? at->w : at->h));
}

cp_status cp_heat_region_of(const float *plane, const cp_placement *at, cp_heat_region *region)
{
    size_t n = at->h * at->w, covered = 0;
    double total = 0, held = 0;
    *region = (cp_heat_region){0};
    for (size_t i = 0; i < n; i++)
        total += plane[i];
    region->zero = !(total > 0);
    if (region->zero)
        return CP_OK;
    cp_status status = cp_threshold(plane, n, true, HALF * total, &region->threshold);
    if (!status)
        status = find_parts(plane, at, total, region);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++)
        if (plane[i] >= region->threshold) {
            held += plane[i];
            covered++;
        }
    region->share = held / total;
    region->area = (double)covered / (double)n;
    return CP_OK;
}

/* How much of [pixel, pixel + 1) lies in [from, to). */
static double overlap(size_t pixel, double from, double to)
{
    double covered = fmin((double)pixel + 1, to) - fmax((double)pixel, from);
    return covered > 0 ? covered : 0;
}

/* Sums of the heat over the photo, in the box (in photo pixels, or NULL), and of the whole map. */
static void add_up(const float *heat, size_t h, size_t w, const cp_placement *at, const cp_photo_box *box,
                   double *photo, double *boxed, double *all)
{
    double sx = (double)at->w / (double)at->photo_w, sy = (double)at->h / (double)at->photo_h;
    *photo = *boxed = *all = 0;
    for (size_t i = 0; i < h; i++) {
        ptrdiff_t y = (ptrdiff_t)i - at->y; /* from the photo's corner */
        bool row = y >= 0 && y < (ptrdiff_t)at->h;
        double inside_y = box && row ? overlap((size_t)y, box->y * sy, (box->y + box->h) * sy) : 0;
        for (size_t k = 0; k < w; k++) {
            ptrdiff_t x = (ptrdiff_t)k - at->x;
            double value = clean(heat[i * w + k]);
            *all += value;
            if (!row || x < 0 || x >= (ptrdiff_t)at->w)
                continue;
            *photo += value;
            if (inside_y > 0)
                *boxed += value * inside_y * overlap((size_t)x, box->x * sx, (box->x + box->w) * sx);
        }
    }
}

cp_status cp_heat_find_region(const float *heat, size_t h, size_t w, const cp_placement *at, double blur,
                              const cp_photo_box *box, cp_heat_region *region)
{
    double photo, boxed, all;
    *region = (cp_heat_region){.box = NAN};
    cp_status status = check(h, w, at, blur);
    if (status)
        return status;
    float *plane = cp_alloc_dirty(at->h * at->w, sizeof *plane, "heat");
    status = plane ? cp_heat_over_photo(heat, h, w, at, blur, plane) : CP_ERESOURCE;
    if (!status)
        status = cp_heat_region_of(plane, at, region);
    cp_free(plane);
    add_up(heat, h, w, at, box, &photo, &boxed, &all);
    region->box = box && photo > 0 ? boxed / photo : NAN;
    region->beside = all > 0 ? 1 - photo / all : 0;
    return status;
}

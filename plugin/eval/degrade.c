/* Deletion and insertion (RISE, Petsiuk et al. 2018), LeRF and MoRF (Samek et al. 2017), ROAD (Rong et al. 2022): the same
 * loop with other orders and fillings. The photos of several fractions run as one batch. */
#include "eval/degrade.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/memory.h"
#include "io/error.h"
#include "io/smooth.h"
#include "io/random.h"

enum { BATCH = 8 };
static const double RISE_BLUR = 5 / 224.;
static const float NOISE = .01f; /* ROAD's, standard deviation */

typedef struct {
    const cp_model *model;
    const float *input;
    const cp_eval_target *target;
    const cp_degrade_options *options;
    size_t c, h, w;
    size_t *order, n;   /* the photo's pixels, first to be changed first */
    float *filled;      /* (c,h,w): what takes the place of the photo; NULL for CP_FILL_IMPUTE */
    uint8_t *removed;   /* (h,w) */
} job;

/* ---------------------------------------------------------------- order */

typedef struct {
    float value;
    size_t index;
} ranked;

static int highest_first(const void *a, const void *b)
{
    const ranked *p = a, *q = b;
    if (p->value != q->value)
        return p->value > q->value ? -1 : 1;
    return p->index < q->index ? -1 : p->index > q->index;
}

cp_status cp_eval_rank_pixels(const float *map, size_t w, const cp_placement *at, bool least_first, size_t *order)
{
    size_t n = 0;
    ranked *pixel = cp_alloc(at->w * at->h, sizeof *pixel, "ranking of pixels");
    cp_status status = pixel ? CP_OK : CP_ERESOURCE;
    for (size_t y = at->y; y < at->y + at->h && !status; y++)
        for (size_t x = at->x; x < at->x + at->w && !status; x++) {
            float value = map[y * w + x];
            if (isnan(value))
                status = cp_fail(CP_EINPUT, "map: no number at x %zu, y %zu", x, y);
            pixel[n++] = (ranked){least_first ? -value : value, y * w + x};
        }
    if (!status)
        qsort(pixel, n, sizeof *pixel, highest_first);
    for (size_t i = 0; i < n && !status; i++)
        order[i] = pixel[i].index;
    cp_free(pixel);
    return status;
}

static cp_status rank_pixels(job *j, const float *map)
{
    const cp_placement *at = &j->target->placement;
    j->n = at->w * at->h;
    j->order = cp_alloc(j->n, sizeof *j->order, "ranking of pixels");
    return j->order ? cp_eval_rank_pixels(map, j->w, at, j->options->least_first, j->order) : CP_ERESOURCE;
}

/* ---------------------------------------------------------------- filling */

static void fill_with_mean(job *j)
{
    const cp_placement *at = &j->target->placement;
    for (size_t c = 0; c < j->c; c++) {
        float *plane = j->filled + c * j->h * j->w;
        double sum = 0;
        for (size_t y = at->y; y < at->y + at->h; y++)
            for (size_t x = at->x; x < at->x + at->w; x++)
                sum += plane[y * j->w + x];
        float colour = c < 4 ? j->options->mean[c] : NAN;
        if (isnan(colour))
            colour = (float)(sum / (double)(at->w * at->h));
        for (size_t y = at->y; y < at->y + at->h; y++)
            for (size_t x = at->x; x < at->x + at->w; x++)
                plane[y * j->w + x] = colour;
    }
}

cp_status cp_eval_smooth(float *plane, size_t w, const cp_placement *at, double share)
{
    size_t longer = at->w > at->h ? at->w : at->h;
    float *photo = cp_alloc(at->w * at->h, sizeof *photo, "blur");
    if (!photo)
        return CP_ERESOURCE;
    for (size_t y = 0; y < at->h; y++)
        memcpy(photo + y * at->w, plane + (at->y + y) * w + at->x, at->w * sizeof *photo);
    cp_status status = cp_smooth(photo, at->h, at->w, share * (double)longer);
    for (size_t y = 0; y < at->h && !status; y++)
        memcpy(plane + (at->y + y) * w + at->x, photo + y * at->w, at->w * sizeof *photo);
    cp_free(photo);
    return status;
}

static cp_status fill_with_blur(job *j)
{
    cp_status status = CP_OK;
    for (size_t c = 0; c < j->c && !status; c++)
        status = cp_eval_smooth(j->filled + c * j->h * j->w, j->w, &j->target->placement,
                                j->options->blur > 0 ? j->options->blur : RISE_BLUR);
    return status;
}

static cp_status make_filling(job *j)
{
    size_t floats = j->c * j->h * j->w;
    if (j->options->fill == CP_FILL_IMPUTE) {
        j->removed = cp_alloc(j->h * j->w, 1, "removed pixels");
        return j->removed ? CP_OK : CP_ERESOURCE;
    }
    if (!(j->filled = cp_alloc(floats, sizeof *j->filled, "filled photo")))
        return CP_ERESOURCE;
    memcpy(j->filled, j->input, floats * sizeof *j->filled);
    if (j->options->fill == CP_FILL_BLUR)
        return fill_with_blur(j);
    fill_with_mean(j);
    return CP_OK;
}

/* ---------------------------------------------------------------- photos */

static cp_status impute(const job *j, size_t from, size_t to, uint64_t seed, float *photo)
{
    memset(j->removed, 0, j->h * j->w);
    for (size_t i = from; i < to; i++)
        j->removed[j->order[i]] = 1;
    cp_status status = cp_impute(j->removed, j->c, j->h, j->w, photo);
    for (size_t c = 0; c < j->c && !status; c++)
        for (size_t i = from; i < to; i += 2) {
            float noise[2];
            cp_random_normal(&seed, noise);
            photo[c * j->h * j->w + j->order[i]] += NOISE * noise[0];
            if (i + 1 < to)
                photo[c * j->h * j->w + j->order[i + 1]] += NOISE * noise[1];
        }
    return status;
}

/* The photo after the given fraction of its pixels have been changed. */
static cp_status make_photo(const job *j, int point, float *photo)
{
    const cp_degrade_options *o = j->options;
    size_t changed = (size_t)round(o->fractions[point] * (double)j->n), plane = j->h * j->w;
    size_t from = o->insert ? changed : 0, to = o->insert ? j->n : changed; /* of the order: not the photo's own */
    memcpy(photo, j->input, j->c * plane * sizeof *photo);
    if (o->fill == CP_FILL_IMPUTE)
        return from < to ? impute(j, from, to, o->seed + (uint64_t)point, photo) : CP_OK;
    for (size_t c = 0; c < j->c; c++)
        for (size_t i = from; i < to; i++)
            photo[c * plane + j->order[i]] = j->filled[c * plane + j->order[i]];
    return CP_OK;
}

static cp_status run_batches(const job *j, double *probability)
{
    const cp_degrade_options *o = j->options;
    size_t floats = j->c * j->h * j->w;
    int batch, wanted = cp_most_entries(NULL, BATCH);
    cp_frame *frame = NULL;
    cp_status status = cp_frame_create_fitting(j->model, o->n < wanted ? o->n : wanted, false, o->run.memory, &batch, &frame);
    float *photos = status ? NULL : cp_alloc_dirty((size_t)batch * floats, sizeof *photos, "degraded photos");
    if (!status && !photos)
        status = CP_ERESOURCE;
    for (int first = 0; first < o->n && !status; first += batch) {
        int some = o->n - first < batch ? o->n - first : batch;
        for (int i = 0; i < some && !status; i++)
            status = make_photo(j, first + i, photos + (size_t)i * floats);
        if (!status)
            status = cp_frame_forward(frame, photos, some, NULL);
        for (int i = 0; i < some && !status; i++)
            status = cp_eval_probability(frame, i, j->target, &probability[first + i]);
        if (!status && o->run.progress)
            o->run.progress(o->run.user, (double)(first + some) / o->n);
    }
    cp_free(photos);
    cp_frame_free(frame);
    return status;
}

cp_status cp_degrade(const cp_model *model, const float *input, const float *map, const cp_eval_target *target,
                     const cp_degrade_options *options, double *probability)
{
    job j = {.model = model, .input = input, .target = target, .options = options};
    cp_model_input_shape(model, &j.c, &j.h, &j.w);
    const cp_placement *at = &target->placement;
    if (!at->w || !at->h || at->x + at->w > j.w || at->y + at->h > j.h)
        return cp_fail(CP_EINPUT, "placement: %zux%zu at (%td,%td) does not lie in the %zux%zu input", at->w, at->h, at->x,
                       at->y, j.w, j.h);
    for (int i = 0; i < options->n; i++)
        if (!(options->fractions[i] >= (i ? options->fractions[i - 1] : 0) && options->fractions[i] <= 1))
            return cp_fail(CP_EINPUT, "degrading: fraction %d is %g, allowed is %g to 1", i, options->fractions[i],
                           i ? options->fractions[i - 1] : 0.);
    cp_status status = rank_pixels(&j, map);
    if (!status)
        status = make_filling(&j);
    if (!status)
        status = run_batches(&j, probability);
    cp_free(j.order);
    cp_free(j.filled);
    cp_free(j.removed);
    return status;
}

double cp_curve_area(const double *x, const double *y, int n)
{
    double area = 0;
    for (int i = 1; i < n; i++)
        area += (x[i] - x[i - 1]) * (y[i] + y[i - 1]) / 2;
    return n > 1 && x[n - 1] > x[0] ? area / (x[n - 1] - x[0]) : NAN;
}

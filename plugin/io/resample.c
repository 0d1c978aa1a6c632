#include "io/resample.h"

#include <math.h>

#include "io/error.h"

/* One of the two kinds of pixels; rows of w pixels of `channels` interleaved values. */
struct source {
    const float *floats;
    const unsigned char *bytes;
    size_t w, h, channels;
};

/* For each of n positions of the result: `count` source positions from `first` on, whose weights begin at i * most. */
struct taps {
    size_t n, most, *first, *count;
    float *weights;
};

static double kernel(double x)
{
    x = fabs(x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

static void taps_free(struct taps *t)
{
    cp_free(t->first);
    cp_free(t->count);
    cp_free(t->weights);
}

/* n positions across [at, at + length) of a row of `size` pixels. */
static cp_status taps_make(double at, double length, size_t size, size_t n, struct taps *t)
{
    double step = length / (double)n, stretch = fmax(step, 1);
    size_t count;
    *t = (struct taps){.n = n, .most = (size_t)ceil(4 * stretch) + 2};
    if (!cp_mul(n, t->most, &count))
        return cp_fail(CP_EINPUT, "resampling: %zu pixels to %zu are too many", size, n);
    t->first = cp_alloc(n, sizeof *t->first, "resampling");
    t->count = cp_alloc(n, sizeof *t->count, "resampling");
    t->weights = cp_alloc(count, sizeof *t->weights, "resampling");
    if (!t->first || !t->count || !t->weights)
        return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++) {
        double centre = at + ((double)i + .5) * step, sum = 0;
        double from = fmax(0, floor(centre - 2 * stretch)), to = fmin((double)size - 1, ceil(centre + 2 * stretch));
        float *weights = t->weights + i * t->most;
        t->first[i] = (size_t)from;
        t->count[i] = (size_t)(to - from) + 1 < t->most ? (size_t)(to - from) + 1 : t->most;
        for (size_t k = 0; k < t->count[i]; k++)
            sum += kernel((from + (double)k + .5 - centre) / stretch);
        for (size_t k = 0; k < t->count[i]; k++)
            weights[k] = (float)(kernel((from + (double)k + .5 - centre) / stretch) / sum);
    }
    return CP_OK;
}

/* Row y of the source, resampled to t->n pixels. `row` has room for a row as floats. */
static void across(const struct source *s, size_t y, const struct taps *t, float *row, float *out)
{
    size_t channels = s->channels, start = y * s->w * channels;
    for (size_t i = 0; i < s->w * channels; i++)
        row[i] = s->bytes ? (float)s->bytes[start + i] : s->floats[start + i];
    for (size_t i = 0; i < t->n; i++) {
        const float *weights = t->weights + i * t->most, *from = row + t->first[i] * channels;
        for (size_t c = 0; c < channels; c++) {
            float sum = 0;
            for (size_t k = 0; k < t->count[i]; k++)
                sum += weights[k] * from[k * channels + c];
            out[i * channels + c] = sum;
        }
    }
}

/* out: n values, the weighted sum of rows of n values. */
static void down(const float *rows, size_t n, const float *weights, size_t count, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = weights[0] * rows[i];
    for (size_t k = 1; k < count; k++)
        for (size_t i = 0; i < n; i++)
            out[i] += weights[k] * rows[k * n + i];
}

/* out: shape (out_h, out_w, channels). */
static cp_status resample(const struct source *s, const cp_photo_box *part, size_t out_h, size_t out_w, float *out)
{
    const cp_photo_box all = {0, 0, (double)s->w, (double)s->h};
    struct taps x = {0}, y = {0};
    size_t n, values;
    float *row = NULL, *rows = NULL;
    part = part ? part : &all;
    double right = part->x + part->w, bottom = part->y + part->h, rounding = 1e-6;
    if (!(part->x >= 0 && part->y >= 0 && part->w > 0 && part->h > 0 && right <= (double)s->w + rounding &&
          bottom <= (double)s->h + rounding))
        return cp_fail(CP_EINTERNAL, "resampling: %g x %g pixels at %g,%g do not lie in %zu x %zu", part->w, part->h,
                       part->x, part->y, s->w, s->h);
    cp_status status = taps_make(part->x, part->w, s->w, out_w, &x);
    if (!status)
        status = taps_make(part->y, part->h, s->h, out_h, &y);
    if (status)
        goto done;
    size_t first = y.first[0], last = y.first[out_h - 1] + y.count[out_h - 1];
    status = CP_ERESOURCE;
    if (!cp_mul(out_w, s->channels, &n) || !cp_mul(n, last - first, &values) ||
        !(row = cp_alloc_dirty(s->w * s->channels, sizeof *row, "resampling")) ||
        !(rows = cp_alloc_dirty(values, sizeof *rows, "resampling")))
        goto done;
    for (size_t i = first; i < last; i++)
        across(s, i, &x, row, rows + (i - first) * n);
    for (size_t i = 0; i < out_h; i++)
        down(rows + (y.first[i] - first) * n, n, y.weights + i * y.most, y.count[i], out + i * n);
    status = CP_OK;
done:
    cp_free(rows);
    cp_free(row);
    taps_free(&x);
    taps_free(&y);
    return status;
}

cp_status cp_resample_plane(const float *plane, size_t h, size_t w, const cp_photo_box *part, size_t out_h,
                            size_t out_w, float *out)
{
    struct source source = {.floats = plane, .w = w, .h = h, .channels = 1};
    return resample(&source, part, out_h, out_w, out);
}

cp_status cp_resample_picture(const cp_picture *picture, const cp_photo_box *part, int w, int h, cp_picture *out)
{
    struct source source = {.bytes = picture->rgb, .w = (size_t)picture->w, .h = (size_t)picture->h, .channels = 3};
    cp_status status = cp_picture_new(w, h, out);
    if (status)
        return status;
    size_t n = 3 * (size_t)w * (size_t)h;
    float *values = cp_alloc_dirty(n, sizeof *values, "picture");
    status = values ? resample(&source, part, (size_t)h, (size_t)w, values) : CP_ERESOURCE;
    for (size_t i = 0; i < n && !status; i++)
        out->rgb[i] = (unsigned char)(values[i] <= 0 ? 0 : values[i] >= 255 ? 255 : values[i] + .5f);
    cp_free(values);
    if (status)
        cp_picture_free(out);
    return status;
}

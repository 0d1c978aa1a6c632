#include "io/smooth.h"

#include <math.h>
#include <string.h>

#include "io/error.h"

/* Which of n pixels position i shows in a row that goes on beyond its ends as its mirror image: c b a|a b c|c b a. */
static size_t mirrored(long i, size_t n)
{
    long period = 2 * (long)n, at = (i % period + period) % period;
    return (size_t)(at < (long)n ? at : period - 1 - at);
}

/* weights[radius + i] for -radius <= i <= radius, with sum 1. */
static void gaussian(double *weights, size_t radius, double sigma)
{
    double sum = 0;
    for (size_t k = 0; k <= 2 * radius; k++) {
        double i = (double)k - (double)radius;
        sum += weights[k] = nearbyint(0x1p20 * exp(-.5 * i * i / (sigma * sigma)));
    }
    for (size_t k = 0; k <= 2 * radius; k++)
        weights[k] /= sum;
}

/* `padded` has room for w + 2 * radius values, `sums` for w. */
static void smooth_row(float *row, size_t w, const double *weights, size_t radius, float *padded, double *sums)
{
    for (size_t i = 0; i < w + 2 * radius; i++)
        padded[i] = row[mirrored((long)i - (long)radius, w)];
    memset(sums, 0, w * sizeof *sums);
    for (size_t k = 0; k <= 2 * radius; k++)
        for (size_t x = 0; x < w; x++)
            sums[x] += weights[k] * padded[x + k];
    for (size_t x = 0; x < w; x++)
        row[x] = (float)sums[x];
}

/* from, to: shape (h, w). */
static void smooth_columns(const float *from, float *to, size_t h, size_t w, const double *weights, size_t radius,
                           double *sums)
{
    for (size_t y = 0; y < h; y++) {
        memset(sums, 0, w * sizeof *sums);
        for (size_t k = 0; k <= 2 * radius; k++) {
            const float *row = from + w * mirrored((long)(y + k) - (long)radius, h);
            for (size_t x = 0; x < w; x++)
                sums[x] += weights[k] * row[x];
        }
        for (size_t x = 0; x < w; x++)
            to[y * w + x] = (float)sums[x];
    }
}

cp_status cp_smooth(float *values, size_t h, size_t w, double sigma)
{
    if (!(sigma > 0) || !h || !w)
        return CP_OK;
    size_t radius = (size_t)ceil(3 * sigma), n;
    if (!cp_mul(h, w, &n))
        return cp_fail(CP_EINPUT, "smoothing: %zu x %zu values are too many", w, h);
    double *weights = cp_alloc(2 * radius + 1, sizeof *weights, "smoothing");
    double *sums = cp_alloc(w, sizeof *sums, "smoothing");
    float *padded = cp_alloc(w + 2 * radius, sizeof *padded, "smoothing");
    float *rows = cp_alloc(n, sizeof *rows, "smoothing");
    cp_status status = weights && sums && padded && rows ? CP_OK : CP_ERESOURCE;
    if (!status) {
        gaussian(weights, radius, sigma);
        memcpy(rows, values, n * sizeof *rows);
        for (size_t y = 0; y < h; y++)
            smooth_row(rows + y * w, w, weights, radius, padded, sums);
        smooth_columns(rows, values, h, w, weights, radius, sums);
    }
    cp_free(rows);
    cp_free(padded);
    cp_free(sums);
    cp_free(weights);
    return status;
}

/* Structural similarity, histograms of oriented gradients, entropy of a map. */
#include "eval/similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"

enum { WINDOW = 5, ORIENTATIONS = 8, FEWEST_BINS = 10, MOST_BINS = 200 };
static const double RANGE = 2, K1 = .01, K2 = .03;
static const double HOG_EPSILON = 1e-5, HOG_CLIP = .2;

/* scale: 1 / the largest magnitude; 0 for a map of zeros. */
static cp_status scale_of(const float *map, size_t n, double *scale)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(map[i]))
            return cp_fail(CP_EINPUT, "map: value %zu of %zu is no finite number", i, n);
        largest = fmax(largest, fabs(map[i]));
    }
    *scale = largest > 0 ? 1 / largest : 0;
    return CP_OK;
}

/* ---------------------------------------------------------------- SSIM */

/* Of the window whose first pixel is (y, x). */
static double ssim_of_window(const float *a, const float *b, size_t w, size_t y, size_t x, double scale_a,
                             double scale_b)
{
    const double n = WINDOW * WINDOW, c1 = K1 * RANGE * K1 * RANGE, c2 = K2 * RANGE * K2 * RANGE;
    double mean_a = 0, mean_b = 0, var_a = 0, var_b = 0, both = 0;
    for (size_t i = 0; i < WINDOW * WINDOW; i++) {
        size_t at = (y + i / WINDOW) * w + x + i % WINDOW;
        mean_a += a[at] * scale_a / n;
        mean_b += b[at] * scale_b / n;
    }
    for (size_t i = 0; i < WINDOW * WINDOW; i++) {
        size_t at = (y + i / WINDOW) * w + x + i % WINDOW;
        double p = a[at] * scale_a - mean_a, q = b[at] * scale_b - mean_b;
        var_a += p * p / (n - 1);
        var_b += q * q / (n - 1);
        both += p * q / (n - 1);
    }
    return (2 * mean_a * mean_b + c1) * (2 * both + c2) /
           ((mean_a * mean_a + mean_b * mean_b + c1) * (var_a + var_b + c2));
}

cp_status cp_ssim(const float *a, const float *b, size_t h, size_t w, double *ssim)
{
    double scale_a, scale_b, sum = 0;
    if (h < WINDOW || w < WINDOW)
        return cp_fail(CP_EINPUT, "similarity: maps of %zux%zu, at least %dx%d are needed", w, h, WINDOW, WINDOW);
    cp_status status = scale_of(a, h * w, &scale_a);
    if (!status)
        status = scale_of(b, h * w, &scale_b);
    if (status)
        return status;
    for (size_t y = 0; y + WINDOW <= h; y++)
        for (size_t x = 0; x + WINDOW <= w; x++)
            sum += ssim_of_window(a, b, w, y, x, scale_a, scale_b);
    *ssim = sum / (double)((h - WINDOW + 1) * (w - WINDOW + 1));
    return CP_OK;
}

/* ---------------------------------------------------------------- HOG */

/* Differences of the two neighbours; 0 at the edges. */
static void gradient_at(const float *map, size_t h, size_t w, size_t y, size_t x, double scale, double *down,
                        double *right)
{
    *down = y > 0 && y + 1 < h ? ((double)map[(y + 1) * w + x] - map[(y - 1) * w + x]) * scale : 0;
    *right = x > 0 && x + 1 < w ? ((double)map[y * w + x + 1] - map[y * w + x - 1]) * scale : 0;
}

/* The direction in [0, 180) degrees falls into one bin, with its whole magnitude. */
static void add_cell(const float *map, size_t h, size_t w, size_t y0, size_t x0, size_t cell, double scale,
                     double *bins)
{
    for (size_t y = y0; y < y0 + cell; y++)
        for (size_t x = x0; x < x0 + cell; x++) {
            double down, right;
            gradient_at(map, h, w, y, x, scale, &down, &right);
            double angle = fmod(atan2(down, right) * 180 / acos(-1) + 360, 180);
            int bin = (int)(angle / (180. / ORIENTATIONS));
            bins[bin < ORIENTATIONS ? bin : 0] += sqrt(down * down + right * right) / (double)(cell * cell);
        }
}

static void normalise(double *bins)
{
    for (int round = 0; round < 2; round++) {
        double squares = 0;
        for (int k = 0; k < ORIENTATIONS; k++)
            squares += bins[k] * bins[k];
        for (int k = 0; k < ORIENTATIONS; k++) {
            bins[k] /= sqrt(squares + HOG_EPSILON * HOG_EPSILON);
            if (!round)
                bins[k] = fmin(bins[k], HOG_CLIP);
        }
    }
}

cp_status cp_hog(const float *map, size_t h, size_t w, size_t cell, float **histogram, size_t *n)
{
    double scale;
    size_t rows = h / cell, columns = w / cell;
    *histogram = NULL;
    *n = rows * columns * ORIENTATIONS;
    if (!*n)
        return cp_fail(CP_EINPUT, "similarity: a map of %zux%zu has no cell of %zu pixels", w, h, cell);
    cp_status status = scale_of(map, h * w, &scale);
    if (!status && !(*histogram = cp_alloc(*n, sizeof **histogram, "histogram")))
        status = CP_ERESOURCE;
    for (size_t i = 0; i < rows * columns && !status; i++) {
        double bins[ORIENTATIONS] = {0};
        add_cell(map, h, w, i / columns * cell, i % columns * cell, cell, scale, bins);
        normalise(bins);
        for (int k = 0; k < ORIENTATIONS; k++)
            (*histogram)[i * ORIENTATIONS + (size_t)k] = (float)bins[k];
    }
    return status;
}

/* ---------------------------------------------------------------- entropy */

static int ascending(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* By linear interpolation, as NumPy's percentile. */
static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

static double entropy_of(const double *sorted, size_t n)
{
    double range = sorted[n - 1] - sorted[0], spread = quantile(sorted, n, .75) - quantile(sorted, n, .25);
    double width = 2 * spread / cbrt((double)n), sum = 0;
    size_t count[MOST_BINS] = {0};
    double wanted = width > 0 ? ceil(range / width) : MOST_BINS;
    int bins = (int)fmin(MOST_BINS, fmax(FEWEST_BINS, wanted));
    if (!(range > 0))
        return 0;
    for (size_t i = 0; i < n; i++) {
        int bin = (int)((sorted[i] - sorted[0]) / range * bins);
        count[bin < bins ? bin : bins - 1]++;
    }
    for (int k = 0; k < bins; k++)
        if (count[k])
            sum -= (double)count[k] / (double)n * log((double)count[k] / (double)n);
    return sum;
}

cp_status cp_map_entropy(const float *map, size_t n, double *entropy)
{
    double scale, squares = 0;
    cp_status status = n ? scale_of(map, n, &scale) : cp_fail(CP_EINPUT, "map: no value");
    double *sorted = status ? NULL : cp_alloc(n, sizeof *sorted, "histogram");
    if (status || !sorted)
        return status ? status : CP_ERESOURCE;
    for (size_t i = 0; i < n; i++)
        squares += (double)map[i] * map[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        sorted[i] = squares > 0 ? map[i] / sqrt(squares) : 0;
    qsort(sorted, n, sizeof *sorted, ascending);
    *entropy = entropy_of(sorted, n);
    cp_free(sorted);
    return CP_OK;
}

/* ---------------------------------------------------------------- all of them */

static cp_status compare_hog(const float *a, const float *b, size_t h, size_t w, double *rho)
{
    size_t n, cell = h < 64 || w < 64 ? 8 : 16;
    float *first = NULL, *second = NULL;
    cp_status status = cp_hog(a, h, w, cell, &first, &n);
    if (!status)
        status = cp_hog(b, h, w, cell, &second, &n);
    if (!status)
        status = cp_rank_correlation(first, second, n, rho);
    cp_free(first);
    cp_free(second);
    return status;
}

static cp_status compare_magnitudes(const float *a, const float *b, size_t n, double *rho)
{
    float *size = cp_alloc(n, 2 * sizeof *size, "magnitudes");
    if (!size)
        return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++)
        size[i] = fabsf(a[i]), size[n + i] = fabsf(b[i]);
    cp_status status = cp_rank_correlation(size, size + n, n, rho);
    cp_free(size);
    return status;
}

cp_status cp_similarity_of(const float *a, const float *b, size_t h, size_t w, bool with_hog, cp_similarity *found)
{
    *found = (cp_similarity){NAN, NAN, NAN, NAN};
    cp_status status = cp_ssim(a, b, h, w, &found->ssim);
    if (!status)
        status = cp_rank_correlation(a, b, h * w, &found->rank);
    if (!status)
        status = compare_magnitudes(a, b, h * w, &found->rank_abs);
    if (!status && with_hog)
        status = compare_hog(a, b, h, w, &found->hog);
    return status;
}

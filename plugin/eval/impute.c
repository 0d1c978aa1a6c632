/* ROAD's filling (Rong et al., ICML 2022): removed pixels from their neighbours, one sparse system for all channels.
 *
 * An unknown pixel x_i equals sum_j w_ij x_j / sum_j w_ij over its up to eight neighbours. Multiplied by the sum of the weights
 * the matrix D - W is symmetric and, as soon as one pixel is known beside each connected area, positive definite: conjugate
 * gradients with the diagonal as preconditioner. */
#include <math.h>
#include <string.h>

#include "eval/degrade.h"
#include "io/error.h"

static const double TOLERANCE = 1e-6; /* residual, relative to the right-hand side */

typedef struct {
    const uint8_t *removed;
    size_t h, w;
    size_t *index, n;    /* the unknowns' pixels */
    double *diagonal;    /* by unknown: the sum of its weights */
    bool *inner;         /* by unknown: all eight neighbours are in the plane */
    double *work;        /* (5, h*w): solution, residual, direction, product, by pixel, 0 where known; right-hand side */
} system_of;

static double weight_to(const system_of *s, size_t pixel, int dy, int dx, size_t *other)
{
    long y = (long)(pixel / s->w) + dy, x = (long)(pixel % s->w) + dx;
    if ((!dy && !dx) || y < 0 || x < 0 || y >= (long)s->h || x >= (long)s->w)
        return 0;
    *other = (size_t)y * s->w + (size_t)x;
    return dy && dx ? 1 / 12. : 1 / 6.;
}

/* The weighted sum of the eight neighbours of a pixel that has all of them. */
static double sum_around(const double *at, size_t w)
{
    const double *up = at - w, *down = at + w;
    return (at[-1] + at[1] + up[0] + down[0]) / 6 + (up[-1] + up[1] + down[-1] + down[1]) / 12;
}

/* product = (D - W) of the unknowns times `direction`, which is 0 at the known pixels. */
static void multiply(const system_of *s, const double *direction, double *product)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t pixel = s->index[i], other = 0;
        if (s->inner[i]) {
            product[pixel] = s->diagonal[i] * direction[pixel] - sum_around(direction + pixel, s->w);
            continue;
        }
        double sum = s->diagonal[i] * direction[pixel];
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                double weight = weight_to(s, pixel, dy, dx, &other);
                if (weight > 0 && s->removed[other])
                    sum -= weight * direction[other];
            }
        product[pixel] = sum;
    }
}

static double dot(const system_of *s, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += a[s->index[i]] * b[s->index[i]];
    return sum;
}

static double preconditioned(const system_of *s, const double *residual)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += residual[s->index[i]] * residual[s->index[i]] / s->diagonal[i];
    return sum;
}

static void solve(const system_of *s, float *plane)
{
    size_t all = s->h * s->w;
    double *x = s->work, *residual = x + all, *direction = x + 2 * all, *product = x + 3 * all, *right = x + 4 * all;
    memset(s->work, 0, 5 * all * sizeof *s->work);
    for (size_t i = 0; i < s->n; i++) {
        size_t pixel = s->index[i], other = 0;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                double weight = weight_to(s, pixel, dy, dx, &other);
                if (weight > 0 && !s->removed[other])
                    right[pixel] += weight * plane[other];
            }
        x[pixel] = .5;
    }
    multiply(s, x, product);
    for (size_t i = 0; i < s->n; i++) {
        size_t pixel = s->index[i];
        residual[pixel] = right[pixel] - product[pixel];
        direction[pixel] = residual[pixel] / s->diagonal[i];
    }
    double goal = TOLERANCE * TOLERANCE * (dot(s, right, right) + 1e-12), old = preconditioned(s, residual);
    for (size_t step = 0; step < 4 * s->n + 10 && dot(s, residual, residual) > goal && old > 0; step++) {
        multiply(s, direction, product);
        double along = dot(s, direction, product);
        if (!(along > 0)) /* an area without any known pixel: it stays as it began */
            break;
        double length = old / along;
        for (size_t i = 0; i < s->n; i++) {
            x[s->index[i]] += length * direction[s->index[i]];
            residual[s->index[i]] -= length * product[s->index[i]];
        }
        double now = preconditioned(s, residual), share = now / old;
        for (size_t i = 0; i < s->n; i++)
            direction[s->index[i]] = residual[s->index[i]] / s->diagonal[i] + share * direction[s->index[i]];
        old = now;
    }
    for (size_t i = 0; i < s->n; i++)
        plane[s->index[i]] = (float)x[s->index[i]];
}

cp_status cp_impute(const uint8_t *removed, size_t c, size_t h, size_t w, float *plane)
{
    system_of s = {.removed = removed, .h = h, .w = w};
    s.index = cp_alloc(h * w, sizeof *s.index, "imputed pixels");
    s.diagonal = cp_alloc(h * w, sizeof *s.diagonal, "imputed pixels");
    s.inner = cp_alloc(h * w, sizeof *s.inner, "imputed pixels");
    s.work = cp_alloc(h * w, 5 * sizeof *s.work, "imputed pixels");
    cp_status status = s.index && s.diagonal && s.inner && s.work ? CP_OK : CP_ERESOURCE;
    for (size_t pixel = 0, other = 0; pixel < h * w && !status; pixel++) {
        if (!removed[pixel])
            continue;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++)
                s.diagonal[s.n] += weight_to(&s, pixel, dy, dx, &other);
        size_t y = pixel / w, x = pixel % w;
        s.inner[s.n] = y > 0 && y + 1 < h && x > 0 && x + 1 < w;
        s.index[s.n++] = pixel;
    }
    for (size_t k = 0; k < c && !status; k++)
        solve(&s, plane + k * h * w);
    cp_free(s.index);
    cp_free(s.diagonal);
    cp_free(s.inner);
    cp_free(s.work);
    return status;
}

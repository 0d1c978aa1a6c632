/* ROAD's filling (Rong et al., ICML 2022): removed pixels from their neighbours, one sparse system for all channels.
 *
 * An unknown pixel x_i equals sum_j w_ij x_j / sum_j w_ij over its up to eight neighbours. Multiplied by the sum of the
 * weights the matrix D - W is symmetric and, as soon as one pixel is known beside each connected area, positive definite:
 * conjugate gradients, with one V-cycle of eval/multigrid.c as preconditioner. Where half of the photo is one hole, plain
 * conjugate gradients would take hundreds of rounds in place of about ten. */
#include <math.h>
#include <string.h>

#include "eval/degrade.h"
#include "eval/multigrid.h"
#include "io/error.h"

enum { ROUNDS = 500 };
static const double TOLERANCE = 1e-6; /* residual, relative to the right-hand side */
static const double SMALLEST = 1e-12; /* square of a right-hand side, which is 0 where what is left is black */

/* What conjugate gradients keep; each a grid of the unknowns, 0 where a pixel is known. */
typedef struct {
    double *x, *residual, *direction, *product, *preconditioned, *right;
} vectors;

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The known neighbours' share of each unknown pixel's equation, and half of the range as the first guess. */
static void start(const cp_multigrid *grid, const uint8_t *removed, size_t h, size_t w, const float *plane,
                  const vectors *v)
{
    for (size_t y = 0; y < h; y++)
        for (size_t x = 0; x < w; x++) {
            size_t at = cp_multigrid_index(grid, y, x);
            v->x[at] = removed[y * w + x] ? .5 : 0;
            v->residual[at] = removed[y * w + x] ? 0 : plane[y * w + x];
        }
    /* -W of the known values, at the unknown pixels, is the product of the matrix with them. */
    cp_multigrid_multiply(grid, v->residual, v->right);
    cp_multigrid_multiply(grid, v->x, v->product);
    for (size_t i = 0; i < cp_multigrid_size(grid); i++) {
        v->right[i] = -v->right[i];
        v->residual[i] = v->right[i] - v->product[i];
    }
}

static void solve(cp_multigrid *grid, const vectors *v)
{
    size_t n = cp_multigrid_size(grid);
    double limit = TOLERANCE * TOLERANCE * (dot(v->right, v->right, n) + SMALLEST), old = 0;
    for (int round = 0; round < ROUNDS && dot(v->residual, v->residual, n) > limit; round++) {
        cp_multigrid_cycle(grid, v->residual, v->preconditioned);
        double now = dot(v->residual, v->preconditioned, n), share = round ? now / old : 0;
        for (size_t i = 0; i < n; i++)
            v->direction[i] = v->preconditioned[i] + share * v->direction[i];
        cp_multigrid_multiply(grid, v->direction, v->product);
        double step = now / dot(v->direction, v->product, n);
        for (size_t i = 0; i < n; i++) {
            v->x[i] += step * v->direction[i];
            v->residual[i] -= step * v->product[i];
        }
        old = now;
    }
}

cp_status cp_impute(const uint8_t *removed, size_t c, size_t h, size_t w, float *plane)
{
    cp_multigrid *grid = NULL;
    bool known = memchr(removed, 0, h * w) != NULL;
    for (size_t i = 0; i < c * h * w && !known; i++) /* nothing to take a colour from */
        plane[i] = .5f;
    if (!known || !memchr(removed, 1, h * w))
        return CP_OK;
    cp_status status = cp_multigrid_create(removed, h, w, &grid);
    if (status)
        return status;
    size_t n = cp_multigrid_size(grid);
    double *all = cp_alloc(n, 6 * sizeof *all, "imputed pixels");
    if (!all)
        status = CP_ERESOURCE;
    for (size_t k = 0; k < c && !status; k++) {
        const vectors v = {all, all + n, all + 2 * n, all + 3 * n, all + 4 * n, all + 5 * n};
        float *one = plane + k * h * w;
        memset(all, 0, 6 * n * sizeof *all);
        start(grid, removed, h, w, one, &v);
        solve(grid, &v);
        for (size_t i = 0; i < h * w; i++)
            if (removed[i])
                one[i] = (float)v.x[cp_multigrid_index(grid, i / w, i % w)];
    }
    cp_free(all);
    cp_multigrid_free(grid);
    return status;
}

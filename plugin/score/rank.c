/* Spearman's rank correlation. */
#include <math.h>
#include <stdlib.h>

#include "critpath.h"
#include "io/error.h"

typedef struct {
    float value;
    size_t index;
} item;

static int by_value(const void *a, const void *b)
{
    float one = ((const item *)a)->value, other = ((const item *)b)->value;
    return (one > other) - (one < other);
}

/* rank[n] of x[n], from 1, ties at their average. `items` is room for n. */
static void rank_values(const float *x, size_t n, item *items, double *rank)
{
    for (size_t i = 0; i < n; i++)
        items[i] = (item){x[i], i};
    qsort(items, n, sizeof *items, by_value);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && items[to].value == items[from].value; to++) {
        }
        for (size_t i = from; i < to; i++)
            rank[items[i].index] = (double)(from + to + 1) / 2;
    }
}

/* Pearson's correlation; NAN when either is constant. */
static double correlation(const double *x, const double *y, size_t n)
{
    double mean_x = 0, mean_y = 0, xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        mean_x += x[i];
        mean_y += y[i];
    }
    mean_x /= (double)n;
    mean_y /= (double)n;
    for (size_t i = 0; i < n; i++) {
        double dx = x[i] - mean_x, dy = y[i] - mean_y;
        xy += dx * dy;
        xx += dx * dx;
        yy += dy * dy;
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

cp_status cp_rank_correlation(const float *a, const float *b, size_t n, double *rho)
{
    *rho = NAN;
    for (size_t i = 0; i < n; i++)
        if (isnan(a[i]) || isnan(b[i]))
            return CP_OK;
    if (n < 2)
        return CP_OK;
    item *items = cp_alloc(n, sizeof *items, "ranks");
    double *rank = cp_alloc(n, 2 * sizeof *rank, "ranks");
    cp_status status = items && rank ? CP_OK : CP_ERESOURCE;
    if (!status) {
        rank_values(a, n, items, rank);
        rank_values(b, n, items, rank + n);
        *rho = correlation(rank, rank + n, n);
    }
    cp_free(items);
    cp_free(rank);
    return status;
}

/* Geometric multigrid (Briggs, Henson and McCormick, A Multigrid Tutorial, chapters 3 and 8): bilinear interpolation
 * from every second row and column, coarse matrices by Galerkin's product, which keeps nine coefficients a node, one
 * Jacobi step before and one after. */
#include "eval/multigrid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"

enum { LEVELS = 24, NEIGHBOURS = 9, SELF = 4, COARSEST = 3, LAST_STEPS = 12 };

/* Jacobi's step over the sum of a row's magnitudes. Scaled by that sum no eigenvalue is above 1, so that any step below
 * 2 converges; in the middle of a hole this one is the common 0.8 over the diagonal. */
static const double STEP = 1.6;

typedef struct {
    size_t h, w, pitch, size;      /* pitch: w + 2 */
    double *coefficient[NEIGHBOURS]; /* of row-major neighbours; NULL on the finest level, where they are constants */
    double *diagonal;              /* 0: no unknown */
    double *step;                  /* Jacobi's, 0 where there is no unknown */
    double *right, *x, *rest;
} level;

struct cp_multigrid {
    level level[LEVELS];
    int n;
};

static size_t index_of(const level *l, size_t y, size_t x) { return (y + 1) * l->pitch + x + 1; }

size_t cp_multigrid_size(const cp_multigrid *grid) { return grid->level[0].size; }

size_t cp_multigrid_index(const cp_multigrid *grid, size_t y, size_t x) { return index_of(&grid->level[0], y, x); }

static ptrdiff_t offset_of(const level *l, int k) { return (k / 3 - 1) * (ptrdiff_t)l->pitch + k % 3 - 1; }

/* ---------------------------------------------------------------- products */

static void multiply_finest(const level *l, const double *x, double *product)
{
    for (size_t y = 0; y < l->h; y++) {
        size_t row = index_of(l, y, 0);
        const double *here = x + row, *up = here - l->pitch, *down = here + l->pitch, *diagonal = l->diagonal + row;
        for (size_t i = 0; i < l->w; i++) {
            double sides = here[i - 1] + here[i + 1] + up[i] + down[i];
            double corners = up[i - 1] + up[i + 1] + down[i - 1] + down[i + 1];
            double value = diagonal[i] * here[i] - sides * (1 / 6.) - corners * (1 / 12.);
            product[row + i] = diagonal[i] > 0 ? value : 0;
        }
    }
}

static void multiply_coarse(const level *l, const double *x, double *product)
{
    for (size_t y = 0; y < l->h; y++) {
        size_t row = index_of(l, y, 0);
        for (size_t i = row; i < row + l->w; i++) {
            double sum = 0;
            for (int k = 0; k < NEIGHBOURS; k++)
                sum += l->coefficient[k][i] * x[(ptrdiff_t)i + offset_of(l, k)];
            product[i] = sum;
        }
    }
}

static void multiply(const level *l, const double *x, double *product)
{
    if (l->coefficient[0])
        multiply_coarse(l, x, product);
    else
        multiply_finest(l, x, product);
}

void cp_multigrid_multiply(const cp_multigrid *grid, const double *x, double *product)
{
    multiply(&grid->level[0], x, product);
}

/* ---------------------------------------------------------------- between levels */

/* The one or two coarse rows, or columns, that a fine one takes its value from, by equal shares. */
static size_t parents(size_t fine, size_t parent[2])
{
    parent[0] = fine / 2;
    parent[1] = fine / 2 + 1;
    return fine % 2 ? 2 : 1;
}

/* Of a row of the fine level's rest: what its nodes give to the coarse column of each second one. */
static double gathered(const double *fine) { return fine[0] + (fine[-1] + fine[1]) / 2; }

/* right of the coarse level = transposed interpolation of the fine level's rest, whose border is 0. */
static void restrict_to(const level *fine, level *coarse)
{
    for (size_t y = 0; y < coarse->h; y++) {
        double *to = coarse->right + index_of(coarse, y, 0);
        /* The border ends one row below the last; a coarse row may lie on it. */
        const double *here = fine->rest + index_of(fine, 2 * y, 0), *up = here - fine->pitch;
        const double *down = 2 * y < fine->h ? here + fine->pitch : NULL;
        for (size_t x = 0; x < coarse->w; x++)
            to[x] = gathered(here + 2 * x) + (gathered(up + 2 * x) + (down ? gathered(down + 2 * x) : 0)) / 2;
    }
}

/* x of the fine level's unknowns += interpolation of the coarse level's. */
static void interpolate_to(const level *coarse, const level *fine, double *to)
{
    for (size_t y = 0; y < fine->h; y++) {
        size_t row[2], n = parents(y, row);
        const double *one = coarse->x + index_of(coarse, row[0], 0);
        const double *other = coarse->x + index_of(coarse, row[n - 1], 0);
        for (size_t x = 0; x < fine->w; x++) {
            size_t at = index_of(fine, y, x);
            double value = (one[x / 2] + other[x / 2] + one[(x + 1) / 2] + other[(x + 1) / 2]) / 4;
            to[at] += fine->diagonal[at] > 0 ? value : 0;
        }
    }
}

/* The coefficient of neighbour k of the fine node at `at`; 0 where either is known. */
static double coefficient_of(const level *l, size_t at, int k)
{
    if (l->coefficient[0])
        return l->coefficient[k][at];
    if (k == SELF)
        return l->diagonal[at];
    return l->diagonal[(size_t)((ptrdiff_t)at + offset_of(l, k))] > 0 ? (k % 2 ? -1 / 6. : -1 / 12.) : 0;
}

/* Adds one fine coefficient, of the nodes (y,x) and (other_y,other_x), to all pairs of their coarse parents. */
static void spread(level *coarse, size_t y, size_t x, size_t other_y, size_t other_x, double value)
{
    size_t row[2], column[2], other_row[2], other_column[2];
    size_t n_row = parents(y, row), n_column = parents(x, column);
    size_t m_row = parents(other_y, other_row), m_column = parents(other_x, other_column);
    double share = value / (double)(n_row * n_column * m_row * m_column);
    for (size_t r = 0; r < n_row; r++)
        for (size_t c = 0; c < n_column; c++)
            for (size_t s = 0; s < m_row; s++)
                for (size_t d = 0; d < m_column; d++) {
                    size_t k = (other_row[s] + 1 - row[r]) * 3 + other_column[d] + 1 - column[c];
                    coarse->coefficient[k][index_of(coarse, row[r], column[c])] += share;
                }
}

static void multiply_by_galerkin(const level *fine, level *coarse)
{
    for (size_t y = 0; y < fine->h; y++)
        for (size_t x = 0; x < fine->w; x++) {
            size_t at = index_of(fine, y, x);
            for (int k = 0; k < NEIGHBOURS && fine->diagonal[at] > 0; k++) {
                double value = coefficient_of(fine, at, k);
                if (value != 0)
                    spread(coarse, y, x, y + (size_t)(k / 3) - 1, x + (size_t)(k % 3) - 1, value);
            }
        }
    memcpy(coarse->diagonal, coarse->coefficient[SELF], coarse->size * sizeof *coarse->diagonal);
}

static void choose_steps(level *l)
{
    for (size_t y = 0; y < l->h; y++)
        for (size_t x = 0; x < l->w; x++) {
            size_t at = index_of(l, y, x);
            double sum = 0;
            for (int k = 0; k < NEIGHBOURS && l->diagonal[at] > 0; k++)
                sum += fabs(coefficient_of(l, at, k));
            l->step[at] = sum > 0 ? STEP / sum : 0;
        }
}

/* ---------------------------------------------------------------- making */

static cp_status take(level *l, size_t h, size_t w, bool finest)
{
    size_t planes = finest ? 5 : 5 + NEIGHBOURS;
    *l = (level){.h = h, .w = w, .pitch = w + 2, .size = (h + 2) * (w + 2)};
    /* restrict_to looks one behind the last row's border. */
    double *all = cp_alloc(l->size * planes + 1, sizeof *all, "multigrid");
    if (!all)
        return CP_ERESOURCE;
    l->diagonal = all;
    l->step = all + l->size;
    l->right = all + 2 * l->size;
    l->x = all + 3 * l->size;
    l->rest = all + 4 * l->size;
    for (size_t k = 0; k < NEIGHBOURS && !finest; k++)
        l->coefficient[k] = all + (5 + k) * l->size;
    return CP_OK;
}

static void fill_finest(level *l, const uint8_t *unknown)
{
    for (size_t y = 0; y < l->h; y++)
        for (size_t x = 0; x < l->w; x++) {
            double across = (double)((x > 0) + (x + 1 < l->w)), down = (double)((y > 0) + (y + 1 < l->h));
            if (unknown[y * l->w + x])
                l->diagonal[index_of(l, y, x)] = (across + down) / 6 + across * down / 12;
        }
}

cp_status cp_multigrid_create(const uint8_t *unknown, size_t h, size_t w, cp_multigrid **grid)
{
    cp_multigrid *g = *grid = cp_alloc(1, sizeof *g, "multigrid");
    cp_status status = g ? take(&g->level[0], h, w, true) : CP_ERESOURCE;
    if (!status) {
        g->n = 1;
        fill_finest(&g->level[0], unknown);
        choose_steps(&g->level[0]);
    }
    while (!status && g->n < LEVELS && (g->level[g->n - 1].h > COARSEST || g->level[g->n - 1].w > COARSEST)) {
        const level *fine = &g->level[g->n - 1];
        level *coarse = &g->level[g->n];
        status = take(coarse, fine->h / 2 + 1, fine->w / 2 + 1, false);
        if (status)
            break;
        multiply_by_galerkin(fine, coarse);
        choose_steps(coarse);
        g->n++;
    }
    if (!status)
        return CP_OK;
    cp_multigrid_free(g);
    *grid = NULL;
    return status;
}

void cp_multigrid_free(cp_multigrid *grid)
{
    for (int i = 0; grid && i < grid->n; i++)
        cp_free(grid->level[i].diagonal);
    cp_free(grid);
}

/* ---------------------------------------------------------------- cycle */

/* rest = right - A x; with `improve`, x += step * rest besides. */
static void take_rest(level *l, const double *right, double *x, bool improve)
{
    multiply(l, x, l->rest);
    for (size_t i = 0; i < l->size; i++)
        l->rest[i] = right[i] - l->rest[i];
    for (size_t i = 0; i < l->size && improve; i++)
        x[i] += l->step[i] * l->rest[i];
}

static void cycle(cp_multigrid *grid, int at, const double *right, double *x)
{
    level *l = &grid->level[at];
    for (size_t i = 0; i < l->size; i++)
        x[i] = l->step[i] * right[i];
    if (at + 1 == grid->n) {
        for (int i = 1; i < LAST_STEPS; i++)
            take_rest(l, right, x, true);
        return;
    }
    level *coarse = &grid->level[at + 1];
    take_rest(l, right, x, false);
    restrict_to(l, coarse);
    cycle(grid, at + 1, coarse->right, coarse->x);
    interpolate_to(coarse, l, x);
    take_rest(l, right, x, true);
}

void cp_multigrid_cycle(cp_multigrid *grid, const double *right, double *solution) { cycle(grid, 0, right, solution); }

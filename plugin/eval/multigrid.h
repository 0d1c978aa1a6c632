/* D - W of some pixels of a plane, and a V-cycle that nearly solves it. Of the unknown pixels i and j, neighbours by side
 * or by corner, W_ij is 1/6 or 1/12; D_i is the sum of the weights of all neighbours that i has in the plane, known ones
 * too. Grids are double, with a border of zeros, and 0 at known pixels but where said. */
#ifndef CP_EVAL_MULTIGRID_H
#define CP_EVAL_MULTIGRID_H

#include "critpath.h"

typedef struct cp_multigrid cp_multigrid;

/* unknown: (h,w), 0 or 1. */
cp_status cp_multigrid_create(const uint8_t *unknown, size_t h, size_t w, cp_multigrid **grid);
void cp_multigrid_free(cp_multigrid *grid); /* NULL is allowed */

size_t cp_multigrid_size(const cp_multigrid *grid); /* numbers of a grid, with its border */
size_t cp_multigrid_index(const cp_multigrid *grid, size_t y, size_t x);

/* product = (D - W) x at the unknown pixels, else 0. x may hold values of known pixels: they are neighbours too. */
void cp_multigrid_multiply(const cp_multigrid *grid, const double *x, double *product);

/* solution: about x of (D - W) x = right; a symmetric, positive definite function of `right`. */
void cp_multigrid_cycle(cp_multigrid *grid, const double *right, double *solution);

#endif

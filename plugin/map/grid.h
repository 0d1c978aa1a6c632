/* Where the cells of a layer's plane lie in the network input. */
#ifndef CP_MAP_GRID_H
#define CP_MAP_GRID_H

#include "critpath.h"

/* The centre of the receptive field of cell (y, x), in input pixels whose own centres are whole numbers:
 * (start_y + y * step_y, start_x + x * step_x). The steps are the plane's strides against the input. */
typedef struct {
    bool plane; /* false: a connected layer's outputs, or what is computed from such, have no place */
    double start_x, start_y, step_x, step_y;
} cp_grid;

/* By layer + 1; 0 is the input. Free with cp_free; NULL with the message set when memory is out. */
cp_grid *cp_grids_find(const cp_model *model);

/* How the mass of each cell is divided among the pixels along one axis: those less than a step away get shares in
 * proportion to 1 - distance/step, as in bilinear interpolation. Pixels beyond the border get none, and the shares of a
 * cell sum to 1, so that no mass is lost. */
typedef struct {
    size_t cells;
    size_t *first, *count; /* by cell: the pixels it reaches */
    float **share;         /* by cell: count shares whose sum is 1 */
    float *shares;
} cp_spread;

/* Cells at start, start + step, ... along an axis of `pixels`. */
cp_status cp_spread_create(double start, double step, size_t cells, size_t pixels, cp_spread *spread);
void cp_spread_free(cp_spread *spread);

#endif

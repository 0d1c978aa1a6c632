/* Charts as pictures: curves over a common axis, and matrices with their values printed. */
#ifndef CP_IO_CHART_H
#define CP_IO_CHART_H

#include "io/image.h"

/* One curve: y has n_points values, NaN leaves a gap; spread (half width of a band, e.g. one deviation) may be NULL. */
typedef struct {
    const char *name;
    const double *y, *spread;
} cp_series;

typedef struct {
    const char *title, *x_label, *y_label; /* each may be NULL */
    size_t n_points, n_series;
    const double *x;             /* NULL: 0, 1, 2, ... */
    const char *const *x_names;  /* NULL, or n_points names written under the axis (layers) */
    const cp_series *series;
    double y_min, y_max;         /* both 0: chosen from the data */
    bool log_x;                  /* x must be > 0 */
    int w, h;                    /* 0 means 960 x 540 */
} cp_chart;

/* *out is new, cp_picture_free it. CP_EINPUT: no points or series, x <= 0 with log_x, a size that is no picture. */
cp_status cp_chart_draw(const cp_chart *chart, cp_picture *out);

/* Values, shape (rows, columns), printed in coloured cells; NaN is an empty cell. */
typedef struct {
    const char *title;           /* may be NULL */
    const char *row_label, *column_label;
    size_t rows, columns;        /* 1..64 each */
    const double *values;
    const char *const *row_names, *const *column_names;
    double lo, hi;               /* ends of the colour scale, lo < hi */
    int decimals;                /* of the printed values, 0..6 */
} cp_matrix;

/* *out is new, cp_picture_free it; its size follows from rows and columns. CP_EINPUT: more than 64 of them. */
cp_status cp_matrix_draw(const cp_matrix *matrix, cp_picture *out);

#endif

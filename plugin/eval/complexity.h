/* How concentrated a map is (docs/methods.md 5.7). */
#ifndef CP_EVAL_COMPLEXITY_H
#define CP_EVAL_COMPLEXITY_H

#include "critpath.h"

typedef struct {
    double gini;    /* Gini's index: 0 for equal values, (n - 1) / n for a single one among n pixels */
    double entropy; /* of the values as a distribution, in bits: log2(n) for equal values, 0 for a single one */
} cp_complexity;

/* Of max(map, 0) where the photo lies; map: (h,w). Both NAN for a map without a positive value. */
cp_status cp_complexity_of(const float *map, size_t w, const cp_placement *placement, cp_complexity *found);

#endif

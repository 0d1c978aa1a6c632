/* Mean average precision of a detector on a set of scenes, from what `darknet detector valid` wrote. */
#ifndef SIGNS_MAP_H
#define SIGNS_MAP_H

#include "signs.h"

typedef struct { double x0, y0, x1, y1; } signs_box; /* pixels; x1 and y1 excluded */

typedef struct {
    int scene;
    signs_box box;
    bool found; /* set by signs_average_precision */
} signs_truth;

typedef struct {
    int scene;
    double confidence;
    signs_box box;
} signs_detection;

double signs_box_iou(signs_box a, signs_box b);

/* Area under the precision-recall curve of one class, precision made monotone (Everingham et al., PASCAL VOC 2010, all
 * points). Each detection, best first, takes the truth of its scene with the highest IoU if that is at least `iou` and
 * not yet found; else it is false. Ties in confidence keep their order. Sorts `detections`. NaN without truths. */
double signs_average_precision(signs_truth *truths, size_t n_truths, signs_detection *detections, size_t n_detections,
                               double iou);

#endif

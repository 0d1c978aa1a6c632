/* Average precision of one class. */
#include <math.h>
#include <stdlib.h>

#include "map.h"

double signs_box_iou(signs_box a, signs_box b)
{
    double w = fmin(a.x1, b.x1) - fmax(a.x0, b.x0), h = fmin(a.y1, b.y1) - fmax(a.y0, b.y0);
    if (w <= 0 || h <= 0) return 0;
    return w * h / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - w * h);
}

/* qsort is not stable, so the order of arrival is part of the key. */
typedef struct {
    signs_detection detection;
    size_t order;
} ranked;

static int by_confidence(const void *a, const void *b)
{
    const ranked *p = a, *q = b;
    if (p->detection.confidence != q->detection.confidence)
        return p->detection.confidence > q->detection.confidence ? -1 : 1;
    return p->order < q->order ? -1 : 1;
}

static bool take(signs_truth *truths, size_t n, const signs_detection *detection, double iou)
{
    signs_truth *best = NULL;
    double highest = iou;
    for (size_t i = 0; i < n; i++) {
        if (truths[i].scene != detection->scene) continue;
        double shared = signs_box_iou(truths[i].box, detection->box);
        if (shared >= highest && (!best || shared > highest)) {
            best = &truths[i];
            highest = shared;
        }
    }
    if (!best || best->found) return false;
    best->found = true;
    return true;
}

double signs_average_precision(signs_truth *truths, size_t n_truths, signs_detection *detections, size_t n, double iou)
{
    if (n_truths == 0) return NAN;
    for (size_t i = 0; i < n_truths; i++) truths[i].found = false;
    if (n == 0) return 0;
    ranked *rank = cp_alloc(n, sizeof *rank, "detections");
    double *precision = cp_alloc(n, sizeof *precision, "precisions"), *recall = cp_alloc(n, sizeof *recall, "recalls");
    double area = NAN;
    if (!rank || !precision || !recall) goto done;
    for (size_t i = 0; i < n; i++) rank[i] = (ranked){detections[i], i};
    qsort(rank, n, sizeof *rank, by_confidence);
    double right = 0;
    for (size_t i = 0; i < n; i++) {
        detections[i] = rank[i].detection;
        right += take(truths, n_truths, &detections[i], iou);
        precision[i] = right / (double)(i + 1);
        recall[i] = right / (double)n_truths;
    }
    area = 0;
    double highest = 0;
    for (size_t i = n; i-- > 0;) {
        highest = fmax(highest, precision[i]);
        area += highest * (recall[i] - (i ? recall[i - 1] : 0));
    }
done:
    cp_free(rank);
    cp_free(precision);
    cp_free(recall);
    return area;
}

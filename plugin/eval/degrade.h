/* What a network answers while a photo is taken away along a map, or brought back (docs/methods.md 5.4). */
#ifndef CP_EVAL_DEGRADE_H
#define CP_EVAL_DEGRADE_H

#include "critpath.h"

/* Whose probability is followed. */
typedef struct {
    int class_id;
    const cp_detection *detection; /* NULL: that of the classifier's class. Otherwise the largest probability of the class
                                      among the boxes whose IoU with this one is at least .5, before NMS; 0 where there is
                                      none (ODAM's protocol) */
    cp_placement placement;        /* of the photo in the network input */
} cp_eval_target;

/* In [0,1]; a classifier without a softmax or logistic answers with the logit. */
cp_status cp_eval_probability(const cp_frame *frame, int image, const cp_eval_target *target, double *probability);

typedef enum {
    CP_FILL_MEAN,  /* one colour */
    CP_FILL_BLUR,  /* the photo, blurred */
    CP_FILL_IMPUTE /* each pixel the weighted mean of its neighbours, and noise (ROAD) */
} cp_fill;

typedef struct {
    cp_run_options run;
    bool insert;             /* the photo starts filled and its pixels come back; otherwise they are taken away */
    bool least_first;        /* pixels of the lowest value first (LeRF); otherwise those of the highest (MoRF) */
    cp_fill fill;
    float mean[4];           /* CP_FILL_MEAN: by channel, in [0,1]; NAN: the photo's own */
    double blur;             /* CP_FILL_BLUR: sigma as a share of the photo's longer side in the input; 0 = .022, RISE's 5
                                of 224 pixels */
    const double *fractions; /* of the photo's pixels that have been changed, ascending in [0,1] */
    int n;
    uint64_t seed;           /* of the noise */
} cp_degrade_options;

/* probability[n]: one per fraction. input: (C,H,W) of the model. map: (H,W), signed as the caller means it; only pixels where
 * the photo lies are ranked and changed; equal ones go in index order. CP_EINPUT: a map with NaN, fractions out of order. */
cp_status cp_degrade(const cp_model *model, const float *input, const float *map, const cp_eval_target *target,
                     const cp_degrade_options *options, double *probability);

/* order[at->w * at->h]: the photo's pixels (indices into the map, whose rows have w pixels), highest value first or lowest
 * first, equal ones in index order. CP_EINPUT: a map with NaN there. */
cp_status cp_eval_rank_pixels(const float *map, size_t w, const cp_placement *at, bool least_first, size_t *order);

/* plane (h,w) of the network input: where the photo lies it is smoothed by a Gaussian of sigma = share * its longer side there. */
cp_status cp_eval_smooth(float *plane, size_t w, const cp_placement *placement, double share);

/* Area under y over x by trapezoids, divided by x[n-1] - x[0]; NAN for fewer than two points. */
double cp_curve_area(const double *x, const double *y, int n);

/* Fills what is removed[(h,w)] of plane (c,h,w): every removed pixel becomes the weighted mean of its neighbours, direct ones
 * 1/6 and diagonal ones 1/12, those outside left out and the weights scaled to a sum of 1 (Rong et al. 2022). Solved to a
 * relative residual of 1e-6 by conjugate gradients after a multigrid cycle. Where nothing is left the result is the mean colour .5. */
cp_status cp_impute(const uint8_t *removed, size_t c, size_t h, size_t w, float *plane);

#endif

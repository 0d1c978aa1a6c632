/* Maps against pictures whose parts can be left out exactly, as FunnyBirds has them (Hesse et al. 2023;
 * docs/methods.md 5.11). */
#ifndef CP_EVAL_PARTS_H
#define CP_EVAL_PARTS_H

#include "critpath.h"

enum { CP_PARTS_MOST = 16, CP_PARTS_THRESHOLDS = 80 };

/* From .01 to .5 in equal steps: shares of a map's sum above which a part counts as important. */
double cp_parts_threshold(int k);

/* importance[n]: the sum of map (h,w) over each part grown by two pixels to every side. part (h,w): 1 + number of the
 * part of a pixel, 0 for none; numbers above n count for none. */
void cp_parts_importance(const float *map, const uint8_t *part, size_t h, size_t w, int n, double *importance);

/* One object. */
typedef struct {
    int n;                    /* its parts */
    const double *importance; /* (n + others) by the map */
    double sum;               /* of the map */
    const double *drop;       /* (n + others): how much the response drops without each */
    double response;          /* with everything there */
    const bool *same;         /* (1 << n): whether the prediction stays when the parts of these bits are left out */
    int others;               /* other things in the picture that can be left out, behind the parts */
} cp_parts_case;

typedef struct {
    double
        deletion; /* (rho + 1) / 2 of drops and importances of the parts, rho Spearman's; NAN where one is constant */
    double keep[CP_PARTS_THRESHOLDS];   /* 1: the prediction stays with the important parts alone */
    double remove[CP_PARTS_THRESHOLDS]; /* 1: it goes without them */
    double ignore
        [CP_PARTS_THRESHOLDS]; /* of what the response does not need (it drops by less than 5% without it), the share
                                           that is not important; NAN where there is nothing of that kind */
} cp_parts_scores;

/* CP_EINPUT: more than CP_PARTS_MOST parts and others. */
cp_status cp_parts_judge(const cp_parts_case *given, cp_parts_scores *scores);

#endif

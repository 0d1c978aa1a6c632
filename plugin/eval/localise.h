/* Where a map lies, against boxes and masks that are known (docs/methods.md 5.5). */
#ifndef CP_EVAL_LOCALISE_H
#define CP_EVAL_LOCALISE_H

#include "critpath.h"

/* In map pixels; may reach beyond the map. A pixel belongs to the box when its middle does. */
typedef struct {
    double x, y, w, h;
} cp_map_box;

typedef struct {
    double energy;  /* share of the sum of max(map, 0) inside the box */
    double lift;    /* that divided by the box's share of the photo's area */
    bool pointing;  /* the first of the largest values lies inside */
    double ranking; /* share of the |box| highest pixels that lie in it (relevance rank accuracy) */
    double compactness; /* root of the mean squared distance from the highest pixel, weighted by max(map, 0), in units of
                           half the box's diagonal; 0: one pixel (ODAM: Zhao and Chan 2022) */
} cp_localisation;

/* map: (h,w); only the pixels of `placement` count. All NAN (pointing false) for a map without a positive value; CP_EINPUT
 * for NaN or a box without a pixel on the photo. */
cp_status cp_localise(const float *map, size_t h, size_t w, const cp_placement *placement, const cp_map_box *box,
                      cp_localisation *found);

/* The same against a mask (h,w) in map pixels, of which those that are not 0 take the box's place; compactness is in units of half
 * the diagonal of the least box around them. Without a pixel of the mask on the photo there is nothing to be compared with: all
 * NAN. */
cp_status cp_localise_mask(const float *map, size_t h, size_t w, const cp_placement *placement, const uint8_t *mask,
                           cp_localisation *found);

/* mask (h,w) in map pixels of one in photo pixels, (photo_h,photo_w): each takes the photo pixel in which its middle lies, those
 * beside the photo are 0. placement: where the whole photo lies, which may reach beyond the map. */
void cp_mask_to_map(const uint8_t *photo, const cp_placement *placement, size_t h, size_t w, uint8_t *mask);

/* Object discrimination index (Zhao and Chan 2022): of the sum of max(map, 0) in any object's box, the share that lies in another
 * object's and not in this one's. others[n]: their boxes. 0 is best; NAN where no box holds anything of the map. */
double cp_localise_confusion(const float *map, size_t w, const cp_placement *placement, const cp_map_box *box,
                             const cp_map_box *others, size_t n);

#endif

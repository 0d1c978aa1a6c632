/* Where heat lies on the photo: the two steps of cp_heat_find_region, for those who draw what it found. */
#ifndef CP_MAP_REGION_H
#define CP_MAP_REGION_H

#include "critpath.h"

/* The heat over the photo, smoothed: shape (placement->h, placement->w), pixel (x, y) covers 1/w by 1/h of the photo.
 * Other arguments as cp_heat_find_region's. */
cp_status cp_heat_over_photo(const float *heat, size_t h, size_t w, const cp_placement *placement, double blur,
                             float *plane);

/* The region of a plane that cp_heat_over_photo gave: all fields but `box` and `beside`, which are 0. */
cp_status cp_heat_region_of(const float *plane, const cp_placement *placement, cp_heat_region *region);

#endif

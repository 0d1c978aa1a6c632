/* Remove and retrain: what a map calls important is taken out of all pictures, and a network is trained anew without it
 * (ROAR: Hooker et al. 2019; KAR, the reverse, keeps it and removes the rest). */
#ifndef CP_EVAL_ROAR_H
#define CP_EVAL_ROAR_H

#include "critpath.h"

/* Gives the `fraction` of the pixels of picture (c,h,w) that map (h,w) ranks highest, or lowest with `least`, the
 * colour of colour[c]; round(fraction * h * w) of them, equal ones in index order. CP_EINPUT: a fraction out of [0,1],
 * a map with NaN. */
cp_status cp_roar_remove(const float *map, size_t c, size_t h, size_t w, double fraction, bool least,
                         const float *colour, float *picture);

/* path (CP_ROAR_PATH bytes): where a changed copy of `original` goes, in a tree below `folder` that has the names of
 * the original's, so that Darknet finds the same label in it. Nothing lies outside `folder`, whatever `original` says.
 * CP_EINPUT: too long. */
enum { CP_ROAR_PATH = 4096 };
cp_status cp_roar_path(const char *folder, const char *original, char *path);

#endif

/* What paths have in common, over images: dead share, Jaccard and the value chance would give it, of the whole network
 * and of each neuron layer. docs/methods.md 2. */
#ifndef CP_PATH_COMPARISON_H
#define CP_PATH_COMPARISON_H

#include "critpath.h"

enum { CP_COMPARED_PATHS = 32 };

typedef struct cp_comparison cp_comparison;

/* Over the images where it is available. */
typedef struct {
    double mean, deviation; /* NAN: of no image; the sample deviation needs two */
    size_t n;
} cp_figure;

/* Of `n` paths per image, at most CP_COMPARED_PATHS. */
cp_status cp_comparison_create(const cp_model *model, int n, cp_comparison **comparison);
void cp_comparison_free(cp_comparison *comparison);

/* One image's paths, in the same order every time. frame, image: its unrestricted run; NULL: no dead shares. */
cp_status cp_comparison_add(cp_comparison *comparison, const cp_path *const *paths, const cp_frame *frame, int image);
size_t cp_comparison_images(const cp_comparison *comparison);

/* layer: position of a neuron layer, or -1 for the network. Share of the neurons that are on the path. */
cp_figure cp_comparison_density(const cp_comparison *comparison, int path, int layer);
/* |path and dead| / |path|; an image in which the path has no neuron there does not count. */
cp_figure cp_comparison_dead(const cp_comparison *comparison, int path, int layer);
/* |A and B| / |A or B|; an image in which both are empty does not count. */
cp_figure cp_comparison_jaccard(const cp_comparison *comparison, int a, int b, int layer);
/* pq / (p + q - pq): what independent paths of densities p and q have in common on average. */
cp_figure cp_comparison_chance(const cp_comparison *comparison, int a, int b, int layer);

#endif

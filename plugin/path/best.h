/* Selection of the K largest scores while they come, part by part and in any order: what cp_path_select would keep,
 * without an array of all scores. */
#ifndef CP_PATH_BEST_H
#define CP_PATH_BEST_H

#include "path/path.h"

/* A running lower bound of the K-th largest score so far, and the scores that were above it when they came. */
typedef struct cp_best cp_best;

/* For paths over a table like that of `path`, of at most `most` neurons each. *best is NULL where the array is the
 * better way: paths of a large part of the network. */
cp_status cp_best_create(const cp_path *path, size_t most, cp_best **best);
/* For tests: as on a processor that cannot compress vectors. */
void cp_best_in_plain_c(cp_best *best);
void cp_best_free(cp_best *best);

/* The scores |a * g| of neurons first, first + 1, ... of a neuron layer; `first` is a multiple of 64. except: neurons
 * of the layer whose scores are 0. Each neuron comes at most once; one that never comes scores 0. Several threads may
 * call. */
void cp_best_take(cp_best *best, int layer, size_t first, const float *a, const float *g, size_t count,
                  const size_t *except, int n_except);

/* Overwrites the path with the k largest of them, of equal ones the first, k <= most; *kept: how many those are, at
 * most as many as are positive; *threshold: the last of them, or 0. false: they could not be kept, or something was not
 * finite. */
bool cp_best_select(const cp_best *best, size_t k, cp_path *path, size_t *kept, float *threshold);

/* cp_path_mct on the CPU. *done: false where it takes an array of all scores; then nothing else holds. */
cp_status cp_best_mct(cp_frame *frame, const cp_entry *entry, const double *sparsities, int n, cp_path *const *paths,
                      cp_selection *selections, bool *done);

#endif

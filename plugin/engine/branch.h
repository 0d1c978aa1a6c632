/* The values of a branch's layer without a copy of them on the host, and its responses in one go: on a GPU either would
 * take longer than the run. */
#ifndef CP_ENGINE_BRANCH_H
#define CP_ENGINE_BRANCH_H

#include "critpath.h"

/* Where values of the branch's layer come from. What is started and put is there from the next forward run on. */
typedef enum { CP_FROM_BASE = 1, CP_FROM_ZERO } cp_origin;

/* All of an entry's values. */
void cp_branch_start(cp_frame *branch, int entry, cp_origin from);
/* Then `count` of them from `first` on. Between two forward runs no place is put twice. */
cp_status cp_branch_put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from);
/* phi[n]: cp_frame_response of images 0..n-1 of the last forward run. */
void cp_frame_responses(const cp_frame *frame, int n, const cp_response *response, double *phi);

#endif

/* Maps: what the command line needs beside critpath.h. */
#ifndef CP_MAP_MAP_H
#define CP_MAP_MAP_H

#include "critpath.h"
#include "path/scores.h"

/* The response's own units are explained, not restricted: where they are neurons they count as on the path. *opened is
 * a copy of the path with them on, to be freed, or NULL where the path will do as it is. */
cp_status cp_path_with_response(const cp_model *model, const cp_response *response, const cp_path *path, cp_path **opened);

/* cp_map_contribution of scores that may stay where they were computed: on a GPU only the sums of the planes come back. scores
 * NULL: as score there. */
cp_status cp_map_contribution_of(cp_frame *frame, int image, const cp_response *response, const cp_path *path,
                                 cp_scores *scores, const cp_contribution_options *options, float *heat,
                                 cp_contribution *report);

/* Why a map is all zero, in one line; false, and text empty, when it is not all zero. map: `count` floats. frame,
 * image: the original run. path: NULL for the plain gradient. cut: of that path, or NULL. */
bool cp_map_zero_reason(const float *map, size_t count, const cp_frame *frame, int image, const cp_response *response,
                        const cp_path *path, const cp_cut *cut, char *text, size_t size);

#endif

/* Maps by name in `grad`: those of eval/attribution.h beside the pathway gradient and the plain one. */
#ifndef CP_CLI_GRAD_MAP_H
#define CP_CLI_GRAD_MAP_H

#include "cli/subject.h"
#include "eval/attribution.h"

/* The map that -method names; NULL where it is a way to score neurons, or the plain gradient, whose map has all channels. */
const cp_attribution *cp_grad_map_find(const char *name);
/* CP_EINPUT: an option that this map does not know. */
cp_status cp_grad_map_check(const cp_options *options);
/* PREFIX.npy (1,H,W), signed, and PREFIX.png of one response; a map that reads a path for each -sparsity. */
cp_status cp_grad_map_run(cp_session *session, const cp_item *item, const cp_subject *subject);

#endif

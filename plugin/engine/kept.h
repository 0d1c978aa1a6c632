/* Max-pools that look at entries on the path alone. */
#ifndef CP_ENGINE_KEPT_H
#define CP_ENGINE_KEPT_H

#include "engine/engine.h"

/* Whether the layer takes the largest of a window, of whichever kind. */
bool cp_pools_by_maximum(const cp_op *op);
/* The forward run of such a layer for one image: of each window the largest value on the path, without any 0. Between
 * cp_frame_begin and cp_frame_end, after the layers it reads. */
cp_status cp_kept_pool(cp_frame *frame, int layer, int image, const cp_path *path);
/* CP_EINPUT for restrictions that the backend does not know. */
cp_status cp_kept_check(const cp_frame *frame, int images, const cp_restriction *restrictions);

#endif

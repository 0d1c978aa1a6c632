/* The files that commands write for an image: maps, pictures, paths, scores. */
#ifndef CP_CLI_RESULTS_H
#define CP_CLI_RESULTS_H

#include "cli/drawing.h"
#include "cli/pathway.h"
#include "path/path_file.h"

/* PREFIX.npy: the pathway gradient, (C,H,W). These functions hand out the name of the file that they wrote. */
cp_status cp_write_map(const cp_session *session, const cp_item *item, const float *map, const char *tag,
                       char npy[4096]);

/* What the picture of a subject shows beside photo and map. path: what was computed; zero: why the map is zero, or
 * NULL. */
void cp_drawn_make(const cp_session *session, const cp_item *item, const cp_subject *subject, const char *path,
                   const char *zero, cp_drawn *drawn);
/* PREFIX.png as -picture asks for it, of the heat (2,H,W) or, where that is NULL or -picture signed, of the map; png
 * is "" with none. where: of the heat, at cp_blur_of(options, true), or NULL. */
cp_status cp_write_picture(const cp_session *session, const cp_item *item, const float *map, const float *heat,
                           const cp_heat_region *where, const cp_drawn *drawn, const char *tag, char png[4096]);

/* PREFIX, the tag and the ending: an array (planes,H,W) over the network input. ".heat.npy" is the contribution map, (2,H,W). */
cp_status cp_write_planes(const cp_session *session, const cp_item *item, const float *values, size_t planes,
                          const char *tag, const char *ending,
                        char npy[4096]);

/* PREFIX.path.npz. item and subject NULL: `from` (of a score file) says what response and input the path is of. */
cp_status cp_write_path(const cp_session *session, const cp_item *item, const cp_subject *subject,
                        const cp_file_meta *from, const cp_pathway *pathway, const char *tag, char npz[4096]);
/* PREFIX.score.npz */
cp_status cp_write_score(const cp_session *session, const cp_item *item, const cp_subject *subject, const float *score,
                         const char *tag, char npz[4096]);

#endif

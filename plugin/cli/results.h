/* The files that commands write for an image: maps, pictures, paths, scores. */
#ifndef CP_CLI_RESULTS_H
#define CP_CLI_RESULTS_H

#include "cli/pathway.h"
#include "path/path_file.h"

/* PREFIX.npy, and PREFIX.png unless -no-picture: the map over the photo. `lines` stand below the title. npy and
 * png get the file names, png "" without a picture. */
cp_status cp_write_map(const cp_session *session, const cp_item *item, const cp_subject *subject, const float *map,
                       const char *tag, const char *const *lines, size_t n_lines, char npy[4096], char png[4096]);

/* PREFIX.heat.npy: the contribution map, (2,H,W). */
cp_status cp_write_heat(const cp_session *session, const cp_item *item, const float *heat, const char *tag, char npy[4096]);

/* PREFIX.path.npz. item and subject NULL: `from` (of a score file) says what response and input the path is of. */
cp_status cp_write_path(const cp_session *session, const cp_item *item, const cp_subject *subject,
                        const cp_file_meta *from, const cp_pathway *pathway, const char *tag, char npz[4096]);
/* PREFIX.score.npz */
cp_status cp_write_score(const cp_session *session, const cp_item *item, const cp_subject *subject, const float *score,
                         const char *tag, char npz[4096]);

#endif

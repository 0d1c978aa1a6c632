/* Where results go: -out, and the names that files get from it and from their photo. */
#ifndef CP_CLI_OUTPUT_PATH_H
#define CP_CLI_OUTPUT_PATH_H

#include "cli/images.h"

/* Whether results can be written where -out says; found before any work is done. A folder named by "-out folder/" is
 * made with the first of them. */
cp_status cp_check_output_folder(const cp_session *session);

/* PREFIX of the results of item->path, by -out: a prefix (of "dog.png" too: "dog") or a folder, which is made where it
 * ends in a slash; a second photo with the stem of an earlier one gets "-2". */
cp_status cp_choose_prefix(cp_session *session, cp_item *item);

/* PREFIX, the tag ("" or "-box2-0.9"), and the ending, e.g. ".png". CP_EINPUT when that is an input of this run. */
cp_status cp_output_path(const cp_session *session, const cp_item *item, const char *tag, const char *ending,
                         char out[4096]);

/* Files that the run reads: cp_output_path refuses to write over them, by device and inode, so that links are seen
 * through. NULLs and what is not there are passed over. */
cp_status cp_remember_inputs(cp_session *session, const char *const *paths, size_t n);

bool cp_is_folder(const char *path);

/* Whether both are names of one file that exists; b may be NULL. */
bool cp_same_file(const char *a, const char *b);

#endif

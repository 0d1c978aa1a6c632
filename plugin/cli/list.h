/* Lists of images: decoding, computing and writing at the same time, with the results of one after the other. */
#ifndef CP_CLI_LIST_H
#define CP_CLI_LIST_H

#include "cli/walk.h"

typedef struct cp_list cp_list;

/* The images of the command line, or one path per line on stdin. A thread reads and prepares the next ones while
 * `visit` runs; `together`: visits of several images run at once, each with a session of its own, where -threads and -mem allow
 * and -method is one that takes a backward run or less. What a visit writes to session->out and cp_note appears in the
 * order of the list, and so do failures; files and text are those of one image after the other. After a failure that is
 * not CP_EINPUT no more is shown. *seen: images begun. */
cp_status cp_list_run(cp_session *session, bool together, cp_visit visit, void *user, int *seen);

/* Between these two a visit only writes files; meanwhile another may compute. */
void cp_list_pause(const cp_session *session);
void cp_list_resume(const cp_session *session);

#endif

/* The walk over the images of a command: those of its arguments, or one path per line on stdin. */
#ifndef CP_CLI_WALK_H
#define CP_CLI_WALK_H

#include "cli/images.h"
#include "io/atomic.h"
#include "io/lines.h"

/* What a command does with an image that has been read, prepared and run forward. */
typedef cp_status (*cp_visit)(cp_session *session, cp_item *item, void *user);

/* One visit; its files take their places together, when all are written. */
static inline cp_status cp_visit_whole(cp_visit visit, cp_session *session, cp_item *item, void *user)
{
    cp_files_begin();
    return cp_files_end(visit(session, item, user));
}

/* The images of -list become the session's; the command line names none then. They live as long as the lines. CP_EINPUT: both;
 * a list that names none. */
cp_status cp_session_read_list(cp_session *session, cp_lines *lines);

/* Calls `visit` with each. In a list a bad image gets its line on stderr and the walk goes on; the result is the first
 * failure. */
cp_status cp_session_each(cp_session *session, cp_visit visit, void *user);
/* The same, several images at once (cli/list.h): `visit` writes to session->out and changes nothing of `user`. */
cp_status cp_session_each_together(cp_session *session, cp_visit visit, void *user);

#endif

/* The file of -typical, opened with the session. */
#ifndef CP_CLI_TYPICAL_OPTION_H
#define CP_CLI_TYPICAL_OPTION_H

#include "cli/session.h"
#include "path/class_paths.h"

/* Reads it into session->typical, where it is given. */
cp_status cp_typical_open(cp_session *session);
void cp_typical_close(cp_session *session);

/* How the options say that paths are found: what class paths must have in common. NULL: out of memory. */
json_t *cp_path_settings(const cp_options *options);

#endif

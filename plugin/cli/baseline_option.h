/* -baseline: what neurons are compared with. */
#ifndef CP_CLI_BASELINE_OPTION_H
#define CP_CLI_BASELINE_OPTION_H

#include "cli/session.h"

/* Reads the pictures that -baseline names, through the session's frame, into session->baseline and baseline_input, which
 * stay NULL without it. */
cp_status cp_baseline_open(cp_session *session);
void cp_baseline_close(cp_session *session);

#endif

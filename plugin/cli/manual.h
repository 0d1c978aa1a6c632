/* The manual page critpath(1), written from the tables of commands, options and methods. */
#ifndef CP_CLI_MANUAL_H
#define CP_CLI_MANUAL_H

#include "cli/options.h"

/* troff with the man macros. */
void cp_manual_write(const cp_command *commands, FILE *to);

#endif

/* What shells complete the command line with, written from the tables of commands and options. */
#ifndef CP_CLI_COMPLETION_H
#define CP_CLI_COMPLETION_H

#include "cli/options.h"

/* A script for shell "bash" or "zsh"; CP_EINPUT for any other. */
cp_status cp_completion_write(const char *shell, const cp_command *commands, FILE *to);

#endif

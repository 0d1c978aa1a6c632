/* Help on stdout: of the program, of a command, of a method. */
#ifndef CP_CLI_HELP_H
#define CP_CLI_HELP_H

#include "cli/options.h"

enum { CP_MEANING_MAX = 1024 };

/* The commands in a line each, how to go on, the exit codes. */
void cp_help_program(const cp_command *commands, FILE *to);
/* A command: meaning, its options in groups with their defaults, notes, an example. Options of single methods are left
 * to cp_help_method where the command chooses among methods. */
void cp_help_command(const cp_command *command, FILE *to);
/* A method: what it is, and the options of the command that belong to it. */
void cp_help_method(const cp_command *command, const char *method, FILE *to);

/* Whether the command chooses among methods, so that options may belong to some of them. */
bool cp_command_has_methods(const cp_command *command);
/* The meaning of an option (as cp_option_in gives it) and its default, in one line of at most CP_MEANING_MAX bytes. */
const char *cp_option_describe(const cp_option *option, char *text);

#endif

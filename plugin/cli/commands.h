/* The subcommands, one file each. */
#ifndef CP_CLI_COMMANDS_H
#define CP_CLI_COMMANDS_H

#include "cli/options.h"

/* Ended by a row with a NULL name. */
extern const cp_command cp_commands[];
const cp_command *cp_command_find(const char *name);

/* Each runs one subcommand with the options that the command line gave: it opens what they name, writes the results and
 * reports. CP_EINPUT, CP_ERESOURCE: exit codes 2 and 3; the message is in cp_error(). */
cp_status cp_run_explain(const cp_command *command, const cp_options *options);
cp_status cp_run_layers(const cp_command *command, const cp_options *options);
cp_status cp_run_score(const cp_command *command, const cp_options *options);
cp_status cp_run_path(const cp_command *command, const cp_options *options);
cp_status cp_run_graph(const cp_command *command, const cp_options *options);
cp_status cp_run_grad(const cp_command *command, const cp_options *options);
cp_status cp_run_picture(const cp_command *command, const cp_options *options);
cp_status cp_run_attack(const cp_command *command, const cp_options *options);
cp_status cp_run_classpath(const cp_command *command, const cp_options *options);
cp_status cp_run_compare(const cp_command *command, const cp_options *options);
cp_status cp_run_eval(const cp_command *command, const cp_options *options);
cp_status cp_run_merge(const cp_command *command, const cp_options *options);
cp_status cp_run_errors(const cp_command *command, const cp_options *options);
cp_status cp_run_sanity(const cp_command *command, const cp_options *options);
cp_status cp_run_roar(const cp_command *command, const cp_options *options);
cp_status cp_run_decode(const cp_command *command, const cp_options *options);
cp_status cp_run_gen(const cp_command *command, const cp_options *options);
cp_status cp_run_faithful(const cp_command *command, const cp_options *options);
cp_status cp_run_linearity(const cp_command *command, const cp_options *options);
cp_status cp_run_insert(const cp_command *command, const cp_options *options);
cp_status cp_run_strip(const cp_command *command, const cp_options *options);
cp_status cp_run_watch(const cp_command *command, const cp_options *options);
cp_status cp_run_prune(const cp_command *command, const cp_options *options);
cp_status cp_run_gates(const cp_command *command, const cp_options *options);

#endif

/* `graph -compare`: what two paths share, and where they part. */
#ifndef CP_CLI_GRAPH_COMPARE_H
#define CP_CLI_GRAPH_COMPARE_H

#include "cli/options.h"

/* Two path files and no photo, one for both, or one for each in their order. */
cp_status cp_graph_compare(const cp_command *command, const cp_options *options);

#endif

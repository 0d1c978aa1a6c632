/* Records of a training as curves over its iterations. */
#ifndef CP_CLI_CURVES_H
#define CP_CLI_CURVES_H

#include "train/log.h"

/* Writes a .png: a chart for each value that some record has, of the network and of up to six layers from the first to
 * the last. `name` stands in the titles. */
cp_status cp_curves_write(const cp_records *records, const char *name, const char *path);

#endif

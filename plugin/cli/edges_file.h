/* PREFIX.edges.npz of `score -edges`. */
#ifndef CP_CLI_EDGES_FILE_H
#define CP_CLI_EDGES_FILE_H

#include "cli/images.h"
#include "cli/subject.h"

/* -edges channels: for each neuron layer and each that it reads the array "READER.SOURCE", float32 (channels of the reader, of the
 * source), as "layer_004_convolutional.layer_003_shortcut"; the response's is "response.SOURCE" (1, channels), the input's
 * "READER.input". -edges LAYER:INDEX: for each layer that this neuron reads the array "SOURCE" (C,H,W). And meta.json. */
cp_status cp_write_edges(cp_session *session, const cp_item *item, const cp_subject *subject, const char *tag, char npz[4096]);

#endif

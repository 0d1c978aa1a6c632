/* Edges of a pathway: what the channels of one layer contribute to those of the layers that read them. docs/methods.md 1.9.
 *
 * A neuron layer, or the response, is a reader of the neuron layers below it, between which there are only layers without
 * neurons: pools, routes, upsampling, linear layers and shortcuts. The edge from neuron j of such a layer to neuron k of the
 * reader is a_j * dz_k/da_j * dPhi/dz_k, where dz_k/da_j goes through those layers alone. Summed over everything that reads
 * j, the edges come to j's signed NeuronMCT, a_j * g_j. */
#ifndef CP_SCORE_EDGES_H
#define CP_SCORE_EDGES_H

#include "critpath.h"

typedef struct cp_edges cp_edges;

/* Edges of one response, in the run that `frame` holds of image `image`; both must outlive them and stay unchanged. path: in
 * the network frozen off the path, where edges begin and end at its neurons; NULL: in the whole network. memory: bytes that
 * runs over several channels may take, 0 = 256 MiB. One backward run. CP_EINPUT: a branch; a unit of the response that is a
 * neuron on which another of its units depends. */
cp_status cp_edges_open(cp_frame *frame, int image, const cp_response *response, const cp_path *path, size_t memory,
                        cp_edges **edges);
void cp_edges_free(cp_edges *edges);

/* Readers are numbered as the neuron layers; the response is the one behind the last. */
int cp_edges_response(const cp_edges *edges);
/* Positions of the neuron layers that a reader reads, ascending; -1 first where it reads the network's input. *n is 0 for a
 * layer that the response does not depend on, and for the response's own. */
const int *cp_edges_sources(const cp_edges *edges, int reader, int *n);

/* Numbers per row of cp_edges_to_channels: all channels (cp_model_channel_count), then the input's. */
size_t cp_edges_row(const cp_edges *edges);
/* Edges from channel to channel. channel[n]: channels of the reader, or -1 for all of it together, the only one that the
 * response has. contribution: (n, cp_edges_row), 0 where the reader does not read. */
cp_status cp_edges_to_channels(cp_edges *edges, int reader, const int *channel, int n, double *contribution);
/* Edges from each neuron (N) to neuron `index` of the reader, 0 where it does not read. */
cp_status cp_edges_to_neuron(cp_edges *edges, int reader, size_t index, float *contribution);

#endif

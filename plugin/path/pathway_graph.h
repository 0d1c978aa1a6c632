/* A pathway as a graph that a person can look at: of each layer the channels that score most, all others together, and what
 * they contribute to each other. Nothing is left out: the shares of the nodes sum to 1. */
#ifndef CP_PATH_PATHWAY_GRAPH_H
#define CP_PATH_PATHWAY_GRAPH_H

#include "critpath.h"
#include "score/edges.h"

enum { CP_GRAPH_NODES = 60, CP_GRAPH_COLUMNS = 14, CP_GRAPH_PER_COLUMN = 6 };

typedef enum { CP_NODE_PHOTO, CP_NODE_CHANNEL, CP_NODE_REST, CP_NODE_ANSWER } cp_node_kind;

typedef struct {
    cp_node_kind kind;
    int column;          /* 0: the photo's; then those of the layers; the answer's is the last */
    int position;        /* CHANNEL: of its layer among the neuron layers */
    size_t channel;      /* CHANNEL: in its layer */
    size_t members;      /* channels: 1; REST: those with any score that have no node of their own */
    size_t kept;         /* CHANNEL: neurons of it on the path */
    double score, share; /* sum of the scores' magnitudes; of the whole network's */
} cp_graph_node;

/* Neuron layers that stand below each other. */
typedef struct {
    int first, last;     /* positions among the neuron layers; those between without any score do not count */
    double share;
} cp_graph_column;

typedef struct {
    cp_graph_node node[CP_GRAPH_NODES];
    int n;
    cp_graph_column column[CP_GRAPH_COLUMNS]; /* of the layers: column k + 1 of the nodes */
    int n_columns;
    double edge[CP_GRAPH_NODES][CP_GRAPH_NODES]; /* [from][to]: contribution, with its sign */
} cp_graph;

/* Chooses the nodes. on_path, all: by channel (cp_model_channel_count), the sums of the magnitudes of the scores of the neurons
 * on the path, and of all; kept: neurons on the path. Where there are more layers with scores than columns, neighbours that
 * hold least stand below each other. most_nodes: at most CP_GRAPH_NODES. CP_EINPUT: nothing scores. */
cp_status cp_graph_choose(const cp_model *model, const double *on_path, const double *all, const size_t *kept,
                          int most_nodes, cp_graph *graph);
/* The same of two paths. on_path[k]: sums on path k; a node's score is the sum of both. Each column shows the channel that scores
 * most on the first path, that which does on the second, and so on in turn, so that neither path hides the other's. */
cp_status cp_graph_choose_two(const cp_model *model, const double *const on_path[2], const double *all, const size_t *kept,
                              int most_nodes, cp_graph *graph);
/* Adds the edges among its nodes. */
cp_status cp_graph_join(const cp_model *model, cp_edges *edges, cp_graph *graph);

#endif

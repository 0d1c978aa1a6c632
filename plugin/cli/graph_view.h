/* The parts of `graph`: what its nodes look like, where they stand, and the four files. */
#ifndef CP_CLI_GRAPH_VIEW_H
#define CP_CLI_GRAPH_VIEW_H

#include "cli/pathway.h"
#include "io/svg.h"
#include "path/pathway_graph.h"

/* One node as it is shown. */
typedef struct {
    char id[24];          /* "photo", "8:12" (layer and channel), "8:rest", "4-7:rest", "answer" */
    char label[48];       /* below the picture: "12  3.1%" */
    bool has_field;
    double field[4];      /* CHANNEL: what its best neuron can read, x, y, w, h in photo pixels */
    double effect;        /* sum of the edges that leave it */
    cp_picture picture;   /* rgb NULL: none */
    double tint;          /* of `compare`: -1 the first path's alone, 1 the second's; NAN otherwise */
    double x, y, w, h;    /* of the picture or the grey box, in the drawing */
} cp_graph_node_view;

typedef struct {
    const cp_session *session;
    const cp_item *item;          /* NULL: without a photo */
    const cp_subject *subject;    /* NULL: without an answer */
    cp_graph graph;
    cp_graph_node_view node[CP_GRAPH_NODES];
    char title[700], caption[700];
    char answer[200];             /* below the answer's picture */
    bool compares;                /* two paths: colours say whose a node is */
    double cutoff;                /* edges whose size is below it are not drawn */
    int drawn, edges;             /* edges drawn; edges there are */
} cp_graph_view;

/* Ids, labels, fields and pictures of the graph's nodes. score[N]: with or without signs. path: NULL or the path that nodes are of. */
cp_status cp_graph_view_make(cp_graph_view *view, const float *score, const cp_path *path);
void cp_graph_view_free(cp_graph_view *view);

/* Places the nodes and draws. NULL with the message set: out of memory. */
cp_svg *cp_graph_draw(cp_graph_view *view);

/* The node's layer, "8" or "4-7"; the column counts from 0. */
const char *cp_graph_layers(const cp_graph_view *view, int column, char text[32]);

/* Graphviz's language; atomic. */
cp_status cp_graph_write_dot(const cp_graph_view *view, const char *path);
/* Node-link data as NetworkX reads it; NULL: out of memory. */
json_t *cp_graph_json(const cp_graph_view *view);

#endif

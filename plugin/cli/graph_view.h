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
    bool second;          /* of -compare: the second path's more than the first's */
    size_t kept[2], both; /* of -compare: neurons on each path, on both */
    double x, y, w, h;    /* of the picture or the grey box, in the drawing */
} cp_graph_node_view;

/* What pictures are taken from. */
typedef struct {
    const cp_item *item;          /* NULL: there is no photo */
    const float *score;           /* (N), with or without signs */
    const cp_path *path;
} cp_graph_source;

typedef struct {
    const cp_session *session;
    cp_graph_source source[2];    /* the second of -compare */
    const cp_subject *subject;    /* whose box is drawn; NULL: none */
    cp_graph graph;
    cp_graph_node_view node[CP_GRAPH_NODES];
    char title[700], caption[700];
    char answer[200];             /* below the answer's picture */
    bool compares;                /* two paths: colours say whose a node or an edge is */
    bool by_neurons;              /* of -compare: shares are of the paths' neurons, not of scores */
    double edge[2][CP_GRAPH_NODES][CP_GRAPH_NODES]; /* of -compare: of each path; graph.edge then holds the sum of both, each as
                                     a share of its largest, without signs */
    double cutoff;                /* edges whose size is below it are not drawn */
    int drawn, edges;             /* edges drawn; edges there are */
} cp_graph_view;

/* Ids, labels, fields and pictures of the graph's nodes. */
cp_status cp_graph_view_make(cp_graph_view *view);
void cp_graph_view_free(cp_graph_view *view);

/* Places the nodes and draws. NULL with the message set: out of memory. */
cp_svg *cp_graph_draw(cp_graph_view *view);

/* The node's layer, "8" or "4-7"; the column counts from 0. */
const char *cp_graph_layers(const cp_graph_view *view, int column, char text[32]);

/* Of -compare: blue for an edge that is more of the first path, orange for one of the second, grey for one of both. */
cp_colour cp_graph_edge_colour(const cp_graph_view *view, int from, int to);

/* PREFIX.graph.png, .svg, .dot, .json. */
typedef struct {
    char png[4096], svg[4096], dot[4096], json[4096];
} cp_graph_names;
cp_status cp_graph_write(cp_graph_view *view, const cp_item *item, const char *tag, cp_graph_names *names);
/* Node-link data as NetworkX reads it; NULL: out of memory. */
json_t *cp_graph_json(const cp_graph_view *view);

#endif

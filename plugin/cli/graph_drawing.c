/* The drawing of a graph: columns from the photo to the answer, in each its nodes one below the other, so ordered that edges cross
 * little; edges as curves behind them. */
#include "cli/graph_view.h"
#include "io/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARGIN = 18, GAP = 50,         /* between columns */
    TITLE = 20, TEXT = 13, LINE = 16, LABEL = 12, LABEL_LINE = 15, BETWEEN = 12, /* sizes of text, and below a label */
    FRAME = 3, ANSWER_WIDTH = 170,
    MOST_EDGES = 220,
    COLUMNS = CP_GRAPH_COLUMNS + 2
};

static const double FAINT = .02; /* of the strongest edge: fainter ones are not drawn */
static const cp_colour black = {25, 25, 25}, grey = {110, 110, 110}, light = {205, 205, 205}, rule = {150, 150, 150};

typedef struct {
    int n, node[CP_GRAPH_NODES]; /* from top to bottom */
    double x, w, height;
    char head[2][64];
} column;

typedef struct {
    cp_graph_view *view;
    column column[COLUMNS];
    int n;
    double body, left_of_answer; /* height of the highest column */
    char answer[8][CP_TEXT_LINE];
    size_t answer_lines;
} layout;

/* ---------------------------------------------------------------- placing */

static const char *short_type(const char *type)
{
    return !strcmp(type, "convolutional") ? "conv" : !strcmp(type, "connected") ? "connected"
           : !strcmp(type, "shortcut") ? "add" : type;
}

static void name_column(layout *l, int k)
{
    const cp_graph_view *v = l->view;
    const cp_graph_column *c = &v->graph.column[k];
    int n;
    char range[32];
    const cp_neuron_layer *layers = cp_model_neuron_layers(v->session->model, &n);
    cp_graph_layers(v, k, range);
    if (c->first == c->last)
        snprintf(l->column[k + 1].head[0], sizeof l->column[0].head[0], "%s %s", range,
                 short_type(cp_model_layer(v->session->model, layers[c->first].layer)->type));
    else
        snprintf(l->column[k + 1].head[0], sizeof l->column[0].head[0], "%s", range);
    snprintf(l->column[k + 1].head[1], sizeof l->column[0].head[1], "%.3g%%%s", 100 * c->share,
             v->by_neurons ? " neurons" : "");
}

static double place_in_column(const layout *l, int node)
{
    const column *c = &l->column[l->view->graph.node[node].column];
    for (int k = 0; k < c->n; k++)
        if (c->node[k] == node)
            return (k + .5) / c->n;
    return .5;
}

/* Where the nodes on one side pull this one to. */
static double pull(const layout *l, int node, bool from_left)
{
    const cp_graph *g = &l->view->graph;
    double sum = 0, weight = 0;
    for (int k = 0; k < g->n; k++) {
        double e = fabs(from_left ? g->edge[k][node] : g->edge[node][k]);
        if (e > 0 && g->node[k].kind != CP_NODE_REST) {
            sum += e * place_in_column(l, k);
            weight += e;
        }
    }
    return weight > 0 ? sum / weight : place_in_column(l, node);
}

/* The rest stays below. */
static void order_column(layout *l, int k, bool from_left)
{
    column *c = &l->column[k];
    double key[CP_GRAPH_NODES];
    for (int i = 0; i < c->n; i++)
        key[i] = l->view->graph.node[c->node[i]].kind == CP_NODE_REST ? 2 : pull(l, c->node[i], from_left);
    for (int i = 1; i < c->n; i++)
        for (int j = i; j > 0 && key[j - 1] > key[j]; j--) {
            double key_swap = key[j];
            int swap = c->node[j];
            key[j] = key[j - 1], key[j - 1] = key_swap;
            c->node[j] = c->node[j - 1], c->node[j - 1] = swap;
        }
}

static void order(layout *l)
{
    for (int round = 0; round < 3; round++) {
        for (int k = 1; k < l->n - 1; k++)
            order_column(l, k, true);
        for (int k = l->n - 2; k > 0; k--)
            order_column(l, k, false);
    }
}

static double label_width(const char *label) { return *label ? cp_text_width(LABEL, label) : 0; }

/* Width and height of a column's nodes; the answer's texts stand below its picture. */
static void measure(layout *l, int k)
{
    column *c = &l->column[k];
    for (int h = 0; h < 2; h++)
        c->w = fmax(c->w, cp_text_width(TEXT, c->head[h]));
    for (int i = 0; i < c->n; i++) {
        const cp_graph_node_view *node = &l->view->node[c->node[i]];
        cp_node_kind kind = l->view->graph.node[c->node[i]].kind;
        bool end = kind == CP_NODE_PHOTO || kind == CP_NODE_ANSWER;
        c->w = fmax(c->w, fmax(node->w + (end ? 0 : 2 * FRAME), label_width(node->label)));
        c->height += node->h + (end ? 0 : 2 * FRAME + LABEL_LINE) + (i + 1 < c->n ? BETWEEN : 0);
        if (kind == CP_NODE_ANSWER) {
            c->w = fmax(c->w, ANSWER_WIDTH);
            c->height += 6 + (double)l->answer_lines * LINE;
        }
    }
    l->body = fmax(l->body, c->height);
}

static void place(layout *l, double top)
{
    double x = MARGIN;
    for (int k = 0; k < l->n; k++) {
        column *c = &l->column[k];
        double y = top + (l->body - c->height) / 2;
        c->x = x;
        for (int i = 0; i < c->n; i++) {
            cp_graph_node_view *node = &l->view->node[c->node[i]];
            cp_node_kind kind = l->view->graph.node[c->node[i]].kind;
            bool end = kind == CP_NODE_PHOTO || kind == CP_NODE_ANSWER;
            double frame = end ? 0 : FRAME;
            node->x = floor(x + (c->w - node->w) / 2);
            node->y = floor(y + frame);
            y += node->h + 2 * frame + (end ? 0 : LABEL_LINE) + BETWEEN;
        }
        x += c->w + GAP;
    }
}

static void lay_out(layout *l)
{
    cp_graph_view *v = l->view;
    l->n = v->graph.n_columns + 2;
    for (int i = 0; i < v->graph.n; i++) {
        column *c = &l->column[v->graph.node[i].column];
        c->node[c->n++] = i;
    }
    if (!v->source[0].item) { /* no photo: nothing to show there */
        l->column[0].n = 0;
        v->node[0].w = v->node[0].h = 0;
    }
    if (!v->node[v->graph.n - 1].picture.rgb)
        v->node[v->graph.n - 1].w = v->node[v->graph.n - 1].h = 0;
    if (!*v->answer)
        l->column[l->n - 1].n = 0;
    cp_text_wrap(TEXT, v->answer, ANSWER_WIDTH, l->answer, 8, &l->answer_lines);
    for (int k = 0; k < v->graph.n_columns; k++)
        name_column(l, k);
    order(l);
    for (int k = 0; k < l->n; k++)
        measure(l, k);
}

/* ---------------------------------------------------------------- drawing */

typedef struct {
    int from, to;
    double size;
} edge;

static int stronger(const void *a, const void *b)
{
    const edge *p = a, *q = b;
    if (p->size != q->size)
        return p->size < q->size ? 1 : -1;
    return p->from != q->from ? p->from - q->from : p->to - q->to;
}

/* What is drawn, and (view->cutoff) from which size on. Edges within a column are not. */
static size_t choose_edges(const layout *l, edge *edges)
{
    cp_graph_view *v = l->view;
    const cp_graph *g = &v->graph;
    size_t n = 0;
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->n; k++)
            if (g->edge[i][k] != 0 && g->node[i].column < g->node[k].column && l->column[g->node[i].column].n &&
                l->column[g->node[k].column].n)
                edges[n++] = (edge){i, k, fabs(g->edge[i][k])};
    qsort(edges, n, sizeof *edges, stronger);
    v->edges = (int)n;
    v->cutoff = n ? FAINT * edges[0].size : 0;
    size_t drawn = 0;
    while (drawn < n && drawn < MOST_EDGES && edges[drawn].size >= v->cutoff)
        drawn++;
    v->drawn = (int)drawn;
    if (drawn < n && drawn)
        v->cutoff = edges[drawn - 1].size;
    return drawn;
}

/* Of -compare: the first path's, of both, the second path's. */
static cp_colour colour_of_path(int side)
{
    static const cp_colour both = {70, 70, 70};
    return side ? cp_colour_signed(.85 * side) : both;
}

/* Of -compare: how much more of its path an edge is in the second than in the first, from -1 to 1. */
static double side_of_edge(const cp_graph_view *v, int from, int to)
{
    double share[2], most[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < v->graph.n; i++)
            for (int j = 0; j < v->graph.n; j++)
                most[k] = fmax(most[k], fabs(v->edge[k][i][j]));
        share[k] = most[k] > 0 ? fabs(v->edge[k][from][to]) / most[k] : 0;
    }
    return share[0] + share[1] > 0 ? (share[1] - share[0]) / (share[1] + share[0]) : 0;
}

cp_colour cp_graph_edge_colour(const cp_graph_view *v, int from, int to)
{
    double side = side_of_edge(v, from, to);
    return colour_of_path(side > .34 ? 1 : side < -.34 ? -1 : 0);
}

static void draw_edges(const layout *l, cp_svg *svg)
{
    const cp_graph_view *v = l->view;
    edge *edges = cp_alloc(CP_GRAPH_NODES * CP_GRAPH_NODES, sizeof *edges, "graph");
    if (!edges)
        return;
    size_t n = choose_edges(l, edges);
    for (size_t i = n; i-- > 0;) { /* the strongest on top */
        const edge *e = &edges[i];
        const cp_graph_node_view *from = &v->node[e->from], *to = &v->node[e->to];
        bool rest = v->graph.node[e->from].kind == CP_NODE_REST || v->graph.node[e->to].kind == CP_NODE_REST;
        double size = e->size / edges[0].size;
        cp_colour colour = v->compares ? cp_graph_edge_colour(v, e->from, e->to)
                                       : cp_colour_signed(v->graph.edge[e->from][e->to] > 0 ? .85 : -.85);
        bool answer = v->graph.node[e->to].kind == CP_NODE_ANSWER && !to->w; /* text alone begins at its column's left */
        double end = answer ? l->column[l->n - 1].x - 6 : to->x, down = answer ? 6 + (double)l->answer_lines * LINE / 2 : to->h / 2;
        cp_svg_curve(svg, from->x + from->w, from->y + from->h / 2, end, to->y + down, .8 + 9 * size,
                     colour, (rest ? .18 : .35) + .4 * size);
    }
    cp_free(edges);
}

/* From left to right the channel's neurons on the first path alone, on both, on the second alone. */
static void draw_split_frame(const cp_graph_node_view *node, cp_svg *svg)
{
    double of[3] = {(double)(node->kept[0] - node->both), (double)node->both, (double)(node->kept[1] - node->both)};
    double x = node->x - FRAME, w = node->w + 2 * FRAME, sum = of[0] + of[1] + of[2];
    for (int k = 0; k < 3 && sum > 0; k++) {
        cp_colour colour = colour_of_path(k - 1);
        if (of[k] > 0)
            cp_svg_rectangle(svg, x, node->y - FRAME, w * of[k] / sum, node->h + 2 * FRAME, &colour, NULL, 0);
        x += w * of[k] / sum;
    }
}

static void draw_node(const layout *l, int i, cp_svg *svg)
{
    const cp_graph_node_view *node = &l->view->node[i];
    cp_node_kind kind = l->view->graph.node[i].kind;
    double middle = node->x + node->w / 2;
    if (kind == CP_NODE_REST)
        cp_svg_rectangle(svg, node->x, node->y, node->w, node->h, &light, &rule, 1);
    else if (kind == CP_NODE_CHANNEL && l->view->compares)
        draw_split_frame(node, svg);
    else if (kind == CP_NODE_CHANNEL) {
        cp_colour frame = cp_colour_signed(node->effect >= 0 ? .85 : -.85);
        cp_svg_rectangle(svg, node->x - 2, node->y - 2, node->w + 4, node->h + 4, &frame, NULL, 0);
    }
    if (node->picture.rgb)
        cp_svg_picture(svg, node->x, node->y, &node->picture);
    else if (kind == CP_NODE_CHANNEL)
        cp_svg_rectangle(svg, node->x, node->y, node->w, node->h, &(cp_colour){245, 245, 245}, NULL, 0);
    if (*node->label)
        cp_svg_text(svg, middle - label_width(node->label) / 2, node->y + node->h + FRAME, LABEL,
                    kind == CP_NODE_REST ? grey : black, node->label);
    for (size_t k = 0; kind == CP_NODE_ANSWER && k < l->answer_lines; k++)
        cp_svg_text(svg, l->column[l->n - 1].x + (node->w ? (l->column[l->n - 1].w - cp_text_width(TEXT, l->answer[k])) / 2 : 0),
                    node->y + node->h + 6 + (double)k * LINE, TEXT, black, l->answer[k]);
}

static void draw_legend(const layout *l, double y, double width, cp_svg *svg)
{
    cp_graph_view *v = l->view;
    char text[900], lines[3][CP_TEXT_LINE];
    size_t n = 0;
    const char *names[2] = {v->compares ? "of the first path" : "speaks for",
                            v->compares ? "of the second path" : "speaks against"};
    double x = MARGIN, sign = v->compares ? -1 : 1;
    for (int k = 0; k < 2; k++) {
        cp_colour colour = cp_colour_signed(k ? -.85 * sign : .85 * sign);
        cp_svg_rectangle(svg, x, y + 2, 22, 10, &colour, NULL, 0);
        cp_svg_text(svg, x + 28, y - 1, TEXT, black, names[k]);
        x += 28 + cp_text_width(TEXT, names[k]) + 20;
    }
    if (v->compares) {
        cp_colour colour = colour_of_path(0);
        cp_svg_rectangle(svg, x, y + 2, 22, 10, &colour, NULL, 0);
        cp_svg_text(svg, x + 28, y - 1, TEXT, black, "of both");
        x += 28 + cp_text_width(TEXT, "of both") + 20;
    }
    cp_svg_rectangle(svg, x, y + 2, 22, 10, &light, &rule, 1);
    cp_svg_text(svg, x + 28, y - 1, TEXT, black, "the layer's other channels together");
    snprintf(text, sizeof text, "%s", v->caption);
    if (v->edges)
        snprintf(text + strlen(text), sizeof text - strlen(text), " %d of %d edges are drawn, those from %.2g on.", v->drawn,
                 v->edges, v->cutoff);
    cp_text_wrap(TEXT, text, width - 2 * MARGIN, lines, 3, &n);
    for (size_t k = 0; k < n; k++)
        cp_svg_text(svg, MARGIN, y + 18 + (double)k * LINE, TEXT, grey, lines[k]);
}

cp_svg *cp_graph_draw(cp_graph_view *v)
{
    enum { LEAST_WIDTH = 760 };
    layout l = {.view = v};
    char title[CP_TEXT_LINE];
    double head = MARGIN + TITLE + 12, top = head + 2 * LINE + 10;
    lay_out(&l);
    place(&l, top);
    double width = fmax(LEAST_WIDTH, l.column[l.n - 1].x + l.column[l.n - 1].w + MARGIN), legend = top + l.body + 22;
    cp_svg *svg = cp_svg_new((int)ceil(width), (int)ceil(legend + 18 + 3 * LINE + MARGIN / 2.));
    if (!svg)
        return NULL;
    cp_svg_text(svg, MARGIN, MARGIN, TITLE, black, cp_text_fit(TITLE, v->title, width - 2 * MARGIN, title, sizeof title));
    for (int k = 0; k < l.n; k++)
        for (int h = 0; h < 2; h++)
            if (*l.column[k].head[h])
                cp_svg_text(svg, l.column[k].x + (l.column[k].w - cp_text_width(TEXT, l.column[k].head[h])) / 2,
                            head + (double)h * LINE, TEXT, h ? grey : black, l.column[k].head[h]);
    draw_edges(&l, svg);
    for (int k = 0; k < l.n; k++)
        for (int i = 0; i < l.column[k].n; i++)
            draw_node(&l, l.column[k].node[i], svg);
    draw_legend(&l, legend, width, svg);
    return svg;
}

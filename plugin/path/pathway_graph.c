#include "path/pathway_graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/error.h"

/* ---------------------------------------------------------------- columns */

static double layer_sum(const cp_model *model, int position, const double *all)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    size_t first = cp_model_channel_offset(model, position);
    double sum = 0;
    for (size_t c = 0; c < layers[position].c; c++)
        sum += all[first + c];
    return sum;
}

/* Takes the two neighbours that hold least together for one. */
static int merge_least(cp_graph_column *column, int n)
{
    int least = 0;
    for (int k = 1; k + 1 < n; k++)
        if (column[k].share + column[k + 1].share < column[least].share + column[least + 1].share)
            least = k;
    column[least].last = column[least + 1].last;
    column[least].share += column[least + 1].share;
    memmove(column + least + 1, column + least + 2, (size_t)(n - least - 2) * sizeof *column);
    return n - 1;
}

static cp_status make_columns(const cp_model *model, const double *all, int most, cp_graph *g)
{
    int n, used = 0;
    double total = 0;
    cp_model_neuron_layers(model, &n);
    cp_graph_column *column = cp_alloc((size_t)n + 1, sizeof *column, "graph");
    if (!column)
        return CP_ERESOURCE;
    for (int l = 0; l < n; l++) {
        double sum = layer_sum(model, l, all);
        if (sum > 0)
            column[used++] = (cp_graph_column){l, l, sum};
        total += sum;
    }
    for (int k = 0; k < used; k++)
        column[k].share /= total;
    while (used > most)
        used = merge_least(column, used);
    g->n_columns = used;
    memcpy(g->column, column, (size_t)used * sizeof *column);
    cp_free(column);
    return used ? CP_OK : cp_fail(CP_EINPUT, "graph: no neuron scores above zero");
}

/* ---------------------------------------------------------------- nodes */

typedef struct {
    int column, position;
    size_t channel;
    double score, share; /* of its column */
} candidate;

/* What nodes are chosen by: the sums of one path or of two, by channel. */
typedef struct {
    const double *const *on_path;
    int paths;
    const size_t *kept;
} source;

static int compare(const void *a, const void *b)
{
    const candidate *p = a, *q = b;
    if (p->share != q->share)
        return p->share < q->share ? 1 : -1;
    if (p->position != q->position)
        return p->position - q->position;
    return p->channel < q->channel ? -1 : 1;
}

/* All channels on the path, those first that hold most of their column. */
static size_t list_candidates(const cp_model *model, const double *on_path, const cp_graph *g, double total, candidate *list)
{
    int layers;
    const cp_neuron_layer *layer = cp_model_neuron_layers(model, &layers);
    size_t n = 0;
    for (int k = 0; k < g->n_columns; k++)
        for (int l = g->column[k].first; l <= g->column[k].last; l++)
            for (size_t c = 0; c < layer[l].c; c++) {
                double score = on_path[cp_model_channel_offset(model, l) + c];
                if (score > 0)
                    list[n++] = (candidate){k, l, c, score, score / (g->column[k].share * total)};
            }
    qsort(list, n, sizeof *list, compare);
    return n;
}

static void take(const cp_model *model, const candidate *from, const source *of, double total, cp_graph *g)
{
    size_t at = cp_model_channel_offset(model, from->position) + from->channel;
    double score = 0;
    for (int k = 0; k < of->paths; k++)
        score += of->on_path[k][at];
    g->node[g->n++] = (cp_graph_node){.kind = CP_NODE_CHANNEL, .column = from->column + 1, .position = from->position,
                                      .channel = from->channel, .members = 1, .score = score, .share = score / total,
                                      .kept = of->kept[at]};
}

static bool is_taken(const cp_graph *g, const candidate *c)
{
    for (int i = 0; i < g->n; i++)
        if (g->node[i].kind == CP_NODE_CHANNEL && g->node[i].position == c->position && g->node[i].channel == c->channel)
            return true;
    return false;
}

static const double LITTLE = .01; /* of its column: a channel that holds less is one of the rest */

/* The best of each column that is not taken yet. least: what holds less of its column is left out. */
static void take_best(const cp_model *model, const candidate *list, size_t n, const source *of, double total, double least,
                      int *room, cp_graph *g)
{
    bool seen[CP_GRAPH_COLUMNS] = {false};
    for (size_t i = 0; i < n && *room > 0; i++) {
        if (seen[list[i].column] || is_taken(g, &list[i]))
            continue;
        seen[list[i].column] = true;
        if (list[i].share < least)
            continue;
        take(model, &list[i], of, total, g);
        --*room;
    }
}

/* The best of each column, then the second of each, as long as there is room; of two paths in turn. The best of a path is shown
 * however little it holds, and the second too where there are two: where paths differ a channel holds little of both. */
static cp_status take_channels(const cp_model *model, const source *of, double total, int room, cp_graph *g)
{
    candidate *list[2] = {NULL, NULL};
    size_t n[2];
    cp_status status = CP_OK;
    for (int k = 0; k < of->paths && !status; k++) {
        list[k] = cp_alloc(cp_model_channel_count(model), sizeof *list[k], "graph");
        if (list[k])
            n[k] = list_candidates(model, of->on_path[k], g, total, list[k]);
        else
            status = CP_ERESOURCE;
    }
    for (int round = 0; round < CP_GRAPH_PER_COLUMN && !status; round++) {
        int k = round % of->paths;
        take_best(model, list[k], n[k], of, total, round / of->paths < of->paths ? 0 : LITTLE, &room, g);
    }
    for (int k = 0; k < of->paths; k++)
        cp_free(list[k]);
    return status;
}

/* What a column has besides its nodes, unless that is nothing. */
static void take_rest(const cp_model *model, const double *all, double total, int k, cp_graph *g)
{
    int layers;
    const cp_neuron_layer *layer = cp_model_neuron_layers(model, &layers);
    cp_graph_node rest = {.kind = CP_NODE_REST, .column = k + 1};
    bool whole = true;
    double shown = 0, sum = 0;
    for (int l = g->column[k].first; l <= g->column[k].last; l++)
        for (size_t c = 0; c < layer[l].c; c++) {
            sum += all[cp_model_channel_offset(model, l) + c];
            rest.members += all[cp_model_channel_offset(model, l) + c] > 0;
        }
    for (int i = 0; i < g->n; i++)
        if (g->node[i].kind == CP_NODE_CHANNEL && g->node[i].column == k + 1) {
            size_t at = cp_model_channel_offset(model, g->node[i].position) + g->node[i].channel;
            whole &= all[at] <= g->node[i].score;
            shown += g->node[i].score;
            rest.members--;
        }
    rest.score = fmax(0, sum - shown);
    rest.share = rest.score / total;
    if (rest.members || !whole)
        g->node[g->n++] = rest;
}

static cp_status choose(const cp_model *model, const source *of, const double *all, int most_nodes, cp_graph *g)
{
    double total = 0;
    memset(g, 0, sizeof *g);
    most_nodes = most_nodes < CP_GRAPH_NODES ? most_nodes : CP_GRAPH_NODES;
    for (size_t c = 0; c < cp_model_channel_count(model); c++)
        total += all[c];
    int columns = (most_nodes - 2) / 2 < CP_GRAPH_COLUMNS ? (most_nodes - 2) / 2 : CP_GRAPH_COLUMNS;
    cp_status status = columns > 0 ? make_columns(model, all, columns, g)
                                   : cp_fail(CP_EINPUT, "graph: %d nodes, at least 4 are needed", most_nodes);
    if (status)
        return status;
    g->node[g->n++] = (cp_graph_node){.kind = CP_NODE_PHOTO};
    status = take_channels(model, of, total, most_nodes - 2 - g->n_columns, g);
    for (int k = 0; k < g->n_columns; k++)
        take_rest(model, all, total, k, g);
    g->node[g->n++] = (cp_graph_node){.kind = CP_NODE_ANSWER, .column = g->n_columns + 1};
    return status;
}

cp_status cp_graph_choose(const cp_model *model, const double *on_path, const double *all, const size_t *kept,
                          int most_nodes, cp_graph *g)
{
    return choose(model, &(source){&on_path, 1, kept}, all, most_nodes, g);
}

cp_status cp_graph_choose_two(const cp_model *model, const double *const on_path[2], const double *all, const size_t *kept,
                              int most_nodes, cp_graph *g)
{
    return choose(model, &(source){on_path, 2, kept}, all, most_nodes, g);
}

/* ---------------------------------------------------------------- edges */

/* Which node stands for a channel: its own or the rest of its column; -1: none does. */
static int node_of(const cp_graph *g, int position, size_t channel)
{
    int rest = -1;
    for (int i = 0; i < g->n; i++) {
        const cp_graph_node *node = &g->node[i];
        if (node->kind == CP_NODE_CHANNEL && node->position == position && node->channel == channel)
            return i;
        if (node->kind == CP_NODE_REST && g->column[node->column - 1].first <= position &&
            position <= g->column[node->column - 1].last)
            rest = i;
    }
    return rest;
}

/* factor times what a row holds, to the edges into node `to`. of: by channel, its node. */
static void add_row(const cp_model *model, const double *row, size_t width, const int *of, double factor, int to, cp_graph *g)
{
    size_t channels = cp_model_channel_count(model);
    for (size_t c = 0; c < width; c++) {
        int from = c < channels ? of[c] : 0; /* the photo is the first node */
        if (from >= 0 && row[c] != 0)
            g->edge[from][to] += factor * row[c];
    }
}

/* Of a reader: its channels with nodes, and (-1) all of it, of which the rest is what is left. */
static cp_status join_reader(const cp_model *model, cp_edges *edges, int reader, const int *of, double *rows, cp_graph *g)
{
    int channel[CP_GRAPH_NODES], node[CP_GRAPH_NODES], n = 1, rest = g->n - 1, sources;
    size_t width = cp_edges_row(edges);
    cp_edges_sources(edges, reader, &sources);
    if (!sources)
        return CP_OK;
    channel[0] = -1;
    if (reader < cp_edges_response(edges)) {
        rest = node_of(g, reader, SIZE_MAX);
        for (int i = 0; i < g->n; i++)
            if (g->node[i].kind == CP_NODE_CHANNEL && g->node[i].position == reader) {
                channel[n] = (int)g->node[i].channel;
                node[n++] = i;
            }
    }
    cp_status status = cp_edges_to_channels(edges, reader, channel, n, rows);
    for (int k = 1; k < n && !status; k++) {
        add_row(model, rows + (size_t)k * width, width, of, 1, node[k], g);
        if (rest >= 0)
            add_row(model, rows + (size_t)k * width, width, of, -1, rest, g);
    }
    if (!status && rest >= 0)
        add_row(model, rows, width, of, 1, rest, g);
    return status;
}

cp_status cp_graph_join(const cp_model *model, cp_edges *edges, cp_graph *g)
{
    int layers;
    const cp_neuron_layer *layer = cp_model_neuron_layers(model, &layers);
    int *of = cp_alloc(cp_model_channel_count(model), sizeof *of, "graph");
    double *rows = cp_alloc(CP_GRAPH_NODES * cp_edges_row(edges), sizeof *rows, "graph");
    cp_status status = of && rows ? CP_OK : CP_ERESOURCE;
    for (int l = 0; l < layers && !status; l++)
        for (size_t c = 0; c < layer[l].c; c++)
            of[cp_model_channel_offset(model, l) + c] = node_of(g, l, c);
    for (int r = 0; r <= layers && !status; r++)
        status = join_reader(model, edges, r, of, rows, g);
    for (int i = 0; i < g->n; i++)
        g->edge[i][i] = 0; /* within the rest of a column */
    cp_free(of);
    cp_free(rows);
    return status;
}

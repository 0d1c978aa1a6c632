/* A graph for other programs: Graphviz's language, and node-link data as JSON. */
#include "cli/graph_view.h"
#include "cli/output_path.h"
#include "io/atomic.h"
#include "io/error.h"

#include <math.h>
#include <string.h>

static const char *const kinds[] = {"photo", "channel", "rest", "answer"};

static void write_quoted(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        fputc(*text == '\n' ? ' ' : *text, to);
    }
    fputc('"', to);
}

static const char *edge_colour(const cp_graph_view *v, int from, int to, char text[8])
{
    if (!v->compares)
        return v->graph.edge[from][to] > 0 ? "#d55e00" : "#0072b2";
    cp_colour c = cp_graph_edge_colour(v, from, to);
    snprintf(text, 8, "#%02x%02x%02x", c.r, c.g, c.b);
    return text;
}

static cp_status write_dot(const cp_graph_view *v, const char *path)
{
    const cp_graph *g = &v->graph;
    cp_file *file;
    double most = 0;
    char colour[8];
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fputs("digraph pathway {\n  rankdir=LR;\n  label=", to);
    write_quoted(to, v->title);
    fputs(";\n  node [shape=box, style=filled, fillcolor=white];\n", to);
    for (int i = 0; i < g->n; i++) {
        fputs("  ", to);
        write_quoted(to, v->node[i].id);
        fputs(" [label=", to);
        write_quoted(to, g->node[i].kind == CP_NODE_PHOTO ? "photo" : g->node[i].kind == CP_NODE_ANSWER ? v->answer
                                                                                                  : v->node[i].label);
        fprintf(to, ", share=%.6g%s];\n", g->node[i].share, g->node[i].kind == CP_NODE_REST ? ", fillcolor=lightgrey" : "");
        for (int k = 0; k < g->n; k++)
            most = fmax(most, fabs(g->edge[i][k]));
    }
    for (int column = 1; column <= g->n_columns; column++) {
        fputs("  { rank=same;", to);
        for (int i = 0; i < g->n; i++)
            if (g->node[i].column == column) {
                fputc(' ', to);
                write_quoted(to, v->node[i].id);
                fputc(';', to);
            }
        fputs(" }\n", to);
    }
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->n; k++) {
            double e = g->edge[i][k];
            if (e == 0 || fabs(e) < v->cutoff)
                continue;
            fputs("  ", to);
            write_quoted(to, v->node[i].id);
            fputs(" -> ", to);
            write_quoted(to, v->node[k].id);
            fprintf(to, " [contribution=%.6g, penwidth=%.2f, color=\"%s\"];\n", e, .5 + 5 * fabs(e) / most,
                    edge_colour(v, i, k, colour));
        }
    fputs("}\n", to);
    return cp_file_commit(&file);
}

static json_t *node_json(const cp_graph_view *v, int i)
{
    const cp_graph_node *node = &v->graph.node[i];
    const cp_graph_node_view *view = &v->node[i];
    int n, bad;
    const cp_neuron_layer *layers = cp_model_neuron_layers(v->session->model, &n);
    json_t *object = json_object();
    bad = cp_json_set(object, "id", cp_json_text(view->id));
    bad |= cp_json_set(object, "kind", cp_json_text(kinds[node->kind]));
    bad |= cp_json_set(object, "column", json_integer(node->column));
    if (node->kind == CP_NODE_CHANNEL) {
        bad |= cp_json_set(object, "layer", json_integer(layers[node->position].layer));
        bad |= cp_json_set(object, "channel", json_integer((json_int_t)node->channel));
        bad |= cp_json_set(object, "kept", json_integer((json_int_t)node->kept));
        bad |= cp_json_set(object, "neurons",
                           json_integer((json_int_t)(layers[node->position].h * layers[node->position].w)));
        if (view->has_field)
            bad |= cp_json_set(object, "field", json_pack("[f,f,f,f]", view->field[0], view->field[1], view->field[2],
                                                          view->field[3]));
    } else if (node->kind == CP_NODE_REST) {
        const cp_graph_column *c = &v->graph.column[node->column - 1];
        bad |= cp_json_set(object, "first_layer", json_integer(layers[c->first].layer));
        bad |= cp_json_set(object, "last_layer", json_integer(layers[c->last].layer));
        bad |= cp_json_set(object, "channels", json_integer((json_int_t)node->members));
    }
    bad |= cp_json_set(object, "score", cp_json_real(node->score));
    bad |= cp_json_set(object, "share", cp_json_real(node->share));
    bad |= cp_json_set(object, "effect", cp_json_real(view->effect));
    if (v->compares && node->kind == CP_NODE_CHANNEL)
        bad |= cp_json_set(object, "paths", json_pack("{s:I,s:I,s:I}", "first", (json_int_t)view->kept[0], "second",
                                                      (json_int_t)view->kept[1], "both", (json_int_t)view->both));
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *link_json(const cp_graph_view *v, int from, int to)
{
    if (!v->compares)
        return json_pack("{s:s,s:s,s:f}", "source", v->node[from].id, "target", v->node[to].id, "contribution",
                         v->graph.edge[from][to]);
    return json_pack("{s:s,s:s,s:f,s:f}", "source", v->node[from].id, "target", v->node[to].id, "first",
                     v->edge[0][from][to], "second", v->edge[1][from][to]);
}

json_t *cp_graph_json(const cp_graph_view *v)
{
    const cp_graph *g = &v->graph;
    json_t *object = json_object(), *about = json_object(), *nodes = json_array(), *links = json_array();
    int bad = cp_json_set(about, "title", cp_json_text(v->title));
    bad |= cp_json_set(about, "weighed_by", cp_json_text(v->by_neurons ? "neurons" : "score"));
    if (v->subject) {
        bad |= cp_json_set(about, "response", cp_json_text(v->subject->response.text));
        bad |= cp_json_set(about, "value", cp_json_real(cp_frame_response(v->session->frame, 0, &v->subject->response)));
    }
    for (int i = 0; i < g->n; i++)
        bad |= cp_json_append(nodes, node_json(v, i));
    for (int i = 0; i < g->n; i++)
        for (int k = 0; k < g->n; k++)
            if (g->edge[i][k] != 0)
                bad |= cp_json_append(links, link_json(v, i, k));
    bad |= cp_json_set(object, "directed", json_true());
    bad |= cp_json_set(object, "multigraph", json_false());
    bad |= cp_json_set(object, "graph", about);
    bad |= cp_json_set(object, "nodes", nodes);
    bad |= cp_json_set(object, "links", links);
    if (!bad)
        return object;
    json_decref(object);
    return NULL;
}

cp_status cp_graph_write(cp_graph_view *v, const cp_item *item, const char *tag, cp_graph_names *n)
{
    static const char *const ending[] = {".graph.png", ".graph.svg", ".graph.dot", ".graph.json"};
    char *to[] = {n->png, n->svg, n->dot, n->json};
    cp_picture picture = {0};
    cp_status status = CP_OK;
    for (int k = 0; k < 4 && !status; k++)
        status = cp_output_path(v->session, item, tag, ending[k], to[k]);
    cp_svg *svg = status ? NULL : cp_graph_draw(v);
    if (!status && !svg)
        status = CP_ERESOURCE;
    if (!status)
        status = cp_svg_paint(svg, &picture);
    if (!status)
        status = cp_picture_write_png(&picture, n->png);
    if (!status)
        status = cp_svg_write(svg, n->svg);
    if (!status)
        status = write_dot(v, n->dot);
    json_t *json = status ? NULL : cp_graph_json(v);
    if (!status)
        status = json ? cp_json_write_file(json, n->json) : CP_ERESOURCE;
    json_decref(json);
    cp_picture_free(&picture);
    cp_svg_free(svg);
    return status;
}

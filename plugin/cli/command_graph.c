/* `graph`: the pathway drawn, layers from the photo to the answer. */
#include "cli/commands.h"
#include "cli/graph_compare.h"
#include "cli/graph_view.h"
#include "cli/output_path.h"
#include "cli/prediction_text.h"
#include "cli/run_images.h"
#include "cli/summary.h"
#include "io/error.h"

#include <math.h>
#include <string.h>

/* Sums by channel: magnitudes of all scores and of those on the path, and how many neurons that holds. */
static cp_status sum_channels(const cp_model *model, const float *score, const cp_path *path, double *all, double *on_path,
                              size_t *kept)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++) {
        size_t plane = layers[l].h * layers[l].w, channel = cp_model_channel_offset(model, l);
        for (size_t i = 0; i < layers[l].count; i++) {
            size_t c = channel + i / plane;
            double s = fabs((double)score[layers[l].offset + i]);
            bool on = cp_path_get(path, layers[l].offset + i);
            all[c] += s;
            on_path[c] += on ? s : 0;
            kept[c] += on;
        }
    }
    return CP_OK;
}

static cp_status choose_nodes(const cp_session *s, const float *score, const cp_path *path, cp_graph *graph)
{
    size_t channels = cp_model_channel_count(s->model);
    double *all = cp_alloc(channels, sizeof *all, "graph"), *on_path = cp_alloc(channels, sizeof *on_path, "graph");
    size_t *kept = cp_alloc(channels, sizeof *kept, "graph");
    cp_status status = all && on_path && kept ? sum_channels(s->model, score, path, all, on_path, kept) : CP_ERESOURCE;
    if (!status)
        status = cp_graph_choose(s->model, on_path, all, kept, s->options->nodes, graph);
    cp_free(all);
    cp_free(on_path);
    cp_free(kept);
    return status;
}

static cp_status join_nodes(const cp_session *s, const cp_response *response, const cp_path *path, cp_graph *graph)
{
    cp_edges *edges;
    cp_status status = cp_edges_open(s->frame, 0, response, s->options->restricted ? path : NULL, s->options->mem, &edges);
    if (!status)
        status = cp_graph_join(s->model, edges, graph);
    cp_edges_free(edges);
    return status;
}

static void print_graph(const cp_graph_view *v, const cp_graph_names *n)
{
    FILE *to = v->session->out;
    const cp_graph *g = &v->graph;
    char range[32];
    fprintf(to, "graph: %d nodes in %d columns, %d edges\n", g->n, g->n_columns, v->edges);
    fprintf(to, "  %-8s %8s  channels by their share of the score\n", "layer", "share");
    for (int k = 0; k < g->n_columns; k++) {
        fprintf(to, "  %-8s %7.2f%%  ", cp_graph_layers(v, k, range), 100 * g->column[k].share);
        for (int i = 0; i < g->n; i++)
            if (g->node[i].kind == CP_NODE_CHANNEL && g->node[i].column == k + 1)
                fprintf(to, "%s (%.2f%%) ", strchr(v->node[i].id, ':') + 1, 100 * g->node[i].share);
        for (int i = 0; i < g->n; i++)
            if (g->node[i].kind == CP_NODE_REST && g->node[i].column == k + 1)
                fprintf(to, "and %zu others (%.2f%%)", g->node[i].members, 100 * g->node[i].share);
        fputc('\n', to);
    }
    fputs("files:", to);
    const char *const all[] = {n->png, n->svg, n->dot, n->json};
    for (int k = 0; k < 4; k++) {
        fputc(' ', to);
        cp_print_name(to, all[k]);
    }
    fputc('\n', to);
}

static cp_status report(const cp_session *s, const cp_item *item, const cp_graph_view *view, const cp_graph_names *n)
{
    if (!s->options->json) {
        print_graph(view, n);
        return CP_OK;
    }
    json_t *object = cp_item_json(s, item);
    int bad = cp_json_set(object, "graph", cp_graph_json(view));
    bad |= cp_json_set(object, "files", json_pack("{s:s,s:s,s:s,s:s}", "picture", n->png, "svg", n->svg, "dot", n->dot, "json",
                                                  n->json));
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, s->out);
    json_decref(object);
    return status;
}

static void fill_texts(cp_graph_view *v, const cp_pathway *pathway)
{
    const cp_session *s = v->session;
    char kept[32], all[32], reached[120];
    double value = cp_frame_response(s->frame, 0, &v->subject->response);
    snprintf(v->title, sizeof v->title, "%s: the pathway of %s", v->subject->label, v->subject->response.text);
    snprintf(v->answer, sizeof v->answer, "%s (%.4g)", v->subject->label, value);
    snprintf(v->caption, sizeof v->caption,
             "Path: %s, %s of %s neurons, %s. Below a picture: channel, share of the network's score; all add up to 100%%. Pictures: what "
             "the channel's best neuron reads, lit where the channel scores. Edges: activation times gradient%s.",
             s->options->method, cp_grouped(pathway->selection.kept, kept), cp_grouped(cp_model_neuron_count(s->model), all),
             cp_reached_text(s, pathway, reached), s->options->restricted ? ", along the path" : "");
}

static cp_status graph_pathway(cp_session *s, const cp_item *item, const cp_subject *subject, const cp_pathways *pathways,
                               const cp_pathway *pathway)
{
    const float *score;
    char tag[64];
    cp_graph_names n;
    cp_graph_view *view = cp_alloc(1, sizeof *view, "graph");
    if (!view)
        return CP_ERESOURCE;
    *view = (cp_graph_view){.session = s, .source = {{item, NULL, pathway->path}}, .subject = subject};
    snprintf(tag, sizeof tag, "%s%s", subject->tag, pathway->tag);
    fill_texts(view, pathway);
    cp_status status = cp_scores_array(pathways->scores, &score);
    if (!status)
        view->source[0].score = score;
    if (!status)
        status = choose_nodes(s, score, pathway->path, &view->graph);
    if (!status)
        status = join_nodes(s, &subject->response, pathway->path, &view->graph);
    if (!status)
        status = cp_graph_view_make(view);
    if (!status)
        status = cp_graph_write(view, item, tag, &n);
    if (!status)
        status = report(s, item, view, &n);
    cp_graph_view_free(view);
    cp_free(view);
    return status;
}

static cp_status graph_subject(cp_session *s, cp_item *item, const cp_subject *subject)
{
    cp_pathways pathways;
    cp_status status = cp_pathways_find(s, item, &subject->response, false, &pathways);
    if (!status && !s->options->json)
        fprintf(s->out, "response: %s = %.6g\n", subject->response.text, cp_frame_response(s->frame, 0, &subject->response));
    for (int k = 0; k < pathways.n && !status; k++)
        status = graph_pathway(s, item, subject, &pathways, &pathways.pathway[k]);
    cp_pathways_free(&pathways);
    return status;
}

static cp_status graph_image(cp_session *s, cp_item *item, void *user)
{
    return cp_each_subject(s, item, user, graph_subject);
}

cp_status cp_run_graph(const cp_command *command, const cp_options *options)
{
    return options->compare ? cp_graph_compare(command, options) : cp_run_on_images(command, options, graph_image);
}

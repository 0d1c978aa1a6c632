/* Two paths as one graph: nodes are the best channels of each, weighed by score where there is a photo and by neurons where there
 * are files alone; edges the contributions to the answer of each, found in the photo that it was found in. */
#include "cli/graph_compare.h"

#include "cli/graph_view.h"
#include "cli/output_path.h"
#include "cli/run_images.h"
#include "cli/walk.h"
#include "io/error.h"
#include "io/file.h"
#include "path/path_file.h"
#include "score/score.h"

#include <math.h>
#include <string.h>

typedef struct {
    const char *file;
    cp_path *path;
    cp_file_meta meta;
    cp_item item;      /* a copy of what was visited, with a copy of the photo; path NULL: no photo */
    float *score;      /* of meta.response in that photo, with signs; NULL: none */
    double value;
} side;

typedef struct {
    side side[2];
    cp_graph_view *view;
    int photos;        /* 0, 1: of both, 2: one each */
    bool scores;       /* channels are weighed by score; else by the neurons of the paths */
    size_t *kept[2], *both; /* by channel: neurons */
    double *own[2], *all;   /* by channel: weights on each path, and on and off both; `all` sums to 1 */
} job;

/* ---------------------------------------------------------------- the paths */

static cp_status read_arguments(cp_session *s, job *j)
{
    int files = 0, photos = 0;
    cp_status status = CP_OK;
    for (int i = 0; i < s->n_images && !status; i++) {
        if (!cp_ends_with(s->images[i], ".npz")) {
            s->images[photos++] = s->images[i];
            continue;
        }
        if (files == 2)
            return cp_fail(CP_EINPUT, "graph -compare: more than two path files, the third is \"%.200s\"", s->images[i]);
        side *one = &j->side[files++];
        one->file = s->images[i];
        status = cp_path_read(one->file, s->model, NULL, &one->path, &one->meta);
    }
    if (!status && files < 2)
        status = cp_fail(CP_EINPUT, "graph -compare: %d path file%s, two are compared", files, files == 1 ? "" : "s");
    if (!status && photos > 2)
        status = cp_fail(CP_EINPUT, "graph -compare: %d photos; there is none, one for both paths, or one for each", photos);
    for (int k = 0; k < 2 && !status; k++)
        if (!cp_path_count(j->side[k].path))
            status = cp_fail(CP_EINPUT, "graph -compare: %s holds no neuron", j->side[k].file);
    j->photos = s->n_images = photos;
    return status;
}

static void count_channels(const cp_model *model, job *j)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (int l = 0; l < n; l++)
        for (size_t i = 0; i < layers[l].count; i++) {
            size_t c = cp_model_channel_offset(model, l) + i / (layers[l].h * layers[l].w);
            bool a = cp_path_get(j->side[0].path, layers[l].offset + i), b = cp_path_get(j->side[1].path, layers[l].offset + i);
            j->kept[0][c] += a;
            j->kept[1][c] += b;
            j->both[c] += a && b;
        }
}

static cp_status make_arrays(const cp_model *model, job *j)
{
    size_t channels = cp_model_channel_count(model);
    for (int k = 0; k < 2; k++) {
        j->kept[k] = cp_alloc(channels, sizeof *j->kept[k], "graph");
        j->own[k] = cp_alloc(channels, sizeof *j->own[k], "graph");
    }
    j->both = cp_alloc(channels, sizeof *j->both, "graph");
    j->all = cp_alloc(channels, sizeof *j->all, "graph");
    return j->kept[0] && j->kept[1] && j->own[0] && j->own[1] && j->both && j->all ? CP_OK : CP_ERESOURCE;
}

/* Each path's answer counts for half, by the magnitudes of its scores. */
static void weigh_scores(const cp_model *model, job *j, int k)
{
    int n;
    double total = 0;
    const float *score = j->side[k].score;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    for (size_t i = 0; i < cp_model_neuron_count(model); i++)
        total += fabs((double)score[i]);
    for (int l = 0; l < n && total > 0; l++)
        for (size_t i = 0; i < layers[l].count; i++) {
            size_t c = cp_model_channel_offset(model, l) + i / (layers[l].h * layers[l].w);
            double weight = .5 * fabs((double)score[layers[l].offset + i]) / total;
            j->own[k][c] += cp_path_get(j->side[k].path, layers[l].offset + i) ? weight : 0;
            j->all[c] += weight;
        }
}

/* Each path counts for half, by its neurons. */
static void weigh_neurons(const cp_model *model, job *j, int k)
{
    for (size_t c = 0; c < cp_model_channel_count(model); c++) {
        j->own[k][c] = .5 * (double)j->kept[k][c] / (double)cp_path_count(j->side[k].path);
        j->all[c] += j->own[k][c];
    }
}

static cp_status choose_nodes(const cp_session *s, job *j)
{
    int n;
    cp_graph *g = &j->view->graph;
    cp_status status = make_arrays(s->model, j);
    if (status)
        return status;
    count_channels(s->model, j);
    for (int k = 0; k < 2; k++)
        (j->scores ? weigh_scores : weigh_neurons)(s->model, j, k);
    status = cp_graph_choose_two(s->model, (const double *const[]){j->own[0], j->own[1]}, j->all, j->kept[0], s->options->nodes,
                                 g);
    cp_model_neuron_layers(s->model, &n);
    for (int i = 0; i < g->n && !status; i++) {
        if (g->node[i].kind != CP_NODE_CHANNEL)
            continue;
        cp_graph_node_view *view = &j->view->node[i];
        size_t c = cp_model_channel_offset(s->model, g->node[i].position) + g->node[i].channel;
        for (int k = 0; k < 2; k++)
            view->kept[k] = j->kept[k][c];
        view->both = j->both[c];
        view->second = j->own[1][c] > j->own[0][c];
    }
    return status;
}

/* ---------------------------------------------------------------- the photos */

static cp_status copy_item(const cp_item *item, cp_item *copy)
{
    *copy = *item;
    copy->photo = (cp_picture){0};
    cp_status status = cp_picture_new(item->photo.w, item->photo.h, &copy->photo);
    if (!status)
        memcpy(copy->photo.rgb, item->photo.rgb, 3 * (size_t)item->photo.w * (size_t)item->photo.h);
    return status;
}

static cp_status score_side(cp_session *s, const cp_item *item, job *j, int k)
{
    side *one = &j->side[k];
    if (*one->meta.input_sha256 && strcmp(one->meta.input_sha256, item->input_sha256))
        return cp_fail(CP_EINPUT,
                       "graph -compare: the path in %.200s was not found on %.200s: its network input is %.12s..., that of this "
                       "photo (by -letterbox) is %.12s...", one->file, item->path, one->meta.input_sha256, item->input_sha256);
    cp_status status = copy_item(item, &one->item);
    one->score = cp_alloc(cp_model_neuron_count(s->model), sizeof *one->score, "scores");
    if (!status && !one->score)
        status = CP_ERESOURCE;
    if (!status && one->meta.response.n) {
        one->value = cp_frame_response(s->frame, 0, &one->meta.response);
        status = cp_score_signed(s->frame, 0, &one->meta.response, NULL, one->score, NULL);
    }
    return status;
}

static cp_status join_side(cp_session *s, const cp_item *item, job *j, int k)
{
    (void)item;
    const side *one = &j->side[k];
    cp_edges *edges = NULL;
    if (!one->meta.response.n)
        return CP_OK;
    cp_graph *own = cp_alloc(1, sizeof *own, "graph");
    if (!own)
        return CP_ERESOURCE;
    *own = j->view->graph;
    memset(own->edge, 0, sizeof own->edge);
    cp_status status = cp_edges_open(s->frame, 0, &one->meta.response, s->options->restricted ? one->path : NULL, s->options->mem,
                                     &edges);
    if (!status)
        status = cp_graph_join(s->model, edges, own);
    memcpy(j->view->edge[k], own->edge, sizeof own->edge);
    cp_edges_free(edges);
    cp_free(own);
    return status;
}

typedef cp_status (*on_side)(cp_session *s, const cp_item *item, job *j, int k);

/* Each path with its photo. */
static cp_status visit(cp_session *s, const cp_item *item, job *j, on_side run)
{
    cp_status status = CP_OK;
    for (int k = 0; k < 2 && !status; k++)
        if (j->photos == 1 || item->index == (size_t)k)
            status = run(s, item, j, k);
    return status;
}

static cp_status visit_scores(cp_session *s, cp_item *item, void *user) { return visit(s, item, user, score_side); }
static cp_status visit_edges(cp_session *s, cp_item *item, void *user) { return visit(s, item, user, join_side); }

/* Which nodes there are follows from the scores of both, edges from the nodes: two photos are run twice. */
static cp_status make_graph(cp_session *s, job *j)
{
    cp_status status = j->photos ? cp_session_each(s, visit_scores, j) : CP_OK;
    j->scores = j->photos && j->side[0].meta.response.n && j->side[1].meta.response.n;
    j->view->by_neurons = !j->scores;
    if (!status)
        status = choose_nodes(s, j);
    if (!status && j->photos)
        status = cp_session_each(s, visit_edges, j);
    return status;
}

/* Both paths' edges as shares of their largest, without signs. */
static void join_edges(job *j)
{
    cp_graph *g = &j->view->graph;
    for (int k = 0; k < 2; k++) {
        double most = 0;
        for (int i = 0; i < g->n; i++)
            for (int n = 0; n < g->n; n++)
                most = fmax(most, fabs(j->view->edge[k][i][n]));
        for (int i = 0; i < g->n; i++)
            for (int n = 0; n < g->n && most > 0; n++)
                g->edge[i][n] += fabs(j->view->edge[k][i][n]) / most;
    }
}

/* ---------------------------------------------------------------- the result */

static double jaccard(const job *j, int layer, size_t *both, size_t *either)
{
    if (cp_path_overlap(j->side[0].path, j->side[1].path, layer, both, either) || !*either)
        return NAN;
    return (double)*both / (double)*either;
}

static void fill_texts(const cp_session *s, job *j)
{
    cp_graph_view *v = j->view;
    const side *a = &j->side[0], *b = &j->side[1];
    size_t both, either;
    double index = jaccard(j, -1, &both, &either);
    snprintf(v->title, sizeof v->title, "%s and %s", cp_file_name(a->file), cp_file_name(b->file));
    if (j->photos && a->meta.response.n && b->meta.response.n)
        snprintf(v->answer, sizeof v->answer, "%.70s (%.4g); %.70s (%.4g)", a->meta.response.text, a->value, b->meta.response.text,
                 b->value);
    snprintf(v->caption, sizeof v->caption,
             "%zu and %zu of %zu neurons, %zu of them on both: Jaccard %.3f. A frame's colours: the channel's neurons on one path "
             "or both. Below a picture: channel, %s; all add up to 100%%.%s",
             cp_path_count(a->path), cp_path_count(b->path), cp_model_neuron_count(s->model), both, index,
             j->scores ? "share of the network's score on the paths, mean of both answers" : "share of the path's neurons, mean of both",
             j->photos ? " Edges: activation times gradient, of each path as a share of its largest."
                       : " Without a photo there are no edges.");
}

static void print_result(const cp_session *s, const job *j, const cp_graph_names *n)
{
    int layers;
    size_t both, either;
    const cp_neuron_layer *layer = cp_model_neuron_layers(s->model, &layers);
    fprintf(s->out, "  %-24s %12s %12s %12s %8s\n", "layer", "first", "second", "both", "Jaccard");
    for (int l = -1; l < layers; l++) {
        double index = jaccard(j, l, &both, &either);
        size_t of[2];
        for (int k = 0; k < 2; k++)
            of[k] = l < 0 ? cp_path_count(j->side[k].path) : cp_path_layer_count(j->side[k].path, l);
        fprintf(s->out, "  %-24s %12zu %12zu %12zu ", l < 0 ? "network" : layer[l].name + strlen("layer_"), of[0], of[1], both);
        if (isnan(index))
            fprintf(s->out, "%8s\n", "-");
        else
            fprintf(s->out, "%8.3f\n", index);
    }
    fprintf(s->out, "files: %s %s %s %s\n", n->png, n->svg, n->dot, n->json);
}

static cp_status write_result(cp_session *s, job *j)
{
    cp_item whole = {.path = j->side[0].file};
    cp_graph_names names;
    bool list = s->list;
    for (int k = 0; k < 2 && j->photos; k++)
        j->view->source[k] = (cp_graph_source){&j->side[k].item, j->side[k].score, j->side[k].path};
    join_edges(j);
    fill_texts(s, j);
    cp_status status = cp_graph_view_make(j->view);
    s->list = false; /* one result for both */
    if (!status)
        status = cp_choose_prefix(s, &whole);
    s->list = list;
    if (!status)
        status = cp_graph_write(j->view, &whole, "", &names);
    if (!status && !s->options->json)
        print_result(s, j, &names);
    if (!status && s->options->json) {
        json_t *json = cp_graph_json(j->view);
        status = json ? cp_json_write_stream(json, s->out) : CP_ERESOURCE;
        json_decref(json);
    }
    return status;
}

static bool has_photo(const cp_options *o)
{
    int files = 0, weights = 0;
    for (int i = 0; i < o->n_arguments; i++) {
        files += cp_ends_with(o->arguments[i], ".npz");
        weights |= cp_ends_with(o->arguments[i], ".weights") ? i + 1 : 0;
    }
    return o->n_arguments - weights > files;
}

cp_status cp_graph_compare(const cp_command *command, const cp_options *options)
{
    cp_session session;
    job j = {.view = cp_alloc(1, sizeof *j.view, "graph")};
    bool runs = has_photo(options);
    if (!j.view)
        return CP_ERESOURCE;
    cp_status status = cp_session_open(command, options, true, runs, &session);
    *j.view = (cp_graph_view){.session = &session, .compares = true};
    if (!status)
        status = read_arguments(&session, &j);
    session.list = j.photos != 1;
    if (!status)
        status = make_graph(&session, &j);
    if (!status)
        status = write_result(&session, &j);
    for (int k = 0; k < 2; k++) {
        cp_path_free(j.side[k].path);
        cp_picture_free(&j.side[k].item.photo);
        cp_free(j.side[k].score);
        cp_free(j.kept[k]);
        cp_free(j.own[k]);
    }
    cp_free(j.all);
    cp_free(j.both);
    cp_graph_view_free(j.view);
    cp_free(j.view);
    cp_session_close(&session);
    return status;
}

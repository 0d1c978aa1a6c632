/* `gates`: distillation guided routing by Darknet's own training, for one image or a list of them. */
#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/recompute.h"
#include "cli/results.h"
#include "cli/summary.h"
#include "cli/walk.h"
#include "io/error.h"
#include "io/lines.h"
#include "io/json.h"
#include "io/progress.h"
#include "score/score.h"
#include "train/gates.h"

#include <math.h>
#include <string.h>

/* The images that the gates are for. */
typedef struct {
    const char *name;  /* what results are called after: the image or the list */
    int only;          /* -class: others are left out; -1: none is */
    float *inputs;     /* (n,C,H,W) */
    size_t n, room, left_out;
    int class_id;      /* the top class of the first */
    bool one_class;    /* of all of them */
    char input_sha256[CP_SHA256_TEXT]; /* of the last one's input */
} gathered;

static cp_status grow(gathered *g, size_t values)
{
    size_t room = g->room ? 2 * g->room : 4, floats;
    if (!cp_mul(room, values, &floats))
        return cp_fail(CP_ERESOURCE, "gates: %zu images are too many", g->n + 1);
    float *inputs = cp_alloc_dirty(floats, sizeof *inputs, "network inputs");
    if (!inputs)
        return CP_ERESOURCE;
    if (g->n)
        memcpy(inputs, g->inputs, g->n * values * sizeof *inputs);
    cp_free(g->inputs);
    g->inputs = inputs;
    g->room = room;
    return CP_OK;
}

static cp_status gather_image(cp_session *s, cp_item *item, void *user)
{
    gathered *g = user;
    cp_prediction prediction;
    size_t values = s->c * s->h * s->w;
    cp_status status = cp_predict(s, item, &prediction);
    int top = status ? -1 : prediction.top[0];
    cp_prediction_free(&prediction);
    if (status)
        return status;
    if (g->only >= 0 && top != g->only) {
        g->left_out++;
        return CP_OK;
    }
    if (g->n == g->room && (status = grow(g, values)))
        return status;
    memcpy(g->inputs + g->n * values, s->input, values * sizeof *s->input);
    memcpy(g->input_sha256, item->input_sha256, sizeof g->input_sha256);
    if (!g->n)
        g->class_id = top;
    g->one_class = (!g->n || g->one_class) && top == g->class_id;
    g->n++;
    return CP_OK;
}

static cp_status gather(cp_session *s, gathered *g)
{
    cp_lines lines = {0};
    char class_name[24];
    cp_request request;
    g->name = s->options->list ? s->options->list : s->n_images == 1 ? s->images[0] : "images";
    cp_status status = cp_request_read(s, &request);
    g->only = request.class_id;
    if (!status && s->options->list)
        status = cp_session_read_list(s, &lines);
    if (!status)
        status = cp_session_each(s, gather_image, g);
    if (!status && !g->n)
        status = cp_fail(CP_EINPUT, "gates: none of %zu images has the top class %s", g->left_out,
                         cp_session_class(s, g->only, class_name));
    cp_lines_free(&lines);
    s->images = NULL;
    s->n_images = 0;
    return status;
}

/* ---------------------------------------------------------------- results */

typedef struct {
    cp_session *s;
    const gathered *images;
    const cp_dgr_options *options;
    cp_gates_report report;
    cp_item item;      /* for the names of the files */
    cp_file_meta meta; /* of the paths */
    char file[4096];   /* of the gates */
} outcome;

/* "12 images of cat" */
static const char *images_text(const outcome *o, char text[160])
{
    char class_name[24];
    const char *name = cp_session_class(o->s, o->images->class_id, class_name);
    if (o->images->one_class)
        snprintf(text, 160, "%zu %s of %.100s", o->images->n, o->images->n == 1 ? "image" : "images", name);
    else
        snprintf(text, 160, "%zu images of several classes", o->images->n);
    return text;
}

/* What the paths are of. The response that decides whether one is cut is any logit: all depend on the same layers. */
static cp_status describe(outcome *o, cp_response *response)
{
    char class_name[24];
    cp_status status = cp_response_class(o->s->model, o->images->class_id, response);
    if (status)
        return status;
    snprintf(response->text, sizeof response->text, "logit of %.90s (layer %d, unit %zu)",
             cp_session_class(o->s, o->images->class_id, class_name), response->unit[0].layer, response->unit[0].index);
    snprintf(o->meta.method, sizeof o->meta.method, "gates");
    o->meta.seed = o->options->seed;
    if (o->images->n == 1)
        memcpy(o->meta.input_sha256, o->images->input_sha256, sizeof o->meta.input_sha256);
    if (o->images->one_class)
        o->meta.response = *response;
    else
        images_text(o, o->meta.response.text);
    return CP_OK;
}

static void print_outcome(const outcome *o)
{
    const cp_gates_report *r = &o->report;
    char text[160];
    printf("gates: %s, one for each %s, %d steps of Darknet's training%s\n", images_text(o, text),
           o->options->granularity == CP_CHANNEL ? "channel" : "neuron", o->options->steps,
           r->run.rounds > 1 ? " a round" : "");
    if (o->images->left_out)
        printf("left out: %zu images of other classes\n", o->images->left_out);
    printf("loss: %.6g before step %d of round %d; cross-entropy %.6g, gamma %g; %zu of %zu keep their class\n",
           r->run.loss, r->run.step + 1, r->run.rounds, r->run.cross_entropy, r->run.gamma, r->keeping, o->images->n);
    printf("gates: %s\n", o->file);
}

static json_t *outcome_json(const outcome *o)
{
    const cp_gates_report *r = &o->report;
    char class_name[24];
    const char *granularity = o->options->granularity == CP_CHANNEL ? "channel" : "neuron";
    const char *class = o->images->one_class ? cp_session_class(o->s, o->images->class_id, class_name) : NULL;
    return cp_json_pack("{s:o,s:o,s:I,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:I,s:o,s:o}",
                        "critpath", cp_json_text(CP_VERSION), "command", json_string("gates"),
                        "images", (json_int_t)o->images->n, "left_out", (json_int_t)o->images->left_out,
                        "class", cp_json_text(class), "granularity", cp_json_text(granularity),
                        "steps", json_integer(o->options->steps), "rounds", json_integer(r->run.rounds),
                        "step", json_integer(r->run.step), "loss", cp_json_real(r->run.loss),
                        "cross_entropy", cp_json_real(r->run.cross_entropy),
                        "gamma", cp_json_real(r->run.gamma), "kept", r->run.kept,
                        "keeping", (json_int_t)r->keeping, "gates", cp_json_text(o->file),
                        "paths", json_array());
}

static cp_status write_path(const outcome *o, const cp_pathway *pathway, json_t *paths)
{
    const cp_selection *selection = &pathway->selection;
    char file[4096], kept[32], all[32], reached[120];
    const cp_result result = {.item = &o->item, .from = &o->meta, .pathway = pathway, .tag = pathway->tag};
    cp_status status = cp_result_write(o->s, CP_RESULT_PATH, &result, file);
    if (status)
        return status;
    if (!paths) {
        printf("path: %s, %s of %s neurons, gate >= %.4g\nfile: %s\n", cp_reached_text(o->s, pathway, reached),
               cp_grouped(selection->kept, kept), cp_grouped(cp_model_neuron_count(o->s->model), all),
               (double)selection->threshold, file);
        return CP_OK;
    }
    json_t *line = json_object();
    int bad = cp_pathway_json(o->s, pathway, line);
    bad |= cp_json_set(line, "file", cp_json_text(file));
    return cp_json_append(paths, line) || bad ? CP_ERESOURCE : CP_OK;
}

static cp_status write_paths(outcome *o, const float *gate)
{
    cp_session *s = o->s;
    cp_pathways pathways = {0};
    cp_response response;
    json_t *object = NULL, *paths = NULL;
    cp_status status = describe(o, &response);
    if (status)
        return status;
    float *score = cp_alloc(cp_model_neuron_count(s->model), sizeof *score, "scores");
    if (!score)
        return CP_ERESOURCE;
    if (o->options->granularity == CP_CHANNEL)
        cp_spread_channels(s->model, gate, score);
    else
        memcpy(score, gate, cp_model_neuron_count(s->model) * sizeof *gate);
    if ((status = cp_scores_take(NULL, 0, score, false, &pathways.scores)))
        return status;
    if (s->options->json && (!(object = outcome_json(o)) || !(paths = json_object_get(object, "paths"))))
        status = CP_ERESOURCE;
    if (!status && !s->options->json)
        print_outcome(o);
    if (!status)
        status = cp_pathways_select(s, o->images->name, &response, &pathways);
    for (int k = 0; k < pathways.n && !status; k++)
        status = write_path(o, &pathways.pathway[k], paths);
    if (!status && object)
        status = cp_json_write_stream(object, stdout);
    json_decref(object);
    cp_pathways_free(&pathways);
    return status;
}

static void show(void *progress, double fraction) { cp_progress_update(progress, fraction); }

static cp_status train(cp_session *s, const gathered *images)
{
    cp_dgr_options options = cp_dgr_read_options(s->options, false);
    outcome o = {.s = s, .images = images, .options = &options, .item = {.path = images->name}};
    double began = cp_seconds();
    size_t gates = options.granularity == CP_CHANNEL ? cp_model_channel_count(s->model)
                                                     : cp_model_neuron_count(s->model);
    s->list = false; /* one set of results, whatever it is of */
    cp_status status = cp_choose_prefix(s, &o.item);
    if (!status)
        status = cp_output_path(s, &o.item, "", ".gates.npz", o.file);
    if (status)
        return status;
    float *gate = cp_alloc(gates, sizeof *gate, "gates");
    if (!gate)
        return CP_ERESOURCE;
    cp_progress *progress = cp_progress_start("gates", 1, s->options->quiet);
    options.run = (cp_run_options){.progress = show, .user = progress};
    status = cp_gates_train(s->model, images->inputs, images->n, &options, s->options->agree, gate, &o.report);
    cp_progress_end(&progress);
    if (!status && !o.report.run.kept)
        cp_note(s, "gates: no iterate of %d rounds of %d steps let %g of the images keep their class; the gates are "
                "the last one's", o.report.run.rounds, options.steps, s->options->agree);
    if (!status)
        status = cp_gates_write(o.file, s->model, gate, &options, images->n, &o.report);
    if (!status)
        status = write_paths(&o, gate);
    if (!status)
        cp_note(s, "%s: training %.1f s; peak memory %zu MB", images->name, cp_seconds() - began,
                cp_peak_memory() >> 20);
    cp_free(gate);
    return status;
}

cp_status cp_run_gates(const cp_command *command, const cp_options *options)
{
    cp_session session;
    gathered images = {.class_id = -1};
    int logits;
    cp_status status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = cp_dgr_find_logits(session.model, &logits);
    if (!status)
        status = gather(&session, &images);
    if (!status)
        status = train(&session, &images);
    cp_free(images.inputs);
    cp_session_close(&session);
    return status;
}

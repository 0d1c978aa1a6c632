/* `gen`: GEN-CNP, a generator that learns to predict the paths of a network (docs/methods.md 9). */
#include "cli/commands.h"
#include "cli/gen.h"
#include "cli/no_detection.h"
#include "cli/output_path.h"
#include "cli/results.h"
#include "cli/run_images.h"
#include "cli/walk.h"
#include "gen/gen_file.h"
#include "io/error.h"
#include "io/json.h"
#include "io/lines.h"
#include "io/progress.h"

#include <math.h>
#include <string.h>

enum { MOST_LIST = 1 << 28 };

/* ---------------------------------------------------------------- lists */

static cp_status read_list(cp_session *s, const char *verb, cp_lines *lines)
{
    const cp_options *o = s->options;
    if (!o->list)
        return cp_fail(CP_EINPUT, "gen %s: which pictures? -list FILE names them, one path per line", verb);
    if (s->n_images)
        return cp_fail(CP_EINPUT, "gen %s: pictures come from -list, found \"%.200s\" too", verb, s->images[0]);
    cp_status status = cp_lines_read(o->list, "list of pictures", MOST_LIST, (size_t)o->images, lines);
    return status ? status : cp_remember_inputs(s, (const char *const *)lines->line, lines->n);
}

/* ---------------------------------------------------------------- train */

typedef struct {
    cp_gen_answers answers; /* first: it is what reads pictures */
    cp_session *session;
    cp_progress *progress;
    cp_gen_epoch last;
} training;

static void show_progress(void *user, double fraction) { cp_progress_update(((training *)user)->progress, fraction); }

static void show_epoch(void *user, const cp_gen_epoch *e)
{
    training *t = user;
    const cp_session *s = t->session;
    t->last = *e;
    if (s->options->json)
        return;
    cp_stderr(); /* the progress line goes */
    fprintf(s->out, "epoch %d: KL %.4f, %.1f%% keep their answer, %.1f%% of the channels off, IoU within a class %.3f, head right %.1f%%\n",
            e->epoch, e->kl, 100 * e->kept, 100 * e->sparsity, e->alike, 100 * e->head);
    fflush(s->out);
}

static cp_gen_losses read_losses(const cp_options *o)
{
    cp_gen_losses losses = cp_gen_defaults();
    losses.epochs = o->epochs;
    losses.batch = o->batch;
    losses.seed = (uint64_t)o->seed;
    if (o->rate > 0)
        losses.rate = o->rate;
    double *const weights[] = {NULL, &losses.distil, &losses.sparsity, &losses.alike, &losses.head};
    losses.sparsity = o->weight;
    losses.allowed = o->allowed;
    if (o->without)
        *weights[o->without] = 0;
    return losses;
}

static cp_status train(cp_session *s)
{
    cp_lines lines = {0};
    cp_generator *generator = NULL;
    training t = {.session = s};
    char path[4096];
    cp_item whole = {.path = "generator.npz"};
    cp_gen_training how = {.run = {.memory = s->options->mem, .progress = show_progress, .user = &t}, .losses = read_losses(s->options),
                           .input = cp_gen_answers_input, .epoch = show_epoch, .user = &t};
    s->list = false;
    cp_status status = cp_choose_prefix(s, &whole);
    if (!status)
        status = cp_output_path(s, &whole, "", ".gen.npz", path);
    if (!status)
        status = read_list(s, "train", &lines);
    if (!status)
        status = cp_gen_answers_read(s, lines.line, lines.n, &t.answers);
    if (!status)
        status = cp_generator_create(s->model, s->options->width, (uint64_t)s->options->seed, &generator);
    t.progress = cp_progress_start("gen train", 1, s->options->quiet);
    if (!status && !s->options->json)
        fprintf(s->out, "%zu answers of %zu pictures; %zu channels have gates\n", t.answers.n, lines.n - t.answers.unreadable,
                cp_generator_gates(generator));
    if (!status)
        status = cp_gen_train(generator, t.answers.sample, t.answers.n, &how);
    cp_progress_end(&t.progress);
    if (!status)
        status = cp_generator_write(path, generator, &how.losses, &t.last);
    if (!status)
        cp_print_files(s->out, path, NULL, NULL, NULL);
    if (!status && t.last.sparsity < .01)
        cp_note(s, "gen train: hardly a channel is off (%.2g%%): it has learned nothing yet; more answers, -epochs or -weight",
                100 * t.last.sparsity);
    cp_gen_answers_free(&t.answers);
    cp_generator_free(generator);
    cp_lines_free(&lines);
    return status;
}

/* ---------------------------------------------------------------- path */

typedef struct {
    const cp_generator *generator;
    cp_request request;
} predicting;

/* The path of one answer, in one pass of the generator over the run in the frame. */
static cp_status predict_path(cp_session *s, const cp_generator *g, const cp_subject *subject, float *importance)
{
    cp_gen_pass *pass = NULL;
    const float *found, *head;
    float *features = cp_alloc(2 * cp_generator_gates(g), sizeof *features, "features");
    cp_status status = features ? cp_gen_pass_create(g, 1, &pass) : CP_ERESOURCE;
    if (!status) {
        cp_generator_features(g, s->frame, 0, features);
        cp_gen_forward(g, pass, features, &subject->class_id, 1, &found, &head);
        memcpy(importance, found, cp_generator_gates(g) * sizeof *importance);
    }
    cp_gen_pass_free(pass);
    cp_free(features);
    return status;
}

static cp_status compare_answers(cp_session *s, const cp_generator *g, const cp_subject *subject, const float *importance,
                                 cp_gen_match *match)
{
    cp_gated_runs *runs = NULL;
    cp_gen_answer answer = {0};
    float *whole = cp_alloc((size_t)cp_model_classes(s->model), sizeof *whole, "logits");
    cp_status status = whole ? cp_gen_answer_of(s->model, subject->detection, subject->class_id, &answer) : CP_ERESOURCE;
    if (!status)
        status = cp_gated_runs_create(g, 1, s->options->mem, &runs);
    if (!status) {
        const cp_gen_answer *answers[] = {&answer};
        const float *wholes[] = {whole};
        cp_gen_answer_read(&answer, s->frame, 0, whole);
        status = cp_gated_runs_do(runs, s->input, importance, answers, wholes, 1, 1, match, NULL);
    }
    cp_gen_answer_free(&answer);
    cp_gated_runs_free(runs);
    cp_free(whole);
    return status;
}

static cp_status path_of(cp_session *s, cp_item *item, const cp_subject *subject, void *user)
{
    const cp_generator *g = ((predicting *)user)->generator;
    cp_pathway pathway = {.mass_asked = NAN};
    cp_gen_match match = {0};
    char npz[4096] = "", kept[32], all[32];
    if (subject->class_id < 0)
        return cp_fail(CP_EINPUT, "%s: gen predicts paths of classes, not of %s", item->path, subject->response.text);
    float *importance = cp_alloc(cp_generator_gates(g), sizeof *importance, "gates");
    cp_file_meta meta = {.method = "gen", .response = subject->response, .sparsity_asked = NAN, .seed = (uint64_t)s->options->seed};
    snprintf(meta.input_sha256, sizeof meta.input_sha256, "%s", item->input_sha256);
    cp_status status = importance ? cp_path_create(s->model, &pathway.path) : CP_ERESOURCE;
    if (!status)
        status = predict_path(s, g, subject, importance);
    if (!status)
        cp_gen_path(g, importance, pathway.path);
    if (!status)
        status = compare_answers(s, g, subject, importance, &match);
    pathway.selection.kept = status ? 0 : cp_path_count(pathway.path);
    if (!status)
        status = cp_output_path(s, item, subject->tag, ".path.npz", npz);
    if (!status)
        status = cp_path_write(npz, pathway.path, &meta);
    if (!status && s->options->json) {
        json_t *object = json_pack("{s:o,s:o,s:I,s:f,s:b,s:f,s:f,s:o}", "image", cp_json_text(item->path), "response",
                                   cp_json_text(subject->response.text), "kept", (json_int_t)pathway.selection.kept, "kl", match.kl,
                                   "keeps", match.kept, "probability", match.whole, "gated", match.gated, "file", cp_json_text(npz));
        status = object ? cp_json_write_stream(object, s->out) : CP_ERESOURCE;
        json_decref(object);
    } else if (!status) {
        fprintf(s->out, "response: %s\npath: gen, %s of %s neurons; alone it %s the answer: %s%.1f%% becomes %.1f%%, KL %.3g\n",
                subject->response.text, cp_grouped(pathway.selection.kept, kept), cp_grouped(cp_model_neuron_count(s->model), all),
                match.kept ? "keeps" : "loses", subject->box ? "its class's logistic, " : "", 100 * match.whole, 100 * match.gated, match.kl);
        cp_print_files(s->out, npz, NULL, NULL, NULL);
    }
    if (!status && pathway.selection.kept == cp_model_neuron_count(s->model))
        cp_note(s, "%s: the generator closes no channel: the path is the whole network", item->path);
    cp_path_free(pathway.path);
    cp_free(importance);
    return status;
}

static cp_status path_image(cp_session *s, cp_item *item, void *user)
{
    predicting *p = user;
    int n;
    cp_status status = cp_each_response(s, item, &p->request, path_of, p, &n);
    cp_nothing nothing;
    if (!status && !n && !(status = cp_nothing_find(s, item, &p->request, &nothing)))
        cp_note(s, "%s: %s; no path", item->path, nothing.text);
    return status;
}

static cp_status predict(cp_session *s)
{
    cp_generator *generator = NULL;
    predicting p = {0};
    cp_status status = cp_request_read(s, &p.request);
    if (!status)
        status = cp_generator_read(s->options->generator, s->model, &generator);
    p.generator = generator;
    if (!status)
        status = cp_session_each(s, path_image, &p);
    cp_generator_free(generator);
    return status;
}

/* ---------------------------------------------------------------- eval */

static cp_status evaluate(cp_session *s)
{
    cp_lines lines = {0};
    cp_generator *generator = NULL;
    cp_gen_answers answers = {0};
    cp_status status = read_list(s, "eval", &lines);
    if (!status)
        status = cp_generator_read(s->options->generator, s->model, &generator);
    if (!status)
        status = cp_gen_answers_read(s, lines.line, lines.n, &answers);
    if (!status)
        status = cp_gen_evaluate(s, generator, &answers);
    cp_gen_answers_free(&answers);
    cp_generator_free(generator);
    cp_lines_free(&lines);
    return status;
}

/* ---------------------------------------------------------------- the command */

cp_status cp_run_gen(const cp_command *command, const cp_options *options)
{
    static const struct {
        const char *verb;
        bool reads;
        cp_status (*run)(cp_session *s);
    } verbs[] = {{"train", false, train}, {"path", true, predict}, {"eval", true, evaluate}};
    cp_options mine = *options;
    cp_session session = {0};
    const char *verb = options->n_arguments ? options->arguments[0] : "";
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verbs[i].verb, verb))
            continue;
        mine.arguments++;
        mine.n_arguments--;
        if (verbs[i].reads && !options->generator)
            return cp_fail(CP_EINPUT, "gen %s: with which generator? -generator FILE, as `gen train` writes it", verb);
        cp_status status = cp_session_open(command, &mine, true, true, &session);
        if (!status && options->generator)
            status = cp_remember_inputs(&session, &options->generator, 1);
        if (!status)
            status = verbs[i].run(&session);
        cp_session_close(&session);
        return status;
    }
    return cp_fail(CP_EINPUT, "gen: \"%.60s\" is not train, path or eval: %s gen train|path|eval [data|names] <cfg> <weights> ...", verb,
                   cp_program());
}

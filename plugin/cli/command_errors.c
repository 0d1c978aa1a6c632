/* `errors`: why does a detector, or a classifier, err on a whole list? Each image is a line of a ledger, so that a
 * run goes on after a kill and several machines share a list; tables, boxes, clusters and pictures are made from the
 * lines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/drawing.h"
#include "cli/errors.h"
#include "cli/list.h"
#include "cli/output_path.h"
#include "io/error.h"
#include "io/json.h"

static const uint64_t MAX_LIST_BYTES = (uint64_t)1 << 32;

/* ---------------------------------------------------------------- which images */

/* The images of the command line, else -list, else the .data file's valid list. */
static cp_status read_images(cp_errors *e)
{
    cp_session *s = e->session;
    const char *list = s->options->list;
    cp_data *data = NULL;
    cp_status status = CP_OK;
    if (s->n_images) {
        e->n = (size_t)s->n_images;
        e->images = cp_alloc(e->n, sizeof *e->images, "list of images");
        for (size_t i = 0; i < e->n && e->images; i++)
            e->images[i] = s->images[i];
        return e->images ? CP_OK : CP_ERESOURCE;
    }
    if (!list && e->data)
        status = cp_data_read(e->data, &data);
    if (!status && data)
        list = data->valid;
    if (!status && !list)
        status = cp_fail(CP_EINPUT, "errors: no images: name them, or give -list, or a .data file with valid=");
    if (!status)
        status = cp_lines_read(list, "list of images", MAX_LIST_BYTES, 0, &e->lines);
    if (!status && !e->lines.n)
        status = cp_fail(CP_EINPUT, "%s: names no image", list);
    if (!status && !(e->images = cp_alloc(e->lines.n, sizeof *e->images, "list of images")))
        status = CP_ERESOURCE;
    for (; !status && e->n < e->lines.n; e->n++)
        e->images[e->n] = e->lines.line[e->n];
    cp_data_free(data);
    return status;
}

/* Darknet finds the class of a photo by the labels in its path. Names stand in for them as whole words: "ram" is part
 * of "bramble". */
static cp_status read_names(cp_errors *e)
{
    cp_data *data = NULL;
    if (cp_model_get_kind(e->session->model) != CP_CLASSIFIER)
        return CP_OK;
    cp_status status = e->data ? cp_data_read(e->data, &data) : CP_OK;
    const char *path = data && data->labels ? data->labels : data ? data->names : e->session->names_path;
    if (!status && !path)
        status = cp_fail(CP_EINPUT,
                         "errors: a classifier needs a .data file with labels=, which say a photo's class by its path");
    if (!status)
        status = cp_errors_truth_open(e, path, !data || !data->labels);
    cp_data_free(data);
    return status;
}

/* Lines of this shard that the ledger lacks. What it has must be of the same list. */
static cp_status choose_todo(cp_errors *e)
{
    size_t held = 0;
    e->todo = cp_alloc(e->n, sizeof *e->todo, "list of images");
    e->walked = cp_alloc(e->n, sizeof *e->walked, "list of images");
    if (!e->todo || !e->walked)
        return CP_ERESOURCE;
    for (size_t i = 0; i < e->n; i++) {
        if (!cp_shard_has(&e->shard, i))
            continue;
        if (cp_ledger_has(e->ledger, i)) {
            held++;
            continue;
        }
        e->todo[e->n_todo] = i;
        e->walked[e->n_todo++] = (char *)e->images[i];
    }
    return held == cp_ledger_count(e->ledger)
               ? CP_OK
               : cp_fail(CP_EINPUT, "-resume: the results have %zu images that are not in the list",
                         cp_ledger_count(e->ledger) - held);
}

static cp_status no_labels(const cp_errors *e)
{
    char *path = cp_labels_path(e->images[0]), hint[700];
    struct stat info;
    cp_status status;
    if (!stat(e->images[0], &info) && S_ISDIR(info.st_mode))
        status = cp_fail(CP_EINPUT, "errors: %.300s is a folder; name its photos, FOLDER/*.jpg, or a list of them by -list", e->images[0]);
    else
        status = cp_fail(CP_EINPUT, "errors: none of the images has a label file; of %.200s it would be %.200s%s", e->images[0],
                         path ? path : "?", cp_labels_hint(e->images[0], hint));
    cp_free(path);
    return status;
}

/* Whether a detector's photos have labels at all is known before the first of them is run. */
static cp_status check_labels(const cp_errors *e)
{
    if (cp_model_get_kind(e->session->model) != CP_DETECTOR)
        return CP_OK;
    for (size_t i = 0; i < e->n; i++) {
        char *path = cp_labels_path(e->images[i]);
        bool there = path && !access(path, F_OK), failed = !path;
        cp_free(path);
        if (there || failed)
            return failed ? CP_ERESOURCE : CP_OK;
    }
    return no_labels(e);
}

/* The same of a classifier's photos: some path has to say a class. */
static cp_status check_truth(const cp_errors *e)
{
    cp_errors_truth truth = {.class_id = -1};
    cp_status status = CP_OK;
    if (!e->labels)
        return CP_OK;
    for (size_t i = 0; i < e->n && truth.class_id < 0 && !status; i++)
        status = cp_errors_truth_find(e, e->images[i], &truth);
    if (status || truth.class_id >= 0)
        return status;
    return cp_fail(CP_EINPUT,
                   "errors: the path of none of the %zu images says one class by %s; a .data file with labels= says what "
                   "to look for in a path", e->n, e->words ? "its name" : "its label");
}

/* ---------------------------------------------------------------- ledger */

static cp_status hash_list(const cp_errors *e, json_t *manifest)
{
    char sha256[CP_SHA256_TEXT];
    cp_sha256 *hash;
    cp_status status = cp_sha256_begin(&hash);
    for (size_t i = 0; i < e->n && !status; i++)
        status = cp_sha256_add(hash, e->images[i], strlen(e->images[i]) + 1);
    cp_status ended = cp_sha256_end(&hash, sha256);
    if (!status)
        status = ended;
    return status ? status : cp_json_set(manifest, "list_sha256", cp_json_text(sha256));
}

/* What the lines depend on. */
static cp_status make_manifest(const cp_errors *e, json_t *m)
{
    const cp_session *s = e->session;
    const cp_options *o = s->options;
    char labels[CP_SHA256_TEXT];
    int bad = cp_json_set(m, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(m, "command", cp_json_text("errors"));
    bad |= cp_json_set(m, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(s->model)));
    bad |= cp_json_set(m, "weights_sha256", cp_json_text(cp_model_weights_sha256(s->model)));
    bad |= cp_json_set(m, "images", json_integer((json_int_t)e->n));
    bad |= cp_json_set(m, "thresh", cp_json_real(e->shown));
    bad |= cp_json_set(m, "nms", cp_json_real(o->nms));
    bad |= cp_json_set(m, "mass", cp_json_real(o->mass));
    bad |= cp_json_set(m, "fit", cp_json_text(cp_fit_name((cp_fit)o->letterbox)));
    if (e->shard.count > 1)
        bad |= cp_json_set(m, "shard", cp_json_text(e->shard.text));
    if (e->labels && !bad && !(bad = cp_errors_truth_hash(e, labels)))
        bad = cp_json_set(m, "labels_sha256", cp_json_text(labels));
    return bad ? CP_ERESOURCE : hash_list(e, m);
}

/* Results of hours are not overwritten by a run that forgot -resume. A manifest alone is no result. */
static cp_status check_free(const char *path)
{
    FILE *file = fopen(path, "rb");
    int ends = 0;
    for (int c; file && ends < 2 && (c = getc(file)) != EOF;)
        ends += c == '\n';
    if (file)
        fclose(file);
    if (ends < 2)
        return CP_OK;
    return cp_fail(CP_EINPUT, "%s: holds results already; -resume goes on with it, or give another -out", path);
}

/* A shard grows under the name of a part and takes its own when it is complete: what has that name is done. Whoever
 * starts a shard again means to go on with it, also where there is only one. */
static cp_status open_ledger(cp_errors *e, cp_item *whole, char path[4096], char part[4096])
{
    cp_session *s = e->session;
    json_t *manifest = json_object();
    char ending[64];
    bool shard = e->shard.count > 1, resume = s->options->resume || s->options->shard;
    cp_status status = manifest ? make_manifest(e, manifest) : CP_ERESOURCE;
    if (!status)
        status = cp_output_path(s, whole, "", cp_shard_ending(&e->shard, ".jsonl", ending), path);
    if (!status && snprintf(part, 4096, "%.4000s%s", path, shard ? ".part" : "") >= 4096)
        status = cp_fail(CP_EINPUT, "-out: too long");
    if (!status && !resume)
        status = check_free(path);
    if (status) {
        json_decref(manifest);
        return status;
    }
    if (shard && !access(path, F_OK))
        snprintf(part, 4096, "%s", path);
    status = cp_ledger_open(part, manifest, resume, &e->ledger);
    if (!status)
        status = cp_errors_drop_stale(e);
    if (!status && e->redone)
        cp_note(s, "%s: %zu image%s done again: unreadable or left out before, or photo or labels have changed", part,
                e->redone, e->redone == 1 ? " is" : "s are");
    if (!status && cp_ledger_count(e->ledger))
        cp_note(s, "%s: goes on after %zu images", part, cp_ledger_count(e->ledger));
    return status;
}

static cp_status publish(const char *part, const char *path)
{
    if (!strcmp(part, path))
        return CP_OK;
    return rename(part, path) ? cp_fail(CP_ERESOURCE, "%s: cannot take its place as %s", part, path) : CP_OK;
}

/* ---------------------------------------------------------------- the walk */

/* Images that the walk has passed without a line could not be read, and that is what their lines say, in the order
 * of the list. */
static cp_status mark_unreadable(cp_errors *e, size_t end)
{
    cp_status status = CP_OK;
    for (; e->next < end && !status; e->next++) {
        json_t *record = json_object();
        int bad = cp_json_set(record, "image", cp_json_text(e->walked[e->next]));
        bad |= cp_json_set(record, "unreadable", json_true());
        status = bad ? CP_ERESOURCE : cp_ledger_add(e->ledger, e->todo[e->next], json_incref(record));
        json_decref(record);
    }
    return status;
}

static cp_status visit(cp_session *s, cp_item *item, void *user)
{
    cp_errors *e = user;
    cp_errors_left_out left_out = CP_ERRORS_COUNTS;
    json_t *record = json_object();
    (void)s;
    cp_status status = mark_unreadable(e, item->index);
    if (!status)
        status = record ? cp_errors_measure(e, item, record, &left_out) : CP_ERESOURCE;
    if (!status || (status == CP_EINPUT && left_out)) {
        cp_status added = cp_ledger_add(e->ledger, e->todo[item->index], json_incref(record));
        e->next = added ? e->next : item->index + 1;
        status = added ? added : status;
    }
    json_decref(record);
    return status;
}

/* CP_EINPUT: some images could not be read, which has been said; the others count. */
static cp_status walk(cp_errors *e)
{
    cp_session *s = e->session;
    double began = cp_seconds();
    int seen;
    s->images = e->walked;
    s->n_images = (int)e->n_todo;
    cp_status status = e->n_todo ? cp_list_run(s, false, visit, e, &seen) : CP_OK;
    cp_status marked = !status || status == CP_EINPUT ? mark_unreadable(e, e->n_todo) : CP_OK;
    /* Lines that are done again stand where one run would have written them. */
    if (!marked && e->redone && (!status || status == CP_EINPUT))
        marked = cp_ledger_drop(e->ledger, NULL);
    e->measuring = cp_seconds() - began;
    return marked ? marked : status;
}

/* ---------------------------------------------------------------- the command */

static cp_status report(cp_errors *e, cp_item *whole)
{
    cp_errors_found found = {0};
    cp_errors_picture *pictures = NULL;
    size_t n = 0;
    cp_status status = cp_errors_gather(e, &found);
    if (!status && cp_picture_wanted(e->session->options) != CP_PICTURE_NONE)
        status = cp_errors_draw(e, whole, &found, &pictures, &n);
    if (!status)
        status = cp_errors_write(e, whole, &found, pictures, n);
    cp_free(pictures);
    cp_errors_found_free(&found);
    return status;
}

/* AP counts far less probable detections than those that are shown. */
static void lower_threshold(cp_errors *e)
{
    cp_session *s = e->session;
    e->shown = s->resolved.thresh;
    if (s->resolved.thresh > CP_ERRORS_LEAST)
        s->resolved.thresh = CP_ERRORS_LEAST;
}

static cp_status prepare(cp_errors *e, cp_item *whole, char path[4096], char part[4096])
{
    cp_session *s = e->session;
    cp_status status = CP_OK;
    if (cp_model_get_kind(s->model) == CP_OTHER)
        status = cp_fail(CP_EINPUT, "errors: %s is neither a classifier nor a detector", s->cfg_path);
    if (!status)
        status = read_images(e);
    if (!status)
        status = read_names(e);
    if (!status)
        status = check_labels(e);
    if (!status)
        status = check_truth(e);
    if (status)
        return status;
    lower_threshold(e);
    s->list = false; /* one result for all images */
    e->shard = s->shard;
    s->shard = (cp_shard){1, 1, ""}; /* the walk is over this shard's images alone */
    status = cp_choose_prefix(s, whole);
    if (!status)
        status = open_ledger(e, whole, path, part);
    if (!status)
        status = choose_todo(e);
    return status ? status : cp_errors_open_space(e);
}

static void end(cp_errors *e)
{
    cp_errors_close_space(e);
    cp_ledger_close(e->ledger);
    cp_lines_free(&e->lines);
    cp_free(e->images);
    cp_free(e->todo);
    cp_free(e->walked);
    cp_errors_truth_close(e);
}

cp_status cp_run_errors(const cp_command *command, const cp_options *options)
{
    cp_session session = {.options = options, .command = command};
    cp_errors e = {.session = &session};
    cp_item whole = {.path = "errors.npz"};
    char path[4096], part[4096];
    cp_status images = CP_OK, status = cp_session_arguments(&session, true, &e.data);
    if (!status)
        status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = prepare(&e, &whole, path, part);
    if (!status)
        images = walk(&e);
    if (!status && (!images || images == CP_EINPUT))
        status = publish(part, path);
    if (!status && (!images || images == CP_EINPUT) && e.shard.count == 1)
        status = report(&e, &whole);
    else if (!status && (!images || images == CP_EINPUT) && !options->json)
        printf("shard %s: %zu images in %s\n", e.shard.text, cp_ledger_count(e.ledger), path);
    end(&e);
    cp_session_close(&session);
    if (!status && images == CP_EINPUT)
        return cp_fail(CP_EINPUT, "%s", ""); /* said already */
    return status ? status : images;
}

/* `eval`: which map is right? Every map on the same photos, by the same tests, with errors and paired differences. What each image
 * gives is a line of a ledger, from which the report is made, so that a run goes on after a kill. */
#include "cli/eval.h"

#include <math.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/run_images.h"
#include "cli/walk.h"
#include "io/error.h"
#include "io/json.h"

typedef struct {
    cp_eval_plan plan;
    cp_request request;
    cp_ledger *ledger;
} job;

/* What the visits of a photo's responses need. */
typedef struct {
    const cp_eval_plan *plan;
    json_t *responses; /* those measured so far */
} measuring;

static cp_status measure_response(cp_session *s, cp_item *item, const cp_subject *subject, void *user)
{
    measuring *m = user;
    json_t *response = NULL;
    cp_status status = cp_eval_measure(s, item, subject, m->plan, &response);
    return status ? status : cp_json_append(m->responses, response);
}

static cp_status measure_responses(cp_session *s, cp_item *item, const job *j, json_t *responses)
{
    measuring m = {&j->plan, responses};
    int n;
    return cp_each_response(s, item, &j->request, measure_response, &m, &n);
}

/* That the ledger's line of this place in the list is of this photo, and not of the one that stood there in another list. */
static cp_status check_line(cp_ledger *ledger, const cp_item *item)
{
    const json_t *record = cp_ledger_of(ledger, item->index);
    const char *sha256 = json_string_value(json_object_get(record, "sha256"));
    const char *image = json_string_value(json_object_get(record, "image"));
    if (sha256 && !strcmp(sha256, item->sha256))
        return CP_OK;
    return cp_fail(CP_EINPUT, "-resume: image %zu of the list is %s, the results have %s there", item->index + 1, item->path,
                   image ? image : "another");
}

static cp_status eval_image(cp_session *s, cp_item *item, void *user)
{
    job *j = user;
    if (cp_ledger_has(j->ledger, item->index))
        return check_line(j->ledger, item);
    json_t *record = json_object(), *responses = json_array();
    int bad = cp_json_set(record, "image", cp_json_text(item->path));
    bad |= cp_json_set(record, "sha256", cp_json_text(item->sha256));
    cp_status status = bad ? CP_ERESOURCE : measure_responses(s, item, j, responses);
    if (!status)
        status = cp_json_set(record, "responses", json_incref(responses));
    if (!status && s->options->json)
        status = cp_json_write_stream(record, s->out);
    if (!status)
        status = cp_ledger_add(j->ledger, item->index, json_incref(record));
    json_decref(responses);
    json_decref(record);
    return status;
}

/* What the lines depend on. */
static json_t *manifest_of(const cp_session *s, const cp_eval_plan *plan)
{
    const cp_options *o = s->options;
    json_t *m = json_object();
    int bad = cp_json_set(m, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(m, "command", cp_json_text("eval"));
    bad |= cp_json_set(m, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(s->model)));
    bad |= cp_json_set(m, "weights_sha256", cp_json_text(cp_model_weights_sha256(s->model)));
    bad |= cp_json_set(m, "plan", cp_eval_plan_json(plan));
    bad |= cp_json_set(m, "class", cp_json_text(o->class_name));
    bad |= cp_json_set(m, "versus", cp_json_text(o->versus));
    bad |= cp_json_set(m, "box", cp_json_text(o->box));
    bad |= cp_json_set(m, "thresh", cp_json_real(o->thresh));
    bad |= cp_json_set(m, "nms", cp_json_real(o->nms));
    bad |= cp_json_set(m, "mass", cp_json_real(o->mass));
    bad |= cp_json_set(m, "layer", json_integer(o->layer));
    bad |= cp_json_set(m, "letterbox", json_integer(o->letterbox));
    bad |= cp_json_set(m, "seed", json_integer(o->seed));
    if (s->shard.count > 1)
        bad |= cp_json_set(m, "shard", cp_json_text(s->shard.text));
    if (!bad)
        return m;
    json_decref(m);
    return NULL;
}

static cp_status open_ledger(cp_session *s, job *j, cp_item *whole)
{
    char path[4096], ending[64];
    bool list = s->list;
    s->list = false; /* one result for all images */
    cp_status status = cp_choose_prefix(s, whole);
    if (!status)
        status = cp_output_path(s, whole, "", cp_shard_ending(&s->shard, ".jsonl", ending), path);
    s->list = list;
    if (!status)
        status = cp_ledger_open(path, manifest_of(s, &j->plan), s->options->resume || s->shard.count > 1, &j->ledger);
    if (!status && cp_ledger_count(j->ledger))
        cp_note(s, "%s: goes on after %zu images", path, cp_ledger_count(j->ledger));
    return status;
}

cp_status cp_run_eval(const cp_command *command, const cp_options *options)
{
    cp_session session;
    job j = {0};
    cp_item whole = {.path = "eval.npz"};
    cp_status images = CP_OK;
    cp_status status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = cp_request_read(&session, &j.request);
    if (!status)
        status = cp_eval_plan_read(&session, &j.plan);
    if (!status)
        status = open_ledger(&session, &j, &whole);
    if (!status)
        images = cp_session_each(&session, eval_image, &j);
    /* Images that could not be read have been said; the others count. */
    if (!status && session.shard.count == 1 && (!images || (images == CP_EINPUT && session.list)))
        status = cp_eval_report(&session, &j.plan, j.ledger, whole.prefix);
    cp_ledger_close(j.ledger);
    cp_session_close(&session);
    return status ? status : images;
}

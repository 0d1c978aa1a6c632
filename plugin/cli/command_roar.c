/* `roar`: which map finds what a network learns from? What each map ranks highest is removed from all pictures, a
 * network is trained anew on the rest, and the best map is the one that leaves least to learn (Hooker et al. 2019).
 * Every training is a line of a ledger, so that a run of hours goes on after a kill. */
#include "cli/command_roar.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "io/error.h"
#include "io/json.h"

/* ---------------------------------------------------------------- what is asked for */

static cp_status read_fractions(cp_roar *r, const cp_number_list *list)
{
    r->n_fractions = 1;
    for (int i = 0; i < list->n; i++) {
        if (!(list->value[i] > r->fraction[r->n_fractions - 1]))
            return cp_fail(CP_EINPUT, "-fractions: %g after %g, they must ascend from above 0", list->value[i],
                           r->fraction[r->n_fractions - 1]);
        r->fraction[r->n_fractions++] = list->value[i];
    }
    return CP_OK;
}

static cp_status read_lists(cp_roar *r)
{
    cp_data *data = NULL;
    int classes = cp_model_classes(r->session->model);
    cp_status status = cp_data_read(r->data, &data);
    if (!status && (!data->train || !data->valid))
        status = cp_fail(CP_EINPUT, "%s: has no %s=, the list of pictures", r->data, data->train ? "valid" : "train");
    if (!status)
        status = cp_valid_list_read(data->train, r->data, classes, &r->list[CP_ROAR_TRAIN]);
    if (!status)
        status = cp_valid_list_read(data->valid, r->data, classes, &r->list[CP_ROAR_VALID]);
    cp_data_free(data);
    return status;
}

static cp_status make_folder(const char *folder)
{
    if (mkdir(folder, 0777) && errno != EEXIST)
        return cp_fail(CP_EINPUT, "-out: folder \"%.300s\" cannot be made: %s", folder, strerror(errno));
    return CP_OK;
}

/* Darknet drops blanks from the paths in a .data file. */
static cp_status choose_folder(cp_roar *r)
{
    const char *out = r->session->options->out ? r->session->options->out : "roar";
    size_t length = strlen(out);
    while (length > 1 && out[length - 1] == '/')
        length--;
    if (length >= sizeof r->folder || strpbrk(out, " \t"))
        return cp_fail(CP_EINPUT, "-out: \"%.300s\" must have fewer than %zu bytes and no blanks", out,
                       sizeof r->folder);
    snprintf(r->folder, sizeof r->folder, "%.*s", (int)length, out);
    return make_folder(r->folder);
}

static cp_status read_plan(cp_roar *r)
{
    const cp_session *s = r->session;
    if (cp_model_get_kind(s->model) != CP_CLASSIFIER)
        return cp_fail(CP_EINPUT, "roar: %s is no classifier, and only classifiers are trained anew", s->cfg_path);
    if (s->w != s->h) /* beyond it Darknet writes past its input */
        return cp_fail(CP_EINPUT, "roar: %s takes pictures of %zux%zu, and Darknet trains classifiers on squares alone",
                       s->cfg_path, s->w, s->h);
    if (s->n_images)
        return cp_fail(CP_EINPUT, "roar: \"%.200s\": the pictures are those of the .data file", s->images[0]);
    r->repeats = s->options->repeats;
    r->directions = s->options->kar ? 2 : 1;
    r->road = s->options->road;
    cp_status status = read_fractions(r, &s->options->fractions);
    if (!status)
        status = cp_eval_plan_read(s, &r->plan);
    if (!status)
        status = read_lists(r);
    return status ? status : choose_folder(r);
}

/* ---------------------------------------------------------------- the ledger */

static cp_status add_list(json_t *manifest, const char *key, const cp_valid_list *list)
{
    char sha256[CP_SHA256_TEXT];
    cp_sha256 *hash;
    cp_status status = cp_sha256_begin(&hash);
    for (size_t i = 0; i < list->n && !status; i++)
        status = cp_sha256_add(hash, list->pictures[i], strlen(list->pictures[i]) + 1);
    cp_status ended = cp_sha256_end(&hash, sha256);
    if (!status)
        status = ended;
    return status ? status : cp_json_set(manifest, key, cp_json_text(sha256));
}

/* What the lines depend on. */
static cp_status make_manifest(const cp_roar *r, json_t *m)
{
    const cp_session *s = r->session;
    json_t *fractions = json_array();
    int bad = cp_json_set(m, "critpath", cp_json_text(CP_VERSION));
    bad |= cp_json_set(m, "command", cp_json_text("roar"));
    bad |= cp_json_set(m, "cfg_sha256", cp_json_text(cp_model_cfg_sha256(s->model)));
    bad |= cp_json_set(m, "weights_sha256", cp_json_text(cp_model_weights_sha256(s->model)));
    bad |= cp_json_set(m, "plan", cp_eval_plan_json(&r->plan));
    for (int i = 1; i < r->n_fractions; i++)
        bad |= cp_json_append(fractions, cp_json_real(r->fraction[i]));
    bad |= cp_json_set(m, "fractions", fractions);
    bad |= cp_json_set(m, "repeats", json_integer(r->repeats));
    bad |= cp_json_set(m, "kar", json_boolean(r->directions == 2));
    bad |= cp_json_set(m, "road", json_integer(r->road));
    bad |= cp_json_set(m, "mass", cp_json_real(s->options->mass));
    bad |= cp_json_set(m, "layer", json_integer(s->options->layer));
    bad |= cp_json_set(m, "seed", json_integer(s->options->seed));
    cp_status status = bad ? CP_ERESOURCE : CP_OK;
    for (int part = 0; part < CP_ROAR_PARTS && !status; part++)
        status = add_list(m, cp_roar_parts[part], &r->list[part]);
    return status;
}

/* The maps go before the ledger says what they are maps of. */
static cp_status open_ledger(cp_roar *r)
{
    char path[CP_ROAR_FILE];
    bool resume = r->session->options->resume;
    json_t *manifest = json_object();
    snprintf(path, sizeof path, "%s/roar.jsonl", r->folder);
    cp_status status = manifest ? make_manifest(r, manifest) : CP_ERESOURCE;
    if (status) {
        json_decref(manifest);
        return status;
    }
    if (!resume || access(path, F_OK))
        cp_roar_forget_maps(r);
    status = cp_ledger_open(path, manifest, resume, &r->ledger);
    if (!status && cp_ledger_count(r->ledger))
        cp_note(r->session, "%s: goes on after %zu of %zu steps", path, cp_ledger_count(r->ledger),
                cp_roar_road_step(r, r->plan.n_maps));
    return status;
}

cp_status cp_run_roar(const cp_command *command, const cp_options *options)
{
    cp_session session = {.options = options, .command = command};
    cp_roar r = {.session = &session};
    cp_status status = cp_session_arguments(&session, true, &r.data);
    if (!status && !r.data)
        status = cp_fail(CP_EINPUT, "roar: a .data file is needed, with train=, valid= and labels=");
    if (!status)
        status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = read_plan(&r);
    if (!status)
        status = open_ledger(&r);
    if (!status)
        status = cp_roar_make_maps(&r);
    if (!status)
        status = cp_roar_measure_road(&r);
    if (!status)
        status = cp_roar_train(&r);
    if (!status)
        status = cp_roar_report(&r);
    cp_ledger_close(r.ledger);
    for (int part = 0; part < CP_ROAR_PARTS; part++)
        cp_valid_list_free(&r.list[part]);
    cp_session_close(&session);
    return status;
}

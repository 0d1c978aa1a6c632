/* `compare`: what the paths of several methods, or of path files, have in common. docs/methods.md 2. */
#include "cli/commands.h"
#include "cli/compare.h"
#include "cli/no_detection.h"
#include "cli/output_path.h"
#include "cli/pathway.h"
#include "cli/run_images.h"
#include "cli/walk.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "path/path_file.h"

#include <string.h>
#include <strings.h>


/* What is compared: n methods or path files, at each sparsity. */
typedef struct {
    cp_session *session;
    cp_request request;
    int n;
    char name[CP_COMPARED_PATHS][64];
    const cp_method *method[CP_COMPARED_PATHS];  /* NULL: a file */
    const char *file[CP_COMPARED_PATHS];
    char input[CP_COMPARED_PATHS][65];           /* of which input a file's path is, or "" */
    cp_path *path[CP_COMPARED_PATHS];
    int n_sparsities;
    double sparsity[CP_MAX_SPARSITIES];
    char text[CP_MAX_SPARSITIES][32];
    cp_comparison *comparison[CP_MAX_SPARSITIES];
    float **score;                               /* n arrays of N; NULL for a file */
    double least_share[CP_COMPARED_PATHS];
} job;

/* ---------------------------------------------------------------- what is compared */

static cp_status claim_name(job *j, const char *name, size_t length)
{
    if (j->n == CP_COMPARED_PATHS)
        return cp_fail(CP_EINPUT, "compare: more than %d methods and files", CP_COMPARED_PATHS);
    char *to = j->name[j->n];
    snprintf(to, sizeof j->name[0], "%.*s", (int)(length < 60 ? length : 60), name);
    for (int i = 0; i < j->n; i++)
        if (!strcmp(j->name[i], to)) /* files of one name in two folders */
            snprintf(to, sizeof j->name[0], "%.*s (%d)", (int)(length < 50 ? length : 50), name, j->n + 1);
    j->n++;
    return CP_OK;
}

static cp_status take_method(void *user, const char *name)
{
    job *j = user;
    const cp_method *method = cp_method_find(name);
    for (int i = 0; i < j->n; i++)
        if (j->method[i] == method)
            return cp_fail(CP_EINPUT, "-methods: %s is in the list twice", name);
    cp_status status = claim_name(j, name, strlen(name));
    if (!status)
        j->method[j->n - 1] = method;
    return status;
}

/* "dog" of "runs/dog.path.npz" */
static cp_status read_file(job *j, const char *file)
{
    const char *stem = cp_file_name(file);
    size_t length = strlen(stem) - strlen(".npz");
    cp_file_meta meta;
    if (length > 5 && !strncasecmp(stem + length - 5, ".path", 5))
        length -= 5;
    cp_status status = claim_name(j, stem, length);
    if (status)
        return status;
    status = cp_path_read(file, j->session->model, NULL, &j->path[j->n - 1], &meta);
    j->file[j->n - 1] = file;
    if (!status)
        snprintf(j->input[j->n - 1], sizeof j->input[0], "%s", meta.input_sha256);
    return status;
}

/* Path files may stand among the images. */
static cp_status read_selectors(job *j)
{
    cp_session *s = j->session;
    const char *methods = s->options->methods;
    int files = 0, images = 0;
    cp_status status = CP_OK;
    for (int i = 0; i < s->n_images; i++)
        files += cp_ends_with(s->images[i], ".npz");
    if (methods || !files)
        status = cp_each_method(j->session->command, "methods", methods ? methods : CP_DEFAULT_METHODS, take_method, j);
    bool any_method = j->n > 0;
    for (int i = 0; i < s->n_images && !status; i++) {
        if (cp_ends_with(s->images[i], ".npz"))
            status = read_file(j, s->images[i]);
        else
            s->images[images++] = s->images[i];
    }
    if (status)
        return status;
    if (j->n < 2)
        return cp_fail(CP_EINPUT, "compare: %d method or file, at least two are compared", j->n);
    if (files && images > 1)
        return cp_fail(CP_EINPUT, "compare: %d images, path files go with one at most", images);
    if (any_method && files && !images)
        return cp_fail(CP_EINPUT, "compare: -methods needs an image; path files alone are compared without it");
    s->n_images = images;
    s->list = images != 1;
    return CP_OK;
}

static cp_status prepare(job *j)
{
    const cp_number_list *asked = &j->session->options->sparsity;
    cp_status status = read_selectors(j);
    bool files_only = true;
    for (int k = 0; k < j->n; k++)
        files_only = files_only && !j->method[k];
    j->n_sparsities = asked->n && !files_only ? asked->n : 1;
    for (int i = 0; i < j->n_sparsities && !status; i++) {
        j->sparsity[i] = asked->n ? asked->value[i] : CP_DEFAULT_SPARSITY;
        snprintf(j->text[i], sizeof j->text[i], "%s", files_only ? "" : asked->n ? asked->text[i] : "0.9");
        status = cp_comparison_create(j->session->model, j->n, &j->comparison[i]);
    }
    if (!status && !(j->score = cp_alloc((size_t)j->n, sizeof *j->score, "scores")))
        status = CP_ERESOURCE;
    for (int k = 0; k < j->n && !status; k++) {
        if (!j->method[k])
            continue;
        j->score[k] = cp_alloc(cp_model_neuron_count(j->session->model), sizeof(float), "scores");
        status = j->score[k] ? cp_path_create(j->session->model, &j->path[k]) : CP_ERESOURCE;
    }
    return status;
}

static void free_job(job *j)
{
    for (int k = 0; k < j->n; k++) {
        cp_path_free(j->path[k]);
        if (j->score)
            cp_free(j->score[k]);
    }
    cp_free(j->score);
    for (int i = 0; i < j->n_sparsities; i++)
        cp_comparison_free(j->comparison[i]);
}

/* ---------------------------------------------------------------- one image */

static cp_status compare_subject(cp_session *s, cp_item *item, const cp_subject *subject, void *user)
{
    job *j = user;
    const cp_response *response = &subject->response;
    (void)item;
    cp_status status = CP_OK;
    for (int k = 0; k < j->n && !status; k++) {
        cp_scoring scoring;
        if (!j->method[k])
            continue;
        status = cp_method_score(s, j->method[k], response, j->score[k], &scoring);
        j->least_share[k] = scoring.least_share;
        cp_scoring_free(&scoring);
    }
    for (int i = 0; i < j->n_sparsities && !status; i++) {
        for (int k = 0; k < j->n && !status; k++) {
            cp_selection selection;
            if (j->method[k])
                status = cp_select_path(s, j->score[k], j->least_share[k], j->sparsity[i], 0, response, j->path[k],
                                        &selection, NULL);
        }
        if (!status)
            status = cp_comparison_add(j->comparison[i], (const cp_path *const *)j->path, s->frame, 0);
    }
    return status;
}

static cp_status compare_image(cp_session *s, cp_item *item, void *user)
{
    job *j = user;
    cp_nothing nothing;
    int n;
    for (int k = 0; k < j->n; k++)
        if (j->file[k] && *j->input[k] && strcmp(j->input[k], item->input_sha256))
            cp_note(s, "%s: the path is of another input than %s, whose activations say what is dead", j->file[k],
                    item->path);
    cp_status status = cp_each_response(s, item, &j->request, compare_subject, j, &n);
    if (!status && !n && !(status = cp_nothing_find(s, item, &j->request, &nothing)))
        cp_note(s, "%s: %s; left out", item->path, nothing.text);
    return status;
}

/* ---------------------------------------------------------------- results */

static cp_compared describe(const job *j, int i)
{
    cp_compared c = {.model = j->session->model, .comparison = j->comparison[i], .n = j->n,
                     .sparsity = *j->text[i] ? j->text[i] : NULL};
    for (int k = 0; k < j->n; k++)
        c.name[k] = j->name[k];
    return c;
}

/* PREFIX.csv, .json, .matrix.png, .layers.png; a sweep tags each with its sparsity. */
static cp_status write_results(const job *j, int i, json_t *object)
{
    static const char *const endings[] = {".json", ".csv", ".matrix.png", ".layers.png"};
    const cp_session *s = j->session;
    cp_item item = {.path = "compare.npz"};
    char tag[24] = "", path[4][4096];
    cp_compared compared = describe(j, i);
    cp_status status = cp_choose_prefix(j->session, &item);
    if (j->n_sparsities > 1)
        snprintf(tag, sizeof tag, "-%s", j->text[i]);
    for (int k = 0; k < 4 && !status; k++) {
        status = cp_output_path(s, &item, tag, endings[k], path[k]);
        for (int f = 0; f < j->n && !status; f++)
            if (j->file[f] && !strcmp(j->file[f], path[k]))
                status = cp_fail(CP_EINPUT, "-out: \"%.300s\" would overwrite an input of this run", path[k]);
    }
    if (!status)
        status = cp_json_write_file(object, path[0]);
    if (!status)
        status = cp_compared_csv(&compared, path[1]);
    if (!status && !s->options->no_picture)
        status = cp_compared_pictures(&compared, path[2], path[3]);
    if (!status && !s->options->json)
        cp_print_files(stdout, path[0], path[1], s->options->no_picture ? NULL : path[2],
                       s->options->no_picture ? NULL : path[3]);
    return status;
}

static cp_status report(job *j)
{
    cp_session *s = j->session;
    cp_status status = CP_OK;
    bool list = s->list;
    s->list = false; /* one result for all images */
    for (int i = 0; i < j->n_sparsities && !status; i++) {
        cp_compared compared = describe(j, i);
        json_t *object = cp_compared_json(&compared);
        status = object ? CP_OK : CP_ERESOURCE;
        if (!status && s->options->json)
            status = cp_json_write_stream(object, stdout);
        if (!status && !s->options->json)
            cp_compared_print(&compared, s->options->layers, stdout);
        if (!status && s->options->out)
            status = write_results(j, i, object);
        json_decref(object);
    }
    s->list = list;
    return status;
}

cp_status cp_run_compare(const cp_command *command, const cp_options *options)
{
    cp_session session;
    job j = {.session = &session};
    cp_status status = cp_session_open(command, options, true, true, &session);
    if (!status)
        status = cp_request_read(&session, &j.request);
    if (!status)
        status = prepare(&j);
    cp_status images = CP_OK;
    bool files_only = !status && !session.n_images && j.file[0] && !j.method[0];
    if (!status && files_only)
        status = cp_comparison_add(j.comparison[0], (const cp_path *const *)j.path, NULL, 0);
    else if (!status)
        images = cp_session_each(&session, compare_image, &j);
    /* Images that could not be read have been said; the others count. */
    if (!status && (!images || (images == CP_EINPUT && session.list)) && cp_comparison_images(j.comparison[0]))
        status = report(&j);
    else if (!status && !images)
        status = cp_fail(CP_EINPUT, "compare: no image has a detection to compare paths of");
    status = status ? status : images;
    free_job(&j);
    cp_session_close(&session);
    return status;
}

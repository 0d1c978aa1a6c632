/* `classpath`: on how many images' paths each neuron is, for each class; counts of parts of a list add up to those of the whole. */
#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/pathway.h"
#include "cli/run_images.h"
#include "cli/typical_option.h"
#include "cli/walk.h"
#include "io/error.h"
#include "io/file.h"
#include "path/effective.h"

#include <string.h>

typedef struct {
    cp_request request;
    cp_class_paths *paths;
    bool edges;
    size_t without; /* images in which nothing was found to explain */
} job;

static cp_status count_subject(cp_session *s, cp_item *item, const cp_subject *subject, void *user)
{
    job *j = user;
    cp_pathways pathways;
    cp_effective_edges edges = {0};
    char image[100], number[24];
    if (subject->class_id < 0)
        return cp_fail(CP_EINPUT, "classpath: %s is no class", subject->response.text);
    snprintf(image, sizeof image, "%s%s", item->sha256, subject->tag);
    const char *before = cp_class_paths_name(j->paths, subject->class_id, image);
    if (before) {
        cp_note(s, "%s: counted for %s already%s%s, and not once more", item->path,
                cp_session_class(s, subject->class_id, number), *before ? ", as " : "", before);
        return CP_OK;
    }
    cp_status status = cp_pathways_find(s, item, &subject->response, false, &pathways);
    if (!status && j->edges) {
        cp_path *again;
        status = cp_path_create(s->model, &again);
        if (!status)
            status = cp_path_effective(s->frame, 0, &subject->response, (cp_effective_rule)s->options->keeps, s->options->theta,
                                       again, &edges);
        cp_path_free(again);
    }
    if (!status)
        status = cp_class_paths_add(j->paths, subject->class_id, image, cp_file_name(item->path), pathways.pathway[0].path,
                                    j->edges ? &edges : NULL);
    cp_effective_edges_free(&edges);
    cp_pathways_free(&pathways);
    return status;
}

static cp_status count_image(cp_session *s, cp_item *item, void *user)
{
    job *j = user;
    int n;
    cp_status status = cp_each_response(s, item, &j->request, count_subject, j, &n);
    j->without += !status && !n;
    return status;
}

static bool only_files(const cp_options *o)
{
    int files = 0, weights = 0;
    for (int i = 0; i < o->n_arguments; i++) {
        files += cp_ends_with(o->arguments[i], ".npz");
        weights = cp_ends_with(o->arguments[i], ".weights") ? i + 1 : weights;
    }
    return files && o->n_arguments - weights == files && !o->list;
}

/* Parts that share an image are refused: what they have counted of it cannot be told apart any more. */
static cp_status add_part(const cp_session *s, job *j, const cp_class_paths *part, const char *file)
{
    int class_id;
    char number[24], text[24];
    const char *image = cp_class_paths_common(j->paths, part, &class_id);
    if (image && json_equal(cp_class_paths_settings(j->paths), cp_class_paths_settings(part))) {
        const char *name = cp_class_paths_name(part, class_id, image);
        snprintf(text, sizeof text, "image %.12s...", image);
        return cp_fail(CP_EINPUT, "%.200s: %.200s is counted for %s already; parts may have no image in common", file,
                       *name ? name : text, cp_session_class(s, class_id, number));
    }
    cp_status status = cp_class_paths_merge(j->paths, part);
    if (status == CP_EINPUT)
        cp_note(s, "%s: cannot be added", file);
    return status;
}

/* Class paths among the arguments are taken out of the images, and added. */
static cp_status add_files(cp_session *s, job *j, int *files)
{
    int images = 0;
    cp_status status = CP_OK;
    *files = 0;
    for (int i = 0; i < s->n_images && !status; i++) {
        cp_class_paths *part;
        if (!cp_ends_with(s->images[i], ".npz")) {
            s->images[images++] = s->images[i];
            continue;
        }
        status = cp_class_paths_read(s->images[i], s->model, &part);
        if (!status && !*files && only_files(s->options)) { /* the first decides how paths are found, unless photos come too */
            cp_class_paths_free(j->paths);
            j->paths = part;
            part = NULL;
        } else if (!status) {
            status = add_part(s, j, part, s->images[i]);
        }
        if (part)
            cp_class_paths_free(part);
        ++*files;
    }
    s->n_images = images;
    return status;
}

static void print_classes(const cp_session *s, const job *j, const char *file)
{
    char number[24];
    size_t n = cp_model_neuron_count(s->model);
    fprintf(s->out, "  %-24s %8s %14s %14s\n", "class",
            cp_class_paths_by_answer(j->paths) ? "answers" : "images", "on any path", "on half");
    for (int k = 0; k < cp_class_paths_count(j->paths); k++) {
        const cp_class_count *count = cp_class_paths_at(j->paths, k);
        size_t any = 0, half = 0;
        for (size_t i = 0; i < n; i++) {
            any += count->neurons[i] > 0;
            half += count->neurons[i] > 0 && 2 * (int64_t)count->neurons[i] >= count->images;
        }
        fprintf(s->out, "  %-24s %8d %14zu %14zu\n", cp_session_class(s, count->id, number), count->images, any, half);
    }
    if (j->without)
        fprintf(s->out, "%zu image%s in which nothing was found\n", j->without, j->without == 1 ? "" : "s");
    fprintf(s->out, "file: %s\n", file);
}

static cp_status report(const cp_session *s, const job *j, const char *file)
{
    if (!s->options->json) {
        print_classes(s, j, file);
        return CP_OK;
    }
    json_t *object = json_object(), *classes = json_array();
    int bad = 0;
    for (int k = 0; k < cp_class_paths_count(j->paths); k++) {
        char number[24];
        const cp_class_count *count = cp_class_paths_at(j->paths, k);
        bad |= cp_json_append(classes, json_pack("{s:i,s:s,s:i}", "class", count->id, "name",
                                                 cp_session_class(s, count->id, number), "images", count->images));
    }
    bad |= cp_json_set(object, "classes", classes);
    bad |= cp_json_set(object, "without", json_integer((json_int_t)j->without));
    bad |= cp_json_set(object, "file", cp_json_text(file));
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, s->out);
    json_decref(object);
    return status;
}

static cp_status write_result(cp_session *s, const job *j)
{
    cp_item whole = {.path = "classes.npz"};
    char file[4096], ending[64];
    bool list = s->list;
    if (!cp_class_paths_count(j->paths))
        return cp_fail(CP_EINPUT, "classpath: nothing was found to explain in %zu image%s, so no file is written%s", j->without,
                       j->without == 1 ? "" : "s",
                       cp_model_get_kind(s->model) == CP_CLASSIFIER ? "" : "; a lower -thresh finds more");
    s->list = false; /* one result for all images */
    cp_status status = cp_choose_prefix(s, &whole);
    s->list = list;
    if (!status)
        status = cp_output_path(s, &whole, "", cp_shard_ending(&s->shard, ".classpath.npz", ending), file);
    if (!status)
        status = cp_class_paths_write(j->paths, file);
    return status ? status : report(s, j, file);
}

static cp_status check_options(const cp_options *o)
{
    if (o->sparsity.n > 1)
        return cp_fail(CP_EINPUT, "classpath: %d sparsities, one path of each image is counted", o->sparsity.n);
    if (o->edges && strcmp(o->edges, "channels"))
        return cp_fail(CP_EINPUT, "classpath: -edges %.60s: only those between channels are counted", o->edges);
    if (o->edges && (strcmp(o->method, "effective") || o->keeps == CP_EFFECTIVE_FORWARD))
        return cp_fail(CP_EINPUT, "classpath: -edges are those of -method effective, with -keeps share or absolute");
    return CP_OK;
}

cp_status cp_run_classpath(const cp_command *command, const cp_options *options)
{
    cp_session session;
    job j = {.edges = options->edges};
    int files = 0;
    cp_lines lines = {0};
    cp_status images = CP_OK, status = check_options(options);
    if (status)
        return status;
    status = cp_session_open(command, options, true, !only_files(options), &session);
    if (!status)
        status = cp_request_read(&session, &j.request);
    if (!status)
        status = cp_class_paths_create(session.model, cp_path_settings(options), j.edges, &j.paths);
    if (!status)
        status = add_files(&session, &j, &files);
    if (!status && options->list)
        status = cp_session_read_list(&session, &lines);
    session.list = session.n_images != 1;
    if (!status && !(files && !session.n_images))
        images = cp_session_each(&session, count_image, &j);
    /* Images that could not be read have been said; the others count. */
    if (!status && (!images || (images == CP_EINPUT && session.list)))
        status = write_result(&session, &j);
    cp_class_paths_free(j.paths);
    cp_lines_free(&lines);
    session.images = NULL;
    cp_session_close(&session);
    return status ? status : images;
}

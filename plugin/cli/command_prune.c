/* `prune`: from paths to a smaller network. */
#include "cli/accuracy.h"
#include "cli/commands.h"
#include "cli/no_detection.h"
#include "cli/output_path.h"
#include "cli/pathway.h"
#include "cli/run_images.h"
#include "cli/walk.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "train/choose.h"
#include "train/prune.h"

#include <math.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Everything of one run. */
static const double STARVED = .05; /* of a layer's filters: fewer are as good as none */

typedef struct {
    cp_session session;
    cp_request request;
    cp_cfg *cfg;
    const char *data;           /* the .data file, or NULL */
    const char **files;         /* among the arguments, .npz */
    int n_files;
    cp_channels channels;
    cp_channel_scores scores;
    bool *kept;                 /* by group */
    cp_cfg *smaller;
    cp_cfg_net *net;            /* of the smaller one */
    char out_cfg[4096], out_weights[4096];
    cp_valid_list valid;
    cp_right before, after;
} job;

/* ---------------------------------------------------------------- arguments */

static bool absorbs_means(const cp_options *o) { return o->removed == CP_REMOVED_MEAN; }

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static cp_status choose_outputs(job *j, const cp_options *o)
{
    char *names[] = {j->out_cfg, j->out_weights};
    const char *const endings[] = {".cfg", ".weights"};
    if (!o->out)
        return cp_fail(CP_EINPUT, "prune: -out is missing, PREFIX of the .cfg and .weights to write");
    size_t length = strlen(o->out);
    int prefix = (int)length - (length > 4 && !strcmp(o->out + length - 4, ".cfg") ? 4 : 0); /* of small.cfg, "small" */
    if (length > 3000 || o->out[length - 1] == '/' || cp_is_folder(o->out))
        return cp_fail(CP_EINPUT, "-out: \"%.200s\" is no prefix of a file name", o->out);
    for (int k = 0; k < 2; k++) {
        struct stat there;
        snprintf(names[k], sizeof j->out_cfg, "%.*s%s", prefix, o->out, endings[k]);
        if (!stat(names[k], &there) && !S_ISREG(there.st_mode)) /* before the other of the two is written */
            return cp_fail(CP_EINPUT, "-out: \"%.300s\" is there and no regular file", names[k]);
        for (int i = 0; i < o->n_arguments; i++)
            if (same_file(names[k], o->arguments[i]))
                return cp_fail(CP_EINPUT, "-out: \"%.300s\" would overwrite an input of this run", names[k]);
    }
    return CP_OK;
}

static cp_status check_options(job *j, const cp_command *command, const cp_options *o)
{
    cp_session *s = &j->session;
    *s = (cp_session){.options = o, .command = command};
    cp_status status = cp_session_arguments(s, true, &j->data);
    if (!status)
        status = choose_outputs(j, o);
    if (!status && o->sparsity.n > 1)
        status = cp_fail(CP_EINPUT, "prune: -sparsity has %d values, one is allowed", o->sparsity.n);
    if (!status && o->valid && !j->data)
        status = cp_fail(CP_EINPUT, "prune: -valid needs a .data file, whose labels say what a picture is of");
    return status;
}

/* Takes the .npz out of the session's images. */
static cp_status take_files(job *j)
{
    cp_session *s = &j->session;
    int images = 0;
    j->files = cp_alloc((size_t)s->n_images + 1, sizeof *j->files, "files");
    if (!j->files)
        return CP_ERESOURCE;
    for (int i = 0; i < s->n_images; i++) {
        if (cp_ends_with(s->images[i], ".npz"))
            j->files[j->n_files++] = s->images[i];
        else
            s->images[images++] = s->images[i];
    }
    s->n_images = images;
    s->list = images != 1;
    if (absorbs_means(s->options) && j->n_files && !images)
        return cp_fail(CP_EINPUT, "prune: -removed mean needs images, over which the mean is taken, beside the files");
    return CP_OK;
}

/* ---------------------------------------------------------------- the work */

static cp_status add_response(cp_session *s, cp_item *item, const cp_subject *subject, void *user)
{
    job *j = user;
    cp_pathways pathways;
    cp_status status = cp_pathways_find(s, item, &subject->response, false, &pathways);
    if (!status)
        status = cp_channel_scores_add_path(&j->scores, pathways.pathway[0].path);
    cp_pathways_free(&pathways);
    return status;
}

static cp_status add_image(cp_session *s, cp_item *item, void *user)
{
    job *j = user;
    cp_nothing nothing;
    int n;
    cp_status status = cp_each_response(s, item, &j->request, add_response, j, &n);
    if (!status && !n && !(status = cp_nothing_find(s, item, &j->request, &nothing)))
        cp_note(s, "%s: %s; left out", item->path, nothing.text);
    if (!status && absorbs_means(s->options))
        cp_channel_scores_add_means(&j->scores, s->frame, 0);
    return status;
}

static cp_status add_paths(job *j)
{
    cp_session *s = &j->session;
    cp_status status = CP_OK;
    for (int i = 0; i < j->n_files && !status; i++)
        status = cp_channel_scores_add_file(&j->scores, j->cfg, cp_model_weights_sha256(s->model), j->files[i]);
    if (!status && (s->n_images || !j->n_files))
        status = cp_session_each(s, add_image, j);
    for (size_t i = 0; i < j->channels.n && j->scores.images; i++)
        j->scores.mean[i] /= (double)j->scores.images;
    return status;
}

static cp_status measure(job *j, const cp_model *model, const char *what, cp_right *right)
{
    return j->valid.n ? cp_valid_list_measure(&j->valid, model, what, j->session.options->quiet, right) : CP_OK;
}

static cp_status write_network(job *j)
{
    const cp_session *s = &j->session;
    cp_model *model = NULL;
    cp_files_begin();
    cp_status status = cp_prune_weights(s->weights_path, s->cfg_path, &j->channels, j->kept,
                                        absorbs_means(s->options) ? j->scores.mean : NULL, j->net, j->out_weights);
    if (!status)
        status = cp_cfg_write(j->smaller, j->out_cfg);
    status = cp_files_end(status);
    if (!status)
        status = cp_model_open(j->out_cfg, j->out_weights, &model);
    if (!status)
        status = measure(j, model, "top-1 after", &j->after);
    cp_model_free(model);
    return status;
}

static cp_status prune(job *j)
{
    cp_session *s = &j->session;
    const cp_options *o = s->options;
    const cp_choice choice = {.keep = o->keep > 0 ? o->keep : NAN, .floor = o->floor, .random = o->random > 0,
                              .seed = (uint64_t)o->random};
    cp_status status = cp_request_read(s, &j->request);
    if (!status && o->valid)
        status = cp_valid_list_read(o->valid, j->data, cp_model_classes(s->model), &j->valid);
    if (!status)
        status = cp_cfg_read(s->cfg_path, &j->cfg);
    if (!status)
        status = cp_channels_find(s->net, &j->channels);
    if (!status)
        status = cp_channel_scores_create(&j->channels, &j->scores);
    if (!status)
        status = add_paths(j);
    if (!status && !(j->kept = cp_alloc(j->channels.n_groups, sizeof *j->kept, "channels")))
        status = CP_ERESOURCE;
    if (!status)
        status = cp_channels_choose(&j->channels, &j->scores, &choice, j->kept);
    if (!status)
        status = cp_prune_cfg(j->cfg, &j->channels, j->kept, &j->smaller);
    if (!status)
        status = cp_cfg_check(j->smaller, 0, &j->net);
    if (!status)
        status = measure(j, s->model, "top-1 before", &j->before);
    return status ? status : write_network(j);
}

/* ---------------------------------------------------------------- the report */

/* Filters of layer l that the reason keeps. */
static size_t count_reason(const cp_channels *c, int l, int reason)
{
    size_t n = 0, first = cp_channels_first(c, l);
    for (size_t i = first; i < first + cp_channels_count(c, l); i++)
        n += c->reason[c->group[i]] == reason;
    return n;
}

static size_t groups_kept(const job *j)
{
    size_t n = 0;
    for (size_t g = 0; g < j->channels.n_groups; g++)
        n += j->kept[g] && j->channels.reason[g] < 0;
    return n;
}

static void print_report(const job *j)
{
    const cp_channels *c = &j->channels;
    char a[32], b[32];
    double macs = cp_net_macs(c->net), left = cp_net_macs(j->net);
    printf("channels that go or stay together: %zu, of which %zu can be cut; %zu of these stay, by %s%zu path%s\n",
           c->n_groups, c->cuttable, groups_kept(j), j->session.options->random ? "chance, as many as by " : "",
           j->scores.n, j->scores.n == 1 ? "" : "s");
    printf("  %-24s %10s %10s %8s\n", "layer", "filters", "stay", "share");
    for (size_t l = 0; l < c->net->n_layers; l++) {
        const cp_cfg_layer *was = &c->net->layers[l], *is = &j->net->layers[l];
        char name[64];
        snprintf(name, sizeof name, "%03zu_%s", l, cp_layer_type_name(was->type));
        if (cp_layer_has_filters(was))
            printf("  %-24s %10d %10d %7.2f%%\n", name, was->n, is->n, 100. * is->n / was->n);
    }
    for (size_t l = 0; l < c->net->n_layers; l++)
        for (size_t r = 0; r < c->n_reasons && cp_layer_has_filters(&c->net->layers[l]); r++) {
            size_t n = count_reason(c, (int)l, (int)r);
            if (n)
                printf("cannot be cut: %zu filters of layer %zu [%s]: %s\n", n, l,
                       cp_layer_type_name(c->net->layers[l].type), c->reasons[r]);
        }
    printf("floats in the weights file: %s, before %s: %.2f times smaller\n", cp_grouped(j->net->n_weights, a),
           cp_grouped(c->net->n_weights, b), (double)c->net->n_weights / (double)j->net->n_weights);
    printf("multiply-adds: %.4g million, before %.4g million: %.2f times fewer\n", left / 1e6, macs / 1e6, macs / left);
    if (j->valid.n)
        printf("top-1 of %zu pictures: %.2f%%, before %.2f%%; among the classes in the list: %.2f%%, before %.2f%%\n",
               j->valid.n, 100. * (double)j->after.all / (double)j->valid.n,
               100. * (double)j->before.all / (double)j->valid.n,
               100. * (double)j->after.present / (double)j->valid.n,
               100. * (double)j->before.present / (double)j->valid.n);
    fputs("cfg: ", stdout);
    cp_print_name(stdout, j->out_cfg);
    fputs("\nweights: ", stdout);
    cp_print_name(stdout, j->out_weights);
    putchar('\n');
}

static json_t *layers_json(const job *j)
{
    const cp_channels *c = &j->channels;
    json_t *layers = json_array();
    int bad = !layers;
    for (size_t l = 0; l < c->net->n_layers && !bad; l++) {
        const cp_cfg_layer *was = &c->net->layers[l];
        if (!cp_layer_has_filters(was))
            continue;
        json_t *reasons = json_array(), *layer = json_object();
        for (size_t r = 0; r < c->n_reasons; r++) {
            size_t n = count_reason(c, (int)l, (int)r);
            if (n)
                bad |= cp_json_append(reasons, json_pack("{s:I,s:s}", "filters", (json_int_t)n, "reason",
                                                         c->reasons[r]));
        }
        bad |= cp_json_set(layer, "layer", json_integer((json_int_t)l));
        bad |= cp_json_set(layer, "type", cp_json_text(cp_layer_type_name(was->type)));
        bad |= cp_json_set(layer, "filters", json_integer(j->net->layers[l].n));
        bad |= cp_json_set(layer, "filters_before", json_integer(was->n));
        bad |= cp_json_set(layer, "cannot_be_cut", reasons);
        bad |= cp_json_append(layers, layer);
    }
    return cp_json_finish(layers, bad);
}

static json_t *right_json(const job *j, const cp_right *right)
{
    if (!j->valid.n)
        return json_null();
    return json_pack("{s:I,s:I,s:I}", "pictures", (json_int_t)j->valid.n, "right", (json_int_t)right->all,
                     "right_among_present", (json_int_t)right->present);
}

/* A layer that is all but gone carries next to nothing, as where no photo had an answer of that head. */
static void warn_of_starved(const job *j)
{
    char list[200] = "";
    int n = 0;
    for (size_t l = 0; l < j->net->n_layers; l++) {
        const cp_cfg_layer *was = &j->channels.net->layers[l];
        size_t used = strlen(list);
        if (cp_layer_has_filters(was) && was->n >= 16 && j->net->layers[l].n < STARVED * was->n && used < sizeof list - 16)
            snprintf(list + used, sizeof list - used, "%s%zu", n++ ? ", " : "", l);
    }
    if (n)
        cp_note(&j->session, "prune: layer%s %s %s all but gone, so that what follows hardly answers: no path of these images needs "
                "%s. More images, of a detector -box all, a higher -keep, or -floor .3", n > 1 ? "s" : "", list, n > 1 ? "are" : "is",
                n > 1 ? "them" : "it");
}

static cp_status report(const job *j)
{
    const cp_channels *c = &j->channels;
    warn_of_starved(j);
    if (!j->session.options->json) {
        print_report(j);
        return CP_OK;
    }
    json_t *object = cp_json_pack("{s:o,s:o,s:o,s:o,s:I,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o}",
                                  "critpath", cp_json_text(CP_VERSION), "command", cp_json_text("prune"),
                                  "cfg", cp_json_text(j->out_cfg), "weights", cp_json_text(j->out_weights),
                                  "paths", (json_int_t)j->scores.n, "random", j->session.options->random > 0,
                                  "removed", cp_json_text(cp_choice_name("removed", j->session.options->removed)),
                                  "groups", (json_int_t)c->n_groups, "groups_cuttable", (json_int_t)c->cuttable,
                                  "groups_kept", (json_int_t)groups_kept(j),
                                  "parameters", (json_int_t)j->net->n_weights,
                                  "parameters_before", (json_int_t)c->net->n_weights,
                                  "macs", cp_json_real(cp_net_macs(j->net)),
                                  "macs_before", cp_json_real(cp_net_macs(c->net)), "top1", right_json(j, &j->after),
                                  "top1_before", right_json(j, &j->before), "layers", layers_json(j));
    int bad = !object;
    cp_status status = bad ? CP_ERESOURCE : cp_json_write_stream(object, stdout);
    json_decref(object);
    return status;
}

static void free_job(job *j)
{
    cp_valid_list_free(&j->valid);
    cp_cfg_net_free(j->net);
    cp_cfg_free(j->smaller);
    cp_free(j->kept);
    cp_channel_scores_free(&j->scores);
    cp_channels_free(&j->channels);
    cp_cfg_free(j->cfg);
    cp_free(j->files);
    cp_session_close(&j->session);
}

cp_status cp_run_prune(const cp_command *command, const cp_options *options)
{
    job j = {.n_files = 0};
    cp_status status = check_options(&j, command, options);
    if (!status)
        status = cp_session_open(command, options, true, true, &j.session);
    if (!status)
        status = take_files(&j);
    if (!status)
        status = prune(&j);
    if (!status)
        status = report(&j);
    free_job(&j);
    return status;
}

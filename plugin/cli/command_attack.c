/* `attack`: inputs that are answered wrongly on purpose, and whether an answer's path tells them from honest ones better than its
 * probability does. The attacks do not know of the paths (they are not adaptive): no claim of security follows. */
#include "cli/commands.h"
#include "cli/output_path.h"
#include "cli/pathway.h"
#include "cli/typical_option.h"
#include "cli/walk.h"
#include "eval/attack.h"
#include "io/atomic.h"
#include "io/csv.h"
#include "io/error.h"
#include "path/class_paths.h"
#include "score/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PGD_STEPS = 10, MOST_ATTACKS = 2 * CP_MAX_SPARSITIES };

/* What tells unusual inputs from others; each is larger where the input is stranger. */
enum { BY_SOFTMAX, BY_ENERGY, BY_PATH, BY_RIVAL, DETECTORS };
static const char *const detectors[DETECTORS] = {"max-softmax", "energy", "path", "path less rival's"};

/* One input: a photo's own, or one attack on it. */
typedef struct {
    char *image;
    int attack;                /* -1: the photo's own */
    int class_id, first;       /* what it is answered, and what the photo is */
    double value[DETECTORS];
    double softmax, energy;
    double *same, *rival;      /* by neuron layer: |P and C| / |P| with the class's usual path C; less that of the second class */
} row;

typedef struct {
    struct { double epsilon; int steps; char name[40]; } attack[MOST_ATTACKS];
    int n_attacks;
    row *rows;
    size_t n, room;
    float *x;
    int logits; /* layer */
    size_t counted; /* photos that the class paths were counted on, too */
} job;

/* ---------------------------------------------------------------- one input */

static void two_best(const float *logits, int n, int best[2])
{
    best[0] = best[1] = -1;
    for (int i = 0; i < n; i++) {
        if (best[0] < 0 || logits[i] > logits[best[0]]) {
            best[1] = best[0];
            best[0] = i;
        } else if (best[1] < 0 || logits[i] > logits[best[1]]) {
            best[1] = i;
        }
    }
}

/* Of a class, by layer and (mean) over the layers in which the path has neurons; 0 of a class that was never counted. */
static cp_status shares_on(const cp_session *s, const cp_path *path, int class_id, double *layer, double *mean)
{
    int n, counted = 0;
    size_t both, either;
    cp_path *usual = NULL;
    const cp_class_count *count = cp_class_paths_find(s->typical, class_id);
    cp_model_neuron_layers(s->model, &n);
    cp_status status = cp_path_create(s->model, &usual);
    *mean = 0;
    if (!status && count)
        cp_class_usual(count, s->options->usual, usual);
    for (int l = 0; l < n && !status; l++) {
        size_t own = cp_path_layer_count(path, l);
        status = cp_path_overlap(path, usual, l, &both, &either);
        layer[l] = own ? (double)both / (double)own : NAN;
        *mean += own ? layer[l] : 0;
        counted += own > 0;
    }
    cp_path_free(usual);
    *mean = counted ? *mean / counted : 0;
    return status;
}

static cp_status find_features(cp_session *s, const cp_item *item, int class_id, int second, row *r)
{
    cp_response response;
    cp_pathways pathways = {0};
    int n;
    double mean = 0, rival = 0;
    cp_model_neuron_layers(s->model, &n);
    r->same = cp_alloc((size_t)n, sizeof *r->same, "features");
    r->rival = cp_alloc((size_t)n, sizeof *r->rival, "features");
    cp_status status = r->same && r->rival ? cp_response_class(s->model, class_id, &response) : CP_ERESOURCE;
    if (!status)
        status = cp_pathways_find(s, item, &response, false, &pathways);
    if (!status)
        status = shares_on(s, pathways.pathway[0].path, class_id, r->same, &mean);
    if (!status)
        status = shares_on(s, pathways.pathway[0].path, second, r->rival, &rival);
    for (int l = 0; l < n && !status; l++)
        r->rival[l] = r->same[l] - r->rival[l];
    r->value[BY_PATH] = 1 - mean;
    r->value[BY_RIVAL] = 1 - (mean - rival);
    cp_pathways_free(&pathways);
    return status;
}

/* The frame holds a run of s->input. */
static cp_status add_row(cp_session *s, const cp_item *item, job *j, int attack, int first, int *class_id)
{
    int n = cp_model_classes(s->model), best[2];
    const float *logits = cp_frame_output(s->frame, j->logits, 0);
    if (j->n == j->room) {
        size_t room = j->room ? 2 * j->room : 64;
        row *grown = realloc(j->rows, room * sizeof *grown);
        if (!grown)
            return cp_fail(CP_ERESOURCE, "attack: out of memory");
        j->rows = grown;
        j->room = room;
    }
    two_best(logits, n, best);
    row *r = &j->rows[j->n++];
    *r = (row){.image = strdup(item->path), .attack = attack, .class_id = best[0], .first = first < 0 ? best[0] : first};
    r->energy = cp_energy(logits, n);
    r->softmax = exp((double)logits[best[0]] + r->energy);
    r->value[BY_SOFTMAX] = 1 - r->softmax;
    r->value[BY_ENERGY] = r->energy;
    if (class_id)
        *class_id = best[0];
    return r->image ? find_features(s, item, best[0], best[1], r) : cp_fail(CP_ERESOURCE, "attack: out of memory");
}

static cp_status attack_image(cp_session *s, cp_item *item, void *user)
{
    job *j = user;
    int first;
    size_t bytes = s->c * s->h * s->w * sizeof *s->input, before = j->n;
    memcpy(j->x, s->input, bytes);
    cp_status status = add_row(s, item, j, -1, -1, &first);
    for (int k = 0; k < j->n_attacks && !status; k++) {
        status = cp_attack_input(s->frame, j->x, first, j->attack[k].epsilon, j->attack[k].steps, s->input);
        if (!status)
            status = cp_frame_forward(s->frame, s->input, 1, NULL);
        if (!status)
            status = add_row(s, item, j, k, first, NULL);
    }
    if (!status)
        j->counted += cp_class_paths_name(s->typical, first, item->sha256) != NULL;
    if (status) /* an image counts as a whole or not at all */
        for (; j->n > before; j->n--) {
            free(j->rows[j->n - 1].image);
            cp_free(j->rows[j->n - 1].same);
            cp_free(j->rows[j->n - 1].rival);
        }
    return status;
}

/* ---------------------------------------------------------------- the result */

/* Of one attack: inputs whose answer it changed against the photos' own. */
static cp_status area_of(const job *j, int attack, int detector, size_t *changed, double *area)
{
    double *positive = cp_alloc(j->n, sizeof *positive, "attack"), *negative = cp_alloc(j->n, sizeof *negative, "attack");
    size_t n = 0, m = 0;
    for (size_t i = 0; i < j->n && positive && negative; i++) {
        const row *r = &j->rows[i];
        if (r->attack < 0)
            negative[m++] = r->value[detector];
        else if (r->attack == attack && r->class_id != r->first)
            positive[n++] = r->value[detector];
    }
    *changed = n;
    *area = positive && negative ? cp_roc_area(positive, n, negative, m) : NAN;
    cp_status status = positive && negative ? CP_OK : CP_ERESOURCE;
    cp_free(positive);
    cp_free(negative);
    return status;
}

static cp_status write_table(const cp_session *s, const job *j, const char *path)
{
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(s->model, &n);
    cp_file *file;
    cp_status status = cp_file_begin(path, &file);
    if (status)
        return status;
    FILE *to = cp_file_stream(file);
    fputs("image,attack,epsilon,attacked,changed,class,class_of_photo,max_softmax,energy", to);
    for (int l = 0; l < n; l++)
        fprintf(to, ",same_%03d", layers[l].layer);
    for (int l = 0; l < n; l++)
        fprintf(to, ",rival_%03d", layers[l].layer);
    fputc('\n', to);
    for (size_t i = 0; i < j->n; i++) {
        const row *r = &j->rows[i];
        cp_csv_text(to, r->image);
        fprintf(to, ",%s", r->attack < 0 ? "none" : j->attack[r->attack].steps == 1 ? "fgsm" : "pgd");
        cp_csv_number(to, r->attack < 0 ? 0 : j->attack[r->attack].epsilon);
        fprintf(to, ",%d,%d,%d,%d", r->attack >= 0, r->class_id != r->first, r->class_id, r->first);
        cp_csv_number(to, r->softmax);
        cp_csv_number(to, r->energy);
        for (int l = 0; l < n; l++)
            cp_csv_number(to, r->same[l]);
        for (int l = 0; l < n; l++)
            cp_csv_number(to, r->rival[l]);
        fputc('\n', to);
    }
    return cp_file_commit(&file);
}

static cp_status report(const cp_session *s, const job *j, const char *file)
{
    size_t photos = 0;
    json_t *object = json_object(), *attacks = json_array();
    int bad = 0;
    cp_status status = CP_OK;
    for (size_t i = 0; i < j->n; i++)
        photos += j->rows[i].attack < 0;
    if (!s->options->json) {
        fprintf(s->out, "%zu photos. Area under the ROC curve: inputs whose answer an attack changed, against the photos' own.\n"
                "The attacks do not know of the paths (not adaptive).\n  %-16s %8s", photos, "attack", "changed");
        for (int d = 0; d < DETECTORS; d++)
            fprintf(s->out, " %18s", detectors[d]);
        fputc('\n', s->out);
    }
    for (int k = 0; k < j->n_attacks && !status; k++) {
        json_t *one = json_object(), *areas = json_object();
        size_t changed = 0;
        double area;
        for (int d = 0; d < DETECTORS && !status; d++) {
            status = area_of(j, k, d, &changed, &area);
            if (!s->options->json && !d)
                fprintf(s->out, "  %-16s %8zu", j->attack[k].name, changed);
            if (!s->options->json && isnan(area))
                fprintf(s->out, " %18s", "-");
            else if (!s->options->json)
                fprintf(s->out, " %18.3f", area);
            bad |= cp_json_set(areas, detectors[d], cp_json_real(area));
        }
        if (!s->options->json)
            fputc('\n', s->out);
        bad |= cp_json_set(one, "attack", cp_json_text(j->attack[k].steps == 1 ? "fgsm" : "pgd"));
        bad |= cp_json_set(one, "epsilon", cp_json_real(j->attack[k].epsilon));
        bad |= cp_json_set(one, "steps", json_integer(j->attack[k].steps));
        bad |= cp_json_set(one, "changed", json_integer((json_int_t)changed));
        bad |= cp_json_set(one, "auc", areas);
        bad |= cp_json_append(attacks, one);
    }
    bad |= cp_json_set(object, "photos", json_integer((json_int_t)photos));
    bad |= cp_json_set(object, "adaptive", json_false());
    bad |= cp_json_set(object, "attacks", attacks);
    bad |= cp_json_set(object, "file", cp_json_text(file));
    if (!status && bad)
        status = CP_ERESOURCE;
    if (!status && s->options->json)
        status = cp_json_write_stream(object, s->out);
    else if (!status)
        fprintf(s->out, "file: %s\n", file);
    json_decref(object);
    return status;
}

static void plan(const cp_options *o, job *j)
{
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < o->strength.n; i++) {
            int at = j->n_attacks++, steps = k ? PGD_STEPS : 1;
            j->attack[at].epsilon = o->strength.value[i] / 255;
            j->attack[at].steps = steps;
            snprintf(j->attack[at].name, sizeof j->attack[at].name, "%s %s/255", k ? "pgd-10" : "fgsm", o->strength.text[i]);
        }
}

static cp_status write_result(cp_session *s, const job *j)
{
    cp_item whole = {.path = "attack.npz"};
    char file[4096];
    bool list = s->list;
    s->list = false; /* one result for all images */
    cp_status status = cp_choose_prefix(s, &whole);
    s->list = list;
    if (!status)
        status = cp_output_path(s, &whole, "", ".csv", file);
    if (!status)
        status = write_table(s, j, file);
    if (!status)
        status = report(s, j, file);
    if (!status && j->counted)
        cp_note(s, "attack: %zu of the photos were counted in %s too, which flatters the columns of the path", j->counted,
                s->options->typical);
    return status;
}

cp_status cp_run_attack(const cp_command *command, const cp_options *options)
{
    cp_session session;
    job j = {0};
    cp_status images = CP_OK;
    if (options->sparsity.n > 1)
        return cp_fail(CP_EINPUT, "attack: %d sparsities, one path of each input is looked at", options->sparsity.n);
    if (!options->typical)
        return cp_fail(CP_EINPUT, "attack: -typical FILE is missing, the class paths that classpath has written");
    plan(options, &j);
    cp_status status = cp_session_open(command, options, true, true, &session);
    if (!status && cp_model_get_kind(session.model) != CP_CLASSIFIER)
        status = cp_fail(CP_EINPUT, "attack: %s is no classifier", session.cfg_path);
    if (!status)
        status = cp_dgr_find_logits(session.model, &j.logits);
    if (!status && !(j.x = cp_alloc(session.c * session.h * session.w, sizeof *j.x, "network input")))
        status = CP_ERESOURCE;
    if (!status)
        images = cp_session_each(&session, attack_image, &j);
    /* Images that could not be read have been said; the others count. */
    if (!status && (!images || (images == CP_EINPUT && session.list)))
        status = write_result(&session, &j);
    for (size_t i = 0; i < j.n; i++) {
        free(j.rows[i].image);
        cp_free(j.rows[i].same);
        cp_free(j.rows[i].rival);
    }
    free(j.rows);
    cp_free(j.x);
    cp_session_close(&session);
    return status ? status : images;
}

/* Every map of one response, by every test. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/eval.h"
#include "eval/complexity.h"
#include "eval/sufficiency.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "model/labels.h"
#include "io/progress.h"
#include "io/random.h"

enum { LERF_POINTS = 10, ROAD_POINTS = 50 };
static const double SAME_BOX = .5; /* least IoU of a true box with the one predicted */

/* What is the same for all maps of the response. */
typedef struct {
    cp_session *session;
    const cp_eval_plan *plan;
    cp_eval_maker maker;
    cp_map_box box;       /* the true one or, without labels, the predicted one */
    const char *box_from; /* "true", "predicted", "mask"; NULL: there is none */
    uint8_t *mask;        /* (h,w) of the network input, in the box's place; NULL: there is none */
    size_t label_line;    /* the line of the label file that the detection is of, from 1; 0: none */
    cp_map_box *others;   /* of a true box: those of the photo's other objects */
    size_t n_others;
    double probability;   /* of the whole photo */
    double sensitivity[CP_EVAL_MAPS];
    struct {
        const cp_method *scores;
        cp_ranking_faithfulness found;
    } ranking[CP_EVAL_MAPS]; /* by scores, those asked for so far */
    int n_rankings;
    cp_progress *line;    /* the list's, or of one photo its own */
    bool own_line;
    const char *photo, *label; /* that it names */
    const char *map_name; /* likewise */
    double done;          /* of own_line: tests */
    float *map;
} job;

/* ---------------------------------------------------------------- boxes */

/* The label of the detection's class that overlaps it most, if by SAME_BOX; -1: none does. */
static int find_label(const cp_label *label, size_t n, const cp_detection *d)
{
    int found = -1;
    double best = SAME_BOX;
    for (size_t i = 0; i < n; i++) {
        const cp_label *l = &label[i];
        double overlap = cp_box_overlap(l->x, l->y, l->w, l->h, d->x, d->y, d->w, d->h);
        if (l->class_id == d->class_id && overlap >= best)
            found = (int)i, best = overlap;
    }
    return found;
}

static cp_map_box box_of_label(const cp_placement *at, const cp_label *l)
{
    double w = (double)at->photo_w, h = (double)at->photo_h;
    return cp_eval_box_in_input(at, (l->x - l->w / 2) * w, (l->y - l->h / 2) * h, l->w * w, l->h * h);
}

static cp_status take_labels(const cp_placement *at, const cp_label *label, size_t n, const cp_detection *d, job *j)
{
    int own = find_label(label, n, d);
    if (own < 0)
        return CP_OK;
    j->box = box_of_label(at, &label[own]);
    j->box_from = "true";
    j->label_line = (size_t)own + 1;
    if (!(j->others = cp_alloc(n, sizeof *j->others, "boxes")))
        return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++)
        if (i != (size_t)own)
            j->others[j->n_others++] = box_of_label(at, &label[i]);
    return CP_OK;
}

/* No label file: no true box. One that cannot be read is an error, since a table of predicted boxes is another one. */
static cp_status find_true_box(const cp_session *s, const cp_item *item, const cp_detection *d, job *j)
{
    char *path = cp_labels_path(item->path);
    cp_label *label = NULL;
    size_t n = 0;
    if (!path)
        return CP_ERESOURCE;
    cp_status status = CP_OK;
    if (!access(path, F_OK))
        status = cp_labels_read(path, cp_model_classes(s->model), &label, &n);
    if (!status)
        status = take_labels(&item->placement, label, n, d, j);
    cp_free(label);
    cp_free(path);
    return status;
}

/* The photo's mask in the place of a box, where there is one and it is known which object of it is meant: of a classifier the
 * only one, of a detector the one that the detection's label numbers. Where nothing of it is in the photo, nothing is measured of
 * the place, since a box in its stead would be another measure. */
static cp_status find_mask(job *j, const cp_item *item, bool detected)
{
    const cp_session *s = j->session;
    const cp_placement *at = &item->placement;
    char *path = cp_masks_path(item->path);
    uint8_t *photo = NULL;
    size_t pixels = 0;
    if (!path)
        return CP_ERESOURCE;
    if ((detected && !j->label_line) || !strcmp(path, item->path) || access(path, F_OK)) {
        cp_free(path);
        return CP_OK;
    }
    cp_status status = cp_mask_read(path, at->photo_w, at->photo_h, detected ? j->label_line : 0, &photo, &pixels);
    if (!status && !(j->mask = cp_alloc(s->h * s->w, 1, "mask")))
        status = CP_ERESOURCE;
    if (!status) {
        cp_mask_to_map(photo, at, s->h, s->w, j->mask);
        j->box_from = "mask";
    }
    if (!status && !pixels && detected)
        cp_note(s, "%s: has no pixel of level %zu, that of the label's line; nothing is said of the place", path, j->label_line);
    else if (!status && !pixels)
        cp_note(s, "%s: has no pixel of the object; nothing is said of the place", path);
    cp_free(photo);
    cp_free(path);
    return status;
}

/* ---------------------------------------------------------------- progress */

/* Tests that take as long as a map or longer, for each map. */
static int count_tests(const cp_eval_plan *plan)
{
    int n = 1; /* the map itself */
    for (int k = CP_EVAL_DELETION; k <= CP_EVAL_ROAD_LERF; k++)
        n += plan->metric[k];
    return n;
}

/* A list has a line, which says how many photos are done; one photo has its own, of its maps. */
static void start_line(job *j, const cp_item *item, const cp_subject *subject)
{
    const cp_session *s = j->session;
    j->own_line = !s->list;
    j->photo = item->path, j->label = subject->label;
    j->line = j->own_line ? cp_progress_start("eval", j->plan->n_maps * count_tests(j->plan) +
                                                          (j->plan->metric[CP_EVAL_SENSITIVITY] ? j->plan->n_maps : 0),
                                              s->options->quiet)
                          : s->progress;
}

/* "dog.jpg: dog 82%: gradcam, deletion" */
static void say(const job *j, const char *map, const char *test)
{
    char text[300];
    if (!j->line)
        return;
    snprintf(text, sizeof text, "%.100s: %.80s: %.60s%s%s", cp_file_name(j->photo), j->label, map, *test ? ", " : "", test);
    cp_progress_say(j->line, text);
}

static void show(void *user, double fraction)
{
    const job *j = user;
    if (j->own_line)
        cp_progress_update(j->line, j->done + fraction);
    else
        cp_progress_add(j->line, 0); /* the time goes on */
}

static void finish(job *j, double tests)
{
    j->done += tests;
    show(j, 0);
}

/* ---------------------------------------------------------------- tests of one map */

static cp_status follow(job *j, cp_eval_metric metric, const float *map, cp_degrade_options options, const double *fractions,
                        int n, double *curve)
{
    const cp_options *o = j->session->options;
    say(j, j->map_name, cp_eval_metrics[metric].name);
    options.run = (cp_run_options){.memory = o->mem, .progress = show, .user = j};
    options.fractions = fractions;
    options.n = n;
    options.seed = j->maker.call.seed;
    for (int c = 0; c < 4; c++)
        options.mean[c] = NAN;
    cp_status status = cp_degrade(j->session->model, j->session->input, map, j->maker.call.target, &options, curve);
    finish(j, 1);
    return status;
}

static json_t *curve_json(const double *curve, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        cp_json_append(array, cp_json_float((float)curve[i]));
    return array;
}

static cp_status measure_curves(job *j, const float *map, double *value, json_t *object)
{
    double curve[CP_EVAL_POINTS + 1];
    cp_status status = CP_OK;
    for (int insert = 0; insert < 2 && !status; insert++) {
        cp_eval_metric metric = insert ? CP_EVAL_INSERTION : CP_EVAL_DELETION;
        if (!j->plan->metric[metric])
            continue;
        const cp_degrade_options options = {.insert = insert, .fill = insert ? CP_FILL_BLUR : CP_FILL_MEAN};
        status = follow(j, metric, map, options, j->plan->fraction, j->plan->n_points, curve);
        value[metric] = cp_curve_area(j->plan->fraction, curve, j->plan->n_points);
        if (!status)
            status = cp_json_set(object, insert ? "insertion_curve" : "deletion_curve", curve_json(curve, j->plan->n_points));
    }
    return status;
}

/* docs/methods.md 5: |p0 - p| / p0 over 0 to 10% of the pixels, 0 at 0; the area itself, not divided by the width. */
static cp_status measure_morf(job *j, const float *map, double *value)
{
    double fraction[LERF_POINTS + 1], curve[LERF_POINTS + 1];
    cp_status status = CP_OK;
    for (int i = 0; i <= LERF_POINTS; i++)
        fraction[i] = .01 * i;
    for (int least = 0; least < 2 && !status; least++) {
        cp_eval_metric metric = least ? CP_EVAL_LERF : CP_EVAL_MORF;
        if (!j->plan->metric[metric])
            continue;
        status = follow(j, metric, map, (cp_degrade_options){.least_first = least}, fraction, LERF_POINTS + 1, curve);
        for (int i = 0; i <= LERF_POINTS && !status; i++)
            curve[i] = i ? fabs(j->probability - curve[i]) / j->probability : 0;
        value[metric] = cp_curve_area(fraction, curve, LERF_POINTS + 1) * fraction[LERF_POINTS];
    }
    return status;
}

static cp_status measure_road(job *j, const float *map, double *value)
{
    double fraction[ROAD_POINTS], curve[ROAD_POINTS];
    cp_status status = CP_OK;
    for (int i = 0; i < ROAD_POINTS; i++)
        fraction[i] = .01 + .02 * i;
    for (int least = 0; least < 2 && !status; least++) {
        cp_eval_metric metric = least ? CP_EVAL_ROAD_LERF : CP_EVAL_ROAD_MORF;
        if (!j->plan->metric[metric])
            continue;
        status = follow(j, metric, map, (cp_degrade_options){.least_first = least, .fill = CP_FILL_IMPUTE}, fraction,
                        ROAD_POINTS, curve);
        value[metric] = cp_curve_area(fraction, curve, ROAD_POINTS);
    }
    return status;
}

static cp_status measure_complexity(const job *j, const float *map, double *value)
{
    cp_complexity found;
    cp_status status = cp_complexity_of(map, j->session->w, &j->maker.call.target->placement, &found);
    value[CP_EVAL_GINI] = found.gini;
    value[CP_EVAL_ENTROPY] = found.entropy;
    return status;
}

static cp_status measure_place(const job *j, const float *map, double *value)
{
    const cp_session *s = j->session;
    const cp_placement *at = &j->maker.call.target->placement;
    cp_localisation found;
    if (!j->box_from)
        return CP_OK;
    cp_status status = j->mask ? cp_localise_mask(map, s->h, s->w, at, j->mask, &found)
                               : cp_localise(map, s->h, s->w, at, &j->box, &found);
    value[CP_EVAL_ENERGY] = found.energy;
    value[CP_EVAL_LIFT] = found.lift;
    value[CP_EVAL_RANKING] = found.ranking;
    value[CP_EVAL_COMPACTNESS] = found.compactness;
    if (j->others)
        value[CP_EVAL_CONFUSION] = cp_localise_confusion(map, s->w, at, &j->box, j->others, j->n_others);
    value[CP_EVAL_POINTING] = isnan(found.energy) ? NAN : found.pointing;
    return status;
}

/* CPR and CMD are the ranking's, the same for every path of it. */
static cp_status rank(job *j, const cp_method *method, cp_ranking_faithfulness *found)
{
    const cp_attribution_call *call = &j->maker.call;
    const cp_eval_scores *scores;
    for (int i = 0; i < j->n_rankings; i++)
        if (j->ranking[i].scores == method) {
            *found = j->ranking[i].found;
            return CP_OK;
        }
    cp_status status = cp_eval_maker_score(&j->maker, method, &scores);
    if (!status)
        status = cp_ranking_faithfulness_of(call->frame, call->image, call->response, scores->score, &call->run, found);
    if (!status) {
        j->ranking[j->n_rankings].scores = method;
        j->ranking[j->n_rankings++].found = *found;
    }
    return status;
}

/* The path is that of the map made last. */
static cp_status measure_path(job *j, const cp_eval_map *m, double *value)
{
    const bool *wanted = j->plan->metric;
    const cp_attribution_call *call = &j->maker.call;
    cp_sufficiency found = {NAN, NAN};
    cp_ranking_faithfulness ranking = {NAN, NAN};
    cp_status status = CP_OK;
    if (!m->scores)
        return CP_OK;
    if (wanted[CP_EVAL_SUFFICIENCY] || wanted[CP_EVAL_NECESSITY])
        status = cp_sufficiency_of(call->frame, call->image, call->response, call->path, &call->run, &found);
    value[CP_EVAL_SUFFICIENCY] = found.sufficiency;
    value[CP_EVAL_NECESSITY] = found.necessity;
    if (!status && (wanted[CP_EVAL_CPR] || wanted[CP_EVAL_CMD]))
        status = rank(j, m->scores, &ranking);
    value[CP_EVAL_CPR] = ranking.cpr;
    value[CP_EVAL_CMD] = ranking.cmd;
    return status;
}

/* ---------------------------------------------------------------- maps */

static cp_status measure_map(job *j, int i, json_t *maps)
{
    const cp_eval_map *m = &j->plan->map[i];
    double value[CP_EVAL_METRICS];
    json_t *object = json_object();
    for (int k = 0; k < CP_EVAL_METRICS; k++)
        value[k] = NAN;
    j->map_name = m->name;
    say(j, m->name, "");
    cp_status status = cp_eval_make_map(&j->maker, m, j->map, &value[CP_EVAL_SECONDS]);
    finish(j, 1);
    if (!status)
        status = measure_curves(j, j->map, value, object);
    if (!status)
        status = measure_morf(j, j->map, value);
    if (!status)
        status = measure_road(j, j->map, value);
    if (!status)
        status = measure_place(j, j->map, value);
    if (!status)
        status = measure_complexity(j, j->map, value);
    if (!status)
        status = measure_path(j, m, value);
    value[CP_EVAL_SENSITIVITY] = j->sensitivity[i];
    for (int k = 0; k < CP_EVAL_METRICS && !status; k++)
        if (j->plan->metric[k])
            status = cp_json_set(object, cp_eval_metrics[k].name, cp_json_real(value[k]));
    if (!status)
        return cp_json_set(maps, m->name, object);
    json_decref(object);
    return status;
}

static cp_status measure_all(job *j, json_t *maps)
{
    cp_status status = CP_OK;
    for (int i = 0; i < j->plan->n_maps && !status; i++)
        if (!j->plan->map[i].method->needs_box || j->maker.call.box)
            status = measure_map(j, i, maps);
    return status;
}

/* What all maps share: scores, the probability that curves begin with, and tests that are made for all at once. */
static cp_status start(job *j)
{
    const cp_session *s = j->session;
    const cp_attribution_call *call = &j->maker.call;
    const bool *wanted = j->plan->metric;
    j->map = cp_alloc(s->h * s->w, sizeof *j->map, "map");
    cp_status status = j->map ? cp_eval_probability(call->frame, call->image, call->target, &j->probability) : CP_ERESOURCE;
    if (!status && wanted[CP_EVAL_SENSITIVITY]) {
        say(j, "all maps", cp_eval_metrics[CP_EVAL_SENSITIVITY].name);
        status = cp_eval_sensitivity(&j->maker, j->plan, j->sensitivity);
        finish(j, j->plan->n_maps);
    }
    return status;
}

static cp_status find_boxes(job *j, const cp_item *item, const cp_detection *d, cp_map_box *predicted)
{
    cp_status status = CP_OK;
    if (d) {
        j->box = *predicted = cp_eval_box(j->session, item, d);
        j->box_from = "predicted";
        status = find_true_box(j->session, item, d, j);
    }
    return status ? status : find_mask(j, item, d != NULL);
}

/* Each photo and response has noise of its own, the same wherever the photo stands in the list; with one noise for all photos the
 * row `random` would be one draw and not chance. */
static uint64_t seed_of(const cp_session *s, const cp_item *item, const cp_subject *subject)
{
    char digits[16] = "";
    snprintf(digits, sizeof digits, "%.15s", item->sha256);
    uint64_t state = strtoull(digits, NULL, 16) + (uint64_t)s->options->seed;
    return cp_random_next(&state) + subject->response.unit[0].index;
}

cp_status cp_eval_measure(cp_session *s, const cp_item *item, const cp_subject *subject, const cp_eval_plan *plan,
                          json_t **response)
{
    cp_eval_target target = {subject->class_id, subject->detection,
                             cp_placement_inside(&item->placement, s->w, s->h)};
    cp_map_box predicted;
    job j = {.session = s, .plan = plan};
    const cp_attribution_call call = {.frame = s->frame, .response = &subject->response, .target = &target,
                                      .box = subject->detection ? &predicted : NULL, .layer = s->options->layer,
                                      .seed = seed_of(s, item, subject), .run = {.memory = s->options->mem}};
    *response = NULL;
    if (subject->class_id < 0 || s->options->target != CP_TARGET_CLASS)
        return cp_fail(CP_EINPUT, "%s: %s has no probability to follow; allowed are classes and detections' classes", item->path,
                       subject->response.text);
    json_t *object = json_object(), *maps = json_object();
    start_line(&j, item, subject);
    cp_status status = cp_eval_maker_open(s, &call, &j.maker);
    j.maker.call.run.progress = show, j.maker.call.run.user = &j;
    if (!status)
        status = find_boxes(&j, item, subject->detection, &predicted);
    if (!status)
        status = start(&j);
    if (!status)
        status = measure_all(&j, maps);
    int bad = cp_json_set(object, "text", cp_json_text(subject->response.text));
    bad |= cp_json_set(object, "class", json_integer(subject->class_id));
    bad |= cp_json_set(object, "probability", cp_json_real(j.probability));
    bad |= cp_json_set(object, "box", cp_json_text(j.box_from));
    bad |= cp_json_set(object, "maps", maps);
    if (j.own_line)
        cp_progress_end(&j.line);
    cp_eval_maker_free(&j.maker);
    cp_free(j.others);
    cp_free(j.mask);
    cp_free(j.map);
    if (!status && bad)
        status = CP_ERESOURCE;
    if (status)
        json_decref(object);
    else
        *response = object;
    return status;
}

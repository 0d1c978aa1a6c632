/* Every map of one response, by every test. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/eval.h"
#include "io/error.h"
#include "io/json.h"
#include "model/labels.h"

enum { LERF_POINTS = 10, ROAD_POINTS = 50 };
static const double SAME_BOX = .5; /* least IoU of a true box with the one predicted */

/* What is the same for all maps of the response. */
typedef struct {
    cp_session *session;
    const cp_eval_plan *plan;
    cp_attribution_call call;
    cp_map_box box;       /* the true one or, without labels, the predicted one */
    const char *box_from; /* NULL: there is none */
    double probability;   /* of the whole photo */
    float *signed_score, *score, *map;
    cp_path *path;
} job;

/* ---------------------------------------------------------------- boxes */

static cp_map_box in_input(const cp_placement *at, double x, double y, double w, double h)
{
    double sx = (double)at->w / (double)at->photo_w, sy = (double)at->h / (double)at->photo_h;
    return (cp_map_box){(double)at->x + x * sx, (double)at->y + y * sy, w * sx, h * sy};
}

/* The label of the detection's class that overlaps it most, if by SAME_BOX. No label file: no true box. */
static cp_status find_true_box(const cp_session *s, const cp_item *item, const cp_detection *d, job *j)
{
    char *path = cp_labels_path(item->path);
    cp_label *label = NULL;
    size_t n = 0;
    double best = SAME_BOX, photo_w = (double)item->placement.photo_w, photo_h = (double)item->placement.photo_h;
    if (!path)
        return CP_ERESOURCE;
    cp_status status = cp_labels_read(path, cp_model_classes(s->model), &label, &n);
    if (status == CP_EINPUT)
        status = CP_OK, n = 0;
    for (size_t i = 0; i < n && !status; i++) {
        const cp_label *l = &label[i];
        double overlap = cp_box_overlap(l->x, l->y, l->w, l->h, d->x, d->y, d->w, d->h);
        if (l->class_id != d->class_id || overlap < best)
            continue;
        best = overlap;
        j->box = in_input(&item->placement, (l->x - l->w / 2) * photo_w, (l->y - l->h / 2) * photo_h, l->w * photo_w,
                          l->h * photo_h);
        j->box_from = "true";
    }
    cp_free(label);
    cp_free(path);
    return status;
}

/* ---------------------------------------------------------------- tests of one map */

static cp_status follow(const job *j, const float *map, cp_degrade_options options, const double *fractions, int n,
                        double *curve)
{
    const cp_options *o = j->session->options;
    options.run.memory = o->mem;
    options.fractions = fractions;
    options.n = n;
    options.seed = (uint64_t)o->seed;
    for (int c = 0; c < 4; c++)
        options.mean[c] = NAN;
    return cp_degrade(j->session->model, j->session->input, map, j->call.target, &options, curve);
}

static json_t *curve_json(const double *curve, int n)
{
    json_t *array = json_array();
    for (int i = 0; i < n; i++)
        cp_json_append(array, cp_json_float((float)curve[i]));
    return array;
}

static cp_status measure_curves(const job *j, const float *map, double *value, json_t *object)
{
    double curve[CP_EVAL_POINTS + 1];
    cp_status status = CP_OK;
    for (int insert = 0; insert < 2 && !status; insert++) {
        cp_eval_metric metric = insert ? CP_EVAL_INSERTION : CP_EVAL_DELETION;
        if (!j->plan->metric[metric])
            continue;
        const cp_degrade_options options = {.insert = insert, .fill = insert ? CP_FILL_BLUR : CP_FILL_MEAN};
        status = follow(j, map, options, j->plan->fraction, j->plan->n_points, curve);
        value[metric] = cp_curve_area(j->plan->fraction, curve, j->plan->n_points);
        if (!status)
            status = cp_json_set(object, insert ? "insertion_curve" : "deletion_curve", curve_json(curve, j->plan->n_points));
    }
    return status;
}

/* docs/methods.md 5: |p0 - p| / p0 over 0 to 10% of the pixels, 0 at 0; the area itself, not divided by the width. */
static cp_status measure_morf(const job *j, const float *map, double *value)
{
    double fraction[LERF_POINTS + 1], curve[LERF_POINTS + 1];
    cp_status status = CP_OK;
    for (int i = 0; i <= LERF_POINTS; i++)
        fraction[i] = .01 * i;
    for (int least = 0; least < 2 && !status; least++) {
        cp_eval_metric metric = least ? CP_EVAL_LERF : CP_EVAL_MORF;
        if (!j->plan->metric[metric])
            continue;
        status = follow(j, map, (cp_degrade_options){.least_first = least}, fraction, LERF_POINTS + 1, curve);
        for (int i = 0; i <= LERF_POINTS && !status; i++)
            curve[i] = i ? fabs(j->probability - curve[i]) / j->probability : 0;
        value[metric] = cp_curve_area(fraction, curve, LERF_POINTS + 1) * fraction[LERF_POINTS];
    }
    return status;
}

static cp_status measure_road(const job *j, const float *map, double *value)
{
    double fraction[ROAD_POINTS], curve[ROAD_POINTS];
    cp_status status = CP_OK;
    for (int i = 0; i < ROAD_POINTS; i++)
        fraction[i] = .01 + .02 * i;
    for (int least = 0; least < 2 && !status; least++) {
        cp_eval_metric metric = least ? CP_EVAL_ROAD_LERF : CP_EVAL_ROAD_MORF;
        if (!j->plan->metric[metric])
            continue;
        status = follow(j, map, (cp_degrade_options){.least_first = least, .fill = CP_FILL_IMPUTE}, fraction, ROAD_POINTS, curve);
        value[metric] = cp_curve_area(fraction, curve, ROAD_POINTS);
    }
    return status;
}

static int ascending(const void *a, const void *b)
{
    float p = *(const float *)a, q = *(const float *)b;
    return p < q ? -1 : p > q;
}

/* Of what lies on the photo and is above zero. */
static cp_status measure_complexity(const job *j, const float *map, double *value)
{
    const cp_placement *at = &j->call.target->placement;
    size_t n = 0;
    double sum = 0, weighted = 0, entropy = 0;
    float *mass = cp_alloc(at->w * at->h, sizeof *mass, "complexity");
    if (!mass)
        return CP_ERESOURCE;
    for (size_t y = at->y; y < at->y + at->h; y++)
        for (size_t x = at->x; x < at->x + at->w; x++)
            sum += mass[n++] = fmaxf(map[y * j->session->w + x], 0);
    qsort(mass, n, sizeof *mass, ascending);
    for (size_t i = 0; i < n; i++) {
        double share = mass[i] / sum;
        weighted += ((double)(n - i) - .5) * mass[i];
        entropy -= share > 0 ? share * log2(share) : 0;
    }
    value[CP_EVAL_GINI] = sum > 0 ? 1 - 2 * weighted / ((double)n * sum) : NAN;
    value[CP_EVAL_ENTROPY] = sum > 0 ? entropy : NAN;
    cp_free(mass);
    return CP_OK;
}

static cp_status measure_place(const job *j, const float *map, double *value)
{
    cp_localisation found;
    if (!j->box_from)
        return CP_OK;
    cp_status status = cp_localise(map, j->session->h, j->session->w, &j->call.target->placement, &j->box, &found);
    value[CP_EVAL_ENERGY] = found.energy;
    value[CP_EVAL_LIFT] = found.lift;
    value[CP_EVAL_RANKING] = found.ranking;
    value[CP_EVAL_POINTING] = isnan(found.energy) ? NAN : found.pointing;
    return status;
}

/* ---------------------------------------------------------------- maps */

static cp_status select_path(job *j, const cp_eval_map *m)
{
    cp_selection selection;
    if (isnan(m->sparsity))
        return cp_path_select_mass(j->path, j->score, j->session->options->mass, 0, &selection);
    return cp_path_select(j->path, j->score, m->sparsity, 0, &selection);
}

static cp_status make_map(job *j, const cp_eval_map *m, double *seconds)
{
    cp_session *s = j->session;
    double began = cp_seconds();
    cp_status status = m->method->reads_path ? select_path(j, m) : CP_OK;
    if (!status)
        status = m->method->run(&j->call, j->map);
    for (size_t i = 0; i < s->h * s->w && !status && m->method->magnitude; i++)
        j->map[i] = fabsf(j->map[i]);
    *seconds = cp_seconds() - began;
    if (!status && m->blur > 0)
        status = cp_eval_smooth(j->map, s->w, &j->call.target->placement, m->blur);
    return status;
}

static cp_status measure_map(job *j, const cp_eval_map *m, json_t *maps)
{
    double value[CP_EVAL_METRICS];
    json_t *object = json_object();
    for (int k = 0; k < CP_EVAL_METRICS; k++)
        value[k] = NAN;
    cp_status status = make_map(j, m, &value[CP_EVAL_SECONDS]);
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
    for (int k = 0; k < CP_EVAL_METRICS && !status; k++)
        if (j->plan->metric[k])
            status = cp_json_set(object, cp_eval_metrics[k].name, cp_json_real(value[k]));
    if (status) {
        json_decref(object);
        return cp_fail_prefix(status, "%s", m->name);
    }
    return cp_json_set(maps, m->name, object);
}

static cp_status measure_all(job *j, json_t *maps)
{
    cp_status status = CP_OK;
    for (int i = 0; i < j->plan->n_maps && !status; i++)
        if (!j->plan->map[i].method->needs_box || j->call.box)
            status = measure_map(j, &j->plan->map[i], maps);
    return status;
}

static cp_status start(job *j, const cp_item *item, const cp_subject *subject, cp_map_box *predicted)
{
    cp_session *s = j->session;
    size_t n = cp_model_neuron_count(s->model);
    cp_status status = CP_OK;
    if (subject->detection) {
        double x, y, w, h;
        cp_detection_rectangle(s, item, subject->detection, &x, &y, &w, &h);
        j->box = *predicted = in_input(&item->placement, x, y, w, h);
        j->box_from = "predicted";
        j->call.box = predicted;
        status = find_true_box(s, item, subject->detection, j);
    }
    j->signed_score = cp_alloc(n, sizeof *j->signed_score, "scores");
    j->score = cp_alloc(n, sizeof *j->score, "scores");
    j->map = cp_alloc(s->h * s->w, sizeof *j->map, "map");
    if (!status && (!j->signed_score || !j->score || !j->map))
        status = CP_ERESOURCE;
    if (!status)
        status = cp_path_create(s->model, &j->path);
    if (!status)
        status = cp_eval_probability(s->frame, 0, j->call.target, &j->probability);
    if (!status)
        status = cp_score_mct(s->frame, 0, j->call.response, true, j->signed_score);
    for (size_t i = 0; i < n && !status; i++)
        j->score[i] = fabsf(j->signed_score[i]);
    j->call.path = j->path;
    j->call.score = j->signed_score;
    return status;
}

cp_status cp_eval_measure(cp_session *s, const cp_item *item, const cp_subject *subject, const cp_eval_plan *plan,
                          json_t **response)
{
    cp_eval_target target = {subject->class_id, subject->detection, item->placement};
    cp_map_box predicted;
    job j = {.session = s, .plan = plan};
    j.call = (cp_attribution_call){.frame = s->frame, .response = &subject->response, .target = &target,
                                   .layer = s->options->layer, .seed = (uint64_t)s->options->seed,
                                   .run = {.memory = s->options->mem}};
    *response = NULL;
    if (subject->class_id < 0 || s->options->target != CP_TARGET_CLASS)
        return cp_fail(CP_EINPUT, "%s: %s has no probability to follow; allowed are classes and detections' classes", item->path,
                       subject->response.text);
    json_t *object = json_object(), *maps = json_object();
    cp_status status = start(&j, item, subject, &predicted);
    if (!status)
        status = measure_all(&j, maps);
    int bad = cp_json_set(object, "text", cp_json_text(subject->response.text));
    bad |= cp_json_set(object, "class", json_integer(subject->class_id));
    bad |= cp_json_set(object, "probability", cp_json_real(j.probability));
    bad |= cp_json_set(object, "box", cp_json_text(j.box_from));
    bad |= cp_json_set(object, "maps", maps);
    cp_path_free(j.path);
    cp_free(j.signed_score);
    cp_free(j.score);
    cp_free(j.map);
    if (!status && bad)
        status = CP_ERESOURCE;
    if (status)
        json_decref(object);
    else
        *response = object;
    return status;
}

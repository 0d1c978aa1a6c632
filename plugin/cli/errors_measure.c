/* One image of `errors`: what was found and missed, and by which path, as the object of a ledger line. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/errors.h"
#include "cli/eval.h"
#include "io/error.h"
#include "io/json.h"

static const double LEAST_NEAREST = 1e-4;

cp_status cp_errors_open_space(cp_errors *e)
{
    const cp_session *s = e->session;
    size_t n = cp_model_neuron_count(s->model);
    e->signed_score = cp_alloc(n, sizeof *e->signed_score, "scores");
    e->score = cp_alloc(n, sizeof *e->score, "scores");
    e->channel = cp_alloc(cp_model_channel_count(s->model), sizeof *e->channel, "channels");
    e->heat = cp_alloc(2 * s->h * s->w, sizeof *e->heat, "map");
    if (!e->signed_score || !e->score || !e->channel || !e->heat)
        return CP_ERESOURCE;
    return cp_path_create(s->model, &e->path);
}

void cp_errors_close_space(cp_errors *e)
{
    cp_free(e->signed_score);
    cp_free(e->score);
    cp_free(e->channel);
    cp_free(e->heat);
    cp_path_free(e->path);
}

cp_label cp_errors_box(const cp_session *s, const cp_item *item, const cp_detection *d)
{
    double x, y, w, h, width = (double)item->placement.photo_w, height = (double)item->placement.photo_h;
    cp_detection_rectangle(s, item, d, &x, &y, &w, &h);
    return (cp_label){d->class_id, (x + w / 2) / width, (y + h / 2) / height, w / width, h / height};
}

static json_t *numbers(const double *value, int n)
{
    json_t *array = json_array();
    int bad = 0;
    for (int i = 0; i < n; i++)
        bad |= cp_json_append(array, cp_json_real(value[i]));
    if (!bad)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *place_or_null(int place) { return place < 0 ? json_null() : json_integer(place); }

/* ---------------------------------------------------------------- one answer explained */

/* Whole channels by the sum of their neurons' scores, the fewest that hold -mass of all. */
static json_t *channels_json(cp_errors *e)
{
    const cp_model *model = e->session->model;
    cp_selection selection;
    int n;
    const cp_neuron_layer *layers = cp_model_neuron_layers(model, &n);
    json_t *array = json_array();
    cp_score_to_channels(model, e->score, e->channel);
    int bad = cp_path_select_channels_mass(e->path, e->channel, e->session->options->mass, 0, &selection);
    for (int l = 0; l < n && !bad; l++)
        for (size_t c = 0; c < layers[l].c && !bad; c++)
            if (cp_path_get(e->path, layers[l].offset + c * layers[l].h * layers[l].w))
                bad |= cp_json_append(array, json_integer((json_int_t)(cp_model_channel_offset(model, l) + c)));
    if (!bad)
        return array;
    json_decref(array);
    return NULL;
}

static cp_status map_of(cp_errors *e, const cp_response *response)
{
    size_t plane = e->session->h * e->session->w;
    cp_selection selection;
    cp_status status = cp_path_select_mass(e->path, e->score, e->session->options->mass, 0, &selection);
    bool any = false;
    /* Of the fine planes or, where they hold no heat, of the coarse ones, as `explain` has it. */
    for (cp_planes planes = CP_PLANES_FINE; planes <= CP_PLANES_COARSE && !any && !status; planes++) {
        const cp_contribution_options options = {.planes = planes};
        status = cp_map_contribution(e->session->frame, 0, response, e->path, e->signed_score, &options, e->heat, NULL);
        for (size_t i = 0; i < plane && !any; i++)
            any = e->heat[i] > 0;
    }
    return status;
}

/* Members "inside" and "lift", of a box in network input pixels, and "channels". */
static cp_status explain(cp_errors *e, const cp_item *item, const cp_response *response, const cp_map_box *box,
                         json_t *object)
{
    const cp_session *s = e->session;
    cp_localisation found = {.energy = NAN, .lift = NAN};
    const cp_placement at = cp_placement_inside(&item->placement, s->w, s->h);
    cp_status status = cp_score_mct(s->frame, 0, response, true, e->signed_score);
    size_t n = cp_model_neuron_count(s->model);
    for (size_t i = 0; i < n && !status; i++)
        e->score[i] = fabsf(e->signed_score[i]);
    if (!status && box)
        status = map_of(e, response);
    if (!status && box && cp_localise(e->heat, s->h, s->w, &at, box, &found) == CP_ERESOURCE)
        status = CP_ERESOURCE; /* a box without a pixel has no share */
    if (status)
        return status;
    int bad = cp_json_set(object, "inside", cp_json_real(found.energy));
    bad |= cp_json_set(object, "lift", cp_json_real(found.lift));
    bad |= cp_json_set(object, "channels", channels_json(e));
    return bad ? CP_ERESOURCE : CP_OK;
}

/* ---------------------------------------------------------------- detectors */

/* What is known of the image's boxes. */
typedef struct {
    cp_prediction prediction;
    cp_found *found;
    cp_label *label;
    size_t n, n_shown, n_labels;
    bool labelled; /* there is a label file */
    cp_verdict *verdict, *shown_verdict;
    cp_object *object, *shown_object;
} scene;

static void free_scene(scene *a)
{
    cp_prediction_free(&a->prediction);
    cp_free(a->found);
    cp_free(a->label);
    cp_free(a->verdict);
    cp_free(a->shown_verdict);
    cp_free(a->object);
    cp_free(a->shown_object);
}

/* A photo without a label file has no objects, as in `detector map`: COCO has such photos. */
static cp_status read_labels(const cp_errors *e, const cp_item *item, scene *a, cp_errors_left_out *left_out)
{
    char *path = cp_labels_path(item->path);
    cp_status status = CP_OK;
    if (!path)
        return CP_ERESOURCE;
    a->labelled = !access(path, F_OK);
    if (a->labelled)
        status = cp_labels_read(path, cp_model_classes(e->session->model), &a->label, &a->n_labels);
    if (status == CP_EINPUT) {
        *left_out = CP_ERRORS_LABEL_FILE;
        status = cp_fail_prefix(CP_EINPUT, "%s: left out: label file", item->path);
    }
    cp_free(path);
    return status;
}

/* All detections, the most probable first, matched with the objects; then again those that a person sees. */
static cp_status make_scene(const cp_errors *e, const cp_item *item, scene *a, cp_errors_left_out *left_out)
{
    cp_status status = cp_predict(e->session, item, &a->prediction);
    if (!status)
        status = read_labels(e, item, a, left_out);
    if (status)
        return status;
    a->n = (size_t)a->prediction.n_detections;
    a->found = cp_alloc(a->n, sizeof *a->found, "detections");
    a->verdict = cp_alloc(a->n, sizeof *a->verdict, "detections");
    a->shown_verdict = cp_alloc(a->n, sizeof *a->shown_verdict, "detections");
    a->object = cp_alloc(a->n_labels, sizeof *a->object, "objects");
    a->shown_object = cp_alloc(a->n_labels, sizeof *a->shown_object, "objects");
    if (!a->found || !a->verdict || !a->shown_verdict || !a->object || !a->shown_object)
        return CP_ERESOURCE;
    for (size_t i = 0; i < a->n; i++) {
        const cp_detection *d = a->prediction.ranked[i];
        a->found[i] = (cp_found){cp_errors_box(e->session, item, d), d->probability};
        a->n_shown += d->probability >= (float)e->shown;
    }
    status = cp_detections_match(a->found, a->n, a->label, a->n_labels, a->verdict, a->object);
    if (!status)
        status = cp_detections_match(a->found, a->n_shown, a->label, a->n_labels, a->shown_verdict, a->shown_object);
    return status;
}

/* Corner and size in photo pixels. */
static json_t *box_json(const cp_item *item, const cp_label *box)
{
    double w = (double)item->placement.photo_w, h = (double)item->placement.photo_h;
    return numbers((double[]){(box->x - box->w / 2) * w, (box->y - box->h / 2) * h, box->w * w, box->h * h}, 4);
}

static cp_status detection_json(cp_errors *e, const cp_item *item, const scene *a, size_t i, json_t *array)
{
    const cp_detection *d = a->prediction.ranked[i];
    const cp_verdict *v = &a->verdict[i];
    cp_response response;
    json_t *object = json_object();
    int bad = cp_json_append(array, object);
    bad |= cp_json_set(object, "class", json_integer(d->class_id));
    bad |= cp_json_set(object, "score", cp_json_float(d->probability));
    bad |= cp_json_set(object, "box", box_json(item, &a->found[i].box));
    bad |= cp_json_set(object, "type", cp_json_text(cp_found_type_name(v->type)));
    bad |= cp_json_set(object, "object", place_or_null(v->object));
    bad |= cp_json_set(object, "overlap", cp_json_real(v->overlap));
    bad |= cp_json_set(object, "fixes", json_boolean(v->fixes));
    bad |= cp_json_set(object, "same", place_or_null(v->same));
    if (bad)
        return CP_ERESOURCE;
    if (i >= a->n_shown)
        return CP_OK;
    cp_status status = cp_response_detection(e->session->model, d, CP_TARGET_CLASS, &response);
    const cp_map_box box = cp_eval_box(e->session, item, d);
    return status ? status : explain(e, item, &response, &box, object);
}

cp_status cp_errors_nearest(const cp_session *s, const cp_item *item, const cp_label *object, cp_detection *nearest,
                            bool *found)
{
    cp_options every = *s->options;
    cp_session all = *s;
    cp_detection *detections;
    double best = 0;
    int n;
    all.options = &every;
    every.nms = 0;
    *found = false;
    cp_status status = cp_prediction_detect(&all, item, (float)LEAST_NEAREST, &detections, &n);
    for (int i = 0; i < n && !status; i++) {
        if (detections[i].class_id != object->class_id)
            continue;
        cp_label b = cp_errors_box(s, item, &detections[i]);
        double overlap = cp_box_overlap(b.x, b.y, b.w, b.h, object->x, object->y, object->w, object->h);
        if (overlap > best)
            best = overlap, *nearest = detections[i], *found = true;
    }
    if (!status)
        cp_free_detections(detections);
    return status;
}

/* What the network has for an object that is missed: the predictor that comes nearest. */
static cp_status nearest_json(const cp_errors *e, const cp_item *item, const cp_label *label, json_t *object)
{
    cp_detection d;
    bool found;
    cp_status status = cp_errors_nearest(e->session, item, label, &d, &found);
    if (status)
        return status;
    if (!found)
        return cp_json_set(object, "nearest", json_null());
    const cp_label b = cp_errors_box(e->session, item, &d);
    json_t *nearest = json_object();
    int bad = cp_json_set(nearest, "score", cp_json_float(d.probability));
    bad |= cp_json_set(nearest, "objectness", cp_json_float(d.objectness));
    bad |= cp_json_set(nearest, "overlap",
                       cp_json_real(cp_box_overlap(b.x, b.y, b.w, b.h, label->x, label->y, label->w, label->h)));
    bad |= cp_json_set(nearest, "box", box_json(item, &b));
    bad |= cp_json_set(object, "nearest", nearest);
    return bad ? CP_ERESOURCE : CP_OK;
}

static cp_status object_json(const cp_errors *e, const cp_item *item, const scene *a, size_t j, json_t *array)
{
    json_t *object = json_object();
    bool missed = a->shown_object[j].found < 0 && a->shown_object[j].fixed < 0;
    int bad = cp_json_append(array, object);
    bad |= cp_json_set(object, "class", json_integer(a->label[j].class_id));
    bad |= cp_json_set(object, "box", box_json(item, &a->label[j]));
    bad |= cp_json_set(object, "found", place_or_null(a->object[j].found));
    bad |= cp_json_set(object, "fixed", place_or_null(a->object[j].fixed));
    bad |= cp_json_set(object, "missed", json_boolean(missed));
    if (bad)
        return CP_ERESOURCE;
    return missed ? nearest_json(e, item, &a->label[j], object) : CP_OK;
}

static cp_status measure_boxes(cp_errors *e, const cp_item *item, json_t *record, cp_errors_left_out *left_out)
{
    scene a = {0};
    json_t *objects = json_array(), *detections = json_array();
    char labels[CP_SHA256_TEXT];
    bool there;
    cp_status status = cp_labels_hash(item->path, labels, &there);
    int bad = cp_json_set(record, "labels_sha256", there && !status ? cp_json_text(labels) : json_null());
    bad |= cp_json_set(record, "objects", objects);
    bad |= cp_json_set(record, "detections", detections);
    if (status == CP_EINPUT)
        *left_out = CP_ERRORS_LABEL_FILE;
    if (!status)
        status = bad ? CP_ERESOURCE : make_scene(e, item, &a, left_out);
    if (!status)
        status = cp_json_set(record, "labelled", json_boolean(a.labelled));
    for (size_t j = 0; j < a.n_labels && !status; j++)
        status = object_json(e, item, &a, j, objects);
    for (size_t i = 0; i < a.n && !status; i++)
        status = detection_json(e, item, &a, i, detections);
    free_scene(&a);
    return status;
}

/* ---------------------------------------------------------------- classifiers */

static cp_status true_class(const cp_errors *e, const cp_item *item, int *class_id, cp_errors_left_out *left_out)
{
    cp_errors_truth truth;
    cp_status status = cp_errors_truth_find(e, item->path, &truth);
    if (status)
        return status;
    *class_id = truth.class_id;
    if (truth.class_id >= 0)
        return CP_OK;
    *left_out = truth.n ? CP_ERRORS_LABELS : CP_ERRORS_NO_LABEL;
    return cp_errors_truth_say(e, item->path, &truth);
}

static cp_status measure_class(cp_errors *e, const cp_item *item, json_t *record, cp_errors_left_out *left_out)
{
    cp_prediction p = {0};
    cp_response response;
    int truth = 0, rank = 1;
    cp_status status = true_class(e, item, &truth, left_out);
    if (!status)
        status = cp_predict(e->session, item, &p);
    if (!status)
        status = cp_response_class(e->session->model, p.top[0], &response);
    if (status) {
        cp_prediction_free(&p);
        return status;
    }
    for (int c = 0; c < cp_model_classes(e->session->model); c++)
        rank += p.probabilities[c] > p.probabilities[truth] ||
                (c < truth && p.probabilities[c] == p.probabilities[truth]);
    int bad = cp_json_set(record, "class", json_integer(truth));
    bad |= cp_json_set(record, "said", json_integer(p.top[0]));
    bad |= cp_json_set(record, "type",
                       cp_json_text(cp_found_type_name(truth == p.top[0] ? CP_FOUND_RIGHT : CP_FOUND_CLS)));
    bad |= cp_json_set(record, "score", cp_json_float(p.probabilities[p.top[0]]));
    bad |= cp_json_set(record, "true_score", cp_json_float(p.probabilities[truth]));
    bad |= cp_json_set(record, "rank", json_integer(rank));
    cp_prediction_free(&p);
    return bad ? CP_ERESOURCE : explain(e, item, &response, NULL, record);
}

const char *cp_errors_left_out_name(cp_errors_left_out reason)
{
    static const char *const names[] = {"", "no label", "labels", "label file"};
    return names[reason];
}

cp_status cp_errors_measure(cp_errors *e, cp_item *item, json_t *record, cp_errors_left_out *left_out)
{
    *left_out = CP_ERRORS_COUNTS;
    int bad = cp_json_set(record, "image", cp_json_text(item->path));
    bad |= cp_json_set(record, "sha256", cp_json_text(item->sha256));
    bad |= cp_json_set(record, "width", json_integer((json_int_t)item->placement.photo_w));
    bad |= cp_json_set(record, "height", json_integer((json_int_t)item->placement.photo_h));
    if (bad)
        return CP_ERESOURCE;
    cp_status status = cp_model_get_kind(e->session->model) == CP_DETECTOR
                           ? measure_boxes(e, item, record, left_out)
                           : measure_class(e, item, record, left_out);
    if (!*left_out)
        return status;
    json_object_del(record, "objects");
    json_object_del(record, "detections");
    cp_status set = cp_json_set(record, "left_out", cp_json_text(cp_errors_left_out_name(*left_out)));
    return set ? set : status;
}

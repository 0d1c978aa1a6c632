#include "cli/predict.h"

#include "cli/commands.h"
#include "cli/summary.h"
#include "io/error.h"
#include "io/json.h"
#include "io/suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_HEADS = 64, MAX_SUBJECTS = 200, MAX_LISTED = 20, MAX_ROWS = 10, MAX_NAME_COLUMNS = 24 };
static const float LEAST_THRESH = .005f; /* how far down a hint looks for a detection */

/* ---------------------------------------------------------------- the wish */

/* A name or a number; `option` ("-class") stands in messages. */
static cp_status read_class(const cp_session *s, const char *option, const char *text, int *class_id)
{
    int classes = cp_model_classes(s->model);
    long long number;
    *class_id = s->names ? cp_names_find(s->names, classes, text) : CP_NAME_MISSING;
    if (*class_id >= 0)
        return CP_OK;
    if (*class_id == CP_NAME_AMBIGUOUS)
        return cp_fail(CP_EINPUT, "%s: several classes are named \"%.60s\"; give the number, 0 to %d", option, text,
                       classes - 1);
    if (strspn(text, "0123456789") == strlen(text)) {
        cp_status status = cp_parse_int(option, text, 0, classes - 1, &number);
        *class_id = (int)number;
        return status;
    }
    if (!s->names)
        return cp_fail(CP_EINPUT, "%s: \"%.60s\" needs names: give a .data file or -names; or a number, 0 to %d",
                       option, text, classes - 1);
    int n = s->names->n < (size_t)classes ? (int)s->names->n : classes;
    char all[300] = "", hint[500];
    cp_suggest(text, (const char *const *)s->names->names, n, hint, sizeof hint);
    for (int c = 0, length = 0; !*hint && c < n && n <= MAX_LISTED && length < (int)sizeof all; c++)
        length += snprintf(all + length, sizeof all - (size_t)length, "%s%s", c ? ", " : ": ", s->names->names[c]);
    return cp_fail(CP_EINPUT, "%s: \"%.60s\" is none of the %d classes%s%s", option, text, classes, all, hint);
}

static cp_status read_unit(cp_wish *wish, const char *text)
{
    const char *colon = strchr(text, ':');
    char layer[16];
    long long number, index;
    if (!colon || colon - text >= (long)sizeof layer)
        return cp_fail(CP_EINPUT, "-unit: \"%.60s\" is not LAYER:INDEX, two whole numbers such as 12:345", text);
    snprintf(layer, sizeof layer, "%.*s", (int)(colon - text), text);
    cp_status status = cp_parse_int("-unit: layer", layer, 0, INT32_MAX, &number);
    if (!status)
        status = cp_parse_int("-unit: index", colon + 1, 0, INT64_MAX, &index);
    if (status)
        return status;
    wish->unit_layer = (int)number;
    wish->unit_index = (size_t)index;
    return CP_OK;
}

cp_status cp_wish_read(const cp_session *s, cp_wish *wish)
{
    const cp_options *o = s->options;
    cp_model_kind kind = cp_model_get_kind(s->model);
    cp_status status = CP_OK;
    long long number;
    *wish = (cp_wish){.class_id = -1, .versus = -1, .unit_layer = -1, .target = (cp_target)o->target};
    if (o->unit) {
        if (o->class_name || o->versus || o->box || wish->target)
            return cp_fail(CP_EINPUT, "-unit names the response by itself: it goes without %s",
                           o->class_name ? "-class" : o->versus ? "-versus" : o->box ? "-box" : "-target");
        if ((status = read_unit(wish, o->unit)))
            return status;
        cp_response response;
        return cp_response_unit(s->model, wish->unit_layer, wish->unit_index, &response);
    }
    if (kind == CP_OTHER)
        return cp_fail(CP_EINPUT, "%s is neither a classifier nor a detector: name the response with -unit LAYER:INDEX",
                       s->cfg_path);
    if (kind == CP_CLASSIFIER && (o->box || wish->target))
        return cp_fail(CP_EINPUT, "%s: %s is a classifier, it has no boxes; -class chooses its response",
                       o->box ? "-box" : "-target", s->cfg_path);
    if (o->versus && wish->target)
        return cp_fail(CP_EINPUT, "-versus: it compares classes, it goes without -target %s",
                       cp_choice_name("target", o->target));
    if (o->class_name && (status = read_class(s, "-class", o->class_name, &wish->class_id)))
        return status;
    if (o->versus && (status = read_class(s, "-versus", o->versus, &wish->versus)))
        return status;
    if (o->box && !strcmp(o->box, "all")) {
        wish->box = -1;
    } else if (o->box) {
        status = cp_parse_int("-box", o->box, 1, 1000000, &number);
        wish->box = (int)number;
    }
    return status;
}

/* ---------------------------------------------------------------- prediction */

/* Descending probability, then the smaller number: the order of Darknet's top_k. */
static void sort_top(cp_prediction *p, int classes)
{
    for (int k = 0; k < p->n_top; k++) {
        int best = -1;
        for (int c = 0; c < classes; c++) {
            float value = p->probabilities[c];
            bool below = !k || value < p->probabilities[p->top[k - 1]] ||
                         (value == p->probabilities[p->top[k - 1]] && c > p->top[k - 1]);
            if (below && (best < 0 || value > p->probabilities[best]))
                best = c;
        }
        p->top[k] = best;
    }
}

static cp_status classify(const cp_session *s, const cp_item *item, cp_prediction *p)
{
    const int *heads;
    int classes = cp_model_classes(s->model);
    cp_response first;
    cp_status status = cp_response_class(s->model, 0, &first);
    p->bare = !cp_model_heads(s->model, &heads);
    if (status)
        return status;
    p->logits = cp_frame_output(s->frame, first.unit[0].layer, 0);
    for (int c = 0; c < classes; c++)
        if (!isfinite(p->logits[c]))
            return cp_fail(CP_EINPUT, "%s: the logit of class %d is %f, allowed is a finite number", item->path, c,
                           (double)p->logits[c]);
    p->n_top = s->options->top < classes ? s->options->top : classes;
    p->probabilities = cp_alloc((size_t)classes, sizeof(float), "prediction");
    p->top = cp_alloc((size_t)p->n_top, sizeof(int), "prediction");
    if (!p->probabilities || !p->top)
        return CP_ERESOURCE;
    if ((status = cp_model_classify(s->model, p->logits, p->probabilities)))
        return status;
    sort_top(p, classes);
    return CP_OK;
}

/* Darknet decodes boxes as if the photo were letterboxed; a stretched one is decoded relative to the input itself. */
static cp_status detect(const cp_session *s, const cp_item *item, float thresh, cp_detection **detections, int *count)
{
    const float *logits[MAX_HEADS];
    const int *heads;
    int n = cp_model_heads(s->model, &heads);
    if (n > MAX_HEADS)
        return cp_fail(CP_EINPUT, "%s: %d heads, allowed are %d", s->cfg_path, n, MAX_HEADS);
    for (int k = 0; k < n; k++)
        logits[k] = cp_frame_output(s->frame, cp_model_logit_layer(s->model, heads[k]), 0);
    bool bars = s->options->letterbox == CP_FIT_LETTERBOX;
    return cp_model_detect(s->model, logits, bars ? item->placement.photo_w : s->w,
                           bars ? item->placement.photo_h : s->h, thresh, (float)s->options->nms, detections, count);
}

static int by_probability(const void *a, const void *b)
{
    const cp_detection *p = *(cp_detection *const *)a, *q = *(cp_detection *const *)b;
    if (p->probability != q->probability)
        return p->probability < q->probability ? 1 : -1;
    return p < q ? -1 : p > q;
}

static cp_status rank_detections(cp_prediction *p)
{
    size_t n = (size_t)p->n_detections;
    p->ranked = cp_alloc(n, sizeof *p->ranked, "prediction");
    p->box = cp_alloc(n, sizeof *p->box, "prediction");
    if (!p->ranked || !p->box)
        return CP_ERESOURCE;
    for (size_t i = 0; i < n; i++)
        p->ranked[i] = &p->detections[i];
    qsort(p->ranked, n, sizeof *p->ranked, by_probability);
    for (size_t i = 0; i < n; i++)
        p->box[p->ranked[i] - p->detections] = (int)i + 1;
    return CP_OK;
}

cp_status cp_predict(const cp_session *s, const cp_item *item, cp_prediction *p)
{
    *p = (cp_prediction){.kind = cp_model_get_kind(s->model)};
    cp_status status = CP_OK;
    if (p->kind == CP_CLASSIFIER)
        status = classify(s, item, p);
    else if (p->kind == CP_DETECTOR)
        status = detect(s, item, (float)s->options->thresh, &p->detections, &p->n_detections);
    if (!status && p->kind == CP_DETECTOR)
        status = rank_detections(p);
    return status;
}

void cp_prediction_free(cp_prediction *p)
{
    cp_free(p->probabilities);
    cp_free(p->top);
    cp_free(p->ranked);
    cp_free(p->box);
    cp_free_detections(p->detections);
    *p = (cp_prediction){0};
}

void cp_detection_rectangle(const cp_session *s, const cp_item *item, const cp_detection *d, double *x, double *y,
                            double *w, double *h)
{
    const cp_placement *at = &item->placement;
    double left = d->x - d->w / 2., top = d->y - d->h / 2., width = d->w, height = d->h;
    /* Darknet leaves a v1 box relative to the letterboxed input; the others are relative to the photo. */
    if (!strcmp(cp_model_layer(s->model, d->head)->type, "detection")) {
        left = (left * (double)s->w - (double)at->x) / (double)at->w;
        top = (top * (double)s->h - (double)at->y) / (double)at->h;
        width *= (double)s->w / (double)at->w;
        height *= (double)s->h / (double)at->h;
    }
    *x = left * (double)at->photo_w;
    *y = top * (double)at->photo_h;
    *w = width * (double)at->photo_w;
    *h = height * (double)at->photo_h;
}

/* ---------------------------------------------------------------- output */

/* "x 110..322  y 222..523": where a rectangle lies in the photo, clipped to it as Darknet draws it. */
static const char *place_text(const cp_item *item, const double at[4], char text[64])
{
    double right = item->photo.w - 1, bottom = item->photo.h - 1;
    snprintf(text, 64, "x %.0f..%.0f  y %.0f..%.0f", fmin(fmax(at[0], 0), right), fmax(fmin(at[0] + at[2], right), 0),
             fmin(fmax(at[1], 0), bottom), fmax(fmin(at[1] + at[3], bottom), 0));
    return text;
}

static const char *detection_place(const cp_session *s, const cp_item *item, const cp_detection *d, char text[64])
{
    double at[4];
    cp_detection_rectangle(s, item, d, &at[0], &at[1], &at[2], &at[3]);
    return place_text(item, at, text);
}

/* Characters of UTF-8 text. */
static int text_columns(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

/* What the network saw: the photo's size, and how it was fitted to the input. */
static void print_header(const cp_session *s, const cp_item *item, FILE *to)
{
    const cp_placement *at = &item->placement;
    const cp_semantics *semantics = cp_model_semantics(s->model);
    size_t w = at->photo_w, h = at->photo_h;
    const char *how = w * s->h == h * s->w ? "scaled" : cp_fit_name((cp_fit)s->options->letterbox);
    cp_print_name(to, item->path);
    fprintf(to, ": %zu x %zu", w, h);
    if (w != s->w || h != s->h)
        fprintf(to, ", %s to %zu x %zu", how, s->w, s->h);
    if (semantics->lineage != CP_LINEAGE_DEBIAN)
        fprintf(to, " as %s Darknet does (%s; -host debian: with bars)",
                semantics->lineage == CP_LINEAGE_ALEXEY ? "AlexeyAB's" : "hank-ai's", semantics->reason);
    else if (cp_model_get_kind(s->model) == CP_DETECTOR && w * s->h != h * s->w)
        fprintf(to, " (-host alexey: stretched)");
}

static const cp_subject *subject_of_box(const cp_subject *subjects, int n, int box)
{
    for (int i = 0; i < n; i++)
        if (subjects[i].box == box)
            return &subjects[i];
    return NULL;
}

/* Columns of the longest class name shown; very long ones do not count. */
static int name_columns(const cp_session *s, const cp_prediction *p, int shown)
{
    int width = 0;
    char number[24];
    for (int rank = 0; rank < shown; rank++) {
        int columns = text_columns(cp_session_class(s, p->ranked[rank]->class_id, number));
        width = columns > width && columns <= MAX_NAME_COLUMNS ? columns : width;
    }
    return width;
}

/* "dog 57%" */
static void label_detection(const cp_session *s, int class_id, float probability, char label[160])
{
    char number[24];
    snprintf(label, 160, probability < .01f ? "%.100s %.1g%%" : "%.100s %.0f%%", cp_session_class(s, class_id, number),
             (double)(probability * 100));
}

/* probabilities: of all classes in the box; to be freed. */
static cp_status box_probabilities(const cp_session *s, const cp_detection *d, float **probabilities)
{
    *probabilities = cp_alloc((size_t)cp_model_classes(s->model), sizeof **probabilities, "probabilities");
    if (!*probabilities)
        return CP_ERESOURCE;
    const float *logits = cp_frame_output(s->frame, cp_model_logit_layer(s->model, d->head), 0);
    return cp_model_box_probabilities(s->model, d, logits, *probabilities);
}

cp_status cp_box_classes(const cp_session *s, const cp_detection *d, cp_box_class best[CP_BOX_CLASSES], int *n)
{
    float *all = NULL;
    cp_detection other = *d;
    cp_response logit;
    const float *logits = cp_frame_output(s->frame, cp_model_logit_layer(s->model, d->head), 0);
    cp_status status = box_probabilities(s, d, &all);
    *n = 0;
    for (int c = 0; !status && c < cp_model_classes(s->model); c++) {
        int at = *n;
        while (at > 0 && all[c] > best[at - 1].probability)
            at--;
        if (!(all[c] > 0) || at == CP_BOX_CLASSES)
            continue;
        other.class_id = c;
        if ((status = cp_response_detection(s->model, &other, CP_TARGET_CLASS, &logit)))
            break;
        *n += *n < CP_BOX_CLASSES;
        memmove(best + at + 1, best + at, (size_t)(*n - 1 - at) * sizeof *best);
        best[at] = (cp_box_class){c, all[c], logits[logit.unit[0].index]};
    }
    cp_free(all);
    return status;
}

json_t *cp_box_classes_json(const cp_session *s, const cp_detection *d)
{
    cp_box_class best[CP_BOX_CLASSES];
    int n;
    char number[24];
    json_t *array = json_array();
    int bad = cp_box_classes(s, d, best, &n);
    for (int i = 0; i < n && !bad; i++) {
        json_t *object = json_object();
        bad |= cp_json_set(object, "class", json_integer(best[i].class_id));
        bad |= cp_json_set(object, "name", cp_json_text(cp_session_class(s, best[i].class_id, number)));
        bad |= cp_json_set(object, "probability", cp_json_float(best[i].probability));
        bad |= cp_json_set(object, "logit", cp_json_float(best[i].logit));
        bad |= cp_json_append(array, object);
    }
    if (!bad)
        return array;
    json_decref(array);
    return NULL;
}

/* "      dog 57%, cat 12%, ...": what else the box might be. */
static void print_box_classes(const cp_session *s, const cp_detection *d, FILE *to)
{
    cp_box_class best[CP_BOX_CLASSES];
    char label[160];
    int n;
    if (cp_model_classes(s->model) < 2 || cp_box_classes(s, d, best, &n))
        return;
    for (int i = 0; i < n; i++) {
        label_detection(s, best[i].class_id, best[i].probability, label);
        fprintf(to, "%s%s", i ? ", " : "      ", label);
    }
    if (n)
        fputc('\n', to);
}

static void print_detections(const cp_session *s, const cp_item *item, const cp_prediction *p,
                             const cp_subject *subjects, int n, FILE *to)
{
    int shown = s->options->layers || p->n_detections <= MAX_ROWS ? p->n_detections : MAX_ROWS;
    int width = name_columns(s, p, shown);
    char number[24], place[64];
    fprintf(to, "; %d detection%s above %g\n", p->n_detections, p->n_detections == 1 ? "" : "s", s->options->thresh);
    for (int rank = 0; rank < p->n_detections; rank++) {
        const cp_detection *d = p->ranked[rank];
        const cp_subject *subject = subject_of_box(subjects, n, rank + 1);
        if (rank >= shown && !subject)
            continue;
        const char *name = cp_session_class(s, d->class_id, number);
        int padding = width > text_columns(name) ? width - text_columns(name) : 0;
        fprintf(to, "%4d  %s%*s  %3.0f%%  %s%s", rank + 1, name, padding, "", (double)(d->probability * 100),
                detection_place(s, item, d, place), subject ? "  <- explained" : "");
        if (subject && (subject->class_id != d->class_id || subject->versus >= 0))
            fprintf(to, ": %s", subject->label);
        fprintf(to, "\n");
        if (subject)
            print_box_classes(s, d, to);
    }
    if (shown < p->n_detections)
        fprintf(to, "      %d more, down to %.0f%%; -layers shows them\n", p->n_detections - shown,
                (double)(p->ranked[p->n_detections - 1]->probability * 100));
}

static void print_class(const cp_session *s, const cp_prediction *p, int class_id, bool explained, FILE *to)
{
    char number[24];
    fprintf(to, p->bare ? "  %.5g  %s%s\n" : "  %5.2f%%  %s%s\n",
            (double)(p->probabilities[class_id] * (p->bare ? 1 : 100)), cp_session_class(s, class_id, number),
            explained ? "  <- explained" : "");
}

/* The best, and those explained of the others. */
static void print_classes(const cp_session *s, const cp_prediction *p, const cp_subject *subjects, int n, FILE *to)
{
    int explained = n && subjects->class_id >= 0 ? subjects->class_id : -1;
    for (int k = 0; k < p->n_top; k++) {
        print_class(s, p, p->top[k], p->top[k] == explained, to);
        if (p->top[k] == explained)
            explained = -1;
    }
    if (explained >= 0)
        print_class(s, p, explained, true, to);
}

void cp_prediction_print(const cp_session *s, const cp_item *item, const cp_prediction *p, const cp_subject *subjects,
                         int n, FILE *to)
{
    print_header(s, item, to);
    if (p->kind == CP_DETECTOR && p->n_detections) {
        print_detections(s, item, p, subjects, n, to);
        return;
    }
    fprintf(to, "\n");
    if (p->kind == CP_CLASSIFIER)
        print_classes(s, p, subjects, n, to);
}

/* box: its number, 0 where it has none. */
static json_t *detection_json(const cp_session *s, const cp_item *item, const cp_detection *d, int box)
{
    char number[24];
    double at[4];
    json_t *object = json_object(), *rectangle = json_array();
    cp_detection_rectangle(s, item, d, &at[0], &at[1], &at[2], &at[3]);
    int bad = cp_json_set(object, "box", box ? json_integer(box) : json_null());
    bad |= cp_json_set(object, "class", json_integer(d->class_id));
    bad |= cp_json_set(object, "name", cp_json_text(cp_session_class(s, d->class_id, number)));
    bad |= cp_json_set(object, "probability", cp_json_float(d->probability));
    bad |= cp_json_set(object, "objectness", cp_json_float(d->objectness));
    for (int i = 0; i < 4; i++)
        bad |= cp_json_append(rectangle, cp_json_float((float)at[i]));
    bad |= cp_json_set(object, "photo_xywh", rectangle);
    bad |= cp_json_set(object, "head", json_integer(d->head));
    bad |= cp_json_set(object, "anchor", json_integer(d->anchor));
    bad |= cp_json_set(object, "cell", json_integer(d->cell));
    if (bad) {
        json_decref(object);
        return NULL;
    }
    return object;
}

json_t *cp_prediction_json(const cp_session *s, const cp_item *item, const cp_prediction *p)
{
    char number[24];
    json_t *array = json_array();
    int bad = 0;
    for (int k = 0; k < p->n_top; k++) {
        json_t *object = json_object();
        bad |= cp_json_set(object, "class", json_integer(p->top[k]));
        bad |= cp_json_set(object, "name", cp_json_text(cp_session_class(s, p->top[k], number)));
        bad |= cp_json_set(object, "probability", p->bare ? json_null() : cp_json_float(p->probabilities[p->top[k]]));
        bad |= cp_json_set(object, "logit", cp_json_float(p->logits[p->top[k]]));
        bad |= cp_json_append(array, object);
    }
    for (int i = 0; i < p->n_detections; i++)
        bad |= cp_json_append(array, detection_json(s, item, &p->detections[i], p->box[i]));
    if (bad) {
        json_decref(array);
        return NULL;
    }
    return array;
}

/* ---------------------------------------------------------------- no subject */

/* The most probable detection of the class (-1: of any) above the threshold; found with a low one. */
static cp_status find_best(const cp_session *s, const cp_item *item, int class_id, cp_nothing *nothing)
{
    cp_detection *weak = NULL;
    int n = 0;
    cp_status status = detect(s, item, LEAST_THRESH, &weak, &n);
    for (int i = 0; i < n && !status; i++) {
        bool better = !nothing->any || weak[i].probability > nothing->best.probability;
        if (better && (class_id < 0 || weak[i].class_id == class_id)) {
            nothing->best = weak[i];
            nothing->any = true;
        }
    }
    cp_free_detections(weak);
    return status;
}

cp_status cp_nothing_find(const cp_session *s, const cp_item *item, const cp_wish *wish, cp_nothing *nothing)
{
    char number[24], of_class[80] = "", place[64];
    int class_id = wish->box > 0 ? -1 : wish->class_id; /* -box counts all classes */
    *nothing = (cp_nothing){.any = false};
    if (class_id >= 0)
        snprintf(of_class, sizeof of_class, " of %.60s", cp_session_class(s, class_id, number));
    cp_status status = find_best(s, item, class_id, nothing);
    if (!nothing->any)
        snprintf(nothing->text, sizeof nothing->text, "no detection%s above -thresh %g, nor above %g", of_class,
                 s->options->thresh, (double)LEAST_THRESH);
    else
        snprintf(nothing->text, sizeof nothing->text,
                 "no detection%s above -thresh %g; the best below is %.60s %.2g%%, %s", of_class, s->options->thresh,
                 cp_session_class(s, nothing->best.class_id, number), (double)(nothing->best.probability * 100),
                 detection_place(s, item, &nothing->best, place));
    return status;
}

cp_status cp_nothing_json(const cp_session *s, const cp_item *item, const cp_nothing *nothing, json_t *object)
{
    int bad = cp_json_set(object, "no_response", cp_json_text(nothing->text));
    bad |= cp_json_set(object, "best_below", nothing->any ? detection_json(s, item, &nothing->best, 0) : json_null());
    return bad ? CP_ERESOURCE : CP_OK;
}

cp_status cp_nothing_report(const cp_session *s, const cp_item *item, const cp_wish *wish, const cp_prediction *p)
{
    cp_nothing nothing;
    cp_status status = cp_nothing_find(s, item, wish, &nothing);
    if (!status && !s->options->json) {
        cp_print_name(s->out, item->path);
        fprintf(s->out, ": %s\n", nothing.text);
    }
    if (status || !s->options->json)
        return status;
    json_t *object = cp_item_json(s, item);
    int bad = cp_json_set(object, "prediction", cp_prediction_json(s, item, p));
    bad |= cp_json_set(object, "responses", json_array());
    bad |= cp_nothing_json(s, item, &nothing, object) != CP_OK;
    status = bad ? CP_ERESOURCE : cp_json_write_stream(object, s->out);
    json_decref(object);
    return status;
}

/* ---------------------------------------------------------------- subjects */

static void set_detection(const cp_session *s, const cp_detection *d, int class_id, float probability, int box,
                          cp_subject *subject)
{
    subject->detection = d;
    subject->class_id = class_id;
    subject->versus = -1;
    subject->box = box;
    subject->probability = probability;
    label_detection(s, class_id, probability, subject->label);
}

/* Takes the logit of another class off the subject's, and says so in its response and its label; `label` is of the
 * other class. */
static cp_status set_versus(const cp_session *s, cp_subject *subject, int class_id, const cp_response *logit,
                            const char *label)
{
    cp_response *r = &subject->response, own = *r;
    char name[24], other[24], box[32] = "";
    if (class_id == subject->class_id)
        return cp_fail(CP_EINPUT, "-versus: %.60s is the class that is explained itself",
                       cp_session_class(s, class_id, name));
    cp_status status = cp_response_difference(&own, logit, r);
    if (status)
        return status;
    if (subject->box)
        snprintf(box, sizeof box, ", box %d", subject->box);
    snprintf(r->text, sizeof r->text, "logit of %.35s less that of %.35s%s (layer %d, units %zu and %zu)",
             cp_session_class(s, subject->class_id, name), cp_session_class(s, class_id, other), box, own.unit[0].layer,
             own.unit[0].index, logit->unit[0].index);
    subject->versus = class_id;
    size_t used = strnlen(subject->label, 75);
    snprintf(subject->label + used, sizeof subject->label - used, " over %.75s", label);
    return CP_OK;
}

static cp_status detection_subject(const cp_session *s, const cp_wish *wish, const cp_detection *d, int box,
                                   cp_subject *subject)
{
    char number[24], label[160];
    cp_detection asked = *d, other = *d;
    cp_response *r = &subject->response, logit;
    float *probabilities = NULL;
    cp_status status = box_probabilities(s, d, &probabilities);
    if (!status && wish->class_id >= 0 && wish->class_id != d->class_id) {
        asked.class_id = wish->class_id;
        asked.probability = probabilities[wish->class_id];
    }
    if (!status)
        status = cp_response_detection(s->model, &asked, wish->target, r);
    if (status)
        goto done;
    const char *name = cp_session_class(s, asked.class_id, number);
    if (wish->target == CP_TARGET_CLASS)
        snprintf(r->text, sizeof r->text, "class logit of %.60s, box %d (layer %d, unit %zu)", name, box,
                 r->unit[0].layer, r->unit[0].index);
    else
        snprintf(r->text, sizeof r->text, "%s logit of box %d, %.60s (layer %d, unit %zu)",
                 cp_choice_name("target", s->options->target), box, name, r->unit[0].layer, r->unit[0].index);
    set_detection(s, d, asked.class_id, asked.probability, box, subject);
    if (wish->box < 0)
        snprintf(subject->tag, sizeof subject->tag, "-box%d", box);
    if (wish->versus >= 0) {
        other.class_id = wish->versus;
        label_detection(s, wish->versus, probabilities[wish->versus], label);
        if (!(status = cp_response_detection(s->model, &other, CP_TARGET_CLASS, &logit)))
            status = set_versus(s, subject, wish->versus, &logit, label);
    }
done:
    cp_free(probabilities);
    return status;
}

void cp_subject_find_detection(const cp_session *s, const cp_prediction *p, cp_subject *subject)
{
    const cp_response *r = &subject->response;
    for (int rank = 0; rank < p->n_detections && r->n > 0; rank++)
        for (cp_target target = CP_TARGET_CLASS; target <= CP_TARGET_H; target++) {
            cp_response logit;
            if (cp_response_detection(s->model, p->ranked[rank], target, &logit) ||
                logit.unit[0].layer != r->unit[0].layer || logit.unit[0].index != r->unit[0].index)
                continue;
            set_detection(s, p->ranked[rank], p->ranked[rank]->class_id, p->ranked[rank]->probability, rank + 1,
                          subject);
            return;
        }
}

/* By -box the detection of that number, with -class its logit of that class; else the best of the class, or of all. */
static bool is_wanted(const cp_wish *wish, const cp_detection *d, int box)
{
    if (wish->box > 0)
        return box == wish->box;
    return wish->class_id < 0 || d->class_id == wish->class_id;
}

static cp_status choose_detections(const cp_session *s, const cp_item *item, const cp_wish *wish,
                                   const cp_prediction *p, cp_subject *subjects, int *count)
{
    if (p->n_detections && wish->box > p->n_detections)
        return cp_fail(CP_EINPUT, "%s: -box %d, but there %s only %d detection%s above -thresh %g", item->path,
                       wish->box, p->n_detections == 1 ? "is" : "are", p->n_detections, p->n_detections == 1 ? "" : "s",
                       s->options->thresh);
    for (int rank = 0; rank < p->n_detections; rank++) {
        if (!is_wanted(wish, p->ranked[rank], rank + 1))
            continue;
        if (*count == MAX_SUBJECTS)
            return cp_fail(CP_EINPUT, "%s: -box all: more than %d detections above -thresh %g; raise -thresh",
                           item->path, MAX_SUBJECTS, s->options->thresh);
        cp_status status = detection_subject(s, wish, p->ranked[rank], rank + 1, &subjects[(*count)++]);
        if (status || wish->box >= 0)
            return status;
    }
    return CP_OK;
}

/* "dog 57.1%", of a bare classifier "dog 3.2" */
static void label_class(const cp_session *s, const cp_prediction *p, int class_id, char label[160])
{
    char number[24];
    snprintf(label, 160, p->bare ? "%.100s %.4g" : "%.100s %.1f%%", cp_session_class(s, class_id, number),
             (double)(p->probabilities[class_id] * (p->bare ? 1 : 100)));
}

static cp_status choose_class(const cp_session *s, const cp_wish *wish, const cp_prediction *p, cp_subject *subject)
{
    char number[24], label[160];
    int class_id = wish->class_id >= 0 ? wish->class_id : p->top[0];
    const char *name = cp_session_class(s, class_id, number);
    cp_response *r = &subject->response, other;
    cp_status status = cp_response_class(s->model, class_id, r);
    if (status)
        return status;
    snprintf(r->text, sizeof r->text, "logit of %.90s (layer %d, unit %zu)", name, r->unit[0].layer, r->unit[0].index);
    subject->class_id = class_id;
    subject->probability = p->bare ? NAN : p->probabilities[class_id];
    label_class(s, p, class_id, subject->label);
    if (wish->versus < 0)
        return CP_OK;
    label_class(s, p, wish->versus, label);
    status = cp_response_class(s->model, wish->versus, &other);
    return status ? status : set_versus(s, subject, wish->versus, &other, label);
}

cp_status cp_choose_subjects(const cp_session *s, const cp_item *item, const cp_wish *wish, const cp_prediction *p,
                             cp_subject **subjects, int *count)
{
    cp_status status;
    *count = 0;
    *subjects = cp_alloc(MAX_SUBJECTS, sizeof **subjects, "responses");
    if (!*subjects)
        return CP_ERESOURCE;
    **subjects = (cp_subject){.class_id = -1, .versus = -1, .probability = NAN};
    if (wish->unit_layer >= 0) {
        status = cp_response_unit(s->model, wish->unit_layer, wish->unit_index, &(*subjects)->response);
        snprintf((*subjects)->label, sizeof (*subjects)->label, "unit %d:%zu", wish->unit_layer, wish->unit_index);
        *count = 1;
    } else if (p->kind == CP_DETECTOR) {
        status = choose_detections(s, item, wish, p, *subjects, count);
    } else {
        status = choose_class(s, wish, p, *subjects);
        *count = 1;
    }
    for (int i = 0; i < *count && !status; i++) {
        double value = cp_frame_response(s->frame, 0, &(*subjects)[i].response);
        if (!isfinite(value))
            status = cp_fail(CP_EINPUT, "%s: the response, %s, is %f; allowed is a finite number", item->path,
                             (*subjects)[i].response.text, value);
    }
    return status;
}

cp_status cp_each_subject(cp_session *s, cp_item *item, const cp_wish *wish, cp_subject_visit visit)
{
    cp_prediction prediction = {0};
    cp_subject *subjects = NULL;
    int n = 0;
    cp_status status = cp_predict(s, item, &prediction);
    if (!status)
        status = cp_choose_subjects(s, item, wish, &prediction, &subjects, &n);
    if (!status && !n)
        status = cp_nothing_report(s, item, wish, &prediction);
    else if (!status && s->list && !s->options->json) {
        cp_print_name(s->out, item->path);
        fputc('\n', s->out);
    }
    for (int i = 0; i < n && !status; i++)
        status = visit(s, item, &subjects[i]);
    cp_free(subjects);
    cp_prediction_free(&prediction);
    return status;
}

static cp_status run_on_images(const char *command, const cp_options *options, bool together, cp_visit visit)
{
    cp_session session;
    cp_wish wish;
    cp_status status = cp_session_open(cp_command_find(command), options, true, true, &session);
    if (!status)
        status = cp_wish_read(&session, &wish);
    if (!status)
        status = together ? cp_session_each_together(&session, visit, &wish) : cp_session_each(&session, visit, &wish);
    cp_session_close(&session);
    return status;
}

cp_status cp_run_on_images(const char *command, const cp_options *options, cp_visit visit)
{
    return run_on_images(command, options, false, visit);
}

cp_status cp_run_on_images_together(const char *command, const cp_options *options, cp_visit visit)
{
    return run_on_images(command, options, true, visit);
}

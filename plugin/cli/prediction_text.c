/* The answer for people and for programs. */
#include "cli/prediction_text.h"

#include "io/error.h"
#include "io/json.h"

#include <math.h>
#include <string.h>

enum { MAX_ROWS = 10, MAX_NAME_COLUMNS = 24 };

/* "x 110..322  y 222..523": where a rectangle lies in the photo, clipped to it as Darknet draws it. */
static const char *place_text(const cp_item *item, const double at[4], char text[64])
{
    double right = item->photo.w - 1, bottom = item->photo.h - 1;
    snprintf(text, 64, "x %.0f..%.0f  y %.0f..%.0f", fmin(fmax(at[0], 0), right), fmax(fmin(at[0] + at[2], right), 0),
             fmin(fmax(at[1], 0), bottom), fmax(fmin(at[1] + at[3], bottom), 0));
    return text;
}

const char *cp_detection_place(const cp_session *s, const cp_item *item, const cp_detection *d, char text[64])
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

cp_status cp_box_classes(const cp_session *s, const cp_detection *d, cp_box_class **out, int *n)
{
    float *all = NULL;
    int most = s->options->top;
    cp_detection other = *d;
    cp_response logit;
    const float *logits = cp_frame_output(s->frame, cp_model_logit_layer(s->model, d->head), 0);
    cp_status status = cp_box_probabilities(s, d, &all);
    cp_box_class *best = *out = cp_alloc((size_t)most, sizeof *best, "classes");
    *n = 0;
    if (!status && !best) status = CP_ERESOURCE;
    for (int c = 0; !status && c < cp_model_classes(s->model); c++) {
        int at = *n;
        while (at > 0 && all[c] > best[at - 1].probability)
            at--;
        if (!(all[c] > 0) || at == most)
            continue;
        other.class_id = c;
        if ((status = cp_response_detection(s->model, &other, CP_TARGET_CLASS, &logit)))
            break;
        *n += *n < most;
        memmove(best + at + 1, best + at, (size_t)(*n - 1 - at) * sizeof *best);
        best[at] = (cp_box_class){c, all[c], logits[logit.unit[0].index]};
    }
    cp_free(all);
    return status;
}

json_t *cp_box_classes_json(const cp_session *s, const cp_detection *d)
{
    cp_box_class *best;
    int n;
    char number[24];
    json_t *array = json_array();
    int bad = cp_box_classes(s, d, &best, &n);
    for (int i = 0; i < n && !bad; i++) {
        json_t *object = json_object();
        bad |= cp_json_set(object, "class", json_integer(best[i].class_id));
        bad |= cp_json_set(object, "name", cp_json_text(cp_session_class(s, best[i].class_id, number)));
        bad |= cp_json_set(object, "probability", cp_json_float(best[i].probability));
        bad |= cp_json_set(object, "logit", cp_json_float(best[i].logit));
        bad |= cp_json_append(array, object);
    }
    cp_free(best);
    return cp_json_finish(array, bad);
}

/* "      dog 57%, cat 12%, ...": what else the box might be. */
static void print_box_classes(const cp_session *s, const cp_detection *d, FILE *to)
{
    cp_box_class *best = NULL;
    char label[160];
    int n = 0;
    if (cp_model_classes(s->model) > 1)
        (void)cp_box_classes(s, d, &best, &n);
    for (int i = 0; i < n; i++) {
        cp_label_detection(s, best[i].class_id, best[i].probability, label);
        fprintf(to, "%s%s", i ? ", " : "      ", label);
    }
    if (n)
        fputc('\n', to);
    cp_free(best);
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
                cp_detection_place(s, item, d, place), subject ? "  <- explained" : "");
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
json_t *cp_detection_json(const cp_session *s, const cp_item *item, const cp_detection *d, int box)
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
    return cp_json_finish(object, bad);
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
        bad |= cp_json_append(array, cp_detection_json(s, item, &p->detections[i], p->box[i]));
    return cp_json_finish(array, bad);
}

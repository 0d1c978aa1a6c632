/* From the options to the responses of one image. */
#include "cli/subject.h"

#include "io/error.h"
#include "io/suggest.h"

#include <math.h>
#include <string.h>

enum { MAX_SUBJECTS = 200, MAX_LISTED = 20 };

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

cp_status cp_read_unit(const char *option, const char *text, int *unit_layer, size_t *unit_index)
{
    const char *colon = strchr(text, ':');
    char layer[16], what[40];
    long long number, index;
    if (!colon || colon - text >= (long)sizeof layer)
        return cp_fail(CP_EINPUT, "%s: \"%.60s\" is not LAYER:INDEX, two whole numbers such as 12:345", option, text);
    snprintf(layer, sizeof layer, "%.*s", (int)(colon - text), text);
    snprintf(what, sizeof what, "%s: layer", option);
    cp_status status = cp_parse_int(what, layer, 0, INT32_MAX, &number);
    snprintf(what, sizeof what, "%s: index", option);
    if (!status)
        status = cp_parse_int(what, colon + 1, 0, INT64_MAX, &index);
    if (status)
        return status;
    *unit_layer = (int)number;
    *unit_index = (size_t)index;
    return CP_OK;
}

cp_status cp_request_read(const cp_session *s, cp_request *request)
{
    const cp_options *o = s->options;
    cp_model_kind kind = cp_model_get_kind(s->model);
    cp_status status = CP_OK;
    long long number;
    *request = (cp_request){.class_id = -1, .versus = -1, .unit_layer = -1, .target = (cp_target)o->target};
    if (o->unit) {
        if (o->class_name || o->versus || o->box || request->target)
            return cp_fail(CP_EINPUT, "-unit names the response by itself: it goes without %s",
                           o->class_name ? "-class" : o->versus ? "-versus" : o->box ? "-box" : "-target");
        if ((status = cp_read_unit("-unit", o->unit, &request->unit_layer, &request->unit_index)))
            return status;
        cp_response response;
        return cp_response_unit(s->model, request->unit_layer, request->unit_index, &response);
    }
    if (kind == CP_OTHER)
        return cp_fail(CP_EINPUT, "%s is neither a classifier nor a detector: name the response with -unit LAYER:INDEX",
                       s->cfg_path);
    if (kind == CP_CLASSIFIER && (o->box || request->target))
        return cp_fail(CP_EINPUT, "%s: %s is a classifier, it has no boxes; -class chooses its response",
                       o->box ? "-box" : "-target", s->cfg_path);
    if (o->versus && request->target)
        return cp_fail(CP_EINPUT, "-versus: it compares classes, it goes without -target %s",
                       cp_choice_name("target", o->target));
    if (o->class_name && (status = read_class(s, "-class", o->class_name, &request->class_id)))
        return status;
    if (o->versus && (status = read_class(s, "-versus", o->versus, &request->versus)))
        return status;
    if (o->box && !strcmp(o->box, "all")) {
        request->box = -1;
    } else if (o->box) {
        status = cp_parse_int("-box", o->box, 1, 1000000, &number);
        request->box = (int)number;
    }
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
    cp_label_detection(s, class_id, probability, subject->label);
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

static cp_status detection_subject(const cp_session *s, const cp_request *request, const cp_detection *d, int box,
                                   cp_subject *subject)
{
    char number[24], label[160];
    cp_detection asked = *d, other = *d;
    cp_response *r = &subject->response, logit;
    float *probabilities = NULL;
    cp_status status = cp_box_probabilities(s, d, &probabilities);
    if (!status && request->class_id >= 0 && request->class_id != d->class_id) {
        asked.class_id = request->class_id;
        asked.probability = probabilities[request->class_id];
    }
    if (!status)
        status = cp_response_detection(s->model, &asked, request->target, r);
    if (status)
        goto done;
    const char *name = cp_session_class(s, asked.class_id, number);
    if (request->target == CP_TARGET_CLASS)
        snprintf(r->text, sizeof r->text, "class logit of %.60s, box %d (layer %d, unit %zu)", name, box,
                 r->unit[0].layer, r->unit[0].index);
    else
        snprintf(r->text, sizeof r->text, "%s logit of box %d, %.60s (layer %d, unit %zu)",
                 cp_choice_name("target", s->options->target), box, name, r->unit[0].layer, r->unit[0].index);
    set_detection(s, d, asked.class_id, asked.probability, box, subject);
    if (request->box < 0)
        snprintf(subject->tag, sizeof subject->tag, "-box%d", box);
    if (request->versus >= 0) {
        other.class_id = request->versus;
        cp_label_detection(s, request->versus, probabilities[request->versus], label);
        if (!(status = cp_response_detection(s->model, &other, CP_TARGET_CLASS, &logit)))
            status = set_versus(s, subject, request->versus, &logit, label);
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
static bool is_wanted(const cp_request *request, const cp_detection *d, int box)
{
    if (request->box > 0)
        return box == request->box;
    return request->class_id < 0 || d->class_id == request->class_id;
}

static cp_status choose_detections(const cp_session *s, const cp_item *item, const cp_request *request,
                                   const cp_prediction *p, cp_subject *subjects, int *count)
{
    if (p->n_detections && request->box > p->n_detections)
        return cp_fail(CP_EINPUT, "%s: -box %d, but there %s only %d detection%s above -thresh %g", item->path,
                       request->box, p->n_detections == 1 ? "is" : "are", p->n_detections, p->n_detections == 1 ? "" : "s",
                       s->options->thresh);
    for (int rank = 0; rank < p->n_detections; rank++) {
        if (!is_wanted(request, p->ranked[rank], rank + 1))
            continue;
        if (*count == MAX_SUBJECTS)
            return cp_fail(CP_EINPUT, "%s: -box all: more than %d detections above -thresh %g; raise -thresh",
                           item->path, MAX_SUBJECTS, s->options->thresh);
        cp_status status = detection_subject(s, request, p->ranked[rank], rank + 1, &subjects[(*count)++]);
        if (status || request->box >= 0)
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

static cp_status choose_class(const cp_session *s, const cp_request *request, const cp_prediction *p, cp_subject *subject)
{
    char number[24], label[160];
    int class_id = request->class_id >= 0 ? request->class_id : p->top[0];
    const char *name = cp_session_class(s, class_id, number);
    cp_response *r = &subject->response, other;
    cp_status status = cp_response_class(s->model, class_id, r);
    if (status)
        return status;
    snprintf(r->text, sizeof r->text, "logit of %.90s (layer %d, unit %zu)", name, r->unit[0].layer, r->unit[0].index);
    subject->class_id = class_id;
    subject->probability = p->bare ? NAN : p->probabilities[class_id];
    label_class(s, p, class_id, subject->label);
    if (request->versus < 0)
        return CP_OK;
    label_class(s, p, request->versus, label);
    status = cp_response_class(s->model, request->versus, &other);
    return status ? status : set_versus(s, subject, request->versus, &other, label);
}

cp_status cp_choose_subjects(const cp_session *s, const cp_item *item, const cp_request *request, const cp_prediction *p,
                             cp_subject **subjects, int *count)
{
    cp_status status;
    *count = 0;
    *subjects = cp_alloc(MAX_SUBJECTS, sizeof **subjects, "responses");
    if (!*subjects)
        return CP_ERESOURCE;
    **subjects = (cp_subject){.class_id = -1, .versus = -1, .probability = NAN};
    if (request->unit_layer >= 0) {
        status = cp_response_unit(s->model, request->unit_layer, request->unit_index, &(*subjects)->response);
        snprintf((*subjects)->label, sizeof (*subjects)->label, "unit %d:%zu", request->unit_layer, request->unit_index);
        *count = 1;
    } else if (p->kind == CP_DETECTOR) {
        status = choose_detections(s, item, request, p, *subjects, count);
    } else {
        status = choose_class(s, request, p, *subjects);
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

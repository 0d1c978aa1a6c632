/* The most probable detection below the threshold. */
#include "cli/no_detection.h"

#include "cli/prediction_text.h"
#include "cli/summary.h"
#include "io/error.h"
#include "io/json.h"

#include <math.h>

static const float LEAST_THRESH = .005f; /* how far down a hint looks for a detection */

/* The most probable detection of the class (-1: of any) above the threshold; found with a low one. */
static cp_status find_best(const cp_session *s, const cp_item *item, int class_id, cp_nothing *nothing)
{
    cp_detection *weak = NULL;
    int n = 0;
    cp_status status = cp_prediction_detect(s, item, LEAST_THRESH, &weak, &n);
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

cp_status cp_nothing_find(const cp_session *s, const cp_item *item, const cp_request *request, cp_nothing *nothing)
{
    char number[24], of_class[80] = "", place[64];
    int class_id = request->box > 0 ? -1 : request->class_id; /* -box counts all classes */
    *nothing = (cp_nothing){.any = false};
    if (class_id >= 0)
        snprintf(of_class, sizeof of_class, " of %.60s", cp_session_class(s, class_id, number));
    cp_status status = find_best(s, item, class_id, nothing);
    if (!nothing->any)
        snprintf(nothing->text, sizeof nothing->text, "no detection%s above -thresh %g, nor above %g", of_class,
                 s->options->thresh, (double)LEAST_THRESH);
    else
        snprintf(nothing->text, sizeof nothing->text,
                 "no detection%s above -thresh %g; the best below is %.60s %.2g%%, %s (-thresh %.2g explains it)", of_class, s->options->thresh,
                 cp_session_class(s, nothing->best.class_id, number), (double)(nothing->best.probability * 100),
                 cp_detection_place(s, item, &nothing->best, place), floor(900 * (double)nothing->best.probability) / 1000);
    return status;
}

cp_status cp_nothing_json(const cp_session *s, const cp_item *item, const cp_nothing *nothing, json_t *object)
{
    int bad = cp_json_set(object, "no_response", cp_json_text(nothing->text));
    bad |= cp_json_set(object, "best_below", nothing->any ? cp_detection_json(s, item, &nothing->best, 0) : json_null());
    return bad ? CP_ERESOURCE : CP_OK;
}

cp_status cp_nothing_report(const cp_session *s, const cp_item *item, const cp_request *request, const cp_prediction *p)
{
    cp_nothing nothing;
    cp_status status = cp_nothing_find(s, item, request, &nothing);
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

/* The probability that tests of maps follow: a classifier's class, or a detection wherever its box has moved to. */
#include "eval/degrade.h"
#include "io/error.h"
#include "model/labels.h"

static const float LEAST_PROBABILITY = 1e-4f; /* boxes below it count as 0 */
static const double SAME_BOX = .5;            /* IoU */

static bool overlaps(const cp_detection *a, const cp_detection *b)
{
    return cp_box_overlap(a->x, a->y, a->w, a->h, b->x, b->y, b->w, b->h) >= SAME_BOX;
}

static cp_status detection_probability(const cp_frame *frame, int image, const cp_eval_target *target,
                                       double *probability)
{
    const cp_model *model = cp_frame_model(frame);
    const int *head;
    int heads = cp_model_heads(model, &head), n = 0;
    cp_detection *found = NULL;
    const float **logits = cp_alloc((size_t)heads, sizeof *logits, "detections");
    if (!logits)
        return CP_ERESOURCE;
    for (int k = 0; k < heads; k++)
        logits[k] = cp_frame_output(frame, cp_model_logit_layer(model, head[k]), image);
    /* Where there are no bars, boxes are parts of the input itself (as `explain` decodes them). */
    const cp_placement *at = &target->placement;
    size_t c, h, w;
    cp_model_input_shape(model, &c, &h, &w);
    bool bars = at->w != w || at->h != h;
    cp_status status = cp_model_detect(model, logits, bars ? at->photo_w : w, bars ? at->photo_h : h, LEAST_PROBABILITY, 0,
                                       &found, &n);
    *probability = 0;
    for (int i = 0; i < n && !status; i++)
        if (found[i].class_id == target->class_id && found[i].probability > *probability &&
            overlaps(&found[i], target->detection))
            *probability = found[i].probability;
    cp_free_detections(found);
    cp_free(logits);
    return status;
}

static cp_status class_probability(const cp_frame *frame, int image, int class_id, double *probability)
{
    const cp_model *model = cp_frame_model(frame);
    cp_response response;
    cp_status status = cp_response_class(model, class_id, &response);
    if (status)
        return status;
    float *all = cp_alloc((size_t)cp_model_classes(model), sizeof *all, "probabilities");
    if (!all)
        return CP_ERESOURCE;
    status = cp_model_classify(model, cp_frame_output(frame, response.unit[0].layer, image), all);
    if (!status)
        *probability = all[class_id];
    cp_free(all);
    return status;
}

cp_status cp_eval_probability(const cp_frame *frame, int image, const cp_eval_target *target, double *probability)
{
    return target->detection ? detection_probability(frame, image, target, probability)
                             : class_probability(frame, image, target->class_id, probability);
}

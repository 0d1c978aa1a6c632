/* Which response is to be explained: -class, -box, -target and -unit, and what they mean for an image. */
#ifndef CP_CLI_SUBJECT_H
#define CP_CLI_SUBJECT_H

#include "cli/prediction.h"

/* The options -class, -box, -versus, -target and -unit, checked against the model. */
typedef struct {
    int class_id;       /* -1: not given */
    int versus;         /* the class whose logit is taken off; -1: none */
    int box;            /* of cp_prediction.ranked, from 1; 0: the most probable (of the class, if given); -1: all */
    cp_target target;
    int unit_layer;     /* -1: not given */
    size_t unit_index;
} cp_request;

/* One response to explain. */
typedef struct {
    cp_response response;
    const cp_detection *detection; /* NULL: none. Lives in the prediction */
    int class_id;      /* -1: none. With -class and -box it may be another than the detection's own */
    int box;           /* 1 is the most probable detection; 0: none */
    float probability; /* of the class in that box; NAN without one */
    int versus;        /* the class whose logit is taken off; -1: none */
    char label[160];   /* "dog 99.1%", "dog 99.1% over cat 0.4%" */
    char tag[16];      /* "-box2" when several boxes are explained, else "" */
} cp_subject;

/* LAYER:INDEX of an option. */
cp_status cp_read_unit(const char *option, const char *text, int *layer, size_t *index);

/* What -unit, -class, -box, -target and -versus ask for, checked against the model. CP_EINPUT: a class or unit that it
 * does not have, options that do not go together. */
cp_status cp_request_read(const cp_session *session, cp_request *request);

/* The responses the request means for this image; *subjects is freed with cp_free. *count is 0 where a detector finds
 * nothing, or nothing of the class, above -thresh: a result too. Fewer detections than -box asks for: CP_EINPUT. */
cp_status cp_choose_subjects(const cp_session *session, const cp_item *item, const cp_request *request,
                             const cp_prediction *prediction, cp_subject **subjects, int *count);

/* A subject whose response came without a prediction: the most probable detection that it is a logit of, if any is. */
void cp_subject_find_detection(const cp_session *session, const cp_prediction *prediction, cp_subject *subject);

#endif

/* What the network answered for one image, printed as Darknet prints it, and which response is to be explained. */
#ifndef CP_CLI_PREDICT_H
#define CP_CLI_PREDICT_H

#include "cli/output_path.h"
#include "cli/walk.h"

#include <jansson.h>

/* The answer of the network for one image. */
typedef struct {
    cp_model_kind kind;
    float *probabilities; /* classifier: one per class */
    bool bare;            /* classifier without a softmax or logistic: `probabilities` are its logits */
    const float *logits;  /* classifier: lives in the frame */
    int *top, n_top;      /* classifier: classes by descending probability */
    cp_detection *detections; /* detector: in the order `detector test` prints */
    int n_detections;
    const cp_detection **ranked; /* detector: most probable first; what -box counts */
    int *box;                    /* rank of each of `detections`, from 1 */
} cp_prediction;

/* The options -class, -versus, -box, -target and -unit, checked against the model. */
typedef struct {
    int class_id;       /* -1: not given */
    int versus;         /* the class whose logit is taken off; -1: none */
    int box;            /* of cp_prediction.ranked, from 1; 0: the most probable (of the class, if given); -1: all */
    cp_target target;
    int unit_layer;     /* -1: not given */
    size_t unit_index;
} cp_wish;

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

cp_status cp_wish_read(const cp_session *session, cp_wish *wish);

/* A whole command over images: opens the session, reads the wish, calls `visit` with the wish for each image, closes. */
cp_status cp_run_on_images(const char *command, const cp_options *options, cp_visit visit);
cp_status cp_run_on_images_together(const char *command, const cp_options *options, cp_visit visit);

/* Decodes what the frame holds for this image. */
cp_status cp_predict(const cp_session *session, const cp_item *item, cp_prediction *prediction);
void cp_prediction_free(cp_prediction *prediction);

/* The photo's size and how it was fitted to the input; then the best classes ("97.12%  cat"; of a bare classifier the
 * logit), or the detections by their -box number with the place in the photo, at most ten unless -layers asks for all.
 * Which of them are among the n subjects is marked; of a box then come the five best classes. */
void cp_prediction_print(const cp_session *session, const cp_item *item, const cp_prediction *prediction,
                         const cp_subject *subjects, int n, FILE *to);
/* The best classes in the box of a detection, of all that score above 0, best first. */
enum { CP_BOX_CLASSES = 5 };
typedef struct {
    int class_id;
    float probability, logit; /* of new_coords, where the network has the logistic inside: the logit is the value */
} cp_box_class;
cp_status cp_box_classes(const cp_session *session, const cp_detection *detection,
                         cp_box_class best[CP_BOX_CLASSES], int *n);
/* [{"class": 16, "name": "dog", "probability": .57, "logit": 1.2}, ...] */
json_t *cp_box_classes_json(const cp_session *session, const cp_detection *detection);

/* In the order of `classifier predict` and `detector test`. */
json_t *cp_prediction_json(const cp_session *session, const cp_item *item, const cp_prediction *prediction);

/* The responses the wish means for this image; *subjects is freed with cp_free. *count is 0 where a detector finds
 * nothing, or nothing of the class, above -thresh: a result too. Fewer detections than -box asks for: CP_EINPUT. */
cp_status cp_choose_subjects(const cp_session *session, const cp_item *item, const cp_wish *wish,
                             const cp_prediction *prediction, cp_subject **subjects, int *count);

/* What there is to say then. */
typedef struct {
    bool any;
    cp_detection best; /* below the threshold; any: there is one */
    char text[300];    /* "no detection above -thresh 0.5; the best below is dog 43%, x 110..322  y 222..523" */
} cp_nothing;
cp_status cp_nothing_find(const cp_session *session, const cp_item *item, const cp_wish *wish, cp_nothing *nothing);
/* Members "no_response" and "best_below" (a detection or null) into `object`. */
cp_status cp_nothing_json(const cp_session *session, const cp_item *item, const cp_nothing *nothing, json_t *object);
/* A line of text, or the image's JSON object with an empty list of responses, on session->out. */
cp_status cp_nothing_report(const cp_session *session, const cp_item *item, const cp_wish *wish,
                            const cp_prediction *prediction);

/* A subject whose response came without a prediction: the most probable detection that it is a logit of, if any is. */
void cp_subject_find_detection(const cp_session *session, const cp_prediction *prediction, cp_subject *subject);

/* Predicts and calls `visit` with each response the wish means; in a list the image's path is printed before them. */
typedef cp_status (*cp_subject_visit)(cp_session *session, cp_item *item, const cp_subject *subject);
cp_status cp_each_subject(cp_session *session, cp_item *item, const cp_wish *wish, cp_subject_visit visit);

/* Corner and size of a detection's box in photo pixels, not clipped. */
void cp_detection_rectangle(const cp_session *session, const cp_item *item, const cp_detection *detection, double *x,
                            double *y, double *w, double *h);

#endif

/* What the network answered for one image, printed as Darknet prints it, and as JSON. */
#ifndef CP_CLI_PREDICTION_TEXT_H
#define CP_CLI_PREDICTION_TEXT_H

#include "cli/subject.h"

#include <jansson.h>

/* The photo's size and how it was fitted to the input; then the best classes ("97.12%  cat"; of a bare classifier the
 * logit), or the detections by their -box number with the place in the photo, at most ten unless -layers asks for all.
 * Which of them are among the n subjects is marked; of a box then come its -top best classes. */
void cp_prediction_print(const cp_session *session, const cp_item *item, const cp_prediction *prediction,
                         const cp_subject *subjects, int n, FILE *to);
typedef struct {
    int class_id;
    float probability, logit; /* of new_coords, where the network has the logistic inside: the logit is the value */
} cp_box_class;
/* The -top best classes in the box of a detection, of all that score above 0, best first. Free *best with cp_free. */
cp_status cp_box_classes(const cp_session *session, const cp_detection *detection, cp_box_class **best, int *n);
/* [{"class": 16, "name": "dog", "probability": .57, "logit": 1.2}, ...] */
json_t *cp_box_classes_json(const cp_session *session, const cp_detection *detection);

/* In the order of `classifier predict` and `detector test`. */
json_t *cp_prediction_json(const cp_session *session, const cp_item *item, const cp_prediction *prediction);

/* One detection. box: its number, 0 where it has none. NULL: out of memory. */
json_t *cp_detection_json(const cp_session *session, const cp_item *item, const cp_detection *detection, int box);
/* "x 110..322  y 222..523": the box in photo pixels. */
const char *cp_detection_place(const cp_session *session, const cp_item *item, const cp_detection *detection,
                               char text[64]);

#endif

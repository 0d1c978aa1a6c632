/* What the network answered for one image. */
#ifndef CP_CLI_PREDICTION_H
#define CP_CLI_PREDICTION_H

#include "cli/walk.h"

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

/* Decodes what the frame holds for this image. */
cp_status cp_predict(const cp_session *session, const cp_item *item, cp_prediction *prediction);
void cp_prediction_free(cp_prediction *prediction);

/* The detections above a threshold, for the current image; *detections is freed with cp_free_detections. */
cp_status cp_prediction_detect(const cp_session *session, const cp_item *item, float thresh, cp_detection **detections,
                               int *count);

/* "dog 57%" */
void cp_label_detection(const cp_session *session, int class_id, float probability, char label[160]);
/* Of all classes in the box of the detection; *probabilities is freed with cp_free. */
cp_status cp_box_probabilities(const cp_session *session, const cp_detection *detection, float **probabilities);

/* Corner and size of a detection's box in photo pixels, not clipped. */
void cp_detection_rectangle(const cp_session *session, const cp_item *item, const cp_detection *detection, double *x,
                            double *y, double *w, double *h);

#endif

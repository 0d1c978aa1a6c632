/* The answer that a generator's path has to keep: the logits of a classifier, or those of the classes in a detection's box. */
#ifndef CP_GEN_ANSWER_H
#define CP_GEN_ANSWER_H

#include "critpath.h"

typedef struct {
    int layer;       /* whose units hold the logits */
    size_t n;
    size_t *unit;    /* (n), free with cp_gen_answer_free */
    bool softmax;    /* they compete; else each has a logistic of its own */
    int class_id;    /* the answer's class */
} cp_gen_answer;

/* detection NULL: a classifier's, of this class. CP_ERESOURCE; CP_EINPUT as cp_response_class and cp_response_detection. */
cp_status cp_gen_answer_of(const cp_model *model, const cp_detection *detection, int class_id, cp_gen_answer *answer);
void cp_gen_answer_free(cp_gen_answer *answer);

/* logits (n) of an image of a run. */
void cp_gen_answer_read(const cp_gen_answer *answer, const cp_frame *frame, int image, float *logits);

/* What the gated network's logits are beside the whole network's. */
typedef struct {
    double kl;         /* KL(whole || gated) at temperature 1; of logistics the sum over the classes */
    bool kept;         /* the arg-max is the same, and of logistics on the same side of .5 */
    double whole, gated; /* probability of the answer's class */
} cp_gen_match;

void cp_gen_answer_match(const cp_gen_answer *answer, const float *whole, const float *gated, cp_gen_match *match);
/* seed: outputs of the layer, set to the gradient of t^2 KL(whole || gated), both at temperature t, over the gated logits; all else
 * 0. */
void cp_gen_answer_seed(const cp_gen_answer *answer, const float *whole, const float *gated, double t, size_t outputs,
                        float *seed);

#endif

/* Adam (Kingma and Ba 2015), and Nadam (Dozat 2016), for whatever this project learns by itself. */
#ifndef CP_DECODE_ADAM_H
#define CP_DECODE_ADAM_H

#include "critpath.h"

typedef struct {
    size_t count;
    float *mean, *squares; /* (count): of the gradients so far, the late ones more */
    int steps;
} cp_adam;

/* CP_ERESOURCE out of memory; free in any case. */
cp_status cp_adam_create(size_t count, cp_adam *adam);
void cp_adam_free(cp_adam *adam);
/* value[count] += rate * (a step along gradient[count]); a negative rate descends. nesterov: Nadam's step. */
void cp_adam_step(cp_adam *adam, const float *gradient, double rate, bool nesterov, float *value);

#endif

/* One image run again and again under changing restrictions. */
#ifndef CP_SCORE_RERUN_H
#define CP_SCORE_RERUN_H

#include "critpath.h"

typedef struct {
    cp_frame *frame; /* the restricted runs: outputs and backward */
    cp_frame *whole; /* the unrestricted one, when what lies before the first restriction is kept from it; else NULL */
    const float *input;
    int first;       /* the layer where it begins */
} cp_rerun;

/* Runs the network unrestricted; its outputs are there until the first restricted run. */
cp_status cp_rerun_open(const cp_model *model, const float *input, cp_rerun *rerun);
cp_status cp_rerun_forward(cp_rerun *rerun, const cp_restriction *restriction);
/* Accepts what a failed open left. */
void cp_rerun_close(cp_rerun *rerun);

#endif

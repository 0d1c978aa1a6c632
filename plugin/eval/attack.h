/* Inputs made to be answered wrongly, small and plain: what detectors of unusual answers are tried on. */
#ifndef CP_EVAL_ATTACK_H
#define CP_EVAL_ATTACK_H

#include "critpath.h"

/* Moves the input x (C,H,W) of a classifier away from a class: moved gets values in [0,1] that differ from x by at most epsilon.
 * steps 1: FGSM (Goodfellow et al. 2015), x + epsilon * sign of the gradient of the cross entropy. More: PGD (Madry et al. 2018)
 * from x itself, so many steps of 2.5 * epsilon / steps, each brought back to the epsilon ball. The frame's run is overwritten.
 * CP_EINPUT: no classifier, epsilon out of (0, 1], steps below 1. */
cp_status cp_attack_input(cp_frame *frame, const float *x, int class_id, double epsilon, int steps, float *moved);

/* -log sum exp of n logits: low where the network is sure (Liu et al. 2020). */
double cp_energy(const float *logits, int n);

/* Area under the ROC curve: how probable it is that one of positive[n] is above one of negative[m]; equal ones count half. NAN
 * when there is none of either. Reorders both. */
double cp_roc_area(double *positive, size_t n, double *negative, size_t m);

#endif

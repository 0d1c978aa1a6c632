/* What the two rules of NeuronIntGrad share. */
#ifndef CP_SCORE_INTGRAD_H
#define CP_SCORE_INTGRAD_H

#include "engine/ray.h"
#include "score/suffix.h"

/* One layer's integral. */
typedef struct {
    cp_suffix suffix;
    cp_ray *ray;
} cp_integral;

enum { CP_INTGRAD_MOST = 512 }; /* evaluations of one layer by the adaptive rule */

/* sum of a*g in double, in an order that does not depend on the machine */
double cp_dot(const float *a, const float *g, size_t n);

/* total += weight * g */
void cp_accumulate(double *total, double weight, const float *g, size_t n);

/* Adaptive rule: refines until the residual is within report->residual's tolerance. total[count] gets the integral of
 * dPhi/da; `last` is that gradient at alpha = 1, `bytes` what the gradients kept may take. Fills evaluations and
 * capped. */
cp_status cp_intgrad_refine(cp_integral *integral, const cp_intgrad_options *options, const float *last, size_t bytes,
                            double *total, cp_intgrad_layer *report);

/* Runs forward at alpha*a for n <= batch alphas. */
cp_status cp_intgrad_forward(cp_integral *integral, const double *alpha, int n, double *phi);
/* And backward; gradient (n, count). */
cp_status cp_intgrad_run(cp_integral *integral, const double *alpha, int n, double *phi, float *gradient);

#endif

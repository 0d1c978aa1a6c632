/* A branch run along a ray: its layer's output a becomes alpha*a. Up to the first activations after the layer every value is
 * then affine in alpha, u*alpha + v, with u and v from one linear pass each, so those layers need no run per alpha; and
 * gradients at different alphas may be added where that part ends and go back through it together, as it is the same
 * linear map for all of them. Values and gradients are those of the branch run layer by layer, to rounding. */
#ifndef CP_ENGINE_RAY_H
#define CP_ENGINE_RAY_H

#include "critpath.h"

typedef struct cp_ray cp_ray;

/* Rays through a branch made for `response`, which must outlive the ray, as must the base, unchanged. */
cp_status cp_ray_create(cp_frame *branch, const cp_response *response, cp_ray **ray);
void cp_ray_free(cp_ray *ray);
/* Bytes of a ray at a layer. */
size_t cp_ray_bytes(const cp_model *model, int layer, const cp_response *response);

/* Entry e of the branch becomes the run at alpha[e] >= 0, for n entries; read it by cp_frame_response, or go on with
 * cp_frame_backward_to. Values of layers that only linear ones read are not filled in. */
cp_status cp_ray_forward(cp_ray *ray, const double *alpha, int n);
/* Adds `weight` times dPhi/da of each of the n entries of the last run forward to the ray's sum. */
cp_status cp_ray_add(cp_ray *ray, int n, double weight);
/* gradient (count): that sum; the ray begins a new one. */
cp_status cp_ray_sum(cp_ray *ray, float *gradient);

#endif

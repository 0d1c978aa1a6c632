/* The CPU's backend: what its files have of one another. Each function is that of cp_backend with the same name. */
#ifndef CP_ENGINE_CPU_BACKEND_H
#define CP_ENGINE_CPU_BACKEND_H

#include "engine/backend.h"

/* cpu_frame.c */
cp_status cp_cpu_open(cp_frame *frame, const bool *owned);
void cp_cpu_close(cp_frame *frame);
cp_status cp_cpu_grow_arena(cp_frame *frame, size_t floats);
cp_status cp_cpu_begin(cp_frame *frame);
cp_status cp_cpu_end(cp_frame *frame);
void cp_cpu_push(cp_frame *frame, int after, const float *input, int images, bool restricted);
void cp_cpu_branch_start(cp_frame *branch, int entry, cp_origin from);
cp_status cp_cpu_branch_put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from);

/* cpu_neurons.c */
void cp_cpu_gate(cp_frame *frame, size_t count, const float *gates, float *before, float *a);
void cp_cpu_restrict_to(cp_frame *frame, int position, const cp_path *path, const float *constant, float *a);
void cp_cpu_through(cp_frame *frame, const cp_through *call);
void cp_cpu_tangent_through(cp_frame *frame, const cp_tangent_through *call);
void cp_cpu_clear(cp_frame *frame, cp_batch x, int n, size_t count);
void cp_cpu_add(cp_frame *frame, const float *host, float *x, size_t count);
void cp_cpu_add_at(cp_frame *frame, float *x, float value);
void cp_cpu_count_nonzero(cp_frame *frame, const float *delta, int n, size_t count, size_t *nonzero);
void cp_cpu_fill_line(cp_frame *branch, int layer, int n, const double *factor, const float *u, const float *v,
                      ACTIVATION activation);
void cp_cpu_add_deltas(cp_frame *frame, const float *delta, size_t outputs, int n, double weight, double *sum);

#endif

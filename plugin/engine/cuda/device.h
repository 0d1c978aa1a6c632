/* CUDA's backend: what its files have of one another. A frame's buffers (value, index, z, before_gate and arena) are in the
 * device's memory; what the rooms above read comes back on demand.
 *
 * Between cp_device_begin and cp_device_end a run has a stream and its handles; calls in between only put work on the
 * stream, the first fault is kept, and cp_device_end waits and tells it.
 */
#ifndef CP_ENGINE_DEVICE_H
#define CP_ENGINE_DEVICE_H

#include "engine/backend.h"

/* CP_EINPUT, naming what is there, unless GPU `index` can be used. */
cp_status cp_device_check(int index);

/* Bytes free on a GPU, less a reserve for what libraries and the driver take; at least 1. */
size_t cp_device_room(int index);
cp_status cp_device_describe(int index, char name[300]);
bool cp_device_is_short(void); /* cp_device_was_short */
/* Work memory, and what libraries keep for a stream. */
size_t cp_device_run_bytes(const cp_frame *frame);

/* Buffers of a new frame, which has all but these; owned[i] says whether layer i-1 is the frame's own. A branch is
 * where its base is, any other frame on the device chosen. */
cp_status cp_device_frame_open(cp_frame *frame, const bool *owned);
void cp_device_frame_close(cp_frame *frame);
cp_status cp_device_arena(cp_frame *frame, size_t floats);
/* One buffer of floats, NULL with the message set. */
float *cp_device_alloc(const cp_frame *frame, size_t count, const char *what);
void cp_device_free(const cp_frame *frame, void *memory);

/* A run: between these two, calls are put on the frame's stream and return at once; end waits for them and returns the
 * first fault. */
cp_status cp_device_begin(cp_frame *frame);
cp_status cp_device_end(cp_frame *frame);

/* The host's copy of one image's output of a layer (-1: the input) that the frame owns, brought up to date. */
float *cp_device_pull(cp_frame *frame, int layer, int image);
float cp_device_pull_unit(const cp_frame *frame, int layer, int image, size_t index);
/* Takes up `input`, or where that is NULL what the caller may have changed in the host's copy of layer `after`; forgets
 * the copies of what depends on it, and with `restricted` of the layer's own. */
void cp_device_push(cp_frame *frame, int after, const float *input, int images, bool restricted);

/* engine/branch.h's, for a frame on a device. What is started or put there is done by the next forward run. */
void cp_device_branch_start(cp_frame *branch, int entry, cp_origin from);
cp_status cp_device_branch_put(cp_frame *branch, int entry, size_t first, size_t count, cp_origin from);
void cp_device_responses(const cp_frame *frame, int n, const cp_response *response, double *phi);

/* Rays: entry e of the branch's layer = factor[e] * image `base_image` of its base; the host's copies of what follows
 * are out of date. sum (outputs) += weight * the deltas of n entries. */
void cp_device_scale(cp_frame *branch, int n, const double *factor);
void cp_device_add_deltas(cp_frame *frame, const float *delta, size_t outputs, int n, double weight, double *sum);

/* `count` floats from the host's memory to the device's, back, set to 0. A fault is kept for cp_device_end. */
void cp_device_upload(cp_frame *frame, const float *from, float *to, size_t count);
void cp_device_download(cp_frame *frame, const float *from, float *to, size_t count);
void cp_device_clear(cp_frame *frame, float *x, size_t count);
void cp_device_add(cp_frame *frame, const float *host, float *x, size_t count); /* x += host */
void cp_device_add_at(cp_frame *frame, float *x, float value);

/* As cp_op_type's rows. linear: no bias, no activation; otherwise `activation`. */
void cp_device_forward(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, uint16_t *index,
                       bool linear, ACTIVATION activation);
void cp_device_backward(cp_frame *frame, int layer, const cp_backward *call);
void cp_device_tangent(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                       const int *image);

/* Of neuron layer `position`. Paths, which must not change during a run, and gates are the host's; constant is the
 * device's. */
void cp_device_restrict(cp_frame *frame, int position, const cp_path *path, const float *constant, float *a);
void cp_device_gate(cp_frame *frame, size_t count, const float *gates, float *before, float *a);
/* g: masked by the path, times the gates, times the activation's derivative; NULL, NULL, LINEAR leave it. */
void cp_device_through(cp_frame *frame, int position, const float *a, const cp_path *path, const float *gates,
                       ACTIVATION activation, float *g);
/* The same without gates for n entries at once, at most CP_DEVICE_ENTRIES; a, path: by entry; g (n, count). */
enum { CP_DEVICE_ENTRIES = 64 };
void cp_device_through_all(cp_frame *frame, int position, int n, const float *const *a, const cp_path *const *path,
                           ACTIVATION activation, float *g);

/* a * g of one neuron layer into to->product, at the layer's offset. */
void cp_device_product(cp_frame *frame, const cp_neuron_layer *neuron, const float *a, const float *g,
                       const cp_products *to);
extern const cp_held_scores cp_device_scores;

/* device_backend.c's host copies of what observers see: room for `floats`, NULL after a fault; freed at the run's end. */
float *cp_device_shown(cp_frame *frame, size_t floats);

#endif

/* Kernels of the device engine. Each call puts one or a few launches on `stream` and returns; tensors lie in the
 * device's memory. A launch that fails leaves its error for cudaGetLastError(). Sums are taken in an order that depends
 * on shapes alone. */
#ifndef CP_ENGINE_DEVICE_KERNELS_H
#define CP_ENGINE_DEVICE_KERNELS_H

#include "engine/cpu/conv.h"
#include "engine/cuda/device.h"
#include "engine/frame_scores.h"
#include "engine/windows.h"

/* ---- device_layers.cu: what layers do besides matrix products. Shapes are those of the CPU rows of the same name. */

/* y = act(y + bias[channel]), y (n, channels, plane); bias NULL: 0. */
void cp_kernel_activate(int n, cp_batch y, size_t channels, size_t plane, const float *bias, ACTIVATION activation,
                        cudaStream_t stream);
/* One image, all groups: col (groups*c*size*size, out_h*out_w). */
void cp_kernel_im2col(const cp_window *window, const float *x, float *col, cudaStream_t stream);
/* x = (fresh) or += what each pixel takes part in. */
void cp_kernel_col2im(const cp_window *window, const float *col, float *x, bool fresh, cudaStream_t stream);
/* One input channel per group; without bias and activation. */
void cp_kernel_depthwise(const cp_window *window, const float *weights, int n, cp_batch x, cp_batch y,
                         cudaStream_t stream);
void cp_kernel_depthwise_backward(const cp_window *window, const float *weights, int n, cp_batch y, cp_batch x,
                                  bool fresh, cudaStream_t stream);
void cp_kernel_local(const layer *l, const float *weights, int n, cp_batch x, cp_batch y, cudaStream_t stream);
void cp_kernel_local_backward(const layer *l, const float *weights, int n, cp_batch y, cp_batch x, cudaStream_t stream);
/* index (n, outputs): window offsets of the winners. */
void cp_kernel_maxpool(const layer *l, int n, cp_batch x, cp_batch y, uint16_t *index, cudaStream_t stream);
/* index (images, outputs): entry e has the winners of image first + e * step. */
void cp_kernel_maxpool_backward(const layer *l, int n, cp_batch y, const uint16_t *index, int first, int step,
                                cp_batch x, cudaStream_t stream);
void cp_kernel_maxpool_tangent(const layer *l, int n, cp_batch x, const uint16_t *index, int first, int step,
                               cp_batch y, cudaStream_t stream);
void cp_kernel_avgpool(int n, cp_batch x, cp_batch y, size_t channels, size_t plane, cudaStream_t stream);
void cp_kernel_avgpool_backward(int n, cp_batch y, cp_batch x, size_t channels, size_t plane, cudaStream_t stream);
void cp_kernel_shortcut(const layer *l, int n, cp_batch in, cp_batch from, cp_batch y, cudaStream_t stream);
/* base NULL: nobody wants that one. */
void cp_kernel_shortcut_backward(const layer *l, int n, cp_batch y, cp_batch in, cp_batch from, cudaStream_t stream);
void cp_kernel_upsample(const layer *l, int n, cp_batch x, cp_batch y, cudaStream_t stream);
void cp_kernel_upsample_backward(const layer *l, int n, cp_batch y, cp_batch x, cudaStream_t stream);
/* y[i] = x[permutation[i]], 0 where that is negative; backward adds. */
void cp_kernel_permute(int n, size_t count, const int32_t *permutation, cp_batch x, cp_batch y, cudaStream_t stream);
void cp_kernel_permute_backward(int n, size_t count, const int32_t *permutation, cp_batch y, cp_batch x,
                                cudaStream_t stream);
void cp_kernel_crop(const layer *l, int n, cp_batch x, cp_batch y, float scale, float shift, cudaStream_t stream);
void cp_kernel_crop_backward(const layer *l, int n, cp_batch y, cp_batch x, float scale, cudaStream_t stream);
/* device_windows.cu: the same for windows of other Darknets; entry e of index is that of image first + e * step. */
void cp_kernel_wide(const cp_wide_window *window, const float *weights, int n, cp_batch x, cp_batch y, cudaStream_t stream);
void cp_kernel_wide_backward(const cp_wide_window *window, const float *weights, int n, cp_batch y, cp_batch x,
                             cudaStream_t stream);
void cp_kernel_wide_pool(const cp_wide_window *window, int n, cp_batch x, cp_batch y, uint16_t *index, cudaStream_t stream);
void cp_kernel_wide_pool_backward(const cp_wide_window *window, int n, cp_batch y, const uint16_t *index, int first, int step,
                                  cp_batch x, cudaStream_t stream);
void cp_kernel_wide_pool_tangent(const cp_wide_window *window, int n, cp_batch x, const uint16_t *index, int first, int step,
                                 cp_batch y, cudaStream_t stream);
void cp_kernel_local_average(const cp_wide_window *window, int n, cp_batch x, cp_batch y, cudaStream_t stream);
void cp_kernel_local_average_backward(const cp_wide_window *window, int n, cp_batch y, cp_batch x, cudaStream_t stream);

/* antialiasing (engine/windows.h, cp_blur_window_of): y = blur(x); backward adds. */
void cp_kernel_blur(const cp_wide_window *window, int n, cp_batch x, cp_batch y, cudaStream_t stream);
void cp_kernel_blur_backward(const cp_wide_window *window, int n, cp_batch y, cp_batch x, cudaStream_t stream);

/* normalize_channels and its like (engine/cpu/normalized.c), in place: y from z. */
void cp_kernel_normalize(ACTIVATION kind, int n, size_t channels, size_t plane, cp_batch y, cudaStream_t stream);
/* to = J from, or its transpose, J at z; to may be from. */
void cp_kernel_normalize_derive(ACTIVATION kind, int n, size_t channels, size_t plane, cp_batch z, cp_batch from, cp_batch to,
                                bool transposed, cudaStream_t stream);

/* device_joins.cu: y (n, channels, plane) = or += factor[channel] * x + bias[channel]; bias NULL: 0. */
void cp_kernel_channels(int n, size_t channels, size_t plane, const float *factor, const float *bias, cp_batch x, cp_batch y,
                        bool add, cudaStream_t stream);
/* y = or += a b, where one value of `a` goes with one of b, with a channel of it, or with a position in all channels. */
typedef enum { CP_WHOLE, CP_OF_CHANNEL, CP_OF_POSITION } cp_product_kind;
void cp_kernel_multiply(cp_product_kind kind, int n, size_t channels, size_t plane, cp_batch a, cp_batch b, cp_batch y,
                        bool add, cudaStream_t stream);
/* to, as large as `a`, += the sums of delta b that its values go with. */
void cp_kernel_multiply_to_a(cp_product_kind kind, int n, size_t channels, size_t plane, cp_batch delta, cp_batch b,
                             cp_batch to, cudaStream_t stream);
/* to = or += from. */
void cp_kernel_copy(int n, size_t count, cp_batch from, cp_batch to, bool add, cudaStream_t stream);

/* ---- device_connected.cu: y = W x and x = (fresh) or += W^T y for each entry; W (outputs, inputs), row by row. */

void cp_kernel_connected(int n, size_t inputs, size_t outputs, const float *weights, cp_batch x, cp_batch y,
                         cudaStream_t stream);
void cp_kernel_connected_backward(int n, size_t inputs, size_t outputs, const float *weights, cp_batch y, cp_batch x,
                                  bool fresh, cudaStream_t stream);

/* ---- device_paths.cu: restrictions, gradients at the neurons, scores, selection. */

/* a[i] = constant[i], or 0 where that is NULL, for each neuron off the path. */
void cp_kernel_restrict(size_t count, const uint64_t *words, const float *constant, float *a, cudaStream_t stream);
/* before = a, a *= gates. */
void cp_kernel_gate(size_t count, const float *gates, float *before, float *a, cudaStream_t stream);
/* g = dPhi/da becomes dPhi/dz: multiplied by the path's bits, the gates and the activation's derivative; each NULL or
 * LINEAR where it does not apply. */
void cp_kernel_through_neurons(size_t count, const float *a, const uint64_t *words, const float *gates,
                               ACTIVATION activation, float *g, cudaStream_t stream);
/* The same without gates for n entries, whose activations and words are listed; g (n, count). */
typedef struct {
    const float *a[CP_DEVICE_ENTRIES];
    const uint64_t *words[CP_DEVICE_ENTRIES];
} cp_listed;
void cp_kernel_through_all(int n, size_t count, const cp_listed *listed, ACTIVATION activation, float *g,
                           cudaStream_t stream);
void cp_kernel_add_at(float *x, float value, cudaStream_t stream);
/* product = a * g, or its magnitude; *not_finite becomes 1 where one is not. */
void cp_kernel_product(size_t count, const float *a, const float *g, bool magnitude, float *product,
                       unsigned *not_finite, cudaStream_t stream);
/* Of the scores' magnitudes, by their first (shift 20: all, 2048 digits) or another digit (10 bits above `shift` of those
 * whose bits above these are `prefix`): total[d] += how many have digit d, total[digits + d] += the sum of their
 * fractions; with the first digit total[2 * digits] += those that are 0. cp_digit_table in engine/frame_scores.h. */
void cp_kernel_count_digits(size_t count, const float *score, uint32_t prefix, int shift, unsigned long long *total,
                            cudaStream_t stream);
/* What kernels know of a neuron layer. */
typedef struct {
    size_t offset, count;  /* its neurons in score[N] */
    size_t word;           /* its first in a path's words */
    size_t channel, plane; /* its first among all channels; neurons of one */
    const float *a;        /* its activations */
    float dead;            /* the highest of these that is dead */
} cp_span;
/* words: the bits of scores that are at least `lowest`, as signed integers; spare bits 0. */
void cp_kernel_select(int layers, const cp_span *span, size_t n_words, const float *score, uint32_t lowest,
                      uint64_t *words, cudaStream_t stream);
/* Where scores are from `lowest` to `highest` as integers, in any order, at most `room`; *found: how many there are. */
void cp_kernel_find(size_t count, const float *score, uint32_t lowest, uint32_t highest, uint32_t *at, uint32_t room,
                    unsigned *found, cudaStream_t stream);
/* best[l], cleared before: the largest score of the layer << 32 | 2^32 - 1 - the first neuron that has it, counted in
 * the layer. */
void cp_kernel_best(int layers, const cp_span *span, const float *score, unsigned long long *best, cudaStream_t stream);
/* *total += the neurons that selection takes before that one, which scores `value`. */
void cp_kernel_rank(size_t count, const float *score, uint32_t value, size_t neuron, unsigned long long *total,
                    cudaStream_t stream);
/* By channel: how many of its neurons are on the path, how many of these are dead, and the sum of their scores. */
typedef struct {
    double score;
    unsigned kept, dead;
} cp_channel_part;
void cp_kernel_parts(size_t channels, int layers, const cp_span *span, const float *score, const uint64_t *words,
                     cp_channel_part *part, cudaStream_t stream);
/* sum: of n planes with at most `most` cells; engine/frame_scores.h. words NULL: of all neurons. */
void cp_kernel_planes(int n, size_t most, const cp_score_plane *plane, const cp_span *span, const float *score,
                      const uint64_t *words, double *sum, cudaStream_t stream);
/* score and activation of n neurons. */
void cp_kernel_look(int n, const uint32_t *neuron, int layers, const cp_span *span, const float *score, float *seen,
                    cudaStream_t stream);
/* sum += weight * the sum over n entries of delta (n, count). */
void cp_kernel_add_deltas(size_t count, int n, const float *delta, double weight, double *sum, cudaStream_t stream);
/* x[to ...] = base[from ...], or 0, for `count` floats. */
typedef struct {
    size_t to, from, count;
    bool zero;
} cp_edit;
/* n edits, of which none has more than `most` floats. */
void cp_kernel_edit(size_t n, size_t most, const cp_edit *edit, const float *base, float *x, cudaStream_t stream);
/* y (n, count): factor[e] * x. */
typedef struct {
    float of[CP_DEVICE_ENTRIES];
} cp_factors;
void cp_kernel_scale(int n, size_t count, const cp_factors *factor, const float *x, float *y, cudaStream_t stream);

#endif

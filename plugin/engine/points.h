/* Deltas along a path. Of a neuron layer only those on the path count, and at 99% sparsity passing over all the others is
 * most of the work: such layers keep theirs as a list of points, and so do the layers between them where the points say which
 * deltas are asked for (a max-pool's winners, the parts of a route) or can be other than zero (the convolution that a
 * shortcut adds). */
#ifndef CP_ENGINE_POINTS_H
#define CP_ENGINE_POINTS_H

#include "engine/engine.h"

/* Where a layer's deltas are: delta k is that of output index[k]. */
typedef struct {
    size_t n;
    uint32_t *index;      /* one channel after the other, in any order within; NULL: all outputs, dense */
    uint32_t *winner;     /* of a max-pool: which of its source's points delta k goes to */
    bool shared;          /* `index` is another layer's */
} cp_points;

/* Of one backward run of one entry. */
typedef struct {
    const cp_frame *frame;
    const cp_path *path;
    int image;
    cp_points *at;        /* by layer + 1 */
    uint32_t *work;       /* memory of the largest call below */
} cp_points_run;

/* Decides which layers have points. open, by layer + 1: deltas of this layer are computed, and no response's unit is among
 * its outputs. Decided by path and shapes alone. The caller frees, after a failure too. */
cp_status cp_points_choose(const cp_frame *frame, const cp_path *path, int image, const bool *open, cp_points_run *run);
void cp_points_free(cp_points_run *run);

static inline const cp_points *cp_points_of(const cp_points_run *run, int layer)
{
    return run && run->at[layer + 1].index ? &run->at[layer + 1] : NULL;
}

/* in_delta of source s += J_s^T delta, where the layer or the source has points; their floats are n, the others' dense.
 * false: a dense layer that has no short way to its source's points; the caller computes the source's dense deltas and has
 * them read by cp_points_take. */
bool cp_points_backward(const cp_points_run *run, int layer, int s, const float *delta, float *in_delta);
bool cp_points_has_way(const cp_points_run *run, int layer, int s);
/* delta[k] += dense[index[k]] */
void cp_points_take(const cp_points *points, const float *dense, float *delta);
/* delta *= act'(z) from the layer's dense output a = act(z). */
void cp_points_descend(const cp_points *points, const float *a, ACTIVATION activation, float *delta);

/* conv_points.c: [convolutional], for one entry. */

/* Fewer deltas than that are better gathered from points: those of a path, or all that are not 0. */
bool cp_conv_takes_points(const cp_op *op, size_t n);
/* Whether n deltas at the input are better computed one by one from dense deltas. */
bool cp_conv_reaches_points(const cp_op *op, size_t n);
/* Words of work memory of the two below; `to`: points at the input, 0 for all. */
cp_status cp_conv_points_work(const cp_op *op, size_t from, size_t to, size_t *words);
/* in_delta += J^T delta; to NULL: dense. */
void cp_conv_from_points(const cp_op *op, const cp_points *from, const float *delta, const cp_points *to, float *in_delta,
                         uint32_t *work);
void cp_conv_to_points(const cp_op *op, const float *delta, const cp_points *to, float *in_delta, uint32_t *work);

#endif

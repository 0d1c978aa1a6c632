/* One row per layer type on a device. Our kernels take a whole batch. A library's matrix product or convolution may
 * choose another kernel for another batch, and so other sums: it gets one image at a time, always by the same call, and
 * the images of a batch run side by side on the queues of the context. So an image's bytes do not depend on the batch
 * that it is in. */
#include <stdio.h>

#include "engine/cuda/device_internal.h"
#include "io/error.h"

/* What a row works with. */
typedef struct {
    cp_frame *frame;
    const cp_op *op;
    const cp_device_op *device;
    cp_context *context;
    cudaStream_t stream; /* of the context: what takes the whole batch */
    cp_queue *queue;         /* what takes one image */
} call;

static void blas_failed(const call *c, cublasStatus_t error)
{
    if (error && !c->frame->own->status)
        c->frame->own->status =
            cp_fail(CP_EINTERNAL, "layer %d: %s: cuBLAS status %d", c->op->info->index, c->op->info->type, (int)error);
}

/* ---------------------------------------------------------------- image by image */

/* What the images of a batch do side by side: the queues wait for what the stream has been given so far, it waits for
 * them. */
static int spread(const call *c, int n)
{
    int queues = cp_context_queues(c->frame, n);
    if (queues < 2) return 1;
    cudaError_t error = cudaEventRecord(c->context->ready, c->stream);
    for (int k = 1; k < queues && !error; ++k)
        error = cudaStreamWaitEvent(c->context->queue[k].stream, c->context->ready, 0);
    cp_device_failed(c->frame, error, "run");
    return queues;
}

static void gather_arms(const call *c, int queues)
{
    for (int k = 1; k < queues; ++k) {
        cudaError_t error = cudaEventRecord(c->context->queue[k].done, c->context->queue[k].stream);
        if (!error) error = cudaStreamWaitEvent(c->stream, c->context->queue[k].done, 0);
        cp_device_failed(c->frame, error, "run");
    }
}

/* ---------------------------------------------------------------- convolution */

/* Row-major C (m,n) = A (m,k) B (k,n) + beta C, or with A given as (k,m) and transposed; for each group. cuBLAS thinks
 * in columns, for which the same memory is the transposed product. */
static void product(const call *c, bool transposed, int groups, int m, int n, int k, const float *a, const float *b,
                    float beta, float *out)
{
    const float one = 1;
    cublasOperation_t op = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    int lda = transposed ? m : k;
    if (c->frame->own->status) return;
    if (groups == 1)
        blas_failed(c, cublasSgemm(c->queue->blas, CUBLAS_OP_N, op, n, m, k, &one, b, n, a, lda, &beta, out, n));
    else
        blas_failed(c, cublasSgemmStridedBatched(c->queue->blas, CUBLAS_OP_N, op, n, m, k, &one, b, n, (long long)k * n,
                                                 a, lda, (long long)m * k, &beta, out, n, (long long)m * n, groups));
}

/* y = (fresh) or += A im2col(x). */
static void gather(const call *c, const float *x, float *y, bool fresh)
{
    const cp_window *g = &c->device->window;
    const float *col = x;
    if (!cp_is_pointwise(g)) {
        cp_kernel_im2col(g, x, c->queue->work, c->queue->stream);
        col = c->queue->work;
    }
    product(c, false, g->groups, g->m, g->out_h * g->out_w, g->c * g->size * g->size, c->device->weights, col,
            fresh ? 0 : 1, y);
}

/* x = (fresh) or += col2im(A^T y). */
static void scatter(const call *c, const float *y, float *x, bool fresh)
{
    const cp_window *g = &c->device->window;
    bool direct = cp_is_pointwise(g);
    product(c, true, g->groups, g->c * g->size * g->size, g->out_h * g->out_w, g->m, c->device->weights, y,
            direct && !fresh ? 1 : 0, direct ? x : c->queue->work);
    if (!direct) cp_kernel_col2im(g, c->queue->work, x, fresh, c->queue->stream);
}

#ifdef CUDNN
static void dnn_failed(const call *c, cudnnStatus_t error)
{
    if (error && !c->frame->own->status)
        c->frame->own->status =
            cp_fail(CP_EINTERNAL, "layer %d: convolution: %s", c->op->info->index, cudnnGetErrorString(error));
}
#endif

static void finish(const call *c, int n, cp_batch out, size_t plane, bool linear, ACTIVATION activation)
{
    if (!linear)
        cp_kernel_activate(n, out, c->op->info->outputs / plane, plane, c->device->biases, activation, c->stream);
}

/* Of one image, by cuDNN where it takes the shape. */
static void convolve(const call *c, const float *x, float *y)
{
#ifdef CUDNN
    if (c->device->dnn) {
        dnn_failed(c, cp_dnn_forward(c->device->dnn, c->queue, c->device->weights, x, y));
        return;
    }
#endif
    gather(c, x, y, true);
}

static void convolve_back(const call *c, const float *y, float *x, bool fresh)
{
#ifdef CUDNN
    if (c->device->dnn) {
        dnn_failed(c, cp_dnn_backward(c->device->dnn, c->queue, c->device->weights, y, x, fresh));
        return;
    }
#endif
    scatter(c, y, x, fresh);
}

/* The window of a deconvolution is that of the convolution whose data gradient it is. */
static void forward_each(const call *c, int n, cp_batch in, cp_batch out)
{
    call one = *c;
    int queues = spread(c, n);
    for (int b = 0; b < n; ++b) {
        one.queue = &c->context->queue[b % queues];
        if (c->op->l->type == DECONVOLUTIONAL)
            scatter(&one, cp_at(in, b), cp_at(out, b), true);
        else
            convolve(&one, cp_at(in, b), cp_at(out, b));
    }
    gather_arms(c, queues);
}

static void forward_convolutional(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                  ACTIVATION activation)
{
    (void)index;
    if (c->device->depthwise)
        cp_kernel_depthwise(&c->device->window, c->device->weights, n, in[0], out, c->stream);
    else
        forward_each(c, n, in[0], out);
    finish(c, n, out, (size_t)c->op->l->out_h * c->op->l->out_w, linear, activation);
}

static void backward_convolutional(const call *c, const cp_backward *run)
{
    cp_batch x = run->in_delta[0];
    call one = *c;
    if (!x.base) return;
    if (c->device->depthwise) {
        cp_kernel_depthwise_backward(&c->device->window, c->device->weights, run->n, run->delta, x, run->fresh,
                                     c->stream);
        return;
    }
    int queues = spread(c, run->n);
    for (int b = 0; b < run->n; ++b) {
        one.queue = &c->context->queue[b % queues];
        if (c->op->l->type == DECONVOLUTIONAL)
            gather(&one, cp_at(run->delta, b), cp_at(x, b), run->fresh);
        else
            convolve_back(&one, cp_at(run->delta, b), cp_at(x, b), run->fresh);
    }
    gather_arms(c, queues);
}

/* ---------------------------------------------------------------- connected, local */

static void forward_connected(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                              ACTIVATION activation)
{
    (void)index;
    cp_kernel_connected(n, c->op->l->inputs, c->op->l->outputs, c->device->weights, in[0], out, c->stream);
    finish(c, n, out, 1, linear, activation);
}

static void backward_connected(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base)
        cp_kernel_connected_backward(run->n, c->op->l->inputs, c->op->l->outputs, c->device->weights, run->delta,
                                     run->in_delta[0], run->fresh, c->stream);
}

static void forward_local(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                          ACTIVATION activation)
{
    (void)index;
    cp_kernel_local(c->op->l, c->device->weights, n, in[0], out, c->stream);
    finish(c, n, out, 1, linear, activation);
}

static void backward_local(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base)
        cp_kernel_local_backward(c->op->l, c->device->weights, run->n, run->delta, run->in_delta[0], c->stream);
}

/* ---------------------------------------------------------------- pools */

static void forward_maxpool(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            ACTIVATION activation)
{
    (void)linear, (void)activation;
    cp_kernel_maxpool(c->op->l, n, in[0], out, index, c->stream);
}

/* The entries' images, from entry `from` on, as first + e * step: mostly all of one image or each of its own. Returns
 * how many entries that holds for. */
static int images_of(const int *image, int from, int n, int *step)
{
    int to = from + 1;
    *step = to < n ? image[to] - image[from] : 0;
    while (to < n && image[to] == image[from] + (to - from) * *step) ++to;
    return to - from;
}

static cp_batch after(cp_batch batch, int entry) { return (cp_batch){cp_at(batch, entry), batch.stride}; }

static void backward_maxpool(const call *c, const cp_backward *run)
{
    for (int b = 0, step, n; b < run->n && run->in_delta[0].base; b += n) {
        n = images_of(run->image, b, run->n, &step);
        cp_kernel_maxpool_backward(c->op->l, n, after(run->delta, b), run->index, run->image[b], step,
                                   after(run->in_delta[0], b), c->stream);
    }
}

static void tangent_maxpool(const call *c, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                            const int *image)
{
    for (int b = 0, step, same; b < n; b += same) {
        same = images_of(image, b, n, &step);
        cp_kernel_maxpool_tangent(c->op->l, same, after(in[0], b), index, image[b], step, after(out, b), c->stream);
    }
}

static void forward_avgpool(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            ACTIVATION activation)
{
    (void)index, (void)linear, (void)activation;
    cp_kernel_avgpool(n, in[0], out, c->op->l->c, (size_t)c->op->l->h * c->op->l->w, c->stream);
}

static void backward_avgpool(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base)
        cp_kernel_avgpool_backward(run->n, run->delta, run->in_delta[0], c->op->l->c, (size_t)c->op->l->h * c->op->l->w,
                                   c->stream);
}

/* ---------------------------------------------------------------- what only moves values */

static void forward_route(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                          ACTIVATION activation)
{
    (void)index, (void)linear, (void)activation;
    for (int s = 0; s < c->op->n_sources; out.base += c->op->source_outputs[s++])
        cp_kernel_copy(n, c->op->source_outputs[s], in[s], out, false, c->stream);
}

static void backward_route(const call *c, const cp_backward *run)
{
    cp_batch from = run->delta;
    for (int s = 0; s < c->op->n_sources; from.base += c->op->source_outputs[s++])
        if (run->in_delta[s].base)
            cp_kernel_copy(run->n, c->op->source_outputs[s], from, run->in_delta[s], true, c->stream);
}

static void forward_shortcut(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                             ACTIVATION activation)
{
    (void)index;
    cp_kernel_shortcut(c->op->l, n, in[0], in[1], out, c->stream);
    finish(c, n, out, 1, linear, activation);
}

static void backward_shortcut(const call *c, const cp_backward *run)
{
    cp_kernel_shortcut_backward(c->op->l, run->n, run->delta, run->in_delta[0], run->in_delta[1], c->stream);
}

static void forward_upsample(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                             ACTIVATION activation)
{
    (void)index, (void)linear, (void)activation;
    cp_kernel_upsample(c->op->l, n, in[0], out, c->stream);
}

static void backward_upsample(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base) cp_kernel_upsample_backward(c->op->l, run->n, run->delta, run->in_delta[0], c->stream);
}

static void forward_reorg(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                          ACTIVATION activation)
{
    (void)index, (void)linear, (void)activation;
    cp_kernel_permute(n, c->op->info->outputs, c->device->permutation, in[0], out, c->stream);
}

static void backward_reorg(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base)
        cp_kernel_permute_backward(run->n, c->op->info->outputs, c->device->permutation, run->delta, run->in_delta[0],
                                   c->stream);
}

static void forward_activation(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                               ACTIVATION activation)
{
    (void)index;
    cp_kernel_copy(n, c->op->info->outputs, in[0], out, false, c->stream);
    finish(c, n, out, 1, linear, activation);
}

static void backward_activation(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base)
        cp_kernel_copy(run->n, c->op->info->outputs, run->delta, run->in_delta[0], true, c->stream);
}

static void forward_crop(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                         ACTIVATION activation)
{
    const layer *l = c->op->l;
    (void)index, (void)activation;
    cp_kernel_crop(l, n, in[0], out, l->noadjust ? 1 : 2, l->noadjust || linear ? 0 : -1, c->stream);
}

static void backward_crop(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base)
        cp_kernel_crop_backward(c->op->l, run->n, run->delta, run->in_delta[0], c->op->l->noadjust ? 1 : 2, c->stream);
}

/* ---------------------------------------------------------------- layers of other Darknets */

/* Of each source one part of its channels. */
static cp_batch group_of(const cp_op *op, cp_batch source, int s)
{
    source.base += op->source_outputs[s] / (size_t)op->cfg->groups * (size_t)op->cfg->group_id;
    return source;
}

static void forward_group_route(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                ACTIVATION activation)
{
    (void)index, (void)linear, (void)activation;
    for (int s = 0; s < c->op->n_sources; ++s) {
        size_t part = c->op->source_outputs[s] / (size_t)c->op->cfg->groups;
        cp_kernel_copy(n, part, group_of(c->op, in[s], s), out, false, c->stream);
        out.base += part;
    }
}

static void backward_group_route(const call *c, const cp_backward *run)
{
    cp_batch from = run->delta;
    for (int s = 0; s < c->op->n_sources; ++s) {
        size_t part = c->op->source_outputs[s] / (size_t)c->op->cfg->groups;
        if (run->in_delta[s].base)
            cp_kernel_copy(run->n, part, from, group_of(c->op, run->in_delta[s], s), true, c->stream);
        from.base += part;
    }
}

static void forward_wide(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                         ACTIVATION activation)
{
    cp_wide_window g = cp_wide_window_of(c->op->cfg);
    (void)index;
    cp_kernel_wide(&g, c->device->weights, n, in[0], out, c->stream);
    finish(c, n, out, (size_t)g.out_h * g.out_w, linear, activation);
}

static void backward_wide(const call *c, const cp_backward *run)
{
    cp_wide_window g = cp_wide_window_of(c->op->cfg);
    if (run->in_delta[0].base)
        cp_kernel_wide_backward(&g, c->device->weights, run->n, run->delta, run->in_delta[0], c->stream);
}

static void forward_wide_pool(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                              ACTIVATION activation)
{
    cp_wide_window g = cp_wide_window_of(c->op->cfg);
    (void)linear, (void)activation;
    cp_kernel_wide_pool(&g, n, in[0], out, index, c->stream);
}

static void backward_wide_pool(const call *c, const cp_backward *run)
{
    cp_wide_window g = cp_wide_window_of(c->op->cfg);
    for (int b = 0, step, n; b < run->n && run->in_delta[0].base; b += n) {
        n = images_of(run->image, b, run->n, &step);
        cp_kernel_wide_pool_backward(&g, n, after(run->delta, b), run->index, run->image[b], step,
                                     after(run->in_delta[0], b), c->stream);
    }
}

static void tangent_wide_pool(const call *c, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                              const int *image)
{
    cp_wide_window g = cp_wide_window_of(c->op->cfg);
    for (int b = 0, step, same; b < n; b += same) {
        same = images_of(image, b, n, &step);
        cp_kernel_wide_pool_tangent(&g, same, after(in[0], b), index, image[b], step, after(out, b), c->stream);
    }
}

static void forward_local_average(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                  ACTIVATION activation)
{
    cp_wide_window g = cp_wide_window_of(c->op->cfg);
    (void)index, (void)linear, (void)activation;
    cp_kernel_local_average(&g, n, in[0], out, c->stream);
}

static void backward_local_average(const call *c, const cp_backward *run)
{
    cp_wide_window g = cp_wide_window_of(c->op->cfg);
    if (run->in_delta[0].base)
        cp_kernel_local_average_backward(&g, run->n, run->delta, run->in_delta[0], c->stream);
}

static size_t plane_of(const cp_op *op) { return op->info->h * op->info->w; }

/* Channels of source s that a sum adds. */
static size_t common_channels(const cp_op *op, int s)
{
    size_t channels = op->source_outputs[s] / plane_of(op);
    return channels < op->info->c ? channels : op->info->c;
}

/* The first source, the layer before, has all channels. */
static void forward_sum(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                        ACTIVATION activation)
{
    (void)index;
    for (int s = 0; s < c->op->n_sources; ++s)
        cp_kernel_channels(n, common_channels(c->op, s), plane_of(c->op), c->device->factor + s * c->op->info->c, NULL, in[s],
                           out, s > 0, c->stream);
    finish(c, n, out, 1, linear, activation);
}

static void backward_sum(const call *c, const cp_backward *run)
{
    for (int s = 0; s < c->op->n_sources; ++s)
        if (run->in_delta[s].base)
            cp_kernel_channels(run->n, common_channels(c->op, s), plane_of(c->op), c->device->factor + s * c->op->info->c,
                               NULL, run->delta, run->in_delta[s], true, c->stream);
}

static void forward_batchnorm(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                              ACTIVATION activation)
{
    (void)index, (void)activation;
    cp_kernel_channels(n, c->op->info->c, plane_of(c->op), c->device->factor, linear ? NULL : c->device->biases, in[0], out,
                       false, c->stream);
}

static void backward_batchnorm(const call *c, const cp_backward *run)
{
    if (run->in_delta[0].base)
        cp_kernel_channels(run->n, c->op->info->c, plane_of(c->op), c->device->factor, NULL, run->delta, run->in_delta[0],
                           true, c->stream);
}

static void forward_implicit(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                             ACTIVATION activation)
{
    size_t outputs = c->op->info->outputs;
    (void)in, (void)index, (void)activation;
    if (!linear) cp_kernel_copy(n, outputs, (cp_batch){c->device->weights, 0}, out, false, c->stream);
    for (int b = 0; b < n && linear; ++b)
        cp_device_failed(c->frame, cudaMemsetAsync(cp_at(out, b), 0, outputs * sizeof(float), c->stream), "run");
}

static void backward_implicit(const call *c, const cp_backward *run) { (void)c, (void)run; }

static cp_product_kind kind_of(const cp_op *op)
{
    if (op->cfg->type == CP_LAYER_SAM) return CP_WHOLE;
    return op->cfg->scale_planes ? CP_OF_POSITION : CP_OF_CHANNEL;
}

static void forward_product(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            ACTIVATION activation)
{
    (void)index;
    cp_kernel_multiply(kind_of(c->op), n, c->op->info->c, plane_of(c->op), in[0], in[1], out, false, c->stream);
    finish(c, n, out, 1, linear, activation);
}

/* The values of source s in the forward run, for entries whose images are first, first + step, ... */
static cp_batch values_of(const call *c, int s, int first, int step)
{
    cp_batch values = cp_frame_batch(c->frame, c->op->source[s]);
    return (cp_batch){cp_at(values, first), values.stride * (size_t)step}; /* a step of -1 wraps, as it should */
}

static void backward_product(const call *c, const cp_backward *run)
{
    cp_product_kind kind = kind_of(c->op);
    size_t channels = c->op->info->c, plane = plane_of(c->op);
    for (int b = 0, step, n; b < run->n; b += n) {
        n = images_of(run->image, b, run->n, &step);
        cp_batch delta = after(run->delta, b);
        if (run->in_delta[0].base)
            cp_kernel_multiply_to_a(kind, n, channels, plane, delta, values_of(c, 1, run->image[b], step),
                                    after(run->in_delta[0], b), c->stream);
        if (run->in_delta[1].base)
            cp_kernel_multiply(kind, n, channels, plane, values_of(c, 0, run->image[b], step), delta,
                               after(run->in_delta[1], b), true, c->stream);
    }
}

static void tangent_product(const call *c, int n, const cp_batch *in, cp_batch out, const uint16_t *index, const int *image)
{
    cp_product_kind kind = kind_of(c->op);
    size_t channels = c->op->info->c, plane = plane_of(c->op);
    (void)index;
    for (int b = 0, step, same; b < n; b += same) {
        same = images_of(image, b, n, &step);
        cp_kernel_multiply(kind, same, channels, plane, after(in[0], b), values_of(c, 1, image[b], step), after(out, b),
                           false, c->stream);
        cp_kernel_multiply(kind, same, channels, plane, values_of(c, 0, image[b], step), after(in[1], b), after(out, b),
                           true, c->stream);
    }
}

/* ---------------------------------------------------------------- the table */

typedef struct {
    LAYER_TYPE type;
    const char *name; /* as cp_op_type has it */
    void (*forward)(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                    ACTIVATION activation);
    void (*backward)(const call *c, const cp_backward *run);
    void (*tangent)(const call *c, int n, const cp_batch *in, cp_batch out, const uint16_t *index, const int *image);
} row;

static const row *find(const cp_op *op)
{
    static const row table[] = {
        {CONVOLUTIONAL, NULL, forward_convolutional, backward_convolutional, NULL},
        {DECONVOLUTIONAL, NULL, forward_convolutional, backward_convolutional, NULL},
        {CONNECTED, NULL, forward_connected, backward_connected, NULL},
        {LOCAL, NULL, forward_local, backward_local, NULL},
        {MAXPOOL, NULL, forward_maxpool, backward_maxpool, tangent_maxpool},
        {AVGPOOL, NULL, forward_avgpool, backward_avgpool, NULL},
        {ROUTE, NULL, forward_route, backward_route, NULL},
        {SHORTCUT, NULL, forward_shortcut, backward_shortcut, NULL},
        {UPSAMPLE, NULL, forward_upsample, backward_upsample, NULL},
        {REORG, NULL, forward_reorg, backward_reorg, NULL},
        {ACTIVE, NULL, forward_activation, backward_activation, NULL},
        {CROP, NULL, forward_crop, backward_crop, NULL},
        {(LAYER_TYPE)CP_HOST_GROUP_ROUTE, NULL, forward_group_route, backward_group_route, NULL},
        {(LAYER_TYPE)CP_HOST_WIDE_CONVOLUTION, NULL, forward_wide, backward_wide, NULL},
        {(LAYER_TYPE)CP_HOST_POOL, NULL, forward_wide_pool, backward_wide_pool, tangent_wide_pool},
        {(LAYER_TYPE)CP_HOST_DEPTH_POOL, NULL, forward_wide_pool, backward_wide_pool, tangent_wide_pool},
        {(LAYER_TYPE)CP_HOST_OTHER, "local_avgpool", forward_local_average, backward_local_average, NULL},
        {(LAYER_TYPE)CP_HOST_SUM, NULL, forward_sum, backward_sum, NULL},
        {BATCHNORM, NULL, forward_batchnorm, backward_batchnorm, NULL},
        {(LAYER_TYPE)CP_HOST_IMPLICIT, NULL, forward_implicit, backward_implicit, NULL},
        {(LAYER_TYPE)CP_HOST_SCALE_CHANNELS, NULL, forward_product, backward_product, tangent_product},
        {(LAYER_TYPE)CP_HOST_SAM, NULL, forward_product, backward_product, tangent_product},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; ++i)
        if (cp_op_is(table[i].type, table[i].name, op->l, op->cfg)) return &table[i];
    return NULL;
}

/* ---------------------------------------------------------------- rows around others: see cp_op.inner */

/* Their work memory, behind the inner row's. All of it is used on the one stream. */
static float *around(const call *c) { return (float *)((char *)c->queue->work + c->device->around_at); }

static size_t aligned(size_t floats) { return (floats + CP_ALIGNED_FLOATS - 1) / CP_ALIGNED_FLOATS * CP_ALIGNED_FLOATS; }

/* The op as its inner row sees it, and where each source that has antialiasing is blurred to. */
typedef struct {
    cp_op op;
    float *blurred[CP_MAX_SOURCES];
    cp_wide_window window[CP_MAX_SOURCES];
} view;

static void open_view(const call *c, view *v)
{
    float *free = around(c);
    v->op = *c->op;
    for (int s = 0; s < v->op.n_sources; ++s) {
        v->blurred[s] = NULL;
        if (!cp_op_reads_blurred(c->op, s, &v->window[s])) continue;
        v->op.source_outputs[s] = (size_t)v->window[s].c * v->window[s].out_h * v->window[s].out_w;
        v->blurred[s] = free;
        free += aligned(v->op.source_outputs[s]);
    }
}

/* What the inner row reads of entry b. */
static void blur_sources(const call *c, const view *v, const cp_batch *in, int b, cp_batch *seen)
{
    for (int s = 0; s < v->op.n_sources; ++s) {
        seen[s] = (cp_batch){v->blurred[s] ? v->blurred[s] : cp_at(in[s], b), 0};
        if (v->blurred[s]) cp_kernel_blur(&v->window[s], 1, after(in[s], b), seen[s], c->stream);
    }
}

static void forward_blurred(const call *c, const row *row, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                            ACTIVATION activation)
{
    call inner = *c;
    view v;
    cp_batch seen[CP_MAX_SOURCES];
    open_view(c, &v);
    inner.op = &v.op;
    for (int b = 0; b < n; ++b) {
        blur_sources(c, &v, in, b, seen);
        row->forward(&inner, 1, seen, after(out, b), index ? index + b * c->op->info->outputs : NULL, linear, activation);
    }
}

/* One entry of a backward run. */
static cp_backward entry_of(const cp_backward *run, int e, const cp_batch *to)
{
    cp_backward one = *run;
    one.n = 1, one.fresh = false, one.fresh_sources = NULL;
    one.delta = after(run->delta, e), one.in_delta = to, one.image = run->image + e;
    return one;
}

static void backward_blurred(const call *c, const row *row, const cp_backward *run)
{
    call inner = *c;
    view v;
    cp_batch to[CP_MAX_SOURCES];
    open_view(c, &v);
    inner.op = &v.op;
    for (int e = 0; e < run->n; ++e) {
        for (int s = 0; s < v.op.n_sources; ++s) {
            to[s] = run->in_delta[s].base ? after(run->in_delta[s], e) : (cp_batch){0};
            if (!to[s].base || !v.blurred[s]) continue;
            to[s] = (cp_batch){v.blurred[s], 0};
            cp_device_failed(c->frame, cudaMemsetAsync(v.blurred[s], 0, v.op.source_outputs[s] * sizeof(float), c->stream),
                             "run");
        }
        cp_backward one = entry_of(run, e, to);
        row->backward(&inner, &one);
        for (int s = 0; s < v.op.n_sources; ++s)
            if (to[s].base && v.blurred[s])
                cp_kernel_blur_backward(&v.window[s], 1, to[s], after(run->in_delta[s], e), c->stream);
    }
}

static void tangent_blurred(const call *c, const row *row, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                            const int *image)
{
    call inner = *c;
    view v;
    cp_batch seen[CP_MAX_SOURCES];
    open_view(c, &v);
    inner.op = &v.op;
    for (int e = 0; e < n; ++e) {
        blur_sources(c, &v, in, e, seen);
        if (row->tangent) row->tangent(&inner, 1, seen, after(out, e), index, image + e);
        else row->forward(&inner, 1, seen, after(out, e), NULL, true, LINEAR);
    }
}

/* Pre-activations of a convolution whose activation ties channels, of the image that entry e is of. */
static cp_batch find_z(const call *c, const row *row, int image)
{
    cp_batch z = {around(c), 0}, x = values_of(c, 0, image, 0);
    row->forward(c, 1, &x, z, NULL, false, LINEAR);
    return z;
}

static void backward_normalized(const call *c, const row *row, const cp_backward *run)
{
    for (int e = 0; e < run->n && run->in_delta[0].base; ++e) {
        cp_batch to = after(run->in_delta[0], e), dz = {around(c) + aligned(c->op->info->outputs), 0};
        cp_batch z = find_z(c, row, run->image[e]);
        cp_kernel_normalize_derive(c->op->activation, 1, c->op->info->c, plane_of(c->op), z, after(run->delta, e), dz, true,
                                   c->stream);
        cp_backward one = entry_of(run, e, &to);
        one.delta = dz;
        row->backward(c, &one);
    }
}

static void tangent_normalized(const call *c, const row *row, int n, const cp_batch *in, cp_batch out, const int *image)
{
    for (int e = 0; e < n; ++e) {
        cp_batch x = after(in[0], e), to = after(out, e), z = find_z(c, row, image[e]);
        row->forward(c, 1, &x, to, NULL, true, LINEAR);
        cp_kernel_normalize_derive(c->op->activation, 1, c->op->info->c, plane_of(c->op), z, to, to, false, c->stream);
    }
}

static bool is_normalized(const call *c) { return cp_activation_ties_channels(c->op->activation); }

static void run_forward(const call *c, const row *row, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                        ACTIVATION activation)
{
    if (!c->op->inner) {
        row->forward(c, n, in, out, index, linear, activation);
    } else if (is_normalized(c)) {
        row->forward(c, n, in, out, index, linear, LINEAR);
        if (!linear && activation != LINEAR)
            cp_kernel_normalize(activation, n, c->op->info->c, plane_of(c->op), out, c->stream);
    } else {
        forward_blurred(c, row, n, in, out, index, linear, activation);
    }
}

static void run_backward(const call *c, const row *row, const cp_backward *run)
{
    if (!c->op->inner) row->backward(c, run);
    else if (is_normalized(c)) backward_normalized(c, row, run);
    else backward_blurred(c, row, run);
}

static void run_tangent(const call *c, const row *row, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                        const int *image)
{
    if (c->op->inner && is_normalized(c)) tangent_normalized(c, row, n, in, out, image);
    else if (c->op->inner) tangent_blurred(c, row, n, in, out, index, image);
    else if (row->tangent) row->tangent(c, n, in, out, index, image);
    else row->forward(c, n, in, out, NULL, true, LINEAR);
}

static call call_of(cp_frame *frame, int layer)
{
    const cp_backend_frame *device = frame->own;
    cp_context *context = device->context;
    return (call){frame,   &frame->engine->op[layer], &device->model->op[layer],
                  context, context->queue->stream,    context->queue};
}

enum { MOST_ENTRIES = 65535 }; /* rows of a grid */

static bool ready(cp_frame *frame, const row *row, int layer, int n)
{
    if (!row && !frame->own->status)
        frame->own->status =
            cp_fail(CP_EINTERNAL, "layer %d: %s has no GPU code", layer, frame->model->layer[layer].type);
    if (n > MOST_ENTRIES && !frame->own->status)
        frame->own->status = cp_fail(CP_ERESOURCE, "GPU: a batch of %d, allowed are %d", n, (int)MOST_ENTRIES);
    return !frame->own->status;
}

/* What a launch refuses is known at once, and a library may clear it later. */
static void look_at_launches(cp_frame *frame, int layer)
{
    cudaError_t error = cudaGetLastError();
    char what[60];
    if (!error) return;
    snprintf(what, sizeof what, "layer %d: %s", layer, frame->model->layer[layer].type);
    cp_device_failed(frame, error, what);
}

void cp_device_forward(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, uint16_t *index,
                       bool linear, ACTIVATION activation)
{
    call c = call_of(frame, layer);
    const row *row = find(c.op);
    if (!ready(frame, row, layer, n)) return;
    bool keep = c.op->keeps_z && !linear && activation != LINEAR && frame->z[layer];
    run_forward(&c, row, n, in, out, index, linear, keep ? LINEAR : activation);
    if (keep) {
        size_t outputs = c.op->info->outputs;
        cp_kernel_copy(n, outputs, out, (cp_batch){frame->z[layer], outputs}, false, c.stream);
        cp_kernel_activate(n, out, 1, outputs, NULL, activation, c.stream);
    }
    look_at_launches(frame, layer);
}

void cp_device_backward(cp_frame *frame, int layer, const cp_backward *run)
{
    call c = call_of(frame, layer);
    const row *row = find(c.op);
    if (!ready(frame, row, layer, run->n)) return;
    run_backward(&c, row, run);
    look_at_launches(frame, layer);
}

void cp_device_tangent(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                       const int *image)
{
    call c = call_of(frame, layer);
    const row *row = find(c.op);
    if (!ready(frame, row, layer, n)) return;
    run_tangent(&c, row, n, in, out, index, image);
    look_at_launches(frame, layer);
}

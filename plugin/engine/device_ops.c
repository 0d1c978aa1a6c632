/* One row per layer type on a device. Images one at a time where a library's kernel could be another for another batch:
 * an image's bytes do not depend on the batch that it is in. */
#include "engine/device_internal.h"
#include "io/error.h"

/* What a row works with. */
typedef struct {
    cp_frame *frame;
    const cp_op *op;
    const cp_device_op *device;
    cp_lane *lane;
    cudaStream_t stream;
} call;

static void blas_failed(const call *c, cublasStatus_t error)
{
    if (error && !c->frame->device->status)
        c->frame->device->status =
            cp_fail(CP_EINTERNAL, "layer %d: %s: cuBLAS status %d", c->op->info->index, c->op->info->type, (int)error);
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
    if (c->frame->device->status) return;
    if (groups == 1)
        blas_failed(c, cublasSgemm(c->lane->blas, CUBLAS_OP_N, op, n, m, k, &one, b, n, a, lda, &beta, out, n));
    else
        blas_failed(c, cublasSgemmStridedBatched(c->lane->blas, CUBLAS_OP_N, op, n, m, k, &one, b, n, (long long)k * n,
                                                 a, lda, (long long)m * k, &beta, out, n, (long long)m * n, groups));
}

/* y = (fresh) or += A im2col(x). */
static void gather(const call *c, const float *x, float *y, bool fresh)
{
    const cp_window *g = &c->device->window;
    const float *col = x;
    if (!cp_is_pointwise(g)) {
        cp_kernel_im2col(g, x, c->lane->work, c->stream);
        col = c->lane->work;
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
            direct && !fresh ? 1 : 0, direct ? x : c->lane->work);
    if (!direct) cp_kernel_col2im(g, c->lane->work, x, fresh, c->stream);
}

#ifdef CUDNN
static void dnn_failed(const call *c, cudnnStatus_t error)
{
    if (error && !c->frame->device->status)
        c->frame->device->status =
            cp_fail(CP_EINTERNAL, "layer %d: convolution: %s", c->op->info->index, cudnnGetErrorString(error));
}
#endif

static void finish(const call *c, int n, cp_batch out, size_t plane, bool linear, ACTIVATION activation)
{
    if (!linear)
        cp_kernel_activate(n, out, c->op->info->outputs / plane, plane, c->device->biases, activation, c->stream);
}

static void forward_convolutional(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                                  ACTIVATION activation)
{
    const cp_window *g = &c->device->window;
    (void)index;
    if (c->device->depthwise) cp_kernel_depthwise(g, c->device->weights, n, in[0], out, c->stream);
    for (int b = 0; b < n && !c->device->depthwise; ++b) {
#ifdef CUDNN
        if (c->device->dnn) {
            dnn_failed(c, cp_dnn_forward(c->device->dnn, c->lane, c->device->weights, cp_at(in[0], b), cp_at(out, b)));
            continue;
        }
#endif
        gather(c, cp_at(in[0], b), cp_at(out, b), true);
    }
    finish(c, n, out, (size_t)g->out_h * g->out_w, linear, activation);
}

static void backward_convolutional(const call *c, const cp_backward *run)
{
    cp_batch x = run->in_delta[0];
    if (!x.base) return;
    if (c->device->depthwise)
        cp_kernel_depthwise_backward(&c->device->window, c->device->weights, run->n, run->delta, x, run->fresh,
                                     c->stream);
    for (int b = 0; b < run->n && !c->device->depthwise; ++b) {
#ifdef CUDNN
        if (c->device->dnn) {
            dnn_failed(c, cp_dnn_backward(c->device->dnn, c->lane, c->device->weights, cp_at(run->delta, b),
                                          cp_at(x, b), run->fresh));
            continue;
        }
#endif
        scatter(c, cp_at(run->delta, b), cp_at(x, b), run->fresh);
    }
}

/* The window of a deconvolution is that of the convolution whose data gradient it is. */
static void forward_deconvolutional(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index,
                                    bool linear, ACTIVATION activation)
{
    (void)index;
    for (int b = 0; b < n; ++b) scatter(c, cp_at(in[0], b), cp_at(out, b), true);
    finish(c, n, out, (size_t)c->op->l->out_h * c->op->l->out_w, linear, activation);
}

static void backward_deconvolutional(const call *c, const cp_backward *run)
{
    for (int b = 0; b < run->n && run->in_delta[0].base; ++b)
        gather(c, cp_at(run->delta, b), cp_at(run->in_delta[0], b), run->fresh);
}

/* ---------------------------------------------------------------- connected, local */

/* W (outputs, inputs) is, by columns, its transpose. */
static void forward_connected(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                              ACTIVATION activation)
{
    const float one = 1, zero = 0;
    int inputs = c->op->l->inputs, outputs = c->op->l->outputs;
    (void)index;
    for (int b = 0; b < n; ++b)
        blas_failed(c, cublasSgemv(c->lane->blas, CUBLAS_OP_T, inputs, outputs, &one, c->device->weights, inputs,
                                   cp_at(in[0], b), 1, &zero, cp_at(out, b), 1));
    finish(c, n, out, 1, linear, activation);
}

static void backward_connected(const call *c, const cp_backward *run)
{
    const float one = 1, beta = run->fresh ? 0 : 1;
    int inputs = c->op->l->inputs, outputs = c->op->l->outputs;
    for (int b = 0; b < run->n && run->in_delta[0].base; ++b)
        blas_failed(c, cublasSgemv(c->lane->blas, CUBLAS_OP_N, inputs, outputs, &one, c->device->weights, inputs,
                                   cp_at(run->delta, b), 1, &beta, cp_at(run->in_delta[0], b), 1));
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

static void backward_maxpool(const call *c, const cp_backward *run)
{
    for (int b = 0; b < run->n && run->in_delta[0].base; ++b)
        cp_kernel_maxpool_backward(c->op->l, cp_at(run->delta, b), run->index + run->image[b] * c->op->info->outputs,
                                   cp_at(run->in_delta[0], b), c->stream);
}

static void tangent_maxpool(const call *c, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                            const int *image)
{
    for (int b = 0; b < n; ++b)
        cp_kernel_maxpool_tangent(c->op->l, cp_at(in[0], b), index + image[b] * c->op->info->outputs, cp_at(out, b),
                                  c->stream);
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

/* ---------------------------------------------------------------- the table */

typedef struct {
    LAYER_TYPE type;
    void (*forward)(const call *c, int n, const cp_batch *in, cp_batch out, uint16_t *index, bool linear,
                    ACTIVATION activation);
    void (*backward)(const call *c, const cp_backward *run);
    void (*tangent)(const call *c, int n, const cp_batch *in, cp_batch out, const uint16_t *index, const int *image);
} row;

static const row *find(LAYER_TYPE type)
{
    static const row table[] = {
        {CONVOLUTIONAL, forward_convolutional, backward_convolutional, NULL},
        {DECONVOLUTIONAL, forward_deconvolutional, backward_deconvolutional, NULL},
        {CONNECTED, forward_connected, backward_connected, NULL},
        {LOCAL, forward_local, backward_local, NULL},
        {MAXPOOL, forward_maxpool, backward_maxpool, tangent_maxpool},
        {AVGPOOL, forward_avgpool, backward_avgpool, NULL},
        {ROUTE, forward_route, backward_route, NULL},
        {SHORTCUT, forward_shortcut, backward_shortcut, NULL},
        {UPSAMPLE, forward_upsample, backward_upsample, NULL},
        {REORG, forward_reorg, backward_reorg, NULL},
        {ACTIVE, forward_activation, backward_activation, NULL},
        {CROP, forward_crop, backward_crop, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; ++i)
        if (table[i].type == type) return &table[i];
    return NULL;
}

static call call_of(cp_frame *frame, int layer)
{
    const cp_device_frame *device = frame->device;
    return (call){frame, &frame->engine->op[layer], &device->model->op[layer], device->lane, device->lane->stream};
}

static bool ready(cp_frame *frame, const row *row, int layer)
{
    if (!row && !frame->device->status)
        frame->device->status =
            cp_fail(CP_EINTERNAL, "layer %d: %s has no GPU code", layer, frame->model->layer[layer].type);
    return !frame->device->status;
}

void cp_device_forward(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, uint16_t *index,
                       bool linear, ACTIVATION activation)
{
    call c = call_of(frame, layer);
    const row *row = find(c.op->l->type);
    if (ready(frame, row, layer)) row->forward(&c, n, in, out, index, linear, activation);
}

void cp_device_backward(cp_frame *frame, int layer, const cp_backward *run)
{
    call c = call_of(frame, layer);
    const row *row = find(c.op->l->type);
    if (ready(frame, row, layer)) row->backward(&c, run);
}

void cp_device_tangent(cp_frame *frame, int layer, int n, const cp_batch *in, cp_batch out, const uint16_t *index,
                       const int *image)
{
    call c = call_of(frame, layer);
    const row *row = find(c.op->l->type);
    if (!ready(frame, row, layer)) return;
    if (row->tangent)
        row->tangent(&c, n, in, out, index, image);
    else
        row->forward(&c, n, in, out, NULL, true, LINEAR);
}

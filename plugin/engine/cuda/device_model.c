/* A model's constants on a device: uploaded once, shared by all its frames. */
#include <string.h>

#include "engine/cuda/device_internal.h"
#include "io/error.h"

static void free_one(cp_device_model *m)
{
    cudaSetDevice(m->device);
    for (int i = 0; i < m->n && m->op; ++i) {
        cudaFree(m->op[i].weights);
        cudaFree(m->op[i].biases);
        cudaFree(m->op[i].factor);
        cudaFree(m->op[i].permutation);
#ifdef CUDNN
        cp_dnn_free(m->op[i].dnn);
#endif
    }
    cp_free(m->op);
    cp_free(m);
}

static void device_model_free(void *memory)
{
    for (cp_device_model *m = memory, *next; m; m = next) {
        next = m->next;
        free_one(m);
    }
}

static cp_status upload(const void *from, size_t count, size_t size, void **to)
{
    size_t bytes;
    if (!cp_mul(count, size, &bytes)) return cp_fail(CP_ERESOURCE, "weights: %zu numbers do not fit in memory", count);
    cp_status status = cp_device_malloc(to, bytes, "weights");
    cudaError_t error = status ? cudaSuccess : cudaMemcpy(*to, from, bytes, cudaMemcpyHostToDevice);
    return error ? cp_cuda_fail(error, "weights") : status;
}

static size_t col_bytes(const cp_window *g)
{
    return cp_is_pointwise(g) ? 0 : (size_t)g->groups * g->c * g->size * g->size * g->out_h * g->out_w * sizeof(float);
}

static cp_status prepare(const cp_op *op, cp_device_op *to)
{
    const layer *l = op->l;
    size_t weights = 0, biases = 0, window = (size_t)l->size * l->size;
    if (!op->type) return CP_OK;
    switch ((int)l->type) {
    case CONVOLUTIONAL:
    case DECONVOLUTIONAL:
        to->window = op->conv->window;
        to->depthwise = op->conv->depthwise;
        weights = (size_t)to->window.groups * to->window.m * to->window.c * window;
        biases = l->n;
        if (!to->depthwise) to->work_bytes = col_bytes(&to->window);
        break;
    case CONNECTED:
        weights = (size_t)l->inputs * l->outputs;
        biases = l->outputs;
        break;
    case LOCAL:
        weights = window * l->c * l->n * l->out_h * l->out_w;
        biases = l->outputs;
        break;
    case CP_HOST_WIDE_CONVOLUTION:
        cp_host_array_sizes(l, &weights, &biases);
        break;
    case CP_HOST_IMPLICIT: return upload(l->weights, op->info->outputs, sizeof(float), (void **)&to->weights);
    case CP_HOST_SUM:
        return upload(op->factor, (size_t)op->n_sources * op->info->c, sizeof(float), (void **)&to->factor);
    case BATCHNORM: {
        cp_status status = upload(l->scales, op->info->c, sizeof(float), (void **)&to->factor);
        return status ? status : upload(l->biases, op->info->c, sizeof(float), (void **)&to->biases);
    }
    case REORG: return upload(op->permutation, op->info->outputs, sizeof *op->permutation, (void **)&to->permutation);
    default: return CP_OK;
    }
    cp_status status = upload(l->weights, weights, sizeof(float), (void **)&to->weights);
    return status ? status : upload(l->biases, biases, sizeof(float), (void **)&to->biases);
}

#ifdef CUDNN
static cp_status prepare_dnn(const cp_engine *engine, cp_device_model *m)
{
    cudnnHandle_t handle;
    cudnnStatus_t error = cudnnCreate(&handle);
    if (error) return cp_fail(CP_ERESOURCE, "GPU: cuDNN does not start: %s", cudnnGetErrorString(error));
    cp_status status = CP_OK;
    for (int i = 0; i < m->n && !status; ++i) {
        cp_device_op *op = &m->op[i];
        size_t bytes = 0;
        if (!engine->op[i].type || engine->op[i].l->type != CONVOLUTIONAL || op->depthwise) continue;
        status = cp_dnn_create(handle, &op->window, &op->dnn, &bytes);
        if (op->dnn) op->work_bytes = bytes;
    }
    cudnnDestroy(handle);
    return status;
}
#endif

static cp_status create(const cp_engine *engine, int device, cp_device_model **out)
{
    cp_device_model *m = cp_alloc(1, sizeof *m, "GPU");
    if (!m) return CP_ERESOURCE;
    m->device = device;
    m->n = engine->n;
    m->op = cp_alloc(m->n, sizeof *m->op, "GPU");
    cp_status status = m->op ? CP_OK : CP_ERESOURCE;
    for (int i = 0; i < m->n && !status; ++i) status = prepare(&engine->op[i], &m->op[i]);
    /* cudaMemcpy() ends when the host's memory is read; a context's stream would not wait for the rest. */
    cudaError_t error = status ? cudaSuccess : cudaDeviceSynchronize();
    if (error) status = cp_cuda_fail(error, "weights");
#ifdef CUDNN
    if (!status) status = prepare_dnn(engine, m);
#endif
    for (int i = 0; i < m->n && !status; ++i) {
        const size_t aligned = 256;
        if (!engine->op[i].inner) continue;
        m->op[i].around_at = (m->op[i].work_bytes + aligned - 1) / aligned * aligned;
        m->op[i].work_bytes = m->op[i].around_at + cp_op_around_floats(&engine->op[i]) * sizeof(float);
    }
    for (int i = 0; i < m->n && !status; ++i)
        if (m->op[i].work_bytes > m->work_bytes) m->work_bytes = m->op[i].work_bytes;
    if (status)
        free_one(m);
    else
        *out = m;
    return status;
}

cp_status cp_device_model_get(const cp_model *model, const cp_engine *engine, int device, const cp_device_model **out)
{
    cp_model *owner = (cp_model *)model; /* its caches are guarded by its lock */
    cp_engine *cache = (cp_engine *)engine;
    cp_status status = CP_OK;
    pthread_mutex_lock(&owner->engine_lock);
    cp_device_model *m = cache->part;
    while (m && m->device != device) m = m->next;
    if (!m && !(status = create(engine, device, &m))) {
        m->next = cache->part;
        cache->part = m;
        cache->part_free = device_model_free;
    }
    pthread_mutex_unlock(&owner->engine_lock);
    *out = m;
    return status;
}

/* Devices, the contexts that runs take turns in, and the buffers of a frame with their copies on the host. */
#include <string.h>

#include "engine/cuda/device_internal.h"
#include "io/error.h"
#include "model/path_bits.h"

static pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;
static cp_context *idle_contexts;
static _Thread_local bool was_short;

cp_status cp_cuda_fail(cudaError_t error, const char *what)
{
    size_t free = 0, total = 0;
    if (error == cudaErrorMemoryAllocation && cudaMemGetInfo(&free, &total) == cudaSuccess)
        return cp_fail(CP_ERESOURCE, "GPU: %s: out of memory, %zu of %zu bytes are free", what, free, total);
    return cp_fail(error == cudaErrorMemoryAllocation ? CP_ERESOURCE : CP_EINTERNAL, "GPU: %s: %s", what,
                   cudaGetErrorString(error));
}

/* What contexts that nobody runs on hold besides their handles; true when it was anything. */
static bool empty_idle_contexts(void)
{
    bool any = false;
    int device;
    if (cudaGetDevice(&device)) return false;
    pthread_mutex_lock(&contexts_lock);
    for (cp_context *context = idle_contexts; context; context = context->next) {
        if (context->device != device) continue;
        for (int k = 0; k < context->queues; ++k) {
            any |= context->queue[k].work_bytes > 0;
            cudaFree(context->queue[k].work);
            context->queue[k].work = NULL;
            context->queue[k].work_bytes = 0;
        }
        any |= context->staging_bytes > 0 || context->bits_bytes > 0;
        cudaFree(context->staging), cudaFree(context->bits);
        context->staging = context->bits = NULL;
        context->staging_bytes = context->bits_bytes = 0;
    }
    pthread_mutex_unlock(&contexts_lock);
    return any;
}

cp_status cp_device_malloc(void **memory, size_t bytes, const char *what)
{
    *memory = NULL;
    cudaError_t error = cudaMalloc(memory, bytes ? bytes : 1);
    if (error == cudaErrorMemoryAllocation && empty_idle_contexts()) {
        cudaGetLastError();
        error = cudaMalloc(memory, bytes ? bytes : 1);
    }
    if (!error) return CP_OK;
    cudaGetLastError(); /* it would be taken for the next launch's */
    was_short |= error == cudaErrorMemoryAllocation;
    return cp_cuda_fail(error, what);
}

bool cp_device_is_short(void)
{
    bool yes = was_short;
    was_short = false;
    return yes;
}

enum { RESERVE_SHARE = 16, LEAST_RESERVE = 256 << 20 };

size_t cp_device_room(int index)
{
    size_t free, total;
    if (cudaSetDevice(index) || cudaMemGetInfo(&free, &total)) {
        cudaGetLastError();
        return 1; /* the first frame will say what is wrong */
    }
    size_t reserve = total / RESERVE_SHARE > LEAST_RESERVE ? total / RESERVE_SHARE : LEAST_RESERVE;
    return free > reserve ? free - reserve : 1;
}

/* cuBLAS keeps 32 MiB for a stream on the largest cards. */
enum { HANDLE_BYTES = 64 << 20 };

size_t cp_device_run_bytes(const cp_frame *frame)
{
    return HANDLE_BYTES + frame->own->model->work_bytes;
}

cp_status cp_device_check(int index)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error || !count) {
        cudaGetLastError();
        return cp_fail(CP_EINPUT, "GPU %d: there is none: %s. With -nogpu the CPU computes", index,
                       error ? cudaGetErrorString(error) : "no device");
    }
    if (index >= count) return cp_fail(CP_EINPUT, "GPU %d: there are GPUs 0 to %d", index, count - 1);
    return CP_OK;
}

cp_status cp_device_describe(int index, char name[300])
{
    struct cudaDeviceProp properties;
    int version = 0;
    cp_status status = cp_device_check(index);
    if (status) return status;
    cudaError_t error = cudaGetDeviceProperties(&properties, index);
    if (!error) error = cudaRuntimeGetVersion(&version);
    if (error) return cp_cuda_fail(error, "device");
    snprintf(name, 300, "GPU %d: %.200s, compute %d.%d, CUDA %d.%d", index, properties.name, properties.major,
             properties.minor, version / 1000, version % 1000 / 10);
    return CP_OK;
}

/* ---------------------------------------------------------------- contexts */

static void queue_free(cp_queue *queue)
{
#ifdef CUDNN
    if (queue->dnn) cudnnDestroy(queue->dnn);
#endif
    if (queue->blas) cublasDestroy(queue->blas);
    if (queue->done) cudaEventDestroy(queue->done);
    if (queue->stream) cudaStreamDestroy(queue->stream);
    cudaFree(queue->work);
    *queue = (cp_queue){0};
}

static void context_free(cp_context *context)
{
    if (!context) return;
    for (int k = 0; k < context->queues; ++k) queue_free(&context->queue[k]);
    if (context->ready) cudaEventDestroy(context->ready);
    cp_free(context);
}

static cp_status queue_create(cp_queue *queue)
{
    cudaError_t error = cudaStreamCreateWithFlags(&queue->stream, cudaStreamNonBlocking);
    if (!error) error = cudaEventCreateWithFlags(&queue->done, cudaEventDisableTiming);
    cp_status status = error ? cp_cuda_fail(error, "stream") : CP_OK;
    cublasStatus_t blas = CUBLAS_STATUS_SUCCESS;
    if (!status) blas = cublasCreate(&queue->blas);
    if (!status && !blas) blas = cublasSetStream(queue->blas, queue->stream);
    /* Full precision: the default keeps TF32 out of it, unless NVIDIA_TF32_OVERRIDE is set. */
    if (!status && !blas) blas = cublasSetMathMode(queue->blas, CUBLAS_DEFAULT_MATH);
    if (blas) status = cp_fail(CP_ERESOURCE, "GPU: cuBLAS does not start: status %d", (int)blas);
#ifdef CUDNN
    cudnnStatus_t dnn = CUDNN_STATUS_SUCCESS;
    if (!status) dnn = cudnnCreate(&queue->dnn);
    if (!status && !dnn) dnn = cudnnSetStream(queue->dnn, queue->stream);
    if (dnn) status = cp_fail(CP_ERESOURCE, "GPU: cuDNN does not start: %s", cudnnGetErrorString(dnn));
#endif
    if (status) {
        queue_free(queue);
        cudaGetLastError(); /* it would be taken for the next launch's */
    }
    return status;
}

static cp_status context_create(int device, cp_context **out)
{
    cp_context *context = cp_alloc(1, sizeof *context, "GPU");
    if (!context) return CP_ERESOURCE;
    context->device = device;
    cudaError_t error = cudaEventCreateWithFlags(&context->ready, cudaEventDisableTiming);
    cp_status status = error ? cp_cuda_fail(error, "stream") : queue_create(context->queue);
    if (!status) context->queues = 1;
    if (status)
        context_free(context);
    else
        *out = context;
    return status;
}

/* Contexts are as many as there have been runs at a time, and live as long as the process. */
static cp_status context_take(int device, cp_context **out)
{
    pthread_mutex_lock(&contexts_lock);
    cp_context **link = &idle_contexts;
    while (*link && (*link)->device != device) link = &(*link)->next;
    cp_context *context = *link;
    if (context) *link = context->next;
    pthread_mutex_unlock(&contexts_lock);
    *out = context;
    return context ? CP_OK : context_create(device, out);
}

static void context_give_back(cp_context *context)
{
    pthread_mutex_lock(&contexts_lock);
    context->next = idle_contexts;
    idle_contexts = context;
    pthread_mutex_unlock(&contexts_lock);
}

static cp_status grow(void **memory, size_t *bytes, size_t needed, const char *what)
{
    if (*bytes >= needed) return CP_OK;
    cudaFree(*memory);
    *bytes = 0;
    cp_status status = cp_device_malloc(memory, needed, what);
    if (!status) *bytes = needed;
    return status;
}

enum { LEAST_SHARE = 16 }; /* one more queue takes no more than that part of what is free */

static bool can_help(cp_context *context, int k, size_t work_bytes)
{
    size_t free, total;
    if (context->queues == k) {
        if (queue_create(&context->queue[k])) return false;
        context->queues++;
    }
    cp_queue *queue = &context->queue[k];
    if (queue->work_bytes >= work_bytes) return true;
    if (cudaMemGetInfo(&free, &total) != cudaSuccess || work_bytes > free / LEAST_SHARE) return false;
    return !grow(&queue->work, &queue->work_bytes, work_bytes, "work memory");
}

int cp_context_queues(cp_frame *frame, int n)
{
    cp_context *context = frame->own->context;
    int queues = 1;
    if (frame->own->status) return 1;
    while (queues < n && queues < CP_QUEUES && can_help(context, queues, frame->own->model->work_bytes)) ++queues;
    return queues;
}

/* ---------------------------------------------------------------- frames */

enum { ALIGN = 256 };

static size_t aligned(size_t bytes) { return (bytes + ALIGN - 1) / ALIGN * ALIGN; }

static cp_status allocate(cp_frame *frame, const bool *owned)
{
    cp_backend_frame *device = frame->own;
    const cp_model *model = frame->model;
    int n = model->layers;
    size_t count, bytes = 0, at = 0;
    device->mirror = cp_alloc(n + 1, sizeof *device->mirror, "frame");
    device->known = cp_alloc((size_t)(n + 1) * frame->batch, 1, "frame");
    device->start = cp_alloc(frame->batch, 1, "frame");
    if (!device->mirror || !device->known || !device->start) return CP_ERESOURCE;
    for (int i = -1; i < n; ++i) {
        if (!owned[i + 1]) continue;
        if (!cp_mul(cp_outputs(model, i), frame->batch, &count) || count > SIZE_MAX / 16)
            return cp_fail(CP_ERESOURCE, "layer %d: %d images do not fit in memory", i, frame->batch);
        bytes += aligned(count * sizeof(float));
        if (i >= 0 && frame->engine->op[i].has_index) bytes += aligned(count * sizeof(uint16_t));
        if (i >= 0 && frame->engine->op[i].keeps_z) bytes += aligned(count * sizeof(float));
        device->mirror[i + 1] = cp_alloc_dirty(count, sizeof(float), "frame"); /* pages come when it is read */
        if (!device->mirror[i + 1]) return CP_ERESOURCE;
    }
    cp_status status = cp_device_malloc(&device->slab, bytes, "frame");
    if (status) return status;
    for (int i = -1; i < n; ++i) {
        if (!owned[i + 1]) continue;
        count = cp_outputs(model, i) * frame->batch;
        frame->value[i + 1] = (float *)((char *)device->slab + at);
        at += aligned(count * sizeof(float));
        if (i >= 0 && frame->engine->op[i].keeps_z) {
            frame->z[i] = (float *)((char *)device->slab + at);
            at += aligned(count * sizeof(float));
        }
        if (i < 0 || !frame->engine->op[i].has_index) continue;
        frame->index[i] = (uint16_t *)((char *)device->slab + at);
        at += aligned(count * sizeof(uint16_t));
    }
    return CP_OK;
}

cp_status cp_device_frame_open(cp_frame *frame, const bool *owned)
{
    int index = frame->base ? frame->base->own->device : cp_device();
    cp_backend_frame *device = frame->own = cp_alloc(1, sizeof *device, "frame");
    if (!device) return CP_ERESOURCE;
    device->device = index;
    pthread_mutex_init(&device->lock, NULL);
    cudaError_t error = cudaSetDevice(index);
    if (error) return cp_cuda_fail(error, "frame");
    cp_status status = cp_device_model_get(frame->model, frame->engine, index, &device->model);
    if (!status) status = allocate(frame, owned);
    /* What a branch starts from is the caller's to write. */
    if (!status && frame->base)
        memset(device->known + (size_t)(frame->branch_layer + 1) * frame->batch, 1, frame->batch);
    return status;
}

void cp_device_frame_close(cp_frame *frame)
{
    cp_backend_frame *device = frame->own;
    if (!device) return;
    cudaSetDevice(device->device);
    cudaFree(device->slab);
    cudaFree(device->scores);
    cudaFree(frame->arena);
    for (int i = 0; i < frame->model->neuron_layers && frame->before_gate; ++i) cudaFree(frame->before_gate[i]);
    for (int i = 0; i <= frame->model->layers && device->mirror; ++i) cp_free(device->mirror[i]);
    cp_free(device->mirror);
    cp_free(device->known);
    cp_free(device->start);
    cp_free(device->edit);
    pthread_mutex_destroy(&device->lock);
    cp_free(device);
    frame->own = NULL;
}

cp_status cp_device_arena(cp_frame *frame, size_t floats)
{
    cudaSetDevice(frame->own->device);
    cudaFree(frame->arena);
    frame->arena = NULL;
    frame->arena_floats = 0;
    cp_status status = cp_device_malloc((void **)&frame->arena, floats * sizeof(float), "deltas");
    if (!status) frame->arena_floats = floats;
    return status;
}

float *cp_device_alloc(const cp_frame *frame, size_t count, const char *what)
{
    void *memory;
    size_t bytes;
    cudaSetDevice(frame->own->device);
    if (!cp_mul(count, sizeof(float), &bytes)) {
        cp_fail(CP_ERESOURCE, "%s: %zu numbers do not fit in memory", what, count);
        return NULL;
    }
    return cp_device_malloc(&memory, bytes, what) ? NULL : memory;
}

void cp_device_free(const cp_frame *frame, void *memory)
{
    cudaSetDevice(frame->own->device);
    cudaFree(memory);
}

/* ---------------------------------------------------------------- runs */

bool cp_device_failed(cp_frame *frame, cudaError_t error, const char *what)
{
    if (error && !frame->own->status) frame->own->status = cp_cuda_fail(error, what);
    return frame->own->status;
}

cp_status cp_device_begin(cp_frame *frame)
{
    cp_backend_frame *device = frame->own;
    device->status = CP_OK;
    device->paths = 0;
    cudaError_t error = cudaSetDevice(device->device);
    if (error) return cp_cuda_fail(error, "run");
    cp_status status = context_take(device->device, &device->context);
    if (status) return status;
    cp_queue *queue = device->context->queue;
    status = grow(&queue->work, &queue->work_bytes, device->model->work_bytes, "work memory");
    if (status) context_give_back(device->context), device->context = NULL;
    return status;
}

cp_status cp_device_end(cp_frame *frame)
{
    cp_backend_frame *device = frame->own;
    /* The others' work comes before the first's end, unless a fault came between. */
    for (int k = 0; k < (device->status ? device->context->queues : 1); ++k)
        cp_device_failed(frame, cudaStreamSynchronize(device->context->queue[k].stream), "run");
    cp_device_failed(frame, cudaGetLastError(), "launch");
    context_give_back(device->context);
    device->context = NULL;
    cp_free(device->shown);
    device->shown = NULL;
    device->shown_floats = 0;
    return device->status;
}

float *cp_device_shown(cp_frame *frame, size_t floats)
{
    cp_backend_frame *device = frame->own;
    if (device->status) return NULL;
    if (device->shown_floats < floats) {
        cp_free(device->shown);
        device->shown = cp_alloc_dirty(floats, sizeof *device->shown, "backward");
        device->shown_floats = device->shown ? floats : 0;
        if (!device->shown) device->status = CP_ERESOURCE;
    }
    return device->shown;
}

/* Room for `bytes` of what a step brings along; steps follow one another on the stream, so that one piece serves all.
 */
void *cp_device_staging(cp_frame *frame, size_t bytes)
{
    cp_context *context = frame->own->context;
    if (frame->own->status) return NULL;
    if (context->staging_bytes < bytes) { /* nothing may still read the old piece */
        if (cp_device_failed(frame, cudaStreamSynchronize(context->queue->stream), "run")) return NULL;
        cp_status status = grow(&context->staging, &context->staging_bytes, bytes, "work memory");
        if (status) {
            frame->own->status = status;
            return NULL;
        }
    }
    return context->staging;
}

void *cp_device_stage(cp_frame *frame, const void *from, size_t bytes)
{
    void *staging = cp_device_staging(frame, bytes);
    if (!staging) return NULL;
    cudaStream_t stream = frame->own->context->queue->stream;
    cudaError_t error = cudaMemcpyAsync(staging, from, bytes, cudaMemcpyHostToDevice, stream);
    return cp_device_failed(frame, error, "copy to the device") ? NULL : staging;
}

void cp_device_upload(cp_frame *frame, const float *from, float *to, size_t count)
{
    if (frame->own->status) return;
    cudaStream_t stream = frame->own->context->queue->stream;
    cp_device_failed(frame, cudaMemcpyAsync(to, from, count * sizeof *to, cudaMemcpyHostToDevice, stream),
                     "copy to the device");
}

void cp_device_download(cp_frame *frame, const float *from, float *to, size_t count)
{
    cudaStream_t stream = frame->own->context->queue->stream;
    if (frame->own->status) return;
    if (!cp_device_failed(frame, cudaMemcpyAsync(to, from, count * sizeof *to, cudaMemcpyDeviceToHost, stream),
                          "copy to the host"))
        cp_device_failed(frame, cudaStreamSynchronize(stream), "run");
}

void cp_device_clear(cp_frame *frame, float *x, size_t count)
{
    if (!frame->own->status)
        cp_device_failed(frame, cudaMemsetAsync(x, 0, count * sizeof *x, frame->own->context->queue->stream), "clear");
}

void cp_device_add(cp_frame *frame, const float *host, float *x, size_t count)
{
    float *from = cp_device_stage(frame, host, count * sizeof *host);
    if (from) cp_kernel_copy(1, count, (cp_batch){from, 0}, (cp_batch){x, 0}, true, frame->own->context->queue->stream);
}

void cp_device_add_at(cp_frame *frame, float *x, float value)
{
    if (!frame->own->status) cp_kernel_add_at(x, value, frame->own->context->queue->stream);
}

static size_t bytes_of(const cp_path *path) { return path->first[path->n_layers] * sizeof *path->words; }

/* Room for n more paths of that size in the slots of a run, at most all of them. What they held is forgotten where they
 * are full: the stream has read it when it comes to write there again. */
static bool make_slots(cp_frame *frame, size_t bytes, int n)
{
    cp_backend_frame *device = frame->own;
    cp_context *context = device->context;
    size_t slots = context->bits_bytes / bytes, wanted = (size_t)device->paths + n;
    if (slots > CP_DEVICE_PATHS) slots = CP_DEVICE_PATHS;
    if (wanted <= slots) return true;
    device->paths = 0;
    if (slots == CP_DEVICE_PATHS) return true;
    if (cp_device_failed(frame, cudaStreamSynchronize(context->queue->stream), "run")) return false;
    slots = wanted > 2 * slots ? wanted : 2 * slots;
    if (slots > CP_DEVICE_PATHS) slots = CP_DEVICE_PATHS;
    device->status = grow(&context->bits, &context->bits_bytes, slots * bytes, "paths");
    return !device->status;
}

static int slot_of(const cp_backend_frame *device, const cp_path *path)
{
    int k = 0;
    while (k < device->paths && device->path[k] != path) ++k;
    return k;
}

/* The path's words of a layer on the device. All of them are brought at their first use in a run, as a copy from the
 * host at every layer would hold it up. */
static const uint64_t *bring(cp_frame *frame, const cp_path *path, int position)
{
    cp_backend_frame *device = frame->own;
    cp_context *context = device->context;
    size_t bytes = bytes_of(path);
    if (device->status) return NULL;
    int k = slot_of(device, path);
    if (k == device->paths) {
        if (!make_slots(frame, bytes, 1)) return NULL;
        k = device->paths++;
        device->path[k] = path;
        cudaError_t error = cudaMemcpyAsync((char *)context->bits + k * bytes, path->words, bytes,
                                            cudaMemcpyHostToDevice, context->queue->stream);
        if (cp_device_failed(frame, error, "copy to the device")) return NULL;
    }
    return (uint64_t *)((char *)context->bits + k * bytes) + path->first[position];
}

void cp_device_restrict(cp_frame *frame, int position, const cp_path *path, const float *constant, float *a)
{
    const uint64_t *words = bring(frame, path, position);
    size_t count = frame->model->neuron[position].count;
    if (words) cp_kernel_restrict(count, words, constant, a, frame->own->context->queue->stream);
}

void cp_device_gate(cp_frame *frame, size_t count, const float *gates, float *before, float *a)
{
    const float *factors = cp_device_stage(frame, gates, count * sizeof *gates);
    if (factors) cp_kernel_gate(count, factors, before, a, frame->own->context->queue->stream);
}

void cp_device_through(cp_frame *frame, int position, const float *a, const cp_path *path, const float *gates,
                       ACTIVATION activation, float *g)
{
    cudaStream_t stream = frame->own->context->queue->stream;
    size_t count = frame->model->neuron[position].count;
    const uint64_t *words = path ? bring(frame, path, position) : NULL;
    if ((path && !words) || (gates && !(gates = cp_device_stage(frame, gates, count * sizeof *gates)))) return;
    if (!frame->own->status && (words || gates || activation != LINEAR))
        cp_kernel_through_neurons(count, a, words, gates, activation, g, stream);
}

void cp_device_through_all(cp_frame *frame, int position, int n, const float *const *a, const cp_path *const *path,
                           ACTIVATION activation, float *g)
{
    cp_backend_frame *device = frame->own;
    cp_listed listed = {.a = {NULL}};
    bool any = activation != LINEAR;
    size_t bytes = 0;
    int missing = 0;
    for (int e = 0; e < n; ++e)
        if (path[e] && slot_of(device, path[e]) == device->paths) bytes = bytes_of(path[e]), ++missing;
    /* One that is brought may not take the place of another of this list. */
    if (missing && !make_slots(frame, bytes, missing)) return;
    for (int e = 0; e < n; ++e) {
        listed.a[e] = a[e];
        listed.words[e] = path[e] ? bring(frame, path[e], position) : NULL;
        any |= listed.words[e] != NULL;
    }
    if (any && !device->status)
        cp_kernel_through_all(n, frame->model->neuron[position].count, &listed, activation, g,
                              device->context->queue->stream);
}

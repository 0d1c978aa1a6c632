/* Between the files of the device engine. */
#ifndef CP_ENGINE_DEVICE_INTERNAL_H
#define CP_ENGINE_DEVICE_INTERNAL_H

#include "engine/cuda/device.h"
#include "engine/cuda/device_kernels.h"

/* A stream with what the libraries need for it: each its own, as results may depend on which of several streams shares
 * a handle's workspace. */
typedef struct {
    cudaStream_t stream;
    cudaEvent_t done;
    cublasHandle_t blas;
#ifdef CUDNN
    cudnnHandle_t dnn;
#endif
    void *work; /* im2col of one image; cuDNN's workspace; only grows */
    size_t work_bytes;
} cp_queue;

enum { CP_DEVICE_PATHS = CP_DEVICE_ENTRIES }; /* on the device at a time */
enum { CP_QUEUES = 8 }; /* as many as a card has unless CUDA_DEVICE_MAX_CONNECTIONS says otherwise */

/* What one run at a time uses. */
typedef struct cp_context {
    struct cp_context *next;
    int device, queues;        /* so many of them are made, at least 1 */
    cp_queue queue[CP_QUEUES]; /* the first is the run's stream, the others help with the images of a batch */
    cudaEvent_t ready;         /* recorded on that stream for them */
    void *staging;             /* what a step brings from the host: words, gates, a seed */
    size_t staging_bytes;
    void *bits;                /* words of the paths that a run uses */
    size_t bits_bytes;
} cp_context;

/* One layer's constants in the device's memory. */
typedef struct {
    float *weights, *biases;
    float *factor; /* by channel: [batchnorm]; by source and channel: a sum of several layers */
    int32_t *permutation;
    cp_window window; /* convolutional, deconvolutional: as cp_conv's */
    bool depthwise;
    size_t work_bytes;
    size_t around_at; /* where in that the row around the op's own (engine/engine.h, inner) has its part */
#ifdef CUDNN
    struct cp_dnn *dnn; /* NULL: by cuBLAS */
#endif
} cp_device_op;

typedef struct cp_device_model {
    struct cp_device_model *next; /* the same model on another device */
    int device, n;
    cp_device_op *op;
    size_t work_bytes; /* the most any op needs */
} cp_device_model;

struct cp_backend_frame {
    int device;
    const cp_device_model *model;
    void *slab;           /* behind frame->value and frame->index */
    float **mirror;       /* by layer + 1: the host's copy, (batch, outputs) */
    uint8_t *known;       /* (layers + 1, batch): the copy is up to date */
    pthread_mutex_t lock; /* of mirror and known: branches of a frame read it from several threads */
    float *shown;         /* on the host, during a run: what an observer sees */
    size_t shown_floats;
    float *scores;        /* N, made at the first use: engine/frame_scores.h */
    uint8_t *start;       /* of a branch, by entry: what its layer begins with in the next run */
    cp_edit *edit;        /* and what is put there then; two edits of one place do not meet */
    size_t edits, room_for_edits;
    cp_context *context;        /* during a run */
    const cp_path *path[CP_DEVICE_PATHS]; /* those whose words are in context->bits, `paths` of them */
    int paths;
    cp_status status;     /* of the run: the first fault */
};

/* CP_ERESOURCE when memory is what lacks, otherwise CP_EINTERNAL; `what` was being done. */
cp_status cp_cuda_fail(cudaError_t error, const char *what);
cp_status cp_device_malloc(void **memory, size_t bytes, const char *what);

/* Keeps the first fault of a run; true once there is one. */
bool cp_device_failed(cp_frame *frame, cudaError_t error, const char *what);
/* How many queues of the run's context can share n images, at least 1; made at the first use, fewer where memory is
 * short. */
int cp_context_queues(cp_frame *frame, int n);
/* Memory that one step uses, of a run's context; NULL after a fault. */
void *cp_device_staging(cp_frame *frame, size_t bytes);
/* The same memory with `bytes` copied from the host's `from`. */
void *cp_device_stage(cp_frame *frame, const void *from, size_t bytes);

/* device_model.c: the model's constants on that device, made at first use. */
cp_status cp_device_model_get(const cp_model *model, const cp_engine *engine, int device, const cp_device_model **out);

#ifdef CUDNN
/* device_dnn.c: convolution by cuDNN, full precision, one image at a time. *dnn stays NULL where cuDNN does not take
 * the shape. */
cp_status cp_dnn_create(cudnnHandle_t handle, const cp_window *window, struct cp_dnn **dnn, size_t *work_bytes);
void cp_dnn_free(struct cp_dnn *dnn);
cudnnStatus_t cp_dnn_forward(const struct cp_dnn *dnn, const cp_queue *queue, const float *weights, const float *x,
                             float *y);
cudnnStatus_t cp_dnn_backward(const struct cp_dnn *dnn, const cp_queue *queue, const float *weights, const float *y,
                              float *x, bool fresh);
#endif

#endif

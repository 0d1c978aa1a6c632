/* An open model: Darknet's network (weights and hyper-parameters, batch norm folded) and our table over it. */
#ifndef CP_MODEL_MODEL_H
#define CP_MODEL_MODEL_H

#include <pthread.h>

#include "critpath.h"
#include "darknet.h"
#include "model/weights.h"

/* Activations of AlexeyAB's Darknet, behind those of ACTIVATION. */
enum {
    CP_MISH = 100, CP_SWISH, CP_HARD_MISH, CP_RELU6, CP_GELU,
    /* Of all channels of a pixel together. */
    CP_NORMALIZE_CHANNELS, CP_NORMALIZE_CHANNELS_SOFTMAX, CP_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL
};

static inline bool cp_activation_ties_channels(ACTIVATION activation) { return (int)activation >= CP_NORMALIZE_CHANNELS; }

/* Layers that Darknet's own enumeration does not have. */
enum {
    CP_HOST_GROUP_ROUTE = 1000, /* [route] with groups */
    CP_HOST_SUM,                /* [shortcut] of several layers, or with weights */
    CP_HOST_WIDE_CONVOLUTION,   /* [convolutional] with two strides, or dilated */
    CP_HOST_POOL,               /* [maxpool] with two strides */
    CP_HOST_DEPTH_POOL,         /* [maxpool] with maxpool_depth */
    CP_HOST_SCALE_CHANNELS, CP_HOST_SAM, CP_HOST_EMPTY, CP_HOST_IMPLICIT, CP_HOST_GAUSSIAN_YOLO,
    CP_HOST_BEHIND_BLUR, CP_HOST_NORMALIZED, /* rows of the engine around another: engine/cpu/blur.c, normalized.c */
    CP_HOST_OTHER               /* and all above: types that only their row knows, this plus cp_layer_type */
};

struct cp_model {
    network *net; /* parsed at batch 1; its own output and delta buffers are not used */
    cp_cfg_net *shapes; /* what the cfg says, parsed once */
    char *cfg_path, *weights_path;
    int layers;
    cp_layer_info *layer;
    int neuron_layers;
    cp_neuron_layer *neuron;
    int *neuron_position; /* by layer, -1 where not a neuron layer */
    size_t neurons;
    uint8_t *depends; /* (layers, layers+1): [reader][source+1] */
    cp_model_kind kind;
    int classes;
    int heads;
    int *head;
    cp_semantics semantics;
    char cfg_sha256[65], weights_sha256[65];
    bool gpu; /* Debian's lineage: batch norm is folded as its forward on a GPU computes it, not as that on the CPU */

    /* What the engine prepares once per model (transposed weights, permutations); made under the lock. */
    pthread_mutex_t engine_lock;
    void *engine;
    void (*engine_free)(void *engine);
};

/* model/host.c: Darknet's layers for an open model, made from its shapes; no buffers but weights and those of heads.
 * random: weights start at random, each time the same; else at 0, for who fills in all of them. */
cp_status cp_host_build(const cp_cfg_net *shapes, bool random, network **net);
/* The number of an activation: Darknet's, or one behind those. */
ACTIVATION cp_host_activation(const char *name);
/* For whoever runs another network than the model's: Darknet's parser on the text of a checked cfg,
 * silent; and free_network with what that leaves behind. `random`: weights start at random, each time the same; else
 * at 0, for who fills in all of them, which takes half as long. */
cp_status cp_host_parse(const char *text, size_t length, bool random, network **net);
void cp_host_free(network *net);
/* model/lineage.c: from what was asked for, else from the shapes. */
cp_status cp_model_find_semantics(cp_model *model);
/* The same, for what depends on the table: how photos are fitted. */
void cp_model_find_fit(cp_model *model);
/* model/table.c: fills the layer table, neuron layers, dependencies and heads from the shapes. */
cp_status cp_model_build_table(cp_model *model);
/* model/response.c: which plane of an anchor's block holds that value, in a head of boxes on a grid (not v1); class
 * `classes` is one past the last plane. */
size_t cp_head_entry(const cp_cfg_layer *head, cp_target target, int class_id);
/* model/predict.c: one head's forward over the output of its logit layer, one image; output has the head's outputs. */
cp_status cp_model_run_head(const cp_model *model, int head, const float *logits, float *output);
/* model/fold.c: folds batch norm into weights and biases, drops training buffers. */
cp_status cp_model_fold(cp_model *model);
/* model/fold.c: floats in the weights and in the biases of a layer; 0 where it has none. */
void cp_host_array_sizes(const layer *l, size_t *weights, size_t *biases);
/* model/device.c: what cp_device() says from now on; `thread`: to the calling thread alone. */
void cp_device_choose(int index, bool thread);
/* model/host.c: Darknet's own reading of a file that cp_weights_check has accepted. */
void cp_host_load_weights(network *net, const char *weights);
/* model/load.c: ours, in one pass, which also checks and hashes: into the arrays of net, as parsed from the cfg that `file`
 * was opened for. After an error some are filled and some are not. */
cp_status cp_host_read_weights(network *net, const cp_cfg_net *shapes, cp_weights_file *file, char sha256[65],
                               cp_weights_info *info);

/* model/reload.c: other weights for an open model. No frame of the model may be alive, and no thread use it; after an
 * error the model can only be reloaded or freed. */
/* Those of a checkpoint, checked first. `info` may be NULL. */
cp_status cp_model_load_weights(cp_model *model, const char *weights, cp_weights_info *info);
/* Those of another network of the same cfg, unfolded, in host memory; it is only read. Folded as that network, on the CPU
 * or a GPU, would predict. CP_EINPUT: other layers or sizes, or a number that is not finite. */
cp_status cp_model_copy_weights(cp_model *model, const network *from);

#endif

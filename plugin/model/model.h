/* An open model: Darknet's network (weights and hyper-parameters, batch norm folded) and our table over it. */
#ifndef CP_MODEL_MODEL_H
#define CP_MODEL_MODEL_H

#include <pthread.h>

#include "critpath.h"
#include "darknet.h"

struct cp_model {
    network *net; /* parsed at batch 1; its own output and delta buffers are not used */
    char *cfg_path, *weights_path;
    int layers;
    cp_layer_info *layer;
    int *sources; /* pool behind cp_layer_info.sources */
    int neuron_layers;
    cp_neuron_layer *neuron;
    int *neuron_position; /* by layer, -1 where not a neuron layer */
    size_t neurons;
    uint8_t *depends; /* (layers, layers+1): [reader][source+1] */
    cp_model_kind kind;
    int classes;
    int heads;
    int *head;
    char cfg_sha256[65], weights_sha256[65];

    /* What the engine prepares once per model (transposed weights, permutations); made under the lock. */
    pthread_mutex_t engine_lock;
    void *engine;
    void (*engine_free)(void *engine);
};

/* model/table.c: fills the layer table, neuron layers, dependencies and heads from net. */
cp_status cp_model_build_table(cp_model *model);
/* model/predict.c: one head's forward over the output of its logit layer, one image; output has the head's outputs. */
cp_status cp_model_run_head(const cp_model *model, int head, const float *logits, float *output);
/* model/fold.c: flushes denormal weights, folds batch norm into weights and biases, drops training buffers. */
cp_status cp_model_fold(network *net);
const char *cp_host_type_name(LAYER_TYPE type);
bool cp_host_type_is_head(LAYER_TYPE type);

#endif

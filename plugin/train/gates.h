/* Gates trained by Darknet: distillation guided routing (docs/methods.md 1.5; Wang et al. 2018) as a run of Darknet's
 * own forward, backward and update passes over the cfg with a [pathmask] of mode gate behind every neuron layer.
 * Nothing but the gates learns; batch norm uses its rolling statistics and dropout is the identity. What score/dgr.c
 * computes with the engine, a second time. */
#ifndef CP_TRAIN_GATES_H
#define CP_TRAIN_GATES_H

#include "critpath.h"

typedef struct {
    cp_dgr_report run;  /* loss and cross-entropy: means over the images; kept: `keep` of them kept their arg-max */
    size_t keeping;     /* images that keep it with the gates returned */
} cp_gates_report;

/* One set of gates for `images` network inputs (images,C,H,W): minimises the mean over them of CE(softmax of the
 * image's original logits, softmax of the gated) plus gamma * sum |gate|; every step sees all images. An iterate
 * qualifies when at least the share `keep`, in (0,1], of the images keeps its arg-max. With one image it is the
 * descent of cp_score_dgr, with the same options, start values, choice of the best iterate, and gate[] (N or
 * cp_model_channel_count; 0 where the logits do not pass, and for logits that are neurons themselves). Only [softmax],
 * the class's head, decides the loss. CP_EINPUT: no classifier, or a layer whose gradient Darknet has wrong. On the
 * device in use (cp_device), the model having been opened for it, or on one thread. report may be NULL. */
cp_status cp_gates_train(const cp_model *model, const float *inputs, size_t images, const cp_dgr_options *options,
                         double keep, float *gate, cp_gates_report *report);

/* The neuron layers that have gates: those before the logits, without the logits' own. */
bool cp_gates_layer(const cp_model *model, int neuron_layer);

/* Gates as the file= of [pathmask] sections and the input of `insert -mode gate`: a float32 array (C,H,W), by channel
 * (C,1,1), for each layer that has gates, and meta.json, which says of what cfg and weights and how they came about. */
cp_status cp_gates_write(const char *file, const cp_model *model, const float *gate, const cp_dgr_options *options,
                         size_t images, const cp_gates_report *report);

#endif

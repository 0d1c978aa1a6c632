/* What a network is like at one moment of its training: which neurons are dead, how the activation patterns and the
 * critical paths of a few pictures have moved since the last record. The recorder in Darknet's training
 * (train/recording.h) and `critpath watch` both write these. */
#ifndef CP_TRAIN_RECORD_H
#define CP_TRAIN_RECORD_H

#include "model/model.h"

/* One neuron layer, or the network. NAN where a value is not at hand. */
typedef struct {
    int layer;                  /* -1: the network */
    char name[48];              /* "layer_012_convolutional"; "network" */
    size_t units;               /* neurons */
    size_t dead, always_on;     /* neurons that are dead (docs/methods.md 0) in every picture; in none */
    double flipped;             /* share of the neurons that have died or come alive since the last record; mean over
                                   the pictures */
    double overlap;             /* Jaccard of the path and that of the last record; mean over the pictures where one of
                                   the two has a neuron here */
    double activation_gradient; /* l2 norm of dL/da of one picture of the training batch, root mean square over the
                                   batch; L is Darknet's loss of that picture. Not of the network */
    double weight_gradient;     /* l2 norm of dL/dw of the layer's weights, mean over the batch before it is taken;
                                   without momentum and decay. Not of the network */
} cp_record_row;

typedef struct {
    uint64_t iteration, seen;   /* batches and pictures trained on */
    double loss;                /* what Darknet prints for the batch */
    bool probes;                /* the pictures are the same at every record; otherwise they are the training batch's */
    size_t pictures;
    int64_t answers_changed;    /* pictures whose response is another than at the last record; -1: there is none */
    char file[256];             /* the checkpoint, "" in training */
    char fault[512];            /* why there is nothing else: weights that are not finite, out of memory. "" mostly */
    cp_record_row network, *layers;
    int n_layers;
} cp_record;

/* "012_convolutional", "network" */
const char *cp_record_row_name(const cp_record_row *row);

#define CP_RECORD_SPARSITY .9   /* of the paths compared */

/* An empty record with a row for each neuron layer of the model. */
cp_status cp_record_create(const cp_model *model, cp_record *record);
void cp_record_free(cp_record *record);

typedef struct cp_recorder cp_recorder;

/* The model must outlive the recorder; its weights may be reloaded between two records. */
cp_status cp_recorder_create(cp_model *model, cp_recorder **recorder);
void cp_recorder_free(cp_recorder *recorder);

/* The probes: pictures named in a file, one per line, the first `most` (0: all), prepared as Darknet's predict does.
 * CP_EINPUT: a file that is missing or names nothing, a picture that cannot be read, more than 1 GiB of probes. */
cp_status cp_recorder_read_probes(cp_recorder *recorder, const char *list, size_t most, cp_fit fit);
/* How many there are. */
size_t cp_recorder_probes(const cp_recorder *recorder);

/* Runs the probes, or `n` other pictures (network inputs) when there are none, through the model's network as it is now
 * and fills in pictures, answers_changed and the rows. Responses are what `explain` takes by itself: the logit of the
 * most probable class; of a detector that of the predictor with the highest objectness, whether it passes a
 * threshold or not. CP_EINPUT when activations are not finite: the next record then has no last one. */
cp_status cp_recorder_look(cp_recorder *recorder, const float *const *pictures, size_t n, cp_record *record);
/* For weights that cannot be looked at: the record has no values, and the next no last one. */
void cp_recorder_forget(cp_recorder *recorder, cp_record *record);

#endif

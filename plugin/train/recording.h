/* The recorder: it writes down how a network changes while Darknet trains it. `darknet classifier train` and `darknet detector train` take
 *
 *     -critpath log.jsonl[,every=100][,probe=list]
 *
 * or the same text in the environment variable CRITPATH (the option goes first). Every so many iterations one record
 * (train/record.h) is added to the log. Training is only read: weights, gradients, the batch. Nothing is drawn at
 * random, and the network that is recorded is another one, with a copy of the weights.
 *
 * Darknet reaches this through the pointer that patches/0005-record-training.patch adds. */
#ifndef CP_TRAIN_RECORDING_H
#define CP_TRAIN_RECORDING_H

#include "darknet.h"
#include "train/record.h"

/* The parts of the option. */
typedef struct {
    char log[1024], probe[1024]; /* probe "": none */
    int every;
} cp_recording_options;

/* CP_EINPUT: no file name, a key that is unknown, twice or without a value, every= not in 1..1000000000. */
cp_status cp_recording_parse(const char *text, cp_recording_options *options);

/* Opens what the option names (cfg, probes, log) and has train_network() call cp_recording_train. Once per process. */
cp_status cp_recording_start(const char *text, const char *cfg);
/* Undoes it. */
void cp_recording_stop(void);

/* Trains the batch by `train` and records it if it is time to; returns what `train` returns. A failure to record is
 * said on stderr once, ends the recording and leaves the training alone. */
float cp_recording_train(network *net, data d, float (*train)(network *net, data d));

/* For Darknet's run_classifier and run_detector: takes -critpath out of argv, or reads CRITPATH, and starts. What is
 * wrong is one line on stderr and exit(2), before any training. Other verbs than train refuse the option. */
void cp_recording_arguments(int argc, char **argv);

#endif

/* The smaller network: cfg and weights with the channels of some groups left out, both rewritten together. */
#ifndef CP_TRAIN_PRUNE_H
#define CP_TRAIN_PRUNE_H

#include "train/channel_groups.h"

/* kept: one per group of `channels`, which are those of `cfg`. The cfg without the other groups' channels: fewer
 * filters, outputs, and groups of depthwise convolutions; all else as it was. Free with cp_cfg_free. */
cp_status cp_prune_cfg(const cp_cfg *cfg, const cp_channels *channels, const bool *kept, cp_cfg **smaller);

/* Writes the weights of that cfg: of every filter kept its bias, batch norm and weights for the input channels kept. A
 * channel left out is one that is 0 wherever it is read; with `mean` (by channel, else NULL) one that is mean[channel]
 * where convolutional and connected layers read it, which moves their biases, or their rolling means: exact inside the
 * picture, while the padding of a convolution counts as that value too. Header (version, seen) as in `weights`.
 * `smaller` is the check of the smaller cfg. Atomic; errors as cp_weights_check's and io/atomic.h's. */
cp_status cp_prune_weights(const char *weights, const char *cfg_name, const cp_channels *channels, const bool *kept,
                           const double *mean, const cp_cfg_net *smaller, const char *out);

#endif

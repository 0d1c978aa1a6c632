/* Which channels of a network stand or fall together, and which cannot be cut.
 *
 * A channel of one layer's output is often that of another's: a pooling hands it on, a [route] places it elsewhere, a
 * [shortcut] adds two, a depthwise convolution filters each by itself. Channels tied like that are one group, and a
 * smaller network keeps or loses the group as a whole. Heads, the network's input and its outputs are kept. */
#ifndef CP_TRAIN_CHANNEL_GROUPS_H
#define CP_TRAIN_CHANNEL_GROUPS_H

#include "model/cfg.h"

enum { CP_REASON_TEXT = 96 };

/* The channels of all outputs in one row: those of the network's input first, then layer by layer. */
typedef struct {
    const cp_cfg_net *net; /* must outlive this */
    size_t *first;    /* n_layers + 2: see cp_channels_first */
    size_t n;         /* channels */
    size_t *group;    /* n: the number of its group, ascending from 0 in the order of their first channels */
    size_t n_groups;
    int *reason;      /* n_groups: index in `reasons` of why it cannot be cut, -1: it can */
    char (*reasons)[CP_REASON_TEXT];
    size_t n_reasons;
    size_t cuttable;  /* groups */
} cp_channels;

/* CP_ERESOURCE: out of memory. Free with cp_channels_free. */
cp_status cp_channels_find(const cp_cfg_net *net, cp_channels *channels);
void cp_channels_free(cp_channels *channels);

/* The first channel of a layer's output (-1: of the network's input), and how many it has; none where the output is no
 * image, and of heads. */
size_t cp_channels_first(const cp_channels *channels, int layer);
size_t cp_channels_count(const cp_channels *channels, int layer);

/* One input channel per filter: a convolution with as many groups as channels, and more than one. */
bool cp_layer_is_depthwise(const cp_cfg_layer *layer);

/* Multiply-adds of one forward pass over one image. */
double cp_net_macs(const cp_cfg_net *net);

#endif

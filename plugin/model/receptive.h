/* Receptive fields: which part of a layer's output a unit can read, from the geometry of the layers alone. */
#ifndef CP_MODEL_RECEPTIVE_H
#define CP_MODEL_RECEPTIVE_H

#include "model/cfg.h"

/* Positions x0..x1, y0..y1, both ends included, inside the plane. */
typedef struct {
    int x0, y0, x1, y1;
} cp_rectangle;

/* The part of the network input that can reach the units at (x, y) of layer `layer`'s output, all channels. Exact for
 * every path through the network, save for [reorg], whose scrambled order is taken as "everything". A layer before the
 * heads with a spatial output; connected and global pooling read everything. CP_ERESOURCE out of memory. */
cp_status cp_receptive_field(const cp_cfg_net *net, int layer, int x, int y, cp_rectangle *field);

#endif

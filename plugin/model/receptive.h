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

/* Which positions of every layer's output a response can read. */
typedef struct {
    const cp_cfg_net *net;
    uint8_t **at; /* by layer: (h, w), 1 where some channel can be read; NULL: no position */
} cp_reach;

/* Window by window, along all ways through the network, the response's own units included; channels are taken together.
 * CP_ERESOURCE out of memory. The caller frees, after a failure too. */
cp_status cp_reach_find(const cp_cfg_net *net, const cp_response *response, cp_reach *reach);
void cp_reach_free(cp_reach *reach);
/* Whether output `index` of a layer, of (c, h, w), is at such a position. */
bool cp_reach_has(const cp_reach *reach, int layer, size_t index);

#endif

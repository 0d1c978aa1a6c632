/* Puts [pathmask] sections into a cfg and takes them out again. The weights fit both cfgs. */
#ifndef CP_TRAIN_INSERT_H
#define CP_TRAIN_INSERT_H

#include "io/npz.h"
#include "model/cfg.h"

/* A [pathmask] behind each layer that `file` has an array for ("layer_012_convolutional"; bool, or for mode "gate"
 * also float32; (C,H,W) or (C,1,1)); whoever read the layer reads the mask. `file` and `off` go into the cfg as they
 * are; off is NULL but for "frozen", save (where trained gates go) may be given for "gate". CP_EINPUT: a cfg that does
 * not check (one with masks already), a file made with another cfg, an array that is no layer of this one. *n:
 * sections put in. */
cp_status cp_masks_insert(cp_cfg *cfg, const char *file, const char *mode, const char *off, const char *save,
                          size_t *n);

/* Takes every [pathmask] out; its readers read the layer before it. *n: sections taken out. */
cp_status cp_masks_strip(cp_cfg *cfg, size_t *n);

/* Opens an .npz of arrays called as layers. Its meta.json, if there is one, must name the cfg's hash, and the weights'
 * where weights_sha256 is not NULL. CP_EINPUT: another cfg, other weights, no arrays. */
cp_status cp_masks_open(const char *file, const cp_cfg *cfg, const char *weights_sha256, cp_npz **npz);
/* The layer and the type of one of its arrays; CP_EINPUT unless it is called as a layer of the network, no head, and is
 * (C,H,W) or (C,1,1) of that layer's output. Any element type. */
cp_status cp_masks_array(cp_npz *npz, size_t index, const char *file, const cp_cfg_net *net, int *layer,
                         cp_array_type *type);

/* The layer that an array called `name` belongs to, or -1: "layer_012_convolutional" is 12. */
int cp_mask_layer(const char *name);

#endif

/* The rows of the layer table; each is defined in the file of its subject. */
#ifndef CP_ENGINE_OPS_H
#define CP_ENGINE_OPS_H

#include "engine/engine.h"

extern const cp_op_type cp_op_convolutional, cp_op_deconvolutional, cp_op_connected, cp_op_local, cp_op_maxpool,
    cp_op_avgpool, cp_op_shortcut, cp_op_route, cp_op_upsample, cp_op_reorg, cp_op_activation, cp_op_crop, cp_op_scale_channels,
    cp_op_sam, cp_op_sum, cp_op_batchnorm, cp_op_implicit, cp_op_wide_convolution, cp_op_pool, cp_op_depth_pool,
    cp_op_local_average;

extern const cp_op_type cp_op_behind_blur, cp_op_normalized;
size_t cp_blur_floats(const cp_op *op);
size_t cp_normalized_floats(const cp_op *op);

#endif

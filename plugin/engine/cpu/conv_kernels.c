/* The table of kernels. */
#include "engine/cpu/conv.h"

const cp_kernel *const cp_kernels[CP_KERNELS] = {
    &cp_conv_gemm, &cp_conv_plain,  &cp_conv_pointwise, &cp_conv_depthwise,    &cp_conv_grouped,
    &cp_conv_stem, &cp_conv_points, &cp_conv_direct,    &cp_conv_winograd_2x2, &cp_conv_winograd_4x4,
};

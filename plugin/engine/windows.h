/* Windows that Debian's Darknet does not have, of CPU and GPU rows alike: two strides, dilation, max-pools over channels,
 * local averages. */
#ifndef CP_ENGINE_WINDOWS_H
#define CP_ENGINE_WINDOWS_H

#include "model/cfg.h"

typedef struct {
    int c, h, w, m;             /* channels in and out, of one group */
    int size, stride_x, stride_y, dilation, pad;
    int out_h, out_w, groups;
    int depth;                  /* of a max-pool over channels: how many are left; else 0 */
} cp_wide_window;

static inline cp_wide_window cp_wide_window_of(const cp_cfg_layer *l)
{
    bool pool = l->type != CP_LAYER_CONVOLUTIONAL;
    cp_wide_window g;
    g.c = l->c / l->groups, g.h = l->h, g.w = l->w, g.m = l->out_c / l->groups;
    g.size = l->size, g.stride_x = l->stride, g.stride_y = l->stride_y;
    g.dilation = pool ? 1 : l->dilation;
    g.pad = pool ? l->pad / 2 : l->pad * l->dilation;
    g.out_h = l->out_h, g.out_w = l->out_w, g.groups = l->groups, g.depth = l->depth;
    return g;
}

/* The blur of a layer with antialiasing, on each of its planes: `c` of them. */
static inline cp_wide_window cp_blur_window_of(const cp_cfg_layer *l)
{
    cp_wide_window g;
    g.c = g.m = l->out_c, g.h = l->out_h, g.w = l->out_w;
    g.size = l->blur.size, g.stride_x = l->blur.stride_x, g.stride_y = l->blur.stride_y;
    g.dilation = g.groups = 1, g.pad = l->blur.size == 3, g.depth = 0;
    g.out_h = l->blur.out_h, g.out_w = l->blur.out_w;
    return g;
}

#endif

/* Small networks for tests of the engine: every supported layer type and the combinations in which gradients add up. */
#ifndef REF_CASES_H
#define REF_CASES_H

#include "ref_net.h"

#define NONE REF_LINEAR
#define RELU REF_RELU
#define LEAKY REF_LEAKY
#define ELU REF_ELU
#define TANH REF_TANH
#define LOGISTIC REF_LOGISTIC

#define CONV(f, k, s, p, a) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a}
#define CONV_BN(f, k, s, p, a) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .batch_normalize = 1}
#define CONV_G(f, k, s, p, a, g) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .batch_normalize = 1, .groups = g}
#define DECONV(f, k, s, p, a, bn) {.type = REF_DECONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .batch_normalize = bn}
#define FULL(n, a, bn) {.type = REF_CONNECTED, .filters = n, .activation = a, .batch_normalize = bn}
#define LOCAL(f, k, s, p, a) {.type = REF_LOCAL, .filters = f, .size = k, .stride = s, .padding = p, .activation = a}
#define POOL(k, s, p) {.type = REF_MAXPOOL, .size = k, .stride = s, .padding = p}
#define AVERAGE {.type = REF_AVGPOOL}
#define ADD(from, a) {.type = REF_SHORTCUT, .n_sources = 1, .sources = {from}, .activation = a}
#define ADD_SCALED(from, a, al, be) {.type = REF_SHORTCUT, .n_sources = 1, .sources = {from}, .activation = a, \
    .alpha = al, .beta = be}
#define ROUTE1(i) {.type = REF_ROUTE, .n_sources = 1, .sources = {i}}
#define ROUTE2(i, j) {.type = REF_ROUTE, .n_sources = 2, .sources = {i, j}}
#define ROUTE3(i, j, k) {.type = REF_ROUTE, .n_sources = 3, .sources = {i, j, k}}
#define UPSAMPLE(s, sc) {.type = REF_UPSAMPLE, .stride = s, .scale = sc}
#define REORG(s, r) {.type = REF_REORG, .stride = s, .reverse = r}
#define FLATTEN(r) {.type = REF_REORG, .stride = 1, .flatten = 1, .reverse = r}
#define ACT(a) {.type = REF_ACTIVATION, .activation = a}
#define DROPOUT {.type = REF_DROPOUT}
#define CROP(hh, ww, na) {.type = REF_CROP, .crop_h = hh, .crop_w = ww, .noadjust = na}
#define CONV_XY(f, k, sx, sy, p, a) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = sx, .stride_y = sy, \
    .padding = p, .activation = a}
#define CONV_D(f, k, s, p, a, d, g) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .batch_normalize = 1, .dilation = d, .groups = g}
#define CONV_OF(layer, f, k, s, p, a, d) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .padding = p, \
    .activation = a, .dilation = d, .share = layer + 1}
#define POOL_XY(k, sx, sy) {.type = REF_MAXPOOL, .size = k, .stride = sx, .stride_y = sy, .padding = -1}
#define POOL_DEPTH(c) {.type = REF_MAXPOOL, .depth = c}
#define LOCAL_AVERAGE(k, sx, sy) {.type = REF_LOCAL_AVERAGE, .size = k, .stride = sx, .stride_y = sy, .padding = -1}
#define PART(i, g, id) {.type = REF_ROUTE, .n_sources = 1, .sources = {i}, .groups = g, .group_id = id}
#define PARTS(i, j, g, id) {.type = REF_ROUTE, .n_sources = 2, .sources = {i, j}, .groups = g, .group_id = id}
#define SUM(how, each, i, j, a) {.type = REF_SHORTCUT, .n_sources = 2, .sources = {i, j}, .sum = how, .per_channel = each, \
    .activation = a}
#define WEIGHTED(how, each, i, a) {.type = REF_SHORTCUT, .n_sources = 1, .sources = {i}, .sum = how, .per_channel = each, \
    .activation = a}
#define SCALE(from, wh, a) {.type = REF_SCALE_CHANNELS, .n_sources = 1, .sources = {from}, .planes = wh, .activation = a}
#define SAM(from, a) {.type = REF_SAM, .n_sources = 1, .sources = {from}, .activation = a}
#define SHRINK(s, sc) {.type = REF_UPSAMPLE, .stride = s, .scale = sc, .reverse = 1}
#define OWN(which) {.type = REF_OWN, .own = &(which)}
#define BATCHNORM {.type = REF_BATCHNORM}
#define EMPTY {.type = REF_EMPTY}
#define IMPLICIT(n) {.type = REF_IMPLICIT, .filters = n}
#define CONV_AA(f, k, s, sy, p, a, aa) {.type = REF_CONVOLUTIONAL, .filters = f, .size = k, .stride = s, .stride_y = sy, \
    .padding = p, .activation = a, .batch_normalize = 1, .blur = aa}
#define POOL_AA(k, s, aa) {.type = REF_MAXPOOL, .size = k, .stride = s, .padding = -1, .blur = aa}
#define MISH REF_MISH
#define SWISH REF_SWISH
#define SOFTMAX {.type = REF_SOFTMAX}

typedef struct {
    const char *name;
    int c, h, w;
    ref_layer layer[16]; /* up to the first that is a convolution with 0 filters */
} ref_case;

extern const ref_case ref_cases[];
extern const size_t ref_case_count;

#endif

/* What a path consists of: by layer, by channel, its strongest neurons and what they see of the photo. */
#ifndef CP_PATH_STATISTICS_H
#define CP_PATH_STATISTICS_H

#include "critpath.h"

/* One neuron layer. */
typedef struct {
    size_t count, kept; /* neurons of the layer; those on the path */
    size_t active;      /* not dead in the original run */
    size_t kept_dead;   /* dead and on the path */
    float best;         /* highest score of the layer */
} cp_layer_statistics;

/* rows: one per neuron layer. frame, image: the original run, or NULL: active and kept_dead stay 0. score: N, or NULL:
 * best stays 0. */
void cp_path_layer_statistics(const cp_path *path, const cp_frame *frame, int image, const float *score,
                              cp_layer_statistics *rows);

/* Highest activation that is dead: a <= 0 for relu; for other functions that of z = 0, .5 for a logistic unit. */
float cp_dead_activation(const cp_model *model, int layer);

typedef struct {
    int neuron_layer;
    size_t channel;
    size_t kept, count; /* neurons of the channel on the path, and in all */
} cp_channel_statistics;

/* The channels with most neurons on the path, of one neuron layer or (-1) of the network, most first, then in order.
 * Returns how many of the `room` places are filled; empty channels fill none. */
int cp_path_top_channels(const cp_path *path, int neuron_layer, cp_channel_statistics *top, int room);

/* A rectangle of pixels; w = h = 0 is none. */
typedef struct {
    size_t x, y, w, h;
} cp_box;

typedef struct {
    int neuron_layer;
    size_t channel, y, x, index; /* index = (channel*h + y)*w + x, in the layer */
    float score;
} cp_neuron_statistics;

/* The neurons on the path with the highest scores (N of them), of one neuron layer or (-1) of the network, in the order
 * of selection. Returns how many of the `room` places are filled. */
int cp_path_top_neurons(const cp_path *path, const float *score, int neuron_layer, cp_neuron_statistics *top, int room);

/* The smallest box of network input pixels that holds all that unit (y, x) of a layer's output depends on, in any
 * channel; the whole input where an image gives way to a vector. Darknet's reorg scatters each unit over the whole
 * plane, and so does its receptive field. */
cp_status cp_receptive_field(const cp_model *model, int layer, size_t y, size_t x, cp_box *field);

/* The part of the photo under a box of network input pixels; none for a box in the bars of a letterbox. */
cp_box cp_box_in_photo(const cp_box *field, const cp_placement *placement);

#endif

/* What a path is made of, for people and for programs: layers, channels and neurons that carry the response. */
#ifndef CP_CLI_SUMMARY_H
#define CP_CLI_SUMMARY_H

#include "cli/pathway.h"
#include "model/receptive.h"

#include <jansson.h>

enum { CP_TOP_CHANNELS = 10, CP_TOP_NEURONS = 10 };

/* One neuron layer. */
typedef struct {
    const cp_neuron_layer *layer;
    size_t kept, dead;   /* on the path; of these dead in the original run */
    double score;        /* sum of the scores on the path */
} cp_layer_summary;

typedef struct {
    int layer;           /* number in the cfg */
    size_t channel, kept;
    double score;        /* sum of the channel's scores on the path */
} cp_channel_summary;

typedef struct {
    int layer;
    size_t channel, y, x;
    float score, activation;
    bool has_field;
    double field[4];     /* x, y, w, h in photo pixels: what the neuron can read, clipped to the photo */
} cp_neuron_summary;

typedef struct {
    cp_layer_summary *layers;
    int n_layers;
    size_t kept, dead;
    double score;        /* on the path */
    cp_channel_summary channel[CP_TOP_CHANNELS];
    cp_neuron_summary neuron[CP_TOP_NEURONS];
    int n_channels, n_neurons;
} cp_summary;

/* The part of the photo that a neuron can read: x, y, w, h in photo pixels, clipped to the photo; has_field false where that is
 * nothing, since it reads letterbox bars alone. */
cp_status cp_photo_field(const cp_session *session, const cp_item *item, int layer, size_t x, size_t y, bool *has_field,
                         double rectangle[4]);

/* The path was selected from the scores, of the run that the frame holds. */
cp_status cp_summary_make(const cp_session *session, const cp_item *item, const cp_path *path, cp_scores *scores,
                          cp_summary *summary);
void cp_summary_free(cp_summary *summary);

/* Tables by layer, of the channels and of the neurons; threshold: the lowest score on the path. */
void cp_summary_print(const cp_summary *summary, double threshold, FILE *to);
/* Members "layers", "top_channels", "top_neurons", "dead_share" into `object`. */
cp_status cp_summary_json(const cp_summary *summary, json_t *object);

/* "image", "photo", "input" and "model", which every JSON object of ours begins with. NULL: out of memory. */
json_t *cp_item_json(const cp_session *session, const cp_item *item);
/* Asked, reached, threshold, cut: into `object`. */
cp_status cp_pathway_json(const cp_session *session, const cp_pathway *pathway, json_t *object);

#endif

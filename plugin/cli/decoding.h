/* What the parts of `decode` share. */
#ifndef CP_CLI_DECODING_H
#define CP_CLI_DECODING_H

#include "cli/pathway.h"

/* The answer being decoded: one response of one photo, whose run is in the session's frame until pictures of a list are read. */
typedef struct {
    cp_session *session;
    cp_item *item;
    const cp_subject *subject;
    const float *score;   /* N magnitudes, of -method */
    const cp_path *path;  /* of -path or selected */
    char about[200];      /* the path in words */
    json_t *json;         /* PREFIX.json, which grows */
    size_t unreadable;    /* pictures of -samples */
} cp_decoding;

/* Synthesis: images that the whole network, its active subnet and each selector's path answer strongly (figure 3a of the CVPR
 * paper). Accentuation: what the path wants more of in this photo. Neuron: the channel of each path's top neuron in the last
 * layer with a plane (figure 3b). */
cp_status cp_decode_synthesis(cp_decoding *decoding);
cp_status cp_decode_accentuation(cp_decoding *decoding);
cp_status cp_decode_neurons(cp_decoding *decoding);
/* The pictures of -samples that the path's top channels contribute most in. Overwrites the session's frame. */
cp_status cp_decode_samples(cp_decoding *decoding);

#endif

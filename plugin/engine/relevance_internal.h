/* What the files of the gamma rule share: a run's state, and the layers computed with changed weights. */
#ifndef CP_ENGINE_RELEVANCE_INTERNAL_H
#define CP_ENGINE_RELEVANCE_INTERNAL_H

#include "engine/relevance.h"

/* A layer computed with other weights: its op, and the host's layer that names them. */
typedef struct {
    layer l;
    cp_op op;
} cp_twin;

struct cp_relevance {
    cp_frame *frame;
    const cp_model *model;
    double gamma;
    int image;
    cp_lrp_layer *layers; /* of the run at hand, or NULL */
    bool *plain;          /* by layer: no input is negative, nor is z where rho_z is not 0 */
    cp_twin *magnitude;      /* by layer, with weights and biases: |W|, |b|; op.type NULL where there is none */
    cp_twin *favoured;       /* of plain layers: (1 + gamma/2) W + gamma/2 |W| */
    cp_scratch scratch;   /* enough for every cp_twin */
    size_t shared;        /* floats of scratch.shared */
    float *z, *t, *signed_delta;     /* of one layer: its outputs */
    float *a, *below;                /* |a| of its source, and what |W| sends there */
};

/* Convolutions of all kinds and [local]: computed with changed weights. [connected] is not, see backward_connected. */
bool cp_rule_has_weights(const cp_op *op);
size_t cp_rule_biases(const cp_op *op); /* how many; each is that of outputs / biases outputs in a row */
void cp_rule_magnitudes(const float *from, size_t n, float *to);

enum { CP_RULE_PART = 1 << 14 }; /* of a layer, for one thread at a time */
static inline size_t cp_rule_part(size_t count, size_t first)
{
    return count - first < CP_RULE_PART ? count - first : CP_RULE_PART;
}

/* cpu/relevance_layers.c: a layer's backward under the rule (cp_rule), a cp_relevance. */
void cp_relevance_backward(void *rule, int layer, const cp_backward *call);

/* The slope below 0 of an activation whose slope above is 1 and whose output tells its input; 0: another. */
float cp_rule_slope_below(ACTIVATION activation);
/* z of a layer, from its output where that tells it. Of ReLU it is the output: where that is 0, rho_z is 0 too. */
const float *cp_rule_before_activation(cp_relevance *relevance, int layer);

/* cpu/relevance_twins.c: relevance->plain, magnitude and favoured, and the scratch that they need. */
cp_status cp_twins_make(cp_relevance *relevance);
void cp_twins_free(cp_twin *twins, int n);

#endif

/* The generator of GEN-CNP: a small network that reads the feature maps of a frozen network and predicts which channels carry its
 * answer (docs/methods.md 9; Lin, Bao, Yu, Kong). A reconstruction: sizes and weights of the original are not public. */
#ifndef CP_GEN_GENERATOR_H
#define CP_GEN_GENERATOR_H

#include "critpath.h"

typedef struct cp_generator cp_generator;

/* A layer of neurons whose channels have gates, and where its gates and features begin. */
typedef struct {
    int position;  /* among the model's neuron layers */
    size_t c, first;
} cp_gated_layer;

/* One weight matrix or bias: (rows, columns), from `offset` on in the parameters. */
typedef struct {
    char name[32];
    size_t rows, columns, offset;
} cp_gen_tensor;

/* Gates stand on every neuron layer that the answers depend on, but for the logits' own and a class map (docs/methods.md 5.1).
 * width of the hidden layers, 0 = 128; the same seed gives the same start. CP_EINPUT: the model has no such layer. */
cp_status cp_generator_create(const cp_model *model, int width, uint64_t seed, cp_generator **generator);
void cp_generator_free(cp_generator *generator);

const cp_model *cp_generator_model(const cp_generator *generator);
int cp_generator_width(const cp_generator *generator);
size_t cp_generator_gates(const cp_generator *generator);
const cp_gated_layer *cp_generator_layers(const cp_generator *generator, int *n);
/* The parameters, and what they are; the generator's own. */
float *cp_generator_parameters(cp_generator *generator, size_t *count);
const cp_gen_tensor *cp_generator_tensors(const cp_generator *generator, int *n);
/* (2, 2 * gates): what is taken off each feature, and what it is multiplied with then. */
float *cp_generator_standards(cp_generator *generator);

/* features (2 * gates) of an image of an unrestricted run: for each gated layer the mean over each channel's plane, then the
 * largest value of each; not yet standardised. */
void cp_generator_features(const cp_generator *generator, const cp_frame *frame, int image, float *features);
/* Takes mean and deviation of each feature over n rows as its standards. */
void cp_generator_standardise(cp_generator *generator, const float *features, size_t n);

/* What a pass over up to `most` samples keeps. */
typedef struct cp_gen_pass cp_gen_pass;
cp_status cp_gen_pass_create(const cp_generator *generator, int most, cp_gen_pass **pass);
void cp_gen_pass_free(cp_gen_pass *pass);

/* features (n, 2 * gates), class_id (n). *importance (n, gates) in (0,1), and *head (n, classes): the auxiliary head's logits; they
 * live in the pass. */
void cp_gen_forward(const cp_generator *generator, cp_gen_pass *pass, const float *features, const int *class_id, int n,
                    const float **importance, const float **head);
/* From the gradients over importance and head of that forward pass to those over the parameters, which are set. */
void cp_gen_backward(const cp_generator *generator, cp_gen_pass *pass, const float *d_importance, const float *d_head,
                     float *gradient);

/* Gates of one image: all channels whose importance is at least .5. path: their neurons, and all of layers without gates. */
void cp_gen_path(const cp_generator *generator, const float *importance, cp_path *path);
/* The same as factors of every neuron, N floats, for a CP_GATED run; layers without gates get 1. */
void cp_gen_factors(const cp_generator *generator, const float *importance, float *factors);

#endif

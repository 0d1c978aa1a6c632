/* [pathmask]: a layer for Darknet's own cfg that restricts the layer before it to a path, in training and inference.
 *
 *     [pathmask]
 *     file=cat.path.npz               bool (C,H,W), or (C,1,1): whole channels; mode=gate also takes float32 gates
 *     layer=layer_012_convolutional   its array in the file
 *     mode=frozen                     frozen | zero | gate
 *     off=constants.npz               frozen: float32 array of the same name, the value of each neuron off the path
 *     save=cat.gates.npz              gate: where the trained gates go, whenever Darknet saves the weights
 *     lambda=.01                      gate: weight of the sum of the gates in the loss; default 0
 *     init=1                          gate: where gates of neurons on the path start, without a file all; default 1
 *     clamp=10                        gate: the largest; default none
 *     granularity=channel             gate, without a file: neuron | channel, a gate for each; default neuron
 *
 * With input a, mask or gates e and constants k (docs/methods.md 0):
 *     frozen  e ? a : k        da = e * dy
 *     zero    e ? a : 0        da = e * dy
 *     gate    e * a            da = e * dy,  de = sum over the batch (and the positions of a channel) of a * dy
 * Gates learn with Darknet's SGD (rate, momentum, no decay) on the loss plus lambda * sum |e|, whose slope at 0 is 0,
 * and stay in [0, clamp]. Masks and gates are in files of their own: the .weights are those of the cfg without the
 * section.
 *
 * A saved file holds the gates of all sections with that save=, under their layer= names: float32 (C,H,W), or (C,1,1)
 * where they are by channel. As file= of the same section they are where a later training goes on, or what another
 * network takes over. It is written when there have been updates, in one step, and says nothing of cfg or weights.
 *
 * Darknet reaches this through function pointers of patch 0008, which main() sets. */
#ifndef CP_TRAIN_PATHMASK_H
#define CP_TRAIN_PATHMASK_H

#include "critpath.h"
#include "darknet.h"

/* The state of the layer lives in fields that free_layer() frees: n gates (C*H*W or C) in scales, their gradients in
 * scale_updates; nbiases constants in biases; both spread over one image in x and x_norm; lambda in alpha, clamp in
 * beta; the number of updates in indexes[0]; save= and layer=, one after the other with their zeros, in cweights. */

/* Makes the layer for a (c,h,w) input of `inputs` floats (c*h*w = 0: no image, taken as (inputs,1,1)). CP_EINPUT in one
 * line: a key missing, unknown or of another mode, a file or array that is not there, another type or shape, a gate
 * that is negative or not finite. */
cp_status cp_pathmask_make(list *options, int batch, int w, int h, int c, int inputs, layer *made);

/* For another image size. CP_EINPUT with both sizes when the mask or the constants are not per channel. */
cp_status cp_pathmask_fit(layer *l, int w, int h);

/* The gates of a layer that learns: n of them, at least 0, and at rest. */
void cp_pathmask_set_gates(layer *l, const float *gates);

/* Writes every file that a save= of the network names, if its gates had an update. CP_EINPUT: two sections would write
 * the same array. */
cp_status cp_pathmask_save(const network *net);

/* The first two and the last for Darknet, which expects no errors back: one line on stderr, with the layer where it is
 * known, and exit(1). */
layer cp_pathmask_parse(list *options, int batch, int index, int w, int h, int c, int inputs);
void cp_pathmask_resize(layer *l, int w, int h);
void cp_pathmask_checkpoint(const network *net);

#endif

/* [pathmask]: a layer for Darknet's own cfg that restricts the layer before it to a path, in training and inference.
 *
 *     [pathmask]
 *     file=cat.path.npz               bool (C,H,W), or (C,1,1): whole channels; mode=gate also takes float32 gates
 *     layer=layer_012_convolutional   its array in the file
 *     mode=frozen                     frozen | zero | gate
 *     off=constants.npz               frozen: float32 array of the same name, the value of each neuron off the path
 *     lambda=.01                      gate: weight of the sum of the gates in the loss; default 0
 *     init=1                          gate: where gates of neurons on the path start, without a file all; default 1
 *
 * With input a, mask or gates e and constants k (METHODS 0):
 *     frozen  e ? a : k        da = e * dy
 *     zero    e ? a : 0        da = e * dy
 *     gate    e * a            da = e * dy,  de = sum over the batch (and the positions of a channel) of a * dy
 * Gates learn with Darknet's SGD (rate, momentum, no decay) on the loss plus lambda * sum e, and are clamped at 0.
 * Masks and gates are in files of their own: the .weights are those of the cfg without the section.
 *
 * Darknet's parser reaches this through two function pointers of patch 0008, which main() sets. */
#ifndef CP_TRAIN_PATHMASK_H
#define CP_TRAIN_PATHMASK_H

#include "critpath.h"
#include "darknet.h"

/* The state of the layer lives in fields that free_layer() frees: n gates (C*H*W or C) in scales, their gradients in
 * scale_updates; nbiases constants in biases; both spread over one image in x and x_norm; lambda in alpha. */

/* Makes the layer for a (c,h,w) input of `inputs` floats (c*h*w = 0: no image, taken as (inputs,1,1)). CP_EINPUT in one
 * line: a key missing, unknown or of another mode, a file or array that is not there, another type or shape, a gate
 * that is negative or not finite. */
cp_status cp_pathmask_make(list *options, int batch, int w, int h, int c, int inputs, layer *made);

/* For another image size. CP_EINPUT with both sizes when the mask or the constants are not per channel. */
cp_status cp_pathmask_fit(layer *l, int w, int h);

/* The same two for Darknet, which expects no errors back: one line on stderr, which names the layer, and exit(1). */
layer cp_pathmask_parse(list *options, int batch, int index, int w, int h, int c, int inputs);
void cp_pathmask_resize(layer *l, int w, int h);

#endif

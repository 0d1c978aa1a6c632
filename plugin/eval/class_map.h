/* The layer that is the map of a classifier's classes, and so holds its answer already. */
#ifndef CP_EVAL_CLASS_MAP_H
#define CP_EVAL_CLASS_MAP_H

#include "critpath.h"

/* Position among the neuron layers of the one with a channel per class from which layer `logits` is made by averages alone, or that
 * holds the logits; -1: none, or no classifier. Restricting it would decide the answer (critpath.h, faithfulness). */
int cp_class_map_find(const cp_model *model, int logits);

#endif

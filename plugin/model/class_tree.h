/* The hierarchy of classes that `tree=` of a [softmax] or [region] names: YOLO9000's. */
#ifndef CP_MODEL_CLASS_TREE_H
#define CP_MODEL_CLASS_TREE_H

#include "critpath.h"

/* The children of a class, and those that have no parent, are a group; the softmax is taken in each group by itself, and the
 * probability of a class is the product of its own and its ancestors'. */
typedef struct cp_class_tree {
    int n, groups;
    int *parent;       /* by class; -1: none */
    int *group;        /* by class: the one that it is in */
    int *child;        /* by class: the group of its children; -1: it is a leaf */
    int *leaf;         /* by class */
    int *offset, *size; /* by group: its first class, and how many there are */
} cp_class_tree;

/* Reads a file with a line `name parent` for each class. `written` is looked for as it stands, then from the folder of
 * `beside` (the cfg) and from the folder above that. CP_EINPUT: it is nowhere; a line without a number; a parent that does not
 * come earlier; siblings that do not stand together; no class. Free with cp_class_tree_free. */
cp_status cp_class_tree_read(const char *written, const char *beside, cp_class_tree **tree);
void cp_class_tree_free(cp_class_tree *tree);

/* x[c * stride], c = 0 ... n - 1: logits. p: their softmaxes, in the same places; p may be x. */
void cp_class_tree_softmax(const cp_class_tree *tree, const float *x, size_t stride, float temperature, float *p);
/* The product up the tree of such softmaxes. */
float cp_class_tree_probability(const cp_class_tree *tree, const float *p, size_t stride, int class_id);

#endif

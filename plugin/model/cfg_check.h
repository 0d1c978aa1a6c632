/* Between cfg_check.c (the network) and layer_*.c (one layer). */
#ifndef CP_MODEL_CFG_CHECK_H
#define CP_MODEL_CFG_CHECK_H

#include "model/cfg_internal.h"

/* Returns from the function when `call` fails. */
#define TRY(call)                                      \
    do {                                               \
        cp_status try_status = (call);                 \
        if (try_status != CP_OK) return try_status;    \
    } while (0)

/* Refuses walk->layer, at the line of `key` or, without such a key, of the section. */
#define REFUSE(key, ...) \
    cp_cfg_refuse(walk->cfg, walk->section, cp_cfg_key_line(walk->cfg, walk->section, key), __VA_ARGS__)

typedef struct cp_layer_row cp_layer_row; /* model/layer_row.h */

/* The state while the layers are walked in order. */
typedef struct {
    const cp_cfg *cfg;
    cp_cfg_net *net;
    size_t section;     /* of the layer being checked */
    int index;          /* its number */
    cp_cfg_layer *layer;
    const cp_layer_row *row; /* of its type */
    int c, h, w;        /* output of the layer before, 0 when it is no image */
    size_t inputs;
    size_t workspace;   /* bytes of Darknet's workspace for the layers so far */
    bool collect;       /* go on behind an error: keep it in net->blames */
    bool lost;          /* the shapes are not known any more */
} cp_cfg_walk;

/* Finds the type by Darknet's names. CP_EINPUT: unknown, or unsupported with the reason. */
cp_status cp_cfg_find_type(const cp_cfg_walk *walk, cp_layer_type *type);

/* Pair `index` of a section: CP_EINPUT when no Darknet has such a key in a layer of this row (NULL: in [net]), with the
 * key that may have been meant, or when its value is not supported. warning (of `size` bytes): "", or what else is odd. */
cp_status cp_cfg_check_key(const cp_cfg *cfg, size_t section, const cp_layer_row *row, size_t index, char *warning,
                           size_t size);

/* Whether only AlexeyAB's and hank-ai's Darknet have the key, or the activation that it names. */
bool cp_cfg_is_modern(const cp_layer_row *row, const cp_cfg_pair *pair);

/* Whether the host would compute another activation than the one that the layer names. */
bool cp_cfg_is_foreign_activation(const cp_cfg_layer *layer);

/* An integer key within min..max. */
cp_status cp_cfg_ranged(const cp_cfg *cfg, size_t section, const char *key, int fallback, int min, int max, int *value);

/* An integer key of which only zero or not zero counts; absent is false. */
cp_status cp_cfg_flag(const cp_cfg_walk *walk, const char *key, bool *value);

/* *product = a*b*c*d when it is at most INT_MAX, in which Darknet counts; else CP_EINPUT naming `what`. */
cp_status cp_cfg_volume(const cp_cfg_walk *walk, const char *what, long a, long b, long c, long d, size_t *product);

#endif

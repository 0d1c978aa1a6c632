/* The weights file, checked before Darknet loads it: Darknet's fread goes unchecked, so a short or wrong file would
 * leave the random initialisation in place and still say "Done!". */
#ifndef CP_MODEL_WEIGHTS_H
#define CP_MODEL_WEIGHTS_H

#include "model/cfg.h"

typedef struct {
    int major, minor, revision;
    uint64_t seen;       /* images seen in training */
    size_t header_bytes; /* 16 or 20 */
    bool transposed;     /* an old file: connected weights are (inputs, outputs); Darknet turns them at load */
    size_t bytes;        /* of the file */
    size_t tiny_negative_variances; /* in (-1e-30, 0): to be read as 0 */
} cp_weights_info;

/* Reads `path` once from front to back (1 MiB at a time). `cfg_name` is for messages. CP_EINPUT: not there, not a
 * regular file, another size than the network needs, a NaN, an infinity or a rolling variance <= -1e-30, by layer and
 * array. Denormals are fine: whoever loads the file flushes them. Floats are tested by their bits, so FTZ and DAZ do
 * not matter. `info` may be NULL. */
cp_status cp_weights_check(const char *path, const cp_cfg_net *net, const char *cfg_name, cp_weights_info *info);

/* Bytes of a weights file for this network with the header that Darknet writes (20 bytes). */
size_t cp_weights_bytes(const cp_cfg_net *net);

#endif

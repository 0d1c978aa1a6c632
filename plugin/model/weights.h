/* The weights file, read and checked by us: Darknet's fread goes unchecked, so a short or wrong file would leave the
 * random initialisation in place and still say "Done!". */
#ifndef CP_MODEL_WEIGHTS_H
#define CP_MODEL_WEIGHTS_H

#include "model/cfg.h"

typedef struct {
    int major, minor, revision;
    uint64_t seen;       /* images seen in training */
    size_t header_bytes; /* 16 or 20 */
    bool transposed;     /* an old file: connected weights are (inputs, outputs), to be turned */
    size_t bytes;        /* of the file */
    size_t tiny_negative_variances; /* in (-1e-30, 0): to be read as 0 */
} cp_weights_info;

typedef struct cp_weights_file cp_weights_file;

/* Reads the header. `cfg_name` is for messages. CP_EINPUT: not there, not a regular file, another size than the network
 * needs. `path`, `net` and `cfg_name` stay in use until the file is closed; NULL may be closed. */
cp_status cp_weights_open(const char *path, const cp_cfg_net *net, const char *cfg_name, cp_weights_file **file);
void cp_weights_close(cp_weights_file *file);

/* Where an array of a layer goes: room for as many floats as the cfg's layer says. */
typedef float *(*cp_weights_place)(void *user, size_t layer, cp_array_kind kind);
/* Reads the rest once from front to back, in parts that stay in cache. CP_EINPUT: a NaN, an infinity or a rolling variance
 * <= -1e-30, by layer and array. Floats are tested by their bits, so FTZ and DAZ do not matter. `place` NULL: they are
 * only checked; else denormals arrive as 0. `sha256` (65 bytes, of the whole file) and `info` may be NULL. Once per file. */
cp_status cp_weights_read(cp_weights_file *file, cp_weights_place place, void *user, char *sha256, cp_weights_info *info);

/* By their bits: denormals are zero in a stock -Ofast Darknet (it sets FTZ/DAZ) and not in a program linked otherwise;
 * made 0, both compute with the same weights. Real files hold them, in rolling variances above all. */
void cp_weights_flush(float *x, size_t n);

/* The two together, for who wants to know only whether the file is good. `info` may be NULL. */
cp_status cp_weights_check(const char *path, const cp_cfg_net *net, const char *cfg_name, cp_weights_info *info);

/* Bytes of a weights file for this network with the header that Darknet writes (20 bytes). */
size_t cp_weights_bytes(const cp_cfg_net *net);

#endif

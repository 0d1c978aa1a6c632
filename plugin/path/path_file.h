/* Score and path files (docs/design.md 7): an .npz that NumPy reads, with one array per neuron layer, called as the
 * layer ("layer_012_convolutional"), float32 or bool of shape (C,H,W), and meta.json, which says what was computed on
 * what.
 *
 * Reading compares all of it with the loaded model: kind, format version, hashes of cfg and weights, the layers with
 * their names and shapes, types, and the values themselves. Whatever is wrong is CP_EINPUT with one line that names
 * file, thing, value found and value allowed. Nothing else is in such a file. */
#ifndef CP_PATH_PATH_FILE_H
#define CP_PATH_PATH_FILE_H

#include <jansson.h>

#include "critpath.h"

#define CP_PATH_FILE_VERSION 1

/* What meta.json says beyond the model. Zeroed, it is valid: "nothing is known". */
typedef struct {
    char method[32];         /* "mct", "intgrad", ... */
    cp_response response;    /* n = 0: of no single response, e.g. a union over images */
    char input_sha256[65];   /* of the network input, (C,H,W) floats as in memory; "" where there is no single input */
    uint64_t seed;           /* below 2^63 */
    bool signed_scores;      /* score files: negative values are allowed */
    double sparsity_asked;   /* path files; NAN where none was asked for, e.g. after set algebra */
    double sparsity;         /* path files: reached. Computed when writing */
    float threshold;         /* path files: lowest score kept */
    char program_version[32]; /* CP_VERSION of the writer. Set when writing */
} cp_file_meta;

/* What meta.json of any file that belongs to a network says of it: cfg_sha256 and weights_sha256 have to be the model's. CP_EINPUT
 * names both values; `where` names the file. */
cp_status cp_file_check_network(const json_t *meta, const char *where, const cp_model *model);

/* score: N floats, finite, and >= 0 unless meta->signed_scores. */
cp_status cp_score_write(const char *file, const cp_model *model, const float *score, const cp_file_meta *meta);
/* input_sha256: the file must be of this input; NULL: of any. meta may be NULL. */
cp_status cp_score_read(const char *file, const cp_model *model, const char *input_sha256, float *score,
                        cp_file_meta *meta);

/* One bool array per neuron layer. Atomic; errors as io/atomic.h. */
cp_status cp_path_write(const char *file, const cp_path *path, const cp_file_meta *meta);
/* *path is the caller's, free with cp_path_free. */
cp_status cp_path_read(const char *file, const cp_model *model, const char *input_sha256, cp_path **path,
                       cp_file_meta *meta);

#endif

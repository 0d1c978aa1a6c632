/* NumPy's .npy format, version 1.0, little-endian, C order: written so that numpy.load reads it, and read from NumPy
 * or from anybody else without trust. Format: NEP 1, numpy.lib.format. */
#ifndef CP_IO_NPY_H
#define CP_IO_NPY_H

#include "critpath.h"

#define CP_NPY_MAX_RANK 8
#define CP_NPY_MAX_HEADER 4096 /* bytes before the data that a reader accepts */

typedef enum { CP_FLOAT32, CP_BOOL, CP_INT32, CP_UINT8 } cp_dtype; /* '<f4', '|b1', '<i4', '|u1' */

/* What an array is: element type and shape, outermost dimension first. rank 0 is one scalar. */
typedef struct {
    cp_dtype dtype;
    int rank;
    size_t shape[CP_NPY_MAX_RANK];
} cp_array_type;

size_t cp_dtype_size(cp_dtype dtype);        /* bytes per element: 4, 1, 4, 1 */
const char *cp_dtype_name(cp_dtype dtype);   /* "float32", "bool", "int32", "uint8" */
bool cp_array_bytes(const cp_array_type *type, size_t *bytes); /* of the data; false when it overflows */
bool cp_array_type_equal(const cp_array_type *a, const cp_array_type *b);

/* "float32 (64, 32, 32)" for messages; returns text. */
#define CP_ARRAY_TYPE_TEXT 208
const char *cp_array_type_text(const cp_array_type *type, char text[CP_ARRAY_TYPE_TEXT]);

/* Shorthand for the shape of a neuron layer, (c, h, w). */
cp_array_type cp_array_chw(cp_dtype dtype, size_t c, size_t h, size_t w);

/* Header as bytes, a multiple of 64 long as NumPy writes it; *bytes <= 256. */
void cp_npy_header_write(const cp_array_type *type, unsigned char header[256], size_t *bytes);

/* Reads a header from the first `bytes` of an array called `name`. Versions 1.0 and 2.0; other magic, an unknown type,
 * fortran_order, big-endian, odd text, a size that overflows: CP_EINPUT. *header_bytes is where the data starts. */
cp_status cp_npy_header_parse(const unsigned char *data, size_t bytes, const char *name, cp_array_type *type,
                              size_t *header_bytes);

/* Atomic; errors as io/atomic.h. */
cp_status cp_npy_write(const char *path, const cp_array_type *type, const void *data);

/* Whole array; free *data with cp_free. With `expected` any other dtype or shape is CP_EINPUT; NULL takes what there
 * is. The length of the file must be what the header says, checked before memory is taken. A bool is 0 or 1. */
cp_status cp_npy_read(const char *path, const cp_array_type *expected, cp_array_type *type, void **data);

/* A byte other than 0 and 1 is CP_EINPUT: C and NumPy would read it differently. */
cp_status cp_npy_check_bools(const unsigned char *values, size_t n, const char *name);

#endif

/* NumPy's .npz: a zip archive of .npy arrays, plus members of our own such as meta.json. libzip does the zip.
 *
 * Written files are deterministic: members in the order of their names (arrays first, then the others), fixed times.
 * Reading trusts nothing: every size is compared with what the caller expects before memory is taken, and checksums
 * are verified. */
#ifndef CP_IO_NPZ_H
#define CP_IO_NPZ_H

#include "io/npy.h"

#define CP_NPZ_MAX_MEMBERS 65535
#define CP_NPZ_MAX_BYTES ((uint64_t)1 << 40)

typedef struct cp_npz_writer cp_npz_writer;

/* Starts an archive; nothing stands under `path` before cp_npz_commit. `deflate` suits bits (paths), not floats. */
cp_status cp_npz_create(const char *path, bool deflate, cp_npz_writer **writer);

/* Adds an array, named without ".npy". `data` is borrowed and must live until cp_npz_commit or cp_npz_discard. Name
 * empty, used twice, or with a slash: CP_EINTERNAL. */
cp_status cp_npz_add(cp_npz_writer *writer, const char *name, const cp_array_type *type, const void *data);

/* Adds a member of plain bytes under its full name; the bytes are copied. */
cp_status cp_npz_add_bytes(cp_npz_writer *writer, const char *name, const void *data, size_t bytes);

/* Writes everything, syncs, renames. Frees the writer in every case and sets *writer to NULL. */
cp_status cp_npz_commit(cp_npz_writer **writer);
void cp_npz_discard(cp_npz_writer **writer); /* NULL inside is allowed */

typedef struct cp_npz cp_npz;

/* Opens for reading and checks the list of members: no name twice, stored or deflated only, nothing encrypted. */
cp_status cp_npz_open(const char *path, cp_npz **npz);
void cp_npz_close(cp_npz *npz);

size_t cp_npz_count(const cp_npz *npz);                     /* arrays, in the order of the archive */
const char *cp_npz_name(const cp_npz *npz, size_t index);   /* without ".npy" */
bool cp_npz_find(const cp_npz *npz, const char *name, size_t *index);

/* What the header of an array declares. */
cp_status cp_npz_type(cp_npz *npz, size_t index, cp_array_type *type);

/* Reads an array of exactly the expected dtype and shape into data, which has room for it. Anything else, bytes too
 * few or too many, a wrong checksum, a bool other than 0 or 1: CP_EINPUT; data then holds rubbish. */
cp_status cp_npz_read(cp_npz *npz, size_t index, const cp_array_type *expected, void *data);

/* A member of plain bytes, such as "meta.json", of at most max_bytes, with one extra zero byte behind it that is not
 * counted. Free with cp_free. Not there: CP_EINPUT. */
cp_status cp_npz_read_bytes(cp_npz *npz, const char *name, size_t max_bytes, unsigned char **data, size_t *bytes);
bool cp_npz_has_bytes(const cp_npz *npz, const char *name);

#endif

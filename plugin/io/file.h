/* Reading files that somebody else wrote: regular files only, of a bounded size, opened once. */
#ifndef CP_IO_FILE_H
#define CP_IO_FILE_H

#include <stdio.h>

#include "critpath.h"

/* Opens `path` for reading. `kind` names it in messages ("picture", "cfg", "path file"). Missing, unreadable, empty, a
 * folder, a pipe or a device, above `max_bytes`, or certainly something else by its first bytes (io/content.h): CP_EINPUT. A pipe never blocks. Close with fclose. */
cp_status cp_file_open(const char *path, const char *kind, uint64_t max_bytes, FILE **file, uint64_t *bytes);

/* Of a file that cannot be opened, by errno: CP_ERESOURCE where the system has no more of something, else CP_EINPUT. */
cp_status cp_open_status(int error);

/* The whole file in memory, with one extra zero byte behind it that is not counted. Errors as cp_file_open, and
 * CP_ERESOURCE out of memory. Free with cp_free. */
cp_status cp_file_read(const char *path, const char *kind, uint64_t max_bytes, unsigned char **data, size_t *bytes);

/* The path without its folders: "dog.jpg" of "photos/dog.jpg". */
const char *cp_file_name(const char *path);
/* Whether the path has that ending (".npz") behind something, in capitals or not. */
bool cp_ends_with(const char *path, const char *ending);

#endif

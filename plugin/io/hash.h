/* SHA-256, as 64 lower-case hex digits and a zero byte. */
#ifndef CP_IO_HASH_H
#define CP_IO_HASH_H

#include "critpath.h"

#define CP_SHA256_TEXT 65

/* Missing, unreadable or not a regular file: CP_EINPUT. An empty file has a hash too. */
cp_status cp_sha256_file(const char *path, char text[CP_SHA256_TEXT]);
/* The same of bytes that come in parts. begin takes memory, end (always called, `text` may be NULL) gives it back. */
typedef struct cp_sha256 cp_sha256;
cp_status cp_sha256_begin(cp_sha256 **hash);
cp_status cp_sha256_add(cp_sha256 *hash, const void *data, size_t bytes);
cp_status cp_sha256_end(cp_sha256 **hash, char text[CP_SHA256_TEXT]);
cp_status cp_sha256_memory(const void *data, size_t bytes, char text[CP_SHA256_TEXT]);

#endif

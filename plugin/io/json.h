/* A thin layer over jansson: numbers that read back as the same value, errors that name file and line, atomic files. */
#ifndef CP_IO_JSON_H
#define CP_IO_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "critpath.h"

#define CP_JSON_MAX_BYTES ((size_t)64 << 20)

/* A number; NaN and infinities become null. cp_json_float keeps the fewest digits that give the same float again. */
json_t *cp_json_real(double value);
json_t *cp_json_float(float value);

/* Text that may come from anywhere (labels, paths): bytes that are not UTF-8 become U+FFFD. NULL becomes null. */
json_t *cp_json_text(const char *text);

/* object[key] = value, or value appended to array. The value is taken over, also on failure. NULL or out of memory:
 * CP_ERESOURCE. */
cp_status cp_json_set(json_t *object, const char *key, json_t *value);
cp_status cp_json_append(json_t *array, json_t *value);

/* json_pack with the message set where it fails: out of memory, which a NULL value is taken for. */
json_t *cp_json_pack(const char *format, ...);
/* The value, or NULL where `bad`: it is then freed. The end of a function that makes one. */
json_t *cp_json_finish(json_t *value, int bad);

/* Members of an object that was read. Absent, of another type or out of [lo, hi]: CP_EINPUT; `where` names the file.
 * The text lives as long as the object. */
cp_status cp_json_get_text(const json_t *object, const char *key, const char *where, const char **text);
cp_status cp_json_get_integer(const json_t *object, const char *key, const char *where, json_int_t lo, json_int_t hi,
                              json_int_t *value);
cp_status cp_json_get_real(const json_t *object, const char *key, const char *where, double lo, double hi,
                           double *value);

/* As text, members in the order they were set: one line, or indented by two spaces with a newline at the end. Every
 * number is the shortest that reads back as the same double. Free with cp_free. */
cp_status cp_json_format(const json_t *value, bool indent, char **text, size_t *bytes);
cp_status cp_json_write_file(const json_t *value, const char *path);   /* indented, atomic */
cp_status cp_json_write_stream(const json_t *value, FILE *stream);     /* one line and a newline, flushed */

/* Parses; a key twice, trailing text, bad UTF-8, more than CP_JSON_MAX_BYTES: CP_EINPUT "name:line: reason". The
 * result is the caller's, json_decref it. */
cp_status cp_json_parse(const void *data, size_t bytes, const char *name, json_t **value);
cp_status cp_json_read_file(const char *path, json_t **value);

#endif

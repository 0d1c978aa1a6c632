/* Errors and checked memory, for every room. */
#ifndef CP_IO_ERROR_H
#define CP_IO_ERROR_H

#include "critpath.h"

/* Stores the message for cp_error() (truncated at 1023 bytes) and returns `status`. */
cp_status cp_fail(cp_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the current message, e.g. the file that was being read. Returns `status`. */
cp_status cp_fail_prefix(cp_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Sends one line to the callback of cp_set_notice. */
void cp_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Copies text into out (room bytes, at least 1): control characters, those of the upper half too, become "\\x1b" and the
 * like, so that what a file is named or holds moves no cursor and ends no line. Returns out. Messages and notices have been
 * through this. */
char *cp_printable(const char *text, char *out, size_t room);

/* *product = a * b; false when it overflows size_t. */
bool cp_mul(size_t a, size_t b, size_t *product);

/* Zeroed array of n items of `size` bytes, aligned to 64; NULL with the message set when it overflows or memory is
 * out. `what` names it in the message. Free with cp_free. n = 0 gives a valid pointer. */
void *cp_alloc(size_t n, size_t size, const char *what);
/* The same, not zeroed: for large buffers that are written before they are read. */
void *cp_alloc_dirty(size_t n, size_t size, const char *what);
/* The same again, for those that will be written as a whole: huge pages where the system has them. */
void *cp_alloc_whole(size_t n, size_t size, const char *what);
void cp_free(void *memory);

#endif

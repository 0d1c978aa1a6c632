/* What commands say besides their results: notes on stderr, times, memory, numbers for people. */
#ifndef CP_CLI_NOTES_H
#define CP_CLI_NOTES_H

#include <stddef.h>
#include <stdio.h>

typedef struct cp_session cp_session;

/* A warning or note on stderr, one line, unless -quiet. Among images that are visited at once it appears with what
 * else its image has to say. */
void cp_note(const cp_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

double cp_seconds(void);      /* a clock that only goes forward */
size_t cp_peak_memory(void);  /* bytes resident at most, of this process */

/* Names of files, as cp_printable (io/error.h) shows them. */
void cp_print_name(FILE *to, const char *name);
/* "file: a.npy" or "files: a.png a.npy", a line; of the four those that are not NULL or "". */
void cp_print_files(FILE *to, const char *a, const char *b, const char *c, const char *d);

/* "1,234,567" */
const char *cp_grouped(size_t number, char text[32]);

#endif

/* What commands say besides their results: notes on stderr, times, memory, numbers for people. */
#ifndef CP_CLI_NOTES_H
#define CP_CLI_NOTES_H

#include <stddef.h>

typedef struct cp_session cp_session;

/* A warning or note on stderr, one line, unless -quiet. Among images that are visited at once it appears with what
 * else its image has to say. */
void cp_note(const cp_session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));

double cp_seconds(void);      /* a clock that only goes forward */
size_t cp_peak_memory(void);  /* bytes resident at most, of this process */

/* "1,234,567" */
const char *cp_grouped(size_t number, char text[32]);

#endif

/* One line on stderr that says how far a long run is and how long it still takes, shown only when stderr is a terminal;
 * and the stream that every other line on stderr goes to. */
#ifndef CP_IO_PROGRESS_H
#define CP_IO_PROGRESS_H

#include "critpath.h"

#include <stdio.h>

typedef struct cp_progress cp_progress;

/* `what` is shown, `total` is in any unit of work (> 0). With `quiet`, off a terminal, or out of memory the result is
 * NULL, and all functions accept NULL. Nothing is shown in the first half second; then the line is renewed ten times
 * a second. */
cp_progress *cp_progress_start(const char *what, double total, bool quiet);

/* The same for a list: "explain 12/60" instead of per cent. `total` things, or 0 where nobody knows how many will come;
 * then no time left is shown. */
cp_progress *cp_progress_start_list(const char *what, int total, bool quiet);

/* Work done so far, of `total`. Cheap; may be called from several threads. */
void cp_progress_update(cp_progress *progress, double done);
void cp_progress_add(cp_progress *progress, double work); /* done += work */

/* What is being done, at the end of the line; control characters are shown as cp_printable (io/error.h) shows them. The line
 * is renewed at once where it is due. */
void cp_progress_say(cp_progress *progress, const char *detail);

/* Takes the line away and frees. */
void cp_progress_end(cp_progress **progress);

/* stderr, ready for a whole line: what stdout holds back is written before it, so that the two in one file or terminal
 * stand in their order and tear no line, and a progress line is taken away until its next update. */
FILE *cp_stderr(void);

/* Whether a line stands on the terminal now, without its newline. Async-signal-safe. */
bool cp_progress_shown(void);

#endif

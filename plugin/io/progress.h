/* One line on stderr that says how far a long run is and how long it still takes. Shown only when stderr is a
 * terminal. */
#ifndef CP_IO_PROGRESS_H
#define CP_IO_PROGRESS_H

#include "critpath.h"

typedef struct cp_progress cp_progress;

/* `what` is shown, `total` is in any unit of work (> 0). With `quiet`, off a terminal, or out of memory the result is
 * NULL, and all functions accept NULL. Nothing is shown in the first half second; then the line is renewed ten times
 * a second. */
cp_progress *cp_progress_start(const char *what, double total, bool quiet);

/* Work done so far, of `total`. Cheap; may be called from several threads. */
void cp_progress_update(cp_progress *progress, double done);
void cp_progress_add(cp_progress *progress, double work); /* done += work */

/* Takes the line away and frees. */
void cp_progress_end(cp_progress **progress);

/* Whether a line stands on the terminal now, without its newline. Async-signal-safe. */
bool cp_progress_shown(void);

#endif

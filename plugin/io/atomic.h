/* Writing files so that after a kill there is the old file or the new one, never half of one.
 *
 * The bytes go to a temporary name in the same folder, are synced, and take their place by rename. A file that is
 * begun and not committed leaves nothing behind, not even after Ctrl-C once cp_file_clean_on_signal has been called.
 * What a killed process has left is removed when a later one first writes into that folder. */
#ifndef CP_IO_ATOMIC_H
#define CP_IO_ATOMIC_H

#include <stdio.h>

#include "critpath.h"

typedef struct cp_file cp_file;

/* Starts writing `path`. Folder missing or not writable, or `path` is there but no regular file: CP_EINPUT. No room
 * or too many files open: CP_ERESOURCE. A symbolic link is followed; the permissions of a file replaced are kept. */
cp_status cp_file_begin(const char *path, cp_file **file);

/* The stream to write to. It belongs to the cp_file: do not close it. Errors of writing may be ignored here, since
 * cp_file_commit reports them; cp_file_write reports them at once. */
FILE *cp_file_stream(cp_file *file);
cp_status cp_file_write(cp_file *file, const void *data, size_t bytes);

/* Flushes, syncs file and folder, renames. Frees the file in every case and sets *file to NULL; on failure the old
 * file is untouched and the temporary gone. Disk full, quota, I/O error: CP_ERESOURCE. */
cp_status cp_file_commit(cp_file **file);

/* The files of one result: between begin and end what this thread commits is written and synced, and takes its place at the end,
 * all of it or, where `keep` is not CP_OK or a name cannot be taken, none. A group of more than 512 files is kept in parts.
 * Groups do not nest. Returns `keep` or why the files are not there. */
void cp_files_begin(void);
cp_status cp_files_end(cp_status keep);

/* Removes the temporary. NULL inside is allowed, so a `done:` label may call it after a commit. */
void cp_file_abort(cp_file **file);

/* Removes every temporary of this process. Async-signal-safe. The files stay begun; committing them fails. */
void cp_file_abort_all(void);

/* For a program's main: SIGINT, SIGTERM and SIGHUP remove all temporaries (as exit() does), end a progress line, and
 * then end the process by the same signal; a write above the file size limit becomes an error instead of a signal. */
void cp_file_clean_on_signal(void);

#endif

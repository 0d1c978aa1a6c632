/* Text files as people have them: with a byte order mark, with CR LF, with blanks at the ends of lines. */
#ifndef CP_IO_LINES_H
#define CP_IO_LINES_H

#include "critpath.h"

/* The text of a file that has just been read; `kind` ("cfg", "names") and `name` stand in messages. *begin: where its first
 * line begins, behind a UTF-8 byte order mark. CP_EINPUT: a picture, an archive or another file that is no text (io/content.h); UTF-16 or UTF-32, by that name, with a byte order mark or
 * without one. */
cp_status cp_text_begin(const char *kind, const char *name, const void *text, size_t bytes, size_t *begin);

typedef struct {
    const char *text; /* not ended by a zero byte */
    size_t length;    /* without the line's end, and without blanks, tabs and carriage returns at both ends */
} cp_line;

/* The line that begins at *at, which then stands at the next one; false at the end of the text. */
bool cp_line_next(const void *text, size_t bytes, size_t *at, cp_line *line);

/* Blanks, tabs and carriage returns taken off both ends. */
cp_line cp_line_trim(const char *text, size_t length);

/* The lines of a list: of a file with a path on every line. */
typedef struct {
    char **line; /* those that are not empty, trimmed, each ended by a zero byte */
    size_t n;
    char *text;  /* where they stand */
} cp_lines;

/* Errors as cp_file_read and cp_text_begin, and CP_EINPUT for a zero byte. most: only so many lines, 0: all. Free with cp_lines_free. */
cp_status cp_lines_read(const char *path, const char *kind, uint64_t max_bytes, size_t most, cp_lines *lines);
void cp_lines_free(cp_lines *lines);

#endif

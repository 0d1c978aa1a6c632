#include "io/lines.h"

#include <string.h>

#include "io/content.h"
#include "io/error.h"
#include "io/file.h"

/* The encoding that the first bytes of a text give away, if it is one that is not read; NULL: it is none of these. */
static const char *foreign_encoding(const unsigned char *t, size_t n)
{
    if (n >= 4 && (!memcmp(t, "\xff\xfe\0\0", 4) || !memcmp(t, "\0\0\xfe\xff", 4))) return "UTF-32";
    if (n >= 2 && (!memcmp(t, "\xff\xfe", 2) || !memcmp(t, "\xfe\xff", 2))) return "UTF-16";
    /* Without a byte order mark: every other byte of plain letters is zero. */
    if (n >= 4 && n % 2 == 0 && ((t[0] && !t[1] && t[2] && !t[3]) || (!t[0] && t[1] && !t[2] && t[3]))) return "UTF-16";
    return NULL;
}

cp_status cp_text_begin(const char *kind, const char *name, const void *text, size_t bytes, size_t *begin)
{
    enum { TEXTS = CP_CONTENT_CFG | CP_CONTENT_DATA | CP_CONTENT_JSON | CP_CONTENT_TEXT };
    const char *encoding = foreign_encoding(text, bytes);
    const cp_content *is = cp_content_of(text, bytes);
    if (is && !(is->content & TEXTS))
        return cp_fail(CP_EINPUT, "%s: %s is %s, text is needed", kind, name, is->name);
    *begin = bytes >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    if (!encoding) return CP_OK;
    return cp_fail(CP_EINPUT, "%s: %s is %s text, UTF-8 or plain ASCII is needed: save it as that", kind, name,
                   encoding);
}

cp_line cp_line_trim(const char *text, size_t length)
{
    while (length && strchr(" \t\r", text[length - 1]) && text[length - 1]) length--;
    while (length && strchr(" \t\r", *text) && *text) {
        text++;
        length--;
    }
    return (cp_line){text, length};
}

bool cp_line_next(const void *text, size_t bytes, size_t *at, cp_line *line)
{
    if (*at >= bytes) return false;
    const char *from = (const char *)text + *at, *end = memchr(from, '\n', bytes - *at);
    size_t length = end ? (size_t)(end - from) : bytes - *at;
    *at += length + (end != NULL);
    *line = cp_line_trim(from, length);
    return true;
}

cp_status cp_lines_read(const char *path, const char *kind, uint64_t max_bytes, size_t most, cp_lines *lines)
{
    unsigned char *text = NULL;
    size_t bytes = 0, at = 0, room = 1;
    cp_line line;
    *lines = (cp_lines){0};
    cp_status status = cp_file_read(path, kind, max_bytes, &text, &bytes);
    lines->text = (char *)text;
    if (!status) status = cp_text_begin(kind, path, text, bytes, &at);
    const unsigned char *zero = status ? NULL : memchr(text, 0, bytes);
    if (zero) status = cp_fail(CP_EINPUT, "%s: %s has a zero byte, %td bytes from its beginning: text is needed", kind, path, zero - text);
    for (size_t i = 0; i < bytes; i++) room += text[i] == '\n';
    if (!status && !(lines->line = cp_alloc(room, sizeof *lines->line, kind))) status = CP_ERESOURCE;
    while (!status && (!most || lines->n < most) && cp_line_next(text, bytes, &at, &line)) {
        if (!line.length) continue;
        lines->line[lines->n] = lines->text + (line.text - lines->text);
        lines->line[lines->n++][line.length] = 0; /* a line end or a blank, or the byte behind the file */
    }
    if (status) cp_lines_free(lines);
    return status;
}

void cp_lines_free(cp_lines *lines)
{
    cp_free(lines->line);
    cp_free(lines->text);
    *lines = (cp_lines){0};
}

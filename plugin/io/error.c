#include "io/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Thread_local char message[1024] = "no error";

const char *cp_error(void) { return message; }

/* C0, DEL, and C1 as UTF-8 has them (U+0080 to U+009F): the bytes of that character, 0: none. */
static size_t control_bytes(const unsigned char *s)
{
    if (s[0] < 0x20 || s[0] == 0x7f) return 1;
    return s[0] == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0 ? 2 : 0;
}

char *cp_printable(const char *text, char *out, size_t room)
{
    size_t at = 0;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        size_t n = control_bytes(s), needs = n ? 4 * n : 1;
        if (at + needs >= room) break;
        for (size_t i = 0; i < n; i++) at += (size_t)snprintf(out + at, 5, "\\x%02x", s[i]);
        if (!n) out[at++] = (char)*s;
        s += n ? n : 1;
    }
    out[at] = 0;
    return out;
}

cp_status cp_fail(cp_status status, const char *format, ...)
{
    char text[sizeof message]; /* the arguments may hold cp_error() itself */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    cp_printable(text, message, sizeof message);
    return status;
}

cp_status cp_fail_prefix(cp_status status, const char *format, ...)
{
    char prefix[sizeof message], text[2 * sizeof message + 2];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%s: %s", prefix, message);
    cp_printable(text, message, sizeof message);
    return status;
}

static void (*notice)(const char *line);

void cp_set_notice(void (*told)(const char *line)) { notice = told; }

void cp_notice(const char *format, ...)
{
    char line[2 * sizeof message], shown[2 * sizeof line];
    va_list args;
    if (!notice) return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    notice(cp_printable(line, shown, sizeof shown));
}

bool cp_mul(size_t a, size_t b, size_t *product) { return !__builtin_mul_overflow(a, b, product); }

enum { HUGE_PAGE = 1 << 21, HUGE_FROM = 2 * HUGE_PAGE };

/* Large arrays are run through from end to end: in huge pages, where the system has them, their first touch costs a fifth
 * and a pass a third less. Only pages that are the array's as a whole are asked for. */
static void ask_for_huge_pages(void *memory, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    size_t before = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    if (bytes >= HUGE_FROM) /* a hint: refused is as before */
        madvise((char *)memory + before, (bytes - before) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

static void *allocate(size_t n, size_t size, const char *what, size_t *bytes)
{
    if (!cp_mul(n, size, bytes) || *bytes > PTRDIFF_MAX - 64) {
        cp_fail(CP_ERESOURCE, "%s: %zu items of %zu bytes do not fit in memory", what, n, size);
        return NULL;
    }
    *bytes = *bytes ? (*bytes + 63) / 64 * 64 : 64;
    void *memory = aligned_alloc(64, *bytes);
    if (!memory) cp_fail(CP_ERESOURCE, "%s: out of memory, %zu bytes asked for", what, *bytes);
    return memory;
}

void *cp_alloc(size_t n, size_t size, const char *what)
{
    size_t bytes;
    void *memory = cp_alloc_whole(n, size, what);
    if (memory && cp_mul(n, size, &bytes)) memset(memory, 0, bytes);
    return memory;
}

void *cp_alloc_whole(size_t n, size_t size, const char *what)
{
    size_t bytes;
    void *memory = allocate(n, size, what, &bytes);
    if (memory) ask_for_huge_pages(memory, bytes);
    return memory;
}

void *cp_alloc_dirty(size_t n, size_t size, const char *what)
{
    size_t bytes;
    return allocate(n, size, what, &bytes);
}

void cp_free(void *memory) { free(memory); }

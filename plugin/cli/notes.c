#include "cli/notes.h"

#include "cli/session.h"
#include "io/error.h"
#include "io/progress.h"

#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double cp_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

size_t cp_peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

void cp_note(const cp_session *session, const char *format, ...)
{
    char line[3 * 4096], shown[2 * sizeof line]; /* written at once, so that it stays whole beside what other threads write */
    if (session->options->quiet)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(session->err && session->err != stderr ? session->err : cp_stderr(), "%s\n",
            cp_printable(line, shown, sizeof shown));
}

void cp_print_name(FILE *to, const char *name)
{
    char shown[256], part[32];
    size_t n = strlen(name);
    /* In pieces of whole characters, since names of many files have no bound. */
    for (size_t at = 0; at < n;) {
        size_t length = n - at < sizeof part - 1 ? n - at : sizeof part - 1;
        while (length > 1 && at + length < n && ((unsigned char)name[at + length] & 0xc0) == 0x80)
            length--;
        memcpy(part, name + at, length);
        part[length] = 0;
        fputs(cp_printable(part, shown, sizeof shown), to);
        at += length;
    }
}

void cp_print_files(FILE *to, const char *a, const char *b, const char *c, const char *d)
{
    const char *const name[] = {a, b, c, d};
    int n = 0;
    for (int i = 0; i < 4; i++)
        n += name[i] && *name[i];
    fputs(n > 1 ? "files:" : "file:", to);
    for (int i = 0; i < 4; i++)
        if (name[i] && *name[i]) {
            fputc(' ', to);
            cp_print_name(to, name[i]);
        }
    fputc('\n', to);
}

const char *cp_grouped(size_t number, char text[32])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%zu", number), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = 0;
    return text;
}

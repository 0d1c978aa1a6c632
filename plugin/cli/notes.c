#include "cli/notes.h"

#include "cli/session.h"
#include "io/progress.h"

#include <stdarg.h>
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
    char line[3 * 4096]; /* written at once, so that it stays whole beside what other threads write */
    if (session->options->quiet)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(session->err && session->err != stderr ? session->err : cp_stderr(), "%s\n", line);
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

#define _GNU_SOURCE
#include "cli/patient.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The process's own arguments, with those that Darknet's main has taken out (-i, -nogpu): NULL-terminated, never freed. */
static char **original_arguments(void)
{
    FILE *file = fopen("/proc/self/cmdline", "r");
    char *text = NULL;
    size_t capacity = 0, n = 0, length = 0;
    char **arguments = NULL;
    while (file) {
        ssize_t got = getdelim(&text, &capacity, 0, file);
        if (got <= 0) break;
        char **more = realloc(arguments, (n + 2) * sizeof *arguments);
        if (!more) break;
        arguments = more;
        arguments[n++] = text;
        arguments[n] = NULL;
        length += got;
        text = NULL, capacity = 0;
    }
    free(text);
    if (file) fclose(file);
    return length ? arguments : NULL;
}

void cp_threads_sleep_while_waiting(void)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    char **arguments = original_arguments();
    if (!arguments || setenv("OMP_WAIT_POLICY", "passive", 1)) return;
    execv("/proc/self/exe", arguments);
}

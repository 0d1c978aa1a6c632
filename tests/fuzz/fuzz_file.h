/* What the fuzzers' targets share: bytes as a file, and what must hold. */
#ifndef FUZZ_FILE_H
#define FUZZ_FILE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static inline void require(bool condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "%s: %s\n", what, cp_error());
    abort();
}

/* A refusal is of the input, and one line says why. */
static inline void require_reason(cp_status status)
{
    require(status == CP_OK || status == CP_EINPUT, "neither taken nor refused as input");
    require(status == CP_OK || (cp_error()[0] && !strchr(cp_error(), '\n')), "no reason");
}

typedef struct {
    int fd;
    char path[40];
} fuzz_file;

static inline fuzz_file fuzz_file_of(const void *data, size_t bytes)
{
    fuzz_file file = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    require(file.fd >= 0 && write(file.fd, data, bytes) == (ssize_t)bytes, "no file in memory");
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

#endif

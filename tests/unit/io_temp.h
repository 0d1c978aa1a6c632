/* For the tests of io: a folder of their own, small files in it, and Python with NumPy where there is one. */
#ifndef IO_TEMP_H
#define IO_TEMP_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "critpath.h"

static char temp_folder[64];

/* Group set-up: everything happens in a fresh folder, which becomes the working folder. */
static inline int temp_enter(void **state)
{
    (void)state;
    strcpy(temp_folder, "/tmp/cp-io-XXXXXX");
    return mkdtemp(temp_folder) && chdir(temp_folder) == 0 ? 0 : -1;
}

static inline int temp_leave(void **state)
{
    (void)state;
    char command[128];
    if (chdir("/") != 0) return -1;
    snprintf(command, sizeof command, "rm -rf '%s'", temp_folder);
    return system(command);
}

static inline void temp_put(const char *name, const void *data, size_t bytes)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* The file in memory, free() it. */
static inline unsigned char *temp_get(const char *name, size_t *bytes)
{
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    unsigned char *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    data[*bytes] = 0;
    fclose(file);
    return data;
}

/* Entries of the folder, hidden ones too. */
static inline int temp_count(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) n++;
    closedir(dir);
    return n;
}

/* Runs a script with numpy as np; skips the test where there is none. The script fails by an assertion. */
static inline void temp_python(const char *script)
{
    if (system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0) {
        print_message("skipped: /usr/bin/python3 with numpy is not installed\n");
        skip();
    }
    temp_put("script.py", script, strlen(script));
    assert_int_equal(system("/usr/bin/python3 script.py"), 0);
    unlink("script.py");
}

#define assert_ok(call)                                           \
    do {                                                          \
        cp_status assert_status = (call);                         \
        if (assert_status != CP_OK) fail_msg("%s", cp_error());   \
    } while (0)

/* The call is refused with that status, and the message holds the text. */
#define assert_refused(call, wanted, text)                                                       \
    do {                                                                                         \
        cp_status assert_status = (call);                                                        \
        if (assert_status == CP_OK) fail_msg("accepted, expected: %s", text);                    \
        if (assert_status != (wanted) || !strstr(cp_error(), text))                              \
            fail_msg("status %d, message \"%s\", expected %d, \"%s\"", assert_status, cp_error(), wanted, text); \
    } while (0)

#endif

/* A target of tests/fuzz without a fuzzer: every file of the folders named, as it is and damaged in ways that are the same every time.
 * usage: TARGET ROUNDS FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "damage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { MOST = 1 << 16 };

/* From memory of exactly its size, so that a read past its end is seen by a sanitizer. */
static void run(const unsigned char *data, size_t bytes)
{
    unsigned char *exact = malloc(bytes ? bytes : 1);
    if (!exact) abort();
    memcpy(exact, data, bytes);
    LLVMFuzzerTestOneInput(exact, bytes);
    free(exact);
}

static void replay(const char *path, int rounds)
{
    static unsigned char good[MOST], bad[MOST];
    FILE *file = fopen(path, "rb");
    size_t bytes = file ? fread(good, 1, MOST, file) : 0;
    if (file) fclose(file);
    run(good, bytes);
    for (int i = 0; i < rounds; i++) {
        memcpy(bad, good, bytes);
        run(bad, damage(bad, bytes));
    }
}

int main(int argc, char **argv)
{
    int files = 0;
    for (int i = 2; i < argc; i++) {
        struct dirent **entries;
        int n = scandir(argv[i], &entries, NULL, alphasort); /* the order of the folder is any */
        for (int k = 0; k < n; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[k]->d_name);
            if (entries[k]->d_type == DT_REG) {
                replay(path, atoi(argv[1]));
                files++;
            }
            free(entries[k]);
        }
        if (n >= 0) free(entries);
    }
    printf("%d files, each damaged %d times\n", files, argc > 1 ? atoi(argv[1]) : 0);
    return files ? 0 : 1;
}

/* A command line, one word a line: parsed for every command, or refused with one line. */
#include "fuzz_file.h"

#include "cli/commands.h"
#include "cli/options.h"

enum { MOST = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (const cp_command *command = cp_commands; command->name; command++) {
        char *text = malloc(bytes + 1), *words[MOST + 1] = {NULL};
        int n = 0;
        require(text != NULL, "memory");
        memcpy(text, data, bytes);
        text[bytes] = 0;
        for (char *at = text, *word; n < MOST && (word = strsep(&at, "\n"));) words[n++] = word;
        cp_options options;
        cp_status status = cp_options_parse(command, cp_commands, n, words, &options);
        require_reason(status);
        require(status || (options.n_arguments >= 0 && options.n_arguments <= n), "arguments");
        free(text);
    }
    return 0;
}

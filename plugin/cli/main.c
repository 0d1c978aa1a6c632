#define _GNU_SOURCE
/* `darknet critpath <command> ...`, or `critpath <command> ...` where the executable has that name: finds the command,
 * parses its options, runs it, and turns the status into the exit code and one line on stderr. */
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/help.h"
#include "cli/manual.h"
#include "cli/omp_wait.h"
#include "eval/attribution.h"
#include "io/atomic.h"
#include "io/error.h"
#include "io/image.h"
#include "io/progress.h"
#include "io/suggest.h"
#include "model/cfg.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

int run_critpath(int argc, char **argv);

static cp_status refuse_command(const char *name)
{
    const char *names[64];
    int n = 0;
    for (const cp_command *command = cp_commands; command->name; command++)
        names[n++] = command->name;
    const char *near = cp_nearest_name(name, names, n);
    if (near)
        return cp_fail(CP_EINPUT, "unknown command \"%.60s\"; did you mean %s?", name, near);
    return cp_fail(CP_EINPUT, "unknown command \"%.60s\"; `%s help` lists them", name, cp_program());
}

/* Whether -method or -methods of the command takes the word; of `eval` and its kin maps. */
static bool takes_method(const cp_command *command, const char *word)
{
    bool maps = cp_command_takes(command, "methods") && cp_command_takes(command, "layer");
    return cp_command_has_methods(command) && (cp_method_known(command, word) || (maps && cp_attribution_find(word)));
}

/* Help of a command, or of one of its methods where a word names one; of `grad`'s where only that has it. */
static cp_status show_help(const cp_command *command, int n_words, char **words)
{
    const cp_command *grad = cp_command_find("grad");
    for (int i = 0; i < n_words; i++) {
        bool own = takes_method(command, words[i]);
        if (!own && !(cp_command_has_methods(command) && cp_method_known(grad, words[i])))
            continue;
        if (!own)
            printf("%s has no method %s; grad has:\n\n", command->name, words[i]);
        cp_help_method(own ? command : grad, words[i], stdout);
        return CP_OK;
    }
    cp_help_command(command, stdout);
    return CP_OK;
}

/* What is no command on a network: help, version, manual, completion. `argv[0]` is the word. */
static bool is_about_program(const char *word)
{
    static const char *const words[] = {"help", "h", "version", "manual", "completion"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(word + (i < 3 ? strspn(word, "-") : 0), words[i]))
            return true;
    return false;
}

static cp_status about_program(int argc, char **argv)
{
    const char *word = argv[0] + strspn(argv[0], "-");
    if (!strcmp(word, "version")) {
        printf("critpath %s\n", CP_VERSION);
        return CP_OK;
    }
    if (!strcmp(word, "manual")) {
        cp_manual_write(cp_commands, stdout);
        return CP_OK;
    }
    if (!strcmp(word, "completion"))
        return cp_completion_write(argc > 1 ? argv[1] : "", cp_commands, stdout);
    if (argc < 2) {
        cp_help_program(cp_commands, stdout);
        return CP_OK;
    }
    const cp_command *command = cp_command_find(argv[1]);
    return command ? show_help(command, argc - 2, argv + 2) : refuse_command(argv[1]);
}

static cp_status run(int argc, char **argv)
{
    char *help[] = {"help"};
    cp_options options;
    if (argc < 1)
        return about_program(1, help);
    const cp_command *command = cp_command_find(argv[0]);
    if (!command)
        return is_about_program(argv[0]) ? about_program(argc, argv) : refuse_command(argv[0]);
    cp_status status = cp_options_parse(command, cp_commands, argc - 1, argv + 1, &options);
    if (!status && options.help)
        return show_help(command, options.n_arguments, options.arguments);
    if (status)
        return status;
    if (options.quiet)
        cp_set_notice(NULL);
    cp_set_lineage((cp_lineage)options.host);
    cp_picture_obey_orientation(options.exif);
    cp_cfg_set_lenient(options.keys == CP_KEYS_LENIENT);
    return command->run(command, &options);
}

static void end_without_memory(void)
{
    static const char line[] = "critpath: out of memory in a library\n";
    fflush(stdout);
    if (write(STDERR_FILENO, line, sizeof line - 1) < 0) _exit(CP_ERESOURCE);
    _exit(CP_ERESOURCE);
}

/* oneDNN is written in C++, whose operator new throws through our frames, which ends in abort(). The runtime calls a handler
 * before: std::set_new_handler, by its name in every ABI of g++. */
static void end_where_cpp_has_no_memory(void)
{
    void *(*set_handler)(void (*)(void)) = NULL;
    *(void **)&set_handler = dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");
    if (set_handler) set_handler(end_without_memory);
}

static void print_notice(const char *line) { fprintf(cp_stderr(), "critpath: %s\n", line); }

/* Darknet's main has taken its own -i and -nogpu out and left NULLs at the end. */
int run_critpath(int argc, char **argv)
{
    while (argc > 0 && !argv[argc - 1])
        argc--;
    cp_set_program(argv[0]);
    cp_start_with_quiet_threads();
    end_where_cpp_has_no_memory();
    cp_file_clean_on_signal();
    cp_set_notice(print_notice);
    cp_status status = cp_host_device() >= 0 ? cp_set_device(cp_host_device()) : CP_OK;
    if (!status)
        status = run(argc - 2, argv + 2);
    if ((fflush(stdout) || ferror(stdout)) && !status)
        status = cp_fail(CP_ERESOURCE, "stdout: cannot be written: %s", strerror(errno));
    if (status && *cp_error())
        fprintf(cp_stderr(), "critpath: %s\n", cp_error());
    return (int)status;
}

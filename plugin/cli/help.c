#include "cli/help.h"
#include "eval/attribution.h"

#include <string.h>

enum { MEANING_COLUMN = 24, LINE = 118 };

/* Prints text from `column` on, broken at spaces; `end` closes each line but the last. */
static void print_wrapped(FILE *to, int column, const char *text, const char *end)
{
    int room = LINE - column - (int)strlen(end);
    while (*text) {
        int length = (int)strlen(text);
        if (length > room) {
            for (length = room; length > 0 && text[length] != ' ';)
                length--;
            if (!length)
                length = room;
        }
        fprintf(to, "%.*s", length, text);
        text += length;
        text += strspn(text, " ");
        fprintf(to, "%s\n", *text ? end : "");
        if (*text)
            fprintf(to, "%*s", column, "");
    }
}

/* A term, such as an option, with its meaning beside it, or below where the term is long. */
static void print_term(FILE *to, const char *term, const char *meaning)
{
    if (strlen(term) >= MEANING_COLUMN)
        fprintf(to, "%s\n%*s", term, MEANING_COLUMN, "");
    else
        fprintf(to, "%-*s", MEANING_COLUMN, term);
    print_wrapped(to, MEANING_COLUMN, meaning, "");
}

const char *cp_option_describe(const cp_option *option, char *text)
{
    size_t used;
    snprintf(text, CP_MEANING_MAX, "%s", option->meaning);
    if (option->detail)
        option->detail(text, CP_MEANING_MAX);
    for (used = strlen(text); used && strchr(" .", text[used - 1]);)
        text[--used] = 0;
    if (option->required)
        snprintf(text + used, CP_MEANING_MAX - used, " (needed)");
    else if (option->otherwise || option->initial)
        snprintf(text + used, CP_MEANING_MAX - used, " (default %s)",
                 option->otherwise ? option->otherwise : option->initial);
    return text;
}

bool cp_command_has_methods(const cp_command *command)
{
    return cp_command_takes(command, "method") || cp_command_takes(command, "methods");
}

/* The command's example, over several lines that a shell takes as one. */
static void print_example(const cp_command *command, FILE *to)
{
    char example[700];
    snprintf(example, sizeof example, "%s %s %s", cp_program(), command->name, command->example);
    fprintf(to, "example: ");
    print_wrapped(to, (int)strlen("example: "), example, " \\");
}

static void print_option(const cp_command *command, const cp_option *option, FILE *to)
{
    char values[512], term[600], meaning[CP_MEANING_MAX];
    cp_option_values(command, option, values, sizeof values);
    bool named = option->kind == CP_OPTION_METHOD && option->value; /* where the methods are too many for a line */
    const char *value = *values && !named ? values : option->value;
    snprintf(term, sizeof term, "  -%s%s%s", option->name, value ? " " : "", value ? value : "");
    print_term(to, term, cp_option_describe(option, meaning));
}

/* Whether help of the command shows the option in that group. One that belongs to some methods is shown with these. */
static bool in_group(const cp_command *command, const cp_option *option, cp_option_group group)
{
    return cp_command_takes(command, option->name) && option->group == group &&
           !(option->methods && cp_command_has_methods(command));
}

static void print_groups(const cp_command *command, FILE *to)
{
    for (int group = 0; group < CP_OPTION_GROUPS; group++) {
        bool titled = false;
        for (int i = 0; i < cp_option_count; i++) {
            cp_option option = cp_option_in(command, &cp_option_table[i]);
            if (!in_group(command, &option, (cp_option_group)group))
                continue;
            if (!titled)
                fprintf(to, "\n%s\n", cp_group_titles[group]);
            titled = true;
            print_option(command, &option, to);
        }
    }
}

/* "-steps, -tol", the options of the command that belong to the method; their count. */
static int list_method_options(const cp_command *command, const char *method, char *text, size_t size)
{
    int n = 0;
    *text = 0;
    for (int i = 0; i < cp_option_count; i++) {
        cp_option option = cp_option_in(command, &cp_option_table[i]);
        size_t used = strlen(text);
        if (cp_command_takes(command, option.name) && cp_has_word(option.methods, method))
            snprintf(text + used, size - used, "%s-%s", n++ ? ", " : "", option.name);
    }
    return n;
}

/* One row of help; the options that belong to the method stand behind its meaning. */
static void print_method(const cp_command *command, const char *name, const char *text, FILE *to)
{
    char term[64], options[300], meaning[CP_MEANING_MAX];
    int n = list_method_options(command, name, options, sizeof options);
    snprintf(term, sizeof term, "  %s", name);
    snprintf(meaning, sizeof meaning, "%s%s%s%s", text, n ? " (" : "", options, n ? ")" : "");
    print_term(to, term, meaning);
}

static void print_maps(const cp_command *command, FILE *to)
{
    fprintf(to, "\nmethods that are maps of their own, one plane; a path is NeuronMCT's\n");
    for (const cp_attribution *map = cp_attributions; map->name; map++)
        if (!cp_method_text_find(map->name))
            print_method(command, map->name, map->meaning, to);
}

static void print_methods(const cp_command *command, FILE *to)
{
    fprintf(to, "\nmethods; `%s %s -h METHOD` explains the options of one\n", cp_program(), command->name);
    for (const cp_method_text *method = cp_method_texts; method->name; method++)
        if (cp_method_known(command, method->name))
            print_method(command, method->name, method->meaning, to);
    if (command->plain)
        print_maps(command, to);
}

static void print_note(const char *text, FILE *to)
{
    fputc('\n', to);
    print_wrapped(to, 0, text, "");
}

void cp_help_command(const cp_command *command, FILE *to)
{
    fprintf(to, "usage: %s %s %s [-options]\n%s\n", cp_program(), command->name, command->arguments, command->meaning);
    print_groups(command, to);
    if (cp_command_has_methods(command))
        print_methods(command, to);
    if (command->notes)
        print_note(command->notes, to);
    fputc('\n', to);
    print_example(command, to);
}

void cp_help_method(const cp_command *command, const char *method, FILE *to)
{
    const cp_method_text *row = cp_method_text_find(method);
    const cp_attribution *map = cp_attribution_find(method);
    char options[300];
    fprintf(to, "usage: %s %s %s -%s %s [-options]\n", cp_program(), command->name, command->arguments,
            cp_command_takes(command, "method") ? "method" : "methods", method);
    print_wrapped(to, 0, row ? row->meaning : map ? map->meaning : "", "");
    if (!list_method_options(command, method, options, sizeof options)) {
        fprintf(to, "\n%s has no options of its own\n", method);
        return;
    }
    fprintf(to, "\noptions of %s\n", method);
    for (int i = 0; i < cp_option_count; i++) {
        cp_option option = cp_option_in(command, &cp_option_table[i]);
        if (cp_command_takes(command, option.name) && cp_has_word(option.methods, method))
            print_option(command, &option, to);
    }
}

void cp_help_program(const cp_command *commands, FILE *to)
{
    fprintf(to, "critpath %s: why a network answered as it did\n"
                "usage: %s <command> [data|names] <cfg> <weights> [image ...] [-options]\n\ncommands\n",
            CP_VERSION, cp_program());
    for (const cp_command *command = commands; command->name; command++)
        fprintf(to, "  %-9s %s\n", command->name, command->meaning);
    fprintf(to,
            "\nOptions may stand anywhere; `%s <command> -h` shows a command's. `version` prints the version,\n"
            "`manual` the manual page, `completion bash` and `completion zsh` what these shells complete with.\n"
            "Exit: 0 done, 1 a fault of ours, 2 bad input or usage, 3 out of memory, disk or time.\n", cp_program());
    print_example(commands, to);
}

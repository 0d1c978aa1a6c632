#include "cli/manual.h"
#include "cli/help.h"

#include <string.h>

/* Text as troff takes it: hyphens that can be copied, no line that looks like a request. */
static void print_text(FILE *to, const char *text)
{
    bool begins = true;
    for (const char *at = text; *at; at++) {
        if (begins && (*at == '.' || *at == '\''))
            fputs("\\&", to);
        begins = *at == '\n';
        if (*at == '\\')
            fputs("\\e", to);
        else if (*at == '-')
            fputs("\\-", to);
        else
            fputc(*at, to);
    }
}

/* Consecutive lines of `text`; one that ends a sentence ends a line of the source. */
static void print_paragraph(FILE *to, const char *text)
{
    print_text(to, text);
    fputc('\n', to);
}

static void print_heading(FILE *to, const char *macro, const char *text)
{
    fprintf(to, "%s \"", macro);
    print_text(to, text);
    fprintf(to, "\"\n");
}

/* ", 0 to below 1"; "" where the values are listed, or where there is no range. */
static const char *range_text(const cp_option *option, char *text, size_t size)
{
    bool ranged = option->kind == CP_OPTION_INT || option->kind == CP_OPTION_REAL || option->kind == CP_OPTION_LIST;
    *text = 0;
    if (ranged && !(option->kind == CP_OPTION_INT && option->min == 0 && option->max == 1))
        snprintf(text, size, "; %.10g to %s%.10g", option->min, option->below_max ? "below " : "", option->max);
    return text;
}

static void print_option(const cp_command *command, const cp_option *option, FILE *to)
{
    char values[512], meaning[CP_MEANING_MAX], range[80];
    cp_option_values(command, option, values, sizeof values);
    bool named = option->kind == CP_OPTION_METHOD && option->value; /* where the methods are too many for a line */
    const char *value = *values && !named ? values : option->value;
    fprintf(to, ".TP\n\\fB");
    print_text(to, "-");
    print_text(to, option->name);
    fprintf(to, "\\fR");
    if (value) {
        fprintf(to, " \\fI");
        print_text(to, value);
        fprintf(to, "\\fR");
    }
    fputc('\n', to);
    print_text(to, cp_option_describe(option, meaning));
    print_text(to, range_text(option, range, sizeof range));
    print_paragraph(to, ".");
}

/* "Of explain, path." The commands that take the option; nothing where all do. */
static void print_takers(const cp_command *commands, const char *option, FILE *to)
{
    int takers = 0, all = 0;
    for (const cp_command *command = commands; command->name; command++, all++)
        takers += cp_command_takes(command, option);
    if (takers == all)
        return;
    fprintf(to, ".br\nOf \\fB");
    for (const cp_command *command = commands; command->name; command++)
        if (cp_command_takes(command, option))
            fprintf(to, "%s%s", command->name, --takers ? ", " : "");
    fprintf(to, "\\fR.\n");
}

static void print_command(const cp_command *command, FILE *to)
{
    print_heading(to, ".SS", command->name);
    fprintf(to, "\\fBcritpath %s\\fR ", command->name);
    print_paragraph(to, command->arguments);
    fprintf(to, ".br\n");
    print_paragraph(to, command->meaning);
    if (command->notes) {
        fprintf(to, ".PP\n");
        print_paragraph(to, command->notes);
    }
    for (const cp_option_change *change = command->changes; change && change->option; change++) {
        cp_option option = cp_option_in(command, cp_option_find(change->option));
        print_option(command, &option, to);
    }
    fprintf(to, ".PP\nExample:\n.RS 4\n.nh\n.na\ncritpath %s ", command->name);
    print_paragraph(to, command->example);
    fprintf(to, ".ad\n.hy\n.RE\n");
}

/* The first command that takes the option says how it is there. */
static const cp_command *first_taker(const cp_command *commands, const char *option)
{
    while (commands->name && !cp_command_takes(commands, option))
        commands++;
    return commands;
}

static void print_options(const cp_command *commands, cp_option_group group, FILE *to)
{
    print_heading(to, ".SS", cp_group_titles[group]);
    for (int i = 0; i < cp_option_count; i++) {
        const cp_option *option = &cp_option_table[i];
        const cp_command *taker = first_taker(commands, option->name);
        if (option->group != group || !taker->name)
            continue;
        print_option(taker, option, to);
        print_takers(commands, option->name, to);
        if (option->methods) {
            fprintf(to, ".br\nFor the method \\fB");
            print_text(to, option->methods);
            fprintf(to, "\\fR.\n");
        }
    }
}

static void print_methods(FILE *to)
{
    fprintf(to, ".SH METHODS\n");
    for (const cp_method_text *method = cp_method_texts; method->name; method++) {
        fprintf(to, ".TP\n\\fB");
        print_text(to, method->name);
        fprintf(to, "\\fR\n");
        print_paragraph(to, method->meaning);
    }
}

static void print_end(FILE *to)
{
    fprintf(
        to,
        ".SH EXIT STATUS\n"
        "0: done. 1: a fault of the program. 2: bad input or usage. 3: out of memory, disk or time.\n"
        ".SH FILES\n"
        "The examples run in a copy of the folder \\fIshare/critpath\\fR of the installation, in this order.\n"
        ".SH ENVIRONMENT\n"
        ".TP\n\\fBCRITPATH\\fR\n"
        "what \\fBdarknet classifier train\\fR and \\fBdarknet detector train\\fR record, as in their option "
        "\\-critpath.\n"
        ".SH NOTES\n"
        "An executable named \\fBcritpath\\fR runs the verb \\fBcritpath\\fR of Darknet. It is the same program as\n"
        "\\fBdarknet\\-critpath\\fR, the whole of Darknet with this verb: \\fBdarknet\\-critpath critpath explain\\fR "
        "is\n\\fBcritpath explain\\fR, and \\fBdarknet\\-critpath detector train\\fR trains. Where this page says "
        "\\fBdarknet\\fR,\nan installation has \\fBdarknet\\-critpath\\fR.\n");
}

void cp_manual_write(const cp_command *commands, FILE *to)
{
    fprintf(
        to,
        ".\\\" Written by `critpath manual`.\n.TH CRITPATH 1 \"\" \"critpath %s\" \"User Commands\"\n"
        ".SH NAME\ncritpath \\- explain the predictions of Darknet networks\n"
        ".SH SYNOPSIS\n"
        "\\fBcritpath\\fR \\fIcommand\\fR [\\fIdata\\fR] \\fIcfg\\fR \\fIweights\\fR [\\fIimage\\fR ...] "
        "[\\fIoptions\\fR]\n.br\n"
        "\\fBcritpath help\\fR [\\fIcommand\\fR [\\fImethod\\fR]] | \\fBversion\\fR | \\fBmanual\\fR | "
        "\\fBcompletion bash\\fR|\\fBzsh\\fR\n"
        ".SH DESCRIPTION\n"
        "Tells why a network of Darknet (a classifier such as VGG or ResNet, or a YOLO detector) answered as it did:\n"
        "which few neurons carried the answer, the critical path, and which pixels those neurons read, the pathway\n"
        "gradient. Options have one dash and stand anywhere; a prefix that fits one option is enough.\n"
        ".SH COMMANDS\n",
        CP_VERSION);
    for (const cp_command *command = commands; command->name; command++)
        print_command(command, to);
    fprintf(to, ".SH OPTIONS\nWhere a command above lists an option of its own, that holds there.\n");
    for (int group = 0; group < CP_OPTION_GROUPS; group++)
        print_options(commands, (cp_option_group)group, to);
    print_methods(to);
    print_end(to);
}

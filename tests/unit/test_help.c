/* Help, manual page and completions: what the tables say, and no more. */
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/help.h"
#include "cli/manual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *written(void (*write)(const cp_command *command, FILE *to), const cp_command *command)
{
    static char *text = NULL;
    static size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    write(command, to);
    fclose(to);
    return text;
}

/* Whether a line of help begins with the option. */
static bool lists(const char *text, const char *option)
{
    char begin[64];
    int length = snprintf(begin, sizeof begin, "\n  -%s", option);
    const char *at = strstr(text, begin);
    while (at && at[length] != ' ' && at[length] != '\n')
        at = strstr(at + 1, begin);
    return at != NULL;
}

static void narrow_lines(const char *text)
{
    for (const char *line = text; *line;
         line += line[strcspn(line, "\n")] ? strcspn(line, "\n") + 1 : strcspn(line, "\n"))
        assert_true(strcspn(line, "\n") <= 120);
}

/* An option stands in the command's help, or, of one method, in that method's; never in both, nor where it is not
 * taken. */
static void options_stand_once(void **state)
{
    (void)state;
    for (const cp_command *command = cp_commands; command->name; command++) {
        char *help = written(cp_help_command, command);
        narrow_lines(help);
        for (int i = 0; i < cp_option_count; i++) {
            cp_option option = cp_option_in(command, &cp_option_table[i]);
            bool taken = cp_command_takes(command, option.name);
            bool of_method = option.methods && cp_command_has_methods(command);
            assert_int_equal(lists(help, option.name), taken && !of_method);
            for (const cp_method_text *method = cp_method_texts; method->name; method++) {
                char *text = NULL;
                size_t bytes = 0;
                FILE *to = open_memstream(&text, &bytes);
                cp_help_method(command, method->name, to);
                fclose(to);
                assert_int_equal(lists(text, option.name), taken && cp_has_word(option.methods, method->name));
                free(text);
            }
        }
        assert_non_null(strstr(help, "\nexample: darknet critpath "));
        free(help);
    }
}

static void defaults_are_the_commands(void **state)
{
    (void)state;
    char *score = written(cp_help_command, cp_command_find("score"));
    char *prune = written(cp_help_command, cp_command_find("prune"));
    char *insert = written(cp_help_command, cp_command_find("insert"));
    assert_false(lists(score, "sparsity"));
    assert_non_null(strstr(prune, "the smaller network (needed)\n"));
    assert_non_null(strstr(insert, "-out CFG              the cfg to write (needed)\n"));
    assert_null(strstr(prune, "STEM"));
    assert_null(strstr(insert, "STEM"));
    free(score);
    free(prune);
    free(insert);
}

/* The numbers of DGR's settings in its help are those it runs with. */
static void presets_are_told(void **state)
{
    (void)state;
    char expected[200], *text = NULL, flat[4000] = "";
    size_t bytes = 0, used = 0;
    cp_dgr_options wang = cp_dgr_defaults(CP_DGR_WANG);
    FILE *to = open_memstream(&text, &bytes);
    cp_help_method(cp_command_find("explain"), "dgr", to);
    fclose(to);
    for (const char *at = text; *at && used + 1 < sizeof flat; at++) /* as one line */
        if ((*at != ' ' && *at != '\n') || (used && flat[used - 1] != ' '))
            flat[used++] = *at == '\n' ? ' ' : *at;
    snprintf(expected, sizeof expected,
             "wang: a gate per channel, %d steps, rate %g, gamma %g, gates up to %g (default code)", wang.steps,
             wang.rate, wang.gamma, wang.clamp);
    assert_non_null(strstr(flat, expected));
    free(text);
}

/* Whether an entry of the manual has that name in bold, its hyphens such as troff wants them. */
static bool in_manual(const char *text, const char *dash, const char *name)
{
    char entry[100] = ".TP\n\\fB", *to = entry + strlen(entry);
    for (const char *part = *dash ? dash : name; *part; part = part == dash ? name : part + 1)
        to += sprintf(to, *part == '-' ? "\\-" : "%c", *part);
    strcpy(to, "\\fR");
    return strstr(text, entry) != NULL;
}

/* Every command, option and method is in the manual, hyphens as troff wants them. */
static void manual_has_all(void **state)
{
    (void)state;
    char *text = written(cp_manual_write, cp_commands), name[100];
    for (const cp_command *command = cp_commands; command->name; command++) {
        snprintf(name, sizeof name, "\n.SS \"%s\"\n", command->name);
        assert_non_null(strstr(text, name));
    }
    for (int i = 0; i < cp_option_count; i++)
        assert_true(in_manual(text, "-", cp_option_table[i].name));
    const char *methods = strstr(text, ".SH METHODS");
    assert_non_null(methods);
    for (const cp_method_text *method = cp_method_texts; method->name; method++)
        assert_true(in_manual(methods, "", method->name));
    free(text);
}

static void completions_know_shells(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_int_equal(cp_completion_write("bash", cp_commands, to), CP_OK);
    assert_int_equal(cp_completion_write("zsh", cp_commands, to), CP_OK);
    assert_int_equal(cp_completion_write("fish", cp_commands, to), CP_EINPUT);
    fclose(to);
    assert_non_null(strstr(text, "-offpath|--offpath) values='frozen zeroed kept' ;;"));
    assert_non_null(strstr(text, ":offpath:(frozen zeroed kept)' \\"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_once),    cmocka_unit_test(defaults_are_the_commands),
        cmocka_unit_test(presets_are_told),      cmocka_unit_test(manual_has_all),
        cmocka_unit_test(completions_know_shells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "cli/completion.h"
#include "cli/help.h"
#include "io/error.h"

#include <string.h>

/* "a|b|c" with spaces between. */
static const char *spaced_values(const cp_command *command, const cp_option *option, char *text, size_t size)
{
    cp_option_values(command, option, text, size);
    for (char *at = text; *at; at++)
        if (*at == '|')
            *at = ' ';
    return text;
}

/* ---------------------------------------------------------------- bash */

static void print_bash_options(const cp_command *command, FILE *to)
{
    char values[512];
    fprintf(to, "    %s)\n        options='", command->name);
    for (int i = 0; i < cp_option_count; i++)
        if (cp_command_takes(command, cp_option_table[i].name))
            fprintf(to, "-%s ", cp_option_table[i].name);
    fprintf(to, "'\n        case $previous in\n");
    for (int i = 0; i < cp_option_count; i++) {
        const cp_option *option = &cp_option_table[i];
        if (!cp_command_takes(command, option->name) || option->kind == CP_OPTION_FLAG)
            continue;
        spaced_values(command, option, values, sizeof values);
        bool file = option->kind == CP_OPTION_FILE || !strcmp(option->name, "out");
        if (*values)
            fprintf(to, "        -%s|--%s) values='%s' ;;\n", option->name, option->name, values);
        else if (!file)
            fprintf(to, "        -%s|--%s) return ;;\n", option->name, option->name);
        else
            fprintf(to, "        -%s|--%s) options= ;;\n", option->name, option->name);
    }
    fprintf(to, "        esac ;;\n");
}

static void write_bash(const cp_command *commands, FILE *to)
{
    fprintf(to, "# Completion of critpath for bash; written by `critpath completion bash`.\n"
                "_critpath()\n{\n"
                "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} first=1 options= "
                "values= line\n"
                "    COMPREPLY=()\n"
                "    if [[ ${COMP_WORDS[0]##*/} != critpath ]]; then # Darknet, whose verb comes first\n"
                "        first=2\n"
                "        if ((COMP_CWORD == 1)); then\n"
                "            COMPREPLY=($(compgen -W critpath -- \"$current\"))\n"
                "            return\n"
                "        fi\n"
                "        if [[ ${COMP_WORDS[1]} != critpath ]]; then\n"
                "            compopt -o default 2>/dev/null\n"
                "            return\n"
                "        fi\n"
                "    fi\n"
                "    if ((COMP_CWORD == first)); then\n"
                "        COMPREPLY=($(compgen -W 'help version manual completion");
    for (const cp_command *command = commands; command->name; command++)
        fprintf(to, " %s", command->name);
    fprintf(to, "' -- \"$current\"))\n        return\n    fi\n    case ${COMP_WORDS[first]} in\n"
                "    completion) values='bash zsh' ;;\n"
                "    help)\n        values='");
    for (const cp_command *command = commands; command->name; command++)
        fprintf(to, "%s%s", command == commands ? "" : " ", command->name);
    fprintf(to, "' ;;\n");
    for (const cp_command *command = commands; command->name; command++)
        print_bash_options(command, to);
    fprintf(to, "    esac\n"
                "    if [[ -n $values ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$values\" -- \"$current\"))\n"
                "    elif [[ $current == -* && -n $options ]]; then\n"
                "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
                "    else\n"
                "        while IFS= read -r line; do COMPREPLY+=(\"$line\"); done < <(compgen -f -- \"$current\")\n"
                "        compopt -o filenames 2>/dev/null\n"
                "    fi\n"
                "}\n"
                "complete -F _critpath critpath darknet-critpath\n");
}

/* ---------------------------------------------------------------- zsh */

/* A description in the brackets of a specification within single quotes. */
static void print_zsh_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\'", to);
        else if (strchr("[]:\\", *text))
            fputc('\\', to);
        fputc(*text, to);
    }
}

static void print_zsh_option(const cp_command *command, const cp_option *option, FILE *to)
{
    char values[512];
    fprintf(to, "            '-%s[", option->name);
    print_zsh_text(to, option->meaning);
    fprintf(to, "]");
    spaced_values(command, option, values, sizeof values);
    if (option->kind != CP_OPTION_FLAG)
        fprintf(to, ":%s:", option->name);
    if (*values)
        fprintf(to, "(%s)", values);
    else if (option->kind == CP_OPTION_FILE || !strcmp(option->name, "out"))
        fprintf(to, "_files");
    else if (option->kind != CP_OPTION_FLAG)
        fprintf(to, " ");
    fprintf(to, "' \\\n");
}

static void write_zsh(const cp_command *commands, FILE *to)
{
    fprintf(to, "#compdef critpath darknet-critpath\n"
                "# Completion of critpath for zsh; written by `critpath completion zsh`.\n"
                "_critpath()\n{\n"
                "    local -a commands\n"
                "    commands=(\n");
    for (const cp_command *command = commands; command->name; command++) {
        fprintf(to, "        '%s:", command->name);
        print_zsh_text(to, command->meaning);
        fprintf(to, "'\n");
    }
    fprintf(to, "        'help:help of the program or of a command' 'version:the version'\n"
                "        'manual:the manual page' 'completion:what a shell completes with'\n    )\n"
                "    if [[ ${words[1]:t} != critpath ]]; then # Darknet, whose verb comes first\n"
                "        if ((CURRENT == 2)); then\n            compadd critpath\n            return\n        fi\n"
                "        if [[ $words[2] != critpath ]]; then\n            _files\n            return\n        fi\n"
                "        shift words\n        ((CURRENT--))\n    fi\n"
                "    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n"
                "    local command=$words[2]\n    shift words\n    ((CURRENT--))\n"
                "    case $command in\n"
                "    help) ((CURRENT == 2)) && _describe command commands ;;\n"
                "    completion) ((CURRENT == 2)) && compadd bash zsh ;;\n");
    for (const cp_command *command = commands; command->name; command++) {
        fprintf(to, "    %s)\n        _arguments \\\n", command->name);
        for (int i = 0; i < cp_option_count; i++) {
            cp_option option = cp_option_in(command, &cp_option_table[i]);
            if (cp_command_takes(command, option.name))
                print_zsh_option(command, &option, to);
        }
        fprintf(to, "            '*:file:_files' ;;\n");
    }
    fprintf(to, "    esac\n}\n"
                "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    _critpath \"$@\"\nelse\n"
                "    compdef _critpath critpath darknet-critpath\nfi\n");
}

cp_status cp_completion_write(const char *shell, const cp_command *commands, FILE *to)
{
    if (!strcmp(shell, "bash"))
        write_bash(commands, to);
    else if (!strcmp(shell, "zsh"))
        write_zsh(commands, to);
    else
        return cp_fail(CP_EINPUT, "completion: \"%.40s\" is no shell that there is a script for; allowed is bash|zsh",
                       shell);
    return CP_OK;
}

#include "cli/options.h"
#include "io/error.h"
#include "io/file.h"
#include "io/suggest.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 128, MAX_NAME = 48 };

static const char *program = "darknet critpath";

void cp_set_program(const char *argv0)
{
    const char *slash = argv0 ? strrchr(argv0, '/') : NULL, *name = slash ? slash + 1 : argv0 ? argv0 : "";
    program = !strcmp(name, "critpath") ? "critpath" : "darknet critpath";
}

const char *cp_program(void) { return program; }

/* ---------------------------------------------------------------- values */

cp_status cp_parse_int(const char *what, const char *text, long long min, long long max, long long *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text))
        return cp_fail(CP_EINPUT, "%s: \"%.40s\" is not a whole number", what, text);
    if (errno || number < min || number > max)
        return cp_fail(CP_EINPUT, "%s: %.40s is out of range, allowed is %lld to %lld", what, text, min, max);
    *value = number;
    return CP_OK;
}

/* A decimal number in the option's range; "nan", "inf" and hexadecimal are refused. */
static cp_status parse_real(const cp_option *option, const char *text, size_t length, double *value)
{
    char copy[MAX_NAME], *end;
    if (length == 0 || length >= sizeof copy || strspn(text, "0123456789.eE+-") < length)
        return cp_fail(CP_EINPUT, "-%s: \"%.*s\" is not a number", option->name, length < 40 ? (int)length : 40, text);
    memcpy(copy, text, length);
    copy[length] = 0;
    double number = strtod(copy, &end);
    if (*end || end == copy)
        return cp_fail(CP_EINPUT, "-%s: \"%s\" is not a number", option->name, copy);
    if (!(number >= option->min && (option->below_max ? number < option->max : number <= option->max)))
        return cp_fail(CP_EINPUT, "-%s: %s is out of range, allowed is %g to %s%g", option->name, copy, option->min,
                       option->below_max ? "below " : "", option->max);
    *value = number;
    return CP_OK;
}

/* The number as a file name shows it: ".9" becomes "0.9"; spelling is kept otherwise. */
static void name_number(const char *text, size_t length, char *out, size_t size)
{
    snprintf(out, size, "%s%.*s", *text == '.' ? "0" : "", (int)length, text);
}

enum { LONGEST = 24 }; /* characters of a number: a double with all its digits */

static cp_status parse_list(const cp_option *option, const char *text, cp_number_list *list)
{
    list->n = 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        if (list->n == CP_MAX_SPARSITIES)
            return cp_fail(CP_EINPUT, "-%s: the list has more than %d numbers", option->name, CP_MAX_SPARSITIES);
        bool is_auto = length == 4 && !strncmp(at, "auto", 4) && option->value && !strncmp(option->value, "auto", 4);
        if (length > LONGEST)
            return cp_fail(CP_EINPUT, "-%s: \"%.40s\" is too long, a number has at most %d characters", option->name,
                           at, LONGEST);
        list->value[list->n] = NAN;
        cp_status status = is_auto ? CP_OK : parse_real(option, at, length, &list->value[list->n]);
        if (status)
            return status;
        for (int i = 0; i < list->n; i++)
            if (list->value[i] == list->value[list->n] || (is_auto && isnan(list->value[i])))
                return cp_fail(CP_EINPUT, "-%s: %.*s is in the list twice", option->name, (int)length, at);
        name_number(at, length, list->text[list->n], sizeof list->text[0]);
        list->n++;
        at += length;
        if (!*at)
            return CP_OK;
    }
}

cp_status cp_parse_size(const char *what, const char *text, size_t *bytes)
{
    static const char units[] = "KMGT";
    char *end;
    size_t digits = strspn(text, "0123456789.");
    double number = digits ? strtod(text, &end) : 0;
    if (!digits || end != text + digits)
        return cp_fail(CP_EINPUT, "%s: \"%.40s\" is not a size like 2G, 512M or 4096", what, text);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    double scale = unit ? ldexp(1, 10 * (int)(unit - units + 1)) : 1;
    end += unit != NULL;
    if (unit && (!strcasecmp(end, "B") || !strcasecmp(end, "iB")))
        end += strlen(end);
    if (*end)
        return cp_fail(CP_EINPUT, "%s: \"%.40s\" is not a size like 2G, 512M or 4096", what, text);
    if (number * scale < 1 || number * scale > ldexp(1, 50))
        return cp_fail(CP_EINPUT, "%s: %.40s is out of range, allowed is 1 byte to 1024T", what, text);
    *bytes = (size_t)(number * scale);
    return CP_OK;
}

/* The position of `text` among the values a|b|c, or the error that names them. */
static cp_status find_value(const cp_option *option, const char *values, const char *text, int *position)
{
    char words[512], hint[128] = "", *names[64], *rest = words;
    int n = 0;
    snprintf(words, sizeof words, "%s", values);
    while (n < 64 && (names[n] = strsep(&rest, "|")))
        n++;
    for (*position = 0; *position < n; ++*position)
        if (!strcmp(names[*position], text))
            return CP_OK;
    const char *near = n > 1 ? cp_nearest_name(text, (const char *const *)names, n) : NULL;
    if (near)
        snprintf(hint, sizeof hint, "; did you mean %s?", near);
    return cp_fail(CP_EINPUT, "-%s: unknown value \"%.40s\", allowed is %s%s", option->name, text, values, hint);
}

static cp_status parse_choice(const cp_command *command, const cp_option *option, const char *text, int *position)
{
    char values[512];
    return find_value(option, cp_option_values(command, option, values, sizeof values), text, position);
}

cp_status cp_parse_method(const cp_command *command, const char *option, const char *text)
{
    cp_option method = *cp_option_find("method");
    int position;
    method.name = option;
    return parse_choice(command, &method, text, &position);
}

cp_status cp_each_method(const cp_command *command, const char *option, const char *list,
                         cp_status (*take)(void *user, const char *method), void *user)
{
    for (const char *at = list;; at++) {
        char name[32];
        size_t length = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 31 ? length : 31), at);
        cp_status status = cp_parse_method(command, option, name);
        if (!status)
            status = take(user, name);
        at += length;
        if (status || !*at)
            return status;
    }
}

static cp_status set_option(const cp_command *command, const cp_option *option, const char *text, cp_options *options)
{
    void *field = (char *)options + option->offset;
    char what[MAX_NAME];
    long long number;
    cp_status status;
    snprintf(what, sizeof what, "-%s", option->name);
    switch (option->kind) {
    case CP_OPTION_FLAG:
        *(bool *)field = true;
        return CP_OK;
    case CP_OPTION_INT:
        status = cp_parse_int(what, text, (long long)option->min, (long long)option->max, &number);
        if (!status)
            *(int *)field = (int)number;
        return status;
    case CP_OPTION_REAL:
        return parse_real(option, text, strlen(text), field);
    case CP_OPTION_LIST:
        return parse_list(option, text, field);
    case CP_OPTION_SIZE:
        return cp_parse_size(what, text, field);
    case CP_OPTION_CHOICE:
        return parse_choice(command, option, text, field);
    case CP_OPTION_METHOD:
        *(const char **)field = text;
        return cp_parse_method(command, option->name, text);
    case CP_OPTION_TEXT:
    case CP_OPTION_FILE:
        if (!*text)
            return cp_fail(CP_EINPUT, "-%s: the value is empty", option->name);
        *(const char **)field = text;
        return CP_OK;
    }
    return cp_fail(CP_EINTERNAL, "option -%s has an unknown kind", option->name);
}

/* ---------------------------------------------------------------- parsing */

/* Explains an option that getopt did not take: it belongs to other commands, fits several, or is nobody's. */
static cp_status refuse_option(const cp_command *command, const cp_command *commands, const char *word)
{
    char name[MAX_NAME], others[256] = "";
    const char *known[MAX_OPTIONS], *bare = word + strspn(word, "-");
    int n = 0, fits = 0;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(bare, "="), bare);
    for (int i = 0; i < cp_option_count; i++)
        if (cp_command_takes(command, cp_option_table[i].name)) {
            known[n++] = cp_option_table[i].name;
            if (*name && !strncmp(cp_option_table[i].name, name, strlen(name))) {
                size_t used = strlen(others);
                snprintf(others + used, sizeof others - used, "%s-%s", fits++ ? ", " : "", cp_option_table[i].name);
            }
        }
    if (fits == 1 && bare[strcspn(bare, "=")])
        return cp_fail(CP_EINPUT, "%s: option %s takes no value, found \"%.60s\"", command->name, others, word);
    if (fits > 1)
        return cp_fail(CP_EINPUT, "%s: option \"%.40s\" fits several: %s", command->name, word, others);
    *others = 0;
    for (const cp_command *other = commands; other && other->name; other++)
        if (cp_command_takes(other, name)) {
            size_t used = strlen(others);
            snprintf(others + used, sizeof others - used, "%s%s", used ? ", " : "", other->name);
        }
    if (*others)
        return cp_fail(CP_EINPUT, "%s has no option -%s; it belongs to %s", command->name, name, others);
    const char *near = cp_nearest_name(name, known, n);
    if (near)
        return cp_fail(CP_EINPUT, "%s: unknown option \"%.60s\"; did you mean -%s?", command->name, word, near);
    return cp_fail(CP_EINPUT, "%s: unknown option \"%.60s\"; `%s %s -h` lists them", command->name, word,
                   cp_program(), command->name);
}

/* Methods among `chosen`, a name or a comma-separated list, that are in the space-separated `allowed`. */
static bool any_method(const char *chosen, const char *allowed)
{
    char word[MAX_NAME];
    for (const char *at = chosen; *at; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        if (cp_has_word(allowed, word))
            return true;
        at += length;
    }
    return false;
}

/* An option of another method than the chosen one would do nothing; that is an error of the user's. */
static cp_status check_methods(const cp_command *command, const bool *given, const cp_options *options)
{
    const char *chosen = cp_command_takes(command, "methods") ? options->methods : options->method;
    if (!chosen)
        chosen = CP_DEFAULT_METHODS;
    if (!cp_command_takes(command, "method") && !cp_command_takes(command, "methods"))
        return CP_OK;
    for (int i = 0; i < cp_option_count; i++) {
        cp_option option = cp_option_in(command, &cp_option_table[i]);
        if (!strcmp(option.name, "preset") && options->preset == CP_PRESET_PAPER)
            continue;
        if (given[i] && option.methods && !any_method(chosen, option.methods))
            return cp_fail(CP_EINPUT, "%s: -%s does nothing with method %.200s; it is of %s", command->name,
                           option.name, chosen, option.methods);
    }
    return CP_OK;
}

/* What -preset paper stands for, where the command has the option and the user did not give it. */
static cp_status set_paper(const cp_command *command, const bool *given, cp_options *options)
{
    static const char *const settings[][2] = {{"sparsity", ".9"}, {"map", "gradient"}, {"steps", "50"}};
    cp_status status = CP_OK;
    for (int i = 0; i < cp_option_count && !status && options->preset == CP_PRESET_PAPER; i++)
        for (size_t k = 0; k < sizeof settings / sizeof *settings && !status; k++) {
            cp_option option = cp_option_in(command, &cp_option_table[i]);
            if (strcmp(option.name, settings[k][0]) || given[i] || !cp_command_takes(command, option.name))
                continue;
            if (k == 0 && !strcmp(command->name, "faithful"))
                continue; /* there it names the sizes that are measured */
            if (!option.methods || !options->method || any_method(options->method, "intgrad"))
                status = set_option(command, &option, settings[k][1], options);
        }
    return status;
}

/* Nor does -mass where every sparsity is a number. */
static cp_status check_mass(const cp_command *command, const bool *given, const cp_options *options)
{
    const cp_number_list *list = &options->sparsity;
    bool mass = false, automatic = !list->n;
    for (int i = 0; i < list->n; i++)
        automatic |= isnan(list->value[i]);
    for (int i = 0; i < cp_option_count; i++)
        mass |= given[i] && !strcmp(cp_option_table[i].name, "mass");
    if (!mass || automatic || !cp_command_takes(command, "sparsity"))
        return CP_OK;
    return cp_fail(CP_EINPUT, "%s: -mass does nothing with -sparsity %s, a share of the neurons; it is of -sparsity auto",
                   command->name, list->text[0]);
}

/* Every default of this command. */
static cp_status set_defaults(const cp_command *command, cp_options *options)
{
    cp_status status = CP_OK;
    *options = (cp_options){.granularity = -1, .blur = -1, .letterbox = -1, .thresh = -1, .gamma = -1,
                             .offpath = -1};
    for (int i = 0; i < cp_option_count && !status; i++) {
        cp_option option = cp_option_in(command, &cp_option_table[i]);
        if (option.initial)
            status = set_option(command, &option, option.initial, options);
    }
    return status;
}

/* What getopt takes for this command, and the row of each in `row`. */
static void list_options(const cp_command *command, struct option spec[], int row[])
{
    int n = 0;
    for (int i = 0; i < cp_option_count; i++) {
        const cp_option *option = &cp_option_table[i];
        if (!cp_command_takes(command, option->name))
            continue;
        row[n] = i;
        spec[n++] =
            (struct option){option->name, option->kind == CP_OPTION_FLAG ? no_argument : required_argument, NULL, 0};
        if (!strcmp(option->name, "h")) {
            row[n] = i;
            spec[n++] = (struct option){"help", no_argument, NULL, 0};
        }
    }
}

/* -out is a prefix or a folder. A file of a kind that no command writes, or stdout, is not what the user would get. */
static cp_status check_out(const cp_command *command, const cp_options *options)
{
    static const char *const foreign[] = {".pdf", ".svg", ".eps", ".ps", ".html", ".htm", ".txt", ".gif", ".bmp", ".ppm", ".tif",
                                          ".tiff", ".webp", ".mp4", ".pt", ".pth", ".zip", ".xlsx", ".weights", ".data", ".names"};
    const char *out = options->out;
    if (!out)
        return CP_OK;
    if (!strcmp(out, "-"))
        return cp_fail(CP_EINPUT, "%s: -out: \"-\" would be stdout, and results are files: give a prefix, as in -out why",
                       command->name);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (cp_ends_with(out, foreign[i]))
            return cp_fail(CP_EINPUT, "%s: -out: \"%.200s\": no %s file is written here; give a prefix, as in -out %.*s",
                           command->name, out, foreign[i], (int)(strlen(out) - strlen(foreign[i])), out);
    return CP_OK;
}

cp_status cp_options_parse(const cp_command *command, const cp_command *commands, int argc, char **argv,
                           cp_options *options)
{
    struct option spec[MAX_OPTIONS + 2] = {{0}};
    int row[MAX_OPTIONS + 2], which;
    bool given[MAX_OPTIONS] = {false};
    char *words[argc + 2];
    cp_status status = set_defaults(command, options);
    if (status)
        return status;
    list_options(command, spec, row);
    /* getopt wants a program name in front and permutes; the caller's array gets the permuted arguments back. */
    words[0] = (char *)command->name;
    memcpy(words + 1, argv, (size_t)argc * sizeof *argv);
    words[argc + 1] = NULL;
    optind = 0;
    opterr = 0;
    for (int found; (found = getopt_long_only(argc + 1, words, ":", spec, &which)) != -1;) {
        if (found == ':')
            return cp_fail(CP_EINPUT, "%s: option %s needs a value", command->name, words[optind - 1]);
        if (found == '?')
            return refuse_option(command, commands, words[optind - 1]);
        cp_option option = cp_option_in(command, &cp_option_table[row[which]]);
        if ((status = set_option(command, &option, optarg, options)))
            return status;
        given[row[which]] = true;
    }
    memcpy(argv, words + 1, (size_t)argc * sizeof *argv);
    options->arguments = argv + optind - 1;
    options->n_arguments = argc + 1 - optind;
    if (options->help)
        return CP_OK;
    status = check_out(command, options);
    if (!status && !(status = check_methods(command, given, options)))
        status = check_mass(command, given, options);
    return status ? status : set_paper(command, given, options);
}

bool cp_by_channel(const cp_options *options)
{
    if (options->granularity >= 0)
        return options->granularity == CP_CHANNEL;
    return options->preset == CP_DGR_WANG;
}

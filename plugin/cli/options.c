#include "cli/options.h"
#include "io/error.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(cp_options, name)
enum { MAX_OPTIONS = 96, MAX_NAME = 48 };

/* Order: as usage shows them. A new option is a row here, a field in cp_options and a word in its commands' rows. */
static const cp_option table[] = {
    {"method", CP_OPTION_CHOICE, FIELD(method), CP_METHODS, 0, 0, 0, "mct", "how neurons are scored"},
    {"methods", CP_OPTION_TEXT, FIELD(methods), "M,M...", 0, 0, 0, NULL,
     "methods to compare. Default mct,intgrad,greedy,dgr,dgr-random,random,active; of path files: none"},
    {"sparsity", CP_OPTION_LIST, FIELD(sparsity), "S[,S...]", 0, 1, true, NULL,
     "share of neurons off the path; a list sweeps. Default .9, or the sparsest path that is not cut"},
    {"floor", CP_OPTION_REAL, FIELD(floor), "F", 0, 1, false, "0",
     "keep at least this share of every layer that the response depends on"},
    {"granularity", CP_OPTION_CHOICE, FIELD(granularity), "neuron|channel", 0, 0, 0, NULL,
     "channel: channels are kept or dropped whole, by the sum of their neurons' scores; dgr has a gate for each. "
     "Default neuron; with -preset wang channel"},
    {"seed", CP_OPTION_INT, FIELD(seed), "N", 0, 2147483647, false, "0", "of whatever is drawn at random"},
    {"steps", CP_OPTION_TEXT, FIELD(steps), "auto|N", 0, 0, 0, "auto",
     "intgrad: N midpoints (the paper: 50), or refined in each layer until its sum is right"},
    {"tol", CP_OPTION_REAL, FIELD(tolerance), "T", 1e-6, 1, false, ".01",
     "intgrad: error of a layer's sum that auto allows, relative to the response"},
    {"sample", CP_OPTION_INT, FIELD(sample), "N", 1, 1e9, false, NULL,
     "ablation: only that many neurons, drawn at random, with their rank correlation against mct and intgrad"},
    {"permutations", CP_OPTION_INT, FIELD(permutations), "N", 2, 1e9, false, "64", "shapley: orders drawn per layer"},
    {"exact", CP_OPTION_INT, FIELD(exact), "N", 0, 20, false, "12",
     "shapley: enumerate the subsets in layers of at most N players"},
    {"iterations", CP_OPTION_INT, FIELD(iterations), "N", 1, 1000000, false, NULL,
     "dgr: descent steps of a round; default the preset's"},
    {"protect", CP_OPTION_INT, FIELD(protect), "0|1", 0, 1, false, "1",
     "greedy: 1 never removes a neuron that is dead in the current network, as the paper has it"},
    {"preset", CP_OPTION_CHOICE, FIELD(preset), "code|wang", 0, 0, 0, NULL,
     "dgr: settings of the paper's code (1000 steps, rate .01, gamma .01, gates to 100), or of Wang et al. (a gate per "
     "channel, 30 steps, .1, .05, 10). Default code"},
    {"init", CP_OPTION_CHOICE, FIELD(init), "1|random", 0, 0, 0, "1",
     "dgr: where the gates start; random: U(0,1)"},
    {"rounds", CP_OPTION_INT, FIELD(rounds), "N", 1, 1000, false, "100",
     "dgr: rounds of -iterations at most; gamma falls to a tenth after one that never kept the prediction"},
    {"rate", CP_OPTION_REAL, FIELD(rate), "R", 1e-9, 1e3, false, NULL, "dgr: learning rate"},
    {"momentum", CP_OPTION_REAL, FIELD(momentum), "M", 0, 1, true, ".9", "dgr: momentum"},
    {"gamma", CP_OPTION_REAL, FIELD(gamma), "G", 1e-12, 1e6, false, NULL, "dgr: weight of the gates' sum in the loss"},
    {"clamp", CP_OPTION_REAL, FIELD(clamp), "C", 1, 1e6, false, NULL, "dgr: largest gate"},
    {"agree", CP_OPTION_REAL, FIELD(agree), "A", 1e-6, 1, false, "1",
     "gates: share of the images whose class must stay for gates to qualify"},
    {"class", CP_OPTION_TEXT, FIELD(class_name), "NAME|N", 0, 0, 0, NULL,
     "explain this class (detector: the best box of this class) instead of the top one"},
    {"box", CP_OPTION_TEXT, FIELD(box), "K|all", 0, 0, 0, NULL,
     "detector: the K-th detection, 1 is the most probable; all: each of them"},
    {"target", CP_OPTION_CHOICE, FIELD(target), "class|objectness|x|y|w|h", 0, 0, 0, "class",
     "detector: which logit of the detection"},
    {"unit", CP_OPTION_TEXT, FIELD(unit), "LAYER:INDEX", 0, 0, 0, NULL,
     "explain this unit of a layer's output instead"},
    {"score", CP_OPTION_TEXT, FIELD(score), "FILE", 0, 0, 0, NULL, "select from this score file instead of scoring"},
    {"path", CP_OPTION_TEXT, FIELD(path), "FILE", 0, 0, 0, NULL, "use this path file instead of scoring and selecting"},
    {"offpath", CP_OPTION_CHOICE, FIELD(offpath), "frozen|zeroed", 0, 0, 0, "frozen",
     "what neurons off the path hold: their value in the original run, or zero"},
    {"mode", CP_OPTION_CHOICE, FIELD(mode), "frozen|zero|gate", 0, 0, 0, "frozen",
     "of the masks: what neurons off the path hold, their value in the original run or zero; gate: a factor that learns"},
    {"off", CP_OPTION_TEXT, FIELD(off), "FILE", 0, 0, 0, NULL,
     "frozen: values off the path, an .npz with a float32 array for each of the path's"},
    {"data", CP_OPTION_TEXT, FIELD(data), "FILE", 0, 0, 0, NULL,
     "a .data file, whose valid list (without one: train) names the pictures to look at"},
    {"list", CP_OPTION_TEXT, FIELD(list), "FILE", 0, 0, 0, NULL, "pictures from this file, one path per line"},
    {"images", CP_OPTION_INT, FIELD(images), "N", 1, 1000000, false, NULL,
     "only the first N pictures. Default all of -list, 16 of -data"},
    {"keep", CP_OPTION_REAL, FIELD(keep), "SHARE", 1e-6, 1, false, NULL,
     "share of the channels that stay, of those that can be cut; the best of the network. Default: all with any score"},
    {"random", CP_OPTION_INT, FIELD(random), "SEED", 1, 2147483647, false, NULL,
     "keep as many channels of each layer, but drawn at random: to compare with"},
    {"removed", CP_OPTION_CHOICE, FIELD(removed), "zero|mean", 0, 0, 0, "zero",
     "what a channel that goes counts as behind it: zero, or its mean over the images, which moves biases and rolling "
     "means there"},
    {"valid", CP_OPTION_TEXT, FIELD(valid), "LIST", 0, 0, 0, NULL,
     "classifier: top-1 over the pictures of this list, before and after; [data] has the labels"},
    {"eps", CP_OPTION_REAL, FIELD(eps), "E", 0, 1, false, ".5",
     "sparsest path: probability at least (1-E) times the original's; 1: the arg-max alone"},
    {"checks", CP_OPTION_INT, FIELD(checks), "N", 1, 4096, false, "32",
     "sparsest path: smaller sizes tried after the bisection"},
    {"draws", CP_OPTION_INT, FIELD(draws), "N", 1, 1000, false, "1",
     "random paths per size, of which the mean is taken"},
    {"norms", CP_OPTION_CHOICE, FIELD(norms), "auto|exact|estimate", 0, 0, 0, "auto",
     "of gradients; exact: one linear pass per input value; estimate: from probes; auto: exact where that is cheap"},
    {"maxpool", CP_OPTION_INT, FIELD(maxpool), "0|1", 0, 1, false, "1",
     "1: changes of max-pool winners bound the region too; 0: leave them out, as the paper does"},
    {"probes", CP_OPTION_INT, FIELD(probes), "N", 1, 100000, false, "64", "estimate: Gaussian directions"},
    {"refine", CP_OPTION_INT, FIELD(refine), "N", 1, 4096, false, "64",
     "estimate: nearest neurons, and nearest max-pool windows, made exact"},
    {"thresh", CP_OPTION_REAL, FIELD(thresh), "P", 0, 1, false, ".5", "detector: least probability of a detection"},
    {"nms", CP_OPTION_REAL, FIELD(nms), "IOU", 0, 1, false, ".45",
     "detector: overlap at which boxes are merged; 0: never"},
    {"top", CP_OPTION_INT, FIELD(top), "K", 1, 1000, false, "5", "classifier: classes shown"},
    {"letterbox", CP_OPTION_INT, FIELD(letterbox), "0|1", 0, 1, false, "1",
     "1: bars keep the photo's shape, as `predict` and `test` do; 0: stretch"},
    {"names", CP_OPTION_TEXT, FIELD(names), "FILE", 0, 0, 0, NULL,
     "class names, one a line, instead of the .data file's"},
    {"layers", CP_OPTION_FLAG, FIELD(layers), NULL, 0, 0, 0, NULL, "print every layer, not the network alone"},
    {"no-picture", CP_OPTION_FLAG, FIELD(no_picture), NULL, 0, 0, 0, NULL, "write no .png"},
    {"out", CP_OPTION_TEXT, FIELD(out), "PREFIX", 0, 0, 0, NULL,
     "where results go: PREFIX.png ...; several images: PREFIX-STEM; a folder: PREFIX/STEM. Default STEM.critpath"},
    {"json", CP_OPTION_FLAG, FIELD(json), NULL, 0, 0, 0, NULL, "one JSON object per image on stdout instead of text"},
    {"quiet", CP_OPTION_FLAG, FIELD(quiet), NULL, 0, 0, 0, NULL, "no timing, progress or warnings on stderr"},
    {"threads", CP_OPTION_INT, FIELD(threads), "N", 0, 1024, false, "0",
     "0: one per core; the results do not depend on it"},
    {"mem", CP_OPTION_SIZE, FIELD(mem), "SIZE", 1, 0, false, NULL,
     "cap on the run's buffers, e.g. 2G; shrinks batches; a quarter may hold faster copies of the weights"},
    {"i", CP_OPTION_INT, FIELD(gpu), "N", -1, 1023, false, "0", "GPU to use, where the build has one"},
    {"gpus", CP_OPTION_TEXT, FIELD(gpus), "N[,N...]", 0, 0, 0, NULL,
     "share a list of images out over these GPUs"},
    {"nogpu", CP_OPTION_FLAG, FIELD(nogpu), NULL, 0, 0, 0, NULL, "stay on the CPU"},
    {"h", CP_OPTION_FLAG, FIELD(help), NULL, 0, 0, 0, NULL, "this text; also -help"},
};
enum { TABLE_ROWS = sizeof table / sizeof *table };

/* Options that every command takes. */
static const char common[] = "json quiet threads mem i nogpu h";

const cp_option *cp_options_table(int *count)
{
    *count = TABLE_ROWS;
    return table;
}

/* The word of a space-separated list that is `name` or begins with "name="; NULL when absent. */
static const char *find_word(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (!strncmp(at, name, length) && (!at[length] || at[length] == ' ' || at[length] == '='))
            return at;
    return NULL;
}

static bool command_takes(const cp_command *command, const char *option)
{
    return find_word(command->options, option) || find_word(common, option);
}

/* The values a CHOICE allows in this command: its own "name=a|b", or the table's. */
static void choices_of(const cp_command *command, const cp_option *option, char *out, size_t size)
{
    const char *word = find_word(command->options, option->name), *equals = word ? word + strlen(option->name) : "";
    if (*equals == '=')
        snprintf(out, size, "%.*s", (int)strcspn(equals + 1, " "), equals + 1);
    else
        snprintf(out, size, "%s", option->value);
}

/* ---------------------------------------------------------------- hints */

static int min3(int a, int b, int c) { return a < b ? (a < c ? a : c) : (b < c ? b : c); }

/* Optimal string alignment distance, without regard to case; texts longer than MAX_NAME are far from everything. */
static int edit_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    int row[3][MAX_NAME + 1];
    if (n > MAX_NAME || m > MAX_NAME)
        return MAX_NAME;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = row[i % 3], *last = row[(i - 1) % 3], *before = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && y == tolower((unsigned char)a[i - 2]) &&
                before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
    }
    return row[n % 3][m];
}

const char *cp_nearest_name(const char *text, const char *const *names, int n)
{
    const char *best = NULL;
    int limit = (int)strlen(text) / 3 + 1, least = limit + 1;
    for (int i = 0; i < n; i++) {
        int distance = edit_distance(text, names[i]);
        if (distance < least && distance < (int)strlen(names[i])) {
            least = distance;
            best = names[i];
        }
    }
    return best;
}

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

static cp_status parse_list(const cp_option *option, const char *text, cp_number_list *list)
{
    list->n = 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        if (list->n == CP_MAX_SPARSITIES)
            return cp_fail(CP_EINPUT, "-%s: the list has more than %d numbers", option->name, CP_MAX_SPARSITIES);
        if (length > 12)
            return cp_fail(CP_EINPUT, "-%s: \"%.40s\" is too long, a number has at most 12 characters", option->name,
                           at);
        cp_status status = parse_real(option, at, length, &list->value[list->n]);
        if (status)
            return status;
        for (int i = 0; i < list->n; i++)
            if (list->value[i] == list->value[list->n])
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

static cp_status parse_choice(const cp_command *command, const cp_option *option, const char *text, const char **value)
{
    char choices[512], words[512], *names[32], *rest = words;
    int n = 0;
    choices_of(command, option, choices, sizeof choices);
    memcpy(words, choices, sizeof words);
    while (n < 32 && (names[n] = strsep(&rest, "|")))
        n++;
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], text)) {
            *value = text;
            return CP_OK;
        }
    const char *near = n > 1 ? cp_nearest_name(text, (const char *const *)names, n) : NULL;
    return cp_fail(CP_EINPUT, "-%s: unknown value \"%.40s\", allowed is %s%s%s%s", option->name, text, choices,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
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
    case CP_OPTION_TEXT:
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
    for (int i = 0; i < TABLE_ROWS; i++)
        if (command_takes(command, table[i].name)) {
            known[n++] = table[i].name;
            if (*name && !strncmp(table[i].name, name, strlen(name))) {
                size_t used = strlen(others);
                snprintf(others + used, sizeof others - used, "%s-%s", fits++ ? ", " : "", table[i].name);
            }
        }
    if (fits == 1 && bare[strcspn(bare, "=")])
        return cp_fail(CP_EINPUT, "%s: option %s takes no value, found \"%.60s\"", command->name, others, word);
    if (fits > 1)
        return cp_fail(CP_EINPUT, "%s: option \"%.40s\" fits several: %s", command->name, word, others);
    *others = 0;
    for (const cp_command *other = commands; other && other->name; other++)
        if (command_takes(other, name)) {
            size_t used = strlen(others);
            snprintf(others + used, sizeof others - used, "%s%s", used ? ", " : "", other->name);
        }
    if (*others)
        return cp_fail(CP_EINPUT, "%s has no option -%s; it belongs to %s", command->name, name, others);
    const char *near = cp_nearest_name(name, known, n);
    if (near)
        return cp_fail(CP_EINPUT, "%s: unknown option \"%.60s\"; did you mean -%s?", command->name, word, near);
    return cp_fail(CP_EINPUT, "%s: unknown option \"%.60s\"; `darknet critpath %s -h` lists them", command->name, word,
                   command->name);
}

cp_status cp_options_parse(const cp_command *command, const cp_command *commands, int argc, char **argv,
                           cp_options *options)
{
    struct option spec[MAX_OPTIONS + 2] = {{0}};
    const cp_option *row[MAX_OPTIONS + 2];
    char *words[argc + 2];
    int n = 0, which;
    cp_status status = CP_OK;
    *options = (cp_options){0};
    for (int i = 0; i < TABLE_ROWS; i++) {
        if (table[i].initial && (status = set_option(command, &table[i], table[i].initial, options)))
            return status;
        if (!command_takes(command, table[i].name))
            continue;
        row[n] = &table[i];
        spec[n++] =
            (struct option){table[i].name, table[i].kind == CP_OPTION_FLAG ? no_argument : required_argument, NULL, 0};
        if (!strcmp(table[i].name, "h")) {
            row[n] = &table[i];
            spec[n++] = (struct option){"help", no_argument, NULL, 0};
        }
    }
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
        if ((status = set_option(command, row[which], optarg, options)))
            return status;
    }
    memcpy(argv, words + 1, (size_t)argc * sizeof *argv);
    options->arguments = argv + optind - 1;
    options->n_arguments = argc + 1 - optind;
    return CP_OK;
}

/* ---------------------------------------------------------------- usage */

enum { MEANING_COLUMN = 30, LINE = 118 };

/* Prints text from `column` on, broken at spaces. */
static void print_wrapped(FILE *to, int column, const char *text)
{
    int room = LINE - column;
    while (*text) {
        int length = (int)strlen(text);
        if (length > room) {
            for (length = room; length > 0 && text[length] != ' ';)
                length--;
            if (!length)
                length = room;
        }
        fprintf(to, "%.*s\n", length, text);
        text += length;
        text += strspn(text, " ");
        if (*text)
            fprintf(to, "%*s", column, "");
    }
}

void cp_options_usage(const cp_command *command, FILE *to)
{
    fprintf(to, "usage: darknet critpath %s %s [-options]\n%s\n\noptions\n", command->name, command->arguments,
            command->meaning);
    for (int i = 0; i < TABLE_ROWS; i++) {
        const cp_option *option = &table[i];
        char left[600], value[512] = "", meaning[512];
        if (!command_takes(command, option->name))
            continue;
        if (option->kind == CP_OPTION_CHOICE)
            choices_of(command, option, value, sizeof value);
        else if (option->value)
            snprintf(value, sizeof value, "%s", option->value);
        snprintf(left, sizeof left, "  -%s %s", option->name, value);
        snprintf(meaning, sizeof meaning, "%s%s%s%s", option->meaning, option->initial ? " (" : "",
                 option->initial ? option->initial : "", option->initial ? ")" : "");
        if (strlen(left) >= MEANING_COLUMN)
            fprintf(to, "%s\n%*s", left, MEANING_COLUMN, "");
        else
            fprintf(to, "%-*s", MEANING_COLUMN, left);
        print_wrapped(to, MEANING_COLUMN, meaning);
    }
    if (command->notes)
        fprintf(to, "\n%s\n", command->notes);
    fprintf(to, "\nexample: %s\n", command->example);
}

/* The command line as data: which options exist, which command takes which, and what the user gave. Darknet's habits:
 * single-dash options anywhere between the arguments; `--option` works too, and so does a prefix that fits one option
 * only. Parsing neither prints nor exits: a mistake is CP_EINPUT with one line in cp_error() that holds a hint. */
#ifndef CP_CLI_OPTIONS_H
#define CP_CLI_OPTIONS_H

#include "critpath.h"

#include <stdio.h>

enum { CP_MAX_SPARSITIES = 64 };

/* What -method knows; the rows of cli/methods.c. */
#define CP_METHODS "mct|intgrad|ablation|shapley|greedy|dgr|dgr-random|random|active"

/* A list of numbers, `-sparsity .9,.99`. */
typedef struct {
    int n;                               /* 0: not given */
    double value[CP_MAX_SPARSITIES];
    char text[CP_MAX_SPARSITIES][16];    /* as the user wrote them, for file names; "0.9" for ".9" */
} cp_number_list;

/* What the user gave, or the default. Strings point into argv. */
typedef struct {
    const char *method, *class_name, *box, *target, *unit, *offpath, *names, *out, *score, *path;
    const char *granularity, *steps, *init, *preset, *methods, *norms, *mode, *off, *data, *list, *valid, *gpus;
    const char *removed;
    cp_number_list sparsity;
    double floor, keep, thresh, nms, eps, agree, tolerance, rate, momentum, gamma, clamp; /* of DGR's four, 0: the preset's */
    int sample, permutations, exact; /* sample: 0, all */
    int letterbox, top, threads, gpu, seed, protect, iterations, rounds; /* iterations: 0, the preset's */
    int draws, checks, maxpool, probes, refine;
    int images; /* 0: all (with -data 16) */
    int random; /* a seed; 0: not given */
    size_t mem; /* bytes; 0: no cap */
    bool no_picture, layers, json, quiet, nogpu, help;
    char **arguments; /* what is not an option, in order: [data] <cfg> <weights> [image ...] */
    int n_arguments;
} cp_options;

typedef enum { CP_OPTION_FLAG, CP_OPTION_INT, CP_OPTION_REAL, CP_OPTION_LIST, CP_OPTION_SIZE, CP_OPTION_TEXT,
               CP_OPTION_CHOICE } cp_option_kind;

/* One option. */
typedef struct {
    const char *name;     /* without the dash */
    cp_option_kind kind;
    size_t offset;        /* of its field in cp_options */
    const char *value;    /* how usage shows the value; of a CHOICE the values allowed, "frozen|zeroed" */
    double min, max;      /* INT, REAL, LIST, SIZE */
    bool below_max;       /* the range is [min, max) instead of [min, max] */
    const char *initial;  /* the default, parsed like a value; NULL: none */
    const char *meaning;
} cp_option;

/* One subcommand. `options` names its own, space-separated; `common` ones (-threads, -quiet, ...) come by themselves.
 * "method=mct|gradient" narrows or extends the values of a CHOICE for this command. */
typedef struct {
    const char *name, *arguments, *meaning, *options, *notes, *example;
    cp_status (*run)(const cp_options *options);
} cp_command;

/* Every option, and those that all commands take. */
const cp_option *cp_options_table(int *count);

/* Parses argv[0..argc) (without the program and the command) for `command`; permutes argv. `commands` (ended by a NULL
 * name) is only for hints: which command does take the option. */
cp_status cp_options_parse(const cp_command *command, const cp_command *commands, int argc, char **argv,
                           cp_options *options);

/* Prints the usage of one command: meaning in a line, options with defaults, one example. */
void cp_options_usage(const cp_command *command, FILE *to);

/* Bytes of "2G", "512M", "1.5GiB", "4096"; CP_EINPUT otherwise. `what` names it in the message. */
cp_status cp_parse_size(const char *what, const char *text, size_t *bytes);
/* A whole decimal number in [min, max]. */
cp_status cp_parse_int(const char *what, const char *text, long long min, long long max, long long *value);

/* Nearest of `names` (n of them) to `text` by edit distance (insert, delete, replace, swap of neighbours; case does not
 * count), or NULL when none is near enough to be what was meant. */
const char *cp_nearest_name(const char *text, const char *const *names, int n);

#endif

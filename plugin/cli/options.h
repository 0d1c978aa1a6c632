/* The command line as data: which options exist, which command takes which with which default, and what the user gave.
 * Darknet's habits: single-dash options anywhere between the arguments; `--option` works too, and so does a prefix that
 * fits one option only. Parsing neither prints nor exits: a mistake is CP_EINPUT with one line in cp_error() that holds
 * a hint. The parser (options.c), the help (help.c), the manual page (manual.c) and the shell completions
 * (completion.c) all read the rows of option_table.c and commands.c. */
#ifndef CP_CLI_OPTIONS_H
#define CP_CLI_OPTIONS_H

#include "critpath.h"

#include <stdio.h>

enum { CP_MAX_SPARSITIES = 64 };

/* Defaults that are no value of one option, so that help and command read the same. */
#define CP_DEFAULT_GAMMA .25  /* of lrp */
#define CP_DEFAULT_SPARSITY .9 /* the sparsest tried unasked */
#define CP_DEFAULT_METHODS "mct,intgrad,greedy,dgr,dgr-random,random,active"              /* of `compare` */
#define CP_DEFAULT_MAPS "contribution,contribution~.01,pathway,gradient,gradcam,layercam"       /* of `eval` */
#define CP_DATA_PICTURES 16                                                               /* of a .data file's list */
#define CP_TEXT(number) CP_TEXT_OF(number)
#define CP_TEXT_OF(number) #number

/* Choices are the position of the value in its row of option_table.c. Where a public type has the same order it is
 * used: cp_target, cp_granularity, cp_dgr_settings, cp_exactness. */
enum { CP_OFFPATH_FROZEN, CP_OFFPATH_ZEROED, CP_OFFPATH_KEPT };
enum { CP_RANK_NETWORK, CP_RANK_LAYER };
enum { CP_PRESET_PAPER = CP_DGR_WANG + 1 }; /* behind those of cp_dgr_settings; its dgr is CP_DGR_CODE */
enum { CP_MAP_CONTRIBUTION, CP_MAP_GRADIENT };
enum { CP_PLANES_AUTO }; /* the others: cp_planes, from 1 on */
enum { CP_MODE_FROZEN, CP_MODE_ZERO, CP_MODE_GATE };
enum { CP_INIT_ONE, CP_INIT_RANDOM };
enum { CP_REMOVED_ZERO, CP_REMOVED_MEAN };
enum { CP_ORDER_TOP_DOWN, CP_ORDER_BOTTOM_UP, CP_ORDER_INDEPENDENT };
enum { CP_INITIALISER_NORMAL, CP_INITIALISER_DARKNET };
enum { CP_KEYS_STRICT, CP_KEYS_LENIENT };
enum { CP_WITHOUT_NOTHING, CP_WITHOUT_DISTIL, CP_WITHOUT_SPARSITY, CP_WITHOUT_ALIKE, CP_WITHOUT_HEAD };
enum { CP_PARAMETERS_OF_PIXELS, CP_PARAMETERS_OF_FOURIER, CP_PARAMETERS_OF_MACO };
enum { CP_PICTURE_SHEET, CP_PICTURE_HEAT, CP_PICTURE_ZOOM, CP_PICTURE_SIGNED, CP_PICTURE_NONE };

/* A list of numbers, `-sparsity .9,.99`. */
typedef struct {
    int n;                               /* 0: not given */
    double value[CP_MAX_SPARSITIES];
    char text[CP_MAX_SPARSITIES][32];    /* as the user wrote them, for file names; "0.9" for ".9"; NAN is "auto" */
} cp_number_list;

/* What the user gave, or the default. Strings point into argv. */
typedef struct {
    const char *method, *class_name, *versus, *box, *unit, *names, *out, *score, *path, *steps, *methods, *off, *data,
        *list, *valid;
    const char *gpus, *baseline, *edges, *typical;
    double usual; /* of -typical */
    int target, offpath, rank, map, planes, init, preset, norms, mode, removed, keys, host;
    /* offpath -1: of `faithful`, what the frame can */
    int granularity; /* -1: the preset's */
    int picture, colour;
    double alpha, blur; /* of pictures; blur -1: what suits the map */
    cp_number_list sparsity;
    double floor, mass, keep, thresh, nms, eps, agree, tolerance;
    double theta; /* of the effective path */
    int keeps;    /* of that: a cp_effective_rule */
    double rate, momentum, gamma, clamp; /* rate, clamp 0, gamma -1: the method's or the preset's */
    int sample, permutations, exact; /* sample: 0, all */
    int letterbox; /* a cp_fit; -1: as the network's lineage has it; cp_session_open resolves it, and thresh of -1 */
    int exif;
    int top, threads, gpu, seed, protect, iterations, rounds; /* iterations: 0, the preset's */
    int draws, checks, maxpool, probes, refine;
    const char *metrics; /* NULL: those that are measured unasked */
    int points, layer; /* of curves; a CAM's layer, -1: chosen */
    bool resume;
    const char *shard; /* "2/7", "auto"; NULL: everything */
    int examples;      /* of `errors`: pictures of each type */
    cp_number_list fractions; /* of `roar`: shares of the pixels removed */
    int nodes; /* of `graph` */
    bool compare;
    cp_number_list strength; /* of `attack`, in 1/255 */
    int repeats, road;
    bool kar;
    int order, initialiser, stages, noisy; /* of `sanity` */
    bool hog;
    const char *samples, *selectors, *spectrum, *channel; /* of `decode` */
    int parameters, iters, channels, crops; /* iters 0: the parameterisation's */
    double near;
    bool synthesis, accentuate, neuron, same;
    const char *generator; /* of `gen` */
    int epochs, batch, width, without;
    double weight, allowed;
    int images; /* 0: all (with -data CP_DATA_PICTURES) */
    int random; /* a seed; 0: not given */
    size_t mem; /* bytes; 0: no cap */
    bool restricted;
    bool no_picture, layers, json, quiet, nogpu, help;
    bool accepted; /* options of other Darknets that mean nothing here */
    char **arguments; /* what is not an option, in order: [data] <cfg> <weights> [image ...] */
    int n_arguments;
} cp_options;

/* CHOICE: an int, the position among the values. METHOD: the name of a method, a string. */
typedef enum { CP_OPTION_FLAG, CP_OPTION_INT, CP_OPTION_REAL, CP_OPTION_LIST, CP_OPTION_SIZE, CP_OPTION_TEXT,
               CP_OPTION_FILE, CP_OPTION_CHOICE, CP_OPTION_METHOD } cp_option_kind;

/* The headings under which help lists options, in this order. */
typedef enum { CP_GROUP_ANSWER, CP_GROUP_PATH, CP_GROUP_COMMAND, CP_GROUP_METHOD, CP_GROUP_RESULT, CP_GROUP_RUN,
               CP_OPTION_GROUPS } cp_option_group;

/* One option. */
typedef struct {
    const char *name;     /* without the dash */
    cp_option_group group;
    cp_option_kind kind;
    size_t offset;        /* of its field in cp_options */
    const char *value;    /* how help shows the value; NULL for a FLAG and where `values` says it */
    const char *const *values; /* of a CHOICE, ended by NULL */
    double min, max;      /* INT, REAL, LIST, SIZE */
    bool below_max;       /* the range is [min, max) instead of [min, max] */
    const char *initial;  /* the default, parsed like a value; NULL: none */
    const char *otherwise; /* what holds without the option where no single value says it, in words; else NULL */
    bool required;        /* the command refuses to go without it */
    const char *meaning;
    void (*detail)(char *text,
                   size_t size); /* NULL, or adds to `meaning` what only the code knows: numbers of presets */
    const char *methods;  /* the methods that it belongs to, space-separated; NULL: to all */
} cp_option;

/* What is different about an option in one command. NULL fields: as in the table; "" in initial or otherwise: none. */
typedef struct {
    const char *option, *value, *initial, *otherwise, *meaning, *methods;
    bool required;
} cp_option_change;

typedef struct cp_command cp_command;

/* One subcommand. `options` names its own, space-separated; `common` ones (-threads, -quiet, ...) come by themselves.
 */
struct cp_command {
    const char *name, *arguments, *meaning, *options, *notes;
    const char *example; /* without the program's name; runs in a checkout and in the folder of installed examples */
    cp_status (*run)(const cp_command *command, const cp_options *options); /* command: this row */
    const cp_option_change *changes; /* NULL, or ended by a NULL option */
    bool plain;          /* -method also takes "gradient" and the maps of eval/attribution.h */
};

/* A way to score neurons that -method names, for help: cli/method_rows.h lists them, cli/methods.c runs them. */
typedef struct {
    const char *name, *meaning;
} cp_method_text;

/* Every option: cp_option_count rows. */
extern const cp_option cp_option_table[];
extern const int cp_option_count;
extern const char *const cp_group_titles[CP_OPTION_GROUPS];
/* Every method, ended by a NULL name; "gradient" is last, for commands that say `plain`. */
extern const cp_method_text cp_method_texts[];

/* The row of a name, or NULL. */
const cp_option *cp_option_find(const char *name);
/* Whether whole channels are meant: -granularity channel, or the default of -preset wang. */
bool cp_by_channel(const cp_options *options);
/* Whether the word is in a space-separated list. */
bool cp_has_word(const char *list, const char *word);
bool cp_command_takes(const cp_command *command, const char *option);
/* The option as it is in this command. */
cp_option cp_option_in(const cp_command *command, const cp_option *option);
/* The values allowed in this command, of a CHOICE, METHOD or an INT from 0 to 1, "a|b|c"; "" where there are none to
 * list. */
const char *cp_option_values(const cp_command *command, const cp_option *option, char *text, size_t size);
/* The name of a CHOICE's value, such as "frozen"; a constant. */
const char *cp_choice_name(const char *option, int value);
/* NULL: no way to score neurons has that name. */
const cp_method_text *cp_method_text_find(const char *name);
/* Whether the method's name is one that the command takes. */
bool cp_method_known(const cp_command *command, const char *method);

/* Parses argv[0..argc) (without the program and the command) for `command`; permutes argv. `commands` (ended by a NULL
 * name) is only for hints: which command does take the option. */
cp_status cp_options_parse(const cp_command *command, const cp_command *commands, int argc, char **argv,
                           cp_options *options);

/* CP_EINPUT, with the methods there are, unless `text` is a method that the command takes; `option` names it in the
 * message. */
cp_status cp_parse_method(const cp_command *command, const char *option, const char *text);

/* Calls `take` with each method of a list, "mct,random", that is one the command takes, and with `user`. CP_EINPUT as cp_parse_method,
 * or what `take` says. */
cp_status cp_each_method(const cp_command *command, const char *option, const char *list,
                         cp_status (*take)(void *user, const char *method), void *user);

/* How the program is called: "darknet critpath", or "critpath" where argv[0] is that. For usage and hints. */
void cp_set_program(const char *argv0);
const char *cp_program(void);

/* Bytes of "2G", "512M", "1.5GiB", "4096"; CP_EINPUT otherwise. `what` names it in the message. */
cp_status cp_parse_size(const char *what, const char *text, size_t *bytes);
/* A whole decimal number in [min, max]. */
cp_status cp_parse_int(const char *what, const char *text, long long min, long long max, long long *value);

#endif

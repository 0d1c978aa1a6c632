/* `darknet critpath <command> ...`: finds the command, parses its options, runs it, and turns the status into the exit
 * code and one line on stderr. */
#include "cli/commands.h"
#include "cli/patient.h"
#include "io/atomic.h"
#include "io/error.h"

#include <errno.h>
#include <string.h>

int run_critpath(int argc, char **argv);

#define IMAGES "[data] <cfg> <weights> [image ...]"
#define RESPONSE "class box target unit thresh nms letterbox names "
#define DRAWN "seed steps tol permutations exact iterations protect preset init rounds rate momentum gamma clamp "
#define SCORING "granularity " DRAWN
#define SELECTION "method sparsity floor " SCORING

/* A new command is a row here and a file beside this one. */
const cp_command cp_commands[] = {
    {"explain", IMAGES, "Predict, score the neurons, select the critical path, draw the pixels it read.",
     SELECTION RESPONSE "offpath top no-picture out gpus",
     "Writes PREFIX.png (photo beside the map), PREFIX.npy (the map: float32, C,H,W of the network input),\n"
     "PREFIX.path.npz (the path) and PREFIX.json (summary). No image: one path per line on stdin.",
     "darknet critpath explain cfg/coco.data yolov3.cfg yolov3.weights dog.jpg -class dog -out dog", cp_run_explain},
    {"layers", "[data] <cfg> [weights]",
     "List the layers: shapes, parameters, cost, which are neuron layers, and what is not supported.", "",
     "Lists a cfg that is refused as well, with the reason at each layer.", "darknet critpath layers yolov3.cfg",
     cp_run_layers},
    {"score", IMAGES, "Score every neuron's contribution to the response.",
     "method sparsity sample " SCORING RESPONSE "out gpus",
     "Writes PREFIX.score.npz: one float32 array (C,H,W) per neuron layer, and meta.json.",
     "darknet critpath score vgg-16.cfg vgg-16.weights dog.jpg -out dog", cp_run_score},
    {"path", "[data] <cfg> <weights> [image ...]", "Select the critical path of the response.",
     SELECTION RESPONSE "score out gpus",
     "Writes PREFIX.path.npz: one bool array (C,H,W) per neuron layer, and meta.json. With -score no image is needed.",
     "darknet critpath path vgg-16.cfg vgg-16.weights -score dog.score.npz -sparsity .9,.99 -out dog", cp_run_path},
    {"grad", IMAGES, "The pathway gradient: how the response changes with each pixel through the path alone.",
     "method=" CP_METHODS "|gradient sparsity floor " SCORING RESPONSE "path offpath no-picture out gpus",
     "Writes PREFIX.npy (float32, C,H,W of the network input) and PREFIX.png. -method gradient is the plain\n"
     "gradient of the whole network. A path file brings its response along, unless -class, -box or -unit names one.",
     "darknet critpath grad vgg-16.cfg vgg-16.weights dog.jpg -path dog.path.npz -out dog", cp_run_grad},
    {"compare", "[data] <cfg> <weights> [image ...] [path.npz ...]",
     "What the paths of several methods, or of path files, have in common: dead share and Jaccard.",
     "methods sparsity floor layers " SCORING RESPONSE "no-picture out",
     "Means and deviations over the images, beside the value that chance gives: paths of densities p and q share\n"
     "pq/(p+q-pq). With -out writes PREFIX.json, PREFIX.csv, PREFIX.matrix.png (Jaccard) and PREFIX.layers.png.",
     "darknet critpath compare vgg-16.cfg vgg-16.weights a.jpg b.jpg -methods mct,greedy,random -out paths",
     cp_run_compare},
    {"faithful", IMAGES, "How far the path alone carries the answer, over path size, against random paths.",
     "method sparsity eps checks draws " DRAWN RESPONSE "no-picture out",
     "Runs the zeroed network with the path kept and with it removed. Writes PREFIX.faithful.csv, PREFIX.faithful.png\n"
     "and PREFIX.sparsest.path.npz, the sparsest path that keeps the prediction. -sparsity chooses the sizes.",
     "darknet critpath faithful cfg/cifar10.data resnet20.cfg resnet20.weights cat.png -draws 5 -out cat",
     cp_run_faithful},
    {"linearity", IMAGES, "How far the image is from the border of its linear region: frozen path and full network.",
     SELECTION "norms maxpool probes refine " RESPONSE,
     "The l2 radius within which no neuron on the path (in the full network: none at all) and no max-pool\n"
     "winner changes. An estimate is the distance of the nearest border found: the radius can only be smaller.",
     "darknet critpath linearity cfg/cifar10.data resnet20.cfg resnet20.weights cat.png -sparsity .9",
     cp_run_linearity},
    {"insert", "<cfg> <path.npz> [<weights> <image>]",
     "Write the cfg with a [pathmask] behind each layer of the path, for Darknet's own training.",
     "mode off letterbox out",
     "-out is the cfg to write. frozen computes the values off the path from weights and image, into OUT.off.npz, or\n"
     "takes them from -off. Darknet reads these files when it reads the cfg; the weights stay those of the plain cfg.",
     "darknet critpath insert yolov3.cfg dog.path.npz -mode zero -out masked.cfg", cp_run_insert},
    {"strip", "<cfg>", "Write the cfg without its [pathmask] sections.", "out", "-out is the cfg to write.",
     "darknet critpath strip masked.cfg -out plain.cfg", cp_run_strip},
    {"watch", "<folder> <cfg> | <log.jsonl>",
     "What a training did: dead neurons, activation patterns and paths over its checkpoints, or over its log.",
     "data list images letterbox layers no-picture out",
     "Takes the folder's *.weights and *.backup, in the order of the images they have seen. Writes PREFIX.jsonl (one record\n"
     "per line), PREFIX.csv and PREFIX.png (curves). A log is what `darknet classifier train` and `darknet detector train`\n"
     "write with -critpath log.jsonl[,every=100][,probe=list], or the same in the environment variable CRITPATH.",
     "darknet critpath watch backup yolov3.cfg -data cfg/coco.data -out yolov3", cp_run_watch},
    {"prune", "[data] <cfg> <weights> [path.npz ...] [image ...]",
     "Cut the channels that no path needs out of cfg and weights: a smaller network, to be fine-tuned by Darknet.",
     "keep random removed valid " SELECTION RESPONSE "out",
     "Paths, gates or scores come from files, or are found for images at -sparsity; one image path per line on stdin if\n"
     "there is neither. Writes PREFIX.cfg and PREFIX.weights. Channels that layers add or hand on go together; what cannot\n"
     "be cut is listed with the reason. -floor holds for the paths, and for the filters that stay. Continue with\n"
     "`darknet classifier train data PREFIX.cfg PREFIX.weights -clear`.",
     "darknet critpath prune resnet.cfg resnet.weights cats/*.path.npz -keep .5 -out small", cp_run_prune},
    {"gates", IMAGES, "Train gates on the activations with Darknet itself, for one image or a list: a path per class.",
     "preset granularity iterations init rounds rate momentum gamma clamp agree list class sparsity floor seed "
     "letterbox names out",
     "Distillation guided routing: gates at 0 or more keep the softmax while their sum falls; nothing else learns.\n"
     "One set for all images; -class takes only those of which it is the top class. Writes PREFIX.gates.npz (float32,\n"
     "for insert -mode gate) and PREFIX.path.npz. score -method dgr is the same descent by our own engine, for one\n"
     "image.",
     "darknet critpath gates cfg/cifar10.data resnet20.cfg resnet20.weights -list cats.txt -preset wang -out cats",
     cp_run_gates},
    {0},
};

const cp_command *cp_command_find(const char *name)
{
    for (const cp_command *command = cp_commands; command->name; command++)
        if (!strcmp(command->name, name))
            return command;
    return NULL;
}

static void print_usage(FILE *to)
{
    fprintf(to, "critpath %s: why a network answered as it did\n"
                "usage: darknet critpath <command> [data] <cfg> <weights> [image ...] [-options]\n\ncommands\n",
            CP_VERSION);
    for (const cp_command *command = cp_commands; command->name; command++)
        fprintf(to, "  %-9s %s\n", command->name, command->meaning);
    fprintf(to, "\nOptions may stand anywhere; `darknet critpath <command> -h` shows a command's.\n"
                "Exit: 0 done, 1 a fault of ours, 2 bad input or usage, 3 out of memory, disk or time.\n"
                "example: darknet critpath explain cfg/coco.data yolov3.cfg yolov3.weights dog.jpg\n");
}

static cp_status refuse_command(const char *name)
{
    const char *names[64];
    int n = 0;
    for (const cp_command *command = cp_commands; command->name; command++)
        names[n++] = command->name;
    const char *near = cp_nearest_name(name, names, n);
    if (near)
        return cp_fail(CP_EINPUT, "unknown command \"%.60s\"; did you mean %s?", name, near);
    return cp_fail(CP_EINPUT, "unknown command \"%.60s\"; `darknet critpath help` lists them", name);
}

static cp_status run(int argc, char **argv)
{
    bool help = argc < 1 || !strcmp(argv[0], "help") || !strcmp(argv[0], "-h") || !strcmp(argv[0], "-help") ||
                !strcmp(argv[0], "--help");
    if (argc && (!strcmp(argv[0], "version") || !strcmp(argv[0], "-version") || !strcmp(argv[0], "--version"))) {
        printf("critpath %s\n", CP_VERSION);
        return CP_OK;
    }
    const char *name = help && argc > 1 ? argv[1] : help ? NULL : argv[0];
    const cp_command *command = name ? cp_command_find(name) : NULL;
    cp_options options;
    if (name && !command)
        return refuse_command(name);
    if (!command) {
        print_usage(stdout);
        return CP_OK;
    }
    if (help) {
        cp_options_usage(command, stdout);
        return CP_OK;
    }
    cp_status status = cp_options_parse(command, cp_commands, argc - 1, argv + 1, &options);
    if (!status && options.help) {
        cp_options_usage(command, stdout);
        return CP_OK;
    }
    return status ? status : command->run(&options);
}

static void print_notice(const char *line) { fprintf(stderr, "critpath: %s\n", line); }

/* Darknet's main has taken its own -i and -nogpu out and left NULLs at the end. */
int run_critpath(int argc, char **argv)
{
    while (argc > 0 && !argv[argc - 1])
        argc--;
    cp_threads_sleep_while_waiting();
    cp_file_clean_on_signal();
    cp_set_notice(print_notice);
    cp_status status = cp_host_device() >= 0 ? cp_set_device(cp_host_device()) : CP_OK;
    if (!status)
        status = run(argc - 2, argv + 2);
    if ((fflush(stdout) || ferror(stdout)) && !status)
        status = cp_fail(CP_ERESOURCE, "stdout: cannot be written: %s", strerror(errno));
    if (status && *cp_error())
        fprintf(stderr, "critpath: %s\n", cp_error());
    return (int)status;
}

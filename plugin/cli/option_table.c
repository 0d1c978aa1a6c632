/* Every option of every command. A new option is a row here, a field in cp_options and a word in its commands' rows; a
 * new method is a row of cli/method_rows.h. */
#include "cli/options.h"
#include "eval/attribution.h"

#include <string.h>

#define FIELD(name) offsetof(cp_options, name)
#define FLAG(n, g, f, ...) {.name = n, .group = g, .kind = CP_OPTION_FLAG, .offset = FIELD(f), .meaning = __VA_ARGS__}
#define VALUE(n, g, f, k, v, ...) \
    {.name = n, .group = g, .kind = k, .offset = FIELD(f), .value = v, .meaning = __VA_ARGS__}
#define NUMBER(n, g, f, k, v, least, most, ...) \
    {.name = n, .group = g, .kind = k, .offset = FIELD(f), .value = v, .min = least, .max = most, \
     .meaning = __VA_ARGS__}
#define CHOICE(n, g, f, list, ...) \
    {.name = n, .group = g, .kind = CP_OPTION_CHOICE, .offset = FIELD(f), .values = list, .meaning = __VA_ARGS__}
#define INT(n, g, f, v, least, most, ...) NUMBER(n, g, f, CP_OPTION_INT, v, least, most, __VA_ARGS__)
#define REAL(n, g, f, v, least, most, ...) NUMBER(n, g, f, CP_OPTION_REAL, v, least, most, __VA_ARGS__)
#define TEXT(n, g, f, v, ...) VALUE(n, g, f, CP_OPTION_TEXT, v, __VA_ARGS__)
#define FILENAME(n, g, f, v, ...) VALUE(n, g, f, CP_OPTION_FILE, v, __VA_ARGS__)
#define DGR "dgr dgr-random dgr-active"

const char *const cp_group_titles[CP_OPTION_GROUPS] = {
    [CP_GROUP_ANSWER] = "the answer that is explained",
    [CP_GROUP_PATH] = "scores, path and map",
    [CP_GROUP_COMMAND] = "of this command",
    [CP_GROUP_METHOD] = "of single methods",
    [CP_GROUP_RESULT] = "results",
    [CP_GROUP_RUN] = "the run",
};

#define CP_METHOD(NAME, RUN, LEAVE, CONTRIBUTES, MEANING) {NAME, MEANING},
#define CP_METHOD_OF_FRAME(NAME, FUNCTION, CONTRIBUTES, MEANING) {NAME, MEANING},
const cp_method_text cp_method_texts[] = {
#include "cli/method_rows.h"
    {"gradient", "no path: the plain gradient of the whole network, all channels"},
    {0},
};

/* Choices in the order of their enum; see options.h. */
static const char *const targets[] = {"class", "objectness", "x", "y", "w", "h", NULL};
static const char *const offpaths[] = {"frozen", "zeroed", "kept", NULL};
static const char *const ranks[] = {"network", "layer", NULL};
static const char *const granularities[] = {"neuron", "channel", NULL};
static const char *const presets[] = {"code", "wang", "paper", NULL};
static const char *const starts[] = {"1", "random", NULL};
static const char *const maps[] = {"contribution", "gradient", NULL};
static const char *const planes[] = {"auto", "fine", "coarse", "all", NULL};
static const char *const modes[] = {"frozen", "zero", "gate", NULL};
static const char *const removals[] = {"zero", "mean", NULL};
static const char *const hosts[] = {"auto", "debian", "alexey", "hankai", NULL};
static const char *const keys[] = {"strict", "lenient", NULL};
static const char *const pictures[] = {"sheet", "heat", "zoom", "signed", "none", NULL};
static const char *const colours[] = {"inferno", "viridis", "cividis", "grey", NULL};
static const char *const orders[] = {"top-down", "bottom-up", "independent", NULL};
static const char *const initialisers[] = {"normal", "darknet", NULL};
static const char *const keeps[] = {"share", "absolute", "forward", NULL};
static const char *const losses[] = {"nothing", "distil", "sparsity", "alike", "head", NULL};
static const char *const parameterisations[] = {"pixels", "fourier", "maco", NULL};
static const char *const norms[] = {"auto", "estimate", "exact", NULL};

static void describe_preset(const char *name, const cp_dgr_options *o, char *text, size_t size)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s: a gate per %s, %d steps, rate %g, gamma %g, gates up to %g. ", name,
             o->granularity == CP_CHANNEL ? "channel" : "neuron", o->steps, o->rate, o->gamma, o->clamp);
}

/* The settings stand in the code of the method alone. */
static void describe_presets(char *text, size_t size)
{
    cp_dgr_options code = cp_dgr_defaults(CP_DGR_CODE), wang = cp_dgr_defaults(CP_DGR_WANG);
    describe_preset(presets[CP_DGR_CODE], &code, text, size);
    describe_preset(presets[CP_DGR_WANG], &wang, text, size);
}

/* Within a group help keeps this order. */
const cp_option cp_option_table[] = {
    TEXT("class", CP_GROUP_ANSWER, class_name, "NAME|N",
         "explain this class instead of the top one; detector: the best box of this class, with -box K that box's "
         "logit of it"),
    TEXT("versus", CP_GROUP_ANSWER, versus, "NAME|N",
         "explain why the class and not this one: the logit of the class less that of this one; of a detection, in its "
         "box"),
    TEXT("box", CP_GROUP_ANSWER, box, "K|all",
         "detector: the detection of that number, as printed; 1 is the most probable; all: each of them"),
    CHOICE("target", CP_GROUP_ANSWER, target, targets, "detector: which logit of the detection", .initial = "class"),
    TEXT("unit", CP_GROUP_ANSWER, unit, "LAYER:INDEX", "explain this unit of a layer's output instead"),
    REAL("thresh", CP_GROUP_ANSWER, thresh, "P", 0, 1, "detector: least probability of a detection",
         .otherwise = ".5; .25 where -host is not debian"),
    REAL("nms", CP_GROUP_ANSWER, nms, "IOU", 0, 1, "detector: overlap at which boxes are merged; 0: never",
         .initial = ".45"),
    INT("top", CP_GROUP_ANSWER, top, "K", 1, 1000, "classes shown; of a detector, those of the box that is explained", .initial = "5"),
    INT("letterbox", CP_GROUP_ANSWER, letterbox, "0|1", 0, 1,
        "1: bars keep the photo's shape; 0: it is stretched", .otherwise = "as the Darknet of -host does"),
    FILENAME("names", CP_GROUP_ANSWER, names, "FILE", "class names, one a line, instead of the .data file's"),

    {.name = "method",
     .group = CP_GROUP_PATH,
     .kind = CP_OPTION_METHOD,
     .offset = FIELD(method),
     .initial = "mct",
     .meaning = "how neurons are scored"},
    TEXT("methods", CP_GROUP_PATH, methods, "M,M...", "methods to compare",
         .otherwise = CP_DEFAULT_METHODS "; of path files: none"),
    NUMBER("sparsity", CP_GROUP_PATH, sparsity, CP_OPTION_LIST, "auto|S[,S...]", 0, 1,
           "share of neurons off the path; a list sweeps; auto: the fewest neurons that hold -mass of the score",
           .below_max = true,
           .otherwise = "auto, or where scores only order the neurons (greedy, dgr, random) "
                        CP_TEXT(CP_DEFAULT_SPARSITY) "; and the sparsest path that is not cut where that one is"),
    REAL("mass", CP_GROUP_PATH, mass, "M", 1e-9, 1,
         "of -sparsity auto: share of the sum of all scores that the path holds", .initial = CP_TEXT(CP_MASS),
         .methods = "mct intgrad lrp eapig ablation shapley"),
    REAL("floor", CP_GROUP_PATH, floor, "F", 0, 1,
         "keep at least this share of every layer that the response depends on", .initial = "0"),
    CHOICE("granularity", CP_GROUP_PATH, granularity, granularities,
           "channel: channels are kept or dropped whole, by the sum of their neurons' scores; dgr has a gate for each",
           .otherwise = "neuron; with -preset wang channel"),
    FILENAME("score", CP_GROUP_PATH, score, "FILE", "select from this score file instead of scoring"),
    FILENAME("path", CP_GROUP_PATH, path, "FILE", "use this path file instead of scoring and selecting"),
    CHOICE("offpath", CP_GROUP_PATH, offpath, offpaths,
           "what neurons off the path hold: their value in the original run, or zero; kept: zero, and max-pools look at "
           "the path alone",
           .initial = "frozen"),
    TEXT("baseline", CP_GROUP_PATH, baseline, "zero|mean=LIST|image=FILE",
         "what neurons are compared with, and hold off the path where they do not hold zero: their mean over a list of "
         "pictures, or what they are in one",
         .initial = "zero", .methods = "mct lrp eapig"),
    CHOICE("rank", CP_GROUP_PATH, rank, ranks,
           "how neurons compete for the path; layer: by their share of their layer's scores, so that none is starved",
           .initial = "network"),
    CHOICE("map", CP_GROUP_PATH, map, maps,
           "what picture and text show: where the path's neurons speak for the response, or the pathway gradient",
           .initial = "contribution"),
    CHOICE("planes", CP_GROUP_PATH, planes, planes,
           "of the contribution map: layers by how far apart their cells lie in the network's input; fine: fewer than 12 pixels; "
           "coarse: the others; auto: fine, or coarse where those hold no heat",
           .initial = "auto"),
    FLAG("restricted", CP_GROUP_PATH, restricted,
         "of the contribution map: contributions in the network that the path leaves (frozen), by one more backward run"),
    INT("seed", CP_GROUP_PATH, seed, "N", 0, 2147483647, "of whatever is drawn at random", .initial = "0"),

    CHOICE("mode", CP_GROUP_COMMAND, mode, modes,
           "what neurons off the path hold: their value in the original run, or zero; gate: a factor that learns",
           .initial = "frozen"),
    FILENAME("off", CP_GROUP_COMMAND, off, "FILE",
             "frozen: values off the path, an .npz with a float32 array for each of the path's"),
    FILENAME("data", CP_GROUP_COMMAND, data, "FILE",
             "a .data file, whose valid list (without one: train) names the pictures to look at"),
    FILENAME("list", CP_GROUP_COMMAND, list, "FILE", "pictures from this file, one path per line"),
    INT("images", CP_GROUP_COMMAND, images, "N", 1, 1000000, "only the first N pictures",
        .otherwise = "all of -list, " CP_TEXT(CP_DATA_PICTURES) " of -data"),
    TEXT("edges", CP_GROUP_COMMAND, edges, "channels|LAYER:INDEX",
         "write PREFIX.edges.npz too: what channels contribute to those of the layers that read them, or every neuron to this one"),
    FILENAME("typical", CP_GROUP_COMMAND, typical, "FILE",
             "say how much of the answer's path lies on the usual path of its class, of a file that classpath has written"),
    REAL("usual", CP_GROUP_COMMAND, usual, "S", 0, 1,
         "the usual path of a class: neurons on at least this share of its images' paths; 0: on any", .initial = ".5"),
    NUMBER("strength", CP_GROUP_COMMAND, strength, CP_OPTION_LIST, "E[,E...]", 1e-3, 255,
           "how far an attack may move each value of the input, in 255ths", .initial = "2,4,8"),
    FLAG("compare", CP_GROUP_COMMAND, compare,
         "two path files among the arguments: what they share and where they part; with a photo for both, or one for each, edges too"),
    INT("nodes", CP_GROUP_COMMAND, nodes, "NODES", 4, 60, "most nodes of the graph, the grey ones among them", .initial = "60"),
    REAL("keep", CP_GROUP_COMMAND, keep, "SHARE", 1e-6, 1,
         "share of the channels that stay, of those that can be cut; the best of the network",
         .otherwise = "all with any score"),
    INT("random", CP_GROUP_COMMAND, random, "SEED", 1, 2147483647,
        "keep as many channels of each layer, but drawn at random: to compare with"),
    CHOICE("removed", CP_GROUP_COMMAND, removed, removals,
           "what a channel that goes counts as behind it: zero, or its mean over the images, which moves biases and "
           "rolling means there",
           .initial = "zero"),
    FILENAME("valid", CP_GROUP_COMMAND, valid, "LIST",
             "classifier: top-1 over the pictures of this list, before and after; [data] has the labels"),
    TEXT("metrics", CP_GROUP_COMMAND, metrics, "T,T...", "tests; all: every one",
         .otherwise = "deletion,insertion,energy,pointing,seconds"),
    INT("points", CP_GROUP_COMMAND, points, "N", 2, 1000, "steps of the deletion and insertion curves", .initial = "50"),
    INT("layer", CP_GROUP_COMMAND, layer, "L", -1, 100000, "the layer that class activation maps read; -1: the last with more "
        "than one position that leads to the response", .initial = "-1"),
    FLAG("resume", CP_GROUP_COMMAND, resume, "go on with the lines that PREFIX.jsonl has already"),
    TEXT("shard", CP_GROUP_COMMAND, shard, "I/N|auto[/N]",
         "every Nth line of the list, from the Ith on, for N processes on any machines, whose results `merge` puts together; auto: as "
         "Slurm, MPI or GNU parallel number them"),
    INT("examples", CP_GROUP_COMMAND, examples, "N", 0, 50, "pictures of the worst and as many of the most typical errors of each type",
        .initial = "2"),
    NUMBER("fractions", CP_GROUP_COMMAND, fractions, CP_OPTION_LIST, "F[,F...]", 0, 1,
           "shares of the pixels that are removed, ascending", .initial = ".1,.3,.5,.7,.9"),
    INT("repeats", CP_GROUP_COMMAND, repeats, "N", 1, 100, "trainings of each kind, from other seeds", .initial = "3"),
    FLAG("kar", CP_GROUP_COMMAND, kar, "as many trainings again, without the lowest pixels: keep and retrain"),
    INT("road", CP_GROUP_COMMAND, road, "N", 0, 1000000, "test pictures of ROAD, the proxy without training; 0: leave it out",
        .initial = "200"),
    CHOICE("order", CP_GROUP_COMMAND, order, orders,
           "which layers get random weights: from the last on, from the first on, or each alone", .initial = "top-down"),
    CHOICE("initialiser", CP_GROUP_COMMAND, initialiser, initialisers,
           "random weights: N(0,.1) with biases and scales too, or as Darknet starts a training", .initial = "normal"),
    INT("stages", CP_GROUP_COMMAND, stages, "N", 0, 10000,
        "measure after N layers alone, evenly spread and the last among them; 0: after each", .initial = "0"),
    INT("noisy", CP_GROUP_COMMAND, noisy, "N", 0, 10000,
        "smooth MPRT: maps are means over N noisy copies of the photo (50 in the paper); 0: plain", .initial = "0"),
    FLAG("hog", CP_GROUP_COMMAND, hog, "compare histograms of oriented gradients too"),
    FLAG("synthesis", CP_GROUP_COMMAND, synthesis,
         "make images that the whole network, its active subnet and each selector's path answer strongly; what is done unasked"),
    FLAG("neuron", CP_GROUP_COMMAND, neuron, "make images of the channels of each path's top neuron, in the last layer with a plane"),
    FLAG("accentuate", CP_GROUP_COMMAND, accentuate, "change the photo into what the path wants more of"),
    FILENAME("samples", CP_GROUP_COMMAND, samples, "LIST",
             "crops of this list's pictures in which the path's top channels contribute most"),
    FLAG("same", CP_GROUP_COMMAND, same, "-samples: only answers of the explained class in the list's pictures, not every answer"),
    TEXT("selectors", CP_GROUP_COMMAND, selectors, "M,M...", "methods whose paths are decoded beside each other",
         .otherwise = "-method alone"),
    CHOICE("parameters", CP_GROUP_COMMAND, parameters, parameterisations,
           "of images that are made: raw pixels, as the paper; frequencies in colours without correlation; their phases alone, with "
           "the spectrum of -spectrum's pictures",
           .initial = "fourier"),
    FILENAME("spectrum", CP_GROUP_COMMAND, spectrum, "LIST", "maco: pictures whose mean spectrum images get", .otherwise = "that of -samples"),
    INT("iters", CP_GROUP_COMMAND, iters, "N", 1, 1000000, "steps of the ascent",
        .otherwise = "128; pixels 512, maco 256, -accentuate 100"),
    REAL("near", CP_GROUP_COMMAND, near, "R", 0, 1e6,
         "-accentuate: weight of the mean squared distance from the photo, in units of the response at the start", .initial = "10"),
    TEXT("channel", CP_GROUP_COMMAND, channel, "LAYER:CHANNEL", "-samples: this channel, on the path or not"),
    INT("channels", CP_GROUP_COMMAND, channels, "N", 1, 64, "channels of the path that -samples shows", .initial = "8"),
    INT("crops", CP_GROUP_COMMAND, crops, "N", 1, 64, "pictures of each channel that -samples shows", .initial = "6"),
    FILENAME("generator", CP_GROUP_COMMAND, generator, "FILE", "path, eval: the generator that `gen train` has written"),
    INT("epochs", CP_GROUP_COMMAND, epochs, "N", 1, 100000, "train: passes over the answers", .initial = "4"),
    INT("batch", CP_GROUP_COMMAND, batch, "N", 1, 4096, "train: answers of a step", .initial = "32"),
    INT("width", CP_GROUP_COMMAND, width, "N", 1, 4096, "train: of the generator's hidden layers", .initial = "128"),
    REAL("weight", CP_GROUP_COMMAND, weight, "R", 0, 1e6, "train: of the sparsity loss; more closes more gates", .initial = ".5"),
    REAL("allowed", CP_GROUP_COMMAND, allowed, "R", 0, 1e6,
         "train: gates of an answer are closed while its KL is at most this; less keeps more answers and opens more", .initial = ".05"),
    CHOICE("without", CP_GROUP_COMMAND, without, losses, "train: leave this loss out, to see what it does", .initial = "nothing"),
    REAL("eps", CP_GROUP_COMMAND, eps, "E", 0, 1,
         "sparsest path: probability, of a detection its box's, at least (1-E) times the original's; 1: the arg-max (-thresh) alone", .initial = ".5"),
    INT("checks", CP_GROUP_COMMAND, checks, "N", 0, 4096, "sparsest path: smaller sizes tried after the bisection",
        .initial = "32"),
    INT("draws", CP_GROUP_COMMAND, draws, "N", 0, 1000, "random paths per size, of which the mean is taken",
        .initial = "1"),
    CHOICE(
        "norms", CP_GROUP_COMMAND, norms, norms,
        "of gradients; exact: one linear pass per input value; estimate: from probes; auto: exact where that is cheap",
        .initial = "auto"),
    INT("maxpool", CP_GROUP_COMMAND, maxpool, "0|1", 0, 1,
        "1: changes of max-pool winners bound the region too; 0: leave them out, as the paper does", .initial = "1"),
    INT("probes", CP_GROUP_COMMAND, probes, "N", 1, 100000, "estimate: Gaussian directions", .initial = "64"),
    INT("refine", CP_GROUP_COMMAND, refine, "N", 1, 4096,
        "estimate: nearest neurons, and nearest max-pool windows, made exact", .initial = "64"),
    REAL("agree", CP_GROUP_COMMAND, agree, "A", 1e-6, 1,
         "share of the images whose class must stay for gates to qualify", .initial = "1"),

    TEXT("steps", CP_GROUP_METHOD, steps, "auto|N",
         "intgrad: N midpoints in every layer, as in the paper; auto: refined in each layer until its sum is right and its "
         "order has settled. eapig: N inputs; auto: 5",
         .initial = "auto", .methods = "intgrad eapig"),
    REAL("tol", CP_GROUP_METHOD, tolerance, "T", 1e-6, 1,
         "error of a layer's sum that -steps auto allows, relative to the response", .initial = ".01",
         .methods = "intgrad"),
    INT("sample", CP_GROUP_METHOD, sample, "N", 1, 1e9,
        "only that many neurons, drawn at random, with their rank correlation against mct and intgrad",
        .otherwise = "every neuron", .methods = "ablation"),
    CHOICE("keeps", CP_GROUP_METHOD, keeps, keeps,
           "effective: each unit's fewest inputs whose sum reaches -theta of all; absolute: inputs of at least -theta of the "
           "layer's largest activation; forward: neurons whose own activation is at least that",
           .initial = "share", .methods = "effective"),
    REAL("theta", CP_GROUP_METHOD, theta, "T", 1e-9, 1, "effective: see -keeps", .initial = ".5", .methods = "effective"),
    INT("permutations", CP_GROUP_METHOD, permutations, "N", 2, 1e9, "orders drawn per layer", .initial = "64",
        .methods = "shapley"),
    INT("exact", CP_GROUP_METHOD, exact, "N", 0, 20, "enumerate the subsets in layers of at most N players",
        .initial = "12", .methods = "shapley"),
    INT("protect", CP_GROUP_METHOD, protect, "0|1", 0, 1,
        "1: never remove a neuron that is dead in the current network, as the paper has it", .initial = "1",
        .methods = "greedy"),
    CHOICE("preset", CP_GROUP_METHOD, preset, presets,
           "settings of dgr: of the paper's code, or of Wang et al. paper, with any method: what the paper takes, where no option "
           "says otherwise: sparsity .9, the pathway gradient, 50 steps, code. ",
           .detail = describe_presets, .initial = "code", .methods = DGR),
    INT("iterations", CP_GROUP_METHOD, iterations, "N", 1, 1000000, "descent steps of a round",
        .otherwise = "the preset's", .methods = DGR),
    CHOICE("init", CP_GROUP_METHOD, init, starts, "where the gates start; random: U(0,1)", .initial = "1",
           .methods = "dgr dgr-active"),
    INT("rounds", CP_GROUP_METHOD, rounds, "N", 1, 1000,
        "rounds of -iterations at most; gamma falls after one that never kept the prediction", .initial = "100",
        .methods = DGR),
    REAL("rate", CP_GROUP_METHOD, rate, "R", 1e-9, 1e3, "learning rate", .otherwise = "the preset's", .methods = DGR),
    REAL("momentum", CP_GROUP_METHOD, momentum, "M", 0, 1, "momentum", .below_max = true, .initial = ".9",
         .methods = DGR),
    REAL("gamma", CP_GROUP_METHOD, gamma, "G", 0, 1e6,
         "lrp: how much the rule favours what has the sign of the sum, 0 is mct; dgr: weight of the gates' sum in the loss",
         .otherwise = CP_TEXT(CP_DEFAULT_GAMMA) "; of dgr the preset's", .methods = "lrp " DGR),
    REAL("clamp", CP_GROUP_METHOD, clamp, "C", 1, 1e6, "largest gate", .otherwise = "the preset's", .methods = DGR),

    TEXT("out", CP_GROUP_RESULT, out, "PREFIX",
         "where results go: PREFIX.png ...; several images: PREFIX-STEM; a folder: PREFIX/STEM; `folder/` is made",
         .otherwise = "STEM.critpath"),
    CHOICE(
        "picture", CP_GROUP_RESULT, picture, pictures,
        "sheet: photo, heat and the region that holds half of it, side by side; heat, zoom: that panel alone; signed: "
        "the map with its signs beside the photo",
        .initial = "sheet"),
    CHOICE("colour", CP_GROUP_RESULT, colour, colours, "scale of the heat, dark to light", .initial = "inferno"),
    REAL("alpha", CP_GROUP_RESULT, alpha, "A", 0, 1, "opacity of the greatest heat over the photo", .initial = ".85"),
    REAL("blur", CP_GROUP_RESULT, blur, "B", 0, .5,
         "smooth the map for picture and region by a Gaussian, sigma as a share of the photo's longer side",
         .otherwise = ".01, of a gradient .02, of -picture signed 0"),
    FLAG("no-picture", CP_GROUP_RESULT, no_picture, "write no .png"),
    FLAG("layers", CP_GROUP_RESULT, layers, "print every layer, not the network alone"),
    FLAG("json", CP_GROUP_RESULT, json, "one JSON object per image on stdout instead of text"),
    FLAG("quiet", CP_GROUP_RESULT, quiet, "no timing, progress or warnings on stderr"),

    INT("threads", CP_GROUP_RUN, threads, "N", 0, 1024, "0: one per core; the results do not depend on it",
        .initial = "0"),
    NUMBER("mem", CP_GROUP_RUN, mem, CP_OPTION_SIZE, "SIZE", 1, 0,
           "cap on the run's buffers, e.g. 2G; shrinks batches; a part of it may hold faster copies of the weights",
           .otherwise = "what the run needs"),
    INT("i", CP_GROUP_RUN, gpu, "N", -1, 1023, "GPU to use, where the build has one", .initial = "0"),
    TEXT("gpus", CP_GROUP_RUN, gpus, "N[,N...]", "share a list of images out over these GPUs"),
    CHOICE("host", CP_GROUP_RUN, host, hosts,
           "whose Darknet the network is answered for: batch norm, preparation of photos, thresholds, order of boxes; auto: "
           "alexey where the cfg has what Debian's Darknet does not know, else debian",
           .initial = "auto"),
    CHOICE("keys", CP_GROUP_RUN, keys, keys,
           "keys of the cfg that no Darknet has in such a section are an error, or a warning", .initial = "strict"),
    INT("exif", CP_GROUP_RUN, exif, "0|1", 0, 1,
        "1: photos are turned upright as their EXIF data says, as Darknet does that was built with OpenCV; 0: they stay as "
        "stored, as in other builds",
        .initial = "1"),
    FLAG("nogpu", CP_GROUP_RUN, nogpu, "stay on the CPU"),
    FLAG("dont_show", CP_GROUP_RUN, accepted, "accepted for habit's sake, nothing is ever shown in a window"),
    FLAG("ext_output", CP_GROUP_RUN, accepted, "accepted for habit's sake, boxes are always printed"),
    FLAG("h", CP_GROUP_RUN, help, "this text; also -help"),
};
const int cp_option_count = sizeof cp_option_table / sizeof *cp_option_table;

/* Options that every command takes. */
static const char common[] = "json quiet threads mem i host keys exif nogpu dont_show ext_output h";

bool cp_has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at && *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (!strncmp(at, word, length) && (!at[length] || at[length] == ' '))
            return true;
    return false;
}

bool cp_command_takes(const cp_command *command, const char *option)
{
    return *option && (cp_has_word(command->options, option) || cp_has_word(common, option));
}

const cp_option *cp_option_find(const char *name)
{
    for (int i = 0; i < cp_option_count; i++)
        if (!strcmp(cp_option_table[i].name, name))
            return &cp_option_table[i];
    return NULL;
}

static void change_text(const char **text, const char *change)
{
    if (change)
        *text = *change ? change : NULL;
}

cp_option cp_option_in(const cp_command *command, const cp_option *option)
{
    cp_option here = *option;
    for (const cp_option_change *change = command->changes; change && change->option; change++) {
        if (strcmp(change->option, option->name))
            continue;
        change_text(&here.value, change->value);
        change_text(&here.initial, change->initial);
        change_text(&here.otherwise, change->otherwise);
        change_text(&here.meaning, change->meaning);
        change_text(&here.methods, change->methods);
        here.required = change->required;
    }
    return here;
}

const cp_method_text *cp_method_text_find(const char *name)
{
    for (const cp_method_text *row = cp_method_texts; row->name; row++)
        if (!strcmp(row->name, name))
            return row;
    return NULL;
}

bool cp_method_known(const cp_command *command, const char *method)
{
    for (const cp_method_text *row = cp_method_texts; row->name; row++)
        if (!strcmp(row->name, method))
            return command->plain || row[1].name;
    return command->plain && cp_attribution_find(method);
}

const char *cp_option_values(const cp_command *command, const cp_option *option, char *text, size_t size)
{
    size_t used = 0;
    *text = 0;
    if (option->kind == CP_OPTION_INT && option->min == 0 && option->max == 1)
        snprintf(text, size, "0|1");
    for (int i = 0; option->kind == CP_OPTION_CHOICE && option->values[i] && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? "|" : "", option->values[i]);
    for (const cp_method_text *row = cp_method_texts; option->kind == CP_OPTION_METHOD && row->name && used < size;
         row++)
        if (cp_method_known(command, row->name))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "|" : "", row->name);
    for (const cp_attribution *map = cp_attributions; option->kind == CP_OPTION_METHOD && command->plain && map->name; map++)
        if (!cp_method_text_find(map->name) && used < size)
            used += (size_t)snprintf(text + used, size - used, "|%s", map->name);
    return text;
}

const char *cp_choice_name(const char *option, int value)
{
    const cp_option *row = cp_option_find(option);
    for (int i = 0; row && row->values && row->values[i]; i++)
        if (i == value)
            return row->values[i];
    return "";
}

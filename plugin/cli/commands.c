/* The table of subcommands. */
#include "cli/commands.h"

#include <string.h>

#define IMAGES "[data|names] <cfg> <weights> [image ...]"
#define RESPONSE "class versus box target unit thresh nms letterbox names "
#define DRAWN "keeps theta baseline seed steps tol permutations exact iterations protect preset init rounds rate momentum gamma clamp "
#define SCORING "granularity " DRAWN
#define SELECTION "method sparsity mass floor rank " SCORING

/* Networks that the project brings along, in a checkout and among the installed examples. */
#define PICTURE "picture colour alpha blur "
#define SIGNS_NETWORK "cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights "
#define SIGNS "cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights examples/signs-two.png "
#define PHOTO "cfg/cifar10.data cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights examples/signs-two.png "

static const cp_option_change explain_changes[] = {
    {.option = "layers", .meaning = "print tables by layer, of the channels and of the neurons, and every detection"},
    {0}};
static const cp_option_change score_changes[] = {
    {.option = "tol", .methods = "intgrad ablation"}, /* the sample of ablation is compared with intgrad */
    {.option = "sparsity",
     .value = "S[,S...]",
     .methods = "greedy",
     .meaning = "stop taking neurons out when that share is gone; of a list the largest",
     .otherwise = CP_TEXT(CP_DEFAULT_SPARSITY)},
    {0}};
static const cp_option_change path_changes[] = {
    {.option = "out", .meaning = "PREFIX.path.npz; several images: PREFIX-STEM; a folder: PREFIX/STEM",
     .otherwise = "STEM.critpath; with -score the stem of that file"},
    {0}};
static const cp_option_change classpath_changes[] = {
    {.option = "list", .meaning = "the images, one path per line"},
    {.option = "edges", .value = "channels", .meaning = "-method effective: count which channels its edges join, too"},
    {.option = "sparsity", .value = "auto|S", .meaning = "share of neurons off the paths; one value"},
    {.option = "out", .meaning = "PREFIX.classpath.npz", .otherwise = "classes"},
    {0}};
static const cp_option_change attack_changes[] = {
    {.option = "typical", .meaning = "class paths of the photos that an answer is compared with", .required = true},
    {.option = "sparsity", .value = "auto|S", .meaning = "share of neurons off the paths; one value"},
    {.option = "out", .meaning = "PREFIX.csv", .otherwise = "attack"},
    {0}};
static const cp_option_change graph_changes[] = {
    {.option = "restricted", .meaning = "edges in the network that the path leaves (frozen), between its neurons alone"},
    {.option = "out", .meaning = "PREFIX.graph.png, .svg, .dot and .json; several images: PREFIX-STEM; a folder: PREFIX/STEM"},
    {0}};
static const cp_option_change grad_changes[] = {
    {.option = "method", .value = "METHOD", .meaning = "how neurons are scored, or which map; listed below"},
    {.option = "layer", .methods = "gradcam layercam odam eigencam"},
    {.option = "mass",
     .methods = "mct intgrad lrp eapig ablation shapley contribution contribution-all contribution-coarse "
                "contribution-restricted pathway pathway-zeroed"},
    {0}};
static const cp_option_change compare_changes[] = {
    {.option = "sparsity",
     .value = "S[,S...]",
     .meaning = "share of neurons off the paths; a list sweeps",
     .otherwise = CP_TEXT(CP_DEFAULT_SPARSITY)},
    {.option = "out", .meaning = "write PREFIX.json, PREFIX.csv, PREFIX.matrix.png and PREFIX.layers.png",
     .otherwise = "no file is written"},
    {0}};
static const cp_option_change eval_changes[] = {
    {.option = "methods", .meaning = "maps to measure, each NAME[:SCORES][@SPARSITY][~BLUR], as pathway:lrp@.99; rows that never look at the photo are added",
     .otherwise = CP_DEFAULT_MAPS},
    {.option = "mass", .meaning = "of paths without @SPARSITY: share of the sum of all scores that the path holds"},
    {.option = "blur", .meaning = "sigma of a Gaussian that smooths every map without ~BLUR, as a share of the photo's longer side",
     .otherwise = "0"},
    {.option = "out", .meaning = "PREFIX.jsonl (a line per image), PREFIX.csv and PREFIX.png (curves)",
     .otherwise = "eval"},
    {0}};
static const cp_option_change sanity_changes[] = {
    {.option = "methods", .meaning = "maps to test, each NAME[:SCORES][@SPARSITY][~BLUR], as pathway:lrp@.99; rows that never look at the photo are added",
     .otherwise = CP_DEFAULT_MAPS},
    {.option = "mass", .meaning = "of paths without @SPARSITY: share of the sum of all scores that the path holds"},
    {.option = "blur", .meaning = "sigma of a Gaussian that smooths every map without ~BLUR, as a share of the photo's longer side",
     .otherwise = "0"},
    {.option = "layers", .meaning = "print every measure after every layer"},
    {.option = "out", .meaning = "PREFIX.csv (a line per image, map and layer), PREFIX.json (means) and PREFIX.png (curves)",
     .otherwise = "sanity"},
    {0}};
static const cp_option_change roar_changes[] = {
    {.option = "methods", .meaning = "maps to compare, each NAME[:SCORES][@SPARSITY][~BLUR], as pathway:lrp@.99; rows that never look at the picture are added",
     .otherwise = CP_DEFAULT_MAPS},
    {.option = "mass", .meaning = "of paths without @SPARSITY: share of the sum of all scores that the path holds"},
    {.option = "blur", .meaning = "sigma of a Gaussian that smooths every map without ~BLUR, as a share of the picture's longer side",
     .otherwise = "0"},
    {.option = "resume", .meaning = "go on with what FOLDER holds already"},
    {.option = "out", .value = "FOLDER", .meaning = "the folder of all results, which is made", .otherwise = "roar"},
    {0}};
static const cp_option_change errors_changes[] = {
    {.option = "thresh", .meaning = "detector: least probability of a detection that is explained; AP goes down to .005"},
    {.option = "mass", .meaning = "share of the sum of all scores that a path holds, of neurons for the map, of channels to compare"},
    {.option = "list", .meaning = "the images, one path per line, instead of valid= of the .data file"},
    {.option = "out", .meaning = "PREFIX.jsonl (a line per image), .csv, .json, .results.json, .truth.json, .manifest.json and pictures",
     .otherwise = "errors"},
    {0}};
static const cp_option_change merge_changes[] = {
    {.option = "out", .meaning = "PREFIX.jsonl", .otherwise = "", .required = true}, {0}};
static const cp_option_change decode_changes[] = {
    {.option = "rate", .meaning = "step of the ascent", .otherwise = ".05, of maco 1", .methods = ""},
    {.option = "layer", .meaning = "-samples: channels of this layer alone; -1: the best of every layer, from the response back"},
    {.option = "resume", .meaning = "-samples: go on with the lines that PREFIX.samples.jsonl has already, of another photo too"},
    {.option = "out",
     .meaning = "PREFIX-synthesis.png, PREFIX-accentuation.png, PREFIX-neuron.png, PREFIX.samples.png, PREFIX.json, and each image as "
                ".png and .npy"},
    {0}};
static const cp_option_change gen_changes[] = {
    {.option = "rate", .meaning = "train: of Adam", .otherwise = ".001", .methods = ""},
    {.option = "list", .meaning = "train, eval: pictures from this file, one path per line"},
    {.option = "images", .meaning = "train, eval: only the first N pictures of -list", .otherwise = "all"},
    {.option = "selectors", .meaning = "eval: methods to compare with, each with as many channels as the generator opens",
     .otherwise = "mct,random"},
    {.option = "out", .meaning = "train: PREFIX.gen.npz; path: PREFIX.path.npz; eval: PREFIX.json", .otherwise = "generator; STEM.critpath; gen"},
    {0}};
static const cp_option_change faithful_changes[] = {
    {.option = "sparsity", .value = "S[,S...]", .meaning = "the sizes measured: shares of neurons off the path",
     .otherwise = "sizes from a few neurons to all that score"},
    {.option = "offpath",
     .initial = "",
     .otherwise = "kept, on a GPU zeroed",
     .meaning = "the network that carries the answer; zeroed: neurons off the path hold zero; kept: and max-pools look at the "
                "path alone"},
    {.option = "checks", .meaning = "sparsest path: smaller sizes tried after the bisection; 0: it is not looked for"},
    {.option = "draws", .meaning = "random paths per size, of which the mean is taken; 0: none"},
    {0}};
static const cp_option_change insert_changes[] = {
    {.option = "out", .value = "CFG", .meaning = "the cfg to write", .otherwise = "", .required = true}, {0}};
static const cp_option_change watch_changes[] = {
    {.option = "out", .meaning = "PREFIX.csv and PREFIX.png; of checkpoints PREFIX.jsonl too",
     .otherwise = "STEM.critpath, of the cfg or the log"},
    {0}};
static const cp_option_change picture_changes[] = {
    {.option = "out", .meaning = "PREFIX.png", .otherwise = "the array's name with .png for .npy"},
    {0}};
static const cp_option_change prune_changes[] = {
    {.option = "sparsity", .value = "auto|S", .meaning = "share of neurons off the paths found for images; one value"},
    {.option = "out",
     .meaning = "PREFIX.cfg and PREFIX.weights, the smaller network",
     .otherwise = "",
     .required = true},
    {0}};
static const cp_option_change gates_changes[] = {
    {.option = "sparsity", .value = "S[,S...]", .meaning = "share of neurons off the path; a list sweeps",
     .otherwise = CP_TEXT(CP_DEFAULT_SPARSITY) ", or the sparsest path that is not cut"},
    {.option = "class", .meaning = "take only the images of which this is the top class"},
    {.option = "out", .meaning = "PREFIX.gates.npz and PREFIX.path.npz",
     .otherwise = "STEM.critpath, of the image or the list"},
    {0}};

/* A new command is a row here and a file beside this one. */
const cp_command cp_commands[] = {
    {"explain", IMAGES, "Predict, score the neurons, select the critical path, draw the pixels it read.",
     SELECTION RESPONSE "offpath map planes restricted typical usual top layers " PICTURE "no-picture shard out gpus",
     "Writes PREFIX.png (photo beside the map), PREFIX.npy (the map: float32, C,H,W of the network input), "
     "PREFIX.path.npz (the path) and PREFIX.json (summary). No image: one path per line on stdin.",
     SIGNS "-class cross -out cross", cp_run_explain, .changes = explain_changes},
    {"layers", "[data|names] <cfg> [weights]",
     "List the layers: shapes, parameters, cost, which are neuron layers, and what is not supported.", "",
     "Lists a cfg that is refused as well, with the reason at each layer.", "cfg/tiny-yolo-signs.cfg", cp_run_layers,
     .changes = NULL},
    {"score", IMAGES, "Score every neuron's contribution to the response.",
     "method sparsity sample edges " SCORING RESPONSE "shard out gpus",
     "Writes PREFIX.score.npz: one float32 array (C,H,W) per neuron layer, and meta.json. Edges are activation times gradient, "
     "whatever the method; those that leave a channel sum to its signed mct score.", SIGNS "-out cross",
     cp_run_score, .changes = score_changes},
    {"path", IMAGES, "Select the critical path of the response.", SELECTION RESPONSE "score shard out gpus",
     "Writes PREFIX.path.npz: one bool array (C,H,W) per neuron layer, and meta.json. With -score no image is needed.",
     SIGNS "-sparsity .9,.99 -out cross", cp_run_path, .changes = path_changes},
    {"grad", IMAGES, "The pathway gradient: how the response changes with each pixel through the path alone.",
     SELECTION RESPONSE "path offpath layer " PICTURE "no-picture shard out gpus",
     "Writes PREFIX.npy (float32, C,H,W of the network input) and PREFIX.png. -method gradient is the plain gradient "
     "of the whole network; -method gradcam and other maps give PREFIX.npy one plane, (1,H,W). A path file brings its "
     "response along, unless -class, -versus, -box or -unit names one.",
     SIGNS "-path cross.path.npz -out map", cp_run_grad, .plain = true, .changes = grad_changes},
    {"graph", "[data|names] <cfg> <weights> [image ...] [a.path.npz b.path.npz]", "Draw the pathway as a graph: the channels that carry the answer, and what they contribute to each other.",
     SELECTION RESPONSE "nodes compare restricted out",
     "Writes PREFIX.graph.png and .svg (layers from the photo to the answer; the channels that score most, all others of a layer as "
     "one grey node, so that shares add up to 100%), .graph.dot for Graphviz and .graph.json (node-link data, NetworkX). Edges are "
     "activation times gradient, whatever the method.",
     SIGNS "-class cross -out cross", cp_run_graph, .changes = graph_changes},
    {"classpath", "[data|names] <cfg> <weights> [image ...] [part.classpath.npz ...]",
     "Count, for each class that the network answers, on how many images' paths each neuron and channel is.",
     SELECTION RESPONSE "edges list shard out",
     "Writes PREFIX.classpath.npz: whole numbers, so that counts of parts of a list, given in the place of images, add up to those of "
     "the whole. -edges channels counts the edges of effective paths too. No image: one path per line on stdin. explain -typical and "
     "attack read the file.",
     PHOTO "-method effective -out signs", cp_run_classpath, .changes = classpath_changes},
    {"attack", IMAGES, "Make inputs that are answered wrongly, and see whether their paths give them away.",
     "typical usual strength " SELECTION "letterbox names out",
     "Classifiers. FGSM and ten steps of PGD away from the class that the photo is answered, by the network's own input gradient. "
     "Area under the ROC curve of the path's share on its class's usual path, of the same less the second class's, of the largest "
     "softmax and of energy. The attacks are not adaptive: one that knows of the paths may pass. Writes PREFIX.csv, a line per "
     "input with both features of each layer, for scikit-learn. Paths are found as the class paths of -typical were.",
     PHOTO "-method effective -typical signs.classpath.npz -out attack", cp_run_attack, .changes = attack_changes},
    {"picture", "<map.npy> <photo>", "Draw the picture of a map again, from files, without a network.",
     PICTURE "letterbox out",
     "Takes PREFIX.heat.npy, PREFIX.npy, or any float32 array over a network input: (H,W) is heat, (2,H,W) heat and "
     "counter-evidence, (C,H,W) a gradient. Title, box and captions come from the .json file of `explain` beside it, "
     "where there is one. Writes PREFIX.png.",
     "cross.heat.npy examples/signs-two.png -picture heat -colour viridis -out again", cp_run_picture,
     .changes = picture_changes},
    {"compare", "[data|names] <cfg> <weights> [image ...] [path.npz ...]",
     "What the paths of several methods, or of path files, have in common: dead share and Jaccard.",
     "methods sparsity floor rank layers " SCORING RESPONSE "no-picture out",
     "Means and deviations over the images, beside the value that chance gives: paths of densities p and q share "
     "pq/(p+q-pq).",
     SIGNS "-methods mct,active,random -out paths", cp_run_compare, .changes = compare_changes},
    {"eval", IMAGES, "Which map is right: every map on the same photos, by deletion, insertion, place and more, with errors.",
     "methods metrics points layer mass blur resume shard seed " RESPONSE "picture no-picture out",
     "Boxes are true ones where Darknet's label file lies (images/ -> labels/), else the predicted ones; masks/NAME.png takes a "
     "box's place: of a classifier all that is not black, of a detector grey level k for line k of the labels. Each image is a line of "
     "PREFIX.jsonl; a run that was stopped goes on with -resume.",
     SIGNS "-methods contribution,pathway@.99,gradient,gradcam -points 10 -out maps", cp_run_eval, .changes = eval_changes},
    {"errors", "[data|names] <cfg> <weights> [image ...]",
     "Why a network errs on a list: types of errors, average precision, the paths that errors share, pictures.",
     "list examples mass resume shard seed thresh nms letterbox names " PICTURE "no-picture out",
     "Images are those of valid= of the .data file, with Darknet's label files (images/ -> labels/); a classifier's classes are found by "
     "the labels in the photos' paths. Types are TIDE's: Cls, Loc, Both, Dupe, Bkg, Missed. Each image is a line of PREFIX.jsonl; a "
     "run that was stopped goes on with -resume.",
     SIGNS "-no-picture -out signs", cp_run_errors, .changes = errors_changes},
    {"merge", "<shard.jsonl ...>", "Put the lines that the shards of a run wrote together, as one process would have written them.",
     "out",
     "Shards are written by `errors` and `eval` with -shard I/N. Missing, unfinished and foreign ones are refused, by name. Writes "
     "PREFIX.jsonl; the command of the shards, without -shard and with -resume and that -out, makes tables and pictures of it.",
     "signs.jsonl -out whole", cp_run_merge, .changes = merge_changes},
    {"sanity", IMAGES, "Does a map depend on the network at all: what is left of it when layers get random weights.",
     "methods order initialiser stages noisy hog layer mass blur layers seed " RESPONSE "no-picture out",
     "The weights change in a copy in memory. A map that stays as it is without any trained weight is named. Beside it: the map of "
     "another class, that of a shifted photo in a network shifted with it, and whether a map's sum is what the response gained.",
     SIGNS "-methods contribution,gradient,gbp,edges -stages 3 -out sane", cp_run_sanity, .changes = sanity_changes},
    {"roar", "<data> <cfg> <weights>",
     "Which map finds what a network learns from: remove what it ranks highest, train anew, measure what is left.",
     "methods fractions repeats kar road layer mass blur resume seed out",
     "train= and valid= of the .data file are the pictures, which are cut to the network's input. Networks are trained from scratch "
     "by `darknet classifier train` with the same cfg and a fixed seed. Hours: each training is a line of FOLDER/roar.jsonl, and a "
     "run that was stopped goes on with -resume. Writes FOLDER/roar.csv, FOLDER/roar.png and FOLDER/maps, the maps as floats.",
     "cfg/cifar10.data cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights -methods contribution,gradient -resume -out roar",
     cp_run_roar, .changes = roar_changes},
    {"decode", "[data|names] <cfg> <weights> <image>",
     "What a path stands for: pictures its channels contribute to, images it answers, what it wants more of.",
     "synthesis neuron accentuate samples same layer selectors parameters spectrum iters rate near channel channels crops path method sparsity mass "
     "floor rank granularity resume seed " RESPONSE "out",
     "Images are made by gradient ascent in the network zeroed off the path; which are made depends on how they are parameterised "
     "and on the seed, and they are no photos of what the network knows. Samples are ranked by what a channel gave to the answer, "
     "not by how active it was.",
     SIGNS "-class cross -iters 64 -out stands", cp_run_decode, .changes = decode_changes},
    {"gen", "train|path|eval [data|names] <cfg> <weights> [image ...]",
     "A generator that learns to predict paths: which channels an answer needs, in one forward pass.",
     "generator list images epochs batch width rate weight allowed without selectors method steps baseline protect preset init rounds momentum gamma "
     "clamp iterations permutations exact tol granularity seed " RESPONSE "out",
     "`gen train` learns on the answers that the network gives to the pictures of -list; the network stays as it is. `gen path` writes "
     "ordinary path files. `gen eval` compares with other methods at the same sparsity, and class paths with each other. A "
     "reconstruction of GEN-CNP: its code is not public.",
     "train " SIGNS_NETWORK "-list examples/signs.list -epochs 1 -out signs", cp_run_gen, .changes = gen_changes},
    {"faithful", IMAGES, "How far the path alone carries the answer, over path size, against random paths.",
     "method sparsity rank offpath eps checks draws " DRAWN RESPONSE "no-picture shard out",
     "Runs the zeroed network with the path kept and with it removed; its max-pools look at the path alone, or "
     "(-offpath zeroed) at zeros too, which in leaky networks win where the winner is below zero, so that even all neurons "
     "that score may lose the answer. Writes PREFIX.faithful.csv, PREFIX.faithful.png and PREFIX.sparsest.path.npz, the "
     "sparsest path that keeps the prediction.",
     PHOTO "-draws 2 -out signs", cp_run_faithful, .changes = faithful_changes},
    {"linearity", IMAGES, "How far the image is from the border of its linear region: frozen path and full network.",
     SELECTION RESPONSE "norms maxpool probes refine shard",
     "The l2 radius within which no neuron on the path (in the full network: none at all) and no max-pool winner "
     "changes. An estimate is the distance of the nearest border found: the radius can only be smaller.",
     PHOTO "-sparsity .9", cp_run_linearity, .changes = NULL},
    {"insert", "<cfg> <path.npz> [<weights> <image>]",
     "Write the cfg with a [pathmask] behind each layer of the path, for Darknet's own training.",
     "mode off letterbox out",
     "frozen computes the values off the path from weights and image, into OUT.off.npz, or takes them from -off. "
     "Darknet reads these files when it reads the cfg; the weights stay those of the plain cfg.",
     "cfg/tiny-yolo-signs.cfg cross.path.npz -mode zero -out masked.cfg", cp_run_insert, .changes = insert_changes},
    {"strip", "<cfg>", "Write the cfg without its [pathmask] sections.", "out", NULL, "masked.cfg -out plain.cfg",
     cp_run_strip, .changes = insert_changes},
    {"watch", "<folder> <cfg> | <log.jsonl>",
     "What a training did: dead neurons, activation patterns and paths over its checkpoints, or over its log.",
     "data list images letterbox layers no-picture out",
     "Takes the folder's *.weights and *.backup, in the order of the images they have seen. Writes PREFIX.jsonl (one "
     "record per line), PREFIX.csv and PREFIX.png (curves). A log is what `darknet classifier train` and `darknet "
     "detector train` write with -critpath log.jsonl[,every=100][,probe=list], or the same in the environment "
     "variable CRITPATH.",
     "weights cfg/tiny-yolo-signs.cfg -list examples/signs.list -out signs", cp_run_watch, .changes = watch_changes},
    {"prune", "[data|names] <cfg> <weights> [path.npz ...] [image ...]",
     "Cut the channels that no path needs out of cfg and weights: a smaller network, to be fine-tuned by Darknet.",
     "keep random removed valid " SELECTION RESPONSE "out",
     "Paths, gates or scores come from files, or are found for images at -sparsity; one image path per line on stdin "
     "if there is neither. Channels that layers add or hand on go together; what cannot be cut is listed with the "
     "reason. -floor holds for the paths, and for the filters that stay. Continue with `darknet classifier train data "
     "PREFIX.cfg PREFIX.weights -clear`.",
     PHOTO "-keep .5 -out small", cp_run_prune, .changes = prune_changes},
    {"gates", IMAGES, "Train gates on the activations with Darknet itself, for one image or a list: a path per class.",
     "preset granularity iterations init rounds rate momentum gamma clamp agree list class sparsity floor seed "
     "letterbox names out",
     "Distillation guided routing: gates at 0 or more keep the softmax while their sum falls; nothing else learns. "
     "One set for all images. Writes float32 gates (for insert -mode gate) and the path. score -method dgr is the "
     "same descent by our own engine, for one image.",
     PHOTO "-preset wang -out gates", cp_run_gates, .changes = gates_changes},
    {0},
};

const cp_command *cp_command_find(const char *name)
{
    for (const cp_command *command = cp_commands; command->name; command++)
        if (!strcmp(command->name, name))
            return command;
    return NULL;
}

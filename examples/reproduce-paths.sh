#!/bin/sh
# The paper's argument about critical paths, with numbers of our own (Khakzar et al., CVPR 2021, section 4; its figures
# are of VGG-16 on ImageNet): paths found by contribution consist of neurons that were active, and agree with each other;
# paths found by pruning for an objective consist largely of dead neurons, and agree with nothing.
#
#     examples/reproduce-paths.sh [FOLDER]
#
# FOLDER (default: $CRITPATH_DATA, else ../shared/data) holds images/ and weights/. What is not there is left out.
# IMAGES (100) CIFAR-10 test pictures and SAMPLES (20) of ImageNet are used. DGR's descent takes the paper's 1000 steps;
# up to 100 times until an iterate keeps the prediction: on one core 40 minutes for ResNet-8 and hours for SqueezeNet.
# ITERATIONS=100 ROUNDS=1 are minutes. Tables are printed; .csv, .json and pictures go to build/reproduce.
set -e
cd "$(dirname "$0")/.."
data=${1:-${CRITPATH_DATA:-../shared/data}}
darknet=${CRITPATH_DARKNET:-build/darknet}
out=${OUT:-build/reproduce}
methods=mct,intgrad,greedy,dgr,dgr-random,random,active
mkdir -p "$out"

[ -x "$darknet" ] || { echo "reproduce-paths: no $darknet; run make first" >&2; exit 2; }

# unpack ARCHIVE PATTERN COUNT: evenly spread over the sorted names, so that the classes mix
unpack() {
    [ -f "$1" ] || { echo "reproduce-paths: no $1" >&2; return 1; }
    mkdir -p "$out/images"
    tar -xf "$1" -C "$out/images"
    find "$out/images" -type f -path "$2" | sort |
        awk -v n="$3" '{ name[NR] = $0 } END { for (i = 0; i < n && i < NR; i++) print name[int(i * NR / n) + 1] }'
}

# judge CSV: the claims, each with its numbers and, in brackets, the paper's for VGG-16 at 90%
judge() {
    awk -F, '
    $5 == "network" && $2 == "dead" { dead[$3] = $6 }
    $5 == "network" && $2 == "jaccard" { both[$3, $4] = both[$4, $3] = $6; chance[$3, $4] = chance[$4, $3] = $9 }
    function say(holds, text) { printf "  %-8s %s\n", holds ? "holds:" : "DIFFERS:", text }
    function percent(x) { return sprintf("%.2f%%", 100 * x) }
    END {
        say(dead["mct"] == 0 && dead["intgrad"] == 0, "no dead neuron on the paths of mct and intgrad: " \
            percent(dead["mct"]) ", " percent(dead["intgrad"]) " (0.00%, 0.00%)")
        say(dead["dgr"] > 0, "dead neurons on the path of dgr: " percent(dead["dgr"]) " (7.79%)")
        say(dead["greedy"] > .3 && dead["dgr-random"] > .3 && dead["random"] > .3,
            "many on those of greedy, dgr-random, random: " percent(dead["greedy"]) ", " percent(dead["dgr-random"]) \
            ", " percent(dead["random"]) " (68.78%, 66.99%, 59.51%)")
        m = both["mct", "intgrad"]; g = both["mct", "greedy"]; i = both["intgrad", "greedy"]
        say(m > 2 * g && m > 2 * i, sprintf("mct and intgrad agree (Jaccard %.3f; 0.659), far above either with " \
            "greedy (%.3f, %.3f; chance %.3f)", m, g, i, chance["mct", "greedy"]))
        d = both["intgrad", "dgr"]; r = both["intgrad", "dgr-random"]
        say(d > r, sprintf("dgr is nearer to intgrad than dgr-random: %.3f, %.3f (0.296, 0.023; chance %.3f)", d, r,
            chance["intgrad", "dgr-random"]))
    }' "$1"
}

# study NAME TITLE METHODS CFG WEIGHTS IMAGES...
study() {
    name=$1 title=$2 which=$3 cfg=$4 weights=$5
    shift 5
    [ -f "$weights" ] || { echo "$title: no $weights"; return 0; }
    [ $# -gt 0 ] || { echo "$title: no images"; return 0; }
    echo
    echo "$title, $# images"
    "$darknet" critpath compare "$cfg" "$weights" "$@" -methods "$which" -sparsity .9,.99 -seed 1 \
        ${ITERATIONS:+-iterations "$ITERATIONS"} ${ROUNDS:+-rounds "$ROUNDS"} -out "$out/$name"
    case $which in "$methods")
        for sparsity in 0.9 0.99; do
            echo "claims at sparsity $sparsity"
            judge "$out/$name-$sparsity.csv"
        done;;
    esac
}

cifar=$(unpack "$data/images/cifar10-lossless.tar.xz" '*/test/*.png' "${IMAGES:-100}") || cifar=
imagenet=$(unpack "$data/images/imagenet-sample-256.tar" '*.JPEG' "${SAMPLES:-20}") || imagenet=

study resnet8 "ResNet-8, CIFAR-10" $methods cfg/resnet8-cifar.cfg "${RESNET8:-weights/resnet8-cifar.weights}" $cifar
study resnet20 "ResNet-20, CIFAR-10" $methods "$data/weights/resnet20-cifar10.cfg" \
    "$data/weights/resnet20-cifar10.weights" $cifar
study squeezenet "SqueezeNet, ImageNet" $methods "$data/weights/squeezenet.cfg" \
    "$data/weights/squeezenet.weights" $imagenet
# Leaky activations let inactive neurons carry part of the response: their share is no theorem's 0.
study tiny "Tiny Darknet (leaky), ImageNet" mct,intgrad "$data/weights/tiny.cfg" "$data/weights/tiny.weights" $imagenet

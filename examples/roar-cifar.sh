#!/bin/sh
# ROAR on CIFAR-10: which map finds what a network learns from? Each map's highest pixels are removed from all pictures, and a
# network is trained anew on what is left. Killed and started again, it goes on.
#
#   examples/roar-cifar.sh DATA [FOLDER]       small: an hour on one core; DATA: a folder, or an archive of it, with
#                                              train/<class>/ and test/<class>/; results in FOLDER [build/roar-cifar]
#   FULL=1 examples/roar-cifar.sh DATA         the paper's size: ResNet-8, all pictures, five fractions, three trainings each,
#                                              KAR too, ten maps: for a build with GPU=1 (weeks on a CPU)
# DARKNET=path of the binary [build/darknet]
#
# What the small recipe cuts: a network of 16 to 64 channels in place of 64 to 256 (cfg/roar-cifar.cfg), every fifth training
# picture and every tenth test picture, 600 batches of 64 (4 epochs), two fractions, two trainings each, no KAR. Both recipes
# differ from the paper's: Darknet's momentum and falling rate in place of Adam, and no validation set.
set -eu
cd "$(dirname "$0")/.."
data=${1:?usage: examples/roar-cifar.sh DATA [FOLDER]} out=${2:-build/roar-cifar}
darknet=$(realpath "${DARKNET:-build/darknet}")
mkdir -p "$out"

if [ -f "$data" ]; then
    [ -d "$out/unpacked" ] || {
        rm -rf "$out/new"
        mkdir "$out/new"
        tar -C "$out/new" -xf "$data"
        mv "$out/new" "$out/unpacked"
    }
    data=$out/unpacked
fi
if [ -n "${FULL-}" ]; then
    train=1 test=1 cfg=cfg/resnet8-cifar.cfg weights=weights/resnet8-cifar.weights
    maps=contribution,pathway@.9,gradient,gbp,gradcam,inputmct,inputintgrad,layercam,eigencam,smoothgrad
    set -- -fractions .1,.3,.5,.7,.9 -repeats 3 -kar -road 1000
else
    train=5 test=10 cfg=cfg/roar-cifar.cfg weights=$out/start/roar-cifar.weights
    maps=contribution,pathway@.9,gradient,inputmct,gradcam
    set -- -fractions .5,.9 -repeats 2 -road 200 -threads 1
fi
pictures() { # part, every n-th picture of each class in turn
    find "$(realpath "$data")" -path "*/$1/*" \( -name '*.jpg' -o -name '*.png' \) | sort | awk "NR % $2 == 0" >"$out/$1.list"
    echo "$1: $(wc -l <"$out/$1.list") pictures"
}
pictures train $train
pictures test $test
cat >"$out/cifar.data" <<END
classes=10
train=$out/train.list
valid=$out/test.list
labels=cfg/cifar10.labels
names=cfg/cifar10.names
backup=$out/start
END

# The network whose maps are measured.
[ -f "$weights" ] || {
    mkdir -p "$out/start"
    OPENBLAS_NUM_THREADS=1 "$darknet" classifier train "$out/cifar.data" $cfg -seed 100 >"$out/start.log" 2>&1
}
"$darknet" critpath roar "$out/cifar.data" $cfg "$weights" -methods $maps "$@" -resume -out "$out/roar"

#!/bin/sh
# A network cut down to what a few classes need: ResNet-8 loses the half of its channels that the paths of five of
# CIFAR-10's classes use least, is fine-tuned by Darknet for two epochs on these classes, and is compared with one that
# lost as many channels of each layer at random.
#
#     examples/prune-resnet8.sh [DATA]
#
# DATA (default: images/cifar10.tar.xz in $CRITPATH_DATA, else ../shared/data): CIFAR-10 as a folder with train/<class>/
# and test/<class>/, or an archive of it. Logs and networks stay in build/prune-resnet8. About 15 minutes on one core;
# FLOORS="0 .5" does it again with at least half of each layer (30 minutes more), WHOLE=1 tunes the uncut one too (20).
set -eu
cd "$(dirname "$0")/.."
data=${1:-${CRITPATH_DATA:-../shared/data}/images/cifar10.tar.xz}
darknet=${CRITPATH_DARKNET:-build/darknet}
out=${OUT:-build/prune-resnet8}
classes=${CLASSES:-airplane bird cat horse ship}
pictures=${PICTURES:-200} # of each class, for the paths
keep=${KEEP:-.5}
floors=${FLOORS:-0}       # least share of every layer; 0: the network's best channels, wherever they are
batches=${BATCHES:-782}   # of 64: two epochs of 25,000 pictures
net=resnet8-cifar
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"

[ -x "$darknet" ] || { echo "prune-resnet8: no $darknet; run make first" >&2; exit 2; }
[ -e "$data" ] || { echo "prune-resnet8: no $data; CIFAR-10 goes there, or name it" >&2; exit 2; }
mkdir -p "$out"
if [ -f "$data" ]; then
    [ -d build/cifar10/unpacked ] || {
        mkdir -p build/cifar10/new
        tar -C build/cifar10/new -xf "$data"
        mv build/cifar10/new build/cifar10/unpacked
    }
    data=build/cifar10/unpacked
fi

# lists: all pictures of the classes, and a few of each class for the paths
: >"$out/train.list" && : >"$out/test.list" && : >"$out/paths.list"
for class in $classes; do
    for part in train test; do
        find "$(cd "$data" && pwd)" -path "*/$part/$class/*" \( -name '*.jpg' -o -name '*.png' \) | sort >"$out/one"
        cat "$out/one" >>"$out/$part.list"
        [ $part = test ] || awk -v n="$pictures" '{ name[NR] = $0 }
            END { for (i = 0; i < n && i < NR; i++) print name[int(i * NR / n) + 1] }' "$out/one" >>"$out/paths.list"
        rm "$out/one"
    done
done
sed -e "s|^train=.*|train=$out/train.list|" -e "s|^valid=.*|valid=$out/test.list|" -e "s|^backup=.*|backup=$out|" \
    cfg/cifar10.data >"$out/five.data"
echo "classes: $classes"
count() { wc -l <"$out/$1.list"; }
echo "pictures: $(count train) to train, $(count test) to test, $(count paths) for the paths"

# cut NAME OPTIONS...
cut() {
    name=$1
    shift
    "$darknet" critpath prune "$out/five.data" cfg/$net.cfg weights/$net.weights -keep "$keep" -sparsity .9 "$@" -quiet \
        -valid "$out/test.list" -out "$out/$name" <"$out/paths.list" >"$out/$name.txt"
    grep -E '^  |^floats|^multiply|^top-1' "$out/$name.txt"
}

# tune NAME CFG WEIGHTS: plain Darknet; the rate falls from .02 to 0
tune() {
    sed -e 's/^learning_rate=.*/learning_rate=0.02/' -e 's/^burn_in=.*/burn_in=50/' \
        -e "s/^max_batches=.*/max_batches=$batches/" "$2" >"$out/$1-tuned.cfg"
    rm -f "$out/$1-tuned.weights"
    "$darknet" classifier train "$out/five.data" "$out/$1-tuned.cfg" "$3" -clear >"$out/$1-tuned.log" 2>&1
    "$darknet" classifier valid "$out/five.data" "$out/$1-tuned.cfg" "$out/$1-tuned.weights" 2>/dev/null | tail -n 1 |
        sed "s/^.*: top 1: \([0-9.]*\).*/$1, fine-tuned: top-1 \1/"
}

for floor in $floors; do
    for way in path random; do
        name=$way-$floor
        echo "== channels by $way, of every layer at least $floor"
        if [ $way = path ]; then cut "$name" -floor "$floor"; else cut "$name" -floor "$floor" -random "${SEED:-1}"; fi
        tune "$name" "$out/$name.cfg" "$out/$name.weights"
    done
done
if [ "${WHOLE:-0}" = 1 ]; then
    echo "== nothing cut"
    tune whole cfg/$net.cfg weights/$net.weights
fi

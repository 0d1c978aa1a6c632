#!/bin/sh
# Is my detector cheating? Two networks look at the same arrow. One learned from scenes where nearly every ring had a
# sticker beside it, the other never saw a sticker. In signs-sticker.png a sticker is beside the arrow; signs-bare.png
# is the same scene without stickers. The pictures show what each network says, and where it looks.
#
#   examples/shortcut.sh [FOLDER]      writes FOLDER/honest-sticker.png and three more [build/shortcut]
# DARKNET=path of the binary [build/darknet]
set -e
cd "$(dirname "$0")/.."
out=${1:-build/shortcut}
darknet=${DARKNET:-build/darknet}
mkdir -p "$out"

explain() { # network, weights, scene, class to explain
    echo "== $1 network, examples/signs-$3.png: why $4?"
    "$darknet" critpath explain cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg "$2" "examples/signs-$3.png" \
        -class "$4" -sparsity .99 -quiet -out "$out/$1-$3" >"$out/$1-$3.txt"
    grep -E '^ +[0-9]+  [a-z]|^response|^map' "$out/$1-$3.txt"
}

explain honest weights/tiny-yolo-signs.weights sticker arrow
explain shortcut weights/tiny-yolo-signs-shortcut.weights sticker ring
explain honest weights/tiny-yolo-signs.weights bare arrow
explain shortcut weights/tiny-yolo-signs-shortcut.weights bare arrow

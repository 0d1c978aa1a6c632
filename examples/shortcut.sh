#!/bin/sh
# Is my detector cheating? Two networks find the same ring sign. One was trained on scenes where nearly every ring had a
# sticker beside it, the other never saw a sticker. The pictures show where each looks.
#
#   examples/shortcut.sh [FOLDER]      writes FOLDER/honest.png and FOLDER/shortcut.png [build/shortcut]
# DARKNET=path of the binary [build/darknet]
set -e
cd "$(dirname "$0")/.."
out=${1:-build/shortcut}
darknet=${DARKNET:-build/darknet}
mkdir -p "$out"
for net in honest shortcut; do
    case $net in
    honest) weights=weights/tiny-yolo-signs.weights ;;
    shortcut) weights=weights/tiny-yolo-signs-shortcut.weights ;;
    esac
    for scene in sticker bare; do
        echo "== $net network, examples/signs-$scene.png"
        "$darknet" critpath explain cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg $weights \
            examples/signs-$scene.png -class ring -sparsity .99 -thresh .05 -quiet -out "$out/$net-$scene" |
            grep -E '^[a-z]+: [0-9]+%|^response|^files'
    done
done

#!/bin/sh
# The pictures of README.md and docs/gallery.md, made anew from Darknet's own photos and this project's drawings.
#
#     examples/gallery.sh [NAME...]      all, or those of these names; NAME is that of docs/NAME.jpg
#
# Needs `make yolov3-tiny` and GraphicsMagick (Debian's graphicsmagick), which makes JPEGs of the pictures. What explain
# printed stays in build/gallery/NAME.txt, and the pictures at full size beside it.
set -eu
cd "$(dirname "$0")/.."
darknet=${CRITPATH_DARKNET:-build/darknet}
out=build/gallery
wanted=$*
tiny="build/yolov3-tiny/coco.data build/yolov3-tiny/yolov3-tiny.cfg build/yolov3-tiny/yolov3-tiny.weights"
signs="cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg"

[ -f build/yolov3-tiny/yolov3-tiny.weights ] || { echo "gallery: make yolov3-tiny first" >&2; exit 2; }
gm version >/dev/null 2>&1 || { echo "gallery: GraphicsMagick is missing (apt-get install graphicsmagick)" >&2; exit 2; }
mkdir -p "$out"

# run NAME COMMAND ARGUMENTS...: $out/NAME.png and NAME.txt
run() {
    name=$1
    shift
    "$darknet" critpath "$@" -quiet -out "$out/$name" >"$out/$name.txt"
}

# shrink NAME: docs/NAME.jpg, below 250,000 bytes
shrink() {
    for form in '1400x -quality 86' '1400x -quality 78' '1200x -quality 78' '1000x -quality 78' '1000x -quality 70'; do
        # shellcheck disable=SC2086
        gm convert "$out/$1.png" -resize $form "docs/$1.jpg"
        bytes=$(wc -c <"docs/$1.jpg")
        [ "$bytes" -ge 245000 ] || break
    done
    echo "docs/$1.jpg: $bytes bytes, $form"
}

# picture NAME COMMAND ARGUMENTS...
picture() {
    case " ${wanted:-$1} " in *" $1 "*) ;; *) return 0 ;; esac
    run "$@"
    shrink "$1"
}

# graph NAME ARGUMENTS...: the picture of a graph
graph() {
    case " ${wanted:-$1} " in *" $1 "*) ;; *) return 0 ;; esac
    name=$1
    shift
    run "$name" graph "$@"
    mv "$out/$name.graph.png" "$out/$name.png"
    shrink "$name"
}

# pair NAME LEFT RIGHT: two pictures of $out, one above the other
pair() {
    case " ${wanted:-$1} " in *" $1 "*) ;; *) return 0 ;; esac
    gm convert "$out/$2.png" "$out/$3.png" -append "$out/$1.png"
    shrink "$1"
}

# shellcheck disable=SC2086
{
    picture dog explain $tiny build/data/dog.jpg -class dog
    graph pathway $tiny build/data/dog.jpg -class dog
    picture horses explain $tiny build/data/horses.jpg -class horse
    picture giraffe explain $tiny build/data/giraffe.jpg -class giraffe
    picture person explain $tiny build/data/person.jpg -class person
    picture eagle explain $tiny build/data/eagle.jpg -class bird
    picture cross explain $signs weights/tiny-yolo-signs.weights examples/signs-two.png -class cross
    run honest explain $signs weights/tiny-yolo-signs.weights examples/signs-sticker.png -class arrow
    run cheating explain $signs weights/tiny-yolo-signs-shortcut.weights examples/signs-sticker.png -class ring
    pair shortcut honest cheating
    run zebra-gradient grad $tiny build/data/giraffe.jpg -method gradient -class zebra
    run zebra-path explain $tiny build/data/giraffe.jpg -class zebra
    pair zebra zebra-gradient zebra-path
}

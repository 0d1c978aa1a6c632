# What which-map.sh, reproduce-evaluation.sh and which-path.sh share; they read it from the folder of this repository, with $me,
# $darknet, $data and $out set, and for `study` $methods and $metrics.

# pick ARCHIVE PATTERN COUNT: unpacks, and prints the first COUNT pictures of an order in which the classes mix. The step has no
# divisor in common with the number of pictures, so that it meets each of them once.
pick() {
    [ -f "$1" ] || { echo "$me: no $1" >&2; return 1; }
    folder=$out/photos/$(basename "$1" | cut -d. -f1)
    [ -d "$folder" ] || tar -xf "$1" -C "$out/photos"
    find "$folder" -type f -path "$2" | sort | awk -v n="$3" '
        function divisor(a, b) { return b ? divisor(b, a % b) : a }
        { name[NR - 1] = $0 }
        END {
            for (step = 97; divisor(step, NR) > 1; step++);
            for (i = 0; i < n && i < NR; i++) print name[i * step % NR]
        }'
}

# study NAME TITLE CFG WEIGHTS NAMES PICTURES...: `critpath eval` of one network; what is done already stays.
study() {
    name=$1 title=$2 cfg=$3 weights=$4 names=$5
    shift 5
    [ -f "$weights" ] || { echo "$title: no $weights"; return 0; }
    [ $# -gt 0 ] || { echo "$title: no pictures"; return 0; }
    echo
    echo "$title"
    "$darknet" critpath eval "$cfg" "$weights" "$@" -names "$names" -methods "$methods" -metrics "$metrics" -points 10 \
        -seed 1 ${THREADS:+-threads "$THREADS"} -resume -out "$out/$name" > "$out/$name.txt"
    cat "$out/$name.txt"
}

# The pictures of the data folder: $cifar, $imagenet, $coco, and the labels of the last beside them.
pick_all() {
    mkdir -p "$out/photos"
    cifar=$(pick "$data/images/cifar10-lossless.tar.xz" '*/test/*.png' "${IMAGES:-40}") || cifar=
    imagenet=$(pick "$data/images/imagenet-sample-256.tar" '*.JPEG' "${SAMPLES:-20}") || imagenet=
    coco=$(pick "$data/images/coco128.tar" '*/images/val2017/*.jpg' "${PHOTOS:-20}") || coco=
    labels=$out/photos/coco128
    [ ! -d "$labels/object_detection" ] || [ -d "$labels/labels" ] || cp -R "$labels/object_detection/labels" "$labels/labels"
}

# Shared by the tests of examples/cluster: one process's results, and the same by a recipe, compared byte for byte.
darknet=${CRITPATH_DARKNET:-build/darknet}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
signs="errors cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights -list $folder/list -no-picture"
# Seven lines, so that shards are of different sizes.
for photo in two bare sticker two sticker bare two; do echo "examples/signs-$photo.png"; done >"$folder/list"
"$darknet" critpath $signs -out "$folder/one" -quiet >/dev/null || exit 1

compare() { # prefix
    for ending in jsonl csv json results.json truth.json; do
        cmp "$folder/one.$ending" "$1.$ending" || exit 1
    done
}

# Darknet's own verbs end with status 1 and name the file when something is missing or broken, and with 0 otherwise.
set -eu
. tests/host/common.sh
project=$PWD
cd "$tmp"

cat >net.cfg <<'CFG'
[net]
batch=1
width=8
height=8
channels=3
[convolutional]
filters=4
size=3
stride=1
pad=1
activation=relu
[avgpool]
[convolutional]
filters=2
size=1
activation=linear
[softmax]
CFG
sed -e 's/batch=1/batch=4\nmax_batches=2/' net.cfg >train.cfg
printf 'cat\ndog\n' >names
printf 'classes=2\nnames=names\nlabels=names\ntrain=list\nvalid=list\nbackup=%s\n' "$tmp" >net.data
# 2x2 pixels, a plain .bmp
printf 'BM\106\0\0\0\0\0\0\0\066\0\0\0\050\0\0\0\002\0\0\0\002\0\0\0\001\0\030\0\0\0\0\0\020\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >cat.bmp
printf '\377\0\0\0\377\0\0\0\0\0\377\377\377\377\0\0' >>cat.bmp

run 0 'Saving weights' partial net.cfg '' net.weights 4
size=$(wc -c <net.weights)
[ "$size" = $((20 + 4 * (4 + 4 * 27 + 2 + 2 * 4))) ] || fail "net.weights has $size bytes"
run 0 '%: ' classifier predict net.data net.cfg net.weights cat.bmp

run 1 usage
run 1 'Not an option: nonsense' nonsense
run 1 usage classifier
run 1 usage detector test
run 1 'Not an option: nonsense' classifier nonsense net.data net.cfg net.weights
run 1 'Not an option: nonsense' detector nonsense net.data net.cfg net.weights
run 1 'file: absent.data' classifier predict absent.data net.cfg net.weights cat.bmp
run 1 'file: absent.cfg' classifier predict net.data absent.cfg net.weights cat.bmp
run 1 'file: absent.weights' classifier predict net.data net.cfg absent.weights cat.bmp
run 1 'image "absent.bmp"' classifier predict net.data net.cfg net.weights absent.bmp
run 1 'image "names"' classifier predict net.data net.cfg net.weights names
run 1 'file: list' classifier train net.data train.cfg
run 1 'file: list' classifier valid net.data net.cfg net.weights
run 1 'needs OpenCV' detector demo net.data net.cfg net.weights

sed 's/^names=.*/names=absent.names/' net.data >absent-names.data
run 1 'file: absent.names' classifier predict absent-names.data net.cfg net.weights cat.bmp

: >empty.weights
mkdir folder.weights
head -c 8 net.weights >header.weights
head -c 100 net.weights >layer0.weights
head -c $((size - 1)) net.weights >layer2.weights
head -c $((20 + 4 * (4 + 4 * 27))) net.weights >between.weights
for name in empty folder header; do
    run 1 "Not a weights file: $name.weights" classifier predict net.data net.cfg $name.weights cat.bmp
done
run 1 'end inside layer 0: layer0.weights' classifier predict net.data net.cfg layer0.weights cat.bmp
run 1 'end inside layer 2: layer2.weights' classifier predict net.data net.cfg layer2.weights cat.bmp
# The start of a network, as darknet53.conv.74 is of YOLOv3, stays a legal start of a training.
run 0 'no weights for layer 2' classifier predict net.data net.cfg between.weights cat.bmp

# Label pictures are found from any folder.
cat >yolo.cfg <<'CFG'
[net]
batch=1
width=8
height=8
channels=3
[convolutional]
filters=7
size=3
stride=1
pad=1
activation=linear
[yolo]
mask=0
anchors=4,4
classes=2
num=1
CFG
run 0 'Predicted in' detector test net.data yolo.cfg '' cat.bmp -thresh 1 -out drawn
[ -s drawn.jpg ] || fail "detector test drew nothing"
cp "$CRITPATH_DARKNET" alone
status=0
[ -d /usr/share/darknet/data/labels ] || {
    ASAN_OPTIONS=detect_leaks=0 ./alone detector test net.data yolo.cfg '' cat.bmp >out 2>&1 </dev/null || status=$?
    [ $status = 1 ] || fail "without label pictures: status $status"
    mkdir -p data
    cp -r "$project/$(realpath --relative-to="$project" "$(dirname "$CRITPATH_DARKNET")/data/labels")" data/
    ASAN_OPTIONS=detect_leaks=0 ./alone detector test net.data yolo.cfg '' cat.bmp >out 2>&1 </dev/null ||
        fail "label pictures of the current folder: $(tail -n 3 out)"
}

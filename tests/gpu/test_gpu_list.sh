#!/bin/sh
# A list of images on one GPU and shared out over two: the same files and the same text, in the order of the list.
. tests/host/common.sh
export CUDA_EMULATE_DEVICES=2 # where the device is the emulated one
"$CRITPATH_DARKNET" critpath explain -gpus 0,1 cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights x.png >"$tmp/probe" 2>&1
case $(cat "$tmp/probe") in
*"no GPU code"*) skip "GPU code in this build" ;;
*"Cannot use GPU"*|*"there is none"*) skip "device" ;;
*"there are GPUs"*|*"GPU 1"*) skip "second GPU" ;;
esac
photos="examples/signs-two.png examples/signs-bare.png examples/signs-sticker.png"
run() { # folder, options
    mkdir "$tmp/$1"
    out=$1
    shift
    "$CRITPATH_DARKNET" critpath explain cfg/cifar10.data cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights $photos examples/signs-two.png \
        -no-picture -quiet -out "$tmp/$out/" "$@" | sed "s:$tmp/$out/::g" >"$tmp/$out.text" || fail "$*"
    rm -f "$tmp/$out"/*.json # they hold times
}
run one -i 0
run two -gpus 1,0
run cpu -nogpu
cmp "$tmp/one.text" "$tmp/two.text" || fail "the text differs"
diff -r "$tmp/one" "$tmp/two" || fail "the files differ"
[ "$(ls "$tmp/two" | wc -l)" = 12 ] || fail "found $(ls "$tmp/two"), 4 maps, 4 heats and 4 paths are expected"
[ "$(ls "$tmp/two")" = "$(ls "$tmp/cpu")" ] || fail "the CPU has other files"
echo 'examples/signs-bare.png' | "$CRITPATH_DARKNET" critpath explain -gpus 0,0 cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights \
    >"$tmp/twice" 2>&1 && fail "-gpus 0,0 is taken"
grep -q "GPU 0 is named twice" "$tmp/twice" || fail "-gpus 0,0: $(cat "$tmp/twice")"

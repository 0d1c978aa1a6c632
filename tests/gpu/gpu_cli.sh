# A GPU build of Darknet: the answers with and without -nogpu, training on the device, more than one device, and none.
# On the emulator and on real devices alike.
set -eu
. tests/host/common.sh
PYTHON=python3
[ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
export CUDA_EMULATE_DEVICES=2
root=$(pwd)

# run STATUS TEXT ARGUMENTS: output in $tmp/out and $tmp/err
run() {
    status=$1 text=$2
    shift 2
    got=0
    "$CRITPATH_DARKNET" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || got=$?
    last=$(tail -n 3 "$tmp/err" "$tmp/out")
    [ "$got" = "$status" ] || fail "darknet $*: status $got, expected $status: $last"
    cat "$tmp/out" "$tmp/err" | grep -q -- "$text" || fail "darknet $*: no '$text' in: $last"
}
# same A B TOLERANCE: all numbers of the two files, and how many there are
same() {
    "$PYTHON" - "$@" <<'PY' || fail "$1 and $2 differ"
import re, sys
a, b = ([float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", open(f).read())] for f in sys.argv[1:3])
worst = max([abs(x - y) / max(1, abs(x)) for x, y in zip(a, b)] or [1e9])
if not a or len(a) != len(b) or worst > float(sys.argv[3]):
    sys.exit("%d and %d numbers, the largest difference is %g" % (len(a), len(b), worst))
PY
}

picture=examples/signs-two.png
predict="classifier predict cfg/cifar10.data cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights $picture"
detect="detector test cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg weights/tiny-yolo-signs.weights $picture"
"$CRITPATH_DARKNET" $predict >"$tmp/out" 2>&1 || ! grep -q 'Cannot use GPU' "$tmp/out" || skip "device"

run 0 '%:' $predict
grep '%:' "$tmp/out" >"$tmp/gpu"
run 0 '%:' $predict -nogpu
grep '%:' "$tmp/out" >"$tmp/nogpu"
same "$tmp/gpu" "$tmp/nogpu" .05
(cd "$tmp" && ln -s "$root/cfg" "$root/weights" "$root/examples" . && run 0 'ring: ' $detect && grep '%$' out >gpu &&
    run 0 'ring: ' $detect -nogpu && grep '%$' out >cpu)
same "$tmp/gpu" "$tmp/cpu" .02

# Without a device
(export CUDA_EMULATE_DEVICES=0 CUDA_VISIBLE_DEVICES=
run 1 'Cannot use GPU 0: .*With -nogpu the CPU computes' $predict
run 0 '%:' $predict -nogpu
grep '%:' "$tmp/out" >"$tmp/none"
cmp "$tmp/nogpu" "$tmp/none" || fail "-nogpu without a device differs from -nogpu with one")
run 1 'Cannot use GPU 99: ' $predict -i 99

# Where memory ends, as the emulator can say.
got=0
CUDA_EMULATE_MEMORY=1 "$CRITPATH_DARKNET" $predict >"$tmp/out" 2>"$tmp/err" || got=$?
[ $got = 0 ] || { [ $got = 1 ] && grep -q 'CUDA Error: out of memory' "$tmp/err"; } ||
    fail "without memory: status $got: $(tail -n 3 "$tmp/err")"

# Training. The picture is its own mirror image and is neither turned, cropped nor coloured, so every batch is the same.
cd "$tmp"
"$PYTHON" - <<'PY'
import random, struct, zlib
random.seed(5)
rows = []
for y in range(16):
    half = [bytes(random.randrange(256) for c in range(3)) for x in range(8)]
    rows.append(b"\0" + b"".join(half + half[::-1]))
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
open("cat.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)) +
                            chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))
PY
printf '0 .5 .5 .4 .4\n' >cat.txt
printf '%s/cat.png\n' "$tmp" >list
printf 'cat\ndog\nelk\n' >names
mkdir backup
printf 'classes=3\nnames=names\nlabels=names\ntrain=list\nvalid=list\nbackup=backup\n' >train.data
net='[net]\nbatch=4\nsubdivisions=2\nchannels=3\nmax_batches=6\nlearning_rate=.05\nmomentum=.9\ndecay=.0005
angle=0\naspect=1\nhue=0\nsaturation=1\nexposure=1\nmin_crop=16\nmax_crop=16\n'
{
    printf "$net"'width=16\nheight=16\n'
    printf '[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n'
    printf '[convolutional]\nfilters=8\nsize=1\nstride=1\nactivation=linear\n[shortcut]\nfrom=-2\nactivation=relu\n'
    printf '[maxpool]\nsize=2\nstride=2\n[pathmask]\nmode=gate\nlambda=.01\n'
    printf '[convolutional]\nbatch_normalize=1\nfilters=12\nsize=3\nstride=1\npad=1\nactivation=relu\n'
    printf '[avgpool]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n'
} >net.cfg
run 0 'Saving weights' partial net.cfg '' start.weights 9 -nogpu
losses() { sed -n 's/^\([0-9]*\), [0-9.]*: \([0-9.]*\), \([0-9.]*\) avg.*/\1 \2 \3/p' out; }
run 0 'Saving weights' classifier train train.data net.cfg start.weights
losses >gpu
run 0 'Saving weights' classifier train train.data net.cfg start.weights -nogpu
losses >cpu
[ "$(wc -l <cpu)" -ge 6 ] || fail "no losses: $(tail -n 3 out)"

same gpu cpu .002

# Several devices, where there are some
if "$CRITPATH_DARKNET" classifier train train.data net.cfg start.weights -gpus 0,1 >out 2>err; then
    grep -q 'Syncing' out || fail "two devices do not share their weights: $(tail -n 3 out)"
    losses >two
    [ -s two ] || fail "no losses with two devices"
else
    grep -q 'Cannot use GPU 1' err || fail "two devices: $(tail -n 3 out err)"
fi

# A detector that is resized every ten batches
{
    printf "$net"'width=32\nheight=32\n' | sed 's/^max_batches=.*/max_batches=12/; s/^learning_rate=.*/learning_rate=.0005/'
    printf '[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=leaky\n'
    for i in 1 2 3 4; do printf '[maxpool]\nsize=2\nstride=2\n'; done
    printf '[convolutional]\nfilters=24\nsize=1\nstride=1\nactivation=linear\n'
    printf '[yolo]\nmask=0,1,2\nanchors=9,9,20,20,30,30\nclasses=3\nnum=3\njitter=0\nrandom=1\n'
} >yolo.cfg
run 0 'Saving weights' partial yolo.cfg '' yolo.weights 9 -nogpu
run 0 'Saving weights' detector train train.data yolo.cfg yolo.weights
grep -q Resizing out || fail "no resizing: $(tail -n 3 out)"
if grep -qi nan out; then fail "NaN: $(grep -i nan out | head -n 3)"; fi

# Darknet's own `classifier train` and `detector train` with the recorder: the same weights as without it, the records that
# `critpath watch` makes of the checkpoints, a valid log after a kill, and one line, exit 2, for what is wrong.
set -eu
. tests/host/common.sh
cd "$tmp"
PYTHON=python3
[ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
"$PYTHON" -c 'import json, zlib' 2>/dev/null || skip "Python"
# Darknet leaks, and its find_replace() copies a string onto itself.
export ASAN_OPTIONS=detect_leaks=0:replace_str=0
unset CRITPATH || true

# The training picture is its own mirror image and is neither turned, cropped nor coloured: whatever Darknet draws at random,
# every batch is the same, and so are the weights.
"$PYTHON" - <<'PY'
import random, struct, zlib
random.seed(5)
def png(name, side, mirrored):
    rows = []
    for y in range(side):
        half = [bytes(random.randrange(256) for c in range(3)) for x in range(side // 2)]
        other = half[::-1] if mirrored else [bytes(random.randrange(256) for c in range(3)) for x in half]
        rows.append(b"\0" + b"".join(half + other))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    open(name, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)) +
                           chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))
png("cat.png", 16, True)
for i in range(4):
    png("probe%d.png" % i, 20, False)
PY
printf '0 .5 .5 .4 .4\n' >cat.txt
mkdir one two three
printf '%s/cat.png\n' "$tmp" >list
printf 'probe%d.png\n' 0 1 2 3 >probes
printf 'cat\ndog\nelk\n' >names
for folder in one two three; do
    printf 'classes=3\nnames=names\nlabels=names\ntrain=list\nvalid=probes\nbackup=%s\n' "$folder" >$folder.data
done
# cfg NAME BATCHES
cfg() {
    printf '[net]\nbatch=4\nsubdivisions=2\nwidth=16\nheight=16\nchannels=3\nmax_batches=%s\nlearning_rate=.05\n' "$2"
    printf 'momentum=.9\ndecay=.0005\nangle=0\naspect=1\nhue=0\nsaturation=1\nexposure=1\nmin_crop=16\nmax_crop=16\n'
    printf '[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n'
    printf '[convolutional]\nfilters=8\nsize=1\nstride=1\nactivation=linear\n[shortcut]\nfrom=-2\nactivation=relu\n'
    printf '[maxpool]\nsize=2\nstride=2\n'
    printf '[convolutional]\nbatch_normalize=1\nfilters=12\nsize=3\nstride=1\npad=1\nactivation=relu\n'
    printf '[avgpool]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n[cost]\n'
} >"$1"
run() {
    status=$1 text=$2
    shift 2
    got=0
    "$CRITPATH_DARKNET" "$@" >out 2>err </dev/null || got=$?
    [ "$got" = "$status" ] || fail "darknet $*: status $got, expected $status: $(tail -n 3 err out)"
    cat out err | grep -q -- "$text" || fail "darknet $*: no '$text' in: $(tail -n 3 err out)"
}

cfg net.cfg 6
run 0 'Saving weights' partial net.cfg '' start.weights 9
run 0 'Saving weights' classifier train one.data net.cfg start.weights
run 0 'a record every 1 iterations' classifier train two.data net.cfg start.weights -critpath log.jsonl,probe=probes,every=1
(export CRITPATH=batch.jsonl,every=2 && run 0 'in batch.jsonl' classifier train three.data net.cfg start.weights)
for state in net_4 net_8 net_24 net; do
    cmp "one/$state.weights" "two/$state.weights" || fail "recording with probes has changed the training"
    cmp "one/$state.weights" "three/$state.weights" || fail "recording of batches has changed the training"
done
cmp -s one/net_4.weights one/net_8.weights && fail "the training trains nothing"

run 0 'files: seen.jsonl seen.csv seen.png' critpath watch two net.cfg -list probes -out seen
grep -q 'is a copy of' err || fail "no word of the copy net.weights"
run 0 'files: data.jsonl' critpath watch two/ net.cfg -data two.data -no-picture -out data
cmp seen.jsonl data.jsonl || fail "-data is not -list"
# The recorder computes on the CPU, `watch` on the GPU where the build is for one.
gpu=1
"$CRITPATH_DARKNET" critpath explain net.cfg start.weights probe0.png -gpus 0 -nogpu 2>&1 | grep -q 'no GPU code' && gpu=0
[ ! -e data.png ] || fail "-no-picture drew one"
run 0 '"iteration": 6' critpath watch log.jsonl -json -out again
"$PYTHON" - $gpu <<'PY'
import json, sys
read = lambda name: [json.loads(line) for line in open(name)]
def same(a, b, counts):  # on a GPU rounding may turn a neuron
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key], key in ("dead", "always_on")) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y, counts) for x, y in zip(a, b))
    if sys.argv[1] == "0" or not (counts or isinstance(a, float)):
        return a == b
    return abs(a - b) <= (2 if counts else .0015)
log, seen, batch, again = (read(name) for name in ("log.jsonl", "seen.jsonl", "batch.jsonl", "out"))
assert again == log
assert [r["iteration"] for r in log] == [1, 2, 3, 4, 5, 6] and [r["images"] for r in log] == [4, 8, 12, 16, 20, 24]
assert [r["iteration"] for r in batch] == [2, 4, 6]
assert len(seen) == 6 and all(r["file"].startswith("net") for r in seen)
for a, b in zip(log, seen):  # the same weights, so the same record
    assert a["loss"] > 0 and b["loss"] is None
    for row in a["layers"]:
        assert row["activation_gradient"] > 0 and (row["weight_gradient"] is None) == (row["name"] == "layer_002_shortcut")
    for r in (a, b):
        del r["loss"], r["file"]
        for row in r["layers"]:
            del row["activation_gradient"], row["weight_gradient"]
    assert same(a, b, False), (a, b)
for i, r in enumerate(log):
    rows = r["layers"]
    assert [row["units"] for row in rows] == [2048, 2048, 768] and r["network"]["units"] == 4864 and r["pictures"] == 4
    for key in ("dead", "always_on"):
        assert r["network"][key] == sum(row[key] for row in rows)
    assert (r["network"]["flipped"] is None) == (r["network"]["overlap"] is None) == (i == 0)
assert any(r["network"]["flipped"] > 0 for r in log[1:])
assert all(r["looked_at"] == "batch" and r["pictures"] == 4 and r["network"]["flipped"] is None for r in batch)
lines = open("seen.csv").read().split("\n")
assert len(lines) == 1 + 6 * 4 + 1 and lines[0].startswith("iteration,images,loss,layer,units,dead")
assert open("seen.png", "rb").read(8) == b"\x89PNG\r\n\x1a\n"
PY

# A killed training leaves whole lines, or one cut one that is left out; the next run adds to them.
cfg long.cfg 100000000
"$CRITPATH_DARKNET" classifier train three.data long.cfg -critpath killed.jsonl,every=1,probe=probes >/dev/null 2>&1 </dev/null &
training=$!
until [ -e killed.jsonl ] && [ "$(wc -l <killed.jsonl)" -ge 3 ]; do
    kill -0 $training 2>/dev/null || fail "the training to be killed has ended"
    sleep .1
done
kill -9 $training
wait $training 2>/dev/null || true
run 0 'file: killed.csv' critpath watch killed.jsonl -out killed -no-picture
printf '{"critpath": "0.1' >>killed.jsonl
run 0 'is not complete and is left out' critpath watch killed.jsonl -out killed -no-picture
cp net.cfg again.cfg
run 0 'Saving weights' classifier train three.data again.cfg start.weights -critpath killed.jsonl,every=3,probe=probes
run 0 'files: killed.csv killed.png' critpath watch killed.jsonl -out killed
grep -q 'left out' err && fail "the cut line is still there"

# A detector whose cfg resizes it while it trains.
{
    printf '[net]\nbatch=2\nsubdivisions=1\nwidth=64\nheight=64\nchannels=3\nmax_batches=2\nlearning_rate=.001\n'
    printf '[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=4\npad=1\nactivation=leaky\n'
    printf '[convolutional]\nfilters=6\nsize=3\nstride=4\npad=1\nactivation=leaky\n'
    printf '[convolutional]\nfilters=18\nsize=1\nstride=1\nactivation=linear\n'
    printf '[yolo]\nmask=0,1,2\nanchors=10,10,20,20,40,40\nclasses=1\nnum=3\njitter=.1\nrandom=1\n'
} >yolo.cfg
printf 'cat\n' >one.names
printf 'classes=1\nnames=one.names\ntrain=list\nvalid=probes\nbackup=one\n' >yolo.data
run 0 'Resizing' detector train yolo.data yolo.cfg -critpath yolo.jsonl,every=1,probe=probes
run 0 'Resizing' detector train yolo.data yolo.cfg -critpath yolo-batch.jsonl,every=1
"$PYTHON" - <<'PY'
import json
for name, pictures in (("yolo.jsonl", 4), ("yolo-batch.jsonl", 2)):
    log = [json.loads(line) for line in open(name)]
    assert len(log) == 2 and all("fault" not in r and r["pictures"] == pictures for r in log), name
    assert [row["units"] for row in log[0]["layers"]] == [4 * 16 * 16, 6 * 4 * 4]
    if pictures == 4:
        assert 0 <= log[1]["network"]["overlap"] <= 1
PY

# refuse TEXT ARGUMENTS...: status 2 and one line
refuse() {
    text=$1
    shift
    run 2 "$text" "$@"
    [ "$(wc -l <err)" = 1 ] || fail "darknet $*: more than one line: $(cat err)"
}
# Before training: nothing is trained, no log appears.
for bad in 'no.jsonl,every=0:1 to 1000000000' 'no.jsonl,every=2x:whole number' 'no.jsonl,often=2:unknown' \
    'every=2:names no log' 'no.jsonl,probe=absent:absent' 'no.jsonl,probe=names:cat' 'no.jsonl,probe=:no key=value' \
    'no/folder.jsonl:no/folder.jsonl' 'names:names' 'one:no regular file'; do
    refuse "${bad##*:}" classifier train none.data net.cfg start.weights -critpath "${bad%:*}"
done
: >empty
refuse 'empty' classifier train none.data net.cfg -critpath no.jsonl,probe=empty
refuse 'value is missing' classifier train none.data net.cfg -critpath
refuse 'cfg is missing' classifier train none.data -critpath no.jsonl
refuse 'absent.cfg' classifier train none.data absent.cfg -critpath no.jsonl
refuse 'only train is recorded' classifier predict two.data net.cfg start.weights cat.png -critpath no.jsonl
refuse 'only train is recorded' detector test yolo.data yolo.cfg start.weights cat.png -critpath no.jsonl
refuse 'another network' classifier train none.data net.cfg -critpath yolo.jsonl
(export CRITPATH=no.jsonl,every=x && refuse 'every=x' detector train none.data yolo.cfg)
(export CRITPATH=no.jsonl,every=x && run 0 '%: ' classifier predict two.data net.cfg start.weights cat.png)
[ ! -e no.jsonl ] || fail "a refused option wrote a log"

mkdir bare other
refuse 'has no checkpoint' critpath watch bare net.cfg -list probes -out no
cp one/yolo_final.weights other/net_5.weights
refuse 'net.cfg needs' critpath watch other net.cfg -list probes -out no
head -c 3000 two/net_4.weights >other/net_5.weights
refuse 'net.cfg needs' critpath watch other net.cfg -list probes -out no
refuse 'absent' critpath watch two net.cfg -list absent -out no
printf 'probe0.png\ngone.png\n' >gone
refuse 'gone.png' critpath watch two net.cfg -list gone -out no
refuse 'one is needed' critpath watch two net.cfg -out no
refuse 'not both' critpath watch two net.cfg -list probes -data two.data -out no
refuse 'needed are <folder>' critpath watch
refuse '1 arguments' critpath watch two -list probes -out no
refuse 'No such file' critpath watch absent net.cfg -list probes -out no
echo classes=3 >bare.data
refuse 'names neither' critpath watch two net.cfg -data bare.data -out no
refuse 'a log of a training is needed' critpath watch probes -out no
refuse 'a log is read alone' critpath watch log.jsonl net.cfg -out no
refuse 'has its pictures' critpath watch log.jsonl -list probes -out no
cat log.jsonl yolo.jsonl >mixed.jsonl
refuse 'mixed.jsonl:7: .*another network' critpath watch mixed.jsonl -out no
cp log.jsonl no.csv
refuse 'overwrite' critpath watch no.csv -out no
rm no.csv
refuse 'nowhere' critpath watch two net.cfg -list probes -out nowhere/no
for file in no.*; do
    [ ! -e "$file" ] || fail "a refused watch wrote $file"
done

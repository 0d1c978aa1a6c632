# A small network like YOLOv4-tiny, and one with mish and swish, in Darknet's own verbs: `detector train` with masks of a path,
# frozen, zeroed and as gates, for 20 batches; with the recorder; prune and gates; and what `detector test` says of them.
set -eu
. tests/host/common.sh
cd "$tmp"
PYTHON=python3
[ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
"$PYTHON" -c 'import numpy' 2>/dev/null || skip "NumPy"
! grep -q __asan_init "$CRITPATH_DARKNET" || skip "a binary without AddressSanitizer, under which 1200 batches take many minutes"
"$PYTHON" - <<'PY'
import random, struct, zlib
random.seed(3)
rows = []
for y in range(64):
    rows.append(b"\0" + b"".join(bytes((250, 30, 30) if 16 <= x < 48 and 16 <= y < 48 else (random.randrange(90),) * 3)
                                 for x in range(64)))
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
open("red.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)) +
                            chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))
PY
printf '0 .5 .5 .5 .5\n' >red.txt
printf '%s/red.png\n' "$tmp" >list
printf 'red\nblue\n' >names
printf 'classes=2\nnames=names\ntrain=list\nvalid=list\nbackup=.\n' >x.data

conv() { # FILTERS SIZE STRIDE ACTIVATION
    printf '[convolutional]\nbatch_normalize=1\nfilters=%s\nsize=%s\nstride=%s\npad=1\nactivation=%s\n' "$@"
}
yolo() { # MASK
    printf '[convolutional]\nfilters=21\nsize=1\nstride=1\npad=1\nactivation=linear\n'
    printf '[yolo]\nmask=%s\nanchors=10,14, 23,27, 37,58, 32,32, 60,60, 90,90\nclasses=2\nnum=6\njitter=0\n' "$1"
    printf 'scale_x_y=1.05\ncls_normalizer=1.0\niou_normalizer=0.07\niou_loss=ciou\nignore_thresh=.7\ntruth_thresh=1\nrandom=0\nresize=1.5\n'
    printf 'nms_kind=greedynms\nbeta_nms=0.6\nmax=200\n'
}
# cfg BATCHES ACTIVATION ANOTHER
cfg() {
    printf '[net]\nbatch=2\nsubdivisions=1\nwidth=64\nheight=64\nchannels=3\nmax_batches=%s\nlearning_rate=.003\n' "$1"
    printf 'momentum=.9\ndecay=.0005\nangle=0\nhue=0\nsaturation=1\nexposure=1\nburn_in=5\npolicy=constant\n'
    conv 8 3 2 "$2"
    conv 16 3 2 "$3"
    printf '[route]\nlayers=-1\ngroups=2\ngroup_id=1\n'
    conv 8 3 1 "$2"
    conv 8 3 1 "$3"
    printf '[route]\nlayers=-1,-2\n'
    conv 16 1 1 "$2"
    printf '[route]\nlayers=-6,-1\n[maxpool]\nsize=2\nstride=2\n'
    conv 32 3 1 leaky
    yolo 3,4,5
    printf '[route]\nlayers=-3\n'
    conv 16 1 1 "$2"
    printf '[upsample]\nstride=2\n[route]\nlayers=-1,6\n'
    yolo 0,1,2
}
# train CFG WEIGHTS [OPTIONS]: the losses are finite, and the weights that come out are named after the cfg
train() {
    run 0 'Saving weights' detector train x.data "$@"
    ! grep -q '^[0-9]*: .*nan' out || fail "$1: a loss is no number"
    [ -s "${1%.cfg}_final.weights" ] || fail "$1: no weights"
}
for kind in tiny smooth; do
    if [ $kind = tiny ]; then cfg 20 leaky leaky; else cfg 20 mish swish; fi >$kind.cfg
    cfg 600 leaky leaky | sed "s/activation=leaky/activation=$([ $kind = tiny ] && echo leaky || echo mish)/" >long-$kind.cfg
    run 0 'Saving weights' partial $kind.cfg '' random.weights 99
    train long-$kind.cfg random.weights
    mv long-${kind}_final.weights $kind.weights
    # It has learned where the square is, and critpath decodes its boxes as Darknet does.
    run 0 'red: ' detector test x.data long-$kind.cfg $kind.weights red.png -thresh .1
    grep -o 'red: [0-9]*%' out | sort >theirs
    run 0 'red' critpath explain x.data long-$kind.cfg $kind.weights red.png -letterbox 1 -thresh .1 -json -quiet -no-picture -out e
    "$PYTHON" - <<'PY' || fail "$kind: other boxes than critpath's"
import json
found = json.load(open("e.json"))["prediction"]
ours = sorted(round(100 * d["probability"]) for d in found if d["class"] == 0)
theirs = sorted(int(line.split()[1][:-1]) for line in open("theirs"))
assert len(ours) == len(theirs) and all(abs(a - b) <= 1 for a, b in zip(ours, theirs)), (ours, theirs)
PY
    run 0 'path' critpath path x.data long-$kind.cfg $kind.weights red.png -thresh .1 -sparsity .5 -out p
    for mode in frozen zero gate; do
        if [ $mode = frozen ]; then
            run 0 '\[pathmask\] sections' critpath insert long-$kind.cfg p.path.npz $kind.weights red.png -out long.cfg
        else
            run 0 '\[pathmask\] sections' critpath insert long-$kind.cfg p.path.npz -mode $mode -out long.cfg
        fi
        sed 's/^max_batches=.*/max_batches=20/; s/^learning_rate=.*/learning_rate=.0005/' long.cfg >$kind-$mode.cfg
        train $kind-$mode.cfg $kind.weights -clear
        cmp -s $kind-${mode}_final.weights $kind.weights && fail "$kind $mode: the training has changed nothing"
        [ "$(wc -c <$kind-${mode}_final.weights)" = "$(wc -c <$kind.weights)" ] || fail "$kind $mode: weights of another size"
        run 0 'Predicted in' detector test x.data $kind-$mode.cfg $kind-${mode}_final.weights red.png
    done
    train $kind.cfg $kind.weights -clear -critpath $kind.jsonl,every=10,probe=list
    run 0 '' critpath watch $kind.jsonl -no-picture -out curves
    grep -q '"dead' $kind.jsonl || fail "$kind: the log has no records"
    run 0 'p - p (2)  *1.0000' critpath compare x.data long-$kind.cfg $kind.weights p.path.npz p.path.npz
    if [ $kind = tiny ]; then
        run 0 'radius' critpath linearity x.data long-$kind.cfg $kind.weights red.png -thresh .1 -sparsity .5
    else
        run 2 'mish' critpath linearity x.data long-$kind.cfg $kind.weights red.png -thresh .1 -sparsity .5
    fi
    run 0 'channels' critpath prune x.data long-$kind.cfg $kind.weights red.png -thresh .1 -keep .7 -out small
    sed 's/^max_batches=.*/max_batches=20/; s/^learning_rate=.*/learning_rate=.0005/' small.cfg >smaller.cfg
    train smaller.cfg small.weights -clear
    [ "$(wc -c <smaller_final.weights)" -lt "$(wc -c <$kind.weights)" ] || fail "$kind: the pruned network is not smaller"
done
# Gates are trained of classifiers.
run 2 'classifier' critpath gates x.data long-tiny.cfg tiny.weights red.png -out no
{
    printf '[net]\nbatch=1\nsubdivisions=1\nwidth=64\nheight=64\nchannels=3\n'
    conv 8 3 2 mish
    printf '[route]\nlayers=-1\ngroups=2\ngroup_id=1\n'
    conv 8 3 2 swish
    printf '[avgpool]\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n[softmax]\n'
} >class.cfg
run 0 'Saving weights' partial class.cfg '' class.weights 99
run 0 'file: g.path.npz' critpath gates x.data class.cfg class.weights red.png -iterations 9 -out g
sed 's/activation=swish/activation=revleaky/' class.cfg >rev.cfg
run 2 'revleaky\|layer 2 .convolutional.: what it computes is not' critpath gates x.data rev.cfg class.weights red.png -out no

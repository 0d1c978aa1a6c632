# [pathmask] read by Darknet's own parser: it trains and saves weights that fit the cfg without it, and what is wrong in
# a section ends every verb with status 1 and one line that names the layer. Then `insert` and `strip`.
set -eu
. tests/host/common.sh
cd "$tmp"
PYTHON=python3
[ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
"$PYTHON" -c 'import numpy' 2>/dev/null || skip "NumPy"
"$PYTHON" - <<'PY'
import numpy
keep = numpy.arange(4 * 8 * 8).reshape(4, 8, 8) % 3 > 0
numpy.savez("path.npz", cat=keep, other=keep[:, :6], channels=numpy.array([1, 0, 1, 1], bool).reshape(4, 1, 1))
numpy.savez("off.npz", cat=numpy.full((4, 8, 8), .5, numpy.float32))
PY

# cfg NAME KEYS...: a network with that mask behind layer 0
cfg() {
    name=$1
    shift
    printf '[net]\nbatch=2\nsubdivisions=1\nwidth=8\nheight=8\nchannels=3\nmax_batches=3\nlearning_rate=.01\n' >"$name"
    printf '[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n' >>"$name"
    [ $# = 0 ] || printf '[pathmask]\n' >>"$name"
    for key; do echo "$key" >>"$name"; done
    printf '[avgpool]\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n[softmax]\n' >>"$name"
}

# 2x2 pixels, a plain .bmp
printf 'BM\106\0\0\0\0\0\0\0\066\0\0\0\050\0\0\0\002\0\0\0\002\0\0\0\001\0\030\0\0\0\0\0\020\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >cat.bmp
printf '\377\0\0\0\377\0\0\0\0\0\377\377\377\377\0\0' >>cat.bmp
printf '%s/cat.bmp\n' "$tmp" >list
printf 'cat\ndog\n' >names
printf 'classes=2\nnames=names\nlabels=names\ntrain=list\nvalid=list\nbackup=%s\n' "$tmp" >net.data

cfg plain.cfg
run 0 'Saving weights' partial plain.cfg '' plain.weights 9
cfg frozen.cfg file=path.npz layer=cat mode=frozen off=off.npz
cfg zero.cfg file=path.npz layer=channels mode=zero
cfg gate.cfg file=path.npz layer=cat mode=gate lambda=.01 save=trained.npz
for mode in frozen zero gate; do
    run 0 'Saving weights' classifier train net.data $mode.cfg plain.weights
    cmp -s "$mode.weights" plain.weights && fail "$mode: the training has changed nothing"
    [ "$(wc -c <"$mode.weights")" = "$(wc -c <plain.weights)" ] || fail "$mode: the weights have another size"
    run 0 '%: ' classifier predict net.data plain.cfg $mode.weights cat.bmp
    run 0 '%: ' classifier predict net.data $mode.cfg $mode.weights cat.bmp
done

# The gates of that training are in their own file, and are where another training or a prediction begins.
"$PYTHON" - <<'PY' || fail "the trained gates are not what they should be"
import numpy
with numpy.load("path.npz") as path, numpy.load("trained.npz") as trained:
    assert trained.files == ["cat"] and trained["cat"].dtype == numpy.float32, trained.files
    gates, bits = trained["cat"], path["cat"]
    assert gates.shape == bits.shape and gates.min() >= 0
    assert numpy.abs(gates - bits).max() > 1e-4 and gates[bits].mean() > .5 > gates[~bits].mean()
PY
cfg again.cfg file=trained.npz layer=cat mode=gate save=again.npz
run 0 'Saving gates to again.npz' classifier train net.data again.cfg plain.weights
run 0 '%: ' classifier predict net.data again.cfg again.weights cat.bmp
cfg channels.cfg mode=gate layer=cat granularity=channel save=channels.npz
run 0 'Saving gates to channels.npz' classifier train net.data channels.cfg plain.weights
"$PYTHON" -c 'import numpy; assert numpy.load("channels.npz")["cat"].shape == (4, 1, 1)' || fail "gates by channel"
run 0 'Saving weights' partial gate.cfg gate.weights unused.weights 9
cmp -s channels.npz trained.npz && fail "two trainings, the same gates"

# refuse TEXT KEYS...
refuse() {
    text=$1
    shift
    cfg bad.cfg "$@"
    run 1 "^layer 1 \[pathmask\]: .*$text" partial bad.cfg plain.weights bad.weights 9
    [ ! -e bad.weights ] || fail "$text: wrote weights"
}
refuse 'mode= is missing' file=path.npz layer=cat
refuse 'mode=soft is unknown' file=path.npz layer=cat mode=soft
refuse 'absent.npz' file=absent.npz layer=cat mode=zero
refuse 'names' file=names layer=cat mode=zero
refuse "no array 'dog'" file=path.npz layer=dog mode=zero
refuse 'bool (4, 6, 8), the layer before is (4, 8, 8)' file=path.npz layer=other mode=zero
refuse 'needs off=' file=path.npz layer=cat mode=frozen
head -c 300 path.npz >cut.npz
refuse 'cut.npz' file=cut.npz layer=cat mode=zero
head -c 300 trained.npz >cut-gates.npz
refuse 'cut-gates.npz' file=cut-gates.npz layer=cat mode=gate
refuse "no array 'dog'" file=trained.npz layer=dog mode=gate
refuse 'float32 (4, 8, 8), needed is bool' file=trained.npz layer=cat mode=zero
refuse 'absent/: No such file' mode=gate layer=cat save=absent/gates.npz
refuse 'save= needs layer=' mode=gate save=gates.npz
refuse 'save= goes with mode=gate' file=path.npz layer=cat mode=zero save=gates.npz
refuse 'granularity=layer is unknown' mode=gate granularity=layer
refuse 'clamp=-1, allowed' mode=gate clamp=-1

# The plugin's own commands say how such a cfg is analysed.
run 2 'layer 1 \[pathmask\].*not supported' critpath layers zero.cfg

# The way round: a path of the image, the cfg with its masks, Darknet's own prediction, training, and back.
run 0 'file: cat.path.npz' critpath path plain.cfg plain.weights cat.bmp -sparsity .7 -out cat
run 0 'values off the path: frozen2.off.npz' critpath insert plain.cfg cat.path.npz plain.weights cat.bmp -out frozen2.cfg
run 0 '^insert: 1 \[pathmask\] sections' critpath insert plain.cfg cat.path.npz -mode zero -out zero2.cfg
run 0 '"masks": 1,.*"save": "gate2.gates.npz"' critpath insert plain.cfg cat.path.npz -mode gate -out gate2.cfg -json
run 0 'Saving gates to gate2.gates.npz' classifier train net.data gate2.cfg plain.weights
run 0 '^insert: 1 ' critpath insert plain.cfg gate2.gates.npz -mode gate -out gate3.cfg
answer() {
    ASAN_OPTIONS=detect_leaks=0 "$CRITPATH_DARKNET" classifier predict net.data "$1" plain.weights cat.bmp 2>&1 </dev/null | grep '%: '
}
answer plain.cfg >plain.answer
answer frozen2.cfg >frozen.answer
cmp plain.answer frozen.answer || fail "frozen at its own image is another prediction"
[ -s plain.answer ] || fail "no prediction"
run 0 'Saving weights' classifier train net.data zero2.cfg plain.weights
run 0 '^strip: 1 ' critpath strip zero2.cfg -out stripped.cfg
run 0 '^strip: 0 ' critpath strip plain.cfg -out rendered.cfg
cmp stripped.cfg rendered.cfg || fail "strip does not undo insert"

run 2 'out is missing' critpath insert plain.cfg cat.path.npz -mode zero
run 2 'would overwrite an input' critpath insert plain.cfg cat.path.npz -mode zero -out plain.cfg
run 2 'would overwrite an input' critpath strip zero2.cfg -out zero2.cfg
run 2 'needs the values off the path' critpath insert plain.cfg cat.path.npz -out no.cfg
run 2 'mode zero takes no -off' critpath insert plain.cfg cat.path.npz -mode zero -off off.npz -out no.cfg
run 2 'made with another cfg' critpath insert stripped.cfg cat.path.npz -mode zero -out no.cfg
run 2 'critpath strip' critpath insert zero2.cfg cat.path.npz -mode zero -out no.cfg
run 2 "no layer of the cfg" critpath insert plain.cfg path.npz -mode zero -out no.cfg
run 2 'absent.npz' critpath insert plain.cfg absent.npz -mode zero -out no.cfg
run 2 '3 arguments' critpath insert plain.cfg cat.path.npz plain.weights -out no.cfg
[ ! -e no.cfg ] || fail "a refused insert wrote a cfg"

# Gates trained by critpath itself, for one image and for a list.
run 0 'file: one.path.npz' critpath gates net.data plain.cfg plain.weights cat.bmp -iterations 9 -out one
printf 'cat.bmp\n\ncat.bmp\n' >images
run 0 '^gates: 2 images of .*, one for each channel, 9 steps' critpath gates net.data plain.cfg plain.weights -list images \
    -granularity channel -iterations 9 -sparsity 0,.5 -out two
run 0 'values off the path: one.off.npz' critpath insert plain.cfg one.path.npz plain.weights cat.bmp -out one.cfg
run 0 '^insert: 1 ' critpath insert plain.cfg two.gates.npz -mode gate -out two.cfg
run 0 '%: ' classifier predict net.data two.cfg plain.weights cat.bmp
run 0 'pathway gradient' critpath grad plain.cfg plain.weights cat.bmp -path two-0.path.npz -out grad
run 0 'two-0.5' critpath compare plain.cfg plain.weights one.path.npz two-0.5.path.npz
run 0 '"images": 1, .*"keeping": 1' critpath gates plain.cfg plain.weights cat.bmp -iterations 3 -json -out json
printf 'cat.bmp\n' | ASAN_OPTIONS=detect_leaks=0 "$CRITPATH_DARKNET" critpath gates plain.cfg plain.weights -iterations 3 \
    -quiet -out stdin >out 2>&1 || fail "gates from stdin: $(tail -n 3 out)"
cmp json.gates.npz stdin.gates.npz || fail "the same gates twice are two"

run 2 'absent.txt' critpath gates plain.cfg plain.weights -list absent.txt -out no
: >empty
run 2 'empty' critpath gates plain.cfg plain.weights -list empty -out no
printf '\n\n' >blank
run 2 'blank names no image' critpath gates plain.cfg plain.weights -list blank -out no
run 2 'found "cat.bmp" too' critpath gates plain.cfg plain.weights cat.bmp -list images -out no
printf 'cat.bmp\nnames\n' >one-bad
run 2 'names' critpath gates plain.cfg plain.weights -list one-bad -out no
run 2 '.agree: 0 is out of range' critpath gates plain.cfg plain.weights cat.bmp -agree 0 -out no
run 2 '.iterations: 0 is out of range' critpath gates plain.cfg plain.weights cat.bmp -iterations 0 -out no
run 2 'not supported' critpath gates two.cfg plain.weights cat.bmp -out no
other=$("$CRITPATH_DARKNET" critpath gates net.data plain.cfg plain.weights cat.bmp -iterations 1 -quiet -out one |
    grep -q 'of cat,' && echo dog || echo cat)
run 2 "none of 1 images has the top class $other" critpath gates net.data plain.cfg plain.weights cat.bmp -class $other -out no
run 2 'made with another cfg' critpath insert stripped.cfg two.gates.npz -mode gate -out no.cfg
run 2 'mode zero needs bool' critpath insert plain.cfg two.gates.npz -mode zero -out no.cfg
head -c 200 two.gates.npz >cut-two.npz
run 2 'cut-two.npz' critpath insert plain.cfg cut-two.npz -mode gate -out no.cfg
ls no* && fail "a refused command wrote something"
true

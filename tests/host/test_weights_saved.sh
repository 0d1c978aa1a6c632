# Darknet's own training saves weights whole or not at all: after a kill at any moment the file there is one whole state, and where
# they cannot be written the training says why, ends with status 1, and leaves the file of before.
set -eu
. tests/host/common.sh
cd "$tmp"
PYTHON=python3
[ ! -x /usr/bin/python3 ] || PYTHON=/usr/bin/python3
"$PYTHON" -c 'import zlib' 2>/dev/null || skip "Python"
export ASAN_OPTIONS=detect_leaks=0:replace_str=0
"$PYTHON" - <<'PY'
import struct, zlib
chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
rows = b"".join(b"\0" + bytes(range(y, y + 48)) for y in range(16))
open("cat.png", "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)) +
                            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
PY
printf '%s/cat.png\n' "$tmp" >list
printf 'cat\ndog\nelk\n' >names
mkdir backup
printf 'classes=3\nnames=names\nlabels=names\ntrain=list\nvalid=list\nbackup=backup\n' >net.data
# 2 MB of weights, saved after each of the first ten batches, in training that takes no time.
cfg() {
    printf '[net]\nbatch=1\nsubdivisions=1\nwidth=4\nheight=4\nchannels=3\nmax_batches=%s\nlearning_rate=.001\nmin_crop=4\nmax_crop=4\n' "$1"
    printf '[connected]\noutput=10000\nactivation=relu\n[connected]\noutput=3\nactivation=linear\n[softmax]\n[cost]\n'
} >net.cfg
# The bytes of a whole state of net.cfg: header, biases, weights.
whole=$((20 + 4 * (10000 + 48 * 10000 + 3 + 30000)))

cfg 100000
kills=0
while [ $kills -lt 12 ]; do
    "$CRITPATH_DARKNET" classifier train net.data net.cfg -clear >out 2>&1 </dev/null &
    trainer=$!
    sleep "0.$((2 + kills % 5))"
    kill -9 $trainer 2>/dev/null || fail "the training ended before it was killed: $(tail -n 3 out)"
    wait $trainer 2>/dev/null || true
    kills=$((kills + 1))
    for file in backup/*.weights; do
        [ ! -e "$file" ] || [ "$(stat -c %s "$file")" = $whole ] || fail "$file has $(stat -c %s "$file") bytes of $whole after a kill"
    done
done

cfg 1
rm -f backup/*
run 0 'Saving weights' classifier train net.data net.cfg
[ "$(stat -c %s backup/net.weights)" = $whole ] || fail "net.weights has $(stat -c %s backup/net.weights) bytes, expected $whole"
ls backup | grep -q part && fail "an unfinished file is left: $(ls backup)"
before=$(sha256sum <backup/net.weights)

# No room: files above 400 KB are refused.
got=0
(trap '' XFSZ; ulimit -f 800; exec "$CRITPATH_DARKNET" classifier train net.data net.cfg) >out 2>&1 </dev/null || got=$?
[ $got = 1 ] || fail "weights that did not fit: status $got, expected 1: $(tail -n 3 out)"
grep -q "Couldn't save weights to backup/net.*: File too large" out || fail "no reason: $(tail -n 3 out)"
[ "$before" = "$(sha256sum <backup/net.weights)" ] || fail "the old weights have changed though the new ones did not fit"
ls backup | grep -q part && fail "an unfinished file is left: $(ls backup)"

# What is no file is written to.
ln -sf /dev/full backup/net.weights
got=0
"$CRITPATH_DARKNET" classifier train net.data net.cfg >out 2>&1 </dev/null || got=$?
[ $got = 1 ] && grep -q 'No space left on device' out || fail "/dev/full: status $got: $(tail -n 3 out)"
exit 0

# Sourced by the tests of this folder. $CRITPATH_DARKNET is the executable under test; $tmp goes away at the end.
fail() { echo "FAIL: $*"; exit 1; }
skip() { echo "skipped: no $*"; exit 77; }
CRITPATH_DARKNET=$(realpath -m "${CRITPATH_DARKNET:-build/darknet}")
[ -x "$CRITPATH_DARKNET" ] || skip "$CRITPATH_DARKNET (make builds it)"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# run STATUS TEXT ARGUMENTS...: the status is exactly this one and the output holds TEXT
run() {
    status=$1 text=$2
    shift 2
    got=0
    ASAN_OPTIONS=detect_leaks=0 "$CRITPATH_DARKNET" "$@" >out 2>&1 </dev/null || got=$?
    [ "$got" = "$status" ] || fail "darknet $*: status $got, expected $status: $(tail -n 3 out)"
    grep -q -- "$text" out || fail "darknet $*: no '$text' in: $(tail -n 3 out)"
}

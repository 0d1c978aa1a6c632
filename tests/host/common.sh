# Sourced by the tests of this folder. $CRITPATH_DARKNET is the executable under test; $tmp goes away at the end.
fail() { echo "FAIL: $*"; exit 1; }
skip() { echo "skipped: no $*"; exit 77; }
CRITPATH_DARKNET=$(realpath -m "${CRITPATH_DARKNET:-build/darknet}")
[ -x "$CRITPATH_DARKNET" ] || skip "$CRITPATH_DARKNET (make builds it)"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

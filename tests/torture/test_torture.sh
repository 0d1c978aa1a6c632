#!/bin/sh
# A sample of `make torture`: what commands make of a failing allocation or call of a file. With TORTURE=whole every one of them.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
darknet=${CRITPATH_DARKNET:-build/darknet}
[ -x "$darknet" ] || { echo "skipped: no executable at $darknet (CRITPATH_DARKNET)"; exit 77; }
if grep -q __asan_init "$darknet"; then
    echo "skipped: AddressSanitizer has allocations of its own"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cc -O1 -g -Wall -Wextra -Werror -fPIC -shared -o "$folder/failing.so" tests/torture/failing.c -ldl || exit 1
if [ "${TORTURE-}" = whole ]; then
    set -- --every 1 --kills 200
else
    set -- --every 151 --only explain --kills 8
fi
/usr/bin/python3 tests/torture/torture.py "$folder/failing.so" "$darknet" "$@"

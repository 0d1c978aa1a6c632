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
/usr/bin/python3 tests/torture/torture.py "$folder/failing.so" "$darknet" "$@" || exit
[ "${TORTURE-}" = whole ] || exit 0
command -v valgrind >/dev/null || { echo "explain under valgrind: left out, no valgrind"; exit 0; }
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 valgrind -q --error-exitcode=9 "$darknet" critpath explain tests/oracle/cfg/resnet.cfg \
    tests/oracle/resnet.weights examples/signs-two.png -threads 1 -out "$folder/v" >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
printf '%-48s %6d           %8d %6d\n' 'explain, under valgrind' 1 0 0

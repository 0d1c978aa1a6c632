#!/bin/sh
# `gen`, run as a user runs it.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo "skipped: no python3-numpy"; exit 77; }
exec /usr/bin/python3 tests/cli/gen_test.py

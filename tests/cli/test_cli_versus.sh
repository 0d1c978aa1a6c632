#!/bin/sh
# -versus, and which classes a box might be: why the one class and not the other.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo "skipped: python3-numpy is missing"; exit 77; }
exec /usr/bin/python3 tests/cli/versus_test.py

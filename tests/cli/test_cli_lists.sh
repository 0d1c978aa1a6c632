#!/bin/sh
# Lists of images, run as a user runs them.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/list_test.py

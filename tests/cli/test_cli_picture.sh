#!/bin/sh
# `picture` and what -picture and its fellows draw, run as a user runs them.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/picture_test.py

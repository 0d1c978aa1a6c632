#!/bin/sh
# `sanity`, run as a user runs it.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/sanity_test.py

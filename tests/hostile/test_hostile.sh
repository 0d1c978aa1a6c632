#!/bin/sh
# Bad input of every kind.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/hostile/hostile_test.py

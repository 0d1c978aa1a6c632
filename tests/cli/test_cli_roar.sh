#!/bin/sh
# `roar`, run as a user runs it: trainings of a second on a tiny set, killed and gone on with.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
# Darknet frees nothing at the end of a training.
export ASAN_OPTIONS=detect_leaks=0:replace_str=0
exec /usr/bin/python3 tests/cli/roar_test.py

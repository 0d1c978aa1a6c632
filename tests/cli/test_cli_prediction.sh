#!/bin/sh
# explain's prediction against Darknet's own verbs.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/prediction_test.py

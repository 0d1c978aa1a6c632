#!/bin/sh
# Results never take the place of inputs, come all or not at all, and names never reach a terminal raw.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/outputs_test.py

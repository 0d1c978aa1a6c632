#!/bin/sh
# Keys, activations and texts of cfgs as later Darknets have them: which are taken, which are refused.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/modern_cfg_test.py

#!/bin/sh
# Help against what the commands take and do.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/help_test.py

#!/bin/sh
# Edges, graphs, effective paths; -rank and -baseline.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
/usr/bin/python3 -c 'import numpy' 2>/dev/null || { echo "skipped: python3-numpy is missing"; exit 77; }
exec /usr/bin/python3 tests/cli/graph_test.py

#!/bin/sh
# Files as people have them: line ends, byte order marks, blanks in paths, grey networks, photos that lie on their side.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/files_test.py

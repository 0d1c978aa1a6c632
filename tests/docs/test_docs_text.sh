#!/bin/sh
# The pages: links, files and sections that are named.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/docs/check_text.py

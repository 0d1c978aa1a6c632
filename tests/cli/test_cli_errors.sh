#!/bin/sh
# `errors`, -shard and `merge`, run as a user runs them: planted errors, kills, shards, files against their schemas.
[ -x /usr/bin/python3 ] || { echo "skipped: no /usr/bin/python3"; exit 77; }
exec /usr/bin/python3 tests/cli/errors_test.py

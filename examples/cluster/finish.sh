#!/bin/sh
# Puts the shards of a run together and makes its tables and pictures. It counts the shards itself: one that is missing or was killed is
# named, and only that one has to be run again.
#
#   examples/cluster/finish.sh N OUT errors <data> <cfg> <weights> [-options]
# DARKNET=path of the binary [build/darknet]
set -e
n=$1 out=$2
shift 2
darknet=${DARKNET:-build/darknet}
set -- "$@" -out "$out"
if [ "$n" -gt 1 ]; then
    "$darknet" critpath merge "$out".*-of-"$n".jsonl -out "$out"
fi
exec "$darknet" critpath "$@" -resume

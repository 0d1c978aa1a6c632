#!/bin/sh
# examples/cluster/gnu-parallel.sh gives the bytes of one process, also when a shard was killed half-way.
command -v parallel >/dev/null || { echo "skipped: no parallel (Debian: parallel)"; exit 77; }
. tests/cluster/common.sh
DARKNET=$darknet examples/cluster/gnu-parallel.sh 3 "$folder/three" $signs >"$folder/out" 2>&1 || { cat "$folder/out"; exit 1; }
compare "$folder/three"
# A process that dies leaves the part of its shard; the same command goes on.
head -n 2 "$folder/three.2-of-3.jsonl" >"$folder/again.2-of-3.jsonl.part"
cp "$folder/three.1-of-3.jsonl" "$folder/again.1-of-3.jsonl"
if DARKNET=$darknet examples/cluster/finish.sh 3 "$folder/again" $signs >"$folder/out" 2>&1; then
    echo "merged although two shards are missing"
    exit 1
fi
grep -q 'shard 2/3 is missing' "$folder/out" || { cat "$folder/out"; exit 1; }
DARKNET=$darknet examples/cluster/gnu-parallel.sh 3 "$folder/again" $signs >"$folder/out" 2>&1 || { cat "$folder/out"; exit 1; }
compare "$folder/again"

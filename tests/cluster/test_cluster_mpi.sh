#!/bin/sh
# examples/cluster/mpi.sh gives the bytes of one process.
command -v mpiexec >/dev/null || { echo "skipped: no mpiexec (Debian: mpich)"; exit 77; }
. tests/cluster/common.sh
for n in 1 2; do
    DARKNET=$darknet examples/cluster/mpi.sh $n "$folder/m$n" $signs >"$folder/out" 2>&1 || { cat "$folder/out"; exit 1; }
    compare "$folder/m$n"
done

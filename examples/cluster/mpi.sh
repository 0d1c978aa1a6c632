#!/bin/sh
# A list on N processes by mpiexec, which starts them and numbers them; nothing else of MPI is used. MPICH and Open MPI.
#
#   examples/cluster/mpi.sh N OUT errors <data> <cfg> <weights> [-options]
# DARKNET=path of the binary [build/darknet]; THREADS of each process [1]; MPIEXEC, with options [mpiexec]
set -e
n=$1 out=$2
here=$(dirname "$0")
shift 2
${MPIEXEC:-mpiexec} -n "$n" "${DARKNET:-build/darknet}" critpath "$@" -out "$out" -threads "${THREADS:-1}" -quiet \
    $([ "$n" -gt 1 ] && echo "-shard auto")
exec "$here/finish.sh" "$n" "$out" "$@"

#!/bin/sh
# A list on N processes by GNU parallel: of this machine, or of several by ssh, which see the same folders. A process that fails is started
# twice more; what is done by then stays done. The same command again goes on where it stopped.
#
#   examples/cluster/gnu-parallel.sh N OUT errors <data> <cfg> <weights> [-options]
#   HOSTS=ant,bee,: examples/cluster/gnu-parallel.sh 12 OUT ...      ":" is this machine
# DARKNET=path of the binary [build/darknet]; THREADS of each process [cores / N, at least 1]
set -e
n=$1 out=$2
here=$(dirname "$0")
shift 2
threads=${THREADS:-$(($(nproc) / n))}
[ "$threads" -ge 1 ] || threads=1
parallel --will-cite --retries 3 --line-buffer ${HOSTS:+--sshlogin "$HOSTS" --workdir .} -j "${JOBS:-$n}" -q \
    "${DARKNET:-build/darknet}" critpath "$@" -out "$out" -threads "$threads" -quiet -shard "{}/$n" ::: $(seq "$n")
exec "$here/finish.sh" "$n" "$out" "$@"

#!/bin/sh
# A list as a Slurm job array of N elements, and behind it a job that puts the shards together. That one runs whatever became of the
# elements: it counts the shards itself and names those that are missing. Submit the same again, and only what is missing is done.
#
#   examples/cluster/slurm.sh N OUT errors <data> <cfg> <weights> [-options]
# DARKNET=path of the binary [build/darknet]; SBATCH, with options ["sbatch"], such as SBATCH="sbatch --partition=cpu --cpus-per-task=4"
set -e
n=$1 out=$2
here=$(dirname "$0")
shift 2
quoted=
for word; do quoted="$quoted '$(printf %s "$word" | sed "s/'/'\\\\''/g")'"; done
darknet=${DARKNET:-build/darknet}
array=$(${SBATCH:-sbatch} --parsable --array="1-$n" --job-name=critpath --requeue --wrap \
    "'$darknet' critpath$quoted -out '$out' -quiet -threads \${SLURM_CPUS_PER_TASK:-1} -shard auto")
${SBATCH:-sbatch} --parsable --dependency="afterany:${array%%;*}" --job-name=critpath-merge --wrap \
    "DARKNET='$darknet' '$here/finish.sh' $n '$out'$quoted"

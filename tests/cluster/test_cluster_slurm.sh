#!/bin/sh
# examples/cluster/slurm.sh, with a stand-in for sbatch that runs what is submitted at once, in the environment that Slurm gives the
# elements of an array. Slurm itself is not run. One element is lost at first: the merge says so, and submitting again mends it.
. tests/cluster/common.sh
cat >"$folder/sbatch" <<'END'
#!/bin/sh
array= dependency=
while [ $# -gt 0 ]; do
    case $1 in
    --array=*) array=${1#--array=} ;;
    --dependency=*) dependency=${1#--dependency=} ;;
    --wrap) shift && command=$1 ;;
    esac
    shift
done
[ -z "$array" ] || n=${array#1-}
echo 1234
if [ -n "$array" ]; then
    for i in $(seq "$n"); do
        [ "$i" = "$LOST" ] ||
            SLURM_ARRAY_TASK_ID=$i SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_STEP=1 SLURM_ARRAY_TASK_COUNT=$n SLURM_PROCID=0 \
                SLURM_NTASKS=1 sh -c "$command" >&2
    done
else
    [ "$dependency" = afterany:1234 ] || { echo "dependency is $dependency" >&2; exit 1; }
    sh -c "$command" >&2 || echo "the merge failed" >&2
fi
END
chmod +x "$folder/sbatch"
DARKNET=$darknet SBATCH=$folder/sbatch LOST=2 examples/cluster/slurm.sh 3 "$folder/s" $signs >"$folder/out" 2>&1
grep -q 'shard 2/3 is missing' "$folder/out" && grep -q 'the merge failed' "$folder/out" || { cat "$folder/out"; exit 1; }
DARKNET=$darknet SBATCH=$folder/sbatch LOST= examples/cluster/slurm.sh 3 "$folder/s" $signs >"$folder/out" 2>&1
compare "$folder/s"

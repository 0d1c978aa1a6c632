#!/bin/sh
# Commands that may open only a few files at a time (ulimit -n): exit status 0 or 3, with a reason. With three the dynamic linker itself
# has none left.
set -u
darknet=${CRITPATH_DARKNET:-build/darknet}
[ -x "$darknet" ] || { echo "skipped: no executable at $darknet (CRITPATH_DARKNET)"; exit 77; }
root=$PWD
darknet=$(realpath "$darknet")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
net="$root/tests/oracle/cfg/resnet.cfg $root/tests/oracle/resnet.weights"
photo=$root/examples/signs-two.png
export OMP_WAIT_POLICY=passive OPENBLAS_NUM_THREADS=1
# shellcheck disable=SC2086
"$darknet" critpath path $net "$photo" -quiet -out p >log 2>&1 || { cat log; exit 1; }
refused=0 bad=0
while read -r line; do
    for files in 4 5 6 7; do
        rm -rf x* e.* s.*
        # shellcheck disable=SC2086
        (exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n $files && exec "$darknet" critpath $line) >out 2>err </dev/null
        status=$?
        if [ $status = 127 ] && grep -q 'shared libraries' err; then continue; fi # the linker needs more of them on this system
        [ $status != 3 ] || refused=$((refused + 1))
        if [ $status = 3 ] && [ -s err ] || [ $status = 0 ]; then continue; fi
        echo "$files files: exit $status: $line: $(tail -n 1 err)"
        bad=1
    done
done <<END
explain $net $photo -out x
score $net $photo -out x
grad $net $photo -out x
prune $net p.path.npz -out x
insert $root/tests/oracle/cfg/resnet.cfg p.path.npz -mode zero -out x.cfg
compare $net p.path.npz p.path.npz
eval $net $photo -methods gradient -metrics gini -out e
gates $net $photo -iterations 1 -out x
END
[ $refused -gt 2 ] || { echo "only $refused runs had too few files"; bad=1; }
exit $bad

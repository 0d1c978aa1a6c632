# What make promises: nothing is done twice, a changed patch starts from a fresh tree, a user's checkout is only read,
# and every patch applies on its own, without fuzz, to Debian's and to upstream's Darknet.
set -eu
. tests/host/common.sh
unset MAKEFLAGS MAKELEVEL MFLAGS || true
build=$(dirname "$CRITPATH_DARKNET")
options=$(cat "$build/.options")

# shellcheck disable=SC2086
{
    make -n BUILD="$build" $options >"$tmp/plain"
    make -n BUILD="$build" $options -W patches/fixes/0001-crop-copy.patch >"$tmp/patch"
    make -n BUILD="$build" $options -W patches/series >"$tmp/series"
}
grep -q 'Nothing to be done' "$tmp/plain" || fail "a second make works again: $(head -n 3 "$tmp/plain")"
for file in patch series; do
    for step in unpack-darknet libdarknet.a; do
        grep -q "$step" "$tmp/$file" || fail "a changed $file does not lead to $step"
    done
done

[ -f build/download/.verified ] || skip "tarball of Darknet (make DARKNET= was used)"
plain=$tmp/plain-tree
mkdir "$plain"
tar -C "$plain" --strip-components=1 -xJf build/download/*.orig.tar.xz
for label in upstream debian; do
    # Of Debian's own patches this is the only one that reaches a build without OpenCV.
    [ $label = upstream ] || sed -i 's|"data/labels/|"/usr/share/darknet/data/labels/|' "$plain/src/image.c"
    for folder in patches patches/fixes; do
        while read -r name; do
            patch -d "$plain" -p1 -F0 --dry-run --batch <"$folder/$name" >"$tmp/log" 2>&1 || {
                cat "$tmp/log"
                fail "$name does not apply to plain Darknet ($label)"
            }
        done <"$folder/series"
    done
done

mkdir -p "$plain/obj"
touch "$plain/obj/stale.o"
sum() { find "$plain" -type f -exec sha256sum {} + | sort | sha256sum; }
before=$(sum)
tools/unpack-darknet "$plain" "$tmp/tree"
[ "$before" = "$(sum)" ] || fail "the user's checkout has changed"
[ ! -e "$tmp/tree/obj/stale.o" ] || fail "old objects were copied"
grep -q CRITPATH "$tmp/tree/examples/darknet.c" || fail "the copy is not patched"

# A checkout that has the patches already is refused, with the patch's name
tools/unpack-darknet "$tmp/tree" "$tmp/again" >"$tmp/log" 2>&1 && fail "patches applied twice"
grep -q '0001-critpath-verb.patch does not apply' "$tmp/log" || fail "no word about the patch: $(cat "$tmp/log")"

# So is a folder that is no checkout, and the tree of before stays.
mkdir "$tmp/nothing"
tools/unpack-darknet "$tmp/nothing" "$tmp/tree" >"$tmp/log" 2>&1 && fail "an empty folder was taken for Darknet"
grep -q "$tmp/nothing is no checkout of Darknet: it has no src/parser.c" "$tmp/log" || fail "no reason: $(cat "$tmp/log")"
[ -f "$tmp/tree/src/parser.c" ] || fail "the tree of before is gone"

make -s help | grep -q '^make demo  ' || fail "make help does not say what there is"

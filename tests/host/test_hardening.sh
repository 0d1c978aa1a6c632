# A release build is a position independent executable whose relocations are read-only before main; the plugin and Darknet
# itself are compiled with the stack protector and FORTIFY.
set -eu
. tests/host/common.sh
build=$(dirname "$CRITPATH_DARKNET")
case $(cat "$build/.options") in
*HARDENED=0* | *DEBUG=1* | *SANITIZE=[a-z]*) skip "hardened build in $build" ;;
esac
readelf -hldW "$CRITPATH_DARKNET" >"$tmp/elf"
nm -D --undefined-only "$CRITPATH_DARKNET" >"$tmp/imports"
grep -q 'Type: *DYN' "$tmp/elf" || fail "no position independent executable: $(grep Type: "$tmp/elf")"
grep -Eq 'FLAGS_1.*PIE' "$tmp/elf" || fail "not marked as a position independent executable"
grep -q GNU_RELRO "$tmp/elf" || fail "no read-only relocations"
grep -Eq 'BIND_NOW|FLAGS_1.*NOW' "$tmp/elf" || fail "symbols are bound late, so that their table stays writable"
grep GNU_STACK "$tmp/elf" | grep -q 'RWE' && fail "the stack can be executed"
for library in "$build/cmake/libcritpath.a" "$build/darknet-src/libdarknet.a"; do
    nm --undefined-only "$library" >"$tmp/symbols" 2>&1
    for symbol in __stack_chk_fail '__[a-z]*printf_chk'; do
        grep -Eq " U $symbol" "$tmp/symbols" || fail "$library: no call of $symbol"
    done
done

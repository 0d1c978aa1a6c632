# make install: a program in C compiles and runs with the shared and with the static library through pkg-config, the
# program runs under its name, Darknet draws its labels, and make uninstall leaves no file.
set -eu
. tests/host/common.sh
unset MAKEFLAGS MAKELEVEL MFLAGS || true
build=$(dirname "$CRITPATH_DARKNET")
! grep -q 'SANITIZE=[a-z]\|GPU=1' "$build/.options" || skip "a plain build for the CPU"
command -v pkg-config >/dev/null || skip "pkg-config"
prefix=/opt/critpath
project=$PWD
to=$tmp/root
installed=$to$prefix

install_or_not() { # the goal
    eval make -s "$1" BUILD="$build" "$(cat "$build/.options")" DESTDIR="$to" PREFIX="$prefix" >"$tmp/log" 2>&1 ||
        fail "make $1: $(tail -n 5 "$tmp/log")"
}
install_or_not install
export PKG_CONFIG_PATH="$installed/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$to"

# The shared library exports the functions of the header and nothing else, under a name with its major version.
nm -D --defined-only "$installed/lib/libcritpath.so" | awk '{print $3}' | sort >"$tmp/exported"
grep -q '^cp_model_open$' "$tmp/exported" || fail "cp_model_open is not exported"
! grep -v '^cp_' "$tmp/exported" || fail "exported besides cp_"
while read -r name; do
    grep -q "\<$name(" plugin/critpath.h || fail "$name is exported, but not in critpath.h"
done <"$tmp/exported"
readelf -d "$installed/lib/libcritpath.so" | grep -q 'SONAME.*\[libcritpath\.so\.0\]' || fail "no SONAME"
# The name of a critical section, which OpenMP wants to be one in the whole program, holds ours.
strays=$(nm -g --defined-only "$installed/lib/libcritpath.a" |
    awk 'NF == 3 && $3 !~ /^(cp_|[.]gomp_critical_user_cp_)/ {print $3}')
[ -z "$strays" ] || fail "the static library defines $strays"

# shellcheck disable=SC2046
gcc -Wall -Werror $(pkg-config --cflags critpath) tests/install/consumer.c $(pkg-config --libs critpath) \
    -o "$tmp/shared" ||
    fail "does not link with the shared library"
readelf -d "$tmp/shared" | grep -q 'NEEDED.*libcritpath\.so\.0' || fail "not linked with libcritpath.so.0"
LD_LIBRARY_PATH="$installed/lib" "$tmp/shared" cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights >"$tmp/of-shared"
# Where both are the linker would take the shared one.
static=$(pkg-config --static --libs critpath | sed 's/-lcritpath/-l:libcritpath.a/')
# shellcheck disable=SC2046,SC2086
gcc -Wall -Werror $(pkg-config --cflags critpath) tests/install/consumer.c $static -o "$tmp/static" ||
    fail "does not link with the static library"
! readelf -d "$tmp/static" | grep -q libcritpath || fail "linked with the shared library instead of the static one"
"$tmp/static" cfg/resnet8-cifar.cfg weights/resnet8-cifar.weights >"$tmp/of-static"
cmp "$tmp/of-shared" "$tmp/of-static" || fail "the two libraries answer differently"
grep -q "^critpath $(sed -n 's/^#define CP_VERSION "\(.*\)"/\1/p' plugin/critpath.h): 29491 of 294912 neurons, logit " \
    "$tmp/of-shared" || fail "found $(cat "$tmp/of-shared")"
grep -q '^error: .*missing.cfg' "$tmp/of-shared" || fail "no message for a missing cfg"

# The program, in a copy of the examples; Darknet's own verbs under the other name, and its label pictures.
cp -r "$installed/share/critpath" "$tmp/examples"
rm -r "$tmp/examples/data"
cd "$tmp/examples"
"$installed/bin/critpath" explain -h >usage
grep -q '^usage: critpath explain ' usage || fail "usage says $(head -n 1 usage)"
"$installed/bin/critpath" layers cfg/tiny-yolo-signs.cfg >layers
grep -q '11 of them neuron layers' layers || fail "critpath layers: $(tail -n 2 layers)"
"$installed/bin/darknet-critpath" critpath layers cfg/tiny-yolo-signs.cfg | cmp - layers || fail "the two names differ"
status=0
"$installed/bin/critpath" nonsense 2>err || status=$?
[ $status = 2 ] || fail "an unknown command: status $status"
grep -q 'unknown command "nonsense"; `critpath help` lists them' err || fail "says $(cat err)"
"$installed/bin/darknet-critpath" detector test cfg/tiny-yolo-signs.data cfg/tiny-yolo-signs.cfg \
    weights/tiny-yolo-signs.weights examples/signs-two.png -out found >out 2>&1 || fail "detector test: $(tail -n 3 out)"
[ -d /usr/share/darknet/data/labels ] || [ -s found.jpg ] || [ -s found.png ] ||
    fail "no picture with labels: $(tail -n 3 out)"
cd "$project"

[ "$(readlink "$installed/bin/critpath")" = darknet-critpath ] || fail "critpath is no link to darknet-critpath"
grep -q '^\.TH CRITPATH 1 ' "$installed/share/man/man1/critpath.1" || fail "no manual page"
[ -e "$installed/share/man/man1/darknet-critpath.1" ] || fail "no manual page for darknet-critpath"
bash -n "$installed/share/bash-completion/completions/critpath" || fail "completion of bash"

# A file of someone else stays.
echo theirs >"$installed/lib/theirs"
install_or_not uninstall
left=$(find "$to" ! -type d)
[ "$left" = "$installed/lib/theirs" ] || fail "left behind: $left"
rm "$installed/lib/theirs"
install_or_not uninstall
[ -z "$(ls -A "$to")" ] || fail "left behind: $(find "$to")"

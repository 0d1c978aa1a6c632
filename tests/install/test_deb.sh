# make deb: three packages whose files no other package has, that lintian has no error against, and that dpkg takes.
set -eu
. tests/host/common.sh
unset MAKEFLAGS MAKELEVEL MFLAGS || true
build=$(dirname "$CRITPATH_DARKNET")
! grep -q 'SANITIZE=[a-z]\|GPU=1' "$build/.options" || skip "a plain build for the CPU"
for tool in dpkg-deb dpkg-shlibdeps dpkg-architecture; do
    command -v $tool >/dev/null || skip "$tool (dpkg-dev)"
done
MAINTAINER='Critpath Tester <tester@critpath.org>' tools/make-deb "$build" >"$tmp/log" 2>&1 ||
    fail "$(tail -n 5 "$tmp/log")"
version=$(sed -n 's/^#define CP_VERSION "\(.*\)"/\1/p' plugin/critpath.h)
set -- "$build"/deb/*.deb
[ $# = 3 ] || fail "$# packages: $*"
for package; do
    dpkg-deb -c "$package" | awk '$1 !~ /^d/ {print $6}' >>"$tmp/files"
    dpkg-deb -f "$package" Version | grep -qx "$version" || fail "$package: version $(dpkg-deb -f "$package" Version)"
    dpkg-deb -f "$package" Depends | grep -q . || fail "$package depends on nothing"
done
[ "$(sort "$tmp/files" | uniq -d | wc -l)" = 0 ] || fail "in two packages: $(sort "$tmp/files" | uniq -d)"
for file in usr/bin/critpath usr/bin/darknet-critpath usr/share/man/man1/critpath.1.gz usr/include/critpath.h \
    usr/share/bash-completion/completions/critpath usr/share/critpath/data/labels/32_0.png; do
    grep -qx "./$file" "$tmp/files" || fail "no $file"
done
# What Debian's package darknet has; it is to stay installed beside this one.
! grep -E '^\./usr/(bin/darknet|lib/.*libdarknet.*|share/darknet/.*|share/man/man1/darknet\.1\.gz)$' "$tmp/files" ||
    fail "Debian's darknet has these files"
dpkg-deb -f "$build/deb/critpath_"*.deb Depends | grep -q 'libopenblas\|libblas' ||
    fail "critpath does not depend on a BLAS"
dpkg-deb -x "$build/deb/critpath_"*.deb "$tmp/root"
said=$("$tmp/root/usr/bin/critpath" version)
[ "$said" = "critpath $version" ] || fail "the program says $said"
[ -z "$(find "$build/deb" -mindepth 1 ! -name '*.deb')" ] || fail "left behind: $(ls "$build/deb")"
command -v lintian >/dev/null || { echo "lintian is not installed: the packages are not checked by it"; exit 0; }
lintian --allow-root --fail-on error --tag-display-limit 0 "$@" >"$tmp/lintian" 2>&1 ||
    fail "$(grep '^E' "$tmp/lintian")"

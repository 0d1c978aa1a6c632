# sh tests/rooms/check.sh OBJECT...: of the plugin's folders each calls only those to its left, and io, which calls none.
# No files of a room call each other in a circle, and no two files of the plugin have one name.
set -eu
twice=$(find ../plugin -name '*.[ch]' -o -name '*.cu' | sed 's|.*/||' | sort | uniq -d)
[ -z "$twice" ] || { echo "file names that are there twice: $twice"; exit 1; }
nm -A -P "$@" | awk '
    BEGIN { n = split("io model engine score path map eval decode gen train cli", rooms); for (i = 1; i <= n; i++) order[rooms[i]] = i }
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
        for (use in user) {
            split(use, part, SUBSEP)
            to = part[2] in home ? defined_in[part[2]] : part[1]
            if (to != part[1] && user[use] == home[part[2]]) edge[part[1], to]
        }
        # Files that call no file of the room but those taken away before are taken away; a circle stays.
        do {
            gone = 0
            for (pair in edge) { split(pair, part, SUBSEP); calling[part[1]] }
            for (pair in edge) { split(pair, part, SUBSEP); if (!(part[2] in calling)) { delete edge[pair]; gone++ } }
            delete calling
        } while (gone)
        for (pair in edge) { split(pair, part, SUBSEP); print part[1] " calls " part[2] ", in a circle or on a way to one"; bad = 1 }
        if (defined < 100 || calls < 100) { print "only " defined " symbols and " calls " calls were seen"; bad = 1 }
        exit bad
    }'

# A device is named in its backend alone. The exceptions are where Darknet's own structures have other members in a build for
# GPUs; the list only shrinks.
cd "$(dirname "$0")/../.."
if grep -rnE '\b(cuda|cublas|cudnn)[A-Za-z_]*\(|\bcp_(kernel|cuda)_|#if.*\b(GPU|CUDNN)\b' plugin --include='*.[ch]' |
    grep -vE '^plugin/(engine/cuda/|engine/backend\.c:|model/(device|host|reload)\.c:|train/(gates|pathmask|recording)\.c:)'; then
    echo "a device is named outside engine/cuda"
    exit 1
fi

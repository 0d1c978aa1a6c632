/* What a run over a list has found, as a file of JSON lines: first a manifest (what the lines depend on: hashes,
 * options, versions), then one line per image. Lines are appended and synced one by one, so that a run that was
 * killed goes on where it stopped, and the lines of several machines merge into the file that one machine would have
 * written. Only the place of each line is kept in memory, some 24 bytes. */
#ifndef CP_IO_LEDGER_H
#define CP_IO_LEDGER_H

#include <jansson.h>
#include <stddef.h>

#include "critpath.h"

typedef struct cp_ledger cp_ledger;

/* Opens `path` for writing. manifest (taken over in any case) is its first line. resume: lines that are there
 * already stay, provided that their manifest equals this one; where it does not, or a line is broken, CP_EINPUT
 * names the member and both values, or the line. An unfinished last line, as a kill leaves it, is cut off. Without
 * resume, or without a file, it starts empty. */
cp_status cp_ledger_open(const char *path, json_t *manifest, bool resume, cp_ledger **ledger);
void cp_ledger_close(cp_ledger *ledger);

/* Whether image `index` (from 0, place in the whole list) has a line. */
bool cp_ledger_has(const cp_ledger *ledger, size_t index);
/* Appends the line of image `index`: {"index": ..., then the members of `record`}, which is taken over in any case. */
cp_status cp_ledger_add(cp_ledger *ledger, size_t index, json_t *record);

/* Leaves out the lines k for which drop[k] is true (NULL: none), and puts the others in the order of their indices. The
 * file is written anew and takes the old one's place as a whole; after a failure the ledger is only to be closed. */
cp_status cp_ledger_drop(cp_ledger *ledger, const bool *drop);

/* The lines by ascending index. A record is read from the file again, belongs to the ledger, and lives until the
 * next call of cp_ledger_read or cp_ledger_at, which gives NULL where reading fails. */
size_t cp_ledger_count(const cp_ledger *ledger);
cp_status cp_ledger_read(cp_ledger *ledger, size_t k, const json_t **record);
const json_t *cp_ledger_at(cp_ledger *ledger, size_t k);
/* The same of image `index`; NULL: it has no line, or that cannot be read. */
const json_t *cp_ledger_of(cp_ledger *ledger, size_t index);
size_t cp_ledger_index(const cp_ledger *ledger, size_t k);

/* Merges n ledgers into the file `path`, line by line, written atomically: same manifests but for the member
 * "shard", every index once, and none missing below `expected` (0: below the highest found). CP_EINPUT names what is
 * missing, twice or different. */
cp_status cp_ledger_merge(const char *const *paths, int n, size_t expected, const char *path);

#endif

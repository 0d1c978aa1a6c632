/* -shard: which lines of a list one of several processes takes. Processes know nothing of each other; what they find
 * is merged. */
#ifndef CP_CLI_SHARD_H
#define CP_CLI_SHARD_H

#include <stddef.h>

#include "critpath.h"

/* Line k of the list, from 0, belongs to shard 1 + k % count. */
typedef struct {
    size_t number, count; /* from 1; count 1: everything */
    char text[48];        /* "2/7", or "" for everything */
} cp_shard;

/* "I/N"; or "auto": the first that the environment has of SLURM_ARRAY_TASK_ID (with _MIN, _STEP, _COUNT),
 * SLURM_PROCID of SLURM_NTASKS above 1, OMPI_COMM_WORLD_RANK of _SIZE, PMI_RANK of PMI_SIZE; "auto/N": the same, or
 * PARALLEL_SEQ, as shard of N. NULL: everything. CP_EINPUT: none is there, two that are there disagree, or a number
 * is out of range. */
cp_status cp_shard_read(const char *text, cp_shard *shard);

/* ".jsonl", of a shard ".2-of-7.jsonl", into text. */
const char *cp_shard_ending(const cp_shard *shard, const char *ending, char text[64]);

static inline bool cp_shard_has(const cp_shard *shard, size_t line) { return line % shard->count == shard->number - 1; }

#endif

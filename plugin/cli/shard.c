#include "cli/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "io/error.h"

#define LOOKED_FOR "SLURM_ARRAY_TASK_ID, SLURM_PROCID, OMPI_COMM_WORLD_RANK, PMI_RANK"

enum { MOST = 1000000 };

/* A whole number of the environment; false where it is not there. */
static cp_status number_of(const char *name, bool *there, long long *value)
{
    const char *text = getenv(name);
    char what[64];
    *there = text && *text;
    snprintf(what, sizeof what, "-shard auto: %s", name);
    return *there ? cp_parse_int(what, text, 0, 1000000000, value) : CP_OK;
}

static cp_status set(long long number, long long count, const char *from, cp_shard *shard)
{
    if (count < 1 || count > MOST || number < 1 || number > count)
        return cp_fail(CP_EINPUT, "-shard: %s says shard %lld of %lld, allowed are 1 to N of at most %d", from, number,
                       count, MOST);
    *shard = (cp_shard){.number = (size_t)number, .count = (size_t)count};
    snprintf(shard->text, sizeof shard->text, "%lld/%lld", number, count);
    return CP_OK;
}

/* An element of a job array: its place among the elements, which may begin anywhere and go in steps. */
static cp_status of_array(bool *there, long long *number, long long *count)
{
    long long id = 0, least = 1, step = 1;
    bool has_least, has_step, has_count;
    cp_status status = number_of("SLURM_ARRAY_TASK_ID", there, &id);
    if (!status && *there)
        status = number_of("SLURM_ARRAY_TASK_MIN", &has_least, &least);
    if (!status && *there)
        status = number_of("SLURM_ARRAY_TASK_STEP", &has_step, &step);
    if (!status && *there)
        status = number_of("SLURM_ARRAY_TASK_COUNT", &has_count, count);
    if (!status && *there && !has_count)
        return cp_fail(CP_EINPUT, "-shard auto: SLURM_ARRAY_TASK_ID is there, SLURM_ARRAY_TASK_COUNT is not");
    if (!status && *there && (step < 1 || (id - least) % step))
        return cp_fail(CP_EINPUT, "-shard auto: SLURM_ARRAY_TASK_ID %lld is not %lld and some steps of %lld", id, least,
                       step);
    if (!status && *there)
        *number = (id - least) / step + 1;
    return status;
}

/* Ranks count from 0. */
static cp_status of_rank(const char *rank, const char *size, bool *there, long long *number, long long *count)
{
    bool has_size = false;
    cp_status status = number_of(rank, there, number);
    if (!status && *there)
        status = number_of(size, &has_size, count);
    if (!status && *there && !has_size)
        return cp_fail(CP_EINPUT, "-shard auto: %s is there, %s is not", rank, size);
    ++*number;
    return status;
}

/* asked: of "auto/N", 0 for none. */
static cp_status find_shard(long long asked, cp_shard *shard)
{
    static const struct {
        const char *rank, *size;
    } ranks[] = {{"SLURM_PROCID", "SLURM_NTASKS"},
                 {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                 {"PMI_RANK", "PMI_SIZE"}};
    const char *from = NULL;
    for (int i = -1; i < 3; i++) {
        bool there;
        long long number = 0, count = 0;
        const char *name = i < 0 ? "SLURM_ARRAY_TASK_ID" : ranks[i].rank;
        cp_status status = i < 0 ? of_array(&there, &number, &count)
                                 : of_rank(ranks[i].rank, ranks[i].size, &there, &number, &count);
        cp_shard found;
        if (status)
            return status;
        /* A job of one task has a rank too, and says nothing by it. */
        if (!there || (i >= 0 && count == 1))
            continue;
        if ((status = set(number, count, name, &found)))
            return status;
        if (from && strcmp(shard->text, found.text))
            return cp_fail(CP_EINPUT, "-shard auto: %s says %s, %s says %s; give I/N", from, shard->text, name,
                           found.text);
        *shard = found;
        from = name;
    }
    if (from && asked && (size_t)asked != shard->count)
        return cp_fail(CP_EINPUT, "-shard auto/%lld: %s says %s", asked, from, shard->text);
    bool there;
    long long number = 0;
    cp_status status = from || !asked ? CP_OK : number_of("PARALLEL_SEQ", &there, &number);
    if (status || from)
        return status;
    if (asked && there)
        return set(number, asked, "PARALLEL_SEQ", shard);
    return cp_fail(CP_EINPUT, "-shard auto: none of %s%s is in the environment%s", LOOKED_FOR,
                   asked ? ", PARALLEL_SEQ" : "",
                   asked ? "" : "; with PARALLEL_SEQ the number of shards is needed too: auto/N");
}

cp_status cp_shard_read(const char *text, cp_shard *shard)
{
    long long number, count = 0;
    char first[32] = "";
    *shard = (cp_shard){1, 1, ""};
    if (!text)
        return CP_OK;
    const char *slash = strchr(text, '/');
    cp_status status = slash ? cp_parse_int("-shard: number of shards", slash + 1, 1, MOST, &count) : CP_OK;
    snprintf(first, sizeof first, "%.*s", slash ? (int)(slash - text) : 31, text);
    if (status)
        return status;
    if (!strcmp(first, "auto"))
        return find_shard(count, shard);
    if (!slash)
        return cp_fail(CP_EINPUT, "-shard: found \"%.40s\", allowed are I/N, such as 2/7, auto and auto/N", text);
    status = cp_parse_int("-shard", first, 1, count, &number);
    return status ? status : set(number, count, text, shard);
}

const char *cp_shard_ending(const cp_shard *shard, const char *ending, char text[64])
{
    if (shard->count > 1)
        snprintf(text, 64, ".%zu-of-%zu%s", shard->number, shard->count, ending);
    else
        snprintf(text, 64, "%s", ending);
    return text;
}

/* `merge`: the lines of all shards of a run, in the order of the list, as one process would have written them. */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output_path.h"
#include "io/error.h"
#include "io/file.h"
#include "io/json.h"
#include "io/ledger.h"

enum { MAX_MANIFEST_BYTES = 1 << 24 };

/* What the shards say of themselves. */
typedef struct {
    long long count; /* shards there are; 0: not known yet */
    char *seen;      /* (count) */
    size_t images;   /* of the list; 0: it does not say */
} shards;

static cp_status read_manifest(const char *path, json_t **manifest)
{
    FILE *file;
    uint64_t bytes;
    char *text = NULL;
    size_t room = 0;
    cp_status status = cp_file_open(path, "results", (uint64_t)1 << 62, &file, &bytes);
    if (status)
        return status;
    ssize_t n = getline(&text, &room, file);
    if (n <= 0 || n > MAX_MANIFEST_BYTES || text[n - 1] != '\n')
        status = cp_fail(CP_EINPUT, "%s: its first line is no manifest", path);
    else
        status = cp_json_parse(text, (size_t)n - 1, path, manifest);
    free(text);
    fclose(file);
    return status;
}

static cp_status add_shard(shards *all, const char *path)
{
    json_t *manifest = NULL;
    long long number = 1, count = 1;
    char rest;
    cp_status status = cp_ends_with(path, ".part")
                           ? cp_fail(CP_EINPUT, "%s: this shard is not finished; run it again", path)
                           : read_manifest(path, &manifest);
    const char *text = json_string_value(json_object_get(manifest, "shard"));
    if (!status && text && sscanf(text, "%lld/%lld%c", &number, &count, &rest) != 2)
        status = cp_fail(CP_EINPUT, "%s: shard is \"%.40s\", allowed is I/N", path, text);
    if (!status && all->count && all->count != count)
        status = cp_fail(CP_EINPUT, "%s: it is one of %lld shards, the others of %lld", path, count, all->count);
    if (!status && (count < 1 || count > 1000000 || number < 1 || number > count))
        status = cp_fail(CP_EINPUT, "%s: shard %lld of %lld", path, number, count);
    if (!status && !all->seen && !(all->seen = cp_alloc((size_t)count, 1, "shards")))
        status = CP_ERESOURCE;
    if (!status && all->seen[number - 1])
        status = cp_fail(CP_EINPUT, "%s: shard %lld of %lld is there twice", path, number, count);
    if (!status) {
        json_int_t images = json_integer_value(json_object_get(manifest, "images"));
        all->count = count;
        all->seen[number - 1] = 1;
        all->images = images > 0 ? (size_t)images : 0;
    }
    json_decref(manifest);
    return status;
}

static cp_status check_complete(const shards *all)
{
    for (long long i = 0; i < all->count; i++)
        if (!all->seen[i])
            return cp_fail(CP_EINPUT, "merge: shard %lld/%lld is missing; run it", i + 1, all->count);
    return CP_OK;
}

cp_status cp_run_merge(const cp_command *command, const cp_options *options)
{
    cp_session s = {.options = options, .command = command, .out = stdout, .err = stderr};
    const char *const *paths = (const char *const *)options->arguments;
    cp_item whole = {.path = "merged.npz"};
    shards all = {0};
    char path[4096];
    int n = options->n_arguments;
    cp_status status = n ? cp_check_output_folder(&s)
                         : cp_fail(CP_EINPUT, "merge: no shard: name the files of all of them");
    if (!status)
        status = cp_remember_inputs(&s, paths, (size_t)n);
    for (int i = 0; i < n && !status; i++)
        status = add_shard(&all, paths[i]);
    if (!status)
        status = check_complete(&all);
    if (!status)
        status = cp_choose_prefix(&s, &whole);
    if (!status)
        status = cp_output_path(&s, &whole, "", ".jsonl", path);
    if (!status)
        status = cp_ledger_merge(paths, n, all.images, path);
    if (!status)
        printf("%d shard%s in %s; the command of the shards, without -shard and with -resume, makes its "
               "tables and pictures\n",
               n, n == 1 ? "" : "s", path);
    cp_free(all.seen);
    free(s.inputs);
    json_decref(s.prefixes);
    return status;
}

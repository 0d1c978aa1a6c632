/* Lines of a ledger that no longer say what a run of today would: -resume drops them, and their images are done
 * again. */
#include <string.h>
#include <unistd.h>

#include "cli/errors.h"
#include "io/error.h"

static bool says(const json_t *record, const char *key, const char *sha256)
{
    const char *text = json_string_value(json_object_get(record, key));
    return !strcmp(text ? text : "", sha256);
}

static cp_status is_stale(const cp_errors *e, const char *photo, const json_t *record, bool *stale)
{
    char sha256[CP_SHA256_TEXT];
    bool there;
    *stale = json_is_true(json_object_get(record, "unreadable")) || json_object_get(record, "left_out");
    if (*stale || access(photo, F_OK))
        return CP_OK;
    cp_status status = cp_sha256_file(photo, sha256);
    *stale = !status && !says(record, "sha256", sha256);
    if (status || *stale || cp_model_get_kind(e->session->model) != CP_DETECTOR)
        return status;
    status = cp_labels_hash(photo, sha256, &there);
    *stale = !status && !says(record, "labels_sha256", sha256);
    return status;
}

cp_status cp_errors_drop_stale(cp_errors *e)
{
    size_t n = cp_ledger_count(e->ledger);
    bool *drop = cp_alloc(n, sizeof *drop, "results");
    cp_status status = drop ? CP_OK : CP_ERESOURCE;
    e->redone = 0;
    for (size_t k = 0; k < n && !status; k++) {
        const json_t *record;
        size_t index = cp_ledger_index(e->ledger, k);
        status = cp_ledger_read(e->ledger, k, &record);
        if (!status && index < e->n)
            status = is_stale(e, e->images[index], record, &drop[k]);
        e->redone += !status && drop[k];
    }
    if (!status && e->redone)
        status = cp_ledger_drop(e->ledger, drop);
    cp_free(drop);
    return status;
}

/* Any bytes as a log of the recorder, and as JSON: what is taken is written, read again and is the same. */
#include "fuzz_file.h"

#include "io/json.h"
#include "train/log.h"

static void read_json(const uint8_t *data, size_t bytes)
{
    json_t *value = NULL, *again = NULL;
    char *text = NULL;
    size_t n = 0;
    cp_status status = cp_json_parse(data, bytes, "fuzz", &value);
    require_reason(status);
    /* A text may be deeper than what is ever written. */
    if (!status && !cp_json_format(value, true, &text, &n)) {
        require(!cp_json_parse(text, n, "again", &again), "what was written");
        require(json_equal(value, again), "another value");
    }
    cp_free(text);
    json_decref(value);
    json_decref(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_file file = fuzz_file_of(data, bytes);
    cp_records records = {0};
    bool cut;
    require_reason(cp_log_read(file.path, &records, &cut));
    cp_records_free(&records);
    close(file.fd);
    read_json(data, bytes);
    return 0;
}

/* Records in files: a log of one JSON object per line, which a training that is killed leaves valid, and CSV. */
#ifndef CP_TRAIN_LOG_H
#define CP_TRAIN_LOG_H

#include "io/json.h"
#include "train/record.h"

/* Ascending or not, as they were read or added. */
typedef struct {
    cp_record *record;
    size_t n, room;
} cp_records;

/* Takes the record over, also on failure. */
cp_status cp_records_add(cp_records *records, cp_record *record);
void cp_records_free(cp_records *records);

/* NAN becomes null. NULL: out of memory. */
json_t *cp_record_json(const cp_record *record);

/* Reads a log. CP_EINPUT "name:line: reason": no log, a line that is no record, one of another network than the first
 * line's. A last line without its end, as a killed or running training may leave, is left out, and *cut tells so. */
cp_status cp_log_read(const char *path, cp_records *records, bool *cut);

typedef struct cp_log cp_log;

/* Opens a log to add to. A file that is there already must be a log of the same neuron layers; a cut last line is
 * taken away. */
cp_status cp_log_open(const char *path, const cp_model *model, cp_log **log);
/* One line, written by one call and synced. On failure the file is as before. */
cp_status cp_log_add(cp_log *log, const cp_record *record);
void cp_log_close(cp_log *log);

/* One row per record and neuron layer, the network's first. Empty where a value is not at hand. */
cp_status cp_records_write_csv(const cp_records *records, const char *path);

#endif

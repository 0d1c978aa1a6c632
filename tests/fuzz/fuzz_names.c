/* The first byte says how the rest is read: as class names, a .data file, or a label file. Names hold no control characters. */
#include "fuzz_file.h"

#include <math.h>

#include "model/labels.h"
#include "model/names.h"

static void read_names(const char *path, int classes)
{
    cp_names *names = NULL;
    cp_status status = cp_names_read(path, classes, &names);
    require_reason(status);
    for (size_t i = 0; !status && i < names->n; i++)
        for (const unsigned char *c = (unsigned char *)names->names[i]; *c; c++) require(*c >= 0x20 && *c != 0x7f, "a control character");
    if (!status && names->n) cp_names_find(names, classes, names->names[names->n / 2]);
    cp_names_free(names);
}

static void read_data(const char *path)
{
    cp_data *data = NULL;
    cp_status status = cp_data_read(path, &data);
    require_reason(status);
    require(status || (data->classes >= 0 && data->top >= 0), "counts below 0");
    cp_data_free(data);
}

static void read_labels(const char *path)
{
    cp_label *labels = NULL;
    size_t n = 0;
    cp_status status = cp_labels_read(path, 10, &labels, &n);
    require_reason(status);
    for (size_t i = 0; !status && i < n; i++)
        require(labels[i].class_id >= 0 && labels[i].class_id < 10 && isfinite(labels[i].x) && labels[i].w > 0, "a label");
    cp_free(labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!bytes) return 0;
    fuzz_file file = fuzz_file_of(data + 1, bytes - 1);
    if (data[0] % 3 == 0) read_names(file.path, data[0] / 3 % 4);
    if (data[0] % 3 == 1) read_data(file.path);
    if (data[0] % 3 == 2) read_labels(file.path);
    close(file.fd);
    return 0;
}

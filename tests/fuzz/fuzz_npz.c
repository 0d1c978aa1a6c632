/* Any bytes as an .npz file, read as a caller reads it: every array with the type it declares, if that is small. */
#include "fuzz_file.h"

#include "io/npz.h"

static void read_arrays(cp_npz *npz)
{
    for (size_t i = 0; i < cp_npz_count(npz); i++) {
        cp_array_type type;
        size_t bytes, index;
        if (!cp_npz_find(npz, cp_npz_name(npz, i), &index) || index != i) abort();
        if (cp_npz_type(npz, i, &type) != CP_OK || !cp_array_bytes(&type, &bytes) || bytes > 1 << 16) continue;
        unsigned char *data = malloc(bytes + 1);
        if (!data) abort();
        cp_status status = cp_npz_read(npz, i, &type, data);
        if (status != CP_OK && status != CP_EINPUT) abort();
        for (size_t k = 0; status == CP_OK && type.dtype == CP_BOOL && k < bytes; k++)
            if (data[k] > 1) abort();
        free(data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_file file = fuzz_file_of(data, bytes);
    cp_npz *npz;
    cp_status status = cp_npz_open(file.path, &npz);
    if (status == CP_OK) {
        unsigned char *meta;
        size_t n;
        read_arrays(npz);
        if (cp_npz_read_bytes(npz, "meta.json", 4096, &meta, &n) == CP_OK) cp_free(meta);
        cp_npz_close(npz);
    } else if (npz || status != CP_EINPUT) {
        abort();
    }
    close(file.fd);
    return 0;
}

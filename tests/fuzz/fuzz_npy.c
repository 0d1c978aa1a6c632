/* Any bytes as an .npy file: an array whose bytes the file has, or a refusal. */
#include "fuzz_file.h"

#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    fuzz_file file = fuzz_file_of(data, bytes);
    cp_array_type type;
    void *values = NULL;
    size_t size = 0;
    cp_status status = cp_npy_read(file.path, NULL, &type, &values);
    require_reason(status);
    if (!status) {
        require(cp_array_bytes(&type, &size) && size < bytes, "larger than its file");
        require(!memcmp(values, data + bytes - size, size), "other values than the file's");
    } else {
        require(!values, "refused, and memory left");
    }
    cp_free(values);
    close(file.fd);
    return 0;
}

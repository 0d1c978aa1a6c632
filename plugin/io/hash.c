#include "io/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.h"
#include "io/file.h"

static void to_hex(const unsigned char digest[32], char text[CP_SHA256_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    text[64] = 0;
}

/* Nettle's functions neither allocate nor fail. */
struct cp_sha256 {
    struct sha256_ctx context;
};

static void finish(struct sha256_ctx *context, char text[CP_SHA256_TEXT])
{
    unsigned char digest[SHA256_DIGEST_SIZE];
    sha256_digest(context, sizeof digest, digest);
    to_hex(digest, text);
}

cp_status cp_sha256_memory(const void *data, size_t bytes, char text[CP_SHA256_TEXT])
{
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, bytes, data);
    finish(&context, text);
    return CP_OK;
}

cp_status cp_sha256_begin(cp_sha256 **hash)
{
    *hash = cp_alloc(1, sizeof **hash, "SHA-256");
    if (!*hash) return CP_ERESOURCE;
    sha256_init(&(*hash)->context);
    return CP_OK;
}

cp_status cp_sha256_add(cp_sha256 *hash, const void *data, size_t bytes)
{
    sha256_update(&hash->context, bytes, data);
    return CP_OK;
}

cp_status cp_sha256_end(cp_sha256 **hash, char text[CP_SHA256_TEXT])
{
    if (text) finish(&(*hash)->context, text);
    cp_free(*hash);
    *hash = NULL;
    return CP_OK;
}

cp_status cp_sha256_file(const char *path, char text[CP_SHA256_TEXT])
{
    cp_status status = CP_OK;
    unsigned char block[1 << 16];
    struct stat st;
    text[0] = 0;
    cp_sha256 *hash = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return cp_fail(cp_open_status(errno), "SHA-256: cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0) {
        status = cp_fail(CP_ERESOURCE, "SHA-256: cannot look at %s: %s", path, strerror(errno));
        goto done;
    }
    if (!S_ISREG(st.st_mode)) {
        status = cp_fail(CP_EINPUT, "SHA-256: %s is not a regular file", path);
        goto done;
    }
    status = cp_sha256_begin(&hash);
    while (!status) {
        ssize_t got = read(fd, block, sizeof block);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        status = got < 0 ? cp_fail(CP_ERESOURCE, "SHA-256: cannot read %s: %s", path, strerror(errno))
                         : cp_sha256_add(hash, block, (size_t)got);
    }
    if (!status) status = cp_sha256_end(&hash, text);
done:
    if (hash) cp_sha256_end(&hash, NULL);
    close(fd);
    return status;
}

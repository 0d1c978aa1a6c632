#include "io/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/error.h"

static void to_hex(const unsigned char digest[32], char text[CP_SHA256_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        text[2 * i] = digits[digest[i] >> 4];
        text[2 * i + 1] = digits[digest[i] & 15];
    }
    text[64] = 0;
}

cp_status cp_sha256_memory(const void *data, size_t bytes, char text[CP_SHA256_TEXT])
{
    unsigned char digest[32];
    text[0] = 0;
    if (!EVP_Digest(bytes ? data : "", bytes, digest, NULL, EVP_sha256(), NULL))
        return cp_fail(CP_EINTERNAL, "SHA-256 of %zu bytes: libcrypto refused", bytes);
    to_hex(digest, text);
    return CP_OK;
}

cp_status cp_sha256_file(const char *path, char text[CP_SHA256_TEXT])
{
    cp_status status = CP_OK;
    unsigned char digest[32], block[1 << 16];
    struct stat st;
    text[0] = 0;
    EVP_MD_CTX *context = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return cp_fail(CP_EINPUT, "SHA-256: cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        status = cp_fail(CP_EINPUT, "SHA-256: %s is not a regular file", path);
        goto done;
    }
    context = EVP_MD_CTX_new();
    if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL)) {
        status = cp_fail(CP_ERESOURCE, "SHA-256 of %s: libcrypto refused", path);
        goto done;
    }
    for (;;) {
        ssize_t got = read(fd, block, sizeof block);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 || !EVP_DigestUpdate(context, block, (size_t)got)) {
            status = cp_fail(CP_ERESOURCE, "SHA-256: cannot read %s: %s", path, strerror(errno));
            goto done;
        }
    }
    if (!EVP_DigestFinal_ex(context, digest, NULL)) {
        status = cp_fail(CP_EINTERNAL, "SHA-256 of %s: libcrypto refused", path);
        goto done;
    }
    to_hex(digest, text);
done:
    EVP_MD_CTX_free(context);
    close(fd);
    return status;
}

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

cp_status cp_sha256_begin(cp_sha256 **hash)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    *hash = (cp_sha256 *)context;
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL)) return CP_OK;
    cp_sha256_end(hash, NULL);
    return cp_fail(CP_ERESOURCE, "SHA-256: libcrypto refused");
}

cp_status cp_sha256_add(cp_sha256 *hash, const void *data, size_t bytes)
{
    if (EVP_DigestUpdate((EVP_MD_CTX *)hash, data, bytes)) return CP_OK;
    return cp_fail(CP_EINTERNAL, "SHA-256 of %zu bytes: libcrypto refused", bytes);
}

cp_status cp_sha256_end(cp_sha256 **hash, char text[CP_SHA256_TEXT])
{
    unsigned char digest[32];
    EVP_MD_CTX *context = (EVP_MD_CTX *)*hash;
    bool good = !text || EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    *hash = NULL;
    if (!good) return cp_fail(CP_EINTERNAL, "SHA-256: libcrypto refused");
    if (text) to_hex(digest, text);
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
    if (fd < 0) return cp_fail(CP_EINPUT, "SHA-256: cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
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

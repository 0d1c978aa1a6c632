#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/content.h"
#include "io/error.h"

static const char *mode_name(mode_t mode)
{
    if (S_ISDIR(mode)) return "a folder";
    if (S_ISFIFO(mode)) return "a pipe";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

cp_status cp_open_status(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOSPC || error == EDQUOT ? CP_ERESOURCE : CP_EINPUT;
}

/* What the file is, where its first bytes say so. They stay to be read. */
static cp_status check_content(int fd, const char *kind, const char *path)
{
    unsigned char head[CP_CONTENT_HEAD];
    ssize_t n = pread(fd, head, sizeof head, 0);
    return n > 0 ? cp_content_check(kind, path, head, (size_t)n) : CP_OK; /* whoever reads on meets the same error */
}

cp_status cp_file_open(const char *path, const char *kind, uint64_t max_bytes, FILE **file, uint64_t *bytes)
{
    *file = NULL;
    /* O_NONBLOCK: opening a pipe that nobody writes to must not hang; it means nothing for a regular file. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return cp_fail(cp_open_status(errno), "%s: cannot open %s: %s", kind, path[0] ? path : "a file without a name",
                       strerror(errno));
    }
    cp_status status = CP_OK;
    struct stat st;
    if (fstat(fd, &st) != 0)
        status = cp_fail(CP_ERESOURCE, "%s: cannot look at %s: %s", kind, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = cp_fail(CP_EINPUT, "%s: %s is %s, a regular file is needed", kind, path, mode_name(st.st_mode));
    else if (st.st_size == 0)
        status = cp_fail(CP_EINPUT, "%s: %s is empty (0 bytes)", kind, path);
    else if ((uint64_t)st.st_size > max_bytes)
        status = cp_fail(CP_EINPUT, "%s: %s has %" PRIu64 " bytes, at most %" PRIu64 " are allowed", kind, path,
                         (uint64_t)st.st_size, max_bytes);
    else if ((status = check_content(fd, kind, path)))
        ; /* said */
    else if (!(*file = fdopen(fd, "rb")))
        status = cp_fail(CP_ERESOURCE, "%s: cannot open %s: %s", kind, path, strerror(errno));
    if (status != CP_OK) {
        close(fd);
        return status;
    }
    *bytes = (uint64_t)st.st_size;
    return CP_OK;
}

cp_status cp_file_read(const char *path, const char *kind, uint64_t max_bytes, unsigned char **data, size_t *bytes)
{
    FILE *file;
    uint64_t size;
    *data = NULL;
    cp_status status = cp_file_open(path, kind, max_bytes, &file, &size);
    if (status != CP_OK) return status;
    if (size >= SIZE_MAX) {
        status = cp_fail(CP_ERESOURCE, "%s: %s has %" PRIu64 " bytes, too many for memory", kind, path, size);
        goto done;
    }
    unsigned char *memory = cp_alloc((size_t)size + 1, 1, kind);
    if (!memory) {
        status = cp_fail_prefix(CP_ERESOURCE, "%s", path);
        goto done;
    }
    size_t got = fread(memory, 1, (size_t)size, file);
    if (got != size) {
        if (ferror(file))
            status = cp_fail(CP_ERESOURCE, "%s: cannot read %s: %s", kind, path, strerror(errno));
        else
            status = cp_fail(CP_EINPUT, "%s: %s ended after %zu of %" PRIu64 " bytes", kind, path, got, size);
        cp_free(memory);
        goto done;
    }
    *data = memory;
    *bytes = got;
done:
    fclose(file);
    return status;
}

const char *cp_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool cp_ends_with(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);
    return n > m && !strcasecmp(path + n - m, ending);
}

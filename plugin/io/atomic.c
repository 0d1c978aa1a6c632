#include "io/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/error.h"
#include "io/progress.h"

/* Temporaries that exist now. A signal handler reads this, so it is a fixed array: a slot's path is written only
 * while its state is TAKEN and read only while it is LIVE. */
#define MAX_FILES 1024 /* with those that wait for the others of their result */
#define MAX_OPEN 64
enum { FREE_SLOT, TAKEN, OPENING, LIVE };
static atomic_bool closing; /* a signal ends the process: nothing new is opened */
static struct slot {
    atomic_int state;
    pid_t owner; /* a forked child must not remove its parent's files */
    char path[PATH_MAX];
} slots[MAX_FILES];
static atomic_int n_open;

struct cp_file {
    FILE *stream;
    struct slot *slot;
    char *target; /* links resolved */
    char *shown;  /* as the caller wrote it */
    int error;    /* errno of the first write that failed */
    bool was_there; /* the target, before */
    cp_file *next;  /* of the same result */
};

/* The result that this thread writes. */
#define MAX_GROUP 512
static _Thread_local struct {
    bool open;
    int n;
    cp_file *first, **end;
} group;

static struct slot *slot_take(void)
{
    for (size_t i = 0; i < MAX_FILES; i++) {
        int expected = FREE_SLOT;
        if (atomic_compare_exchange_strong(&slots[i].state, &expected, TAKEN)) return &slots[i];
    }
    return NULL;
}

static cp_status fail_errno(int error, const char *path, const char *what)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return cp_fail(CP_EINPUT, "%s: cannot write: its folder does not exist", path);
    case EACCES:
    case EPERM:
    case EROFS:
        return cp_fail(CP_EINPUT, "%s: cannot write: its folder is not writable (%s)", path, strerror(error));
    case ENAMETOOLONG:
    case ELOOP:
    case EISDIR:
        return cp_fail(CP_EINPUT, "%s: cannot write: %s", path, strerror(error));
    case ENOSPC:
    case EDQUOT:
        return cp_fail(CP_ERESOURCE, "%s: cannot %s: the disk is full (%s)", path, what, strerror(error));
    default:
        return cp_fail(CP_ERESOURCE, "%s: cannot %s: %s", path, what, strerror(error));
    }
}

/* Folder of `path` with its slash, or "" for the working folder. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* ---------------------------------------------------------------- left by killed processes */

/* "", or the folder with its slash: as a name that opens. */
static char *folder_name(const char *path)
{
    size_t folder = folder_length(path);
    return folder ? strndup(path, folder) : strdup(".");
}

/* Of ".cp-PID-COUNT-TIME.tmp", as open_temporary makes them, the process; 0: another name. */
static pid_t owner_of(const char *name)
{
    long pid;
    unsigned count;
    unsigned long time;
    int end = 0;
    if (sscanf(name, ".cp-%ld-%u-%8lx.tmp%n", &pid, &count, &time, &end) != 3 || !end || name[end] || pid < 1) return 0;
    return (pid_t)pid;
}

/* Nobody here has that number, and nobody elsewhere, as in another container, holds the lock that writers hold. */
static void remove_if_left(int folder, const char *name)
{
    pid_t owner = owner_of(name);
    if (!owner || kill(owner, 0) == 0 || errno != ESRCH) return;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    struct stat st;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !flock(fd, LOCK_EX | LOCK_NB)) unlinkat(folder, name, 0);
    close(fd);
}

/* What cannot be looked at or removed stays; that is no reason to fail. */
static void remove_left(const char *target)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        dev_t device;
        ino_t inode;
    } last; /* the folder looked at last, so that a list of photos looks once */
    char *name = folder_name(target);
    struct stat st;
    if (!name || stat(name, &st)) {
        free(name);
        return;
    }
    pthread_mutex_lock(&lock);
    bool known = last.device == st.st_dev && last.inode == st.st_ino;
    last.device = st.st_dev;
    last.inode = st.st_ino;
    pthread_mutex_unlock(&lock);
    DIR *folder = known ? NULL : opendir(name);
    for (struct dirent *entry; folder && (entry = readdir(folder));) remove_if_left(dirfd(folder), entry->d_name);
    if (folder) closedir(folder);
    free(name);
}

/* ---------------------------------------------------------------- one file */

static int open_temporary(struct slot *slot, const char *target)
{
    static atomic_uint counter;
    size_t folder = folder_length(target);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int attempt = 0; attempt < 100; attempt++) {
        /* A short name of its own: the target's name may be as long as the file system allows. */
        int n = snprintf(slot->path, sizeof slot->path, "%.*s.cp-%ld-%u-%08lx.tmp", (int)folder, target, (long)getpid(),
                         atomic_fetch_add(&counter, 1), (unsigned long)now.tv_nsec);
        if (n < 0 || (size_t)n >= sizeof slot->path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        slot->owner = getpid();
        /* Set before the file exists: a signal in between removes a name that is not there, which is harmless, and waits
         * for another thread's to be there. */
        atomic_store(&slot->state, OPENING);
        errno = EINTR;
        int fd = atomic_load(&closing) ? -1 : open(slot->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        int error = errno;
        if (fd >= 0) {
            atomic_store(&slot->state, LIVE);
            flock(fd, LOCK_EX | LOCK_NB); /* as long as it is open: see remove_if_left */
            return fd;
        }
        atomic_store(&slot->state, TAKEN);
        errno = error;
        if (error != EEXIST) return -1;
    }
    return -1;
}

static void file_free(cp_file *file)
{
    if (!file) return;
    if (file->stream) {
        fclose(file->stream);
        atomic_fetch_sub(&n_open, 1);
    }
    if (file->slot) {
        if (atomic_load(&file->slot->state) == LIVE) unlink(file->slot->path);
        atomic_store(&file->slot->state, FREE_SLOT);
    }
    free(file->target);
    free(file->shown);
    free(file);
}

cp_status cp_file_begin(const char *path, cp_file **out)
{
    *out = NULL;
    if (!path || !path[0]) return cp_fail(CP_EINPUT, "file to write: the name is empty");
    size_t length = strlen(path);
    if (path[length - 1] == '/') return cp_fail(CP_EINPUT, "%s: cannot write: the name of a folder", path);

    cp_status status = CP_OK;
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (!exists && errno != ENOENT) return fail_errno(errno, path, "write");
    if (exists && S_ISDIR(st.st_mode))
        return cp_fail(CP_EINPUT, "%s: cannot write: there is a folder of that name", path);
    if (exists && !S_ISREG(st.st_mode))
        return cp_fail(CP_EINPUT, "%s: cannot write: what stands there is no regular file", path);

    cp_file *file = calloc(1, sizeof *file);
    if (!file || !(file->shown = strdup(path))) {
        status = cp_fail(CP_ERESOURCE, "%s: out of memory", path);
        goto done;
    }
    file->was_there = exists;
    file->target = exists ? realpath(path, NULL) : strdup(path);
    if (!file->target) {
        status = fail_errno(errno, path, "write");
        goto done;
    }
    if (atomic_load(&n_open) >= MAX_OPEN || !(file->slot = slot_take())) {
        status = cp_fail(CP_ERESOURCE, "%s: cannot write: %d files are being written, at most %d are allowed", path,
                         MAX_OPEN, MAX_OPEN);
        goto done;
    }
    remove_left(file->target);
    int fd = open_temporary(file->slot, file->target);
    if (fd < 0) {
        status = fail_errno(errno, path, "write");
        goto done;
    }
    if (exists) fchmod(fd, st.st_mode & 0777); /* a file system without permissions is no reason to fail */
    if (!(file->stream = fdopen(fd, "wb"))) {
        status = fail_errno(errno, path, "write");
        close(fd);
        goto done;
    }
    atomic_fetch_add(&n_open, 1);
    *out = file;
    file = NULL;
done:
    file_free(file);
    return status;
}

FILE *cp_file_stream(cp_file *file) { return file->stream; }

cp_status cp_file_write(cp_file *file, const void *data, size_t bytes)
{
    if (bytes == 0 || fwrite(data, 1, bytes, file->stream) == bytes) return CP_OK;
    if (!file->error) file->error = errno;
    return fail_errno(file->error, file->shown, "write");
}

/* A rename lasts through a power cut only once its folder is synced. Some file systems cannot: not an error. */
static void sync_folder(const char *path)
{
    char *name = folder_name(path);
    if (!name) return;
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(name);
}

/* From the temporary name to its own. */
static cp_status take_place(cp_file *file)
{
    if (rename(file->slot->path, file->target) != 0) {
        int error = errno;
        return error == ENOENT ? cp_fail(CP_ERESOURCE, "%s: its temporary file has been removed", file->shown)
                               : fail_errno(error, file->shown, "write");
    }
    atomic_store(&file->slot->state, TAKEN); /* nothing left to remove */
    sync_folder(file->target);
    return CP_OK;
}

/* All of the group, or none: what took its place before one failed goes again, where there was nothing before. */
static cp_status group_flush(cp_status keep)
{
    cp_status status = keep;
    cp_file *failed = status ? group.first : NULL;
    for (cp_file *file = group.first; file && !status; file = file->next)
        if ((status = take_place(file)) != CP_OK) failed = file;
    for (cp_file *file = group.first; status && file != failed; file = file->next)
        if (!file->was_there) unlink(file->target);
    while (group.first) {
        cp_file *next = group.first->next;
        file_free(group.first);
        group.first = next;
    }
    group.end = &group.first;
    group.n = 0;
    return status;
}

static cp_status group_add(cp_file *file)
{
    cp_status status = group.n < MAX_GROUP ? CP_OK : group_flush(CP_OK);
    if (status != CP_OK) {
        file_free(file);
        return status;
    }
    *group.end = file;
    group.end = &file->next;
    group.n++;
    return CP_OK;
}

cp_status cp_file_commit(cp_file **inout)
{
    cp_file *file = *inout;
    *inout = NULL;
    if (!file) return cp_fail(CP_EINTERNAL, "cp_file_commit: no file");
    cp_status status = CP_OK;
    if (ferror(file->stream)) {
        status = fail_errno(file->error ? file->error : EIO, file->shown, "write");
        goto done;
    }
    if (fflush(file->stream) != 0 || fsync(fileno(file->stream)) != 0) {
        status = fail_errno(errno, file->shown, "write");
        goto done;
    }
    FILE *stream = file->stream;
    file->stream = NULL;
    atomic_fetch_sub(&n_open, 1);
    if (fclose(stream) != 0) {
        status = fail_errno(errno, file->shown, "write");
        goto done;
    }
    if (group.open) return group_add(file);
    status = take_place(file);
done:
    file_free(file);
    return status;
}

void cp_files_begin(void)
{
    group.open = true;
    group.n = 0;
    group.first = NULL;
    group.end = &group.first;
}

cp_status cp_files_end(cp_status keep)
{
    cp_status status = group_flush(keep);
    group.open = false;
    return status;
}

void cp_file_abort(cp_file **file)
{
    file_free(*file);
    *file = NULL;
}

void cp_file_abort_all(void)
{
    int error = errno;
    for (size_t i = 0; i < MAX_FILES; i++)
        if (atomic_load(&slots[i].state) >= OPENING && slots[i].owner == getpid()) unlink(slots[i].path);
    errno = error;
}

/* Other threads that are about to open a file get the time to do so; the one that the signal has interrupted cannot. */
static void wait_for_openings(void)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    for (int attempt = 0; attempt < 50; attempt++) {
        bool any = false;
        for (size_t i = 0; i < MAX_FILES; i++) any |= atomic_load(&slots[i].state) == OPENING;
        if (!any) return;
        nanosleep(&moment, NULL);
    }
}

static void on_signal(int number)
{
    int error = errno;
    atomic_store(&closing, true);
    wait_for_openings();
    errno = error;
    cp_file_abort_all();
    if (cp_progress_shown()) (void)!write(STDERR_FILENO, "\n", 1);
    raise(number); /* blocked until we return; SA_RESETHAND has restored the default */
}

void cp_file_clean_on_signal(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction old, action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        /* nohup and background jobs ignore some of these: leave that. */
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) sigaction(numbers[i], &action, NULL);
    }
    signal(SIGXFSZ, SIG_IGN);
    atexit(cp_file_abort_all); /* the host calls exit() where it should not */
}

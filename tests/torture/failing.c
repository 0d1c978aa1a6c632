/* A library for LD_PRELOAD that lets one call of the program fail: the Nth allocation since the program's constructors have run
 * (FAIL_ALLOCATION=N) or the Nth call that touches a file (FAIL_IO=N). FAIL_LOG=PATH gets one line: which call failed and in
 * which module its caller lies, or, where none failed, how many there were. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static _Atomic long n_allocations, n_io;
static long failing_allocation, failing_io;
static bool counting;
static const char *log_path;

static void write_log(const char *line, int length)
{
    int file = log_path ? (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file < 0) return;
    if (syscall(SYS_write, file, line, (long)length) < 0) _exit(99);
    syscall(SYS_close, file);
}

static void log_failure(const char *call, long number, void *caller)
{
    Dl_info where = {0};
    char line[512];
    counting = false; /* dladdr and what follows the fault may allocate: one call fails, no more */
    dladdr(caller, &where);
    const char *module = where.dli_fname ? strrchr(where.dli_fname, '/') : NULL;
    int n = snprintf(line, sizeof line, "failed %s %ld in %s+0x%lx %s\n", call, number, module ? module + 1 : "?",
                     (unsigned long)((char *)caller - (char *)where.dli_fbase), where.dli_sname ? where.dli_sname : "?");
    write_log(line, n);
}

static bool fails(_Atomic long *count, long failing, const char *call, void *caller)
{
    if (!counting) return false;
    long number = atomic_fetch_add(count, 1) + 1;
    if (number != failing) return false;
    log_failure(call, number, caller);
    return true;
}

#define ALLOCATION_FAILS(call) fails(&n_allocations, failing_allocation, call, __builtin_return_address(0))
#define IO_FAILS(call) fails(&n_io, failing_io, call, __builtin_return_address(0))

void *malloc(size_t bytes)
{
    if (!ALLOCATION_FAILS("malloc")) return __libc_malloc(bytes);
    errno = ENOMEM;
    return NULL;
}

void *calloc(size_t n, size_t bytes)
{
    if (!ALLOCATION_FAILS("calloc")) return __libc_calloc(n, bytes);
    errno = ENOMEM;
    return NULL;
}

void *realloc(void *old, size_t bytes)
{
    if (!ALLOCATION_FAILS("realloc")) return __libc_realloc(old, bytes);
    errno = ENOMEM;
    return NULL;
}

void *memalign(size_t alignment, size_t bytes)
{
    if (!ALLOCATION_FAILS("memalign")) return __libc_memalign(alignment, bytes);
    errno = ENOMEM;
    return NULL;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    if (!ALLOCATION_FAILS("aligned_alloc")) return __libc_memalign(alignment, bytes);
    errno = ENOMEM;
    return NULL;
}

int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (ALLOCATION_FAILS("posix_memalign")) return ENOMEM;
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

#define NEXT(name) static __typeof__(&name) next; if (!next) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
    va_end(more);
    NEXT(open);
    if (!IO_FAILS("open")) return next(path, flags, mode);
    errno = EMFILE;
    return -1;
}

FILE *fopen(const char *path, const char *mode)
{
    NEXT(fopen);
    if (!IO_FAILS("fopen")) return next(path, mode);
    errno = EMFILE;
    return NULL;
}

FILE *fdopen(int file, const char *mode)
{
    NEXT(fdopen);
    if (!IO_FAILS("fdopen")) return next(file, mode);
    errno = ENOMEM;
    return NULL;
}

ssize_t read(int file, void *data, size_t bytes)
{
    NEXT(read);
    if (!IO_FAILS("read")) return next(file, data, bytes);
    errno = EIO;
    return -1;
}

ssize_t write(int file, const void *data, size_t bytes)
{
    NEXT(write);
    if (!IO_FAILS("write")) return next(file, data, bytes);
    errno = ENOSPC;
    return -1;
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file)
{
    NEXT(fwrite);
    if (file == stderr || !IO_FAILS("fwrite")) return next(data, size, n, file);
    file->_flags |= 0x20; /* what ferror looks at, in glibc */
    errno = ENOSPC;
    return 0;
}

int fflush(FILE *file)
{
    NEXT(fflush);
    if (file == stderr || !IO_FAILS("fflush")) return next(file);
    errno = ENOSPC;
    return EOF;
}

int fsync(int file)
{
    NEXT(fsync);
    if (!IO_FAILS("fsync")) return next(file);
    errno = EIO;
    return -1;
}

int fclose(FILE *file)
{
    NEXT(fclose);
    bool fail = IO_FAILS("fclose");
    int result = next(file);
    if (!fail) return result;
    errno = EIO;
    return EOF;
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    if (!IO_FAILS("rename")) return next(from, to);
    errno = EIO;
    return -1;
}

int fstat(int file, struct stat *out)
{
    NEXT(fstat);
    if (!IO_FAILS("fstat")) return next(file, out);
    errno = EIO;
    return -1;
}

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

/* A preloaded library's constructor is the last to run before main. */
__attribute__((constructor)) static void begin(void)
{
    failing_allocation = number("FAIL_ALLOCATION");
    failing_io = number("FAIL_IO");
    log_path = getenv("FAIL_LOG");
    counting = log_path != NULL;
}

__attribute__((destructor)) static void end(void)
{
    char line[96];
    if (!counting) return;
    counting = false;
    write_log(line, snprintf(line, sizeof line, "calls %ld allocations %ld io\n", n_allocations, n_io));
}

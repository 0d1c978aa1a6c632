/* Files read and written, hashes: limits, links, full disks, and kills in the middle. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io/atomic.h"
#include "io/file.h"
#include "io/hash.h"
#include "io/error.h"
#include "io_temp.h"

static void reads_what_is_there(void **state)
{
    (void)state;
    unsigned char *data;
    size_t bytes;
    temp_put("five", "a\0b\r\n", 5);
    assert_ok(cp_file_read("five", "cfg", 5, &data, &bytes));
    assert_int_equal(bytes, 5);
    assert_memory_equal(data, "a\0b\r\n\0", 6); /* with the zero behind it */
    cp_free(data);
}

static void refuses_to_read(void **state)
{
    (void)state;
    unsigned char *data;
    size_t bytes;
    temp_put("five", "12345", 5);
    temp_put("empty", "", 0);
    mkdir("folder", 0777);
    assert_int_equal(mkfifo("pipe", 0666), 0);
    assert_refused(cp_file_read("none", "cfg", 9, &data, &bytes), CP_EINPUT, "cfg: cannot open none: No such file");
    assert_refused(cp_file_read("", "cfg", 9, &data, &bytes), CP_EINPUT, "a file without a name");
    assert_refused(cp_file_read("empty", "cfg", 9, &data, &bytes), CP_EINPUT, "empty is empty (0 bytes)");
    assert_refused(cp_file_read("folder", "cfg", 9, &data, &bytes), CP_EINPUT, "folder is a folder");
    assert_refused(cp_file_read("pipe", "cfg", 9, &data, &bytes), CP_EINPUT, "pipe is a pipe"); /* and does not hang */
    assert_refused(cp_file_read("/dev/zero", "cfg", 9, &data, &bytes), CP_EINPUT, "/dev/zero is a device");
    assert_refused(cp_file_read("five", "cfg", 4, &data, &bytes), CP_EINPUT, "five has 5 bytes, at most 4 are allowed");
    assert_refused(cp_file_read("five/x", "cfg", 9, &data, &bytes), CP_EINPUT, "Not a directory");
    assert_null(data);
}

static void known_hashes(void **state)
{
    (void)state;
    char text[CP_SHA256_TEXT];
    /* FIPS 180-2, appendix B.1 and the empty message. */
    const char *abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const char *none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_ok(cp_sha256_memory("abc", 3, text));
    assert_string_equal(text, abc);
    assert_ok(cp_sha256_memory(NULL, 0, text));
    assert_string_equal(text, none);
    temp_put("abc", "abc", 3);
    temp_put("empty", "", 0);
    assert_ok(cp_sha256_file("abc", text));
    assert_string_equal(text, abc);
    assert_ok(cp_sha256_file("empty", text));
    assert_string_equal(text, none);
    /* FIPS 180-2, appendix B.3: a million times "a", several blocks of reading. */
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    temp_put("million", million, 1000000);
    free(million);
    assert_ok(cp_sha256_file("million", text));
    assert_string_equal(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_refused(cp_sha256_file("none", text), CP_EINPUT, "cannot open none");
    assert_refused(cp_sha256_file(".", text), CP_EINPUT, ". is not a regular file");
}

static void put_atomically(const char *name, const char *text)
{
    cp_file *file;
    assert_ok(cp_file_begin(name, &file));
    assert_ok(cp_file_write(file, text, strlen(text)));
    assert_ok(cp_file_commit(&file));
    assert_null(file);
}

static void assert_content(const char *name, const char *text)
{
    size_t bytes;
    unsigned char *data = temp_get(name, &bytes);
    assert_string_equal((char *)data, text);
    free(data);
}

static void writes_and_replaces(void **state)
{
    (void)state;
    mkdir("w", 0777);
    put_atomically("w/new", "one");
    assert_content("w/new", "one");
    put_atomically("w/new", "two");
    assert_content("w/new", "two");
    assert_int_equal(temp_count("w"), 1);
    put_atomically("plain", "no folder in the name");
    assert_content("plain", "no folder in the name");
    char absolute[128];
    snprintf(absolute, sizeof absolute, "%s/w/absolute", temp_folder);
    put_atomically(absolute, "x");
    assert_content("w/absolute", "x");
    char longest[256];
    memset(longest, 'n', 255);
    longest[255] = 0;
    put_atomically(longest, "the longest name there is");
    assert_content(longest, "the longest name there is");
}

static void old_file_stands_until_commit(void **state)
{
    (void)state;
    mkdir("a", 0777);
    put_atomically("a/f", "old");
    cp_file *file;
    assert_ok(cp_file_begin("a/f", &file));
    assert_ok(cp_file_write(file, "new", 3));
    fflush(cp_file_stream(file));
    assert_content("a/f", "old");
    assert_int_equal(temp_count("a"), 2);
    cp_file_abort(&file);
    assert_null(file);
    cp_file_abort(&file); /* as a done: label does */
    assert_content("a/f", "old");
    assert_int_equal(temp_count("a"), 1);
}

static void keeps_links_and_permissions(void **state)
{
    (void)state;
    struct stat st;
    mkdir("real", 0777);
    mkdir("elsewhere", 0777);
    put_atomically("real/f", "old");
    assert_int_equal(chmod("real/f", 0640), 0);
    assert_int_equal(symlink("../real/f", "elsewhere/link"), 0);
    put_atomically("elsewhere/link", "new");
    assert_content("real/f", "new");
    assert_int_equal(lstat("elsewhere/link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat("real/f", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    mode_t old = umask(027);
    put_atomically("real/fresh", "x");
    umask(old);
    assert_int_equal(stat("real/fresh", &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void refuses_to_write(void **state)
{
    (void)state;
    cp_file *file;
    char too_long[300];
    memset(too_long, 'n', 299);
    too_long[299] = 0;
    mkdir("folder", 0777);
    mkfifo("pipe", 0666);
    temp_put("five", "12345", 5);
    assert_refused(cp_file_begin("", &file), CP_EINPUT, "the name is empty");
    assert_refused(cp_file_begin("none/f", &file), CP_EINPUT, "none/f: cannot write: its folder does not exist");
    assert_refused(cp_file_begin("five/f", &file), CP_EINPUT, "five/f: cannot write: its folder does not exist");
    assert_refused(cp_file_begin("folder", &file), CP_EINPUT, "there is a folder of that name");
    assert_refused(cp_file_begin("folder/", &file), CP_EINPUT, "the name of a folder");
    assert_refused(cp_file_begin("pipe", &file), CP_EINPUT, "no regular file");
    assert_refused(cp_file_begin("/dev/null", &file), CP_EINPUT, "no regular file");
    assert_refused(cp_file_begin(too_long, &file), CP_EINPUT, "File name too long");
    assert_refused(cp_file_begin("/proc/f", &file), CP_EINPUT, "/proc/f: cannot write: its folder");
    assert_null(file);
    if (geteuid() != 0) {
        mkdir("locked", 0555);
        assert_refused(cp_file_begin("locked/f", &file), CP_EINPUT, "is not writable");
    }
}

/* Above the limit of 64 files at a time; and the slots come back. */
static void too_many_at_once(void **state)
{
    (void)state;
    cp_file *files[65];
    char name[32];
    mkdir("many", 0777);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 64; i++) {
            snprintf(name, sizeof name, "many/%d", i);
            assert_ok(cp_file_begin(name, &files[i]));
        }
        assert_refused(cp_file_begin("many/64", &files[64]), CP_ERESOURCE, "at most 64");
        for (int i = 0; i < 64; i++) cp_file_abort(&files[i]);
        assert_int_equal(temp_count("many"), 0);
    }
}

/* Runs in a child, whose exit status is the result. */
static int in_child(int (*job)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(job());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int write_above_limit(void)
{
    cp_file_clean_on_signal();
    struct rlimit limit = {100000, 100000};
    setrlimit(RLIMIT_FSIZE, &limit);
    cp_file *file;
    char block[4096] = {0};
    if (cp_file_begin("full/f", &file) != CP_OK) return 1;
    cp_status first = CP_OK;
    for (int i = 0; i < 100; i++) {
        cp_status status = cp_file_write(file, block, sizeof block);
        if (first == CP_OK) first = status;
    }
    if (first != CP_ERESOURCE || !strstr(cp_error(), "full/f: cannot write: File too large")) return 2;
    if (cp_file_commit(&file) != CP_ERESOURCE || !strstr(cp_error(), "File too large")) return 3;
    return 0;
}

static void no_room_leaves_the_old_file(void **state)
{
    (void)state;
    mkdir("full", 0777);
    put_atomically("full/f", "old");
    assert_int_equal(in_child(write_above_limit), 0);
    assert_content("full/f", "old");
    assert_int_equal(temp_count("full"), 1);
}

static int exit_in_the_middle(void)
{
    cp_file_clean_on_signal();
    cp_file *file;
    if (cp_file_begin("exits/f", &file) != CP_OK) return 1;
    exit(7); /* as Darknet does on a bad file */
}

static void exit_removes_temporaries(void **state)
{
    (void)state;
    mkdir("exits", 0777);
    int status = in_child(exit_in_the_middle);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_equal(temp_count("exits"), 0);
}

static void signal_removes_temporaries(void **state)
{
    (void)state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    mkdir("signals", 0777);
    put_atomically("signals/a", "old");
    for (size_t i = 0; i < 3; i++) {
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            cp_file *a, *b;
            signal(numbers[i], SIG_DFL);
            cp_file_clean_on_signal();
            if (cp_file_begin("signals/a", &a) != CP_OK || cp_file_begin("signals/b", &b) != CP_OK) _exit(1);
            if (cp_file_write(a, "new", 3) != CP_OK || write(ready[1], "x", 1) != 1) _exit(2);
            for (;;) pause();
        }
        char byte;
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        assert_int_equal(temp_count("signals"), 3);
        kill(pid, numbers[i]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]); /* a shell must see the signal */
        assert_int_equal(temp_count("signals"), 1);
        assert_content("signals/a", "old");
    }
}

/* A child that is forked while a file is written and then ends must not take its parent's temporary with it. */
static void child_leaves_parents_files(void **state)
{
    (void)state;
    mkdir("parent", 0777);
    cp_file *file;
    assert_ok(cp_file_begin("parent/f", &file));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        cp_file_abort_all();
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(temp_count("parent"), 1);
    assert_ok(cp_file_write(file, "kept", 4));
    assert_ok(cp_file_commit(&file));
    assert_content("parent/f", "kept");
}

static void commit_after_clean_up_fails(void **state)
{
    (void)state;
    cp_file *file;
    assert_ok(cp_file_begin("gone", &file));
    cp_file_abort_all();
    assert_refused(cp_file_commit(&file), CP_ERESOURCE, "gone: its temporary file has been removed");
    assert_int_equal(access("gone", F_OK), -1);
}

/* A writer is killed without warning at 40 moments or more; what stands there is always one of the two whole contents. */
static void killed_writer_leaves_whole_files(void **state)
{
    (void)state;
    enum { BYTES = 300000 };
    mkdir("killed", 0777);
    char *content = malloc(BYTES);
    memset(content, 'A', BYTES);
    temp_put("killed/f", content, BYTES);
    int seen[2] = {0, 0};
    for (int round = 0; round < 40 || (seen[1] == 0 && round < 2000); round++) { /* more where the disk is slow */
        fflush(NULL);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            for (int i = 0;; i++) {
                memset(content, i % 2 ? 'A' : 'B', BYTES);
                cp_file *file;
                if (cp_file_begin("killed/f", &file) != CP_OK) _exit(1);
                for (int k = 0; k < BYTES; k += 1000)
                    if (cp_file_write(file, content + k, 1000) != CP_OK) _exit(1);
                if (cp_file_commit(&file) != CP_OK) _exit(1);
            }
        }
        usleep(2000 + 397 * (useconds_t)round);
        kill(pid, SIGKILL);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        size_t bytes;
        unsigned char *data = temp_get("killed/f", &bytes);
        assert_int_equal(bytes, BYTES);
        assert_true(data[0] == 'A' || data[0] == 'B');
        seen[data[0] - 'A']++;
        for (size_t i = 1; i < bytes; i++)
            if (data[i] != data[0]) fail_msg("half a file: byte %zu is %c, byte 0 is %c", i, data[i], data[0]);
        free(data);
    }
    free(content);
    assert_true(seen[1] > 0); /* the new content has been there at all */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_there),
        cmocka_unit_test(refuses_to_read),
        cmocka_unit_test(known_hashes),
        cmocka_unit_test(writes_and_replaces),
        cmocka_unit_test(old_file_stands_until_commit),
        cmocka_unit_test(keeps_links_and_permissions),
        cmocka_unit_test(refuses_to_write),
        cmocka_unit_test(too_many_at_once),
        cmocka_unit_test(no_room_leaves_the_old_file),
        cmocka_unit_test(exit_removes_temporaries),
        cmocka_unit_test(signal_removes_temporaries),
        cmocka_unit_test(child_leaves_parents_files),
        cmocka_unit_test(commit_after_clean_up_fails),
        cmocka_unit_test(killed_writer_leaves_whole_files),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}

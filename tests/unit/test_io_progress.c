/* The progress line: on a terminal only, not before half a second, and gone at the end or after Ctrl-C. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "io/atomic.h"
#include "io/progress.h"
#include "io_temp.h"

static enum { SHARE, LIST, ENDLESS } kind;
static bool says_lines; /* between the updates */

static cp_progress *start(bool quiet)
{
    return kind == SHARE ? cp_progress_start("scores", 200, quiet)
                         : cp_progress_start_list("scores", kind == LIST ? 200 : 0, quiet);
}

static void work(bool quiet, int milliseconds, bool forever)
{
    cp_progress *p = start(quiet);
    for (int i = 0; i < milliseconds / 10; i++) {
        usleep(10000);
        if (i % 2)
            cp_progress_add(p, 1);
        else
            cp_progress_update(p, i + 1);
        if (says_lines && i % 20 == 19) fprintf(cp_stderr(), "line %d\n", i);
    }
    while (forever) pause();
    cp_progress_end(&p);
    cp_progress_end(&p);
}

/* Reads what the child writes and returns its status. The caller keeps the writing end open meanwhile: a terminal whose
 * last writer is gone may drop what has not been read. */
static int read_while_running(int from, pid_t pid, int signal_number, char *text, size_t bytes)
{
    size_t n = 0;
    text[0] = 0;
    int status = 0;
    bool ended = false, told = false;
    struct pollfd ready = {.fd = from, .events = POLLIN};
    for (;;) {
        bool was_ended = ended;
        ended = ended || waitpid(pid, &status, WNOHANG) == pid;
        if (poll(&ready, 1, ended ? 200 : 20) > 0) {
            ssize_t got = read(from, text + n, bytes - 1 - n);
            assert_true(got > 0);
            n += (size_t)got;
            text[n] = 0;
        } else if (was_ended) {
            break;
        }
        if (signal_number && !told && strstr(text, " left")) told = kill(pid, signal_number) == 0;
    }
    return status;
}

/* What a child writes to its stderr, a terminal or a pipe; ended by `signal_number`, if that is not 0, when it has shown
 * its line. */
static int run(bool terminal, bool quiet, int milliseconds, int signal_number, char *text, size_t bytes)
{
    int ends[2];
    if (terminal) {
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
        if (ends[0] < 0 || grantpt(ends[0]) != 0 || unlockpt(ends[0]) != 0) {
            print_message("skipped: no pseudo terminals here\n");
            skip();
        }
        ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
        assert_true(ends[1] >= 0);
    } else {
        assert_int_equal(pipe(ends), 0);
    }
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        signal(SIGINT, SIG_DFL);
        cp_file_clean_on_signal();
        work(quiet, milliseconds, signal_number != 0);
        _exit(0);
    }
    int status = read_while_running(ends[0], pid, signal_number, text, bytes);
    close(ends[0]);
    close(ends[1]);
    return status;
}

static void shown_on_a_terminal(void **state)
{
    (void)state;
    char text[65536];
    assert_int_equal(run(true, false, 1000, 0, text, sizeof text), 0);
    assert_non_null(strstr(text, "\rscores "));
    assert_non_null(strstr(text, "% "));
    assert_non_null(strstr(text, " left"));
    size_t n = strlen(text);
    assert_string_equal(text + n - 4, "\r\033[K"); /* taken away */
    int lines = 0;
    for (const char *c = text; (c = strstr(c, "scores")); c++) lines++;
    assert_true(lines >= 1 && lines <= 60); /* of 100 updates; a loaded machine may be slow */
}

static void not_shown(void **state)
{
    (void)state;
    char text[4096];
    assert_int_equal(run(false, false, 700, 0, text, sizeof text), 0);
    assert_string_equal(text, ""); /* no terminal */
    assert_int_equal(run(true, true, 700, 0, text, sizeof text), 0);
    assert_string_equal(text, ""); /* quiet */
    assert_int_equal(run(true, false, 50, 0, text, sizeof text), 0);
    assert_string_equal(text, ""); /* short */
    assert_null(cp_progress_start("x", 0, false));
    assert_null(cp_progress_start("x", -1, false));
}

static void of_lists(void **state)
{
    (void)state;
    char text[65536];
    unsigned done, total;
    kind = LIST;
    assert_int_equal(run(true, false, 900, 0, text, sizeof text), 0);
    const char *line = strstr(text, "\rscores ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\rscores %u/%u  0:0", &done, &total), 2);
    assert_int_equal(total, 200);
    assert_in_range(done, 1, 100);
    assert_non_null(strstr(line, " left\033[K"));
    kind = ENDLESS;
    assert_int_equal(run(true, false, 900, 0, text, sizeof text), 0);
    line = strstr(text, "\rscores ");
    assert_non_null(line);
    assert_int_equal(sscanf(line, "\rscores %u  0:0%u", &done, &total), 2);
    assert_null(strstr(text, "left"));
    assert_null(strchr(text, '/'));
    kind = SHARE;
}

static void lines_are_whole(void **state)
{
    (void)state;
    char text[65536];
    says_lines = true;
    assert_int_equal(run(true, false, 1000, 0, text, sizeof text), 0);
    says_lines = false;
    assert_non_null(strstr(text, "\rscores "));
    int lines = 0;
    for (const char *at = text; (at = strstr(at, "line ")); at++, lines++) {
        bool fresh = at == text || at[-1] == '\n' || (at - text >= 4 && !memcmp(at - 4, "\r\033[K", 4));
        assert_true(fresh);
    }
    assert_int_equal(lines, 5);
}

/* What stdout holds back comes before the line on stderr. */
static void stdout_comes_first(void **state)
{
    (void)state;
    char text[64] = "";
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        printf("one ");
        fprintf(cp_stderr(), "two ");
        printf("three");
        fflush(NULL);
        _exit(0);
    }
    close(ends[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    assert_string_equal(text, "one two three");
}

static void interrupted(void **state)
{
    (void)state;
    char text[65536];
    int status = run(true, false, 800, SIGINT, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    size_t n = strlen(text);
    assert_non_null(strstr(text, "\rscores "));
    assert_true(n > 2 && text[n - 1] == '\n'); /* the shell's prompt starts on a line of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shown_on_a_terminal), cmocka_unit_test(not_shown),
                                       cmocka_unit_test(of_lists), cmocka_unit_test(lines_are_whole),
                                       cmocka_unit_test(stdout_comes_first), cmocka_unit_test(interrupted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

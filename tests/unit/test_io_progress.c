/* The progress line: on a terminal only, not before half a second, and gone at the end or after Ctrl-C. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "io/atomic.h"
#include "io/progress.h"
#include "io_temp.h"

static void work(bool quiet, int milliseconds, bool forever)
{
    cp_progress *p = cp_progress_start("scores", 200, quiet);
    for (int i = 0; i < milliseconds / 10; i++) {
        usleep(10000);
        if (i % 2)
            cp_progress_add(p, 1);
        else
            cp_progress_update(p, i + 1);
    }
    while (forever) pause();
    cp_progress_end(&p);
    cp_progress_end(&p);
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
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < bytes && (got = read(ends[0], text + n, bytes - 1 - n)) > 0;) {
        n += (size_t)got;
        text[n] = 0;
        if (signal_number && strstr(text, " left")) kill(pid, signal_number);
    }
    text[n] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
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
                                       cmocka_unit_test(interrupted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

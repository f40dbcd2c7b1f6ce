#include "audit/logfile.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Longer than what Check itself writes, since the limit binds both. */
enum { FILLED_BYTES = 256 * 1024 };

static char path[64];
static struct logfile log_;

static void setup(void)
{
    signal(SIGXFSZ, SIG_IGN);
    snprintf(path, sizeof(path), "/tmp/test_logfile.XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    log_.fd = -1;
}

static void teardown(void)
{
    logfile_close(&log_);
    unlink(path);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void expect_tail(size_t from, const char *text)
{
    char found[256] = "";
    ssize_t n = pread(log_.fd, found, sizeof(found) - 1, (off_t)from);
    ck_assert_int_ge(n, 0);
    ck_assert_str_eq(found, text);
}

static void limit_file_size(off_t size)
{
    struct rlimit rl;
    getrlimit(RLIMIT_FSIZE, &rl);
    rl.rlim_cur = size < 0 ? rl.rlim_max : (rlim_t)size;
    setrlimit(RLIMIT_FSIZE, &rl);
}

static void fill(void)
{
    static char line[FILLED_BYTES];
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    ck_assert_uint_eq(logfile_append(&log_, view_at(line, sizeof(line))), sizeof(line));
}

/* ---- a full disk ---- */

START_TEST(appends_whole_lines_only_when_the_disk_is_full)
{
    static const struct {
        off_t room;
        size_t written;
    } cases[] = {{0, 0}, {1, 0}, {6, 0}, {7, 7}, {8, 7}, {13, 7}, {14, 14}};
    ck_assert_int_eq(logfile_open(path, &log_), GW_OK);
    fill();
    limit_file_size(FILLED_BYTES + cases[_i].room);
    size_t n = logfile_append(&log_, VIEW("first.\nsecond\nthird.\n"));
    int why = errno;
    limit_file_size(-1);
    ck_assert_uint_eq(n, cases[_i].written);
    ck_assert_int_eq(why, EFBIG);
    ck_assert(!log_.is_torn);
    struct stat st;
    ck_assert_int_eq(fstat(log_.fd, &st), 0);
    ck_assert_int_eq(st.st_size, FILLED_BYTES + (off_t)cases[_i].written);
}
END_TEST

START_TEST(separates_half_a_line_that_cannot_be_taken_back)
{
    int fd = memfd_create("audit", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    unlink(path);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ck_assert_int_eq(logfile_open(path, &log_), GW_OK);
    fill();
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    limit_file_size(FILLED_BYTES + 10);
    size_t n = logfile_append(&log_, VIEW("first.\nsecond\n"));
    limit_file_size(-1);
    ck_assert_uint_eq(n, 7);
    ck_assert(log_.is_torn);
    ck_assert_uint_eq(logfile_append(&log_, VIEW("second\n")), 7);
    expect_tail(FILLED_BYTES, "first.\nsec\nsecond\n");
    close(fd);
}
END_TEST

START_TEST(reserves_no_more_than_the_process_may_write)
{
    ck_assert_int_eq(logfile_open(path, &log_), GW_OK);
    fill();
    limit_file_size(FILLED_BYTES + 100);
    size_t some = logfile_reserve(&log_, 1000 * 1000);
    limit_file_size(FILLED_BYTES);
    size_t none = logfile_reserve(&log_, 1000 * 1000);
    limit_file_size(-1);
    ck_assert_uint_eq(some, 100);
    ck_assert_uint_eq(none, 0);
    ck_assert_uint_eq(logfile_reserve(&log_, 1000 * 1000), 1000 * 1000);
}
END_TEST

/* ---- after a kill ---- */

START_TEST(finds_what_the_log_has_already)
{
    static const struct {
        const char *log, *lines;
        size_t found;
        const char *left; /* of the log */
    } cases[] = {
        {"", "b\nc\n", 0, ""},
        {"a\n", "b\nc\n", 0, "a\n"},
        {"a\nb\n", "b\nc\n", 2, "a\nb\n"},
        {"a\nb\nc\n", "b\nc\n", 4, "a\nb\nc\n"},
        {"a\nbb\ncc", "bb\ncccc\n", 3, "a\nbb\n"}, /* half a line: it follows whole */
        {"a\ncc", "cccc\n", 0, "a\n"},
        {"cc", "cccc\n", 0, ""},
        {"a\nbb\nxx", "bb\ncccc\n", 3, "a\nbb\nxx"}, /* another's half: kept as evidence */
        {"a\n", "", 0, "a\n"},
    };
    write_text(cases[_i].log);
    ck_assert_int_eq(logfile_open(path, &log_), GW_OK);
    ck_assert_uint_eq(logfile_find_end(&log_, view_of(cases[_i].lines)), cases[_i].found);
    expect_tail(0, cases[_i].left);
    size_t n = strlen(cases[_i].left);
    ck_assert_int_eq(log_.is_torn, n > 0 && cases[_i].left[n - 1] != '\n');
}
END_TEST

int main(void)
{
    Suite *s = suite_create("logfile");
    TCase *t = tcase_create("logfile");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, appends_whole_lines_only_when_the_disk_is_full, 0, 7);
    tcase_add_test(t, separates_half_a_line_that_cannot_be_taken_back);
    tcase_add_test(t, reserves_no_more_than_the_process_may_write);
    tcase_add_loop_test(t, finds_what_the_log_has_already, 0, 9);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

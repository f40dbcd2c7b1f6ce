#include "audit/ring.h"
#include "util/buf.h"
#include "util/digest.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[64], path[96];
static struct ring *ring;

static void setup(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_ring.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/ring", dir);
    ring = NULL;
}

static void teardown(void)
{
    ring_close(ring);
    unlink(path);
    rmdir(dir);
}

static void open_ring(void)
{
    ck_assert_int_eq(ring_open(path, &ring), GW_OK);
    ring_grant(ring, SIZE_MAX);
}

static void close_ring(void)
{
    ring_close(ring);
    ring = NULL;
}

/* Lines as the journal makes them: each names the digest of the one before. */
static void put_line(char prev[DIGEST_HEX_LEN + 1], size_t filler, struct buf *out)
{
    uint8_t digest[DIGEST_BYTES];
    size_t start = out->n;
    buf_puts(out, "{\"text\":\"");
    for (size_t i = 0; i < filler; i++)
        buf_put_byte(out, 'x');
    buf_printf(out, "\",\"prev\":\"%s\"}", prev);
    ck_assert_int_eq(digest_sha256(view_skip(buf_view(out), start), digest), GW_OK);
    digest_hex(digest, prev);
    buf_puts(out, "\n");
}

static void expect_waiting(struct view lines)
{
    struct view waiting = ring_peek(ring);
    ck_assert_uint_eq(waiting.n, lines.n);
    ck_assert(view_eq(waiting, lines));
}

START_TEST(gives_lines_in_order_and_in_one_piece_round_and_round)
{
    char line[1000];
    open_ring();
    for (int round = 0; round < 3 * RING_BYTES / (int)sizeof(line); round++) {
        memset(line, 'a' + round % 26, sizeof(line));
        ck_assert(ring_put(ring, view_at(line, sizeof(line))));
        ck_assert(ring_put(ring, VIEW("end\n")));
        struct view waiting = ring_peek(ring);
        ck_assert_uint_eq(waiting.n, sizeof(line) + 4);
        ck_assert(view_eq(view_at(waiting.p, sizeof(line)), view_at(line, sizeof(line))));
        ck_assert(view_ends(waiting, VIEW("end\n")));
        ring_take(ring, waiting.n);
        ck_assert_uint_eq(ring_peek(ring).n, 0);
    }
}
END_TEST

START_TEST(takes_a_line_whole_or_not_at_all_when_it_is_full)
{
    static char large[RING_LEAST_BYTES];
    size_t n = 0;
    open_ring();
    while (ring_put(ring, view_at(large, sizeof(large))))
        n++;
    ck_assert_uint_ge(n, 1);
    ck_assert_uint_le(n, RING_BYTES / sizeof(large));
    ck_assert_uint_eq(ring_peek(ring).n, n * sizeof(large));
    ring_take(ring, 1);
    ck_assert(!ring_put(ring, VIEW("ab")));
    ck_assert(ring_put(ring, VIEW("a")));
}
END_TEST

START_TEST(takes_no_line_for_which_the_log_has_no_room)
{
    open_ring();
    ring_grant(ring, 10);
    ck_assert(ring_put(ring, VIEW("sixsix")));
    ck_assert_uint_eq(ring_granted(ring), 4);
    ck_assert(!ring_put(ring, VIEW("fives")));
    ck_assert(ring_put(ring, VIEW("four")));
    ck_assert_uint_eq(ring_granted(ring), 0);
    ring_take(ring, 6);
    ring_grant(ring, 5); /* of which four wait */
    ck_assert(!ring_put(ring, VIEW("ab")));
    ck_assert(ring_put(ring, VIEW("a")));
    ring_grant(ring, 0);
    ck_assert(!ring_put(ring, VIEW("a")));
}
END_TEST

START_TEST(keeps_what_was_put_when_the_process_is_killed)
{
    pid_t pid = fork();
    if (pid == 0) {
        char prev[DIGEST_HEX_LEN + 1];
        struct buf lines = BUF(4096);
        memset(prev, '0', sizeof(prev) - 1);
        prev[sizeof(prev) - 1] = '\0';
        put_line(prev, 10, &lines);
        size_t first = lines.n;
        put_line(prev, 20, &lines);
        if (ring_open(path, &ring) != GW_OK)
            _exit(1);
        ring_grant(ring, SIZE_MAX);
        if (ring_put(ring, buf_view(&lines)))
            ring_take(ring, first);
        kill(getpid(), SIGKILL);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    open_ring(); /* the lock went with it */
    ck_assert(view_starts(ring_peek(ring), VIEW("{\"text\":\"xxxxxxxxxxxxxxxxxxxx\"")));
}
END_TEST

/* What a machine that stopped may leave: the head of one moment, lines of another. */
START_TEST(drops_lines_that_do_not_follow_from_each_other)
{
    static const struct {
        long at; /* the byte that is spoilt, of three lines of 90, 90 and 90 bytes */
        size_t n_lines;
    } cases[] = {{-1, 3}, {200, 2}, {269, 2}, {269 - 5, 2}, {100, 1}, {179, 1}, {0, 0}, {89, 0}};
    char prev[DIGEST_HEX_LEN + 1];
    struct buf lines = BUF(4096);
    memset(prev, '0', sizeof(prev) - 1);
    prev[sizeof(prev) - 1] = '\0';
    for (int i = 0; i < 3; i++)
        put_line(prev, 4, &lines);
    ck_assert_uint_eq(lines.n, 270);
    open_ring();
    ck_assert(ring_put(ring, buf_view(&lines)));
    close_ring();
    if (cases[_i].at >= 0) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(pwrite(fd, "\0", 1, 4096 + cases[_i].at), 1);
        close(fd);
    }
    open_ring();
    expect_waiting(view_at(lines.p, cases[_i].n_lines * 90));
    buf_deinit(&lines);
}
END_TEST

START_TEST(keeps_the_start_of_another_boot_behind_what_is_left_of_one)
{
    char prev[DIGEST_HEX_LEN + 1], zeroes[DIGEST_HEX_LEN + 1];
    struct buf lines = BUF(4096);
    memset(zeroes, '0', sizeof(zeroes) - 1);
    zeroes[sizeof(zeroes) - 1] = '\0';
    for (int boot = 0; boot < 2; boot++) {
        memcpy(prev, zeroes, sizeof(prev));
        for (int i = 0; i < 2; i++)
            put_line(prev, 4, &lines);
    }
    open_ring();
    ck_assert(ring_put(ring, buf_view(&lines)));
    close_ring();
    open_ring();
    expect_waiting(buf_view(&lines));
    buf_deinit(&lines);
}
END_TEST

START_TEST(belongs_to_one_process)
{
    struct ring *other = NULL;
    open_ring();
    ck_assert_int_eq(ring_open(path, &other), GW_E_IO);
    ck_assert_int_eq(errno, EWOULDBLOCK);
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(refuses_a_file_that_is_no_ring)
{
    static const struct {
        const char *text;
        off_t size;
        bool is_refused;
    } cases[] = {
        {"something else", 8192, true},
        {"rgring1", 8192, true}, /* without a size */
        {"", 0, false},
        {"", 100 * 1000, false}, /* left by a start that was killed */
    };
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, cases[_i].text, strlen(cases[_i].text)), (ssize_t)strlen(cases[_i].text));
    ck_assert_int_eq(ftruncate(fd, cases[_i].size), 0);
    close(fd);
    errno = 0;
    ck_assert_int_eq(ring_open(path, &ring), cases[_i].is_refused ? GW_E_IO : GW_OK);
    if (cases[_i].is_refused)
        ck_assert_int_eq(errno, EINVAL);
}
END_TEST

START_TEST(is_readable_for_its_owner_only)
{
    struct stat st;
    umask(0);
    open_ring();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ring");
    TCase *t = tcase_create("ring");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, gives_lines_in_order_and_in_one_piece_round_and_round);
    tcase_add_test(t, takes_a_line_whole_or_not_at_all_when_it_is_full);
    tcase_add_test(t, takes_no_line_for_which_the_log_has_no_room);
    tcase_add_test(t, keeps_what_was_put_when_the_process_is_killed);
    tcase_add_loop_test(t, drops_lines_that_do_not_follow_from_each_other, 0, 8);
    tcase_add_test(t, keeps_the_start_of_another_boot_behind_what_is_left_of_one);
    tcase_add_test(t, belongs_to_one_process);
    tcase_add_loop_test(t, refuses_a_file_that_is_no_ring, 0, 4);
    tcase_add_test(t, is_readable_for_its_owner_only);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#include "audit/journal.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/meter.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { THREADS = 8, LINES_PER_THREAD = 500, FILE_MAX = 16 * 1024 * 1024, FILLING = 300 };

static char dir[64], path[128], moved[128], ring[128];
static struct journal *journal;
static const char zeroes[] = "0000000000000000000000000000000000000000000000000000000000000000";

static void setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    snprintf(dir, sizeof(dir), "/tmp/test_journal.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/audit.jsonl", dir);
    snprintf(moved, sizeof(moved), "%s/audit.jsonl.1", dir);
    snprintf(ring, sizeof(ring), "%s/audit.jsonl.ring", dir);
    journal = NULL;
}

static void teardown(void)
{
    journal_close(journal);
    unlink(path);
    unlink(moved);
    unlink(ring);
    rmdir(dir);
}

static void open_journal(void)
{
    ck_assert_int_eq(journal_open(path, &journal), GW_OK);
}

static enum gw_err append(const char *text, size_t filler)
{
    struct buf body = BUF(JOURNAL_LINE_MAX * 2);
    buf_printf(&body, "{\"text\":\"%s", text);
    for (size_t i = 0; i < filler; i++)
        buf_put_byte(&body, 'x');
    buf_puts(&body, "\"");
    enum gw_err err = journal_append(journal, &body);
    buf_deinit(&body);
    return err;
}

/* What was appended so far is where readers look. */
static void flush(void)
{
    if (journal != NULL)
        (void)!journal_flush(journal);
}

static struct buf slurp(const char *name)
{
    flush();
    struct buf b = BUF(FILE_MAX);
    FILE *f = fopen(name, "re");
    ck_assert_ptr_nonnull(f);
    for (size_t n = 1; n > 0; b.n += n) {
        char *p = buf_reserve(&b, 65536);
        ck_assert_ptr_nonnull(p);
        n = fread(p, 1, 65536, f);
    }
    b.p[b.n] = '\0';
    fclose(f);
    return b;
}

static off_t size_of(const char *name)
{
    struct stat st;
    flush();
    ck_assert_int_eq(stat(name, &st), 0);
    return st.st_size;
}

/* ---- the chain, computed again from the text alone ---- */

struct chain {
    char boot[64], prev[DIGEST_HEX_LEN + 1];
    json_int_t seq;
    size_t n_lines;
};

static void chain_start(struct chain *c)
{
    *c = (struct chain){.seq = 0};
    memcpy(c->prev, zeroes, sizeof(c->prev));
}

static void chain_check(struct chain *c, struct view text)
{
    ck_assert(text.n == 0 || text.p[text.n - 1] == '\n');
    while (text.n > 0) {
        uint8_t digest[DIGEST_BYTES];
        struct view line = view_split(&text, '\n');
        json_t *o = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(json_is_object(o), "no JSON: %.*s", VIEW_FMT(line));
        const char *boot = json_string_value(json_object_get(o, "boot")), *prev = json_string_value(json_object_get(o, "prev"));
        ck_assert_ptr_nonnull(boot);
        ck_assert_ptr_nonnull(prev);
        if (c->seq == 0)
            snprintf(c->boot, sizeof(c->boot), "%s", boot);
        ck_assert_str_eq(boot, c->boot);
        ck_assert_str_eq(prev, c->prev);
        ck_assert_int_eq(json_integer_value(json_object_get(o, "seq")), ++c->seq);
        ck_assert_ptr_nonnull(json_object_get(o, "text"));
        json_decref(o);
        ck_assert_uint_le(line.n + 1, JOURNAL_LINE_MAX);
        ck_assert_int_eq(digest_sha256(line, digest), GW_OK);
        digest_hex(digest, c->prev);
        c->n_lines++;
    }
}

static size_t check_file(const char *name)
{
    struct chain c;
    struct buf b = slurp(name);
    chain_start(&c);
    chain_check(&c, buf_view(&b));
    buf_deinit(&b);
    return c.n_lines;
}

/* ---- tests ---- */

START_TEST(chains_lines_from_zeroes_on)
{
    int64_t lines = meter_value(METER_AUDIT_LINES);
    open_journal();
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(append("a", (size_t)i * 37), GW_OK);
    ck_assert_uint_eq(check_file(path), 20);
    ck_assert(journal_is_healthy(journal));
    ck_assert_int_eq(meter_value(METER_AUDIT_LINES), lines + 20);
}
END_TEST

START_TEST(writes_the_fields_of_the_chain_last)
{
    open_journal();
    ck_assert_int_eq(append("a", 0), GW_OK);
    struct buf b = slurp(path);
    ck_assert(view_starts(buf_view(&b), VIEW("{\"text\":\"a\",\"boot\":\"")));
    ck_assert_int_eq(b.p[20 + 14], '7'); /* UUIDv7 */
    ck_assert_ptr_nonnull(strstr(b.p, "\",\"seq\":1,\"prev\":\"0000"));
    ck_assert(view_ends(buf_view(&b), VIEW("0000\"}\n")));
    buf_deinit(&b);
}
END_TEST

START_TEST(G10_makes_a_file_that_others_cannot_read)
{
    struct stat st;
    umask(0);
    open_journal();
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0640);
}
END_TEST

START_TEST(starts_a_chain_of_its_own_at_each_opening)
{
    open_journal();
    ck_assert_int_eq(append("first", 0), GW_OK);
    journal_close(journal);
    journal = NULL;
    off_t size = size_of(path);
    open_journal();
    ck_assert_int_eq(append("second", 0), GW_OK);
    struct buf b = slurp(path);
    struct chain one, two;
    chain_start(&one);
    chain_start(&two);
    chain_check(&one, view_at(b.p, (size_t)size));
    chain_check(&two, view_skip(buf_view(&b), (size_t)size));
    ck_assert_str_ne(one.boot, two.boot);
    buf_deinit(&b);
}
END_TEST

START_TEST(keeps_evidence_of_a_line_cut_off_by_a_crash)
{
    FILE *f = fopen(path, "we");
    fputs("{\"half\":", f);
    fclose(f);
    open_journal();
    ck_assert_int_eq(append("next", 0), GW_OK);
    struct buf b = slurp(path);
    ck_assert(view_starts(buf_view(&b), VIEW("{\"half\":\n{\"text\"")));
    struct chain c;
    chain_start(&c);
    chain_check(&c, view_skip(buf_view(&b), 9));
    ck_assert_uint_eq(c.n_lines, 1);
    buf_deinit(&b);
}
END_TEST

START_TEST(has_written_what_it_acknowledged_when_the_process_is_killed)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (journal_open(path, &journal) == GW_OK && append("a", 700) == GW_OK && append("b", 700) == GW_OK)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    open_journal(); /* the locks went with it, the lines did not */
    ck_assert_uint_eq(check_file(path), 2);
}
END_TEST

START_TEST(gives_reserved_room_back_when_it_closes)
{
    struct stat st;
    open_journal();
    ck_assert_int_eq(append("one", 0), GW_OK);
    journal_close(journal);
    journal = NULL;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_le(st.st_blocks * 512, 64 * 1024);
}
END_TEST

START_TEST(refuses_a_log_that_another_holds)
{
    struct journal *other = NULL;
    open_journal();
    errno = 0;
    ck_assert_int_eq(journal_open(path, &other), GW_E_IO);
    ck_assert_int_eq(errno, EWOULDBLOCK);
    ck_assert_ptr_null(other);
    ck_assert_int_eq(append("a", 0), GW_OK);
}
END_TEST

START_TEST(refuses_what_is_no_plain_file)
{
    ck_assert_int_eq(journal_open("/dev/null", &journal), GW_E_IO);
    ck_assert_int_eq(journal_open(dir, &journal), GW_E_IO);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(journal_open(path, &journal), GW_E_IO);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(journal_open("/nonexistent/dir/audit.jsonl", &journal), GW_E_IO);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_ptr_null(journal);
}
END_TEST

/* ---- rotation ---- */

START_TEST(goes_on_in_a_new_file_after_rotation)
{
    struct chain c;
    open_journal();
    ck_assert_int_eq(append("old", 0), GW_OK);
    ck_assert_int_eq(rename(path, moved), 0);
    ck_assert_int_eq(append("old too", 0), GW_OK);
    ck_assert_int_eq(journal_reopen(journal), GW_OK);
    ck_assert_int_eq(append("new", 0), GW_OK);
    struct buf old = slurp(moved), new = slurp(path);
    chain_start(&c);
    chain_check(&c, buf_view(&old));
    ck_assert_uint_eq(c.n_lines, 2);
    chain_check(&c, buf_view(&new)); /* one boot, one chain */
    ck_assert_uint_eq(c.n_lines, 3);
    buf_deinit(&old);
    buf_deinit(&new);
    struct journal *other = NULL;
    ck_assert_int_eq(journal_open(path, &other), GW_E_IO); /* the new file is locked as well */
}
END_TEST

START_TEST(stays_with_its_file_if_nothing_was_rotated)
{
    open_journal();
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(append("a", 0), GW_OK);
        ck_assert_int_eq(journal_reopen(journal), GW_OK);
    }
    ck_assert_uint_eq(check_file(path), 3);
    struct journal *other = NULL;
    ck_assert_int_eq(journal_open(path, &other), GW_E_IO); /* still locked */
}
END_TEST

START_TEST(keeps_the_old_file_if_the_new_one_cannot_be_opened)
{
    open_journal();
    ck_assert_int_eq(rename(path, moved), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(journal_reopen(journal), GW_E_IO);
    ck_assert_int_eq(append("a", 0), GW_OK);
    ck_assert_uint_eq(check_file(moved), 1);
    ck_assert_int_eq(rmdir(path), 0);
}
END_TEST

/* ---- a full disk ---- */

/* A file size limit stands for the full disk. It binds the process, and Check's own notes too, so nothing is asserted under it; the log
 * is made longer than those notes before. */
static void limit_file_size(off_t size)
{
    struct rlimit rl;
    getrlimit(RLIMIT_FSIZE, &rl);
    rl.rlim_cur = size < 0 ? rl.rlim_max : (rlim_t)size;
    setrlimit(RLIMIT_FSIZE, &rl);
}

static void fill(void)
{
    for (int i = 0; i < FILLING; i++)
        ck_assert_int_eq(append("filling", 1000), GW_OK);
}

START_TEST(refuses_while_the_disk_is_full_and_goes_on_by_itself)
{
    static const off_t rooms[] = {0, 1, 100, 1000};
    open_journal();
    fill();
    off_t size = size_of(path);
    int64_t failed = meter_value(METER_AUDIT_FAILED);
    limit_file_size(size + rooms[_i]);
    enum gw_err first = append("lost", 2000), second = append("lost", 2000);
    bool is_healthy = journal_is_healthy(journal);
    limit_file_size(-1);
    ck_assert_int_eq(first, GW_E_IO);
    ck_assert_int_eq(second, GW_E_IO);
    ck_assert(!is_healthy);
    ck_assert_int_eq(size_of(path), size);
    ck_assert_int_eq(meter_value(METER_AUDIT_FAILED), failed + 2);
    flush();
    ck_assert_int_eq(append("room again", 0), GW_OK);
    ck_assert(journal_is_healthy(journal));
    ck_assert_uint_eq(check_file(path), FILLING + 1);
}
END_TEST

/* ---- what is no line ---- */

static enum gw_err append_view(struct view v, size_t cap)
{
    struct buf body = BUF(cap);
    buf_put(&body, v);
    enum gw_err err = journal_append(journal, &body);
    buf_deinit(&body);
    return err;
}

START_TEST(refuses_what_is_not_one_line_of_at_most_the_cap)
{
    open_journal();
    ck_assert_int_eq(append_view(VIEW_NONE, 100), GW_E_IO);
    ck_assert_int_eq(append_view(VIEW("{\"text\":\"a\nb\""), 1000), GW_E_IO);
    ck_assert_int_eq(append_view(VIEW("{\"text\":\"a\""), 12), GW_E_IO); /* no room for the tail */
    ck_assert_int_eq(append("", JOURNAL_LINE_MAX), GW_E_IO);
    ck_assert_int_eq(append("", JOURNAL_LINE_MAX - 100), GW_E_IO);
    ck_assert_int_eq(size_of(path), 0);
    ck_assert_int_eq(append("", JOURNAL_LINE_MAX - JOURNAL_TAIL_MAX - 10), GW_OK);
    ck_assert_uint_eq(check_file(path), 1);
}
END_TEST

/* ---- standard output ---- */

static int saved_stdout, reader;

static void open_on_stdout(int fd)
{
    saved_stdout = dup(STDOUT_FILENO);
    ck_assert_int_ge(dup2(fd, STDOUT_FILENO), 0);
    close(fd);
    ck_assert_int_eq(journal_open("-", &journal), GW_OK);
}

static void open_on_pipe(void)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, 8192), 8192);
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    reader = ends[0];
    open_on_stdout(ends[1]);
}

static void close_stdout(void)
{
    journal_close(journal);
    journal = NULL;
    ck_assert_int_ge(dup2(saved_stdout, STDOUT_FILENO), 0);
}

static void drain(struct buf *out)
{
    for (;;) {
        char *p = buf_reserve(out, 65536);
        ck_assert_ptr_nonnull(p);
        ssize_t n = read(reader, p, 65536);
        if (n <= 0)
            break;
        out->n += (size_t)n;
    }
}

START_TEST(writes_to_standard_output)
{
    struct buf out = BUF(FILE_MAX);
    struct chain c;
    open_on_pipe();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(append("a", 100), GW_OK);
    ck_assert_int_eq(journal_reopen(journal), GW_OK);
    close_stdout();
    drain(&out);
    chain_start(&c);
    chain_check(&c, buf_view(&out));
    ck_assert_uint_eq(c.n_lines, 3);
    buf_deinit(&out);
}
END_TEST

/* Small lines go in whole or not at all; large ones are cut by the kernel where the pipe is full. */
START_TEST(refuses_on_a_full_pipe_and_tears_no_line)
{
    static const size_t fillers[] = {300, 5000, 9000, 15000};
    struct buf out = BUF(FILE_MAX);
    struct chain c;
    size_t n_ok = 0, n_refused = 0;
    open_on_pipe();
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 40; i++) {
            if (append("a", fillers[_i]) == GW_OK) {
                ck_assert(journal_is_healthy(journal));
                n_ok++;
            } else {
                ck_assert(!journal_is_healthy(journal));
                n_refused++;
            }
        }
        drain(&out);
    }
    while (append("last", 0) != GW_OK)
        drain(&out);
    close_stdout();
    drain(&out);
    chain_start(&c);
    chain_check(&c, buf_view(&out));
    ck_assert_uint_gt(n_refused, 0);
    ck_assert_uint_ge(c.n_lines, n_ok + 1); /* all that were promised; a line cut short is finished, though refused */
    ck_assert_uint_le(c.n_lines, n_ok + 1 + n_refused);
    if (fillers[_i] == 300)
        ck_assert_uint_eq(c.n_lines, n_ok + 1);
    buf_deinit(&out);
}
END_TEST

START_TEST(refuses_when_the_reader_is_gone)
{
    open_on_pipe();
    ck_assert_int_eq(append("a", 0), GW_OK);
    close(reader);
    ck_assert_int_eq(append("a", 0), GW_E_IO);
    ck_assert(!journal_is_healthy(journal));
    close_stdout();
}
END_TEST

START_TEST(does_not_block_on_a_socket_nor_change_it_for_others)
{
    int ends[2];
    enum gw_err err = GW_OK;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    reader = ends[0];
    open_on_stdout(ends[1]);
    for (int i = 0; i < 10000 && err == GW_OK; i++)
        err = append("a", 5000);
    ck_assert_int_eq(err, GW_E_IO);
    ck_assert_int_eq(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
    close_stdout();
}
END_TEST

START_TEST(appends_where_standard_output_is_a_file)
{
    FILE *f = fopen(path, "we");
    fputs("before\n", f);
    fclose(f);
    open_on_stdout(open(path, O_WRONLY | O_CLOEXEC));
    ck_assert_int_eq(append("a", 0), GW_OK);
    ck_assert_int_eq(append("b", 0), GW_OK);
    close_stdout();
    struct buf b = slurp(path);
    struct chain c;
    ck_assert(view_starts(buf_view(&b), VIEW("before\n{")));
    chain_start(&c);
    chain_check(&c, view_skip(buf_view(&b), 7));
    ck_assert_uint_eq(c.n_lines, 2);
    buf_deinit(&b);
}
END_TEST

START_TEST(refuses_when_standard_output_is_closed)
{
    saved_stdout = dup(STDOUT_FILENO);
    close(STDOUT_FILENO);
    enum gw_err err = journal_open("-", &journal);
    dup2(saved_stdout, STDOUT_FILENO);
    ck_assert_int_eq(err, GW_E_IO);
}
END_TEST

/* ---- threads ---- */

static void *append_many(void *arg)
{
    size_t n_failed = 0;
    (void)arg;
    for (int i = 0; i < LINES_PER_THREAD; i++)
        n_failed += append("thread", (size_t)(i % 50) * 20) != GW_OK;
    return n_failed == 0 ? NULL : journal;
}

START_TEST(keeps_one_chain_for_many_threads_across_rotations)
{
    pthread_t threads[THREADS];
    struct chain c;
    open_journal();
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_many, NULL), 0);
    ck_assert_int_eq(rename(path, moved), 0);
    ck_assert_int_eq(journal_reopen(journal), GW_OK);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    struct buf old = slurp(moved), new = slurp(path);
    chain_start(&c);
    chain_check(&c, buf_view(&old));
    chain_check(&c, buf_view(&new));
    ck_assert_uint_eq(c.n_lines, THREADS * LINES_PER_THREAD);
    buf_deinit(&old);
    buf_deinit(&new);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("journal");
    TCase *t = tcase_create("journal");
    SRunner *r = srunner_create(s);
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, chains_lines_from_zeroes_on);
    tcase_add_test(t, writes_the_fields_of_the_chain_last);
    tcase_add_test(t, G10_makes_a_file_that_others_cannot_read);
    tcase_add_test(t, starts_a_chain_of_its_own_at_each_opening);
    tcase_add_test(t, keeps_evidence_of_a_line_cut_off_by_a_crash);
    tcase_add_test(t, has_written_what_it_acknowledged_when_the_process_is_killed);
    tcase_add_test(t, gives_reserved_room_back_when_it_closes);
    tcase_add_test(t, refuses_a_log_that_another_holds);
    tcase_add_test(t, refuses_what_is_no_plain_file);
    tcase_add_test(t, goes_on_in_a_new_file_after_rotation);
    tcase_add_test(t, stays_with_its_file_if_nothing_was_rotated);
    tcase_add_test(t, keeps_the_old_file_if_the_new_one_cannot_be_opened);
    tcase_add_loop_test(t, refuses_while_the_disk_is_full_and_goes_on_by_itself, 0, 4);
    tcase_add_test(t, refuses_what_is_not_one_line_of_at_most_the_cap);
    tcase_add_test(t, writes_to_standard_output);
    tcase_add_loop_test(t, refuses_on_a_full_pipe_and_tears_no_line, 0, 4);
    tcase_add_test(t, refuses_when_the_reader_is_gone);
    tcase_add_test(t, does_not_block_on_a_socket_nor_change_it_for_others);
    tcase_add_test(t, appends_where_standard_output_is_a_file);
    tcase_add_test(t, refuses_when_standard_output_is_closed);
    tcase_add_test(t, keeps_one_chain_for_many_threads_across_rotations);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    int n_failed = srunner_ntests_failed(r);
    srunner_free(r);
    return n_failed == 0 ? 0 : 1;
}

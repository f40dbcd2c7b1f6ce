#include "store/store.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char dir[64], path[96];

static void make_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/test_store.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sessions.db", dir);
}

static void remove_dir(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", ".lock"};
    for (size_t i = 0; i < 5; i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
        unlink(name);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}

static struct store *open_store(const char *name)
{
    struct store *s = NULL;
    ck_assert_int_eq(store_open(name, &s), GW_OK);
    return s;
}

static void set_id(uint8_t id[DIGEST_BYTES], unsigned n)
{
    memset(id, 0, DIGEST_BYTES);
    memcpy(id, &n, sizeof(n));
}

static enum gw_err put(struct store *s, unsigned n, int64_t seen_s, int64_t expires_s)
{
    struct store_row row = {.version = 1,
                            .created_s = 1000,
                            .seen_s = seen_s,
                            .expires_s = expires_s,
                            .label = BUF(STORE_SEALED_MAX),
                            .secret = BUF(STORE_SEALED_MAX)};
    set_id(row.id, n);
    memset(row.sid_mac, 0x51, DIGEST_BYTES);
    memset(row.sub_mac, 0x52, DIGEST_BYTES);
    buf_puts(&row.label, "label\0with a zero");
    for (int i = 0; i < 100; i++)
        buf_puts(&row.secret, "secret bytes");
    enum gw_err err = store_session_put(s, &row);
    store_row_deinit(&row);
    return err;
}

static enum gw_err get(struct store *s, unsigned n, struct store_row *ret_row)
{
    uint8_t id[DIGEST_BYTES];
    set_id(id, n);
    return store_session_get(s, id, ret_row);
}

static bool has(struct store *s, unsigned n)
{
    struct store_row row;
    enum gw_err err = get(s, n, &row);
    if (err == GW_OK)
        store_row_deinit(&row);
    return err == GW_OK;
}

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

START_TEST(gives_back_the_row_that_was_put)
{
    struct store *s = open_store(":memory:");
    struct store_row row;
    ck_assert_int_eq(put(s, 7, 1001, 5000), GW_OK);
    ck_assert_int_eq(get(s, 7, &row), GW_OK);
    ck_assert_int_eq(row.created_s, 1000);
    ck_assert_int_eq(row.seen_s, 1001);
    ck_assert_int_eq(row.expires_s, 5000);
    ck_assert_int_eq(row.version, 1);
    ck_assert_uint_eq(row.sid_mac[31], 0x51);
    ck_assert_uint_eq(row.sub_mac[31], 0x52);
    ck_assert(view_eq(buf_view(&row.label), VIEW("label\0with a zero")));
    ck_assert_uint_eq(row.secret.n, 1200);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

START_TEST(unknown_row_is_not_found_and_deleting_it_is_fine)
{
    struct store *s = open_store(":memory:");
    struct store_row row;
    uint8_t id[DIGEST_BYTES] = {1};
    ck_assert_int_eq(store_session_get(s, id, &row), GW_E_NOTFOUND);
    ck_assert_int_eq(store_session_touch(s, id, 1), GW_E_NOTFOUND);
    ck_assert_int_eq(store_session_end(s, id, 1000000, 0), GW_OK);
    store_close(s);
}
END_TEST

START_TEST(deleted_row_is_gone)
{
    struct store *s = open_store(":memory:");
    uint8_t id[DIGEST_BYTES];
    set_id(id, 7);
    ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
    ck_assert_int_eq(store_session_end(s, id, 1000000, 0), GW_OK);
    ck_assert(!has(s, 7));
    store_close(s);
}
END_TEST

START_TEST(same_id_twice_is_refused_and_the_first_stays)
{
    struct store *s = open_store(":memory:");
    struct store_row row;
    ck_assert_int_eq(put(s, 7, 11, 2000), GW_OK);
    ck_assert_int_eq(put(s, 7, 22, 2000), GW_E_IO);
    ck_assert_int_eq(get(s, 7, &row), GW_OK);
    ck_assert_int_eq(row.seen_s, 11);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

START_TEST(touch_moves_forward_only)
{
    struct store *s = open_store(":memory:");
    struct store_row row;
    uint8_t id[DIGEST_BYTES];
    set_id(id, 7);
    ck_assert_int_eq(put(s, 7, 1001, 5000), GW_OK);
    ck_assert_int_eq(store_session_touch(s, id, 2000), GW_OK);
    ck_assert_int_eq(store_session_touch(s, id, 1500), GW_OK);
    ck_assert_int_eq(get(s, 7, &row), GW_OK);
    ck_assert_int_eq(row.seen_s, 2000);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

START_TEST(rows_over_the_cap_are_refused)
{
    struct store *s = open_store(":memory:");
    struct store_row row = {.label = BUF(1), .secret = BUF(STORE_SEALED_MAX + 1)};
    ck_assert_ptr_nonnull(buf_reserve(&row.secret, STORE_SEALED_MAX + 1));
    memset(row.secret.p, 1, STORE_SEALED_MAX + 1);
    row.secret.n = STORE_SEALED_MAX + 1;
    ck_assert_int_eq(store_session_put(s, &row), GW_E_LIMIT);
    row.secret.n = STORE_SEALED_MAX;
    ck_assert_int_eq(store_session_put(s, &row), GW_OK);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

START_TEST(attempt_is_used_once_until_swept)
{
    struct store *s = open_store(":memory:");
    uint8_t id[DIGEST_BYTES] = {9};
    size_t n = 0;
    ck_assert_int_eq(store_use_once(s, id, 600), GW_OK);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_E_EXPIRED);
    ck_assert_int_eq(store_sweep(s, 599, 60, &n), GW_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_E_EXPIRED);
    ck_assert_int_eq(store_sweep(s, 600, 60, &n), GW_OK);
    ck_assert_uint_eq(n, 1);
    store_close(s);
}
END_TEST

START_TEST(sweep_takes_what_ended_and_leaves_the_rest)
{
    static const struct {
        int64_t seen_s, expires_s;
        bool stays;
    } CASES[] = {
        {9000, 10001, true},  {9000, 10000, false}, {8001, 20000, true},
        {8000, 20000, false}, {7000, 9000, false},  {10000, 20000, true},
    };
    enum { N = sizeof(CASES) / sizeof(CASES[0]) };
    struct store *s = open_store(":memory:");
    size_t n = 0;
    for (unsigned i = 0; i < N; i++)
        ck_assert_int_eq(put(s, i, CASES[i].seen_s, CASES[i].expires_s), GW_OK);
    ck_assert_int_eq(store_sweep(s, 10000, 2000, &n), GW_OK);
    ck_assert_uint_eq(n, 3);
    for (unsigned i = 0; i < N; i++)
        ck_assert_int_eq(has(s, i), CASES[i].stays);
    store_close(s);
}
END_TEST

START_TEST(sweep_is_bounded)
{
    struct store *s = open_store(":memory:");
    size_t n = 0;
    uint8_t id[DIGEST_BYTES];
    for (unsigned i = 0; i < STORE_SWEEP_MAX + 200; i++)
        ck_assert_int_eq(put(s, i, 1, 2), GW_OK);
    for (unsigned i = 0; i < 300; i++) {
        set_id(id, i);
        ck_assert_int_eq(store_use_once(s, id, 2), GW_OK);
    }
    ck_assert_int_eq(store_sweep(s, 100, 10, &n), GW_OK);
    ck_assert_uint_eq(n, STORE_SWEEP_MAX);
    ck_assert_int_eq(store_sweep(s, 100, 10, &n), GW_OK);
    ck_assert_uint_eq(n, 500);
    ck_assert_int_eq(store_sweep(s, 100, 10, &n), GW_OK);
    ck_assert_uint_eq(n, 0);
    store_close(s);
}
END_TEST

struct racer {
    struct store *s;
    enum gw_err err;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    static const uint8_t id[DIGEST_BYTES] = {3};
    r->err = store_use_once(r->s, id, 600);
    return NULL;
}

START_TEST(T6_of_many_who_use_an_attempt_at_once_one_wins)
{
    enum { N = 8 };
    struct store *s = open_store(":memory:");
    struct racer racers[N];
    pthread_t threads[N];
    int n_won = 0;
    for (int i = 0; i < N; i++) {
        racers[i] = (struct racer){s, GW_E_IO};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        n_won += racers[i].err == GW_OK;
        ck_assert(racers[i].err == GW_OK || racers[i].err == GW_E_EXPIRED);
    }
    ck_assert_int_eq(n_won, 1);
    store_close(s);
}
END_TEST

START_TEST(rows_outlive_a_restart)
{
    uint8_t id[DIGEST_BYTES] = {9};
    make_dir();
    struct store *s = open_store(path);
    ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_OK);
    store_close(s);
    s = open_store(path);
    ck_assert(has(s, 7));
    ck_assert_int_eq(store_use_once(s, id, 600), GW_E_EXPIRED);
    store_close(s);
    remove_dir();
}
END_TEST

static mode_t mode_of(const char *suffix)
{
    char name[128];
    struct stat st;
    snprintf(name, sizeof(name), "%s%s", path, suffix);
    ck_assert_int_eq(stat(name, &st), 0);
    return st.st_mode & 07777;
}

START_TEST(G10_files_are_for_their_owner_alone)
{
    make_dir();
    umask(0);
    if (_i == 1) { /* made by somebody less careful */
        FILE *f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        fclose(f);
        ck_assert_int_eq(chmod(path, 0666), 0);
    }
    struct store *s = open_store(path);
    ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
    ck_assert_uint_eq(mode_of(""), 0600);
    ck_assert_uint_eq(mode_of("-wal"), 0600);
    ck_assert_uint_eq(mode_of("-shm"), 0600);
    store_close(s);
    remove_dir();
}
END_TEST

static void slurp(char *out, size_t cap, size_t *ret_n)
{
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    *ret_n = fread(out, 1, cap, f);
    fclose(f);
}

START_TEST(refuses_what_it_does_not_know_and_leaves_it_alone)
{
    static const char *const SQL[] = {"CREATE TABLE session (id); PRAGMA user_version = 3", "CREATE TABLE other (x)", NULL};
    static char before[65536], after[65536];
    size_t n_before, n_after;
    struct store *s = NULL;
    make_dir();
    if (SQL[_i] != NULL) {
        run_sql(SQL[_i]);
    } else {
        FILE *f = fopen(path, "w");
        ck_assert_ptr_nonnull(f);
        for (int i = 0; i < 1000; i++)
            fputs("this is no database ", f);
        fclose(f);
    }
    slurp(before, sizeof(before), &n_before);
    ck_assert_int_eq(store_probe(path), GW_E_INVALID);
    ck_assert_int_eq(store_open(path, &s), GW_E_INVALID);
    ck_assert_ptr_null(s);
    slurp(after, sizeof(after), &n_after);
    ck_assert_uint_eq(n_before, n_after);
    ck_assert_mem_eq(before, after, n_before);
    remove_dir();
}
END_TEST

static int count_files(void)
{
    DIR *d = opendir(dir);
    int n = 0;
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

START_TEST(probing_makes_nothing_and_is_in_nobodys_way)
{
    make_dir();
    int n_files = count_files();
    ck_assert_int_eq(store_probe(path), GW_OK);
    ck_assert_int_eq(count_files(), n_files);
    run_sql(""); /* an empty file */
    ck_assert_int_eq(store_probe(path), GW_OK);
    struct store *s = open_store(path);
    n_files = count_files();
    ck_assert_int_eq(store_probe(path), GW_OK);
    store_close(s);
    ck_assert_int_eq(store_probe(path), GW_OK);
    ck_assert_int_le(count_files(), n_files);
    s = open_store(path);
    store_close(s);
    remove_dir();
}
END_TEST

START_TEST(row_of_odd_lengths_or_types_is_a_failure_not_an_answer)
{
    static const char *const SQL[] = {
        "UPDATE session SET sid_mac = x'00'",
        "UPDATE session SET sub_mac = zeroblob(33)",
        "UPDATE session SET secret = zeroblob(262145)",
    };
    char sql[256];
    struct store_row row;
    make_dir();
    struct store *s = open_store(path);
    ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
    store_close(s);
    snprintf(sql, sizeof(sql), "PRAGMA ignore_check_constraints = ON; %s", SQL[_i]);
    run_sql(sql);
    s = open_store(path);
    ck_assert_int_eq(get(s, 7, &row), GW_E_IO);
    store_close(s);
    remove_dir();
}
END_TEST

START_TEST(missing_directory_is_an_io_error)
{
    struct store *s = NULL;
    ck_assert_int_eq(store_open("/tmp/test_store.there-is-none/x/sessions.db", &s), GW_E_IO);
    ck_assert_ptr_null(s);
}
END_TEST

/* In a process of its own (Check forks), since rights are given up for good. */
START_TEST(directory_or_file_that_may_not_be_written_is_an_io_error)
{
    struct store *s = NULL;
    make_dir();
    if (_i > 0)
        store_close(open_store(path));
    if (_i == 2) { /* the file may be written, but no WAL beside it */
        ck_assert_int_eq(chown(path, geteuid() == 0 ? 65534 : geteuid(), getegid()), 0);
    }
    ck_assert_int_eq(chmod(dir, 0555), 0);
    if (geteuid() == 0)
        ck_assert_int_eq(seteuid(65534), 0);
    else if (_i == 1)
        ck_assert_int_eq(chmod(path, 0400), 0);
    ck_assert_int_eq(store_open(path, &s), GW_E_IO);
    ck_assert_ptr_null(s);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    remove_dir();
}
END_TEST

/* These stand before the C library's, so that what SQLite syncs can be counted. */
static int n_syncs;

int fdatasync(int fd)
{
    n_syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    n_syncs++;
    return (int)syscall(SYS_fsync, fd);
}

/* What an answered call must keep through a loss of power: that a session ended and that an attempt was used. */
START_TEST(logouts_and_used_attempts_wait_for_the_disk_and_logins_do_not)
{
    uint8_t id[DIGEST_BYTES], other[DIGEST_BYTES] = {9};
    make_dir();
    set_id(id, 7);
    struct store *s = open_store(path);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
        n_syncs = 0;
        ck_assert_int_eq(put(s, 8 + (unsigned)round, 1, 2), GW_OK);
        ck_assert_int_eq(store_session_touch(s, id, 5), GW_OK);
        ck_assert_int_eq(n_syncs, 0);
        ck_assert_int_eq(store_session_end(s, id, 1000000, 0), GW_OK);
        ck_assert_int_ge(n_syncs, 1);
        n_syncs = 0;
        other[0]++;
        ck_assert_int_eq(store_use_once(s, other, 600), GW_OK);
        ck_assert_int_ge(n_syncs, 1);
    }
    store_close(s);
    remove_dir();
}
END_TEST

START_TEST(full_disk_is_an_io_error_and_passes)
{
    struct rlimit full = {.rlim_cur = 0, .rlim_max = RLIM_INFINITY}, before;
    uint8_t id[DIGEST_BYTES] = {9};
    make_dir();
    struct store *s = open_store(path);
    ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    full.rlim_max = before.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &full), 0);
    enum gw_err put_err = put(s, 8, 1, 2), use_err = store_use_once(s, id, 600);
    bool is_read = has(s, 7);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(put_err, GW_E_IO);
    ck_assert_int_eq(use_err, GW_E_IO);
    ck_assert(is_read);
    ck_assert(!has(s, 8));
    ck_assert_int_eq(put(s, 8, 1, 2), GW_OK);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_OK);
    store_close(s);
    remove_dir();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store");
    TCase *t = tcase_create("store");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, gives_back_the_row_that_was_put);
    tcase_add_test(t, unknown_row_is_not_found_and_deleting_it_is_fine);
    tcase_add_test(t, deleted_row_is_gone);
    tcase_add_test(t, same_id_twice_is_refused_and_the_first_stays);
    tcase_add_test(t, touch_moves_forward_only);
    tcase_add_test(t, rows_over_the_cap_are_refused);
    tcase_add_test(t, attempt_is_used_once_until_swept);
    tcase_add_test(t, sweep_takes_what_ended_and_leaves_the_rest);
    tcase_add_test(t, sweep_is_bounded);
    tcase_add_test(t, T6_of_many_who_use_an_attempt_at_once_one_wins);
    tcase_add_test(t, rows_outlive_a_restart);
    tcase_add_loop_test(t, G10_files_are_for_their_owner_alone, 0, 2);
    tcase_add_loop_test(t, refuses_what_it_does_not_know_and_leaves_it_alone, 0, 3);
    tcase_add_test(t, probing_makes_nothing_and_is_in_nobodys_way);
    tcase_add_loop_test(t, row_of_odd_lengths_or_types_is_a_failure_not_an_answer, 0, 3);
    tcase_add_test(t, missing_directory_is_an_io_error);
    tcase_add_loop_test(t, directory_or_file_that_may_not_be_written_is_an_io_error, 0, 3);
    tcase_add_test(t, logouts_and_used_attempts_wait_for_the_disk_and_logins_do_not);
    tcase_add_test(t, full_disk_is_an_io_error_and_passes);
    suite_add_tcase(suite, t);
    return support_run(suite);
}

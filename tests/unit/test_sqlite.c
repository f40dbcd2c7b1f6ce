/* What only SQLite does: a file, its migration, its rights, what waits for the disk. The rest: test_store. */
#include "storekit.h"

#include <dirent.h>
#include <errno.h>
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
    snprintf(dir, sizeof(dir), "/tmp/test_sqlite.XXXXXX");
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

static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* ---- schema ---- */

/* As the first release made it, with two sessions. */
static const char VERSION_1[] =
    "CREATE TABLE session ("
    " id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),"
    " sid_mac BLOB NOT NULL CHECK (length(sid_mac) = 32),"
    " sub_mac BLOB NOT NULL CHECK (length(sub_mac) = 32),"
    " version INTEGER NOT NULL,"
    " created_s INTEGER NOT NULL, seen_s INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
    " label BLOB NOT NULL, secret BLOB NOT NULL) STRICT;"
    "CREATE INDEX session_expires ON session (expires_s);"
    "CREATE INDEX session_seen ON session (seen_s);"
    "CREATE TABLE attempt (id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32), expires_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX attempt_expires ON attempt (expires_s);"
    "PRAGMA user_version = 1;"
    "INSERT INTO session VALUES (x'0700000000000000000000000000000000000000000000000000000000000001',"
    " x'0101010101010101010101010101010101010101010101010101010101010101',"
    " x'0202020202020202020202020202020202020202020202020202020202020202', 3, 1000, 1100, 5000, x'aa', x'bb');"
    "INSERT INTO attempt VALUES (x'0900000000000000000000000000000000000000000000000000000000000000', 600);";

START_TEST(file_of_the_first_version_opens_and_keeps_working)
{
    struct store_row row;
    uint8_t used[DIGEST_BYTES] = {9};
    make_dir();
    run_sql(VERSION_1);
    for (int i = 0; i < 2; i++) { /* migrated, then as it is */
        struct store *s = open_store(path);
        ck_assert_int_eq(get(s, 7, &row), GW_OK);
        ck_assert_int_eq(row.version, 3 + i);
        ck_assert_int_eq(row.created_s, 1000);
        ck_assert_int_eq(row.seen_s, 1100);
        ck_assert_int_eq(row.begun_ms, 1000000);
        ck_assert_int_eq(row.issued_s, 1000);
        ck_assert_int_eq(row.need, 0);
        ck_assert_uint_eq(row.sub_mac[0], 2);
        store_row_deinit(&row);
        ck_assert_int_eq(store_use_once(s, used, 600), GW_E_EXPIRED);
        ck_assert_int_eq(lease(s, 7, 3 + i, 1000, 1060, true), STORE_LEASE_TAKEN);
        ck_assert_int_eq(replace(s, 7, 3 + i, "newer"), GW_OK);
        store_close(s);
    }
    struct store *s = open_store(path);
    ck_assert_uint_eq(revoke_by(s, true, 2, 1000, 2000000), 1);
    ck_assert(!has(s, 7));
    store_close(s);
    remove_dir();
}
END_TEST

START_TEST(second_gateway_on_one_file_is_refused_until_the_first_is_gone)
{
    struct store *second = NULL;
    make_dir();
    struct store *first = open_store(path);
    ck_assert_int_eq(store_open(path, &second), GW_E_IO);
    ck_assert_ptr_null(second);
    ck_assert_int_eq(put(first, 7, 1, 2), GW_OK);
    store_close(first);
    second = open_store(path);
    ck_assert(has(second, 7));
    store_close(second);
    remove_dir();
}
END_TEST

START_TEST(second_gateway_is_refused_by_another_name_of_the_file_too)
{
    struct store *second = NULL;
    char link[sizeof(path) + 8];
    make_dir();
    snprintf(link, sizeof(link), "%s.link", path);
    ck_assert_int_eq(symlink(path, link), 0);
    struct store *first = open_store(path);
    ck_assert_int_eq(store_open(link, &second), GW_E_IO);
    ck_assert_ptr_null(second);
    store_close(first);
    second = open_store(link);
    ck_assert_int_eq(store_open(path, &first), GW_E_IO);
    store_close(second);
    ck_assert_int_eq(unlink(link), 0);
    remove_dir();
}
END_TEST

/* A tombstone that outlived the row's return, from a backup for example. */
START_TEST(replace_of_a_row_that_a_tombstone_speaks_against_ends_it)
{
    make_dir();
    struct store *s = open_store(path);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 1000000, 1001}), GW_OK);
    store_close(s);
    run_sql("INSERT INTO tomb SELECT sub_mac, 1000, 2000000, 9000 FROM session WHERE issued_s = 1000");
    s = open_store(path);
    ck_assert_int_eq(replace(s, 7, 1, "newer"), GW_E_EXPIRED);
    ck_assert(!has(s, 7));
    ck_assert_int_eq(replace(s, 7, 1, "newer"), GW_E_NOTFOUND);
    ck_assert_int_eq(replace(s, 8, 1, "newer"), GW_OK);
    store_close(s);
    remove_dir();
}
END_TEST

#define FILL_TOMBS                                                                                                 \
    "PRAGMA synchronous = OFF; WITH RECURSIVE i (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 1000000)" \
    " INSERT INTO tomb SELECT CAST(printf('%032d', n) AS BLOB), 0, 0, 9000 FROM i"

START_TEST(logout_without_a_place_for_its_tombstone_refuses_every_login_under_way)
{
    make_dir();
    store_close(open_store(path));
    run_sql(FILL_TOMBS);
    struct store *s = open_store(path);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(end_row(s, 7, 2000000, 9000), GW_OK);
    ck_assert(!has(s, 7));
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 1990000, 1990}), GW_E_EXPIRED);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 3, 4, 1990000, 1990}), GW_E_EXPIRED); /* the price */
    ck_assert_int_eq(give_birth(s, (struct birth){8, 0, 4, 2000001, 2000}), GW_OK);
    ck_assert_uint_eq(revoke_by(s, true, 4, 2000, 2000002), 1);
    ck_assert_int_eq(give_birth(s, (struct birth){9, 5, 6, 2000002, 2000}), GW_E_EXPIRED);
    ck_assert_int_eq(give_birth(s, (struct birth){9, 5, 6, 2000003, 2000}), GW_OK);
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
    ck_assert_int_eq(store_open("/tmp/test_sqlite.there-is-none/x/sessions.db", &s), GW_E_IO);
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
    Suite *suite = suite_create("sqlite");
    TCase *t = tcase_create("sqlite");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, file_of_the_first_version_opens_and_keeps_working);
    tcase_add_test(t, second_gateway_on_one_file_is_refused_until_the_first_is_gone);
    tcase_add_test(t, second_gateway_is_refused_by_another_name_of_the_file_too);
    tcase_add_test(t, replace_of_a_row_that_a_tombstone_speaks_against_ends_it);
    tcase_add_test(t, logout_without_a_place_for_its_tombstone_refuses_every_login_under_way);
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

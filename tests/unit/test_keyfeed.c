#include "identity/keyfeed.h"

#include "identity/signkey.h"
#include "util/epoch.h"
#include "util/log.h"

#include "support.h"

#include <stdio.h>
#include <unistd.h>

enum { CALLS_MAX = 8, HOUR_MS = 3600 * 1000 };

static char directory[32], path[64];
static struct loop *loop;
static struct jobs *jobs;
static struct keyfeed *feed;
static struct buf jwks;
static int n_calls;

static void make_feed(int64_t gap_ms)
{
    ck_assert_int_eq(keyfeed_new(&(struct keyfeed_spec){loop, NULL, jobs, NULL, path, gap_ms}, &feed), GW_OK);
}

static void set_up(void)
{
    snprintf(directory, sizeof(directory), "/tmp/test_keyfeed.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/jwks.json", directory);
    log_set_level(LOG_ERROR);
    n_calls = 0;
    jwks = BUF(65536);
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(jobs_new(1, 16, &jobs), GW_OK);
    make_feed(1);
}

static void tear_down(void)
{
    jobs_stop(jobs);
    loop_stop(loop);
    loop_run(loop);
    keyfeed_free(feed);
    jobs_free(jobs);
    loop_free(loop);
    buf_deinit(&jwks);
    unlink(path);
    rmdir(directory);
    epoch_fix_ms(-1);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void write_key(void)
{
    struct buf pem = BUF(65536);
    struct signkey_ring *ring;
    ck_assert_int_eq(signkey_generate(&pem), GW_OK);
    ck_assert_int_eq(signkey_ring_parse(buf_view(&pem), &ring), GW_OK);
    buf_clear(&jwks);
    signkey_put_jwks(ring, &jwks);
    write_text(jwks.p);
    signkey_ring_free(ring);
    buf_deinit(&pem);
}

static void on_read(void *arg)
{
    n_calls++;
    loop_stop(arg);
}

/* Until a reading that somebody waits for has ended. */
static void await_reading(void)
{
    ck_assert_int_eq(keyfeed_await(feed, on_read, loop), GW_OK);
    loop_run(loop);
}

START_TEST(nobody_is_believed_before_the_first_reading)
{
    write_key();
    ck_assert_ptr_null(keyfeed_keys(feed));
    await_reading();
    ck_assert_ptr_nonnull(keyfeed_keys(feed));
    ck_assert_uint_eq(keyset_count(keyfeed_keys(feed)), 1);
    ck_assert_int_eq(n_calls, 1);
}
END_TEST

START_TEST(what_cannot_be_read_changes_nothing)
{
    write_key();
    await_reading();
    struct keyset *before = keyfeed_keys(feed);
    write_text(_i == 0 ? "no JSON" : _i == 1 ? "" : "{\"keys\":7}");
    await_reading();
    ck_assert_ptr_eq(keyfeed_keys(feed), before);
    ck_assert_int_eq(unlink(path), 0);
    await_reading();
    ck_assert_ptr_eq(keyfeed_keys(feed), before);
}
END_TEST

START_TEST(one_reading_serves_all_who_wait)
{
    write_key();
    for (int i = 0; i < CALLS_MAX; i++)
        ck_assert_int_eq(keyfeed_await(feed, on_read, loop), GW_OK);
    loop_run(loop);
    ck_assert_int_eq(n_calls, CALLS_MAX);
}
END_TEST

static void do_nothing(void *arg)
{
    (void)arg;
}

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

/* The pool has one thread: what was handed to it before is done when this returns. */
static void let_jobs_pass(void)
{
    ck_assert_int_eq(jobs_submit(jobs, loop, do_nothing, stop_loop, loop), GW_OK);
    loop_run(loop);
}

START_TEST(a_second_reading_waits_its_time)
{
    keyfeed_free(feed);
    make_feed(_i == 0 ? HOUR_MS : 1);
    write_key();
    await_reading();
    ck_assert_int_eq(keyfeed_await(feed, on_read, loop), GW_OK);
    if (_i == 0) {
        for (int i = 0; i < CALLS_MAX; i++)
            let_jobs_pass();
        ck_assert_int_eq(n_calls, 1);
    } else {
        loop_run(loop);
        ck_assert_int_eq(n_calls, 2);
    }
}
END_TEST

START_TEST(keys_that_nobody_confirmed_for_an_hour_are_no_keys)
{
    const int64_t t = INT64_C(1700000000000);
    epoch_fix_ms(t);
    write_key();
    await_reading();
    epoch_fix_ms(t + KEYFEED_STALE_MS - 1);
    ck_assert_ptr_nonnull(keyfeed_keys(feed));
    epoch_fix_ms(t + KEYFEED_STALE_MS);
    ck_assert_ptr_null(keyfeed_keys(feed));
    epoch_fix_ms(t - 1); /* the clock was set back */
    ck_assert_ptr_null(keyfeed_keys(feed));
    await_reading();
    ck_assert_ptr_nonnull(keyfeed_keys(feed));
}
END_TEST

START_TEST(no_more_wait_than_may)
{
    for (int i = 0; i < KEYFEED_WAITERS_MAX; i++)
        ck_assert_int_eq(keyfeed_await(feed, on_read, loop), GW_OK);
    ck_assert_int_eq(keyfeed_await(feed, on_read, loop), GW_E_LIMIT);
    keyfeed_close(feed);
    ck_assert_int_eq(n_calls, KEYFEED_WAITERS_MAX);
    ck_assert_int_eq(keyfeed_await(feed, on_read, loop), GW_E_IO);
    ck_assert_int_eq(n_calls, KEYFEED_WAITERS_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keyfeed");
    TCase *t = tcase_create("keyfeed");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, nobody_is_believed_before_the_first_reading);
    tcase_add_loop_test(t, what_cannot_be_read_changes_nothing, 0, 3);
    tcase_add_test(t, one_reading_serves_all_who_wait);
    tcase_add_loop_test(t, a_second_reading_waits_its_time, 0, 2);
    tcase_add_test(t, keys_that_nobody_confirmed_for_an_hour_are_no_keys);
    tcase_add_test(t, no_more_wait_than_may);
    suite_add_tcase(s, t);
    return support_run(s);
}

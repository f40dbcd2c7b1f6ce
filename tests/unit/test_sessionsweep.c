#include "sessionkit.h"

START_TEST(use_is_written_behind_once_a_minute_at_most)
{
    static const struct {
        int64_t used_s;
        int n_touches;
        int64_t row_s;
    } STEPS[] = {
        {0, 0, 0}, {59, 0, 0}, {60, 1, 60}, {61, 1, 60}, {119, 1, 60}, {120, 2, 120}, {500, 3, 500},
    };
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
        at(STEPS[i].used_s);
        ck_assert_int_eq(find(x, &c), SESSION_FOUND);
        ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
        ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
        ck_assert_int_eq(x->fake.n_touches, STEPS[i].n_touches);
        ck_assert_int_eq(row_seen_s(x, &c), STEPS[i].row_s);
    }
    set_free(x);
}
END_TEST

START_TEST(long_idle_limit_is_noted_in_sixtieths)
{
    struct set *x = set_new();
    x->idle_s = 7200;
    set_restart(x);
    struct cookie c = create(x, CLAIMS);
    at(119);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert_int_eq(x->fake.n_touches, 0);
    at(120);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert_int_eq(x->fake.n_touches, 1);
    set_free(x);
}
END_TEST

START_TEST(use_that_could_not_be_written_is_written_later_and_sweeps_nobody)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    fake_set(&x->fake, &x->fake.fail_touch, true);
    for (int64_t s = 0; s < 3 * IDLE_S; s += IDLE_S / 2) {
        at(s);
        ck_assert_int_eq(find(x, &c), SESSION_FOUND);
        ck_assert_int_eq(session_sweep_now(x->ss), s == 0 ? GW_OK : GW_E_IO);
    }
    fake_set(&x->fake, &x->fake.fail_touch, false);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert(has_row(x, &c));
    ck_assert_int_eq(row_seen_s(x, &c), 3 * IDLE_S - IDLE_S / 2);
    set_free(x);
}
END_TEST

START_TEST(loading_writes_use_too)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    set_restart(x);
    at(59);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(row_seen_s(x, &c), 0);
    set_restart(x);
    at(60);
    fake_set(&x->fake, &x->fake.fail_touch, true);
    ck_assert_int_eq(load(x, &c), GW_OK); /* a store that reads but doesn't write lets people go on */
    set_restart(x);
    fake_set(&x->fake, &x->fake.fail_touch, false);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(row_seen_s(x, &c), 60);
    set_free(x);
}
END_TEST

START_TEST(sweep_forgets_the_ended_and_keeps_the_used)
{
    struct set *x = set_new();
    struct cookie idle = create(x, CLAIMS), used = create(x, CLAIMS);
    at(IDLE_S - 1);
    ck_assert_int_eq(find(x, &used), SESSION_FOUND);
    at(IDLE_S);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert_int_eq(meter_value(METER_SESSIONS_CACHED), 1);
    ck_assert_int_eq(find(x, &used), SESSION_FOUND);
    at(IDLE_S * 2 - 1);
    ck_assert_int_eq(find(x, &used), SESSION_FOUND);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert(!has_row(x, &idle));
    ck_assert(has_row(x, &used));
    set_free(x);
}
END_TEST

START_TEST(row_that_lags_behind_its_session_is_not_swept)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    at(59); /* a second too early to be noted */
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    at(IDLE_S + 58);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert_int_eq(row_seen_s(x, &c), 0);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    set_free(x);
}
END_TEST

START_TEST(row_that_somebody_else_deleted_ends_its_session_at_the_next_note)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct store_row row;
    get_row(x, &c, &row);
    x->fake.is_deaf = true;
    ck_assert_int_eq(store_session_end(x->fake.inner, row.id, NOW_S * 1000, 0), GW_OK);
    store_row_deinit(&row);
    at(60);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

START_TEST(sweep_timer_starts_and_is_taken_down)
{
    struct set *x = set_new();
    ck_assert_int_eq(session_sweep_start(x->ss, x->loop), GW_OK);
    loop_stop(x->loop);
    loop_run(x->loop);
    set_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sessionsweep");
    TCase *t = tcase_create("sessionsweep");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, use_is_written_behind_once_a_minute_at_most);
    tcase_add_test(t, long_idle_limit_is_noted_in_sixtieths);
    tcase_add_test(t, use_that_could_not_be_written_is_written_later_and_sweeps_nobody);
    tcase_add_test(t, loading_writes_use_too);
    tcase_add_test(t, sweep_forgets_the_ended_and_keeps_the_used);
    tcase_add_test(t, row_that_lags_behind_its_session_is_not_swept);
    tcase_add_test(t, row_that_somebody_else_deleted_ends_its_session_at_the_next_note);
    tcase_add_test(t, sweep_timer_starts_and_is_taken_down);
    suite_add_tcase(s, t);
    return support_run(s);
}

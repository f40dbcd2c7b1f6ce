#include "sessionkit.h"

#include "store/shard.h"

enum { GRACE_S = 900 };

static struct set *watched_set(void)
{
    struct set *x = set_new();
    x->grace_s = GRACE_S;
    set_restart(x);
    return x;
}

/* What another gateway on the same store does to the row. */
static void end_elsewhere(struct set *x, const struct cookie *c)
{
    uint8_t id[DIGEST_BYTES];
    ck_assert_int_eq(sessionrow_id(view(c), id), GW_OK);
    ck_assert_int_eq(store_session_end(x->fake.inner, id, NOW_S * 1000, 0), GW_OK);
}

static void need_elsewhere(struct set *x, const struct cookie *c, int64_t need)
{
    uint8_t id[DIGEST_BYTES];
    ck_assert_int_eq(sessionrow_id(view(c), id), GW_OK);
    ck_assert_int_eq(store_session_need(x->fake.inner, id, need), GW_OK);
}

static int64_t need_of(struct set *x, const struct cookie *c)
{
    struct session *s = NULL;
    ck_assert_int_eq(session_find(x->ss, view(c), epoch_now_s(), &s), SESSION_FOUND);
    int64_t need = session_get_need(s);
    session_unref(s);
    return need;
}

/* ---- what others do ---- */

START_TEST(session_that_ends_elsewhere_is_gone_at_once)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS), other = create(x, CLAIMS);
    end_elsewhere(x, &c);
    ck_assert_int_eq(find(x, &c), SESSION_NONE);
    ck_assert_int_eq(find(x, &other), SESSION_FOUND);
    set_free(x);
}
END_TEST

START_TEST(session_that_changes_elsewhere_is_read_again)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS), other = create(x, CLAIMS);
    need_elsewhere(x, &c, 7);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(find(x, &other), SESSION_FOUND);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(need_of(x, &c), 7);
    ck_assert_int_eq(x->fake.n_gets, 1);
    set_free(x);
}
END_TEST

START_TEST(change_while_a_load_is_under_way_is_not_lost)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS);
    struct answer first = {.loop = x->loop}, second = {.loop = x->loop};
    set_restart(x);
    fake_set(&x->fake, &x->fake.hold_get, true);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &first), GW_OK);
    fake_wait_held(&x->fake, 1);
    if (_i == 0)
        need_elsewhere(x, &c, 7);
    else
        sessionwatch_on_change(x->ss, STORE_UNKNOWN, NULL);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &second), GW_OK); /* does not join the first */
    fake_set(&x->fake, &x->fake.hold_get, false);
    answer_wait(&first);
    answer_wait(&second);
    ck_assert_int_eq(x->fake.n_gets, 2);
    session_unref(first.session);
    session_unref(second.session);
    set_free(x);
}
END_TEST

START_TEST(when_changes_were_missed_everything_is_read_again_once)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS), ended = create(x, CLAIMS);
    x->fake.is_deaf = true;
    end_elsewhere(x, &ended);
    ck_assert_int_eq(find(x, &ended), SESSION_FOUND);
    sessionwatch_on_change(x->ss, STORE_UNKNOWN, NULL);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(find(x, &ended), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(load(x, &ended), GW_E_NOTFOUND);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    ck_assert_int_eq(find(x, &ended), SESSION_NONE);
    set_free(x);
}
END_TEST

START_TEST(while_nothing_is_told_a_session_is_read_again_after_a_second)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS);
    x->fake.is_unwatched = x->fake.is_deaf = true;
    at(STORE_UNWATCHED_S);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    at(STORE_UNWATCHED_S + 1);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    end_elsewhere(x, &c);
    at(2 * STORE_UNWATCHED_S + 2);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    ck_assert_int_eq(find(x, &c), SESSION_NONE);
    set_free(x);
}
END_TEST

START_TEST(store_that_is_silent_then_ends_nobody_within_the_grace)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS);
    x->fake.is_unwatched = true;
    fake_set(&x->fake, &x->fake.fail_get, true);
    at(GRACE_S - 2);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND); /* not asked again in the same second */
    ck_assert_int_eq(x->fake.n_gets, 1);
    at(GRACE_S - 1);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_OK);
    at(GRACE_S);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_E_IO);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    set_free(x);
}
END_TEST

START_TEST(reading_again_keeps_the_last_use)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS);
    at(IDLE_S - 1);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND); /* a use that the row does not know of */
    sessionwatch_on_change(x->ss, STORE_UNKNOWN, NULL);
    at(IDLE_S);
    ck_assert_int_eq(load(x, &c), GW_OK);
    set_free(x);
}
END_TEST

/* ---- watches ---- */

enum { ENDED_BY_COOKIE, ENDED_ELSEWHERE, ENDED_BY_NOTE, ENDED_BY_LOAD, WAYS };

START_TEST(watch_is_told_of_the_end_however_it_comes)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS), other = create(x, CLAIMS);
    struct session_watch w[3] = {{.ss = NULL}};
    ck_assert_int_eq(session_watch_start(x->ss, view(&c), &w[0]), GW_OK);
    ck_assert_int_eq(session_watch_start(x->ss, view(&c), &w[1]), GW_OK);
    ck_assert_int_eq(session_watch_start(x->ss, view(&other), &w[2]), GW_OK);
    switch (_i) {
    case ENDED_BY_COOKIE:
        ck_assert_int_eq(end(x, &c), GW_OK);
        break;
    case ENDED_ELSEWHERE:
        end_elsewhere(x, &c);
        break;
    case ENDED_BY_NOTE:
        x->fake.is_deaf = true;
        end_elsewhere(x, &c);
        at(60);
        ck_assert_int_eq(find(x, &c), SESSION_FOUND);
        ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
        break;
    case ENDED_BY_LOAD:
        x->fake.is_deaf = true;
        end_elsewhere(x, &c);
        sessionwatch_on_change(x->ss, STORE_UNKNOWN, NULL);
        ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
        break;
    }
    ck_assert(session_watch_has_ended(&w[0]) && session_watch_has_ended(&w[1]));
    ck_assert(!session_watch_has_ended(&w[2]));
    for (int i = 0; i < 3; i++)
        session_watch_stop(&w[i]);
    set_free(x);
}
END_TEST

START_TEST(watch_outlives_its_sessions_place_in_memory)
{
    struct set *x = watched_set();
    x->cache_bytes = 64;
    set_restart(x);
    struct cookie c = create(x, CLAIMS);
    struct session_watch w = {.ss = NULL};
    ck_assert_int_eq(session_watch_start(x->ss, view(&c), &w), GW_OK);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(end(x, &c), GW_OK);
    ck_assert(session_watch_has_ended(&w));
    session_watch_stop(&w);
    set_free(x);
}
END_TEST

START_TEST(watch_needs_a_cookie_of_ours_and_may_be_stopped_twice)
{
    struct set *x = watched_set();
    struct session_watch w = {.ss = NULL};
    session_watch_stop(&w);
    ck_assert_int_eq(session_watch_start(x->ss, VIEW("short"), &w), GW_E_NOTFOUND);
    session_watch_stop(&w);
    struct cookie c = create(x, CLAIMS);
    ck_assert_int_eq(session_watch_start(x->ss, view(&c), &w), GW_OK);
    session_watch_stop(&w);
    session_watch_stop(&w);
    ck_assert_int_eq(end(x, &c), GW_OK);
    ck_assert(!session_watch_has_ended(&w));
    set_free(x);
}
END_TEST

START_TEST(sessions_may_go_before_their_watches)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS);
    struct session_watch w = {.ss = NULL};
    ck_assert_int_eq(session_watch_start(x->ss, view(&c), &w), GW_OK);
    set_free(x);
    session_watch_stop(&w);
}
END_TEST

START_TEST(while_nothing_is_told_watches_are_looked_after)
{
    enum { N = 100 };
    struct set *x = watched_set();
    struct session_watch w[N] = {{.ss = NULL}}, twice = {.ss = NULL};
    struct cookie c[N];
    for (int i = 0; i < N; i++) {
        c[i] = create(x, CLAIMS);
        ck_assert_int_eq(session_watch_start(x->ss, view(&c[i]), &w[i]), GW_OK);
    }
    ck_assert_int_eq(session_watch_start(x->ss, view(&c[0]), &twice), GW_OK);
    x->fake.is_deaf = x->fake.is_unwatched = true;
    end_elsewhere(x, &c[0]);
    end_elsewhere(x, &c[N / 2]);
    ck_assert_int_eq(sessionwatch_look(x->ss), GW_OK);
    ck_assert_int_eq(x->fake.n_gets, N); /* once per session */
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(session_watch_has_ended(&w[i]), i == 0 || i == N / 2);
    ck_assert(session_watch_has_ended(&twice));
    session_watch_stop(&twice);
    for (int i = 0; i < N; i++)
        session_watch_stop(&w[i]);
    set_free(x);
}
END_TEST

START_TEST(store_that_is_silent_then_leaves_watches_alone_within_the_grace)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS);
    struct session_watch w = {.ss = NULL};
    ck_assert_int_eq(session_watch_start(x->ss, view(&c), &w), GW_OK);
    at(5);
    ck_assert_int_eq(sessionwatch_look(x->ss), GW_OK); /* known to live until here */
    fake_set(&x->fake, &x->fake.fail_get, true);
    at(5 + GRACE_S - 1);
    ck_assert_int_eq(sessionwatch_look(x->ss), GW_E_IO);
    ck_assert(!session_watch_has_ended(&w));
    at(5 + GRACE_S);
    ck_assert_int_eq(sessionwatch_look(x->ss), GW_E_IO);
    ck_assert(session_watch_has_ended(&w));
    session_watch_stop(&w);
    set_free(x);
}
END_TEST

/* ---- needs ---- */

START_TEST(need_survives_packing)
{
    static const struct session_need NEEDS[] = {
        {-1, false, false}, {-1, true, false},   {0, false, false},
        {0, true, true},    {3600, false, true}, {((int64_t)1 << 40) - 1, true, true},
    };
    for (size_t i = 0; i < sizeof(NEEDS) / sizeof(NEEDS[0]); i++) {
        int64_t packed = session_need_pack(NEEDS[i]);
        struct session_need got = session_need_unpack(packed);
        ck_assert_int_gt(packed, 0);
        ck_assert_int_eq(got.max_auth_age_s, NEEDS[i].max_auth_age_s);
        ck_assert_int_eq(got.mfa, NEEDS[i].mfa);
        ck_assert_int_eq(got.is_asked, NEEDS[i].is_asked);
    }
    ck_assert_int_eq(session_need_unpack(session_need_pack((struct session_need){INT64_MAX, false, false})).max_auth_age_s,
                     ((int64_t)1 << 40) - 1);
}
END_TEST

static void on_needed(void *arg, enum gw_err err)
{
    struct answer *a = arg;
    a->is_there = true;
    a->err = err;
    loop_stop(a->loop);
}

static enum gw_err set_need(struct set *x, const struct cookie *c, int64_t need)
{
    struct answer a = {.loop = x->loop};
    enum gw_err err = session_need(x->ss, x->loop, view(c), need, on_needed, &a);
    if (err != GW_OK)
        return err;
    answer_wait(&a);
    return a.err;
}

START_TEST(need_is_remembered_and_forgotten)
{
    struct set *x = watched_set();
    struct cookie c = create(x, CLAIMS), gone = some_cookie('A');
    ck_assert_int_eq(need_of(x, &c), 0);
    ck_assert_int_eq(set_need(x, &c, 9), GW_OK);
    if (find(x, &c) == SESSION_LOADING)
        ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(need_of(x, &c), 9);
    set_restart(x);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(need_of(x, &c), 9);
    ck_assert_int_eq(set_need(x, &c, 0), GW_OK);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(need_of(x, &c), 0);
    ck_assert_int_eq(set_need(x, &gone, 9), GW_E_NOTFOUND);
    ck_assert_int_eq(session_need(x->ss, x->loop, VIEW("short"), 9, on_needed, NULL), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sessionwatch");
    TCase *t = tcase_create("sessionwatch");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, session_that_ends_elsewhere_is_gone_at_once);
    tcase_add_test(t, session_that_changes_elsewhere_is_read_again);
    tcase_add_loop_test(t, change_while_a_load_is_under_way_is_not_lost, 0, 2);
    tcase_add_test(t, when_changes_were_missed_everything_is_read_again_once);
    tcase_add_test(t, while_nothing_is_told_a_session_is_read_again_after_a_second);
    tcase_add_test(t, store_that_is_silent_then_ends_nobody_within_the_grace);
    tcase_add_test(t, reading_again_keeps_the_last_use);
    tcase_add_loop_test(t, watch_is_told_of_the_end_however_it_comes, 0, WAYS);
    tcase_add_test(t, watch_outlives_its_sessions_place_in_memory);
    tcase_add_test(t, watch_needs_a_cookie_of_ours_and_may_be_stopped_twice);
    tcase_add_test(t, sessions_may_go_before_their_watches);
    tcase_add_test(t, while_nothing_is_told_watches_are_looked_after);
    tcase_add_test(t, store_that_is_silent_then_leaves_watches_alone_within_the_grace);
    tcase_add_test(t, need_survives_packing);
    tcase_add_test(t, need_is_remembered_and_forgotten);
    suite_add_tcase(s, t);
    return support_run(s);
}

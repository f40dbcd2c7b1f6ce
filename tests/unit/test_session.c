#include "sessionkit.h"

/* ---- finding and loading ---- */

START_TEST(new_session_is_in_memory_at_once)
{
    struct set *x = set_new();
    struct session *s = NULL;
    struct cookie c = create(x, CLAIMS);
    ck_assert_int_eq(session_find(x->ss, view(&c), NOW_S, &s), SESSION_FOUND);
    ck_assert(view_eq(((struct who *)session_who(s))->text, VIEW(CLAIMS)));
    ck_assert_int_eq(session_created_s(s), NOW_S);
    ck_assert_int_eq(session_expires_s(s), NOW_S + ABSOLUTE_S);
    ck_assert_int_eq(x->fake.n_gets, 0);
    session_unref(s);
    set_free(x);
}
END_TEST

START_TEST(F7_cookies_never_repeat)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS), d = create(x, CLAIMS);
    ck_assert_str_ne(c.text, d.text);
    set_free(x);
}
END_TEST

START_TEST(session_outlives_a_restart_byte_for_byte)
{
    static const char claims[] = "{\"a\":1e2, \"b\":\"\\u00e4\\\"\\\\\", \"b\":[1.50,null]}";
    struct set *x = set_new();
    struct cookie c = create(x, claims);
    struct answer a = {.loop = x->loop};
    set_restart(x);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &a), GW_OK);
    answer_wait(&a);
    ck_assert_int_eq(a.err, GW_OK);
    ck_assert(view_eq(((struct who *)session_who(a.session))->text, VIEW_ARRAY(claims)));
    ck_assert_int_eq(session_created_s(a.session), NOW_S);
    ck_assert_int_eq(session_expires_s(a.session), NOW_S + ABSOLUTE_S);
    session_unref(a.session);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    set_free(x);
}
END_TEST

START_TEST(unknown_cookie_is_looked_up_once_in_ten_seconds)
{
    struct set *x = set_new();
    struct cookie c = some_cookie('A');
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    at(9);
    ck_assert_int_eq(find(x, &c), SESSION_NONE);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    ck_assert_int_eq(x->fake.n_gets, 1);
    at(10);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    ck_assert_int_eq(x->fake.n_gets, 2);
    set_free(x);
}
END_TEST

START_TEST(F9_cookie_of_another_shape_asks_nobody)
{
    static char text[SESSION_COOKIE_LEN + 1];
    struct set *x = set_new();
    struct session *s = NULL;
    struct answer a = {.loop = x->loop};
    memset(text, 'A', sizeof(text));
    static const size_t LENGTHS[] = {0, 1, SESSION_COOKIE_LEN - 1, SESSION_COOKIE_LEN + 1};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(session_find(x->ss, view_at(text, LENGTHS[i]), NOW_S, &s), SESSION_NONE);
        ck_assert_int_eq(session_load(x->ss, x->loop, view_at(text, LENGTHS[i]), on_loaded, &a), GW_E_NOTFOUND);
        ck_assert_int_eq(session_end(x->ss, x->loop, view_at(text, LENGTHS[i]), on_ended, &a), GW_E_NOTFOUND);
    }
    ck_assert_int_eq(x->fake.n_gets, 0);
    set_free(x);
}
END_TEST

START_TEST(loads_of_one_cookie_on_one_loop_read_once)
{
    enum { N = 5 };
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct answer a[N];
    set_restart(x);
    fake_set(&x->fake, &x->fake.hold_get, true);
    for (int i = 0; i < N; i++) {
        a[i] = (struct answer){.loop = x->loop};
        ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &a[i]), GW_OK);
    }
    fake_set(&x->fake, &x->fake.hold_get, false);
    for (int i = 0; i < N; i++) {
        answer_wait(&a[i]);
        ck_assert_ptr_eq(a[i].session, a[0].session);
        session_unref(a[i].session);
    }
    ck_assert_int_eq(x->fake.n_gets, 1);
    set_free(x);
}
END_TEST

START_TEST(waiters_for_one_load_are_bounded)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct answer *a = calloc(SESSION_WAITERS_MAX + 1, sizeof(*a));
    ck_assert_ptr_nonnull(a);
    set_restart(x);
    fake_set(&x->fake, &x->fake.hold_get, true);
    for (int i = 0; i <= SESSION_WAITERS_MAX; i++) {
        a[i].loop = x->loop;
        ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &a[i]), i < SESSION_WAITERS_MAX ? GW_OK : GW_E_LIMIT);
    }
    fake_set(&x->fake, &x->fake.hold_get, false);
    for (int i = 0; i < SESSION_WAITERS_MAX; i++) {
        answer_wait(&a[i]);
        session_unref(a[i].session);
    }
    ck_assert(!a[SESSION_WAITERS_MAX].is_there);
    free(a);
    set_free(x);
}
END_TEST

START_TEST(full_pool_is_said_at_once)
{
    struct set *x = set_new_at(":memory:", 1, 1);
    struct cookie c = create(x, CLAIMS), d = some_cookie('D'), e = some_cookie('E');
    struct answer a = {.loop = x->loop}, b = {.loop = x->loop}, none = {.loop = x->loop};
    struct session_new_spec spec = spec_of(CLAIMS);
    fake_set(&x->fake, &x->fake.hold_get, true);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&d), on_loaded, &a), GW_OK);
    fake_wait_held(&x->fake, 1);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&e), on_loaded, &b), GW_OK);
    struct cookie f = some_cookie('F');
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&f), on_loaded, &none), GW_E_LIMIT);
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &none), GW_E_LIMIT);
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &none), GW_E_LIMIT);
    ck_assert_int_eq(find(x, &c), SESSION_NONE); /* dead all the same */
    fake_set(&x->fake, &x->fake.hold_get, false);
    answer_wait(&a);
    answer_wait(&b);
    ck_assert(!none.is_there);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert(!has_row(x, &c));
    set_free(x);
}
END_TEST

START_TEST(failing_store_keeps_who_is_known_and_lets_nobody_else_in)
{
    struct set *x = set_new();
    struct cookie known = create(x, CLAIMS), c = some_cookie('A');
    fake_set(&x->fake, &x->fake.fail_get, true);
    ck_assert_int_eq(find(x, &known), SESSION_FOUND);
    ck_assert_int_eq(load(x, &c), GW_E_IO);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING); /* a failure is no answer to remember */
    ck_assert_int_eq(load(x, &c), GW_E_IO);
    set_free(x);
}
END_TEST

/* ---- limits ---- */

START_TEST(C6_F8_idle_session_ends_in_the_second)
{
    static const struct {
        int64_t at_s;
        bool is_restarted, lives;
    } CASES[] = {
        {IDLE_S - 1, false, true},
        {IDLE_S, false, false},
        {IDLE_S - 1, true, true},
        {IDLE_S, true, false},
    };
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    if (CASES[_i].is_restarted)
        set_restart(x);
    at(CASES[_i].at_s);
    ck_assert_int_eq(find(x, &c), CASES[_i].lives && !CASES[_i].is_restarted ? SESSION_FOUND : SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), CASES[_i].lives ? GW_OK : GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

START_TEST(F8_use_moves_the_idle_limit_but_not_the_absolute_one)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    for (int64_t s = 0; s < ABSOLUTE_S; s += IDLE_S - 1) {
        at(s);
        ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    }
    at(ABSOLUTE_S - 1);
    ck_assert_int_eq(find(x, &c), SESSION_FOUND);
    at(ABSOLUTE_S);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

START_TEST(F8_shortened_limit_holds_for_old_sessions)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    x->absolute_s = 1000;
    set_restart(x);
    at(999);
    ck_assert_int_eq(load(x, &c), GW_OK);
    at(1000);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

START_TEST(F8_row_prolonged_in_the_database_does_not_open)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct store_row row;
    get_row(x, &c, &row);
    ck_assert_int_eq(store_session_end(x->fake.inner, row.id, NOW_S * 1000, 0), GW_OK);
    if (_i == 0)
        row.expires_s += 1000;
    else
        row.created_s += 1000;
    ck_assert_int_eq(store_session_put(x->fake.inner, &row), GW_OK);
    store_row_deinit(&row);
    set_restart(x);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

/* ---- creating ---- */

START_TEST(session_that_could_not_be_written_does_not_exist)
{
    struct set *x = set_new();
    struct answer a = {.loop = x->loop};
    struct session_new_spec spec = spec_of(CLAIMS);
    fake_set(&x->fake, &x->fake.fail_put, true);
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &a), GW_OK);
    answer_wait(&a);
    ck_assert_int_eq(a.err, GW_E_IO);
    ck_assert_int_eq(meter_value(METER_SESSIONS_CACHED), 0);
    set_free(x);
}
END_TEST

START_TEST(refuses_what_cannot_be_a_session)
{
    static char huge[SESSION_SECRET_MAX];
    struct set *x = set_new();
    struct answer a = {.loop = x->loop};
    struct session_new_spec spec = spec_of("no claims");
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &a), GW_E_INVALID);
    spec = spec_of(CLAIMS);
    spec.sub = VIEW_NONE;
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &a), GW_E_INVALID);
    spec = spec_of(CLAIMS);
    memset(huge, 'x', sizeof(huge));
    spec.access_token = view_at(huge, sizeof(huge));
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &a), GW_E_LIMIT);
    spec = spec_of(CLAIMS);
    spec.username = view_at(huge, SESSION_LABEL_MAX);
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &a), GW_E_LIMIT);
    ck_assert(!a.is_there);
    set_free(x);
}
END_TEST

START_TEST(cache_stays_within_its_bytes_and_the_rest_is_loaded)
{
    enum { N = 1000, EACH = 1000, CACHE = 256 * 1024 };
    static char claims[EACH + 1];
    struct set *x = set_new();
    struct cookie *cookies = calloc(N, sizeof(*cookies));
    ck_assert_ptr_nonnull(cookies);
    x->cache_bytes = CACHE;
    set_restart(x);
    memset(claims, ' ', EACH);
    claims[0] = '{';
    for (int i = 0; i < N; i++)
        cookies[i] = create(x, claims);
    int64_t n_cached = meter_value(METER_SESSIONS_CACHED);
    ck_assert_int_le(n_cached * EACH, CACHE);
    ck_assert_int_ge(n_cached * EACH, CACHE / 3);
    ck_assert_int_eq(atomic_load(&n_whos), n_cached);
    ck_assert_int_eq(find(x, &cookies[N - 1]), SESSION_FOUND);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(load(x, &cookies[i]), GW_OK);
    ck_assert_int_le(meter_value(METER_SESSIONS_CACHED) * EACH, CACHE);
    free(cookies);
    set_free(x);
}
END_TEST

START_TEST(session_too_large_for_the_cache_is_served_all_the_same)
{
    struct set *x = set_new();
    x->cache_bytes = 64;
    set_restart(x);
    struct cookie c = create(x, CLAIMS);
    ck_assert_int_eq(find(x, &c), SESSION_LOADING);
    ck_assert_int_eq(load(x, &c), GW_OK);
    ck_assert_int_eq(end(x, &c), GW_OK);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

START_TEST(held_session_outlives_the_cache)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct session *s = NULL;
    ck_assert_int_eq(session_find(x->ss, view(&c), NOW_S, &s), SESSION_FOUND);
    set_restart(x);
    ck_assert(view_eq(((struct who *)session_who(s))->text, VIEW(CLAIMS)));
    session_unref(s);
    set_free(x);
}
END_TEST

/* ---- two loops on two threads ---- */

enum { RIVALS = 2, ROUNDS = 300, SHARED = 8 };

struct rival {
    struct set *x;
    struct loop *loop;
    pthread_t thread;
    struct cookie *shared; /* used and ended by both */
    int n_left;
    struct cookie mine;
    struct session *held;
    unsigned seed;
};

static void rival_next(struct rival *r);

static void rival_ended(void *arg, enum gw_err err, struct view id_token)
{
    struct rival *r = arg;
    struct session *s = NULL;
    (void)id_token;
    ck_assert_int_eq(err, GW_OK);
    ck_assert_int_eq(session_find(r->x->ss, view(&r->mine), NOW_S, &s), SESSION_NONE);
    ck_assert(view_eq(((struct who *)session_who(r->held))->text, VIEW(CLAIMS)));
    session_unref(r->held);
    r->held = NULL;
    rival_next(r);
}

static void rival_end_mine(struct rival *r)
{
    ck_assert_int_eq(session_end(r->x->ss, r->loop, view(&r->mine), rival_ended, r), GW_OK);
}

static void rival_shared_ended(void *arg, enum gw_err err, struct view id_token)
{
    (void)id_token;
    ck_assert_int_eq(err, GW_OK);
    rival_end_mine(arg);
}

static void rival_shared_loaded(void *arg, enum gw_err err, struct session *s)
{
    struct rival *r = arg;
    ck_assert(err == GW_OK || err == GW_E_NOTFOUND);
    session_unref(s);
    rival_end_mine(r);
}

/* One of the cookies that both know: found, fetched or ended, whatever the other does with it. */
static void rival_use_shared(struct rival *r)
{
    struct session *s = NULL;
    const struct cookie *c = &r->shared[rand_r(&r->seed) % SHARED];
    if (rand_r(&r->seed) % 50 == 0) {
        ck_assert_int_eq(session_end(r->x->ss, r->loop, view(c), rival_shared_ended, r), GW_OK);
        return;
    }
    switch (session_find(r->x->ss, view(c), NOW_S, &s)) {
    case SESSION_FOUND:
    case SESSION_LAPSED:
        session_unref(s);
        break;
    case SESSION_LOADING: {
        enum gw_err err = session_load(r->x->ss, r->loop, view(c), rival_shared_loaded, r);
        if (err == GW_OK)
            return;
        ck_assert_int_eq(err, GW_E_NOTFOUND);
        break;
    }
    case SESSION_NONE:
        break;
    }
    rival_end_mine(r);
}

static void rival_made(void *arg, enum gw_err err, struct view cookie)
{
    struct rival *r = arg;
    ck_assert_int_eq(err, GW_OK);
    memcpy(r->mine.text, cookie.p, cookie.n);
    ck_assert_int_eq(session_find(r->x->ss, cookie, NOW_S, &r->held), SESSION_FOUND);
    rival_use_shared(r);
}

static void rival_next(struct rival *r)
{
    struct session_new_spec spec = spec_of(CLAIMS);
    spec.begun_ms = NOW_S * 1000 + 1; /* after the logouts of the same sid here */
    if (r->n_left-- == 0)
        loop_stop(r->loop);
    else
        ck_assert_int_eq(session_create(r->x->ss, r->loop, &spec, rival_made, r), GW_OK);
}

static void *rival_run(void *arg)
{
    struct rival *r = arg;
    rival_next(r);
    loop_run(r->loop);
    return NULL;
}

START_TEST(two_loops_create_find_and_end_at_the_same_time)
{
    struct set *x = set_new();
    struct cookie shared[SHARED];
    struct rival rivals[RIVALS];
    for (int i = 0; i < SHARED; i++)
        shared[i] = create(x, CLAIMS);
    set_restart(x);
    for (int i = 0; i < RIVALS; i++) {
        rivals[i] = (struct rival){.x = x, .shared = shared, .n_left = ROUNDS, .seed = (unsigned)i + 1};
        ck_assert_int_eq(loop_new(&rivals[i].loop), GW_OK);
        ck_assert_int_eq(pthread_create(&rivals[i].thread, NULL, rival_run, &rivals[i]), 0);
    }
    for (int i = 0; i < 50; i++)
        ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    for (int i = 0; i < RIVALS; i++) {
        pthread_join(rivals[i].thread, NULL);
        loop_free(rivals[i].loop);
    }
    set_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("session");
    TCase *t = tcase_create("session");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, new_session_is_in_memory_at_once);
    tcase_add_test(t, F7_cookies_never_repeat);
    tcase_add_test(t, session_outlives_a_restart_byte_for_byte);
    tcase_add_test(t, unknown_cookie_is_looked_up_once_in_ten_seconds);
    tcase_add_test(t, F9_cookie_of_another_shape_asks_nobody);
    tcase_add_test(t, loads_of_one_cookie_on_one_loop_read_once);
    tcase_add_test(t, waiters_for_one_load_are_bounded);
    tcase_add_test(t, full_pool_is_said_at_once);
    tcase_add_test(t, failing_store_keeps_who_is_known_and_lets_nobody_else_in);
    tcase_add_loop_test(t, C6_F8_idle_session_ends_in_the_second, 0, 4);
    tcase_add_test(t, F8_use_moves_the_idle_limit_but_not_the_absolute_one);
    tcase_add_test(t, F8_shortened_limit_holds_for_old_sessions);
    tcase_add_loop_test(t, F8_row_prolonged_in_the_database_does_not_open, 0, 2);
    tcase_add_test(t, session_that_could_not_be_written_does_not_exist);
    tcase_add_test(t, refuses_what_cannot_be_a_session);
    tcase_add_test(t, cache_stays_within_its_bytes_and_the_rest_is_loaded);
    tcase_add_test(t, session_too_large_for_the_cache_is_served_all_the_same);
    tcase_add_test(t, held_session_outlives_the_cache);
    tcase_add_test(t, two_loops_create_find_and_end_at_the_same_time);
    suite_add_tcase(s, t);
    return support_run(s);
}

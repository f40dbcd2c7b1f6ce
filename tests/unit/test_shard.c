#include "sessionkit.h"

#include <sched.h>

START_TEST(C10_F7_F11_ended_session_is_gone_everywhere)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS), other = create(x, CLAIMS);
    struct answer a = {.loop = x->loop};
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &a), GW_OK);
    ck_assert_int_eq(find(x, &c), SESSION_NONE); /* before the store has answered */
    answer_wait(&a);
    ck_assert_int_eq(a.err, GW_OK);
    ck_assert_str_eq(a.text, "id-token-canary");
    ck_assert_int_eq(find(x, &c), SESSION_NONE);
    ck_assert(!has_row(x, &c));
    ck_assert_int_eq(find(x, &other), SESSION_FOUND);
    set_restart(x);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    ck_assert_int_eq(load(x, &other), GW_OK);
    ck_assert_int_eq(end(x, &c), GW_OK); /* twice is fine */
    set_free(x);
}
END_TEST

START_TEST(logout_while_a_load_has_read_the_row_wins)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct answer loaded = {.loop = x->loop}, ended = {.loop = x->loop};
    set_restart(x);
    fake_set(&x->fake, &x->fake.hold_get, true);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &loaded), GW_OK);
    fake_wait_held(&x->fake, 1);
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &ended), GW_OK);
    fake_wait_held(&x->fake, 2); /* the logout reads the row too, for its ID token */
    fake_set(&x->fake, &x->fake.hold_get, false);
    answer_wait(&loaded);
    answer_wait(&ended);
    ck_assert_int_eq(loaded.err, GW_E_NOTFOUND);
    ck_assert_int_eq(ended.err, GW_OK);
    ck_assert_int_ne(find(x, &c), SESSION_FOUND);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    at(SESSION_NONE_S);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

/* The whole logout fits between the load's reading and its remembering. */
START_TEST(load_that_read_before_a_logout_and_goes_on_after_it_revives_nothing)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct answer loaded = {.loop = x->loop}, ended = {.loop = x->loop};
    set_restart(x);
    fake_set(&x->fake, &x->fake.hold_get, true);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &loaded), GW_OK);
    fake_wait_held(&x->fake, 1);
    fake_set(&x->fake, &x->fake.fail_get, true); /* lets the logout's reading pass the gate */
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &ended), GW_OK);
    answer_wait(&ended);
    ck_assert_int_eq(ended.err, GW_OK);
    ck_assert(!has_row(x, &c));
    ck_assert(!loaded.is_there);
    fake_set(&x->fake, &x->fake.hold_get, false);
    answer_wait(&loaded);
    ck_assert_int_eq(loaded.err, GW_E_NOTFOUND);
    ck_assert_int_ne(find(x, &c), SESSION_FOUND);
    set_free(x);
}
END_TEST

START_TEST(logout_between_a_load_and_its_answer_wins)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct answer loaded = {.loop = x->loop}, ended = {.loop = x->loop};
    set_restart(x);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &loaded), GW_OK);
    enum session_found found;
    while ((found = find(x, &c)) == SESSION_LOADING) /* until the pool has put it there; the loop has not run yet */
        sched_yield();
    ck_assert_int_eq(found, SESSION_FOUND);
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &ended), GW_OK);
    answer_wait(&loaded);
    answer_wait(&ended);
    ck_assert_int_eq(loaded.err, GW_E_NOTFOUND);
    ck_assert_int_eq(find(x, &c), SESSION_NONE);
    set_free(x);
}
END_TEST

START_TEST(load_begun_while_a_logout_is_under_way_is_refused)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    struct answer ended = {.loop = x->loop}, none = {.loop = x->loop};
    if (_i == 1)
        set_restart(x);
    fake_set(&x->fake, &x->fake.hold_delete, true);
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&c), on_ended, &ended), GW_OK);
    fake_wait_held(&x->fake, 1);
    ck_assert(has_row(x, &c));
    at(SESSION_NONE_S * 2); /* however long it takes */
    ck_assert_int_eq(find(x, &c), SESSION_NONE);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &none), GW_E_NOTFOUND);
    fake_set(&x->fake, &x->fake.hold_delete, false);
    answer_wait(&ended);
    ck_assert_int_eq(ended.err, GW_OK);
    set_free(x);
}
END_TEST

START_TEST(logout_that_the_store_refused_holds_and_is_made_up_for)
{
    struct set *x = set_new();
    struct cookie c = create(x, CLAIMS);
    if (_i == 1)
        set_restart(x);
    fake_set(&x->fake, &x->fake.fail_delete, true);
    ck_assert_int_eq(end(x, &c), GW_E_IO);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_E_IO);
    fake_set(&x->fake, &x->fake.fail_delete, false);
    at(SESSION_NONE_S * 2);
    ck_assert(has_row(x, &c));
    ck_assert_int_eq(find(x, &c), SESSION_NONE);
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert(!has_row(x, &c));
    ck_assert_int_eq(load(x, &c), GW_E_NOTFOUND);
    set_free(x);
}
END_TEST

/* Otherwise a flood of made-up cookies would push the real ones out. */
START_TEST(refused_logout_of_a_cookie_nobody_had_is_forgotten)
{
    struct set *x = set_new();
    fake_set(&x->fake, &x->fake.fail_delete, true);
    for (int i = 0; i < 30; i++) {
        struct cookie c = some_cookie((char)('A' + i % 26));
        c.text[0] = (char)('a' + i % 26);
        ck_assert_int_eq(end(x, &c), GW_E_IO);
    }
    fake_set(&x->fake, &x->fake.fail_delete, false);
    int n = x->fake.n_deletes;
    ck_assert_int_eq(session_sweep_now(x->ss), GW_OK);
    ck_assert_int_eq(x->fake.n_deletes, n);
    set_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shard");
    TCase *t = tcase_create("shard");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, C10_F7_F11_ended_session_is_gone_everywhere);
    tcase_add_test(t, logout_while_a_load_has_read_the_row_wins);
    tcase_add_test(t, load_that_read_before_a_logout_and_goes_on_after_it_revives_nothing);
    tcase_add_test(t, logout_between_a_load_and_its_answer_wins);
    tcase_add_loop_test(t, load_begun_while_a_logout_is_under_way_is_refused, 0, 2);
    tcase_add_loop_test(t, logout_that_the_store_refused_holds_and_is_made_up_for, 0, 2);
    tcase_add_test(t, refused_logout_of_a_cookie_nobody_had_is_forgotten);
    suite_add_tcase(s, t);
    return support_run(s);
}

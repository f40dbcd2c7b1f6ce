#include "sessionkit.h"

#include "store/shard.h"

#include <stdio.h>

#define ISS "https://auth.example.org/application/o/repogate/"

struct revoked {
    struct loop *loop;
    bool is_there;
    enum gw_err err;
    size_t n;
};

static void on_revoked(void *arg, enum gw_err err, size_t n)
{
    struct revoked *r = arg;
    ck_assert(!r->is_there);
    *r = (struct revoked){r->loop, true, err, n};
    loop_stop(r->loop);
}

static void revoked_wait(struct revoked *r)
{
    while (!r->is_there)
        loop_run(r->loop);
}

static struct session_revocation by(enum session_by how, const char *name)
{
    return (struct session_revocation){.by = how, .iss = VIEW(ISS), .name = view_of(name), .issued_until_s = INT64_MAX};
}

/* How many went; -1: an error. */
static int revoke_now(struct set *x, const struct session_revocation *how)
{
    struct revoked r = {.loop = x->loop};
    ck_assert_int_eq(session_revoke(x->ss, x->loop, how, on_revoked, &r), GW_OK);
    revoked_wait(&r);
    return r.err == GW_OK ? (int)r.n : -1;
}

static struct session_new_spec spec_for(const char *sub, const char *sid, const char *username, int64_t issued_s)
{
    struct session_new_spec spec = spec_of(CLAIMS);
    spec.sub = view_of(sub);
    spec.sid = view_of(sid);
    spec.username = view_of(username);
    spec.begun_ms = epoch_now_ms();
    spec.issued_s = issued_s;
    return spec;
}

static enum gw_err try_create(struct set *x, const struct session_new_spec *spec, struct cookie *ret_cookie)
{
    struct answer a = {.loop = x->loop};
    ck_assert_int_eq(session_create(x->ss, x->loop, spec, on_made, &a), GW_OK);
    answer_wait(&a);
    memcpy(ret_cookie->text, a.text, SESSION_COOKIE_LEN);
    return a.err;
}

static struct cookie create_for(struct set *x, const char *sub, const char *sid, const char *username, int64_t issued_s)
{
    struct cookie c = {.text = ""};
    struct session_new_spec spec = spec_for(sub, sid, username, issued_s);
    ck_assert_int_eq(try_create(x, &spec, &c), GW_OK);
    return c;
}

static bool lives(struct set *x, const struct cookie *c)
{
    return has_row(x, c) && (find(x, c) == SESSION_FOUND || load(x, c) == GW_OK);
}

/* ---- whose ---- */

static const struct {
    enum session_by by;
    const char *name;
    int64_t issued_until_s;
    bool ends[5];
} WHOSE[] = {
    {SESSION_BY_SID, "s1", INT64_MAX, {true, false, false, false, false}},
    {SESSION_BY_SID, "nobody's", INT64_MAX, {false}},
    {SESSION_BY_SUB, "dora", INT64_MAX, {true, true, true, false, false}},
    {SESSION_BY_SUB, "dora", NOW_S, {true, true, false, false, false}},
    {SESSION_BY_SUB, "s1", INT64_MAX, {false}}, /* a sid is no sub */
    {SESSION_BY_SID, "dora", INT64_MAX, {false}},
    {SESSION_BY_USERNAME, "Dora", INT64_MAX, {true, true, true, false, false}}, /* the person's, under an older name too */
    {SESSION_BY_USERNAME, "both", INT64_MAX, {true, true, true, true, false}},
    {SESSION_BY_USERNAME, "dora", INT64_MAX, {false}},
    {SESSION_BY_ID, NULL, INT64_MAX, {true, false, false, false, false}},
};

START_TEST(ends_those_that_are_meant_and_no_other)
{
    struct set *x = set_new();
    struct cookie c[5] = {
        create_for(x, "dora", "s1", "Dora", NOW_S - 10),   create_for(x, "dora", "s2", "Dora", NOW_S),
        create_for(x, "dora", "s3", "both", NOW_S + 1),    create_for(x, "dave", "s4", "both", NOW_S - 10),
        create_for(x, "guest", "s5", "guest", NOW_S - 10),
    };
    struct session_watch watches[5] = {{.ss = NULL}};
    struct session_revocation how = by(WHOSE[_i].by, WHOSE[_i].name);
    int n = 0;
    how.issued_until_s = WHOSE[_i].issued_until_s;
    if (how.by == SESSION_BY_ID)
        ck_assert_int_eq(sessionrow_id(view(&c[0]), how.id), GW_OK);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(session_watch_start(x->ss, view(&c[i]), &watches[i]), GW_OK);
    for (int i = 0; i < 5; i++)
        n += WHOSE[_i].ends[i];
    ck_assert_int_eq(revoke_now(x, &how), n);
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(lives(x, &c[i]), !WHOSE[_i].ends[i]);
        ck_assert_int_eq(session_watch_has_ended(&watches[i]), WHOSE[_i].ends[i]);
        session_watch_stop(&watches[i]);
    }
    ck_assert_int_eq(revoke_now(x, &how), 0); /* twice is fine */
    set_free(x);
}
END_TEST

START_TEST(a_username_is_found_on_every_page)
{
    enum { N = 600 };
    struct set *x = set_new();
    struct cookie last = {.text = ""};
    for (int i = 0; i < N; i++)
        last = create_for(x, i % 2 == 0 ? "dora" : "dave", "", i % 2 == 0 ? "Dora" : "Dave", NOW_S);
    struct session_revocation how = by(SESSION_BY_USERNAME, "Dora");
    ck_assert_int_eq(revoke_now(x, &how), N / 2);
    ck_assert(lives(x, &last));
    set_free(x);
}
END_TEST

START_TEST(rows_made_under_an_older_key_are_found)
{
    struct set *x = set_new();
    struct cookie old = create_for(x, "dora", "s1", "Dora", NOW_S);
    sessions_free(x->ss);
    seal_ring_free(x->ring);
    x->ring = ring_of(8, 2); /* a new key on top of the old one */
    set_start(x);
    struct cookie new = create_for(x, "dora", "s1", "Dora", NOW_S);
    struct session_revocation how = by(SESSION_BY_SID, "s1");
    ck_assert_int_eq(revoke_now(x, &how), 2);
    ck_assert(!lives(x, &old) && !lives(x, &new));
    set_free(x);
}
END_TEST

START_TEST(refuses_what_names_nobody)
{
    struct set *x = set_new();
    struct session_revocation cases[] = {by(SESSION_BY_SID, ""), by(SESSION_BY_SUB, ""), by(SESSION_BY_USERNAME, ""),
                                         by(SESSION_BY_SUB, "dora")};
    cases[3].iss = VIEW_NONE;
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(session_revoke(x->ss, x->loop, &cases[i], on_revoked, NULL), GW_E_INVALID);
    set_free(x);
}
END_TEST

/* ---- while something is under way ---- */

START_TEST(revocation_while_a_load_has_read_the_row_wins)
{
    struct set *x = set_new();
    struct cookie c = create_for(x, "dora", "s1", "Dora", NOW_S);
    struct answer loaded = {.loop = x->loop};
    struct session_revocation how = by(SESSION_BY_SID, "s1");
    set_restart(x);
    fake_set(&x->fake, &x->fake.hold_get, true);
    ck_assert_int_eq(session_load(x->ss, x->loop, view(&c), on_loaded, &loaded), GW_OK);
    fake_wait_held(&x->fake, 1);
    ck_assert_int_eq(revoke_now(x, &how), 1);
    fake_set(&x->fake, &x->fake.hold_get, false);
    answer_wait(&loaded);
    ck_assert_int_eq(loaded.err, GW_E_NOTFOUND);
    ck_assert(!lives(x, &c));
    set_free(x);
}
END_TEST

/* Before the row is written a tombstone refuses it; after that it is removed, and must not come into memory either. */
START_TEST(revocation_while_a_session_is_being_made_leaves_none)
{
    struct set *x = set_new();
    struct answer made = {.loop = x->loop};
    struct session_new_spec spec = spec_for("dora", "s1", "Dora", NOW_S);
    struct session_revocation how = by(_i < 2 ? SESSION_BY_SID : SESSION_BY_SUB, _i < 2 ? "s1" : "dora");
    bool *hold = _i % 2 == 0 ? &x->fake.hold_put : &x->fake.hold_after_put;
    fake_set(&x->fake, hold, true);
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &made), GW_OK);
    fake_wait_held(&x->fake, 1);
    ck_assert_int_eq(revoke_now(x, &how), _i % 2);
    fake_set(&x->fake, hold, false);
    answer_wait(&made);
    ck_assert_int_eq(made.err, GW_E_EXPIRED);
    ck_assert_int_eq(meter_value(METER_SESSIONS_CACHED), 0);
    set_free(x);
}
END_TEST

START_TEST(login_that_began_before_the_logout_comes_to_nothing)
{
    struct set *x = set_new();
    struct cookie c = create_for(x, "dora", "s1", "Dora", NOW_S);
    struct session_new_spec under_way = spec_for("dora", "s1", "Dora", NOW_S + 1), later = under_way;
    under_way.begun_ms = NOW_S * 1000;
    later.begun_ms = NOW_S * 1000 + 5001;
    at(5);
    ck_assert_int_eq(end(x, &c), GW_OK);
    ck_assert_int_eq(try_create(x, &under_way, &c), GW_E_EXPIRED);
    ck_assert_int_eq(try_create(x, &later, &c), GW_OK);
    ck_assert(lives(x, &c));
    set_free(x);
}
END_TEST

START_TEST(whoever_was_logged_out_here_may_log_in_again)
{
    static const struct {
        enum session_by by;
        const char *name;
        bool is_here_only;
        enum gw_err want;
    } CASES[] = {
        {SESSION_BY_SID, "s1", true, GW_OK},         {SESSION_BY_SUB, "dora", true, GW_OK},
        {SESSION_BY_USERNAME, "Dora", true, GW_OK},  {SESSION_BY_ID, NULL, true, GW_OK},
        {SESSION_BY_SID, "s1", false, GW_E_EXPIRED}, {SESSION_BY_SUB, "dora", false, GW_E_EXPIRED},
    };
    struct set *x = set_new();
    struct cookie c = create_for(x, "dora", "s1", "Dora", NOW_S);
    struct session_revocation how = by(CASES[_i].by, CASES[_i].name);
    how.is_here_only = CASES[_i].is_here_only;
    if (how.by == SESSION_BY_ID)
        ck_assert_int_eq(sessionrow_id(view(&c), how.id), GW_OK);
    struct session_new_spec under_way = spec_for("dora", "s1", "Dora", NOW_S + 1);
    at(1);
    ck_assert_int_eq(revoke_now(x, &how), 1);
    ck_assert_int_eq(try_create(x, &under_way, &c), GW_E_EXPIRED); /* began before */
    at(2);
    struct session_new_spec anew = spec_for("dora", "s1", "Dora", NOW_S + 2);
    ck_assert_int_eq(try_create(x, &anew, &c), CASES[_i].want);
    set_free(x);
}
END_TEST

/* ---- two threads: one logs in all the time, the other logs out ---- */

enum { LOGINS = 300 };

struct maker {
    struct set *x;
    struct loop *loop;
    struct cookie cookies[LOGINS];
    struct session_watch watches[LOGINS];
    bool is_made[LOGINS];
    int i;
};

static void make_next(struct maker *m);

static void on_one_loaded(void *arg, enum gw_err err, struct session *s)
{
    ck_assert(err == GW_OK || err == GW_E_NOTFOUND);
    session_unref(s);
    make_next(arg);
}

static void on_one_made(void *arg, enum gw_err err, struct view cookie)
{
    struct maker *m = arg;
    struct session *s = NULL;
    int i = m->i++;
    ck_assert(err == GW_OK || err == GW_E_EXPIRED);
    if (err == GW_OK) {
        m->is_made[i] = true;
        memcpy(m->cookies[i].text, cookie.p, SESSION_COOKIE_LEN);
        ck_assert_int_eq(session_watch_start(m->x->ss, cookie, &m->watches[i]), GW_OK);
        if (session_find(m->x->ss, cookie, epoch_now_s(), &s) == SESSION_FOUND)
            session_unref(s);
        if (session_load(m->x->ss, m->loop, cookie, on_one_loaded, m) == GW_OK)
            return;
    }
    make_next(m);
}

static void make_next(struct maker *m)
{
    struct session_new_spec spec = spec_for("dora", "s1", "Dora", NOW_S);
    spec.begun_ms = INT64_MAX; /* so that most come to be */
    if (m->i == LOGINS)
        loop_stop(m->loop);
    else
        ck_assert_int_eq(session_create(m->x->ss, m->loop, &spec, on_one_made, m), GW_OK);
}

static void *make_all(void *arg)
{
    struct maker *m = arg;
    make_next(m);
    loop_run(m->loop);
    return NULL;
}

START_TEST(none_survives_a_logout_on_another_thread)
{
    struct set *x = set_new();
    static struct maker m;
    pthread_t thread;
    struct session_revocation how = by(SESSION_BY_SUB, "dora");
    m = (struct maker){.x = x};
    how.issued_until_s = NOW_S;
    ck_assert_int_eq(loop_new(&m.loop), GW_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, make_all, &m), 0);
    for (int i = 0; i < 50; i++) {
        how.issued_until_s = NOW_S - 1 + i % 2; /* every other one ends nobody */
        ck_assert_int_ge(revoke_now(x, &how), 0);
        ck_assert_int_eq(sessionwatch_look(x->ss), GW_OK);
    }
    pthread_join(thread, NULL);
    how.issued_until_s = NOW_S;
    ck_assert_int_ge(revoke_now(x, &how), 0);
    for (int i = 0; i < LOGINS; i++) {
        if (!m.is_made[i])
            continue;
        ck_assert(!lives(x, &m.cookies[i]));
        session_watch_stop(&m.watches[i]);
    }
    loop_free(m.loop);
    set_free(x);
}
END_TEST

/* ---- once ---- */

START_TEST(a_token_is_acted_upon_once_and_its_name_is_no_other_tokens)
{
    struct set *x = set_new();
    uint8_t token[DIGEST_BYTES] = {1}, other[DIGEST_BYTES] = {2}, name[DIGEST_BYTES] = {3}, fresh[DIGEST_BYTES] = {4};
    struct session_revocation how = by(SESSION_BY_SUB, "dora");
    struct revoked r[5];
    create_for(x, "dora", "s1", "Dora", NOW_S);
    how.once = token;
    how.once_name = name;
    how.once_until_s = NOW_S + 300;
    const struct {
        const uint8_t *once, *once_name;
        bool fails;
        enum gw_err want;
        size_t n;
    } steps[5] = {
        {token, name, true, GW_E_IO, 0}, /* nothing was marked: it can come again */
        {token, name, false, GW_OK, 1},        {token, name, false, GW_E_EXPIRED, 0},
        {other, name, false, GW_E_INVALID, 0}, {other, fresh, false, GW_OK, 1}, /* nor was that one marked */
    };
    struct cookie c = {.text = ""};
    for (int i = 0; i < 5; i++) {
        if (i == 2)
            c = create_for(x, "dora", "s2", "Dora", NOW_S + 1);
        r[i] = (struct revoked){.loop = x->loop};
        how.once = steps[i].once;
        how.once_name = steps[i].once_name;
        how.issued_until_s = i < 4 ? NOW_S : NOW_S + 1;
        x->fake.fail_revoke = steps[i].fails;
        ck_assert_int_eq(session_revoke(x->ss, x->loop, &how, on_revoked, &r[i]), GW_OK);
        revoked_wait(&r[i]);
        ck_assert_msg(r[i].err == steps[i].want && r[i].n == steps[i].n, "step %d: %s, %zu", i, gw_err_name(r[i].err), r[i].n);
        if (i == 2 || i == 3)
            ck_assert(lives(x, &c));
        if (i == 1)
            at(1); /* whoever logs in again does so later */
    }
    ck_assert(!lives(x, &c));
    set_free(x);
}
END_TEST

/* ---- listing ---- */

struct page {
    struct loop *loop;
    bool is_there, is_more;
    enum gw_err err;
    size_t n;
    uint8_t ids[SESSION_LIST_MAX][DIGEST_BYTES];
    char first_username[64], first_ip[64];
};

static void on_listed(void *arg, enum gw_err err, const struct session_listed *items, size_t n, bool is_more)
{
    struct page *p = arg;
    p->is_there = true;
    p->err = err;
    p->n = n;
    p->is_more = is_more;
    for (size_t i = 0; i < n; i++)
        memcpy(p->ids[i], items[i].id, DIGEST_BYTES);
    if (n > 0) {
        snprintf(p->first_username, sizeof(p->first_username), "%.*s", VIEW_FMT(items[0].username));
        snprintf(p->first_ip, sizeof(p->first_ip), "%.*s", VIEW_FMT(items[0].ip));
    }
    loop_stop(p->loop);
}

static void list_now(struct set *x, const struct session_list_spec *spec, struct page *ret_page)
{
    *ret_page = (struct page){.loop = x->loop};
    ck_assert_int_eq(session_list(x->ss, x->loop, spec, on_listed, ret_page), GW_OK);
    while (!ret_page->is_there)
        loop_run(x->loop);
    ck_assert_int_eq(ret_page->err, GW_OK);
}

/* What a page after page gives: how many, each once. */
static size_t count_all(struct set *x, struct session_list_spec spec)
{
    static struct page page;
    uint8_t last[DIGEST_BYTES] = {0};
    size_t n = 0;
    do {
        list_now(x, &spec, &page);
        for (size_t i = 0; i < page.n; i++) {
            ck_assert_msg(n == 0 || memcmp(page.ids[i], last, DIGEST_BYTES) > 0, "in order, none twice");
            memcpy(last, page.ids[i], DIGEST_BYTES);
            n++;
        }
        spec.after = last;
    } while (page.is_more);
    return n;
}

START_TEST(lists_each_session_once_page_by_page)
{
    enum { N = 120 };
    static const size_t sizes[] = {1, 7, 40, N - 1, N, N + 1};
    struct set *x = set_new();
    for (int i = 0; i < N; i++)
        create_for(x, "dora", "", i % 3 == 0 ? "Dora" : "Dave", NOW_S);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        ck_assert_uint_eq(count_all(x, (struct session_list_spec){.n_max = sizes[i]}), N);
        ck_assert_uint_eq(count_all(x, (struct session_list_spec){.n_max = sizes[i], .username = VIEW("Dora")}), N / 3);
        ck_assert_uint_eq(count_all(x, (struct session_list_spec){.n_max = sizes[i], .username = VIEW("dora")}), 0);
    }
    set_free(x);
}
END_TEST

START_TEST(lists_who_and_from_where_or_nothing_if_the_label_does_not_open)
{
    static struct page page;
    struct set *x = set_new();
    create_for(x, "dora", "", "Dora", NOW_S);
    list_now(x, &(struct session_list_spec){.n_max = 1}, &page);
    ck_assert_str_eq(page.first_username, "Dora");
    ck_assert_str_eq(page.first_ip, "192.0.2.77");
    sessions_free(x->ss);
    seal_ring_free(x->ring);
    x->ring = ring_of(99, 1);
    set_start(x);
    list_now(x, &(struct session_list_spec){.n_max = 1}, &page);
    ck_assert_uint_eq(page.n, 1);
    ck_assert_str_eq(page.first_username, "");
    for (size_t n = 0; n <= SESSION_LIST_MAX + 1; n += SESSION_LIST_MAX + 1)
        ck_assert_int_eq(session_list(x->ss, x->loop, &(struct session_list_spec){.n_max = n}, on_listed, &page), GW_E_INVALID);
    set_free(x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sessionrevoke");
    TCase *t = tcase_create("sessionrevoke");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, ends_those_that_are_meant_and_no_other, 0, (int)(sizeof(WHOSE) / sizeof(WHOSE[0])));
    tcase_add_test(t, a_username_is_found_on_every_page);
    tcase_add_test(t, rows_made_under_an_older_key_are_found);
    tcase_add_test(t, refuses_what_names_nobody);
    tcase_add_test(t, revocation_while_a_load_has_read_the_row_wins);
    tcase_add_loop_test(t, revocation_while_a_session_is_being_made_leaves_none, 0, 4);
    tcase_add_test(t, login_that_began_before_the_logout_comes_to_nothing);
    tcase_add_loop_test(t, whoever_was_logged_out_here_may_log_in_again, 0, 6);
    tcase_add_test(t, none_survives_a_logout_on_another_thread);
    tcase_add_test(t, a_token_is_acted_upon_once_and_its_name_is_no_other_tokens);
    tcase_add_test(t, lists_each_session_once_page_by_page);
    tcase_add_test(t, lists_who_and_from_where_or_nothing_if_the_label_does_not_open);
    suite_add_tcase(s, t);
    return support_run(s);
}

/* What every store promises, asked of each back end: _i % 2 is 0 for SQLite, 1 for PostgreSQL. */
#include "pgkit.h"
#include "storekit.h"

#include <pthread.h>
#include <stdlib.h>

static struct pgkit pg;

static struct store *open_again(int backend, const char *path)
{
    struct store *s = NULL;
    ck_assert_int_eq(backend % 2 == 0 ? store_open(path, &s) : store_open_postgres(pgkit_dsn(&pg), &s), GW_OK);
    return s;
}

static struct store *open_new(int backend)
{
    if (backend % 2 == 1)
        pgkit_do(&pg, "SET client_min_messages = error; DROP SCHEMA IF EXISTS repogate CASCADE");
    return open_again(backend, ":memory:");
}

START_TEST(gives_back_the_row_that_was_put)
{
    struct store *s = open_new(_i);
    struct store_row row;
    ck_assert_int_eq(give_birth(s, (struct birth){7, 0x51, 0x52, 777123, 778}), GW_OK);
    ck_assert_int_eq(get(s, 7, &row), GW_OK);
    ck_assert_int_eq(row.created_s, 1000);
    ck_assert_int_eq(row.seen_s, 1001);
    ck_assert_int_eq(row.expires_s, 5000);
    ck_assert_int_eq(row.begun_ms, 777123);
    ck_assert_int_eq(row.issued_s, 778);
    ck_assert_int_eq(row.need, 0);
    ck_assert_int_eq(row.version, 1);
    ck_assert_uint_eq(row.sid_mac[31], 0x51);
    ck_assert_uint_eq(row.sub_mac[31], 0x52);
    ck_assert_uint_eq(row.id[0], 7);
    ck_assert(view_eq(buf_view(&row.label), VIEW("label\0with a zero")));
    ck_assert_uint_eq(row.secret.n, 1200);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

START_TEST(unknown_row_is_not_found_and_ending_it_is_fine)
{
    struct store *s = open_new(_i);
    struct store_row row;
    uint8_t id[DIGEST_BYTES] = {1};
    enum store_lease l;
    ck_assert_int_eq(store_session_get(s, id, &row), GW_E_NOTFOUND);
    ck_assert_int_eq(store_session_touch(s, id, 1), GW_E_NOTFOUND);
    ck_assert_int_eq(store_session_need(s, id, 1), GW_E_NOTFOUND);
    ck_assert_int_eq(store_session_lease(s, id, 1, 1000, 1060, true, &l), GW_E_NOTFOUND);
    ck_assert_int_eq(store_session_release(s, id, 1), GW_OK);
    ck_assert_int_eq(store_session_end(s, id, 1000000, 9000), GW_OK);
    store_close(s);
}
END_TEST

START_TEST(ended_row_is_gone)
{
    struct store *s = open_new(_i);
    ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
    ck_assert_int_eq(end_row(s, 7, 1000000, 9000), GW_OK);
    ck_assert(!has(s, 7));
    store_close(s);
}
END_TEST

START_TEST(same_id_twice_is_refused_and_the_first_stays)
{
    struct store *s = open_new(_i);
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
    struct store *s = open_new(_i);
    struct store_row row;
    uint8_t id[DIGEST_BYTES];
    set_id(id, 7);
    ck_assert_int_eq(put(s, 7, 1001, 5000), GW_OK);
    ck_assert_int_eq(store_session_touch(s, id, 2000), GW_OK);
    ck_assert_int_eq(store_session_touch(s, id, 1500), GW_OK);
    ck_assert_int_eq(get(s, 7, &row), GW_OK);
    ck_assert_int_eq(row.seen_s, 2000);
    ck_assert_int_eq(row.version, 1);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

START_TEST(need_is_remembered_and_forgotten)
{
    struct store *s = open_new(_i);
    uint8_t id[DIGEST_BYTES];
    set_id(id, 7);
    ck_assert_int_eq(put(s, 7, 1001, 5000), GW_OK);
    for (int64_t need = INT64_C(1) << 47; need >= 0; need -= INT64_C(1) << 47) {
        struct store_row row;
        ck_assert_int_eq(store_session_need(s, id, need), GW_OK);
        ck_assert_int_eq(get(s, 7, &row), GW_OK);
        ck_assert_int_eq(row.need, need);
        ck_assert_int_eq(row.version, 1);
        store_row_deinit(&row);
    }
    store_close(s);
}
END_TEST

START_TEST(rows_over_the_cap_are_refused)
{
    struct store *s = open_new(_i);
    struct store_row row;
    fill_row(&row, &(struct birth){7, 1, 2, 10, 10});
    row.secret.cap = STORE_SEALED_MAX + 1;
    size_t more = STORE_SEALED_MAX + 1 - row.secret.n;
    ck_assert_ptr_nonnull(buf_reserve(&row.secret, more));
    memset(row.secret.p, 1, STORE_SEALED_MAX + 1);
    row.secret.n = STORE_SEALED_MAX + 1;
    ck_assert_int_eq(store_session_put(s, &row), GW_E_LIMIT);
    ck_assert_int_eq(store_session_replace(s, &row), GW_E_LIMIT);
    row.secret.n = STORE_SEALED_MAX;
    ck_assert_int_eq(store_session_put(s, &row), GW_OK);
    ck_assert_int_eq(store_session_replace(s, &row), GW_OK);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

/* ---- logout against login ---- */

enum farewell { OWN, BY_SID, BY_SUB, GIVES_WAY };

/* At 2000 s of our clock, 2000000 ms, by sub with a logout token issued at 1900 s of the provider's; of the person 2 with session 1
 * at the provider, who was logged in. */
START_TEST(logins_under_way_at_a_logout_are_refused_and_later_ones_are_not)
{
    static const struct {
        enum farewell how;
        struct birth login;
        enum gw_err err;
    } CASES[] = {
        {OWN, {8, 1, 2, 1990000, 1990}, GW_E_EXPIRED},    {OWN, {8, 1, 2, 2000000, 2000}, GW_E_EXPIRED},
        {OWN, {8, 1, 2, 2000001, 1000}, GW_OK}, /* what the provider's clock says is not asked */
        {OWN, {8, 3, 2, 1990000, 1990}, GW_OK}, /* another browser's */
        {OWN, {8, 0, 2, 1990000, 1990}, GW_OK},           {BY_SID, {8, 1, 2, 1990000, 1990}, GW_E_EXPIRED},
        {BY_SID, {8, 1, 2, 2990000, 2990}, GW_E_EXPIRED}, /* that session is over for good */
        {BY_SID, {8, 3, 2, 1990000, 1990}, GW_OK},        {BY_SUB, {8, 1, 2, 1990000, 1890}, GW_E_EXPIRED},
        {BY_SUB, {8, 3, 2, 2000000, 2010}, GW_E_EXPIRED}, /* began before; the code was redeemed after */
        {BY_SUB, {8, 0, 2, 2990000, 1900}, GW_E_EXPIRED}, /* our clock is ahead of the provider's */
        {BY_SUB, {8, 1, 2, 2000001, 1901}, GW_OK},        {BY_SUB, {8, 1, 4, 1990000, 1890}, GW_OK}, /* somebody else */
        {GIVES_WAY, {8, 1, 2, 1990000, 1990}, GW_OK},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct store *s = open_new(_i);
        ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
        if (CASES[i].how == BY_SID)
            ck_assert_uint_eq(revoke_by(s, false, 1, INT64_MAX, 2000000), 1);
        else if (CASES[i].how == BY_SUB)
            ck_assert_uint_eq(revoke_by(s, true, 2, 1900, 2000000), 1);
        else
            ck_assert_int_eq(end_row(s, 7, 2000000, CASES[i].how == OWN ? 9000 : 0), GW_OK);
        ck_assert(!has(s, 7));
        ck_assert_msg(give_birth(s, CASES[i].login) == CASES[i].err, "case %zu", i);
        ck_assert_int_eq(has(s, 8), CASES[i].err == GW_OK);
        store_close(s);
    }
}
END_TEST

START_TEST(logout_of_a_session_without_sid_speaks_to_the_persons_logins)
{
    struct store *s = open_new(_i);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 0, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(end_row(s, 7, 2000000, 9000), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 0, 2, 1990000, 1990}), GW_E_EXPIRED);
    ck_assert_int_eq(give_birth(s, (struct birth){9, 0, 4, 1990000, 1990}), GW_OK);
    store_close(s);
}
END_TEST

START_TEST(tombstones_add_up_and_are_swept_when_their_time_has_come)
{
    struct store *s = open_new(_i);
    size_t n;
    ck_assert_uint_eq(revoke_by(s, true, 2, 1900, 2000000), 0);
    ck_assert_uint_eq(revoke_by(s, true, 2, 1800, 2100000), 0); /* told late */
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 2200000, 1850}), GW_E_EXPIRED);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 2050000, 2000}), GW_E_EXPIRED);
    ck_assert_int_eq(store_sweep(s, 8999, 60, &n), GW_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 2050000, 2000}), GW_E_EXPIRED);
    ck_assert_int_eq(store_sweep(s, 9000, 60, &n), GW_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 2050000, 2000}), GW_OK);
    store_close(s);
}
END_TEST

START_TEST(revocation_by_sub_ends_all_that_was_issued_by_then_and_spares_what_came_later)
{
    struct store *s = open_new(_i);
    ck_assert_int_eq(give_birth(s, (struct birth){1, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){2, 3, 2, 1000000, 1900}), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){3, 0, 2, 1000000, 1901}), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){4, 1, 4, 1000000, 1000}), GW_OK);
    ck_assert_uint_eq(revoke_by(s, true, 2, 1900, 2000000), 2);
    ck_assert(!has(s, 1));
    ck_assert(!has(s, 2));
    ck_assert(has(s, 3));
    ck_assert(has(s, 4));
    /* It began before the logout was told, and lives on: its refresh must not end it. */
    ck_assert_int_eq(replace(s, 3, 1, "newer"), GW_OK);
    ck_assert_uint_eq(revoke_by(s, true, 2, 1900, 2000000), 0); /* the same again */
    ck_assert(has(s, 3));
    store_close(s);
}
END_TEST

START_TEST(revocation_that_names_itself_is_done_once_and_all_of_it_or_nothing)
{
    struct store *s = open_new(_i);
    uint8_t once[DIGEST_BYTES] = {1}, name[DIGEST_BYTES] = {0x12}, other[DIGEST_BYTES] = {0x21}, free_name[DIGEST_BYTES] = {0x32};
    struct store_revocation r = {.issued_until_s = INT64_MAX,
                                 .begun_until_ms = 2000000,
                                 .tomb_s = 9000,
                                 .once = once,
                                 .once_name = name,
                                 .once_until_s = 600};
    size_t n = 0;
    set_mac(r.mac, 1);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 3, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_E_EXPIRED);
    set_mac(r.mac, 3);
    ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_E_EXPIRED);
    r.once = other;
    ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_E_INVALID);
    ck_assert(has(s, 8));
    ck_assert_int_eq(store_use_once(s, name, 600), GW_E_EXPIRED);
    r.once_name = free_name; /* what was refused has marked nothing */
    ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_OK);
    ck_assert_uint_eq(n, 2);
    ck_assert(!has(s, 8));
    store_close(s);
}
END_TEST

START_TEST(revocation_here_only_speaks_of_what_began_before_it)
{
    struct store *s = open_new(_i);
    size_t n = 0;
    for (int by_sub = 0; by_sub < 2; by_sub++) {
        struct store_revocation r = {
            .by_sub = by_sub != 0, .issued_until_s = INT64_MAX, .begun_until_ms = 2000000, .tomb_s = 9000, .is_here_only = true};
        unsigned id = 1 + (unsigned)by_sub;
        uint8_t sid = (uint8_t)(10 + by_sub), sub = (uint8_t)(20 + by_sub);
        set_mac(r.mac, by_sub ? sub : sid);
        ck_assert_int_eq(give_birth(s, (struct birth){id, sid, sub, 1000000, 5000}), GW_OK);
        ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_OK);
        ck_assert(!has(s, id)); /* whenever it was issued */
        ck_assert_int_eq(give_birth(s, (struct birth){id, sid, sub, 2000000, 6000}), GW_E_EXPIRED);
        ck_assert_int_eq(give_birth(s, (struct birth){id, sid, sub, 2000001, 1000}), GW_OK);
        ck_assert_int_eq(replace(s, id, 1, "newer"), GW_OK);
    }
    ck_assert_uint_eq(n, 2);
    store_close(s);
}
END_TEST

START_TEST(revocation_of_nobody_is_refused)
{
    struct store *s = open_new(_i);
    struct store_revocation r = {.issued_until_s = INT64_MAX, .begun_until_ms = 1, .tomb_s = 9000};
    size_t n = 0;
    ck_assert_int_eq(give_birth(s, (struct birth){7, 0, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_E_INVALID);
    ck_assert(has(s, 7));
    store_close(s);
}
END_TEST

/* ---- refreshing ---- */

START_TEST(replace_takes_the_row_of_that_version_and_never_adds_one)
{
    struct store *s = open_new(_i);
    struct store_row row;
    ck_assert_int_eq(replace(s, 7, 1, "nothing"), GW_E_NOTFOUND);
    ck_assert(!has(s, 7));
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(replace(s, 7, 2, "too new"), GW_E_NOTFOUND);
    ck_assert_int_eq(replace(s, 7, 1, "newer"), GW_OK);
    ck_assert_int_eq(replace(s, 7, 1, "too late"), GW_E_NOTFOUND);
    ck_assert_int_eq(get(s, 7, &row), GW_OK);
    ck_assert_int_eq(row.version, 2);
    ck_assert(view_eq(buf_view(&row.secret), VIEW("newer")));
    ck_assert(view_eq(buf_view(&row.label), VIEW("another label")));
    ck_assert_int_eq(row.begun_ms, 1000000);
    ck_assert_int_eq(row.expires_s, 5000);
    store_row_deinit(&row);
    store_close(s);
}
END_TEST

START_TEST(logout_during_a_refresh_leaves_nothing_to_replace)
{
    struct store *s = open_new(_i);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 3000000, 3000}), GW_OK);
        ck_assert_int_eq(lease(s, 7, 1, 1000, 1060, true), STORE_LEASE_TAKEN);
        if (i == 0)
            ck_assert_int_eq(end_row(s, 7, 2000000, 9000), GW_OK);
        else
            ck_assert_uint_eq(revoke_by(s, false, 1, INT64_MAX, 2000000), 1);
        ck_assert_int_eq(replace(s, 7, 1, "newer"), GW_E_NOTFOUND);
        ck_assert(!has(s, 7));
    }
    store_close(s);
}
END_TEST

START_TEST(one_at_a_time_has_the_lease)
{
    struct store *s = open_new(_i);
    uint8_t id[DIGEST_BYTES];
    set_id(id, 7);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    for (int is_granting = 0; is_granting < 2; is_granting++) {
        int64_t version = 1 + is_granting;
        ck_assert_int_eq(lease(s, 7, version + 1, 1000, 1060, is_granting), STORE_LEASE_CHANGED);
        ck_assert_int_eq(lease(s, 7, version, 1000, 1060, is_granting), STORE_LEASE_TAKEN);
        ck_assert_int_eq(lease(s, 7, version, 1000, 1060, is_granting), STORE_LEASE_HELD);
        ck_assert_int_eq(store_session_release(s, id, version), GW_OK);
        ck_assert_int_eq(lease(s, 7, version, 1000, 1060, is_granting), STORE_LEASE_TAKEN);
        ck_assert_int_eq(replace(s, 7, version, "newer"), GW_OK); /* ends it */
        ck_assert_int_eq(lease(s, 7, version, 1000, 1060, is_granting), STORE_LEASE_CHANGED);
    }
    ck_assert_int_eq(lease(s, 7, 3, 1000, 1060, true), STORE_LEASE_TAKEN);
    store_close(s);
}
END_TEST

START_TEST(lease_that_lapsed_passes_on_unless_a_refresh_token_was_spent)
{
    struct store *s = open_new(_i);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(lease(s, 7, 1, 1000, 1000, false), STORE_LEASE_TAKEN); /* for no time at all */
    ck_assert_int_eq(lease(s, 7, 1, 1000, 1000, true), STORE_LEASE_TAKEN);
    ck_assert_int_eq(lease(s, 7, 1, 1000, 1060, false), STORE_LEASE_LOST);
    ck_assert(!has(s, 7));
    store_close(s);
}
END_TEST

/* ---- listing ---- */

struct listed {
    struct store *s;
    unsigned ids[16];
    size_t n;
    uint8_t last[DIGEST_BYTES];
};

static void on_listed(void *arg, const struct store_row *row)
{
    struct listed *l = arg;
    memcpy(l->last, row->id, DIGEST_BYTES);
    ck_assert_uint_eq(row->secret.n, 0);
    ck_assert(view_eq(buf_view(&row->label), VIEW("label\0with a zero")));
    ck_assert(has(l->s, row->id[0])); /* the store may be used here */
    l->ids[l->n++] = row->id[0];
}

START_TEST(lists_what_lives_page_by_page)
{
    struct store *s = open_new(_i);
    struct listed l = {.s = s};
    for (unsigned i = 0; i < 10; i++)
        ck_assert_int_eq(put(s, i, 1000, i == 4 ? 1500 : 5000), GW_OK);
    ck_assert_int_eq(store_session_list(s, NULL, 3, 1500, on_listed, &l), GW_OK);
    ck_assert_uint_eq(l.n, 3);
    ck_assert_int_eq(store_session_list(s, l.last, 3, 1500, on_listed, &l), GW_OK);
    ck_assert_uint_eq(l.n, 6);
    ck_assert_int_eq(store_session_list(s, l.last, 4, 1500, on_listed, &l), GW_OK);
    ck_assert_uint_eq(l.n, 9);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_uint_eq(l.ids[i], i < 4 ? i : i + 1);
    ck_assert_int_eq(store_session_list(s, NULL, STORE_LIST_MAX + 1, 1500, on_listed, &l), GW_E_LIMIT);
    store_close(s);
}
END_TEST

/* ---- once ---- */

START_TEST(what_is_used_once_is_used_once_until_swept)
{
    struct store *s = open_new(_i);
    uint8_t id[DIGEST_BYTES] = {9};
    size_t n = 0;
    ck_assert_int_eq(store_use_once(s, id, 600), GW_OK);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_E_EXPIRED);
    ck_assert_int_eq(store_sweep(s, 599, 60, &n), GW_OK);
    ck_assert_uint_eq(n, 0);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_E_EXPIRED);
    ck_assert_int_eq(store_sweep(s, 600, 60, &n), GW_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(store_use_once(s, id, 1200), GW_OK);
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

START_TEST(T6_of_many_who_use_it_at_once_one_wins)
{
    enum { N = 8 };
    struct store *s = open_new(_i), *other = _i % 2 == 0 ? s : open_again(_i, NULL);
    struct racer racers[N];
    pthread_t threads[N];
    int n_won = 0;
    for (int i = 0; i < N; i++) {
        racers[i] = (struct racer){i % 2 == 0 ? s : other, GW_E_IO};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        n_won += racers[i].err == GW_OK;
        ck_assert(racers[i].err == GW_OK || racers[i].err == GW_E_EXPIRED);
    }
    ck_assert_int_eq(n_won, 1);
    if (other != s)
        store_close(other);
    store_close(s);
}
END_TEST

/* ---- sweeping ---- */

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
    struct store *s = open_new(_i);
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
    struct store *s = open_new(_i);
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

START_TEST(rows_tombstones_and_what_was_used_outlive_a_restart)
{
    uint8_t id[DIGEST_BYTES] = {9};
    char dir[] = "/tmp/test_store.XXXXXX", path[64], name[80];
    static const char *const SUFFIXES[] = {"", "-wal", "-shm", ".lock"};
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sessions.db", dir);
    if (_i % 2 == 1)
        store_close(open_new(_i));
    struct store *s = open_again(_i, path);
    ck_assert_int_eq(put(s, 7, 1, 2), GW_OK);
    ck_assert_uint_eq(revoke_by(s, true, 2, 1900, 2000000), 0);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_OK);
    store_close(s);
    s = open_again(_i, path);
    ck_assert(has(s, 7));
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 1990000, 1990}), GW_E_EXPIRED);
    ck_assert_int_eq(store_use_once(s, id, 600), GW_E_EXPIRED);
    store_close(s);
    for (size_t i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "%s%s", path, SUFFIXES[i]);
        unlink(name);
    }
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* ---- telling ---- */

struct heard {
    int n;
    enum store_change change;
    uint8_t id[DIGEST_BYTES];
};

/* Stores tell of what they did in the call that did it, so what is heard here needs no lock once a listener's first word is passed
 * over. */
static void on_change(void *arg, enum store_change change, const uint8_t id[DIGEST_BYTES])
{
    struct heard *h = arg;
    if (change == STORE_UNKNOWN)
        return;
    h->n++;
    h->change = change;
    memcpy(h->id, id, DIGEST_BYTES);
}

#define ck_heard(h, what, of)                 \
    do {                                      \
        ck_assert_int_eq((h).n, 1);           \
        ck_assert_int_eq((h).change, (what)); \
        ck_assert_uint_eq((h).id[0], (of));   \
        (h).n = 0;                            \
    } while (0)

START_TEST(tells_of_each_row_that_it_ends_or_changes_in_the_call)
{
    struct store *s = open_new(_i);
    struct heard h = {.n = 0};
    uint8_t id[DIGEST_BYTES];
    store_watch(s, on_change, &h);
    for (unsigned i = 1; i < 5; i++)
        ck_assert_int_eq(give_birth(s, (struct birth){i, (uint8_t)(10 + i), 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(h.n, 0);
    set_id(id, 1);
    ck_assert_int_eq(store_session_need(s, id, 5), GW_OK);
    ck_heard(h, STORE_CHANGED, 1);
    ck_assert_int_eq(replace(s, 1, 1, "newer"), GW_OK);
    ck_heard(h, STORE_CHANGED, 1);
    ck_assert_int_eq(store_session_touch(s, id, 4000), GW_OK);
    ck_assert_int_eq(lease(s, 2, 1, 1000, 1000, true), STORE_LEASE_TAKEN);
    ck_assert_int_eq(h.n, 0);
    ck_assert_int_eq(lease(s, 2, 1, 1000, 1060, true), STORE_LEASE_LOST);
    ck_heard(h, STORE_ENDED, 2);
    ck_assert_int_eq(end_row(s, 3, 2000000, 9000), GW_OK);
    ck_heard(h, STORE_ENDED, 3);
    ck_assert_int_eq(end_row(s, 3, 2000000, 9000), GW_OK);
    ck_assert_int_eq(h.n, 0);
    ck_assert_uint_eq(revoke_by(s, false, 14, INT64_MAX, 2000000), 1);
    ck_heard(h, STORE_ENDED, 4);
    store_close(s);
    ck_assert_int_eq(h.n, 0);
}
END_TEST

int main(void)
{
    const TTest *const promises[] = {
        gives_back_the_row_that_was_put,
        unknown_row_is_not_found_and_ending_it_is_fine,
        ended_row_is_gone,
        same_id_twice_is_refused_and_the_first_stays,
        touch_moves_forward_only,
        need_is_remembered_and_forgotten,
        rows_over_the_cap_are_refused,
        logins_under_way_at_a_logout_are_refused_and_later_ones_are_not,
        logout_of_a_session_without_sid_speaks_to_the_persons_logins,
        tombstones_add_up_and_are_swept_when_their_time_has_come,
        revocation_by_sub_ends_all_that_was_issued_by_then_and_spares_what_came_later,
        revocation_that_names_itself_is_done_once_and_all_of_it_or_nothing,
        revocation_here_only_speaks_of_what_began_before_it,
        revocation_of_nobody_is_refused,
        replace_takes_the_row_of_that_version_and_never_adds_one,
        logout_during_a_refresh_leaves_nothing_to_replace,
        one_at_a_time_has_the_lease,
        lease_that_lapsed_passes_on_unless_a_refresh_token_was_spent,
        lists_what_lives_page_by_page,
        what_is_used_once_is_used_once_until_swept,
        T6_of_many_who_use_it_at_once_one_wins,
        sweep_takes_what_ended_and_leaves_the_rest,
        sweep_is_bounded,
        rows_tombstones_and_what_was_used_outlive_a_restart,
        tells_of_each_row_that_it_ends_or_changes_in_the_call,
    };
    Suite *suite = suite_create("store");
    TCase *t = tcase_create("store");
    if (!pgkit_start(&pg)) {
        fprintf(stderr, "store: no PostgreSQL server\n");
        pgkit_remove(&pg);
        return EXIT_FAILURE;
    }
    tcase_set_timeout(t, 120);
    for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++)
        tcase_add_loop_test(t, promises[i], 0, 2);
    suite_add_tcase(suite, t);
    int status = support_run(suite);
    pgkit_remove(&pg);
    return status;
}

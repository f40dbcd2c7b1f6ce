/* What only PostgreSQL does: several gateways on one database, a server that goes away, TLS, a schema that others may have made.
 * The rest: test_store. */
#include "pgkit.h"
#include "sessionkit.h"
#include "storekit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct pgkit pg;

static struct store *open_store(void)
{
    struct store *s = NULL;
    ck_assert_int_eq(store_open_postgres(pgkit_dsn(&pg), &s), GW_OK);
    return s;
}

static void drop_schema(void)
{
    pgkit_do(&pg, "SET client_min_messages = error; DROP SCHEMA IF EXISTS repogate CASCADE");
}

static struct store *open_new(void)
{
    drop_schema();
    return open_store();
}

/* ---- what others tell ---- */

struct heard {
    pthread_mutex_t lock;
    pthread_cond_t more;
    int n, n_unknown;
    enum store_change last;
    uint8_t id;
};

#define HEARD ((struct heard){.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER})

static void on_change(void *arg, enum store_change change, const uint8_t id[DIGEST_BYTES])
{
    struct heard *h = arg;
    pthread_mutex_lock(&h->lock);
    if (change == STORE_UNKNOWN)
        h->n_unknown++;
    else
        h->n++;
    h->last = change;
    h->id = id[0];
    pthread_cond_broadcast(&h->more);
    pthread_mutex_unlock(&h->lock);
}

static void wait_heard(struct heard *h, const int *count, int n)
{
    pthread_mutex_lock(&h->lock);
    while (*count < n)
        pthread_cond_wait(&h->more, &h->lock);
    ck_assert_int_eq(*count, n);
    pthread_mutex_unlock(&h->lock);
}

static void wait_watching(const struct store *s, bool is_watching)
{
    while (store_is_watching(s) != is_watching)
        pgkit_nap();
}

static struct store *open_watching(struct heard *h)
{
    struct store *s = open_store();
    store_watch(s, on_change, h);
    wait_watching(s, true);
    wait_heard(h, &h->n_unknown, 1);
    return s;
}

START_TEST(what_one_changes_or_ends_the_other_is_told_and_nobody_twice)
{
    struct heard ha = HEARD, hb = HEARD;
    drop_schema();
    struct store *a = open_watching(&ha), *b = open_watching(&hb);
    uint8_t id[DIGEST_BYTES];
    for (unsigned i = 1; i < 6; i++)
        ck_assert_int_eq(give_birth(a, (struct birth){i, (uint8_t)(10 + i), 2, 1000000, 1000}), GW_OK);
    set_id(id, 1);
    ck_assert_int_eq(store_session_need(a, id, 5), GW_OK);
    wait_heard(&hb, &hb.n, 1);
    ck_assert_int_eq(hb.last, STORE_CHANGED);
    ck_assert_uint_eq(hb.id, 1);
    ck_assert_int_eq(replace(a, 2, 1, "newer"), GW_OK);
    wait_heard(&hb, &hb.n, 2);
    ck_assert_int_eq(hb.last, STORE_CHANGED);
    ck_assert_int_eq(end_row(a, 3, 2000000, 9000), GW_OK);
    wait_heard(&hb, &hb.n, 3);
    ck_assert_int_eq(hb.last, STORE_ENDED);
    ck_assert_uint_eq(hb.id, 3);
    ck_assert_uint_eq(revoke_by(a, false, 14, INT64_MAX, 2000000), 1);
    wait_heard(&hb, &hb.n, 4);
    ck_assert_int_eq(lease(a, 5, 1, 1000, 1000, true), STORE_LEASE_TAKEN);
    ck_assert_int_eq(lease(a, 5, 1, 1000, 1060, true), STORE_LEASE_LOST);
    wait_heard(&hb, &hb.n, 5);
    /* The first was told of its own five in the calls, and hears of the other's only. */
    ck_assert_int_eq(end_row(b, 1, 2000000, 9000), GW_OK);
    wait_heard(&ha, &ha.n, 6);
    ck_assert_uint_eq(ha.id, 1);
    store_close(a);
    store_close(b);
}
END_TEST

START_TEST(revocation_of_very_many_tells_that_some_went_untold)
{
    struct heard ha = HEARD, hb = HEARD;
    size_t n = 0;
    struct store_revocation r = {.by_sub = true, .issued_until_s = 1000, .begun_until_ms = 2000000, .tomb_s = 9000};
    drop_schema();
    struct store *a = open_watching(&ha), *b = open_watching(&hb);
    pgkit_do(&pg,
             "SET search_path = repogate; INSERT INTO session SELECT decode(lpad(to_hex(i), 64, '0'), 'hex'),"
             " decode(repeat('01', 32), 'hex'), decode(repeat('02', 32), 'hex'), 1, 1000, 1000, 5000, 1000000, 1000, 0, NULL,"
             " false, NULL, 'x', 'y' FROM generate_series(1, 10001) i");
    set_mac(r.mac, 2);
    ck_assert_int_eq(store_revoke(a, &r, count_removed, &n), GW_OK);
    ck_assert_uint_eq(n, STORE_REVOKE_MAX);
    wait_heard(&hb, &hb.n_unknown, 2);
    wait_heard(&hb, &hb.n, STORE_REVOKE_MAX);
    wait_heard(&ha, &ha.n_unknown, 2);
    pgkit_wait(&pg, "SELECT count(*) FROM repogate.session", "0");
    store_close(a);
    store_close(b);
}
END_TEST

START_TEST(listener_that_the_server_ends_is_known_to_be_deaf_and_what_it_missed_is_unknown)
{
    struct heard h = HEARD;
    PGconn *conn = pgkit_connect(&pg);
    drop_schema();
    struct store *s = open_watching(&h), *other = open_store();
    ck_assert_int_eq(give_birth(other, (struct birth){1, 1, 2, 1000000, 1000}), GW_OK);
    pgkit_ask(conn, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'repogate'");
    wait_watching(s, false); /* for PGLISTEN_RETRY_MS at least */
    wait_watching(s, true);
    wait_heard(&h, &h.n_unknown, 2);
    ck_assert_int_eq(end_row(other, 1, 2000000, 9000), GW_OK);
    wait_heard(&h, &h.n, 1);
    PQfinish(conn);
    store_close(s);
    store_close(other);
}
END_TEST

START_TEST(after_unwatching_nothing_is_told)
{
    struct heard h = HEARD;
    drop_schema();
    struct store *s = open_watching(&h), *other = open_store();
    ck_assert_int_eq(give_birth(other, (struct birth){1, 1, 2, 1000000, 1000}), GW_OK);
    store_unwatch(s);
    ck_assert(!store_is_watching(s));
    pgkit_wait(&pg,
               "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'repogate' AND query IN ('LISTEN repogate', '')",
               "0");
    ck_assert_int_eq(end_row(other, 1, 2000000, 9000), GW_OK);
    ck_assert_int_eq(end_row(s, 1, 2000000, 9000), GW_OK);
    ck_assert_int_eq(h.n, 0);
    store_close(s);
    store_close(other);
}
END_TEST

/* A listener whose peer is there but says nothing, as behind a network that was cut. */
START_TEST(listener_that_gets_no_sign_of_life_is_known_to_be_deaf)
{
    struct heard h = HEARD;
    PGconn *conn = pgkit_connect(&pg);
    drop_schema();
    struct store *s = open_watching(&h);
    int pid = atoi(pgkit_ask(conn, "SELECT pid FROM pg_stat_activity WHERE application_name = 'repogate'"
                                   " AND pid = ANY (SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = '')"
                                   " ORDER BY backend_start DESC LIMIT 1"));
    ck_assert_int_gt(pid, 1);
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    wait_heard(&h, &h.n_unknown, 2); /* deaf, and connected anew */
    wait_watching(s, true);
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    PQfinish(conn);
    store_close(s);
}
END_TEST

/* ---- two at once ---- */

enum what { PUT, END, REVOKE_SID, REVOKE_SUB, REPLACE };

/* As another gateway does them, in a transaction that has not ended; of session 7, sid 1, sub 2, begun at 1000000. */
static const char *const THEIRS[] = {
    [PUT] = "SELECT session_put(decode('07000000' || repeat('00', 27) || '01', 'hex'), decode(repeat('01', 32), 'hex'),"
            " decode(repeat('02', 32), 'hex'), 1, 1000, 1001, 5000, 1000000, 1000, 0, 'label', 'secret')",
    [END] = "SELECT session_end(decode('07000000' || repeat('00', 27) || '01', 'hex'), 2000000, 9000)",
    [REVOKE_SID] =
        "SELECT session_revoke(0, decode(repeat('01', 32), 'hex'), 9223372036854775807, 2000000, 9000, 100, NULL, NULL, 0, 9223372036854775807)",
    [REVOKE_SUB] = "SELECT session_revoke(1, decode(repeat('02', 32), 'hex'), 1000, 2000000, 9000, 100, NULL, NULL, 0, 1000)",
    [REPLACE] = "SELECT session_replace(decode('07000000' || repeat('00', 27) || '01', 'hex'), 1, 'label', 'newer')",
};

struct ours {
    struct store *s;
    enum what what;
    unsigned id;
    enum gw_err err;
    atomic_bool is_done;
};

static void *do_ours(void *arg)
{
    struct ours *o = arg;
    switch (o->what) {
    case PUT:
        o->err = give_birth(o->s, (struct birth){o->id, 1, 2, 1000000, 1000});
        break;
    case END:
        o->err = end_row(o->s, o->id, 2000000, 9000);
        break;
    case REVOKE_SID:
        revoke_by(o->s, false, 1, INT64_MAX, 2000000);
        break;
    case REVOKE_SUB:
        revoke_by(o->s, true, 2, 1000, 2000000);
        break;
    case REPLACE:
        o->err = replace(o->s, o->id, 1, "ours");
        break;
    }
    atomic_store(&o->is_done, true);
    return NULL;
}

static const struct interleaving {
    bool is_there; /* session 7, before */
    enum what theirs, ours;
    unsigned our_id;
    enum gw_err err;
} INTERLEAVINGS[] = {
    /* A code is redeemed while the logout is under way, and the other way round: whichever is first, no row is left. */
    {true, END, PUT, 8, GW_E_EXPIRED},
    {false, REVOKE_SID, PUT, 8, GW_E_EXPIRED},
    {false, REVOKE_SUB, PUT, 8, GW_E_EXPIRED},
    {false, PUT, REVOKE_SID, 7, GW_OK},
    {false, PUT, REVOKE_SUB, 7, GW_OK},
    /* A refresh likewise. */
    {true, END, REPLACE, 7, GW_E_NOTFOUND},
    {true, REVOKE_SID, REPLACE, 7, GW_E_NOTFOUND},
    {true, REVOKE_SUB, REPLACE, 7, GW_E_NOTFOUND},
    {true, REPLACE, END, 7, GW_OK},
    {true, REPLACE, REVOKE_SID, 7, GW_OK},
    {true, REPLACE, REVOKE_SUB, 7, GW_OK},
    /* Of two refreshes one counts; the row stays. */
    {true, REPLACE, REPLACE, 7, GW_E_NOTFOUND},
};

START_TEST(logout_leaves_no_live_row_whatever_is_under_way_elsewhere)
{
    const struct interleaving *x = &INTERLEAVINGS[_i];
    struct store *s = open_new();
    static const char LOCKED[] = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    PGconn *conn = pgkit_connect(&pg), *looker = pgkit_connect(&pg);
    struct ours ours = {.s = s, .what = x->ours, .id = x->our_id, .err = GW_OK};
    pthread_t thread;
    if (x->is_there)
        ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    pgkit_ask(conn, "SET search_path = repogate; SET repogate.teller = ''; BEGIN");
    pgkit_ask(conn, THEIRS[x->theirs]);
    ck_assert_int_eq(pthread_create(&thread, NULL, do_ours, &ours), 0);
    while (!atomic_load(&ours.is_done) && strcmp(pgkit_ask(looker, LOCKED), "1") != 0)
        pgkit_nap();
    pgkit_ask(conn, "COMMIT");
    pthread_join(thread, NULL);
    ck_assert_int_eq(ours.err, x->err);
    bool is_logout = x->theirs != REPLACE || x->ours != REPLACE;
    ck_assert_str_eq(pgkit_ask(conn, "SELECT count(*) FROM session"), is_logout ? "0" : "1");
    PQfinish(conn);
    PQfinish(looker);
    store_close(s);
}
END_TEST

/* Hence two that share rows cannot each hold what the other wants. The row added first would be met first. */
START_TEST(revocation_takes_its_rows_in_order_of_their_ids)
{
    static const char LOCKED[] = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    struct store *s = open_new();
    PGconn *conn = pgkit_connect(&pg);
    struct ours ours = {.s = s, .what = REVOKE_SUB};
    pthread_t thread;
    ck_assert_int_eq(give_birth(s, (struct birth){9, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 3, 2, 1000000, 1000}), GW_OK);
    pgkit_ask(conn, "SET search_path = repogate; BEGIN; SELECT FROM session WHERE get_byte(id, 0) = 9 FOR UPDATE");
    ck_assert_int_eq(pthread_create(&thread, NULL, do_ours, &ours), 0);
    pgkit_wait(&pg, LOCKED, "1");
    ck_assert_str_eq(
        pgkit_ask(conn, "SELECT count(*) FROM (SELECT FROM session WHERE get_byte(id, 0) = 7 FOR UPDATE SKIP LOCKED) x"),
        "0"); /* it holds the first and waits for the last */
    pgkit_ask(conn, "ROLLBACK");
    pthread_join(thread, NULL);
    ck_assert_str_eq(pgkit_ask(conn, "SELECT count(*) FROM repogate.session"), "0");
    PQfinish(conn);
    store_close(s);
}
END_TEST

START_TEST(lease_of_one_gateway_holds_for_the_other_and_is_not_its_to_give_back)
{
    struct store *a = open_new(), *b = open_store();
    uint8_t id[DIGEST_BYTES];
    set_id(id, 7);
    ck_assert_int_eq(give_birth(a, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(lease(a, 7, 1, 1000, 1060, true), STORE_LEASE_TAKEN);
    /* A clock that is an hour ahead does not make it lapse. */
    ck_assert_int_eq(lease(b, 7, 1, 4600, 4660, true), STORE_LEASE_HELD);
    ck_assert_int_eq(store_session_release(b, id, 1), GW_OK);
    ck_assert_int_eq(lease(b, 7, 1, 1000, 1060, true), STORE_LEASE_HELD);
    ck_assert_int_eq(store_session_release(a, id, 1), GW_OK);
    ck_assert_int_eq(lease(b, 7, 1, 1000, 1060, true), STORE_LEASE_TAKEN);
    store_close(a);
    store_close(b);
}
END_TEST

struct worker {
    struct store *s;
    unsigned number, seed;
    int n_failed;
};

enum { WORKERS = 8, STEPS = 150 };

/* Few people, and rows that somebody has added a moment ago, so that all meet all the time. */
static enum gw_err work_once(struct worker *w, unsigned i)
{
    unsigned r = w->seed = w->seed * 1103515245 + 12345, id = (r >> 8) % WORKERS * STEPS + (r >> 12) % (i + 1);
    uint8_t sid = (uint8_t)(1 + (r >> 20 & 1)), sub = (uint8_t)(11 + (r >> 21 & 1));
    int64_t now_s = 1000 + i;
    struct store_revocation rev = {
        .by_sub = (r >> 22 & 1) != 0, .issued_until_s = now_s, .begun_until_ms = now_s * 1000, .tomb_s = now_s};
    size_t n = 0;
    switch (r >> 24 & 7) {
    case 0:
        return end_row(w->s, id, now_s * 1000, 5000);
    case 1:
        set_mac(rev.mac, rev.by_sub ? sub : sid);
        return store_revoke(w->s, &rev, count_removed, &n);
    case 2:
        return replace(w->s, id, 1, "newer");
    case 3:
        return store_sweep(w->s, now_s, 500, &n);
    default:
        return give_birth(w->s, (struct birth){w->number * STEPS + i, sid, sub, now_s * 1000 + 1, now_s + 1});
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < STEPS; i++) {
        enum gw_err err = work_once(w, i);
        w->n_failed += err != GW_OK && err != GW_E_NOTFOUND && err != GW_E_EXPIRED;
    }
    return NULL;
}

START_TEST(many_at_once_never_wait_in_a_circle)
{
    struct store *a = open_new(), *b = open_store();
    struct worker workers[WORKERS];
    pthread_t threads[WORKERS];
    PGconn *conn = pgkit_connect(&pg);
    pgkit_ask(conn, "SET search_path = repogate");
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){i % 2 == 0 ? a : b, i, 7 * i + 1, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(workers[i].n_failed, 0);
    }
    /* And the counters have followed. */
    ck_assert_str_eq(pgkit_ask(conn, "SELECT (SELECT count(*) FROM session) - (SELECT sum(n) FROM held WHERE kind = 'session')"),
                     "0");
    ck_assert_str_eq(pgkit_ask(conn, "SELECT (SELECT count(*) FROM tomb) - (SELECT sum(n) FROM held WHERE kind = 'tomb')"), "0");
    PQfinish(conn);
    store_close(a);
    store_close(b);
}
END_TEST

/* ---- caps ---- */

START_TEST(caps_hold_over_all_gateways_and_what_goes_makes_room)
{
    struct store *a = open_new(), *b = open_store();
    uint8_t id[DIGEST_BYTES] = {9};
    pgkit_do(&pg, "UPDATE repogate.held SET n_max = 2 WHERE kind <> 'tomb'");
    /* The first byte of the id chooses the place: 16, 32 and 48 share one. */
    ck_assert_int_eq(put(a, 16, 1000, 5000), GW_OK);
    ck_assert_int_eq(put(b, 32, 1000, 5000), GW_OK);
    ck_assert_int_eq(put(a, 48, 1000, 5000), GW_E_LIMIT);
    ck_assert_int_eq(put(b, 48, 1000, 5000), GW_E_LIMIT);
    ck_assert(!has(a, 48));
    ck_assert_int_eq(end_row(b, 16, 1000, 0), GW_OK);
    ck_assert_int_eq(put(a, 48, 1000, 5000), GW_OK);
    pgkit_do(&pg, "DELETE FROM repogate.session WHERE id = decode('20' || repeat('00', 30) || '01', 'hex')");
    ck_assert_int_eq(put(a, 16, 1000, 5000), GW_OK);
    pgkit_do(&pg, "TRUNCATE repogate.session");
    for (unsigned i = 16; i < 48; i += 16)
        ck_assert_int_eq(put(a, i, 1000, 5000), GW_OK);
    for (int i = 0; i < 3; i++) {
        id[0] = (uint8_t)(16 * i);
        ck_assert_int_eq(store_use_once(i == 0 ? a : b, id, 600), i < 2 ? GW_OK : GW_E_LIMIT);
    }
    store_close(a);
    store_close(b);
}
END_TEST

START_TEST(logout_without_a_place_for_its_tombstone_refuses_every_login_under_way)
{
    struct store *s = open_new();
    pgkit_do(&pg, "UPDATE repogate.held SET n_max = n WHERE kind = 'tomb'");
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(end_row(s, 7, 2000000, 9000), GW_OK);
    ck_assert(!has(s, 7));
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 1990000, 1990}), GW_E_EXPIRED);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 3, 4, 1990000, 1990}), GW_E_EXPIRED); /* the price */
    ck_assert_int_eq(give_birth(s, (struct birth){8, 0, 4, 2000001, 2000}), GW_OK);
    store_close(s);
}
END_TEST

struct sweeper {
    struct store *s;
    size_t n_removed;
    enum gw_err err;
};

static void *sweep_all(void *arg)
{
    struct sweeper *w = arg;
    size_t n = 1;
    while (w->err == GW_OK && n > 0) {
        w->err = store_sweep(w->s, 2000, 100, &n);
        w->n_removed += w->err == GW_OK ? n : 0;
    }
    return NULL;
}

START_TEST(several_may_sweep_at_once)
{
    struct store *a = open_new(), *b = open_store();
    struct sweeper sweepers[2] = {{a, 0, GW_OK}, {b, 0, GW_OK}};
    pthread_t threads[2];
    for (unsigned i = 0; i < 400; i++)
        ck_assert_int_eq(put(a, i, 1000, i % 2 == 0 ? 1500 : 5000), GW_OK);
    uint8_t id[DIGEST_BYTES];
    for (unsigned i = 1; i < 400; i += 2) {
        set_id(id, i);
        ck_assert_int_eq(store_session_touch(b, id, 1950), GW_OK);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sweep_all, &sweepers[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(sweepers[i].err, GW_OK);
    }
    ck_assert_uint_eq(sweepers[0].n_removed + sweepers[1].n_removed, 200);
    for (unsigned i = 0; i < 400; i++)
        ck_assert_int_eq(has(a, i), i % 2 == 1);
    store_close(a);
    store_close(b);
}
END_TEST

START_TEST(sweep_leaves_a_row_whose_use_is_being_noted_elsewhere)
{
    struct store *s = open_new();
    PGconn *conn = pgkit_connect(&pg);
    size_t n = 1;
    ck_assert_int_eq(put(s, 7, 1000, 5000), GW_OK);
    pgkit_ask(conn, "BEGIN; UPDATE repogate.session SET seen_s = 2000");
    ck_assert_int_eq(store_sweep(s, 2000, 100, &n), GW_OK);
    ck_assert_uint_eq(n, 0);
    pgkit_ask(conn, "COMMIT");
    ck_assert(has(s, 7));
    PQfinish(conn);
    store_close(s);
}
END_TEST

/* ---- a server that goes away ---- */

START_TEST(calls_fail_while_the_server_is_gone_and_work_again_when_it_is_back)
{
    struct pgkit own;
    struct heard h = HEARD;
    struct store *s = NULL;
    struct store_row row;
    uint8_t id[DIGEST_BYTES] = {9};
    size_t n;
    ck_assert(pgkit_start(&own));
    ck_assert_int_eq(store_open_postgres(pgkit_dsn(&own), &s), GW_OK);
    store_watch(s, on_change, &h);
    wait_watching(s, true);
    ck_assert_int_eq(put(s, 7, 1000, 5000), GW_OK);
    pgkit_halt(&own, SIGINT);
    wait_watching(s, false);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(put(s, 8, 1000, 5000), GW_E_IO);
        ck_assert_int_eq(get(s, 7, &row), GW_E_IO);
        ck_assert_int_eq(end_row(s, 7, 1000, 9000), GW_E_IO);
        ck_assert_int_eq(store_use_once(s, id, 600), GW_E_IO);
        ck_assert_int_eq(store_sweep(s, 1000, 60, &n), GW_E_IO);
    }
    ck_assert(pgkit_run(&own));
    wait_watching(s, true);
    while (get(s, 7, &row) != GW_OK)
        pgkit_nap();
    store_row_deinit(&row);
    ck_assert(!has(s, 8));
    /* A restart between two calls is noticed by neither. */
    pgkit_halt(&own, SIGINT);
    ck_assert(pgkit_run(&own));
    ck_assert_int_eq(store_use_once(s, id, 600), GW_OK);
    store_close(s);
    pgkit_remove(&own);
}
END_TEST

START_TEST(call_that_gets_no_answer_ends_and_the_next_has_another_connection)
{
    struct store *s = open_new();
    struct store_row row;
    PGconn *conn = pgkit_connect(&pg);
    ck_assert_int_eq(put(s, 7, 1000, 5000), GW_OK);
    int pid = atoi(pgkit_ask(conn, "SELECT pid FROM pg_stat_activity WHERE application_name = 'repogate'"));
    ck_assert_int_gt(pid, 1);
    ck_assert_int_eq(kill(pid, SIGSTOP), 0);
    ck_assert_int_eq(get(s, 7, &row), GW_E_IO);
    ck_assert(has(s, 7));
    ck_assert_int_eq(kill(pid, SIGCONT), 0);
    PQfinish(conn);
    store_close(s);
}
END_TEST

/* What holds a lock for ever holds up nobody for ever. */
START_TEST(call_that_waits_for_a_lock_ends)
{
    struct store *s = open_new();
    PGconn *conn = pgkit_connect(&pg);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    pgkit_ask(conn, "BEGIN; LOCK TABLE repogate.session");
    ck_assert_int_eq(end_row(s, 7, 2000000, 9000), GW_E_IO);
    pgkit_ask(conn, "ROLLBACK");
    ck_assert(has(s, 7));
    ck_assert_str_eq(pgkit_ask(conn, "SELECT count(*) FROM repogate.tomb"), "1"); /* nothing of it happened: only everyone's */
    PQfinish(conn);
    store_close(s);
}
END_TEST

START_TEST(connection_that_the_server_ended_while_idle_is_replaced_unnoticed)
{
    struct store *s = open_new();
    ck_assert_int_eq(put(s, 7, 1000, 5000), GW_OK);
    pgkit_do(&pg, "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'repogate'");
    ck_assert(has(s, 7));
    store_close(s);
}
END_TEST

START_TEST(missing_server_is_an_io_error)
{
    struct store *s = NULL;
    char reason[STORE_REASON_MAX] = "";
    ck_assert_int_eq(store_probe_postgres("host=/tmp/there-is-none user=postgres", reason), GW_E_IO);
    ck_assert_uint_gt(strlen(reason), 10);
    ck_assert_int_eq(store_open_postgres("host=/tmp/there-is-none user=postgres", &s), GW_E_IO);
    ck_assert_ptr_null(s);
}
END_TEST

START_TEST(connection_string_can_be_changed_for_new_connections)
{
    struct store *s = open_new();
    char other[PGKIT_DSN_MAX + 32];
    PGconn *conn = pgkit_connect(&pg);
    snprintf(other, sizeof(other), "%s application_name=renamed", pgkit_dsn(&pg));
    ck_assert_int_eq(store_use_dsn(s, VIEW("host=/tmp sslmode=prefer")), GW_E_INVALID);
    ck_assert_int_eq(store_use_dsn(s, view_of(other)), GW_OK);
    ck_assert_int_eq(put(s, 7, 1000, 5000), GW_OK);
    pgkit_ask(conn, "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'repogate'");
    ck_assert(has(s, 7));
    ck_assert_str_eq(pgkit_ask(conn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'renamed'"), "1");
    PQfinish(conn);
    store_close(s);
}
END_TEST

/* ---- TLS ---- */

START_TEST(tls_is_as_sslmode_says_and_never_weaker)
{
    static const struct {
        const char *dsn; /* with port, directory */
        enum gw_err err;
    } CASES[] = {
        {"host=pg.test hostaddr=127.0.0.1 port=%d user=postgres sslmode=verify-full sslrootcert=%s/server.crt", GW_OK},
        {"host=pg.test hostaddr=127.0.0.1 port=%d user=postgres sslrootcert=%s/server.crt", GW_OK},
        {"postgresql://postgres@pg.test:%d/postgres?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=%s/server.crt", GW_OK},
        /* another name, no authority, one that has not signed it */
        {"host=other.test hostaddr=127.0.0.1 port=%d user=postgres sslmode=verify-full sslrootcert=%s/server.crt", GW_E_IO},
        {"host=other.test hostaddr=127.0.0.1 port=%d user=postgres sslrootcert=%s/server.crt", GW_E_IO},
        {"host=127.0.0.1 port=%d user=postgres sslrootcert=%s/no.crt", GW_E_IO},
        {"host=127.0.0.1 port=%d user=postgres", GW_E_IO},
        {"host=pg.test hostaddr=127.0.0.1 port=%d user=postgres sslmode=prefer sslrootcert=%s/server.crt", GW_E_INVALID},
        {"host=pg.test hostaddr=127.0.0.1 port=%d user=postgres sslmode=allow sslrootcert=%s/server.crt", GW_E_INVALID},
        {"host=127.0.0.1 port=%d user=postgres connect_timeout=0 sslmode=disable", GW_E_INVALID},
        {"host=127.0.0.1 port=%d user=postgres sslmode=maybe", GW_E_IO},
        {"port=%d nonsense", GW_E_INVALID},
    };
    char dsn[PGKIT_DSN_MAX];
    struct store *s = NULL;
    setenv("HOME", "/nonexistent", 1); /* where libpq looks for authorities */
    drop_schema();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(dsn, sizeof(dsn), CASES[_i].dsn, pg.port, pg.dir);
#pragma GCC diagnostic pop
    ck_assert_int_eq(store_open_postgres(dsn, &s), CASES[_i].err);
    if (s != NULL) {
        PGconn *conn = pgkit_connect(&pg);
        ck_assert_str_eq(pgkit_ask(conn, "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                                         " WHERE application_name = 'repogate'"),
                         "t");
        PQfinish(conn);
    }
    store_close(s);
}
END_TEST

START_TEST(reason_for_refusing_a_connection_string_holds_none_of_it)
{
    static const char *const DSNS[] = {"password=hush-hush nonsense", "postgresql://u:hush-hush@[",
                                       "password=hush-hush sslmode=prefer"};
    char reason[STORE_REASON_MAX] = "";
    ck_assert_int_eq(store_check_dsn(DSNS[_i], reason), GW_E_INVALID);
    ck_assert_uint_gt(strlen(reason), 10);
    ck_assert_ptr_null(strstr(reason, "hush"));
}
END_TEST

/* ---- schema ---- */

START_TEST(schema_of_another_kind_or_of_a_newer_version_is_refused_and_left_alone)
{
    static const char *const MADE[] = {"CREATE SCHEMA repogate; CREATE TABLE repogate.other (x int)",
                                       "UPDATE repogate.schema_version SET version = version + 1"};
    struct store *s = NULL;
    PGconn *conn = pgkit_connect(&pg);
    static const char TABLES[] = "SELECT count(*) FROM pg_class WHERE relnamespace = 'repogate'::regnamespace";
    char before[128];
    char reason[STORE_REASON_MAX] = "";
    drop_schema();
    ck_assert_int_eq(store_probe_postgres(pgkit_dsn(&pg), reason), GW_OK);
    ck_assert_str_eq(pgkit_ask(conn, "SELECT count(to_regnamespace('repogate'))"), "0"); /* nothing was made */
    if (_i == 1)
        store_close(open_store());
    ck_assert_int_eq(store_probe_postgres(pgkit_dsn(&pg), reason), GW_OK);
    pgkit_ask(conn, MADE[_i]);
    snprintf(before, sizeof(before), "%s", pgkit_ask(conn, TABLES));
    ck_assert_int_eq(store_probe_postgres(pgkit_dsn(&pg), reason), GW_E_INVALID);
    ck_assert_ptr_nonnull(strstr(reason, "newer version"));
    ck_assert_int_eq(store_open_postgres(pgkit_dsn(&pg), &s), GW_E_INVALID);
    ck_assert_ptr_null(s);
    ck_assert_str_eq(pgkit_ask(conn, TABLES), before);
    PQfinish(conn);
}
END_TEST

static void *open_one(void *arg)
{
    struct store **s = arg;
    return store_open_postgres(pgkit_dsn(&pg), s) == GW_OK ? *s : NULL;
}

START_TEST(gateways_that_start_together_make_the_schema_once)
{
    enum { N = 4 };
    struct store *stores[N] = {NULL};
    pthread_t threads[N];
    drop_schema();
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, open_one, &stores[i]), 0);
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_ptr_nonnull(stores[i]);
        ck_assert_int_eq(put(stores[i], (unsigned)i, 1000, 5000), GW_OK);
    }
    for (int i = 0; i < N; i++)
        store_close(stores[i]);
}
END_TEST

/* The README's set-up: an owner of one database and nothing else. */
START_TEST(role_that_owns_its_database_is_enough)
{
    struct store *s = NULL;
    char dsn[PGKIT_DSN_MAX];
    PGconn *conn = pgkit_connect(&pg);
    pgkit_ask(conn, "CREATE ROLE gateway LOGIN");
    pgkit_ask(conn, "CREATE DATABASE gateway OWNER gateway");
    snprintf(dsn, sizeof(dsn), "host=%s port=%d user=gateway dbname=gateway", pg.dir, pg.port);
    ck_assert_int_eq(store_open_postgres(dsn, &s), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(end_row(s, 7, 2000000, 9000), GW_OK);
    store_close(s);
    pgkit_ask(conn, "DROP DATABASE gateway WITH (FORCE)");
    pgkit_ask(conn, "DROP ROLE gateway");
    PQfinish(conn);
}
END_TEST

START_TEST(row_of_odd_lengths_is_a_failure_not_an_answer)
{
    static const char *const SQL[] = {
        "UPDATE repogate.session SET secret = decode(repeat('00', 262145), 'hex')",
        "ALTER TABLE repogate.session DROP CONSTRAINT session_sid_mac_check; UPDATE repogate.session SET sid_mac = 'short'",
    };
    struct store *s = open_new();
    struct store_row row;
    ck_assert_int_eq(put(s, 7, 1000, 5000), GW_OK);
    pgkit_do(&pg, SQL[_i]);
    ck_assert_int_eq(get(s, 7, &row), GW_E_IO);
    store_close(s);
}
END_TEST

START_TEST(replace_of_a_row_that_a_tombstone_speaks_against_ends_it)
{
    struct store *s = open_new();
    ck_assert_int_eq(give_birth(s, (struct birth){7, 1, 2, 1000000, 1000}), GW_OK);
    ck_assert_int_eq(give_birth(s, (struct birth){8, 1, 2, 1000000, 1001}), GW_OK);
    pgkit_do(&pg, "INSERT INTO repogate.tomb SELECT sub_mac, 1000, 2000000, 9000 FROM repogate.session WHERE issued_s = 1000");
    ck_assert_int_eq(replace(s, 7, 1, "newer"), GW_E_EXPIRED);
    ck_assert(!has(s, 7));
    ck_assert_int_eq(replace(s, 8, 1, "newer"), GW_OK);
    store_close(s);
}
END_TEST

/* ---- what a thief of the database has ---- */

static void assert_absent(struct view dump, struct view canary)
{
    ck_assert_msg(memmem(dump.p, dump.n, canary.p, canary.n) == NULL, "the dump holds \"%.*s\"", VIEW_FMT(canary));
}

/* bytea is dumped as hex. */
static void assert_absent_both(struct view dump, struct view canary)
{
    struct buf hex = BUF(1024);
    assert_absent(dump, canary);
    buf_put_hex(&hex, (const uint8_t *)canary.p, canary.n);
    assert_absent(dump, buf_view(&hex));
    buf_deinit(&hex);
}

START_TEST(G10_L3_dump_of_the_database_holds_neither_token_nor_claim_nor_cookie_nor_name)
{
    static char dump[8 * 1024 * 1024];
    char command[128];
    struct set *x = set_new();
    store_close(x->fake.inner);
    x->fake.inner = open_new();
    struct cookie c = create(x, CLAIMS), d = create(x, CLAIMS);
    struct answer a = {.loop = x->loop};
    ck_assert_int_eq(session_end(x->ss, x->loop, view(&d), on_ended, &a), GW_OK);
    answer_wait(&a);
    snprintf(command, sizeof(command), "pg_dump -h %s -p %d -U postgres postgres", pg.dir, pg.port);
    FILE *f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    struct view all = view_at(dump, fread(dump, 1, sizeof(dump), f));
    ck_assert_int_eq(pclose(f), 0);
    ck_assert_ptr_nonnull(memmem(all.p, all.n, "COPY repogate.session", 21));
    ck_assert_uint_gt(all.n, 5000);
    static const char *const CANARIES[] = {"canary", "192.0.2.77", "auth.example.org", "groups\""};
    for (size_t i = 0; i < sizeof(CANARIES) / sizeof(CANARIES[0]); i++)
        assert_absent_both(all, view_of(CANARIES[i]));
    assert_absent_both(all, view_at(c.text, 12));
    assert_absent_both(all, view_at(d.text, 12));
    set_free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("postgres");
    TCase *t = tcase_create("postgres");
    if (!pgkit_start(&pg)) {
        fprintf(stderr, "postgres: no PostgreSQL server\n");
        pgkit_remove(&pg);
        return EXIT_FAILURE;
    }
    tcase_set_timeout(t, 120);
    tcase_add_test(t, what_one_changes_or_ends_the_other_is_told_and_nobody_twice);
    tcase_add_test(t, revocation_of_very_many_tells_that_some_went_untold);
    tcase_add_test(t, listener_that_the_server_ends_is_known_to_be_deaf_and_what_it_missed_is_unknown);
    tcase_add_test(t, after_unwatching_nothing_is_told);
    tcase_add_test(t, listener_that_gets_no_sign_of_life_is_known_to_be_deaf);
    tcase_add_loop_test(t, logout_leaves_no_live_row_whatever_is_under_way_elsewhere, 0,
                        sizeof(INTERLEAVINGS) / sizeof(INTERLEAVINGS[0]));
    tcase_add_test(t, revocation_takes_its_rows_in_order_of_their_ids);
    tcase_add_test(t, lease_of_one_gateway_holds_for_the_other_and_is_not_its_to_give_back);
    tcase_add_test(t, many_at_once_never_wait_in_a_circle);
    tcase_add_test(t, caps_hold_over_all_gateways_and_what_goes_makes_room);
    tcase_add_test(t, logout_without_a_place_for_its_tombstone_refuses_every_login_under_way);
    tcase_add_test(t, several_may_sweep_at_once);
    tcase_add_test(t, sweep_leaves_a_row_whose_use_is_being_noted_elsewhere);
    tcase_add_test(t, calls_fail_while_the_server_is_gone_and_work_again_when_it_is_back);
    tcase_add_test(t, call_that_gets_no_answer_ends_and_the_next_has_another_connection);
    tcase_add_test(t, call_that_waits_for_a_lock_ends);
    tcase_add_test(t, connection_that_the_server_ended_while_idle_is_replaced_unnoticed);
    tcase_add_test(t, missing_server_is_an_io_error);
    tcase_add_test(t, connection_string_can_be_changed_for_new_connections);
    tcase_add_loop_test(t, tls_is_as_sslmode_says_and_never_weaker, 0, 12);
    tcase_add_loop_test(t, reason_for_refusing_a_connection_string_holds_none_of_it, 0, 3);
    tcase_add_loop_test(t, schema_of_another_kind_or_of_a_newer_version_is_refused_and_left_alone, 0, 2);
    tcase_add_test(t, gateways_that_start_together_make_the_schema_once);
    tcase_add_test(t, role_that_owns_its_database_is_enough);
    tcase_add_loop_test(t, row_of_odd_lengths_is_a_failure_not_an_answer, 0, 2);
    tcase_add_test(t, replace_of_a_row_that_a_tombstone_speaks_against_ends_it);
    tcase_add_test(t, G10_L3_dump_of_the_database_holds_neither_token_nor_claim_nor_cookie_nor_name);
    suite_add_tcase(suite, t);
    int status = support_run(suite);
    pgkit_remove(&pg);
    return status;
}

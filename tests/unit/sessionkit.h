/* sessionkit: sessions over a store that can be held, counted and made to fail, for the tests of session's modules. */
#pragma once

#include "store/backend.h"
#include "store/sessionrow.h"
#include "util/epoch.h"
#include "util/meter.h"

#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { IDLE_S = 1800, ABSOLUTE_S = 7200 };
static const int64_t NOW_S = 1700000000;

/* ---- a codec whose `who` is the claims' text, counted ---- */

struct who {
    atomic_int n_refs;
    struct view text;
    char bytes[];
};

static atomic_int n_whos;

static inline enum gw_err who_decode(void *cls, struct view claims_json, void **ret_who, size_t *ret_bytes)
{
    (void)cls;
    if (claims_json.n == 0 || claims_json.p[0] != '{')
        return GW_E_INVALID;
    struct who *w = malloc(sizeof(*w) + claims_json.n);
    ck_assert_ptr_nonnull(w);
    atomic_init(&w->n_refs, 1);
    memcpy(w->bytes, claims_json.p, claims_json.n);
    w->text = view_at(w->bytes, claims_json.n);
    atomic_fetch_add(&n_whos, 1);
    *ret_who = w;
    *ret_bytes = sizeof(*w) + claims_json.n;
    return GW_OK;
}

static inline void *who_ref(void *who)
{
    atomic_fetch_add(&((struct who *)who)->n_refs, 1);
    return who;
}

static inline void who_unref(void *who)
{
    struct who *w = who;
    if (atomic_fetch_sub(&w->n_refs, 1) != 1)
        return;
    atomic_fetch_sub(&n_whos, 1);
    free(w);
}

/* ---- a store that can be held, counted and made to fail ---- */

struct fake {
    struct store base;
    struct store *inner;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold_get, hold_delete, hold_replace,
        hold_replaced; /* get: after it has read; delete, replace: before that; replaced: after */
    bool hold_put, hold_after_put;
    bool is_deaf;      /* changes by others go untold */
    bool is_unwatched; /* and it says so */
    bool fail_get, fail_put, fail_touch, fail_delete, fail_revoke, fail_lease, fail_release, fail_replace;
    int n_held, n_gets, n_touches, n_deletes, n_leases, n_releases, n_replaces;
};

static inline struct fake *of_store(struct store *s)
{
    return (struct fake *)(void *)s;
}

static inline void fake_hold(struct fake *f, const bool *hold)
{
    pthread_mutex_lock(&f->lock);
    f->n_held++;
    pthread_cond_broadcast(&f->changed);
    while (*hold)
        pthread_cond_wait(&f->changed, &f->lock);
    f->n_held--;
    pthread_mutex_unlock(&f->lock);
}

static inline void fake_set(struct fake *f, bool *what, bool value)
{
    pthread_mutex_lock(&f->lock);
    *what = value;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static inline void fake_wait_held(struct fake *f, int n)
{
    pthread_mutex_lock(&f->lock);
    while (f->n_held != n)
        pthread_cond_wait(&f->changed, &f->lock);
    pthread_mutex_unlock(&f->lock);
}

/* True if the call is to fail. */
static inline bool fake_count(struct fake *f, int *n, const bool *fail)
{
    pthread_mutex_lock(&f->lock);
    (*n)++;
    bool is_failing = *fail;
    pthread_mutex_unlock(&f->lock);
    return is_failing;
}

static inline enum gw_err fake_put(struct store *s, const struct store_row *row)
{
    struct fake *f = of_store(s);
    fake_hold(f, &f->hold_put);
    enum gw_err err = f->fail_put ? GW_E_IO : store_session_put(f->inner, row);
    fake_hold(f, &f->hold_after_put);
    return err;
}

static inline enum gw_err fake_get(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row)
{
    struct fake *f = of_store(s);
    if (fake_count(f, &f->n_gets, &f->fail_get))
        return GW_E_IO;
    enum gw_err err = store_session_get(f->inner, id, ret_row);
    fake_hold(f, &f->hold_get);
    return err;
}

static inline enum gw_err fake_touch(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s)
{
    struct fake *f = of_store(s);
    return fake_count(f, &f->n_touches, &f->fail_touch) ? GW_E_IO : store_session_touch(f->inner, id, seen_s);
}

static inline enum gw_err fake_need(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t need)
{
    return store_session_need(of_store(s)->inner, id, need);
}

static inline enum gw_err fake_lease(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version, int64_t now_s,
                                     int64_t until_s, bool is_granting, enum store_lease *ret_lease)
{
    struct fake *f = of_store(s);
    return fake_count(f, &f->n_leases, &f->fail_lease)
               ? GW_E_IO
               : store_session_lease(f->inner, id, version, now_s, until_s, is_granting, ret_lease);
}

static inline enum gw_err fake_release(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version)
{
    struct fake *f = of_store(s);
    return fake_count(f, &f->n_releases, &f->fail_release) ? GW_E_IO : store_session_release(f->inner, id, version);
}

static inline enum gw_err fake_replace(struct store *s, const struct store_row *row)
{
    struct fake *f = of_store(s);
    fake_hold(f, &f->hold_replace);
    enum gw_err err = fake_count(f, &f->n_replaces, &f->fail_replace) ? GW_E_IO : store_session_replace(f->inner, row);
    fake_hold(f, &f->hold_replaced);
    return err;
}

static inline enum gw_err fake_end(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t now_ms, int64_t tomb_s)
{
    struct fake *f = of_store(s);
    fake_hold(f, &f->hold_delete);
    return fake_count(f, &f->n_deletes, &f->fail_delete) ? GW_E_IO : store_session_end(f->inner, id, now_ms, tomb_s);
}

static inline enum gw_err fake_revoke(struct store *s, const struct store_revocation *r,
                                      void (*fn)(void *arg, const uint8_t id[DIGEST_BYTES]), void *arg)
{
    return of_store(s)->fail_revoke ? GW_E_IO : store_revoke(of_store(s)->inner, r, fn, arg);
}

static inline enum gw_err fake_list(struct store *s, const uint8_t *after, size_t n_max, int64_t now_s, struct store_row *rows,
                                    size_t *ret_n)
{
    struct store *inner = of_store(s)->inner;
    return inner->ops->session_list(inner, after, n_max, now_s, rows, ret_n);
}

static inline enum gw_err fake_use_once(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s)
{
    return store_use_once(of_store(s)->inner, id, expires_s);
}

static inline void fake_tell(void *arg, enum store_change change, const uint8_t id[DIGEST_BYTES])
{
    struct fake *f = arg;
    if (!f->is_deaf)
        f->base.watch_fn(f->base.watch_arg, change, id);
}

static inline void fake_watch(struct store *s)
{
    store_watch(of_store(s)->inner, fake_tell, s);
}

static inline bool fake_is_watching(const struct store *s)
{
    return !((const struct fake *)(const void *)s)->is_unwatched;
}

static inline enum gw_err fake_sweep(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed)
{
    return store_sweep(of_store(s)->inner, now_s, idle_s, ret_n_removed);
}

static inline void fake_unwatch(struct store *s)
{
    store_unwatch(of_store(s)->inner);
}

static const struct store_ops FAKE_OPS = {
    .session_put = fake_put,
    .session_get = fake_get,
    .session_touch = fake_touch,
    .session_need = fake_need,
    .session_lease = fake_lease,
    .session_release = fake_release,
    .session_replace = fake_replace,
    .session_end = fake_end,
    .revoke = fake_revoke,
    .session_list = fake_list,
    .use_once = fake_use_once,
    .sweep = fake_sweep,
    .watch = fake_watch,
    .unwatch = fake_unwatch,
    .is_watching = fake_is_watching,
};

/* ---- a set of it all ---- */

struct set {
    struct fake fake;
    struct jobs *jobs;
    struct loop *loop;
    struct seal_ring *ring;
    struct sessions *ss;
    int64_t idle_s, absolute_s, refresh_s, grace_s, refresh_wait_ms;
    size_t cache_bytes;
};

static inline struct seal_ring *ring_of(uint8_t first, size_t n)
{
    uint8_t keys[SEAL_KEYS_MAX][SEAL_KEY_BYTES];
    struct seal_ring *ring = NULL;
    for (size_t i = 0; i < n; i++)
        memset(keys[i], first - (int)i, SEAL_KEY_BYTES);
    ck_assert_int_eq(seal_ring_new(keys, n, &ring), GW_OK);
    return ring;
}

static inline void set_start(struct set *x)
{
    struct sessions_spec spec = {.store = &x->fake.base,
                                 .jobs = x->jobs,
                                 .ring = x->ring,
                                 .idle_s = x->idle_s,
                                 .absolute_s = x->absolute_s,
                                 .refresh_s = x->refresh_s,
                                 .grace_s = x->grace_s,
                                 .refresh_wait_ms = x->refresh_wait_ms,
                                 .cache_bytes = x->cache_bytes,
                                 .codec = {who_decode, who_ref, who_unref, NULL}};
    ck_assert_int_eq(sessions_new(&spec, &x->ss), GW_OK);
}

static inline struct set *set_new_at(const char *path, size_t n_threads, size_t queue_max)
{
    struct set *x = calloc(1, sizeof(*x));
    ck_assert_ptr_nonnull(x);
    x->fake.base.ops = &FAKE_OPS;
    pthread_mutex_init(&x->fake.lock, NULL);
    pthread_cond_init(&x->fake.changed, NULL);
    x->idle_s = IDLE_S;
    x->absolute_s = ABSOLUTE_S;
    x->ring = ring_of(7, 1);
    epoch_fix_ms(NOW_S * 1000);
    ck_assert_int_eq(store_open(path, &x->fake.inner), GW_OK);
    ck_assert_int_eq(loop_new(&x->loop), GW_OK);
    ck_assert_int_eq(jobs_new(n_threads, queue_max, &x->jobs), GW_OK);
    set_start(x);
    return x;
}

static inline struct set *set_new(void)
{
    return set_new_at(":memory:", 2, 64);
}

static inline void set_free(struct set *x)
{
    jobs_free(x->jobs);
    sessions_free(x->ss);
    loop_free(x->loop);
    store_close(x->fake.inner);
    seal_ring_free(x->ring);
    pthread_mutex_destroy(&x->fake.lock);
    pthread_cond_destroy(&x->fake.changed);
    free(x);
    ck_assert_int_eq(atomic_load(&n_whos), 0);
    ck_assert_int_eq(meter_value(METER_SESSIONS_CACHED), 0);
}

/* As after a restart of the gateway, or with another ring or limit. */
static inline void set_restart(struct set *x)
{
    sessions_free(x->ss);
    set_start(x);
}

static inline void at(int64_t after_s)
{
    epoch_fix_ms((NOW_S + after_s) * 1000);
}

struct answer {
    struct loop *loop;
    bool is_there;
    enum gw_err err;
    struct session *session;
    char text[256];
};

static inline void answer_wait(struct answer *a)
{
    while (!a->is_there)
        loop_run(a->loop);
}

static inline void on_made(void *arg, enum gw_err err, struct view cookie)
{
    struct answer *a = arg;
    ck_assert(!a->is_there);
    a->is_there = true;
    a->err = err;
    ck_assert_uint_eq(cookie.n, err == GW_OK ? SESSION_COOKIE_LEN : 0);
    if (cookie.n > 0)
        memcpy(a->text, cookie.p, cookie.n);
    loop_stop(a->loop);
}

static inline void on_loaded(void *arg, enum gw_err err, struct session *s)
{
    struct answer *a = arg;
    ck_assert(!a->is_there);
    ck_assert_int_eq(s != NULL, err == GW_OK);
    a->is_there = true;
    a->err = err;
    a->session = s;
    loop_stop(a->loop);
}

static inline void on_ended(void *arg, enum gw_err err, struct view id_token)
{
    struct answer *a = arg;
    ck_assert(!a->is_there);
    a->is_there = true;
    a->err = err;
    ck_assert_uint_lt(id_token.n, sizeof(a->text));
    if (id_token.n > 0)
        memcpy(a->text, id_token.p, id_token.n);
    loop_stop(a->loop);
}

#define CLAIMS "{\"sub\":\"dora-canary-claim\",\"groups\":[\"dev\"]}"

static inline struct session_new_spec spec_of(const char *claims)
{
    return (struct session_new_spec){
        .claims_json = view_of(claims),
        .id_token = VIEW("id-token-canary"),
        .access_token = VIEW("access-token-canary"),
        .refresh_token = VIEW("refresh-token-canary"),
        .access_expires_s = NOW_S + 300,
        .begun_ms = (NOW_S - 30) * 1000,
        .issued_s = NOW_S - 1,
        .iss = VIEW("https://auth.example.org/application/o/repogate/"),
        .sub = VIEW("dora-canary-sub"),
        .sid = VIEW("sid-canary"),
        .username = VIEW("dora-canary-name"),
        .ip = VIEW("192.0.2.77"),
    };
}

struct cookie {
    char text[SESSION_COOKIE_LEN + 1];
};

static inline struct view view(const struct cookie *c)
{
    return view_at(c->text, SESSION_COOKIE_LEN);
}

static inline struct cookie create(struct set *x, const char *claims)
{
    struct answer a = {.loop = x->loop};
    struct cookie c = {.text = ""};
    struct session_new_spec spec = spec_of(claims);
    ck_assert_int_eq(session_create(x->ss, x->loop, &spec, on_made, &a), GW_OK);
    answer_wait(&a);
    ck_assert_int_eq(a.err, GW_OK);
    memcpy(c.text, a.text, SESSION_COOKIE_LEN);
    return c;
}

static inline enum session_found find(struct set *x, const struct cookie *c)
{
    struct session *s = NULL;
    enum session_found found = session_find(x->ss, view(c), epoch_now_s(), &s);
    ck_assert_int_eq(s != NULL, found == SESSION_FOUND);
    session_unref(s);
    return found;
}

static inline enum gw_err load(struct set *x, const struct cookie *c)
{
    struct answer a = {.loop = x->loop};
    enum gw_err err = session_load(x->ss, x->loop, view(c), on_loaded, &a);
    if (err != GW_OK)
        return err;
    answer_wait(&a);
    session_unref(a.session);
    return a.err;
}

static inline enum gw_err end(struct set *x, const struct cookie *c)
{
    struct answer a = {.loop = x->loop};
    enum gw_err err = session_end(x->ss, x->loop, view(c), on_ended, &a);
    if (err != GW_OK)
        return err;
    answer_wait(&a);
    return a.err;
}

static inline struct cookie some_cookie(char c)
{
    struct cookie cookie;
    memset(cookie.text, c, SESSION_COOKIE_LEN);
    cookie.text[SESSION_COOKIE_LEN] = '\0';
    return cookie;
}

static inline void get_row(struct set *x, const struct cookie *c, struct store_row *ret_row)
{
    uint8_t id[DIGEST_BYTES];
    ck_assert_int_eq(sessionrow_id(view(c), id), GW_OK);
    ck_assert_int_eq(store_session_get(x->fake.inner, id, ret_row), GW_OK);
}

static inline bool has_row(struct set *x, const struct cookie *c)
{
    struct store_row row;
    uint8_t id[DIGEST_BYTES];
    ck_assert_int_eq(sessionrow_id(view(c), id), GW_OK);
    enum gw_err err = store_session_get(x->fake.inner, id, &row);
    if (err == GW_OK)
        store_row_deinit(&row);
    return err == GW_OK;
}

static inline int64_t row_seen_s(struct set *x, const struct cookie *c)
{
    struct store_row row;
    get_row(x, c, &row);
    store_row_deinit(&row);
    return row.seen_s - NOW_S;
}

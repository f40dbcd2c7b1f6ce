/* One refresh is a chain of short steps, each of which may find that somebody else was faster or that the session has ended:
 *
 *   read   (job)  the row, opened; are its claims fresh by now? else the lease
 *   ask    (loop) the refresh grant if the access token lapses before the next refresh, otherwise userinfo
 *   write  (job)  what the provider said, by compare-and-swap, which ends the lease; or the lease is given back
 *
 * A grant is stored before userinfo is asked with the new token, in a second round: nothing between the two can lose the rotated
 * refresh token. A grant whose answer was lost leaves no token that may be used, so the session ends: here, or, if this process
 * dies, when the next to come finds the lease run out.
 * Those who wait are kept per loop, in a party. It has a timer of its own, so that nobody waits longer than
 * SESSION_REFRESH_WAIT_MS, whatever becomes of the refresh, and that an outcome reaches them even if it could not be posted. */
#include "store/shard.h"

#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/secret.h"

#include <stdlib.h>

enum next {
    NEXT_ASK,  /* the lease is ours */
    NEXT_READ, /* from the start */
    NEXT_WAIT, /* another gateway refreshes */
    NEXT_DONE, /* session is in memory */
    NEXT_OVER, /* to be ended */
    NEXT_GONE, /* ended by somebody else, or over its limits */
    NEXT_FAIL, /* err says why */
};

/* Those of one loop who wait. */
struct party {
    struct party *next;
    struct shard *shard;
    struct loop *loop;
    struct loop_timer timer;
    struct waiter *waiters;
    size_t n_waiters, waiters_size;
    /* Under the shard's lock: */
    struct refresh *refresh; /* NULL: there is an outcome */
    bool is_posted;
    enum gw_err err;
    struct session *session; /* counted */
};

struct refresh {
    struct flight flight;
    struct refresh *next;  /* under the shard's lock */
    struct party *parties; /* likewise */
    struct sessions *ss;
    struct loop *loop;
    struct loop_timer timer; /* NEXT_WAIT */
    int64_t until_us;
    char cookie[SESSION_COOKIE_LEN];
    struct session_renewer renewer;

    struct store_row row; /* as read; zeroes before */
    struct sessionrow_secret secret;
    bool is_granting; /* what the lease is for */
    bool must_grant;  /* the access token was refused */
    bool has_granted, has_new_id_token;

    int64_t asked_s;
    enum session_renewal result;
    const char *why;
    struct buf claims_json, username, id_token, access_token, refresh_token; /* what the provider said */
    int64_t access_expires_s;

    enum next next_step;
    enum gw_err err;
    struct session *session; /* counted */
};

static void start_reading(struct refresh *r);

static void buf_wipe(struct buf *b)
{
    secret_wipe(b->p, b->size);
    buf_deinit(b);
}

static struct view cookie_of(const struct refresh *r)
{
    return view_at(r->cookie, sizeof(r->cookie));
}

static void forget_row(struct refresh *r)
{
    sessionrow_secret_deinit(&r->secret);
    store_row_deinit(&r->row);
    r->secret = (struct sessionrow_secret){.fresh_s = 0};
    r->row = (struct store_row){.version = 0};
}

static void forget_answer(struct refresh *r)
{
    struct buf *bufs[] = {&r->claims_json, &r->username, &r->id_token, &r->access_token, &r->refresh_token};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        buf_wipe(bufs[i]);
        *bufs[i] = BUF(SESSION_SECRET_MAX);
    }
}

static void refresh_free(struct refresh *r)
{
    if (r == NULL)
        return;
    forget_row(r);
    forget_answer(r);
    session_unref(r->session);
    secret_wipe(r->cookie, sizeof(r->cookie));
    atomic_fetch_sub(&r->ss->n_refreshes, 1);
    free(r);
}

/* ---- those who wait ---- */

static void party_free(struct party *p)
{
    loop_timer_stop(p->loop, &p->timer);
    session_unref(p->session);
    free(p->waiters);
    free(p);
}

static void party_tell(void *arg)
{
    struct party *p = arg;
    for (size_t i = 0; i < p->n_waiters; i++)
        p->waiters[i].fn(p->waiters[i].arg, p->err, p->err == GW_OK ? session_ref(p->session) : NULL);
    party_free(p);
}

static void refresh_remove_party(struct refresh *r, const struct party *p)
{
    struct party **link = &r->parties;
    while (*link != p)
        link = &(*link)->next;
    *link = p->next;
}

/* Whoever comes in the next seconds is answered at once. The lock is held. */
static void note_failure(struct shard *sh, const uint8_t *id, enum gw_err err)
{
    struct session *s = ttlmap_find(sh->live, id, 0);
    if (s != NULL) {
        s->retry_s = epoch_now_s() + SESSION_RETRY_S;
        s->retry_err = (uint8_t)err;
    }
}

static void on_party_due(struct loop_timer *t)
{
    struct party *p = t->arg;
    bool is_posted;
    pthread_mutex_lock(&p->shard->lock);
    is_posted = p->is_posted;
    if (p->refresh != NULL) {
        note_failure(p->shard, p->refresh->flight.id, GW_E_TIMEOUT);
        p->err = p->refresh->flight.is_ended ? GW_E_NOTFOUND : GW_E_TIMEOUT;
        refresh_remove_party(p->refresh, p);
        p->refresh = NULL;
    }
    pthread_mutex_unlock(&p->shard->lock);
    if (!is_posted)
        party_tell(p);
}

static enum gw_err party_new(struct refresh *r, struct shard *sh, struct loop *l, struct party **ret_party)
{
    struct party *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    *p = (struct party){.shard = sh, .loop = l, .refresh = r, .next = r->parties};
    p->timer = (struct loop_timer){.fn = on_party_due, .arg = p};
    enum gw_err err = loop_timer_start(l, &p->timer, r->ss->spec.refresh_wait_ms);
    if (err != GW_OK) {
        free(p);
        return err;
    }
    r->parties = p;
    *ret_party = p;
    return GW_OK;
}

static enum gw_err party_add_waiter(struct party *p, session_fn fn, void *arg)
{
    if (p->n_waiters == SESSION_WAITERS_MAX)
        return GW_E_LIMIT;
    if (p->n_waiters == p->waiters_size) {
        size_t size = p->waiters_size == 0 ? 1 : p->waiters_size * 2;
        struct waiter *w = realloc(p->waiters, size * sizeof(*w));
        if (w == NULL)
            return GW_E_NOMEM;
        p->waiters = w;
        p->waiters_size = size;
    }
    p->waiters[p->n_waiters++] = (struct waiter){fn, arg};
    return GW_OK;
}

/* The lock is held. */
static enum gw_err refresh_add_waiter(struct refresh *r, struct shard *sh, struct loop *l, session_fn fn, void *arg)
{
    struct party *p = r->parties;
    while (p != NULL && p->loop != l)
        p = p->next;
    if (p != NULL)
        return party_add_waiter(p, fn, arg);
    enum gw_err err = party_new(r, sh, l, &p);
    if (err != GW_OK)
        return err;
    err = party_add_waiter(p, fn, arg);
    if (err != GW_OK) {
        refresh_remove_party(r, p);
        party_free(p);
    }
    return err;
}

/* ---- the end ---- */

static void count(enum gw_err err)
{
    meter_inc(err == GW_OK ? METER_REFRESH_OK : err == GW_E_NOTFOUND ? METER_REFRESH_ENDED : METER_REFRESH_FAILED);
}

/* The lock is held. */
static void settle(struct refresh *r, enum gw_err err)
{
    for (struct party *p = r->parties, *next; p != NULL; p = next) {
        next = p->next;
        p->refresh = NULL;
        p->err = err;
        p->session = err == GW_OK ? session_ref(r->session) : NULL;
        p->is_posted = true; /* before it is: then it belongs to its loop, which may be done with it already */
        if (loop_post(p->loop, party_tell, p) != GW_OK)
            p->is_posted = false; /* its timer will tell */
    }
    r->parties = NULL;
}

static void finish(struct refresh *r, enum gw_err err)
{
    struct shard *sh = shard_of(r->ss, r->flight.id);
    pthread_mutex_lock(&sh->lock);
    struct refresh **link = &sh->refreshes;
    while (*link != r)
        link = &(*link)->next;
    *link = r->next;
    shard_remove_flight(sh, &r->flight);
    if (r->flight.is_ended) {
        err = GW_E_NOTFOUND;
    } else if (err == GW_E_NOTFOUND) {
        shard_end(sh, r->flight.id);
        shard_note_none(sh, r->flight.id, epoch_now_s());
    } else if (err != GW_OK) {
        note_failure(sh, r->flight.id, err);
    }
    settle(r, err);
    pthread_mutex_unlock(&sh->lock);
    count(err);
    refresh_free(r);
}

static void on_ended(void *arg, enum gw_err err, struct view id_token)
{
    (void)err, (void)id_token; /* a row that could not be deleted is for the sweep */
    finish(arg, GW_E_NOTFOUND);
}

static void end_session(struct refresh *r)
{
    log_event(LOG_INFO, "a session ended when it was to be refreshed", LOG_KV("reason", view_of(r->why)));
    /* Another sub or sid says that the session of before has ended at the provider: that is a logout. Otherwise it is this session
     * alone that cannot go on; logins under way are not to suffer. */
    enum gw_err err = r->result == SESSION_ANOTHER ? session_end(r->ss, r->loop, cookie_of(r), on_ended, r)
                                                   : session_give_way(r->ss, r->loop, cookie_of(r), on_ended, r);
    if (err != GW_OK)
        finish(r, GW_E_NOTFOUND);
}

/* ---- read ---- */

/* Claims in the row that are fresh enough go into memory. */
static enum next land(struct refresh *r)
{
    struct shard *sh = shard_of(r->ss, r->flight.id);
    size_t cost = 0;
    r->err = session_make(r->ss, &r->row, &r->secret, epoch_now_s(), &r->session, &cost);
    if (r->err != GW_OK)
        return r->err == GW_E_NOTFOUND || r->err == GW_E_INVALID ? NEXT_GONE : NEXT_FAIL;
    pthread_mutex_lock(&sh->lock);
    bool is_landed = shard_land(sh, &r->flight, r->session, cost);
    pthread_mutex_unlock(&sh->lock);
    return is_landed ? NEXT_DONE : NEXT_GONE;
}

static bool needs_grant(const struct refresh *r, int64_t now_s)
{
    if (r->secret.refresh_token.n == 0 || r->has_granted)
        return false;
    return r->must_grant || (r->secret.access_expires_s != 0 && r->secret.access_expires_s < now_s + r->ss->spec.refresh_s);
}

static enum next take_lease(struct refresh *r, int64_t now_s)
{
    enum store_lease lease = STORE_LEASE_HELD;
    r->is_granting = needs_grant(r, now_s);
    r->err = store_session_lease(r->ss->spec.store, r->flight.id, r->row.version, now_s, now_s + SESSION_LEASE_S, r->is_granting,
                                 &lease);
    if (r->err != GW_OK)
        return r->err == GW_E_NOTFOUND ? NEXT_GONE : NEXT_FAIL;
    switch (lease) {
    case STORE_LEASE_TAKEN:
        return NEXT_ASK;
    case STORE_LEASE_LOST:
        log_write(LOG_WARN, "a session ended: its refresh token was spent, and the answer never stored", NULL);
        return NEXT_GONE;
    case STORE_LEASE_HELD:
    case STORE_LEASE_CHANGED:
        break;
    }
    return NEXT_WAIT;
}

static enum next read_row(struct refresh *r)
{
    int64_t now_s = epoch_now_s();
    r->err = store_session_get(r->ss->spec.store, r->flight.id, &r->row);
    if (r->err != GW_OK)
        return r->err == GW_E_NOTFOUND ? NEXT_GONE : NEXT_FAIL;
    r->err = sessionrow_open(r->ss->spec.ring, &r->row, cookie_of(r), &r->secret);
    if (r->err != GW_OK)
        return r->err == GW_E_INVALID ? NEXT_GONE : NEXT_FAIL;
    if (now_s < r->secret.fresh_s + r->ss->spec.refresh_s)
        return land(r); /* by another gateway */
    return take_lease(r, now_s);
}

static void read_run(void *arg)
{
    struct refresh *r = arg;
    forget_row(r);
    r->next_step = read_row(r);
}

static void ask(struct refresh *r);

static void on_wait_over(struct loop_timer *t)
{
    start_reading(t->arg);
}

static void wait_for_other(struct refresh *r)
{
    if (epoch_mono_us() >= r->until_us)
        finish(r, GW_E_TIMEOUT);
    else if (loop_timer_start(r->loop, &r->timer, SESSION_HELD_MS) != GW_OK)
        finish(r, GW_E_NOMEM);
}

static void go_on(void *arg)
{
    struct refresh *r = arg;
    switch (r->next_step) {
    case NEXT_ASK:
        ask(r);
        break;
    case NEXT_READ:
        start_reading(r);
        break;
    case NEXT_WAIT:
        wait_for_other(r);
        break;
    case NEXT_DONE:
        finish(r, GW_OK);
        break;
    case NEXT_OVER:
        end_session(r);
        break;
    case NEXT_GONE:
        finish(r, GW_E_NOTFOUND);
        break;
    case NEXT_FAIL:
        finish(r, r->err);
        break;
    }
}

static void start_reading(struct refresh *r)
{
    enum gw_err err = jobs_submit(r->ss->spec.jobs, r->loop, read_run, go_on, r);
    if (err != GW_OK)
        finish(r, err);
}

/* ---- write ---- */

static enum gw_err reseal(struct refresh *r)
{
    struct sessionrow_secret fresh = r->secret;
    fresh.block = BUF(0); /* the views go on pointing into r's */
    if (r->is_granting) {
        fresh.access_token = buf_view(&r->access_token);
        fresh.access_expires_s = r->access_expires_s;
        if (r->id_token.n > 0)
            fresh.id_token = buf_view(&r->id_token);
        if (r->refresh_token.n > 0)
            fresh.refresh_token = buf_view(&r->refresh_token);
    } else {
        fresh.claims_json = buf_view(&r->claims_json);
        fresh.fresh_s = r->asked_s;
    }
    struct buf block = r->secret.block;
    r->secret = fresh;
    r->secret.block = block;
    return sessionrow_reseal(r->ss->spec.ring, &r->secret, buf_view(&r->username), cookie_of(r), &r->row);
}

static enum next write_answer(struct refresh *r)
{
    r->err = reseal(r);
    if (r->err == GW_E_LIMIT) {
        r->why = "claims and tokens are too large";
        return NEXT_OVER;
    }
    if (r->err == GW_OK)
        r->err = store_session_replace(r->ss->spec.store, &r->row);
    if (r->err == GW_E_EXPIRED)
        return NEXT_GONE; /* logged out meanwhile */
    if (r->err == GW_E_NOTFOUND)
        return NEXT_WAIT; /* gone, or another was faster: the row will tell */
    if (r->err != GW_OK)
        return NEXT_FAIL;
    if (!r->is_granting)
        return land(r);
    r->has_granted = true;
    r->has_new_id_token = r->id_token.n > 0;
    return NEXT_READ;
}

static enum next give_back(struct refresh *r)
{
    enum gw_err err = store_session_release(r->ss->spec.store, r->flight.id, r->row.version);
    if (err != GW_OK)
        log_event(LOG_WARN, "a refresh's lease could not be given back: it will run out",
                  LOG_KV("error", view_of(gw_err_name(err))));
    if (r->result == SESSION_REFUSED) {
        r->must_grant = true;
        return NEXT_READ;
    }
    r->err = GW_E_UPSTREAM;
    return NEXT_FAIL;
}

static void write_run(void *arg)
{
    struct refresh *r = arg;
    r->next_step = r->result == SESSION_RENEWED ? write_answer(r) : give_back(r);
}

/* ---- ask ---- */

/* Each outage once, not each session in it. */
static void report(struct refresh *r)
{
    bool is_down = r->result == SESSION_UNREACHABLE;
    if (atomic_exchange(&r->ss->is_provider_down, is_down) == is_down)
        return;
    if (is_down)
        log_event(LOG_WARN, "sessions cannot be refreshed: old claims serve for session.grace",
                  LOG_KV("reason", view_of(r->why)));
    else
        log_write(LOG_INFO, "sessions can be refreshed again", NULL);
}

static void answered(struct refresh *r)
{
    bool may_grant = r->secret.refresh_token.n > 0 && !r->has_granted;
    if (r->result == SESSION_OVER || r->result == SESSION_ANOTHER || r->result == SESSION_LOST ||
        (r->result == SESSION_REFUSED && !may_grant)) {
        end_session(r);
        return;
    }
    report(r);
    enum gw_err err = jobs_submit(r->ss->spec.jobs, r->loop, write_run, go_on, r);
    if (err != GW_OK)
        finish(r, err);
}

static void keep(struct buf *out, struct view v)
{
    buf_clear(out);
    buf_put(out, v);
}

static void on_renewed(void *arg, const struct session_renewed *said)
{
    struct refresh *r = arg;
    r->result = said->result;
    r->access_expires_s = said->access_expires_s;
    keep(&r->claims_json, said->claims_json);
    keep(&r->username, said->username);
    keep(&r->id_token, said->id_token);
    keep(&r->access_token, said->access_token);
    keep(&r->refresh_token, said->refresh_token);
    bool is_kept = buf_ok(&r->claims_json) && buf_ok(&r->username) && buf_ok(&r->id_token) && buf_ok(&r->access_token) &&
                   buf_ok(&r->refresh_token);
    if (!is_kept)
        r->result = SESSION_OVER; /* the tokens are spent; claims that large would not be let in */
    /* Borrowed for the call, and needed no longer than that. */
    r->why = is_kept ? said->why : "claims and tokens are too large";
    answered(r);
}

static void ask(struct refresh *r)
{
    const struct session_tokens tokens = {
        .claims_json = r->secret.claims_json,
        .id_token = r->secret.id_token,
        .is_id_token_new = r->has_new_id_token,
        .access_token = r->secret.access_token,
        .refresh_token = r->secret.refresh_token,
    };
    r->asked_s = epoch_now_s();
    enum gw_err err = r->is_granting ? r->renewer.grant(r->renewer.cls, &tokens, on_renewed, r)
                                     : r->renewer.userinfo(r->renewer.cls, &tokens, on_renewed, r);
    if (err == GW_OK)
        return;
    r->result = SESSION_UNREACHABLE;
    r->why = gw_err_name(err);
    answered(r);
}

/* ---- the beginning ---- */

static struct refresh *find_refresh(const struct shard *sh, const uint8_t *id)
{
    struct refresh *r = sh->refreshes;
    while (r != NULL && (r->flight.is_ended || !shard_is_id(r->flight.id, id)))
        r = r->next;
    return r;
}

static struct refresh *refresh_new(struct sessions *ss, struct loop *l, const uint8_t *id, struct view cookie,
                                   const struct session_renewer *renewer)
{
    struct refresh *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->ss = ss;
    r->loop = l;
    r->timer = (struct loop_timer){.fn = on_wait_over, .arg = r};
    r->until_us = epoch_mono_us() + ss->spec.refresh_wait_ms * 1000;
    r->renewer = *renewer;
    r->why = "";
    memcpy(r->flight.id, id, DIGEST_BYTES);
    memcpy(r->cookie, cookie.p, SESSION_COOKIE_LEN);
    forget_answer(r);
    atomic_fetch_add(&ss->n_refreshes, 1);
    return r;
}

/* The lock is held. */
static enum gw_err begin(struct sessions *ss, struct shard *sh, struct loop *l, const uint8_t *id, struct view cookie,
                         const struct session_renewer *renewer, session_fn fn, void *arg)
{
    if (atomic_load(&ss->n_refreshes) >= SESSION_REFRESHES_MAX)
        return GW_E_LIMIT;
    struct refresh *r = refresh_new(ss, l, id, cookie, renewer);
    if (r == NULL)
        return GW_E_NOMEM;
    enum gw_err err = refresh_add_waiter(r, sh, l, fn, arg);
    if (err == GW_OK)
        err = jobs_submit(ss->spec.jobs, l, read_run, go_on, r);
    if (err != GW_OK) {
        if (r->parties != NULL)
            party_free(r->parties);
        refresh_free(r);
        return err;
    }
    r->next = sh->refreshes;
    sh->refreshes = r;
    shard_add_flight(sh, &r->flight, atomic_load(&ss->epoch));
    return GW_OK;
}

enum gw_err session_refresh(struct sessions *ss, struct loop *l, struct view cookie, const struct session_renewer *renewer,
                            session_fn fn, void *arg)
{
    uint8_t id[DIGEST_BYTES];
    int64_t now_s = epoch_now_s();
    if (cookie.n != SESSION_COOKIE_LEN)
        return GW_E_NOTFOUND;
    enum gw_err err = sessionrow_id(cookie, id);
    if (err != GW_OK)
        return err;
    struct shard *sh = shard_of(ss, id);
    pthread_mutex_lock(&sh->lock);
    const struct session *known = ttlmap_find(sh->live, id, now_s);
    struct refresh *r = find_refresh(sh, id);
    if (shard_is_none(sh, id, now_s))
        err = GW_E_NOTFOUND;
    else if (known != NULL && now_s < known->retry_s)
        err = (enum gw_err)known->retry_err;
    else if (r != NULL)
        err = refresh_add_waiter(r, sh, l, fn, arg);
    else
        err = begin(ss, sh, l, id, cookie, renewer, fn, arg);
    pthread_mutex_unlock(&sh->lock);
    return err;
}

void session_stop_refreshing(struct sessions *ss)
{
    for (size_t i = 0; i < SHARDS; i++)
        for (struct refresh *r = ss->shards[i].refreshes, *next; r != NULL; r = next) {
            struct shard *sh = &ss->shards[i];
            next = r->next;
            if (r->timer.slot != 0) {
                loop_timer_stop(r->loop, &r->timer);
                finish(r, GW_E_IO);
                continue;
            }
            /* Its answer will come, but those who wait must not be told by it: they may want the provider, which goes with it. */
            pthread_mutex_lock(&sh->lock);
            settle(r, r->flight.is_ended ? GW_E_NOTFOUND : GW_E_IO);
            pthread_mutex_unlock(&sh->lock);
        }
}

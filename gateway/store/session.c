#include "store/shard.h"

#include "util/b64url.h"
#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/rnd.h"
#include "util/secret.h"

enum { COOKIE_RANDOM_BYTES = 32 };

/* A row being written. */
struct making {
    struct flight flight;
    struct sessions *ss;
    char cookie[SESSION_COOKIE_LEN];
    struct store_row row;
    struct session *session;
    size_t cost;
    enum gw_err err;
    session_made_fn fn;
    void *arg;
};

/* ---- a session ---- */

void session_unref(struct session *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->n_refs, 1, memory_order_acq_rel) != 1)
        return;
    s->unref_who(s->who);
    free(s);
}

/* ret_cost: all the memory it takes in the cache. */
static enum gw_err session_decode(const struct sessions *ss, struct view claims_json, struct session **ret_session,
                                  size_t *ret_cost)
{
    const struct session_codec *codec = &ss->spec.codec;
    size_t n_bytes = 0;
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return GW_E_NOMEM;
    enum gw_err err = codec->decode(codec->cls, claims_json, &s->who, &n_bytes);
    if (err != GW_OK) {
        free(s);
        return err;
    }
    atomic_init(&s->n_refs, 1);
    atomic_init(&s->need, 0);
    s->unref_who = codec->unref;
    *ret_session = s;
    *ret_cost = n_bytes + SESSION_OVERHEAD_BYTES;
    return GW_OK;
}

void *session_who(const struct session *s)
{
    return s->who;
}

int64_t session_created_s(const struct session *s)
{
    return s->created_s;
}

int64_t session_expires_s(const struct session *s)
{
    return s->expires_s;
}

/* ---- birth and death of it all ---- */

enum gw_err sessions_new(const struct sessions_spec *spec, struct sessions **ret_sessions)
{
    if (spec->idle_s <= 0 || spec->absolute_s <= 0 || spec->refresh_s < 0 || spec->grace_s < 0)
        return GW_E_INVALID;
    struct sessions *ss = aligned_alloc(alignof(struct sessions), sizeof(*ss));
    if (ss == NULL)
        return GW_E_NOMEM;
    memset(ss, 0, sizeof(*ss));
    atomic_init(&ss->epoch, 0);
    atomic_init(&ss->n_refreshes, 0);
    atomic_init(&ss->is_provider_down, false);
    ss->spec = *spec;
    if (ss->spec.cache_bytes == 0)
        ss->spec.cache_bytes = SESSION_CACHE_BYTES;
    if (ss->spec.refresh_wait_ms == 0)
        ss->spec.refresh_wait_ms = SESSION_REFRESH_WAIT_MS;
    ss->note_s = spec->idle_s / 60 > SESSION_NOTE_S ? spec->idle_s / 60 : SESSION_NOTE_S;
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < SHARDS && err == GW_OK; i++)
        err = shard_init(&ss->shards[i], ss->spec.cache_bytes / SHARDS);
    if (err != GW_OK) {
        sessions_free(ss);
        return err;
    }
    store_watch(spec->store, sessionwatch_on_change, ss);
    *ret_sessions = ss;
    return GW_OK;
}

void sessions_free(struct sessions *ss)
{
    if (ss == NULL)
        return;
    if (ss->sweep_loop != NULL) {
        loop_timer_stop(ss->sweep_loop, &ss->sweep_timer);
        loop_timer_stop(ss->sweep_loop, &ss->watch_timer);
    }
    store_unwatch(ss->spec.store);
    for (size_t i = 0; i < SHARDS; i++)
        shard_deinit(&ss->shards[i]);
    free(ss);
}

/* ---- finding ---- */

/* Whether what is in memory is what the row says, as far as the store would have told. */
static bool is_current(const struct sessions *ss, const struct session *s, int64_t now_s)
{
    return !s->is_outdated && s->epoch == atomic_load_explicit(&ss->epoch, memory_order_relaxed) &&
           (store_is_watching(ss->spec.store) || now_s - s->read_s <= STORE_UNWATCHED_S);
}

/* A store that does not answer ends nobody's session for a while. */
static bool is_in_grace(const struct sessions *ss, const struct session *s, int64_t now_s)
{
    return now_s - s->read_s < ss->spec.grace_s;
}

bool session_is_stale(const struct session *s, int64_t now_s)
{
    return now_s >= s->fresh_until_s;
}

bool session_has_grace(const struct session *s, int64_t now_s)
{
    return now_s < s->grace_until_s;
}

/* The lock is held. */
static bool has_lapsed(const struct session *s, int64_t now_s)
{
    return session_is_stale(s, now_s) && !(now_s < s->retry_s && session_has_grace(s, now_s));
}

enum session_found session_find(struct sessions *ss, struct view cookie, int64_t now_s, struct session **ret_session)
{
    uint8_t id[DIGEST_BYTES];
    enum session_found found;
    if (cookie.n != SESSION_COOKIE_LEN)
        return SESSION_NONE;
    if (sessionrow_id(cookie, id) != GW_OK)
        return SESSION_LOADING; /* session_load() will say what is wrong */
    struct shard *sh = shard_of(ss, id);
    pthread_mutex_lock(&sh->lock);
    struct session *s = shard_find_live(sh, id, now_s, ss->spec.idle_s);
    if (s == NULL) {
        found = shard_is_none(sh, id, now_s) ? SESSION_NONE : SESSION_LOADING;
    } else if (is_current(ss, s, now_s) || (now_s - s->tried_s < SHARD_RETRY_S && is_in_grace(ss, s, now_s))) {
        if (now_s > s->seen_s)
            s->seen_s = now_s;
        *ret_session = session_ref(s);
        found = has_lapsed(s, now_s) ? SESSION_LAPSED : SESSION_FOUND;
    } else {
        found = SESSION_LOADING;
    }
    pthread_mutex_unlock(&sh->lock);
    return found;
}

/* ---- loading ---- */

static void load_free(struct load *load)
{
    if (load == NULL)
        return;
    session_unref(load->session);
    secret_wipe(load->cookie, sizeof(load->cookie));
    free(load->waiters);
    free(load);
}

static enum gw_err load_add_waiter(struct load *load, session_fn fn, void *arg)
{
    if (load->n_waiters == SESSION_WAITERS_MAX)
        return GW_E_LIMIT;
    if (load->n_waiters == load->waiters_size) {
        size_t size = load->waiters_size == 0 ? 1 : load->waiters_size * 2;
        struct waiter *w = realloc(load->waiters, size * sizeof(*w));
        if (w == NULL)
            return GW_E_NOMEM;
        load->waiters = w;
        load->waiters_size = size;
    }
    load->waiters[load->n_waiters++] = (struct waiter){fn, arg};
    return GW_OK;
}

/* A limit that was shortened since holds for old sessions too. */
static int64_t min_expiry(const struct sessions *ss, const struct store_row *row)
{
    int64_t by_age_s = row->created_s + ss->spec.absolute_s;
    return by_age_s < row->expires_s ? by_age_s : row->expires_s;
}

static void set_freshness(const struct sessions *ss, struct session *s, int64_t fresh_s)
{
    s->fresh_until_s = ss->spec.refresh_s == 0 ? INT64_MAX : fresh_s + ss->spec.refresh_s;
    s->grace_until_s = ss->spec.refresh_s == 0 ? INT64_MAX : s->fresh_until_s + ss->spec.grace_s;
}

enum gw_err session_make(const struct sessions *ss, const struct store_row *row, const struct sessionrow_secret *secret,
                         int64_t now_s, struct session **ret_session, size_t *ret_cost)
{
    int64_t expires_s = min_expiry(ss, row);
    if (now_s >= expires_s)
        return GW_E_NOTFOUND;
    enum gw_err err = session_decode(ss, secret->claims_json, ret_session, ret_cost);
    if (err != GW_OK)
        return err;
    struct session *s = *ret_session;
    s->created_s = row->created_s;
    s->expires_s = expires_s;
    s->noted_s = row->seen_s;
    s->seen_s = s->read_s = now_s;
    set_freshness(ss, s, secret->fresh_s < now_s ? secret->fresh_s : now_s); /* a clock set back prolongs nothing */
    atomic_store_explicit(&s->need, row->need, memory_order_relaxed);
    return GW_OK;
}

/* From a row that was read. used_s: when it was used last, as far as memory knows. */
static enum gw_err open_session(const struct sessions *ss, const struct store_row *row, struct view cookie, int64_t used_s,
                                int64_t now_s, struct session **ret_session, size_t *ret_cost)
{
    struct sessionrow_secret secret;
    int64_t seen_s = used_s > row->seen_s ? used_s : row->seen_s;
    if (now_s - seen_s >= ss->spec.idle_s)
        return GW_E_NOTFOUND;
    enum gw_err err = sessionrow_open(ss->spec.ring, row, cookie, &secret);
    if (err == GW_OK) {
        err = session_make(ss, row, &secret, now_s, ret_session, ret_cost);
        sessionrow_secret_deinit(&secret);
    }
    if (err == GW_E_INVALID) {
        log_write(LOG_WARN, "a session's row does not open: is its key missing from session.key_file?", NULL);
        return GW_E_NOTFOUND;
    }
    return err;
}

/* A cache too small for all who are active might drop a session before the sweep has written its use, again and again, so
 * loading writes too. GW_E_NOTFOUND: the row went meanwhile. A store that reads but doesn't write lets people go on. */
static enum gw_err note_use(struct load *load, struct session **session)
{
    struct session *s = *session;
    if (s->seen_s - s->noted_s < load->ss->note_s)
        return GW_OK;
    enum gw_err err = store_session_touch(load->ss->spec.store, load->flight.id, s->seen_s);
    if (err == GW_E_NOTFOUND) {
        session_unref(s);
        *session = NULL;
        return err;
    }
    if (err == GW_OK)
        s->noted_s = s->seen_s;
    return GW_OK;
}

static enum gw_err load_read(struct load *load, int64_t used_s, int64_t now_s, struct session **ret_session, size_t *ret_cost)
{
    struct store_row row;
    enum gw_err err = store_session_get(load->ss->spec.store, load->flight.id, &row);
    if (err != GW_OK)
        return err;
    err = open_session(load->ss, &row, view_at(load->cookie, sizeof(load->cookie)), used_s, now_s, ret_session, ret_cost);
    store_row_deinit(&row);
    return err == GW_OK ? note_use(load, ret_session) : err;
}

/* What was read, or what is to be made of that nothing could be read. The lock is held. */
static void load_land(struct load *load, struct shard *sh, struct session *known, size_t cost, int64_t now_s)
{
    if (load->err == GW_OK && known != NULL && is_current(load->ss, known, now_s)) {
        /* Another loop was first: one object per session. */
        session_unref(load->session);
        load->session = session_ref(known);
    } else if (load->err == GW_OK) {
        if (known != NULL) {
            load->session->retry_s = known->retry_s;
            load->session->retry_err = known->retry_err;
        }
        shard_land(sh, &load->flight, load->session, cost);
    } else if (load->err == GW_E_NOTFOUND) {
        shard_end(sh, load->flight.id);
        shard_note_none(sh, load->flight.id, now_s);
    } else if (known != NULL && is_in_grace(load->ss, known, now_s)) {
        known->tried_s = now_s;
        load->session = session_ref(known);
        load->err = GW_OK;
    }
}

static void load_run(void *arg)
{
    struct load *load = arg;
    struct shard *sh = shard_of(load->ss, load->flight.id);
    int64_t now_s = epoch_now_s(), idle_s = load->ss->spec.idle_s;
    size_t cost = 0;
    pthread_mutex_lock(&sh->lock);
    const struct session *known = shard_find_live(sh, load->flight.id, now_s, idle_s);
    int64_t used_s = known == NULL ? 0 : known->seen_s;
    pthread_mutex_unlock(&sh->lock);
    load->err = load_read(load, used_s, now_s, &load->session, &cost);
    pthread_mutex_lock(&sh->lock);
    load_land(load, sh, shard_find_live(sh, load->flight.id, now_s, idle_s), cost, now_s);
    pthread_mutex_unlock(&sh->lock);
}

static void load_done(void *arg)
{
    struct load *load = arg;
    struct shard *sh = shard_of(load->ss, load->flight.id);
    pthread_mutex_lock(&sh->lock);
    shard_remove_flight(sh, &load->flight);
    enum gw_err err = load->flight.is_ended ? GW_E_NOTFOUND : load->err;
    pthread_mutex_unlock(&sh->lock);
    for (size_t i = 0; i < load->n_waiters; i++)
        load->waiters[i].fn(load->waiters[i].arg, err, err == GW_OK ? session_ref(load->session) : NULL);
    load_free(load);
}

static enum gw_err start_load(struct sessions *ss, struct shard *sh, struct loop *l, const uint8_t *id, struct view cookie,
                              session_fn fn, void *arg)
{
    struct load *load = calloc(1, sizeof(*load));
    if (load == NULL)
        return GW_E_NOMEM;
    load->ss = ss;
    load->flight.loop = l;
    memcpy(load->flight.id, id, DIGEST_BYTES);
    memcpy(load->cookie, cookie.p, SESSION_COOKIE_LEN);
    enum gw_err err = load_add_waiter(load, fn, arg);
    if (err == GW_OK)
        err = jobs_submit(ss->spec.jobs, l, load_run, load_done, load);
    if (err != GW_OK) {
        load_free(load);
        return err;
    }
    shard_add_flight(sh, &load->flight, atomic_load(&ss->epoch));
    return GW_OK;
}

/* A load under way that a request on this loop may join: none that began before the row changed. */
static struct load *find_load(const struct sessions *ss, const struct shard *sh, const struct loop *l, const uint8_t *id)
{
    for (struct flight *f = sh->flights; f != NULL; f = f->next)
        if (f->loop == l && !f->is_ended && !f->is_outdated && f->epoch == atomic_load(&ss->epoch) && shard_is_id(f->id, id))
            return GW_OWNER(f, struct load, flight);
    return NULL;
}

enum gw_err session_load(struct sessions *ss, struct loop *l, struct view cookie, session_fn fn, void *arg)
{
    uint8_t id[DIGEST_BYTES];
    if (cookie.n != SESSION_COOKIE_LEN)
        return GW_E_NOTFOUND;
    enum gw_err err = sessionrow_id(cookie, id);
    if (err != GW_OK)
        return err;
    struct shard *sh = shard_of(ss, id);
    pthread_mutex_lock(&sh->lock);
    struct load *load = find_load(ss, sh, l, id);
    if (shard_is_none(sh, id, epoch_now_s()))
        err = GW_E_NOTFOUND;
    else if (load != NULL)
        err = load_add_waiter(load, fn, arg);
    else
        err = start_load(ss, sh, l, id, cookie, fn, arg);
    pthread_mutex_unlock(&sh->lock);
    return err;
}

/* ---- creating ---- */

static void making_free(struct making *m)
{
    if (m == NULL)
        return;
    secret_wipe(m->cookie, sizeof(m->cookie));
    store_row_deinit(&m->row);
    session_unref(m->session);
    free(m);
}

static void making_freep(struct making **pp)
{
    making_free(*pp);
}

static void make_run(void *arg)
{
    struct making *m = arg;
    struct shard *sh = shard_of(m->ss, m->row.id);
    pthread_mutex_lock(&sh->lock);
    shard_add_flight(sh, &m->flight, atomic_load(&m->ss->epoch));
    pthread_mutex_unlock(&sh->lock);
    m->err = store_session_put(m->ss->spec.store, &m->row);
    pthread_mutex_lock(&sh->lock);
    shard_remove_flight(sh, &m->flight);
    if (m->err == GW_OK && !shard_land(sh, &m->flight, m->session, m->cost))
        m->err = GW_E_EXPIRED;
    pthread_mutex_unlock(&sh->lock);
}

static void make_done(void *arg)
{
    struct making *m = arg;
    m->fn(m->arg, m->err, m->err == GW_OK ? view_at(m->cookie, sizeof(m->cookie)) : VIEW_NONE);
    making_free(m);
}

static enum gw_err draw_cookie(char out[SESSION_COOKIE_LEN])
{
    uint8_t random[COOKIE_RANDOM_BYTES];
    struct buf text = BUF(SESSION_COOKIE_LEN);
    enum gw_err err = rnd_bytes(random, sizeof(random));
    if (err != GW_OK)
        return err;
    b64url_encode(&text, random, sizeof(random));
    secret_wipe(random, sizeof(random));
    if (!buf_ok(&text) || text.n != SESSION_COOKIE_LEN)
        return GW_E_NOMEM;
    memcpy(out, text.p, SESSION_COOKIE_LEN);
    secret_wipe(text.p, text.n);
    buf_deinit(&text);
    return GW_OK;
}

/* All but the disk is done here: a few microseconds, and nothing of the spec needs to be copied. */
enum gw_err session_create(struct sessions *ss, struct loop *l, const struct session_new_spec *spec, session_made_fn fn,
                           void *arg)
{
    int64_t now_s = epoch_now_s(), expires_s = now_s + ss->spec.absolute_s;
    if (spec->iss.n == 0 || spec->sub.n == 0)
        return GW_E_INVALID;
    GW_CLEANUP(making_freep) struct making *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return GW_E_NOMEM;
    m->ss = ss;
    m->fn = fn;
    m->arg = arg;
    enum gw_err err = session_decode(ss, spec->claims_json, &m->session, &m->cost);
    if (err == GW_OK)
        err = draw_cookie(m->cookie);
    if (err == GW_OK)
        err = sessionrow_seal(ss->spec.ring, spec, view_at(m->cookie, sizeof(m->cookie)), now_s, expires_s, &m->row);
    if (err != GW_OK)
        return err;
    memcpy(m->flight.id, m->row.id, DIGEST_BYTES);
    m->session->created_s = m->session->seen_s = m->session->noted_s = m->session->read_s = now_s;
    m->session->expires_s = expires_s;
    set_freshness(ss, m->session, now_s);
    atomic_store_explicit(&m->session->need, spec->need, memory_order_relaxed);
    err = jobs_submit(ss->spec.jobs, l, make_run, make_done, m);
    if (err == GW_OK)
        GW_TAKE(m);
    return err;
}

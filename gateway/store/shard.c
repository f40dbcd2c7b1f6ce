#include "store/shard.h"

#include "util/meter.h"

static void live_drop(void *value)
{
    meter_add(METER_SESSIONS_CACHED, -1);
    session_unref(value);
}

enum gw_err shard_init(struct shard *sh, size_t cache_bytes)
{
    /* One more than none: zero is "no limit" to ttlmap. */
    struct ttlmap_spec live = {
        .max_entries = cache_bytes / SESSION_OVERHEAD_BYTES + 1,
        .max_cost = cache_bytes + 1,
        .drop = live_drop,
    };
    struct ttlmap_spec none = {.max_entries = SESSION_NONE_MAX / SHARDS};
    pthread_mutex_init(&sh->lock, NULL);
    enum gw_err err = ttlmap_new(&live, &sh->live);
    return err == GW_OK ? ttlmap_new(&none, &sh->none) : err;
}

void shard_deinit(struct shard *sh)
{
    for (size_t i = 0; i < SHARD_WATCHES; i++)
        for (struct session_watch *w = sh->watches[i]; w != NULL; w = w->next)
            w->ss = NULL; /* nobody will tell it any more, and it need not say goodbye */
    ttlmap_free(sh->live);
    ttlmap_free(sh->none);
    pthread_mutex_destroy(&sh->lock);
}

struct session *shard_find_live(struct shard *sh, const uint8_t *id, int64_t now_s, int64_t idle_s)
{
    struct session *s = ttlmap_find(sh->live, id, now_s);
    if (s != NULL && now_s - s->seen_s >= idle_s) {
        ttlmap_remove(sh->live, id);
        return NULL;
    }
    return s;
}

bool shard_land(struct shard *sh, const struct flight *f, struct session *s, size_t cost)
{
    if (f->is_ended)
        return false;
    s->epoch = f->epoch;
    s->is_outdated = f->is_outdated;
    meter_add(METER_SESSIONS_CACHED, 1);
    enum gw_err err = ttlmap_put(sh->live, f->id, session_ref(s), cost, s->expires_s);
    (void)err; /* a session too large for the cache is fetched each time; dropping counted it back */
    return true;
}

/* ---- nobody's ---- */

static bool is_undeleted(const struct shard *sh, const uint8_t *id)
{
    for (size_t i = 0; i < sh->n_undeleted; i++)
        if (shard_is_id(sh->undeleted[i].id, id))
            return true;
    return false;
}

bool shard_is_none(struct shard *sh, const uint8_t *id, int64_t now_s)
{
    for (const struct ending *e = sh->endings; e != NULL; e = e->next)
        if (shard_is_id(e->id, id))
            return true;
    return is_undeleted(sh, id) || ttlmap_find(sh->none, id, now_s) != NULL;
}

void shard_note_none(struct shard *sh, const uint8_t *id, int64_t now_s)
{
    enum gw_err err = ttlmap_put(sh->none, id, sh, 0, now_s + SESSION_NONE_S);
    (void)err; /* not remembering costs a look at the store, no more */
}

static void remove_undeleted(struct shard *sh, size_t i)
{
    sh->n_undeleted--;
    memmove(&sh->undeleted[i], &sh->undeleted[i + 1], (sh->n_undeleted - i) * sizeof(sh->undeleted[0]));
}

/* When full, the oldest gives way: its logout has been reported as failed. */
static void note_undeleted(struct shard *sh, const struct ending *e)
{
    if (is_undeleted(sh, e->id))
        return;
    if (sh->n_undeleted == SHARD_UNDELETED_MAX)
        remove_undeleted(sh, 0);
    struct undeleted *u = &sh->undeleted[sh->n_undeleted++];
    memcpy(u->id, e->id, DIGEST_BYTES);
    u->asked_ms = e->asked_ms;
    u->is_logout = e->is_logout;
}

void shard_forget_undeleted(struct shard *sh, const uint8_t *id)
{
    for (size_t i = sh->n_undeleted; i-- > 0;)
        if (shard_is_id(sh->undeleted[i].id, id))
            remove_undeleted(sh, i);
}

/* ---- flights ---- */

void shard_add_flight(struct shard *sh, struct flight *f, uint32_t epoch)
{
    f->epoch = epoch;
    f->next = sh->flights;
    sh->flights = f;
}

void shard_remove_flight(struct shard *sh, struct flight *f)
{
    struct flight **link = &sh->flights;
    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
}

/* ---- endings ---- */

bool shard_end(struct shard *sh, const uint8_t *id)
{
    for (struct flight *f = sh->flights; f != NULL; f = f->next)
        f->is_ended |= shard_is_id(f->id, id);
    for (struct session_watch *w = *shard_watches(sh, id); w != NULL; w = w->next)
        if (shard_is_id(w->id, id))
            atomic_store_explicit(&w->has_ended, true, memory_order_relaxed);
    return ttlmap_remove(sh->live, id);
}

void shard_outdate(struct shard *sh, const uint8_t *id)
{
    for (struct flight *f = sh->flights; f != NULL; f = f->next)
        f->is_outdated |= shard_is_id(f->id, id);
    struct session *s = ttlmap_find(sh->live, id, 0);
    if (s != NULL)
        s->is_outdated = true;
}

void shard_start_ending(struct shard *sh, struct ending *e)
{
    e->was_known = shard_end(sh, e->id);
    e->next = sh->endings;
    sh->endings = e;
}

void shard_finish_ending(struct shard *sh, struct ending *e, int64_t now_s)
{
    struct ending **link = &sh->endings;
    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    if (e->err == GW_OK)
        shard_note_none(sh, e->id, now_s);
    else if (e->was_known)
        note_undeleted(sh, e);
}

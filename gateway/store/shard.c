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

void shard_put_live(struct shard *sh, const uint8_t *id, struct session *s, size_t cost)
{
    meter_add(METER_SESSIONS_CACHED, 1);
    enum gw_err err = ttlmap_put(sh->live, id, session_ref(s), cost, s->expires_s);
    (void)err; /* a session too large for the cache is fetched each time; dropping counted it back */
}

/* ---- nobody's ---- */

static bool is_undeleted(const struct shard *sh, const uint8_t *id)
{
    for (size_t i = 0; i < sh->n_undeleted; i++)
        if (shard_is_id(sh->undeleted[i], id))
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
    memmove(sh->undeleted[i], sh->undeleted[i + 1], (sh->n_undeleted - i) * DIGEST_BYTES);
}

/* When full, the oldest gives way: its logout has been reported as failed. */
static void note_undeleted(struct shard *sh, const uint8_t *id)
{
    if (is_undeleted(sh, id))
        return;
    if (sh->n_undeleted == SHARD_UNDELETED_MAX)
        remove_undeleted(sh, 0);
    memcpy(sh->undeleted[sh->n_undeleted++], id, DIGEST_BYTES);
}

void shard_forget_undeleted(struct shard *sh, const uint8_t *id)
{
    for (size_t i = sh->n_undeleted; i-- > 0;)
        if (shard_is_id(sh->undeleted[i], id))
            remove_undeleted(sh, i);
}

/* ---- endings ---- */

void shard_start_ending(struct shard *sh, struct ending *e)
{
    e->was_known = ttlmap_remove(sh->live, e->id);
    for (struct load *load = sh->loads; load != NULL; load = load->next)
        load->is_ended |= shard_is_id(load->id, e->id);
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
        note_undeleted(sh, e->id);
}

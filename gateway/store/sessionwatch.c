#include "store/shard.h"

#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/log.h"

/* ---- what the store tells ---- */

void sessionwatch_on_change(void *arg, enum store_change change, const uint8_t id[DIGEST_BYTES])
{
    struct sessions *ss = arg;
    if (change == STORE_UNKNOWN) {
        atomic_fetch_add(&ss->epoch, 1);
        return;
    }
    struct shard *sh = shard_of(ss, id);
    pthread_mutex_lock(&sh->lock);
    if (change == STORE_ENDED) {
        shard_end(sh, id);
        shard_note_none(sh, id, epoch_now_s());
    } else {
        shard_outdate(sh, id);
    }
    pthread_mutex_unlock(&sh->lock);
}

/* ---- what stays open ---- */

enum gw_err session_watch_start(struct sessions *ss, struct view cookie, struct session_watch *w)
{
    if (cookie.n != SESSION_COOKIE_LEN)
        return GW_E_NOTFOUND;
    enum gw_err err = sessionrow_id(cookie, w->id);
    if (err != GW_OK)
        return err;
    struct shard *sh = shard_of(ss, w->id);
    struct session_watch **head = shard_watches(sh, w->id);
    w->ss = ss;
    w->known_s = epoch_now_s();
    atomic_init(&w->has_ended, false);
    pthread_mutex_lock(&sh->lock);
    w->next = *head;
    w->link = head;
    if (w->next != NULL)
        w->next->link = &w->next;
    *head = w;
    pthread_mutex_unlock(&sh->lock);
    return GW_OK;
}

void session_watch_stop(struct session_watch *w)
{
    if (w->ss == NULL)
        return;
    struct shard *sh = shard_of(w->ss, w->id);
    pthread_mutex_lock(&sh->lock);
    *w->link = w->next;
    if (w->next != NULL)
        w->next->link = w->link;
    pthread_mutex_unlock(&sh->lock);
    w->ss = NULL;
}

/* ---- looking after them while changes go untold ---- */

/* The sessions of one list, each once; the caller frees. */
static enum gw_err collect_ids(struct shard *sh, const struct session_watch *const *head, uint8_t (**ret_ids)[DIGEST_BYTES],
                               size_t *ret_n)
{
    size_t n = 0, size = 0;
    pthread_mutex_lock(&sh->lock);
    for (const struct session_watch *w = *head; w != NULL; w = w->next)
        size++;
    uint8_t(*ids)[DIGEST_BYTES] = size == 0 ? NULL : malloc(size * sizeof(*ids));
    for (const struct session_watch *w = *head; ids != NULL && w != NULL; w = w->next) {
        size_t i = 0;
        while (i < n && !shard_is_id(ids[i], w->id))
            i++;
        if (i == n)
            memcpy(ids[n++], w->id, DIGEST_BYTES);
    }
    pthread_mutex_unlock(&sh->lock);
    *ret_ids = ids;
    *ret_n = n;
    return size > 0 && ids == NULL ? GW_E_NOMEM : GW_OK;
}

/* After a look at the row. A store that does not answer leaves sockets open as long as it leaves sessions alive. */
static void tell_watches(struct sessions *ss, struct shard *sh, const uint8_t *id, enum gw_err err, int64_t now_s)
{
    pthread_mutex_lock(&sh->lock);
    if (err == GW_E_NOTFOUND)
        shard_end(sh, id);
    for (struct session_watch *w = *shard_watches(sh, id); w != NULL; w = w->next) {
        if (!shard_is_id(w->id, id))
            continue;
        if (err == GW_OK)
            w->known_s = now_s;
        else if (now_s - w->known_s >= ss->spec.grace_s)
            atomic_store_explicit(&w->has_ended, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&sh->lock);
}

static enum gw_err look_after(struct sessions *ss, struct shard *sh, struct session_watch **head)
{
    GW_CLEANUP(gw_freep) uint8_t(*ids)[DIGEST_BYTES] = NULL;
    size_t n = 0;
    enum gw_err err = collect_ids(sh, (const struct session_watch *const *)head, &ids, &n);
    for (size_t i = 0; i < n; i++) {
        struct store_row row;
        enum gw_err got = store_session_get(ss->spec.store, ids[i], &row);
        if (got == GW_OK)
            store_row_deinit(&row);
        tell_watches(ss, sh, ids[i], got, epoch_now_s());
        if (got != GW_OK && got != GW_E_NOTFOUND)
            err = got;
    }
    return err;
}

enum gw_err sessionwatch_look(struct sessions *ss)
{
    uint32_t epoch = atomic_load(&ss->epoch);
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < SHARDS; i++)
        for (size_t k = 0; k < SHARD_WATCHES; k++) {
            enum gw_err one = look_after(ss, &ss->shards[i], &ss->shards[i].watches[k]);
            err = one == GW_OK ? err : one;
        }
    if (err == GW_OK)
        ss->watched_epoch = epoch;
    return err;
}

static void watch_run(void *arg)
{
    enum gw_err err = sessionwatch_look(arg);
    (void)err; /* the store has said why; the next look is in a second */
}

static void watch_again(void *arg)
{
    struct sessions *ss = arg;
    if (loop_timer_start(ss->sweep_loop, &ss->watch_timer, (int64_t)STORE_UNWATCHED_S * 1000) != GW_OK)
        log_write(LOG_ERROR, "open sockets are no longer looked after: no memory for a timer", NULL);
}

static void on_watch_due(struct loop_timer *t)
{
    struct sessions *ss = t->arg;
    bool is_told = store_is_watching(ss->spec.store) && ss->watched_epoch == atomic_load(&ss->epoch);
    if (is_told || jobs_submit(ss->spec.jobs, ss->sweep_loop, watch_run, watch_again, ss) != GW_OK)
        watch_again(ss);
}

void sessionwatch_start(struct sessions *ss)
{
    ss->watch_timer = (struct loop_timer){.fn = on_watch_due, .arg = ss};
    watch_again(ss);
}

#include "store/shard.h"

#include "util/epoch.h"
#include "util/log.h"

enum {
    NOTES_PER_LOCK = 128, /* sessions looked at, or written, per turn */
    SWEEPS_MAX = 1000,    /* calls of store_sweep() at a time */
};

struct note {
    uint8_t id[DIGEST_BYTES];
    int64_t seen_s;
};

/* Looks at the next NOTES_PER_LOCK sessions of a shard: forgets those over a limit, collects those to be written.
 * The lock is held. */
static size_t collect_notes(const struct sessions *ss, struct shard *sh, int64_t now_s, size_t *pos, struct note *ret_notes,
                            bool *ret_is_end)
{
    size_t n = 0;
    for (size_t i = 0; i < NOTES_PER_LOCK; i++) {
        const uint8_t *id;
        void *value;
        if (!ttlmap_next(sh->live, pos, &id, &value)) {
            *ret_is_end = true;
            break;
        }
        const struct session *s = value;
        if (now_s >= s->expires_s || now_s - s->seen_s >= ss->spec.idle_s) {
            ttlmap_remove(sh->live, id);
        } else if (s->seen_s - s->noted_s >= ss->note_s) {
            memcpy(ret_notes[n].id, id, DIGEST_BYTES);
            ret_notes[n++].seen_s = s->seen_s;
        }
    }
    return n;
}

static enum gw_err write_note(struct sessions *ss, struct shard *sh, const struct note *note, int64_t now_s)
{
    enum gw_err err = store_session_touch(ss->spec.store, note->id, note->seen_s);
    if (err != GW_OK && err != GW_E_NOTFOUND)
        return err;
    pthread_mutex_lock(&sh->lock);
    struct session *s = ttlmap_find(sh->live, note->id, now_s);
    if (err == GW_E_NOTFOUND)
        shard_end(sh, note->id); /* somebody else deleted the row: the session has ended */
    else if (s != NULL)
        s->noted_s = note->seen_s;
    pthread_mutex_unlock(&sh->lock);
    return GW_OK;
}

static enum gw_err write_behind(struct sessions *ss, struct shard *sh, int64_t now_s)
{
    struct note notes[NOTES_PER_LOCK];
    size_t pos = 0;
    bool is_end = false;
    while (!is_end) {
        pthread_mutex_lock(&sh->lock);
        size_t n = collect_notes(ss, sh, now_s, &pos, notes, &is_end);
        pthread_mutex_unlock(&sh->lock);
        for (size_t i = 0; i < n; i++) {
            enum gw_err err = write_note(ss, sh, &notes[i], now_s);
            if (err != GW_OK)
                return err;
        }
    }
    return GW_OK;
}

static enum gw_err delete_undeleted(struct sessions *ss, struct shard *sh)
{
    struct undeleted left[SHARD_UNDELETED_MAX];
    pthread_mutex_lock(&sh->lock);
    size_t n = sh->n_undeleted;
    memcpy(left, sh->undeleted, n * sizeof(left[0]));
    pthread_mutex_unlock(&sh->lock);
    for (size_t i = 0; i < n; i++) {
        enum gw_err err = sessionend_remove(ss, left[i].id, left[i].asked_ms, left[i].is_logout);
        if (err != GW_OK)
            return err;
        pthread_mutex_lock(&sh->lock);
        shard_forget_undeleted(sh, left[i].id);
        pthread_mutex_unlock(&sh->lock);
    }
    return GW_OK;
}

enum gw_err session_sweep_now(struct sessions *ss)
{
    int64_t now_s = epoch_now_s();
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < SHARDS && err == GW_OK; i++) {
        err = delete_undeleted(ss, &ss->shards[i]);
        if (err == GW_OK)
            err = write_behind(ss, &ss->shards[i], now_s);
    }
    /* Rows lag behind memory by as much as this; only after all were written, lest a session in use be swept away. */
    int64_t idle_s = ss->spec.idle_s + ss->note_s + 2 * SESSION_SWEEP_S;
    size_t n_removed = STORE_SWEEP_MAX;
    for (size_t i = 0; i < SWEEPS_MAX && err == GW_OK && n_removed == STORE_SWEEP_MAX; i++)
        err = store_sweep(ss->spec.store, now_s, idle_s, &n_removed);
    return err;
}

static void sweep_run(void *arg)
{
    struct sessions *ss = arg;
    ss->sweep_err = session_sweep_now(ss);
}

static void sweep_again(struct sessions *ss)
{
    if (loop_timer_start(ss->sweep_loop, &ss->sweep_timer, (int64_t)SESSION_SWEEP_S * 1000) != GW_OK)
        log_write(LOG_ERROR, "sessions are no longer swept: no memory for a timer", NULL);
}

static void sweep_done(void *arg)
{
    struct sessions *ss = arg;
    if (ss->sweep_err != GW_OK)
        log_event(LOG_WARN, "sessions could not be swept", LOG_KV("error", view_of(gw_err_name(ss->sweep_err))));
    sweep_again(ss);
}

static void on_sweep_due(struct loop_timer *t)
{
    struct sessions *ss = t->arg;
    if (jobs_submit(ss->spec.jobs, ss->sweep_loop, sweep_run, sweep_done, ss) != GW_OK)
        sweep_again(ss);
}

static void start_on_loop(void *arg)
{
    sweep_again(arg);
    sessionwatch_start(arg);
}

enum gw_err session_sweep_start(struct sessions *ss, struct loop *l)
{
    ss->sweep_loop = l;
    ss->sweep_timer = (struct loop_timer){.fn = on_sweep_due, .arg = ss};
    return loop_post(l, start_on_loop, ss); /* l may be running already, and timers are its thread's */
}

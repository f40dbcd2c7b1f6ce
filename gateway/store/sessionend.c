#include "store/shard.h"

#include "util/epoch.h"
#include "util/secret.h"

#include <stdlib.h>

enum gw_err sessionend_remove(struct sessions *ss, const uint8_t *id, int64_t asked_ms, bool is_logout)
{
    int64_t tomb_s = is_logout ? asked_ms / 1000 + ss->spec.absolute_s : 0;
    return store_session_end(ss->spec.store, id, asked_ms, tomb_s);
}

static void end_run(void *arg)
{
    struct ending *e = arg;
    struct store *store = e->ss->spec.store;
    struct store_row row;
    if (store_session_get(store, e->id, &row) == GW_OK) {
        e->was_known = true;
        /* Without it the logout is still one, only not at the provider. */
        if (sessionrow_open(e->ss->spec.ring, &row, view_at(e->cookie, sizeof(e->cookie)), &e->secret) != GW_OK)
            e->secret = (struct sessionrow_secret){.id_token = VIEW_NONE};
        store_row_deinit(&row);
    }
    e->err = sessionend_remove(e->ss, e->id, e->asked_ms, e->is_logout);
}

static void end_done(void *arg)
{
    struct ending *e = arg;
    struct shard *sh = shard_of(e->ss, e->id);
    pthread_mutex_lock(&sh->lock);
    shard_finish_ending(sh, e, epoch_now_s());
    pthread_mutex_unlock(&sh->lock);
    e->fn(e->arg, e->err, e->secret.id_token);
    sessionrow_secret_deinit(&e->secret);
    secret_wipe(e->cookie, sizeof(e->cookie));
    free(e);
}

static enum gw_err end_one(struct sessions *ss, struct loop *l, struct view cookie, bool is_logout, session_ended_fn fn,
                           void *arg)
{
    if (cookie.n != SESSION_COOKIE_LEN)
        return GW_E_NOTFOUND;
    struct ending *e = calloc(1, sizeof(*e));
    if (e == NULL)
        return GW_E_NOMEM;
    *e = (struct ending){.ss = ss, .asked_ms = epoch_now_ms(), .is_logout = is_logout, .fn = fn, .arg = arg};
    memcpy(e->cookie, cookie.p, SESSION_COOKIE_LEN);
    enum gw_err err = sessionrow_id(cookie, e->id);
    if (err != GW_OK) {
        free(e);
        return err;
    }
    struct shard *sh = shard_of(ss, e->id);
    pthread_mutex_lock(&sh->lock);
    shard_start_ending(sh, e);
    err = jobs_submit(ss->spec.jobs, l, end_run, end_done, e);
    if (err != GW_OK) {
        e->err = err;
        shard_finish_ending(sh, e, epoch_now_s());
    }
    pthread_mutex_unlock(&sh->lock);
    if (err != GW_OK)
        free(e);
    return err;
}

enum gw_err session_end(struct sessions *ss, struct loop *l, struct view cookie, session_ended_fn fn, void *arg)
{
    return end_one(ss, l, cookie, true, fn, arg);
}

enum gw_err session_give_way(struct sessions *ss, struct loop *l, struct view cookie, session_ended_fn fn, void *arg)
{
    return end_one(ss, l, cookie, false, fn, arg);
}

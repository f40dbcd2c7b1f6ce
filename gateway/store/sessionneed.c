#include "store/shard.h"

#include "util/cleanup.h"

/* Bits of a packed need: there is one, its members, and the age above them. */
enum { NEED_IS_THERE = 1, NEED_MFA = 2, NEED_IS_ASKED = 4, NEED_HAS_AGE = 8, NEED_AGE_SHIFT = 8, NEED_AGE_BITS = 40 };

int64_t session_need_pack(struct session_need need)
{
    int64_t age_max_s = ((int64_t)1 << NEED_AGE_BITS) - 1, age_s = need.max_auth_age_s;
    int64_t packed = NEED_IS_THERE | (need.mfa ? NEED_MFA : 0) | (need.is_asked ? NEED_IS_ASKED : 0);
    return age_s < 0 ? packed : packed | NEED_HAS_AGE | (age_s < age_max_s ? age_s : age_max_s) << NEED_AGE_SHIFT;
}

struct session_need session_need_unpack(int64_t packed)
{
    return (struct session_need){
        .max_auth_age_s = (packed & NEED_HAS_AGE) != 0 ? packed >> NEED_AGE_SHIFT : -1,
        .mfa = (packed & NEED_MFA) != 0,
        .is_asked = (packed & NEED_IS_ASKED) != 0,
    };
}

int64_t session_get_need(const struct session *s)
{
    return atomic_load_explicit(&s->need, memory_order_relaxed);
}

struct needing {
    struct sessions *ss;
    uint8_t id[DIGEST_BYTES];
    int64_t need;
    enum gw_err err;
    session_need_fn fn;
    void *arg;
};

static void need_run(void *arg)
{
    struct needing *n = arg;
    struct shard *sh = shard_of(n->ss, n->id);
    n->err = store_session_need(n->ss->spec.store, n->id, n->need);
    if (n->err != GW_OK)
        return;
    pthread_mutex_lock(&sh->lock);
    struct session *s = ttlmap_find(sh->live, n->id, 0);
    if (s != NULL)
        atomic_store_explicit(&s->need, n->need, memory_order_relaxed);
    pthread_mutex_unlock(&sh->lock);
}

static void need_done(void *arg)
{
    struct needing *n = arg;
    n->fn(n->arg, n->err);
    free(n);
}

enum gw_err session_need(struct sessions *ss, struct loop *l, struct view cookie, int64_t need, session_need_fn fn, void *arg)
{
    if (cookie.n != SESSION_COOKIE_LEN)
        return GW_E_NOTFOUND;
    GW_CLEANUP(gw_freep) struct needing *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return GW_E_NOMEM;
    *n = (struct needing){.ss = ss, .need = need, .fn = fn, .arg = arg};
    enum gw_err err = sessionrow_id(cookie, n->id);
    if (err == GW_OK)
        err = jobs_submit(ss->spec.jobs, l, need_run, need_done, n);
    if (err == GW_OK)
        GW_TAKE(n);
    return err;
}

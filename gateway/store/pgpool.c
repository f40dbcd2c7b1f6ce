#include "store/pgpool.h"

#include "util/cleanup.h"
#include "util/epoch.h"
#include "util/secret.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct pgpool {
    pthread_mutex_t lock;
    pthread_cond_t given;
    char *dsn, *setup;
    struct pglink *idle[PGPOOL_MAX];
    size_t n_idle, n_out;
    int64_t retry_us, retry_ms; /* not before, on epoch_mono_us(); 0 = the last attempt went well */
    bool is_trying;             /* somebody, while retry_ms is set */
    char reason[PGLINK_REASON_MAX];
};

enum gw_err pgpool_new(const char *dsn, const char *setup, struct pgpool **ret_pool)
{
    pthread_condattr_t attr;
    struct pgpool *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&p->given, &attr);
    pthread_condattr_destroy(&attr);
    p->dsn = strdup(dsn);
    p->setup = strdup(setup);
    if (p->dsn == NULL || p->setup == NULL) {
        pgpool_free(p);
        return GW_E_NOMEM;
    }
    *ret_pool = p;
    return GW_OK;
}

void pgpool_free(struct pgpool *p)
{
    if (p == NULL)
        return;
    while (p->n_idle > 0)
        pglink_close(p->idle[--p->n_idle]);
    pthread_cond_destroy(&p->given);
    pthread_mutex_destroy(&p->lock);
    secret_free(p->dsn);
    free(p->setup);
    free(p);
}

enum gw_err pgpool_use_dsn(struct pgpool *p, struct view dsn)
{
    char *copy = view_dup(dsn);
    if (copy == NULL)
        return GW_E_NOMEM;
    pthread_mutex_lock(&p->lock);
    char *old = p->dsn;
    p->dsn = copy;
    pthread_mutex_unlock(&p->lock);
    secret_free(old);
    return GW_OK;
}

enum gw_err pgpool_open(struct pgpool *p, struct pglink **ret_link, char reason[PGLINK_REASON_MAX])
{
    pthread_mutex_lock(&p->lock);
    GW_CLEANUP(secret_freep) char *dsn = strdup(p->dsn);
    pthread_mutex_unlock(&p->lock);
    return dsn == NULL ? GW_E_NOMEM : pglink_open(dsn, p->setup, ret_link, reason);
}

/* An idle one that works, or NULL and a place for one more (counted in n_out). GW_E_IO: all are out and stay out. The lock is held. */
static enum gw_err take_place(struct pgpool *p, struct pglink **ret_link)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PGPOOL_WAIT_MS / 1000;
    for (;;) {
        if (p->n_idle > 0) {
            struct pglink *l = p->idle[--p->n_idle];
            if (pglink_is_alive(l)) {
                p->n_out++;
                *ret_link = l;
                return GW_OK;
            }
            pglink_close(l);
        } else if (p->n_out < PGPOOL_MAX) {
            p->n_out++;
            *ret_link = NULL;
            return GW_OK;
        } else if (pthread_cond_timedwait(&p->given, &p->lock, &until) != 0) {
            return GW_E_IO;
        }
    }
}

/* The lock is held. */
static bool may_try(const struct pgpool *p)
{
    return p->retry_ms == 0 || (!p->is_trying && epoch_mono_us() >= p->retry_us);
}

/* The lock is held, but not meanwhile. */
static enum gw_err open_in_place(struct pgpool *p, struct pglink **ret_link, char reason[PGLINK_REASON_MAX])
{
    bool is_trial = p->retry_ms != 0;
    if (!may_try(p)) {
        memcpy(reason, p->reason, PGLINK_REASON_MAX);
        return GW_E_IO;
    }
    p->is_trying |= is_trial;
    pthread_mutex_unlock(&p->lock);
    enum gw_err err = pgpool_open(p, ret_link, reason);
    pthread_mutex_lock(&p->lock);
    if (is_trial)
        p->is_trying = false;
    if (err == GW_OK) {
        p->retry_ms = 0;
        return GW_OK;
    }
    memcpy(p->reason, reason, PGLINK_REASON_MAX);
    p->retry_ms = p->retry_ms * 2 < PGPOOL_RETRY_MAX_MS ? p->retry_ms * 2 : PGPOOL_RETRY_MAX_MS;
    if (p->retry_ms < PGPOOL_RETRY_MIN_MS)
        p->retry_ms = PGPOOL_RETRY_MIN_MS;
    p->retry_us = epoch_mono_us() + p->retry_ms * 1000;
    return err == GW_E_NOMEM ? err : GW_E_IO;
}

enum gw_err pgpool_take(struct pgpool *p, struct pglink **ret_link, char reason[PGLINK_REASON_MAX])
{
    struct pglink *l = NULL;
    memcpy(reason, "all connections are in use", sizeof("all connections are in use"));
    pthread_mutex_lock(&p->lock);
    enum gw_err err = take_place(p, &l);
    if (err == GW_OK && l == NULL) {
        err = open_in_place(p, &l, reason);
        if (err != GW_OK) {
            p->n_out--;
            pthread_cond_signal(&p->given);
        }
    }
    pthread_mutex_unlock(&p->lock);
    if (err == GW_OK)
        *ret_link = l;
    return err;
}

void pgpool_give(struct pgpool *p, struct pglink *l, bool is_fine)
{
    pthread_mutex_lock(&p->lock);
    p->n_out--;
    if (is_fine)
        p->idle[p->n_idle++] = l;
    pthread_cond_signal(&p->given);
    pthread_mutex_unlock(&p->lock);
    if (!is_fine)
        pglink_close(l);
}

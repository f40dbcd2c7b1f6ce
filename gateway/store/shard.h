/* shard: what is remembered about the cookies whose digests end alike. Inside of session.h: for its own files only.
 *
 * Why a logout cannot be undone by what is under way: everything about one cookie happens in one shard, under its lock.
 *  - Whoever brings a session into memory (load, creation, refresh) links a `flight` before it reads or writes the row.
 *  - session_end(), and the store's word that a row is gone, take the session out of `live` and mark each flight and each watch
 *    as ended, in one step.
 *  - A flight may put its session into `live`, or hand it out, only under the lock and only while not marked; a load that was
 *    marked answers GW_E_NOTFOUND even though it read the row before it was deleted.
 *  - session_end() also links an `ending`: a load asked for meanwhile is refused; the ending is unlinked when the row is gone. If
 *    the row could not be deleted, the id moves to `undeleted` in the same step, and the sweep tries again.
 * What is in memory but must be read again (the row changed, or changes went untold) stays in `live` until that is done, so that
 * it can serve for a while if the store does not answer.
 * Threads: shard_ functions are called with the lock held; no lock is held over I/O. */
#pragma once

#include "store/sessionrow.h"
#include "store/ttlmap.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>

enum {
    SHARDS = 64,
    SHARD_UNDELETED_MAX = SESSION_UNDELETED_MAX / SHARDS,
    SHARD_WATCHES = 32, /* lists of watches */
    SHARD_RETRY_S = 1,  /* between two tries to read a session again */
    MALLOC_BYTES = 16,  /* what an allocation costs beside its size */
};

struct session {
    _Atomic uint32_t n_refs;
    void (*unref_who)(void *who); /* kept here so that a session may outlive the cache */
    void *who;
    int64_t created_s, expires_s;
    int64_t fresh_until_s, grace_until_s; /* of the claims */
    _Atomic int64_t need;
    /* The shard's, under its lock. */
    int64_t seen_s, noted_s; /* last use, and what the store knows of it */
    int64_t read_s, tried_s; /* when its row was read, and when that was tried last in vain */
    int64_t retry_s;         /* no refresh before that: one has failed */
    uint32_t epoch;          /* of the sessions, when the reading began */
    bool is_outdated;        /* the row has changed since */
    uint8_t retry_err;       /* how that failed, an enum gw_err */
};

enum { SESSION_OVERHEAD_BYTES = sizeof(struct session) + MALLOC_BYTES + TTLMAP_ENTRY_BYTES };

struct waiter {
    session_fn fn;
    void *arg;
};

/* A session on its way into memory. */
struct flight {
    struct flight *next;
    struct loop *loop; /* of a load: whose requests wait for it; otherwise NULL */
    uint8_t id[DIGEST_BYTES];
    uint32_t epoch;
    bool is_ended, is_outdated; /* meanwhile; under the shard's lock */
};

/* A row being fetched for one loop. */
struct load {
    struct flight flight;
    struct sessions *ss;
    char cookie[SESSION_COOKIE_LEN];
    enum gw_err err;
    struct session *session;
    struct waiter *waiters; /* touched on the loop's thread only */
    size_t n_waiters, waiters_size;
};

/* A row being deleted. */
struct ending {
    struct ending *next;
    struct sessions *ss;
    uint8_t id[DIGEST_BYTES];
    char cookie[SESSION_COOKIE_LEN];
    int64_t asked_ms;
    bool is_logout; /* false: it gives way to a newer one */
    bool was_known; /* somebody had the right cookie */
    enum gw_err err;
    struct sessionrow_secret secret;
    session_ended_fn fn;
    void *arg;
};

/* A row that a logout could not delete. */
struct undeleted {
    uint8_t id[DIGEST_BYTES];
    int64_t asked_ms;
    bool is_logout;
};

struct refresh;

struct shard {
    alignas(64) pthread_mutex_t lock;
    struct ttlmap *live; /* id to session, counted */
    struct ttlmap *none; /* ids that belong to nobody */
    struct flight *flights;
    struct refresh *refreshes;
    struct ending *endings;
    struct session_watch *watches[SHARD_WATCHES];
    struct undeleted undeleted[SHARD_UNDELETED_MAX];
    size_t n_undeleted;
};

struct sessions {
    struct sessions_spec spec;
    int64_t note_s;
    struct loop *sweep_loop;
    struct loop_timer sweep_timer;
    enum gw_err sweep_err;
    _Atomic uint32_t epoch; /* counts how often changes went untold: what was read before must be read again */
    atomic_size_t n_refreshes;
    atomic_bool is_provider_down; /* as the last refresh found it, for the log */
    uint32_t watched_epoch;       /* of the last look after all watches */
    struct loop_timer watch_timer;
    struct shard shards[SHARDS];
};

static inline struct session *session_ref(struct session *s)
{
    atomic_fetch_add_explicit(&s->n_refs, 1, memory_order_relaxed);
    return s;
}

static inline bool shard_is_id(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, DIGEST_BYTES) == 0;
}

static inline struct shard *shard_of(struct sessions *ss, const uint8_t id[DIGEST_BYTES])
{
    return &ss->shards[id[DIGEST_BYTES - 1] % SHARDS];
}

static inline struct session_watch **shard_watches(struct shard *sh, const uint8_t id[DIGEST_BYTES])
{
    return &sh->watches[id[DIGEST_BYTES - 2] % SHARD_WATCHES];
}

enum gw_err shard_init(struct shard *sh, size_t cache_bytes) GW_MUST_CHECK;
void shard_deinit(struct shard *sh);

/* Borrowed; NULL if it is not there or over a limit. */
struct session *shard_find_live(struct shard *sh, const uint8_t *id, int64_t now_s, int64_t idle_s);
/* Keeps what a flight brought, instead of what was there, with a reference of its own; not if it was ended meanwhile: false.
 * cost: all the memory that the session takes. */
bool shard_land(struct shard *sh, const struct flight *f, struct session *s, size_t cost);
/* Known to be nobody's: logged out, or looked for a moment ago. */
bool shard_is_none(struct shard *sh, const uint8_t *id, int64_t now_s);
void shard_note_none(struct shard *sh, const uint8_t *id, int64_t now_s);
void shard_add_flight(struct shard *sh, struct flight *f, uint32_t epoch);
void shard_remove_flight(struct shard *sh, struct flight *f);
/* The row is gone: forgets what is in memory and what is on its way there, and tells the watches. True if it was in memory. */
bool shard_end(struct shard *sh, const uint8_t *id);
/* The row has changed: what is in memory, and on its way there, is to be read again. */
void shard_outdate(struct shard *sh, const uint8_t *id);
/* shard_end() for a logout; from now on the ending stands for it. */
void shard_start_ending(struct shard *sh, struct ending *e);
/* The row is gone, or is remembered as one to delete; in the same step the ending stops standing for it. */
void shard_finish_ending(struct shard *sh, struct ending *e, int64_t now_s);
/* After the row was deleted at last. */
void shard_forget_undeleted(struct shard *sh, const uint8_t *id);

/* session.c: what a row and its opened secret make. GW_E_NOTFOUND: past its absolute limit. ret_cost: all the memory it takes in
 * the cache. */
enum gw_err session_make(const struct sessions *ss, const struct store_row *row, const struct sessionrow_secret *secret,
                         int64_t now_s, struct session **ret_session, size_t *ret_cost) GW_MUST_CHECK;

/* sessionend.c: removes the row; blocks. */
enum gw_err sessionend_remove(struct sessions *ss, const uint8_t *id, int64_t asked_ms, bool is_logout) GW_MUST_CHECK;
/* sessionwatch.c: for store_watch(); arg is the sessions. */
void sessionwatch_on_change(void *arg, enum store_change change, const uint8_t id[DIGEST_BYTES]);
/* On the loop of the sweep: looks each second whether changes go untold, and if so, after all watches. */
void sessionwatch_start(struct sessions *ss);
/* That look now, on the calling thread; blocks, for the job pool. */
enum gw_err sessionwatch_look(struct sessions *ss) GW_MUST_CHECK;

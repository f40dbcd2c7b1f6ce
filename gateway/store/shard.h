/* shard: what is remembered about the cookies whose digests end alike. Inside of session.h: for its own files only.
 *
 * Why a logout cannot be undone by a load: everything about one cookie happens in one shard, under its lock.
 *  - session_end() takes the session out of `live`, marks each load under way as ended, and links an `ending`, in one step.
 *  - A load may put its session into `live`, or hand it out, only under the lock and only while not marked; one that was
 *    marked answers GW_E_NOTFOUND even though it read the row before it was deleted.
 *  - A load asked for while the `ending` is linked is refused; the ending is unlinked when the row is gone. If the row could
 *    not be deleted, the id moves to `undeleted` in the same step, and the sweep tries again.
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
    MALLOC_BYTES = 16, /* what an allocation costs beside its size */
};

struct session {
    _Atomic uint32_t n_refs;
    void (*unref_who)(void *who); /* kept here so that a session may outlive the cache */
    void *who;
    int64_t created_s, expires_s;
    int64_t seen_s, noted_s; /* the shard's, under its lock: last use, and what the store knows of it */
};

enum { SESSION_OVERHEAD_BYTES = sizeof(struct session) + MALLOC_BYTES + TTLMAP_ENTRY_BYTES };

struct waiter {
    session_fn fn;
    void *arg;
};

/* A row being fetched for one loop. */
struct load {
    struct load *next;
    struct sessions *ss;
    struct loop *loop;
    uint8_t id[DIGEST_BYTES];
    char cookie[SESSION_COOKIE_LEN];
    bool is_ended; /* by a logout; under the shard's lock */
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
    bool was_known; /* somebody had the right cookie */
    enum gw_err err;
    struct sessionrow_secret secret;
    session_ended_fn fn;
    void *arg;
};

struct shard {
    alignas(64) pthread_mutex_t lock;
    struct ttlmap *live; /* id to session, counted */
    struct ttlmap *none; /* ids that belong to nobody */
    struct load *loads;
    struct ending *endings;
    uint8_t undeleted[SHARD_UNDELETED_MAX][DIGEST_BYTES];
    size_t n_undeleted;
};

struct sessions {
    struct sessions_spec spec;
    int64_t note_s;
    struct loop *sweep_loop;
    struct loop_timer sweep_timer;
    enum gw_err sweep_err;
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

enum gw_err shard_init(struct shard *sh, size_t cache_bytes) GW_MUST_CHECK;
void shard_deinit(struct shard *sh);

/* Borrowed; NULL if it is not there or over a limit. */
struct session *shard_find_live(struct shard *sh, const uint8_t *id, int64_t now_s, int64_t idle_s);
/* Takes a reference of its own. cost: all the memory that the session takes. */
void shard_put_live(struct shard *sh, const uint8_t *id, struct session *s, size_t cost);
/* Known to be nobody's: logged out, or looked for a moment ago. */
bool shard_is_none(struct shard *sh, const uint8_t *id, int64_t now_s);
void shard_note_none(struct shard *sh, const uint8_t *id, int64_t now_s);
/* Forgets what is in memory and what is on its way there; from now on the ending stands for it. */
void shard_start_ending(struct shard *sh, struct ending *e);
/* The row is gone, or is remembered as one to delete; in the same step the ending stops standing for it. */
void shard_finish_ending(struct shard *sh, struct ending *e, int64_t now_s);
/* After the row was deleted at last. */
void shard_forget_undeleted(struct shard *sh, const uint8_t *id);

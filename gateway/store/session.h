/* session: who is logged in, remembered in memory in front of the store and shared by all loops.
 *
 * Shape: a cookie's value goes in, a counted session comes out. session_find() looks in memory only; what isn't there is
 * fetched through the job pool by session_load(), once per loop however many requests ask. Both limits (idle and absolute)
 * are judged on every hit. A store that fails takes nobody's session who is in memory, and lets nobody else in.
 * Memory: at most cache_bytes over all shards, sessions used longest ago go first; SESSION_NONE_MAX cookies known to belong
 * to nobody are remembered for SESSION_NONE_S, so that repeating one does not reach the disk.
 * Times: the row's seen_s lags: it is written behind, once a minute at most and each 1/60 of the idle limit, by the sweep.
 * After a restart the idle limit may therefore strike that much early, never late. At most one SESSION_SWEEP_S more.
 * Freshness: claims are as old as the last answer of the provider's userinfo. Older than refresh_s they have lapsed, and
 * session_refresh() asks anew before they are judged again, once however many requests, loops and gateways wait. While that fails
 * they serve for grace_s more; after that the session is of no use until it succeeds, but its row stays.
 * Logout: session_end() takes effect at once on every loop; a load under way or begun meanwhile answers GW_E_NOTFOUND.
 * If the store cannot delete the row, the session stays dead in this process and each sweep tries again.
 * Owns: sessions borrows store, jobs, ring and loops; all outlive it. Callbacks run later on the loop given, exactly once, and
 * only if the call returned GW_OK; views handed to them are borrowed for the call. `arg` must live until then.
 * Threads: any, each with its own loop; shards have short locks that are never held over I/O. A session is immutable. */
#pragma once

#include "store/store.h"
#include "util/jobs.h"
#include "util/seal.h"

#include <stdatomic.h>

enum {
    SESSION_COOKIE_LEN = 43, /* 256 random bits in b64url */
    SESSION_CACHE_BYTES = 64 * 1024 * 1024,
    SESSION_SECRET_MAX = 192 * 1024, /* claims and tokens of one session, as they are sealed */
    SESSION_LABEL_MAX = 4096,
    SESSION_WAITERS_MAX = 1024, /* for one load on one loop */
    SESSION_NONE_S = 10,
    SESSION_NONE_MAX = 16384,
    SESSION_UNDELETED_MAX = 1024, /* logouts that the store has still to hear of */
    SESSION_SWEEP_S = 60,
    SESSION_NOTE_S = 60, /* seen_s is written this often at most */
    SESSION_LIST_MAX = 500,
    SESSION_REFRESH_WAIT_MS = 10 * 1000, /* a request waits so long for a refresh */
    SESSION_REFRESHES_MAX = 1024,        /* under way */
    SESSION_RETRY_S = 5,                 /* after a refresh that failed */
    SESSION_LEASE_S = 30,                /* longer than a refresh can take */
    SESSION_HELD_MS = 200,               /* between two looks at a row that another gateway refreshes */
};

/* What becomes of claims is not known here: handed in. */
struct session_codec {
    /* GW_E_INVALID: not to be used. ret_bytes: the memory that it takes. */
    enum gw_err (*decode)(void *cls, struct view claims_json, void **ret_who, size_t *ret_bytes);
    void *(*ref)(void *who); /* for those who keep a `who` longer than its session; not called here */
    void (*unref)(void *who);
    void *cls;
};

struct sessions_spec {
    struct store *store;
    struct jobs *jobs;
    const struct seal_ring *ring;
    int64_t idle_s, absolute_s; /* positive */
    int64_t refresh_s;          /* how old claims may become; 0 = as old as the session */
    int64_t grace_s;            /* how long old claims, and a session that must be read again, serve while nobody answers */
    int64_t refresh_wait_ms;    /* 0 = SESSION_REFRESH_WAIT_MS */
    size_t cache_bytes;         /* 0 = SESSION_CACHE_BYTES */
    struct session_codec codec;
};

struct sessions;
struct session;

enum gw_err sessions_new(const struct sessions_spec *spec, struct sessions **ret_sessions) GW_MUST_CHECK;
/* When nothing is under way any more: the job pool is done and the loops have stopped, but the loop of
 * session_sweep_start() is still there. Sessions that are still held stay valid. */
void sessions_free(struct sessions *ss);

enum session_found {
    SESSION_NONE,
    SESSION_FOUND,   /* also with old claims, right after a refresh that failed, within grace_s: session_is_stale() */
    SESSION_LOADING, /* not known here: ask session_load() */
    SESSION_LAPSED,  /* its claims are too old: ask session_refresh() */
};

/* Memory only. FOUND, LAPSED: *ret_session is a counted reference. */
enum session_found session_find(struct sessions *ss, struct view cookie, int64_t now_s, struct session **ret_session)
    GW_MUST_CHECK;

/* s: a counted reference for the callee, NULL unless GW_OK. GW_E_NOTFOUND: none, or over its limits, or it cannot be opened. */
typedef void (*session_fn)(void *arg, enum gw_err err, struct session *s);
/* GW_E_NOTFOUND known to be nobody's; GW_E_LIMIT pool full or too many wait; GW_E_IO, GW_E_NOMEM. */
enum gw_err session_load(struct sessions *ss, struct loop *l, struct view cookie, session_fn fn, void *arg) GW_MUST_CHECK;

/* --- freshness --- */

struct session_tokens {
    struct view claims_json; /* as they are judged now */
    struct view id_token;    /* the newest there is */
    bool is_id_token_new;    /* it came with the grant just now */
    struct view access_token, refresh_token;
};

enum session_renewal {
    SESSION_UNREACHABLE, /* nothing has changed at the provider: it may be asked again */
    SESSION_RENEWED,
    SESSION_REFUSED, /* userinfo only: the access token is good for nothing any more */
    SESSION_OVER,    /* the refresh token is refused, or the answer makes nobody */
    SESSION_ANOTHER, /* the answer is about another sub or sid */
    SESSION_LOST,    /* grant only: the refresh token was sent, and what became of it is not known */
};

struct session_renewed {
    enum session_renewal result;
    const char *why;                                   /* one line for the log; "" if RENEWED */
    struct view claims_json;                           /* userinfo */
    struct view username;                              /* userinfo */
    struct view id_token, access_token, refresh_token; /* grant; id_token and refresh_token empty: keep the old */
    int64_t access_expires_s;                          /* grant; 0 = unknown */
};
typedef void (*session_renewed_fn)(void *arg, const struct session_renewed *r);

/* How the provider is asked, on the loop that session_refresh() was called on: store/ knows no provider. done is called exactly
 * once, later, unless an error is returned: then nothing was sent. All views are borrowed for the call. */
struct session_renewer {
    enum gw_err (*grant)(void *cls, const struct session_tokens *tokens, session_renewed_fn done, void *arg);
    enum gw_err (*userinfo)(void *cls, const struct session_tokens *tokens, session_renewed_fn done, void *arg);
    void *cls;
};

/* Joins the refresh of this session, or begins it. s: with new claims, or NULL. GW_E_NOTFOUND: the session has ended. All other
 * errors, also when returned, leave its claims as old as they are (session_has_grace()): GW_E_UPSTREAM, GW_E_TIMEOUT the provider
 * or another gateway's refresh, GW_E_IO the store, GW_E_LIMIT too many under way or waiting, GW_E_NOMEM. */
enum gw_err session_refresh(struct sessions *ss, struct loop *l, struct view cookie, const struct session_renewer *renewer,
                            session_fn fn, void *arg) GW_MUST_CHECK;
/* Claims are older than refresh_s. */
bool session_is_stale(const struct session *s, int64_t now_s);
/* False: claims so old that they may not be judged any more. */
bool session_has_grace(const struct session *s, int64_t now_s);
/* When job pool and loops have stopped, before the provider goes: all who wait are told GW_E_IO, by their loops' next turn; what
 * waits for another gateway's refresh ends. */
void session_stop_refreshing(struct sessions *ss);

/* --- beginning and ending --- */

struct session_new_spec {
    struct view claims_json, id_token, access_token, refresh_token; /* a token that there isn't is empty */
    int64_t access_expires_s;                                       /* 0 = unknown */
    struct view iss, sub, sid, username, ip;                        /* sid may be empty */
    int64_t begun_ms; /* when the login began, our clock; before a logout of the same person it comes to nothing */
    int64_t issued_s; /* iat of the ID token, the provider's clock */
    int64_t need;     /* as session_get_need(): taken over from the session before; 0 = none */
};

/* cookie: its value, SESSION_COOKIE_LEN characters; VIEW_NONE unless GW_OK. */
typedef void (*session_made_fn)(void *arg, enum gw_err err, struct view cookie);
/* Draws the cookie's value, seals, writes and caches. The spec is borrowed for the call. GW_E_INVALID claims that the codec
 * refuses; GW_E_LIMIT too large, store or pool full. To fn, GW_E_EXPIRED: logged out since the login began. */
enum gw_err session_create(struct sessions *ss, struct loop *l, const struct session_new_spec *spec, session_made_fn fn,
                           void *arg) GW_MUST_CHECK;

/* id_token: for RP-initiated logout; empty if the row was gone or would not open. GW_OK also if there was no such session;
 * GW_E_IO: the row may still be there. */
typedef void (*session_ended_fn)(void *arg, enum gw_err err, struct view id_token);
/* GW_E_NOTFOUND no cookie of ours; GW_E_LIMIT pool full: in memory the session is dead all the same. */
enum gw_err session_end(struct sessions *ss, struct loop *l, struct view cookie, session_ended_fn fn, void *arg) GW_MUST_CHECK;
/* The same for a session that a newer login in its browser replaces. That is no logout: other logins under way go on, in other tabs
 * for example, though they share its (iss, sid). */
enum gw_err session_give_way(struct sessions *ss, struct loop *l, struct view cookie, session_ended_fn fn, void *arg)
    GW_MUST_CHECK;

/* --- ended by others --- */

struct session_revocation {
    enum session_by {
        SESSION_BY_SID,      /* iss, name: those of one session at the provider */
        SESSION_BY_SUB,      /* iss, name: all of a person */
        SESSION_BY_USERNAME, /* name: all of the persons who have a session under it */
        SESSION_BY_ID,       /* id: one */
    } by;
    struct view iss, name; /* borrowed for the call */
    uint8_t id[DIGEST_BYTES];
    int64_t issued_until_s;          /* by sub: only what was issued by then, the provider's clock; INT64_MAX: all */
    bool is_here_only;               /* not at the provider: whoever logs in anew is welcome */
    const uint8_t *once, *once_name; /* as in store.h, by sid or sub; borrowed for the call; NULL: none */
    int64_t once_until_s;
};
/* n: sessions ended. On GW_E_IO some may have been. GW_E_EXPIRED, GW_E_INVALID: as store_revoke() says of `once`. */
typedef void (*session_revoked_fn)(void *arg, enum gw_err err, size_t n);
/* Ends them here and in every other gateway on the store, and all logins and refreshes of theirs that are under way. None is fine.
 * GW_E_INVALID no name; GW_E_LIMIT pool full, GW_E_NOMEM. */
enum gw_err session_revoke(struct sessions *ss, struct loop *l, const struct session_revocation *r, session_revoked_fn fn,
                           void *arg) GW_MUST_CHECK;

struct session_listed {
    uint8_t id[DIGEST_BYTES];
    int64_t created_s, seen_s, expires_s;
    struct view username, ip; /* empty if the label does not open */
};
struct session_list_spec {
    const uint8_t *after; /* the page before ended with it; NULL: from the start */
    size_t n_max;         /* 1 to SESSION_LIST_MAX */
    struct view username; /* only theirs; empty: everybody's */
};
/* items: borrowed, NULL unless GW_OK. is_more: there may be others behind the last. */
typedef void (*session_list_fn)(void *arg, enum gw_err err, const struct session_listed *items, size_t n, bool is_more);
enum gw_err session_list(struct sessions *ss, struct loop *l, const struct session_list_spec *spec, session_list_fn fn, void *arg)
    GW_MUST_CHECK;

/* For what stays open after its request, such as a WebSocket. Started before the session is looked for, so that no end is
 * missed. Embed it, zeroed; stop it before its memory goes. Threads: start and stop on any; has_ended on any. */
struct session_watch {
    struct session_watch *next, **link;
    struct sessions *ss;
    uint8_t id[DIGEST_BYTES];
    int64_t known_s; /* when the session was known to live */
    atomic_bool has_ended;
};
/* GW_E_NOTFOUND: no cookie of ours. */
enum gw_err session_watch_start(struct sessions *ss, struct view cookie, struct session_watch *w) GW_MUST_CHECK;
void session_watch_stop(struct session_watch *w); /* not started (zeroes) is fine */
static inline bool session_watch_has_ended(const struct session_watch *w)
{
    return atomic_load_explicit(&w->has_ended, memory_order_relaxed);
}

/* --- a stronger login that was asked for --- */

struct session_need {
    int64_t max_auth_age_s; /* the login may be this old; negative: it does not matter */
    bool mfa;
    bool is_asked; /* the person was sent to log in for it: not a second time */
};
/* Never 0, which stands for no need. Ages over 2^40 seconds are cut to that. */
int64_t session_need_pack(struct session_need need);
struct session_need session_need_unpack(int64_t packed);
int64_t session_get_need(const struct session *s); /* packed */
typedef void (*session_need_fn)(void *arg, enum gw_err err);
/* Remembers it in the row and in memory; 0 forgets. To fn GW_E_NOTFOUND: no such session any more. */
enum gw_err session_need(struct sessions *ss, struct loop *l, struct view cookie, int64_t need, session_need_fn fn, void *arg)
    GW_MUST_CHECK;

/* --- */

void *session_who(const struct session *s); /* borrowed from s */
int64_t session_created_s(const struct session *s);
int64_t session_expires_s(const struct session *s); /* the absolute limit */
void session_unref(struct session *s);              /* NULL is fine */

/* Every SESSION_SWEEP_S by a timer on l: writes behind, deletes what a failed logout left, removes what has ended. Once;
 * from any thread. */
enum gw_err session_sweep_start(struct sessions *ss, struct loop *l) GW_MUST_CHECK;
/* The same now, on the calling thread; blocks, for the job pool. */
enum gw_err session_sweep_now(struct sessions *ss) GW_MUST_CHECK;

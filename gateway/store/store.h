/* store: rows that outlive a restart, behind one interface.
 *
 * Every function blocks: call them on the job pool only. Back ends: SQLite (WAL, one gateway) and PostgreSQL (several).
 * Rows hold nothing readable without the server's key; tokens and claims not without the cookie either (DESIGN 5).
 * Logout is stronger than login and refresh: it leaves a tombstone, and adding or replacing a row looks at the tombstones in the
 * same transaction. What the tombstones compare: `begun_ms` by our clock, `issued_s` by the provider's; one of the two is enough to
 * refuse a new row. A row that is there already was left by the logout or came after it: only `issued_s` speaks against replacing it.
 * Errors: GW_E_NOTFOUND no such row; GW_E_EXPIRED used before, or logged out meanwhile; GW_E_IO the store failed; GW_E_LIMIT full.
 * What failed and why is logged here, once per outage: the reason does not fit an error code.
 * Owns: rows handed out belong to the caller (store_row_deinit). Threads: any; the back end locks. */
#pragma once

#include "util/buf.h"
#include "util/digest.h"

enum {
    STORE_SEALED_MAX = 256 * 1024,
    STORE_SESSIONS_MAX = 1000 * 1000, /* rows */
    STORE_ATTEMPTS_MAX = 1000 * 1000, /* used attempts remembered */
    STORE_TOMBS_MAX = 1000 * 1000,    /* logouts remembered; each further one refuses all logins that had begun by then */
    STORE_SWEEP_MAX = 1000,           /* rows removed by one call */
    STORE_REVOKE_MAX = 10000,         /* rows told of by one call; if there are more, STORE_UNKNOWN is told too */
    STORE_LIST_MAX = 1000,            /* rows listed by one call */
    STORE_UNWATCHED_S = 1,
};

struct store;

struct store_row {
    uint8_t id[DIGEST_BYTES];      /* SHA-256 of the cookie's value */
    uint8_t sid_mac[DIGEST_BYTES]; /* HMAC of (iss, sid); zeroes if there is no sid */
    uint8_t sub_mac[DIGEST_BYTES]; /* HMAC of (iss, sub) */
    int64_t version;               /* counts writes, for compare-and-swap */
    int64_t created_s, seen_s, expires_s;
    int64_t begun_ms;  /* when the login began that made it, our clock */
    int64_t issued_s;  /* iat of that login's ID token, the provider's clock */
    int64_t need;      /* a stronger login that was asked for, as session.h packs it; 0 = none */
    struct buf label;  /* sealed username and address, server's key */
    struct buf secret; /* sealed claims and tokens, server's key and cookie */
};

/* path: the SQLite file, made with mode 0600; ":memory:" for tests. Creates and checks the schema version. GW_E_INVALID: a
 * file of another kind, or written by a newer version; it stays as it is. */
enum gw_err store_open(const char *path, struct store **ret_store) GW_MUST_CHECK;
/* Whether store_open() would take the file, which a running gateway may be using: nothing is made, locked, migrated or logged.
 * GW_OK also where there is none yet; GW_E_INVALID as store_open() would; GW_E_IO it cannot be read. */
enum gw_err store_probe(const char *path) GW_MUST_CHECK;
/* dsn: a connection string as libpq takes it; TLS as its sslmode says, verify-full if it says nothing. Creates and migrates the schema.
 * GW_E_INVALID: no such string, or a schema of another kind or of a newer version; it stays as it is. */
enum gw_err store_open_postgres(const char *dsn, struct store **ret_store) GW_MUST_CHECK;
enum { STORE_REASON_MAX = 256 };
/* Judges a connection string without connecting. reason: what is wrong and what helps, without the string. */
enum gw_err store_check_dsn(const char *dsn, char reason[STORE_REASON_MAX]) GW_MUST_CHECK;
/* The string for connections made from now on: a password that was changed. GW_E_INVALID: none; the old one stays. */
enum gw_err store_use_dsn(struct store *s, struct view dsn) GW_MUST_CHECK;
/* The same of store_open_postgres(); connects. reason: what is wrong and what helps, unless GW_OK. */
enum gw_err store_probe_postgres(const char *dsn, char reason[STORE_REASON_MAX]) GW_MUST_CHECK;
void store_close(struct store *s);

/* Adds a row; GW_E_EXPIRED if a tombstone speaks against it; GW_E_IO also if the id is there already. */
enum gw_err store_session_put(struct store *s, const struct store_row *row) GW_MUST_CHECK;
enum gw_err store_session_get(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row) GW_MUST_CHECK;
/* Notes that the session was used (for its idle limit). GW_E_NOTFOUND if it is gone. */
enum gw_err store_session_touch(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s) GW_MUST_CHECK;
/* Remembers (0: forgets) which stronger login the session needs. GW_E_NOTFOUND if it is gone. */
enum gw_err store_session_need(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t need) GW_MUST_CHECK;

/* --- refreshing: one at a time over all replicas --- */

enum store_lease {
    STORE_LEASE_TAKEN,   /* ours until until_s */
    STORE_LEASE_HELD,    /* another refreshes: read the row again in a moment */
    STORE_LEASE_CHANGED, /* the row has another version already: read it */
    STORE_LEASE_LOST,    /* a refresh grant was sent and its answer never stored: the row was removed just now */
};
/* is_granting: the refresh token will be spent; if the lease then ends without store_session_replace() or
 * store_session_release(), nobody knows which refresh token is valid, and the next to come removes the row. */
enum gw_err store_session_lease(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version, int64_t now_s, int64_t until_s,
                                bool is_granting, enum store_lease *ret_lease) GW_MUST_CHECK;
/* Gives a lease back with nothing changed. None to give back is fine. */
enum gw_err store_session_release(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version) GW_MUST_CHECK;
/* Compare-and-swap: takes label and secret of row where id and version match, sets the version to version + 1, ends the lease.
 * GW_E_NOTFOUND: gone, or another version; never adds a row. GW_E_EXPIRED: a tombstone speaks against it; the row is removed. */
enum gw_err store_session_replace(struct store *s, const struct store_row *row) GW_MUST_CHECK;

/* --- ending --- */

/* One session, by whoever holds its cookie or the admin: removes the row and leaves a tombstone until tomb_s against logins of
 * the same (iss, sid) - without a sid of the same (iss, sub) - that began at or before now_ms. Absent is fine.
 * tomb_s of 0: no tombstone, for a session that gives way to a newer one of the same person; that is no logout, and
 * other logins under way in the same browser go on. */
enum gw_err store_session_end(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t now_ms, int64_t tomb_s) GW_MUST_CHECK;

struct store_revocation {
    bool by_sub;               /* false: by sid */
    uint8_t mac[DIGEST_BYTES]; /* GW_E_INVALID if it is all zeroes */
    int64_t issued_until_s;    /* rows issued by then go, and none such is added any more; INT64_MAX: whenever */
    int64_t begun_until_ms;    /* none that began by then is added any more */
    int64_t tomb_s;            /* until when the tombstone stands */
    bool is_here_only; /* the tombstone speaks of what began by then and of nothing else: the provider's session lives on, and
                                * whoever logs in anew is welcome */
    /* Two things as store_use_once() has them, or NULL; until once_until_s. They are marked used in the same transaction, so whatever
     * fails can be asked for again. Nothing is done if `once` was used before (GW_E_EXPIRED: this revocation was done), or only
     * `once_name` was (GW_E_INVALID: another one of that name was). */
    const uint8_t *once, *once_name;
    int64_t once_until_s;
};
/* All sessions that the provider ended. fn is called for each row removed, at most STORE_REVOKE_MAX; the transaction is done by then. */
enum gw_err store_revoke(struct store *s, const struct store_revocation *r, void (*fn)(void *arg, const uint8_t id[DIGEST_BYTES]),
                         void *arg) GW_MUST_CHECK;

/* Up to n_max rows (GW_E_LIMIT if more than STORE_LIST_MAX) that have not expired in order of id, after the given one (NULL: from the
 * start), without their secrets. Each row is the callback's for the call only, which may use the store; no call unless GW_OK. */
enum gw_err store_session_list(struct store *s, const uint8_t *after, size_t n_max, int64_t now_s,
                               void (*fn)(void *arg, const struct store_row *row), void *arg) GW_MUST_CHECK;

/* --- things that happen once --- */

/* Marks a login attempt, a logout token's jti and the like used until expires_s. GW_E_EXPIRED if it was used before.
 * id: a digest over the purpose and the thing. */
enum gw_err store_use_once(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s) GW_MUST_CHECK;

/* --- what other replicas do --- */

enum store_change {
    STORE_ENDED,   /* the row is gone */
    STORE_CHANGED, /* the row has another version or need */
    STORE_UNKNOWN, /* some were missed: every row held in memory must be read again; id means nothing */
};
typedef void (*store_watch_fn)(void *arg, enum store_change change, const uint8_t id[DIGEST_BYTES]);
/* Once, before other threads use the store. fn is told of every row ended or changed, by us or by others, on some thread of the store's
 * or in the call that did it; it must not block or call the store. Not of rows swept: whoever holds one judges its limits too. */
void store_watch(struct store *s, store_watch_fn fn, void *arg);
/* Afterwards fn is called no more; no other call on the store may be under way. May wait a few seconds. */
void store_unwatch(struct store *s);
/* False: changes by others may go untold now, so what is in memory must be read again after STORE_UNWATCHED_S. */
bool store_is_watching(const struct store *s);

/* Removes what ended by now_s, at most STORE_SWEEP_MAX rows a call; that many removed = call again. */
enum gw_err store_sweep(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed) GW_MUST_CHECK;

/* "SQLite 3.40.1", "libpq 15.18" */
const char *store_library_version(void);
const char *store_client_version(void);
void store_row_deinit(struct store_row *row);

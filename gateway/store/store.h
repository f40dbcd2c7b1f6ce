/* store: rows that outlive a restart, behind one interface.
 *
 * Every function blocks: call them on the job pool only. One back end is built: SQLite (WAL).
 * Rows hold nothing readable without the server's key; tokens and claims not without the cookie either (DESIGN 5).
 * Errors: GW_E_NOTFOUND no such row; GW_E_EXPIRED an attempt used before; GW_E_IO the store failed; GW_E_LIMIT full.
 * What failed and why is logged here, once per outage: the reason does not fit an error code.
 * Owns: rows handed out belong to the caller (store_row_deinit). Threads: any; the back end locks. */
#pragma once

#include "util/buf.h"
#include "util/digest.h"

enum {
    STORE_SEALED_MAX = 256 * 1024,
    STORE_SESSIONS_MAX = 1000 * 1000, /* rows */
    STORE_ATTEMPTS_MAX = 1000 * 1000, /* used attempts remembered */
    STORE_SWEEP_MAX = 1000,           /* rows removed by one call */
};

struct store;

struct store_row {
    uint8_t id[DIGEST_BYTES];      /* SHA-256 of the cookie's value */
    uint8_t sid_mac[DIGEST_BYTES]; /* HMAC of (iss, sid); zeroes if there is no sid */
    uint8_t sub_mac[DIGEST_BYTES]; /* HMAC of (iss, sub) */
    int64_t version;               /* counts writes, for compare-and-swap */
    int64_t created_s, seen_s, expires_s;
    struct buf label;  /* sealed username and address, server's key */
    struct buf secret; /* sealed claims and tokens, server's key and cookie */
};

/* path: the SQLite file, made with mode 0600; ":memory:" for tests. Creates and checks the schema version. GW_E_INVALID: a
 * file of another kind, or written by a newer version; it stays as it is. */
enum gw_err store_open(const char *path, struct store **ret_store) GW_MUST_CHECK;
void store_close(struct store *s);

/* Adds a row; GW_E_IO also if the id is there already. */
enum gw_err store_session_put(struct store *s, const struct store_row *row) GW_MUST_CHECK;
enum gw_err store_session_get(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row) GW_MUST_CHECK;
/* Notes that the session was used (for its idle limit). GW_E_NOTFOUND if it is gone. */
enum gw_err store_session_touch(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s) GW_MUST_CHECK;
/* Absent is fine. */
enum gw_err store_session_delete(struct store *s, const uint8_t id[DIGEST_BYTES]) GW_MUST_CHECK;
/* Marks a login attempt used until expires_s. GW_E_EXPIRED if it was used before. */
enum gw_err store_attempt_use(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s) GW_MUST_CHECK;
/* Removes what ended by now_s, at most STORE_SWEEP_MAX rows a call; that many removed = call again. */
enum gw_err store_sweep(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed) GW_MUST_CHECK;

const char *store_library_version(void);
void store_row_deinit(struct store_row *row);

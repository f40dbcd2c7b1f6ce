/* backend: what a store's back end supplies; store.c hands every call of store.h to it.
 *
 * Shape: a back end embeds struct store as its first member; each function keeps the promise of its namesake in store.h.
 * Not here: the interface for everyone else, store.h. */
#pragma once

#include "store/store.h"

struct store_ops {
    void (*close)(struct store *s);
    enum gw_err (*session_put)(struct store *s, const struct store_row *row);
    enum gw_err (*session_get)(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row);
    enum gw_err (*session_touch)(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s);
    enum gw_err (*session_need)(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t need);
    enum gw_err (*session_lease)(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version, int64_t now_s, int64_t until_s,
                                 bool is_granting, enum store_lease *ret_lease);
    enum gw_err (*session_release)(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version);
    enum gw_err (*session_replace)(struct store *s, const struct store_row *row);
    enum gw_err (*session_end)(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t now_ms, int64_t tomb_s);
    enum gw_err (*revoke)(struct store *s, const struct store_revocation *r,
                          void (*fn)(void *arg, const uint8_t id[DIGEST_BYTES]), void *arg);
    /* Fills rows, *ret_n of them, 0 before; also if it fails: the caller frees them. */
    enum gw_err (*session_list)(struct store *s, const uint8_t *after, size_t n_max, int64_t now_s, struct store_row *rows,
                                size_t *ret_n);
    enum gw_err (*use_once)(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s);
    enum gw_err (*sweep)(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed);
    /* What other replicas do. NULL: there are none. */
    void (*watch)(struct store *s);
    void (*unwatch)(struct store *s);
    bool (*is_watching)(const struct store *s);
    /* NULL: nothing is connected to. */
    enum gw_err (*use_dsn)(struct store *s, struct view dsn);
};

struct store {
    const struct store_ops *ops;
    store_watch_fn watch_fn; /* NULL: nobody watches */
    void *watch_arg;
};

/* Outside the back end's locks. */
void store_tell(const struct store *s, enum store_change change, const uint8_t *id);
/* All zeroes: that of a session without a sid. */
bool store_mac_is_none(const uint8_t mac[DIGEST_BYTES]);

/* sqlite.c; see store_open(). */
enum gw_err sqlite_open(const char *path, struct store **ret_store) GW_MUST_CHECK;
enum gw_err sqlite_probe(const char *path) GW_MUST_CHECK;
const char *sqlite_library_version(void);
/* postgres.c; see store_open_postgres(). */
enum gw_err postgres_open(const char *dsn, struct store **ret_store) GW_MUST_CHECK;
enum gw_err postgres_probe(const char *dsn, char reason[STORE_REASON_MAX]) GW_MUST_CHECK;

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
    enum gw_err (*session_delete)(struct store *s, const uint8_t id[DIGEST_BYTES]);
    enum gw_err (*use_once)(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s);
    enum gw_err (*sweep)(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed);
};

struct store {
    const struct store_ops *ops;
};

/* sqlite.c; see store_open(). */
enum gw_err sqlite_open(const char *path, struct store **ret_store) GW_MUST_CHECK;

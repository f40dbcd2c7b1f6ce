#include "store/backend.h"
#include "store/pglink.h"

#include <stdlib.h>

enum gw_err store_open(const char *path, struct store **ret_store)
{
    return sqlite_open(path, ret_store);
}

enum gw_err store_probe(const char *path)
{
    return sqlite_probe(path);
}

enum gw_err store_open_postgres(const char *dsn, struct store **ret_store)
{
    return postgres_open(dsn, ret_store);
}

enum gw_err store_probe_postgres(const char *dsn, char reason[STORE_REASON_MAX])
{
    return postgres_probe(dsn, reason);
}

enum gw_err store_check_dsn(const char *dsn, char reason[STORE_REASON_MAX])
{
    _Static_assert((int)STORE_REASON_MAX == (int)PGLINK_REASON_MAX, "one buffer");
    return pglink_check(dsn, reason);
}

enum gw_err store_use_dsn(struct store *s, struct view dsn)
{
    return s->ops->use_dsn == NULL ? GW_E_INVALID : s->ops->use_dsn(s, dsn);
}

void store_close(struct store *s)
{
    if (s != NULL)
        s->ops->close(s);
}

static bool fits(const struct store_row *row)
{
    return row->label.n <= STORE_SEALED_MAX && row->secret.n <= STORE_SEALED_MAX;
}

enum gw_err store_session_put(struct store *s, const struct store_row *row)
{
    return fits(row) ? s->ops->session_put(s, row) : GW_E_LIMIT;
}

enum gw_err store_session_get(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row)
{
    return s->ops->session_get(s, id, ret_row);
}

enum gw_err store_session_touch(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s)
{
    return s->ops->session_touch(s, id, seen_s);
}

enum gw_err store_session_need(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t need)
{
    return s->ops->session_need(s, id, need);
}

enum gw_err store_session_lease(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version, int64_t now_s, int64_t until_s,
                                bool is_granting, enum store_lease *ret_lease)
{
    return s->ops->session_lease(s, id, version, now_s, until_s, is_granting, ret_lease);
}

enum gw_err store_session_release(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version)
{
    return s->ops->session_release(s, id, version);
}

enum gw_err store_session_replace(struct store *s, const struct store_row *row)
{
    return fits(row) ? s->ops->session_replace(s, row) : GW_E_LIMIT;
}

enum gw_err store_session_end(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t now_ms, int64_t tomb_s)
{
    return s->ops->session_end(s, id, now_ms, tomb_s);
}

bool store_mac_is_none(const uint8_t mac[DIGEST_BYTES])
{
    static const uint8_t none[DIGEST_BYTES];
    return memcmp(mac, none, DIGEST_BYTES) == 0;
}

enum gw_err store_revoke(struct store *s, const struct store_revocation *r, void (*fn)(void *arg, const uint8_t id[DIGEST_BYTES]),
                         void *arg)
{
    return store_mac_is_none(r->mac) ? GW_E_INVALID : s->ops->revoke(s, r, fn, arg);
}

enum gw_err store_session_list(struct store *s, const uint8_t *after, size_t n_max, int64_t now_s,
                               void (*fn)(void *arg, const struct store_row *row), void *arg)
{
    size_t n = 0;
    if (n_max > STORE_LIST_MAX)
        return GW_E_LIMIT;
    struct store_row *rows = calloc(n_max + 1, sizeof(*rows));
    if (rows == NULL)
        return GW_E_NOMEM;
    enum gw_err err = s->ops->session_list(s, after, n_max, now_s, rows, &n);
    for (size_t i = 0; i < n; i++) {
        if (err == GW_OK)
            fn(arg, &rows[i]);
        store_row_deinit(&rows[i]);
    }
    free(rows);
    return err;
}

enum gw_err store_use_once(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s)
{
    return s->ops->use_once(s, id, expires_s);
}

void store_watch(struct store *s, store_watch_fn fn, void *arg)
{
    s->watch_fn = fn;
    s->watch_arg = arg;
    if (s->ops->watch != NULL)
        s->ops->watch(s);
}

void store_unwatch(struct store *s)
{
    if (s->ops->unwatch != NULL)
        s->ops->unwatch(s);
    s->watch_fn = NULL;
}

bool store_is_watching(const struct store *s)
{
    return s->ops->is_watching == NULL || s->ops->is_watching(s);
}

void store_tell(const struct store *s, enum store_change change, const uint8_t *id)
{
    static const uint8_t none[DIGEST_BYTES];
    if (s->watch_fn != NULL)
        s->watch_fn(s->watch_arg, change, id == NULL ? none : id);
}

enum gw_err store_sweep(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed)
{
    return s->ops->sweep(s, now_s, idle_s, ret_n_removed);
}

void store_row_deinit(struct store_row *row)
{
    buf_deinit(&row->label);
    buf_deinit(&row->secret);
}

const char *store_library_version(void)
{
    return sqlite_library_version();
}

const char *store_client_version(void)
{
    return pglink_library_version();
}

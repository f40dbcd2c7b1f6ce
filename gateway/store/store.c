#include "store/backend.h"

enum gw_err store_open(const char *path, struct store **ret_store)
{
    return sqlite_open(path, ret_store);
}

void store_close(struct store *s)
{
    if (s != NULL)
        s->ops->close(s);
}

enum gw_err store_session_put(struct store *s, const struct store_row *row)
{
    if (row->label.n > STORE_SEALED_MAX || row->secret.n > STORE_SEALED_MAX)
        return GW_E_LIMIT;
    return s->ops->session_put(s, row);
}

enum gw_err store_session_get(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row)
{
    return s->ops->session_get(s, id, ret_row);
}

enum gw_err store_session_touch(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s)
{
    return s->ops->session_touch(s, id, seen_s);
}

enum gw_err store_session_delete(struct store *s, const uint8_t id[DIGEST_BYTES])
{
    return s->ops->session_delete(s, id);
}

enum gw_err store_use_once(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s)
{
    return s->ops->use_once(s, id, expires_s);
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

/* storekit: rows and digests for the tests of stores, whatever keeps them. */
#pragma once

#include "store/store.h"
#include "support.h"

#include <string.h>

static inline void set_id(uint8_t id[DIGEST_BYTES], unsigned n)
{
    memset(id, 0, DIGEST_BYTES);
    for (int i = 0; i < 4; i++)
        id[i] = (uint8_t)(n >> (8 * i)); /* the low byte first, so that the counters' places fill evenly */
    id[DIGEST_BYTES - 1] = 1;
}

/* A person (sub) with a session at the provider (sid; 0 = none); when it began and was issued. */
struct birth {
    unsigned id;
    uint8_t sid, sub;
    int64_t begun_ms, issued_s;
};

static inline void set_mac(uint8_t mac[DIGEST_BYTES], uint8_t of)
{
    memset(mac, of, DIGEST_BYTES);
}

static inline void fill_row(struct store_row *row, const struct birth *b)
{
    *row = (struct store_row){.version = 1,
                              .created_s = 1000,
                              .seen_s = 1001,
                              .expires_s = 5000,
                              .begun_ms = b->begun_ms,
                              .issued_s = b->issued_s,
                              .need = 0,
                              .label = BUF(STORE_SEALED_MAX),
                              .secret = BUF(STORE_SEALED_MAX)};
    set_id(row->id, b->id);
    set_mac(row->sid_mac, b->sid);
    set_mac(row->sub_mac, b->sub);
    buf_puts(&row->label, "label\0with a zero");
    for (int i = 0; i < 100; i++)
        buf_puts(&row->secret, "secret bytes");
}

static inline enum gw_err give_birth(struct store *s, struct birth b)
{
    struct store_row row;
    fill_row(&row, &b);
    enum gw_err err = store_session_put(s, &row);
    store_row_deinit(&row);
    return err;
}

static inline enum gw_err put(struct store *s, unsigned n, int64_t seen_s, int64_t expires_s)
{
    struct store_row row;
    fill_row(&row, &(struct birth){n, 0x51, 0x52, 900000, 950});
    row.seen_s = seen_s;
    row.expires_s = expires_s;
    enum gw_err err = store_session_put(s, &row);
    store_row_deinit(&row);
    return err;
}

static inline enum gw_err get(struct store *s, unsigned n, struct store_row *ret_row)
{
    uint8_t id[DIGEST_BYTES];
    set_id(id, n);
    return store_session_get(s, id, ret_row);
}

static inline bool has(struct store *s, unsigned n)
{
    struct store_row row;
    enum gw_err err = get(s, n, &row);
    ck_assert(err == GW_OK || err == GW_E_NOTFOUND);
    if (err == GW_OK)
        store_row_deinit(&row);
    return err == GW_OK;
}

static inline enum gw_err end_row(struct store *s, unsigned n, int64_t now_ms, int64_t tomb_s)
{
    uint8_t id[DIGEST_BYTES];
    set_id(id, n);
    return store_session_end(s, id, now_ms, tomb_s);
}

static inline enum gw_err replace(struct store *s, unsigned n, int64_t version, const char *secret)
{
    struct store_row row = {.version = version, .label = BUF(STORE_SEALED_MAX), .secret = BUF(STORE_SEALED_MAX)};
    set_id(row.id, n);
    buf_puts(&row.label, "another label");
    buf_put(&row.secret, view_of(secret));
    enum gw_err err = store_session_replace(s, &row);
    store_row_deinit(&row);
    return err;
}

static inline enum store_lease lease(struct store *s, unsigned n, int64_t version, int64_t now_s, int64_t until_s,
                                     bool is_granting)
{
    uint8_t id[DIGEST_BYTES];
    enum store_lease l = STORE_LEASE_LOST;
    set_id(id, n);
    ck_assert_int_eq(store_session_lease(s, id, version, now_s, until_s, is_granting, &l), GW_OK);
    return l;
}

static inline void count_removed(void *arg, const uint8_t id[DIGEST_BYTES])
{
    (void)id;
    ++*(size_t *)arg;
}

/* How many rows went. */
static inline size_t revoke_by(struct store *s, bool by_sub, uint8_t of, int64_t issued_until_s, int64_t begun_until_ms)
{
    size_t n = 0;
    struct store_revocation r = {
        .by_sub = by_sub, .issued_until_s = issued_until_s, .begun_until_ms = begun_until_ms, .tomb_s = 9000};
    set_mac(r.mac, of);
    ck_assert_int_eq(store_revoke(s, &r, count_removed, &n), GW_OK);
    return n;
}

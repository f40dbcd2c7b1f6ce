/* One connection behind one mutex: calls are a few microseconds apart from the disk, and writers would queue in SQLite anyway.
 *
 * One gateway per file: what it holds in memory learns of a logout by the call that did it, so another gateway's would go unheard.
 * A second one is refused by a lock (sqlitelink), which goes with the process however that ends; tools that only read (a backup) are
 * not in the way. Under the mutex and that lock, two statements one after the other see the same rows; a transaction is
 * used where half of it must not reach the disk.
 *
 * How durable: in WAL mode `synchronous=NORMAL` survives the process, but the last commits may be lost with the power;
 * `FULL` waits for the disk. What may be lost is a login, a refresh or a note of use (the person logs in again): NORMAL. What must not
 * come back is a session that was logged out and a login attempt that was used: FULL. */
#include "store/backend.h"
#include "store/sqlitelink.h"
#include "store/sqlitestmt.h"

#include "util/log.h"

#include <pthread.h>
#include <stdlib.h>

struct sqlite {
    struct store base;
    pthread_mutex_t lock;
    struct sqlitelink link;
    sqlite3_stmt *stmts[STMT_COUNT];
    int64_t n_sessions, n_attempts, n_tombs; /* kept here: counting is a scan */
    bool is_durable;                         /* synchronous is FULL now */
    bool is_failing;                         /* said so already */
    bool is_tombs_full;                      /* said so already */
};

static struct sqlite *of_store(struct store *s)
{
    return (struct sqlite *)(void *)s;
}

/* The reason is known here only; said once per outage, so that a full disk doesn't fill the log too. */
static enum gw_err fail_because(struct sqlite *q, const char *what, const char *reason)
{
    if (!q->is_failing)
        log_event(LOG_ERROR, "session store fails", LOG_KV("doing", view_of(what)), LOG_KV("reason", view_of(reason)));
    q->is_failing = true;
    return GW_E_IO;
}

static enum gw_err fail(struct sqlite *q, const char *what)
{
    return fail_because(q, what, sqlite3_errmsg(q->link.db));
}

static enum gw_err succeed(struct sqlite *q)
{
    if (q->is_failing)
        log_write(LOG_INFO, "session store works again", NULL);
    q->is_failing = false;
    return GW_OK;
}

/* ---- statements; the lock is held ---- */

static struct sqlitecall call_of(struct sqlite *q, enum stmt id)
{
    return (struct sqlitecall){.st = q->stmts[id], .rc = SQLITE_OK};
}

/* A write that answers no rows; GW_OK sets how many it changed. */
static enum gw_err call_write(struct sqlite *q, struct sqlitecall *c, const char *what, int64_t *ret_n_changed)
{
    enum gw_err err = sqlitecall_step(c) == SQLITE_DONE ? succeed(q) : fail(q, what);
    if (err == GW_OK)
        *ret_n_changed = sqlite3_changes64(q->link.db);
    sqlitecall_end(c);
    return err;
}

/* Outside a transaction only. */
static enum gw_err set_durable(struct sqlite *q, bool durable)
{
    if (q->is_durable == durable)
        return GW_OK;
    if (sqlitelink_exec(q->link.db, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL") != GW_OK)
        return fail(q, "setting durability");
    q->is_durable = durable;
    return GW_OK;
}

static enum gw_err begin_durable(struct sqlite *q)
{
    enum gw_err err = set_durable(q, true);
    if (err != GW_OK)
        return err;
    return sqlitelink_exec(q->link.db, "BEGIN IMMEDIATE") == GW_OK ? GW_OK : fail(q, "beginning a transaction");
}

/* Commits if err is GW_OK; after anything else, a failed commit included, nothing of the transaction has happened. */
static enum gw_err finish(struct sqlite *q, enum gw_err err)
{
    if (err == GW_OK && sqlitelink_exec(q->link.db, "COMMIT") != GW_OK)
        err = fail(q, "ending a transaction");
    if (err != GW_OK && sqlite3_get_autocommit(q->link.db) == 0 && sqlitelink_exec(q->link.db, "ROLLBACK") != GW_OK)
        return fail(q, "undoing a transaction");
    return err;
}

/* ---- rows ---- */

/* Of ROW_COLUMNS, id, secret. */
static enum gw_err read_row(struct sqlite *q, const struct sqlitecall *c, struct store_row *ret_row)
{
    struct store_row row = {.version = sqlite3_column_int64(c->st, 3),
                            .created_s = sqlite3_column_int64(c->st, 4),
                            .seen_s = sqlite3_column_int64(c->st, 5),
                            .expires_s = sqlite3_column_int64(c->st, 6),
                            .begun_ms = sqlite3_column_int64(c->st, 7),
                            .issued_s = sqlite3_column_int64(c->st, 8),
                            .need = sqlite3_column_int64(c->st, 9)};
    if (!sqlitecall_are_ints(c, 3, 9) || !sqlitecall_get_digest(c, 0, row.sid_mac) || !sqlitecall_get_digest(c, 1, row.sub_mac) ||
        !sqlitecall_get_digest(c, 10, row.id) || !sqlitecall_get_buf(c, 2, &row.label) ||
        !sqlitecall_get_buf(c, 11, &row.secret)) {
        store_row_deinit(&row);
        return fail_because(q, "reading a session", "its row has odd types or lengths");
    }
    *ret_row = row;
    return GW_OK;
}

static enum gw_err put(struct sqlite *q, const struct store_row *row)
{
    struct sqlitecall c = call_of(q, STMT_PUT);
    int64_t n;
    if (q->n_sessions >= STORE_SESSIONS_MAX)
        return GW_E_LIMIT;
    enum gw_err err = set_durable(q, false);
    if (err != GW_OK)
        return err;
    const int64_t numbers[] = {row->version,  row->created_s, row->seen_s, row->expires_s,
                               row->begun_ms, row->issued_s,  row->need};
    sqlitecall_put_digest(&c, row->id);
    sqlitecall_put_digest(&c, row->sid_mac);
    sqlitecall_put_digest(&c, row->sub_mac);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        sqlitecall_put_int(&c, numbers[i]);
    sqlitecall_put_bytes(&c, row->label.p, row->label.n);
    sqlitecall_put_bytes(&c, row->secret.p, row->secret.n);
    err = call_write(q, &c, "adding a session", &n);
    if (err != GW_OK)
        return err;
    q->n_sessions += n;
    return n == 0 ? GW_E_EXPIRED : GW_OK;
}

static enum gw_err get(struct sqlite *q, const uint8_t *id, struct store_row *ret_row)
{
    struct sqlitecall c = call_of(q, STMT_GET);
    enum gw_err err;
    sqlitecall_put_digest(&c, id);
    if (sqlitecall_step(&c) == SQLITE_ROW)
        err = read_row(q, &c, ret_row);
    else
        err = c.rc == SQLITE_DONE ? GW_E_NOTFOUND : fail(q, "reading a session");
    sqlitecall_end(&c);
    return err;
}

/* Sets a number of a row. */
static enum gw_err set_number(struct sqlite *q, enum stmt id, const uint8_t *row_id, int64_t number, const char *what)
{
    struct sqlitecall c = call_of(q, id);
    int64_t n;
    enum gw_err err = set_durable(q, false);
    if (err != GW_OK)
        return err;
    sqlitecall_put_digest(&c, row_id);
    sqlitecall_put_int(&c, number);
    err = call_write(q, &c, what, &n);
    if (err != GW_OK)
        return err;
    return n == 0 ? GW_E_NOTFOUND : GW_OK;
}

/* ---- refreshing ---- */

/* GW_E_NOTFOUND if there is no such row of that version. */
static enum gw_err delete_version(struct sqlite *q, const uint8_t *id, int64_t version)
{
    enum gw_err err = set_number(q, STMT_DELETE_VERSION, id, version, "deleting a session");
    if (err == GW_OK)
        q->n_sessions--;
    return err;
}

/* Why the lease could not be taken. */
static enum gw_err judge_lease(struct sqlite *q, const uint8_t *id, int64_t version, int64_t now_s, enum store_lease *ret_lease)
{
    struct sqlitecall c = call_of(q, STMT_LEASE_STATE);
    sqlitecall_put_digest(&c, id);
    int rc = sqlitecall_step(&c);
    bool is_other = rc == SQLITE_ROW && sqlite3_column_int64(c.st, 0) != version;
    bool is_held = rc == SQLITE_ROW && sqlite3_column_int64(c.st, 1) > now_s;
    sqlitecall_end(&c);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? GW_E_NOTFOUND : fail(q, "reading a lease");
    if (is_other || is_held) {
        *ret_lease = is_other ? STORE_LEASE_CHANGED : STORE_LEASE_HELD;
        return GW_OK;
    }
    enum gw_err err = delete_version(q, id, version);
    if (err == GW_OK)
        *ret_lease = STORE_LEASE_LOST;
    return err;
}

static enum gw_err lease(struct sqlite *q, const uint8_t *id, int64_t version, int64_t now_s, int64_t until_s, bool is_granting,
                         enum store_lease *ret_lease)
{
    struct sqlitecall c = call_of(q, STMT_LEASE);
    int64_t n;
    enum gw_err err = set_durable(q, false);
    if (err != GW_OK)
        return err;
    sqlitecall_put_digest(&c, id);
    sqlitecall_put_int(&c, version);
    sqlitecall_put_int(&c, now_s);
    sqlitecall_put_int(&c, until_s);
    sqlitecall_put_int(&c, is_granting);
    err = call_write(q, &c, "taking a lease", &n);
    if (err == GW_OK && n == 0)
        return judge_lease(q, id, version, now_s, ret_lease);
    if (err == GW_OK)
        *ret_lease = STORE_LEASE_TAKEN;
    return err;
}

static enum gw_err replace(struct sqlite *q, const struct store_row *row)
{
    struct sqlitecall c = call_of(q, STMT_REPLACE);
    int64_t n;
    enum gw_err err = set_durable(q, false);
    if (err != GW_OK)
        return err;
    sqlitecall_put_digest(&c, row->id);
    sqlitecall_put_int(&c, row->version);
    sqlitecall_put_bytes(&c, row->label.p, row->label.n);
    sqlitecall_put_bytes(&c, row->secret.p, row->secret.n);
    err = call_write(q, &c, "replacing a session", &n);
    if (err != GW_OK || n == 1)
        return err;
    err = delete_version(q, row->id, row->version); /* if that version is there, a tombstone spoke */
    return err == GW_OK ? GW_E_EXPIRED : err;
}

/* ---- ending ---- */

struct tomb {
    uint8_t mac[DIGEST_BYTES];
    int64_t issued_until_s, begun_until_ms, expires_s;
};

static enum gw_err write_tomb(struct sqlite *q, enum stmt id, const struct tomb *t, int64_t *ret_n)
{
    struct sqlitecall c = call_of(q, id);
    sqlitecall_put_digest(&c, t->mac);
    sqlitecall_put_int(&c, t->issued_until_s);
    sqlitecall_put_int(&c, t->begun_until_ms);
    sqlitecall_put_int(&c, t->expires_s);
    return call_write(q, &c, "leaving a tombstone", ret_n);
}

/* Inside a transaction; n_new: whether it is one more. When there are too many, one for everyone stands for those that have no place:
 * whoever was logging in just then begins again. */
static enum gw_err bury(struct sqlite *q, struct tomb t, int64_t *ret_n_new)
{
    int64_t n;
    enum gw_err err = write_tomb(q, STMT_WIDEN_TOMB, &t, &n);
    *ret_n_new = 0;
    if (err != GW_OK || n == 1)
        return err;
    if (q->n_tombs >= STORE_TOMBS_MAX) {
        if (!q->is_tombs_full)
            log_write(LOG_WARN, "too many logouts are remembered: each further one refuses all logins under way", NULL);
        q->is_tombs_full = true;
        memset(t.mac, 0, DIGEST_BYTES);
        t.issued_until_s = INT64_MIN;
        err = write_tomb(q, STMT_WIDEN_TOMB, &t, &n);
        if (err != GW_OK || n == 1)
            return err;
    }
    return write_tomb(q, STMT_ADD_TOMB, &t, ret_n_new);
}

/* GW_E_NOTFOUND if there is no such row. ret_mac: what a tombstone for it is under. */
static enum gw_err find_mac(struct sqlite *q, const uint8_t *id, uint8_t ret_mac[DIGEST_BYTES])
{
    struct sqlitecall c = call_of(q, STMT_MACS);
    uint8_t sid_mac[DIGEST_BYTES], sub_mac[DIGEST_BYTES];
    enum gw_err err = GW_OK;
    sqlitecall_put_digest(&c, id);
    if (sqlitecall_step(&c) != SQLITE_ROW)
        err = c.rc == SQLITE_DONE ? GW_E_NOTFOUND : fail(q, "reading a session");
    else if (!sqlitecall_get_digest(&c, 0, sid_mac) || !sqlitecall_get_digest(&c, 1, sub_mac))
        err = fail_because(q, "ending a session", "its row has odd types or lengths");
    else
        memcpy(ret_mac, store_mac_is_none(sid_mac) ? sub_mac : sid_mac, DIGEST_BYTES);
    sqlitecall_end(&c);
    return err;
}

/* GW_E_NOTFOUND if there was none. */
static enum gw_err end_session(struct sqlite *q, const uint8_t *id, int64_t now_ms, int64_t tomb_s)
{
    struct sqlitecall c = call_of(q, STMT_DELETE);
    struct tomb t = {.issued_until_s = INT64_MIN, .begun_until_ms = now_ms, .expires_s = tomb_s};
    int64_t n_new = 0, n_gone = 0;
    enum gw_err err = begin_durable(q);
    if (err != GW_OK)
        return err;
    err = find_mac(q, id, t.mac);
    if (err == GW_OK && tomb_s > 0)
        err = bury(q, t, &n_new);
    if (err == GW_OK) {
        sqlitecall_put_digest(&c, id);
        err = call_write(q, &c, "deleting a session", &n_gone);
    }
    err = finish(q, err);
    if (err == GW_OK) {
        q->n_tombs += n_new;
        q->n_sessions -= n_gone;
    }
    return err;
}

struct ids {
    uint8_t (*items)[DIGEST_BYTES]; /* owned */
    size_t n, size;
    bool is_cut; /* there were more than STORE_REVOKE_MAX */
};

static enum gw_err ids_add(struct ids *ids, const void *id)
{
    if (ids->n == STORE_REVOKE_MAX) {
        ids->is_cut = true;
        return GW_OK;
    }
    if (ids->n == ids->size) {
        size_t size = ids->size == 0 ? 16 : ids->size * 2;
        void *items = realloc(ids->items, size * DIGEST_BYTES);
        if (items == NULL)
            return GW_E_NOMEM;
        ids->items = items;
        ids->size = size;
    }
    memcpy(ids->items[ids->n++], id, DIGEST_BYTES);
    return GW_OK;
}

/* SQLite has removed all of them by the first step, and hands out their names then. */
static enum gw_err delete_revoked(struct sqlite *q, const struct store_revocation *r, struct ids *ids, int64_t *ret_n)
{
    struct sqlitecall c = call_of(q, r->by_sub ? STMT_REVOKE_SUB : STMT_REVOKE_SID);
    enum gw_err err = GW_OK;
    sqlitecall_put_digest(&c, r->mac);
    sqlitecall_put_int(&c, r->issued_until_s);
    while (err == GW_OK && sqlitecall_step(&c) == SQLITE_ROW) {
        uint8_t id[DIGEST_BYTES];
        err = sqlitecall_get_digest(&c, 0, id) ? ids_add(ids, id) : fail_because(q, "revoking sessions", "a row has an odd id");
    }
    if (err == GW_OK)
        err = c.rc == SQLITE_DONE ? succeed(q) : fail(q, "revoking sessions");
    if (err == GW_OK)
        *ret_n = sqlite3_changes64(q->link.db);
    sqlitecall_end(&c);
    return err;
}

static enum gw_err mark_used(struct sqlite *q, const uint8_t *id, int64_t expires_s, int64_t *ret_n)
{
    struct sqlitecall c = call_of(q, STMT_USE);
    sqlitecall_put_digest(&c, id);
    sqlitecall_put_int(&c, expires_s);
    return call_write(q, &c, "marking what is used once", ret_n);
}

/* Inside a transaction, which the caller undoes on failure. */
static enum gw_err mark_revocation(struct sqlite *q, const struct store_revocation *r, int64_t *ret_n)
{
    int64_t n_once = 0, n_name = 0;
    *ret_n = 0;
    if (r->once == NULL)
        return GW_OK;
    if (q->n_attempts + 2 > STORE_ATTEMPTS_MAX)
        return GW_E_LIMIT;
    enum gw_err err = mark_used(q, r->once, r->once_until_s, &n_once);
    if (err == GW_OK && n_once == 0)
        return GW_E_EXPIRED;
    if (err == GW_OK)
        err = mark_used(q, r->once_name, r->once_until_s, &n_name);
    if (err == GW_OK && n_name == 0)
        return GW_E_INVALID;
    *ret_n = n_once + n_name;
    return err;
}

static enum gw_err revoke_sessions(struct sqlite *q, const struct store_revocation *r, struct ids *ids)
{
    int64_t issued_until_s = r->is_here_only ? INT64_MIN : r->issued_until_s;
    struct tomb t = {.issued_until_s = issued_until_s, .begun_until_ms = r->begun_until_ms, .expires_s = r->tomb_s};
    int64_t n_new = 0, n_gone = 0, n_marked = 0;
    memcpy(t.mac, r->mac, DIGEST_BYTES);
    enum gw_err err = begin_durable(q);
    if (err != GW_OK)
        return err;
    err = mark_revocation(q, r, &n_marked);
    if (err == GW_OK)
        err = bury(q, t, &n_new);
    if (err == GW_OK)
        err = delete_revoked(q, r, ids, &n_gone);
    err = finish(q, err);
    if (err == GW_OK) {
        q->n_tombs += n_new;
        q->n_sessions -= n_gone;
        q->n_attempts += n_marked;
    }
    return err;
}

static enum gw_err list(struct sqlite *q, const uint8_t *after, size_t n_max, int64_t now_s, struct store_row *rows,
                        size_t *ret_n)
{
    struct sqlitecall c = call_of(q, STMT_LIST);
    enum gw_err err = GW_OK;
    sqlitecall_put_bytes(&c, after, after == NULL ? 0 : DIGEST_BYTES); /* the empty one is before all others */
    sqlitecall_put_int(&c, now_s);
    sqlitecall_put_int(&c, (int64_t)n_max);
    while (err == GW_OK && *ret_n < n_max && sqlitecall_step(&c) == SQLITE_ROW) {
        err = read_row(q, &c, &rows[*ret_n]);
        *ret_n += err == GW_OK;
    }
    if (err == GW_OK && c.rc != SQLITE_DONE && c.rc != SQLITE_ROW)
        err = fail(q, "listing sessions");
    sqlitecall_end(&c);
    return err;
}

/* ---- things that happen once, and the end of all ---- */

static enum gw_err use_once(struct sqlite *q, const uint8_t *id, int64_t expires_s)
{
    int64_t n;
    if (q->n_attempts >= STORE_ATTEMPTS_MAX)
        return GW_E_LIMIT;
    enum gw_err err = set_durable(q, true);
    if (err != GW_OK)
        return err;
    err = mark_used(q, id, expires_s, &n);
    if (err != GW_OK)
        return err;
    q->n_attempts += n;
    return n == 0 ? GW_E_EXPIRED : GW_OK;
}

static enum gw_err sweep(struct sqlite *q, int64_t now_s, int64_t idle_s, size_t *ret_n_removed)
{
    struct {
        enum stmt id;
        int64_t *count;
    } parts[] = {{STMT_SWEEP_SESSIONS, &q->n_sessions}, {STMT_SWEEP_ATTEMPTS, &q->n_attempts}, {STMT_SWEEP_TOMBS, &q->n_tombs}};
    int64_t n_left = STORE_SWEEP_MAX;
    enum gw_err err = set_durable(q, false);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && err == GW_OK; i++) {
        struct sqlitecall c = call_of(q, parts[i].id);
        int64_t n = 0;
        sqlitecall_put_int(&c, now_s);
        if (parts[i].id == STMT_SWEEP_SESSIONS)
            sqlitecall_put_int(&c, now_s - idle_s);
        sqlitecall_put_int(&c, n_left);
        err = call_write(q, &c, "sweeping", &n);
        *parts[i].count -= n;
        n_left -= n;
    }
    if (err != GW_OK)
        return err;
    if (q->n_tombs < STORE_TOMBS_MAX)
        q->is_tombs_full = false;
    *ret_n_removed = (size_t)(STORE_SWEEP_MAX - n_left);
    return GW_OK;
}

/* ---- the operations: each takes the lock around its statements, and tells after it ---- */

#define LOCKED(q, call)                   \
    __extension__({                       \
        pthread_mutex_lock(&(q)->lock);   \
        enum gw_err err_ = call;          \
        pthread_mutex_unlock(&(q)->lock); \
        err_;                             \
    })

static enum gw_err op_put(struct store *s, const struct store_row *row)
{
    struct sqlite *q = of_store(s);
    return LOCKED(q, put(q, row));
}

static enum gw_err op_get(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row)
{
    struct sqlite *q = of_store(s);
    return LOCKED(q, get(q, id, ret_row));
}

static enum gw_err op_touch(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s)
{
    struct sqlite *q = of_store(s);
    return LOCKED(q, set_number(q, STMT_TOUCH, id, seen_s, "noting a session's use"));
}

static enum gw_err op_need(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t need)
{
    struct sqlite *q = of_store(s);
    enum gw_err err = LOCKED(q, set_number(q, STMT_NEED, id, need, "noting what a session needs"));
    if (err == GW_OK)
        store_tell(s, STORE_CHANGED, id);
    return err;
}

static enum gw_err op_lease(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version, int64_t now_s, int64_t until_s,
                            bool is_granting, enum store_lease *ret_lease)
{
    struct sqlite *q = of_store(s);
    enum gw_err err = LOCKED(q, lease(q, id, version, now_s, until_s, is_granting, ret_lease));
    if (err == GW_OK && *ret_lease == STORE_LEASE_LOST)
        store_tell(s, STORE_ENDED, id);
    return err;
}

static enum gw_err op_release(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version)
{
    struct sqlite *q = of_store(s);
    enum gw_err err = LOCKED(q, set_number(q, STMT_RELEASE, id, version, "giving a lease back"));
    return err == GW_E_NOTFOUND ? GW_OK : err;
}

static enum gw_err op_replace(struct store *s, const struct store_row *row)
{
    struct sqlite *q = of_store(s);
    enum gw_err err = LOCKED(q, replace(q, row));
    if (err == GW_OK || err == GW_E_EXPIRED)
        store_tell(s, err == GW_OK ? STORE_CHANGED : STORE_ENDED, row->id);
    return err;
}

static enum gw_err op_end(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t now_ms, int64_t tomb_s)
{
    struct sqlite *q = of_store(s);
    enum gw_err err = LOCKED(q, end_session(q, id, now_ms, tomb_s));
    if (err == GW_OK)
        store_tell(s, STORE_ENDED, id);
    return err == GW_E_NOTFOUND ? GW_OK : err;
}

static enum gw_err op_revoke(struct store *s, const struct store_revocation *r,
                             void (*fn)(void *arg, const uint8_t id[DIGEST_BYTES]), void *arg)
{
    struct sqlite *q = of_store(s);
    struct ids ids = {.items = NULL};
    enum gw_err err = LOCKED(q, revoke_sessions(q, r, &ids));
    for (size_t i = 0; err == GW_OK && i < ids.n; i++) {
        store_tell(s, STORE_ENDED, ids.items[i]);
        fn(arg, ids.items[i]);
    }
    if (err == GW_OK && ids.is_cut)
        store_tell(s, STORE_UNKNOWN, NULL);
    free(ids.items);
    return err;
}

static enum gw_err op_list(struct store *s, const uint8_t *after, size_t n_max, int64_t now_s, struct store_row *rows,
                           size_t *ret_n)
{
    struct sqlite *q = of_store(s);
    return LOCKED(q, list(q, after, n_max, now_s, rows, ret_n));
}

static enum gw_err op_use(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s)
{
    struct sqlite *q = of_store(s);
    return LOCKED(q, use_once(q, id, expires_s));
}

static enum gw_err op_sweep(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed)
{
    struct sqlite *q = of_store(s);
    return LOCKED(q, sweep(q, now_s, idle_s, ret_n_removed));
}

/* ---- opening ---- */

static void close_db(struct store *s)
{
    struct sqlite *q = of_store(s);
    for (int i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(q->stmts[i]);
    sqlitelink_close(&q->link);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static const struct store_ops SQLITE_OPS = {
    .close = close_db,
    .session_put = op_put,
    .session_get = op_get,
    .session_touch = op_touch,
    .session_need = op_need,
    .session_lease = op_lease,
    .session_release = op_release,
    .session_replace = op_replace,
    .session_end = op_end,
    .revoke = op_revoke,
    .session_list = op_list,
    .use_once = op_use,
    .sweep = op_sweep,
};

static enum gw_err prepare(struct sqlite *q)
{
    for (int i = 0; i < STMT_COUNT; i++)
        if (sqlite3_prepare_v3(q->link.db, STMT_SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &q->stmts[i], NULL) != SQLITE_OK)
            return GW_E_IO;
    if (sqlitelink_ask(q->link.db, "SELECT count(*) FROM session", &q->n_sessions) != GW_OK ||
        sqlitelink_ask(q->link.db, "SELECT count(*) FROM attempt", &q->n_attempts) != GW_OK ||
        sqlitelink_ask(q->link.db, "SELECT count(*) FROM tomb", &q->n_tombs) != GW_OK)
        return GW_E_IO;
    return GW_OK;
}

enum gw_err sqlite_open(const char *path, struct store **ret_store)
{
    struct sqlite *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return GW_E_NOMEM;
    enum gw_err err = sqlitelink_open(path, &q->link);
    if (err != GW_OK) {
        free(q);
        return err;
    }
    q->base.ops = &SQLITE_OPS;
    pthread_mutex_init(&q->lock, NULL);
    err = prepare(q);
    if (err != GW_OK) {
        err = fail(q, "opening");
        close_db(&q->base);
        return err;
    }
    *ret_store = &q->base;
    return GW_OK;
}

enum gw_err sqlite_probe(const char *path)
{
    return sqlitelink_probe(path);
}

const char *sqlite_library_version(void)
{
    static const char text[] = "SQLite " SQLITE_VERSION;
    return text;
}

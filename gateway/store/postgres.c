/* Several gateways on one database. What two of them do at once must come out as if one had been first.
 *
 * Each operation is one call of a function in the database (pgschema.h), and so one transaction: nothing of ours can die between
 * its statements and leave it open. The isolation is READ COMMITTED, where each statement of a volatile function sees what was
 * committed when that statement began.
 *
 * Why a logout leaves no live row behind, though a login or a refresh is under way elsewhere:
 *  - Adding a row takes shared advisory locks, until its transaction ends, on its (iss, sid), its (iss, sub) and the one that stands for
 *    everyone; then looks at the tombstones; then inserts. Ending takes the exclusive lock on the mac of its tombstone; then writes
 *    that; then deletes what has the mac.
 *  - Locks go after the commit can be seen. If adding had its lock first, ending waits, and its delete, a later statement, sees the
 *    row. If ending was first, adding waits, and its look, a later statement, sees the tombstone. There is no third way.
 *  - Refreshing never inserts. It updates the row of its id and version; the delete locks the same row, so either the update comes
 *    first and the new version is deleted, or it finds nothing. A tombstone that outlived its row (a database restored from a backup)
 *    is looked at under the shared locks, too.
 * Nobody waits in a circle: what a revocation marks as used, with its counters, comes before the lock of the own mac; that before
 * everyone's, which comes before rows, which are taken in the order of
 * their ids or passed over when locked (sweeping), and they before the counters, which are taken by table (tombstones first) and
 * place. Macs that begin with the same 8 bytes share a lock; that costs a wait and nothing else.
 *
 * How durable: what may be lost with the power of the database's machine is what sqlite.c may lose, and synchronous_commit is off
 * for that; ending and marking as used wait as the server's settings say. */
#include "store/backend.h"
#include "store/pglisten.h"
#include "store/pgpool.h"
#include "store/pgschema.h"

#include "util/cleanup.h"
#include "util/log.h"
#include "util/rnd.h"
#include "util/secret.h"

#include <stdatomic.h>
#include <stdio.h>

enum stmt {
    STMT_PUT,
    STMT_GET,
    STMT_TOUCH,
    STMT_NEED,
    STMT_LEASE,
    STMT_RELEASE,
    STMT_REPLACE,
    STMT_END,
    STMT_REVOKE,
    STMT_LIST,
    STMT_USE,
    STMT_SWEEP_SESSIONS,
    STMT_SWEEP_ATTEMPTS,
    STMT_SWEEP_TOMBS,
    STMT_COUNT
};

_Static_assert((int)STMT_COUNT <= (int)PGLINK_STATEMENTS_MAX, "a number for each");
_Static_assert((int)STORE_SESSIONS_MAX == (int)PGSCHEMA_ROWS_MAX && (int)STORE_ATTEMPTS_MAX == (int)PGSCHEMA_ROWS_MAX &&
                   (int)STORE_TOMBS_MAX == (int)PGSCHEMA_ROWS_MAX && PGSCHEMA_ROWS_MAX / PGSCHEMA_SLOTS == 62500,
               "the caps that the schema keeps");

#define ROW_COLUMNS "sid_mac, sub_mac, label, version, created_s, seen_s, expires_s, begun_ms, issued_s, need"

/* Rows that another replica is sweeping, or somebody is writing, are left to them. */
#define SWEEP(table, condition)                                                                     \
    "WITH found AS (SELECT id FROM " table " WHERE " condition " LIMIT $2 FOR UPDATE SKIP LOCKED)," \
    " gone AS (DELETE FROM " table " WHERE id IN (SELECT id FROM found) RETURNING 1) SELECT count(*) FROM gone"

static const char *const STMT_SQL[STMT_COUNT] = {
    [STMT_PUT] = "SELECT session_put($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    [STMT_GET] = "SELECT " ROW_COLUMNS ", id, secret FROM session WHERE id = $1",
    [STMT_TOUCH] = "UPDATE session SET seen_s = greatest(seen_s, $2) WHERE id = $1 RETURNING 0::bigint",
    [STMT_NEED] = "SELECT session_need($1, $2)",
    [STMT_LEASE] = "SELECT session_lease($1, $2, $3, $4)",
    [STMT_RELEASE] = "UPDATE session SET lease_until = NULL, lease_is_granting = false, lease_by = NULL"
                     " WHERE id = $1 AND version = $2 AND lease_by = current_setting('repogate.teller')",
    [STMT_REPLACE] = "SELECT session_replace($1, $2, $3, $4)",
    [STMT_END] = "SELECT session_end($1, $2, $3)",
    [STMT_REVOKE] = "SELECT answer, ended FROM session_revoke($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    [STMT_LIST] = "SELECT " ROW_COLUMNS ", id, ''::bytea FROM session WHERE id > $1 AND expires_s > $2 ORDER BY id LIMIT $3",
    [STMT_USE] = "SELECT use_once($1, $2)",
    [STMT_SWEEP_SESSIONS] = SWEEP("session", "(expires_s <= $1 OR seen_s <= $3)"),
    [STMT_SWEEP_ATTEMPTS] = SWEEP("attempt", "expires_s <= $1"),
    [STMT_SWEEP_TOMBS] = SWEEP("tomb", "expires_s <= $1 AND id <> everyone()"),
};

struct postgres {
    struct store base;
    struct pgpool *pool;
    struct pglisten *listen; /* NULL: nobody watches */
    char teller[PGLISTEN_TELLER_LEN + 1];
    atomic_bool is_failing; /* said so already */
};

static struct postgres *of_store(struct store *s)
{
    return (struct postgres *)(void *)s;
}

/* ---- asking ---- */

static enum gw_err fail_because(struct postgres *p, const char *what, const char *reason)
{
    if (!atomic_exchange(&p->is_failing, true))
        log_event(LOG_ERROR, "session store fails", LOG_KV("doing", view_of(what)), LOG_KV("reason", view_of(reason)));
    return GW_E_IO;
}

static void succeed(struct postgres *p)
{
    if (atomic_load(&p->is_failing) && atomic_exchange(&p->is_failing, false))
        log_write(LOG_INFO, "session store works again", NULL);
}

static enum gw_err ask(struct postgres *p, enum stmt id, const struct pglink_args *args, const char *what,
                       struct pglink_rows **ret_rows)
{
    struct pglink *link = NULL;
    char reason[PGLINK_REASON_MAX];
    enum gw_err err = pgpool_take(p->pool, &link, reason);
    if (err != GW_OK)
        return err == GW_E_NOMEM ? err : fail_because(p, what, reason);
    err = pglink_call(link, id, STMT_SQL[id], args, ret_rows);
    if (err == GW_E_IO)
        fail_because(p, what, pglink_reason(link));
    else if (err == GW_OK)
        succeed(p);
    pgpool_give(p->pool, link, err != GW_E_IO);
    return err;
}

/* The one number that is answered; none is PG_GONE. */
static enum gw_err ask_int(struct postgres *p, enum stmt id, const struct pglink_args *args, const char *what, int64_t *ret_n)
{
    GW_CLEANUP(pglink_rows_freep) struct pglink_rows *rows = NULL;
    enum gw_err err = ask(p, id, args, what, &rows);
    if (err != GW_OK)
        return err;
    if (pglink_rows_count(rows) == 0)
        *ret_n = PG_GONE;
    else if (!pglink_rows_int(rows, 0, 0, ret_n))
        return fail_because(p, what, "the answer is no number");
    return GW_OK;
}

static void add_digest(struct pglink_args *a, const uint8_t *digest)
{
    pglink_args_bytes(a, digest, DIGEST_BYTES);
}

/* ---- rows ---- */

static bool read_digest(const struct pglink_rows *rows, size_t i, size_t column, uint8_t out[DIGEST_BYTES])
{
    struct view v;
    if (!pglink_rows_bytes(rows, i, column, &v) || v.n != DIGEST_BYTES)
        return false;
    memcpy(out, v.p, DIGEST_BYTES);
    return true;
}

static bool read_buf(const struct pglink_rows *rows, size_t i, size_t column, struct buf *out)
{
    struct view v;
    if (!pglink_rows_bytes(rows, i, column, &v) || v.n > STORE_SEALED_MAX)
        return false;
    *out = BUF(STORE_SEALED_MAX);
    buf_put(out, v);
    return buf_ok(out);
}

/* Of ROW_COLUMNS, id, secret. */
static enum gw_err read_row(struct postgres *p, const struct pglink_rows *rows, size_t i, struct store_row *ret_row)
{
    struct store_row row = {.version = 0};
    int64_t *const numbers[] = {&row.version,  &row.created_s, &row.seen_s, &row.expires_s,
                                &row.begun_ms, &row.issued_s,  &row.need};
    bool is_fine =
        read_digest(rows, i, 0, row.sid_mac) && read_digest(rows, i, 1, row.sub_mac) && read_digest(rows, i, 10, row.id);
    for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]) && is_fine; k++)
        is_fine = pglink_rows_int(rows, i, 3 + k, numbers[k]);
    if (!is_fine || !read_buf(rows, i, 2, &row.label) || !read_buf(rows, i, 11, &row.secret)) {
        store_row_deinit(&row);
        return fail_because(p, "reading a session", "its row has odd types or lengths");
    }
    *ret_row = row;
    return GW_OK;
}

static enum gw_err op_put(struct store *s, const struct store_row *row)
{
    struct pglink_args a = {.n = 0};
    int64_t answer;
    const int64_t numbers[] = {row->version,  row->created_s, row->seen_s, row->expires_s,
                               row->begun_ms, row->issued_s,  row->need};
    add_digest(&a, row->id);
    add_digest(&a, row->sid_mac);
    add_digest(&a, row->sub_mac);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        pglink_args_int(&a, numbers[i]);
    pglink_args_bytes(&a, row->label.p, row->label.n);
    pglink_args_bytes(&a, row->secret.p, row->secret.n);
    enum gw_err err = ask_int(of_store(s), STMT_PUT, &a, "adding a session", &answer);
    if (err != GW_OK || answer == PG_DONE)
        return err;
    return answer == PG_BURIED ? GW_E_EXPIRED : fail_because(of_store(s), "adding a session", "its id is there already");
}

static enum gw_err op_get(struct store *s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row)
{
    GW_CLEANUP(pglink_rows_freep) struct pglink_rows *rows = NULL;
    struct pglink_args a = {.n = 0};
    add_digest(&a, id);
    enum gw_err err = ask(of_store(s), STMT_GET, &a, "reading a session", &rows);
    if (err != GW_OK)
        return err;
    return pglink_rows_count(rows) == 0 ? GW_E_NOTFOUND : read_row(of_store(s), rows, 0, ret_row);
}

/* Sets a number of a row. */
static enum gw_err set_number(struct store *s, enum stmt stmt, const uint8_t *id, int64_t number, const char *what)
{
    struct pglink_args a = {.n = 0};
    int64_t answer;
    add_digest(&a, id);
    pglink_args_int(&a, number);
    enum gw_err err = ask_int(of_store(s), stmt, &a, what, &answer);
    if (err != GW_OK)
        return err;
    return answer == PG_DONE ? GW_OK : GW_E_NOTFOUND;
}

static enum gw_err op_touch(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t seen_s)
{
    return set_number(s, STMT_TOUCH, id, seen_s, "noting a session's use");
}

static enum gw_err op_need(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t need)
{
    enum gw_err err = set_number(s, STMT_NEED, id, need, "noting what a session needs");
    if (err == GW_OK)
        store_tell(s, STORE_CHANGED, id);
    return err;
}

/* ---- refreshing ---- */

static enum gw_err op_lease(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version, int64_t now_s, int64_t until_s,
                            bool is_granting, enum store_lease *ret_lease)
{
    struct pglink_args a = {.n = 0};
    int64_t answer;
    add_digest(&a, id);
    pglink_args_int(&a, version);
    pglink_args_int(&a, until_s - now_s);
    pglink_args_int(&a, is_granting);
    enum gw_err err = ask_int(of_store(s), STMT_LEASE, &a, "taking a lease", &answer);
    if (err != GW_OK)
        return err;
    switch (answer) {
    case PG_DONE:
        *ret_lease = STORE_LEASE_TAKEN;
        return GW_OK;
    case PG_HELD:
        *ret_lease = STORE_LEASE_HELD;
        return GW_OK;
    case PG_CHANGED:
        *ret_lease = STORE_LEASE_CHANGED;
        return GW_OK;
    case PG_LOST:
        *ret_lease = STORE_LEASE_LOST;
        store_tell(s, STORE_ENDED, id);
        return GW_OK;
    default:
        return GW_E_NOTFOUND;
    }
}

static enum gw_err op_release(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t version)
{
    struct pglink_args a = {.n = 0};
    add_digest(&a, id);
    pglink_args_int(&a, version);
    return ask(of_store(s), STMT_RELEASE, &a, "giving a lease back", NULL);
}

static enum gw_err op_replace(struct store *s, const struct store_row *row)
{
    struct pglink_args a = {.n = 0};
    int64_t answer;
    add_digest(&a, row->id);
    pglink_args_int(&a, row->version);
    pglink_args_bytes(&a, row->label.p, row->label.n);
    pglink_args_bytes(&a, row->secret.p, row->secret.n);
    enum gw_err err = ask_int(of_store(s), STMT_REPLACE, &a, "replacing a session", &answer);
    if (err != GW_OK)
        return err;
    if (answer != PG_DONE && answer != PG_BURIED)
        return GW_E_NOTFOUND;
    store_tell(s, answer == PG_DONE ? STORE_CHANGED : STORE_ENDED, row->id);
    return answer == PG_DONE ? GW_OK : GW_E_EXPIRED;
}

/* ---- ending ---- */

static enum gw_err op_end(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t now_ms, int64_t tomb_s)
{
    struct pglink_args a = {.n = 0};
    int64_t answer;
    add_digest(&a, id);
    pglink_args_int(&a, now_ms);
    pglink_args_int(&a, tomb_s);
    enum gw_err err = ask_int(of_store(s), STMT_END, &a, "ending a session", &answer);
    if (err == GW_OK && answer == PG_DONE)
        store_tell(s, STORE_ENDED, id);
    return err;
}

static void add_once(struct pglink_args *a, const uint8_t *id)
{
    if (id == NULL)
        pglink_args_null(a);
    else
        add_digest(a, id);
}

static enum gw_err op_revoke(struct store *s, const struct store_revocation *r,
                             void (*fn)(void *arg, const uint8_t id[DIGEST_BYTES]), void *arg)
{
    GW_CLEANUP(pglink_rows_freep) struct pglink_rows *rows = NULL;
    struct pglink_args a = {.n = 0};
    uint8_t id[DIGEST_BYTES];
    int64_t answer;
    pglink_args_int(&a, r->by_sub);
    add_digest(&a, r->mac);
    pglink_args_int(&a, r->issued_until_s);
    pglink_args_int(&a, r->begun_until_ms);
    pglink_args_int(&a, r->tomb_s);
    pglink_args_int(&a, STORE_REVOKE_MAX);
    add_once(&a, r->once);
    add_once(&a, r->once == NULL ? NULL : r->once_name);
    pglink_args_int(&a, r->once_until_s);
    pglink_args_int(&a, r->is_here_only ? INT64_MIN : r->issued_until_s);
    enum gw_err err = ask(of_store(s), STMT_REVOKE, &a, "revoking sessions", &rows);
    if (err != GW_OK)
        return err;
    if (!pglink_rows_int(rows, 0, 0, &answer))
        return fail_because(of_store(s), "revoking sessions", "no answer");
    if (answer != PG_DONE)
        return answer == PG_BURIED ? GW_E_EXPIRED : GW_E_INVALID;
    size_t n = pglink_rows_count(rows) - 1;
    for (size_t i = 0; i < n && i < STORE_REVOKE_MAX; i++) {
        if (!read_digest(rows, i + 1, 1, id))
            return fail_because(of_store(s), "revoking sessions", "a row has an odd id");
        store_tell(s, STORE_ENDED, id);
        fn(arg, id);
    }
    if (n > STORE_REVOKE_MAX)
        store_tell(s, STORE_UNKNOWN, NULL);
    return GW_OK;
}

static enum gw_err op_list(struct store *s, const uint8_t *after, size_t n_max, int64_t now_s, struct store_row *rows,
                           size_t *ret_n)
{
    GW_CLEANUP(pglink_rows_freep) struct pglink_rows *found = NULL;
    struct pglink_args a = {.n = 0};
    pglink_args_bytes(&a, after, after == NULL ? 0 : DIGEST_BYTES); /* the empty one is before all others */
    pglink_args_int(&a, now_s);
    pglink_args_int(&a, (int64_t)n_max);
    enum gw_err err = ask(of_store(s), STMT_LIST, &a, "listing sessions", &found);
    for (size_t n = err == GW_OK ? pglink_rows_count(found) : 0; *ret_n < n && *ret_n < n_max && err == GW_OK;) {
        err = read_row(of_store(s), found, *ret_n, &rows[*ret_n]);
        *ret_n += err == GW_OK;
    }
    return err;
}

/* ---- things that happen once, and the end of all ---- */

static enum gw_err op_use(struct store *s, const uint8_t id[DIGEST_BYTES], int64_t expires_s)
{
    enum gw_err err = set_number(s, STMT_USE, id, expires_s, "marking what is used once");
    return err == GW_E_NOTFOUND ? GW_E_EXPIRED : err;
}

static enum gw_err op_sweep(struct store *s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed)
{
    static const enum stmt PARTS[] = {STMT_SWEEP_SESSIONS, STMT_SWEEP_ATTEMPTS, STMT_SWEEP_TOMBS};
    int64_t n_left = STORE_SWEEP_MAX;
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]) && err == GW_OK; i++) {
        struct pglink_args a = {.n = 0};
        int64_t n = 0;
        pglink_args_int(&a, now_s);
        pglink_args_int(&a, n_left);
        if (PARTS[i] == STMT_SWEEP_SESSIONS)
            pglink_args_int(&a, now_s - idle_s);
        err = ask_int(of_store(s), PARTS[i], &a, "sweeping", &n);
        n_left -= n;
    }
    if (err == GW_OK)
        *ret_n_removed = (size_t)(STORE_SWEEP_MAX - n_left);
    return err;
}

/* ---- what other replicas do ---- */

static void op_watch(struct store *s)
{
    struct postgres *p = of_store(s);
    if (pglisten_start(p->pool, s, p->teller, &p->listen) != GW_OK)
        log_write(LOG_ERROR, "other replicas are not heard: no thread for it; sessions are read again every second", NULL);
}

static void op_unwatch(struct store *s)
{
    pglisten_stop(of_store(s)->listen);
    of_store(s)->listen = NULL;
}

static bool op_is_watching(const struct store *s)
{
    const struct postgres *p = (const struct postgres *)(const void *)s;
    return p->listen != NULL && pglisten_is_hearing(p->listen);
}

/* ---- opening ---- */

static enum gw_err op_use_dsn(struct store *s, struct view dsn)
{
    char reason[PGLINK_REASON_MAX];
    GW_CLEANUP(secret_freep) char *text = view_dup(dsn);
    if (text == NULL)
        return GW_E_NOMEM;
    enum gw_err err = pglink_check(text, reason);
    return err == GW_OK ? pgpool_use_dsn(of_store(s)->pool, dsn) : err;
}

static void op_close(struct store *s)
{
    struct postgres *p = of_store(s);
    pglisten_stop(p->listen);
    pgpool_free(p->pool);
    free(p);
}

static const struct store_ops POSTGRES_OPS = {
    .close = op_close,
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
    .watch = op_watch,
    .unwatch = op_unwatch,
    .is_watching = op_is_watching,
    .use_dsn = op_use_dsn,
};

/* The one number of a query, in a transaction of the migration. */
static enum gw_err read_int(struct pglink *l, const char *sql, int64_t *ret_n)
{
    GW_CLEANUP(pglink_rows_freep) struct pglink_rows *rows = NULL;
    enum gw_err err = pglink_exec(l, sql, PGLINK_MIGRATE_MS, &rows);
    if (err == GW_OK && !pglink_rows_int(rows, 0, 0, ret_n))
        err = GW_E_INVALID;
    return err;
}

static enum gw_err run(struct pglink *l, const char *sql)
{
    return pglink_exec(l, sql, PGLINK_MIGRATE_MS, NULL);
}

/* -1: nothing is there yet. GW_E_INVALID for what this version must not touch. */
static enum gw_err find_version(struct pglink *l, int64_t *ret_version)
{
    static const char TABLES[] = "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('" PGSCHEMA_NAME "')";
    int64_t n_tables, is_ours;
    enum gw_err err = read_int(l, TABLES, &n_tables);
    *ret_version = -1;
    if (err != GW_OK || n_tables == 0)
        return err;
    err = read_int(l, "SELECT count(to_regclass('" PGSCHEMA_NAME ".schema_version'))", &is_ours);
    if (err == GW_OK && is_ours == 0)
        err = GW_E_INVALID;
    if (err == GW_OK)
        err = read_int(l, "SELECT version FROM " PGSCHEMA_NAME ".schema_version", ret_version);
    return err == GW_OK && (*ret_version < 0 || *ret_version > PGSCHEMA_VERSION) ? GW_E_INVALID : err;
}

/* Who may not make schemas can be given one. */
static enum gw_err make_schema(struct pglink *l)
{
    int64_t is_there;
    enum gw_err err = read_int(l, "SELECT count(to_regnamespace('" PGSCHEMA_NAME "'))", &is_there);
    if (err == GW_OK && is_there == 0)
        err = run(l, "CREATE SCHEMA " PGSCHEMA_NAME);
    if (err == GW_OK)
        err = run(l, "CREATE TABLE " PGSCHEMA_NAME ".schema_version (version bigint NOT NULL);"
                     "INSERT INTO " PGSCHEMA_NAME ".schema_version VALUES (0)");
    return err;
}

/* One step, or GW_OK with *ret_is_done. Replicas that start together wait for each other here. */
static enum gw_err migrate_once(struct pglink *l, bool *ret_is_done)
{
    int64_t version = 0;
    char sql[96];
    enum gw_err err = run(l, "BEGIN; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(" PGSCHEMA_LOCK ")");
    if (err == GW_OK)
        err = find_version(l, &version);
    if (err == GW_OK && version < 0) {
        version = 0;
        err = make_schema(l);
    }
    if (err != GW_OK)
        return err;
    *ret_is_done = version == PGSCHEMA_VERSION;
    if (!*ret_is_done) {
        snprintf(sql, sizeof(sql), "UPDATE schema_version SET version = %lld", (long long)version + 1);
        err = run(l, PGSCHEMA_STEPS[version]);
        if (err == GW_OK)
            err = run(l, sql);
    }
    return err == GW_OK ? run(l, "COMMIT") : err;
}

static void put_reason(const struct pglink *l, enum gw_err err, char reason[PGLINK_REASON_MAX])
{
    if (err == GW_E_INVALID)
        snprintf(reason, PGLINK_REASON_MAX,
                 "its schema " PGSCHEMA_NAME
                 " was made by something else or by a newer version: give another database, or the newer version");
    else if (err != GW_OK)
        snprintf(reason, PGLINK_REASON_MAX, "%s", pglink_reason(l));
}

static enum gw_err migrate(struct postgres *p, char reason[PGLINK_REASON_MAX])
{
    struct pglink *link = NULL;
    bool is_done = false;
    enum gw_err err = pgpool_take(p->pool, &link, reason);
    if (err != GW_OK)
        return err;
    while (err == GW_OK && !is_done)
        err = migrate_once(link, &is_done);
    put_reason(link, err, reason);
    pgpool_give(p->pool, link, err == GW_OK); /* closing it undoes what was begun */
    return err;
}

static enum gw_err draw_teller(char out[PGLISTEN_TELLER_LEN + 1])
{
    uint8_t random[PGLISTEN_TELLER_LEN / 2];
    enum gw_err err = rnd_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random) && err == GW_OK; i++)
        snprintf(out + 2 * i, 3, "%02x", random[i]);
    return err;
}

static enum gw_err make_pool(struct postgres *p, const char *dsn)
{
    char setup[160];
    enum gw_err err = draw_teller(p->teller);
    if (err != GW_OK)
        return err;
    snprintf(setup, sizeof(setup),
             "SET search_path = " PGSCHEMA_NAME "; SET synchronous_commit = off; SET repogate.teller = '%s'", p->teller);
    return pgpool_new(dsn, setup, &p->pool);
}

enum gw_err postgres_open(const char *dsn, struct store **ret_store)
{
    char reason[PGLINK_REASON_MAX] = "";
    struct postgres *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return GW_E_NOMEM;
    p->base.ops = &POSTGRES_OPS;
    enum gw_err err = pglink_check(dsn, reason);
    if (err == GW_OK)
        err = make_pool(p, dsn);
    if (err == GW_OK)
        err = migrate(p, reason);
    if (err != GW_OK) {
        log_event(LOG_ERROR, "session store cannot be opened",
                  LOG_KV("reason", view_of(reason[0] == '\0' ? gw_err_name(err) : reason)));
        op_close(&p->base);
        return err;
    }
    *ret_store = &p->base;
    return GW_OK;
}

enum gw_err postgres_probe(const char *dsn, char reason[STORE_REASON_MAX])
{
    struct pglink *l = NULL;
    int64_t version;
    enum gw_err err = pglink_open(dsn, NULL, &l, reason);
    if (err != GW_OK)
        return err;
    err = find_version(l, &version);
    put_reason(l, err, reason);
    pglink_close(l);
    return err;
}

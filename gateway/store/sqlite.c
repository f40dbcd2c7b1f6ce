/* One connection behind one mutex: calls are a few microseconds apart from the disk, and writers would queue in SQLite anyway.
 *
 * How durable: in WAL mode `synchronous=NORMAL` survives the process, but the last commits may be lost with the power;
 * `FULL` waits for the disk. What may be lost is a login or a note of use (the person logs in again): NORMAL. What must not
 * come back is a session that was logged out and a login attempt that was used: FULL. */
#include "store/backend.h"

#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SCHEMA_VERSION = 1, BUSY_TIMEOUT_MS = 5000, PATH_BYTES_MAX = 4096, FILE_MODE = 0600 };

/* The version is bumped by writes that change what is sealed, not by touching. SQLITE's own length checks keep a defect of
 * ours out; what a hand at the file changed is checked again when it is read. */
static const char SCHEMA[] = "CREATE TABLE session ("
                             " id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),"
                             " sid_mac BLOB NOT NULL CHECK (length(sid_mac) = 32),"
                             " sub_mac BLOB NOT NULL CHECK (length(sub_mac) = 32),"
                             " version INTEGER NOT NULL,"
                             " created_s INTEGER NOT NULL, seen_s INTEGER NOT NULL, expires_s INTEGER NOT NULL,"
                             " label BLOB NOT NULL, secret BLOB NOT NULL) STRICT;"
                             "CREATE INDEX session_expires ON session (expires_s);"
                             "CREATE INDEX session_seen ON session (seen_s);"
                             "CREATE TABLE attempt ("
                             " id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),"
                             " expires_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
                             "CREATE INDEX attempt_expires ON attempt (expires_s);"
                             "PRAGMA user_version = 1;";

static const char SETTINGS[] = "PRAGMA synchronous = NORMAL;"
                               "PRAGMA secure_delete = ON;"            /* a row that was logged out leaves no bytes behind */
                               "PRAGMA cache_size = -8192;"            /* KiB */
                               "PRAGMA journal_size_limit = 16777216;" /* bytes that the WAL keeps after a checkpoint */
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA trusted_schema = OFF;";

enum stmt { STMT_PUT, STMT_GET, STMT_TOUCH, STMT_DELETE, STMT_USE, STMT_SWEEP_SESSIONS, STMT_SWEEP_ATTEMPTS, STMT_COUNT };

static const char *const STMT_SQL[STMT_COUNT] = {
    [STMT_PUT] = "INSERT INTO session (id, sid_mac, sub_mac, version, created_s, seen_s, expires_s, label, secret)"
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [STMT_GET] = "SELECT sid_mac, sub_mac, label, secret, version, created_s, seen_s, expires_s FROM session WHERE id = ?1",
    [STMT_TOUCH] = "UPDATE session SET seen_s = max(seen_s, ?2) WHERE id = ?1",
    [STMT_DELETE] = "DELETE FROM session WHERE id = ?1",
    [STMT_USE] = "INSERT INTO attempt (id, expires_s) VALUES (?1, ?2) ON CONFLICT (id) DO NOTHING",
    [STMT_SWEEP_SESSIONS] = "DELETE FROM session WHERE rowid IN (SELECT rowid FROM session WHERE expires_s <= ?1"
                            " UNION ALL SELECT rowid FROM session WHERE seen_s <= ?2 LIMIT ?3)",
    [STMT_SWEEP_ATTEMPTS] = "DELETE FROM attempt WHERE id IN (SELECT id FROM attempt WHERE expires_s <= ?1 LIMIT ?2)",
};

struct sqlite {
    struct store base;
    pthread_mutex_t lock;
    sqlite3 *db;
    sqlite3_stmt *stmts[STMT_COUNT];
    int64_t n_sessions, n_attempts; /* kept here: counting is a scan */
    bool is_durable;                /* synchronous is FULL now */
    bool is_failing;                /* said so already */
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
    return fail_because(q, what, sqlite3_errmsg(q->db));
}

static enum gw_err succeed(struct sqlite *q)
{
    if (q->is_failing)
        log_write(LOG_INFO, "session store works again", NULL);
    q->is_failing = false;
    return GW_OK;
}

static enum gw_err exec(struct sqlite *q, const char *sql)
{
    return sqlite3_exec(q->db, sql, NULL, NULL, NULL) == SQLITE_OK ? GW_OK : GW_E_IO;
}

/* The one integer that a query answers. */
static int query_int(struct sqlite *q, const char *sql, int64_t *ret_n)
{
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(q->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *ret_n = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return rc;
}

/* ---- opening ---- */

static enum gw_err restrict_file(const char *path, const char *suffix)
{
    char name[PATH_BYTES_MAX];
    int n = snprintf(name, sizeof(name), "%s%s", path, suffix);
    if (n < 0 || (size_t)n >= sizeof(name)) {
        errno = ENAMETOOLONG;
        return GW_E_IO;
    }
    return chmod(name, FILE_MODE) == 0 || errno == ENOENT ? GW_OK : GW_E_IO;
}

/* SQLite gives its -wal and -shm the mode of the database, so it is enough to be first. An existing file is changed by name,
 * not opened: closing it would drop the locks of another connection to it in this process (POSIX advisory locks). */
static enum gw_err make_file(const char *path)
{
    GW_CLEANUP(gw_closep) int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
    if (fd >= 0)
        return GW_OK;
    if (errno != EEXIST || restrict_file(path, "") != GW_OK || restrict_file(path, "-wal") != GW_OK ||
        restrict_file(path, "-shm") != GW_OK)
        return GW_E_IO;
    return GW_OK;
}

/* GW_E_INVALID for a database that this version must not touch. */
static enum gw_err check_schema(struct sqlite *q, bool *ret_is_new)
{
    int64_t version, n_tables;
    int rc = query_int(q, "PRAGMA user_version", &version);
    if (rc == SQLITE_NOTADB)
        return GW_E_INVALID;
    if (rc != SQLITE_ROW || query_int(q, "SELECT count(*) FROM sqlite_schema", &n_tables) != SQLITE_ROW)
        return GW_E_IO;
    *ret_is_new = version == 0 && n_tables == 0;
    return *ret_is_new || version == SCHEMA_VERSION ? GW_OK : GW_E_INVALID;
}

static enum gw_err create_schema(struct sqlite *q)
{
    if (exec(q, "BEGIN IMMEDIATE") != GW_OK || exec(q, SCHEMA) != GW_OK)
        return GW_E_IO;
    return exec(q, "COMMIT");
}

static enum gw_err prepare(struct sqlite *q)
{
    for (int i = 0; i < STMT_COUNT; i++)
        if (sqlite3_prepare_v3(q->db, STMT_SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &q->stmts[i], NULL) != SQLITE_OK)
            return GW_E_IO;
    if (query_int(q, "SELECT count(*) FROM session", &q->n_sessions) != SQLITE_ROW ||
        query_int(q, "SELECT count(*) FROM attempt", &q->n_attempts) != SQLITE_ROW)
        return GW_E_IO;
    return GW_OK;
}

static enum gw_err open_db(struct sqlite *q, const char *path, bool is_memory)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (is_memory ? SQLITE_OPEN_MEMORY : 0);
    bool is_new;
    if (sqlite3_open_v2(path, &q->db, flags, NULL) != SQLITE_OK)
        return GW_E_IO;
    sqlite3_busy_timeout(q->db, BUSY_TIMEOUT_MS);
    enum gw_err err = check_schema(q, &is_new);
    if (err != GW_OK)
        return err;
    /* SQLite opens what it may not write read-only, without a word. WAL mode asks for the directory too. */
    if (sqlite3_db_readonly(q->db, "main") != 0 || exec(q, "PRAGMA journal_mode = WAL") != GW_OK || exec(q, SETTINGS) != GW_OK)
        return GW_E_IO;
    if (is_new)
        err = create_schema(q);
    return err == GW_OK ? prepare(q) : err;
}

static void close_db(struct store *s)
{
    struct sqlite *q = of_store(s);
    for (int i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(q->stmts[i]);
    sqlite3_close(q->db);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

/* ---- statements; the lock is held ---- */

static int bind_bytes(sqlite3_stmt *st, int i, const void *p, size_t n)
{
    return sqlite3_bind_blob64(st, i, p == NULL ? "" : p, n, SQLITE_STATIC);
}

static void stmt_end(sqlite3_stmt *st)
{
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
}

/* Steps a write whose bindings gave rc; GW_OK sets how many rows it changed. */
static enum gw_err stmt_write(struct sqlite *q, enum stmt id, int rc, const char *what, int *ret_n_changed)
{
    sqlite3_stmt *st = q->stmts[id];
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    enum gw_err err = rc == SQLITE_DONE ? succeed(q) : fail(q, what);
    if (err == GW_OK)
        *ret_n_changed = sqlite3_changes(q->db);
    stmt_end(st);
    return err;
}

/* Outside a transaction only, as everything here is. */
static enum gw_err set_durable(struct sqlite *q, bool durable)
{
    if (q->is_durable == durable)
        return GW_OK;
    if (exec(q, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL") != GW_OK)
        return fail(q, "setting durability");
    q->is_durable = durable;
    return GW_OK;
}

static enum gw_err put(struct sqlite *q, const struct store_row *row)
{
    sqlite3_stmt *st = q->stmts[STMT_PUT];
    int n;
    if (q->n_sessions >= STORE_SESSIONS_MAX)
        return GW_E_LIMIT;
    enum gw_err err = set_durable(q, false);
    if (err != GW_OK)
        return err;
    int rc = bind_bytes(st, 1, row->id, DIGEST_BYTES) | bind_bytes(st, 2, row->sid_mac, DIGEST_BYTES) |
             bind_bytes(st, 3, row->sub_mac, DIGEST_BYTES) | sqlite3_bind_int64(st, 4, row->version) |
             sqlite3_bind_int64(st, 5, row->created_s) | sqlite3_bind_int64(st, 6, row->seen_s) |
             sqlite3_bind_int64(st, 7, row->expires_s) | bind_bytes(st, 8, row->label.p, row->label.n) |
             bind_bytes(st, 9, row->secret.p, row->secret.n);
    err = stmt_write(q, STMT_PUT, rc, "adding a session", &n);
    if (err == GW_OK)
        q->n_sessions += n;
    return err;
}

static bool column_digest(sqlite3_stmt *st, int i, uint8_t out[DIGEST_BYTES])
{
    if (sqlite3_column_type(st, i) != SQLITE_BLOB || sqlite3_column_bytes(st, i) != DIGEST_BYTES)
        return false;
    memcpy(out, sqlite3_column_blob(st, i), DIGEST_BYTES);
    return true;
}

static bool column_buf(sqlite3_stmt *st, int i, struct buf *out)
{
    int n = sqlite3_column_bytes(st, i);
    if (sqlite3_column_type(st, i) != SQLITE_BLOB || n < 0 || n > STORE_SEALED_MAX)
        return false;
    *out = BUF(STORE_SEALED_MAX);
    buf_put(out, view_at(sqlite3_column_blob(st, i), (size_t)n));
    return buf_ok(out);
}

static bool column_ints_are(sqlite3_stmt *st, int first, int last)
{
    for (int i = first; i <= last; i++)
        if (sqlite3_column_type(st, i) != SQLITE_INTEGER)
            return false;
    return true;
}

static enum gw_err read_row(struct sqlite *q, sqlite3_stmt *st, const uint8_t *id, struct store_row *ret_row)
{
    struct store_row row = {.version = sqlite3_column_int64(st, 4),
                            .created_s = sqlite3_column_int64(st, 5),
                            .seen_s = sqlite3_column_int64(st, 6),
                            .expires_s = sqlite3_column_int64(st, 7)};
    memcpy(row.id, id, DIGEST_BYTES);
    if (!column_ints_are(st, 4, 7) || !column_digest(st, 0, row.sid_mac) || !column_digest(st, 1, row.sub_mac) ||
        !column_buf(st, 2, &row.label) || !column_buf(st, 3, &row.secret)) {
        store_row_deinit(&row);
        return fail_because(q, "reading a session", "its row has odd types or lengths");
    }
    *ret_row = row;
    return GW_OK;
}

static enum gw_err get(struct sqlite *q, const uint8_t *id, struct store_row *ret_row)
{
    sqlite3_stmt *st = q->stmts[STMT_GET];
    enum gw_err err;
    int rc = bind_bytes(st, 1, id, DIGEST_BYTES);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        err = read_row(q, st, id, ret_row);
    else
        err = rc == SQLITE_DONE ? GW_E_NOTFOUND : fail(q, "reading a session");
    stmt_end(st);
    return err;
}

static enum gw_err touch(struct sqlite *q, const uint8_t *id, int64_t seen_s)
{
    sqlite3_stmt *st = q->stmts[STMT_TOUCH];
    int n;
    enum gw_err err = set_durable(q, false);
    if (err == GW_OK)
        err = stmt_write(q, STMT_TOUCH, bind_bytes(st, 1, id, DIGEST_BYTES) | sqlite3_bind_int64(st, 2, seen_s),
                         "noting a session's use", &n);
    if (err != GW_OK)
        return err;
    return n == 0 ? GW_E_NOTFOUND : GW_OK;
}

static enum gw_err delete (struct sqlite *q, const uint8_t *id) {
    int n; enum gw_err err = set_durable(q, true);
    if (err == GW_OK)
        err = stmt_write(q, STMT_DELETE, bind_bytes(q->stmts[STMT_DELETE], 1, id, DIGEST_BYTES), "deleting a session", &n);
    if (err == GW_OK) q->n_sessions -= n;
    return err;
}

static enum gw_err use_attempt(struct sqlite *q, const uint8_t *id, int64_t expires_s)
{
    sqlite3_stmt *st = q->stmts[STMT_USE];
    int n;
    if (q->n_attempts >= STORE_ATTEMPTS_MAX)
        return GW_E_LIMIT;
    enum gw_err err = set_durable(q, true);
    if (err == GW_OK)
        err = stmt_write(q, STMT_USE, bind_bytes(st, 1, id, DIGEST_BYTES) | sqlite3_bind_int64(st, 2, expires_s),
                         "marking a login attempt", &n);
    if (err != GW_OK)
        return err;
    q->n_attempts += n;
    return n == 0 ? GW_E_EXPIRED : GW_OK;
}

static enum gw_err sweep(struct sqlite *q, int64_t now_s, int64_t idle_s, size_t *ret_n_removed)
{
    sqlite3_stmt *st = q->stmts[STMT_SWEEP_SESSIONS];
    int n_sessions, n_attempts;
    enum gw_err err = set_durable(q, false);
    if (err != GW_OK)
        return err;
    int rc =
        sqlite3_bind_int64(st, 1, now_s) | sqlite3_bind_int64(st, 2, now_s - idle_s) | sqlite3_bind_int(st, 3, STORE_SWEEP_MAX);
    err = stmt_write(q, STMT_SWEEP_SESSIONS, rc, "sweeping sessions", &n_sessions);
    if (err != GW_OK)
        return err;
    q->n_sessions -= n_sessions;
    st = q->stmts[STMT_SWEEP_ATTEMPTS];
    rc = sqlite3_bind_int64(st, 1, now_s) | sqlite3_bind_int(st, 2, STORE_SWEEP_MAX - n_sessions);
    err = stmt_write(q, STMT_SWEEP_ATTEMPTS, rc, "sweeping login attempts", &n_attempts);
    if (err != GW_OK)
        return err;
    q->n_attempts -= n_attempts;
    *ret_n_removed = (size_t)(n_sessions + n_attempts);
    return GW_OK;
}

/* ---- the operations: each takes the lock around its statement ---- */

#define LOCKED(name, params, call)      \
    static enum gw_err name params      \
    {                                   \
        struct sqlite *q = of_store(s); \
        pthread_mutex_lock(&q->lock);   \
        enum gw_err err = call;         \
        pthread_mutex_unlock(&q->lock); \
        return err;                     \
    }

LOCKED(op_put, (struct store * s, const struct store_row *row), put(q, row))
LOCKED(op_get, (struct store * s, const uint8_t id[DIGEST_BYTES], struct store_row *ret_row), get(q, id, ret_row))
LOCKED(op_touch, (struct store * s, const uint8_t id[DIGEST_BYTES], int64_t seen_s), touch(q, id, seen_s))
LOCKED(op_delete, (struct store * s, const uint8_t id[DIGEST_BYTES]), delete (q, id))
LOCKED(op_use, (struct store * s, const uint8_t id[DIGEST_BYTES], int64_t expires_s), use_attempt(q, id, expires_s))
LOCKED(op_sweep, (struct store * s, int64_t now_s, int64_t idle_s, size_t *ret_n_removed), sweep(q, now_s, idle_s, ret_n_removed))

static const struct store_ops SQLITE_OPS = {
    .close = close_db,
    .session_put = op_put,
    .session_get = op_get,
    .session_touch = op_touch,
    .session_delete = op_delete,
    .use_once = op_use,
    .sweep = op_sweep,
};

static void log_refusal(const char *path, const char *reason)
{
    log_event(LOG_ERROR, "session store cannot be opened", LOG_KV("path", view_of(path)), LOG_KV("reason", view_of(reason)));
}

enum gw_err sqlite_open(const char *path, struct store **ret_store)
{
    bool is_memory = strcmp(path, ":memory:") == 0;
    if (!is_memory && make_file(path) != GW_OK) {
        log_refusal(path, strerror(errno));
        return GW_E_IO;
    }
    struct sqlite *q = calloc(1, sizeof(*q));
    if (q == NULL)
        return GW_E_NOMEM;
    q->base.ops = &SQLITE_OPS;
    pthread_mutex_init(&q->lock, NULL);
    enum gw_err err = open_db(q, path, is_memory);
    if (err != GW_OK) {
        log_refusal(path, err == GW_E_INVALID ? "not a session database of this version" : sqlite3_errmsg(q->db));
        close_db(&q->base);
        return err;
    }
    *ret_store = &q->base;
    return GW_OK;
}

const char *store_library_version(void)
{
    static const char text[] = "SQLite " SQLITE_VERSION;
    return text;
}

#include "store/sqlitelink.h"

#include "store/sqliteschema.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { BUSY_TIMEOUT_MS = 5000, PATH_BYTES_MAX = 4096, FILE_MODE = 0600 };

static const char SETTINGS[] = "PRAGMA synchronous = NORMAL;"
                               "PRAGMA secure_delete = ON;"            /* a row that was logged out leaves no bytes behind */
                               "PRAGMA cache_size = -8192;"            /* KiB */
                               "PRAGMA journal_size_limit = 16777216;" /* bytes that the WAL keeps after a checkpoint */
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA cell_size_check = ON;"
                               "PRAGMA trusted_schema = OFF;";

enum gw_err sqlitelink_exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? GW_OK : GW_E_IO;
}

enum gw_err sqlitelink_ask(sqlite3 *db, const char *sql, int64_t *ret_n)
{
    sqlite3_stmt *st = NULL;
    enum gw_err err = GW_E_IO;
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *ret_n = sqlite3_column_int64(st, 0);
        err = GW_OK;
    }
    sqlite3_finalize(st);
    return rc == SQLITE_NOTADB ? GW_E_INVALID : err;
}

/* ---- opening ---- */

static enum gw_err name_beside(const char *path, const char *suffix, char out[PATH_BYTES_MAX])
{
    int n = snprintf(out, PATH_BYTES_MAX, "%s%s", path, suffix);
    if (n >= 0 && n < PATH_BYTES_MAX)
        return GW_OK;
    errno = ENAMETOOLONG;
    return GW_E_IO;
}

static enum gw_err restrict_file(const char *path, const char *suffix)
{
    char name[PATH_BYTES_MAX];
    if (name_beside(path, suffix, name) != GW_OK)
        return GW_E_IO;
    return chmod(name, FILE_MODE) == 0 || errno == ENOENT ? GW_OK : GW_E_IO;
}

/* A file of its own, since closing a descriptor of the database would drop SQLite's locks on it (POSIX advisory locks). */
static enum gw_err lock_file(const char *path, int *ret_fd)
{
    char name[PATH_BYTES_MAX];
    if (name_beside(path, ".lock", name) != GW_OK)
        return GW_E_IO;
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0)
        return GW_E_IO;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int reason = errno;
        close(fd);
        errno = reason;
        return GW_E_IO;
    }
    *ret_fd = fd;
    return GW_OK;
}

/* SQLite gives its -wal and -shm the mode of the database, so it is enough to be first. */
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
static enum gw_err check_schema(sqlite3 *db, int64_t *ret_version)
{
    int64_t n_tables;
    enum gw_err err = sqlitelink_ask(db, "PRAGMA user_version", ret_version);
    if (err == GW_OK)
        err = sqlitelink_ask(db, "SELECT count(*) FROM sqlite_schema", &n_tables);
    if (err != GW_OK)
        return err;
    bool is_ours = *ret_version == 0 ? n_tables == 0 : *ret_version > 0 && *ret_version <= SQLITE_SCHEMA_VERSION;
    return is_ours ? GW_OK : GW_E_INVALID;
}

static enum gw_err migrate(sqlite3 *db, int64_t version)
{
    for (; version < SQLITE_SCHEMA_VERSION; version++)
        if (sqlitelink_exec(db, "BEGIN IMMEDIATE") != GW_OK || sqlitelink_exec(db, SQLITE_STEPS[version]) != GW_OK ||
            sqlitelink_exec(db, "COMMIT") != GW_OK)
            return GW_E_IO;
    return GW_OK;
}

/* *ret_db is to be closed also if this fails. */
static enum gw_err open_db(const char *path, bool is_memory, sqlite3 **ret_db)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (is_memory ? SQLITE_OPEN_MEMORY : 0);
    int64_t version;
    int rc = sqlite3_open_v2(path, ret_db, flags, NULL);
    sqlite3 *db = *ret_db;
    if (rc != SQLITE_OK)
        return GW_E_IO;
    sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
    enum gw_err err = check_schema(db, &version);
    if (err != GW_OK)
        return err;
    /* SQLite opens what it may not write read-only, without a word. WAL mode asks for the directory too. */
    if (sqlite3_db_readonly(db, "main") != 0 || sqlitelink_exec(db, "PRAGMA journal_mode = WAL") != GW_OK ||
        sqlitelink_exec(db, SETTINGS) != GW_OK)
        return GW_E_IO;
    return migrate(db, version);
}

static void log_refusal(const char *path, const char *reason)
{
    log_event(LOG_ERROR, "session store cannot be opened", LOG_KV("path", view_of(path)), LOG_KV("reason", view_of(reason)));
}

/* *ret_reason: NULL = errno says it. */
static enum gw_err claim_files(const char *path, int *ret_lock_fd, const char **ret_reason)
{
    /* By whatever name: SQLite follows links too. A file that is not there yet has only this one. */
    GW_CLEANUP(gw_freep) char *real = realpath(path, NULL);
    const char *file = real == NULL ? path : real;
    *ret_reason = NULL;
    if (lock_file(file, ret_lock_fd) != GW_OK) {
        if (errno == EWOULDBLOCK)
            *ret_reason = "another gateway uses it; several need session.store: postgres";
        return GW_E_IO;
    }
    return make_file(file);
}

enum gw_err sqlitelink_open(const char *path, struct sqlitelink *ret_link)
{
    bool is_memory = strcmp(path, ":memory:") == 0;
    struct sqlitelink l = {.lock_fd = -1};
    const char *reason = NULL;
    enum gw_err err = is_memory ? GW_OK : claim_files(path, &l.lock_fd, &reason);
    if (err != GW_OK) {
        log_refusal(path, reason != NULL ? reason : strerror(errno));
    } else {
        err = open_db(path, is_memory, &l.db);
        if (err != GW_OK)
            log_refusal(path, err == GW_E_INVALID ? "not a session database of this version" : sqlite3_errmsg(l.db));
    }
    if (err != GW_OK) {
        sqlitelink_close(&l);
        return err;
    }
    *ret_link = l;
    return GW_OK;
}

void sqlitelink_close(struct sqlitelink *l)
{
    sqlite3_close(l->db);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
}

/* As immutable, SQLite touches neither locks nor the -wal and -shm beside the file, which would be made in the name of whoever asks.
 * What only stands in the WAL is not seen: at worst an older version than there is, and that is taken too. */
enum gw_err sqlitelink_probe(const char *path)
{
    struct buf uri = BUF(4 * PATH_BYTES_MAX);
    sqlite3 *db = NULL;
    int64_t version;
    if (access(path, F_OK) != 0)
        return errno == ENOENT ? GW_OK : GW_E_IO;
    buf_puts(&uri, "file:");
    buf_put_percent(&uri, view_of(path));
    buf_puts(&uri, "?mode=ro&immutable=1");
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_URI;
    enum gw_err err = buf_ok(&uri) ? GW_OK : GW_E_LIMIT;
    if (err == GW_OK)
        err = sqlite3_open_v2(uri.p, &db, flags, NULL) == SQLITE_OK ? check_schema(db, &version) : GW_E_IO;
    sqlite3_close(db);
    buf_deinit(&uri);
    return err;
}

/* ---- statements ---- */

void sqlitecall_put_bytes(struct sqlitecall *c, const void *p, size_t n)
{
    c->rc |= sqlite3_bind_blob64(c->st, ++c->n, p == NULL ? "" : p, n, SQLITE_STATIC);
}

void sqlitecall_put_digest(struct sqlitecall *c, const uint8_t *digest)
{
    sqlitecall_put_bytes(c, digest, DIGEST_BYTES);
}

void sqlitecall_put_int(struct sqlitecall *c, int64_t n)
{
    c->rc |= sqlite3_bind_int64(c->st, ++c->n, n);
}

int sqlitecall_step(struct sqlitecall *c)
{
    if (c->rc == SQLITE_OK || c->rc == SQLITE_ROW)
        c->rc = sqlite3_step(c->st);
    return c->rc;
}

void sqlitecall_end(struct sqlitecall *c)
{
    sqlite3_reset(c->st);
    sqlite3_clear_bindings(c->st);
}

bool sqlitecall_get_digest(const struct sqlitecall *c, int i, uint8_t out[DIGEST_BYTES])
{
    if (sqlite3_column_type(c->st, i) != SQLITE_BLOB || sqlite3_column_bytes(c->st, i) != DIGEST_BYTES)
        return false;
    memcpy(out, sqlite3_column_blob(c->st, i), DIGEST_BYTES);
    return true;
}

bool sqlitecall_get_buf(const struct sqlitecall *c, int i, struct buf *out)
{
    int n = sqlite3_column_bytes(c->st, i);
    if (sqlite3_column_type(c->st, i) != SQLITE_BLOB || n < 0 || n > SQLITELINK_BYTES_MAX)
        return false;
    *out = BUF(SQLITELINK_BYTES_MAX);
    buf_put(out, view_at(sqlite3_column_blob(c->st, i), (size_t)n));
    return buf_ok(out);
}

bool sqlitecall_are_ints(const struct sqlitecall *c, int first, int last)
{
    for (int i = first; i <= last; i++)
        if (sqlite3_column_type(c->st, i) != SQLITE_INTEGER)
            return false;
    return true;
}

/* sqlitelink: the file of sqlite.c, and its statements bit by bit.
 *
 * Shape: one gateway per file: sqlitelink_open() takes a lock on <file>.lock, makes the file with mode 0600, migrates it and sets WAL.
 * Errors: GW_E_INVALID a file of another kind, or written by a newer version: it stays as it is. GW_E_IO everything else.
 * Why the file was refused is logged here. Threads: one at a time. */
#pragma once

#include "util/buf.h"
#include "util/digest.h"

#include <sqlite3.h>

enum { SQLITELINK_BYTES_MAX = 256 * 1024 };

struct sqlitelink {
    sqlite3 *db;
    int lock_fd; /* -1: in memory */
};

/* path: ":memory:" for tests. */
enum gw_err sqlitelink_open(const char *path, struct sqlitelink *ret_link) GW_MUST_CHECK;
/* After its statements. */
void sqlitelink_close(struct sqlitelink *l);
/* See store_probe(). */
enum gw_err sqlitelink_probe(const char *path) GW_MUST_CHECK;

enum gw_err sqlitelink_exec(sqlite3 *db, const char *sql) GW_MUST_CHECK;
/* The one integer that a query answers. */
enum gw_err sqlitelink_ask(sqlite3 *db, const char *sql, int64_t *ret_n) GW_MUST_CHECK;

/* A statement whose parameters are bound one after the other; what is bound is borrowed until the end. */
struct sqlitecall {
    sqlite3_stmt *st;
    int n, rc;
};

void sqlitecall_put_bytes(struct sqlitecall *c, const void *p, size_t n);
void sqlitecall_put_digest(struct sqlitecall *c, const uint8_t *digest);
void sqlitecall_put_int(struct sqlitecall *c, int64_t n);
/* SQLITE_ROW, SQLITE_DONE or an error, of the binding too. */
int sqlitecall_step(struct sqlitecall *c);
void sqlitecall_end(struct sqlitecall *c);

/* Of the row; false if it has another type or length. */
bool sqlitecall_get_digest(const struct sqlitecall *c, int i, uint8_t out[DIGEST_BYTES]);
/* At most SQLITELINK_BYTES_MAX. */
bool sqlitecall_get_buf(const struct sqlitecall *c, int i, struct buf *out);
bool sqlitecall_are_ints(const struct sqlitecall *c, int first, int last);

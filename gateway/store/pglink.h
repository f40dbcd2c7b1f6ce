/* pglink: one connection to PostgreSQL, on which nothing waits for ever.
 *
 * Shape: a connection string as libpq takes it, key=value pairs or a URI. Statements are prepared on first use and travel in
 * binary: bytea as it is, bigint as int64_t.
 * TLS as sslmode says, and verify-full unless it says something: libpq alone would try TLS and go on without. `allow` and `prefer`
 * are refused, since they do that when asked.
 * Units: a connection takes PGLINK_CONNECT_S for each address unless connect_timeout says otherwise; a call PGLINK_CALL_MS, of
 * which the server gives up PGLINK_SERVER_MS itself. When ours has passed, the connection is closed and not cancelled: a cancel is
 * another connection, made without a deadline, to a server that has just not answered.
 * Errors: GW_E_LIMIT the server said configuration_limit_exceeded; GW_E_INVALID a connection string that is none, or refused;
 * GW_E_IO everything else: pglink_reason() tells. After GW_E_IO a link is of no use any more.
 * Threads: one at a time. Not here: what is asked, postgres; who uses which connection, pgpool. */
#pragma once

#include "util/buf.h"

enum {
    PGLINK_CONNECT_S = 3,
    PGLINK_SERVER_MS = 4000,
    PGLINK_CALL_MS = 5000,
    PGLINK_MIGRATE_MS = 60000,
    PGLINK_PING_MS = 2000,
    PGLINK_ARGS_MAX = 12,
    PGLINK_REASON_MAX = 256,
    PGLINK_STATEMENTS_MAX = 32,
};

struct pglink;

/* Judges a connection string without connecting. GW_E_INVALID: reason says what is wrong and what helps, without the string. */
enum gw_err pglink_check(const char *dsn, char reason[PGLINK_REASON_MAX]) GW_MUST_CHECK;

/* setup: commands for every new connection, or NULL. */
enum gw_err pglink_open(const char *dsn, const char *setup, struct pglink **ret_link, char reason[PGLINK_REASON_MAX])
    GW_MUST_CHECK;
void pglink_close(struct pglink *l); /* NULL is fine */
/* False if the server has closed it meanwhile, as far as that is known here; asks nobody. */
bool pglink_is_alive(struct pglink *l);
/* One line; borrowed until the next call. */
const char *pglink_reason(const struct pglink *l);

/* --- asking --- */

struct pglink_args {
    const char *values[PGLINK_ARGS_MAX];
    int lengths[PGLINK_ARGS_MAX];
    uint8_t ints[PGLINK_ARGS_MAX][8];
    int n;
};
/* Borrowed until the call is done. NULL with n 0 is the empty value. */
void pglink_args_bytes(struct pglink_args *a, const void *p, size_t n);
void pglink_args_int(struct pglink_args *a, int64_t n);
void pglink_args_null(struct pglink_args *a);

struct pglink_rows; /* opaque: the answer */

/* id: below PGLINK_STATEMENTS_MAX, always the same for the same sql. ret_rows: the caller's; NULL if they are of no interest. */
enum gw_err pglink_call(struct pglink *l, unsigned id, const char *sql, const struct pglink_args *args,
                        struct pglink_rows **ret_rows) GW_MUST_CHECK;
/* Commands without parameters; of several answers the last. timeout_ms: ours; the server's is what was set. */
enum gw_err pglink_exec(struct pglink *l, const char *sql, int64_t timeout_ms, struct pglink_rows **ret_rows) GW_MUST_CHECK;

size_t pglink_rows_count(const struct pglink_rows *r);
/* False if the value is NULL or, for int, not a bigint. A view is borrowed from the rows. */
bool pglink_rows_bytes(const struct pglink_rows *r, size_t row, size_t column, struct view *ret_value);
bool pglink_rows_int(const struct pglink_rows *r, size_t row, size_t column, int64_t *ret_value);
void pglink_rows_free(struct pglink_rows *r); /* NULL is fine */

/* --- listening --- */

int pglink_fd(const struct pglink *l);
/* What has arrived on channels that were LISTENed to. GW_E_IO: the connection is gone. */
enum gw_err pglink_notices(struct pglink *l, void (*fn)(void *arg, struct view payload), void *arg) GW_MUST_CHECK;

/* "libpq 15.18" */
const char *pglink_library_version(void);

static inline void pglink_rows_freep(struct pglink_rows **pp)
{
    pglink_rows_free(*pp);
}

/* pgpool: the connections to PostgreSQL that the job threads share.
 *
 * Shape: take one, ask, give it back. At most PGPOOL_MAX are out; who finds none waits PGPOOL_WAIT_MS. One that the server closed while
 * it lay idle is replaced before it is handed out, so a server that was restarted is noticed by nobody. While the server cannot be
 * reached one caller at a time tries, at growing intervals up to PGPOOL_RETRY_MAX_MS; the others fail at once.
 * Errors: as pglink; reason says why. Threads: any. */
#pragma once

#include "store/pglink.h"

enum { PGPOOL_MAX = 4, PGPOOL_WAIT_MS = 5000, PGPOOL_RETRY_MIN_MS = 100, PGPOOL_RETRY_MAX_MS = 2000 };

struct pgpool;

/* Connects to nobody yet. Both texts are copied. */
enum gw_err pgpool_new(const char *dsn, const char *setup, struct pgpool **ret_pool) GW_MUST_CHECK;
/* When all are given back. */
void pgpool_free(struct pgpool *p);
/* For the connections made from now on: a password that was changed, for example. Copied; not judged here. */
enum gw_err pgpool_use_dsn(struct pgpool *p, struct view dsn) GW_MUST_CHECK;

enum gw_err pgpool_take(struct pgpool *p, struct pglink **ret_link, char reason[PGLINK_REASON_MAX]) GW_MUST_CHECK;
/* is_fine: false closes it. */
void pgpool_give(struct pgpool *p, struct pglink *l, bool is_fine);
/* One beside the pool: the caller's, for pglink_close(). */
enum gw_err pgpool_open(struct pgpool *p, struct pglink **ret_link, char reason[PGLINK_REASON_MAX]) GW_MUST_CHECK;

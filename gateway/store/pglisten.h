/* pglisten: hears on a connection and a thread of its own what other replicas change, and tells the store's watcher.
 *
 * Shape: payloads are e (ended), c (changed) or u (unknown), the id in hex, a space, and who tells; our own are passed over, since the
 * call that did it has told. Each time the connection is made, STORE_UNKNOWN is told: what was said before went unheard.
 * A connection is asked for a sign of life every PGLISTEN_PING_MS, so that one that was cut without a word is known to be deaf
 * after PGLISTEN_PING_MS + PGLINK_PING_MS at most.
 * Owns: borrows pool and store, which outlive it. Threads: one of its own; pglisten_is_hearing() from any. */
#pragma once

#include "store/backend.h"
#include "store/pgpool.h"

enum { PGLISTEN_PING_MS = 1000, PGLISTEN_RETRY_MS = 500, PGLISTEN_TELLER_LEN = 16 };

struct pglisten;

/* teller: PGLISTEN_TELLER_LEN characters, borrowed: what our own connections tell as. */
enum gw_err pglisten_start(struct pgpool *pool, const struct store *store, const char *teller, struct pglisten **ret)
    GW_MUST_CHECK;
/* Waits for the thread, which may be connecting: PGLINK_CONNECT_S for each address. */
void pglisten_stop(struct pglisten *l); /* NULL is fine */
bool pglisten_is_hearing(const struct pglisten *l);

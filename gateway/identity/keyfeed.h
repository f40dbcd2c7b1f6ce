/* keyfeed: somebody's signing keys, kept fresh from one place: a JWK set at a URL or in a file.
 *
 * Shape: read at the start, every KEYFEED_REFRESH_MS, and when somebody misses a key: one reading at a time, KEYFEED_GAP_MS after the last one
 * at the earliest; who asks sooner waits. A reading that fails is repeated after delays from KEYFEED_GAP_MS to KEYFEED_RETRY_MAX_MS and changes
 * nothing, until the last good one is KEYFEED_STALE_MS old: then no key is believed any more. Why it fails is logged, once per reason.
 * Errors: keyfeed_await() GW_E_LIMIT too many wait, GW_E_IO closing, GW_E_NOMEM.
 * Owns: url, path, loop, jobs and fetcher are borrowed. Freed when jobs and fetcher have ended what they had under way.
 * Threads: the loop's. Source: RFC 7517 5. Not here: OpenID Connect providers, whose keys provider looks after. */
#pragma once

#include "identity/keyset.h"
#include "net/fetch.h"
#include "util/jobs.h"

enum {
    KEYFEED_WAITERS_MAX = 1024,
    KEYFEED_GAP_MS = 1000,
    KEYFEED_RETRY_MAX_MS = 30 * 1000,
    KEYFEED_REFRESH_MS = 5 * 60 * 1000,
    KEYFEED_STALE_MS = 60 * 60 * 1000,
    KEYFEED_TIMEOUT_MS = 5000,
};

struct keyfeed;

struct keyfeed_spec {
    struct loop *loop;
    struct fetcher *fetcher; /* for url */
    struct jobs *jobs;       /* for path */
    const char *url, *path;  /* one of them; the other NULL */
    int64_t gap_ms;          /* 0 = KEYFEED_GAP_MS */
};

enum gw_err keyfeed_new(const struct keyfeed_spec *spec, struct keyfeed **ret_feed) GW_MUST_CHECK;
void keyfeed_start(struct keyfeed *f);
/* NULL = none, or stale. Borrowed until the next reading, so until the caller returns to the loop. */
struct keyset *keyfeed_keys(const struct keyfeed *f);
/* fn is called once, later: a reading has ended. */
enum gw_err keyfeed_await(struct keyfeed *f, void (*fn)(void *arg), void *arg) GW_MUST_CHECK;
/* Calls all who wait; nothing is read from now on. */
void keyfeed_close(struct keyfeed *f);
void keyfeed_free(struct keyfeed *f);

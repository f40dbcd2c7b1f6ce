/* visibility: probes whether a repository is public, and remembers.
 *
 * Shape: an anonymous GET of <forge url>/<owner>/<name>.git/info/refs?service=git-upload-pack: 200 with that service's
 * content type and first packet line = public; 401, 403, 404 = private; anything else = unknown, which everyone must treat as private.
 * Public and private are kept VISIBILITY_TTL_S, unknown VISIBILITY_UNKNOWN_TTL_S; one probe per repository at a time over all loops.
 * Errors: none: failure is VISIBILITY_UNKNOWN. Owns: copies what it needs.
 * Threads: visibility_find from any; visibility_ask on the loop whose fetcher is given; fn comes back on that loop.
 * Source: PLATFORM 4.2, git's http-protocol (smart clients). */
#pragma once

#include "forge/repo.h"
#include "net/fetch.h"

enum {
    VISIBILITY_TTL_S = 300,
    VISIBILITY_UNKNOWN_TTL_S = 30,
    VISIBILITY_ENTRIES_MAX = 10000,
    VISIBILITY_PROBES_MAX = 64,
    VISIBILITY_WAITERS_MAX = 1024,
    VISIBILITY_TIMEOUT_MS = 5000
};

enum visibility_value {
    VISIBILITY_PENDING = 0, /* not known yet: ask */
    VISIBILITY_UNKNOWN,     /* asked, no answer */
    VISIBILITY_PRIVATE,
    VISIBILITY_INTERNAL,
    VISIBILITY_PUBLIC,
};

struct visibility;
typedef void (*visibility_fn)(void *arg, enum visibility_value value);

enum gw_err visibility_new(struct visibility **ret_visibility) GW_MUST_CHECK;
/* After the loops have stopped and their fetchers are gone, before the loops are freed; who still waits is not called. */
void visibility_free(struct visibility *v);
/* From memory; VISIBILITY_PENDING if not there. Takes a short lock, never held over I/O. */
enum visibility_value visibility_find(struct visibility *v, const struct repo *r);
/* Probes, or joins the probe under way. fn is called exactly once, later (at once only if there is neither memory nor room in the loop's
 * queue); a full table calls it with VISIBILITY_UNKNOWN, and so does a deadline a second after VISIBILITY_TIMEOUT_MS. */
void visibility_ask(struct visibility *v, struct loop *l, struct fetcher *f, const struct repo *r, visibility_fn fn, void *arg);
const char *visibility_name(enum visibility_value v); /* "public", "private", "internal", "unknown"; pending is "unknown" */

/* assertion: says to a workspace who is asking, signed: a JWT that it can check by itself (ES256).
 *
 * Shape: header alg, kid, typ; claims iss (our public URL), sub, name, email, groups, repo, aud (the workspace's id), sid, iat, exp, jti; those
 * without a value are empty. sid is a digest of the provider's, the same as long as the session lives, "" for who has none; it opens nothing.
 * Signed once for a principal and a workspace, and reused for ASSERTION_REUSE_S: it is then still valid for as long again.
 * Memory: signatures are kept, not tokens: the claims are written anew each time from the principal at hand, so that no mistake in the
 * cache can ever say that somebody is another (the signature would not fit). A fixed table for each maker, whose pages are taken as they are
 * used; where it is full, the oldest signature of eight goes. A principal's serial stands for its claims: new claims, new signature.
 * Cost: about a microsecond for a kept signature, 30 for a new one.
 * Errors: GW_E_LIMIT longer than asked for: never cut; GW_E_IO the library failed; GW_E_NOMEM. assertion_maker_new() as signkey_ring_parse().
 * Threads: a maker belongs to one loop. Source: DESIGN 4; RFC 7519 4.1, RFC 7515 7.1, RFC 7518 3.4. */
#pragma once

#include "identity/principal.h"
#include "util/arena.h"

enum {
    ASSERTION_LIFETIME_S = 60,
    ASSERTION_REUSE_S = 30,
    ASSERTION_MAX_BYTES = 8192,
    ASSERTION_CACHE_BYTES = 4 * 1024 * 1024,
    ASSERTION_JWKS_AGE_S = 300, /* how long a verifier may go without asking for the keys again */
};

struct assertion_maker;

struct assertion_ask {
    const struct principal *who;
    struct view audience, repo;
    size_t max_bytes; /* at most ASSERTION_MAX_BYTES */
};

/* pem: as in signkey.h. issuer is copied. cache_bytes: 0 = ASSERTION_CACHE_BYTES. */
enum gw_err assertion_maker_new(struct view pem, struct view issuer, size_t cache_bytes, struct assertion_maker **ret_maker)
    GW_MUST_CHECK;
void assertion_maker_free(struct assertion_maker *m);
/* *ret_token lies in the arena. */
enum gw_err assertion_make(struct assertion_maker *m, const struct assertion_ask *ask, int64_t now_s, struct arena *a,
                           struct view *ret_token) GW_MUST_CHECK;
/* The JWK set for /_repogate/jwks; borrowed from m. */
struct view assertion_jwks(const struct assertion_maker *m);

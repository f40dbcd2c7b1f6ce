/* pending: a login under way, kept by the browser in one sealed cookie per attempt, and taken once.
 *
 * Shape: the cookie is named <prefix><attempt id>; `state` begins with the attempt id, so the callback finds its cookie, and
 * parallel tabs don't disturb each other. The cookie's value is b64url of version | created_ms | need | state | nonce | verifier | rd,
 * sealed; it stays below 3 KiB. Whoever opens one compares the whole state (pending_has_state) and then marks it used
 * (pending_use) before the code is redeemed.
 * Units: created_ms in milliseconds since 1970, fine enough to tell a login from the logout just before it; an attempt lives
 * PENDING_LIFE_S from then.
 * Errors: GW_E_INVALID not ours or changed; GW_E_EXPIRED outside its time, or used before.
 * Source: RFC 6749 10.12 (state), OpenID Connect Core 3.1.2.1 (nonce), RFC 7636 4.1 and 4.2 (verifier, S256).
 * Threads: values; pending_use() as session.h. Not here: whether rd may be redirected to. */
#pragma once

#include "store/store.h"
#include "util/jobs.h"
#include "util/seal.h"

enum {
    PENDING_LIFE_S = 600,
    PENDING_SKEW_S = 60,          /* how far another replica's clock may be ahead */
    PENDING_PER_BROWSER = 5,      /* attempts kept, the one about to be added included */
    PENDING_COOKIES_BYTES = 4096, /* of names and values kept; NGINX takes Cookie headers up to 8 KiB by default */
    PENDING_DROPS_MAX = 8,        /* deletions in one answer, whose head must stay small */
    PENDING_RD_MAX = 2048,
    PENDING_ATTEMPT_LEN = 22, /* 128 random bits in b64url */
    PENDING_RANDOM_LEN = 43,  /* 256 */
    PENDING_STATE_LEN = PENDING_ATTEMPT_LEN + PENDING_RANDOM_LEN,
};

struct pending {
    char state[PENDING_STATE_LEN + 1];
    char nonce[PENDING_RANDOM_LEN + 1];
    char verifier[PENDING_RANDOM_LEN + 1];
    char rd[PENDING_RD_MAX + 1];
    int64_t created_ms;
    int64_t need;             /* the stronger login that the provider is asked for, as session.h packs it; 0 = none */
    uint8_t id[DIGEST_BYTES]; /* SHA-256 of state: its name in the store */
};

/* rd that is empty, over PENDING_RD_MAX or has a control byte becomes "/". Without a need. GW_E_IO no random bytes. */
enum gw_err pending_new(struct view rd, int64_t now_ms, struct pending *ret_pending) GW_MUST_CHECK;
/* Appends the cookie's value. */
enum gw_err pending_seal(const struct seal_ring *ring, const struct pending *p, struct buf *out) GW_MUST_CHECK;
enum gw_err pending_open(const struct seal_ring *ring, struct view cookie_value, int64_t now_s, struct pending *ret_pending)
    GW_MUST_CHECK;
/* In constant time. */
bool pending_has_state(const struct pending *p, struct view state);

/* Appends the name of the cookie that a state belongs to. GW_E_INVALID for what cannot be a state of ours. */
enum gw_err pending_cookie_name(struct buf *out, struct view prefix, struct view state) GW_MUST_CHECK;

struct pending_cookie {
    struct view name, value;
};
/* Which of the browser's attempts (names with the prefix; others are left alone) to delete so that one of new_bytes (name
 * and value) fits: those that don't open, then the oldest. Gives their places in cookies; at most PENDING_DROPS_MAX, the rest
 * goes next time. */
size_t pending_find_drops(const struct seal_ring *ring, struct view prefix, const struct pending_cookie *cookies,
                          size_t n_cookies, size_t new_bytes, int64_t now_s, size_t ret_drops[PENDING_DROPS_MAX]);

/* b64url(SHA-256(verifier)), NUL-terminated. */
enum gw_err pending_challenge(struct view verifier, char out[PENDING_RANDOM_LEN + 1]) GW_MUST_CHECK;

typedef void (*pending_fn)(void *arg, enum gw_err err);
/* Marks the attempt used, through the job pool. fn is called later on l, exactly once, if this returns GW_OK: GW_OK go on;
 * GW_E_EXPIRED used before; GW_E_IO, GW_E_LIMIT the store failed or is full. Here: GW_E_LIMIT pool full, GW_E_NOMEM. */
enum gw_err pending_use(struct store *store, struct jobs *jobs, struct loop *l, const struct pending *p, pending_fn fn, void *arg)
    GW_MUST_CHECK;

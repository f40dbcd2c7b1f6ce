/* provider: Authentik, as one worker thread sees it: discovery, keys, logins redeemed, bearer tokens checked.
 *
 * Shape: made once per worker thread, on its loop, over its fetcher; shares nothing. It looks after itself: discovery and keys
 * are
 * fetched at start, retried with delays from 0.5 s to 30 s while that fails, and the keys read anew every
 * PROVIDER_KEYS_MAX_AGE_MS or when a
 * token names an unknown kid (one fetch at a time, at most one per PROVIDER_KEYS_MIN_MS).
 * Callbacks run on the loop's thread. A callback may call any function here but provider_free().
 * Errors: GW_E_UPSTREAM the provider refused or answered nonsense, GW_E_TIMEOUT, GW_E_LIMIT a cap below, GW_E_INVALID what the
 * outside brought does not hold, GW_E_EXPIRED outside its time, GW_E_IO the provider object is going away, GW_E_NOMEM.
 * Owns: strings of the spec are borrowed and outlive the provider, as do loop and fetcher.
 * Threads: all on the loop's own thread.
 * Source: OpenID Connect Core 3.1, 5.3 and 12, Discovery 4, RP-Initiated Logout 2, RFC 6749 4.1, RFC 7636, RFC 6750.
 * Not here: cookies and sessions (handlers, store), what a claim means (principal), what may be done (policy). */
#pragma once

#include "identity/principal.h"
#include "net/fetch.h"
#include "store/session.h"
#include "util/secretfile.h"

enum {
    PROVIDER_WAITERS_MAX = 1024,
    PROVIDER_LOGINS_MAX = 256,                 /* redemptions under way */
    PROVIDER_ATTEMPT_MIN_MS = 1000,            /* between two attempts to become ready that callers trigger */
    PROVIDER_KEYS_MIN_MS = 10 * 1000,          /* between two fetches of keys that callers trigger */
    PROVIDER_KEYS_MAX_AGE_MS = 15 * 60 * 1000, /* a key withdrawn in silence is gone after this */
    PROVIDER_RETRY_FIRST_MS = 500,
    PROVIDER_RETRY_LAST_MS = 30 * 1000,
};

struct provider;

struct provider_spec {
    const char *issuer;
    const char *internal_url; /* base for back-channel URLs instead of the issuer's scheme and authority; "" = none */
    const char *client_id;
    const char *client_secret;             /* NULL: that of client_secret_file, as it is when it is needed */
    struct secretfile *client_secret_file; /* borrowed */
    const char *const *scopes;
    size_t n_scopes;
    const char *const *algorithms; /* names as in sigalg_name() */
    size_t n_algorithms;
    const char *redirect_uri;
};

/* GW_E_INVALID: a URL that cannot be parsed, an unknown algorithm or none, HS256 with a secret under HS256_SECRET_MIN bytes. */
enum gw_err provider_new(const struct provider_spec *spec, struct loop *l, struct fetcher *f, struct provider **ret_provider)
    GW_MUST_CHECK;
/* Whoever waits is called with GW_E_IO. */
void provider_free(struct provider *p);

/* Begins discovery. Why it fails is logged, once per reason. */
void provider_start(struct provider *p);
/* Discovery and a usable set of keys are there. */
bool provider_is_ready(const struct provider *p);
/* Why not ready, one line, or "". Borrowed until the next call back from the loop. */
const char *provider_trouble(const struct provider *p);
/* Calls fn once: when the provider is ready, or with the error of the attempt that was waited for. It may be called before this
 * returns: ready already, too many wait (GW_E_LIMIT), or an attempt failed less than PROVIDER_ATTEMPT_MIN_MS ago (its error).
 * */
void provider_when_ready(struct provider *p, void (*fn)(void *arg, enum gw_err err), void *arg);

/* --- logging people in --- */

struct provider_authorize {
    struct view state, nonce, code_challenge; /* the challenge is S256's */
    bool is_prompted;                         /* the person must prove who they are even if the provider knows (prompt=login) */
    int64_t max_age_s;                        /* how long ago they may have done so; 0 = not said */
};
/* Appends the URL for the browser. GW_E_UPSTREAM: not ready. */
enum gw_err provider_authorize_url(const struct provider *p, const struct provider_authorize *a, struct buf *out) GW_MUST_CHECK;

struct provider_login {
    struct principal *who;   /* borrowed during the callback: principal_ref() to keep */
    struct view claims_json; /* ID token merged with userinfo, as a session stores it */
    struct view id_token, access_token;
    struct view refresh_token; /* empty if there is none */
    int64_t access_expires_s;
    int64_t issued_s; /* iat of the ID token */
};

/* login: borrowed during the callback; NULL unless err is GW_OK. detail: one line for the log, without secrets; "" if err is
 * GW_OK. */
typedef void (*provider_login_fn)(void *arg, enum gw_err err, const char *detail, const struct provider_login *login);

/* Redeems the code, checks everything, reads userinfo; waits for the provider first if it is not ready.
 * fn is called exactly once, later, unless an error is returned here. To fn, GW_E_INVALID is also a code that the provider
 * refused. */
enum gw_err provider_redeem(struct provider *p, struct view code, struct view code_verifier, struct view nonce,
                            provider_login_fn fn, void *arg) GW_MUST_CHECK;

/* How sessions are kept fresh; for the provider's loop. Borrows p. */
struct session_renewer provider_renewer(struct provider *p);

/* GW_E_NOTFOUND: the provider has no such endpoint. GW_E_UPSTREAM: not ready. Empty arguments are left out. */
enum gw_err provider_end_session_url(const struct provider *p, struct view id_token_hint, struct view post_logout_redirect_uri,
                                     struct view state, struct buf *out) GW_MUST_CHECK;

/* --- logging people out --- */

enum provider_check {
    PROVIDER_CHECK_REFUSED, /* *ret_reason says why in a few words, a constant */
    PROVIDER_CHECK_VALID,
    PROVIDER_CHECK_PENDING,     /* fn is called exactly once, later; then check again */
    PROVIDER_CHECK_UNAVAILABLE, /* the provider cannot be asked for its keys */
};
struct provider_logout {            /* borrowed until the next check of a token */
    struct view iss, sid, sub, jti; /* one of sid and sub may be empty */
    int64_t issued_s, expires_s;
};
/* A logout token of OpenID Connect Back-Channel Logout 1.0. Whether its jti was seen before is not looked at here. */
enum provider_check provider_check_logout(struct provider *p, struct view token, struct provider_logout *ret_logout,
                                          const char **ret_reason, void (*fn)(void *arg), void *arg) GW_MUST_CHECK;
/* Whether provider_end_session_url() can give one. */
bool provider_can_end_session(const struct provider *p);

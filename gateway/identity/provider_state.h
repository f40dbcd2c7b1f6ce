/* provider_state: what the files of the provider share; for them alone.
 *
 * provider.c looks after discovery and keys, provider_redeem.c after logins, provider_userinfo.c after what userinfo says,
 * provider_machine.c after what only programs need; machine.c puts these together. */
#pragma once

#include "identity/authcode.h"
#include "identity/discovery.h"
#include "identity/provider.h"
#include "identity/uplink.h"
#include "identity/verifier.h"
#include "util/digest.h"

enum { PROVIDER_DETAIL_MAX = 1024 };

struct provider_waiter;

struct provider {
    struct loop *loop;
    struct view issuer;
    struct authcode_client client;
    struct secretfile *secret_file; /* NULL: the secret in client is fixed */
    struct secrettext *secret;      /* what client.client_secret points into */
    uint32_t secret_generation;
    bool is_alg_allowed[SIGALG_COUNT];
    bool is_repogate_requested;
    bool is_closing;

    struct uplink *uplink;
    struct verifier *verifier;
    struct discovery *discovery;       /* NULL until read */
    struct keyset *keys;               /* NULL until read */
    uint8_t keys_digest[DIGEST_BYTES]; /* of the document that keys came from */
    uint32_t keys_generation;          /* counts other sets of keys: what an old one verified may be verified no more */

    struct loop_timer timer; /* the next attempt */
    int64_t retry_ms;
    bool is_attempting;
    int64_t attempt_ended_ms; /* 0 = none yet */
    enum gw_err attempt_err;
    struct buf trouble;  /* of the last attempt; "" if it succeeded */
    struct buf reported; /* what was logged last */

    struct provider_waiter *waiters;
    size_t n_waiters;
    size_t n_logins; /* each waits in the uplink or among the waiters */
};

/* client and verifier know the secret that is in the file now. Before every use of either; earlier views of it end. */
void provider_renew_secret(struct provider *p);

/* Joins the fetch of metadata and keys under way, or begins one if the last ended at least min_gap_ms ago. GW_OK: one of ready
 * and again (the other is
 * NULL) will be called, later. GW_E_NOTFOUND: the last one succeeded just now, another would bring nothing; otherwise its
 * error, or GW_E_LIMIT, GW_E_IO. */
enum gw_err provider_await(struct provider *p, int64_t min_gap_ms, void (*ready)(void *arg, enum gw_err err),
                           void (*again)(void *arg), void *arg) GW_MUST_CHECK;

/* --- userinfo --- */

enum userinfo_result {
    USERINFO_UNREACHABLE, /* no answer, or none that can be read: says nothing about the token or the person */
    USERINFO_REFUSED,     /* 401 or 403: the token is not, or no longer, good for it */
    USERINFO_UNFIT,       /* about somebody else, or claims that make no principal */
    USERINFO_GIVEN,
};

/* err: GW_OK if and only if GIVEN. detail: one line for the log; "" if GIVEN. The rest is borrowed during the callback. */
struct userinfo {
    enum userinfo_result result;
    enum gw_err err;
    const char *detail;
    bool is_another;        /* UNFIT: about another sub */
    struct pack_val claims; /* GIVEN: the claims asked with, and userinfo's over them */
    struct principal *who;  /* GIVEN: made of these; may lack groups (principal_missing) */
};
typedef void (*userinfo_fn)(void *arg, const struct userinfo *u);

/* Asks the provider who stands behind the token now (OpenID Connect Core 5.3). claims: a verified token's, with its sub; copied.
 * Whoever asks for a token that is not new hands in provider_put_token_claims() of it: else what the person has lost since
 * would come back from the token. fn is called exactly once, later, unless an error is returned. GW_E_UPSTREAM: not ready. */
enum gw_err provider_userinfo(struct provider *p, struct view access_token, struct pack_val claims, enum principal_via via,
                              userinfo_fn fn, void *arg) GW_MUST_CHECK;
/* Appends a map of what a token says about itself and its login: iss, sub, sid, exp, scope and the like. All others are about the
 * person. */
enum gw_err provider_put_token_claims(struct pack_val claims, struct buf *out) GW_MUST_CHECK;

/* --- machines --- */

/* An access token of this issuer for this client. *ret_claims: borrowed from the verifier until its next check. GW_E_NOTFOUND: its
 * key is not known, or the provider is not ready; otherwise as verifier_check(). */
enum gw_err provider_verify_access(struct provider *p, struct view token, struct pack_val *ret_claims, const char **ret_reason)
    GW_MUST_CHECK;

/* err: GW_OK the provider vouches for the token; claims: what it says of it, iss, sub, exp and aud checked like a token's own.
 * GW_E_INVALID it does not, or for another client or issuer; anything else: it could not be asked, which says nothing.
 * detail: a constant, or one line without anything that was sent. */
typedef void (*introspect_fn)(void *arg, enum gw_err err, const char *detail, struct pack_val claims);
/* RFC 7662. fn is called exactly once, later, unless an error is returned. GW_E_NOTFOUND: the provider has no such endpoint. */
enum gw_err provider_introspect(struct provider *p, struct view token, introspect_fn fn, void *arg) GW_MUST_CHECK;

/* err: GW_OK and an access token; GW_E_INVALID wrong user or password, which of them nobody learns; else as above. */
typedef void (*app_grant_fn)(void *arg, enum gw_err err, const char *detail, struct view access_token);
/* Authentik's client_credentials grant with a user's app password. */
enum gw_err provider_grant_app(struct provider *p, struct view username, struct view password, app_grant_fn fn, void *arg)
    GW_MUST_CHECK;

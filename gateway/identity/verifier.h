/* verifier: turns a compact JWT into claims that have been checked.
 *
 * Shape: in: ASCII, three dot-separated parts of strict base64url, at most VERIFIER_TOKEN_MAX bytes. Out: the payload as a
 * packed map. Which algorithm counts is said by our list and by the key's type, never by the token; its `alg` must agree.
 * Checked: signature; no crit, b64, jku, jwk, x5u, x5c, zip, enc in the header; typ; iss exact; aud our client (a string, or a
 * list of just it);
 * sub; exp, nbf, iat, auth_time whole and sane; and the purpose:
 *   ID token      iat; the nonce of this login; not all of azp, uid, scope, which together mark Authentik's access tokens; no events
 *   refreshed ID token  the same with any nonce or none: nobody waits for one (OpenID Connect Core 12.2)
 *   access token  azp our client, uid and scope; no events
 *   logout token  typ logout+jwt, or JWT as older Authentiks send it; iat, jti, events with the back-channel member, sid or sub
 *                 or both; no nonce, not all of azp, uid, scope. Without exp (Authentik 2025.8.0, typ JWT) it is good for
 *                 VERIFIER_LOGOUT_AGE_S from iat
 *   assertion     iat; typ JWT: what a gateway says to a workspace, whose id is the client here
 * Units: seconds since 1970; VERIFIER_LEEWAY_S at both ends, VERIFIER_ASSERTION_LEEWAY_S for assertions, which live for a minute only.
 * Errors: GW_E_INVALID malformed, wrong signature, another's token; GW_E_EXPIRED outside its time; GW_E_NOTFOUND no key with
 * that kid (fetch the keys anew); GW_E_LIMIT too long; GW_E_NOMEM. `*ret_reason` names the rule in a few words for log and
 * audit.
 * Owns: strings of the spec and the keyset are borrowed. Claims are borrowed from the verifier until its next check.
 * Threads: a verifier keeps scratch memory and belongs to one thread.
 * Source: RFC 7515 4.1 and 5.2, RFC 7519 4.1 and 7.2, RFC 8725 3, OpenID Connect Core 3.1.3.7, RFC 9068 2.1, OpenID Connect
 * Back-Channel Logout 1.0 2.4 and 2.6. */
#pragma once

#include "identity/keyset.h"
#include "util/pack.h"

enum { VERIFIER_TOKEN_MAX = 16 * 1024, VERIFIER_LEEWAY_S = 60, VERIFIER_ASSERTION_LEEWAY_S = 5, VERIFIER_LOGOUT_AGE_S = 300 };

enum verifier_purpose {
    VERIFIER_ID_TOKEN,
    VERIFIER_REFRESHED_ID_TOKEN,
    VERIFIER_ACCESS_TOKEN,
    VERIFIER_LOGOUT_TOKEN,
    VERIFIER_ASSERTION
};

struct verifier_spec {
    struct view issuer;
    struct view client_id;
    struct view secret;                /* for HS256 */
    bool is_alg_allowed[SIGALG_COUNT]; /* by enum sigalg */
};

struct verifier;

enum gw_err verifier_new(const struct verifier_spec *spec, struct verifier **ret_verifier) GW_MUST_CHECK;
void verifier_free(struct verifier *v);
/* Another secret from now on; borrowed like the spec's. One under HS256_SECRET_MIN verifies nothing. */
void verifier_set_secret(struct verifier *v, struct view secret);

/* ks may be NULL: no keys. nonce: what an ID token must repeat; not looked at for others. */
enum gw_err verifier_check(struct verifier *v, struct keyset *ks, struct view jwt, enum verifier_purpose purpose,
                           struct view nonce, struct pack_val *ret_claims, const char **ret_reason) GW_MUST_CHECK;

static inline void verifier_freep(struct verifier **pp)
{
    verifier_free(*pp);
}

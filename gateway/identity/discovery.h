/* discovery: the provider's metadata, read and checked.
 *
 * Shape: in: the JSON document. Out: the endpoints, each an absolute URL that uri_parse() accepts; https, unless the issuer
 * itself is http.
 * Checked: issuer exactly ours (a trailing slash counts); the endpoints that we need are there; S256 and one of our algorithms
 * are offered, where the provider says what it offers.
 * Errors: GW_E_UPSTREAM with one line in `why`; GW_E_NOMEM.
 * Owns: the caller frees it. Threads: immutable. Source: OpenID Connect Discovery 1.0, 3 and 4.3; RFC 8414 2. */
#pragma once

#include "identity/keyset.h"
#include "util/buf.h"

struct discovery {
    char *authorization_endpoint, *token_endpoint, *userinfo_endpoint, *jwks_uri;
    char *end_session_endpoint, *introspection_endpoint; /* NULL = none */
};

/* is_alg_allowed: by enum sigalg. why: text is appended on failure. */
enum gw_err discovery_parse(struct view json, struct view issuer, const bool is_alg_allowed[SIGALG_COUNT],
                            struct discovery **ret_discovery, struct buf *why) GW_MUST_CHECK;
void discovery_free(struct discovery *d);

static inline void discovery_freep(struct discovery **pp)
{
    discovery_free(*pp);
}

/* authcode: the texts of the authorization code grant with PKCE: the URLs for the browser, the form for the token endpoint, and
 * its answer.
 *
 * Shape: client_secret_post, because Authentik decodes the parts of a Basic header only since 2026.2. S256 always.
 * Errors: GW_E_UPSTREAM an answer that is not what RFC 6749 5.1 says; GW_E_INVALID the code was refused (invalid_grant);
 * one line in `why` without secrets; GW_E_NOMEM.
 * Owns: views of the tokens are borrowed from the block they were parsed into. Threads: any.
 * Source: RFC 6749 4.1 and 5, RFC 7636 4.3 and 4.5, OpenID Connect Core 3.1.2.1 and 3.1.3.3, RP-Initiated Logout 2. */
#pragma once

#include "util/buf.h"

enum { AUTHCODE_TOKEN_MAX = 16 * 1024, AUTHCODE_EXPIRES_MAX_S = 10 * 365 * 24 * 3600 };

struct authcode_client {
    struct view client_id, client_secret, redirect_uri;
    const char *const *scopes;
    size_t n_scopes;
};

struct authcode_request {
    struct view state, nonce, code_challenge;
    bool is_prompted;  /* prompt=login */
    int64_t max_age_s; /* 0 = left out; Authentik ignores 0 too */
};
void authcode_put_url(struct buf *out, const struct authcode_client *c, struct view endpoint, const struct authcode_request *r);
void authcode_put_form(struct buf *out, const struct authcode_client *c, struct view code, struct view code_verifier);
/* RFC 6749 6. Without scope: the same as before. */
void authcode_put_refresh_form(struct buf *out, const struct authcode_client *c, struct view refresh_token);
/* RP-initiated logout; empty parameters are left out. */
void authcode_put_end_session(struct buf *out, struct view endpoint, struct view id_token_hint,
                              struct view post_logout_redirect_uri, struct view state);

struct authcode_tokens {
    struct view id_token; /* empty if there is none: a login needs one, a refresh does not */
    struct view access_token;
    struct view refresh_token; /* empty if there is none */
    int64_t expires_in_s;      /* 0 = not said */
};

/* block: empty; holds what ret_tokens points into. */
enum gw_err authcode_parse_tokens(struct view json, struct buf *block, struct authcode_tokens *ret_tokens, struct buf *why)
    GW_MUST_CHECK;
/* It names an error (RFC 6749 5.2): the request was understood, and not carried out. */
bool authcode_is_refusal(int status, struct view json);
/* Whether an access token is one that can be verified. */
bool authcode_is_jwt(struct view token);
/* The answer with another status than 200. Never GW_OK. */
enum gw_err authcode_parse_error(int status, struct view json, struct buf *why) GW_MUST_CHECK;

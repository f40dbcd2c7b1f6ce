/* uplink: the way to the provider: one HTTP exchange with one of its endpoints.
 *
 * Shape: a URL on the issuer's scheme and authority goes to the internal base instead, if there is one; Host stays the
 * issuer's, since the provider
 * builds `iss` from it, and X-Forwarded-Proto names the issuer's scheme where the internal one differs. Other URLs go where
 * they say.
 * Errors: as fetch_start(); GW_E_IO while the uplink is being freed.
 * Owns: fetcher, issuer and internal URL are borrowed. fn is called exactly once, later, unless an error is returned; what is
 * still under way
 * when the uplink is freed ends with GW_E_IO then and there.
 * Threads: the fetcher's loop. */
#pragma once

#include "net/fetch.h"

enum { UPLINK_URL_MAX = 8192, UPLINK_HEADER_MAX = 32 * 1024 };

struct uplink;

/* internal_url: empty = none. GW_E_INVALID: a URL that cannot be parsed, or one with a query. */
enum gw_err uplink_new(struct fetcher *f, struct view issuer, struct view internal_url, struct uplink **ret_uplink) GW_MUST_CHECK;
void uplink_free(struct uplink *u);

/* bearer: the token for Authorization; empty = none. */
enum gw_err uplink_get(struct uplink *u, struct view url, struct view bearer, fetch_fn fn, void *arg) GW_MUST_CHECK;
/* What may be done once only: never sent a second time, and the answer's is_unsent tells whether it was. */
enum gw_err uplink_post_once(struct uplink *u, struct view url, struct view form, fetch_fn fn, void *arg) GW_MUST_CHECK;
enum gw_err uplink_post(struct uplink *u, struct view url, struct view form, fetch_fn fn, void *arg) GW_MUST_CHECK;

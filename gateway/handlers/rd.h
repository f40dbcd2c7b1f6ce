/* rd: where a browser goes after the login.
 *
 * Shape: in: the query of /_repogate/login. Out: a target on our own origin, `/path[?query]`; "/" for anything else, so
 * that a bad rd is never an open redirect and never an error.
 * Accepted: an absolute path, or an absolute URL of exactly public_url's origin, percent-encoded; or, since NGINX cannot encode it, a raw
 * tail after `rd=` as the first parameter, if it starts with `/` or `http(s)://` (then the rest of the query belongs to it).
 * Never below our own prefixes. Threads: values. Source: DESIGN 5; WHATWG URL for what browsers take for a host. */
#pragma once

/* In the query of a login, before `rd`: whoever the provider knows is to be asked for anew, since it is to be somebody else. */
#define LOGIN_FRESH_FIELD "fresh"

#include "util/arena.h"
#include "util/uri.h"

enum { RD_MAX_BYTES = 2048 };

/* What of the query is ours to read: nothing if it is a raw tail, whose parameters are those of the address. */
struct view rd_own_query(struct view query);
struct view rd_pick(struct view query, const struct uri *public_uri, struct arena *a);

/* ratelimit: logins that one client address may begin and finish in a minute, and one person finish (server.logins_per_minute); requests
 * of nobody known (server.anonymous_per_minute).
 *
 * Threads: the exchange's loop. Source: DESIGN 4, `rate_limited`. */
#pragma once

#include "http/exchange.h"
#include "identity/principal.h"
#include "util/ipaddr.h"

enum ratelimit_thing { RATELIMIT_LOGIN, RATELIMIT_CALLBACK, RATELIMIT_PERSON };

/* False: too many, and the exchange is answered (429). */
bool ratelimit_admits(struct exchange *x, enum ratelimit_thing thing);
/* One more session for who has just logged in; false: too many, *ret_retry_s says when again. The caller answers. */
bool ratelimit_admits_person(struct exchange *x, const struct principal *who, int64_t *ret_retry_s);
/* One more request of nobody; likewise. An address that is not told is never limited: all would share it. */
bool ratelimit_admits_nobody(struct exchange *x, const struct ipaddr *client, int64_t *ret_retry_s);
void ratelimit_put_retry(struct exchange *x, int64_t retry_s);

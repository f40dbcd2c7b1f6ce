/* ratelimit: logins that one client address may begin and finish in a minute (server.logins_per_minute).
 *
 * Threads: the exchange's loop. Source: DESIGN 4, `rate_limited`. */
#pragma once

#include "http/exchange.h"

enum ratelimit_thing { RATELIMIT_LOGIN, RATELIMIT_CALLBACK };

/* False: too many, and the exchange is answered (429). */
bool ratelimit_admits(struct exchange *x, enum ratelimit_thing thing);

/* guard: the front inside a workspace: only requests with an assertion made for this workspace and its owner get to the IDE behind it.
 *
 * Checked: the header is there once and nothing looks like it; ES256 by a key of the gateway's; iss, aud, sub exactly; iat and exp. Everything
 * else is 403 with a reason, and a line in the log; 503 while there are no keys. A missed key is waited for, GUARD_WAITS_MAX readings long.
 * Passed on: the request as it came, Host, cookies and what the gateway says of the person included, without the assertion, which the IDE
 * and what runs in it have no use for. Two paths are the guard's own and need no assertion: GUARD_LIVE answers 200 as long as the
 * loop turns, GUARD_READY when there are keys and the IDE's port is open.
 * Owns: the struct and all that it points to are the app's. Threads: one loop. Source: DESIGN 2 and 4; THREATS D. */
#pragma once

#include "http/exchange.h"
#include "identity/keyfeed.h"
#include "identity/verifier.h"
#include "proxy/upstream.h"

#include <stdatomic.h>

#define GUARD_LIVE "/_repogate/healthz"
#define GUARD_READY "/_repogate/readyz"

enum { GUARD_WAITS_MAX = 2, GUARD_PROBE_MS = 1000 };

struct guard {
    struct keyfeed *keys;
    struct verifier *verifier;    /* issuer and audience, ES256 alone */
    struct upstream_pool *probes; /* for GUARD_READY */
    struct view owner;            /* sub */
    struct view upstream;         /* host:port */
    atomic_bool is_draining;
};

/* x->core->guard, relays and tunnels are set. */
void guard_handle(struct exchange *x);
/* A request that request_check() refused. */
void guard_refuse(struct exchange *x, enum request_fault fault);

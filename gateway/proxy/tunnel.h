/* tunnel: carries bytes between two sockets after an upgrade, bounded and with back-pressure.
 *
 * Shape: both sockets non-blocking; each direction buffers at most TUNNEL_WINDOW_BYTES, allocated only while bytes wait.
 * Half-close is passed on. Ends when both directions have, on an error, after TUNNEL_IDLE_MS without a byte, when its guard says
 * so, or with its pool.
 * Errors: GW_E_LIMIT TUNNEL_MAX open, or more early bytes than a window holds; GW_E_NOMEM; GW_E_IO.
 * Owns: the tunnel closes both sockets. Threads: belongs to one loop. */
#pragma once

#include "util/buf.h"
#include "util/loop.h"
#include "util/view.h"

enum { TUNNEL_WINDOW_BYTES = 64 * 1024, TUNNEL_IDLE_MS = 3600 * 1000, TUNNEL_MAX = 20000, TUNNEL_GUARD_MS = 500 };

struct tunnel_pool;

/* Whoever was let in may have to go while bytes still flow. */
struct tunnel_guard {
    bool (*is_over)(void *arg); /* asked every TUNNEL_GUARD_MS: must be quick. NULL: never asked */
    void (*release)(void *arg); /* once, when the tunnel has ended, or could not be started */
    void *arg;
};

enum gw_err tunnel_pool_new(struct loop *l, struct tunnel_pool **ret_pool) GW_MUST_CHECK;
/* Cuts all that are open. */
void tunnel_pool_free(struct tunnel_pool *p);
/* client_early, workspace_early: bytes already read from each side. Closes both sockets on error too. guard: copied. */
enum gw_err tunnel_start(struct tunnel_pool *p, int client_fd, struct view client_early, int workspace_fd,
                         struct view workspace_early, const struct tunnel_guard *guard) GW_MUST_CHECK;
size_t tunnel_count(const struct tunnel_pool *p);
/* Memory that waiting bytes hold now. */
size_t tunnel_pool_window_bytes(const struct tunnel_pool *p);
/* Another idle time than TUNNEL_IDLE_MS, for tunnels started from now on. */
void tunnel_pool_set_idle(struct tunnel_pool *p, int64_t idle_ms);

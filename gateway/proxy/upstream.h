/* upstream: sockets to workspaces: names resolved, connected without blocking, kept alive between requests.
 *
 * Shape: address is host:port: an IPv4 address, an IPv6 address in brackets, or a name. Names are resolved on the job pool, one job per
 * name at a time, and remembered for a while; the addresses found are tried in turn until the connect time-out.
 * Errors: GW_E_INVALID no such form; GW_E_LIMIT too many names under way; GW_E_UPSTREAM unknown name or refused; GW_E_TIMEOUT.
 * Owns: an upstream belongs to whoever opened it until upstream_put(), upstream_close() or upstream_take_fd().
 * Threads: a pool and its sockets belong to one loop. */
#pragma once

#include "util/jobs.h"
#include "util/loop.h"
#include "util/view.h"

enum { UPSTREAM_ADDRESS_MAX = 253 + 1 + 5 };

struct upstream_pool;
struct upstream;

struct upstream_limits {
    int64_t connect_ms;  /* resolving included */
    int64_t idle_ms;     /* how long a kept socket waits for its next request */
    size_t idle_max;     /* kept sockets, over all addresses */
    int64_t resolved_ms; /* how long a name's addresses are believed */
};

struct upstream_events {
    /* Once, never before upstream_open() returned, and only for a socket that was not kept: GW_OK, or why not. After a failure the caller
     * still closes it. */
    void (*opened)(void *arg, enum gw_err err, const char *detail);
    void (*ready)(void *arg, uint32_t events);
};

/* No limits are set yet: upstream_pool_set_limits() comes next. */
enum gw_err upstream_pool_new(struct loop *l, struct jobs *resolver, struct upstream_pool **ret_pool) GW_MUST_CHECK;
/* Every upstream must be put or closed before. */
void upstream_pool_free(struct upstream_pool *p);
void upstream_pool_set_limits(struct upstream_pool *p, const struct upstream_limits *limits);

/* UPSTREAM_KEPT: any kept socket. UPSTREAM_KEPT_CHECKED: only one that has not been closed so far as the kernel knows, for a request
 * that must not be sent twice. UPSTREAM_FRESH: none. */
enum upstream_choice { UPSTREAM_FRESH, UPSTREAM_KEPT, UPSTREAM_KEPT_CHECKED };

enum gw_err upstream_open(struct upstream_pool *p, struct view address, enum upstream_choice choice,
                          const struct upstream_events *ev, void *arg, struct upstream **ret_upstream) GW_MUST_CHECK;
/* The socket was kept and can be used at once; `opened` will not be called. */
bool upstream_is_kept(const struct upstream *u);
int upstream_fd(const struct upstream *u);
/* Which of EPOLLIN and EPOLLOUT to be told of; 0 = nothing at all, not even that the peer has gone. */
enum gw_err upstream_want(struct upstream *u, uint32_t events) GW_MUST_CHECK;
/* Consumes it: keeps the socket for the next request. The answer must have been read to its end. */
void upstream_put(struct upstream *u);
void upstream_close(struct upstream *u); /* NULL is fine */
/* Consumes it and hands out the socket, which belongs to the caller now. */
int upstream_take_fd(struct upstream *u);
size_t upstream_pool_idle(const struct upstream_pool *p);

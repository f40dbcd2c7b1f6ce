/* listener: turns libmicrohttpd's callbacks into exchanges, and their answers back into its responses.
 *
 * Shape: one listener per port and loop; libmicrohttpd runs with an external epoll inside that loop, so a request stays on its core. Several
 * listeners share a port by SO_REUSEPORT. The facts this rests on are those of libmicrohttpd 0.9.75: see listener.c.
 * Errors: GW_E_IO the address cannot be bound. Threads: belongs to its loop. */
#pragma once

#include "http/exchange.h"
#include "util/loop.h"

enum {
    LISTENER_CONNECTIONS_MAX = 20000, /* per core */
    LISTENER_IDLE_MS = 75000, /* a head, and a form, must be whole this long after the last answer, or after the connection */
    LISTENER_STALL_S = 300,   /* no byte either way while answering */
    LISTENER_DISCARD_MAX = 8 * 1024 * 1024, /* of a body that is no longer wanted */
};

enum listener_body { LISTENER_BODY_IGNORED, LISTENER_BODY_FORM, LISTENER_BODY_STREAMED };

struct listener_spec {
    struct core *core;
    struct loop *loop;
    int fd; /* listening socket, from listener_bind(); owned by the listener from then on */
    const struct ipnet *trusted;
    size_t n_trusted;
    /* Decides before the body what becomes of it. */
    enum listener_body (*body)(const struct request *r);
    exchange_fn handle;
    /* Answers a request that request_check() refused; must reply at once. */
    void (*refuse)(struct exchange *x, enum request_fault fault);
};

struct listener;

/* Binds and listens; host is an IP address, "" for all. Port 0: the kernel's choice is written back. */
enum gw_err listener_bind(const char *host, uint16_t *port, int *ret_fd) GW_MUST_CHECK;
enum gw_err listener_new(const struct listener_spec *spec, struct listener **ret_listener) GW_MUST_CHECK;
/* Accepts no connection from now on; answers go on, and each ends its connection. */
void listener_quiesce(struct listener *l);
/* No handler is called from now on: a request that was not begun ends its connection. Any thread may call. */
void listener_stop(struct listener *l);
/* Requests under way; any thread may ask. */
size_t listener_active(const struct listener *l);
/* Every exchange must have replied before; open connections are closed. */
void listener_free(struct listener *l);
const char *listener_library_version(void);

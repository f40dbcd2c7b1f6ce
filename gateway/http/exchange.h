/* exchange: one request on its way to its answer; what a handler holds.
 *
 * Shape: a handler is called once. It fills `response` and calls exchange_reply(), at once or later on the same loop, exactly
 * once; or exchange_stream() for a body that is pulled; or exchange_upgrade(). Until then the exchange stays alive, even if the
 * client leaves; `on_done` is called when it is over, whatever happened, and frees what the handler holds.
 * Owns: the server owns exchanges; `arena` lives until after on_done. Threads: one loop each. */
#pragma once

#include "http/response.h"
#include "util/arena.h"

enum { EXCHANGE_ARENA_MAX = 1024 * 1024 };

struct core; /* what one core has: handlers/core.h */
struct exchange;

typedef void (*exchange_fn)(struct exchange *x);

/* The answer's body, pulled by the server. */
struct exchange_source {
    /* Up to n bytes; 0 with *ret_end false = wait for exchange_wake(). *ret_failed ends the connection, so that a cut body is not taken for a whole one. */
    size_t (*read)(struct exchange *x, char *out, size_t n, bool *ret_end, bool *ret_failed);
    int64_t length; /* -1 = unknown */
};

/* The request's body, pushed by the server. */
struct exchange_sink {
    /* Takes up to n bytes; 0 = wait for exchange_wake(). */
    size_t (*write)(struct exchange *x, const char *p, size_t n);
    void (*end)(struct exchange *x);
};

/* What the server does for handlers. */
struct exchange_ops {
    void (*reply)(struct exchange *x);
    void (*stream)(struct exchange *x, const struct exchange_source *source);
    void (*wake)(struct exchange *x);
    void (*take_body)(struct exchange *x, const struct exchange_sink *sink);
    void (*upgrade)(struct exchange *x, void (*fn)(struct exchange *x, int fd, struct view early));
    struct view (*local)(struct exchange *x);
};

struct exchange {
    struct request request;
    struct response response;
    struct arena arena;
    struct core *core;
    const struct exchange_ops *ops;
    struct view form;    /* the whole body, for routes that want a form */
    void *state;         /* the handler's */
    exchange_fn on_done; /* or NULL */
};

/* Sends `response`. */
static inline void exchange_reply(struct exchange *x)
{
    x->ops->reply(x);
}

/* Sends the head of `response`, then the body as the source gives it. */
static inline void exchange_stream(struct exchange *x, const struct exchange_source *source)
{
    x->ops->stream(x, source);
}

/* The source has bytes, or the sink has room, again. */
static inline void exchange_wake(struct exchange *x)
{
    x->ops->wake(x);
}

/* From now on the request's body goes to the sink. Only for a request that has one, before any answer. */
static inline void exchange_take_body(struct exchange *x, const struct exchange_sink *sink)
{
    x->ops->take_body(x, sink);
}

/* Sends `response` as 101 and hands over the client's socket (owned by fn) with the bytes that came early. */
static inline void exchange_upgrade(struct exchange *x, void (*fn)(struct exchange *x, int fd, struct view early))
{
    x->ops->upgrade(x, fn);
}

/* host:port at which the peer has reached us, from the arena; p == NULL if that cannot be had. */
static inline struct view exchange_local(struct exchange *x)
{
    return x->ops->local(x);
}

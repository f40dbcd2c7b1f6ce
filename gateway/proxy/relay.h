/* relay: one HTTP/1.1 exchange with a workspace, streamed both ways with bounded memory, on plain sockets in the loop.
 *
 * Shape: relay_start() sends the head; the request body is pushed in with relay_write(), the answer's body pulled out with
 * relay_read(). Buffers are RELAY_WINDOW_BYTES each way; a full one pauses the other side (back-pressure). Keep-alive connections are
 * pooled per address; an idempotent request without a body is tried once more if a pooled socket turns out stale. Redirects are not followed.
 * The answer is parsed strictly: repeated or odd lengths, unknown transfer codings, a status outside 100 to 599, an unasked 101, an
 * endless head are GW_E_UPSTREAM and end the connection (RFC 9112 6).
 * Errors (through `failed`): GW_E_UPSTREAM refused or nonsense, GW_E_TIMEOUT, GW_E_LIMIT (pool full).
 * Owns: a relay belongs to the caller until relay_free(), which may be called at any time, in callbacks too.
 * Threads: a pool and its relays belong to one loop. */
#pragma once

#include "util/buf.h"
#include "util/jobs.h"
#include "util/loop.h"

enum {
    RELAY_WINDOW_BYTES = 64 * 1024,
    RELAY_HEAD_MAX_BYTES = 32 * 1024,
    RELAY_HEADERS_MAX = 100,
    RELAY_CONNECT_TIMEOUT_MS = 5000,
    RELAY_FIRST_BYTE_TIMEOUT_MS = 60000,
    RELAY_IDLE_TIMEOUT_MS = 300000,
    RELAY_POOL_IDLE_MS = 30000,
    RELAY_POOL_IDLE_MAX = 64,
    RELAY_ACTIVE_MAX = 4096,
    RELAY_RESOLVED_TTL_MS = 30000,
};

struct relay_pool;
struct relay;

struct relay_header {
    struct view name, value;
};

struct relay_request {
    struct view address; /* host:port to connect to: an IP address, or a name (resolved on the job pool) */
    struct view method;
    struct view target;                 /* origin form, sent byte for byte */
    struct view host;                   /* Host header */
    const struct relay_header *headers; /* already filtered and attributed; no Host, no framing, no hop-by-hop */
    size_t n_headers;
    bool has_body;
    bool is_chunked;
    uint64_t content_length; /* if has_body and not is_chunked */
    bool wants_upgrade;      /* send Connection: Upgrade, Upgrade: websocket; 101 is then allowed */
};

struct relay_head {
    int status;
    const struct relay_header *headers; /* hop-by-hop and framing fields left out; borrowed until relay_free() */
    size_t n_headers;
    bool has_body;          /* false for HEAD, 1xx, 204, 304 */
    int64_t content_length; /* -1 unknown; for HEAD what the workspace said */
};

struct relay_events {
    void (*head)(void *arg, const struct relay_head *head); /* once */
    void (*readable)(void *arg);                            /* body bytes wait, or the end came */
    void (*writable)(void *arg);                            /* there is room for more of the request's body */
    /* Instead of head, or after it and after all bytes that came before the failure were read; nothing comes afterwards. detail is a constant. */
    void (*failed)(void *arg, enum gw_err err, const char *detail);
};

enum gw_err relay_pool_new(struct loop *l, struct jobs *resolver, struct relay_pool **ret_pool) GW_MUST_CHECK;
/* Every relay must be freed before. */
void relay_pool_free(struct relay_pool *p);

struct relay_limits {
    int64_t connect_ms, first_byte_ms, idle_ms, pool_idle_ms, resolved_ttl_ms;
    size_t pool_idle_max, active_max;
};
#define RELAY_LIMITS                                                                                                         \
    ((struct relay_limits){RELAY_CONNECT_TIMEOUT_MS, RELAY_FIRST_BYTE_TIMEOUT_MS, RELAY_IDLE_TIMEOUT_MS, RELAY_POOL_IDLE_MS, \
                           RELAY_RESOLVED_TTL_MS, RELAY_POOL_IDLE_MAX, RELAY_ACTIVE_MAX})
/* Other limits than RELAY_LIMITS, for relays started from now on. */
void relay_pool_set_limits(struct relay_pool *p, const struct relay_limits *limits);
/* Memory that bodies under way hold now; at most 2 * RELAY_WINDOW_BYTES for each relay. */
size_t relay_pool_window_bytes(const struct relay_pool *p);
/* Connections kept for the next request. */
size_t relay_pool_idle(const struct relay_pool *p);

/* Copies what it needs of the request. No event is called before it returns. GW_E_LIMIT, GW_E_NOMEM, GW_E_INVALID (a byte that could inject). */
enum gw_err relay_start(struct relay_pool *p, const struct relay_request *req, const struct relay_events *ev, void *arg,
                        struct relay **ret_relay) GW_MUST_CHECK;
void relay_free(struct relay *r);
/* Takes up to n bytes of the request's body, returns how many fitted. Once the answer is complete or the workspace reads no more, all
 * are taken and dropped. A body longer or shorter than content_length fails with GW_E_INVALID: it never reaches the workspace as whole. */
size_t relay_write(struct relay *r, const char *p, size_t n);
void relay_write_end(struct relay *r);
/* Gives up to n bytes of the answer's body; 0 with *ret_is_end false = wait for readable. */
size_t relay_read(struct relay *r, char *out, size_t n, bool *ret_is_end);
/* Bytes that wait now, and whether the end has come behind them: lets small answers be sent in one piece. */
size_t relay_available(const struct relay *r, bool *ret_is_end);
/* After a 101: the workspace's socket (owned by the caller now) and what came behind the head. -1 if there is none, or no room in early. */
int relay_take_socket(struct relay *r, struct buf *early);

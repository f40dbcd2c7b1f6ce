/* fetch: one bounded HTTP exchange with another server (libcurl multi in the loop).
 *
 * Shape: in: URL, method, headers, body. Out: status, body up to max_bytes, a few headers. Redirects are not followed; the
 * environment's proxies are not used; TLS certificates are verified.
 * Errors: GW_E_TIMEOUT, GW_E_LIMIT (answer over max_bytes or FETCH_HEAD_MAX_BYTES, or FETCH_WAITING_MAX under way), GW_E_UPSTREAM (no
 * connection, TLS, broken answer), GW_E_INVALID (a URL or header that could inject, a spec over its caps).
 * Owns: everything in the spec is copied; the answer is borrowed during the callback. Threads: a fetcher belongs to one loop.
 * The process must ignore SIGPIPE: OpenSSL writes to its sockets with plain write(). */
#pragma once

#include "util/loop.h"
#include "util/view.h"

enum { FETCH_WAITING_MAX = 1024, FETCH_TIMEOUT_MS = 10000, FETCH_BYTES_MAX = 1024 * 1024 };
enum {
    FETCH_HEAD_MAX_BYTES = 64 * 1024, /* of an answer, interim ones and trailers included */
    FETCH_SPEC_HEADERS_MAX = 32,
    FETCH_SPEC_VALUE_MAX = 32 * 1024,
    FETCH_SPEC_BODY_MAX = 256 * 1024,
    FETCH_IDLE_CONNECTIONS_MAX = 64,
};

struct fetcher;

struct fetch_header {
    const char *name;
    struct view value;
};

struct fetch_spec {
    const char *method; /* "GET", "POST" */
    struct view url;
    struct view host; /* Host header if another than the URL's; empty otherwise */
    const struct fetch_header *headers;
    size_t n_headers;
    struct view body;    /* POST: sent as application/x-www-form-urlencoded unless a Content-Type is given */
    int64_t timeout_ms;  /* 0 = FETCH_TIMEOUT_MS */
    size_t max_bytes;    /* 0 = FETCH_BYTES_MAX */
    bool head_is_enough; /* past max_bytes the exchange ends with GW_OK and what came so far */
    bool is_sent_once;   /* over a new connection: curl sends a request again if a kept one turns out to be dead */
};

/* Why there is no answer, where an operator would do something else about it. */
enum fetch_trouble {
    FETCH_FAILED_OTHERWISE,
    FETCH_UNRESOLVED,  /* the name has no address */
    FETCH_UNCONNECTED, /* nobody listens there, or the way is barred */
    FETCH_UNTRUSTED,   /* the certificate is of an unknown authority, for another name, or outside its time */
    FETCH_NO_TLS,      /* no common TLS; often a server that speaks plain HTTP there */
};

struct fetch_answer {
    enum gw_err err;            /* GW_OK: the rest is filled */
    enum fetch_trouble trouble; /* when err is not GW_OK */
    int64_t date_s;             /* the server's clock, from Date; 0 = it does not say */
    int status;
    struct view body;
    struct view content_type;
    struct view retry_after;
    const char *detail; /* one line for the operators' log when err is not GW_OK; never NULL */
    bool is_unsent;     /* not a byte of the request has left us, so the server cannot have acted on it */
};

typedef void (*fetch_fn)(void *arg, const struct fetch_answer *answer);

/* ca_file: NULL for the system's. */
enum gw_err fetcher_new(struct loop *l, const char *ca_file, struct fetcher **ret_fetcher) GW_MUST_CHECK;
/* Ends what is under way with GW_E_IO, callbacks included; not to be called from one of them. */
void fetcher_free(struct fetcher *f);
/* fn is called exactly once, later, unless an error is returned here. */
enum gw_err fetch_start(struct fetcher *f, const struct fetch_spec *spec, fetch_fn fn, void *arg) GW_MUST_CHECK;
/* Of libcurl and what it was built with; for `repogate version`. */
const char *fetch_library_version(void);

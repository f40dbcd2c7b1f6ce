/* rawcall: sends bytes as they are, over TCP or TLS, and gives back the bytes that come: for requests that no client would send.
 *
 * Shape: a new connection for each call, to the URL's host and port and nowhere else (no proxy of the environment); TLS for https, verified,
 * ALPN http/1.1. It ends when is_whole() says so, when the other side closes, at the time limit or at the cap of answer.
 * Errors: GW_E_UPSTREAM no connection or no TLS; GW_E_TIMEOUT nothing came in time; GW_E_INVALID no http or https URL; GW_E_NOMEM. A connection that
 * was closed or reset without a byte is GW_OK and an empty answer: for a malformed request that is one.
 * Threads: one; blocks, at most timeout_ms. The process ignores SIGPIPE from then on (see net/fetch). */
#pragma once

#include "util/buf.h"

enum { RAWCALL_DETAIL_MAX = 256 };

struct rawcall_spec {
    const char *url;     /* of which scheme, host and port count */
    const char *ca_file; /* NULL for the system's authorities */
    struct view bytes;
    int64_t timeout_ms; /* for all of it */
    bool (*is_whole)(void *arg, struct view bytes);
    void *arg;
};

/* answer: appended to. detail: one line for people when it is not GW_OK. */
enum gw_err rawcall(const struct rawcall_spec *spec, struct buf *answer, char detail[RAWCALL_DETAIL_MAX]) GW_MUST_CHECK;

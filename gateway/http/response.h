/* response: the answer being built.
 *
 * Shape: status, headers, and a body in memory. Names are literals or live as long as the request; values and body are
 * borrowed from the request's arena or static. Adding past RESPONSE_HEADERS_MAX, or a value with a byte that could start another
 * field, marks the response failed: the server then sends a bare 500 instead. Threads: one. */
#pragma once

#include "http/header.h"

enum { RESPONSE_HEADERS_MAX = 128 };

struct response {
    int status; /* 0 = not answered yet */
    struct header headers[RESPONSE_HEADERS_MAX];
    size_t n_headers;
    struct view body;
    bool failed;
};

void response_reset(struct response *r);
void response_add(struct response *r, struct view name, struct view value);

#define response_put(r, literal, value) response_add((r), VIEW(literal), (value))

/* question: writes the head of a request to a workspace, anew from parsed parts.
 *
 * Errors: GW_E_INVALID for a byte that could inject, or a field that is ours to write (Host, framing, Connection, Upgrade); GW_E_LIMIT
 * past RELAY_HEAD_MAX_BYTES or RELAY_HEADERS_MAX; GW_E_NOMEM. Threads: any. Source: RFC 9112 3, 6; RFC 9110 8.6. */
#pragma once

#include "proxy/relay.h"

/* out: empty, its cap RELAY_HEAD_MAX_BYTES. */
enum gw_err question_format(const struct relay_request *req, struct buf *out) GW_MUST_CHECK;
/* Idempotent (RFC 9110 9.2.2) and without a body: sending it twice does no harm. */
bool question_is_repeatable(const struct relay_request *req);

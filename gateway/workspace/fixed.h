/* fixed: the `static` driver: workspaces that run already, found by one URL with placeholders.
 *
 * Shape: url: `http://authority/path`. `{forge}`, `{owner}`, `{name}`, `{user}` stand for whole path segments and are filled in
 * percent-encoded; `{id}` stands for one whole label of the authority (driver_format_id). Everything else is literal.
 * Values that would climb in the path (empty, `.`, `..`, also between slashes or backslashes) are GW_E_INVALID when they are routed.
 * Errors: fixed_new() GW_E_INVALID with what is wrong, and what was expected, in `why`. Threads: immutable. Source: DESIGN 3. */
#pragma once

#include "workspace/driver.h"

enum { FIXED_URL_MAX = 2048 };

/* host: the Host header to send, literal; "" or NULL = the authority of url. */
enum gw_err fixed_new(const char *url, const char *host, struct driver **ret_driver, char *why, size_t why_cap) GW_MUST_CHECK;

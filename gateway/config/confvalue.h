/* confvalue: parses the scalars of a configuration from their text. Strict: one spelling per value where that is not unkind.
 *
 * Errors: GW_E_INVALID for everything else than what is named. Outputs change only on success. Threads: values. */
#pragma once

#include "util/ipaddr.h"
#include "util/uri.h"

/* true or false; yes, on and 1 are refused, since readers of YAML differ about them. */
enum gw_err confvalue_parse_bool(struct view text, bool *ret_value) GW_MUST_CHECK;
/* Digits and one unit of s, m, h, d: at least 1 second, at most CONFVALUE_DURATION_MAX_S. */
enum { CONFVALUE_DURATION_MAX_S = 365 * 86400 };
enum gw_err confvalue_parse_duration(struct view text, int64_t *ret_s) GW_MUST_CHECK;
/* host:port, :port (host becomes "") or [ipv6]:port; the host in canonical form, without brackets. */
enum gw_err confvalue_parse_address(struct view text, char host[IPADDR_TEXT_MAX + 1], uint16_t *ret_port) GW_MUST_CHECK;
/* host or host:port as a Host header carries it (RFC 9110 7.2). */
bool confvalue_is_host(struct view text);
/* workspace.url: {forge} {owner} {name} {user} as whole path segments, {id} as one whole DNS label, plain http, no query.
 * Returns what is wrong, or NULL. */
const char *confvalue_check_template(struct view text);

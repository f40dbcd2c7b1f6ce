/* uri: parses absolute http(s) URLs and request targets, and refuses what is ambiguous.
 *
 * Shape: in: bytes as received. Out: views into them. Nothing is decoded, repaired or normalised.
 * Errors: GW_E_INVALID for anything that two parsers could read differently: bytes <= 0x20 or >= 0x7f, backslash,
 * fragment, userinfo, empty host, bad port, broken percent-encoding (in the path), over URI_MAX bytes (GW_E_LIMIT).
 * Source: RFC 3986 3, RFC 9112 3.2, WHATWG URL (for what browsers read differently). Threads: values. */
#pragma once

#include "util/view.h"

enum { URI_MAX = 8192 };

struct uri {
    struct view scheme;    /* "http" or "https", lower case */
    struct view authority; /* host[:port] as sent */
    struct view host;      /* with brackets for IPv6 */
    uint16_t port;         /* 80 or 443 when absent */
    struct view path;      /* starts with '/' */
    struct view query;     /* without '?'; p == NULL when there was none */
};

/* An absolute URL; an empty path is read as "/". The host is a name, an IPv4 address or an IPv6 address in brackets. */
enum gw_err uri_parse(struct view text, struct uri *ret_uri) GW_MUST_CHECK;
/* A request target in origin form: /path[?query], not starting with "//". Fills path and query only. */
enum gw_err uri_parse_target(struct view text, struct uri *ret_uri) GW_MUST_CHECK;
/* host[:port], as in a Host header. Fills authority, host and port only. */
enum gw_err uri_parse_authority(struct view text, uint16_t default_port, struct uri *ret_uri) GW_MUST_CHECK;
/* Same scheme, same host (ASCII case folded), same port. */
bool uri_same_origin(const struct uri *a, const struct uri *b);
/* Has a segment that some parser would resolve: `.` or `..`, raw or encoded once, also between encoded slashes or before `;`. */
bool uri_path_has_dot_segment(struct view path);
/* No other path means the same to some parser: no empty segments, dot segments or `;`, and escapes, in upper case, only of bytes
 * that can't stand raw (and of no control bytes or backslashes). */
bool uri_path_is_canonical(struct view path);
/* Decodes percent-encoding into out; GW_E_INVALID if broken or if a NUL would result; GW_E_LIMIT past cap. */
enum gw_err uri_decode(struct view text, char *out, size_t cap, size_t *ret_n) GW_MUST_CHECK;

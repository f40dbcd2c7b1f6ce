/* request: one received request as data, read-only.
 *
 * Shape: the server fills it from what its library saw; request_check() then refuses what two parsers could read
 * differently, before any handler looks (RFC 9110 5.1, 7.2, 9.1; RFC 9112 2.3, 3.2, 6.1; LIBRARIES' list of what libmicrohttpd lets through).
 * Owns: nothing; every view is borrowed from the connection and valid until the answer is complete.
 * Threads: one. */
#pragma once

#include "util/ipaddr.h"
#include "util/uri.h"

enum {
    REQUEST_HEADERS_MAX = 100,
    REQUEST_HEAD_MAX_BYTES = 32 * 1024,
    REQUEST_COOKIE_MAX_BYTES = 8 * 1024,
    REQUEST_FORM_MAX_BYTES = 16 * 1024,
};

enum method { METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS };

/* Headers that we read ourselves; each is found once per request, so that looking one up costs nothing. */
#define HEADER_TABLE(X)                                \
    X(HEADER_HOST, "host")                             \
    X(HEADER_COOKIE, "cookie")                         \
    X(HEADER_AUTHORIZATION, "authorization")           \
    X(HEADER_CONTENT_LENGTH, "content-length")         \
    X(HEADER_CONTENT_TYPE, "content-type")             \
    X(HEADER_TRANSFER_ENCODING, "transfer-encoding")   \
    X(HEADER_CONNECTION, "connection")                 \
    X(HEADER_UPGRADE, "upgrade")                       \
    X(HEADER_ORIGIN, "origin")                         \
    X(HEADER_ACCEPT, "accept")                         \
    X(HEADER_USER_AGENT, "user-agent")                 \
    X(HEADER_EXPECT, "expect")                         \
    X(HEADER_SEC_FETCH_SITE, "sec-fetch-site")         \
    X(HEADER_SEC_FETCH_MODE, "sec-fetch-mode")         \
    X(HEADER_SEC_FETCH_DEST, "sec-fetch-dest")         \
    X(HEADER_X_REQUESTED_WITH, "x-requested-with")     \
    X(HEADER_X_ORIGINAL_URL, "x-original-url")         \
    X(HEADER_X_ORIGINAL_METHOD, "x-original-method")   \
    X(HEADER_X_ORIGINAL_URI, "x-original-uri")         \
    X(HEADER_X_REAL_IP, "x-real-ip")                   \
    X(HEADER_X_FORWARDED_FOR, "x-forwarded-for")       \
    X(HEADER_X_FORWARDED_PROTO, "x-forwarded-proto")   \
    X(HEADER_X_FORWARDED_HOST, "x-forwarded-host")     \
    X(HEADER_X_FORWARDED_URI, "x-forwarded-uri")       \
    X(HEADER_X_FORWARDED_METHOD, "x-forwarded-method") \
    X(HEADER_PROXY_SECRET, "x-repogate-proxy-secret")  \
    X(HEADER_ASSERTION, "x-repogate-assertion")        \
    X(HEADER_TRACEPARENT, "traceparent")

enum header_id {
    HEADER_OTHER,
#define X(id, name) id,
    HEADER_TABLE(X)
#undef X
        HEADER_ID_COUNT
};

struct header {
    struct view name;  /* as sent */
    struct view value; /* blanks at both ends trimmed */
};

struct request {
    struct view method;
    enum method method_id;
    struct view target; /* byte for byte as sent */
    struct uri uri;     /* path and query of the target */
    unsigned minor;     /* HTTP/1.minor */
    struct header headers[REQUEST_HEADERS_MAX];
    size_t n_headers;
    /* Index + 1 into headers of the first of each known name, 0 = absent; and how many there were, look-alikes (see header.h) counted too. */
    uint8_t slot[HEADER_ID_COUNT];
    uint8_t seen[HEADER_ID_COUNT];
    bool has_bad_name; /* a header name is no token; noted for request_check() */
    struct ipaddr peer;
    bool peer_is_trusted; /* in server.trusted_proxies */
    bool has_body;        /* a body was announced: Content-Length other than 0, or Transfer-Encoding */
    bool is_chunked;
    uint64_t content_length; /* if has_body and not is_chunked */
};

enum request_fault {
    REQUEST_FINE,
    REQUEST_BAD_VERSION,
    REQUEST_BAD_METHOD,
    REQUEST_BAD_TARGET,
    REQUEST_BAD_HEADER_NAME,
    REQUEST_BAD_HEADER_VALUE,
    REQUEST_REPEATED_HEADER,
    REQUEST_BAD_HOST,
    REQUEST_BAD_LENGTH,
    REQUEST_BAD_TRANSFER_ENCODING,
    REQUEST_TOO_LARGE,
};

/* Empties it; cheap (does not touch the header array). */
void request_reset(struct request *r);
/* Adds one header as received; GW_E_LIMIT past REQUEST_HEADERS_MAX. */
enum gw_err request_add_header(struct request *r, struct view name, struct view value) GW_MUST_CHECK;
/* Call once, when method, target, minor, peer and headers are in. Fills method_id, uri, has_body, is_chunked,
 * content_length. For anything but REQUEST_FINE the request must be answered 400 (414/431 for REQUEST_TOO_LARGE) and the connection closed. */
enum request_fault request_check(struct request *r) GW_MUST_CHECK;
const char *request_fault_text(enum request_fault f);
enum method request_method_id(struct view method);
/* One that we serve: METHOD_GET to METHOD_OPTIONS, and WebDAV's, which are METHOD_OTHER. */
bool request_method_is_known(struct view method);

/* A browser that navigates a top-level page with GET and would follow a redirect: Sec-Fetch-Mode navigate (and Dest document) if it sends
 * them, else Accept has text/html and no X-Requested-With. HEAD and unsafe methods, XHR, fetch, WebSocket are not. */
bool request_is_navigation(const struct request *r);
/* The client wants HTML rather than problem details. */
bool request_wants_html(const struct request *r);
/* GET, HTTP/1.1, Connection has the token upgrade, Upgrade is exactly websocket (RFC 6455 4.1). */
bool request_is_websocket(const struct request *r);

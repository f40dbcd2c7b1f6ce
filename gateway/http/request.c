#include "http/request.h"

#include "http/header.h"

void request_reset(struct request *r)
{
    r->method = r->target = VIEW_NONE;
    r->method_id = METHOD_OTHER;
    r->uri = (struct uri){0};
    r->minor = 0;
    r->n_headers = 0;
    memset(r->slot, 0, sizeof(r->slot));
    memset(r->seen, 0, sizeof(r->seen));
    r->peer = (struct ipaddr){0};
    r->peer_is_trusted = r->has_body = r->is_chunked = r->has_bad_name = false;
    r->content_length = 0;
}

enum gw_err request_add_header(struct request *r, struct view name, struct view value)
{
    bool is_exact, is_token;
    if (r->n_headers == REQUEST_HEADERS_MAX)
        return GW_E_LIMIT;
    r->headers[r->n_headers++] = (struct header){name, view_trim(value)};
    enum header_id id = header_id_of(name, &is_exact, &is_token);
    r->has_bad_name = r->has_bad_name || !is_token;
    if (id == HEADER_OTHER)
        return GW_OK;
    r->seen[id]++;
    if (is_exact && r->slot[id] == 0)
        r->slot[id] = (uint8_t)r->n_headers;
    return GW_OK;
}

/* RFC 9110 9.3 and WebDAV (RFC 4918, 3253, 3744, 4791, 5323). Without CONNECT and TRACE, which ask something of the proxy itself.
 */
static const struct {
    struct view name;
    enum method id;
} methods[] = {
    {VIEW("GET"), METHOD_GET},         {VIEW("HEAD"), METHOD_HEAD},      {VIEW("POST"), METHOD_POST},
    {VIEW("PUT"), METHOD_PUT},         {VIEW("PATCH"), METHOD_PATCH},    {VIEW("DELETE"), METHOD_DELETE},
    {VIEW("OPTIONS"), METHOD_OPTIONS}, {VIEW("PROPFIND"), METHOD_OTHER}, {VIEW("PROPPATCH"), METHOD_OTHER},
    {VIEW("MKCOL"), METHOD_OTHER},     {VIEW("COPY"), METHOD_OTHER},     {VIEW("MOVE"), METHOD_OTHER},
    {VIEW("LOCK"), METHOD_OTHER},      {VIEW("UNLOCK"), METHOD_OTHER},   {VIEW("REPORT"), METHOD_OTHER},
    {VIEW("SEARCH"), METHOD_OTHER},    {VIEW("ACL"), METHOD_OTHER},      {VIEW("MKCALENDAR"), METHOD_OTHER},
};

static size_t method_index(struct view method)
{
    size_t i = 0;
    while (i < sizeof(methods) / sizeof(methods[0]) && !view_eq(methods[i].name, method))
        i++;
    return i;
}

enum method request_method_id(struct view method)
{
    size_t i = method_index(method);
    return i < sizeof(methods) / sizeof(methods[0]) ? methods[i].id : METHOD_OTHER;
}

bool request_method_is_known(struct view method)
{
    return method_index(method) < sizeof(methods) / sizeof(methods[0]);
}

static enum request_fault check_target(struct request *r)
{
    switch (uri_parse_target(r->target, &r->uri)) {
    case GW_OK:
        return REQUEST_FINE;
    case GW_E_LIMIT:
        return REQUEST_TOO_LARGE;
    default:
        return REQUEST_BAD_TARGET;
    }
}

static enum request_fault check_headers(const struct request *r)
{
    size_t n_bytes = r->method.n + r->target.n;
    if (r->has_bad_name)
        return REQUEST_BAD_HEADER_NAME;
    for (size_t i = 0; i < r->n_headers; i++) {
        const struct header *h = &r->headers[i];
        n_bytes += h->name.n + h->value.n + sizeof(": \r\n") - 1;
        if (!header_value_is_clean(h->value))
            return REQUEST_BAD_HEADER_VALUE;
    }
    return n_bytes > REQUEST_HEAD_MAX_BYTES ? REQUEST_TOO_LARGE : REQUEST_FINE;
}

static enum request_fault check_cookies(const struct request *r)
{
    size_t n_bytes = 0, pos = 0;
    struct view value;
    while (header_next(r, HEADER_COOKIE, &pos, &value))
        n_bytes += value.n;
    return n_bytes > REQUEST_COOKIE_MAX_BYTES ? REQUEST_TOO_LARGE : REQUEST_FINE;
}

/* Headers that frame the message or carry who is asking: a second one, or one look-alike, is what another parser might take
 * instead. Those that say which request a proxy asks about are not here, since `original` has its own answers for them. */
static enum request_fault check_repeats(const struct request *r)
{
    static const enum header_id once[] = {HEADER_HOST,          HEADER_CONTENT_LENGTH, HEADER_TRANSFER_ENCODING,
                                          HEADER_AUTHORIZATION, HEADER_CONTENT_TYPE,   HEADER_ORIGIN};
    for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
        if (r->seen[once[i]] > 1 || (r->seen[once[i]] == 1 && r->slot[once[i]] == 0))
            return REQUEST_REPEATED_HEADER;
    return REQUEST_FINE;
}

static enum request_fault check_host(const struct request *r)
{
    struct uri host;
    return uri_parse_authority(header_value(r, HEADER_HOST), 80, &host) == GW_OK ? REQUEST_FINE : REQUEST_BAD_HOST;
}

/* RFC 9112 6.1 and 6.3: with both, or with a coding that not everyone knows, two parsers find different ends. */
static enum request_fault check_framing(struct request *r)
{
    struct view value;
    if (header_get(r, HEADER_TRANSFER_ENCODING, &value) != HEADER_ABSENT) {
        if (!view_eq(value, VIEW("chunked")) || r->minor != 1 || r->seen[HEADER_CONTENT_LENGTH] > 0)
            return REQUEST_BAD_TRANSFER_ENCODING;
        r->has_body = r->is_chunked = true;
        return REQUEST_FINE;
    }
    if (header_get(r, HEADER_CONTENT_LENGTH, &value) == HEADER_ABSENT)
        return REQUEST_FINE;
    uint64_t n;
    if (view_to_u64(value, &n) != GW_OK)
        return REQUEST_BAD_LENGTH;
    r->has_body = n > 0;
    r->content_length = n;
    return REQUEST_FINE;
}

enum request_fault request_check(struct request *r)
{
    enum request_fault fault;
    size_t method = method_index(r->method);
    if (r->minor > 1)
        return REQUEST_BAD_VERSION;
    if (method == sizeof(methods) / sizeof(methods[0]))
        return REQUEST_BAD_METHOD;
    r->method_id = methods[method].id;
    if ((fault = check_target(r)) != REQUEST_FINE || (fault = check_headers(r)) != REQUEST_FINE)
        return fault;
    if ((fault = check_cookies(r)) != REQUEST_FINE || (fault = check_repeats(r)) != REQUEST_FINE)
        return fault;
    if ((fault = check_host(r)) != REQUEST_FINE)
        return fault;
    return check_framing(r);
}

const char *request_fault_text(enum request_fault f)
{
    switch (f) {
    case REQUEST_FINE:
        return "";
    case REQUEST_BAD_VERSION:
        return "only HTTP/1.0 and HTTP/1.1 are spoken here";
    case REQUEST_BAD_METHOD:
        return "this method is not served";
    case REQUEST_BAD_TARGET:
        return "the request target is not a path that everyone reads alike";
    case REQUEST_BAD_HEADER_NAME:
        return "a header name is not a token";
    case REQUEST_BAD_HEADER_VALUE:
        return "a header value holds a control byte";
    case REQUEST_REPEATED_HEADER:
        return "a header that may occur once is repeated, or another looks like it";
    case REQUEST_BAD_HOST:
        return "the Host header is missing or is no host";
    case REQUEST_BAD_LENGTH:
        return "Content-Length is not a number";
    case REQUEST_BAD_TRANSFER_ENCODING:
        return "Transfer-Encoding must be chunked, in HTTP/1.1, without Content-Length";
    case REQUEST_TOO_LARGE:
        return "the head of the request is too large";
    }
    return "";
}

/* Is the header absent or exactly this? */
static bool absent_or(const struct request *r, enum header_id id, struct view expected)
{
    struct view value;
    enum header_found found = header_get(r, id, &value);
    return found == HEADER_ABSENT || (found == HEADER_ONE && view_eq_ci(value, expected));
}

bool request_wants_html(const struct request *r)
{
    return header_list_has(header_value(r, HEADER_ACCEPT), VIEW("text/html")) && r->seen[HEADER_X_REQUESTED_WITH] == 0;
}

bool request_is_navigation(const struct request *r)
{
    if (r->method_id != METHOD_GET || r->seen[HEADER_UPGRADE] > 0)
        return false;
    if (r->seen[HEADER_SEC_FETCH_MODE] == 0 && r->seen[HEADER_SEC_FETCH_DEST] == 0)
        return request_wants_html(r);
    return absent_or(r, HEADER_SEC_FETCH_MODE, VIEW("navigate")) && absent_or(r, HEADER_SEC_FETCH_DEST, VIEW("document"));
}

bool request_is_websocket(const struct request *r)
{
    return r->method_id == METHOD_GET && r->minor == 1 && header_list_has(header_value(r, HEADER_CONNECTION), VIEW("upgrade")) &&
           view_eq_ci(header_value(r, HEADER_UPGRADE), VIEW("websocket"));
}

/* Input: "METHOD target minor" and one header per line, "name:value". A request that passes has one host, one framing and clean
 * headers. */
#include "http/header.h"

#include <stdlib.h>

static struct request req;

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = view_at((const char *)data, size), line = view_split(&rest, '\n');
    request_reset(&req);
    req.method = view_split(&line, ' ');
    req.target = view_split(&line, ' ');
    req.minor = line.n == 1 ? (unsigned)line.p[0] - '0' : 1;
    while (rest.p != NULL) {
        struct view value = view_split(&rest, '\n'), name = view_split(&value, ':');
        header_classify(name);
        if (request_add_header(&req, name, value) != GW_OK)
            break;
    }
    (void)request_is_navigation(&req);
    if (request_check(&req) != REQUEST_FINE)
        return 0;
    require(request_method_is_known(req.method) && req.minor <= 1 && req.target.p[0] == '/');
    require(req.seen[HEADER_HOST] == 1 && req.seen[HEADER_CONTENT_LENGTH] + req.seen[HEADER_TRANSFER_ENCODING] <= 1);
    require(req.seen[HEADER_AUTHORIZATION] <= 1 && (!req.is_chunked || req.has_body));
    for (size_t i = 0; i < req.n_headers; i++)
        require(header_is_token(req.headers[i].name) && header_value_is_clean(req.headers[i].value));
    require(!request_is_websocket(&req) || !request_is_navigation(&req));
    return 0;
}

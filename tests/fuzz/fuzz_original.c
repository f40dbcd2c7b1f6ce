/* Input: dialect (from "0") and peer (trusted unless 0x40 is set) in the first byte, target in the first line, then one header per line, "name:value". What is found is
 * on our host, outside our prefixes, and free of segments that a proxy could resolve. */
#include "http/original.h"

#include <stdlib.h>

static struct request req;

static const enum dialect dialects[] = {
    DIALECT_NGINX, DIALECT_OUTPOST_NGINX, DIALECT_OWN, DIALECT_HAPROXY, DIALECT_TRAEFIK, DIALECT_CADDY, DIALECT_ENVOY,
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct uri public_url;
    struct ipnet trusted;
    struct original o;
    struct view rest = view_at((const char *)data, size);
    if (size == 0 || uri_parse(VIEW("https://dev.example.org"), &public_url) != GW_OK ||
        ipnet_parse(VIEW("10.0.0.0/8"), &trusted) != GW_OK)
        return 0;
    request_reset(&req);
    enum dialect d = dialects[(data[0] & 0x0f) % DIALECT_COUNT];
    req.peer = trusted.addr;
    req.peer_is_trusted = (data[0] & 0x40) == 0;
    rest = view_skip(rest, 1);
    req.method = VIEW("GET");
    req.target = view_split(&rest, '\n');
    req.minor = 1;
    while (rest.p != NULL) {
        struct view value = view_split(&rest, '\n'), name = view_split(&value, ':');
        if (request_add_header(&req, name, value) != GW_OK)
            break;
    }
    bool is_fine = request_check(&req) == REQUEST_FINE;
    original_note_raw(&req, d, &trusted, 1, &o);
    if (!is_fine || original_find(&req, d, &public_url, &trusted, 1, &o) != ORIGINAL_FINE)
        return 0;
    require(req.peer_is_trusted || d == DIALECT_OWN);
    require(uri_same_origin(&o.uri, &public_url) && o.uri.path.p[0] == '/');
    require(!original_is_own_path(o.uri.path) && !uri_path_has_dot_segment(o.uri.path) &&
            !view_contains(o.uri.path, VIEW("%00")));
    require(d == DIALECT_OUTPOST_NGINX ? o.method.p == NULL && o.client.family == 0
                                       : request_method_is_known(o.method) && o.client.family != 0);
    return 0;
}

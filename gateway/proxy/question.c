#include "proxy/question.h"

#include "http/header.h"

static bool is_visible(struct view v)
{
    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] <= 0x20 || (unsigned char)v.p[i] >= 0x7f)
            return false;
    return v.n > 0;
}

/* Fields that decide where a message ends or who gets it; one from outside beside ours would be a second opinion. */
static bool is_ours(struct view name)
{
    static const struct view names[] = {
        {"host", 4},    {"content-length", 14}, {"transfer-encoding", 17}, {"connection", 10}, {"upgrade", 7}, {"te", 2},
        {"trailer", 7}, {"expect", 6},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (view_eq_ci(name, names[i]))
            return true;
    return false;
}

static bool is_sound(const struct relay_request *req)
{
    if (!header_is_token(req->method) || !is_visible(req->target) || req->target.p[0] != '/' || !is_visible(req->host))
        return false;
    for (size_t i = 0; i < req->n_headers; i++) {
        const struct relay_header *h = &req->headers[i];
        if (!header_is_token(h->name) || !header_value_is_clean(h->value) || is_ours(h->name))
            return false;
    }
    return true;
}

static void put_field(struct buf *out, struct view name, struct view value)
{
    buf_put(out, name);
    buf_puts(out, ": ");
    buf_put(out, value);
    buf_puts(out, "\r\n");
}

static void put_framing(struct buf *out, const struct relay_request *req)
{
    /* Without a body these methods still need a length (RFC 9110 8.6): some servers answer 411. */
    bool expects_body =
        view_eq(req->method, VIEW("POST")) || view_eq(req->method, VIEW("PUT")) || view_eq(req->method, VIEW("PATCH"));
    if (req->has_body && req->is_chunked) {
        buf_puts(out, "Transfer-Encoding: chunked\r\n");
    } else if (req->has_body || expects_body) {
        buf_puts(out, "Content-Length: ");
        buf_put_u64(out, req->has_body ? req->content_length : 0);
        buf_puts(out, "\r\n");
    }
    if (req->wants_upgrade)
        buf_puts(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n");
}

enum gw_err question_format(const struct relay_request *req, struct buf *out)
{
    if (!is_sound(req))
        return GW_E_INVALID;
    if (req->n_headers > RELAY_HEADERS_MAX)
        return GW_E_LIMIT;
    size_t total = req->method.n + req->target.n + req->host.n + 256;
    for (size_t i = 0; i < req->n_headers; i++)
        total += req->headers[i].name.n + req->headers[i].value.n + 4;
    if (total > out->cap)
        return GW_E_LIMIT;
    if (buf_reserve(out, total) == NULL)
        return GW_E_NOMEM;
    buf_put(out, req->method);
    buf_puts(out, " ");
    buf_put(out, req->target);
    buf_puts(out, " HTTP/1.1\r\n");
    put_field(out, VIEW("Host"), req->host);
    for (size_t i = 0; i < req->n_headers; i++)
        put_field(out, req->headers[i].name, req->headers[i].value);
    put_framing(out, req);
    buf_puts(out, "\r\n");
    return buf_ok(out) ? GW_OK : GW_E_NOMEM;
}

bool question_is_repeatable(const struct relay_request *req)
{
    static const struct view methods[] = {{"GET", 3}, {"HEAD", 4}, {"OPTIONS", 7}, {"PUT", 3}, {"DELETE", 6}};
    if (req->has_body || req->wants_upgrade)
        return false;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (view_eq(req->method, methods[i]))
            return true;
    return false;
}

#include "handlers/carry.h"

#include "util/log.h"

#include <unistd.h>

enum { SMALL_BODY_BYTES = 16 * 1024 };

/* ---- the answer ---- */

static size_t read_body(struct exchange *x, char *out, size_t n, bool *ret_end, bool *ret_failed)
{
    struct carry *c = x->state;
    if (c->has_failed) {
        *ret_failed = true;
        return 0;
    }
    return relay_read(c->relay, out, n, ret_end);
}

static void on_failed(void *arg, enum gw_err err, const char *detail)
{
    struct carry *c = arg;
    bool was_answered = c->is_answered;
    c->has_failed = true;
    c->is_answered = true;
    c->spec.failed(c->x, err, detail, was_answered);
    if (was_answered)
        exchange_wake(c->x);
}

static void on_upgraded(struct exchange *x, int fd, struct view early)
{
    struct carry *c = x->state;
    struct buf workspace_early = BUF(RELAY_HEAD_MAX_BYTES + RELAY_WINDOW_BYTES);
    int workspace_fd = relay_take_socket(c->relay, &workspace_early);
    enum gw_err err = GW_E_IO;
    if (workspace_fd < 0) {
        close(fd);
    } else {
        err = tunnel_start(x->core->tunnels, fd, early, workspace_fd, buf_view(&workspace_early), &c->spec.guard);
        c->spec.guard.release = NULL; /* the tunnel's now */
    }
    if (err != GW_OK)
        log_printf(LOG_WARN, "a WebSocket could not be carried: %s", gw_err_name(err));
    buf_deinit(&workspace_early);
}

static void put_head(struct carry *c, const struct relay_head *h)
{
    struct response *r = &c->x->response;
    r->status = h->status;
    for (size_t i = 0; i < h->n_headers; i++)
        if (c->spec.passes(c->x, h->headers[i].name, h->headers[i].value))
            response_add(r, h->headers[i].name, h->headers[i].value);
}

static void on_head(void *arg, const struct relay_head *h)
{
    struct carry *c = arg;
    struct exchange *x = c->x;
    bool is_end = false;
    c->is_answered = true;
    put_head(c, h);
    if (h->status == 101) {
        response_put(&x->response, "Upgrade", VIEW("websocket"));
        exchange_upgrade(x, on_upgraded);
        return;
    }
    /* An answer that only tells about a body is none with an empty one: the server must not count it. */
    if (!h->has_body && h->status != 304 && x->request.method_id != METHOD_HEAD) {
        exchange_reply(x);
        return;
    }
    size_t n = h->has_body ? relay_available(c->relay, &is_end) : 0;
    char *small = is_end && n > 0 && n <= SMALL_BODY_BYTES ? arena_get(&x->arena, n) : NULL;
    if (small != NULL) {
        x->response.body = view_at(small, relay_read(c->relay, small, n, &is_end));
        exchange_reply(x);
        return;
    }
    exchange_stream(x, &(struct exchange_source){read_body, h->content_length});
}

static void on_progress(void *arg)
{
    struct carry *c = arg;
    exchange_wake(c->x);
}

/* ---- the request ---- */

static size_t write_body(struct exchange *x, const char *p, size_t n)
{
    struct carry *c = x->state;
    /* What nobody reads any more is swallowed: the answer waits behind it. */
    return c->has_failed ? n : relay_write(c->relay, p, n);
}

static void end_body(struct exchange *x)
{
    struct carry *c = x->state;
    if (!c->has_failed)
        relay_write_end(c->relay);
}

enum gw_err carry_start(struct carry *c, struct exchange *x, const struct carry_spec *spec)
{
    static const struct relay_events events = {on_head, on_progress, on_progress, on_failed};
    static const struct exchange_sink sink = {write_body, end_body};
    const struct request *r = &x->request;
    struct relay_request req = {
        .address = spec->address,
        .method = r->method,
        .target = spec->target,
        .host = spec->host,
        .headers = spec->headers,
        .n_headers = spec->n_headers,
        .has_body = r->has_body,
        .is_chunked = r->is_chunked,
        .content_length = r->content_length,
        .wants_upgrade = spec->is_upgrade,
    };
    c->x = x;
    c->spec = *spec;
    enum gw_err err = relay_start(x->core->relays, &req, &events, c, &c->relay);
    if (err == GW_OK && r->has_body)
        exchange_take_body(x, &sink);
    return err;
}

void carry_end(struct carry *c)
{
    relay_free(c->relay);
    c->relay = NULL;
    if (c->spec.guard.release != NULL)
        c->spec.guard.release(c->spec.guard.arg);
    c->spec.guard.release = NULL;
}

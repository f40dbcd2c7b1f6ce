/* A request for a workspace: identify, decide, record, and route it there, streaming both ways. The address that was judged is the
 * one that is routed: both come from the same parsed request. */
#include "handlers/handlers.h"
#include "handlers/reply.h"
#include "util/log.h"
#include "util/meter.h"

#include <unistd.h>

enum { SMALL_BODY_BYTES = 16 * 1024 };

struct forward {
    struct exchange *x;
    struct gate *gate;
    struct relay *relay;
    bool is_answered, has_failed, is_upgrade;
};

static void end(struct exchange *x)
{
    struct forward *f = x->state;
    relay_free(f->relay);
    f->relay = NULL;
    if (f->gate != NULL)
        gate_end(f->gate);
}

/* ---- the answer ---- */

static size_t read_body(struct exchange *x, char *out, size_t n, bool *ret_end, bool *ret_failed)
{
    struct forward *f = x->state;
    if (f->has_failed) {
        *ret_failed = true;
        return 0;
    }
    return relay_read(f->relay, out, n, ret_end);
}

static void reply_no_workspace(struct exchange *x, bool is_late, struct view decision_id)
{
    meter_inc(METER_PROXY_FAILED);
    response_reset(&x->response);
    response_put(&x->response, "Retry-After", VIEW("5"));
    reply_problem(
        x, &(struct reply_problem){
               .status = is_late ? 504 : 502,
               .reason = is_late ? "workspace_timeout" : "workspace_unreachable",
               .title = is_late ? "The workspace does not answer" : "The workspace cannot be reached",
               .text = "You are allowed in, but the workspace behind this address is not answering. It may still be starting.",
               .retry_href = "",
               .decision_id = decision_id,
           });
}

/* Where NGINX routes, it is NGINX that finds the workspace down; the page is ours all the same. */
void handle_unreachable(struct exchange *x)
{
    reply_no_workspace(x, view_eq(x->request.uri.query, VIEW("late")), VIEW_NONE);
}

static void reply_unreachable(struct forward *f, enum gw_err err)
{
    reply_no_workspace(f->x, err == GW_E_TIMEOUT, view_of(f->gate->id));
}

static void on_failed(void *arg, enum gw_err err, const char *detail)
{
    struct forward *f = arg;
    log_event(LOG_WARN, "workspace", LOG_KV("detail", view_of(detail)), LOG_KV("error", view_of(gw_err_name(err))),
              LOG_KV("decision", view_of(f->gate->id)));
    f->has_failed = true;
    if (f->is_answered) {
        exchange_wake(f->x);
        return;
    }
    f->is_answered = true;
    reply_unreachable(f, err);
}

static void on_upgraded(struct exchange *x, int fd, struct view early)
{
    struct forward *f = x->state;
    struct buf workspace_early = BUF(RELAY_HEAD_MAX_BYTES + RELAY_WINDOW_BYTES);
    int workspace_fd = relay_take_socket(f->relay, &workspace_early);
    enum gw_err err =
        workspace_fd < 0 ? GW_E_IO : tunnel_start(x->core->tunnels, fd, early, workspace_fd, buf_view(&workspace_early));
    if (workspace_fd < 0)
        close(fd);
    if (err != GW_OK)
        log_printf(LOG_WARN, "a WebSocket could not be carried: %s", gw_err_name(err));
    buf_deinit(&workspace_early);
}

static bool is_our_cookie(struct view name, void *arg)
{
    return gate_is_our_cookie(arg, name);
}

static void put_head(struct forward *f, const struct relay_head *h)
{
    struct response *r = &f->x->response;
    r->status = h->status;
    for (size_t i = 0; i < h->n_headers; i++)
        if (attribution_answer_passes(h->headers[i].name, h->headers[i].value, is_our_cookie, f->x->core->gateway))
            response_add(r, h->headers[i].name, h->headers[i].value);
}

static void on_head(void *arg, const struct relay_head *h)
{
    struct forward *f = arg;
    struct exchange *x = f->x;
    bool is_end = false;
    f->is_answered = true;
    put_head(f, h);
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
    size_t n = h->has_body ? relay_available(f->relay, &is_end) : 0;
    char *small = is_end && n > 0 && n <= SMALL_BODY_BYTES ? arena_get(&x->arena, n) : NULL;
    if (small != NULL) {
        x->response.body = view_at(small, relay_read(f->relay, small, n, &is_end));
        exchange_reply(x);
        return;
    }
    exchange_stream(x, &(struct exchange_source){read_body, h->content_length});
}

static void on_progress(void *arg)
{
    struct forward *f = arg;
    exchange_wake(f->x);
}

/* ---- the request ---- */

static size_t write_body(struct exchange *x, const char *p, size_t n)
{
    struct forward *f = x->state;
    /* What nobody reads any more is swallowed: the answer waits behind it. */
    return f->has_failed ? n : relay_write(f->relay, p, n);
}

static void end_body(struct exchange *x)
{
    struct forward *f = x->state;
    if (!f->has_failed)
        relay_write_end(f->relay);
}

static enum gw_err start_relay(struct forward *f, const struct driver_route *route, struct view target)
{
    static const struct relay_events events = {on_head, on_progress, on_progress, on_failed};
    struct exchange *x = f->x;
    const struct request *r = &x->request;
    struct relay_request req = {
        .address = route->address,
        .method = r->method,
        .target = target,
        .host = route->host,
        .headers = f->gate->attribution.items,
        .n_headers = f->gate->attribution.n,
        .has_body = r->has_body,
        .is_chunked = r->is_chunked,
        .content_length = r->content_length,
        .wants_upgrade = f->is_upgrade,
    };
    return relay_start(x->core->relays, &req, &events, f, &f->relay);
}

static void route(struct forward *f)
{
    static const struct exchange_sink sink = {write_body, end_body};
    struct exchange *x = f->x;
    struct driver_ask ask = {&f->gate->repo, f->gate->identify.who};
    struct driver_route to;
    enum gw_err err = driver_route(x->core->gateway->driver, &ask, &x->arena, &to);
    struct view target =
        err == GW_OK ? attribution_target(to.base_path, f->gate->repo.rest, x->request.uri.query, &x->arena) : VIEW_NONE;
    if (target.p == NULL) {
        reply_defect(x);
        return;
    }
    err = start_relay(f, &to, target);
    if (err != GW_OK) {
        f->is_answered = true;
        reply_unreachable(f, err);
        return;
    }
    meter_inc(METER_PROXIED);
    if (x->request.has_body)
        exchange_take_body(x, &sink);
}

/* ---- the decision ---- */

/* The workspace's relative links need the slash. Only after an allow, so that it tells nobody what exists. */
static void redirect_into(struct forward *f)
{
    struct exchange *x = f->x;
    const struct uri *u = &x->request.uri;
    struct view parts[] = {u->path, VIEW("/"), u->query.p == NULL ? VIEW_NONE : VIEW("?"), u->query};
    reply_redirect(x, 302, arena_join(&x->arena, parts, 4));
}

static void on_judged(struct gate *g)
{
    struct forward *f = g->owner;
    enum method m = g->x->request.method_id;
    f->gate = g; /* may come before gate_begin() has returned */
    if (g->outcome != OUTCOME_ALLOWED)
        reply_outcome(g);
    else if (g->repo.rest.n == 0 && (m == METHOD_GET || m == METHOD_HEAD) && !f->is_upgrade)
        redirect_into(f);
    else
        route(f);
}

/* A page of another site may open a WebSocket with our visitor's cookie: only Origin tells (CVE-2023-0957). A program that sends a token of
 * its own has no such visitor. */
static bool origin_is_ours(const struct exchange *x)
{
    struct uri origin;
    struct view sent = header_value(&x->request, HEADER_ORIGIN);
    if (sent.n == 0)
        return header_value(&x->request, HEADER_AUTHORIZATION).n > 0 && header_value(&x->request, HEADER_COOKIE).n == 0;
    return uri_parse(sent, &origin) == GW_OK && uri_same_origin(&origin, &x->core->gateway->config->server.public_uri);
}

static void refuse_origin(struct exchange *x)
{
    gate_record_refused(x, DIALECT_OWN, "origin_mismatch", "a WebSocket whose Origin is not this gateway's");
    reply_problem(x, &(struct reply_problem){
                         .status = 403,
                         .reason = "origin_mismatch",
                         .title = "Refused",
                         .text = "WebSockets are opened from the workspace's own pages only.",
                     });
}

void handle_forward(struct exchange *x)
{
    const struct config *c = x->core->gateway->config;
    struct repo repo;
    if (repo_parse_path(c->forges.items, c->forges.n, x->request.uri.path, &repo) == REPO_NONE) {
        handle_nothing(x);
        return;
    }
    struct forward *f = arena_get(&x->arena, sizeof(*f));
    if (f == NULL) {
        reply_defect(x);
        return;
    }
    /* With a body it would not be clear where the other protocol begins (RFC 9110 7.8): then it is a request like any other. */
    *f = (struct forward){.x = x, .is_upgrade = request_is_websocket(&x->request) && !x->request.has_body};
    if (f->is_upgrade && !origin_is_ours(x)) {
        refuse_origin(x);
        return;
    }
    x->state = f;
    x->on_done = end;
    f->gate = gate_begin(x, DIALECT_OWN, on_judged, f);
    if (f->gate == NULL)
        reply_defect(x);
}

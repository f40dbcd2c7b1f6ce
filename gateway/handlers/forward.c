/* A request for a workspace: identify, decide, record, and route it there, streaming both ways. The address that was judged is the
 * one that is routed: both come from the same parsed request. */
#include "handlers/carry.h"
#include "handlers/cut.h"
#include "handlers/handlers.h"
#include "handlers/reply.h"
#include "util/log.h"
#include "util/meter.h"

struct forward {
    struct carry carry;
    struct gate *gate;
    struct cut *cut; /* of an upgrade, until it is carried */
    bool is_upgrade;
};

static void end(struct exchange *x)
{
    struct forward *f = x->state;
    carry_end(&f->carry);
    cut_free(f->cut);
    if (f->gate != NULL)
        gate_end(f->gate);
}

/* ---- the answer ---- */

static void reply_no_workspace(struct exchange *x, bool is_late, struct view decision_id)
{
    meter_inc(METER_PROXY_FAILED);
    response_reset(&x->response);
    response_put(&x->response, "Retry-After", VIEW("5"));
    reply_problem(x, &(struct reply_problem){
                         .status = is_late ? 504 : 502,
                         .reason = is_late ? "workspace_timeout" : "workspace_unreachable",
                         .title = is_late ? text_of(TEXT_WORKSPACE_LATE) : text_of(TEXT_WORKSPACE_UNREACHABLE),
                         .text = text_of(TEXT_WORKSPACE_DOWN),
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
    reply_no_workspace(f->gate->x, err == GW_E_TIMEOUT, view_of(f->gate->id));
}

static void on_failed(struct exchange *x, enum gw_err err, const char *detail, bool is_answered)
{
    struct forward *f = x->state;
    log_event(LOG_WARN, "workspace", LOG_KV("detail", view_of(detail)), LOG_KV("error", view_of(gw_err_name(err))),
              LOG_KV("decision", view_of(f->gate->id)));
    if (!is_answered)
        reply_unreachable(f, err);
}

static bool is_our_cookie(struct view name, void *arg)
{
    return gate_is_our_cookie(arg, name);
}

static bool answer_passes(const struct exchange *x, struct view name, struct view value)
{
    return attribution_answer_passes(name, value, is_our_cookie, x->core->gateway);
}

/* ---- the request ---- */

static void route(struct forward *f)
{
    struct exchange *x = f->gate->x;
    struct driver_ask ask = {&f->gate->repo, f->gate->identify.who};
    struct driver_route to;
    enum gw_err err = driver_route(x->core->gateway->driver, &ask, &x->arena, &to);
    struct view target =
        err == GW_OK ? attribution_target(to.base_path, f->gate->repo.rest, x->request.uri.query, &x->arena) : VIEW_NONE;
    if (target.p == NULL) {
        reply_defect(x);
        return;
    }
    struct tunnel_guard guard = {0};
    if (f->is_upgrade) {
        cut_know(f->cut, &f->gate->identify);
        guard = cut_guard(f->cut);
        f->cut = NULL;
    }
    err = carry_start(&f->carry, x,
                      &(struct carry_spec){
                          .address = to.address,
                          .target = target,
                          .host = to.host,
                          .headers = f->gate->attribution.items,
                          .n_headers = f->gate->attribution.n,
                          .is_upgrade = f->is_upgrade,
                          .guard = guard,
                          .passes = answer_passes,
                          .failed = on_failed,
                      });
    if (err == GW_OK)
        meter_inc(METER_PROXIED);
    else
        reply_unreachable(f, err);
}

/* ---- the decision ---- */

/* The workspace's relative links need the slash. Only after an allow, so that it tells nobody what exists. */
static void redirect_into(struct forward *f)
{
    struct exchange *x = f->gate->x;
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
                         .title = text_of(TEXT_REFUSED),
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
    *f = (struct forward){.is_upgrade = request_is_websocket(&x->request) && !x->request.has_body};
    if (f->is_upgrade && !origin_is_ours(x)) {
        refuse_origin(x);
        return;
    }
    x->state = f;
    x->on_done = end;
    if (f->is_upgrade && (f->cut = cut_begin(x)) == NULL) {
        reply_defect(x);
        return;
    }
    f->gate = gate_begin(x, DIALECT_OWN, on_judged, f);
    if (f->gate == NULL)
        reply_defect(x);
}

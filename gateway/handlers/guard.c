#include "handlers/guard.h"

#include "handlers/carry.h"
#include "handlers/reply.h"
#include "util/log.h"

struct visit {
    struct carry carry;
    struct exchange *x;
    unsigned n_waits;
    struct relay_header headers[RELAY_HEADERS_MAX];
    size_t n_headers;
};

/* ---- no ---- */

static void log_refusal(const struct exchange *x, const char *reason, const char *detail)
{
    char peer[IPADDR_TEXT_MAX + 1];
    ipaddr_format(&x->request.peer, peer);
    log_event(LOG_WARN, "refused", LOG_KV("reason", view_of(reason)), LOG_KV("detail", view_of(detail)),
              LOG_KV("method", x->request.method), LOG_KV("path", x->request.uri.path), LOG_KV("peer", view_of(peer)));
}

/* Why exactly is for the log: whoever forges need not be told how far they got. */
static void refuse(struct exchange *x, const char *reason, const char *detail)
{
    log_refusal(x, reason, detail);
    reply_problem_json(x, &(struct reply_problem){
                              .status = 403,
                              .reason = reason,
                              .title = text_of(TEXT_REFUSED),
                              .text = text_of(TEXT_OWNER_ONLY),
                          });
}

static void refuse_for_now(struct exchange *x, const char *reason, const char *detail)
{
    log_refusal(x, reason, detail);
    response_put(&x->response, "Retry-After", VIEW("5"));
    reply_problem_json(x, &(struct reply_problem){
                              .status = 503,
                              .reason = reason,
                              .title = text_of(TEXT_UNAVAILABLE),
                              .text = text_of(TEXT_GUARD_BLIND),
                          });
}

void guard_refuse(struct exchange *x, enum request_fault fault)
{
    log_refusal(x, "malformed_request", request_fault_text(fault));
    reply_problem_json(x, &(struct reply_problem){
                              .status = fault == REQUEST_TOO_LARGE ? 431 : 400,
                              .reason = "malformed_request",
                              .title = text_of(TEXT_REQUEST_REFUSED),
                              .text = request_fault_text(fault),
                          });
}

/* ---- on to the IDE ---- */

static bool is_nominated(const struct request *r, struct view name)
{
    size_t pos = 0;
    struct view list;
    while (header_next(r, HEADER_CONNECTION, &pos, &list))
        if (header_list_has(list, name))
            return true;
    return false;
}

/* The gateway has removed what a client must not say; what it says itself stays. */
static bool request_header_passes(const struct request *r, struct view name)
{
    bool is_exact, is_token;
    switch (header_id_of(name, &is_exact, &is_token)) {
    case HEADER_ASSERTION:
    case HEADER_HOST: /* these the relay writes */
    case HEADER_CONTENT_LENGTH:
    case HEADER_EXPECT: /* answered by the server */
        return false;
    default:
        break;
    }
    enum header_class class = header_classify(name);
    return class != HEADER_HOP && class != HEADER_CONTROL && !is_nominated(r, name);
}

static void fill_headers(struct visit *v)
{
    const struct request *r = &v->x->request;
    _Static_assert((int)REQUEST_HEADERS_MAX <= (int)RELAY_HEADERS_MAX, "all of a request's headers find room");
    for (size_t i = 0; i < r->n_headers; i++)
        if (request_header_passes(r, r->headers[i].name))
            v->headers[v->n_headers++] = (struct relay_header){r->headers[i].name, r->headers[i].value};
}

static bool answer_header_passes(const struct exchange *x, struct view name, struct view value)
{
    (void)x, (void)name, (void)value;
    return true;
}

static void on_failed(struct exchange *x, enum gw_err err, const char *detail, bool is_answered)
{
    log_event(LOG_WARN, "workspace", LOG_KV("detail", view_of(detail)), LOG_KV("error", view_of(gw_err_name(err))));
    if (is_answered)
        return;
    bool is_late = err == GW_E_TIMEOUT;
    response_reset(&x->response);
    response_put(&x->response, "Retry-After", VIEW("5"));
    reply_problem_json(x, &(struct reply_problem){
                              .status = is_late ? 504 : 502,
                              .reason = is_late ? "workspace_timeout" : "workspace_unreachable",
                              .title = is_late ? text_of(TEXT_WORKSPACE_LATE) : text_of(TEXT_WORKSPACE_UNREACHABLE),
                              .text = text_of(TEXT_PROGRAM_DOWN),
                          });
}

static void pass(struct visit *v)
{
    struct exchange *x = v->x;
    const struct request *r = &x->request;
    fill_headers(v);
    struct carry_spec spec = {
        .address = x->core->guard->upstream,
        .target = r->target,
        .host = header_value(r, HEADER_HOST),
        .headers = v->headers,
        .n_headers = v->n_headers,
        /* With a body it would not be clear where the other protocol begins (RFC 9110 7.8). */
        .is_upgrade = request_is_websocket(r) && !r->has_body,
        .passes = answer_header_passes,
        .failed = on_failed,
    };
    enum gw_err err = carry_start(&v->carry, x, &spec);
    if (err != GW_OK)
        on_failed(x, err, "it cannot be asked", false);
}

/* ---- the check ---- */

static void check(struct visit *v, struct view assertion);

static void on_keys(void *arg)
{
    struct visit *v = arg;
    check(v, header_value(&v->x->request, HEADER_ASSERTION));
}

/* The key may have been published since the keys were read last. */
static void wait_for_keys(struct visit *v, const char *detail)
{
    struct guard *g = v->x->core->guard;
    if (v->n_waits++ < GUARD_WAITS_MAX && keyfeed_await(g->keys, on_keys, v) == GW_OK)
        return;
    if (keyfeed_keys(g->keys) == NULL)
        refuse_for_now(v->x, "keys_unavailable", "the gateway's keys cannot be read");
    else
        refuse(v->x, "assertion_refused", detail);
}

static void check(struct visit *v, struct view assertion)
{
    struct guard *g = v->x->core->guard;
    struct pack_val claims;
    const char *why;
    switch (verifier_check(g->verifier, keyfeed_keys(g->keys), assertion, VERIFIER_ASSERTION, VIEW_NONE, &claims, &why)) {
    case GW_OK:
        if (view_eq(pack_string(pack_find(claims, VIEW("sub"))), g->owner))
            pass(v);
        else
            refuse(v->x, "assertion_refused", "sub is not the owner");
        break;
    case GW_E_NOTFOUND:
        wait_for_keys(v, why);
        break;
    default:
        refuse(v->x, "assertion_refused", why);
        break;
    }
}

static void end_visit(struct exchange *x)
{
    struct visit *v = x->state;
    carry_end(&v->carry);
}

static void begin_visit(struct exchange *x)
{
    struct view assertion;
    switch (header_get(&x->request, HEADER_ASSERTION, &assertion)) {
    case HEADER_ABSENT:
        refuse(x, "assertion_missing", "no X-Repogate-Assertion");
        return;
    case HEADER_AMBIGUOUS:
        refuse(x, "assertion_repeated", "more than one X-Repogate-Assertion, or one that looks like it");
        return;
    case HEADER_ONE:
        break;
    }
    struct visit *v = arena_get(&x->arena, sizeof(*v));
    if (v == NULL) {
        refuse_for_now(x, "error", "no memory");
        return;
    }
    memset(v, 0, offsetof(struct visit, headers));
    v->n_headers = 0;
    v->x = x;
    x->state = v;
    x->on_done = end_visit;
    check(v, assertion);
}

/* ---- probes ---- */

static void end_probe(struct exchange *x)
{
    upstream_close(x->state);
}

static void on_opened(void *arg, enum gw_err err, const char *detail)
{
    struct exchange *x = arg;
    upstream_close(x->state);
    x->state = NULL;
    if (err == GW_OK)
        reply_text(x, 200, VIEW("ready\n"));
    else
        reply_text(x, 503, arena_copy(&x->arena, view_of(detail)));
}

static void on_ready(void *arg, uint32_t events)
{
    (void)arg, (void)events;
}

static void probe(struct exchange *x)
{
    static const struct upstream_events events = {on_opened, on_ready};
    struct guard *g = x->core->guard;
    struct upstream *u = NULL;
    if (atomic_load(&g->is_draining)) {
        reply_text(x, 503, VIEW("draining\n"));
        return;
    }
    if (keyfeed_keys(g->keys) == NULL) {
        reply_text(x, 503, VIEW("the gateway's keys cannot be read\n"));
        return;
    }
    if (upstream_open(g->probes, g->upstream, UPSTREAM_FRESH, &events, x, &u) != GW_OK) {
        reply_text(x, 503, VIEW("the program behind cannot be asked\n"));
        return;
    }
    x->state = u;
    x->on_done = end_probe;
}

void guard_handle(struct exchange *x)
{
    struct view path = x->request.uri.path;
    if (view_eq(path, VIEW(GUARD_LIVE)))
        reply_text(x, 200, VIEW("ok\n"));
    else if (view_eq(path, VIEW(GUARD_READY)))
        probe(x);
    else
        begin_visit(x);
}

/* A proxy asks whether a request may pass: identify, decide, record, and answer. How much is said besides yes or no is the
 * dialect's matter (reply.c); the request's own body is never waited for, and nothing is ever upgraded. */
#include "handlers/echo.h"
#include "handlers/handlers.h"
#include "handlers/reply.h"
#include "util/meter.h"

static void end(struct exchange *x)
{
    if (x->state != NULL)
        gate_end(x->state);
}

/* Proxies whose configuration can be told where to go. */
static bool can_route(enum dialect d)
{
    switch (d) {
    case DIALECT_NGINX:
    case DIALECT_OUTPOST_NGINX:
    case DIALECT_HAPROXY:
    case DIALECT_CADDY:
        return true;
    case DIALECT_TRAEFIK:
    case DIALECT_ENVOY:
    case DIALECT_OWN:
    case DIALECT_COUNT:
        break;
    }
    return false;
}

/* Where the proxy is to send the request, in the topology in which the proxy routes. */
static void put_upstream(struct gate *g)
{
    struct driver_route route;
    struct driver_ask ask = {&g->repo, g->identify.who};
    if (g->is_echo)
        echo_note(g, can_route(g->dialect));
    if (!g->has_repo || !can_route(g->dialect))
        return;
    if (driver_route(g->x->core->gateway->driver, &ask, &g->x->arena, &route) != GW_OK) {
        g->x->response.failed = true;
        return;
    }
    struct view parts[] = {VIEW("http://"), route.address, route.base_path};
    response_put(&g->x->response, "X-Repogate-Upstream", arena_join(&g->x->arena, parts, 3));
    response_put(&g->x->response, "X-Repogate-Upstream-Host", route.host);
}

static void answer(struct gate *g)
{
    struct response *r = &g->x->response;
    if (g->outcome != OUTCOME_ALLOWED) {
        echo_count_refused(g);
        reply_outcome(g);
        return;
    }
    r->status = 200;
    response_put(r, "Cache-Control", VIEW("no-store"));
    for (size_t i = 0; i < g->attribution.n; i++)
        response_add(r, g->attribution.items[i].name, g->attribution.items[i].value);
    put_upstream(g);
    exchange_reply(g->x);
}

/* Where untrusted neighbours share the trusted address range, the proxy must also know a secret. */
static bool knows_secret(const struct exchange *x)
{
    struct secretfile *secret = x->core->gateway->proxy_secret;
    return secret == NULL || secretfile_is(secret, header_value(&x->request, HEADER_PROXY_SECRET));
}

void handle_auth(struct exchange *x, enum dialect d)
{
    if ((x->core->gateway->config->server.dialects & 1u << d) == 0) {
        handle_nothing(x);
        return;
    }
    if (x->request.has_body)
        meter_inc(METER_AUTH_BODY_ANNOUNCED);
    if (!knows_secret(x))
        x->request.peer_is_trusted = false;
    x->on_done = end;
    x->state = gate_begin(x, d, answer, NULL);
    if (x->state == NULL)
        reply_defect(x);
}

/* What answers without a person: health, readiness, metrics. */
#include "handlers/handlers.h"
#include "handlers/reply.h"
#include "util/meter.h"

enum { METRICS_MAX_BYTES = 256 * 1024 };

void handle_health(struct exchange *x)
{
    reply_text(x, 200, VIEW("OK"));
}

void handle_ping(struct exchange *x)
{
    x->response.status = 204;
    exchange_reply(x);
}

static void put_state(struct buf *out, const char *name, const char *state, const char *why)
{
    buf_printf(out, "\"%s\":{\"state\":\"%s\"", name, state);
    if (why[0] != '\0') {
        buf_puts(out, ",\"detail\":");
        buf_put_json(out, view_of(why));
    }
    buf_puts(out, "},");
}

/* Not ready only for what makes every decision a denial; without the provider, known sessions go on. */
void handle_ready(struct exchange *x)
{
    struct gateway *gw = x->core->gateway;
    struct buf out = BUF(PAGE_MAX_BYTES);
    bool has_policy = atomic_load(&gw->has_policy), can_write = journal_is_healthy(gw->journal),
         is_draining = atomic_load(&gw->is_draining);
    bool is_ready = has_policy && can_write && !is_draining;
    buf_puts(&out, "{");
    put_state(&out, "policy", has_policy ? "ok" : "failed", has_policy ? "" : "no policy is in force");
    put_state(&out, "audit", can_write ? "ok" : "failed", can_write ? "" : "the last audit line could not be written");
    put_state(&out, "provider", provider_is_ready(x->core->provider) ? "ok" : "degraded", provider_trouble(x->core->provider));
    buf_printf(&out, "\"draining\":%s,\"ready\":%s}\n", is_draining ? "true" : "false", is_ready ? "true" : "false");
    reply_json(x, is_ready ? 200 : 503, VIEW("application/json"), &out);
}

void handle_metrics(struct exchange *x)
{
    struct buf out = BUF(METRICS_MAX_BYTES);
    meter_format(&out);
    reply_json(x, 200, VIEW("text/plain; version=0.0.4; charset=utf-8"), &out);
}

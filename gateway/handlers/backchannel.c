/* The provider says that a session of its own has ended, or all of a person (OpenID Connect Back-Channel Logout 1.0). Whoever it is that
 * speaks, only what the provider signed counts. 400 for what will never be right, 503 for what may be later, so that it is sent again.
 * The token and its jti are marked used in the transaction that ends the sessions: a token is acted upon once, however often it comes. */
#include "handlers/forget.h"
#include "handlers/handlers.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "http/form.h"
#include "http/original.h"
#include "identity/verifier.h"
#include "util/digest.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"

#include <stdio.h>

enum { THROTTLE_LOGOUT = 0, WAITS_MAX = 4, MARKED_MAX_S = 24 * 3600, MARK_MAX_BYTES = VERIFIER_TOKEN_MAX + 1024 };

struct backchannel {
    struct exchange *x;
    struct view token;
    struct provider_logout logout;
    bool by_sub;
    unsigned n_waits;
    uint8_t token_id[DIGEST_BYTES], jti_id[DIGEST_BYTES];
};

/* ---- answers ---- */

static void reply_done(struct exchange *x)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    buf_puts(&out, "{}\n");
    reply_json(x, 200, VIEW("application/json"), &out);
}

static void reply_error(struct exchange *x, int status, const char *error, const char *text)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    buf_puts(&out, "{\"error\":");
    buf_put_json(&out, view_of(error));
    buf_puts(&out, ",\"error_description\":");
    buf_put_json(&out, view_of(text));
    buf_puts(&out, "}\n");
    reply_json(x, status, VIEW("application/json"), &out);
}

static void reply_later(struct exchange *x, const char *why)
{
    meter_inc(METER_BACKCHANNEL_FAILED);
    log_event(LOG_WARN, "a back-channel logout could not be carried out yet", LOG_KV("reason", view_of(why)));
    response_put(&x->response, "Retry-After", VIEW("5"));
    reply_error(x, 503, "temporarily_unavailable", why);
}

static void record(struct backchannel *b, const char *outcome, const char *reason, struct view text, int64_t count)
{
    const struct provider_logout *l = &b->logout;
    struct record_sessions sessions = {
        .how = VIEW("backchannel"),
        .by = b->by_sub ? VIEW("sub") : VIEW("sid"),
        .name = b->by_sub ? l->sub : l->sid,
        .count = count,
    };
    recorder_event(b->x, &(struct recorder_event){.type = "logout",
                                                  .outcome = outcome,
                                                  .reason = reason,
                                                  .reason_text = text,
                                                  .iss = l->iss,
                                                  .uid = l->sub,
                                                  .sessions = l->iss.n > 0 ? &sessions : NULL});
}

/* Anybody may send these, so their lines in the logs are counted per address. */
static void refuse(struct backchannel *b, const char *why)
{
    struct exchange *x = b->x;
    const struct config *c = x->core->gateway->config;
    struct ipaddr client = {0};
    struct throttle_refusal refusal;
    char after[24];
    meter_inc(METER_BACKCHANNEL_REFUSED);
    if (original_find_client(&x->request, c->server.trusted_proxies, c->server.n_trusted_proxies, &client) != ORIGINAL_FINE)
        client = (struct ipaddr){0};
    if (!throttle_take(x->core->gateway->bad_tokens, THROTTLE_LOGOUT, &client, epoch_mono_us(), &refusal)) {
        snprintf(after, sizeof(after), "%lld", (long long)refusal.retry_after_s);
        response_put(&x->response, "Retry-After", arena_copy(&x->arena, view_of(after)));
        reply_error(x, 429, "invalid_request", "too many invalid logout tokens");
        return;
    }
    log_event(LOG_WARN, "a back-channel logout was refused", LOG_KV("reason", view_of(why)));
    record(b, "failed", "invalid_logout_token", view_of(why), -1);
    reply_error(x, 400, "invalid_request", why);
}

/* ---- what it does ---- */

static void on_revoked(void *arg, enum gw_err err, size_t n)
{
    struct backchannel *b = arg;
    switch (err) {
    case GW_OK:
        meter_inc(METER_BACKCHANNEL_OK);
        record(b, "ok", "backchannel", VIEW_NONE, (int64_t)n);
        reply_done(b->x);
        break;
    case GW_E_EXPIRED: /* done before */
        meter_inc(METER_BACKCHANNEL_OK);
        reply_done(b->x);
        break;
    case GW_E_INVALID:
        refuse(b, "the jti is that of another logout token");
        break;
    default:
        reply_later(b->x, "the session store does not answer");
        break;
    }
}

static enum gw_err mark(struct view purpose, struct view iss, struct view what, uint8_t out[DIGEST_BYTES])
{
    struct buf text = BUF(MARK_MAX_BYTES);
    buf_put(&text, purpose);
    buf_put_u64(&text, iss.n);
    buf_put_byte(&text, ':');
    buf_put(&text, iss);
    buf_put(&text, what);
    enum gw_err err = buf_ok(&text) ? digest_sha256(buf_view(&text), out) : GW_E_LIMIT;
    buf_deinit(&text);
    return err;
}

static enum gw_err revoke(struct backchannel *b)
{
    struct gateway *gw = b->x->core->gateway;
    const struct provider_logout *l = &b->logout;
    int64_t until_s = epoch_now_s() + MARKED_MAX_S, expires_s = l->expires_s + VERIFIER_LEEWAY_S + 1;
    struct session_revocation r = {
        .by = b->by_sub ? SESSION_BY_SUB : SESSION_BY_SID,
        .iss = l->iss,
        .name = b->by_sub ? l->sub : l->sid,
        .issued_until_s = l->issued_s,
        .once = b->token_id,
        .once_name = b->jti_id,
        .once_until_s = expires_s < until_s ? expires_s : until_s,
    };
    enum gw_err err = mark(VIEW("logout token "), l->iss, b->token, b->token_id);
    if (err == GW_OK)
        err = mark(VIEW("logout jti "), l->iss, l->jti, b->jti_id);
    /* First, since it can be done again: a token that is sent anew does nothing more in the store. */
    if (err == GW_OK)
        err = forget_machines(
            gw, &(struct machine_ending){.iss = r.iss, .name = r.name, .by_sub = b->by_sub, .issued_until_s = l->issued_s});
    return err == GW_OK ? session_revoke(gw->sessions, b->x->core->loop, &r, on_revoked, b) : err;
}

static void act(struct backchannel *b)
{
    struct arena *a = &b->x->arena;
    struct provider_logout *l = &b->logout;
    l->sid = arena_copy(a, l->sid);
    l->sub = arena_copy(a, l->sub);
    l->jti = arena_copy(a, l->jti);
    b->by_sub = l->sid.n == 0;
    enum gw_err err = l->sid.p == NULL || l->sub.p == NULL || l->jti.p == NULL ? GW_E_NOMEM : revoke(b);
    if (err != GW_OK)
        reply_later(b->x, "too much is under way");
}

static void check(void *arg)
{
    struct backchannel *b = arg;
    const char *why = "";
    if (b->n_waits++ == WAITS_MAX) {
        reply_later(b->x, "the identity provider's keys cannot be read");
        return;
    }
    switch (provider_check_logout(b->x->core->provider, b->token, &b->logout, &why, check, b)) {
    case PROVIDER_CHECK_VALID:
        act(b);
        break;
    case PROVIDER_CHECK_REFUSED:
        refuse(b, why);
        break;
    case PROVIDER_CHECK_UNAVAILABLE:
        reply_later(b->x, "the identity provider's keys cannot be read");
        break;
    case PROVIDER_CHECK_PENDING:
        break;
    }
}

void handle_backchannel_logout(struct exchange *x)
{
    struct backchannel *b = arena_get(&x->arena, sizeof(*b));
    if (b == NULL) {
        reply_defect(x);
        return;
    }
    memset(b, 0, sizeof(*b));
    b->x = x;
    if (form_get(x->form, VIEW("logout_token"), &x->arena, &b->token) == FORM_ONE)
        check(b);
    else
        refuse(b, "not a form with one logout_token");
}

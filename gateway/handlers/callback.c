/* The browser comes back from Authentik. The attempt's cookie ties the answer to the browser that asked, its state is compared, marked
 * used, and only then is the code redeemed (RFC 6749 10.12, OpenID Connect Core 3.1.2.7). */
#include "handlers/again.h"
#include "handlers/handlers.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "http/cookie.h"
#include "http/form.h"
#include "http/original.h"
#include "store/pending.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/secret.h"

enum { NAME_MAX_BYTES = 256 };

struct callback {
    struct exchange *x;
    struct pending pending;
    struct view cookie_name, code;
    struct principal *who; /* counted, once the provider has answered */
    char ip[IPADDR_TEXT_MAX + 1];
};

static void end(struct exchange *x)
{
    struct callback *c = x->state;
    principal_unref(c->who);
    secret_wipe(&c->pending, sizeof(c->pending));
}

static void fail(struct callback *c, int status, const char *reason, const char *title, const char *text, struct view detail)
{
    struct exchange *x = c->x;
    meter_inc(METER_LOGIN_FAILED);
    log_event(LOG_WARN, "login failed", LOG_KV("reason", view_of(reason)), LOG_KV("detail", detail));
    recorder_event(x, &(struct recorder_event){.type = "login", .outcome = "failed", .reason = reason, .reason_text = detail});
    if (c->cookie_name.n > 0)
        reply_set_cookie(x, c->cookie_name, VIEW_NONE, 0);
    again_clear(x);
    reply_problem(x,
                  &(struct reply_problem){.status = status, .reason = reason, .title = title, .text = text, .retry_href = "/"});
}

/* A stale tab or a lost cookie is not the person's fault: begin again, once, then say so. Never a loop. */
static void restart(struct callback *c, const char *why)
{
    struct exchange *x = c->x;
    if (again_is_marked(x)) {
        fail(
            c, 400, "bad_state", "This login could not be finished",
            "It was begun in another browser, took too long, or was used before. Close other tabs and begin again; cookies must be allowed.",
            view_of(why));
        return;
    }
    recorder_event(
        x, &(struct recorder_event){.type = "login", .outcome = "failed", .reason = "restarted", .reason_text = view_of(why)});
    if (c->cookie_name.n > 0)
        reply_set_cookie(x, c->cookie_name, VIEW_NONE, 0);
    again_mark(x);
    reply_redirect(x, 302, VIEW(AGAIN_LOGIN_TARGET));
}

/* ---- the session ---- */

static void ignore_ended(void *arg, enum gw_err err, struct view id_token)
{
    (void)arg, (void)err, (void)id_token;
}

/* The identifier is new with each login; the one that the browser came with is worth nothing any more. */
static void end_old_session(struct exchange *x)
{
    struct view old;
    struct gateway *gw = x->core->gateway;
    if (cookie_get(&x->request, view_of(gw->cookie_name), &old) != COOKIE_ONE)
        return;
    enum gw_err err = session_give_way(gw->sessions, x->core->loop, old, ignore_ended, NULL);
    if (err != GW_OK && err != GW_E_NOTFOUND)
        log_printf(LOG_WARN, "an old session could not be deleted yet: %s", gw_err_name(err));
}

static void on_created(void *arg, enum gw_err err, struct view cookie)
{
    struct callback *c = arg;
    struct exchange *x = c->x;
    struct gateway *gw = x->core->gateway;
    if (err == GW_E_EXPIRED) {
        restart(c, "there was a logout after this login began");
        return;
    }
    if (err != GW_OK) {
        fail(c, 503, "store_unavailable", "Logging in is not possible at the moment",
             "Your session could not be stored. Try again in a moment.", view_of(gw_err_name(err)));
        return;
    }
    if (!recorder_event(x, &(struct recorder_event){.type = "login", .outcome = "ok", .reason = "logged_in", .who = c->who})) {
        enum gw_err ended = session_end(gw->sessions, x->core->loop, cookie, ignore_ended, NULL);
        fail(c, 503, "audit_unavailable", "Logging in is not possible at the moment",
             "The audit log cannot be written, and nobody is let in without it.", view_of(gw_err_name(ended)));
        return;
    }
    meter_inc(METER_LOGIN_OK);
    end_old_session(x);
    struct view parts[] = {view_of(gw->config->server.public_url), view_of(c->pending.rd)};
    reply_set_cookie(x, view_of(gw->cookie_name), cookie, -1);
    reply_set_cookie(x, c->cookie_name, VIEW_NONE, 0);
    again_clear(x);
    reply_redirect(x, 302, arena_join(&x->arena, parts, 2));
}

static void on_redeemed(void *arg, enum gw_err err, const char *detail, const struct provider_login *login)
{
    struct callback *c = arg;
    struct exchange *x = c->x;
    if (err != GW_OK) {
        bool is_down = err == GW_E_TIMEOUT || err == GW_E_IO || err == GW_E_LIMIT;
        fail(c, is_down ? 503 : 502, is_down ? "provider_unavailable" : "login_refused", "This login could not be finished",
             "The identity provider did not confirm it. Try again; if it happens again, tell the operators.", view_of(detail));
        return;
    }
    c->who = principal_ref(login->who);
    struct session_new_spec spec = {
        .claims_json = login->claims_json,
        .id_token = login->id_token,
        .access_token = login->access_token,
        .refresh_token = login->refresh_token,
        .access_expires_s = login->access_expires_s,
        .begun_ms = c->pending.created_ms,
        .issued_s = login->issued_s,
        .iss = principal_iss(c->who),
        .sub = principal_sub(c->who),
        .sid = principal_sid(c->who),
        .username = principal_username(c->who),
        .ip = view_of(c->ip),
    };
    err = session_create(x->core->gateway->sessions, x->core->loop, &spec, on_created, c);
    if (err != GW_OK)
        on_created(c, err, VIEW_NONE);
}

/* ---- the attempt ---- */

static void on_used(void *arg, enum gw_err err)
{
    struct callback *c = arg;
    if (err == GW_E_EXPIRED) {
        restart(c, "the state was used before");
        return;
    }
    if (err == GW_OK)
        err = provider_redeem(c->x->core->provider, c->code, view_of(c->pending.verifier), view_of(c->pending.nonce), on_redeemed,
                              c);
    else {
        fail(c, 503, "store_unavailable", "Logging in is not possible at the moment",
             "The session store does not answer. Try again in a moment.", view_of(gw_err_name(err)));
        return;
    }
    if (err != GW_OK)
        on_redeemed(c, err, gw_err_name(err), NULL);
}

/* What is wrong with the attempt, or NULL. */
static const char *open_attempt(struct callback *c, struct view state)
{
    struct gateway *gw = c->x->core->gateway;
    struct buf name = BUF(NAME_MAX_BYTES);
    struct view value;
    enum gw_err err = pending_cookie_name(&name, view_of(gw->login_cookie_prefix), state);
    if (err == GW_OK && buf_ok(&name))
        c->cookie_name = arena_copy(&c->x->arena, buf_view(&name));
    buf_deinit(&name);
    if (c->cookie_name.n == 0)
        return "the state is none of ours";
    if (cookie_get(&c->x->request, c->cookie_name, &value) != COOKIE_ONE)
        return "no cookie of this login attempt";
    err = pending_open(gw->ring, value, epoch_now_s(), &c->pending);
    if (err == GW_E_EXPIRED)
        return "the login took too long";
    if (err != GW_OK)
        return "the cookie of this login attempt was changed";
    return pending_has_state(&c->pending, state) ? NULL : "the state belongs to another attempt";
}

static void provider_said_no(struct callback *c, struct view error)
{
    struct view text = VIEW_NONE, parts[] = {error, VIEW(": "), VIEW_NONE};
    form_get(c->x->request.uri.query, VIEW("error_description"), &c->x->arena, &text);
    parts[2] = text;
    fail(c, 403, "provider_refused", "The identity provider refused this login",
         "It may be that you have no access to this application, or that the login was cancelled.",
         arena_join(&c->x->arena, parts, text.n > 0 ? 3 : 1));
}

void handle_callback(struct exchange *x)
{
    struct view state = VIEW_NONE, error = VIEW_NONE, query = x->request.uri.query;
    struct callback *c = arena_get(&x->arena, sizeof(*c));
    if (c == NULL) {
        reply_defect(x);
        return;
    }
    memset(c, 0, sizeof(*c));
    c->x = x;
    x->state = c;
    x->on_done = end;
    recorder_format_client(x, c->ip);
    if (form_get(query, VIEW("state"), &x->arena, &state) != FORM_ONE) {
        restart(c, "no state, or more than one");
        return;
    }
    const char *why = open_attempt(c, state);
    if (why != NULL) {
        restart(c, why);
        return;
    }
    if (form_get(query, VIEW("error"), &x->arena, &error) != FORM_ABSENT) {
        provider_said_no(c, error);
        return;
    }
    if (form_get(query, VIEW("code"), &x->arena, &c->code) != FORM_ONE) {
        restart(c, "no code, or more than one");
        return;
    }
    enum gw_err err = pending_use(x->core->gateway->store, x->core->gateway->jobs, x->core->loop, &c->pending, on_used, c);
    if (err != GW_OK)
        on_used(c, err);
}

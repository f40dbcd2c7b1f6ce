/* The browser comes back from Authentik. The attempt's cookie ties the answer to the browser that asked, its state is compared, marked
 * used, and only then is the code redeemed (RFC 6749 10.12, OpenID Connect Core 3.1.2.7). */
#include "handlers/again.h"
#include "handlers/handlers.h"
#include "handlers/identify.h"
#include "handlers/ratelimit.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "handlers/stronger.h"
#include "http/cookie.h"
#include "http/form.h"
#include "http/original.h"
#include "store/pending.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"
#include "util/secret.h"

enum { NAME_MAX_BYTES = 256, SAID_MAX_BYTES = 200 };

struct callback {
    struct exchange *x;
    struct pending pending;
    struct view cookie_name, code;
    struct principal *who; /* counted, once the provider has answered */
    struct identify visitor;
    const char *stale; /* why the attempt is worth nothing */
    char ip[IPADDR_TEXT_MAX + 1];
};

static void end(struct exchange *x)
{
    struct callback *c = x->state;
    principal_unref(c->who);
    identify_end(&c->visitor);
    secret_wipe(&c->pending, sizeof(c->pending));
}

/* Where the browser was going; "/" while the attempt has not been opened. */
static const char *wanted(const struct callback *c)
{
    return c->pending.rd[0] == '\0' ? "/" : c->pending.rd;
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
    reply_problem(
        x, &(struct reply_problem){.status = status, .reason = reason, .title = title, .text = text, .retry_href = wanted(c)});
}

/* The attempt is over, well. */
static void go_on(struct callback *c)
{
    struct exchange *x = c->x;
    struct view parts[] = {view_of(x->core->gateway->config->server.public_url), view_of(wanted(c))};
    if (c->cookie_name.n > 0)
        reply_set_cookie(x, c->cookie_name, VIEW_NONE, 0);
    again_clear(x);
    reply_redirect(x, 302, arena_join(&x->arena, parts, 2));
}

static void begin_again(struct callback *c, const char *why)
{
    struct exchange *x = c->x;
    if (again_is_marked(x)) {
        fail(c, 400, "bad_state", text_of(TEXT_LOGIN_UNFINISHED), text_of(TEXT_LOGIN_STALE), view_of(why));
        return;
    }
    recorder_event(
        x, &(struct recorder_event){.type = "login", .outcome = "failed", .reason = "restarted", .reason_text = view_of(why)});
    if (c->cookie_name.n > 0)
        reply_set_cookie(x, c->cookie_name, VIEW_NONE, 0);
    again_mark(x);
    reply_redirect(x, 302, VIEW(AGAIN_LOGIN_TARGET));
}

static void on_visitor(struct identify *i, enum identified found)
{
    struct callback *c = GW_OWNER(i, struct callback, visitor);
    if (found == IDENTIFIED_KNOWN && i->session != NULL)
        go_on(c);
    else
        begin_again(c, c->stale);
}

/* A stale tab or a lost cookie is not the person's fault. The back button after a login leads to an answer that was used; whoever is
 * logged in by then goes on. Otherwise: begin again, once, then say so. Never a loop. */
static void restart(struct callback *c, const char *why)
{
    c->stale = why;
    c->visitor = (struct identify){.x = c->x, .done = on_visitor, .client = identify_client(c->x)};
    identify_begin(&c->visitor);
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
        fail(c, 503, "store_unavailable", text_of(TEXT_LOGIN_IMPOSSIBLE), text_of(TEXT_SESSION_NOT_STORED),
             view_of(gw_err_name(err)));
        return;
    }
    if (!recorder_event(x, &(struct recorder_event){.type = "login", .outcome = "ok", .reason = "logged_in", .who = c->who})) {
        enum gw_err ended = session_end(gw->sessions, x->core->loop, cookie, ignore_ended, NULL);
        fail(c, 503, "audit_unavailable", text_of(TEXT_LOGIN_IMPOSSIBLE), text_of(TEXT_LOGIN_NOT_RECORDED),
             view_of(gw_err_name(ended)));
        return;
    }
    meter_inc(METER_LOGIN_OK);
    end_old_session(x);
    reply_set_cookie(x, view_of(gw->cookie_name), cookie, -1);
    again_count(x);
    go_on(c);
}

/* What the login was asked for stays with the session that it makes, so that it is not asked for twice. */
static int64_t need_asked(const struct callback *c)
{
    struct stronger asked = stronger_unpack(c->pending.need);
    asked.is_asked = true;
    return stronger_pack(&asked);
}

static void on_redeemed(void *arg, enum gw_err err, const char *detail, const struct provider_login *login)
{
    struct callback *c = arg;
    struct exchange *x = c->x;
    if (err != GW_OK) {
        bool is_down = err == GW_E_TIMEOUT || err == GW_E_IO || err == GW_E_LIMIT;
        fail(c, is_down ? 503 : 502, is_down ? "provider_unavailable" : "login_refused", text_of(TEXT_LOGIN_UNFINISHED),
             text_of(TEXT_LOGIN_NOT_CONFIRMED), view_of(detail));
        return;
    }
    c->who = principal_ref(login->who);
    int64_t retry_s;
    if (!ratelimit_admits_person(x, c->who, &retry_s)) {
        ratelimit_put_retry(x, retry_s);
        fail(c, 429, "rate_limited", text_of(TEXT_TOO_MANY_LOGINS), text_of(TEXT_TOO_MANY_LOGINS_OF_ONE),
             VIEW("too many sessions of one person"));
        return;
    }
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
        .need = need_asked(c),
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
        fail(c, 503, "store_unavailable", text_of(TEXT_LOGIN_IMPOSSIBLE), text_of(TEXT_STORE_SILENT), view_of(gw_err_name(err)));
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

/* RFC 6749 4.1.2.1, OpenID Connect Core 3.1.2.6; for people. */
static const struct said {
    const char *error;
    int status;
    const char *reason;
    enum text_id text;
} said[] = {
    {"access_denied", 403, "provider_refused", TEXT_SAID_DENIED},
    {"login_required", 403, "provider_refused", TEXT_SAID_LOGIN},
    {"interaction_required", 403, "provider_refused", TEXT_SAID_INTERACTION},
    {"consent_required", 403, "provider_refused", TEXT_SAID_CONSENT},
    {"account_selection_required", 403, "provider_refused", TEXT_SAID_ACCOUNT},
    {"unmet_authentication_requirements", 403, "step_up_failed", TEXT_SAID_UNMET},
    {"temporarily_unavailable", 503, "provider_unavailable", TEXT_SAID_BUSY},
    {"server_error", 502, "provider_unavailable", TEXT_SAID_BROKEN},
    {"invalid_request", 502, "login_refused", TEXT_SAID_TO_OPERATORS},
    {"invalid_scope", 502, "login_refused", TEXT_SAID_TO_OPERATORS},
    {"unauthorized_client", 502, "login_refused", TEXT_SAID_TO_OPERATORS},
    {"unsupported_response_type", 502, "login_refused", TEXT_SAID_TO_OPERATORS},
};
static const struct said said_else = {"", 403, "provider_refused", TEXT_SAID_ELSE};

static const struct said *find_said(struct view error)
{
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++)
        if (view_eq(error, view_of(said[i].error)))
            return &said[i];
    return &said_else;
}

/* What another site wrote, on a page of ours: short, on one line, cut between characters. */
static struct view quote(struct arena *a, struct view text)
{
    size_t n = text.n;
    if (n > SAID_MAX_BYTES)
        for (n = SAID_MAX_BYTES; n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80;)
            n--;
    char *copy = arena_get(a, n + 1);
    if (copy == NULL)
        return VIEW_NONE;
    for (size_t i = 0; i < n; i++)
        copy[i] = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f ? ' ' : text.p[i];
    copy[n] = '\0';
    return view_at(copy, n);
}

/* Shown, never acted upon: the attempt is over, and another begins only when the person says so. */
static void provider_said_no(struct callback *c, struct view error)
{
    struct arena *a = &c->x->arena;
    struct view detail = VIEW_NONE;
    form_get(c->x->request.uri.query, VIEW("error_description"), a, &detail);
    const struct said *s = find_said(error);
    struct view whole[] = {error, VIEW(": "), detail};
    struct view shown[] = {view_of(text_of(s->text)), view_of(text_of(TEXT_IT_SAID)), quote(a, error),
                           detail.n > 0 ? VIEW(", ") : VIEW_NONE, quote(a, detail)};
    struct view text = arena_join(a, shown, 5);
    if (s->status == 503)
        response_put(&c->x->response, "Retry-After", VIEW("60"));
    fail(c, s->status, s->reason, text_of(TEXT_PROVIDER_REFUSED), text.p == NULL ? shown[0].p : text.p,
         arena_join(a, whole, detail.n > 0 ? 3 : 1));
}

void handle_callback(struct exchange *x)
{
    struct view state = VIEW_NONE, error = VIEW_NONE, query = x->request.uri.query;
    if (!ratelimit_admits(x, RATELIMIT_CALLBACK))
        return;
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

/* The beginning of a login: one sealed cookie per attempt, so that parallel tabs work, and 302 to Authentik. Nothing is kept on the
 * server until the browser comes back. A session that the browser has already is looked at for two reasons: it may remember that a
 * stronger login is needed, and a browser that goes in circles is told why its session does not help it. */
#include "handlers/again.h"
#include "handlers/handlers.h"
#include "handlers/identify.h"
#include "handlers/ratelimit.h"
#include "handlers/rd.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "handlers/stronger.h"
#include "http/cookie.h"
#include "http/form.h"
#include "store/pending.h"
#include "util/epoch.h"
#include "util/log.h"
#include "util/meter.h"

enum { COOKIES_LOOKED_AT_MAX = 32 };

struct login {
    struct exchange *x;
    struct identify visitor;
    struct stronger need; /* is_asked: and nothing more is to be asked for now */
};

static void end(struct exchange *x)
{
    struct login *l = x->state;
    identify_end(&l->visitor);
}

/* ---- on to Authentik ---- */

static size_t list_cookies(const struct exchange *x, struct pending_cookie *out)
{
    const struct request *r = &x->request;
    size_t n = 0;
    for (size_t i = 0; i < r->n_headers; i++) {
        struct view name, value;
        size_t pos = 0;
        if (!view_eq_ci(r->headers[i].name, VIEW("cookie")))
            continue;
        while (n < COOKIES_LOOKED_AT_MAX && cookie_next(r->headers[i].value, &pos, &name, &value))
            if (!again_is_cookie(x, name))
                out[n++] = (struct pending_cookie){name, value};
    }
    return n;
}

static void drop_old_attempts(struct exchange *x, size_t new_bytes)
{
    struct gateway *gw = x->core->gateway;
    struct pending_cookie cookies[COOKIES_LOOKED_AT_MAX];
    size_t drops[PENDING_DROPS_MAX];
    size_t n = list_cookies(x, cookies);
    size_t n_drops = pending_find_drops(gw->ring, view_of(gw->login_cookie_prefix), cookies, n, new_bytes, epoch_now_s(), drops);
    for (size_t i = 0; i < n_drops; i++)
        reply_set_cookie(x, cookies[drops[i]].name, VIEW_NONE, 0);
}

static bool is_asked_for_fresh(struct exchange *x)
{
    struct view value;
    return form_get(rd_own_query(x->request.uri.query), VIEW(LOGIN_FRESH_FIELD), &x->arena, &value) == FORM_ONE;
}

static enum gw_err make_attempt(const struct login *l, struct buf *name, struct buf *value, struct buf *url)
{
    struct exchange *x = l->x;
    struct gateway *gw = x->core->gateway;
    bool is_stronger = !l->need.is_asked && !stepup_is_none(&l->need.what);
    struct pending p;
    char challenge[PENDING_RANDOM_LEN + 1];
    struct view rd = rd_pick(x->request.uri.query, &gw->config->server.public_uri, &x->arena);
    enum gw_err err = pending_new(rd, epoch_now_ms(), &p);
    if (err == GW_OK && is_stronger)
        p.need = stronger_pack(&l->need);
    if (err == GW_OK)
        err = pending_challenge(view_of(p.verifier), challenge);
    if (err == GW_OK)
        err = pending_cookie_name(name, view_of(gw->login_cookie_prefix), view_of(p.state));
    if (err == GW_OK)
        err = pending_seal(gw->ring, &p, value);
    if (err != GW_OK)
        return err;
    struct provider_authorize a = {.state = view_of(p.state),
                                   .nonce = view_of(p.nonce),
                                   .code_challenge = view_of(challenge),
                                   .is_prompted = is_stronger || is_asked_for_fresh(x)};
    if (is_stronger)
        a.max_age_s = l->need.what.max_age_s;
    return provider_authorize_url(x->core->provider, &a, url);
}

static void send_to_provider(struct login *l)
{
    struct exchange *x = l->x;
    struct buf name = BUF(256), value = BUF(REQUEST_COOKIE_MAX_BYTES), url = BUF(URI_MAX);
    enum gw_err err = make_attempt(l, &name, &value, &url);
    if (err == GW_OK && buf_ok(&name) && buf_ok(&value) && buf_ok(&url)) {
        drop_old_attempts(x, name.n + value.n);
        reply_set_cookie(x, arena_copy(&x->arena, buf_view(&name)), buf_view(&value), PENDING_LIFE_S);
        reply_redirect(x, 302, arena_copy(&x->arena, buf_view(&url)));
    } else {
        log_printf(LOG_ERROR, "a login could not be begun: %s", gw_err_name(err));
        reply_defect(x);
    }
    buf_deinit(&name);
    buf_deinit(&value);
    buf_deinit(&url);
}

static void on_provider(void *arg, enum gw_err err)
{
    struct login *l = arg;
    struct exchange *x = l->x;
    if (err == GW_OK && provider_is_ready(x->core->provider)) {
        send_to_provider(l);
        return;
    }
    response_put(&x->response, "Retry-After", VIEW("10"));
    reply_problem(x, &(struct reply_problem){
                         .status = 503,
                         .reason = "provider_unavailable",
                         .title = text_of(TEXT_LOGIN_IMPOSSIBLE),
                         .text = text_of(TEXT_PROVIDER_UNREACHABLE),
                         .retry_href = "/",
                     });
}

/* ---- not on to Authentik ---- */

static void reply_no_cookies(struct exchange *x)
{
    reply_problem(x, &(struct reply_problem){
                         .status = 400,
                         .reason = "bad_state",
                         .title = text_of(TEXT_LOGIN_UNFINISHED),
                         .text = text_of(TEXT_NO_COOKIES),
                         .retry_href = "/",
                     });
}

/* Why the session that each of those logins made is not taken for one; for people who can do something about it. */
static struct view explain_circle(struct login *l, enum identified found)
{
    struct view parts[] = {
        view_of(text_of(TEXT_CIRCLE_BEGIN)),
        VIEW_NONE,
        view_of(text_of(TEXT_CIRCLE_END)),
    };
    struct view cookie;
    switch (found) {
    case IDENTIFIED_KNOWN:
        parts[1] = view_of(text_of(TEXT_CIRCLE_OTHER_COOKIE));
        break;
    case IDENTIFIED_UNAVAILABLE:
        parts[1] = view_of(text_of(TEXT_CIRCLE_UNREADABLE));
        break;
    case IDENTIFIED_UNREACHABLE:
    case IDENTIFIED_LIMITED:
        parts[1] = view_of(l->visitor.why);
        break;
    case IDENTIFIED_NOBODY:
        parts[1] = cookie_get(&l->x->request, view_of(l->x->core->gateway->cookie_name), &cookie) == COOKIE_ABSENT
                       ? view_of(text_of(TEXT_CIRCLE_NO_COOKIE))
                       : view_of(l->visitor.why);
        break;
    }
    return arena_join(&l->x->arena, parts, 3);
}

static void reply_circling(struct login *l, enum identified found)
{
    struct exchange *x = l->x;
    struct view text = explain_circle(l, found);
    meter_inc(METER_LOGIN_FAILED);
    log_event(LOG_WARN, "login failed", LOG_KV("reason", VIEW("login_loop")), LOG_KV("detail", text));
    recorder_event(x,
                   &(struct recorder_event){
                       .type = "login", .outcome = "failed", .reason = "login_loop", .reason_text = text, .who = l->visitor.who});
    again_forget_count(x);
    again_clear(x);
    reply_problem(x, &(struct reply_problem){
                         .status = 400,
                         .reason = "login_loop",
                         .title = text_of(TEXT_CIRCLE),
                         .text = text.p == NULL ? text_of(TEXT_CIRCLE_SHORT) : text.p,
                         .retry_href = "/",
                     });
}

/* ---- who is here ---- */

static bool is_asked_for_more(struct exchange *x)
{
    struct view value;
    return form_get(rd_own_query(x->request.uri.query), VIEW(STRONGER_FIELD), &x->arena, &value) == FORM_ONE;
}

static void on_visitor(struct identify *i, enum identified found)
{
    struct login *l = GW_OWNER(i, struct login, visitor);
    struct exchange *x = l->x;
    if (again_is_circling(x)) {
        reply_circling(l, found);
        return;
    }
    if (i->session != NULL)
        l->need = stronger_unpack(session_get_need(i->session));
    if (is_asked_for_more(x))
        l->need.is_asked = false;
    if (provider_is_ready(x->core->provider))
        send_to_provider(l);
    else
        provider_when_ready(x->core->provider, on_provider, l);
}

void handle_login(struct exchange *x)
{
    if (!ratelimit_admits(x, RATELIMIT_LOGIN))
        return;
    if (again_is_lost(x)) {
        reply_no_cookies(x);
        return;
    }
    struct login *l = arena_get(&x->arena, sizeof(*l));
    if (l == NULL) {
        reply_defect(x);
        return;
    }
    *l = (struct login){.x = x, .visitor = {.x = x, .done = on_visitor, .client = identify_client(x)}};
    x->state = l;
    x->on_done = end;
    identify_begin(&l->visitor);
}

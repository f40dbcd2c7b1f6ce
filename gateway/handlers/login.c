/* The beginning of a login: one sealed cookie per attempt, so that parallel tabs work, and 302 to Authentik. Nothing is kept on the
 * server until the browser comes back. */
#include "handlers/again.h"
#include "handlers/handlers.h"
#include "handlers/rd.h"
#include "handlers/reply.h"
#include "http/cookie.h"
#include "store/pending.h"
#include "util/epoch.h"
#include "util/log.h"

enum { COOKIES_LOOKED_AT_MAX = 32 };

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

static enum gw_err make_attempt(struct exchange *x, struct buf *name, struct buf *value, struct buf *url)
{
    struct gateway *gw = x->core->gateway;
    struct pending p;
    char challenge[PENDING_RANDOM_LEN + 1];
    struct view rd = rd_pick(x->request.uri.query, &gw->config->server.public_uri, &x->arena);
    enum gw_err err = pending_new(rd, epoch_now_ms(), &p);
    if (err == GW_OK)
        err = pending_challenge(view_of(p.verifier), challenge);
    if (err == GW_OK)
        err = pending_cookie_name(name, view_of(gw->login_cookie_prefix), view_of(p.state));
    if (err == GW_OK)
        err = pending_seal(gw->ring, &p, value);
    if (err != GW_OK)
        return err;
    struct provider_authorize a = {view_of(p.state), view_of(p.nonce), view_of(challenge)};
    return provider_authorize_url(x->core->provider, &a, url);
}

static void send_to_provider(struct exchange *x)
{
    struct buf name = BUF(256), value = BUF(REQUEST_COOKIE_MAX_BYTES), url = BUF(URI_MAX);
    enum gw_err err = make_attempt(x, &name, &value, &url);
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
    struct exchange *x = arg;
    if (err == GW_OK && provider_is_ready(x->core->provider)) {
        send_to_provider(x);
        return;
    }
    response_put(&x->response, "Retry-After", VIEW("10"));
    reply_problem(
        x,
        &(struct reply_problem){
            .status = 503,
            .reason = "provider_unavailable",
            .title = "Logging in is not possible at the moment",
            .text =
                "The identity provider cannot be reached. Whoever is logged in already can go on working. Try again in a moment.",
            .retry_href = "/",
        });
}

static void reply_no_cookies(struct exchange *x)
{
    reply_problem(
        x, &(struct reply_problem){
               .status = 400,
               .reason = "bad_state",
               .title = "This login could not be finished",
               .text = "Your browser does not keep this site's cookies, and a login needs them. Allow them, then begin again.",
               .retry_href = "/",
           });
}

void handle_login(struct exchange *x)
{
    if (again_is_lost(x))
        reply_no_cookies(x);
    else if (provider_is_ready(x->core->provider))
        send_to_provider(x);
    else
        provider_when_ready(x->core->provider, on_provider, x);
}

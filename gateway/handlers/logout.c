/* Logging out asks first (GET) and acts on POST. The cookie is SameSite=Lax, so another site's form arrives without it; Origin or
 * Sec-Fetch-Site must say so too. Here only, or at the identity provider too, as the person chooses (OpenID Connect RP-Initiated Logout 1.0):
 * the session here ends first, whatever comes of the other. The provider sends the browser back with a sealed state, by which the page that
 * it comes to knows that it was there. */
#include "handlers/handlers.h"
#include "handlers/identify.h"
#include "handlers/rd.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "http/cookie.h"
#include "http/form.h"
#include "util/b64url.h"
#include "util/epoch.h"

enum { STATE_LIFE_S = 600, STATE_MAX_BYTES = 256 };

static const struct view STATE_PURPOSE = {"logout state", 12};

struct logout {
    struct exchange *x;
    const struct principal *who;
    bool everywhere;
    struct view switch_to; /* where somebody else, logged in instead, goes on; p == NULL: nobody is to */
};

/* ---- the way to the provider and back ---- */

/* Empty on failure: then the page says less than it could. */
static struct view make_state(struct exchange *x)
{
    struct buf now = BUF(STATE_MAX_BYTES), sealed = BUF(STATE_MAX_BYTES), text = BUF(STATE_MAX_BYTES);
    struct view state = VIEW_NONE;
    buf_put_i64(&now, epoch_now_s());
    if (buf_ok(&now) && seal_put(x->core->gateway->ring, STATE_PURPOSE, VIEW_NONE, buf_view(&now), &sealed) == GW_OK)
        b64url_encode(&text, sealed.p, sealed.n);
    if (buf_ok(&text) && text.n > 0)
        state = arena_copy(&x->arena, buf_view(&text));
    buf_deinit(&now);
    buf_deinit(&sealed);
    buf_deinit(&text);
    return state;
}

static bool came_from_provider(struct exchange *x)
{
    uint8_t sealed[STATE_MAX_BYTES];
    struct buf text = BUF(STATE_MAX_BYTES);
    struct view state;
    size_t n;
    uint64_t made_s = 0;
    int64_t now_s = epoch_now_s();
    bool is_ours =
        form_get(x->request.uri.query, VIEW("state"), &x->arena, &state) == FORM_ONE &&
        b64url_decode(state, sealed, sizeof(sealed), &n) == GW_OK &&
        seal_open(x->core->gateway->ring, STATE_PURPOSE, VIEW_NONE, view_at((const char *)sealed, n), &text) == GW_OK &&
        view_to_u64(buf_view(&text), &made_s) == GW_OK;
    buf_deinit(&text);
    return is_ours && now_s - (int64_t)made_s < STATE_LIFE_S;
}

/* GW_E_NOTFOUND: the provider ends no sessions. Without a token to show it would not come back, so it is not asked to. */
static enum gw_err put_end_session(struct exchange *x, struct view id_token, struct buf *out)
{
    struct view parts[] = {view_of(x->core->gateway->config->server.public_url), VIEW("/_repogate/logout")};
    bool has_hint = id_token.n > 0;
    return provider_end_session_url(x->core->provider, id_token, has_hint ? arena_join(&x->arena, parts, 2) : VIEW_NONE,
                                    has_hint ? make_state(x) : VIEW_NONE, out);
}

/* ---- answers ---- */

/* The session may well live on: nobody is told that it has ended. */
static void reply_store_silent(struct exchange *x)
{
    response_put(&x->response, "Retry-After", VIEW("5"));
    reply_problem(x, &(struct reply_problem){
                         .status = 503,
                         .reason = "store_unavailable",
                         .title = text_of(TEXT_LOGOUT_IMPOSSIBLE),
                         .text = text_of(TEXT_LOGOUT_STORE_SILENT),
                         .retry_href = "/_repogate/logout",
                     });
}

static void reply_signed_out(struct exchange *x, bool is_everywhere)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    struct page_frame frame = reply_frame(x, NULL);
    page_put_signed_out(&out, &frame, is_everywhere);
    reply_html(x, 200, &out);
}

static void ask(struct identify *i, enum identified found)
{
    struct exchange *x = i->x;
    if (found == IDENTIFIED_UNAVAILABLE) {
        reply_store_silent(x);
        return;
    }
    if (found != IDENTIFIED_KNOWN) {
        reply_signed_out(x, came_from_provider(x));
        return;
    }
    struct buf out = BUF(PAGE_MAX_BYTES);
    struct page_frame frame = reply_frame(x, i->who);
    page_put_logout(&out, &frame, provider_can_end_session(x->core->provider));
    reply_html(x, 200, &out);
}

static void record(struct logout *l, const char *outcome, const char *reason, struct view text, bool is_everywhere)
{
    struct record_sessions sessions = {
        .how = is_everywhere ? VIEW("provider") : VIEW("local"),
        .by = VIEW("cookie"),
        .count = strcmp(outcome, "ok") == 0 ? 1 : -1,
    };
    recorder_event(
        l->x,
        &(struct recorder_event){
            .type = "logout", .outcome = outcome, .reason = reason, .reason_text = text, .who = l->who, .sessions = &sessions});
}

/* The provider would log the same person in again without a question, so it is told to ask (login.c). What `switch` holds is judged there, as
 * any address to go on to. */
static void reply_other_login(struct exchange *x, struct view target)
{
    struct buf link = BUF(4 * URI_MAX);
    buf_puts(&link, "/_repogate/login?" LOGIN_FRESH_FIELD "=1&rd=");
    buf_put_percent(&link, target.n > RD_MAX_BYTES ? VIEW("/") : target);
    reply_redirect(x, 303, buf_ok(&link) ? arena_copy(&x->arena, buf_view(&link)) : VIEW_NONE);
    buf_deinit(&link);
}

static void on_ended(void *arg, enum gw_err err, struct view id_token)
{
    struct logout *l = arg;
    struct exchange *x = l->x;
    struct buf url = BUF(URI_MAX);
    if (err != GW_OK) {
        record(l, "failed", "store_unavailable", view_of(gw_err_name(err)), l->everywhere);
        reply_problem(x, &(struct reply_problem){
                             .status = 503,
                             .reason = "store_unavailable",
                             .title = text_of(TEXT_LOGOUT_HALF),
                             .text = text_of(TEXT_LOGOUT_HALF_WHY),
                             .retry_href = "/_repogate/logout",
                         });
        return;
    }
    reply_set_cookie(x, view_of(x->core->gateway->cookie_name), VIEW_NONE, 0);
    if (l->switch_to.p != NULL) {
        record(l, "ok", "asked", VIEW("to log in as somebody else"), false);
        reply_other_login(x, l->switch_to);
    } else if (l->everywhere && put_end_session(x, id_token, &url) == GW_OK) {
        record(l, "ok", "asked", VIEW_NONE, true);
        reply_redirect(x, 303, arena_copy(&x->arena, buf_view(&url)));
    } else {
        record(l, "ok", "asked", l->everywhere ? VIEW("the identity provider could not be asked to log out too") : VIEW_NONE,
               false);
        reply_signed_out(x, false);
    }
    buf_deinit(&url);
}

static bool is_own_origin(const struct exchange *x)
{
    struct uri origin;
    struct view sent = header_value(&x->request, HEADER_ORIGIN);
    if (sent.n > 0)
        return uri_parse(sent, &origin) == GW_OK && uri_same_origin(&origin, &x->core->gateway->config->server.public_uri);
    return view_eq(header_value(&x->request, HEADER_SEC_FETCH_SITE), VIEW("same-origin"));
}

static void act(struct identify *i, enum identified found)
{
    struct exchange *x = i->x;
    struct view cookie, everywhere;
    if (found == IDENTIFIED_UNAVAILABLE) {
        reply_store_silent(x);
        return;
    }
    if (found != IDENTIFIED_KNOWN || i->session == NULL ||
        cookie_get(&x->request, view_of(x->core->gateway->cookie_name), &cookie) != COOKIE_ONE) {
        reply_set_cookie(x, view_of(x->core->gateway->cookie_name), VIEW_NONE, 0);
        reply_signed_out(x, false);
        return;
    }
    struct logout *l = arena_get(&x->arena, sizeof(*l));
    if (l == NULL) {
        reply_defect(x);
        return;
    }
    *l = (struct logout){
        .x = x, .who = i->who, .everywhere = form_get(x->form, VIEW("everywhere"), &x->arena, &everywhere) == FORM_ONE};
    if (form_get(x->form, VIEW("switch"), &x->arena, &l->switch_to) != FORM_ONE)
        l->switch_to = VIEW_NONE;
    enum gw_err err = session_end(x->core->gateway->sessions, x->core->loop, cookie, on_ended, l);
    if (err != GW_OK)
        on_ended(l, err, VIEW_NONE);
}

void handle_logout(struct exchange *x)
{
    bool is_post = x->request.method_id == METHOD_POST;
    if (is_post && !is_own_origin(x)) {
        reply_problem(x, &(struct reply_problem){
                             .status = 403,
                             .reason = "cross_origin",
                             .title = text_of(TEXT_REFUSED),
                             .text = text_of(TEXT_CROSS_ORIGIN),
                             .retry_href = "/_repogate/logout",
                         });
        return;
    }
    if (!identify_leaver(x, is_post ? act : ask))
        reply_defect(x);
}

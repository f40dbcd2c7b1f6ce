/* Logging out asks first (GET) and acts on POST. The cookie is SameSite=Lax, so another site's form arrives without it; Origin or
 * Sec-Fetch-Site must say so too. */
#include "handlers/handlers.h"
#include "handlers/recorder.h"
#include "handlers/reply.h"
#include "http/cookie.h"
#include "http/form.h"
#include "handlers/identify.h"

struct logout {
    struct exchange *x;
    bool everywhere;
};

/* The session may well live on: nobody is told that it has ended. */
static void reply_store_silent(struct exchange *x)
{
    response_put(&x->response, "Retry-After", VIEW("5"));
    reply_problem(x, &(struct reply_problem){
                         .status = 503,
                         .reason = "store_unavailable",
                         .title = "Logging out is not possible at the moment",
                         .text = "Sessions cannot be read at the moment, so yours was not ended. Try again in a moment.",
                         .retry_href = "/_repogate/logout",
                     });
}

static void ask(struct identify *i, enum identified found)
{
    if (found == IDENTIFIED_UNAVAILABLE) {
        reply_store_silent(i->x);
        return;
    }
    struct buf out = BUF(PAGE_MAX_BYTES);
    struct page_frame frame = reply_frame(i->x, i->who);
    if (found == IDENTIFIED_KNOWN)
        page_put_logout(&out, &frame, true);
    else
        page_put_signed_out(&out, &frame);
    reply_html(i->x, 200, &out);
}

static void reply_signed_out(struct exchange *x)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    struct page_frame frame = reply_frame(x, NULL);
    reply_set_cookie(x, view_of(x->core->gateway->cookie_name), VIEW_NONE, 0);
    page_put_signed_out(&out, &frame);
    reply_html(x, 200, &out);
}

static void on_ended(void *arg, enum gw_err err, struct view id_token)
{
    struct logout *l = arg;
    struct exchange *x = l->x;
    struct buf url = BUF(URI_MAX);
    struct view parts[] = {view_of(x->core->gateway->config->server.public_url), VIEW("/_repogate/logout")};
    if (err != GW_OK) {
        reply_problem(
            x,
            &(struct reply_problem){
                .status = 503,
                .reason = "store_unavailable",
                .title = "Logged out here, not yet in the store",
                .text = "This gateway has forgotten your session, but could not delete it from its store. Try again in a moment.",
                .retry_href = "/_repogate/logout",
            });
        return;
    }
    struct view back = arena_join(&x->arena, parts, 2);
    if (l->everywhere && provider_end_session_url(x->core->provider, id_token, back, VIEW_NONE, &url) == GW_OK && buf_ok(&url)) {
        reply_set_cookie(x, view_of(x->core->gateway->cookie_name), VIEW_NONE, 0);
        reply_redirect(x, 303, arena_copy(&x->arena, buf_view(&url)));
    } else {
        reply_signed_out(x);
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
        reply_signed_out(x);
        return;
    }
    struct logout *l = arena_get(&x->arena, sizeof(*l));
    if (l == NULL) {
        reply_defect(x);
        return;
    }
    *l = (struct logout){.x = x, .everywhere = form_get(x->form, VIEW("everywhere"), &x->arena, &everywhere) == FORM_ONE};
    recorder_event(x, &(struct recorder_event){.type = "logout", .outcome = "ok", .reason = "asked", .who = i->who});
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
                             .title = "Refused",
                             .text = "This request came from another site. Log out from the page itself.",
                             .retry_href = "/_repogate/logout",
                         });
        return;
    }
    if (!identify_leaver(x, is_post ? act : ask))
        reply_defect(x);
}

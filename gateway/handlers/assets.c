/* What pages of ours load: the stylesheet, and the operators' logo. The logo may be an SVG, which is a document with scripts of its own
 * when it is opened by itself: its policy forbids them, and puts it into an origin of nobody's. */
#include "handlers/handlers.h"
#include "handlers/reply.h"

static void reply_asset(struct exchange *x, struct view media_type, struct view body)
{
    x->response.status = 200;
    response_put(&x->response, "Content-Type", media_type);
    response_put(&x->response, "Cache-Control", VIEW("public, max-age=3600"));
    response_put(&x->response, "X-Content-Type-Options", VIEW("nosniff"));
    x->response.body = body;
    exchange_reply(x);
}

void handle_style(struct exchange *x)
{
    reply_asset(x, VIEW("text/css; charset=utf-8"), page_style());
}

void handle_logo(struct exchange *x)
{
    const struct logo *logo = x->core->gateway->logo;
    if (logo == NULL) {
        handle_nothing(x);
        return;
    }
    response_put(&x->response, "Content-Security-Policy", VIEW("default-src 'none'; style-src 'unsafe-inline'; sandbox"));
    reply_asset(x, view_of(logo->media_type), buf_view(&logo->bytes));
}

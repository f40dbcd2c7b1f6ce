#include "handlers/router.h"

#include "handlers/echo.h"
#include "handlers/handlers.h"
#include "handlers/reply.h"
#include "http/original.h"

enum {
    GET = 1 << METHOD_GET | 1 << METHOD_HEAD,
    POST = 1 << METHOD_POST,
};

struct route {
    struct view path;
    unsigned methods;
    enum router_body body;
    exchange_fn fn;
};

#define ROUTE(path, methods, body, fn)                      \
    {                                                       \
        {(path), sizeof(path) - 1}, (methods), (body), (fn) \
    }

static const struct route public_routes[] = {
    ROUTE("/_repogate/login", GET, ROUTER_BODY_IGNORED, handle_login),
    ROUTE("/outpost.goauthentik.io/start", GET, ROUTER_BODY_IGNORED, handle_login),
    ROUTE("/_repogate/callback", GET, ROUTER_BODY_IGNORED, handle_callback),
    ROUTE("/outpost.goauthentik.io/callback", GET, ROUTER_BODY_IGNORED, handle_callback),
    ROUTE("/_repogate/logout", GET | POST, ROUTER_BODY_FORM, handle_logout),
    ROUTE("/outpost.goauthentik.io/sign_out", GET | POST, ROUTER_BODY_FORM, handle_logout),
    ROUTE("/_repogate/backchannel-logout", POST, ROUTER_BODY_FORM, handle_backchannel_logout),
    ROUTE("/_repogate/whoami", GET, ROUTER_BODY_IGNORED, handle_whoami),
    ROUTE("/_repogate/jwks", GET, ROUTER_BODY_IGNORED, handle_jwks),
    ROUTE("/_repogate/open", GET, ROUTER_BODY_IGNORED, handle_open),
    ROUTE("/_repogate/unreachable", GET, ROUTER_BODY_IGNORED, handle_unreachable),
    ROUTE("/_repogate/style.css", GET, ROUTER_BODY_IGNORED, handle_style),
    ROUTE("/_repogate/logo", GET, ROUTER_BODY_IGNORED, handle_logo),
    ROUTE("/", GET, ROUTER_BODY_IGNORED, handle_portal),
    ROUTE("/health", GET, ROUTER_BODY_IGNORED, handle_health),
    ROUTE("/outpost.goauthentik.io/ping", GET, ROUTER_BODY_IGNORED, handle_ping),
};

static const struct route admin_routes[] = {
    ROUTE("/healthz", GET, ROUTER_BODY_IGNORED, handle_health),
    ROUTE("/readyz", GET, ROUTER_BODY_IGNORED, handle_ready),
    ROUTE("/metrics", GET, ROUTER_BODY_IGNORED, handle_metrics),
    ROUTE("/admin/sessions", GET, ROUTER_BODY_IGNORED, handle_admin_sessions),
    ROUTE("/admin/sessions/revoke", POST, ROUTER_BODY_FORM, handle_admin_revoke),
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct route *find(const struct route *routes, size_t n, struct view path)
{
    for (size_t i = 0; i < n; i++)
        if (view_eq(routes[i].path, path))
            return &routes[i];
    return NULL;
}

void handle_nothing(struct exchange *x)
{
    reply_problem(x, &(struct reply_problem){
                         .status = 404,
                         .reason = "not_found",
                         .title = text_of(TEXT_NOTHING),
                         .text = text_of(TEXT_NOTHING_HOW),
                     });
}

static void reply_wrong_method(struct exchange *x, unsigned methods)
{
    response_put(&x->response, "Allow",
                 methods == POST  ? VIEW("POST")
                 : methods == GET ? VIEW("GET, HEAD")
                                  : VIEW("GET, HEAD, POST"));
    reply_problem(x, &(struct reply_problem){
                         .status = 405,
                         .reason = "method_not_allowed",
                         .title = text_of(TEXT_METHOD),
                         .text = text_of(TEXT_METHOD_WHY),
                     });
}

static void dispatch(struct exchange *x, const struct route *route)
{
    if ((route->methods & 1u << x->request.method_id) == 0)
        reply_wrong_method(x, route->methods);
    else
        route->fn(x);
}

/* Everything but our own pages is about a repository, or refused by the grammar of one. */
static bool is_ours(struct view path)
{
    return view_starts(path, VIEW("/_repogate")) || view_starts(path, VIEW("/outpost.goauthentik.io"));
}

void router_public(struct exchange *x)
{
    struct view path = x->request.uri.path;
    enum dialect dialect;
    if (original_find_endpoint(path, &dialect)) {
        handle_auth(x, dialect);
        return;
    }
    if (echo_expects(x)) {
        handle_echo(x);
        return;
    }
    const struct route *route = find(public_routes, COUNT(public_routes), path);
    if (route != NULL)
        dispatch(x, route);
    else if (original_is_echo_path(path))
        handle_echo(x);
    else if (is_ours(path))
        handle_nothing(x);
    else
        handle_forward(x);
}

void router_admin(struct exchange *x)
{
    const struct route *route = find(admin_routes, COUNT(admin_routes), x->request.uri.path);
    if (route != NULL)
        dispatch(x, route);
    else
        handle_nothing(x);
}

enum router_body router_public_body(const struct request *r)
{
    const struct route *route = find(public_routes, COUNT(public_routes), r->uri.path);
    if (route != NULL)
        return route->body;
    return is_ours(r->uri.path) ? ROUTER_BODY_IGNORED : ROUTER_BODY_STREAMED;
}

enum router_body router_admin_body(const struct request *r)
{
    const struct route *route = find(admin_routes, COUNT(admin_routes), r->uri.path);
    return route != NULL ? route->body : ROUTER_BODY_IGNORED;
}

#include "handlers/reply.h"

#include "handlers/ratelimit.h"
#include "handlers/rd.h"
#include "handlers/stronger.h"
#include "http/cookie.h"

/* A login link is a header line of an answer whose head keeps to 4 KiB. */
enum { LOGIN_LINK_MAX_BYTES = 3 * 1024 };

/* ---- pieces ---- */

static struct view keep(struct exchange *x, const struct buf *b)
{
    struct view copy = buf_ok(b) ? arena_copy(&x->arena, buf_view(b)) : VIEW_NONE;
    if (copy.p == NULL)
        x->response.failed = true;
    return copy;
}

/* Never cached: answers depend on who is asking. */
static void put_common(struct exchange *x)
{
    response_put(&x->response, "Cache-Control", VIEW("no-store"));
    response_put(&x->response, "X-Content-Type-Options", VIEW("nosniff"));
}

void reply_text(struct exchange *x, int status, struct view text)
{
    x->response.status = status;
    put_common(x);
    response_put(&x->response, "Content-Type", VIEW("text/plain; charset=utf-8"));
    x->response.body = text;
    exchange_reply(x);
}

void reply_json(struct exchange *x, int status, struct view media_type, struct buf *out)
{
    x->response.status = status;
    put_common(x);
    response_put(&x->response, "Content-Type", media_type);
    x->response.body = keep(x, out);
    buf_deinit(out);
    exchange_reply(x);
}

/* Chromium applies form-action to redirects after a form too, so the provider must be named: logging out there is one. */
static struct view security_policy(struct exchange *x)
{
    struct uri issuer;
    struct view parts[] = {
        VIEW(
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "),
        VIEW_NONE, VIEW("://"), VIEW_NONE};
    if (uri_parse(view_of(x->core->gateway->config->oidc.issuer), &issuer) != GW_OK)
        return VIEW("default-src 'none'");
    parts[1] = issuer.scheme;
    parts[3] = issuer.authority;
    return arena_join(&x->arena, parts, 4);
}

void reply_html(struct exchange *x, int status, struct buf *out)
{
    x->response.status = status;
    put_common(x);
    response_put(&x->response, "Content-Type", VIEW("text/html; charset=utf-8"));
    response_put(&x->response, "Content-Security-Policy", security_policy(x));
    /* Not no-referrer: a form of ours would then be sent with Origin: null. */
    response_put(&x->response, "Referrer-Policy", VIEW("same-origin"));
    response_put(&x->response, "X-Frame-Options", VIEW("DENY"));
    x->response.body = keep(x, out);
    buf_deinit(out);
    exchange_reply(x);
}

void reply_redirect(struct exchange *x, int status, struct view location)
{
    x->response.status = status;
    put_common(x);
    response_put(&x->response, "Location", location);
    if (location.p == NULL)
        x->response.failed = true;
    exchange_reply(x);
}

void reply_set_cookie(struct exchange *x, struct view name, struct view value, int64_t max_age_s)
{
    struct buf out = BUF(REQUEST_COOKIE_MAX_BYTES);
    struct cookie_spec spec = {
        .name = name, .value = value, .max_age_s = max_age_s, .secure = x->core->gateway->config->server.is_https};
    cookie_format(&out, &spec);
    response_put(&x->response, "Set-Cookie", keep(x, &out));
    buf_deinit(&out);
}

struct page_frame reply_frame(const struct exchange *x, const struct principal *who)
{
    return (struct page_frame){
        .product = view_of(x->core->gateway->config->server.product_name),
        .has_logo = x->core->gateway->logo != NULL,
        .contact = view_of(x->core->gateway->config->server.contact),
        .username = who == NULL ? VIEW_NONE : principal_username(who),
    };
}

/* ---- problems ---- */

static void put_member(struct buf *out, const char *name, struct view value)
{
    if (value.n == 0)
        return;
    buf_printf(out, ",\"%s\":", name);
    buf_put_json(out, value);
}

static void put_problem_json(struct buf *out, const struct reply_problem *p)
{
    buf_puts(out, "{\"type\":\"about:blank\",\"title\":");
    buf_put_json(out, view_of(p->title));
    buf_puts(out, ",\"status\":");
    buf_put_u64(out, (uint64_t)p->status);
    buf_puts(out, ",\"detail\":");
    buf_put_json(out, view_of(p->text));
    buf_puts(out, ",\"reason\":");
    buf_put_json(out, view_of(p->reason));
    put_member(out, "decision_id", p->decision_id);
    put_member(out, "user", p->user);
    put_member(out, "resource", p->resource);
    put_member(out, "contact", p->contact);
    buf_puts(out, "}\n");
}

void reply_problem_json(struct exchange *x, const struct reply_problem *p)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    put_problem_json(&out, p);
    reply_json(x, p->status, VIEW("application/problem+json"), &out);
}

static void problem_for(struct exchange *x, const struct reply_problem *p, const struct principal *who)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    if (!request_wants_html(&x->request)) {
        reply_problem_json(x, p);
        return;
    }
    struct page_frame frame = reply_frame(x, who);
    struct page_problem page = {p->status,          view_of(p->title), view_of(p->text),
                                view_of(p->reason), p->decision_id,    view_of(p->retry_href)};
    page_put_problem(&out, &frame, &page);
    reply_html(x, p->status, &out);
}

void reply_problem(struct exchange *x, const struct reply_problem *p)
{
    problem_for(x, p, NULL);
}

void reply_defect(struct exchange *x)
{
    reply_problem(x, &(struct reply_problem){
                         .status = 500,
                         .reason = "error",
                         .title = text_of(TEXT_DEFECT),
                         .text = text_of(TEXT_DEFECT_WHY),
                     });
}

/* RFC 6750 3: what was sent was not enough, or nothing was. */
static void put_login_challenge(struct exchange *x)
{
    bool has_token = header_value(&x->request, HEADER_AUTHORIZATION).n > 0;
    response_put(&x->response, "WWW-Authenticate",
                 has_token ? VIEW("Bearer realm=\"repogate\", error=\"invalid_token\"") : VIEW("Bearer realm=\"repogate\""));
}

void reply_unidentified(const struct identify *i, enum identified found, const char *title, const char *text)
{
    static const struct {
        short status;
        const char *reason;
        enum text_id title, text;
    } problems[] = {
        [IDENTIFIED_UNAVAILABLE] = {503, "store_unavailable", TEXT_UNAVAILABLE, TEXT_SESSIONS_UNREADABLE},
        [IDENTIFIED_UNREACHABLE] = {503, "provider_unavailable", TEXT_UNAVAILABLE, TEXT_PROVIDER_SILENT},
        [IDENTIFIED_LIMITED] = {429, "rate_limited", TEXT_TOO_MANY_ATTEMPTS, TEXT_TOO_MANY_ATTEMPTS_WHY},
        [IDENTIFIED_NOBODY] = {401, "login_required", TEXT_LOGIN_REQUIRED, TEXT_HOW_TO_LOG_IN},
    };
    struct reply_problem p = {.status = problems[found].status,
                              .reason = problems[found].reason,
                              .title = text_of(problems[found].title),
                              .text = text_of(problems[found].text)};
    if (found == IDENTIFIED_NOBODY) {
        p.title = title;
        p.text = text;
        put_login_challenge(i->x);
    }
    reply_problem(i->x, &p);
}

/* ---- outcomes ---- */

/* What becomes of an answer decides how much it says. */
enum voice {
    VOICE_YES_OR_NO, /* NGINX and HAProxy read a 2xx as allow, 401 and 403 as deny, anything else as their own failure */
    VOICE_PASSED_ON, /* Traefik, Caddy and Envoy pass whatever denies on to the client, body and all */
    VOICE_OWN,       /* the client itself is who asked */
    VOICE_COUNT
};

static enum voice voice_of(enum dialect d)
{
    switch (d) {
    case DIALECT_NGINX:
    case DIALECT_OUTPOST_NGINX:
    case DIALECT_HAPROXY:
        return VOICE_YES_OR_NO;
    case DIALECT_TRAEFIK:
    case DIALECT_CADDY:
    case DIALECT_ENVOY:
        return VOICE_PASSED_ON;
    case DIALECT_OWN:
    case DIALECT_COUNT:
        break;
    }
    return VOICE_OWN;
}

/* DESIGN 4's table. A 401 becomes a redirect for whom is_to_log_in() names. */
static int status_of(enum outcome o, enum voice v)
{
    static const short statuses[][VOICE_COUNT] = {
        [OUTCOME_DEFECT] = {500, 500, 500},  [OUTCOME_ALLOWED] = {200, 200, 200},     [OUTCOME_LOGIN] = {401, 401, 401},
        [OUTCOME_STEP_UP] = {401, 401, 401}, [OUTCOME_DENIED] = {403, 403, 403},      [OUTCOME_MALFORMED] = {403, 403, 400},
        [OUTCOME_LIMITED] = {403, 429, 429}, [OUTCOME_UNAVAILABLE] = {403, 503, 503},
    };
    return statuses[o][v];
}

/* RFC 9470 3. Authentik knows no acr but one, so a second factor is asked for by the name that OpenID PAPE 1.0 gave it. */
static void put_stronger_challenge(struct gate *g)
{
    struct buf out = BUF(1024);
    const struct stepup *need = &g->decision.need;
    buf_puts(&out, "Bearer realm=\"repogate\", error=\"insufficient_user_authentication\", error_description=\"");
    buf_put(&out, g->reason_text);
    buf_puts(&out, "\"");
    if (need->max_age_s != 0) {
        buf_puts(&out, ", max_age=\"");
        buf_put_i64(&out, need->max_age_s);
        buf_puts(&out, "\"");
    }
    if (need->mfa)
        buf_puts(&out, ", acr_values=\"http://schemas.openid.net/pape/policies/2007/06/multi-factor\"");
    response_put(&g->x->response, "WWW-Authenticate", keep(g->x, &out));
    buf_deinit(&out);
}

static void put_challenge(struct gate *g)
{
    if (g->outcome == OUTCOME_STEP_UP) {
        put_stronger_challenge(g);
        return;
    }
    put_login_challenge(g->x);
}

/* For the proxy's log and variables: the reason, and under which id it is recorded. */
static void put_reason(struct gate *g)
{
    response_put(&g->x->response, "X-Repogate-Reason", view_of(g->reason));
    response_put(&g->x->response, "X-Repogate-Decision-Id", view_of(g->id));
}

static void reply_yes_or_no(struct gate *g)
{
    struct response *r = &g->x->response;
    r->status = status_of(g->outcome, VOICE_YES_OR_NO);
    if (g->outcome == OUTCOME_LOGIN || g->outcome == OUTCOME_STEP_UP)
        put_challenge(g);
    response_put(r, "Cache-Control", VIEW("no-store"));
    put_reason(g);
    exchange_reply(g->x);
}

static void put_login_link(struct buf *out, struct view origin, struct view before, const struct uri *target)
{
    buf_clear(out);
    buf_put(out, origin);
    buf_puts(out, "/_repogate/login?");
    buf_put(out, before);
    buf_puts(out, "rd=");
    buf_put_percent(out, target->path);
    if (target->query.p != NULL) {
        buf_put_percent(out, VIEW("?"));
        buf_put_percent(out, target->query);
    }
}

/* before: what the query begins with, "&" included. A target that is too long is dropped: login would not lead there, and the link
 * must not overrun a proxy's buffers. */
static struct view login_link(struct gate *g, struct view origin, struct view before)
{
    struct buf out = BUF(4 * URI_MAX);
    const struct uri *u = &g->original.uri;
    put_login_link(&out, origin, before, u);
    if (u->path.n + 1 + u->query.n > RD_MAX_BYTES || out.n > LOGIN_LINK_MAX_BYTES)
        put_login_link(&out, origin, before, &(struct uri){.path = VIEW("/")});
    struct view link = keep(g->x, &out);
    buf_deinit(&out);
    return link;
}

/* A person's browser that would follow: no program's own login, no other method than GET, no WebSocket. */
static bool is_to_log_in(const struct gate *g)
{
    const struct request *r = &g->x->request;
    return view_eq(g->original.method, VIEW("GET")) && g->action != ACTION_CONNECT && request_is_navigation(r) &&
           header_value(r, HEADER_AUTHORIZATION).n == 0;
}

static void redirect_to_login(struct gate *g)
{
    reply_redirect(g->x, 302, login_link(g, view_of(g->x->core->gateway->config->server.public_url), VIEW_NONE));
}

static struct view resource_of(const struct gate *g)
{
    return g->has_repo ? view_of(g->repo.full) : g->original.uri.path;
}

/* Where somebody else goes on: the same address, unless it is too long to come back to. */
static struct view target_of(struct gate *g)
{
    const struct uri *u = &g->original.uri;
    const struct view parts[] = {u->path, u->query.p == NULL ? VIEW_NONE : VIEW("?"), u->query};
    struct view target = arena_join(&g->x->arena, parts, 3);
    return target.n == 0 || target.n > RD_MAX_BYTES ? VIEW("/") : target;
}

static void reply_denied_page(struct gate *g, struct view message)
{
    struct buf out = BUF(PAGE_MAX_BYTES);
    struct page_frame frame = reply_frame(g->x, g->identify.who);
    bool is_login_weak = strcmp(g->reason, "step_up_failed") == 0;
    struct page_denied page = {
        .what = resource_of(g),
        .reason = view_of(g->reason),
        .message = message,
        .decision_id = view_of(g->id),
        .login_href = is_login_weak ? login_link(g, VIEW_NONE, VIEW(STRONGER_FIELD "=1&")) : VIEW_NONE,
        .target = g->identify.session == NULL ? VIEW_NONE : target_of(g), /* a token is nobody's to switch */
    };
    page_put_denied(&out, &frame, &page);
    reply_html(g->x, 403, &out);
}

static const char *text_about(const char *reason, enum text_id otherwise)
{
    static const struct {
        const char *reason;
        enum text_id text;
    } table[] = {
        {"no_policy", TEXT_NO_POLICY},
        {"audit_unavailable", TEXT_NOT_RECORDED},
        {"store_unavailable", TEXT_SESSIONS_UNREADABLE_AGAIN},
        {"provider_unavailable", TEXT_PROVIDER_SILENT_AGAIN},
        {"identity_too_large", TEXT_GROUPS_TOO_LARGE},
        {"own_path", TEXT_OWN_PATH},
        {"untrusted_peer", TEXT_UNTRUSTED_PEER},
        {"original_url_missing", TEXT_URL_MISSING},
        {"original_url_repeated", TEXT_URL_REPEATED},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        if (strcmp(table[i].reason, reason) == 0)
            return text_of(table[i].text);
    return text_of(otherwise);
}

/* A redirect, a page or problem details. */
static void reply_in_full(struct gate *g, enum voice voice)
{
    struct exchange *x = g->x;
    const char *message = g->decision.message != NULL ? g->decision.message
                          : g->reason_text.p != NULL  ? g->reason_text.p
                                                      : g->decision.hint;
    struct reply_problem p = {.status = status_of(g->outcome, voice), .reason = g->reason, .decision_id = view_of(g->id)};
    if (voice == VOICE_PASSED_ON)
        put_reason(g);
    switch (g->outcome) {
    case OUTCOME_LOGIN:
    case OUTCOME_STEP_UP:
        if (is_to_log_in(g)) {
            redirect_to_login(g);
            return;
        }
        put_challenge(g);
        p.title = g->outcome == OUTCOME_LOGIN ? text_of(TEXT_LOGIN_REQUIRED) : text_of(TEXT_STRONGER_LOGIN);
        p.text = g->outcome == OUTCOME_STEP_UP && message != NULL ? message : text_of(TEXT_HOW_TO_LOG_IN);
        break;
    case OUTCOME_DENIED:
        if (request_wants_html(&x->request)) {
            reply_denied_page(g, view_of(message));
            return;
        }
        p.title = text_of(TEXT_ACCESS_DENIED);
        p.text = message != NULL ? message : text_of(TEXT_NOT_ALLOWED);
        p.user = principal_username(g->identify.who);
        p.resource = resource_of(g);
        p.contact = view_of(x->core->gateway->config->server.contact);
        break;
    case OUTCOME_MALFORMED:
        p.title = text_of(TEXT_ADDRESS_UNCLEAR);
        p.text = text_about(g->reason, TEXT_ADDRESS_UNCLEAR_WHY);
        break;
    case OUTCOME_LIMITED:
        ratelimit_put_retry(x, g->retry_s);
        p.title = text_of(TEXT_TOO_MANY_ATTEMPTS);
        p.text = text_of(TEXT_TOO_MANY_UNKNOWN);
        break;
    case OUTCOME_UNAVAILABLE:
        response_put(&x->response, "Retry-After", VIEW("5"));
        p.title = text_of(TEXT_UNAVAILABLE);
        p.text = text_about(g->reason, TEXT_UNDECIDED);
        break;
    case OUTCOME_ALLOWED:
    case OUTCOME_DEFECT:
        reply_defect(x);
        return;
    }
    problem_for(x, &p, g->identify.who);
}

void reply_outcome(struct gate *g)
{
    enum voice voice = voice_of(g->dialect);
    if (voice == VOICE_YES_OR_NO)
        reply_yes_or_no(g);
    else
        reply_in_full(g, voice);
}

/* ---- requests that were refused unread ---- */

void reply_fault(struct exchange *x, enum request_fault fault)
{
    const char *text = request_fault_text(fault);
    enum dialect dialect;
    if (!original_find_endpoint(x->request.target, &dialect))
        dialect = DIALECT_OWN;
    enum voice voice = voice_of(dialect);
    gate_record_refused(x, dialect, "malformed_request", text);
    if (voice != VOICE_OWN)
        response_put(&x->response, "X-Repogate-Reason", VIEW("malformed_request"));
    if (voice == VOICE_YES_OR_NO) {
        x->response.status = status_of(OUTCOME_MALFORMED, voice);
        response_put(&x->response, "Cache-Control", VIEW("no-store"));
        exchange_reply(x);
        return;
    }
    reply_problem(x, &(struct reply_problem){
                         .status = voice == VOICE_OWN && fault == REQUEST_TOO_LARGE ? 431 : status_of(OUTCOME_MALFORMED, voice),
                         .reason = "malformed_request",
                         .title = text_of(TEXT_REQUEST_REFUSED),
                         .text = text,
                     });
}

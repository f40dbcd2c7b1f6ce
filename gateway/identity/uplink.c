/* The fetcher outlives the uplink and cannot take an exchange back, so each one under way has a small struct of its own that
 * survives as an orphan until the fetcher is through with it. */
#include "identity/uplink.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/secret.h"
#include "util/uri.h"

struct call {
    struct uplink *u; /* NULL: orphaned */
    struct call *prev, *next;
    fetch_fn fn;
    void *arg;
};

struct uplink {
    struct fetcher *fetcher;
    struct uri issuer;
    struct uri internal;       /* scheme.p == NULL: none */
    struct view internal_base; /* without trailing slash */
    struct call *calls;
    bool is_closing;
};

static void buf_wipep(struct buf *b)
{
    secret_wipe(b->p, b->n);
    buf_deinit(b);
}

enum gw_err uplink_new(struct fetcher *f, struct view issuer, struct view internal_url, struct uplink **ret_uplink)
{
    struct uri to, internal = {.port = 0};
    if (uri_parse(issuer, &to) != GW_OK || to.query.p != NULL)
        return GW_E_INVALID;
    if (internal_url.n > 0 && (uri_parse(internal_url, &internal) != GW_OK || internal.query.p != NULL))
        return GW_E_INVALID;
    struct uplink *u = calloc(1, sizeof(*u));
    if (u == NULL)
        return GW_E_NOMEM;
    if (view_ends(internal_url, VIEW("/")))
        internal_url.n--;
    *u = (struct uplink){.fetcher = f, .issuer = to, .internal = internal, .internal_base = internal_url};
    *ret_uplink = u;
    return GW_OK;
}

static void call_unlink(struct call *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->u->calls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    c->u = NULL;
}

void uplink_free(struct uplink *u)
{
    static const struct fetch_answer ended = {.err = GW_E_IO, .detail = "shutting down"};
    if (u == NULL)
        return;
    u->is_closing = true;
    while (u->calls != NULL) {
        struct call *c = u->calls;
        call_unlink(c);
        c->fn(c->arg, &ended);
    }
    free(u);
}

static void on_answer(void *arg, const struct fetch_answer *answer)
{
    struct call *c = arg;
    if (c->u != NULL) {
        call_unlink(c);
        c->fn(c->arg, answer);
    }
    free(c);
}

/* Fills url and host of the spec; text goes into url. */
static enum gw_err route(const struct uplink *u, struct view to, struct buf *url, struct fetch_spec *spec, bool *ret_is_internal)
{
    struct uri uri;
    if (uri_parse(to, &uri) != GW_OK)
        return GW_E_INVALID;
    *ret_is_internal = u->internal_base.n > 0 && uri_same_origin(&uri, &u->issuer);
    if (!*ret_is_internal) {
        spec->url = to;
        return GW_OK;
    }
    buf_put(url, u->internal_base);
    buf_put(url, uri.path);
    if (uri.query.p != NULL) {
        buf_puts(url, "?");
        buf_put(url, uri.query);
    }
    spec->url = buf_view(url);
    spec->host = u->issuer.authority;
    return buf_ok(url) ? GW_OK : GW_E_LIMIT;
}

static enum gw_err start(struct uplink *u, const struct fetch_spec *spec, fetch_fn fn, void *arg)
{
    struct call *c = malloc(sizeof(*c));
    if (c == NULL)
        return GW_E_NOMEM;
    *c = (struct call){.u = u, .next = u->calls, .fn = fn, .arg = arg};
    enum gw_err err = fetch_start(u->fetcher, spec, on_answer, c);
    if (err != GW_OK) {
        free(c);
        return err;
    }
    if (u->calls != NULL)
        u->calls->prev = c;
    u->calls = c;
    return GW_OK;
}

static enum gw_err exchange(struct uplink *u, const char *method, struct view url, struct view bearer, struct view form,
                            bool is_sent_once, fetch_fn fn, void *arg)
{
    GW_CLEANUP(buf_wipep) struct buf inner = BUF(UPLINK_URL_MAX);
    GW_CLEANUP(buf_wipep) struct buf authorization = BUF(UPLINK_HEADER_MAX);
    struct fetch_header headers[3] = {{"Accept", VIEW("application/json")}};
    struct fetch_spec spec = {.method = method, .headers = headers, .n_headers = 1, .body = form, .is_sent_once = is_sent_once};
    bool is_internal;
    if (u->is_closing)
        return GW_E_IO;
    enum gw_err err = route(u, url, &inner, &spec, &is_internal);
    if (err != GW_OK)
        return err;
    if (is_internal && !view_eq(u->internal.scheme, u->issuer.scheme))
        headers[spec.n_headers++] = (struct fetch_header){"X-Forwarded-Proto", u->issuer.scheme};
    if (bearer.n > 0) {
        buf_puts(&authorization, "Bearer ");
        buf_put(&authorization, bearer);
        if (!buf_ok(&authorization))
            return GW_E_LIMIT;
        headers[spec.n_headers++] = (struct fetch_header){"Authorization", buf_view(&authorization)};
    }
    return start(u, &spec, fn, arg);
}

enum gw_err uplink_get(struct uplink *u, struct view url, struct view bearer, fetch_fn fn, void *arg)
{
    return exchange(u, "GET", url, bearer, VIEW_NONE, false, fn, arg);
}

enum gw_err uplink_post(struct uplink *u, struct view url, struct view form, fetch_fn fn, void *arg)
{
    return exchange(u, "POST", url, VIEW_NONE, form, false, fn, arg);
}

enum gw_err uplink_post_once(struct uplink *u, struct view url, struct view form, fetch_fn fn, void *arg)
{
    return exchange(u, "POST", url, VIEW_NONE, form, true, fn, arg);
}

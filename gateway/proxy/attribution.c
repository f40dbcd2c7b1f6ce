#include "proxy/attribution.h"

#include "http/cookie.h"
#include "http/header.h"
#include "identity/headervalue.h"
#include "util/buf.h"
#include "util/cleanup.h"

/* ---- values: each function leaves *ret as it is, empty, when there is none ---- */

static enum gw_err encode(struct view v, struct arena *a, struct view *ret_value)
{
    size_t n = headervalue_length(v);
    if (n > ATTRIBUTION_WORKSPACE_IDENTITY_MAX_BYTES)
        return GW_E_LIMIT;
    if (n > v.n) {
        char *p = arena_get(a, n);
        if (p == NULL)
            return GW_E_NOMEM;
        headervalue_put(p, v);
        v = view_at(p, n);
    }
    if (n > 0)
        *ret_value = v;
    return GW_OK;
}

static enum gw_err join(struct pack_val list, struct arena *a, struct view *ret_value)
{
    size_t n = headervalue_list_length(list, ATTRIBUTION_WORKSPACE_IDENTITY_MAX_BYTES);
    if (n == 0)
        return GW_OK;
    if (n > ATTRIBUTION_WORKSPACE_IDENTITY_MAX_BYTES)
        return GW_E_LIMIT;
    char *p = arena_get(a, n);
    if (p == NULL)
        return GW_E_NOMEM;
    headervalue_put_list(p, list);
    *ret_value = view_at(p, n);
    return GW_OK;
}

/* ---- the table ---- */

#define FACTS const struct attribution_facts *f, struct arena *a, struct view *ret

static enum gw_err encode_text(FACTS, struct view (*text)(const struct principal *))
{
    return f->principal == NULL ? GW_OK : encode(text(f->principal), a, ret);
}

static enum gw_err username(FACTS)
{
    return encode_text(f, a, ret, principal_username);
}

static enum gw_err email(FACTS)
{
    return encode_text(f, a, ret, principal_email);
}

static enum gw_err full_name(FACTS)
{
    return encode_text(f, a, ret, principal_name);
}

static enum gw_err uid(FACTS)
{
    return encode_text(f, a, ret, principal_sub);
}

static enum gw_err groups(FACTS)
{
    if (f->principal == NULL)
        return GW_OK;
    struct view ready = principal_groups_header(f->principal);
    if (ready.p == NULL)
        return join(principal_groups(f->principal), a, ret);
    *ret = ready;
    return GW_OK;
}

static enum gw_err entitlements(FACTS)
{
    return f->principal == NULL ? GW_OK : join(principal_entitlements(f->principal), a, ret);
}

static enum gw_err github_url(FACTS)
{
    const struct repo *r = f->repo;
    if (r == NULL || r->forge == NULL || r->forge->kind != FORGE_GITHUB)
        return GW_OK;
    /* The forge named github is github.com to workspaces, through whatever mirror it is reached; a server of one's own has a name of its own. */
    bool is_public = strcmp(r->forge->name, "github") == 0;
    const struct view parts[] = {is_public ? VIEW("https://github.com") : view_of(r->forge->url), VIEW("/"), view_of(r->owner),
                                 VIEW("/"), view_of(r->name)};
    *ret = arena_join(a, parts, sizeof(parts) / sizeof(parts[0]));
    return ret->p == NULL ? GW_E_NOMEM : GW_OK;
}

static enum gw_err as_it_is(struct view v, struct view *ret)
{
    if (!header_value_is_clean(v))
        return GW_E_INVALID;
    if (v.p != NULL)
        *ret = v;
    return GW_OK;
}

#define AS_IT_IS(fn, what)            \
    static enum gw_err fn(FACTS)      \
    {                                 \
        (void)a;                      \
        return as_it_is((what), ret); \
    }
AS_IT_IS(path, f->path)
AS_IT_IS(repo_full, f->repo == NULL ? VIEW_NONE : view_of(f->repo->full))
AS_IT_IS(decision_id, f->decision_id)
AS_IT_IS(traceparent, f->traceparent)
AS_IT_IS(assertion, f->assertion)
AS_IT_IS(client_ip, f->client_ip)
AS_IT_IS(proto, f->proto)
AS_IT_IS(host, f->host)
#undef AS_IT_IS
#undef FACTS

enum {
    TO_MINIMAL = 1 << ATTRIBUTION_MINIMAL,
    TO_ANSWER = 1 << ATTRIBUTION_ANSWER,
    TO_WORKSPACE = 1 << ATTRIBUTION_WORKSPACE,
    TO_BOTH = TO_ANSWER | TO_WORKSPACE,
    TO_ALL = TO_BOTH | TO_MINIMAL,
};

static const struct row {
    struct view name;
    unsigned receivers;
    bool is_identity; /* counts towards the budget */
    enum gw_err (*value)(const struct attribution_facts *f, struct arena *a, struct view *ret);
} rows[] = {
    {VIEW("X-authentik-username"), TO_BOTH, true, username},
    {VIEW("X-authentik-groups"), TO_BOTH, true, groups},
    {VIEW("X-authentik-entitlements"), TO_BOTH, true, entitlements},
    {VIEW("X-authentik-email"), TO_BOTH, true, email},
    {VIEW("X-authentik-name"), TO_BOTH, true, full_name},
    {VIEW("X-authentik-uid"), TO_BOTH, true, uid},
    {VIEW("X-Authentik-User"), TO_BOTH, true, username}, /* what the old routing proxy called it */
    {VIEW("X-Request-Path"), TO_BOTH, false, path},
    {VIEW("X-GitHub-Repo"), TO_BOTH, false, github_url},
    {VIEW("X-Repogate-Repo"), TO_BOTH, false, repo_full},
    {VIEW("X-Repogate-Decision-Id"), TO_ALL, false, decision_id},
    {VIEW("X-Repogate-Assertion"), TO_BOTH, false, assertion},
    {VIEW("traceparent"), TO_ALL, false, traceparent},
    {VIEW("X-Forwarded-For"), TO_WORKSPACE, false, client_ip},
    {VIEW("X-Forwarded-Proto"), TO_WORKSPACE, false, proto},
    {VIEW("X-Forwarded-Host"), TO_WORKSPACE, false, host},
    {VIEW("X-Real-IP"), TO_WORKSPACE, false, client_ip},
};

static enum gw_err add(struct attribution_list *list, struct view name, struct view value)
{
    if (list->n == ATTRIBUTION_HEADERS_MAX)
        return GW_E_LIMIT;
    list->items[list->n++] = (struct relay_header){name, value};
    return GW_OK;
}

enum gw_err attribution_add(struct attribution_list *list, enum attribution_receiver to, const struct attribution_facts *facts,
                            struct arena *a)
{
    struct attribution_facts f = *facts;
    size_t budget =
        to == ATTRIBUTION_WORKSPACE ? ATTRIBUTION_WORKSPACE_IDENTITY_MAX_BYTES : ATTRIBUTION_ANSWER_IDENTITY_MAX_BYTES;
    if (to == ATTRIBUTION_ANSWER &&
        (f.path.n > ATTRIBUTION_ANSWER_PATH_MAX_BYTES || f.path.n + f.assertion.n > ATTRIBUTION_ANSWER_ASSERTION_MAX_BYTES))
        f.path = VIEW("");
    size_t used = 0, before = list->n;
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && err == GW_OK; i++) {
        const struct row *row = &rows[i];
        struct view value = VIEW("");
        if ((row->receivers & 1u << to) == 0)
            continue;
        err = row->value(&f, a, &value);
        if (err == GW_OK)
            err = add(list, row->name, value);
        used += row->is_identity ? row->name.n + value.n + 4 : 0;
        if (err == GW_OK && used > budget)
            err = GW_E_LIMIT;
    }
    if (err != GW_OK)
        list->n = before;
    return err;
}

/* ---- towards the workspace ---- */

static bool is_nominated(const struct request *r, struct view name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (view_eq_ci(r->headers[i].name, VIEW("connection")) && header_list_has(r->headers[i].value, name))
            return true;
    return false;
}

/* Knative leaves such requests out of its idle accounting: a workspace in use would be put to sleep (PLATFORM 1.5). */
static bool is_kube_probe(struct view user_agent)
{
    struct view prefix = VIEW("kube-probe/");
    return user_agent.n >= prefix.n && view_eq_ci(view_at(user_agent.p, prefix.n), prefix);
}

static bool client_header_passes(const struct request *r, const struct header *h)
{
    bool is_exact, is_token;
    if (header_classify(h->name) != HEADER_PASS || is_nominated(r, h->name))
        return false;
    switch (header_id_of(h->name, &is_exact, &is_token)) {
    case HEADER_HOST: /* these the relay writes */
    case HEADER_CONTENT_LENGTH:
    case HEADER_EXPECT: /* answered by the server */
        return false;
    case HEADER_USER_AGENT:
        return !is_kube_probe(h->value);
    default:
        return true;
    }
}

static enum gw_err add_cookie(struct attribution_list *list, struct view value, attribution_cookie_fn is_our_cookie, void *arg,
                              struct arena *a)
{
    GW_CLEANUP(buf_deinit) struct buf left = BUF(REQUEST_HEAD_MAX_BYTES);
    cookie_filter(&left, value, is_our_cookie, arg);
    if (!buf_ok(&left))
        return GW_E_NOMEM;
    if (left.n == 0)
        return GW_OK;
    struct view kept = arena_copy(a, buf_view(&left));
    return kept.p == NULL ? GW_E_NOMEM : add(list, VIEW("Cookie"), kept);
}

static enum gw_err add_clients(struct attribution_list *list, const struct request *r, attribution_cookie_fn is_our_cookie,
                               void *arg, struct arena *a)
{
    enum gw_err err = GW_OK;
    for (size_t i = 0; i < r->n_headers && err == GW_OK; i++) {
        const struct header *h = &r->headers[i];
        if (view_eq_ci(h->name, VIEW("cookie")) && !is_nominated(r, h->name))
            err = add_cookie(list, h->value, is_our_cookie, arg, a);
        else if (client_header_passes(r, h))
            err = add(list, h->name, h->value);
    }
    return err;
}

enum gw_err attribution_for_workspace(struct attribution_list *list, const struct request *r,
                                      const struct attribution_facts *facts, attribution_cookie_fn is_our_cookie, void *arg,
                                      struct arena *a)
{
    size_t before = list->n;
    enum gw_err err = add_clients(list, r, is_our_cookie, arg, a);
    if (err == GW_OK)
        err = attribution_add(list, ATTRIBUTION_WORKSPACE, facts, a);
    if (err != GW_OK)
        list->n = before;
    return err;
}

struct view attribution_target(struct view base_path, struct view rest, struct view query, struct arena *a)
{
    const struct view parts[] = {base_path, rest.n == 0 ? VIEW("/") : rest, query.p == NULL ? VIEW("") : VIEW("?"), query};
    return arena_join(a, parts, sizeof(parts) / sizeof(parts[0]));
}

/* ---- towards the browser ---- */

/* A cookie without a name is kept by some browsers and sent back as its bare value, which may read like one of ours; a Domain reaches
 * other workspaces. */
static bool set_cookie_passes(struct view value, attribution_cookie_fn is_our_cookie, void *arg)
{
    struct view attributes = value;
    struct view pair = view_split(&attributes, ';');
    if (memchr(pair.p == NULL ? "" : pair.p, '=', pair.n) == NULL)
        return false;
    struct view name = view_trim(view_split(&pair, '='));
    if (name.n == 0 || is_our_cookie(name, arg))
        return false;
    while (attributes.p != NULL) {
        struct view attribute = view_split(&attributes, ';');
        if (view_eq_ci(view_trim(view_split(&attribute, '=')), VIEW("domain")))
            return false;
    }
    return true;
}

/* What reaches beyond the workspace's own pages: the whole origin, or the proxy in front (NGINX obeys X-Accel-Redirect from anyone, and
 * would fetch its internal locations for a workspace that names them). X-Accel-Buffering is harmless, and event streams need it. */
static bool reaches_too_far(struct view name)
{
    static const struct view names[] = {
        VIEW("strict-transport-security"),
        VIEW("clear-site-data"),
        VIEW("service-worker-allowed"),
        VIEW("alt-svc"),
        VIEW("public-key-pins"),
        VIEW("nel"),
        VIEW("report-to"),
        VIEW("x-accel-redirect"),
        VIEW("x-accel-expires"),
        VIEW("x-accel-limit-rate"),
        VIEW("x-accel-charset"),
        VIEW("x-sendfile"),
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (header_is_alias(name, names[i]))
            return true;
    return false;
}

bool attribution_answer_passes(struct view name, struct view value, attribution_cookie_fn is_our_cookie, void *arg)
{
    if (header_is_alias(name, VIEW("set-cookie")))
        return view_eq_ci(name, VIEW("set-cookie")) && set_cookie_passes(value, is_our_cookie, arg);
    enum header_class class = header_classify(name);
    return class != HEADER_HOP && class != HEADER_IDENTITY && class != HEADER_CONTROL && !reaches_too_far(name);
}

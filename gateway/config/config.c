/* What the values mean: each section is built from confdoc's values, every finding reported. */
#include "config/config.h"

#include "config/confdoc.h"
#include "config/confload.h"
#include "config/confscan.h"
#include "config/confvalue.h"
#include "util/cleanup.h"
#include "util/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    CONFIG_ARENA_BYTES = 4 * 1024 * 1024,
    CONFIG_THREADS_MAX = 256,
    CONFIG_PER_MINUTE_MAX = 1000 * 1000,
    CONFIG_ENV_NAME_MAX = 64,
};

/* The configuration and what it is made of; config_free() gets the first member. */
struct owned {
    struct config c;
    struct arena arena;
    struct confdoc doc;
};

struct builder {
    struct config *c;
    struct arena *arena;
    const struct confdoc *doc;
    struct confreport *report;
    bool is_out_of_memory;
};

/* First path segments that are ours or may become so; a forge by that name would take them over. */
static const char reserved_names[] = "admin,api,assets,auth,health,healthz,login,logout,metrics,ping,portal,readyz,static,ws";

static const struct confvalue *value_of(const struct builder *b, enum confkey_id id)
{
    return &b->doc->values[id];
}

/* By the file or the environment: a default has the file for its place, but no line. */
static bool is_given(const struct builder *b, enum confkey_id id)
{
    struct confplace at = value_of(b, id)->self.at;

    return at.line > 0 || at.source != b->report->file;
}

GW_PRINTF(4, 5)
static void refuse(struct builder *b, enum confkey_id id, const struct conftext *at, const char *fmt, ...)
{
    char text[CONFREPORT_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    confreport_error(b->report, at == NULL ? value_of(b, id)->self.at : at->at, confkeys[id].name, "%s", text);
}

/* A writable copy, as the struct's members are; NULL only without memory, which is remembered. */
static char *keep_view(struct builder *b, struct view v)
{
    char *copy = arena_get(b->arena, v.n + 1);

    if (copy == NULL) {
        b->is_out_of_memory = true;
        return NULL;
    }
    if (v.n > 0)
        memcpy(copy, v.p, v.n);
    copy[v.n] = '\0';
    return copy;
}

static char *keep_text(struct builder *b, enum confkey_id id)
{
    const struct confvalue *v = value_of(b, id);

    return keep_view(b, view_of(v->is_usable ? v->self.text : ""));
}

static char *keep_nonempty(struct builder *b, enum confkey_id id)
{
    const struct confvalue *v = value_of(b, id);

    if (v->is_usable && v->self.text[0] == '\0')
        refuse(b, id, NULL, "empty: expected %s", confkeys_expected(confkeys[id].type));
    return keep_text(b, id);
}

static struct config_strings keep_list(struct builder *b, enum confkey_id id)
{
    const struct confvalue *v = value_of(b, id);
    struct config_strings list = {0};

    if (!v->is_usable)
        return list;
    list.items = arena_get(b->arena, (v->n_items + 1) * sizeof(list.items[0]));
    if (list.items == NULL) {
        b->is_out_of_memory = true;
        return list;
    }
    for (size_t i = 0; i < v->n_items; i++) {
        list.items[list.n++] = keep_view(b, view_of(v->items[i].text));
        for (size_t j = 0; j < i; j++)
            if (strcmp(v->items[i].text, v->items[j].text) == 0)
                refuse(b, id, &v->items[i], "%.64s stands in this list twice", v->items[i].text);
    }
    return list;
}

static bool parse_bool(struct builder *b, enum confkey_id id)
{
    const struct confvalue *v = value_of(b, id);
    bool value = false;

    if (v->is_usable && confvalue_parse_bool(view_of(v->self.text), &value) != GW_OK)
        refuse(b, id, NULL, "expected true or false, found \"%.64s\"", v->self.text);
    return value;
}

static int64_t parse_duration(struct builder *b, enum confkey_id id)
{
    const struct confvalue *v = value_of(b, id);
    int64_t value_s = 0;

    if (v->is_usable && confvalue_parse_duration(view_of(v->self.text), &value_s) != GW_OK)
        refuse(b, id, NULL, "expected %s, at most 365d, found \"%.64s\"", confkeys_expected(CONFKEY_DURATION), v->self.text);
    return value_s;
}

static char *parse_address(struct builder *b, enum confkey_id id, uint16_t *port)
{
    const struct confvalue *v = value_of(b, id);
    char host[IPADDR_TEXT_MAX + 1] = "";

    if (v->is_usable && confvalue_parse_address(view_of(v->self.text), host, port) != GW_OK)
        refuse(b, id, NULL, "expected %s, found \"%.64s\"", confkeys_expected(CONFKEY_ADDRESS), v->self.text);
    return keep_view(b, view_of(host));
}

/* False, reported, unless the text is an http or https URL without a query. */
static bool parse_url(struct builder *b, enum confkey_id id, const struct conftext *text, struct uri *uri)
{
    if (uri_parse(view_of(text->text), uri) != GW_OK) {
        refuse(b, id, text, "expected an http or https URL, found \"%.128s\"", text->text);
        return false;
    }
    if (uri->query.p != NULL) {
        refuse(b, id, text, "expected a URL without a query");
        return false;
    }
    return true;
}

static bool is_loopback(const struct uri *uri)
{
    return view_eq_ci(uri->host, VIEW("localhost")) || view_ends(uri->host, VIEW(".localhost")) ||
           view_starts(uri->host, VIEW("127.")) || view_eq(uri->host, VIEW("[::1]"));
}

static void warn_plain_http(struct builder *b, enum confkey_id id, const struct uri *uri, const char *what)
{
    if (view_eq(uri->scheme, VIEW("http")) && !is_loopback(uri))
        confreport_warn(b->report, value_of(b, id)->self.at, confkeys[id].name,
                        "http, not https: %s cross the network in the clear", what);
}

static void build_public_url(struct builder *b)
{
    const struct confvalue *v = value_of(b, CONFKEY_SERVER_PUBLIC_URL);
    struct config *c = b->c;

    c->server.public_url = keep_text(b, CONFKEY_SERVER_PUBLIC_URL);
    if (!v->is_usable || c->server.public_url == NULL)
        return;
    size_t n = strlen(c->server.public_url);
    if (n > 0 && c->server.public_url[n - 1] == '/')
        c->server.public_url[n - 1] = '\0';
    struct conftext text = {.text = c->server.public_url, .at = v->self.at};
    if (!parse_url(b, CONFKEY_SERVER_PUBLIC_URL, &text, &c->server.public_uri))
        return;
    const struct uri *uri = &c->server.public_uri;
    if (uri->scheme.n + 3 + uri->authority.n != strlen(c->server.public_url))
        refuse(b, CONFKEY_SERVER_PUBLIC_URL, NULL, "expected an origin such as https://dev.example.org, without a path");
    c->server.is_https = view_eq(uri->scheme, VIEW("https"));
    warn_plain_http(b, CONFKEY_SERVER_PUBLIC_URL, uri, "session cookies");
}

static void build_trusted_proxies(struct builder *b)
{
    const struct confvalue *v = value_of(b, CONFKEY_SERVER_TRUSTED_PROXIES);
    struct config *c = b->c;

    for (size_t i = 0; v->is_usable && i < v->n_items; i++) {
        struct ipnet net;
        if (ipnet_parse(view_of(v->items[i].text), &net) != GW_OK) {
            refuse(b, CONFKEY_SERVER_TRUSTED_PROXIES, &v->items[i],
                   "expected a network such as 10.0.0.0/8 (no bits set behind the prefix), found \"%.64s\"", v->items[i].text);
            continue;
        }
        if (net.bits == 0 && c->server.proxy_secret_file != NULL && c->server.proxy_secret_file[0] == '\0')
            refuse(b, CONFKEY_SERVER_TRUSTED_PROXIES, &v->items[i],
                   "everyone would be believed about the URL asked for: expected narrower networks, or server.proxy_secret_file");
        c->server.trusted_proxies[c->server.n_trusted_proxies++] = net;
    }
}

static void build_dialects(struct builder *b)
{
    /* Whoever lets NGINX ask lets it ask in the outpost's way too. */
    static const struct {
        const char *word;
        unsigned bits;
    } words[] = {
        {"nginx", 1u << DIALECT_NGINX | 1u << DIALECT_OUTPOST_NGINX},
        {"traefik", 1u << DIALECT_TRAEFIK},
        {"caddy", 1u << DIALECT_CADDY},
        {"envoy", 1u << DIALECT_ENVOY},
        {"haproxy", 1u << DIALECT_HAPROXY},
    };
    struct config_strings list = keep_list(b, CONFKEY_SERVER_DIALECTS);

    for (size_t i = 0; i < list.n; i++)
        for (size_t j = 0; list.items[i] != NULL && j < sizeof(words) / sizeof(words[0]); j++)
            if (strcmp(list.items[i], words[j].word) == 0)
                b->c->server.dialects |= words[j].bits;
}

static void build_threads(struct builder *b)
{
    const struct confvalue *v = value_of(b, CONFKEY_SERVER_THREADS);
    uint64_t n = 0;

    if (v->is_usable && (view_to_u64(view_of(v->self.text), &n) != GW_OK || n > CONFIG_THREADS_MAX))
        refuse(b, CONFKEY_SERVER_THREADS, NULL, "expected a whole number of at most %d, 0 for one per core", CONFIG_THREADS_MAX);
    if (n == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        n = cores < 1 ? 1 : cores > CONFIG_THREADS_MAX ? CONFIG_THREADS_MAX : (uint64_t)cores;
    }
    b->c->server.threads = (unsigned)n;
}

static unsigned build_per_minute(struct builder *b, enum confkey_id key)
{
    const struct confvalue *v = value_of(b, key);
    uint64_t n = 0;

    if (v->is_usable && (view_to_u64(view_of(v->self.text), &n) != GW_OK || n == 0 || n > CONFIG_PER_MINUTE_MAX))
        refuse(b, key, NULL, "expected a whole number from 1 to %d", CONFIG_PER_MINUTE_MAX);
    return (unsigned)n;
}

/* Sockets that share a port, as ours may, are given connections by the kernel: the more exact address wins, whoever that is. */
static bool do_hosts_meet(const char *a, const char *b)
{
    static const char *const everywhere[] = {"", "0.0.0.0", "::"};

    for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++)
        if (strcmp(a, everywhere[i]) == 0 || strcmp(b, everywhere[i]) == 0)
            return true;
    return strcmp(a, b) == 0;
}

static void build_server(struct builder *b)
{
    struct config *c = b->c;

    c->server.listen_host = parse_address(b, CONFKEY_SERVER_LISTEN, &c->server.listen_port);
    c->server.admin_listen_host = parse_address(b, CONFKEY_SERVER_ADMIN_LISTEN, &c->server.admin_listen_port);
    if (c->server.listen_port != 0 && c->server.listen_port == c->server.admin_listen_port && !b->is_out_of_memory &&
        do_hosts_meet(c->server.listen_host, c->server.admin_listen_host))
        refuse(b, CONFKEY_SERVER_ADMIN_LISTEN, NULL, "the same address as server.listen: expected another port");
    build_public_url(b);
    c->server.proxy_secret_file = keep_text(b, CONFKEY_SERVER_PROXY_SECRET_FILE);
    c->server.admin_token_file = keep_text(b, CONFKEY_SERVER_ADMIN_TOKEN_FILE);
    build_trusted_proxies(b);
    build_dialects(b);
    build_threads(b);
    c->server.logins_per_minute = build_per_minute(b, CONFKEY_SERVER_LOGINS_PER_MINUTE);
    c->server.anonymous_per_minute = build_per_minute(b, CONFKEY_SERVER_ANONYMOUS_PER_MINUTE);
    c->server.contact = keep_text(b, CONFKEY_SERVER_CONTACT);
    c->server.product_name = keep_nonempty(b, CONFKEY_SERVER_PRODUCT_NAME);
    c->server.logo_file = keep_text(b, CONFKEY_SERVER_LOGO_FILE);
}

static bool is_scope(const char *text)
{
    /* RFC 6749 3.3: printable ASCII without quote and backslash. */
    for (const char *p = text; *p != '\0'; p++)
        if (*p <= 0x20 || *p >= 0x7f || *p == '"' || *p == '\\')
            return false;
    return text[0] != '\0';
}

static void build_scopes(struct builder *b)
{
    const struct confvalue *v = value_of(b, CONFKEY_OIDC_SCOPES);
    bool has_openid = !v->is_usable;

    b->c->oidc.scopes = keep_list(b, CONFKEY_OIDC_SCOPES);
    for (size_t i = 0; v->is_usable && i < v->n_items; i++) {
        if (!is_scope(v->items[i].text))
            refuse(b, CONFKEY_OIDC_SCOPES, &v->items[i], "expected a scope without blanks, quotes and backslashes");
        has_openid = has_openid || strcmp(v->items[i].text, "openid") == 0;
    }
    if (!has_openid)
        refuse(b, CONFKEY_OIDC_SCOPES, NULL, "expected openid among the scopes");
}

enum { BEARER_ISSUER, BEARER_AUDIENCE, BEARER_INTERNAL_URL, BEARER_MEMBERS }; /* in the key table's order */

static char *keep_member(struct builder *b, const struct conftext *member, const char *expected)
{
    if (expected != NULL && (member->text == NULL || member->text[0] == '\0'))
        refuse(b, CONFKEY_OIDC_BEARER, member, "required: expected %s", expected);
    return keep_view(b, view_of(member->text == NULL ? "" : member->text));
}

/* Tokens are told apart by their issuer, so each is named once. */
static void refuse_known_issuer(struct builder *b, const struct conftext *issuer)
{
    const char *text = issuer->text == NULL ? "" : issuer->text;

    if (b->c->oidc.issuer != NULL && strcmp(text, b->c->oidc.issuer) == 0)
        refuse(b, CONFKEY_OIDC_BEARER, issuer, "this is oidc.issuer, whose tokens are accepted anyway");
    for (size_t i = 0; i < b->c->oidc.n_bearer; i++)
        if (b->c->oidc.bearer[i].issuer != NULL && strcmp(text, b->c->oidc.bearer[i].issuer) == 0)
            refuse(b, CONFKEY_OIDC_BEARER, issuer, "this issuer stands in the list twice");
}

static void build_bearer(struct builder *b)
{
    const struct confvalue *v = value_of(b, CONFKEY_OIDC_BEARER);
    struct uri uri;

    for (size_t i = 0; v->is_usable && i < v->n_items; i++) {
        const struct conftext *m = v->items + i * BEARER_MEMBERS;
        struct config_issuer entry = {
            .issuer = keep_member(b, &m[BEARER_ISSUER], "the issuer's URL, to the byte as it stands in its tokens"),
            .audience = keep_member(b, &m[BEARER_AUDIENCE], "the client id that its tokens are for"),
            .internal_url = keep_member(b, &m[BEARER_INTERNAL_URL], NULL),
        };
        refuse_known_issuer(b, &m[BEARER_ISSUER]);
        if (entry.issuer != NULL && entry.issuer[0] != '\0' && parse_url(b, CONFKEY_OIDC_BEARER, &m[BEARER_ISSUER], &uri))
            warn_plain_http(b, CONFKEY_OIDC_BEARER, &uri, "tokens");
        if (entry.internal_url != NULL && entry.internal_url[0] != '\0')
            (void)parse_url(b, CONFKEY_OIDC_BEARER, &m[BEARER_INTERNAL_URL], &uri);
        b->c->oidc.bearer[b->c->oidc.n_bearer++] = entry;
    }
    /* A further issuer shares no secret with us. */
    const struct config_strings *algorithms = &b->c->oidc.algorithms;
    if (b->c->oidc.n_bearer > 0 && algorithms->n == 1 && algorithms->items[0] != NULL &&
        strcmp(algorithms->items[0], "HS256") == 0)
        refuse(b, CONFKEY_OIDC_BEARER, NULL, "with HS256 as the only one of oidc.algorithms: expected one with public keys");
}

static void build_oidc(struct builder *b)
{
    const struct confvalue *issuer = value_of(b, CONFKEY_OIDC_ISSUER), *internal = value_of(b, CONFKEY_OIDC_INTERNAL_URL);
    struct config *c = b->c;
    struct uri uri;

    c->oidc.issuer = keep_text(b, CONFKEY_OIDC_ISSUER);
    if (issuer->is_usable && parse_url(b, CONFKEY_OIDC_ISSUER, &issuer->self, &uri))
        warn_plain_http(b, CONFKEY_OIDC_ISSUER, &uri, "passwords and tokens");
    c->oidc.internal_url = keep_text(b, CONFKEY_OIDC_INTERNAL_URL);
    if (internal->is_usable && internal->self.text[0] != '\0')
        (void)parse_url(b, CONFKEY_OIDC_INTERNAL_URL, &internal->self, &uri);
    c->oidc.ca_file = keep_text(b, CONFKEY_OIDC_CA_FILE);
    c->oidc.client_id = keep_nonempty(b, CONFKEY_OIDC_CLIENT_ID);
    c->oidc.client_secret_file = keep_nonempty(b, CONFKEY_OIDC_CLIENT_SECRET_FILE);
    build_scopes(b);
    c->oidc.algorithms = keep_list(b, CONFKEY_OIDC_ALGORITHMS);
    if (c->oidc.algorithms.n == 0 && value_of(b, CONFKEY_OIDC_ALGORITHMS)->is_usable)
        refuse(b, CONFKEY_OIDC_ALGORITHMS, NULL, "empty: expected at least one algorithm");
    build_bearer(b);
    c->oidc.introspection = parse_bool(b, CONFKEY_OIDC_INTROSPECTION);
}

static void build_session_store(struct builder *b)
{
    struct config *c = b->c;
    const struct confvalue *store = value_of(b, CONFKEY_SESSION_STORE);

    c->session.is_postgres = store->is_usable && strcmp(store->self.text, "postgres") == 0;
    c->session.path = keep_nonempty(b, CONFKEY_SESSION_PATH);
    c->session.dsn_file = keep_text(b, CONFKEY_SESSION_DSN_FILE);
    bool has_dsn = c->session.dsn_file != NULL && c->session.dsn_file[0] != '\0';
    if (c->session.is_postgres && !has_dsn)
        refuse(b, CONFKEY_SESSION_STORE, NULL,
               "postgres without session.dsn_file: expected that too, a file with the connection string");
    if (c->session.is_postgres && is_given(b, CONFKEY_SESSION_PATH))
        refuse(b, CONFKEY_SESSION_PATH, NULL, "the file of sqlite, but session.store is postgres: expected one of the two");
    if (store->is_usable && !c->session.is_postgres && has_dsn)
        refuse(b, CONFKEY_SESSION_DSN_FILE, NULL,
               "a database, but session.store is sqlite: expected session.store: postgres with it");
}

static void build_session(struct builder *b)
{
    struct config *c = b->c;

    build_session_store(b);
    c->session.key_file = keep_nonempty(b, CONFKEY_SESSION_KEY_FILE);
    c->session.idle_s = parse_duration(b, CONFKEY_SESSION_IDLE);
    c->session.absolute_s = parse_duration(b, CONFKEY_SESSION_ABSOLUTE);
    if (c->session.absolute_s > 0 && c->session.idle_s > c->session.absolute_s)
        refuse(b, CONFKEY_SESSION_IDLE, NULL, "longer than session.absolute: expected at most that");
    c->session.refresh_s = parse_duration(b, CONFKEY_SESSION_REFRESH);
    c->session.grace_s = parse_duration(b, CONFKEY_SESSION_GRACE);
    /* Only what was asked for can contradict: under a short idle limit the default refreshes those who stay, as it should. */
    if (is_given(b, CONFKEY_SESSION_REFRESH) && c->session.idle_s > 0 && c->session.refresh_s >= c->session.idle_s)
        refuse(b, CONFKEY_SESSION_REFRESH, NULL, "not shorter than session.idle: expected less");
    if (is_given(b, CONFKEY_SESSION_GRACE) && c->session.absolute_s > 0 && c->session.grace_s > c->session.absolute_s)
        refuse(b, CONFKEY_SESSION_GRACE, NULL, "longer than session.absolute: expected at most that");
}

static void build_assertion(struct builder *b)
{
    b->c->assertion.key_file = keep_text(b, CONFKEY_ASSERTION_KEY_FILE);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct config_env *)a)->name, ((const struct config_env *)b)->name);
}

/* Policies read settings as env.NAME, so the names are Lua's. */
static bool is_env_name(const char *name)
{
    struct view v = view_of(name);

    for (size_t i = 0; i < v.n; i++) {
        char c = view_lower_byte(v.p[i]);
        if (!(c >= 'a' && c <= 'z') && c != '_' && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return v.n > 0 && v.n <= CONFIG_ENV_NAME_MAX;
}

static void build_policy(struct builder *b)
{
    const struct confvalue *v = value_of(b, CONFKEY_POLICY_ENV);
    struct config *c = b->c;

    c->policy.dir = keep_nonempty(b, CONFKEY_POLICY_DIR);
    c->policy.state_dir = keep_nonempty(b, CONFKEY_POLICY_STATE_DIR);
    c->policy.require_tests = parse_bool(b, CONFKEY_POLICY_REQUIRE_TESTS);
    c->policy.env = arena_get(b->arena, (v->n_items + 1) * sizeof(c->policy.env[0]));
    if (c->policy.env == NULL) {
        b->is_out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < v->n_items; i++) {
        const struct conftext *item = &v->items[i];
        if (!is_env_name(item->name))
            refuse(b, CONFKEY_POLICY_ENV, item, "expected a name of letters, digits and _, found \"%.64s\"", item->name);
        if (item->text == NULL)
            continue;
        c->policy.env[c->policy.n_env++] =
            (struct config_env){keep_view(b, view_of(item->name)), keep_view(b, view_of(item->text))};
    }
    if (!b->is_out_of_memory && c->policy.n_env > 1)
        qsort(c->policy.env, c->policy.n_env, sizeof(c->policy.env[0]), by_name);
}

static void build_audit(struct builder *b)
{
    b->c->audit.path = keep_nonempty(b, CONFKEY_AUDIT_PATH);
    b->c->audit.mode = CONFIG_AUDIT_WRITTEN; /* the one word accepted */
}

GW_PRINTF(5, 6)
static void refuse_forge(struct builder *b, const struct confforge *f, const char *field, const struct conftext *at,
                         const char *fmt, ...)
{
    char key[CONFREPORT_KEY_MAX], text[CONFREPORT_TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(key, sizeof(key), "forges.%s%s", f->self.name, field);
    confreport_error(b->report, at->at, key, "%s", text);
}

static void build_forge_url(struct builder *b, const struct confforge *f, struct forge *forge)
{
    struct uri uri;
    struct view url = view_of(f->url.text);

    if (url.p == NULL && f->url.at.source == NULL)
        refuse_forge(b, f, ".url", &f->self, "required: expected the forge's base URL");
    if (url.p == NULL)
        return;
    if (uri_parse(url, &uri) != GW_OK || uri.query.p != NULL) {
        refuse_forge(b, f, ".url", &f->url, "expected an http or https URL without a query, found \"%.128s\"", f->url.text);
        return;
    }
    while (url.p[url.n - 1] == '/')
        url.n--;
    forge->url = keep_view(b, url);
}

static void build_forge_name(struct builder *b, const struct confforge *f, struct forge *forge)
{
    struct view name = view_of(f->self.name);

    if (confkeys_list_has(reserved_names, name))
        refuse_forge(b, f, "", &f->self, "a reserved name: expected another");
    else if (!repo_forge_name_is_valid(name) || name.n >= sizeof(forge->name))
        refuse_forge(b, f, "", &f->self, "expected a name of a-z, 0-9 and -, a letter first, at most 32 long");
    else
        memcpy(forge->name, name.p, name.n);
}

static void build_forge(struct builder *b, const struct confforge *f)
{
    static const char kinds[] = "github, gitlab, bitbucket or gitea";
    struct forge *forge = &b->c->forges.items[b->c->forges.n++];

    build_forge_name(b, f, forge);
    if (!f->is_usable)
        return;
    if (f->kind.text == NULL && f->kind.at.source == NULL)
        refuse_forge(b, f, ".kind", &f->self, "required: expected %s", kinds);
    else if (f->kind.text != NULL && repo_kind_parse(view_of(f->kind.text), &forge->kind) != GW_OK)
        refuse_forge(b, f, ".kind", &f->kind, "expected %s, found \"%.64s\"", kinds, f->kind.text);
    build_forge_url(b, f, forge);
}

static void build_forges(struct builder *b)
{
    const struct confvalue *v = value_of(b, CONFKEY_FORGES);

    if (!v->is_usable)
        return;
    if (v->self.text != NULL) { /* the default, as the key table documents it */
        b->c->forges.items[0] = (struct forge){.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"};
        b->c->forges.n = 1;
    } else if (b->doc->n_forges == 0) {
        refuse(b, CONFKEY_FORGES, NULL, "empty: expected at least one forge");
    }
    for (size_t i = 0; i < b->doc->n_forges; i++)
        build_forge(b, &b->doc->forges[i]);
}

static void build_workspace(struct builder *b)
{
    const struct confvalue *url = value_of(b, CONFKEY_WORKSPACE_URL), *host = value_of(b, CONFKEY_WORKSPACE_HOST);
    struct config *c = b->c;

    c->workspace.url = keep_text(b, CONFKEY_WORKSPACE_URL);
    const char *wrong = url->is_usable ? confvalue_check_template(view_of(url->self.text)) : NULL;
    if (wrong != NULL)
        refuse(b, CONFKEY_WORKSPACE_URL, NULL, "%s", wrong);
    c->workspace.host = keep_text(b, CONFKEY_WORKSPACE_HOST);
    if (host->is_usable && host->self.text[0] != '\0' && !confvalue_is_host(view_of(host->self.text)))
        refuse(b, CONFKEY_WORKSPACE_HOST, NULL, "expected a host such as ws.example.net or ws.example.net:8080");
    c->workspace.single_trust = parse_bool(b, CONFKEY_WORKSPACE_SINGLE_TRUST);
    c->workspace.mode = CONFIG_MODE_PATH; /* the one word accepted */
    if (value_of(b, CONFKEY_WORKSPACE_MODE)->is_usable && !c->workspace.single_trust)
        refuse(b, CONFKEY_WORKSPACE_MODE, NULL,
               "path without workspace.single_trust: true: in path mode all workspaces share one origin, so pages of one can "
               "act in another");
}

static enum gw_err build(struct owned *o, struct view text, char *const *environment, struct confreport *report)
{
    struct builder b = {.c = &o->c, .arena = &o->arena, .doc = &o->doc, .report = report};

    enum gw_err err = confdoc_read(text, environment, report, &o->arena, &o->doc);
    if (err != GW_OK)
        return err;
    build_server(&b);
    build_oidc(&b);
    build_session(&b);
    build_assertion(&b);
    build_policy(&b);
    build_audit(&b);
    build_forges(&b);
    build_workspace(&b);
    b.c->doctor.enabled = parse_bool(&b, CONFKEY_DOCTOR_ENABLED);
    return b.is_out_of_memory ? GW_E_NOMEM : GW_OK;
}

/* GW_OK with findings too, so that those of the files can follow: see report->n_errors. */
static enum gw_err parse(struct view text, char *const *environment, struct confreport *report, struct owned **ret_owned)
{
    struct owned *o = calloc(1, sizeof(*o));

    if (o == NULL)
        return GW_E_NOMEM;
    o->arena = ARENA(CONFIG_ARENA_BYTES);
    /* The caller's name need not outlive the call. */
    report->file = arena_copy(&o->arena, view_of(report->file)).p;
    enum gw_err err = report->file == NULL ? GW_E_NOMEM : build(o, text, environment, report);
    if (err != GW_OK) {
        config_free(&o->c);
        return err;
    }
    *ret_owned = o;
    return GW_OK;
}

static enum gw_err finish(struct owned *o, const struct confreport *r, struct config **ret_config)
{
    if (r->n_errors > 0) {
        config_free(&o->c);
        return GW_E_INVALID;
    }
    *ret_config = &o->c;
    return GW_OK;
}

enum gw_err config_parse(struct view text, const char *name, char *const *environment, config_report_fn report, void *arg,
                         struct config **ret_config)
{
    struct confreport r = {.fn = report, .arg = arg, .file = name};
    struct owned *o;

    enum gw_err err = parse(text, environment, &r, &o);
    return err == GW_OK ? finish(o, &r, ret_config) : err;
}

static enum gw_err read_file(const char *path, struct buf *out)
{
    GW_CLEANUP(gw_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    while (fd >= 0) {
        char *room = buf_reserve(out, 4096);
        if (room == NULL)
            return out->n + 4096 > out->cap ? GW_E_LIMIT : GW_E_NOMEM;
        ssize_t n = read(fd, room, 4096);
        if (n == 0)
            return GW_OK;
        if (n < 0 && errno != EINTR)
            return GW_E_IO;
        out->n += n < 0 ? 0 : (size_t)n;
    }
    return GW_E_IO;
}

static void try_secret(const struct owned *o, struct confreport *r, enum confkey_id id, const char *path, size_t n_min)
{
    GW_CLEANUP(secret_freep) char *text = NULL;

    if (path[0] == '\0')
        return;
    errno = 0;
    enum gw_err err = secret_load(path, &text);
    if (err == GW_OK) {
        if (strlen(text) < n_min)
            confreport_error(r, o->doc.values[id].self.at, confkeys[id].name, "%s: too short: expected at least %zu characters",
                             path, n_min);
        return;
    }
    const char *why = err == GW_E_IO && errno != 0 ? strerror(errno)
                      : err == GW_E_IO             ? "cannot be read"
                      : err == GW_E_LIMIT          ? "too large"
                      : err == GW_E_NOMEM          ? "no memory"
                                                   : "empty, or holds a NUL byte";
    confreport_error(r, o->doc.values[id].self.at, confkeys[id].name, "%s: %s: expected a readable file with the secret", path,
                     why);
}

static void load_files(struct owned *o, struct confreport *r)
{
    struct config *c = &o->c;

    try_secret(o, r, CONFKEY_OIDC_CLIENT_SECRET_FILE, c->oidc.client_secret_file, 0);
    try_secret(o, r, CONFKEY_SESSION_DSN_FILE, c->session.dsn_file, 0);
    try_secret(o, r, CONFKEY_SERVER_PROXY_SECRET_FILE, c->server.proxy_secret_file, 0);
    try_secret(o, r, CONFKEY_SERVER_ADMIN_TOKEN_FILE, c->server.admin_token_file, CONFIG_ADMIN_TOKEN_MIN);
    if (c->server.logo_file[0] != '\0' && access(c->server.logo_file, R_OK) != 0)
        confreport_error(r, o->doc.values[CONFKEY_SERVER_LOGO_FILE].self.at, "server.logo_file",
                         "%s: %s: expected a readable picture", c->server.logo_file, strerror(errno));
    if (c->oidc.ca_file[0] != '\0' && access(c->oidc.ca_file, R_OK) != 0)
        confreport_error(r, o->doc.values[CONFKEY_OIDC_CA_FILE].self.at, "oidc.ca_file", "%s: %s: expected a readable PEM file",
                         c->oidc.ca_file, strerror(errno));
}

static void buf_deinitp(struct buf *b)
{
    buf_deinit(b);
}

enum gw_err config_load(const char *path, config_report_fn report, void *arg, struct config **ret_config)
{
    GW_CLEANUP(buf_deinitp) struct buf text = BUF(CONFIG_BYTES_MAX + 8192);
    struct confreport r = {.fn = report, .arg = arg, .file = path};
    struct owned *o;

    enum gw_err err = read_file(path, &text);
    if (err == GW_E_IO)
        confreport_error(&r, (struct confplace){path, 0, 0}, "", "cannot be read: %s", strerror(errno));
    if (err != GW_OK && err != GW_E_LIMIT)
        return err;
    /* What did not fit is over the cap already, and refused as such. */
    if ((err = parse(buf_view(&text), environ, &r, &o)) != GW_OK)
        return err;
    load_files(o, &r);
    return finish(o, &r, ret_config);
}

void config_free(struct config *c)
{
    struct owned *o = (struct owned *)(void *)c;

    if (c == NULL)
        return;
    arena_deinit(&o->arena);
    free(o);
}

const char *config_source(const struct config *c, const char *key, int *ret_line)
{
    const struct owned *o = (const struct owned *)(const void *)c;
    const struct confkey *k = confkeys_find(view_of(key));

    *ret_line = 0;
    if (k == NULL)
        return "";
    *ret_line = o->doc.values[k - confkeys].self.at.line;
    return o->doc.values[k - confkeys].self.at.source;
}

const char *config_library_version(void)
{
    return confload_library_version();
}

const char *config_parser_version(void)
{
    return confscan_library_version();
}

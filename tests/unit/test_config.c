#include "config/config.h"
#include "config/confkeys.h"
#include "config/confvalue.h"
#include "util/buf.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FINDINGS_MAX = 64 };

struct found {
    char file[64], key[128], text[512];
    int line, column;
    bool is_warning;
};

struct findings {
    struct found items[FINDINGS_MAX];
    size_t n, n_errors;
};

static void collect(void *arg, const struct config_finding *f)
{
    struct findings *all = arg;

    ck_assert_uint_lt(all->n, FINDINGS_MAX);
    struct found *to = &all->items[all->n++];
    all->n_errors += f->is_warning ? 0 : 1;
    snprintf(to->file, sizeof(to->file), "%s", f->file);
    snprintf(to->key, sizeof(to->key), "%s", f->key);
    snprintf(to->text, sizeof(to->text), "%s", f->text);
    to->line = f->line;
    to->column = f->column;
    to->is_warning = f->is_warning;
}

static char *no_environment[] = {NULL};

static struct config *parse_in(const char *text, char *const *environment, struct findings *found)
{
    struct config *c = NULL;

    *found = (struct findings){.n = 0};
    enum gw_err err = config_parse(view_of(text), "t.yaml", environment, collect, found, &c);
    ck_assert_int_eq(err == GW_OK, c != NULL);
    ck_assert_int_eq(err == GW_OK, found->n_errors == 0);
    return c;
}

static struct config *parse(const char *text, struct findings *found)
{
    return parse_in(text, no_environment, found);
}

static struct config *parse_good(const char *text)
{
    struct findings found;
    struct config *c = parse(text, &found);

    ck_assert_msg(c != NULL, "line %d, %s: %s", found.items[0].line, found.items[0].key, found.items[0].text);
    return c;
}

#define S "server: {public_url: https://dev.example.org}\n"
#define O "oidc: {issuer: https://auth.example.org/application/o/repogate/, client_secret_file: /s}\n"
#define W "workspace: {url: http://127.0.0.1:5800, mode: path, single_trust: true}\n"
#define BASE S O W

/* Each wrong in one place: the one error reported, its line and key, and words of its text. */
static const struct wrong {
    const char *text;
    int line;
    const char *key, *says;
} wrong_cases[] = {
    /* not the YAML we take */
    {"", 0, "", "expected a map of sections"},
    {"# nothing\n", 0, "", "expected a map of sections"},
    {"just text\n", 1, "", "expected a map of sections"},
    {"- a\n- b\n", 1, "", "expected a map of sections"},
    {"\xef\xbb\xbf" BASE, 1, "", "byte order mark"},
    {"\xff\xfes\1", 1, "", "byte order mark"},
    {BASE "audit:\n\tpath: x\n", 5, "", "a tab indents this line"},
    {BASE "audit: {path: \"x\n", 5, "", "that begins on line 4"},
    {S "server2: {trusted_proxies: [::1/128]}\n", 2, "", "quote addresses"},
    {S "server2: {listen: [::1]:80}\n", 2, "", "quote addresses"},
    {BASE "audit: {path: [}\n", 4, "", "not YAML"},
    {BASE "  audit: x\n", 4, "", "not YAML"},
    {BASE "audit:\n  path: a\xff\n", 5, "", "not UTF-8"},
    {BASE "audit:\n  path: a\x01\n", 5, "", "not UTF-8 text: control characters"},
    {BASE "audit: {path: \"a\\0b\"}\n", 4, "audit.path", "control characters"},
    {BASE "audit:\n  path: |\n    two\n    lines\n", 5, "audit.path", "expected one line"},
    {BASE "audit: {path: &a x}\n", 4, "audit.path", "anchors"},
    {BASE "audit: {path: !!str x}\n", 4, "audit.path", "tags"},
    {BASE "---\naudit: {}\n", 4, "", "a second document"},
    {BASE "audit: {path: x, path: y}\n", 4, "audit.path", "given twice: first on line 4"},
    {BASE "server: {threads: 1}\n", 4, "server", "given twice: first on line 1"},
    {BASE "? [a, b]\n: c\n", 4, "", "expected `key: value`"},
    {BASE "audit: [[[[[[[[[[]]]]]]]]]]\n", 4, "audit", "nested too deep"},
    {BASE "\"\": x\n", 4, "", "expected a key of 1 to 64"},
    /* unknown keys */
    {BASE "sessoin: {}\n", 4, "sessoin", "did you mean session?"},
    {BASE "audit: {pth: x}\n", 4, "audit.pth", "did you mean audit.path?"},
    {BASE "audit:\n\n  # why\n  pth: x\n", 7, "audit.pth", "did you mean audit.path?"},
    {BASE "audit: {input: read-set}\n", 4, "audit.input", "unknown key"},
    {BASE "audit: {rotate_bytes: 256MiB}\n", 4, "audit.rotate_bytes", "unknown key"},
    {BASE "audit: {client_id: x}\n", 4, "audit.client_id", "did you mean oidc.client_id?"},
    {BASE "audit.path: x\n", 4, "audit.path", "not dotted names"},
    {BASE "whatever: {deep: {down: [1]}}\n", 4, "whatever", "unknown key"},
    {BASE "<<: {a: b}\n", 4, "<<", "unknown key"},
    {BASE "\"a\\eb\": x\n", 4, "", "expected a key of 1 to 64"},
    /* wrong shapes */
    {BASE "audit: x\n", 4, "audit", "expected a map, found text"},
    {BASE "audit:\n", 4, "audit", "expected a map, found nothing"},
    {BASE "audit: [path]\n", 4, "audit", "expected a map, found a list"},
    {BASE "audit: {path: [x]}\n", 4, "audit.path", "expected a path, found a list"},
    {BASE "audit: {path: {x: y}}\n", 4, "audit.path", "expected a path, found a map"},
    {BASE "audit: {path: }\n", 4, "audit.path", "nothing stands here"},
    {BASE "audit: {path: ~}\n", 4, "audit.path", "nothing stands here"},
    {BASE "audit: {path: null}\n", 4, "audit.path", "nothing stands here"},
    {BASE "audit: {path: \"\"}\n", 4, "audit.path", "empty: expected a path"},
    {S "oidc: {issuer: https://a.example/, client_secret_file: /s, scopes: openid}\n" W, 2, "oidc.scopes",
     "expected a list such as [a, b], found text"},
    {S "oidc: {issuer: https://a.example/, client_secret_file: /s, scopes: [[openid]]}\n" W, 2, "oidc.scopes",
     "expected text in this list, found a list"},
    {S "oidc: {issuer: https://a.example/, client_secret_file: /s, scopes: [openid, null]}\n" W, 2, "oidc.scopes",
     "found nothing"},
    {BASE "policy: {env: [a]}\n", 4, "policy.env", "expected a map, found a list"},
    {BASE "policy: {env: {a: [b]}}\n", 4, "policy.env.a", "expected text, found a list"},
    {BASE "policy: {env: {a: }}\n", 4, "policy.env.a", "nothing stands here"},
    {BASE "policy: {env: {a-b: c}}\n", 4, "policy.env", "letters, digits and _"},
    {BASE "policy: {env: {1a: c}}\n", 4, "policy.env", "letters, digits and _"},
    {BASE "forges: github\n", 4, "forges", "expected a map, found text"},
    {BASE "forges: {}\n", 4, "forges", "empty: expected at least one forge"},
    {BASE "forges: {gh: github}\n", 4, "forges.gh", "expected a map, found text"},
    {BASE "forges: {gh: {kind: github}}\n", 4, "forges.gh.url", "required"},
    {BASE "forges: {gh: {url: https://github.com}}\n", 4, "forges.gh.kind", "required: expected github, gitlab"},
    {BASE "forges: {gh: {kind: [a], url: https://github.com}}\n", 4, "forges.gh.kind", "found a list"},
    {BASE "forges:\n  gh:\n    kind: githup\n    url: https://github.com\n", 6, "forges.gh.kind", "found \"githup\""},
    {BASE "forges:\n  gh:\n    kind: github\n    url: ssh://github.com\n", 7, "forges.gh.url", "http or https URL"},
    {BASE "forges:\n  gh:\n    kind: github\n    url: https://github.com?a\n", 7, "forges.gh.url", "without a query"},
    {BASE "forges: {gh: {kind: github, url: https://github.com, token: x}}\n", 4, "forges.gh.token", "expected kind and url"},
    {BASE "forges: {GitHub: {kind: github, url: https://github.com}}\n", 4, "forges.GitHub", "expected a name"},
    {BASE "forges: {_repogate: {kind: github, url: https://github.com}}\n", 4, "forges._repogate", "expected a name"},
    {BASE "forges: {health: {kind: github, url: https://github.com}}\n", 4, "forges.health", "reserved"},
    {BASE "forges: {static: {kind: github, url: https://github.com}}\n", 4, "forges.static", "reserved"},
    /* required */
    {O W, 0, "server.public_url", "required: expected an http or https URL"},
    {S W "oidc: {client_secret_file: /s}\n", 0, "oidc.issuer", "required"},
    {S W "oidc: {issuer: https://a.example/}\n", 0, "oidc.client_secret_file", "required"},
    {S O "workspace: {mode: path, single_trust: true}\n", 0, "workspace.url", "required"},
    {S O "workspace: {url: http://127.0.0.1:1, single_trust: true}\n", 0, "workspace.mode", "required"},
/* server */
#define SERVER(more) "server:\n  public_url: https://dev.example.org\n  " more "\n" O W
    {SERVER("listen: 8080"), 3, "server.listen", "expected host:port, :port or [ipv6]:port"},
    {SERVER("listen: localhost:8080"), 3, "server.listen", "an IP address, found \"localhost:8080\""},
    {SERVER("listen: 127.0.0.1:65536"), 3, "server.listen", "expected host:port"},
    {SERVER("listen: 127.0.0.1:080"), 3, "server.listen", "expected host:port"},
    {SERVER("listen: 127.0.0.1"), 3, "server.listen", "expected host:port"},
    {SERVER("listen: \"::1:80\""), 3, "server.listen", "expected host:port"},
    {SERVER("listen: \"[127.0.0.1]:80\""), 3, "server.listen", "expected host:port"},
    {SERVER("admin_listen: 127.0.0.1:8080"), 3, "server.admin_listen", "the same address as server.listen"},
    {SERVER("admin_listen: :8080"), 3, "server.admin_listen", "the same address as server.listen"},
    {SERVER("admin_listen: 0.0.0.0:8080"), 3, "server.admin_listen", "the same address as server.listen"},
    {SERVER("admin_listen: \"[::]:8080\""), 3, "server.admin_listen", "the same address as server.listen"},
    {SERVER("listen: 0.0.0.0:9090"), 0, "server.admin_listen", "the same address as server.listen"},
    {SERVER("trusted_proxies: [127.0.0.1/8]"), 3, "server.trusted_proxies", "no bits set behind the prefix"},
    {SERVER("trusted_proxies: [127.0.0.1]"), 3, "server.trusted_proxies", "expected a network"},
    {SERVER("trusted_proxies:\n  - 10.0.0.0/8\n  - nonsense"), 5, "server.trusted_proxies", "found \"nonsense\""},
    {SERVER("trusted_proxies: [0.0.0.0/0]"), 3, "server.trusted_proxies", "everyone would be believed"},
    {SERVER("dialects: [apache]"), 3, "server.dialects",
     "unknown word \"apache\": expected one of nginx,traefik,caddy,envoy,haproxy"},
    {SERVER("dialects: [nginx, nginx]"), 3, "server.dialects", "twice"},
    {SERVER("threads: many"), 3, "server.threads", "a whole number"},
    {SERVER("threads: -1"), 3, "server.threads", "a whole number"},
    {SERVER("threads: 257"), 3, "server.threads", "at most 256"},
    {SERVER("logins_per_minute: 0"), 3, "server.logins_per_minute", "a whole number from 1 to 1000000"},
    {SERVER("logins_per_minute: 1000001"), 3, "server.logins_per_minute", "a whole number from 1"},
    {SERVER("logins_per_minute: many"), 3, "server.logins_per_minute", "a whole number"},
    {SERVER("anonymous_per_minute: 0"), 3, "server.anonymous_per_minute", "a whole number from 1 to 1000000"},
    {"server: {public_url: dev.example.org}\n" O W, 1, "server.public_url", "http or https URL"},
    {"server: {public_url: https://dev.example.org/x}\n" O W, 1, "server.public_url", "without a path"},
    {"server: {public_url: https://dev.example.org//}\n" O W, 1, "server.public_url", "without a path"},
    {"server: {public_url: https://dev.example.org/?a}\n" O W, 1, "server.public_url", "without a query"},
    {"server: {public_url: \"https://dev.example.org#a\"}\n" O W, 1, "server.public_url", "http or https URL"},
    {"server: {public_url: https://me@dev.example.org}\n" O W, 1, "server.public_url", "http or https URL"},
    {"server: {public_url: \"\"}\n" O W, 1, "server.public_url", "http or https URL"},
/* oidc */
#define OIDC(more) S W "oidc:\n  issuer: https://a.example/\n  client_secret_file: /s\n  " more "\n"
    {S W "oidc: {issuer: a.example, client_secret_file: /s}\n", 3, "oidc.issuer", "http or https URL"},
    {S W "oidc: {issuer: https://a.example/?x=1, client_secret_file: /s}\n", 3, "oidc.issuer", "without a query"},
    {S W "oidc: {issuer: https://a.example/, client_secret_file: \"\"}\n", 3, "oidc.client_secret_file", "empty"},
    {OIDC("internal_url: a:9000"), 6, "oidc.internal_url", "http or https URL"},
    {OIDC("client_id: \"\""), 6, "oidc.client_id", "empty"},
    {OIDC("scopes: [profile]"), 6, "oidc.scopes", "expected openid"},
    {OIDC("scopes: [openid, \"a b\"]"), 6, "oidc.scopes", "without blanks"},
    {OIDC("scopes: [openid, openid]"), 6, "oidc.scopes", "twice"},
    {OIDC("algorithms: []"), 6, "oidc.algorithms", "at least one"},
    {OIDC("algorithms: [none]"), 6, "oidc.algorithms", "unknown word \"none\": expected one of RS256,ES256"},
    {OIDC("algorithms: [PS256]"), 6, "oidc.algorithms", "unknown word"},
    {OIDC("introspection: on"), 6, "oidc.introspection", "expected true or false"},
    {OIDC("bearer: x"), 6, "oidc.bearer", "expected a list of maps such as [{name: value}], found text"},
    {OIDC("bearer: {issuer: https://b.example/}"), 6, "oidc.bearer", "found a map"},
    {OIDC("bearer: [x]"), 6, "oidc.bearer", "expected a map in this list, found text"},
    {OIDC("bearer: [{issuer: https://b.example/, audience: [b]}]"), 6, "oidc.bearer.audience", "expected text, found a list"},
    {OIDC("bearer: [{issuer: https://b.example/, audience: }]"), 6, "oidc.bearer.audience", "nothing stands here"},
    {OIDC("bearer: [{issuer: https://b.example/, audience: b, aud: b}]"), 6, "oidc.bearer.aud",
     "unknown key: expected issuer,audience,internal_url"},
    {OIDC("bearer: [{issuer: https://b.example/}]"), 6, "oidc.bearer", "required: expected the client id"},
    {OIDC("bearer: [{audience: b}]"), 6, "oidc.bearer", "required: expected the issuer's URL"},
    {OIDC("bearer:\n    - issuer: https://b.example/\n      audience: \"\""), 8, "oidc.bearer",
     "required: expected the client id"},
    {OIDC("bearer: [{issuer: b.example, audience: b}]"), 6, "oidc.bearer", "http or https URL"},
    {OIDC("bearer: [{issuer: https://b.example/, audience: b, internal_url: b}]"), 6, "oidc.bearer", "http or https URL"},
    {OIDC("bearer: [{issuer: https://a.example/, audience: b}]"), 6, "oidc.bearer", "this is oidc.issuer"},
    {OIDC("bearer:\n    - {issuer: https://b.example/, audience: b}\n    - {issuer: https://b.example/, audience: c}"), 8,
     "oidc.bearer", "twice"},
    {OIDC("bearer: [{}, {}, {}, {}, {}, {}, {}, {}, {}]"), 6, "oidc.bearer", "at most 8 entries"},
    {OIDC("algorithms: [HS256]\n  bearer: [{issuer: https://b.example/, audience: b}]"), 7, "oidc.bearer",
     "HS256 as the only one"},
    /* session */
    {BASE "session: {store: postgres}\n", 4, "session.store", "postgres without session.dsn_file: expected that too"},
    {BASE "session: {store: postgres, dsn_file: /d, path: /p}\n", 4, "session.path", "but session.store is postgres"},
    {BASE "session: {dsn_file: /d}\n", 4, "session.dsn_file", "expected session.store: postgres with it"},
    {BASE "session: {store: redis}\n", 4, "session.store", "unknown word \"redis\""},
    {BASE "session: {idle: 8}\n", 4, "session.idle", "a duration such as"},
    {BASE "session: {idle: 0s}\n", 4, "session.idle", "a duration such as"},
    {BASE "session: {idle: -1h}\n", 4, "session.idle", "a duration such as"},
    {BASE "session: {idle: 1h30m}\n", 4, "session.idle", "a duration such as"},
    {BASE "session: {absolute: 99999999999999999999d}\n", 4, "session.absolute", "at most 365d"},
    {BASE "session: {idle: 25h}\n", 4, "session.idle", "longer than session.absolute"},
    {BASE "session: {refresh: 5}\n", 4, "session.refresh", "a duration such as"},
    {BASE "session: {refresh: 0s}\n", 4, "session.refresh", "a duration such as"},
    {BASE "session: {refresh: 8h}\n", 4, "session.refresh", "not shorter than session.idle"},
    {BASE "session: {idle: 1m, refresh: 60s}\n", 4, "session.refresh", "not shorter than session.idle"},
    {BASE "session: {grace: x}\n", 4, "session.grace", "a duration such as"},
    {BASE "session: {grace: 366d}\n", 4, "session.grace", "at most 365d"},
    {BASE "session: {grace: 25h}\n", 4, "session.grace", "longer than session.absolute"},
    {BASE "session: {key_file: \"\"}\n", 4, "session.key_file", "empty"},
    /* policy, audit */
    {BASE "policy: {require_tests: yes}\n", 4, "policy.require_tests", "expected true or false, found \"yes\""},
    {BASE "policy: {require_tests: True}\n", 4, "policy.require_tests", "expected true or false"},
    {BASE "policy: {require_tests: flase}\n", 4, "policy.require_tests", "expected true or false"},
    {BASE "policy: {shadow_dir: x}\n", 4, "policy.shadow_dir", "not built yet"},
    {BASE "audit: {mode: durable}\n", 4, "audit.mode", "durable is not built yet: expected written"},
    {BASE "audit: {mode: async}\n", 4, "audit.mode", "async is not built yet"},
    {BASE "audit: {mode: fast}\n", 4, "audit.mode", "unknown word"},
    {BASE "audit: {checkpoint_key_file: /k}\n", 4, "audit.checkpoint_key_file", "not built yet"},
/* workspace */
#define WORKSPACE(url, more) S O "workspace:\n  url: " url "\n  mode: path\n  single_trust: true\n  " more "\n"
    {WORKSPACE("127.0.0.1:5800", ""), 4, "workspace.url", "expected an http URL"},
    {WORKSPACE("https://ws.example", ""), 4, "workspace.url", "https to workspaces is not built yet"},
    {WORKSPACE("http://ws.example/?a", ""), 4, "workspace.url", "without a query"},
    {WORKSPACE("http://ws.example/{repo}", ""), 4, "workspace.url", "unknown placeholder"},
    {WORKSPACE("http://ws.example/{owner", ""), 4, "workspace.url", "unknown placeholder"},
    {WORKSPACE("http://ws.example/owner}", ""), 4, "workspace.url", "unknown placeholder"},
    {WORKSPACE("http://{owner}.ws.example/", ""), 4, "workspace.url", "whole segments of the path"},
    {WORKSPACE("http://ws.example/a-{owner}", ""), 4, "workspace.url", "whole segments of the path"},
    {WORKSPACE("http://ws.example/{owner}{name}", ""), 4, "workspace.url", "whole segments of the path"},
    {WORKSPACE("http://ws-{id}.example", ""), 4, "workspace.url", "one whole label"},
    {WORKSPACE("http://{id}-ws.example", ""), 4, "workspace.url", "one whole label"},
    {WORKSPACE("http://{id}", ""), 4, "workspace.url", "one whole label"},
    {WORKSPACE("http://{id}:80/", ""), 4, "workspace.url", "one whole label"},
    {WORKSPACE("http://ws.example/{id}", ""), 4, "workspace.url", "one whole label"},
    {WORKSPACE("http://ws.example", "host: \"a b\""), 7, "workspace.host", "expected a host"},
    {WORKSPACE("http://ws.example", "host: http://a"), 7, "workspace.host", "expected a host"},
    {WORKSPACE("http://ws.example", "host: a/b"), 7, "workspace.host", "expected a host"},
    {WORKSPACE("http://ws.example", "driver: knative"), 7, "workspace.driver", "knative is not built yet"},
    {WORKSPACE("http://ws.example", "driver: deployment"), 7, "workspace.driver", "deployment is not built yet"},
    {WORKSPACE("http://ws.example", "host_suffix: ws.example"), 7, "workspace.host_suffix", "not built yet"},
    {S O "workspace: {url: http://a, mode: host, single_trust: true}\n", 3, "workspace.mode",
     "host is not built yet: expected path"},
    {S O "workspace: {url: http://a, mode: path}\n", 3, "workspace.mode", "path without workspace.single_trust: true"},
    {S O "workspace: {url: http://a, mode: path, single_trust: false}\n", 3, "workspace.mode", "path without"},
    {S O "workspace: {url: http://a, mode: path, single_trust: 1}\n", 3, "workspace.single_trust", "expected true or false"},
};

START_TEST(A1b_E5_names_line_key_and_what_was_expected)
{
    const struct wrong *w = &wrong_cases[_i];
    const struct found *first = NULL;
    struct findings found;

    ck_assert_ptr_null(parse(w->text, &found));
    for (size_t i = 0; i < found.n && first == NULL; i++)
        if (!found.items[i].is_warning)
            first = &found.items[i];
    ck_assert_ptr_nonnull(first);
    ck_assert_msg(first->line == w->line, "line %d instead of %d: %s: %s\n%s", first->line, w->line, first->key, first->text,
                  w->text);
    ck_assert_msg(strcmp(first->key, w->key) == 0, "%s instead of %s: %s\n%s", first->key, w->key, first->text, w->text);
    ck_assert_msg(strstr(first->text, w->says) != NULL, "%s\n%s", first->text, w->text);
    ck_assert_str_eq(first->file, "t.yaml");
}
END_TEST

START_TEST(reports_nothing_beside_the_one_mistake)
{
    const struct wrong *w = &wrong_cases[_i];
    struct findings found;

    ck_assert_ptr_null(parse(w->text, &found));
    /* The two that a missing single_trust causes by itself. */
    if (strcmp(w->key, "workspace.single_trust") != 0)
        ck_assert_msg(found.n_errors == 1, "%zu findings, then %s: %s\n%s", found.n_errors, found.items[1].key,
                      found.items[1].text, w->text);
}
END_TEST

START_TEST(reports_all_mistakes_not_the_first_alone)
{
    struct findings found;

    ck_assert_ptr_null(parse("server:\n"
                             "  listen: nowhere\n"
                             "  trusted_proxies: [a, b]\n"
                             "  thraeds: 1\n"
                             "session:\n"
                             "  idle: [1]\n"
                             "audit:\n"
                             "  mode: durable\n",
                             &found));
    static const char *const keys[] = {"server.listen", "server.trusted_proxies", "server.thraeds", "session.idle",
                                       "audit.mode",    "server.public_url",      "oidc.issuer",    "oidc.client_secret_file",
                                       "workspace.url", "workspace.mode"};
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        bool is_there = false;
        for (size_t i = 0; i < found.n; i++)
            is_there = is_there || strcmp(found.items[i].key, keys[k]) == 0;
        ck_assert_msg(is_there, "%s", keys[k]);
    }
    ck_assert_uint_eq(found.n_errors, 11);
}
END_TEST

START_TEST(says_the_column_too)
{
    struct findings found;

    ck_assert_ptr_null(parse(BASE "audit: {path: x, mode: durable}\n", &found));
    ck_assert_int_eq(found.items[0].line, 4);
    ck_assert_int_eq(found.items[0].column, 18);
}
END_TEST

START_TEST(the_least_file_gets_the_defaults)
{
    struct config *c = parse_good(BASE);

    ck_assert_str_eq(c->server.listen_host, "127.0.0.1");
    ck_assert_uint_eq(c->server.listen_port, 8080);
    ck_assert_uint_eq(c->server.admin_listen_port, 9090);
    ck_assert_str_eq(c->server.public_url, "https://dev.example.org");
    ck_assert(view_eq(c->server.public_uri.host, VIEW("dev.example.org")));
    ck_assert(c->server.is_https);
    ck_assert_uint_eq(c->server.n_trusted_proxies, 2);
    struct ipaddr loopback, other;
    ck_assert_int_eq(ipaddr_parse(VIEW("127.0.0.1"), &loopback), GW_OK);
    ck_assert_int_eq(ipaddr_parse(VIEW("127.0.0.2"), &other), GW_OK);
    ck_assert(ipnet_any_has(c->server.trusted_proxies, 2, &loopback));
    ck_assert(!ipnet_any_has(c->server.trusted_proxies, 2, &other));
    ck_assert_uint_eq(c->server.dialects, 1u << DIALECT_NGINX | 1u << DIALECT_OUTPOST_NGINX);
    ck_assert_uint_ge(c->server.threads, 1);
    ck_assert_str_eq(c->server.contact, "");
    ck_assert_str_eq(c->oidc.issuer, "https://auth.example.org/application/o/repogate/");
    ck_assert_str_eq(c->oidc.client_id, "repogate");
    ck_assert_uint_eq(c->oidc.scopes.n, 6);
    ck_assert_str_eq(c->oidc.scopes.items[5], "repogate");
    ck_assert_uint_eq(c->oidc.algorithms.n, 2);
    ck_assert_str_eq(c->session.path, "/var/lib/repogate/sessions.db");
    ck_assert_int_eq(c->session.idle_s, 8 * 3600);
    ck_assert_int_eq(c->session.absolute_s, 24 * 3600);
    ck_assert_int_eq(c->session.refresh_s, 5 * 60);
    ck_assert_int_eq(c->session.grace_s, 15 * 60);
    ck_assert(c->policy.require_tests);
    ck_assert_uint_eq(c->policy.n_env, 0);
    ck_assert_str_eq(c->audit.path, "/var/log/repogate/audit.jsonl");
    ck_assert_uint_eq(c->forges.n, 1);
    ck_assert_str_eq(c->workspace.host, "");
    ck_assert_int_eq(c->workspace.mode, CONFIG_MODE_PATH);
    config_free(c);
}
END_TEST

static const struct {
    const char *words;
    unsigned bits;
} dialects[] = {
    {"[]", 0},
    {"[nginx]", 1u << DIALECT_NGINX | 1u << DIALECT_OUTPOST_NGINX},
    {"[traefik]", 1u << DIALECT_TRAEFIK},
    {"[caddy]", 1u << DIALECT_CADDY},
    {"[envoy]", 1u << DIALECT_ENVOY},
    {"[haproxy]", 1u << DIALECT_HAPROXY},
    {"[haproxy, envoy]", 1u << DIALECT_ENVOY | 1u << DIALECT_HAPROXY},
    {"[nginx, traefik, caddy, envoy, haproxy]", (1u << DIALECT_COUNT) - 1 - (1u << DIALECT_OWN)},
};

START_TEST(dialects_are_those_listed_and_no_others)
{
    char text[1024];
    snprintf(text, sizeof(text), SERVER("dialects: %s"), dialects[_i].words);
    struct config *c = parse_good(text);

    ck_assert_uint_eq(c->server.dialects, dialects[_i].bits);
    config_free(c);
}
END_TEST

START_TEST(default_forge_is_what_the_key_table_documents)
{
    struct config *c = parse_good(BASE);
    char documented[128];

    snprintf(documented, sizeof(documented), "%s: {kind: github, url: %s}", c->forges.items[0].name, c->forges.items[0].url);
    ck_assert_int_eq(c->forges.items[0].kind, FORGE_GITHUB);
    ck_assert_str_eq(confkeys[CONFKEY_FORGES].fallback, documented);
    config_free(c);
}
END_TEST

/* The contract's example, less what is not built yet. */
static const char example[] = "server:\n"
                              "  listen: 127.0.0.1:8080            # auth endpoints, login, portal, router\n"
                              "  admin_listen: 127.0.0.1:9090\n"
                              "  admin_token_file: \"\"\n"
                              "  public_url: https://dev.example.org\n"
                              "  trusted_proxies: [127.0.0.1/32, \"::1/128\"]\n"
                              "  proxy_secret_file: \"\"\n"
                              "  dialects: [nginx]\n"
                              "  threads: 0\n"
                              "  contact: \"\"\n"
                              "oidc:\n"
                              "  issuer: https://auth.example.org/application/o/repogate/\n"
                              "  internal_url: \"\"\n"
                              "  client_id: repogate\n"
                              "  client_secret_file: /run/secrets/oidc\n"
                              "  scopes: [openid, profile, email, entitlements, offline_access, repogate]\n"
                              "  algorithms: [RS256, ES256]\n"
                              "  bearer: []\n"
                              "  introspection: false\n"
                              "session:\n"
                              "  store: sqlite\n"
                              "  path: /var/lib/repogate/sessions.db\n"
                              "  dsn_file: \"\"\n"
                              "  key_file: /var/lib/repogate/session.key\n"
                              "  idle: 8h\n"
                              "  absolute: 24h\n"
                              "  refresh: 5m\n"
                              "  grace: 15m\n"
                              "policy:\n"
                              "  dir: policies\n"
                              "  state_dir: /var/lib/repogate/policy\n"
                              "  shadow_dir: \"\"\n"
                              "  require_tests: true\n"
                              "  env: {}\n"
                              "audit:\n"
                              "  path: /var/log/repogate/audit.jsonl\n"
                              "  mode: written\n"
                              "forges:\n"
                              "  github: {kind: github, url: https://github.com}\n"
                              "workspace:\n"
                              "  driver: static\n"
                              "  url: http://127.0.0.1:5800\n"
                              "  host: \"\"\n";

START_TEST(takes_the_example_of_the_contract_in_path_mode)
{
    char text[4096];

    snprintf(text, sizeof(text), "%s  mode: path\n  single_trust: true\n", example);
    config_free(parse_good(text));
}
END_TEST

START_TEST(refuses_what_the_example_promises_and_is_not_built)
{
    char text[4096];
    struct findings found;

    snprintf(text, sizeof(text),
             "%s  mode: host\n"
             "  host_suffix: ws.example.net\n"
             "  single_trust: false\n",
             example);
    ck_assert_ptr_null(parse(text, &found));
    ck_assert_uint_eq(found.n_errors, 2);
    ck_assert_str_eq(found.items[0].key, "workspace.mode");
    ck_assert_int_eq(found.items[0].line, 44);
    ck_assert_str_eq(found.items[1].key, "workspace.host_suffix");
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "not built yet"));
    ck_assert_ptr_nonnull(strstr(found.items[1].text, "not built yet"));
}
END_TEST

START_TEST(reads_every_kind_of_value)
{
    struct config *c = parse_good(
        "server:\n"
        "  listen: :0\n"
        "  admin_listen: \"[::1]:9\"\n"
        "  public_url: http://localhost:8000/\n"
        "  trusted_proxies:\n"
        "  - 10.0.0.0/8\n"
        "  - fd00::/8\n"
        "  threads: 3\n"
        "  contact: 'Ann: the admins'\n"
        "oidc:\n"
        "  issuer: http://127.0.0.1:9000/o/r\n"
        "  internal_url: http://authentik:9000\n"
        "  ca_file: /ca.pem\n"
        "  client_secret_file: /s\n"
        "  algorithms: [EdDSA, HS256]\n"
        "policy:\n"
        "  require_tests: false\n"
        "  env: {zone: b, Region: eu, n: 1}\n"
        "session: {idle: 90s, absolute: 2d, refresh: 89s, grace: 2d}\n"
        "audit: {path: \"-\"}\n"
        "forges:\n"
        "  gh: {kind: github, url: https://github.com/}\n"
        "  lab-1: {url: \"http://lab.example:81/git\", kind: gitlab}\n"
        "workspace: {url: \"http://{id}.ws.example/{forge}/{owner}/{name}/{user}/\", host: \"ws:81\", mode: path, single_trust: true}\n");

    ck_assert_str_eq(c->server.listen_host, "");
    ck_assert_uint_eq(c->server.listen_port, 0);
    ck_assert_str_eq(c->server.admin_listen_host, "::1");
    ck_assert_uint_eq(c->server.admin_listen_port, 9);
    ck_assert_str_eq(c->server.public_url, "http://localhost:8000");
    ck_assert(!c->server.is_https);
    ck_assert_uint_eq(c->server.public_uri.port, 8000);
    ck_assert_uint_eq(c->server.n_trusted_proxies, 2);
    ck_assert_uint_eq(c->server.threads, 3);
    ck_assert_str_eq(c->server.contact, "Ann: the admins");
    ck_assert_str_eq(c->oidc.issuer, "http://127.0.0.1:9000/o/r");
    ck_assert_str_eq(c->oidc.internal_url, "http://authentik:9000");
    ck_assert_str_eq(c->oidc.ca_file, "/ca.pem");
    ck_assert_str_eq(c->oidc.algorithms.items[1], "HS256");
    ck_assert(!c->policy.require_tests);
    ck_assert_uint_eq(c->policy.n_env, 3);
    ck_assert_str_eq(c->policy.env[0].name, "Region");
    ck_assert_str_eq(c->policy.env[1].name, "n");
    ck_assert_str_eq(c->policy.env[1].value, "1");
    ck_assert_str_eq(c->policy.env[2].value, "b");
    ck_assert_int_eq(c->session.idle_s, 90);
    ck_assert_int_eq(c->session.absolute_s, 172800);
    ck_assert_int_eq(c->session.refresh_s, 89);
    ck_assert_int_eq(c->session.grace_s, 172800);
    ck_assert_str_eq(c->audit.path, "-");
    ck_assert_uint_eq(c->forges.n, 2);
    ck_assert_str_eq(c->forges.items[0].url, "https://github.com");
    ck_assert_str_eq(c->forges.items[1].name, "lab-1");
    ck_assert_int_eq(c->forges.items[1].kind, FORGE_GITLAB);
    ck_assert_str_eq(c->forges.items[1].url, "http://lab.example:81/git");
    ck_assert_str_eq(c->workspace.host, "ws:81");
    config_free(c);
}
END_TEST

START_TEST(reads_further_issuers)
{
    struct config *c = parse_good(OIDC("introspection: true\n"
                                       "  bearer:\n"
                                       "    - issuer: https://b.example/o/ci/\n"
                                       "      audience: ci\n"
                                       "    - internal_url: http://c.svc:9000\n"
                                       "      audience: \"7\"\n"
                                       "      issuer: https://c.example"));
    ck_assert(c->oidc.introspection);
    ck_assert_uint_eq(c->oidc.n_bearer, 2);
    ck_assert_str_eq(c->oidc.bearer[0].issuer, "https://b.example/o/ci/");
    ck_assert_str_eq(c->oidc.bearer[0].audience, "ci");
    ck_assert_str_eq(c->oidc.bearer[0].internal_url, "");
    ck_assert_str_eq(c->oidc.bearer[1].issuer, "https://c.example");
    ck_assert_str_eq(c->oidc.bearer[1].audience, "7");
    ck_assert_str_eq(c->oidc.bearer[1].internal_url, "http://c.svc:9000");
    config_free(c);
}
END_TEST

START_TEST(issuer_stays_to_the_byte)
{
    static const char *const issuers[] = {"https://a.example", "https://a.example/", "https://A.example/x//",
                                          "https://a.example:443/%7e"};
    char text[512];

    snprintf(text, sizeof(text), S W "oidc: {client_secret_file: /s, issuer: \"%s\"}\n", issuers[_i]);
    struct config *c = parse_good(text);
    ck_assert_str_eq(c->oidc.issuer, issuers[_i]);
    config_free(c);
}
END_TEST

START_TEST(caps_lists_at_their_last_item)
{
    char text[4096];
    struct findings found;

    for (int n = CONFIG_LIST_MAX; n <= CONFIG_LIST_MAX + 1; n++) {
        size_t at =
            (size_t)snprintf(text, sizeof(text), "%s", O W "server:\n  public_url: https://a.example\n  trusted_proxies:\n");
        for (int i = 0; i < n; i++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "  - 10.0.0.%d/32\n", i);
        struct config *c = parse(text, &found);
        ck_assert_int_eq(c != NULL, n == CONFIG_LIST_MAX);
        config_free(c);
    }
    ck_assert_uint_eq(found.n_errors, 1);
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "at most 32"));
}
END_TEST

START_TEST(caps_the_file_at_its_last_byte)
{
    static char text[CONFIG_BYTES_MAX + 2];
    struct findings found;

    memset(text, '\n', sizeof(text) - 1);
    memcpy(text, BASE, sizeof(BASE) - 1);
    text[CONFIG_BYTES_MAX] = '\0';
    config_free(parse_good(text));
    text[CONFIG_BYTES_MAX] = '\n';
    ck_assert_ptr_null(parse(text, &found));
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "larger than"));
}
END_TEST

START_TEST(caps_the_number_of_entries)
{
    static char text[64 * 1024];
    struct findings found;
    size_t at = (size_t)snprintf(text, sizeof(text), "%s", BASE "audit: [");

    for (int i = 0; i < 2000; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "a,");
    snprintf(text + at, sizeof(text) - at, "]\n");
    ck_assert_ptr_null(parse(text, &found));
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "too many entries"));
}
END_TEST

START_TEST(windows_line_ends_are_fine)
{
    config_free(parse_good("server: {public_url: https://dev.example.org}\r\n" O W));
}
END_TEST

START_TEST(warns_of_plain_http_beyond_this_host)
{
    struct findings found;

    config_free(parse("server: {public_url: http://dev.example.org}\n" O W, &found));
    ck_assert_uint_eq(found.n, 1);
    ck_assert(found.items[0].is_warning);
    ck_assert_str_eq(found.items[0].key, "server.public_url");
    ck_assert_int_eq(found.items[0].line, 1);
    config_free(parse("server: {public_url: http://127.0.0.1:81}\n" O W, &found));
    ck_assert_uint_eq(found.n, 0);
}
END_TEST

static char *set(const char *text)
{
    static char kept[8][256];
    static size_t n;
    char *to = kept[n++ % 8];

    snprintf(to, sizeof(kept[0]), "%s", text);
    return to;
}

START_TEST(a_short_idle_limit_alone_does_not_contradict_the_default_refresh)
{
    config_free(parse_good(BASE "session: {idle: 1m, absolute: 10m}\n"));
}
END_TEST

START_TEST(environment_wins_over_the_file)
{
    char *environment[] = {set("HOME=/root"),
                           set("REPOGATE__SERVER__LISTEN=127.0.0.1:81"),
                           set("REPOGATE__OIDC__SCOPES=openid, email"),
                           set("REPOGATE__POLICY__REQUIRE_TESTS=false"),
                           set("REPOGATE_SERVICE_HOST=10.0.0.1"),
                           NULL};
    struct findings found;
    struct config *c = parse_in(BASE "policy: {require_tests: true}\n", environment, &found);

    ck_assert_ptr_nonnull(c);
    ck_assert_uint_eq(c->server.listen_port, 81);
    ck_assert_uint_eq(c->oidc.scopes.n, 2);
    ck_assert_str_eq(c->oidc.scopes.items[1], "email");
    ck_assert(!c->policy.require_tests);
    int line;
    ck_assert_str_eq(config_source(c, "server.listen", &line), "REPOGATE__SERVER__LISTEN");
    ck_assert_int_eq(line, 0);
    ck_assert_str_eq(config_source(c, "workspace.url", &line), "t.yaml");
    ck_assert_int_eq(line, 3);
    config_free(c);
}
END_TEST

static const struct {
    const char *variable, *source, *key, *says;
} wrong_environment[] = {
    {"REPOGATE__SERVER__LISTEN=x", "REPOGATE__SERVER__LISTEN", "server.listen", "expected host:port"},
    {"REPOGATE__SERVER__LISEN=x", "REPOGATE__SERVER__LISEN", "server.lisen", "did you mean server.listen?"},
    {"REPOGATE__SESSION__REFRESH=9h", "REPOGATE__SESSION__REFRESH", "session.refresh", "not shorter than session.idle"},
    {"REPOGATE__WHATEVER=x", "REPOGATE__WHATEVER", "whatever", "unknown key"},
    {"REPOGATE__=x", "REPOGATE__", "", "unknown key"},
    {"REPOGATE__server__listen=:80", "REPOGATE__server__listen", "server.listen", "did you mean server.listen?"},
    {"REPOGATE__FORGES=x", "REPOGATE__FORGES", "forges", "only be set in the file"},
    {"REPOGATE__FORGES__GITHUB__URL=x", "REPOGATE__FORGES__GITHUB__URL", "forges.github.url", "only be set in the file"},
    {"REPOGATE__POLICY__ENV=x", "REPOGATE__POLICY__ENV", "policy.env", "only be set in the file"},
    {"REPOGATE__POLICY__ENV__A=x", "REPOGATE__POLICY__ENV__A", "policy.env.a", "only be set in the file"},
    {"REPOGATE__SESSION__STORE=postgres", "REPOGATE__SESSION__STORE", "session.store", "without session.dsn_file"},
    {"REPOGATE__OIDC__BEARER=x", "REPOGATE__OIDC__BEARER", "oidc.bearer", "only be set in the file"},
    {"REPOGATE__OIDC__SCOPES=openid,,x", "REPOGATE__OIDC__SCOPES", "oidc.scopes", "expected a scope"},
    {"REPOGATE__OIDC__SCOPES=", "REPOGATE__OIDC__SCOPES", "oidc.scopes", "expected openid"},
    {"REPOGATE__AUDIT__PATH=", "REPOGATE__AUDIT__PATH", "audit.path", "empty"},
    {"REPOGATE__OIDC__SCOPES=1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4", "REPOGATE__OIDC__SCOPES",
     "oidc.scopes", "at most 32 items"},
    {"DEVCONTAINER_SERVICE_URL=a b", "DEVCONTAINER_SERVICE_URL", "workspace.url", "expected an http URL"},
    {"DEVCONTAINER_SERVICE_URL=https://a", "DEVCONTAINER_SERVICE_URL", "workspace.url", "not built yet"},
};

START_TEST(names_the_variable_that_is_wrong)
{
    char *environment[] = {set(wrong_environment[_i].variable), NULL};
    struct findings found;

    ck_assert_ptr_null(parse_in(BASE, environment, &found));
    ck_assert_uint_eq(found.n, 1);
    ck_assert_str_eq(found.items[0].file, wrong_environment[_i].source);
    ck_assert_str_eq(found.items[0].key, wrong_environment[_i].key);
    ck_assert_msg(strstr(found.items[0].text, wrong_environment[_i].says) != NULL, "%s", found.items[0].text);
    ck_assert_int_eq(found.items[0].line, 0);
}
END_TEST

static const struct {
    const char *variable, *url;
} service_urls[] = {
    {"DEVCONTAINER_SERVICE_URL=ws.devcontainers.svc.cluster.local", "http://ws.devcontainers.svc.cluster.local"},
    {"DEVCONTAINER_SERVICE_URL=ws.example:81", "http://ws.example:81"},
    {"DEVCONTAINER_SERVICE_URL=http://ws.example/", "http://ws.example/"},
    {"DEVCONTAINER_SERVICE_URL=", "http://127.0.0.1:5800"},
};

START_TEST(takes_the_old_routing_proxys_variable)
{
    char *environment[] = {set(service_urls[_i].variable), NULL};
    struct findings found;
    struct config *c = parse_in(S O "workspace: {url: http://127.0.0.1:5800, host: \"old\", mode: path, single_trust: true}\n",
                                environment, &found);

    ck_assert_ptr_nonnull(c);
    ck_assert_str_eq(c->workspace.url, service_urls[_i].url);
    ck_assert_str_eq(c->workspace.host, strcmp(service_urls[_i].url, "http://127.0.0.1:5800") == 0 ? "old" : "");
    config_free(c);
}
END_TEST

START_TEST(refuses_two_variables_for_one_url)
{
    char *environment[] = {set("REPOGATE__WORKSPACE__URL=http://a"), set("DEVCONTAINER_SERVICE_URL=b"), NULL};
    struct findings found;

    ck_assert_ptr_null(parse_in(BASE, environment, &found));
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "expected one of them"));
}
END_TEST

static char directory[] = "/tmp/test_config.XXXXXX";

static const char *put_file(const char *name, const char *text)
{
    static char paths[4][128];
    static size_t n;
    char *path = paths[n++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    fclose(f);
    return path;
}

START_TEST(accepts_secrets_that_can_be_read)
{
    char text[1024];
    const char *client;
    struct findings found = {.n = 0};
    struct config *c = NULL;

    snprintf(text, sizeof(text),
             W "server: {public_url: https://a.example, proxy_secret_file: %s}\n"
               "oidc: {issuer: https://a.example/, client_secret_file: %s}\n",
             put_file("proxy", "p w\n"), client = put_file("client", "top secret\r\n"));
    ck_assert_int_eq(config_load(put_file("good.yaml", text), collect, &found, &c), GW_OK);
    ck_assert_str_eq(c->oidc.client_secret_file, client);
    config_free(c);
}
END_TEST

START_TEST(reports_unreadable_files_with_their_lines_beside_other_findings)
{
    struct findings found = {.n = 0};
    struct config *c = NULL;
    const char *path =
        put_file("bad.yaml", W "server:\n  public_url: https://a.example\n  proxy_secret_file: /nowhere/p\n"
                               "oidc:\n  issuer: https://a.example/\n  client_secret_file: /nowhere/s\n  ca_file: /nowhere/ca\n"
                               "session: {idle: x}\n");

    ck_assert_int_eq(config_load(path, collect, &found, &c), GW_E_INVALID);
    ck_assert_ptr_null(c);
    ck_assert_uint_eq(found.n, 4);
    ck_assert_str_eq(found.items[0].key, "session.idle");
    ck_assert_str_eq(found.items[1].key, "oidc.client_secret_file");
    ck_assert_int_eq(found.items[1].line, 7);
    ck_assert_ptr_nonnull(strstr(found.items[1].text, "/nowhere/s"));
    ck_assert_int_eq(found.items[2].line, 4);
    ck_assert_int_eq(found.items[3].line, 8);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_no_answer)
{
    struct findings found = {.n = 0};
    struct config *c = NULL;

    ck_assert_int_eq(config_load("/nowhere/repogate.yaml", collect, &found, &c), GW_E_IO);
    ck_assert_int_eq(config_load(directory, collect, &found, &c), GW_E_IO);
    ck_assert_uint_eq(found.n, 2);
    ck_assert_str_eq(found.items[0].file, "/nowhere/repogate.yaml");
    ck_assert_ptr_null(c);
}
END_TEST

START_TEST(an_endless_file_is_refused_as_too_large)
{
    struct findings found = {.n = 0};
    struct config *c = NULL;

    ck_assert_int_eq(config_load("/dev/zero", collect, &found, &c), GW_E_INVALID);
    ck_assert_ptr_nonnull(strstr(found.items[0].text, "larger than"));
}
END_TEST

START_TEST(a_huge_duration_does_not_wrap)
{
    int64_t s = -1;

    ck_assert_int_eq(confvalue_parse_duration(VIEW("365d"), &s), GW_OK);
    ck_assert_int_eq(s, CONFVALUE_DURATION_MAX_S);
    ck_assert_int_eq(confvalue_parse_duration(VIEW("366d"), &s), GW_E_INVALID);
    ck_assert_int_eq(confvalue_parse_duration(VIEW("18446744073709551615d"), &s), GW_E_INVALID);
    ck_assert_int_eq(confvalue_parse_duration(VIEW("s"), &s), GW_E_INVALID);
    ck_assert_int_eq(s, CONFVALUE_DURATION_MAX_S);
}
END_TEST

static void make_directory(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
}

static void remove_directory(void)
{
    static const char *const names[] = {"proxy", "client", "good.yaml", "bad.yaml"};
    char path[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
}

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *text = tcase_create("text"), *files = tcase_create("files");

    tcase_add_loop_test(text, A1b_E5_names_line_key_and_what_was_expected, 0, COUNT(wrong_cases));
    tcase_add_loop_test(text, reports_nothing_beside_the_one_mistake, 0, COUNT(wrong_cases));
    tcase_add_test(text, reports_all_mistakes_not_the_first_alone);
    tcase_add_test(text, says_the_column_too);
    tcase_add_test(text, the_least_file_gets_the_defaults);
    tcase_add_loop_test(text, dialects_are_those_listed_and_no_others, 0, COUNT(dialects));
    tcase_add_test(text, default_forge_is_what_the_key_table_documents);
    tcase_add_test(text, takes_the_example_of_the_contract_in_path_mode);
    tcase_add_test(text, refuses_what_the_example_promises_and_is_not_built);
    tcase_add_test(text, reads_every_kind_of_value);
    tcase_add_test(text, reads_further_issuers);
    tcase_add_loop_test(text, issuer_stays_to_the_byte, 0, 4);
    tcase_add_test(text, caps_lists_at_their_last_item);
    tcase_add_test(text, caps_the_file_at_its_last_byte);
    tcase_add_test(text, caps_the_number_of_entries);
    tcase_add_test(text, windows_line_ends_are_fine);
    tcase_add_test(text, warns_of_plain_http_beyond_this_host);
    tcase_add_test(text, a_short_idle_limit_alone_does_not_contradict_the_default_refresh);
    tcase_add_test(text, environment_wins_over_the_file);
    tcase_add_loop_test(text, names_the_variable_that_is_wrong, 0, COUNT(wrong_environment));
    tcase_add_loop_test(text, takes_the_old_routing_proxys_variable, 0, COUNT(service_urls));
    tcase_add_test(text, refuses_two_variables_for_one_url);
    tcase_add_test(text, a_huge_duration_does_not_wrap);
    tcase_add_unchecked_fixture(files, make_directory, remove_directory);
    tcase_add_test(files, accepts_secrets_that_can_be_read);
    tcase_add_test(files, reports_unreadable_files_with_their_lines_beside_other_findings);
    tcase_add_test(files, a_file_that_cannot_be_read_is_no_answer);
    tcase_add_test(files, an_endless_file_is_refused_as_too_large);
    suite_add_tcase(suite, text);
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

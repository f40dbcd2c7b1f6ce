#include "http/original.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct request req;
static struct uri public_url;
static struct ipnet trusted[3];
enum { N_TRUSTED = 3 };

static struct ipaddr addr_of(const char *text)
{
    struct ipaddr a;
    ck_assert_int_eq(ipaddr_parse(view_of(text), &a), GW_OK);
    return a;
}

static void setup(void)
{
    ck_assert_int_eq(uri_parse(VIEW("https://dev.example.org"), &public_url), GW_OK);
    ck_assert_int_eq(ipnet_parse(VIEW("127.0.0.1/32"), &trusted[0]), GW_OK);
    ck_assert_int_eq(ipnet_parse(VIEW("::1/128"), &trusted[1]), GW_OK);
    ck_assert_int_eq(ipnet_parse(VIEW("10.0.0.0/8"), &trusted[2]), GW_OK);
}

/* Lines "Name: value\n…". */
static void receive(const char *target, const char *peer, const char *lines)
{
    request_reset(&req);
    req.method = VIEW("GET");
    req.target = view_of(target);
    req.minor = 1;
    req.peer = addr_of(peer);
    req.peer_is_trusted = ipnet_any_has(trusted, N_TRUSTED, &req.peer);
    struct view rest = view_of(lines);
    while (rest.n > 0) {
        struct view value = view_split(&rest, '\n'), name = view_split(&value, ':');
        ck_assert_int_eq(request_add_header(&req, name, value), GW_OK);
    }
    ck_assert_int_eq(request_check(&req), REQUEST_FINE);
}

static enum original_fault find(enum dialect d, struct original *ret)
{
    return original_find(&req, d, &public_url, trusted, N_TRUSTED, ret);
}

static void check_address(const struct ipaddr *a, const char *expected)
{
    char text[IPADDR_TEXT_MAX + 1];
    ipaddr_format(a, text);
    ck_assert_str_eq(text, expected);
}

#define AUTH "/_repogate/auth/nginx"
#define HOST "Host: 127.0.0.1:8080\n"
#define URL "X-Original-URL: https://dev.example.org/github/acme/site/?a=b\n"
#define METHOD "X-Original-Method: POST\n"
#define IP "X-Real-IP: 203.0.113.7\n"

START_TEST(finds_what_nginx_asks_about)
{
    struct original o;
    receive(AUTH, "127.0.0.1", HOST URL METHOD IP);
    ck_assert_int_eq(find(DIALECT_NGINX, &o), ORIGINAL_FINE);
    ck_assert(view_eq(o.uri.scheme, VIEW("https")));
    ck_assert(view_eq(o.uri.authority, VIEW("dev.example.org")));
    ck_assert(view_eq(o.uri.path, VIEW("/github/acme/site/")));
    ck_assert(view_eq(o.uri.query, VIEW("a=b")));
    ck_assert(view_eq(o.method, VIEW("POST")));
    check_address(&o.client, "203.0.113.7");
}
END_TEST

/* The documented snippet overwrites the URL only, so whatever else arrives is the client's word. */
START_TEST(outpost_dialect_leaves_method_and_client_absent)
{
    struct original o;
    receive(AUTH, "::1", HOST URL METHOD IP "X-Forwarded-For: 203.0.113.7\n");
    ck_assert_int_eq(find(DIALECT_OUTPOST_NGINX, &o), ORIGINAL_FINE);
    ck_assert_ptr_null(o.method.p);
    ck_assert_uint_eq(o.client.family, 0);
    receive(AUTH, "::1", HOST URL "X-Original-Method: a\nX-Original-Method: b\nX-Real-IP: rubbish\n");
    ck_assert_int_eq(find(DIALECT_OUTPOST_NGINX, &o), ORIGINAL_FINE);
    ck_assert_ptr_null(o.method.p);
}
END_TEST

static const struct {
    const char *lines;
    enum original_fault nginx, outpost;
} forgeries[] = {
    {"", ORIGINAL_MISSING, ORIGINAL_MISSING},
    {METHOD IP, ORIGINAL_MISSING, ORIGINAL_MISSING},
    {URL IP, ORIGINAL_MISSING, ORIGINAL_FINE},
    {URL METHOD, ORIGINAL_MISSING, ORIGINAL_FINE},
    /* A1, A2, A3, A6: another header that names a URL, alone or beside the believed one */
    {METHOD IP "X-Original-URI: /github/acme/site/\n", ORIGINAL_MISSING, ORIGINAL_MISSING},
    {METHOD IP "X-Forwarded-Uri: /github/acme/site/\n", ORIGINAL_MISSING, ORIGINAL_MISSING},
    {METHOD IP "X-Forwarded-Proto: https\nX-Forwarded-Host: dev.example.org\nX-Forwarded-Uri: /github/acme/site/\n",
     ORIGINAL_MISSING, ORIGINAL_MISSING},
    {METHOD IP "X-Rewrite-URL: /github/acme/site/\n", ORIGINAL_MISSING, ORIGINAL_MISSING},
    {METHOD IP "X-Envoy-Original-Path: /github/acme/site/\n", ORIGINAL_MISSING, ORIGINAL_MISSING},
    {METHOD IP "Forwarded: host=dev.example.org;proto=https\n", ORIGINAL_MISSING, ORIGINAL_MISSING},
    {URL METHOD IP "X-Original-URI: /github/acme/site/?a=b\n", ORIGINAL_AMBIGUOUS, ORIGINAL_AMBIGUOUS},
    {"x_original_uri: /\n" URL METHOD IP, ORIGINAL_AMBIGUOUS, ORIGINAL_AMBIGUOUS},
    {URL METHOD IP "X-Forwarded-Uri: /\n", ORIGINAL_AMBIGUOUS, ORIGINAL_AMBIGUOUS},
    {URL METHOD IP "X.Forwarded.Uri: /\n", ORIGINAL_AMBIGUOUS, ORIGINAL_AMBIGUOUS},
    {URL METHOD IP
     "X-Forwarded-Host: evil\nX-Forwarded-Proto: http\nX-Forwarded-Prefix: /x\nX-Forwarded-Port: 1\nX-Forwarded-Method: PUT\n",
     ORIGINAL_FINE, ORIGINAL_FINE},
    {URL METHOD IP "X-Rewrite-URL: /evil\nX-Envoy-Original-Path: /evil\nForwarded: host=evil\n", ORIGINAL_FINE, ORIGINAL_FINE},
    /* A4, H1, H2: doubled and aliased */
    {URL URL METHOD IP, ORIGINAL_REPEATED, ORIGINAL_REPEATED},
    {URL "x-original-url: https://dev.example.org/\n" METHOD IP, ORIGINAL_REPEATED, ORIGINAL_REPEATED},
    {URL "X_Original_URL: https://dev.example.org/\n" METHOD IP, ORIGINAL_REPEATED, ORIGINAL_REPEATED},
    {"X.Original.URL: https://dev.example.org/\n" URL METHOD IP, ORIGINAL_REPEATED, ORIGINAL_REPEATED},
    {"X_Original_URL: https://dev.example.org/\n" METHOD IP, ORIGINAL_REPEATED, ORIGINAL_REPEATED},
    {URL METHOD METHOD IP, ORIGINAL_REPEATED, ORIGINAL_FINE},
    {URL METHOD "X_Original_Method: GET\n" IP, ORIGINAL_REPEATED, ORIGINAL_FINE},
    {URL METHOD IP IP, ORIGINAL_REPEATED, ORIGINAL_FINE},
    {URL METHOD IP "X_Real_IP: 127.0.0.1\n", ORIGINAL_REPEATED, ORIGINAL_FINE},
    /* A7, A8: what is no address */
    {URL METHOD "X-Real-IP: \n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL METHOD "X-Real-IP: unknown\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL METHOD "X-Real-IP: 203.0.113.7:80\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL METHOD "X-Real-IP: 203.0.113.7, 10.0.0.1\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL METHOD "X-Real-IP: 203.0.113.07\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL METHOD "X-Real-IP: [::1]\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL METHOD "X-Real-IP: ::1%lo\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL METHOD "X-Real-IP: 2001:db8::7\n", ORIGINAL_FINE, ORIGINAL_FINE},
    /* B: methods */
    {URL IP "X-Original-Method: get\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL IP "X-Original-Method: \n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL IP "X-Original-Method: GET POST\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL IP "X-Original-Method: GET,POST\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL IP "X-Original-Method: CONNECT\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL IP "X-Original-Method: TRACE\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL IP "X-Original-Method: G(T\n", ORIGINAL_AMBIGUOUS, ORIGINAL_FINE},
    {URL IP "X-Original-Method: PROPFIND\n", ORIGINAL_FINE, ORIGINAL_FINE},
};

START_TEST(A1_A2_A3_A4_A4b_A4c_A6_A6b_A7_A8_believes_the_one_configured_header_and_no_other)
{
    char lines[1024];
    for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
        struct original o = {.method = VIEW("untouched")};
        snprintf(lines, sizeof(lines), "%s%s", HOST, forgeries[i].lines);
        receive(AUTH, "127.0.0.1", lines);
        enum original_fault fault = find(DIALECT_NGINX, &o);
        ck_assert_msg(fault == forgeries[i].nginx, "%s gave %s", forgeries[i].lines, original_fault_reason(fault));
        ck_assert_msg((fault == ORIGINAL_FINE) != view_eq(o.method, VIEW("untouched")), "%s", forgeries[i].lines);
        if (fault == ORIGINAL_FINE)
            ck_assert_msg(view_eq(o.uri.path, VIEW("/github/acme/site/")), "%s", forgeries[i].lines);
        fault = find(DIALECT_OUTPOST_NGINX, &o);
        ck_assert_msg(fault == forgeries[i].outpost, "%s gave %s", forgeries[i].lines, original_fault_reason(fault));
    }
}
END_TEST

START_TEST(A1b_A10_believes_nothing_from_an_untrusted_peer)
{
    char lines[1024];
    for (size_t i = 0; i < sizeof(forgeries) / sizeof(forgeries[0]); i++) {
        struct original o = {.method = VIEW("untouched")};
        snprintf(lines, sizeof(lines), "%s%s", HOST, forgeries[i].lines);
        receive(AUTH, "192.0.2.1", lines);
        ck_assert_int_eq(find(DIALECT_NGINX, &o), ORIGINAL_UNTRUSTED_PEER);
        ck_assert_int_eq(find(DIALECT_OUTPOST_NGINX, &o), ORIGINAL_UNTRUSTED_PEER);
        ck_assert(view_eq(o.method, VIEW("untouched")));
    }
}
END_TEST

static const struct {
    const char *url;
    enum original_fault fault;
} hosts[] = {
    {"https://dev.example.org/", ORIGINAL_FINE},
    {"https://DEV.Example.Org/", ORIGINAL_FINE},
    {"https://dev.example.org:443/", ORIGINAL_FINE},
    {"https://dev.example.org", ORIGINAL_FINE},
    {"http://dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"http://dev.example.org:443/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org:80/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org:8443/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org./", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org:/", ORIGINAL_AMBIGUOUS},
    {"https://.dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"https://xdev.example.org/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org.evil/", ORIGINAL_AMBIGUOUS},
    {"https://evil/", ORIGINAL_AMBIGUOUS},
    {"https://evil@dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org@evil/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org\\@evil/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example%2eorg/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org,evil/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org /", ORIGINAL_AMBIGUOUS},
    {"HTTPS://dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"wss://dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"//dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site", ORIGINAL_AMBIGUOUS},
    {"https:/dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"https://dev.example.org/, https://dev.example.org/", ORIGINAL_AMBIGUOUS},
    {"", ORIGINAL_AMBIGUOUS},
};

START_TEST(B8_B8b_B8c_B8d_B10b_takes_one_host_and_scheme)
{
    char lines[1024];
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct original o;
        snprintf(lines, sizeof(lines), HOST "X-Original-URL: %s\n" METHOD IP, hosts[i].url);
        receive(AUTH, "127.0.0.1", lines);
        ck_assert_msg(find(DIALECT_NGINX, &o) == hosts[i].fault, "%s", hosts[i].url);
    }
}
END_TEST

static const struct {
    const char *path;
    enum original_fault fault;
} paths[] = {
    {"/", ORIGINAL_FINE},
    {"/github/acme/site/a//b", ORIGINAL_FINE},
    {"/github/acme/site/a%2fb%5cc%252e%252e/x;y", ORIGINAL_FINE},
    {"/github/acme/site/x|y[z]^w?q={\"a\":1}|`", ORIGINAL_FINE},
    {"/github/acme/site/?x=/../..", ORIGINAL_FINE},
    {"/github/acme/site/_repogate/x", ORIGINAL_FINE},
    {"/github/acme/site/...", ORIGINAL_FINE},
    {"/repogate", ORIGINAL_FINE},
    {"/github/acme/site/..", ORIGINAL_AMBIGUOUS},
    {"/github/good/repo/../../evil/repo/index.html", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/%2e%2e/evil", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/.%2E/evil", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/./x", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/x%2f..%2fy", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/x%5c..%5cy", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/..;/x", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/x%00y", ORIGINAL_AMBIGUOUS},
    {"/static/../github/acme/site", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/#x", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site?x#y", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/a\\b", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/a b", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/a\tb", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/%", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/%zz", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/\xc0\xae\xc0\xae/", ORIGINAL_AMBIGUOUS},
    {"/github/acme/site/\xc3\xa9", ORIGINAL_AMBIGUOUS},
    {"/_repogate", ORIGINAL_OWN_PATH},
    {"/_repogate/auth/nginx", ORIGINAL_OWN_PATH},
    {"/outpost.goauthentik.io/auth/nginx", ORIGINAL_OWN_PATH},
    {"/outpost.goauthentik.io/start?rd=x", ORIGINAL_OWN_PATH},
};

START_TEST(A2_B1_B2_B3_B4_B7_B9_judges_only_paths_that_nobody_resolves)
{
    char lines[1024];
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct original o;
        snprintf(lines, sizeof(lines), HOST "X-Original-URL: https://dev.example.org%s\n" METHOD IP, paths[i].path);
        receive(AUTH, "127.0.0.1", lines);
        ck_assert_msg(find(DIALECT_NGINX, &o) == paths[i].fault, "%s", paths[i].path);
    }
}
END_TEST

static const struct {
    const char *path;
    bool is_own;
} own[] = {
    {"/_repogate", true},
    {"/_repogate/", true},
    {"/_repogate/auth/nginx", true},
    {"/_REPOGATE/x", true},
    {"/_repogatex", true}, /* nothing of ours, and nothing of anyone else's either */
    {"/_repogate;x=1/y", true},
    {"/_repogate.", true},
    {"/_repogate%00", true},
    {"/_repogate%2fauth", true},
    {"/_repogate\\auth", true},
    {"/_repogate%20/x", true},
    {"//_repogate/x", true},
    {"///_repogate", true},
    {"/./_repogate", true},
    {"/../_repogate", true},
    {"/;/_repogate", true},
    {"/;a=b/_repogate", true},
    {"/.;/_repogate", true},
    {"\\_repogate", true},
    {"/\\_repogate", true},
    {"/%5frepogate", true},
    {"/%5Frepogate/x", true},
    {"/_re%70ogate", true},
    {"/%255frepogate", true},
    {"/%25255frepogate", true},
    {"/%2f_repogate", true},
    {"/%5c_repogate", true},
    {"/%252f_repogate", true},
    {"/%2e/_repogate", true},
    {"/_re\tpogate", true},
    {"/_re%09pogate", true},
    {"/%0a_repogate", true},
    {"/x/../_repogate", true},
    {"/x/..;/_repogate", true},
    {"/x/%2e%2e/_repogate", true},
    {"/x%2f..%2f_repogate", true},
    {"/x%2fy/../_repogate", true},
    {"/x/%252e%252e/_repogate", true},
    {"/github/a/b/%252e%252e/%252e%252e/%252e%252e/_repogate", true},
    {"/_repogate/../x", true},
    {"/%2525252525252525252525252525255frepogate", true},
    {"/github/a/b/%252525252541", true}, /* encoded more often than we look */
    {"/outpost.goauthentik.io", true},
    {"/outpost.goauthentik.io/ping", true},
    {"/Outpost.GoAuthentik.IO/auth/nginx", true},
    {"/outpost%2Egoauthentik.io/auth", true},
    {"/outpost.goauthentik.io.evil/x", true},
    {"//outpost.goauthentik.io/", true},
    {"/x/../outpost.goauthentik.io/auth", true},
    {"_repogate", true},
    {"/", false},
    {"", false},
    {"/repogate", false},
    {"/_repogat", false},
    {"/x_repogate", false},
    {"/outpost", false},
    {"/outpostXgoauthentik.io/", false},
    {"/github/acme/_repogate", false},
    {"/github/acme/site/outpost.goauthentik.io/x", false},
    {"/github/acme/site/%5frepogate", false},
    {"/github/acme/site/100%", false},
    {"/github/acme/site/%zz%4", false},
    {"/github/acme/site/..", false},
};

START_TEST(A2_E9_knows_its_own_prefixes_in_every_spelling)
{
    char url[256];
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        struct original o;
        ck_assert_msg(original_is_own_path(view_of(own[i].path)) == own[i].is_own, "%s", own[i].path);
        if (!own[i].is_own)
            continue;
        snprintf(url, sizeof(url), HOST "X-Original-URL: https://dev.example.org%s\n" METHOD IP, own[i].path);
        receive(AUTH, "127.0.0.1", url);
        enum original_fault fault = find(DIALECT_NGINX, &o);
        ck_assert_msg(fault == ORIGINAL_OWN_PATH || fault == ORIGINAL_AMBIGUOUS, "%s", own[i].path);
    }
}
END_TEST

START_TEST(B11_treats_an_oversized_path_as_ours)
{
    char *path = malloc(URI_MAX + 8);
    ck_assert_ptr_nonnull(path);
    memset(path, 'a', URI_MAX + 8);
    memcpy(path, "/%20", 4);
    ck_assert(!original_is_own_path(view_at(path, URI_MAX)));
    ck_assert(original_is_own_path(view_at(path, URI_MAX + 1)));
    free(path);
}
END_TEST

static const struct {
    const char *target, *host, *peer, *lines;
    enum original_fault fault;
    const char *client;
} own_routes[] = {
    {"/github/acme/site/?a", "dev.example.org", "127.0.0.1", "", ORIGINAL_FINE, "127.0.0.1"},
    {"/github/acme/site/", "DEV.example.org:443", "127.0.0.1", "X-Forwarded-For: 203.0.113.7\n", ORIGINAL_FINE, "203.0.113.7"},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.1.2.3\n", ORIGINAL_FINE, "203.0.113.7"},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: 10.1.2.3,203.0.113.7\n", ORIGINAL_FINE, "203.0.113.7"},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: 10.9.9.9, 10.1.2.3\n", ORIGINAL_FINE, "10.9.9.9"},
    {"/", "dev.example.org", "::1", "X-Forwarded-For: ::ffff:10.0.0.1 , 2001:db8::7\n", ORIGINAL_FINE, "2001:db8::7"},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: \n", ORIGINAL_AMBIGUOUS, NULL},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: unknown, 203.0.113.7\n", ORIGINAL_AMBIGUOUS, NULL},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: 203.0.113.7,\n", ORIGINAL_AMBIGUOUS, NULL},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: 203.0.113.7 10.0.0.1\n", ORIGINAL_AMBIGUOUS, NULL},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: 203.0.113.7:443\n", ORIGINAL_AMBIGUOUS, NULL},
    {"/", "dev.example.org", "127.0.0.1", "X-Forwarded-For: 203.0.113.7\nX-Forwarded-For: 10.0.0.1\n", ORIGINAL_REPEATED, NULL},
    {"/", "dev.example.org", "127.0.0.1", "X_Forwarded_For: 203.0.113.7\n", ORIGINAL_REPEATED, NULL},
    {"/", "dev.example.org", "192.0.2.1", "", ORIGINAL_FINE, "192.0.2.1"},
    {"/", "dev.example.org", "192.0.2.1", "X-Forwarded-For: 127.0.0.1\n", ORIGINAL_FINE, "192.0.2.1"},
    {"/", "dev.example.org", "192.0.2.1", "X-Forwarded-For: rubbish\nX-Forwarded-For: more\n", ORIGINAL_FINE, "192.0.2.1"},
    {"/", "dev.example.org", "192.0.2.1", "X-Original-URL: https://dev.example.org/x\nX-Forwarded-Host: evil\nX-Real-IP: ::1\n",
     ORIGINAL_FINE, "192.0.2.1"},
    {"/", "evil.example", "127.0.0.1", "", ORIGINAL_AMBIGUOUS, NULL},
    {"/", "dev.example.org:80", "127.0.0.1", "", ORIGINAL_AMBIGUOUS, NULL},
    {"/", "dev.example.org.evil", "127.0.0.1", "X-Forwarded-Host: dev.example.org\n", ORIGINAL_AMBIGUOUS, NULL},
    {"/_repogate/login", "dev.example.org", "127.0.0.1", "", ORIGINAL_OWN_PATH, NULL},
    {"/%5frepogate/login", "dev.example.org", "127.0.0.1", "", ORIGINAL_OWN_PATH, NULL},
    {"/github/a/b/../c", "dev.example.org", "127.0.0.1", "", ORIGINAL_AMBIGUOUS, NULL},
    {"/github/a/b/%00", "dev.example.org", "127.0.0.1", "", ORIGINAL_AMBIGUOUS, NULL},
};

START_TEST(A5_A6b_A7_A8_A9_finds_what_is_asked_of_us)
{
    char lines[1024];
    for (size_t i = 0; i < sizeof(own_routes) / sizeof(own_routes[0]); i++) {
        struct original o = {.method = VIEW("untouched")};
        snprintf(lines, sizeof(lines), "Host: %s\n%s", own_routes[i].host, own_routes[i].lines);
        receive(own_routes[i].target, own_routes[i].peer, lines);
        ck_assert_msg(find(DIALECT_OWN, &o) == own_routes[i].fault, "%s %s", own_routes[i].target, lines);
        if (own_routes[i].fault != ORIGINAL_FINE) {
            ck_assert(view_eq(o.method, VIEW("untouched")));
            continue;
        }
        check_address(&o.client, own_routes[i].client);
        ck_assert(view_eq(o.method, VIEW("GET")));
        ck_assert(view_eq(o.uri.scheme, VIEW("https")));
        ck_assert(view_eq(o.uri.authority, view_of(own_routes[i].host)));
        ck_assert(view_eq(o.uri.path, req.uri.path) && view_eq(o.uri.query, req.uri.query));
    }
}
END_TEST

START_TEST(takes_the_port_of_a_public_url_that_has_one)
{
    struct original o;
    ck_assert_int_eq(uri_parse(VIEW("http://127.0.0.1:8080"), &public_url), GW_OK);
    receive("/", "127.0.0.1", "Host: 127.0.0.1:8080\n");
    ck_assert_int_eq(find(DIALECT_OWN, &o), ORIGINAL_FINE);
    receive("/", "127.0.0.1", "Host: 127.0.0.1\n");
    ck_assert_int_eq(find(DIALECT_OWN, &o), ORIGINAL_AMBIGUOUS);
}
END_TEST

START_TEST(finds_the_client_for_our_own_pages_too)
{
    struct ipaddr client;
    receive("/_repogate/login", "127.0.0.1", "Host: dev.example.org\nX-Forwarded-For: 203.0.113.7\n");
    ck_assert_int_eq(original_find_client(&req, trusted, N_TRUSTED, &client), ORIGINAL_FINE);
    check_address(&client, "203.0.113.7");
}
END_TEST

static const struct {
    const char *path;
    bool is_echo;
} echoes[] = {
    {"/_repogate/echo/0a-B/", true},
    {"/_repogate/echo/a/b//c", true},
    {"/_repogate/echo/a/%2Fb;c=d/%5c/%20", true},
    {"/_repogate/echo/a/..b", true},
    {"/_repogate/echo/a/outpost", true},
    {"/_repogate/echo", false},
    {"/_repogate/echo/", false},
    {"/_repogate/echo/a", false},
    {"/_repogate/echo//", false},
    {"/_repogate/echo/a//", false},
    {"/_repogate/echo/a.b/", false},
    {"/_repogate/echo/a%2Fb/", false},
    {"/_repogate/echo/../", false},
    {"/_repogate/Echo/a/b", false},
    {"/_repogate/%65cho/a/b", false},
    {"//_repogate/echo/a/b", false},
    {"/_repogate/echo/a/../b", false},
    {"/_repogate/echo/a/%2e%2e/b", false},
    {"/_repogate/echo/a/..%2fb", false},
    {"/_repogate/echo/a/..;/b", false},
    {"/_repogate/echo/a/%252e%252e%252fb", false},
    {"/_repogate/echo/a/%25252525252e", false},
    {"/_repogate/echo/a/_repogate/auth/nginx", false},
    {"/_repogate/echo/a/%5frepogate/x", false},
    {"/_repogate/echo/a\\outpost.goauthentik.io/x", false},
    {"/_repogate/echo/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/", false},
};

START_TEST(A2_an_echo_is_no_way_to_our_other_paths)
{
    ck_assert_int_eq(original_is_echo_path(view_of(echoes[_i].path)), echoes[_i].is_echo);
    /* In the eyes of all others it is a path of ours. */
    if (echoes[_i].is_echo)
        ck_assert(original_is_own_path(view_of(echoes[_i].path)));
}
END_TEST

START_TEST(names_its_reasons)
{
    ck_assert_str_eq(original_fault_reason(ORIGINAL_FINE), "");
    ck_assert_str_eq(original_fault_reason(ORIGINAL_UNTRUSTED_PEER), "untrusted_peer");
    ck_assert_str_eq(original_fault_reason(ORIGINAL_MISSING), "original_url_missing");
    ck_assert_str_eq(original_fault_reason(ORIGINAL_REPEATED), "original_url_repeated");
    ck_assert_str_eq(original_fault_reason(ORIGINAL_AMBIGUOUS), "original_url_ambiguous");
    ck_assert_str_eq(original_fault_reason(ORIGINAL_OWN_PATH), "own_path");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("original");
    TCase *tc = tcase_create("original");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, finds_what_nginx_asks_about);
    tcase_add_test(tc, outpost_dialect_leaves_method_and_client_absent);
    tcase_add_test(tc, A1_A2_A3_A4_A4b_A4c_A6_A6b_A7_A8_believes_the_one_configured_header_and_no_other);
    tcase_add_test(tc, A1b_A10_believes_nothing_from_an_untrusted_peer);
    tcase_add_test(tc, B8_B8b_B8c_B8d_B10b_takes_one_host_and_scheme);
    tcase_add_test(tc, A2_B1_B2_B3_B4_B7_B9_judges_only_paths_that_nobody_resolves);
    tcase_add_test(tc, A2_E9_knows_its_own_prefixes_in_every_spelling);
    tcase_add_test(tc, B11_treats_an_oversized_path_as_ours);
    tcase_add_test(tc, A5_A6b_A7_A8_A9_finds_what_is_asked_of_us);
    tcase_add_test(tc, takes_the_port_of_a_public_url_that_has_one);
    tcase_add_test(tc, finds_the_client_for_our_own_pages_too);
    tcase_add_loop_test(tc, A2_an_echo_is_no_way_to_our_other_paths, 0, (int)(sizeof(echoes) / sizeof(echoes[0])));
    tcase_add_test(tc, names_its_reasons);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

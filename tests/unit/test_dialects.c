/* What each dialect of http/original believes; what holds for all of them is tried in test_original. */
#include "http/original.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINES_MAX = 6, TEXT_MAX = 2048, N_SPELLINGS = 14, N_TRUSTED = 2 };
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct request req;
static struct uri public_url;
static struct ipnet trusted[N_TRUSTED];

static void setup(void)
{
    ck_assert_int_eq(uri_parse(VIEW("https://dev.example.org"), &public_url), GW_OK);
    ck_assert_int_eq(ipnet_parse(VIEW("127.0.0.1/32"), &trusted[0]), GW_OK);
    ck_assert_int_eq(ipnet_parse(VIEW("10.0.0.0/8"), &trusted[1]), GW_OK);
}

/* Lines "Name: value\n…". */
static void receive(const char *method, const char *target, const char *peer, const char *lines)
{
    request_reset(&req);
    req.method = view_of(method);
    req.target = view_of(target);
    req.minor = 1;
    ck_assert_int_eq(ipaddr_parse(view_of(peer), &req.peer), GW_OK);
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

/* ---- what proxies say ---- */

#define X_ORIGINAL                                                                                                           \
    {                                                                                                                        \
        "X-Original-URL: https://dev.example.org/github/acme/site/?a=b", "X-Original-Method: POST", "X-Real-IP: 203.0.113.7" \
    }

/* The lines that a dialect believes, and the rest that its proxy sends (PLATFORM 2.2). All ask about the same. */
static const struct saying {
    enum dialect dialect;
    const char *method, *target;
    const char *believed[LINES_MAX];
    const char *besides;
    const char *other_family; /* a header that names a URL too */
} sayings[] = {
    {DIALECT_NGINX, "GET", "/_repogate/auth/nginx", X_ORIGINAL, "Host: 127.0.0.1:8080\nX-Forwarded-For: 203.0.113.7\n",
     "X-Forwarded-Uri"},
    /* ingress-nginx, whose auth-url names our host */
    {DIALECT_NGINX, "GET", "/_repogate/auth/nginx", X_ORIGINAL,
     "Host: repogate.default.svc\nX-Sent-From: nginx-ingress-controller\nX-Auth-Request-Redirect: /github/acme/site/?a=b\n"
     "X-Forwarded-For: 203.0.113.7\nX-Request-ID: 01\n",
     "X-Original-URI"},
    {DIALECT_HAPROXY, "HEAD", "/_repogate/auth/haproxy", X_ORIGINAL, "Host: 127.0.0.1:8080\n", "X-Forwarded-Uri"},
    {DIALECT_TRAEFIK,
     "GET",
     "/_repogate/auth/traefik",
     {"X-Forwarded-Proto: https", "X-Forwarded-Host: dev.example.org", "X-Forwarded-Uri: /github/acme/site/?a=b",
      "X-Forwarded-Method: POST", "X-Forwarded-For: 203.0.113.7"},
     "Host: 127.0.0.1:8080\nX-Forwarded-Port: 443\nX-Forwarded-Server: traefik\nX-Real-Ip: 203.0.113.7\n",
     "X-Original-URL"},
    {DIALECT_TRAEFIK,
     "POST", /* preserveRequestMethod */
     "/outpost.goauthentik.io/auth/traefik",
     {"X-Forwarded-Proto: wss", "X-Forwarded-Host: dev.example.org", "X-Forwarded-Uri: /github/acme/site/?a=b",
      "X-Forwarded-Method: POST", "X-Forwarded-For: 10.7.7.7, 203.0.113.7, 10.0.0.1"},
     "Host: 127.0.0.1:8080\n",
     "X-Original-URI"},
    {DIALECT_CADDY,
     "GET",
     "/_repogate/auth/caddy",
     {"X-Forwarded-Proto: https", "X-Forwarded-Host: dev.example.org:443", "X-Forwarded-Uri: /github/acme/site/?a=b",
      "X-Forwarded-Method: POST", "X-Forwarded-For: 203.0.113.7"},
     "Host: 127.0.0.1:8080\nUpgrade: websocket\nConnection: Upgrade\n",
     "X-Original-URL"},
    {DIALECT_ENVOY,
     "POST",
     "/_repogate/auth/envoy/github/acme/site/?a=b",
     {"X-Forwarded-For: 203.0.113.7,10.0.0.1"},
     "Host: dev.example.org\nContent-Length: 0\nX-Envoy-Internal: true\n",
     "X-Forwarded-Uri"},
    {DIALECT_ENVOY,
     "POST",
     "/outpost.goauthentik.io/auth/envoy/github/acme/site/?a=b",
     {"X-Forwarded-For: 203.0.113.7"},
     "Host: dev.example.org\n",
     "X-Original-URL"},
};

/* All lines but the one left out, -1 = none. */
static void say(const struct saying *s, int without, char out[TEXT_MAX])
{
    int n = snprintf(out, TEXT_MAX, "%s", s->besides);
    for (int i = 0; i < LINES_MAX && s->believed[i] != NULL; i++)
        if (i != without)
            n += snprintf(out + n, (size_t)(TEXT_MAX - n), "%s\n", s->believed[i]);
    ck_assert_int_lt(n, TEXT_MAX);
}

/* The saying with one line more, at its end or its beginning; and what is found then. */
static enum original_fault find_with(const struct saying *s, int without, const char *line, bool is_last, struct original *ret)
{
    char text[TEXT_MAX], lines[2 * TEXT_MAX + 2];
    say(s, without, text);
    snprintf(lines, sizeof(lines), "%s%s\n%s", is_last ? text : "", line, is_last ? "" : text);
    receive(s->method, s->target, "127.0.0.1", lines);
    return find(s->dialect, ret);
}

static void check_site(const struct saying *s, const struct original *o)
{
    ck_assert(view_eq(o->uri.scheme, VIEW("https")));
    ck_assert(view_eq(o->uri.host, VIEW("dev.example.org")));
    ck_assert(view_eq(o->uri.path, VIEW("/github/acme/site/")));
    ck_assert(view_eq(o->uri.query, VIEW("a=b")));
    ck_assert(view_eq(o->method, VIEW("POST")));
    check_address(&o->client, "203.0.113.7");
    ck_assert(o->is_websocket == (strcmp(s->believed[0], "X-Forwarded-Proto: wss") == 0));
}

START_TEST(finds_what_each_proxy_asks_about)
{
    const struct saying *s = &sayings[_i];
    char text[TEXT_MAX];
    struct original o;
    enum dialect d = DIALECT_COUNT;
    say(s, -1, text);
    receive(s->method, s->target, "127.0.0.1", text);
    ck_assert(original_find_endpoint(req.target, &d));
    ck_assert_int_eq(d, s->dialect);
    ck_assert_int_eq(find(d, &o), ORIGINAL_FINE);
    check_site(s, &o);
}
END_TEST

START_TEST(A_refuses_each_believed_header_that_is_missing)
{
    const struct saying *s = &sayings[_i];
    for (int j = 0; j < LINES_MAX && s->believed[j] != NULL; j++) {
        struct original o = {.method = VIEW("untouched")};
        ck_assert_msg(find_with(s, j, "X-Noise: 1", true, &o) == ORIGINAL_MISSING, "%s", s->believed[j]);
        ck_assert(view_eq(o.method, VIEW("untouched")));
    }
}
END_TEST

/* Spells the name of a line "Name: value" in another way that some parser takes for the same; every seventh differs in case at most. */
static void spell(const char *line, int how, char out[TEXT_MAX])
{
    static const char *const signs[] = {"-", "_", ".", "", "--", "-_", "~"};
    const char *end = strchr(line, ':');
    size_t n = 0;
    for (const char *p = line; p < end; p++) {
        if (*p == '-')
            n += (size_t)snprintf(out + n, TEXT_MAX - n, "%s", signs[how % 7]);
        else
            out[n++] = (char)(how < 7 ? *p : *p ^ 0x20); /* letters only */
    }
    snprintf(out + n, TEXT_MAX - n, "%s", end);
}

START_TEST(A4_H1_H2_refuses_each_believed_header_that_is_repeated_in_any_spelling)
{
    const struct saying *s = &sayings[_i];
    char spelled[TEXT_MAX];
    for (int j = 0; j < LINES_MAX && s->believed[j] != NULL; j++)
        for (int how = 0; how < N_SPELLINGS; how++) {
            struct original o;
            spell(s->believed[j], how, spelled);
            ck_assert_msg(find_with(s, -1, spelled, true, &o) == ORIGINAL_REPEATED, "%s at the end", spelled);
            ck_assert_msg(find_with(s, -1, spelled, false, &o) == ORIGINAL_REPEATED, "%s at the beginning", spelled);
            enum original_fault alone = how % 7 == 0 ? ORIGINAL_FINE : ORIGINAL_REPEATED;
            ck_assert_msg(find_with(s, j, spelled, true, &o) == alone, "%s alone", spelled);
        }
}
END_TEST

START_TEST(A1_refuses_another_family_beside_the_believed_one)
{
    const struct saying *s = &sayings[_i];
    char line[TEXT_MAX], spelled[TEXT_MAX];
    snprintf(line, sizeof(line), "%s: /github/acme/site/?a=b", s->other_family);
    for (int how = 0; how < N_SPELLINGS; how++) {
        struct original o;
        spell(line, how, spelled);
        ck_assert_msg(find_with(s, -1, spelled, true, &o) == ORIGINAL_AMBIGUOUS, "%s", spelled);
    }
}
END_TEST

START_TEST(A3_A4b_A5_A6b_H14_nothing_else_changes_what_is_found)
{
    static const char *const noise[] = {
        "X-Forwarded-Prefix: /evil",
        "X-Forwarded-Port: 1",
        "X-Rewrite-URL: /evil",
        "X-Envoy-Original-Path: /evil",
        "X-Envoy-External-Address: 10.0.0.9",
        "Forwarded: for=10.0.0.9;host=evil;proto=http",
        "X-HTTP-Method-Override: GET",
        "X-Original-Host: evil",
        "X-Forwarded-Scheme: http",
        "X-Client-IP: 10.0.0.9",
        "User-Agent: kube-probe/1.30",
    };
    for (size_t i = 0; i < COUNT(noise); i++) {
        struct original o;
        ck_assert_msg(find_with(&sayings[_i], -1, noise[i], i % 2 == 0, &o) == ORIGINAL_FINE, "%s", noise[i]);
        check_site(&sayings[_i], &o);
    }
}
END_TEST

START_TEST(A1b_A10_is_not_believed_from_an_untrusted_peer)
{
    const struct saying *s = &sayings[_i];
    char text[TEXT_MAX];
    struct original o = {.method = VIEW("untouched")};
    say(s, -1, text);
    receive(s->method, s->target, "192.0.2.1", text);
    ck_assert_int_eq(find(s->dialect, &o), ORIGINAL_UNTRUSTED_PEER);
    receive(s->method, s->target, "127.0.0.1", text);
    req.peer_is_trusted = false; /* the proxy's secret was wrong */
    ck_assert_int_eq(find(s->dialect, &o), ORIGINAL_UNTRUSTED_PEER);
    ck_assert(view_eq(o.method, VIEW("untouched")));
}
END_TEST

START_TEST(notes_for_the_log_what_was_sent)
{
    const struct saying *s = &sayings[_i];
    char text[TEXT_MAX];
    struct original o;
    say(s, -1, text);
    receive(s->method, s->target, "127.0.0.1", text);
    original_note_raw(&req, s->dialect, trusted, N_TRUSTED, &o);
    ck_assert(view_ends(o.uri.path, VIEW("/github/acme/site/")));
    ck_assert(view_eq(o.uri.query, VIEW("a=b")));
    check_address(&o.client, "203.0.113.7");
    req.peer_is_trusted = false; /* then nobody's word but the network's */
    original_note_raw(&req, s->dialect, trusted, N_TRUSTED, &o);
    check_address(&o.client, "127.0.0.1");
    receive("GET", s->target, "127.0.0.1", "Host: dev.example.org\n");
    original_note_raw(&req, s->dialect, trusted, N_TRUSTED, &o);
    check_address(&o.client, "127.0.0.1");
    ck_assert(s->dialect == DIALECT_ENVOY ? o.uri.path.n > 0 : o.uri.path.n == 0);
}
END_TEST

/* ---- values ---- */

/* One line of the saying of a dialect, and what becomes of it. */
static const struct {
    enum dialect dialect;
    const char *line;
    enum original_fault fault;
} changes[] = {
    {DIALECT_TRAEFIK, "X-Forwarded-Proto: wss", ORIGINAL_FINE},
    {DIALECT_TRAEFIK, "X-Forwarded-Proto: ws", ORIGINAL_AMBIGUOUS}, /* that is http, and we are https */
    {DIALECT_TRAEFIK, "X-Forwarded-Proto: http", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Proto: HTTPS", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Proto: https, http", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Proto: https,https", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Proto: ", ORIGINAL_AMBIGUOUS},
    {DIALECT_CADDY, "X-Forwarded-Proto: wss", ORIGINAL_AMBIGUOUS},
    {DIALECT_CADDY, "X-Forwarded-Proto: http", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: DEV.Example.ORG", ORIGINAL_FINE},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: dev.example.org:80", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: dev.example.org.", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: evil.example", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: dev.example.org, evil.example", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: dev.example.org@evil.example", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: dev.example.org/x", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Host: ", ORIGINAL_AMBIGUOUS},
    {DIALECT_CADDY, "X-Forwarded-Host: evil.example", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: https://dev.example.org/github/acme/site/", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: //dev.example.org/github/acme/site/", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: github/acme/site/", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: *", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: ", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: ?a=b", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: /a/../b", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: /a/#b", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: /a, /b", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Uri: /_repogate/login", ORIGINAL_OWN_PATH},
    {DIALECT_CADDY, "X-Forwarded-Uri: /outpost.goauthentik.io/start", ORIGINAL_OWN_PATH},
    {DIALECT_CADDY, "X-Forwarded-Uri: /x?X-authentik-auth-callback=true", ORIGINAL_FINE},
    {DIALECT_TRAEFIK, "X-Forwarded-Method: PROPFIND", ORIGINAL_FINE},
    {DIALECT_TRAEFIK, "X-Forwarded-Method: get", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Method: GET, POST", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Method: TRACE", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-Method: ", ORIGINAL_AMBIGUOUS},
    {DIALECT_CADDY, "X-Forwarded-Method: CONNECT", ORIGINAL_AMBIGUOUS},
    {DIALECT_HAPROXY, "X-Original-Method: get", ORIGINAL_AMBIGUOUS},
    {DIALECT_HAPROXY, "X-Real-IP: 203.0.113.7, 10.0.0.1", ORIGINAL_AMBIGUOUS},
    {DIALECT_HAPROXY, "X-Original-URL: http://dev.example.org/", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-For: unknown", ORIGINAL_AMBIGUOUS},
    {DIALECT_TRAEFIK, "X-Forwarded-For: 203.0.113.7:443", ORIGINAL_AMBIGUOUS},
    {DIALECT_CADDY, "X-Forwarded-For: rubbish, 203.0.113.7", ORIGINAL_AMBIGUOUS},
    {DIALECT_ENVOY, "X-Forwarded-For: ", ORIGINAL_AMBIGUOUS},
    {DIALECT_ENVOY, "X-Forwarded-For: 203.0.113.7 10.0.0.1", ORIGINAL_AMBIGUOUS},
};

START_TEST(A5_A7_A8_A9_B8_reads_each_value_in_one_way_or_refuses_it)
{
    size_t i = 0, n_name = (size_t)(strchr(changes[_i].line, ':') - changes[_i].line);
    int j = 0;
    struct original o;
    while (sayings[i].dialect != changes[_i].dialect)
        i++;
    while (strncmp(sayings[i].believed[j], changes[_i].line, n_name + 1) != 0)
        j++;
    ck_assert_msg(find_with(&sayings[i], j, changes[_i].line, true, &o) == changes[_i].fault, "%s", changes[_i].line);
}
END_TEST

START_TEST(a_websocket_over_plain_http_is_http)
{
    struct original o;
    const struct saying http = {
        DIALECT_TRAEFIK,
        "GET",
        "/_repogate/auth/traefik",
        {"X-Forwarded-Host: dev.example.org", "X-Forwarded-Uri: /", "X-Forwarded-Method: GET", "X-Forwarded-For: 203.0.113.7"},
        "Host: x\n",
        ""};
    ck_assert_int_eq(uri_parse(VIEW("http://dev.example.org"), &public_url), GW_OK);
    ck_assert_int_eq(find_with(&http, -1, "X-Forwarded-Proto: ws", true, &o), ORIGINAL_FINE);
    ck_assert(o.is_websocket && view_eq(o.uri.scheme, VIEW("http")) && o.uri.port == 80);
    ck_assert_int_eq(find_with(&http, -1, "X-Forwarded-Proto: wss", true, &o), ORIGINAL_AMBIGUOUS);
}
END_TEST

static const struct {
    const char *target, *host;
    enum original_fault fault;
} envoy[] = {
    {"/_repogate/auth/envoy/", "dev.example.org", ORIGINAL_FINE},
    {"/_repogate/auth/envoy/", "Dev.Example.Org:443", ORIGINAL_FINE},
    {"/_repogate/auth/envoy/", "dev.example.org:80", ORIGINAL_AMBIGUOUS},
    {"/_repogate/auth/envoy/", "evil.example", ORIGINAL_AMBIGUOUS},
    {"/_repogate/auth/envoy//github/acme/site/", "dev.example.org", ORIGINAL_AMBIGUOUS},
    {"/_repogate/auth/envoy/../nginx", "dev.example.org", ORIGINAL_AMBIGUOUS},
    {"/_repogate/auth/envoy/github/../x", "dev.example.org", ORIGINAL_AMBIGUOUS},
    {"/_repogate/auth/envoy/github/%2e%2e/x", "dev.example.org", ORIGINAL_AMBIGUOUS},
    {"/_repogate/auth/envoy/x%00", "dev.example.org", ORIGINAL_AMBIGUOUS},
    {"/_repogate/auth/envoy/_repogate/login", "dev.example.org", ORIGINAL_OWN_PATH},
    {"/_repogate/auth/envoy/_repogate/auth/envoy/x", "dev.example.org", ORIGINAL_OWN_PATH},
    {"/_repogate/auth/envoy/%5frepogate/login", "dev.example.org", ORIGINAL_OWN_PATH},
    {"/outpost.goauthentik.io/auth/envoy/outpost.goauthentik.io/start", "dev.example.org", ORIGINAL_OWN_PATH},
};

START_TEST(B3_B4_B7_what_follows_envoys_prefix_is_judged_as_any_target)
{
    char text[TEXT_MAX];
    struct original o;
    snprintf(text, sizeof(text), "Host: %s\nX-Forwarded-For: 203.0.113.7\n", envoy[_i].host);
    receive("GET", envoy[_i].target, "127.0.0.1", text);
    ck_assert_msg(find(DIALECT_ENVOY, &o) == envoy[_i].fault, "%s %s", envoy[_i].target, envoy[_i].host);
}
END_TEST

/* ---- addresses ---- */

static const struct {
    const char *target;
    enum dialect dialect; /* DIALECT_COUNT: none */
} addresses[] = {
    {"/_repogate/auth/nginx", DIALECT_NGINX},
    {"/_repogate/auth/nginx?x", DIALECT_NGINX},
    {"/outpost.goauthentik.io/auth/nginx", DIALECT_OUTPOST_NGINX},
    {"/_repogate/auth/haproxy", DIALECT_HAPROXY},
    {"/_repogate/auth/traefik", DIALECT_TRAEFIK},
    {"/outpost.goauthentik.io/auth/traefik", DIALECT_TRAEFIK},
    {"/_repogate/auth/caddy", DIALECT_CADDY},
    {"/outpost.goauthentik.io/auth/caddy", DIALECT_CADDY},
    {"/_repogate/auth/envoy/", DIALECT_ENVOY},
    {"/_repogate/auth/envoy/x?y", DIALECT_ENVOY},
    {"/outpost.goauthentik.io/auth/envoy/x", DIALECT_ENVOY},
    {"/outpost.goauthentik.io/auth/haproxy", DIALECT_COUNT}, /* the outpost has none */
    {"/_repogate/auth/envoy", DIALECT_COUNT},
    {"/_repogate/auth/envoy?x", DIALECT_COUNT},
    {"/_repogate/auth/envoyx/", DIALECT_COUNT},
    {"/_repogate/auth/nginx/", DIALECT_COUNT},
    {"/_repogate/auth/nginxx", DIALECT_COUNT},
    {"/_repogate/auth/Nginx", DIALECT_COUNT},
    {"/_repogate/auth/%6eginx", DIALECT_COUNT},
    {"/_repogate//auth/nginx", DIALECT_COUNT},
    {"/_repogate/auth/", DIALECT_COUNT},
    {"/x/_repogate/auth/nginx", DIALECT_COUNT},
    {"", DIALECT_COUNT},
};

START_TEST(knows_where_each_dialect_is_spoken)
{
    enum dialect d = DIALECT_COUNT;
    bool is_found = original_find_endpoint(view_of(addresses[_i].target), &d);
    ck_assert_msg(is_found == (addresses[_i].dialect != DIALECT_COUNT) && d == addresses[_i].dialect, "%s", addresses[_i].target);
}
END_TEST

START_TEST(names_every_dialect)
{
    static const char *const names[] = {"nginx", "outpost_nginx", "haproxy", "traefik", "caddy", "envoy", "own"};
    ck_assert_uint_eq(COUNT(names), DIALECT_COUNT);
    for (int d = 0; d < DIALECT_COUNT; d++)
        ck_assert_str_eq(original_dialect_name((enum dialect)d), names[d]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dialects");
    TCase *tc = tcase_create("dialects");
    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_loop_test(tc, finds_what_each_proxy_asks_about, 0, COUNT(sayings));
    tcase_add_loop_test(tc, A_refuses_each_believed_header_that_is_missing, 0, COUNT(sayings));
    tcase_add_loop_test(tc, A4_H1_H2_refuses_each_believed_header_that_is_repeated_in_any_spelling, 0, COUNT(sayings));
    tcase_add_loop_test(tc, A1_refuses_another_family_beside_the_believed_one, 0, COUNT(sayings));
    tcase_add_loop_test(tc, A3_A4b_A5_A6b_H14_nothing_else_changes_what_is_found, 0, COUNT(sayings));
    tcase_add_loop_test(tc, A1b_A10_is_not_believed_from_an_untrusted_peer, 0, COUNT(sayings));
    tcase_add_loop_test(tc, notes_for_the_log_what_was_sent, 0, COUNT(sayings));
    tcase_add_loop_test(tc, A5_A7_A8_A9_B8_reads_each_value_in_one_way_or_refuses_it, 0, COUNT(changes));
    tcase_add_test(tc, a_websocket_over_plain_http_is_http);
    tcase_add_loop_test(tc, B3_B4_B7_what_follows_envoys_prefix_is_judged_as_any_target, 0, COUNT(envoy));
    tcase_add_loop_test(tc, knows_where_each_dialect_is_spoken, 0, COUNT(addresses));
    tcase_add_test(tc, names_every_dialect);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#include "proxy/attribution.h"

#include "http/header.h"
#include "support.h"

#include <stdio.h>

static struct arena arena;
static struct principal *dora;
static struct attribution_list list;
static struct request req;

static const struct forge github = {.name = "github", .kind = FORGE_GITHUB, .url = "https://github.com"};
static const struct forge gitlab = {.name = "gl", .kind = FORGE_GITLAB, .url = "https://gitlab.example"};
static const struct repo site = {.forge = &github, .owner = "acme", .name = "site", .full = "github:acme/site"};
static const struct repo nested = {.forge = &gitlab, .owner = "a/b", .name = "c", .full = "gl:a/b/c"};

static struct principal *person(const char *members)
{
    struct buf claims = BUF(1024 * 1024), json = BUF(1024 * 1024);
    struct principal *p = NULL;
    buf_printf(&json, "{\"iss\":\"https://idp/\",\"sub\":\"u-1\",%s}", members);
    ck_assert(buf_ok(&json));
    ck_assert_int_eq(pack_parse(buf_view(&json), &claims), GW_OK);
    ck_assert_int_eq(principal_new(pack_root(claims.p), PRINCIPAL_SESSION, false, &p), GW_OK);
    buf_deinit(&json);
    buf_deinit(&claims);
    return p;
}

static void set_up(void)
{
    arena = ARENA(256 * 1024);
    list.n = 0;
    request_reset(&req);
    dora = person(
        "\"preferred_username\":\"dora\",\"name\":\"Dora \xc3\x84\",\"email\":\"d@x.org\",\"groups\":[\"a\",\"b|c\",\" d%\"],\"entitlements\":[\"deploy\"]");
}

static void tear_down(void)
{
    principal_unref(dora);
    arena_deinit(&arena);
}

static struct attribution_facts facts(void)
{
    return (struct attribution_facts){
        .principal = dora,
        .repo = &site,
        .path = VIEW("/github/acme/site/%7C|x"),
        .decision_id = VIEW("0190-id"),
        .assertion = VIEW("h.c.s"),
        .traceparent = VIEW("00-t-s-01"),
        .client_ip = VIEW("203.0.113.7"),
        .proto = VIEW("https"),
        .host = VIEW("dev.example.org"),
    };
}

/* The value, which must be there exactly once under any spelling that differs only in case. */
static const char *value_of(const char *name)
{
    static char text[4096];
    int n = 0;
    for (size_t i = 0; i < list.n; i++)
        if (view_eq(list.items[i].name, view_of(name))) {
            snprintf(text, sizeof(text), "%.*s", VIEW_FMT(list.items[i].value));
            ck_assert_ptr_nonnull(list.items[i].value.p);
            n++;
        }
    ck_assert_msg(n == 1, "%s is there %d times", name, n);
    return text;
}

static bool is_there(const char *name)
{
    for (size_t i = 0; i < list.n; i++)
        if (view_eq_ci(list.items[i].name, view_of(name)))
            return true;
    return false;
}

static const char *const to_both[] = {
    "X-authentik-username", "X-authentik-groups", "X-authentik-entitlements", "X-authentik-email",
    "X-authentik-name",     "X-authentik-uid",    "X-Authentik-User",         "X-Request-Path",
    "X-GitHub-Repo",        "X-Repogate-Repo",    "X-Repogate-Decision-Id",   "X-Repogate-Assertion",
    "traceparent",
};
static const char *const to_workspace[] = {"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP"};
enum { N_BOTH = sizeof(to_both) / sizeof(to_both[0]), N_WORKSPACE = sizeof(to_workspace) / sizeof(to_workspace[0]) };

START_TEST(says_who_is_asking)
{
    struct attribution_facts f = facts();
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_WORKSPACE, &f, &arena), GW_OK);
    ck_assert_uint_eq(list.n, N_BOTH + N_WORKSPACE);
    ck_assert_str_eq(value_of("X-authentik-username"), "dora");
    ck_assert_str_eq(value_of("X-Authentik-User"), "dora");
    ck_assert_str_eq(value_of("X-authentik-groups"), "a|b%7Cc|%20d%25");
    ck_assert_str_eq(value_of("X-authentik-entitlements"), "deploy");
    ck_assert_str_eq(value_of("X-authentik-email"), "d@x.org");
    ck_assert_str_eq(value_of("X-authentik-name"), "Dora \xc3\x84");
    ck_assert_str_eq(value_of("X-authentik-uid"), "u-1");
    ck_assert_str_eq(value_of("X-Request-Path"), "/github/acme/site/%7C|x");
    ck_assert_str_eq(value_of("X-GitHub-Repo"), "https://github.com/acme/site");
    ck_assert_str_eq(value_of("X-Repogate-Repo"), "github:acme/site");
    ck_assert_str_eq(value_of("X-Repogate-Decision-Id"), "0190-id");
    ck_assert_str_eq(value_of("X-Repogate-Assertion"), "h.c.s");
    ck_assert_str_eq(value_of("traceparent"), "00-t-s-01");
    ck_assert_str_eq(value_of("X-Forwarded-For"), "203.0.113.7");
    ck_assert_str_eq(value_of("X-Real-IP"), "203.0.113.7");
    ck_assert_str_eq(value_of("X-Forwarded-Proto"), "https");
    ck_assert_str_eq(value_of("X-Forwarded-Host"), "dev.example.org");
}
END_TEST

START_TEST(H5_sends_every_header_empty_when_there_is_no_value)
{
    struct attribution_facts f = {0};
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_WORKSPACE, &f, &arena), GW_OK);
    for (size_t i = 0; i < N_BOTH; i++)
        ck_assert_str_eq(value_of(to_both[i]), "");
    for (size_t i = 0; i < N_WORKSPACE; i++)
        ck_assert_str_eq(value_of(to_workspace[i]), "");
}
END_TEST

START_TEST(gives_each_receiver_its_set)
{
    struct attribution_facts f = facts();
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_uint_eq(list.n, N_BOTH);
    for (size_t i = 0; i < N_WORKSPACE; i++)
        ck_assert(!is_there(to_workspace[i]));
    list.n = 0;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_MINIMAL, &f, &arena), GW_OK);
    ck_assert_uint_eq(list.n, 2);
    ck_assert(is_there("X-Repogate-Decision-Id") && is_there("traceparent"));
}
END_TEST

START_TEST(names_a_github_url_for_github_only)
{
    struct attribution_facts f = facts();
    f.repo = &nested;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_eq(value_of("X-GitHub-Repo"), "");
    ck_assert_str_eq(value_of("X-Repogate-Repo"), "gl:a/b/c");
}
END_TEST

START_TEST(the_forge_named_github_is_github_com_and_others_are_themselves)
{
    static const struct forge mirror = {.name = "github", .kind = FORGE_GITHUB, .url = "http://mirror.internal:8080"};
    static const struct forge enterprise = {.name = "ghe", .kind = FORGE_GITHUB, .url = "https://git.example.org"};
    struct attribution_facts f = facts();
    struct repo r = site;
    f.repo = &r;
    r.forge = &mirror;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_eq(value_of("X-GitHub-Repo"), "https://github.com/acme/site");
    list.n = 0;
    r.forge = &enterprise;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_eq(value_of("X-GitHub-Repo"), "https://git.example.org/acme/site");
}
END_TEST

static const struct {
    const char *name, *value;
} encodings[] = {
    {"plain", "plain"},
    {"50%", "50%25"},
    {"a|b", "a%7Cb"},
    {" a", "%20a"},
    {"a ", "a%20"},
    {"  a  ", "%20 a %20"},
    {"a b", "a b"},
    {" ", "%20"},
    {"\xf0\x9f\xa6\x8a", "\xf0\x9f\xa6\x8a"},
    {"%7C", "%257C"},
    {"a,b;c\\\"d", "a,b;c\"d"},
};

START_TEST(H3_I_encodes_what_could_be_read_as_something_else)
{
    struct attribution_facts f = facts();
    char members[256];
    snprintf(members, sizeof(members), "\"preferred_username\":\"x\",\"name\":\"%s\",\"groups\":[\"%s\",\"%s\"]",
             encodings[_i].name, encodings[_i].name, encodings[_i].name);
    struct principal *p = person(members);
    f.principal = p;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_eq(value_of("X-authentik-name"), encodings[_i].value);
    char twice[256];
    snprintf(twice, sizeof(twice), "%s|%s", encodings[_i].value, encodings[_i].value);
    ck_assert_str_eq(value_of("X-authentik-groups"), twice);
    principal_unref(p);
}
END_TEST

START_TEST(H11_encodes_control_bytes_in_claims)
{
    struct attribution_facts f = facts();
    struct principal *p = person("\"groups\":[\"a\\r\\nX-authentik-username: root\",\"\\u007f\\t\"]");
    f.principal = p;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_eq(value_of("X-authentik-groups"), "a%0D%0AX-authentik-username: root|%7F%09");
    principal_unref(p);
}
END_TEST

START_TEST(refuses_control_bytes_in_what_it_sends_as_it_is)
{
    struct attribution_facts f = facts();
    f.path = VIEW("/a\r\nX-authentik-username: root");
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_E_INVALID);
    ck_assert_uint_eq(list.n, 0);
}
END_TEST

static struct principal *person_with_group_bytes(size_t n)
{
    struct buf members = BUF(256 * 1024);
    buf_puts(&members, "\"preferred_username\":\"x\",\"groups\":[\"");
    for (size_t i = 0; i < n; i++)
        buf_put_byte(&members, i % 50 == 49 ? '-' : 'g');
    buf_puts(&members, "\"]");
    struct principal *p = person(members.p);
    buf_deinit(&members);
    return p;
}

START_TEST(refuses_an_identity_past_its_budget_and_never_cuts_it)
{
    static const size_t budgets[] = {[ATTRIBUTION_ANSWER] = ATTRIBUTION_ANSWER_IDENTITY_MAX_BYTES,
                                     [ATTRIBUTION_WORKSPACE] = ATTRIBUTION_WORKSPACE_IDENTITY_MAX_BYTES};
    for (enum attribution_receiver to = ATTRIBUTION_ANSWER; to <= ATTRIBUTION_WORKSPACE; to++) {
        /* seven names with what stands between them, "x" twice, "u-1" */
        const size_t rest = 20 + 18 + 24 + 17 + 16 + 15 + 16 + 7 * 4 + 2 + 3;
        for (size_t extra = 0; extra < 2; extra++) {
            struct attribution_facts f = facts();
            struct principal *p = person_with_group_bytes(budgets[to] - rest + extra);
            f.principal = p;
            list.n = 0;
            ck_assert_int_eq(attribution_add(&list, to, &f, &arena), extra == 0 ? GW_OK : GW_E_LIMIT);
            if (extra == 0)
                ck_assert_uint_eq(strlen(value_of("X-authentik-groups")) > 0, 1);
            else
                ck_assert_uint_eq(list.n, 0);
            principal_unref(p);
        }
    }
}
END_TEST

START_TEST(leaves_a_long_path_empty_in_an_auth_answer_only)
{
    struct attribution_facts f = facts();
    char path[ATTRIBUTION_ANSWER_PATH_MAX_BYTES + 1];
    memset(path, 'a', sizeof(path));
    f.path = view_at(path, sizeof(path) - 1);
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_uint_eq(strlen(value_of("X-Request-Path")), sizeof(path) - 1);
    list.n = 0;
    f.path.n++;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_eq(value_of("X-Request-Path"), "");
    list.n = 0;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_WORKSPACE, &f, &arena), GW_OK);
    ck_assert_uint_eq(strlen(value_of("X-Request-Path")), sizeof(path));
}
END_TEST

START_TEST(a_long_assertion_leaves_no_room_for_the_path)
{
    static char assertion[ATTRIBUTION_ANSWER_ASSERTION_MAX_BYTES];
    struct attribution_facts f = facts();
    memset(assertion, 'a', sizeof(assertion));
    f.assertion = view_at(assertion, sizeof(assertion) - f.path.n);
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_ne(value_of("X-Request-Path"), "");
    list.n = 0;
    f.assertion.n++;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_ANSWER, &f, &arena), GW_OK);
    ck_assert_str_eq(value_of("X-Request-Path"), "");
    list.n = 0;
    ck_assert_int_eq(attribution_add(&list, ATTRIBUTION_WORKSPACE, &f, &arena), GW_OK);
    ck_assert_str_ne(value_of("X-Request-Path"), "");
}
END_TEST

/* ---- the client's headers ---- */

static bool is_our_cookie(struct view name, void *arg)
{
    ck_assert_ptr_eq(arg, &req);
    return view_eq(name, VIEW("repogate")) || view_starts(name, VIEW("authentik_proxy_"));
}

static void client_sends(const char *name, const char *value)
{
    ck_assert_int_eq(request_add_header(&req, view_of(name), view_of(value)), GW_OK);
}

static void forward(void)
{
    struct attribution_facts f = facts();
    ck_assert_int_eq(attribution_for_workspace(&list, &req, &f, is_our_cookie, &req, &arena), GW_OK);
}

static const char *const stripped[] = {
    "X-authentik-username",
    "x_authentik_username",
    "X.Authentik.Username",
    "XAUTHENTIKUSERNAME",
    "X-Authentik-Jwt",
    "X_Authentik_Meta_App",
    "X-Authentik-User",
    "X-Github-Repo",
    "X_GitHub_Repo",
    "X-Request.Path",
    "X-Repogate-Repo",
    "X-Repogate-Assertion",
    "x_repogate_upstream",
    "X-Policy-Tier",
    "X-Forwarded-For",
    "X_Forwarded_For",
    "X-Forwarded-Prefix",
    "Forwarded",
    "X-Real-IP",
    "X-Original-URL",
    "Traceparent",
    "K-Network-Probe",
    "Knative-Serving-Revision",
    "K-Original-Host",
    "Authorization",
    "Authorization_",
    "Proxy-Authorization",
    "Host",
    "H-o-s-t",
    "Content-Length",
    "Content_Length",
    "Transfer-Encoding",
    "transfer.encoding",
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Upgrade",
    "Expect",
    "Coo-kie",
};

START_TEST(H1_H2_H3_H4_H9_H13_I7_strips_every_spelling_of_what_is_not_the_clients_to_say)
{
    client_sends(stripped[_i], "evil");
    client_sends("Accept", "text/html");
    forward();
    for (size_t i = 0; i < list.n; i++)
        ck_assert_msg(!view_contains(list.items[i].value, VIEW("evil")), "%s came through", stripped[_i]);
    ck_assert_uint_eq(list.n, 1 + N_BOTH + N_WORKSPACE);
    for (size_t i = 0; i < N_BOTH; i++) {
        size_t n = 0;
        for (size_t j = 0; j < list.n; j++)
            n += header_is_alias(list.items[j].name, view_of(to_both[i]));
        ck_assert_uint_eq(n, 1);
    }
}
END_TEST

START_TEST(passes_on_what_is_the_clients)
{
    static const char *const names[] = {"Accept", "User-Agent",   "Origin",        "Sec-WebSocket-Key", "Sec-WebSocket-Protocol",
                                        "Range",  "Content-Type", "If-None-Match", "X-Requested-With"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        client_sends(names[i], "as sent");
    forward();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_str_eq(value_of(names[i]), "as sent");
}
END_TEST

START_TEST(H6_connection_tokens_take_away_the_clients_headers_and_none_of_ours)
{
    client_sends("Connection", "close, X-Hop , x-authentik-username, X-Repogate-Repo, traceparent, X-Real-IP");
    client_sends("X-Hop", "1");
    client_sends("X-Stays", "1");
    forward();
    ck_assert(!is_there("X-Hop"));
    ck_assert(is_there("X-Stays"));
    ck_assert_str_eq(value_of("X-authentik-username"), "dora");
    ck_assert_str_eq(value_of("X-Repogate-Repo"), "github:acme/site");
    ck_assert_str_eq(value_of("X-Real-IP"), "203.0.113.7");
}
END_TEST

static const struct {
    const char *sent, *left; /* NULL: no Cookie at all */
} cookies[] = {
    {"a=1; repogate=secret; b=2", "a=1; b=2"}, {"repogate=secret", NULL},
    {"authentik_proxy_x=1; repogate=s", NULL}, {"a=1", "a=1"},
    {"Repogate=theirs", "Repogate=theirs"},
};

START_TEST(L2_takes_our_cookies_out)
{
    client_sends("Cookie", cookies[_i].sent);
    forward();
    if (cookies[_i].left == NULL)
        ck_assert(!is_there("Cookie"));
    else
        ck_assert_str_eq(value_of("Cookie"), cookies[_i].left);
}
END_TEST

START_TEST(strips_the_user_agent_that_hides_a_workspace_from_its_idle_clock)
{
    client_sends("User-Agent", "Kube-Probe/1.30");
    forward();
    ck_assert(!is_there("User-Agent"));
}
END_TEST

START_TEST(refuses_more_headers_than_the_list_holds)
{
    struct attribution_facts f = facts();
    for (int i = 0; i < REQUEST_HEADERS_MAX; i++)
        client_sends("X-Many", "1");
    ck_assert_int_eq(attribution_for_workspace(&list, &req, &f, is_our_cookie, &req, &arena), GW_E_LIMIT);
    ck_assert_uint_eq(list.n, 0);
}
END_TEST

/* ---- the answer's headers ---- */

static const struct {
    const char *name, *value;
    bool passes;
} answers[] = {
    {"Content-Type", "text/html", true},
    {"Location", "/x", true},
    {"Cache-Control", "no-store", true},
    {"X-Accel-Buffering", "no", true},
    {"Sec-WebSocket-Accept", "x", true},
    {"Set-Cookie", "ide=1; Path=/; HttpOnly", true},
    {"Set-Cookie", "domain=1; Path=/", true},
    {"Set-Cookie", "repogate=evil", false},
    {"set-cookie", " repogate =evil", false},
    {"Set-Cookie", "authentik_proxy_abc=evil", false},
    {"Set-Cookie", "ide=1; Domain=example.org", false},
    {"Set-Cookie", "ide=1;DOMAIN=.example.org; Path=/", false},
    {"Set-Cookie", "ide=1; domain", false},
    {"Set-Cookie", "ide=1; Path=/ ; Domain = x", false},
    {"Set-Cookie", "=repogate=evil", false},
    {"Set-Cookie", "repogate", false},
    {"Set-Cookie", "", false},
    {"Set_Cookie", "ide=1", false},
    {"Strict-Transport-Security", "max-age=1", false},
    {"clear-site-data", "*", false},
    {"Service-Worker-Allowed", "/", false},
    {"Alt-Svc", "h3=\":443\"", false},
    {"NEL", "{}", false},
    {"Report-To", "{}", false},
    {"X-Accel-Redirect", "/_internal/", false},
    {"X_Accel_Redirect", "/_internal/", false},
    {"X-Sendfile", "/etc/passwd", false},
    {"X-authentik-username", "root", false},
    {"X_Authentik_Username", "root", false},
    {"X-Repogate-Upstream", "evil", false},
    {"X-Policy-A", "1", false},
    {"Connection", "close", false},
    {"Transfer-Encoding", "chunked", false},
    {"K-Network-Hash", "1", false},
};

START_TEST(lets_through_what_stays_within_the_workspace)
{
    ck_assert_msg(attribution_answer_passes(view_of(answers[_i].name), view_of(answers[_i].value), is_our_cookie, &req) ==
                      answers[_i].passes,
                  "%s: %s", answers[_i].name, answers[_i].value);
}
END_TEST

START_TEST(forwards_the_rest_of_the_path_byte_for_byte)
{
    static const struct {
        struct view base, rest, query;
        const char *target;
    } cases[] = {
        {VIEW(""), VIEW("/"), VIEW_NONE, "/"},
        {VIEW(""), VIEW(""), VIEW_NONE, "/"},
        {VIEW("/w"), VIEW(""), VIEW("a=b"), "/w/?a=b"},
        {VIEW("/w/o"), VIEW("//a/%2e%2f;x/"), VIEW("q=%00&?"), "/w/o//a/%2e%2f;x/?q=%00&?"},
        {VIEW(""), VIEW("/a"), VIEW(""), "/a?"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_view_eq(attribution_target(cases[i].base, cases[i].rest, cases[i].query, &arena), cases[i].target);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("attribution");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, says_who_is_asking);
    tcase_add_test(t, H5_sends_every_header_empty_when_there_is_no_value);
    tcase_add_test(t, gives_each_receiver_its_set);
    tcase_add_test(t, names_a_github_url_for_github_only);
    tcase_add_test(t, the_forge_named_github_is_github_com_and_others_are_themselves);
    tcase_add_loop_test(t, H3_I_encodes_what_could_be_read_as_something_else, 0, COUNT(encodings));
    tcase_add_test(t, H11_encodes_control_bytes_in_claims);
    tcase_add_test(t, refuses_control_bytes_in_what_it_sends_as_it_is);
    tcase_add_test(t, refuses_an_identity_past_its_budget_and_never_cuts_it);
    tcase_add_test(t, leaves_a_long_path_empty_in_an_auth_answer_only);
    tcase_add_test(t, a_long_assertion_leaves_no_room_for_the_path);
    tcase_add_loop_test(t, H1_H2_H3_H4_H9_H13_I7_strips_every_spelling_of_what_is_not_the_clients_to_say, 0, COUNT(stripped));
    tcase_add_test(t, passes_on_what_is_the_clients);
    tcase_add_test(t, H6_connection_tokens_take_away_the_clients_headers_and_none_of_ours);
    tcase_add_loop_test(t, L2_takes_our_cookies_out, 0, COUNT(cookies));
    tcase_add_test(t, strips_the_user_agent_that_hides_a_workspace_from_its_idle_clock);
    tcase_add_test(t, refuses_more_headers_than_the_list_holds);
    tcase_add_loop_test(t, lets_through_what_stays_within_the_workspace, 0, COUNT(answers));
    tcase_add_test(t, forwards_the_rest_of_the_path_byte_for_byte);
    suite_add_tcase(s, t);
    return support_run(s);
}

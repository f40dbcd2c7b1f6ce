#include "http/header.h"

#include <check.h>
#include <stdlib.h>

static struct request req;

static void add(const char *name, const char *value)
{
    ck_assert_int_eq(request_add_header(&req, view_of(name), view_of(value)), GW_OK);
}

static const struct {
    enum header_id id;
    const char *name;
} known[] = {
#define X(id, name) {id, name},
    HEADER_TABLE(X)
#undef X
};

START_TEST(knows_every_name_of_its_table_in_any_case)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        char upper[32] = {0};
        bool is_exact = false, is_token = false;
        for (size_t j = 0; known[i].name[j] != '\0'; j++)
            upper[j] = known[i].name[j] >= 'a' ? (char)(known[i].name[j] - 32) : known[i].name[j];
        ck_assert_msg(header_id_of(view_of(known[i].name), &is_exact, &is_token) == known[i].id && is_exact, "%s", known[i].name);
        ck_assert_msg(header_id_of(view_of(upper), &is_exact, &is_token) == known[i].id && is_exact, "%s", upper);
    }
}
END_TEST

START_TEST(H1_H2_H3_takes_underscores_dots_and_missing_hyphens_for_look_alikes)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        static const char signs[] = "_.~!";
        if (strchr(known[i].name, '-') == NULL)
            continue;
        for (size_t s = 0; s < sizeof(signs); s++) {
            char alias[32] = {0};
            size_t n = 0;
            bool is_exact = true, is_token = false;
            for (size_t j = 0; known[i].name[j] != '\0'; j++)
                if (known[i].name[j] != '-')
                    alias[n++] = known[i].name[j];
                else if (signs[s] != '\0')
                    alias[n++] = signs[s];
            ck_assert_msg(header_id_of(view_at(alias, n), &is_exact, &is_token) == known[i].id && !is_exact && is_token, "%s",
                          alias);
        }
    }
}
END_TEST

START_TEST(knows_no_other_names)
{
    static const char *const names[] = {"",
                                        "-",
                                        "hos",
                                        "hosts",
                                        "cookie2",
                                        "x-original-urls",
                                        "xx-original-url",
                                        "accept-language",
                                        "content-lengths",
                                        "x-repogate-proxy-secret-x-repogate-proxy-secret",
                                        "range",
                                        "origim"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool is_exact = true, is_token = false;
        ck_assert_msg(header_id_of(view_of(names[i]), &is_exact, &is_token) == HEADER_OTHER && !is_exact, "%s", names[i]);
    }
}
END_TEST

START_TEST(gives_the_one_value)
{
    struct view value;
    request_reset(&req);
    add("X-Other", "1");
    add("x-ORIGINAL-url", " \thttps://h/ \t");
    ck_assert_int_eq(header_get(&req, HEADER_X_ORIGINAL_URL, &value), HEADER_ONE);
    ck_assert(view_eq(value, VIEW("https://h/")));
    ck_assert(view_eq(header_value(&req, HEADER_X_ORIGINAL_URL), value));
    ck_assert_int_eq(header_get(&req, HEADER_ORIGIN, &value), HEADER_ABSENT);
    ck_assert_ptr_null(value.p);
    ck_assert(view_eq(header_find(&req, VIEW("x-other")), VIEW("1")));
    ck_assert_ptr_null(header_find(&req, VIEW("x.other")).p);
}
END_TEST

START_TEST(A4_H1_gives_no_value_beside_a_repetition_or_a_look_alike)
{
    static const char *const pairs[][2] = {
        {"X-Original-URL", "X-Original-URL"}, {"X-Original-URL", "x-original-url"}, {"X-Original-URL", "X_Original_URL"},
        {"X.Original.URL", "X-Original-URL"}, {"X-Original-URL", "XOriginalURL"},   {"X-Original_URL", NULL},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct view value = VIEW("before");
        request_reset(&req);
        for (size_t j = 0; j < 2 && pairs[i][j] != NULL; j++)
            add(pairs[i][j], "https://h/");
        ck_assert_msg(header_get(&req, HEADER_X_ORIGINAL_URL, &value) == HEADER_AMBIGUOUS, "%s", pairs[i][0]);
        ck_assert_ptr_null(value.p);
        ck_assert_ptr_null(header_value(&req, HEADER_X_ORIGINAL_URL).p);
    }
}
END_TEST

START_TEST(knows_tokens)
{
    ck_assert(header_is_token(VIEW("X-a_b.c!#$%&'*+^`|~09")));
    static const char *const bad[] = {"",    " a",  "a ", "a b", "a:", "a\t", "a\r", "a(",    "a,b",
                                      "a/b", "a\"", "a[", "a\\", "a{", "a=",  "a@",  "a\x7f", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(!header_is_token(view_of(bad[i])), "%s", bad[i]);
    ck_assert(!header_is_token(VIEW("a\0b")));
}
END_TEST

/* At every offset, since eight bytes are looked at together. */
START_TEST(H11_sees_control_bytes_wherever_they_stand)
{
    char text[27];
    for (int byte = 0; byte < 256; byte++) {
        bool is_clean = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        for (size_t at = 0; at < sizeof(text); at++) {
            memset(text, 'v', sizeof(text));
            text[at] = (char)byte;
            ck_assert_msg(header_value_is_clean(view_at(text, sizeof(text))) == is_clean, "0x%02x at %zu", byte, at);
        }
    }
    memset(text, '\t', sizeof(text));
    ck_assert(header_value_is_clean(view_at(text, sizeof(text))));
    text[26] = '\r';
    ck_assert(!header_value_is_clean(view_at(text, sizeof(text))));
    ck_assert(header_value_is_clean(VIEW_NONE));
}
END_TEST

START_TEST(equates_names_that_differ_in_signs_and_case)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"X-Authentik-Username", "x_authentik.USERNAME", true},
        {"X-Authentik-Username", "XAuthentikUsername", true},
        {"--x", "X--", true},
        {"x", "x-1", false},
        {"x-1", "x", false},
        {"abc", "abd", false},
        {"", "-", true},
        {"", "a", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(header_is_alias(view_of(cases[i].a), view_of(cases[i].b)) == cases[i].same, "%s %s", cases[i].a,
                      cases[i].b);
}
END_TEST

START_TEST(finds_tokens_in_lists)
{
    static const struct {
        const char *list, *token;
        bool has;
    } cases[] = {
        {"Upgrade", "upgrade", true},
        {"keep-alive, Upgrade", "upgrade", true},
        {"text/html;q=0.9,*/*;q=0.8", "text/html", true},
        {"application/xhtml+xml , text/html ; q=1", "text/html", true},
        {"xtext/html, text/htmlx", "text/html", false},
        {",,upgrade,", "upgrade", true},
        {"", "upgrade", false},
        {"upgrade keep-alive", "upgrade", false},
        {"*/*", "text/html", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(header_list_has(view_of(cases[i].list), view_of(cases[i].token)) == cases[i].has, "%s", cases[i].list);
    ck_assert(!header_list_has(VIEW_NONE, VIEW("upgrade")));
}
END_TEST

static const struct {
    const char *name;
    enum header_class class;
} classes[] = {
    {"Accept", HEADER_PASS},
    {"Host", HEADER_PASS},
    {"Content-Type", HEADER_PASS},
    {"Range", HEADER_PASS},
    {"Origin", HEADER_PASS},
    {"X-GitHub-Event", HEADER_PASS},
    {"X-Requested-With", HEADER_PASS},
    {"X-Real-IPs", HEADER_PASS},
    {"Sec-WebSocket-Key", HEADER_PASS},
    {"Kind", HEADER_PASS},
    {"TEst", HEADER_PASS},
    {"-", HEADER_PASS},
    {"Connection", HEADER_HOP},
    {"keep-alive", HEADER_HOP},
    {"Keep_Alive", HEADER_HOP},
    {"Proxy-Connection", HEADER_HOP},
    {"Proxy-Authorization", HEADER_HOP},
    {"Proxy-Authenticate", HEADER_HOP},
    {"TE", HEADER_HOP},
    {"Trailer", HEADER_HOP},
    {"Transfer-Encoding", HEADER_HOP},
    {"Transfer_Encoding", HEADER_HOP},
    {"Upgrade", HEADER_HOP},
    {"HTTP2-Settings", HEADER_HOP},
    {"Cookie", HEADER_SECRET},
    {"COOKIE", HEADER_SECRET},
    {"Authorization", HEADER_SECRET},
    {"X-authentik-username", HEADER_IDENTITY},
    {"X-authentik-anything-new", HEADER_IDENTITY},
    {"X_Authentik.Username", HEADER_IDENTITY},
    {"XAuthentikJwt", HEADER_IDENTITY},
    {"X-Authentik-User", HEADER_IDENTITY},
    {"X-Repogate-Assertion", HEADER_IDENTITY},
    {"x.repogate.upstream", HEADER_IDENTITY},
    {"X-Policy-Class", HEADER_IDENTITY},
    {"X_POLICY_CLASS", HEADER_IDENTITY},
    {"X-GitHub-Repo", HEADER_IDENTITY},
    {"X_GITHUB_REPO", HEADER_IDENTITY},
    {"X-Request-Path", HEADER_IDENTITY},
    {"X-Forwarded-For", HEADER_IDENTITY},
    {"X-Forwarded-Prefix", HEADER_IDENTITY},
    {"X_Forwarded_Host", HEADER_IDENTITY},
    {"Forwarded", HEADER_IDENTITY},
    {"X-Real-IP", HEADER_IDENTITY},
    {"X_Real.IP", HEADER_IDENTITY},
    {"X-Original-URL", HEADER_IDENTITY},
    {"X-Original-Anything", HEADER_IDENTITY},
    {"X-Rewrite-URL", HEADER_IDENTITY},
    {"traceparent", HEADER_IDENTITY},
    {"Trace-State", HEADER_IDENTITY},
    {"X-Envoy-Original-Path", HEADER_CONTROL},
    {"x_envoy_internal", HEADER_CONTROL},
    {"Knative-Serving-Revision", HEADER_CONTROL},
    {"Knative_Serving_Namespace", HEADER_CONTROL},
    {"K-Network-Probe", HEADER_CONTROL},
    {"k_network_hash", HEADER_CONTROL},
    {"K.Proxy.Request", HEADER_CONTROL},
    {"KOriginalHost", HEADER_CONTROL},
    {"K-Passthrough-Lb", HEADER_CONTROL},
    {"K-Kubelet-Probe", HEADER_CONTROL},
    {"K-Something-New", HEADER_CONTROL},
    {"X----------------------------------------------------Authentik-Username", HEADER_IDENTITY},
};

START_TEST(H1_H2_H13_H14_classifies_names_in_every_spelling)
{
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        ck_assert_msg(header_classify(view_of(classes[i].name)) == classes[i].class, "%s", classes[i].name);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("header");
    TCase *tc = tcase_create("header");
    tcase_add_test(tc, knows_every_name_of_its_table_in_any_case);
    tcase_add_test(tc, H1_H2_H3_takes_underscores_dots_and_missing_hyphens_for_look_alikes);
    tcase_add_test(tc, knows_no_other_names);
    tcase_add_test(tc, gives_the_one_value);
    tcase_add_test(tc, A4_H1_gives_no_value_beside_a_repetition_or_a_look_alike);
    tcase_add_test(tc, knows_tokens);
    tcase_add_test(tc, H11_sees_control_bytes_wherever_they_stand);
    tcase_add_test(tc, equates_names_that_differ_in_signs_and_case);
    tcase_add_test(tc, finds_tokens_in_lists);
    tcase_add_test(tc, H1_H2_H13_H14_classifies_names_in_every_spelling);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

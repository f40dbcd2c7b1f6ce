#include "util/uri.h"

#include <check.h>
#include <stdlib.h>

static const struct {
    const char *text, *host, *path, *query; /* query NULL: none */
    uint16_t port;
} good_urls[] = {
    {"https://dev.example.org/github/acme/site", "dev.example.org", "/github/acme/site", NULL, 443},
    {"http://dev.example.org:8080/?x", "dev.example.org", "/", "x", 8080},
    {"https://dev.example.org", "dev.example.org", "/", NULL, 443},
    {"https://dev.example.org?a=b", "dev.example.org", "/", "a=b", 443},
    {"https://dev.example.org/?", "dev.example.org", "/", "", 443},
    {"http://127.0.0.1:65535/a", "127.0.0.1", "/a", NULL, 65535},
    {"http://[::1]:80/a", "[::1]", "/a", NULL, 80},
    {"https://[2001:db8::7]/", "[2001:db8::7]", "/", NULL, 443},
    {"https://my_service/a", "my_service", "/a", NULL, 443},
    {"https://Dev.Example.ORG/a", "Dev.Example.ORG", "/a", NULL, 443},
    {"https://h/a//b/%2F%5c;x=1/!$&'()*+,=:@~-._", "h", "/a//b/%2F%5c;x=1/!$&'()*+,=:@~-._", NULL, 443},
    {"https://h/a|b^c[d]?e{f}|^`\"[]/?@", "h", "/a|b^c[d]", "e{f}|^`\"[]/?@", 443},
};

START_TEST(parses_absolute_urls)
{
    for (size_t i = 0; i < sizeof(good_urls) / sizeof(good_urls[0]); i++) {
        struct uri u;
        const char *text = good_urls[i].text;
        ck_assert_msg(uri_parse(view_of(text), &u) == GW_OK, "%s", text);
        ck_assert_msg(view_eq(u.host, view_of(good_urls[i].host)), "%s", text);
        ck_assert_msg(view_eq(u.path, view_of(good_urls[i].path)), "%s", text);
        ck_assert_msg(view_eq(u.query, view_of(good_urls[i].query)), "%s", text);
        ck_assert_msg((u.query.p == NULL) == (good_urls[i].query == NULL), "%s", text);
        ck_assert_msg(u.port == good_urls[i].port, "%s", text);
    }
}
END_TEST

/* What some reader would take for another host, or nobody for a URL. Groups B and R: what a browser reads differently must not
 * pass. */
static const char *const bad_urls[] = {
    "",
    "/",
    "//h/p",
    "h/p",
    "https:",
    "https:/",
    "https://",
    "https:///p",
    "https:h/p",
    "https:/h/p",
    "HTTPS://h/p",
    "Http://h/p",
    "ftp://h/p",
    "javascript:alert(1)",
    "javascript://h/%0aalert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ws://h/p",
    " https://h/p",
    "https ://h/p",
    "https://h/p ",
    "https://h /p",
    "https://\th/p",
    "https://h\n/p",
    "https://h/\r\nSet-Cookie:x",
    "https://h/\x7f",
    "https://h/\xc3\xa9",
    "https://\xc3\xa9/",
    "https://h/p#f",
    "https://h#f",
    "https://h?q#f",
    "https://h/p#",
    "https://h\\p",
    "https://h/\\evil",
    "https:\\\\h\\p",
    "https://h\\@evil/p",
    "https://u@h/p",
    "https://u:p@h/p",
    "https://@h/p",
    "https://h@/p",
    "https://h%00/p",
    "https://h%2eexample/p",
    "https://h%40evil/",
    "https://.h/",
    "https://h./",
    "https://h../",
    "https://a..b/",
    "https://h:/p",
    "https://h:0/",
    "https://h:65536/",
    "https://h:080/",
    "https://h:+80/",
    "https://h:80:80/",
    "https://h:8o/",
    "https://h:-1/",
    "https://h: 80/",
    "https://h:99999999999/",
    "https://:80/",
    "https://[::1/",
    "https://::1/",
    "https://[]/",
    "https://[::1]x/",
    "https://[::1]:/",
    "https://[fe80::1%25eth0]/",
    "https://[v1.x]/",
    "https://[127.0.0.1]/",
    "https://[::g]/",
    "https://0x7f000001/",
    "https://2130706433/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.0x1/",
    "https://256.0.0.1/",
    "https://a.0x/",
    "https://h,evil/",
    "https://h;evil/",
    "https://h&x/",
    "https://h*/",
    "https://[h]/",
    "https://h/%",
    "https://h/%2",
    "https://h/%2x",
    "https://h/%zz",
    "https://h/a\"b",
    "https://h/a<b",
    "https://h/a>b",
    "https://h/a`b",
    "https://h/a{b",
    "https://h/a}b",
    "https://h/?a<b",
    "https://h/?a>b",
    "https://h/?a\\b",
    "https://h/?a b",
    "https://h/?a#b",
};

START_TEST(R9_R10_R11_refuses_urls_that_readers_take_differently)
{
    for (size_t i = 0; i < sizeof(bad_urls) / sizeof(bad_urls[0]); i++) {
        struct uri u = {.port = 7};
        ck_assert_msg(uri_parse(view_of(bad_urls[i]), &u) == GW_E_INVALID, "%s", bad_urls[i]);
        ck_assert_msg(u.port == 7, "changed by %s", bad_urls[i]);
    }
}
END_TEST

START_TEST(R3_R13_refuses_nul_and_every_byte_outside_printable_ascii)
{
    char target[] = "/a_b?c_d";
    struct uri u;
    for (int byte = 0; byte < 256; byte++) {
        if (byte > 0x20 && byte < 0x7f)
            continue;
        target[2] = (char)byte;
        ck_assert_msg(uri_parse_target(view_at(target, 8), &u) == GW_E_INVALID, "0x%02x in the path", byte);
        target[2] = '_';
        target[6] = (char)byte;
        ck_assert_msg(uri_parse_target(view_at(target, 8), &u) == GW_E_INVALID, "0x%02x in the query", byte);
        target[6] = '_';
    }
}
END_TEST

START_TEST(refuses_one_byte_past_the_cap)
{
    struct uri u;
    char *text = malloc(URI_MAX + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, 'a', URI_MAX + 1);
    text[0] = '/';
    ck_assert_int_eq(uri_parse_target(view_at(text, URI_MAX), &u), GW_OK);
    ck_assert_int_eq(uri_parse_target(view_at(text, URI_MAX + 1), &u), GW_E_LIMIT);
    ck_assert_int_eq(uri_parse(view_at(text, URI_MAX + 1), &u), GW_E_LIMIT);
    free(text);
}
END_TEST

START_TEST(limits_labels_and_host_as_dns_does)
{
    struct uri u;
    char host[255];
    memset(host, 'a', sizeof(host));
    ck_assert_int_eq(uri_parse_authority(view_at(host, 63), 80, &u), GW_OK);
    ck_assert_int_eq(uri_parse_authority(view_at(host, 64), 80, &u), GW_E_INVALID);
    for (size_t i = 63; i < sizeof(host); i += 64)
        host[i] = '.';
    ck_assert_int_eq(uri_parse_authority(view_at(host, 253), 80, &u), GW_OK);
    ck_assert_int_eq(uri_parse_authority(view_at(host, 254), 80, &u), GW_E_INVALID);
}
END_TEST

START_TEST(parses_targets_byte_for_byte)
{
    struct uri u = {.port = 7};
    ck_assert_int_eq(uri_parse_target(VIEW("/a//b/%2e%2e/c?x=/y?z"), &u), GW_OK);
    ck_assert(view_eq(u.path, VIEW("/a//b/%2e%2e/c")));
    ck_assert(view_eq(u.query, VIEW("x=/y?z")));
    ck_assert_int_eq(u.port, 7);
    ck_assert_int_eq(uri_parse_target(VIEW("/"), &u), GW_OK);
    ck_assert_ptr_null(u.query.p);
    ck_assert_int_eq(uri_parse_target(VIEW("/a?q=100%&r=%zz"), &u), GW_OK);
    ck_assert(view_eq(u.query, VIEW("q=100%&r=%zz")));
}
END_TEST

static const char *const bad_targets[] = {
    "",         "*",     "a/b", "?x",      "evil:443", "http://evil/p", "https://dev.example.org/",
    "//evil/p", "//",    "\\",  "/\\evil", "/a\\b",    "/a#b",          "/a?b#c",
    "/a b",     "/a\tb", "/%",  "/%4",     "/%u0041",  "/%zz/?a=1",     " /a",
    "/a ",
};

START_TEST(R2_R3_R4_refuses_targets_that_could_be_hosts)
{
    for (size_t i = 0; i < sizeof(bad_targets) / sizeof(bad_targets[0]); i++) {
        struct uri u = {.port = 7, .path = VIEW("kept")};
        ck_assert_msg(uri_parse_target(view_of(bad_targets[i]), &u) == GW_E_INVALID, "%s", bad_targets[i]);
        ck_assert_msg(view_eq(u.path, VIEW("kept")), "changed by %s", bad_targets[i]);
    }
}
END_TEST

START_TEST(B8_R5_R14_R19_compares_origins_with_case_folded_and_default_ports)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"https://dev.example.org/a", "https://DEV.example.ORG:443/b", true},
        {"http://h:80/", "http://h/", true},
        {"http://h/", "https://h/", false},
        {"http://h:443/", "https://h:443/", false},
        {"https://h:444/", "https://h/", false},
        {"https://h.example/", "https://xh.example/", false},
        {"https://h.example/", "https://h.example.org/", false},
        {"http://[::1]/", "http://[::1]:80/", true},
        {"http://[::1]/", "http://[::2]/", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct uri a, b;
        ck_assert_int_eq(uri_parse(view_of(cases[i].a), &a), GW_OK);
        ck_assert_int_eq(uri_parse(view_of(cases[i].b), &b), GW_OK);
        ck_assert_msg(uri_same_origin(&a, &b) == cases[i].same, "%s %s", cases[i].a, cases[i].b);
        ck_assert_msg(uri_same_origin(&b, &a) == cases[i].same, "%s %s", cases[i].b, cases[i].a);
    }
}
END_TEST

static const struct {
    const char *path;
    bool has_dots, is_canonical;
} paths[] = {
    {"/", false, true},
    {"/a/b/", false, true},
    {"/a.b/..c/.d/e../...", false, true},
    {"/.well-known/x", false, true},
    {"/a/%20%C3%A9", false, true},
    {"/..", true, false},
    {"/.", true, false},
    {"/a/../b", true, false},
    {"/a/./b", true, false},
    {"/a/..", true, false},
    {"/a/%2e%2e/b", true, false},
    {"/a/%2E./b", true, false},
    {"/a/.%2e", true, false},
    {"/a/%2e", true, false},
    {"/a%2f..%2fb", true, false},
    {"/a%2F%2e%2E", true, false},
    {"/a%5c..%5cb", true, false},
    {"/a\\..\\b", true, false},
    {"/a/..;x=1/b", true, false},
    {"/a/..%3b/b", true, false},
    {"/a/.;/b", true, false},
    {"..", true, false},
    {"/%252e%252e/", false, false},
    {"/a//b", false, false},
    {"//a", false, false},
    {"/a;b", false, false},
    {"/%61", false, false},
    {"/a%2fb", false, false},
    {"/a%5Cb", false, false},
    {"/a%00b", false, false},
    {"/a%0Ab", false, false},
    {"/a%7Fb", false, false},
    {"/a%c3%a9", false, false},
    {"/a%3Bb", false, false},
    {"/a%25b", false, false},
    {"", false, false},
    {"a", false, false},
    {"/a b", false, false},
};

START_TEST(B3_B4_B7_B10_sees_dot_segments_and_second_spellings)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        ck_assert_msg(uri_path_has_dot_segment(view_of(paths[i].path)) == paths[i].has_dots, "%s", paths[i].path);
        ck_assert_msg(uri_path_is_canonical(view_of(paths[i].path)) == paths[i].is_canonical, "%s", paths[i].path);
    }
}
END_TEST

START_TEST(decodes_percent_encoding)
{
    char out[16];
    size_t n = 99;
    ck_assert_int_eq(uri_decode(VIEW("a%2Fb%c3%A9+"), out, sizeof(out), &n), GW_OK);
    ck_assert(view_eq(view_at(out, n), VIEW("a/b\xc3\xa9+")));
    ck_assert_int_eq(uri_decode(VIEW("%2541"), out, sizeof(out), &n), GW_OK);
    ck_assert(view_eq(view_at(out, n), VIEW("%41")));
    ck_assert_int_eq(uri_decode(VIEW_NONE, out, sizeof(out), &n), GW_OK);
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(decodes_neither_nul_nor_broken_escapes_nor_past_the_cap)
{
    char out[4];
    size_t n = 99;
    ck_assert_int_eq(uri_decode(VIEW("a%00"), out, sizeof(out), &n), GW_E_INVALID);
    ck_assert_int_eq(uri_decode(VIEW("a\0b"), out, sizeof(out), &n), GW_E_INVALID);
    ck_assert_int_eq(uri_decode(VIEW("%"), out, sizeof(out), &n), GW_E_INVALID);
    ck_assert_int_eq(uri_decode(VIEW("%4"), out, sizeof(out), &n), GW_E_INVALID);
    ck_assert_int_eq(uri_decode(VIEW("%4g"), out, sizeof(out), &n), GW_E_INVALID);
    ck_assert_int_eq(uri_decode(VIEW("abcde"), out, sizeof(out), &n), GW_E_LIMIT);
    ck_assert_int_eq(uri_decode(VIEW("abc%64"), out, sizeof(out), &n), GW_OK);
    ck_assert_uint_eq(n, 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uri");
    TCase *tc = tcase_create("uri");
    tcase_add_test(tc, parses_absolute_urls);
    tcase_add_test(tc, R9_R10_R11_refuses_urls_that_readers_take_differently);
    tcase_add_test(tc, R3_R13_refuses_nul_and_every_byte_outside_printable_ascii);
    tcase_add_test(tc, refuses_one_byte_past_the_cap);
    tcase_add_test(tc, limits_labels_and_host_as_dns_does);
    tcase_add_test(tc, parses_targets_byte_for_byte);
    tcase_add_test(tc, R2_R3_R4_refuses_targets_that_could_be_hosts);
    tcase_add_test(tc, B8_R5_R14_R19_compares_origins_with_case_folded_and_default_ports);
    tcase_add_test(tc, B3_B4_B7_B10_sees_dot_segments_and_second_spellings);
    tcase_add_test(tc, decodes_percent_encoding);
    tcase_add_test(tc, decodes_neither_nul_nor_broken_escapes_nor_past_the_cap);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

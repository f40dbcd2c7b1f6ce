#include "http/cookie.h"

#include <check.h>
#include <stdlib.h>

#define NAME VIEW("__Host-repogate")

static struct request req;

static void receive(const char *first, const char *second)
{
    request_reset(&req);
    ck_assert_int_eq(request_add_header(&req, VIEW("Cookie"), view_of(first)), GW_OK);
    if (second != NULL)
        ck_assert_int_eq(request_add_header(&req, VIEW("COOKIE"), view_of(second)), GW_OK);
}

static const struct {
    const char *first, *second;
    enum cookie_found found;
    const char *value;
} cases[] = {
    {"__Host-repogate=abc", NULL, COOKIE_ONE, "abc"},
    {"a=b; __Host-repogate=abc; c=d", NULL, COOKIE_ONE, "abc"},
    {"a=b;__Host-repogate=abc;c=d", NULL, COOKIE_ONE, "abc"},
    {"  __Host-repogate=abc  ", NULL, COOKIE_ONE, "abc"},
    {"__Host-repogate=\"abc\"", NULL, COOKIE_ONE, "abc"},
    {"__Host-repogate=a=b==", NULL, COOKIE_ONE, "a=b=="},
    {"__Host-repogate=", NULL, COOKIE_ONE, ""},
    {"a=b", "__Host-repogate=abc", COOKIE_ONE, "abc"},
    {"junk; =x; ; ;;__Host-repogate=abc", NULL, COOKIE_ONE, "abc"},
    {"", NULL, COOKIE_ABSENT, NULL},
    {"a=b", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate", NULL, COOKIE_ABSENT, NULL},
    {"__host-repogate=abc", NULL, COOKIE_ABSENT, NULL},
    {"x__Host-repogate=abc", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogatex=abc", NULL, COOKIE_ABSENT, NULL},
    {"a=\"x,__Host-repogate=abc\"", NULL, COOKIE_ABSENT, NULL},
    /* malformed: nobody, never half a value */
    {"__Host-repogate =abc", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=a b", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=a,b", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=a\"b", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=\"ab", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=\"", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=a\\b", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=\xc3\xa9", NULL, COOKIE_ABSENT, NULL},
    {"__Host-repogate=a\x01", NULL, COOKIE_ABSENT, NULL},
    /* twice, whatever the values */
    {"__Host-repogate=abc; __Host-repogate=abc", NULL, COOKIE_REPEATED, NULL},
    {"__Host-repogate=abc; a=b; __Host-repogate=evil", NULL, COOKIE_REPEATED, NULL},
    {"__Host-repogate=abc", "__Host-repogate=abc", COOKIE_REPEATED, NULL},
    {"__Host-repogate=abc; __Host-repogate=", NULL, COOKIE_REPEATED, NULL},
    {"__Host-repogate=abc; __Host-repogate=mal formed", NULL, COOKIE_REPEATED, NULL},
    {"__Host-repogate=abc; __Host-repogate =evil", NULL, COOKIE_REPEATED, NULL},
    {"__Host-repogate=bad value; __Host-repogate=bad, value", NULL, COOKIE_REPEATED, NULL},
    {"a=\"x; __Host-repogate=evil; b=y\"; __Host-repogate=abc", NULL, COOKIE_REPEATED, NULL},
};

START_TEST(E2_F5_finds_one_well_formed_cookie_or_none)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct view value = VIEW("untouched");
        receive(cases[i].first, cases[i].second);
        ck_assert_msg(cookie_get(&req, NAME, &value) == cases[i].found, "%s", cases[i].first);
        const char *expected = cases[i].value == NULL ? "untouched" : cases[i].value;
        ck_assert_msg(view_eq(value, view_of(expected)), "%s gave %.*s", cases[i].first, VIEW_FMT(value));
    }
}
END_TEST

START_TEST(finds_nothing_without_a_cookie_header)
{
    struct view value;
    request_reset(&req);
    ck_assert_int_eq(cookie_get(&req, NAME, &value), COOKIE_ABSENT);
    ck_assert_int_eq(request_add_header(&req, VIEW("Coo_kie"), VIEW("__Host-repogate=abc")), GW_OK);
    ck_assert_int_eq(cookie_get(&req, NAME, &value), COOKIE_ABSENT);
}
END_TEST

START_TEST(M1_M2_walks_well_formed_pairs_and_skips_the_rest)
{
    static const char *const expected[][2] = {{"a", "1"}, {"b", ""}, {"c", "x=y"}, {"d", "q"}};
    struct view header = VIEW("a=1; junk; b=; =v; c=x=y;; bad name=1; e=a b; d=\"q\"; f=\"; "), name, value;
    size_t pos = 0, n = 0;
    while (cookie_next(header, &pos, &name, &value)) {
        ck_assert_uint_lt(n, 4);
        ck_assert(view_eq(name, view_of(expected[n][0])));
        ck_assert(view_eq(value, view_of(expected[n][1])));
        n++;
    }
    ck_assert_uint_eq(n, 4);
}
END_TEST

static bool drop_ours(struct view name, void *arg)
{
    *(size_t *)arg += 1;
    return view_starts(name, NAME) || view_starts(name, VIEW("authentik_proxy_"));
}

START_TEST(L2_M2_takes_our_cookies_out_and_keeps_others_byte_for_byte)
{
    static const struct {
        const char *header, *left;
    } filters[] = {
        {"a=1; __Host-repogate=s; b=\"x y\"", "a=1; b=\"x y\""},
        {"__Host-repogate=s", ""},
        {"__Host-repogate", ""},
        {"__Host-repogate =s; a=1", "a=1"},
        {"__Host-repogate=s; __Host-repogate-enter=t; authentik_proxy_1=u", ""},
        {"a=\"x; __Host-repogate=s; b=y\"", "a=\"x; b=y\""},
        {"a=1;b=2;;c", "a=1; b=2; c"},
        {" ; ;", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        struct buf out = BUF(1024);
        size_t n_asked = 0;
        cookie_filter(&out, view_of(filters[i].header), drop_ours, &n_asked);
        ck_assert(buf_ok(&out));
        ck_assert_msg(view_eq(buf_view(&out), view_of(filters[i].left)), "%s gave %.*s", filters[i].header,
                      VIEW_FMT(buf_view(&out)));
        buf_deinit(&out);
    }
}
END_TEST

START_TEST(F5_formats_set_cookie)
{
    static const struct {
        struct cookie_spec spec;
        const char *text;
    } specs[] = {
        {{.name = {"__Host-repogate", 15}, .value = {"abc", 3}, .max_age_s = -1, .secure = true},
         "__Host-repogate=abc; Path=/; HttpOnly; SameSite=Lax; Secure"},
        {{.name = {"repogate", 8}, .value = {"abc", 3}, .path = {"/_repogate", 10}, .max_age_s = 600},
         "repogate=abc; Path=/_repogate; Max-Age=600; HttpOnly; SameSite=Lax"},
        {{.name = {"a", 1}, .max_age_s = 0, .secure = true}, "a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"},
    };
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        struct buf out = BUF(1024);
        cookie_format(&out, &specs[i].spec);
        ck_assert(buf_ok(&out));
        ck_assert_str_eq(out.p, specs[i].text);
        buf_deinit(&out);
    }
}
END_TEST

START_TEST(fails_the_buffer_rather_than_format_another_cookie)
{
    static const struct cookie_spec specs[] = {
        {.name = {"a b", 3}, .value = {"v", 1}},
        {.name = {"", 0}, .value = {"v", 1}},
        {.name = {"a", 1}, .value = {"v; Domain=evil", 14}},
        {.name = {"a", 1}, .value = {"v\r\nX: y", 7}},
        {.name = {"a", 1}, .value = {"v", 1}, .path = {"/; Domain=evil", 14}},
        {.name = {"a", 1}, .value = {"v", 1}, .path = {"a", 1}},
    };
    for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
        struct buf out = BUF(1024);
        cookie_format(&out, &specs[i]);
        ck_assert_msg(!buf_ok(&out), "case %zu", i);
        buf_deinit(&out);
    }
}
END_TEST

START_TEST(reads_back_what_it_formats)
{
    struct buf out = BUF(1024);
    struct cookie_spec spec = {.name = NAME, .value = VIEW("A-z_0.9~!"), .max_age_s = -1, .secure = true};
    struct view name, value;
    size_t pos = 0;
    cookie_format(&out, &spec);
    ck_assert(cookie_next(buf_view(&out), &pos, &name, &value));
    ck_assert(view_eq(name, spec.name) && view_eq(value, spec.value));
    buf_deinit(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cookie");
    TCase *tc = tcase_create("cookie");
    tcase_add_test(tc, E2_F5_finds_one_well_formed_cookie_or_none);
    tcase_add_test(tc, finds_nothing_without_a_cookie_header);
    tcase_add_test(tc, M1_M2_walks_well_formed_pairs_and_skips_the_rest);
    tcase_add_test(tc, L2_M2_takes_our_cookies_out_and_keeps_others_byte_for_byte);
    tcase_add_test(tc, F5_formats_set_cookie);
    tcase_add_test(tc, fails_the_buffer_rather_than_format_another_cookie);
    tcase_add_test(tc, reads_back_what_it_formats);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int n_failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

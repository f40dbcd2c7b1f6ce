#include "handlers/rd.h"
#include "support.h"

static const struct {
    const char *query, *expected;
} cases[] = {
    {"rd=/github/acme/site/", "/github/acme/site/"},
    {"rd=%2Fgithub%2Facme%2Fsite%2F%3Fa%3D1%26b%3D2", "/github/acme/site/?a=1&b=2"},
    /* the raw tail that NGINX sends: all of the rest belongs to it */
    {"rd=/github/acme/site/?a=1&b=2", "/github/acme/site/?a=1&b=2"},
    {"rd=https://dev.example.org/github/acme/site/?a=1&b=2", "/github/acme/site/?a=1&b=2"},
    {"rd=https://DEV.example.org:443/x/", "/x/"},
    {"rd=https://dev.example.org", "/"},
    {"x=1&rd=%2Fgithub%2Fa%2Fb", "/github/a/b"},
    {"rd=%68ttps%3A%2F%2Fdev.example.org%2Fx", "/x"},
    /* nothing, or not ours: home (THREATS group R) */
    {"", "/"},
    {"rd=", "/"},
    {"rd=https://evil.example/", "/"},
    {"rd=http://dev.example.org/x", "/"},
    {"rd=https://dev.example.org.evil.example/", "/"},
    {"rd=https://dev.example.org:444/", "/"},
    {"rd=https://dev.example.org@evil.example/", "/"},
    {"rd=https://evil.example\\@dev.example.org/", "/"},
    {"rd=//evil.example/", "/"},
    {"rd=%2F%2Fevil.example", "/"},
    {"rd=/\\evil.example", "/"},
    {"rd=%2F%5Cevil.example", "/"},
    {"rd=/%09/evil.example", "/%09/evil.example"}, /* stays encoded, on our own host */
    {"rd=%2F%09%2Fevil.example", "/"},
    {"rd=%2F%0d%0aSet-Cookie:x", "/"},
    {"rd=javascript:alert(1)", "/"},
    {"rd=data:text/html,x", "/"},
    {"rd=evil.example", "/"},
    {"rd=%00/x", "/"},
    {"rd=/x%00", "/x%00"},
    {"rd=/a#b", "/"},
    {"rd=/_repogate/logout", "/"},
    {"rd=/_REPOGATE/logout", "/"},
    {"rd=/outpost.goauthentik.io/sign_out", "/"},
    {"rd=%2Fa&rd=%2Fb", "/"},
};

START_TEST(R1_R2_R5_R14_R19_goes_to_our_own_origin_or_home)
{
    struct arena a = ARENA(1 << 16);
    struct uri public_uri;
    ck_assert_int_eq(uri_parse(VIEW("https://dev.example.org"), &public_uri), GW_OK);
    struct view got = rd_pick(view_of(cases[_i].query), &public_uri, &a);
    ck_assert_msg(view_eq(got, view_of(cases[_i].expected)), "%s gave %.*s", cases[_i].query, VIEW_FMT(got));
    arena_deinit(&a);
}
END_TEST

START_TEST(R15_R16_parameters_of_a_raw_address_are_not_ours)
{
    ck_view_eq(rd_own_query(VIEW("again=1&rd=%2F")), "again=1&rd=%2F");
    ck_view_eq(rd_own_query(VIEW("rd=%2Fx&again=1")), "rd=%2Fx&again=1");
    ck_assert_uint_eq(rd_own_query(VIEW("rd=/x?y=1&again=1")).n, 0);
    ck_assert_uint_eq(rd_own_query(VIEW("rd=https://dev.example.org/x?y=1&again=1")).n, 0);
    ck_assert_uint_eq(rd_own_query(VIEW_NONE).n, 0);
}
END_TEST

START_TEST(too_long_a_target_becomes_home)
{
    static char query[RD_MAX_BYTES + 8] = "rd=/";
    struct arena a = ARENA(1 << 16);
    struct uri public_uri;
    memset(query + 4, 'a', RD_MAX_BYTES);
    ck_assert_int_eq(uri_parse(VIEW("https://dev.example.org"), &public_uri), GW_OK);
    ck_view_eq(rd_pick(view_of(query), &public_uri, &a), "/");
    arena_deinit(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rd");
    TCase *t = tcase_create("rd");
    tcase_add_loop_test(t, R1_R2_R5_R14_R19_goes_to_our_own_origin_or_home, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(t, R15_R16_parameters_of_a_raw_address_are_not_ours);
    tcase_add_test(t, too_long_a_target_becomes_home);
    suite_add_tcase(s, t);
    return support_run(s);
}

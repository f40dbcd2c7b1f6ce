#include "identity/principal.h"

#include "util/cleanup.h"

#include "support.h"

#include <stdio.h>

static enum gw_err make(struct view json, enum principal_via via, bool repogate_requested, struct principal **ret)
{
    struct buf claims = BUF(1024 * 1024);
    enum gw_err err = pack_parse(json, &claims);
    ck_assert_msg(err == GW_OK, "no JSON: %.*s", VIEW_FMT(json));
    err = principal_new(pack_root(claims.p), via, repogate_requested, ret);
    buf_deinit(&claims);
    return err;
}

static void ck_view(struct view got, const char *want)
{
    ck_assert_msg(view_eq(got, view_of(want)), "got %.*s, want %s", VIEW_FMT(got), want);
}

START_TEST(reads_a_whole_person)
{
    struct principal *p;
    ck_assert_int_eq(
        make(
            VIEW(
                "{\"iss\":\"https://a/\",\"sub\":\"u1\",\"preferred_username\":\"dora\",\"name\":\"Dora D\",\"email\":\"d@x\",\"email_verified\":true,"
                "\"sid\":\"s1\",\"auth_time\":1700000000,\"exp\":1700003600,\"amr\":[\"pwd\",\"mfa\"],\"groups\":[\"direct\"],"
                "\"entitlements\":[\"deploy\"],\"nonce\":\"n\",\"jti\":\"j\",\"at_hash\":\"h\",\"aud\":\"c\",\"uid\":\"r\",\"locale\":\"de\","
                "\"repogate\":{\"v\":1,\"groups\":[\"direct\",\"parent\"],\"attributes\":{\"team\":\"x\"},\"service\":true}}"),
            PRINCIPAL_SESSION, true, &p),
        GW_OK);
    ck_view(principal_iss(p), "https://a/");
    ck_view(principal_sub(p), "u1");
    ck_view(principal_username(p), "dora");
    ck_view(principal_name(p), "Dora D");
    ck_view(principal_email(p), "d@x");
    ck_view(principal_sid(p), "s1");
    ck_assert(principal_email_verified(p));
    ck_assert(principal_has_mfa(p));
    ck_assert_msg(!principal_is_service(p), "a token with a sid belongs to a person");
    ck_assert_int_eq(principal_auth_time_s(p), 1700000000);
    ck_assert_int_eq(principal_exp_s(p), 1700003600);
    ck_assert_uint_eq(pack_count(principal_groups(p)), 2);
    ck_assert(pack_list_has(principal_groups(p), VIEW("parent")));
    ck_assert(pack_list_has(principal_entitlements(p), VIEW("deploy")));
    ck_view(pack_string(pack_find(principal_attributes(p), VIEW("team"))), "x");
    ck_view(pack_string(pack_find(principal_claims(p), VIEW("locale"))), "de");
    ck_assert_int_eq(pack_type(pack_find(principal_claims(p), VIEW("nonce"))), PACK_ABSENT);
    ck_assert_int_eq(pack_type(pack_find(principal_claims(p), VIEW("jti"))), PACK_ABSENT);
    ck_assert_int_eq(pack_type(pack_find(principal_claims(p), VIEW("uid"))), PACK_ABSENT);
    ck_assert_msg(pack_type(pack_find(principal_claims(p), VIEW("groups"))) == PACK_ABSENT, "replaced, so not shown beside");
    ck_assert_int_eq(principal_missing(p), PRINCIPAL_COMPLETE);
    ck_assert_int_eq(principal_via(p), PRINCIPAL_SESSION);
    ck_assert_str_eq(principal_via_name(principal_via(p)), "session");
    principal_unref(p);
}
END_TEST

#define WHO "\"iss\":\"i\",\"sub\":\"s\""

static const struct {
    const char *json;
    bool requested;
    enum principal_missing want;
    int n_groups; /* -1 = absent */
} missing_cases[] = {
    {"{" WHO ",\"groups\":[]}", false, PRINCIPAL_COMPLETE, 0},
    {"{" WHO ",\"groups\":[\"a\",\"b\"]}", false, PRINCIPAL_COMPLETE, 2},
    {"{" WHO "}", false, PRINCIPAL_NO_GROUPS, -1},
    {"{" WHO ",\"groups\":null}", false, PRINCIPAL_NO_GROUPS, -1},
    {"{" WHO ",\"groups\":\"a\"}", false, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\",1]}", false, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":{\"a\":true}}", false, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\"]}", true, PRINCIPAL_NO_REPOGATE, 1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":null}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":[]}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":{\"groups\":[\"b\"]}}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":{\"v\":2,\"groups\":[\"b\"]}}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":{\"v\":\"1\",\"groups\":[\"b\"]}}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":{\"v\":1}}", true, PRINCIPAL_NO_GROUPS, -1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":{\"v\":1,\"groups\":\"b\"}}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[\"a\"],\"repogate\":{\"v\":1,\"groups\":[]}}", false, PRINCIPAL_COMPLETE, 0},
    {"{" WHO ",\"repogate\":{\"v\":1,\"groups\":[],\"attributes\":[]}}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"repogate\":{\"v\":1,\"groups\":[],\"service\":\"true\"}}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"repogate\":{\"v\":1,\"groups\":[],\"service\":1}}", true, PRINCIPAL_WRONG_TYPE, -1},
    {"{" WHO ",\"groups\":[],\"entitlements\":\"x\"}", false, PRINCIPAL_WRONG_TYPE, 0},
    {"{" WHO ",\"groups\":[],\"sid\":7}", false, PRINCIPAL_WRONG_TYPE, 0},
    {"{" WHO ",\"groups\":[],\"preferred_username\":[\"root\"]}", false, PRINCIPAL_WRONG_TYPE, 0},
};

START_TEST(E8_missing_is_not_empty)
{
    struct principal *p;
    ck_assert_int_eq(make(view_of(missing_cases[_i].json), PRINCIPAL_BEARER, missing_cases[_i].requested, &p), GW_OK);
    ck_assert_msg(principal_missing(p) == missing_cases[_i].want, "%s: %d", missing_cases[_i].json, principal_missing(p));
    if (missing_cases[_i].n_groups < 0)
        ck_assert_int_eq(pack_type(principal_groups(p)), PACK_ABSENT);
    else
        ck_assert_int_eq(pack_count(principal_groups(p)), missing_cases[_i].n_groups);
    principal_unref(p);
}
END_TEST

static const char *const refused[] = {
    "{}",
    "[]",
    "\"iss\"",
    "{\"iss\":\"i\"}",
    "{\"sub\":\"s\"}",
    "{\"iss\":\"i\",\"sub\":7}",
    "{\"iss\":[\"i\"],\"sub\":\"s\"}",
    "{\"iss\":\"i\",\"sub\":null}",
    "{\"iss\":\"i\",\"sub\":\"\"}",
    "{\"iss\":\"i\",\"sub\":\"a\\nb\"}",
    "{" WHO ",\"preferred_username\":\"a\\r\\nX-Evil: 1\"}",
    "{" WHO ",\"name\":\"a\\u0001\"}",
    "{" WHO ",\"email\":\"a\\u007f\"}",
    "{" WHO ",\"sid\":\"a\\tb\"}",
};

START_TEST(H11_refuses_nobody_and_control_bytes)
{
    struct principal *p = NULL;
    ck_assert_msg(make(view_of(refused[_i]), PRINCIPAL_SESSION, false, &p) == GW_E_INVALID, "%s", refused[_i]);
    ck_assert_ptr_null(p);
}
END_TEST

START_TEST(I5_email_is_verified_only_by_a_json_true)
{
    static const char *const not_true[] = {"false", "\"true\"", "1", "[true]", "null", "\"false\""};
    struct principal *p;
    for (size_t i = 0; i < sizeof(not_true) / sizeof(not_true[0]); i++) {
        char json[200];
        snprintf(json, sizeof(json), "{" WHO ",\"groups\":[],\"email_verified\":%s}", not_true[i]);
        ck_assert_int_eq(make(view_of(json), PRINCIPAL_SESSION, false, &p), GW_OK);
        ck_assert_msg(!principal_email_verified(p), "%s", json);
        principal_unref(p);
    }
}
END_TEST

START_TEST(G2_service_needs_a_flag_and_no_sid)
{
    static const struct {
        const char *json;
        bool want;
    } cases[] = {
        {"{" WHO ",\"repogate\":{\"v\":1,\"groups\":[],\"service\":true}}", true},
        {"{" WHO ",\"repogate\":{\"v\":1,\"groups\":[],\"service\":false}}", false},
        {"{" WHO ",\"repogate\":{\"v\":1,\"groups\":[]}}", false},
        {"{" WHO ",\"groups\":[],\"service\":true}", false},
        {"{" WHO ",\"sid\":\"x\",\"repogate\":{\"v\":1,\"groups\":[],\"service\":true}}", false},
        {"{" WHO ",\"sid\":null,\"repogate\":{\"v\":1,\"groups\":[],\"service\":true}}", false},
        {"{" WHO ",\"sid\":5,\"repogate\":{\"v\":1,\"groups\":[],\"service\":true}}", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct principal *p;
        ck_assert_int_eq(make(view_of(cases[i].json), PRINCIPAL_BEARER, true, &p), GW_OK);
        ck_assert_msg(principal_is_service(p) == cases[i].want, "%s", cases[i].json);
        principal_unref(p);
    }
}
END_TEST

START_TEST(M3_odd_times_are_unknown_times)
{
    static const char *const odd[] = {"-1", "1.5", "1e300", "\"1700000000\"", "null"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        char json[200];
        struct principal *p;
        snprintf(json, sizeof(json), "{" WHO ",\"groups\":[],\"auth_time\":%s}", odd[i]);
        ck_assert_int_eq(make(view_of(json), PRINCIPAL_SESSION, false, &p), GW_OK);
        ck_assert_int_eq(principal_auth_time_s(p), 0);
        principal_unref(p);
    }
}
END_TEST

static void put_list(struct buf *json, size_t n, const char *fmt)
{
    buf_put_byte(json, '[');
    for (size_t i = 0; i < n; i++) {
        buf_puts(json, "\"");
        buf_put(json, view_of(fmt));
        buf_printf(json, "%zu\"%s", i, i + 1 < n ? "," : "");
    }
    buf_put_byte(json, ']');
}

START_TEST(M7_caps_lists_and_attributes)
{
    static const struct {
        size_t n_groups, attribute_bytes;
        enum gw_err want;
    } cases[] = {{10000, 0, GW_OK}, {10001, 0, GW_E_LIMIT}, {1, 16 * 1024 - 4, GW_OK}, {1, 16 * 1024, GW_E_LIMIT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf json = BUF(1024 * 1024);
        struct principal *p = NULL;
        buf_puts(&json, "{" WHO ",\"repogate\":{\"v\":1,\"groups\":");
        put_list(&json, cases[i].n_groups, "g");
        buf_puts(&json, ",\"attributes\":{\"a\":\"");
        for (size_t k = 0; k < cases[i].attribute_bytes; k++)
            buf_put_byte(&json, 'x');
        buf_puts(&json, "\"}}}");
        ck_assert_int_eq(make(buf_view(&json), PRINCIPAL_SESSION, true, &p), cases[i].want);
        principal_unref(p);
        buf_deinit(&json);
    }
}
END_TEST

START_TEST(a_person_with_ten_groups_and_a_list_of_twenty_takes_under_1100_bytes)
{
    struct buf json = BUF(64 * 1024);
    struct principal *p;
    buf_puts(
        &json,
        "{\"iss\":\"https://auth.example.org/application/o/repogate/\","
        "\"sub\":\"9b1f0c1f7a1d6d0fd3a1f2a0c1e4b7a89b1f0c1f7a1d6d0fd3a1f2a0c1e4b7a8\",\"aud\":\"repogate\",\"exp\":1700003600,\"iat\":1700000000,"
        "\"auth_time\":1700000000,\"acr\":\"goauthentik.io/providers/oauth2/default\",\"amr\":[\"pwd\",\"mfa\"],\"nonce\":\"0123456789abcdef\","
        "\"sid\":\"1b1f0c1f7a1d6d0fd3a1f2a0c1e4b7a89b1f0c1f7a1d6d0fd3a1f2a0c1e4b7a8\",\"email\":\"person42@example.org\","
        "\"email_verified\":false,\"name\":\"Person Fortytwo\",\"given_name\":\"Person\",\"preferred_username\":\"person42\","
        "\"nickname\":\"person42\",\"entitlements\":[],\"roles\":[],\"repogate\":{\"v\":1,\"groups\":");
    put_list(&json, 10, "team-");
    buf_puts(&json, ",\"attributes\":{\"private-repo-access\":");
    put_list(&json, 20, "acme/repo-");
    buf_puts(&json, "},\"service\":false}}");
    ck_assert_int_eq(make(buf_view(&json), PRINCIPAL_SESSION, true, &p), GW_OK);
    printf("principal_bytes: %zu (JSON %zu)\n", principal_bytes(p), json.n);
    ck_assert_uint_lt(principal_bytes(p), 1100);
    principal_unref(p);
    buf_deinit(&json);
}
END_TEST

START_TEST(counted_reference_keeps_it_alive)
{
    struct principal *p;
    ck_assert_int_eq(make(VIEW("{" WHO ",\"groups\":[\"a\"]}"), PRINCIPAL_BASIC, false, &p), GW_OK);
    struct principal *other = principal_ref(p);
    principal_unref(p);
    ck_view(principal_sub(other), "s");
    principal_unref(other);
    principal_unref(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("principal");
    TCase *t = tcase_create("principal");
    tcase_add_test(t, reads_a_whole_person);
    tcase_add_loop_test(t, E8_missing_is_not_empty, 0, (int)(sizeof(missing_cases) / sizeof(missing_cases[0])));
    tcase_add_loop_test(t, H11_refuses_nobody_and_control_bytes, 0, (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(t, I5_email_is_verified_only_by_a_json_true);
    tcase_add_test(t, G2_service_needs_a_flag_and_no_sid);
    tcase_add_test(t, M3_odd_times_are_unknown_times);
    tcase_add_test(t, M7_caps_lists_and_attributes);
    tcase_add_test(t, a_person_with_ten_groups_and_a_list_of_twenty_takes_under_1100_bytes);
    tcase_add_test(t, counted_reference_keeps_it_alive);
    suite_add_tcase(s, t);
    return support_run(s);
}

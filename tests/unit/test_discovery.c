#include "identity/discovery.h"

#include "support.h"

#include <stdio.h>
#include <string.h>

#define ISS "https://auth.example.org/application/o/repogate/"
#define O "https://auth.example.org/application/o"

static const bool allowed[SIGALG_COUNT] = {[SIGALG_RS256] = true, [SIGALG_ES256] = true};

static const char whole[] =
    "{\"issuer\":\"" ISS "\",\"authorization_endpoint\":\"" O "/authorize/\",\"token_endpoint\":\"" O "/token/\","
    "\"userinfo_endpoint\":\"" O "/userinfo/\",\"end_session_endpoint\":\"" O "/repogate/end-session/\","
    "\"jwks_uri\":\"" O "/repogate/jwks/\",\"code_challenge_methods_supported\":[\"plain\",\"S256\"],"
    "\"id_token_signing_alg_values_supported\":[\"RS256\"],\"scopes_supported\":[\"openid\"]}";

static enum gw_err parse(const char *json, struct view issuer, struct discovery **ret, char why[1024])
{
    struct buf b = BUF(1023);
    enum gw_err err = discovery_parse(view_of(json), issuer, allowed, ret, &b);
    snprintf(why, 1024, "%s", b.p == NULL ? "" : b.p);
    buf_deinit(&b);
    return err;
}

START_TEST(reads_what_authentik_says)
{
    struct discovery *d;
    char why[1024];
    ck_assert_int_eq(parse(whole, VIEW(ISS), &d, why), GW_OK);
    ck_assert_str_eq(why, "");
    ck_assert_str_eq(d->authorization_endpoint, O "/authorize/");
    ck_assert_str_eq(d->token_endpoint, O "/token/");
    ck_assert_str_eq(d->userinfo_endpoint, O "/userinfo/");
    ck_assert_str_eq(d->jwks_uri, O "/repogate/jwks/");
    ck_assert_str_eq(d->end_session_endpoint, O "/repogate/end-session/");
    discovery_free(d);
}
END_TEST

/* The whole document with one text replaced by another. */
static void replaced(char out[4096], const char *from, const char *to)
{
    const char *at = strstr(whole, from);
    ck_assert_msg(at != NULL, "%s", from);
    snprintf(out, 4096, "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
}

static const struct {
    const char *from, *to;
    const char *why; /* NULL = accepted */
} cases[] = {
    {"\"end_session_endpoint\":\"" O "/repogate/end-session/\",", "", NULL},
    {"\"end_session_endpoint\":\"" O "/repogate/end-session/\",", "\"end_session_endpoint\":null,", NULL},
    {"\"code_challenge_methods_supported\":[\"plain\",\"S256\"],", "", NULL},
    {"\"id_token_signing_alg_values_supported\":[\"RS256\"],", "", NULL},
    {"[\"RS256\"]", "[\"HS256\",\"ES256\"]", NULL},
    {O "/authorize/", O "/authorize/?tenant=a", NULL},
    {O "/token/", "https://other.example.org/token", NULL},
    {"\"issuer\":\"" ISS "\"", "\"issuer\":\"https://auth.example.org/application/o/repogate\"", "trailing slash"},
    {"\"issuer\":\"" ISS "\"", "\"issuer\":\"http://auth.example.org/application/o/repogate/\"", "issuer mismatch"},
    {"\"issuer\":\"" ISS "\"", "\"issuer\":\"https://evil-auth.example.org/application/o/repogate/\"", "issuer mismatch"},
    {"\"issuer\":\"" ISS "\"", "\"issuer\":\"https://auth.example.org/\"", "issuer mismatch"},
    {"\"issuer\":\"" ISS "\"", "\"issuer\":[\"" ISS "\"]", "no issuer"},
    {"\"issuer\":\"" ISS "\",", "", "no issuer"},
    {"\"issuer\":\"" ISS "\"", "\"issuer\":\"" ISS "\",\"issuer\":\"" ISS "\"", "no JSON object"},
    {"\"token_endpoint\":\"" O "/token/\",", "", "token_endpoint"},
    {"\"userinfo_endpoint\":\"" O "/userinfo/\",", "", "userinfo_endpoint"},
    {"\"jwks_uri\":\"" O "/repogate/jwks/\",", "", "jwks_uri"},
    {"\"" O "/authorize/\"", "7", "authorization_endpoint"},
    {"\"" O "/authorize/\"", "\"\"", "authorization_endpoint"},
    {"\"" O "/authorize/\"", "null", "authorization_endpoint"},
    {O "/authorize/", "http://auth.example.org/application/o/authorize/", "authorization_endpoint"},
    {O "/token/", "http://auth.example.org/token", "token_endpoint"},
    {O "/token/", "/application/o/token/", "token_endpoint"},
    {O "/token/", "ftp://auth.example.org/token", "token_endpoint"},
    {O "/token/", "javascript:alert(1)", "token_endpoint"},
    {O "/token/", "https://user:pass@auth.example.org/token", "token_endpoint"},
    {O "/token/", "https://auth.example.org/token#x", "token_endpoint"},
    {O "/token/", "https://auth.example.org/to ken", "token_endpoint"},
    {O "/token/", "https://auth.example.org\\\\@evil/", "token_endpoint"},
    {O "/token/", "https://auth.example.org/\\r\\nX: 1", "token_endpoint"},
    {O "/repogate/jwks/", "file:///etc/passwd", "jwks_uri"},
    {O "/repogate/end-session/", "http://auth.example.org/end", "end_session_endpoint"},
    {"[\"plain\",\"S256\"]", "[\"plain\"]", "S256"},
    {"[\"plain\",\"S256\"]", "\"S256\"", "S256"},
    {"[\"plain\",\"S256\"]", "[]", "S256"},
    {"[\"RS256\"]", "[\"HS256\"]", "signing key"},
    {"[\"RS256\"]", "[\"none\"]", "signing key"},
    {"[\"RS256\"]", "[]", "signing key"},
    {"[\"RS256\"]", "\"RS256\"", "signing key"},
};

START_TEST(judges_metadata)
{
    struct discovery *d = NULL;
    char json[4096], why[1024];
    replaced(json, cases[_i].from, cases[_i].to);
    enum gw_err err = parse(json, VIEW(ISS), &d, why);
    if (cases[_i].why == NULL) {
        ck_assert_msg(err == GW_OK, "%s: %s", cases[_i].to, why);
        discovery_free(d);
    } else {
        ck_assert_msg(err == GW_E_UPSTREAM && d == NULL, "%s", cases[_i].to);
        ck_assert_msg(strstr(why, cases[_i].why) != NULL, "%s: %s", cases[_i].to, why);
    }
}
END_TEST

START_TEST(a_mismatch_names_both_issuers)
{
    struct discovery *d;
    char why[1024];
    ck_assert_int_eq(parse(whole, VIEW("https://auth.example.org/application/o/repogate"), &d, why), GW_E_UPSTREAM);
    ck_assert_msg(strstr(why, "\"https://auth.example.org/application/o/repogate\"") != NULL, "%s", why);
    ck_assert_msg(strstr(why, "\"" ISS "\"") != NULL, "%s", why);
    ck_assert_msg(strstr(why, "trailing slash") != NULL, "%s", why);
}
END_TEST

START_TEST(http_endpoints_only_under_an_http_issuer)
{
    struct discovery *d;
    char why[1024];
    ck_assert_int_eq(
        parse(
            "{\"issuer\":\"http://127.0.0.1:9/\",\"authorization_endpoint\":\"http://127.0.0.1:9/a\",\"token_endpoint\":\"http://127.0.0.1:9/t\","
            "\"userinfo_endpoint\":\"http://127.0.0.1:9/u\",\"jwks_uri\":\"http://127.0.0.1:9/j\"}",
            VIEW("http://127.0.0.1:9/"), &d, why),
        GW_OK);
    ck_assert_ptr_null(d->end_session_endpoint);
    discovery_free(d);
}
END_TEST

START_TEST(refuses_other_documents)
{
    static const char *const bad[] = {"", "null", "[]", "\"x\"", "<!doctype html><title>Sign in</title>", "{", "{}x", "{}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct discovery *d = NULL;
        char why[1024];
        ck_assert_msg(parse(bad[i], VIEW(ISS), &d, why) == GW_E_UPSTREAM, "%s", bad[i]);
        ck_assert_ptr_null(d);
        ck_assert_int_gt((int)strlen(why), 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("discovery");
    TCase *t = tcase_create("discovery");
    tcase_add_test(t, reads_what_authentik_says);
    tcase_add_loop_test(t, judges_metadata, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(t, a_mismatch_names_both_issuers);
    tcase_add_test(t, http_endpoints_only_under_an_http_issuer);
    tcase_add_test(t, refuses_other_documents);
    suite_add_tcase(s, t);
    return support_run(s);
}

/* The provider against an exchange of our own: each request is recorded and answered by the test, in the order the test likes. */
#include "identity/verifier.h"

#include "exchangekit.h"

/* --- the provider on the other side --- */

static struct token_key key_a, key_b;
static struct loop *loop;
static struct provider *provider;

static void make_provider(const char *internal_url, const char *algorithm)
{
    static const char *const scopes[] = {"openid", "profile", "repogate"};
    const struct provider_spec spec = {
        .issuer = ISS,
        .internal_url = internal_url,
        .client_id = "repogate",
        .client_secret = SECRET,
        .scopes = scopes,
        .n_scopes = 3,
        .algorithms = &algorithm,
        .n_algorithms = 1,
        .redirect_uri = "https://dev.example.org/_repogate/callback",
    };
    ck_assert_int_eq(provider_new(&spec, loop, &fake, &provider), GW_OK);
}

static void setup(void)
{
    log_set_level(LOG_ERROR);
    now_is(0);
    fake = (struct fetcher){.n = 0};
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    make_provider("", "ES256");
}

static void setup_ready(void)
{
    setup();
    provider_start(provider);
    answer(METADATA_URL, 200, metadata);
    answer_keys(&key_a);
    ck_assert(provider_is_ready(provider));
}

static void teardown(void)
{
    provider_free(provider);
    fetcher_free(&fake);
    loop_free(loop);
    epoch_fix_ms(-1);
}

/* --- becoming ready --- */

START_TEST(reads_metadata_then_keys)
{
    ck_assert(!provider_is_ready(provider));
    ck_assert_str_ne(provider_trouble(provider), "");
    provider_start(provider);
    provider_start(provider);
    ck_assert_uint_eq(fake.n, 1);
    ck_assert_str_eq(last()->method, "GET");
    ck_assert_str_eq(last()->host, "");
    answer(METADATA_URL, 200, metadata);
    ck_assert(!provider_is_ready(provider));
    answer_keys(&key_a);
    ck_assert(provider_is_ready(provider));
    ck_assert_str_eq(provider_trouble(provider), "");
}
END_TEST

START_TEST(back_channel_goes_inside_with_the_issuers_host)
{
    provider_free(provider);
    make_provider("http://authentik.svc:9000/", "ES256");
    provider_start(provider);
    ck_assert_str_eq(last()->host, "auth.example.org");
    ck_assert_str_eq(last()->proto, "https");
    answer("http://authentik.svc:9000/application/o/repogate/.well-known/openid-configuration", 200, metadata);
    ck_assert_str_eq(last()->host, "auth.example.org");
    ck_assert_str_eq(last()->url, "http://authentik.svc:9000/application/o/repogate/jwks/");
}
END_TEST

static const struct {
    int status;
    const char *body, *why;
} metadata_cases[] = {
    {404, "{}", "404"},
    {302, "", "302"},
    {500, "oops", "500"},
    {200, "<html>", "no JSON object"},
    {200, "", "no JSON object"},
    {200, "{\"issuer\":\"" BASE_URL "/repogate\"}", "trailing slash"},
    {200, "{\"issuer\":\"https://authentik.svc/application/o/repogate/\"}", "https://authentik.svc/application/o/repogate/"},
};

START_TEST(says_why_it_is_not_ready)
{
    struct heard h = {0};
    provider_start(provider);
    provider_when_ready(provider, hear, &h);
    answer(METADATA_URL, metadata_cases[_i].status, metadata_cases[_i].body);
    ck_assert(!provider_is_ready(provider));
    ck_assert_msg(strstr(provider_trouble(provider), metadata_cases[_i].why) != NULL, "%s", provider_trouble(provider));
    ck_assert_int_eq(h.n, 1);
    ck_assert_int_eq(h.err, GW_E_UPSTREAM);
}
END_TEST

START_TEST(an_empty_set_of_keys_is_not_ready)
{
    provider_start(provider);
    answer(METADATA_URL, 200, metadata);
    answer(JWKS_URL, 200, "{}");
    ck_assert(!provider_is_ready(provider));
    ck_assert_msg(strstr(provider_trouble(provider), "signing key") != NULL, "%s", provider_trouble(provider));
}
END_TEST

START_TEST(hs256_needs_no_keys_but_a_long_secret)
{
    provider_free(provider);
    make_provider("", "HS256");
    provider_start(provider);
    answer(METADATA_URL, 200, metadata);
    answer(JWKS_URL, 200, "{}");
    ck_assert(provider_is_ready(provider));
}
END_TEST

START_TEST(garbage_keys_are_not_ready)
{
    static const char *const bad[] = {"[]", "{\"keys\":[1]}", "<html>", "{\"keys\":{}}", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        now_is((int64_t)i * 60000);
        provider_start(provider);
        if (i == 0)
            answer(METADATA_URL, 200, metadata);
        answer(JWKS_URL, 200, bad[i]);
        ck_assert_msg(!provider_is_ready(provider), "%s", bad[i]);
        ck_assert_msg(strstr(provider_trouble(provider), "JWK set") != NULL, "%s", provider_trouble(provider));
    }
}
END_TEST

START_TEST(waiting_triggers_attempts_at_a_bounded_rate)
{
    struct heard h = {0};
    provider_start(provider);
    answer_error(GW_E_TIMEOUT);
    ck_assert_msg(strstr(provider_trouble(provider), "connection refused") != NULL, "%s", provider_trouble(provider));
    for (int i = 0; i < 100; i++) {
        now_is(i * 9);
        provider_when_ready(provider, hear, &h);
    }
    ck_assert_msg(h.n == 100 && h.err == GW_E_TIMEOUT, "told at once");
    ck_assert_uint_eq(fake.n, 1);
    now_is(PROVIDER_ATTEMPT_MIN_MS);
    for (int i = 0; i < 100; i++)
        provider_when_ready(provider, hear, &h);
    ck_assert_int_eq(h.n, 100);
    ck_assert_uint_eq(fake.n, 2);
    answer(METADATA_URL, 200, metadata);
    answer_keys(&key_a);
    ck_assert_int_eq(h.n, 200);
    ck_assert_int_eq(h.err, GW_OK);
    provider_when_ready(provider, hear, &h);
    ck_assert_int_eq(h.n, 201);
    ck_assert_uint_eq(n_waiting(), 0);
}
END_TEST

START_TEST(waiters_are_capped)
{
    struct heard h = {0}, over = {0};
    provider_start(provider);
    for (int i = 0; i < PROVIDER_WAITERS_MAX; i++)
        provider_when_ready(provider, hear, &h);
    provider_when_ready(provider, hear, &over);
    ck_assert_int_eq(over.n, 1);
    ck_assert_int_eq(over.err, GW_E_LIMIT);
    answer_error(GW_E_UPSTREAM);
    ck_assert_int_eq(h.n, PROVIDER_WAITERS_MAX);
    ck_assert_int_eq(h.err, GW_E_UPSTREAM);
}
END_TEST

START_TEST(an_exchange_that_cannot_start_is_a_failed_attempt)
{
    struct heard h = {0};
    fake.refuse_with = GW_E_LIMIT;
    provider_when_ready(provider, hear, &h);
    ck_assert_int_eq(h.n, 1);
    ck_assert_int_eq(h.err, GW_E_LIMIT);
    fake.refuse_with = GW_OK;
    now_is(PROVIDER_ATTEMPT_MIN_MS);
    provider_when_ready(provider, hear, &h);
    answer(METADATA_URL, 200, metadata);
    answer_keys(&key_a);
    ck_assert_int_eq(h.n, 2);
    ck_assert_int_eq(h.err, GW_OK);
}
END_TEST

START_TEST(freeing_tells_those_who_wait)
{
    struct heard h = {0}, again = {0};
    provider_when_ready(provider, hear, &h);
    provider_when_ready(provider, hear, &again);
    provider_free(provider);
    provider = NULL;
    ck_assert_int_eq(h.n, 1);
    ck_assert_int_eq(h.err, GW_E_IO);
    ck_assert_int_eq(again.n, 1);
    /* teardown: the fetcher ends its exchange afterwards, and nobody is called twice */
}
END_TEST

START_TEST(a_bad_spec_stops_the_start)
{
    static const char *const algorithms[] = {"ES256"};
    static const char *const wrong[] = {"PS256"};
    static const char *const hs[] = {"HS256"};
    const struct provider_spec good = {.issuer = ISS,
                                       .internal_url = "",
                                       .client_id = "c",
                                       .client_secret = "short",
                                       .algorithms = algorithms,
                                       .n_algorithms = 1,
                                       .redirect_uri = "https://x/"};
    struct provider_spec cases[] = {good, good, good, good, good, good, good};
    cases[0].issuer = "auth.example.org";
    cases[1].issuer = "https://auth.example.org/?x";
    cases[2].internal_url = "not a URL";
    cases[3].algorithms = wrong;
    cases[4].n_algorithms = 0;
    cases[5].algorithms = hs;
    cases[6].client_id = "";
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct provider *p = NULL;
        ck_assert_msg(provider_new(&cases[i], loop, &fake, &p) == GW_E_INVALID, "%zu", i);
        ck_assert_ptr_null(p);
    }
    struct provider *p;
    ck_assert_int_eq(provider_new(&good, loop, &fake, &p), GW_OK);
    provider_free(p);
    provider_free(NULL);
}
END_TEST

/* --- URLs for the browser --- */

START_TEST(G9_T7_authorize_url_has_everything)
{
    struct buf out = BUF(4096);
    struct provider_authorize a = {.state = VIEW("st&1"), .nonce = VIEW("no 1"), .code_challenge = VIEW("ch-1")};
    ck_assert_int_eq(provider_authorize_url(provider, &a, &out), GW_OK);
    ck_assert_str_eq(
        out.p, BASE_URL
        "/authorize/?response_type=code&client_id=repogate&redirect_uri=https%3A%2F%2Fdev.example.org%2F_repogate%2Fcallback"
        "&scope=openid%20profile%20repogate&state=st%261&nonce=no%201&code_challenge=ch-1&code_challenge_method=S256");
    size_t n = out.n;
    a.is_prompted = true;
    a.max_age_s = 900;
    buf_clear(&out);
    ck_assert_int_eq(provider_authorize_url(provider, &a, &out), GW_OK);
    ck_assert_str_eq(out.p + n, "&prompt=login&max_age=900");
    ck_assert_int_eq(provider_authorize_url(provider, &(struct provider_authorize){.state = VIEW("s"), .nonce = VIEW("n")}, &out),
                     GW_E_INVALID);
    buf_deinit(&out);
}
END_TEST

START_TEST(end_session_url_leaves_out_what_is_empty)
{
    struct buf out = BUF(4096);
    ck_assert_int_eq(provider_end_session_url(provider, VIEW("a.b.c"), VIEW("https://dev.example.org/"), VIEW("s"), &out), GW_OK);
    ck_assert_str_eq(
        out.p,
        BASE_URL "/repogate/end-session/?id_token_hint=a.b.c&post_logout_redirect_uri=https%3A%2F%2Fdev.example.org%2F&state=s");
    buf_clear(&out);
    ck_assert_int_eq(provider_end_session_url(provider, VIEW_NONE, VIEW_NONE, VIEW_NONE, &out), GW_OK);
    ck_assert_str_eq(out.p, BASE_URL "/repogate/end-session/");
    buf_deinit(&out);
}
END_TEST

START_TEST(no_urls_before_it_is_ready)
{
    struct buf out = BUF(4096);
    const struct provider_authorize a = {.state = VIEW("s"), .nonce = VIEW("n"), .code_challenge = VIEW("c")};
    ck_assert_int_eq(provider_authorize_url(provider, &a, &out), GW_E_UPSTREAM);
    ck_assert_int_eq(provider_end_session_url(provider, VIEW_NONE, VIEW_NONE, VIEW_NONE, &out), GW_E_UPSTREAM);
    ck_assert_uint_eq(out.n, 0);
    buf_deinit(&out);
}
END_TEST

/* --- logins --- */

#define CLAIMS "\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999990,\"exp\":1700003600"
#define ID_CLAIMS "{" CLAIMS ",\"nonce\":\"n-1\",\"sid\":\"s-1\",\"auth_time\":1699999000,\"amr\":[\"pwd\"],\"name\":\"Old\"}"
#define ACCESS_CLAIMS "{" CLAIMS ",\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":\"openid\"}"
#define USERINFO \
    "{\"sub\":\"u1\",\"preferred_username\":\"dora\",\"name\":\"Dora\",\"groups\":[\"a\"],\"repogate\":{\"v\":1,\"groups\":[\"a\",\"b\"]}}"

struct login_heard {
    int n;
    enum gw_err err;
    char detail[1024], claims[4096], refresh[64];
    int64_t access_expires_s;
    struct principal *who;
};

static void hear_login(void *arg, enum gw_err err, const char *detail, const struct provider_login *login)
{
    struct login_heard *h = arg;
    h->n++;
    h->err = err;
    ck_assert_msg((err == GW_OK) == (login != NULL), "a login only with GW_OK");
    ck_assert_msg((err == GW_OK) == (*detail == '\0'), "a detail with each failure");
    ck_assert_msg(strstr(detail, SECRET) == NULL && strstr(detail, "verifier-1") == NULL, "no secrets: %s", detail);
    snprintf(h->detail, sizeof(h->detail), "%s", detail);
    if (login == NULL)
        return;
    copy(h->claims, sizeof(h->claims), login->claims_json);
    copy(h->refresh, sizeof(h->refresh), login->refresh_token);
    h->access_expires_s = login->access_expires_s;
    h->who = principal_ref(login->who);
}

static void begin(struct login_heard *h)
{
    *h = (struct login_heard){0};
    ck_assert_int_eq(provider_redeem(provider, VIEW("code/1"), VIEW("verifier-1"), VIEW("n-1"), hear_login, h), GW_OK);
}

static void put_answer(struct buf *out, const char *id, const struct token_key *id_key, const char *access,
                       const struct token_key *access_key)
{
    buf_puts(out, "{\"token_type\":\"bearer\",\"expires_in\":300,\"refresh_token\":\"re-1\",\"id_token\":\"");
    token_put_key(out, id, id_key);
    buf_puts(out, "\",\"access_token\":\"");
    if (access_key == NULL)
        buf_put(out, view_of(access));
    else
        token_put_key(out, access, access_key);
    buf_puts(out, "\"}");
}

static void answer_tokens(const char *id, const struct token_key *id_key, const char *access, const struct token_key *access_key)
{
    struct buf json = BUF(16 * 1024);
    put_answer(&json, id, id_key, access, access_key);
    answer(TOKEN_URL, 200, json.p);
    buf_deinit(&json);
}

START_TEST(a_code_becomes_a_person)
{
    struct login_heard h;
    begin(&h);
    ck_assert_str_eq(last()->method, "POST");
    ck_assert_str_eq(last()->authorization, "");
    ck_assert_str_eq(
        last()->body,
        "grant_type=authorization_code&code=code%2F1&redirect_uri=https%3A%2F%2Fdev.example.org%2F_repogate%2Fcallback"
        "&code_verifier=verifier-1&client_id=repogate&client_secret=" SECRET);
    answer_tokens(ID_CLAIMS, &key_a, ACCESS_CLAIMS, &key_a);
    ck_assert_int_eq(h.n, 0);
    ck_assert_str_eq(last()->method, "GET");
    ck_assert(strncmp(last()->authorization, "Bearer ey", 9) == 0);
    answer(USERINFO_URL, 200, USERINFO);
    ck_assert_int_eq(h.n, 1);
    ck_assert_msg(h.err == GW_OK, "%s", h.detail);
    ck_assert(view_eq(principal_username(h.who), VIEW("dora")));
    ck_assert(view_eq(principal_name(h.who), VIEW("Dora")));
    ck_assert(view_eq(principal_sid(h.who), VIEW("s-1")));
    ck_assert_uint_eq(pack_count(principal_groups(h.who)), 2);
    ck_assert_int_eq(principal_missing(h.who), PRINCIPAL_COMPLETE);
    ck_assert_int_eq(principal_via(h.who), PRINCIPAL_SESSION);
    ck_assert_int_eq(h.access_expires_s, NOW + 300);
    ck_assert_str_eq(h.refresh, "re-1");
    ck_assert_msg(strstr(h.claims, "\"nonce\":\"n-1\"") != NULL, "%s", h.claims);
    principal_unref(h.who);
}
END_TEST

START_TEST(userinfo_replaces_nothing_about_the_login)
{
    struct login_heard h;
    begin(&h);
    answer_tokens(ID_CLAIMS, &key_a, "opaque-token", NULL);
    answer(
        USERINFO_URL, 200,
        "{\"sub\":\"u1\",\"iss\":\"https://evil/\",\"aud\":\"evil\",\"exp\":1,\"iat\":1,\"auth_time\":1699999999,\"amr\":[\"mfa\"],\"sid\":\"evil\","
        "\"nonce\":\"evil\",\"acr\":\"evil\",\"azp\":\"evil\",\"groups\":[]}");
    ck_assert_msg(h.err == GW_OK, "%s", h.detail);
    ck_assert_msg(strstr(h.claims, "evil") == NULL, "%s", h.claims);
    ck_assert(!principal_has_mfa(h.who));
    ck_assert_int_eq(principal_auth_time_s(h.who), 1699999000);
    ck_assert_int_eq(principal_missing(h.who), PRINCIPAL_NO_REPOGATE);
    principal_unref(h.who);
}
END_TEST

static const struct {
    int status;
    const char *body;
    enum gw_err want;
    const char *why;
} token_cases[] = {
    {400, "{\"error\":\"invalid_grant\",\"error_description\":\"The code\\nis old\"}", GW_E_INVALID, "invalid_grant"},
    {400, "{\"error\":\"invalid_client\"}", GW_E_UPSTREAM, "invalid_client"},
    {401, "{}", GW_E_UPSTREAM, "401"},
    {400, "", GW_E_UPSTREAM, "400"},
    {400, "{\"error\":7}", GW_E_UPSTREAM, "400"},
    {500, "{\"error\":\"invalid_grant\"}", GW_E_UPSTREAM, "500"},
    {302, "", GW_E_UPSTREAM, "302"},
    {200, "", GW_E_UPSTREAM, "JSON"},
    {200, "<!doctype html><form>Sign in</form>", GW_E_UPSTREAM, "JSON"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b", GW_E_UPSTREAM, "JSON"},
    {200, "[]", GW_E_UPSTREAM, "JSON"},
    {200, "{}", GW_E_UPSTREAM, "token_type"},
    {200, "{\"token_type\":\"mac\",\"id_token\":\"a.b.c\",\"access_token\":\"x\"}", GW_E_UPSTREAM, "token_type"},
    {200, "{\"token_type\":[\"Bearer\"],\"id_token\":\"a.b.c\",\"access_token\":\"x\"}", GW_E_UPSTREAM, "token_type"},
    {200, "{\"token_type\":\"Bearer\",\"access_token\":\"x\"}", GW_E_UPSTREAM, "id_token"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\"}", GW_E_UPSTREAM, "access_token"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":7,\"access_token\":\"x\"}", GW_E_UPSTREAM, "id_token"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"access_token\":\"x\\r\\nX: 1\"}", GW_E_UPSTREAM, "access_token"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"access_token\":\"x y\"}", GW_E_UPSTREAM, "access_token"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"access_token\":\"x\",\"refresh_token\":7}", GW_E_UPSTREAM,
     "refresh_token"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"access_token\":\"x\",\"expires_in\":\"300\"}", GW_E_UPSTREAM,
     "expires_in"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"access_token\":\"x\",\"expires_in\":-1}", GW_E_UPSTREAM,
     "expires_in"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"access_token\":\"x\",\"expires_in\":1e300}", GW_E_UPSTREAM,
     "expires_in"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"id_token\":\"a.b.c\",\"access_token\":\"x\"}", GW_E_UPSTREAM,
     "JSON"},
    {200, "{\"token_type\":\"Bearer\",\"id_token\":\"a.b.c\",\"access_token\":\"x\"}", GW_E_INVALID, "ID token"},
};

START_TEST(refuses_bad_token_answers)
{
    struct login_heard h;
    begin(&h);
    answer(TOKEN_URL, token_cases[_i].status, token_cases[_i].body);
    ck_assert_msg(h.n == 1 && h.err == token_cases[_i].want, "%s: %s %s", token_cases[_i].body, gw_err_name(h.err), h.detail);
    ck_assert_msg(strstr(h.detail, token_cases[_i].why) != NULL, "%s", h.detail);
    ck_assert_msg(strchr(h.detail, '\n') == NULL, "one line");
    ck_assert_uint_eq(n_waiting(), 0);
}
END_TEST

static const struct {
    const char *id, *access;
    enum gw_err want;
    const char *why;
} pair_cases[] = {
    {"{" CLAIMS ",\"nonce\":\"n-2\"}", ACCESS_CLAIMS, GW_E_INVALID, "ID token: nonce"},
    {"{" CLAIMS "}", ACCESS_CLAIMS, GW_E_INVALID, "ID token: nonce"},
    {ACCESS_CLAIMS, ACCESS_CLAIMS, GW_E_INVALID, "not an ID token"},
    {"{\"iss\":\"https://evil/\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999990,\"exp\":1700003600,\"nonce\":\"n-1\"}",
     ACCESS_CLAIMS, GW_E_INVALID, "iss"},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"other\",\"iat\":1699999990,\"exp\":1700003600,\"nonce\":\"n-1\"}",
     ACCESS_CLAIMS, GW_E_INVALID, "aud"},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999000,\"exp\":1699999900,\"nonce\":\"n-1\"}",
     ACCESS_CLAIMS, GW_E_EXPIRED, "expired"},
    {ID_CLAIMS, ID_CLAIMS, GW_E_INVALID, "not an access token"},
    {ID_CLAIMS,
     "{\"iss\":\"" ISS
     "\",\"sub\":\"u2\",\"aud\":\"repogate\",\"exp\":1700003600,\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":\"\"}",
     GW_E_INVALID, "another sub"},
    {ID_CLAIMS, "{" CLAIMS ",\"azp\":\"other\",\"uid\":\"r\",\"scope\":\"openid\"}", GW_E_INVALID, "azp"},
};

START_TEST(G14_T9_T10_refuses_tokens_that_do_not_belong_here)
{
    struct login_heard h;
    begin(&h);
    answer_tokens(pair_cases[_i].id, &key_a, pair_cases[_i].access, &key_a);
    ck_assert_msg(h.n == 1 && h.err == pair_cases[_i].want, "%d: %s %s", _i, gw_err_name(h.err), h.detail);
    ck_assert_msg(strstr(h.detail, pair_cases[_i].why) != NULL, "%s", h.detail);
}
END_TEST

static const struct {
    int status;
    const char *type, *body;
    enum gw_err want;
    const char *why;
} userinfo_cases[] = {
    {200, "application/json; charset=utf-8", USERINFO, GW_OK, ""},
    {200, "application/json", "{\"sub\":\"u2\",\"groups\":[]}", GW_E_INVALID, "another sub"},
    {200, "application/json", "{\"sub\":\"U1\",\"groups\":[]}", GW_E_INVALID, "another sub"},
    {200, "application/json", "{\"groups\":[]}", GW_E_INVALID, "another sub"},
    {200, "application/json", "{\"sub\":[\"u1\"]}", GW_E_INVALID, "another sub"},
    {200, "application/json", "{\"sub\":\"u1\",\"sub\":\"u2\"}", GW_E_UPSTREAM, "JSON"},
    {200, "application/json", "{\"sub\":\"u1\"", GW_E_UPSTREAM, "JSON"},
    {200, "application/json", "[]", GW_E_UPSTREAM, "JSON"},
    {200, "text/html", USERINFO, GW_E_UPSTREAM, "JSON"},
    {200, "application/jwt", "e30.e30.e30", GW_E_UPSTREAM, "JSON"},
    {200, "", USERINFO, GW_E_UPSTREAM, "JSON"},
    {401, "application/json", "{}", GW_E_UPSTREAM, "401"},
    {500, "text/html", "<html>", GW_E_UPSTREAM, "500"},
    {302, "", "", GW_E_UPSTREAM, "302"},
    {200, "application/json", "{\"sub\":\"u1\",\"name\":\"a\\r\\nb\"}", GW_E_INVALID, "unfit"},
};

START_TEST(judges_userinfo)
{
    struct login_heard h;
    begin(&h);
    answer_tokens(ID_CLAIMS, &key_a, ACCESS_CLAIMS, &key_a);
    answer_typed(USERINFO_URL, userinfo_cases[_i].status, userinfo_cases[_i].type, view_of(userinfo_cases[_i].body));
    ck_assert_msg(h.n == 1 && h.err == userinfo_cases[_i].want, "%s: %s %s", userinfo_cases[_i].body, gw_err_name(h.err),
                  h.detail);
    ck_assert_msg(strstr(h.detail, userinfo_cases[_i].why) != NULL, "%s", h.detail);
    principal_unref(h.who);
}
END_TEST

START_TEST(a_failing_exchange_fails_the_login)
{
    struct login_heard h;
    begin(&h);
    answer_error(GW_E_TIMEOUT);
    ck_assert_msg(h.n == 1 && h.err == GW_E_TIMEOUT && strstr(h.detail, "token endpoint") != NULL, "%s", h.detail);
    begin(&h);
    answer_tokens(ID_CLAIMS, &key_a, ACCESS_CLAIMS, &key_a);
    answer_error(GW_E_UPSTREAM);
    ck_assert_msg(h.n == 1 && h.err == GW_E_UPSTREAM && strstr(h.detail, "userinfo") != NULL, "%s", h.detail);
    fake.refuse_with = GW_E_LIMIT;
    ck_assert_int_eq(provider_redeem(provider, VIEW("c"), VIEW("v"), VIEW("n"), hear_login, &h), GW_E_LIMIT);
    ck_assert_int_eq(h.n, 1);
}
END_TEST

START_TEST(a_rotated_key_is_fetched_once_during_a_login)
{
    struct login_heard h;
    now_is(60000);
    begin(&h);
    answer_tokens(ID_CLAIMS, &key_b, ACCESS_CLAIMS, &key_b);
    ck_assert_int_eq(h.n, 0);
    answer_keys(&key_b);
    answer(USERINFO_URL, 200, USERINFO);
    ck_assert_msg(h.n == 1 && h.err == GW_OK, "%s", h.detail);
    principal_unref(h.who);
    /* a kid that stays unknown */
    now_is(120000);
    begin(&h);
    answer_tokens(ID_CLAIMS, &key_a, ACCESS_CLAIMS, &key_a);
    answer_keys(&key_b);
    ck_assert_msg(h.n == 1 && h.err == GW_E_INVALID && strstr(h.detail, "kid") != NULL, "%s", h.detail);
    /* and the next one is not even asked for */
    begin(&h);
    answer_tokens(ID_CLAIMS, &key_a, ACCESS_CLAIMS, &key_a);
    ck_assert_msg(h.n == 1 && h.err == GW_E_INVALID, "%s", h.detail);
    ck_assert_uint_eq(n_waiting(), 0);
}
END_TEST

START_TEST(a_login_waits_for_the_provider)
{
    struct login_heard h;
    begin(&h);
    answer(METADATA_URL, 200, metadata);
    answer_keys(&key_a);
    answer_tokens(ID_CLAIMS, &key_a, ACCESS_CLAIMS, &key_a);
    answer(USERINFO_URL, 200, USERINFO);
    ck_assert_msg(h.n == 1 && h.err == GW_OK, "%s", h.detail);
    principal_unref(h.who);
}
END_TEST

START_TEST(a_login_fails_with_the_provider)
{
    struct login_heard h;
    begin(&h);
    answer_error(GW_E_TIMEOUT);
    ck_assert_msg(h.n == 1 && h.err == GW_E_TIMEOUT && strstr(h.detail, "connection refused") != NULL, "%s", h.detail);
}
END_TEST

START_TEST(C3_T8_logins_never_swap)
{
    struct login_heard a, b;
    begin(&a);
    struct exchange *of_a = last();
    b = (struct login_heard){0};
    ck_assert_int_eq(provider_redeem(provider, VIEW("code-b"), VIEW("verifier-b"), VIEW("n-b"), hear_login, &b), GW_OK);
    /* b's answer arrives for a, as if the provider had mixed them up: the nonce tells */
    struct buf json = BUF(16 * 1024);
    put_answer(&json, "{" CLAIMS ",\"nonce\":\"n-b\"}", &key_a, ACCESS_CLAIMS, &key_a);
    of_a->is_answered = true;
    of_a->fn(of_a->arg, &(struct fetch_answer){.status = 200, .body = buf_view(&json), .detail = ""});
    ck_assert_int_eq(a.n, 1);
    ck_assert_int_eq(a.err, GW_E_INVALID);
    answer(TOKEN_URL, 200, json.p);
    answer(USERINFO_URL, 200, USERINFO);
    ck_assert_int_eq(b.err, GW_OK);
    principal_unref(b.who);
    buf_deinit(&json);
}
END_TEST

START_TEST(logins_are_capped_and_end_with_the_provider)
{
    static struct login_heard h[PROVIDER_LOGINS_MAX];
    struct login_heard over = {0};
    for (size_t i = 0; i < PROVIDER_LOGINS_MAX; i++)
        begin(&h[i]);
    ck_assert_int_eq(provider_redeem(provider, VIEW("c"), VIEW("v"), VIEW("n"), hear_login, &over), GW_E_LIMIT);
    ck_assert_int_eq(over.n, 0);
    provider_free(provider);
    provider = NULL;
    for (size_t i = 0; i < PROVIDER_LOGINS_MAX; i++)
        ck_assert_msg(h[i].n == 1 && h[i].err == GW_E_IO, "%zu", i);
}
END_TEST

START_TEST(a_login_needs_all_its_parts)
{
    struct login_heard h = {0};
    ck_assert_int_eq(provider_redeem(provider, VIEW_NONE, VIEW("v"), VIEW("n"), hear_login, &h), GW_E_INVALID);
    ck_assert_int_eq(provider_redeem(provider, VIEW("c"), VIEW_NONE, VIEW("n"), hear_login, &h), GW_E_INVALID);
    ck_assert_int_eq(provider_redeem(provider, VIEW("c"), VIEW("v"), VIEW_NONE, hear_login, &h), GW_E_INVALID);
    ck_assert_int_eq(h.n, 0);
}
END_TEST

static void add_new(Suite *s)
{
    TCase *t = tcase_create("new");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, reads_metadata_then_keys);
    tcase_add_test(t, back_channel_goes_inside_with_the_issuers_host);
    tcase_add_loop_test(t, says_why_it_is_not_ready, 0, (int)(sizeof(metadata_cases) / sizeof(metadata_cases[0])));
    tcase_add_test(t, an_empty_set_of_keys_is_not_ready);
    tcase_add_test(t, hs256_needs_no_keys_but_a_long_secret);
    tcase_add_test(t, garbage_keys_are_not_ready);
    tcase_add_test(t, waiting_triggers_attempts_at_a_bounded_rate);
    tcase_add_test(t, waiters_are_capped);
    tcase_add_test(t, an_exchange_that_cannot_start_is_a_failed_attempt);
    tcase_add_test(t, freeing_tells_those_who_wait);
    tcase_add_test(t, a_bad_spec_stops_the_start);
    tcase_add_test(t, no_urls_before_it_is_ready);
    tcase_add_test(t, a_login_waits_for_the_provider);
    tcase_add_test(t, a_login_fails_with_the_provider);
    suite_add_tcase(s, t);
}

static void add_ready(Suite *s)
{
    TCase *t = tcase_create("ready");
    tcase_add_checked_fixture(t, setup_ready, teardown);
    tcase_add_test(t, G9_T7_authorize_url_has_everything);
    tcase_add_test(t, end_session_url_leaves_out_what_is_empty);
    tcase_add_test(t, a_code_becomes_a_person);
    tcase_add_test(t, userinfo_replaces_nothing_about_the_login);
    tcase_add_loop_test(t, refuses_bad_token_answers, 0, (int)(sizeof(token_cases) / sizeof(token_cases[0])));
    tcase_add_loop_test(t, G14_T9_T10_refuses_tokens_that_do_not_belong_here, 0,
                        (int)(sizeof(pair_cases) / sizeof(pair_cases[0])));
    tcase_add_loop_test(t, judges_userinfo, 0, (int)(sizeof(userinfo_cases) / sizeof(userinfo_cases[0])));
    tcase_add_test(t, a_failing_exchange_fails_the_login);
    tcase_add_test(t, a_rotated_key_is_fetched_once_during_a_login);
    tcase_add_test(t, C3_T8_logins_never_swap);
    tcase_add_test(t, logins_are_capped_and_end_with_the_provider);
    tcase_add_test(t, a_login_needs_all_its_parts);
    suite_add_tcase(s, t);
}

int main(void)
{
    key_a = token_key_ec(SIGALG_ES256, "key-a");
    key_b = token_key_ec(SIGALG_ES256, "key-b");
    Suite *s = suite_create("provider");
    add_new(s);
    add_ready(s);
    int status = support_run(s);
    EVP_PKEY_free(key_a.pkey);
    EVP_PKEY_free(key_b.pkey);
    return status;
}

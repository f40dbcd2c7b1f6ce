/* What each answer of the provider means for a session that is refreshed. */
#include "exchangekit.h"

static struct token_key key_a, key_b;
static struct loop *loop;
static struct provider *provider;
static struct session_renewer renewer;

static void setup(void)
{
    static const char *const scopes[] = {"openid", "offline_access", "repogate"}, *const algorithms[] = {"ES256"};
    const struct provider_spec spec = {
        .issuer = ISS,
        .internal_url = "",
        .client_id = "repogate",
        .client_secret = SECRET,
        .scopes = scopes,
        .n_scopes = 3,
        .algorithms = algorithms,
        .n_algorithms = 1,
        .redirect_uri = "https://dev.example.org/_repogate/callback",
    };
    log_set_level(LOG_ERROR);
    now_is(0);
    fake = (struct fetcher){.n = 0};
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(provider_new(&spec, loop, &fake, &provider), GW_OK);
    renewer = provider_renewer(provider);
}

static void get_ready(void)
{
    answer(METADATA_URL, 200, metadata);
    answer_keys(&key_a);
    ck_assert(provider_is_ready(provider));
}

static void setup_ready(void)
{
    setup();
    provider_start(provider);
    get_ready();
}

static void teardown(void)
{
    provider_free(provider);
    fetcher_free(&fake);
    loop_free(loop);
    epoch_fix_ms(-1);
}

/* ---- the session ---- */

/* Of the login, an hour ago. */
#define LOGIN "\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"sid\":\"s-1\",\"auth_time\":1699996000"
#define OLD \
    "{" LOGIN ",\"iat\":1699996001,\"exp\":1699999601,\"nonce\":\"n-1\",\"amr\":[\"mfa\"],\"groups\":[\"old\"],\"name\":\"Old\"}"
#define NEW(more) "{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999990,\"exp\":1700003600" more "}"
#define ID NEW(",\"sid\":\"s-1\",\"groups\":[\"id-token\"]")
#define ACCESS NEW(",\"sid\":\"s-1\",\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":\"openid\"")
#define USERINFO \
    "{\"sub\":\"u1\",\"preferred_username\":\"dora\",\"groups\":[\"a\"],\"repogate\":{\"v\":1,\"groups\":[\"a\",\"b\"]}}"

struct renewed {
    int n;
    enum session_renewal result;
    char why[512], claims[2048], username[64], id_token[2048], access_token[2048], refresh_token[64];
    int64_t access_expires_s;
};

static void hear_renewed(void *arg, const struct session_renewed *said)
{
    struct renewed *h = arg;
    h->n++;
    h->result = said->result;
    ck_assert_msg((said->result == SESSION_RENEWED) == (*said->why == '\0'), "a reason with each failure: %s", said->why);
    ck_assert_msg(strstr(said->why, SECRET) == NULL && strstr(said->why, "re-1") == NULL, "no secrets: %s", said->why);
    copy(h->why, sizeof(h->why), view_of(said->why));
    copy(h->claims, sizeof(h->claims), said->claims_json);
    copy(h->username, sizeof(h->username), said->username);
    copy(h->id_token, sizeof(h->id_token), said->id_token);
    copy(h->access_token, sizeof(h->access_token), said->access_token);
    copy(h->refresh_token, sizeof(h->refresh_token), said->refresh_token);
    h->access_expires_s = said->access_expires_s;
}

static struct renewed heard;
static struct buf id_token;

static enum gw_err ask(bool is_grant, const char *id_claims, bool is_id_token_new)
{
    heard = (struct renewed){.n = 0};
    id_token = BUF(8192);
    token_put_key(&id_token, id_claims, &key_a);
    const struct session_tokens tokens = {
        .claims_json = VIEW(OLD),
        .id_token = buf_view(&id_token),
        .is_id_token_new = is_id_token_new,
        .access_token = VIEW("ac-1"),
        .refresh_token = VIEW("re-1"),
    };
    enum gw_err err = is_grant ? renewer.grant(renewer.cls, &tokens, hear_renewed, &heard)
                               : renewer.userinfo(renewer.cls, &tokens, hear_renewed, &heard);
    buf_deinit(&id_token);
    ck_assert_int_eq(heard.n, 0);
    return err;
}

static void ask_grant(void)
{
    ck_assert_int_eq(ask(true, OLD, false), GW_OK);
}

static void ask_userinfo(void)
{
    ck_assert_int_eq(ask(false, OLD, false), GW_OK);
}

static void ck_result(enum session_renewal want)
{
    ck_assert_int_eq(heard.n, 1);
    ck_assert_msg(heard.result == want, "%d: %s", (int)heard.result, heard.why);
}

/* id, access: claims, signed; NULL: not there; access "opaque" stays as it is. */
static void answer_tokens(const char *id, const char *access, const struct token_key *key, const char *more)
{
    struct buf json = BUF(16 * 1024);
    buf_puts(&json, "{\"token_type\":\"Bearer\"");
    if (id != NULL) {
        buf_puts(&json, ",\"id_token\":\"");
        token_put_key(&json, id, key);
        buf_puts(&json, "\"");
    }
    buf_puts(&json, ",\"access_token\":\"");
    if (access[0] == '{')
        token_put_key(&json, access, key);
    else
        buf_put(&json, view_of(access));
    buf_puts(&json, "\"");
    buf_put(&json, view_of(more));
    buf_puts(&json, "}");
    answer(TOKEN_URL, 200, json.p);
    buf_deinit(&json);
}

/* ---- grant ---- */

START_TEST(a_grant_is_sent_once_and_brings_tokens)
{
    ask_grant();
    ck_assert_str_eq(last()->method, "POST");
    ck_assert(last()->is_sent_once);
    ck_assert_str_eq(last()->body, "grant_type=refresh_token&refresh_token=re-1&client_id=repogate&client_secret=" SECRET);
    answer_tokens(ID, ACCESS, &key_a, ",\"refresh_token\":\"re-2\",\"expires_in\":300");
    ck_result(SESSION_RENEWED);
    ck_assert_int_eq(strncmp(heard.id_token, "ey", 2), 0);
    ck_assert_int_eq(strncmp(heard.access_token, "ey", 2), 0);
    ck_assert_str_eq(heard.refresh_token, "re-2");
    ck_assert_int_eq(heard.access_expires_s, NOW + 300);
    ck_assert_str_eq(heard.claims, "");
}
END_TEST

static const struct {
    const char *id, *access, *more;
    int64_t access_expires_s;
} lean[] = {
    {NULL, "opaque", "", 0},
    {ID, "opaque", "", 1700003600},
    {NULL, ACCESS, "", 1700003600},
    {NULL, "opaque", ",\"expires_in\":60", NOW + 60},
    {NEW(",\"sid\":\"s-1\",\"nonce\":\"n-1\""), "opaque", "", 1700003600},
    {NEW(",\"sid\":\"s-1\",\"nonce\":\"another\""), "opaque", "", 1700003600},
};

START_TEST(a_grant_may_bring_less_than_a_login)
{
    ask_grant();
    answer_tokens(lean[_i].id, lean[_i].access, &key_a, lean[_i].more);
    ck_result(SESSION_RENEWED);
    ck_assert_int_eq(*heard.id_token != '\0', lean[_i].id != NULL);
    ck_assert_str_eq(heard.refresh_token, "");
    ck_assert_int_eq(heard.access_expires_s, lean[_i].access_expires_s);
}
END_TEST

static const struct {
    const char *id, *access;
    enum session_renewal want;
} strangers[] = {
    {"{\"iss\":\"" ISS "\",\"sub\":\"u2\",\"aud\":\"repogate\",\"iat\":1699999990,\"exp\":1700003600,\"sid\":\"s-1\"}", ACCESS,
     SESSION_ANOTHER},
    {NEW(",\"sid\":\"s-2\""), ACCESS, SESSION_ANOTHER},
    {NEW(",\"sid\":\"S-1\""), ACCESS, SESSION_ANOTHER},
    {NEW(",\"sid\":[\"s-1\"]"), ACCESS, SESSION_ANOTHER},
    {NEW(""), ACCESS, SESSION_ANOTHER}, /* the provider's session has ended */
    {ID,
     "{\"iss\":\"" ISS
     "\",\"sub\":\"u2\",\"aud\":\"repogate\",\"exp\":1700003600,\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":\"\"}",
     SESSION_ANOTHER},
    {NULL, NEW(",\"sid\":\"s-2\",\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":\"openid\""), SESSION_ANOTHER},
    {"{\"iss\":\"" ISS "x\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699999990,\"exp\":1700003600,\"sid\":\"s-1\"}", ACCESS,
     SESSION_OVER},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"other\",\"iat\":1699999990,\"exp\":1700003600,\"sid\":\"s-1\"}", ACCESS,
     SESSION_OVER},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699990000,\"exp\":1699999939,\"sid\":\"s-1\"}", ACCESS,
     SESSION_OVER},
    {ACCESS, ACCESS, SESSION_OVER},
    {ID, ID, SESSION_OVER},
};

START_TEST(T10_tokens_of_another_end_the_session)
{
    ask_grant();
    answer_tokens(strangers[_i].id, strangers[_i].access, &key_a, ",\"refresh_token\":\"re-2\"");
    ck_result(strangers[_i].want);
    ck_assert_str_eq(heard.access_token, "");
}
END_TEST

START_TEST(T10_refreshed_tokens_are_verified)
{
    now_is(PROVIDER_KEYS_MIN_MS);
    ask_grant();
    answer_tokens(ID, ACCESS, &key_b, "");
    ck_assert_str_eq(last()->url, JWKS_URL); /* the key may be new */
    ck_assert_int_eq(heard.n, 0);
    answer_keys(&key_a);
    ck_result(SESSION_OVER);
}
END_TEST

START_TEST(a_rotated_key_is_fetched_during_a_grant)
{
    now_is(PROVIDER_KEYS_MIN_MS);
    ask_grant();
    answer_tokens(ID, ACCESS, &key_b, "");
    answer_keys(&key_b);
    ck_result(SESSION_RENEWED);
}
END_TEST

static const struct {
    int status;
    const char *body;
    enum session_renewal want;
} no_tokens[] = {
    {400, "{\"error\":\"invalid_grant\"}", SESSION_OVER},
    {401, "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}", SESSION_OVER},
    /* Said before anything was done with the token. */
    {400, "{\"error\":\"invalid_client\"}", SESSION_UNREACHABLE},
    {400, "{\"error\":\"unsupported_grant_type\"}", SESSION_UNREACHABLE},
    {429, "{\"error\":\"slow_down\"}", SESSION_UNREACHABLE},
    /* Who knows. */
    {500, "oops", SESSION_LOST},
    {502, "{\"error\":\"invalid_grant\"}", SESSION_LOST},
    {503, "{\"error\":\"temporarily_unavailable\"}", SESSION_LOST},
    {400, "<html>", SESSION_LOST},
    {400, "{}", SESSION_LOST},
    {429, "", SESSION_LOST},
    {302, "", SESSION_LOST},
    {204, "", SESSION_LOST},
    {200, "<html>", SESSION_LOST},
    {200, "", SESSION_LOST},
    {200, "[]", SESSION_LOST},
    {200, "{\"token_type\":\"Bearer\"}", SESSION_LOST},
    {200, "{\"token_type\":\"mac\",\"access_token\":\"a\"}", SESSION_LOST},
    {200, "{\"token_type\":\"Bearer\",\"access_token\":\"a\",\"refresh_token\":1}", SESSION_LOST},
    {200, "{\"token_type\":\"Bearer\",\"access_token\":\"a\",\"id_token\":null}", SESSION_LOST},
    {200, "{\"error\":\"invalid_grant\"}", SESSION_LOST},
};

START_TEST(judges_answers_without_tokens)
{
    ask_grant();
    answer(TOKEN_URL, no_tokens[_i].status, no_tokens[_i].body);
    ck_assert_msg(heard.result == no_tokens[_i].want, "%d %s: %d: %s", no_tokens[_i].status, no_tokens[_i].body,
                  (int)heard.result, heard.why);
}
END_TEST

START_TEST(a_lost_answer_is_told_from_a_request_that_was_never_sent)
{
    static const enum gw_err errors[] = {GW_E_TIMEOUT, GW_E_UPSTREAM, GW_E_LIMIT, GW_E_IO};
    ask_grant();
    answer_error_when(errors[_i / 2], _i % 2 == 1);
    ck_result(_i % 2 == 1 ? SESSION_UNREACHABLE : SESSION_LOST);
}
END_TEST

START_TEST(what_cannot_be_sent_is_said_at_once)
{
    fake.refuse_with = GW_E_LIMIT;
    ck_assert_int_eq(ask(true, OLD, false), GW_E_LIMIT);
    ck_assert_int_eq(ask(false, OLD, false), GW_E_LIMIT);
    ck_assert_int_eq(heard.n, 0);
}
END_TEST

/* ---- userinfo ---- */

static bool has(const char *text)
{
    return strstr(heard.claims, text) != NULL;
}

START_TEST(userinfo_alone_says_who_the_person_is)
{
    ask_userinfo();
    ck_assert_str_eq(last()->authorization, "Bearer ac-1");
    answer(USERINFO_URL, 200, USERINFO);
    ck_result(SESSION_RENEWED);
    ck_assert_str_eq(heard.username, "dora");
    ck_assert(has("\"groups\":[\"a\",\"b\"]"));
    ck_assert_msg(!has("old") && !has("Old"), "%s", heard.claims);
    ck_assert(has("\"sid\":\"s-1\"") && has("\"auth_time\":1699996000") && has("\"amr\":[\"mfa\"]") && has("\"exp\":1699999601"));
}
END_TEST

START_TEST(groups_that_userinfo_leaves_out_are_missing)
{
    ask_userinfo();
    answer(USERINFO_URL, 200, "{\"sub\":\"u1\"}");
    ck_result(SESSION_RENEWED);
    ck_assert_msg(!has("groups") && !has("name"), "%s", heard.claims);
}
END_TEST

/* As at a login; and what it leaves out about the login stays. */
START_TEST(an_id_token_that_came_just_now_counts_beside_userinfo)
{
    ck_assert_int_eq(ask(false, NEW(",\"sid\":\"s-1\",\"name\":\"Id\",\"level\":3"), true), GW_OK);
    answer(USERINFO_URL, 200, USERINFO);
    ck_result(SESSION_RENEWED);
    ck_assert(has("\"level\":3") && has("\"name\":\"Id\"") && has("\"groups\":[\"a\"]") && has("\"exp\":1700003600"));
    ck_assert(has("\"auth_time\":1699996000") && has("\"amr\":[\"mfa\"]"));
    ck_assert_msg(!has("old"), "%s", heard.claims);
}
END_TEST

START_TEST(an_id_token_that_came_before_counts_for_the_login_only)
{
    ck_assert_int_eq(ask(false, NEW(",\"sid\":\"s-1\",\"name\":\"Id\",\"groups\":[\"id\"]"), false), GW_OK);
    answer(USERINFO_URL, 200, "{\"sub\":\"u1\"}");
    ck_result(SESSION_RENEWED);
    ck_assert(has("\"exp\":1700003600"));
    ck_assert_msg(!has("Id") && !has("groups"), "%s", heard.claims);
}
END_TEST

START_TEST(userinfo_says_nothing_about_the_login)
{
    ask_userinfo();
    answer(USERINFO_URL, 200,
           "{\"sub\":\"u1\",\"sid\":\"evil\",\"iss\":\"evil\",\"auth_time\":1,\"amr\":[\"evil\"],\"exp\":1,\"groups\":[]}");
    ck_result(SESSION_RENEWED);
    ck_assert_msg(!has("evil") && has("\"auth_time\":1699996000"), "%s", heard.claims);
}
END_TEST

static const struct {
    int status;
    const char *type, *body;
    enum session_renewal want;
} userinfos[] = {
    {401, "application/json", "{}", SESSION_REFUSED},
    {403, "text/html", "no", SESSION_REFUSED},
    {500, "text/html", "oops", SESSION_UNREACHABLE},
    {503, "application/json", USERINFO, SESSION_UNREACHABLE},
    {404, "text/html", "", SESSION_UNREACHABLE},
    {429, "text/html", "", SESSION_UNREACHABLE},
    {302, "text/html", "", SESSION_UNREACHABLE},
    {200, "text/html", "<html>", SESSION_UNREACHABLE},
    {200, "text/html", USERINFO, SESSION_UNREACHABLE},
    {200, "application/json", "{\"sub\":\"u1\"", SESSION_UNREACHABLE},
    {200, "application/json", "[]", SESSION_UNREACHABLE},
    {200, "application/json", "{\"sub\":\"u1\",\"sub\":\"u1\"}", SESSION_UNREACHABLE},
    {200, "application/json", "{\"sub\":\"u2\",\"groups\":[]}", SESSION_ANOTHER},
    {200, "application/json", "{\"groups\":[]}", SESSION_ANOTHER},
    {200, "application/json", "{\"sub\":\"u1\",\"name\":\"a\\u0007b\"}", SESSION_OVER},
};

START_TEST(judges_userinfo)
{
    ask_userinfo();
    answer_typed(USERINFO_URL, userinfos[_i].status, userinfos[_i].type, view_of(userinfos[_i].body));
    ck_assert_msg(heard.result == userinfos[_i].want, "%d %s: %d: %s", userinfos[_i].status, userinfos[_i].body,
                  (int)heard.result, heard.why);
}
END_TEST

START_TEST(a_failing_exchange_says_nothing_about_the_person)
{
    ask_userinfo();
    answer_error(GW_E_TIMEOUT);
    ck_result(SESSION_UNREACHABLE);
}
END_TEST

/* ---- a provider that is not ready, or going ---- */

START_TEST(waits_until_the_provider_is_ready)
{
    provider_start(provider);
    ck_assert_int_eq(ask(_i == 0, OLD, false), GW_OK);
    get_ready();
    ck_assert_str_eq(last()->url, _i == 0 ? TOKEN_URL : USERINFO_URL);
    ck_assert_int_eq(heard.n, 0);
}
END_TEST

START_TEST(a_provider_that_does_not_get_ready_is_unreachable)
{
    ck_assert_int_eq(ask(_i == 0, OLD, false), GW_OK);
    answer_error(GW_E_TIMEOUT);
    ck_result(SESSION_UNREACHABLE);
    ck_assert_msg(strstr(heard.why, "connection refused") != NULL, "%s", heard.why);
}
END_TEST

/* The lease would run out before the answer is there. */
START_TEST(nothing_is_sent_after_a_long_wait)
{
    ck_assert_int_eq(ask(_i == 0, OLD, false), GW_OK);
    now_is(5001);
    get_ready();
    ck_result(SESSION_UNREACHABLE);
    ck_assert_str_eq(last()->url, JWKS_URL);
}
END_TEST

START_TEST(stopping_ends_what_is_under_way)
{
    ck_assert_int_eq(ask(_i == 0, OLD, false), GW_OK);
    provider_free(provider);
    provider = NULL;
    ck_result(_i == 0 ? SESSION_LOST : SESSION_UNREACHABLE);
}
END_TEST

int main(void)
{
    key_a = token_key_ec(SIGALG_ES256, "key-a");
    key_b = token_key_ec(SIGALG_ES256, "key-b");
    Suite *s = suite_create("provider_refresh");
    TCase *t = tcase_create("ready");
    tcase_add_checked_fixture(t, setup_ready, teardown);
    tcase_add_test(t, a_grant_is_sent_once_and_brings_tokens);
    tcase_add_loop_test(t, a_grant_may_bring_less_than_a_login, 0, sizeof(lean) / sizeof(lean[0]));
    tcase_add_loop_test(t, T10_tokens_of_another_end_the_session, 0, sizeof(strangers) / sizeof(strangers[0]));
    tcase_add_test(t, T10_refreshed_tokens_are_verified);
    tcase_add_test(t, a_rotated_key_is_fetched_during_a_grant);
    tcase_add_loop_test(t, judges_answers_without_tokens, 0, sizeof(no_tokens) / sizeof(no_tokens[0]));
    tcase_add_loop_test(t, a_lost_answer_is_told_from_a_request_that_was_never_sent, 0, 8);
    tcase_add_test(t, what_cannot_be_sent_is_said_at_once);
    tcase_add_test(t, userinfo_alone_says_who_the_person_is);
    tcase_add_test(t, groups_that_userinfo_leaves_out_are_missing);
    tcase_add_test(t, an_id_token_that_came_just_now_counts_beside_userinfo);
    tcase_add_test(t, an_id_token_that_came_before_counts_for_the_login_only);
    tcase_add_test(t, userinfo_says_nothing_about_the_login);
    tcase_add_loop_test(t, judges_userinfo, 0, sizeof(userinfos) / sizeof(userinfos[0]));
    tcase_add_test(t, a_failing_exchange_says_nothing_about_the_person);
    tcase_add_loop_test(t, stopping_ends_what_is_under_way, 0, 2);
    suite_add_tcase(s, t);
    t = tcase_create("not ready");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, waits_until_the_provider_is_ready, 0, 2);
    tcase_add_loop_test(t, a_provider_that_does_not_get_ready_is_unreachable, 0, 2);
    tcase_add_loop_test(t, nothing_is_sent_after_a_long_wait, 0, 2);
    suite_add_tcase(s, t);
    int status = support_run(s);
    EVP_PKEY_free(key_a.pkey);
    EVP_PKEY_free(key_b.pkey);
    return status;
}

/* Programs' credentials against a provider that the test plays: what is believed at once, what is asked, once for how many, for how
 * long it holds, and what ends it. */
#include "identity/machine.h"

#include "exchangekit.h"
#include "util/meter.h"

#define INTROSPECT_URL BASE_URL "/introspect/"
#define OTHER_BASE "https://ci.example.net/o"
#define OTHER OTHER_BASE "/ci/"
#define OTHER_METADATA_URL OTHER ".well-known/openid-configuration"
#define OTHER_JWKS_URL OTHER_BASE "/ci/jwks/"
#define OTHER_USERINFO_URL OTHER_BASE "/userinfo/"

enum { REFRESH_S = 300, GRACE_S = 900, EXP = NOW + 3600 };

static struct token_key key_a, key_b, key_other;
static struct loop *loop;
static struct provider *provider;
static struct throttle *throttle, *name_throttle, *token_throttle;
static struct machines *machines;
static const struct ipaddr client = {.bytes = {192, 0, 2, 7}, .family = 4};

/* ---- the other side ---- */

static void answer_metadata(void)
{
    answer(METADATA_URL, 200,
           "{\"issuer\":\"" ISS "\",\"authorization_endpoint\":\"" BASE_URL "/authorize/\",\"token_endpoint\":\"" TOKEN_URL "\","
           "\"userinfo_endpoint\":\"" USERINFO_URL "\",\"introspection_endpoint\":\"" INTROSPECT_URL "\",\"jwks_uri\":\"" JWKS_URL
           "\"}");
}

static void answer_other_metadata(void)
{
    answer(OTHER_METADATA_URL, 200,
           "{\"issuer\":\"" OTHER "\",\"authorization_endpoint\":\"" OTHER_BASE "/authorize/\",\"token_endpoint\":\"" OTHER_BASE
           "/token/\",\"userinfo_endpoint\":\"" OTHER_USERINFO_URL "\",\"jwks_uri\":\"" OTHER_JWKS_URL "\"}");
}

static void answer_other_keys(void)
{
    struct buf json = BUF(8192);
    buf_puts(&json, "{\"keys\":[");
    token_put_jwk(&json, &key_other, "");
    buf_puts(&json, "]}");
    answer(OTHER_JWKS_URL, 200, json.p);
    buf_deinit(&json);
}

static void make_machines(bool introspection, size_t n_further)
{
    static const char *const scopes[] = {"openid", "profile", "offline_access", "repogate"}, *const algorithms[] = {"ES256"};
    const struct provider_spec spec = {
        .issuer = ISS,
        .internal_url = "",
        .client_id = "repogate",
        .client_secret = SECRET,
        .scopes = scopes,
        .n_scopes = 4,
        .algorithms = algorithms,
        .n_algorithms = 1,
        .redirect_uri = "https://dev.example.org/_repogate/callback",
    };
    struct provider_spec other = spec;
    other.issuer = OTHER;
    other.client_id = "ci";
    other.client_secret = "";
    ck_assert_int_eq(provider_new(&spec, loop, &fake, &provider), GW_OK);
    const struct machines_spec ms = {
        .provider = provider,
        .further = &other,
        .n_further = n_further,
        .loop = loop,
        .fetcher = &fake,
        .introspection = introspection,
        .throttle = throttle,
        .name_throttle = name_throttle,
        .token_throttle = token_throttle,
        .refresh_s = REFRESH_S,
        .grace_s = GRACE_S,
    };
    ck_assert_int_eq(machines_new(&ms, &machines), GW_OK);
}

static void get_ready(void)
{
    provider_start(provider);
    answer_metadata();
    answer_keys(&key_a);
    ck_assert(provider_is_ready(provider));
}

static void setup_empty(void)
{
    log_set_level(LOG_ERROR);
    now_is(0);
    fake = (struct fetcher){.n = 0};
    ck_assert_int_eq(loop_new(&loop), GW_OK);
    ck_assert_int_eq(throttle_new(MACHINE_ATTEMPTS_PER_MINUTE, &throttle), GW_OK);
    ck_assert_int_eq(throttle_new(MACHINE_GUESSES_PER_MINUTE, &name_throttle), GW_OK);
    ck_assert_int_eq(throttle_new(MACHINE_BAD_TOKENS_PER_MINUTE, &token_throttle), GW_OK);
}

static void setup_cold(void)
{
    setup_empty();
    make_machines(false, 0);
}

static void setup(void)
{
    setup_cold();
    get_ready();
}

static void setup_introspecting(void)
{
    setup_empty();
    make_machines(true, 0);
    get_ready();
}

static void setup_further(void)
{
    setup_empty();
    make_machines(false, 1);
    get_ready();
    machines_start(machines);
    answer_other_metadata();
    answer_other_keys();
}

static void teardown(void)
{
    provider_free(provider);
    machines_free(machines);
    fetcher_free(&fake);
    throttle_free(throttle);
    throttle_free(name_throttle);
    throttle_free(token_throttle);
    loop_free(loop);
    epoch_fix_ms(-1);
}

/* ---- asking ---- */

struct verdict {
    int n;
    enum machine_found found;
    char reason[128];
    bool is_stale;
    struct machine *machine;
    struct principal *who;
};

static void forget_verdict(struct verdict *v)
{
    machine_unref(v->machine);
    principal_unref(v->who);
    *v = (struct verdict){0};
}

static void hear_verdict(void *arg, const struct machine_answer *a)
{
    struct verdict *v = arg;
    int n = v->n + 1;
    ck_assert_msg((a->found == MACHINE_KNOWN) == (a->machine != NULL), "a machine only when known");
    ck_assert_msg((a->found == MACHINE_KNOWN) == (a->reason[0] == '\0'), "a reason with each no");
    ck_assert(!a->is_stale || a->found == MACHINE_KNOWN);
    forget_verdict(v);
    *v = (struct verdict){.n = n, .found = a->found, .is_stale = a->is_stale, .machine = a->machine};
    snprintf(v->reason, sizeof(v->reason), "%s", a->reason);
    if (a->machine != NULL)
        v->who = principal_ref(machine_who(a->machine));
}

static void show_text(const char *token, struct verdict *v)
{
    machines_check_token(machines, view_of(token), &client, hear_verdict, v);
}

static struct buf signed_with(const struct token_key *k, const char *claims)
{
    struct buf jwt = BUF(16 * 1024);
    token_put_key(&jwt, claims, k);
    return jwt;
}

static void show(const struct token_key *k, const char *claims, struct verdict *v)
{
    struct buf jwt = signed_with(k, claims);
    show_text(jwt.p, v);
    buf_deinit(&jwt);
}

static void ck_known(const struct verdict *v, int n)
{
    ck_assert_msg(v->n == n && v->found == MACHINE_KNOWN, "called %d times, found %d: %s", v->n, (int)v->found, v->reason);
}

static void ck_no(const struct verdict *v, int n, enum machine_found found, const char *reason)
{
    ck_assert_msg(v->n == n && v->found == found, "called %d times, found %d: %s", v->n, (int)v->found, v->reason);
    ck_assert_msg(strstr(v->reason, reason) != NULL, "%s", v->reason);
}

static size_t n_asked(const char *url)
{
    size_t n = 0;
    for (size_t i = 0; i < fake.n; i++)
        n += strcmp(fake.list[i]->url, url) == 0;
    return n;
}

/* Of a session, issued at NOW. */
#define BASIS "\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1700000000,\"exp\":1700003600"
#define ACCESS "\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":\"openid profile\""
#define BOTS "\"repogate\":{\"v\":1,\"groups\":[\"bots\"],\"service\":true}"
#define TOKEN "{" BASIS "," ACCESS "," BOTS "}"
#define TOKEN_OF_SID "{" BASIS "," ACCESS ",\"sid\":\"s-1\"," BOTS "}"
#define TOKEN_WITHOUT_OPENID "{" BASIS ",\"azp\":\"repogate\",\"uid\":\"r\",\"scope\":\"profile repogate\"," BOTS "}"
#define USERINFO_NOW \
    "{\"sub\":\"u1\",\"preferred_username\":\"ci\",\"repogate\":{\"v\":1,\"groups\":[\"fewer\"],\"service\":true}}"

/* ---- at once ---- */

START_TEST(a_token_is_verified_once)
{
    struct verdict v = {0};
    int64_t before = meter_value(METER_BEARER_VERIFIED);
    size_t n = fake.n;
    show(&key_a, TOKEN, &v);
    ck_known(&v, 1);
    struct machine *first = machine_ref(v.machine);
    show(&key_a, TOKEN, &v); /* signed anew, so another token */
    ck_known(&v, 2);
    ck_assert_ptr_ne(first, v.machine);
    struct buf jwt = signed_with(&key_a, TOKEN);
    show_text(jwt.p, &v);
    machine_unref(first);
    first = machine_ref(v.machine);
    show_text(jwt.p, &v);
    ck_assert_ptr_eq(first, v.machine);
    ck_assert_int_eq(meter_value(METER_BEARER_VERIFIED) - before, 3);
    ck_assert_int_eq(principal_via(v.who), PRINCIPAL_BEARER);
    ck_assert(principal_is_service(v.who));
    ck_assert(pack_list_has(principal_groups(v.who), VIEW("bots")));
    ck_assert_msg(fake.n == n, "nobody was asked");
    /* another spelling of a known token is another token */
    buf_puts(&jwt, "=");
    show_text(jwt.p, &v);
    ck_no(&v, 5, MACHINE_REFUSED, "");
    machine_unref(first);
    forget_verdict(&v);
    buf_deinit(&jwt);
}
END_TEST

static const struct {
    const char *claims, *reason;
} wrong_tokens[] = {
    {"{" BASIS ",\"nonce\":\"n\",\"sid\":\"s\",\"auth_time\":1699999000}", "not an access token: it lacks azp, uid or scope"},
    {"{" BASIS "," ACCESS ",\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}}", "a logout token"},
    {"{" BASIS ",\"jti\":\"j\",\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}}", "a logout token"},
    {"{" BASIS ",\"azp\":\"other\",\"uid\":\"r\",\"scope\":\"openid\"}", "azp is another client"},
    {"{\"iss\":\"" OTHER "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"exp\":1700003600," ACCESS "}", "iss is another issuer"},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"other\",\"exp\":1700003600," ACCESS "}", "aud is not this client"},
    {"{\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1699990000,\"exp\":1699999900," ACCESS "}", "expired"},
    {"{" BASIS "," ACCESS ",\"name\":\"a\\nb\"}", "claims are unfit"},
};

START_TEST(G11_refuses_tokens_made_for_something_else)
{
    struct verdict v = {0};
    size_t n = fake.n;
    show(&key_a, wrong_tokens[_i].claims, &v);
    ck_no(&v, 1, MACHINE_REFUSED, wrong_tokens[_i].reason);
    ck_assert_uint_eq(fake.n, n);
}
END_TEST

START_TEST(refuses_nonsense_without_asking_anyone)
{
    static const char *const junk[] = {"", "x", "a.b.c", "Bearer", "...", "e30.e30.", "a.b.c.d.e", "e30.e30.e30"};
    static char long_one[17000];
    struct verdict v = {0};
    size_t n = fake.n;
    for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
        show_text(junk[i], &v);
        ck_assert_msg(v.n == (int)i + 1 && v.found == MACHINE_REFUSED, "%s", junk[i]);
    }
    memset(long_one, 'a', sizeof(long_one) - 1);
    show_text(long_one, &v);
    ck_no(&v, (int)(sizeof(junk) / sizeof(junk[0])) + 1, MACHINE_REFUSED, "too long");
    machines_check_password(machines, VIEW("dora"), VIEW("pw"), &client, hear_verdict, &v);
    ck_assert_int_eq(v.found, MACHINE_REFUSED);
    ck_assert_ptr_nonnull(strstr(v.reason, "oidc.introspection"));
    ck_assert_uint_eq(fake.n, n);
}
END_TEST

START_TEST(a_token_without_groups_is_known_and_incomplete)
{
    struct verdict v = {0};
    show(&key_a, "{" BASIS "," ACCESS "}", &v);
    ck_known(&v, 1);
    ck_assert_int_eq(principal_missing(v.who), PRINCIPAL_NO_REPOGATE);
    forget_verdict(&v);
}
END_TEST

START_TEST(C6_it_ends_with_its_exp)
{
    struct verdict v = {0};
    struct buf jwt =
        signed_with(&key_a, "{\"iss\":\"" ISS
                            "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1700000000,\"exp\":1700000100," ACCESS "," BOTS "}");
    show_text(jwt.p, &v);
    ck_known(&v, 1);
    ck_assert(!machine_has_ended(v.machine));
    now_is(100 * 1000);
    ck_assert(machine_has_ended(v.machine));
    /* for the leeway by its signature, each time */
    int64_t before = meter_value(METER_BEARER_VERIFIED);
    show_text(jwt.p, &v);
    show_text(jwt.p, &v);
    ck_known(&v, 3);
    ck_assert_int_eq(meter_value(METER_BEARER_VERIFIED) - before, 2);
    ck_assert(machine_has_ended(v.machine));
    now_is(160 * 1000);
    show_text(jwt.p, &v);
    ck_no(&v, 4, MACHINE_REFUSED, "expired");
    buf_deinit(&jwt);
}
END_TEST

/* ---- keys ---- */

START_TEST(M3_an_unknown_kid_fetches_keys_once_for_a_thousand_requests)
{
    static struct verdict waiting[1000];
    struct verdict v = {0};
    now_is(PROVIDER_KEYS_MIN_MS - 1);
    show(&key_b, TOKEN, &v);
    ck_no(&v, 1, MACHINE_REFUSED, "no key with this kid"); /* they were read a moment ago */
    now_is(PROVIDER_KEYS_MIN_MS);
    size_t before = n_asked(JWKS_URL);
    for (size_t i = 0; i < 1000; i++)
        show(&key_b, TOKEN, &waiting[i]);
    ck_assert_uint_eq(n_asked(JWKS_URL), before + 1);
    show(&key_a, TOKEN, &v); /* known keys go on */
    ck_known(&v, 2);
    answer_keys(&key_b);
    for (size_t i = 0; i < 1000; i++) {
        ck_known(&waiting[i], 1);
        forget_verdict(&waiting[i]);
    }
    ck_assert_uint_eq(n_asked(JWKS_URL), before + 1);
    forget_verdict(&v);
}
END_TEST

START_TEST(one_token_shown_a_thousand_times_waits_as_one)
{
    static struct verdict waiting[1000];
    struct buf jwt = signed_with(&key_b, TOKEN);
    int64_t before = meter_value(METER_BEARER_VERIFIED);
    now_is(PROVIDER_KEYS_MIN_MS);
    for (size_t i = 0; i < 1000; i++)
        show_text(jwt.p, &waiting[i]);
    answer_keys(&key_b);
    for (size_t i = 0; i < 1000; i++) {
        ck_known(&waiting[i], 1);
        forget_verdict(&waiting[i]);
    }
    ck_assert_int_eq(meter_value(METER_BEARER_VERIFIED) - before, 1);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(a_kid_that_stays_unknown_is_refused)
{
    struct verdict v = {0};
    now_is(PROVIDER_KEYS_MIN_MS);
    show(&key_b, TOKEN, &v);
    ck_assert_int_eq(v.n, 0);
    now_is(PROVIDER_KEYS_MIN_MS * 3); /* however long that took */
    answer_keys(&key_a);
    ck_no(&v, 1, MACHINE_REFUSED, "no key with this kid");
    show(&key_a, TOKEN, &v);
    ck_known(&v, 2);
    forget_verdict(&v);
}
END_TEST

/* A login would not help either: the answer says that nobody can say. */
START_TEST(while_keys_cannot_be_read_an_unknown_kid_is_no_refusal)
{
    struct verdict v = {0};
    now_is(PROVIDER_KEYS_MIN_MS);
    show(&key_b, TOKEN, &v);
    answer(JWKS_URL, 503, "busy");
    ck_no(&v, 1, MACHINE_UNAVAILABLE, "cannot be reached");
    size_t n = fake.n;
    show(&key_b, TOKEN, &v);
    ck_no(&v, 2, MACHINE_UNAVAILABLE, "cannot be reached");
    ck_assert_uint_eq(fake.n, n);
    show(&key_a, TOKEN, &v);
    ck_known(&v, 3);
    forget_verdict(&v);
}
END_TEST

START_TEST(tokens_wait_for_the_provider_and_not_for_ever)
{
    struct verdict v = {0};
    struct buf jwt = signed_with(&key_a, TOKEN);
    show_text(jwt.p, &v);
    ck_assert_int_eq(v.n, 0);
    answer_error(GW_E_UPSTREAM);
    ck_no(&v, 1, MACHINE_UNAVAILABLE, "cannot be reached");
    now_is(3000);
    show_text(jwt.p, &v);
    answer_metadata();
    answer_keys(&key_a);
    ck_known(&v, 2);
    forget_verdict(&v);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(a_withdrawn_key_takes_its_tokens_along)
{
    struct verdict v = {0}, other = {0};
    struct buf jwt = signed_with(&key_a, TOKEN);
    show_text(jwt.p, &v);
    ck_known(&v, 1);
    struct machine *socket = machine_ref(v.machine);
    now_is(PROVIDER_KEYS_MIN_MS);
    show(&key_b, TOKEN, &other);
    answer_keys(&key_b);
    ck_known(&other, 1);
    show_text(jwt.p, &v);
    ck_no(&v, 2, MACHINE_REFUSED, "no key with this kid");
    ck_assert(machine_has_ended(socket));
    machine_unref(socket);
    forget_verdict(&other);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(another_key_beside_it_changes_nothing)
{
    struct verdict v = {0}, other = {0};
    struct buf jwt = signed_with(&key_a, TOKEN);
    struct buf set = BUF(8192);
    show_text(jwt.p, &v);
    struct machine *before = machine_ref(v.machine);
    now_is(PROVIDER_KEYS_MIN_MS);
    show(&key_b, TOKEN, &other);
    buf_puts(&set, "{\"keys\":[");
    token_put_jwk(&set, &key_a, "");
    buf_puts(&set, ",");
    token_put_jwk(&set, &key_b, "");
    buf_puts(&set, "]}");
    answer(JWKS_URL, 200, set.p);
    ck_known(&other, 1);
    show_text(jwt.p, &v);
    ck_known(&v, 2);
    ck_assert_ptr_eq(before, v.machine);
    machine_unref(before);
    forget_verdict(&v);
    forget_verdict(&other);
    buf_deinit(&jwt);
    buf_deinit(&set);
}
END_TEST

/* ---- freshness ---- */

START_TEST(C4_C5_claims_older_than_refresh_are_renewed_before_they_are_judged)
{
    struct verdict v = {0}, second = {0};
    struct buf jwt = signed_with(&key_a, TOKEN);
    show_text(jwt.p, &v);
    struct machine *first = machine_ref(v.machine);
    now_is(REFRESH_S * 1000);
    show_text(jwt.p, &v);
    ck_known(&v, 2);
    now_is((REFRESH_S + 1) * 1000);
    show_text(jwt.p, &v);
    show_text(jwt.p, &second);
    ck_assert_msg(v.n == 2 && second.n == 0, "nobody is judged by old claims");
    ck_assert_uint_eq(n_asked(USERINFO_URL), 1);
    ck_assert_int_eq(strncmp(last()->authorization, "Bearer ey", 9), 0);
    answer(USERINFO_URL, 200, USERINFO_NOW);
    ck_known(&v, 3);
    ck_known(&second, 1);
    ck_assert(!v.is_stale);
    ck_assert_msg(pack_list_has(principal_groups(v.who), VIEW("fewer")) && !pack_list_has(principal_groups(v.who), VIEW("bots")),
                  "the group that was taken away is gone");
    ck_assert_int_eq(principal_via(v.who), PRINCIPAL_BEARER);
    ck_assert_int_eq(principal_exp_s(v.who), EXP);
    ck_assert_ptr_eq(first, v.machine);
    /* and for as long again */
    now_is((2 * REFRESH_S + 1) * 1000);
    show_text(jwt.p, &v);
    ck_known(&v, 4);
    ck_assert_uint_eq(n_asked(USERINFO_URL), 1);
    machine_unref(first);
    forget_verdict(&v);
    forget_verdict(&second);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(an_old_token_seen_for_the_first_time_is_asked_about_first)
{
    struct verdict v = {0};
    now_is((REFRESH_S + 1) * 1000);
    show(&key_a, TOKEN, &v);
    ck_assert_int_eq(v.n, 0);
    answer(USERINFO_URL, 200, USERINFO_NOW);
    ck_known(&v, 1);
    ck_assert(pack_list_has(principal_groups(v.who), VIEW("fewer")));
    forget_verdict(&v);
}
END_TEST

START_TEST(C7_C8_what_userinfo_refuses_is_forgotten_and_does_not_come_back_by_its_signature)
{
    struct verdict v = {0};
    struct buf jwt = signed_with(&key_a, TOKEN);
    show_text(jwt.p, &v);
    struct machine *socket = machine_ref(v.machine);
    now_is((REFRESH_S + 1) * 1000);
    show_text(jwt.p, &v);
    answer(USERINFO_URL, 401, "{}");
    ck_no(&v, 2, MACHINE_REFUSED, "does not honour this token any more");
    ck_assert(machine_has_ended(socket));
    size_t n = fake.n;
    show_text(jwt.p, &v);
    ck_no(&v, 3, MACHINE_REFUSED, "does not honour");
    now_is((REFRESH_S + 1 + MACHINE_REFUSED_S) * 1000);
    show_text(jwt.p, &v);
    ck_no(&v, 4, MACHINE_REFUSED, "does not honour");
    ck_assert_uint_eq(fake.n, n);
    /* later than that it is asked about in any case */
    now_is((3 * REFRESH_S) * 1000);
    show_text(jwt.p, &v);
    ck_assert_int_eq(v.n, 4);
    answer(USERINFO_URL, 401, "{}");
    ck_no(&v, 5, MACHINE_REFUSED, "does not honour");
    machine_unref(socket);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(old_claims_serve_for_the_grace_while_the_provider_is_away)
{
    struct verdict v = {0};
    struct buf jwt = signed_with(&key_a, TOKEN);
    show_text(jwt.p, &v);
    now_is((REFRESH_S + 1) * 1000);
    show_text(jwt.p, &v);
    answer_error(GW_E_TIMEOUT);
    ck_known(&v, 2);
    ck_assert(v.is_stale);
    size_t n = fake.n;
    show_text(jwt.p, &v);
    ck_assert_msg(v.n == 3 && v.is_stale && fake.n == n, "not asked at each request");
    now_is((REFRESH_S + 1 + MACHINE_RETRY_S) * 1000);
    show_text(jwt.p, &v);
    ck_assert_int_eq(v.n, 3);
    answer(USERINFO_URL, 500, "oops");
    ck_assert(v.n == 4 && v.is_stale);
    now_is((REFRESH_S + GRACE_S + 1) * 1000);
    show_text(jwt.p, &v);
    answer_error(GW_E_TIMEOUT);
    ck_no(&v, 5, MACHINE_UNAVAILABLE, "cannot be reached");
    now_is((REFRESH_S + GRACE_S + 1 + MACHINE_RETRY_S) * 1000);
    show_text(jwt.p, &v);
    answer(USERINFO_URL, 200, USERINFO_NOW);
    ck_known(&v, 6);
    ck_assert(!v.is_stale);
    forget_verdict(&v);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(an_old_token_seen_first_while_the_provider_is_away_serves_for_the_same_grace)
{
    struct verdict v = {0};
    now_is((REFRESH_S + 1) * 1000);
    show(&key_a, TOKEN, &v);
    answer_error(GW_E_TIMEOUT);
    ck_known(&v, 1);
    ck_assert(v.is_stale);
    now_is((REFRESH_S + GRACE_S + 1) * 1000);
    show(&key_a, TOKEN, &v);
    answer_error(GW_E_TIMEOUT);
    ck_no(&v, 2, MACHINE_UNAVAILABLE, "cannot be reached");
}
END_TEST

START_TEST(C9_without_openid_a_token_lasts_as_long_as_its_claims_are_young)
{
    struct verdict v = {0};
    struct buf jwt = signed_with(&key_a, TOKEN_WITHOUT_OPENID);
    show_text(jwt.p, &v);
    now_is(REFRESH_S * 1000);
    show_text(jwt.p, &v);
    ck_known(&v, 2);
    size_t n = fake.n;
    now_is((REFRESH_S + 1) * 1000);
    show_text(jwt.p, &v);
    ck_no(&v, 3, MACHINE_REFUSED, "without the scope openid");
    ck_assert_uint_eq(fake.n, n);
    buf_deinit(&jwt);
}
END_TEST

static const struct {
    int status;
    const char *body, *reason;
    enum machine_found found;
} odd_userinfos[] = {
    {200, "{\"sub\":\"u2\",\"repogate\":{\"v\":1,\"groups\":[]}}", "does not fit", MACHINE_REFUSED},
    {200, "{\"repogate\":{\"v\":1,\"groups\":[]}}", "does not fit", MACHINE_REFUSED},
    {200, "{\"sub\":\"u1\",\"name\":\"a\\nb\"}", "does not fit", MACHINE_REFUSED},
    {403, "{}", "does not honour", MACHINE_REFUSED},
};

START_TEST(G8_T10_userinfo_about_somebody_else_is_a_refusal)
{
    struct verdict v = {0};
    struct buf jwt = signed_with(&key_a, TOKEN);
    now_is((REFRESH_S + 1) * 1000);
    show_text(jwt.p, &v);
    answer(USERINFO_URL, odd_userinfos[_i].status, odd_userinfos[_i].body);
    ck_no(&v, 1, odd_userinfos[_i].found, odd_userinfos[_i].reason);
    size_t n = fake.n;
    show_text(jwt.p, &v);
    ck_no(&v, 2, odd_userinfos[_i].found, odd_userinfos[_i].reason);
    ck_assert_uint_eq(fake.n, n);
    buf_deinit(&jwt);
}
END_TEST

/* ---- endings ---- */

static void forget(bool by_sub, const char *iss, const char *name, int64_t issued_until_s)
{
    const struct machine_ending e = {view_of(iss), view_of(name), by_sub, issued_until_s};
    machines_forget(machines, &e);
}

static const struct {
    bool by_sub;
    const char *iss, *name;
    int64_t issued_until_s;
    bool ends;
} endings[] = {
    {false, ISS, "s-1", 0, true},          {true, ISS, "u1", NOW, true},        {true, ISS, "u1", INT64_MAX, true},
    {true, ISS, "u1", NOW - 1, false}, /* it was issued later */
    {false, ISS, "s-2", 0, false},         {true, ISS, "u2", INT64_MAX, false}, {false, ISS, "u1", 0, false},
    {true, ISS, "s-1", INT64_MAX, false},  {false, OTHER, "s-1", 0, false}, /* another issuer's */
    {true, OTHER, "u1", INT64_MAX, false},
};

START_TEST(C10_an_ending_ends_what_it_names_and_nothing_else)
{
    struct verdict v = {0};
    struct buf jwt = signed_with(&key_a, TOKEN_OF_SID);
    show_text(jwt.p, &v);
    struct machine *socket = machine_ref(v.machine);
    forget(endings[_i].by_sub, endings[_i].iss, endings[_i].name, endings[_i].issued_until_s);
    ck_assert_int_eq(machine_has_ended(socket), endings[_i].ends);
    show_text(jwt.p, &v);
    if (endings[_i].ends) {
        ck_assert_msg(v.n == 1, "its signature alone lets it in no more");
        answer(USERINFO_URL, 401, "{}");
        ck_no(&v, 2, MACHINE_REFUSED, "does not honour");
    } else {
        ck_known(&v, 2);
    }
    machine_unref(socket);
    forget_verdict(&v);
    buf_deinit(&jwt);
}
END_TEST

START_TEST(a_token_of_an_ended_session_seen_later_is_asked_about)
{
    struct verdict v = {0};
    forget(false, ISS, "s-1", 0);
    show(&key_a, TOKEN_OF_SID, &v);
    ck_assert_int_eq(v.n, 0);
    answer_error(GW_E_TIMEOUT);
    ck_no(&v, 1, MACHINE_UNAVAILABLE, "cannot be reached"); /* no grace for it */
    show(&key_a, TOKEN, &v);
    ck_known(&v, 2);
    forget_verdict(&v);
}
END_TEST

START_TEST(an_ending_that_comes_while_userinfo_is_asked_is_later_than_the_answer)
{
    struct verdict v = {0};
    now_is((REFRESH_S + 1) * 1000);
    show(&key_a, TOKEN_OF_SID, &v);
    forget(false, ISS, "s-1", 0);
    answer(USERINFO_URL, 200, USERINFO_NOW);
    ck_no(&v, 1, MACHINE_REFUSED, "its session has ended");
}
END_TEST

START_TEST(endings_beyond_the_cap_make_every_older_token_be_asked_about)
{
    struct verdict v = {0};
    char name[32];
    for (int i = 0; i <= MACHINE_ENDED_MAX; i++) {
        snprintf(name, sizeof(name), "s-%d", i + 2);
        forget(false, ISS, name, 0);
    }
    show(&key_a, TOKEN_OF_SID, &v);
    ck_assert_int_eq(v.n, 0);
    answer(USERINFO_URL, 200, USERINFO_NOW);
    ck_known(&v, 1);
    forget_verdict(&v);
}
END_TEST

START_TEST(what_is_held_outlives_the_cache)
{
    struct verdict v = {0};
    show(&key_a, TOKEN, &v);
    teardown();
    ck_assert(pack_list_has(principal_groups(machine_who(v.machine)), VIEW("bots")));
    ck_assert(machine_has_ended(v.machine)); /* the real clock is past its exp */
    forget_verdict(&v);
    setup();
}
END_TEST

/* ---- further issuers ---- */

#define OTHER_TOKEN                                                                                                            \
    "{\"iss\":\"" OTHER "\",\"sub\":\"u1\",\"aud\":\"ci\",\"iat\":1700000000,\"exp\":1700003600,\"azp\":\"ci\",\"uid\":\"r\"," \
    "\"scope\":\"openid\"," BOTS "}"

START_TEST(G13_a_further_issuer_has_keys_and_rules_of_its_own)
{
    struct verdict v = {0};
    show(&key_other, OTHER_TOKEN, &v);
    ck_known(&v, 1);
    ck_view_eq(principal_iss(v.who), OTHER);
    show(&key_a, TOKEN, &v);
    ck_known(&v, 2);
    ck_view_eq(principal_iss(v.who), ISS);
    forget_verdict(&v);
}
END_TEST

static const struct {
    const char *claims;
    bool by_other;
    const char *reason;
} crossings[] = {
    {TOKEN, true, "no key with this kid"},        /* our issuer, its key */
    {OTHER_TOKEN, false, "no key with this kid"}, /* its issuer, our key */
    {"{\"iss\":\"" OTHER
     "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"iat\":1700000000,\"exp\":1700003600,\"azp\":\"ci\",\"uid\":\"r\","
     "\"scope\":\"openid\"}",
     true, "aud is not this client"},
    {"{\"iss\":\"" OTHER
     "\",\"sub\":\"u1\",\"aud\":\"ci\",\"iat\":1700000000,\"exp\":1700003600,\"azp\":\"repogate\",\"uid\":\"r\","
     "\"scope\":\"openid\"}",
     true, "azp is another client"},
    {"{\"iss\":\"" OTHER "\",\"sub\":\"u1\",\"aud\":[\"ci\",\"repogate\"],\"iat\":1700000000,\"exp\":1700003600,\"azp\":\"ci\","
     "\"uid\":\"r\",\"scope\":\"openid\"}",
     true, "aud is not this client"},
    {"{\"iss\":\"https://ci.example.net/o/ci\",\"sub\":\"u1\",\"aud\":\"ci\",\"exp\":1700003600,\"azp\":\"ci\",\"uid\":\"r\","
     "\"scope\":\"\"}",
     true, "iss is another issuer"},
    {"{\"iss\":[\"" OTHER "\"],\"sub\":\"u1\",\"aud\":\"ci\",\"exp\":1700003600,\"azp\":\"ci\",\"uid\":\"r\",\"scope\":\"\"}",
     true, "iss is another issuer"},
    {"{\"sub\":\"u1\",\"aud\":\"ci\",\"exp\":1700003600,\"azp\":\"ci\",\"uid\":\"r\",\"scope\":\"\"}", true,
     "iss is another issuer"},
};

START_TEST(C2_F14_G6_nothing_of_one_issuer_counts_for_another)
{
    struct verdict v = {0};
    show(crossings[_i].by_other ? &key_other : &key_a, crossings[_i].claims, &v);
    ck_no(&v, 1, MACHINE_REFUSED, crossings[_i].reason);
}
END_TEST

START_TEST(one_kid_at_two_issuers_is_two_keys)
{
    struct verdict v = {0};
    struct token_key same_kid = key_other;
    same_kid.kid = "key-a";
    show(&same_kid, TOKEN, &v);
    ck_no(&v, 1, MACHINE_REFUSED, "wrong signature");
}
END_TEST

START_TEST(a_further_issuer_is_asked_about_its_own_tokens)
{
    struct verdict v = {0};
    now_is((REFRESH_S + 1) * 1000);
    show(&key_other, OTHER_TOKEN, &v);
    answer(OTHER_USERINFO_URL, 200, USERINFO_NOW);
    ck_known(&v, 1);
    ck_assert(pack_list_has(principal_groups(v.who), VIEW("fewer")));
    ck_view_eq(principal_iss(v.who), OTHER);
    forget_verdict(&v);
}
END_TEST

/* ---- opaque tokens ---- */

#define VOUCHED(members)                                                                                                      \
    "{\"active\":true,\"iss\":\"" ISS "\",\"sub\":\"u1\",\"aud\":\"repogate\",\"client_id\":\"repogate\",\"exp\":1700003600," \
    "\"iat\":1700000000,\"scope\":\"openid profile\",\"sid\":\"s-1\"" members "}"

START_TEST(an_opaque_token_is_vouched_for_and_then_userinfo_says_who_it_is)
{
    struct verdict v = {0}, second = {0};
    show_text("opaque-1", &v);
    show_text("opaque-1", &second);
    ck_assert_uint_eq(n_asked(INTROSPECT_URL), 1);
    ck_assert_str_eq(last()->body, "token=opaque-1&token_type_hint=access_token&client_id=repogate&client_secret=" SECRET);
    answer(INTROSPECT_URL, 200, VOUCHED(",\"repogate\":{\"v\":1,\"groups\":[\"frozen\"]}"));
    ck_assert_int_eq(v.n, 0);
    ck_assert_str_eq(last()->authorization, "Bearer opaque-1");
    answer(USERINFO_URL, 200, USERINFO_NOW);
    ck_known(&v, 1);
    ck_known(&second, 1);
    ck_assert_msg(!pack_list_has(principal_groups(v.who), VIEW("frozen")),
                  "what introspection says of the person is as old as the token");
    ck_view_eq(principal_sid(v.who), "s-1");
    ck_assert_msg(!principal_is_service(v.who), "it has a sid");
    size_t n = fake.n;
    now_is(REFRESH_S * 1000);
    show_text("opaque-1", &v);
    ck_assert_msg(v.n == 2 && fake.n == n, "remembered");
    now_is((REFRESH_S + 1) * 1000);
    show_text("opaque-1", &v);
    answer(INTROSPECT_URL, 200, "{\"active\":false}");
    ck_no(&v, 3, MACHINE_REFUSED, "does not vouch");
    forget_verdict(&second);
}
END_TEST

/* Authentik says of a refresh token too that it is active. */
START_TEST(G11_a_refresh_token_is_no_access_token)
{
    struct verdict v = {0};
    show_text("refresh-token", &v);
    answer(INTROSPECT_URL, 200, VOUCHED(""));
    answer(USERINFO_URL, 401, "{}");
    ck_no(&v, 1, MACHINE_REFUSED, "does not honour");
}
END_TEST

#define ANSWER(active, iss, sub, aud, client_id, exp, scope)                                                                  \
    "{\"active\":" active ",\"iss\":\"" iss "\",\"sub\":" sub ",\"aud\":" aud ",\"client_id\":\"" client_id "\",\"exp\":" exp \
    ",\"scope\":\"" scope "\"}"

static const struct {
    int status;
    const char *body;
    enum machine_found found;
} introspections[] = {
    {200, "{\"active\":false}", MACHINE_REFUSED},
    {200, "{}", MACHINE_REFUSED},
    {200, "{\"active\":true}", MACHINE_REFUSED},
    {200, ANSWER("false", ISS, "\"u1\"", "\"repogate\"", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("\"true\"", ISS, "\"u1\"", "\"repogate\"", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("1", ISS, "\"u1\"", "\"repogate\"", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", OTHER, "\"u1\"", "\"repogate\"", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"\"", "\"repogate\"", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "7", "\"repogate\"", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "\"other\"", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "[\"repogate\",\"other\"]", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "null", "repogate", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "\"repogate\"", "other", "1700003600", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "\"repogate\"", "repogate", "1700000000", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "\"repogate\"", "repogate", "\"1700003600\"", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "\"repogate\"", "repogate", "null", "openid"), MACHINE_REFUSED},
    {200, ANSWER("true", ISS, "\"u1\"", "\"repogate\"", "repogate", "1700003600", "profile"), MACHINE_REFUSED},
    {200, VOUCHED(",\"events\":{}"), MACHINE_REFUSED},
    {200, VOUCHED(",\"azp\":\"other\""), MACHINE_REFUSED},
    {200, "{\"active\":true,\"active\":true}", MACHINE_UNAVAILABLE},
    {200, "<html>", MACHINE_UNAVAILABLE},
    {200, "[]", MACHINE_UNAVAILABLE},
    {401, "{}", MACHINE_UNAVAILABLE},
    {500, "", MACHINE_UNAVAILABLE},
};

START_TEST(C2_G6_introspection_is_believed_only_about_tokens_of_ours)
{
    struct verdict v = {0};
    show_text("opaque-1", &v);
    answer(INTROSPECT_URL, introspections[_i].status, introspections[_i].body);
    ck_assert_msg(v.n == 1 && v.found == introspections[_i].found, "%s: %d %s", introspections[_i].body, (int)v.found, v.reason);
    size_t n = fake.n;
    show_text("opaque-1", &v);
    ck_assert_msg(v.n == 2 && v.found == introspections[_i].found && fake.n == n, "the same without asking again");
}
END_TEST

START_TEST(L4_a_signed_token_is_never_sent_to_introspection)
{
    struct verdict v = {0};
    size_t n = fake.n;
    show(&key_a, "{" BASIS ",\"azp\":\"other\",\"uid\":\"r\",\"scope\":\"openid\"}", &v);
    ck_no(&v, 1, MACHINE_REFUSED, "azp is another client");
    show_text("a.b.c", &v);
    ck_no(&v, 2, MACHINE_REFUSED, "");
    ck_assert_uint_eq(fake.n, n);
}
END_TEST

START_TEST(T5_an_encrypted_token_is_opaque_to_us)
{
    struct verdict v = {0};
    show_text("a.b.c.d.e", &v);
    answer(INTROSPECT_URL, 200, VOUCHED(""));
    answer(USERINFO_URL, 200, USERINFO_NOW);
    ck_known(&v, 1);
    forget_verdict(&v);
}
END_TEST

/* ---- passwords ---- */

static void try_password(const char *username, const char *password, struct verdict *v)
{
    machines_check_password(machines, view_of(username), view_of(password), &client, hear_verdict, v);
}

static void answer_grant(const struct token_key *k, const char *claims)
{
    struct buf json = BUF(16 * 1024);
    buf_puts(&json, "{\"token_type\":\"Bearer\",\"expires_in\":300,\"access_token\":\"");
    token_put_key(&json, claims, k);
    buf_puts(&json, "\"}");
    answer(TOKEN_URL, 200, json.p);
    buf_deinit(&json);
}

START_TEST(an_app_password_becomes_a_token_that_is_verified_like_any_other)
{
    struct verdict v = {0}, second = {0};
    try_password("ci bot", "p&w", &v);
    try_password("ci bot", "p&w", &second);
    ck_assert_uint_eq(n_asked(TOKEN_URL), 1);
    ck_assert_str_eq(last()->body,
                     "grant_type=client_credentials&username=ci%20bot&password=p%26w&scope=openid%20profile%20repogate"
                     "&client_id=repogate&client_secret=" SECRET);
    answer_grant(&key_a, TOKEN);
    ck_known(&v, 1);
    ck_known(&second, 1);
    ck_assert_int_eq(principal_via(v.who), PRINCIPAL_BASIC);
    ck_assert(principal_is_service(v.who));
    size_t n = fake.n;
    try_password("ci bot", "p&w", &v);
    ck_assert_msg(v.n == 2 && fake.n == n, "remembered");
    ck_assert_ptr_eq(v.machine, second.machine);
    forget_verdict(&v);
    forget_verdict(&second);
}
END_TEST

START_TEST(it_is_exchanged_anew_when_its_claims_are_old)
{
    struct verdict v = {0};
    try_password("ci", "pw", &v);
    answer_grant(&key_a, TOKEN);
    struct machine *socket = machine_ref(v.machine);
    now_is((REFRESH_S + 1) * 1000);
    try_password("ci", "pw", &v);
    ck_assert_int_eq(v.n, 1);
    answer_error(GW_E_TIMEOUT);
    ck_known(&v, 2);
    ck_assert(v.is_stale);
    now_is((REFRESH_S + 1 + MACHINE_RETRY_S) * 1000);
    try_password("ci", "pw", &v);
    answer(TOKEN_URL, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}");
    ck_no(&v, 3, MACHINE_REFUSED, "wrong user name or app password");
    ck_assert(machine_has_ended(socket));
    machine_unref(socket);
}
END_TEST

START_TEST(E7_wrong_user_and_wrong_password_look_alike_and_are_asked_about_once)
{
    struct verdict no_such_user = {0}, wrong_password = {0};
    try_password("nobody", "pw", &no_such_user);
    answer(TOKEN_URL, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"User does not exist\"}");
    try_password("ci", "wrong", &wrong_password);
    answer(TOKEN_URL, 400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid password\"}");
    ck_assert_int_eq(no_such_user.found, MACHINE_REFUSED);
    ck_assert_int_eq(wrong_password.found, MACHINE_REFUSED);
    ck_assert_str_eq(no_such_user.reason, wrong_password.reason);
    size_t n = fake.n;
    try_password("ci", "wrong", &wrong_password);
    ck_assert(wrong_password.n == 2 && wrong_password.found == MACHINE_REFUSED && fake.n == n);
    now_is(MACHINE_REFUSED_S * 1000);
    try_password("ci", "wrong", &wrong_password);
    ck_assert_msg(wrong_password.n == 2 && fake.n == n + 1, "a new password may need a moment to be known");
    answer_grant(&key_a, TOKEN);
    ck_known(&wrong_password, 3);
    forget_verdict(&wrong_password);
}
END_TEST

static const struct {
    int status;
    const char *body;
} grant_troubles[] = {
    {400, "{\"error\":\"invalid_client\"}"},
    {400, "{\"error\":\"unauthorized_client\"}"},
    {400, "{}"},
    {401, "{}"},
    {500, "{\"error\":\"invalid_grant\"}"},
    {200, "<html>"},
    {200, "{}"},
    {200, "{\"token_type\":\"mac\",\"access_token\":\"x\"}"},
    {200, "{\"token_type\":\"Bearer\",\"access_token\":\"x\\r\\ny\"}"},
    {302, ""},
};

START_TEST(trouble_of_ours_with_the_provider_is_no_verdict_on_the_password)
{
    struct verdict v = {0};
    try_password("ci", "pw", &v);
    answer(TOKEN_URL, grant_troubles[_i].status, grant_troubles[_i].body);
    ck_no(&v, 1, MACHINE_UNAVAILABLE, "cannot be reached");
}
END_TEST

START_TEST(G8_a_granted_token_for_another_opens_nothing)
{
    struct verdict v = {0};
    try_password("ci", "pw", &v);
    answer_grant(&key_a, "{" BASIS ",\"azp\":\"other\",\"uid\":\"r\",\"scope\":\"openid\"}");
    ck_no(&v, 1, MACHINE_REFUSED, "azp is another client");
    try_password("ci", "pw", &v);
    answer_grant(&key_b, TOKEN);
    ck_no(&v, 2, MACHINE_REFUSED, "no key with this kid");
}
END_TEST

START_TEST(C2_C3_I2_no_two_credentials_share_a_memory)
{
    static const struct {
        const char *username, *password;
    } pairs[] = {{"ab", "c"}, {"a", "bc"}, {"a", "b:c"}, {"a:b", "c"}, {"abc", "x"}};
    static struct verdict v[sizeof(pairs) / sizeof(pairs[0])], token;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        try_password(pairs[i].username, pairs[i].password, &v[i]);
    ck_assert_uint_eq(n_asked(TOKEN_URL), sizeof(pairs) / sizeof(pairs[0]));
    machines_check_token(machines, view_at("ab\0c", 4), &client, hear_verdict, &token);
    ck_assert_uint_eq(n_asked(INTROSPECT_URL), 1);
    while (n_waiting() > 0) /* the last first */
        for (size_t i = fake.n; i-- > 0;)
            if (!fake.list[i]->is_answered) {
                fake.list[i]->is_answered = true;
                fake.list[i]->fn(fake.list[i]->arg, &(struct fetch_answer){.err = GW_E_TIMEOUT, .detail = "x"});
            }
    ck_assert_int_eq(token.n, 1);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        ck_assert_int_eq(v[i].n, 1);
}
END_TEST

START_TEST(parts_that_are_missing_or_too_long_are_refused_unasked)
{
    static char long_one[MACHINE_PASSWORD_MAX + 1];
    struct verdict v = {0};
    size_t n = fake.n;
    memset(long_one, 'a', MACHINE_PASSWORD_MAX);
    try_password("", "pw", &v);
    try_password("ci", "", &v);
    try_password("ci", long_one, &v);
    ck_no(&v, 3, MACHINE_REFUSED, "too long");
    ck_assert_uint_eq(fake.n, n);
}
END_TEST

/* ---- the budget ---- */

START_TEST(I3_M6_an_address_has_a_budget_of_attempts_that_fail)
{
    struct verdict v = {0};
    char name[32];
    const struct ipaddr neighbour = {.bytes = {192, 0, 2, 8}, .family = 4};
    for (int i = 0; i < MACHINE_ATTEMPTS_PER_MINUTE; i++) {
        snprintf(name, sizeof(name), "guess-%d", i);
        if (i % 2 == 0) {
            try_password("ci", name, &v);
            answer(TOKEN_URL, 400, "{\"error\":\"invalid_grant\"}");
        } else {
            show_text(name, &v);
            answer(INTROSPECT_URL, 200, "{\"active\":false}");
        }
        ck_assert_int_eq(v.found, MACHINE_REFUSED);
    }
    size_t n = fake.n;
    try_password("ci", "one more", &v);
    ck_assert_int_eq(v.found, MACHINE_LIMITED);
    show_text("one-more", &v);
    ck_assert_int_eq(v.found, MACHINE_LIMITED);
    ck_assert_msg(fake.n == n, "nobody was asked");
    try_password("ci", "guess-0", &v);
    ck_assert_msg(v.found == MACHINE_REFUSED, "what is known needs no budget");
    show(&key_a, TOKEN, &v);
    ck_assert_msg(v.found == MACHINE_KNOWN, "nor does what is signed");
    machines_check_password(machines, VIEW("ci"), VIEW("pw"), &neighbour, hear_verdict, &v);
    answer_grant(&key_a, TOKEN);
    ck_assert_msg(v.found == MACHINE_KNOWN, "nor does another address");
    forget_verdict(&v);
}
END_TEST

START_TEST(I3_M6_a_user_name_has_a_budget_too_wherever_it_is_guessed_from)
{
    struct verdict v = {0};
    char name[32];
    struct ipaddr from = {.bytes = {198, 51, 100, 0}, .family = 4};
    machines_check_password(machines, VIEW("ci"), VIEW("right"), &from, hear_verdict, &v);
    answer_grant(&key_a, TOKEN);
    ck_assert_int_eq(v.found, MACHINE_KNOWN);
    for (int i = 0; i < MACHINE_GUESSES_PER_MINUTE; i++) {
        from.bytes[3] = (uint8_t)(i / (MACHINE_ATTEMPTS_PER_MINUTE / 2) + 1);
        snprintf(name, sizeof(name), "guess-%d", i);
        machines_check_password(machines, VIEW("ci"), view_of(name), &from, hear_verdict, &v);
        answer(TOKEN_URL, 400, "{\"error\":\"invalid_grant\"}");
        ck_assert_int_eq(v.found, MACHINE_REFUSED);
    }
    from.bytes[3] = 200;
    machines_check_password(machines, VIEW("ci"), VIEW("one more"), &from, hear_verdict, &v);
    ck_assert_int_eq(v.found, MACHINE_LIMITED);
    machines_check_password(machines, VIEW("ci"), VIEW("right"), &from, hear_verdict, &v);
    ck_assert_msg(v.found == MACHINE_KNOWN, "whoever is known stays in");
    machines_check_password(machines, VIEW("other"), VIEW("pw"), &from, hear_verdict, &v);
    answer_grant(&key_a, TOKEN);
    ck_assert_msg(v.found == MACHINE_KNOWN, "so does another name");
    forget_verdict(&v);
}
END_TEST

/* From an address: what fails is counted, what is right is not, and what is known needs no budget. */
START_TEST(M6_signed_tokens_that_are_none_have_a_budget)
{
    struct verdict v = {0};
    char text[64];
    struct buf good = signed_with(&key_a, TOKEN);
    const struct ipaddr neighbour = {.bytes = {192, 0, 2, 8}, .family = 4}, untold = {0};
    show_text(good.p, &v);
    ck_assert_int_eq(v.found, MACHINE_KNOWN);
    for (int i = 0; i < MACHINE_BAD_TOKENS_PER_MINUTE; i++) {
        snprintf(text, sizeof(text), "bm9uZQ.bm9uZQ.%08d", i);
        show_text(text, &v);
        ck_assert_int_eq(v.found, MACHINE_REFUSED);
    }
    show_text("bm9uZQ.bm9uZQ.bm9uZQ", &v);
    ck_assert_int_eq(v.found, MACHINE_LIMITED);
    show_text(good.p, &v);
    ck_assert_int_eq(v.found, MACHINE_KNOWN);
    machines_check_token(machines, VIEW("bm9uZQ.bm9uZQ.bm9uZQ"), &neighbour, hear_verdict, &v);
    ck_assert_int_eq(v.found, MACHINE_REFUSED);
    for (int i = 0; i < MACHINE_BAD_TOKENS_PER_MINUTE + 1; i++) {
        snprintf(text, sizeof(text), "bm9uZQ.bm9uZQ.%08d", i);
        machines_check_token(machines, view_of(text), &untold, hear_verdict, &v);
        ck_assert_msg(v.found == MACHINE_REFUSED, "a budget that all would share is none");
    }
    buf_deinit(&good);
    forget_verdict(&v);
}
END_TEST

START_TEST(attempts_that_succeed_cost_nothing)
{
    struct verdict v = {0};
    char name[32];
    for (int i = 0; i < 3 * MACHINE_ATTEMPTS_PER_MINUTE; i++) {
        snprintf(name, sizeof(name), "robot-%d", i);
        try_password(name, "pw", &v);
        ck_assert_int_eq(v.n, i);
        answer_grant(&key_a, TOKEN);
        ck_known(&v, i + 1);
    }
    forget_verdict(&v);
}
END_TEST

START_TEST(what_waits_is_told_when_it_all_ends)
{
    struct verdict password = {0}, opaque = {0}, keys = {0};
    now_is(PROVIDER_KEYS_MIN_MS);
    try_password("ci", "pw", &password);
    show_text("opaque", &opaque);
    show(&key_b, TOKEN, &keys);
    ck_assert_int_eq(password.n + opaque.n + keys.n, 0);
    provider_free(provider);
    provider = NULL;
    ck_no(&password, 1, MACHINE_UNAVAILABLE, "");
    ck_no(&opaque, 1, MACHINE_UNAVAILABLE, "");
    ck_no(&keys, 1, MACHINE_UNAVAILABLE, "");
}
END_TEST

START_TEST(questions_under_way_are_capped)
{
    static struct verdict v[MACHINE_ASKING_MAX + 1];
    struct verdict known = {0};
    struct ipaddr from = client;
    char name[32];
    struct buf jwt = signed_with(&key_a, TOKEN);
    show_text(jwt.p, &known);
    now_is((REFRESH_S + 1) * 1000);
    for (int i = 0; i <= MACHINE_ASKING_MAX; i++) {
        snprintf(name, sizeof(name), "opaque-%d", i);
        from.bytes[2] = (uint8_t)(i / MACHINE_ATTEMPTS_PER_MINUTE);
        machines_check_token(machines, view_of(name), &from, hear_verdict, &v[i]);
    }
    ck_assert_int_eq(v[MACHINE_ASKING_MAX - 1].n, 0);
    ck_no(&v[MACHINE_ASKING_MAX], 1, MACHINE_UNAVAILABLE, "too many");
    show_text(jwt.p, &known);
    ck_known(&known, 2);
    ck_assert_msg(known.is_stale, "what strangers ask takes nobody's grace");
    now_is((REFRESH_S + GRACE_S + 1) * 1000);
    show_text(jwt.p, &known);
    ck_no(&known, 3, MACHINE_UNAVAILABLE, "too many");
    buf_deinit(&jwt);
}
END_TEST

#define ADD_LOOP(t, name, cases) tcase_add_loop_test(t, name, 0, (int)(sizeof(cases) / sizeof((cases)[0])))

static void add_signed(Suite *s)
{
    TCase *cold = tcase_create("cold"), *t = tcase_create("signed"), *further = tcase_create("further");
    tcase_add_checked_fixture(cold, setup_cold, teardown);
    tcase_add_test(cold, tokens_wait_for_the_provider_and_not_for_ever);
    suite_add_tcase(s, cold);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_token_is_verified_once);
    ADD_LOOP(t, G11_refuses_tokens_made_for_something_else, wrong_tokens);
    tcase_add_test(t, refuses_nonsense_without_asking_anyone);
    tcase_add_test(t, a_token_without_groups_is_known_and_incomplete);
    tcase_add_test(t, C6_it_ends_with_its_exp);
    tcase_add_test(t, M3_an_unknown_kid_fetches_keys_once_for_a_thousand_requests);
    tcase_add_test(t, one_token_shown_a_thousand_times_waits_as_one);
    tcase_add_test(t, a_kid_that_stays_unknown_is_refused);
    tcase_add_test(t, while_keys_cannot_be_read_an_unknown_kid_is_no_refusal);
    tcase_add_test(t, a_withdrawn_key_takes_its_tokens_along);
    tcase_add_test(t, another_key_beside_it_changes_nothing);
    tcase_add_test(t, C4_C5_claims_older_than_refresh_are_renewed_before_they_are_judged);
    tcase_add_test(t, an_old_token_seen_for_the_first_time_is_asked_about_first);
    tcase_add_test(t, C7_C8_what_userinfo_refuses_is_forgotten_and_does_not_come_back_by_its_signature);
    tcase_add_test(t, old_claims_serve_for_the_grace_while_the_provider_is_away);
    tcase_add_test(t, an_old_token_seen_first_while_the_provider_is_away_serves_for_the_same_grace);
    tcase_add_test(t, C9_without_openid_a_token_lasts_as_long_as_its_claims_are_young);
    ADD_LOOP(t, G8_T10_userinfo_about_somebody_else_is_a_refusal, odd_userinfos);
    ADD_LOOP(t, C10_an_ending_ends_what_it_names_and_nothing_else, endings);
    tcase_add_test(t, a_token_of_an_ended_session_seen_later_is_asked_about);
    tcase_add_test(t, an_ending_that_comes_while_userinfo_is_asked_is_later_than_the_answer);
    tcase_add_test(t, endings_beyond_the_cap_make_every_older_token_be_asked_about);
    tcase_add_test(t, what_is_held_outlives_the_cache);
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(further, setup_further, teardown);
    tcase_add_test(further, G13_a_further_issuer_has_keys_and_rules_of_its_own);
    ADD_LOOP(further, C2_F14_G6_nothing_of_one_issuer_counts_for_another, crossings);
    tcase_add_test(further, one_kid_at_two_issuers_is_two_keys);
    tcase_add_test(further, a_further_issuer_is_asked_about_its_own_tokens);
    suite_add_tcase(s, further);
}

static void add_unverified(Suite *s)
{
    TCase *t = tcase_create("introspecting");
    tcase_add_checked_fixture(t, setup_introspecting, teardown);
    tcase_add_test(t, an_opaque_token_is_vouched_for_and_then_userinfo_says_who_it_is);
    tcase_add_test(t, G11_a_refresh_token_is_no_access_token);
    ADD_LOOP(t, C2_G6_introspection_is_believed_only_about_tokens_of_ours, introspections);
    tcase_add_test(t, L4_a_signed_token_is_never_sent_to_introspection);
    tcase_add_test(t, T5_an_encrypted_token_is_opaque_to_us);
    tcase_add_test(t, an_app_password_becomes_a_token_that_is_verified_like_any_other);
    tcase_add_test(t, it_is_exchanged_anew_when_its_claims_are_old);
    tcase_add_test(t, E7_wrong_user_and_wrong_password_look_alike_and_are_asked_about_once);
    ADD_LOOP(t, trouble_of_ours_with_the_provider_is_no_verdict_on_the_password, grant_troubles);
    tcase_add_test(t, G8_a_granted_token_for_another_opens_nothing);
    tcase_add_test(t, C2_C3_I2_no_two_credentials_share_a_memory);
    tcase_add_test(t, parts_that_are_missing_or_too_long_are_refused_unasked);
    tcase_add_test(t, I3_M6_an_address_has_a_budget_of_attempts_that_fail);
    tcase_add_test(t, I3_M6_a_user_name_has_a_budget_too_wherever_it_is_guessed_from);
    tcase_add_test(t, M6_signed_tokens_that_are_none_have_a_budget);
    tcase_add_test(t, attempts_that_succeed_cost_nothing);
    tcase_add_test(t, what_waits_is_told_when_it_all_ends);
    tcase_add_test(t, questions_under_way_are_capped);
    suite_add_tcase(s, t);
}

int main(void)
{
    key_a = token_key_ec(SIGALG_ES256, "key-a");
    key_b = token_key_ec(SIGALG_ES256, "key-b");
    key_other = token_key_ec(SIGALG_ES256, "key-other");
    Suite *s = suite_create("machine");
    add_signed(s);
    add_unverified(s);
    int status = support_run(s);
    EVP_PKEY_free(key_a.pkey);
    EVP_PKEY_free(key_b.pkey);
    EVP_PKEY_free(key_other.pkey);
    return status;
}
